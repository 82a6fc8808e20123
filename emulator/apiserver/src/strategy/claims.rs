//! Claims for volumes, and volumes.

use serde_json::{Value, json};

use super::{internal, selectors};
use crate::failure::FieldError;
use crate::names::{self, Rule};
use crate::object;
use crate::schema::quantity::Quantity;
use crate::server::Shared;

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

/// The status of a new claim; its source has two fields for a while.
pub(crate) fn prepare(claim: &mut Value) {
    claim["status"] = json!({"phase": "Pending"});
    let Some(Value::Object(spec)) = claim.get_mut("spec") else { return };
    if let Some(source) = spec.get("dataSource").filter(|source| source.is_object()).cloned() {
        super::default(spec, "dataSourceRef", source);
    }
}

/// A claim is kept while pods use it, and has the class that is the default, if there is one.
pub(crate) fn admit(shared: &Shared, claim: &mut Value) {
    const DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";
    const BETA: &str = "storageclass.beta.kubernetes.io/is-default-class";
    hold(claim, "kubernetes.io/pvc-protection");
    let old = &claim["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"];
    if claim["spec"].get("storageClassName").is_some() || old.is_string() {
        return;
    }
    let classes = shared.store.list("storageclasses.storage.k8s.io", None).1;
    let newest = classes
        .iter()
        .filter(|class| {
            let annotations = &class.value["metadata"]["annotations"];
            annotations[DEFAULT] == "true" || annotations[BETA] == "true"
        })
        .max_by_key(|class| (object::meta(&class.value, "creationTimestamp"), class.revision));
    if let Some(class) = newest {
        claim["spec"]["storageClassName"] = json!(object::name(&class.value));
    }
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
    selectors::check(&spec["selector"], "spec.selector", errors);
    for mode in modes {
        if !MODES.iter().any(|one| mode == one) {
            errors.push(FieldError::unsupported("spec.accessModes", mode, MODES));
        }
    }
    if modes.len() > 1 && modes.iter().any(|mode| mode == "ReadWriteOncePod") {
        let why = "may not use ReadWriteOncePod with other access modes";
        errors.push(FieldError::forbidden("spec.accessModes", why));
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
    let class = object::text(spec, &["storageClassName"]);
    if !class.is_empty() {
        names::check_name(Rule::Subdomain, "spec.storageClassName", class, errors);
    }
    if let Some(mode) = spec["volumeMode"].as_str()
        && !matches!(mode, "Block" | "Filesystem")
    {
        errors.push(FieldError::unsupported(
            "spec.volumeMode",
            &json!(mode),
            &["Block", "Filesystem"],
        ));
    }
    for key in ["dataSource", "dataSourceRef"] {
        check_source(&spec[key], &format!("spec.{key}"), errors);
    }
}

fn check_source(source: &Value, field: &str, errors: &mut Vec<FieldError>) {
    if !source.is_object() {
        return;
    }
    for key in ["name", "kind"] {
        if object::text(source, &[key]).is_empty() {
            errors.push(FieldError::required(format!("{field}.{key}"), ""));
        }
    }
    let kind = object::text(source, &["kind"]);
    if object::text(source, &["apiGroup"]).is_empty() && kind != "PersistentVolumeClaim" {
        let why = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
        errors.push(FieldError::invalid(field, &json!(kind), why));
    }
}

pub(crate) fn check_update(old: &Value, new: &Value, errors: &mut Vec<FieldError>) {
    let bound = object::text(new, &["status", "phase"]) == "Bound";
    let capacity = size(&old["status"]["capacity"]);
    let (old, new) = (&old["spec"], &new["spec"]);
    let mut kept = old.clone();
    let mut changed = new.clone();
    // The volume is given once.
    if object::text(old, &["volumeName"]).is_empty()
        && let Some(volume) = new.get("volumeName")
    {
        kept["volumeName"] = volume.clone();
    }
    if bound {
        if changed["resources"]["requests"].is_object() {
            changed["resources"]["requests"]["storage"] =
                old["resources"]["requests"]["storage"].clone();
        }
        if changed.get("volumeAttributesClassName").is_some()
            && let Some(class) = old.get("volumeAttributesClassName")
        {
            changed["volumeAttributesClassName"] = class.clone();
        }
    }
    if kept != changed {
        let change = internal::difference("PersistentVolumeClaimSpec", &kept, &changed);
        let why = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        errors.push(FieldError::forbidden("spec", &format!("{why}\n{change}")));
    }
    let (before, after) =
        (size(&old["resources"]["requests"]), size(&new["resources"]["requests"]));
    if after < before && after <= capacity.or_else(|| Quantity::parse("0")) {
        errors.push(FieldError::forbidden(
            "spec.resources.requests.storage",
            "field can not be less than status.capacity",
        ));
    }
    if old["volumeMode"] != new["volumeMode"] {
        errors.push(FieldError::invalid("volumeMode", &new["volumeMode"], "field is immutable"));
    }
}

fn size(amounts: &Value) -> Option<Quantity> {
    amounts["storage"].as_str().and_then(Quantity::parse)
}
