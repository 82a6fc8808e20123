//! `.../scale` of what has replicas: how many there are to be, and nothing else.

use axum::response::Response;
use http::Method;
use serde_json::{Value, json};

use super::dry_run;
use super::update::{Change, modify};
use crate::admission::{Gate, Operation};
use crate::api::{Call, parse, plain};
use crate::custom;
use crate::failure::{Failure, FieldError};
use crate::managed::Writer;
use crate::object;
use crate::patch;
use crate::resources::Resource;

pub(crate) async fn scale(gate: &Gate<'_>) -> Result<Response, Failure> {
    let Gate { shared, target, call, .. } = gate;
    let resource = &target.resource;
    let key = target.key();
    let places = Places::of(resource);
    if call.method == Method::GET {
        let found = shared.store.get(&resource.storage, &key);
        let found = found.ok_or_else(|| Failure::not_found(resource, &key.name))?;
        if resource.custom.is_some() && custom::find(&found.value, &places.wanted).is_none() {
            return Err(Failure::new(
                500,
                "InternalError",
                format!(
                    "Internal error occurred: the spec replicas field {:?} does not exist",
                    places.wanted
                ),
            ));
        }
        return Ok(plain(200, &shown(&places, &found.value)));
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
        let before = shown(&places, &old.value);
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
                set(&mut new, &places.wanted, json!(replicas));
            }
            Ok(Change::Update(new))
        })?;
        if !stale {
            break written;
        }
    };
    Ok(plain(200, &shown(&places, &scaled.value)))
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

/// Where an object has its replicas.
struct Places {
    wanted: String,
    present: String,
    /// Where a custom resource has its selector as a text; else it has labels.
    selector: Option<String>,
}

impl Places {
    fn of(resource: &Resource) -> Self {
        match resource.custom.as_ref().and_then(|custom| custom.scale.clone()) {
            Some(scale) => Places {
                wanted: scale.wanted,
                present: scale.present,
                selector: Some(scale.selector),
            },
            None => Places {
                wanted: ".spec.replicas".to_owned(),
                present: ".status.replicas".to_owned(),
                selector: None,
            },
        }
    }
}

/// Sets a value at a path like `.spec.replicas`.
fn set(value: &mut Value, path: &str, to: Value) {
    let mut place = value;
    for step in path.trim_start_matches('.').split('.') {
        place = object::map_mut(place).entry(step.to_owned()).or_insert(Value::Null);
    }
    *place = to;
}

/// The scale of an object.
fn shown(places: &Places, value: &Value) -> Value {
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
    let count = |path: &str| custom::find(value, path).cloned().filter(Value::is_i64);
    let selector = match &places.selector {
        Some(path) if path.is_empty() => String::new(),
        Some(path) => {
            custom::find(value, path).and_then(Value::as_str).unwrap_or_default().to_owned()
        }
        None => selector.join(","),
    };
    let mut spec = json!({});
    if let Some(wanted) = count(&places.wanted).filter(|wanted| *wanted != 0) {
        spec["replicas"] = wanted;
    }
    let mut status = json!({"replicas": count(&places.present).unwrap_or(json!(0))});
    if !selector.is_empty() || places.selector.is_none() {
        status["selector"] = json!(selector);
    }
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": spec,
        "status": status,
    })
}
