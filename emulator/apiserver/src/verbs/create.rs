//! `POST` to a collection.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::dry_run;
use crate::admission::{self, Gate, Operation, Step};
use crate::api::{View, decode, json as answer, warn};
use crate::controllers;
use crate::custom;
use crate::events;
use crate::failure::Failure;
use crate::managed::{self, Writer};
use crate::object;
use crate::resources::Resource;
use crate::server::Shared;
use crate::store::{CreateError, Key, NAMESPACES, Object};
use crate::strategy;

pub(crate) async fn create(gate: &Gate<'_>) -> Result<Response, Failure> {
    let Gate { shared, target, call, .. } = gate;
    let view = View::of(call, &target.resource, false)?;
    let dry_run = dry_run(call, "CreateOptions")?;
    let resource = &target.resource;
    let (value, mut warnings) = decode(call, resource)?;
    warnings.extend(custom::finalizer_warnings(resource, None, &value));
    let manager = call.manager();
    let writer = Writer { manager: manager.into(), subresource: "" };
    let namespace = target.namespace.as_deref().unwrap_or_default();
    let kept = events::kept_as(shared, resource);
    let value = events::to_kept(resource, value);
    // A refused object keeps its warnings.
    let response = match add(gate, &kept, namespace, value, None, &writer, dry_run).await {
        Ok(object) => answer(201, view.object(resource, &object)),
        Err(failure) => failure.into_response(),
    };
    Ok(warn(response, &warnings))
}

/// Creates an object that was decoded; `books` are its managed fields where they are kept already
/// (an apply).
pub(crate) async fn add(
    gate: &Gate<'_>,
    resource: &Resource,
    namespace: &str,
    value: Value,
    books: Option<Value>,
    writer: &Writer<'_>,
    dry_run: bool,
) -> Result<Arc<Object>, Failure> {
    let shared = gate.shared;
    let mut value = begin(shared, resource, namespace, value, books, writer)?;
    if gate.is_open() {
        gate.confirm(resource, None, &value)?;
        return store(shared, resource, complete(&gate.target.resource, resource, value)?, dry_run);
    }
    let mut step = Step {
        operation: Operation::Create,
        name: object::name(&value).to_owned(),
        namespace: object::namespace(&value).to_owned(),
        old: None,
        dry_run,
    };
    let again = |value: &mut Value| {
        place(resource, namespace, value)?;
        strategy::admit(shared, resource, value)
    };
    value = gate.mutate(&step, resource, value, &again).await?;
    gate.confirm(resource, None, &value)?;
    let value = complete(&gate.target.resource, resource, value)?;
    step.name = object::name(&value).to_owned();
    gate.validate(&step, Some(resource), Some(&value)).await?;
    store(shared, resource, value, dry_run)
}

/// What happens to a new object before others may change it.
fn begin(
    shared: &Shared,
    resource: &Resource,
    namespace: &str,
    mut value: Value,
    books: Option<Value>,
    writer: &Writer,
) -> Result<Value, Failure> {
    place(resource, namespace, &mut value)?;
    if resource.namespaced {
        lives(shared, resource, namespace, &value)?;
    }
    let metadata = object::metadata_mut(&mut value);
    for field in [
        "managedFields",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
        "generation",
        "uid",
        "creationTimestamp",
    ] {
        metadata.remove(field);
    }
    strategy::defaults(resource, &mut value);
    match books {
        Some(books) => {
            object::metadata_mut(&mut value).insert("managedFields".into(), books);
        }
        None => managed::update(resource, None, &mut value, writer),
    }
    strategy::admit(shared, resource, &mut value)?;
    Ok(value)
}

/// Gives a new object what only the server gives, and checks it. `asked` is the resource of the
/// request, which keeps its objects as another one where there are two forms of them.
fn complete(asked: &Resource, resource: &Resource, mut value: Value) -> Result<Value, Failure> {
    let prefix = object::meta(&value, "generateName");
    if object::name(&value).is_empty() && !prefix.is_empty() {
        // Names end within the limit of a label.
        let prefix: String = prefix.chars().take(58).collect();
        let name = format!("{prefix}{}", object::suffix());
        object::metadata_mut(&mut value).insert("name".into(), json!(name));
    }
    let metadata = object::metadata_mut(&mut value);
    metadata.insert("uid".into(), json!(uuid::Uuid::new_v4().to_string()));
    metadata.insert("creationTimestamp".into(), json!(object::now()));
    strategy::prepare_create(resource, &mut value);
    if object::is_deeper(&value, object::DEPTH) {
        return Err(Failure::bad_request("the object is nested too deeply"));
    }
    if let Some(failure) = custom::wrong_kind(resource, &value) {
        return Err(failure);
    }
    let mut errors = strategy::validate_create(resource, &value);
    if events::is_new(asked) {
        errors.extend(strategy::validate_new_event(&value));
    }
    if !errors.is_empty() {
        return Err(Failure::invalid(resource, object::name(&value), &errors));
    }
    Ok(value)
}

/// Whether the namespace of a new object is there, and not ending.
fn lives(
    shared: &Shared,
    resource: &Resource,
    namespace: &str,
    value: &Value,
) -> Result<(), Failure> {
    match shared.store.get(NAMESPACES, &Key::new("", namespace)) {
        None => Err(Failure::not_found(&shared.catalogue().storage(NAMESPACES), namespace)),
        Some(found) if object::is_deleting(&found.value) => {
            Err(terminating(resource, &admission::named(value), namespace))
        }
        Some(_) => Ok(()),
    }
}

fn terminating(resource: &Resource, name: &str, namespace: &str) -> Failure {
    let why = format!(
        "unable to create new content in namespace {namespace} because it is being terminated"
    );
    let mut failure = Failure::forbidden(resource, name, &why);
    if let Some(details) = &mut failure.details {
        details["causes"] = json!([{
            "reason": "NamespaceTerminating",
            "message": format!("namespace {namespace} is being terminated"),
            "field": "metadata.namespace",
        }]);
    }
    failure
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
    if !object::meta(&value, "resourceVersion").is_empty() {
        return Err(Failure::internal(
            "resourceVersion should not be set on objects to be created",
        ));
    }
    let created = shared.store.create(&resource.storage, key.clone(), value, resource.namespaced);
    if created.is_ok() {
        custom::written(shared, resource, &key);
    }
    if created.is_ok() && resource.is("", "Namespace") {
        controllers::furnish(shared, &name);
    }
    created.map_err(|error| match error {
        CreateError::Exists(existing) => exists(resource, &existing),
        CreateError::Unwritable => Failure::unwritable(),
        CreateError::NoNamespace => {
            Failure::not_found(&shared.catalogue().storage("namespaces"), &namespace)
        }
        CreateError::Terminating => terminating(resource, &name, &namespace),
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

/// Creates an object without asking webhooks: for the server's own controllers.
pub(crate) fn add_unasked(
    shared: &Shared,
    resource: &Resource,
    namespace: &str,
    value: Value,
    writer: &Writer,
) -> Result<Arc<Object>, Failure> {
    let value = begin(shared, resource, namespace, value, None, writer)?;
    store(shared, resource, complete(resource, resource, value)?, false)
}

/// Creates an object for the server itself; one that exists already is left alone.
pub(crate) fn internal(shared: &Shared, storage: &str, value: Value) {
    let resource = shared.catalogue().storage(storage);
    let namespace = object::namespace(&value).to_owned();
    let writer = Writer { manager: "kube-controller-manager".into(), subresource: "" };
    if let Err(failure) = add_unasked(shared, &resource, &namespace, value, &writer)
        && failure.reason != "AlreadyExists"
    {
        tracing::debug!(
            resource = storage,
            reason = failure.message,
            "an object could not be made"
        );
    }
}
