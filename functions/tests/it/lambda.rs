//! What only Lambda does: processes that are frozen, that end, and that cannot begin; timers and
//! messages; and a function's time that runs out.

use axum::body::Body;
use axum::http::Request;
use hosts::lambda::{Front, Lambda, Options};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, Patch, PatchParams};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::host::{PROGRAM, on_lambda};
use crate::sources::{self, SECRET, Source};
use crate::world::{PATIENCE, Told, World, send};

async fn of(environment: Vec<(String, String)>) -> Lambda {
    on_lambda(Front::FunctionUrl, environment).await
}

fn source(name: &str) -> &'static Source {
    sources::all().find(|source| source.name == name).unwrap()
}

async fn post(lambda: &Lambda, source: &Source, number: u32) -> Told {
    send(&lambda.url(), (source.sample)(number).proved(), false).await
}

fn variable(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[tokio::test]
async fn a_process_serves_one_request_after_another_and_another_takes_its_place_when_it_dies() {
    let world = World::new().await;
    let github = source("github push");
    world.project(github).await;
    let lambda = of(world.environment()).await;
    for number in 1..4 {
        let told = post(&lambda, github, number).await;
        assert_eq!(told.status, 200, "{told:?}");
    }
    assert_eq!(lambda.started(), 1);
    let id = Pid::from_raw(lambda.idle()[0] as i32).unwrap();
    kill_process(id, Signal::KILL).unwrap();
    let dead = async {
        while !lambda.idle().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, dead).await.unwrap();
    let told = post(&lambda, github, 1).await;
    assert_eq!((told.status, &told.json()["duplicate"]), (200, &json!(true)), "{told:?}");
    lambda.stop().await;
}

#[tokio::test]
async fn settings_that_are_wrong_are_told_to_lambda() {
    let lambda = of(vec![variable("REQUEST_BUDGET", "soon")]).await;
    let failure = lambda.invoke(&json!({"sweep": true})).await.unwrap_err();
    assert_eq!(failure.kind, "Brigantine.InitError");
    assert!(failure.message.contains("REQUEST_BUDGET"), "{failure}");
    let told = send(&lambda.url(), Request::get("/").body(Body::empty()).unwrap(), false).await;
    assert_eq!(told.status, 502);
}

#[tokio::test]
async fn an_event_of_no_known_shape_is_an_error_that_names_those_that_are() {
    let lambda = of(World::new().await.environment()).await;
    for event in [json!({"key1": "value1"}), json!([]), json!("x"), json!({"Records": []})] {
        let failure = lambda.invoke(&event).await.unwrap_err();
        assert_eq!(failure.kind, "Brigantine.UnknownEvent", "{event}");
        assert!(failure.message.contains("EventBridge"), "{failure}");
    }
    assert_eq!(lambda.started(), 1, "no event ends the process");
}

#[tokio::test]
async fn a_timer_has_one_pod_sweep() {
    let world = World::new().await;
    let lambda = of(world.environment()).await;
    let rule = json!({
        "version": "0", "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
        "detail-type": "Scheduled Event", "source": "aws.events", "account": "123456789012",
        "time": "2026-05-04T07:30:00Z", "region": "eu-north-1",
        "resources": ["arn:aws:events:eu-north-1:123456789012:rule/sweep"], "detail": {},
    });
    let first = lambda.invoke(&rule).await.unwrap();
    assert_eq!(first["pod"], "brigantine-sweep-20260504-073000");
    assert_eq!(lambda.invoke(&rule).await.unwrap()["duplicate"], true);
    let pods: Api<Pod> = Api::namespaced(world.server.client(), "default");
    let ended = Patch::Merge(json!({"status": {"phase": "Succeeded"}}));
    let name = first["pod"].as_str().unwrap();
    pods.patch_status(name, &PatchParams::default(), &ended).await.unwrap();
    let scheduler = json!({"sweep": true, "time": "2026-05-04T07:35:00Z"});
    assert_eq!(lambda.invoke(&scheduler).await.unwrap()["duplicate"], false);
    let pods = pods.list(&ListParams::default().labels("component=sweep")).await.unwrap();
    let names: Vec<_> = pods.items.iter().filter_map(|pod| pod.metadata.name.clone()).collect();
    assert_eq!(names, ["brigantine-sweep-20260504-073500"]);
    // Nobody can ask for it over HTTP.
    let request = Request::post("/triggers/sweep").body(Body::from("{\"sweep\": true}")).unwrap();
    assert_eq!(send(&lambda.url(), request, false).await.status, 404);
}

/// A queue's message that is a delivery with its headers.
fn message(id: &str, queue: &str, source: &Source, secret: &str) -> Value {
    let request = (source.sample)(1).request(Some(secret));
    let mut attributes = json!({
        "path": {"stringValue": request.uri().to_string(), "dataType": "String"},
    });
    for (name, value) in request.headers() {
        let value = value.to_str().unwrap();
        attributes[name.as_str()] = json!({"stringValue": value, "dataType": "String"});
    }
    let body = (source.sample)(1).body;
    json!({
        "messageId": id, "receiptHandle": "r", "body": String::from_utf8_lossy(&body),
        "attributes": {"ApproximateReceiveCount": "1"}, "messageAttributes": attributes,
        "md5OfBody": "x", "eventSource": "aws:sqs", "awsRegion": "eu-north-1",
        "eventSourceARN": format!("arn:aws:sqs:eu-north-1:123456789012:{queue}"),
    })
}

#[tokio::test]
async fn messages_are_deliveries_and_those_that_somebody_may_mend_are_delivered_again() {
    let world = World::new().await;
    let github = source("github push");
    world.project(github).await;
    let lambda = of(world.environment()).await;
    let batch = json!({"Records": [
        message("1", "webhooks", github, SECRET),
        message("2", "webhooks", github, "wrong"),
        {"messageId": "3", "body": "no path", "eventSource": "aws:sqs", "attributes": {}},
    ]});
    let answer = lambda.invoke(&batch).await.unwrap();
    let failed = json!([{"itemIdentifier": "2"}, {"itemIdentifier": "3"}]);
    assert_eq!(answer, json!({"batchItemFailures": failed}));
    assert_eq!(world.cluster.builds("default").await.unwrap().len(), 1);

    let request = (github.sample)(2).proved();
    let attributes = request.headers().iter().map(|(name, value)| {
        (name.to_string(), json!({"Type": "String", "Value": value.to_str().unwrap()}))
    });
    let mut attributes: serde_json::Map<String, Value> = attributes.collect();
    attributes.insert("path".to_owned(), json!({"Type": "String", "Value": "/events/github"}));
    let topic = json!({"Records": [{
        "EventVersion": "1.0", "EventSource": "aws:sns",
        "EventSubscriptionArn": "arn:aws:sns:eu-north-1:123456789012:webhooks:1",
        "Sns": {
            "SignatureVersion": "1", "Timestamp": "2026-05-04T07:30:00.000Z", "Signature": "x",
            "SigningCertUrl": "https://sns.example/x.pem", "MessageId": "m1",
            "Message": String::from_utf8_lossy(&(github.sample)(2).body),
            "MessageAttributes": attributes, "Type": "Notification",
            "UnsubscribeUrl": "https://sns.example/x",
            "TopicArn": "arn:aws:sns:eu-north-1:123456789012:webhooks", "Subject": null,
        },
    }]});
    lambda.invoke(&topic).await.unwrap();
    assert_eq!(world.cluster.builds("default").await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_image_in_ecr_is_a_push() {
    let world = World::new().await;
    let registry = sources::all().find(|source| source.fires == "image_push").unwrap();
    world.project(registry).await;
    let mut environment = world.environment();
    let secret = sources::encoded(SECRET);
    let path = format!("/events/webhook/ocean/brig?token={secret}");
    environment.push(variable("MESSAGE_PATH", &path));
    let lambda = of(environment).await;
    let event = json!({
        "version": "0", "id": "13cde686-328b-6117-af20-0e5566167482",
        "detail-type": "ECR Image Action", "source": "aws.ecr", "account": "123456789012",
        "time": "2026-05-04T07:30:00Z", "region": "eu-north-1", "resources": [],
        "detail": {
            "result": "SUCCESS", "repository-name": "brig", "action-type": "PUSH",
            "image-digest":
                "sha256:7f5b2640fe6fb4f46592dfd3410c4a79dac4f89e4782432e0378abcd1234abcd",
            "image-tag": "v1",
        },
    });
    lambda.invoke(&event).await.unwrap();
    lambda.invoke(&event).await.unwrap();
    let builds = world.cluster.builds("default").await.unwrap();
    let [build] = &builds[..] else { panic!("{} builds", builds.len()) };
    assert_eq!(build.event.kind, "image_push");
}

#[tokio::test]
async fn a_cluster_that_does_not_answer_is_told_of_before_the_function_s_time_is_over() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let silent = tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((stream, _peer)) = listener.accept().await {
            open.push(stream);
        }
    });
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    std::fs::write(&kubeconfig, world.server.kubeconfig("silent", &url)).unwrap();
    let mut options = Options::of(PROGRAM, Front::FunctionUrl);
    options.environment = vec![
        variable("KUBECONFIG", &kubeconfig.display().to_string()),
        // More than the function has.
        variable("REQUEST_BUDGET", "600"),
    ];
    options.init_timeout = PATIENCE;
    options.timeout = std::time::Duration::from_secs(20);
    let lambda = Lambda::start(options).await.unwrap();
    let told = post(&lambda, source("github push"), 1).await;
    assert_eq!(told.status, 503, "{told:?}");
    assert!(told.headers.contains_key("retry-after"), "{told:?}");
    assert_eq!(lambda.idle().len(), 1, "it was not killed");
    // A queue's message is delivered again, and the rest of it after that.
    let github = source("github push");
    let records = [message("1", "q.fifo", github, SECRET), message("2", "q.fifo", github, SECRET)];
    let failure = lambda.invoke(&json!({"Records": records})).await.unwrap_err();
    assert_eq!(failure.kind, "Brigantine.NotDelivered");
    silent.abort();
}
