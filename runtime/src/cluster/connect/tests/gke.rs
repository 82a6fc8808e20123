//! GKE: tokens of the metadata server, and the address by Google's API.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use wiremock::matchers::{header, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::eks::{cluster, shown};
use super::*;

const TOKEN: &str = "/computeMetadata/v1/instance/service-accounts/default/token";
const CLUSTER: &str = "projects/p/locations/europe-west1/clusters/c";

/// A metadata server that gives this token.
async fn metadata(token: &str, flavor: Option<&str>) -> MockServer {
    let server = MockServer::start().await;
    let given = json!({"access_token": token, "expires_in": 3599, "token_type": "Bearer"});
    let mut answer = ResponseTemplate::new(200).set_body_json(given);
    if let Some(flavor) = flavor {
        answer = answer.insert_header("metadata-flavor", flavor);
    }
    let asked = Mock::given(path(TOKEN)).and(header("metadata-flavor", "Google"));
    asked.respond_with(answer).mount(&server).await;
    server
}

#[tokio::test]
async fn the_metadata_server_gives_tokens_and_nobody_else_at_its_name() {
    let server = cluster().await;
    let endpoint = server.uri();
    for (flavor, error) in [
        (Some("Google"), None),
        (
            None,
            Some("the answer of Google's metadata server cannot be read: it is not the metadata"),
        ),
    ] {
        let metadata = metadata("ya29.x", flavor).await;
        let host = metadata.address().to_string();
        let cluster = connect(&[("GKE_ENDPOINT", &endpoint), ("GCE_METADATA_HOST", &host)]);
        match (first_call(&cluster).await, error) {
            (Ok(()), None) => {}
            (Err(said), Some(error)) => assert!(said.starts_with(error), "{said}"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(shown(&server).await, ["ya29.x"]);
    let nowhere = [("GKE_ENDPOINT", endpoint.as_str()), ("GCE_METADATA_HOST", "127.0.0.1:1")];
    let error = first_call(&connect(&nowhere)).await.unwrap_err();
    assert!(error.starts_with("nothing here proves who asks Google: there is no metadata server"));
}

#[tokio::test]
async fn google_says_where_the_cluster_is_or_why_not() {
    let (server, url, _kubeconfig) = api().await;
    let metadata = metadata(server.admin_token(), Some("Google")).await;
    let google = MockServer::start().await;
    let described = json!({
        "name": "c", "endpoint": url.trim_start_matches("https://"),
        "masterAuth": {"clusterCaCertificate": STANDARD.encode(server.authority())},
    });
    let bearer = format!("Bearer {}", server.admin_token());
    Mock::given(path(format!("/v1/{CLUSTER}")))
        .and(header("authorization", bearer.as_str()))
        .respond_with(ResponseTemplate::new(200).set_body_json(described))
        .mount(&google)
        .await;
    let (host, uri) = (metadata.address().to_string(), google.uri());
    let set = [("GKE_CLUSTER", CLUSTER), ("GCE_METADATA_HOST", &host), ("GKE_API", &uri)];
    first_call(&connect(&set)).await.unwrap();
    google.reset().await;
    let denied =
        json!({"error": {"code": 403, "status": "PERMISSION_DENIED", "message": "s3cret"}});
    let denied = ResponseTemplate::new(403).set_body_json(denied);
    Mock::given(path(format!("/v1/{CLUSTER}"))).respond_with(denied).mount(&google).await;
    let error = first_call(&connect(&set)).await.unwrap_err();
    assert_eq!(
        error,
        "Google's API refused with 403 (PERMISSION_DENIED): give this service account the role \
         roles/container.clusterViewer, or set GKE_ENDPOINT and GKE_CA; is GKE_CLUSTER right?"
    );
}

#[tokio::test]
async fn a_token_is_not_shown_to_everybody_on_the_way() {
    for endpoint in ["http://192.0.2.1:8080", "http://localhost.example"] {
        let error = first_call(&connect(&[("GKE_ENDPOINT", endpoint)])).await.unwrap_err();
        let expected = "is not the address of a cluster; one begins with https://";
        assert_eq!(error, format!("{endpoint} {expected}"));
    }
}
