//! Kubeconfigs: texts and files, and the cluster that a pod is in.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::way::{Kind, Way};
use super::*;

#[tokio::test]
async fn a_kubeconfig_may_be_a_text_in_a_variable_or_that_in_base64() {
    let (_server, _url, kubeconfig) = api().await;
    let folded: String = STANDARD
        .encode(&kubeconfig)
        .as_bytes()
        .chunks(76)
        .fold(String::new(), |text, line| text + std::str::from_utf8(line).unwrap() + "\n");
    for text in [&kubeconfig, &folded] {
        let cluster = connect(&[("KUBECONFIG_TEXT", text)]);
        first_call(&cluster).await.unwrap();
    }
}

#[tokio::test]
async fn files_are_put_together_as_kubectl_does() {
    let (_server, _url, kubeconfig) = api().await;
    let whole: Value = serde_json::from_str(&kubeconfig).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let first = json!({
        "current-context": "mine",
        "contexts": [{"name": "mine", "context": {"cluster": "embedded", "user": "embedded"}}],
        "users": whole["users"],
    });
    let mut second = whole.clone();
    // What the first has said, no other changes.
    second["current-context"] = json!("nobody's");
    second["users"][0]["user"] = json!({"token": "wrong"});
    let first = write(folder.path(), "first", &first.to_string());
    let second = write(folder.path(), "second", &second.to_string());
    let missing = folder.path().join("missing").display().to_string();
    let files = format!("{missing}:{first}::{second}");
    first_call(&connect(&[("KUBECONFIG", &files)])).await.unwrap();
    let other = connect(&[("KUBECONFIG", &files), ("KUBE_CONTEXT", "embedded")]);
    first_call(&other).await.unwrap();
    let error = first_call(&connect(&[("KUBECONFIG", &files), ("KUBE_CONTEXT", "prod")])).await;
    assert_eq!(error.unwrap_err(), "KUBECONFIG has no context \"prod\"; there are: mine, embedded");
}

#[tokio::test]
async fn the_files_beside_a_kubeconfig_are_found_from_it() {
    let (server, url, _kubeconfig) = api().await;
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "ca.crt", server.authority());
    write(folder.path(), "token", server.admin_token());
    let config = json!({
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
        "clusters": [{"name": "c", "cluster": {"server": url, "certificate-authority": "ca.crt"}}],
        "users": [{"name": "c", "user": {"tokenFile": "token"}}],
    });
    let file = write(folder.path(), "config", &config.to_string());
    first_call(&connect(&[("KUBECONFIG", &file)])).await.unwrap();
}

#[tokio::test]
async fn a_file_that_comes_later_is_read_then_and_nothing_is_read_before() {
    let (_server, _url, kubeconfig) = api().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config").display().to_string();
    let cluster = connect(&[("KUBECONFIG", &path)]);
    let error = first_call(&cluster).await.unwrap_err();
    assert_eq!(error, format!("KUBECONFIG names the file {path}, which cannot be read"));
    write(folder.path(), "config", "clusters: [{name: [}]\ntoken: s3cret");
    let error = first_call(&cluster).await.unwrap_err();
    assert!(error.starts_with(&format!("{path} is no kubeconfig: its YAML is wrong in line ")));
    assert!(!error.contains("s3cret"));
    write(folder.path(), "config", &kubeconfig);
    first_call(&cluster).await.unwrap();
}

#[tokio::test]
async fn what_a_kubeconfig_lacks_is_named() {
    let config = |value: Value| value.to_string();
    let context = json!([{"name": "c", "context": {"cluster": "c", "user": "c"}}]);
    for (config, expected) in [
        (config(json!({})), "KUBECONFIG_TEXT has no current-context \"\"; there are: none"),
        (
            config(json!({"current-context": "c", "contexts": context})),
            "KUBECONFIG_TEXT has no cluster \"c\"; there are: none",
        ),
        (
            config(json!({
                "current-context": "c",
                "contexts": context,
                "clusters": [{"name": "c", "cluster": {"server": "10.0.0.1"}}],
            })),
            "the server of the cluster c in KUBECONFIG_TEXT is not the address of a cluster; one \
             begins with https://",
        ),
        (
            config(json!({
                "current-context": "c",
                "contexts": context,
                "clusters": [{"name": "c", "cluster": {
                    "server": "https://10.0.0.1", "certificate-authority-data": "aGVsbG8=",
                }}],
            })),
            "the certificate authority of the cluster c in KUBECONFIG_TEXT is not a certificate \
             authority: PEM is needed, in base64 or not",
        ),
        (
            config(json!({
                "current-context": "c",
                "contexts": context,
                "clusters": [{"name": "c", "cluster": {
                    "server": "https://10.0.0.1", "proxy-url": "socks5://u:s3cret@10.0.0.2",
                }}],
            })),
            "the proxy of https://10.0.0.1 must be an address that begins with http://",
        ),
        ("[".to_owned(), "KUBECONFIG_TEXT is no kubeconfig: its YAML is wrong in line 1"),
    ] {
        let error = first_call(&connect(&[("KUBECONFIG_TEXT", &config)])).await.unwrap_err();
        assert_eq!(error, expected);
    }
}

#[tokio::test]
async fn the_first_way_that_is_configured_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().display().to_string();
    std::fs::create_dir(folder.path().join(".kube")).unwrap();
    write(&folder.path().join(".kube"), "config", "{}");
    let all = [
        ("KUBECONFIG_TEXT", "{}"),
        ("KUBECONFIG", "/a:/b"),
        ("EKS_CLUSTER", "eks"),
        ("AKS_ENDPOINT", "https://aks"),
        ("GKE_ENDPOINT", "https://gke"),
        ("HOME", &home),
        ("KUBERNETES_SERVICE_HOST", "10.0.0.1"),
    ];
    let mut names = Vec::new();
    for first in 0..all.len() {
        let variables = [&all[first..], &[("AWS_REGION", "eu-west-1")]].concat();
        names.push(Way::of(&settings(&variables)).unwrap().name());
    }
    let own = format!("HOME: {home}/.kube/config");
    let expected = [
        "KUBECONFIG_TEXT",
        "KUBECONFIG: /a:/b",
        "EKS_CLUSTER",
        "AKS_CLUSTER",
        "GKE_CLUSTER",
        &own,
        "the cluster that this program runs in",
    ];
    assert_eq!(names, expected);
    let error = Cluster::connect(&settings(&[("HOME", "/none")]), "default").err().unwrap();
    assert!(matches!(error, ConnectError::Unconfigured), "{error}");
}

#[tokio::test]
async fn a_pod_uses_the_files_of_its_service_account() {
    let (server, url, _kubeconfig) = api().await;
    let folder = tempfile::tempdir().unwrap();
    let (host, port) = url.strip_prefix("https://").unwrap().split_once(':').unwrap();
    let account = folder.path().to_owned();
    let kind = Kind::Pod { host: host.to_owned(), port: port.parse().unwrap(), account };
    let way = Way { kind, settings: ClusterSettings::default().into() };
    let cluster = Cluster::new(Connection::new(way).client(), "default");
    let error = first_call(&cluster).await.unwrap_err();
    assert!(error.starts_with("the pod's service account names the file "), "{error}");
    write(folder.path(), "ca.crt", server.authority());
    write(folder.path(), "token", "not.a.token");
    let error = first_call(&cluster).await.unwrap_err();
    assert!(error.contains("does not know who asks (the pod's service account)"), "{error}");
    // A refusal has the files read again.
    write(folder.path(), "token", server.admin_token());
    first_call(&cluster).await.unwrap();
}

#[test]
fn what_is_plainly_wrong_with_a_way_is_known_before_it_is_gone() {
    for (variable, value, problem) in [
        ("KUBECONFIG", "/none/such", "/none/such"),
        ("KUBECONFIG_TEXT", "clusters: [", "KUBECONFIG_TEXT"),
    ] {
        let way = Way::of(&settings(&[(variable, value)])).unwrap();
        let said = way.problem().unwrap().to_string();
        assert!(said.contains(problem), "{said}");
    }
    let way = Way::of(&settings(&[("KUBECONFIG_TEXT", "ssm:/ours")])).unwrap();
    assert!(way.problem().is_none());
}
