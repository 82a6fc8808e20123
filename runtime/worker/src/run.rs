//! The role `run`: a build, to its end.

use std::io::Write;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};
use notify::{Outbox, ReportOptions, Reporter};
use pipeline::script::{self, Found, Repository};
use pipeline::{Context, Limits, Line, Options, Outcome, Output, PackageOptions};
use regex::Regex;
use runtime::build::{Build, BuildId};
use runtime::cluster::{Cluster, ClusterError};
use runtime::job::Policy;
use runtime::line;
use runtime::project::Project;
use runtime::settings::{Settings, WorkerSettings};

mod mounted;

#[cfg(test)]
mod tests;

/// Runs the build that the pod's environment names; its exit code is the worker's. A build that has
/// ended is not run again.
pub(crate) async fn run(
    cluster: &Cluster,
    worker: &WorkerSettings,
    settings: &Settings,
    out: impl Write + Send + 'static,
    shutdown: impl Future<Output = ()>,
) -> Result<ExitCode> {
    let mut out = out;
    let account = &worker.service_account;
    if let Some(pattern) = &worker.service_account_regex {
        let regex = Regex::new(pattern);
        let regex = regex.context("BRIGADE_SERVICE_ACCOUNT_REGEX is no regular expression")?;
        if !regex.is_match(account) {
            let text = format!("Service Account {account} does not match regex {pattern}");
            say(&mut out, &text);
            return Ok(ExitCode::FAILURE);
        }
    }
    let id = BuildId::parse(&worker.build)?;
    let mut build = match cluster.build(&worker.namespace, id).await {
        Ok(Some(build)) => build,
        // Nobody would own what is made of it.
        Ok(None) if worker.stored => bail!("build {id} was deleted from {}", worker.namespace),
        Ok(None) => mounted::build(worker, id)?,
        Err(error @ ClusterError::Refused { .. }) => mounted::build(worker, id).or(Err(error))?,
        Err(error) => return Err(error.into()),
    };
    let mut project = match cluster.project(&worker.project).await {
        Ok(Some(project)) if project.has_builds_in(&build.namespace) => project,
        Ok(Some(project)) => bail!("{} has no builds in {}", project.name, build.namespace),
        Ok(None) => mounted::project(worker)?,
        Err(error @ ClusterError::Refused { .. }) => mounted::project(worker).or(Err(error))?,
        Err(error) => return Err(error.into()),
    };
    // Where the build is, is where its worker was told to be.
    project.namespace = build.namespace.clone();
    build.event.log_level = worker.log_level.unwrap_or(build.event.log_level);
    mounted::script(worker, &mut project, &mut build);
    mounted::config(worker, &mut project, &mut build);
    let out = Mutex::new(out);
    let print: Output = Arc::new(move |line: Line| {
        let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
        let _nobody_reads = writeln!(out, "{}", line.text);
    });
    let (outbox, telling) = (Outbox::of(settings), ReportOptions::of(settings));
    let reporter = Reporter::new(cluster, &project, &build, &outbox, &telling, print.clone());
    let mut shutdown = pin!(shutdown);
    // What needs no script needs no clone either.
    if let Some(outcome) = pipeline::settled(cluster, &build).await? {
        leave(cluster, &project, settings, &build).await;
        tell(reporter, &outcome, shutdown).await;
        return Ok(code(&outcome));
    }
    let cloned = [(project.id.clone(), worker.workspace.clone())];
    let cloned = Repository::Folders(cloned.into());
    let Found::Script(script) = script::find(cluster, &project, &build, &cloned).await? else {
        bail!("there is no script, and nothing was cloned to {}", worker.workspace.display());
    };
    let policy = Policy {
        service_account: account.clone(),
        service_accounts: vec![account.clone()],
        cache_storage_class: settings.cache_storage_class.clone(),
        build_storage_class: settings.build_storage_class.clone(),
    };
    let packages = PackageOptions {
        registry: settings.npm_registry.clone(),
        folder: settings.package_cache.clone(),
        ..PackageOptions::default()
    };
    let limits = Limits::of(&project, &settings.script_limits);
    let listener = reporter.as_ref().map(Reporter::listener);
    let notifies = reporter.is_some();
    let options = Options { policy, limits, packages, notifies, listener, ..Options::default() };
    let context = Context { cluster: cluster.clone(), project, build, script, options };
    let outcome = pipeline::run(&context, print, shutdown.as_mut()).await?;
    leave(cluster, &context.project, settings, &context.build).await;
    tell(reporter, &outcome, shutdown).await;
    Ok(code(&outcome))
}

/// Tells who is to be told how the build ended. Everything else of it is done.
async fn tell(reporter: Option<Reporter>, outcome: &Outcome, shutdown: impl Future<Output = ()>) {
    let Some(reporter) = reporter else { return };
    tokio::select! {
        biased;
        () = reporter.end(outcome) => {}
        () = shutdown => {}
    }
}

fn code(outcome: &Outcome) -> ExitCode {
    ExitCode::from(u8::try_from(outcome.exit_code).unwrap_or(1))
}

/// Starts the builds that have waited for this one to end. What fails is the sweeper's.
async fn leave(cluster: &Cluster, project: &Project, settings: &Settings, build: &Build) {
    let left = line::leave(cluster, project, settings, &build.namespace, build.id).await;
    if let Err(error) = left {
        tracing::warn!(%error, "the builds that wait for this one still wait");
    }
}

/// Prints a line of the worker's own, as Brigade's does.
pub(crate) fn say(out: &mut impl Write, text: &str) {
    let _nobody_reads = writeln!(out, "[brigade] {text}");
}
