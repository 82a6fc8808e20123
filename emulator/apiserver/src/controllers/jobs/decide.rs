//! What is to be done about a job, from the job and its pods alone. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::TRACKING;
use super::backoff::{BackOff, LIMIT, PAUSE, finish_time};
use super::indexes::{Indexes, index_of};
use super::policy::{self, Verdict};
use super::status::Status;
use crate::controllers::queue::{doubled, later};
use crate::controllers::work::{BURST, is_active, is_finished, is_ready, time, worth};
use crate::object;
use crate::store::Object;

/// How many pods are counted by one look at most: the status names each of them.
const COUNTED: usize = 500;

const FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
const IGNORED_FAILURES: &str = "batch.kubernetes.io/job-index-ignored-failure-count";

/// What is to be done, in this order.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Pods that end with the job; they keep the finalizer until they are counted.
    pub(super) end: Vec<Arc<Object>>,
    /// Pods that are too many: they lose the finalizer first, so that they do not count.
    pub(super) withdraw: Vec<Arc<Object>>,
    pub(super) create: Vec<New>,
    /// The status to write before finalizers are removed.
    pub(super) status: Status,
    /// Pods that lose the finalizer.
    pub(super) release: Vec<Arc<Object>>,
    /// How the job ends when everything is counted.
    pub(super) ending: Option<Ending>,
    /// Whether nothing was left out for the next look.
    pub(super) whole: bool,
    pub(super) back_off: BackOff,
    /// When to look again.
    pub(super) again: Option<Timestamp>,
    pub(super) said: Vec<(&'static str, &'static str)>,
}

/// A pod to be made.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct New {
    pub(super) index: Option<u64>,
    /// Failures of the index so far, for a job that counts them, by annotation.
    pub(super) annotations: BTreeMap<&'static str, String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ending {
    pub(super) failed: bool,
    pub(super) reason: String,
    pub(super) message: String,
}

impl Ending {
    fn failed(reason: &str, message: impl Into<String>) -> Self {
        Ending { failed: true, reason: reason.to_owned(), message: message.into() }
    }

    fn of(condition: &Value, failed: bool) -> Self {
        let text = |key: &str| object::text(condition, &[key]).to_owned();
        Ending { failed, reason: text("reason"), message: text("message") }
    }
}

/// A job and its pods, as one look sees them.
struct Look<'a> {
    spec: &'a Value,
    pods: &'a [Arc<Object>],
    now: Timestamp,
    /// How many completions there are to be; none when any success completes the job.
    completions: Option<u64>,
    indexed: bool,
    /// Failures that an index may have.
    per_index: Option<u64>,
    /// Whether pods that are going are replaced only when they have failed.
    only_failed: bool,
    succeeded_indexes: Indexes,
    failed_indexes: Indexes,
    /// The last failed pod of each index that waits for its replacement.
    delayed: BTreeMap<u64, Arc<Object>>,
}

pub(super) fn decide(
    job: &Value,
    pods: &[Arc<Object>],
    back_off: &BackOff,
    now: Timestamp,
) -> Plan {
    let spec = &job["spec"];
    let mut look = Look {
        spec,
        pods,
        now,
        completions: spec["completions"].as_u64(),
        indexed: spec["completionMode"] == "Indexed",
        per_index: spec["backoffLimitPerIndex"].as_u64(),
        only_failed: spec["podReplacementPolicy"] == "Failed",
        succeeded_indexes: Indexes::default(),
        failed_indexes: Indexes::default(),
        delayed: BTreeMap::new(),
    };
    let suspended = spec["suspend"] == true;
    let mut plan = Plan { status: Status::read(job), whole: true, ..Plan::default() };
    let before = plan.status.clone();
    let active: Vec<&Arc<Object>> = pods.iter().filter(|pod| is_active(&pod.value)).collect();
    let terminating =
        pods.iter().filter(|pod| object::is_deleting(&pod.value) && !is_finished(&pod.value));
    plan.status.terminating = terminating.count() as u64;
    plan.status.active = active.len() as u64;
    plan.status.ready = active.iter().filter(|pod| is_ready(&pod.value)).count() as u64;
    let (new_succeeded, new_failed) = look.news(&before);
    let mut succeeded =
        before.succeeded + (new_succeeded.len() + before.uncounted_succeeded.len()) as u64;
    let failures = new_failed.iter().filter(|pod| look.verdict(&pod.value) != Verdict::Ignored);
    let failed = before.failed + failures.count() as u64 + before.uncounted_failed.len() as u64;
    if plan.status.start_time.is_none() && !suspended {
        plan.status.start_time = Some(object::seconds(now));
    }
    plan.back_off = back_off.after(&new_succeeded, &new_failed, now);

    let mut ending = look.known_ending(&before);
    if ending.is_none() {
        let limit = spec["backoffLimit"].as_u64().unwrap_or(6);
        let deadline = spec["activeDeadlineSeconds"]
            .as_i64()
            .filter(|_| !suspended)
            .zip(plan.status.start_time.as_ref().and_then(|start| start.parse().ok()))
            .map(|(seconds, start): (i64, Timestamp)| {
                later(start, SignedDuration::from_secs(seconds))
            });
        if failed > limit || look.restarted_too_often(limit) {
            ending = Some(Ending::failed(
                "BackoffLimitExceeded",
                "Job has reached the specified backoff limit",
            ));
        } else if deadline.is_some_and(|deadline| deadline <= now) {
            ending = Some(Ending::failed(
                "DeadlineExceeded",
                "Job was active longer than specified deadline",
            ));
        } else {
            plan.again = deadline;
        }
    }
    let completed_before = Indexes::parse(&before.completed_indexes, look.limit());
    if look.indexed {
        look.count_indexes(&before, &completed_before);
        succeeded = look.succeeded_indexes.count();
        ending = ending.or_else(|| look.ending_by_indexes());
        look.delay(&active);
    }
    let deleting = object::is_deleting(job);
    if ending.is_some() {
        plan.end = active.iter().map(|pod| Arc::clone(pod)).collect();
        plan.status.terminating += plan.status.active;
        plan.status.active = 0;
        plan.status.ready = 0;
    } else {
        if !deleting {
            look.manage(&mut plan, &active, succeeded, suspended);
        }
        let complete = match look.completions {
            None => succeeded > 0 && plan.status.active == 0,
            Some(completions) => succeeded >= completions && plan.status.active == 0,
        };
        if complete {
            ending = Some(Ending {
                failed: false,
                reason: "CompletionsReached".to_owned(),
                message: "Reached expected number of succeeded pods".to_owned(),
            });
        } else if !deleting {
            look.tell_suspension(&mut plan, suspended);
        }
    }
    look.count(&mut plan, deleting, ending.as_ref(), &completed_before);
    if let Some(ending) = &ending {
        let kind = if ending.failed { "FailureTarget" } else { "SuccessCriteriaMet" };
        if plan.status.condition(kind).is_none() {
            plan.status.set(kind, true, &ending.reason, &ending.message, now);
        }
    }
    plan.ending = ending;
    plan
}

impl Look<'_> {
    /// Indexes lie below this.
    fn limit(&self) -> u64 {
        self.completions.unwrap_or_default()
    }

    fn has_failed(&self, pod: &Value) -> bool {
        match object::text(pod, &["status", "phase"]) {
            "Failed" => true,
            "Succeeded" => false,
            // Pods that go before they have ended count as failed.
            _ => !self.only_failed && object::is_deleting(pod),
        }
    }

    fn verdict(&self, pod: &Value) -> Verdict {
        policy::verdict(&self.spec["podFailurePolicy"], pod)
    }

    /// The pods with the finalizer that count for the job and are not in these uids.
    fn valid<'a>(&'a self, known: &'a [String]) -> impl Iterator<Item = &'a Arc<Object>> {
        let known: BTreeSet<&str> = known.iter().map(String::as_str).collect();
        self.pods.iter().filter(move |pod| {
            is_tracked(&pod.value)
                && !known.contains(object::uid(&pod.value))
                && (!self.indexed || index_of(&pod.value, self.limit()).is_some())
        })
    }

    /// The pods that have succeeded and failed since the status was written.
    fn news(&self, before: &Status) -> (Vec<Arc<Object>>, Vec<Arc<Object>>) {
        let succeeded = self
            .valid(&before.uncounted_succeeded)
            .filter(|pod| object::text(&pod.value, &["status", "phase"]) == "Succeeded");
        let failed = self.valid(&before.uncounted_failed).filter(|pod| self.has_failed(&pod.value));
        (succeeded.cloned().collect(), failed.cloned().collect())
    }

    /// The end that was decided before, or that a failed pod brings about.
    fn known_ending(&self, before: &Status) -> Option<Ending> {
        if let Some(condition) = before.condition("SuccessCriteriaMet") {
            return Some(Ending::of(condition, false));
        }
        if let Some(condition) = before.condition("FailureTarget") {
            return Some(Ending::of(condition, true));
        }
        if !self.spec["podFailurePolicy"].is_object() {
            return None;
        }
        self.pods.iter().filter(|pod| self.has_failed(&pod.value)).find_map(|pod| {
            match self.verdict(&pod.value) {
                Verdict::FailsJob(why) => Some(Ending::failed("PodFailurePolicy", why)),
                _ => None,
            }
        })
    }

    /// Whether containers that are restarted in place were restarted too often.
    fn restarted_too_often(&self, limit: u64) -> bool {
        if object::text(self.spec, &["template", "spec", "restartPolicy"]) != "OnFailure" {
            return false;
        }
        let restarts: u64 = self
            .pods
            .iter()
            .filter(|pod| {
                matches!(object::text(&pod.value, &["status", "phase"]), "Running" | "Pending")
            })
            .flat_map(|pod| {
                ["initContainerStatuses", "containerStatuses"]
                    .into_iter()
                    .flat_map(|list| object::list(&pod.value, &["status", list]))
            })
            .filter_map(|status| status["restartCount"].as_u64())
            .sum();
        restarts >= limit.max(1)
    }

    fn count_indexes(&mut self, before: &Status, completed: &Indexes) {
        let limit = self.limit();
        let with = |known: &Indexes, wanted: &dyn Fn(&Value) -> bool| {
            let new = self.pods.iter().filter(|pod| is_tracked(&pod.value) && wanted(&pod.value));
            known.with(new.filter_map(|pod| index_of(&pod.value, limit)))
        };
        let succeeded =
            with(completed, &|pod| object::text(pod, &["status", "phase"]) == "Succeeded");
        let mut failed = Indexes::default();
        if let Some(allowed) = self.per_index {
            let text = before.failed_indexes.as_deref().unwrap_or_default();
            failed = with(&Indexes::parse(text, limit), &|pod| {
                self.has_failed(pod)
                    && match self.verdict(pod) {
                        Verdict::FailsIndex => true,
                        Verdict::Ignored => false,
                        _ => failures(pod, FAILURES) >= allowed,
                    }
            });
        }
        self.succeeded_indexes = succeeded;
        self.failed_indexes = failed;
    }

    fn ending_by_indexes(&self) -> Option<Ending> {
        let failed = self.failed_indexes.count();
        if self.per_index.is_some() {
            if self.spec["maxFailedIndexes"].as_u64().is_some_and(|limit| failed > limit) {
                return Some(Ending::failed(
                    "MaxFailedIndexesExceeded",
                    "Job has exceeded the specified maximal number of failed indexes",
                ));
            }
            if failed > 0 && failed + self.succeeded_indexes.count() >= self.limit() {
                return Some(Ending::failed("FailedIndexes", "Job has failed indexes"));
            }
        }
        let message =
            policy::success(&self.spec["successPolicy"], self.limit(), &self.succeeded_indexes)?;
        Some(Ending { failed: false, reason: "SuccessPolicy".to_owned(), message })
    }

    /// Finds the failed pods whose replacements are to carry their count on.
    fn delay(&mut self, active: &[&Arc<Object>]) {
        if self.per_index.is_none() {
            return;
        }
        let limit = self.limit();
        let active: BTreeSet<u64> =
            active.iter().filter_map(|pod| index_of(&pod.value, limit)).collect();
        let mut delayed: BTreeMap<u64, Arc<Object>> = BTreeMap::new();
        for pod in self.valid(&[]).filter(|pod| self.has_failed(&pod.value)) {
            let Some(index) = index_of(&pod.value, limit) else { continue };
            let done = self.succeeded_indexes.has(index) || self.failed_indexes.has(index);
            if done || active.contains(&index) {
                continue;
            }
            let rank = |pod: &Value| (all_failures(pod), finish_time(pod, self.now));
            match delayed.get(&index) {
                Some(last) if rank(&last.value) > rank(&pod.value) => {}
                _ => {
                    delayed.insert(index, Arc::clone(pod));
                }
            }
        }
        self.delayed = delayed;
    }

    /// Decides which pods are to be made or withdrawn.
    fn manage(&self, plan: &mut Plan, active: &[&Arc<Object>], succeeded: u64, suspended: bool) {
        let parallelism = self.spec["parallelism"].as_u64().unwrap_or(1);
        let count = active.len() as u64;
        let wanted = match self.completions {
            _ if suspended => 0,
            None if succeeded > 0 => count,
            None => parallelism,
            Some(completions) => completions.saturating_sub(succeeded).min(parallelism),
        };
        plan.withdraw = self.superfluous(active, count.saturating_sub(wanted) as usize);
        if !plan.withdraw.is_empty() {
            plan.withdraw.truncate(if suspended { usize::MAX } else { BURST });
            let gone = plan.withdraw.len() as u64;
            let ready = plan.withdraw.iter().filter(|pod| is_ready(&pod.value)).count() as u64;
            plan.status.active -= gone;
            plan.status.terminating += gone;
            plan.status.ready -= ready;
            plan.whole = false;
            return;
        }
        let waiting = if self.only_failed { plan.status.terminating } else { 0 };
        let missing = wanted.saturating_sub(waiting + count).min(BURST as u64);
        if suspended || missing == 0 {
            return;
        }
        if self.per_index.is_none()
            && let Some(due) = plan.back_off.due().filter(|due| *due > self.now)
        {
            plan.again = Some(plan.again.map_or(due, |again| again.min(due)));
            return;
        }
        if self.indexed {
            self.manage_indexes(plan, active, missing as usize);
        } else {
            plan.create = (0..missing).map(|_| New::default()).collect();
        }
        plan.status.active += plan.create.len() as u64;
    }

    fn manage_indexes(&self, plan: &mut Plan, active: &[&Arc<Object>], missing: usize) {
        let limit = self.limit();
        let index = |pod: &Arc<Object>| index_of(&pod.value, limit);
        let mut taken = self
            .succeeded_indexes
            .union(&self.failed_indexes)
            .with(active.iter().filter_map(|pod| index(pod)));
        if self.only_failed {
            let going = self
                .pods
                .iter()
                .filter(|pod| object::is_deleting(&pod.value) && !is_finished(&pod.value));
            taken = taken.with(going.filter_map(index));
        }
        for index in taken.missing(missing, limit) {
            let mut new = New { index: Some(index), ..New::default() };
            if self.per_index.is_some() {
                let last = self.delayed.get(&index);
                let due = last.map(|pod| {
                    let times = u32::try_from(all_failures(&pod.value)).unwrap_or(u32::MAX);
                    later(finish_time(&pod.value, self.now), doubled(PAUSE, times, LIMIT))
                });
                if let Some(due) = due.filter(|due| *due > self.now) {
                    plan.again = Some(plan.again.map_or(due, |again| again.min(due)));
                    continue;
                }
                new.annotations = self.carried(last.map(|pod| &pod.value));
            }
            plan.create.push(new);
        }
    }

    /// The counts that the replacement of a failed pod carries on.
    fn carried(&self, last: Option<&Value>) -> BTreeMap<&'static str, String> {
        let (mut counted, mut ignored) = (0, 0);
        if let Some(pod) = last {
            counted = failures(pod, FAILURES);
            ignored = failures(pod, IGNORED_FAILURES);
            match self.verdict(pod) {
                Verdict::Ignored => ignored += 1,
                _ => counted += 1,
            }
        }
        let mut annotations = BTreeMap::from([(FAILURES, counted.to_string())]);
        if ignored > 0 {
            annotations.insert(IGNORED_FAILURES, ignored.to_string());
        }
        annotations
    }

    /// The active pods that are too many: second ones of an index, and then those whose end costs
    /// least.
    fn superfluous(&self, active: &[&Arc<Object>], at_least: usize) -> Vec<Arc<Object>> {
        let mut order: Vec<&Arc<Object>> = active.to_vec();
        order.sort_by_key(|pod| worth(&pod.value));
        let mut gone = Vec::new();
        let mut left = Vec::new();
        if self.indexed {
            let mut seen = BTreeSet::new();
            for pod in order.iter().rev() {
                match index_of(&pod.value, self.limit()) {
                    Some(index) if seen.insert(index) => left.push(*pod),
                    _ => gone.push(Arc::clone(pod)),
                }
            }
            left.reverse();
        } else {
            left = order;
        }
        let more = at_least.saturating_sub(gone.len());
        gone.extend(left.into_iter().take(more).cloned());
        gone
    }

    fn tell_suspension(&self, plan: &mut Plan, suspended: bool) {
        let now = self.now;
        let status = &mut plan.status;
        if suspended {
            if status.set("Suspended", true, "JobSuspended", "Job suspended", now) {
                plan.said.push(("Suspended", "Job suspended"));
            }
        } else if status.set("Suspended", false, "JobResumed", "Job resumed", now) {
            plan.said.push(("Resumed", "Job resumed"));
            // The deadline counts from here.
            status.start_time = Some(object::seconds(now));
            if let Some(seconds) = self.spec["activeDeadlineSeconds"].as_i64() {
                let due = later(now, SignedDuration::from_secs(seconds));
                plan.again = Some(plan.again.map_or(due, |again| again.min(due)));
            }
        }
    }

    /// Writes ended pods into the status, and says which lose the finalizer then.
    fn count(&self, plan: &mut Plan, deleting: bool, ending: Option<&Ending>, completed: &Indexes) {
        let status = &mut plan.status;
        let held: BTreeSet<&str> = self
            .pods
            .iter()
            .filter(|pod| is_tracked(&pod.value))
            .map(|pod| object::uid(&pod.value))
            .collect();
        status.settle(|uid| held.contains(uid));
        let mut new_indexes = Vec::new();
        let mut pods: Vec<&Arc<Object>> =
            self.pods.iter().filter(|pod| is_tracked(&pod.value)).collect();
        if self.indexed {
            pods.sort_by_key(|pod| index_of(&pod.value, self.limit()));
        }
        let counted_succeeded: BTreeSet<String> =
            status.uncounted_succeeded.iter().cloned().collect();
        let counted_failed: BTreeSet<String> = status.uncounted_failed.iter().cloned().collect();
        for pod in pods {
            let uid = object::uid(&pod.value);
            let succeeded = object::text(&pod.value, &["status", "phase"]) == "Succeeded";
            let failed = self.has_failed(&pod.value);
            let index = index_of(&pod.value, self.limit());
            let waits = index
                .and_then(|index| self.delayed.get(&index))
                .is_some_and(|last| object::uid(&last.value) == uid);
            let free = deleting || ending.is_some() || succeeded || (failed && !waits);
            if !free {
                continue;
            }
            plan.release.push(Arc::clone(pod));
            let valid = !self.indexed || index.is_some();
            if succeeded && !counted_failed.contains(uid) {
                match index {
                    _ if !self.indexed && !counted_succeeded.contains(uid) => {
                        status.uncounted_succeeded.push(uid.to_owned());
                    }
                    Some(index) if self.indexed && !completed.has(index) => {
                        new_indexes.push(index);
                    }
                    _ => {}
                }
            } else if (failed || ending.is_some_and(|ending| ending.failed))
                && valid
                && !counted_failed.contains(uid)
                && self.verdict(&pod.value) != Verdict::Ignored
            {
                status.uncounted_failed.push(uid.to_owned());
            }
            let counted = new_indexes.len()
                + status.uncounted_succeeded.len()
                + status.uncounted_failed.len();
            if counted >= COUNTED {
                plan.whole = false;
                break;
            }
        }
        if self.indexed {
            let completed = completed.with(new_indexes);
            status.succeeded = completed.count();
            status.completed_indexes = completed.text();
            status.failed_indexes = self.per_index.map(|_| self.failed_indexes.text());
        }
    }
}

/// Whether a pod holds the finalizer of jobs.
pub(super) fn is_tracked(pod: &Value) -> bool {
    object::finalizers(pod).any(|one| one == TRACKING)
}

fn failures(pod: &Value, annotation: &str) -> u64 {
    let text = pod["metadata"]["annotations"][annotation].as_str();
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}

fn all_failures(pod: &Value) -> u64 {
    failures(pod, FAILURES).saturating_add(failures(pod, IGNORED_FAILURES))
}

/// When a job ended, if it did.
pub(super) fn finished(job: &Value) -> Option<Timestamp> {
    let condition = object::list(job, &["status", "conditions"]).iter().find(|one| {
        (one["type"] == "Complete" || one["type"] == "Failed") && one["status"] == "True"
    })?;
    Some(time(&condition["lastTransitionTime"]).unwrap_or(Timestamp::UNIX_EPOCH))
}
