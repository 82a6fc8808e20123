//! Registries' deliveries, from the request to the cluster.

use runtime::build::BuildId;

use super::*;

const TOKEN: &str = "ahoy";

async fn world(allow_unsigned: bool) -> World {
    let settings =
        Settings { inline: Inline::Never, registry_allow_unsigned: allow_unsigned, ..calm() };
    let world = World::with(settings).await;
    let keys = json!({"sharedSecret": SECRET, "genericGatewaySecret": TOKEN});
    world.project("ocean/brig", keys).await;
    world
}

fn request(uri: &str) -> Request<Body> {
    let json = "application/json; charset=utf-8";
    post(uri).header("content-type", json).body(image_push().into()).unwrap()
}

fn with(uri: &str, header: &'static str, value: &str) -> Request<Body> {
    let mut request = request(uri);
    request.headers_mut().insert(header, value.parse().unwrap());
    request
}

#[tokio::test]
async fn a_push_with_a_token_makes_a_build_about_its_image() {
    let world = world(false).await;
    let told = world.send(request("/events/webhook/ocean/brig?commit=master&token=ahoy")).await;
    assert_eq!(told.code, 200, "{told:?}");
    assert_eq!(told.body["status"], "Success");
    assert_eq!(told.body["events"], json!(["image_push"]));
    let build = &world.app.cluster.builds("default").await.unwrap()[0];
    assert_eq!(build.event.provider, "acr");
    assert_eq!(build.event.revision.reference, "master");
    assert_eq!(build.event.payload, image_push());
    let image = build.event.image.clone().unwrap();
    assert_eq!(image.reference(), "ocean.azurecr.io/team/app:1.0");
}

#[tokio::test]
async fn a_token_is_taken_wherever_a_registry_can_put_it() {
    let world = world(false).await;
    let uri = "/events/webhook/ocean/brig?commit=master";
    for request in [
        with(uri, "authorization", "Bearer ahoy"),
        with(uri, "authorization", "Basic YW55Ym9keTphaG95"),
        with(uri, "authorization", "ahoy"),
        with(uri, "x-registry-token", "ahoy"),
        request(&format!("{uri}&token=ahoy")),
    ] {
        assert_eq!(world.send(request).await.code, 200);
    }
    assert_eq!(world.builds().await.len(), 1, "the same event, however it is proved");
}

#[tokio::test]
async fn a_missing_and_a_wrong_token_are_refused_alike() {
    let world = world(false).await;
    let uri = "/events/webhook/ocean/brig";
    let mut bodies = Vec::new();
    for request in [
        request(uri),
        with(uri, "authorization", "Bearer aho"),
        with(uri, "authorization", "Token ahoy"),
        with(uri, "authorization", "Basic ahoy"),
        with(uri, "x-registry-token", "ahoy2"),
        request(&format!("{uri}?token=")),
        request(&format!("{uri}?token={SECRET}").replace(' ', "+")),
        // Right, but twice.
        with(&format!("{uri}?token=ahoy"), "x-registry-token", "ahoy"),
    ] {
        let told = world.send(request).await;
        assert_eq!(told.code, 401, "{told:?}");
        bodies.push(told.body);
    }
    assert_eq!(bodies[0]["status"], "secret is wrong");
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
    assert!(world.is_untouched().await);
}

#[tokio::test]
async fn brigades_own_addresses_work_where_the_operator_says_so() {
    let world = world(true).await;
    let told = world.send(request("/events/webhook/ocean/brig?commit=master")).await;
    assert_eq!(told.code, 200, "{told:?}");
    // What is sent must be right, even though it need not be sent.
    let told = world.send(request("/events/webhook/ocean/brig?commit=master&token=a")).await;
    assert_eq!(told.code, 401);
}

#[tokio::test]
async fn the_commit_is_in_the_query_before_the_path() {
    let world = world(true).await;
    let id = runtime::project::id_of("ocean/brig");
    for (uri, commit) in [
        ("/events/webhook/ocean/brig".to_owned(), ""),
        ("/events/webhook/ocean/brig/v1".to_owned(), "v1"),
        ("/events/webhook/ocean/brig/v1?commit=v2".to_owned(), "v2"),
        ("/events/webhook/ocean/brig/v3?commit=".to_owned(), "v3"),
        (format!("/events/webhook/{id}?commit=feature%2Fx"), "feature/x"),
    ] {
        let told = world.send(request(&uri)).await;
        assert_eq!(told.code, 200, "{uri}: {told:?}");
        let id = BuildId::parse(told.body["build"].as_str().unwrap()).unwrap();
        let build = world.app.cluster.build("default", id).await.unwrap().unwrap();
        assert_eq!(build.event.revision.reference, commit, "{uri}");
    }
    assert_eq!(world.builds().await.len(), 5);
}

#[tokio::test]
async fn the_projects_script_goes_before_the_repositorys() {
    let world = world(true).await;
    let keys = json!({"defaultScript": "// ours", "cloneURL": "https://example.com/x.git"});
    world.project("plain", keys).await;
    assert_eq!(world.send(request("/events/webhook/plain")).await.code, 200);
    let build = &world.app.cluster.builds("default").await.unwrap()[0];
    assert_eq!(build.event.script.as_deref(), Some("// ours"));
}

#[tokio::test]
async fn a_project_without_any_secret_takes_nothing_that_claims_one() {
    let world = World::with(calm()).await;
    world.project("open", json!({})).await;
    let told = world.send(request("/events/webhook/open?token=x")).await;
    assert_eq!(told.code, 401);
    assert!(told.body["status"].as_str().unwrap().contains("is empty, refusing to serve"));
    assert_eq!(world.send(request("/events/webhook/open")).await.code, 401);
    assert!(world.is_untouched().await);
}

#[tokio::test]
async fn without_a_generic_secret_the_shared_one_is_the_token() {
    let world = World::without_scripts().await;
    let told = world.send(request("/events/webhook/ocean/brig?token=aye+aye")).await;
    assert_eq!(told.code, 200, "{told:?}");
}

#[tokio::test]
async fn pings_are_proved_answered_and_make_nothing() {
    let world = world(false).await;
    let ping = json!({"id": "1", "timestamp": "2026-03-01T10:00:00Z", "action": "ping"});
    let send = |uri: &str| {
        let request = post(uri).header("content-type", "application/json");
        world.send(request.body(ping.to_string().into()).unwrap())
    };
    let told = send("/events/webhook/ocean/brig?token=ahoy").await;
    assert_eq!((told.code, &told.body["status"]), (200, &json!("pong")));
    assert_eq!(send("/events/webhook/ocean/brig").await.code, 401);
    assert!(world.is_untouched().await);
}

#[tokio::test]
async fn a_repeated_push_is_one_build() {
    let world = world(true).await;
    let send = || world.send(request("/events/webhook/ocean/brig?commit=master"));
    let (first, second) = (send().await, send().await);
    assert_eq!(second.body["duplicate"], true);
    assert_eq!(first.body["build"], second.body["build"]);
    assert_eq!(world.pods().await.len(), 1);
}

/// A push of two artifacts, as Harbor tells of it.
fn artifacts() -> Value {
    let artifact = |tag: &str| {
        let url = format!("hub.example/team/app:{tag}");
        json!({"digest": "sha256:8a2f", "tag": tag, "resource_url": url})
    };
    json!({
        "type": "PUSH_ARTIFACT",
        "occur_at": 1772359200,
        "event_data": {
            "resources": [artifact("1.0"), artifact("latest")],
            "repository": {"repo_full_name": "team/app"},
        },
    })
}

fn sent(uri: &str, body: &Value) -> Request<Body> {
    let request = post(uri).header("content-type", "application/json");
    request.header("authorization", TOKEN).body(body.to_string().into()).unwrap()
}

#[tokio::test]
async fn a_delivery_of_two_images_is_two_builds_and_again_the_same_two() {
    let world = world(false).await;
    let body = artifacts();
    let uri = "/events/webhook/ocean/brig?commit=master";
    let told = world.send(sent(uri, &body)).await;
    assert_eq!((told.code, &told.body["status"]), (200, &json!("Success")), "{told:?}");
    let builds = world.app.cluster.builds("default").await.unwrap();
    let mut tags: Vec<String> =
        builds.iter().filter_map(|build| build.event.image.clone()?.tag).collect();
    tags.sort();
    assert_eq!(tags, ["1.0", "latest"]);
    assert!(builds.iter().all(|build| build.event.payload == body.to_string()));
    let again = world.send(sent(uri, &body)).await;
    let made = |told: &Told| {
        let builds = told.body["builds"].as_array().unwrap().clone();
        builds.iter().map(|made| made["build"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(made(&again), made(&told));
    assert!(again.body["builds"].as_array().unwrap().iter().all(|made| made["duplicate"] == true));
    assert_eq!((world.builds().await.len(), world.pods().await.len()), (2, 2));
}

#[tokio::test]
async fn what_was_not_made_of_a_delivery_is_made_by_the_next() {
    let world = world(false).await;
    let uri = "/events/webhook/ocean/brig";
    // The project is read; then the cluster refuses, each time a little later.
    let mut refused = 0;
    for skip in 1..8 {
        world.fail(skip, 403, When::Before);
        let told = world.send(sent(uri, &artifacts())).await;
        world.server.faults().clear();
        assert!([200, 500].contains(&told.code), "{told:?}");
        refused += usize::from(told.code == 500);
    }
    assert!(refused > 1, "{refused}");
    let told = world.send(sent(uri, &artifacts())).await;
    assert_eq!(told.code, 200, "{told:?}");
    assert_eq!((world.builds().await.len(), world.pods().await.len()), (2, 2));
    assert!(world.builds().await.iter().all(|(_, accepted)| *accepted));
}

#[tokio::test]
async fn harbor_is_answered_before_it_gives_up() {
    let world = world(false).await;
    world.fail(0, 503, When::Before);
    let push: Value = serde_json::from_str(&image_push()).unwrap();
    let took = async |body: &Value| {
        tokio::time::pause();
        let begun = tokio::time::Instant::now();
        let told = world.send(sent("/events/webhook/ocean/brig", body)).await;
        let took = begun.elapsed();
        tokio::time::resume();
        assert_eq!(told.code, 503, "{told:?}");
        assert!(told.headers.contains_key("retry-after"));
        took
    };
    // Three tenths of the time that others have.
    let (harbors, others) = (took(&artifacts()).await, took(&push).await);
    let budget = world.app.settings.request_budget;
    assert!(harbors <= budget * 3 / 10, "{harbors:?}");
    assert!(others > budget * 3 / 10, "{others:?}");
}

#[tokio::test]
async fn a_project_takes_the_images_that_it_lists() {
    let world = world(true).await;
    let keys = |images: &str| json!({"sharedSecret": SECRET, "filters.images": images});
    world.project("ocean/brig", keys("ocean.azurecr.io/**")).await;
    let uri = "/events/webhook/ocean/brig";
    assert_eq!(world.send(request(uri)).await.body["status"], "Success");
    let evil = image_push().replace("ocean.azurecr.io", "evil.example");
    let push = |body: String| {
        let request = post(uri).header("content-type", "application/json");
        world.send(request.body(body.into()).unwrap())
    };
    let told = push(evil).await;
    assert_eq!((told.code, &told.body["message"]), (200, &json!("Ignored")));
    let reason = "the image is `evil.example/team/app:1.0`; the project's filter takes \
                  `ocean.azurecr.io/**`";
    assert_eq!(told.body["reason"], reason);
    // What names no image at all could be about any.
    let told = push("{}".to_owned()).await;
    assert!(told.body["reason"].as_str().unwrap().starts_with("the image is `unknown`"));
    assert_eq!(world.builds().await.len(), 1);
    world.project("ocean/brig", keys("**/*:latest")).await;
    let told = world.send(sent(&format!("{uri}?token=x"), &artifacts())).await;
    assert_eq!(told.code, 401);
    let told = push(artifacts().to_string()).await;
    assert_eq!(told.body["status"], "Success", "one of the two: {told:?}");
}

#[tokio::test]
async fn other_events_of_harbor_are_built_where_they_are_asked_for() {
    let world = world(false).await;
    let mut body = artifacts();
    body["type"] = json!("SCANNING_COMPLETED");
    let send = || world.send(sent("/events/webhook/ocean/brig", &body));
    let told = send().await;
    assert_eq!(told.body["message"], "Ignored");
    assert!(world.is_untouched().await);
    let keys = json!({"sharedSecret": TOKEN, "filters.events": "harbor.scan.completed"});
    world.project("ocean/brig", keys).await;
    assert_eq!(send().await.body["events"], json!(["harbor.scan.completed"]));
    // And then a push is not.
    let told = world.send(sent("/events/webhook/ocean/brig", &artifacts())).await;
    let reason = "the event is `image_push`; these are built: harbor.scan.completed";
    assert_eq!(told.body["reason"], reason);
}

#[tokio::test]
async fn a_delivery_of_too_many_events_is_refused_whole() {
    let world = world(false).await;
    let event = |id: u32| {
        let target = json!({"repository": "app", "tag": id.to_string()});
        json!({"id": id, "action": "delete", "target": target})
    };
    let body = json!({"events": (0..300).map(event).collect::<Vec<Value>>()});
    let told = world.send(sent("/events/webhook/ocean/brig", &body)).await;
    assert_eq!(told.code, 413, "{told:?}");
    assert!(world.is_untouched().await);
}

#[tokio::test]
async fn without_a_token_nobody_runs_what_a_stranger_has_written() {
    let mut world = world(true).await;
    world.app.repository = Arc::new(Repository::Clone);
    world.router = router(world.app.clone(), Function::ALL);
    let id = "2222222222222222222222222222222222222222";
    for commit in [
        id,
        &id[..7],
        "refs/pull/7/head",
        "pull/7/merge",
        "%2Brefs/pull/7/head",
        "refs/merge-requests/7/head",
        "merge-requests/7/head",
        "main..refs/pull/7/head",
        "main:refs/heads/x",
    ] {
        let uri = format!("/events/webhook/ocean/brig?commit={commit}");
        let told = world.send(request(&uri)).await;
        assert_eq!(told.code, 401, "{commit}: {told:?}");
    }
    assert!(world.is_untouched().await);
    for commit in ["refs/heads/2222222", "refs/tags/v1", "release/1.0+2", "HEAD"] {
        let uri = format!("/events/webhook/ocean/brig?commit={commit}").replace('+', "%2B");
        assert_eq!(world.send(request(&uri)).await.code, 200, "{commit}");
    }
    // Whoever has the token may.
    let uri = format!("/events/webhook/ocean/brig?commit={id}&token=ahoy");
    assert_eq!(world.send(request(&uri)).await.code, 200);
}

#[tokio::test]
async fn without_a_token_a_page_in_a_browser_starts_nothing() {
    let world = world(true).await;
    let untyped = |uri: &str| world.send(post(uri).body(image_push().into()).unwrap());
    let told = untyped("/events/webhook/ocean/brig?commit=master").await;
    assert_eq!(told.code, 415, "{told:?}");
    assert!(world.is_untouched().await);
    let told = untyped("/events/webhook/ocean/brig?commit=master&token=ahoy").await;
    assert_eq!(told.code, 200, "{told:?}");
}

#[tokio::test]
async fn a_commit_is_no_option_of_git() {
    let world = world(false).await;
    let uri = "/events/webhook/ocean/brig?commit=--upload-pack=x&token=ahoy";
    assert_eq!(world.send(request(uri)).await.code, 400);
    assert!(world.is_untouched().await);
}

#[tokio::test]
async fn an_image_with_an_endless_name_is_only_in_the_payload() {
    let world = world(false).await;
    let body = image_push().replace("team/app", &"x".repeat(500_000));
    let request = post("/events/webhook/ocean/brig?token=ahoy");
    let request = request.header("content-type", "application/json").body(body.into()).unwrap();
    let told = world.send(request).await;
    assert_eq!(told.code, 200, "{told:?}");
    assert_eq!(world.app.cluster.builds("default").await.unwrap()[0].event.image, None);
}
