//! Into running pods: with kubectl, kube-rs, and by hand.

mod clients;
mod hostile;
mod kubectl;

use std::time::Duration;

use apiserver::kubelet::{
    self, Kubelet, Runtime, Sandbox, SandboxOptions, Simulate, SimulateOptions, SimulateRule,
};
use apiserver::logs::Logs;
use apiserver::streams::Streams;
use apiserver::{Options, Server};
use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(60);

/// A server with a node, reached over a socket.
struct World {
    folder: tempfile::TempDir,
    client: Client,
    address: String,
    stop: CancellationToken,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl World {
    /// With pods that really run, or `None` after saying why there are none.
    async fn sandboxed() -> Option<World> {
        match Sandbox::probe(&SandboxOptions::default()).await {
            Ok(()) => {
                let sandbox = Sandbox::new(SandboxOptions::default());
                Some(World::with(Runtime::Sandbox(sandbox), false).await)
            }
            Err(reason) => {
                skipped(&reason);
                None
            }
        }
    }

    /// With simulated pods that do not end, over plain HTTP.
    async fn simulated() -> World {
        let endless = SimulateRule { never_ends: true, ..SimulateRule::default() };
        let options = SimulateOptions { rules: vec![endless] };
        World::with(Runtime::Simulate(Simulate::new(options)), true).await
    }

    async fn with(runtime: Runtime, plain: bool) -> World {
        let folder = tempfile::tempdir().unwrap();
        let logs = Logs::new(folder.path().join("logs"));
        let streams = Streams::default();
        let options =
            Options { logs: Some(logs.clone()), streams: streams.clone(), ..Options::default() };
        let server = Server::new(options).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let url = format!("{}://{address}", if plain { "http" } else { "https" });
        let kubeconfig = folder.path().join("kubeconfig");
        std::fs::write(&kubeconfig, server.kubeconfig("test", &url)).unwrap();
        let stop = CancellationToken::new();
        let options = kubelet::Options {
            node_name: "node".to_owned(),
            root: folder.path().join("pods"),
            logs,
            streams,
            runtime,
            allow_host_paths: false,
            back_off: kubelet::BACK_OFF,
        };
        tokio::spawn(Kubelet::new(server.client(), options).run(stop.clone()));
        let stopped = stop.clone();
        tokio::spawn(async move {
            match plain {
                true => server.serve_plain(listener, stopped.cancelled_owned()).await,
                false => server.serve(listener, stopped.cancelled_owned()).await,
            }
        });
        let config = kube::config::Kubeconfig::read_from(&kubeconfig).unwrap();
        let options = kube::config::KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(config, &options).await.unwrap();
        let client = Client::try_from(config).unwrap();
        World { folder, client, address, stop }
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), "default")
    }

    /// Runs a pod, and waits until it runs.
    async fn run(&self, name: &str, containers: Value) {
        let pod = json!({
            "metadata": {"name": name},
            "spec": {
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 0,
                "containers": containers,
            },
        });
        let pod = serde_json::from_value(pod).unwrap();
        self.pods().create(&PostParams::default(), &pod).await.unwrap();
        let running = |pod: Option<&Pod>| {
            let phase = pod.and_then(|pod| pod.status.as_ref()?.phase.as_deref());
            phase == Some("Running")
        };
        let condition = await_condition(self.pods(), name, running);
        timeout(PATIENCE, condition).await.expect("it runs in time").unwrap();
    }

    /// Runs a pod whose only container runs a script.
    async fn script(&self, name: &str, script: &str) {
        self.run(name, json!([container(script)])).await;
    }

    fn kubectl(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command.args(arguments).current_dir(self.folder.path());
        command.env("KUBECONFIG", self.folder.path().join("kubeconfig"));
        command.env("HOME", self.folder.path()).kill_on_drop(true);
        command
    }
}

fn container(script: &str) -> Value {
    json!({"name": "main", "image": "alpine:3", "command": ["/bin/sh", "-c", script]})
}

fn skipped(why: &str) {
    println!("skipped: {why}");
}
