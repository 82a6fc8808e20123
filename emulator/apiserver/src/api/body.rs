//! Decodes the object in a body, with the checks and warnings of the real server.

use serde_json::{Map, Value};

use super::{Call, PROTOBUF};
use crate::custom;
use crate::failure::Failure;
use crate::protobuf;
use crate::resources::Resource;
use crate::schema::{Kind, TYPES, normalize, scan};

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
    if let Some(custom) = &resource.custom {
        return custom::decode(call, resource, custom);
    }
    let value = parse(call, &resource.kind)?;
    let text = |key: &str, otherwise: String| match value[key].as_str() {
        None | Some("") => otherwise,
        Some(text) => text.to_owned(),
    };
    let kind = text("kind", resource.kind.clone());
    let api_version = text("apiVersion", resource.api_version());
    let version = api_version.rsplit('/').next().unwrap_or_default().to_owned();
    let findings = findings(call, &resource.schema);
    typed_raw(value, resource, Validation::of(call), findings).map_err(|error| {
        Failure::bad_request(format!(
            "{kind} in version {version:?} cannot be handled as a {}: {error}",
            resource.kind
        ))
    })
}

/// Checks kind and version, and normalizes. `findings` are the unknown and duplicate fields, where
/// the text has been looked at; else the unknown ones are those of the value.
///
/// # Errors
/// What is wrong.
pub(crate) fn typed_raw(
    mut value: Value,
    resource: &Resource,
    validation: Validation,
    findings: Option<Vec<String>>,
) -> Result<(Value, Vec<String>), String> {
    if let Some(custom) = &resource.custom {
        return custom::typed(value, resource, custom, validation, findings.unwrap_or_default());
    }
    if value.is_null() {
        value = Value::Object(Map::new());
    }
    let kind = value["kind"].as_str().filter(|kind| !kind.is_empty());
    let api_version = value["apiVersion"].as_str().filter(|version| !version.is_empty());
    let expected = resource.api_version();
    let (kind, api_version) = (kind.unwrap_or(&resource.kind), api_version.unwrap_or(&expected));
    if kind != resource.kind || api_version != expected {
        let scheme = match resource.group.as_str() {
            custom::GROUP => "pkg/apiserver/apiserver.go:55",
            _ => "pkg/api/legacyscheme/scheme.go:30",
        };
        return Err(format!(
            "no kind {kind:?} is registered for version {api_version:?} in scheme {scheme:?}"
        ));
    }
    let Some(root) = TYPES.find(&resource.schema) else { return Ok((value, Vec::new())) };
    let found = normalize::normalize(&TYPES, root, &mut value)?;
    let faults = findings.unwrap_or_else(|| {
        found.unknown.iter().map(|path| format!("unknown field {path:?}")).collect()
    });
    if let Value::Object(map) = &mut value {
        map.remove("kind");
        map.remove("apiVersion");
    }
    match validation {
        Validation::Ignore => Ok((value, Vec::new())),
        Validation::Strict if !faults.is_empty() => {
            Err(format!("strict decoding error: {}", faults.join(", ")))
        }
        Validation::Warn | Validation::Strict => Ok((value, faults)),
    }
}

/// The unknown and duplicate fields of a JSON body, in its order.
fn findings(call: &Call, schema: &str) -> Option<Vec<String>> {
    let json = matches!(media(call), "" | "application/json");
    if !json || Validation::of(call) == Validation::Ignore {
        return None;
    }
    let root = TYPES.find(schema).map(Kind::Struct);
    scan::scan(&TYPES, root.as_ref(), &call.body).ok()
}

fn media(call: &Call) -> &str {
    call.header("content-type").split(';').next().unwrap_or_default().trim()
}

/// Parses the body by its media type.
pub(crate) fn parse(call: &Call, kind: &str) -> Result<Value, Failure> {
    match media(call) {
        "" | "application/json" => parse_json(&call.body, kind),
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

fn parse_json(body: &[u8], kind: &str) -> Result<Value, Failure> {
    let error = match serde_json::from_slice(body) {
        Ok(value @ (Value::Object(_) | Value::Null)) => return Ok(value),
        Ok(other) => {
            let found = go_kind(&other);
            format!(
                r#"json: cannot unmarshal {found} into Go value of type struct {{ APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }}"#
            )
        }
        Err(error) => scan::syntax_error(&TYPES, body).unwrap_or(error.to_string()),
    };
    let error = format!("couldn't get version/kind; json parse error: {error}");
    Err(unrecognized(kind, &error, body))
}

/// The kind of a value in the messages of the real server.
pub(crate) fn go_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

pub(crate) fn unrecognized(kind: &str, error: &str, body: &[u8]) -> Failure {
    let shown = summary(body);
    Failure::bad_request(format!(
        "the object provided is unrecognized (must be of type {kind}): {error} ({shown})"
    ))
}

/// The start of a body: as a text where it looks like JSON, else in hexadecimal digits.
fn summary(body: &[u8]) -> String {
    const LIMIT: usize = 30;
    let start = &body[..body.len().min(LIMIT)];
    let shown = match start {
        [] => return "<empty>".to_owned(),
        [b'{', ..] => String::from_utf8_lossy(start).into_owned(),
        _ => start.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    if body.len() > LIMIT { format!("{shown} ...") } else { shown }
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
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default();
        let what = first.split_once("column ").and_then(|(_, rest)| rest.split_once(": "));
        format!("yaml: {}", what.map_or(first, |(_, what)| what))
    })
}
