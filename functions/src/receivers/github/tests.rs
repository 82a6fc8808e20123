//! What GitHub's deliveries mean, in bodies of our own, in the documented forms.

use std::fmt::Write;

use expect_test::{Expect, expect};
use proptest::prelude::*;
use runtime::event::Identity;
use runtime::project::values;
use runtime::settings::Settings;
use serde_json::{Value, json};

use super::*;
use crate::filter::Seen;

mod asked;
mod packages;

/// What a project with these filters makes of a body, by these settings.
fn meaning_with(
    settings: &Settings,
    filters: &str,
    name: &str,
    json: Bytes,
) -> Result<Meaning, Rejection> {
    let yaml = format!("project: ocean/brig\nsharedSecret: s\nfilters: {filters}\n");
    let (project, _) = values::read(&yaml, "default").unwrap();
    translate(Delivery { name, id: b"1", json: json.clone(), signed: json }, settings, &project)
}

fn meaning(name: &str, body: &Value) -> Result<Meaning, Rejection> {
    meaning_with(&Settings::default(), "{}", name, Bytes::from(body.to_string()))
}

/// What is made of a delivery, a line for each thing that a script or a list would show.
fn shown(name: &str, body: &Value) -> String {
    shown_of(meaning(name, body), body)
}

fn shown_of(meaning: Result<Meaning, Rejection>, body: &Value) -> String {
    let event = match meaning {
        Ok(Meaning::Event(translated)) => translated.event,
        Ok(Meaning::Skipped { status, reason }) => return format!("skipped: {status}: {reason}"),
        Ok(Meaning::Ignored { reason }) => return format!("ignored: {reason}"),
        Err(Rejection::Malformed { reason, .. }) => return format!("malformed: {reason}"),
        Err(other) => return format!("{other:?}"),
    };
    assert_eq!(event.provider, "github");
    assert_eq!(event.payload, body.to_string());
    assert_eq!(event.identity, Identity::Content(body.to_string().into()));
    let mut text = event.kind.clone();
    for (name, value) in [
        ("action", event.action.unwrap_or_default()),
        ("commit", event.revision.commit),
        ("ref", event.revision.reference),
        ("short", event.short_title),
        ("long", event.long_title),
        ("time", event.time.map(|time| time.to_string()).unwrap_or_default()),
    ] {
        if !value.is_empty() {
            write!(text, "\n{name} {value}").unwrap();
        }
    }
    text
}

fn check(name: &str, body: Value, expected: Expect) {
    expected.assert_eq(&shown(name, &body));
}

fn repository() -> Value {
    json!({
        "id": 1,
        "full_name": "ocean/brig",
        "default_branch": "main",
        "pushed_at": "2026-03-01T10:00:00Z",
    })
}

fn push() -> Value {
    json!({
        "ref": "refs/heads/main",
        "before": "1111111111111111111111111111111111111111",
        "after": "2222222222222222222222222222222222222222",
        "created": false,
        "deleted": false,
        "head_commit": {
            "id": "2222222222222222222222222222222222222222",
            "timestamp": "2020-01-01T00:00:00Z",
        },
        "commits": [],
        "repository": {"id": 1, "full_name": "ocean/brig", "pushed_at": 1772359200},
    })
}

fn pull_request(action: &str, head: u64, association: &str) -> Value {
    json!({
        "action": action,
        "number": 7,
        "pull_request": {
            "number": 7,
            "title": "Trim the sails",
            "author_association": association,
            "updated_at": "2026-03-01T11:00:00Z",
            "head": {"sha": "3333333333333333333333333333333333333333", "repo": {"id": head}},
            "base": {"sha": "4444444444444444444444444444444444444444", "repo": {"id": 1}},
        },
        "repository": repository(),
    })
}

fn with(mut body: Value, name: &str, member: Value) -> Value {
    body[name] = member;
    body
}

#[test]
fn a_push_is_of_a_branch_or_a_tag() {
    check(
        "push",
        push(),
        expect![[r#"
            push
            commit 2222222222222222222222222222222222222222
            ref refs/heads/main
            short branch: main
            long branch: main
            time 2026-03-01T10:00:00Z"#]],
    );
    // An annotated tag is an object of its own; the commit is what it points at.
    let tag = with(with(push(), "ref", json!("refs/tags/v1.0")), "after", json!("5555"));
    check(
        "push",
        tag,
        expect![[r#"
            push
            commit 2222222222222222222222222222222222222222
            ref refs/tags/v1.0
            short tag: v1.0
            long tag: v1.0
            time 2026-03-01T10:00:00Z"#]],
    );
}

#[test]
fn a_push_without_a_head_commit_is_at_its_new_state() {
    let body = with(with(push(), "head_commit", Value::Null), "repository", json!({}));
    check(
        "push",
        body,
        expect![[r#"
            push
            commit 2222222222222222222222222222222222222222
            ref refs/heads/main
            short branch: main
            long branch: main"#]],
    );
}

#[test]
fn a_deleted_branch_is_skipped() {
    let mut body = with(push(), "deleted", json!(true));
    body["head_commit"] = Value::Null;
    check(
        "push",
        body,
        expect!["skipped: build skipped on branch deletion: `refs/heads/main` was deleted"],
    );
}

#[test]
fn a_pull_request_is_at_its_head() {
    check(
        "pull_request",
        pull_request("opened", 1, "NONE"),
        expect![[r#"
            pull_request
            action opened
            commit 3333333333333333333333333333333333333333
            ref refs/pull/7/head
            short PR #7
            long PR #7: Trim the sails
            time 2026-03-01T11:00:00Z"#]],
    );
}

#[test]
fn only_some_actions_of_pull_requests_are_built() {
    for action in ["closed", "labeled", "opened", "reopened", "synchronize", "unlabeled"] {
        let meaning = meaning("pull_request", &pull_request(action, 1, "NONE"));
        assert!(matches!(meaning, Ok(Meaning::Event(..))), "{action}");
    }
    check(
        "pull_request",
        pull_request("assigned", 1, "OWNER"),
        expect![
            "skipped: build skipped: the action is `assigned`; these are built: closed, labeled, opened, reopened, synchronize, unlabeled"
        ],
    );
}

#[test]
fn a_pull_request_from_a_fork_needs_a_trusted_author() {
    for trusted in ["OWNER", "MEMBER", "COLLABORATOR", "owner"] {
        let meaning = meaning("pull_request", &pull_request("opened", 2, trusted));
        assert!(matches!(meaning, Ok(Meaning::Event(..))), "{trusted}");
    }
    check(
        "pull_request",
        pull_request("opened", 2, "FIRST_TIME_CONTRIBUTOR"),
        expect![
            "skipped: build skipped: the pull request comes from a fork; its author association is `FIRST_TIME_CONTRIBUTOR`, these are built: COLLABORATOR, OWNER, MEMBER"
        ],
    );
}

#[test]
fn a_fork_that_is_gone_is_a_fork() {
    let mut body = pull_request("closed", 1, "NONE");
    body["pull_request"]["head"]["repo"] = Value::Null;
    assert!(matches!(meaning("pull_request", &body), Ok(Meaning::Skipped { .. })));
}

#[test]
fn a_strangers_review_of_a_strangers_fork_is_skipped() {
    for (name, voice) in
        [("pull_request_review", "review"), ("pull_request_review_comment", "comment")]
    {
        let review = |association: &str| {
            let said = json!({
                "author_association": association,
                "submitted_at": "2026-03-01T12:00:00Z",
                "updated_at": "2026-03-01T12:00:00Z",
            });
            meaning(name, &with(pull_request("created", 2, "NONE"), voice, said))
        };
        assert!(matches!(review("NONE"), Ok(Meaning::Skipped { .. })), "{name}");
        assert!(matches!(review("MEMBER"), Ok(Meaning::Event(..))), "{name}");
    }
}

#[test]
fn reviews_are_at_the_pull_requests_head() {
    let review = json!({"state": "approved", "submitted_at": "2026-03-01T12:00:00Z"});
    check(
        "pull_request_review",
        with(pull_request("submitted", 1, "NONE"), "review", review),
        expect![[r#"
            pull_request_review
            action submitted
            commit 3333333333333333333333333333333333333333
            ref refs/pull/7/head
            short PR #7
            long PR #7: Trim the sails
            time 2026-03-01T12:00:00Z"#]],
    );
    let comment = json!({"body": "?", "updated_at": "2026-03-01T12:30:00Z"});
    check(
        "pull_request_review_comment",
        with(pull_request("created", 1, "NONE"), "comment", comment),
        expect![[r#"
            pull_request_review_comment
            action created
            commit 3333333333333333333333333333333333333333
            ref refs/pull/7/head
            short PR #7
            long PR #7: Trim the sails
            time 2026-03-01T12:30:00Z"#]],
    );
}

fn issue_comment(action: &str, is_pull: bool, association: &str) -> Value {
    let mut issue = json!({"number": 9, "title": "A leak"});
    if is_pull {
        issue["pull_request"] = json!({"url": "https://api.github.com/"});
    }
    json!({
        "action": action,
        "issue": issue,
        "comment": {"author_association": association, "updated_at": "2026-03-01T13:00:00Z"},
        "repository": repository(),
    })
}

#[test]
fn a_comment_runs_a_pull_request_only_if_its_author_is_trusted() {
    check(
        "issue_comment",
        issue_comment("created", true, "OWNER"),
        expect![[r#"
            issue_comment
            action created
            ref refs/pull/9/head
            short PR #9
            long PR #9: A leak
            time 2026-03-01T13:00:00Z"#]],
    );
    for (action, is_pull, association) in
        [("created", true, "NONE"), ("deleted", true, "OWNER"), ("created", false, "OWNER")]
    {
        let shown = shown("issue_comment", &issue_comment(action, is_pull, association));
        assert!(shown.contains("\nref refs/heads/main\n"), "{shown}");
    }
}

#[test]
fn a_comment_where_no_default_branch_is_named_is_about_master() {
    let body = with(issue_comment("created", false, "NONE"), "repository", json!({}));
    assert!(shown("issue_comment", &body).contains("\nref refs/heads/master\n"));
}

#[test]
fn the_other_events_say_their_revision_each_in_its_place() {
    check(
        "commit_comment",
        json!({
            "action": "created",
            "comment": {"commit_id": "66", "created_at": "2026-03-01T14:00:00Z"},
            "repository": repository(),
        }),
        expect![[r#"
            commit_comment
            action created
            commit 66
            time 2026-03-01T14:00:00Z"#]],
    );
    check(
        "create",
        json!({
            "ref": "0.0.1",
            "ref_type": "tag",
            "master_branch": "main",
            "repository": repository(),
        }),
        expect![[r#"
            create
            ref 0.0.1
            time 2026-03-01T10:00:00Z"#]],
    );
    check(
        "release",
        json!({
            "action": "published",
            "release": {"tag_name": "0.0.1", "published_at": "2026-03-01T15:00:00Z"},
            "repository": repository(),
        }),
        expect![[r#"
            release
            action published
            ref 0.0.1
            time 2026-03-01T15:00:00Z"#]],
    );
    check(
        "status",
        json!({
            "sha": "77",
            "commit": {"sha": "77"},
            "state": "success",
            "updated_at": "2026-03-01T16:00:00+00:00",
            "repository": repository(),
        }),
        expect![[r#"
            status
            commit 77
            time 2026-03-01T16:00:00Z"#]],
    );
    let deployment = json!({
        "deployment": {"sha": "88", "ref": "main", "created_at": "2026-03-01T17:00:00Z"},
        "repository": repository(),
    });
    check(
        "deployment",
        deployment.clone(),
        expect![[r#"
            deployment
            commit 88
            ref main
            time 2026-03-01T17:00:00Z"#]],
    );
    check(
        "deployment_status",
        with(deployment, "deployment_status", json!({"updated_at": "2026-03-01T18:00:00Z"})),
        expect![[r#"
            deployment_status
            commit 88
            ref main
            time 2026-03-01T18:00:00Z"#]],
    );
}

#[test]
fn the_unsigned_header_cannot_make_a_body_into_another_event() {
    let bodies = [
        ("push", push()),
        ("pull_request", pull_request("opened", 1, "OWNER")),
        ("issue_comment", issue_comment("created", true, "OWNER")),
        ("delete", json!({"ref": "x", "ref_type": "branch", "repository": repository()})),
        (
            "deployment_protection_rule",
            json!({"deployment": {"sha": "8"}, "deployment_callback_url": "https://x/"}),
        ),
    ];
    for (own, body) in &bodies {
        let names = ["create", "deployment", "pull_request", "pull_request_review", "push"];
        for name in names.into_iter().chain(["issue_comment", "release", "status"]) {
            let meaning = meaning(name, body).unwrap();
            let is_event = matches!(meaning, Meaning::Event(..));
            assert_eq!(is_event, name == *own, "a {own} body as {name}");
        }
    }
    check(
        "push",
        pull_request("opened", 1, "OWNER"),
        expect![
            "ignored: the header X-GitHub-Event says `push`, the body is that of a `pull_request` event"
        ],
    );
}

#[test]
fn what_is_missing_or_of_another_type_is_malformed() {
    check(
        "push",
        json!({"event": "invalid"}),
        expect!["malformed: the body is not that of a `push` event"],
    );
    check(
        "push",
        with(push(), "ref", json!(["refs/heads/main"])),
        expect!["malformed: in the body, a member has another type (line 1, column 254)"],
    );
    check(
        "pull_request",
        json!({"action": "opened", "pull_request": {"author_association": "OWNER"}}),
        expect!["malformed: the `pull_request` says no revision"],
    );
}

#[test]
fn what_a_sender_writes_cannot_break_a_line_of_the_log() {
    let mut body = pull_request("opened", 1, "OWNER");
    body["pull_request"]["title"] = json!("a\r\nforged: \u{1b}[31mline\u{0}");
    let Ok(Meaning::Event(event)) = meaning("pull_request", &body) else { panic!("no event") };
    assert_eq!(event.event.long_title, "PR #7: aforged: [31mline");
    let body = with(pull_request("opened", 1, "OWNER"), "action", json!("a\nb"));
    let shown = shown("pull_request", &body);
    assert!(!shown.contains('\n'), "{shown}");
}

#[test]
fn an_action_that_is_no_word_names_no_event() {
    for action in ["", "a b", "a:b", "ä", &"a".repeat(65)] {
        let body = with(issue_comment("created", false, "NONE"), "action", json!(action));
        let Ok(Meaning::Event(event)) = meaning("issue_comment", &body) else { panic!("none") };
        assert_eq!(event.event.action, None, "{action:?}");
    }
}

#[test]
fn a_form_holds_one_payload() {
    let payload = |form: &str| body::form_payload(form.as_bytes()).ok();
    assert_eq!(payload("payload=%7B%22a%22%3A+1%7D").as_deref(), Some(&b"{\"a\": 1}"[..]));
    assert_eq!(payload("x=1&payload=%2B").as_deref(), Some(&b"+"[..]));
    assert_eq!(payload("payload=1&payload=2"), None);
    assert_eq!(payload("payloads=1"), None);
    assert_eq!(payload(""), None);
}

fn filtered(name: &str, body: Value) -> Seen {
    match meaning(name, &body) {
        Ok(Meaning::Event(translated)) => translated.seen,
        other => panic!("{other:?}"),
    }
}

#[test]
fn filters_look_at_the_branch_or_tag_that_an_event_is_about() {
    let branch = |name: &str| Seen::of(&format!("refs/heads/{name}"));
    let tag = |name: &str| Seen::of(&format!("refs/tags/{name}"));
    assert_eq!(filtered("push", push()), branch("main"));
    assert_eq!(filtered("push", with(push(), "ref", json!("refs/tags/v1"))), tag("v1"));
    let mut pull = pull_request("opened", 1, "OWNER");
    pull["pull_request"]["base"]["ref"] = json!("release/1");
    assert_eq!(filtered("pull_request", pull), branch("release/1"));
    let create = |what: &str| json!({"ref": "x", "ref_type": what, "master_branch": "main", "repository": repository()});
    assert_eq!(filtered("create", create("branch")), branch("x"));
    assert_eq!(filtered("create", create("tag")), tag("x"));
    let release = json!({"action": "published", "release": {"tag_name": "v1"}});
    assert_eq!(filtered("release", release), tag("v1"));
    let status =
        json!({"sha": "7", "state": "success", "branches": [{"name": "a"}, {"name": "b"}]});
    let suite = |pulls: Value, branch: &str| json!({"check_suite": {"head_sha": "5", "head_branch": branch, "pull_requests": pulls}});
    let pulls = json!([{"base": {"ref": "main"}}]);
    assert_eq!(filtered("check_suite", suite(pulls, "topic")), branch("main"));
    assert_eq!(filtered("check_suite", suite(json!([]), "topic")), branch("topic"));
    assert_eq!(filtered("check_suite", suite(json!([]), "refs/pull/1/head")), Seen::default());
    let both = ["a".to_owned(), "b".to_owned()];
    assert_eq!(filtered("status", status).branches, both);
    assert_eq!(filtered("issue_comment", issue_comment("created", true, "OWNER")), Seen::default());
}

#[test]
fn the_changed_files_of_a_push_are_known_where_none_may_be_missing() {
    let commit = |id: usize, files: usize| {
        let files: Vec<String> = (0..files).map(|file| format!("{id}/{file}")).collect();
        json!({"id": id.to_string(), "added": [], "modified": files, "removed": ["gone"]})
    };
    let changed = |commits: Vec<Value>, head: usize| {
        let body = json!({"commits": commits, "head_commit": {"id": head.to_string()}});
        changed_files(body.to_string().as_bytes())
    };
    let two = changed(vec![commit(1, 1), commit(2, 2)], 2).unwrap();
    assert_eq!(two, ["1/0", "gone", "2/0", "2/1", "gone"]);
    let many = |count: usize| changed((1..=count).map(|id| commit(id, 1)).collect(), count);
    assert!(many(19).is_some() && many(21).is_some() && many(2047).is_some());
    // What was cut off, or is not there at all, may have been wanted.
    assert_eq!((many(20), many(2048)), (None, None));
    assert_eq!(changed(vec![commit(1, 299), commit(2, 300)], 2), None);
    assert_eq!(changed(vec![commit(1, 1)], 2), None);
    assert_eq!(changed(vec![], 2), None);
    assert_eq!(changed_files(push().to_string().as_bytes()), None);
    assert_eq!(changed_files(br#"{"commits": [1], "head_commit": {"id": "1"}}"#), None);
}

proptest! {
    #[test]
    fn no_bytes_make_the_parsers_panic(bytes: Vec<u8>) {
        let _any = super::repository(&bytes);
        let _any = body::form_payload(&bytes);
        let _any = changed_files(&bytes);
        let json = Bytes::from(bytes);
        let _any = meaning_with(&Settings::default(), "{events: x}", "push", json.clone());
        let _any = meaning_with(&Settings::default(), "{events: x}", "x", json);
    }

    #[test]
    fn no_members_make_the_parsers_panic(name in "[a-z_]{1,12}", members in members()) {
        let _any = meaning(&name, &members);
        let asked = format!("{{events: {name}}}");
        let _any = meaning_with(&Settings::default(), &asked, &name, members.to_string().into());
        for (own, mut body) in [
            ("push", push()),
            ("pull_request", pull_request("opened", 2, "OWNER")),
            ("issue_comment", issue_comment("created", true, "OWNER")),
            ("package", json!({"action": "published"})),
            ("check_suite", json!({"action": "requested"})),
        ] {
            for (key, value) in members.as_object().unwrap() {
                body[key] = value.clone();
            }
            let _any = meaning(own, &body);
        }
    }
}

/// Objects with the names that matter and values of any type.
fn members() -> impl Strategy<Value = Value> {
    let names = prop_oneof![
        Just("action"),
        Just("after"),
        Just("check_run"),
        Just("check_suite"),
        Just("comment"),
        Just("commit"),
        Just("created_at"),
        Just("deleted"),
        Just("deployment"),
        Just("head_commit"),
        Just("installation"),
        Just("issue"),
        Just("number"),
        Just("package"),
        Just("pull_request"),
        Just("ref"),
        Just("registry_package"),
        Just("release"),
        Just("repository"),
        Just("review"),
        Just("sha"),
        Just("state"),
        Just("updated_at"),
        Just("workflow_run"),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    let values = leaf.prop_recursive(3, 16, 4, move |inner| {
        let inside = prop_oneof![
            Just("head"),
            Just("base"),
            Just("repo"),
            Just("number"),
            Just("sha"),
            Just("id"),
            Just("app"),
            Just("package_type"),
            Just("package_version"),
            Just("package_url"),
            Just("container_metadata"),
            Just("author_association"),
            Just("pushed_at"),
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(inside.prop_map(str::to_owned), inner, 0..4)
                .prop_map(|all| Value::Object(all.into_iter().collect())),
        ]
    });
    prop::collection::btree_map(names.prop_map(str::to_owned), values, 0..8)
        .prop_map(|all| Value::Object(all.into_iter().collect()))
}
