//! What is told of a build while it runs, to whoever listens.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use runtime::build::Build;
use runtime::cluster::{Cluster, ClusterError};
use runtime::project::Project;

use crate::life;
use crate::mask::Mask;
use crate::outcome::{JobEnd, JobResult};

/// Of how many failed jobs of a build that has ended the logs are read.
const LOGS: usize = 20;

/// Something that has happened in a build.
///
/// A worker that follows one that died tells it again.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Report {
    /// The script has a handler for the event.
    Heard,
    /// A job has a pod.
    Made {
        /// The job's name.
        name: String,
        /// The pod's.
        pod: String,
    },
    /// A job has ended.
    Ended {
        end: JobEnd,
        started: Option<Timestamp>,
        finished: Option<Timestamp>,
        /// The exit code of its container, if that is known.
        exit_code: Option<i32>,
        /// The end of its log, if it failed and has one, without secrets: at most 16 KiB.
        log: String,
    },
}

/// Is told what happens, at once and where it happens, so that it must not take its time.
#[derive(Clone)]
pub struct Listener(Arc<dyn Fn(Report) + Send + Sync>);

impl Listener {
    /// One that does this.
    pub fn new(hear: impl Fn(Report) + Send + Sync + 'static) -> Listener {
        Listener(Arc::new(hear))
    }

    /// Tells it of something.
    pub fn tell(&self, report: Report) {
        (self.0)(report);
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Listener")
    }
}

/// What is known of the jobs of a build that has ended, in the order in which the script ran them: for
/// who tells of it when nobody is left who ran it.
pub async fn ended_jobs(
    cluster: &Cluster,
    project: &Project,
    build: &Build,
) -> Result<Vec<Report>, ClusterError> {
    let mask = Mask::of(project);
    let mut records: Vec<_> = cluster.job_records(build).await?.into_iter().collect();
    records.sort_by(|(one, of_one), (other, of_other)| {
        of_one.at.cmp(&of_other.at).then_with(|| one.cmp(other))
    });
    let (mut reports, mut left) = (Vec::new(), LOGS);
    for (name, record) in records {
        let Some(end) = record.end else { continue };
        let log = if end.succeeded || !end.ran || left == 0 {
            String::new()
        } else {
            left -= 1;
            life::tail(cluster, &build.namespace, &end.pod, &mask).await
        };
        let message = end.message.as_deref().map(|message| mask.apply(message).into_owned());
        let result = match end.succeeded {
            true => JobResult::Succeeded,
            false => JobResult::Failed(message.unwrap_or_default()),
        };
        let (started, finished, exit_code) = (end.started, end.finished, end.exit_code);
        let end = JobEnd { name, pod: end.pod, result };
        reports.push(Report::Ended { end, started, finished, exit_code, log });
    }
    Ok(reports)
}
