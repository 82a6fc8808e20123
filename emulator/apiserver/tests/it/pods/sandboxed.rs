//! What sandboxed pods may take, and what happens to those that take more.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use apiserver::kubelet::{Runtime, Sandbox, SandboxOptions};
use futures::{AsyncReadExt, TryStreamExt};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::LogParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::wait::await_condition;
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::json;
use tokio::time::timeout;

use super::{Cluster, PATIENCE, ending, phase, sandboxed, shell, status};

const IMAGE: &str = "tools:1";

/// Whether the kernel lets this process limit others.
fn has_control_groups() -> bool {
    let writable = |path: &str| {
        let folder = Path::new(path).join(format!("probe-{}", std::process::id()));
        fs::create_dir(&folder).and_then(|()| fs::remove_dir(&folder)).is_ok()
    };
    let has = writable("/sys/fs/cgroup/memory") && writable("/sys/fs/cgroup/pids");
    if !has {
        println!("skipped: no control groups of memory and processes can be made here");
    }
    has
}

#[tokio::test]
async fn a_container_that_takes_more_memory_than_it_may_is_killed_and_it_is_said() {
    let Some((mut cluster, _folder)) = sandboxed().await else { return };
    if !has_control_groups() {
        return;
    }
    let mut main = shell(IMAGE, "tail /dev/zero");
    main["resources"] = json!({ "limits": { "memory": "32Mi", "cpu": "500m" } });
    cluster.run("hungry", json!({ "containers": [main] })).await;
    let pod = cluster.until_phase("hungry", "Failed").await;
    assert_eq!(ending(&pod), (137, "OOMKilled".to_owned()));
    let given = status(&pod).allocated_resources.unwrap();
    assert_eq!(given["memory"].0, "32Mi");
    let mut main = shell(IMAGE, "exit 0");
    main["resources"] = json!({ "limits": { "memory": "32Mi", "cpu": "500m" } });
    cluster.run("modest", json!({ "containers": [main] })).await;
    assert_eq!(ending(&cluster.until_phase("modest", "Succeeded").await).0, 0);
    cluster.stop().await;
}

#[tokio::test]
async fn a_pod_that_forks_without_end_harms_nobody_and_ends() {
    let Some((mut cluster, _folder)) = sandboxed().await else { return };
    if !has_control_groups() {
        return;
    }
    // Each process makes two; the deadline ends them all.
    let script = "bomb() { bomb | bomb & }; echo begins; bomb 2>/dev/null; sleep 100";
    cluster.run("bomb", json!({ "containers": [shell(IMAGE, script)] })).await;
    cluster.hear("bomb", "begins").await;
    cluster.run("other", json!({ "containers": [shell(IMAGE, "echo works")] })).await;
    cluster.until_phase("other", "Succeeded").await;
    cluster.delete("bomb", 1).await;
    cluster.until_gone("bomb").await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_pod_that_ignores_being_asked_is_killed_after_its_grace() {
    let Some((mut cluster, _folder)) = sandboxed().await else { return };
    let script = "trap '' TERM; echo ready; while :; do sleep 0.1; done";
    cluster.run("stubborn", json!({ "containers": [shell(IMAGE, script)] })).await;
    cluster.hear("stubborn", "ready").await;
    let begun = Instant::now();
    cluster.delete("stubborn", 1).await;
    cluster.until_gone("stubborn").await;
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(1), "{took:?}");
    cluster.stop().await;
}

#[tokio::test]
async fn a_pod_that_fills_its_disk_quota_is_evicted() {
    let Some((mut cluster, folder)) = sandboxed().await else { return };
    let script = "dd if=/dev/zero of=/data/file bs=1M count=8 2>/dev/null; sleep 100";
    let mut main = shell(IMAGE, script);
    main["volumeMounts"] = json!([{ "name": "data", "mountPath": "/data" }]);
    let volumes = json!([{ "name": "data", "emptyDir": { "sizeLimit": "4Mi" } }]);
    cluster.run("volume", json!({ "containers": [main], "volumes": volumes })).await;
    let mut main =
        shell(IMAGE, "yes a long line of text that fills the disk | head -c 8000000; sleep 100");
    main["resources"] = json!({ "limits": { "ephemeral-storage": "4Mi" } });
    cluster.run("log", json!({ "containers": [main] })).await;
    for (name, message) in [
        ("volume", "Usage of EmptyDir volume \"data\" exceeds the limit \"4Mi\". "),
        ("log", "Container main exceeded its local ephemeral storage limit \"4Mi\". "),
    ] {
        let pod = cluster.until_phase(name, "Failed").await;
        let status = pod.status.unwrap();
        assert_eq!(status.reason.as_deref(), Some("Evicted"));
        assert_eq!(status.message.as_deref(), Some(message));
        assert_eq!(cluster.event(name, "Evicted", "").await, message);
    }
    until_empty(&folder.path().join("node/pods")).await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_folder_in_memory_has_its_bounds() {
    let options = SandboxOptions { memory_folder: Some(1 << 20), ..SandboxOptions::default() };
    if let Err(reason) = Sandbox::probe(&options).await {
        return println!("skipped: {reason}");
    }
    let folder = tempfile::tempdir().unwrap();
    let runtime = Runtime::Sandbox(Sandbox::new(options));
    let mut cluster = Cluster::new(folder.path(), runtime);
    let script = "for folder in /tmp /root /run /; do \
                  dd if=/dev/zero of=$folder/file bs=1M count=2 2>/dev/null || echo $folder is full; \
                  done";
    cluster.run("pod", json!({ "containers": [shell(IMAGE, script)] })).await;
    cluster.until_phase("pod", "Succeeded").await;
    let log = cluster.log("pod", "main").await;
    assert_eq!(log, "/tmp is full\n/root is full\n/run is full\n/ is full\n");
    cluster.stop().await;
}

/// Waits until the kubelet has removed what pods had; that comes after their last status.
async fn until_empty(folder: &Path) {
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    let empty = async {
        while fs::read_dir(folder).unwrap().next().is_some() {
            ticks.tick().await;
        }
    };
    timeout(PATIENCE, empty).await.expect("what the pods had is removed");
}

#[tokio::test]
async fn every_line_of_a_hundred_megabytes_of_log_is_kept_in_little_memory() {
    const LINES: u64 = 1_000_000;
    if let Err(reason) = Sandbox::probe(&SandboxOptions::default()).await {
        return println!("skipped: {reason}");
    }
    // In a process of its own, whose memory nothing else takes.
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    let mut server = tokio::process::Command::new(env!("CARGO_BIN_EXE_apiserver"));
    server.args(["--pods", "sandbox", "--kubeconfig"]).arg(&kubeconfig);
    server.arg("--state").arg(folder.path().join("state"));
    let mut server = server.stdout(Stdio::null()).kill_on_drop(true).spawn().unwrap();
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    let client = async {
        // Nothing announces the file, nor the node.
        loop {
            ticks.tick().await;
            let Ok(config) = Kubeconfig::read_from(&kubeconfig) else { continue };
            let options = KubeConfigOptions::default();
            let config = kube::Config::from_custom_kubeconfig(config, &options).await.unwrap();
            let client = kube::Client::try_from(config).unwrap();
            let nodes = Api::<Node>::all(client.clone());
            if matches!(nodes.get_opt("node").await, Ok(Some(_))) {
                return client;
            }
        }
    };
    let client = timeout(PATIENCE, client).await.expect("it starts");
    let pods = Api::<Pod>::default_namespaced(client);
    // 8 digits, a space and 91 letters a line.
    let script = format!(
        "seq -f '%08.0f {:x<91}' {LINES}; printf 'a huge line: '; head -c 300000 /dev/zero | tr '\\0' x; echo",
        ""
    );
    let spec = json!({ "restartPolicy": "Never", "containers": [shell(IMAGE, &script)] });
    let pod = json!({ "metadata": { "name": "loud" }, "spec": spec });
    let mut created =
        pods.create(&Default::default(), &serde_json::from_value(pod.clone()).unwrap()).await;
    while created.is_err() {
        // The namespace's service account may be about to be made.
        ticks.tick().await;
        created =
            pods.create(&Default::default(), &serde_json::from_value(pod.clone()).unwrap()).await;
    }
    let done = await_condition(pods.clone(), "loud", |pod: Option<&Pod>| {
        pod.is_some_and(|pod| phase(pod) == "Succeeded")
    });
    timeout(2 * PATIENCE, done).await.expect("it ends").unwrap();
    let mut log = pods.log_stream("loud", &LogParams::default()).await.unwrap();
    let (mut total, mut lines, mut buffer) = (0, 0, vec![0; 1 << 16]);
    loop {
        let count = log.read(&mut buffer).await.unwrap();
        if count == 0 {
            break;
        }
        total += count as u64;
        lines += buffer[..count].iter().filter(|byte| **byte == b'\n').count() as u64;
    }
    assert_eq!((lines, total), (LINES + 1, LINES * 101 + 300_014));
    let tail = LogParams { tail_lines: Some(2), limit_bytes: Some(9), ..LogParams::default() };
    assert_eq!(pods.logs("loud", &tail).await.unwrap(), "01000000 ");
    let most = most_memory(server.id().unwrap()) / 1024;
    println!("{total} bytes of log: the server has taken {most} MiB at most");
    assert!(most < 96, "{most} MiB");
    server.kill().await.unwrap();
}

/// The most kibibytes of memory that a process has taken.
fn most_memory(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_pods_at_once_leave_nothing_behind() {
    const PODS: usize = 500;
    let Some((mut cluster, folder)) = sandboxed().await else { return };
    let begun = Instant::now();
    let changes = watcher(cluster.pods(), watcher::Config::default());
    let mut changes = Box::pin(changes.default_backoff().applied_objects());
    let create = async {
        for number in 0..PODS {
            let spec = json!({ "containers": [shell(IMAGE, "echo done")] });
            cluster.run(&format!("pod-{number}"), spec).await;
        }
    };
    let mut ended = std::collections::BTreeSet::new();
    let wait = async {
        while ended.len() < PODS {
            let pod = changes.try_next().await.unwrap().expect("the watch goes on");
            if phase(&pod) == "Succeeded" {
                ended.insert(pod.metadata.name.unwrap());
            }
        }
    };
    timeout(4 * PATIENCE, async { tokio::join!(create, wait) }).await.expect("all end");
    println!("{PODS} pods, created to succeeded: {:?}", begun.elapsed());
    for number in [0, PODS / 2, PODS - 1] {
        assert_eq!(cluster.log(&format!("pod-{number}"), "main").await, "done\n");
    }
    until_empty(&folder.path().join("node/pods")).await;
    cluster.stop().await;
    assert_eq!(below(folder.path()), Vec::<String>::new(), "no process has a file of a pod open");
}

/// Processes, this one too, that have files of pods open below a folder.
fn below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for process in fs::read_dir("/proc").unwrap().flatten() {
        for file in fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten() {
            if let Ok(target) = fs::read_link(file.path())
                && target.starts_with(folder)
            {
                found.push(format!("{} {}", process.path().display(), target.display()));
            }
        }
    }
    found
}

#[tokio::test]
async fn a_killed_kubelet_ends_its_containers_and_the_next_one_reports_it() {
    let Some((mut cluster, folder)) = sandboxed().await else { return };
    let main = shell(IMAGE, "echo $$ ready; exec sleep 1234");
    cluster.run("lost", json!({ "containers": [main] })).await;
    let mut main =
        shell(IMAGE, "test -e /data/mark && exit 0; touch /data/mark; echo ready; exec sleep 1234");
    main["volumeMounts"] = json!([{ "name": "data", "mountPath": "/data" }]);
    let volumes = json!([{ "name": "data", "emptyDir": {} }]);
    let spec = json!({ "containers": [main], "volumes": volumes, "restartPolicy": "OnFailure" });
    cluster.run("again", spec).await;
    cluster.hear("lost", "ready").await;
    cluster.hear("again", "ready").await;
    cluster.kill();
    cluster.start();
    let pod = cluster.until_phase("lost", "Failed").await;
    assert_eq!(ending(&pod), (137, "ContainerStatusUnknown".to_owned()));
    assert!(cluster.log("lost", "main").await.contains("ready"), "the log survives");
    let pod = cluster.until_phase("again", "Succeeded").await;
    assert_eq!(status(&pod).restart_count, 1);
    cluster.stop().await;
    assert_eq!(below(folder.path()), Vec::<String>::new());
}
