//! One notifier is told of a build, one thing after the other.

use std::sync::Arc;

use runtime::event::LogLevel;
use runtime::project::{Moment, Notifier, NotifierKind};
use tokio::sync::mpsc::UnboundedReceiver;

use super::{Desk, words};
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
        while let Some(step) = steps.recv().await {
            match self.latest(step, &mut steps) {
                Step::Build { moment, story } => self.build(moment, &story).await,
                Step::Job(job) => self.job(&job).await,
                Step::Changed => self.progress().await,
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

    async fn build(&self, moment: Moment, story: &BuildReport) {
        let (desk, name) = (&self.desk, &self.notifier.name);
        if desk.notes.lock().await.get(name).is_past(moment) {
            return;
        }
        let notification = words::of_build(&self.notifier, story);
        match self.tell(&notification).await {
            Ok(told) => {
                let what = moment.name();
                desk.say(LogLevel::Info, &format!("{name}: told, {what}{}", said(&told)));
                desk.note(name, |noted| noted.tell(moment, told.handle)).await;
            }
            Err(error) => desk.not_told(name, moment, error.to_string()).await,
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
        match self.tell(&words::of_build(&self.notifier, &story)).await {
            Ok(told) if told.handle.is_some() && told.handle.as_ref() != noted.handle() => {
                desk.note(name, |noted| noted.keep(told.handle)).await;
            }
            Ok(_same) => {}
            // What comes after it says the same and more.
            Err(error) => desk.say(LogLevel::Warn, &format!("{name}: not told, jobs: {error}")),
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
        let noted = self.desk.notes.lock().await.get(&self.notifier.name);
        let (kind, outbox) = (self.notifier.kind, &self.desk.outbox);
        let telling = tell(kind, &self.variables, notification, noted.handle(), outbox);
        // On the heap: there are many of them.
        Box::pin(telling).await
    }
}

fn said(told: &Told) -> String {
    if told.said.is_empty() { String::new() } else { format!(": {}", told.said) }
}
