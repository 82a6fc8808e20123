//! Cron jobs: a job at each time of a schedule.

mod schedule;

use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

pub(crate) use self::schedule::Schedule;
use super::controller;
use super::jobs::JOBS;
use super::queue::{Item, later};
use super::work::{Owner, Work, controller_of, is_terminating, time};
use crate::failure::Failure;
use crate::object;
use crate::store::{Change, Key, Object};
use crate::verbs::create;
use crate::verbs::delete::{Options, Policy, remove};
use crate::verbs::update::{self, Change as Write};

pub(super) const CRON_JOBS: &str = "cronjobs.batch";
const ABOUT: (&str, &str) = ("batch/v1", "CronJob");
const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";
/// More missed times than this are worth a warning.
const MANY: i64 = 100;

/// Looks at every cron job after a start.
pub(super) fn resume(work: &mut Work) {
    for cron in work.shared.store.list(CRON_JOBS, None).1 {
        work.queue.add(Item::CronJob(Key::of(&cron.value)));
    }
}

pub(super) fn changed(work: &mut Work, storage: &str, change: &Change) {
    match storage {
        CRON_JOBS => work.queue.add(Item::CronJob(change.key.clone())),
        JOBS => {
            for job in change.old.iter().chain([&change.new]) {
                if let Some(owner) =
                    controller_of(&job.value).filter(|one| one["kind"] == "CronJob")
                {
                    let name = object::text(owner, &["name"]);
                    work.queue.add(Item::CronJob(Key::new(&*change.key.namespace, name)));
                }
            }
        }
        _ => {}
    }
}

/// Does for a cron job what there is to do now.
pub(super) fn sync(work: &mut Work, key: &Key) -> Result<(), Failure> {
    let Some(cron) = work.shared.store.get(CRON_JOBS, key) else { return Ok(()) };
    let jobs = work.jobs.of(object::uid(&cron.value));
    let mut status = cron.value["status"].clone();
    object::map_mut(&mut status);
    let mut look = Look { work, cron: &cron.value, status };
    look.take_stock(&jobs);
    let started = look.start_due();
    look.clean_up(&jobs);
    let Look { status, .. } = look;
    write(work, &cron, status)?;
    started
}

/// One look at a cron job, and the status that follows from it.
struct Look<'a> {
    work: &'a mut Work,
    cron: &'a Value,
    status: Value,
}

impl Look<'_> {
    fn owner(&self) -> Owner<'_> {
        Owner {
            api_version: "batch/v1",
            kind: "CronJob",
            component: "cronjob-controller",
            value: self.cron,
        }
    }

    fn say(&mut self, kind: &str, reason: &str, message: &str) {
        let owner = Owner {
            api_version: "batch/v1",
            kind: "CronJob",
            component: "cronjob-controller",
            value: self.cron,
        };
        let said = owner.said(kind, reason, message);
        self.work.say(ABOUT, self.cron, said);
    }

    fn active(&self) -> &[Value] {
        object::list(&self.status, &["active"])
    }

    fn is_active(&self, uid: &str) -> bool {
        self.active().iter().any(|one| one["uid"] == uid)
    }

    fn forget(&mut self, uid: &str) {
        let map = object::map_mut(&mut self.status);
        if let Some(Value::Array(list)) = map.get_mut("active") {
            list.retain(|one| one["uid"] != uid);
            if list.is_empty() {
                map.remove("active");
            }
        }
    }

    /// Brings the list of active jobs up to date.
    fn take_stock(&mut self, jobs: &[Arc<Object>]) {
        for job in jobs {
            let (uid, name) = (object::uid(&job.value), object::name(&job.value));
            match (self.is_active(uid), outcome(&job.value)) {
                (false, None) => {
                    let message =
                        format!("Saw a job that the controller did not create or forgot: {name}");
                    self.say("Warning", "UnexpectedJob", &message);
                }
                (true, Some(outcome)) => {
                    self.forget(uid);
                    let message = format!("Saw completed job: {name}, condition: {outcome}");
                    self.say("Normal", "SawCompletedJob", &message);
                }
                _ => {}
            }
            let completed = &job.value["status"]["completionTime"];
            if outcome(&job.value) == Some("Complete")
                && time(completed) > time(&self.status["lastSuccessfulTime"])
            {
                self.status["lastSuccessfulTime"] = completed.clone();
            }
        }
        let missing: Vec<Value> = self
            .active()
            .iter()
            .filter(|one| !jobs.iter().any(|job| one["uid"] == object::uid(&job.value)))
            .cloned()
            .collect();
        for one in missing {
            let message = format!("Active job went missing: {}", object::text(&one, &["name"]));
            self.say("Normal", "MissingJob", &message);
            self.forget(object::text(&one, &["uid"]));
        }
    }

    /// Starts the job that is due, and sets the timer for the next one.
    fn start_due(&mut self) -> Result<(), Failure> {
        let spec = &self.cron["spec"];
        if object::is_deleting(self.cron) || spec["suspend"] == true {
            return Ok(());
        }
        let zone = match spec["timeZone"].as_str().map(TimeZone::get) {
            None => TimeZone::UTC,
            Some(Ok(zone)) => zone,
            Some(Err(error)) => {
                let zone = object::text(spec, &["timeZone"]);
                let message = format!("invalid timeZone: {zone:?}: {error}");
                self.say("Warning", "UnknownTimeZone", &message);
                return Ok(());
            }
        };
        let text = object::text(spec, &["schedule"]);
        let schedule = match Schedule::parse(text) {
            Ok(schedule) => schedule,
            Err(error) => {
                let message = format!("unparseable schedule: {text:?} : {error}");
                self.say("Warning", "UnparseableSchedule", &message);
                return Ok(());
            }
        };
        let now = self.work.now();
        let due = due(self.cron, &self.status, &schedule, &zone, now);
        if let Some(next) = due.next {
            let key = Key::of(self.cron);
            self.work.queue.add_at(next, Item::CronJob(key));
        }
        let Some(scheduled) = due.scheduled else { return Ok(()) };
        if due.missed > MANY {
            self.say(
                "Warning",
                "TooManyMissedTimes",
                "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew",
            );
        }
        let deadline = spec["startingDeadlineSeconds"].as_i64();
        if deadline
            .is_some_and(|seconds| later(scheduled, SignedDuration::from_secs(seconds)) < now)
        {
            let time = scheduled.strftime("%a, %d %b %Y %H:%M:%S +0000");
            let message = format!("Missed scheduled time to start a job: {time}");
            self.say("Warning", "MissSchedule", &message);
            return Ok(());
        }
        let name = job_name(object::name(self.cron), scheduled);
        let known = self.active().iter().any(|one| one["name"] == name.as_str());
        if known || time(&self.status["lastScheduleTime"]) == Some(scheduled) {
            return Ok(());
        }
        match object::text(spec, &["concurrencyPolicy"]) {
            "Forbid" if !self.active().is_empty() => {
                self.say(
                    "Normal",
                    "JobAlreadyActive",
                    "Not starting job because prior execution is running and concurrency policy is Forbid",
                );
                return Ok(());
            }
            "Replace" => {
                for one in self.active().to_vec() {
                    self.delete(object::text(&one, &["name"]), object::text(&one, &["uid"]));
                }
            }
            _ => {}
        }
        self.start(&name, scheduled, &zone)
    }

    fn start(&mut self, name: &str, scheduled: Timestamp, zone: &TimeZone) -> Result<(), Failure> {
        let namespace = object::namespace(self.cron);
        let resource = self.work.shared.catalogue().storage(JOBS);
        let job = job_of(&self.owner(), name, scheduled, zone);
        let made =
            create::add_unasked(&self.work.shared, &resource, namespace, job, &controller(""));
        let made = match made {
            Ok(job) => {
                self.say("Normal", "SuccessfulCreate", &format!("Created job {name}"));
                job
            }
            Err(failure) if is_terminating(&failure) => return Ok(()),
            Err(failure) if failure.reason == "AlreadyExists" => {
                // It was made before a stop, and the status was not written.
                let job = self.work.shared.store.get(JOBS, &Key::new(namespace, name));
                let own = job.filter(|job| {
                    controller_of(&job.value)
                        .is_some_and(|owner| owner["uid"] == object::uid(self.cron))
                });
                let Some(job) = own else { return Err(failure) };
                job
            }
            Err(failure) => {
                let message = format!("Error creating job: {}", failure.message);
                self.say("Warning", "FailedCreate", &message);
                return Err(failure);
            }
        };
        self.status["lastScheduleTime"] = json!(object::seconds(scheduled));
        if outcome(&made.value).is_some() {
            return Ok(());
        }
        let reference = json!({
            "kind": "Job",
            "namespace": namespace,
            "name": name,
            "uid": object::uid(&made.value),
            "apiVersion": "batch/v1",
            "resourceVersion": object::meta(&made.value, "resourceVersion"),
        });
        let map = object::map_mut(&mut self.status);
        if let Value::Array(list) = map.entry("active").or_insert_with(|| json!([])) {
            list.push(reference);
        }
        Ok(())
    }

    /// Deletes jobs that have ended, but for the last ones.
    fn clean_up(&mut self, jobs: &[Arc<Object>]) {
        for (kind, limit) in
            [("Failed", "failedJobsHistoryLimit"), ("Complete", "successfulJobsHistoryLimit")]
        {
            let Some(limit) = self.cron["spec"][limit].as_u64() else { continue };
            let mut ended: Vec<&Arc<Object>> =
                jobs.iter().filter(|job| outcome(&job.value) == Some(kind)).collect();
            ended.sort_by_key(|job| {
                let start = &job.value["status"]["startTime"];
                (time(start).or(time(&job.value["metadata"]["creationTimestamp"])), job.revision)
            });
            let too_many = ended.len().saturating_sub(usize::try_from(limit).unwrap_or(usize::MAX));
            for job in ended.into_iter().take(too_many) {
                if !object::is_deleting(&job.value) {
                    self.delete(object::name(&job.value), object::uid(&job.value));
                }
            }
        }
    }

    fn delete(&mut self, name: &str, uid: &str) {
        let resource = self.work.shared.catalogue().storage(JOBS);
        let options = Options {
            uid: Some(uid.to_owned()),
            policy: Some(Policy::Background),
            ..Options::default()
        };
        let key = Key::new(object::namespace(self.cron), name);
        match remove(&self.work.shared, &resource, &key, &options) {
            Ok(_) => self.say("Normal", "SuccessfulDelete", &format!("Deleted job {name}")),
            Err(failure) if matches!(failure.code, 404 | 409) => {}
            Err(failure) => {
                let message = format!("Deleted job: {}", failure.message);
                self.say("Warning", "FailedDelete", &message);
                return;
            }
        }
        self.forget(uid);
    }
}

/// How a job ended, if it did.
fn outcome(job: &Value) -> Option<&'static str> {
    let conditions = object::list(job, &["status", "conditions"]);
    ["Complete", "Failed"]
        .into_iter()
        .find(|kind| conditions.iter().any(|one| one["type"] == *kind && one["status"] == "True"))
}

/// What a schedule asks for now.
#[derive(Debug, PartialEq, Eq)]
struct Due {
    /// The last time that has come and was not served.
    scheduled: Option<Timestamp>,
    /// How many times have come, about.
    missed: i64,
    next: Option<Timestamp>,
}

fn due(cron: &Value, status: &Value, schedule: &Schedule, zone: &TimeZone, now: Timestamp) -> Due {
    let created = time(&cron["metadata"]["creationTimestamp"]).unwrap_or(now);
    let mut since = time(&status["lastScheduleTime"]).unwrap_or(created);
    if let Some(seconds) = cron["spec"]["startingDeadlineSeconds"].as_i64() {
        let open = now.checked_sub(SignedDuration::from_secs(seconds)).unwrap_or(since);
        since = since.max(open);
    }
    let next = schedule.next(now.max(since), zone);
    let nothing = Due { scheduled: None, missed: 0, next };
    let Some(first) = schedule.next(since, zone).filter(|first| *first <= now) else {
        return nothing;
    };
    let Some(second) = schedule.next(first, zone).filter(|second| *second <= now) else {
        return Due { scheduled: Some(first), missed: 1, ..nothing };
    };
    let pause = second.duration_since(first).max(SignedDuration::from_secs(1));
    let missed = now.duration_since(first).as_secs() / pause.as_secs() + 1;
    // The last one is not far before now.
    let mut back = pause;
    let mut last = loop {
        let from = now.checked_sub(back).unwrap_or(since).max(since);
        match schedule.next(from, zone).filter(|time| *time <= now) {
            Some(time) => break time,
            None => back = back.checked_mul(2).unwrap_or(SignedDuration::MAX),
        }
    };
    while let Some(time) = schedule.next(last, zone).filter(|time| *time <= now) {
        last = time;
    }
    Due { scheduled: Some(last), missed, ..nothing }
}

fn job_name(cron: &str, scheduled: Timestamp) -> String {
    format!("{cron}-{}", scheduled.as_second().div_euclid(60))
}

fn job_of(owner: &Owner, name: &str, scheduled: Timestamp, zone: &TimeZone) -> Value {
    let template = &owner.value["spec"]["jobTemplate"];
    let mut metadata = json!({
        "name": name,
        "namespace": object::namespace(owner.value),
        "ownerReferences": [owner.reference()],
    });
    if let Some(labels) = template["metadata"].get("labels").filter(|one| one.is_object()) {
        metadata["labels"] = labels.clone();
    }
    let time = if owner.value["spec"]["timeZone"].is_string() {
        let zoned = scheduled.to_zoned(zone.clone());
        match zoned.offset().seconds() {
            0 => object::seconds(scheduled),
            _ => zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        }
    } else {
        object::seconds(scheduled)
    };
    let mut annotations = template["metadata"]["annotations"].clone();
    object::map_mut(&mut annotations).insert(SCHEDULED.into(), json!(time));
    metadata["annotations"] = annotations;
    json!({"metadata": metadata, "spec": template["spec"]})
}

fn write(work: &Work, cron: &Object, status: Value) -> Result<(), Failure> {
    let resource = work.shared.catalogue().storage(CRON_JOBS);
    let uid = object::uid(&cron.value);
    let key = Key::of(&cron.value);
    let written =
        update::modify(&work.shared, &resource, &key, &controller("status"), false, |old| {
            let mut new = old.clone();
            if object::uid(old) == uid {
                new["status"] = status.clone();
            }
            Ok(Write::Update(new))
        });
    match written {
        Err(failure) if failure.code != 404 => Err(failure),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("the time is valid")
    }

    #[test]
    fn the_last_time_that_has_come_is_served() {
        let cases = [
            // schedule, last, deadline, now, scheduled, missed, next
            ("0 * * * *", None, None, "00:59:59", None, 0, "01:00:00"),
            ("0 * * * *", None, None, "01:00:00", Some("01:00:00"), 1, "02:00:00"),
            ("0 * * * *", Some("01:00:00"), None, "01:30:00", None, 0, "02:00:00"),
            ("0 * * * *", Some("01:00:00"), None, "05:30:00", Some("05:00:00"), 4, "06:00:00"),
            ("0 * * * *", Some("01:00:00"), Some(60), "05:30:00", None, 0, "06:00:00"),
            ("* * * * *", None, None, "20:00:30", Some("20:00:00"), 1200, "20:01:00"),
            ("0 1,2,20 * * *", None, None, "19:00:00", Some("02:00:00"), 19, "20:00:00"),
        ];
        for (schedule, last, deadline, now, scheduled, missed, next) in cases {
            let time = |clock: &str| format!("2026-01-01T{clock}Z");
            let cron = json!({
                "metadata": {"creationTimestamp": time("00:00:00")},
                "spec": {"startingDeadlineSeconds": deadline},
            });
            let status = json!({"lastScheduleTime": last.map(time)});
            let read = Schedule::parse(schedule).unwrap();
            let due = due(&cron, &status, &read, &TimeZone::UTC, at(&time(now)));
            let expected = Due {
                scheduled: scheduled.map(|clock| at(&time(clock))),
                missed,
                next: Some(at(&time(next))),
            };
            assert_eq!(due, expected, "{schedule} at {now}");
        }
    }

    #[test]
    fn a_job_is_named_after_its_minute() {
        assert_eq!(job_name("nightly", at("2026-01-01T00:00:00Z")), "nightly-29453760");
    }
}
