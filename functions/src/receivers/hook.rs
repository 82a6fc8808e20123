//! Receives the events of senders of which we know nothing, by rules that a project has for them.
//!
//! - Route: `POST /events/hook/{project}/{name}` with the project's id, or its name without a slash
//!   or with `%2F`, `POST /events/hook/{org}/{repository}/{name}`; `name` is the rule's
//! - Proof: as the rule says. By default a token: `Authorization: Bearer <token>`, `Basic` with the
//!   token as its password or `Authorization: <token>`, `X-Registry-Token: <token>`, or
//!   `?token=<token>`; the project's `genericGatewaySecret`, or its `sharedSecret` if there is no
//!   such one. Or a header that is the token, an HMAC over the body in a header, or Standard
//!   Webhooks, with any of the project's secrets
//! - Events: as the rule says (`runtime::project::hooks`), from the provider of the rule's name; or
//!   none, where its `when` does not hold or there is no name. With `each`, every element of a list
//!   is an event of its own, at most 256 of them, and its payload is the body with that element
//!   alone in the list
//! - Identity: what the rule's `identity` names; else `Idempotency-Key` or `webhook-id`, where the
//!   sender's token or signature vouches for it; else the body, and the element's place in the list
//! - Limits: 1 MiB of JSON, whatever the `Content-Type` says of it, since nothing is heard without a
//!   proof; the payloads of one delivery together 16 MiB
//!
//! Every project has the rule `alertmanager`, for Prometheus' Alertmanager and for Grafana: an event
//! `alert`, `alert:firing` or `alert:resolved` for each alert, once for each time that it fires.
//!
//! <https://prometheus.io/docs/alerting/latest/configuration/#webhook_config>,
//! <https://www.rfc-editor.org/rfc/rfc6901>, <https://www.standardwebhooks.com>

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use axum::routing::post;
use jiff::Timestamp;
use runtime::project::Project;
use runtime::project::hooks::{Hook, Proof};
use runtime::signature::{self, Secrets, SignatureError};
use serde::Deserialize;

use self::translation::translate;
use crate::answer::Answer;
use crate::app::App;
use crate::body;
use crate::builds;
use crate::filter::{self, Seen};
use crate::host::writer;
use crate::proof;
use crate::rejection::Rejection;

mod translation;

#[cfg(test)]
mod tests;

/// The largest body that is read.
const LIMIT: usize = 1024 * 1024;

/// This function's routes.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/events/hook/{project}/{name}", post(by_project))
        .route("/events/hook/{org}/{repository}/{name}", post(by_repository))
}

#[derive(Default, Deserialize)]
struct Asked {
    token: Option<String>,
}

async fn by_project(
    State(app): State<App>,
    Path((project, name)): Path<(String, String)>,
    request: Request,
) -> Result<Answer, Rejection> {
    receive(app, project, name, request).await
}

async fn by_repository(
    State(app): State<App>,
    Path((org, repository, name)): Path<(String, String, String)>,
    request: Request,
) -> Result<Answer, Rejection> {
    receive(app, format!("{org}/{repository}"), name, request).await
}

async fn receive(
    app: App,
    project: String,
    name: String,
    request: Request,
) -> Result<Answer, Rejection> {
    let deadline = app.deadline();
    let asked: Asked = proof::query(request.uri(), "one `token`")?;
    let (parts, body) = body::read(request, LIMIT, deadline).await?;

    // Prove.
    let project = app.project(&project, deadline).await?;
    let hook = project.hooks.find(&name);
    prove(&project, hook.as_ref(), &parts.headers, asked.token.as_deref(), &body).map_err(
        |error| {
            proof::refusal(
                error,
                "set the secret of the project's rule, or the project's genericGatewaySecret",
                "the delivery must be proved as the project's rule of this name says; without a \
             proof in it, the project's genericGatewaySecret must come in Authorization, as \
             X-Registry-Token or as ?token=",
            )
        },
    )?;

    let hook = hook.ok_or(Rejection::NotFound)?;
    // The project's own secret may be a host's, too.
    if hook.secret.is_none() && matches!(hook.proof, Proof::Signature { .. }) {
        writer::must_be(None, &body)?;
    }

    // Translate.
    let name = proof::name(&parts.headers, names(&hook.proof))?;
    let (events, mut reason) = translate(&hook, &parts.headers, name.as_deref(), &body)?;
    let mut taken = Vec::new();
    for event in events {
        let seen = Seen::of(&event.revision.reference);
        match filter::take(&project, &["*".to_owned()], event, &seen) {
            Ok(event) => taken.push(Ok(event)),
            Err(why) => reason = why,
        }
    }
    if taken.is_empty() {
        return Ok(Answer::ignored(reason, Some(&project)));
    }

    // Act.
    builds::answer(&app, deadline, &project, "Success", taken).await
}

fn prove(
    project: &Project,
    hook: Option<&Hook>,
    headers: &HeaderMap,
    asked: Option<&str>,
    body: &[u8],
) -> Result<(), SignatureError> {
    let by_token = |secrets: &Secrets<'_>| {
        let token = proof::bare_token(headers, asked)?;
        signature::verify_token(secrets, token.as_deref())
    };
    let Some(hook) = hook else {
        // Only who has the project's token hears that there is no such rule: the names are nobody
        // else's to try.
        return by_token(&proof::tokens(project)).map_err(|_any| SignatureError::Missing);
    };
    let secrets = match &hook.secret {
        Some(secret) => Secrets::of(secret),
        None => proof::tokens(project),
    };
    match (hook.proof.scheme(), &hook.proof) {
        (Some(scheme), _) => scheme.verify(&secrets, headers, body, Timestamp::now()),
        (None, Proof::Header(name)) => signature::verify_header(&secrets, headers, name.as_str()),
        (None, _) => by_token(&secrets),
    }
}

/// The headers that may name a delivery: those that only the sender can have written.
fn names(proof: &Proof) -> &'static [&'static str] {
    match proof {
        Proof::Token | Proof::Header(_) => &["idempotency-key", "webhook-id"],
        Proof::StandardWebhooks => &["webhook-id"],
        Proof::Signature { .. } => &[],
    }
}
