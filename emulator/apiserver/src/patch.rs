//! The three patches that need no books: JSON patch, merge patch, strategic merge patch.

mod json;
mod strategic;
mod text;

use serde_json::{Map, Value};

pub(crate) use json::{PatchError, json};
pub(crate) use strategic::{PatchFault, strategic};
pub(crate) use text::{text, trodden};

/// Applies a merge patch (RFC 7386).
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { return };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}
