//! What is particular to a kind when it is created or updated: what the server sets, fills in,
//! admits and refuses.

mod secrets;

use serde_json::{Value, json};

use crate::failure::{Failure, FieldError};
use crate::object;
use crate::resources::Resource;
use crate::server::Shared;

/// Fills in the defaults.
pub(crate) fn defaults(resource: &Resource, value: &mut Value) {
    if resource.is("", "Secret") {
        secrets::defaults(value);
    }
}

/// Sets what only the server sets, and fills in the defaults.
pub(crate) fn prepare_create(resource: &Resource, value: &mut Value) {
    defaults(resource, value);
    if resource.has_status() && value.get("status").is_some() {
        value["status"] = json!({});
    }
    if has_generation(resource) {
        object::metadata_mut(value).insert("generation".into(), json!(1));
    }
}

/// Keeps the part that the written path does not change, and counts the generation.
pub(crate) fn prepare_update(resource: &Resource, subresource: &str, old: &Value, new: &mut Value) {
    defaults(resource, new);
    if subresource == "status" {
        let status = new["status"].take();
        let labels = new["metadata"]["labels"].take();
        let annotations = new["metadata"]["annotations"].take();
        let finalizers = new["metadata"]["finalizers"].take();
        let managed = new["metadata"]["managedFields"].take();
        let mut kept = old.clone();
        kept["status"] = status;
        let metadata = object::metadata_mut(&mut kept);
        for (key, value) in [
            ("labels", labels),
            ("annotations", annotations),
            ("finalizers", finalizers),
            ("managedFields", managed),
        ] {
            match value {
                Value::Null => metadata.remove(key),
                value => metadata.insert(key.to_owned(), value),
            };
        }
        *new = kept;
    } else if resource.has_status()
        && let Value::Object(map) = new
    {
        match old.get("status") {
            Some(status) => map.insert("status".into(), status.clone()),
            None => map.remove("status"),
        };
    }
    if has_generation(resource) && old["spec"] != new["spec"] {
        let generation = old["metadata"]["generation"].as_i64().unwrap_or_default() + 1;
        object::metadata_mut(new).insert("generation".into(), json!(generation));
    }
}

fn has_generation(resource: &Resource) -> bool {
    matches!(
        (resource.group.as_str(), resource.kind.as_str()),
        ("", "Pod" | "ReplicationController")
            | ("apps" | "batch" | "networking.k8s.io" | "admissionregistration.k8s.io", _)
    )
}

/// What admission adds or refuses.
pub(crate) fn admit(_: &Shared, _: &Resource, _: &mut Value) -> Result<(), Failure> {
    Ok(())
}

/// The faults of a new object.
pub(crate) fn validate_create(_: &Resource, _: &Value) -> Vec<FieldError> {
    Vec::new()
}

/// The faults of a change.
pub(crate) fn validate_update(_: &Resource, _: &str, _: &Value, _: &Value) -> Vec<FieldError> {
    Vec::new()
}

/// Whether an object that is marked and has no finalizers can go.
pub(crate) fn nothing_left(resource: &Resource, value: &Value) -> bool {
    !resource.is_pod()
        || value["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or_default() == 0
}
