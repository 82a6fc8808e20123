//! What Event Grid delivers, from the request to the cluster.

use super::*;

const TOKEN: &str = "gridtoken";

async fn world() -> World {
    let world = World::without_scripts().await;
    let keys = json!({
        "sharedSecret": SECRET,
        "secrets": json!({"eventGridToken": TOKEN}).to_string(),
    });
    world.project("ocean/brig", keys).await;
    world
}

fn event(id: &str, kind: &str) -> Value {
    json!({
        "id": id,
        "topic": "/subscriptions/s",
        "subject": "x",
        "eventType": kind,
        "eventTime": "2026-03-01T10:00:00Z",
        "data": {"validationCode": "512d38b6"},
    })
}

fn sent(uri: &str, body: &Value) -> Request<Body> {
    let request = post(uri).header("content-type", "application/json; charset=utf-8");
    request.header("aeg-event-type", "Notification").body(body.to_string().into()).unwrap()
}

fn address() -> String {
    format!("/eventgrid/{}/{TOKEN}", runtime::project::id_of("ocean/brig"))
}

#[tokio::test]
async fn an_event_is_a_build_of_its_type_in_either_schema() {
    let world = world().await;
    let uri = format!("/cloudevents/v0.1/ocean%2Fbrig/{TOKEN}");
    let told =
        world.send(sent(&address(), &json!([event("1", "Microsoft.Storage.BlobCreated")]))).await;
    assert_eq!((told.code, &told.body["status"]), (200, &json!("Success")), "{told:?}");
    let cloud = json!({
        "specversion": "1.0", "id": "1", "source": "/s", "type": "Microsoft.Storage.BlobCreated",
    });
    let told = world.send(sent(&uri, &cloud)).await;
    assert_eq!(told.code, 200, "{told:?}");
    let mut providers: Vec<String> = Vec::new();
    for build in world.app.cluster.builds("default").await.unwrap() {
        assert_eq!(build.event.kind, "Microsoft.Storage.BlobCreated");
        providers.push(build.event.provider);
    }
    providers.sort();
    assert_eq!(providers, ["cloudevents", "eventgrid"]);
}

#[tokio::test]
async fn a_push_to_a_registry_fires_its_type_and_image_push() {
    let world = world().await;
    let mut push = event("1", "Microsoft.ContainerRegistry.ImagePushed");
    push["data"] = json!({
        "target": {"repository": "app", "tag": "1"}, "request": {"host": "ocean.azurecr.io"},
    });
    let told = world.send(sent(&address(), &json!([push]))).await;
    let fired = json!(["Microsoft.ContainerRegistry.ImagePushed", "image_push"]);
    assert_eq!(told.body["events"], fired, "{told:?}");
    let build = &world.app.cluster.builds("default").await.unwrap()[0];
    assert_eq!(build.event.image.as_ref().unwrap().reference(), "ocean.azurecr.io/app:1");
    assert_eq!(build.event.payload, push.to_string());
}

#[tokio::test]
async fn images_that_the_project_does_not_take_are_not_built() {
    let world = world().await;
    let keys = json!({
        "secrets": json!({"eventGridToken": TOKEN}).to_string(),
        "filters.images": "ocean.azurecr.io/app",
    });
    world.project("ocean/choosy", keys).await;
    let uri = format!("/eventgrid/ocean%2Fchoosy/{TOKEN}");
    let pushed = |id: &str, repository: &str| {
        let mut push = event(id, "Microsoft.ContainerRegistry.ImagePushed");
        push["data"] = json!({
            "target": {"repository": repository, "tag": "1"},
            "request": {"host": "ocean.azurecr.io"},
        });
        push
    };
    for (repository, seen) in [("other", "ocean.azurecr.io/other:1"), ("", "unknown")] {
        let told = world.send(sent(&uri, &json!([pushed("1", repository)]))).await;
        let reason =
            format!("the image is `{seen}`; the project's filter takes `ocean.azurecr.io/app`");
        assert_eq!((told.code, &told.body["reason"]), (200, &json!(reason)), "{told:?}");
    }
    assert!(world.is_untouched().await);
    let body = json!([pushed("1", "other"), pushed("2", "app"), event("3", "a")]);
    let told = world.send(sent(&uri, &body)).await;
    assert_eq!(told.body["builds"].as_array().unwrap().len(), 2, "{told:?}");
}

#[tokio::test]
async fn several_events_are_told_of_one_by_one() {
    let world = world().await;
    let mut broken = event("2", "a");
    broken["eventType"] = Value::Null;
    let body = json!([event("1", "a"), broken, event("3", "b"), event("1", "a")]);
    let told = world.send(sent(&address(), &body)).await;
    assert_eq!(told.code, 200, "{told:?}");
    let results = told.body["builds"].as_array().unwrap();
    assert_eq!(results.len(), 4);
    assert!(results[0]["build"].is_string() && results[2]["build"].is_string());
    assert_eq!(results[1]["status"], "Malformed body");
    assert_eq!(results[3]["build"], results[0]["build"]);
    assert_eq!(world.builds().await.len(), 2);
    // Nothing of it can ever be built.
    let told = world.send(sent(&address(), &json!([broken, broken]))).await;
    assert_eq!(told.code, 400, "{told:?}");
}

#[tokio::test]
async fn an_endpoint_is_validated_by_who_has_the_token_only() {
    let world = world().await;
    let validation = json!([event("1", "Microsoft.EventGrid.SubscriptionValidationEvent")]);
    for uri in [address(), format!("/cloudevents/v0.1/ocean%2Fbrig?token={TOKEN}")] {
        let mut request = sent(&uri, &validation);
        let kind = "SubscriptionValidation".parse().unwrap();
        request.headers_mut().insert("aeg-event-type", kind);
        let told = world.send(request).await;
        assert_eq!((told.code, &told.body), (200, &json!({"validationResponse": "512d38b6"})));
        assert_eq!(told.headers["content-type"], "application/json");
    }
    let told = world.send(sent("/eventgrid/ocean%2Fbrig", &validation)).await;
    assert_eq!((told.code, &told.body["status"]), (403, &json!("Forbidden")));
    assert!(!told.body.to_string().contains("512d38b6"));

    let ask = |uri: String| {
        let request = Request::options(uri);
        let request = request.header("webhook-request-origin", "eventgrid.azure.net");
        world.send(request.body(Body::empty()).unwrap())
    };
    let told = ask(address()).await;
    assert_eq!(told.code, 200, "{told:?}");
    assert_eq!(told.headers["webhook-allowed-origin"], "eventgrid.azure.net");
    let told = ask("/eventgrid/ocean%2Fbrig/x".to_owned()).await;
    assert_eq!(told.code, 403);
    assert!(!told.headers.contains_key("webhook-allowed-origin"));
    assert!(world.is_untouched().await);
}

#[tokio::test]
async fn wrong_and_missing_tokens_are_refused_alike_and_so_is_a_project_without_one() {
    let world = world().await;
    world.project("ocean/bare", json!({"sharedSecret": SECRET, "secrets": "{}"})).await;
    let body = json!([event("1", "a")]);
    let mut bodies = Vec::new();
    for uri in [
        "/eventgrid/ocean%2Fbrig".to_owned(),
        "/eventgrid/ocean%2Fbrig/x".to_owned(),
        "/eventgrid/ocean%2Fbrig?token=x".to_owned(),
        format!("{}?token={TOKEN}", address()),
        // The secret that signs is not this one.
        "/eventgrid/ocean%2Fbrig/aye%20aye".to_owned(),
    ] {
        let told = world.send(sent(&uri, &body)).await;
        assert_eq!(told.code, 403, "{uri}: {told:?}");
        bodies.push(told.body);
    }
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
    for uri in ["/eventgrid/ocean%2Fbare", "/eventgrid/ocean%2Fbare/x"] {
        assert_eq!(world.send(sent(uri, &body)).await.code, 403, "{uri}");
    }
    let told = world.send(sent("/eventgrid/no-such/x", &body)).await;
    assert_eq!((told.code, &told.body["status"]), (404, &json!("Resource Not Found")));
    assert!(world.is_untouched().await);
}

#[tokio::test]
async fn what_is_said_of_the_subscription_makes_nothing() {
    let world = world().await;
    for kind in ["Unsubscribe", "SubscriptionDeletion"] {
        let mut request = sent(&address(), &json!([event("1", "a")]));
        request.headers_mut().insert("aeg-event-type", kind.parse().unwrap());
        let told = world.send(request).await;
        assert_eq!((told.code, &told.body["message"]), (200, &json!("Ignored")));
    }
    assert!(world.is_untouched().await);
}

#[tokio::test]
async fn an_event_delivered_again_is_one_build() {
    let world = world().await;
    let body = json!([event("1", "a")]);
    let first = world.send(sent(&address(), &body)).await;
    let mut request = sent(&address(), &body);
    request.headers_mut().insert("aeg-delivery-count", "1".parse().unwrap());
    let again = world.send(request).await;
    assert_eq!(again.body["duplicate"], true);
    assert_eq!(first.body["build"], again.body["build"]);
}
