//! Defaults and checks of kinds that are kept as data: workloads, services, classes, webhooks,
//! leases.

use serde_json::{Value, json};

use super::podspec;
use crate::failure::FieldError;
use crate::object;
use crate::resources::Resource;

pub(crate) fn defaults(resource: &Resource, value: &mut Value) {
    let spec = object::child_mut(object::map_mut(value), "spec");
    if resource.kind != "DaemonSet" {
        super::default(spec, "replicas", json!(1));
    }
    match resource.kind.as_str() {
        "Deployment" => {
            super::default(spec, "revisionHistoryLimit", json!(10));
            super::default(spec, "progressDeadlineSeconds", json!(600));
            let strategy = object::child_mut(spec, "strategy");
            super::default(strategy, "type", json!("RollingUpdate"));
            if strategy["type"] == "RollingUpdate" {
                let rolling = object::child_mut(strategy, "rollingUpdate");
                super::default(rolling, "maxSurge", json!("25%"));
                super::default(rolling, "maxUnavailable", json!("25%"));
            }
        }
        "StatefulSet" => {
            super::default(spec, "revisionHistoryLimit", json!(10));
            super::default(spec, "podManagementPolicy", json!("OrderedReady"));
            let strategy = object::child_mut(spec, "updateStrategy");
            super::default(strategy, "type", json!("RollingUpdate"));
            if strategy["type"] == "RollingUpdate" {
                super::default(strategy, "rollingUpdate", json!({"partition": 0}));
            }
            super::default(
                spec,
                "persistentVolumeClaimRetentionPolicy",
                json!({"whenDeleted": "Retain", "whenScaled": "Retain"}),
            );
        }
        "DaemonSet" => {
            super::default(spec, "revisionHistoryLimit", json!(10));
            let strategy = object::child_mut(spec, "updateStrategy");
            super::default(strategy, "type", json!("RollingUpdate"));
            if strategy["type"] == "RollingUpdate" {
                let rolling = object::child_mut(strategy, "rollingUpdate");
                super::default(rolling, "maxSurge", json!(0));
                super::default(rolling, "maxUnavailable", json!(1));
            }
        }
        _ => {}
    }
    let template = object::child_mut(spec, "template");
    podspec::defaults(object::child_mut(template, "spec"));
}

pub(crate) fn check(value: &Value, errors: &mut Vec<FieldError>) {
    let spec = &value["spec"];
    if !spec["selector"].is_object() {
        errors.push(FieldError::required("spec.selector", ""));
    } else {
        let labels = &spec["template"]["metadata"]["labels"];
        let matches = spec["selector"]["matchLabels"]
            .as_object()
            .into_iter()
            .flatten()
            .all(|(key, value)| labels[key] == *value);
        if !matches {
            errors.push(FieldError::invalid(
                "spec.template.metadata.labels",
                labels,
                "`selector` does not match template `labels`",
            ));
        }
    }
    podspec::check(&spec["template"]["spec"], "spec.template.spec", errors);
}

pub(crate) fn service_defaults(service: &mut Value) {
    let spec = object::child_mut(object::map_mut(service), "spec");
    super::default(spec, "sessionAffinity", json!("None"));
    super::default(spec, "type", json!("ClusterIP"));
    super::default(spec, "internalTrafficPolicy", json!("Cluster"));
    super::default(spec, "ipFamilies", json!(["IPv4"]));
    super::default(spec, "ipFamilyPolicy", json!("SingleStack"));
    if let Some(Value::Array(ports)) = spec.get_mut("ports") {
        for port in ports {
            let port = object::map_mut(port);
            super::default(port, "protocol", json!("TCP"));
            let number = port.get("port").cloned().unwrap_or_default();
            super::default(port, "targetPort", number);
        }
    }
}

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
