//! Gives pods to nodes: the first ready node whose labels match and which has what the pod asks for. A cluster without nodes leaves
//! pods pending and says nothing, so that tests may play the kubelet themselves.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Value, json};

use super::work::is_finished;
use super::{Said, edit, event, set_condition};
use crate::kubelet::quantity;
use crate::managed::Writer;
use crate::object;
use crate::selectors::Labels;
use crate::server::Shared;
use crate::store::{Change, Key, Object};
use crate::strategy::NOT_READY;

/// Looks at every pod that waits.
pub(crate) fn all(shared: &Shared) {
    if !shared.schedule {
        return;
    }
    for pod in shared.store.list("pods", None).1 {
        place(shared, &pod.value);
    }
}

pub(crate) fn changed(shared: &Shared, storage: &str, change: &Change) {
    if !shared.schedule {
        return;
    }
    match storage {
        // What it had, others may wait for.
        "pods" if change.deleted || is_finished(&change.new.value) => {
            let had = Requests::of(&change.new.value);
            if !had.are_none() {
                all(shared);
            }
        }
        "persistentvolumeclaims" => all(shared),
        _ if change.deleted => {}
        "pods" => place(shared, &change.new.value),
        "nodes" if is_ready(&change.new.value) && is_tainted(&change.new.value) => {
            edit(shared, "nodes", &change.key, &super::controller(""), |node| {
                if let Some(Value::Array(taints)) = node.pointer_mut("/spec/taints") {
                    taints.retain(|one| one["key"] != NOT_READY);
                }
                if object::list(node, &["spec", "taints"]).is_empty() {
                    object::map_mut(&mut node["spec"]).remove("taints");
                }
            });
        }
        "nodes" if change.old.as_ref().is_none_or(|old| matters(&old.value, &change.new.value)) => {
            all(shared);
        }
        _ => {}
    }
}

/// Whether a change of a node can let a pod in.
fn matters(old: &Value, new: &Value) -> bool {
    old["metadata"]["labels"] != new["metadata"]["labels"]
        || old["spec"] != new["spec"]
        || old["status"]["allocatable"] != new["status"]["allocatable"]
}

fn is_ready(node: &Value) -> bool {
    object::list(node, &["status", "conditions"])
        .iter()
        .any(|one| one["type"] == "Ready" && one["status"] == "True")
}

fn is_tainted(node: &Value) -> bool {
    object::list(node, &["spec", "taints"]).iter().any(|one| one["key"] == NOT_READY)
}

fn waits(pod: &Value) -> bool {
    object::text(pod, &["spec", "nodeName"]).is_empty()
        && !object::is_deleting(pod)
        && object::text(pod, &["spec", "schedulerName"]) == "default-scheduler"
        && object::list(pod, &["spec", "schedulingGates"]).is_empty()
        && object::text(pod, &["status", "phase"]) == "Pending"
}

fn place(shared: &Shared, pod: &Value) {
    if !waits(pod) {
        return;
    }
    let nodes = shared.store.list("nodes", None).1;
    if nodes.is_empty() {
        return;
    }
    if let Some(reason) = missing_claim(shared, pod) {
        return refuse(shared, pod, &nodes, &reason);
    }
    let mut reasons: Vec<(&str, usize)> = Vec::new();
    for node in &nodes {
        let refusal = refusal(&node.value, pod).or_else(|| shortage(shared, &node.value, pod));
        let Some(refusal) = refusal else {
            return bind(shared, pod, object::name(&node.value));
        };
        match reasons.iter_mut().find(|(one, _)| *one == refusal) {
            Some((_, count)) => *count += 1,
            None => reasons.push((refusal, 1)),
        }
    }
    let reasons: Vec<String> =
        reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    refuse(shared, pod, &nodes, &reasons.join(", "));
}

/// Why no node can have the volumes of a pod yet.
fn missing_claim(shared: &Shared, pod: &Value) -> Option<Cow<'static, str>> {
    for volume in object::list(pod, &["spec", "volumes"]) {
        let Some(name) = volume["persistentVolumeClaim"]["claimName"].as_str() else { continue };
        let key = Key::new(object::namespace(pod), name);
        let Some(claim) = shared.store.get("persistentvolumeclaims", &key) else {
            return Some(format!("persistentvolumeclaim {name:?} not found").into());
        };
        if object::is_deleting(&claim.value) {
            return Some(format!("persistentvolumeclaim {name:?} is being deleted").into());
        }
        if shared.bind_volumes && object::text(&claim.value, &["status", "phase"]) != "Bound" {
            return Some("pod has unbound immediate PersistentVolumeClaims".into());
        }
    }
    None
}

/// What a pod asks of its node.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Requests {
    cpu: f64,
    memory: f64,
}

impl Requests {
    /// Containers run beside each other, with the sidecars; other init containers before them.
    fn of(pod: &Value) -> Requests {
        let mut together = Requests::default();
        let mut most = Requests::default();
        for container in object::list(pod, &["spec", "initContainers"]) {
            let wants = Requests::listed(&container["resources"]["requests"]);
            if container["restartPolicy"] == "Always" {
                together = together.and(wants);
            } else {
                let meanwhile = together.and(wants);
                most.cpu = most.cpu.max(meanwhile.cpu);
                most.memory = most.memory.max(meanwhile.memory);
            }
        }
        for container in object::list(pod, &["spec", "containers"]) {
            together = together.and(Requests::listed(&container["resources"]["requests"]));
        }
        most.cpu = most.cpu.max(together.cpu);
        most.memory = most.memory.max(together.memory);
        most.and(Requests::listed(&pod["spec"]["overhead"]))
    }

    fn listed(list: &Value) -> Requests {
        let amount = |name: &str| list[name].as_str().and_then(quantity::parse).unwrap_or_default();
        Requests { cpu: amount("cpu"), memory: amount("memory") }
    }

    fn and(self, other: Requests) -> Requests {
        Requests { cpu: self.cpu + other.cpu, memory: self.memory + other.memory }
    }

    fn are_none(self) -> bool {
        self == Requests::default()
    }
}

/// What a node has too little of for a pod.
fn shortage(shared: &Shared, node: &Value, pod: &Value) -> Option<&'static str> {
    let wants = Requests::of(pod);
    if wants.are_none() {
        return None;
    }
    let has = &node["status"]["allocatable"];
    let taken = shared
        .store
        .list("pods", None)
        .1
        .iter()
        .filter(|other| object::text(&other.value, &["spec", "nodeName"]) == object::name(node))
        .filter(|other| !is_finished(&other.value))
        .fold(wants, |taken, other| taken.and(Requests::of(&other.value)));
    // A billionth is what adding thousandths may be wrong by.
    let lacks = |name: &str, taken: f64| {
        let has = has[name].as_str().and_then(quantity::parse);
        has.is_some_and(|has| taken > has * (1.0 + 1e-9))
    };
    if wants.cpu > 0.0 && lacks("cpu", taken.cpu) {
        Some("Insufficient cpu")
    } else if wants.memory > 0.0 && lacks("memory", taken.memory) {
        Some("Insufficient memory")
    } else {
        None
    }
}

/// Why a node cannot take a pod.
pub(super) fn refusal(node: &Value, pod: &Value) -> Option<&'static str> {
    if node["spec"]["unschedulable"].as_bool().unwrap_or_default() {
        return Some("node(s) were unschedulable");
    }
    let labels = &node["metadata"]["labels"];
    let selector = pod["spec"]["nodeSelector"].as_object();
    let matches = selector.into_iter().flatten().all(|(key, value)| labels[key] == *value);
    if !matches || !attracts(node, pod) {
        return Some("node(s) didn't match Pod's node affinity/selector");
    }
    let tolerated = object::list(node, &["spec", "taints"])
        .iter()
        .filter(|taint| taint["effect"] != "PreferNoSchedule")
        .all(|taint| {
            object::list(pod, &["spec", "tolerations"]).iter().any(|one| tolerates(one, taint))
        });
    (!tolerated).then_some("node(s) had untolerated taint(s)")
}

/// Whether a pod's affinity lets it onto a node.
fn attracts(node: &Value, pod: &Value) -> bool {
    let required =
        &pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    if !required.is_object() {
        return true;
    }
    object::list(required, &["nodeSelectorTerms"]).iter().any(|term| {
        let expressions = object::list(term, &["matchExpressions"]);
        let fields = object::list(term, &["matchFields"]);
        let named = fields.iter().all(|field| {
            let found = object::list(field, &["values"])
                .iter()
                .any(|value| value.as_str() == Some(object::name(node)));
            field["key"] == "metadata.name" && (field["operator"] == "NotIn") != found
        });
        let labelled = expressions.is_empty()
            || Labels::of(&json!({"matchExpressions": expressions}))
                .is_some_and(|selector| selector.matches(node));
        // A term that says nothing matches nothing.
        !(expressions.is_empty() && fields.is_empty()) && named && labelled
    })
}

fn tolerates(toleration: &Value, taint: &Value) -> bool {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let effect = text(&toleration["effect"]);
    let key = text(&toleration["key"]);
    (effect.is_empty() || effect == text(&taint["effect"]))
        && (key.is_empty() || key == text(&taint["key"]))
        && (toleration["operator"] == "Exists"
            || text(&toleration["value"]) == text(&taint["value"]))
}

fn scheduler() -> Writer<'static> {
    Writer { manager: "kube-scheduler".into(), subresource: "binding" }
}

fn bind(shared: &Shared, pod: &Value, node: &str) {
    let bound = edit(shared, "pods", &Key::of(pod), &scheduler(), |pod| {
        if object::text(pod, &["spec", "nodeName"]).is_empty() {
            assign(pod, node);
        }
    });
    if bound.is_some() {
        let message = format!(
            "Successfully assigned {}/{} to {node}",
            object::namespace(pod),
            object::name(pod)
        );
        let said = Said {
            kind: "Normal",
            reason: "Scheduled",
            message: &message,
            component: "default-scheduler",
        };
        event(shared, ("v1", "Pod"), pod, said);
    }
}

/// What a binding does to a pod.
pub(crate) fn assign(pod: &mut Value, node: &str) {
    pod["spec"]["nodeName"] = json!(node);
    set_condition(
        &mut pod["status"],
        &json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null}),
    );
}

fn refuse(shared: &Shared, pod: &Value, nodes: &[Arc<Object>], reason: &str) {
    let message = format!("0/{} nodes are available: {reason}.", nodes.len());
    let told = object::list(pod, &["status", "conditions"])
        .iter()
        .any(|one| one["type"] == "PodScheduled" && one["message"] == message.as_str());
    if told {
        return;
    }
    let writer = Writer { manager: "kube-scheduler".into(), subresource: "status" };
    edit(shared, "pods", &Key::of(pod), &writer, |pod| {
        set_condition(
            &mut pod["status"],
            &json!({
                "type": "PodScheduled",
                "status": "False",
                "reason": "Unschedulable",
                "message": message,
                "lastProbeTime": null,
            }),
        );
    });
    let said = Said {
        kind: "Warning",
        reason: "FailedScheduling",
        message: &message,
        component: "default-scheduler",
    };
    event(shared, ("v1", "Pod"), pod, said);
}
