//! What is noted on a build of who was told what: the annotation `brigantine.dev/notified`.
//!
//! ```json
//! {"mail": {"lost": "started", "error": "the variable SMTP_URL is not set"},
//!  "checks": {"told": "started", "handle": {"id": 7}}, "slack": {"collected": "failed"}}
//! ```
//!
//! What went wrong comes first: `kubectl describe` shows the beginning only.

use std::collections::BTreeMap;

use runtime::build::annotation;
use runtime::project::Moment;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What is kept of an error, in characters.
const ERROR: usize = 300;

/// The largest handle that is noted, in bytes: all annotations of an object have 256 KiB. A sink
/// whose handle is not known finds what it has, or is told anew.
const HANDLE: usize = 32 << 10;

/// What was told to whom, by their names.
#[derive(Clone, Debug, Default)]
pub(super) struct Notes(BTreeMap<String, Noted>);

/// What was told to one.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub(super) struct Noted {
    /// The last that could not be told, and was given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<Moment>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// The last that was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    told: Option<Moment>,
    /// The last that is told with others, when their window ends, by the first of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    collected: Option<Moment>,
    /// How the build ended, of which there is nothing to tell this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    nothing: Option<Moment>,
    /// What names the message at its sink.
    #[serde(skip_serializing_if = "Option::is_none")]
    handle: Option<Value>,
}

impl Notes {
    pub(super) fn of(annotations: &BTreeMap<String, String>) -> Notes {
        let noted = annotations.get(annotation::NOTIFIED);
        // What somebody else has written there is nothing.
        Notes(noted.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default())
    }

    pub(super) fn get(&self, name: &str) -> Noted {
        self.0.get(name).cloned().unwrap_or_default()
    }

    pub(super) fn change(&mut self, name: &str, change: impl FnOnce(&mut Noted)) {
        change(self.0.entry(name.to_owned()).or_default());
    }

    pub(super) fn text(&self) -> String {
        let mut kept = self.0.clone();
        for noted in kept.values_mut() {
            noted.handle.take_if(|handle| handle.to_string().len() > HANDLE);
        }
        let (lost, told): (Vec<_>, Vec<_>) =
            kept.iter().partition(|(_, noted)| noted.error.is_some());
        let each = lost.into_iter().chain(told).map(|(name, noted)| {
            let noted = serde_json::to_string(noted).unwrap_or_default();
            format!("{}:{noted}", Value::from(name.as_str()))
        });
        format!("{{{}}}", each.collect::<Vec<_>>().join(","))
    }
}

impl Noted {
    /// Whether this need not be told any more: it was, or what comes after it.
    pub(super) fn is_past(&self, moment: Moment) -> bool {
        let past = |noted: Option<Moment>| {
            noted.is_some_and(|noted| noted != Moment::Started || moment == Moment::Started)
        };
        [self.told, self.lost, self.collected, self.nothing].into_iter().any(past)
    }

    pub(super) fn has_told(&self, moment: Moment) -> bool {
        self.told == Some(moment)
    }

    pub(super) fn handle(&self) -> Option<&Value> {
        self.handle.as_ref()
    }

    /// Something was told; a message without a handle of its own leaves the one before.
    pub(super) fn tell(&mut self, moment: Moment, handle: Option<Value>) {
        *self = Noted { told: Some(moment), handle: self.handle.take(), ..Noted::default() };
        self.keep(handle);
    }

    /// Something is told with others.
    pub(super) fn collect(&mut self, moment: Moment) {
        self.collected = Some(moment);
    }

    /// What is told with others, and may have been by now.
    pub(super) fn collected(&self) -> Option<Moment> {
        self.collected
    }

    /// Of this there is nothing to tell.
    pub(super) fn pass(&mut self, moment: Moment) {
        self.nothing = Some(moment);
    }

    pub(super) fn keep(&mut self, handle: Option<Value>) {
        self.handle = handle.or(self.handle.take());
    }

    /// Something else could not be told.
    pub(super) fn complain(&mut self, error: &str) {
        self.error = Some(error.chars().take(ERROR).collect());
    }

    /// Something could not be told.
    pub(super) fn give_up(&mut self, moment: Moment, error: &str) {
        self.lost = Some(moment);
        self.error = Some(error.chars().take(ERROR).collect());
    }
}

#[test]
fn what_was_told_is_past_and_what_comes_is_not() {
    let mut noted = Noted::default();
    assert!(!noted.is_past(Moment::Started) && !noted.is_past(Moment::Failed));
    noted.tell(Moment::Started, Some(Value::from(7)));
    assert!(noted.is_past(Moment::Started) && !noted.is_past(Moment::Failed));
    noted.give_up(Moment::Failed, &"ü".repeat(1000));
    assert!(noted.is_past(Moment::Failed) && noted.is_past(Moment::Cancelled));
    let mut notes = Notes::default();
    notes.change("slack", |each| *each = noted.clone());
    notes.change("a-checks", |each| each.tell(Moment::Failed, None));
    let text = notes.text();
    assert!(
        text.ends_with(r#","told":"started","handle":7},"a-checks":{"told":"failed"}}"#),
        "{text}"
    );
    let read = Notes::of(&[(annotation::NOTIFIED.to_owned(), text.clone())].into());
    assert_eq!(read.get("slack"), noted);
    assert_eq!(read.get("other"), Noted::default());
    assert!(text.starts_with(r#"{"slack":{"lost":"failed","error":"üü"#), "{text}");
}

#[test]
fn what_others_write_is_nothing() {
    for text in ["", "nobody", "[]", r#"{"slack": 7}"#, r#"{"slack": {"told": "tomorrow"}}"#] {
        let notes = Notes::of(&[(annotation::NOTIFIED.to_owned(), text.to_owned())].into());
        assert_eq!(notes.get("slack"), Noted::default(), "{text}");
    }
}

#[test]
fn a_handle_that_is_too_large_is_known_and_not_noted() {
    let mut notes = Notes::default();
    let handle = Value::from("x".repeat(HANDLE));
    notes.change("checks", |noted| noted.tell(Moment::Started, Some(handle.clone())));
    assert_eq!(notes.get("checks").handle(), Some(&handle));
    assert_eq!(notes.text(), r#"{"checks":{"told":"started"}}"#);
}
