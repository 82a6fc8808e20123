//! The jobs of a build: what the script wants of each, and what has become of it.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use runtime::job::Job;
use runtime::journal::{Attempt, End};
use runtime::outcome::{Ended, Standing, Stuck};
use tokio::time::Instant;

use super::{Patience, journal};
use crate::engine::Failure;
use crate::outcome::{JobEnd, JobResult};

mod pods;
mod retry;

/// How often a script may read the log of a job: each time is noted.
const LOGS: usize = 256;

/// What follows from what has become of a job.
pub(super) enum Event {
    /// Its promise is to be rejected.
    Failed(usize, Failure),
    /// It has succeeded, and the script wants its log.
    ReadResult { id: usize },
    /// It has succeeded, and nobody asks.
    Succeeded { id: usize },
    /// The script wants its log, which there is.
    ReadLog { id: usize, token: u64 },
    /// The script wants its log, which there is not and will not be.
    NoLog { id: usize, token: u64, message: String },
    /// Its pod is said to exist, and the watch has not shown it.
    Look { id: usize, pod: String },
    /// Its log is to be shown.
    StreamLog { pod: String },
    /// Its pod is not wanted any more.
    Delete { pod: String },
    /// Another pod is to be made for it, for this reason.
    Retry { id: usize, why: String },
}

pub(crate) struct Jobs {
    all: Vec<Entry>,
    by_pod: HashMap<String, usize>,
    by_name: HashMap<String, usize>,
    /// How pods stand that no job was made for in this life yet.
    pods: HashMap<String, Pod>,
    patience: Patience,
    synced: bool,
    events: VecDeque<Event>,
    /// The jobs that have changed since somebody who listens was told, if somebody does.
    changed: Option<Vec<usize>>,
}

struct Entry {
    job: Job,
    /// The name of its Secret, which is that of its first pod.
    secret: String,
    /// The pod that stands for it.
    pod: String,
    attempt: Attempt,
    /// The build's own time at which it was run.
    at: i64,
    made: Made,
    adopted: bool,
    /// Whether its end was noted before this life.
    recalled: bool,
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
    /// How often the script has asked for its log.
    logs_asked: usize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Made {
    Not,
    Yes,
    /// It was never run: its name was taken.
    Refused,
}

impl Jobs {
    pub(super) fn new(patience: Patience, heard: bool) -> Jobs {
        Jobs {
            all: Vec::new(),
            by_pod: HashMap::new(),
            by_name: HashMap::new(),
            pods: HashMap::new(),
            patience,
            synced: false,
            events: VecDeque::new(),
            changed: heard.then(Vec::new),
        }
    }

    pub(super) fn add(&mut self, id: usize, job: Job, pod: String, at: i64) {
        debug_assert_eq!(id, self.all.len(), "ids are given in the order of the commands");
        let deadline = Instant::now() + limit(&job);
        self.by_pod.insert(pod.clone(), id);
        self.by_name.entry(job.name.clone()).or_insert(id);
        self.all.push(Entry {
            job,
            secret: pod.clone(),
            pod,
            attempt: Attempt::default(),
            at,
            made: Made::Not,
            adopted: false,
            recalled: false,
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
            logs_asked: 0,
        });
    }

    pub(super) fn refuse(&mut self, id: usize, name: &str, pod: &str) {
        // The pod stays the first job's.
        let first = self.by_pod.get(pod).copied();
        self.add(id, Job::new(name, ""), pod.to_owned(), 0);
        if let Some(first) = first {
            self.by_pod.insert(pod.to_owned(), first);
        }
        self.all[id].made = Made::Refused;
        self.all[id].settled = true;
    }

    pub(super) fn job(&self, id: usize) -> Option<&Job> {
        self.all.get(id).map(|entry| &entry.job)
    }

    pub(super) fn name(&self, id: usize) -> &str {
        self.job(id).map_or("", |job| &job.name)
    }

    /// The job of this name that was run.
    pub(super) fn named(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied().filter(|id| self.all[*id].made != Made::Refused)
    }

    pub(super) fn pod(&self, id: usize) -> &str {
        self.all.get(id).map_or("", |entry| &entry.pod)
    }

    pub(super) fn secret(&self, id: usize) -> &str {
        self.all.get(id).map_or("", |entry| &entry.secret)
    }

    /// The build's own time at which a job was run.
    pub(super) fn at(&self, id: usize) -> i64 {
        self.all.get(id).map_or(0, |entry| entry.at)
    }

    pub(super) fn attempt(&self, id: usize) -> Attempt {
        self.all.get(id).map(|entry| entry.attempt).unwrap_or_default()
    }

    pub(super) fn awaited(&mut self, id: usize) {
        if let Some(entry) = self.all.get_mut(id) {
            entry.awaited = true;
        }
        self.settle(id);
    }

    /// So many of the first jobs that were run have pods, or were never to have any.
    pub(crate) fn made(&self) -> usize {
        self.all.iter().take_while(|entry| entry.made != Made::Not).count()
    }

    /// How many jobs were run.
    pub(super) fn count(&self) -> usize {
        self.all.len()
    }

    /// Takes over how a job had ended before this life; the script is told when its turn comes.
    pub(super) fn recall(&mut self, id: usize, end: &End) {
        let entry = &mut self.all[id];
        entry.made = Made::Yes;
        entry.adopted = true;
        entry.recalled = true;
        entry.seen = true;
        entry.pod.clone_from(&end.pod);
        let ended = Ended {
            exit_code: end.exit_code,
            reason: end.reason.clone(),
            message: end.message.clone(),
            started: end.started,
            finished: end.finished,
            began: end.ran,
            ..Ended::default()
        };
        entry.settled = end.told.is_some();
        if end.succeeded {
            entry.standing = Standing::Succeeded(ended.clone());
            entry.result = Some(Ok(ended));
            self.change(id);
            self.settle(id);
        } else {
            if end.ran {
                entry.standing = Standing::Failed(ended.clone());
            }
            self.fail(id, end.message.clone().unwrap_or_default(), Some(ended));
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
            message: journal::short(message),
            job: entry.job.name.clone(),
            pod_name: entry.pod.clone(),
            exit_code: ended.exit_code,
            reason: ended.reason,
            start_time: ended.started,
            end_time: ended.finished,
        }));
        self.change(id);
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
                self.events.push_back(Event::ReadResult { id });
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

    /// How a job ended, as it is noted.
    pub(super) fn end(&self, id: usize) -> End {
        let Some(entry) = self.all.get(id) else { return End::default() };
        let pod = entry.pod.clone();
        let ran = ran(&entry.standing);
        match &entry.result {
            Some(Err(failure)) => End {
                pod,
                ran,
                message: Some(failure.message.clone()),
                exit_code: failure.exit_code,
                reason: failure.reason.clone(),
                started: failure.start_time,
                finished: failure.end_time,
                ..End::default()
            },
            Some(Ok(ended)) => End {
                pod,
                ran,
                succeeded: true,
                exit_code: ended.exit_code,
                reason: ended.reason.clone(),
                started: ended.started,
                finished: ended.finished,
                ..End::default()
            },
            None => End { pod, ran, ..End::default() },
        }
    }

    pub(super) fn failure(&self, id: usize) -> Option<&Failure> {
        self.all.get(id)?.result.as_ref()?.as_ref().err()
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
        let again = follow && self.all.iter().any(|entry| entry.adopted && !entry.recalled);
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
    pub(super) fn log_without_reading(&mut self, id: usize) -> Option<Result<String, String>> {
        let entry = self.all.get_mut(id)?;
        entry.logs_asked += 1;
        if entry.logs_asked > LOGS {
            let job = &entry.job.name;
            return Some(Err(format!(
                "the log of job {job} was read {LOGS} times, and is not read again: read it less often, or when the job has ended"
            )));
        }
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
        let ran = ran(&entry.standing);
        if !ran && entry.result.is_none() {
            return;
        }
        let pod = &entry.pod;
        for token in std::mem::take(&mut entry.log_tokens) {
            self.events.push_back(if ran {
                Event::ReadLog { id, token }
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

    /// How a job failed, in a sentence.
    pub(super) fn failure_of(&self, job: &str) -> Option<String> {
        self.all.iter().find_map(|entry| match &entry.result {
            Some(Err(failure)) if failure.job == job => {
                Some(format!("job {}: {}", failure.job, failure.message))
            }
            _ => None,
        })
    }

    /// Notes that there is something to tell of a job to who listens.
    fn change(&mut self, id: usize) {
        if let Some(changed) = &mut self.changed
            && !changed.contains(&id)
        {
            changed.push(id);
        }
    }

    /// The jobs that have changed since this was asked before, in the order of that.
    pub(super) fn take_changed(&mut self) -> Vec<usize> {
        self.changed.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// How a job ended, if it has.
    pub(super) fn ended(&self, id: usize, masked: impl Fn(&str) -> String) -> Option<JobEnd> {
        let entry = self.all.get(id)?;
        let result = match entry.result.as_ref()? {
            Ok(_) => JobResult::Succeeded,
            Err(failure) => JobResult::Failed(masked(&failure.message)),
        };
        Some(JobEnd { name: entry.job.name.clone(), pod: entry.pod.clone(), result })
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

/// How long a job may take.
fn limit(job: &Job) -> Duration {
    Duration::from_millis(job.time_limit())
}

/// Whether there is a log.
fn ran(standing: &Standing) -> bool {
    match standing {
        Standing::Running | Standing::Succeeded(_) => true,
        Standing::Failed(ended) => ended.began || ended.exit_code.is_some(),
        Standing::Pending | Standing::Stuck(_) => false,
    }
}
