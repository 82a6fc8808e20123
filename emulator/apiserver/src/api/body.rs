//! Decodes the object in a body, with the checks and warnings of the real server.

use serde_json::{Map, Value};

use super::{Call, PROTOBUF};
use crate::failure::Failure;
use crate::protobuf;
use crate::resources::Resource;
use crate::schema::{TYPES, normalize};

/// How unknown fields are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Validation {
    Ignore,
    Warn,
    Strict,
}

impl Validation {
    pub(crate) fn of(call: &Call) -> Self {
        match call.query.get("fieldValidation") {
            Some("Ignore") => Validation::Ignore,
            Some("Strict") => Validation::Strict,
            _ => Validation::Warn,
        }
    }
}

/// Reads the body as an object of the resource; also gives the warnings.
pub(crate) fn decode(call: &Call, resource: &Resource) -> Result<(Value, Vec<String>), Failure> {
    let value = parse(call, &resource.kind)?;
    typed(value, resource, Validation::of(call))
}

/// Checks kind and version, and normalizes.
pub(crate) fn typed(
    mut value: Value,
    resource: &Resource,
    validation: Validation,
) -> Result<(Value, Vec<String>), Failure> {
    if value.is_null() {
        value = Value::Object(Map::new());
    }
    let kind = value["kind"].as_str().unwrap_or_default();
    let api_version = value["apiVersion"].as_str().unwrap_or_default();
    let kind = if kind.is_empty() { resource.kind.clone() } else { kind.to_owned() };
    let expected = resource.api_version();
    let api_version =
        if api_version.is_empty() { expected.clone() } else { api_version.to_owned() };
    let version = api_version.rsplit('/').next().unwrap_or_default().to_owned();
    if kind != resource.kind || api_version != expected {
        return Err(unhandled(
            resource,
            &kind,
            &version,
            &format!(
                "no kind {kind:?} is registered for version {api_version:?} in scheme \"pkg/api/legacyscheme/scheme.go:30\""
            ),
        ));
    }
    let Some(root) = TYPES.find(&resource.schema) else { return Ok((value, Vec::new())) };
    let findings = normalize::normalize(&TYPES, root, &mut value)
        .map_err(|error| unhandled(resource, &kind, &version, &error))?;
    let faults: Vec<String> =
        findings.unknown.iter().map(|path| format!("unknown field {path:?}")).collect();
    if let Value::Object(map) = &mut value {
        map.remove("kind");
        map.remove("apiVersion");
    }
    match validation {
        Validation::Ignore => Ok((value, Vec::new())),
        Validation::Warn => Ok((value, faults)),
        Validation::Strict if faults.is_empty() => Ok((value, faults)),
        Validation::Strict => {
            let error = format!("strict decoding error: {}", faults.join(", "));
            Err(unhandled(resource, &kind, &version, &error))
        }
    }
}

fn unhandled(resource: &Resource, kind: &str, version: &str, error: &str) -> Failure {
    Failure::bad_request(format!(
        "{kind} in version {version:?} cannot be handled as a {}: {error}",
        resource.kind
    ))
}

/// Parses the body by its media type.
pub(crate) fn parse(call: &Call, kind: &str) -> Result<Value, Failure> {
    let media = call.header("content-type").split(';').next().unwrap_or_default().trim();
    match media {
        "" | "application/json" => match serde_json::from_slice(&call.body) {
            Ok(value @ (Value::Object(_) | Value::Null)) => Ok(value),
            Ok(_) => Err(unrecognized(
                kind,
                "json: cannot unmarshal the body into an object",
                &call.body,
            )),
            Err(error) => Err(unrecognized(kind, &error.to_string(), &call.body)),
        },
        "application/yaml" => match yaml(&call.body) {
            Ok(value @ (Value::Object(_) | Value::Null)) => Ok(value),
            Ok(_) => Err(unrecognized(kind, "yaml: the body is not an object", &call.body)),
            Err(error) => Err(unrecognized(kind, &error, &call.body)),
        },
        PROTOBUF => protobuf::decode(&call.body).map_err(|error| {
            Failure::bad_request(format!(
                "the object provided is unrecognized (must be of type {kind}): {error}"
            ))
        }),
        _ => Err(Failure::new(
            415,
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf",
        )),
    }
}

fn unrecognized(kind: &str, error: &str, body: &[u8]) -> Failure {
    let shown = if body.is_empty() {
        "<empty>".to_owned()
    } else if body.len() > 30 {
        format!("{} ...", String::from_utf8_lossy(&body[..30]))
    } else {
        body.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    Failure::bad_request(format!(
        "the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; json parse error: {error} ({shown})"
    ))
}

/// Reads YAML or JSON.
///
/// # Errors
/// What is wrong with the text.
pub(crate) fn yaml(body: &[u8]) -> Result<Value, String> {
    if let Ok(value) = serde_json::from_slice(body) {
        return Ok(value);
    }
    let text = std::str::from_utf8(body).map_err(|_| "the body is not UTF-8".to_owned())?;
    serde_saphyr::from_str(text).map_err(|error| {
        let first = error.to_string();
        let first = first.lines().next().unwrap_or_default();
        format!("error converting YAML to JSON: yaml: {first}")
    })
}
