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
}

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
}

/// Reads how a job's pod stands.
pub fn of(pod: &Pod) -> Standing {
    let Some(status) = &pod.status else { return Standing::Pending };
    match status.phase.as_deref() {
        Some("Succeeded") => Standing::Succeeded(ended(status)),
        Some("Failed") => Standing::Failed(ended(status)),
        _ if pod.metadata.deletion_timestamp.is_some() => Standing::Pending,
        // The job is its own container, whatever becomes of what runs beside that.
        _ if runs(status) => Standing::Running,
        _ => match (over(status), waiting(status)) {
            (Some(0), _) => Standing::Succeeded(ended(status)),
            (Some(_), _) => Standing::Failed(ended(status)),
            (None, Some(stuck)) => Standing::Stuck(stuck),
            (None, None) if status.phase.as_deref() == Some("Running") => Standing::Running,
            (None, None) => Standing::Pending,
        },
    }
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
    let own = own(status).and_then(terminated);
    let before = failed_before.filter(|_| own.is_none());
    let ran = own.or_else(|| before.and_then(terminated));
    let mut end = Ended {
        reason: status.reason.clone().filter(|reason| !reason.is_empty()),
        message: status.message.clone().filter(|message| !message.is_empty()),
        before: before.map(|container| container.name.clone()),
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
