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

use jiff::Timestamp;
use pipeline::script::{Script, ScriptOrigin};
use runtime::build::{Build, annotation};
use runtime::cluster::{Cluster, ClusterError, Creation};
use runtime::event::Event;
use runtime::project::Project;
use tokio::time::Instant;

use crate::answer::{HERE, Made};
use crate::app::{App, Workers};
use crate::delivery;
use crate::rejection::Rejection;
use crate::worker_pod::{self, Clone};

use self::start::Next;

mod follow;
mod start;

/// Makes a build of an event, and starts it. The answer is given by the deadline.
///
/// If time runs out before the build is in the cluster, nothing was made and the sender must
/// deliver again. If it runs out later, a worker is given the build; only if there is no time even
/// for that must the sender deliver again, which starts the same build.
pub(crate) async fn make(
    app: &App,
    deadline: Instant,
    project: &Project,
    event: Event,
) -> Result<Made, Rejection> {
    delivery::about_event(&event.kind);
    let cluster = app.cluster.with_deadline(deadline);
    let build = Build::new(project, event, Timestamp::now());
    let (build, duplicate) = match cluster.create_build(&build).await? {
        Creation::Made(build) => (build, false),
        Creation::Exists(build) => (build, true),
    };
    if duplicate && build.accepted {
        return Ok(repeated(project, &build));
    }
    // From here on the build exists, and the sender is told so whatever happens.
    let kept = |error: ClusterError| match Rejection::from(error) {
        Rejection::Away { error, .. } => {
            Rejection::Away { build: Some(build.id.to_string()), error }
        }
        rejection => rejection,
    };
    let mut made = Made {
        build: build.id.to_string(),
        project: project.name.clone(),
        events: build.fires(),
        duplicate,
        ..Made::default()
    };
    let mut notes = BTreeMap::new();
    match start::start(app, deadline, project, &build, &mut made, &mut notes).await {
        Next::Nothing => {}
        Next::Worker { script } => {
            hand_over(app, &cluster, project, &build, script, &mut made).await.map_err(kept)?;
        }
    }
    let explanation = serde_json::to_string(&made).expect("an answer is texts and lists of them");
    notes.insert(annotation::EXPLANATION.to_owned(), explanation);
    cluster.accept(&build, &notes).await.map_err(kept)?;
    Ok(made)
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
            tasks.spawn(build.id, |shutdown| follow::follow(context, shutdown));
            made.worker = Some(HERE.to_owned());
        }
        // A task of this process cannot clone; a pod can.
        (Workers::Here(_) | Workers::Pods, script) => {
            let clone = clones(project, script.as_ref());
            let pod = worker_pod::pod(project, build, clone, &app.settings);
            cluster.create_worker(&pod).await?;
            made.worker = Some(build.name());
        }
    }
    Ok(())
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

/// Whether a worker needs a clone: for the script itself, or for what the script reads.
fn clones(project: &Project, script: Option<&Script>) -> Clone {
    let reads = |text: &str| ["./", "/vcs", "fs"].iter().any(|name| text.contains(name));
    match script {
        _ if project.clone_url.is_empty() || project.vcs_sidecar.is_empty() => Clone::No,
        Some(script) if script.origin == ScriptOrigin::Repository => Clone::Yes,
        Some(script) if !reads(&script.text) => Clone::No,
        Some(_) | None => Clone::Yes,
    }
}
