//! The status of a job, as the controller counts in it.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::object;

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Status {
    pub(super) start_time: Option<String>,
    pub(super) completion_time: Option<String>,
    pub(super) active: u64,
    pub(super) ready: u64,
    pub(super) terminating: u64,
    pub(super) succeeded: u64,
    pub(super) failed: u64,
    pub(super) completed_indexes: String,
    pub(super) failed_indexes: Option<String>,
    /// The uids of pods that have ended and still hold the finalizer.
    pub(super) uncounted_succeeded: Vec<String>,
    pub(super) uncounted_failed: Vec<String>,
    pub(super) conditions: Vec<Value>,
}

impl Status {
    pub(super) fn read(job: &Value) -> Self {
        let status = &job["status"];
        let text = |key: &str| status[key].as_str().map(str::to_owned);
        let number = |key: &str| status[key].as_u64().unwrap_or_default();
        let uids = |key: &str| {
            object::list(status, &["uncountedTerminatedPods", key])
                .iter()
                .filter_map(|uid| uid.as_str().map(str::to_owned))
                .collect()
        };
        Status {
            start_time: text("startTime"),
            completion_time: text("completionTime"),
            active: number("active"),
            ready: number("ready"),
            terminating: number("terminating"),
            succeeded: number("succeeded"),
            failed: number("failed"),
            completed_indexes: text("completedIndexes").unwrap_or_default(),
            failed_indexes: text("failedIndexes"),
            uncounted_succeeded: uids("succeeded"),
            uncounted_failed: uids("failed"),
            conditions: object::list(status, &["conditions"]).to_vec(),
        }
    }

    pub(super) fn write(&self) -> Value {
        let mut status = Map::new();
        if !self.conditions.is_empty() {
            status.insert("conditions".into(), json!(self.conditions));
        }
        for (key, time) in
            [("startTime", &self.start_time), ("completionTime", &self.completion_time)]
        {
            if let Some(time) = time {
                status.insert(key.into(), json!(time));
            }
        }
        for (key, count) in
            [("active", self.active), ("succeeded", self.succeeded), ("failed", self.failed)]
        {
            if count > 0 {
                status.insert(key.into(), json!(count));
            }
        }
        status.insert("terminating".into(), json!(self.terminating));
        if !self.completed_indexes.is_empty() {
            status.insert("completedIndexes".into(), json!(self.completed_indexes));
        }
        if let Some(indexes) = &self.failed_indexes {
            status.insert("failedIndexes".into(), json!(indexes));
        }
        let mut uncounted = Map::new();
        for (key, uids) in
            [("succeeded", &self.uncounted_succeeded), ("failed", &self.uncounted_failed)]
        {
            if !uids.is_empty() {
                uncounted.insert(key.into(), json!(uids));
            }
        }
        status.insert("uncountedTerminatedPods".into(), Value::Object(uncounted));
        status.insert("ready".into(), json!(self.ready));
        Value::Object(status)
    }

    /// A condition that holds.
    pub(super) fn condition(&self, kind: &str) -> Option<&Value> {
        self.conditions.iter().find(|one| one["type"] == kind && one["status"] == "True")
    }

    /// Sets a condition; whether anything changed. From nothing to false is no change.
    pub(super) fn set(
        &mut self,
        kind: &str,
        holds: bool,
        reason: &str,
        message: &str,
        now: Timestamp,
    ) -> bool {
        let status = if holds { "True" } else { "False" };
        let time = object::seconds(now);
        let new = json!({
            "type": kind,
            "status": status,
            "lastProbeTime": time,
            "lastTransitionTime": time,
            "reason": reason,
            "message": message,
        });
        let old = self.conditions.iter_mut().find(|one| one["type"] == kind);
        match old {
            Some(old) => {
                let same = ["status", "reason", "message"].iter().all(|key| old[*key] == new[*key]);
                if !same {
                    *old = new;
                }
                !same
            }
            None if holds => {
                self.conditions.push(new);
                true
            }
            None => false,
        }
    }

    /// Counts the pods that no longer hold the finalizer.
    pub(super) fn settle(&mut self, held: impl Fn(&str) -> bool) {
        let counted = |uids: &mut Vec<String>| {
            let before = uids.len();
            uids.retain(|uid| held(uid));
            (before - uids.len()) as u64
        };
        self.succeeded += counted(&mut self.uncounted_succeeded);
        self.failed += counted(&mut self.uncounted_failed);
    }
}
