//! Deployments and the other kinds of the apps group: what is filled in, and what is refused.

use serde_json::{Value, json};

use super::{podspec, selectors};
use crate::failure::FieldError;
use crate::object;
use crate::resources::Resource;
use crate::selectors::Labels;

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

/// Which template of a daemon set its pods are of.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

/// Counts the templates of a daemon set.
pub(crate) fn count_templates(resource: &Resource, old: Option<&Value>, new: &mut Value) {
    if resource.kind != "DaemonSet" {
        return;
    }
    let before = old.map(|old| {
        let text = old["metadata"]["annotations"][TEMPLATE_GENERATION].as_str();
        text.and_then(|text| text.parse::<i64>().ok()).unwrap_or_default()
    });
    let count = match (before, old) {
        (Some(before), Some(old)) if old["spec"]["template"] == new["spec"]["template"] => before,
        (Some(before), _) => before + 1,
        (None, _) => 1,
    };
    object::child_mut(object::metadata_mut(new), "annotations")
        .insert(TEMPLATE_GENERATION.into(), json!(count.to_string()));
}

/// The faults of an object, in the order in which the real server finds them.
pub(crate) fn check(resource: &Resource, value: &Value, errors: &mut Vec<FieldError>) {
    let spec = &value["spec"];
    if resource.kind == "StatefulSet" {
        check_stateful(spec, errors);
    }
    not_negative(spec, "replicas", errors);
    if resource.kind == "ReplicaSet" || resource.kind == "StatefulSet" {
        not_negative(spec, "minReadySeconds", errors);
    }
    check_selector(resource, spec, errors);
    // The volumes of a stateful set's pods are not known before there are claims.
    if resource.kind != "StatefulSet" {
        podspec::check(&spec["template"]["spec"], "spec.template.spec", errors);
    }
    let restart = object::text(spec, &["template", "spec", "restartPolicy"]);
    if !matches!(restart, "" | "Always") {
        errors.push(FieldError::unsupported(
            "spec.template.spec.restartPolicy",
            &json!(restart),
            &["Always"],
        ));
    }
    if spec["template"]["spec"]["activeDeadlineSeconds"].is_number() {
        errors.push(FieldError::forbidden(
            "spec.template.spec.activeDeadlineSeconds",
            &format!("activeDeadlineSeconds in {} is not Supported", resource.kind),
        ));
    }
    match resource.kind.as_str() {
        "Deployment" => check_deployment(spec, errors),
        "DaemonSet" => {
            not_negative(spec, "minReadySeconds", errors);
            check_type(spec, "updateStrategy", &["OnDelete", "RollingUpdate"], errors);
            not_negative(spec, "revisionHistoryLimit", errors);
        }
        _ => {}
    }
}

/// What may not change.
pub(crate) fn check_update(
    resource: &Resource,
    old: &Value,
    new: &Value,
    errors: &mut Vec<FieldError>,
) {
    let (old, new) = (&old["spec"], &new["spec"]);
    if resource.kind == "StatefulSet" {
        const FREE: &[&str] = &[
            "replicas",
            "ordinals",
            "template",
            "updateStrategy",
            "revisionHistoryLimit",
            "persistentVolumeClaimRetentionPolicy",
            "minReadySeconds",
        ];
        let frozen = |spec: &Value| {
            let mut spec = spec.clone();
            object::map_mut(&mut spec).retain(|key, _| !FREE.contains(&key.as_str()));
            spec
        };
        if frozen(old) != frozen(new) {
            errors.push(FieldError::forbidden(
                "spec",
                "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
            ));
        }
    } else if old["selector"] != new["selector"] {
        errors.push(FieldError::invalid("spec.selector", &new["selector"], "field is immutable"));
    }
}

fn check_selector(resource: &Resource, spec: &Value, errors: &mut Vec<FieldError>) {
    let Some(selector) = spec["selector"].as_object() else {
        errors.push(FieldError::required("spec.selector", ""));
        return;
    };
    selectors::check(&spec["selector"], "spec.selector", errors);
    let empty = selector.values().all(|one| {
        one.as_object().is_none_or(serde_json::Map::is_empty)
            && one.as_array().is_none_or(Vec::is_empty)
    });
    if empty {
        let detail = format!("empty selector is invalid for {}", resource.kind.to_lowercase());
        errors.push(FieldError::invalid("spec.selector", &spec["selector"], &detail));
        return;
    }
    let template = &spec["template"];
    if Labels::of(&spec["selector"]).is_some_and(|one| !one.matches(template)) {
        errors.push(FieldError::invalid(
            "spec.template.metadata.labels",
            &template["metadata"]["labels"],
            "`selector` does not match template `labels`",
        ));
    }
}

fn check_deployment(spec: &Value, errors: &mut Vec<FieldError>) {
    let strategy = &spec["strategy"];
    let before = errors.len();
    check_type(spec, "strategy", &["Recreate", "RollingUpdate"], errors);
    let field = "spec.strategy.rollingUpdate";
    if strategy["type"] == "Recreate" && strategy["rollingUpdate"].is_object() {
        errors.push(FieldError::forbidden(
            field,
            "may not be specified when strategy `type` is 'Recreate'",
        ));
    } else if errors.len() == before && strategy["type"] == "RollingUpdate" {
        let rolling = &strategy["rollingUpdate"];
        for key in ["maxUnavailable", "maxSurge"] {
            check_amount(&rolling[key], &format!("{field}.{key}"), errors);
        }
        let is_zero = |value: &Value| {
            value.as_i64() == Some(0)
                || value.as_str().is_some_and(|text| text.trim_end_matches('%') == "0")
        };
        if is_zero(&rolling["maxUnavailable"]) && is_zero(&rolling["maxSurge"]) {
            errors.push(FieldError::invalid(
                format!("{field}.maxUnavailable"),
                &rolling["maxUnavailable"],
                "may not be 0 when `maxSurge` is 0",
            ));
        }
    }
    for key in ["minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"] {
        not_negative(spec, key, errors);
    }
    let ready = spec["minReadySeconds"].as_i64().unwrap_or_default();
    if let Some(deadline) = spec["progressDeadlineSeconds"].as_i64().filter(|one| *one <= ready) {
        errors.push(FieldError::invalid(
            "spec.progressDeadlineSeconds",
            &json!(deadline),
            "must be greater than minReadySeconds",
        ));
    }
}

fn check_stateful(spec: &Value, errors: &mut Vec<FieldError>) {
    let policy = object::text(spec, &["podManagementPolicy"]);
    if policy.is_empty() {
        errors.push(FieldError::required("spec.podManagementPolicy", ""));
    } else if !matches!(policy, "OrderedReady" | "Parallel") {
        errors.push(FieldError::invalid(
            "spec.podManagementPolicy",
            &json!(policy),
            "must be 'OrderedReady' or 'Parallel'",
        ));
    }
    let strategy = object::text(spec, &["updateStrategy", "type"]);
    if strategy.is_empty() {
        errors.push(FieldError::required("spec.updateStrategy", ""));
    } else if !matches!(strategy, "OnDelete" | "RollingUpdate") {
        errors.push(FieldError::invalid(
            "spec.updateStrategy",
            &spec["updateStrategy"],
            "must be 'RollingUpdate' or 'OnDelete'",
        ));
    }
}

fn check_type(spec: &Value, key: &str, allowed: &[&str], errors: &mut Vec<FieldError>) {
    let found = object::text(spec, &[key, "type"]);
    if !allowed.contains(&found) {
        let field = format!("spec.{key}.type");
        errors.push(FieldError::unsupported(field, &json!(found), allowed));
    }
}

/// The fault of what is neither a number nor a share in percent.
fn check_amount(value: &Value, field: &str, errors: &mut Vec<FieldError>) {
    match value {
        Value::String(text) => {
            let digits = text.strip_suffix('%').unwrap_or_default();
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                errors.push(FieldError::invalid(
                    field,
                    value,
                    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
                ));
            }
        }
        _ if value.as_i64().is_some_and(|number| number < 0) => {
            let detail = "must be greater than or equal to 0";
            errors.push(FieldError::invalid(field, value, detail));
        }
        _ => {}
    }
}

fn not_negative(spec: &Value, key: &str, errors: &mut Vec<FieldError>) {
    if let Some(number) = spec[key].as_i64().filter(|number| *number < 0) {
        errors.push(FieldError::invalid(
            format!("spec.{key}"),
            &json!(number),
            "must be greater than or equal to 0",
        ));
    }
}
