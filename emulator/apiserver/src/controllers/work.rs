//! What the controllers of workloads share: who owns whom, what is to be looked at, the time, and
//! what was said about each object.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::daemonsets::DAEMON_SETS;
use super::deployments::DEPLOYMENTS;
use super::history::REVISIONS;
use super::jobs::{BackOff, JOBS};
use super::outbox::{Order, is_watched};
use super::queue::{Clock, Item, Queue};
use super::replicasets::{REPLICA_SETS, selects};
use super::statefulsets::STATEFUL_SETS;
use super::{Said, controller, edit, event};
use crate::failure::Failure;
use crate::object;
use crate::selectors::Labels;
use crate::server::Shared;
use crate::store::{Change, Key, Object};
use crate::verbs::create;
use crate::verbs::delete::{Options, remove};

/// How many pods one look makes or deletes at most; the next look goes on.
pub(super) const BURST: usize = 500;

/// How many Events about an object are taken at once, and the seconds until one more is.
const TALK: f64 = 25.0;
const SILENCE: f64 = 300.0;

pub(super) struct Work {
    pub(super) shared: Arc<Shared>,
    pub(super) queue: Queue,
    pub(super) clock: Clock,
    pub(super) pods: Owned,
    pub(super) jobs: Owned,
    pub(super) replica_sets: Owned,
    pub(super) revisions: Owned,
    /// Pods that webhooks want to see, ordered by the look that is going on.
    pub(super) outbox: Vec<Order>,
    /// What waits for its orders; it is not looked at meanwhile.
    pub(super) busy: HashSet<Item>,
    /// The failures of each job's pods, by the job's uid.
    pub(super) back_off: HashMap<String, BackOff>,
    /// How many Events may still be written about an object, by its uid, and when that was so.
    talk: HashMap<String, (f64, Timestamp)>,
}

impl Work {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Work {
            shared: Arc::clone(shared),
            queue: Queue::default(),
            clock: Clock::start(),
            pods: Owned::default(),
            jobs: Owned::default(),
            replica_sets: Owned::default(),
            revisions: Owned::default(),
            outbox: Vec::new(),
            busy: HashSet::new(),
            back_off: HashMap::new(),
            talk: HashMap::new(),
        }
    }

    /// Takes an object into the books.
    pub(super) fn seen(&mut self, storage: &str, object: &Arc<Object>) {
        if let Some(owned) = self.owned(storage) {
            owned.seen(object);
        }
    }

    /// Takes a change into the books.
    pub(super) fn note(&mut self, storage: &str, change: &Change) {
        if let Some(owned) = self.owned(storage) {
            owned.changed(change);
            if !change.deleted {
                self.offer(storage, &change.new.value);
            }
        }
        if change.deleted {
            self.talk.remove(object::uid(&change.new.value));
        }
    }

    /// What an owner controls: what its selector matches. What nobody controls is taken, and what
    /// it does not match any more is let go.
    pub(super) fn claim(&self, storage: &str, owner: &Owner) -> Vec<Arc<Object>> {
        let owned = match storage {
            REPLICA_SETS => &self.replica_sets,
            _ => &self.pods,
        };
        let own = owned.of(object::uid(owner.value));
        let orphans = owned.of(&orphans_of(object::namespace(owner.value)));
        let selector = Labels::of(&owner.value["spec"]["selector"]);
        let Some(selector) = selector.filter(|_| !object::is_deleting(owner.value)) else {
            return own;
        };
        let (mut claimed, strangers): (Vec<_>, Vec<_>) =
            own.into_iter().partition(|one| selector.matches(&one.value));
        let owner_uid = object::uid(owner.value);
        for stranger in strangers {
            edit(&self.shared, storage, &Key::of(&stranger.value), &controller(""), |value| {
                let metadata = object::metadata_mut(value);
                if let Some(Value::Array(list)) = metadata.get_mut("ownerReferences") {
                    list.retain(|one| one["uid"] != owner_uid);
                    if list.is_empty() {
                        metadata.remove("ownerReferences");
                    }
                }
            });
        }
        for orphan in orphans {
            let free = !object::is_deleting(&orphan.value)
                && (storage != "pods" || is_active(&orphan.value));
            if !free || selector.is_empty() || !selector.matches(&orphan.value) {
                continue;
            }
            let key = Key::of(&orphan.value);
            let taken = edit(&self.shared, storage, &key, &controller(""), |value| {
                if controller_of(value).is_none() {
                    let metadata = object::metadata_mut(value);
                    let list = metadata.entry("ownerReferences").or_insert_with(|| json!([]));
                    if let Value::Array(list) = list {
                        list.push(owner.reference());
                    }
                }
            });
            claimed.extend(taken.filter(|one| {
                controller_of(&one.value).is_some_and(|owner| owner["uid"] == owner_uid)
            }));
        }
        claimed
    }

    /// Asks those whose selectors match an object that nobody controls to take it.
    fn offer(&mut self, storage: &str, object: &Value) {
        let owners: &[(&str, fn(Key) -> Item)] = match storage {
            "pods" => &[
                (REPLICA_SETS, Item::ReplicaSet),
                (STATEFUL_SETS, Item::StatefulSet),
                (DAEMON_SETS, Item::DaemonSet),
            ],
            REPLICA_SETS => &[(DEPLOYMENTS, Item::Deployment)],
            _ => return,
        };
        if controller_of(object).is_some() || !object["metadata"]["labels"].is_object() {
            return;
        }
        for (owner, item) in owners {
            for owner in self.shared.store.list(owner, Some(object::namespace(object))).1 {
                if selects(&owner.value, object) {
                    self.queue.add(item(Key::of(&owner.value)));
                }
            }
        }
    }

    fn owned(&mut self, storage: &str) -> Option<&mut Owned> {
        match storage {
            "pods" => Some(&mut self.pods),
            JOBS => Some(&mut self.jobs),
            REPLICA_SETS => Some(&mut self.replica_sets),
            REVISIONS => Some(&mut self.revisions),
            _ => None,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Writes an Event about an object, unless there were too many of late.
    pub(super) fn say(&mut self, about: (&str, &str), object: &Value, said: Said) {
        let now = self.now();
        let (left, since) = self.talk.entry(object::uid(object).to_owned()).or_insert((TALK, now));
        *left = (*left + now.duration_since(*since).as_secs_f64() / SILENCE).min(TALK);
        *since = now;
        if *left < 1.0 {
            return;
        }
        *left -= 1.0;
        event(&self.shared, about, object, said);
    }

    /// Makes a pod for its controller, and says so; or orders it, where webhooks want to see it.
    pub(super) fn create_pod(
        &mut self,
        owner: &Owner,
        pod: Value,
        message: Option<String>,
    ) -> Result<(), Failure> {
        if is_watched(&self.shared, owner) {
            self.outbox.push(Order::of(owner, pod, message));
            return Ok(());
        }
        let resource = self.shared.catalogue().storage("pods");
        let namespace = object::namespace(owner.value);
        let made = create::add_unasked(&self.shared, &resource, namespace, pod, &controller(""));
        self.tell_made(owner, message, made)
    }

    /// Says what became of a pod.
    pub(super) fn tell_made(
        &mut self,
        owner: &Owner,
        message: Option<String>,
        made: Result<Arc<Object>, Failure>,
    ) -> Result<(), Failure> {
        let (kind, reason, message, result) = match made {
            Ok(pod) => {
                let usual = || format!("Created pod: {}", object::name(&pod.value));
                ("Normal", "SuccessfulCreate", message.unwrap_or_else(usual), Ok(()))
            }
            Err(failure) if is_terminating(&failure) => return Ok(()),
            Err(failure) => {
                let message = format!("Error creating: {}", failure.message);
                ("Warning", "FailedCreate", message, Err(failure))
            }
        };
        let about = (owner.api_version, owner.kind);
        self.say(about, owner.value, owner.said(kind, reason, &message));
        result
    }

    /// Deletes a pod for its controller, and says so; one that is gone is fine.
    pub(super) fn delete_pod(&mut self, owner: &Owner, pod: &Value) -> Result<(), Failure> {
        let resource = self.shared.catalogue().storage("pods");
        let options = Options { uid: Some(object::uid(pod).to_owned()), ..Options::default() };
        let about = (owner.api_version, owner.kind);
        match remove(&self.shared, &resource, &Key::of(pod), &options) {
            Ok(_) => {
                let message = format!("Deleted pod: {}", object::name(pod));
                let said = owner.said("Normal", "SuccessfulDelete", &message);
                self.say(about, owner.value, said);
                Ok(())
            }
            // Another pod has the name by now.
            Err(failure) if matches!(failure.code, 404 | 409) => Ok(()),
            Err(failure) => {
                let message = format!("Error deleting: {}", failure.message);
                self.say(about, owner.value, owner.said("Warning", "FailedDelete", &message));
                Err(failure)
            }
        }
    }
}

/// Whether something could not be made because its namespace is going; then nothing can be.
pub(super) fn is_terminating(failure: &Failure) -> bool {
    let causes = failure.details.as_ref().and_then(|details| details["causes"].as_array());
    causes.into_iter().flatten().any(|cause| cause["reason"] == "NamespaceTerminating")
}

/// An object that owns others, and the component that looks after it.
pub(super) struct Owner<'a> {
    pub(super) api_version: &'static str,
    pub(super) kind: &'static str,
    pub(super) component: &'static str,
    pub(super) value: &'a Value,
}

impl Owner<'_> {
    pub(super) fn said<'b>(&self, kind: &'b str, reason: &'b str, message: &'b str) -> Said<'b> {
        Said { kind, reason, message, component: self.component }
    }

    /// The reference of what it controls.
    pub(super) fn reference(&self) -> Value {
        json!({
            "apiVersion": self.api_version,
            "kind": self.kind,
            "name": object::name(self.value),
            "uid": object::uid(self.value),
            "controller": true,
            "blockOwnerDeletion": true,
        })
    }

    /// A pod by a template, controlled by this object.
    pub(super) fn pod(&self, template: &Value) -> Value {
        let mut metadata = Map::new();
        let name = object::name(self.value);
        metadata.insert("generateName".into(), json!(format!("{name}-")));
        metadata.insert("namespace".into(), json!(object::namespace(self.value)));
        for field in ["labels", "annotations", "finalizers"] {
            if let Some(value) = template["metadata"].get(field).filter(|one| !one.is_null()) {
                metadata.insert(field.into(), value.clone());
            }
        }
        metadata.insert("ownerReferences".into(), json!([self.reference()]));
        json!({"metadata": metadata, "spec": template["spec"]})
    }
}

/// The objects of one resource, by the uid of the object that controls them.
#[derive(Debug, Default)]
pub(super) struct Owned {
    by_owner: HashMap<String, BTreeMap<Key, Arc<Object>>>,
}

impl Owned {
    fn changed(&mut self, change: &Change) {
        if let Some(old) = &change.old {
            self.forget(&old.value);
        }
        if change.deleted {
            self.forget(&change.new.value);
        } else {
            self.seen(&change.new);
        }
    }

    fn seen(&mut self, object: &Arc<Object>) {
        let key = Key::of(&object.value);
        self.by_owner.entry(owner_of(&object.value)).or_default().insert(key, Arc::clone(object));
    }

    fn forget(&mut self, value: &Value) {
        let owner = owner_of(value);
        if let Some(owned) = self.by_owner.get_mut(&owner) {
            owned.remove(&Key::of(value));
            if owned.is_empty() {
                self.by_owner.remove(&owner);
            }
        }
    }

    /// What an owner controls, in the order of the names.
    pub(super) fn of(&self, uid: &str) -> Vec<Arc<Object>> {
        self.by_owner.get(uid).into_iter().flat_map(|all| all.values().cloned()).collect()
    }
}

/// The uid of the object that controls this one; what nobody controls is under its namespace.
fn owner_of(value: &Value) -> String {
    match controller_of(value) {
        Some(owner) => object::text(owner, &["uid"]).to_owned(),
        None => orphans_of(object::namespace(value)),
    }
}

fn orphans_of(namespace: &str) -> String {
    format!("/{namespace}")
}

/// The reference to the object that controls this one.
pub(super) fn controller_of(value: &Value) -> Option<&Value> {
    object::list(value, &["metadata", "ownerReferences"])
        .iter()
        .find(|one| one["controller"] == true)
}

/// Whether a pod's condition holds.
fn holds(pod: &Value, condition: &str) -> bool {
    object::list(pod, &["status", "conditions"])
        .iter()
        .any(|one| one["type"] == condition && one["status"] == "True")
}

pub(super) fn is_ready(pod: &Value) -> bool {
    holds(pod, "Ready")
}

/// Whether all containers of a pod have ended for good.
pub(super) fn is_finished(pod: &Value) -> bool {
    matches!(object::text(pod, &["status", "phase"]), "Succeeded" | "Failed")
}

/// Whether a pod runs or will run.
pub(super) fn is_active(pod: &Value) -> bool {
    !is_finished(pod) && !object::is_deleting(pod)
}

/// The time in a field, if there is one.
pub(super) fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

/// Where a pod stands among those to be deleted: the one whose end costs least comes first.
pub(super) fn worth(pod: &Value) -> (bool, u8, bool) {
    let phase = match object::text(pod, &["status", "phase"]) {
        "Running" => 2,
        "Pending" => 0,
        _ => 1,
    };
    (!object::text(pod, &["spec", "nodeName"]).is_empty(), phase, is_ready(pod))
}
