//! The row of a pod: its status in one word.

use serde_json::{Value, json};

use super::age;
use crate::object;

pub(crate) fn cells(pod: &Value, age: Value) -> Vec<Value> {
    let containers = object::list(pod, &["spec", "containers"]).len();
    let statuses = object::list(pod, &["status", "containerStatuses"]);
    let sidecars: Vec<&str> = object::list(pod, &["spec", "initContainers"])
        .iter()
        .filter(|one| one["restartPolicy"] == "Always")
        .map(|one| object::text(one, &["name"]))
        .collect();
    let init = object::list(pod, &["status", "initContainerStatuses"]);
    let is_sidecar = |one: &&Value| sidecars.contains(&object::text(one, &["name"]));
    let ready = statuses
        .iter()
        .chain(init.iter().filter(is_sidecar))
        .filter(|one| one["ready"] == true && one["state"].get("running").is_some())
        .count();
    let text = |path: &[&str]| match object::text(pod, path) {
        "" => json!("<none>"),
        text => json!(text),
    };
    let ip = match object::list(pod, &["status", "podIPs"]).first() {
        Some(first) => json!(object::text(first, &["ip"])),
        None => text(&["status", "podIP"]),
    };
    vec![
        json!(object::name(pod)),
        json!(format!("{ready}/{}", containers + sidecars.len())),
        json!(status(pod)),
        json!(restarts(pod)),
        age,
        ip,
        text(&["spec", "nodeName"]),
        text(&["status", "nominatedNodeName"]),
        json!("<none>"),
    ]
}

fn restarts(pod: &Value) -> String {
    let statuses = object::list(pod, &["status", "containerStatuses"]);
    let count: i64 =
        statuses.iter().map(|one| one["restartCount"].as_i64().unwrap_or_default()).sum();
    let last = statuses
        .iter()
        .map(|one| object::text(one, &["lastState", "terminated", "finishedAt"]))
        .max()
        .unwrap_or_default();
    if count > 0 && !last.is_empty() {
        format!("{count} ({} ago)", age::since(last))
    } else {
        count.to_string()
    }
}

/// The status of a pod as people know it: `Running`, `Init:0/1`, `CrashLoopBackOff`, `Completed`.
fn status(pod: &Value) -> String {
    let mut reason = object::text(pod, &["status", "phase"]).to_owned();
    let own = object::text(pod, &["status", "reason"]);
    if !own.is_empty() {
        reason = own.to_owned();
    }
    let gated = object::list(pod, &["status", "conditions"])
        .iter()
        .any(|one| one["type"] == "PodScheduled" && one["reason"] == "SchedulingGated");
    if gated {
        reason = "SchedulingGated".to_owned();
    }
    match initializing(pod) {
        Some(state) => reason = state,
        None => {
            if let Some(state) = containers(pod) {
                reason = state;
            }
        }
    }
    if object::is_deleting(pod) {
        let finished = matches!(object::text(pod, &["status", "phase"]), "Failed" | "Succeeded");
        if own == "NodeLost" {
            reason = "Unknown".to_owned();
        } else if !finished {
            reason = "Terminating".to_owned();
        }
    }
    reason
}

fn initializing(pod: &Value) -> Option<String> {
    let specs = object::list(pod, &["spec", "initContainers"]);
    let statuses = object::list(pod, &["status", "initContainerStatuses"]);
    for (index, one) in statuses.iter().enumerate() {
        let state = &one["state"];
        if let Some(terminated) = state.get("terminated") {
            let code = terminated["exitCode"].as_i64().unwrap_or_default();
            if code == 0 {
                continue;
            }
            return Some(format!("Init:{}", ended(terminated, code)));
        }
        let sidecar = specs
            .iter()
            .any(|spec| spec["name"] == one["name"] && spec["restartPolicy"] == "Always");
        if sidecar && one["started"] == true {
            continue;
        }
        let waiting = object::text(state, &["waiting", "reason"]);
        if !waiting.is_empty() && waiting != "PodInitializing" {
            return Some(format!("Init:{waiting}"));
        }
        return Some(format!("Init:{index}/{}", specs.len()));
    }
    None
}

fn ended(terminated: &Value, code: i64) -> String {
    match (object::text(terminated, &["reason"]), terminated["signal"].as_i64()) {
        ("", Some(signal)) if signal != 0 => format!("Signal:{signal}"),
        ("", _) => format!("ExitCode:{code}"),
        (reason, _) => reason.to_owned(),
    }
}

fn containers(pod: &Value) -> Option<String> {
    let mut found = None;
    let mut running = false;
    for one in object::list(pod, &["status", "containerStatuses"]).iter().rev() {
        let state = &one["state"];
        let waiting = object::text(state, &["waiting", "reason"]);
        if !waiting.is_empty() {
            found = Some(waiting.to_owned());
        } else if let Some(terminated) = state.get("terminated") {
            let code = terminated["exitCode"].as_i64().unwrap_or_default();
            found = Some(ended(terminated, code));
        } else if one["ready"] == true && state.get("running").is_some() {
            running = true;
        }
    }
    if found.as_deref() == Some("Completed") && running {
        let ready = object::list(pod, &["status", "conditions"])
            .iter()
            .any(|one| one["type"] == "Ready" && one["status"] == "True");
        found = Some(if ready { "Running" } else { "NotReady" }.to_owned());
    }
    found
}
