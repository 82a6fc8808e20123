//! A cluster's Events, from the request to the cluster.

use super::*;

const PATH: &str = "/events/kubernetes/ocean/brig/aye%20aye";

/// A project that takes all Events, and those of `default`, where its builds are, too.
async fn world() -> World {
    with(Settings { inline: Inline::Never, ..calm() }).await
}

async fn with(settings: Settings) -> World {
    let world = World::with(settings).await;
    let filters = json!({"filters": [
        {"reasons": ["Pulled"], "action": "reject"},
        {"namespace": "default", "action": "accept"},
        {"action": "accept"},
    ]});
    let keys = json!({"sharedSecret": SECRET, "kubernetes.eventFilters": filters.to_string()});
    world.project("ocean/brig", keys).await;
    world
}

fn event(uid: &str, reason: &str) -> Value {
    json!({
        "metadata": {"name": "web-1.17706", "namespace": "shop", "uid": uid},
        "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "web-1"},
        "reason": reason,
        "lastTimestamp": "2026-03-01T10:00:00Z",
        "count": 1,
    })
}

fn review(object: &Value, dry_run: bool) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5", "kind": {"group": "", "version": "v1", "kind": "Event"},
            "operation": "CREATE", "object": object, "oldObject": null, "dryRun": dry_run,
        },
    })
}

fn sent(uri: &str, body: &Value) -> Request<Body> {
    post(uri).header("content-type", "application/json").body(body.to_string().into()).unwrap()
}

/// What the API server is told, which must be that others may go on.
async fn allowed(world: &World, uri: &str, body: &Value) -> Value {
    let told = world.send(sent(uri, body)).await;
    assert_eq!(told.code, 200, "{told:?}");
    assert_eq!(told.body["apiVersion"], body["apiVersion"]);
    assert_eq!(told.body["kind"], "AdmissionReview");
    assert_eq!(told.body["response"]["uid"], "705ab4f5");
    assert_eq!(told.body["response"]["allowed"], true);
    told.body["response"]["auditAnnotations"].clone()
}

#[tokio::test]
async fn an_event_that_is_created_is_a_build_and_is_allowed() {
    let world = world().await;
    let uri = format!("{PATH}?timeout=10s");
    let audit = allowed(&world, &uri, &review(&event("u-1", "Killing"), false)).await;
    assert_eq!(audit["outcome"], "made", "{audit}");
    let build = &world.app.cluster.builds("default").await.unwrap()[0];
    assert_eq!(audit["build"], build.id.to_string());
    assert_eq!(
        (build.event.provider.as_str(), build.event.kind.as_str()),
        ("k8s-gateway", "Pod:Killing")
    );
    assert_eq!(build.event.payload, event("u-1", "Killing").to_string());
    let mut beta = review(&event("u-1", "Killing"), false);
    beta["apiVersion"] = json!("admission.k8s.io/v1beta1");
    assert_eq!(allowed(&world, PATH, &beta).await["outcome"], "duplicate");
}

#[tokio::test]
async fn what_is_not_built_is_allowed_too() {
    let world = world().await;
    for body in [
        review(&event("u-1", "Killing"), true),
        review(&event("u-1", "Pulled"), false),
        review(&json!({"not": "an event"}), false),
        review(&Value::Null, false),
    ] {
        let audit = allowed(&world, PATH, &body).await;
        assert!(audit["reason"].is_string() && audit["build"].is_null(), "{audit}");
    }
    assert!(world.is_untouched().await);
}

#[tokio::test]
async fn a_cluster_that_is_away_keeps_nobody_from_going_on() {
    let settings = Settings { request_budget: Duration::ZERO, ..calm() };
    let world = with(settings).await;
    for skip in [0, 1] {
        world.fail(skip, 503, When::Before);
        let audit = allowed(&world, PATH, &review(&event("u-1", "Killing"), false)).await;
        assert_eq!(audit["outcome"], "refused", "{audit}");
        // An exporter can post it again.
        let told = world.send(sent(PATH, &event("u-1", "Killing"))).await;
        assert_eq!(told.code, 503, "{told:?}");
    }
}

#[tokio::test]
async fn a_damaged_project_keeps_nobody_from_going_on() {
    let world = world().await;
    let secrets = Api::<Secret>::namespaced(world.server.client(), "default");
    let patch = json!({"metadata": {"annotations": {"brigantine.dev/max-builds": "two"}}});
    let (id, patch) = (runtime::project::id_of("ocean/brig"), kube::api::Patch::Merge(patch));
    secrets.patch(&id, &Default::default(), &patch).await.unwrap();
    let audit = allowed(&world, PATH, &review(&event("u-1", "Killing"), false)).await;
    assert_eq!(audit["outcome"], "refused", "{audit}");
    assert_eq!(world.send(sent(PATH, &event("u-1", "Killing"))).await.code, 500);
    assert!(world.is_untouched().await);
}

#[tokio::test]
async fn who_has_no_token_is_told_nothing() {
    let world = world().await;
    let mut bodies = Vec::new();
    for uri in [
        "/events/kubernetes/ocean/brig",
        "/events/kubernetes/ocean/brig/x",
        "/events/kubernetes/ocean/brig?token=x",
        "/events/kubernetes/ocean/brig/aye%20aye?token=aye+aye",
    ] {
        for body in [event("u-1", "Killing"), review(&event("u-1", "Killing"), false)] {
            let told = world.send(sent(uri, &body)).await;
            assert_eq!(told.code, 401, "{uri}: {told:?}");
            bodies.push(told.body);
        }
    }
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
    let told = world.send(sent("/events/kubernetes/no/such", &event("u-1", "Killing"))).await;
    assert_eq!(told.code, 404);
    assert!(world.is_untouched().await);
}

#[tokio::test]
async fn events_are_taken_as_exporters_post_them() {
    let world = world().await;
    let id = runtime::project::id_of("ocean/brig");
    for uri in [
        format!("/events/kubernetes/{id}/aye%20aye"),
        format!("/events/kubernetes/{id}?token=aye+aye"),
        "/events/kubernetes/ocean%2Fbrig/aye%20aye".to_owned(),
    ] {
        let told = world.send(sent(&uri, &event("u-1", "Killing"))).await;
        assert_eq!((told.code, &told.body["events"]), (200, &json!(["Pod:Killing"])), "{told:?}");
    }
    let list = json!({"kind": "List", "items": [
        event("u-1", "Killing"), event("u-2", "Pulled"), event("u-3", "Started"), 7,
    ]});
    let told = world.send(sent(PATH, &list)).await;
    assert_eq!(told.code, 200, "{told:?}");
    let results = told.body["builds"].as_array().unwrap();
    assert_eq!(results.len(), 3, "two builds, and what was no Event: {results:?}");
    assert_eq!(results[0]["duplicate"], true);
    assert_eq!(world.builds().await.len(), 2);

    let told = world.send(sent(PATH, &event("u-2", "Pulled"))).await;
    assert_eq!((told.code, &told.body["message"]), (200, &json!("Ignored")));
    let nothing = json!({"items": [event("u-2", "Pulled")]});
    let told = world.send(sent(PATH, &nothing)).await;
    let reason = "none of 1 Events is built: filter 1 rejects Pod:Pulled in `shop`";
    assert_eq!((told.code, &told.body["reason"]), (200, &json!(reason)));
    for body in [json!({}), json!([]), json!({"items": [7]})] {
        assert_eq!(world.send(sent(PATH, &body)).await.code, 400, "{body}");
    }
    let xml = post(PATH).header("content-type", "text/xml").body("<event/>".into()).unwrap();
    assert_eq!(world.send(xml).await.code, 415);
}

#[tokio::test]
async fn a_build_does_not_lead_to_another() {
    let world = world().await;
    let told = world.send(sent(PATH, &event("u-1", "Killing"))).await;
    let worker = told.body["worker"].as_str().unwrap().to_owned();
    // A job of a build whose id somebody chose, so that its name says nothing.
    let pods = Api::<Pod>::namespaced(world.server.client(), "default");
    let job = serde_json::from_value(json!({
        "metadata": {"name": "test-nightly", "labels": {"heritage": "brigade", "build": "nightly"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }));
    pods.create(&PostParams::default(), &job.unwrap()).await.unwrap();
    for name in [worker.as_str(), "test-nightly"] {
        let mut event = event("u-9", "Started");
        event["involvedObject"] = json!({"kind": "Pod", "namespace": "default", "name": name});
        let told = world.send(sent(PATH, &event)).await;
        assert_eq!((told.code, &told.body["message"]), (200, &json!("Ignored")), "{told:?}");
    }
    let mut event = event("u-10", "Started");
    event["involvedObject"] = json!({"kind": "Pod", "namespace": "default", "name": "web"});
    assert!(world.send(sent(PATH, &event)).await.body["build"].is_string());
    assert_eq!(world.builds().await.len(), 2);
}
