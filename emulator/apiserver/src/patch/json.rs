//! JSON patch (RFC 6902), as forgiving as the real server: `replace` makes what is not there, and a
//! missing value is null.

use serde_json::Value;

use crate::object::{DEPTH, is_deeper};

/// Why a patch was not applied.
#[derive(Debug)]
pub(crate) enum PatchError {
    /// It is not a patch.
    Malformed(String),
    /// It has too many operations.
    TooMany(usize),
    /// An operation does not fit the object.
    Refused,
}

/// No patch may have more operations.
const LIMIT: usize = 10_000;

/// What the `copy` operations of a patch may copy, in bytes: as much as the body of a request.
const COPIED: usize = 3 * 1024 * 1024;

/// Applies a patch.
pub(crate) fn json(target: &mut Value, patch: &Value) -> Result<(), PatchError> {
    let Value::Array(operations) = patch else {
        let found = crate::api::go_kind(patch);
        return Err(PatchError::Malformed(format!(
            "json: cannot unmarshal {found} into Go value of type []handlers.jsonPatchOp"
        )));
    };
    if operations.len() > LIMIT {
        return Err(PatchError::TooMany(operations.len()));
    }
    let mut budget = COPIED;
    for operation in operations {
        apply(target, operation, &mut budget).ok_or(PatchError::Refused)?;
    }
    Ok(())
}

fn apply(target: &mut Value, operation: &Value, budget: &mut usize) -> Option<()> {
    let path = steps(operation["path"].as_str()?)?;
    if path.len() > DEPTH {
        return None;
    }
    let from = || steps(operation["from"].as_str()?);
    let value = || operation.get("value").cloned().unwrap_or_default();
    match operation["op"].as_str()? {
        "add" => add(target, &path, value()),
        "replace" => replace(target, &path, value()),
        "remove" => remove(target, &path).map(drop),
        "move" => {
            let moved = remove(target, &from()?)?;
            add(target, &path, moved)
        }
        "copy" => {
            let copied = find(target, &from()?)?;
            if is_deeper(copied, DEPTH) {
                return None;
            }
            take(copied, budget)?;
            let copied = copied.clone();
            add(target, &path, copied)
        }
        "test" => {
            let found = find(target, &path).cloned().unwrap_or_default();
            (found == value()).then_some(())
        }
        _ => None,
    }
}

/// Takes what a value is large from a budget, as long as that lasts.
fn take(value: &Value, budget: &mut usize) -> Option<()> {
    let own = match value {
        Value::String(text) => text.len(),
        Value::Object(map) => map.keys().map(String::len).sum(),
        _ => 0,
    };
    *budget = budget.checked_sub(own + 8)?;
    match value {
        Value::Object(map) => map.values().try_for_each(|one| take(one, budget)),
        Value::Array(items) => items.iter().try_for_each(|one| take(one, budget)),
        _ => Some(()),
    }
}

fn steps(pointer: &str) -> Option<Vec<String>> {
    if pointer.is_empty() {
        return Some(Vec::new());
    }
    let steps = pointer.strip_prefix('/')?.split('/');
    Some(steps.map(|step| step.replace("~1", "/").replace("~0", "~")).collect())
}

fn find<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, step| match value {
        Value::Object(map) => map.get(step),
        Value::Array(items) => items.get(index(step, items.len())?),
        _ => None,
    })
}

fn parent<'a, 'b>(value: &'a mut Value, path: &'b [String]) -> Option<(&'a mut Value, &'b String)> {
    let (last, before) = path.split_last()?;
    let mut value = value;
    for step in before {
        value = match value {
            Value::Object(map) => map.get_mut(step)?,
            Value::Array(items) => {
                let index = index(step, items.len())?;
                items.get_mut(index)?
            }
            _ => return None,
        };
    }
    Some((value, last))
}

/// A place in a list; negative ones count from the end.
fn index(step: &str, length: usize) -> Option<usize> {
    match step.strip_prefix('-') {
        Some(back) => length.checked_sub(back.parse().ok()?),
        None => step.parse().ok(),
    }
}

fn add(target: &mut Value, path: &[String], value: Value) -> Option<()> {
    if path.is_empty() {
        *target = value;
        return Some(());
    }
    let (parent, last) = parent(target, path)?;
    match parent {
        Value::Object(map) => {
            map.insert(last.clone(), value);
        }
        Value::Array(items) if last == "-" => items.push(value),
        Value::Array(items) => {
            let at = index(last, items.len())?;
            if at > items.len() {
                return None;
            }
            items.insert(at, value);
        }
        _ => return None,
    }
    Some(())
}

fn replace(target: &mut Value, path: &[String], value: Value) -> Option<()> {
    if path.is_empty() {
        *target = value;
        return Some(());
    }
    let (parent, last) = parent(target, path)?;
    match parent {
        Value::Object(map) => {
            map.insert(last.clone(), value);
        }
        Value::Array(items) => {
            let at = index(last, items.len())?;
            *items.get_mut(at)? = value;
        }
        _ => return None,
    }
    Some(())
}

fn remove(target: &mut Value, path: &[String]) -> Option<Value> {
    let (parent, last) = parent(target, path)?;
    match parent {
        Value::Object(map) => map.remove(last),
        Value::Array(items) => {
            let at = index(last, items.len())?;
            (at < items.len()).then(|| items.remove(at))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{PatchError, json as patch};

    #[test]
    fn operations_are_applied_in_order() {
        let mut target = json!({"a": {"b": "1"}, "list": [1, 2]});
        let operations = json!([
            {"op": "test", "path": "/a/b", "value": "1"},
            {"op": "replace", "path": "/a/missing", "value": "x"},
            {"op": "copy", "from": "/a/b", "path": "/a/c~1d"},
            {"op": "add", "path": "/list/-", "value": 3},
            {"op": "remove", "path": "/list/0"},
            {"op": "add", "path": "/a/none"},
        ]);
        patch(&mut target, &operations).unwrap();
        let expected =
            json!({"a": {"b": "1", "missing": "x", "c/d": "1", "none": null}, "list": [2, 3]});
        assert_eq!(target, expected);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for operation in [
            json!({"op": "add", "path": "/no/parent", "value": 1}),
            json!({"op": "add", "path": "no-slash", "value": 1}),
            json!({"op": "remove", "path": "/missing"}),
            json!({"op": "remove", "path": ""}),
            json!({"op": "add", "path": "/list/9", "value": 1}),
            json!({"op": "test", "path": "/list/0", "value": 2}),
            json!({"op": "dance", "path": "/list"}),
            json!({"path": "/list"}),
            json!(5),
        ] {
            let mut target = json!({"list": [1]});
            let refused = patch(&mut target, &json!([operation.clone()]));
            assert!(matches!(refused, Err(PatchError::Refused)), "{operation}");
        }
    }
}
