//! What the status of a job's pod says: it waits and why, it runs, or how it ended.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodStatus};

use crate::job::CONTAINER;

#[cfg(test)]
mod tests;

/// How a pod stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It does not run yet, and nothing is wrong.
    Pending,
    /// It does not run, and will not unless something changes.
    Stuck(Stuck),
    /// It runs.
    Running,
    /// Its job did its work.
    Succeeded(Ended),
    /// Its job did not.
    Failed(Ended),
}

/// Why a pod does not start.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stuck {
    /// Kubernetes' word for it: `ImagePullBackOff`, `Unschedulable`.
    pub reason: String,
    /// The kubelet's or the scheduler's sentence.
    pub message: String,
    /// Whether waiting could help.
    pub hope: Hope,
}

/// Whether waiting could help a pod that does not start.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Hope {
    /// Nothing that anybody does elsewhere makes it start.
    None,
    /// A registry that answers again or a Secret that is made would make it start.
    Little,
    /// A node that is freed or added makes it start.
    Some,
    /// It was lost with its node, which may come back.
    Node,
}

/// What a failed job failed by.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Fault {
    /// The job itself: its exit code, its limits, its time.
    #[default]
    Job,
    /// The cluster: its container was never begun, or its pod was deleted.
    Cluster,
    /// The node: the pod was evicted, preempted, or lost.
    Node,
}

/// The pod's status says so where the kubelet would not take it: nothing of it was begun.
const NOT_ADMITTED: [&str; 10] = [
    "NodeAffinity",
    "NodeName",
    "NodePorts",
    "NodeUnschedulable",
    "OutOfcpu",
    "OutOfmemory",
    "OutOfpods",
    "Preempting",
    "TaintToleration",
    "UnexpectedAdmissionError",
];

/// It says so where the node took it away.
const TAKEN_AWAY: [&str; 6] =
    ["Evicted", "NodeLost", "NodeShutdown", "Preempting", "Shutdown", "Terminated"];

/// How a pod ended.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Ended {
    /// The exit code of the job's container, or of the init container that failed.
    pub exit_code: Option<i32>,
    /// Kubernetes' word, where it has one of interest: `OOMKilled`, `DeadlineExceeded`, `Evicted`.
    pub reason: Option<String>,
    /// A sentence that goes with it.
    pub message: Option<String>,
    /// The init container that failed, so that the job itself was never begun.
    pub before: Option<String>,
    /// When the job's container was started.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// What it failed by.
    pub fault: Fault,
    /// Whether the job's container may have been begun.
    pub began: bool,
}

/// Reads how a job's pod stands.
pub fn of(pod: &Pod) -> Standing {
    let Some(status) = &pod.status else { return Standing::Pending };
    let leaves = pod.metadata.deletion_timestamp.is_some();
    match status.phase.as_deref() {
        Some("Succeeded") => Standing::Succeeded(ended(status)),
        Some("Failed") => Standing::Failed(failed(status, leaves)),
        _ if leaves => Standing::Stuck(leaving()),
        phase if over(status).is_none() && (phase == Some("Unknown") || lost(status)) => {
            Standing::Stuck(away(status))
        }
        // The job is its own container, whatever becomes of what runs beside that.
        _ if runs(status) => Standing::Running,
        phase => match (over(status), waiting(status)) {
            (Some(0), _) => Standing::Succeeded(ended(status)),
            (Some(_), _) => Standing::Failed(failed(status, leaves)),
            (None, Some(stuck)) => Standing::Stuck(stuck),
            (None, None) if phase == Some("Running") => Standing::Running,
            (None, None) => Standing::Pending,
        },
    }
}

/// What is said of a pod that is being deleted, and that does not go.
fn leaving() -> Stuck {
    Stuck {
        reason: "Terminating".to_owned(),
        message: "it was deleted, and its node does not say that it has ended".to_owned(),
        hope: Hope::Node,
    }
}

fn lost(status: &PodStatus) -> bool {
    status.reason.as_deref() == Some("NodeLost")
}

fn away(status: &PodStatus) -> Stuck {
    let message = status.message.clone().filter(|message| !message.is_empty());
    Stuck {
        reason: "NodeLost".to_owned(),
        message: message.unwrap_or_else(|| "its node does not answer".to_owned()),
        hope: Hope::Node,
    }
}

/// How a pod failed, and by what.
fn failed(status: &PodStatus, leaves: bool) -> Ended {
    let mut end = ended(status);
    let conditions = status.conditions.iter().flatten();
    let disrupted = conditions
        .into_iter()
        .find(|condition| condition.type_ == "DisruptionTarget" && condition.status == "True");
    let reason = status.reason.as_deref().unwrap_or_default();
    // What takes more of the node's disk than it may is evicted too, by its own fault.
    let exceeds = reason == "Evicted"
        && end.message.as_ref().is_some_and(|text| text.contains("exceeds the"));
    let refused = NOT_ADMITTED.contains(&reason);
    if let Some(condition) = disrupted {
        end.fault = Fault::Node;
        end.reason = end.reason.or_else(|| condition.reason.clone());
        end.message = end.message.or_else(|| condition.message.clone());
    } else if !exceeds && (refused || TAKEN_AWAY.contains(&reason)) {
        end.fault = Fault::Node;
    } else if end.before.is_some() {
        end.fault = Fault::Cluster;
    } else if leaves && end.reason.is_none() {
        end.fault = Fault::Cluster;
        end.reason = Some("Deleted".to_owned());
        end.message = Some("the pod was deleted while it ran".to_owned());
    }
    if refused {
        end.began = false;
    }
    end
}

fn own(status: &PodStatus) -> Option<&ContainerStatus> {
    status.container_statuses.iter().flatten().find(|container| container.name == CONTAINER)
}

/// The exit code of the job's own container, once it has one.
fn over(status: &PodStatus) -> Option<i32> {
    Some(own(status)?.state.as_ref()?.terminated.as_ref()?.exit_code)
}

/// Whether the job's own container runs.
fn runs(status: &PodStatus) -> bool {
    let state = own(status).and_then(|own| own.state.as_ref());
    state.is_some_and(|state| state.running.is_some())
}

fn waiting(status: &PodStatus) -> Option<Stuck> {
    let containers = status
        .init_container_statuses
        .iter()
        .flatten()
        .chain(status.container_statuses.iter().flatten());
    for container in containers {
        let Some(state) = container.state.as_ref().and_then(|state| state.waiting.as_ref()) else {
            continue;
        };
        let reason = state.reason.clone().unwrap_or_default();
        let hope = match reason.as_str() {
            "InvalidImageName" | "ErrImageNeverPull" => Hope::None,
            "ErrImagePull"
            | "ImagePullBackOff"
            | "ImageInspectError"
            | "RegistryUnavailable"
            | "CreateContainerConfigError"
            | "CreateContainerError"
            | "RunContainerError"
            | "CrashLoopBackOff"
            | "PreCreateHookError"
            | "PreStartHookError" => Hope::Little,
            _ => continue,
        };
        let message = state.message.clone().unwrap_or_else(|| reason.clone());
        return Some(Stuck { reason, message, hope });
    }
    let conditions = status.conditions.iter().flatten();
    let unscheduled = conditions.into_iter().find(|condition| {
        condition.type_ == "PodScheduled"
            && condition.status == "False"
            && condition.reason.as_deref() == Some("Unschedulable")
    })?;
    Some(Stuck {
        reason: "Unschedulable".to_owned(),
        message: unscheduled.message.clone().unwrap_or_else(|| "Unschedulable".to_owned()),
        hope: Hope::Some,
    })
}

fn ended(status: &PodStatus) -> Ended {
    let failed_before = status.init_container_statuses.iter().flatten().find(|each| {
        each.state
            .as_ref()
            .and_then(|state| state.terminated.as_ref())
            .is_some_and(|end| end.exit_code != 0)
    });
    let terminated = |container: &ContainerStatus| container.state.clone()?.terminated;
    // An eviction may take the statuses of the containers with it: nobody knows then.
    let waits = |state: &ContainerStatus| {
        state.state.as_ref().is_some_and(|state| state.waiting.is_some())
            && state.last_state.as_ref().is_none_or(|state| state.terminated.is_none())
    };
    let began = match own(status) {
        Some(container) => !waits(container),
        None => status.start_time.is_some() && failed_before.is_none(),
    };
    let own = own(status).and_then(terminated);
    let before = failed_before.filter(|_| own.is_none());
    let ran = own.or_else(|| before.and_then(terminated));
    let mut end = Ended {
        reason: status.reason.clone().filter(|reason| !reason.is_empty()),
        message: status.message.clone().filter(|message| !message.is_empty()),
        before: before.map(|container| container.name.clone()),
        began,
        ..Ended::default()
    };
    if let Some(ran) = ran {
        end.exit_code = Some(ran.exit_code);
        end.started = ran.started_at.map(|time| time.0);
        end.finished = ran.finished_at.map(|time| time.0);
        // The reasons `Error` and `Completed` say what the exit code says.
        if end.reason.is_none() {
            end.reason = ran.reason.filter(|reason| reason != "Error" && reason != "Completed");
        }
        if end.message.is_none() {
            end.message = ran.message.filter(|message| !message.is_empty());
        }
    }
    end
}
