//! Events: an old one says what it is about, a new one also who says it and what was done.

use serde_json::{Value, json};

use crate::failure::FieldError;
use crate::names;
use crate::object;

/// The longest name of an instance, action or reason.
const SHORT: usize = 128;
/// The longest message.
const LONG: usize = 1024;

pub(crate) fn check(event: &Value, errors: &mut Vec<FieldError>) {
    let text = |key: &str| object::text(event, &[key]);
    let about = object::text(event, &["involvedObject", "namespace"]);
    let namespace = object::namespace(event);
    let new = event["eventTime"].is_string();
    let fits = match (about.is_empty(), new) {
        (true, false) => namespace == "default",
        (true, true) => matches!(namespace, "default" | "kube-system"),
        (false, false) => about == namespace,
        (false, true) => true,
    };
    if !fits {
        errors.push(FieldError::invalid(
            "involvedObject.namespace",
            &json!(about),
            "does not match event.namespace",
        ));
    }
    if !new {
        return;
    }
    let controller = text("reportingComponent");
    if controller.is_empty() {
        errors.push(FieldError::required("reportingComponent", ""));
    }
    for fault in names::label_key_faults(controller) {
        errors.push(FieldError::invalid("reportingComponent", &json!(controller), &fault));
    }
    for field in ["reportingInstance", "action", "reason"] {
        if text(field).is_empty() {
            errors.push(FieldError::required(field, ""));
        }
        limit(event, field, SHORT, errors);
    }
    limit(event, "message", LONG, errors);
}

fn limit(event: &Value, field: &str, limit: usize, errors: &mut Vec<FieldError>) {
    if object::text(event, &[field]).len() > limit {
        let why = format!("can have at most {limit} characters");
        errors.push(FieldError::invalid(field, &json!(""), &why));
    }
}

/// What is asked of an event that is made in its newer form.
pub(crate) fn check_new(event: &Value, errors: &mut Vec<FieldError>) {
    if event["series"].is_object() {
        if event["series"]["count"].as_i64().unwrap_or_default() < 2 {
            errors.push(FieldError::invalid("series.count", &json!(""), "should be at least 2"));
        }
        if !event["series"]["lastObservedTime"].is_string() {
            errors.push(FieldError::required("series.lastObservedTime", ""));
        }
    }
    if !event["eventTime"].is_string() {
        errors.push(FieldError::required("eventTime", ""));
    }
    let kind = object::text(event, &["type"]);
    if !matches!(kind, "Normal" | "Warning") {
        let why = format!("has invalid value: {kind}");
        errors.push(FieldError::invalid("type", &json!(""), &why));
    }
    let set = |key: &str| match &event[key] {
        Value::Null => false,
        Value::Object(map) => {
            map.values().any(|value| value.as_str().is_some_and(|text| !text.is_empty()))
        }
        Value::Number(number) => number.as_i64() != Some(0),
        _ => true,
    };
    for field in ["firstTimestamp", "lastTimestamp", "count", "source"] {
        if set(field) {
            errors.push(FieldError::invalid(field, &json!(""), "needs to be unset"));
        }
    }
}
