//! The start of a build, in the function that received its event.

use std::collections::BTreeMap;

use runtime::build::Phase;
use runtime::journal::annotation;

use crate::engine::Want;
use crate::life::{self, Life, Pause};
use crate::packages;
use crate::{Context, Outcome, Output, PipelineError};

/// What starting a build came to.
#[derive(Clone, Debug)]
pub struct Start {
    /// The events that the script registered handlers for.
    pub handlers: Vec<String>,
    /// The events that were fired; of Brigade 2's API, `source:type`.
    pub fired: Vec<String>,
    /// What the script says of the build, if it said something already.
    pub summary: Option<String>,
    pub jobs: Vec<Created>,
    /// So many of the first jobs that were run have been in the cluster.
    pub made: usize,
    pub end: StartEnd,
    /// The end of what the script printed, without secrets.
    pub log: String,
}

/// A job whose pod is in the cluster.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Created {
    pub name: String,
    pub pod: String,
    /// Whether it was there before.
    pub adopted: bool,
}

/// What is left of a build that was started.
#[derive(Clone, Debug)]
pub enum StartEnd {
    /// Its jobs, which nobody waits for: the state of the build is theirs.
    Detached,
    /// Nothing.
    Ended(Outcome),
    /// Something must be waited for, and somebody must do that.
    Awaits { reason: String },
}

/// How many threads scripts may keep busy that were told to stop, before no more are started here.
const LINGERING: usize = 4;

/// Runs the script until it would have to wait. Its first jobs are in the cluster then.
///
/// Nothing of this is lost if it fails or is dropped: started again, it adopts what it had made.
pub async fn start(context: &Context, output: Output) -> Result<Start, PipelineError> {
    if life::lingering() >= LINGERING {
        let reason = "other scripts keep this process busy, and do not stop".to_owned();
        return Ok(Start::elsewhere(context, reason));
    }
    // Without them the build fails, and then none of its jobs may have run.
    if packages::are_wanted(context).await? {
        let reason = "the script needs packages, which a worker fetches".to_owned();
        return Ok(Start::elsewhere(context, reason));
    }
    let mut life = Life::new(context, output);
    let pause = Box::pin(life.live(false)).await?;
    let end = match pause {
        Pause::Over if let Some(want) = life.wants() => {
            let reason = match want {
                Want::Repository => "the script reads files of the repository",
                Want::Package => "the script needs packages, which a worker fetches",
                Want::Compiler => "TypeScript is compiled in the worker",
            };
            StartEnd::Awaits { reason: reason.to_owned() }
        }
        Pause::Over if life.timed_out() => {
            let reason = "the script has more to compute than there is time for here".to_owned();
            StartEnd::Awaits { reason }
        }
        Pause::Over => {
            life.report();
            StartEnd::Ended(life.outcome())
        }
        Pause::Waits => match awaits(context, &life) {
            Some(reason) => StartEnd::Awaits { reason },
            None => StartEnd::Detached,
        },
    };
    let created = |(job, pod, adopted): (&runtime::job::Job, &str, bool)| Created {
        name: job.name.clone(),
        pod: pod.to_owned(),
        adopted,
    };
    Ok(Start {
        handlers: life.state.handlers.iter().map(|name| life.printer.masked(name)).collect(),
        fired: context.build.fires().into_iter().chain(life.state.processed.clone()).collect(),
        summary: life.summary(),
        jobs: life.jobs.iter().map(created).collect(),
        made: life.jobs.made(),
        end,
        log: life.printer.tail(),
    })
}

/// Why somebody must follow the build, if somebody must.
fn awaits(context: &Context, life: &Life<'_>) -> Option<String> {
    let handles = |name: &str| life.state.handlers.iter().any(|handler| handler == name);
    if let Some(job) = life.jobs.first_awaited() {
        return Some(format!("the script awaits job {}", job.name));
    }
    if life.state.loading {
        return Some("the script awaits something at its top".to_owned());
    }
    if !life.logs_wanted.is_empty() {
        return Some("the script reads the log of a job".to_owned());
    }
    if life.timers.any_held() {
        return Some("a timer of the script is pending".to_owned());
    }
    for (job, _, _) in life.jobs.iter() {
        if job.storage.enabled {
            return Some(format!("job {} uses storage that is deleted at the end", job.name));
        }
        if job.retries > 0 {
            return Some(format!("job {} gets another pod if the cluster loses it", job.name));
        }
        if job.stream_logs {
            return Some(format!("the log of job {} is to be shown", job.name));
        }
    }
    if handles("after") {
        return Some("an after handler".to_owned());
    }
    if handles("error") || life.state.watches {
        return Some("an error handler".to_owned());
    }
    if life.state.failed {
        return Some("the script has failed, and its jobs have not ended".to_owned());
    }
    if let Some(most) = context.project.limits.builds {
        return Some(format!("at most {most} builds of the project run at once"));
    }
    if life.holds_jobs_back() {
        return Some("at most so many jobs of a build run at once in this project".to_owned());
    }
    if context.options.notifies && life.heard {
        return Some("somebody is told how the build ends".to_owned());
    }
    None
}

impl Start {
    /// Whether a handler of Brigade 2's API was not called because nobody called `process()`.
    pub fn waits_for_process(&self) -> bool {
        let processed = self.fired.iter().any(|name| name.contains('/'));
        let is_of = |handler: &String| {
            let names = self.fired.iter().map(String::as_str).chain(["*"]);
            let mut sources = names.filter_map(|name| handler.strip_suffix(name));
            sources.any(|source| source.contains('/') && source.ends_with(':'))
        };
        !processed
            && !self.fired.iter().any(|name| self.handlers.contains(name))
            && self.handlers.iter().any(is_of)
    }

    /// Nothing was done: a worker starts the build.
    fn elsewhere(context: &Context, reason: String) -> Start {
        Start {
            handlers: Vec::new(),
            fired: context.build.fires(),
            summary: None,
            jobs: Vec::new(),
            end: StartEnd::Awaits { reason },
            log: String::new(),
            made: 0,
        }
    }

    /// What is noted on the build for whoever goes on: the pods of so many of its first jobs were
    /// made, so that one that is not there was deleted.
    pub fn annotations(&self) -> BTreeMap<String, String> {
        let made = (annotation::MADE.to_owned(), self.made.to_string());
        if self.made == 0 { BTreeMap::new() } else { [made].into() }
    }

    /// The annotation of what the script says of a build that nobody follows.
    pub fn summary_annotation(&self) -> Option<(String, String)> {
        crate::outcome::summary(self.summary.as_deref())
    }

    /// How the build ended, if it did.
    pub fn phase(&self) -> Option<Phase> {
        match &self.end {
            StartEnd::Ended(outcome) => Some(outcome.phase),
            StartEnd::Detached | StartEnd::Awaits { .. } => None,
        }
    }
}
