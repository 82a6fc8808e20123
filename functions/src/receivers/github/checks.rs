//! What a GitHub App adds to events before they are built: the payload that Brigade wraps around
//! checks and comments, with a token in it, and check suites for pull requests.
//!
//! GitHub is asked before the build is made, so that a delivery that is made again repairs what
//! GitHub did not do; once all builds are there nothing is asked a second time.

use axum::http::StatusCode;
use bytes::Bytes;
use jiff::Timestamp;
use runtime::build::Build;
use runtime::event::Event;
use runtime::github::{Api, ApiError, address};
use runtime::project::Project;
use serde_json::json;
use tokio::time::Instant;

use super::events_of;
use super::translation::{Need, Translated};
use crate::app::App;
use crate::rejection::Rejection;

/// When a token that there is not ends, as Go writes no time.
const NO_TIME: &str = "0001-01-01T00:00:00Z";

/// An event that is ready to be built, and what is to be said of how it came to be.
pub(super) struct Completed {
    pub(super) event: Event,
    pub(super) note: Option<String>,
}

/// Asks GitHub for what an event needs.
pub(super) async fn complete(
    app: &App,
    deadline: Instant,
    project: &Project,
    translated: Translated,
) -> Result<Completed, Rejection> {
    let Translated { event, need, installation, .. } = translated;
    if need == Need::Nothing {
        return Ok(Completed { event, note: None });
    }
    let settings = &app.settings;
    let missing = match (settings.app_id, installation) {
        (Some(id), Some(installation)) => Ok((id, installation)),
        (None, _) => Err("no GitHub App is configured (APP_ID)"),
        (Some(_), None) => Err("the delivery names no installation of the GitHub App"),
    };
    let (id, installation) = match missing {
        Ok(known) => known,
        Err(why) => return Ok(without_app(event, &need, why)),
    };
    let cluster = app.cluster.with_deadline(deadline);
    let mut is_made = true;
    for event in events_of(event.clone(), settings) {
        let build = Build::new(project, event, Timestamp::now()).id;
        is_made = is_made && cluster.build(&project.namespace, build).await?.is_some();
    }
    if is_made {
        let Completed { event, .. } = without_app(event, &need, "");
        return Ok(Completed { event, note: None });
    }
    // Half of the time that is left is for the build.
    let until = Instant::now() + deadline.saturating_duration_since(Instant::now()) / 2;
    let key = (id, &settings.app_key);
    let base = address(&project.github_base_url, &settings.github_hosts);
    let base = base.map_err(|error| refused(error, Step::Token))?;
    let api = Api::of_installation(base, key, (installation, &project.name), until).await;
    let (api, expires) = api.map_err(|error| refused(error, Step::Token))?;
    match need {
        Need::Nothing => Ok(Completed { event, note: None }),
        Need::Token { pull } => {
            let mut event = event;
            if let Some(number) = pull {
                let head = api.head(&project.name, number).await;
                event.revision.commit = head.map_err(|error| refused(error, Step::Pull))?;
            }
            let payload = wrapped(&event, api.token(), &expires);
            Ok(Completed { event: Event { payload, ..event }, note: None })
        }
        Need::CheckSuite { head, reference } => {
            let run = api.run_suite(id, &project.name, &head, &reference).await;
            run.map_err(|error| refused(error, Step::Suite))?;
            Ok(Completed { event, note: Some("a check suite was asked for".to_owned()) })
        }
    }
}

/// The event without what GitHub would have added.
fn without_app(event: Event, need: &Need, why: &str) -> Completed {
    match need {
        Need::Nothing => Completed { event, note: None },
        Need::Token { .. } => {
            let payload = wrapped(&event, "", NO_TIME);
            let note = format!("the payload's token is empty: {why}");
            Completed { event: Event { payload, ..event }, note: Some(note) }
        }
        Need::CheckSuite { .. } => {
            Completed { event, note: Some(format!("no check suite was asked for: {why}")) }
        }
    }
}

/// The payload as Brigade's App wraps it: the body as it came, and what it takes to answer it. It is
/// kept in the build's Secret, and the token is good for an hour.
fn wrapped(event: &Event, token: &str, expires: &str) -> Bytes {
    // One that fires only the name with its action is of the same type for what reads the payload.
    let kind = event.kind.split(':').next().unwrap_or_default();
    let expires = if expires.is_empty() { NO_TIME } else { expires };
    let text = |text: &str| json!(text).to_string();
    let mut payload = format!(
        "{{\"type\":{},\"token\":{},\"tokenExpires\":{},\"commit\":{},\"branch\":{},\"body\":",
        text(kind),
        text(token),
        text(expires),
        text(&event.revision.commit),
        text(&event.revision.reference),
    )
    .into_bytes();
    payload.extend_from_slice(&event.payload);
    payload.push(b'}');
    payload.into()
}

/// What GitHub was asked for.
#[derive(Clone, Copy)]
enum Step {
    Token,
    Pull,
    Suite,
}

/// What a sender is told whose event is not built, in Brigade's words. Nothing was made, so a
/// delivery that is made again does all of it.
fn refused(error: ApiError, step: Step) -> Rejection {
    let reason = format!("{error}; nothing was built, so deliver again");
    let (code, status) = match (&error, step) {
        (ApiError::Away { .. }, _) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        (_, Step::Token) => (StatusCode::FORBIDDEN, "Auth Failed"),
        (_, Step::Pull) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "failed to fetch pull request for corresponding issue comment",
        ),
        (_, Step::Suite) => (StatusCode::INTERNAL_SERVER_ERROR, "could not create check suite"),
    };
    Rejection::Host { code, status, reason }
}
