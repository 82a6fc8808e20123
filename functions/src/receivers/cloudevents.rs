//! Receives CloudEvents 1.0, from whatever sends them: structured, binary, or several in a batch.
//!
//! - Route: `POST` or `PUT /cloudevents/v1/{project}` with the project's id, or its name without a
//!   slash or with `%2F`, `/cloudevents/v1/{org}/{repository}`; `OPTIONS` there is the handshake against abuse
//! - Proof: a token, which is the project's `genericGatewaySecret`, or its `sharedSecret` if there is
//!   no such one: `Authorization: Bearer <token>` or `Basic` with the token as its password,
//!   `?access_token=<token>`, or the last part of the path, `/cloudevents/v1/{org}/{repository}/{token}`
//!   and `/cloudevents/v1/{project}/{token}` with the id or a `%2F`. The handshake needs it, too. Signatures prove nothing here:
//!   in binary mode most of an event is in headers, which nobody signs
//! - Events: the event's own `type`, from the provider `cloudevents`; versions before 1.0 are refused.
//!   The revision is `ref` and `commit` of the data, else the extensions of these names
//! - Payload: the event in JSON. What came in JSON is the sender's own text; an event in binary mode
//!   is written so, with its body as `data`, because a script sees no headers
//! - Identity: `source` and `id`
//! - Answer: as everywhere, but a success has no body for who sends `Prefer: reply`, as Knative's
//!   brokers do, which would read it as an event
//! - Limits: 4 MiB, 1000 events in a batch, of which all must be valid; there is no limit of rate, so
//!   no 429, and nothing is ever 410
//!
//! <https://github.com/cloudevents/spec/blob/main/cloudevents/http-webhook.md>

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::{MethodRouter, post};
use runtime::project::Project;
use serde::Deserialize;
use tokio::time::Instant;

use crate::address::Address;
use crate::answer::Answer;
use crate::app::App;
use crate::body;
use crate::builds;
use crate::cloudevent::{self, CloudEvent, Mode, binary, handshake};
use crate::proof;
use crate::rejection::Rejection;

/// The largest body that is read.
const LIMIT: usize = 4 * 1024 * 1024;

/// How many events a batch may have.
const BATCH: usize = 1000;

/// Who all these events are from.
const PROVIDER: &str = "cloudevents";

/// This function's routes.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/cloudevents/v1/{project}", methods())
        .route("/cloudevents/v1/{org}/{repository}", methods())
        .route("/cloudevents/v1/{org}/{repository}/{token}", methods())
}

fn methods() -> MethodRouter<App> {
    post(receive).put(receive).options(shake_hands)
}

#[derive(Default, Deserialize)]
struct Asked {
    access_token: Option<String>,
}

async fn receive(
    State(app): State<App>,
    Path(address): Path<Address>,
    request: Request,
) -> Result<Answer, Rejection> {
    let deadline = app.deadline();
    let asked = proof::query(request.uri(), "one `access_token`")?;
    let (parts, body) = body::read(request, LIMIT, deadline).await?;
    let mode = Mode::of(body::media_type(&parts.headers).as_deref())?;

    // Prove.
    let project = prove(&app, address, asked, &parts.headers, deadline).await?;

    // Translate.
    let events = match mode {
        Mode::Structured => vec![CloudEvent::of_json(&body)?],
        Mode::Binary => vec![binary::read(&parts.headers, &body)?],
        Mode::Batch => {
            let members = cloudevent::members(&body, BATCH)?.into_iter();
            let events = members.map(|member| CloudEvent::of_json(member.as_bytes()));
            events.collect::<Result<Vec<CloudEvent>, Rejection>>()?
        }
    };
    if events.is_empty() {
        let reason = "there are no events in the batch";
        return Ok(Answer::passed("status", "Success", reason, Some(&project)));
    }

    // Act.
    let events = events.into_iter().map(|event| Ok(event.event(PROVIDER))).collect();
    builds::answer(&app, deadline, &project, "Success", events).await
}

async fn shake_hands(
    State(app): State<App>,
    Path(address): Path<Address>,
    request: Request,
) -> Result<Response, Rejection> {
    let deadline = app.deadline();
    let asked = proof::query(request.uri(), "one `access_token`")?;
    let (parts, _body) = request.into_parts();
    let project = prove(&app, address, asked, &parts.headers, deadline).await?;
    handshake::consent(&parts.headers, &project, "OPTIONS, POST, PUT")
}

/// The project whose token the request has.
async fn prove(
    app: &App,
    address: Address,
    asked: Asked,
    headers: &HeaderMap,
    deadline: Instant,
) -> Result<Project, Rejection> {
    let asked = (address, asked.access_token);
    proof::prove(app, asked, headers, deadline, proof::tokens, |error| {
        proof::refusal(
            error,
            "set the project's genericGatewaySecret",
            "the project's genericGatewaySecret must come as Authorization: Bearer, as access_token \
             in the query, or as the last part of the path",
        )
    })
    .await
}
