//! Tells who is to be told of builds whose workers have not: of those that ended without one, or
//! after it had died; and what was collected for people by workers that have died since.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use notify::reporter::tell_what_is_left;
use notify::{Outbox, ReportOptions, Reporter};
use pipeline::{Line, Outcome, Output};
use runtime::build::{Head, Phase, annotation};
use tokio::task::JoinSet;

use super::Sweep;

/// Of what is older nobody is told any more.
const OLD: Duration = Duration::from_secs(3600);

/// How long a worker that is no pod has to tell how its build ended.
const ELSEWHERE: Duration = Duration::from_secs(1200);

impl Sweep<'_> {
    /// Tells how these builds ended, of which no pod of a worker is there that could.
    pub(super) async fn tell(&mut self, namespace: &str, ended: &[&Head]) {
        if self.rules.dry_run {
            return;
        }
        let outbox = Outbox::of(self.settings);
        let mut telling = JoinSet::new();
        for head in ended.iter().filter(|head| may_be_untold(head)) {
            let Some(project) = self.project(head) else { continue };
            let found = async {
                let build = self.cluster.build(&head.namespace, head.id).await?;
                let ended = build.filter(|build| build.phase().is_some_and(Phase::is_terminal));
                let Some(build) = ended else { return Ok(None) };
                let outcome = pipeline::settled(self.cluster, &build).await?;
                Ok::<_, pipeline::PipelineError>(outcome.map(|outcome| (build, outcome)))
            };
            let (build, outcome) = match found.await {
                Ok(Some(found)) => found,
                Ok(None) => continue,
                Err(error) => {
                    self.report.fail(format!("tell of {}", head.name()), &error);
                    continue;
                }
            };
            let options = ReportOptions::of(self.settings);
            let reporter =
                Reporter::new(self.cluster, project, &build, &outbox, &options, log(head));
            if let Some(reporter) = reporter
                && self.is_time(head, &outcome)
                && reporter.is_behind(&outcome).await
            {
                self.report.done("told", head, outcome.phase.name());
                telling.spawn(async move { reporter.end(&outcome).await });
            }
        }
        // Each has its own limit.
        while telling.join_next().await.is_some() {}
        self.collected(namespace, &outbox).await;
    }

    /// Whether whoever ended the build had the time to tell of it, and it is not too late.
    fn is_time(&self, head: &Head, outcome: &Outcome) -> bool {
        let age = age(outcome.finished);
        let own = !head.has_ended();
        let patience = if head.worker_is_a_pod() { self.rules.young } else { ELSEWHERE };
        age < OLD && (own || age >= patience)
    }

    async fn collected(&mut self, namespace: &str, outbox: &Outbox) {
        let collections = match self.cluster.collections(namespace).await {
            Ok(collections) => collections,
            Err(error) => return self.report.fail("find what was collected".to_owned(), &error),
        };
        for (project, notifier) in collections {
            let Some(project) = self.projects.get(&project) else { continue };
            if project.namespace != namespace {
                continue;
            }
            let told = tell_what_is_left(self.cluster, project, &notifier, outbox).await;
            if let Err(error) = told {
                self.report.fail(format!("tell {notifier} of {}", project.name), &error);
            }
        }
    }
}

/// Whether it is noted that somebody is told of a build, and whether it may be worth it: this is
/// asked of all builds, whose ends are mostly old.
fn may_be_untold(head: &Head) -> bool {
    let noted = head.annotations.get(annotation::NOTIFIED);
    let finished = head.annotations.get(annotation::FINISHED);
    let finished: Option<Timestamp> = finished.and_then(|text| text.parse().ok());
    noted.is_some()
        && !head.is_told_to_nobody()
        && finished.is_none_or(|finished| age(finished) < OLD)
}

fn age(moment: Timestamp) -> Duration {
    Duration::try_from(Timestamp::now().duration_since(moment)).unwrap_or_default()
}

fn log(head: &Head) -> Output {
    let id = head.id;
    Arc::new(move |line: Line| tracing::info!(build.id = %id, "{}", line.text))
}
