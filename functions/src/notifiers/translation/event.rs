//! What a CloudEvent tells: of a build of ours (`dev.brigantine.build.<moment>`), of a pipeline or a
//! task of somebody else's (CDEvents), of a registry, or of anything else.
//!
//! <https://github.com/cloudevents/spec/blob/main/cloudevents/spec.md>,
//! <https://learn.microsoft.com/azure/event-grid/event-schema>,
//! <https://cdevents.dev/docs/core/>

use notify::{BuildReport, Notification, Tone};
use runtime::event::Identity;
use runtime::project::Moment;
use serde::Deserialize;
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
        None => of_build(event, value)
            .or_else(|| of_notification(event, value))
            .or_else(|| of_cdevent(event, value))
            .unwrap_or_else(|| Said { notification: any(event, value), ..Said::default() }),
    };
    said.notification.time = event.time.or(said.notification.time);
    if let Identity::Content(content) = cloudevent::identity(&event.source, &event.id) {
        said.key = Key::Content(format!("event {}", String::from_utf8_lossy(&content)));
    }
    Ok(said)
}

/// A build of ours, here or in another cluster. What is said of it is said where it is told.
fn of_build(event: &CloudEvent, value: &Value) -> Option<Said> {
    event.kind.strip_prefix("dev.brigantine.build.")?;
    build(&value["data"])
}

/// What a build's report tells, if it is one.
pub(super) fn build(data: &Value) -> Option<Said> {
    let build = BuildReport::deserialize(data).ok()?;
    let tone = match build.moment {
        Moment::Started => Tone::Running,
        Moment::Succeeded | Moment::Recovered => Tone::Good,
        Moment::Failed => Tone::Bad,
        Moment::Cancelled => Tone::Warning,
    };
    let notification = Notification {
        tone,
        url: build.url.as_deref().and_then(fit::link),
        time: build.finished.or(build.started),
        build: Some(Box::new(build)),
        ..Notification::default()
    };
    Some(Said { notification, value: data.clone(), ..Said::default() })
}

/// What a notifier of ours told a program, because it was made of no event.
fn of_notification(event: &CloudEvent, value: &Value) -> Option<Said> {
    let data = &value["data"];
    if event.kind != "dev.brigantine.notification" || !data.is_object() {
        return None;
    }
    let notification = Notification::deserialize(data).ok()?;
    let notification = Notification { event: None, ..notification };
    Some(Said { notification, value: data.clone(), ..Said::default() })
}

/// A run of a pipeline or of a task: `dev.cdevents.pipelinerun.finished.0.2.0`.
fn of_cdevent(event: &CloudEvent, value: &Value) -> Option<Said> {
    let mut words = event.kind.strip_prefix("dev.cdevents.")?.split('.');
    let (what, moment) = (words.next()?, words.next()?);
    let what = match what {
        "pipelinerun" => "pipeline",
        "taskrun" => "task",
        _ => return None,
    };
    let subject = &value["data"]["subject"];
    let content = &subject["content"];
    let name = at(content, &["/pipelineName", "/taskName"]).or_else(|| text(&subject["id"]))?;
    let outcome = text(&content["outcome"]);
    let (has, tone) = match (moment, outcome.as_deref()) {
        ("queued", _) => ("is queued", Tone::Neutral),
        ("started", _) => ("has started", Tone::Running),
        ("finished", Some("success")) => ("has succeeded", Tone::Good),
        ("finished", Some("failure" | "error")) => ("has failed", Tone::Bad),
        ("finished", Some("cancel")) => ("was cancelled", Tone::Warning),
        ("finished", _) => ("has finished", Tone::Neutral),
        _ => return None,
    };
    let fields = [
        ("Run", text(&subject["id"])),
        ("Pipeline run", text(&content["pipelineRun"]["id"])),
        ("Source", at(subject, &["/source"]).or_else(|| Some(event.source.as_str().into()))),
    ];
    let fields = fields.into_iter().filter_map(|(name, value)| Some(field(name, &value?)));
    let notification = Notification {
        title: format!("{what} {name} {has}"),
        message: at(content, &["/errors"]).unwrap_or_default().into_owned(),
        tone,
        fields: fields.collect(),
        url: at(content, &["/uri", "/url"]).and_then(|url| fit::link(&url)),
        ..Notification::default()
    };
    Some(Said { notification, ..Said::default() })
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
    let members = members.filter_map(|(name, value)| Some(field(name, &scalar(value)?)));
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
