//! What the script is told next, and when.
//!
//! What was told in an earlier life of the build is told again first, in the same order and at the
//! same time of the build, with the timers between. What is new is told as it comes; it is noted,
//! and nothing that follows from it is done before the note is written.

use runtime::event::LogLevel;

use super::journal::Head;
use super::tasks::Happened;
use super::{Life, READINGS, logs};
use crate::engine::{Delivery, Failure, Returned};

/// How many notes may wait before no more logs are read.
const NOTES: usize = 64;

/// Something from outside, for the script.
pub(super) enum Arrival {
    Settled { id: usize, result: Result<Returned, Failure> },
    Log { id: usize, token: u64, result: Result<String, String> },
}

pub(super) enum Next {
    /// Tell this, at this time of the build.
    Tell(Delivery, i64),
    /// Something was done, look again.
    Again,
    /// Nothing until something happens.
    Nothing,
}

impl Life<'_> {
    pub(super) fn next(&mut self, follow: bool) -> Next {
        self.ask();
        let busy = self.creating > 0 || !(self.uncreated.is_empty() || self.holds_jobs_back());
        let Some(journal) = &self.journal else { return Next::Nothing };
        if let Some(head) = journal.head() {
            // What was made before is to be known first.
            if busy {
                return Next::Nothing;
            }
            let head = head.clone();
            return match self.timers.due(head.told.at) {
                Some((timer, at)) => Next::Tell(Delivery::Timer(timer), at),
                None => self.repeat(&head),
            };
        }
        // Who follows nothing does not wait, and lets ring what rings at once.
        let now = if follow { self.clock.live() } else { self.clock.now() + 1 };
        if let Some((timer, at)) = self.timers.due(now) {
            return Next::Tell(Delivery::Timer(timer), at);
        }
        if let Some(arrival) = self.arrivals.pop_front() {
            // At no later time: no timer up to then is told after it when this is told again.
            return self.tell(arrival, now);
        }
        // What was read is in memory until it is noted.
        let may_read = self.reading < READINGS && self.notes.len() < NOTES;
        match self.jobs.next_event(follow, busy, may_read) {
            Some(event) => {
                self.happened(event);
                Next::Again
            }
            None => Next::Nothing,
        }
    }

    /// Asks for the logs that the script wants, but for those that it was given before.
    fn ask(&mut self) {
        let Some(journal) = &self.journal else { return };
        for (id, token) in std::mem::take(&mut self.asked) {
            let name = self.jobs.job(id).map_or("", |job| &job.name);
            if journal.record(name).is_some_and(|record| record.logs.contains_key(&token)) {
                self.repeated.insert(token);
            } else {
                self.jobs.wants_log(id, token);
            }
        }
    }

    /// Tells something new.
    fn tell(&mut self, arrival: Arrival, at: i64) -> Next {
        let Some(journal) = &mut self.journal else { return Next::Nothing };
        let (note, delivery) = match arrival {
            Arrival::Settled { id, result } => {
                let mut end = self.jobs.end(id);
                end.log = result.as_ref().ok().map(|returned| returned.text.clone());
                let note = journal.end(self.jobs.secret(id), end, Some(at));
                (note, Delivery::Settle { id, result })
            }
            Arrival::Log { id, token, result } => {
                self.given(id);
                let Some(journal) = &mut self.journal else { return Next::Nothing };
                let note = journal.log(self.jobs.secret(id), token, &result, at);
                (note, Delivery::Logs { token, result })
            }
        };
        self.note(note);
        Next::Tell(delivery, at)
    }

    /// A log that was asked for is given to the script.
    fn given(&mut self, id: usize) {
        if let Some(at) = self.logs_wanted.iter().position(|wanted| *wanted == id) {
            self.logs_wanted.remove(at);
        }
    }

    /// Tells again what was told before.
    fn repeat(&mut self, head: &Head) -> Next {
        let at = head.told.at;
        let delivery = self.jobs.named(&head.job).and_then(|id| match head.token {
            None => self.repeat_end(id),
            Some(token) if self.repeated.contains(&token) => self.repeat_log(id, token),
            Some(_) => None,
        });
        let Some(journal) = &mut self.journal else { return Next::Nothing };
        match delivery {
            // The script is another one, or the cluster has lost something.
            None => {
                let text =
                    format!("job {} was told to the script before, and is not now", head.job);
                self.printer.worker(LogLevel::All, "app", &text);
                journal.skip();
                Next::Again
            }
            Some(Some(delivery)) => {
                journal.pass();
                Next::Tell(delivery, at)
            }
            Some(None) => Next::Nothing,
        }
    }

    /// `Some(None)` while its log is read.
    fn repeat_end(&mut self, id: usize) -> Option<Option<Delivery>> {
        if let Some(failure) = self.jobs.failure(id).cloned() {
            return Some(Some(Delivery::Settle { id, result: Err(self.say_failed(failure)) }));
        }
        let record = self.journal.as_ref()?.record(&self.jobs.job(id)?.name)?;
        let end = record.end.as_ref()?;
        if end.whole {
            let text = end.log.clone().unwrap_or_default();
            return Some(Some(Delivery::Settle { id, result: Ok(self.returned(id, text)) }));
        }
        let same = |arrival: &Arrival| matches!(arrival, Arrival::Settled { id: other, .. } if *other == id);
        if let Some(index) = self.arrivals.iter().position(same)
            && let Some(Arrival::Settled { result, .. }) = self.arrivals.remove(index)
        {
            return Some(Some(Delivery::Settle { id, result }));
        }
        self.read_again(id, None);
        Some(None)
    }

    fn repeat_log(&mut self, id: usize, token: u64) -> Option<Option<Delivery>> {
        let record = self.journal.as_ref()?.record(&self.jobs.job(id)?.name)?;
        let log = record.logs.get(&token)?;
        if log.whole {
            let result = if log.read { Ok(log.text.clone()) } else { Err(log.text.clone()) };
            self.given(id);
            return Some(Some(Delivery::Logs { token, result }));
        }
        let same = |arrival: &Arrival| matches!(arrival, Arrival::Log { token: other, .. } if *other == token);
        if let Some(index) = self.arrivals.iter().position(same)
            && let Some(Arrival::Log { result, .. }) = self.arrivals.remove(index)
        {
            self.given(id);
            return Some(Some(Delivery::Logs { token, result }));
        }
        self.read_again(id, Some(token));
        Some(None)
    }

    fn read_again(&mut self, id: usize, token: Option<u64>) {
        if self.reading_again != Some((id, token)) {
            self.reading_again = Some((id, token));
            self.read(id, token);
        }
    }

    /// Reads the log of a job.
    pub(super) fn read(&mut self, id: usize, token: Option<u64>) {
        let (cluster, namespace) =
            (self.context.cluster.clone(), self.context.build.namespace.clone());
        let (limit, pod) = (self.context.options.limits.log, self.jobs.pod(id).to_owned());
        self.reading += 1;
        self.tasks.push(Box::pin(async move {
            let result = logs::end(&cluster, &namespace, &pod, limit).await;
            Happened::Log { id, token, result }
        }));
    }

    /// Takes a log that was read.
    pub(super) fn was_read(
        &mut self,
        id: usize,
        token: Option<u64>,
        result: Result<String, String>,
    ) {
        self.reading -= 1;
        let record = self.jobs.job(id).and_then(|job| self.journal.as_ref()?.record(&job.name));
        // What was kept of it, if the pod is gone.
        let kept = record.and_then(|record| match token {
            Some(token) => record.logs.get(&token).map(|log| log.text.clone()),
            None => record.end.as_ref()?.log.clone(),
        });
        let arrival = match (token, kept) {
            (Some(token), Some(kept)) => Arrival::Log { id, token, result: result.or(Ok(kept)) },
            (Some(token), None) => Arrival::Log { id, token, result },
            (None, kept) => {
                let text = result.unwrap_or_else(|message| {
                    let rest =
                        if kept.is_some() { "the end that was kept" } else { "an empty text" };
                    let text = format!("{message}; its result is {rest}");
                    self.printer.worker(LogLevel::Warn, "k8s", &text);
                    kept.unwrap_or_default()
                });
                Arrival::Settled { id, result: Ok(self.returned(id, text)) }
            }
        };
        self.arrivals.push_back(arrival);
    }

    pub(super) fn returned(&self, id: usize, text: String) -> Returned {
        let end = self.jobs.end(id);
        Returned {
            text,
            pod_name: end.pod,
            exit_code: end.exit_code,
            start_time: end.started,
            end_time: end.finished,
        }
    }

    /// Prints that a job has failed; the answer is what its promise says.
    pub(super) fn say_failed(&self, failure: Failure) -> Failure {
        let (job, message) = (&failure.job, &failure.message);
        self.printer.console("error", &format!("Error: {message}"));
        self.printer.worker(LogLevel::Error, "k8s", &format!("job {job} failed"));
        let message = format!("job {job}({}): Error: {message}", failure.pod_name);
        Failure { message, ..failure }
    }
}
