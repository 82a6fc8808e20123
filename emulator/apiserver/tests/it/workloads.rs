//! The controllers of workloads, with pods that a simulated kubelet runs.

use std::time::Duration;

use apiserver::kubelet::{self, Kubelet, Runtime, Simulate, SimulateOptions, SimulateRule};
use apiserver::logs::Logs;
use apiserver::{Options, Server};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::conditions::is_deleted;
use kube::runtime::wait::{Condition, await_condition};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// A cluster with a node whose pods end as rules say.
struct Cluster {
    client: Client,
    _server: Server,
    _folder: tempfile::TempDir,
    stop: CancellationToken,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn cluster(rules: Vec<SimulateRule>) -> Cluster {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let logs = Logs::new(folder.path().join("logs"));
    let options = Options { logs: Some(logs.clone()), ..Options::default() };
    let server = Server::new(options).expect("a server in memory starts");
    let client = server.client();
    let stop = CancellationToken::new();
    let node = kubelet::Options {
        node_name: "simulated".to_owned(),
        root: folder.path().join("pods"),
        logs,
        runtime: Runtime::Simulate(Simulate::new(SimulateOptions { rules })),
        allow_host_paths: false,
        back_off: kubelet::BACK_OFF,
    };
    tokio::spawn(Kubelet::new(server.client(), node).run(stop.clone()));
    Cluster { client, _server: server, _folder: folder, stop }
}

fn image(image: &str, exit_code: i32, never_ends: bool) -> SimulateRule {
    SimulateRule { image: Some(image.to_owned()), exit_code, never_ends, ..Default::default() }
}

fn object<K: DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).expect("the object is valid")
}

/// Waits for a condition of an object, but not for long.
async fn wait<K>(api: &Api<K>, name: &str, condition: impl Condition<K>) -> Option<K>
where
    K: kube::Resource + Clone + std::fmt::Debug + Send + DeserializeOwned + 'static,
{
    let waiting = await_condition(api.clone(), name, condition);
    // Longer than every back-off: where time is paused, it passes at once.
    let done = tokio::time::timeout(Duration::from_secs(3600), waiting).await;
    done.expect("it happens in time").expect("the watch works")
}

fn job(name: &str, image: &str, spec: Value) -> Job {
    let mut spec = spec;
    spec["template"] = json!({"spec": {
        "restartPolicy": "Never",
        "containers": [{"name": "main", "image": image}],
    }});
    object(json!({"metadata": {"name": name}, "spec": spec}))
}

async fn create_job(client: &Client, name: &str, image: &str, spec: Value) -> Job {
    let api: Api<Job> = Api::default_namespaced(client.clone());
    api.create(&PostParams::default(), &job(name, image, spec)).await.expect("it can be created")
}

fn has_condition(kind: &'static str) -> impl Fn(Option<&Job>) -> bool {
    move |job| {
        job.and_then(|job| job.status.as_ref()?.conditions.as_ref())
            .is_some_and(|all| all.iter().any(|one| one.type_ == kind && one.status == "True"))
    }
}

async fn ended(client: &Client, name: &str, condition: &'static str) -> Value {
    let api: Api<Job> = Api::default_namespaced(client.clone());
    let job = wait(&api, name, has_condition(condition)).await.expect("the job is there");
    serde_json::to_value(job.status).expect("a status is JSON")
}

async fn pods(client: &Client, selector: &str) -> Vec<Pod> {
    let api: Api<Pod> = Api::default_namespaced(client.clone());
    api.list(&ListParams::default().labels(selector)).await.expect("pods can be listed").items
}

async fn reasons(client: &Client, kind: &str, name: &str) -> Vec<String> {
    let api: Api<Event> = Api::default_namespaced(client.clone());
    let about = format!("involvedObject.kind={kind},involvedObject.name={name}");
    let mut events = api.list(&ListParams::default().fields(&about)).await.unwrap().items;
    events
        .sort_by_key(|event| event.metadata.resource_version.as_ref().unwrap().parse::<u64>().ok());
    events.into_iter().filter_map(|event| event.reason).collect()
}

#[tokio::test(start_paused = true)]
async fn a_job_completes_when_its_pod_has_succeeded() {
    let cluster = cluster(Vec::new());
    create_job(&cluster.client, "once", "busybox:1", json!({})).await;
    let status = ended(&cluster.client, "once", "Complete").await;
    assert_eq!(status["succeeded"], 1);
    assert_eq!(status["ready"], 0);
    assert_eq!(status["terminating"], 0);
    assert_eq!(status["uncountedTerminatedPods"], json!({}));
    assert!(status["completionTime"].is_string());
    let kinds: Vec<&Value> =
        status["conditions"].as_array().unwrap().iter().map(|one| &one["type"]).collect();
    assert_eq!(kinds, ["SuccessCriteriaMet", "Complete"]);
    assert_eq!(status["conditions"][1]["reason"], "CompletionsReached");
    let pod = pods(&cluster.client, "job-name=once").await.remove(0);
    assert_eq!(pod.metadata.finalizers, None, "a counted pod is free");
    let said = reasons(&cluster.client, "Job", "once").await;
    assert_eq!(said, ["SuccessfulCreate", "Completed"]);
}
