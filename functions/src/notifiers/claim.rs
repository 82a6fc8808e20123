//! What is not believed, whoever posts it: the project's token is in addresses that registries know.

use notify::{Notification, reporter};
use percent_encoding::percent_decode_str;
use runtime::project::{NotifierKind, Project};
use serde_json::Value;

use crate::lenient::line;
use crate::rejection::Rejection;

/// What only the project's own workers send to programs.
const REPORTS: [&str; 2] = ["dev.brigantine.build.", "dev.brigantine.job."];

/// Refuses what claims to be what it cannot be.
pub(super) fn check(
    project: &Project,
    kind: NotifierKind,
    notification: &Notification,
) -> Result<(), Rejection> {
    match (kind, &notification.build, &notification.event) {
        (NotifierKind::Github, Some(build), _) => {
            of_the_repository(project, &build.provider, &build.repository)
        }
        (NotifierKind::Webhook, _, Some(event)) => of_others(project, event),
        _ => Ok(()),
    }
}

/// GitHub is told of the commits of the project's own repository, whatever a token is good for.
fn of_the_repository(project: &Project, provider: &str, named: &str) -> Result<(), Rejection> {
    let own = bare(reporter::repository(project, provider));
    if !own.is_empty() && bare(named).eq_ignore_ascii_case(own) {
        return Ok(());
    }
    let own = if own.is_empty() { "none".to_owned() } else { format!("`{own}`") };
    Err(Rejection::Unset {
        reason: format!(
            "GitHub is told of the project's own repository alone, {own}; this is of `{}`",
            line(named, 100)
        ),
    })
}

/// A program could not tell a stranger's report of a build of the project from one of a worker.
fn of_others(project: &Project, event: &Value) -> Result<(), Rejection> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (kind, source) = (text(&event["type"]), text(&event["source"]));
    let source = percent_decode_str(&source).decode_utf8_lossy();
    let path = source.trim_start_matches('/');
    let names = [path.strip_prefix("projects/").unwrap_or(path), &text(&event["data"]["project"])];
    let is_own = names.iter().any(|name| name.eq_ignore_ascii_case(&project.name));
    if is_own && REPORTS.iter().any(|report| kind.starts_with(report)) {
        return Err(Rejection::malformed(
            "only the workers of this project tell programs of its builds and jobs: give the event \
             another type, or the source and the project that it is of",
        ));
    }
    Ok(())
}

/// A repository without the host that GitHub's may be written with.
fn bare(repository: &str) -> &str {
    repository.strip_prefix("github.com/").unwrap_or(repository)
}
