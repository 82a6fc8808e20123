//! What Azure DevOps sends.

use serde_json::{Value, json};

use super::{BEARER, COMMON, Proof, Source, sample};

pub(super) const SOURCES: &[Source] = &[
    Source {
        name: "azuredevops push",
        fires: "git.push",
        sample: |number| {
            sample("/vsts/ocean%2Fbrig/{token}", &[], push(&format!("{number:040x}")), Proof::Uri)
        },
        ignored: Some(|| {
            sample("/vsts/ocean%2Fbrig/{token}", &[], push(&"0".repeat(40)), Proof::Uri)
        }),
        unproved: 403,
        ..COMMON
    },
    Source {
        name: "azuredevops push with a header",
        fires: "git.push",
        sample: |number| {
            let body = push(&format!("{number:040x}"));
            sample("/events/azuredevops/ocean/brig", &[], body, BEARER)
        },
        unproved: 403,
        ..COMMON
    },
];

fn push(commit: &str) -> Value {
    json!({
        "eventType": "git.push",
        "createdDate": "2026-03-01T10:00:00.1234567Z",
        "resource": {"refUpdates": [{"name": "refs/heads/main", "newObjectId": commit}]},
    })
}
