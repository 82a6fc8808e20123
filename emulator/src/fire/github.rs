//! What GitHub sends.

use super::sample::Choice::{Action, Commit, Image, Message, Number, Ref, Tag};
use super::sample::{Sample, seconds};

pub(super) const SAMPLES: &[Sample] = &[
    Sample {
        source: "github",
        event: "push",
        fires: Some("push"),
        about: "a commit is pushed to a branch, or a tag with --tag",
        takes: &[Ref, Tag, Commit, Message],
        recording: include_str!("../../../tests/payloads/github/push.http"),
        fill: |draft, values| {
            draft.put("/ref", values.full_reference());
            draft.put("/repository/pushed_at", seconds(values.now));
            draft.put("/head_commit/timestamp", values.now.to_string());
            draft.put_chosen("/head_commit/message", values.message.clone());
        },
    },
    Sample {
        source: "github",
        event: "pull_request",
        fires: Some("pull_request"),
        about: "a pull request is opened, or what --action says, from the branch --ref",
        takes: &[Action, Number, Ref, Commit, Message],
        recording: include_str!("../../../tests/payloads/github/pull_request-opened.http"),
        fill: |draft, values| {
            draft.put("/pull_request/updated_at", values.now.to_string());
            draft.put_chosen("/action", values.action.clone());
            draft.put_chosen("/number", values.number);
            draft.put_chosen("/pull_request/number", values.number);
            draft.put_chosen("/pull_request/title", values.message.clone());
            draft.put_chosen(
                "/pull_request/head/ref",
                values.reference.as_ref().map(|_chosen| values.branch()),
            );
        },
    },
    Sample {
        source: "github",
        event: "create",
        fires: Some("create"),
        about: "a tag is made",
        takes: &[Tag],
        recording: include_str!("../../../tests/payloads/github/create-tag.http"),
        fill: |draft, values| {
            draft.put_chosen("/ref", values.tag.clone());
            draft.put("/repository/pushed_at", values.now.to_string());
        },
    },
    Sample {
        source: "github",
        event: "release",
        fires: Some("release"),
        about: "a release is published, or what --action says",
        takes: &[Action, Tag, Message],
        recording: include_str!("../../../tests/payloads/github/release-published.http"),
        fill: |draft, values| {
            draft.put_chosen("/action", values.action.clone());
            draft.put_chosen("/release/tag_name", values.tag.clone());
            draft.put_chosen("/release/name", values.message.clone());
            draft.put("/release/published_at", values.now.to_string());
            draft.put("/repository/updated_at", values.now.to_string());
        },
    },
    Sample {
        source: "github",
        event: "issue_comment",
        fires: Some("issue_comment"),
        about: "somebody comments on an issue",
        takes: &[Action, Number, Message],
        recording: include_str!("../../../tests/payloads/github/issue_comment-created.http"),
        fill: |draft, values| {
            draft.put_chosen("/action", values.action.clone());
            draft.put_chosen("/issue/number", values.number);
            draft.put_chosen("/comment/body", values.message.clone());
            draft.put("/comment/created_at", values.now.to_string());
            draft.put("/comment/updated_at", values.now.to_string());
        },
    },
    Sample {
        source: "github",
        event: "commit_comment",
        fires: Some("commit_comment"),
        about: "somebody comments on a commit",
        takes: &[Commit, Message],
        recording: include_str!("../../../tests/payloads/github/commit_comment-created.http"),
        fill: |draft, values| {
            draft.put_chosen("/comment/body", values.message.clone());
            draft.put("/comment/created_at", values.now.to_string());
            draft.put("/comment/updated_at", values.now.to_string());
        },
    },
    Sample {
        source: "github",
        event: "deployment",
        fires: Some("deployment"),
        about: "a deployment is asked for",
        takes: &[Commit, Ref],
        recording: include_str!("../../../tests/payloads/github/deployment.http"),
        fill: |draft, values| {
            draft.put("/deployment/ref", values.branch());
            draft.put("/deployment/updated_at", values.now.to_string());
        },
    },
    Sample {
        source: "github",
        event: "status",
        fires: Some("status"),
        about: "a commit's status changes",
        takes: &[Commit, Message],
        recording: include_str!("../../../tests/payloads/github/status.http"),
        fill: |draft, values| {
            draft.put_chosen("/description", values.message.clone());
            draft.put("/updated_at", values.now.to_string());
        },
    },
    Sample {
        source: "github",
        event: "package",
        fires: Some("image_push"),
        about: "an image is pushed to GitHub's registry",
        takes: &[Image, Tag],
        recording: include_str!("../../../tests/payloads/github/package-published.http"),
        fill: |draft, values| {
            let (host, repository, tag) = values.image("ghcr.io/acme");
            let (space, name) = repository.split_once('/').unwrap_or(("acme", &repository));
            let version = "/package/package_version";
            draft.put("/package/namespace", space);
            draft.put("/package/name", name);
            draft.put(&format!("{version}/id"), seconds(values.now));
            draft.put(&format!("{version}/version"), values.digest());
            draft.put(&format!("{version}/name"), values.digest());
            draft.put(&format!("{version}/package_url"), format!("{host}/{repository}:{tag}"));
            draft.put(&format!("{version}/container_metadata/tag/name"), tag);
            draft.put(&format!("{version}/container_metadata/tag/digest"), values.digest());
            draft.put(&format!("{version}/container_metadata/manifest/digest"), values.digest());
            draft.put(&format!("{version}/updated_at"), values.now.to_string());
        },
    },
    Sample {
        source: "github",
        event: "ping",
        fires: None,
        about: "the webhook has been set up",
        takes: &[],
        recording: include_str!("../../../tests/payloads/github/ping.http"),
        fill: |_draft, _values| {},
    },
];
