//! Receives the Events of a Kubernetes cluster: from its API server, which asks a validating admission
//! webhook, and from exporters, which post them.
//!
//! - Route: `POST /events/kubernetes/{project}` with the project's id, or its name without a slash or
//!   with `%2F`, `/events/kubernetes/{org}/{repository}`
//! - Proof: a token, which is the project's `genericGatewaySecret`, or its `sharedSecret` if there is
//!   no such one: the last part of the path, `/events/kubernetes/{org}/{repository}/{token}` and
//!   `/events/kubernetes/{project}/{token}` with the id or a `%2F`, since the address of a webhook has no query; `?token=`, or
//!   `Authorization: Bearer <token>`
//! - Events: `<kind of the object>:<reason>` from the provider `k8s-gateway`, as Brigade's gateway for
//!   them; of the Events that are created, and of those that happened again. The first of the
//!   project's `kubernetes.eventFilters` that fits decides, and none rejects. Events about what
//!   builds are made of are never built, and others in the builds' namespace only where the filter
//!   that decides names that
//! - Payload: the Event in JSON, as the sender wrote it
//! - Identity: the Event's `uid`, and how often it has happened
//! - Limits: 4 MiB, 1000 Events in a list. What the API server asks is allowed before its `?timeout=`,
//!   whatever becomes of it, and a dry run has no effects. Without the token, without a project, or
//!   while too much arrives at once, the answer is no review: so the webhook must have
//!   `failurePolicy: Ignore`, where the default would keep the cluster from writing Events
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/>

use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use runtime::project::Project;
use runtime::units;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::address::Address;
use crate::answer::Answer;
use crate::app::App;
use crate::body;
use crate::builds;
use crate::delivery::Record;
use crate::lenient::line;
use crate::proof;
use crate::rejection::Rejection;

use self::translation::{Delivery, Happened, Review, Taken};

mod translation;

#[cfg(test)]
mod tests;

/// The largest body that is read: an Event, and what it was before, are a few kilobytes.
const LIMIT: usize = 4 * 1024 * 1024;

/// This function's routes.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/events/kubernetes/{project}", post(receive))
        .route("/events/kubernetes/{org}/{repository}", post(receive))
        .route("/events/kubernetes/{org}/{repository}/{token}", post(receive))
}

#[derive(Default, Deserialize)]
struct Asked {
    timeout: Option<String>,
    token: Option<String>,
}

async fn receive(
    State(app): State<App>,
    Path(address): Path<Address>,
    request: Request,
) -> Result<Response, Rejection> {
    let asked: Asked = proof::query(request.uri(), "one `token` and one `timeout`")?;
    let deadline = deadline(&app, asked.timeout.as_deref());
    let (parts, body) = body::read(request, LIMIT, deadline).await?;
    let media = body::media_type(&parts.headers);
    if media.is_some_and(|media| !matches!(media.as_str(), "application/json" | "text/json")) {
        return Err(Rejection::Unsupported { reason: "the Content-Type must be application/json" });
    }

    // Prove.
    let project = match prove(&app, address, asked, &parts.headers, deadline).await {
        Ok(project) => project,
        // Nobody knows the token now, and what is asked is only whether others may go on.
        Err(unknown @ (Rejection::Away { .. } | Rejection::Refused { .. })) => {
            let Ok(Delivery::Review(review)) = Delivery::read(&body) else { return Err(unknown) };
            return Ok(allow(&review, Err(unknown)));
        }
        Err(rejection) => return Err(rejection),
    };

    // Translate, and act.
    match Delivery::read(&body)? {
        Delivery::Review(review) => {
            let result = match review.happened() {
                Ok(json) => one(&app, deadline, &project, json).await,
                Err(reason) => Ok(Answer::ignored(reason, Some(&project))),
            };
            Ok(allow(&review, result))
        }
        Delivery::One(json) => Ok(one(&app, deadline, &project, json).await?.into_response()),
        Delivery::Several(items) => {
            Ok(several(&app, deadline, &project, items).await?.into_response())
        }
    }
}

/// When the answer must be there: a while before the API server stops to wait for it.
fn deadline(app: &App, timeout: Option<&str>) -> Instant {
    let timeout = timeout.and_then(units::duration).unwrap_or(Duration::MAX);
    let own = app.deadline();
    Instant::now().checked_add(timeout / 10 * 9).map_or(own, |asked| own.min(asked))
}

async fn one(
    app: &App,
    deadline: Instant,
    project: &Project,
    json: &str,
) -> Result<Answer, Rejection> {
    match taken(app, deadline, project, json).await? {
        Taken::Event(event) => {
            builds::answer(app, deadline, project, "Success", vec![Ok(*event)]).await
        }
        Taken::Not(reason) => Ok(Answer::ignored(reason, Some(project))),
    }
}

async fn several(
    app: &App,
    deadline: Instant,
    project: &Project,
    items: Vec<&str>,
) -> Result<Answer, Rejection> {
    let (count, mut events, mut first) = (items.len(), Vec::new(), None);
    let mut malformed = None;
    for json in items {
        match taken(app, deadline, project, json).await {
            Ok(Taken::Event(event)) => events.push(Ok(*event)),
            Ok(Taken::Not(reason)) => first = first.or(Some(reason)),
            Err(rejection @ Rejection::Malformed { .. }) => malformed = Some(rejection),
            Err(rejection) => return Err(rejection),
        }
    }
    if events.is_empty() {
        return match (first, malformed) {
            (None, Some(rejection)) => Err(rejection),
            (first, _) => {
                let why = first.map(|first| format!(": {first}")).unwrap_or_default();
                let reason = format!("none of {count} Events is built{why}");
                Ok(Answer::ignored(reason, Some(project)))
            }
        };
    }
    events.extend(malformed.map(Err));
    builds::answer(app, deadline, project, "Success", events).await
}

/// Whether the project takes an Event. Builds must not be made of what builds do.
async fn taken(
    app: &App,
    deadline: Instant,
    project: &Project,
    json: &str,
) -> Result<Taken, Rejection> {
    let happened = Happened::read(json)?;
    let taken = happened.taken(project);
    // The pods of a build whose id somebody chose have names like any other.
    if matches!(taken, Taken::Event(_)) && happened.is_about_a_pod_in(&project.namespace) {
        let cluster = app.cluster.with_deadline(deadline);
        let pod = cluster.pod(&project.namespace, happened.name()).await?;
        let labels = pod.and_then(|pod| pod.metadata.labels).unwrap_or_default();
        if labels.get("heritage").is_some_and(|heritage| heritage == "brigade") {
            return Ok(Taken::Not("the pod is a build's own".to_owned()));
        }
    }
    Ok(taken)
}

/// The answer to the API server: others may go on. What became of the Event is in its audit log.
fn allow(review: &Review<'_>, result: Result<Answer, Rejection>) -> Response {
    let record = result.into_response().extensions_mut().remove::<Record>().unwrap_or_default();
    let mut audit = json!({"outcome": record.outcome, "reason": line(&record.reason, 200)});
    if let Some(build) = &record.build {
        audit["build"] = Value::String(build.clone());
    }
    let mut response = Json(json!({
        "apiVersion": review.api_version(),
        "kind": "AdmissionReview",
        "response": {"uid": review.uid(), "allowed": true, "auditAnnotations": audit},
    }))
    .into_response();
    response.extensions_mut().insert(record);
    response
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
    proof::prove(app, asked, headers, deadline, proof::tokens, |error| {
        proof::refusal(
            error,
            "set the project's genericGatewaySecret",
            "the project's genericGatewaySecret must be the last part of the path, token in the query, \
             or Authorization: Bearer",
        )
    })
    .await
}
