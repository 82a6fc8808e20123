//! Strategic merge patch: a merge patch that knows which lists merge by which key, with the
//! directives `$patch`, `$deleteFromPrimitiveList`, `$setElementOrder` and `$retainKeys`.

use serde_json::{Map, Value};

use crate::object;
use crate::schema::{Field, Kind, Types};

/// What is wrong with a patch.
#[derive(Debug)]
pub(crate) enum PatchFault {
    /// It does not fit the type.
    Unfit(String),
    /// It has a directive that nobody knows.
    Unknown(String),
}

/// Applies a strategic merge patch to an object of a type.
pub(crate) fn strategic(
    types: &Types,
    root: usize,
    target: &mut Value,
    patch: &Value,
) -> Result<(), PatchFault> {
    let Value::Object(patch) = patch else {
        return Err(PatchFault::Unfit("the patch is not an object".to_owned()));
    };
    let target = object::map_mut(target);
    map(types, Some(root), None, target, patch)
}

/// Merges into a structure (`of`) or into a map whose values are of `item`.
fn map(
    types: &Types,
    of: Option<usize>,
    item: Option<&Kind>,
    target: &mut Map<String, Value>,
    patch: &Map<String, Value>,
) -> Result<(), PatchFault> {
    match patch.get("$patch").map(|value| value.as_str().unwrap_or_default()) {
        None | Some("merge") => {}
        Some("replace") => {
            *target = patch.clone();
            target.remove("$patch");
            return Ok(());
        }
        Some("delete") => {
            target.clear();
            return Ok(());
        }
        Some(other) => {
            let shown = crate::verbs::go::map(&Value::Object(patch.clone()));
            return Err(PatchFault::Unknown(format!(
                "unknown patch type: {other} in map: {shown}"
            )));
        }
    }
    if let Some(Value::Array(keys)) = patch.get("$retainKeys") {
        if of.is_none() {
            return Err(PatchFault::Unfit("unrecognized type: string".to_owned()));
        }
        target.retain(|key, _| keys.iter().any(|one| one == key));
    }
    for (key, value) in patch {
        if key == "$patch" || key == "$retainKeys" || key.starts_with("$setElementOrder/") {
            continue;
        }
        if let Some(list) = key.strip_prefix("$deleteFromPrimitiveList/") {
            if let (Some(Value::Array(items)), Value::Array(gone)) = (target.get_mut(list), value) {
                items.retain(|one| !gone.contains(one));
            }
            continue;
        }
        if value.is_null() {
            target.remove(key);
            continue;
        }
        let field = of.and_then(|index| types.get(index).fields.get(key.as_str()));
        if let Some(Kind::Struct(_)) = field.map(|field| &field.kind)
            && let Value::String(_) | Value::Number(_) | Value::Bool(_) = value
        {
            let found = if value.is_string() { "string" } else { "scalar" };
            return Err(PatchFault::Unfit(format!("cannot restore struct from: {found}")));
        }
        let kind = field.map(|field| &field.kind).or(item);
        let order = patch.get(&format!("$setElementOrder/{key}"));
        match value {
            Value::Object(inner) => {
                let (of, item) = inside(kind);
                let slot = target.entry(key.clone()).or_insert(Value::Null);
                map(types, of, item, object::map_mut(slot), inner)?;
            }
            Value::Array(items) => list(types, field, kind, target, key, items, order)?,
            scalar => {
                target.insert(key.clone(), scalar.clone());
            }
        }
    }
    // An order may come without items: the list is only sorted.
    for (key, order) in patch {
        if let Some(name) = key.strip_prefix("$setElementOrder/")
            && !patch.contains_key(name)
            && let Some(Value::Array(items)) = target.get_mut(name)
        {
            let field = of.and_then(|index| types.get(index).fields.get(name));
            let before = items.clone();
            let order = order.as_array().map(Vec::as_slice).unwrap_or_default();
            sort(items, field.and_then(|field| field.merge_key.as_deref()), order, &before);
        }
    }
    Ok(())
}

fn inside(kind: Option<&Kind>) -> (Option<usize>, Option<&Kind>) {
    match kind {
        Some(Kind::Struct(index)) => (Some(*index), None),
        Some(Kind::Map(item)) => (None, Some(item)),
        _ => (None, None),
    }
}

fn list(
    types: &Types,
    field: Option<&Field>,
    kind: Option<&Kind>,
    target: &mut Map<String, Value>,
    name: &str,
    patch: &[Value],
    order: Option<&Value>,
) -> Result<(), PatchFault> {
    let merge_key = field.and_then(|field| field.merge_key.as_deref());
    let set = field.is_some_and(|field| field.set);
    let mut items = match target.remove(name) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    };
    let before = items.clone();
    match merge_key {
        None if set => {
            let new: Vec<Value> =
                patch.iter().filter(|one| !items.contains(one)).cloned().collect();
            items.extend(new);
        }
        None => items = patch.to_vec(),
        Some(key) => {
            let of = match kind {
                Some(Kind::List(item)) => inside(Some(item)).0,
                _ => None,
            };
            let replace = patch.iter().any(|one| one["$patch"] == "replace");
            if replace {
                items = patch.iter().filter(|one| one.get("$patch").is_none()).cloned().collect();
            } else {
                for one in patch {
                    let Value::Object(one) = one else {
                        return Err(PatchFault::Unfit(format!(
                            "an item of the list {name} is not an object"
                        )));
                    };
                    let wanted = one.get(key).ok_or_else(|| {
                        let shown = crate::verbs::go::map(&Value::Object(one.clone()));
                        PatchFault::Unknown(format!(
                            "map: {shown} does not contain declared merge key: {key}"
                        ))
                    })?;
                    let found = items.iter().position(|item| item.get(key) == Some(wanted));
                    if one.get("$patch").is_some_and(|patch| patch == "delete") {
                        items.retain(|item| item.get(key) != Some(wanted));
                        continue;
                    }
                    match found {
                        Some(at) => map(types, of, None, object::map_mut(&mut items[at]), one)?,
                        None => {
                            let mut new = Map::new();
                            map(types, of, None, &mut new, one)?;
                            items.push(Value::Object(new));
                        }
                    }
                }
            }
        }
    }
    if merge_key.is_some() || set {
        let order = order.and_then(Value::as_array).map_or(patch, Vec::as_slice);
        sort(&mut items, merge_key, order, &before);
    }
    target.insert(name.to_owned(), Value::Array(items));
    Ok(())
}

/// Orders the items as the real server does: those that the patch names in the order of the patch,
/// the others in the order they had; between the two, what was there keeps its place, and what is
/// new comes first.
fn sort(items: &mut Vec<Value>, merge_key: Option<&str>, order: &[Value], before: &[Value]) {
    let same = |one: &Value, other: &Value| match merge_key {
        Some(key) => one.get(key).is_some() && one.get(key) == other.get(key),
        None => one == other,
    };
    let rank = |list: &[Value], item: &Value| list.iter().position(|one| same(one, item));
    let (mut named, mut others): (Vec<Value>, Vec<Value>) =
        std::mem::take(items).into_iter().partition(|item| rank(order, item).is_some());
    named.sort_by_key(|item| rank(order, item));
    others.sort_by_key(|item| rank(before, item));
    let mut named = named.into_iter().peekable();
    let mut others = others.into_iter().peekable();
    while let (Some(left), Some(right)) = (others.peek(), named.peek()) {
        let earlier = rank(before, right)
            .is_some_and(|right| rank(before, left).is_some_and(|left| left < right));
        items.extend(if earlier { others.next() } else { named.next() });
    }
    items.extend(others);
    items.extend(named);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::TYPES;

    fn check(mut target: Value, patch: &Value, expected: &Value) {
        let root = TYPES.find("core.v1.Pod").unwrap();
        strategic(&TYPES, root, &mut target, patch).unwrap();
        assert_eq!(&target, expected);
    }

    #[test]
    fn containers_merge_by_name() {
        check(
            json!({"spec": {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]}}),
            &json!({"spec": {"containers": [{"name": "b", "image": "2"}, {"name": "c", "image": "3"}]}}),
            &json!({"spec": {"containers": [
                {"name": "a", "image": "1"}, {"name": "b", "image": "2"}, {"name": "c", "image": "3"}]}}),
        );
    }

    #[test]
    fn directives_delete_and_replace() {
        check(
            json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}], "tolerations": [{"key": "x"}]}}),
            &json!({"spec": {"containers": [{"name": "a", "$patch": "delete"}], "tolerations": []}}),
            &json!({"spec": {"containers": [{"name": "b"}], "tolerations": []}}),
        );
        check(
            json!({"metadata": {"labels": {"a": "1"}}}),
            &json!({"metadata": {"labels": {"$patch": "replace", "b": "2"}}}),
            &json!({"metadata": {"labels": {"b": "2"}}}),
        );
    }

    #[test]
    fn finalizers_are_added_deleted_and_ordered() {
        check(
            json!({"metadata": {"finalizers": ["a", "b"]}}),
            &json!({"metadata": {"finalizers": ["c"], "$deleteFromPrimitiveList/finalizers": ["a"],
                "$setElementOrder/finalizers": ["c", "b"]}}),
            &json!({"metadata": {"finalizers": ["c", "b"]}}),
        );
    }

    #[test]
    fn volumes_retain_only_the_named_source() {
        check(
            json!({"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}}),
            &json!({"spec": {"volumes": [
                {"name": "v", "$retainKeys": ["name", "secret"], "secret": {"secretName": "s"}}]}}),
            &json!({"spec": {"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}}),
        );
    }
}
