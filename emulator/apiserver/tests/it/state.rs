//! What is kept on disk survives.

use std::collections::BTreeSet;
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

/// The program with its state in a folder.
fn program(kubeconfig: &Path, state: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_apiserver"));
    command.arg("--kubeconfig").arg(kubeconfig).arg("--state").arg(state);
    command.stdout(Stdio::null()).kill_on_drop(true);
    command
}

async fn names(client: kube::Client) -> BTreeSet<String> {
    let api: Api<ConfigMap> = Api::default_namespaced(client);
    let kept = api.list(&ListParams::default()).await.expect("the server answers");
    kept.items.into_iter().filter_map(|one| one.metadata.name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_among_a_thousand_writes_has_lost_no_acknowledged_one() {
    const WRITERS: usize = 20;
    let folder = tempfile::tempdir().unwrap();
    let (kubeconfig, state) = (folder.path().join("kubeconfig"), folder.path().join("state"));
    let mut server = program(&kubeconfig, &state).spawn().unwrap();
    let client = outside(&kubeconfig).await;
    let (told, mut acknowledged) = tokio::sync::mpsc::unbounded_channel();
    for writer in 0..WRITERS {
        let api: Api<ConfigMap> = Api::default_namespaced(client.clone());
        let told = told.clone();
        tokio::spawn(async move {
            for number in 0..1000 / WRITERS {
                let name = format!("c{writer}-{number}");
                if api.create(&PostParams::default(), &named(&name)).await.is_err() {
                    return;
                }
                told.send(name).unwrap();
            }
        });
    }
    drop(told);
    let mut kept = BTreeSet::new();
    while let Some(name) = acknowledged.recv().await {
        kept.insert(name);
        if kept.len() == 300 {
            // The other writers are in the midst of theirs.
            server.start_kill().unwrap();
        }
    }
    server.wait().await.unwrap();
    assert!((300..1000).contains(&kept.len()), "{} were acknowledged", kept.len());
    let again = Server::new(Options { state: Some(state), ..Options::default() }).unwrap();
    let found = names(again.client()).await;
    let lost: Vec<&String> = kept.difference(&found).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
}

#[tokio::test]
async fn a_second_program_is_kept_out_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let _first = Server::new(kept(&folder)).unwrap();
    let second = program(&folder.path().join("kubeconfig"), folder.path()).output();
    let second = tokio::time::timeout(Duration::from_secs(30), second).await.unwrap().unwrap();
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains(&folder.path().display().to_string()), "{said}");
    assert!(said.contains("another server uses it"), "{said}");
}

#[tokio::test]
async fn a_torn_end_of_the_journal_costs_only_what_was_torn() {
    let folder = tempfile::tempdir().unwrap();
    {
        let server = Server::new(kept(&folder)).unwrap();
        let api: Api<ConfigMap> = Api::default_namespaced(server.client());
        for name in ["a", "b", "c"] {
            api.create(&PostParams::default(), &named(name)).await.unwrap();
        }
    }
    drop(restarted(&folder).await);
    let journal = folder.path().join("journal");
    let whole = std::fs::read(&journal).unwrap();
    let last = whole.windows(3).rposition(|bytes| bytes == b"\"c\"").unwrap();
    for damaged in [
        whole[..last + 40].to_vec(),
        [&whole[..last], b"\"X\"", &whole[last + 3..]].concat(),
        [&whole[..last + 40], &[0; 500][..]].concat(),
    ] {
        std::fs::write(&journal, damaged).unwrap();
        let server = restarted(&folder).await;
        let found = names(server.client()).await;
        assert!(found.contains("a") && found.contains("b") && !found.contains("c"), "{found:?}");
        // What is written next can be read again.
        let api: Api<ConfigMap> = Api::default_namespaced(server.client());
        api.create(&PostParams::default(), &named("d")).await.unwrap();
        drop((api, server));
        let server = restarted(&folder).await;
        assert!(names(server.client()).await.contains("d"));
        drop(server);
        drop(restarted(&folder).await);
    }
}

/// Two servers, one after the other, with their state on a disk of 300 kB.
const SMALL_DISK: &str = r#"
"$0" --kubeconfig "$1/first" --state "$1/disk/state" & echo $! > "$1/pid.new"
mv "$1/pid.new" "$1/pid"
wait
exec "$0" --kubeconfig "$1/second" --state "$1/disk/state"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_writes_and_loses_none() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let mut sandbox = Command::new("bwrap");
    sandbox.args(["--dev-bind", "/", "/", "--size", "300000", "--tmpfs"]).arg(&disk);
    sandbox.args(["--die-with-parent", "sh", "-c", SMALL_DISK]);
    sandbox.arg(env!("CARGO_BIN_EXE_apiserver")).arg(folder.path());
    sandbox.stdout(Stdio::null()).kill_on_drop(true);
    let Ok(mut sandbox) = sandbox.spawn() else {
        println!("skipped: there is no bubblewrap");
        return;
    };
    let client = outside(&folder.path().join("first")).await;
    let api: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let mut kept = BTreeSet::new();
    let refused = loop {
        let name = format!("c{}", kept.len());
        let mut object = named(&name);
        object.data = Some([("much".to_owned(), "x".repeat(5000))].into());
        match api.create(&PostParams::default(), &object).await {
            Ok(_) => assert!(kept.insert(name)),
            Err(error) => break error,
        }
        assert!(kept.len() < 100, "the disk is never full");
    };
    let kube::Error::Api(status) = &refused else { panic!("{refused}") };
    assert!(status.code >= 500, "{status:?}");
    // It answers still, and what it refused is not there.
    let found = names(client).await;
    assert!(found.is_superset(&kept) && !found.contains(&format!("c{}", kept.len())));
    let pid = std::fs::read_to_string(folder.path().join("pid")).unwrap();
    let killed = Command::new("kill").args(["-9", pid.trim()]).status().await.unwrap();
    assert!(killed.success());
    let found = names(outside(&folder.path().join("second")).await).await;
    let lost: Vec<&String> = kept.difference(&found).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
    sandbox.kill().await.unwrap();
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
        let ended = tokio::time::timeout(Duration::from_secs(60), served).await;
        ended.expect("it ends in time").unwrap().unwrap();
        drop(watch);
    }
    let api: Api<ConfigMap> = Api::default_namespaced(server.client());
    assert!(api.get_opt("kube-root-ca.crt").await.unwrap().is_some());
}
