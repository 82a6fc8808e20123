//! Deployments: a replica set for each template, of which the newest gets the pods, step by step.

mod revisions;
mod rolling;
mod status;

use std::sync::Arc;

use serde_json::{Value, json};

pub(super) use self::revisions::hash as template_hash;
use self::revisions::{
    DESIRED, HASH, MOST, REVISION, annotate, hash, note_size, noted, revision, same_template,
};
pub(super) use self::rolling::amount;
use self::rolling::{Limits, Size, shared_out, shrunk};
use self::status::{Status, deadline};
use super::controller;
use super::queue::Item;
use super::replicasets::REPLICA_SETS;
use super::work::{Owner, Work, controller_of, is_finished, is_terminating};
use crate::failure::Failure;
use crate::object;
use crate::store::{Change, Key, Object};
use crate::verbs::create;
use crate::verbs::delete::{Options, Policy, remove};
use crate::verbs::update::{self, Change as Write};

pub(super) const DEPLOYMENTS: &str = "deployments.apps";
const ABOUT: (&str, &str) = ("apps/v1", "Deployment");

/// Looks at every deployment after a start.
pub(super) fn resume(work: &mut Work) {
    for deployment in work.shared.store.list(DEPLOYMENTS, None).1 {
        work.queue.add(Item::Deployment(Key::of(&deployment.value)));
    }
}

pub(super) fn changed(work: &mut Work, storage: &str, change: &Change) {
    match storage {
        DEPLOYMENTS => work.queue.add(Item::Deployment(change.key.clone())),
        REPLICA_SETS => {
            for set in change.old.iter().chain([&change.new]) {
                look_at_owner(work, &set.value);
            }
        }
        // A deployment that starts anew waits for the last of the old pods.
        "pods" if change.deleted || is_finished(&change.new.value) => {
            let Some(owner) = controller_of(&change.new.value) else { return };
            let name = object::text(owner, &["name"]);
            let set = Key::new(&*change.key.namespace, name);
            if owner["kind"] == "ReplicaSet"
                && let Some(set) = work.shared.store.get(REPLICA_SETS, &set)
            {
                look_at_owner(work, &set.value);
            }
        }
        _ => {}
    }
}

fn look_at_owner(work: &mut Work, set: &Value) {
    if let Some(owner) = controller_of(set).filter(|owner| owner["kind"] == "Deployment") {
        let name = object::text(owner, &["name"]);
        work.queue.add(Item::Deployment(Key::new(object::namespace(set), name)));
    }
}

/// Does for a deployment what there is to do now.
pub(super) fn sync(work: &mut Work, key: &Key) -> Result<(), Failure> {
    let Some(deployment) = work.shared.store.get(DEPLOYMENTS, key) else { return Ok(()) };
    let value = &deployment.value;
    let owner = Owner {
        api_version: "apps/v1",
        kind: "Deployment",
        component: "deployment-controller",
        value,
    };
    let mut sets: Vec<Value> =
        work.claim(REPLICA_SETS, &owner).iter().map(|set| set.value.clone()).collect();
    sets.sort_by_cached_key(|set| {
        let version: u64 = object::meta(set, "resourceVersion").parse().unwrap_or_default();
        (object::meta(set, "creationTimestamp").to_owned(), revision(set), version)
    });
    let new = sets.iter().position(|set| same_template(value, set)).map(|at| sets.remove(at));
    let status = Status::read(value);
    let mut look = Look {
        limits: Limits::of(value),
        before: status.clone(),
        deployment: value,
        revision: None,
        status,
        new,
        old: sets,
        work,
    };
    let selects_all = value["spec"]["selector"] == json!({});
    let done = if selects_all {
        let message = "This deployment is selecting all pods. A non-empty selector is required.";
        look.say("Warning", "SelectingAll", message);
        Ok(())
    } else if object::is_deleting(value) {
        Ok(())
    } else {
        look.proceed()
    };
    look.finish(&deployment)?;
    done
}

/// One look at a deployment, its replica sets, oldest first, and the status that follows.
struct Look<'a> {
    work: &'a mut Work,
    deployment: &'a Value,
    limits: Limits,
    before: Status,
    status: Status,
    /// The revision to note in the deployment.
    revision: Option<i64>,
    new: Option<Value>,
    old: Vec<Value>,
}

fn replicas(set: &Value) -> i64 {
    set["spec"]["replicas"].as_i64().unwrap_or_default()
}

fn available(set: &Value) -> i64 {
    set["status"]["availableReplicas"].as_i64().unwrap_or_default()
}

fn size(set: &Value) -> Size {
    Size { replicas: replicas(set), available: available(set), most: noted(set, MOST) }
}

impl Look<'_> {
    fn owner(&self) -> Owner<'_> {
        Owner {
            api_version: "apps/v1",
            kind: "Deployment",
            component: "deployment-controller",
            value: self.deployment,
        }
    }

    fn say(&mut self, kind: &str, reason: &str, message: &str) {
        let said = super::Said { kind, reason, message, component: "deployment-controller" };
        self.work.say(ABOUT, self.deployment, said);
    }

    fn proceed(&mut self) -> Result<(), Failure> {
        self.tell_pause();
        let scaled = self.old.iter().chain(&self.new).any(|set| {
            replicas(set) > 0
                && noted(set, DESIRED).is_some_and(|desired| desired != self.limits.replicas)
        });
        if self.deployment["spec"]["paused"] == true {
            self.adopt_revision(false)?;
            self.scale_all()?;
            return self.forget_old();
        }
        if scaled {
            self.adopt_revision(false)?;
            return self.scale_all();
        }
        if self.limits.rolling { self.roll() } else { self.start_anew() }
    }

    fn tell_pause(&mut self) {
        if deadline(self.deployment).is_none() {
            return;
        }
        let now = self.work.now();
        let reason = self.status.condition("Progressing").map(|one| one["reason"].clone());
        if reason.as_ref().is_some_and(|reason| reason == "ProgressDeadlineExceeded") {
            return;
        }
        let told = reason.is_some_and(|reason| reason == "DeploymentPaused");
        match (self.deployment["spec"]["paused"] == true, told) {
            (true, false) => self.status.set(
                "Progressing",
                "Unknown",
                "DeploymentPaused",
                "Deployment is paused",
                now,
            ),
            (false, true) => self.status.set(
                "Progressing",
                "Unknown",
                "DeploymentResumed",
                "Deployment is resumed",
                now,
            ),
            _ => {}
        }
    }

    /// Old pods go as new ones become available.
    fn roll(&mut self) -> Result<(), Failure> {
        self.adopt_revision(true)?;
        let Some(new) = self.new.clone() else { return Ok(()) };
        let all = self.old.iter().map(replicas).sum::<i64>() + replicas(&new);
        let wanted = if replicas(&new) > self.limits.replicas {
            self.limits.replicas
        } else {
            self.limits.grown(replicas(&new), all)
        };
        if self.scale_new(wanted)? {
            return Ok(());
        }
        let sizes: Vec<Size> = self.old.iter().map(size).collect();
        let mut moved = false;
        for (at, size) in shrunk(&self.limits, &size(&new), &sizes).into_iter().enumerate() {
            moved |= self.scale_old(at, size)?;
        }
        if !moved && self.before.is_complete(self.deployment) {
            self.forget_old()?;
        }
        Ok(())
    }

    /// All old pods go before the first new one comes.
    fn start_anew(&mut self) -> Result<(), Failure> {
        self.adopt_revision(false)?;
        let mut moved = false;
        for at in 0..self.old.len() {
            moved |= self.scale_old(at, 0)?;
        }
        let runs = |set: &Value| {
            set["status"]["replicas"].as_i64().unwrap_or_default() > 0
                || self.work.pods.of(object::uid(set)).iter().any(|pod| !is_finished(&pod.value))
        };
        if moved || self.old.iter().any(runs) {
            return Ok(());
        }
        if self.new.is_none() {
            self.adopt_revision(true)?;
        }
        self.scale_new(self.limits.replicas)?;
        if self.before.is_complete(self.deployment) {
            self.forget_old()?;
        }
        Ok(())
    }

    /// Finds the replica set of the present template, or makes it, and notes the revision.
    fn adopt_revision(&mut self, make: bool) -> Result<(), Failure> {
        let next = self.old.iter().map(revision).max().unwrap_or_default() + 1;
        let deployment = self.deployment;
        let now = self.work.now();
        if let Some(set) = self.new.clone() {
            let new = self.edit(&set, |set| {
                annotate(set, deployment, next);
                let seconds = deployment["spec"]["minReadySeconds"].clone();
                let spec = object::child_mut(object::map_mut(set), "spec");
                match seconds {
                    Value::Null => spec.remove("minReadySeconds"),
                    seconds => spec.insert("minReadySeconds".into(), seconds),
                };
            })?;
            self.revision = Some(revision(&new));
            if deadline(deployment).is_some() && self.status.condition("Progressing").is_none() {
                let message = format!("Found new replica set {:?}", object::name(&new));
                self.status.set("Progressing", "True", "FoundNewReplicaSet", &message, now);
            }
            self.new = Some(new);
            return Ok(());
        }
        if !make {
            return Ok(());
        }
        let (set, name) = self.new_set(next);
        let resource = self.work.shared.catalogue().storage(REPLICA_SETS);
        let namespace = object::namespace(deployment);
        let made =
            create::add_unasked(&self.work.shared, &resource, namespace, set, &controller(""));
        let made = match made {
            Ok(made) => made,
            Err(failure) if is_terminating(&failure) => return Ok(()),
            Err(failure) if failure.reason == "AlreadyExists" => {
                // Another template has the same hash.
                let collisions = self.status.collisions.as_i64().unwrap_or_default() + 1;
                self.status.collisions = json!(collisions);
                return Err(failure);
            }
            Err(failure) => {
                let message =
                    format!("Failed to create new replica set {name:?}: {}", failure.message);
                if deadline(deployment).is_some() {
                    self.status.set("Progressing", "False", "ReplicaSetCreateError", &message, now);
                }
                self.say("Warning", "ReplicaSetCreateError", &message);
                return Err(failure);
            }
        };
        let wanted = replicas(&made.value);
        if wanted > 0 {
            let message = format!("Scaled up replica set {name} from 0 to {wanted}");
            self.say("Normal", "ScalingReplicaSet", &message);
        }
        self.revision = Some(next);
        if deadline(deployment).is_some() {
            let message = format!("Created new replica set {name:?}");
            self.status.set("Progressing", "True", "NewReplicaSetCreated", &message, now);
        }
        self.new = Some(made.value.clone());
        Ok(())
    }

    fn new_set(&self, revision: i64) -> (Value, String) {
        let deployment = self.deployment;
        let mut template = deployment["spec"]["template"].clone();
        let hash = hash(&template, &self.status.collisions);
        let name = format!("{}-{hash}", object::name(deployment));
        let labels = object::child_mut(object::metadata_mut(&mut template), "labels");
        labels.insert(HASH.into(), json!(hash));
        let labels = labels.clone();
        let mut selector = deployment["spec"]["selector"].clone();
        object::child_mut(object::map_mut(&mut selector), "matchLabels")
            .insert(HASH.into(), json!(hash));
        let all = self.old.iter().map(replicas).sum();
        let mut set = json!({
            "metadata": {
                "name": name,
                "namespace": object::namespace(deployment),
                "labels": labels,
                "ownerReferences": [self.owner().reference()],
            },
            "spec": {
                "replicas": self.limits.grown(0, all),
                "selector": selector,
                "template": template,
            },
        });
        if let Some(seconds) = deployment["spec"].get("minReadySeconds") {
            set["spec"]["minReadySeconds"] = seconds.clone();
        }
        annotate(&mut set, deployment, revision);
        note_size(&mut set, self.limits.replicas, self.limits.replicas + self.limits.surge);
        (set, name)
    }

    /// Brings all sets to the size of a deployment that was scaled, or is paused.
    fn scale_all(&mut self) -> Result<(), Failure> {
        let active = self.old.iter().chain(&self.new).filter(|set| replicas(set) > 0).count();
        if active <= 1 {
            let old = self.old.iter().position(|set| replicas(set) > 0);
            match old {
                Some(at) => self.scale_old(at, self.limits.replicas)?,
                None if self.new.is_some() => self.scale_new(self.limits.replicas)?,
                None => match self.old.len().checked_sub(1) {
                    Some(at) => self.scale_old(at, self.limits.replicas)?,
                    None => false,
                },
            };
            return Ok(());
        }
        let saturated = self.new.as_ref().is_some_and(|set| {
            replicas(set) == self.limits.replicas
                && noted(set, DESIRED) == Some(self.limits.replicas)
                && available(set) == self.limits.replicas
        });
        if saturated {
            for at in 0..self.old.len() {
                self.scale_old(at, 0)?;
            }
            return Ok(());
        }
        if !self.limits.rolling {
            return Ok(());
        }
        let newest_first: Vec<Option<usize>> = self
            .new
            .iter()
            .map(|_| None)
            .chain((0..self.old.len()).rev().map(Some))
            .filter(|at| replicas(self.set(*at)) > 0)
            .collect();
        let sizes: Vec<Size> = newest_first.iter().map(|at| size(self.set(*at))).collect();
        let shares = shared_out(&self.limits, &sizes, self.before.replicas);
        for (at, share) in newest_first.into_iter().zip(shares) {
            match at {
                None => self.scale_new(share)?,
                Some(at) => self.scale_old(at, share)?,
            };
        }
        Ok(())
    }

    /// The new set, or an old one by its place.
    fn set(&self, at: Option<usize>) -> &Value {
        match at {
            None => self.new.as_ref().unwrap_or(&Value::Null),
            Some(at) => &self.old[at],
        }
    }

    fn scale_new(&mut self, wanted: i64) -> Result<bool, Failure> {
        let Some(set) = self.new.clone() else { return Ok(false) };
        let (set, moved) = self.scale(&set, wanted)?;
        self.new = Some(set);
        Ok(moved)
    }

    fn scale_old(&mut self, at: usize, wanted: i64) -> Result<bool, Failure> {
        let (set, moved) = self.scale(&self.old[at].clone(), wanted)?;
        self.old[at] = set;
        Ok(moved)
    }

    /// Gives a set its size, and says so; whether it was another one before.
    fn scale(&mut self, set: &Value, wanted: i64) -> Result<(Value, bool), Failure> {
        let before = replicas(set);
        let limits = self.limits;
        if before == wanted && wanted == 0 {
            return Ok((set.clone(), false));
        }
        let scaled = self.edit(set, |set| {
            set["spec"]["replicas"] = json!(wanted);
            note_size(set, limits.replicas, limits.replicas + limits.surge);
        })?;
        if before == wanted {
            return Ok((scaled, false));
        }
        let direction = if before < wanted { "up" } else { "down" };
        let message = format!(
            "Scaled {direction} replica set {} from {before} to {wanted}",
            object::name(set)
        );
        self.say("Normal", "ScalingReplicaSet", &message);
        Ok((scaled, true))
    }

    fn edit(&self, set: &Value, mut edit: impl FnMut(&mut Value)) -> Result<Value, Failure> {
        let resource = self.work.shared.catalogue().storage(REPLICA_SETS);
        let key = Key::of(set);
        let uid = object::uid(set);
        let written =
            update::modify(&self.work.shared, &resource, &key, &controller(""), false, |old| {
                let mut new = old.clone();
                if object::uid(old) == uid {
                    edit(&mut new);
                }
                Ok(Write::Update(new))
            });
        written.map(|object| object.value.clone())
    }

    /// Deletes the oldest sets without pods that the history has no room for.
    fn forget_old(&mut self) -> Result<(), Failure> {
        let Some(limit) = self.deployment["spec"]["revisionHistoryLimit"]
            .as_i64()
            .filter(|limit| *limit != i64::from(i32::MAX))
        else {
            return Ok(());
        };
        let mut old: Vec<&Value> =
            self.old.iter().filter(|set| !object::is_deleting(set)).collect();
        old.sort_by_key(|set| revision(set));
        let too_many = old.len().saturating_sub(usize::try_from(limit).unwrap_or(usize::MAX));
        let resource = self.work.shared.catalogue().storage(REPLICA_SETS);
        for set in old.into_iter().take(too_many) {
            let busy = replicas(set) > 0
                || set["status"]["replicas"].as_i64().unwrap_or_default() > 0
                || set["metadata"]["generation"].as_i64()
                    > set["status"]["observedGeneration"].as_i64();
            if busy {
                continue;
            }
            let options = Options {
                uid: Some(object::uid(set).to_owned()),
                policy: Some(Policy::Background),
                ..Options::default()
            };
            match remove(&self.work.shared, &resource, &Key::of(set), &options) {
                Err(failure) if !matches!(failure.code, 404 | 409) => return Err(failure),
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes the status, and the revision beside it.
    fn finish(self, object: &Arc<Object>) -> Result<(), Failure> {
        let Look { work, deployment, before, mut status, revision, new, old, .. } = self;
        let now = work.now();
        let failure = |set: &Value| {
            object::list(set, &["status", "conditions"])
                .iter()
                .find(|one| one["type"] == "ReplicaFailure" && one["status"] == "True")
                .cloned()
        };
        let failures = new.as_ref().and_then(failure).or_else(|| old.iter().find_map(failure));
        status.count(deployment, old.iter().chain(&new), new.as_ref(), now);
        let progresses = deployment["spec"]["paused"] != true && !object::is_deleting(deployment);
        if progresses {
            let due =
                status.tell_progress(deployment, &before, new.as_ref(), failures.as_ref(), now);
            if let Some(due) = due {
                work.queue.add_at(due, Item::Deployment(Key::of(deployment)));
            }
        }
        let status = status.write();
        let resource = work.shared.catalogue().storage(DEPLOYMENTS);
        let uid = object::uid(&object.value);
        let key = Key::of(deployment);
        let written =
            update::modify(&work.shared, &resource, &key, &controller("status"), false, |old| {
                let mut new = old.clone();
                if object::uid(old) == uid {
                    new["status"] = status.clone();
                    if let Some(revision) = revision {
                        let metadata = object::metadata_mut(&mut new);
                        object::child_mut(metadata, "annotations")
                            .insert(REVISION.into(), json!(revision.to_string()));
                    }
                }
                Ok(Write::Update(new))
            });
        match written {
            Err(failure) if failure.code != 404 => Err(failure),
            _ => Ok(()),
        }
    }
}
