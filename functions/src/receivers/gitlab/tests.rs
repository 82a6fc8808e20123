//! What GitLab's deliveries mean, in bodies of our own, in the documented forms.

use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::host::Meaning;
use crate::tests::shown;

fn meaning(body: &Value, forks: bool) -> Result<Meaning, Rejection> {
    let json = Bytes::from(body.to_string());
    translate(json.clone(), Identity::Content(json), forks)
}

fn check(body: Value, expected: Expect) {
    expected.assert_eq(&shown(meaning(&body, false)));
}

fn project() -> Value {
    json!({"id": 1, "path_with_namespace": "ocean/brig", "default_branch": "main"})
}

fn push() -> Value {
    json!({
        "object_kind": "push",
        "ref": "refs/heads/main",
        "before": "1111111111111111111111111111111111111111",
        "after": "2222222222222222222222222222222222222222",
        "checkout_sha": "2222222222222222222222222222222222222222",
        "project": project(),
        "commits": [{
            "id": "2222222222222222222222222222222222222222",
            "timestamp": "2026-03-01T11:00:00+01:00",
            "added": ["a"], "modified": ["b/c"], "removed": [],
        }],
        "total_commits_count": 1,
    })
}

fn merge_request(action: &str, source: u64) -> Value {
    json!({
        "object_kind": "merge_request",
        "project": project(),
        "object_attributes": {
            "iid": 7,
            "title": "Trim the sails",
            "action": action,
            "source_project_id": source,
            "target_project_id": 1,
            "target_branch": "main",
            "last_commit": {"id": "3333333333333333333333333333333333333333"},
            "updated_at": "2026-03-01 11:00:00 UTC",
        },
    })
}

fn with(mut body: Value, name: &str, member: Value) -> Value {
    body[name] = member;
    body
}

#[test]
fn a_push_is_of_a_branch_or_a_tag() {
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
            paths a b/c"#]],
    );
    // An annotated tag is an object of its own; the commit is what it points at.
    let tag = with(with(push(), "object_kind", json!("tag_push")), "after", json!("5555"));
    check(
        with(tag, "ref", json!("refs/tags/v1.0")),
        expect![[r#"
            tag
            commit 2222222222222222222222222222222222222222
            ref refs/tags/v1.0
            short tag: v1.0
            long tag: v1.0
            time 2026-03-01T10:00:00Z
            tag v1.0
            paths a b/c"#]],
    );
}

#[test]
fn a_push_of_more_commits_than_are_listed_says_no_files() {
    let shown = shown(meaning(&with(push(), "total_commits_count", json!(21)), false));
    assert!(!shown.contains("paths"), "{shown}");
}

#[test]
fn a_deleted_branch_or_tag_is_skipped() {
    for kind in ["push", "tag_push"] {
        let gone = with(with(push(), "after", json!("0".repeat(40))), "checkout_sha", json!(null));
        check(
            with(gone, "object_kind", json!(kind)),
            expect!["skipped: build skipped on branch deletion: `refs/heads/main` was deleted"],
        );
    }
}

#[test]
fn a_merge_request_is_at_its_head() {
    check(
        merge_request("open", 1),
        expect![[r#"
            mergerequest
            action open
            commit 3333333333333333333333333333333333333333
            ref refs/merge-requests/7/head
            short PR #7
            long PR #7: Trim the sails
            time 2026-03-01T11:00:00Z
            branches main"#]],
    );
}

#[test]
fn a_merge_request_from_a_fork_is_skipped_unless_the_project_allows_forks() {
    let fork = merge_request("open", 2);
    check(
        fork.clone(),
        expect![
            "skipped: build skipped: it comes from a fork, and GitLab does not say whether its author is trusted; a project with allowForks builds it"
        ],
    );
    assert!(matches!(meaning(&fork, true), Ok(Meaning::Events(_))));
    // A fork that is gone is a fork.
    let mut gone = fork;
    gone["object_attributes"]["source_project_id"] = Value::Null;
    assert!(matches!(meaning(&gone, false), Ok(Meaning::Skipped { .. })));
}

#[test]
fn a_comment_is_at_the_head_of_its_merge_request_unless_that_is_a_forks() {
    let comment = |source: u64| {
        json!({
            "object_kind": "note",
            "project": project(),
            "object_attributes": {"action": "create", "noteable_type": "MergeRequest"},
            "merge_request": merge_request("", source)["object_attributes"],
        })
    };
    check(
        comment(1),
        expect![[r#"
            comment
            action create
            commit 3333333333333333333333333333333333333333
            ref refs/merge-requests/7/head
            short PR #7
            long PR #7: Trim the sails
            branches main"#]],
    );
    check(
        comment(2),
        expect![[r#"
            comment
            action create
            ref refs/heads/main
            short PR #7
            long PR #7: Trim the sails
            branches main"#]],
    );
    let shown = shown(meaning(&comment(2), true));
    assert!(shown.contains("ref refs/merge-requests/7/head"), "{shown}");
}

#[test]
fn a_comment_on_a_commit_is_at_the_default_branch() {
    // Whoever opens a merge request from a fork brings their commits into the repository.
    check(
        json!({
            "object_kind": "note",
            "project": project(),
            "object_attributes": {"action": "create", "commit_id": "6".repeat(40)},
            "commit": {"id": "6".repeat(40)},
        }),
        expect![[r#"
            comment
            action create
            ref refs/heads/main"#]],
    );
}

#[test]
fn pipelines_and_jobs_say_their_status() {
    let pipeline = json!({
        "object_kind": "pipeline",
        "project": project(),
        "object_attributes": {
            "iid": 3, "ref": "v1.0", "tag": true, "sha": "7".repeat(40), "status": "success",
            "created_at": "2026-03-01 11:00:00 UTC", "finished_at": "2026-03-01 11:30:00 UTC",
        },
    });
    check(
        pipeline.clone(),
        expect![[r#"
            pipeline
            action success
            commit 7777777777777777777777777777777777777777
            ref refs/tags/v1.0
            short tag: v1.0
            long tag: v1.0
            time 2026-03-01T11:30:00Z
            tag v1.0"#]],
    );
    let fork = merge_request("", 2)["object_attributes"].clone();
    let of_a_fork = with(pipeline, "merge_request", fork);
    assert!(matches!(meaning(&of_a_fork, false), Ok(Meaning::Skipped { .. })));

    let job = json!({
        "object_kind": "build",
        "project_name": "ocean/brig",
        "ref": "main", "tag": false, "sha": "8".repeat(40), "build_status": "failed",
        "build_started_at": "2026-03-01 11:00:00 UTC", "build_finished_at": null,
    });
    check(
        job.clone(),
        expect![[r#"
            build
            action failed
            commit 8888888888888888888888888888888888888888
            ref refs/heads/main
            short branch: main
            long branch: main
            time 2026-03-01T11:00:00Z
            branches main"#]],
    );
    let of_a_request = with(job, "ref", json!("refs/merge-requests/7/head"));
    assert!(matches!(meaning(&of_a_request, false), Ok(Meaning::Skipped { .. })));
}

#[test]
fn what_is_about_no_commit_is_at_the_default_branch() {
    for (kind, name) in [("issue", "issue"), ("wiki_page", "wikipage")] {
        let body = json!({
            "object_kind": kind,
            "project": project(),
            "object_attributes": {"action": "open"},
        });
        assert_eq!(
            shown(meaning(&body, false)),
            format!("{name}\naction open\nref refs/heads/main")
        );
    }
}

#[test]
fn a_release_is_at_its_tag_and_a_deployment_at_its_commit() {
    check(
        json!({
            "object_kind": "release", "action": "create", "tag": "v1.0", "name": "One",
            "released_at": "2026-03-01 11:00:00 UTC",
            "project": project(), "commit": {"id": "9".repeat(40)},
        }),
        expect![[r#"
            release
            action create
            commit 9999999999999999999999999999999999999999
            ref refs/tags/v1.0
            short release: One
            long release: One
            time 2026-03-01T11:00:00Z
            tag v1.0"#]],
    );
    check(
        json!({
            "object_kind": "deployment", "status": "success", "project": project(),
            "ref": "main", "commit_url": format!("https://gitlab.example/x/-/commit/{}", "a".repeat(40)),
            "status_changed_at": "2026-03-01 12:00:00 +0100",
        }),
        expect![[r#"
            deployment
            action success
            commit aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
            ref main
            time 2026-03-01T11:00:00Z"#]],
    );
}

#[test]
fn what_brigade_did_not_know_must_be_asked_for() {
    for body in [
        json!({"object_kind": "feature_flag", "project": project()}),
        json!({"event_name": "project_create", "path_with_namespace": "ocean/brig"}),
    ] {
        assert!(matches!(meaning(&body, false), Ok(Meaning::Rare(_))), "{body}");
    }
}

#[test]
fn a_system_hooks_push_is_a_push() {
    let mut body = with(push(), "event_name", json!("push"));
    body.as_object_mut().unwrap().remove("object_kind");
    assert!(shown(meaning(&body, false)).starts_with("push\n"));
}

#[test]
fn the_project_is_found_wherever_it_is_named() {
    let named = |body: Value| translation::project(body.to_string().as_bytes()).unwrap();
    let ours = Some("ocean/brig".to_owned());
    assert_eq!(named(json!({"project": project()})), ours);
    assert_eq!(named(json!({"path_with_namespace": "ocean/brig"})), ours);
    assert_eq!(named(json!({"project_path_with_namespace": "ocean/brig"})), ours);
    assert_eq!(named(json!({"project_name": "ocean/brig"})), ours);
    let homepage = json!({"homepage": "https://gitlab.example/ocean/brig"});
    assert_eq!(named(json!({"project_name": "The / Brig", "repository": homepage})), ours);
    for none in [json!({}), json!({"project": 7}), json!({"project_name": "brig"})] {
        assert_eq!(named(none.clone()), None, "{none}");
    }
}

#[test]
fn what_is_no_event_is_malformed() {
    for body in [
        json!({"project": project()}),
        json!({"object_kind": "", "project": project()}),
        json!({"object_kind": "a b", "project": project()}),
        json!({"object_kind": "push", "project": project()}),
        json!({"object_kind": "merge_request", "object_attributes": {
            "source_project_id": 1, "target_project_id": 1,
        }}),
        json!({"object_kind": "push", "commits": 7}),
    ] {
        assert!(matches!(meaning(&body, false), Err(Rejection::Malformed { .. })), "{body}");
    }
    assert!(matches!(translation::project(b"[]"), Err(Rejection::Malformed { .. })));
}

#[test]
fn numbers_may_be_texts_and_members_of_another_type_are_passed_over() {
    let mut body = merge_request("open", 1);
    body["object_attributes"]["iid"] = json!("7");
    body["object_attributes"]["source_project_id"] = json!("1");
    body["issue"] = json!("none");
    body["commit"] = json!(7);
    assert!(matches!(meaning(&body, false), Ok(Meaning::Events(_))));
}

proptest! {
    #[test]
    fn no_body_makes_the_translation_panic(
        kind in "push|tag_push|note|merge_request|pipeline|build|deployment|release|issue|[a-z_]{0,9}",
        reference in "(refs/(heads|tags)/)?.{0,8}",
        member in ".{0,12}",
    ) {
        let body = json!({
            "object_kind": kind, "ref": reference, "after": member, "sha": member, "tag": member,
            "commit_url": member, "status": member,
            "object_attributes": {"iid": member, "ref": reference, "sha": member},
            "merge_request": {"iid": 1, "target_branch": member},
        });
        let _answered = meaning(&body, true);
        let _answered = meaning(&body, false);
    }
}
