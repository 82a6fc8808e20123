//! Whether a value fits its schema, with the words of the real server.

pub(crate) mod formats;

use serde_json::{Map, Value, json};

use super::path::Path;
use super::rules::counterpart;
use super::schema::Schema;
use crate::failure::FieldError;

/// Checks a value; `old` is what was there before: what did not change is not looked at again.
pub(crate) fn check(schema: &Schema, value: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    walk(schema, value, old, &Path::Root, &mut errors);
    errors
}

fn walk(
    schema: &Schema,
    value: &Value,
    old: Option<&Value>,
    path: &Path,
    errors: &mut Vec<FieldError>,
) {
    if old == Some(value) {
        return;
    }
    if value.is_null() {
        if !schema.nullable && (!schema.kind.is_empty() || schema.int_or_string) {
            errors.push(wrong_type(path, types(schema), "null"));
        }
        allowed(schema, value, path, errors);
        return;
    }
    kind(schema, value, path, errors);
    compositions(schema, value, path, errors);
    match value {
        Value::String(text) => string(schema, text, path, errors),
        Value::Number(number) => limits(schema, number, path, errors),
        Value::Array(items) => list(schema, items, old, path, errors),
        _ => {}
    }
    allowed(schema, value, path, errors);
    if let Value::Object(map) = value {
        object(schema, map, old, path, errors);
    }
}

fn types(schema: &Schema) -> &str {
    if schema.int_or_string { "integer,string" } else { &schema.kind }
}

fn wrong_type(path: &Path, wanted: &str, found: &str) -> FieldError {
    FieldError {
        reason: "FieldValueTypeInvalid",
        field: path.to_string(),
        message: format!(
            "Invalid value: {found:?}: {path} in body must be of type {wanted}: {found:?}"
        ),
    }
}

fn invalid(path: &Path, value: &Value, what: &str) -> FieldError {
    FieldError::invalid(path.to_string(), value, &format!("{path} in body {what}"))
}

fn too_many(path: &Path, count: usize, limit: usize) -> FieldError {
    FieldError {
        reason: "FieldValueTooMany",
        field: path.to_string(),
        message: format!("Too many: {count}: must have at most {limit} items"),
    }
}

fn kind(schema: &Schema, value: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if whole(number) => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let fits = if schema.int_or_string {
        matches!(found, "integer" | "string")
    } else {
        schema.kind.is_empty()
            || schema.kind == found
            || (schema.kind == "number" && found == "integer")
    };
    if !fits {
        errors.push(wrong_type(path, types(schema), found));
    }
}

fn whole(number: &serde_json::Number) -> bool {
    number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|float| float.fract() == 0.0)
}

/// `allOf`, `anyOf`, `oneOf` and `not`.
fn compositions(schema: &Schema, value: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let tried = |schema: &Schema| {
        let mut errors = Vec::new();
        walk(schema, value, None, path, &mut errors);
        errors
    };
    let failed = |what: &str| FieldError {
        reason: "FieldValueInvalid",
        field: "<nil>".to_owned(),
        message: format!("Invalid value: \"\": {:?} {what}", path.to_string()),
    };
    if !schema.any_of.is_empty() {
        let mut best: Option<Vec<FieldError>> = None;
        let mut fits = false;
        for one in &schema.any_of {
            let faults = tried(one);
            if faults.is_empty() {
                fits = true;
                break;
            }
            best.get_or_insert(faults);
        }
        if !fits {
            errors.push(failed("must validate at least one schema (anyOf)"));
            errors.extend(best.into_iter().flatten());
        }
    }
    if !schema.one_of.is_empty() {
        let mut best: Option<Vec<FieldError>> = None;
        let mut count = 0;
        for one in &schema.one_of {
            let faults = tried(one);
            if faults.is_empty() {
                count += 1;
                best = None;
            } else if count == 0 {
                best.get_or_insert(faults);
            }
        }
        if count != 1 {
            let found = match count {
                0 => "Found none valid".to_owned(),
                count => format!("Found {count} valid alternatives"),
            };
            errors.push(failed(&format!("must validate one and only one schema (oneOf). {found}")));
            errors.extend(best.into_iter().flatten());
        }
    }
    if !schema.all_of.is_empty() {
        let mut count = 0;
        for one in &schema.all_of {
            let faults = tried(one);
            if faults.is_empty() {
                count += 1;
            }
            errors.extend(faults);
        }
        if count < schema.all_of.len() {
            let none = if count == 0 { ". None validated" } else { "" };
            errors.push(failed(&format!("must validate all the schemas (allOf){none}")));
        }
    }
    if let Some(not) = &schema.not
        && tried(not).is_empty()
    {
        errors.push(failed("must not validate the schema (not)"));
    }
}

fn string(schema: &Schema, text: &str, path: &Path, errors: &mut Vec<FieldError>) {
    let length = || text.chars().count();
    if let Some(limit) = schema.limits.max_length
        && length() > limit
    {
        errors.push(FieldError::too_long(path.to_string(), limit));
    }
    if let Some(limit) = schema.limits.min_length
        && length() < limit
    {
        let what = format!("should be at least {limit} chars long");
        errors.push(invalid(path, &json!(text), &what));
    }
    if let Some(pattern) = &schema.pattern
        && !pattern.matches(text)
    {
        errors.push(invalid(path, &json!(text), &format!("should match '{}'", pattern.text)));
    }
    if !schema.format.is_empty() && !formats::fits(&schema.format, text) {
        errors.push(FieldError {
            reason: "FieldValueTypeInvalid",
            field: path.to_string(),
            message: format!(
                "Invalid value: {}: {path} in body must be of type {}: {}",
                json!(text),
                schema.format,
                json!(text)
            ),
        });
    }
}

fn limits(schema: &Schema, number: &serde_json::Number, path: &Path, errors: &mut Vec<FieldError>) {
    let Some(float) = number.as_f64() else { return };
    let value = Value::Number(number.clone());
    let limits = &schema.limits;
    if let Some(step) = limits.multiple_of
        && step > 0.0
        && ((float / step).round() * step - float).abs() > float.abs() * 1e-12
    {
        errors.push(invalid(path, &value, &format!("should be a multiple of {step}")));
    }
    if let Some(limit) = limits.maximum {
        if limits.below_maximum && float >= limit {
            errors.push(invalid(path, &value, &format!("should be less than {limit}")));
        } else if float > limit {
            errors.push(invalid(path, &value, &format!("should be less than or equal to {limit}")));
        }
    }
    if let Some(limit) = limits.minimum {
        if limits.above_minimum && float <= limit {
            errors.push(invalid(path, &value, &format!("should be greater than {limit}")));
        } else if float < limit {
            let what = format!("should be greater than or equal to {limit}");
            errors.push(invalid(path, &value, &what));
        }
    }
}

fn list(
    schema: &Schema,
    items: &[Value],
    old: Option<&Value>,
    path: &Path,
    errors: &mut Vec<FieldError>,
) {
    if let Some(below) = schema.items.as_deref() {
        for (index, item) in items.iter().enumerate() {
            walk(below, item, counterpart(schema, item, old), &path.index(index), errors);
        }
    }
    if let Some(limit) = schema.limits.min_items
        && items.len() < limit
    {
        let what = format!("should have at least {limit} items");
        errors.push(invalid(path, &json!(items.len()), &what));
    }
    if let Some(limit) = schema.limits.max_items
        && items.len() > limit
    {
        errors.push(too_many(path, items.len(), limit));
    }
}

fn allowed(schema: &Schema, value: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    if schema.allowed.is_empty() || schema.allowed.contains(value) {
        return;
    }
    if value.is_null() && schema.nullable {
        return;
    }
    let allowed: Vec<String> = schema
        .allowed
        .iter()
        .map(|one| match one {
            Value::String(text) => format!("{text:?}"),
            other => format!("{:?}", other.to_string()),
        })
        .collect();
    errors.push(FieldError {
        reason: "FieldValueNotSupported",
        field: path.to_string(),
        message: format!("Unsupported value: {value}: supported values: {}", allowed.join(", ")),
    });
}

fn object(
    schema: &Schema,
    map: &Map<String, Value>,
    old: Option<&Value>,
    path: &Path,
    errors: &mut Vec<FieldError>,
) {
    if let Some(limit) = schema.limits.min_properties
        && map.len() < limit
    {
        let what = format!("should have at least {limit} properties");
        errors.push(invalid(path, &json!(map.len()), &what));
    }
    if let Some(limit) = schema.limits.max_properties
        && map.len() > limit
    {
        errors.push(too_many(path, map.len(), limit));
    }
    for (name, value) in map {
        let below = schema.properties.get(name).or(schema.additional.as_deref());
        if let Some(below) = below {
            let before = old.and_then(|old| old.get(name)).filter(|_| !schema.atomic_map);
            walk(below, value, before, &path.field(name), errors);
        }
    }
    for name in schema.required.iter().filter(|name| !map.contains_key(*name)) {
        errors.push(FieldError::required(path.field(name).to_string(), ""));
    }
}

/// The duplicates in lists that are sets or that have keys.
pub(crate) fn duplicates(schema: &Schema, value: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    find_duplicates(schema, value, &Path::Root, &mut errors);
    errors
}

fn find_duplicates(schema: &Schema, value: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                match (schema.properties.get(name), &schema.additional) {
                    (Some(below), _) => find_duplicates(below, value, &path.field(name), errors),
                    (None, Some(below)) => find_duplicates(below, value, &path.key(name), errors),
                    (None, None) => {}
                }
            }
        }
        Value::Array(items) => {
            let keyed = schema.list_type == "map";
            if keyed || schema.list_type == "set" {
                let mut seen = std::collections::HashMap::new();
                for (index, item) in items.iter().enumerate() {
                    let identity = if keyed { keys(schema, item) } else { item.clone() };
                    let count = seen.entry(identity.to_string()).or_insert(0);
                    *count += 1;
                    // However often it comes, it is said once.
                    if *count == 2 {
                        errors
                            .push(FieldError::duplicate(path.index(index).to_string(), &identity));
                    }
                }
            }
            if let Some(below) = schema.items.as_deref() {
                for (index, item) in items.iter().enumerate() {
                    find_duplicates(below, item, &path.index(index), errors);
                }
            }
        }
        _ => {}
    }
}

/// The faults of resources embedded in a resource: they say what they are.
pub(crate) fn embedded(schema: &Schema, value: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    find_embedded(schema, value, &Path::Root, &mut errors);
    errors
}

fn find_embedded(schema: &Schema, value: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    if schema.embedded && value.is_object() {
        for key in ["apiVersion", "kind"] {
            if value[key].as_str().unwrap_or_default().is_empty() {
                let field = path.field(key).to_string();
                errors.push(FieldError::required(field, "must not be empty"));
            }
        }
    }
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                match (schema.properties.get(name), &schema.additional) {
                    (Some(below), _) => find_embedded(below, value, &path.field(name), errors),
                    (None, Some(below)) => find_embedded(below, value, &path.key(name), errors),
                    (None, None) => {}
                }
            }
        }
        Value::Array(items) => {
            if let Some(below) = schema.items.as_deref() {
                for (index, item) in items.iter().enumerate() {
                    find_embedded(below, item, &path.index(index), errors);
                }
            }
        }
        _ => {}
    }
}

fn keys(schema: &Schema, item: &Value) -> Value {
    let keys = schema.list_keys.iter().filter_map(|key| {
        let default = || schema.items.as_deref()?.properties.get(key)?.default.clone();
        Some((key.clone(), item.get(key).cloned().or_else(default)?))
    });
    Value::Object(keys.collect())
}

/// Whether an error keeps the rules from being looked at.
pub(crate) fn blocks(error: &FieldError) -> bool {
    matches!(
        error.reason,
        "FieldValueNotSupported"
            | "FieldValueRequired"
            | "FieldValueTooLong"
            | "FieldValueTooMany"
            | "FieldValueTypeInvalid"
    )
}

#[cfg(test)]
mod tests;
