//! Starts the script of a build in this process, as far as it goes without waiting.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use pipeline::script::{self, Found, Script, ScriptOrigin};
use pipeline::{Context, Limits, Line, Options, Output, PackageOptions, Start, StartEnd};
use runtime::build::{Build, Phase, annotation};
use runtime::cluster::Cluster;
use runtime::job::Policy;
use runtime::project::Project;
use runtime::settings::Inline;
use runtime::telemetry;
use runtime::trace::TraceContext;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tracing::Span;

use crate::answer::Made;
use crate::app::{App, Workers};
use crate::lenient::line;
use crate::rejection::chain;

/// How much of its log the sender of a failed build is told.
const LOG_LINES: usize = 10;

/// How many scripts may be starting at once: each may take as much memory as a script may.
static STARTS: Semaphore = Semaphore::const_new(32);

/// Why a script is not started where it could be.
const NEVER: &str = "scripts are started by workers here (INLINE=never)";

/// Who goes on with a build that was started.
pub(super) enum Next {
    /// Nobody: it has ended, or its state is that of its jobs.
    Nothing,
    /// A worker, which only tells how it has ended.
    Teller { script: Script },
    /// A worker, with the script if it was found here.
    Worker { script: Option<Script> },
}

/// Starts the script, and notes on the build and in the answer what came of it.
///
/// This never fails: what cannot be done here, or not in time, is left to a worker, which adopts
/// what was done.
pub(super) async fn start(
    app: &App,
    deadline: Instant,
    project: &Project,
    build: &Build,
    made: &mut Made,
    notes: &mut BTreeMap<String, String>,
) -> Next {
    let never = app.settings.inline == Inline::Never;
    if never && matches!(app.workers, Workers::Pods) {
        NEVER.clone_into(&mut made.reason);
        return Next::Worker { script: None };
    }
    // A quarter of the time that is left is for giving the build to a worker.
    let left = deadline.saturating_duration_since(Instant::now());
    let until = deadline - left / 4;
    let cluster = app.cluster.with_deadline(until);
    let script = match script::find(&cluster, project, build, &app.repository).await {
        Ok(Found::Script(script)) => script,
        Ok(Found::Clone(reason)) => {
            made.reason = reason;
            return Next::Worker { script: None };
        }
        Err(error) => {
            tracing::warn!(build.id = %build.id, error = chain(&error), "no script was found");
            "the script could not be found in time".clone_into(&mut made.reason);
            return Next::Worker { script: None };
        }
    };
    // A script that was kept with the build came from where it was noted then.
    if !build.annotations.contains_key(annotation::SCRIPT) {
        notes.insert(annotation::SCRIPT.to_owned(), script.noted());
    }
    if never {
        NEVER.clone_into(&mut made.reason);
        return Next::Worker { script: Some(script) };
    }
    let origin = script.origin;
    let notifies = notify::reporter::is_wanted(project, build);
    let context = context(app, cluster, project, build, script.clone());
    let span = TraceContext::of_build(build)
        .map(|place| telemetry::Span::below("start script", telemetry::Kind::Internal, place));
    let started = tokio::time::timeout_at(until, evaluate(context, until)).await;
    drop(span);
    let started = match started {
        Ok(Ok(started)) => started,
        Ok(Err(error)) => {
            tracing::warn!(build.id = %build.id, error = chain(&*error), "a script did not start");
            "the script could not be started here".clone_into(&mut made.reason);
            return Next::Worker { script: Some(script) };
        }
        Err(_elapsed) => {
            "there was no time left to start the script here".clone_into(&mut made.reason);
            return Next::Worker { script: Some(script) };
        }
    };
    note(made, notes, &started, origin, notifies);
    match started.end {
        StartEnd::Ended(outcome) if notifies && outcome.concerns() => Next::Teller { script },
        StartEnd::Detached | StartEnd::Ended(_) => Next::Nothing,
        StartEnd::Awaits { .. } => Next::Worker { script: Some(script) },
    }
}

/// Evaluates the script on a thread of its own, where it can compute without holding up others.
///
/// It ends by the deadline even if nobody waits for it, because nothing that it does takes longer.
async fn evaluate(mut context: Context, until: Instant) -> Result<Start, Box<dyn Error + Send>> {
    let permit = STARTS.acquire().await.expect("nobody closes it");
    let left = until.saturating_duration_since(Instant::now());
    let limits = &mut context.options.limits;
    limits.running = limits.running.min(left.max(Duration::from_millis(1)));
    let (runtime, span) = (Handle::current(), Span::current());
    let evaluated = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let output = log(&context.build);
        span.in_scope(|| runtime.block_on(pipeline::start(&context, output)))
    });
    match evaluated.await {
        Ok(Ok(started)) => Ok(started),
        Ok(Err(error)) => Err(Box::new(error)),
        Err(panic) => Err(Box::new(panic)),
    }
}

/// What the pipeline needs to know of a build.
pub(super) fn context(
    app: &App,
    cluster: Cluster,
    project: &Project,
    build: &Build,
    script: Script,
) -> Context {
    let settings = &app.settings;
    let policy = Policy {
        service_account: settings.job_service_account.clone(),
        service_accounts: vec![settings.job_service_account.clone()],
        cache_storage_class: settings.cache_storage_class.clone(),
        build_storage_class: settings.build_storage_class.clone(),
    };
    let packages = PackageOptions {
        registry: settings.npm_registry.clone(),
        folder: settings.package_cache.clone(),
        ..PackageOptions::default()
    };
    Context {
        cluster,
        project: project.clone(),
        build: build.clone(),
        script,
        options: Options {
            policy,
            packages,
            limits: Limits::of(project, &settings.script_limits),
            notifies: notify::reporter::is_wanted(project, build),
            ..Options::default()
        },
    }
}

/// Where what a script prints goes: to the log. It was masked before.
pub(super) fn log(build: &Build) -> Output {
    let id = build.id.to_string();
    Arc::new(move |printed: Line| {
        tracing::info!(target: "script", { build.id = %id }, "{}", printed.text);
    })
}

/// Puts what came of it into the answer and the notes.
fn note(
    made: &mut Made,
    notes: &mut BTreeMap<String, String>,
    started: &Start,
    origin: ScriptOrigin,
    notifies: bool,
) {
    made.handlers = Some(started.handlers.clone());
    made.jobs = started.jobs.iter().map(|job| job.pod.clone()).collect();
    made.phase = started.phase().map(|phase| phase.name().to_owned());
    made.reason = match &started.end {
        StartEnd::Awaits { reason } => reason.clone(),
        StartEnd::Ended(outcome) if let Some(reason) = &outcome.reason => line(reason, 1000),
        StartEnd::Ended(_) if origin == ScriptOrigin::None => {
            "neither the repository nor the project has a script".to_owned()
        }
        StartEnd::Ended(_) if started.waits_for_process() => {
            "the script has a handler of Brigade 2's API, and does not call events.process()"
                .to_owned()
        }
        StartEnd::Ended(_) if !started.fired.iter().any(|name| started.handlers.contains(name)) => {
            format!("the script has no handler for `{}`", line(&started.fired.join("`, `"), 200))
        }
        StartEnd::Ended(_) => "the script has ended, and runs no jobs".to_owned(),
        StartEnd::Detached => "the script awaits none of its jobs".to_owned(),
    };
    notes.extend(started.annotations());
    match &started.end {
        StartEnd::Awaits { .. } => return,
        StartEnd::Ended(outcome) => {
            notes.extend(outcome.annotations());
            if notifies && !outcome.concerns() {
                notes.insert(annotation::NOTIFIED.to_owned(), annotation::NOBODY.to_owned());
            }
            if outcome.phase == Phase::Failed {
                let lines: Vec<&str> = started.log.lines().collect();
                let last = lines.iter().skip(lines.len().saturating_sub(LOG_LINES));
                made.log = last.map(|text| line(text, 200)).collect();
            }
        }
        StartEnd::Detached => {
            made.detached = true;
            notes.insert(annotation::DETACHED.to_owned(), true.to_string());
            notes.insert(annotation::STARTED.to_owned(), Timestamp::now().to_string());
            notes.extend(started.summary_annotation());
        }
    }
    if !started.log.is_empty() {
        notes.insert(annotation::LOG.to_owned(), started.log.clone());
    }
}
