//! What GitHub sends.

use runtime::signature;
use serde_json::{Value, json};

use super::{COMMON, PROJECT, Proof, Sample, Source, sample};

pub(super) const SOURCES: &[Source] = &[
    Source {
        name: "github push",
        fires: "push",
        sample: |number| delivery("push", &push(number)),
        ignored: Some(|| delivery("ping", &push(1))),
        unproved: 403,
        ..COMMON
    },
    Source {
        name: "github pull_request",
        fires: "pull_request",
        sample: |number| delivery("pull_request", &pull_request(number)),
        ignored: Some(|| delivery("ping", &pull_request(1))),
        unproved: 403,
        ..COMMON
    },
    Source {
        name: "github package",
        fires: "image_push",
        sample: |number| delivery("package", &package(number)),
        unproved: 403,
        ..COMMON
    },
];

fn delivery(event: &str, body: &Value) -> Sample {
    let proof = Proof::Headers(|secret, body| {
        vec![("x-hub-signature-256", signature::sign_github(secret, body))]
    });
    sample("/events/github", &[("x-github-event", event)], body, proof)
}

fn push(number: u32) -> Value {
    json!({
        "ref": "refs/heads/main",
        "after": format!("{number:040x}"),
        "head_commit": {"id": format!("{number:040x}")},
        "repository": {"full_name": PROJECT, "pushed_at": 1_772_359_200},
    })
}

fn pull_request(number: u32) -> Value {
    let repository = json!({"full_name": PROJECT, "id": 1, "fork": false});
    json!({
        "action": "opened",
        "number": number,
        "pull_request": {
            "number": number,
            "author_association": "OWNER",
            "updated_at": "2026-03-01T10:00:00Z",
            "head": {"sha": format!("{number:040x}"), "ref": "feature", "repo": repository},
            "base": {"sha": "0".repeat(40), "ref": "main", "repo": repository},
        },
        "repository": repository,
    })
}

fn package(number: u32) -> Value {
    let digest = format!("sha256:{number:064x}");
    json!({
        "action": "published",
        "package": {
            "id": 900,
            "name": "app",
            "namespace": "ocean",
            "ecosystem": "CONTAINER",
            "package_type": "CONTAINER",
            "owner": {"login": "ocean"},
            "package_version": {
                "id": number,
                "version": digest,
                "package_url": "ghcr.io/ocean/app:1.0",
                "container_metadata": {"tag": {"name": "1.0", "digest": digest}},
                "updated_at": "2026-03-01T10:00:00Z",
            },
        },
        "repository": {"full_name": PROJECT, "id": 1},
    })
}
