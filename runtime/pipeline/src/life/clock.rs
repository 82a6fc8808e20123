//! The build's own time.
//!
//! It begins when the build was made and is moved by what is delivered, so that every evaluation of
//! the script sees the same: a timer is delivered at the time it was set for, the end of a job at
//! the time that was noted for it.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

/// Times are milliseconds since 1970.
pub(super) struct Clock {
    /// What the script sees.
    now: i64,
    /// A time of the build, and the moment that it was then.
    anchor: (i64, Instant),
}

impl Clock {
    pub(super) fn new(began: i64) -> Clock {
        let anchor = (began.max(Timestamp::now().as_millisecond()), Instant::now());
        Clock { now: began, anchor }
    }

    /// What the script sees.
    pub(super) fn now(&self) -> i64 {
        self.now
    }

    /// What it would see if something were delivered now.
    pub(super) fn live(&self) -> i64 {
        let passed = i64::try_from(self.anchor.1.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.now.max(self.anchor.0.saturating_add(passed))
    }

    /// Moves what the script sees.
    pub(super) fn advance(&mut self, at: i64) {
        self.now = self.now.max(at);
    }

    /// Makes sure that this time has come, though this machine's clock may not say so yet: it was
    /// noted by another.
    pub(super) fn reach(&mut self, at: i64) {
        if at > self.live() {
            self.anchor = (at, Instant::now());
        }
    }

    /// When this time will have come.
    pub(super) fn instant(&self, at: i64) -> Instant {
        let wait = u64::try_from(at.saturating_sub(self.live())).unwrap_or(0);
        // A wait that nobody lives to see the end of must not overflow.
        const LONGEST: u64 = 1000 * 60 * 60 * 24 * 365;
        Instant::now() + Duration::from_millis(wait.min(LONGEST))
    }
}

#[tokio::test(start_paused = true)]
async fn it_follows_the_machines_clock_and_never_goes_back() {
    let began = Timestamp::now().as_millisecond() + 100_000;
    let mut clock = Clock::new(began);
    assert_eq!((clock.now(), clock.live()), (began, began));
    tokio::time::advance(Duration::from_millis(30)).await;
    assert_eq!((clock.now(), clock.live()), (began, began + 30));
    clock.advance(began + 20);
    clock.advance(began + 10);
    assert_eq!((clock.now(), clock.live()), (began + 20, began + 30));
    assert_eq!(clock.instant(began + 50), Instant::now() + Duration::from_millis(20));
    clock.reach(began + 25);
    assert_eq!(clock.live(), began + 30);
    clock.reach(began + 1000);
    assert_eq!(clock.live(), began + 1000);
    assert_eq!(clock.instant(began), Instant::now());
}
