//! Replica sets: as many pods of one template as there are to be.

use std::cmp::Reverse;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::controller;
use super::queue::{Item, later};
use super::work::{
    BURST, Owner, Work, controller_of, is_active, is_finished, is_ready, time, worth,
};
use crate::failure::Failure;
use crate::object;
use crate::selectors::Labels;
use crate::store::{Change, Key, Object};
use crate::verbs::update::{self, Change as Write};

pub(super) const REPLICA_SETS: &str = "replicasets.apps";

/// Looks at every replica set after a start.
pub(super) fn resume(work: &mut Work) {
    for set in work.shared.store.list(REPLICA_SETS, None).1 {
        work.queue.add(Item::ReplicaSet(Key::of(&set.value)));
    }
}

pub(super) fn changed(work: &mut Work, storage: &str, change: &Change) {
    match storage {
        REPLICA_SETS => work.queue.add(Item::ReplicaSet(change.key.clone())),
        "pods" => {
            for pod in change.old.iter().chain([&change.new]) {
                if let Some(owner) =
                    controller_of(&pod.value).filter(|owner| owner["kind"] == "ReplicaSet")
                {
                    let name = object::text(owner, &["name"]);
                    work.queue.add(Item::ReplicaSet(Key::new(&*change.key.namespace, name)));
                }
            }
        }
        _ => {}
    }
}

/// Does for a replica set what there is to do now.
pub(super) fn sync(work: &mut Work, key: &Key) -> Result<(), Failure> {
    let Some(set) = work.shared.store.get(REPLICA_SETS, key) else { return Ok(()) };
    let owner = Owner {
        api_version: "apps/v1",
        kind: "ReplicaSet",
        component: "replicaset-controller",
        value: &set.value,
    };
    let pods = work.claim("pods", &owner);
    let active: Vec<&Arc<Object>> = pods.iter().filter(|pod| is_active(&pod.value)).collect();
    let wanted = set.value["spec"]["replicas"].as_u64().unwrap_or(1) as usize;
    let mut trouble = Ok(());
    if !object::is_deleting(&set.value) {
        for _ in active.len()..wanted.min(active.len() + BURST) {
            let made = work.create_pod(&owner, owner.pod(&set.value["spec"]["template"]), None);
            if made.is_err() {
                // The others would fail alike.
                trouble = made;
                break;
            }
        }
        if active.len() > wanted {
            let mut order = active.clone();
            order.sort_by_cached_key(|pod| rank(&pod.value));
            for pod in order.into_iter().take((active.len() - wanted).min(BURST)) {
                trouble = trouble.and(work.delete_pod(&owner, &pod.value));
            }
        }
    }
    let now = work.now();
    let counts = count(&set.value, &pods, now);
    let status = status(&set.value, &counts, trouble.as_ref().err(), active.len() < wanted, now);
    if let Some(due) = counts.next {
        work.queue.add_at(due, Item::ReplicaSet(key.clone()));
    }
    write(work, REPLICA_SETS, &set, &status)?;
    trouble
}

/// Which pod goes first: the one whose end costs least, then the newest.
fn rank(pod: &Value) -> impl Ord + use<> {
    let cost = &pod["metadata"]["annotations"]["controller.kubernetes.io/pod-deletion-cost"];
    let cost: i64 = cost.as_str().and_then(|cost| cost.parse().ok()).unwrap_or_default();
    let (assigned, phase, ready) = worth(pod);
    let created = object::meta(pod, "creationTimestamp").to_owned();
    (assigned, phase, ready, cost, Reverse(created))
}

/// How many pods there are of each sort.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) replicas: u64,
    pub(super) labeled: u64,
    pub(super) ready: u64,
    pub(super) available: u64,
    pub(super) terminating: u64,
    /// When the next ready pod has been ready long enough.
    pub(super) next: Option<Timestamp>,
}

/// Since when a pod counts as available, if it is ready.
pub(super) fn available_at(pod: &Value, seconds: i64) -> Option<Timestamp> {
    let condition = object::list(pod, &["status", "conditions"])
        .iter()
        .find(|one| one["type"] == "Ready" && one["status"] == "True")?;
    if seconds <= 0 {
        return Some(Timestamp::MIN);
    }
    Some(later(time(&condition["lastTransitionTime"])?, SignedDuration::from_secs(seconds)))
}

fn count(set: &Value, pods: &[Arc<Object>], now: Timestamp) -> Counts {
    let seconds = set["spec"]["minReadySeconds"].as_i64().unwrap_or_default();
    let labels = set["spec"]["template"]["metadata"]["labels"].as_object();
    let mut counts = Counts::default();
    for pod in pods {
        let pod = &pod.value;
        if is_finished(pod) {
            continue;
        }
        if object::is_deleting(pod) {
            counts.terminating += 1;
            continue;
        }
        counts.replicas += 1;
        let own = &pod["metadata"]["labels"];
        if labels.into_iter().flatten().all(|(key, value)| own[key] == *value) {
            counts.labeled += 1;
        }
        counts.ready += u64::from(is_ready(pod));
        match available_at(pod, seconds) {
            Some(due) if due <= now => counts.available += 1,
            Some(due) => counts.next = Some(counts.next.map_or(due, |next| next.min(due))),
            None => {}
        }
    }
    counts
}

fn status(
    set: &Value,
    counts: &Counts,
    trouble: Option<&Failure>,
    too_few: bool,
    now: Timestamp,
) -> Value {
    let mut status = Map::new();
    status.insert("replicas".into(), json!(counts.replicas));
    for (key, count) in [
        ("fullyLabeledReplicas", counts.labeled),
        ("readyReplicas", counts.ready),
        ("availableReplicas", counts.available),
    ] {
        if count > 0 {
            status.insert(key.into(), json!(count));
        }
    }
    status.insert("terminatingReplicas".into(), json!(counts.terminating));
    status.insert("observedGeneration".into(), set["metadata"]["generation"].clone());
    let mut conditions = object::list(set, &["status", "conditions"]).to_vec();
    let known = conditions.iter().any(|one| one["type"] == "ReplicaFailure");
    match trouble {
        Some(failure) if !known => conditions.push(json!({
            "type": "ReplicaFailure",
            "status": "True",
            "lastTransitionTime": object::seconds(now),
            "reason": if too_few { "FailedCreate" } else { "FailedDelete" },
            "message": failure.message,
        })),
        Some(_) => {}
        None => conditions.retain(|one| one["type"] != "ReplicaFailure"),
    }
    if !conditions.is_empty() {
        status.insert("conditions".into(), json!(conditions));
    }
    Value::Object(status)
}

/// Writes the status of an object, if it is another one and the object is still the same.
pub(super) fn write(
    work: &Work,
    storage: &str,
    object: &Object,
    status: &Value,
) -> Result<(), Failure> {
    if object.value["status"] == *status {
        return Ok(());
    }
    let resource = work.shared.catalogue().storage(storage);
    let uid = object::uid(&object.value);
    let key = Key::of(&object.value);
    let written =
        update::modify(&work.shared, &resource, &key, &controller("status"), false, |old| {
            let mut new = old.clone();
            if object::uid(old) == uid {
                new["status"] = status.clone();
            }
            Ok(Write::Update(new))
        });
    match written {
        Err(failure) if failure.code != 404 => Err(failure),
        _ => Ok(()),
    }
}

/// Whether an object's selector matches a set of labels.
pub(super) fn selects(object: &Value, labelled: &Value) -> bool {
    Labels::of(&object["spec"]["selector"]).is_some_and(|one| one.matches(labelled))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, phase: &str, ready: Option<&str>) -> Arc<Object> {
        let mut conditions = Vec::new();
        if let Some(since) = ready {
            let time = format!("2026-01-01T{since}Z");
            conditions.push(json!({"type": "Ready", "status": "True", "lastTransitionTime": time}));
        }
        let value = json!({
            "metadata": {"name": name, "labels": {"app": "web"}},
            "spec": {"nodeName": "one"},
            "status": {"phase": phase, "conditions": conditions},
        });
        Arc::new(Object::new(value, 1))
    }

    #[test]
    fn pods_are_available_when_they_have_been_ready_long_enough() {
        let set = json!({"spec": {
            "minReadySeconds": 30,
            "template": {"metadata": {"labels": {"app": "web"}}},
        }});
        let pods = [
            pod("a", "Running", Some("00:00:00")),
            pod("b", "Running", Some("00:00:20")),
            pod("c", "Running", None),
            pod("d", "Failed", None),
        ];
        let now = "2026-01-01T00:00:31Z".parse().unwrap();
        let expected = Counts {
            replicas: 3,
            labeled: 3,
            ready: 2,
            available: 1,
            terminating: 0,
            next: Some("2026-01-01T00:00:50Z".parse().unwrap()),
        };
        assert_eq!(count(&set, &pods, now), expected);
    }

    #[test]
    fn pods_that_do_nothing_yet_go_first() {
        let mut pods = [
            pod("ready", "Running", Some("00:00:00")),
            pod("running", "Running", None),
            pod("pending", "Pending", None),
        ];
        pods.sort_by_cached_key(|pod| rank(&pod.value));
        let names: Vec<&str> = pods.iter().map(|pod| object::name(&pod.value)).collect();
        assert_eq!(names, ["pending", "running", "ready"]);
    }
}
