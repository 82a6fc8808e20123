//! What GitHub is told of one by one: a build, and each of its jobs.

use std::collections::HashSet;

use jiff::Timestamp;

use crate::text::short;
use crate::{BuildReport, JobReport};

/// How many jobs are told of one by one; the build's check lists those beyond, too.
const JOBS: usize = 100;

/// How long a part of a name may be, so that the name fits with all of them.
const NAME: usize = 100;

/// The actions after which a build is the one that counts for its commit, whichever of them it was.
const USUAL: [&str; 5] = ["opened", "reopened", "requested", "rerequested", "synchronize"];

/// A job of which nobody knows any more how it ended.
static LOST: JobReport = JobReport {
    name: String::new(),
    pod: String::new(),
    phase: String::new(),
    reason: None,
    started: None,
    finished: None,
    log: String::new(),
};

/// A build or a job.
pub(crate) struct Part<'a> {
    /// What GitHub calls it: `brigantine/push`, `brigantine/push/test`.
    pub(crate) name: String,
    /// What tells it from all others: the build's id, for a job with `/` and its name.
    pub(crate) id: String,
    pub(crate) phase: Phase,
    pub(crate) started: Option<Timestamp>,
    pub(crate) finished: Option<Timestamp>,
    pub(crate) reason: Option<&'a str>,
    /// The job, if it is one.
    pub(crate) job: Option<&'a JobReport>,
    /// Whether it is a build that has run jobs.
    pub(crate) has_jobs: bool,
    /// Whether the receivers hear of its button.
    pub(crate) has_button: bool,
}

/// How a build or a job stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Phase {
    Waiting,
    Running,
    Succeeded,
    Failed,
    Cancelled,
    TimedOut,
}

impl Phase {
    /// The phase of this name. One that is not known is none that has ended.
    fn parse(name: &str) -> Phase {
        match name {
            "Waiting" | "Pending" => Phase::Waiting,
            "Succeeded" => Phase::Succeeded,
            "Failed" => Phase::Failed,
            "Cancelled" | "Canceled" | "Aborted" => Phase::Cancelled,
            "TimedOut" => Phase::TimedOut,
            _ => Phase::Running,
        }
    }

    pub(crate) fn has_ended(self) -> bool {
        !matches!(self, Phase::Waiting | Phase::Running)
    }

    pub(crate) fn has_failed(self) -> bool {
        matches!(self, Phase::Failed | Phase::TimedOut)
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Phase::Waiting => "Waiting",
            Phase::Running => "Running",
            Phase::Succeeded => "Succeeded",
            Phase::Failed => "Failed",
            Phase::Cancelled => "Cancelled",
            Phase::TimedOut => "Timed out",
        }
    }
}

impl Part<'_> {
    /// How it stands, in words: `Failed after 1m 5s`.
    pub(crate) fn stands(&self) -> String {
        let word = self.phase.word();
        match span(self.started, self.finished).filter(|_| self.phase.has_ended()) {
            Some(span) if self.phase == Phase::Succeeded => format!("{word} in {span}"),
            Some(span) => format!("{word} after {span}"),
            None => word.to_owned(),
        }
    }

    /// That, and why, in a line of so many characters.
    pub(crate) fn says(&self, limit: usize) -> String {
        match self.reason.map(|reason| short(reason, limit)).filter(|reason| !reason.is_empty()) {
            Some(reason) => short(&format!("{}: {reason}", self.stands()), limit),
            None => short(&self.stands(), limit),
        }
    }
}

/// The build, and its jobs after it. Everything of a build that has ended has ended.
pub(crate) fn parts<'a>(report: &'a BuildReport, context: Option<&str>) -> Vec<Part<'a>> {
    // Who protects a branch names one check for all that its commits are built for; what else has
    // happened is not to take its place.
    let family = match report.event.split_once(':') {
        Some((family, action)) if USUAL.contains(&action) => family,
        _ => &report.event,
    };
    let context = match context.map(|context| short(context, NAME)) {
        Some(context) if !context.is_empty() => context,
        _ => format!("brigantine/{}", short(family, NAME)),
    };
    let phase = Phase::parse(&report.phase);
    let jobs = report.jobs.iter().take(JOBS).map(|job| {
        let own = Phase::parse(&job.phase);
        let left = phase.has_ended() && !own.has_ended();
        let name = short(&job.name, NAME);
        Part {
            name: format!("{context}/{name}"),
            id: format!("{}/{name}", report.build),
            phase: if left { Phase::Cancelled } else { own },
            started: job.started,
            finished: job.finished,
            reason: job.reason.as_deref(),
            job: Some(job),
            has_jobs: false,
            has_button: true,
        }
    });
    let build = Part {
        name: context.clone(),
        id: report.build.clone(),
        phase,
        started: report.started,
        finished: report.finished,
        reason: report.reason.as_deref(),
        job: None,
        has_jobs: !report.jobs.is_empty(),
        has_button: true,
    };
    let mut seen = HashSet::new();
    let all = std::iter::once(build).chain(jobs);
    all.filter(|part| seen.insert(part.name.clone())).collect()
}

/// Adds what was told of as jobs of a build that has ended since, and that its report does not know:
/// nobody is to wait for them. Of each the name is known, and whether it has ended.
pub(crate) fn add_lost<'k>(
    parts: &mut Vec<Part<'_>>,
    report: &BuildReport,
    known: impl Iterator<Item = (&'k str, bool)>,
) {
    let Some(build) = parts.first_mut() else { return };
    let (prefix, has_ended) = (format!("{}/", build.name), build.phase.has_ended());
    let known: Vec<_> = known.filter(|(name, _)| name.starts_with(&prefix)).collect();
    build.has_jobs = build.has_jobs || !known.is_empty();
    for (name, _) in known.into_iter().filter(|(_, ended)| has_ended && !ended) {
        if parts.iter().any(|part| part.name == name) {
            continue;
        }
        parts.push(Part {
            name: name.to_owned(),
            id: format!("{}/{}", report.build, &name[prefix.len()..]),
            phase: Phase::Cancelled,
            started: None,
            finished: None,
            reason: Some("nobody knows how it ended"),
            job: Some(&LOST),
            has_jobs: false,
            has_button: true,
        });
    }
}

/// How long something took: `1h 2m`, `1m 5s`, `5s`.
pub(crate) fn span(started: Option<Timestamp>, finished: Option<Timestamp>) -> Option<String> {
    let seconds = finished?.as_second().checked_sub(started?.as_second())?;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    match seconds {
        ..0 => None,
        0..60 => Some(format!("{seconds}s")),
        60..3600 => Some(format!("{minutes}m {}s", seconds % 60)),
        _ => Some(format!("{hours}h {minutes}m")),
    }
}
