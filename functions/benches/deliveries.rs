//! How long deliveries take, beside the API calls that they need: `cargo bench -p functions`.
//!
//! Everything is in this process: the deliveries are given to the router, and the cluster is the
//! embedded one. So what is measured is ours, not a network. The bare calls are those that a
//! delivery of one job makes: GET project, POST build, POST job Secret, POST pod, PATCH build.

#![expect(clippy::print_stdout, reason = "its output is its purpose")]
#![expect(clippy::unwrap_used, reason = "a measurement that cannot be made has failed")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use apiserver::Server;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use functions::{App, Function, Workers, router};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use pipeline::script::Repository;
use runtime::build::Build;
use runtime::cluster::{Cluster, Creation};
use runtime::event::{Event, Identity};
use runtime::job::{self, Job, Policy};
use runtime::project::{Project, values};
use runtime::settings::Settings;
use runtime::signature;
use serde_json::json;
use tower::ServiceExt;

const DELIVERIES: u32 = 500;

const SECRET: &str = "a secret";

const SCRIPT: &str = r#"const { events, Job } = require("brigadier");
events.on("push", (e, project) => {
  new Job("one", "alpine:3.20", ["echo hello"]).run();
});"#;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    println!("{:<36} {:>9} {:>9} {:>9}", "", "median", "p99", "ratio");
    let (cluster, router, project) = world().await;
    let mut bare = Vec::new();
    for number in 0..DELIVERIES {
        let start = Instant::now();
        calls(&cluster, &project, number).await;
        bare.push(start.elapsed());
    }
    let base = row("the bare calls to the cluster", bare, None);
    let mut deliveries = Vec::new();
    for number in 0..DELIVERIES {
        deliveries.push(deliver(&router, number, SECRET, StatusCode::OK).await);
    }
    row("a push, to its answer", deliveries, Some(base));
    let mut repeated = Vec::new();
    for _ in 0..DELIVERIES {
        repeated.push(deliver(&router, 0, SECRET, StatusCode::OK).await);
    }
    row("the same push again", repeated, Some(base));
    let mut forged = Vec::new();
    for number in 0..DELIVERIES {
        forged.push(deliver(&router, number, "another", StatusCode::FORBIDDEN).await);
    }
    row("a push with a wrong signature", forged, Some(base));
}

async fn world() -> (Cluster, Router, Project) {
    let server = Server::new(apiserver::Options::default()).unwrap();
    let cluster = Cluster::new(server.client(), "default");
    cluster.create_service_account("default", "brigade-worker").await.unwrap();
    let yaml = format!("project: acme/app\nsharedSecret: {SECRET}\n");
    let (mut project, _) = values::read(&yaml, "default").unwrap();
    project.default_script = SCRIPT.to_owned();
    cluster.put_project(&project).await.unwrap();
    let app = App {
        cluster: cluster.clone(),
        settings: Arc::new(Settings::default()),
        repository: Arc::new(Repository::Ignore),
        workers: Workers::Pods,
    };
    (cluster, router(app, Function::ALL), project)
}

/// The calls that a delivery needs, and nothing else.
async fn calls(cluster: &Cluster, project: &Project, number: u32) {
    let project = cluster.project(&project.id).await.unwrap().unwrap();
    let event = Event {
        identity: Identity::Content(format!("bare {number}").into()),
        ..Event::new("github", "push", body(number))
    };
    let build = Build::new(&project, event, Timestamp::now());
    let Creation::Made(build) = cluster.create_build(&build).await.unwrap() else {
        panic!("the build exists")
    };
    let mut job = Job::new("one", "alpine:3.20");
    job.tasks = vec!["echo hello".to_owned()];
    let policy = Policy { service_account: "brigade-worker".to_owned(), ..Policy::default() };
    let secret = job::secret(&job, &project, &build, Timestamp::now());
    let pod: Pod = job::pod(&job, &project, &build, &policy).unwrap();
    cluster.create_job(&secret, &pod).await.unwrap();
    cluster.accept(&build, &[].into()).await.unwrap();
}

async fn deliver(router: &Router, number: u32, secret: &str, expected: StatusCode) -> Duration {
    let body = body(number);
    let request = Request::post("/events/github")
        .header("content-type", "application/json")
        .header("x-github-event", "push")
        .header("x-hub-signature-256", signature::sign_github(secret, body.as_bytes()))
        .body(Body::from(body))
        .unwrap();
    let start = Instant::now();
    let answer = router.clone().oneshot(request).await.unwrap();
    let took = start.elapsed();
    assert_eq!(answer.status(), expected);
    took
}

fn body(number: u32) -> String {
    json!({
        "ref": "refs/heads/main",
        "before": "0".repeat(40),
        "after": format!("{number:040x}"),
        "deleted": false,
        "head_commit": {"id": format!("{number:040x}"), "timestamp": "2026-05-04T09:30:00Z"},
        "repository": {"full_name": "acme/app", "pushed_at": 1_777_879_801},
        "pusher": {"name": "ada"},
    })
    .to_string()
}

/// Prints a row; its median.
fn row(what: &str, mut times: Vec<Duration>, base: Option<Duration>) -> Duration {
    times.sort();
    let median = times[times.len() / 2];
    let late = times[times.len() * 99 / 100];
    let show = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1000.0);
    let ratio = base.map_or("1.00".to_owned(), |base| {
        format!("{:.2}", median.as_secs_f64() / base.as_secs_f64())
    });
    println!("{what:<36} {:>9} {:>9} {ratio:>9}", show(median), show(late));
    median
}
