//! Tells who is to be told of builds whose workers have not: of those that ended without one, or
//! after it had died; and what was collected for people by workers that have died since.
//!
//! All of it has one budget, since the next sweep waits for this one's end: what is begun in the first
//! half of it has the other half to come to its end. What is not begun is the next sweep's.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use notify::reporter::tell_what_is_left;
use notify::{Outbox, ReportOptions, Reporter};
use pipeline::{Line, Outcome, Output, PipelineError};
use runtime::build::{Head, Phase, annotation};
use runtime::event::LogLevel;
use runtime::project::Project;
use tokio::time::{Instant, timeout_at};

use super::{Done, Found, Sweep};

/// Of what is older nobody is told any more.
const OLD: Duration = Duration::from_secs(3600);

/// How long a worker that is no pod has to tell how its build ended.
const ELSEWHERE: Duration = Duration::from_secs(1200);

/// Of how many builds is told at the same time.
const AT_ONCE: usize = 16;

/// Something that may have to be told.
enum Untold<'a> {
    /// How a build ended.
    End(&'a Head, &'a Project),
    /// What was collected for a notifier.
    Collected(&'a Project, String),
}

impl<'a> Sweep<'a> {
    /// Tells how builds ended, of which no pod of a worker is there that could.
    pub(super) async fn tell(&mut self, namespaces: &BTreeSet<String>, all: &[Found]) {
        if self.rules.dry_run {
            return;
        }
        let mut settings = self.settings.clone();
        let half = settings.notify.budget / 2;
        settings.notify.budget = half;
        let options = ReportOptions { waits: false, ..ReportOptions::of(&settings) };
        let outbox = Outbox::of(&settings);
        let mut untold = Vec::new();
        for namespace in namespaces {
            untold.extend(self.collected(namespace).await);
        }
        for found in all {
            let ended = found.heads.iter().filter(|head| found.ended.contains(&head.id));
            let ended = ended.filter(|head| may_be_untold(head));
            untold.extend(ended.filter_map(|head| Some(Untold::End(head, self.project(head)?))));
        }
        let begun = Instant::now();
        let (this, outbox, options) = (&*self, &outbox, &options);
        let mut telling = futures::stream::iter(untold)
            .take_while(|_| std::future::ready(begun.elapsed() <= half))
            .map(|untold| async move {
                match untold {
                    Untold::End(head, project) => {
                        let told = this.end(head, project, outbox, options).await;
                        told.map_err(|error| (format!("tell of {}", head.name()), error.into()))
                    }
                    Untold::Collected(project, name) => {
                        let told = tell_what_is_left(this.cluster, project, &name, outbox).await;
                        let told = told.map(|titles| {
                            let build = format!("notifier {name} of {}", project.name);
                            let done = |why| Done { what: "told", build: build.clone(), why };
                            titles.into_iter().map(done).collect()
                        });
                        let what = || format!("tell {name} of {}", project.name);
                        told.map_err(|error| (what(), error.into()))
                    }
                }
            })
            .buffer_unordered(AT_ONCE);
        let mut results: Vec<Result<Vec<Done>, (String, anyhow::Error)>> = Vec::new();
        while let Ok(Some(told)) = timeout_at(begun + 2 * half, telling.next()).await {
            results.push(told);
        }
        drop(telling);
        for told in results {
            match told {
                Ok(done) => self.report.done.extend(done),
                Err((what, error)) => self.report.fail(what, error.as_ref()),
            }
        }
    }

    /// Tells how a build ended, if that is to be told.
    async fn end(
        &self,
        head: &Head,
        project: &Project,
        outbox: &Outbox,
        options: &ReportOptions,
    ) -> Result<Vec<Done>, PipelineError> {
        let build = self.cluster.build(&head.namespace, head.id).await?;
        let ended = build.filter(|build| build.phase().is_some_and(Phase::is_terminal));
        let Some(build) = ended else { return Ok(Vec::new()) };
        let Some(outcome) = pipeline::settled(self.cluster, &build).await? else {
            return Ok(Vec::new());
        };
        let reporter = Reporter::new(self.cluster, project, &build, outbox, options, log(head));
        let Some(reporter) = reporter else { return Ok(Vec::new()) };
        if !self.is_time(head, &outcome) || !reporter.is_behind(&outcome) {
            return Ok(Vec::new());
        }
        reporter.end(&outcome).await;
        let why = outcome.phase.name().to_owned();
        Ok(vec![Done { what: "told", build: head.name(), why }])
    }

    /// Whether whoever ended the build had the time to tell of it, and it is not too late.
    fn is_time(&self, head: &Head, outcome: &Outcome) -> bool {
        let age = age(outcome.finished);
        let own = !head.has_ended();
        let patience = if head.worker_is_a_pod() { self.rules.young } else { ELSEWHERE };
        age < OLD && (own || age >= patience)
    }

    /// Finds what was collected for the notifiers of projects in a namespace.
    async fn collected(&mut self, namespace: &str) -> Vec<Untold<'a>> {
        let collections = match self.cluster.collections(namespace).await {
            Ok(collections) => collections,
            Err(error) => {
                self.report.fail("find what was collected".to_owned(), &error);
                return Vec::new();
            }
        };
        let projects = self.projects;
        let found = collections.into_iter().filter_map(|(project, notifier)| {
            let project = projects.get(&project).filter(|it| it.namespace == namespace)?;
            Some(Untold::Collected(project, notifier))
        });
        found.collect()
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
    Arc::new(move |line: Line| match line.level >= LogLevel::Warn {
        true => tracing::warn!(build.id = %id, "{}", line.text),
        false => tracing::info!(build.id = %id, "{}", line.text),
    })
}
