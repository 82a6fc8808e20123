//! Nodes: a new one takes no pods until it says that it is ready.

use serde_json::{Value, json};

use crate::object;

/// The taint of a node that is not ready.
pub(crate) const NOT_READY: &str = "node.kubernetes.io/not-ready";

pub(crate) fn taint(node: &mut Value) {
    let spec = object::child_mut(object::map_mut(node), "spec");
    let taints = spec.entry("taints").or_insert_with(|| json!([]));
    if let Value::Array(taints) = taints
        && !taints.iter().any(|one| one["key"] == NOT_READY)
    {
        taints.push(json!({"key": NOT_READY, "effect": "NoSchedule"}));
    }
}
