//! Reads CloudEvents 1.0 as they come over HTTP: structured, in a batch, or binary.
//!
//! Whatever the mode was, an event is one JSON text in the end, so that a script has one thing to
//! read: what came in JSON stays as it was, byte for byte, and what came in headers is written so.
//!
//! <https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/http-protocol-binding.md>,
//! <https://github.com/cloudevents/spec/blob/main/cloudevents/formats/json-format.md>

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use runtime::event::{Event, Identity, Revision};
use serde_json::value::RawValue;

use crate::lenient::line;
use crate::rejection::Rejection;
use crate::revision;

use self::attribute::{Attribute, Core, version};

mod attribute;
pub(crate) mod binary;
pub(crate) mod handshake;
pub(crate) mod reply;

#[cfg(test)]
mod tests;

/// One CloudEvent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CloudEvent {
    pub(crate) id: String,
    pub(crate) source: String,
    pub(crate) kind: String,
    pub(crate) subject: Option<String>,
    pub(crate) time: Option<Timestamp>,
    /// What its data, else its extensions, say of `ref` and `commit`.
    pub(crate) revision: Revision,
    /// Its data, where that is JSON.
    pub(crate) data: Option<Bytes>,
    /// The event in JSON.
    pub(crate) json: Bytes,
}

/// How the events of a request are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mode {
    Batch,
    Structured,
    Binary,
}

impl Mode {
    /// The mode that a media type, in lower case and without its parameters, tells. The type of
    /// batches begins with that of single events.
    pub(crate) fn of(media: Option<&str>) -> Result<Mode, Rejection> {
        match media.unwrap_or_default() {
            "application/cloudevents-batch+json" | "application/cloudevents-batch" => {
                Ok(Mode::Batch)
            }
            "application/cloudevents+json" | "application/cloudevents" => Ok(Mode::Structured),
            other if other.starts_with("application/cloudevents") => Err(Rejection::Unsupported {
                reason: "events are read in JSON: application/cloudevents+json, or \
                         application/cloudevents-batch+json for several",
            }),
            // Several types at once are none.
            "" if media.is_some() => {
                Err(Rejection::Unsupported { reason: "the Content-Type must be one media type" })
            }
            _ => Ok(Mode::Binary),
        }
    }
}

impl CloudEvent {
    /// Reads an event in JSON.
    pub(crate) fn of_json(json: &[u8]) -> Result<CloudEvent, Rejection> {
        let text = std::str::from_utf8(json).map_err(|_bytes| wrong("the body is not UTF-8"))?;
        let text = text.trim_ascii();
        if !text.starts_with('{') {
            return Err(wrong("an event is a JSON object"));
        }
        let members: BTreeMap<String, &RawValue> =
            serde_json::from_str(text).map_err(|_quoting| wrong("the event is not valid JSON"))?;
        if members.contains_key("cloudEventsVersion") {
            return Err(version(Some("0.1")));
        }
        let mut attributes = BTreeMap::new();
        for (name, value) in &members {
            if matches!(name.as_str(), "data" | "data_base64") {
                continue;
            }
            if let Some(value) = Attribute::of_json(name, value)? {
                attributes.insert(name.clone(), value);
            }
        }
        let core = Core::of(&attributes)?;
        let data = members.get("data").copied();
        let encoded = members.get("data_base64").filter(|value| value.get() != "null");
        let data = match (data, encoded) {
            (Some(_), Some(_)) => return Err(wrong("an event has `data` or `data_base64`")),
            (Some(data), None) => Some(Bytes::copy_from_slice(data.get().as_bytes())),
            (None, Some(encoded)) => Some(decode(encoded)?).filter(|_| core.data_is_json),
            (None, None) => None,
        };
        Ok(CloudEvent::new(core, data, Bytes::copy_from_slice(text.as_bytes())))
    }

    fn new(core: Core, data: Option<Bytes>, json: Bytes) -> CloudEvent {
        let said = data.as_deref().and_then(|data| std::str::from_utf8(data).ok());
        let said = said.map(revision::of_json).unwrap_or_default();
        let revision = if said == Revision::default() { core.revision } else { said };
        let Core { id, source, kind, subject, time, .. } = core;
        CloudEvent { id, source, kind, subject, time, revision, data, json }
    }

    /// What it is as an event of this provider. An event is the same if its source says that it is.
    pub(crate) fn event(self, provider: &str) -> Event {
        let about = self.subject.as_deref().unwrap_or(&self.source);
        Event {
            revision: self.revision,
            short_title: line(self.subject.as_deref().unwrap_or(&self.kind), 50),
            long_title: line(&format!("{}: {about}", self.kind), 200),
            time: self.time,
            identity: identity(&self.source, &self.id),
            ..Event::new(provider, &self.kind, self.json)
        }
    }
}

/// What makes an event that event: who says so, and the name that they gave it.
pub(crate) fn identity(source: &str, id: &str) -> Identity {
    Identity::Content(format!("{} {source}\n{id}", source.len()).into())
}

/// The members of a batch, each for itself; `most` are read.
pub(crate) fn members(json: &[u8], most: usize) -> Result<Vec<&str>, Rejection> {
    let is_array = json.trim_ascii_start().first() == Some(&b'[');
    let members: Option<Vec<&RawValue>> =
        is_array.then(|| serde_json::from_slice(json).ok()).flatten();
    let members = members.ok_or_else(|| wrong("a batch is a JSON array of events"))?;
    if members.len() > most {
        let reason = format!("a batch may have {most} events at most");
        return Err(Rejection::TooLarge { reason });
    }
    Ok(members.into_iter().map(RawValue::get).collect())
}

/// Refuses what is no CloudEvent.
pub(crate) fn wrong(reason: impl Into<String>) -> Rejection {
    Rejection::Malformed { status: "Malformed CloudEvent", reason: reason.into() }
}

fn decode(encoded: &RawValue) -> Result<Bytes, Rejection> {
    let not_base64 = || wrong("`data_base64` must be a text in base64");
    let text: String = serde_json::from_str(encoded.get()).map_err(|_other| not_base64())?;
    STANDARD.decode(text).map(Bytes::from).map_err(|_letter| not_base64())
}
