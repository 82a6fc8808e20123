//! What GitHub says of what we have written there ourselves: statuses and check runs that stand for
//! builds. They are no events; but somebody may ask there that a build be run again.

use runtime::build::BuildId;
use runtime::project::{Notifier, NotifierKind, Project};
use runtime::settings::Settings;
use ulid::Ulid;

use super::members::{Body, Numbered};
use crate::lenient::line;

/// How our statuses are named, unless a project says otherwise.
const CONTEXT: &str = "brigantine/";

/// The button that runs a build again.
const BUTTON: &str = "rerun";

/// Why an event is ignored that we have caused, so that nothing goes in circles.
pub(super) fn written(
    name: &str,
    body: &Body,
    settings: &Settings,
    project: &Project,
) -> Option<String> {
    match name {
        "status" => {
            let context = body.context.as_deref()?;
            let is_ours = context.get(..CONTEXT.len())?.eq_ignore_ascii_case(CONTEXT);
            is_ours.then(|| format!("the status `{}` is of a build here", line(context, 100)))
        }
        "check_run" if matches!(body.action.as_deref(), Some("created" | "completed")) => {
            let id = named(body)?;
            // Others have names for their check runs, too; ours are those of builds.
            Ulid::from_string(id).ok()?;
            Some(format!("the check run is of the build {id} here"))
        }
        // Its check runs are those that were told of builds here; a build of it would write more.
        "check_suite" if body.action.as_deref() == Some("completed") => {
            let app = body.suite().and_then(|suite| suite.app.as_ref()).and_then(Numbered::id);
            let tells = |notifier: &Notifier| notifier.kind == NotifierKind::Github;
            let is_ours = app.is_some() && app == settings.app_id;
            let is_told = project.notifiers.all().iter().any(tells);
            (is_ours && is_told).then(|| "the check suite is of builds here".to_owned())
        }
        _ => None,
    }
}

/// The build that somebody wants to have run again.
pub(super) fn again(body: &Body) -> Option<BuildId> {
    let button = body.requested_action.as_ref().and_then(|action| action.identifier.as_deref());
    let is_asked = match body.action.as_deref()? {
        "rerequested" => true,
        "requested_action" => button == Some(BUTTON),
        _ => false,
    };
    BuildId::parse(named(body).filter(|_| is_asked)?).ok()
}

/// The build that a check run says it is of: what is before the name of a job.
fn named(body: &Body) -> Option<&str> {
    body.check_run.as_ref()?.external_id.as_deref()?.split('/').next()
}
