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
    Sample {
        source: "gitea",
        event: "push",
        fires: Some("push"),
        about: "a commit is pushed to a branch",
        takes: &[Ref, Commit, Message],
        recording: include_str!("../../../tests/payloads/gitea/push.http"),
        fill: |draft, values| {
            draft.put("/ref", values.full_reference());
            draft.put("/head_commit/timestamp", values.now.to_string());
            draft.put_chosen("/head_commit/message", values.message.clone());
            draft.put_chosen("/commits/0/message", values.message.clone());
        },
    },
    Sample {
        source: "gitea",
        event: "pull_request",
        fires: Some("pull_request"),
        about: "a pull request is opened, or what --action says, from the branch --ref",
        takes: &[Action, Number, Ref, Commit, Message],
        recording: include_str!("../../../tests/payloads/gitea/pull_request-opened.http"),
        fill: |draft, values| {
            draft.put("/pull_request/head/sha", values.commit.clone());
            draft.put("/pull_request/base/sha", "0".repeat(40));
            draft.put("/pull_request/updated_at", values.now.to_string());
            draft.put_chosen("/action", values.action.clone());
            draft.put_chosen("/number", values.number);
            draft.put_chosen("/pull_request/number", values.number);
            draft.put_chosen("/pull_request/title", values.message.clone());
            let branch = values.reference.as_ref().map(|_chosen| values.branch());
            draft.put_chosen("/pull_request/head/ref", branch);
        },
    },
    Sample {
        source: "bitbucket",
        event: "push",
        fires: Some("push"),
        about: "a commit is pushed to a branch, and another one to `sails`: two builds",
        takes: &[Ref, Commit],
        recording: include_str!("../../../tests/payloads/bitbucket/push.http"),
        fill: |draft, values| {
            draft.put("/push/changes/0/new/name", values.branch());
            draft.put("/push/changes/0/new/target/date", values.now.to_string());
        },
    },
    Sample {
        source: "bitbucket",
        event: "pullrequest",
        fires: Some("pullrequest:created"),
        about: "a pull request is opened from the branch --ref",
        takes: &[Number, Ref, Commit, Message],
        recording: include_str!("../../../tests/payloads/bitbucket/pullrequest-created.http"),
        fill: |draft, values| {
            // It writes only the beginning of a commit's id.
            let commit: String = values.commit.chars().take(12).collect();
            draft.put("/pullrequest/source/commit/hash", commit);
            draft.put("/pullrequest/updated_on", values.now.to_string());
            draft.put_chosen("/pullrequest/id", values.number);
            draft.put_chosen("/pullrequest/title", values.message.clone());
            let branch = values.reference.as_ref().map(|_chosen| values.branch());
            draft.put_chosen("/pullrequest/source/branch/name", branch);
        },
    },
    Sample {
        source: "azuredevops",
        event: "git.push",
        fires: Some("git.push"),
        about: "a commit is pushed to a branch",
        takes: &[Ref, Commit, Message],
        recording: include_str!("../../../tests/payloads/azuredevops/git-push.http"),
        fill: |draft, values| {
            draft.put("/resource/refUpdates/0/name", values.full_reference());
            draft.put("/resource/date", values.now.to_string());
            draft.put("/createdDate", values.now.to_string());
            draft.put_chosen("/resource/commits/0/comment", values.message.clone());
        },
    },
];
