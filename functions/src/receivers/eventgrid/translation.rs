//! What a delivery of Event Grid means: events, or a word about the subscription.

use jiff::Timestamp;
use runtime::event::{Event, Image, Revision};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::cloudevent::{self, CloudEvent};
use crate::lenient::{line, moment, object, text};
use crate::rejection::Rejection;
use crate::revision;

/// How many events a delivery has at most.
const MOST: usize = 5000;

/// The longest code of a validation, in bytes; it is a UUID.
const CODE: usize = 256;

/// The longest type of an event, in bytes.
const TYPE_LIMIT: usize = 1024;

/// The longest reference of an image, in bytes: one with a tag has far fewer.
const IMAGE_LIMIT: usize = 1024;

/// What the events of a subscription itself begin with.
const SYSTEM: &str = "Microsoft.EventGrid.Subscription";

/// What a delivery amounts to.
#[derive(Debug)]
pub(crate) enum Meaning {
    /// Events, or why what is in the place of one is none.
    Events(Vec<Result<Event, Rejection>>),
    Validation {
        code: String,
    },
    Ignored {
        reason: String,
    },
}

/// Translates a delivery: an array of events, or one event as CloudEvents are delivered.
pub(super) fn translate(body: &[u8]) -> Result<Meaning, Rejection> {
    let text = std::str::from_utf8(body).map_err(|_bytes| wrong("the body is not UTF-8"))?;
    let alone = [text.trim_ascii()];
    let members = match alone[0].starts_with('[') {
        true => cloudevent::members(body, MOST)?,
        false => alone.to_vec(),
    };
    if let [member] = members[..]
        && let Some(meaning) = of_the_subscription(member)?
    {
        return Ok(meaning);
    }
    // Among others it is passed over: whoever may publish could keep them from being built with it.
    let others = members.into_iter().filter(|json| matches!(of_the_subscription(json), Ok(None)));
    Ok(Meaning::Events(others.map(event).collect()))
}

/// What a member says of the subscription, if it is not about anything else.
pub(crate) fn of_the_subscription(json: &str) -> Result<Option<Meaning>, Rejection> {
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Data {
        #[serde(deserialize_with = "text")]
        validation_code: Option<String>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Said {
        #[serde(deserialize_with = "text")]
        event_type: Option<String>,
        #[serde(deserialize_with = "object")]
        data: Option<Data>,
    }
    // Data is only looked at where it is known.
    if !json.contains(SYSTEM) || !json.starts_with('{') {
        return Ok(None);
    }
    let Ok(said) = serde_json::from_str::<Said>(json) else { return Ok(None) };
    let kind = said.event_type.unwrap_or_default();
    if !kind.starts_with(SYSTEM) {
        return Ok(None);
    }
    if kind != "Microsoft.EventGrid.SubscriptionValidationEvent" {
        return Ok(Some(Meaning::Ignored {
            reason: format!("`{}` is not built", line(&kind, 80)),
        }));
    }
    let code = said.data.and_then(|data| data.validation_code).unwrap_or_default();
    let fits = |byte: u8| byte.is_ascii_graphic();
    if code.is_empty() || code.len() > CODE || !code.bytes().all(fits) {
        return Err(wrong("a validation has a code of 1 to 256 letters"));
    }
    Ok(Some(Meaning::Validation { code }))
}

/// Translates an event, in whatever schema it is.
fn event(json: &str) -> Result<Event, Rejection> {
    if !json.starts_with('{') {
        return Err(wrong("an event is a JSON object"));
    }
    let members: Members<'_> =
        serde_json::from_str(json).map_err(|_quoting| wrong("an event is not valid JSON"))?;
    // Azure's own samples have `specVersion`, which is wrong, and told so.
    if members.specversion.or(members.spec_version).is_some() {
        let read = CloudEvent::of_json(json.as_bytes())?;
        let (topic, data) = (read.source.clone(), read.data.clone());
        let mut event = read.event("cloudevents");
        if event.revision == Revision::default() {
            event.revision = revision::master();
        }
        let data = data.as_deref().and_then(|data| std::str::from_utf8(data).ok());
        return Ok(with_image(event, &topic, data));
    }
    members.event(json)
}

impl Members<'_> {
    /// Translates an event of Event Grid's own schema, or of the first CloudEvents, which was like it.
    fn event(self, json: &str) -> Result<Event, Rejection> {
        let first = self.cloud_events_version.is_some();
        if self.cloud_events_version.is_some_and(|version| version.get() != "\"0.1\"") {
            return Err(wrong("`cloudEventsVersion` must be 0.1"));
        }
        let (provider, revision, id, topic) = match first {
            true => ("cloudevents", revision::master(), self.event_id, self.source),
            false => {
                let head = Revision { commit: "HEAD".to_owned(), ..revision::master() };
                ("eventgrid", head, self.id, self.topic)
            }
        };
        let kind = self.event_type.unwrap_or_default();
        let (id, topic) = (id.unwrap_or_default(), topic.unwrap_or_default());
        if kind.is_empty() || id.is_empty() {
            return Err(wrong("an event has an id and a type"));
        }
        if kind.len() > TYPE_LIMIT || kind.chars().any(char::is_control) {
            return Err(wrong("the type of an event is a word"));
        }
        let subject = self.subject.filter(|subject| !subject.is_empty());
        let event = Event {
            revision,
            short_title: line(subject.as_ref().unwrap_or(&kind), 50),
            long_title: line(&format!("{kind}: {}", subject.as_ref().unwrap_or(&topic)), 200),
            time: self.event_time,
            // Ids are said to be unique, and are not in Azure's own samples.
            identity: cloudevent::identity(
                &format!("{topic} {}", subject.as_deref().unwrap_or_default()),
                &id,
            ),
            ..Event::new(provider, &kind, json.to_owned())
        };
        Ok(with_image(event, &topic, self.data.map(RawValue::get)))
    }
}

/// The event with the image that it is about, if it is a registry's, and with the name that such
/// events have from registries themselves.
fn with_image(event: Event, topic: &str, data: Option<&str>) -> Event {
    let alias = match event.kind.as_str() {
        "Microsoft.ContainerRegistry.ImagePushed" => "image_push",
        "Microsoft.ContainerRegistry.ImageDeleted" => "image_delete",
        "Microsoft.ContainerRegistry.ChartPushed" => "chart_push",
        "Microsoft.ContainerRegistry.ChartDeleted" => "chart_delete",
        _ => return event,
    };
    let said: Option<Registry> = data.and_then(|data| serde_json::from_str(data).ok());
    let said = said.unwrap_or_default();
    let some = |text: Option<String>| text.filter(|text| !text.is_empty());
    let host = some(said.request.and_then(|request| request.host));
    let target = said.target.unwrap_or_default();
    let image = some(target.repository).map(|repository| Image {
        registry: host.or_else(|| registry_of(topic)).unwrap_or_default(),
        repository,
        tag: some(target.tag),
        digest: some(target.digest),
    });
    // It becomes an annotation, and no image has a longer name.
    let image = image.filter(|image| image.reference().len() <= IMAGE_LIMIT);
    let long_title = image.as_ref().map(|image| line(&image.reference(), 200));
    Event {
        alias: Some(alias.to_owned()),
        long_title: long_title.unwrap_or(event.long_title),
        image,
        ..event
    }
}

/// The host of the registry that a topic names: `/subscriptions/.../registries/<name>`. Charts come
/// without it.
fn registry_of(topic: &str) -> Option<String> {
    let topic = topic.to_ascii_lowercase();
    let (_, name) = topic.rsplit_once("/registries/")?;
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_name.then(|| format!("{name}.azurecr.io"))
}

fn wrong(reason: impl Into<String>) -> Rejection {
    Rejection::malformed(reason)
}

/// The members of events of all schemas that matter here.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Members<'a> {
    #[serde(borrow)]
    cloud_events_version: Option<&'a RawValue>,
    #[serde(borrow)]
    spec_version: Option<&'a RawValue>,
    #[serde(borrow)]
    specversion: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(deserialize_with = "text")]
    id: Option<String>,
    #[serde(rename = "eventID", deserialize_with = "text")]
    event_id: Option<String>,
    #[serde(deserialize_with = "moment")]
    event_time: Option<Timestamp>,
    #[serde(deserialize_with = "text")]
    event_type: Option<String>,
    #[serde(deserialize_with = "text")]
    source: Option<String>,
    #[serde(deserialize_with = "text")]
    subject: Option<String>,
    #[serde(deserialize_with = "text")]
    topic: Option<String>,
}

/// What a registry says of what was done to it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Registry {
    #[serde(deserialize_with = "object")]
    request: Option<Sender>,
    #[serde(deserialize_with = "object")]
    target: Option<Target>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Sender {
    #[serde(deserialize_with = "text")]
    host: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Target {
    #[serde(deserialize_with = "text")]
    digest: Option<String>,
    #[serde(deserialize_with = "text")]
    repository: Option<String>,
    #[serde(deserialize_with = "text")]
    tag: Option<String>,
}
