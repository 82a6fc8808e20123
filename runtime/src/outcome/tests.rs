//! Statuses as kubelets and schedulers write them.

use serde_json::{Value, json};

use super::*;

fn standing(status: Value) -> Standing {
    of(&serde_json::from_value(json!({ "metadata": {}, "status": status })).unwrap())
}

fn container(name: &str, state: Value) -> Value {
    json!([{ "name": name, "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state }])
}

#[test]
fn a_pod_without_a_status_is_pending() {
    assert_eq!(of(&Pod::default()), Standing::Pending);
    assert_eq!(standing(json!({ "phase": "Pending" })), Standing::Pending);
    let creating = container("brigaderun", json!({ "waiting": { "reason": "ContainerCreating" } }));
    let status = json!({ "phase": "Pending", "containerStatuses": creating });
    assert_eq!(standing(status), Standing::Pending);
}

#[test]
fn a_pod_that_cannot_start_says_why() {
    for (reason, hope) in [
        ("ErrImagePull", Hope::Little),
        ("ImagePullBackOff", Hope::Little),
        ("CreateContainerConfigError", Hope::Little),
        ("InvalidImageName", Hope::None),
    ] {
        for list in ["containerStatuses", "initContainerStatuses"] {
            let name = if list == "containerStatuses" { "brigaderun" } else { "vcs-sidecar" };
            let waiting =
                json!({ "waiting": { "reason": reason, "message": "the kubelet's words" } });
            let status = json!({ "phase": "Pending", list: container(name, waiting) });
            let message = "the kubelet's words".to_owned();
            let stuck = Stuck { reason: reason.to_owned(), message, hope };
            assert_eq!(standing(status), Standing::Stuck(stuck));
        }
    }
    let status = json!({ "phase": "Pending", "conditions": [
        { "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available" },
    ]});
    let message = "0/1 nodes are available".to_owned();
    let stuck = Stuck { reason: "Unschedulable".to_owned(), message, hope: Hope::Some };
    assert_eq!(standing(status), Standing::Stuck(stuck));
}

#[test]
fn a_pod_that_ended_says_how() {
    let end = |status: Value| match standing(status) {
        Standing::Succeeded(end) => (true, end.exit_code, end.reason),
        Standing::Failed(end) => (false, end.exit_code, end.reason),
        other => panic!("{other:?}"),
    };
    let exit = |code: i32, reason: &str| {
        container("brigaderun", json!({ "terminated": { "exitCode": code, "reason": reason } }))
    };
    let status = json!({ "phase": "Succeeded", "containerStatuses": exit(0, "Completed") });
    assert_eq!(end(status), (true, Some(0), None));
    let status = json!({ "phase": "Failed", "containerStatuses": exit(3, "Error") });
    assert_eq!(end(status), (false, Some(3), None));
    let status = json!({ "phase": "Failed", "containerStatuses": exit(137, "OOMKilled") });
    assert_eq!(end(status), (false, Some(137), Some("OOMKilled".to_owned())));
    let status = json!({ "phase": "Failed", "reason": "DeadlineExceeded", "message": "..." });
    assert_eq!(end(status), (false, None, Some("DeadlineExceeded".to_owned())));
    let status = json!({ "phase": "Failed", "reason": "Evicted" });
    assert_eq!(end(status), (false, None, Some("Evicted".to_owned())));
    let clone =
        container("vcs-sidecar", json!({ "terminated": { "exitCode": 128, "reason": "Error" } }));
    let status = json!({ "phase": "Failed", "initContainerStatuses": clone });
    let Standing::Failed(ended) = standing(status) else { panic!("it has not failed") };
    assert_eq!((ended.exit_code, ended.before.as_deref()), (Some(128), Some("vcs-sidecar")));
}

#[test]
fn a_job_is_over_when_its_own_container_is() {
    let mut containers = container("brigaderun", json!({ "terminated": { "exitCode": 0 } }));
    let proxy = container("proxy", json!({ "running": {} }));
    containers.as_array_mut().unwrap().extend(proxy.as_array().unwrap().clone());
    let status = json!({ "phase": "Running", "containerStatuses": containers });
    assert!(matches!(standing(status), Standing::Succeeded(_)));
    let status = json!({ "phase": "Running", "containerStatuses": proxy });
    assert_eq!(standing(status), Standing::Running);
}

#[test]
fn a_pod_whose_node_does_not_answer_is_lost() {
    for status in [
        json!({ "phase": "Unknown" }),
        json!({ "phase": "Running", "reason": "NodeLost", "message": "" }),
    ] {
        let Standing::Stuck(stuck) = standing(status) else { panic!("it is not lost") };
        assert_eq!((stuck.reason.as_str(), stuck.hope), ("NodeLost", Hope::Node));
    }
    let leaving = json!({
        "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z" },
        "status": { "phase": "Running" },
    });
    let Standing::Stuck(stuck) = of(&serde_json::from_value(leaving).unwrap()) else {
        panic!("it stays")
    };
    assert_eq!((stuck.reason.as_str(), stuck.hope), ("Terminating", Hope::Node));
}

#[test]
fn what_a_pod_failed_by_is_told_apart() {
    let fault = |status: Value| match standing(status) {
        Standing::Failed(end) => (end.fault, end.began),
        other => panic!("{other:?}"),
    };
    let ended = |code: i32| container("brigaderun", json!({ "terminated": { "exitCode": code } }));
    let waits = container("brigaderun", json!({ "waiting": { "reason": "PodInitializing" } }));
    let disrupted = json!([{ "type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager" }]);
    let init = json!([{ "name": "vcs-sidecar", "image": "i", "imageID": "", "ready": false,
        "restartCount": 0, "state": { "terminated": { "exitCode": 1 } } }]);
    for (status, expected) in [
        (json!({ "phase": "Failed", "containerStatuses": ended(3) }), (Fault::Job, true)),
        (
            json!({ "phase": "Failed", "containerStatuses": ended(137), "conditions": disrupted }),
            (Fault::Node, true),
        ),
        (
            json!({ "phase": "Failed", "containerStatuses": waits, "conditions": disrupted }),
            (Fault::Node, false),
        ),
        // Nobody knows how far it had come.
        (
            json!({ "phase": "Failed", "reason": "Evicted", "startTime": "2026-01-01T00:00:00Z" }),
            (Fault::Node, true),
        ),
        (
            json!({ "phase": "Failed", "reason": "OutOfcpu", "startTime": "2026-01-01T00:00:00Z" }),
            (Fault::Node, false),
        ),
        (
            json!({ "phase": "Failed", "reason": "Evicted", "containerStatuses": ended(137),
                "message": "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi." }),
            (Fault::Job, true),
        ),
        (
            json!({ "phase": "Failed", "containerStatuses": waits, "initContainerStatuses": init }),
            (Fault::Cluster, false),
        ),
        (json!({ "phase": "Failed", "reason": "DeadlineExceeded" }), (Fault::Job, false)),
    ] {
        assert_eq!(fault(status.clone()), expected, "{status}");
    }
}

#[test]
fn what_runs_beside_a_job_decides_nothing_once_that_runs() {
    let crashed =
        container("db", json!({ "waiting": { "reason": "CrashLoopBackOff", "message": "..." } }));
    let of = |state: Value| {
        standing(json!({
            "phase": "Running",
            "initContainerStatuses": crashed,
            "containerStatuses": container("brigaderun", state),
        }))
    };
    assert_eq!(of(json!({ "running": {} })), Standing::Running);
    let Standing::Succeeded(ended) = of(json!({ "terminated": { "exitCode": 0 } })) else {
        panic!("it has not succeeded")
    };
    assert_eq!((ended.exit_code, ended.before), (Some(0), None));
    // Before that it is what keeps the job from starting.
    assert!(matches!(
        of(json!({ "waiting": { "reason": "PodInitializing" } })),
        Standing::Stuck(_)
    ));
}
