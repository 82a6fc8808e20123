//! The specification of a pod, alone or as a template: defaults and checks.

use serde_json::{Map, Value, json};

use super::{containers, default};
use crate::failure::FieldError;
use crate::names::{Rule, check_labels, check_name};
use crate::object;

/// Every source that a volume can have.
const SOURCES: &[&str] = &[
    "awsElasticBlockStore",
    "azureDisk",
    "azureFile",
    "cephfs",
    "cinder",
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "fc",
    "flexVolume",
    "flocker",
    "gcePersistentDisk",
    "gitRepo",
    "glusterfs",
    "hostPath",
    "image",
    "iscsi",
    "nfs",
    "persistentVolumeClaim",
    "photonPersistentDisk",
    "portworxVolume",
    "projected",
    "quobyte",
    "rbd",
    "scaleIO",
    "secret",
    "storageos",
    "vsphereVolume",
];

pub(crate) fn defaults(spec: &mut Map<String, Value>) {
    for (key, value) in [
        ("restartPolicy", json!("Always")),
        ("terminationGracePeriodSeconds", json!(30)),
        ("dnsPolicy", json!("ClusterFirst")),
        ("securityContext", json!({})),
        ("schedulerName", json!("default-scheduler")),
    ] {
        default(spec, key, value);
    }
    if spec["terminationGracePeriodSeconds"].as_i64().is_some_and(|seconds| seconds < 0) {
        spec.insert("terminationGracePeriodSeconds".into(), json!(1));
    }
    if let Some(account) = spec.get("serviceAccountName").or(spec.get("serviceAccount")).cloned() {
        spec.insert("serviceAccountName".into(), account.clone());
        spec.insert("serviceAccount".into(), account);
    }
    let host_network = spec.get("hostNetwork") == Some(&json!(true));
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            containers::defaults(object::map_mut(container), host_network);
        }
    }
    for volume in spec.get_mut("volumes").and_then(Value::as_array_mut).into_iter().flatten() {
        volume_defaults(object::map_mut(volume));
    }
}

fn volume_defaults(volume: &mut Map<String, Value>) {
    if !SOURCES.iter().any(|source| volume.contains_key(*source)) {
        volume.insert("emptyDir".into(), json!({}));
    }
    for source in ["secret", "configMap", "projected", "downwardAPI"] {
        if let Some(Value::Object(source)) = volume.get_mut(source) {
            default(source, "defaultMode", json!(0o644));
            files_defaults(source);
        }
    }
    if let Some(Value::Object(path)) = volume.get_mut("hostPath") {
        default(path, "type", json!(""));
    }
}

fn files_defaults(source: &mut Map<String, Value>) {
    for item in source.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten() {
        field_defaults(item);
    }
    for one in source.get_mut("sources").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(Value::Object(token)) = one.get_mut("serviceAccountToken") {
            default(token, "expirationSeconds", json!(3600));
        }
        let items = one.pointer_mut("/downwardAPI/items").and_then(Value::as_array_mut);
        for item in items.into_iter().flatten() {
            field_defaults(item);
        }
    }
}

/// A reference to a field names the version of the API.
pub(crate) fn field_defaults(holder: &mut Value) {
    if let Some(Value::Object(field)) = holder.get_mut("fieldRef") {
        default(field, "apiVersion", json!("v1"));
    }
    if let Some(Value::Object(resource)) = holder.get_mut("resourceFieldRef") {
        default(resource, "divisor", json!("0"));
    }
}

/// The faults of a specification, in the order in which the real server finds them.
pub(crate) fn check(spec: &Value, field: &str, errors: &mut Vec<FieldError>) {
    let volumes = check_volumes(spec, field, errors);
    check_all_containers(spec, field, &volumes, errors);
    let restart = object::text(spec, &["restartPolicy"]);
    one_of(&format!("{field}.restartPolicy"), restart, &["Always", "OnFailure", "Never"], errors);
    let dns = object::text(spec, &["dnsPolicy"]);
    one_of(
        &format!("{field}.dnsPolicy"),
        dns,
        &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"],
        errors,
    );
    check_labels(&format!("{field}.nodeSelector"), &spec["nodeSelector"], errors);
    check_secrets(spec, field, errors);
    if dns == "None" && !spec["dnsConfig"].is_object() {
        errors.push(FieldError::required(
            format!("{field}.dnsConfig"),
            "must provide `dnsConfig` when `dnsPolicy` is None",
        ));
    }
    check_tolerations(spec, field, errors);
    if let Some(account) = spec["serviceAccountName"].as_str().filter(|name| !name.is_empty()) {
        check_name(Rule::Subdomain, &format!("{field}.serviceAccountName"), account, errors);
    }
    if let Some(node) = spec["nodeName"].as_str().filter(|name| !name.is_empty()) {
        check_name(Rule::Subdomain, &format!("{field}.nodeName"), node, errors);
    }
    if let Some(seconds) = spec["activeDeadlineSeconds"].as_i64()
        && !(1..=i64::from(i32::MAX)).contains(&seconds)
    {
        errors.push(FieldError::invalid(
            format!("{field}.activeDeadlineSeconds"),
            &json!(seconds),
            "must be between 1 and 2147483647, inclusive",
        ));
    }
    if let Some(name) = spec["hostname"].as_str().filter(|name| !name.is_empty()) {
        check_name(Rule::Label, &format!("{field}.hostname"), name, errors);
    }
    if let Some(name) = spec["subdomain"].as_str().filter(|name| !name.is_empty()) {
        check_name(Rule::Label, &format!("{field}.subdomain"), name, errors);
    }
}

/// The fault of a text that is none of those allowed.
pub(crate) fn one_of(field: &str, text: &str, allowed: &[&str], errors: &mut Vec<FieldError>) {
    if text.is_empty() {
        errors.push(FieldError::required(field, ""));
    } else if !allowed.contains(&text) {
        errors.push(FieldError::unsupported(field, &json!(text), allowed));
    }
}

fn check_secrets(spec: &Value, field: &str, errors: &mut Vec<FieldError>) {
    for (index, secret) in object::list(spec, &["imagePullSecrets"]).iter().enumerate() {
        if object::text(secret, &["name"]).is_empty() {
            errors
                .push(FieldError::required(format!("{field}.imagePullSecrets[{index}].name"), ""));
        }
    }
}

fn check_volumes<'a>(spec: &'a Value, field: &str, errors: &mut Vec<FieldError>) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    for (index, volume) in object::list(spec, &["volumes"]).iter().enumerate() {
        let field = format!("{field}.volumes[{index}]");
        check_source(volume, &field, errors);
        let name = object::text(volume, &["name"]);
        if name.is_empty() {
            errors.push(FieldError::required(format!("{field}.name"), ""));
        } else {
            let before = errors.len();
            check_name(Rule::Label, &format!("{field}.name"), name, errors);
            if errors.len() == before && names.contains(&name) {
                errors.push(FieldError::duplicate(format!("{field}.name"), &json!(name)));
            }
        }
        names.push(name);
    }
    names
}

fn check_source(volume: &Value, field: &str, errors: &mut Vec<FieldError>) {
    // The order in which the real server looks at the sources.
    const ORDER: &[&str] = &[
        "emptyDir",
        "hostPath",
        "secret",
        "nfs",
        "persistentVolumeClaim",
        "downwardAPI",
        "configMap",
        "projected",
        "csi",
        "ephemeral",
    ];
    let mut found = 0;
    for source in ORDER {
        let Some(value) = volume.get(*source) else { continue };
        found += 1;
        let field = format!("{field}.{source}");
        if found > 1 {
            errors.push(FieldError::forbidden(field, "may not specify more than 1 volume type"));
            continue;
        }
        let required = match *source {
            "secret" => Some("secretName"),
            "hostPath" => Some("path"),
            "persistentVolumeClaim" => Some("claimName"),
            "configMap" => Some("name"),
            _ => None,
        };
        if let Some(key) = required
            && object::text(value, &[key]).is_empty()
        {
            errors.push(FieldError::required(format!("{field}.{key}"), ""));
        }
        if let Some(mode) = value["defaultMode"].as_i64()
            && !(0..=0o777).contains(&mode)
        {
            errors.push(FieldError::invalid(
                format!("{field}.defaultMode"),
                &json!(mode),
                "must be a number between 0 and 0777 (octal), both inclusive",
            ));
        }
        check_files(value, &field, errors);
    }
}

fn check_files(source: &Value, field: &str, errors: &mut Vec<FieldError>) {
    for (index, item) in object::list(source, &["items"]).iter().enumerate() {
        let field = format!("{field}.items[{index}]");
        let from_field = item.get("fieldRef").is_some() || item.get("resourceFieldRef").is_some();
        if !from_field && object::text(item, &["key"]).is_empty() {
            errors.push(FieldError::required(format!("{field}.key"), ""));
        }
        let path = object::text(item, &["path"]);
        if path.is_empty() {
            errors.push(FieldError::required(format!("{field}.path"), ""));
        } else if path.starts_with('/') {
            errors.push(FieldError::invalid(
                format!("{field}.path"),
                &json!(path),
                "must be a relative path",
            ));
        } else if path.split('/').any(|step| step == "..") {
            errors.push(FieldError::invalid(
                format!("{field}.path"),
                &json!(path),
                "must not contain '..'",
            ));
        }
    }
}

fn check_all_containers(spec: &Value, field: &str, volumes: &[&str], errors: &mut Vec<FieldError>) {
    let list = object::list(spec, &["containers"]);
    if list.is_empty() {
        errors.push(FieldError::required(format!("{field}.containers"), ""));
    }
    let mut names: Vec<&str> = Vec::new();
    for (index, container) in list.iter().enumerate() {
        let field = format!("{field}.containers[{index}]");
        containers::check(container, &field, &mut names, volumes, errors);
    }
    for (index, container) in object::list(spec, &["initContainers"]).iter().enumerate() {
        let field = format!("{field}.initContainers[{index}]");
        containers::check(container, &field, &mut names, volumes, errors);
    }
}

fn check_tolerations(spec: &Value, field: &str, errors: &mut Vec<FieldError>) {
    for (index, one) in object::list(spec, &["tolerations"]).iter().enumerate() {
        let field = format!("{field}.tolerations[{index}]");
        let key = object::text(one, &["key"]);
        let operator = object::text(one, &["operator"]);
        let value = object::text(one, &["value"]);
        if key.is_empty() && operator != "Exists" {
            errors.push(FieldError::invalid(
                format!("{field}.operator"),
                &json!(operator),
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
            ));
        }
        if operator == "Exists" && !value.is_empty() {
            errors.push(FieldError::invalid(
                format!("{field}.operator"),
                &json!(value),
                "value must be empty when `operator` is 'Exists'",
            ));
        }
        if !matches!(operator, "" | "Exists" | "Equal" | "Gt" | "Lt") {
            errors.push(FieldError::unsupported(
                format!("{field}.operator"),
                &json!(operator),
                &["Equal", "Exists"],
            ));
        }
        if one["tolerationSeconds"].is_i64() && object::text(one, &["effect"]) != "NoExecute" {
            errors.push(FieldError::invalid(
                format!("{field}.effect"),
                &one["effect"],
                "effect must be 'NoExecute' when `tolerationSeconds` is set",
            ));
        }
    }
}
