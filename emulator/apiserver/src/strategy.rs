//! What is particular to a kind when it is created or updated: what the server sets, fills in,
//! admits and refuses. One file per kind that has much to say.

mod apps;
mod batch;
mod claims;
mod configmaps;
mod containers;
mod diff;
mod events;
mod internal;
mod metadata;
mod namespaces;
mod nodes;
mod pods;
mod podspec;
mod rbac;
mod secrets;
mod selectors;
mod services;
mod webhooks;
mod workloads;

pub(crate) use nodes::NOT_READY;

use serde_json::{Map, Value, json};

use crate::custom;
use crate::failure::{Failure, FieldError};
use crate::object;
use crate::resources::Resource;
use crate::server::Shared;

/// Fills in the defaults: what the real server fills in when it decodes an object.
pub(crate) fn defaults(resource: &Resource, value: &mut Value) {
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Secret") => secrets::defaults(value),
        ("", "Pod") => pods::defaults(value),
        ("", "Namespace") => namespaces::defaults(value),
        ("", "PersistentVolumeClaim") => claims::defaults(value),
        ("", "PersistentVolume") => claims::volume_defaults(value),
        ("", "Service") => services::defaults(value),
        ("", "Node") => nodes::defaults(value),
        ("", "Event") | ("events.k8s.io", _) => {}
        ("batch", "Job") => batch::job_defaults(value),
        ("batch", "CronJob") => batch::cron_defaults(value),
        ("apiextensions.k8s.io", _) => custom::definition_defaults(value),
        ("apps", "ControllerRevision") => {}
        ("apps", _) => apps::defaults(resource, value),
        ("rbac.authorization.k8s.io", _) => rbac::defaults(resource, value),
        ("storage.k8s.io", "StorageClass") => workloads::storage_class_defaults(value),
        ("admissionregistration.k8s.io", _) => workloads::webhook_defaults(resource, value),
        _ => {}
    }
}

/// Sets what only the server sets in a new object.
pub(crate) fn prepare_create(resource: &Resource, value: &mut Value) {
    if resource.has_status() && !resource.is("", "Node") {
        let empty = crate::schema::TYPES.find(&resource.schema).map(|root| {
            let types = &crate::schema::TYPES;
            crate::schema::normalize::zero(types, types.get(root))
        });
        let status = empty.map(|mut zero| zero["status"].take()).unwrap_or_default();
        let map = object::map_mut(value);
        match status {
            Value::Null => map.remove("status"),
            status => map.insert("status".into(), status),
        };
    }
    if has_generation(resource) {
        object::metadata_mut(value).insert("generation".into(), json!(1));
    }
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Pod") => pods::prepare(value),
        ("", "Namespace") => namespaces::prepare(value),
        ("", "PersistentVolumeClaim") => claims::prepare(value),
        ("", "PersistentVolume") => value["status"] = json!({"phase": "Available"}),
        ("", "Service") => value["status"] = json!({"loadBalancer": {}}),
        ("apiextensions.k8s.io", _) => custom::prepare_definition(value),
        ("batch", "Job") => batch::prepare_job(value),
        ("apps", "DaemonSet") => apps::count_templates(resource, None, value),
        ("", "ReplicationController") | ("apps", "ReplicaSet") => {
            value["status"] = json!({"replicas": 0});
        }
        ("coordination.k8s.io", "Lease") => drop_election(&Value::Null, value),
        ("apps", "StatefulSet") => {
            value["status"] = json!({"replicas": 0, "availableReplicas": 0});
        }
        _ => {}
    }
}

/// Keeps the part that the written path does not change, and counts the generation. The defaults
/// must have been filled in.
pub(crate) fn prepare_update(resource: &Resource, subresource: &str, old: &Value, new: &mut Value) {
    match subresource {
        "status" if resource.custom.is_some() => only_status(old, new),
        "status" => status_only(resource, old, new),
        "" if resource.has_status() => {
            let map = object::map_mut(new);
            match old.get("status") {
                Some(status) => map.insert("status".into(), status.clone()),
                None => map.remove("status"),
            };
            if resource.is("", "Namespace") {
                new["spec"] = old["spec"].clone();
            }
            if resource.is("apiextensions.k8s.io", "CustomResourceDefinition") {
                custom::prepare_definition_update(new);
            }
            if resource.is("", "Service") {
                services::keep(old, new);
            }
            if resource.group == "apps" {
                apps::count_templates(resource, Some(old), new);
            }
        }
        _ => {}
    }
    if resource.is("coordination.k8s.io", "Lease") {
        drop_election(old, new);
    }
    if has_generation(resource)
        && !matches!(subresource, "status" | "binding")
        && differs(resource, old, new)
    {
        let generation = old["metadata"]["generation"].as_i64().unwrap_or_default() + 1;
        object::metadata_mut(new).insert("generation".into(), json!(generation));
    }
}

fn differs(resource: &Resource, old: &Value, new: &Value) -> bool {
    if resource.custom.is_some() {
        let rest = |value: &Value| -> Map<String, Value> {
            let fields = value.as_object().into_iter().flatten();
            fields
                .filter(|(name, _)| *name != "metadata")
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect()
        };
        return rest(old) != rest(new);
    }
    if resource.group == "admissionregistration.k8s.io" {
        old["webhooks"] != new["webhooks"]
    } else {
        old["spec"] != new["spec"]
    }
}

/// A write of the status takes over the status and the metadata that may change with it.
fn status_only(resource: &Resource, old: &Value, new: &mut Value) {
    let mut kept = old.clone();
    let map = object::map_mut(&mut kept);
    match new["status"].take() {
        Value::Null => map.remove("status"),
        status => map.insert("status".into(), status),
    };
    let mut fields =
        vec!["managedFields", "labels", "annotations", "finalizers", "ownerReferences"];
    if resource.is_pod() {
        fields.retain(|field| *field != "ownerReferences");
    }
    let metadata = object::metadata_mut(&mut kept);
    for field in fields {
        match new["metadata"][field].take() {
            Value::Null => metadata.remove(field),
            value => metadata.insert(field.to_owned(), value),
        };
    }
    *new = kept;
}

/// Of a custom resource a write of the status changes nothing else, not even the labels.
fn only_status(old: &Value, new: &mut Value) {
    let mut kept = old.clone();
    let map = object::map_mut(&mut kept);
    match new["status"].take() {
        Value::Null => map.remove("status"),
        status => map.insert("status".into(), status),
    };
    let books = new["metadata"]["managedFields"].take();
    if !books.is_null() {
        object::metadata_mut(&mut kept).insert("managedFields".into(), books);
    }
    *new = kept;
}

fn has_generation(resource: &Resource) -> bool {
    resource.custom.is_some()
        || matches!(
            (resource.group.as_str(), resource.kind.as_str()),
            ("", "Pod" | "ReplicationController")
                | (
                    "apps"
                        | "batch"
                        | "networking.k8s.io"
                        | "admissionregistration.k8s.io"
                        | "apiextensions.k8s.io",
                    _
                )
        )
}

/// Fields of an election that the servers coordinate, which a server does not do unasked.
fn drop_election(old: &Value, lease: &mut Value) {
    for field in ["strategy", "preferredHolder"] {
        if old["spec"].get(field).is_none()
            && let Some(Value::Object(spec)) = lease.get_mut("spec")
        {
            spec.remove(field);
        }
    }
}

/// What admission adds or refuses, after the books of the fields were written.
pub(crate) fn admit(
    shared: &Shared,
    resource: &Resource,
    value: &mut Value,
) -> Result<(), Failure> {
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Pod") => pods::admit(shared, resource, value),
        ("", "PersistentVolumeClaim") => {
            claims::admit(shared, value);
            Ok(())
        }
        ("", "PersistentVolume") => {
            claims::protect_volume(value);
            Ok(())
        }
        ("", "Node") => {
            nodes::taint(value);
            Ok(())
        }
        ("", "Service") => services::admit(shared, resource, value),
        _ => Ok(()),
    }
}

/// The faults of a new object.
pub(crate) fn validate_create(resource: &Resource, value: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    metadata::check(resource, value, &mut errors);
    validate(resource, value, &mut errors);
    if let Some(custom) = &resource.custom {
        errors.extend(custom.check(value, None));
        custom.check_rules(value, None, &mut errors);
    }
    errors
}

/// The faults of a new event in the form of `events.k8s.io`, beside those of its older form.
pub(crate) fn validate_new_event(event: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    events::check_new(event, &mut errors);
    errors
}

/// The faults of a change.
pub(crate) fn validate_update(
    resource: &Resource,
    subresource: &str,
    old: &Value,
    new: &Value,
) -> Vec<FieldError> {
    let mut errors = Vec::new();
    // The real server looks at the metadata of an update several times, and says so.
    let (updates, others) = match (resource.group.as_str(), resource.kind.as_str()) {
        (_, "Event") => (1, 1),
        ("admissionregistration.k8s.io", _) => (1, 2),
        ("apiextensions.k8s.io", _) => (2, 1),
        _ if resource.custom.is_some() => (2, 1),
        ("coordination.k8s.io", _) | (_, "CronJob") => (2, 1),
        _ => (2, 2),
    };
    for _ in 0..updates {
        metadata::check_update(resource, old, new, &mut errors);
    }
    for _ in 0..others {
        metadata::common(resource, new, &mut errors);
    }
    if let Some(custom) = &resource.custom {
        errors.extend(custom.check(new, Some(old)));
        custom.check_rules(new, Some(old), &mut errors);
        return errors;
    }
    if subresource == "status" {
        return errors;
    }
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Pod") => {
            validate(resource, new, &mut errors);
            if subresource.is_empty() {
                pods::check_update(old, new, &mut errors);
            }
            return errors;
        }
        ("", "Secret") => secrets::check_update(old, new, &mut errors),
        ("", "ConfigMap") => configmaps::check_update(old, new, &mut errors),
        ("", "PersistentVolumeClaim") => {
            validate(resource, new, &mut errors);
            claims::check_update(old, new, &mut errors);
            return errors;
        }
        ("", "Service") => services::check_update(old, new, &mut errors),
        ("", "Node") => nodes::check_update(old, new, &mut errors),
        ("apps", "ControllerRevision") => {}
        ("apps", _) => apps::check_update(resource, old, new, &mut errors),
        ("apiextensions.k8s.io", _) => {
            custom::check_definition_update(old, new, &mut errors);
            return errors;
        }
        ("batch", "Job") => {
            batch::check_job_update(old, new, &mut errors);
            return errors;
        }
        ("rbac.authorization.k8s.io", _) => rbac::check_update(resource, old, new, &mut errors),
        _ => {}
    }
    validate(resource, new, &mut errors);
    errors
}

fn validate(resource: &Resource, value: &Value, errors: &mut Vec<FieldError>) {
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Pod") => pods::check(value, errors),
        ("", "Secret") => secrets::check(value, errors),
        ("", "ConfigMap") => configmaps::check(value, errors),
        ("", "Service") => services::check(value, errors),
        ("", "PersistentVolumeClaim") => claims::check(value, errors),
        ("", "Node") => nodes::check(value, errors),
        ("", "Event") | ("events.k8s.io", _) => events::check(value, errors),
        ("apiextensions.k8s.io", _) => custom::check_definition(value, errors),
        ("batch", "Job") => batch::check_job(value, errors),
        ("batch", "CronJob") => batch::check_cron(value, errors),
        ("rbac.authorization.k8s.io", _) => rbac::check(resource, value, errors),
        ("coordination.k8s.io", _) => workloads::check_lease(value, errors),
        ("admissionregistration.k8s.io", _) => webhooks::check(resource, value, errors),
        ("apps", "ControllerRevision") => {}
        ("apps", _) => apps::check(resource, value, errors),
        _ => {}
    }
}

/// The faults that follow from another uid than the stored one.
pub(crate) fn identity_faults(resource: &Resource, new: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if resource.is("batch", "Job") {
        batch::generated(new, &mut errors);
    }
    errors
}

/// Whether an object that is marked and has no finalizers can go.
pub(crate) fn nothing_left(resource: &Resource, value: &Value) -> bool {
    if resource.is("", "Namespace") {
        return object::list(value, &["spec", "finalizers"]).is_empty();
    }
    !resource.is_pod()
        || value["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or_default() == 0
}

/// Sets a field that is absent.
fn default(map: &mut Map<String, Value>, key: &str, value: Value) {
    if map.get(key).is_none_or(Value::is_null) {
        map.insert(key.to_owned(), value);
    }
}
