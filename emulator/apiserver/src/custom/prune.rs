//! What a schema does to a value before it is checked: fields that it does not know go, defaults
//! come.

use serde_json::{Map, Value};

use super::path::Path;
use super::schema::Schema;
use crate::schema::{TYPES, normalize};

/// Takes out what the schema does not declare; gives the paths of what went, sorted.
pub(crate) fn prune(schema: &Schema, value: &mut Value) -> Vec<String> {
    let mut gone = Vec::new();
    if let Value::Object(map) = value {
        // The envelope belongs to every resource.
        object(schema, map, true, &Path::Root, &mut gone);
    }
    gone.sort();
    gone
}

fn walk(schema: &Schema, value: &mut Value, path: &Path, gone: &mut Vec<String>) {
    match value {
        Value::Object(map) => object(schema, map, schema.embedded, path, gone),
        Value::Array(items) => {
            // What has no schema of its own is kept only where unknown fields are.
            let free = Schema { preserve: true, ..Schema::default() };
            let empty = Schema::default();
            let below = match schema.items.as_deref() {
                Some(below) => below,
                None if schema.preserve => &free,
                None => &empty,
            };
            for (index, item) in items.iter_mut().enumerate() {
                walk(below, item, &path.index(index), gone);
            }
        }
        _ => {}
    }
}

fn object(
    schema: &Schema,
    map: &mut Map<String, Value>,
    resource: bool,
    path: &Path,
    gone: &mut Vec<String>,
) {
    map.retain(|name, value| {
        if resource && matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
            return true;
        }
        if let Some(below) = schema.properties.get(name) {
            walk(below, value, &path.field(name), gone);
        } else if let Some(below) = &schema.additional {
            walk(below, value, &path.field(name), gone);
        } else if !schema.is_free() {
            gone.push(path.field(name).to_string());
            return false;
        }
        true
    });
}

/// Fills in the defaults; a null where none may be counts as absent.
pub(crate) fn default(schema: &Schema, value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (name, below) in &schema.properties {
                let null = !below.nullable && map.get(name).is_some_and(Value::is_null);
                match &below.default {
                    Some(default) if null || !map.contains_key(name) => {
                        map.insert(name.clone(), default.clone());
                    }
                    None if null => {
                        map.remove(name);
                    }
                    _ => {}
                }
            }
            for (name, value) in map {
                if let Some(below) = schema.properties.get(name).or(schema.additional.as_deref()) {
                    if value.is_null()
                        && !below.nullable
                        && let Some(default) = &below.default
                    {
                        *value = default.clone();
                    }
                    self::default(below, value);
                }
            }
        }
        Value::Array(items) => {
            let Some(below) = schema.items.as_deref() else { return };
            for item in items {
                if item.is_null()
                    && !below.nullable
                    && let Some(default) = &below.default
                {
                    *item = default.clone();
                }
                default(below, item);
            }
        }
        _ => {}
    }
}

/// Brings metadata, of the resource and of resources embedded in it, into the form of its type.
/// Gives the paths of unknown fields.
///
/// # Errors
/// When a field is of the wrong type.
pub(crate) fn metadata(schema: &Schema, value: &mut Value) -> Result<Vec<String>, String> {
    let mut unknown = own_metadata(value, &Path::Root)?;
    embedded(schema, value, &Path::Root, &mut unknown)?;
    Ok(unknown)
}

fn own_metadata(value: &mut Value, path: &Path) -> Result<Vec<String>, String> {
    let Some(metadata) = value.get_mut("metadata") else { return Ok(Vec::new()) };
    let root = TYPES.find("meta.v1.ObjectMeta").unwrap_or_default();
    let found = normalize::normalize_part(&TYPES, root, metadata)?;
    if let Value::Object(map) = metadata
        && map.get("creationTimestamp").is_some_and(Value::is_null)
    {
        map.remove("creationTimestamp");
    }
    let place = path.field("metadata");
    Ok(found.unknown.iter().map(|name| place.field(name).to_string()).collect())
}

fn embedded(
    schema: &Schema,
    value: &mut Value,
    path: &Path,
    unknown: &mut Vec<String>,
) -> Result<(), String> {
    match value {
        Value::Object(map) => {
            for (name, value) in map.iter_mut() {
                let Some(below) = schema.properties.get(name).or(schema.additional.as_deref())
                else {
                    continue;
                };
                let place = path.field(name);
                if below.embedded && value.is_object() {
                    unknown.extend(own_metadata(value, &place)?);
                }
                embedded(below, value, &place, unknown)?;
            }
        }
        Value::Array(items) => {
            let Some(below) = schema.items.as_deref() else { return Ok(()) };
            for (index, item) in items.iter_mut().enumerate() {
                let place = path.index(index);
                if below.embedded && item.is_object() {
                    unknown.extend(own_metadata(item, &place)?);
                }
                embedded(below, item, &place, unknown)?;
            }
        }
        _ => {}
    }
    Ok(())
}
