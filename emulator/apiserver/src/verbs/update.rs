//! `PUT` of an object, and the write that all changes of an object share.

use std::sync::Arc;

use axum::response::Response;
use serde_json::{Value, json};

use super::{create, dry_run};
use crate::admission::{Gate, Operation};
use crate::api::{View, decode, json as answer, warn};
use crate::custom;
use crate::events;
use crate::failure::{Failure, FieldError};
use crate::managed::{self, Writer};
use crate::object;
use crate::resources::Resource;
use crate::server::Shared;
use crate::store::{Key, Object, WriteError};
use crate::strategy;

pub(crate) async fn replace(gate: &Gate<'_>) -> Result<Response, Failure> {
    let Gate { shared, target, call, .. } = gate;
    let view = View::of(call, &target.resource, false)?;
    let dry_run = dry_run(call, "UpdateOptions")?;
    let (value, warnings) = decode(call, &target.resource)?;
    let mut value = events::to_kept(&target.resource, value);
    let resource = &events::kept_as(shared, &target.resource);
    let key = target.key();
    create::place(resource, &key.namespace, &mut value)?;
    let name = object::name(&value);
    if name.is_empty() {
        return Err(super::patch::nameless(&key.name));
    } else if name != key.name {
        return Err(Failure::bad_request(
            "the name of the object (".to_owned()
                + name
                + ") does not match the name on the URL ("
                + &key.name
                + ")",
        ));
    }
    let manager = call.manager();
    let writer = Writer { manager: manager.into(), subresource: &target.subresource };
    let sent = object::meta(&value, "resourceVersion").to_owned();
    let uid = object::uid(&value).to_owned();
    if !sent.is_empty() && sent.parse::<u64>().is_err() {
        return Err(Failure::internal(format!(
            "strconv.ParseUint: parsing {sent:?}: invalid syntax"
        )));
    }
    let conditional = resource.custom.is_some()
        || matches!(
            resource.group.as_str(),
            "coordination.k8s.io" | "admissionregistration.k8s.io" | "apiextensions.k8s.io"
        );
    if sent.is_empty() && conditional && shared.store.get(&resource.storage, &key).is_some() {
        let error = FieldError::invalid(
            "metadata.resourceVersion",
            &json!(0),
            "must be specified for an update",
        );
        let mut failure =
            Failure::invalid_kind(&resource.group, &resource.plural, &key.name, &[error]);
        if let Some(details) = &mut failure.details {
            details["kind"] = json!(resource.plural);
        }
        return Err(failure);
    }
    if shared.store.get(&resource.storage, &key).is_none()
        && target.subresource.is_empty()
        && matches!(
            resource.kind.as_str(),
            "Event" | "Lease" | "Role" | "RoleBinding" | "ClusterRole" | "ClusterRoleBinding"
        )
    {
        return upsert(gate, value, &writer, view, dry_run, &warnings).await;
    }
    let mut about = Vec::new();
    let object = modify_asked(gate, resource, &writer, dry_run, |old| {
        about = custom::finalizer_warnings(resource, Some(old), &value);
        if !sent.is_empty() && sent != object::meta(old, "resourceVersion") {
            return Err(Failure::modified(resource, &key.name));
        }
        if !uid.is_empty() && uid != object::uid(old) {
            return Err(other_uid(resource, &key, &uid, object::uid(old)));
        }
        Ok(Change::Update(value.clone()))
    })
    .await?;
    let response = answer(200, view.object(&target.resource, &object));
    Ok(warn(response, &[warnings, about].concat()))
}

/// A uid that is not the one of the object, in the words of the real server's store.
fn other_uid(resource: &Resource, key: &Key, sent: &str, found: &str) -> Failure {
    let place = if resource.namespaced {
        format!("{}/{}/{}", resource.plural, key.namespace, key.name)
    } else {
        format!("{}/{}", resource.plural, key.name)
    };
    // Definitions and custom resources are kept by group.
    let place = match &resource.custom {
        None if resource.group != custom::GROUP => place,
        _ => format!("{}/{place}", resource.group),
    };
    let why = format!(
        "StorageError: invalid object, Code: 4, Key: /registry/{place}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {sent}, UID in object meta: {found}"
    );
    Failure::conflict(resource, &key.name, &why)
}

/// Some kinds are created by a `PUT` of what is not there.
async fn upsert(
    gate: &Gate<'_>,
    mut value: Value,
    writer: &Writer<'_>,
    view: View,
    dry_run: bool,
    warnings: &[String],
) -> Result<Response, Failure> {
    let Gate { shared, target, .. } = gate;
    gate.may_create()?;
    let resource = &events::kept_as(shared, &target.resource);
    let key = target.key();
    let uid = object::uid(&value);
    if !uid.is_empty() {
        return Err(other_uid(resource, &key, uid, ""));
    }
    object::metadata_mut(&mut value).remove("resourceVersion");
    let object = create::add(gate, resource, &key.namespace, value, None, writer, dry_run).await?;
    Ok(warn(answer(201, view.object(&target.resource, &object)), warnings))
}

/// What a writer wants the object to become.
pub(crate) enum Change {
    /// The whole object; the managed fields follow from the difference.
    Update(Value),
    /// The whole object with its managed fields kept already.
    Applied(Value),
}

/// Changes an object without asking webhooks: for the server's own controllers.
///
/// Reads an object, lets `change` say what it becomes, and writes it; again when another writer
/// came first. An object that is marked and has nothing left to wait for is removed.
pub(crate) fn modify(
    shared: &Shared,
    resource: &Resource,
    key: &Key,
    writer: &Writer,
    dry_run: bool,
    mut change: impl FnMut(&Value) -> Result<Change, Failure>,
) -> Result<Arc<Object>, Failure> {
    loop {
        let (old, new) = draft(shared, resource, key, writer, &mut change)?;
        check(resource, writer, &old, &new)?;
        if let Some(object) = write(shared, resource, key, old, new, dry_run)? {
            return Ok(object);
        }
    }
}

/// Changes the object that a request is about, as [`modify`]; the webhooks are asked each time
/// that it is tried.
pub(crate) async fn modify_asked(
    gate: &Gate<'_>,
    resource: &Resource,
    writer: &Writer<'_>,
    dry_run: bool,
    mut change: impl FnMut(&Value) -> Result<Change, Failure>,
) -> Result<Arc<Object>, Failure> {
    let shared = gate.shared;
    let key = &gate.target.key();
    loop {
        let (old, mut new) = draft(shared, resource, key, writer, &mut change)?;
        if gate.is_open() {
            gate.confirm(resource, Some(&old.value), &new)?;
            check(resource, writer, &old, &new)?;
        } else {
            let step = gate.step(Operation::Update, Some(&old.value), dry_run);
            let again = |new: &mut Value| {
                immutable(resource, &old.value, new, &key.name)?;
                strategy::defaults(resource, new);
                strategy::prepare_update(resource, writer.subresource, &old.value, new);
                Ok(())
            };
            new = gate.mutate(&step, resource, new, &again).await?;
            gate.confirm(resource, Some(&old.value), &new)?;
            check(resource, writer, &old, &new)?;
            gate.validate(&step, Some(resource), Some(&new)).await?;
        }
        if let Some(object) = write(shared, resource, key, old, new, dry_run)? {
            custom::written(shared, resource, key);
            return Ok(object);
        }
    }
}

/// An object, and what a writer makes of it.
fn draft(
    shared: &Shared,
    resource: &Resource,
    key: &Key,
    writer: &Writer,
    change: &mut impl FnMut(&Value) -> Result<Change, Failure>,
) -> Result<(Arc<Object>, Value), Failure> {
    let old = shared
        .store
        .get(&resource.storage, key)
        .ok_or_else(|| Failure::not_found(resource, &key.name))?;
    let old = custom::as_shown(resource, old);
    let (mut new, applied) = match change(&old.value)? {
        Change::Update(new) => (new, false),
        Change::Applied(new) => (new, true),
    };
    immutable(resource, &old.value, &mut new, &key.name)?;
    if let Some(failure) = custom::wrong_kind(resource, &new) {
        return Err(failure);
    }
    strategy::defaults(resource, &mut new);
    if !applied {
        managed::update(resource, Some(&old.value), &mut new, writer);
    }
    strategy::prepare_update(resource, writer.subresource, &old.value, &mut new);
    Ok((old, new))
}

fn check(resource: &Resource, writer: &Writer, old: &Object, new: &Value) -> Result<(), Failure> {
    if object::is_deeper(new, object::DEPTH) {
        return Err(Failure::bad_request("the object is nested too deeply"));
    }
    let errors = strategy::validate_update(resource, writer.subresource, &old.value, new);
    if errors.is_empty() {
        return Ok(());
    }
    Err(Failure::invalid(resource, object::name(&old.value), &errors))
}

/// Writes what an object becomes; nothing when another writer came first.
fn write(
    shared: &Shared,
    resource: &Resource,
    key: &Key,
    old: Arc<Object>,
    mut new: Value,
    dry_run: bool,
) -> Result<Option<Arc<Object>>, Failure> {
    if new == old.value {
        return Ok(Some(old));
    }
    if dry_run {
        return Ok(Some(Arc::new(Object::new(new, old.revision))));
    }
    if let Some(custom) = &resource.custom {
        custom.to_kept(&mut new);
    }
    let done = object::is_deleting(&new)
        && object::finalizers(&new).next().is_none()
        && strategy::nothing_left(resource, &new);
    let written = if done {
        shared.store.remove(&resource.storage, key, old.revision, new)
    } else {
        shared.store.replace(&resource.storage, key, old.revision, new)
    };
    match written {
        Ok(object) => Ok(Some(object)),
        Err(WriteError::Stale) => Ok(None),
        Err(WriteError::Unwritable) => Err(Failure::unwritable()),
    }
}

/// What no writer may change is taken from the stored object; a different uid is an error.
fn immutable(resource: &Resource, old: &Value, new: &mut Value, name: &str) -> Result<(), Failure> {
    let uid = object::uid(new).to_owned();
    if !uid.is_empty() && uid != object::uid(old) {
        let error = FieldError::invalid("metadata.uid", &json!(uid), "field is immutable");
        // The real server says it twice, but of these.
        let once = resource.kind == "Event" || resource.group == "admissionregistration.k8s.io";
        let mut errors = vec![error.clone()];
        if !once {
            errors.extend(strategy::identity_faults(resource, new));
            errors.push(error);
        }
        return Err(Failure::invalid(resource, name, &errors));
    }
    let metadata = object::metadata_mut(new);
    for field in [
        "uid",
        "name",
        "namespace",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "resourceVersion",
        "generateName",
    ] {
        match &old["metadata"][field] {
            Value::Null => metadata.remove(field),
            value => metadata.insert(field.to_owned(), value.clone()),
        };
    }
    Ok(())
}
