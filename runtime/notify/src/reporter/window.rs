//! How many messages a notifier of a project is sent in a window of time, and what is collected of
//! those beyond: what all who tell it agree on, as it is kept in the cluster. No I/O.
//!
//! A window begins with a message. So many are sent in it; then what comes is collected, and who
//! collected the first tells all of it in one message when the window has ended. If they die, the
//! next who has something to tell does, or the sweeper.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use runtime::project::{Moment, Project};
use serde::{Deserialize, Serialize};

use crate::{Notification, Tone, text};

/// How many builds are told apart that are collected; of more, only the numbers are.
const BUILDS: usize = 1000;

/// How many lines a message has.
const LINES: usize = 20;

/// How long a line is, in characters.
const LINE: usize = 240;

/// How long after a window's end who is to tell what was collected is taken for dead.
const GRACE: SignedDuration = SignedDuration::from_secs(15);

/// How long who tells it may take.
const FLIGHT: SignedDuration = SignedDuration::from_mins(15);

/// How often it is tried to tell what was collected.
const TRIES: u32 = 3;

/// The window of a notifier.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub(super) struct Window {
    /// When it ends.
    ends: Timestamp,
    /// What was sent in it, by the ids of the messages.
    sent: Vec<String>,
    /// What was collected in it.
    kept: Batch,
    /// What was collected in windows that have ended, and is told or is to be.
    due: Vec<Due>,
}

/// Builds that are told of together.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub(super) struct Batch {
    /// Who collected the first: by the id of their build.
    keeper: String,
    builds: BTreeMap<String, Entry>,
    /// How many more there are.
    more: BTreeMap<Moment, usize>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Entry {
    moment: Moment,
    /// Empty where there are enough.
    line: String,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Due {
    /// The id of the message.
    id: String,
    batch: Batch,
    /// Since when it is to be told, or is being told.
    since: Timestamp,
    /// Who tells it now, if somebody does.
    by: Option<String>,
    tries: u32,
}

/// What is done with a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Admission {
    /// It is sent.
    Send,
    /// It is told with others, by somebody else.
    Collected,
    /// It is told with others, by who asked, from this moment on.
    Keep(Timestamp),
}

impl Window {
    pub(super) fn parse(json: &str) -> Window {
        // What somebody else has written there is nothing.
        serde_json::from_str(json).unwrap_or_default()
    }

    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Takes a message of a build: whether it is sent now or collected. Asked again, it says the same.
    pub(super) fn admit(
        &mut self,
        notification: &Notification,
        (build, moment): (&str, Moment),
        (most, length): (u32, Duration),
        now: Timestamp,
    ) -> Admission {
        self.turn(now, length);
        let is_in = |batch: &Batch| batch.builds.get(build).is_some_and(|all| all.moment == moment);
        if self.sent.contains(&notification.id) {
            return Admission::Send;
        }
        if let Some(due) = self.due.iter().find(|due| is_in(&due.batch)) {
            let own = due.batch.keeper == build;
            return if own { Admission::Keep(now) } else { Admission::Collected };
        }
        if self.kept.is_empty() && self.sent.len() < usize::try_from(most).unwrap_or(usize::MAX) {
            self.sent.push(notification.id.clone());
            return Admission::Send;
        }
        if self.kept.is_empty() {
            build.clone_into(&mut self.kept.keeper);
        }
        if !is_in(&self.kept) {
            self.kept.add(build, moment, notification);
        }
        if self.kept.keeper == build { Admission::Keep(self.ends) } else { Admission::Collected }
    }

    /// Begins another window if this one has ended.
    fn turn(&mut self, now: Timestamp, length: Duration) {
        self.due.retain(|due| due.tries < TRIES || !due.is_late(now));
        // A clock that goes backwards must not make a window endless.
        let length = SignedDuration::try_from(length).unwrap_or_default();
        if self.ends > now && self.ends <= now + length {
            return;
        }
        let batch = std::mem::take(&mut self.kept);
        if !batch.is_empty() {
            let id = format!("{}.{}.collected", batch.keeper, self.ends.as_millisecond());
            let since = self.ends.min(now);
            self.due.push(Due { id, batch, since, by: None, tries: 0 });
        }
        self.sent.clear();
        self.ends = now + length;
    }

    /// Whether something is to be told that nobody tells.
    pub(super) fn is_late(&self, now: Timestamp) -> bool {
        let kept = !self.kept.is_empty() && now > self.ends + GRACE;
        kept || self.due.iter().any(|due| due.is_late(now))
    }

    /// Takes what this one is to tell, or what nobody else tells; with its id.
    pub(super) fn take(
        &mut self,
        me: &str,
        length: Duration,
        now: Timestamp,
    ) -> Option<(String, Batch)> {
        if self.ends <= now {
            self.turn(now, length);
        }
        let mine = |due: &Due| due.by.as_deref().unwrap_or(&due.batch.keeper) == me;
        let at = self.due.iter().position(|due| mine(due) || due.is_late(now))?;
        if self.due[at].tries >= TRIES {
            self.due.remove(at);
            return self.take(me, length, now);
        }
        let due = &mut self.due[at];
        let id = due.id.clone();
        due.by = Some(me.to_owned());
        due.since = now;
        due.tries += 1;
        let batch = due.batch.clone();
        // It is a message of the window in which it is sent.
        if !self.sent.contains(&id) {
            self.sent.push(id.clone());
        }
        Some((id, batch))
    }

    /// What was taken was told, or never will be.
    pub(super) fn land(&mut self, id: &str) {
        self.due.retain(|due| due.by.is_none() || due.id != id);
    }
}

impl Due {
    fn is_late(&self, now: Timestamp) -> bool {
        now > self.since + if self.by.is_some() { FLIGHT } else { GRACE }
    }
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.builds.is_empty() && self.more.is_empty()
    }

    fn add(&mut self, build: &str, moment: Moment, notification: &Notification) {
        if self.builds.len() >= BUILDS && !self.builds.contains_key(build) {
            *self.more.entry(moment).or_default() += 1;
            return;
        }
        let is_bad = moment == Moment::Failed;
        let shown = self
            .builds
            .values()
            .filter(|entry| !entry.line.is_empty() && (entry.moment == Moment::Failed) == is_bad);
        let mut line = String::new();
        if shown.count() < LINES {
            line.clone_from(&notification.title);
            let commit = notification.build.as_ref().map_or("", |build| build.commit.as_str());
            let commit: String = commit.chars().take(7).collect();
            if !commit.is_empty() {
                line += &format!(" ({commit})");
            }
            if is_bad && !notification.message.is_empty() {
                line += ": ";
                line += notification.message.lines().next().unwrap_or_default();
            }
            line = text::line(&line, LINE);
        }
        // Only the last that has happened to a build counts.
        self.builds.insert(build.to_owned(), Entry { moment, line });
    }

    /// What is told of all of them.
    pub(super) fn notification(
        &self,
        id: String,
        project: &Project,
        length: Duration,
        now: Timestamp,
    ) -> Notification {
        let mut counts = self.more.clone();
        for entry in self.builds.values() {
            *counts.entry(entry.moment).or_default() += 1;
        }
        let order = [
            Moment::Failed,
            Moment::Recovered,
            Moment::Cancelled,
            Moment::Succeeded,
            Moment::Started,
        ];
        let all: usize = counts.values().sum();
        let parts = order
            .iter()
            .filter_map(|moment| Some(format!("{} {}", counts.get(moment)?, moment.name())));
        let parts: Vec<String> = parts.collect();
        let span = match length.as_secs() {
            60 => "minute".to_owned(),
            seconds if seconds % 60 == 0 => format!("{} minutes", seconds / 60),
            1 => "second".to_owned(),
            seconds => format!("{seconds} seconds"),
        };
        let (noun, name) = (if all == 1 { "build" } else { "builds" }, &project.name);
        let mut lines: Vec<&str> = Vec::new();
        for wanted in order {
            let own = self.builds.values().filter(|entry| entry.moment == wanted);
            lines.extend(own.map(|entry| entry.line.as_str()).filter(|line| !line.is_empty()));
        }
        lines.truncate(LINES);
        let rest = all.saturating_sub(lines.len());
        let more = format!("and {rest} more");
        if rest > 0 {
            lines.push(&more);
        }
        let is_bad = counts.contains_key(&Moment::Failed);
        Notification {
            title: format!("{name}: {all} {noun} in the last {span}: {}", parts.join(", ")),
            message: lines.join("\n"),
            tone: if is_bad { Tone::Bad } else { Tone::Neutral },
            time: Some(now),
            id,
            ..Notification::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn message(build: &str, moment: Moment) -> Notification {
        Notification {
            id: format!("{build}.{}", moment.name()),
            title: format!("{build} {}", moment.name()),
            message: "why\nmore".to_owned(),
            ..Notification::default()
        }
    }

    fn admit(window: &mut Window, build: &str, moment: Moment, second: i64) -> Admission {
        // As others read it.
        *window = Window::parse(&window.text());
        window.admit(&message(build, moment), (build, moment), (2, MINUTE), at(second))
    }

    fn project() -> Project {
        runtime::project::values::read("project: acme/demo", "default").unwrap().0
    }

    #[test]
    fn so_many_are_sent_and_the_rest_is_told_together() {
        let mut window = Window::default();
        let failed = Moment::Failed;
        assert_eq!(admit(&mut window, "a", failed, 0), Admission::Send);
        assert_eq!(admit(&mut window, "b", failed, 1), Admission::Send);
        assert_eq!(admit(&mut window, "b", failed, 2), Admission::Send, "as before");
        assert_eq!(admit(&mut window, "c", Moment::Started, 3), Admission::Keep(at(60)));
        assert_eq!(admit(&mut window, "d", Moment::Succeeded, 4), Admission::Collected);
        assert_eq!(admit(&mut window, "d", Moment::Succeeded, 5), Admission::Collected);
        assert_eq!(admit(&mut window, "c", failed, 6), Admission::Keep(at(60)));
        assert_eq!(window.take("c", MINUTE, at(59)), None);
        let (id, batch) = window.take("c", MINUTE, at(60)).unwrap();
        assert_eq!(window.take("d", MINUTE, at(80)), None, "it is being told");
        let told = batch.notification(id.clone(), &project(), MINUTE, at(60));
        assert_eq!(told.title, "acme/demo: 2 builds in the last minute: 1 failed, 1 succeeded");
        assert_eq!(told.message, "c failed: why\nd succeeded");
        assert_eq!(told.tone, Tone::Bad);
        // It is one of the messages of the next window.
        assert_eq!(admit(&mut window, "e", failed, 62), Admission::Send);
        assert_eq!(admit(&mut window, "f", failed, 63), Admission::Keep(at(120)));
        window.land(&id);
        assert!(!window.is_late(at(119)) && window.is_late(at(120 + 16)));
    }

    #[test]
    fn what_a_dead_one_has_collected_is_told_by_the_next() {
        let mut window = Window::default();
        for build in ["a", "b", "c", "d"] {
            admit(&mut window, build, Moment::Failed, 0);
        }
        assert_eq!(window.take("other", MINUTE, at(60)), None, "who collected it may live");
        assert_eq!(admit(&mut window, "e", Moment::Failed, 70), Admission::Send);
        assert!(!window.is_late(at(70)) && window.is_late(at(80)));
        // Who is asked to tell it again still has to.
        assert_eq!(admit(&mut window, "c", Moment::Failed, 71), Admission::Keep(at(71)));
        for tries in 0..i64::from(TRIES) {
            let second = 80 + tries * 1000;
            let (_, batch) = window.take("other", MINUTE, at(second)).unwrap();
            assert_eq!(batch.builds.len(), 2);
            assert_eq!(window.take("third", MINUTE, at(second + 600)), None, "it is being told");
        }
        assert_eq!(window.take("third", MINUTE, at(9000)), None, "it is given up");
        assert_eq!(window.due, []);
    }

    #[test]
    fn a_flood_has_bounds_and_its_failures_come_first() {
        let mut window = Window::default();
        for number in 0..5000 {
            let moment = if number < 4000 { Moment::Succeeded } else { Moment::Failed };
            let build = format!("{number:026}");
            let text = "ü".repeat(10_000);
            let message = Notification { title: text, ..message(&build, moment) };
            window.admit(&message, (&build, moment), (2, MINUTE), at(1));
        }
        assert!(window.text().len() < 200_000, "{}", window.text().len());
        let (id, batch) = window.take(&format!("{:026}", 2), MINUTE, at(61)).unwrap();
        let told = batch.notification(id, &project(), MINUTE, at(61));
        assert!(
            told.title.ends_with(": 4998 builds in the last minute: 1000 failed, 3998 succeeded")
        );
        assert_eq!(told.message.lines().count(), LINES + 1);
        assert!(told.message.ends_with("\nand 4978 more"));
    }

    #[test]
    fn a_clock_that_was_wrong_makes_no_endless_window() {
        let mut window = Window::default();
        for build in ["a", "b", "c"] {
            admit(&mut window, build, Moment::Failed, 100_000);
        }
        assert_eq!(admit(&mut window, "d", Moment::Failed, 0), Admission::Send);
        assert!(window.is_late(at(16)));
    }

    #[test]
    fn what_others_write_is_nothing() {
        for text in ["", "[]", "{\"ends\": 7}", "{\"due\": {}}"] {
            assert_eq!(Window::parse(text), Window::default(), "{text}");
        }
    }
}
