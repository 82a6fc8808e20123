//! The JavaScript engine of one build.
//!
//! It is driven in turns: something is delivered (the script, an event, a result, the ringing of a
//! timer), JavaScript runs until nothing in it can run, and what the script asked for comes back as
//! commands. Nothing of the outside is waited for inside, so an engine may be dropped between any
//! two turns, and moves from thread to thread.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rquickjs::{CatchResultExt, CaughtError, Context, Ctx, Exception, Function, Runtime, Value};
use runtime::build::Build;
use runtime::event::LogLevel;
use runtime::job::Policy;
use runtime::project::Project;

use crate::output::Printer;
use crate::packages::Packages;

use files::Files;
use graph::Graph;
use guard::Guard;
use positions::Positions;
use random::Random;
use sources::{Kind, Source};
pub(crate) use turn::{Command, Delivery, Failure, Returned, ScriptState, Stop, Turn, Want};

mod builtins;
mod bytes;
mod files;
mod graph;
mod guard;
mod host;
mod modules;
mod names;
mod positions;
mod random;
mod resolve;
mod sources;
mod turn;
#[cfg(feature = "typescript")]
mod typescript;

#[cfg(test)]
pub(crate) mod tests;

/// What a script may use.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Memory of the engine, in bytes.
    pub memory: usize,
    /// How long JavaScript may run, waiting not counted.
    pub running: Duration,
    /// How many jobs a build may run.
    pub jobs: usize,
    /// How many timers may be pending at once.
    pub timers: usize,
    /// How many bytes a build may print.
    pub output: usize,
    /// How much of a job's log a script is given: the end of it.
    pub log: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            memory: 64 << 20,
            running: Duration::from_secs(10),
            jobs: 1000,
            timers: 1000,
            output: 4 << 20,
            log: 1 << 20,
        }
    }
}

/// How deep JavaScript may call, in bytes of the thread's stack, which has 2 MiB.
const STACK: usize = 512 << 10;

/// How many commands a turn may come to.
const COMMANDS: usize = 50_000;

/// How much stack may be in use when another file is compiled. The check of the stack begins anew
/// at that depth, so that at most twice as much is ever used.
const STACK_TO_COMPILE: usize = STACK;

pub(crate) struct Engine {
    context: Context,
    shared: Arc<Shared>,
    spent: Duration,
}

/// What the host functions of one engine share.
pub(crate) struct Shared {
    state: Mutex<State>,
    guard: Guard,
    printer: Printer,
    limits: Limits,
    project: Project,
    build: Build,
    policy: Policy,
    files: Files,
    script: String,
    /// What no script knows, and modules are marked with.
    mark: String,
    /// The build's own time, in milliseconds since 1970: it stands still while JavaScript runs.
    clock: AtomicI64,
    /// What the clock showed at first.
    began: i64,
    random: Mutex<Random>,
}

#[derive(Default)]
struct State {
    commands: Vec<Command>,
    /// The names of the jobs that were run.
    names: HashSet<String>,
    /// The pods of the jobs, by id.
    pods: Vec<String>,
    timers: HashSet<u64>,
    modules: usize,
    /// How many bytes the descriptions of the jobs take.
    described: usize,
    wants: Option<Want>,
    /// What the files are that modules were made of.
    kinds: HashMap<String, Kind>,
    /// The file that was read last.
    read: Option<(String, Source)>,
    /// Of the files that were compiled.
    positions: HashMap<String, Positions>,
    graph: Graph,
}

/// What an engine is made of.
pub(crate) struct Seed {
    pub(crate) project: Project,
    pub(crate) build: Build,
    pub(crate) policy: Policy,
    pub(crate) limits: Limits,
    pub(crate) workspace: Option<PathBuf>,
    pub(crate) packages: Packages,
    pub(crate) script: String,
    pub(crate) printer: Printer,
}

#[derive(Debug, thiserror::Error)]
#[error("the JavaScript engine cannot be started: {0}")]
pub struct EngineError(String);

impl Engine {
    pub(crate) fn new(seed: Seed) -> Result<Engine, EngineError> {
        let Seed { project, build, policy, limits, workspace, packages, script, printer } = seed;
        let failed = |error: rquickjs::Error| EngineError(error.to_string());
        let runtime = Runtime::new().map_err(failed)?;
        runtime.set_memory_limit(limits.memory);
        runtime.set_max_stack_size(STACK);
        let context = Context::full(&runtime).map_err(failed)?;
        let guard = Guard::new();
        let began = begin(&build);
        let random = Mutex::new(Random::of(&build));
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            guard,
            printer,
            limits,
            project,
            build,
            policy,
            files: Files::new(workspace, packages),
            script,
            mark: unguessed(),
            clock: AtomicI64::new(began),
            began,
            random,
        });
        let watch = Arc::clone(&shared);
        runtime.set_interrupt_handler(Some(Box::new(move || watch.guard.interrupts())));
        let note = Arc::clone(&shared);
        runtime.set_host_promise_rejection_tracker(Some(Box::new(
            move |ctx: Ctx<'_>, promise, reason, handled| {
                if dispatch::<()>(&ctx, ("rejection", promise, reason, handled)).is_err() {
                    ctx.catch();
                    note.guard.unnoted.store(true, Ordering::Relaxed);
                }
            },
        )));
        runtime
            .set_loader(modules::Names(Arc::clone(&shared)), modules::Sources(Arc::clone(&shared)));
        shared.guard.enter();
        context
            .with(|ctx| {
                host::install(&ctx, &shared).catch(&ctx).map_err(|error| explain(&ctx, error))
            })
            .map_err(EngineError)?;
        Ok(Engine { context, shared, spent: Duration::ZERO })
    }

    /// Delivers something and runs JavaScript until nothing in it can run.
    pub(crate) fn turn(&mut self, delivery: Delivery) -> Turn {
        let started = Instant::now();
        let left = self.shared.limits.running.saturating_sub(self.spent);
        self.shared.guard.arm(left);
        let mut turn = self.run(delivery);
        self.spent += started.elapsed();
        let mut state = self.shared.state();
        turn.commands = std::mem::take(&mut state.commands);
        turn.wants = state.wants;
        drop(state);
        turn.stop = self.shared.guard.stop().or(turn.stop);
        turn
    }

    /// Sets the clock that scripts see, for the turns that follow; it never goes back.
    pub(crate) fn set_clock(&self, milliseconds: i64) {
        self.shared.clock.fetch_max(milliseconds, Ordering::Relaxed);
    }

    /// What makes a turn that runs elsewhere end soon.
    pub(crate) fn abandon(&self) -> impl Fn() + Send + Sync + use<> {
        let shared = Arc::clone(&self.shared);
        move || shared.guard.abandoned.store(true, Ordering::Relaxed)
    }

    /// The time that JavaScript may still run.
    pub(crate) fn left(&self) -> Duration {
        self.shared.limits.running.saturating_sub(self.spent)
    }
}

impl Engine {
    fn run(&self, delivery: Delivery) -> Turn {
        let shared = &self.shared;
        let mut turn = self.context.with(|ctx| shared.deliver(&ctx, delivery));
        // A script that cannot be loaded has no events, and nobody whom a failure could be told.
        if turn.thrown.is_some() || turn.stop.is_some() {
            return turn;
        }
        loop {
            if let Err(stop) = self.run_jobs() {
                turn.stop = stop;
                return turn;
            }
            match self.context.with(|ctx| dispatch_or_stop::<usize>(&ctx, ("review",))) {
                Ok(0) => break,
                Ok(_) => {}
                Err(stop) => {
                    turn.stop = Some(stop);
                    return turn;
                }
            }
        }
        let state = self.context.with(|ctx| dispatch_or_stop::<String>(&ctx, ("state",)));
        let read = |json: String| {
            serde_json::from_str(&json).map_err(|error| Stop::Broken(error.to_string()))
        };
        match state.and_then(read) {
            Ok(state) => turn.state = state,
            Err(stop) => turn.stop = Some(stop),
        }
        turn
    }

    /// Runs what promises have queued.
    fn run_jobs(&self) -> Result<(), Option<Stop>> {
        loop {
            if self.shared.guard.stops() {
                return Err(None);
            }
            match self.context.runtime().execute_pending_job() {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                // What a script throws rejects a promise; this is the engine's own failure.
                Err(failed) => {
                    let text = failed.0.with(|ctx| {
                        let value = ctx.catch();
                        explain(&ctx, CaughtError::from_error(&ctx, ctx.throw(value)))
                    });
                    let stop = Stop::Broken(format!("the script cannot go on: {text}"));
                    return Err(self.shared.guard.stop().or(Some(stop)));
                }
            }
        }
    }
}

impl Shared {
    fn deliver(&self, ctx: &Ctx<'_>, delivery: Delivery) -> Turn {
        let mut turn = Turn::default();
        let delivered = match delivery {
            Delivery::Load { name, text } => {
                turn.thrown = modules::load(self, ctx, &name, &text);
                Ok(())
            }
            Delivery::Fire(name) => {
                dispatch_or_stop::<bool>(ctx, ("fire", name)).map(|heard| turn.heard = heard)
            }
            Delivery::Settle { id, result: Ok(returned) } => {
                let details = serde_json::to_string(&returned).unwrap_or_default();
                dispatch_or_stop(ctx, ("settle", id, true, returned.text, details))
            }
            Delivery::Settle { id, result: Err(failure) } => {
                let details = serde_json::to_string(&failure).unwrap_or_default();
                dispatch_or_stop(ctx, ("settle", id, false, failure.message, details))
            }
            Delivery::Logs { token, result } => {
                let ok = result.is_ok();
                let text = result.unwrap_or_else(|message| message);
                dispatch_or_stop(ctx, ("logs", token, ok, text))
            }
            Delivery::Timer(id) => {
                self.state().timers.remove(&id);
                dispatch_or_stop(ctx, ("timer", id))
            }
            Delivery::After => dispatch_or_stop(ctx, ("after",)),
            Delivery::Cancel(reason) => dispatch_or_stop(ctx, ("cancel", reason)),
        };
        turn.stop = delivered.err();
        turn
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a command, unless the script asks for more in one turn than anybody would.
    fn push(&self, ctx: &Ctx<'_>, command: Command) -> rquickjs::Result<()> {
        let mut state = self.state();
        if state.commands.len() < COMMANDS {
            state.commands.push(command);
            return Ok(());
        }
        drop(state);
        let text = format!("a script may ask for {COMMANDS} things at once");
        Err(Exception::throw_range(ctx, &text))
    }

    /// The files, of which this one is to be read. That a repository is missing is noted.
    fn files(&self, path: &str) -> &Files {
        if self.files.lacks(path) {
            self.state().want(Want::Repository);
        }
        &self.files
    }

    /// What a file is as a module.
    fn kind(&self, ctx: &Ctx<'_>, path: &str) -> rquickjs::Result<Kind> {
        if let Some(kind) = self.state().kinds.get(path) {
            return Ok(*kind);
        }
        let source = self.source(ctx, path)?;
        let kind = source.kind;
        self.state().read = Some((path.to_owned(), source));
        Ok(kind)
    }

    /// A file as a module.
    fn source(&self, ctx: &Ctx<'_>, path: &str) -> rquickjs::Result<Source> {
        let kept = self.state().read.take();
        if let Some((_, source)) = kept.filter(|(name, _)| name == path) {
            return Ok(source);
        }
        self.may_compile(ctx)?;
        let source = sources::read(self, ctx, path)?;
        self.state().kinds.insert(path.to_owned(), source.kind);
        Ok(source)
    }

    fn log(&self, level: LogLevel, part: &str, text: &str) {
        self.printer.worker(level, part, text);
    }
}

impl State {
    /// Notes what is missing here; the first thing counts.
    fn want(&mut self, want: Want) {
        self.wants.get_or_insert(want);
    }
}

/// A name that nobody guesses. It is seen nowhere, so it need not be the same in a replay.
fn unguessed() -> String {
    let keyed = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", keyed(), keyed())
}

/// What the clock of a build shows first: a time that everybody knows who evaluates its script.
pub(crate) fn begin(build: &Build) -> i64 {
    // A build without a Secret is evaluated once.
    build.created.unwrap_or_else(Timestamp::now).as_millisecond()
}

/// Calls the one function that drives the script.
fn dispatch<'js, R: rquickjs::FromJs<'js>>(
    ctx: &Ctx<'js>,
    arguments: impl rquickjs::function::IntoArgs<'js>,
) -> rquickjs::Result<R> {
    let function = ctx.userdata::<Function<'js>>().map(|function| function.clone());
    match function {
        Some(function) => function.call(arguments),
        None => Err(rquickjs::Error::Unknown),
    }
}

/// Calls it where only an engine that cannot go on throws.
fn dispatch_or_stop<'js, R: rquickjs::FromJs<'js>>(
    ctx: &Ctx<'js>,
    arguments: impl rquickjs::function::IntoArgs<'js>,
) -> Result<R, Stop> {
    dispatch(ctx, arguments).catch(ctx).map_err(|error| Stop::Broken(explain(ctx, error)))
}

/// What a thrown value says: its stack where it has one.
fn explain<'js>(ctx: &Ctx<'js>, error: CaughtError<'js>) -> String {
    let value: Value<'js> = match error {
        CaughtError::Exception(exception) => exception.into_object().into_value(),
        // The engine throws it where there is no memory left for an error.
        CaughtError::Value(value) if value.is_null() => {
            return "null, which a script that is out of memory throws, too".to_owned();
        }
        CaughtError::Value(value) => value,
        CaughtError::Error(error) => return error.to_string(),
    };
    match dispatch::<String>(ctx, ("explain", value.clone())) {
        Ok(text) => text,
        Err(_) => {
            ctx.catch();
            // Before the engine is set up, or out of memory.
            let message =
                value.as_object().and_then(|object| object.get::<_, String>("message").ok());
            let stack = value.as_object().and_then(|object| object.get::<_, String>("stack").ok());
            ctx.catch();
            [message, stack].into_iter().flatten().collect::<Vec<_>>().join("\n")
        }
    }
}
