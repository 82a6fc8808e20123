//! Goes on with a build in this process, to its end.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use notify::{Outbox, ReportOptions, Reporter};
use pipeline::{Context, Outcome, PipelineError};
use runtime::build::{Build, annotation};
use runtime::cluster::Cluster;
use runtime::project::Project;
use tokio_util::sync::CancellationToken;

use super::start::log;
use super::{has_ended, line};
use crate::app::{App, Tasks, Workers};
use crate::rejection::chain;

/// Of what ended longer ago nobody is told any more.
const OLD: SignedDuration = SignedDuration::from_hours(1);

/// Runs a build to its end, adopting what it has made before, and tells its notifiers of it.
pub(super) async fn follow(app: App, mut context: Context, shutdown: CancellationToken) {
    let reporter = reporter(&app, &context.cluster, &context.project, &context.build);
    context.options.listener = reporter.as_ref().map(Reporter::listener);
    let build = &context.build;
    match pipeline::run(&context, log(build), shutdown.cancelled()).await {
        Ok(outcome) => {
            tracing::info!(
                build.id = %build.id,
                phase = outcome.phase.name(),
                reason = outcome.reason.as_deref().unwrap_or_default(),
                "a build has ended"
            );
            if has_ended(build) {
                tell(reporter, &outcome, shutdown).await;
                return;
            }
            // There is no worker pod whose log could be read later.
            let notes = BTreeMap::from([(annotation::LOG.to_owned(), outcome.log.clone())]);
            if let Err(error) = context.cluster.annotate(build, &notes).await {
                tracing::warn!(build.id = %build.id, error = chain(&error), "a log was not kept");
            }
            line::leave(&app, &context.cluster, &context.project, build).await;
            tell(reporter, &outcome, shutdown).await;
        }
        Err(PipelineError::Interrupted) => {
            tracing::info!(build.id = %build.id, "a build is left to go on later");
        }
        Err(error) => {
            tracing::error!(build.id = %build.id, error = chain(&error), "a build cannot go on");
        }
    }
}

/// Tells how a build ended, in a task of this process, if somebody is to know and nobody has told.
pub(super) async fn tell_end(app: &App, tasks: &Tasks, build: &Build) {
    if !build.annotations.contains_key(annotation::NOTIFIED) || build.is_told_to_nobody() {
        return;
    }
    let found = async {
        let project = app.cluster.project(&build.project).await?;
        let outcome = pipeline::settled(&app.cluster, build).await?;
        Ok::<_, PipelineError>(project.zip(outcome))
    };
    let (project, outcome) = match found.await {
        Ok(Some(found)) => found,
        Ok(None) => return,
        Err(error) => {
            tracing::warn!(build.id = %build.id, error = chain(&error), "nobody is told of a build");
            return;
        }
    };
    let age = Timestamp::now().duration_since(outcome.finished);
    let Some(reporter) = reporter(app, &app.cluster, &project, build).filter(|_| age < OLD) else {
        return;
    };
    if reporter.is_behind(&outcome) {
        tasks.spawn(build.id, |shutdown| async move {
            tell(Some(reporter), &outcome, shutdown).await;
        });
    }
}

fn reporter(app: &App, cluster: &Cluster, project: &Project, build: &Build) -> Option<Reporter> {
    let outbox = match &app.workers {
        Workers::Here(tasks) => tasks.outbox().cloned(),
        Workers::Pods => None,
    };
    let outbox = outbox.unwrap_or_else(|| Outbox::of(&app.settings));
    let options = ReportOptions::of(&app.settings);
    Reporter::new(cluster, project, build, &outbox, &options, log(build))
}

/// Tells who is to be told how the build ended. Everything else of it is done.
async fn tell(reporter: Option<Reporter>, outcome: &Outcome, shutdown: CancellationToken) {
    let Some(reporter) = reporter else { return };
    tokio::select! {
        biased;
        () = reporter.end(outcome) => {}
        () = shutdown.cancelled() => {}
    }
}
