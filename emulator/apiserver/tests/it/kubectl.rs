//! A session with the kubectl of this machine. What it prints differs between its versions, so the
//! checks are on what all of them print.

use std::path::Path;
use std::process::Output;

use apiserver::kubelet::{self, Kubelet, Runtime, Simulate, SimulateOptions};
use apiserver::logs::Logs;
use apiserver::streams::Streams;
use apiserver::{Options, Server};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

struct Session {
    folder: tempfile::TempDir,
    stop: CancellationToken,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Session {
    async fn start(simulate: bool) -> Option<Session> {
        if Command::new("kubectl").arg("version").arg("--client").output().await.is_err() {
            skipped("there is no kubectl on PATH");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder can be made");
        let logs = Logs::new(folder.path().join("logs"));
        let options = Options { logs: Some(logs.clone()), ..Options::default() };
        let server = Server::new(options).expect("a server in memory starts");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let url = format!("https://{}", listener.local_addr().expect("it is bound"));
        std::fs::write(folder.path().join("kubeconfig"), server.kubeconfig("test", &url))
            .expect("a file can be written");
        let stop = CancellationToken::new();
        let node = kubelet::Options {
            node_name: "simulated".to_owned(),
            root: folder.path().join("pods"),
            logs,
            streams: Streams::default(),
            runtime: Runtime::Simulate(Simulate::new(SimulateOptions::default())),
            allow_host_paths: false,
            back_off: kubelet::BACK_OFF,
        };
        if simulate {
            tokio::spawn(Kubelet::new(server.client(), node).run(stop.clone()));
        }
        let stopped = stop.clone();
        tokio::spawn(async move { server.serve(listener, stopped.cancelled_owned()).await });
        Some(Session { folder, stop })
    }

    async fn output(&self, arguments: &str) -> Output {
        Command::new("kubectl")
            .args(arguments.split(' '))
            .current_dir(self.folder.path())
            .env("KUBECONFIG", self.folder.path().join("kubeconfig"))
            .env("HOME", self.folder.path())
            .kill_on_drop(true)
            .output()
            .await
            .expect("kubectl runs")
    }

    /// The minor version of this kubectl.
    async fn minor(&self) -> u32 {
        let text = self.run("version --client -o json").await;
        let version: serde_json::Value = serde_json::from_str(&text).expect("it prints JSON");
        let minor = version["clientVersion"]["minor"].as_str().unwrap_or_default();
        minor.trim_end_matches('+').parse().unwrap_or_default()
    }

    /// Runs a command that must succeed, and gives what it printed.
    async fn run(&self, arguments: &str) -> String {
        let output = self.output(arguments).await;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {arguments}: {text}{errors}");
        text
    }

    /// Runs a command that must fail, and gives what it complained.
    async fn fail(&self, arguments: &str) -> String {
        let output = self.output(arguments).await;
        assert!(!output.status.success(), "kubectl {arguments} must fail");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(Path::new(self.folder.path()).join(name), text)
            .expect("a file can be written");
    }
}

#[expect(clippy::print_stdout, reason = "a test that is skipped says why")]
fn skipped(why: &str) {
    println!("skipped: {why}");
}

fn has(text: &str, part: &str) {
    assert!(text.contains(part), "{part:?} is not in {text:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_creates_what_it_sends_as_protobuf() {
    let Some(session) = Session::start(false).await else { return };
    session.run("create namespace blue").await;
    session.run("create secret generic token --from-literal=a=1 -n blue").await;
    let secret = session.run("get secret token -n blue -o jsonpath={.data.a}").await;
    assert_eq!(secret, "MQ==");
    session.run("create configmap settings --from-literal=k=v -n blue").await;
    session.run("create serviceaccount bot -n blue").await;
    session.run("create job once --image=busybox:1.36 -n blue -- echo hi").await;
    let image = "get job once -n blue -o jsonpath={.spec.template.spec.containers[0].image}";
    assert_eq!(session.run(image).await, "busybox:1.36");
    session.run("create role reader --verb=get,list --resource=pods -n blue").await;
    session.run("create rolebinding reads --role=reader --serviceaccount=blue:bot -n blue").await;
    let exists = session.fail("create namespace blue").await;
    has(&exists, "AlreadyExists");
    session.run("delete namespace blue").await;
    has(&session.fail("get namespace blue").await, "NotFound");
}

const MANIFEST: &str = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, labels: {part: one}}
data: {color: red}
---
apiVersion: v1
kind: Pod
metadata: {name: main}
spec: {containers: [{name: main, image: 'busybox:1', env: [{name: A, value: '1'}]}]}
";

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_applies_on_either_side_and_deletes() {
    let Some(session) = Session::start(false).await else { return };
    session.write("all.yaml", MANIFEST);
    has(&session.run("apply -f all.yaml").await, "pod/main created");
    has(&session.run("apply -f all.yaml").await, "pod/main unchanged");
    session.write("all.yaml", &MANIFEST.replace("busybox:1", "busybox:2").replace("red", "blue"));
    has(&session.run("apply -f all.yaml").await, "configmap/settings configured");
    let image = session.run("get pod main -o jsonpath={.spec.containers[0].image}").await;
    assert_eq!(image, "busybox:2");
    session.run("apply --server-side --force-conflicts -f all.yaml").await;
    let table = session.run("get pods -o wide").await;
    has(&table, "NOMINATED NODE");
    has(&table, "Pending");
    session.run("label pod main tier=front").await;
    assert_eq!(session.run("get pods -l tier=front -o name").await.trim(), "pod/main");
    session.run("annotate pod main note=hi").await;
    has(&session.run("describe pod main").await, "tier=front");
    if session.minor().await >= 23 {
        session.run("wait --for=jsonpath={.status.phase}=Pending pod/main --timeout=5s").await;
    }
    has(&session.run("auth can-i list pods").await, "yes");
    has(&session.run("api-resources -o name").await, "persistentvolumeclaims");
    has(&session.run("explain pod.spec.containers.image").await, "image");
    has(&session.run("delete -f all.yaml").await, "\"main\" deleted");
    has(&session.fail("get pod main").await, "pods \"main\" not found");
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_runs_a_pod_and_reads_its_log() {
    let Some(session) = Session::start(true).await else { return };
    session.run("run main --image=busybox:1 --restart=Never -- echo hi").await;
    if session.minor().await >= 23 {
        let done = "wait --for=jsonpath={.status.phase}=Succeeded pod/main --timeout=20s";
        session.run(done).await;
        has(&session.run("logs main --tail=5").await, "simulated");
        has(&session.run("get pods").await, "Completed");
        has(&session.run("get events").await, "Scheduled");
        has(&session.run("describe pod main").await, "Successfully assigned default/main");
    }
    has(&session.run("get nodes").await, "Ready");
    has(&session.fail("logs main -c other").await, "container other is not valid for pod main");
    session.run("delete pod main").await;
    has(&session.fail("get pod main").await, "NotFound");
}
