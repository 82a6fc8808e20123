//! One trace, from a delivery to its jobs and to who is told of them.

use std::collections::BTreeMap;

use super::*;
use ::notify::{Outbox, OutboxOptions};
use axum::body::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use runtime::settings::Settings;
use runtime::telemetry::{self, Life};
use runtime::trace::TraceContext;
use tokio::sync::mpsc::unbounded_channel;

const AWAITS: &str = "
    const { events, Job } = require('brigadier');
    events.on('push', async () => { await new Job('only', 'alpine:3', ['true']).run(); });";

/// Hears what is posted to it: its address, and the bodies.
async fn hear() -> (String, tokio::sync::mpsc::UnboundedReceiver<Bytes>) {
    let (sender, heard) = unbounded_channel();
    let take = async move |body: Bytes| sender.send(body).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(take);
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, heard)
}

#[tokio::test]
async fn a_collector_sees_one_trace_of_a_delivery_its_job_and_its_notifier() {
    let (collector, mut spans) = hear().await;
    let (sink, mut events) = hear().await;
    // The one of this process; of other tests it hears nothing.
    let settings = Settings::read(|name| match name {
        "OTEL_EXPORTER_OTLP_ENDPOINT" => Some(collector.clone()),
        "OTEL_LOGS_EXPORTER" => Some("none".to_owned()),
        "OTEL_TRACES_SAMPLER" => Some("parentbased_always_off".to_owned()),
        _ => None,
    });
    telemetry::begin(&settings.unwrap().telemetry, Life::Frozen);
    let mut world = World::with(calm()).await;
    let notifiers = json!([{"kind": "webhook", "settings": {"WEBHOOK_URL": sink}}]).to_string();
    let keys = json!({"sharedSecret": SECRET, "defaultScript": AWAITS, "notifiers": notifiers});
    world.project(PROJECT, keys).await;
    let allowed_hosts = vec!["127.0.0.1".to_owned()];
    let outbox = Outbox::new(OutboxOptions { allowed_hosts, ..OutboxOptions::default() });
    let tasks = Tasks::telling(outbox);
    world.app.workers = Workers::Here(tasks.clone());
    world.router = router(world.app.clone(), Function::ALL);
    let sender = TraceContext { sampled: true, ..TraceContext::begin() };
    let traced = |mut request: Request<Body>| {
        request.headers_mut().insert("traceparent", sender.to_string().parse().unwrap());
        request
    };

    let told = world.send(traced(delivery("push", push()))).await;
    assert_eq!(told.code, 200, "{told:?}");
    let pod = format!("only-{}", told.body["build"].as_str().unwrap());
    let job = world.app.cluster.pod("default", &pod).await.unwrap().unwrap();
    world.succeed(&pod).await;
    tokio::time::timeout(Duration::from_secs(60), tasks.idle()).await.unwrap();
    let again = world.send(traced(delivery("push", push()))).await;
    assert_eq!(again.body["duplicate"], true, "{again:?}");
    // Whoever proves nothing is not told of because they say so, whatever they call what they do.
    let forged = traced(Request::builder().uri("/x").body(Body::empty()).unwrap());
    assert_eq!(world.send(forged).await.code, 404);
    // What ends between two requests is told before the next is answered, which has no trace.
    drop(telemetry::Span::below("late", telemetry::Kind::Internal, sender));
    let untraced = world.send(delivery("push", push())).await;
    assert_eq!(untraced.body["duplicate"], true, "{untraced:?}");

    let mut seen: BTreeMap<String, Vec<Span>> = BTreeMap::new();
    while let Ok(body) = spans.try_recv() {
        let request = ExportTraceServiceRequest::decode(body).unwrap();
        for span in request
            .resource_spans
            .into_iter()
            .flat_map(|resource| resource.scope_spans.into_iter().flat_map(|scope| scope.spans))
        {
            assert_eq!(span.trace_id, sender.trace.to_be_bytes(), "{span:?}");
            assert!(span.start_time_unix_nano <= span.end_time_unix_nano, "{span:?}");
            seen.entry(span.name.clone()).or_default().push(span);
        }
    }
    let names: Vec<&str> = seen.keys().map(String::as_str).collect();
    let expected = [
        "POST",
        "POST /events/github",
        "create build",
        "job only",
        "late",
        "run script",
        "start script",
    ];
    assert_eq!(names, expected);
    let server = &seen["POST /events/github"][0];
    assert_eq!(server.parent_span_id, sender.span.to_be_bytes());
    let made = &seen["create build"][0];
    assert_eq!(made.parent_span_id, server.span_id);
    for below in ["start script", "run script", "job only", "POST"] {
        for span in &seen[below] {
            assert_eq!(span.parent_span_id, made.span_id, "{below}");
        }
    }
    // The same delivery again is a trace of its own sender, and links to the build's.
    let repeated = &seen["create build"][1];
    assert_eq!(repeated.links[0].span_id, made.span_id);
    // The job was told of its own span before there was one.
    let place = &job.metadata.annotations.unwrap()["brigantine.dev/traceparent"];
    let place = TraceContext::parse(place).unwrap();
    assert_eq!(seen["job only"][0].span_id, place.span.to_be_bytes());
    let variables = job.spec.unwrap().containers[0].env.clone().unwrap();
    let variable = variables.iter().find(|variable| variable.name == "TRACEPARENT").unwrap();
    assert_eq!(variable.value, Some(place.to_string()));
    let event: Value = serde_json::from_slice(&events.try_recv().unwrap()).unwrap();
    let event = TraceContext::parse(event["traceparent"].as_str().unwrap()).unwrap();
    assert_eq!(event.span.to_be_bytes().as_slice(), made.span_id);
    assert!(!format!("{seen:?}").contains(SECRET));
}

#[tokio::test]
async fn where_nobody_is_told_and_the_sender_says_nothing_there_is_no_trace() {
    let world = World::with(calm()).await;
    world.project(PROJECT, json!({"sharedSecret": SECRET, "defaultScript": AWAITS})).await;
    let told = world.send(delivery("push", push())).await;
    assert_eq!(told.code, 200, "{told:?}");
    let build = &world.app.cluster.builds("default").await.unwrap()[0];
    assert!(!build.annotations.contains_key("brigantine.dev/traceparent"), "{build:?}");
}
