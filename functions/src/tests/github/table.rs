//! The table of Brigade's GitHub App: which builds each kind of delivery makes.
//!
//! Brigade makes a build for every name; here one build fires the same names in the same order, and
//! two are made where the operator says so.

use super::super::*;

const OWNER: &str = "OWNER";

/// A delivery, and what Brigade makes of it: the names, the commit and the reference; or the words
/// with which it makes nothing.
type Row = (
    &'static str,
    Value,
    Result<(&'static [&'static str], &'static str, &'static str), &'static str>,
);

fn with(mut body: Value, members: Value) -> Value {
    for (name, value) in members.as_object().unwrap() {
        body[name] = value.clone();
    }
    body["repository"] = json!({"id": 1, "full_name": "ocean/brig", "default_branch": "master"});
    body
}

fn pull(number: u64, sha: &str, action: &str, fork: bool, association: &str) -> Value {
    let head = json!({"sha": sha, "repo": {"id": 1 + u64::from(fork), "fork": fork}});
    let pull = json!({
        "number": number,
        "author_association": association,
        "head": head,
        "base": {"ref": "master", "repo": {"id": 1}},
    });
    with(json!({"action": action}), json!({"number": number, "pull_request": pull}))
}

fn comment(action: &str, is_pull: bool, association: &str) -> Value {
    let pull = if is_pull { json!({"url": "https://x/"}) } else { Value::Null };
    with(
        json!({"action": action}),
        json!({
            "issue": {"number": 2, "title": "Spelling", "pull_request": pull},
            "comment": {"body": "Fixed", "author_association": association},
        }),
    )
}

fn rows() -> Vec<Row> {
    const LONG: &str = "9049f1265b7d61be4a8904a9a27120d2064dab3b";
    const HEAD: &str = "0d1a26e67d8f5eaf1f6ba5c57fc3c7d91ac0fd1c";
    const OTHER: &str = "b7a1f9c27caa4e03c14a88feb56e2d4f7500aa63";
    let deployment = json!({"sha": LONG, "ref": "master"});
    let push = json!({
        "ref": "refs/heads/changes",
        "after": HEAD,
        "deleted": false,
        "head_commit": {"id": HEAD},
    });
    vec![
        (
            "commit_comment",
            with(json!({"action": "created"}), json!({"comment": {"commit_id": LONG}})),
            Ok((&["commit_comment", "commit_comment:created"], LONG, "")),
        ),
        (
            "create",
            with(json!({"ref": "0.0.1"}), json!({"ref_type": "tag", "master_branch": "master"})),
            Ok((&["create"], "", "0.0.1")),
        ),
        (
            "deployment",
            with(json!({}), json!({"deployment": deployment})),
            Ok((&["deployment"], LONG, "master")),
        ),
        (
            "deployment_status",
            with(json!({"deployment": deployment}), json!({"deployment_status": {"state": "ok"}})),
            Ok((&["deployment_status"], LONG, "master")),
        ),
        (
            "issue_comment",
            comment("created", false, OWNER),
            Ok((&["issue_comment", "issue_comment:created"], "", "refs/heads/master")),
        ),
        (
            "issue_comment",
            comment("deleted", true, OWNER),
            Ok((&["issue_comment", "issue_comment:deleted"], "", "refs/heads/master")),
        ),
        (
            "issue_comment",
            comment("created", true, "NONE"),
            Ok((&["issue_comment", "issue_comment:created"], "", "refs/heads/master")),
        ),
        (
            "issue_comment",
            comment("created", true, OWNER),
            Ok((&["issue_comment", "issue_comment:created"], "", "refs/pull/2/head")),
        ),
        ("pull_request", pull(1, HEAD, "opened", true, "NONE"), Err("build skipped")),
        ("pull_request", pull(1, HEAD, "assigned", false, OWNER), Err("build skipped")),
        (
            "pull_request",
            pull(1, HEAD, "opened", true, OWNER),
            Ok((&["pull_request", "pull_request:opened"], HEAD, "refs/pull/1/head")),
        ),
        (
            "pull_request",
            pull(1, HEAD, "labeled", false, "NONE"),
            Ok((&["pull_request", "pull_request:labeled"], HEAD, "refs/pull/1/head")),
        ),
        (
            "pull_request_review",
            with(
                pull(8, OTHER, "submitted", false, OWNER),
                json!({"review": {"state": "approved"}}),
            ),
            Ok((
                &["pull_request_review", "pull_request_review:submitted"],
                OTHER,
                "refs/pull/8/head",
            )),
        ),
        (
            "pull_request_review_comment",
            with(pull(1, HEAD, "created", false, OWNER), json!({"comment": {"body": "Maybe"}})),
            Ok((
                &["pull_request_review_comment", "pull_request_review_comment:created"],
                HEAD,
                "refs/pull/1/head",
            )),
        ),
        ("push", with(push.clone(), json!({})), Ok((&["push"], HEAD, "refs/heads/changes"))),
        (
            "push",
            with(push, json!({"deleted": true, "head_commit": null})),
            Err("build skipped on branch deletion"),
        ),
        (
            "status",
            with(json!({"sha": LONG}), json!({"commit": {"sha": LONG}, "state": "success"})),
            Ok((&["status"], LONG, "")),
        ),
        (
            "release",
            with(json!({"action": "published"}), json!({"release": {"tag_name": "0.0.1"}})),
            Ok((&["release", "release:published"], "", "0.0.1")),
        ),
    ]
}

fn settings(github_two_builds: bool) -> Settings {
    let allowed_authors = vec![OWNER.to_owned()];
    Settings { allowed_authors, github_two_builds, inline: Inline::Never, ..calm() }
}

#[tokio::test]
async fn each_delivery_makes_what_brigades_gateway_makes_of_it() {
    for (event, body, expected) in rows() {
        let world = World::with(settings(false)).await;
        let told = world.send(delivery(event, body.to_string())).await;
        assert_eq!(told.code, 200, "{event}: {told:?}");
        let builds = world.app.cluster.builds("default").await.unwrap();
        match expected {
            Err(status) => {
                assert_eq!((&told.body["status"], builds.len()), (&json!(status), 0), "{event}");
            }
            Ok((names, commit, reference)) => {
                assert_eq!(told.body["status"], "Complete", "{event}: {told:?}");
                let [build] = &builds[..] else { panic!("{event}: {} builds", builds.len()) };
                assert_eq!(build.fires(), names);
                let revision = &build.event.revision;
                let found = (revision.commit.as_str(), revision.reference.as_str());
                assert_eq!(found, (commit, reference), "{event}");
                assert!(!build.event.payload.is_empty(), "{event}");
            }
        }
    }
}

#[tokio::test]
async fn an_operator_may_have_a_build_for_every_name_as_brigade_makes_them() {
    for (event, body, expected) in rows() {
        let Ok((names, commit, reference)) = expected else { continue };
        let world = World::with(settings(true)).await;
        for is_repeated in [false, true] {
            let told = world.send(delivery(event, body.to_string())).await;
            assert_eq!((told.code, &told.body["status"]), (200, &json!("Complete")), "{told:?}");
            let one = [told.body.clone()];
            let made = told.body["builds"].as_array().map_or(&one[..], Vec::as_slice);
            let fired: Vec<&Value> = made.iter().map(|made| &made["events"][0]).collect();
            assert_eq!(json!(fired), json!(names), "{told:?}");
            assert!(made.iter().all(|made| made["duplicate"] == is_repeated), "{told:?}");
        }
        let builds = world.app.cluster.builds("default").await.unwrap();
        assert_eq!(builds.len(), names.len(), "{event}");
        for build in &builds {
            assert_eq!(build.event.revision.commit, commit);
            assert_eq!(build.event.revision.reference, reference);
            assert_eq!(build.fires().len(), 1);
        }
    }
}

#[tokio::test]
async fn events_without_a_body_are_answered_as_brigade_answers_them() {
    let world = World::new().await;
    for (event, word) in [("ping", "OK"), ("unheard_of", "Ignored")] {
        let told = world.send(delivery(event, "")).await;
        assert_eq!((told.code, &told.body["message"]), (200, &json!(word)));
    }
}
