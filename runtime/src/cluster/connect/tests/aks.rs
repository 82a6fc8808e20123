//! AKS: tokens of Entra ID and of managed identities, in the forms that Azure documents.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use wiremock::matchers::{body_string_contains, header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::eks::{cluster, shown};
use super::*;

const SERVER: &str = "6dae42f8-4368-4678-94ff-3960e28e3630";
const ID: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/\
                  managedClusters/c";

#[tokio::test]
async fn an_app_a_machine_a_workload_and_an_application_have_tokens() {
    let (server, azure) = (cluster().await, MockServer::start().await);
    let ends = (Timestamp::now() + SignedDuration::from_hours(1)).as_second();
    Mock::given(path("/msi/token"))
        .and(header("x-identity-header", "hidden"))
        .and(query_param("api-version", "2019-08-01"))
        .and(query_param("resource", SERVER))
        .and(query_param("client_id", "me"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({
            "access_token": "of-an-app", "expires_on": ends.to_string(), "token_type": "Bearer",
        })))
        .mount(&azure)
        .await;
    Mock::given(path("/metadata/identity/oauth2/token"))
        .and(header("metadata", "true"))
        .and(query_param("api-version", "2018-02-01"))
        .and(query_param("resource", SERVER))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({
            "access_token": "of-a-machine", "expires_in": "3599", "expires_on": ends.to_string(),
        })))
        .mount(&azure)
        .await;
    let entra = |proof: &'static str, token: &'static str| {
        let answer = json!({"token_type": "Bearer", "expires_in": 3599, "access_token": token});
        Mock::given(method("POST"))
            .and(path("/tenant/oauth2/v2.0/token"))
            .and(body_string_contains(proof))
            .and(body_string_contains("scope=6dae42f8-4368-4678-94ff-3960e28e3630%2F.default"))
            .and(body_string_contains("client_id=me"))
            .respond_with(ResponseTemplate::new(200).set_body_json(answer))
    };
    entra("client_assertion=header.payload.signature", "of-a-workload").mount(&azure).await;
    entra("client_secret=s3cret", "of-an-application").mount(&azure).await;
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "token", "header.payload.signature\n");
    let (endpoint, uri) = (server.uri(), azure.uri());
    let identity = format!("{uri}/msi/token");
    let me = [("AZURE_CLIENT_ID", "me"), ("AZURE_TENANT_ID", "tenant")];
    let entra = ("AZURE_AUTHORITY_HOST", uri.as_str());
    for own in [
        &[("IDENTITY_ENDPOINT", identity.as_str()), ("IDENTITY_HEADER", "hidden"), me[0]][..],
        &[("AZURE_POD_IDENTITY_AUTHORITY_HOST", &uri)],
        &[("AZURE_FEDERATED_TOKEN_FILE", &file), me[0], me[1], entra],
        &[("AZURE_CLIENT_SECRET", "s3cret"), me[0], me[1], entra],
    ] {
        let cluster = connect(&[&[("AKS_ENDPOINT", endpoint.as_str())], own].concat());
        first_call(&cluster).await.unwrap();
        first_call(&cluster).await.unwrap();
    }
    let expected = ["of-an-app", "of-a-machine", "of-a-workload", "of-an-application"];
    let expected: Vec<_> = expected.iter().flat_map(|token| [*token; 2]).collect();
    assert_eq!(shown(&server).await, expected);
    // Each was asked for once.
    assert_eq!(azure.received_requests().await.unwrap().len(), 4);
}

#[tokio::test]
async fn azure_says_where_the_cluster_is_and_what_its_kubeconfig_runs_is_not_run() {
    let (server, url, _kubeconfig) = api().await;
    let azure = MockServer::start().await;
    let config = json!({
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
        "clusters": [{"name": "c", "cluster": {
            "server": url, "certificate-authority-data": STANDARD.encode(server.authority()),
        }}],
        "users": [{"name": "c", "user": {"exec": {
            "apiVersion": "client.authentication.k8s.io/v1beta1", "command": "kubelogin",
            "args": ["get-token", "--login", "devicecode", "--server-id", SERVER],
        }}}],
    });
    let answer = json!({"kubeconfigs": [
        {"name": "clusterUser", "value": STANDARD.encode(config.to_string())},
    ]});
    Mock::given(method("POST"))
        .and(path(format!("{ID}/listClusterUserCredential")))
        .and(header("authorization", "Bearer for-the-manager"))
        .respond_with(ResponseTemplate::new(200).set_body_json(answer))
        .mount(&azure)
        .await;
    let token = |token: &str| {
        let answer = json!({"access_token": token, "expires_in": 3600});
        ResponseTemplate::new(200).set_body_json(answer)
    };
    let uri = azure.uri();
    for (resource, text) in [(uri.as_str(), "for-the-manager"), (SERVER, server.admin_token())] {
        Mock::given(path("/msi/token"))
            .and(query_param("resource", resource))
            .respond_with(token(text))
            .mount(&azure)
            .await;
    }
    let identity = format!("{uri}/msi/token");
    let cluster = connect(&[
        ("AKS_CLUSTER", ID),
        ("AZURE_RESOURCE_MANAGER", &uri),
        ("IDENTITY_ENDPOINT", &identity),
        ("IDENTITY_HEADER", "hidden"),
    ]);
    first_call(&cluster).await.unwrap();
}

#[tokio::test]
async fn what_entra_refuses_is_told_by_its_number() {
    let azure = MockServer::start().await;
    let refusal = json!({
        "error": "invalid_client",
        "error_description": "AADSTS7000215: Invalid client secret provided: 's3cret'.",
    });
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(401).set_body_json(refusal))
        .mount(&azure)
        .await;
    let uri = azure.uri();
    let set = [
        ("AKS_ENDPOINT", "http://127.0.0.1:1"),
        ("AZURE_AUTHORITY_HOST", &uri),
        ("AZURE_CLIENT_ID", "me"),
        ("AZURE_CLIENT_SECRET", "s3cret"),
    ];
    let with = |tenant| [&set[..], &[("AZURE_TENANT_ID", tenant)]].concat();
    let error = first_call(&connect(&with("tenant"))).await.unwrap_err();
    assert_eq!(
        error,
        "Entra ID refused with 401 (AADSTS7000215): look at AZURE_TENANT_ID, AZURE_CLIENT_ID, and \
         the secret or the federated credential of that application"
    );
    let error = first_call(&connect(&with("../x"))).await.unwrap_err();
    assert!(error.starts_with("AZURE_TENANT_ID is not"), "{error}");
    let nobody = [
        ("AKS_ENDPOINT", "http://127.0.0.1:1"),
        ("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:1"),
    ];
    let error = first_call(&connect(&nobody)).await.unwrap_err();
    assert!(error.starts_with("nothing here proves who asks Azure: there is no AZURE_FED"));
}
