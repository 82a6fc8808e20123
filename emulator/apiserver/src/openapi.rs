//! The schema of the API as OpenAPI: v3 by group, and v2 as one document in JSON or protobuf.
//!
//! Names and types are complete, so that `kubectl explain`, `create` and `apply` work; the prose of
//! the real documents is not there.

mod custom;
mod gnostic;

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::response::Response;
use ring::digest::{Context, SHA512};
use serde_json::{Map, Value, json};

use crate::api::{Call, plain, typed};
use crate::resources::{Catalogue, Resource};
use crate::schema::{Field, Kind, TYPES};

const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// The index of the v3 documents. Each has a digest of what it is made from, so that clients keep
/// what has not changed.
pub(crate) fn index(catalogue: &Catalogue) -> Response {
    let mut paths = Map::new();
    let mut add = |path: String, group: &str, version: &str| {
        let hash = hash(&of(catalogue, group, version));
        let url = format!("/openapi/v3/{path}?hash={hash}");
        paths.insert(path, json!({"serverRelativeURL": url}));
    };
    add("api/v1".to_owned(), "", "v1");
    for (group, versions) in catalogue.groups() {
        for version in versions {
            add(format!("apis/{group}/{version}"), &group, &version);
        }
    }
    typed(200, "text/plain; charset=utf-8", json!({"paths": paths}).to_string())
}

fn of<'a>(catalogue: &'a Catalogue, group: &str, version: &str) -> Vec<&'a Arc<Resource>> {
    let of = |one: &&Arc<Resource>| one.group == group && one.version == version;
    catalogue.resources.iter().filter(of).collect()
}

fn hash(resources: &[&Arc<Resource>]) -> String {
    let mut context = Context::new(&SHA512);
    context.update(env!("CARGO_PKG_VERSION").as_bytes());
    for resource in resources {
        context.update(resource.schema.as_bytes());
        if let Some(custom) = &resource.custom {
            context.update(custom.written.to_string().as_bytes());
            context.update(format!("{:?}", resource.subresources).as_bytes());
        }
    }
    context.finish().as_ref().iter().map(|byte| format!("{byte:02X}")).collect()
}

/// The v3 document of a group.
pub(crate) fn v3(catalogue: &Catalogue, group: &str, version: &str) -> Option<Response> {
    let resources = of(catalogue, group, version);
    if resources.is_empty() {
        return None;
    }
    let document = json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.36.2"},
        "paths": paths(&resources, Version::Three),
        "components": {"schemas": schemas(&resources, Version::Three)},
    });
    Some(plain(200, &document))
}

/// The v2 document.
pub(crate) fn v2(catalogue: &Catalogue, call: &Call) -> Response {
    let resources: Vec<&Arc<Resource>> = catalogue.resources.iter().collect();
    let definitions = schemas(&resources, Version::Two);
    if call.header("accept").contains("protobuf") {
        return typed(200, PROTOBUF, gnostic::encode(&definitions, &resources));
    }
    let document = json!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": "v1.36.2"},
        "paths": paths(&resources, Version::Two),
        "definitions": definitions,
    });
    plain(200, &document)
}

/// The version of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    Two,
    Three,
}

impl Version {
    /// Where a document keeps its schemas.
    fn prefix(self) -> &'static str {
        match self {
            Version::Two => "#/definitions/",
            Version::Three => "#/components/schemas/",
        }
    }

    /// A schema by its name.
    fn reference(self, name: &str) -> Value {
        let reference = json!({"$ref": format!("{}{name}", self.prefix())});
        match self {
            Version::Two => reference,
            Version::Three => json!({"allOf": [reference]}),
        }
    }

    /// A query parameter that is a text.
    fn parameter(self, name: &str) -> Value {
        match self {
            Version::Two => json!({"name": name, "in": "query", "type": "string"}),
            Version::Three => json!({"name": name, "in": "query", "schema": {"type": "string"}}),
        }
    }
}

/// The paths of resources with what can be done there.
fn paths(resources: &[&Arc<Resource>], version: Version) -> Map<String, Value> {
    let mut paths = Map::new();
    for resource in resources {
        for (path, operations) in operations(resource) {
            let operations: Map<String, Value> = operations
                .into_iter()
                .map(|(method, action)| {
                    let parameters: Vec<Value> = ["dryRun", "fieldManager", "fieldValidation"]
                        .iter()
                        .map(|name| version.parameter(name))
                        .collect();
                    let operation = json!({
                        "operationId": format!("{action}{}{}", resource.kind, resource.version),
                        "x-kubernetes-action": action,
                        "x-kubernetes-group-version-kind": kind(resource),
                        "parameters": parameters,
                        "responses": {"200": {"description": "OK"}},
                    });
                    (method.to_owned(), operation)
                })
                .collect();
            paths.insert(path, Value::Object(operations));
        }
    }
    paths
}

fn kind(resource: &Resource) -> Value {
    json!({"group": resource.group, "version": resource.version, "kind": resource.kind})
}

/// The paths of a resource, each with its methods and what they do.
fn operations(resource: &Resource) -> Vec<(String, Vec<(&'static str, &'static str)>)> {
    let base = if resource.group.is_empty() {
        format!("/api/{}", resource.version)
    } else {
        format!("/apis/{}/{}", resource.group, resource.version)
    };
    let place = if resource.namespaced { "/namespaces/{namespace}" } else { "" };
    let collection = format!("{base}{place}/{}", resource.plural);
    if !resource.stored {
        return vec![(collection, vec![("post", "post")])];
    }
    let item = format!("{collection}/{{name}}");
    let mut paths = vec![
        (collection, vec![("get", "list"), ("post", "post"), ("delete", "deletecollection")]),
        (
            item.clone(),
            vec![("get", "get"), ("put", "put"), ("patch", "patch"), ("delete", "delete")],
        ),
    ];
    if resource.has_status() {
        let status = vec![("get", "get"), ("put", "put"), ("patch", "patch")];
        paths.push((format!("{item}/status"), status));
    }
    paths
}

/// The schemas of the resources and of all that they are made of.
fn schemas(resources: &[&Arc<Resource>], version: Version) -> Map<String, Value> {
    let mut wanted: Vec<usize> =
        resources.iter().filter_map(|one| TYPES.find(&one.schema)).collect();
    if resources.iter().any(|one| one.custom.is_some()) {
        wanted.extend(TYPES.find("meta.v1.ObjectMeta"));
    }
    let mut seen: BTreeSet<usize> = BTreeSet::new();
    while let Some(index) = wanted.pop() {
        if seen.insert(index) {
            wanted.extend(TYPES.get(index).fields.values().filter_map(|field| inner(&field.kind)));
        }
    }
    let mut schemas = Map::new();
    for resource in resources {
        if let Some(custom) = &resource.custom {
            schemas
                .insert(resource.schema.clone(), self::custom::schema(resource, custom, version));
        }
    }
    for index in seen {
        let structure = TYPES.get(index);
        let resource = resources.iter().find(|one| one.schema == structure.name);
        let mut properties = Map::new();
        if resource.is_some() {
            properties.insert("apiVersion".into(), json!({"type": "string"}));
            properties.insert("kind".into(), json!({"type": "string"}));
        }
        for name in &structure.order {
            let field = &structure.fields[name];
            properties.insert(name.clone(), property(field, version));
        }
        let mut schema = json!({"type": "object", "properties": properties});
        let required: Vec<&str> = structure
            .order
            .iter()
            .map(String::as_str)
            .filter(|name| structure.fields[*name].required && *name != "metadata")
            .filter(|name| !matches!(structure.fields[*name].kind, Kind::Time | Kind::MicroTime))
            .collect();
        if !required.is_empty() && resource.is_none() {
            schema["required"] = json!(required);
        }
        if let Some(resource) = resource {
            schema["x-kubernetes-group-version-kind"] = json!([kind(resource)]);
        }
        if structure.atomic {
            schema["x-kubernetes-map-type"] = json!("atomic");
        }
        schemas.insert(full_name(&structure.name), schema);
    }
    schemas
}

fn inner(kind: &Kind) -> Option<usize> {
    match kind {
        Kind::Struct(index) => Some(*index),
        Kind::List(item) | Kind::Map(item) => inner(item),
        _ => None,
    }
}

fn property(field: &Field, version: Version) -> Value {
    let mut schema = type_of(&field.kind, version);
    if let Kind::List(_) = field.kind {
        if !field.list_keys.is_empty() {
            schema["x-kubernetes-list-type"] = json!("map");
            schema["x-kubernetes-list-map-keys"] = json!(field.list_keys);
        } else {
            let kind = if field.set { "set" } else { "atomic" };
            schema["x-kubernetes-list-type"] = json!(kind);
        }
        if let Some(key) = &field.merge_key {
            schema["x-kubernetes-patch-merge-key"] = json!(key);
        }
        if field.merge_key.is_some() || field.set {
            schema["x-kubernetes-patch-strategy"] = json!("merge");
        }
    }
    schema
}

fn type_of(kind: &Kind, version: Version) -> Value {
    match kind {
        Kind::String => json!({"type": "string"}),
        Kind::Int32 => json!({"type": "integer", "format": "int32"}),
        Kind::Int64 => json!({"type": "integer", "format": "int64"}),
        Kind::Bool => json!({"type": "boolean"}),
        Kind::Double => json!({"type": "number", "format": "double"}),
        Kind::Bytes => json!({"type": "string", "format": "byte"}),
        Kind::Quantity => json!({"type": "string"}),
        Kind::IntOrString => json!({"type": "string", "format": "int-or-string"}),
        Kind::Time | Kind::MicroTime => json!({"type": "string", "format": "date-time"}),
        Kind::Any | Kind::Deduced => json!({"type": "object"}),
        Kind::Struct(index) => version.reference(&full_name(&TYPES.get(*index).name)),
        Kind::List(item) => json!({"type": "array", "items": type_of(item, version)}),
        Kind::Map(item) => {
            json!({"type": "object", "additionalProperties": type_of(item, version)})
        }
    }
}

/// The name of a type in the documents.
fn full_name(name: &str) -> String {
    if name.starts_with("meta.") {
        format!("io.k8s.apimachinery.pkg.apis.{name}")
    } else if name.starts_with("apiextensions.") {
        format!("io.k8s.apiextensions-apiserver.pkg.apis.{name}")
    } else {
        format!("io.k8s.api.{name}")
    }
}
