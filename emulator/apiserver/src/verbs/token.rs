//! `POST .../serviceaccounts/{name}/token`: a token for a service account.

use axum::response::Response;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::dry_run;
use crate::access::{ISSUER, account_user};
use crate::api::{Call, Target, Validation, parse, plain, typed_raw, warn};
use crate::failure::{Failure, FieldError};
use crate::managed::{self, Writer};
use crate::object;
use crate::resources::Resource;
use crate::server::Shared;
use crate::store::Key;

const GROUP: &str = "authentication.k8s.io";
const KIND: &str = "TokenRequest";

/// How long a token lasts when nobody says, at least, and at most, in seconds.
const USUAL: i64 = 3600;
const SHORTEST: i64 = 600;
const LONGEST: i64 = 1 << 32;

pub(crate) fn create(shared: &Shared, target: &Target, call: &Call) -> Result<Response, Failure> {
    dry_run(call, "CreateOptions")?;
    let resource = of_requests();
    let (mut request, warnings) = decode(call, &resource)?;
    let key = target.key();
    for (field, own, what) in [
        ("name", &key.name, "service account name"),
        ("namespace", &key.namespace, "service account namespace"),
    ] {
        let sent = object::meta(&request, field);
        if !sent.is_empty() && sent != own {
            let error = FieldError::invalid(
                format!("metadata.{field}"),
                &json!(sent),
                &format!("must match the {what} if specified"),
            );
            return Err(Failure::invalid_kind(GROUP, KIND, &key.name, &[error]));
        }
    }
    if request["spec"]["expirationSeconds"].is_null() {
        object::child_mut(object::map_mut(&mut request), "spec")
            .insert("expirationSeconds".into(), json!(USUAL));
    }
    let manager = call.manager();
    let writer = Writer { manager: manager.into(), subresource: "token" };
    managed::update(&resource, None, &mut request, &writer);

    let account = shared
        .store
        .get(&target.resource.storage, &key)
        .ok_or_else(|| Failure::not_found(&target.resource, &key.name))?;
    let seconds = request["spec"]["expirationSeconds"].as_i64().unwrap_or_default();
    limits(seconds)?;
    let bound = bound(shared, &key, &request["spec"]["boundObjectRef"])?;
    let mut audiences: Vec<&str> =
        object::list(&request, &["spec", "audiences"]).iter().filter_map(Value::as_str).collect();
    if audiences.is_empty() {
        audiences.push(ISSUER);
    }
    let now = Timestamp::now();
    let expires = now.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX);
    let uid = object::uid(&account.value);
    let mut own = json!({
        "namespace": key.namespace,
        "serviceaccount": {"name": key.name, "uid": uid},
    });
    for (kind, reference) in bound {
        own[kind] = reference;
    }
    let token = shared.access.tokens.sign(&json!({
        "aud": audiences,
        "exp": expires.as_second(),
        "iat": now.as_second(),
        "iss": ISSUER,
        "jti": uuid::Uuid::new_v4().to_string(),
        "kubernetes.io": own,
        "nbf": now.as_second(),
        "sub": account_user(&key.namespace, &key.name),
    }));
    let answer = json!({
        "kind": KIND,
        "apiVersion": resource.api_version(),
        "metadata": {
            "name": key.name,
            "namespace": key.namespace,
            "uid": uid,
            "creationTimestamp": object::seconds(now),
            "managedFields": request["metadata"]["managedFields"],
        },
        "spec": {
            "audiences": audiences,
            "expirationSeconds": seconds,
            "boundObjectRef": request["spec"]["boundObjectRef"],
        },
        "status": {"token": token, "expirationTimestamp": object::seconds(expires)},
    });
    Ok(warn(plain(201, &answer), &warnings))
}

/// What a request for a token is to the schema and to the books.
fn of_requests() -> Resource {
    Resource {
        custom: None,
        group: GROUP.to_owned(),
        version: "v1".to_owned(),
        kind: KIND.to_owned(),
        plural: "serviceaccounts".to_owned(),
        singular: "serviceaccount".to_owned(),
        short: Vec::new(),
        categories: Vec::new(),
        namespaced: true,
        stored: false,
        subresources: Vec::new(),
        storage: String::new(),
        schema: "authentication.v1.TokenRequest".to_owned(),
    }
}

fn decode(call: &Call, resource: &Resource) -> Result<(Value, Vec<String>), Failure> {
    typed_raw(parse(call, KIND)?, resource, Validation::of(call), None).map_err(|error| {
        Failure::bad_request(format!(
            "{KIND} in version \"v1\" cannot be handled as a {KIND}: {error}"
        ))
    })
}

fn limits(seconds: i64) -> Result<(), Failure> {
    let why = match seconds {
        ..SHORTEST => "may not specify a duration less than 10 minutes",
        SHORTEST..=LONGEST => return Ok(()),
        _ => "may not specify a duration larger than 2^32 seconds",
    };
    let error = FieldError::invalid("spec.expirationSeconds", &json!(seconds), why);
    Err(Failure::invalid_kind(GROUP, KIND, "", &[error]))
}

/// What a token is bound to, as its claims name it.
fn bound(
    shared: &Shared,
    account: &Key,
    reference: &Value,
) -> Result<Vec<(&'static str, Value)>, Failure> {
    if reference.is_null() {
        return Ok(Vec::new());
    }
    let text = |field: &str| object::text(reference, &[field]);
    let (claim, storage) = match (text("apiVersion"), text("kind")) {
        ("v1", "Pod") => ("pod", "pods"),
        ("v1", "Secret") => ("secret", "secrets"),
        ("v1", "Node") => ("node", "nodes"),
        (api, kind) => {
            let api = if api.contains('/') { api.to_owned() } else { format!("/{api}") };
            return Err(Failure::bad_request(format!(
                "cannot bind token to object of type {api}, Kind={kind}"
            )));
        }
    };
    let resource = shared.catalogue().storage(storage);
    let namespace = if resource.namespaced { account.namespace.as_str() } else { "" };
    let found = shared
        .store
        .get(storage, &Key::new(namespace, text("name")))
        .ok_or_else(|| Failure::not_found(&resource, text("name")))?;
    let mut claims = Vec::new();
    if claim == "pod" {
        let runs_as = object::text(&found.value, &["spec", "serviceAccountName"]);
        if runs_as != account.name {
            return Err(Failure::bad_request(format!(
                "cannot bind token for serviceaccount {:?} to pod running with different serviceaccount name.",
                account.name
            )));
        }
        let node = object::text(&found.value, &["spec", "nodeName"]);
        if !node.is_empty() {
            let mut reference = json!({"name": node});
            if let Some(found) = shared.store.get("nodes", &Key::new("", node)) {
                reference["uid"] = json!(object::uid(&found.value));
            }
            claims.push(("node", reference));
        }
    }
    let uid = object::uid(&found.value);
    if !text("uid").is_empty() && text("uid") != uid {
        return Err(Failure::new(
            409,
            "Conflict",
            format!(
                "Operation cannot be fulfilled on {} {:?}: the UID in the bound object reference ({}) does not match the UID in record. The object might have been deleted and then recreated",
                text("kind"),
                text("name"),
                text("uid")
            ),
        )
        .about(&resource, text("name")));
    }
    claims.push((claim, json!({"name": text("name"), "uid": uid})));
    Ok(claims)
}
