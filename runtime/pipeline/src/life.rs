//! The life of a build: loads the script, fires its events, makes and follows its jobs, tells the
//! script what becomes of them, until nothing is left to happen.
//!
//! Both ways of running a build are this one. In a function, nothing is followed, and the life is
//! left where it would have to wait; in a worker, it is lived to the end. All state is here and in
//! the engine: a life that is dropped anywhere leaves nothing but objects in the cluster, which the
//! next life of the same build adopts.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, FuturesUnordered};
use jiff::Timestamp;
use runtime::build::Phase;
use runtime::cluster::PodChange;
use runtime::event::LogLevel;
use runtime::journal::annotation;
use tokio::time::Instant;

use crate::engine::{self, Delivery, Engine, ScriptState, Stop, Want};
use crate::mask::Mask;
use crate::outcome::Outcome;
use crate::output::{Output, Printer};
use crate::packages::{self, PackageError, Packages};
use crate::script::ScriptOrigin;
use crate::{Context, PipelineError};

use cancel::Cancel;
use clock::Clock;
use deliver::{Arrival, Next};
use inform::Informing;
pub(crate) use inform::tail;
use jobs::Jobs;
use journal::{Journal, Note};
use tasks::Happened;
use timers::Timers;
pub(crate) use turns::lingering;

mod cancel;
mod clock;
mod create;
mod deliver;
mod inform;
mod jobs;
mod journal;
mod logs;
mod tasks;
mod timers;
mod trace;
mod turns;

/// For how long something may not come to pass before it is given up.
#[derive(Clone, Debug)]
pub struct Patience {
    /// The start of a pod with images that cannot be pulled and containers that cannot be made.
    pub start: Duration,
    /// The start of a pod in a cluster that has no node for it.
    pub schedule: Duration,
    /// With what the `error` handlers of a cancelled build have begun.
    pub cancelled: Duration,
    /// The return of a node that does not say what has become of a pod.
    pub node: Duration,
    /// An answer of the cluster.
    pub cluster: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            start: Duration::from_secs(60),
            schedule: Duration::from_secs(600),
            cancelled: Duration::from_secs(120),
            node: Duration::from_secs(60),
            cluster: Duration::from_secs(300),
        }
    }
}

/// How many logs are read at once, each into memory.
const READINGS: usize = 8;

/// How far a build has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    New,
    Loading,
    /// The events were fired, and what they started goes on.
    Fired,
    /// The `after` event was fired, and what that started goes on.
    After,
    Over,
}

/// Why a life stopped being lived.
pub(crate) enum Pause {
    /// The build is over.
    Over,
    /// It would have to wait.
    Waits,
}

pub(crate) struct Life<'a> {
    context: &'a Context,
    engine: Option<Engine>,
    pub(crate) printer: Printer,
    stage: Stage,
    /// Whether this is the worker: nobody comes after it who could do more.
    follows: bool,
    started: Timestamp,
    pub(crate) state: ScriptState,
    pub(crate) heard: bool,
    stop: Option<Stop>,
    thrown: Option<String>,
    wants: Option<Want>,
    pub(crate) packages: Packages,
    clock: Clock,
    /// What was and is told to the script, once it is known what was.
    journal: Option<Journal>,
    /// What follows from the script alone, and is told at once.
    ready: VecDeque<Delivery>,
    /// What came from outside, in the order in which it is told.
    arrivals: VecDeque<Arrival>,
    pub(crate) jobs: Jobs,
    pub(crate) timers: Timers,
    pub(crate) cancel: Cancel,
    /// The jobs that were run and not made, each with the last that was told to the script by then.
    uncreated: VecDeque<(usize, u64)>,
    creating: usize,
    /// So many of the first jobs had been made before this life.
    made_before: usize,
    /// So many are noted to be made.
    made_noted: usize,
    noting_made: bool,
    notes: VecDeque<Note>,
    writing: usize,
    /// How many logs are being read.
    reading: usize,
    /// What is being read that had been told before, of which not all was kept.
    reading_again: Option<(usize, Option<u64>)>,
    /// Logs that the script has asked for since this was looked at, with the numbers of the questions.
    asked: Vec<(usize, u64)>,
    /// The numbers of the questions that were answered in an earlier life.
    repeated: BTreeSet<u64>,
    /// Logs that the script asked for and was not given yet.
    pub(crate) logs_wanted: Vec<usize>,
    /// Since when the cluster has not answered.
    away: Option<Instant>,
    tasks: FuturesUnordered<BoxFuture<'static, Happened>>,
    watch: Option<BoxStream<'static, PodChange>>,
    informing: Informing,
}

impl<'a> Life<'a> {
    pub(crate) fn new(context: &'a Context, output: Output) -> Life<'a> {
        let Context { project, build, options, .. } = context;
        let mask = Mask::of(project);
        let least = build.event.log_level;
        let made = build.annotations.get(annotation::MADE).and_then(|made| made.parse().ok());
        let made = made.unwrap_or(0);
        Life {
            context,
            engine: None,
            printer: Printer::new(output, mask, least, options.limits.output),
            stage: Stage::New,
            follows: false,
            started: Timestamp::now(),
            state: ScriptState::default(),
            heard: false,
            stop: None,
            thrown: None,
            wants: None,
            packages: Packages::default(),
            clock: Clock::new(engine::begin(build)),
            journal: None,
            ready: VecDeque::new(),
            arrivals: VecDeque::new(),
            jobs: Jobs::new(options.patience.clone(), options.listener.is_some()),
            timers: Timers::default(),
            cancel: Cancel::default(),
            uncreated: VecDeque::new(),
            creating: 0,
            made_before: made,
            made_noted: made,
            noting_made: false,
            notes: VecDeque::new(),
            writing: 0,
            reading: 0,
            reading_again: None,
            asked: Vec::new(),
            repeated: BTreeSet::new(),
            logs_wanted: Vec::new(),
            away: None,
            tasks: FuturesUnordered::new(),
            watch: None,
            informing: Informing::default(),
        }
    }

    /// Lives until the build is over or, unless it is followed, until it would have to wait.
    pub(crate) async fn live(&mut self, follow: bool) -> Result<Pause, PipelineError> {
        self.follows = follow;
        if follow {
            self.recollect();
        } else {
            // A start asks nothing: it finds what was before when it makes it again.
            self.journal = Some(Journal::new(HashMap::new()));
        }
        loop {
            self.inform();
            let over = self.stop.is_some() || self.thrown.is_some() || self.wants.is_some();
            if over || self.cancel.is_late() {
                self.stage = Stage::Over;
            }
            if self.stage == Stage::Over {
                self.printer.finish();
                return Ok(Pause::Over);
            }
            // The events do not wait for what the script began at its top.
            if self.stage == Stage::Loading && !self.state.loading && self.ready.is_empty() {
                self.advance().await?;
                continue;
            }
            self.create(follow);
            self.write();
            self.note_made();
            if let Some(delivery) = self.ready.pop_front() {
                self.turn(delivery).await?;
                continue;
            }
            match self.next(follow) {
                Next::Tell(delivery, at) => {
                    self.clock.advance(at);
                    self.turn(delivery).await?;
                }
                Next::Again => {}
                Next::Nothing if self.begins() || (follow && self.waits()) => {
                    self.wait(follow).await?;
                }
                Next::Nothing if self.waits() => return Ok(Pause::Waits),
                Next::Nothing => self.advance().await?,
            }
        }
    }

    /// Whether something is under way that even a start sees the end of.
    fn begins(&self) -> bool {
        let writes = self.writing > 0 || !self.notes.is_empty();
        let creates = !self.uncreated.is_empty() && !self.holds_jobs_back();
        self.creating > 0 || (!self.follows && (writes || creates))
    }

    /// Whether something must happen outside before the build can go on.
    fn waits(&self) -> bool {
        self.reading > 0
            || self.jobs.any_open()
            || self.timers.any_held()
            || !self.arrivals.is_empty()
            || !self.logs_wanted.is_empty()
    }

    /// Goes on to the next stage, since nothing of this one is left.
    async fn advance(&mut self) -> Result<(), PipelineError> {
        match self.stage {
            _ if self.cancel.is_on() => self.stage = Stage::Over,
            Stage::New => {
                self.stage = Stage::Loading;
                let script = &self.context.script;
                if script.origin == ScriptOrigin::None {
                    self.printer.worker(LogLevel::Log, "", "no script was found for this build");
                }
                let (name, text) = (script.name.clone(), script.text.clone());
                self.turn(Delivery::Load { name, text }).await?;
            }
            Stage::Loading if self.state.loading => {
                self.thrown =
                    Some("the script waits at its top for something that never comes".to_owned());
            }
            Stage::Loading => {
                self.stage = Stage::Fired;
                for name in self.context.build.fires() {
                    let turn = self.turn(Delivery::Fire(name)).await?;
                    self.heard |= turn;
                }
            }
            Stage::Fired if self.state.failed => self.stage = Stage::Over,
            Stage::Fired if !self.heard => {
                self.printer.worker(LogLevel::Log, "app", "no-after: fired");
                self.stage = Stage::Over;
            }
            Stage::Fired => {
                self.stage = Stage::After;
                self.turn(Delivery::After).await?;
            }
            Stage::After | Stage::Over => self.stage = Stage::Over,
        }
        Ok(())
    }

    /// Waits for the next thing that happens outside.
    async fn wait(&mut self, follow: bool) -> Result<(), PipelineError> {
        let wake = if follow { self.wake() } else { None };
        let sleep = async {
            match wake {
                Some(instant) => tokio::time::sleep_until(instant).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Some(happened) = self.tasks.next(), if !self.tasks.is_empty() => {
                self.finished(happened, follow)?;
            }
            change = next(&mut self.watch) => {
                let printer = self.printer.clone();
                let namespace = &self.context.build.namespace;
                self.jobs.changed(change, |level, text| {
                    printer.worker(level, "k8s", &format!("{namespace}/{text}"));
                });
            }
            reason = self.cancel.heard() => self.cancelled(reason),
            () = sleep => self.jobs.tick(Instant::now()),
        }
        Ok(())
    }

    fn wake(&self) -> Option<Instant> {
        // A timer of the past waits for what was told before it.
        let known = self.journal.as_ref().is_some_and(|journal| journal.head().is_none());
        let timer = self.timers.next().filter(|_| known).map(|at| self.clock.instant(at));
        let all = [timer, self.jobs.next_deadline(), self.cancel.until()];
        all.into_iter().flatten().min()
    }

    /// Has the packages that the script needs, unless the build is cancelled first: from now on
    /// that is heard. Without them, the life ends before the script is loaded.
    pub(crate) async fn install(&mut self) -> Result<(), PipelineError> {
        self.cancel.listen(self.context);
        let installed = tokio::select! {
            biased;
            reason = self.cancel.heard() => {
                self.cancelled_early(reason);
                return Ok(());
            }
            installed = packages::install(self.context, &self.printer) => installed,
        };
        match installed {
            Ok(packages) => self.packages = packages,
            Err(PackageError::Cluster(error)) => return Err(error.into()),
            Err(error) => self.thrown = Some(error.to_string()),
        }
        Ok(())
    }

    /// What a worker has to have for the script, and this process has not.
    pub(crate) fn wants(&self) -> Option<Want> {
        self.wants
    }

    pub(crate) fn timed_out(&self) -> bool {
        self.stop == Some(Stop::Time)
    }

    /// How the build ended. Only for a life that is over.
    pub(crate) fn outcome(&self) -> Outcome {
        let limit = self.context.options.limits.running;
        let cancelled = self.cancel.reason.clone();
        let (exit_code, reason) = match (&self.stop, &self.thrown) {
            _ if cancelled.is_some() => (1, cancelled.clone()),
            (Some(Stop::Exit(0)), _) => (0, None),
            (Some(Stop::Exit(code)), _) => (*code, Some(format!("the script exited with {code}"))),
            (Some(Stop::Time), _) => {
                let way_out = "limits.scriptTime of the project raises that, up to SCRIPT_LIMITS of the installation";
                (1, Some(format!("the script computed for more than {limit:?}; {way_out}")))
            }
            (Some(Stop::Broken(text)), _) | (None, Some(text)) => (1, Some(self.explained(text))),
            (None, None) if self.state.failed => {
                let uncaught = self.state.failure.clone().unwrap_or_default();
                let of_job = uncaught.job.and_then(|job| self.jobs.failure_of(&job));
                let said = Some(uncaught.text).filter(|text| !text.is_empty());
                (1, of_job.or(said).or_else(|| Some("the script failed".to_owned())))
            }
            (None, None) => match self.state.exit_code {
                None | Some(0) => (0, None),
                Some(code) => (code, Some(format!("the script set process.exitCode to {code}"))),
            },
        };
        let phase = match &self.stop {
            Some(Stop::Time) => Phase::TimedOut,
            _ if exit_code == 0 => Phase::Succeeded,
            _ => Phase::Failed,
        };
        Outcome {
            phase: if cancelled.is_some() { Phase::Cancelled } else { phase },
            exit_code,
            reason: reason.map(|reason| self.printer.masked(&reason)),
            summary: self.summary(),
            jobs: self.jobs.ends(|text| self.printer.masked(text)),
            started: self.started,
            finished: Timestamp::now(),
            log: self.printer.tail(),
            heard: self.heard,
        }
    }

    /// What the script says of the build, if it said something.
    pub(crate) fn summary(&self) -> Option<String> {
        self.state.summary.as_deref().map(|text| self.printer.masked(text))
    }

    /// Why the script cannot go on; that there is no memory left is said with the limit.
    fn explained(&self, text: &str) -> String {
        if !text.contains("out of memory") {
            return text.to_owned();
        }
        let memory = self.context.options.limits.memory >> 20;
        let way_out = "limits.scriptMemory of the project raises that, up to SCRIPT_LIMITS of the installation";
        format!("{text}\nthe script may use {memory} MiB of memory; {way_out}")
    }

    /// Prints why the script came to no good end.
    pub(crate) fn report(&self) {
        let text = match (&self.stop, &self.thrown) {
            (Some(Stop::Time | Stop::Broken(_)), _) | (None, Some(_)) => self.outcome().reason,
            _ => None,
        };
        if let Some(text) = text {
            self.printer.worker(LogLevel::Error, "app", &text);
        }
    }
}

impl Drop for Life<'_> {
    /// Nobody has to wait for what an engine has to free.
    fn drop(&mut self) {
        if let Some(engine) = self.engine.take()
            && let Ok(handle) = tokio::runtime::Handle::try_current()
        {
            handle.spawn_blocking(move || drop(engine));
        }
    }
}

async fn next(watch: &mut Option<BoxStream<'static, PodChange>>) -> PodChange {
    match watch {
        Some(changes) => match changes.next().await {
            Some(change) => change,
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}
