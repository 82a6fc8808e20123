//! What a CloudEvent tells: of a build, of a registry, or of anything else.
//!
//! <https://github.com/cloudevents/spec/blob/main/cloudevents/spec.md>,
//! <https://learn.microsoft.com/azure/event-grid/event-schema>

use notify::Notification;
use runtime::event::Identity;
use serde_json::{Map, Value, json};

use super::{Key, Said, at, field, registry, scalar, text};
use crate::cloudevent::{self, CloudEvent};
use crate::notifiers::fit;
use crate::rejection::Rejection;

/// What an event tells; or why nobody is to be told.
pub(super) fn read(event: &CloudEvent, value: &Value) -> Result<Said, String> {
    let said = if event.kind.starts_with("harbor.") {
        registry::read(value, &event.json)
    } else if event.kind.starts_with("Microsoft.ContainerRegistry.") {
        registry::read(&value["data"], &event.json)
    } else {
        None
    };
    let mut said = match said {
        Some(said) => said?,
        None => Said { notification: any(event, value), ..Said::default() },
    };
    said.notification.time = event.time.or(said.notification.time);
    if let Identity::Content(content) = cloudevent::identity(&event.source, &event.id) {
        said.key = Key::Content(format!("event {}", String::from_utf8_lossy(&content)));
    }
    Ok(said)
}

/// An event of which we know nothing: its type and its subject, and the members of its data.
fn any(event: &CloudEvent, value: &Value) -> Notification {
    let data = &value["data"];
    let own = [("Source", Some(event.source.as_str())), ("Subject", event.subject.as_deref())];
    let own = own.into_iter().filter_map(|(name, value)| Some(field(name, value?)));
    let members = data.as_object().into_iter().flatten();
    let said = ["message", "summary", "description", "text"];
    let message = said.iter().find_map(|name| text(&data[*name]));
    let found = said.iter().find(|name| text(&data[**name]).is_some());
    let members = members.filter(|(name, _)| Some(&name.as_str()) != found && *name != "url");
    let members = members.filter_map(|(name, value)| Some(field(name, &*scalar(value)?)));
    Notification {
        title: event.kind.clone(),
        message: message.or_else(|| scalar(data)).unwrap_or_default().into_owned(),
        fields: own.chain(members).collect(),
        url: at(data, &["/url", "/uri", "/html_url"]).and_then(|url| fit::link(&url)),
        ..Notification::default()
    }
}

/// The CloudEvent that an event in Event Grid's own schema is, if it is one in that.
pub(super) fn of_event_grid(value: &Value) -> Option<Result<CloudEvent, Rejection>> {
    let word = |name: &str| text(&value[name]).map(|text| text.into_owned());
    let (id, kind) = (word("id")?, word("eventType")?);
    if value.get("eventTime").is_none() && value.get("dataVersion").is_none() {
        return None;
    }
    let source: String = word("topic").unwrap_or_else(|| "/eventgrid".to_owned());
    // Ids are said to be unique, and are not in Azure's own samples.
    let subject = word("subject");
    let mut event = Map::from_iter([
        ("specversion".to_owned(), json!("1.0")),
        ("id".to_owned(), json!(format!("{} {id}", subject.as_deref().unwrap_or_default()))),
        ("source".to_owned(), json!(source)),
        ("type".to_owned(), json!(kind)),
        ("data".to_owned(), value["data"].clone()),
    ]);
    event.extend(subject.map(|subject| ("subject".to_owned(), json!(subject))));
    event.extend(word("eventTime").map(|time| ("time".to_owned(), json!(time))));
    Some(CloudEvent::of_json(Value::Object(event).to_string().as_bytes()))
}
