//! What git hosts besides GitHub send.

use super::sample::Choice::{Action, Commit, Message, Number, Ref, Tag};
use super::sample::Sample;

pub(super) const SAMPLES: &[Sample] = &[
    Sample {
        source: "gitlab",
        event: "push",
        fires: Some("push"),
        about: "a commit is pushed to a branch",
        takes: &[Ref, Commit, Message],
        recording: include_str!("../../../tests/payloads/gitlab/push.http"),
        fill: |draft, values| {
            draft.put("/ref", values.full_reference());
            draft.put("/commits/0/timestamp", values.now.to_string());
            draft.put_chosen("/commits/0/message", values.message.clone());
        },
    },
    Sample {
        source: "gitlab",
        event: "tag",
        fires: Some("tag"),
        about: "a tag is pushed",
        takes: &[Tag, Commit],
        recording: include_str!("../../../tests/payloads/gitlab/tag-deleted.http"),
        fill: |draft, values| {
            let tag = values.tag.as_deref().unwrap_or("v1.0");
            draft.put("/ref", format!("refs/tags/{tag}"));
            draft.put("/before", "0".repeat(40));
            draft.put("/after", values.commit.clone());
            draft.put("/checkout_sha", values.commit.clone());
        },
    },
    Sample {
        source: "gitlab",
        event: "merge_request",
        fires: Some("mergerequest"),
        about: "a merge request is opened, or what --action says, from the branch --ref",
        takes: &[Action, Number, Ref, Commit, Message],
        recording: include_str!("../../../tests/payloads/gitlab/merge_request-open.http"),
        fill: |draft, values| {
            draft.put("/object_attributes/last_commit/id", values.commit.clone());
            draft.put_chosen("/object_attributes/action", values.action.clone());
            draft.put_chosen("/object_attributes/iid", values.number);
            draft.put_chosen("/object_attributes/title", values.message.clone());
            let branch = values.reference.as_ref().map(|_chosen| values.branch());
            draft.put_chosen("/object_attributes/source_branch", branch);
        },
    },
    Sample {
        source: "gitlab",
        event: "pipeline",
        fires: Some("pipeline"),
        about: "a pipeline has ended",
        takes: &[Ref, Commit],
        recording: include_str!("../../../tests/payloads/gitlab/pipeline-signed.http"),
        fill: |draft, values| {
            draft.put("/object_attributes/ref", values.branch());
        },
    },
];
