//! Who a project wants to be told of its builds, without a line of script for it.
//!
//! Brigade has no key for this: it is the list `notifiers` of a values file, and the key `notifiers`
//! of the project's Secret, as JSON. In a values file, what is not understood is an error. In a Secret
//! it is not: a project is built whoever can be told of that, and what is wrong with a notifier is
//! said where it would have been told.
//!
//! ```yaml
//! notifiers:
//!   - kind: slack                       # slack, teams, github, webhook or email
//!     name: releases                    # default: the kind
//!     on: [failed, recovered]           # started, succeeded, failed, recovered, cancelled
//!     events: [push, "pull_request:*"]  # default: all
//!     refs: [main, "v*"]                # default: all
//!     title: "{{ project }}: {{ phase }}"
//!     message: "{{ reason | all is well }}"
//!     settings:                         # default: the project's secrets of these names
//!       SLACK_WEBHOOK: {secret: RELEASES_WEBHOOK}
//!       SLACK_USERNAME: Brigantine
//!     most: 10                          # messages in a window; those beyond are told together
//!     window: 60                        # seconds, at most 600
//!   - kind: webhook
//!     jobs: true                        # its jobs, too: webhooks only
//! ```
//!
//! A template is put together of what is told of the build, whose members are the data of its
//! CloudEvent: `build`, `project`, `repository`, `event`, `provider`, `commit`, `ref`, `title`,
//! `moment`, `phase`, `reason`, `summary`, `url`, `started`, `finished`, `jobs`, `log`.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::filters::Patterns;
use crate::build::Build;
use crate::template::Template;

#[cfg(test)]
mod tests;

/// How many notifiers a project may have.
const MOST: usize = 20;

/// How many patterns of events a notifier may have, and how long each may be, in bytes.
const EVENTS: (usize, usize) = (200, 500);

/// The longest window, in seconds.
const WINDOW: u32 = 600;

/// How many messages may be sent in a window: all who tell the notifier know their ids.
const SENT: u32 = 1000;

/// The notifiers of a project.
#[derive(Clone, Default)]
pub struct Notifiers {
    all: Vec<Notifier>,
    problems: Vec<NotifierError>,
    /// As they were read.
    json: String,
}

/// Shows what was understood: what was read may hold secrets.
impl fmt::Debug for Notifiers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Notifiers").field(&self.all).field(&self.problems).finish()
    }
}

/// One who is told.
#[derive(Clone, Debug)]
pub struct Notifier {
    /// Its name, which no other of the project has.
    pub name: String,
    /// What it is.
    pub kind: NotifierKind,
    /// What it is told of. By default everything, and of those that people read only what they
    /// would want to know: `failed`, `recovered` and `cancelled`.
    pub on: Vec<Moment>,
    /// The events whose builds it is told of: `*`, `<event>`, `<event>:<action>` or `<event>:*`.
    /// Empty: of all.
    pub events: Vec<String>,
    /// The branches, tags and other references whose builds it is told of, without `refs/heads/` and
    /// `refs/tags/`.
    pub references: Patterns,
    /// What the title says, if not what it says by itself.
    pub title: Option<Template>,
    /// What the message says, if not what it says by itself.
    pub message: Option<Template>,
    /// Whether it is told of the jobs of builds, too. Only programs are.
    pub jobs: bool,
    /// Its own settings, by their names.
    pub settings: BTreeMap<String, SecretString>,
    /// Which of the project's secrets a setting is, for those that are one.
    pub secrets: BTreeMap<String, String>,
    /// How many messages it takes in a window before they are told together.
    pub most: u32,
    /// How long a window is.
    pub window: Duration,
    /// Why it cannot be told anything: a secret is missing that a setting is.
    pub problem: Option<String>,
}

/// What a notifier is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum NotifierKind {
    Slack,
    Teams,
    Github,
    Webhook,
    Email,
}

/// What happened to a build.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Moment {
    /// Its script was started, and has a handler for its event.
    Started,
    /// It succeeded.
    Succeeded,
    /// It failed, or took too long.
    Failed,
    /// It succeeded, and the last build of the same event and reference had failed.
    Recovered,
    /// It was cancelled.
    Cancelled,
}

/// A notifier that is not understood.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the notifier {notifier} {problem}")]
pub struct NotifierError {
    notifier: String,
    problem: String,
}

impl NotifierKind {
    /// All of them.
    pub const ALL: [NotifierKind; 5] = [
        NotifierKind::Slack,
        NotifierKind::Teams,
        NotifierKind::Github,
        NotifierKind::Webhook,
        NotifierKind::Email,
    ];

    /// The kind of this name.
    pub fn parse(name: &str) -> Option<NotifierKind> {
        NotifierKind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            NotifierKind::Slack => "slack",
            NotifierKind::Teams => "teams",
            NotifierKind::Github => "github",
            NotifierKind::Webhook => "webhook",
            NotifierKind::Email => "email",
        }
    }

    /// Whether people read it, one message after the other, and too many would be as bad as none.
    pub fn is_read_by_people(self) -> bool {
        matches!(self, NotifierKind::Slack | NotifierKind::Teams | NotifierKind::Email)
    }
}

impl fmt::Display for NotifierKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl Moment {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Moment::Started => "started",
            Moment::Succeeded => "succeeded",
            Moment::Failed => "failed",
            Moment::Recovered => "recovered",
            Moment::Cancelled => "cancelled",
        }
    }
}

impl Notifiers {
    /// Reads the list in a Secret's key, as far as it is understood; `secrets` are the project's own.
    pub(super) fn parse(json: &str, secrets: &Map<String, Value>) -> Notifiers {
        if json.trim().is_empty() {
            return Notifiers::default();
        }
        let mut notifiers = Notifiers { json: json.to_owned(), ..Notifiers::default() };
        match serde_json::from_str(json) {
            Ok(value) => notifiers.add(&value, secrets),
            Err(error) => {
                let place = format!("line {}, column {}", error.line(), error.column());
                notifiers.problems.push(wrong("list", &format!("is not JSON ({place})")));
            }
        }
        notifiers
    }

    /// Reads the list, all of it.
    pub(super) fn read(
        value: &Value,
        secrets: &Map<String, Value>,
    ) -> Result<Notifiers, NotifierError> {
        let mut notifiers = Notifiers::default();
        notifiers.add(value, secrets);
        if !notifiers.all.is_empty() {
            notifiers.json = value.to_string();
        }
        notifiers.complete()
    }

    /// The list, if all of it is understood and there.
    pub(super) fn complete(self) -> Result<Notifiers, NotifierError> {
        if let Some(problem) = self.problems.first() {
            return Err(problem.clone());
        }
        for Notifier { name, problem, .. } in &self.all {
            if let Some(problem) = problem {
                return Err(wrong(&format!("{name:?}"), problem));
            }
        }
        Ok(self)
    }

    fn add(&mut self, value: &Value, secrets: &Map<String, Value>) {
        let items = match value {
            Value::Null => return,
            Value::Array(items) if items.len() <= MOST => items,
            Value::Array(_) => {
                return self
                    .problems
                    .push(wrong("list", &format!("has more than {MOST} notifiers")));
            }
            _ => return self.problems.push(wrong("list", "must be a list")),
        };
        let mut names = HashSet::new();
        for (index, item) in items.iter().enumerate() {
            let named = item["name"].as_str().or(item["kind"].as_str());
            let notifier = match named {
                Some(name) => format!("{name:?}"),
                None => format!("number {}", index + 1),
            };
            let read = read(item, secrets).and_then(|read| {
                let fresh = names.insert(read.name.clone());
                if fresh { Ok(read) } else { Err("is there twice: give it a name".to_owned()) }
            });
            match read {
                Ok(read) => self.all.push(read),
                Err(problem) => self.problems.push(wrong(&notifier, &problem)),
            }
        }
    }

    /// As a key of the project's Secret.
    pub(super) fn json(&self) -> &str {
        &self.json
    }

    /// All of them.
    pub fn all(&self) -> &[Notifier] {
        &self.all
    }

    /// The settings that are written out, by [`Notifier::written`].
    pub fn written(&self) -> impl Iterator<Item = (String, &SecretString)> {
        self.all.iter().flat_map(|notifier| {
            let settings = notifier.settings.iter();
            let settings = settings.filter(|(name, _)| !notifier.secrets.contains_key(*name));
            settings.map(|(name, value)| (notifier.written(name), value))
        })
    }

    /// Those that are told of a build, if something happens that they want to hear of. Of a build that
    /// only tells something itself, nobody is.
    pub fn caring(&self, build: &Build) -> impl Iterator<Item = &Notifier> {
        let names = build.fires();
        let reference = build.event.revision.reference.clone();
        let is_message = build.is_message();
        let all = self.all.iter().filter(move |_| !is_message);
        all.filter(move |notifier| notifier.cares(&names, &reference))
    }

    /// What is not understood of the list, each as a sentence without what the list says.
    pub fn problems(&self) -> &[NotifierError] {
        &self.problems
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

impl Notifier {
    /// The secret by which the script of a message knows a setting that is written out.
    pub fn written(&self, setting: &str) -> String {
        format!("notifiers/{}/{setting}", self.name)
    }

    /// Whether it is told of builds that fire these names, about this reference.
    fn cares(&self, names: &[String], reference: &str) -> bool {
        let fits = |pattern: &String| match pattern.strip_suffix('*') {
            Some("") => true,
            // Of every action, and of an event that has none.
            Some(start) => names.iter().any(|name| {
                name.starts_with(start) || start.strip_suffix(':') == Some(name.as_str())
            }),
            None => names.contains(pattern),
        };
        let heard = self.events.is_empty() || self.events.iter().any(fits);
        let about = self.references.is_empty()
            || !reference.is_empty() && self.references.take(short(reference));
        !self.on.is_empty() && heard && about
    }
}

fn wrong(notifier: &str, problem: &str) -> NotifierError {
    NotifierError { notifier: notifier.to_owned(), problem: problem.to_owned() }
}

/// A branch or a tag, by its name alone.
fn short(reference: &str) -> &str {
    let of = |kind: &str| reference.strip_prefix(kind);
    of("refs/heads/").or_else(|| of("refs/tags/")).unwrap_or(reference)
}

/// A notifier as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    kind: NotifierKind,
    name: Option<String>,
    on: Option<Vec<Moment>>,
    #[serde(default)]
    events: Vec<String>,
    #[serde(default)]
    refs: Vec<String>,
    title: Option<String>,
    message: Option<String>,
    #[serde(default)]
    settings: BTreeMap<String, Value>,
    #[serde(default)]
    jobs: bool,
    most: Option<u32>,
    window: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FromSecret {
    secret: String,
}

fn read(value: &Value, secrets: &Map<String, Value>) -> Result<Notifier, String> {
    let Value::Object(members) = value else {
        return Err("is no mapping: give it a kind".to_owned());
    };
    // An error of the reader's would show what is there instead, which may be a secret.
    if members.get("settings").is_some_and(|settings| !settings.is_object()) {
        return Err("has settings that are no mapping of names to values".to_owned());
    }
    let written = Written::deserialize(value).map_err(|error| format!("is wrong: {error}"))?;
    let kind = written.kind;
    let name = written.name.unwrap_or_else(|| kind.name().to_owned());
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 40 || !name.chars().all(fits) {
        return Err("has a name that is not 1 to 40 small letters, digits and hyphens".to_owned());
    }
    if written.jobs && kind != NotifierKind::Webhook {
        return Err("has the key jobs, which only webhooks have".to_owned());
    }
    let (most, longest) = EVENTS;
    if written.events.len() > most || written.events.iter().any(|event| event.len() > longest) {
        return Err(format!("events: there are more than {most}, or one has over {longest} bytes"));
    }
    let starred = |event: &&String| match event.find('*') {
        None => event.trim().is_empty(),
        Some(at) => at + 1 < event.len() || at > 0 && !event[..at].ends_with(':'),
    };
    if let Some(event) = written.events.iter().find(starred) {
        let way_out = "write *, <event>, <event>:<action> or <event>:*";
        return Err(format!("events: {event:?} is no name of an event; {way_out}"));
    }
    let window = written.window.unwrap_or(60);
    let most = written.most.unwrap_or(10);
    if !(1..=WINDOW).contains(&window) || !(1..=SENT).contains(&most) {
        return Err(format!("may have a window of 1 to {WINDOW} seconds, and 1 to {SENT} as most"));
    }
    let references = written.refs.iter().map(|pattern| match pattern.strip_prefix('!') {
        Some(pattern) => format!("!{}", short(pattern)),
        None => short(pattern).to_owned(),
    });
    let references = Patterns::new(references.collect());
    let on = written.on.unwrap_or_else(|| match kind {
        NotifierKind::Slack | NotifierKind::Teams | NotifierKind::Email => {
            vec![Moment::Failed, Moment::Recovered, Moment::Cancelled]
        }
        NotifierKind::Github | NotifierKind::Webhook => vec![
            Moment::Started,
            Moment::Succeeded,
            Moment::Failed,
            Moment::Recovered,
            Moment::Cancelled,
        ],
    });
    let template = |what: &str, text: Option<String>| {
        let template = text.map(|text| Template::parse(&text)).transpose();
        template.map_err(|error| format!("has a {what} that is no template: {error}"))
    };
    let mut named = BTreeMap::new();
    let mut missing = None;
    let settings = written.settings.into_iter().map(|(key, value)| {
        let setting = match &value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(truth) => truth.to_string(),
            _ => {
                let from = Some(&value).filter(|value| value.is_object());
                let from = from.and_then(|value| FromSecret::deserialize(value).ok());
                let from = from.ok_or_else(|| {
                    format!("has a setting {key} that is neither a text nor {{secret: NAME}}")
                })?;
                let secret = match secrets.get(&from.secret) {
                    Some(Value::String(text)) => text.clone(),
                    Some(Value::Number(number)) => number.to_string(),
                    _ => {
                        let problem =
                            format!("wants the secret {:?}, which there is not", from.secret);
                        missing = Some(problem);
                        String::new()
                    }
                };
                named.insert(key.clone(), from.secret);
                secret
            }
        };
        Ok((key, SecretString::from(setting)))
    });
    let settings = settings.collect::<Result<_, String>>()?;
    Ok(Notifier {
        name,
        kind,
        on,
        events: written.events,
        references: references.map_err(|problem| format!("refs: the list {problem}"))?,
        jobs: written.jobs,
        title: template("title", written.title)?,
        message: template("message", written.message)?,
        settings,
        secrets: named,
        most,
        window: Duration::from_secs(window.into()),
        problem: missing,
    })
}
