//! When something last happened on a connection.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

/// A connection on which nothing happens in either direction ends after this.
const IDLE: Duration = Duration::from_secs(4 * 3600);

#[derive(Debug)]
pub(crate) struct Activity {
    last: Mutex<Instant>,
    allowed: Duration,
}

impl Activity {
    pub(crate) fn begin() -> Activity {
        Activity::allowing(IDLE)
    }

    fn allowing(allowed: Duration) -> Activity {
        Activity { last: Mutex::new(Instant::now()), allowed }
    }

    /// Something has happened.
    pub(crate) fn note(&self) {
        *self.last() = Instant::now();
    }

    /// Returns when nothing has happened for too long.
    pub(crate) async fn ceased(&self) {
        loop {
            let end = *self.last() + self.allowed;
            if end <= Instant::now() {
                return;
            }
            let _ = timeout_at(end, std::future::pending::<()>()).await;
        }
    }

    fn last(&self) -> MutexGuard<'_, Instant> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[tokio::test]
async fn a_connection_ceases_when_nothing_happens() {
    let activity = Activity::allowing(Duration::from_millis(40));
    let begun = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    let busy = async {
        while begun.elapsed() < Duration::from_millis(200) {
            ticks.tick().await;
            activity.note();
        }
    };
    tokio::select! {
        () = busy => {}
        () = activity.ceased() => panic!("it was busy"),
    }
    activity.ceased().await;
    assert!(begun.elapsed() >= Duration::from_millis(240));
}
