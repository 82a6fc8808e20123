//! How long builds take to start and to go on: `cargo bench -p pipeline`.
//!
//! Everything is in this process: the cluster of the first rows answers any request with what it
//! was sent, that of the others is the embedded one. So what is measured is ours, not a network.

#![expect(clippy::print_stdout, reason = "its output is its purpose")]
#![expect(clippy::unwrap_used, reason = "a measurement that cannot be made has failed")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use apiserver::Server;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use futures::TryStreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, Patch, PatchParams, WatchEvent, WatchParams};
use pipeline::script::{Script, ScriptOrigin};
use pipeline::{Context, Options, Output};
use runtime::build::Build;
use runtime::cluster::{Cluster, Creation};
use runtime::event::Event;
use runtime::project::values;
use serde_json::json;
use tower::ServiceExt;

const ONE_JOB: &str = r#"const { events, Job } = require("brigadier");
events.on("push", (e, project) => {
  const job = new Job("one", "alpine:3.20", ["echo hello"]);
  job.run();
});"#;

const TYPED: &str = r#"import { events, Job, type Event, type Project } from "brigadier";
enum Image { Alpine = "alpine:3.20" }
events.on("push", (e: Event, project: Project): void => {
  const job = new Job("one", Image.Alpine, ["echo hello"] as string[]);
  job.run();
});"#;

const SILENT: &str = "";

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    println!("{:<44} {:>9} {:>9} {:>9}", "", "least", "median", "most");
    for (what, script) in [
        ("engine made, empty script run", SILENT),
        ("start of a script to its first job", ONE_JOB),
        ("the same in TypeScript, an ES module", TYPED),
    ] {
        let mut times = Vec::new();
        for _ in 0..200 {
            times.push(runtime.block_on(start(script)));
        }
        row(what, times);
    }
    row("end of a job to creation of the next", runtime.block_on(next_job(100)));
    let (time, requests, jobs) = runtime.block_on(many_jobs(1000));
    println!("1000 jobs at once, run to their end: {time:.1?}, {jobs}, {requests} requests");
    match floor() {
        Some(times) => row("for comparison: node -e 0", times),
        None => println!("for comparison: there is no node here"),
    }
}

/// What any worker takes that is a program of Node's, before it does anything.
fn floor() -> Option<Vec<Duration>> {
    let one = || {
        let begin = Instant::now();
        let ended = std::process::Command::new("node").args(["-e", "0"]).status().ok()?;
        ended.success().then(|| begin.elapsed())
    };
    (0..20).map(|_| one()).collect()
}

fn row(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let show = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1000.0);
    let (least, most) = (times[0], times[times.len() - 1]);
    let median = times[times.len() / 2];
    println!("{what:<44} {:>9} {:>9} {:>9}", show(least), show(median), show(most));
}

fn silent() -> Output {
    Arc::new(|_line| ())
}

fn context(cluster: Cluster, build: Build, script: &str) -> Context {
    let (project, _warnings) = values::read("project: org/app", "default").unwrap();
    Context {
        cluster,
        project,
        build,
        script: Script {
            text: script.to_owned(),
            name: "brigade.js".to_owned(),
            origin: ScriptOrigin::Event,
            ..Script::default()
        },
        options: Options::default(),
    }
}

fn new_build() -> Build {
    let (project, _warnings) = values::read("project: org/app", "default").unwrap();
    Build::new(&project, Event::new("bench", "push", "{}"), Timestamp::now())
}

async fn start(script: &str) -> Duration {
    let service = tower::service_fn(|request: Request<kube::client::Body>| async move {
        let body = Body::new(request.into_body());
        let answer = Response::builder().status(StatusCode::CREATED);
        Ok::<_, std::convert::Infallible>(
            answer.header("content-type", "application/json").body(body).unwrap(),
        )
    });
    let cluster = Cluster::new(kube::Client::new(service, "default"), "default");
    let context = context(cluster, Build { uid: Some("u".to_owned()), ..new_build() }, script);
    let begin = Instant::now();
    let start = pipeline::start(&context, silent()).await.unwrap();
    assert_eq!(start.jobs.len(), usize::from(!script.is_empty()));
    begin.elapsed()
}

async fn in_cluster(server: &Server, script: &str) -> Context {
    let cluster = Cluster::new(server.client(), "default");
    let Creation::Made(build) = cluster.create_build(&new_build()).await.unwrap() else {
        unreachable!("it is a new one")
    };
    context(cluster, build, script)
}

async fn end(api: &Api<Pod>, name: &str) {
    let status = json!({ "status": { "phase": "Succeeded" } });
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
}

/// A chain of jobs, each awaited, and each ended as soon as it is there.
async fn next_job(count: usize) -> Vec<Duration> {
    let server = Server::new(apiserver::Options::default()).unwrap();
    let script = format!(
        "const {{ events, Job }} = require('brigadier');
         events.on('push', async () => {{
           for (let n = 0; n < {count}; n++) await new Job('j' + n, 'i').run().catch(() => {{}});
         }});"
    );
    let context = in_cluster(&server, &script).await;
    let api: Api<Pod> = Api::default_namespaced(server.client());
    let mut times = Vec::new();
    let kubelet = async {
        let mut changes = Box::pin(api.watch(&WatchParams::default(), "0").await.unwrap());
        let mut ended: Option<Instant> = None;
        while let Some(change) = changes.try_next().await.unwrap() {
            if let WatchEvent::Added(pod) = change {
                times.extend(ended.map(|ended| ended.elapsed()));
                ended = Some(Instant::now());
                end(&api, &pod.metadata.name.unwrap()).await;
            }
        }
    };
    tokio::select! {
        outcome = pipeline::run(&context, silent(), std::future::pending()) => {
            outcome.unwrap();
        }
        () = kubelet => unreachable!("the watch does not end"),
    }
    times
}

async fn many_jobs(count: usize) -> (Duration, usize, String) {
    let server = Server::new(apiserver::Options::default()).unwrap();
    let script = format!(
        "const {{ events, Job, Group }} = require('brigadier');
         events.on('push', () => {{
           Group.runAll(Array.from({{ length: {count} }}, (_, n) => new Job('j' + n, 'i')));
         }});"
    );
    let mut context = in_cluster(&server, &script).await;
    let requests = Arc::new(AtomicUsize::new(0));
    let (router, counted) = (server.router(), Arc::clone(&requests));
    let counting = tower::service_fn(move |request: Request<kube::client::Body>| {
        counted.fetch_add(1, Ordering::Relaxed);
        router.clone().oneshot(request.map(Body::new))
    });
    context.cluster = Cluster::new(kube::Client::new(counting, "default"), "default");
    let api: Api<Pod> = Api::default_namespaced(server.client());
    let kubelet = async {
        let mut changes = Box::pin(api.watch(&WatchParams::default(), "0").await.unwrap());
        while let Some(change) = changes.try_next().await.unwrap() {
            if let WatchEvent::Added(pod) = change {
                end(&api, &pod.metadata.name.unwrap()).await;
            }
        }
    };
    let begin = Instant::now();
    tokio::select! {
        outcome = pipeline::run(&context, silent(), std::future::pending()) => {
            let outcome = outcome.unwrap();
            let jobs = outcome.annotations()["brigantine.dev/jobs"].clone();
            (begin.elapsed(), requests.load(Ordering::Relaxed), jobs)
        }
        () = kubelet => unreachable!("the watch does not end"),
    }
}
