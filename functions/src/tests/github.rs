//! GitHub's deliveries, from the request to the cluster.

use super::*;

mod again;
mod app;
mod table;

#[tokio::test]
async fn a_proved_push_makes_a_build_and_its_worker() {
    let world = World::without_scripts().await;
    let told = world.send(delivery("push", push())).await;
    assert_eq!(told.code, 200, "{told:?}");
    let builds = world.builds().await;
    let [(id, true)] = &builds[..] else { panic!("{builds:?}") };
    assert_eq!(told.body["status"], "Complete");
    assert_eq!(told.body["build"], *id);
    assert_eq!(told.body["project"], "ocean/brig");
    assert_eq!(told.body["events"], json!(["push"]));
    assert_eq!(told.body["duplicate"], false);
    assert_eq!(told.body["worker"], format!("brigade-worker-{id}"));
    assert_eq!(world.pods().await, [format!("brigade-worker-{id}")]);
}

#[tokio::test]
async fn the_build_holds_what_was_sent() {
    let world = World::without_scripts().await;
    world.send(delivery("push", push())).await;
    let build = &world.app.cluster.builds("default").await.unwrap()[0];
    assert_eq!(build.event.payload, push());
    assert_eq!(build.event.revision.reference, "refs/heads/main");
    // The time in the id is the push's, 2026-03-01T10:00:00Z.
    assert!(build.id.to_string().starts_with("01kjmdeb80"), "{}", build.id);
}

#[tokio::test]
async fn the_same_push_sent_again_makes_nothing_and_says_so() {
    let world = World::without_scripts().await;
    let first = world.send(delivery("push", push())).await;
    // Headers are not signed: another delivery id makes no other delivery.
    let mut again = delivery("push", push());
    again.headers_mut().insert("x-github-delivery", "another".parse().unwrap());
    let second = world.send(again).await;
    assert_eq!(second.code, 200);
    assert_eq!(second.body["duplicate"], true);
    assert_eq!(second.body["build"], first.body["build"]);
    assert_eq!(second.body["worker"], first.body["worker"]);
    assert_eq!(world.builds().await.len(), 1);
    assert_eq!(world.pods().await.len(), 1);
}

#[tokio::test]
async fn what_is_started_twice_with_equal_bodies_is_two_builds_and_a_redelivery_none() {
    let world = World::without_scripts().await;
    let events = "*,repository_dispatch,workflow_dispatch";
    let keys = json!({"sharedSecret": SECRET, "filters.events": events});
    world.project("ocean/brig", keys).await;
    let repository = json!({"full_name": "ocean/brig", "pushed_at": "2026-03-01T10:00:00Z"});
    let suite = json!({
        "head_branch": "main",
        "head_sha": "5",
        "app": {"id": 1},
    });
    let run = |action: &str| {
        json!({
            "action": action,
            "check_run": {"check_suite": suite, "completed_at": "2026-03-01T10:00:00Z"},
            "requested_action": {"identifier": "fix"},
            "repository": repository,
        })
    };
    let dispatch = json!({
        "action": "deploy",
        "branch": "main",
        "client_payload": null,
        "repository": repository,
    });
    let workflow = json!({
        "inputs": null,
        "ref": "refs/heads/main",
        "workflow": ".github/workflows/x.yml",
        "repository": repository,
    });
    for (event, body, builds) in [
        ("repository_dispatch", dispatch, 2),
        ("workflow_dispatch", workflow, 2),
        ("check_run", run("requested_action"), 2),
        // Of a run that is created there is one body.
        ("check_run", run("created"), 1),
    ] {
        let mut made = Vec::new();
        for id in ["one", "two", "one", "two"] {
            let mut request = delivery(event, body.to_string());
            request.headers_mut().insert("x-github-delivery", id.parse().unwrap());
            let told = world.send(request).await;
            assert_eq!(told.code, 200, "{told:?}");
            made.extend(told.builds());
        }
        assert_eq!(made[..2], made[2..], "{event}");
        made.sort();
        made.dedup();
        assert_eq!(made.len(), builds, "{event}");
    }
}

#[tokio::test]
async fn many_identical_pushes_at_once_are_one_build() {
    let world = World::without_scripts().await;
    let sent = (0..20).map(|_| world.send(delivery("push", push())));
    let told = futures::future::join_all(sent).await;
    assert!(told.iter().all(|told| told.code == 200), "{told:?}");
    let made = told.iter().filter(|told| told.body["duplicate"] == false).count();
    assert_eq!(made, 1);
    assert_eq!(world.builds().await.len(), 1);
    assert_eq!(world.pods().await.len(), 1);
}

#[tokio::test]
async fn an_event_with_an_action_fires_two_names_of_one_build() {
    let world = World::without_scripts().await;
    let body = json!({
        "action": "published",
        "release": {"tag_name": "1.0", "published_at": "2026-03-01T10:00:00Z"},
        "repository": {"full_name": "ocean/brig"},
    });
    let told = world.send(delivery("release", body.to_string())).await;
    assert_eq!(told.body["events"], json!(["release", "release:published"]));
    assert_eq!(world.builds().await.len(), 1);
}

#[tokio::test]
async fn an_app_delivers_to_its_own_address() {
    let world = World::without_scripts().await;
    let mut request = delivery("push", push());
    *request.uri_mut() = "/events/github/1234/5678".parse().unwrap();
    assert_eq!(world.send(request).await.code, 200);
    assert_eq!(world.builds().await.len(), 1);
}

#[tokio::test]
async fn a_form_is_signed_as_it_was_sent_and_kept_as_json() {
    let world = World::without_scripts().await;
    let form = serde_urlencoded::to_string([("payload", push())]).unwrap();
    let mut request = delivery("push", form);
    let headers = request.headers_mut();
    headers.insert("content-type", "application/x-www-form-urlencoded".parse().unwrap());
    let told = world.send(request).await;
    assert_eq!(told.code, 200, "{told:?}");
    let build = &world.app.cluster.builds("default").await.unwrap()[0];
    assert_eq!(build.event.payload, push());
}

#[tokio::test]
async fn a_charset_is_no_other_content_type() {
    let world = World::without_scripts().await;
    let mut request = delivery("push", push());
    let headers = request.headers_mut();
    headers.insert("content-type", "Application/JSON; charset=utf-8".parse().unwrap());
    assert_eq!(world.send(request).await.code, 200);
}

#[tokio::test]
async fn a_repository_without_a_full_name_is_named_by_its_parts() {
    let world = World::without_scripts().await;
    let mut body: Value = serde_json::from_str(&push()).unwrap();
    body["repository"] = json!({"name": "brig", "owner": {"login": "ocean"}});
    assert_eq!(world.send(delivery("push", body.to_string())).await.code, 200);
}

#[tokio::test]
async fn pings_are_answered_and_make_nothing() {
    let world = World::new().await;
    let of_project = json!({"zen": "Calm.", "repository": {"full_name": "ocean/brig"}}).to_string();
    let of_app = json!({"zen": "Calm.", "hook_id": 1}).to_string();
    let reason = "nothing is built for a ping";
    let told = world.send(delivery("ping", of_project)).await;
    let body = json!({"message": "OK", "project": "ocean/brig", "reason": reason});
    assert_eq!((told.code, told.body), (200, body));
    for body in [of_app, String::new()] {
        let told = world.send(delivery("ping", body)).await;
        assert_eq!((told.code, told.body), (200, json!({"message": "OK", "reason": reason})));
    }
    assert!(world.is_untouched().await);
}

#[tokio::test]
async fn events_that_nobody_builds_are_ignored_and_explained() {
    let world = World::new().await;
    let body = json!({"action": "started", "repository": {"full_name": "ocean/brig"}});
    let told = world.send(delivery("watch", body.to_string())).await;
    assert_eq!(told.code, 200);
    let reason = "`watch` events are built only where the project's filters.events names them";
    let body = json!({"message": "Ignored", "project": "ocean/brig", "reason": reason});
    assert_eq!(told.body, body);
    let told = world.send(delivery("installation", json!({"action": "created"}).to_string())).await;
    assert_eq!((told.code, &told.body["message"]), (200, &json!("Ignored")));
    assert!(world.is_untouched().await);
}

#[tokio::test]
async fn a_project_takes_the_events_that_its_filters_take() {
    let world = World::without_scripts().await;
    let filters = json!({
        "sharedSecret": SECRET,
        "filters.events": "push,release:published",
        "filters.branches": "main,release/*",
        "filters.paths": "src/**",
    });
    world.project("ocean/brig", filters).await;
    let pushed = |branch: &str, files: &[&str]| {
        let mut body: Value = serde_json::from_str(&push()).unwrap();
        body["ref"] = json!(format!("refs/heads/{branch}"));
        let head = &body["head_commit"]["id"];
        body["commits"] = json!([{"id": head, "modified": files}]);
        delivery("push", body.to_string())
    };
    let release = |action: &str| {
        let body = json!({
            "action": action,
            "release": {"tag_name": "1.0"},
            "repository": {"full_name": "ocean/brig"},
        });
        delivery("release", body.to_string())
    };
    for (request, reason) in [
        (
            pushed("dev", &["src/a"]),
            "the branch is `dev`; the project's filter takes `main,release/*`",
        ),
        (
            pushed("main", &["README.md"]),
            "the one changed file is `README.md`; the project's filter takes `src/**`",
        ),
        (
            release("created"),
            "the event is `release:created`; these are built: push, release:published",
        ),
    ] {
        let told = world.send(request).await;
        let body = json!({"message": "Ignored", "project": "ocean/brig", "reason": reason});
        assert_eq!((told.code, told.body), (200, body));
    }
    assert!(world.is_untouched().await);
    for (request, fires) in [
        (pushed("release/1", &["docs/a", "src/a"]), "push"),
        // No files are named, so none can be missed.
        (delivery("push", push()), "push"),
        (release("published"), "release:published"),
    ] {
        let told = world.send(request).await;
        assert_eq!((told.code, &told.body["events"]), (200, &json!([fires])), "{told:?}");
    }
}

#[tokio::test]
async fn a_deleted_branch_and_a_strangers_fork_are_skipped_once_they_are_proved() {
    let world = World::new().await;
    let mut deleted: Value = serde_json::from_str(&push()).unwrap();
    deleted["deleted"] = json!(true);
    let fork = json!({
        "action": "opened",
        "number": 1,
        "pull_request": {
            "author_association": "NONE",
            "head": {"sha": "3", "repo": {"id": 2}},
            "base": {"repo": {"id": 1}},
        },
        "repository": {"full_name": "ocean/brig"},
    });
    for (event, body, status) in [
        ("push", deleted, "build skipped on branch deletion"),
        ("pull_request", fork, "build skipped"),
    ] {
        let told = world.send(delivery(event, body.to_string())).await;
        assert_eq!((told.code, &told.body["status"]), (200, &json!(status)));
        let mut forged = delivery(event, body.to_string());
        forged.headers_mut().remove("x-hub-signature-256");
        assert_eq!(world.send(forged).await.code, 403);
    }
    assert!(world.is_untouched().await);
}

#[tokio::test]
async fn a_repository_without_a_project_is_not_found() {
    let world = World::new().await;
    let body = push().replace("ocean/brig", "ocean/other");
    let told = world.send(delivery("push", body)).await;
    assert_eq!((told.code, &told.body["status"]), (404, &json!("project not found")));
}

#[tokio::test]
async fn a_secret_is_changed_with_both_in_lines_for_a_while() {
    let world = World::without_scripts().await;
    for (secrets, code) in [("new\naye aye\n", 200), ("aye aye\r\nnew", 200), ("new", 403)] {
        world.project("ocean/brig", json!({"sharedSecret": secrets})).await;
        assert_eq!(world.send(delivery("push", push())).await.code, code, "{secrets:?}");
    }
}

#[tokio::test]
async fn an_enterprise_servers_headers_change_nothing() {
    let world = World::without_scripts().await;
    let mut request = delivery("push", push());
    let headers = request.headers_mut();
    headers.insert("x-github-enterprise-host", "github.acme.com".parse().unwrap());
    headers.insert("x-github-enterprise-version", "3.14.0".parse().unwrap());
    headers.insert("x-github-hook-installation-target-type", "repository".parse().unwrap());
    let old = signature::sign_github_sha1(SECRET, push().as_bytes());
    headers.insert("x-hub-signature", old.parse().unwrap());
    assert_eq!(world.send(request).await.code, 200);
}

#[tokio::test]
async fn the_default_secret_proves_for_projects_without_one() {
    let settings =
        Settings { default_shared_secret: SECRET.into(), inline: Inline::Never, ..calm() };
    let world = World::with(settings).await;
    world.project("ocean/bare", json!({})).await;
    let body = push().replace("ocean/brig", "ocean/bare");
    assert_eq!(world.send(delivery("push", body)).await.code, 200);
}

#[tokio::test]
async fn a_payload_that_fits_no_secret_is_refused_with_a_sentence() {
    let world = World::new().await;
    let mut body: Value = serde_json::from_str(&push()).unwrap();
    // Random digits, so that compression does not help.
    let mut state = 1_u64;
    let noise = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        format!("{state:016x}")
    });
    body["noise"] = json!(noise.take(300_000).collect::<String>());
    let told = world.send(delivery("push", body.to_string())).await;
    assert_eq!(told.code, 413, "{told:?}");
    assert!(told.body["reason"].as_str().unwrap().contains("a Secret holds"), "{told:?}");
    assert!(world.is_untouched().await);
}

#[tokio::test]
async fn a_large_payload_is_kept_whole() {
    let world = World::without_scripts().await;
    let mut body: Value = serde_json::from_str(&push()).unwrap();
    body["commits"] = json!(vec!["the same words again and again"; 100_000]);
    let body = body.to_string();
    assert!(body.len() > 3_000_000);
    assert_eq!(world.send(delivery("push", body.clone())).await.code, 200);
    let build = &world.app.cluster.builds("default").await.unwrap()[0];
    assert!(build.event.payload == body);
}

#[tokio::test]
async fn without_the_cluster_the_sender_is_asked_to_come_back() {
    let world = World::new().await;
    world.fail(0, 503, When::Before);
    // The cluster is asked until the time of the request is over.
    tokio::time::pause();
    let told = world.send(delivery("push", push())).await;
    tokio::time::resume();
    assert_eq!(told.code, 503, "{told:?}");
    assert_eq!(told.headers["retry-after"], "5");
    assert_eq!(told.body["status"], "unavailable");
    world.server.faults().clear();
    assert!(world.is_untouched().await);
    assert_eq!(world.send(delivery("push", push())).await.code, 200);
}

#[tokio::test]
async fn a_projects_builds_are_where_the_project_says() {
    let world = World::without_scripts().await;
    world.app.cluster.create_namespace("hold").await.unwrap();
    world.service_account("hold").await;
    world.project("ocean/brig", json!({"sharedSecret": SECRET, "namespace": "hold"})).await;
    let told = world.send(delivery("push", push())).await;
    assert_eq!(told.code, 200, "{told:?}");
    assert!(world.is_untouched().await);
    assert_eq!(world.app.cluster.builds("hold").await.unwrap().len(), 1);
    let again = world.send(delivery("push", push())).await;
    assert_eq!(again.body["duplicate"], true);
}

#[tokio::test]
async fn a_namespace_that_does_not_exist_is_no_reason_to_come_back() {
    let world = World::without_scripts().await;
    world.project("ocean/brig", json!({"sharedSecret": SECRET, "namespace": "gone"})).await;
    let told = world.send(delivery("push", push())).await;
    assert_eq!((told.code, &told.body["status"]), (500, &json!("internal error")));
    assert!(!told.headers.contains_key("retry-after"));
}
