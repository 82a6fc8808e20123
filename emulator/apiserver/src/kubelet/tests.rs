//! The kubelet against the API server of this crate, without a socket.

mod pure;
mod sandboxed;
mod simulated;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::PathBuf;
use std::time::Duration;

use futures::TryStreamExt;
use k8s_openapi::api::core::v1::{ContainerState, Event, Pod};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Kubelet, Options, Runtime, Sandbox, SandboxOptions, Simulate, SimulateRule};
use crate::Server;
use crate::kubelet::SimulateOptions;
use crate::logs::{LogOptions, Logs};
use crate::streams::Streams;

const PATIENCE: Duration = Duration::from_secs(30);

/// An API server with one node.
struct Cluster {
    server: Server,
    client: Client,
    logs: Logs,
    folder: tempfile::TempDir,
    options: Options,
    kubelet: Option<(CancellationToken, JoinHandle<()>)>,
}

impl Cluster {
    async fn with(runtime: Runtime) -> Cluster {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::new(crate::Options::default()).unwrap();
        let client = server.client();
        let logs = Logs::new(folder.path().join("logs"));
        let options = Options {
            node_name: "node".to_owned(),
            root: folder.path().join("node"),
            logs: logs.clone(),
            streams: Streams::default(),
            runtime,
            allow_host_paths: false,
            back_off: Duration::from_millis(20),
        };
        let mut cluster = Cluster { server, client, logs, folder, options, kubelet: None };
        cluster.start();
        cluster
    }

    /// A cluster that really runs pods, or `None` after saying why there is none.
    async fn sandboxed() -> Option<Cluster> {
        match Sandbox::probe(&SandboxOptions::default()).await {
            Ok(()) => {
                let sandbox = Sandbox::new(SandboxOptions::default());
                Some(Cluster::with(Runtime::Sandbox(sandbox)).await)
            }
            Err(reason) => {
                println!("skipped: {reason}");
                None
            }
        }
    }

    async fn simulated(rules: Vec<SimulateRule>) -> Cluster {
        Cluster::with(Runtime::Simulate(Simulate::new(SimulateOptions { rules }))).await
    }

    fn start(&mut self) {
        let shutdown = CancellationToken::new();
        let kubelet = Kubelet::new(self.client.clone(), self.options.clone());
        self.kubelet = Some((shutdown.clone(), tokio::spawn(kubelet.run(shutdown))));
    }

    async fn stop(&mut self) {
        let (shutdown, task) = self.kubelet.take().unwrap();
        shutdown.cancel();
        timeout(PATIENCE, task).await.expect("the kubelet stops").unwrap();
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), "default")
    }

    async fn create<K>(&self, object: Value)
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + Debug
            + Serialize,
        K::DynamicType: Default,
    {
        let api = Api::<K>::namespaced(self.client.clone(), "default");
        let object: K = serde_json::from_value(object).unwrap();
        api.create(&PostParams::default(), &object).await.unwrap();
    }

    /// Creates a pod on the node.
    async fn run(&self, name: &str, mut spec: Value) {
        let defaults = json!({ "nodeName": "node", "restartPolicy": "Never" });
        for (key, value) in defaults.as_object().unwrap() {
            spec.as_object_mut().unwrap().entry(key).or_insert(value.clone());
        }
        self.create::<Pod>(json!({ "metadata": { "name": name }, "spec": spec })).await;
    }

    /// Creates a pod whose only container runs a script.
    async fn script(&self, name: &str, script: &str) {
        self.run(name, json!({ "containers": [container(script)] })).await;
    }

    /// Waits for a pod to be as wanted; nothing for a pod that is gone.
    async fn until(&self, name: &str, what: &str, wanted: impl Fn(&Pod) -> bool) -> Option<Pod> {
        let condition = |pod: Option<&Pod>| pod.is_none_or(&wanted);
        match timeout(PATIENCE, await_condition(self.pods(), name, condition)).await {
            Ok(result) => result.unwrap(),
            Err(_) => {
                let pod = self.pods().get_opt(name).await.unwrap();
                panic!("{name} never was {what}: {pod:#?}");
            }
        }
    }

    async fn until_phase(&self, name: &str, phase: &str) -> Pod {
        let pod = self.until(name, phase, |pod| self::phase(pod) == phase).await;
        pod.expect("the pod exists")
    }

    async fn until_waiting(&self, name: &str, reason: &str) -> Pod {
        let wanted = |pod: &Pod| {
            let waiting = state(pod).and_then(|state| state.waiting.clone());
            waiting.is_some_and(|waiting| waiting.reason.as_deref() == Some(reason))
        };
        self.until(name, reason, wanted).await.expect("the pod exists")
    }

    async fn delete(&self, name: &str, grace: u32) {
        let parameters =
            DeleteParams { grace_period_seconds: Some(grace), ..DeleteParams::default() };
        self.pods().delete(name, &parameters).await.unwrap();
    }

    async fn until_gone(&self, name: &str) {
        assert!(self.until(name, "gone", |_| false).await.is_none());
    }

    async fn log_with(&self, name: &str, container: &str, options: LogOptions) -> String {
        let pod = self.pods().get(name).await.unwrap();
        let log = self.logs.read(&pod.metadata.uid.unwrap(), container, &options).unwrap();
        let chunks: Vec<_> =
            timeout(PATIENCE, log.try_collect()).await.expect("the log ends").unwrap();
        String::from_utf8(chunks.concat()).unwrap()
    }

    async fn log(&self, name: &str) -> String {
        self.log_with(name, "main", LogOptions::default()).await
    }

    /// Waits until a container has said something.
    async fn hear(&self, name: &str, wanted: &str) {
        let pod = self.until_phase(name, "Running").await;
        let options = LogOptions { follow: true, ..LogOptions::default() };
        let log = self.logs.read(&pod.metadata.uid.unwrap(), "main", &options).unwrap();
        let mut log = Box::pin(log);
        let mut said = String::new();
        let listen = async {
            while !said.contains(wanted) {
                let chunk = log.try_next().await.unwrap().expect("the container still runs");
                said.push_str(std::str::from_utf8(&chunk).unwrap());
            }
        };
        timeout(PATIENCE, listen).await.expect("said in time");
    }

    /// Waits until an event whose message contains a text has been written.
    async fn event(&self, pod: &str, reason: &str, text: &str) {
        let api = Api::<Event>::namespaced(self.client.clone(), "default");
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        let look = async {
            loop {
                // Events have no end to wait for, and arrive in the background.
                ticks.tick().await;
                let events = api.list(&ListParams::default()).await.unwrap();
                let found = events.iter().any(|event| {
                    event.involved_object.name.as_deref() == Some(pod)
                        && event.reason.as_deref() == Some(reason)
                        && event.message.as_ref().is_some_and(|message| message.contains(text))
                });
                if found {
                    return;
                }
            }
        };
        let patient = timeout(PATIENCE, look).await;
        patient.unwrap_or_else(|_| panic!("no event {reason} of {pod} that says {text}"));
    }

    /// The pod folders on the node.
    fn pod_folders(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.folder.path().join("node/pods"));
        entries.into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
    }
}

fn container(script: &str) -> Value {
    json!({ "name": "main", "image": "alpine:3", "command": ["/bin/sh", "-c", script] })
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// The state of the pod's first container.
fn state(pod: &Pod) -> Option<&ContainerState> {
    pod.status.as_ref()?.container_statuses.as_ref()?.first()?.state.as_ref()
}

/// Exit code, reason and message of the pod's first container.
fn ending(pod: &Pod) -> (i32, String, String) {
    let terminated = state(pod).and_then(|state| state.terminated.clone()).expect("it has ended");
    (
        terminated.exit_code,
        terminated.reason.unwrap_or_default(),
        terminated.message.unwrap_or_default(),
    )
}

/// The status of each condition.
fn conditions(pod: &Pod) -> BTreeMap<String, String> {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.map(|condition| (condition.type_.clone(), condition.status.clone())).collect()
}
