//! How a build ended.

use std::collections::BTreeMap;

use jiff::Timestamp;
use runtime::build::{Build, Phase, annotation};

/// How a build ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// `Succeeded`, `Failed` or `Cancelled`.
    pub phase: Phase,
    /// What a process that ran the script would have exited with.
    pub exit_code: i32,
    /// Why it failed.
    pub reason: Option<String>,
    /// What the script says of it: the text that its handler came to.
    pub summary: Option<String>,
    pub jobs: Vec<JobEnd>,
    pub started: Timestamp,
    pub finished: Timestamp,
    /// The end of what was printed, without secrets.
    pub log: String,
    /// Whether a handler has heard of the event.
    pub heard: bool,
}

/// How a job of a build ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct JobEnd {
    pub name: String,
    pub pod: String,
    pub result: JobResult,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum JobResult {
    Succeeded,
    /// And why.
    Failed(String),
    /// The build ended before it, by `process.exit` or because the script could not go on.
    Left,
}

/// The annotation that counts a build's jobs.
const JOBS: &str = annotation::JOBS;

/// What is kept of a reason.
const REASON_LIMIT: usize = 1024;

/// What is kept of a summary.
const SUMMARY_LIMIT: usize = 4096;

impl Outcome {
    /// How a build ended that has ended, without its jobs.
    pub(crate) fn noted(build: &Build) -> Option<Outcome> {
        let phase = build.phase().filter(|phase| phase.is_terminal())?;
        let time = |name: &str| build.annotations.get(name).and_then(|text| text.parse().ok());
        let finished = time(annotation::FINISHED).unwrap_or_else(Timestamp::now);
        Some(Outcome {
            phase,
            exit_code: i32::from(phase != Phase::Succeeded),
            reason: build.annotations.get(annotation::REASON).cloned(),
            summary: build.annotations.get(annotation::SUMMARY).cloned(),
            jobs: Vec::new(),
            started: time(annotation::STARTED).unwrap_or(finished),
            finished,
            log: build.annotations.get(annotation::LOG).cloned().unwrap_or_default(),
            heard: !build.is_told_to_nobody(),
        })
    }

    /// How a build ended that was cancelled before anything of it ran here.
    pub(crate) fn cancelled(reason: String) -> Outcome {
        let now = Timestamp::now();
        Outcome {
            phase: Phase::Cancelled,
            exit_code: 1,
            reason: Some(reason),
            jobs: Vec::new(),
            started: now,
            finished: now,
            log: String::new(),
            heard: true,
            summary: None,
        }
    }

    /// Whether there is something to tell: no handler of the event is nobody's business, unless the
    /// build came to no good end for all that.
    pub fn concerns(&self) -> bool {
        self.heard || self.phase != Phase::Succeeded
    }

    /// What is noted on the build.
    pub fn annotations(&self) -> BTreeMap<String, String> {
        let count = |wanted: fn(&JobResult) -> bool| {
            self.jobs.iter().filter(|job| wanted(&job.result)).count()
        };
        let succeeded = count(|result| *result == JobResult::Succeeded);
        let failed = count(|result| matches!(result, JobResult::Failed(_)));
        let mut noted = BTreeMap::from([
            (annotation::PHASE.to_owned(), self.phase.name().to_owned()),
            (annotation::STARTED.to_owned(), self.started.to_string()),
            (annotation::FINISHED.to_owned(), self.finished.to_string()),
            (
                JOBS.to_owned(),
                format!("{} run, {succeeded} succeeded, {failed} failed", self.jobs.len()),
            ),
        ]);
        if let Some(reason) = &self.reason {
            let reason: String = reason.chars().take(REASON_LIMIT).collect();
            noted.insert(annotation::REASON.to_owned(), reason);
        }
        noted.extend(summary(self.summary.as_deref()));
        noted
    }
}

/// The annotation of a summary, if there is one.
pub(crate) fn summary(text: Option<&str>) -> Option<(String, String)> {
    let kept = text?.chars().take(SUMMARY_LIMIT).collect();
    Some((annotation::SUMMARY.to_owned(), kept))
}
