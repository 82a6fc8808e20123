//! Follows the definitions: accepts their names, serves them, and takes their objects away with
//! them.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use serde_json::{Value, json};

use super::definition::CLEANUP;
use super::{DEFINITIONS, GROUP, resources};
use crate::controllers::set_condition;
use crate::managed::Writer;
use crate::object;
use crate::resources::{Catalogue, Resource};
use crate::server::Shared;
use crate::store::{Change, Key};
use crate::verbs::delete::{Options, Policy, remove};
use crate::verbs::update::{self, Change as Write};

/// Serves the definitions that are kept, before anything is asked.
pub(crate) fn load(shared: &Shared) {
    rebuild(shared);
}

/// Goes on with what a change of an object asks for.
pub(crate) fn changed(shared: &Shared, storage: &str, change: &Change) {
    if storage != DEFINITIONS {
        if change.deleted && is_ending(shared, storage) {
            sync(shared, &Key::new("", storage));
        }
        return;
    }
    if change.deleted {
        {
            let _one = shared.definitions.lock().unwrap_or_else(PoisonError::into_inner);
            rebuild(shared);
        }
        // A name that it had may be free for another one now.
        for other in shared.store.list(DEFINITIONS, None).1 {
            if !condition(&other.value, "NamesAccepted") {
                sync(shared, &Key::of(&other.value));
            }
        }
        return;
    }
    sync(shared, &change.key);
}

/// Goes on with all definitions, after a restart.
pub(crate) fn resume(shared: &Shared) {
    for definition in shared.store.list(DEFINITIONS, None).1 {
        sync(shared, &Key::of(&definition.value));
    }
}

/// Whether objects of a storage are only there until their definition is gone.
fn is_ending(shared: &Shared, storage: &str) -> bool {
    shared
        .store
        .get(DEFINITIONS, &Key::new("", storage))
        .is_some_and(|definition| object::is_deleting(&definition.value))
}

fn condition(definition: &Value, kind: &str) -> bool {
    object::list(definition, &["status", "conditions"])
        .iter()
        .any(|one| one["type"] == kind && one["status"] == "True")
}

/// Goes on with a definition that a request has written, so that it is served when the answer
/// arrives.
pub(crate) fn written(shared: &Shared, resource: &Resource, key: &Key) {
    if resource.is(GROUP, "CustomResourceDefinition") {
        sync(shared, key);
    }
}

fn sync(shared: &Shared, key: &Key) {
    let _one = shared.definitions.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(definition) = shared.store.get(DEFINITIONS, key) else { return };
    if object::is_deleting(&definition.value) {
        rebuild(shared);
        if object::finalizers(&definition.value).any(|one| one == CLEANUP) {
            clean(shared, key);
        }
        return;
    }
    let status = accepted(shared, &definition.value);
    // It is served before it says so.
    let mut next = definition.value.clone();
    next["status"] = status.clone();
    serve(shared, Some(&next));
    if status != definition.value["status"] {
        write(shared, key, "status", |value| value["status"] = status.clone());
    }
}

/// The status of a definition, with the names it gets.
fn accepted(shared: &Shared, definition: &Value) -> Value {
    let wanted = &definition["spec"]["names"];
    let mut status = definition["status"].clone();
    let others: Vec<Value> = shared
        .store
        .list(DEFINITIONS, None)
        .1
        .iter()
        .filter(|other| object::name(&other.value) != object::name(definition))
        .filter(|other| other.value["spec"]["group"] == definition["spec"]["group"])
        .map(|other| other.value["status"]["acceptedNames"].clone())
        .collect();
    // One name space for what stands in paths, another one for kinds.
    let plain = |names: &Value| -> Vec<Value> {
        let mut all = vec![names["plural"].clone(), names["singular"].clone()];
        all.extend(object::list(names, &["shortNames"]).iter().cloned());
        all
    };
    let kinds = |names: &Value| vec![names["kind"].clone(), names["listKind"].clone()];
    let used: Vec<Value> = others.iter().flat_map(&plain).collect();
    let used_kinds: Vec<Value> = others.iter().flat_map(&kinds).collect();
    let mut conflicts: Vec<(&str, String)> = Vec::new();
    let mut names = status["acceptedNames"].clone();
    for (field, reason, used) in [
        ("plural", "PluralConflict", &used),
        ("singular", "SingularConflict", &used),
        ("kind", "KindConflict", &used_kinds),
        ("listKind", "ListKindConflict", &used_kinds),
    ] {
        let name = &wanted[field];
        if name.as_str().is_some_and(|name| !name.is_empty()) && used.contains(name) {
            conflicts.push((reason, format!("{name} is already in use")));
        } else if !name.is_null() {
            names[field] = name.clone();
        }
    }
    let short = object::list(wanted, &["shortNames"]);
    let taken: Vec<String> = short
        .iter()
        .filter(|one| used.contains(one))
        .map(|one| format!("{one} is already in use"))
        .collect();
    if taken.is_empty() {
        put(&mut names, "shortNames", short);
    } else {
        conflicts.push(("ShortNamesConflict", taken.join(", ")));
    }
    put(&mut names, "categories", object::list(wanted, &["categories"]));
    status["acceptedNames"] = names;
    conditions(&mut status, &conflicts);
    status
}

fn put(names: &mut Value, key: &str, list: &[Value]) {
    let map = object::map_mut(names);
    if list.is_empty() {
        map.remove(key);
    } else {
        map.insert(key.to_owned(), json!(list));
    }
}

fn conditions(status: &mut Value, conflicts: &[(&str, String)]) {
    let said = |kind: &str, value: &str, reason: &str, message: &str| json!({"type": kind, "status": value, "reason": reason, "message": message});
    if status["conditions"].is_null() {
        status["conditions"] = json!([]);
    }
    let names = match conflicts {
        [] => said("NamesAccepted", "True", "NoConflicts", "no conflicts found"),
        [(reason, message)] => said("NamesAccepted", "False", reason, message),
        several => {
            let messages: Vec<&str> = several.iter().map(|(_, message)| message.as_str()).collect();
            said("NamesAccepted", "False", "MultipleConflicts", &messages.join("\n"))
        }
    };
    set_condition(status, &names);
    let holder = json!({"status": status.clone()});
    if condition(&holder, "Established") {
        return;
    }
    let established = if conflicts.is_empty() {
        said("Established", "True", "InitialNamesAccepted", "the initial names have been accepted")
    } else {
        said("Established", "False", "NotAccepted", "not all names are accepted")
    };
    set_condition(status, &established);
}

/// Deletes the objects of a definition; when none is left, lets the definition go.
fn clean(shared: &Shared, key: &Key) {
    let storage = &key.name;
    let terminating = |value: &str, reason: &str, message: &str| json!({"type": "Terminating", "status": value, "reason": reason, "message": message});
    let resource = shared.catalogue().find_storage(storage);
    let left = match &resource {
        None => 0,
        Some(resource) => {
            for one in shared.store.list(storage, None).1 {
                if object::is_deleting(&one.value) {
                    continue;
                }
                let options = Options { policy: Some(Policy::Background), ..Options::default() };
                let key = Key::of(&one.value);
                if let Err(failure) = remove(shared, resource, &key, &options) {
                    tracing::debug!(
                        resource = storage,
                        object = key.name,
                        reason = failure.message,
                        "an object could not be deleted with its definition"
                    );
                }
            }
            shared.store.list(storage, None).1.len()
        }
    };
    if left > 0 {
        let condition = terminating(
            "True",
            "InstanceDeletionInProgress",
            "CustomResource deletion is in progress",
        );
        write(shared, key, "status", |value| set_condition(&mut value["status"], &condition));
        return;
    }
    let condition = terminating("False", "InstanceDeletionCompleted", "removed all instances");
    write(shared, key, "status", |value| set_condition(&mut value["status"], &condition));
    write(shared, key, "", |value| {
        let metadata = object::metadata_mut(value);
        if let Some(Value::Array(finalizers)) = metadata.get_mut("finalizers") {
            finalizers.retain(|one| one != CLEANUP);
            if finalizers.is_empty() {
                metadata.remove("finalizers");
            }
        }
    });
}

fn write(shared: &Shared, key: &Key, subresource: &str, mut edit: impl FnMut(&mut Value)) {
    let resource = shared.catalogue().storage(DEFINITIONS);
    let writer = Writer { manager: "kube-apiserver".into(), subresource };
    let result = update::modify(shared, &resource, key, &writer, false, |old| {
        let mut new = old.clone();
        edit(&mut new);
        Ok(Write::Update(new))
    });
    if let Err(failure) = result
        && failure.code != 404
    {
        tracing::warn!(
            definition = key.name,
            reason = failure.message,
            "a definition could not be changed"
        );
    }
}

fn rebuild(shared: &Shared) {
    serve(shared, None);
}

/// Makes the catalogue anew from the definitions; `next` stands for one that is not written yet.
/// What did not change is not compiled again.
fn serve(shared: &Shared, next: Option<&Value>) {
    let present = shared.catalogue();
    let mut groups: HashMap<String, (String, Vec<Arc<Resource>>)> = HashMap::new();
    let mut changed = false;
    for definition in shared.store.list(DEFINITIONS, None).1 {
        let mut value = &definition.value;
        if let Some(next) = next.filter(|next| object::name(next) == object::name(value)) {
            value = next;
        }
        if !condition(value, "Established") {
            continue;
        }
        let name = object::name(value).to_owned();
        let stamp = stamp(value);
        let compiled = match present.definition(&name, &stamp) {
            Some(compiled) => compiled,
            None => {
                changed = true;
                resources(value).into_iter().map(Arc::new).collect()
            }
        };
        groups.insert(name, (stamp, compiled));
    }
    if changed || groups.len() != present.definitions() {
        shared.set_catalogue(Catalogue::with_definitions(groups));
    }
}

/// What of a definition makes a difference to how it is served.
fn stamp(definition: &Value) -> String {
    format!(
        "{} {} {} {}",
        object::uid(definition),
        object::is_deleting(definition),
        definition["spec"],
        definition["status"]["acceptedNames"]
    )
}
