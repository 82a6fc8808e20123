//! Connections: what the certificates prove, and what hostile clients can spoil.

use std::os::unix::fs::PermissionsExt;

use apiserver::{Options, Server};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::Api;
use kube::api::ListParams;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{PATIENCE, Served, code};

#[tokio::test]
async fn the_kubeconfig_lets_in_and_nothing_else_does() {
    let served = Served::start(Options::default()).await;
    let admin = served.client(|_| {}).await;
    let names = Api::<Namespace>::all(admin).list(&ListParams::default()).await.unwrap();
    assert!(names.items.iter().any(|one| one.metadata.name.as_deref() == Some("default")));
    let stranger = Api::<Namespace>::all(served.stranger().await);
    assert_eq!(code(stranger.list(&ListParams::default()).await), 403);
}

#[tokio::test]
async fn a_server_that_another_authority_vouches_for_is_not_believed() {
    let served = Served::start(Options::default()).await;
    let other = Server::new(Options::default()).unwrap().kubeconfig("other", "https://other");
    let other: serde_json::Value = serde_json::from_str(&other).unwrap();
    let key = "certificate-authority-data";
    let authority = other["clusters"][0]["cluster"][key].clone();
    let client = served.client(|ours| ours["clusters"][0]["cluster"][key] = authority).await;
    let refused = Api::<Namespace>::all(client).list(&ListParams::default()).await;
    assert!(matches!(refused, Err(kube::Error::HyperError(_) | kube::Error::Service(_))));
    // Nor does the server believe a client with a certificate of that authority.
    let user = other["users"][0]["user"].clone();
    let client = served.client(|ours| ours["users"][0]["user"] = user).await;
    assert_eq!(code(Api::<Namespace>::all(client.clone()).list(&ListParams::default()).await), 401);
    assert_eq!(code(client.apiserver_version().await), 401);
}

#[tokio::test]
async fn credentials_outlive_a_restart_and_are_for_the_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let options = Options { state: Some(state.clone()), ..Options::default() };
    let before = {
        let server = Server::new(options.clone()).unwrap();
        server.kubeconfig("test", "https://127.0.0.1:1")
    };
    for entry in std::fs::read_dir(&state).unwrap().flatten() {
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", entry.path().display());
    }
    // Controllers may hold the state for a moment.
    let served = loop {
        match Server::new(options.clone()) {
            Ok(server) => break server.kubeconfig("test", "https://127.0.0.1:1"),
            Err(_) => tokio::task::yield_now().await,
        }
    };
    assert_eq!(served, before);
}

#[tokio::test]
async fn damaged_credentials_are_named_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("credentials.json"), "{}").unwrap();
    let options = Options { state: Some(folder.path().to_owned()), ..Options::default() };
    let error = Server::new(options).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(
        cause.contains("credentials.json is damaged") && cause.contains("remove it"),
        "{cause}"
    );
}

#[tokio::test]
async fn a_stalled_handshake_and_garbage_hold_up_nobody() {
    let served = Served::start(Options::default()).await;
    let mut stalled = Vec::new();
    for _ in 0..50 {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(&[0x16, 0x03]).await.unwrap();
        stalled.push(stream);
    }
    let mut garbage = TcpStream::connect(served.address).await.unwrap();
    garbage.write_all(&[0x16; 4096]).await.unwrap();
    let read = timeout(PATIENCE, garbage.read_to_end(&mut Vec::new())).await;
    let _alert_or_reset = read.expect("it is ended");
    let mut plain = TcpStream::connect(served.address).await.unwrap();
    plain.write_all(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut line = Vec::new();
    timeout(PATIENCE, plain.read_to_end(&mut line)).await.expect("it is answered").unwrap();
    let line = String::from_utf8_lossy(&line);
    assert!(line.contains("400 Bad Request") && line.contains("HTTPS"), "{line}");
    let client = served.client(|_| {}).await;
    let version = timeout(PATIENCE, client.apiserver_version()).await;
    version.expect("others are served").unwrap();
}

#[tokio::test]
async fn a_listener_ends_although_clients_hang_on_it() {
    let server = Server::new(Options::default()).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = Served {
        kubeconfig: server.kubeconfig("test", &format!("https://{address}")),
        stop: tokio_util::sync::CancellationToken::new(),
        server: server.clone(),
        address,
    };
    let stopped = served.stop.clone().cancelled_owned();
    let serving = tokio::spawn(async move { server.serve(listener, stopped).await });
    let maps: Api<ConfigMap> = Api::default_namespaced(served.client(|_| {}).await);
    let watch = maps.watch(&kube::api::WatchParams::default(), "0").await.unwrap();
    let _stalled = TcpStream::connect(address).await.unwrap();
    served.stop.cancel();
    timeout(PATIENCE, serving).await.expect("it ends in time").unwrap().unwrap();
    drop(watch);
}

#[tokio::test]
async fn a_plain_listener_is_for_whoever_reaches_it() {
    let server = Server::new(Options::default()).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let kubeconfig: serde_json::Value =
        serde_json::from_str(&server.kubeconfig("plain", &url)).unwrap();
    assert_eq!(kubeconfig["users"][0]["user"], json!({}));
    tokio::spawn(async move { server.serve_plain(listener, std::future::pending()).await });
    let client = kube::Client::try_from(kube::Config::new(url.parse().unwrap())).unwrap();
    Api::<Namespace>::all(client).get("default").await.unwrap();
}
