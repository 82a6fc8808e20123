//! What becomes of the jobs' pods.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use runtime::cluster::PodChange;
use runtime::event::LogLevel;
use runtime::outcome::{self, Ended, Fault, Hope, Standing};
use tokio::time::Instant;

use super::{Event, Jobs, Made, limit};
use crate::life::Patience;

impl Jobs {
    /// Notes that a job's objects exist.
    pub(in crate::life) fn created(&mut self, id: usize, adopted: bool) {
        let Some(entry) = self.all.get_mut(id) else { return };
        entry.made = Made::Yes;
        entry.adopted = adopted;
        self.change(id);
        let entry = &mut self.all[id];
        if let Some(pod) = self.pods.remove(&entry.pod) {
            self.apply(id, &pod, &mut |_, _| ());
        }
        if self.synced {
            self.look(id);
        }
    }

    /// Has a pod looked for that was there before and that nobody has seen.
    fn look(&mut self, id: usize) {
        let entry = &self.all[id];
        if entry.made == Made::Yes && entry.adopted && !entry.seen && entry.result.is_none() {
            self.events.push_back(Event::Look { id, pod: entry.pod.clone() });
        }
    }

    /// Takes what looking for a pod has found: it was there once.
    pub(in crate::life) fn looked(&mut self, id: usize, pod: Option<&Pod>) {
        if self.all[id].seen || self.all[id].result.is_some() {
            return;
        }
        match pod {
            Some(pod) => self.apply(id, pod, &mut |_, _| ()),
            None => self.gone(id),
        }
    }

    /// Takes a change of a pod; `log` is told how it stands now.
    pub(in crate::life) fn changed(
        &mut self,
        change: PodChange,
        mut log: impl FnMut(LogLevel, &str),
    ) {
        match change {
            PodChange::Applied(pod) => {
                let name = pod.metadata.name.clone().unwrap_or_default();
                match self.by_pod.get(&name) {
                    Some(id) if self.all[*id].made == Made::Yes => {
                        let id = *id;
                        self.apply(id, &pod, &mut log);
                    }
                    _ => {
                        self.pods.insert(name, *pod);
                    }
                }
            }
            PodChange::Gone(name) => {
                self.pods.remove(&name);
                if let Some(id) = self.by_pod.get(&name).copied()
                    && self.all[id].made == Made::Yes
                    && self.all[id].result.is_none()
                {
                    log(LogLevel::Warn, &format!("{name} was deleted"));
                    self.gone(id);
                }
            }
            PodChange::Synced => {
                let first = !std::mem::replace(&mut self.synced, true);
                for id in 0..if first { self.all.len() } else { 0 } {
                    self.look(id);
                }
            }
        }
    }

    fn gone(&mut self, id: usize) {
        let entry = &self.all[id];
        let message = format!("Pod {} was deleted before it ran to completion", entry.pod);
        // What made a node's pods go has said so before it did.
        let fault = match &entry.stuck {
            Some((stuck, _)) if stuck.reason == "NodeLost" => Fault::Node,
            _ => Fault::Cluster,
        };
        let reason = Some("Deleted".to_owned());
        let began = !matches!(entry.standing, Standing::Pending) || !entry.seen;
        self.lost(id, message, Ended { reason, fault, began, ..Ended::default() }, false);
    }

    fn apply(&mut self, id: usize, pod: &Pod, log: &mut dyn FnMut(LogLevel, &str)) {
        let entry = &mut self.all[id];
        entry.seen = true;
        if entry.result.is_some() {
            return;
        }
        // Its time began when it was created, which may have been in another life.
        if let Some(created) = &pod.metadata.creation_timestamp {
            let age = Timestamp::now().duration_since(created.0);
            let age = Duration::try_from(age).unwrap_or_default();
            entry.deadline = Instant::now() + limit(&entry.job).saturating_sub(age);
        }
        let standing = outcome::of(pod);
        if standing != entry.standing {
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            log(LogLevel::Log, &format!("{} phase {}", entry.pod, phase.unwrap_or("Pending")));
        }
        entry.standing = standing.clone();
        let version = pod.metadata.resource_version.as_ref();
        entry.version = version.and_then(|version| version.parse().ok()).unwrap_or(u64::MAX);
        let name = &entry.pod;
        match standing {
            Standing::Pending => entry.stuck = None,
            Standing::Stuck(stuck) => {
                // The words change from one try to the next; the patience is for all of them.
                let known = entry.stuck.take();
                let since = known.as_ref().map_or_else(|| since(pod), |(_, since)| *since);
                if known.is_none_or(|(known, _)| known.hope != stuck.hope) {
                    log(LogLevel::Warn, &format!("{name} {}: {}", stuck.reason, stuck.message));
                }
                entry.stuck = Some((stuck, since));
                self.tick(Instant::now());
            }
            Standing::Running => {
                entry.stuck = None;
                self.stream(id);
            }
            Standing::Succeeded(ended) => {
                self.stream(id);
                self.all[id].result = Some(Ok(ended));
                self.change(id);
                if self.all[id].awaited {
                    self.settle(id);
                } else {
                    self.events.push_back(Event::Succeeded { id });
                }
            }
            Standing::Failed(ended) => {
                self.stream(id);
                let entry = &self.all[id];
                let message = failure(&entry.pod, &ended, entry.job.time_limit());
                self.lost(id, message, ended, false);
            }
        }
        self.flush_logs(id);
    }

    fn stream(&mut self, id: usize) {
        let entry = &mut self.all[id];
        if entry.job.stream_logs && !entry.streams {
            entry.streams = true;
            self.events.push_back(Event::StreamLog { pod: entry.pod.clone() });
        }
    }

    /// Ends the jobs whose time or whose patience is over.
    pub(in crate::life) fn tick(&mut self, now: Instant) {
        for id in 0..self.all.len() {
            let entry = &self.all[id];
            if entry.made != Made::Yes || entry.result.is_some() {
                continue;
            }
            let pod = &entry.pod;
            if let Some((stuck, since)) = &entry.stuck
                && now >= *since + self.patience.of(stuck.hope)
            {
                let (what, fault) = match stuck.hope {
                    Hope::Node => ("was lost", Fault::Node),
                    Hope::None | Hope::Little | Hope::Some => ("cannot start", Fault::Cluster),
                };
                let message = format!("Pod {pod} {what}: {}: {}", stuck.reason, stuck.message);
                let (reason, began) = (Some(stuck.reason.clone()), fault == Fault::Node);
                let ended = Ended { reason, fault, began, ..Ended::default() };
                self.lost(id, message, ended, true);
            } else if now >= entry.deadline {
                let limit = entry.job.time_limit();
                let message = format!("time limit ({limit} ms) exceeded");
                let reason = Some("DeadlineExceeded".to_owned());
                self.lost(id, message, Ended { reason, ..Ended::default() }, true);
            }
        }
    }

    pub(in crate::life) fn next_deadline(&self) -> Option<Instant> {
        let open =
            self.all.iter().filter(|entry| entry.made == Made::Yes && entry.result.is_none());
        open.map(|entry| match &entry.stuck {
            Some((stuck, since)) => entry.deadline.min(*since + self.patience.of(stuck.hope)),
            None => entry.deadline,
        })
        .min()
    }
}

impl Patience {
    fn of(&self, hope: Hope) -> Duration {
        match hope {
            Hope::None => Duration::ZERO,
            Hope::Little => self.start,
            Hope::Some => self.schedule,
            Hope::Node => self.node,
        }
    }
}

/// Since when a pod is stuck that is seen so for the first time: one that is being deleted has its
/// time to end first.
fn since(pod: &Pod) -> Instant {
    let left = pod.metadata.deletion_timestamp.as_ref().map(|until| {
        Duration::try_from(until.0.duration_since(Timestamp::now())).unwrap_or_default()
    });
    Instant::now() + left.unwrap_or_default()
}

/// Why a pod that failed did, in Brigade's words and the kubelet's.
fn failure(pod: &str, ended: &Ended, limit: u64) -> String {
    let plain = format!("Pod {pod} failed to run to completion");
    match (ended.reason.as_deref(), &ended.message) {
        (Some("DeadlineExceeded"), _) => format!("time limit ({limit} ms) exceeded"),
        (Some("OOMKilled"), None) => {
            format!("{plain}: OOMKilled: it needed more memory than its limit or its node has")
        }
        (Some(reason), Some(message)) => format!("{plain}: {reason}: {message}"),
        (Some(reason), None) => format!("{plain}: {reason}"),
        (None, _) => match (&ended.before, ended.exit_code) {
            (Some(name), Some(code)) => {
                format!("{plain}: its init container {name} failed with exit code {code}")
            }
            _ => plain,
        },
    }
}
