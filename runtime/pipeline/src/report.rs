//! What is told of a build while it runs, to whoever listens.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use crate::outcome::JobEnd;

/// Something that has happened in a build.
///
/// A worker that follows one that died tells it again.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Report {
    /// The script has a handler for the event.
    Heard,
    /// A job has a pod.
    Made {
        /// The job's name.
        name: String,
        /// The pod's.
        pod: String,
    },
    /// A job has ended.
    Ended {
        end: JobEnd,
        started: Option<Timestamp>,
        finished: Option<Timestamp>,
        /// The end of its log, if it failed and has one, without secrets: at most 16 KiB.
        log: String,
    },
}

/// Is told what happens, at once and where it happens, so that it must not take its time.
#[derive(Clone)]
pub struct Listener(Arc<dyn Fn(Report) + Send + Sync>);

impl Listener {
    /// One that does this.
    pub fn new(hear: impl Fn(Report) + Send + Sync + 'static) -> Listener {
        Listener(Arc::new(hear))
    }

    /// Tells it of something.
    pub fn tell(&self, report: Report) {
        (self.0)(report);
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Listener")
    }
}
