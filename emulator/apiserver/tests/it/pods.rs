//! Pods on a node of their own, and what can go wrong with them.
//!
//! They really run where bubblewrap works, and are simulated where a simulation can show the same.

mod faults;
mod sandboxed;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use apiserver::kubelet::{
    self, Kubelet, Sandbox, SandboxOptions, Simulate, SimulateOptions, SimulateRule,
};
use apiserver::logs::Logs;
use apiserver::{Options, Server};
use futures::{AsyncBufReadExt, TryStreamExt};
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Event, Pod};
use kube::Api;
use kube::api::{DeleteParams, ListParams, LogParams, PostParams};
use kube::runtime::wait::await_condition;
use serde_json::{Value, json};
use tokio::runtime::{self, Runtime};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// An API server with one node.
pub(crate) struct Cluster {
    pub(crate) server: Server,
    pub(crate) client: kube::Client,
    pub(crate) options: kubelet::Options,
    /// In a runtime of its own, so that it can be cut off in the middle of everything.
    kubelet: Option<(CancellationToken, JoinHandle<()>, Runtime)>,
}

impl Cluster {
    pub(crate) fn new(folder: &Path, runtime: kubelet::Runtime) -> Cluster {
        let logs = Logs::new(folder.join("logs"));
        let server =
            Server::new(Options { logs: Some(logs.clone()), ..Options::default() }).unwrap();
        let client = server.client();
        let options = kubelet::Options {
            node_name: "node".to_owned(),
            root: folder.join("node"),
            streams: apiserver::streams::Streams::default(),
            logs,
            runtime,
            allow_host_paths: false,
            back_off: Duration::from_millis(50),
        };
        let mut cluster = Cluster { server, client, options, kubelet: None };
        cluster.start();
        cluster
    }

    pub(crate) fn start(&mut self) {
        let shutdown = CancellationToken::new();
        let kubelet = Kubelet::new(self.client.clone(), self.options.clone());
        let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap();
        let task = runtime.spawn(kubelet.run(shutdown.clone()));
        self.kubelet = Some((shutdown, task, runtime));
    }

    pub(crate) async fn stop(&mut self) {
        let (shutdown, task, runtime) = self.kubelet.take().unwrap();
        shutdown.cancel();
        timeout(PATIENCE, task).await.expect("the kubelet stops").unwrap();
        runtime.shutdown_background();
    }

    /// Ends the kubelet in the middle of whatever it does.
    pub(crate) fn kill(&mut self) {
        let (_, _, runtime) = self.kubelet.take().unwrap();
        runtime.shutdown_background();
    }

    pub(crate) fn pods(&self) -> Api<Pod> {
        Api::default_namespaced(self.client.clone())
    }

    /// Creates an object of the core group; `kinds` is its plural.
    pub(crate) async fn create(&self, kinds: &str, object: Value) {
        let request = http::Request::post(format!("/api/v1/namespaces/default/{kinds}"))
            .header("content-type", "application/json")
            .body(object.to_string().into_bytes())
            .unwrap();
        self.client.request::<Value>(request).await.unwrap();
    }

    /// Creates a pod on the node.
    pub(crate) async fn run(&self, name: &str, mut spec: Value) {
        let defaults = json!({ "nodeName": "node", "restartPolicy": "Never" });
        for (key, value) in defaults.as_object().unwrap() {
            spec.as_object_mut().unwrap().entry(key).or_insert(value.clone());
        }
        let pod = json!({ "metadata": { "name": name }, "spec": spec });
        let pod = serde_json::from_value(pod).unwrap();
        self.pods().create(&PostParams::default(), &pod).await.unwrap();
    }

    /// Waits for a pod to be as wanted; nothing for a pod that is gone.
    pub(crate) async fn until(&self, name: &str, wanted: impl Fn(&Pod) -> bool) -> Option<Pod> {
        let condition = |pod: Option<&Pod>| pod.is_none_or(&wanted);
        match timeout(PATIENCE, await_condition(self.pods(), name, condition)).await {
            Ok(result) => result.unwrap(),
            Err(_) => panic!("{name} stays {:#?}", self.pods().get_opt(name).await.unwrap()),
        }
    }

    pub(crate) async fn until_phase(&self, name: &str, phase: &str) -> Pod {
        self.until(name, |pod| self::phase(pod) == phase).await.expect("the pod exists")
    }

    pub(crate) async fn until_waiting(&self, name: &str, reason: &str) -> String {
        let wanted = |pod: &Pod| waiting(pod).0 == reason;
        waiting(&self.until(name, wanted).await.expect("the pod exists")).1
    }

    pub(crate) async fn delete(&self, name: &str, grace: u32) {
        let parameters =
            DeleteParams { grace_period_seconds: Some(grace), ..DeleteParams::default() };
        self.pods().delete(name, &parameters).await.unwrap();
    }

    pub(crate) async fn until_gone(&self, name: &str) {
        assert!(self.until(name, |_| false).await.is_none());
    }

    pub(crate) async fn log(&self, name: &str, container: &str) -> String {
        let parameters =
            LogParams { container: Some(container.to_owned()), ..LogParams::default() };
        self.pods().logs(name, &parameters).await.unwrap()
    }

    /// Waits until a container has said something.
    pub(crate) async fn hear(&self, name: &str, wanted: &str) {
        self.until_phase(name, "Running").await;
        let parameters = LogParams { follow: true, ..LogParams::default() };
        let mut lines = self.pods().log_stream(name, &parameters).await.unwrap().lines();
        while let Some(line) = lines.try_next().await.unwrap() {
            if line.contains(wanted) {
                return;
            }
        }
        panic!("{name} has ended without saying {wanted:?}");
    }

    /// The events of a pod by reason, with how often each message was said.
    pub(crate) async fn events(&self, name: &str) -> BTreeMap<String, Vec<(String, i32)>> {
        let api = Api::<Event>::default_namespaced(self.client.clone());
        let selector = ListParams::default().fields(&format!("involvedObject.name={name}"));
        let mut events = BTreeMap::<String, Vec<_>>::new();
        for event in api.list(&selector).await.unwrap() {
            let said = (event.message.unwrap_or_default(), event.count.unwrap_or(0));
            events.entry(event.reason.unwrap_or_default()).or_default().push(said);
        }
        events
    }

    /// Waits until an event has been written; its message.
    pub(crate) async fn event(&self, pod: &str, reason: &str, text: &str) -> String {
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        let look = async {
            loop {
                // Events arrive in the background, and have no end to wait for.
                ticks.tick().await;
                let events = self.events(pod).await;
                let mut found = events.get(reason).into_iter().flatten();
                if let Some((message, _)) = found.find(|(message, _)| message.contains(text)) {
                    return message.clone();
                }
            }
        };
        let found = timeout(PATIENCE, look).await;
        found.unwrap_or_else(|_| panic!("no event {reason} of {pod} that says {text:?}"))
    }
}

pub(crate) fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// The status of the pod's first container.
pub(crate) fn status(pod: &Pod) -> ContainerStatus {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.clone());
    statuses.into_iter().flatten().next().unwrap_or_default()
}

/// Why the pod's first container waits: reason and message.
pub(crate) fn waiting(pod: &Pod) -> (String, String) {
    let waiting = status(pod).state.and_then(|state| state.waiting).unwrap_or_default();
    (waiting.reason.unwrap_or_default(), waiting.message.unwrap_or_default())
}

/// How the pod's first container has ended: exit code and reason.
pub(crate) fn ending(pod: &Pod) -> (i32, String) {
    let ContainerState { terminated, .. } = status(pod).state.unwrap_or_default();
    let terminated = terminated.expect("it has ended");
    (terminated.exit_code, terminated.reason.unwrap_or_default())
}

/// A container that runs a script.
pub(crate) fn shell(image: &str, script: &str) -> Value {
    json!({ "name": "main", "image": image, "command": ["/bin/sh", "-c", script] })
}

/// A cluster whose pods really run, and its folder; nothing, and why, where that is not possible.
pub(crate) async fn sandboxed() -> Option<(Cluster, tempfile::TempDir)> {
    let options = SandboxOptions::default();
    match Sandbox::probe(&options).await {
        Ok(()) => {
            let folder = tempfile::tempdir().unwrap();
            let runtime = kubelet::Runtime::Sandbox(Sandbox::new(options));
            Some((Cluster::new(folder.path(), runtime), folder))
        }
        Err(reason) => {
            println!("skipped: {reason}");
            None
        }
    }
}

/// A cluster whose pods are simulated, and its folder.
pub(crate) fn simulated(rules: Vec<SimulateRule>) -> (Cluster, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let runtime = kubelet::Runtime::Simulate(Simulate::new(SimulateOptions { rules }));
    (Cluster::new(folder.path(), runtime), folder)
}
