//! Nodes: a new one takes no pods until it says that it is ready.

use serde_json::{Value, json};

use crate::failure::FieldError;
use crate::names;
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

pub(crate) fn check(node: &Value, errors: &mut Vec<FieldError>) {
    for (index, taint) in object::list(node, &["spec", "taints"]).iter().enumerate() {
        let field = format!("metadata.taints[{index}]");
        let key = object::text(taint, &["key"]);
        for fault in names::label_key_faults(key) {
            errors.push(FieldError::invalid(format!("{field}.key"), &json!(key), &fault));
        }
        const EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];
        let effect = object::text(taint, &["effect"]);
        if !EFFECTS.contains(&effect) {
            errors.push(FieldError::unsupported(
                format!("{field}.effect"),
                &json!(effect),
                EFFECTS,
            ));
        }
    }
}
