//! How the real server prints values in some messages.

use serde_json::Value;

/// A value as Go prints a map: `map[a:1 b:[x y]]`.
pub(crate) fn map(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(map).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(entries) => {
            let mut entries: Vec<(&String, &Value)> = entries.iter().collect();
            entries.sort_by_key(|(key, _)| key.as_str());
            let entries: Vec<String> =
                entries.iter().map(|(key, value)| format!("{key}:{}", map(value))).collect();
            format!("map[{}]", entries.join(" "))
        }
        other => other.to_string(),
    }
}
