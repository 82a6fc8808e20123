//! What the program takes as a process: exec to its first answer on each host, and its memory:
//! `cargo bench -p functions --bench start -- [--program FILE] [--times N]`.
//!
//! The program is this profile's, or the one that is named, such as a static one of the release
//! profile. A program of Node that only says hello is measured beside, if there is Node. The cluster
//! is the embedded one, in this process. On Lambda the time has the player's own part in it.

#![expect(clippy::print_stdout, reason = "its output is its purpose")]
#![expect(clippy::unwrap_used, reason = "a measurement that cannot be made has failed")]

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use apiserver::Server;
use hosts::lambda::{Front, Lambda, Options};
use runtime::cluster::Cluster;
use runtime::project::values;
use runtime::signature;

const BODY: &str =
    r#"{"ref": "refs/heads/main", "after": "1", "repository": {"full_name": "acme/app"}}"#;

/// How many requests are sent before the memory is looked at, and on how many connections at once.
const LOAD: (usize, usize) = (20_000, 16);

const NODE: &str = "require('http').createServer((_, answer) => answer.end('OK')).listen(process.env.PORT, '127.0.0.1')";

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let after = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let program = after("--program").unwrap_or_else(|| env!("CARGO_BIN_EXE_functions").to_owned());
    let times = after("--times").map_or(50, |number| number.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = cluster(folder.path()).await;
    let size = std::fs::metadata(&program).unwrap().len();
    println!("{program}: {:.1} MB", size as f64 / 1e6);
    println!("{:<52} {:>9} {:>9} {:>9}", "exec to the first answer", "least", "median", "most");

    let live = request("GET /livez", "");
    let forged = request("POST /events/github", "another secret");
    let pushed = request("POST /events/github", "a secret");
    let ours = || {
        let mut command = Command::new(&program);
        command.env_clear().env("KUBECONFIG", &kubeconfig).env("SCRIPT_FETCH_BUDGET", "0");
        command
    };
    let plain = |port: u16| {
        let mut command = ours();
        command.env("PORT", port.to_string()).env("HOST", "127.0.0.1");
        command
    };
    let azure = |port: u16| {
        let mut command = ours();
        command.env("FUNCTIONS_CUSTOMHANDLER_PORT", port.to_string());
        command
    };
    let node = |port: u16| {
        let mut command = Command::new("node");
        command.args(["-e", NODE]).env("PORT", port.to_string());
        command
    };
    let root = request("GET /", "");
    for (what, command, request, status) in [
        ("plain HTTP: GET /livez", &plain as &dyn Fn(u16) -> Command, &live, 200),
        ("plain HTTP: a forged push, refused", &plain, &forged, 403),
        ("plain HTTP: a push, with its build and first pod", &plain, &pushed, 200),
        ("Azure Functions: GET /, by which it is ready", &azure, &root, 200),
        ("for comparison, Node: GET /", &node, &root, 200),
    ] {
        if Command::new(command(0).get_program()).arg("--version").output().is_err() {
            println!("{what}: there is none here");
            continue;
        }
        let times: Vec<Duration> = (0..times)
            .map(|_| {
                let mut running = Running::start(command, request, status);
                running.child.kill().unwrap();
                running.child.wait().unwrap();
                running.took
            })
            .collect();
        row(what, times);
    }
    on_lambda(&program, &kubeconfig, times).await;
    memory(Running::start(&plain, &live, 200), &forged);
}

/// The embedded cluster with a project in it; the kubeconfig that leads there.
async fn cluster(folder: &Path) -> OsString {
    let server = Server::new(apiserver::Options::default()).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let kubeconfig = folder.join("kubeconfig");
    std::fs::write(&kubeconfig, server.kubeconfig("bench", &url)).unwrap();
    let cluster = Cluster::new(server.client(), "default");
    cluster.create_service_account("default", "brigade-worker").await.unwrap();
    let yaml = "project: acme/app\nsharedSecret: a secret\ndefaultScript: |\n  \
                const { events, Job } = require('brigadier');\n  \
                events.on('push', () => { new Job('one', 'alpine:3.20', ['true']).run(); });\n";
    let (project, _warnings) = values::read(yaml, "default").unwrap();
    cluster.put_project(&project).await.unwrap();
    tokio::spawn(async move { server.serve_plain(listener, std::future::pending()).await });
    kubeconfig.into_os_string()
}

/// A request as it goes over the wire; one with a secret is a push that is signed with it.
fn request(line: &str, secret: &str) -> String {
    let signed = match secret {
        "" => String::new(),
        secret => format!(
            "content-type: application/json\r\nx-github-event: push\r\nx-hub-signature-256: {}\r\n",
            signature::sign_github(secret, BODY.as_bytes())
        ),
    };
    let body = if secret.is_empty() { "" } else { BODY };
    format!(
        "{line} HTTP/1.1\r\nhost: localhost\r\n{signed}content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A program that has answered once.
struct Running {
    child: Child,
    address: SocketAddr,
    took: Duration,
}

impl Running {
    /// Starts a program on a free port, and asks it until it answers.
    fn start(command: &dyn Fn(u16) -> Command, request: &str, status: u16) -> Running {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let mut command = command(address.port());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let begun = Instant::now();
        let mut child = command.spawn().unwrap();
        loop {
            if let Some(got) = ask(address, request) {
                let took = begun.elapsed();
                assert_eq!(got, status, "{request}");
                return Running { child, address, took };
            }
            assert!(child.try_wait().unwrap().is_none(), "the program has ended");
            std::thread::yield_now();
        }
    }
}

/// The status of an answer; nothing if nobody listens.
fn ask(address: SocketAddr, request: &str) -> Option<u16> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.write_all(request.as_bytes()).unwrap();
    read_status(&mut stream)
}

/// The status of an answer whose first part has its head.
fn read_status(stream: &mut TcpStream) -> Option<u16> {
    let mut answer = [0; 16 * 1024];
    let read = stream.read(&mut answer).unwrap();
    let head = String::from_utf8_lossy(&answer[..read]).into_owned();
    head.split(' ').nth(1)?.parse().ok()
}

fn row(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let show = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1000.0);
    let (least, most) = (times[0], times[times.len() - 1]);
    println!("{what:<52} {:>9} {:>9} {:>9}", show(least), show(times[times.len() / 2]), show(most));
}

/// Behind a function URL: the first request starts the program, the second meets it warm.
async fn on_lambda(program: &str, kubeconfig: &OsString, times: usize) {
    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    let request = request("GET /livez", "");
    for _ in 0..times {
        let mut options = Options::of(program, Front::FunctionUrl);
        let kubeconfig = kubeconfig.clone().into_string().unwrap();
        options.environment = vec![("KUBECONFIG".to_owned(), kubeconfig)];
        options.log = Some(tokio::sync::mpsc::unbounded_channel().0);
        let lambda = Lambda::start(options).await.unwrap();
        for times in [&mut cold, &mut warm] {
            let (address, request) = (lambda.address(), request.clone());
            let begun = Instant::now();
            let asked = tokio::task::spawn_blocking(move || ask(address, &request)).await;
            times.push(begun.elapsed());
            assert_eq!(asked.unwrap(), Some(200));
        }
        lambda.stop().await;
    }
    row("AWS Lambda: GET /livez, cold", cold);
    row("AWS Lambda: GET /livez, warm", warm);
}

/// The memory of the program: idle, and under load.
fn memory(mut running: Running, forged: &str) {
    println!("{:<52} {:>9} {:>9}", "memory", "resident", "its own");
    let id = running.child.id();
    let show = |what: &str, resident: &str| {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let megabytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse().unwrap();
            format!("{:.1} MB", kilobytes * 1024.0 / 1e6)
        };
        println!("{what:<52} {:>9} {:>9}", megabytes(resident), megabytes("RssAnon:"));
    };
    show("idle, after its first answer", "VmRSS:");
    let (requests, connections) = LOAD;
    std::thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(|| {
                let mut stream = TcpStream::connect(running.address).unwrap();
                stream.set_nodelay(true).unwrap();
                for _ in 0..requests / connections {
                    stream.write_all(forged.as_bytes()).unwrap();
                    assert_eq!(read_status(&mut stream), Some(403));
                }
            });
        }
    });
    show("the most, over 20 000 forged pushes, 16 at once", "VmHWM:");
    show("after them", "VmRSS:");
    running.child.kill().unwrap();
    running.child.wait().unwrap();
}
