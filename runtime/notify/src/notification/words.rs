//! What a notification says to people, in whatever they read it.
//!
//! It says what it was told to say; what it was not is said of its build.

use jiff::{SignedDuration, Timestamp};
use runtime::project::Moment;

use super::{BuildReport, Field, Notification};
use crate::text;

/// How many names stand in a list.
const NAMED: usize = 10;

impl Notification {
    /// Its line.
    pub fn headline(&self) -> String {
        let title = text::line(&self.title, 1000);
        match &self.build {
            Some(build) if title.is_empty() => build.headline(),
            _ if title.is_empty() => text::line(&self.message, 200),
            _ => title,
        }
    }

    /// What it says below its line: nothing, if that says all of it.
    pub fn body(&self) -> String {
        let message = text::lines(&self.message, 100_000);
        match &self.build {
            Some(build) if message.is_empty() => build.body(),
            _ if self.title.trim().is_empty() && message == self.headline() => String::new(),
            _ => message,
        }
    }

    /// Its named values.
    pub fn values(&self) -> Vec<Field> {
        let named = |field: &Field| Field {
            name: text::line(&field.name, 1000),
            value: text::lines(&field.value, 100_000),
        };
        match &self.build {
            Some(build) if self.fields.is_empty() => build.values(),
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
    pub fn logs(&self) -> Vec<(&str, String)> {
        let Some(build) = &self.build else { return Vec::new() };
        let failed = build.jobs.iter().filter(|job| job.phase == "Failed");
        let logs = failed.map(|job| (job.name.as_str(), log(&job.log)));
        let mut logs: Vec<_> = logs.filter(|(_, log)| !log.is_empty()).collect();
        if logs.is_empty() && build.moment == Moment::Failed {
            let log = log(&build.log);
            logs.extend((!log.is_empty()).then_some(("", log)));
        }
        logs
    }
}

impl BuildReport {
    /// `app: push on main Failed`.
    pub fn headline(&self) -> String {
        let what = match (self.moment, self.phase.as_str()) {
            (Moment::Started, _) => "Started",
            (Moment::Succeeded, _) => "Succeeded",
            (Moment::Recovered, _) => "Recovered",
            (Moment::Cancelled, _) => "Cancelled",
            (Moment::Failed, "TimedOut") => "Timed out",
            (Moment::Failed, _) => "Failed",
        };
        let reference = &self.reference;
        let short = reference.strip_prefix("refs/heads/").or(reference.strip_prefix("refs/tags/"));
        let reference = match short.unwrap_or(reference) {
            "" => self.short_commit(),
            short => short,
        };
        let on = if reference.is_empty() { "" } else { " on " };
        let reference = text::line(reference, 80);
        let (project, event) = (text::line(&self.project, 100), text::line(&self.event, 60));
        format!("{project}: {event}{on}{reference} {what}")
    }

    /// Why it failed, and what its script says.
    pub fn body(&self) -> String {
        let said = [&self.reason, &self.summary].into_iter().flatten();
        let said: Vec<String> = said.map(|said| text::lines(said, 10_000)).collect();
        said.join("\n").trim().to_owned()
    }

    /// What people want to know of it.
    pub fn values(&self) -> Vec<Field> {
        let jobs = |phase: &str| {
            let named: Vec<String> = self
                .jobs
                .iter()
                .filter(|job| job.phase == phase)
                .map(|job| match job.reason.as_deref() {
                    Some(reason) if !reason.is_empty() => {
                        format!("{}: {}", text::line(&job.name, 60), text::line(reason, 150))
                    }
                    _ => text::line(&job.name, 60),
                })
                .collect();
            let rest = named.len().saturating_sub(NAMED);
            let mut lines = named[..named.len() - rest].join("\n");
            if rest > 0 {
                lines += &format!("\nand {rest} more");
            }
            lines
        };
        let duration = match (self.started, self.finished) {
            (Some(started), Some(finished)) => span(started, finished),
            _ => String::new(),
        };
        let all = [
            ("Failed jobs", jobs("Failed")),
            ("Change", text::line(&self.title, 300)),
            ("Commit", text::line(self.short_commit(), 40)),
            ("Duration", duration),
            ("Build", text::line(&self.build, 60)),
        ];
        let told = all.into_iter().filter(|(_, value)| !value.is_empty());
        told.map(|(name, value)| Field { name: name.to_owned(), value }).collect()
    }

    /// The beginning of its commit's id.
    fn short_commit(&self) -> &str {
        self.commit.get(..self.commit.len().min(7)).unwrap_or_default()
    }
}

/// How long something took: `1h 2m 3s`.
pub fn span(started: Timestamp, finished: Timestamp) -> String {
    let took = finished.duration_since(started).max(SignedDuration::ZERO);
    let seconds = took.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m {seconds}s"),
        _ => format!("{hours}h {minutes}m {seconds}s"),
    }
}

/// What can be read of a log.
fn log(log: &str) -> String {
    text::clean(log, true).trim_matches('\n').trim_end().to_owned()
}
