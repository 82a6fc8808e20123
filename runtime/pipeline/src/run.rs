//! The whole life of a build, in a worker.

use std::future::Future;

use runtime::build::{Build, Phase, annotation};
use runtime::cluster::Cluster;
use runtime::event::LogLevel;
use runtime::telemetry::{Kind, Span};
use runtime::trace::TraceContext;

use crate::life::Life;
use crate::{Context, Outcome, Output, PipelineError};

/// Runs a build to its end; jobs that exist are adopted.
///
/// When `shutdown` comes first, the build is left as it is, for another worker to go on with.
pub async fn run(
    context: &Context,
    output: Output,
    shutdown: impl Future<Output = ()>,
) -> Result<Outcome, PipelineError> {
    // On the heap: what calls the cluster is large, and may be run on a small stack.
    if let Some(outcome) = Box::pin(settled(&context.cluster, &context.build)).await? {
        return Ok(outcome);
    }
    let mut life = Life::new(context, output);
    tokio::select! {
        biased;
        () = shutdown => Err(PipelineError::Interrupted),
        outcome = Box::pin(follow(context, &mut life)) => outcome,
    }
}

/// How a build has ended that is not to be run, since it has ended or was cancelled before: what it
/// had made is ended then, and no script is needed for that.
pub async fn settled(cluster: &Cluster, build: &Build) -> Result<Option<Outcome>, PipelineError> {
    // What has ended is not run again: its pods may be gone, and would be made once more.
    if let Some(outcome) = Outcome::noted(build) {
        // Whoever noted that it was cancelled may have met it while it made something.
        if outcome.phase == Phase::Cancelled {
            cluster.end_jobs(&build.namespace, build.id).await?;
        }
        return Ok(Some(outcome));
    }
    let Some(reason) = build.cancelled() else { return Ok(None) };
    if let Some(head) = cluster.head(&build.namespace, build.id).await? {
        cluster.end_cancelled(&head).await?;
    }
    Ok(Some(Outcome::cancelled(reason)))
}

async fn follow(context: &Context, life: &mut Life<'_>) -> Result<Outcome, PipelineError> {
    let Context { cluster, build, .. } = context;
    let mut span =
        TraceContext::of_build(build).map(|place| Span::below("run script", Kind::Internal, place));
    let version = env!("CARGO_PKG_VERSION");
    life.printer.worker(LogLevel::Info, "", &format!("brigantine worker {version}"));
    life.note_start();
    life.install().await?;
    life.live(true).await?;
    life.report();
    life.settle().await;
    life.trace();
    let mut outcome = life.outcome();
    if let Some(started) = build.annotations.get(annotation::STARTED)
        && let Ok(started) = started.parse()
    {
        outcome.started = started;
    }
    if let Some(span) = &mut span {
        span.set("cicd.pipeline.name", context.project.name.as_str());
        span.set("cicd.pipeline.run.id", build.id.to_string());
        let result = match outcome.phase {
            Phase::Succeeded => "success",
            Phase::Cancelled => "cancellation",
            Phase::TimedOut => "timeout",
            Phase::Failed | Phase::Running | Phase::Waiting => "failure",
        };
        span.set("cicd.pipeline.result", result);
        if outcome.phase == Phase::Failed {
            span.fail(outcome.reason.clone().unwrap_or_default());
        }
    }
    let cancelled = outcome.phase == Phase::Cancelled;
    if cancelled {
        // Also what an earlier life had made, and this one has not come to.
        cluster.end_jobs(&build.namespace, build.id).await?;
    }
    let stored = life.jobs.iter().any(|(job, _, _)| job.storage.enabled);
    if stored {
        life.printer.worker(LogLevel::Log, "app", "destroying storage");
        let text = format!("Destroying PVC named {}", build.name());
        life.printer.worker(LogLevel::Log, "k8s", &text);
    }
    if (stored || cancelled)
        && let Err(error) = cluster.delete_claim(&build.namespace, &build.name()).await
    {
        // It is owned by the build, and goes with that.
        let text = format!("the storage is left for later: {error}");
        life.printer.worker(LogLevel::Warn, "app", &text);
    }
    let mut notes = outcome.annotations();
    if context.options.notifies && !outcome.concerns() {
        notes.insert(annotation::NOTIFIED.to_owned(), annotation::NOBODY.to_owned());
    }
    match cluster.annotate(build, &notes).await {
        // It was deleted: there is nothing left to note it on.
        Err(error) if error.is_not_found() => Ok(outcome),
        noted => noted.map(|()| outcome).map_err(PipelineError::from),
    }
}
