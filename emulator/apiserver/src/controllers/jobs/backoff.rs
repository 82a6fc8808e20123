//! How long a job waits before it replaces pods that have failed.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::controllers::queue::{doubled, later};
use crate::controllers::work::time;
use crate::object;
use crate::store::Object;

/// The pause after a first failure; it doubles with each further one in a row.
pub(super) const PAUSE: SignedDuration = SignedDuration::from_secs(10);
pub(super) const LIMIT: SignedDuration = SignedDuration::from_secs(600);

/// The failures of a job's pods since the last success.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct BackOff {
    failures: u32,
    last: Option<Timestamp>,
}

impl BackOff {
    /// The record after some more pods have ended.
    pub(super) fn after(
        &self,
        succeeded: &[Arc<Object>],
        failed: &[Arc<Object>],
        now: Timestamp,
    ) -> BackOff {
        let ends = |pods: &[Arc<Object>]| {
            pods.iter().map(|pod| finish_time(&pod.value, now)).collect::<Vec<Timestamp>>()
        };
        let failures = ends(failed);
        let last = failures.iter().max().copied();
        match ends(succeeded).into_iter().max() {
            None if failed.is_empty() => self.clone(),
            None => BackOff {
                failures: self.failures.saturating_add(failed.len() as u32),
                last: last.max(self.last),
            },
            Some(success) => {
                let since = failures.iter().filter(|end| **end > success).count();
                BackOff { failures: since as u32, last: last.filter(|_| since > 0) }
            }
        }
    }

    /// When the next pod may be made, if that is to be waited for.
    pub(super) fn due(&self) -> Option<Timestamp> {
        let last = self.last.filter(|_| self.failures > 0)?;
        Some(later(last, doubled(PAUSE, self.failures - 1, LIMIT)))
    }
}

/// When a pod ended: with its last container, or when it was marked, or just now.
pub(super) fn finish_time(pod: &Value, now: Timestamp) -> Timestamp {
    let ends: Option<Vec<Timestamp>> = object::list(pod, &["status", "containerStatuses"])
        .iter()
        .map(|status| time(&status["state"]["terminated"]["finishedAt"]))
        .collect();
    if let Some(last) = ends.and_then(|ends| ends.into_iter().max()) {
        return last;
    }
    if let Some(marked) = time(&pod["metadata"]["deletionTimestamp"]) {
        let grace = pod["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or_default();
        return marked.checked_sub(SignedDuration::from_secs(grace)).unwrap_or(marked);
    }
    now
}
