//! Server-side apply: merge what is applied, drop what is no longer applied, find conflicts.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::compare::{self, Shape, item_key, shape};
use super::set::Set;
use super::{Entry, Writer, compare as compare_objects, read, strip, write};
use crate::object;
use crate::resources::Resource;
use crate::schema::{Field, Kind, TYPES, Types, normalize};

/// A field that another manager owns with another value.
#[derive(Debug, Clone)]
pub(crate) struct Conflict {
    pub(crate) manager: String,
    /// Only of managers that do not apply.
    pub(crate) api_version: Option<String>,
    pub(crate) path: String,
    pub(crate) subresource: String,
}

/// Merges `applied` into what is stored (nothing for a create) and keeps the books.
///
/// # Errors
/// The conflicts, unless `force` is set.
pub(crate) fn apply(
    resource: &Resource,
    old: Option<&Value>,
    applied: &Value,
    writer: &Writer,
    force: bool,
) -> Result<Value, Vec<Conflict>> {
    let (types, root) = resource.types().unwrap_or((&TYPES, 0));
    let live = match old {
        Some(old) => old.clone(),
        None => normalize::zero(types, types.get(root)),
    };
    let mut entries = old.map(read).unwrap_or_default();
    let mut own = Entry {
        manager: writer.manager.clone().into_owned(),
        operation: "Apply".into(),
        api_version: resource.api_version(),
        subresource: writer.subresource.to_owned(),
        time: object::now(),
        set: compare::owned(types, root, applied),
    };
    strip(&mut own.set, resource, writer.subresource);
    let position = entries.iter().position(|entry| {
        entry.manager == own.manager
            && entry.operation == "Apply"
            && entry.subresource == own.subresource
    });
    let before = position.map(|at| entries.remove(at));

    let mut merged = live.clone();
    merge(types, (&Kind::Struct(root), None), &mut merged, applied);
    if let Some(before) = &before {
        let mut dropped = before.set.difference(&own.set);
        for entry in &entries {
            dropped = dropped.difference(&entry.set);
        }
        remove(types, (&Kind::Struct(root), None), &mut merged, &dropped, &own.set);
    }

    let changes = compare_objects(types, root, &live, &merged);
    let changed = changes.added.union(&changes.modified);
    let mut conflicts = Vec::new();
    for entry in &mut entries {
        let common = entry.set.intersection(&changed);
        if !common.is_empty() {
            conflicts.extend(common.paths().into_iter().map(|path| Conflict {
                manager: entry.manager.clone(),
                api_version: (entry.operation != "Apply").then(|| entry.api_version.clone()),
                subresource: entry.subresource.clone(),
                path,
            }));
            entry.set = entry.set.difference(&common);
        }
        entry.set = entry.set.difference(&changes.removed);
    }
    if !conflicts.is_empty() && !force {
        return Err(conflicts);
    }
    // An apply that changes nothing moves no time; of a new manager there is none then.
    if live == merged {
        own.time = before.map(|entry| entry.time).unwrap_or_default();
    }
    entries.push(own);
    write(&mut merged, entries);
    Ok(merged)
}

/// Brings what is applied into the stored form: quantities and times canonical, nothing added.
/// Gives the path of the first field that the type does not declare.
///
/// # Errors
/// When a value is not of the type of its field.
pub(crate) fn check(
    types: &Types,
    root: usize,
    value: &mut Value,
) -> Result<Option<String>, String> {
    let mut typed = value.clone();
    let findings = normalize::normalize(types, root, &mut typed)?;
    let map = object::map_mut(value);
    map.remove("kind");
    map.remove("apiVersion");
    canonical(value, &typed);
    Ok(findings.unknown.into_iter().next())
}

/// Takes over the canonical form of every scalar that is in both.
fn canonical(value: &mut Value, typed: &Value) {
    match (value, typed) {
        (Value::Object(map), Value::Object(typed)) => {
            map.retain(|_, child| !child.is_null());
            for (key, child) in map {
                if let Some(typed) = typed.get(key) {
                    canonical(child, typed);
                }
            }
        }
        (Value::Array(items), Value::Array(typed)) => {
            for (item, typed) in items.iter_mut().zip(typed) {
                canonical(item, typed);
            }
        }
        (value, typed) => *value = typed.clone(),
    }
}

/// Puts what is applied into the object.
fn merge(types: &Types, (kind, field): (&Kind, Option<&Field>), target: &mut Value, from: &Value) {
    match (shape(types, kind, field), from) {
        (Shape::Structure(index), Value::Object(from)) => {
            let fields = &types.get(index).fields;
            let target = object::map_mut(target);
            for (name, value) in from {
                match fields.get(name.as_str()) {
                    Some(field) => {
                        put(types, (&field.kind, Some(field)), target, name, value);
                    }
                    None => {
                        target.insert(name.clone(), value.clone());
                    }
                }
            }
        }
        (Shape::Map(item), Value::Object(from)) => {
            let target = object::map_mut(target);
            for (name, value) in from {
                put(types, (item, None), target, name, value);
            }
        }
        (Shape::Keyed(item, keys), Value::Array(from)) => {
            let mut kept = match std::mem::take(target) {
                Value::Array(items) => items,
                _ => Vec::new(),
            };
            let keyed = |items: Vec<Value>| -> Vec<(String, Value)> {
                items.into_iter().map(|one| (item_key(keys, &one), one)).collect()
            };
            let merged =
                interleave(keyed(std::mem::take(&mut kept)), keyed(from.clone()), |old, new| {
                    let mut one = old.unwrap_or_else(|| Value::Object(Map::new()));
                    merge(types, (item, None), &mut one, &new);
                    one
                });
            *target = Value::Array(merged);
        }
        (Shape::Values, Value::Array(from)) => {
            let old = match std::mem::take(target) {
                Value::Array(items) => items,
                _ => Vec::new(),
            };
            let keyed = |items: Vec<Value>| -> Vec<(String, Value)> {
                items.into_iter().map(|one| (one.to_string(), one)).collect()
            };
            let merged = interleave(keyed(old), keyed(from.clone()), |_, new| new);
            *target = Value::Array(merged);
        }
        _ => *target = from.clone(),
    }
}

/// The items of two lists by their keys: those of both in the order of the second, those of the
/// first alone where they were among them.
fn interleave(
    old: Vec<(String, Value)>,
    new: Vec<(String, Value)>,
    mut join: impl FnMut(Option<Value>, Value) -> Value,
) -> Vec<Value> {
    let applied: HashSet<String> = new.iter().map(|(key, _)| key.clone()).collect();
    let order: Vec<String> = old.iter().map(|(key, _)| key.clone()).collect();
    let mut before: HashMap<String, Value> = old.into_iter().collect();
    let known: HashSet<String> = before.keys().cloned().collect();
    // What both have, in the order that is wanted.
    let shared: Vec<String> =
        new.iter().map(|(key, _)| key.clone()).filter(|key| known.contains(key)).collect();
    let mut shared = shared.into_iter();
    let mut next = shared.next();
    let mut done: HashSet<String> = HashSet::new();
    let mut out = Vec::new();
    let mut left = order.into_iter().peekable();
    let mut right = new.into_iter().peekable();
    while left.peek().is_some() || right.peek().is_some() {
        if let (Some(one), Some((other, _))) = (left.peek(), right.peek())
            && one != other
            && applied.contains(one)
            && next.as_ref().is_some_and(|next| next != one)
        {
            // It comes later.
            left.next();
            continue;
        }
        let same =
            matches!((left.peek(), right.peek()), (Some(one), Some((other, _))) if one == other);
        if let Some(one) = left.peek().filter(|_| !same) {
            if !applied.contains(one) {
                out.extend(before.remove(one));
                left.next();
                continue;
            }
            if done.contains(one) {
                left.next();
                continue;
            }
        }
        if same {
            left.next();
        }
        if let Some((key, value)) = right.next() {
            if next.as_ref() == Some(&key) {
                next = shared.next();
            }
            out.push(join(before.remove(&key), value));
            done.insert(key);
        } else {
            left.next();
        }
    }
    out
}

fn put(
    types: &Types,
    (kind, field): (&Kind, Option<&Field>),
    target: &mut Map<String, Value>,
    name: &str,
    value: &Value,
) {
    let slot = target.entry(name.to_owned()).or_insert(Value::Null);
    merge(types, (kind, field), slot, value);
}

/// Takes out what the manager applied before and does not apply any more, unless it still applies
/// something below.
fn remove(
    types: &Types,
    (kind, field): (&Kind, Option<&Field>),
    target: &mut Value,
    dropped: &Set,
    kept: &Set,
) {
    let none = Set::default();
    match (shape(types, kind, field), target) {
        (Shape::Structure(index), Value::Object(map)) => {
            let fields = &types.get(index).fields;
            map.retain(|name, value| {
                let Some(field) = fields.get(name.as_str()) else { return true };
                let element = format!("f:{name}");
                let below = kept.children.get(&element).unwrap_or(&none);
                retain(
                    types,
                    (&field.kind, Some(field)),
                    value,
                    dropped.children.get(&element),
                    below,
                )
            });
        }
        (Shape::Map(item), Value::Object(map)) => {
            map.retain(|name, value| {
                let element = format!("f:{name}");
                let below = kept.children.get(&element).unwrap_or(&none);
                retain(types, (item, None), value, dropped.children.get(&element), below)
            });
        }
        (Shape::Keyed(item, keys), Value::Array(items)) => {
            items.retain_mut(|one| {
                let element = item_key(keys, one);
                let below = kept.children.get(&element).unwrap_or(&none);
                retain(types, (item, None), one, dropped.children.get(&element), below)
            });
        }
        (Shape::Values, Value::Array(items)) => {
            items.retain(|one| !dropped.children.contains_key(&format!("v:{one}")));
        }
        _ => {}
    }
}

fn retain(
    types: &Types,
    kind: (&Kind, Option<&Field>),
    value: &mut Value,
    dropped: Option<&Set>,
    kept: &Set,
) -> bool {
    let Some(dropped) = dropped else { return true };
    let had = has_content(value);
    remove(types, kind, value, dropped, kept);
    if !dropped.member || !kept.is_empty() {
        return true;
    }
    // The node itself is dropped: it goes unless others keep something below it.
    let leaf = !matches!(value, Value::Object(_) | Value::Array(_))
        || matches!(shape(types, kind.0, kind.1), Shape::Atomic);
    if leaf { false } else { had && has_content(value) }
}

fn has_content(value: &Value) -> bool {
    match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => true,
    }
}
