//! What Bitbucket's deliveries mean, in bodies of our own, in the documented forms.

use axum::body::Bytes;
use expect_test::{Expect, expect};
use proptest::prelude::*;
use runtime::event::Identity;
use serde_json::{Value, json};

use super::*;
use crate::host::Meaning;
use crate::tests::shown;

fn meaning(key: &str, body: &Value, forks: bool) -> Result<Meaning, Rejection> {
    translate(key, Bytes::from(body.to_string()), forks)
}

fn check(key: &str, body: Value, expected: Expect) {
    expected.assert_eq(&shown(meaning(key, &body, false)));
}

fn repository() -> Value {
    json!({"full_name": "ocean/brig", "uuid": "{1}"})
}

fn change(kind: &str, name: &str, digit: &str) -> Value {
    json!({
        "old": null,
        "new": {"type": kind, "name": name, "target": {
            "hash": digit.repeat(40), "date": "2026-03-01T10:00:00+00:00",
        }},
    })
}

fn push(changes: Vec<Value>) -> Value {
    json!({"push": {"changes": changes}, "repository": repository()})
}

fn pull_request(fork: bool) -> Value {
    let uuid = if fork { "{2}" } else { "{1}" };
    let links = json!({"html": {"href": "https://bitbucket.org/stranger/brig"}});
    json!({
        "pullrequest": {
            "id": 7,
            "title": "Trim the sails",
            "state": "OPEN",
            "updated_on": "2026-03-01T11:00:00+00:00",
            "source": {
                "branch": {"name": "sails"}, "commit": {"hash": "333333333333"},
                "repository": {"full_name": "x/brig", "uuid": uuid, "links": links},
            },
            "destination": {"branch": {"name": "main"}, "repository": repository()},
        },
        "repository": repository(),
    })
}

fn server_repository(id: u64) -> Value {
    json!({"id": id, "slug": "brig", "project": {"key": "OCEAN"}})
}

fn server_pull_request(key: &str, from: u64) -> Value {
    json!({
        "eventKey": key,
        "date": "2026-03-01T11:00:00+0000",
        "pullRequest": {
            "id": 7,
            "title": "Trim the sails",
            "fromRef": {"id": "refs/heads/sails", "latestCommit": "3".repeat(40),
                        "repository": server_repository(from)},
            "toRef": {"id": "refs/heads/main", "latestCommit": "4".repeat(40),
                      "repository": server_repository(1)},
        },
    })
}

#[test]
fn every_change_of_a_push_is_an_event_of_its_own() {
    let gone = json!({"old": {"type": "branch", "name": "old"}, "new": null});
    let body = push(vec![change("branch", "main", "1"), gone, change("tag", "v1.0", "2")]);
    check(
        "repo:push",
        body.clone(),
        expect![[r#"
            push
            commit 1111111111111111111111111111111111111111
            ref main
            short branch: main
            long branch: main
            time 2026-03-01T10:00:00Z
            branches main

            push
            commit 2222222222222222222222222222222222222222
            ref v1.0
            short tag: v1.0
            long tag: v1.0
            time 2026-03-01T10:00:00Z
            tag v1.0"#]],
    );
    let Ok(Meaning::Events(events)) = meaning("repo:push", &body, false) else { panic!() };
    assert_ne!(events[0].0.identity, events[1].0.identity);
    assert!(events.iter().all(|(event, _)| event.payload == body.to_string()));
}

#[test]
fn a_push_that_only_deletes_is_skipped_and_one_without_changes_is_nothing() {
    let gone = json!({"old": {"type": "branch", "name": "old"}, "new": null});
    check(
        "repo:push",
        push(vec![gone]),
        expect!["skipped: build skipped on branch deletion: `old` was deleted"],
    );
    assert_eq!(shown(meaning("repo:push", &push(vec![]), false)), "");
}

#[test]
fn data_centers_push_is_a_push() {
    let body = json!({
        "eventKey": "repo:refs_changed",
        "date": "2026-03-01T10:00:00+0000",
        "repository": server_repository(1),
        "changes": [
            {"refId": "refs/heads/main", "toHash": "1".repeat(40), "type": "UPDATE"},
            {"refId": "refs/heads/old", "toHash": "0".repeat(40), "type": "DELETE"},
        ],
    });
    check(
        "",
        body,
        expect![[r#"
            push
            commit 1111111111111111111111111111111111111111
            ref refs/heads/main
            short branch: main
            long branch: main
            time 2026-03-01T10:00:00Z
            branches main"#]],
    );
}

#[test]
fn a_pull_request_is_at_its_head_and_where_it_was_merged_at_the_merge() {
    check(
        "pullrequest:created",
        pull_request(false),
        expect![[r#"
            pullrequest:created
            commit 333333333333
            ref sails
            short PR #7
            long PR #7: Trim the sails
            time 2026-03-01T11:00:00Z
            branches main"#]],
    );
    let mut merged = pull_request(false);
    merged["pullrequest"]["merge_commit"] = json!({"hash": "555555555555"});
    let shown_merged = shown(meaning("pullrequest:fulfilled", &merged, false));
    assert!(shown_merged.contains("commit 555555555555\nref main"), "{shown_merged}");
    check(
        "",
        server_pull_request("pr:opened", 1),
        expect![[r#"
            pr:opened
            commit 3333333333333333333333333333333333333333
            ref refs/pull-requests/7/from
            short PR #7
            long PR #7: Trim the sails
            time 2026-03-01T11:00:00Z
            branches main"#]],
    );
    let deleted = shown(meaning("", &server_pull_request("pr:deleted", 1), false));
    assert!(
        deleted.contains("commit 4444") && deleted.contains("ref refs/heads/main"),
        "{deleted}"
    );
}

#[test]
fn a_pull_request_from_a_fork_is_skipped_unless_the_project_allows_forks() {
    let mut gone = pull_request(false);
    gone["pullrequest"]["source"]["repository"] = Value::Null;
    for (key, body) in [
        ("pullrequest:created", pull_request(true)),
        ("pullrequest:updated", gone),
        ("", server_pull_request("pr:opened", 2)),
        ("", server_pull_request("pr:comment:added", 2)),
    ] {
        assert!(matches!(meaning(key, &body, false), Ok(Meaning::Skipped { .. })), "{body}");
        assert!(matches!(meaning(key, &body, true), Ok(Meaning::Events(_))), "{body}");
    }
    let allowed = meaning("pullrequest:created", &pull_request(true), true);
    let Ok(Meaning::Events(events)) = allowed else { panic!() };
    let clone_url = events[0].0.clone_url.as_deref();
    assert_eq!(clone_url, Some("https://bitbucket.org/stranger/brig.git"));
}

#[test]
fn the_events_of_brigade_have_brigades_names() {
    let comment = json!({"updated_on": "2026-03-01T12:00:00+00:00"});
    let commit = json!({"hash": "6".repeat(40)});
    let status =
        json!({"links": {"commit": {"href": format!("https://x/commit/{}", "7".repeat(40))}}});
    let issue = json!({"id": 9, "title": "Leak"});
    for (key, extra, revision) in [
        (
            "repo:commit_comment_created",
            json!({"comment": comment, "commit": commit}),
            "ref master",
        ),
        ("repo:commit_status_created", json!({"commit_status": status}), "commit 7777"),
        ("repo:commit_status_updated", json!({"commit_status": status}), "commit 7777"),
        ("issue:created", json!({"issue": issue}), "ref master"),
        ("issue:updated", json!({"issue": issue}), "ref master"),
        ("issue:comment_created", json!({"issue": issue, "comment": comment}), "ref master"),
        ("pullrequest:updated", json!({}), "ref sails"),
        ("pullrequest:approved", json!({"approval": {}}), "ref sails"),
        ("pullrequest:unapproved", json!({"approval": {}}), "ref sails"),
        ("pullrequest:rejected", json!({}), "ref sails"),
        ("pullrequest:comment_created", json!({"comment": comment}), "ref sails"),
        ("pullrequest:comment_updated", json!({"comment": comment}), "ref sails"),
        ("pullrequest:comment_deleted", json!({"comment": comment}), "ref sails"),
    ] {
        let mut body = pull_request(false);
        if !key.starts_with("pullrequest:") {
            body.as_object_mut().unwrap().remove("pullrequest");
        }
        for (name, member) in extra.as_object().unwrap() {
            body[name] = member.clone();
        }
        let shown = shown(meaning(key, &body, false));
        assert!(shown.starts_with(&format!("{key}\n")), "{shown}");
        assert!(shown.contains(revision), "{shown}");
    }
}

#[test]
fn a_header_that_does_not_fit_the_body_makes_nothing() {
    for key in
        ["repo:push", "issue:created", "pullrequest:approved", "pr:opened", "repo:comment:added"]
    {
        let meaning = meaning(key, &pull_request(false), false);
        assert!(matches!(meaning, Ok(Meaning::Ignored { .. })), "{key}: {meaning:?}");
    }
    // What Data Center says in the body wins over the header.
    let shown = shown(meaning("pr:merged", &server_pull_request("pr:opened", 1), false));
    assert!(shown.starts_with("pr:opened\n"), "{shown}");
}

#[test]
fn a_comment_on_a_pull_request_is_no_comment_on_a_commit() {
    let mut body = pull_request(false);
    body["comment"] = json!({"id": 1});
    for key in ["repo:comment:added", "repo:comment:x", "repo:fork"] {
        let meaning = meaning(key, &body, false);
        assert!(matches!(meaning, Ok(Meaning::Ignored { .. })), "{key}: {meaning:?}");
    }
}

#[test]
fn a_comment_on_a_commit_is_at_the_commit_only_where_forks_are_built() {
    let body = json!({
        "comment": {}, "commit": {"hash": "6".repeat(40)}, "repository": repository(),
    });
    let shown = |forks| shown(meaning("repo:commit_comment_created", &body, forks));
    assert_eq!(shown(false), "repo:commit_comment_created\nref master");
    assert!(shown(true).contains("commit 6666"));
}

#[test]
fn what_tells_the_changes_of_a_push_apart_does_not_grow_with_the_push() {
    let changes = (0..2000).map(|number| change("branch", &format!("b{number}"), "1")).collect();
    let Ok(Meaning::Events(events)) = meaning("repo:push", &push(changes), false) else { panic!() };
    assert_eq!(events.len(), host::MOST + 1);
    for (event, _) in events {
        let Identity::Content(content) = event.identity else { panic!() };
        assert!(content.len() < 200, "{}", content.len());
    }
}

#[test]
fn what_brigade_skipped_must_be_asked_for() {
    for key in ["repo:fork", "repo:updated", "repo:forked", "mirror:repo_synchronized", "x:y"] {
        let body = json!({"repository": repository()});
        assert_eq!(shown(meaning(key, &body, false)), format!("rare: {key}"));
    }
}

#[test]
fn a_comment_on_a_commit_of_data_center_is_at_master() {
    let body = json!({
        "eventKey": "repo:comment:added", "comment": {}, "commit": "8".repeat(40),
        "repository": server_repository(1),
    });
    assert_eq!(shown(meaning("", &body, false)), "repo:comment:added\nref master");
}

#[test]
fn the_project_is_named_as_either_names_it() {
    let named = |body: &Value| translation::project(body.to_string().as_bytes()).unwrap();
    assert_eq!(named(&push(vec![])).as_deref(), Some("ocean/brig"));
    assert_eq!(named(&server_pull_request("pr:opened", 2)).as_deref(), Some("OCEAN/brig"));
    let old = json!({"repository": {"fullName": "OCEAN/brig"}});
    assert_eq!(named(&old).as_deref(), Some("OCEAN/brig"));
    assert_eq!(named(&json!({"test": true})), None);
}

#[test]
fn what_is_no_event_is_malformed() {
    for key in ["", "a b", "repo:", ":", "x\u{e9}", &"x".repeat(200)] {
        let meaning = meaning(key, &json!({"repository": repository()}), false);
        assert!(matches!(meaning, Err(Rejection::Malformed { .. })), "{key}: {meaning:?}");
    }
    let mut body = pull_request(false);
    body["pullrequest"]["source"]["commit"] = Value::Null;
    let meaning = meaning("pullrequest:created", &body, false);
    assert!(matches!(meaning, Err(Rejection::Malformed { .. })));
}

proptest! {
    #[test]
    fn no_body_makes_the_translation_panic(
        key in "(repo|pullrequest|pr|issue):[a-z_:]{0,12}",
        member in ".{0,12}",
        new in proptest::bool::ANY,
    ) {
        let tip = if new { json!({"name": member, "target": {"hash": member}}) } else { json!(null) };
        let body = json!({
            "push": {"changes": [{"new": tip, "old": {"name": member}}]},
            "changes": [{"refId": member, "toHash": member}],
            "pullrequest": {"id": member, "source": {"branch": {"name": member}}},
            "comment": {}, "commit": member, "issue": {}, "approval": 1,
        });
        let _answered = meaning(&key, &body, true);
        let _answered = meaning(&key, &body, false);
    }
}
