//! What a cluster does by itself: collecting garbage, ending namespaces, giving pods to nodes,
//! binding volumes. One task, driven by the changes of the store; nothing is polled.

mod garbage;
mod namespaces;
mod scheduler;
mod volumes;

pub(crate) use namespaces::furnish;
pub(crate) use scheduler::assign;

use std::sync::Arc;

use serde_json::{Value, json};

use crate::custom;
use crate::failure::Failure;
use crate::managed::Writer;
use crate::object;
use crate::server::Shared;
use crate::store::{Key, Object};
use crate::verbs::create;
use crate::verbs::update::{self, Change};

/// Starts the controllers; they end with the server.
pub(crate) fn start(shared: &Arc<Shared>) {
    let mut changes = shared.store.follow();
    let shared = Arc::clone(shared);
    let stop = shared.stop.clone();
    tokio::spawn(async move {
        let mut garbage = garbage::Garbage::default();
        for resource in shared.catalogue().stored() {
            for object in shared.store.list(&resource.storage, None).1 {
                garbage.seen(&resource.storage, &object.value);
            }
        }
        garbage.sweep(&shared);
        custom::resume(&shared);
        namespaces::resume(&shared);
        scheduler::all(&shared);
        loop {
            let (storage, change) = tokio::select! {
                () = stop.cancelled() => return,
                change = changes.recv() => match change {
                    Some(change) => change,
                    None => return,
                },
            };
            custom::changed(&shared, &storage, &change);
            garbage.changed(&shared, &storage, &change);
            namespaces::changed(&shared, &storage, &change);
            scheduler::changed(&shared, &storage, &change);
            volumes::changed(&shared, &storage, &change);
        }
    });
}

/// Changes an object as a controller; one that is gone is left alone.
fn edit(
    shared: &Shared,
    storage: &str,
    key: &Key,
    writer: &Writer,
    mut edit: impl FnMut(&mut Value),
) -> Option<Arc<Object>> {
    let resource = shared.catalogue().find_storage(storage)?;
    let result = update::modify(shared, &resource, key, writer, false, |old| {
        let mut new = old.clone();
        edit(&mut new);
        Ok(Change::Update(new))
    });
    report(storage, &key.name, result)
}

fn report<T>(storage: &str, name: &str, result: Result<T, Failure>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(failure) => {
            if failure.code != 404 {
                tracing::warn!(
                    resource = storage,
                    object = name,
                    reason = failure.message,
                    "a controller could not change an object"
                );
            }
            None
        }
    }
}

fn controller(subresource: &str) -> Writer<'_> {
    Writer { manager: "kube-controller-manager".into(), subresource }
}

/// Sets a condition in a status; the time moves only when the status does.
pub(crate) fn set_condition(status: &mut Value, condition: &Value) {
    let list = object::map_mut(status).entry("conditions").or_insert_with(|| json!([]));
    let Value::Array(list) = list else { return };
    let mut new = condition.clone();
    match list.iter_mut().find(|one| one["type"] == condition["type"]) {
        Some(old) => {
            new["lastTransitionTime"] = if old["status"] == new["status"] {
                old["lastTransitionTime"].clone()
            } else {
                json!(object::now())
            };
            *old = new;
        }
        None => {
            new["lastTransitionTime"] = json!(object::now());
            list.push(new);
        }
    }
}

/// Writes an Event about an object.
fn event(shared: &Shared, about: (&str, &str), object: &Value, said: Said) {
    let (api_version, kind) = about;
    let name = object::name(object);
    let namespace = object::namespace(object);
    let namespace = if namespace.is_empty() { "default" } else { namespace };
    let now = jiff::Timestamp::now();
    let event = json!({
        "metadata": {
            "name": format!("{name}.{:x}", now.as_nanosecond()),
            "namespace": namespace,
        },
        "involvedObject": {
            "kind": kind,
            "namespace": namespace,
            "name": name,
            "uid": object::uid(object),
            "apiVersion": api_version,
            "resourceVersion": object::meta(object, "resourceVersion"),
        },
        "reason": said.reason,
        "message": said.message,
        "source": {"component": said.component},
        "firstTimestamp": object::seconds(now),
        "lastTimestamp": object::seconds(now),
        "count": 1,
        "type": said.kind,
        "eventTime": null,
        "reportingComponent": said.component,
        "reportingInstance": "",
    });
    create::internal(shared, "events", event);
}

/// What an Event says.
struct Said<'a> {
    kind: &'a str,
    reason: &'a str,
    message: &'a str,
    component: &'a str,
}
