//! Roles and bindings.

use serde_json::{Value, json};

use crate::failure::FieldError;
use crate::object;
use crate::resources::Resource;

const GROUP: &str = "rbac.authorization.k8s.io";

pub(crate) fn defaults(resource: &Resource, value: &mut Value) {
    if !resource.kind.ends_with("Binding") {
        return;
    }
    let map = object::map_mut(value);
    if let Some(Value::Object(role)) = map.get_mut("roleRef")
        && role.get("apiGroup").and_then(Value::as_str).unwrap_or_default().is_empty()
    {
        role.insert("apiGroup".into(), json!(GROUP));
    }
    for subject in map.get_mut("subjects").and_then(Value::as_array_mut).into_iter().flatten() {
        let kind = object::text(subject, &["kind"]).to_owned();
        let subject = object::map_mut(subject);
        if matches!(kind.as_str(), "User" | "Group") {
            super::default(subject, "apiGroup", json!(GROUP));
        }
    }
}

pub(crate) fn check(resource: &Resource, value: &Value, errors: &mut Vec<FieldError>) {
    if resource.kind.ends_with("Binding") {
        check_binding(resource, value, errors);
        return;
    }
    for (index, rule) in object::list(value, &["rules"]).iter().enumerate() {
        let field = format!("rules[{index}]");
        let has = |key: &str| !object::list(rule, &[key]).is_empty();
        if !has("verbs") {
            errors.push(FieldError::required(
                format!("{field}.verbs"),
                "verbs must contain at least one value",
            ));
        }
        if has("nonResourceURLs") {
            if resource.namespaced {
                errors.push(FieldError::invalid(
                    format!("{field}.nonResourceURLs"),
                    &rule["nonResourceURLs"],
                    "namespaced rules cannot apply to non-resource URLs",
                ));
            }
            if has("apiGroups") || has("resources") || has("resourceNames") {
                errors.push(FieldError::invalid(
                    format!("{field}.nonResourceURLs"),
                    &rule["nonResourceURLs"],
                    "rules cannot apply to both regular resources and non-resource URLs",
                ));
            }
            continue;
        }
        if !has("apiGroups") {
            errors.push(FieldError::required(
                format!("{field}.apiGroups"),
                "resource rules must supply at least one api group",
            ));
        }
        if !has("resources") {
            errors.push(FieldError::required(
                format!("{field}.resources"),
                "resource rules must supply at least one resource",
            ));
        }
    }
}

fn check_binding(resource: &Resource, value: &Value, errors: &mut Vec<FieldError>) {
    let role = &value["roleRef"];
    let group = object::text(role, &["apiGroup"]);
    if group != GROUP {
        errors.push(FieldError::unsupported("roleRef.apiGroup", &json!(group), &[GROUP]));
    }
    let kinds: &[&str] =
        if resource.namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    let kind = object::text(role, &["kind"]);
    if !kinds.contains(&kind) {
        errors.push(FieldError::unsupported("roleRef.kind", &json!(kind), kinds));
    }
    if object::text(role, &["name"]).is_empty() {
        errors.push(FieldError::required("roleRef.name", ""));
    }
    for (index, subject) in object::list(value, &["subjects"]).iter().enumerate() {
        let field = format!("subjects[{index}]");
        if object::text(subject, &["name"]).is_empty() {
            errors.push(FieldError::required(format!("{field}.name"), ""));
        }
        match object::text(subject, &["kind"]) {
            "ServiceAccount" => {
                let group = object::text(subject, &["apiGroup"]);
                if !group.is_empty() {
                    errors.push(FieldError::unsupported(
                        format!("{field}.apiGroup"),
                        &json!(group),
                        &[""],
                    ));
                }
                if !resource.namespaced && object::text(subject, &["namespace"]).is_empty() {
                    errors.push(FieldError::required(format!("{field}.namespace"), ""));
                }
            }
            "User" | "Group" => {
                let group = object::text(subject, &["apiGroup"]);
                if group != GROUP {
                    errors.push(FieldError::unsupported(
                        format!("{field}.apiGroup"),
                        &json!(group),
                        &[GROUP],
                    ));
                }
            }
            kind => errors.push(FieldError::unsupported(
                format!("{field}.kind"),
                &json!(kind),
                &["ServiceAccount", "User", "Group"],
            )),
        }
    }
}

pub(crate) fn check_update(
    resource: &Resource,
    old: &Value,
    new: &Value,
    errors: &mut Vec<FieldError>,
) {
    if resource.kind.ends_with("Binding") && old["roleRef"] != new["roleRef"] {
        errors.push(FieldError::invalid("roleRef", &new["roleRef"], "cannot change roleRef"));
    }
}
