//! The life of a build: loads the script, fires its events, makes and follows its jobs, tells the
//! script what becomes of them, until nothing is left to happen.
//!
//! Both ways of running a build are this one. In a function, nothing is followed, and the life is
//! left where it would have to wait; in a worker, it is lived to the end. All state is here and in
//! the engine: a life that is dropped anywhere leaves nothing but objects in the cluster, which the
//! next life of the same build adopts.

use std::collections::VecDeque;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, FuturesUnordered};
use jiff::Timestamp;
use runtime::build::Phase;
use runtime::cluster::{ClusterError, JobCreation, PodChange};
use runtime::event::LogLevel;
use runtime::job;
use tokio::time::Instant;

use crate::engine::{Command, Delivery, Engine, Failure, ScriptState, Seed, Stop, Turn};
use crate::mask::Mask;
use crate::outcome::Outcome;
use crate::output::{Output, Printer};
use crate::script::ScriptOrigin;
use crate::{Context, PipelineError};

use jobs::{Event, Jobs};
use timers::Timers;

mod jobs;
mod logs;
mod timers;

/// How many jobs are created at once.
const CREATIONS: usize = 16;

/// How much longer than its own limit a turn is waited for, before its engine is given up.
const TURN_GRACE: Duration = Duration::from_secs(2);

/// For how long a pod may fail to start before its job fails.
#[derive(Clone, Debug)]
pub struct Patience {
    /// With images that cannot be pulled and containers that cannot be made.
    pub start: Duration,
    /// With a cluster that has no node for it.
    pub schedule: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience { start: Duration::from_secs(60), schedule: Duration::from_secs(600) }
    }
}

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

/// What something outside of the script came to.
enum Happened {
    Created { id: usize, result: Result<JobCreation, ClusterError> },
    Log { id: usize, token: Option<u64>, result: Result<String, String> },
    Streamed,
    Deleted,
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
    started: Timestamp,
    pub(crate) state: ScriptState,
    pub(crate) heard: bool,
    stop: Option<Stop>,
    thrown: Option<String>,
    wants_repository: bool,
    ready: VecDeque<Delivery>,
    pub(crate) jobs: Jobs,
    pub(crate) timers: Timers,
    uncreated: VecDeque<usize>,
    creating: usize,
    /// How many results are being read.
    reading: usize,
    /// Logs that the script asked for and was not given yet.
    pub(crate) logs_wanted: Vec<usize>,
    tasks: FuturesUnordered<BoxFuture<'static, Happened>>,
    watch: Option<BoxStream<'static, PodChange>>,
}

impl<'a> Life<'a> {
    pub(crate) fn new(context: &'a Context, output: Output) -> Life<'a> {
        let Context { project, build, options, .. } = context;
        let mask = Mask::of(project);
        let least = build.event.log_level;
        Life {
            context,
            engine: None,
            printer: Printer::new(output, mask, least, options.limits.output),
            stage: Stage::New,
            started: Timestamp::now(),
            state: ScriptState::default(),
            heard: false,
            stop: None,
            thrown: None,
            wants_repository: false,
            ready: VecDeque::new(),
            jobs: Jobs::new(options.patience.clone()),
            timers: Timers::default(),
            uncreated: VecDeque::new(),
            creating: 0,
            reading: 0,
            logs_wanted: Vec::new(),
            tasks: FuturesUnordered::new(),
            watch: None,
        }
    }

    /// Lives until the build is over or, unless it is followed, until it would have to wait.
    pub(crate) async fn live(&mut self, follow: bool) -> Result<Pause, PipelineError> {
        loop {
            if self.stop.is_some() || self.thrown.is_some() || self.wants_repository {
                self.stage = Stage::Over;
            }
            if self.stage == Stage::Over {
                self.printer.finish();
                return Ok(Pause::Over);
            }
            self.create(follow);
            if let Some(delivery) = self.ready.pop_front() {
                self.turn(delivery).await?;
            } else if let Some(timer) = self.timers.due(Instant::now()) {
                self.turn(Delivery::Timer(timer)).await?;
            } else if let Some(event) = self.jobs.next_event(follow, self.creating > 0) {
                self.happened(event);
            } else if self.creating > 0 || (follow && self.waits()) {
                self.wait(follow).await?;
            } else if self.waits() {
                return Ok(Pause::Waits);
            } else {
                self.advance().await?;
            }
        }
    }

    /// Whether something must happen outside before the build can go on.
    fn waits(&self) -> bool {
        self.reading > 0
            || self.jobs.any_open()
            || self.timers.any_held()
            || !self.logs_wanted.is_empty()
    }

    /// Goes on to the next stage, since nothing of this one is left.
    async fn advance(&mut self) -> Result<(), PipelineError> {
        match self.stage {
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

    /// Runs JavaScript, on a thread that may be kept busy; says whether an event was heard.
    async fn turn(&mut self, delivery: Delivery) -> Result<bool, PipelineError> {
        if self.stop.is_some() || self.wants_repository {
            return Ok(false);
        }
        let engine = self.engine.take();
        let seed = engine.is_none().then(|| self.seed());
        let left = engine.as_ref().map_or(self.context.options.limits.running, Engine::left);
        let (abandoned, abandon) = std::sync::mpsc::channel();
        let running = tokio::task::spawn_blocking(move || {
            let mut engine = match (engine, seed) {
                (Some(engine), _) => engine,
                (None, Some(seed)) => Engine::new(seed)?,
                (None, None) => return Ok(None),
            };
            // Nobody may be waiting any more.
            let _sent = abandoned.send(engine.abandon());
            let turn = engine.turn(delivery);
            Ok::<_, crate::EngineError>(Some((engine, turn)))
        });
        let mut guard = Abandon(Some(abandon));
        let ended = tokio::time::timeout(left + TURN_GRACE, running).await;
        let turn = match ended {
            Ok(Ok(Ok(Some((engine, turn))))) => {
                guard.0 = None;
                self.engine = Some(engine);
                turn
            }
            Ok(Ok(Err(error))) => return Err(error.into()),
            Ok(Ok(Ok(None))) | Ok(Err(_)) => {
                let stop = Stop::Broken("the JavaScript engine stopped".to_owned());
                Turn { stop: Some(stop), ..Turn::default() }
            }
            Err(_elapsed) => Turn { stop: Some(Stop::Time), ..Turn::default() },
        };
        Ok(self.turned(turn))
    }

    fn seed(&self) -> Seed {
        let Context { project, build, script, options, .. } = self.context;
        Seed {
            project: project.clone(),
            build: build.clone(),
            policy: options.policy.clone(),
            limits: options.limits.clone(),
            workspace: script.workspace.clone(),
            script: script.name.clone(),
            printer: self.printer.clone(),
        }
    }

    fn turned(&mut self, turn: Turn) -> bool {
        self.stop = turn.stop;
        self.thrown = turn.thrown;
        self.wants_repository = turn.wants_repository && self.may_be_cloned();
        // What a script asked for in a turn that it did not survive is not done.
        if self.stop.is_some() || self.thrown.is_some() || self.wants_repository {
            return turn.heard;
        }
        self.state = turn.state;
        for command in turn.commands {
            self.obey(command);
        }
        turn.heard
    }

    /// Whether a worker would have the repository that this process does not have.
    fn may_be_cloned(&self) -> bool {
        let Context { project, build, script, .. } = self.context;
        let url = build.event.clone_url.as_ref().unwrap_or(&project.clone_url);
        script.workspace.is_none() && !url.is_empty() && !project.vcs_sidecar.is_empty()
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Run { id, job } => {
                let pod = job.pod_name(&self.context.build);
                self.jobs.add(id, *job, pod);
                self.uncreated.push_back(id);
            }
            Command::Refuse { id, name, pod, message } => {
                self.jobs.refuse(id, &name, &pod);
                self.ready.push_back(Delivery::Settle {
                    id,
                    result: Err(Failure {
                        message: format!("job {name}({pod}): Error: {message}"),
                        job: name,
                        pod_name: pod,
                        ..Failure::default()
                    }),
                });
            }
            Command::Awaited { id } => self.jobs.awaited(id),
            Command::Logs { id, token } => {
                if let Some(result) = self.jobs.log_without_reading(id) {
                    self.ready.push_back(Delivery::Logs { token, result });
                } else {
                    self.logs_wanted.push(id);
                    self.jobs.wants_log(id, token);
                }
            }
            Command::Timer { id, delay } => self.timers.set(id, delay, Instant::now()),
            Command::Clear { id } => self.timers.clear(id),
            Command::Hold { id, held } => self.timers.hold(id, held),
        }
    }

    /// Begins to create the jobs that were run, in their order.
    fn create(&mut self, follow: bool) {
        let Context { cluster, project, build, options, .. } = self.context;
        while self.creating < CREATIONS
            && let Some(id) = self.uncreated.pop_front()
        {
            let Some(job) = self.jobs.job(id) else { continue };
            if follow && self.watch.is_none() {
                self.watch = Some(cluster.watch_pods(build).boxed());
            }
            let now = Timestamp::now();
            let pod = match job::pod(job, project, build, &options.policy) {
                Ok(pod) => pod,
                Err(error) => {
                    self.jobs.fail(id, error.to_string(), None);
                    continue;
                }
            };
            let secret = job::secret(job, project, build, now);
            let mut claims = Vec::new();
            if job.cache.enabled {
                claims.push(job::cache_claim(job, project, build, &options.policy));
            }
            if job.storage.enabled {
                claims.push(job::storage_claim(project, build, &options.policy));
            }
            let name = &job.name;
            let text = format!("creating job {name}: {}/{}", build.namespace, job.pod_name(build));
            self.printer.worker(LogLevel::Log, "k8s", &text);
            let cluster = cluster.clone();
            self.creating += 1;
            self.tasks.push(Box::pin(async move {
                let create = async {
                    for claim in &claims {
                        cluster.create_claim(claim).await?;
                    }
                    cluster.create_job(&secret, &pod).await
                };
                Happened::Created { id, result: create.await }
            }));
        }
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
            () = sleep => self.jobs.tick(Instant::now()),
        }
        Ok(())
    }

    fn wake(&self) -> Option<Instant> {
        [self.timers.next(), self.jobs.next_deadline()].into_iter().flatten().min()
    }

    fn finished(&mut self, happened: Happened, follow: bool) -> Result<(), PipelineError> {
        match happened {
            Happened::Created { id, result } => {
                self.creating -= 1;
                match result {
                    Ok(creation) => self.jobs.created(id, matches!(creation, JobCreation::Adopted)),
                    // The sender is told to deliver again, which makes what is missing.
                    Err(error) if error.is_passing() && !follow => return Err(error.into()),
                    Err(error) if error.is_passing() && self.jobs.in_time(id) => {
                        let text =
                            format!("a job is not created yet, trying again: {}", chain(&error));
                        self.printer.worker(LogLevel::Warn, "k8s", &text);
                        self.uncreated.push_back(id);
                    }
                    Err(error) => self.jobs.fail(id, chain(&error), None),
                }
            }
            Happened::Log { id, token: Some(token), result } => {
                if let Some(at) = self.logs_wanted.iter().position(|wanted| *wanted == id) {
                    self.logs_wanted.remove(at);
                }
                self.ready.push_back(Delivery::Logs { token, result });
            }
            Happened::Log { id, token: None, result } => {
                let text = result.unwrap_or_else(|message| {
                    let text = format!("{message}; its result is an empty text");
                    self.printer.worker(LogLevel::Warn, "k8s", &text);
                    String::new()
                });
                self.reading -= 1;
                self.ready.push_back(Delivery::Settle { id, result: Ok(text) });
            }
            Happened::Streamed | Happened::Deleted => {}
        }
        Ok(())
    }

    /// Does what follows from what has become of a job.
    fn happened(&mut self, event: Event) {
        let Context { cluster, build, options, .. } = self.context;
        let (cluster, namespace) = (cluster.clone(), build.namespace.clone());
        let limit = options.limits.log;
        match event {
            Event::Failed(id, failure) => {
                let (job, message) = (&failure.job, &failure.message);
                self.printer.console("error", &format!("Error: {message}"));
                let text = format!("job {job} failed");
                self.printer.worker(LogLevel::Error, "k8s", &text);
                let message = format!("job {job}({}): Error: {message}", failure.pod_name);
                let failure = Failure { message, ..failure };
                self.ready.push_back(Delivery::Settle { id, result: Err(failure) });
            }
            Event::ReadResult { id, pod } => {
                self.reading += 1;
                self.tasks.push(Box::pin(async move {
                    let result = logs::end(&cluster, &namespace, &pod, limit).await;
                    Happened::Log { id, token: None, result }
                }));
            }
            Event::ReadLog { id, pod, token } => self.tasks.push(Box::pin(async move {
                let result = logs::end(&cluster, &namespace, &pod, limit).await;
                Happened::Log { id, token: Some(token), result }
            })),
            Event::NoLog { id, token, message } => {
                if let Some(at) = self.logs_wanted.iter().position(|wanted| *wanted == id) {
                    self.logs_wanted.remove(at);
                }
                self.ready.push_back(Delivery::Logs { token, result: Ok(message) });
            }
            Event::StreamLog { pod } => {
                let printer = self.printer.clone();
                self.tasks.push(Box::pin(async move {
                    logs::follow(&cluster, &namespace, &pod, &printer).await;
                    Happened::Streamed
                }));
            }
            Event::Delete { pod } => {
                let printer = self.printer.clone();
                self.tasks.push(Box::pin(async move {
                    if let Err(error) = cluster.delete_pod(&namespace, &pod).await {
                        let text = format!("{pod} could not be deleted: {}", chain(&error));
                        printer.worker(LogLevel::Warn, "k8s", &text);
                    }
                    Happened::Deleted
                }));
            }
        }
    }

    /// Lets what was begun beside the build come to its end: deletions, and logs that are shown.
    pub(crate) async fn settle(&mut self) {
        const LONGEST: Duration = Duration::from_secs(10);
        let tasks = &mut self.tasks;
        let rest = async { while tasks.next().await.is_some() {} };
        // What takes longer is left: nothing of the build depends on it.
        let _late = tokio::time::timeout(LONGEST, rest).await;
    }

    pub(crate) fn wants_repository(&self) -> bool {
        self.wants_repository
    }

    pub(crate) fn timed_out(&self) -> bool {
        self.stop == Some(Stop::Time)
    }

    /// How the build ended. Only for a life that is over.
    pub(crate) fn outcome(&self) -> Outcome {
        let limit = self.context.options.limits.running;
        let (exit_code, reason) = match (&self.stop, &self.thrown) {
            (Some(Stop::Exit(0)), _) => (0, None),
            (Some(Stop::Exit(code)), _) => (*code, Some(format!("the script exited with {code}"))),
            (Some(Stop::Time), _) => (1, Some(format!("the script ran for more than {limit:?}"))),
            (Some(Stop::Broken(text)), _) => (1, Some(text.clone())),
            (None, Some(text)) => (1, Some(text.clone())),
            (None, None) if self.state.failed => {
                (1, self.jobs.first_failure().or_else(|| Some("the script failed".to_owned())))
            }
            (None, None) => match self.state.exit_code {
                None | Some(0) => (0, None),
                Some(code) => (code, Some(format!("the script set process.exitCode to {code}"))),
            },
        };
        Outcome {
            phase: if exit_code == 0 { Phase::Succeeded } else { Phase::Failed },
            exit_code,
            reason: reason.map(|reason| self.printer.masked(&reason)),
            jobs: self.jobs.ends(),
            started: self.started,
            finished: Timestamp::now(),
            log: self.printer.tail(),
        }
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

/// Makes a turn that nobody waits for any more end soon.
struct Abandon<F: Fn()>(Option<std::sync::mpsc::Receiver<F>>);

impl<F: Fn()> Drop for Abandon<F> {
    fn drop(&mut self) {
        if let Some(abandon) = self.0.take().and_then(|receiver| receiver.try_recv().ok()) {
            abandon();
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
