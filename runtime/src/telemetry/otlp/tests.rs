//! A collector that decodes what it is told with OpenTelemetry's own types.

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;
use crate::settings::Settings;
use crate::telemetry::span::{Kind, Span};

/// A collector that answers with this status: its address, and what it is told.
async fn collector(status: StatusCode) -> (String, UnboundedReceiver<(HeaderMap, Bytes)>) {
    let (sender, told) = unbounded_channel();
    let take = async move |headers: HeaderMap, body: Bytes| {
        sender.send((headers, body)).unwrap();
        status
    };
    let router =
        Router::new().route("/v1/traces", post(take.clone())).route("/v1/logs", post(take));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, told)
}

fn exporter(endpoint: &str) -> &'static Exporter {
    let settings = Settings::read(|name| match name {
        "OTEL_EXPORTER_OTLP_ENDPOINT" => Some(endpoint.to_owned()),
        "OTEL_EXPORTER_OTLP_HEADERS" => Some("api-key=hunter2".to_owned()),
        "OTEL_RESOURCE_ATTRIBUTES" => Some("deployment.environment.name=test".to_owned()),
        _ => None,
    });
    Box::leak(Box::new(Exporter::new(settings.unwrap().telemetry.otlp.unwrap(), true)))
}

fn ended() -> (TraceContext, TraceContext, Message) {
    let parent = TraceContext { sampled: true, ..TraceContext::begin() };
    let mut span = Span::below("POST /events/github", Kind::Server, parent);
    span.set("http.request.method", "POST");
    span.set("http.response.status_code", 503);
    span.fail("the cluster does not answer");
    span.link(parent);
    (parent, span.place(), span.encode(7))
}

#[tokio::test]
async fn a_collector_is_told_of_spans_and_records_as_otlp_has_them() {
    let (address, mut told) = collector(StatusCode::OK).await;
    let exporter = exporter(&address);
    let (parent, place, span) = ended();
    exporter.push(SPANS, span);
    exporter.flush(Duration::from_secs(60)).await;
    let (headers, body) = told.recv().await.unwrap();
    assert_eq!(headers["content-type"], "application/x-protobuf");
    assert_eq!(headers["api-key"], "hunter2");
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let resource = request.resource_spans[0].resource.clone().unwrap();
    let text = |value: Option<Any>| match value {
        Some(Any::StringValue(text)) => text,
        other => panic!("{other:?}"),
    };
    let named = |name: &str| {
        let found = resource.attributes.iter().find(|pair| pair.key == name).unwrap();
        text(found.value.clone().unwrap().value)
    };
    assert_eq!(named("service.name"), "brigantine");
    assert_eq!(named("deployment.environment.name"), "test");
    let span = &request.resource_spans[0].scope_spans[0].spans[0];
    assert_eq!(span.trace_id, place.trace.to_be_bytes());
    assert_eq!(span.span_id, place.span.to_be_bytes());
    assert_eq!(span.parent_span_id, parent.span.to_be_bytes());
    assert_eq!((span.name.as_str(), span.kind), ("POST /events/github", 2));
    assert_eq!((span.status.clone().unwrap().code, span.end_time_unix_nano), (2, 7));
    let status = span.attributes.iter().find(|pair| pair.key == "http.response.status_code");
    let value = status.unwrap().value.clone().unwrap().value;
    assert_eq!(value, Some(Any::IntValue(503)));
    assert_eq!(span.links[0].span_id, parent.span.to_be_bytes());
    // Nothing is told twice.
    exporter.flush(Duration::from_secs(60)).await;
    exporter.push(RECORDS, Message::default());
    exporter.flush(Duration::from_secs(60)).await;
    let (_, body) = told.recv().await.unwrap();
    let request = ExportLogsServiceRequest::decode(body).unwrap();
    assert_eq!(request.resource_logs[0].scope_logs[0].log_records.len(), 1);
    assert!(told.try_recv().is_err());
}

#[tokio::test]
async fn a_collector_that_is_away_is_left_alone_and_what_it_missed_is_kept() {
    let (address, mut told) = collector(StatusCode::SERVICE_UNAVAILABLE).await;
    let exporter = exporter(&address);
    for _ in 0..MOST + 5 {
        exporter.push(SPANS, ended().2);
    }
    assert_eq!(exporter.dropped.load(Ordering::Relaxed), 5);
    for _ in 0..3 {
        exporter.flush(Duration::from_secs(60)).await;
    }
    assert!(told.recv().await.is_some());
    assert!(told.try_recv().is_err(), "it is asked once in a while");
    assert_eq!(exporter.queue(SPANS).len(), MOST);
    assert_eq!(exporter.dropped.load(Ordering::Relaxed), 0, "that was said");
    // What it does not take at all is forgotten.
    let (address, mut told) = collector(StatusCode::BAD_REQUEST).await;
    let exporter = super::tests::exporter(&address);
    exporter.push(SPANS, ended().2);
    exporter.flush(Duration::from_secs(60)).await;
    assert!(told.recv().await.is_some());
    assert!(exporter.queue(SPANS).is_empty());
}

#[test]
fn a_sampler_takes_its_share_and_heeds_the_sender() {
    let (low, high) = (1 << 20, u128::from(u64::MAX));
    let parent = |sampled| Some(TraceContext { sampled, ..TraceContext::begin() });
    assert!(Sampler::Always.samples(high, parent(false)));
    assert!(!Sampler::Never.samples(low, parent(true)));
    assert!(Sampler::Share(0.5).samples(low, None) && !Sampler::Share(0.5).samples(high, None));
    assert!(Sampler::Share(1.0).samples(low, None) && !Sampler::Share(0.0).samples(low, None));
    assert!(Sampler::Parent(0.0).samples(high, parent(true)));
    assert!(!Sampler::Parent(1.0).samples(low, parent(false)));
    assert!(Sampler::Parent(1.0).samples(low, None));
}
