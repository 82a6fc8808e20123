//! `PATCH` of an object: JSON, merge, strategic merge, and apply.

use std::sync::Arc;

use axum::response::Response;
use serde_json::{Value, json};

use super::go;
use super::update::{Change, modify_asked};
use super::{create, dry_run};
use crate::admission::Gate;
use crate::api::{Call, Validation, View, go_kind, json as answer, typed_raw, warn, yaml};
use crate::custom;
use crate::events;
use crate::failure::{Failure, FieldError};
use crate::managed::{self, Conflict, Writer};
use crate::object;
use crate::patch::{self, PatchError, PatchFault};
use crate::resources::Resource;
use crate::schema::{TYPES, scan};
use crate::store::Object;
use crate::strategy;

pub(crate) async fn patch(gate: &Gate<'_>) -> Result<Response, Failure> {
    let Gate { shared, target, call, .. } = gate;
    let view = View::of(call, &target.resource, false)?;
    let media = call.header("content-type").split(';').next().unwrap_or_default().trim().to_owned();
    let apply =
        matches!(media.as_str(), "application/apply-patch+yaml" | "application/apply-patch+cbor");
    options(call, apply)?;
    let dry_run = dry_run(call, "PatchOptions")?;
    if apply {
        return apply_patch(gate, view, dry_run).await;
    }
    let resource = &target.resource;
    let key = target.key();
    let kind = match media.as_str() {
        "application/json-patch+json" => Kind::Json,
        "application/merge-patch+json" => Kind::Merge,
        "application/strategic-merge-patch+json" if resource.custom.is_none() => Kind::Strategic,
        _ => {
            return Err(Failure::new(415, "UnsupportedMediaType", "415: Unsupported Media Type")
                .without_details());
        }
    };
    let body: Value = serde_json::from_slice(&call.body).map_err(|error| {
        let error = scan::syntax_error(&TYPES, &call.body).unwrap_or(error.to_string());
        Failure::bad_request(match kind {
            Kind::Strategic => error,
            _ => format!("error decoding patch: {error}"),
        })
    })?;
    if matches!(kind, Kind::Merge | Kind::Strategic) && !body.is_object() {
        return Err(not_a_map(kind, &body));
    }
    let manager = call.manager();
    let writer = Writer { manager: manager.into(), subresource: &target.subresource };
    let mut warnings = Vec::new();
    let kept = events::kept_as(shared, resource);
    let object = modify_asked(gate, &kept, &writer, dry_run, |old| {
        let mut new = with_kind(resource, &events::to_shown(resource, old.clone()));
        match kind {
            Kind::Json => patch::json(&mut new, &body).map_err(refused)?,
            Kind::Merge => patch::merge(&mut new, &body),
            Kind::Strategic => {
                let root = TYPES.find(&resource.schema).unwrap_or_default();
                patch::strategic(&TYPES, root, &mut new, &body).map_err(|error| match error {
                    PatchFault::Unfit(error) => unfit(&go::map(&body), &error),
                    PatchFault::Unknown(error) => Failure::internal(error),
                })?;
            }
        }
        let sent = object::meta(&new, "resourceVersion").to_owned();
        let (new, found) =
            typed_raw(new.clone(), resource, Validation::of(call), None).map_err(|error| {
                let root = TYPES.find(&resource.schema);
                let patched = match kind {
                    Kind::Strategic => go::map(&body),
                    Kind::Merge => patch::text(&TYPES, root, &new, &body),
                    Kind::Json => patch::text(&TYPES, root, &new, &patch::trodden(&body)),
                };
                unfit(&patched, &error)
            })?;
        warnings = found;
        warnings.extend(custom::finalizer_warnings(resource, Some(old), &new));
        if object::name(&new).is_empty() {
            return Err(nameless(&key.name));
        }
        if object::name(&new) != key.name {
            return Err(Failure::bad_request(format!(
                "the name of the object ({}) does not match the name on the URL ({})",
                object::name(&new),
                key.name
            )));
        }
        if !sent.is_empty() && sent != object::meta(old, "resourceVersion") {
            return Err(Failure::modified(resource, &key.name));
        }
        Ok(Change::Update(events::to_kept(resource, new)))
    })
    .await?;
    Ok(warn(answer(200, view.object(resource, &object)), &warnings))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Json,
    Merge,
    Strategic,
}

pub(crate) fn refused(error: PatchError) -> Failure {
    match error {
        PatchError::Malformed(what) => {
            Failure::bad_request(format!("error decoding patch: {what}"))
        }
        PatchError::TooMany(count) => Failure::new(
            413,
            "RequestEntityTooLarge",
            format!(
                "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got {count}"
            ),
        ),
        PatchError::Refused => Failure::new(
            422,
            "Invalid",
            "the server rejected our request due to an error in our request",
        )
        .without_details(),
    }
}

fn not_a_map(kind: Kind, body: &Value) -> Failure {
    let found = go_kind(body);
    let what =
        format!("json: cannot unmarshal {found} into Go value of type map[string]interface {{}}");
    match kind {
        Kind::Strategic => Failure::bad_request(what),
        _ => Failure::bad_request(format!("error decoding patch: {what}")),
    }
}

/// A patch whose result is no object of the kind.
fn unfit(patch: &str, error: &str) -> Failure {
    let error = FieldError::invalid("patch", &json!(patch), error);
    Failure::invalid_kind("", "", "", &[error])
}

/// An object without a name where the URL has one.
pub(crate) fn nameless(name: &str) -> Failure {
    Failure::bad_request(format!(
        "the name of the object ({name} based on URL) was undeterminable: name must be provided"
    ))
}

fn with_kind(resource: &Resource, value: &Value) -> Value {
    let mut whole = value.clone();
    let map = object::map_mut(&mut whole);
    map.insert("kind".into(), json!(resource.kind));
    map.insert("apiVersion".into(), json!(resource.api_version()));
    whole
}

fn options(call: &Call, apply: bool) -> Result<(), Failure> {
    let mut errors = Vec::new();
    if apply {
        if call.query.get("fieldManager").unwrap_or_default().is_empty() {
            errors.push(FieldError::required("fieldManager", "is required for apply patch"));
        }
    } else if call.query.get("force").is_some() {
        errors.push(FieldError::forbidden("force", "may not be specified for non-apply patch"));
    }
    if call.query.get("fieldManager").is_some_and(|manager| manager.len() > 128) {
        errors.push(FieldError::too_long("fieldManager", 128));
    }
    errors.extend(super::field_validation(call));
    if errors.is_empty() {
        return Ok(());
    }
    Err(Failure::invalid_kind("meta.k8s.io", "PatchOptions", "", &errors))
}

async fn apply_patch(gate: &Gate<'_>, view: View, dry_run: bool) -> Result<Response, Failure> {
    let Gate { shared, target, call, .. } = gate;
    let applied = events::to_kept(&target.resource, read_applied(call, &target.resource)?);
    let resource = &events::kept_as(shared, &target.resource);
    let key = target.key();
    let force = call.query.flag("force");
    let manager = call.manager();
    let writer = Writer { manager: manager.into(), subresource: &target.subresource };
    let exists = shared.store.get(&resource.storage, &key).is_some();
    if !exists && target.subresource.is_empty() {
        let object = create_applied(gate, &applied, &writer, dry_run).await?;
        return Ok(answer(201, view.object(&target.resource, &object)));
    }
    let sent = object::meta(&applied, "resourceVersion").to_owned();
    let object = modify_asked(gate, resource, &writer, dry_run, |old| {
        if !sent.is_empty() && sent != object::meta(old, "resourceVersion") {
            return Err(Failure::modified(resource, &key.name));
        }
        let merged = managed::apply(resource, Some(old), &applied, &writer, force)
            .map_err(|conflicts| conflict(&conflicts))?;
        same_name(&applied, &key.name)?;
        let (merged, _) =
            typed_raw(merged, resource, Validation::Ignore, None).map_err(Failure::internal)?;
        Ok(Change::Applied(merged))
    })
    .await?;
    Ok(answer(200, view.object(&target.resource, &object)))
}

/// What is applied may leave out its name, but not have another one.
fn same_name(applied: &Value, name: &str) -> Result<(), Failure> {
    let named = object::name(applied);
    if named.is_empty() || named == name {
        return Ok(());
    }
    Err(Failure::bad_request(format!(
        "the name of the object ({named}) does not match the name on the URL ({name})"
    )))
}

async fn create_applied(
    gate: &Gate<'_>,
    applied: &Value,
    writer: &Writer<'_>,
    dry_run: bool,
) -> Result<Arc<Object>, Failure> {
    let Gate { shared, target, .. } = gate;
    let resource = &events::kept_as(shared, &target.resource);
    let key = target.key();
    let uid = object::uid(applied);
    if !uid.is_empty() {
        let why = format!(
            "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
        );
        return Err(Failure::conflict(resource, &key.name, &why));
    }
    same_name(applied, &key.name)?;
    let mut applied = applied.clone();
    object::metadata_mut(&mut applied).insert("name".into(), json!(key.name));
    let merged = managed::apply(resource, None, &applied, writer, false)
        .map_err(|conflicts| conflict(&conflicts))?;
    let books = merged["metadata"]["managedFields"].clone();
    let (mut merged, _) =
        typed_raw(merged, resource, Validation::Ignore, None).map_err(Failure::internal)?;
    strategy::defaults(resource, &mut merged);
    gate.may_create()?;
    create::add(gate, resource, &key.namespace, merged, Some(books), writer, dry_run).await
}

fn read_applied(call: &Call, resource: &Resource) -> Result<Value, Failure> {
    let mut value = yaml(&call.body).map_err(|error| {
        let error = match error.strip_prefix("yaml: ") {
            Some(_) => format!("error converting YAML to JSON: {error}"),
            None => error,
        };
        Failure::bad_request(format!("error decoding YAML: {error}"))
    })?;
    let api_version = value["apiVersion"].as_str().unwrap_or_default();
    let kind = value["kind"].as_str().unwrap_or_default();
    if api_version != resource.api_version() || kind != resource.kind {
        let shown = if api_version.contains('/') {
            api_version.to_owned()
        } else {
            format!("/{api_version}")
        };
        return Err(Failure::bad_request(format!("invalid object type: {shown}, Kind={kind}")));
    }
    if !object::list(&value, &["metadata", "managedFields"]).is_empty() {
        return Err(Failure::bad_request("metadata.managedFields must be nil"));
    }
    let (types, root) = resource.types().unwrap_or((&TYPES, 0));
    let name = object::name(&value).to_owned();
    let namespace = object::namespace(&value).to_owned();
    let place =
        if namespace.is_empty() { format!("/{name}") } else { format!("{namespace}/{name}") };
    let found = managed::check(types, root, &mut value).map_err(Failure::internal)?;
    if let Some(unknown) = found {
        let shown = if api_version_group(&resource.group) {
            format!("{}/{}", resource.group, resource.version)
        } else {
            format!("/{}", resource.version)
        };
        return Err(Failure::internal(format!(
            "failed to create typed patch object ({place}; {shown}, Kind={}): .{unknown}: field not declared in schema",
            resource.kind
        )));
    }
    Ok(value)
}

fn api_version_group(group: &str) -> bool {
    !group.is_empty()
}

fn conflict(conflicts: &[Conflict]) -> Failure {
    let texts: Vec<String> = conflicts
        .iter()
        .map(|one| {
            let mut with = format!("conflict with {:?}", one.manager);
            if !one.subresource.is_empty() {
                with.push_str(&format!(" with subresource {:?}", one.subresource));
            }
            if let Some(version) = &one.api_version {
                with.push_str(&format!(" using {version}"));
            }
            with
        })
        .collect();
    let count = conflicts.len();
    let noun = if count == 1 { "conflict" } else { "conflicts" };
    let mut grouped: Vec<(&String, Vec<&str>)> = Vec::new();
    for (text, one) in texts.iter().zip(conflicts) {
        match grouped.iter_mut().find(|(other, _)| *other == text) {
            Some((_, paths)) => paths.push(&one.path),
            None => grouped.push((text, vec![&one.path])),
        }
    }
    let list = match grouped.as_slice() {
        [(text, paths)] if paths.len() == 1 => format!("{text}: {}", paths[0]),
        _ => {
            let parts: Vec<String> = grouped
                .iter()
                .map(|(text, paths)| match paths.as_slice() {
                    [one] => format!("{text}: {one}"),
                    many => format!("{text}:\n- {}", many.join("\n- ")),
                })
                .collect();
            parts.join("\n")
        }
    };
    let mut failure =
        Failure::new(409, "Conflict", format!("Apply failed with {count} {noun}: {list}"));
    let causes: Vec<Value> = texts
        .iter()
        .zip(conflicts)
        .map(|(text, one)| {
            json!({"reason": "FieldManagerConflict", "message": text, "field": one.path})
        })
        .collect();
    failure.details = Some(json!({"causes": causes}));
    failure
}
