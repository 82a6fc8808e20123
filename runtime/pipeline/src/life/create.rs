//! The objects of jobs are made, and what is noted of them is written.

use std::collections::BTreeMap;

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Secret};
use runtime::cluster::{Cluster, ClusterError, JobCreation};
use runtime::event::LogLevel;
use runtime::job;
use runtime::journal::{self, Attempt, annotation};

use super::journal::Note;
use super::{Life, chain};
use crate::life::tasks::Happened;
use crate::{Context, PipelineError};

/// How many jobs are created at once.
const CREATIONS: usize = 16;

/// How many notes are written at once.
const WRITINGS: usize = 16;

impl Life<'_> {
    /// Begins to create the jobs that were run, in their order, once everything is written that
    /// they follow from. What there is of them is adopted.
    pub(super) fn create(&mut self, follow: bool) {
        while self.creating < CREATIONS
            && !self.holds_jobs_back()
            && let Some(journal) = &self.journal
            && let Some((id, after)) = self.uncreated.front().copied()
            && journal.is_written(after)
        {
            self.uncreated.pop_front();
            if !self.jobs.has_ended(id) && !self.recall(id) {
                self.create_one(id, follow);
            }
        }
    }

    /// Takes over what is known of a job, if its objects were made before.
    fn recall(&mut self, id: usize) -> bool {
        let Some(job) = self.jobs.job(id) else { return true };
        if self.jobs.attempt(id).number > 0 {
            return false;
        }
        let record = self.journal.as_ref().and_then(|journal| journal.record(&job.name)).cloned();
        let (end, attempt) = record.map(|record| (record.end, record.attempt)).unwrap_or_default();
        if let Some(end) = end {
            self.jobs.recall(id, &end);
            return true;
        }
        let made = if attempt.number > 0 {
            self.jobs.again(id, attempt);
            attempt.made
        } else {
            // Its pod was made: if it is not there, somebody has deleted it.
            id < self.made_before
        };
        if made {
            self.watch();
            self.jobs.created(id, true);
        }
        made
    }

    fn watch(&mut self) {
        if self.follows && self.watch.is_none() {
            let Context { cluster, build, .. } = self.context;
            self.watch = Some(cluster.watch_pods(build).boxed());
        }
    }

    fn create_one(&mut self, id: usize, follow: bool) {
        let Context { cluster, project, build, options, .. } = self.context;
        if follow {
            self.watch();
        }
        let Some(job) = self.jobs.job(id) else { return };
        let mut pod = match job::pod(job, project, build, &options.policy) {
            Ok(pod) => pod,
            Err(error) => {
                self.jobs.fail(id, error.to_string(), None);
                return;
            }
        };
        pod.metadata.name = Some(self.jobs.pod(id).to_owned());
        let mut secret = job::secret(job, project, build, Timestamp::now());
        let at = (annotation::AT.to_owned(), self.jobs.at(id).to_string());
        secret.metadata.annotations.get_or_insert_default().extend([at]);
        let mut claims = Vec::new();
        // In Brigade's words, which people and programs look for.
        let say = |text: &str| self.printer.worker(LogLevel::Log, "k8s", text);
        let named = |claim: &PersistentVolumeClaim| claim.metadata.name.clone().unwrap_or_default();
        if job.cache.enabled {
            let claim = job::cache_claim(job, project, build, &options.policy);
            say(&format!("Creating Job Cache PVC {}", named(&claim)));
            claims.push(claim);
        }
        if job.storage.enabled {
            let claim = job::storage_claim(project, build, &options.policy);
            say(&format!("Creating PVC named {}", named(&claim)));
            claims.push(claim);
        }
        let name = self.jobs.pod(id);
        say(&format!("Creating secret {name}"));
        say(&format!("Creating pod {name}"));
        say(&format!("Timeout set at {} milliseconds", job.time_limit()));
        let cluster = cluster.clone();
        let attempt = self.jobs.attempt(id);
        self.creating += 1;
        self.tasks.push(Box::pin(async move {
            let create = async {
                for claim in &claims {
                    cluster.create_claim(claim).await?;
                }
                match attempt.number {
                    0 => cluster.create_job(&secret, &pod).await,
                    _ => create_again(&cluster, &secret, &pod, attempt).await,
                }
            };
            Happened::Created { id, result: create.await }
        }));
    }

    pub(super) fn created(
        &mut self,
        id: usize,
        result: Result<JobCreation, ClusterError>,
        follow: bool,
    ) -> Result<(), PipelineError> {
        self.creating -= 1;
        match result {
            Ok(JobCreation::Made) => self.jobs.created(id, false),
            Ok(JobCreation::Adopted) => self.jobs.created(id, true),
            // A worker was here: it knows more, and goes on.
            Ok(JobCreation::Known(_)) if !follow => self.jobs.created(id, true),
            Ok(JobCreation::Known(mut record)) => {
                if let Some(end) = &mut record.end {
                    end.told = None;
                    self.jobs.recall(id, end);
                } else {
                    self.jobs.again(id, record.attempt);
                    self.uncreate(id);
                }
            }
            // The sender is told to deliver again, which makes what is missing.
            Err(error) if error.is_passing() && !follow => return Err(error.into()),
            Err(error) if error.is_passing() && self.jobs.in_time(id) => {
                let text = format!("a job is not created yet, trying again: {}", chain(&error));
                self.printer.worker(LogLevel::Warn, "k8s", &text);
                self.uncreate(id);
                return self.away(error);
            }
            Err(error) => self.jobs.fail(id, chain(&error), None),
        }
        if self.cancel.gave_up(id) {
            self.jobs.delete(id);
        }
        self.near();
        Ok(())
    }

    /// Has a job created, after what was told so far is written.
    pub(super) fn uncreate(&mut self, id: usize) {
        let after = self.journal.as_ref().map_or(0, super::journal::Journal::last);
        self.uncreated.push_back((id, after));
    }

    /// Notes on the build how many of its jobs have had pods, beside everything else.
    pub(super) fn note_made(&mut self) {
        let waiting = self.uncreated.iter().map(|(id, _)| *id).min();
        let made = waiting.unwrap_or_else(|| self.jobs.count());
        let resting = self.creating == 0 && (waiting.is_none() || self.holds_jobs_back());
        if !self.follows || self.noting_made || !resting || made <= self.made_noted {
            return;
        }
        self.noting_made = true;
        let (cluster, build) = (self.context.cluster.clone(), self.context.build.clone());
        let noted = BTreeMap::from([(annotation::MADE.to_owned(), made.to_string())]);
        self.tasks.push(Box::pin(async move {
            let made = cluster.annotate(&build, &noted).await.map(|()| made);
            Happened::MadeNoted(made)
        }));
    }

    /// Has something noted on a job; what something follows from goes first.
    pub(super) fn note(&mut self, note: Note) {
        let told = note.sequence.is_some();
        let untold = self.notes.iter().position(|note| told && note.sequence.is_none());
        self.notes.insert(untold.unwrap_or(self.notes.len()), note);
    }

    /// Begins to write what is to be noted.
    pub(super) fn write(&mut self) {
        while self.writing < WRITINGS
            && let Some(note) = self.notes.pop_front()
        {
            let Context { cluster, build, .. } = self.context;
            let (cluster, namespace) = (cluster.clone(), build.namespace.clone());
            self.writing += 1;
            self.tasks.push(Box::pin(async move {
                let result = cluster.note_job(&namespace, &note.secret, &note.annotations).await;
                Happened::Written { note: Box::new(note), result }
            }));
        }
    }

    pub(super) fn written(
        &mut self,
        note: Note,
        result: Result<bool, ClusterError>,
        follow: bool,
    ) -> Result<(), PipelineError> {
        self.writing -= 1;
        match result {
            Err(error) if error.is_passing() && follow => {
                self.notes.push_front(note);
                return self.away(error);
            }
            Err(error) if error.is_passing() => return Err(error.into()),
            // A job without a Secret was refused by the cluster: there is nothing of it.
            Ok(_there) => {}
            Err(error) => {
                let text = format!("{} could not be noted: {}", note.secret, chain(&error));
                self.printer.worker(LogLevel::Warn, "k8s", &text);
            }
        }
        if let Some(journal) = &mut self.journal {
            journal.written(note.sequence);
        }
        self.near();
        Ok(())
    }
}

/// Makes another pod of a job. That it stands for the job is noted before it is there, and that it
/// was there after.
async fn create_again(
    cluster: &Cluster,
    secret: &Secret,
    pod: &Pod,
    attempt: Attempt,
) -> Result<JobCreation, ClusterError> {
    let name = secret.metadata.name.as_deref().unwrap_or_default();
    let namespace = secret.metadata.namespace.as_deref().unwrap_or_default();
    let note = |attempt: Attempt| {
        BTreeMap::from([(annotation::ATTEMPT.to_owned(), journal::text(&attempt))])
    };
    cluster.note_job(namespace, name, &note(Attempt { made: false, ..attempt })).await?;
    cluster.create_pod(pod).await?;
    // If this is lost, a next worker finds the pod, or makes it: only one that was deleted by then
    // would be made twice.
    cluster.note_job(namespace, name, &note(Attempt { made: true, ..attempt })).await?;
    Ok(JobCreation::Made)
}
