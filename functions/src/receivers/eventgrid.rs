//! Receives what Azure Event Grid delivers, in its own schema and as CloudEvents.
//!
//! - Route: `POST /eventgrid/{project}[/{token}]`, `POST /cloudevents/v0.1/{project}[/{token}]` with the
//!   project's id, or its name without a slash or with `%2F`; all of them take both schemas, and
//!   `OPTIONS` there is the handshake of CloudEvents
//! - Proof: the token, which is `eventGridToken` of the project's `secrets`, in the path, as `?token=`,
//!   or in a delivery property `Authorization: Bearer <token>`. The handshakes need it, too. Without
//!   such a secret everything is refused, where Brigade's gateway let everything in
//! - Events: the event's own type, from the provider `eventgrid` with the revision that Brigade's
//!   gateway gave it, or from `cloudevents` for CloudEvents 1.0 and 0.1. What Azure's registry did also fires
//!   `image_push`, `image_delete`, `chart_push` or `chart_delete`, with `e.image`, of the images that
//!   `filters.images` takes. What is said of the
//!   subscription makes no build; it is answered where it comes alone, and hides no event beside it
//! - Payload: each event as it stands in the delivery. Several make a build each, and one that is
//!   malformed keeps no other from it
//! - Identity: `topic`, `subject` and `id`, or `source` and `id`
//! - Limits: 1 MiB, 5000 events, as Event Grid has them. It takes 400 and 413 for the last word
//!
//! The answer says what was made, where Brigade's gateway repeated the event.
//!
//! <https://learn.microsoft.com/azure/event-grid/end-point-validation-event-grid-events-schema>,
//! <https://learn.microsoft.com/azure/event-grid/delivery-and-retry>

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, post};
use axum::{Json, Router};
use runtime::event::Event;
use runtime::project::Project;
use runtime::signature::{Secrets, SignatureError};
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use crate::address::Address;
use crate::answer::Answer;
use crate::app::App;
use crate::body;
use crate::builds;
use crate::cloudevent::handshake;
use crate::filter;
use crate::proof;
use crate::rejection::Rejection;

use self::translation::{Meaning, translate};

pub(crate) mod translation;

#[cfg(test)]
mod tests;

/// The largest delivery.
const LIMIT: usize = 1024 * 1024;

/// This function's routes.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/eventgrid/{project}", methods())
        .route("/eventgrid/{project}/{token}", methods())
        .route("/cloudevents/v0.1/{project}", methods())
        .route("/cloudevents/v0.1/{project}/{token}", methods())
}

fn methods() -> MethodRouter<App> {
    post(receive).options(shake_hands)
}

#[derive(Default, Deserialize)]
struct Asked {
    token: Option<String>,
}

async fn receive(
    State(app): State<App>,
    Path(address): Path<Address>,
    request: Request,
) -> Result<Response, Rejection> {
    let deadline = app.deadline();
    let asked = proof::query(request.uri(), "one `token`")?;
    let (parts, body) = body::read(request, LIMIT, deadline).await?;
    let media = body::media_type(&parts.headers);
    if media.is_some_and(|media| !is_json(&media)) {
        return Err(Rejection::Unsupported { reason: "the Content-Type must be application/json" });
    }

    // Prove.
    let project = prove(&app, address, asked, &parts.headers, deadline).await?;

    // Translate.
    let headers = &parts.headers;
    let kind = headers.get("aeg-event-type").and_then(|kind| kind.to_str().ok());
    if matches!(kind, Some("Unsubscribe" | "SubscriptionDeletion")) {
        let reason = "the subscription was deleted";
        return Ok(Answer::ignored(reason, Some(&project)).into_response());
    }
    let events = match translate(&body)? {
        Meaning::Validation { code } => {
            let reason = "the endpoint is validated; nothing is built for that";
            let answer = Answer::passed("status", "OK", reason, Some(&project));
            return Ok(answer.saying(Json(json!({"validationResponse": code}))));
        }
        Meaning::Ignored { reason } => {
            return Ok(Answer::ignored(reason, Some(&project)).into_response());
        }
        Meaning::Events(events) => events,
    };
    let mut reason = "there are no events in the delivery".to_owned();
    let takes = |event: &Result<Event, Rejection>| match event {
        Ok(event) => filter::takes_image(&project, event).map_err(|why| reason = why).is_ok(),
        Err(_malformed) => true,
    };
    let events: Vec<Result<Event, Rejection>> = events.into_iter().filter(takes).collect();
    if events.is_empty() {
        return Ok(Answer::ignored(reason, Some(&project)).into_response());
    }

    // Act.
    let answer = builds::answer(&app, deadline, &project, "Success", events).await?;
    Ok(answer.into_response())
}

async fn shake_hands(
    State(app): State<App>,
    Path(address): Path<Address>,
    request: Request,
) -> Result<Response, Rejection> {
    let deadline = app.deadline();
    let asked = proof::query(request.uri(), "one `token`")?;
    let (parts, _body) = request.into_parts();
    let project = prove(&app, address, asked, &parts.headers, deadline).await?;
    handshake::consent(&parts.headers, &project, "OPTIONS, POST")
}

/// The project whose token the request has.
async fn prove(
    app: &App,
    address: Address,
    asked: Asked,
    headers: &HeaderMap,
    deadline: Instant,
) -> Result<Project, Rejection> {
    let asked = (address, asked.token);
    let project = proof::prove(app, asked, headers, deadline, secrets, refusal).await;
    project.map_err(proof::of_azure)
}

fn secrets(project: &Project) -> Secrets<'_> {
    proof::secret(project, "eventGridToken")
}

fn is_json(media: &str) -> bool {
    media == "application/json" || (media.starts_with("application/") && media.ends_with("+json"))
}

fn refusal(error: SignatureError) -> Rejection {
    let reason = match error {
        SignatureError::NoSecret => "set eventGridToken in the project's secrets",
        SignatureError::Missing | SignatureError::Malformed | SignatureError::Forged => {
            "the project's eventGridToken must be the last part of the path, token in the query, or \
             Authorization: Bearer"
        }
    };
    Rejection::Unproved { code: StatusCode::FORBIDDEN, status: "Forbidden", reason }
}
