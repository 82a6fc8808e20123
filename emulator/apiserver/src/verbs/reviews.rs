//! Questions to the server that are answered and not kept: may I, may they, who am I, whose token
//! is this.

use std::collections::BTreeMap;

use axum::response::Response;
use serde_json::{Value, json};

use super::create::place;
use crate::access::{Attributes, User};
use crate::api::{Call, Target, decode, plain, warn};
use crate::failure::{Failure, FieldError};
use crate::managed::{self, Writer};
use crate::object;
use crate::server::Shared;

const GROUP: &str = "authorization.k8s.io";

pub(crate) fn review(shared: &Shared, target: &Target, call: &Call) -> Result<Response, Failure> {
    let resource = &target.resource;
    let (mut review, warnings) = decode(call, resource)?;
    place(resource, target.namespace.as_deref().unwrap_or_default(), &mut review)?;
    let keeps_books =
        !matches!(resource.kind.as_str(), "SelfSubjectReview" | "SelfSubjectRulesReview");
    if keeps_books {
        let writer = Writer { manager: call.manager().into(), subresource: "" };
        managed::update(resource, None, &mut review, &writer);
    }
    let spec = &review["spec"];
    let status = match resource.kind.as_str() {
        "SelfSubjectReview" => json!({"userInfo": call.user.info()}),
        "TokenReview" => token(shared, spec)?,
        "SelfSubjectRulesReview" => rules(shared, &call.user, spec)?,
        "SelfSubjectAccessReview" => {
            valid(&resource.kind, &review)?;
            access(shared, &call.user, spec)
        }
        kind => {
            valid(kind, &review)?;
            access(shared, &subject(spec), spec)
        }
    };
    match resource.kind.as_str() {
        "SelfSubjectReview" => {
            let now = json!(object::now());
            object::metadata_mut(&mut review).insert("creationTimestamp".into(), now);
        }
        "SelfSubjectRulesReview" => review["spec"] = json!({}),
        _ => {}
    }
    review["status"] = status;
    review["kind"] = json!(resource.kind);
    review["apiVersion"] = json!(resource.api_version());
    Ok(warn(plain(201, &review), &warnings))
}

/// Whether a user may do what a review asks.
fn access(shared: &Shared, user: &User, spec: &Value) -> Value {
    let decision = shared.access.decide(&shared.store, user, &asked(spec));
    let mut status = json!({"allowed": decision.allowed});
    if !decision.reason.is_empty() {
        status["reason"] = json!(decision.reason);
    }
    status
}

fn asked(spec: &Value) -> Attributes {
    let on = &spec["resourceAttributes"];
    if on.is_object() {
        let text = |field: &str| object::text(on, &[field]).to_owned();
        return Attributes {
            verb: text("verb"),
            group: text("group"),
            version: text("version"),
            resource: text("resource"),
            subresource: text("subresource"),
            namespace: text("namespace"),
            name: text("name"),
            path: None,
        };
    }
    let on = &spec["nonResourceAttributes"];
    Attributes {
        verb: object::text(on, &["verb"]).to_owned(),
        path: Some(object::text(on, &["path"]).to_owned()),
        ..Attributes::default()
    }
}

/// The user that a review is about.
fn subject(spec: &Value) -> User {
    let texts = |value: &Value| {
        let list = value.as_array().into_iter().flatten();
        list.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let extra: BTreeMap<String, Vec<String>> = spec["extra"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, values)| (key.clone(), texts(values)))
        .collect();
    User {
        name: object::text(spec, &["user"]).to_owned(),
        uid: object::text(spec, &["uid"]).to_owned(),
        groups: texts(&spec["groups"]),
        extra,
    }
}

fn valid(kind: &str, review: &Value) -> Result<(), Failure> {
    let spec = &review["spec"];
    let mut errors = Vec::new();
    let shown = |attributes: &Value| match attributes {
        Value::Object(_) => json!({
            "Path": object::text(attributes, &["path"]),
            "Verb": object::text(attributes, &["verb"]),
        }),
        _ => Value::Null,
    };
    let on_path = shown(&spec["nonResourceAttributes"]);
    match (spec["resourceAttributes"].is_object(), on_path.is_object()) {
        (true, true) => errors.push(FieldError::invalid(
            "spec.nonResourceAttributes",
            &on_path,
            "cannot be specified in combination with resourceAttributes",
        )),
        (false, false) => errors.push(FieldError::invalid(
            "spec.resourceAttributes",
            &Value::Null,
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        )),
        _ => {}
    }
    let nobody =
        object::text(spec, &["user"]).is_empty() && object::list(spec, &["groups"]).is_empty();
    if kind != "SelfSubjectAccessReview" && nobody {
        errors.push(FieldError::invalid(
            "spec.user",
            &json!(""),
            "at least one of user or group must be specified",
        ));
    }
    let local = kind == "LocalSubjectAccessReview";
    let metadata = review["metadata"].as_object();
    let more = metadata
        .into_iter()
        .flatten()
        .any(|(field, _)| field != "managedFields" && !(local && field == "namespace"));
    if more {
        let why = if local { "must be empty except for namespace" } else { "must be empty" };
        errors.push(FieldError::invalid("metadata", &review["metadata"], why));
    }
    if local {
        let inside = object::text(spec, &["resourceAttributes", "namespace"]);
        if spec["resourceAttributes"].is_object() && inside != object::namespace(review) {
            errors.push(FieldError::invalid(
                "spec.resourceAttributes.namespace",
                &json!(inside),
                "must match metadata.namespace",
            ));
        }
        if on_path.is_object() {
            errors.push(FieldError::invalid(
                "spec.nonResourceAttributes",
                &on_path,
                "disallowed on this kind of request",
            ));
        }
    }
    if errors.is_empty() {
        return Ok(());
    }
    Err(Failure::invalid_kind(GROUP, "", "", &errors))
}

/// All that a user may do in a namespace.
fn rules(shared: &Shared, user: &User, spec: &Value) -> Result<Value, Failure> {
    let namespace = object::text(spec, &["namespace"]);
    if namespace.is_empty() {
        return Err(Failure::bad_request("no namespace on request"));
    }
    let (rules, error) = shared.access.rules(&shared.store, user, namespace);
    let shown: Vec<Value> = rules.iter().map(crate::access::Rule::shown).collect();
    let (on_paths, on_resources): (Vec<Value>, Vec<Value>) =
        shown.into_iter().partition(|rule| rule.get("nonResourceURLs").is_some());
    let mut status = json!({
        "resourceRules": on_resources,
        "nonResourceRules": on_paths,
        "incomplete": false,
    });
    if !error.is_empty() {
        status["evaluationError"] = json!(error);
    }
    Ok(status)
}

/// Whose token it is.
fn token(shared: &Shared, spec: &Value) -> Result<Value, Failure> {
    let token = object::text(spec, &["token"]);
    if token.is_empty() {
        return Err(Failure::bad_request("token is required for TokenReview in authentication"));
    }
    let audiences: Vec<String> = object::list(spec, &["audiences"])
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    Ok(match shared.access.whose(&shared.store, token, &audiences) {
        Ok(verified) => json!({
            "authenticated": true,
            "user": verified.user.info(),
            "audiences": verified.audiences,
        }),
        Err(refused) => json!({"user": {}, "error": refused.0}),
    })
}
