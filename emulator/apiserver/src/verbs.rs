//! The verbs: one file each. `run` finds the one that a request asks for.

mod bootstrap;
mod connect;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod go;
mod list;
mod log;
mod parts;
mod patch;
mod reviews;
mod scale;
mod token;
pub(crate) mod update;
mod watch;

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::Method;

pub(crate) use bootstrap::bootstrap;

use crate::admission::Gate;
use crate::api::{Call, Target, View, json, warn};
use crate::custom;
use crate::failure::{Failure, FieldError};
use crate::server::Shared;

/// Carries out a request on an object or a collection.
pub(crate) async fn run(
    shared: &Arc<Shared>,
    target: &Target,
    call: &Call,
) -> Result<Response, Failure> {
    let target = &custom::collection(target, call);
    let gate = Gate::new(shared, target, call);
    if gate.is_open() {
        return dispatch(shared, &gate).await;
    }
    let answer = dispatch(shared, &gate).await;
    let warnings = gate.warnings();
    match answer {
        Err(failure) if !warnings.is_empty() => Ok(warn(failure.into_response(), &warnings)),
        other => other.map(|response| warn(response, &warnings)),
    }
}

async fn dispatch(shared: &Arc<Shared>, gate: &Gate<'_>) -> Result<Response, Failure> {
    let Gate { target, call, .. } = gate;
    let resource = &target.resource;
    // The old paths of watches are for watching only.
    if target.watch && (call.method != Method::GET || !target.subresource.is_empty()) {
        return Err(Failure::method_not_allowed());
    }
    let creates = call.method == Method::POST && target.name.is_none();
    let listed = call.method == Method::GET || !resource.is("", "ComponentStatus");
    if !listed || resource.is("", "Binding") {
        return Err(Failure::method_not_allowed());
    }
    if !resource.stored && !creates {
        return Err(Failure::method_not_allowed());
    }
    if let Some(answer) = custom::first(target, call) {
        return answer;
    }
    let item = target.name.is_some();
    if matches!(target.subresource.as_str(), "attach" | "exec" | "portforward" | "proxy") {
        gate.connect().await?;
    }
    match (&call.method, item, target.subresource.as_str()) {
        (&Method::GET, _, "") if target.watch => watch::watch(shared, target, call),
        (&Method::GET, false, "") if call.query.flag("watch") => watch::watch(shared, target, call),
        (&Method::GET, false, "") => list::list(shared, target, call).await,
        (&Method::POST, false, "") if resource.namespaced && target.namespace.is_none() => {
            Err(Failure::method_not_allowed())
        }
        (&Method::POST, false, "") if !resource.stored => reviews::review(shared, target, call),
        (&Method::GET | &Method::PUT | &Method::PATCH, true, "scale") => scale::scale(gate).await,
        (&Method::GET, true, "log") => log::log(shared, target, call),
        (&Method::GET | &Method::POST, true, "exec" | "attach" | "portforward") => {
            connect::connect(shared, target, call)
        }
        (&Method::POST, true, "token") => token::create(shared, target, call),
        (&Method::POST, true, "binding") => parts::bind(gate).await,
        (&Method::POST, true, "eviction") => parts::evict(gate).await,
        (&Method::POST, false, "") => create::create(gate).await,
        (&Method::DELETE, false, "") => delete::delete_collection(gate).await,
        (&Method::GET, true, "" | "status") => get(shared, target, call),
        (&Method::PUT, true, "" | "status" | "finalize") => update::replace(gate).await,
        (&Method::PATCH, true, "" | "status") => patch::patch(gate).await,
        (&Method::DELETE, true, "") => delete::delete(gate).await,
        _ => Err(Failure::method_not_allowed()),
    }
}

fn get(shared: &Arc<Shared>, target: &Target, call: &Call) -> Result<Response, Failure> {
    let view = View::of(call, &target.resource, false)?;
    let key = target.key();
    if let Some(version) = call.query.get("resourceVersion").filter(|one| !one.is_empty()) {
        let wanted: u64 = version.parse().map_err(|_| Failure::internal(format!(
            "resourceVersion: Invalid value: {version:?}: strconv.ParseUint: parsing {version:?}: invalid syntax"
        )))?;
        let current = shared.store.revision();
        if wanted > current {
            return Err(list::too_large(&target.resource, wanted, current));
        }
    }
    let object = shared
        .store
        .get(&target.resource.storage, &key)
        .ok_or_else(|| Failure::not_found(&target.resource, &key.name))?;
    Ok(json(200, view.object(&target.resource, &object)))
}

/// The fault of a `fieldValidation` that is none.
fn field_validation(call: &Call) -> Option<FieldError> {
    const ALLOWED: &[&str] = &["", "Ignore", "Strict", "Warn"];
    let value = call.query.get("fieldValidation").unwrap_or_default();
    let known = ALLOWED.contains(&value);
    (!known).then(|| {
        FieldError::unsupported("fieldValidation", &serde_json::Value::from(value), ALLOWED)
    })
}

/// Whether the request asks only what would happen.
///
/// # Errors
/// 422 for a value that is not `All`; `kind` names the options in the message.
fn dry_run(call: &Call, kind: &str) -> Result<bool, Failure> {
    let values: Vec<&str> = call.query.all("dryRun").filter(|value| !value.is_empty()).collect();
    if values.iter().any(|value| *value != "All") {
        let shown = serde_json::Value::from(values);
        let error = FieldError::unsupported("dryRun", &shown, &["All"]);
        return Err(Failure::invalid_kind("meta.k8s.io", kind, "", &[error]));
    }
    if kind != "DeleteOptions"
        && kind != "PatchOptions"
        && let Some(error) = field_validation(call)
    {
        return Err(Failure::invalid_kind("meta.k8s.io", kind, "", &[error]));
    }
    Ok(!values.is_empty())
}
