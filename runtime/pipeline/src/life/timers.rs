//! The timers of a script.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio::time::Instant;

/// The timers that are pending.
#[derive(Default)]
pub(crate) struct Timers {
    by_id: HashMap<u64, Timer>,
    /// In the order in which they ring.
    order: BTreeMap<(Instant, u64), u64>,
    last: u64,
}

struct Timer {
    key: (Instant, u64),
    held: bool,
}

impl Timers {
    pub(super) fn set(&mut self, id: u64, delay: u64, now: Instant) {
        self.clear(id);
        self.last += 1;
        // A millisecond is what `setTimeout(f, 0)` means, and means nothing.
        let delay = if delay <= 1 { 0 } else { delay };
        let key = (now + Duration::from_millis(delay), self.last);
        self.order.insert(key, id);
        self.by_id.insert(id, Timer { key, held: true });
    }

    pub(super) fn clear(&mut self, id: u64) {
        if let Some(timer) = self.by_id.remove(&id) {
            self.order.remove(&timer.key);
        }
    }

    pub(super) fn clear_all(&mut self) {
        self.order.clear();
        self.by_id.clear();
    }

    pub(super) fn hold(&mut self, id: u64, held: bool) {
        if let Some(timer) = self.by_id.get_mut(&id) {
            timer.held = held;
        }
    }

    /// Takes the timer that rings next, if its time has come.
    pub(super) fn due(&mut self, now: Instant) -> Option<u64> {
        let (key, id) = self.order.first_key_value()?;
        if key.0 > now {
            return None;
        }
        let id = *id;
        self.clear(id);
        Some(id)
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.order.first_key_value().map(|(key, _)| key.0)
    }

    /// Whether the build waits for one of them.
    pub(crate) fn any_held(&self) -> bool {
        self.by_id.values().any(|timer| timer.held)
    }
}
