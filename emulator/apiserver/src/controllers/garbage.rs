//! Owner references: what belongs to nobody any more goes, in the background, in the foreground,
//! or is orphaned.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::{controller, edit, report};
use crate::object;
use crate::server::Shared;
use crate::store::{Change, Key};
use crate::verbs::delete::{FOREGROUND, ORPHAN, Options, Policy, remove};

/// Where an object lies.
type Place = (String, Key);

/// Who exists, and who belongs to whom.
#[derive(Debug, Default)]
pub(crate) struct Garbage {
    /// By uid.
    places: HashMap<String, Place>,
    /// The uids of the dependents, by the uid of the owner.
    dependents: HashMap<String, HashSet<String>>,
}

impl Garbage {
    /// Takes an object into the books.
    pub(crate) fn seen(&mut self, storage: &str, value: &Value) {
        let uid = object::uid(value);
        self.places.insert(uid.to_owned(), (storage.to_owned(), Key::of(value)));
        for owner in owners(value) {
            self.dependents.entry(owner.to_owned()).or_default().insert(uid.to_owned());
        }
    }

    /// Looks at everything once, after a restart.
    pub(crate) fn sweep(&mut self, shared: &Shared) {
        let places: Vec<Place> = self.places.values().cloned().collect();
        for (storage, key) in places {
            if let Some(object) = shared.store.get(&storage, &key) {
                self.check(shared, &storage, &object.value);
            }
        }
    }

    pub(crate) fn changed(&mut self, shared: &Shared, storage: &str, change: &Change) {
        let value = &change.new.value;
        if !change.deleted {
            if let Some(old) = &change.old {
                for owner in owners(&old.value) {
                    self.forget(owner, object::uid(value));
                }
            }
            self.seen(storage, value);
            self.check(shared, storage, value);
            return;
        }
        let uid = object::uid(value);
        self.places.remove(uid);
        for owner in owners(value) {
            self.forget(owner, uid);
            self.recheck(shared, owner);
        }
        for dependent in self.dependents_of(uid) {
            self.recheck(shared, &dependent);
        }
        self.dependents.remove(uid);
    }

    fn forget(&mut self, owner: &str, dependent: &str) {
        if let Some(dependents) = self.dependents.get_mut(owner) {
            dependents.remove(dependent);
        }
    }

    fn dependents_of(&self, uid: &str) -> Vec<String> {
        self.dependents.get(uid).into_iter().flatten().cloned().collect()
    }

    fn recheck(&mut self, shared: &Shared, uid: &str) {
        let Some((storage, key)) = self.places.get(uid).cloned() else { return };
        if let Some(object) = shared.store.get(&storage, &key)
            && object::uid(&object.value) == uid
        {
            self.check(shared, &storage, &object.value);
        }
    }

    /// Does what an object needs now.
    fn check(&mut self, shared: &Shared, storage: &str, value: &Value) {
        let key = Key::of(value);
        if object::is_deleting(value) {
            if object::finalizers(value).any(|one| one == ORPHAN) {
                self.orphan(shared, storage, &key, value);
            } else if object::finalizers(value).any(|one| one == FOREGROUND) {
                self.foreground(shared, storage, &key, value);
            }
            return;
        }
        let references = object::list(value, &["metadata", "ownerReferences"]);
        if references.is_empty() {
            return;
        }
        let (solid, dangling): (Vec<&Value>, Vec<&Value>) =
            references.iter().partition(|one| self.exists(shared, value, one));
        if dangling.is_empty() {
            return;
        }
        if solid.is_empty() {
            let options = Options {
                uid: Some(object::uid(value).to_owned()),
                policy: Some(Policy::Background),
                ..Options::default()
            };
            let Some(resource) = shared.catalogue().find_storage(storage) else { return };
            let result = remove(shared, &resource, &key, &options);
            // 409 means that the name has been taken by another object meanwhile.
            if !matches!(&result, Err(failure) if failure.code == 409) {
                report(storage, &key.name, result);
            }
            return;
        }
        let gone: Vec<&str> = dangling.iter().filter_map(|one| one["uid"].as_str()).collect();
        drop_owners(shared, storage, &key, &gone);
    }

    /// Whether an owner is there; of an unknown kind nobody can tell, so it counts as there.
    fn exists(&self, shared: &Shared, dependent: &Value, reference: &Value) -> bool {
        let text = |key: &str| reference[key].as_str().unwrap_or_default();
        let Some(resource) = shared.catalogue().kind(text("apiVersion"), text("kind")) else {
            return true;
        };
        let namespace =
            if resource.namespaced { object::namespace(dependent) } else { Default::default() };
        let key = Key::new(namespace, text("name"));
        shared
            .store
            .get(&resource.storage, &key)
            .is_some_and(|owner| object::uid(&owner.value) == text("uid"))
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

    fn foreground(&mut self, shared: &Shared, storage: &str, key: &Key, owner: &Value) {
        let uid = object::uid(owner);
        let mut waiting = false;
        for dependent in self.dependents_of(uid) {
            let Some((storage, key)) = self.places.get(&dependent).cloned() else { continue };
            let Some(object) = shared.store.get(&storage, &key) else { continue };
            let Some(reference) = object::list(&object.value, &["metadata", "ownerReferences"])
                .iter()
                .find(|one| one["uid"] == uid)
            else {
                continue;
            };
            waiting |= reference["blockOwnerDeletion"].as_bool().unwrap_or_default();
            if !object::is_deleting(&object.value) {
                let options = Options {
                    uid: Some(dependent),
                    policy: Some(Policy::Foreground),
                    ..Options::default()
                };
                let Some(resource) = shared.catalogue().find_storage(&storage) else { continue };
                report(&storage, &key.name, remove(shared, &resource, &key, &options));
            }
        }
        if !waiting {
            drop_finalizer(shared, storage, key, FOREGROUND);
        }
    }
}

fn owners(value: &Value) -> impl Iterator<Item = &str> {
    object::list(value, &["metadata", "ownerReferences"])
        .iter()
        .filter_map(|reference| reference["uid"].as_str())
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
