//! Small accessors on objects kept as JSON: metadata, times, names.

use jiff::Timestamp;
use serde_json::{Map, Value};

/// No object may be nested deeper: what is kept must be readable again, with its books.
pub(crate) const DEPTH: usize = 100;

/// The text at `metadata.<field>`, or the empty string.
pub(crate) fn meta<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or_default()
}

/// The name of an object, or the empty string.
pub(crate) fn name(object: &Value) -> &str {
    meta(object, "name")
}

/// The namespace of an object, or the empty string.
pub(crate) fn namespace(object: &Value) -> &str {
    meta(object, "namespace")
}

/// The uid of an object, or the empty string.
pub(crate) fn uid(object: &Value) -> &str {
    meta(object, "uid")
}

/// The text at a path of keys, or the empty string.
pub(crate) fn text<'a>(object: &'a Value, path: &[&str]) -> &'a str {
    at(object, path).as_str().unwrap_or_default()
}

/// The value at a path of keys, or null.
pub(crate) fn at<'a>(object: &'a Value, path: &[&str]) -> &'a Value {
    path.iter().fold(object, |value, key| &value[*key])
}

/// The members of a list at a path of keys; empty when there is none.
pub(crate) fn list<'a>(object: &'a Value, path: &[&str]) -> &'a [Value] {
    at(object, path).as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The metadata map of an object, made when it is missing.
pub(crate) fn metadata_mut(object: &mut Value) -> &mut Map<String, Value> {
    child_mut(map_mut(object), "metadata")
}

/// The map at a key, made (or made anew) when there is none.
pub(crate) fn child_mut<'a>(
    parent: &'a mut Map<String, Value>,
    key: &str,
) -> &'a mut Map<String, Value> {
    if !parent.get(key).is_some_and(Value::is_object) {
        parent.insert(key.to_owned(), Value::Object(Map::new()));
    }
    match parent.get_mut(key) {
        Some(Value::Object(map)) => map,
        _ => unreachable!("the line above put a map there"),
    }
}

/// The value as a map, made one when it is something else.
pub(crate) fn map_mut(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("the line above made it a map"),
    }
}

/// Whether the object is marked for deletion.
pub(crate) fn is_deleting(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

/// The finalizers of an object.
pub(crate) fn finalizers(object: &Value) -> impl Iterator<Item = &str> {
    list(object, &["metadata", "finalizers"]).iter().filter_map(Value::as_str)
}

/// Now, to the second, as objects carry it.
pub(crate) fn now() -> String {
    seconds(Timestamp::now())
}

/// A time to the second, as objects carry it.
pub(crate) fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A time to the microsecond, as leases and events carry it.
pub(crate) fn microseconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// Five letters for `generateName`, from the alphabet that makes no words.
pub(crate) fn suffix() -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let random = uuid::Uuid::new_v4();
    random.as_bytes()[..5]
        .iter()
        .map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]))
        .collect()
}

/// Whether a value is nested deeper than a limit; it looks no deeper than that.
pub(crate) fn is_deeper(value: &Value, limit: usize) -> bool {
    let below = |one: &Value| limit == 0 || is_deeper(one, limit - 1);
    match value {
        Value::Object(map) => map.values().any(below),
        Value::Array(items) => items.iter().any(below),
        _ => false,
    }
}
