//! The turns of the script, on threads that may be kept busy, and what it asks for in them.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::task::AbortHandle;

use super::Life;
use crate::engine::{Command, Delivery, Engine, Failure, Seed, Stop, Turn, Want};
use crate::{Context, PipelineError, packages};

/// How much longer than its own limit a turn is waited for, before its engine is given up.
const TURN_GRACE: Duration = Duration::from_secs(2);

impl Life<'_> {
    /// Runs JavaScript, on a thread that may be kept busy; says whether an event was heard.
    pub(super) async fn turn(&mut self, delivery: Delivery) -> Result<bool, PipelineError> {
        if self.stop.is_some() || self.wants.is_some() {
            return Ok(false);
        }
        self.cancel.enter(&delivery);
        let engine = self.engine.take();
        let now = self.clock.now();
        let seed = engine.is_none().then(|| self.seed());
        let left = engine.as_ref().map_or(self.context.options.limits.running, Engine::left);
        let (abandoned, abandon) = std::sync::mpsc::channel();
        let running = tokio::task::spawn_blocking(move || {
            let mut engine = match (engine, seed) {
                (Some(engine), _) => engine,
                (None, Some(seed)) => Engine::new(seed)?,
                (None, None) => return Ok(None),
            };
            engine.set_clock(now);
            // Nobody may be waiting any more.
            let _sent = abandoned.send(engine.abandon());
            let turn = engine.turn(delivery);
            Ok::<_, crate::EngineError>(Some((engine, turn)))
        });
        let thread = running.abort_handle();
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
            Err(_elapsed) => {
                linger(thread);
                Turn { stop: Some(Stop::Time), ..Turn::default() }
            }
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
            packages: self.packages.clone(),
            script: script.name.clone(),
            printer: self.printer.clone(),
        }
    }

    fn turned(&mut self, turn: Turn) -> bool {
        self.stop = turn.stop;
        self.thrown = turn.thrown.or_else(|| turn.state.thrown.clone());
        self.wants = turn.wants.filter(|want| !self.follows && self.may_be_had(*want));
        // What a script asked for in a turn that it did not survive is not done.
        if self.stop.is_some() || self.thrown.is_some() || self.wants.is_some() {
            return turn.heard;
        }
        let summary = self.state.summary.take();
        self.state = turn.state;
        self.state.summary = self.state.summary.take().or(summary);
        for command in turn.commands {
            self.obey(command);
        }
        turn.heard
    }

    /// Whether a worker would have what this process does not have.
    fn may_be_had(&self, want: Want) -> bool {
        let Context { project, build, script, .. } = self.context;
        let url = build.event.clone_url.as_ref().unwrap_or(&project.clone_url);
        let cloned =
            script.workspace.is_none() && !url.is_empty() && !project.vcs_sidecar.is_empty();
        match want {
            Want::Compiler => true,
            Want::Repository => cloned,
            Want::Package => cloned || packages::may_be_fetched(self.context),
        }
    }

    fn obey(&mut self, command: Command) {
        if !self.cancel.allows(&command) {
            return self.refuse(command);
        }
        match command {
            Command::Run { id, job } => {
                let pod = job.pod_name(&self.context.build);
                self.jobs.add(id, *job, pod, self.clock.now());
                self.uncreate(id);
            }
            Command::Refuse { id, name, pod, message } => {
                self.refuse_job(id, name, pod, &message);
            }
            Command::Awaited { id } => self.jobs.awaited(id),
            Command::Logs { id, token } => {
                if let Some(result) = self.jobs.log_without_reading(id) {
                    self.ready.push_back(Delivery::Logs { token, result });
                } else {
                    self.logs_wanted.push(id);
                    self.asked.push((id, token));
                }
            }
            Command::Timer { id, delay } => self.timers.set(id, delay, self.clock.now()),
            Command::Clear { id } => self.timers.clear(id),
            Command::Hold { id, held } => self.timers.hold(id, held),
        }
    }
}

impl Life<'_> {
    /// Does not do what a script asks for whose build was cancelled.
    fn refuse(&mut self, command: Command) {
        if let Command::Run { id, job } = command {
            let pod = job.pod_name(&self.context.build);
            let reason = self.cancel.reason.clone().unwrap_or_default();
            self.refuse_job(id, job.name, pod, &format!("it is not run, because {reason}"));
        }
    }

    fn refuse_job(&mut self, id: usize, name: String, pod: String, message: &str) {
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
}

/// The threads that scripts keep busy whose builds have been ended: some of the engine's own
/// functions are not interrupted, and run to their end.
static LINGERING: Mutex<Vec<AbortHandle>> = Mutex::new(Vec::new());

fn linger(thread: AbortHandle) {
    LINGERING.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
}

/// How many threads such scripts keep busy.
pub(crate) fn lingering() -> usize {
    let mut threads = LINGERING.lock().unwrap_or_else(PoisonError::into_inner);
    threads.retain(|thread| !thread.is_finished());
    threads.len()
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

#[tokio::test]
async fn a_thread_that_does_not_stop_is_counted_until_it_does() {
    let before = lingering();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let thread = tokio::task::spawn_blocking(move || released.recv().is_err());
    linger(thread.abort_handle());
    assert_eq!(lingering(), before + 1);
    drop(release);
    assert!(thread.await.unwrap());
    assert_eq!(lingering(), before);
}
