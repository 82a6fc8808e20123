//! The v2 document as protobuf, which kubectl before 1.27 asks for and nothing else.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{kind, operations};
use crate::resources::Resource;

/// Encodes the document. `definitions` are the schemas by name.
pub(crate) fn encode(definitions: &Map<String, Value>, resources: &[&Arc<Resource>]) -> Vec<u8> {
    let mut info = Vec::new();
    text(&mut info, 1, "Kubernetes");
    text(&mut info, 2, "v1.36.2");
    let mut paths = Vec::new();
    for resource in resources {
        for (path, methods) in operations(resource) {
            let mut item = Vec::new();
            for (method, action) in methods {
                let number = match method {
                    "get" => 2,
                    "put" => 3,
                    "post" => 4,
                    "delete" => 5,
                    _ => 8,
                };
                message(&mut item, number, &operation(resource, action));
            }
            let mut named = Vec::new();
            text(&mut named, 1, &path);
            message(&mut named, 2, &item);
            message(&mut paths, 2, &named);
        }
    }
    let mut all = Vec::new();
    for (name, definition) in definitions {
        message(&mut all, 1, &named_schema(name, definition));
    }
    let mut document = Vec::new();
    text(&mut document, 1, "2.0");
    message(&mut document, 2, &info);
    message(&mut document, 8, &paths);
    message(&mut document, 9, &all);
    document
}

fn operation(resource: &Resource, action: &str) -> Vec<u8> {
    let mut operation = Vec::new();
    text(&mut operation, 5, &format!("{action}{}", resource.kind));
    for name in ["dryRun", "fieldManager", "fieldValidation"] {
        message(&mut operation, 8, &parameter(name));
    }
    // Responses: one that says OK.
    let mut response = Vec::new();
    text(&mut response, 1, "OK");
    let mut value = Vec::new();
    message(&mut value, 1, &response);
    let mut named = Vec::new();
    text(&mut named, 1, "200");
    message(&mut named, 2, &value);
    let mut responses = Vec::new();
    message(&mut responses, 1, &named);
    message(&mut operation, 9, &responses);
    extension(&mut operation, 13, "x-kubernetes-action", &format!("{action}\n"));
    extension(
        &mut operation,
        13,
        "x-kubernetes-group-version-kind",
        &format!("{}\n", kind(resource)),
    );
    operation
}

/// A query parameter that is a text.
fn parameter(name: &str) -> Vec<u8> {
    let mut query = Vec::new();
    text(&mut query, 2, "query");
    text(&mut query, 4, name);
    text(&mut query, 6, "string");
    let mut other = Vec::new();
    message(&mut other, 3, &query);
    let mut parameter = Vec::new();
    message(&mut parameter, 2, &other);
    let mut item = Vec::new();
    message(&mut item, 1, &parameter);
    item
}

fn named_schema(name: &str, value: &Value) -> Vec<u8> {
    let mut named = Vec::new();
    text(&mut named, 1, name);
    message(&mut named, 2, &schema(value));
    named
}

fn schema(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (key, number) in [("$ref", 1), ("format", 2)] {
        if let Some(found) = value[key].as_str() {
            text(&mut bytes, number, found);
        }
    }
    for one in value["required"].as_array().into_iter().flatten() {
        text(&mut bytes, 19, one.as_str().unwrap_or_default());
    }
    if let Some(additional) = value.get("additionalProperties") {
        let mut item = Vec::new();
        message(&mut item, 1, &schema(additional));
        message(&mut bytes, 21, &item);
    }
    if let Some(kind) = value["type"].as_str() {
        let mut item = Vec::new();
        text(&mut item, 1, kind);
        message(&mut bytes, 22, &item);
    }
    if let Some(items) = value.get("items") {
        let mut item = Vec::new();
        message(&mut item, 1, &schema(items));
        message(&mut bytes, 23, &item);
    }
    if let Some(properties) = value["properties"].as_object() {
        let mut all = Vec::new();
        for (name, property) in properties {
            message(&mut all, 1, &named_schema(name, property));
        }
        message(&mut bytes, 25, &all);
    }
    for (key, value) in value.as_object().into_iter().flatten() {
        if key.starts_with("x-") {
            extension(&mut bytes, 31, key, &format!("{value}\n"));
        }
    }
    bytes
}

/// A vendor extension; its value is YAML, and JSON is that.
fn extension(target: &mut Vec<u8>, number: u64, name: &str, yaml: &str) {
    let mut any = Vec::new();
    text(&mut any, 2, yaml);
    let mut named = Vec::new();
    text(&mut named, 1, name);
    message(&mut named, 2, &any);
    message(target, number, &named);
}

fn text(target: &mut Vec<u8>, number: u64, text: &str) {
    message(target, number, text.as_bytes());
}

fn message(target: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    varint(target, number << 3 | 2);
    varint(target, bytes.len() as u64);
    target.extend_from_slice(bytes);
}

fn varint(target: &mut Vec<u8>, mut number: u64) {
    loop {
        let byte = u8::try_from(number & 0x7f).unwrap_or_default();
        number >>= 7;
        if number == 0 {
            target.push(byte);
            return;
        }
        target.push(byte | 0x80);
    }
}
