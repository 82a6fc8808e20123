//! The timers of a script.

use std::collections::{BTreeMap, HashMap};

/// The timers that are pending, each with the build's own time at which it rings.
#[derive(Default)]
pub(crate) struct Timers {
    by_id: HashMap<u64, Timer>,
    /// In the order in which they ring.
    order: BTreeMap<(i64, u64), u64>,
    last: u64,
}

struct Timer {
    key: (i64, u64),
    held: bool,
}

impl Timers {
    pub(super) fn set(&mut self, id: u64, delay: u64, now: i64) {
        self.clear(id);
        self.last += 1;
        let at = now.saturating_add(i64::try_from(delay).unwrap_or(i64::MAX));
        let key = (at, self.last);
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

    /// Takes the timer that rings next, with its time, if that has come.
    pub(super) fn due(&mut self, now: i64) -> Option<(u64, i64)> {
        let (key, id) = self.order.first_key_value()?;
        let (id, at) = (*id, key.0);
        if at > now {
            return None;
        }
        self.clear(id);
        Some((id, at))
    }

    pub(super) fn next(&self) -> Option<i64> {
        self.order.first_key_value().map(|(key, _)| key.0)
    }

    /// Whether the build waits for one of them.
    pub(crate) fn any_held(&self) -> bool {
        self.by_id.values().any(|timer| timer.held)
    }
}
