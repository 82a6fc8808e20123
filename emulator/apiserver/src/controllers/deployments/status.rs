//! The status of a deployment: its counts, and how far an update has come. Pure.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::rolling::Limits;
use crate::controllers::queue::later;
use crate::controllers::work::time;
use crate::object;

const COMPLETE: &str = "NewReplicaSetAvailable";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";

/// The counts and conditions of a deployment.
#[derive(Debug, Clone)]
pub(super) struct Status {
    pub(super) replicas: i64,
    pub(super) updated: i64,
    pub(super) ready: i64,
    pub(super) available: i64,
    pub(super) terminating: i64,
    pub(super) observed: Value,
    pub(super) collisions: Value,
    pub(super) conditions: Vec<Value>,
}

impl Status {
    pub(super) fn read(deployment: &Value) -> Self {
        let status = &deployment["status"];
        let number = |key: &str| status[key].as_i64().unwrap_or_default();
        Status {
            replicas: number("replicas"),
            updated: number("updatedReplicas"),
            ready: number("readyReplicas"),
            available: number("availableReplicas"),
            terminating: number("terminatingReplicas"),
            observed: status["observedGeneration"].clone(),
            collisions: status["collisionCount"].clone(),
            conditions: object::list(status, &["conditions"]).to_vec(),
        }
    }

    /// Counts the pods of all sets.
    pub(super) fn count<'a>(
        &mut self,
        deployment: &Value,
        sets: impl Iterator<Item = &'a Value>,
        new: Option<&Value>,
        now: Timestamp,
    ) {
        let number = |set: &Value, key: &str| set["status"][key].as_i64().unwrap_or_default();
        (self.replicas, self.ready, self.available, self.terminating) = (0, 0, 0, 0);
        for set in sets {
            self.replicas += number(set, "replicas");
            self.ready += number(set, "readyReplicas");
            self.available += number(set, "availableReplicas");
            self.terminating += number(set, "terminatingReplicas");
        }
        self.updated = new.map_or(0, |set| number(set, "replicas"));
        self.observed = deployment["metadata"]["generation"].clone();
        let limits = Limits::of(deployment);
        let (holds, reason, message) = if self.available >= limits.replicas - limits.unavailable {
            ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
        } else {
            (
                "False",
                "MinimumReplicasUnavailable",
                "Deployment does not have minimum availability.",
            )
        };
        self.set("Available", holds, reason, message, now);
    }

    pub(super) fn write(&self) -> Value {
        let mut status = Map::new();
        status.insert("observedGeneration".into(), self.observed.clone());
        for (key, count) in [
            ("replicas", self.replicas),
            ("updatedReplicas", self.updated),
            ("readyReplicas", self.ready),
            ("availableReplicas", self.available),
            ("unavailableReplicas", (self.replicas - self.available).max(0)),
        ] {
            if count > 0 {
                status.insert(key.into(), json!(count));
            }
        }
        status.insert("terminatingReplicas".into(), json!(self.terminating));
        if !self.conditions.is_empty() {
            status.insert("conditions".into(), json!(self.conditions));
        }
        for (key, value) in [("collisionCount", &self.collisions)] {
            if !value.is_null() {
                status.insert(key.into(), value.clone());
            }
        }
        Value::Object(status)
    }

    pub(super) fn condition(&self, kind: &str) -> Option<&Value> {
        self.conditions.iter().find(|one| one["type"] == kind)
    }

    /// Sets a condition; one with the same status and reason stays as it is.
    pub(super) fn set(
        &mut self,
        kind: &str,
        holds: &str,
        reason: &str,
        message: &str,
        now: Timestamp,
    ) {
        let old = self.condition(kind);
        if old.is_some_and(|old| old["status"] == holds && old["reason"] == reason) {
            return;
        }
        let now = json!(object::seconds(now));
        let since = match old {
            Some(old) if old["status"] == holds => old["lastTransitionTime"].clone(),
            _ => now.clone(),
        };
        self.remove(kind);
        self.conditions.push(json!({
            "type": kind,
            "status": holds,
            "lastUpdateTime": now,
            "lastTransitionTime": since,
            "reason": reason,
            "message": message,
        }));
    }

    pub(super) fn remove(&mut self, kind: &str) {
        self.conditions.retain(|one| one["type"] != kind);
    }

    /// Whether all pods are of the new set and available.
    pub(super) fn is_complete(&self, deployment: &Value) -> bool {
        let wanted = deployment["spec"]["replicas"].as_i64().unwrap_or(1);
        self.updated == wanted
            && self.replicas == wanted
            && self.available == wanted
            && self.observed.as_i64() >= deployment["metadata"]["generation"].as_i64()
    }

    /// Whether an update has come further since another status was written.
    fn is_ahead_of(&self, old: &Status) -> bool {
        self.updated > old.updated
            || self.replicas - self.updated < old.replicas - old.updated
            || self.ready > old.ready
            || self.available > old.available
    }

    /// Says how far an update has come; gives the time at which it will have taken too long.
    pub(super) fn tell_progress(
        &mut self,
        deployment: &Value,
        old: &Status,
        new: Option<&Value>,
        failures: Option<&Value>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let about = match new {
            Some(set) => format!("ReplicaSet {:?}", object::name(set)),
            None => format!("Deployment {:?}", object::name(deployment)),
        };
        let deadline = deadline(deployment);
        let current = self.condition("Progressing").cloned();
        let reason = current.as_ref().map(|one| object::text(one, &["reason"]).to_owned());
        let reason = reason.as_deref().unwrap_or_default();
        if deadline.is_none() {
            self.remove("Progressing");
        } else if !(self.replicas == self.updated && reason == COMPLETE) {
            if self.is_complete(deployment) {
                let message = format!("{about} has successfully progressed.");
                self.set("Progressing", "True", COMPLETE, &message, now);
            } else if self.is_ahead_of(old) {
                // The time of the last step counts for the deadline.
                self.remove("Progressing");
                let message = format!("{about} is progressing.");
                self.set("Progressing", "True", "ReplicaSetUpdated", &message, now);
                if let (Some(current), Some(last)) = (&current, self.conditions.last_mut())
                    && current["status"] == "True"
                {
                    last["lastTransitionTime"] = current["lastTransitionTime"].clone();
                }
            } else if self.due(deadline).is_some_and(|due| due <= now) {
                let message = format!("{about} has timed out progressing.");
                self.set("Progressing", "False", TIMED_OUT, &message, now);
            }
        }
        match failures {
            Some(one) => {
                let text = |key: &str| object::text(one, &[key]).to_owned();
                let (holds, reason, message) = (text("status"), text("reason"), text("message"));
                self.set("ReplicaFailure", &holds, &reason, &message, now);
            }
            None => self.remove("ReplicaFailure"),
        }
        if self.is_complete(deployment) { None } else { self.due(deadline) }
    }

    /// When the update will have taken too long.
    fn due(&self, deadline: Option<i64>) -> Option<Timestamp> {
        let condition = self.condition("Progressing")?;
        if matches!(object::text(condition, &["reason"]), COMPLETE | TIMED_OUT) {
            return None;
        }
        Some(later(time(&condition["lastUpdateTime"])?, SignedDuration::from_secs(deadline?)))
    }
}

/// How long an update may stand still; the largest number stands for ever.
pub(super) fn deadline(deployment: &Value) -> Option<i64> {
    deployment["spec"]["progressDeadlineSeconds"]
        .as_i64()
        .filter(|seconds| *seconds != i64::from(i32::MAX))
}
