//! Kubeconfigs as the clouds' command lines write them, on a host that has none of their programs.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use wiremock::matchers::{path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::eks::{cluster, shown};
use super::*;

/// A kubeconfig whose user is this.
fn config(server: &str, user: Value) -> String {
    let config = json!({
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "c", "user": user}],
    });
    config.to_string()
}

fn exec(command: &str, arguments: &[&str]) -> Value {
    json!({"exec": {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "command": command,
        "args": arguments,
        "interactiveMode": "Never",
    }})
}

#[tokio::test]
async fn what_amazons_programs_would_do_is_done_here() {
    let server = cluster().await;
    let aws = ["--region", "eu-central-1", "eks", "get-token", "--cluster-name", "blue"];
    for (command, arguments) in [
        ("aws", &aws[..]),
        ("/usr/local/bin/aws-iam-authenticator", &["token", "-i", "blue"]),
        ("aws", &["eks", "get-token", "--cluster-name=blue", "--output", "json"]),
    ] {
        let text = config(&server.uri(), exec(command, arguments));
        let variables = [
            ("KUBECONFIG_TEXT", text.as_str()),
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_REGION", "eu-central-1"),
        ];
        first_call(&connect(&variables)).await.unwrap();
    }
    let shown = shown(&server).await;
    assert_eq!(shown.len(), 3);
    assert!(shown.iter().all(|token| token.starts_with("k8s-aws-v1.")));
}

#[tokio::test]
async fn what_azures_and_googles_programs_would_do_is_done_here() {
    let (server, host) = (cluster().await, MockServer::start().await);
    Mock::given(path("/msi/token"))
        .and(query_param("resource", "their-server"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({
            "access_token": "azures", "expires_in": 3600,
        })))
        .mount(&host)
        .await;
    Mock::given(path("/computeMetadata/v1/instance/service-accounts/default/token"))
        .respond_with(
            ResponseTemplate::new(200)
                .insert_header("metadata-flavor", "Google")
                .set_body_json(json!({"access_token": "googles", "expires_in": 3600})),
        )
        .mount(&host)
        .await;
    let kubelogin = ["get-token", "--login", "devicecode", "--server-id", "their-server"];
    let legacy = json!({"auth-provider": {
        "name": "azure", "config": {"apiserver-id": "their-server", "tenant-id": "t"},
    }});
    let (identity, host) = (format!("{}/msi/token", host.uri()), host.address().to_string());
    for user in [
        exec("kubelogin", &kubelogin),
        legacy,
        exec("gke-gcloud-auth-plugin", &[]),
        json!({"auth-provider": {"name": "gcp"}}),
    ] {
        let text = config(&server.uri(), user);
        let variables = [
            ("KUBECONFIG_TEXT", text.as_str()),
            ("IDENTITY_ENDPOINT", &identity),
            ("IDENTITY_HEADER", "hidden"),
            ("GCE_METADATA_HOST", &host),
        ];
        first_call(&connect(&variables)).await.unwrap();
    }
    assert_eq!(shown(&server).await, ["azures", "azures", "googles", "googles"]);
}

#[tokio::test]
async fn a_program_that_is_there_is_run_and_one_that_is_not_is_named_with_what_replaces_it() {
    let server = cluster().await;
    let folder = tempfile::tempdir().unwrap();
    let token = r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":{"token":"by-a-program"}}"#;
    let program = write(folder.path(), "our-login", &format!("#!/bin/sh\necho '{token}'\n"));
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let text = config(&server.uri(), exec(&program, &[]));
    first_call(&connect(&[("KUBECONFIG_TEXT", &text)])).await.unwrap();
    assert_eq!(shown(&server).await, ["by-a-program"]);

    let failing = write(folder.path(), "failing", "#!/bin/sh\necho s3cret\nexit 3\n");
    std::fs::set_permissions(&failing, PermissionsExt::from_mode(0o755)).unwrap();
    let text = config(&server.uri(), exec(&failing, &[]));
    let error = first_call(&connect(&[("KUBECONFIG_TEXT", &text)])).await.unwrap_err();
    assert!(
        error.contains("the program of the kubeconfig that gives tokens ended with"),
        "{error}"
    );
    assert!(!error.contains("s3cret"), "{error}");

    let text = config(&server.uri(), exec("our-login", &[]));
    let error = first_call(&connect(&[("KUBECONFIG_TEXT", &text)])).await.unwrap_err();
    assert_eq!(
        error,
        "KUBECONFIG_TEXT asks the program our-login for a token, which is not here: set \
         EKS_CLUSTER, AKS_CLUSTER or GKE_CLUSTER, or put the token of a service account in its \
         place (kubectl create token) instead"
    );
    // Unless it is told where it is.
    let path = folder.path().display().to_string();
    first_call(&connect(&[("KUBECONFIG_TEXT", &text), ("PATH", &path)])).await.unwrap();
    let text = config(&server.uri(), exec("aws", &["eks", "get-token"]));
    let error = first_call(&connect(&[("KUBECONFIG_TEXT", &text)])).await.unwrap_err();
    assert!(error.contains("asks the program aws for a token, which is told of no cluster"));
}

#[tokio::test]
async fn a_profile_is_left_to_amazons_program_whatever_keys_the_environment_has() {
    let server = cluster().await;
    let folder = tempfile::tempdir().unwrap();
    let token = r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1beta1","status":{"token":"of-the-profile"}}"#;
    let program = write(folder.path(), "aws", &format!("#!/bin/sh\necho '{token}'\n"));
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let path = folder.path().display().to_string();
    let arguments = ["eks", "get-token", "--cluster-name", "blue"];
    let mut by_variable = exec("aws", &arguments);
    by_variable["exec"]["env"] = json!([{"name": "AWS_PROFILE", "value": "prod"}]);
    let by_option = exec("aws", &[&arguments[..], &["--profile", "prod"]].concat());
    for user in [by_variable, by_option, exec("aws", &arguments)] {
        let text = config(&server.uri(), user);
        let variables = [
            ("KUBECONFIG_TEXT", text.as_str()),
            ("PATH", &path),
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_REGION", "eu-central-1"),
        ];
        first_call(&connect(&variables)).await.unwrap();
    }
    let shown = shown(&server).await;
    assert_eq!(shown[..2], ["of-the-profile", "of-the-profile"]);
    assert!(shown[2].starts_with("k8s-aws-v1."), "{shown:?}");
}

#[tokio::test]
async fn a_reference_to_a_secret_is_resolved_by_lambdas_extension() {
    let (server, extension) = (cluster().await, MockServer::start().await);
    let text = config(&server.uri(), json!({"token": "kept"}));
    Mock::given(path("/systemsmanager/parameters/get"))
        .and(query_param("name", "/brigantine/kubeconfig"))
        .and(query_param("withDecryption", "true"))
        .and(wiremock::matchers::header("x-aws-parameters-secrets-token", "session"))
        .respond_with(
            ResponseTemplate::new(200).set_body_json(json!({"Parameter": {"Value": text}})),
        )
        .mount(&extension)
        .await;
    Mock::given(path("/secretsmanager/get"))
        .and(query_param("secretId", "arn:aws:secretsmanager:eu-west-1:1:secret:k"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"SecretString": text})))
        .mount(&extension)
        .await;
    let port = extension.address().port().to_string();
    let lambda = [
        ("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT", port.as_str()),
        ("AWS_SESSION_TOKEN", "session"),
    ];
    for reference in
        ["ssm:/brigantine/kubeconfig", "secretsmanager:arn:aws:secretsmanager:eu-west-1:1:secret:k"]
    {
        let variables = [&lambda[..], &[("KUBECONFIG_TEXT", reference)]].concat();
        first_call(&connect(&variables)).await.unwrap();
    }
    assert_eq!(shown(&server).await, ["kept", "kept"]);
    let missing = [&lambda[..], &[("KUBECONFIG_TEXT", "ssm:/nothing")]].concat();
    let error = first_call(&connect(&missing)).await.unwrap_err();
    assert!(error.starts_with("Lambda's Parameters and Secrets extension refused with 404: give"));
}
