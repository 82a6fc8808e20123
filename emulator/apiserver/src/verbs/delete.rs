//! `DELETE` of an object or a collection.

mod options;

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

pub(crate) use self::options::{Options, Policy};
use super::list::Selection;
use crate::admission::{self, Gate, Operation};
use crate::api::{View, json as answer, plain, warn};
use crate::custom;
use crate::failure::Failure;
use crate::object;
use crate::resources::Resource;
use crate::server::Shared;
use crate::store::{Key, Object, Store, WriteError};

/// Keeps an object until its dependents are gone.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";
/// Keeps an object until its dependents have forgotten it.
pub(crate) const ORPHAN: &str = "orphan";

const PRESERVED: &str = "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning";

/// What became of the object.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is kept until somebody lets go.
    Marked(Arc<Object>),
    Gone(Arc<Object>),
}

pub(crate) async fn delete(gate: &Gate<'_>) -> Result<Response, Failure> {
    let Gate { target, call, .. } = gate;
    let view = View::of(call, &target.resource, false)?;
    let mut options = Options::of(call)?;
    let resource = &target.resource;
    let key = target.key();
    let mut warnings = Vec::new();
    if resource.is("batch", "Job") && options.policy.is_none() {
        options.policy = Some(Policy::Orphan);
        warnings.push(PRESERVED.to_owned());
    }
    let response = match remove_asked(gate, &key, &options).await {
        Ok(Outcome::Marked(object)) => answer(200, view.object(resource, &object)),
        Ok(Outcome::Gone(object)) if answers_object(resource) => {
            answer(200, view.object(resource, &object))
        }
        Ok(Outcome::Gone(object)) => plain(200, &success(resource, &object)),
        Err(failure) => failure.into_response(),
    };
    Ok(warn(response, &warnings))
}

fn success(resource: &Resource, object: &Object) -> Value {
    let mut details = json!({
        "name": object::name(&object.value),
        "kind": resource.plural,
        "uid": object::uid(&object.value),
    });
    if !resource.group.is_empty() {
        details["group"] = json!(resource.group);
    }
    json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details,
    })
}

fn answers_object(resource: &Resource) -> bool {
    matches!(
        (resource.group.as_str(), resource.kind.as_str()),
        (
            "",
            "Pod"
                | "Namespace"
                | "ServiceAccount"
                | "PersistentVolumeClaim"
                | "PersistentVolume"
                | "Service"
                | "ResourceQuota"
        ) | ("apiextensions.k8s.io", _)
    )
}

pub(crate) async fn delete_collection(gate: &Gate<'_>) -> Result<Response, Failure> {
    let Gate { shared, target, call, .. } = gate;
    let view = View::of(call, &target.resource, true)?;
    let resource = &target.resource;
    if resource.is("", "Namespace") || (resource.namespaced && target.namespace.is_none()) {
        return Err(Failure::method_not_allowed());
    }
    let mut options = Options::of(call)?;
    let mut warnings = Vec::new();
    if resource.is("batch", "Job") && options.policy.is_none() {
        options.policy = Some(Policy::Orphan);
        warnings.push(PRESERVED.to_owned());
    }
    let selection = Selection::of(resource, call)?;
    let (revision, objects) = shared.store.list(&resource.storage, target.namespace.as_deref());
    let mut deleted = Vec::new();
    for object in objects.iter().filter(|one| selection.matches(resource, &one.value)) {
        match remove_asked(gate, &Key::of(&object.value), &options).await {
            Ok(_) => deleted.push(object),
            Err(failure) if failure.code == 404 => {}
            Err(failure) => return Err(failure),
        }
    }
    let metadata = json!({"resourceVersion": revision.to_string()});
    let body = view.list(resource, &metadata, deleted.into_iter().map(AsRef::as_ref));
    Ok(warn(answer(200, body), &warnings))
}

/// Deletes an object without asking webhooks: for the server's own controllers. It is marked where
/// somebody must let go of it first.
pub(crate) fn remove(
    shared: &Shared,
    resource: &Resource,
    key: &Key,
    options: &Options,
) -> Result<Outcome, Failure> {
    loop {
        let (old, step) = begin(shared, resource, key, options)?;
        if let Some(outcome) = end(shared, resource, key, old, step, options.dry_run)? {
            return Ok(outcome);
        }
    }
}

/// Deletes an object as [`remove`]; the webhooks are asked each time that it is tried.
async fn remove_asked(gate: &Gate<'_>, key: &Key, options: &Options) -> Result<Outcome, Failure> {
    let Gate { shared, target, .. } = gate;
    let resource = &target.resource;
    loop {
        let (old, step) = begin(shared, resource, key, options)?;
        if !gate.is_open() && !matches!(step, Step::Keep) {
            let told = admission::Step {
                operation: Operation::Delete,
                name: key.name.clone(),
                namespace: key.namespace.clone(),
                old: Some(&old.value),
                dry_run: options.dry_run,
            };
            gate.delete(&told, resource).await?;
        }
        if let Some(outcome) = end(shared, resource, key, old, step, options.dry_run)? {
            return Ok(outcome);
        }
    }
}

/// An object, and what its deletion means.
fn begin(
    shared: &Shared,
    resource: &Resource,
    key: &Key,
    options: &Options,
) -> Result<(Arc<Object>, Step), Failure> {
    if resource.is("", "Namespace") && PERMANENT.contains(&key.name.as_str()) {
        return Err(Failure::forbidden(resource, &key.name, "this namespace may not be deleted"));
    }
    let old = shared
        .store
        .get(&resource.storage, key)
        .ok_or_else(|| Failure::not_found(resource, &key.name))?;
    preconditions(resource, &old, options)?;
    let step = next_step(resource, &old.value, options);
    Ok((old, step))
}

/// Carries out a deletion; nothing when another writer came first.
fn end(
    shared: &Shared,
    resource: &Resource,
    key: &Key,
    old: Arc<Object>,
    step: Step,
    dry_run: bool,
) -> Result<Option<Outcome>, Failure> {
    if dry_run {
        return Ok(Some(match step {
            Step::Keep => Outcome::Marked(old),
            Step::Mark(value) => Outcome::Marked(Arc::new(Object::new(value, old.revision))),
            Step::MarkAndRemove(value) | Step::Remove(value) => {
                Outcome::Gone(Arc::new(Object::new(value, old.revision)))
            }
        }));
    }
    let store = &shared.store;
    let done = match step {
        Step::Keep => return Ok(Some(Outcome::Marked(old))),
        Step::Mark(value) => {
            store.replace(&resource.storage, key, old.revision, value).map(Outcome::Marked)
        }
        Step::Remove(value) => {
            store.remove(&resource.storage, key, old.revision, value).map(Outcome::Gone)
        }
        Step::MarkAndRemove(value) => store
            .replace(&resource.storage, key, old.revision, value)
            .and_then(|marked| remove_marked(store, resource, key, marked)),
    };
    match done {
        Ok(outcome) => Ok(Some(outcome)),
        Err(WriteError::Stale) => Ok(None),
        Err(WriteError::Unwritable) => Err(Failure::unwritable()),
    }
}

/// Removes what this request has marked. Others may be quicker: a kubelet removes a marked pod.
fn remove_marked(
    store: &Store,
    resource: &Resource,
    key: &Key,
    mut marked: Arc<Object>,
) -> Result<Outcome, WriteError> {
    loop {
        match store.remove(&resource.storage, key, marked.revision, marked.value.clone()) {
            Err(WriteError::Stale) => {}
            done => return done.map(Outcome::Gone),
        }
        let uid = object::uid(&marked.value);
        match store.get(&resource.storage, key).filter(|now| object::uid(&now.value) == uid) {
            None => return Ok(Outcome::Gone(marked)),
            Some(now) if object::finalizers(&now.value).next().is_some() => {
                return Ok(Outcome::Marked(now));
            }
            Some(now) => marked = now,
        }
    }
}

const PERMANENT: &[&str] = &["default", "kube-public", "kube-system"];

fn preconditions(resource: &Resource, old: &Object, options: &Options) -> Result<(), Failure> {
    let uid = object::uid(&old.value);
    let version = old.revision.to_string();
    let why = if let Some(wanted) = options.uid.as_deref().filter(|wanted| *wanted != uid) {
        format!(
            "the UID in the precondition ({wanted}) does not match the UID in record ({uid}). The object might have been deleted and then recreated"
        )
    } else if let Some(wanted) = options.version.as_deref().filter(|wanted| *wanted != version) {
        format!(
            "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record ({version}). The object might have been modified"
        )
    } else {
        return Ok(());
    };
    let name = object::name(&old.value);
    let kind = if resource.group.is_empty() {
        resource.kind.clone()
    } else {
        format!("{}.{}", resource.kind, resource.group)
    };
    let mut failure = Failure::new(
        409,
        "Conflict",
        format!("Operation cannot be fulfilled on {kind} {name:?}: {why}"),
    )
    .about(resource, name);
    if let Some(details) = &mut failure.details {
        details["kind"] = json!(resource.kind);
    }
    Err(failure)
}

/// What a deletion does to an object.
enum Step {
    /// It is marked already, and this request changes nothing.
    Keep,
    Mark(Value),
    /// Two versions: watchers see the mark before the object goes.
    MarkAndRemove(Value),
    Remove(Value),
}

fn next_step(resource: &Resource, old: &Value, options: &Options) -> Step {
    let mut new = old.clone();
    if custom::marked_for_deletion(resource, &mut new) {
        return Step::Mark(new);
    }
    let changed = set_policy(&mut new, options.policy);
    let held = object::finalizers(&new).next().is_some();
    if resource.is("", "Namespace") {
        return namespace_step(new, old);
    }
    if resource.is_pod() {
        return pod_step(new, old, options, changed, held);
    }
    if !held {
        return Step::Remove(new);
    }
    if object::is_deleting(old) {
        return if changed { Step::Mark(new) } else { Step::Keep };
    }
    mark(&mut new, 0);
    Step::Mark(new)
}

fn namespace_step(mut namespace: Value, old: &Value) -> Step {
    if object::is_deleting(old) {
        return Step::Keep;
    }
    object::metadata_mut(&mut namespace).insert("deletionTimestamp".into(), json!(object::now()));
    namespace["status"]["phase"] = json!("Terminating");
    Step::Mark(namespace)
}

fn pod_step(mut pod: Value, old: &Value, options: &Options, changed: bool, held: bool) -> Step {
    let phase = object::text(old, &["status", "phase"]);
    let runs = !object::text(old, &["spec", "nodeName"]).is_empty()
        && !matches!(phase, "Succeeded" | "Failed");
    let grace = match options.grace {
        _ if !runs => 0,
        Some(grace) if grace < 0 => 1,
        Some(grace) => grace,
        None => match old["spec"]["terminationGracePeriodSeconds"].as_i64() {
            Some(grace) if grace < 0 => 1,
            Some(grace) => grace,
            None => 30,
        },
    };
    if object::is_deleting(old) {
        let before = old["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or_default();
        if grace < before && (options.grace.is_some() || !runs) {
            mark(&mut pod, grace);
        } else if !changed {
            return if before == 0 && !held { Step::Remove(pod) } else { Step::Keep };
        }
    } else {
        mark(&mut pod, grace);
    }
    let grace = pod["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or_default();
    match (grace, held) {
        (0, false) => Step::MarkAndRemove(pod),
        _ => Step::Mark(pod),
    }
}

/// Sets the time and the grace of a deletion, and counts the generation.
fn mark(value: &mut Value, grace: i64) {
    let time = jiff::Timestamp::now()
        .checked_add(jiff::SignedDuration::from_secs(grace))
        .unwrap_or(jiff::Timestamp::MAX);
    let first = !object::is_deleting(value);
    let metadata = object::metadata_mut(value);
    metadata.insert("deletionTimestamp".into(), json!(object::seconds(time)));
    metadata.insert("deletionGracePeriodSeconds".into(), json!(grace));
    if first && let Some(generation) = metadata.get("generation").and_then(Value::as_i64) {
        metadata.insert("generation".into(), json!(generation + 1));
    }
}

/// Adds and removes the two finalizers that stand for a policy; whether anything changed.
fn set_policy(value: &mut Value, policy: Option<Policy>) -> bool {
    let before: Vec<String> = object::finalizers(value).map(str::to_owned).collect();
    let mut after = before.clone();
    if let Some(policy) = policy {
        after.retain(|one| one != FOREGROUND && one != ORPHAN);
        match policy {
            Policy::Background => {}
            Policy::Foreground => after.push(FOREGROUND.to_owned()),
            Policy::Orphan => after.push(ORPHAN.to_owned()),
        }
    }
    if before == after {
        return false;
    }
    let metadata = object::metadata_mut(value);
    if after.is_empty() {
        metadata.remove("finalizers");
    } else {
        metadata.insert("finalizers".into(), json!(after));
    }
    true
}
