//! Receives what Slack sends to an app: slash commands, interactions and events.
//!
//! - Route: `POST /slack/{project}`, `POST /slack/{org}/{repository}`; `{project}` is a project's id, or
//!   its name without a slash or with one that is written `%2F`. One address serves all of an app
//! - Proof: `X-Slack-Signature` of the last five minutes, with the project's `slack.signingSecret`, a
//!   key of its Secret and of its values file; `url_verification` and `ssl_check`, too
//! - Events: of a command `slash_command` and `slash_command:<command without its slash>`; of an
//!   interaction its type and `<type>:<id>`, with the id of the first action or the callback's
//!   (`block_actions:approve`, `view_submission:deploy`, `shortcut:...`); of the Events API its type
//!   and `<type>:<subtype>` (`app_mention`, `message:file_share`). What the app itself said makes
//!   nothing, since a script that speaks would not end; suggestions are built only where
//!   `filters.events` names them
//! - Payload: the JSON body; of a form the JSON in its `payload`, or else an object of its fields, all
//!   of them texts, without `token`, so that a script can `JSON.parse` every one
//! - Revision: `master`
//! - Identity: `event_id` and the event of the Events API, so that a retry (`X-Slack-Retry-Num`) is a
//!   duplicate; else the signed body, whose `trigger_id` is new for each command and interaction
//! - Answer: to a command a text for whoever gave it, to an interaction nothing, as Slack would show it
//!   or take it for an error; to suggestions none; else as ever
//! - Limits: 1 MiB; answered within `SLACK_BUDGET`, since Slack gives up after three seconds
//!
//! <https://docs.slack.dev/interactivity/implementing-slash-commands>,
//! <https://docs.slack.dev/apis/events-api>

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use jiff::Timestamp;
use runtime::project::Project;
use runtime::signature::{Secrets, SignatureError, scheme};
use serde_json::json;
use tokio::time::Instant;

use self::translation::{Form, Said, translate};
use crate::answer::{Answer, Made};
use crate::app::App;
use crate::body;
use crate::host;
use crate::lenient::line;
use crate::rejection::Rejection;

mod translation;

#[cfg(test)]
mod tests;

/// The largest body that is read.
const LIMIT: usize = 1024 * 1024;

/// This function's routes.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/slack/{project}", post(by_project))
        .route("/slack/{org}/{repository}", post(by_repository))
}

async fn by_project(
    State(app): State<App>,
    Path(project): Path<String>,
    request: Request,
) -> Result<Response, Rejection> {
    receive(app, project, request).await
}

async fn by_repository(
    State(app): State<App>,
    Path((org, repository)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Rejection> {
    receive(app, format!("{org}/{repository}"), request).await
}

async fn receive(app: App, project: String, request: Request) -> Result<Response, Rejection> {
    let deadline = app.deadline().min(Instant::now() + app.settings.slack_budget);
    let (parts, signed) = body::read(request, LIMIT, deadline).await?;
    let form = match body::media_type(&parts.headers).as_deref() {
        Some("application/json") => Form::Json,
        Some("application/x-www-form-urlencoded") => Form::Fields,
        _ => {
            return Err(Rejection::Unsupported {
                reason: "the Content-Type must be application/json or \
                         application/x-www-form-urlencoded",
            });
        }
    };

    // Prove.
    let project = app.project(&project, deadline).await?;
    prove(&project, &parts.headers, &signed)?;
    drop(parts);

    // Translate.
    let (meaning, said) = match translate(form, signed)? {
        Said::Challenge(challenge) => {
            let reason = "nothing is built for a challenge";
            let answer = Answer::passed("status", "challenged", reason, Some(&project));
            return Ok(answer.saying(Json(json!({"challenge": challenge}))));
        }
        Said::Check => {
            let reason = "nothing is built for a check";
            return Ok(Answer::passed("status", "checked", reason, Some(&project)).saying(()));
        }
        Said::Something { meaning, answer } => (meaning, answer),
    };

    // Act.
    let answer = host::act_on(&app, deadline, &project, &["*".to_owned()], meaning).await?;
    Ok(match said {
        translation::Answer::Ours => answer.into_response(),
        translation::Answer::Nothing => answer.saying(()),
        translation::Answer::Options => answer.saying(Json(json!({"options": []}))),
        translation::Answer::Text => {
            let text = text(&answer);
            answer.saying(Json(json!({"response_type": "ephemeral", "text": text})))
        }
    })
}

fn prove(project: &Project, headers: &HeaderMap, signed: &[u8]) -> Result<(), Rejection> {
    let secrets = Secrets::of(&project.slack_signing_secret);
    scheme::SLACK.verify(&secrets, headers, signed, Timestamp::now()).map_err(|error| {
        let reason = match error {
            SignatureError::NoSecret => {
                "set the project's slack.signingSecret to the signing secret of the Slack app"
            }
            SignatureError::Missing | SignatureError::Malformed | SignatureError::Forged => {
                "X-Slack-Signature must be the signature of the body with the app's signing \
                 secret, of the last five minutes"
            }
        };
        Rejection::Unproved { code: StatusCode::UNAUTHORIZED, status: "invalid signature", reason }
    })
}

/// What whoever gave a command is told. It is shown as Slack's markup, so nothing in it may be some.
fn text(answer: &Answer) -> String {
    let text = match answer {
        Answer::Made { made, .. } => started(made),
        Answer::Several { results, .. } => {
            let made: Vec<String> = results.iter().flatten().map(started).collect();
            made.join("\n")
        }
        Answer::Passed { reason, .. } => format!("Nothing was started: {}.", line(reason, 500)),
    };
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn started(made: &Made) -> String {
    let Made { build, project, jobs, .. } = made;
    if made.duplicate {
        return format!("This was started before, as build {build} of {project}.");
    }
    match made.phase.as_deref() {
        Some("Failed") => {
            format!("Build {build} of {project} failed: {}.", line(&made.reason, 500))
        }
        Some("Waiting") => format!("Build {build} of {project} waits for its turn."),
        // It has ended already: nobody hears it, or nothing is to be done.
        Some(_) if jobs.is_empty() => {
            format!("Build {build} of {project} does nothing: {}.", line(&made.reason, 500))
        }
        _ if jobs.is_empty() => format!("Build {build} of {project} was started."),
        _ => {
            let jobs = line(&jobs.join(", "), 500);
            format!("Build {build} of {project} was started: {jobs}.")
        }
    }
}
