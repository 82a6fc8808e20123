//! `POST` to a collection.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::dry_run;
use crate::api::{Call, Target, View, decode, json as answer, warn};
use crate::controllers;
use crate::custom;
use crate::events;
use crate::failure::Failure;
use crate::managed::{self, Writer};
use crate::object;
use crate::resources::Resource;
use crate::server::Shared;
use crate::store::{CreateError, Key, Object};
use crate::strategy;

pub(crate) fn create(shared: &Shared, target: &Target, call: &Call) -> Result<Response, Failure> {
    let view = View::of(call, &target.resource, false)?;
    let dry_run = dry_run(call, "CreateOptions")?;
    let resource = &target.resource;
    let (value, mut warnings) = decode(call, resource)?;
    warnings.extend(custom::finalizer_warnings(resource, &value));
    let manager = call.manager();
    let writer = Writer { manager: manager.into(), subresource: "" };
    let namespace = target.namespace.as_deref().unwrap_or_default();
    let kept = events::kept_as(shared, resource);
    let value = events::to_kept(resource, value);
    // A refused object keeps its warnings.
    let response = match add(shared, &kept, namespace, value, &writer, dry_run) {
        Ok(object) => answer(201, view.object(resource, &object)),
        Err(failure) => failure.into_response(),
    };
    Ok(warn(response, &warnings))
}

/// Creates an object that was decoded.
pub(crate) fn add(
    shared: &Shared,
    resource: &Resource,
    namespace: &str,
    value: Value,
    writer: &Writer,
    dry_run: bool,
) -> Result<Arc<Object>, Failure> {
    add_with(shared, resource, namespace, value, None, writer, dry_run)
}

/// Creates an object; `books` are its managed fields where they are kept already (an apply).
pub(crate) fn add_with(
    shared: &Shared,
    resource: &Resource,
    namespace: &str,
    mut value: Value,
    books: Option<Value>,
    writer: &Writer,
    dry_run: bool,
) -> Result<Arc<Object>, Failure> {
    place(resource, namespace, &mut value)?;
    if !object::meta(&value, "resourceVersion").is_empty() {
        return Err(Failure::internal(
            "resourceVersion should not be set on objects to be created",
        ));
    }
    let prefix = object::meta(&value, "generateName");
    if object::name(&value).is_empty() && !prefix.is_empty() {
        // Names end within the limit of a label.
        let prefix: String = prefix.chars().take(58).collect();
        let name = format!("{prefix}{}", object::suffix());
        object::metadata_mut(&mut value).insert("name".into(), json!(name));
    }
    let metadata = object::metadata_mut(&mut value);
    for field in [
        "managedFields",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
        "generation",
    ] {
        metadata.remove(field);
    }
    metadata.insert("uid".into(), json!(uuid::Uuid::new_v4().to_string()));
    metadata.insert("creationTimestamp".into(), json!(object::now()));

    strategy::defaults(resource, &mut value);
    match books {
        Some(books) => {
            object::metadata_mut(&mut value).insert("managedFields".into(), books);
        }
        None => managed::update(resource, None, &mut value, writer),
    }
    strategy::prepare_create(resource, &mut value);
    strategy::admit(shared, resource, &mut value)?;
    if let Some(failure) = custom::wrong_kind(resource, &value) {
        return Err(failure);
    }
    let errors = strategy::validate_create(resource, &value);
    if !errors.is_empty() {
        return Err(Failure::invalid(resource, object::name(&value), &errors));
    }
    store(shared, resource, value, dry_run)
}

fn store(
    shared: &Shared,
    resource: &Resource,
    value: Value,
    dry_run: bool,
) -> Result<Arc<Object>, Failure> {
    let mut value = value;
    if let Some(custom) = resource.custom.as_ref().filter(|_| !dry_run) {
        custom.to_kept(&mut value);
    }
    let key = Key::of(&value);
    let name = key.name.clone();
    let namespace = key.namespace.clone();
    if dry_run {
        if let Some(existing) = shared.store.get(&resource.storage, &key) {
            return Err(exists(resource, &existing));
        }
        return Ok(Arc::new(Object::new(value, 0)));
    }
    let created = shared.store.create(&resource.storage, key, value, resource.namespaced);
    if created.is_ok() && resource.is("", "Namespace") {
        controllers::furnish(shared, &name);
    }
    created.map_err(|error| {
        match error {
            CreateError::Exists(existing) => exists(resource, &existing),
            CreateError::Unwritable => Failure::unwritable(),
            CreateError::NoNamespace => {
                Failure::not_found(&shared.catalogue().storage("namespaces"), &namespace)
            }
            CreateError::Terminating => {
                let mut failure = Failure::forbidden(
                    resource,
                    &name,
                    &format!(
                        "unable to create new content in namespace {namespace} because it is being terminated"
                    ),
                );
                if let Some(details) = &mut failure.details {
                    details["causes"] = json!([{
                        "reason": "NamespaceTerminating",
                        "message": format!("namespace {namespace} is being terminated"),
                        "field": "metadata.namespace",
                    }]);
                }
                failure
            }
        }
    })
}

fn exists(resource: &Resource, existing: &Object) -> Failure {
    let name = object::name(&existing.value);
    let mut failure = Failure::already_exists(resource, name);
    if object::is_deleting(&existing.value) {
        failure.message = format!("object is being deleted: {}", failure.message);
    }
    failure
}

/// Fills in the namespace of the path.
///
/// # Errors
/// 400 when the object names another one.
pub(crate) fn place(
    resource: &Resource,
    namespace: &str,
    value: &mut Value,
) -> Result<(), Failure> {
    let metadata = object::metadata_mut(value);
    if !resource.namespaced {
        metadata.remove("namespace");
        return Ok(());
    }
    let own = metadata.get("namespace").and_then(Value::as_str).unwrap_or_default();
    if !own.is_empty() && own != namespace {
        return Err(Failure::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    metadata.insert("namespace".into(), json!(namespace));
    Ok(())
}

/// Creates an object for the server itself; one that exists already is left alone.
pub(crate) fn internal(shared: &Shared, storage: &str, value: Value) {
    let resource = shared.catalogue().storage(storage);
    let namespace = object::namespace(&value).to_owned();
    let writer = Writer { manager: "kube-controller-manager".into(), subresource: "" };
    if let Err(failure) = add(shared, &resource, &namespace, value, &writer, false)
        && failure.reason != "AlreadyExists"
    {
        tracing::debug!(
            resource = storage,
            reason = failure.message,
            "an object could not be made"
        );
    }
}
