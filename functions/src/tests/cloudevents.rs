//! CloudEvents 1.0, from the request to the cluster.

use super::*;

const PATH: &str = "/cloudevents/v1/ocean/brig";

fn event(id: &str) -> Value {
    json!({"specversion": "1.0", "id": id, "type": "com.example.tide", "source": "/sea"})
}

fn sent(uri: &str, media: &str, body: impl ToString) -> Request<Body> {
    let request = post(uri).header("authorization", "Bearer aye aye");
    request.header("content-type", media).body(body.to_string().into()).unwrap()
}

fn structured(uri: &str, event: &Value) -> Request<Body> {
    sent(uri, "application/cloudevents+json; charset=utf-8", event)
}

fn batch(events: &Value) -> Request<Body> {
    sent(PATH, "application/cloudevents-batch+json", events)
}

async fn only_build(world: &World) -> runtime::build::Build {
    let mut builds = world.app.cluster.builds("default").await.unwrap();
    assert_eq!(builds.len(), 1);
    builds.remove(0)
}

#[tokio::test]
async fn an_event_is_a_build_of_its_type() {
    let world = World::without_scripts().await;
    let mut event = event("1");
    event["time"] = json!("2026-03-01T10:00:00Z");
    event["subject"] = json!("high");
    event["data"] = json!({"ref": "refs/heads/main", "commit": "589e150"});
    let told = world.send(structured(PATH, &event)).await;
    assert_eq!((told.code, &told.body["status"]), (200, &json!("Success")), "{told:?}");
    assert_eq!(told.body["events"], json!(["com.example.tide"]));
    let build = only_build(&world).await;
    assert_eq!(build.event.provider, "cloudevents");
    assert_eq!(build.event.payload, event.to_string());
    assert_eq!(build.event.revision.reference, "refs/heads/main");
    assert_eq!(build.event.revision.commit, "589e150");
    assert_eq!(build.event.long_title, "com.example.tide: high");
}

#[tokio::test]
async fn an_event_is_the_same_in_every_mode_and_by_every_method() {
    let world = World::without_scripts().await;
    let binary = || {
        post(PATH)
            .header("authorization", "Bearer aye aye")
            .header("ce-specversion", "1.0")
            .header("ce-id", "1")
            .header("ce-type", "com.example.tide")
            .header("ce-source", "/sea")
            .header("content-type", "text/plain")
            .body("high".into())
            .unwrap()
    };
    let mut put = structured(PATH, &event("1"));
    *put.method_mut() = axum::http::Method::PUT;
    let one = json!([event("1")]);
    let mut ids = Vec::new();
    for request in [binary(), put, structured(PATH, &event("1")), batch(&one)] {
        let told = world.send(request).await;
        assert_eq!(told.code, 200, "{told:?}");
        let single = told.body["build"].as_str();
        ids.push(single.or(told.body["builds"][0]["build"].as_str()).unwrap().to_owned());
    }
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let payload = only_build(&world).await.event.payload;
    let payload: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(payload["data"], "high", "the first of them was in binary mode");
}

#[tokio::test]
async fn a_batch_makes_a_build_each_or_nothing() {
    let world = World::without_scripts().await;
    let told = world.send(batch(&json!([event("1"), event("2"), event("1")]))).await;
    assert_eq!(told.code, 200, "{told:?}");
    let builds = told.body["builds"].as_array().unwrap();
    assert_eq!(builds.len(), 3);
    assert_eq!(builds[0]["build"], builds[2]["build"]);
    assert_eq!(world.builds().await.len(), 2);

    let told = world.send(batch(&json!([event("3"), "not an event"]))).await;
    assert_eq!(told.code, 400, "{told:?}");
    assert_eq!(world.builds().await.len(), 2, "nothing of a batch that is not valid");

    let told = world.send(batch(&json!([]))).await;
    assert_eq!((told.code, &told.body["status"]), (200, &json!("Success")));

    let many: Vec<Value> = (0..1001).map(|id| event(&id.to_string())).collect();
    assert_eq!(world.send(batch(&json!(many))).await.code, 413);
    assert_eq!(world.builds().await.len(), 2);
}

#[tokio::test]
async fn a_token_is_taken_wherever_a_sender_can_put_it() {
    let world = World::without_scripts().await;
    let id = runtime::project::id_of("ocean/brig");
    for uri in [
        "/cloudevents/v1/ocean/brig?access_token=aye+aye".to_owned(),
        "/cloudevents/v1/ocean/brig/aye%20aye".to_owned(),
        "/cloudevents/v1/ocean%2Fbrig?access_token=aye%20aye".to_owned(),
        format!("/cloudevents/v1/{id}/aye%20aye"),
        "/cloudevents/v1/ocean%2Fbrig/aye%20aye".to_owned(),
        format!("/cloudevents/v1/{id}?access_token=aye+aye"),
    ] {
        let mut request = structured(&uri, &event("1"));
        request.headers_mut().remove("authorization");
        let told = world.send(request).await;
        assert_eq!(told.code, 200, "{uri}: {told:?}");
    }
    assert_eq!(world.builds().await.len(), 1);
}

#[tokio::test]
async fn missing_and_wrong_tokens_are_refused_alike() {
    let world = World::without_scripts().await;
    let mut bodies = Vec::new();
    for (uri, authorization) in [
        (PATH, None),
        (PATH, Some("Bearer aye")),
        (PATH, Some("Bearer")),
        ("/cloudevents/v1/ocean/brig?access_token=aye", None),
        ("/cloudevents/v1/ocean/brig/aye", None),
        // Right, but twice.
        ("/cloudevents/v1/ocean/brig?access_token=aye+aye", Some("Bearer aye aye")),
        ("/cloudevents/v1/ocean/brig/aye%20aye?access_token=aye+aye", None),
    ] {
        for method in ["POST", "OPTIONS"] {
            let mut request = structured(uri, &event("1"));
            *request.method_mut() = method.parse().unwrap();
            let headers = request.headers_mut();
            headers.remove("authorization");
            headers.insert("webhook-request-origin", "example.com".parse().unwrap());
            if let Some(value) = authorization {
                headers.insert("authorization", value.parse().unwrap());
            }
            let told = world.send(request).await;
            assert_eq!(told.code, 401, "{uri}: {told:?}");
            assert!(!told.headers.contains_key("webhook-allowed-origin"));
            bodies.push(told.body);
        }
    }
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
    assert!(world.is_untouched().await);
}

#[tokio::test]
async fn a_sender_that_is_proved_may_deliver() {
    let world = World::without_scripts().await;
    let ask = |origin: &'static str| {
        let request = Request::options("/cloudevents/v1/ocean/brig?access_token=aye+aye");
        let request = request.header("webhook-request-origin", origin);
        let callback = "http://127.0.0.1:1/never-called";
        let request = request.header("webhook-request-callback", callback);
        world.send(request.header("webhook-request-rate", "120").body(Body::empty()).unwrap())
    };
    let told = ask("eventemitter.example.com").await;
    assert_eq!(told.code, 200, "{told:?}");
    assert_eq!(told.headers["webhook-allowed-origin"], "eventemitter.example.com");
    assert_eq!(told.headers["webhook-allowed-rate"], "*");
    assert_eq!(told.headers["allow"], "OPTIONS, POST, PUT");
    for origin in ["", "<script>", "a b", "https://example.com/x"] {
        let told = ask(origin).await;
        assert_eq!(told.code, 400, "{origin}");
        assert!(!told.headers.contains_key("webhook-allowed-origin"));
        assert!(!told.body.to_string().contains("script"));
    }
    let request = Request::options("/cloudevents/v1/ocean/brig?access_token=aye+aye");
    assert_eq!(world.send(request.body(Body::empty()).unwrap()).await.code, 400);
    assert!(world.is_untouched().await);
}

#[tokio::test]
async fn other_formats_and_versions_are_told_so() {
    let world = World::without_scripts().await;
    for media in ["application/cloudevents+avro", "application/cloudevents-batch+protobuf"] {
        assert_eq!(world.send(sent(PATH, media, event("1"))).await.code, 415, "{media}");
    }
    for version in ["0.1", "0.2", "0.3", "1.1"] {
        let mut event = event("1");
        event["specversion"] = json!(version);
        let told = world.send(structured(PATH, &event)).await;
        assert_eq!((told.code, &told.body["status"]), (400, &json!("Malformed CloudEvent")));
        assert!(told.body["reason"].as_str().unwrap().contains(version), "{told:?}");
    }
    // A body that is an event, of a type that says that it is data.
    let told = world.send(sent(PATH, "application/json", event("1"))).await;
    assert_eq!(told.code, 400);
    assert!(told.body["reason"].as_str().unwrap().contains("application/cloudevents+json"));
    assert!(world.is_untouched().await);
}

#[tokio::test]
async fn a_batch_that_is_cut_short_goes_on_when_it_is_sent_again() {
    let world = World::without_scripts().await;
    let events: Vec<Value> = (0..5).map(|id| event(&id.to_string())).collect();
    let cut = World::with(Settings { request_budget: Duration::ZERO, ..calm() }).await;
    let told = cut.send(batch(&json!(events))).await;
    assert_eq!(told.code, 503, "{told:?}");
    assert!(told.headers.contains_key("retry-after"));
    let told = world.send(batch(&json!(events))).await;
    assert_eq!(told.code, 200, "{told:?}");
    assert_eq!(world.builds().await.len(), 5);
}

#[tokio::test]
async fn a_broker_which_would_read_an_answer_as_an_event_is_told_by_the_status_alone() {
    let world = World::without_scripts().await;
    let asked = async |uri: &str, event: &Value, prefer: &'static str| {
        let mut request = structured(uri, event);
        request.headers_mut().insert("prefer", prefer.parse().unwrap());
        let response = world.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        (parts, to_bytes(body, usize::MAX).await.unwrap())
    };
    for (id, prefer) in [("1", "reply"), ("1", "reply"), ("2", "wait=9, Reply;x=1")] {
        let (parts, body) = asked(PATH, &event(id), prefer).await;
        assert_eq!((parts.status.as_u16(), body.len()), (200, 0), "{prefer}");
        assert!(!parts.headers.contains_key("content-type"), "{parts:?}");
    }
    assert_eq!(world.builds().await.len(), 2);
    let (_, body) = asked(PATH, &event("3"), "respond-async").await;
    assert!(!body.is_empty(), "nobody else is told less");
    let (parts, body) = asked(PATH, &json!({}), "reply").await;
    assert_eq!((parts.status.as_u16(), body.is_empty()), (400, false));
}
