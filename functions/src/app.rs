//! What every function is given: the cluster, the settings, and who goes on with builds.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use notify::Outbox;
use pipeline::script::Repository;
use runtime::build::BuildId;
use runtime::cluster::Cluster;
use runtime::project::Project;
use runtime::settings::Settings;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::delivery;
use crate::rejection::Rejection;

/// What every function is given. Cloning it is cheap.
#[derive(Clone)]
pub struct App {
    /// Where projects are and builds go.
    pub cluster: Cluster,
    /// What the operator decided.
    pub settings: Arc<Settings>,
    /// How scripts in repositories are come by.
    pub repository: Arc<Repository>,
    /// Who goes on with builds whose scripts await something.
    pub workers: Workers,
}

/// Who goes on with a build after its function has answered.
#[derive(Clone)]
pub enum Workers {
    /// A pod for each build: hosts may freeze or end this process at any time.
    Pods,
    /// Tasks of this process, which lives on.
    Here(Tasks),
}

/// The builds that this process goes on with.
#[derive(Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    shutdown: CancellationToken,
    builds: Arc<Mutex<HashSet<BuildId>>>,
    /// What they tell notifiers through, if it is not that of the settings.
    outbox: Option<Outbox>,
}

impl App {
    /// When a request that begins now must be answered.
    pub(crate) fn deadline(&self) -> Instant {
        App::within(self.settings.request_budget)
    }

    /// The same for a sender who waits only so many seconds where others wait ten.
    pub(crate) fn deadline_within(&self, seconds: u32) -> Instant {
        App::within(self.settings.request_budget * seconds.min(10) / 10)
    }

    /// So long from now, or less if the host gives the request up earlier.
    fn within(budget: Duration) -> Instant {
        let end = Instant::now() + budget;
        delivery::deadline().map_or(end, |deadline| end.min(deadline))
    }

    /// The project of this name or id.
    pub(crate) async fn project(
        &self,
        name: &str,
        deadline: Instant,
    ) -> Result<Project, Rejection> {
        if !is_project_name(name) {
            return Err(Rejection::UnknownProject);
        }
        let project = self.cluster.with_deadline(deadline).project(name).await?;
        let project = project.ok_or(Rejection::UnknownProject)?;
        delivery::about_project(&project.name);
        Ok(project)
    }
}

impl Tasks {
    /// Those whose builds tell notifiers through this.
    pub fn telling(outbox: Outbox) -> Tasks {
        Tasks { outbox: Some(outbox), ..Tasks::default() }
    }

    pub(crate) fn outbox(&self) -> Option<&Outbox> {
        self.outbox.as_ref()
    }

    /// Goes on with a build, unless that is being done already; whether it was not.
    pub(crate) fn spawn<F>(&self, build: BuildId, run: impl FnOnce(CancellationToken) -> F) -> bool
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if !self.builds().insert(build) {
            return false;
        }
        let work = run(self.shutdown.clone());
        let ended = Ended { tasks: self.clone(), build };
        self.tracker.spawn(async move {
            work.await;
            drop(ended);
        });
        true
    }

    /// How many builds go on.
    pub fn len(&self) -> usize {
        self.tracker.len()
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.tracker.is_empty()
    }

    /// Waits until no build goes on. New ones may still begin.
    pub async fn idle(&self) {
        self.tracker.close();
        self.tracker.wait().await;
        self.tracker.reopen();
    }

    /// Asks the builds to stop where they are, and waits until they have.
    ///
    /// They are not ended: a worker can go on with them.
    pub async fn stop(&self) {
        self.shutdown.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }

    fn builds(&self) -> MutexGuard<'_, HashSet<BuildId>> {
        self.builds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets a build when its task ends, even by a panic.
struct Ended {
    tasks: Tasks,
    build: BuildId,
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.tasks.builds().remove(&self.build);
    }
}

/// Whether a project may have this name; it becomes a part of a Kubernetes address.
fn is_project_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '~');
    name.len() <= 512
        && name.chars().all(fits)
        && name.split('/').all(|part| !matches!(part, "" | "." | ".."))
}
