//! What a delete request asks for, in its query and its body.

use serde_json::{Value, json};

use crate::api::{Call, PROTOBUF, yaml};
use crate::failure::{Failure, FieldError};
use crate::schema::{TYPES, scan};
use crate::verbs::dry_run;

/// What a delete request says beside the name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    pub(crate) grace: Option<i64>,
    pub(crate) policy: Option<Policy>,
    pub(crate) uid: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) dry_run: bool,
}

/// What happens to the dependents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    Background,
    Foreground,
    Orphan,
}

impl Options {
    /// Reads the options in the query and in the body.
    pub(crate) fn of(call: &Call) -> Result<Self, Failure> {
        let mut options =
            Options { dry_run: dry_run(call, "DeleteOptions")?, ..Options::default() };
        options.grace = call.query.number("gracePeriodSeconds")?;
        let mut policy = call.query.get("propagationPolicy").map(str::to_owned);
        let mut orphan = call.query.get("orphanDependents").map(|text| text == "true");
        let body = body(call)?;
        if let Some(grace) = body["gracePeriodSeconds"].as_i64() {
            options.grace = Some(grace);
        }
        if let Some(text) = body["propagationPolicy"].as_str() {
            policy = Some(text.to_owned());
        }
        orphan = body["orphanDependents"].as_bool().or(orphan);
        options.uid = body["preconditions"]["uid"].as_str().map(str::to_owned);
        options.version = body["preconditions"]["resourceVersion"].as_str().map(str::to_owned);
        if let Some(values) = body["dryRun"].as_array().filter(|values| !values.is_empty()) {
            if values.iter().any(|value| value != "All") {
                let error = FieldError::unsupported("dryRun", &json!(values), &["All"]);
                return Err(invalid(error));
            }
            options.dry_run = true;
        }
        options.policy = policy_of(policy.as_deref(), orphan)?;
        Ok(options)
    }
}

fn policy_of(policy: Option<&str>, orphan: Option<bool>) -> Result<Option<Policy>, Failure> {
    match (policy.filter(|text| !text.is_empty()), orphan) {
        (Some(policy), Some(_)) => Err(invalid(FieldError::invalid(
            "propagationPolicy",
            &json!(policy),
            "orphanDependents and deletionPropagation cannot be both set",
        ))),
        (Some("Background"), None) | (None, Some(false)) => Ok(Some(Policy::Background)),
        (Some("Foreground"), None) => Ok(Some(Policy::Foreground)),
        (Some("Orphan"), None) | (None, Some(true)) => Ok(Some(Policy::Orphan)),
        (None, None) => Ok(None),
        (Some(other), None) => Err(invalid(FieldError::unsupported(
            "propagationPolicy",
            &json!(other),
            &["Foreground", "Background", "Orphan", "nil"],
        ))),
    }
}

fn invalid(error: FieldError) -> Failure {
    Failure::invalid_kind("meta.k8s.io", "DeleteOptions", "", &[error])
}

/// The options in the body, null when there is none.
fn body(call: &Call) -> Result<Value, Failure> {
    if call.body.is_empty() {
        return Ok(Value::Null);
    }
    let media = call.header("content-type").split(';').next().unwrap_or_default().trim();
    if media == PROTOBUF {
        return Ok(Value::Null);
    }
    let parsed = match media {
        "application/yaml" => yaml(&call.body),
        _ => serde_json::from_slice(&call.body).map_err(|error| error.to_string()),
    };
    let value = parsed.map_err(|error| {
        let error = match media {
            "application/yaml" => error,
            _ => scan::syntax_error(&TYPES, &call.body).unwrap_or(error),
        };
        Failure::bad_request(format!("couldn't get version/kind; json parse error: {error}"))
    })?;
    if !value.is_object() && !value.is_null() {
        return Err(Failure::bad_request(
            "couldn't get version/kind; json parse error: the body is not an object",
        ));
    }
    let kind = value["kind"].as_str().unwrap_or("DeleteOptions");
    if kind != "DeleteOptions" {
        let version = value["apiVersion"].as_str().unwrap_or_default();
        return Err(Failure::bad_request(format!(
            "no kind {kind:?} is registered for version {version:?} in scheme \"pkg/apis/meta/internalversion/scheme/register.go:27\""
        )));
    }
    Ok(value)
}
