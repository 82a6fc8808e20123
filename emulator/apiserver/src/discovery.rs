//! What the server has: versions, groups, resources, health. In the old form and in the aggregated
//! one (v2), which newer clients ask for.

use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use ring::digest::{SHA256, digest};
use serde_json::{Map, Value, json};
use std::sync::Arc;

use crate::api::{Call, plain, typed};
use crate::failure::Failure;
use crate::openapi;
use crate::resources::{Catalogue, Resource, Subresource};

/// The version of Kubernetes that the API follows.
const MINOR: &str = "36";

/// Answers a path that names no resource, if it is one of these.
pub(crate) fn answer(
    catalogue: &Catalogue,
    path: &str,
    call: &Call,
) -> Option<Result<Response, Failure>> {
    let path = path.trim_end_matches('/');
    let found = document(catalogue, path, call)?;
    Some(if call.method == Method::GET { found } else { Err(Failure::method_not_allowed()) })
}

fn document(catalogue: &Catalogue, path: &str, call: &Call) -> Option<Result<Response, Failure>> {
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    Some(Ok(match segments.as_slice() {
        ["version"] => plain(200, &version()),
        ["healthz" | "livez" | "readyz"] | ["healthz" | "livez" | "readyz", "ping"] => health(),
        ["api"] if aggregated(call) => aggregate(catalogue, true),
        ["apis"] if aggregated(call) => aggregate(catalogue, false),
        [""] => plain(200, &json!({"paths": paths(catalogue)})),
        ["api"] => plain(
            200,
            &json!({
                "kind": "APIVersions",
                "versions": ["v1"],
                "serverAddressByClientCIDRs": [
                    {"clientCIDR": "0.0.0.0/0", "serverAddress": call.header("host")},
                ],
            }),
        ),
        ["apis"] => {
            let groups: Vec<Value> =
                catalogue.groups().iter().map(|(name, versions)| group(name, versions)).collect();
            plain(200, &json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
        }
        ["api", version] => return resources(catalogue, "", version),
        ["apis", name] => {
            let (name, versions) = catalogue.groups().into_iter().find(|(one, _)| one == name)?;
            let mut group = group(&name, &versions);
            group["kind"] = json!("APIGroup");
            group["apiVersion"] = json!("v1");
            plain(200, &group)
        }
        ["apis", group, version] => return resources(catalogue, group, version),
        ["openapi", "v2"] => openapi::v2(catalogue, call),
        ["openapi", "v3"] => openapi::index(catalogue),
        ["openapi", "v3", "api", version] => return openapi::v3(catalogue, "", version).map(Ok),
        ["openapi", "v3", "apis", group, version] => {
            return openapi::v3(catalogue, group, version).map(Ok);
        }
        _ => return None,
    }))
}

fn version() -> Value {
    json!({
        "major": "1",
        "minor": MINOR,
        "emulationMajor": "1",
        "emulationMinor": MINOR,
        "minCompatibilityMajor": "1",
        "minCompatibilityMinor": "35",
        "gitVersion": format!("v1.{MINOR}.2"),
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "none",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, architecture()),
    })
}

/// The name that Kubernetes has for this machine's architecture.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn health() -> Response {
    typed(200, "text/plain; charset=utf-8", "ok")
}

fn aggregated(call: &Call) -> bool {
    call.header("accept").split(',').next().is_some_and(|first| {
        first.contains("as=APIGroupDiscoveryList") && first.contains("application/json")
    })
}

fn group(name: &str, versions: &[String]) -> Value {
    let versions: Vec<Value> = versions
        .iter()
        .map(|version| json!({"groupVersion": format!("{name}/{version}"), "version": version}))
        .collect();
    json!({"name": name, "versions": versions, "preferredVersion": versions.first()})
}

fn of<'a>(catalogue: &'a Catalogue, group: &str, version: &str) -> Vec<&'a Arc<Resource>> {
    let mut found: Vec<&Arc<Resource>> = catalogue
        .resources
        .iter()
        .filter(|one| one.group == group && one.version == version)
        .collect();
    found.sort_by(|a, b| a.plural.cmp(&b.plural));
    found
}

fn resources(
    catalogue: &Catalogue,
    group: &str,
    version: &str,
) -> Option<Result<Response, Failure>> {
    let found = of(catalogue, group, version);
    if found.is_empty() {
        let known = group.is_empty() || catalogue.groups().iter().any(|(name, _)| name == group);
        let known = known && !catalogue.is_custom(group);
        return known.then(|| Err(Failure::no_resource()));
    }
    let mut list = Vec::new();
    for resource in &found {
        list.push(resource_line(resource));
        for part in &resource.subresources {
            list.push(part_line(resource, part));
        }
    }
    let group_version =
        if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let mut body = json!({
        "kind": "APIResourceList",
        "groupVersion": group_version,
        "resources": list,
    });
    if !group.is_empty() {
        body["apiVersion"] = json!("v1");
    }
    Some(Ok(plain(200, &body)))
}

/// The paths that the server answers.
fn paths(catalogue: &Catalogue) -> Vec<String> {
    let mut paths: Vec<String> = [
        "/api",
        "/api/v1",
        "/apis",
        "/apis/",
        "/healthz",
        "/healthz/ping",
        "/livez",
        "/livez/ping",
        "/openapi/v2",
        "/openapi/v3",
        "/openapi/v3/",
        "/readyz",
        "/readyz/ping",
        "/version",
    ]
    .map(str::to_owned)
    .to_vec();
    for (group, versions) in catalogue.groups() {
        paths.push(format!("/apis/{group}"));
        paths.extend(versions.iter().map(|version| format!("/apis/{group}/{version}")));
    }
    paths.sort();
    paths
}

/// Tells in which version objects are kept: the start of a digest of group, version and kind.
fn storage_hash(resource: &Resource) -> String {
    let (group, version) = match (&resource.custom, resource.kind.as_str()) {
        (Some(custom), _) => (resource.group.as_str(), custom.storage_version.as_str()),
        (None, "Event") => ("", "v1"),
        (None, "CustomResourceDefinition") => (resource.group.as_str(), "v1beta1"),
        (None, "HorizontalPodAutoscaler") => ("autoscaling", "v2"),
        (None, _) => (resource.group.as_str(), resource.version.as_str()),
    };
    let text = format!("{group}/{version}/{}", resource.kind);
    STANDARD.encode(&digest(&SHA256, text.as_bytes()).as_ref()[..8])
}

fn resource_line(resource: &Resource) -> Value {
    let mut line = json!({
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": resource.verbs(),
    });
    if !resource.short.is_empty() {
        line["shortNames"] = json!(resource.short);
    }
    if !resource.categories.is_empty() {
        line["categories"] = json!(resource.categories);
    }
    if resource.stored && resource.kind != "ComponentStatus" {
        line["storageVersionHash"] = json!(storage_hash(resource));
    }
    line
}

fn part_line(resource: &Resource, part: &Subresource) -> Value {
    let mut line = json!({
        "name": format!("{}/{}", resource.plural, part.name),
        "singularName": "",
        "namespaced": resource.namespaced,
        "kind": if part.kind.is_empty() { &resource.kind } else { part.kind },
        "verbs": part.verbs,
    });
    if !part.kind.is_empty() && part.group != resource.group {
        line["group"] = json!(part.group);
        line["version"] = json!(part.version);
    }
    line
}

fn aggregate(catalogue: &Catalogue, core: bool) -> Response {
    let groups =
        if core { vec![(String::new(), vec!["v1".to_owned()])] } else { catalogue.groups() };
    let items: Vec<Value> = groups
        .iter()
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions
                .iter()
                .map(|version| {
                    let resources: Vec<Value> = of(catalogue, group, version)
                        .into_iter()
                        .map(|resource| aggregated_line(resource))
                        .collect();
                    json!({"version": version, "resources": resources, "freshness": "Current"})
                })
                .collect();
            let mut metadata = Map::new();
            if !group.is_empty() {
                metadata.insert("name".into(), json!(group));
            }
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    let body = json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    });
    typed(
        200,
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        body.to_string(),
    )
}

fn aggregated_line(resource: &Resource) -> Value {
    let scope = if resource.namespaced { "Namespaced" } else { "Cluster" };
    let kind = |group: &str, version: &str, kind: &str| json!({"group": group, "version": version, "kind": kind});
    let parts: Vec<Value> = resource
        .subresources
        .iter()
        .map(|part| {
            let response = if part.kind.is_empty() {
                kind(&resource.group, &resource.version, &resource.kind)
            } else {
                kind(part.group, part.version, part.kind)
            };
            json!({"subresource": part.name, "responseKind": response, "verbs": part.verbs})
        })
        .collect();
    let mut line = json!({
        "resource": resource.plural,
        "responseKind": kind(&resource.group, &resource.version, &resource.kind),
        "scope": scope,
        "singularResource": resource.singular,
        "verbs": resource.verbs(),
    });
    for (key, list) in [("shortNames", &resource.short), ("categories", &resource.categories)] {
        if !list.is_empty() {
            line[key] = json!(list);
        }
    }
    if !parts.is_empty() {
        line["subresources"] = json!(parts);
    }
    line
}
