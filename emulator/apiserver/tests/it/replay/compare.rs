//! Compares an answer with the recorded one, without what differs from run to run.

use regex::Regex;
use serde_json::{Value, json};

const HEADERS: &[&str] = &[
    "content-type",
    "content-encoding",
    "warning",
    "retry-after",
    "location",
    "www-authenticate",
    "allow",
    "cache-control",
];

/// The first difference, or nothing when the answers agree.
pub(crate) fn difference(step: &Value, actual: &Value) -> Option<String> {
    let mut expected = step["response"].clone();
    let mut actual = actual.clone();
    for side in [&mut expected, &mut actual] {
        sort_books(side);
        no_descriptions(side);
        for pointer in step["unordered"].as_array().into_iter().flatten() {
            if let Some(Value::Array(list)) = side.pointer_mut(pointer.as_str().unwrap_or_default())
            {
                list.sort_by_key(without_times);
            }
        }
        for volatile in step["volatile"].as_array().into_iter().flatten() {
            let pointer = volatile["pointer"].as_str().unwrap_or_default();
            let kind = volatile["kind"].as_str().unwrap_or_default();
            let steps: Vec<String> = pointer
                .split('/')
                .skip(1)
                .map(|one| one.replace("~1", "/").replace("~0", "~"))
                .collect();
            mask(side, &steps, kind, volatile["pattern"].as_str().unwrap_or_default());
        }
        same_uids(side);
        sort_findings(side);
    }
    if expected.get("status").is_some() && expected["status"] != actual["status"] {
        let message = actual.pointer("/body/message").cloned().unwrap_or_default();
        return Some(format!("status {} for {} ({message})", actual["status"], expected["status"]));
    }
    for part in ["body", "bodyText", "events", "closed"] {
        let (want, have) = (&expected[part], &actual[part]);
        if let Some(found) = differ(part, want, have) {
            return Some(found);
        }
    }
    for header in HEADERS {
        if expected.get("headers").is_none_or(|headers| !headers.is_object()) {
            break;
        }
        let mut want = expected["headers"][*header].clone();
        let mut have = actual["headers"][*header].clone();
        for side in [&mut want, &mut have] {
            // Requests are sent with sorted keys, so warnings come in another order.
            if let Value::Array(values) = side {
                values.sort_by_key(Value::to_string);
            }
        }
        if want != have {
            return Some(format!("header {header}: {have} for {want}"));
        }
    }
    None
}

fn differ(path: &str, want: &Value, have: &Value) -> Option<String> {
    if want == have {
        return None;
    }
    match (want, have) {
        (Value::Object(wanted), Value::Object(had)) => {
            for (key, value) in wanted {
                match had.get(key) {
                    None => return Some(format!("{path}.{key} is missing, want {}", short(value))),
                    Some(other) => {
                        if let Some(found) = differ(&format!("{path}.{key}"), value, other) {
                            return Some(found);
                        }
                    }
                }
            }
            let extra = had.keys().find(|key| !wanted.contains_key(*key))?;
            Some(format!("{path}.{extra} is too much: {}", short(&had[extra])))
        }
        (Value::Array(wanted), Value::Array(had)) if wanted.len() == had.len() => wanted
            .iter()
            .zip(had)
            .enumerate()
            .find_map(|(index, (want, have))| differ(&format!("{path}[{index}]"), want, have)),
        _ => Some(format!("{path}: {} for {}", short(have), short(want))),
    }
}

fn short(value: &Value) -> String {
    value.to_string().chars().take(400).collect()
}

fn mask(value: &mut Value, steps: &[String], kind: &str, pattern: &str) {
    let Some((first, rest)) = steps.split_first() else {
        if fits(value, kind, pattern) {
            *value = json!(format!("<{kind}>"));
        }
        return;
    };
    match value {
        Value::Object(map) => {
            if first == "*" {
                for child in map.values_mut() {
                    mask(child, rest, kind, pattern);
                }
            } else if let Some(child) = map.get_mut(first) {
                mask(child, rest, kind, pattern);
            }
        }
        Value::Array(items) => {
            for (index, child) in items.iter_mut().enumerate() {
                if first == "*" || *first == index.to_string() {
                    mask(child, rest, kind, pattern);
                }
            }
        }
        _ => {}
    }
}

fn fits(value: &Value, kind: &str, pattern: &str) -> bool {
    match kind {
        "pattern" => value.as_str().is_some_and(|text| {
            let whole = Regex::new(&format!("(?s)^(?:{pattern})$"));
            whole.expect("recorded patterns are expressions").is_match(text)
        }),
        "number" => value.is_number(),
        "time" => value.is_null() || value.as_str().is_some_and(|text| text.contains('T')),
        "resourceVersion" => {
            value.as_str().is_some_and(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
        }
        "uid" => value.as_str().is_some_and(|text| text.len() == 36),
        _ => value.is_string(),
    }
}

/// Sorts managed fields, whose order depends on times.
fn sort_books(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, child) in map.iter_mut() {
                if key == "managedFields"
                    && let Value::Array(entries) = child
                {
                    entries.sort_by_key(|entry| {
                        ["operation", "manager", "subresource", "apiVersion"]
                            .map(|key| entry[key].to_string())
                    });
                }
                sort_books(child);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(sort_books),
        _ => {}
    }
}

/// The texts that describe columns are our own.
fn no_descriptions(side: &mut Value) {
    let tables = ["/body/columnDefinitions".to_owned()]
        .into_iter()
        .chain((0..8).map(|index| format!("/events/{index}/object/columnDefinitions")));
    for pointer in tables {
        let columns = side.pointer_mut(&pointer).and_then(Value::as_array_mut);
        for column in columns.into_iter().flatten() {
            column["description"] = json!("");
        }
    }
}

/// Requests are sent with sorted keys, so unknown fields are found in another order.
fn sort_findings(side: &mut Value) {
    const STRICT: &str = "strict decoding error: ";
    if let Some(Value::String(message)) = side.pointer_mut("/body/message")
        && let Some((head, list)) = message.split_once(STRICT)
    {
        let mut findings: Vec<&str> = list.split(", ").collect();
        findings.sort_unstable();
        *message = format!("{head}{STRICT}{}", findings.join(", "));
    }
}

fn without_times(value: &Value) -> String {
    let mut value = value.clone();
    if let Value::Object(map) = &mut value {
        map.retain(|key, _| !key.contains("Time"));
    }
    value.to_string()
}

/// Makes uids inside keys equal.
fn same_uids(value: &mut Value) {
    match value {
        Value::Object(map) => {
            let keys: Vec<String> = map
                .keys()
                .filter(|key| key.contains("uid\\\"") || key.contains("\"uid\""))
                .cloned()
                .collect();
            for key in keys {
                if let Some(child) = map.remove(&key) {
                    map.insert("k:<uid>".to_owned(), child);
                }
            }
            map.values_mut().for_each(same_uids);
        }
        Value::Array(items) => items.iter_mut().for_each(same_uids),
        _ => {}
    }
}

/// Whether the condition of a poll holds.
pub(crate) fn holds(until: &Value, answer: &Value) -> bool {
    if let Some(any) = until["anyOf"].as_array() {
        return any.iter().any(|one| holds(one, answer));
    }
    if let Some(status) = until["status"].as_u64() {
        return answer["status"] == status;
    }
    let found = answer["body"].pointer(until["pointer"].as_str().unwrap_or_default());
    if until["absent"] == true {
        return found.is_none();
    }
    let Some(found) = found else { return false };
    if let Some(equals) = until.get("equals") {
        return found == equals;
    }
    if let Some(least) = until["minItems"].as_u64() {
        return found.as_array().is_some_and(|list| list.len() as u64 >= least);
    }
    if let Some(most) = until["maxItems"].as_u64() {
        return found.as_array().is_some_and(|list| list.len() as u64 <= most);
    }
    if let Some(part) = until.get("contains") {
        return found.as_array().is_some_and(|list| list.iter().any(|one| contains(one, part)));
    }
    true
}

/// Whether a value has all that another names.
pub(crate) fn contains(value: &Value, part: &Value) -> bool {
    match (value, part) {
        (Value::Object(map), Value::Object(part)) => {
            part.iter().all(|(key, part)| map.get(key).is_some_and(|value| contains(value, part)))
        }
        _ => value == part,
    }
}
