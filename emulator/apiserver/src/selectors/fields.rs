//! Field selectors: the fields that the real server knows for each kind, and its error for others.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value;

use crate::custom::{Custom, find};
use crate::object;
use crate::resources::Resource;

/// A parsed selector; all requirements must hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fields {
    requirements: Vec<Requirement>,
}

#[derive(Debug, Clone)]
struct Requirement {
    field: String,
    value: String,
    equal: bool,
}

impl Fields {
    /// # Errors
    /// The message of the real server.
    pub(crate) fn parse(resource: &Resource, text: &str) -> Result<Fields, String> {
        let requirements = requirements(text)?;
        for one in &requirements {
            if !known(resource, &one.field) {
                return Err(unknown(resource, &one.field));
            }
        }
        Ok(Fields { requirements })
    }

    /// The only value that a selector leaves a field, if it does so.
    pub(crate) fn exact(text: &str, field: &str) -> Option<String> {
        let requirements = requirements(text).ok()?;
        requirements.into_iter().find(|one| one.equal && one.field == field).map(|one| one.value)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    pub(crate) fn matches(&self, resource: &Resource, object: &Value) -> bool {
        self.requirements
            .iter()
            .all(|one| (value(resource, object, &one.field) == one.value) == one.equal)
    }
}

fn requirements(text: &str) -> Result<Vec<Requirement>, String> {
    let mut requirements = Vec::new();
    for term in split(text) {
        let Some((field, equal, value)) = requirement(&term) else {
            return Err(format!("invalid selector: '{text}'; can't understand '{term}'"));
        };
        let value = unescape(value)?;
        requirements.push(Requirement { field: field.to_owned(), value, equal });
    }
    Ok(requirements)
}

const POD: &[&str] = &[
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.nominatedNodeName",
];
const EVENT: &[&str] = &[
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
];
const NEW_EVENT: &[&str] = &[
    "regarding.kind",
    "regarding.namespace",
    "regarding.name",
    "regarding.uid",
    "regarding.apiVersion",
    "regarding.resourceVersion",
    "regarding.fieldPath",
    "reason",
    "reportingController",
    "type",
];

fn known(resource: &Resource, field: &str) -> bool {
    if field == "metadata.name" || (field == "metadata.namespace" && resource.namespaced) {
        return true;
    }
    let selectable = |custom: &Arc<Custom>| custom.selectable.iter().any(|one| names(one, field));
    resource.custom.as_ref().is_some_and(selectable)
        || extra(resource).contains(&field)
        || (field == "metadata.namespace"
            && matches!(resource.kind.as_str(), "Namespace" | "Node" | "PersistentVolume"))
}

/// Whether a path like `.spec.color` is what a selector calls `spec.color`.
fn names(path: &str, field: &str) -> bool {
    path.strip_prefix('.').unwrap_or(path) == field
}

/// The fields beside name and namespace.
fn extra(resource: &Resource) -> &'static [&'static str] {
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Pod") => POD,
        ("", "Event") => EVENT,
        ("events.k8s.io", "Event") => NEW_EVENT,
        ("", "Secret") => &["type"],
        ("", "Namespace") => &["status.phase"],
        ("", "Node") => &["spec.unschedulable"],
        ("", "ReplicationController") | ("apps", "ReplicaSet") => &["status.replicas"],
        ("", "Service") => &["spec.clusterIP", "spec.type"],
        ("batch", "Job") => &["status.successful"],
        _ => &[],
    }
}

fn unknown(resource: &Resource, field: &str) -> String {
    if resource.custom.is_some() {
        return format!("field label not supported: {field}");
    }
    match (resource.group.as_str(), resource.kind.as_str()) {
        (
            "",
            "Namespace" | "Secret" | "Pod" | "Node" | "Event" | "ReplicationController" | "Service",
        )
        | ("events.k8s.io", "Event")
        | ("apps", "ReplicaSet") => format!("field label not supported: {field}"),
        ("batch", "Job") => format!("field label {field:?} not supported for Job"),
        _ => format!(
            "{field:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
        ),
    }
}

fn value<'a>(resource: &Resource, object: &'a Value, field: &str) -> Cow<'a, str> {
    if resource.custom.is_some() && !field.starts_with("metadata.") {
        return match find(object, field) {
            Some(Value::String(text)) => text.into(),
            Some(Value::Null) | None => "".into(),
            Some(other) => other.to_string().into(),
        };
    }
    match field {
        "metadata.name" => object::name(object).into(),
        "metadata.namespace" => object::namespace(object).into(),
        "spec.hostNetwork" | "spec.unschedulable" => {
            let set = field.rsplit('.').next().unwrap_or_default();
            object["spec"][set].as_bool().unwrap_or_default().to_string().into()
        }
        "status.replicas" => {
            object["status"]["replicas"].as_u64().unwrap_or_default().to_string().into()
        }
        "status.successful" => {
            object["status"]["succeeded"].as_u64().unwrap_or_default().to_string().into()
        }
        "source" => match object::text(object, &["source", "component"]) {
            "" => object::text(object, &["reportingComponent"]).into(),
            component => component.into(),
        },
        "reportingController" => object::text(object, &["reportingComponent"]).into(),
        _ => {
            // Events are kept in their core form, whichever version asks.
            let core = field.strip_prefix("regarding.").filter(|_| resource.kind == "Event");
            let (first, rest) = match core {
                Some(rest) => ("involvedObject", rest),
                None => field.split_once('.').unwrap_or((field, "")),
            };
            let start = &object[first];
            let end = if rest.is_empty() { start } else { &start[rest] };
            end.as_str().unwrap_or_default().into()
        }
    }
}

fn split(text: &str) -> Vec<String> {
    let mut terms = vec![String::new()];
    let mut escaped = false;
    for letter in text.chars() {
        let term = terms.last_mut().expect("it starts with one");
        match letter {
            _ if escaped => {
                term.push(letter);
                escaped = false;
            }
            '\\' => {
                term.push(letter);
                escaped = true;
            }
            ',' => terms.push(String::new()),
            _ => term.push(letter),
        }
    }
    terms.retain(|term| !term.is_empty());
    terms
}

fn requirement(term: &str) -> Option<(&str, bool, &str)> {
    for (at, _) in term.char_indices() {
        let rest = &term[at..];
        for (operator, equal) in [("!=", false), ("==", true), ("=", true)] {
            if let Some(value) = rest.strip_prefix(operator) {
                return Some((&term[..at], equal, value));
            }
        }
    }
    None
}

fn unescape(value: &str) -> Result<String, String> {
    let mut text = String::new();
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some(next @ ('\\' | ',' | '=')) => text.push(next),
                Some(next) => {
                    return Err(format!(
                        "invalid field selector: invalid escape sequence: \\{next}"
                    ));
                }
                None => return Err("invalid field selector: invalid escape sequence: \\".into()),
            },
            ',' | '=' => {
                return Err(format!("invalid field selector: unescaped character in {value:?}"));
            }
            other => text.push(other),
        }
    }
    Ok(text)
}
