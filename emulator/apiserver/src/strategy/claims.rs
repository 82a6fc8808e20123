//! Claims for volumes, and volumes.

use serde_json::{Value, json};

use crate::failure::FieldError;
use crate::object;
use crate::schema::quantity::Quantity;

const MODES: &[&str] = &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

pub(crate) fn defaults(claim: &mut Value) {
    let spec = object::child_mut(object::map_mut(claim), "spec");
    super::default(spec, "volumeMode", json!("Filesystem"));
}

pub(crate) fn volume_defaults(volume: &mut Value) {
    let spec = object::child_mut(object::map_mut(volume), "spec");
    super::default(spec, "volumeMode", json!("Filesystem"));
    super::default(spec, "persistentVolumeReclaimPolicy", json!("Retain"));
    if let Some(Value::Object(path)) = spec.get_mut("hostPath") {
        super::default(path, "type", json!(""));
    }
}

/// A claim is kept while pods use it.
pub(crate) fn protect(claim: &mut Value) {
    hold(claim, "kubernetes.io/pvc-protection");
}

/// A volume is kept while a claim has it.
pub(crate) fn protect_volume(volume: &mut Value) {
    hold(volume, "kubernetes.io/pv-protection");
}

fn hold(value: &mut Value, finalizer: &str) {
    let metadata = object::metadata_mut(value);
    let list = metadata.entry("finalizers").or_insert_with(|| json!([]));
    if let Value::Array(list) = list
        && !list.iter().any(|one| one == finalizer)
    {
        list.push(json!(finalizer));
    }
}

pub(crate) fn check(claim: &Value, errors: &mut Vec<FieldError>) {
    let spec = &claim["spec"];
    let modes = object::list(spec, &["accessModes"]);
    if modes.is_empty() {
        errors.push(FieldError::required("spec.accessModes", "at least 1 access mode is required"));
    }
    for mode in modes {
        if !MODES.iter().any(|one| mode == one) {
            errors.push(FieldError::unsupported("spec.accessModes", mode, MODES));
        }
    }
    match spec["resources"]["requests"]["storage"].as_str() {
        None => errors.push(FieldError::required("spec.resources[storage]", "")),
        Some(text) => {
            let positive = Quantity::parse(text)
                .is_some_and(|quantity| !quantity.is_negative() && !quantity.is_zero());
            if !positive {
                errors.push(FieldError::invalid(
                    "spec.resources[storage]",
                    &json!(text),
                    "must be greater than zero",
                ));
            }
        }
    }
}

pub(crate) fn check_update(old: &Value, new: &Value, errors: &mut Vec<FieldError>) {
    let bound = object::text(old, &["status", "phase"]) == "Bound";
    let mut old = old["spec"].clone();
    let mut spec = new["spec"].clone();
    if bound {
        for one in [&mut old, &mut spec] {
            object::map_mut(one).remove("resources");
        }
    }
    if old.get("volumeName").is_none() {
        object::map_mut(&mut spec).remove("volumeName");
    }
    if old != spec {
        errors.push(FieldError::forbidden(
            "spec",
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
        ));
    }
}
