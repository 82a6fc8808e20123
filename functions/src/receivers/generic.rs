//! Receives events of programs that know nothing of Brigantine, as Brigade's generic gateway did.
//!
//! - Route: `POST /simpleevents/v1/{project}/{secret}`, `POST /cloudevents/v02/{project}/{secret}`
//!   with the project's id, or its name without a slash or with `%2F`; without the secret where the
//!   proof is in a header
//! - Proof: the project's `genericGatewaySecret`, in the path; or in a header,
//!   `Authorization: Bearer <secret>` or `Basic` with the secret as its password. Or the secret signs:
//!   `webhook-signature` (Standard Webhooks), or `X-Hub-Signature-256` over the body
//! - Events: `simpleevent`, `cloudevent` (of version 0.2, structured, and no other), both from the
//!   provider `GenericWebhook`. The revision is `ref` and `commit` of the body, or of the
//!   CloudEvent's `data`; where both are missing it is `master`
//! - Identity: a CloudEvent's `source` and `id`. A simple event has none, as every POST means a new
//!   one, unless a header names it: `webhook-id` or `Idempotency-Key`, from who has the secret. Where
//!   the secret signs, only what is signed can: `webhook-id` for Standard Webhooks, else the body,
//!   so that what was overheard cannot be replayed, and the same body is the same event
//! - Limits: 4 MiB
//!
//! As in Brigade, a project that does not exist is 400. What Brigade did wrong: data that was no
//! object ended its gateway, and wrong secrets were in its log. Its experimental gateway for Trello
//! (`/trello/{project}`, `/generic/{project}`) looked at no proof at all, and is not here: what can
//! send a secret can send simple events.
//!
//! <https://docs.brigade.sh/topics/genericgateway/>, <https://www.standardwebhooks.com>

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use jiff::Timestamp;
use runtime::event::Identity;
use runtime::project::Project;
use runtime::signature::scheme::{GITHUB, STANDARD_WEBHOOKS};
use runtime::signature::{self, Secrets, SignatureError};
use serde::Deserialize;

use crate::answer::Answer;
use crate::app::App;
use crate::body;
use crate::builds;
use crate::proof;
use crate::rejection::Rejection;

use self::translation::{legacy_cloudevent, simple_event};

mod translation;

/// The largest body that is read.
const LIMIT: usize = 4 * 1024 * 1024;

/// This function's routes.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/simpleevents/v1/{project}", post(receive_simple_event))
        .route("/simpleevents/v1/{project}/{secret}", post(receive_simple_event))
        .route("/cloudevents/v02/{project}", post(receive_cloudevent))
        .route("/cloudevents/v02/{project}/{secret}", post(receive_cloudevent))
}

#[derive(Deserialize)]
struct Address {
    project: String,
    secret: Option<String>,
}

/// What a delivery is proved by, and so what its identity can be taken from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Proof {
    /// The secret itself: its headers are the sender's, too.
    Secret,
    /// A signature over its name and its body.
    StandardWebhooks,
    /// A signature over its body.
    Signature,
}

async fn receive_simple_event(
    State(app): State<App>,
    Path(address): Path<Address>,
    request: Request,
) -> Result<Answer, Rejection> {
    let deadline = app.deadline();
    let (parts, body) = body::read(request, LIMIT, deadline).await?;

    // Prove.
    let project = app.project(&address.project, deadline).await.map_err(as_brigade)?;
    let proof = prove(&project, &parts.headers, address.secret.as_deref(), &body)?;

    // Translate.
    let mut event = simple_event(body)?;
    event.identity = match (proof, name(&parts.headers, proof)?) {
        (_, Some(name)) => Identity::Content(name.into()),
        (Proof::Signature, None) => Identity::Content(event.payload.clone()),
        (_, None) => Identity::Fresh,
    };

    // Act.
    let made = builds::make(&app, deadline, &project, event).await?;
    Ok(Answer::Made { status: "Success. Build created", made: Box::new(made) })
}

async fn receive_cloudevent(
    State(app): State<App>,
    Path(address): Path<Address>,
    request: Request,
) -> Result<Answer, Rejection> {
    let deadline = app.deadline();
    let (parts, body) = body::read(request, LIMIT, deadline).await?;

    // Prove.
    let project = app.project(&address.project, deadline).await.map_err(as_brigade)?;
    prove(&project, &parts.headers, address.secret.as_deref(), &body)?;

    // Translate.
    let event = legacy_cloudevent(body)?;

    // Act.
    let made = builds::make(&app, deadline, &project, event).await?;
    Ok(Answer::Made { status: "Success", made: Box::new(made) })
}

fn prove(
    project: &Project,
    headers: &HeaderMap,
    in_path: Option<&str>,
    body: &[u8],
) -> Result<Proof, Rejection> {
    let secrets = Secrets::of(&project.generic_gateway_secret);
    proved(&secrets, headers, in_path, body).map_err(|error| {
        proof::refusal(
            error,
            "set the project's genericGatewaySecret",
            "the project's genericGatewaySecret must be the last part of the path, come as \
             Authorization: Bearer, or sign the delivery as webhook-signature or \
             X-Hub-Signature-256",
        )
    })
}

/// One proof is looked at. A secret in the path is one, so that nothing beside it makes it good.
fn proved(
    secrets: &Secrets<'_>,
    headers: &HeaderMap,
    in_path: Option<&str>,
    body: &[u8],
) -> Result<Proof, SignatureError> {
    let signatures = [(STANDARD_WEBHOOKS, Proof::StandardWebhooks), (GITHUB, Proof::Signature)];
    for (scheme, proof) in signatures {
        if in_path.is_none() && headers.contains_key(scheme.header) {
            scheme.verify(secrets, headers, body, Timestamp::now())?;
            return Ok(proof);
        }
    }
    let token = match in_path {
        Some(secret) => Some(secret.to_owned()),
        None => proof::token(headers, None)?,
    };
    signature::verify_token(secrets, token.as_deref())?;
    Ok(Proof::Secret)
}

/// The name that the sender gave the delivery, if nobody else can have given it that.
fn name(headers: &HeaderMap, proof: Proof) -> Result<Option<String>, Rejection> {
    let headers_that_count: &[&str] = match proof {
        Proof::Secret => &["idempotency-key", "webhook-id"],
        Proof::StandardWebhooks => &["webhook-id"],
        Proof::Signature => &[],
    };
    proof::name(headers, headers_that_count)
}

/// What Brigade's gateway said where there is no such project.
fn as_brigade(rejection: Rejection) -> Rejection {
    let (status, reason) = rejection.words();
    match rejection.code() {
        StatusCode::NOT_FOUND => Rejection::Malformed { status, reason: reason.to_owned() },
        _ => rejection,
    }
}
