//! Where a custom resource has its replicas, and whether what is there can be read as such.

use serde_json::{Value, json};

use crate::failure::FieldError;
use crate::object;
use crate::verbs::go;

/// The paths of the replicas and of the selector, as `.spec.size`.
#[derive(Debug, Clone)]
pub(crate) struct Scale {
    pub(crate) wanted: String,
    pub(crate) present: String,
    pub(crate) selector: String,
}

impl Scale {
    /// What a version of a definition says.
    pub(crate) fn read(version: &Value) -> Option<Scale> {
        let scale = version["subresources"].get("scale").filter(|scale| scale.is_object())?;
        let text = |key: &str| object::text(scale, &[key]).to_owned();
        Some(Scale {
            wanted: text("specReplicasPath"),
            present: text("statusReplicasPath"),
            selector: text("labelSelectorPath"),
        })
    }

    /// The faults of an object's replicas.
    pub(crate) fn check(&self, value: &Value, errors: &mut Vec<FieldError>) {
        for path in [&self.wanted, &self.present] {
            match number_at(value, path) {
                Err(error) => errors.push(FieldError::invalid(path, &json!(0), &error)),
                Ok(count) if count < 0 => {
                    let what = "should be a non-negative integer";
                    errors.push(FieldError::invalid(path, &json!(count), what));
                }
                Ok(count) if count > i64::from(i32::MAX) => {
                    let what = "should be less than or equal to 2147483647";
                    errors.push(FieldError::invalid(path, &json!(count), what));
                }
                Ok(_) => {}
            }
        }
        if !self.selector.is_empty()
            && let Err(error) = text_at(value, &self.selector)
        {
            errors.push(FieldError::invalid(&self.selector, &json!(""), &error));
        }
    }
}

/// Finds a value by a path like `.spec.replicas`; the error says where it does not lead on.
fn at<'a>(value: &'a Value, path: &str) -> Result<Option<&'a Value>, String> {
    let mut found = value;
    let mut gone = String::new();
    for step in path.trim_start_matches('.').split('.') {
        let Value::Object(map) = found else {
            return Err(format!(
                "{gone} accessor error: {} is of the type {}, expected map[string]interface{{}}",
                go::map(found),
                go_type(found)
            ));
        };
        gone = format!("{gone}.{step}");
        match map.get(step) {
            Some(next) => found = next,
            None => return Ok(None),
        }
    }
    Ok(Some(found))
}

fn number_at(value: &Value, path: &str) -> Result<i64, String> {
    match at(value, path)? {
        None => Ok(0),
        Some(found) => found.as_i64().ok_or_else(|| accessor(found, path, "int64")),
    }
}

fn text_at(value: &Value, path: &str) -> Result<String, String> {
    match at(value, path)? {
        None => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(found) => Err(accessor(found, path, "string")),
    }
}

fn accessor(found: &Value, path: &str, wanted: &str) -> String {
    let shown = match found {
        Value::String(text) => text.clone(),
        other => go::map(other),
    };
    format!("{path} accessor error: {shown} is of the type {}, expected {wanted}", go_type(found))
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_i64() => "int64",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}
