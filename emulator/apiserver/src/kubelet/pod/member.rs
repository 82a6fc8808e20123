//! One container of a pod, as the pod's task keeps it.

use k8s_openapi::api::core::v1::{Container, ContainerStatus, PodSpec};
use tokio::sync::watch;

use super::super::container::{Restart, Stop};
use super::super::status::{self, Change, Termination};

/// One container of the pod.
pub(super) struct Member {
    pub(super) container: Container,
    pub(super) status: ContainerStatus,
    pub(super) restart: Restart,
    pub(super) stop: Option<watch::Sender<Option<Stop>>>,
    pub(super) ended: bool,
}

impl Member {
    /// A container with the status that the API had of it, if it had one.
    pub(super) fn new(
        spec: &PodSpec,
        container: &Container,
        is_init: bool,
        known: Option<ContainerStatus>,
        waiting: &str,
    ) -> Member {
        let restart = Restart::of(spec, container, is_init);
        let mut member = Member {
            container: container.clone(),
            status: known.unwrap_or_else(|| status::initial(container, waiting)),
            restart,
            stop: None,
            ended: false,
        };
        let state = member.status.state.clone().unwrap_or_default();
        if state.running.is_some() {
            let lost = Termination {
                id: member.status.container_id.clone().unwrap_or_default(),
                restart_count: member.status.restart_count,
                code: 137,
                reason: "ContainerStatusUnknown",
                message: Some("the node was restarted, and the container ended with it".to_owned()),
                started: state.running.and_then(|running| running.started_at).map(|time| time.0),
            };
            status::apply(&mut member.status, Change::Terminated(Box::new(lost)), is_init);
            member.ended = !restart.after(137);
        } else if let Some(terminated) = state.terminated {
            member.ended = !restart.after(terminated.exit_code);
        }
        member
    }

    pub(super) fn stop(&self, stop: Stop) {
        if let Some(sender) = &self.stop {
            sender.send_if_modified(|current| {
                let sooner = current.is_none_or(|current| stop.kill_at < current.kill_at);
                if sooner {
                    *current = Some(stop);
                }
                sooner
            });
        }
    }

    /// Whether the run that the restart count stands for has ended.
    pub(super) fn has_run(&self) -> bool {
        let states = [&self.status.state, &self.status.last_state];
        states.into_iter().flatten().any(|state| state.terminated.is_some())
    }

    pub(super) fn has_succeeded(&self) -> bool {
        let state = self.status.state.as_ref();
        let terminated = state.and_then(|state| state.terminated.as_ref());
        terminated.is_some_and(|terminated| terminated.exit_code == 0)
    }
}

pub(super) fn known(
    statuses: Option<&Vec<ContainerStatus>>,
    container: &Container,
) -> Option<ContainerStatus> {
    statuses?.iter().find(|status| status.name == container.name).cloned()
}
