//! Daemon sets: one pod on every node that takes it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::deployments::amount;
use super::history::{HASH, History};
use super::queue::Item;
use super::replicasets::{available_at, write};
use super::scheduler;
use super::work::{Owner, Work, controller_of, is_finished, is_ready};
use crate::failure::Failure;
use crate::object;
use crate::store::{Change, Key, Object};

pub(super) const DAEMON_SETS: &str = "daemonsets.apps";
const GENERATION: &str = "deprecated.daemonset.template.generation";

/// Looks at every daemon set after a start.
pub(super) fn resume(work: &mut Work) {
    for set in work.shared.store.list(DAEMON_SETS, None).1 {
        work.queue.add(Item::DaemonSet(Key::of(&set.value)));
    }
}

pub(super) fn changed(work: &mut Work, storage: &str, change: &Change) {
    match storage {
        DAEMON_SETS => work.queue.add(Item::DaemonSet(change.key.clone())),
        "nodes" => {
            let same = change.old.as_ref().is_some_and(|old| {
                let labels = |node: &Value| node["metadata"]["labels"].clone();
                labels(&old.value) == labels(&change.new.value)
                    && old.value["spec"] == change.new.value["spec"]
            });
            if !same || change.deleted {
                resume(work);
            }
        }
        "pods" => {
            for pod in change.old.iter().chain([&change.new]) {
                if let Some(owner) =
                    controller_of(&pod.value).filter(|owner| owner["kind"] == "DaemonSet")
                {
                    let name = object::text(owner, &["name"]);
                    work.queue.add(Item::DaemonSet(Key::new(&*change.key.namespace, name)));
                }
            }
        }
        _ => {}
    }
}

/// Does for a daemon set what there is to do now.
pub(super) fn sync(work: &mut Work, key: &Key) -> Result<(), Failure> {
    let Some(set) = work.shared.store.get(DAEMON_SETS, key) else { return Ok(()) };
    if object::is_deleting(&set.value) {
        return Ok(());
    }
    let owner = Owner {
        api_version: "apps/v1",
        kind: "DaemonSet",
        component: "daemonset-controller",
        value: &set.value,
    };
    let history = History::of(work, &owner)?;
    let hash = history.present()["metadata"]["labels"][HASH].as_str().unwrap_or_default();
    let pods = work.claim("pods", &owner);
    let nodes = work.shared.store.list("nodes", None).1;
    let probe = json!({"spec": with_tolerations(&set.value["spec"]["template"]["spec"])});
    let fitting: BTreeSet<&str> = nodes
        .iter()
        .filter(|node| scheduler::refusal(&node.value, &probe).is_none())
        .map(|node| object::name(&node.value))
        .collect();
    let view = View::of(&set.value, &pods, &fitting, hash, work.now());
    let mut done = Ok(());
    for pod in &view.delete {
        done = done.and(work.delete_pod(&owner, &pod.value));
    }
    for node in &view.create {
        done = done.and(work.create_pod(&owner, pod_of(&owner, node, hash), None));
    }
    if let Some(due) = view.next {
        work.queue.add_at(due, Item::DaemonSet(key.clone()));
    }
    write(work, DAEMON_SETS, &set, &view.status)?;
    history.trim(work, &set.value, &|name| {
        let hash = name.rsplit('-').next().unwrap_or_default();
        pods.iter().any(|pod| pod.value["metadata"]["labels"][HASH] == hash)
    })?;
    done
}

/// What a look at a daemon set finds.
struct View<'a> {
    create: Vec<String>,
    delete: Vec<&'a Arc<Object>>,
    status: Value,
    next: Option<Timestamp>,
}

impl<'a> View<'a> {
    fn of(
        set: &Value,
        pods: &'a [Arc<Object>],
        fitting: &BTreeSet<&str>,
        hash: &str,
        now: Timestamp,
    ) -> Self {
        let mut by_node: BTreeMap<&str, Vec<&Arc<Object>>> = BTreeMap::new();
        for pod in pods {
            by_node.entry(target(&pod.value)).or_default().push(pod);
        }
        let seconds = set["spec"]["minReadySeconds"].as_i64().unwrap_or_default();
        let is_available = |pod: &Value| available_at(pod, seconds).is_some_and(|due| due <= now);
        let mut delete: Vec<&Arc<Object>> = Vec::new();
        let mut create = Vec::new();
        let (mut scheduled, mut ready, mut available, mut updated) = (0, 0, 0, 0);
        let mut misplaced = 0;
        let mut old: Vec<&Arc<Object>> = Vec::new();
        for (node, pods) in &by_node {
            let alive = pods.iter().filter(|pod| !object::is_deleting(&pod.value)).copied();
            if !fitting.contains(node) {
                misplaced += i64::from(!pods.is_empty());
                delete.extend(alive);
                continue;
            }
            let (ended, mut running): (Vec<_>, Vec<_>) =
                alive.partition(|pod| is_finished(&pod.value));
            delete.extend(ended);
            running.sort_by_key(|pod| object::meta(&pod.value, "creationTimestamp").to_owned());
            let Some((first, rest)) = running.split_first() else { continue };
            delete.extend(rest);
            scheduled += 1;
            let pod = &first.value;
            ready += i64::from(is_ready(pod));
            available += i64::from(is_available(pod));
            if pod["metadata"]["labels"][HASH] == hash {
                updated += 1;
            } else {
                old.push(first);
            }
        }
        for node in fitting {
            if !by_node.contains_key(node) {
                create.push((*node).to_owned());
            }
        }
        let desired = fitting.len() as i64;
        if set["spec"]["updateStrategy"]["type"] == "RollingUpdate" {
            let most = &set["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"];
            let mut room = amount(most, desired, true).max(1) - (desired - available);
            for pod in old {
                // A pod that is not available costs nothing.
                if !is_available(&pod.value) {
                    delete.push(pod);
                } else if room > 0 {
                    room -= 1;
                    delete.push(pod);
                }
            }
        }
        let mut status = json!({
            "currentNumberScheduled": scheduled,
            "numberMisscheduled": misplaced,
            "desiredNumberScheduled": desired,
            "numberReady": ready,
            "observedGeneration": set["metadata"]["generation"],
        });
        for (key, count) in [
            ("updatedNumberScheduled", updated),
            ("numberAvailable", available),
            ("numberUnavailable", desired - available),
        ] {
            if count > 0 {
                status[key] = json!(count);
            }
        }
        let next = pods
            .iter()
            .filter_map(|pod| available_at(&pod.value, seconds))
            .filter(|due| *due > now)
            .min();
        View { create, delete, status, next }
    }
}

/// The node that a pod of a daemon set is for.
fn target(pod: &Value) -> &str {
    let node = object::text(pod, &["spec", "nodeName"]);
    if !node.is_empty() {
        return node;
    }
    let required = &pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        ["nodeSelectorTerms"][0]["matchFields"][0];
    required["values"][0].as_str().unwrap_or_default()
}

/// The specification with what every pod of a daemon set tolerates.
fn with_tolerations(spec: &Value) -> Value {
    let mut spec = spec.clone();
    let mut list = object::list(&spec, &["tolerations"]).to_vec();
    for (key, effect) in [
        ("not-ready", "NoExecute"),
        ("unreachable", "NoExecute"),
        ("disk-pressure", "NoSchedule"),
        ("memory-pressure", "NoSchedule"),
        ("pid-pressure", "NoSchedule"),
        ("unschedulable", "NoSchedule"),
    ] {
        let toleration = json!({
            "key": format!("node.kubernetes.io/{key}"),
            "operator": "Exists",
            "effect": effect,
        });
        if !list.contains(&toleration) {
            list.push(toleration);
        }
    }
    if spec["hostNetwork"] == true {
        list.push(json!({
            "key": "node.kubernetes.io/network-unavailable",
            "operator": "Exists",
            "effect": "NoSchedule",
        }));
    }
    spec["tolerations"] = json!(list);
    spec
}

fn pod_of(owner: &Owner, node: &str, hash: &str) -> Value {
    let mut template = owner.value["spec"]["template"].clone();
    template["spec"] = with_tolerations(&template["spec"]);
    let field = json!({"key": "metadata.name", "operator": "In", "values": [node]});
    let required = "requiredDuringSchedulingIgnoredDuringExecution";
    let terms = template["spec"]["affinity"]["nodeAffinity"][required]["nodeSelectorTerms"]
        .as_array()
        .cloned()
        .filter(|terms| !terms.is_empty())
        .unwrap_or_else(|| vec![json!({})]);
    let terms: Vec<Value> = terms
        .into_iter()
        .map(|mut term| {
            object::map_mut(&mut term).insert("matchFields".into(), json!([field]));
            term
        })
        .collect();
    let spec = object::child_mut(object::map_mut(&mut template), "spec");
    let affinity = object::child_mut(object::child_mut(spec, "affinity"), "nodeAffinity");
    affinity.insert(required.into(), json!({"nodeSelectorTerms": terms}));
    let labels = object::child_mut(object::metadata_mut(&mut template), "labels");
    labels.insert(HASH.into(), json!(hash));
    let generation = owner.value["metadata"]["annotations"][GENERATION].as_str();
    labels.insert("pod-template-generation".into(), json!(generation.unwrap_or("1")));
    owner.pod(&template)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, node: &str, hash: &str, ready: bool) -> Arc<Object> {
        let status = if ready { "True" } else { "False" };
        let value = json!({
            "metadata": {"name": name, "labels": {HASH: hash}},
            "spec": {"nodeName": node},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": status}]},
        });
        Arc::new(Object::new(value, 1))
    }

    #[test]
    fn every_fitting_node_has_one_pod() {
        let set = json!({"metadata": {"generation": 1}, "spec": {"updateStrategy": {
            "type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1},
        }}});
        let pods =
            [pod("a1", "a", "one", true), pod("a2", "a", "one", true), pod("x1", "x", "one", true)];
        let fitting = BTreeSet::from(["a", "b"]);
        let view = View::of(&set, &pods, &fitting, "one", Timestamp::UNIX_EPOCH);
        assert_eq!(view.create, ["b"]);
        let gone: Vec<&str> = view.delete.iter().map(|pod| object::name(&pod.value)).collect();
        assert_eq!(gone, ["a2", "x1"]);
        assert_eq!(view.status["desiredNumberScheduled"], 2);
        assert_eq!(view.status["numberReady"], 1);
        assert_eq!(view.status["numberMisscheduled"], 1);
    }

    #[test]
    fn an_update_replaces_as_many_pods_as_may_be_missing() {
        let set = json!({"metadata": {"generation": 2}, "spec": {"updateStrategy": {
            "type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1},
        }}});
        let fitting = BTreeSet::from(["a", "b", "c"]);
        let gone = |pods: &[Arc<Object>]| {
            let view = View::of(&set, pods, &fitting, "two", Timestamp::UNIX_EPOCH);
            view.delete.iter().map(|pod| object::name(&pod.value).to_owned()).collect::<Vec<_>>()
        };
        let old = |node| pod(node, node, "one", true);
        assert_eq!(gone(&[old("a"), old("b"), old("c")]), ["a"]);
        assert_eq!(gone(&[pod("a", "a", "two", false), old("b"), old("c")]), Vec::<&str>::new());
        assert_eq!(gone(&[pod("a", "a", "two", true), old("b"), old("c")]), ["b"]);
    }
}
