//! Secrets: `stringData`, the type, and the limits.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::object;

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
    map.entry("type").or_insert_with(|| json!("Opaque"));
}
