//! What somebody is told, whoever it is.
//!
//! A notifier's pod is given it as JSON in the variable `NOTIFICATION`; a worker makes it of its
//! build. All of it may have been written by strangers: what is special in a sink's own language is
//! neutralised where it is written in that.

use jiff::Timestamp;
use runtime::project::Moment;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub mod words;

/// What somebody is told.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Notification {
    /// The same whenever the same is told again.
    pub id: String,
    /// A line.
    pub title: String,
    /// Some lines: plain text.
    pub message: String,
    /// How it is meant.
    pub tone: Tone,
    /// The colour of its bar, `#rrggbb` or a sink's own word, if not that of its tone.
    pub color: Option<String>,
    /// Named values, in order.
    pub fields: Vec<Field>,
    /// Where there is more of it.
    pub url: Option<String>,
    /// The build that it is about.
    pub build: Option<Box<BuildReport>>,
    /// The CloudEvent that it was made of, structured, which programs are given as it is.
    pub event: Option<Value>,
    /// When it happened.
    pub time: Option<Timestamp>,
}

/// A named value.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Field {
    /// What it is.
    #[serde(alias = "title")]
    pub name: String,
    /// The value.
    pub value: String,
}

/// How something is meant.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tone {
    /// Just so.
    #[default]
    Neutral,
    /// Something has begun, and will end.
    Running,
    /// All is well.
    Good,
    /// It may go wrong.
    Warning,
    /// It went wrong.
    Bad,
}

/// How a build stands: the data of the CloudEvents `dev.brigantine.build.<moment>`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildReport {
    /// The id of the build.
    pub build: String,
    /// The project's name.
    pub project: String,
    /// The repository: `org/name` on GitHub, with its host before that on another.
    #[serde(default)]
    pub repository: String,
    /// The type of its event, with its action: `pull_request:opened`.
    pub event: String,
    /// Who sent it: `github`.
    pub provider: String,
    /// The commit, if there is one.
    #[serde(default)]
    pub commit: String,
    /// The reference, if there is one.
    #[serde(default, rename = "ref")]
    pub reference: String,
    /// The event's title.
    #[serde(default)]
    pub title: String,
    /// What happened.
    pub moment: Moment,
    /// `Running`, `Succeeded`, `Failed`, `Cancelled`, `TimedOut`.
    pub phase: String,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the script says of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// Where people see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// When it was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<Timestamp>,
    /// Its jobs, in the order in which they were run.
    #[serde(default)]
    pub jobs: Vec<JobReport>,
    /// The end of what its script printed, without secrets.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub log: String,
}

/// How a job stands.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct JobReport {
    /// Its name.
    pub name: String,
    /// Its pod.
    pub pod: String,
    /// `Pending`, `Running`, `Succeeded`, `Failed`, or `Cancelled` when its build ended before it.
    pub phase: String,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When its pod was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished: Option<Timestamp>,
    /// The end of its log, if it failed, without secrets.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub log: String,
}

impl Tone {
    /// The colour of its bar, `#rrggbb`.
    pub fn color(self) -> &'static str {
        match self {
            Tone::Neutral => "#6e7781",
            Tone::Running => "#0969da",
            Tone::Good => "#1a7f37",
            Tone::Warning => "#bf8700",
            Tone::Bad => "#cf222e",
        }
    }
}
