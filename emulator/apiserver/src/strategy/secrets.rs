//! Secrets: `stringData`, the type, what is immutable, and the limits.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::api::go_kind;
use crate::failure::FieldError;
use crate::names;
use crate::object;
use crate::schema::{TYPES, scan};

/// No Secret or ConfigMap may hold more.
pub(crate) const LIMIT: usize = 1024 * 1024;

pub(crate) fn defaults(secret: &mut Value) {
    let map = object::map_mut(secret);
    if let Some(Value::Object(texts)) = map.remove("stringData")
        && !texts.is_empty()
    {
        let data = object::child_mut(map, "data");
        for (key, text) in texts {
            data.insert(key, json!(STANDARD.encode(text.as_str().unwrap_or_default())));
        }
    }
    super::default(map, "type", json!("Opaque"));
}

pub(crate) fn check(secret: &Value, errors: &mut Vec<FieldError>) {
    let mut total = 0;
    for (key, value) in secret["data"].as_object().into_iter().flatten() {
        for fault in names::config_key_faults(key) {
            errors.push(FieldError::invalid(format!("data[{key}]"), &json!(key), &fault));
        }
        total += value.as_str().map_or(0, decoded_length);
    }
    if total > LIMIT {
        errors.push(FieldError::too_long("data", LIMIT));
    }
    let data = &secret["data"];
    match object::text(secret, &["type"]) {
        "kubernetes.io/service-account-token" => {
            let annotation = "kubernetes.io/service-account.name";
            if object::at(secret, &["metadata", "annotations", annotation]).as_str().is_none() {
                errors
                    .push(FieldError::required(format!("metadata.annotations[{annotation}]"), ""));
            }
        }
        "kubernetes.io/tls" => {
            for key in ["tls.crt", "tls.key"] {
                if data.get(key).is_none() {
                    errors.push(FieldError::required(format!("data[{key}]"), ""));
                }
            }
        }
        "kubernetes.io/dockerconfigjson" => {
            docker_config(data, ".dockerconfigjson", errors);
        }
        "kubernetes.io/dockercfg" => docker_config(data, ".dockercfg", errors),
        "kubernetes.io/basic-auth"
            if data.get("username").is_none() && data.get("password").is_none() =>
        {
            errors.push(FieldError::required("data[username]", ""));
            errors.push(FieldError::required("data[password]", ""));
        }
        "kubernetes.io/ssh-auth" if data["ssh-privatekey"].as_str().is_none_or(str::is_empty) => {
            errors.push(FieldError::required("data[ssh-privatekey]", ""));
        }
        _ => {}
    }
}

fn docker_config(data: &Value, key: &str, errors: &mut Vec<FieldError>) {
    let Some(text) = data[key].as_str() else {
        errors.push(FieldError::required(format!("data[{key}]"), ""));
        return;
    };
    let bytes = STANDARD.decode(text).unwrap_or_default();
    let why = match serde_json::from_slice::<Value>(&bytes) {
        Ok(Value::Object(_) | Value::Null) => return,
        Ok(other) => format!(
            "json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
            go_kind(&other)
        ),
        Err(error) => scan::syntax_error(&TYPES, &bytes).unwrap_or(error.to_string()),
    };
    errors.push(FieldError::invalid(
        format!("data[{key}]"),
        &json!("<secret contents redacted>"),
        &why,
    ));
}

fn decoded_length(text: &str) -> usize {
    let padding = text.bytes().rev().take_while(|byte| *byte == b'=').count();
    (text.len() / 4 * 3).saturating_sub(padding)
}

pub(crate) fn check_update(old: &Value, new: &Value, errors: &mut Vec<FieldError>) {
    if old["type"] != new["type"] {
        errors.push(FieldError::invalid("type", &new["type"], "field is immutable"));
    }
    frozen(old, new, &["data"], errors);
}

/// What `immutable: true` forbids.
pub(crate) fn frozen(old: &Value, new: &Value, fields: &[&str], errors: &mut Vec<FieldError>) {
    if old["immutable"] != true {
        return;
    }
    if new["immutable"] != true {
        errors
            .push(FieldError::forbidden("immutable", "field is immutable when `immutable` is set"));
    }
    for field in fields {
        if old[field] != new[field] {
            errors
                .push(FieldError::forbidden(*field, "field is immutable when `immutable` is set"));
        }
    }
}
