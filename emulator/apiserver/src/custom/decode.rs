//! Reads custom resources: pruned and defaulted by their schema, with the warnings of the real
//! server.

use serde_json::Value;

use super::{Custom, prune};
use crate::api::{Call, Validation, parse, unrecognized};
use crate::failure::Failure;
use crate::resources::Resource;
use crate::schema::{Kind, TYPES, scan};

/// Reads the body as an object of the resource; also gives the warnings.
pub(crate) fn decode(
    call: &Call,
    resource: &Resource,
    custom: &Custom,
) -> Result<(Value, Vec<String>), Failure> {
    let value = parse(call, &resource.kind)?;
    if value["kind"].as_str().unwrap_or_default().is_empty() {
        let body = String::from_utf8_lossy(&call.body);
        let error = format!("Object 'Kind' is missing in '{body}'");
        return Err(unrecognized(&resource.kind, &error, &call.body));
    }
    let api_version = value["apiVersion"].as_str().unwrap_or_default();
    let expected = resource.api_version();
    if api_version != expected {
        return Err(Failure::bad_request(format!(
            "the API version in the data ({api_version}) does not match the expected API version ({expected})"
        )));
    }
    let kind = value["kind"].as_str().unwrap_or_default().to_owned();
    let validation = Validation::of(call);
    let twice = match validation {
        Validation::Ignore => Vec::new(),
        _ => scan::scan(&TYPES, Some(&Kind::Deduced), &call.body).unwrap_or_default(),
    };
    typed(value, resource, custom, validation, twice).map_err(|error| {
        Failure::bad_request(format!(
            "{kind} in version {:?} cannot be handled as a {}: {error}",
            resource.version, resource.kind
        ))
    })
}

/// Prunes and defaults an object. `found` are the fields that were given twice.
///
/// # Errors
/// What is wrong.
pub(crate) fn typed(
    mut value: Value,
    resource: &Resource,
    custom: &Custom,
    validation: Validation,
    mut found: Vec<String>,
) -> Result<(Value, Vec<String>), String> {
    if let Value::Object(map) = &mut value {
        map.remove("apiVersion");
        if map.get("kind").is_some_and(|kind| *kind == resource.kind.as_str()) {
            map.remove("kind");
        }
    }
    let mut unknown = prune::metadata(&custom.schema, &mut value)?;
    unknown.extend(prune::prune(&custom.schema, &mut value));
    prune::default(&custom.schema, &mut value);
    found.extend(unknown.iter().map(|path| format!("unknown field {path:?}")));
    match validation {
        Validation::Ignore => Ok((value, Vec::new())),
        Validation::Strict if !found.is_empty() => {
            Err(format!("strict decoding error: {}", found.join(", ")))
        }
        Validation::Warn | Validation::Strict => Ok((value, found)),
    }
}
