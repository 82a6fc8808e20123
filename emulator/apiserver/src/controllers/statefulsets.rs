//! Stateful sets: pods with names and volumes of their own, made, changed and deleted in order.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::controller;
use super::history::{HASH, History};
use super::queue::Item;
use super::replicasets::{available_at, write};
use super::work::{BURST, Owner, Work, controller_of, is_finished, is_ready, is_terminating};
use crate::failure::Failure;
use crate::object;
use crate::store::{Change, Key, Object};
use crate::verbs::create;
use crate::verbs::delete::{Options, remove};

pub(super) const STATEFUL_SETS: &str = "statefulsets.apps";
const CLAIMS: &str = "persistentvolumeclaims";
const ABOUT: (&str, &str) = ("apps/v1", "StatefulSet");

/// Looks at every stateful set after a start.
pub(super) fn resume(work: &mut Work) {
    for set in work.shared.store.list(STATEFUL_SETS, None).1 {
        work.queue.add(Item::StatefulSet(Key::of(&set.value)));
    }
}

pub(super) fn changed(work: &mut Work, storage: &str, change: &Change) {
    match storage {
        STATEFUL_SETS => work.queue.add(Item::StatefulSet(change.key.clone())),
        "pods" => {
            for pod in change.old.iter().chain([&change.new]) {
                if let Some(owner) =
                    controller_of(&pod.value).filter(|owner| owner["kind"] == "StatefulSet")
                {
                    let name = object::text(owner, &["name"]);
                    work.queue.add(Item::StatefulSet(Key::new(&*change.key.namespace, name)));
                }
            }
        }
        _ => {}
    }
}

/// Does for a stateful set what there is to do now.
pub(super) fn sync(work: &mut Work, key: &Key) -> Result<(), Failure> {
    let Some(set) = work.shared.store.get(STATEFUL_SETS, key) else { return Ok(()) };
    let owner = Owner {
        api_version: "apps/v1",
        kind: "StatefulSet",
        component: "statefulset-controller",
        value: &set.value,
    };
    if object::is_deleting(&set.value) {
        return Ok(());
    }
    let history = History::of(work, &owner)?;
    let update = object::name(history.present()).to_owned();
    let pods = work.claim("pods", &owner);
    let view = View::of(&set.value, &pods, &update, work.now());
    let step = view.step();
    let done = carry_out(work, &owner, &history, &view, step);
    if let Some(due) = view.next {
        work.queue.add_at(due, Item::StatefulSet(key.clone()));
    }
    write(work, STATEFUL_SETS, &set, &view.status())?;
    let current = view.current.clone();
    history.trim(work, &set.value, &|name| {
        name == current || pods.iter().any(|pod| pod.value["metadata"]["labels"][HASH] == name)
    })?;
    done
}

/// What is to be done next.
#[derive(Debug)]
enum Step<'a> {
    /// Pods by ordinal, each of a revision.
    Create(Vec<(i64, String)>),
    Delete(Vec<&'a Arc<Object>>),
    Wait,
}

/// A stateful set and its pods, as one look sees them.
struct View<'a> {
    set: &'a Value,
    start: i64,
    replicas: i64,
    parallel: bool,
    /// The pods of the set by ordinal, and those beyond its end.
    pods: BTreeMap<i64, &'a Arc<Object>>,
    current: String,
    update: String,
    now: Timestamp,
    seconds: i64,
    next: Option<Timestamp>,
}

impl<'a> View<'a> {
    fn of(set: &'a Value, pods: &'a [Arc<Object>], update: &str, now: Timestamp) -> Self {
        let name = object::name(set);
        let spec = &set["spec"];
        let pods: BTreeMap<i64, &Arc<Object>> = pods
            .iter()
            .filter_map(|pod| Some((ordinal(name, object::name(&pod.value))?, pod)))
            .collect();
        let seconds = spec["minReadySeconds"].as_i64().unwrap_or_default();
        let next = pods
            .values()
            .filter_map(|pod| available_at(&pod.value, seconds))
            .filter(|due| *due > now)
            .min();
        let current = object::text(set, &["status", "currentRevision"]);
        View {
            set,
            start: spec["ordinals"]["start"].as_i64().unwrap_or_default(),
            replicas: spec["replicas"].as_i64().unwrap_or(1),
            parallel: spec["podManagementPolicy"] == "Parallel",
            pods,
            current: if current.is_empty() { update.to_owned() } else { current.to_owned() },
            update: update.to_owned(),
            now,
            seconds,
            next,
        }
    }

    fn is_available(&self, pod: &Value) -> bool {
        available_at(pod, self.seconds).is_some_and(|due| due <= self.now)
    }

    fn is_healthy(&self, pod: &Value) -> bool {
        !object::is_deleting(pod) && is_ready(pod) && self.is_available(pod)
    }

    fn ordinals(&self) -> impl DoubleEndedIterator<Item = i64> + use<> {
        self.start..self.start + self.replicas
    }

    /// Pods below this ordinal keep the revision that they have.
    fn partition(&self) -> i64 {
        let partition = &self.set["spec"]["updateStrategy"]["rollingUpdate"]["partition"];
        partition.as_i64().unwrap_or_default()
    }

    /// The revision of a new pod.
    fn revision(&self, ordinal: i64) -> String {
        let rolls = self.set["spec"]["updateStrategy"]["type"] != "OnDelete";
        let kept = ordinal - self.start < self.partition();
        if rolls && kept { self.current.clone() } else { self.update.clone() }
    }

    fn step(&self) -> Step<'a> {
        let mut missing = Vec::new();
        let mut ended = Vec::new();
        for at in self.ordinals() {
            match self.pods.get(&at) {
                None => missing.push((at, self.revision(at))),
                Some(pod) if is_finished(&pod.value) && !object::is_deleting(&pod.value) => {
                    ended.push(*pod);
                }
                Some(pod) if !self.parallel && !self.is_healthy(&pod.value) => {
                    // Whoever comes later waits for this one.
                    if missing.is_empty() && ended.is_empty() {
                        return self.stuck(pod);
                    }
                    break;
                }
                Some(_) => {}
            }
            let found = !missing.is_empty() || !ended.is_empty();
            if found && (!self.parallel || missing.len().max(ended.len()) >= BURST) {
                break;
            }
        }
        if !ended.is_empty() {
            return Step::Delete(ended);
        }
        if !missing.is_empty() {
            return Step::Create(missing);
        }
        let end = self.start + self.replicas;
        let beyond: Vec<&Arc<Object>> = self
            .pods
            .iter()
            .rev()
            .filter(|(at, _)| **at >= end || **at < self.start)
            .map(|(_, pod)| *pod)
            .collect();
        if !beyond.is_empty() {
            let going = beyond.iter().any(|pod| object::is_deleting(&pod.value));
            if going && !self.parallel {
                return Step::Wait;
            }
            let count = if self.parallel { beyond.len() } else { 1 };
            let delete: Vec<&Arc<Object>> = beyond
                .into_iter()
                .filter(|pod| !object::is_deleting(&pod.value))
                .take(count)
                .collect();
            return if delete.is_empty() { Step::Wait } else { Step::Delete(delete) };
        }
        self.roll()
    }

    /// A pod that never gets ready must not keep its own replacement away.
    fn stuck(&self, pod: &'a Arc<Object>) -> Step<'a> {
        let old = !self.is_updated(&pod.value);
        let never_ran = object::text(&pod.value, &["status", "phase"]) == "Pending";
        if old && never_ran && !object::is_deleting(&pod.value) && self.rolls() {
            return self.roll();
        }
        Step::Wait
    }

    fn rolls(&self) -> bool {
        self.set["spec"]["updateStrategy"]["type"] == "RollingUpdate"
    }

    fn is_updated(&self, pod: &Value) -> bool {
        pod["metadata"]["labels"][HASH] == self.update.as_str()
    }

    /// Replaces pods of an old revision, the last one first, one after the other.
    fn roll(&self) -> Step<'a> {
        if !self.rolls() {
            return Step::Wait;
        }
        for at in self.ordinals().rev() {
            if at - self.start < self.partition() {
                break;
            }
            let Some(pod) = self.pods.get(&at) else { return Step::Wait };
            if !self.is_updated(&pod.value) {
                let going = object::is_deleting(&pod.value);
                return if going { Step::Wait } else { Step::Delete(vec![*pod]) };
            }
            if !self.is_healthy(&pod.value) {
                return Step::Wait;
            }
        }
        Step::Wait
    }

    fn status(&self) -> Value {
        let pods = || self.pods.values().map(|pod| &pod.value);
        let alive = |pod: &&Value| !object::is_deleting(pod);
        let of = |revision: &str| {
            pods().filter(alive).filter(|pod| pod["metadata"]["labels"][HASH] == revision).count()
                as i64
        };
        let ready = pods().filter(|pod| is_ready(pod)).count() as i64;
        let available = pods().filter(|pod| is_ready(pod) && self.is_available(pod)).count() as i64;
        let updated = of(&self.update);
        let count = self.pods.len() as i64;
        let whole = updated == self.replicas && count == self.replicas && ready == self.replicas;
        let current = if whole { &self.update } else { &self.current };
        let mut status = Map::new();
        status.insert("observedGeneration".into(), self.set["metadata"]["generation"].clone());
        status.insert("replicas".into(), json!(count));
        for (key, count) in [
            ("readyReplicas", ready),
            ("currentReplicas", of(current)),
            ("updatedReplicas", updated),
        ] {
            if count > 0 {
                status.insert(key.into(), json!(count));
            }
        }
        status.insert("availableReplicas".into(), json!(available));
        status.insert("currentRevision".into(), json!(current));
        status.insert("updateRevision".into(), json!(self.update));
        status.insert("collisionCount".into(), json!(0));
        Value::Object(status)
    }
}

/// The number at the end of a pod's name.
fn ordinal(set: &str, pod: &str) -> Option<i64> {
    pod.strip_prefix(set)?.strip_prefix('-')?.parse().ok()
}

fn carry_out(
    work: &mut Work,
    owner: &Owner,
    history: &History,
    view: &View,
    step: Step,
) -> Result<(), Failure> {
    match step {
        Step::Wait => Ok(()),
        Step::Create(pods) => {
            for (at, revision) in pods {
                let template = history.template(&revision).unwrap_or(&view.set["spec"]["template"]);
                let pod = pod_of(owner, template, at, &revision);
                make_claims(work, owner, at)?;
                let message = format!(
                    "create Pod {} in StatefulSet {} successful",
                    object::name(&pod),
                    object::name(owner.value)
                );
                work.create_pod(owner, pod, Some(message))?;
            }
            Ok(())
        }
        Step::Delete(pods) => {
            for pod in pods {
                delete(work, owner, &pod.value)?;
            }
            Ok(())
        }
    }
}

fn make_claim(work: &mut Work, owner: &Owner, value: Value, what: &str) -> Result<(), Failure> {
    let resource = work.shared.catalogue().storage(CLAIMS);
    let namespace = object::namespace(owner.value);
    let made = create::add_unasked(&work.shared, &resource, namespace, value, &controller(""));
    let set = object::name(owner.value);
    match made {
        Ok(_) => {
            let message = format!("create {what} in StatefulSet {set} success");
            work.say(ABOUT, owner.value, owner.said("Normal", "SuccessfulCreate", &message));
            Ok(())
        }
        Err(failure) if is_terminating(&failure) => Ok(()),
        Err(failure) => {
            let message =
                format!("create {what} in StatefulSet {set} failed error: {}", failure.message);
            work.say(ABOUT, owner.value, owner.said("Warning", "FailedCreate", &message));
            Err(failure)
        }
    }
}

fn delete(work: &mut Work, owner: &Owner, pod: &Value) -> Result<(), Failure> {
    let resource = work.shared.catalogue().storage("pods");
    let options = Options { uid: Some(object::uid(pod).to_owned()), ..Options::default() };
    let (set, name) = (object::name(owner.value), object::name(pod));
    match remove(&work.shared, &resource, &Key::of(pod), &options) {
        Ok(_) => {
            let message = format!("delete Pod {name} in StatefulSet {set} successful");
            work.say(ABOUT, owner.value, owner.said("Normal", "SuccessfulDelete", &message));
            Ok(())
        }
        Err(failure) if matches!(failure.code, 404 | 409) => Ok(()),
        Err(failure) => Err(failure),
    }
}

fn claim_name(template: &Value, set: &str, ordinal: i64) -> String {
    format!("{}-{set}-{ordinal}", object::name(template))
}

/// Makes the claims of a pod that are not there yet.
fn make_claims(work: &mut Work, owner: &Owner, ordinal: i64) -> Result<(), Failure> {
    let set = owner.value;
    let namespace = object::namespace(set);
    let name = object::name(set);
    let deleted_with_set =
        set["spec"]["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == "Delete";
    for template in object::list(set, &["spec", "volumeClaimTemplates"]) {
        let claim = claim_name(template, name, ordinal);
        if work.shared.store.get(CLAIMS, &Key::new(namespace, &*claim)).is_some() {
            continue;
        }
        let mut value = json!({
            "metadata": {"name": claim, "namespace": namespace},
            "spec": template["spec"],
        });
        let mut labels = template["metadata"]["labels"].as_object().cloned().unwrap_or_default();
        let selector = set["spec"]["selector"]["matchLabels"].as_object();
        labels.extend(selector.into_iter().flatten().map(|(key, one)| (key.clone(), one.clone())));
        value["metadata"]["labels"] = Value::Object(labels);
        if let Some(annotations) = template["metadata"].get("annotations") {
            value["metadata"]["annotations"] = annotations.clone();
        }
        if deleted_with_set {
            value["metadata"]["ownerReferences"] = json!([owner.reference()]);
        }
        let what = format!("Claim {claim} Pod {name}-{ordinal}");
        make_claim(work, owner, value, &what)?;
    }
    Ok(())
}

fn pod_of(owner: &Owner, template: &Value, ordinal: i64, revision: &str) -> Value {
    let set = owner.value;
    let name = format!("{}-{ordinal}", object::name(set));
    let mut pod = owner.pod(template);
    let metadata = object::metadata_mut(&mut pod);
    metadata.insert("name".into(), json!(name));
    metadata.insert("generateName".into(), json!(format!("{}-", object::name(set))));
    let labels = object::child_mut(metadata, "labels");
    labels.insert(HASH.into(), json!(revision));
    labels.insert("statefulset.kubernetes.io/pod-name".into(), json!(name));
    labels.insert("apps.kubernetes.io/pod-index".into(), json!(ordinal.to_string()));
    let spec = object::child_mut(object::map_mut(&mut pod), "spec");
    spec.insert("hostname".into(), json!(name));
    let service = object::text(set, &["spec", "serviceName"]);
    if !service.is_empty() {
        spec.insert("subdomain".into(), json!(service));
    }
    let claims = object::list(set, &["spec", "volumeClaimTemplates"]);
    if !claims.is_empty() {
        let mut volumes = object::list(template, &["spec", "volumes"]).to_vec();
        volumes.retain(|volume| !claims.iter().any(|claim| volume["name"] == object::name(claim)));
        volumes.extend(claims.iter().map(|claim| {
            let claimed = claim_name(claim, object::name(set), ordinal);
            json!({
                "name": object::name(claim),
                "persistentVolumeClaim": {"claimName": claimed},
            })
        }));
        spec.insert("volumes".into(), json!(volumes));
    }
    pod
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(replicas: i64, policy: &str) -> Value {
        json!({
            "metadata": {"name": "web", "generation": 1},
            "spec": {
                "replicas": replicas,
                "podManagementPolicy": policy,
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
            },
            "status": {"currentRevision": "web-1"},
        })
    }

    fn pod(ordinal: i64, revision: &str, ready: bool) -> Arc<Object> {
        let status = if ready { "True" } else { "False" };
        let value = json!({
            "metadata": {"name": format!("web-{ordinal}"), "labels": {HASH: revision}},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": status}]},
        });
        Arc::new(Object::new(value, 1))
    }

    /// What is to be done, as text.
    fn step(set: &Value, pods: &[Arc<Object>], update: &str) -> String {
        match View::of(set, pods, update, Timestamp::UNIX_EPOCH).step() {
            Step::Wait => "wait".to_owned(),
            Step::Create(new) => {
                let all: Vec<String> = new.iter().map(|(at, of)| format!("+{at}:{of}")).collect();
                all.join(" ")
            }
            Step::Delete(old) => {
                let all: Vec<String> =
                    old.iter().map(|pod| format!("-{}", object::name(&pod.value))).collect();
                all.join(" ")
            }
        }
    }

    #[test]
    fn pods_come_in_order_and_go_in_reverse() {
        let three = set(3, "OrderedReady");
        let (a, b) = (pod(0, "web-1", true), pod(1, "web-1", true));
        for (pods, expected) in [
            (vec![], "+0:web-1"),
            (vec![pod(0, "web-1", false)], "wait"),
            (vec![a.clone()], "+1:web-1"),
            (vec![a.clone(), b.clone(), pod(2, "web-1", true)], "wait"),
            (vec![b.clone(), pod(2, "web-1", true)], "+0:web-1"),
            (
                vec![
                    a.clone(),
                    b.clone(),
                    pod(2, "web-1", true),
                    pod(3, "web-1", true),
                    pod(4, "web-1", true),
                ],
                "-web-4",
            ),
        ] {
            assert_eq!(step(&three, &pods, "web-1"), expected, "{}", pods.len());
        }
        let parallel = set(3, "Parallel");
        assert_eq!(step(&parallel, &[], "web-1"), "+0:web-1 +1:web-1 +2:web-1");
        assert_eq!(step(&parallel, &[pod(0, "web-1", false)], "web-1"), "+1:web-1 +2:web-1");
    }

    #[test]
    fn an_update_replaces_the_last_pod_first_and_waits_for_it() {
        let three = set(3, "OrderedReady");
        let old = |at| pod(at, "web-1", true);
        let new = |at, ready| pod(at, "web-2", ready);
        for (pods, expected) in [
            (vec![old(0), old(1), old(2)], "-web-2"),
            (vec![old(0), old(1)], "+2:web-2"),
            (vec![old(0), old(1), new(2, false)], "wait"),
            (vec![old(0), old(1), new(2, true)], "-web-1"),
            (vec![new(0, true), new(1, true), new(2, true)], "wait"),
        ] {
            assert_eq!(step(&three, &pods, "web-2"), expected);
        }
        let mut kept = three.clone();
        kept["spec"]["updateStrategy"]["rollingUpdate"]["partition"] = json!(2);
        assert_eq!(step(&kept, &[old(0), old(1), new(2, true)], "web-2"), "wait");
        assert_eq!(step(&kept, &[old(0)], "web-2"), "+1:web-1");
    }
}
