//! How many deliveries one core takes, and what slow clients do to the others:
//! `cargo bench -p functions --bench load -- [--requests N]`.
//!
//! The functions are served on loopback by a process of their own, on one thread, with a cluster in
//! its memory; this process sends. So what is measured is all of a delivery but the network and the
//! API server. A server that only says hello is the floor. The memory is the server's, which holds
//! the cluster, too. If the program `webhook` (github.com/adnanh/webhook) is found, it is asked the
//! same: it proves a delivery and runs a program, here one that does nothing.

#![expect(clippy::print_stdout, reason = "its output is its purpose")]
#![expect(clippy::unwrap_used, reason = "a measurement that cannot be made has failed")]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use apiserver::Server;
use axum::Router;
use axum::routing::post;
use functions::{App, Function, Workers, router};
use pipeline::script::Repository;
use runtime::cluster::Cluster;
use runtime::project::values;
use runtime::settings::{Inline, Settings};
use runtime::{serve, signature};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const SECRET: &str = "a secret";

/// How many connections send at once.
const CONNECTIONS: usize = 32;

/// How many connections do nothing.
const IDLE: usize = 10_000;

/// How many requests are half sent.
const HALF: usize = 2_000;

/// How many large bodies are half sent: as many as there is room for, and more.
const LARGE: usize = 16;

const SCRIPT: &str = r#"const { events, Job } = require("brigadier");
events.on("push", (e, project) => {
  new Job("one", "alpine:3.20", ["echo hello"]).run();
});"#;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let after = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match after("--serve") {
        Some(what) => runtime.block_on(be_served(&what)),
        None => {
            let requests = after("--requests").map_or(20_000, |number| number.parse().unwrap());
            runtime.block_on(measure(requests));
        }
    }
}

/// The server's side: prints its address, and serves until it is ended.
async fn be_served(what: &str) {
    let router = match what {
        "hello" => Router::new().route("/events/github", post(async || "hello")),
        inline => functions(inline).await,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    serve::http(router, listener, std::future::pending()).await;
}

async fn functions(inline: &str) -> Router {
    let server = Server::new(apiserver::Options::default()).unwrap();
    let cluster = Cluster::new(server.client(), "default");
    cluster.create_service_account("default", "brigade-worker").await.unwrap();
    let yaml = format!("project: acme/app\nsharedSecret: {SECRET}\n");
    let (mut project, _) = values::read(&yaml, "default").unwrap();
    project.default_script = SCRIPT.to_owned();
    cluster.put_project(&project).await.unwrap();
    let inline = if inline == "scripts" { Inline::Auto } else { Inline::Never };
    let app = App {
        cluster,
        settings: Arc::new(Settings { inline, ..Settings::default() }),
        repository: Arc::new(Repository::Ignore),
        workers: Workers::Pods,
    };
    router(app, Function::ALL)
}

/// A server in a process of its own.
struct Served {
    child: Child,
    address: SocketAddr,
}

impl Served {
    fn start(what: &str) -> Served {
        let program = std::env::current_exe().unwrap();
        let mut child =
            Command::new(program).args(["--serve", what]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Served { child, address: line.trim().parse().unwrap() }
    }

    /// The program `webhook`, if it is there, with the same proof at the same path.
    async fn webhook() -> Option<Served> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let signed = json!({"match": {
            "type": "payload-hmac-sha256", "secret": SECRET,
            "parameter": {"source": "header", "name": "X-Hub-Signature-256"},
        }});
        let hooks = json!([{
            "id": "github", "execute-command": "/bin/true", "trigger-rule": signed,
            "trigger-rule-mismatch-http-response-code": 403,
        }]);
        let file = std::env::temp_dir().join(format!("hooks-{}.json", std::process::id()));
        std::fs::write(&file, hooks.to_string()).unwrap();
        let mut command = Command::new("webhook");
        command.args(["-ip", "127.0.0.1", "-urlprefix", "events"]);
        command.arg("-port").arg(address.port().to_string()).arg("-hooks").arg(&file);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        let served = Served { child, address };
        while TcpStream::connect(address).await.is_err() {
            tokio::task::yield_now().await;
        }
        std::fs::remove_file(&file).unwrap();
        Some(served)
    }

    /// What it holds in memory, in MiB.
    fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    }

    /// What it has computed, and the programs that it has run.
    fn computed(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: u64 = fields[11..15].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 10)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

async fn measure(requests: u64) {
    println!(
        "{:<38} {:>9} {:>11} {:>9} {:>9} {:>13}",
        "", "requests", "per core s", "p50", "p99", "memory"
    );
    let hello = Served::start("hello");
    row(&hello, "hello, and nothing else", requests, 200, |_| wire(SECRET, 0)).await;
    drop(hello);
    if let Some(webhook) = Served::webhook().await {
        row(&webhook, "webhook: a wrong signature", requests, 403, |_| wire("wrong", 0)).await;
        let run = (requests / 10).min(20_000);
        row(&webhook, "webhook: pushes, each with a program", run, 200, |n| wire(SECRET, n)).await;
    }
    let served = Served::start("workers");
    row(&served, "a push with a wrong signature", requests, 403, |_| wire("wrong", 0)).await;
    row(&served, "the same push again and again", requests, 200, |_| wire(SECRET, 0)).await;
    let made = (requests / 10).min(20_000);
    row(&served, "pushes, each with a worker pod", made, 200, |number| wire(SECRET, number)).await;
    drop(served);
    let served = Served::start("scripts");
    let made = made.min(5_000);
    row(&served, "pushes, each with its script", made, 200, |number| wire(SECRET, number)).await;
    drop(served);
    let served = Served::start("workers");
    crowds(&served, requests / 4).await;
}

/// What those notice who send while others are slow.
async fn crowds(served: &Served, requests: u64) {
    let whole = wire(SECRET, 0);
    let head = whole.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
    let mut crowd = Vec::new();
    for _ in 0..IDLE {
        crowd.extend(TcpStream::connect(served.address).await);
    }
    let what = format!("beside {} idle connections", crowd.len());
    row(served, &what, requests, 200, |_| whole.clone()).await;
    crowd.clear();
    for number in 0..HALF {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        let end = if number % 2 == 0 { head / 2 } else { head };
        stream.write_all(&whole[..end]).await.unwrap();
        crowd.push(stream);
    }
    let what = format!("beside {HALF} half requests");
    row(served, &what, requests, 200, |_| whole.clone()).await;
    crowd.clear();
    let large = sized(&body(1), 25 * 1024 * 1024);
    for _ in 0..LARGE {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        // One for which there is no room is answered before all of it was sent.
        if stream.write_all(&large[..large.len() - 1]).await.is_ok() {
            crowd.push(stream);
        }
    }
    let what = format!("beside {} bodies of 25 MiB", crowd.len());
    row(served, &what, requests, 200, |_| whole.clone()).await;
}

/// Sends so many requests on some connections, and prints what came of it.
async fn row(
    served: &Served,
    what: &str,
    requests: u64,
    expected: u16,
    request: impl Fn(u64) -> Vec<u8>,
) {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    let request = &request;
    let before = (served.memory(), served.computed());
    let sent = AtomicU64::new(0);
    let connections = (0..CONNECTIONS).map(|_| async {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut times = Vec::new();
        let mut answer = vec![0; 64 * 1024];
        while sent.fetch_add(1, Ordering::Relaxed) < requests {
            let bytes = request(NUMBER.fetch_add(1, Ordering::Relaxed));
            let begun = Instant::now();
            stream.write_all(&bytes).await.unwrap();
            let status = status(&mut stream, &mut answer).await;
            times.push(begun.elapsed());
            assert_eq!(status, expected, "{what}");
        }
        times
    });
    let mut times = futures::future::join_all(connections).await.concat();
    let computed = served.computed() - before.1;
    times.sort();
    let show = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1000.0);
    println!(
        "{what:<38} {:>9} {:>11.0} {:>9} {:>9} {:>5}..{} MiB",
        times.len(),
        times.len() as f64 / computed.as_secs_f64(),
        show(times[times.len() / 2]),
        show(times[times.len() * 99 / 100]),
        before.0,
        served.memory(),
    );
}

/// Reads an answer to its end; its status.
async fn status(stream: &mut TcpStream, answer: &mut [u8]) -> u16 {
    let mut filled = 0;
    loop {
        let read = stream.read(&mut answer[filled..]).await.unwrap();
        assert!(read > 0, "the server has closed the connection");
        filled += read;
        let text = &answer[..filled];
        let Some(end) = text.windows(4).position(|end| end == b"\r\n\r\n") else { continue };
        let head = std::str::from_utf8(&text[..end]).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if filled >= end + 4 + length.parse::<usize>().unwrap() {
            return head.split(' ').nth(1).unwrap().parse().unwrap();
        }
    }
}

fn body(number: u64) -> String {
    json!({
        "ref": "refs/heads/main",
        "before": "0".repeat(40),
        "after": format!("{number:040x}"),
        "deleted": false,
        "head_commit": {"id": format!("{number:040x}"), "timestamp": "2026-05-04T09:30:00Z"},
        "commits": [{"message": "what such a body holds besides ".repeat(200)}],
        "repository": {"full_name": "acme/app", "pushed_at": 1_777_879_801},
        "pusher": {"name": "ada"},
    })
    .to_string()
}

/// A push as it goes over the wire, signed with this secret.
fn wire(secret: &str, number: u64) -> Vec<u8> {
    signed(secret, body(number).as_bytes())
}

/// A push whose body is filled up to this size.
fn sized(body: &str, size: usize) -> Vec<u8> {
    let mut body = body.as_bytes().to_vec();
    body.resize(size, b' ');
    signed(SECRET, &body)
}

fn signed(secret: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /events/github HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         x-github-event: push\r\nx-hub-signature-256: {}\r\ncontent-length: {}\r\n\r\n",
        signature::sign_github(secret, body),
        body.len()
    );
    [head.as_bytes(), body].concat()
}
