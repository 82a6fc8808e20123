//! What is done beside the script, and what comes of it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use runtime::build::{Phase, annotation};
use runtime::cluster::{ClusterError, JobCreation};
use runtime::event::LogLevel;
use runtime::job::Job;
use runtime::journal::Record;
use tokio::time::Instant;

use super::deliver::Arrival;
use super::jobs::Event;
use super::journal::{Journal, Note};
use super::{Life, chain, logs};
use crate::{Context, PipelineError};

/// What something outside of the script came to.
pub(super) enum Happened {
    /// What is known of earlier lives.
    Past(Result<HashMap<String, Record>, ClusterError>),
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
        pod: Result<Option<Box<Pod>>, ClusterError>,
    },
    Written {
        note: Box<Note>,
        result: Result<bool, ClusterError>,
    },
    MadeNoted(Result<usize, ClusterError>),
    /// Who listens was told of a failed job.
    Informed(usize),
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

    /// Looks for what earlier lives have noted.
    pub(super) fn recollect(&mut self) {
        let (cluster, build) = (self.context.cluster.clone(), self.context.build.clone());
        self.tasks.push(Box::pin(async move { Happened::Past(cluster.job_records(&build).await) }));
    }

    pub(super) fn finished(
        &mut self,
        happened: Happened,
        follow: bool,
    ) -> Result<(), PipelineError> {
        match happened {
            Happened::Past(Ok(records)) => {
                let journal = Journal::new(records);
                if let Some(latest) = journal.latest() {
                    self.clock.reach(latest);
                }
                self.journal = Some(journal);
                self.near();
            }
            Happened::Past(Err(error)) if error.is_passing() => {
                self.recollect();
                return self.away(error);
            }
            Happened::Past(Err(error)) => return Err(error.into()),
            Happened::Created { id, result } => return self.created(id, result, follow),
            Happened::Looked { id, pod: Ok(pod) } => self.jobs.looked(id, pod.as_deref()),
            Happened::Looked { id, pod: Err(error) } if error.is_passing() => {
                self.look(id, self.jobs.pod(id).to_owned());
                return self.away(error);
            }
            Happened::Looked { id, pod: Err(error) } => self.jobs.fail(id, chain(&error), None),
            Happened::Log { id, token, result } => self.was_read(id, token, result),
            Happened::Written { note, result } => return self.written(*note, result, follow),
            Happened::MadeNoted(made) => {
                self.noting_made = false;
                match made {
                    Ok(made) => self.made_noted = made,
                    Err(error) if error.is_passing() => return self.away(error),
                    // It is not said a second time.
                    Err(_refused) => self.made_noted = usize::MAX,
                }
            }
            Happened::Informed(id) => self.informed(id),
            Happened::Aside => {}
        }
        Ok(())
    }

    /// The cluster has answered.
    pub(super) fn near(&mut self) {
        self.away = None;
    }

    /// The cluster has not answered; whether that is borne any longer.
    pub(super) fn away(&mut self, error: ClusterError) -> Result<(), PipelineError> {
        let now = Instant::now();
        let since = *self.away.get_or_insert(now);
        if now < since + self.context.options.patience.cluster {
            return Ok(());
        }
        Err(error.into())
    }

    /// Does what follows from what has become of a job.
    pub(super) fn happened(&mut self, event: Event) {
        let Context { cluster, build, .. } = self.context;
        let (cluster, namespace) = (cluster.clone(), build.namespace.clone());
        match event {
            Event::Failed(id, failure) => {
                let result = Err(self.say_failed(failure));
                self.arrivals.push_back(Arrival::Settled { id, result });
            }
            Event::Succeeded { id } => {
                let end = self.jobs.end(id);
                if let Some(journal) = &mut self.journal {
                    let note = journal.end(self.jobs.name(id), self.jobs.secret(id), end, None);
                    self.note(note);
                }
            }
            // What a script is not given need not be read.
            Event::ReadResult { id } if self.jobs.job(id).is_some_and(Job::is_silent) => {
                let result = Ok(self.returned(id, String::new()));
                self.arrivals.push_back(Arrival::Settled { id, result });
            }
            Event::ReadResult { id } => self.read(id, None),
            Event::ReadLog { id, token } => self.read(id, Some(token)),
            Event::NoLog { id, token, message } => {
                self.arrivals.push_back(Arrival::Log { id, token, result: Ok(message) });
            }
            Event::Look { id, pod } => self.look(id, pod),
            Event::Retry { id, why } => {
                let job = self.jobs.job(id).map_or("", |job| &job.name);
                let text = format!("job {job} is run again, as {}: {why}", self.jobs.pod(id));
                self.printer.worker(LogLevel::Warn, "k8s", &text);
                self.uncreate(id);
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

    fn look(&mut self, id: usize, pod: String) {
        let (cluster, namespace) =
            (self.context.cluster.clone(), self.context.build.namespace.clone());
        self.tasks.push(Box::pin(async move {
            let pod = cluster.pod(&namespace, &pod).await;
            Happened::Looked { id, pod: pod.map(|pod| pod.map(Box::new)) }
        }));
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
        let rest = async {
            while let Some(happened) = self.tasks.next().await {
                if let Happened::Informed(id) = happened {
                    self.informed(id);
                    self.inform();
                }
            }
        };
        // What takes longer is left: nothing of the build depends on it.
        if tokio::time::timeout(LONGEST, rest).await.is_err() {
            self.inform_without_logs();
        }
    }
}
