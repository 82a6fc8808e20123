//! What is kept on disk survives.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use apiserver::{Options, Server, StartError};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::process::Command;
use tokio::time::Instant;

fn kept(folder: &tempfile::TempDir) -> Options {
    Options { state: Some(folder.path().to_owned()), ..Options::default() }
}

fn named(name: &str) -> ConfigMap {
    let metadata = ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() };
    ConfigMap { metadata, ..ConfigMap::default() }
}

/// Waits until the first server has let go of the folder.
pub(crate) async fn restarted(folder: &tempfile::TempDir) -> Server {
    for _ in 0..200 {
        match Server::new(kept(folder)) {
            Ok(server) => return server,
            Err(StartError::State { .. } | StartError::Credentials(_)) => {}
        }
        let pause = Instant::now() + Duration::from_millis(10);
        tokio::time::sleep_until(pause).await;
    }
    panic!("the folder stays locked");
}

#[tokio::test]
async fn objects_and_the_version_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let before = {
        let server = Server::new(kept(&folder)).unwrap();
        let api: Api<ConfigMap> = Api::default_namespaced(server.client());
        api.create(&PostParams::default(), &named("a")).await.unwrap();
        api.create(&PostParams::default(), &named("b")).await.unwrap();
        api.delete("a", &DeleteParams::default()).await.unwrap();
        api.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap()
    };
    let server = restarted(&folder).await;
    let api: Api<ConfigMap> = Api::default_namespaced(server.client());
    assert!(api.get_opt("a").await.unwrap().is_none());
    assert!(api.get_opt("b").await.unwrap().is_some());
    let after = api.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    assert!(after.parse::<u64>().unwrap() >= before.parse::<u64>().unwrap());
}

#[tokio::test]
async fn a_second_server_is_kept_out_of_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let _first = Server::new(kept(&folder)).unwrap();
    let second = Server::new(kept(&folder));
    assert!(matches!(second, Err(StartError::State { .. })));
}

/// A client for the server that writes this kubeconfig, once it does.
async fn outside(kubeconfig: &Path) -> kube::Client {
    for _ in 0..500 {
        if let Ok(config) = Kubeconfig::read_from(kubeconfig) {
            let options = KubeConfigOptions::default();
            let config = kube::Config::from_custom_kubeconfig(config, &options).await;
            let config = config.expect("the kubeconfig is complete");
            return kube::Client::try_from(config).expect("a client can be made");
        }
        tokio::time::sleep_until(Instant::now() + Duration::from_millis(10)).await;
    }
    panic!("the server does not start");
}

#[tokio::test]
async fn a_killed_server_has_lost_no_acknowledged_write() {
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    let state = folder.path().join("state");
    let mut server = Command::new(env!("CARGO_BIN_EXE_apiserver"))
        .arg("--kubeconfig")
        .arg(&kubeconfig)
        .arg("--state")
        .arg(&state)
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let api: Api<ConfigMap> = Api::default_namespaced(outside(&kubeconfig).await);
    let mut acknowledged = Vec::new();
    let deadline = Instant::now() + Duration::from_millis(400);
    for index in 0..1000 {
        if Instant::now() > deadline {
            server.start_kill().unwrap();
        }
        let name = format!("c{index}");
        match api.create(&PostParams::default(), &named(&name)).await {
            Ok(_) => acknowledged.push(name),
            Err(_) => break,
        }
    }
    server.kill().await.unwrap();
    assert!(!acknowledged.is_empty());
    let again = Server::new(Options { state: Some(state), ..Options::default() }).unwrap();
    let api: Api<ConfigMap> = Api::default_namespaced(again.client());
    let kept = api.list(&ListParams::default()).await.unwrap();
    for name in acknowledged {
        let found = kept.items.iter().any(|one| one.metadata.name.as_ref() == Some(&name));
        assert!(found, "{name} is lost");
    }
}

#[tokio::test]
async fn a_listener_that_shuts_down_ends_its_watches_and_the_server_lives_on() {
    let server = Server::new(Options::default()).unwrap();
    for _ in 0..2 {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stop = tokio_util::sync::CancellationToken::new();
        let serving = server.clone();
        let stopped = stop.clone().cancelled_owned();
        let served = tokio::spawn(async move { serving.serve_plain(listener, stopped).await });
        let client = kube::Client::try_from(kube::Config::new(url.parse().unwrap())).unwrap();
        let api: Api<ConfigMap> = Api::default_namespaced(client);
        let watch = api.watch(&kube::api::WatchParams::default(), "0").await.unwrap();
        stop.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(5), served).await;
        ended.expect("it ends in time").unwrap().unwrap();
        drop(watch);
    }
    let api: Api<ConfigMap> = Api::default_namespaced(server.client());
    assert!(api.get_opt("kube-root-ca.crt").await.unwrap().is_some());
}
