//! What stops a script from the outside: the engine asks, time and again, while it runs.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{STACK_TO_COMPILE, Stop};

/// What stops a turn from the outside; the engine asks it while JavaScript runs.
pub(super) struct Guard {
    origin: Instant,
    /// Nanoseconds after `origin`.
    deadline: AtomicU64,
    pub(super) abandoned: AtomicBool,
    timed_out: AtomicBool,
    pub(super) exiting: AtomicBool,
    /// Whether a failure could not be noted, for lack of memory.
    pub(super) unnoted: AtomicBool,
    pub(super) exit_code: AtomicI32,
    /// Where the stack of the running turn begins.
    stack: AtomicU64,
}

impl Guard {
    pub(super) fn new() -> Guard {
        Guard {
            origin: Instant::now(),
            deadline: AtomicU64::new(u64::MAX),
            abandoned: AtomicBool::new(false),
            timed_out: AtomicBool::new(false),
            exiting: AtomicBool::new(false),
            unnoted: AtomicBool::new(false),
            exit_code: AtomicI32::new(0),
            stack: AtomicU64::new(0),
        }
    }

    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    pub(super) fn arm(&self, left: Duration) {
        let left = u64::try_from(left.as_nanos()).unwrap_or(u64::MAX);
        self.deadline.store(self.now().saturating_add(left), Ordering::Relaxed);
        self.enter();
    }

    /// Notes where the stack of this thread is.
    pub(super) fn enter(&self) {
        self.stack.store(stack_pointer(), Ordering::Relaxed);
    }

    /// Whether so little stack is in use that another file may be compiled.
    pub(super) fn may_compile(&self) -> bool {
        self.stack.load(Ordering::Relaxed).abs_diff(stack_pointer()) < STACK_TO_COMPILE as u64
    }

    pub(super) fn interrupts(&self) -> bool {
        if self.exiting.load(Ordering::Relaxed) || self.abandoned.load(Ordering::Relaxed) {
            return true;
        }
        let late = self.now() > self.deadline.load(Ordering::Relaxed);
        if late {
            self.timed_out.store(true, Ordering::Relaxed);
        }
        late
    }

    pub(super) fn stops(&self) -> bool {
        self.stop().is_some() || self.interrupts()
    }

    pub(super) fn stop(&self) -> Option<Stop> {
        if self.exiting.load(Ordering::Relaxed) {
            return Some(Stop::Exit(self.exit_code.load(Ordering::Relaxed)));
        }
        let late = self.timed_out.load(Ordering::Relaxed) || self.abandoned.load(Ordering::Relaxed);
        if late {
            return Some(Stop::Time);
        }
        let unnoted = self.unnoted.load(Ordering::Relaxed);
        unnoted.then(|| Stop::Broken("the script cannot go on: out of memory".to_owned()))
    }
}

/// About where the stack of the calling function is.
#[inline(never)]
fn stack_pointer() -> u64 {
    let here = 0_u8;
    std::hint::black_box(&raw const here) as u64
}
