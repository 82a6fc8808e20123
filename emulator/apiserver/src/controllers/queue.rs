//! What is to be looked at: each thing once however often it is asked for, at once or at a time,
//! and later and later while it fails.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::store::Key;

/// The pause after a first failure; it doubles with each further one.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_millis(5);
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_secs(1000);

/// One thing to look at.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Item {
    Budget(Key),
    CronJob(Key),
    DaemonSet(Key),
    Deployment(Key),
    Job(Key),
    /// What is left of a namespace that ends.
    Namespace(String),
    ReplicaSet(Key),
    Service(Key),
    StatefulSet(Key),
    /// A pod that a job was counting, by its key.
    Uncounted(Key),
}

/// The things to look at. Of each only the earliest time is remembered: whoever looks at it then
/// says when to look again.
#[derive(Debug, Default)]
pub(super) struct Queue {
    ready: VecDeque<Item>,
    queued: HashSet<Item>,
    timers: BTreeSet<(Timestamp, Item)>,
    times: HashMap<Item, Timestamp>,
    failures: HashMap<Item, u32>,
}

impl Queue {
    pub(super) fn add(&mut self, item: Item) {
        if self.queued.insert(item.clone()) {
            self.ready.push_back(item);
        }
    }

    pub(super) fn add_at(&mut self, time: Timestamp, item: Item) {
        if let Some(known) = self.times.get(&item) {
            if *known <= time {
                return;
            }
            self.timers.remove(&(*known, item.clone()));
        }
        self.times.insert(item.clone(), time);
        self.timers.insert((time, item));
    }

    pub(super) fn pop(&mut self) -> Option<Item> {
        let item = self.ready.pop_front()?;
        self.queued.remove(&item);
        Some(item)
    }

    /// When the next timer is due.
    pub(super) fn due(&self) -> Option<Timestamp> {
        self.timers.first().map(|(time, _)| *time)
    }

    /// Takes over what has become due.
    pub(super) fn ripen(&mut self, now: Timestamp) {
        while self.due().is_some_and(|due| due <= now) {
            if let Some((_, item)) = self.timers.pop_first() {
                self.times.remove(&item);
                self.add(item);
            }
        }
    }

    pub(super) fn succeeded(&mut self, item: &Item) {
        self.failures.remove(item);
    }

    pub(super) fn failed(&mut self, item: Item, now: Timestamp) {
        let failures = self.failures.entry(item.clone()).or_default();
        let pause = doubled(FIRST_PAUSE, *failures, LONGEST_PAUSE);
        *failures += 1;
        self.add_at(later(now, pause), item);
    }
}

/// A pause that has doubled some times, within a limit.
pub(super) fn doubled(pause: SignedDuration, times: u32, limit: SignedDuration) -> SignedDuration {
    let factor = 1_i32.checked_shl(times.min(30)).unwrap_or(i32::MAX);
    pause.checked_mul(factor).unwrap_or(limit).min(limit)
}

/// A time after another; the end of all times when it would be later.
pub(super) fn later(time: Timestamp, pause: SignedDuration) -> Timestamp {
    time.checked_add(pause).unwrap_or(Timestamp::MAX)
}

/// The time of the controllers: that of the wall, and never behind that of the timers, which tests
/// may move.
#[derive(Debug)]
pub(super) struct Clock {
    began: Timestamp,
    since: Instant,
}

impl Clock {
    pub(super) fn start() -> Self {
        Clock { began: Timestamp::now(), since: Instant::now() }
    }

    pub(super) fn now(&self) -> Timestamp {
        let passed = SignedDuration::try_from(self.since.elapsed()).unwrap_or(SignedDuration::MAX);
        later(self.began, passed).max(Timestamp::now())
    }

    /// Returns at a time, or never.
    pub(super) async fn reach(&self, time: Option<Timestamp>) {
        let Some(time) = time else { return std::future::pending().await };
        let pause = time.duration_since(self.now()).max(SignedDuration::ZERO).unsigned_abs();
        // The timer of the runtime counts whole milliseconds, and may be a little early.
        let pause = pause.min(LONGEST_SLEEP) + std::time::Duration::from_millis(1);
        let _ = tokio::time::timeout(pause, std::future::pending::<()>()).await;
    }
}

/// Timers of the runtime reach no further than this; who wakes up early sleeps again.
const LONGEST_SLEEP: std::time::Duration = std::time::Duration::from_secs(30 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    fn item(name: &str) -> Item {
        Item::Job(Key::new("default", name))
    }

    #[test]
    fn a_thing_is_looked_at_once_however_often_it_is_asked_for() {
        let mut queue = Queue::default();
        queue.add(item("a"));
        queue.add(item("b"));
        queue.add(item("a"));
        assert_eq!(queue.pop(), Some(item("a")));
        queue.add(item("a"));
        assert_eq!(queue.pop(), Some(item("b")));
        assert_eq!(queue.pop(), Some(item("a")));
        assert_eq!(queue.pop(), None);
    }

    #[test]
    fn the_earliest_time_of_a_thing_counts() {
        let mut queue = Queue::default();
        let now = Timestamp::UNIX_EPOCH;
        let at = |seconds| later(now, SignedDuration::from_secs(seconds));
        queue.add_at(at(20), item("a"));
        queue.add_at(at(10), item("a"));
        queue.add_at(at(30), item("a"));
        assert_eq!(queue.due(), Some(at(10)));
        queue.ripen(at(9));
        assert_eq!(queue.pop(), None);
        queue.ripen(at(10));
        assert_eq!(queue.pop(), Some(item("a")));
        assert_eq!(queue.due(), None);
    }

    #[test]
    fn failures_pause_longer_each_time_until_one_succeeds() {
        let mut queue = Queue::default();
        let now = Timestamp::UNIX_EPOCH;
        let mut pauses = Vec::new();
        for _ in 0..20 {
            queue.failed(item("a"), now);
            pauses.push(queue.due().unwrap().duration_since(now).as_millis());
            queue.ripen(Timestamp::MAX);
            queue.pop();
        }
        assert_eq!(pauses[..4], [5, 10, 20, 40]);
        assert_eq!(pauses[19], 1_000_000);
        queue.succeeded(&item("a"));
        queue.failed(item("a"), now);
        assert_eq!(queue.due().unwrap().duration_since(now).as_millis(), 5);
    }
}
