//! The controllers of workloads, with pods that a simulated kubelet runs.

use std::time::Duration;

use apiserver::kubelet::{self, Kubelet, Runtime, Simulate, SimulateOptions, SimulateRule};
use apiserver::logs::Logs;
use apiserver::streams::Streams;
use apiserver::{Options, Server};
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{Endpoints, Event, PersistentVolumeClaim, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
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
        streams: Streams::default(),
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

#[tokio::test(start_paused = true)]
async fn a_job_that_somebody_else_manages_is_left_alone_and_can_be_deleted() {
    let cluster = cluster(Vec::new());
    let spec = json!({"managedBy": "example.com/nobody"});
    let made = create_job(&cluster.client, "other", "busybox:1", spec).await;
    create_job(&cluster.client, "own", "busybox:1", json!({})).await;
    ended(&cluster.client, "own", "Complete").await;
    assert_eq!(pods(&cluster.client, "job-name=other").await.len(), 0);
    let api: Api<Job> = Api::default_namespaced(cluster.client.clone());
    api.delete("other", &DeleteParams::default()).await.unwrap();
    wait(&api, "other", is_deleted(&made.metadata.uid.unwrap())).await;
}

#[tokio::test(start_paused = true)]
async fn pods_outlive_a_job_that_is_deleted_as_a_client_does_by_default() {
    let cluster = cluster(vec![image("*", 0, true)]);
    create_job(&cluster.client, "long", "busybox:1", json!({})).await;
    let api: Api<Job> = Api::default_namespaced(cluster.client.clone());
    let runs = |job: Option<&Job>| {
        job.and_then(|job| job.status.as_ref()).is_some_and(|status| status.ready == Some(1))
    };
    wait(&api, "long", runs).await;
    let pod = pods(&cluster.client, "job-name=long").await.remove(0);
    assert_eq!(pod.metadata.finalizers.unwrap(), ["batch.kubernetes.io/job-tracking"]);
    api.delete("long", &DeleteParams::default()).await.unwrap();
    let free = |pod: Option<&Pod>| {
        pod.is_some_and(|pod| {
            pod.metadata.owner_references.is_none() && pod.metadata.finalizers.is_none()
        })
    };
    let pods: Api<Pod> = Api::default_namespaced(cluster.client.clone());
    let pod = wait(&pods, &pod.metadata.name.unwrap(), free).await.expect("the pod stays");
    let books = serde_json::to_string(&pod.metadata.managed_fields).unwrap();
    assert!(!books.contains("f:finalizers") && !books.contains("f:ownerReferences"), "{books}");
    assert!(pod.metadata.deletion_timestamp.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_job_tries_again_until_its_limit_and_says_why_it_failed() {
    let cluster = cluster(vec![image("bad:*", 3, false)]);
    create_job(&cluster.client, "tries", "bad:1", json!({"backoffLimit": 2})).await;
    let status = ended(&cluster.client, "tries", "Failed").await;
    assert_eq!(status["failed"], 3);
    assert_eq!(status["conditions"][0]["type"], "FailureTarget");
    assert_eq!(status["conditions"][1]["reason"], "BackoffLimitExceeded");
    assert_eq!(status["conditions"][1]["message"], "Job has reached the specified backoff limit");
    let said = reasons(&cluster.client, "Job", "tries").await;
    let made = "SuccessfulCreate";
    assert_eq!(said, [made, made, made, "BackoffLimitExceeded"]);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_takes_too_long_ends_and_so_do_its_pods() {
    let cluster = cluster(vec![image("*", 0, true)]);
    create_job(&cluster.client, "slow", "busybox:1", json!({"activeDeadlineSeconds": 30})).await;
    let status = ended(&cluster.client, "slow", "Failed").await;
    assert_eq!(status["conditions"][1]["reason"], "DeadlineExceeded");
    assert_eq!(status["failed"], 1);
    assert_eq!(pods(&cluster.client, "job-name=slow").await.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_suspended_job_starts_when_it_is_resumed() {
    let cluster = cluster(Vec::new());
    create_job(&cluster.client, "later", "busybox:1", json!({"suspend": true})).await;
    let status = ended(&cluster.client, "later", "Suspended").await;
    assert_eq!(status["conditions"][0]["reason"], "JobSuspended");
    assert!(status["startTime"].is_null());
    let api: Api<Job> = Api::default_namespaced(cluster.client.clone());
    let resume = json!({"spec": {"suspend": false}});
    api.patch("later", &PatchParams::default(), &Patch::Merge(&resume)).await.unwrap();
    let status = ended(&cluster.client, "later", "Complete").await;
    assert_eq!(status["conditions"][0]["reason"], "JobResumed");
    let said = reasons(&cluster.client, "Job", "later").await;
    assert_eq!(said, ["Suspended", "SuccessfulCreate", "Resumed", "Completed"]);
}

#[tokio::test(start_paused = true)]
async fn an_indexed_job_runs_each_index_once() {
    let cluster = cluster(Vec::new());
    let spec = json!({"completionMode": "Indexed", "completions": 5, "parallelism": 2});
    create_job(&cluster.client, "parts", "busybox:1", spec).await;
    let status = ended(&cluster.client, "parts", "Complete").await;
    assert_eq!(status["succeeded"], 5);
    assert_eq!(status["completedIndexes"], "0-4");
    let pods = pods(&cluster.client, "job-name=parts").await;
    let mut hosts: Vec<String> =
        pods.into_iter().filter_map(|pod| pod.spec.unwrap().hostname).collect();
    hosts.sort();
    assert_eq!(hosts, ["parts-0", "parts-1", "parts-2", "parts-3", "parts-4"]);
}

#[tokio::test(start_paused = true)]
async fn an_ended_job_goes_after_its_time_with_its_pods() {
    let cluster = cluster(Vec::new());
    let spec = json!({"ttlSecondsAfterFinished": 120});
    let made = create_job(&cluster.client, "brief", "busybox:1", spec).await;
    ended(&cluster.client, "brief", "Complete").await;
    let api: Api<Job> = Api::default_namespaced(cluster.client.clone());
    wait(&api, "brief", is_deleted(&made.metadata.uid.unwrap())).await;
    assert_eq!(pods(&cluster.client, "job-name=brief").await.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_cron_job_starts_jobs_at_its_times_and_keeps_a_few() {
    let cluster = cluster(Vec::new());
    let api: Api<CronJob> = Api::default_namespaced(cluster.client.clone());
    let cron = object(json!({
        "metadata": {"name": "often"},
        "spec": {
            "schedule": "*/5 * * * *",
            "successfulJobsHistoryLimit": 2,
            "jobTemplate": {
                "metadata": {"labels": {"from": "cron"}},
                "spec": {"template": {"spec": {
                    "restartPolicy": "Never",
                    "containers": [{"name": "main", "image": "busybox:1"}],
                }}},
            },
        },
    }));
    api.create(&PostParams::default(), &cron).await.unwrap();
    let jobs: Api<Job> = Api::default_namespaced(cluster.client.clone());
    let mut seen = std::collections::BTreeSet::new();
    let mut watch = Box::pin(kube::runtime::watcher(jobs.clone(), Default::default()));
    let watching = async {
        while let Some(event) = futures::StreamExt::next(&mut watch).await {
            if let Ok(kube::runtime::watcher::Event::Apply(job)) = event
                && has_condition("Complete")(Some(&job))
            {
                seen.insert(job.metadata.name.clone().expect("a job has a name"));
            }
            if seen.len() == 4 {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(3600), watching).await.expect("time passes");
    let names: Vec<i64> =
        seen.iter().map(|name| name.strip_prefix("often-").unwrap().parse().unwrap()).collect();
    assert!(names.windows(2).all(|pair| pair[1] - pair[0] == 5), "{names:?}");
    let settled = |cron: Option<&CronJob>| {
        cron.and_then(|cron| cron.status.as_ref())
            .is_some_and(|status| status.active.is_none() && status.last_successful_time.is_some())
    };
    wait(&api, "often", settled).await;
    let left = jobs.list(&ListParams::default().labels("from=cron")).await.unwrap().items;
    assert!(left.len() <= 3, "{} jobs are left", left.len());
    let stamp = "batch.kubernetes.io/cronjob-scheduled-timestamp";
    assert!(left.iter().all(|job| job.metadata.annotations.as_ref().unwrap().contains_key(stamp)));
    let said = reasons(&cluster.client, "CronJob", "often").await;
    assert!(said.starts_with(&["SuccessfulCreate".to_owned(), "SawCompletedJob".to_owned()]));
}

fn deployment(name: &str, image: &str, replicas: i32) -> Deployment {
    object(json!({
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "main", "image": image}]},
            },
        },
    }))
}

/// Whether a deployment has come to rest with so many pods.
fn rolled_out(replicas: i32) -> impl Fn(Option<&Deployment>) -> bool {
    move |deployment| {
        deployment.is_some_and(|deployment| {
            let status = deployment.status.clone().unwrap_or_default();
            status.observed_generation == deployment.metadata.generation
                && status.replicas.unwrap_or_default() == replicas
                && status.updated_replicas.unwrap_or_default() == replicas
                && status.available_replicas.unwrap_or_default() == replicas
        })
    }
}

fn revision(deployment: &Deployment) -> &str {
    &deployment.metadata.annotations.as_ref().unwrap()["deployment.kubernetes.io/revision"]
}

#[tokio::test(start_paused = true)]
async fn a_deployment_rolls_from_one_template_to_the_next_and_back() {
    let cluster = cluster(vec![image("*", 0, true)]);
    let api: Api<Deployment> = Api::default_namespaced(cluster.client.clone());
    api.create(&PostParams::default(), &deployment("web", "web:1", 3)).await.unwrap();
    let made = wait(&api, "web", rolled_out(3)).await.unwrap();
    assert_eq!(revision(&made), "1");
    let image = json!({"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "web:2"}]}}}});
    api.patch("web", &PatchParams::default(), &Patch::Strategic(&image)).await.unwrap();
    let second = wait(&api, "web", rolled_out(3)).await.unwrap();
    assert_eq!(revision(&second), "2");
    let running = pods(&cluster.client, "app=web").await;
    let images: Vec<&str> = running
        .iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none())
        .filter_map(|pod| pod.spec.as_ref()?.containers[0].image.as_deref())
        .collect();
    assert_eq!(images, ["web:2", "web:2", "web:2"]);
    let back = json!({"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "web:1"}]}}}});
    api.patch("web", &PatchParams::default(), &Patch::Strategic(&back)).await.unwrap();
    let third = wait(&api, "web", rolled_out(3)).await.unwrap();
    assert_eq!(revision(&third), "3");
    let sets: Api<ReplicaSet> = Api::default_namespaced(cluster.client.clone());
    assert_eq!(sets.list(&ListParams::default()).await.unwrap().items.len(), 2);
    let status = serde_json::to_value(third.status).unwrap();
    let reasons: Vec<&Value> =
        status["conditions"].as_array().unwrap().iter().map(|one| &one["reason"]).collect();
    assert!(reasons.contains(&&json!("MinimumReplicasAvailable")), "{reasons:?}");
    assert!(reasons.contains(&&json!("NewReplicaSetAvailable")), "{reasons:?}");
}

#[tokio::test(start_paused = true)]
async fn a_deployment_whose_pods_never_start_says_so_after_its_deadline() {
    let cluster = cluster(vec![image("web:*", 0, true), image("bad:*", 1, false)]);
    let api: Api<Deployment> = Api::default_namespaced(cluster.client.clone());
    let mut wanted = deployment("stuck", "web:1", 2);
    let spec = wanted.spec.as_mut().unwrap();
    spec.progress_deadline_seconds = Some(60);
    spec.min_ready_seconds = Some(30);
    api.create(&PostParams::default(), &wanted).await.unwrap();
    wait(&api, "stuck", rolled_out(2)).await;
    let image = json!({"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "bad:1"}]}}}});
    api.patch("stuck", &PatchParams::default(), &Patch::Strategic(&image)).await.unwrap();
    let timed_out = |deployment: Option<&Deployment>| {
        deployment.and_then(|one| one.status.as_ref()?.conditions.as_ref()).is_some_and(|all| {
            all.iter().any(|one| {
                one.type_ == "Progressing"
                    && one.status == "False"
                    && one.reason.as_deref() == Some("ProgressDeadlineExceeded")
            })
        })
    };
    let stuck = wait(&api, "stuck", timed_out).await.unwrap();
    assert_eq!(stuck.status.unwrap().available_replicas, Some(2), "the old pods stay");
}

#[tokio::test(start_paused = true)]
async fn a_stateful_set_makes_its_pods_in_order_with_their_claims() {
    let cluster = cluster(vec![image("*", 0, true)]);
    let api: Api<StatefulSet> = Api::default_namespaced(cluster.client.clone());
    let set = object(json!({
        "metadata": {"name": "db"},
        "spec": {
            "serviceName": "db",
            "replicas": 3,
            "selector": {"matchLabels": {"app": "db"}},
            "template": {
                "metadata": {"labels": {"app": "db"}},
                "spec": {"containers": [{
                    "name": "main",
                    "image": "db:1",
                    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                }]},
            },
            "volumeClaimTemplates": [{
                "metadata": {"name": "data"},
                "spec": {
                    "accessModes": ["ReadWriteOnce"],
                    "resources": {"requests": {"storage": "1Mi"}},
                },
            }],
        },
    }));
    api.create(&PostParams::default(), &set).await.unwrap();
    let ready = |count: i32| {
        move |set: Option<&StatefulSet>| {
            set.and_then(|set| set.status.as_ref()).is_some_and(|status| {
                status.ready_replicas == Some(count)
                    && status.replicas == count
                    && status.current_revision == status.update_revision
                    && status.updated_replicas == Some(count)
            })
        }
    };
    wait(&api, "db", ready(3)).await;
    let made = pods(&cluster.client, "app=db").await;
    let mut times: Vec<(u64, String)> = made
        .into_iter()
        .map(|pod| {
            let index =
                pod.metadata.labels.as_ref().unwrap()["apps.kubernetes.io/pod-index"].clone();
            assert_eq!(pod.metadata.name.as_deref(), Some(&*format!("db-{index}")));
            (index.parse().unwrap(), pod.spec.unwrap().subdomain.unwrap())
        })
        .collect();
    times.sort();
    assert_eq!(times.len(), 3);
    let claims: Api<PersistentVolumeClaim> = Api::default_namespaced(cluster.client.clone());
    assert!(claims.get_opt("data-db-2").await.unwrap().is_some());
    let image = json!({"spec": {
        "replicas": 2,
        "template": {"spec": {"containers": [{"name": "main", "image": "db:2"}]}},
    }});
    api.patch("db", &PatchParams::default(), &Patch::Strategic(&image)).await.unwrap();
    let updated = |set: Option<&StatefulSet>| {
        ready(2)(set) && set.unwrap().status.as_ref().unwrap().observed_generation == Some(2)
    };
    wait(&api, "db", updated).await;
    let images: Vec<String> = pods(&cluster.client, "app=db")
        .await
        .into_iter()
        .filter_map(|pod| pod.spec?.containers.remove(0).image)
        .collect();
    assert_eq!(images, ["db:2", "db:2"]);
    assert!(claims.get_opt("data-db-2").await.unwrap().is_some(), "claims are kept");
}

#[tokio::test(start_paused = true)]
async fn a_daemon_set_has_a_pod_on_the_node_and_a_service_finds_it() {
    let cluster = cluster(vec![image("*", 0, true)]);
    let services: Api<Service> = Api::default_namespaced(cluster.client.clone());
    let service = object(json!({
        "metadata": {"name": "agent"},
        "spec": {"selector": {"app": "agent"}, "ports": [{"port": 80, "targetPort": "http"}]},
    }));
    let service = services.create(&PostParams::default(), &service).await.unwrap();
    let address = service.spec.unwrap().cluster_ip.unwrap();
    assert!(address.starts_with("10."), "{address}");
    let api: Api<DaemonSet> = Api::default_namespaced(cluster.client.clone());
    let set = object(json!({
        "metadata": {"name": "agent"},
        "spec": {
            "selector": {"matchLabels": {"app": "agent"}},
            "template": {
                "metadata": {"labels": {"app": "agent"}},
                "spec": {"containers": [{
                    "name": "main",
                    "image": "agent:1",
                    "ports": [{"name": "http", "containerPort": 8080}],
                }]},
            },
        },
    }));
    api.create(&PostParams::default(), &set).await.unwrap();
    let ready = |set: Option<&DaemonSet>| {
        set.and_then(|set| set.status.as_ref())
            .is_some_and(|status| status.number_ready == 1 && status.number_available == Some(1))
    };
    wait(&api, "agent", ready).await;
    let endpoints: Api<Endpoints> = Api::default_namespaced(cluster.client.clone());
    let there = |endpoints: Option<&Endpoints>| {
        endpoints
            .and_then(|one| one.subsets.as_ref()?.first()?.addresses.as_ref())
            .is_some_and(|addresses| addresses.len() == 1)
    };
    let found = wait(&endpoints, "agent", there).await.unwrap();
    let subset = found.subsets.unwrap().remove(0);
    assert_eq!(subset.ports.unwrap()[0].port, 8080);
    let slices: Api<EndpointSlice> = Api::default_namespaced(cluster.client.clone());
    let of = ListParams::default().labels("kubernetes.io/service-name=agent");
    let slice = slices.list(&of).await.unwrap().items.remove(0);
    assert_eq!(slice.endpoints.as_ref().unwrap()[0].conditions.as_ref().unwrap().ready, Some(true));
}

#[tokio::test]
async fn bursts_are_done_soon() {
    let server = Server::new(Options::default()).expect("a server in memory starts");
    let client = server.client();
    let begun = std::time::Instant::now();
    for number in 0..500 {
        create_job(&client, &format!("job-{number}"), "busybox:1", json!({})).await;
    }
    let api: Api<Deployment> = Api::default_namespaced(client.clone());
    api.create(&PostParams::default(), &deployment("wide", "web:1", 500)).await.unwrap();
    let made = |deployment: Option<&Deployment>| {
        deployment.and_then(|one| one.status.as_ref()?.replicas) == Some(500)
    };
    wait(&api, "wide", made).await;
    let jobs: Api<Job> = Api::default_namespaced(client.clone());
    let active = |job: Option<&Job>| job.and_then(|job| job.status.as_ref()?.active) == Some(1);
    for number in 0..500 {
        wait(&jobs, &format!("job-{number}"), active).await;
    }
    let all: Api<Pod> = Api::default_namespaced(client.clone());
    assert_eq!(all.list(&ListParams::default()).await.unwrap().items.len(), 1000);
    let taken = begun.elapsed();
    println!("500 jobs and a deployment of 500 pods took {taken:?}");
    assert!(taken < Duration::from_secs(60), "{taken:?}");
}

#[tokio::test(start_paused = true)]
async fn a_restart_in_the_middle_of_a_job_counts_nothing_twice() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let options = || Options { state: Some(folder.path().join("state")), ..Options::default() };
    let spec = json!({"completions": 2, "parallelism": 2});
    let name = {
        let server = Server::new(options()).expect("a server starts");
        let client = server.client();
        create_job(&client, "twice", "busybox:1", spec).await;
        let api: Api<Job> = Api::default_namespaced(client.clone());
        let active = |job: Option<&Job>| job.and_then(|job| job.status.as_ref()?.active) == Some(2);
        wait(&api, "twice", active).await;
        pods(&client, "job-name=twice").await.remove(0).metadata.name.unwrap()
    };
    // The controllers end with the server, and let go of the folder then.
    let mut again = Server::new(options());
    for _ in 0..1000 {
        if again.is_ok() {
            break;
        }
        tokio::task::yield_now().await;
        again = Server::new(options());
    }
    let server = again.expect("a server starts again");
    let client = server.client();
    let api: Api<Pod> = Api::default_namespaced(client.clone());
    let ended = json!({"status": {"phase": "Succeeded"}});
    api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&ended)).await.unwrap();
    let jobs: Api<Job> = Api::default_namespaced(client.clone());
    let one = |job: Option<&Job>| {
        job.and_then(|job| job.status.as_ref())
            .is_some_and(|status| status.succeeded == Some(1) && status.active == Some(1))
    };
    wait(&jobs, "twice", one).await;
    assert_eq!(pods(&client, "job-name=twice").await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn pods_that_nobody_controls_are_taken_and_others_let_go() {
    let cluster = cluster(vec![image("*", 0, true)]);
    let api: Api<Deployment> = Api::default_namespaced(cluster.client.clone());
    api.create(&PostParams::default(), &deployment("web", "web:1", 2)).await.unwrap();
    wait(&api, "web", rolled_out(2)).await;
    let sets: Api<ReplicaSet> = Api::default_namespaced(cluster.client.clone());
    let set = sets.list(&ListParams::default()).await.unwrap().items.remove(0);
    api.delete("web", &DeleteParams::orphan()).await.unwrap();
    let name = set.metadata.name.clone().unwrap();
    let free =
        |set: Option<&ReplicaSet>| set.is_some_and(|set| set.metadata.owner_references.is_none());
    wait(&sets, &name, free).await;
    api.create(&PostParams::default(), &deployment("web", "web:1", 2)).await.unwrap();
    wait(&api, "web", rolled_out(2)).await;
    assert_eq!(sets.list(&ListParams::default()).await.unwrap().items.len(), 1);
    // A pod that loses its label is replaced, and stays.
    let pods: Api<Pod> = Api::default_namespaced(cluster.client.clone());
    let one = pods.list(&ListParams::default()).await.unwrap().items.remove(0);
    let name = one.metadata.name.unwrap();
    let label = json!({"metadata": {"labels": {"app": "quarantine"}}});
    pods.patch(&name, &PatchParams::default(), &Patch::Merge(&label)).await.unwrap();
    let alone = |pod: Option<&Pod>| pod.is_some_and(|pod| pod.metadata.owner_references.is_none());
    wait(&pods, &name, alone).await;
    wait(&api, "web", rolled_out(2)).await;
}

#[tokio::test]
async fn jobs_that_make_no_sense_are_refused() {
    let server = Server::new(Options::default()).expect("a server in memory starts");
    let api: Api<Job> = Api::default_namespaced(server.client());
    for (spec, expected) in [
        (
            json!({"completionMode": "Indexed"}),
            "spec.completions: Required value: when completion mode is Indexed",
        ),
        (
            json!({"backoffLimitPerIndex": 1}),
            "spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode",
        ),
        (
            json!({"podReplacementPolicy": "Sometimes"}),
            "spec.podReplacementPolicy: Unsupported value: \"Sometimes\": supported values: \"Failed\", \"TerminatingOrFailed\"",
        ),
        (
            json!({"podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [0]}}]}}),
            "spec.podFailurePolicy.rules[0].onExitCodes.values[0]: Invalid value: 0: must not be 0 for the In operator",
        ),
        (
            json!({"parallelism": -1}),
            "spec.parallelism: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            json!({"selector": {"matchLabels": {"a": "b"}}}),
            "spec.selector: Invalid value: {\"matchLabels\":",
        ),
    ] {
        let mut spec = spec;
        if spec["completionMode"] == "Indexed" {
            spec["parallelism"] = json!(1);
        }
        let refused = api.create(&PostParams::default(), &job("bad", "busybox:1", spec)).await;
        let Err(kube::Error::Api(status)) = refused else { panic!("{expected}") };
        assert!(status.message.contains(expected), "{} lacks {expected}", status.message);
    }
}

#[tokio::test]
async fn a_service_keeps_its_address() {
    let server = Server::new(Options::default()).expect("a server in memory starts");
    let api: Api<Service> = Api::default_namespaced(server.client());
    let service = |name: &str, address: Value| {
        object::<Service>(json!({
            "metadata": {"name": name},
            "spec": {"clusterIP": address, "ports": [{"port": 80}]},
        }))
    };
    let create = async |service: &Service| api.create(&PostParams::default(), service).await;
    let made = create(&service("one", Value::Null)).await.unwrap();
    let address = made.spec.clone().unwrap().cluster_ip.unwrap();
    let taken = create(&service("two", json!(address))).await.unwrap_err().to_string();
    assert!(taken.contains("provided IP is already allocated"), "{taken}");
    let outside = create(&service("two", json!("192.168.1.1"))).await.unwrap_err().to_string();
    assert!(outside.contains("The range of valid IPs is 10.96.0.0/12"), "{outside}");
    let none = create(&service("two", json!("None"))).await.unwrap();
    assert_eq!(none.spec.unwrap().cluster_ip.as_deref(), Some("None"));
    let replace = service("one", Value::Null);
    let kept = api.replace("one", &PostParams::default(), &replace).await.unwrap();
    assert_eq!(kept.spec.unwrap().cluster_ip.as_deref(), Some(&*address));
    let moved = service("one", json!("10.96.0.77"));
    let moved = api.replace("one", &PostParams::default(), &moved).await.unwrap_err().to_string();
    assert!(moved.contains("may not change once set"), "{moved}");
}

#[tokio::test(start_paused = true)]
async fn webhooks_are_asked_about_the_pods_of_a_job() {
    let cluster = cluster(Vec::new());
    let hooks: Api<ValidatingWebhookConfiguration> = Api::all(cluster.client.clone());
    let hook = object(json!({
        "metadata": {"name": "nobody"},
        "webhooks": [{
            "name": "nobody.example.com",
            "clientConfig": {"url": "https://127.0.0.1:1/nobody-listens-here"},
            "rules": [{
                "apiGroups": [""],
                "apiVersions": ["v1"],
                "operations": ["CREATE"],
                "resources": ["pods"],
            }],
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }],
    }));
    hooks.create(&PostParams::default(), &hook).await.unwrap();
    create_job(&cluster.client, "asked", "busybox:1", json!({})).await;
    let events: Api<Event> = Api::default_namespaced(cluster.client.clone());
    let failed = ListParams::default().fields("reason=FailedCreate,involvedObject.name=asked");
    let told = async {
        let mut watch = Box::pin(kube::runtime::watcher(events.clone(), Default::default()));
        while futures::StreamExt::next(&mut watch).await.is_some() {
            if let Some(event) = events.list(&failed).await.unwrap().items.pop() {
                return event.message.unwrap_or_default();
            }
        }
        String::new()
    };
    let told = tokio::time::timeout(Duration::from_secs(600), told).await.expect("it says so");
    assert!(told.contains("nobody.example.com"), "{told}");
    assert_eq!(pods(&cluster.client, "job-name=asked").await.len(), 0);
    hooks.delete("nobody", &DeleteParams::default()).await.unwrap();
    let status = ended(&cluster.client, "asked", "Complete").await;
    assert_eq!(status["succeeded"], 1);
}
