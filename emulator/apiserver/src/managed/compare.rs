//! Which fields differ between two versions of an object.

use serde_json::{Map, Value};

use super::set::Set;
use crate::schema::{Field, Kind, Types};

/// What a write did.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) added: Set,
    pub(crate) modified: Set,
    pub(crate) removed: Set,
}

/// Compares two objects of a type.
pub(crate) fn compare(types: &Types, root: usize, old: &Value, new: &Value) -> Changes {
    let mut changes = Changes::default();
    let (added, modified, removed) =
        (&mut changes.added, &mut changes.modified, &mut changes.removed);
    structure(types, root, old, new, added, modified, removed);
    for set in [added, modified, removed] {
        set.prune();
    }
    changes
}

/// The paths that an applied object owns: its leaves and the items of its lists, but not the maps
/// and structures on the way.
pub(crate) fn owned(types: &Types, root: usize, value: &Value) -> Set {
    let mut set = members(types, &Kind::Struct(root), None, value);
    leaves(&mut set, "");
    set.member = false;
    set
}

fn leaves(set: &mut Set, element: &str) {
    if !set.children.is_empty() && !element.starts_with("k:") {
        set.member = false;
    }
    for (element, child) in &mut set.children {
        leaves(child, element);
    }
}

/// How a value merges: as a whole, by field, by the keys of its items, or by its values.
pub(crate) enum Shape<'a> {
    Atomic,
    Structure(usize),
    Map(&'a Kind),
    Keyed(&'a Kind, &'a [String]),
    Values,
}

pub(crate) fn shape<'a>(types: &Types, kind: &'a Kind, field: Option<&'a Field>) -> Shape<'a> {
    if field.is_some_and(|field| field.atomic) {
        return Shape::Atomic;
    }
    match kind {
        Kind::Struct(index) if !types.get(*index).atomic => Shape::Structure(*index),
        Kind::Map(item) => Shape::Map(item),
        Kind::Deduced => Shape::Map(kind),
        Kind::List(item) => match field {
            Some(field) if !field.list_keys.is_empty() => Shape::Keyed(item, &field.list_keys),
            Some(field) if field.set => Shape::Values,
            _ => Shape::Atomic,
        },
        _ => Shape::Atomic,
    }
}

/// The path element of an item of a keyed list.
pub(crate) fn item_key(keys: &[String], item: &Value) -> String {
    let mut sorted: Vec<&str> = keys.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    let mut map = Map::new();
    for key in sorted {
        let value = match &item[key] {
            Value::Null if key == "protocol" => Value::from("TCP"),
            Value::Null => continue,
            value => value.clone(),
        };
        map.insert(key.to_owned(), value);
    }
    format!("k:{}", Value::Object(map))
}

fn members(types: &Types, kind: &Kind, field: Option<&Field>, value: &Value) -> Set {
    let mut set = Set::leaf();
    match (shape(types, kind, field), value) {
        (Shape::Structure(index), Value::Object(map)) => {
            let fields = &types.get(index).fields;
            for (name, child) in map {
                let child = match fields.get(name.as_str()) {
                    Some(field) => members(types, &field.kind, Some(field), child),
                    None if types.get(index).open => members(types, &Kind::Deduced, None, child),
                    None => Set::leaf(),
                };
                set.children.insert(format!("f:{name}"), child);
            }
        }
        (Shape::Map(item), Value::Object(map)) => {
            for (name, child) in map {
                set.children.insert(format!("f:{name}"), members(types, item, None, child));
            }
        }
        (Shape::Keyed(item, keys), Value::Array(items)) => {
            for one in items {
                set.children.insert(item_key(keys, one), members(types, item, None, one));
            }
        }
        (Shape::Values, Value::Array(items)) => {
            for one in items {
                set.children.insert(format!("v:{one}"), Set::leaf());
            }
        }
        _ => {}
    }
    set
}

fn structure(
    types: &Types,
    index: usize,
    old: &Value,
    new: &Value,
    added: &mut Set,
    modified: &mut Set,
    removed: &mut Set,
) {
    let fields = &types.get(index).fields;
    let empty = Map::new();
    let old = old.as_object().unwrap_or(&empty);
    let new = new.as_object().unwrap_or(&empty);
    for name in old.keys().chain(new.keys().filter(|name| !old.contains_key(*name))) {
        let element = format!("f:{name}");
        let Some(field) = fields.get(name.as_str()) else {
            if types.get(index).open {
                let sides = (old.get(name), new.get(name));
                value(types, (&Kind::Deduced, None), &element, sides, added, modified, removed);
            }
            continue;
        };
        value(
            types,
            (&field.kind, Some(field)),
            &element,
            (old.get(name), new.get(name)),
            added,
            modified,
            removed,
        );
    }
}

fn value(
    types: &Types,
    (kind, field): (&Kind, Option<&Field>),
    element: &str,
    sides: (Option<&Value>, Option<&Value>),
    added: &mut Set,
    modified: &mut Set,
    removed: &mut Set,
) {
    let (old, new) = match sides {
        (None, None) => return,
        (None, Some(new)) => {
            added.children.insert(element.to_owned(), members(types, kind, field, new));
            return;
        }
        (Some(old), None) => {
            removed.children.insert(element.to_owned(), members(types, kind, field, old));
            return;
        }
        (Some(old), Some(new)) if old == new => return,
        (Some(old), Some(new)) => (old, new),
    };
    // What may be anything is compared field by field only where both are maps.
    if *kind == Kind::Deduced && !(old.is_object() && new.is_object()) {
        modified.children.insert(element.to_owned(), Set::leaf());
        return;
    }
    let mut inner = (Set::default(), Set::default(), Set::default());
    let (add, modify, remove) = (&mut inner.0, &mut inner.1, &mut inner.2);
    match shape(types, kind, field) {
        Shape::Structure(index) => structure(types, index, old, new, add, modify, remove),
        Shape::Map(item) => {
            let empty = Map::new();
            let old = old.as_object().unwrap_or(&empty);
            let new = new.as_object().unwrap_or(&empty);
            for name in old.keys().chain(new.keys().filter(|name| !old.contains_key(*name))) {
                let sides = (old.get(name), new.get(name));
                value(types, (item, None), &format!("f:{name}"), sides, add, modify, remove);
            }
        }
        Shape::Keyed(item, keys) => {
            let old = keyed(keys, old);
            let new = keyed(keys, new);
            let later = new.iter().filter(|(key, _)| !old.iter().any(|(other, _)| other == key));
            for (key, _) in old.iter().chain(later) {
                let sides = (find(&old, key), find(&new, key));
                value(types, (item, None), key, sides, add, modify, remove);
            }
        }
        Shape::Values => {
            let none = Vec::new();
            let old = old.as_array().unwrap_or(&none);
            let new = new.as_array().unwrap_or(&none);
            for one in new.iter().filter(|one| !old.contains(one)) {
                add.children.insert(format!("v:{one}"), Set::leaf());
            }
            for one in old.iter().filter(|one| !new.contains(one)) {
                remove.children.insert(format!("v:{one}"), Set::leaf());
            }
        }
        Shape::Atomic => modify.member = true,
    }
    for (outer, set) in [(added, inner.0), (modified, inner.1), (removed, inner.2)] {
        if !set.is_empty() {
            outer.children.insert(element.to_owned(), set);
        }
    }
}

fn keyed<'a>(keys: &[String], list: &'a Value) -> Vec<(String, &'a Value)> {
    list.as_array().into_iter().flatten().map(|item| (item_key(keys, item), item)).collect()
}

fn find<'a>(items: &[(String, &'a Value)], key: &str) -> Option<&'a Value> {
    items.iter().find(|(other, _)| other == key).map(|(_, item)| *item)
}
