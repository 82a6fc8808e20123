//! Tells the notifiers of a project of a build, while it runs and when it has ended.
//!
//! Each notifier has a lane of its own, in which it is told one thing after the other; no lane waits
//! for another, and the build waits for none. What was told is noted on the build (`noted`), so that
//! the worker that follows one that died tells nothing twice. Two deaths cannot be told apart: before
//! a message has left, and after that but before it was noted; so what is told then is told again,
//! with the same id.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use pipeline::{Line, Listener, Outcome, Output, Report, Stream};
use runtime::build::{Build, Phase, annotation};
use runtime::cluster::Cluster;
use runtime::event::LogLevel;
use runtime::project::{Moment, Notifier, NotifierKind, Project};
use runtime::template::Template;
use runtime::trace::{self, TraceContext};
use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::{BuildReport, JobReport, Outbox};

pub use gather::FlushError;
pub use lane::unknown_settings;
use lane::{Lane, Step};
use noted::Notes;
pub use story::repository;

mod gather;
mod lane;
mod noted;
mod story;
mod window;
mod words;

#[cfg(test)]
mod tests;

/// How long it is tried to note at last what was given up.
const LAST: Duration = Duration::from_secs(5);

/// How builds are told of.
#[derive(Clone, Debug)]
pub struct ReportOptions {
    /// For how long it is still tried to tell somebody once the build has ended. Default: 5 minutes.
    pub budget: Duration,
    /// Where people see a build: an address with places for `project` and `build`. Default: nowhere.
    pub build_url: Option<Template>,
    /// Whether it is waited for the end of a notifier's window to tell what was collected in it; else
    /// that is left to whoever comes then. Default: true.
    pub waits: bool,
}

impl Default for ReportOptions {
    fn default() -> ReportOptions {
        ReportOptions { budget: Duration::from_secs(300), build_url: None, waits: true }
    }
}

/// Tells the notifiers of a project of one build. Dropped, it tells nothing more.
pub struct Reporter {
    desk: Arc<Desk>,
    lanes: JoinSet<String>,
    budget: Duration,
    waits: bool,
}

/// What the lanes of a build share.
struct Desk {
    cluster: Cluster,
    project: Project,
    build: Build,
    outbox: Outbox,
    output: Output,
    /// How the build stands, and who is to be told of its changes.
    hub: Mutex<Hub>,
    /// What has been told.
    notes: Mutex<Notes>,
    /// What was last tried to be noted of that, by one after the other.
    written: tokio::sync::Mutex<String>,
}

struct Hub {
    story: Arc<BuildReport>,
    lanes: Vec<(Notifier, UnboundedSender<Step>)>,
}

/// What is left to do when nothing more is to be told of a build.
struct Closed {
    /// The longest time that somebody may wait for others.
    longest: Duration,
    /// Those who wanted to hear that it succeeds again, which it has not.
    silent: Vec<String>,
}

/// Whether somebody is to be told of a build of this project, if something happens in it.
pub fn is_wanted(project: &Project, build: &Build) -> bool {
    !build.is_told_to_nobody() && project.notifiers.caring(build).next().is_some()
}

impl Reporter {
    /// One for a build, if somebody is to be told of it. What is told is said in the build's output.
    pub fn new(
        cluster: &Cluster,
        project: &Project,
        build: &Build,
        outbox: &Outbox,
        options: &ReportOptions,
        output: Output,
    ) -> Option<Reporter> {
        for problem in project.notifiers.problems() {
            say(build, &output, LogLevel::Warn, &format!("nobody is told: {problem}"));
        }
        if !is_wanted(project, build) {
            return None;
        }
        let desk = Arc::new(Desk {
            cluster: cluster.clone(),
            project: project.clone(),
            build: build.clone(),
            outbox: outbox.clone(),
            output,
            hub: Mutex::new(Hub {
                story: Arc::new(story::begin(project, build, options)),
                lanes: Vec::new(),
            }),
            notes: Mutex::new(Notes::of(&build.annotations)),
            written: tokio::sync::Mutex::default(),
        });
        let mut lanes = JoinSet::new();
        for notifier in project.notifiers.caring(build) {
            let (sender, steps) = tokio::sync::mpsc::unbounded_channel();
            desk.hub().lanes.push((notifier.clone(), sender));
            let lane = Lane::new(desk.clone(), notifier.clone(), options.waits);
            let name = notifier.name.clone();
            let place = TraceContext::of_build(build);
            lanes.spawn(async move {
                trace::within(place, lane.live(steps)).await;
                name
            });
        }
        Some(Reporter { desk, lanes, budget: options.budget, waits: options.waits })
    }

    /// Whether somebody who wants to know how the build ended has not been told.
    pub fn is_behind(&self, outcome: &Outcome) -> bool {
        let mut wanted = vec![story::moment(outcome.phase)];
        if outcome.phase == Phase::Succeeded {
            wanted.push(Moment::Recovered);
        }
        let names: Vec<String> = {
            let hub = self.desk.hub();
            let waiting = hub
                .lanes
                .iter()
                .filter(|(to, _)| wanted.iter().any(|moment| to.on.contains(moment)));
            waiting.map(|(to, _)| to.name.clone()).collect()
        };
        let notes = self.desk.notes();
        outcome.concerns() && names.iter().any(|name| !notes.get(name).is_past(wanted[0]))
    }

    /// What hears of the build while it runs.
    pub fn listener(&self) -> Listener {
        let desk = self.desk.clone();
        Listener::new(move |report| desk.hub().hear(report))
    }

    /// Tells how the build ended, and waits until everybody knows or the time for that is over.
    ///
    /// That it has ended is noted before: whatever happens here, it stays so.
    pub async fn end(mut self, outcome: &Outcome) {
        if !outcome.concerns() {
            return;
        }
        let recovered = self.has_recovered(outcome).await;
        self.recall(outcome).await;
        let Closed { longest, silent } = self.desk.hub().close(outcome, recovered == Some(true));
        let longest = if self.waits { longest } else { Duration::ZERO };
        let deadline = Instant::now() + self.budget + longest;
        if recovered.is_some() && !silent.is_empty() {
            let moment = story::moment(outcome.phase);
            let pass = |notes: &mut Notes| {
                silent.iter().for_each(|name| notes.change(name, |noted| noted.pass(moment)));
            };
            let noted = tokio::time::timeout_at(deadline, self.desk.note(pass)).await;
            // It is looked at once more, to no effect.
            drop(noted);
        }
        let mut open: BTreeSet<String> = self
            .desk
            .project
            .notifiers
            .caring(&self.desk.build)
            .map(|each| each.name.clone())
            .collect();
        while let Ok(Some(ended)) = tokio::time::timeout_at(deadline, self.lanes.join_next()).await
        {
            // One that has panicked is left open.
            if let Ok(name) = ended {
                open.remove(&name);
            }
        }
        self.lanes.shutdown().await;
        let moment = story::moment(outcome.phase);
        // Others tell what was collected.
        open.retain(|name| self.desk.notes().get(name).collected().is_none());
        if open.is_empty() {
            return;
        }
        let error = format!("it was given up {} s after the build's end", self.budget.as_secs());
        for name in &open {
            self.desk.say_not_told(name, moment, &error);
        }
        let give_up = |notes: &mut Notes| {
            open.iter().for_each(|name| notes.change(name, |noted| noted.give_up(moment, &error)));
        };
        if tokio::time::timeout(LAST, self.desk.note(give_up)).await.is_err() {
            self.desk.say(LogLevel::Warn, "that could not be noted");
        }
    }

    /// Finds out what became of the jobs of a build that was run by others.
    async fn recall(&self, outcome: &Outcome) {
        if !outcome.jobs.is_empty() || !self.desk.hub().story.jobs.is_empty() {
            return;
        }
        let Desk { cluster, project, build, .. } = &*self.desk;
        match pipeline::ended_jobs(cluster, project, build).await {
            Ok(reports) => {
                let mut hub = self.desk.hub();
                let story = Arc::make_mut(&mut hub.story);
                for report in reports {
                    if let Report::Ended { end, started, finished, exit_code, log } = report {
                        story::ended(story, &end, (started, finished), exit_code, log);
                    }
                }
            }
            Err(error) => {
                self.desk.say(LogLevel::Warn, &format!("nobody knows its jobs: {error}"));
            }
        }
    }

    /// Whether the build succeeded and the one before it had not, if somebody wants to know; `None` if
    /// nobody can tell now.
    async fn has_recovered(&self, outcome: &Outcome) -> Option<bool> {
        let wanted = self.desk.hub().lanes.iter().any(|(to, _)| to.on.contains(&Moment::Recovered));
        if outcome.phase != Phase::Succeeded || !wanted {
            return Some(false);
        }
        let Desk { cluster, build, .. } = &*self.desk;
        match cluster.phase_before(build, outcome.finished).await {
            Ok(before) => Some(matches!(before, Some(Phase::Failed | Phase::TimedOut))),
            Err(error) => {
                self.desk
                    .say(LogLevel::Warn, &format!("nobody knows how the last one ended: {error}"));
                None
            }
        }
    }
}

/// Tells what was collected for a notifier of this name, if whoever is to tell it seems to be dead; the
/// titles of what was told.
pub async fn tell_what_is_left(
    cluster: &Cluster,
    project: &Project,
    name: &str,
    outbox: &Outbox,
) -> Result<Vec<String>, FlushError> {
    let notifier = project.notifiers.all().iter().find(|notifier| notifier.name == name);
    // What is only looked at stays.
    match notifier.filter(|_| !outbox.is_dry()) {
        Some(notifier) => gather::flush(cluster, project, notifier, "sweeper", outbox).await,
        None => Ok(Vec::new()),
    }
}

impl Hub {
    /// Takes what has happened, and has those told who want to know.
    fn hear(&mut self, report: Report) {
        match report {
            Report::Heard => {
                let Hub { story, lanes } = self;
                for (_, lane) in lanes.iter().filter(|(to, _)| to.on.contains(&Moment::Started)) {
                    let step = Step::Build { moment: Moment::Started, story: story.clone() };
                    // A lane that has panicked hears nothing more.
                    let _heard = lane.send(step);
                }
            }
            Report::Made { name, pod } => {
                let story = Arc::make_mut(&mut self.story);
                let job = story::made(story, name, pod, Timestamp::now());
                self.changed(&job);
            }
            Report::Ended { end, started, finished, exit_code, log } => {
                let story = Arc::make_mut(&mut self.story);
                let job = story::ended(story, &end, (started, finished), exit_code, log);
                self.changed(&job);
            }
        }
    }

    fn changed(&self, job: &JobReport) {
        for (to, lane) in &self.lanes {
            let step = match to.kind {
                NotifierKind::Github if to.on.contains(&Moment::Started) => Step::Changed,
                _ if to.jobs => Step::Job(Box::new(job.clone())),
                _ => continue,
            };
            let _heard = lane.send(step);
        }
    }

    /// Has everybody told who wants to know how the build ended, and nothing more after that.
    fn close(&mut self, outcome: &Outcome, recovered: bool) -> Closed {
        story::end(Arc::make_mut(&mut self.story), outcome);
        let lanes = std::mem::take(&mut self.lanes);
        let people = lanes.iter().filter(|(to, _)| to.kind.is_read_by_people());
        let longest = people.map(|(to, _)| to.window).max().unwrap_or_default();
        let again = Arc::new(BuildReport { moment: Moment::Recovered, ..(*self.story).clone() });
        let mut silent = Vec::new();
        for (to, lane) in lanes {
            let mut moment = story::moment(outcome.phase);
            if recovered && to.on.contains(&Moment::Recovered) {
                moment = Moment::Recovered;
            }
            if to.on.contains(&moment) {
                let story = if moment == Moment::Recovered { &again } else { &self.story };
                let _heard = lane.send(Step::Build { moment, story: story.clone() });
            } else if outcome.phase == Phase::Succeeded && to.on.contains(&Moment::Recovered) {
                silent.push(to.name);
            }
        }
        Closed { longest, silent }
    }
}

impl Desk {
    fn hub(&self) -> MutexGuard<'_, Hub> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says something in the build's output.
    fn say(&self, level: LogLevel, text: &str) {
        say(&self.build, &self.output, level, text);
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes on the build what has become of telling somebody. Nothing is, of what only would be told.
    async fn note(&self, change: impl FnOnce(&mut Notes)) {
        change(&mut self.notes());
        if self.outbox.is_dry() {
            return;
        }
        // The last to come here writes what all of them have changed.
        let mut written = self.written.lock().await;
        let text = self.notes().text();
        if *written == text {
            return;
        }
        written.clone_from(&text);
        let noted = [(annotation::NOTIFIED.to_owned(), text)].into();
        if let Err(error) = self.cluster.annotate(&self.build, &noted).await
            && !error.is_not_found()
        {
            self.say(LogLevel::Warn, &format!("what was told could not be noted: {error}"));
        }
    }

    /// The same of one of them.
    async fn note_of(&self, name: &str, change: impl FnOnce(&mut noted::Noted)) {
        self.note(|notes| notes.change(name, change)).await;
    }

    /// `handle` names what was told of it all the same.
    async fn not_told(&self, name: &str, moment: Moment, error: String, handle: Option<Value>) {
        self.say_not_told(name, moment, &error);
        let change = |noted: &mut noted::Noted| {
            noted.give_up(moment, &error);
            noted.keep(handle);
        };
        self.note_of(name, change).await;
    }

    fn say_not_told(&self, name: &str, moment: Moment, error: &str) {
        self.say(
            LogLevel::Warn,
            &format!("{name}: not told that {}: {error}", words::that(moment)),
        );
    }

    /// Says what a dry run has not sent.
    fn say_withheld(&self, name: &str) {
        for text in self.outbox.withheld() {
            for line in text.lines() {
                self.say(LogLevel::Info, &format!("{name}: {line}"));
            }
        }
    }
}

/// Says something in a build's output.
fn say(build: &Build, output: &Output, level: LogLevel, text: &str) {
    let least = build.event.log_level;
    if least == LogLevel::None || level < least {
        return;
    }
    let stream = if level >= LogLevel::Warn { Stream::Err } else { Stream::Out };
    output(Line { stream, level, text: format!("[brigade:notify] {text}") });
}
