//! The question to a webhook: an `AdmissionReview` with its request; and what its patch makes of an
//! object.

use serde_json::{Map, Value, json};

use super::matching::Invocation;
use super::{Gate, Operation, Step};
use crate::api::{Call, Target, Validation, typed_raw};
use crate::events;
use crate::failure::Failure;
use crate::object;
use crate::patch;
use crate::resources::Resource;

/// The request of a review.
pub(super) fn request(
    gate: &Gate<'_>,
    invocation: &Invocation,
    step: &Step<'_>,
    object: Option<&Value>,
    uid: &str,
) -> Value {
    let (target, shown) = (gate.target, &*invocation.resource);
    let mut request = Map::new();
    let mut put = |key: &str, value: Value| {
        request.insert(key.to_owned(), value);
    };
    put("uid", json!(uid));
    put("kind", kind(shown, &target.subresource));
    put("resource", resource(shown));
    let part = &target.subresource;
    if !part.is_empty() {
        put("subResource", json!(part));
    }
    put("requestKind", kind(&target.resource, part));
    put("requestResource", resource(&target.resource));
    if !part.is_empty() {
        put("requestSubResource", json!(part));
    }
    if !step.name.is_empty() {
        put("name", json!(step.name));
    }
    let namespace = if shown.is("", "Namespace") { &step.name } else { &step.namespace };
    if !namespace.is_empty() {
        put("namespace", json!(namespace));
    }
    put("operation", json!(step.operation.text()));
    put("userInfo", gate.call.user.info());
    let form = |value: &Value| in_form(shown, part, value);
    put("object", object.map(form).unwrap_or_default());
    put("oldObject", step.old.map(form).unwrap_or_default());
    put("dryRun", json!(step.dry_run));
    put("options", options(gate.call, step));
    Value::Object(request)
}

fn kind(resource: &Resource, subresource: &str) -> Value {
    let (group, version, kind) = kind_of(resource, subresource);
    json!({"group": group, "version": version, "kind": kind})
}

/// The kind of what is written at a path: of the object, or of a part that has its own.
fn kind_of<'a>(resource: &'a Resource, subresource: &str) -> (&'a str, &'a str, &'a str) {
    if let Some(kind) = connect_kind(subresource) {
        return ("", "v1", kind);
    }
    match resource.subresource(subresource) {
        Some(part) if !part.kind.is_empty() => (part.group, part.version, part.kind),
        _ => (&resource.group, &resource.version, &resource.kind),
    }
}

/// The kind of the options of a connection.
fn connect_kind(subresource: &str) -> Option<&'static str> {
    match subresource {
        "attach" => Some("PodAttachOptions"),
        "exec" => Some("PodExecOptions"),
        "portforward" => Some("PodPortForwardOptions"),
        _ => None,
    }
}

fn resource(resource: &Resource) -> Value {
    json!({"group": resource.group, "version": resource.version, "resource": resource.plural})
}

/// A kept object with its kind, in the form of a resource.
fn in_form(resource: &Resource, subresource: &str, value: &Value) -> Value {
    let (group, version, kind) = kind_of(resource, subresource);
    let api_version =
        if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let mut whole = Map::new();
    whole.insert("kind".into(), json!(kind));
    whole.insert("apiVersion".into(), json!(api_version));
    if let Value::Object(fields) = events::to_shown(resource, value.clone()) {
        whole.extend(fields.into_iter().filter(|(key, _)| key != "kind" && key != "apiVersion"));
    }
    Value::Object(whole)
}

/// What the patch of a webhook makes of a kept object. Of a part of an object (`kept` is nothing)
/// the result is taken as it is.
///
/// # Errors
/// 500, as the webhook is at fault and not the client.
pub(super) fn patched(
    invocation: &Invocation,
    kept: Option<&Resource>,
    current: &Value,
    operations: &Value,
) -> Result<Value, Failure> {
    let shown = &*invocation.resource;
    let mut new = match kept {
        Some(_) => in_form(shown, "", current),
        None => current.clone(),
    };
    patch::json(&mut new, operations)
        .map_err(|_| Failure::internal_error("the patch of a webhook does not fit the object"))?;
    if kept.is_none() {
        return Ok(new);
    }
    let (new, _) = typed_raw(new, shown, Validation::Ignore, None)
        .map_err(|error| Failure::internal_error(&error))?;
    let mut new = events::to_kept(shown, new);
    let map = object::map_mut(&mut new);
    for key in ["kind", "apiVersion"] {
        match current.get(key) {
            Some(value) => map.insert(key.to_owned(), value.clone()),
            None => map.remove(key),
        };
    }
    Ok(new)
}

/// The options of the request, as an object.
fn options(call: &Call, step: &Step<'_>) -> Value {
    let kind = match step.operation {
        Operation::Create => "CreateOptions",
        Operation::Update => "UpdateOptions",
        Operation::Delete => "DeleteOptions",
        Operation::Connect => return Value::Null,
    };
    let mut options = Map::new();
    options.insert("kind".into(), json!(kind));
    options.insert("apiVersion".into(), json!("meta.k8s.io/v1"));
    if step.operation == Operation::Delete {
        if let Ok(Value::Object(body)) = crate::api::parse(call, kind) {
            options.extend(body.into_iter().filter(|(key, _)| !options_head(key)));
        }
        if let Ok(Some(grace)) = call.query.number("gracePeriodSeconds") {
            options.entry("gracePeriodSeconds").or_insert(json!(grace));
        }
        if let Some(policy) = call.query.get("propagationPolicy") {
            options.entry("propagationPolicy").or_insert(json!(policy));
        }
    } else {
        for key in ["fieldManager", "fieldValidation"] {
            if let Some(value) = call.query.get(key).filter(|value| !value.is_empty()) {
                options.insert(key.to_owned(), json!(value));
            }
        }
    }
    if step.dry_run {
        options.insert("dryRun".into(), json!(["All"]));
    }
    Value::Object(options)
}

fn options_head(key: &str) -> bool {
    matches!(key, "kind" | "apiVersion")
}

/// What a client asks of a connection, as the object of the review.
pub(super) fn connect_options(target: &Target, call: &Call) -> Value {
    let mut options = Map::new();
    if target.subresource == "portforward" {
        let ports: Vec<i64> =
            call.query.all("ports").filter_map(|port| port.parse().ok()).collect();
        if !ports.is_empty() {
            options.insert("ports".into(), json!(ports));
        }
        return Value::Object(options);
    }
    for stream in ["stdin", "stdout", "stderr", "tty"] {
        if call.query.flag(stream) {
            options.insert(stream.to_owned(), json!(true));
        }
    }
    if let Some(container) = call.query.get("container") {
        options.insert("container".into(), json!(container));
    }
    if target.subresource == "exec" {
        let command: Vec<&str> = call.query.all("command").collect();
        options.insert("command".into(), json!(command));
    }
    Value::Object(options)
}
