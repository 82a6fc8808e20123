//! Cancelling a build that is followed: its promises reject, its pods end, and its `error` handlers
//! are told, who may still run jobs, for a while.

use std::collections::HashSet;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use runtime::event::LogLevel;
use tokio::time::Instant;

use super::Life;
use crate::Context;
use crate::engine::{Command, Delivery};

/// How long after its start a build begins to listen: the short ones pay nothing.
const MOMENT: Duration = Duration::from_secs(1);

/// Whether a build was cancelled, and what goes on of it then.
#[derive(Default)]
pub(crate) struct Cancel {
    watch: Option<BoxFuture<'static, String>>,
    /// Why, as a sentence.
    pub(super) reason: Option<String>,
    /// When what `error` handlers have begun is ended too.
    until: Option<Instant>,
    /// Whether the turn that runs is one of what the `error` handlers began.
    handling: bool,
    jobs: HashSet<usize>,
    timers: HashSet<u64>,
    logs: HashSet<u64>,
}

impl Cancel {
    /// Begins to listen, in a moment. A build that is in no Secret cannot be cancelled.
    pub(super) fn listen(&mut self, context: &Context) {
        if context.build.uid.is_none() {
            return;
        }
        let (cluster, build) = (context.cluster.clone(), context.build.clone());
        let begin = Instant::now() + MOMENT;
        let heard = async move {
            tokio::time::sleep_until(begin).await;
            cluster.cancellation(&build).await
        };
        self.watch = Some(heard.boxed());
    }

    /// Waits until the build is cancelled.
    pub(super) async fn heard(&mut self) -> String {
        match &mut self.watch {
            Some(watch) => {
                let reason = watch.await;
                self.watch = None;
                reason
            }
            None => std::future::pending().await,
        }
    }

    pub(super) fn is_on(&self) -> bool {
        self.reason.is_some()
    }

    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    pub(super) fn is_late(&self) -> bool {
        self.until.is_some_and(|until| until <= Instant::now())
    }

    /// Notes what the next turn is about.
    pub(super) fn enter(&mut self, delivery: &Delivery) {
        self.handling = match delivery {
            Delivery::Cancel(_) => true,
            Delivery::Settle { id, .. } => self.jobs.contains(id),
            Delivery::Logs { token, .. } => self.logs.contains(token),
            Delivery::Timer(id) => self.timers.contains(id),
            _ => false,
        };
    }

    /// Whether something new may be begun in this turn, which is noted then.
    pub(super) fn allows(&mut self, command: &Command) -> bool {
        if !self.is_on() {
            return true;
        }
        if self.handling {
            match command {
                Command::Run { id, .. } => drop(self.jobs.insert(*id)),
                Command::Timer { id, .. } => drop(self.timers.insert(*id)),
                Command::Logs { token, .. } => drop(self.logs.insert(*token)),
                _ => {}
            }
        }
        self.handling || !matches!(command, Command::Run { .. } | Command::Timer { .. })
    }

    /// Whether this job was given up, so that no pod of it may stay.
    pub(super) fn gave_up(&self, id: usize) -> bool {
        self.is_on() && !self.jobs.contains(&id)
    }
}

impl Life<'_> {
    /// Ends everything that goes on, and tells the script.
    pub(super) fn cancelled(&mut self, reason: String) {
        self.printer.worker(LogLevel::Warn, "app", &reason);
        self.cancel.until = Some(Instant::now() + self.context.options.patience.cancelled);
        // The handlers are told first: what they hear is that, and not that a job was ended.
        self.ready.push_front(Delivery::Cancel(reason.clone()));
        self.uncreated.clear();
        self.timers.clear_all();
        self.jobs.cancel(&reason);
        self.cancel.reason = Some(reason);
    }
}
