//! What is done beside the script: jobs are created, logs are read, pods are deleted.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use runtime::build::{Phase, annotation};
use runtime::cluster::{ClusterError, JobCreation};
use runtime::event::LogLevel;
use runtime::job::{self, Job};

use super::jobs::Event;
use super::{Life, chain, logs};
use crate::engine::{Delivery, Failure};
use crate::{Context, PipelineError};

/// How many jobs are created at once.
const CREATIONS: usize = 16;

/// What something outside of the script came to.
pub(super) enum Happened {
    Created {
        id: usize,
        result: Result<JobCreation, ClusterError>,
    },
    Log {
        id: usize,
        token: Option<u64>,
        result: Result<String, String>,
    },
    Looked {
        id: usize,
        pod: Option<Box<Pod>>,
    },
    /// Something beside the build.
    Aside,
}

impl Life<'_> {
    /// Whether a job that was run is not created yet because as many as may be are open.
    pub(crate) fn holds_jobs_back(&self) -> bool {
        self.context.project.limits.jobs.is_some_and(|most| {
            let waiting = self.uncreated.len();
            waiting > 0 && self.jobs.open().saturating_sub(waiting) >= most
        })
    }

    /// Begins to create the jobs that were run, in their order.
    pub(super) fn create(&mut self, follow: bool) {
        let Context { cluster, project, build, options, .. } = self.context;
        while self.creating < CREATIONS
            && !self.holds_jobs_back()
            && let Some(id) = self.uncreated.pop_front()
        {
            if self.jobs.has_ended(id) {
                continue;
            }
            let Some(job) = self.jobs.job(id) else { continue };
            if follow && self.watch.is_none() {
                self.watch = Some(cluster.watch_pods(build).boxed());
            }
            let now = Timestamp::now();
            let pod = match job::pod(job, project, build, &options.policy) {
                Ok(pod) => pod,
                Err(error) => {
                    self.jobs.fail(id, error.to_string(), None);
                    continue;
                }
            };
            let secret = job::secret(job, project, build, now);
            let mut claims = Vec::new();
            if job.cache.enabled {
                claims.push(job::cache_claim(job, project, build, &options.policy));
            }
            if job.storage.enabled {
                claims.push(job::storage_claim(project, build, &options.policy));
            }
            let name = &job.name;
            let text = format!("creating job {name}: {}/{}", build.namespace, job.pod_name(build));
            self.printer.worker(LogLevel::Log, "k8s", &text);
            let cluster = cluster.clone();
            self.creating += 1;
            self.tasks.push(Box::pin(async move {
                let create = async {
                    for claim in &claims {
                        cluster.create_claim(claim).await?;
                    }
                    cluster.create_job(&secret, &pod).await
                };
                Happened::Created { id, result: create.await }
            }));
        }
    }

    pub(super) fn finished(
        &mut self,
        happened: Happened,
        follow: bool,
    ) -> Result<(), PipelineError> {
        match happened {
            Happened::Created { id, result } => {
                self.creating -= 1;
                match result {
                    Ok(creation) => {
                        self.jobs.created(id, matches!(creation, JobCreation::Adopted));
                        if self.cancel.gave_up(id) {
                            self.jobs.delete(id);
                        }
                    }
                    // The sender is told to deliver again, which makes what is missing.
                    Err(error) if error.is_passing() && !follow => return Err(error.into()),
                    Err(error) if error.is_passing() && self.jobs.in_time(id) => {
                        let text =
                            format!("a job is not created yet, trying again: {}", chain(&error));
                        self.printer.worker(LogLevel::Warn, "k8s", &text);
                        self.uncreated.push_back(id);
                    }
                    Err(error) => self.jobs.fail(id, chain(&error), None),
                }
            }
            Happened::Looked { id, pod } => {
                let again = self.jobs.looked(id, pod.as_deref());
                if again && self.jobs.in_time(id) {
                    self.uncreated.push_back(id);
                } else if again {
                    self.jobs.fail(id, "its pod is not there".to_owned(), None);
                }
            }
            Happened::Log { id, token: Some(token), result } => {
                self.reading -= 1;
                if let Some(at) = self.logs_wanted.iter().position(|wanted| *wanted == id) {
                    self.logs_wanted.remove(at);
                }
                self.ready.push_back(Delivery::Logs { token, result });
            }
            Happened::Log { id, token: None, result } => {
                let text = result.unwrap_or_else(|message| {
                    let text = format!("{message}; its result is an empty text");
                    self.printer.worker(LogLevel::Warn, "k8s", &text);
                    String::new()
                });
                self.reading -= 1;
                self.ready.push_back(Delivery::Settle { id, result: Ok(text) });
            }
            Happened::Aside => {}
        }
        Ok(())
    }

    /// Does what follows from what has become of a job.
    pub(super) fn happened(&mut self, event: Event) {
        let Context { cluster, build, options, .. } = self.context;
        let (cluster, namespace) = (cluster.clone(), build.namespace.clone());
        let limit = options.limits.log;
        match event {
            Event::Failed(id, failure) => {
                let (job, message) = (&failure.job, &failure.message);
                self.printer.console("error", &format!("Error: {message}"));
                let text = format!("job {job} failed");
                self.printer.worker(LogLevel::Error, "k8s", &text);
                let message = format!("job {job}({}): Error: {message}", failure.pod_name);
                let failure = Failure { message, ..failure };
                self.ready.push_back(Delivery::Settle { id, result: Err(failure) });
            }
            // What a script is not given need not be read.
            Event::ReadResult { id, .. } if self.jobs.job(id).is_some_and(Job::is_silent) => {
                self.ready.push_back(Delivery::Settle { id, result: Ok(String::new()) });
            }
            Event::ReadResult { id, pod } => {
                self.reading += 1;
                self.tasks.push(Box::pin(async move {
                    let result = logs::end(&cluster, &namespace, &pod, limit).await;
                    Happened::Log { id, token: None, result }
                }));
            }
            Event::ReadLog { id, pod, token } => {
                self.reading += 1;
                self.tasks.push(Box::pin(async move {
                    let result = logs::end(&cluster, &namespace, &pod, limit).await;
                    Happened::Log { id, token: Some(token), result }
                }));
            }
            Event::Look { id, pod } => self.tasks.push(Box::pin(async move {
                // Where it cannot be told, the job is created again, which tells.
                let pod = cluster.pod(&namespace, &pod).await.ok().flatten().map(Box::new);
                Happened::Looked { id, pod }
            })),
            Event::NoLog { id, token, message } => {
                if let Some(at) = self.logs_wanted.iter().position(|wanted| *wanted == id) {
                    self.logs_wanted.remove(at);
                }
                self.ready.push_back(Delivery::Logs { token, result: Ok(message) });
            }
            Event::StreamLog { pod } => {
                let printer = self.printer.clone();
                self.tasks.push(Box::pin(async move {
                    logs::follow(&cluster, &namespace, &pod, &printer).await;
                    Happened::Aside
                }));
            }
            Event::Delete { pod } => {
                let printer = self.printer.clone();
                self.tasks.push(Box::pin(async move {
                    if let Err(error) = cluster.delete_pod(&namespace, &pod).await {
                        let text = format!("{pod} could not be deleted: {}", chain(&error));
                        printer.worker(LogLevel::Warn, "k8s", &text);
                    }
                    Happened::Aside
                }));
            }
        }
    }

    /// Notes on the build that it runs, beside everything else: no job waits for that.
    pub(crate) fn note_start(&mut self) {
        let Context { cluster, build, .. } = self.context;
        if build.annotations.contains_key(annotation::STARTED) {
            return;
        }
        let (cluster, build, printer) = (cluster.clone(), build.clone(), self.printer.clone());
        let noted = BTreeMap::from([
            (annotation::STARTED.to_owned(), self.started.to_string()),
            (annotation::PHASE.to_owned(), Phase::Running.name().to_owned()),
        ]);
        self.tasks.push(Box::pin(async move {
            if let Err(error) = cluster.annotate(&build, &noted).await {
                let text = format!("the start could not be noted: {}", chain(&error));
                printer.worker(LogLevel::Warn, "k8s", &text);
            }
            Happened::Aside
        }));
    }

    /// Lets what was begun beside the build come to its end: deletions, and logs that are shown.
    pub(crate) async fn settle(&mut self) {
        const LONGEST: Duration = Duration::from_secs(10);
        let tasks = &mut self.tasks;
        let rest = async { while tasks.next().await.is_some() {} };
        // What takes longer is left: nothing of the build depends on it.
        let _late = tokio::time::timeout(LONGEST, rest).await;
    }
}
