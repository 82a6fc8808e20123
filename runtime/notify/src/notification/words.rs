//! What a notification says to people, in whatever they read it.
//!
//! It says what it was told to say; what it was not is said of its build.

use runtime::build::Phase;
use runtime::project::Moment;

use super::{BuildReport, Field, Notification};
use crate::text;

/// How many failed jobs are named.
const NAMED: usize = 5;

impl Notification {
    /// Whether it has a line above what it says.
    pub fn is_titled(&self) -> bool {
        self.build.is_some() || !text::line(&self.title, 1000).is_empty()
    }

    /// Its line; without one, the beginning of what it says.
    pub fn headline(&self) -> String {
        let title = text::line(&self.title, 1000);
        match &self.build {
            _ if !title.is_empty() => title,
            Some(build) => text::line(&build.headline(), 1000),
            None => text::line(&self.message, 200),
        }
    }

    /// What it is called where it is told that it was told.
    pub fn brief(&self) -> String {
        match text::line(&self.headline(), 80) {
            brief if brief.is_empty() => "a message without a title".to_owned(),
            brief => brief,
        }
    }

    /// Whether there is nothing in it that anybody could be told.
    pub fn says_nothing(&self) -> bool {
        let is_blank = |text: &str| text.trim().is_empty();
        let is_empty = |field: &Field| is_blank(&field.name) && is_blank(&field.value);
        self.event.is_none()
            && !self.is_titled()
            && is_blank(&self.body())
            && self.values().iter().all(is_empty)
    }

    /// What it says below its line, or without one.
    pub fn body(&self) -> String {
        let message = text::lines(&self.message, 100_000);
        match &self.build {
            Some(build) if message.is_empty() => text::lines(build.words(), 100_000),
            _ => message,
        }
    }

    /// Its named values.
    pub fn values(&self) -> Vec<Field> {
        let named = |field: &Field| Field {
            name: text::line(&field.name, 1000),
            value: text::lines(&field.value, 10_000),
        };
        match &self.build {
            Some(build) if self.fields.is_empty() => build.values().iter().map(named).collect(),
            _ => self.fields.iter().map(named).collect(),
        }
    }

    /// Where there is more of it, if that is an address that a browser opens.
    pub fn link(&self) -> Option<String> {
        let of_build = self.build.as_ref().and_then(|build| build.url.as_deref());
        let url = url::Url::parse(self.url.as_deref().or(of_build)?.trim()).ok()?;
        let is_web = matches!(url.scheme(), "http" | "https") && url.has_host();
        (is_web && url.as_str().len() <= 2000).then(|| url.to_string())
    }

    /// The ends of logs that say what went wrong, each with the name of its job; the script's own
    /// has none.
    pub fn logs(&self) -> Vec<(String, String)> {
        let Some(build) = &self.build else { return Vec::new() };
        let failed = build.jobs.iter().filter(|job| job.phase == "Failed");
        let logs = failed.map(|job| (text::line(&job.name, 100), log(&job.log)));
        let mut logs: Vec<_> = logs.filter(|(_, log)| !log.is_empty()).collect();
        if logs.is_empty() && build.moment == Moment::Failed {
            let log = log(&build.log);
            logs.extend((!log.is_empty()).then_some((String::new(), log)));
        }
        logs
    }
}

impl BuildReport {
    /// `app: push of main has failed`.
    pub fn headline(&self) -> String {
        let of = match short(&self.reference).as_str() {
            "" => String::new(),
            reference => format!(" of {reference}"),
        };
        let has = match self.moment {
            Moment::Started => "has started",
            Moment::Succeeded => "has succeeded",
            Moment::Failed if self.phase == Phase::TimedOut.name() => "took too long",
            Moment::Failed => "has failed",
            Moment::Recovered => "succeeds again",
            Moment::Cancelled => "was cancelled",
        };
        format!("{}: {}{of} {has}", self.project, self.event)
    }

    /// Why it failed, or what its script or its event says of it.
    pub fn words(&self) -> &str {
        let said = match self.moment {
            Moment::Started => Some(&self.title),
            Moment::Succeeded | Moment::Recovered => self.summary.as_ref(),
            Moment::Failed | Moment::Cancelled => self.reason.as_ref(),
        };
        said.map_or("", String::as_str)
    }

    /// What people want to know of it.
    pub fn values(&self) -> Vec<Field> {
        let failed = self.jobs.iter().filter(|job| job.phase == Phase::Failed.name());
        let mut named: Vec<&str> =
            failed.clone().take(NAMED).map(|job| job.name.as_str()).collect();
        let more = failed.count().saturating_sub(NAMED);
        let rest = format!("and {more} more");
        if more > 0 {
            named.push(&rest);
        }
        let commit: String = self.commit.chars().take(12).collect();
        let all = [
            ("Event", self.event.clone()),
            ("Ref", short(&self.reference)),
            ("Commit", commit),
            ("Failed jobs", named.join(", ")),
            ("Duration", self.duration().unwrap_or_default()),
            ("Build", self.build.clone()),
        ];
        let all = all.into_iter().filter(|(_, value)| !value.is_empty());
        all.map(|(name, value)| Field { name: name.to_owned(), value }).collect()
    }

    /// How long it took.
    fn duration(&self) -> Option<String> {
        let seconds = self.finished?.duration_since(self.started?).as_secs().max(0);
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        Some(match (hours, minutes) {
            (0, 0) => format!("{seconds} s"),
            (0, _) => format!("{minutes} min {seconds} s"),
            _ => format!("{hours} h {minutes} min"),
        })
    }
}

/// A branch or a tag, by its name alone; a pull request, by its number.
fn short(reference: &str) -> String {
    let of = |kind: &str| reference.strip_prefix(kind);
    let request = of("refs/pull/").and_then(|rest| {
        let number = rest.strip_suffix("/head").or_else(|| rest.strip_suffix("/merge"))?;
        number.bytes().all(|byte| byte.is_ascii_digit()).then(|| format!("#{number}"))
    });
    let named = || of("refs/heads/").or_else(|| of("refs/tags/")).unwrap_or(reference).to_owned();
    request.unwrap_or_else(named)
}

#[test]
fn references_are_told_by_what_people_call_them() {
    for (reference, told) in [
        ("refs/heads/main", "main"),
        ("refs/tags/v1", "v1"),
        ("refs/pull/7/head", "#7"),
        ("refs/pull/7/merge", "#7"),
        ("refs/pull/x/head", "refs/pull/x/head"),
        ("", ""),
    ] {
        assert_eq!(short(reference), told);
    }
}

/// What can be read of a log.
fn log(log: &str) -> String {
    text::clean(log, true).trim_matches('\n').trim_end().to_owned()
}
