//! Simple events and CloudEvents 0.2, as Brigade's generic gateway took them.

use super::*;

const TOKEN: &str = "mygenericsecret";

async fn world() -> World {
    let world = World::without_scripts().await;
    world.project("ocean/brig", json!({"genericGatewaySecret": TOKEN})).await;
    world
}

fn request(uri: &str, body: impl Into<Body>) -> Request<Body> {
    post(uri).body(body.into()).unwrap()
}

fn with(uri: &str, body: &str, header: &'static str, value: &str) -> Request<Body> {
    let mut request = request(uri, body.to_owned());
    request.headers_mut().insert(header, value.parse().unwrap());
    request
}

fn simple() -> String {
    format!("/simpleevents/v1/{}/{TOKEN}", runtime::project::id_of("ocean/brig"))
}

fn cloud() -> String {
    format!("/cloudevents/v02/{}/{TOKEN}", runtime::project::id_of("ocean/brig"))
}

/// What a body makes: the answer's code and word, and the build.
async fn outcome(world: &World, uri: &str, body: &str) -> String {
    let told = world.send(request(uri, body.to_owned())).await;
    let word = told.body["status"].as_str().unwrap().to_owned();
    let Some(id) = told.body["build"].as_str() else { return format!("{} {word}", told.code) };
    let id = runtime::build::BuildId::parse(id).unwrap();
    let build = world.app.cluster.build("default", id).await.unwrap().unwrap();
    assert_eq!(build.event.payload, body, "the payload is the body, byte for byte");
    let runtime::event::Revision { commit, reference } = &build.event.revision;
    let (provider, kind) = (&build.event.provider, &build.event.kind);
    format!("{} {word} | {provider} {kind} {reference}@{commit}", told.code)
}

#[tokio::test]
async fn simple_events_come_to_what_they_came_to_in_brigade() {
    let world = world().await;
    let made = |revision: &str| {
        format!("200 Success. Build created | GenericWebhook simpleevent {revision}")
    };
    let invalid = "400 Malformed POST data - Invalid JSON".to_owned();
    for (body, outcome_expected) in [
        (r#"{"ref": "refs/heads/x", "commit": "589e150"}"#, made("refs/heads/x@589e150")),
        (r#"{"ref": "refs/heads/x"}"#, made("refs/heads/x@")),
        (r#"{"commit": "589e150"}"#, made("@589e150")),
        (r#"{"key": "value", "other": [1]}"#, made("master@")),
        (r#"{"Ref": "x"}"#, made("x@")),
        (r#"{"ref": null}"#, made("master@")),
        ("", made("master@")),
        ("{}", made("master@")),
        ("null", made("master@")),
        ("[]", invalid.clone()),
        ("7", invalid.clone()),
        (r#"{"ref": {}}"#, invalid.clone()),
        (r#"{"commit": 7}"#, invalid.clone()),
        (r#"{"ref": "x""#, invalid.clone()),
        (" ", invalid),
        (r#"{"ref": "--upload-pack=x"}"#, "400 Malformed body".to_owned()),
    ] {
        assert_eq!(outcome(&world, &simple(), body).await, outcome_expected, "{body}");
    }
}

#[tokio::test]
async fn cloudevents_of_version_0_2_come_to_what_they_came_to_in_brigade() {
    let world = world().await;
    let made = |revision: &str| format!("200 Success | GenericWebhook cloudevent {revision}");
    let empty = "400 CloudEvent should have non empty type, specversion, source, id".to_owned();
    let version = "400 Brigade supports only '0.2' as CloudEvent specversion".to_owned();
    let invalid = "400 Malformed POST data - Invalid JSON".to_owned();
    let whole = json!({"specversion": "0.2", "type": "t", "source": "/s", "id": "1"});
    let mut number = 0;
    for (change, outcome_expected) in [
        (json!({"data": {"ref": "x", "commit": "589e150"}}), made("x@589e150")),
        (json!({"data": {"ref": "x"}}), made("x@")),
        (json!({"data": {"commit": "589e150"}}), made("@589e150")),
        (json!({"data": {"ref": {}, "commit": []}}), made("master@")),
        (json!({"data": {"key": 1}}), made("master@")),
        (json!({}), made("master@")),
        // These ended Brigade's gateway.
        (json!({"data": "text"}), made("master@")),
        (json!({"data": [1]}), made("master@")),
        (json!({"data": 7}), made("master@")),
        (json!({"specversion": null}), empty.clone()),
        (json!({"type": ""}), empty.clone()),
        (json!({"source": null}), empty.clone()),
        (json!({"id": null}), empty.clone()),
        (json!({"id": 7}), invalid.clone()),
        (json!({"specversion": "0.1"}), version.clone()),
        (json!({"specversion": "0.3"}), version.clone()),
        (json!({"specversion": "1.0"}), version),
    ] {
        number += 1;
        let mut body = whole.clone();
        body["id"] = json!(number.to_string());
        for (name, value) in change.as_object().unwrap() {
            body[name] = value.clone();
        }
        let outcome = outcome(&world, &cloud(), &body.to_string()).await;
        assert_eq!(outcome, outcome_expected, "{change}");
    }
    assert_eq!(outcome(&world, &cloud(), "").await, invalid);
    assert_eq!(outcome(&world, &cloud(), "null").await, empty);
}

#[tokio::test]
async fn wrong_secrets_and_projects_are_refused_in_brigades_words() {
    let world = world().await;
    world.project("ocean/bare", json!({"sharedSecret": "not for this"})).await;
    let told = world.send(request("/simpleevents/v1/no-such/x", "{}")).await;
    assert_eq!((told.code, &told.body["status"]), (400, &json!("project not found")));
    for uri in ["/simpleevents/v1/ocean%2Fbare/not%20for%20this", "/cloudevents/v02/ocean%2Fbare"] {
        let told = world.send(request(uri, "{}")).await;
        let status = "secret for this Brigade Project is empty, refusing to serve, please inform \
                      your Brigade admin";
        assert_eq!((told.code, &told.body["status"]), (401, &json!(status)));
    }
    let mut bodies = Vec::new();
    for request in [
        request("/simpleevents/v1/ocean%2Fbrig", "{}"),
        request("/simpleevents/v1/ocean%2Fbrig/mygenericsecre", "{}"),
        request("/cloudevents/v02/ocean%2Fbrig/x", "{}"),
        with("/simpleevents/v1/ocean%2Fbrig", "{}", "authorization", "Bearer x"),
        with("/simpleevents/v1/ocean%2Fbrig", "{}", "x-hub-signature-256", "sha256=00"),
        // What is right beside it makes a wrong secret no better.
        with("/simpleevents/v1/ocean%2Fbrig/x", "{}", "authorization", "Bearer mygenericsecret"),
    ] {
        let told = world.send(request).await;
        assert_eq!((told.code, &told.body["status"]), (401, &json!("secret is wrong")));
        bodies.push(told.body);
    }
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
    assert!(world.is_untouched().await);
}

#[tokio::test]
async fn a_secret_may_come_in_a_header() {
    let world = world().await;
    for (uri, value) in [
        ("/simpleevents/v1/ocean%2Fbrig", "Bearer mygenericsecret"),
        ("/simpleevents/v1/ocean%2Fbrig", "Basic YW55Ym9keTpteWdlbmVyaWNzZWNyZXQ="),
    ] {
        let told = world.send(with(uri, "{}", "authorization", value)).await;
        assert_eq!(told.code, 200, "{told:?}");
    }
    assert_eq!(world.builds().await.len(), 2, "every POST is a new event");
}

#[tokio::test]
async fn a_name_makes_two_posts_one_event() {
    let world = world().await;
    for header in ["idempotency-key", "webhook-id"] {
        let first = world.send(with(&simple(), "{}", header, "a")).await;
        let again = world.send(with(&simple(), "{}", header, "a")).await;
        assert_eq!(again.body["duplicate"], true, "{again:?}");
        assert_eq!(first.body["build"], again.body["build"]);
        let other = world.send(with(&simple(), "{}", header, "b")).await;
        assert_eq!(other.body["duplicate"], false);
    }
    assert_eq!(world.builds().await.len(), 4);
    for name in ["", &"x".repeat(257)] {
        let told = world.send(with(&simple(), "{}", "idempotency-key", name)).await;
        assert_eq!(told.code, 400, "{told:?}");
    }
}

#[tokio::test]
async fn what_was_signed_and_overheard_makes_nothing_new() {
    let world = world().await;
    let signed = || {
        let signature = signature::sign_github(TOKEN, b"{}");
        with("/simpleevents/v1/ocean%2Fbrig", "{}", "x-hub-signature-256", &signature)
    };
    let first = world.send(signed()).await;
    assert_eq!(first.code, 200, "{first:?}");
    let mut replayed = signed();
    replayed.headers_mut().insert("idempotency-key", "another".parse().unwrap());
    let again = world.send(replayed).await;
    assert_eq!(again.body["build"], first.body["build"]);
    let mut changed = signed();
    *changed.body_mut() = r#"{"ref":"x"}"#.into();
    assert_eq!(world.send(changed).await.code, 401);
}

#[tokio::test]
async fn a_standard_webhook_is_proved_by_its_name_its_time_and_its_body() {
    use runtime::signature::{Stamp, scheme::STANDARD_WEBHOOKS};
    let world = world().await;
    let signed = |id: &str, age: i64| {
        let seconds = (jiff::Timestamp::now().as_second() - age).to_string();
        let stamp = Stamp { id, seconds: &seconds };
        let signature = STANDARD_WEBHOOKS.sign(TOKEN, stamp, b"{}").unwrap();
        let uri = "/simpleevents/v1/ocean%2Fbrig";
        let mut request = with(uri, "{}", "webhook-signature", &signature);
        for (name, value) in [("webhook-id", id), ("webhook-timestamp", &seconds)] {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        request
    };
    let first = world.send(signed("msg_1", 0)).await;
    assert_eq!(first.code, 200, "{first:?}");
    let again = world.send(signed("msg_1", 100)).await;
    assert_eq!(
        (&again.body["build"], &again.body["duplicate"]),
        (&first.body["build"], &json!(true))
    );
    assert_ne!(world.send(signed("msg_2", 0)).await.body["build"], first.body["build"]);

    let mut renamed = signed("msg_3", 0);
    renamed.headers_mut().insert("webhook-id", "msg_4".parse().unwrap());
    let mut keyed = signed("msg_1", 0);
    keyed.headers_mut().insert("idempotency-key", "another".parse().unwrap());
    for request in [renamed, signed("msg_5", 3600), signed("msg_5", -3600)] {
        let told = world.send(request).await;
        assert_eq!((told.code, &told.body["status"]), (401, &json!("secret is wrong")));
    }
    // A header that is not signed says nothing.
    assert_eq!(world.send(keyed).await.body["build"], first.body["build"]);
    assert_eq!(world.builds().await.len(), 2);
}

#[tokio::test]
async fn a_cloudevent_sent_twice_is_one_build() {
    let world = world().await;
    let event = |id: &str| {
        let body = json!({"specversion": "0.2", "type": "t", "source": "/s", "id": id});
        world.send(request(&cloud(), body.to_string()))
    };
    let (first, again, other) = (event("1").await, event("1").await, event("2").await);
    assert_eq!(first.body["build"], again.body["build"]);
    assert_eq!(again.body["duplicate"], true);
    assert_ne!(first.body["build"], other.body["build"]);
}

#[tokio::test]
async fn other_methods_are_told_so() {
    let world = world().await;
    for method in ["GET", "PUT", "DELETE"] {
        let request = Request::builder().method(method).uri(simple()).body(Body::empty()).unwrap();
        assert_eq!(world.send(request).await.code, 405);
    }
}
