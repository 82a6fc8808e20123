//! How fast the server answers: `taskset -c 0 cargo bench -p apiserver`.
//!
//! Each verb is measured in this process, by the service itself, and over TLS, by a client with a
//! kubeconfig. Server and client share one thread, so what is measured is both. Times are those
//! that the thread had a processor, so that a busy machine does not count. How long all watchers
//! wait, and how long a server takes to be ready, are by the clock.

#![expect(clippy::print_stdout, reason = "its output is its purpose")]
#![expect(clippy::unwrap_used, reason = "a measurement that cannot be made has failed")]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use apiserver::{Options, Server};
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{Method, Request};
use http_body_util::BodyExt;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::json;
use tokio::net::TcpListener;
use tower::ServiceExt;

/// So many requests are under way at a time.
const CLIENTS: usize = 16;
const WATCHERS: usize = 100;
const PODS: &str = "/api/v1/namespaces/default/pods";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let only = std::env::args().nth(1).filter(|argument| !argument.starts_with('-'));
    println!("{:<28} {:>12} {:>12} {:>8}", "", "in process", "over TLS", "ratio");
    for (what, run) in VERBS {
        if only.as_ref().is_some_and(|only| !what.contains(only.as_str())) {
            continue;
        }
        let inside = measure(&Door::inside(), *run).await;
        let outside = measure(&Door::outside().await, *run).await;
        row(what, inside, outside);
    }
    if only.is_some() {
        return;
    }
    fan_out().await;
    ready();
    memory().await;
}

/// A verb: what is there before, how many requests, and each of them.
type Verb = (u32, u32, fn(u32) -> Call);

const VERBS: &[(&str, Verb)] = &[
    ("create a config map", (0, 5000, |number| Call(Method::POST, MAPS.into(), JSON, map(number)))),
    ("create a pod", (0, 3000, |number| Call(Method::POST, PODS.into(), JSON, pod(number)))),
    (
        "get a pod",
        (1000, 10_000, |number| {
            Call(Method::GET, format!("{PODS}/pod-{}", number % 1000), "", String::new())
        }),
    ),
    ("list 1000 pods", (1000, 100, |_| Call(Method::GET, PODS.into(), "", String::new()))),
    (
        "list 1 of 1000 by label",
        (1000, 200, |number| {
            let path = format!("{PODS}?labelSelector=number%3D{}", number % 1000);
            Call(Method::GET, path, "", String::new())
        }),
    ),
    (
        "merge patch a pod",
        (1000, 3000, |number| {
            let body = json!({"metadata": {"labels": {"round": format!("{number}")}}});
            let path = format!("{PODS}/pod-{}", number % 1000);
            Call(Method::PATCH, path, MERGE, body.to_string())
        }),
    ),
    (
        "strategic patch a status",
        (1000, 3000, |number| {
            let condition =
                json!({"type": "Ready", "status": "True", "reason": format!("r{number}")});
            let body = json!({"status": {"phase": "Running", "conditions": [condition]}});
            let path = format!("{PODS}/pod-{}/status", number % 1000);
            Call(Method::PATCH, path, STRATEGIC, body.to_string())
        }),
    ),
    (
        "apply a config map",
        (0, 3000, |number| {
            let body = json!({
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "data": {"color": "red", "round": format!("{}", number / 500)},
            });
            let path = format!("{MAPS}/map-{}?fieldManager=bench&force=true", number % 500);
            Call(Method::PATCH, path, APPLY, body.to_string())
        }),
    ),
];

/// A request: its method, path, type of body and body.
struct Call(Method, String, &'static str, String);

/// A way to a server.
enum Door {
    Inside(Router),
    Outside(kube::Client),
}

impl Door {
    fn inside() -> Door {
        Door::Inside(Server::new(options()).unwrap().router())
    }

    async fn outside() -> Door {
        let server = Server::new(options()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let config = Kubeconfig::from_yaml(&server.kubeconfig("bench", &url)).unwrap();
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(config, &options).await.unwrap();
        let client = kube::Client::try_from(config).unwrap();
        tokio::spawn(async move { server.serve(listener, std::future::pending()).await });
        Door::Outside(client)
    }

    /// Sends a request and reads the whole answer.
    async fn send(&self, Call(method, path, media, body): Call) -> Bytes {
        let mut request = Request::builder().method(method).uri(path).header("accept", JSON);
        if !media.is_empty() {
            request = request.header("content-type", media);
        }
        let (status, body) = match self {
            Door::Inside(router) => {
                let request = request.body(Body::from(body)).unwrap();
                let answer = router.clone().oneshot(request).await.unwrap();
                (answer.status(), answer.into_body().collect().await.unwrap().to_bytes())
            }
            Door::Outside(client) => {
                let request = request.body(kube::client::Body::from(body.into_bytes())).unwrap();
                let answer = client.send(request).await.unwrap();
                (answer.status(), answer.into_body().collect().await.unwrap().to_bytes())
            }
        };
        assert!(status.is_success(), "{status} {}", String::from_utf8_lossy(&body));
        body
    }

    async fn all(&self, count: u32, call: fn(u32) -> Call) {
        let sent = stream::iter(0..count).map(|number| self.send(call(number)));
        sent.buffer_unordered(CLIENTS).for_each(|_| std::future::ready(())).await;
    }
}

fn options() -> Options {
    Options { schedule: false, ..Options::default() }
}

/// The processor time of one request.
async fn measure(door: &Door, (before, count, call): Verb) -> Duration {
    door.all(before, |number| Call(Method::POST, PODS.into(), JSON, pod(number))).await;
    let start = processor();
    door.all(count, call).await;
    (processor() - start) / count
}

/// How long this thread has had a processor.
fn processor() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

fn row(what: &str, inside: Duration, outside: Duration) {
    let ratio = outside.as_secs_f64() / inside.as_secs_f64();
    println!("{what:<28} {:>12} {:>12} {ratio:>8.2}", rate(inside), rate(outside));
}

/// What takes a millisecond or more is shown as a time, anything else by the second.
fn rate(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds >= 0.001 => format!("{:.1} ms", seconds * 1000.0),
        seconds => format!("{:.0}/s", 1.0 / seconds),
    }
}

/// How long it takes until every watcher has seen a write.
async fn fan_out() {
    for door in [Door::inside(), Door::outside().await] {
        let mut watches = Vec::new();
        for _ in 0..WATCHERS {
            watches.push(watch(&door).await);
        }
        let (start, busy) = (Instant::now(), processor());
        let writes = 100;
        for number in 0..writes {
            door.send(Call(Method::POST, MAPS.into(), JSON, map(number))).await;
            for watch in &mut watches {
                watch.next().await.unwrap();
            }
        }
        let place = if matches!(door, Door::Inside(_)) { "in process" } else { "over TLS" };
        println!(
            "{:<28} {:.2} ms by the clock, {:.2} ms of a processor, {place}",
            format!("a write seen by {WATCHERS} watchers"),
            (start.elapsed() / writes).as_secs_f64() * 1000.0,
            ((processor() - busy) / writes).as_secs_f64() * 1000.0,
        );
    }
}

async fn watch(door: &Door) -> stream::BoxStream<'static, Bytes> {
    let request = Request::get(MAPS);
    let version = {
        let list = door.send(Call(Method::GET, MAPS.into(), "", String::new())).await;
        let list: serde_json::Value = serde_json::from_slice(&list).unwrap();
        list["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
    };
    let request = request.uri(format!("{MAPS}?watch=true&resourceVersion={version}"));
    match door {
        Door::Inside(router) => {
            let answer = router.clone().oneshot(request.body(Body::empty()).unwrap()).await;
            answer.unwrap().into_body().into_data_stream().map(Result::unwrap).boxed()
        }
        Door::Outside(client) => {
            let answer = client.send(request.body(kube::client::Body::empty()).unwrap()).await;
            answer.unwrap().into_body().into_data_stream().map(Result::unwrap).boxed()
        }
    }
}

/// From the start of the program to its word that it is ready.
fn ready() {
    let mut times: Vec<Duration> = (0..11).map(|_| start_once()).collect();
    times.sort();
    let median = times[times.len() / 2];
    println!("{:<28} {:.1} ms by the clock", "from start to ready", median.as_secs_f64() * 1000.0);
}

fn start_once() -> Duration {
    let folder = tempfile::tempdir().unwrap();
    let start = Instant::now();
    let mut server = Command::new(env!("CARGO_BIN_EXE_apiserver"))
        .arg("--kubeconfig")
        .arg(folder.path().join("kubeconfig"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let told = lines.map_while(Result::ok).any(|line| line.contains("ready"));
    let took = start.elapsed();
    assert!(told, "the server does not start");
    server.kill().unwrap();
    server.wait().unwrap();
    took
}

/// What 10 000 pods take, with the part of their history that is kept.
async fn memory() {
    let door = Door::inside();
    let before = resident();
    door.all(10_000, |number| Call(Method::POST, PODS.into(), JSON, pod(number))).await;
    let made = resident() - before;
    door.send(Call(Method::GET, PODS.into(), "", String::new())).await;
    let listed = resident() - before;
    println!("{:<28} {made} MB, {listed} MB once they were listed", "memory of 10 000 pods");
}

/// The memory of this process, in megabytes.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

fn map(number: u32) -> String {
    let metadata = json!({"name": format!("map-{number}")});
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"color": "red"}})
        .to_string()
}

fn pod(number: u32) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": format!("pod-{number}"),
            "labels": {"app": "bench", "number": format!("{number}")},
        },
        "spec": {
            "restartPolicy": "Never",
            "containers": [{
                "name": "main",
                "image": "busybox:1.36",
                "command": ["sh", "-c", "echo hi"],
                "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                "resources": {"limits": {"memory": "64Mi"}, "requests": {"cpu": "100m"}},
            }],
        },
    })
    .to_string()
}
