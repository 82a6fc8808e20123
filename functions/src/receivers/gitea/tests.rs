//! What deliveries of Gitea mean, in bodies of our own, in the documented forms.

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

fn repository() -> Value {
    json!({
        "id": 1, "full_name": "ocean/brig", "default_branch": "main",
        "updated_at": "2026-03-01T09:00:00Z",
    })
}

fn push() -> Value {
    json!({
        "ref": "refs/heads/main",
        "before": "1111111111111111111111111111111111111111",
        "after": "2222222222222222222222222222222222222222",
        "commits": [{"id": "2222", "added": [], "removed": ["x"], "modified": ["y"]}],
        "total_commits": 1,
        "head_commit": {
            "id": "2222222222222222222222222222222222222222",
            "timestamp": "2026-03-01T11:00:00+01:00",
        },
        "repository": repository(),
    })
}

fn pull_request(head: u64) -> Value {
    json!({
        "action": "opened",
        "number": 7,
        "pull_request": {
            "number": 7,
            "title": "Trim the sails",
            "updated_at": "2026-03-01T11:00:00Z",
            "head": {"ref": "sails", "sha": "3333333333333333333333333333333333333333",
                     "repo_id": head, "repo": {"id": head}},
            "base": {"ref": "main", "repo_id": 1, "repo": {"id": 1}},
        },
        "repository": repository(),
    })
}

fn with(mut body: Value, name: &str, member: Value) -> Value {
    body[name] = member;
    body
}

#[test]
fn a_push_is_at_its_head_commit() {
    check(
        push(),
        expect![[r#"
            push
            commit 2222222222222222222222222222222222222222
            ref refs/heads/main
            short branch: main
            long branch: main
            time 2026-03-01T10:00:00Z
            branches main
            paths y x"#]],
    );
    let tag = with(with(push(), "ref", json!("refs/tags/v1.0")), "after", json!("5555"));
    let shown = shown(meaning(&with(tag, "total_commits", json!(2)), false));
    assert!(shown.contains("commit 2222") && shown.contains("\ntag v1.0"), "{shown}");
    assert!(!shown.contains("paths"), "{shown}");
}

#[test]
fn a_deleted_branch_is_skipped() {
    check(
        with(push(), "after", json!("0".repeat(40))),
        expect!["skipped: build skipped on branch deletion: `refs/heads/main` was deleted"],
    );
}

#[test]
fn a_pull_request_is_at_its_head() {
    check(
        pull_request(1),
        expect![[r#"
            pull_request
            action opened
            commit 3333333333333333333333333333333333333333
            ref refs/pull/7/head
            short PR #7
            long PR #7: Trim the sails
            time 2026-03-01T11:00:00Z
            branches main"#]],
    );
}

#[test]
fn a_pull_request_from_a_fork_is_skipped_unless_the_project_allows_forks() {
    let review = json!({"type": "pull_request_review_approved"});
    for body in [pull_request(2), with(pull_request(2), "review", review)] {
        assert!(matches!(meaning(&body, false), Ok(Meaning::Skipped { .. })), "{body}");
        assert!(matches!(meaning(&body, true), Ok(Meaning::Events(_))), "{body}");
    }
    let mut gone = pull_request(1);
    gone["pull_request"]["head"] = json!({"repo": null, "sha": "3333"});
    assert!(matches!(meaning(&gone, false), Ok(Meaning::Skipped { .. })));
}

#[test]
fn what_was_pushed_for_review_without_a_branch_is_a_forks() {
    for (name, value) in [("ref", "refs/pull/7/head"), ("label", "")] {
        let mut body = pull_request(1);
        body["pull_request"]["head"][name] = json!(value);
        assert!(matches!(meaning(&body, false), Ok(Meaning::Skipped { .. })), "{name}");
        let comment = with(body, "comment", json!({"id": 1}));
        let shown = shown(meaning(&comment, false));
        assert!(shown.contains("ref refs/heads/main"), "{shown}");
    }
    let mut own = pull_request(1);
    own["pull_request"]["head"]["label"] = json!("sails");
    assert!(matches!(meaning(&own, false), Ok(Meaning::Events(_))));
}

#[test]
fn a_review_says_what_it_comes_to() {
    let review = json!({"type": "pull_request_review_rejected", "content": "no"});
    let body = with(with(pull_request(1), "review", review), "action", json!("reviewed"));
    let shown = shown(meaning(&body, false));
    assert!(shown.starts_with("pull_request_review\naction rejected\ncommit 3333"), "{shown}");
}

#[test]
fn a_comment_on_a_forks_pull_request_is_at_the_default_branch() {
    let comment = json!({"id": 1, "updated_at": "2026-03-01T12:00:00Z"});
    let reference = |head: u64, forks: bool| {
        let shown = shown(meaning(&with(pull_request(head), "comment", comment.clone()), forks));
        assert!(shown.starts_with("issue_comment\n"), "{shown}");
        shown.lines().find_map(|line| line.strip_prefix("ref ")).unwrap().to_owned()
    };
    assert_eq!(reference(1, false), "refs/pull/7/head");
    assert_eq!(reference(2, false), "refs/heads/main");
    assert_eq!(reference(2, true), "refs/pull/7/head");
}

#[test]
fn what_is_created_or_released_is_at_its_reference() {
    let created = json!({
        "ref": "v1.0", "ref_type": "tag", "sha": "4".repeat(40), "repository": repository(),
    });
    check(
        created.clone(),
        expect![[r#"
            create
            commit 4444444444444444444444444444444444444444
            ref refs/tags/v1.0
            short tag: v1.0
            long tag: v1.0
            time 2026-03-01T09:00:00Z
            tag v1.0"#]],
    );
    let branch = with(with(created, "ref", json!("topic")), "ref_type", json!("branch"));
    assert!(shown(meaning(&branch, false)).contains("ref refs/heads/topic"));
    check(
        json!({
            "action": "published",
            "release": {"tag_name": "v1.0", "name": "One", "published_at": "2026-03-01T10:00:00Z"},
            "repository": repository(),
        }),
        expect![[r#"
            release
            action published
            ref refs/tags/v1.0
            short release: One
            long release: One
            time 2026-03-01T10:00:00Z
            tag v1.0"#]],
    );
}

#[test]
fn what_nobody_knew_must_be_asked_for() {
    for (body, name) in [
        (json!({"ref": "topic", "ref_type": "branch", "pusher_type": "user"}), "delete"),
        (json!({"forkee": {}}), "fork"),
        (json!({"action": "created", "package": {}}), "package"),
        (json!({"action": "created"}), "repository"),
        (json!({"action": "edited", "page": "Home"}), "wiki"),
        (json!({"sha": "4444", "state": "success"}), "status"),
        (json!({"action": "queued", "workflow_job": {}}), "workflow_job"),
    ] {
        let body = with(body, "repository", repository());
        assert_eq!(shown(meaning(&body, false)), format!("rare: {name}"));
    }
}

#[test]
fn what_is_no_event_is_malformed() {
    for body in [
        json!({}),
        json!({"ref": "refs/heads/main"}),
        json!({"action": "opened", "pull_request": {"head": {"repo_id": 1}, "base": {"repo_id": 1}}}),
        json!({"release": {}}),
    ] {
        let body = with(body, "repository", repository());
        assert!(matches!(meaning(&body, false), Err(Rejection::Malformed { .. })), "{body}");
    }
}

proptest! {
    #[test]
    fn no_body_makes_the_translation_panic(
        first in "ref|after|ref_type|sha|state|page|action|number",
        second in "pull_request|issue|comment|release|review|head_commit|commits",
        member in ".{0,12}",
    ) {
        let mut body = json!({"ref": member, "after": member});
        body[first] = json!(member);
        body[second] = json!({"number": member, "head": {"sha": member}, "type": member});
        let _answered = meaning(&body, true);
        let _answered = meaning(&body, false);
    }
}
