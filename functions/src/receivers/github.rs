//! Receives GitHub webhooks, of repositories and of GitHub Apps.
//!
//! - Route: `POST /events/github`, `POST /events/github/{app}/{installation}`; the project is the
//!   one named like the body's `repository.full_name`
//! - Proof: `X-Hub-Signature-256` over the raw body, JSON or form, with the project's
//!   `sharedSecret`, else `DEFAULT_SHARED_SECRET`; SHA-1 only with `GITHUB_ALLOW_SHA1`
//! - Events: `check_run`, `check_suite`, `commit_comment`, `create`, `deployment`,
//!   `deployment_status`, `issue_comment`, `pull_request`, `pull_request_review`,
//!   `pull_request_review_comment`, `push`, `release`, `status`, each also as `<event>:<action>`;
//!   `image_push` from the provider `ghcr` of `package` and `registry_package`; every other event
//!   that is about a repository where the project's `filters.events` names it
//! - Identity: the signed body, and of what people start again with the same body
//!   (`repository_dispatch`, `workflow_dispatch`, a check run's button) `X-GitHub-Delivery`, which is
//!   not signed: who has one such delivery can have it built again; the payload is its JSON text, decoded if it came as a form, and for
//!   checks and trusted comments wrapped with a GitHub App's token; of an image its version's id,
//!   its tag, the action and when its package changed, where GitHub says that
//! - Reports: what GitHub says of our own statuses and check runs is ignored; whoever has such a
//!   check run again, or presses its button `Run again`, has its build run again: the same event as
//!   a new build
//! - Limits: 25 MiB; a pull request from a fork needs a trusted author, or a trusted reviewer, and
//!   no other event is at a commit that may be a fork's; GitHub's API has half of the time
//!
//! <https://docs.github.com/webhooks/webhook-events-and-payloads>

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::routing::post;
use runtime::event::{Event, Identity};
use runtime::project::Project;
use runtime::settings::Settings;
use runtime::signature::{self, Legacy, Secrets, SignatureError};
use serde::Deserialize;
use tokio::time::Instant;

use self::checks::{Completed, complete};
use self::translation::{
    Delivery, Meaning, Need, Translated, again, changed_files, is_known, translate,
};
use crate::answer::{Answer, Made};
use crate::app::App;
use crate::body;
use crate::builds;
use crate::delivery::about_event;
use crate::filter;
use crate::host::writer::{self, Host};
use crate::lenient::line;
use crate::rejection::Rejection;

mod again;
mod checks;
mod translation;

#[cfg(test)]
mod tests;

/// The largest body that GitHub sends.
const LIMIT: usize = 25 * 1024 * 1024;

/// This function's routes.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/events/github", post(receive))
        .route("/events/github/{app}/{installation}", post(receive))
}

async fn receive(State(app): State<App>, request: Request) -> Result<Answer, Rejection> {
    let deadline = app.deadline();
    let (parts, signed) = body::read(request, LIMIT, deadline).await?;
    let name = event_name(&parts.headers)?;
    about_event(&line(name, 50));
    if signed.is_empty() && !is_known(name) {
        return without_repository(name);
    }
    let json = json(&parts.headers, &signed)?;

    // Prove. Only what leads to the secret is read before that.
    let Some(project) = repository(&json)? else {
        return without_repository(name);
    };
    let project = app.project(&project, deadline).await?;
    prove(&app, &project, &parts.headers, &signed)?;
    writer::must_be(Some(Host::Github), &json)?;

    // Translate.
    if name == "ping" {
        return Ok(pong(Some(&project)));
    }
    let id = parts.headers.get("x-github-delivery").map(HeaderValue::as_bytes).unwrap_or_default();
    let delivery = Delivery { name, id, json, signed };
    if let Some(again) = again(&delivery, &app.settings)?
        && let Some(answer) = again::run(&app, deadline, &project, again).await?
    {
        return Ok(answer);
    }
    let mut translated = match translate(delivery, &app.settings, &project)? {
        Meaning::Event(translated) => *translated,
        Meaning::Skipped { status, reason } => {
            return Ok(Answer::passed("status", status, reason, Some(&project)));
        }
        Meaning::Ignored { reason } => return Ok(Answer::ignored(reason, Some(&project))),
    };
    // GitHub itself looks at no files where a tag is pushed.
    let seen = &mut translated.seen;
    if name == "push" && seen.tag.is_none() && !project.filters.paths.is_empty() {
        seen.paths = changed_files(&translated.event.payload);
    }
    let events = &app.settings.events;
    let taken = filter::take(&project, events, translated.event.clone(), &translated.seen);
    translated.event = match taken {
        Ok(event) => event,
        // As in Brigade, who wants checks only has them of pull requests, too.
        Err(reason) if wants_suite(&translated, &project, events) => {
            let Completed { note, .. } = complete(&app, deadline, &project, translated).await?;
            let reason = [Some(reason), note].into_iter().flatten().collect::<Vec<_>>().join("; ");
            return Ok(Answer::ignored(reason, Some(&project)));
        }
        Err(reason) => return Ok(Answer::ignored(reason, Some(&project))),
    };
    drop(parts);

    // Act.
    let Completed { event, note } = complete(&app, deadline, &project, translated).await?;
    make(&app, deadline, &project, events_of(event, &app.settings), note).await
}

/// Makes the builds of events.
async fn make(
    app: &App,
    deadline: Instant,
    project: &Project,
    events: Vec<Event>,
    note: Option<String>,
) -> Result<Answer, Rejection> {
    let noted = |mut made: Made| {
        let reasons = [Some(made.reason), note.clone()].into_iter().flatten();
        let reasons: Vec<String> = reasons.filter(|reason| !reason.is_empty()).collect();
        made.reason = reasons.join("; ");
        made
    };
    let events = events.into_iter().map(Ok).collect();
    Ok(match builds::answer(app, deadline, project, "Complete", events).await? {
        Answer::Made { status, made } => Answer::Made { status, made: Box::new(noted(*made)) },
        Answer::Several { status, results } => {
            let results = results.into_iter().map(|result| result.map(noted)).collect();
            Answer::Several { status, results }
        }
        passed @ Answer::Passed { .. } => passed,
    })
}

/// The events that an event is built as: itself, or the two that Brigade makes of one with an action.
fn events_of(event: Event, settings: &Settings) -> Vec<Event> {
    let Some(action) = event.action.clone().filter(|_| settings.github_two_builds) else {
        return vec![event];
    };
    // One body is one event, unless something says otherwise.
    let identity = match &event.identity {
        Identity::Content(signed) => Identity::Content([signed, action.as_bytes()].concat().into()),
        Identity::Fresh => Identity::Fresh,
    };
    let kind = format!("{}:{action}", event.kind);
    let second = Event { kind, action: None, identity, ..event.clone() };
    vec![Event { action: None, ..event }, second]
}

/// Whether an event that is not taken itself is to have a check suite, whose events are.
fn wants_suite(translated: &Translated, project: &Project, events: &[String]) -> bool {
    let suite = Event::new("github", "check_suite", Bytes::new());
    let suite = Event { action: Some("rerequested".to_owned()), ..suite };
    let is_taken = || filter::take(project, events, suite, &translated.seen).is_ok();
    matches!(translated.need, Need::CheckSuite { .. }) && is_taken()
}

fn prove(
    app: &App,
    project: &Project,
    headers: &HeaderMap,
    signed: &[u8],
) -> Result<(), Rejection> {
    let settings = &app.settings;
    let secrets = Secrets::of(&project.shared_secret).or(&settings.default_shared_secret);
    let legacy = if settings.github_allow_sha1 { Legacy::Accept } else { Legacy::Refuse };
    signature::verify_github(&secrets, headers, signed, legacy).map_err(|error| match error {
        SignatureError::NoSecret => Rejection::Unproved {
            code: StatusCode::INTERNAL_SERVER_ERROR,
            status: "No secret is configured for this repo.",
            reason: "set the project's sharedSecret to the webhook's secret",
        },
        // The same for all, so that nobody learns how near they were.
        SignatureError::Missing | SignatureError::Malformed | SignatureError::Forged => {
            Rejection::Unproved {
                code: StatusCode::FORBIDDEN,
                status: "malformed signature",
                reason: "X-Hub-Signature-256 must be the signature of the body with the \
                         project's secret",
            }
        }
    })
}

/// What is said to deliveries that no project can prove. Nothing of them is repeated or kept.
fn without_repository(name: &str) -> Result<Answer, Rejection> {
    match name {
        "ping" => Ok(pong(None)),
        "package" | "registry_package" => {
            Ok(Answer::ignored("the package is linked to no repository", None))
        }
        _ if is_known(name) => Err(Rejection::malformed("the body names no repository")),
        _ => Ok(Answer::ignored("the event is about no repository", None)),
    }
}

fn pong(project: Option<&Project>) -> Answer {
    Answer::passed("message", "OK", "nothing is built for a ping", project)
}

fn event_name(headers: &HeaderMap) -> Result<&str, Rejection> {
    let name = signature::single(headers, "x-github-event");
    let name = name.ok().and_then(|name| name.to_str().ok()).filter(|name| !name.is_empty());
    name.ok_or_else(|| Rejection::malformed("one header X-GitHub-Event must name the event"))
}

/// The JSON text of a body: all of it, or what a form holds as `payload`.
fn json(headers: &HeaderMap, signed: &Bytes) -> Result<Bytes, Rejection> {
    match body::media_type(headers).as_deref() {
        Some("application/json") => Ok(body::without_mark(signed.clone())),
        Some("application/x-www-form-urlencoded") => {
            body::form_payload(signed).map(body::without_mark)
        }
        _ => Err(Rejection::Unsupported {
            reason: "the Content-Type must be application/json or \
                     application/x-www-form-urlencoded",
        }),
    }
}

/// The name of the body's repository; everything else in the body is passed over.
fn repository(json: &[u8]) -> Result<Option<String>, Rejection> {
    #[derive(Deserialize)]
    struct Body {
        repository: Option<Repository>,
    }
    #[derive(Deserialize)]
    struct Repository {
        full_name: Option<String>,
        name: Option<String>,
        owner: Option<Owner>,
    }
    #[derive(Deserialize)]
    struct Owner {
        login: Option<String>,
        name: Option<String>,
    }
    let body: Body = body::json_object(json)?;
    Ok(body.repository.and_then(|repository| {
        let owner = repository.owner.and_then(|owner| owner.login.or(owner.name));
        let parts = owner.zip(repository.name).map(|(owner, name)| format!("{owner}/{name}"));
        repository.full_name.or(parts)
    }))
}
