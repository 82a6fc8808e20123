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
    Build { moment: Moment, story: Arc<BuildReport> },
    /// Something has happened to a job.
    Job(Box<JobReport>),
    /// Something has happened to a job, and only how the build stands now is told.
    Changed,
}

pub(super) struct Lane {
    desk: Arc<Desk>,
    notifier: Notifier,
    variables: Variables,
    /// Whether it waits for the end of a window.
    waits: bool,
}

impl Lane {
    pub(super) fn new(desk: Arc<Desk>, notifier: Notifier, waits: bool) -> Lane {
        let variables = words::variables(&desk.project, &notifier);
        Lane { desk, notifier, variables, waits }
    }

    /// Tells what comes, until nothing more does.
    pub(super) async fn live(self, mut steps: UnboundedReceiver<Step>) {
        for problem in unknown_settings(&self.notifier) {
            self.desk.say(LogLevel::Warn, &problem);
        }
        let (mut flush, mut open) = (None, true);
        while open || flush.is_some() && self.waits {
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
                    let is_own = flush.take().is_some_and(|(_, is_own)| is_own);
                    self.flush(is_own).await;
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
                    Step::Build { moment, story: self.desk.hub().story.clone() }
                }
                (_, next) => next,
            };
        }
        step
    }

    /// Tells of the build, or has it told with others; from when on this lane tells those, if it is
    /// to, and whether it is one of them.
    async fn build(&self, moment: Moment, story: &BuildReport) -> Option<(Timestamp, bool)> {
        let (desk, name) = (&self.desk, &self.notifier.name);
        let noted = desk.notes().get(name);
        if noted.is_past(moment) {
            return None;
        }
        let notification = words::of_build(&self.notifier, story);
        let mut flush = None;
        // What changes a message is none more.
        let changes = self.notifier.kind == NotifierKind::Slack && noted.handle().is_some();
        let is_counted = self.notifier.kind.is_read_by_people() && !changes;
        if is_counted && self.notifier.problem.is_none() && !desk.outbox.is_dry() {
            let about = (story.build.as_str(), moment);
            let Desk { cluster, project, .. } = &**desk;
            match gather::admit(cluster, project, &self.notifier, &notification, about).await {
                Ok((admission, left)) => {
                    let now = Timestamp::now();
                    flush = left.then_some((now, false));
                    let collected = match admission {
                        Admission::Send => false,
                        Admission::Collected => true,
                        Admission::Keep(until) => {
                            flush = Some((until, true));
                            true
                        }
                    };
                    if collected {
                        let that = words::that(moment);
                        let text = format!("{name}: {that}: it is told with others later");
                        desk.say(LogLevel::Info, &text);
                        desk.note_of(name, |noted| noted.collect(moment)).await;
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
                let (that, told_as) = (words::that(moment), said(&told));
                let has = if desk.outbox.is_dry() { "would be told" } else { "told" };
                desk.say(LogLevel::Info, &format!("{name}: {has} that {that}{told_as}"));
                desk.note_of(name, |noted| noted.tell(moment, told.handle)).await;
            }
            Err(error) => {
                let words = error.to_string();
                desk.not_told(name, moment, words, error.into_handle()).await;
            }
        }
        flush
    }

    /// Tells what was collected, of this build or of others alone.
    async fn flush(&self, is_own: bool) {
        let Desk { cluster, project, build, outbox, .. } = &*self.desk;
        let (name, me) = (&self.notifier.name, build.id.to_string());
        match gather::flush(cluster, project, &self.notifier, &me, outbox).await {
            Ok(said) => {
                for title in said {
                    self.desk.say(LogLevel::Info, &format!("{name}: told together: {title}"));
                }
                let collected = self.desk.notes().get(name).collected();
                if let Some(moment) = collected.filter(|_| is_own) {
                    self.desk.note_of(name, |noted| noted.tell(moment, None)).await;
                }
            }
            Err(error) => {
                let error = error.to_string();
                self.desk.say(LogLevel::Warn, &format!("{name}: not told {error}"));
                self.desk.note_of(name, |noted| noted.complain(&error)).await;
            }
        }
    }

    /// Tells how the build stands now, where that it has begun was told.
    async fn progress(&self) {
        let (desk, name) = (&self.desk, &self.notifier.name);
        let noted = desk.notes().get(name);
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
                desk.note_of(name, |noted| noted.keep(told.handle)).await;
            }
            Ok(_same) => {}
            // What comes after it says the same and more.
            Err(error) => {
                desk.say(LogLevel::Warn, &format!("{name}: not told of the jobs: {error}"));
                if let Some(handle) = error.into_handle() {
                    desk.note_of(name, |noted| noted.keep(Some(handle))).await;
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
            desk.say(LogLevel::Warn, &format!("{name}: not told of job {}: {error}", job.name));
        }
    }

    async fn tell(&self, notification: &Notification) -> Result<Told, TellError> {
        if let Some(problem) = &self.notifier.problem {
            return Err(TellError::Misset(problem.clone()));
        }
        let noted = self.desk.notes().get(&self.notifier.name);
        let (kind, outbox) = (self.notifier.kind, &self.desk.outbox);
        let telling = tell(kind, &self.variables, notification, noted.handle(), outbox);
        // On the heap: there are many of them.
        let told = Box::pin(telling).await;
        self.desk.say_withheld(&self.notifier.name);
        match told {
            // Builds of every kind are told of; some are nothing to this one.
            Err(TellError::Unfit { problem, .. }) => {
                Ok(Told { handle: None, said: format!("nothing: {problem}") })
            }
            told => told,
        }
    }
}

/// What is wrong with the settings of a notifier: those that its kind does not read.
pub fn unknown_settings(notifier: &Notifier) -> Vec<String> {
    let known = names(notifier.kind);
    let unknown = notifier.settings.keys().filter(|name| !known.contains(&name.as_str()));
    let problem = |setting: &String| {
        let (name, known) = (&notifier.name, known.join(", "));
        format!("{name}: {setting} is no setting of its kind; those are {known}")
    };
    unknown.map(problem).collect()
}

fn said(told: &Told) -> String {
    if told.said.is_empty() { String::new() } else { format!(" ({})", told.said) }
}

/// Waits until a moment.
async fn until(moment: Option<(Timestamp, bool)>) {
    let left = moment.map(|(moment, _)| moment.duration_since(Timestamp::now()));
    let left = left.and_then(|left| Duration::try_from(left).ok()).unwrap_or_default();
    #[expect(clippy::disallowed_methods, reason = "it is the end of a window")]
    tokio::time::sleep(left).await;
}
