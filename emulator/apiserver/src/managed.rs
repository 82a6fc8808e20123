//! Managed fields: who owns which field of an object, for server-side apply and for readers.

mod apply;
mod compare;
mod set;

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use crate::object;
use crate::resources::Resource;
use crate::schema::normalize;

pub(crate) use apply::{Conflict, apply, check};
use compare::compare;
use set::Set;

/// Who writes, and which part of the object.
#[derive(Debug, Clone)]
pub(crate) struct Writer<'a> {
    pub(crate) manager: Cow<'a, str>,
    pub(crate) subresource: &'a str,
}

/// One entry of `metadata.managedFields`.
#[derive(Debug, Clone)]
struct Entry {
    manager: String,
    operation: String,
    api_version: String,
    subresource: String,
    time: String,
    set: Set,
}

impl Entry {
    fn is(&self, other: &Entry) -> bool {
        self.manager == other.manager
            && self.operation == other.operation
            && self.api_version == other.api_version
            && self.subresource == other.subresource
    }

    fn read(value: &Value) -> Entry {
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        Entry {
            manager: text("manager"),
            operation: text("operation"),
            api_version: text("apiVersion"),
            subresource: text("subresource"),
            time: text("time"),
            set: Set::read(&value["fieldsV1"]),
        }
    }

    fn write(&self) -> Value {
        let mut entry = Map::new();
        entry.insert("manager".into(), json!(self.manager));
        entry.insert("operation".into(), json!(self.operation));
        entry.insert("apiVersion".into(), json!(self.api_version));
        if !self.time.is_empty() {
            entry.insert("time".into(), json!(self.time));
        }
        entry.insert("fieldsType".into(), json!("FieldsV1"));
        entry.insert("fieldsV1".into(), self.set.write());
        if !self.subresource.is_empty() {
            entry.insert("subresource".into(), json!(self.subresource));
        }
        Value::Object(entry)
    }
}

fn read(object: &Value) -> Vec<Entry> {
    object::list(object, &["metadata", "managedFields"]).iter().map(Entry::read).collect()
}

fn write(object: &mut Value, mut entries: Vec<Entry>) {
    entries.retain(|entry| !entry.set.is_empty());
    entries.sort_by(|a, b| {
        (&a.operation, &a.time, &a.manager, &a.subresource).cmp(&(
            &b.operation,
            &b.time,
            &b.manager,
            &b.subresource,
        ))
    });
    let metadata = object::metadata_mut(object);
    if entries.is_empty() {
        metadata.remove("managedFields");
    } else {
        metadata.insert("managedFields".into(), entries.iter().map(Entry::write).collect());
    }
}

/// Fields that nobody owns: the server's own, and those the written path does not change.
fn strip(set: &mut Set, resource: &Resource, subresource: &str) {
    for field in ["f:kind", "f:apiVersion"] {
        set.children.remove(field);
    }
    if let Some(metadata) = set.children.get_mut("f:metadata") {
        for field in [
            "f:name",
            "f:namespace",
            "f:creationTimestamp",
            "f:selfLink",
            "f:uid",
            "f:clusterName",
            "f:generation",
            "f:managedFields",
            "f:resourceVersion",
        ] {
            metadata.children.remove(field);
        }
        if metadata.children.is_empty() {
            set.children.remove("f:metadata");
        }
    }
    match subresource {
        "status" => {
            set.children.remove("f:spec");
        }
        "" if resource.has_status() => {
            set.children.remove("f:status");
        }
        _ => {}
    }
    set.prune();
}

/// Brings the managed fields of `new` up to date after a write that is no apply.
///
/// `old` is what was stored; nothing for a create.
pub(crate) fn update(resource: &Resource, old: Option<&Value>, new: &mut Value, writer: &Writer) {
    let Some((types, root)) = resource.types() else { return };
    let empty;
    let (before, mut entries) = match old {
        Some(old) => {
            let sent = &new["metadata"]["managedFields"];
            // A client may clear the list; everything else it sends there counts for nothing.
            let cleared = sent.as_array().is_some_and(|list| {
                list.is_empty() || list.iter().all(|entry| entry == &json!({}))
            });
            (old, if cleared { Vec::new() } else { read(old) })
        }
        None => {
            empty = normalize::zero(types, types.get(root));
            (&empty, Vec::new())
        }
    };
    let changes = compare(types, root, before, new);
    let mut written = changes.added;
    written.add(&changes.modified);
    strip(&mut written, resource, writer.subresource);
    let mut removed = changes.removed;
    strip(&mut removed, resource, writer.subresource);
    let mut own = Entry {
        manager: writer.manager.clone().into_owned(),
        operation: "Update".into(),
        api_version: resource.api_version(),
        subresource: writer.subresource.to_owned(),
        time: object::now(),
        set: Set::default(),
    };
    let position = entries.iter().position(|entry| entry.is(&own));
    let before = position.map(|at| entries.remove(at));
    for entry in &mut entries {
        entry.set.subtract(&written);
        entry.set.subtract(&removed);
    }
    own.set = match &before {
        Some(before) => before.set.union(&written),
        None => written,
    };
    own.set.subtract(&removed);
    if let Some(before) = before
        && before.set == own.set
    {
        own.time = before.time;
    }
    entries.push(own);
    write(new, entries);
}

#[cfg(test)]
mod tests;
