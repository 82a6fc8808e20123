//! ConfigMaps: keys, limits, and what is immutable.

use serde_json::{Value, json};

use super::secrets::{LIMIT, frozen};
use crate::failure::FieldError;
use crate::names;

pub(crate) fn check(map: &Value, errors: &mut Vec<FieldError>) {
    let mut total = 0;
    for field in ["data", "binaryData"] {
        for (key, value) in map[field].as_object().into_iter().flatten() {
            for fault in names::config_key_faults(key) {
                errors.push(FieldError::invalid(format!("{field}[{key}]"), &json!(key), &fault));
            }
            if field == "data" && map["binaryData"].get(key).is_some() {
                errors.push(FieldError::invalid(
                    format!("data[{key}]"),
                    &json!(key),
                    "duplicate of key present in binaryData",
                ));
            }
            total += value.as_str().map_or(0, str::len);
        }
    }
    if total > LIMIT {
        errors.push(FieldError::too_long("", LIMIT));
    }
}

pub(crate) fn check_update(old: &Value, new: &Value, errors: &mut Vec<FieldError>) {
    frozen(old, new, &["data", "binaryData"], errors);
}
