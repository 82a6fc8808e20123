//! Tokens that end, that are refused before they do, and whoever gives them being slow, busy or away.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;
use wiremock::matchers::{any, header, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::eks::{cluster, shown};
use super::*;

/// A metadata server of Google's that numbers its tokens, each good for some seconds; and how many
/// it gave.
async fn numbered(seconds: i64) -> (MockServer, Arc<AtomicUsize>) {
    let server = MockServer::start().await;
    let given = Arc::new(AtomicUsize::new(0));
    let count = given.clone();
    let answer = move |_: &Request| {
        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
        ResponseTemplate::new(200).insert_header("metadata-flavor", "Google").set_body_json(json!({
            "access_token": format!("token-{number}"), "expires_in": seconds,
        }))
    };
    Mock::given(any()).respond_with(answer).mount(&server).await;
    (server, given)
}

fn google(server: &MockServer, metadata: &MockServer) -> Cluster {
    let (endpoint, host) = (server.uri(), metadata.address().to_string());
    connect(&[("GKE_ENDPOINT", &endpoint), ("GCE_METADATA_HOST", &host)])
}

#[tokio::test]
async fn a_token_serves_many_calls_at_once_and_is_asked_for_once() {
    let (server, (metadata, given)) = (cluster().await, numbered(3600).await);
    let cluster = google(&server, &metadata);
    futures::future::join_all((0..20).map(|_| first_call(&cluster))).await;
    assert_eq!(given.load(Ordering::SeqCst), 1);
    assert_eq!(shown(&server).await, ["token-1"; 20]);
}

#[tokio::test]
async fn a_token_that_has_ended_is_not_shown_again() {
    // So short that it has ended when it arrives.
    let (server, (metadata, given)) = (cluster().await, numbered(5).await);
    let cluster = google(&server, &metadata);
    for _ in 0..3 {
        first_call(&cluster).await.unwrap();
    }
    assert_eq!(given.load(Ordering::SeqCst), 3);
    assert_eq!(shown(&server).await, ["token-1", "token-2", "token-3"]);
}

#[tokio::test]
async fn a_token_that_is_refused_before_its_end_is_replaced_once() {
    let (server, (metadata, given)) = (MockServer::start().await, numbered(3600).await);
    let unknown =
        json!({"kind": "Status", "status": "Failure", "reason": "Unauthorized", "code": 401});
    let unknown = ResponseTemplate::new(401).set_body_json(unknown);
    Mock::given(header("authorization", "Bearer token-1"))
        .respond_with(unknown.clone())
        .mount(&server)
        .await;
    let missing = json!({"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404});
    Mock::given(header("authorization", "Bearer token-2"))
        .respond_with(ResponseTemplate::new(404).set_body_json(missing))
        .mount(&server)
        .await;
    let cluster = google(&server, &metadata);
    first_call(&cluster).await.unwrap();
    first_call(&cluster).await.unwrap();
    assert_eq!(given.load(Ordering::SeqCst), 2);
    // Refused again and again, it is said who asked, and no loop is made of it.
    server.reset().await;
    Mock::given(any()).respond_with(unknown).mount(&server).await;
    let error = first_call(&cluster).await.unwrap_err();
    assert!(error.contains("does not know who asks (the service account of this host)"), "{error}");
    first_call(&cluster).await.unwrap_err();
    assert_eq!(shown(&server).await, ["token-2", "token-2"]);
    assert_eq!(given.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_the_reason_that_is_told() {
    let (server, (metadata, _given)) = (MockServer::start().await, numbered(3600).await);
    let unknown =
        json!({"kind": "Status", "status": "Failure", "reason": "Unauthorized", "code": 401});
    let unknown = ResponseTemplate::new(401)
        .insert_header("date", "Tue, 01 Jan 2030 00:00:00 GMT")
        .set_body_json(unknown);
    Mock::given(any()).respond_with(unknown).mount(&server).await;
    let error = first_call(&google(&server, &metadata)).await.unwrap_err();
    assert!(error.starts_with("the clock here is "), "{error}");
    assert!(error.ends_with("which therefore refuses what it signs: set it"), "{error}");
}

#[tokio::test]
async fn who_gives_tokens_and_is_busy_is_asked_again_until_the_deadline() {
    let server = cluster().await;
    let metadata = MockServer::start().await;
    Mock::given(path("/computeMetadata/v1/instance/service-accounts/default/token"))
        .respond_with(ResponseTemplate::new(503).insert_header("metadata-flavor", "Google"))
        .up_to_n_times(2)
        .mount(&metadata)
        .await;
    let given = json!({"access_token": "at-last", "expires_in": 3600});
    Mock::given(any())
        .respond_with(
            ResponseTemplate::new(200)
                .insert_header("metadata-flavor", "Google")
                .set_body_json(given),
        )
        .mount(&metadata)
        .await;
    first_call(&google(&server, &metadata)).await.unwrap();
    assert_eq!(shown(&server).await, ["at-last"]);
}

#[tokio::test]
async fn a_token_that_comes_late_is_there_for_the_next_try() {
    let server = cluster().await;
    let metadata = MockServer::start().await;
    let given = json!({"access_token": "late", "expires_in": 3600});
    let answer = ResponseTemplate::new(200)
        .insert_header("metadata-flavor", "Google")
        .set_body_json(given)
        .set_delay(Duration::from_millis(1500));
    Mock::given(any()).respond_with(answer).mount(&metadata).await;
    let cluster = google(&server, &metadata);
    // This call has given up before there is a token; it is still fetched.
    let soon = Instant::now() + Duration::from_millis(200);
    assert!(cluster.with_deadline(soon).project("acme/app").await.is_err());
    first_call(&cluster).await.unwrap();
    assert_eq!(metadata.received_requests().await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_answer_that_is_no_token_is_told_to_be_none() {
    let server = cluster().await;
    for (body, problem) in [
        (json!({"access_token": "s3cret"}).to_string(), "it is not what it should be"),
        (json!({"access_token": "a\nb", "expires_in": 1}).to_string(), "its token is none"),
        ("s3cret".to_owned(), "it is not what it should be"),
        ("x".repeat(2 << 20), "it is too long"),
    ] {
        let metadata = MockServer::start().await;
        let answer = ResponseTemplate::new(200)
            .insert_header("metadata-flavor", "Google")
            .set_body_string(body);
        Mock::given(any()).respond_with(answer).mount(&metadata).await;
        let error = first_call(&google(&server, &metadata)).await.unwrap_err();
        let expected = format!("the answer of Google's metadata server cannot be read: {problem}");
        assert_eq!(error, expected);
    }
}
