//! EKS: tokens, and keys from everywhere that AWS's own tools have them from. The exchanges are in
//! the form that AWS documents.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;
use wiremock::matchers::{body_string_contains, header, header_exists, method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::*;

const KEY: [(&str, &str); 4] = [
    ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
    ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
    ("AWS_SESSION_TOKEN", "session"),
    ("AWS_REGION", "eu-west-1"),
];

/// A server that has nothing, and says so to whoever shows a token.
pub(super) async fn cluster() -> MockServer {
    let server = MockServer::start().await;
    let missing = json!({"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404});
    let missing = ResponseTemplate::new(404).set_body_json(missing);
    Mock::given(header_exists("authorization")).respond_with(missing).mount(&server).await;
    server
}

/// The tokens that a server was shown.
pub(super) async fn shown(server: &MockServer) -> Vec<String> {
    let bearer = |request: &Request| {
        let value = request.headers.get("authorization")?.to_str().ok()?;
        value.strip_prefix("Bearer ").map(str::to_owned)
    };
    server.received_requests().await.unwrap().iter().filter_map(bearer).collect()
}

/// The address that a token of EKS is.
fn address(token: &str) -> String {
    let text = token.strip_prefix("k8s-aws-v1.").unwrap();
    String::from_utf8(URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
}

/// What the key of an address is called, and its session.
fn key_of(address: &str) -> (String, Option<String>) {
    let url = reqwest::Url::parse(address).unwrap();
    let value = |wanted: &str| {
        let mut pairs = url.query_pairs();
        pairs.find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned())
    };
    let credential = value("X-Amz-Credential").unwrap();
    (credential.split('/').next().unwrap().to_owned(), value("X-Amz-Security-Token"))
}

#[tokio::test]
async fn a_token_is_an_address_of_sts_that_the_key_of_the_environment_signs() {
    let server = cluster().await;
    let endpoint = server.uri();
    let set = [("EKS_CLUSTER", "my-cluster"), ("EKS_ENDPOINT", endpoint.as_str())];
    first_call(&connect(&[&KEY[..], &set].concat())).await.unwrap();
    let shown = shown(&server).await;
    let address = address(&shown[0]);
    assert!(address.starts_with("https://sts.eu-west-1.amazonaws.com/?Action=GetCallerIdentity&"));
    assert!(address.contains("&X-Amz-SignedHeaders=host%3Bx-k8s-aws-id&X-Amz-Signature="));
    assert_eq!(key_of(&address), ("AKIDEXAMPLE".to_owned(), Some("session".to_owned())));
}

#[tokio::test]
async fn the_cluster_is_described_by_a_signed_call() {
    let (server, url, _kubeconfig) = api().await;
    let aws = MockServer::start().await;
    let described = json!({"cluster": {
        "name": "c", "status": "ACTIVE", "endpoint": url, "version": "1.33",
        "certificateAuthority": {"data": STANDARD.encode(server.authority())},
    }});
    Mock::given(method("GET"))
        .and(path("/clusters/c"))
        .and(header("x-amz-security-token", "session"))
        .respond_with(ResponseTemplate::new(200).set_body_json(described))
        .expect(1)
        .mount(&aws)
        .await;
    let uri = aws.uri();
    let set = [("EKS_CLUSTER", "c"), ("AWS_ENDPOINT_URL_EKS", uri.as_str())];
    // The embedded server knows nobody at AWS; that it says so shows that its certificate was good.
    let error = first_call(&connect(&[&KEY[..], &set].concat())).await.unwrap_err();
    assert!(error.starts_with(&format!("{url} does not know who asks (the AWS identity of")));
    assert!(error.contains("aws eks create-access-entry"), "{error}");
    let asked = aws.received_requests().await.unwrap();
    let signed = asked[0].headers["authorization"].to_str().unwrap();
    assert!(signed.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"), "{signed}");
    assert!(signed.contains("SignedHeaders=host;x-amz-date;x-amz-security-token"), "{signed}");
}

#[tokio::test]
async fn a_cluster_that_has_changed_is_described_again_and_one_that_refuses_is_not() {
    let (server, url, _kubeconfig) = api().await;
    let (other, ..) = api().await;
    let aws = MockServer::start().await;
    let described = |authority: &str| {
        let body = json!({"cluster": {
            "endpoint": url, "certificateAuthority": {"data": STANDARD.encode(authority)},
        }});
        ResponseTemplate::new(200).set_body_json(body)
    };
    let before = Mock::given(path("/clusters/c")).respond_with(described(other.authority()));
    before.up_to_n_times(1).mount(&aws).await;
    let now = Mock::given(path("/clusters/c")).respond_with(described(server.authority()));
    now.expect(1).mount(&aws).await;
    let uri = aws.uri();
    let set = [("EKS_CLUSTER", "c"), ("AWS_ENDPOINT_URL_EKS", uri.as_str())];
    let cluster = connect(&[&KEY[..], &set].concat());
    let error = first_call(&cluster).await.unwrap_err();
    assert!(error.contains("was signed by an authority that is not the configured one"), "{error}");
    for _ in 0..3 {
        let error = first_call(&cluster).await.unwrap_err();
        assert!(error.starts_with(&format!("{url} does not know who asks")), "{error}");
    }
}

#[tokio::test]
async fn a_refusal_of_aws_is_told_with_its_code_and_what_to_allow() {
    let answers = [
        (
            ResponseTemplate::new(403).set_body_json(json!({
                "__type": "AccessDeniedException", "message": "User: s3cret is not authorized",
            })),
            "AWS EKS refused with 403 (AccessDeniedException): allow eks:DescribeCluster to this \
             identity, or set EKS_ENDPOINT and EKS_CA; is the name right, and AWS_REGION?",
        ),
        (
            ResponseTemplate::new(403)
                .insert_header("date", "Tue, 01 Jan 2030 00:00:00 GMT")
                .set_body_json(json!({"__type": "InvalidSignatureException"})),
            "the clock here is ",
        ),
        (ResponseTemplate::new(200).set_body_string("<html>"), "the answer of AWS EKS cannot be"),
        (
            ResponseTemplate::new(200).set_body_string("x".repeat(2 << 20)),
            "the answer of AWS EKS cannot be read: it is too long",
        ),
        (
            ResponseTemplate::new(302).insert_header("location", "http://127.0.0.1:1/"),
            "AWS EKS refused with 302: ",
        ),
    ];
    for (answer, expected) in answers {
        let aws = MockServer::start().await;
        Mock::given(method("GET")).respond_with(answer).mount(&aws).await;
        let uri = aws.uri();
        let set = [("EKS_CLUSTER", "c"), ("AWS_ENDPOINT_URL_EKS", uri.as_str())];
        let error = first_call(&connect(&[&KEY[..], &set].concat())).await.unwrap_err();
        assert!(error.starts_with(expected), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
        assert_eq!(aws.received_requests().await.unwrap().len(), 1, "{error}");
    }
}

/// What STS answers: credentials for an hour.
fn credentials(id: &str) -> ResponseTemplate {
    let ends = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    ResponseTemplate::new(200).set_body_string(format!(
        "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>\
         <Credentials><AccessKeyId>{id}</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>\
         <SessionToken>token-{id}</SessionToken><Expiration>{ends:.0}</Expiration></Credentials>\
         </AssumeRoleResult></AssumeRoleResponse>"
    ))
}

#[tokio::test]
async fn a_pod_with_a_web_identity_asks_sts_for_its_key_and_then_for_its_role() {
    let (server, sts) = (cluster().await, MockServer::start().await);
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "token", "header.payload.signature\n");
    Mock::given(method("POST"))
        .and(body_string_contains("Action=AssumeRoleWithWebIdentity&"))
        .and(body_string_contains("RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fpod&"))
        .and(body_string_contains("WebIdentityToken=header.payload.signature"))
        .respond_with(credentials("ASIAPOD"))
        .expect(1)
        .mount(&sts)
        .await;
    Mock::given(method("POST"))
        .and(body_string_contains("Action=AssumeRole&"))
        .and(header("x-amz-security-token", "token-ASIAPOD"))
        .respond_with(credentials("ASIAROLE"))
        .expect(1)
        .mount(&sts)
        .await;
    let (endpoint, uri) = (server.uri(), sts.uri());
    let cluster = connect(&[
        ("EKS_CLUSTER", "c"),
        ("EKS_ENDPOINT", &endpoint),
        ("EKS_ROLE_ARN", "arn:aws:iam::1:role/admin"),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ENDPOINT_URL_STS", &uri),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/pod"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", &file),
    ]);
    for _ in 0..3 {
        first_call(&cluster).await.unwrap();
    }
    let address = address(&shown(&server).await[0]);
    assert!(address.starts_with(&uri), "{address}");
    assert_eq!(key_of(&address), ("ASIAROLE".to_owned(), Some("token-ASIAROLE".to_owned())));
}

#[tokio::test]
async fn a_container_and_a_machine_are_asked_as_amazon_documents() {
    let server = cluster().await;
    let host = MockServer::start().await;
    let ends = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    let given = |id: &str| {
        ResponseTemplate::new(200).set_body_json(json!({
            "AccessKeyId": id, "SecretAccessKey": "secret", "Token": "token",
            "Expiration": format!("{ends:.0}"),
        }))
    };
    Mock::given(path("/v1/credentials"))
        .and(header("authorization", "pod-token"))
        .respond_with(given("ASIACONTAINER"))
        .mount(&host)
        .await;
    Mock::given(method("PUT"))
        .and(path("/latest/api/token"))
        .and(header("x-aws-ec2-metadata-token-ttl-seconds", "60"))
        .respond_with(ResponseTemplate::new(200).set_body_string("imds"))
        .mount(&host)
        .await;
    let roles = "/latest/meta-data/iam/security-credentials/";
    for (at, answer) in [
        (roles.to_owned(), ResponseTemplate::new(200).set_body_string("node-role")),
        (format!("{roles}node-role"), given("ASIAMACHINE")),
    ] {
        Mock::given(path(at))
            .and(header("x-aws-ec2-metadata-token", "imds"))
            .respond_with(answer)
            .mount(&host)
            .await;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "token", "pod-token\n");
    let (endpoint, uri) = (server.uri(), host.uri());
    let container = format!("{uri}/v1/credentials");
    let set = [("EKS_CLUSTER", "c"), ("EKS_ENDPOINT", &endpoint), ("AWS_REGION", "eu-west-1")];
    for own in [
        &[
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", container.as_str()),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &file),
        ][..],
        &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &uri)],
    ] {
        first_call(&connect(&[&set[..], own].concat())).await.unwrap();
    }
    let keys: Vec<_> = shown(&server).await.iter().map(|token| key_of(&address(token)).0).collect();
    assert_eq!(keys, ["ASIACONTAINER", "ASIAMACHINE"]);
}

#[tokio::test]
async fn who_is_nobody_at_aws_is_told_what_was_looked_for() {
    let set = [("EKS_CLUSTER", "c"), ("EKS_ENDPOINT", "http://127.0.0.1:1"), ("AWS_REGION", "r")];
    for (own, expected) in [
        (
            ("AWS_EC2_METADATA_DISABLED", "true"),
            "nothing here proves who asks AWS: there is no AWS_ACCESS_KEY_ID, no AWS_WEB",
        ),
        (
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1"),
            "nothing here proves who asks AWS: there is no AWS_ACCESS_KEY_ID, no AWS_WEB",
        ),
        (
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://credentials.example/"),
            "AWS_CONTAINER_CREDENTIALS_FULL_URI is not the address of",
        ),
        (("AWS_ACCESS_KEY_ID", "AKID"), "AWS_ACCESS_KEY_ID needs AWS_SECRET_ACCESS_KEY, which"),
    ] {
        let error = first_call(&connect(&[&set[..], &[own]].concat())).await.unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
}
