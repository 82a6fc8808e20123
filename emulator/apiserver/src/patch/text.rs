//! What a patch makes of an object as a text, for messages: the parts that the patch goes through
//! have their fields sorted, all else has them in the order of the real server's types.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use crate::schema::{Kind, Types};

static ORDER: LazyLock<HashMap<&'static str, Vec<&'static str>>> = LazyLock::new(|| {
    include_str!("order.txt")
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            Some((words.next()?, words.collect()))
        })
        .collect()
});

/// The text of a patched object of a type. `patch` is a merge patch, or [`trodden`] paths.
pub(crate) fn text(types: &Types, root: Option<usize>, value: &Value, patch: &Value) -> String {
    let mut text = String::new();
    write(types, root.map(Kind::Struct).as_ref(), value, Some(patch), &mut text);
    text
}

/// The paths of a JSON patch as a tree.
pub(crate) fn trodden(operations: &Value) -> Value {
    let mut tree = json!({});
    for operation in operations.as_array().into_iter().flatten() {
        for path in ["path", "from"].iter().filter_map(|key| operation[*key].as_str()) {
            let steps: Vec<String> = path
                .split('/')
                .skip(1)
                .map(|step| step.replace("~1", "/").replace("~0", "~"))
                .collect();
            let mut at = &mut tree;
            for step in steps.iter().take(steps.len().saturating_sub(1)) {
                let Value::Object(map) = at else { break };
                at = map.entry(step.clone()).or_insert_with(|| json!({}));
            }
        }
    }
    tree
}

fn write(
    types: &Types,
    kind: Option<&Kind>,
    value: &Value,
    patch: Option<&Value>,
    text: &mut String,
) {
    match value {
        Value::Object(map) => {
            text.push('{');
            for (index, key) in keys(types, kind, map, patch).into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                text.push_str(&escaped(&json!(key)));
                text.push(':');
                let child = match kind {
                    Some(Kind::Struct(at)) => types.get(*at).fields.get(key).map(|one| &one.kind),
                    Some(Kind::Map(inner)) => Some(&**inner),
                    _ => None,
                };
                let below = patch.and_then(|patch| patch.get(key));
                write(types, child, &map[key], below.filter(|one| one.is_object()), text);
            }
            text.push('}');
        }
        Value::Array(items) => {
            let inner = match kind {
                Some(Kind::List(inner)) => Some(&**inner),
                _ => None,
            };
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                let below = patch.and_then(|patch| patch.get(index.to_string()));
                write(types, inner, item, below.filter(|one| one.is_object()), text);
            }
            text.push(']');
        }
        plain => text.push_str(&escaped(plain)),
    }
}

/// The keys of a map in the order in which they are written.
fn keys<'a>(
    types: &Types,
    kind: Option<&Kind>,
    map: &'a Map<String, Value>,
    patch: Option<&Value>,
) -> Vec<&'a str> {
    let mut keys: Vec<&str> = map.keys().map(String::as_str).collect();
    keys.sort_unstable();
    if let (Some(Kind::Struct(at)), None) = (kind, patch)
        && let Some(order) = ORDER.get(types.get(*at).name.as_str())
    {
        keys.sort_by_key(|key| order.iter().position(|one| one == key).unwrap_or(order.len()));
    }
    keys
}

/// A plain value; letters that mean something in HTML are escaped.
fn escaped(value: &Value) -> String {
    let text = value.to_string();
    if !text.contains(['<', '>', '&']) {
        return text;
    }
    text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}
