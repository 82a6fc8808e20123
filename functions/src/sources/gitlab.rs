//! What GitLab sends.

use serde_json::{Value, json};

use super::{COMMON, PROJECT, Proof, Sample, Source, sample};

pub(super) const SOURCES: &[Source] = &[
    Source {
        name: "gitlab push",
        fires: "push",
        sample: |number| {
            let commit = format!("{number:040x}");
            delivery(json!({
                "object_kind": "push",
                "before": "0".repeat(40),
                "after": commit,
                "checkout_sha": commit,
                "ref": "refs/heads/main",
                "project": project(),
                "commits": [{"id": commit, "timestamp": "2026-03-01T10:00:00Z"}],
                "total_commits_count": 1,
            }))
        },
        ignored: Some(|| {
            delivery(json!({
                "object_kind": "push",
                "before": "1".repeat(40),
                "after": "0".repeat(40),
                "checkout_sha": null,
                "ref": "refs/heads/old",
                "project": project(),
            }))
        }),
        unproved: 403,
        unknown: 200,
        ..COMMON
    },
    Source {
        name: "gitlab merge_request",
        fires: "mergerequest",
        sample: |number| {
            delivery(json!({
                "object_kind": "merge_request",
                "project": project(),
                "object_attributes": {
                    "iid": number,
                    "action": "open",
                    "source_branch": "sails",
                    "source_project_id": 12,
                    "target_branch": "main",
                    "target_project_id": 12,
                    "last_commit": {"id": format!("{number:040x}")},
                    "updated_at": "2026-03-01 10:00:00 UTC",
                },
            }))
        },
        unproved: 403,
        unknown: 200,
        ..COMMON
    },
];

/// The proof is a token, so that the body is proved by nothing else.
fn delivery(body: Value) -> Sample {
    let proof = Proof::Headers(|secret, _body| vec![("x-gitlab-token", secret.to_owned())]);
    sample("/events/gitlab", &[("x-gitlab-event", "Some Hook")], body, proof)
}

fn project() -> Value {
    json!({"id": 12, "path_with_namespace": PROJECT, "default_branch": "main"})
}
