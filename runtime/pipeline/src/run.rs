//! The whole life of a build, in a worker.

use std::future::Future;

use runtime::build::annotation;
use runtime::event::LogLevel;

use crate::life::Life;
use crate::packages::{self, PackageError};
use crate::{Context, Outcome, Output, PipelineError};

/// Runs a build to its end; jobs that exist are adopted.
///
/// When `shutdown` comes first, the build is left as it is, for another worker to go on with.
pub async fn run(
    context: &Context,
    output: Output,
    shutdown: impl Future<Output = ()>,
) -> Result<Outcome, PipelineError> {
    // What has ended is not run again: its pods may be gone, and would be made once more.
    if let Some(outcome) = Outcome::noted(&context.build) {
        return Ok(outcome);
    }
    let mut life = Life::new(context, output);
    tokio::select! {
        biased;
        () = shutdown => Err(PipelineError::Interrupted),
        outcome = follow(context, &mut life) => outcome,
    }
}

async fn follow(context: &Context, life: &mut Life<'_>) -> Result<Outcome, PipelineError> {
    let Context { cluster, build, .. } = context;
    let version = env!("CARGO_PKG_VERSION");
    life.printer.worker(LogLevel::Info, "", &format!("brigantine worker {version}"));
    life.note_start();
    match packages::install(context, &life.printer).await {
        Ok(packages) => life.packages = packages,
        Err(PackageError::Cluster(error)) => return Err(error.into()),
        Err(error) => life.refuse(error.to_string()),
    }
    life.live(true).await?;
    life.report();
    life.settle().await;
    let mut outcome = life.outcome();
    if let Some(started) = build.annotations.get(annotation::STARTED)
        && let Ok(started) = started.parse()
    {
        outcome.started = started;
    }
    if life.jobs.iter().any(|(job, _, _)| job.storage.enabled) {
        life.printer.worker(LogLevel::Log, "app", "destroying storage");
        if let Err(error) = cluster.delete_claim(&build.namespace, &build.name()).await {
            // It is owned by the build, and goes with that.
            let text = format!("the storage is left for later: {error}");
            life.printer.worker(LogLevel::Warn, "app", &text);
        }
    }
    cluster.annotate(build, &outcome.annotations()).await?;
    Ok(outcome)
}
