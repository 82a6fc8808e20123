//! Owner references: what belongs to nobody any more goes, in the background, in the foreground,
//! or is orphaned.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::{Said, controller, edit, event, report};
use crate::object;
use crate::server::Shared;
use crate::store::{Change, Key, Object};
use crate::verbs::delete::{FOREGROUND, ORPHAN, Options, Policy, remove};

/// Where an object lies.
type Place = (String, Key);

/// Who exists, and who belongs to whom.
#[derive(Debug, Default)]
pub(crate) struct Garbage {
    /// By uid.
    places: HashMap<String, Place>,
    /// The dependents by the uid of the owner, and whether each keeps its owner from going.
    dependents: HashMap<String, HashMap<String, bool>>,
}

/// What the owners of an object are.
#[derive(Default)]
struct Owners<'a> {
    /// They are there, or nobody can tell.
    solid: Vec<&'a Value>,
    /// They are not there.
    dangling: Vec<&'a Value>,
    /// They go, and wait for their dependents.
    waiting: Vec<&'a Value>,
}

impl Garbage {
    /// Takes an object into the books.
    pub(crate) fn seen(&mut self, storage: &str, value: &Value) {
        let uid = object::uid(value);
        self.places.insert(uid.to_owned(), (storage.to_owned(), Key::of(value)));
        for reference in references(value) {
            let blocks = reference["blockOwnerDeletion"] == true;
            let owner = object::text(reference, &["uid"]).to_owned();
            self.dependents.entry(owner).or_default().insert(uid.to_owned(), blocks);
        }
    }

    /// Looks at everything once, after a restart.
    pub(crate) fn sweep(&mut self, shared: &Shared) {
        let places: Vec<Place> = self.places.values().cloned().collect();
        for (storage, key) in places {
            if let Some(object) = shared.store.get(&storage, &key) {
                self.check(shared, &storage, &object.value);
                self.end(shared, &storage, &object.value, true);
            }
        }
    }

    pub(crate) fn changed(&mut self, shared: &Shared, storage: &str, change: &Change) {
        let value = &change.new.value;
        if !change.deleted {
            let old = change.old.as_ref().map(|old| &old.value);
            for owner in old.into_iter().flat_map(owners) {
                self.forget(owner, object::uid(value));
            }
            self.seen(storage, value);
            self.check(shared, storage, value);
            self.end(shared, storage, value, !old.is_some_and(is_waiting));
            // An owner may have waited for this one and need not any more.
            for owner in old.into_iter().flat_map(owners) {
                let kept = self.dependents.get(owner).and_then(|all| all.get(object::uid(value)));
                if kept != Some(&true) {
                    self.recheck(shared, owner);
                }
            }
            return;
        }
        let uid = object::uid(value);
        self.places.remove(uid);
        for owner in owners(value) {
            self.forget(owner, uid);
            self.recheck(shared, owner);
        }
        for dependent in self.dependents_of(uid) {
            if let Some((storage, object)) = self.find(shared, &dependent) {
                self.check(shared, &storage, &object.value);
            }
        }
    }

    fn forget(&mut self, owner: &str, dependent: &str) {
        if let Some(dependents) = self.dependents.get_mut(owner) {
            dependents.remove(dependent);
            if dependents.is_empty() {
                self.dependents.remove(owner);
            }
        }
    }

    fn dependents_of(&self, uid: &str) -> Vec<String> {
        self.dependents.get(uid).into_iter().flatten().map(|(uid, _)| uid.clone()).collect()
    }

    fn find(&self, shared: &Shared, uid: &str) -> Option<(String, Arc<Object>)> {
        let (storage, key) = self.places.get(uid)?;
        let object = shared.store.get(storage, key)?;
        (object::uid(&object.value) == uid).then(|| (storage.clone(), object))
    }

    /// Lets an owner go that waited for the last of its dependents.
    fn recheck(&mut self, shared: &Shared, owner: &str) {
        let waits = |all: &HashMap<String, bool>| all.values().any(|blocks| *blocks);
        if self.dependents.get(owner).is_some_and(waits) {
            return;
        }
        if let Some((storage, object)) = self.find(shared, owner) {
            self.end(shared, &storage, &object.value, false);
        }
    }

    /// Goes on with the deletion of an object that holds a finalizer of ours; `first` says that
    /// its dependents have not been told yet.
    fn end(&mut self, shared: &Shared, storage: &str, value: &Value, first: bool) {
        if !object::is_deleting(value) {
            return;
        }
        let key = Key::of(value);
        if object::finalizers(value).any(|one| one == ORPHAN) {
            self.orphan(shared, storage, &key, value);
        } else if is_waiting(value) {
            let uid = object::uid(value);
            if first {
                for dependent in self.dependents_of(uid) {
                    if let Some((storage, object)) = self.find(shared, &dependent) {
                        self.check(shared, &storage, &object.value);
                    }
                }
            }
            let blocked = self.dependents.get(uid).is_some_and(|all| all.values().any(|one| *one));
            if !blocked {
                drop_finalizer(shared, storage, &key, FOREGROUND);
            }
        }
    }

    /// Deletes an object that belongs to nobody any more, or makes it forget those who are gone.
    fn check(&mut self, shared: &Shared, storage: &str, value: &Value) {
        if references(value).is_empty() || object::is_deleting(value) {
            return;
        }
        let key = Key::of(value);
        let owners = self.classify(shared, value);
        if owners.dangling.is_empty() && owners.waiting.is_empty() {
            return;
        }
        if !owners.solid.is_empty() {
            let gone: Vec<&str> = owners
                .dangling
                .iter()
                .chain(&owners.waiting)
                .filter_map(|one| one["uid"].as_str())
                .collect();
            drop_owners(shared, storage, &key, &gone);
            return;
        }
        let has_dependents = self.dependents.contains_key(object::uid(value));
        let policy = if !owners.waiting.is_empty() && has_dependents {
            self.break_circle(shared, storage, value);
            Policy::Foreground
        } else if object::finalizers(value).any(|one| one == ORPHAN) {
            Policy::Orphan
        } else if object::finalizers(value).any(|one| one == FOREGROUND) {
            Policy::Foreground
        } else {
            Policy::Background
        };
        let options = Options {
            uid: Some(object::uid(value).to_owned()),
            policy: Some(policy),
            ..Options::default()
        };
        let Some(resource) = shared.catalogue().find_storage(storage) else { return };
        let result = remove(shared, &resource, &key, &options);
        // 409 means that the name has been taken by another object meanwhile.
        if !matches!(&result, Err(failure) if failure.code == 409) {
            report(storage, &key.name, result);
        }
    }

    /// Owners that wait for each other would wait for ever: one of them blocks no more.
    fn break_circle(&self, shared: &Shared, storage: &str, value: &Value) {
        let circular = self.dependents_of(object::uid(value)).iter().any(|dependent| {
            self.find(shared, dependent).is_some_and(|(_, object)| is_waiting(&object.value))
        });
        if circular {
            edit(shared, storage, &Key::of(value), &controller(""), |value| {
                let list = value.pointer_mut("/metadata/ownerReferences");
                for one in list.and_then(Value::as_array_mut).into_iter().flatten() {
                    one["blockOwnerDeletion"] = Value::Bool(false);
                }
            });
        }
    }

    fn classify<'a>(&self, shared: &Shared, value: &'a Value) -> Owners<'a> {
        let mut owners = Owners::default();
        for reference in references(value) {
            let text = |key: &str| reference[key].as_str().unwrap_or_default();
            // Nobody can tell whether something of an unknown kind is there.
            let Some(resource) = shared.catalogue().kind(text("apiVersion"), text("kind")) else {
                owners.solid.push(reference);
                continue;
            };
            let namespace = object::namespace(value);
            if namespace.is_empty() && resource.namespaced {
                // In which namespace it would be, nobody can tell either.
                owners.solid.push(reference);
                continue;
            }
            let namespace = if resource.namespaced { namespace } else { "" };
            let owner = shared.store.get(&resource.storage, &Key::new(namespace, text("name")));
            match owner.filter(|owner| object::uid(&owner.value) == text("uid")) {
                Some(owner) if is_waiting(&owner.value) => owners.waiting.push(reference),
                Some(_) => owners.solid.push(reference),
                None => {
                    self.tell_elsewhere(shared, value, reference);
                    owners.dangling.push(reference);
                }
            }
        }
        owners
    }

    /// An owner that is there, but in another namespace, is worth a warning.
    fn tell_elsewhere(&self, shared: &Shared, value: &Value, reference: &Value) {
        let uid = object::text(reference, &["uid"]);
        let Some((_, key)) = self.places.get(uid) else { return };
        let namespace = object::namespace(value);
        if key.namespace == namespace || key.namespace.is_empty() {
            return;
        }
        let Some((storage, _)) = self.places.get(object::uid(value)) else { return };
        let text = |field: &str| object::text(reference, &[field]);
        let message = format!(
            "ownerRef [{}/{}, namespace: {namespace}, name: {}, uid: {uid}] does not exist in namespace {namespace:?}",
            text("apiVersion"),
            text("kind"),
            text("name"),
        );
        let Some(resource) = shared.catalogue().find_storage(storage) else { return };
        let said = Said {
            kind: "Warning",
            reason: "OwnerRefInvalidNamespace",
            message: &message,
            component: "garbage-collector-controller",
        };
        event(shared, (&resource.api_version(), &resource.kind), value, said);
    }

    fn orphan(&mut self, shared: &Shared, storage: &str, key: &Key, owner: &Value) {
        let uid = object::uid(owner);
        for dependent in self.dependents_of(uid) {
            if let Some((storage, key)) = self.places.get(&dependent).cloned() {
                drop_owners(shared, &storage, &key, &[uid]);
            }
        }
        drop_finalizer(shared, storage, key, ORPHAN);
    }
}

fn references(value: &Value) -> &[Value] {
    object::list(value, &["metadata", "ownerReferences"])
}

/// Whether an object goes and waits for its dependents.
fn is_waiting(value: &Value) -> bool {
    object::is_deleting(value) && object::finalizers(value).any(|one| one == FOREGROUND)
}

fn owners(value: &Value) -> impl Iterator<Item = &str> {
    references(value).iter().filter_map(|reference| reference["uid"].as_str())
}

fn drop_owners(shared: &Shared, storage: &str, key: &Key, gone: &[&str]) {
    edit(shared, storage, key, &controller(""), |value| {
        filter(value, "ownerReferences", |one| {
            !one["uid"].as_str().is_some_and(|uid| gone.contains(&uid))
        });
    });
}

fn drop_finalizer(shared: &Shared, storage: &str, key: &Key, finalizer: &str) {
    edit(shared, storage, key, &controller(""), |value| {
        filter(value, "finalizers", |one| one != finalizer);
    });
}

fn filter(value: &mut Value, field: &str, keep: impl Fn(&Value) -> bool) {
    let metadata = object::metadata_mut(value);
    if let Some(Value::Array(list)) = metadata.get_mut(field) {
        list.retain(keep);
        if list.is_empty() {
            metadata.remove(field);
        }
    }
}
