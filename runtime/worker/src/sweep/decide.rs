//! Decides what a build needs, from what its metadata and its pods say.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use runtime::build::{Head, Phase, annotation};
use runtime::job;
use runtime::outcome::{self, Standing, Stuck};
use runtime::project::Project;

/// How often a worker is made again.
const REVIVALS: u32 = 3;

/// The pods of a build.
#[derive(Default)]
pub(super) struct Pods {
    pub(super) worker: Option<Pod>,
    pub(super) jobs: Vec<Pod>,
}

/// What a build needs.
#[derive(Debug)]
pub(super) enum Action<'a> {
    /// Nothing: it has ended.
    Ended,
    /// Nothing: somebody goes on with it, or is about to start it.
    Runs,
    /// Its turn, which whoever ends another gives it.
    Waits,
    /// A project, which there is not.
    Orphan,
    /// A worker.
    Start(&'a Project),
    /// Another worker: the first has vanished.
    Revive { project: &'a Project, times: u32 },
    /// To be ended, if nobody does that.
    Cancel,
    /// Its end to be noted.
    End { phase: Phase, reason: String, finished: Option<Timestamp> },
}

impl Pods {
    /// Whether its worker has not ended.
    pub(super) fn worker_is_active(&self) -> bool {
        self.worker.iter().any(|pod| !matches!(phase(pod), "Succeeded" | "Failed"))
    }

    /// Whether one of them has not ended.
    pub(super) fn any_active(&self) -> bool {
        self.worker
            .iter()
            .chain(&self.jobs)
            .any(|pod| !matches!(phase(pod), "Succeeded" | "Failed"))
    }
}

pub(super) fn decide<'a>(
    head: &Head,
    pods: &Pods,
    project: Option<&'a Project>,
    now: Timestamp,
    young: Duration,
) -> Action<'a> {
    let age = Duration::try_from(now.duration_since(head.created)).unwrap_or_default();
    if head.has_ended() {
        return Action::Ended;
    }
    if head.cancelled().is_some() {
        return Action::Cancel;
    }
    if !head.accepted {
        return match project {
            Some(project) if project.limits.builds.is_some() => Action::Waits,
            _ if age < young => Action::Runs,
            None => Action::Orphan,
            Some(project) => Action::Start(project),
        };
    }
    // What Brigade's controller has started is followed by Brigade's worker, if by anybody.
    if !head.is_ours() {
        return if pods.any_active() { Action::Runs } else { Action::Ended };
    }
    if head.is_detached() {
        return detached(pods, now);
    }
    if !head.worker_is_a_pod() {
        return Action::Runs;
    }
    worker(head, pods.worker.as_ref(), project)
}

/// A build that nobody follows has ended when its pods have, or cannot start in their time.
fn detached<'a>(pods: &Pods, now: Timestamp) -> Action<'a> {
    let mut finished = None;
    let mut failed = None;
    for pod in &pods.jobs {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        match outcome::of(pod) {
            Standing::Succeeded(ended) => finished = finished.max(ended.finished),
            Standing::Failed(ended) => {
                finished = finished.max(ended.finished);
                if job::is_fallible(pod) {
                    continue;
                }
                failed = failed.or_else(|| Some(format!("Pod {name} failed to run to completion")));
            }
            // A node sees to the time only of what it has taken.
            Standing::Stuck(Stuck { reason, message, .. }) if is_overdue(pod, now) => {
                if !job::is_fallible(pod) {
                    let text = format!("Pod {name} cannot start: {reason}: {message}");
                    failed = failed.or(Some(text));
                }
            }
            Standing::Pending | Standing::Stuck(_) | Standing::Running => return Action::Runs,
        }
    }
    if pods.jobs.is_empty() {
        failed = Some("its pods are gone, so that nobody knows how it ended".to_owned());
    }
    let phase = if failed.is_none() { Phase::Succeeded } else { Phase::Failed };
    Action::End { phase, reason: failed.unwrap_or_default(), finished }
}

/// Whether a pod is older than its job may become.
fn is_overdue(pod: &Pod, now: Timestamp) -> bool {
    let limit = pod.spec.as_ref().and_then(|spec| spec.active_deadline_seconds);
    let made = pod.metadata.creation_timestamp.as_ref().map(|at| at.0);
    limit.zip(made).is_some_and(|(limit, made)| now.duration_since(made).as_secs() > limit)
}

/// A build that a worker follows, whose pod is this.
fn worker<'a>(head: &Head, pod: Option<&Pod>, project: Option<&'a Project>) -> Action<'a> {
    let failed = |reason: &str| Action::End {
        phase: Phase::Failed,
        reason: reason.to_owned(),
        finished: None,
    };
    if pod.is_some_and(|pod| !matches!(phase(pod), "Succeeded" | "Failed")) {
        return Action::Runs;
    }
    let Some(project) = project else {
        return failed("its worker has vanished, and its project does not exist");
    };
    // Another program than ours notes no end, and would run all jobs again.
    if is_foreign(project) {
        return match pod.map(phase) {
            Some("Succeeded") => {
                Action::End { phase: Phase::Succeeded, reason: String::new(), finished: None }
            }
            Some(_) => failed("its worker failed"),
            None => failed("its worker's pod is gone"),
        };
    }
    if let Some(sidecar) = pod.and_then(failed_before) {
        return failed(&format!("the container {sidecar} of its worker's pod failed"));
    }
    let times = head.annotations.get(annotation::REVIVED).and_then(|times| times.parse().ok());
    match times.unwrap_or(0) {
        times if times < REVIVALS => Action::Revive { project, times: times + 1 },
        times => failed(&format!("its worker vanished, and so did {times} others after it")),
    }
}

/// Whether the worker of a project is another program than ours.
pub(super) fn is_foreign(project: &Project) -> bool {
    !project.worker_command.is_empty()
}

/// The init container that failed, so that the worker was never begun.
fn failed_before(pod: &Pod) -> Option<String> {
    // An eviction fails what runs, which is no fault of the repository.
    let status = pod.status.as_ref().filter(|status| status.reason.is_none())?;
    let mut all = status.init_container_statuses.iter().flatten();
    let failed = all.find(|container| {
        let ended = container.state.as_ref().and_then(|state| state.terminated.as_ref());
        ended.is_some_and(|ended| ended.exit_code != 0)
    });
    failed.map(|container| container.name.clone())
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending")
}
