//! One notifier is told of a build, one thing after the other.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use runtime::event::LogLevel;
use runtime::project::{Moment, Notifier, NotifierKind};
use tokio::sync::mpsc::UnboundedReceiver;

use super::window::Admission;
use super::{Desk, gather, words};
use crate::{BuildReport, JobReport, Notification, TellError, Told, Variables, names, tell};

/// What is to be told.
pub(super) enum Step {
    /// Something has happened to the build.
    Build { moment: Moment, story: Box<BuildReport> },
    /// Something has happened to a job.
    Job(Box<JobReport>),
    /// Something has happened to a job, and only how the build stands now is told.
    Changed,
}

pub(super) struct Lane {
    desk: Arc<Desk>,
    notifier: Notifier,
    variables: Variables,
}

impl Lane {
    pub(super) fn new(desk: Arc<Desk>, notifier: Notifier) -> Lane {
        let variables = words::variables(&desk.project, &notifier);
        Lane { desk, notifier, variables }
    }

    /// Tells what comes, until nothing more does.
    pub(super) async fn live(self, mut steps: UnboundedReceiver<Step>) {
        for name in self.notifier.settings.keys() {
            let known = names(self.notifier.kind);
            if !known.contains(&name.as_str()) {
                let text = format!(
                    "{}: {name} is no setting of its kind; those are {}",
                    self.notifier.name,
                    known.join(", ")
                );
                self.desk.say(LogLevel::Warn, &text);
            }
        }
        let (mut flush, mut open) = (None, true);
        while open || flush.is_some() {
            tokio::select! {
                biased;
                step = steps.recv(), if open => match step {
                    None => open = false,
                    Some(step) => match self.latest(step, &mut steps) {
                        Step::Build { moment, story } => {
                            flush = self.build(moment, &story).await.or(flush);
                        }
                        Step::Job(job) => self.job(&job).await,
                        Step::Changed => self.progress().await,
                    },
                },
                () = until(flush), if flush.is_some() => {
                    flush = None;
                    self.flush().await;
                }
            }
        }
    }

    /// What is to be told now: where only the present state counts, the last of what has come.
    fn latest(&self, mut step: Step, steps: &mut UnboundedReceiver<Step>) -> Step {
        while self.notifier.kind == NotifierKind::Github
            && let Ok(next) = steps.try_recv()
        {
            step = match (step, next) {
                // It has not begun yet for those who look, and begins as it is now.
                (Step::Build { moment, .. }, Step::Changed) => {
                    Step::Build { moment, story: Box::new(self.desk.hub().story.clone()) }
                }
                (_, next) => next,
            };
        }
        step
    }

    /// Tells of the build, or has it told with others; from when on this lane tells those, if it is
    /// to.
    async fn build(&self, moment: Moment, story: &BuildReport) -> Option<Timestamp> {
        let (desk, name) = (&self.desk, &self.notifier.name);
        let noted = desk.notes.lock().await.get(name);
        if noted.is_past(moment) {
            return None;
        }
        let notification = words::of_build(&self.notifier, story);
        let mut flush = None;
        // What changes a message is none more.
        let changes = self.notifier.kind == NotifierKind::Slack && noted.handle().is_some();
        if self.notifier.kind.is_read_by_people() && !changes {
            let about = (story.build.as_str(), moment);
            let Desk { cluster, project, .. } = &**desk;
            match gather::admit(cluster, project, &self.notifier, &notification, about).await {
                Ok((admission, left)) => {
                    let now = Timestamp::now();
                    flush = left.then_some(now);
                    let collected = match admission {
                        Admission::Send => false,
                        Admission::Collected => true,
                        Admission::Keep(until) => {
                            flush = Some(until);
                            true
                        }
                    };
                    if collected {
                        let what = moment.name();
                        desk.say(LogLevel::Info, &format!("{name}: told with others, {what}"));
                        desk.note(name, |noted| noted.tell(moment, None)).await;
                        return flush;
                    }
                }
                Err(error) => {
                    let text = format!("{name}: nobody knows how much it was told: {error}");
                    desk.say(LogLevel::Warn, &text);
                }
            }
        }
        match self.tell(&notification).await {
            Ok(told) => {
                let what = moment.name();
                desk.say(LogLevel::Info, &format!("{name}: told, {what}{}", said(&told)));
                desk.note(name, |noted| noted.tell(moment, told.handle)).await;
            }
            Err(error) => {
                let words = error.to_string();
                desk.not_told(name, moment, words, error.into_handle()).await;
            }
        }
        flush
    }

    /// Tells what was collected.
    async fn flush(&self) {
        let Desk { cluster, project, build, outbox, .. } = &*self.desk;
        let (name, me) = (&self.notifier.name, build.id.to_string());
        match gather::flush(cluster, project, &self.notifier, &me, outbox).await {
            Ok(said) => {
                for title in said {
                    self.desk.say(LogLevel::Info, &format!("{name}: told, {title}"));
                }
            }
            Err(error) => {
                let error = error.to_string();
                self.desk.say(LogLevel::Warn, &format!("{name}: not told, {error}"));
                self.desk.note(name, |noted| noted.complain(&error)).await;
            }
        }
    }

    /// Tells how the build stands now, where that it has begun was told.
    async fn progress(&self) {
        let (desk, name) = (&self.desk, &self.notifier.name);
        let noted = desk.notes.lock().await.get(name);
        if !noted.has_told(Moment::Started) {
            return;
        }
        let story = desk.hub().story.clone();
        // Its end comes next.
        if story.moment != Moment::Started {
            return;
        }
        match self.tell(&words::of_build(&self.notifier, &story)).await {
            Ok(told) if told.handle.is_some() && told.handle.as_ref() != noted.handle() => {
                desk.note(name, |noted| noted.keep(told.handle)).await;
            }
            Ok(_same) => {}
            // What comes after it says the same and more.
            Err(error) => {
                desk.say(LogLevel::Warn, &format!("{name}: not told, jobs: {error}"));
                if let Some(handle) = error.into_handle() {
                    desk.note(name, |noted| noted.keep(Some(handle))).await;
                }
            }
        }
    }

    async fn job(&self, job: &JobReport) {
        let (desk, name) = (&self.desk, &self.notifier.name);
        let notification = {
            let hub = desk.hub();
            words::of_job(&hub.story, job)
        };
        if let Err(error) = self.tell(&notification).await {
            desk.say(LogLevel::Warn, &format!("{name}: not told, job {}: {error}", job.name));
        }
    }

    async fn tell(&self, notification: &Notification) -> Result<Told, TellError> {
        if let Some(problem) = &self.notifier.problem {
            return Err(TellError::Misset(problem.clone()));
        }
        let noted = self.desk.notes.lock().await.get(&self.notifier.name);
        let (kind, outbox) = (self.notifier.kind, &self.desk.outbox);
        let telling = tell(kind, &self.variables, notification, noted.handle(), outbox);
        // On the heap: there are many of them.
        match Box::pin(telling).await {
            // Builds of every kind are told of; some are nothing to this one.
            Err(TellError::Unfit { problem, .. }) => {
                Ok(Told { handle: None, said: format!("nothing: {problem}") })
            }
            told => told,
        }
    }
}

fn said(told: &Told) -> String {
    if told.said.is_empty() { String::new() } else { format!(" ({})", told.said) }
}

/// Waits until a moment.
async fn until(moment: Option<Timestamp>) {
    let left = moment.map(|moment| moment.duration_since(Timestamp::now()));
    let left = left.and_then(|left| Duration::try_from(left).ok()).unwrap_or_default();
    #[expect(clippy::disallowed_methods, reason = "it is the end of a window")]
    tokio::time::sleep(left).await;
}
