//! Defaults and checks of kinds that are kept as data: classes, webhooks, leases.

use serde_json::{Value, json};

use crate::failure::FieldError;
use crate::object;
use crate::resources::Resource;

pub(crate) fn storage_class_defaults(class: &mut Value) {
    let class = object::map_mut(class);
    super::default(class, "reclaimPolicy", json!("Delete"));
    super::default(class, "volumeBindingMode", json!("Immediate"));
}

pub(crate) fn webhook_defaults(resource: &Resource, value: &mut Value) {
    let map = object::map_mut(value);
    for webhook in map.get_mut("webhooks").and_then(Value::as_array_mut).into_iter().flatten() {
        let webhook = object::map_mut(webhook);
        super::default(webhook, "failurePolicy", json!("Fail"));
        super::default(webhook, "matchPolicy", json!("Equivalent"));
        super::default(webhook, "namespaceSelector", json!({}));
        super::default(webhook, "objectSelector", json!({}));
        super::default(webhook, "timeoutSeconds", json!(10));
        if resource.kind.starts_with("Mutating") {
            super::default(webhook, "reinvocationPolicy", json!("Never"));
        }
        for rule in webhook.get_mut("rules").and_then(Value::as_array_mut).into_iter().flatten() {
            super::default(object::map_mut(rule), "scope", json!("*"));
        }
        if let Some(Value::Object(client)) = webhook.get_mut("clientConfig")
            && let Some(Value::Object(service)) = client.get_mut("service")
        {
            super::default(service, "port", json!(443));
        }
    }
}

pub(crate) fn check_lease(lease: &Value, errors: &mut Vec<FieldError>) {
    let spec = &lease["spec"];
    if let Some(seconds) = spec["leaseDurationSeconds"].as_i64()
        && seconds <= 0
    {
        errors.push(FieldError::invalid(
            "spec.leaseDurationSeconds",
            &json!(seconds),
            "must be greater than 0",
        ));
    }
    if let Some(count) = spec["leaseTransitions"].as_i64()
        && count < 0
    {
        errors.push(FieldError::invalid(
            "spec.leaseTransitions",
            &json!(count),
            "must be greater than or equal to 0",
        ));
    }
    if spec["holderIdentity"].as_str().is_some_and(str::is_empty) {
        errors.push(FieldError::invalid("spec.holderIdentity", &json!(""), "must not be empty"));
    }
}
