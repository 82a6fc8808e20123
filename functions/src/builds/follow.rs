//! Goes on with a build in this process, to its end.

use std::collections::BTreeMap;

use pipeline::{Context, PipelineError};
use runtime::build::annotation;
use tokio_util::sync::CancellationToken;

use super::line;
use super::start::log;
use crate::app::App;
use crate::rejection::chain;

/// Runs a build to its end, adopting what it has made before.
pub(super) async fn follow(app: App, context: Context, shutdown: CancellationToken) {
    let build = &context.build;
    match pipeline::run(&context, log(build), shutdown.cancelled()).await {
        Ok(outcome) => {
            tracing::info!(
                build.id = %build.id,
                phase = outcome.phase.name(),
                reason = outcome.reason.as_deref().unwrap_or_default(),
                "a build has ended"
            );
            // There is no worker pod whose log could be read later.
            let notes = BTreeMap::from([(annotation::LOG.to_owned(), outcome.log)]);
            if let Err(error) = context.cluster.annotate(build, &notes).await {
                tracing::warn!(build.id = %build.id, error = chain(&error), "a log was not kept");
            }
            line::leave(&app, &context.cluster, &context.project, build).await;
        }
        Err(PipelineError::Interrupted) => {
            tracing::info!(build.id = %build.id, "a build is left to go on later");
        }
        Err(error) => {
            tracing::error!(build.id = %build.id, error = chain(&error), "a build cannot go on");
        }
    }
}
