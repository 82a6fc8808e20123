//! What Bitbucket sends.

use runtime::signature::{Stamp, scheme};
use serde_json::{Value, json};

use super::{COMMON, PROJECT, Proof, Sample, Source, sample};

pub(super) const SOURCES: &[Source] = &[
    Source {
        name: "bitbucket push of two branches",
        fires: "push",
        builds: 2,
        sample: |number| delivery("repo:push", &push(number)),
        ignored: Some(|| delivery("repo:fork", &json!({"repository": {"full_name": PROJECT}}))),
        unproved: 403,
        ..COMMON
    },
    Source {
        name: "bitbucket data center pull request",
        fires: "pr:opened",
        sample: |number| delivery("pr:opened", &pull_request(number, 1)),
        ignored: Some(|| delivery("pr:opened", &pull_request(1, 2))),
        unproved: 403,
        ..COMMON
    },
];

fn delivery(key: &str, body: &Value) -> Sample {
    let proof = Proof::Headers(|secret, body| {
        let signed = scheme::BITBUCKET.sign(secret, Stamp::default(), body);
        vec![(scheme::BITBUCKET.header, signed.unwrap_or_default())]
    });
    sample("/events/bitbucket", &[("x-event-key", key)], body, proof)
}

fn push(number: u32) -> Value {
    let change = |name: &str| {
        let target = json!({"hash": format!("{number:040x}"), "date": "2026-03-01T10:00:00Z"});
        json!({"old": null, "new": {"type": "branch", "name": name, "target": target}})
    };
    json!({
        "push": {"changes": [change("main"), change("feature")]},
        "repository": {"full_name": PROJECT},
    })
}

fn pull_request(number: u32, from: u32) -> Value {
    let (key, slug) = PROJECT.split_once('/').expect("a project has two parts");
    let repository = |id: u32| json!({"id": id, "slug": slug, "project": {"key": key}});
    json!({
        "eventKey": "pr:opened",
        "date": "2026-03-01T10:00:00+0000",
        "pullRequest": {
            "id": number,
            "fromRef": {"id": "refs/heads/feature", "latestCommit": format!("{number:040x}"),
                        "repository": repository(from)},
            "toRef": {"id": "refs/heads/main", "repository": repository(1)},
        },
    })
}
