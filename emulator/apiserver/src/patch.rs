//! The three patches that need no books: JSON patch, merge patch, strategic merge patch.

mod strategic;

use serde_json::{Map, Value};

pub(crate) use strategic::strategic;

/// Applies a JSON patch (RFC 6902).
///
/// # Errors
/// The message and code of the real server.
pub(crate) fn json(target: &mut Value, patch: &Value) -> Result<(), (u16, String)> {
    if !patch.is_array() {
        let kind = if patch.is_object() { "object" } else { "value" };
        return Err((
            400,
            format!(
                "error decoding patch: json: cannot unmarshal {kind} into Go value of type []handlers.jsonPatchOp"
            ),
        ));
    }
    let patch: json_patch::Patch = serde_json::from_value(patch.clone())
        .map_err(|error| (400, format!("error decoding patch: {error}")))?;
    if patch.0.len() > 10_000 {
        let count = patch.0.len();
        return Err((
            413,
            format!("The allowed maximum operations in a JSON patch is 10000, got {count}"),
        ));
    }
    json_patch::patch(target, &patch).map_err(|_| {
        (422, "the server rejected our request due to an error in our request".to_owned())
    })
}

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
