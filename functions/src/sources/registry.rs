//! What image registries send.

use serde_json::{Value, json};

use super::{BEARER, COMMON, Proof, Sample, Source, sample};

const URI: &str = "/events/webhook/ocean/brig?commit=main";

/// Harbor sends what it is given, and puts nothing before it.
const BARE: Proof = Proof::Headers(|secret, _body| vec![("authorization", secret.to_owned())]);

pub(super) const SOURCES: &[Source] = &[
    Source {
        name: "registry acr",
        fires: "image_push",
        sample: |number| by_query(&acr(number, "push")),
        ignored: Some(|| by_query(&acr(1, "quarantine"))),
        ..COMMON
    },
    Source {
        name: "registry dockerhub",
        fires: "image_push",
        sample: |number| {
            by_query(&json!({
                "push_data": {"pushed_at": 1_772_359_200 + number, "pusher": "ada", "tag": "1.0"},
                "repository": {"repo_name": "ocean/app", "name": "app", "namespace": "ocean"},
            }))
        },
        ..COMMON
    },
    Source {
        name: "registry harbor",
        fires: "image_push",
        builds: 2,
        sample: |number| sample(URI, &[], harbor(number, "PUSH_ARTIFACT"), BARE),
        ignored: Some(|| sample(URI, &[], harbor(1, "PULL_ARTIFACT"), BARE)),
        ..COMMON
    },
    Source {
        name: "registry harbor cloudevent",
        fires: "image_delete",
        sample: |number| {
            let body = json!({
                "specversion": "1.0",
                "id": format!("event-{number}"),
                "source": "/projects/2/webhook/policies/4",
                "type": "harbor.artifact.deleted",
                "time": "2026-03-01T10:00:00Z",
                "data": {
                    "resources": [{
                        "digest": digest(number),
                        "tag": "v1",
                        "resource_url": "harbor.ocean.example/ocean/app:v1",
                    }],
                    "repository": {"name": "app", "repo_full_name": "ocean/app"},
                },
            });
            sample(URI, &[("content-type", "application/cloudevents+json")], body, BARE)
        },
        ..COMMON
    },
    Source {
        name: "registry distribution",
        fires: "image_push",
        builds: 2,
        sample: |number| sample(URI, &[DISTRIBUTION], distribution(number, "push"), BEARER),
        ignored: Some(|| sample(URI, &[DISTRIBUTION], distribution(1, "pull"), BEARER)),
        ..COMMON
    },
    Source {
        name: "registry gitea",
        fires: "image_push",
        sample: |number| {
            let body = json!({
                "action": "created",
                "package": {
                    "id": number,
                    "owner": {"login": "ocean"},
                    "type": "container",
                    "name": "app",
                    "version": "v1",
                    "html_url": "https://gitea.ocean.example/ocean/-/packages/container/app/v1",
                    "created_at": "2026-03-01T10:00:00Z",
                },
            });
            sample(URI, &[("x-gitea-event", "package")], body, BEARER)
        },
        ..COMMON
    },
    Source {
        name: "registry quay",
        fires: "image_push",
        builds: 2,
        sample: |number| {
            by_query(&json!({
                "repository": "ocean/app",
                "namespace": "ocean",
                "name": format!("app{number}"),
                "docker_url": "quay.ocean.example/ocean/app",
                "homepage": "https://quay.ocean.example/repository/ocean/app",
                "updated_tags": ["v1", "latest"],
            }))
        },
        is_known_again: false,
        ..COMMON
    },
];

const DISTRIBUTION: (&str, &str) =
    ("content-type", "application/vnd.docker.distribution.events.v2+json");

fn by_query(body: &Value) -> Sample {
    sample(&format!("{URI}&token={{token}}"), &[], body, Proof::Uri)
}

fn digest(number: u32) -> String {
    format!("sha256:{number:064x}")
}

pub(super) fn acr(number: u32, action: &str) -> Value {
    json!({
        "id": format!("delivery-{number}"),
        "timestamp": "2026-03-01T10:00:00Z",
        "action": action,
        "target": {"digest": digest(number), "repository": "team/app", "tag": "1.0"},
        "request": {"host": "ocean.azurecr.io"},
    })
}

fn harbor(number: u32, kind: &str) -> Value {
    let resource = |tag: &str| {
        json!({
            "digest": digest(number),
            "tag": tag,
            "resource_url": format!("harbor.ocean.example/ocean/app:{tag}"),
        })
    };
    json!({
        "type": kind,
        "occur_at": 1_772_359_200,
        "operator": "ada",
        "event_data": {
            "resources": [resource("v1"), resource("latest")],
            "repository": {"name": "app", "namespace": "ocean", "repo_full_name": "ocean/app"},
        },
    })
}

pub(super) fn distribution(number: u32, action: &str) -> Value {
    let event = |name: &str, media: &str, place: &str, tag: Option<&str>| {
        json!({
            "id": format!("event-{number}-{name}"),
            "timestamp": "2026-03-01T10:00:00Z",
            "action": action,
            "target": {
                "mediaType": media,
                "digest": digest(number),
                "repository": "ocean/app",
                "url": format!("https://registry.ocean.example/v2/ocean/app/{place}/{name}"),
                "tag": tag,
            },
            "request": {"host": "registry.ocean.example", "method": "PUT"},
        })
    };
    let manifest = "application/vnd.oci.image.manifest.v1+json";
    json!({"events": [
        event("layer", "application/octet-stream", "blobs", None),
        event("v1", manifest, "manifests", Some("v1")),
        event("latest", manifest, "manifests", Some("latest")),
    ]})
}
