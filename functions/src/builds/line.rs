//! The line of a project that limits how many of its builds run at once: builds join it, and leave it.

use futures::FutureExt;
use futures::future::BoxFuture;
use runtime::build::{Build, Head, Phase, annotation};
use runtime::cluster::{Cluster, ClusterError};
use runtime::line::{self, GRACE};
use runtime::project::Project;

use crate::answer::{HERE, Made};
use crate::app::{App, Workers};
use crate::rejection::chain;

/// Has a build take its place; what is told of it if it is not to be started here and now.
pub(super) async fn join(
    app: &App,
    cluster: &Cluster,
    project: &Project,
    build: &Build,
    duplicate: bool,
) -> Result<Option<Made>, ClusterError> {
    let line = line::tend(cluster, project, GRACE).await?;
    let (own, others): (Vec<Head>, Vec<Head>) =
        line.start.into_iter().partition(|head| head.id == build.id);
    start(app, cluster, project, others).await;
    let mut made = Made {
        build: build.id.to_string(),
        project: project.name.clone(),
        events: build.fires(),
        duplicate,
        ..Made::default()
    };
    if !own.is_empty() {
        return Ok(None);
    }
    if let Some(before) = line.waiting.iter().position(|id| *id == build.id) {
        made.phase = Some(Phase::Waiting.name().to_owned());
        made.reason = match line.running.len() {
            1 => format!("waiting: 1 build runs, {before} wait before it"),
            running => format!("waiting: {running} builds run, {before} wait before it"),
        };
        return Ok(Some(made));
    }
    if !line.open.contains(&build.id) {
        // It was cancelled, by a newer one or by a person, or has ended.
        let head = cluster.head(&build.namespace, build.id).await?;
        if let Some(head) = head {
            made.phase = head.phase().map(|phase| phase.name().to_owned());
            made.reason = match head.cancelled() {
                Some(reason) => reason,
                None => head.annotations.get(annotation::REASON).cloned().unwrap_or_default(),
            };
        }
        return Ok(Some(made));
    }
    if line.running.contains(&build.id) && !duplicate {
        // Its slot was taken for it by somebody who ended another, and who starts it now. A
        // delivery that is made again starts it in any case, since they may have died.
        made.worker = Some(match &app.workers {
            Workers::Pods => build.name(),
            Workers::Here(_) => HERE.to_owned(),
        });
        "its turn has come, and its worker is being made".clone_into(&mut made.reason);
        return Ok(Some(made));
    }
    Ok(None)
}

/// Frees the slot of a build that nobody follows any more, and starts those that waited for it.
///
/// What fails is logged: the next who comes does it, or the sweeper.
pub(super) async fn leave(app: &App, cluster: &Cluster, project: &Project, build: &Build) {
    if !project.limits.line_up() {
        return;
    }
    let left = async {
        match &app.workers {
            Workers::Pods => {
                let (namespace, id) = (&build.namespace, build.id);
                line::leave(cluster, project, &app.settings, namespace, id).await.map(drop)
            }
            Workers::Here(_) => {
                cluster.free_slots(&build.namespace, build.id).await?;
                let Some(project) = cluster.project(&project.id).await? else { return Ok(()) };
                let line = line::tend(cluster, &project, GRACE).await?;
                start(app, cluster, &project, line.start).await;
                Ok(())
            }
        }
    };
    if let Err(error) = left.await {
        let error = chain(&error);
        tracing::warn!(build.id = %build.id, error, "those that wait for this build still wait");
    }
}

/// Starts builds whose turn has come, in worker pods or, where workers are tasks, here.
///
/// Boxed, since what is started here may end here, and start others.
fn start<'a>(
    app: &'a App,
    cluster: &'a Cluster,
    project: &'a Project,
    heads: Vec<Head>,
) -> BoxFuture<'a, ()> {
    async move {
        for head in heads {
            let started = match &app.workers {
                Workers::Pods => {
                    let reason = "it waited for other builds";
                    let started = line::start(cluster, project, &app.settings, &head, reason).await;
                    started.map_err(|error| chain(&error))
                }
                Workers::Here(_) => here(app, project, &head).await,
            };
            match started {
                Ok(()) => tracing::info!(build.id = %head.id, "a build that waited was started"),
                Err(error) => {
                    tracing::warn!(build.id = %head.id, error, "a build cannot be started");
                }
            }
        }
    }
    .boxed()
}

async fn here(app: &App, project: &Project, head: &Head) -> Result<(), String> {
    let build = app.cluster.build(&head.namespace, head.id).await.map_err(|error| chain(&error))?;
    if let Some(build) = build {
        super::launch(app, app.deadline(), project, &build, false)
            .await
            .map_err(|rejection| rejection.words().1.to_owned())?;
    }
    Ok(())
}
