//! `DELETE` of an object or a collection.

use axum::response::Response;
use serde_json::{Value, json};

use super::dry_run;
use super::list::Selection;
use crate::api::{Call, Target, View, json as answer, plain};
use crate::failure::Failure;
use crate::object;
use crate::resources::Resource;
use crate::server::Shared;
use crate::store::{Key, Object};

/// What a delete request says beside the name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    pub(crate) grace: Option<i64>,
    pub(crate) policy: Option<String>,
    pub(crate) uid: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) dry_run: bool,
}

impl Options {
    fn of(call: &Call) -> Result<Self, Failure> {
        let mut options =
            Options { dry_run: dry_run(call, "DeleteOptions")?, ..Options::default() };
        options.grace = call.query.number("gracePeriodSeconds")?;
        options.policy = call.query.get("propagationPolicy").map(str::to_owned);
        if let Ok(body) = serde_json::from_slice::<Value>(&call.body) {
            if let Some(grace) = body["gracePeriodSeconds"].as_i64() {
                options.grace = Some(grace);
            }
            if let Some(policy) = body["propagationPolicy"].as_str() {
                options.policy = Some(policy.to_owned());
            }
            options.uid = body["preconditions"]["uid"].as_str().map(str::to_owned);
            options.version = body["preconditions"]["resourceVersion"].as_str().map(str::to_owned);
            options.dry_run |= body["dryRun"].as_array().is_some_and(|list| !list.is_empty());
        }
        Ok(options)
    }
}

/// What became of the object.
enum Outcome {
    Marked(std::sync::Arc<Object>),
    Gone(std::sync::Arc<Object>),
}

pub(crate) fn delete(shared: &Shared, target: &Target, call: &Call) -> Result<Response, Failure> {
    let view = View::of(call)?;
    let options = Options::of(call)?;
    let resource = &target.resource;
    let key = target.key();
    match remove(shared, resource, &key, &options)? {
        Outcome::Marked(object) => Ok(answer(200, view.object(resource, &object))),
        Outcome::Gone(object) if answers_object(resource) => {
            Ok(answer(200, view.object(resource, &object)))
        }
        Outcome::Gone(object) => {
            let mut details = json!({
                "name": key.name,
                "kind": resource.plural,
                "uid": object::uid(&object.value),
            });
            if !resource.group.is_empty() {
                details["group"] = json!(resource.group);
            }
            Ok(plain(
                200,
                &json!({
                    "kind": "Status",
                    "apiVersion": "v1",
                    "metadata": {},
                    "status": "Success",
                    "details": details,
                }),
            ))
        }
    }
}

fn answers_object(resource: &Resource) -> bool {
    resource.group.is_empty()
        && matches!(
            resource.kind.as_str(),
            "Pod"
                | "Namespace"
                | "ServiceAccount"
                | "PersistentVolumeClaim"
                | "PersistentVolume"
                | "Service"
                | "ResourceQuota"
        )
}

pub(crate) fn delete_collection(
    shared: &Shared,
    target: &Target,
    call: &Call,
) -> Result<Response, Failure> {
    let view = View::of(call)?;
    let resource = &target.resource;
    if resource.is("", "Namespace") || (resource.namespaced && target.namespace.is_none()) {
        return Err(Failure::method_not_allowed(None));
    }
    let options = Options::of(call)?;
    let selection = Selection::of(resource, call)?;
    let (revision, objects) = shared.store.list(&resource.storage, target.namespace.as_deref());
    let mut deleted = Vec::new();
    for object in objects.iter().filter(|one| selection.matches(resource, &one.value)) {
        match remove(shared, resource, &Key::of(&object.value), &options) {
            Ok(_) => deleted.push(object),
            Err(failure) if failure.code == 404 => {}
            Err(failure) => return Err(failure),
        }
    }
    let metadata = json!({"resourceVersion": revision.to_string()});
    let body = view.list(resource, &metadata, deleted.into_iter().map(AsRef::as_ref));
    Ok(answer(200, body))
}

fn remove(
    shared: &Shared,
    resource: &Resource,
    key: &Key,
    options: &Options,
) -> Result<Outcome, Failure> {
    loop {
        let old = shared
            .store
            .get(&resource.storage, key)
            .ok_or_else(|| Failure::not_found(resource, &key.name))?;
        if options.dry_run {
            return Ok(Outcome::Gone(old));
        }
        if let Ok(gone) =
            shared.store.remove(&resource.storage, key, old.revision, old.value.clone())
        {
            return Ok(Outcome::Gone(gone));
        }
    }
}
