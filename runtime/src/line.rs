//! The line in which a project's builds wait, where it says how many run at once.
//!
//! A build runs that holds a *slot*: a small Secret with a number below the project's limit, created
//! if it is absent. So the API server is what sees to the limit, and two who take one slot at once
//! cannot both have it. A slot is owned by its build, and is freed when the build has ended.
//!
//! Whoever changes something, a function that made a build or a worker that ended one, [`tend`]s the
//! line after that: frees slots of builds that have ended, and takes the free ones for those that
//! wait, the oldest first. Of any two who do so, the later one sees what the earlier one changed,
//! so nothing that could start is forgotten. Who takes a slot for a build starts it; if they die
//! before that, whoever comes later does, after a grace, and the sweeper at last.
//!
//! A project may also have a new build supersede the older ones of the same event type and ref; they
//! are cancelled here, whether they wait or run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use ulid::Ulid;

use crate::build::{Build, BuildId, Head, Phase, annotation};
use crate::cluster::{Cancelled, Cluster, ClusterError, Slot};
use crate::project::Project;
use crate::settings::Settings;
use crate::worker_pod::{self, Clone};

#[cfg(test)]
mod tests;

/// How long who took a slot has to start the build, before somebody else does.
pub const GRACE: Duration = Duration::from_secs(30);

/// How often a line is looked at before it is given up, which nothing but damaged slots leads to.
const ROUNDS: usize = 1000;

/// How the line of a project stands.
#[derive(Debug, Default)]
pub struct Line {
    /// Those that have neither ended nor been cancelled.
    pub open: BTreeSet<BuildId>,
    /// Those that hold a slot.
    pub running: BTreeSet<BuildId>,
    /// Those that wait, the oldest first.
    pub waiting: Vec<BuildId>,
    /// Those that are to be started now by who tended the line, the oldest first.
    pub start: Vec<Head>,
}

/// Frees what is held by builds that have ended, and takes it for those that wait.
///
/// Every step may be repeated, and what a death leaves undone is done by who comes next. Who took a
/// slot more than `grace` ago and has not started the build is taken for dead.
pub async fn tend(
    cluster: &Cluster,
    project: &Project,
    grace: Duration,
) -> Result<Line, ClusterError> {
    let taker = Ulid::generate().to_string();
    let mut superseded = !project.limits.supersede;
    // Every round changes something, or meets a change by others.
    for _ in 0..ROUNDS {
        // In this order: whoever holds a slot that is seen has a build that can be seen.
        let slots = match project.limits.builds {
            Some(_) => cluster.slots(project).await?,
            None => Vec::new(),
        };
        let open = cluster.open_builds(project).await?;
        let mut changed = end_cancelled(cluster, &open).await?;
        if !std::mem::replace(&mut superseded, true) {
            changed |= supersede(cluster, &open).await?;
        }
        let (held, stale) = held(&slots, &open);
        for slot in stale {
            cluster.free_slot(slot).await?;
            changed = true;
        }
        if changed {
            continue;
        }
        let alive = open.iter().filter(|head| head.cancelled().is_none()).map(|head| head.id);
        let alive = alive.collect();
        let waiting: Vec<&Head> = open
            .iter()
            .filter(|head| !head.accepted && head.cancelled().is_none())
            .filter(|head| !held.contains_key(&head.id))
            .collect();
        let Some(most) = project.limits.builds else {
            // Nothing is waited for any more, if it was before.
            let waited = |head: &&Head| head.annotations.contains_key(annotation::WAITING);
            let start = waiting.into_iter().filter(waited).cloned().collect();
            return Ok(Line { start, open: alive, ..Line::default() });
        };
        let taken: BTreeSet<usize> = held.values().map(|slot| slot.number).collect();
        let free = (0..most).filter(|number| !taken.contains(number));
        let free = free.take(most.saturating_sub(held.len()));
        let pairs: Vec<(usize, &Head)> = free.zip(waiting.iter().copied()).collect();
        if pairs.is_empty() {
            let is_due = |head: &&Head| {
                held.get(&head.id).is_some_and(|slot| slot.taker == taker || is_old(slot, grace))
            };
            let unstarted = open.iter().filter(|head| !head.accepted && head.cancelled().is_none());
            return Ok(Line {
                open: alive,
                start: unstarted.filter(is_due).cloned().collect(),
                running: held.keys().copied().collect(),
                waiting: waiting.iter().map(|head| head.id).collect(),
            });
        }
        for (number, head) in pairs {
            // If it is not free any more, that is seen in the next round.
            cluster.take_slot(project, number, head, &taker).await?;
        }
    }
    Err(ClusterError::Late)
}

/// Tends the line of a project, and gives a worker pod to each build that is to be started.
///
/// One that cannot be started keeps no other from it; the first error is told at the end.
pub async fn next(
    cluster: &Cluster,
    project: &Project,
    settings: &Settings,
    grace: Duration,
) -> Result<Vec<BuildId>, ClusterError> {
    let line = tend(cluster, project, grace).await?;
    let (mut started, mut failed) = (Vec::new(), None);
    for head in &line.start {
        match start(cluster, project, settings, head, "it waited for other builds").await {
            Ok(()) => started.push(head.id),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(started), Err)
}

/// Frees the slot of a build that has ended, and starts those that waited for it.
pub async fn leave(
    cluster: &Cluster,
    project: &Project,
    settings: &Settings,
    namespace: &str,
    id: BuildId,
) -> Result<Vec<BuildId>, ClusterError> {
    if !project.limits.line_up() {
        return Ok(Vec::new());
    }
    cluster.free_slots(namespace, id).await?;
    // Its limits may have been changed since the build began.
    match cluster.project(&project.id).await? {
        Some(project) => next(cluster, &project, settings, GRACE).await,
        None => Ok(Vec::new()),
    }
}

/// Gives a worker pod to a build, and marks it as started.
pub async fn start(
    cluster: &Cluster,
    project: &Project,
    settings: &Settings,
    head: &Head,
    reason: &str,
) -> Result<(), ClusterError> {
    let Some(build) = make_worker(cluster, project, settings, head).await? else { return Ok(()) };
    let told = json!({
        "build": build.id.to_string(),
        "project": project.name,
        "events": build.fires(),
        "worker": build.name(),
        "reason": reason,
    });
    let notes = BTreeMap::from([(annotation::EXPLANATION.to_owned(), told.to_string())]);
    cluster.accept(&build, &notes).await.map(drop)
}

/// Gives a worker pod to a build that has not ended.
pub async fn make_worker(
    cluster: &Cluster,
    project: &Project,
    settings: &Settings,
    head: &Head,
) -> Result<Option<Build>, ClusterError> {
    let Some(build) = cluster.build(&head.namespace, head.id).await? else { return Ok(None) };
    if build.phase().is_some_and(Phase::is_terminal) {
        return Ok(None);
    }
    // What the script reads is not known here.
    let clone = if project.clone_url.is_empty() && build.event.clone_url.is_none() {
        Clone::No
    } else {
        Clone::Yes
    };
    cluster.create_worker(&worker_pod::pod(project, &build, clone, settings)).await?;
    Ok(Some(build))
}

/// Ends what was cancelled before it was started, if who cancelled it did not come to that.
async fn end_cancelled(cluster: &Cluster, open: &[Head]) -> Result<bool, ClusterError> {
    let mut changed = false;
    for head in open.iter().filter(|head| !head.accepted && head.cancelled().is_some()) {
        changed |= cluster.end_if_left(head).await? == Cancelled::Ended;
    }
    Ok(changed)
}

/// Cancels the builds that have a newer one of the same event type and ref.
async fn supersede(cluster: &Cluster, open: &[Head]) -> Result<bool, ClusterError> {
    let newest = newest(open);
    let mut changed = false;
    for head in open {
        let Some(newest) = group(head).and_then(|group| newest.get(group)) else { continue };
        if *newest != head.id && head.cancelled().is_none() {
            let reason = format!("superseded by {newest}");
            cluster.cancel(&head.namespace, head.id, &reason).await?;
            changed = true;
        }
    }
    Ok(changed)
}

/// The newest build of each event type and ref: by when the events happened, as an older one may be
/// delivered late; where one of them does not say that, by when they came.
fn newest(open: &[Head]) -> BTreeMap<&str, BuildId> {
    let mut groups: BTreeMap<&str, Vec<&Head>> = BTreeMap::new();
    for head in open {
        if let Some(group) = group(head) {
            groups.entry(group).or_default().push(head);
        }
    }
    let newest = groups.into_iter().filter_map(|(group, heads)| {
        let told = heads.iter().all(|head| head.id.time().is_some());
        let age = |head: &&Head| (head.id.time().filter(|_| told), head.place());
        Some((group, heads.into_iter().max_by_key(age)?.id))
    });
    newest.collect()
}

fn group(head: &Head) -> Option<&str> {
    head.annotations.get(annotation::GROUP).map(String::as_str)
}

/// Which build holds which slot, and the slots that nobody should hold: of builds that have ended,
/// and second ones, which two who took one for the same build at once leave.
fn held<'a>(slots: &'a [Slot], open: &[Head]) -> (BTreeMap<BuildId, &'a Slot>, Vec<&'a Slot>) {
    let open: BTreeSet<BuildId> = open.iter().map(|head| head.id).collect();
    let (mut held, mut stale) = (BTreeMap::new(), Vec::new());
    for slot in slots {
        match slot.build {
            Some(build) if open.contains(&build) && !held.contains_key(&build) => {
                held.insert(build, slot);
            }
            _ => stale.push(slot),
        }
    }
    (held, stale)
}

fn is_old(slot: &Slot, grace: Duration) -> bool {
    let age = Timestamp::now().duration_since(slot.taken);
    Duration::try_from(age).unwrap_or_default() >= grace
}
