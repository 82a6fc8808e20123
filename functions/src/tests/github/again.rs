//! What GitHub says of what we have written there, and builds that are run again from there.

use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::super::*;

const HEAD: &str = "3333333333333333333333333333333333333333";

fn repository() -> Value {
    json!({"id": 1, "full_name": "ocean/brig", "default_branch": "main"})
}

fn check_run(action: &str, external_id: &str) -> Value {
    json!({
        "action": action,
        "check_run": {
            "id": 4,
            "name": "brigantine/push",
            "external_id": external_id,
            "head_sha": HEAD,
            "status": "completed",
            "completed_at": "2026-03-01T10:05:00Z",
            "app": {"id": 7},
            "check_suite": {"head_branch": "main", "head_sha": HEAD, "pull_requests": []},
        },
        "requested_action": {"identifier": "rerun"},
        "repository": repository(),
    })
}

fn asked(action: &str, external_id: &str, delivery_id: &str) -> Request<Body> {
    let mut request = delivery("check_run", check_run(action, external_id).to_string());
    request.headers_mut().insert("x-github-delivery", delivery_id.parse().unwrap());
    request
}

/// A build of a push, by its id.
async fn pushed(world: &World) -> String {
    let told = world.send(delivery("push", push())).await;
    told.body["build"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn whoever_presses_the_button_has_the_build_run_again() {
    for (action, of_job) in
        [("requested_action", ""), ("rerequested", ""), ("rerequested", "/test")]
    {
        let world = World::without_scripts().await;
        let first = pushed(&world).await;
        let named = format!("{first}{of_job}");
        let told = world.send(asked(action, &named, "1")).await;
        assert_eq!((told.code, &told.body["status"]), (200, &json!("Complete")), "{told:?}");
        assert_eq!(told.body["events"], json!(["push"]));
        let reason = told.body["reason"].as_str().unwrap();
        assert!(reason.contains(&format!("the build {first} is run again")), "{reason}");
        let second = told.body["build"].as_str().unwrap().to_owned();
        assert_ne!(first, second);
        let builds = world.app.cluster.builds("default").await.unwrap();
        let [one, other] = &builds[..] else { panic!("{} builds", builds.len()) };
        assert_eq!(one.event.payload, other.event.payload);
        assert_eq!(one.event.revision, other.event.revision);
        assert_eq!(
            (&one.event.kind, &one.event.provider),
            (&other.event.kind, &other.event.provider)
        );
        // GitHub delivers it again: that is nothing new. Pressed again, it is.
        let told = world.send(asked(action, &named, "1")).await;
        assert_eq!((&told.body["duplicate"], &told.body["build"]), (&json!(true), &json!(second)));
        let told = world.send(asked(action, &named, "2")).await;
        assert_eq!(told.body["duplicate"], json!(false));
        assert_eq!(world.builds().await.len(), 3);
    }
}

#[tokio::test]
async fn what_names_no_build_of_the_project_is_an_event() {
    let world = World::without_scripts().await;
    pushed(&world).await;
    // Of another project.
    world.project("ocean/other", json!({"sharedSecret": SECRET})).await;
    let mut other: Value = serde_json::from_str(&push()).unwrap();
    other["repository"]["full_name"] = json!("ocean/other");
    let told = world.send(delivery("push", other.to_string())).await;
    let other = told.body["build"].as_str().unwrap().to_owned();
    for name in [&*other, "01arz3ndektsv4rrffq69g5fav", "not ours", "", "../x", "a/b/c"] {
        let told = world.send(asked("rerequested", name, "1")).await;
        assert_eq!(told.code, 200, "{told:?}");
        assert_eq!(told.body["events"], json!(["check_run", "check_run:rerequested"]), "{name}");
    }
    // Another button is a script's.
    let first = pushed(&world).await;
    let mut body = check_run("requested_action", &first);
    body["requested_action"]["identifier"] = json!("fix");
    let told = world.send(delivery("check_run", body.to_string())).await;
    assert_eq!(told.body["events"], json!(["check_run", "check_run:requested_action"]));
}

#[tokio::test]
async fn the_button_of_another_app_runs_nothing() {
    let world = World::with(Settings { app_id: Some(8), inline: Inline::Never, ..calm() }).await;
    let first = pushed(&world).await;
    let told = world.send(asked("rerequested", &first, "1")).await;
    assert_eq!(told.body["reason"], "the check run is of the GitHub App 7, APP_ID is 8");
    assert_eq!(world.builds().await.len(), 1);
}

#[tokio::test]
async fn a_token_in_the_payload_is_a_new_one() {
    let github = MockServer::start().await;
    let key = include_str!("app.pkcs8.pem").into();
    let settings = Settings { app_id: Some(7), app_key: key, inline: Inline::Never, ..calm() };
    let world = World::with(settings).await;
    let base = format!("{}/api/v3/", github.uri());
    world.project("ocean/brig", json!({"sharedSecret": SECRET, "github.baseURL": base})).await;
    let token = |token: &str| {
        let repositories = json!([repository()]);
        ResponseTemplate::new(201).set_body_json(json!({
            "token": token, "expires_at": "2026-03-01T11:00:00Z", "repositories": repositories,
        }))
    };
    let once = Mock::given(method("POST")).respond_with(token("ghs_old")).up_to_n_times(1);
    once.with_priority(1).mount(&github).await;
    Mock::given(method("POST")).respond_with(token("ghs_new")).mount(&github).await;
    let suite = json!({
        "action": "requested",
        "check_suite": {"id": 9, "head_branch": "main", "head_sha": HEAD, "app": {"id": 7},
            "pull_requests": [], "updated_at": "2026-03-01T10:00:00Z"},
        "repository": repository(),
        "installation": {"id": 55},
    });
    let told = world.send(delivery("check_suite", suite.to_string())).await;
    let first = told.body["build"].as_str().unwrap().to_owned();
    let mut body = check_run("rerequested", &first);
    body["installation"] = json!({"id": 55});
    let told = world.send(delivery("check_run", body.to_string())).await;
    assert_eq!(told.body["events"], json!(["check_suite", "check_suite:requested"]), "{told:?}");
    let builds = world.app.cluster.builds("default").await.unwrap();
    let payloads: Vec<Value> =
        builds.iter().map(|build| serde_json::from_slice(&build.event.payload).unwrap()).collect();
    assert_eq!(
        (&payloads[0]["token"], &payloads[1]["token"]),
        (&json!("ghs_old"), &json!("ghs_new"))
    );
    assert_eq!(payloads[0]["body"], payloads[1]["body"]);
}

#[tokio::test]
async fn what_we_have_written_is_no_event() {
    let world = World::without_scripts().await;
    let status = |context: &str| {
        json!({
            "sha": HEAD,
            "commit": {"sha": HEAD},
            "state": "success",
            "context": context,
            "branches": [{"name": "main"}],
            "repository": repository(),
        })
    };
    let id = "01arz3ndektsv4rrffq69g5fav";
    let jobs = format!("{id}/test");
    for (name, body, reason) in [
        ("status", status("brigantine/push"), "the status `brigantine/push` is of a build here"),
        ("status", status("Brigantine/x\u{1b}"), "the status `Brigantine/x` is of a build here"),
        ("check_run", check_run("created", id), "the check run is of the build 01arz"),
        ("check_run", check_run("completed", &jobs), "the check run is of the build 01arz"),
    ] {
        let told = world.send(delivery(name, body.to_string())).await;
        assert_eq!(told.code, 200, "{told:?}");
        assert!(told.body["reason"].as_str().unwrap().starts_with(reason), "{told:?}");
    }
    assert!(world.builds().await.is_empty());
    for (name, body) in [
        ("status", status("brigantin/push")),
        ("status", status("äöüäöüäö")),
        ("check_run", check_run("completed", "mine")),
    ] {
        let told = world.send(delivery(name, body.to_string())).await;
        assert_eq!(told.body["status"], "Complete", "{told:?}");
    }
}
