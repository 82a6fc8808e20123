//! What Gitea sends.

use runtime::signature::{Stamp, scheme};
use serde_json::{Value, json};

use super::{COMMON, PROJECT, Proof, Sample, Source, sample};

pub(super) const SOURCES: &[Source] = &[
    Source {
        name: "gitea push",
        fires: "push",
        sample: |number| delivery(&push(number)),
        ignored: Some(|| delivery(&json!({"action": "created", "repository": repository()}))),
        unproved: 403,
        ..COMMON
    },
    Source {
        name: "gitea pull_request",
        fires: "pull_request",
        sample: |number| delivery(&pull_request(number, 1)),
        ignored: Some(|| delivery(&pull_request(1, 2))),
        unproved: 403,
        ..COMMON
    },
];

fn delivery(body: &Value) -> Sample {
    let proof = Proof::Headers(|secret, body| {
        let signed = scheme::GITEA.sign(secret, Stamp::default(), body);
        vec![(scheme::GITEA.header, signed.unwrap_or_default())]
    });
    sample("/events/gitea", &[("x-gitea-event", "push")], body, proof)
}

fn repository() -> Value {
    json!({"id": 1, "full_name": PROJECT, "default_branch": "main"})
}

fn push(number: u32) -> Value {
    json!({
        "ref": "refs/heads/main",
        "after": format!("{number:040x}"),
        "head_commit": {"id": format!("{number:040x}"), "timestamp": "2026-03-01T10:00:00Z"},
        "repository": repository(),
    })
}

fn pull_request(number: u32, head: u32) -> Value {
    json!({
        "action": "opened",
        "number": number,
        "pull_request": {
            "number": number,
            "updated_at": "2026-03-01T10:00:00Z",
            "head": {"sha": format!("{number:040x}"), "ref": "feature", "repo": {"id": head}},
            "base": {"ref": "main", "repo": {"id": 1}},
        },
        "repository": repository(),
    })
}
