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

/// The first range of addresses has a field of its own, from before there could be two.
pub(crate) fn defaults(node: &mut Value) {
    let Some(Value::Object(spec)) = node.get_mut("spec") else { return };
    match (spec.get("podCIDR").cloned(), spec.get("podCIDRs").and_then(|all| all.get(0)).cloned()) {
        (Some(Value::String(one)), None) if !one.is_empty() => {
            spec.insert("podCIDRs".into(), json!([one]));
        }
        (None, Some(first)) => {
            spec.insert("podCIDR".into(), first);
        }
        _ => {}
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
    let ranges = object::list(node, &["spec", "podCIDRs"]);
    for (index, range) in ranges.iter().enumerate() {
        if !range.as_str().is_some_and(is_range) {
            errors.push(FieldError::invalid(
                format!("spec.podCIDRs[{index}]"),
                range,
                "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
            ));
        }
    }
    let families: Vec<bool> =
        ranges.iter().filter_map(|one| Some(one.as_str()?.contains(':'))).collect();
    if ranges.len() > 1 && (ranges.len() > 2 || families.first() == families.last()) {
        let why = "may specify no more than one CIDR for each IP family";
        errors.push(FieldError::invalid("spec.podCIDRs", &json!(ranges), why));
    }
}

/// Whether a text is an address with the length of its prefix.
fn is_range(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let limit = match address.parse() {
        Ok(std::net::IpAddr::V4(_)) => 32,
        Ok(std::net::IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    length.parse::<u8>().is_ok_and(|length| length <= limit)
}

/// What is given once.
pub(crate) fn check_update(old: &Value, new: &Value, errors: &mut Vec<FieldError>) {
    let (old, new) = (&old["spec"], &new["spec"]);
    if !object::list(old, &["podCIDRs"]).is_empty() && old["podCIDRs"] != new["podCIDRs"] {
        errors.push(FieldError::forbidden(
            "spec.podCIDRs",
            "node updates may not change podCIDR except from \"\" to valid",
        ));
    }
    let provider = object::text(old, &["providerID"]);
    if !provider.is_empty() && object::text(new, &["providerID"]) != provider {
        errors.push(FieldError::forbidden(
            "spec.providerID",
            "node updates may not change providerID except from \"\" to valid",
        ));
    }
}
