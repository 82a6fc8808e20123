//! Pods that are simulated: these tests always run.

use std::time::{Duration, Instant};

use futures::TryStreamExt;
use k8s_openapi::api::core::v1::{Node, Pod, Secret};
use kube::Api;
use kube::api::ListParams;
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::json;
use tokio::time::timeout;

use crate::{Fault, When};

use super::{Cluster, PATIENCE, SimulateRule, container, ending, phase};

#[tokio::test]
async fn the_node_registers_and_is_ready() {
    let cluster = Cluster::simulated(Vec::new()).await;
    let api = Api::<Node>::all(cluster.client.clone());
    let ready = |node: Option<&Node>| {
        let status = node.and_then(|node| node.status.as_ref());
        let mut conditions =
            status.into_iter().flat_map(|status| status.conditions.iter().flatten());
        conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
    };
    let node = timeout(PATIENCE, kube::runtime::wait::await_condition(api, "node", ready)).await;
    let node = node.expect("in time").unwrap().unwrap();
    let labels = node.metadata.labels.unwrap();
    for label in ["kubernetes.io/os", "beta.kubernetes.io/os"] {
        assert_eq!(labels[label], "linux");
    }
    assert_eq!(labels["kubernetes.io/hostname"], "node");
    assert!(
        labels.contains_key("kubernetes.io/arch") && labels.contains_key("beta.kubernetes.io/arch")
    );
    assert!(node.status.unwrap().allocatable.unwrap().contains_key("pods"));
}

#[tokio::test]
async fn a_pod_without_a_rule_succeeds_and_says_that_nothing_ran() {
    let cluster = Cluster::simulated(Vec::new()).await;
    cluster.run("pod", json!({ "containers": [
        { "name": "main", "image": "x", "command": ["make"], "args": ["$(TARGET)"], "env": [{ "name": "TARGET", "value": "all" }] },
    ] })).await;
    cluster.until_phase("pod", "Succeeded").await;
    assert_eq!(cluster.log("pod").await, "simulated: make all\n");
    cluster.event("pod", "Pulled", "simulated:").await;
}

#[tokio::test]
async fn what_serves_runs_until_it_is_deleted() {
    let cluster = Cluster::simulated(Vec::new()).await;
    let containers = json!([{ "name": "main", "image": "x", "command": ["serve"] }]);
    let init = json!([{ "name": "first", "image": "x" }]);
    let spec =
        json!({ "restartPolicy": "Always", "initContainers": init, "containers": containers });
    cluster.run("server", spec).await;
    cluster.until_phase("server", "Running").await;
    cluster.script("other", "true").await;
    cluster.until_phase("other", "Succeeded").await;
    let server = cluster.until_phase("server", "Running").await;
    let statuses = server.status.unwrap().container_statuses.unwrap();
    assert_eq!((statuses[0].restart_count, statuses[0].ready), (0, true));
    cluster.delete("server", 1).await;
    cluster.until_gone("server").await;
}

#[tokio::test]
async fn the_first_rule_that_matches_decides() {
    let rule = |image: Option<&str>, pod: Option<&str>, exit_code| SimulateRule {
        image: image.map(str::to_owned),
        pod: pod.map(str::to_owned),
        exit_code,
        log: vec![format!("code {exit_code}")],
        ..SimulateRule::default()
    };
    let cluster = Cluster::simulated(vec![
        rule(Some("docker:*"), None, 1),
        rule(None, Some("test-*"), 2),
        rule(None, None, 0),
    ])
    .await;
    for (name, image, expected) in
        [("test-a", "docker:dind", 1), ("test-b", "alpine", 2), ("c", "alpine", 0)]
    {
        cluster
            .run(
                name,
                json!({ "containers": [{ "name": "main", "image": image, "command": ["x"] }] }),
            )
            .await;
        let wanted = if expected == 0 { "Succeeded" } else { "Failed" };
        let pod = cluster.until_phase(name, wanted).await;
        assert_eq!(ending(&pod).0, expected);
        assert_eq!(cluster.log(name).await, format!("simulated: x\ncode {expected}\n"));
    }
}

#[tokio::test]
async fn a_simulated_pod_that_never_ends_is_deleted_or_exceeds_its_deadline() {
    let rule = SimulateRule { never_ends: true, ..SimulateRule::default() };
    let cluster = Cluster::simulated(vec![rule]).await;
    cluster.script("deleted", "x").await;
    cluster
        .run("late", json!({ "activeDeadlineSeconds": 1, "containers": [container("x")] }))
        .await;
    cluster.until_phase("deleted", "Running").await;
    cluster.delete("deleted", 30).await;
    cluster.until_gone("deleted").await;
    let pod = cluster.until_phase("late", "Failed").await;
    assert_eq!(pod.status.unwrap().reason.as_deref(), Some("DeadlineExceeded"));
}

#[tokio::test]
async fn events_have_names_in_the_order_of_what_happened() {
    let cluster = Cluster::simulated(Vec::new()).await;
    cluster.script("pod", "x").await;
    cluster.event("pod", "Started", "Container started").await;
    let api =
        Api::<k8s_openapi::api::core::v1::Event>::namespaced(cluster.client.clone(), "default");
    let mut events = api.list(&ListParams::default()).await.unwrap().items;
    events.retain(|event| event.reporting_component.as_deref() == Some("kubelet"));
    events.sort_by_key(|event| event.metadata.name.clone());
    let reasons: Vec<_> = events.into_iter().filter_map(|event| event.reason).collect();
    assert_eq!(reasons, ["Pulled", "Created", "Started"]);
}

#[tokio::test]
async fn a_pod_of_another_node_is_left_alone() {
    let cluster = Cluster::simulated(Vec::new()).await;
    cluster.run("other", json!({ "nodeName": "elsewhere", "containers": [container("x")] })).await;
    cluster.script("mine", "x").await;
    cluster.until_phase("mine", "Succeeded").await;
    let other = cluster.pods().get("other").await.unwrap();
    assert_eq!(phase(&other), "Pending");
}

#[tokio::test]
async fn a_deleted_pod_takes_its_logs_along() {
    let cluster = Cluster::simulated(Vec::new()).await;
    cluster.script("pod", "x").await;
    let pod = cluster.until_phase("pod", "Succeeded").await;
    let folder = cluster.folder.path().join("logs").join(pod.metadata.uid.unwrap());
    assert!(folder.exists());
    cluster.delete("pod", 30).await;
    cluster.until_gone("pod").await;
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    let gone = async {
        // The kubelet hears of it through its watch.
        while folder.exists() {
            ticks.tick().await;
        }
    };
    timeout(PATIENCE, gone).await.expect("the logs are removed");
}

#[tokio::test]
async fn absurd_time_spans_harm_nobody() {
    let rule = SimulateRule { never_ends: true, ..SimulateRule::default() };
    let cluster = Cluster::simulated(vec![rule]).await;
    let spec = json!({
        "terminationGracePeriodSeconds": i64::MAX,
        "activeDeadlineSeconds": i32::MAX,
        "containers": [container("x")],
    });
    cluster.run("pod", spec).await;
    cluster.until_phase("pod", "Running").await;
    cluster.pods().delete("pod", &Default::default()).await.unwrap();
    cluster.until_gone("pod").await;
}

#[tokio::test]
async fn a_restarted_kubelet_goes_on_counting_runs() {
    let mut cluster =
        Cluster::simulated(vec![SimulateRule { exit_code: 1, ..SimulateRule::default() }]).await;
    cluster.stop().await;
    cluster.options.back_off = Duration::from_secs(3600);
    cluster.start();
    cluster
        .run("pod", json!({ "restartPolicy": "OnFailure", "containers": [container("x")] }))
        .await;
    let restarts = |pod: &Pod| {
        let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
        statuses.map_or(0, |statuses| statuses[0].restart_count)
    };
    let pod = cluster.until_waiting("pod", "CrashLoopBackOff").await;
    assert_eq!(restarts(&pod), 1, "the first restart has no pause");
    let message = super::state(&pod).unwrap().waiting.clone().unwrap().message.unwrap();
    assert!(message.starts_with("back-off 5m0s restarting failed container=main"), "{message}");
    cluster.stop().await;
    cluster.start();
    let again = |pod: &Pod| restarts(pod) == 3 && super::phase(pod) == "Running";
    cluster.until("pod", "run again", again).await;
    cluster.delete("pod", 30).await;
    cluster.until_gone("pod").await;
}

#[tokio::test]
async fn faults_of_the_api_delay_pods_and_lose_none() {
    let rule = SimulateRule {
        pod: Some("deleted-*".to_owned()),
        never_ends: true,
        ..SimulateRule::default()
    };
    let cluster = Cluster::simulated(vec![rule]).await;
    cluster
        .create::<Secret>(json!({ "metadata": { "name": "access" }, "stringData": { "k": "v" } }))
        .await;
    let faults = cluster.server.faults();
    for (method, path, code) in [
        ("PATCH", "/status", 500),
        ("PATCH", "/status", 409),
        ("PATCH", "/status", 503),
        ("GET", "/secrets/access", 500),
        ("POST", "/events", 500),
        ("DELETE", "/pods", 500),
    ] {
        faults.lay(Fault { skip: 3, times: 3, ..Fault::next(method, path, code) });
        faults.lay(Fault { when: When::After, skip: 7, ..Fault::next(method, path, code) });
    }
    for number in 0..20 {
        let mut main = container("x");
        main["envFrom"] = json!([{ "secretRef": { "name": "access" } }]);
        cluster.run(&format!("pod-{number}"), json!({ "containers": [main] })).await;
        cluster.script(&format!("deleted-{number}"), "x").await;
        if number % 7 == 0 {
            faults.drop_watches();
            cluster.server.compact();
        }
    }
    for number in 0..20 {
        let pod = cluster.until_phase(&format!("pod-{number}"), "Succeeded").await;
        assert_eq!(ending(&pod).0, 0);
        let name = format!("deleted-{number}");
        cluster.until_phase(&name, "Running").await;
        while cluster.pods().delete(&name, &Default::default()).await.is_err() {}
        cluster.until_gone(&name).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_pods_at_once() {
    const PODS: usize = 200;
    let cluster = Cluster::simulated(Vec::new()).await;
    let begun = Instant::now();
    for number in 0..PODS {
        cluster.script(&format!("pod-{number}"), "x").await;
    }
    let created = begun.elapsed();
    let config = watcher::Config::default();
    let mut changes = Box::pin(watcher(cluster.pods(), config).default_backoff().applied_objects());
    let mut open: std::collections::BTreeSet<_> =
        (0..PODS).map(|number| format!("pod-{number}")).collect();
    let all = async {
        while !open.is_empty() {
            let pod: Pod = changes.try_next().await.unwrap().expect("the watch goes on");
            if phase(&pod) == "Succeeded" {
                open.remove(&pod.metadata.name.unwrap_or_default());
            }
        }
    };
    timeout(Duration::from_secs(120), all).await.expect("all succeed");
    println!("{PODS} simulated pods: created in {created:?}, succeeded in {:?}", begun.elapsed());
    let pods = cluster.pods().list(&ListParams::default()).await.unwrap();
    assert!(pods.iter().all(|pod| ending(pod).0 == 0));
}
