//! The role `run`: a build, to its end.

use std::io::Write;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};
use pipeline::script::{self, Found, Repository};
use pipeline::{Context, Line, Options, PackageOptions};
use runtime::build::BuildId;
use runtime::cluster::Cluster;
use runtime::job::Policy;
use runtime::settings::{Settings, WorkerSettings};

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
    let id = BuildId::parse(&worker.build)?;
    let build = cluster.build(&worker.namespace, id).await?;
    let build = build.with_context(|| format!("there is no build {id} in {}", worker.namespace))?;
    let project = cluster.project(&worker.project).await?;
    let project = project.with_context(|| format!("there is no project {}", worker.project))?;
    let cloned = [(project.id.clone(), worker.workspace.clone())];
    let cloned = Repository::Folders(cloned.into());
    let Found::Script(script) = script::find(cluster, &project, &build, &cloned).await? else {
        bail!("there is no script, and nothing was cloned to {}", worker.workspace.display());
    };
    let policy = Policy {
        service_account: worker.service_account.clone(),
        service_accounts: vec![worker.service_account.clone()],
        cache_storage_class: settings.cache_storage_class.clone(),
        build_storage_class: settings.build_storage_class.clone(),
    };
    let packages = PackageOptions {
        registry: settings.npm_registry.clone(),
        folder: settings.package_cache.clone(),
        ..PackageOptions::default()
    };
    let options = Options { policy, packages, ..Options::default() };
    let context = Context { cluster: cluster.clone(), project, build, script, options };
    let out = Mutex::new(out);
    let print = move |line: Line| {
        let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
        let _nobody_reads = writeln!(out, "{}", line.text);
    };
    let outcome = pipeline::run(&context, Arc::new(print), shutdown).await?;
    Ok(ExitCode::from(u8::try_from(outcome.exit_code).unwrap_or(1)))
}
