//! What deliveries of Azure DevOps mean, in bodies of our own, in the documented forms.

use axum::body::Bytes;
use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::host::Meaning;
use crate::tests::shown;

fn meaning(body: &Value, forks: bool) -> Result<Meaning, Rejection> {
    translate(Bytes::from(body.to_string()), forks)
}

fn check(body: Value, expected: Expect) {
    expected.assert_eq(&shown(meaning(&body, false)));
}

fn event(kind: &str, resource: Value) -> Value {
    json!({
        "id": "1", "eventType": kind, "publisherId": "tfs",
        "createdDate": "2026-03-01T10:00:00.1234567Z", "resource": resource,
    })
}

fn update(name: &str, digit: &str) -> Value {
    json!({"name": name, "oldObjectId": "f".repeat(40), "newObjectId": digit.repeat(40)})
}

fn pull_request() -> Value {
    json!({
        "pullRequestId": 7, "title": "Trim the sails", "status": "active",
        "sourceRefName": "refs/heads/sails", "targetRefName": "refs/heads/main",
        "lastMergeSourceCommit": {"commitId": "3".repeat(40)},
        "lastMergeCommit": {"commitId": "5".repeat(40)},
    })
}

#[test]
fn every_branch_of_a_push_is_an_event_of_its_own() {
    let updates = [
        update("refs/heads/main", "1"),
        update("refs/tags/v1", "2"),
        update("refs/heads/old", "0"),
    ];
    check(
        event("git.push", json!({"refUpdates": updates})),
        expect![[r#"
            git.push
            commit 1111111111111111111111111111111111111111
            ref refs/heads/main
            short branch: main
            long branch: main
            time 2026-03-01T10:00:00.1234567Z
            branches main

            git.push
            commit 2222222222222222222222222222222222222222
            ref refs/tags/v1
            short tag: v1
            long tag: v1
            time 2026-03-01T10:00:00.1234567Z
            tag v1"#]],
    );
    check(
        event("git.push", json!({"refUpdates": [update("refs/heads/old", "0")]})),
        expect!["skipped: build skipped on branch deletion: `refs/heads/old` was deleted"],
    );
}

#[test]
fn a_pull_request_is_at_its_source_and_where_it_was_completed_at_the_merge() {
    check(
        event("git.pullrequest.created", pull_request()),
        expect![[r#"
            git.pullrequest.created
            commit 3333333333333333333333333333333333333333
            ref refs/heads/sails
            short PR #7
            long PR #7: Trim the sails
            time 2026-03-01T10:00:00.1234567Z
            branches main"#]],
    );
    let mut completed = pull_request();
    completed["status"] = json!("completed");
    let text = shown(meaning(&event("git.pullrequest.updated", completed), false));
    assert!(text.contains("commit 5555") && text.contains("ref refs/heads/main"), "{text}");
    let comment = json!({"comment": {"id": 1}, "pullRequest": pull_request()});
    let kind = "ms.vss-code.git-pullrequest-comment-event";
    let text = shown(meaning(&event(kind, comment), false));
    assert!(text.starts_with(kind) && text.contains("commit 3333"), "{text}");
}

#[test]
fn a_pull_request_from_a_fork_is_skipped_unless_the_project_allows_forks() {
    let mut fork = pull_request();
    fork["forkSource"] = json!({"name": "refs/heads/sails", "repository": {}});
    for resource in [fork.clone(), json!({"comment": {}, "pullRequest": fork})] {
        let body = event("git.pullrequest.created", resource);
        assert!(matches!(meaning(&body, false), Ok(Meaning::Skipped { .. })), "{body}");
        let allowed = shown(meaning(&body, true));
        assert!(allowed.contains("ref refs/pull/7/merge"), "{allowed}");
    }
}

#[test]
fn what_is_about_no_commit_is_at_master() {
    let body = event("workitem.created", json!({"id": 5}));
    assert!(shown(meaning(&body, false)).starts_with("workitem.created\nref master\n"));
    let bare = json!({"eventType": "ms.vss-pipelines.run-state-changed-event"});
    assert!(shown(meaning(&bare, false)).ends_with("\nref master"));
}

#[test]
fn what_is_no_event_is_malformed() {
    for body in [
        json!({}),
        json!({"eventType": ""}),
        json!({"eventType": "a b"}),
        json!({"eventType": 7.5e300, "resource": []}),
    ] {
        let is_malformed = matches!(meaning(&body, false), Err(Rejection::Malformed { .. }));
        assert!(is_malformed || body["eventType"].is_number(), "{body}");
    }
    let no_source = event("git.pullrequest.created", json!({"pullRequestId": 1}));
    assert!(matches!(meaning(&no_source, false), Err(Rejection::Malformed { .. })));
}

proptest! {
    #[test]
    fn no_body_makes_the_translation_panic(kind in ".{0,20}", member in ".{0,12}") {
        let body = json!({"eventType": kind, "createdDate": member, "resource": {
            "refUpdates": [{"name": member, "newObjectId": member}], "pullRequestId": member,
        }});
        let _answered = meaning(&body, true);
    }
}
