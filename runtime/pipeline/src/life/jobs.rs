//! The jobs of a build: what the script wants of each, and what has become of its pod.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use runtime::cluster::PodChange;
use runtime::event::LogLevel;
use runtime::job::Job;
use runtime::outcome::{self, Ended, Hope, Standing, Stuck};
use tokio::time::Instant;

use super::Patience;
use crate::engine::Failure;
use crate::outcome::{JobEnd, JobResult};

/// What follows from what has become of a job.
pub(super) enum Event {
    /// Its promise is to be rejected.
    Failed(usize, Failure),
    /// It has succeeded, and the script wants its log.
    ReadResult { id: usize, pod: String },
    /// The script wants its log, which there is.
    ReadLog { id: usize, pod: String, token: u64 },
    /// The script wants its log, which there is not and will not be.
    NoLog { id: usize, token: u64, message: String },
    /// Its pod is said to exist, and the watch has not shown it.
    Look { id: usize, pod: String },
    /// Its log is to be shown.
    StreamLog { pod: String },
    /// Its pod is not wanted any more.
    Delete { pod: String },
}

pub(crate) struct Jobs {
    all: Vec<Entry>,
    by_pod: HashMap<String, usize>,
    /// How pods stand that no job was made for in this life yet.
    pods: HashMap<String, Pod>,
    patience: Patience,
    synced: bool,
    events: VecDeque<Event>,
}

struct Entry {
    job: Job,
    pod: String,
    made: Made,
    adopted: bool,
    /// Whether its pod was seen.
    seen: bool,
    awaited: bool,
    /// When its time is over.
    deadline: Instant,
    stuck: Option<(Stuck, Instant)>,
    standing: Standing,
    /// The version of the pod that says so.
    version: u64,
    result: Option<Result<Ended, Failure>>,
    /// Whether its promise has been settled, or is about to be.
    settled: bool,
    streams: bool,
    log_tokens: Vec<u64>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Made {
    Not,
    Yes,
    /// It was never run: its name was taken.
    Refused,
}

impl Jobs {
    pub(super) fn new(patience: Patience) -> Jobs {
        Jobs {
            all: Vec::new(),
            by_pod: HashMap::new(),
            pods: HashMap::new(),
            patience,
            synced: false,
            events: VecDeque::new(),
        }
    }

    pub(super) fn add(&mut self, id: usize, job: Job, pod: String) {
        debug_assert_eq!(id, self.all.len(), "ids are given in the order of the commands");
        let deadline = Instant::now() + Duration::from_millis(job.time_limit());
        self.by_pod.insert(pod.clone(), id);
        self.all.push(Entry {
            job,
            pod,
            made: Made::Not,
            adopted: false,
            seen: false,
            awaited: false,
            deadline,
            stuck: None,
            standing: Standing::Pending,
            version: 0,
            result: None,
            settled: false,
            streams: false,
            log_tokens: Vec::new(),
        });
    }

    pub(super) fn refuse(&mut self, id: usize, name: &str, pod: &str) {
        // The pod stays the first job's.
        let first = self.by_pod.get(pod).copied();
        self.add(id, Job::new(name, ""), pod.to_owned());
        if let Some(first) = first {
            self.by_pod.insert(pod.to_owned(), first);
        }
        self.all[id].made = Made::Refused;
        self.all[id].settled = true;
    }

    pub(super) fn job(&self, id: usize) -> Option<&Job> {
        self.all.get(id).map(|entry| &entry.job)
    }

    pub(super) fn awaited(&mut self, id: usize) {
        if let Some(entry) = self.all.get_mut(id) {
            entry.awaited = true;
        }
        self.settle(id);
    }

    /// Notes that a job's objects exist.
    pub(super) fn created(&mut self, id: usize, adopted: bool) {
        let Some(entry) = self.all.get_mut(id) else { return };
        entry.made = Made::Yes;
        entry.adopted = adopted;
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

    /// Notes what looking for a pod has found; says whether its job must be created again.
    pub(super) fn looked(&mut self, id: usize, pod: Option<&Pod>) -> bool {
        if self.all[id].seen || self.all[id].result.is_some() {
            return false;
        }
        match pod {
            Some(pod) => self.apply(id, pod, &mut |_, _| ()),
            None => self.all[id].made = Made::Not,
        }
        pod.is_none()
    }

    /// Takes a change of a pod; `log` is told how it stands now.
    pub(super) fn changed(&mut self, change: PodChange, mut log: impl FnMut(LogLevel, &str)) {
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
                    self.fail(
                        id,
                        format!("Pod {name} was deleted before it ran to completion"),
                        None,
                    );
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

    fn apply(&mut self, id: usize, pod: &Pod, log: &mut dyn FnMut(LogLevel, &str)) {
        let limit = Duration::from_millis(self.all[id].job.time_limit());
        let entry = &mut self.all[id];
        entry.seen = true;
        if entry.result.is_some() {
            return;
        }
        // Its time began when it was created, which may have been in another life.
        if let Some(created) = &pod.metadata.creation_timestamp {
            let age = Timestamp::now().duration_since(created.0);
            let age = Duration::try_from(age).unwrap_or_default();
            entry.deadline = Instant::now() + limit.saturating_sub(age);
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
                let since = entry.stuck.take().map_or_else(Instant::now, |(_, since)| since);
                if entry.stuck.is_none() {
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
                self.settle(id);
            }
            Standing::Failed(ended) => {
                self.stream(id);
                let entry = &self.all[id];
                let message = failure(&entry.pod, &ended, entry.job.time_limit());
                self.fail(id, message, Some(ended));
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

    /// Ends a job without success.
    pub(super) fn fail(&mut self, id: usize, message: String, ended: Option<Ended>) {
        let Some(entry) = self.all.get_mut(id) else { return };
        if entry.result.is_some() {
            return;
        }
        let ended = ended.unwrap_or_default();
        entry.result = Some(Err(Failure {
            message,
            job: entry.job.name.clone(),
            pod_name: entry.pod.clone(),
            exit_code: ended.exit_code,
            reason: ended.reason,
        }));
        self.settle(id);
        self.flush_logs(id);
    }

    /// Ends all that has not ended.
    pub(super) fn cancel(&mut self, reason: &str) {
        for id in 0..self.all.len() {
            let entry = &self.all[id];
            if entry.made == Made::Refused || entry.result.is_some() {
                continue;
            }
            if entry.made == Made::Yes {
                self.events.push_back(Event::Delete { pod: entry.pod.clone() });
            }
            let ended = Ended { reason: Some("Cancelled".to_owned()), ..Ended::default() };
            self.fail(id, reason.to_owned(), Some(ended));
        }
    }

    /// Has the pod of a job deleted that was made when nobody wanted it any more.
    pub(super) fn delete(&mut self, id: usize) {
        if let Some(entry) = self.all.get(id) {
            self.events.push_back(Event::Delete { pod: entry.pod.clone() });
        }
    }

    /// Whether it is known how a job ended.
    pub(super) fn has_ended(&self, id: usize) -> bool {
        self.all.get(id).is_some_and(|entry| entry.result.is_some())
    }

    /// Settles a job's promise if there is something to tell and somebody to tell it.
    fn settle(&mut self, id: usize) {
        let Some(entry) = self.all.get_mut(id) else { return };
        if entry.settled {
            return;
        }
        match &entry.result {
            Some(Ok(_)) if entry.awaited => {
                entry.settled = true;
                self.events.push_back(Event::ReadResult { id, pod: entry.pod.clone() });
            }
            // A failure is told even if nobody asked: it is what nobody caught.
            Some(Err(failure)) => {
                entry.settled = true;
                let failure = failure.clone();
                self.events.push_back(Event::Failed(id, failure));
            }
            Some(Ok(_)) | None => {}
        }
    }

    /// Ends the jobs whose time or whose patience is over.
    pub(super) fn tick(&mut self, now: Instant) {
        for id in 0..self.all.len() {
            let entry = &self.all[id];
            if entry.made != Made::Yes || entry.result.is_some() {
                continue;
            }
            let pod = entry.pod.clone();
            if let Some((stuck, since)) = &entry.stuck
                && now >= *since + self.patience.of(stuck.hope)
            {
                let message =
                    format!("Pod {pod} cannot start: {}: {}", stuck.reason, stuck.message);
                let reason = Some(stuck.reason.clone());
                self.events.push_back(Event::Delete { pod });
                self.fail(id, message, Some(Ended { reason, ..Ended::default() }));
            } else if now >= entry.deadline {
                let limit = entry.job.time_limit();
                let message = format!("time limit ({limit} ms) exceeded");
                let reason = Some("DeadlineExceeded".to_owned());
                self.events.push_back(Event::Delete { pod });
                self.fail(id, message, Some(Ended { reason, ..Ended::default() }));
            }
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let open =
            self.all.iter().filter(|entry| entry.made == Made::Yes && entry.result.is_none());
        open.map(|entry| match &entry.stuck {
            Some((stuck, since)) => entry.deadline.min(*since + self.patience.of(stuck.hope)),
            None => entry.deadline,
        })
        .min()
    }

    /// Takes the next thing to do. Of the ends that are known, the earliest is told first: after
    /// a worker's death, jobs end in the order in which they had ended.
    /// A log is read only if one more may be held in memory.
    pub(super) fn next_event(
        &mut self,
        follow: bool,
        creating: bool,
        may_read: bool,
    ) -> Option<Event> {
        let again = follow && self.all.iter().any(|entry| entry.adopted);
        if again && (creating || !self.synced) {
            return None;
        }
        let mut earliest: Option<((Option<Timestamp>, u64), usize)> = None;
        for (at, event) in self.events.iter().enumerate() {
            let finished = match event {
                Event::ReadResult { .. } | Event::ReadLog { .. } if !may_read => continue,
                Event::ReadResult { id, .. } | Event::Failed(id, _) => self.finished_at(*id),
                // Everything else is in no order with the ends.
                _ => return self.events.remove(at),
            };
            if earliest.as_ref().is_none_or(|(first, _)| finished < *first) {
                earliest = Some((finished, at));
            }
        }
        earliest.and_then(|(_, at)| self.events.remove(at))
    }

    /// When a job ended; within a second, which is as exact as Kubernetes is, the pod that was
    /// changed earlier ended earlier.
    fn finished_at(&self, id: usize) -> (Option<Timestamp>, u64) {
        let entry = &self.all[id];
        let finished = match &entry.standing {
            Standing::Succeeded(ended) | Standing::Failed(ended) => ended.finished,
            _ => None,
        };
        (finished, entry.version)
    }

    /// What the script is told of a log that needs no reading.
    pub(super) fn log_without_reading(&self, id: usize) -> Option<Result<String, String>> {
        let entry = self.all.get(id)?;
        if entry.made == Made::Refused {
            return Some(Err(format!("job {} was not run, so it has no logs", entry.job.name)));
        }
        None
    }

    pub(super) fn wants_log(&mut self, id: usize, token: u64) {
        if let Some(entry) = self.all.get_mut(id) {
            entry.log_tokens.push(token);
        }
        self.flush_logs(id);
    }

    /// Reads the logs that were asked for, as soon as there are any.
    fn flush_logs(&mut self, id: usize) {
        let Some(entry) = self.all.get_mut(id) else { return };
        let ran = matches!(
            entry.standing,
            Standing::Running | Standing::Succeeded(_) | Standing::Failed(_)
        );
        if !ran && entry.result.is_none() {
            return;
        }
        let pod = &entry.pod;
        for token in std::mem::take(&mut entry.log_tokens) {
            self.events.push_back(if ran {
                Event::ReadLog { id, pod: pod.clone(), token }
            } else {
                let message = format!(
                    "pod {pod} still unscheduled or pending when job was canceled; no logs to return."
                );
                Event::NoLog { id, token, message }
            });
        }
    }

    /// Whether a job may still be created.
    pub(super) fn in_time(&self, id: usize) -> bool {
        self.all.get(id).is_some_and(|entry| Instant::now() < entry.deadline)
    }

    /// How many jobs have not ended.
    pub(super) fn open(&self) -> usize {
        let open =
            self.all.iter().filter(|entry| entry.made != Made::Refused && entry.result.is_none());
        open.count()
    }

    /// Whether the build waits for a job.
    pub(super) fn any_open(&self) -> bool {
        !self.events.is_empty()
            || self.all.iter().any(|entry| match entry.made {
                Made::Refused => false,
                Made::Not | Made::Yes => entry.result.is_none(),
            })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Job, &str, bool)> {
        let run = self.all.iter().filter(|entry| entry.made == Made::Yes);
        run.map(|entry| (&entry.job, entry.pod.as_str(), entry.adopted))
    }

    /// The first job that somebody awaits and that has not ended.
    pub(crate) fn first_awaited(&self) -> Option<&Job> {
        let open = self.all.iter().find(|entry| entry.awaited && entry.result.is_none());
        open.map(|entry| &entry.job)
    }

    pub(super) fn first_failure(&self) -> Option<String> {
        self.all.iter().find_map(|entry| match &entry.result {
            Some(Err(failure)) => Some(format!("job {}: {}", failure.job, failure.message)),
            Some(Ok(_)) | None => None,
        })
    }

    pub(super) fn ends(&self, masked: impl Fn(&str) -> String) -> Vec<JobEnd> {
        let run = self.all.iter().filter(|entry| entry.made != Made::Refused);
        run.map(|entry| JobEnd {
            name: entry.job.name.clone(),
            pod: entry.pod.clone(),
            result: match &entry.result {
                Some(Ok(_)) => JobResult::Succeeded,
                Some(Err(failure)) => JobResult::Failed(masked(&failure.message)),
                None => JobResult::Left,
            },
        })
        .collect()
    }
}

impl Patience {
    fn of(&self, hope: Hope) -> Duration {
        match hope {
            Hope::None => Duration::ZERO,
            Hope::Little => self.start,
            Hope::Some => self.schedule,
        }
    }
}

/// Why a pod that failed did, in Brigade's words and the kubelet's.
fn failure(pod: &str, ended: &Ended, limit: u64) -> String {
    let plain = format!("Pod {pod} failed to run to completion");
    match (ended.reason.as_deref(), &ended.message) {
        (Some("DeadlineExceeded"), _) => format!("time limit ({limit} ms) exceeded"),
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
