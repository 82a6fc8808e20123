//! Events have two forms of one object: that of the core group, in which they are kept, and that of
//! `events.k8s.io`, into which they are put where a client asks for it.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::resources::Resource;
use crate::server::Shared;

/// The fields that have another name: in `events.k8s.io`, and in the core group.
const NAMES: &[(&str, &str)] = &[
    ("deprecatedCount", "count"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedSource", "source"),
    ("note", "message"),
    ("regarding", "involvedObject"),
    ("reportingController", "reportingComponent"),
];

/// Whether the resource shows events in the form of `events.k8s.io`.
pub(crate) fn is_new(resource: &Resource) -> bool {
    resource.group == "events.k8s.io"
}

/// The resource under which the objects of a resource are kept.
pub(crate) fn kept_as(shared: &Shared, resource: &Arc<Resource>) -> Arc<Resource> {
    if is_new(resource) { shared.catalogue().storage("events") } else { Arc::clone(resource) }
}

/// An object as it is kept.
pub(crate) fn to_kept(resource: &Resource, value: Value) -> Value {
    if is_new(resource) { renamed(value, |(new, core)| (new, core)) } else { value }
}

/// A kept object in the form of a resource.
pub(crate) fn to_shown(resource: &Resource, value: Value) -> Value {
    if is_new(resource) { renamed(value, |(new, core)| (core, new)) } else { value }
}

fn renamed(
    value: Value,
    direction: fn((&'static str, &'static str)) -> (&'static str, &'static str),
) -> Value {
    let Value::Object(map) = value else { return value };
    let renamed: Map<String, Value> = map
        .into_iter()
        .map(|(key, value)| {
            let found = NAMES.iter().map(|pair| direction(*pair)).find(|(from, _)| *from == key);
            (found.map_or(key, |(_, to)| to.to_owned()), value)
        })
        .collect();
    Value::Object(renamed)
}
