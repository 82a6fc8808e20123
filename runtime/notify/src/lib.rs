#![doc = include_str!("../README.md")]

use runtime::project::NotifierKind;
use serde_json::Value;

pub mod notification;
pub mod outbox;
pub mod reporter;
pub mod text;
pub mod variables;

mod email;
mod github;
mod options;
mod slack;
mod teams;
mod webhook;

#[cfg(test)]
mod sample;

pub use github::check_run;
pub use notification::{BuildReport, Field, JobReport, Notification, Tone};
pub use outbox::{Outbox, OutboxOptions};
pub use reporter::{ReportOptions, Reporter};
pub use slack::{CLASSIC_NAMES, tell_as_written};
pub use variables::Variables;

/// What came of telling somebody.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    /// What names the message at its sink, for those that change it or belong to it: what is given
    /// back as `before`.
    pub handle: Option<Value>,
    /// What was done, in a line for the log. No secret is in it.
    pub said: String,
}

/// Why somebody was not told.
#[derive(Debug, thiserror::Error)]
pub enum TellError {
    /// A variable is missing, or is none that the sink can use.
    #[error("the variable {name} {problem}")]
    Variable {
        /// Its name.
        name: &'static str,
        /// What is wrong with it; never its value.
        problem: String,
    },
    /// It is nothing that this kind of sink can be told.
    #[error("{sink} cannot be told that: {problem}")]
    Unfit {
        /// Who.
        sink: String,
        /// What is missing.
        problem: String,
    },
    /// The notifier is set wrongly.
    #[error("it {0}")]
    Misset(String),
    /// The sink said no, and would say so again.
    #[error("{sink} refused the message: {words}{way_out}")]
    Refused {
        /// Who.
        sink: String,
        /// Its status and its words, cut and without control characters.
        words: String,
        /// What to do about it, after `; `, or nothing.
        way_out: String,
    },
    /// The sink did not answer as it should, until there was no time left for another attempt.
    #[error("{sink} did not take the message in {attempts} attempts: {words}")]
    Away {
        /// Who.
        sink: String,
        /// How often it was asked.
        attempts: u32,
        /// What happened at last.
        words: String,
    },
    /// Some of it was told, and the rest was not.
    #[error("{error}")]
    Partly {
        /// What names that at its sink.
        handle: Value,
        /// Why the rest was not.
        error: Box<TellError>,
    },
    /// The address is none that messages may go to.
    #[error("{sink} may not be told: {problem}")]
    Forbidden {
        /// Who.
        sink: String,
        /// Which rule it broke.
        problem: String,
    },
}

impl TellError {
    /// What names what was told all the same, if something was.
    pub fn into_handle(self) -> Option<Value> {
        match self {
            TellError::Partly { handle, .. } => Some(handle),
            _ => None,
        }
    }
}

/// Tells somebody something.
///
/// `before` is the handle of what was told there of the same build before, if something was: a sink
/// that can changes that message, or puts the new one into its thread.
pub async fn tell(
    kind: NotifierKind,
    variables: &Variables,
    notification: &Notification,
    before: Option<&Value>,
    outbox: &Outbox,
) -> Result<Told, TellError> {
    complete(kind, variables)?;
    let told = match kind {
        NotifierKind::Slack => slack::tell(variables, notification, before, outbox).await,
        NotifierKind::Teams => teams::tell(variables, notification, outbox).await,
        NotifierKind::Github => github::tell(variables, notification, before, outbox).await,
        NotifierKind::Webhook => webhook::tell(variables, notification, outbox).await,
        NotifierKind::Email => email::tell(variables, notification, before, outbox).await,
    };
    told.map_err(|error| match (error, address(kind)) {
        (TellError::Forbidden { sink, problem }, name) if variables.get(name).is_some() => {
            TellError::Forbidden { sink, problem: format!("{problem} (see the variable {name})") }
        }
        (error, _) => error,
    })
}

/// Says all that a notifier cannot do without and does not have. GitHub's may have the operator's
/// App, and says so itself.
fn complete(kind: NotifierKind, variables: &Variables) -> Result<(), TellError> {
    let is_set = |name: &&str| variables.get(name).is_some();
    let mut missing = required(kind).iter().filter(|names| !names.iter().any(is_set));
    let Some([name, others @ ..]) = missing.next().filter(|_| kind != NotifierKind::Github) else {
        return Ok(());
    };
    let mut problem = "is not set".to_owned();
    for other in others {
        problem += &format!(", nor is {other} in its place");
    }
    for names in missing {
        problem += &format!("; {} is not set either, and needed, too", names.join(" or "));
    }
    Err(TellError::Variable { name, problem })
}

/// The variable that has the address of a notifier of this kind.
fn address(kind: NotifierKind) -> &'static str {
    match kind {
        NotifierKind::Slack => "SLACK_WEBHOOK",
        NotifierKind::Teams => "TEAMS_WEBHOOK",
        NotifierKind::Github => "GITHUB_BASE_URL",
        NotifierKind::Webhook => "WEBHOOK_URL",
        NotifierKind::Email => "SMTP_URL",
    }
}

/// The variables that a notifier of this kind reads, those that it cannot do without first.
pub fn names(kind: NotifierKind) -> &'static [&'static str] {
    match kind {
        NotifierKind::Slack => slack::NAMES,
        NotifierKind::Teams => teams::NAMES,
        NotifierKind::Github => github::NAMES,
        NotifierKind::Webhook => webhook::NAMES,
        NotifierKind::Email => email::NAMES,
    }
}

/// What a notifier of this kind cannot do without: of each of these lists, one variable.
pub fn required(kind: NotifierKind) -> &'static [&'static [&'static str]] {
    match kind {
        NotifierKind::Slack => &[&["SLACK_WEBHOOK", "SLACK_BOT_TOKEN"]],
        NotifierKind::Teams => &[&["TEAMS_WEBHOOK"]],
        NotifierKind::Github => &[&["GITHUB_TOKEN", "GITHUB_APP_TOKEN", "APP_ID"]],
        NotifierKind::Webhook => &[&["WEBHOOK_URL"]],
        NotifierKind::Email => &[&["SMTP_URL"], &["EMAIL_FROM"], &["EMAIL_TO"]],
    }
}

#[test]
fn what_is_required_is_read() {
    for kind in NotifierKind::ALL {
        for name in required(kind).iter().copied().flatten() {
            assert!(names(kind).contains(name), "{kind} {name}");
        }
    }
}
