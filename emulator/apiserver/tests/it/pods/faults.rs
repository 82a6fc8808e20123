//! The API fails, and pods go, at every moment.

use std::time::Duration;

use apiserver::kubelet::SimulateRule;
use apiserver::{Fault, When};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::runtime::wait::await_condition;
use serde_json::json;
use tokio::time::timeout;

use super::{PATIENCE, ending, shell, simulated, status};

#[tokio::test]
async fn failing_writes_of_the_status_delay_a_pod_and_lose_nothing() {
    let (mut cluster, _folder) = simulated(Vec::new());
    let faults = cluster.server.faults();
    for (method, path, code) in [
        ("PATCH", "/status", 500),
        ("PATCH", "/status", 409),
        ("PATCH", "/status", 504),
        ("POST", "/events", 500),
        ("DELETE", "/pods/", 500),
    ] {
        faults.lay(Fault { skip: 1, times: 2, ..Fault::next(method, path, code) });
        faults.lay(Fault { when: When::After, skip: 2, ..Fault::next(method, path, code) });
    }
    for number in 0..8 {
        let spec = json!({ "containers": [shell("x", "x")] });
        cluster.run(&format!("pod-{number}"), spec).await;
        if number % 3 == 0 {
            faults.drop_watches();
        }
    }
    for number in 0..8 {
        let name = format!("pod-{number}");
        assert_eq!(ending(&cluster.until_phase(&name, "Succeeded").await).0, 0);
    }
    cluster.stop().await;
}

#[tokio::test]
async fn a_pod_can_be_deleted_at_every_moment() {
    let rule = SimulateRule { duration: Duration::from_millis(20), ..SimulateRule::default() };
    let (mut cluster, folder) = simulated(vec![rule]);
    let mut names = Vec::new();
    // One waits for a Secret for ever; the others are at another moment each.
    let mut waits = shell("x", "x");
    waits["envFrom"] = json!([{ "secretRef": { "name": "nonesuch" } }]);
    cluster.run("waits", json!({ "containers": [waits] })).await;
    cluster.until_waiting("waits", "CreateContainerConfigError").await;
    let volumes = json!([{ "name": "v", "secret": { "secretName": "nonesuch" } }]);
    cluster.run("mounts", json!({ "containers": [shell("x", "x")], "volumes": volumes })).await;
    let message = "MountVolume.SetUp failed for volume \"v\" : secret \"nonesuch\" not found";
    assert_eq!(cluster.event("mounts", "FailedMount", "").await, message);
    names.extend(["waits".to_owned(), "mounts".to_owned()]);
    let mut pause = tokio::time::interval(Duration::from_millis(3));
    for number in 0..24 {
        let name = format!("pod-{number}");
        let init = json!([{ "name": "first", "image": "x" }]);
        let spec = json!({ "containers": [shell("x", "x")], "initContainers": init });
        cluster.run(&name, spec).await;
        for _ in 0..number {
            // Each pod is a little older than the one before it.
            pause.tick().await;
        }
        cluster.delete(&name, number % 3).await;
        names.push(name);
    }
    for name in ["waits", "mounts"] {
        cluster.delete(name, 30).await;
    }
    for name in &names {
        cluster.until_gone(name).await;
    }
    cluster.stop().await;
    assert_eq!(std::fs::read_dir(folder.path().join("node/pods")).unwrap().count(), 0);
}

#[tokio::test]
async fn events_that_repeat_are_counted() {
    let rule = SimulateRule { exit_code: 1, ..SimulateRule::default() };
    let (mut cluster, _folder) = simulated(vec![rule]);
    let spec = json!({ "containers": [shell("x", "x")], "restartPolicy": "Always" });
    cluster.run("crashes", spec).await;
    let restarted = |pod: &k8s_openapi::api::core::v1::Pod| status(pod).restart_count >= 3;
    cluster.until("crashes", restarted).await;
    cluster
        .event("crashes", "BackOff", "Back-off restarting failed container main in pod crashes_")
        .await;
    let events = cluster.events("crashes").await;
    for (reason, message) in [("Created", "Container created"), ("Started", "Container started")] {
        let [(said, count)] = &events[reason][..] else { panic!("{events:?}") };
        assert!(said == message && *count >= 2, "{events:?}");
    }
    cluster.delete("crashes", 0).await;
    cluster.until_gone("crashes").await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_node_holds_a_lease() {
    let (mut cluster, _folder) = simulated(Vec::new());
    let leases = Api::<Lease>::namespaced(cluster.client.clone(), "kube-node-lease");
    let held = |lease: Option<&Lease>| lease.is_some_and(|lease| lease.spec.is_some());
    let lease = timeout(PATIENCE, await_condition(leases, "node", held)).await.expect("soon");
    let lease = lease.unwrap().unwrap();
    assert_eq!(lease.metadata.owner_references.unwrap()[0].kind, "Node");
    let spec = lease.spec.unwrap();
    assert_eq!(spec.holder_identity.as_deref(), Some("node"));
    assert_eq!(spec.lease_duration_seconds, Some(40));
    cluster.stop().await;
}
