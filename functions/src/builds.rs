//! Makes a build of an event: the one act that every receiver ends with.
//!
//! 1. The build's Secret is created. From here on the event cannot be lost.
//! 2. The script is found and started in this process, which creates its first jobs.
//! 3. If the script awaits something, a worker is given the build.
//! 4. The build is marked as started, with what the sender is told.
//!
//! Every step may be repeated, because all names follow from the event: a delivery that is made
//! again does again what was not finished, and nothing that was. So it does not matter between
//! which two calls this process dies.

use std::collections::BTreeMap;

use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use pipeline::script::{self, Found, Script};
use runtime::build::{Build, Phase, annotation};
use runtime::cluster::{Cancelled, Cluster, ClusterError, Creation};
use runtime::event::Event;
use runtime::project::Project;
use runtime::telemetry::{Kind, Span, metrics};
use runtime::trace::TraceContext;
use runtime::worker_pod;
use tokio::time::Instant;

use crate::answer::{Answer, HERE, Made};
use crate::app::{App, Workers};
use crate::delivery;
use crate::rejection::{Rejection, chain};

use self::clones::clones;
use self::start::Next;

mod clones;
mod follow;
mod line;
mod start;

/// How many events of one delivery are made at once.
const AT_ONCE: usize = 16;

/// Makes a build of an event, and starts it. The answer is given by the deadline.
///
/// If time runs out before the build is known to be in the cluster, the sender must deliver again,
/// which makes the same build. If it runs out later, a worker is given the build; only if there is no time even
/// for that must the sender deliver again, which starts the same build.
pub(crate) async fn make(
    app: &App,
    deadline: Instant,
    project: &Project,
    event: Event,
) -> Result<Made, Rejection> {
    delivery::about_event(&event.kind);
    let cluster = app.cluster.with_deadline(deadline);
    let mut build = Build::new(project, event, Timestamp::now());
    let mut span = Span::here("create build", Kind::Client);
    if let Some(span) = &mut span {
        let place = span.place().to_string();
        build.annotations.insert(annotation::TRACEPARENT.to_owned(), place);
        span.set("cicd.pipeline.run.id", build.id.to_string());
        span.set("k8s.namespace.name", build.namespace.as_str());
    }
    let (build, duplicate) = match cluster.create_build(&build).await? {
        Creation::Made(build) => {
            metrics::built();
            (build, false)
        }
        Creation::Exists(build) => (build, true),
    };
    if let Some((mut span, before)) = span.zip(TraceContext::of_build(&build).filter(|_| duplicate))
    {
        // The build is a part of the trace of the delivery that made it.
        span.link(before);
    }
    if duplicate
        && has_ended(&build)
        && !build.accepted
        && notify::reporter::is_wanted(project, &build)
    {
        return tell_of(app, deadline, project, &build).await;
    }
    // What has ended is not started again, even if nobody could note that it was started: pods that
    // are gone by now would be made once more.
    if duplicate && (build.accepted || has_ended(&build)) {
        return Ok(repeated(project, &build));
    }
    begin(app, deadline, project, &build, duplicate).await
}

/// Makes builds of what a delivery tells of, one event or several; with Brigade's word for success.
///
/// What is in the place of an event and is none is told of in that place.
pub(crate) async fn answer(
    app: &App,
    deadline: Instant,
    project: &Project,
    status: &'static str,
    events: Vec<Result<Event, Rejection>>,
) -> Result<Answer, Rejection> {
    match <[Result<Event, Rejection>; 1]>::try_from(events) {
        Ok([event]) => {
            let made = make(app, deadline, project, event?).await?;
            Ok(Answer::Made { status, made: Box::new(made) })
        }
        Err(events) => {
            let results = make_all(app, deadline, project, events).await;
            Ok(Answer::Several { status, results })
        }
    }
}

/// Makes builds of the events of one delivery, some of them at once; what became of each, in order.
///
/// A delivery of more than fit into the time ends with some of them refused, and goes on where it
/// was when it is made again.
async fn make_all(
    app: &App,
    deadline: Instant,
    project: &Project,
    events: Vec<Result<Event, Rejection>>,
) -> Vec<Result<Made, Rejection>> {
    let making = events
        .into_iter()
        .map(|event| async move { make(app, deadline, project, event?).await }.boxed());
    futures::stream::iter(making).buffered(AT_ONCE).collect().await
}

/// Starts a build that is in the cluster, if it is its turn, and marks it as started.
async fn begin(
    app: &App,
    deadline: Instant,
    project: &Project,
    build: &Build,
    duplicate: bool,
) -> Result<Made, Rejection> {
    if project.limits.line_up() {
        let cluster = app.cluster.with_deadline(deadline);
        let place = line::join(app, &cluster, project, build, duplicate).await;
        if let Some(made) = place.map_err(|error| kept(build, error))? {
            return Ok(made);
        }
    }
    launch(app, deadline, project, build, duplicate).await
}

/// Starts a build whose turn it is.
async fn launch(
    app: &App,
    deadline: Instant,
    project: &Project,
    build: &Build,
    duplicate: bool,
) -> Result<Made, Rejection> {
    let cluster = app.cluster.with_deadline(deadline);
    let kept = |error: ClusterError| kept(build, error);
    let mut made = Made {
        build: build.id.to_string(),
        project: project.name.clone(),
        events: build.fires(),
        duplicate,
        ..Made::default()
    };
    let mut notes = BTreeMap::new();
    match start::start(app, deadline, project, build, &mut made, &mut notes).await {
        Next::Nothing => {}
        Next::Worker { script } => {
            hand_over(app, &cluster, project, build, script, &mut made).await.map_err(kept)?;
        }
        Next::Teller { script } => {
            // It must not run the script again, so that the end is noted before there is one.
            cluster.annotate(build, &notes).await.map_err(kept)?;
            let mut ended = build.clone();
            ended.annotations.extend(notes.clone());
            let handed = hand_over(app, &cluster, project, &ended, Some(script), &mut made).await;
            // It runs no more, whether or not somebody tells of it.
            line::leave(app, &cluster, project, build).await;
            handed.map_err(kept)?;
        }
    }
    notes.insert(annotation::EXPLANATION.to_owned(), made.explanation());
    let head = cluster.accept(build, &notes).await.map_err(kept)?;
    if made.worker.is_none() {
        if let Some(reason) = head.cancelled() {
            // Whoever cancelled it may have come before its jobs were made. A worker sees it itself.
            cluster.end_cancelled(&head).await.map_err(kept)?;
            made.phase = Some(Phase::Cancelled.name().to_owned());
            made.reason = reason;
        }
        line::leave(app, &cluster, project, build).await;
    }
    Ok(made)
}

/// What a sender is told of a failure after the build was stored: that it exists.
fn kept(build: &Build, error: ClusterError) -> Rejection {
    match Rejection::from(error) {
        Rejection::Away { error, .. } => {
            Rejection::Away { build: Some(build.id.to_string()), error }
        }
        rejection => rejection,
    }
}

/// Starts a build that nobody has started, goes on with one whose process has died, and ends one
/// that was cancelled and that nobody follows. Tells of one that has ended, if nobody has.
///
/// For hosts that stay alive and whose workers are tasks of this process; whoever made the build's
/// Secret, a function or a person with `kubectl`. What fails is logged, and can be tried again.
pub async fn resume(app: &App, build: &Build) {
    let Workers::Here(tasks) = &app.workers else { return };
    if has_ended(build) {
        return follow::tell_end(app, tasks, build).await;
    }
    let detached = build.annotations.contains_key(annotation::DETACHED);
    let resumed = async {
        let project = app.cluster.project(&build.project).await?;
        let project = project.ok_or(Rejection::UnknownProject)?;
        if build.cancelled().is_some()
            && let Some(head) = app.cluster.head(&build.namespace, build.id).await?
            && app.cluster.end_if_left(&head).await? == Cancelled::Ended
        {
            tracing::info!(build.id = %build.id, "a build was cancelled, and ended here");
            line::leave(app, &app.cluster, &project, build).await;
            if let Some(build) = app.cluster.build(&build.namespace, build.id).await? {
                follow::tell_end(app, tasks, &build).await;
            }
            return Ok(None);
        }
        if detached {
            return Ok(None);
        }
        if !build.accepted {
            return begin(app, app.deadline(), &project, build, true).await.map(Some);
        }
        let found = script::find(&app.cluster, &project, build, &app.repository).await?;
        if let Found::Script(script) = found {
            let context = start::context(app, app.cluster.clone(), &project, build, script);
            let app = app.clone();
            if tasks.spawn(build.id, |shutdown| follow::follow(app, context, shutdown)) {
                tracing::info!(build.id = %build.id, "a build goes on");
            }
        }
        Ok(None)
    };
    match resumed.await {
        Ok(Some(made)) if made.phase.as_deref() == Some(Phase::Waiting.name()) => {}
        Ok(Some(made)) => tracing::info!(
            build.id = made.build,
            project.name = made.project,
            event.kind = build.event.kind,
            jobs = made.jobs.join(" "),
            reason = made.reason,
            "a build was started that nobody had started"
        ),
        Ok(None) => {}
        Err(rejection) => {
            let (_, reason) = rejection.words();
            let error = match &rejection {
                Rejection::Away { error: Some(error), .. } | Rejection::Refused { error } => {
                    chain(error)
                }
                _ => String::new(),
            };
            tracing::warn!(build.id = %build.id, reason, error, "a build cannot be started");
        }
    }
}

/// Gives the build to a worker, which starts the script again and adopts what exists.
async fn hand_over(
    app: &App,
    cluster: &Cluster,
    project: &Project,
    build: &Build,
    script: Option<Script>,
    made: &mut Made,
) -> Result<(), ClusterError> {
    match (&app.workers, script) {
        (Workers::Here(tasks), Some(script)) => {
            let context = start::context(app, app.cluster.clone(), project, build, script);
            let app = app.clone();
            tasks.spawn(build.id, |shutdown| follow::follow(app, context, shutdown));
            made.worker = Some(HERE.to_owned());
        }
        // A task of this process cannot clone; a pod can.
        (Workers::Here(_) | Workers::Pods, script) => {
            let clone = match has_ended(build) {
                true => worker_pod::Clone::No,
                false => clones(cluster, project, build, script.as_ref()).await?,
            };
            let pod = worker_pod::pod(project, build, clone, &app.settings);
            cluster.create_worker(&pod).await?;
            made.worker = Some(build.name());
        }
    }
    Ok(())
}

fn has_ended(build: &Build) -> bool {
    build.phase().is_some_and(Phase::is_terminal)
}

/// Has somebody tell of a build that has ended here, because nobody could be given it then.
async fn tell_of(
    app: &App,
    deadline: Instant,
    project: &Project,
    build: &Build,
) -> Result<Made, Rejection> {
    let cluster = app.cluster.with_deadline(deadline);
    let kept = |error: ClusterError| kept(build, error);
    let mut made = repeated(project, build);
    let handed = match &app.workers {
        Workers::Here(tasks) => {
            follow::tell_end(app, tasks, build).await;
            made.worker = Some(HERE.to_owned());
            Ok(())
        }
        Workers::Pods => hand_over(app, &cluster, project, build, None, &mut made).await,
    };
    line::leave(app, &cluster, project, build).await;
    handed.map_err(kept)?;
    let notes = BTreeMap::from([(annotation::EXPLANATION.to_owned(), made.explanation())]);
    cluster.accept(build, &notes).await.map_err(kept)?;
    Ok(made)
}

/// What is said of a build that was started before.
fn repeated(project: &Project, build: &Build) -> Made {
    let explanation = build.annotations.get(annotation::EXPLANATION);
    let told: Option<Made> = explanation.and_then(|json| serde_json::from_str(json).ok());
    Made {
        build: build.id.to_string(),
        project: project.name.clone(),
        events: build.fires(),
        duplicate: true,
        phase: build.phase().map(|phase| phase.name().to_owned()),
        reason: "this event was delivered before, and its build was started then".to_owned(),
        ..told.unwrap_or_default()
    }
}
