//! What a sender said: the one thing that a receiver makes and that a build is made from.

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One event, proved and translated, not yet a build.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Who sent it: `github`, `acr`, `dockerhub`, `brigade-cli`, ...
    pub provider: String,
    /// The event type that handlers are registered for: `push`, `image_push`, ...
    pub kind: String,
    /// What happened to the subject; handlers of `<kind>:<action>` hear it too, after `<kind>`.
    pub action: Option<String>,
    /// What others call the same event; handlers of that name hear it after all others.
    pub alias: Option<String>,
    /// The revision of the repository that the event is about.
    pub revision: Revision,
    /// Where to clone from, if not from the project's own URL.
    pub clone_url: Option<String>,
    /// A title of a few words, for lists.
    pub short_title: String,
    /// A title of a sentence, for pages.
    pub long_title: String,
    /// The body as the sender sent it, byte for byte.
    pub payload: Bytes,
    /// When it happened, by the sender's word.
    pub time: Option<Timestamp>,
    /// What makes it this event and no other.
    pub identity: Identity,
    /// The image that a registry's event is about.
    pub image: Option<Image>,
    /// A script that comes with the event and is used instead of the repository's.
    pub script: Option<String>,
    /// A `brigade.json` that comes with the event.
    pub config: Option<String>,
    /// The least level that the worker logs.
    pub log_level: LogLevel,
}

/// A revision of a repository; either member may be empty, as in Brigade.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Revision {
    /// The full commit id.
    pub commit: String,
    /// The reference: `refs/heads/main`, `refs/pull/1/head`, `v1.0`.
    #[serde(rename = "ref")]
    pub reference: String,
}

/// What tells one event from another, so that a delivery made twice is one build.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Identity {
    /// The bytes that are the same whenever this event is delivered again, such as a signed body.
    Content(Bytes),
    /// Every delivery is an event of its own.
    Fresh,
}

/// An image in a registry.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Image {
    /// The registry's host, with its port if it has one: `example.azurecr.io`.
    pub registry: String,
    /// The repository in that registry: `team/app`.
    pub repository: String,
    /// The tag, if the push had one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The digest, if the sender named one: `sha256:...`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// The worker's log levels, by the names and numbers of Brigade.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
#[expect(missing_docs, reason = "the names are Brigade's")]
pub enum LogLevel {
    All = 0,
    #[default]
    Log = 1,
    Info = 2,
    Warn = 3,
    Error = 4,
    None = 5,
}

impl Event {
    /// An event with nothing but its provider, kind and payload.
    pub fn new(provider: &str, kind: &str, payload: impl Into<Bytes>) -> Event {
        Event {
            provider: provider.to_owned(),
            kind: kind.to_owned(),
            action: None,
            alias: None,
            revision: Revision::default(),
            clone_url: None,
            short_title: String::new(),
            long_title: String::new(),
            payload: payload.into(),
            time: None,
            identity: Identity::Fresh,
            image: None,
            script: None,
            config: None,
            log_level: LogLevel::default(),
        }
    }
}

impl Image {
    /// The image's reference, by tag if it has one, else by digest: `host/team/app:1.0`. A registry
    /// that the sender did not name is left out.
    pub fn reference(&self) -> String {
        let name = match self.registry.as_str() {
            "" => self.repository.clone(),
            registry => format!("{registry}/{}", self.repository),
        };
        match (&self.tag, &self.digest) {
            (Some(tag), _) => format!("{name}:{tag}"),
            (None, Some(digest)) => format!("{name}@{digest}"),
            (None, None) => name,
        }
    }
}

impl LogLevel {
    /// Reads a level by its name, in any case; an empty name is `LOG`, another is none that exists.
    pub fn parse(name: &str) -> Option<LogLevel> {
        Some(match name.to_ascii_uppercase().as_str() {
            "ALL" => LogLevel::All,
            "" | "LOG" => LogLevel::Log,
            "INFO" => LogLevel::Info,
            "WARN" => LogLevel::Warn,
            "ERROR" => LogLevel::Error,
            "NONE" => LogLevel::None,
            _ => return None,
        })
    }

    /// The level's name, as Brigade writes it.
    pub fn name(self) -> &'static str {
        match self {
            LogLevel::All => "ALL",
            LogLevel::Log => "LOG",
            LogLevel::Info => "INFO",
            LogLevel::Warn => "WARN",
            LogLevel::Error => "ERROR",
            LogLevel::None => "NONE",
        }
    }
}

#[test]
fn an_image_is_named_by_its_tag_before_its_digest() {
    let mut image = Image {
        registry: "example.azurecr.io".into(),
        repository: "team/app".into(),
        tag: Some("1.0".into()),
        digest: Some("sha256:00".into()),
    };
    assert_eq!(image.reference(), "example.azurecr.io/team/app:1.0");
    image.tag = None;
    assert_eq!(image.reference(), "example.azurecr.io/team/app@sha256:00");
}

#[test]
fn an_image_of_an_unknown_registry_is_named_without_it() {
    let image = Image { repository: "app".into(), tag: Some("1.0".into()), ..Image::default() };
    assert_eq!(image.reference(), "app:1.0");
}

#[test]
fn an_empty_log_level_is_log() {
    assert_eq!(LogLevel::parse(""), Some(LogLevel::Log));
    assert_eq!(LogLevel::parse("Warn"), Some(LogLevel::Warn));
    assert_eq!(LogLevel::parse("loud"), None);
}
