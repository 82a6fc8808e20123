//! Sees to it that people are not flooded: what is beyond a notifier's window is collected in the
//! cluster, and told together.

use std::time::Duration;

use jiff::Timestamp;
use runtime::cluster::{Cluster, ClusterError};
use runtime::project::{Moment, Notifier, Project};

use super::window::{Admission, Batch, Window};
use super::words;
use crate::{Notification, Outbox, TellError, tell};

/// How often it is tried to change what others change at the same time.
const ROUNDS: u32 = 200;

/// The longest pause between two tries.
const PAUSE: Duration = Duration::from_millis(500);

/// Whether a message is sent now or collected, and whether something is left that nobody tells.
pub(super) async fn admit(
    cluster: &Cluster,
    project: &Project,
    notifier: &Notifier,
    notification: &Notification,
    about: (&str, Moment),
) -> Result<(Admission, bool), ClusterError> {
    let rules = (notifier.most, notifier.window);
    let admitted = change(cluster, project, &notifier.name, |window| {
        let now = Timestamp::now();
        let admission = window.admit(notification, about, rules, now);
        Some((admission, window.is_late(now)))
    });
    // If too many change it for anybody to, one message more is less than one that is lost.
    Ok(admitted.await?.unwrap_or((Admission::Send, false)))
}

/// Tells what `me` is to tell of what was collected for a notifier, and what nobody else tells.
pub(super) async fn flush(
    cluster: &Cluster,
    project: &Project,
    notifier: &Notifier,
    me: &str,
    outbox: &Outbox,
) -> Result<Vec<String>, FlushError> {
    let mut said = Vec::new();
    while let Some((id, batch)) = take(cluster, project, notifier, me).await? {
        let notification = batch.notification(id, project, notifier.window, Timestamp::now());
        let variables = words::variables(project, notifier);
        let telling = tell(notifier.kind, &variables, &notification, None, outbox);
        let told = Box::pin(telling).await;
        // Who is away is told later, by whoever comes then.
        if !matches!(told, Err(TellError::Away { .. })) {
            change(cluster, project, &notifier.name, |window| {
                window.land(&notification.id);
                Some(())
            })
            .await?;
        }
        told?;
        said.push(notification.title);
    }
    Ok(said)
}

/// Why what was collected was not told.
#[derive(Debug, thiserror::Error)]
pub enum FlushError {
    /// The cluster does not tell what it is.
    #[error("what was collected is not known: {0}")]
    Cluster(#[from] ClusterError),
    /// The notifier was not told.
    #[error("of what was collected: {0}")]
    Tell(#[from] TellError),
}

async fn take(
    cluster: &Cluster,
    project: &Project,
    notifier: &Notifier,
    me: &str,
) -> Result<Option<(String, Batch)>, ClusterError> {
    let taken = change(cluster, project, &notifier.name, |window| {
        window.take(me, notifier.window, Timestamp::now())
    });
    taken.await
}

/// Changes what is kept of a notifier's window, until nobody else does at the same time; `None` of the
/// change leaves it as it is.
async fn change<T>(
    cluster: &Cluster,
    project: &Project,
    notifier: &str,
    mut change: impl FnMut(&mut Window) -> Option<T>,
) -> Result<Option<T>, ClusterError> {
    for round in 0..ROUNDS {
        let before = cluster.collection(project, notifier).await?;
        let mut window = Window::parse(&before.text);
        let Some(changed) = change(&mut window) else { return Ok(None) };
        let text = window.text();
        if text == before.text || cluster.put_collection(project, notifier, &before, &text).await? {
            return Ok(Some(changed));
        }
        pause(round).await;
    }
    Ok(None)
}

#[expect(clippy::disallowed_methods, reason = "others change the same, and come before it")]
async fn pause(round: u32) {
    tokio::time::sleep((Duration::from_millis(2) * round).min(PAUSE)).await;
}
