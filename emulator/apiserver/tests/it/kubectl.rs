//! Sessions with the kubectl of this machine, written down as they look in a terminal.
//!
//! Each file `kubectl/<topic>.txt` is one session with a server of its own: a `$` line is given to
//! the shell (`>` continues it), what is indented below it is the output, `[1]` an exit status.
//! `UPDATE_EXPECT=1` writes the files anew. They were written with the version in [`MINOR`]; with
//! another one the outputs that agree are counted, and those that do not are shown.

pub(crate) mod mask;
mod transcript;

use std::path::{Path, PathBuf};
use std::time::Duration;

use apiserver::kubelet::{self, Kubelet, Runtime, Simulate, SimulateOptions, SimulateRule as Rule};
use apiserver::logs::Logs;
use apiserver::streams::Streams;
use apiserver::{Options, Server};
use expect_test::expect_file;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use transcript::Outcome;

/// The minor version of the kubectl that the outputs are from.
const MINOR: u32 = 32;

/// No command takes longer, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder to call clients in, and a server on a socket that ends with it.
pub(crate) struct Folder {
    folder: tempfile::TempDir,
    url: String,
    stop: CancellationToken,
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Folder {
    /// Serves on a socket, and writes a kubeconfig for it.
    pub(crate) async fn serving(server: &Server) -> Folder {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let url = format!("https://{address}");
        std::fs::create_dir_all(folder.path().join("work")).expect("a folder can be made");
        std::fs::write(folder.path().join("kubeconfig"), server.kubeconfig("test", &url))
            .expect("a file can be written");
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let server = server.clone();
        tokio::spawn(async move { server.serve(listener, stopped).await });
        Folder { folder, url, stop }
    }

    /// Where the kubeconfig lies.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A command in the folder, with nothing but its settings.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.folder.path().join("work"))
            .env("KUBECONFIG", self.folder.path().join("kubeconfig"))
            .env("HOME", self.folder.path())
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .kill_on_drop(true);
        command
    }

    /// A text without the folder's path, and with another address of the server.
    pub(crate) fn anonymous(&self, text: &str, server: &str) -> String {
        let path = self.folder.path().display().to_string();
        let address = self.url.trim_start_matches("https://");
        text.replace(&path, "<folder>").replace(&self.url, server).replace(address, "<address>")
    }
}

/// A folder, and perhaps a node.
pub(crate) struct Session {
    pub(crate) server: Server,
    pub(crate) folder: Folder,
    /// What the node has on disk.
    _node: Option<tempfile::TempDir>,
    stop: CancellationToken,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What the images of the sessions do: `busybox` ends well at once.
fn images() -> SimulateOptions {
    let rule = |image: &str| Rule { image: Some(image.into()), ..Rule::default() };
    let lines = |lines: &[&str]| lines.iter().map(|&line| line.to_owned()).collect();
    SimulateOptions {
        rules: vec![
            Rule { never_ends: true, log: lines(&["listening"]), ..rule("server:*") },
            Rule { exit_code: 3, log: lines(&["it is broken"]), ..rule("broken:*") },
            Rule {
                duration: Duration::from_millis(300),
                log: lines(&["one", "two", "three"]),
                ..rule("counter:*")
            },
        ],
    }
}

impl Session {
    /// A session, with a node whose pods are simulated if `node` says so.
    pub(crate) async fn start(node: bool) -> Session {
        let root = tempfile::tempdir().expect("a folder can be made");
        let logs = Logs::new(root.path().join("logs"));
        let options = Options { logs: Some(logs.clone()), schedule: node, ..Options::default() };
        let server = Server::new(options).expect("a server in memory starts");
        let folder = Folder::serving(&server).await;
        let stop = CancellationToken::new();
        let node = node.then(|| {
            let options = kubelet::Options {
                node_name: "simulated".to_owned(),
                root: root.path().join("pods"),
                logs,
                streams: Streams::default(),
                runtime: Runtime::Simulate(Simulate::new(images())),
                allow_host_paths: false,
                back_off: Duration::from_millis(100),
            };
            tokio::spawn(Kubelet::new(server.client(), options).run(stop.clone()));
            root
        });
        Session { server, folder, _node: node, stop }
    }

    /// Runs a command line; what it printed, both ways, and its exit status.
    async fn run(&self, line: &str) -> Outcome {
        let line = format!("{{ {line}\n}} 2>&1");
        let running = self.folder.command("sh").arg("-c").arg(&line).output();
        let output = tokio::time::timeout(PATIENCE, running).await;
        let output = output.unwrap_or_else(|_| panic!("this does not end: {line}"));
        let output = output.expect("there is a shell");
        let text = String::from_utf8_lossy(&output.stdout);
        let text = mask::mask(&self.folder.anonymous(&text, "<server>"));
        Outcome { text, status: output.status.code() }
    }
}

/// The minor version of the kubectl of this machine.
pub(crate) async fn minor() -> Option<u32> {
    let output = Command::new("kubectl").args(["version", "--client", "-o", "json"]).output();
    let output = output.await.ok()?;
    let version: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    version["clientVersion"]["minor"].as_str()?.trim_end_matches('+').parse().ok()
}

fn path(topic: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/kubectl/{topic}.txt"))
}

/// Plays the session of a topic.
#[expect(clippy::print_stdout, reason = "it says what is skipped, and how versions differ")]
async fn check(topic: &str, node: bool) {
    let Some(minor) = minor().await else {
        println!("skipped: there is no kubectl on PATH");
        return;
    };
    let session = Session::start(node).await;
    let text = std::fs::read_to_string(path(topic)).expect("the session is written down");
    let steps = transcript::parse(&text);
    let mut actual = String::new();
    let mut agreed = 0;
    for step in &steps {
        let outcome = session.run(&step.command()).await;
        let [mut now, mut then] = [String::new(), String::new()];
        transcript::write(&mut now, step, &outcome);
        transcript::write(&mut then, step, &step.outcome());
        actual.push_str(&now);
        if now == then {
            agreed += 1;
        } else if minor != MINOR {
            println!("{topic}: {now}instead of\n{then}");
        }
    }
    if minor == MINOR {
        expect_file![path(topic)].assert_eq(&actual);
    } else {
        println!("{topic}: {agreed} of {} outputs of version 1.{minor} agree", steps.len());
        assert!(agreed * 3 > steps.len(), "versions do not differ so much");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_finds_out_what_there_is() {
    check("discovery", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_explains() {
    check("explain", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_creates_every_kind() {
    check("create", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_applies_on_either_side() {
    check("apply", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_changes_objects() {
    check("change", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_gets_in_every_form() {
    check("get", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_describes() {
    check("describe", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_reads_logs() {
    check("logs", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_waits() {
    check("wait", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_deletes() {
    check("delete", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_looks_after_nodes() {
    check("nodes", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_rolls_out() {
    check("rollout", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_shows_workloads() {
    check("workloads", false).await;
}
