//! What a worker takes as a process: `cargo bench -p worker`.
//!
//! The cluster is the embedded one, on a socket of this machine.

#![expect(clippy::print_stdout, reason = "its output is its purpose")]
#![expect(clippy::unwrap_used, reason = "a measurement that cannot be made has failed")]

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use apiserver::Server;
use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams, WatchEvent, WatchParams};
use runtime::build::Build;
use runtime::cluster::{Cluster, Creation};
use runtime::event::Event;
use runtime::project::{Project, values};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

const ONE_JOB: &str = "const { events, Job } = require('brigadier');
    events.on('push', async () => { await new Job('one', 'alpine:3.20', ['echo hello']).run(); });";

const MANY_JOBS: &str = "const { events, Job, Group } = require('brigadier');
    events.on('push', () => Group.runAll(Array.from({ length: 1000 }, (_, n) => new Job('j' + n, 'i'))));";

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new(apiserver::Options::default()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::fs::write(folder.path().join("kubeconfig"), server.kubeconfig("bench", &url)).unwrap();
    let serving = server.clone();
    tokio::spawn(async move { serving.serve_plain(listener, std::future::pending()).await });
    let cluster = Cluster::new(server.client(), "default");
    cluster.create_service_account("default", "brigade-worker").await.unwrap();
    let (project, _warnings) = values::read("project: org/app", "default").unwrap();
    cluster.put_project(&project).await.unwrap();
    let pods: Api<Pod> = Api::default_namespaced(server.client());
    println!("{:<44} {:>9} {:>9} {:>9}", "", "least", "median", "most");

    let mut times = Vec::new();
    for _ in 0..50 {
        times.push(first_job(&cluster, &project, &pods, folder.path()).await);
    }
    row("exec of `worker run` to its first job", times);
    let mut times = Vec::new();
    while times.len() < 20 {
        let begin = Instant::now();
        let Ok(ended) = Command::new("node").args(["-e", "0"]).status().await else { break };
        assert!(ended.success());
        times.push(begin.elapsed());
    }
    if times.is_empty() {
        println!("for comparison: there is no node here");
    } else {
        row("for comparison: node -e 0", times);
    }
    many_jobs(&cluster, &project, &pods, folder.path()).await;
}

fn row(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let show = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1000.0);
    let (least, most) = (times[0], times[times.len() - 1]);
    println!("{what:<44} {:>9} {:>9} {:>9}", show(least), show(times[times.len() / 2]), show(most));
}

async fn build(cluster: &Cluster, project: &Project, script: &str) -> Build {
    let event = Event { script: Some(script.to_owned()), ..Event::new("bench", "push", "{}") };
    let build = Build::new(project, event, Timestamp::now());
    let Creation::Made(build) = cluster.create_build(&build).await.unwrap() else {
        unreachable!("it is a new one")
    };
    build
}

fn worker(build: &Build, folder: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_worker"))
        .arg("run")
        .env_clear()
        .env("KUBECONFIG", folder.join("kubeconfig"))
        .env("BRIGADE_BUILD_ID", build.id.to_string())
        .env("BRIGADE_PROJECT_ID", &build.project)
        .env("BRIGADE_PROJECT_NAMESPACE", "default")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn first_job(
    cluster: &Cluster,
    project: &Project,
    pods: &Api<Pod>,
    folder: &Path,
) -> Duration {
    let build = build(cluster, project, ONE_JOB).await;
    let own = WatchParams::default().labels(&format!("build={}", build.id));
    let mut changes = pods.watch(&own, "0").await.unwrap().boxed();
    let begin = Instant::now();
    let mut worker = worker(&build, folder);
    let added = async {
        while let Some(change) = changes.try_next().await.unwrap() {
            if let WatchEvent::Added(_) = change {
                return begin.elapsed();
            }
        }
        unreachable!("the watch does not end")
    };
    let time = tokio::select! {
        biased;
        time = added => time,
        ended = worker.wait() => panic!("the worker has ended: {ended:?}"),
    };
    worker.kill().await.unwrap();
    time
}

async fn many_jobs(cluster: &Cluster, project: &Project, pods: &Api<Pod>, folder: &Path) {
    let build = build(cluster, project, MANY_JOBS).await;
    let own = WatchParams::default().labels(&format!("build={}", build.id));
    let begin = Instant::now();
    let mut worker = worker(&build, folder);
    let status = format!("/proc/{}/status", worker.id().unwrap());
    let (mut most, mut own_most) = (0, 0);
    let kubelet = async {
        let mut changes = pods.watch(&own, "0").await.unwrap().boxed();
        while let Some(change) = changes.try_next().await.unwrap() {
            let WatchEvent::Added(pod) = change else { continue };
            let ended = Patch::Merge(json!({ "status": { "phase": "Succeeded" } }));
            pods.patch_status(&pod.name_any(), &PatchParams::default(), &ended).await.unwrap();
            // The kernel's own account of the most memory that the process had.
            let now = std::fs::read_to_string(&status).unwrap_or_default();
            most = most.max(kilobytes(&now, "VmHWM:"));
            // Without the pages of the program's file, which are the page cache's.
            own_most = own_most.max(kilobytes(&now, "RssAnon:"));
        }
    };
    tokio::select! {
        ended = worker.wait() => assert!(ended.unwrap().success()),
        () = kubelet => unreachable!("the watch does not end"),
    }
    println!(
        "1000 jobs at once in a worker: {:.1?}, at most {own_most} kB of its own, {most} kB with its program",
        begin.elapsed()
    );
}

fn kilobytes(status: &str, key: &str) -> u64 {
    let value = status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
    value.trim().trim_end_matches(" kB").parse().unwrap_or_default()
}
