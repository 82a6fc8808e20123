//! `.../scale` of what has replicas: how many there are to be, and nothing else.

use axum::response::Response;
use http::Method;
use serde_json::{Value, json};

use super::dry_run;
use super::update::{Change, modify};
use crate::admission::{Gate, Operation};
use crate::api::{Call, parse, plain};
use crate::failure::{Failure, FieldError};
use crate::managed::Writer;
use crate::object;
use crate::patch;
use crate::resources::Resource;

pub(crate) async fn scale(gate: &Gate<'_>) -> Result<Response, Failure> {
    let Gate { shared, target, call, .. } = gate;
    let resource = &target.resource;
    let key = target.key();
    if call.method == Method::GET {
        let found = shared.store.get(&resource.storage, &key);
        let found = found.ok_or_else(|| Failure::not_found(resource, &key.name))?;
        return Ok(plain(200, &shown(&found.value)));
    }
    let dry_run = dry_run(call, "UpdateOptions")?;
    let wanted = wanted(call)?;
    let manager = call.manager();
    let writer = Writer { manager: manager.into(), subresource: "scale" };
    // Webhooks are asked about the scale, not about the object that has it.
    let scaled = loop {
        let old = shared
            .store
            .get(&resource.storage, &key)
            .ok_or_else(|| Failure::not_found(resource, &key.name))?;
        let before = shown(&old.value);
        let mut scale = changed(resource, &key.name, &before, &wanted)?;
        if !gate.is_open() {
            let step = gate.step(Operation::Update, Some(&before), dry_run);
            scale = gate.admit_part(&step, scale).await?;
        }
        let replicas = replicas(&scale, &key.name)?;
        let unchanged = |now: &Value| {
            object::meta(now, "resourceVersion") == object::meta(&old.value, "resourceVersion")
        };
        let mut stale = false;
        let written = modify(shared, resource, &key, &writer, dry_run, |now| {
            stale = !unchanged(now);
            let mut new = now.clone();
            if !stale {
                new["spec"]["replicas"] = json!(replicas);
            }
            Ok(Change::Update(new))
        })?;
        if !stale {
            break written;
        }
    };
    Ok(plain(200, &shown(&scaled.value)))
}

/// What a request makes of a scale.
fn changed(
    resource: &Resource,
    name: &str,
    before: &Value,
    wanted: &Wanted,
) -> Result<Value, Failure> {
    let mut scale = before.clone();
    match wanted {
        Wanted::Whole(value) => scale = value.clone(),
        Wanted::Merge(patch) => patch::merge(&mut scale, patch),
        Wanted::Json(operations) => {
            patch::json(&mut scale, operations).map_err(super::patch::refused)?;
        }
    }
    let version = object::meta(&scale, "resourceVersion");
    if !version.is_empty() && version != object::meta(before, "resourceVersion") {
        return Err(Failure::modified(resource, name));
    }
    Ok(scale)
}

fn replicas(scale: &Value, name: &str) -> Result<i64, Failure> {
    let replicas = scale["spec"]["replicas"].as_i64().unwrap_or_default();
    if (0..=i64::from(i32::MAX)).contains(&replicas) {
        return Ok(replicas);
    }
    let error = FieldError::invalid(
        "spec.replicas",
        &json!(replicas),
        "must be greater than or equal to 0",
    );
    Err(Failure::invalid_kind("autoscaling", "Scale", name, &[error]))
}

/// What a request makes of the scale.
enum Wanted {
    Whole(Value),
    Merge(Value),
    Json(Value),
}

fn wanted(call: &Call) -> Result<Wanted, Failure> {
    if call.method == Method::PUT {
        return Ok(Wanted::Whole(parse(call, "Scale")?));
    }
    let body: Value = serde_json::from_slice(&call.body)
        .map_err(|error| Failure::bad_request(format!("error decoding patch: {error}")))?;
    match call.header("content-type").split(';').next().unwrap_or_default().trim() {
        "application/json-patch+json" => Ok(Wanted::Json(body)),
        "application/merge-patch+json" | "application/strategic-merge-patch+json"
            if body.is_object() =>
        {
            Ok(Wanted::Merge(body))
        }
        _ => Err(Failure::new(415, "UnsupportedMediaType", "415: Unsupported Media Type")
            .without_details()),
    }
}

/// The scale of an object.
fn shown(value: &Value) -> Value {
    let mut metadata = serde_json::Map::new();
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(found) = value["metadata"].get(field) {
            metadata.insert(field.to_owned(), found.clone());
        }
    }
    let labels = value["spec"]["selector"]["matchLabels"].as_object();
    let selector: Vec<String> = labels
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": {"replicas": value["spec"]["replicas"]},
        "status": {
            "replicas": value["status"]["replicas"].as_i64().unwrap_or_default(),
            "selector": selector.join(","),
        },
    })
}
