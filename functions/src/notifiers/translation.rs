//! What a body tells, whatever form it has.
//!
//! | form | is told by | what is told |
//! |---|---|---|
//! | CloudEvents 1.0, Event Grid | the `Content-Type`, headers `ce-`, or their members | `event` |
//! | alerts | `alerts` with `labels` | `alerts` |
//! | a registry's | as the function `registry` tells them | `registry` |
//! | a message, Slack's form too | `message`, `text`, `attachments` or `blocks` | `message` |
//! | any other object | | its members, or what the templates of the notifier make of them |

use std::borrow::Cow;

use axum::http::HeaderMap;
use bytes::Bytes;
use notify::{Field, Notification};
use runtime::event::Image;
use runtime::project::{Notifier, NotifierKind};
use serde_json::Value;

use crate::body::{self, form_payload, without_mark};
use crate::cloudevent::{self, CloudEvent, Mode, binary};
use crate::receivers::eventgrid::translation::{self as eventgrid, of_the_subscription};
use crate::rejection::Rejection;

use super::fit;

mod alerts;
mod event;
mod message;
mod registry;

#[cfg(test)]
mod tests;

/// How many things one delivery may tell.
const MOST: usize = 256;

/// The title of what has none.
const UNTITLED: &str = "Notification";

/// How a body is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Form {
    /// As a CloudEvent whose attributes are headers.
    Binary,
    /// As one CloudEvent.
    Structured,
    /// As several.
    Batch,
    /// As JSON.
    Json,
    /// As a form whose field `payload` is JSON.
    Payload,
}

/// What a delivery amounts to.
#[derive(Debug)]
pub(super) enum Meaning {
    /// What is told, at least one thing.
    Said(Vec<Result<Said, Rejection>>),
    /// Event Grid asks whether it may deliver.
    Validation {
        code: String,
    },
    Ignored {
        reason: String,
    },
}

/// One thing that is told.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    pub(super) notification: Notification,
    pub(super) key: Key,
    /// The image that it is about, if it is about one.
    pub(super) image: Option<Image>,
    /// What templates are rendered over.
    value: Value,
}

/// What tells it from everything else that is told.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) enum Key {
    /// It is the same whenever it is sent again.
    Content(String),
    /// It is the same if it is sent again soon.
    Recent(String),
    /// Nothing.
    #[default]
    None,
}

impl Form {
    /// The form that the headers tell.
    pub(super) fn of(headers: &HeaderMap) -> Result<Form, Rejection> {
        let media = body::media_type(headers);
        match media.as_deref() {
            Some(media) if media.starts_with("application/cloudevents") => {
                Ok(match Mode::of(Some(media))? {
                    Mode::Batch => Form::Batch,
                    Mode::Structured | Mode::Binary => Form::Structured,
                })
            }
            _ if headers.contains_key("ce-specversion") => Ok(Form::Binary),
            None | Some("application/json") => Ok(Form::Json),
            Some("application/x-www-form-urlencoded") => Ok(Form::Payload),
            Some(media) if media.starts_with("application/") && media.ends_with("+json") => {
                Ok(Form::Json)
            }
            Some(_) => Err(Rejection::Unsupported {
                reason: "the Content-Type must be application/json, that of CloudEvents, or that of \
                         a form with the field payload",
            }),
        }
    }
}

/// What a delivery tells to a notifier of this kind; the one that is `named` may have templates.
pub(super) fn translate(
    form: Form,
    headers: &HeaderMap,
    body: &Bytes,
    kind: NotifierKind,
    named: Option<&Notifier>,
) -> Result<Meaning, Rejection> {
    let events = match form {
        Form::Payload => return of_json(&form_payload(body)?, kind, named),
        Form::Json => return of_json(&without_mark(body.clone()), kind, named),
        Form::Binary => vec![binary::read(headers, body)?],
        Form::Structured => vec![CloudEvent::of_json(body)?],
        Form::Batch => {
            let members = cloudevent::members(body, MOST)?.into_iter();
            let events = members.map(|member| CloudEvent::of_json(member.as_bytes()));
            events.collect::<Result<Vec<CloudEvent>, Rejection>>()?
        }
    };
    let said = events.iter().map(|event| of_event(event, kind, named)).collect();
    all(said)
}

/// What JSON tells that does not say by its type what it is.
fn of_json(
    json: &[u8],
    kind: NotifierKind,
    named: Option<&Notifier>,
) -> Result<Meaning, Rejection> {
    let text = std::str::from_utf8(json);
    let text = text.map_err(|_bytes| Rejection::malformed("the body is not UTF-8 text"))?.trim();
    let members = match text.starts_with('[') {
        true => cloudevent::members(text.as_bytes(), MOST)?,
        false => vec![text],
    };
    if let [member] = members[..]
        && let Some(meaning) = of_the_subscription(member)?
    {
        return Ok(match meaning {
            eventgrid::Meaning::Validation { code } => Meaning::Validation { code },
            eventgrid::Meaning::Ignored { .. } | eventgrid::Meaning::Events(_) => {
                Meaning::Ignored { reason: "the event is about the subscription itself".to_owned() }
            }
        });
    }
    let mut said = Vec::new();
    for member in &members {
        said.push(of_object(member.as_bytes(), text.starts_with('['), kind, named));
    }
    all(said)
}

/// What one object tells; in a list there are only events.
fn of_object(
    json: &[u8],
    in_list: bool,
    kind: NotifierKind,
    named: Option<&Notifier>,
) -> Result<Meaning, Rejection> {
    let value: Value = body::json_object(json)?;
    if value["specversion"].is_string() && value["type"].is_string() {
        return of_event(&CloudEvent::of_json(json)?, kind, named);
    }
    if let Some(event) = event::of_event_grid(&value) {
        return of_event(&event?, kind, named);
    }
    if in_list {
        return Err(Rejection::malformed(
            "a list must be of CloudEvents or of Event Grid's events",
        ));
    }
    let said = match alerts::read(&value).or_else(|| registry::read(&value, json)) {
        Some(Ok(said)) => said,
        Some(Err(reason)) => return Ok(Meaning::Ignored { reason }),
        None if kind == NotifierKind::Github => {
            // It is told of builds and of nothing else.
            event::build(&value["build"]).or_else(|| event::build(&value)).unwrap_or_default()
        }
        None => match message::read(&value) {
            Some(notification) => Said { notification, ..Said::default() },
            None => Said { notification: listed(&value), ..Said::default() },
        },
    };
    finished(Said { value, ..said }, kind, named)
}

/// What an event tells. What is in it may be what a registry or another sender tells without one.
fn of_event(
    event: &CloudEvent,
    kind: NotifierKind,
    named: Option<&Notifier>,
) -> Result<Meaning, Rejection> {
    let value: Value = body::json(&event.json)?;
    let mut said = match event::read(event, &value) {
        Ok(said) => said,
        Err(reason) => return Ok(Meaning::Ignored { reason }),
    };
    if kind == NotifierKind::Webhook {
        // A program is given the event itself, or nothing: a part of it could mean something else.
        // Of a log it has the end in any case.
        let mut given = value.clone();
        if event.json.len() > fit::EVENT && !fit::event(&mut given) {
            let reason =
                format!("an event that a webhook is given may have {} bytes at most", fit::EVENT);
            return Err(Rejection::TooLarge { reason });
        }
        said.notification.event = Some(given);
    }
    if said.value.is_null() {
        said.value = value;
    }
    finished(said, kind, named)
}

/// What templates make of it; there must be something to tell.
fn finished(
    mut said: Said,
    kind: NotifierKind,
    named: Option<&Notifier>,
) -> Result<Meaning, Rejection> {
    let Said { notification, value, .. } = &mut said;
    if kind == NotifierKind::Github && notification.build.is_none() {
        return Err(Rejection::malformed(
            "GitHub is told of builds: send a CloudEvent dev.brigantine.build.<moment>, or its data",
        ));
    }
    let templates = named.map(|notifier| (&notifier.title, &notifier.message));
    if let Some((title, message)) = templates {
        for (template, text) in
            [(title, &mut notification.title), (message, &mut notification.message)]
        {
            let rendered = template.as_ref().map(|template| template.render(value));
            if let Some(rendered) = rendered.filter(|rendered| !rendered.trim().is_empty()) {
                *text = rendered;
            }
        }
        if message.is_some() {
            // The template says all that is to be said of it.
            notification.fields.clear();
        }
    }
    // Before several of these are in memory at once.
    fit::json(notification);
    if is_empty(notification) {
        return Err(Rejection::malformed(
            "there is nothing in it to tell: give a `message`, or a template in a notifier of the \
             project, and its name as ?notifier=",
        ));
    }
    said.value = Value::Null;
    Ok(Meaning::Said(vec![Ok(said)]))
}

/// Whether nobody would be told anything: what is called a notification and no more is nothing.
fn is_empty(notification: &Notification) -> bool {
    let Notification { title, message, fields, build, .. } = notification;
    let is_title = !title.trim().is_empty() && title != UNTITLED;
    build.is_none() && !is_title && message.trim().is_empty() && fields.is_empty()
}

/// What all of these tell together.
fn all(each: Vec<Result<Meaning, Rejection>>) -> Result<Meaning, Rejection> {
    let mut found = Vec::new();
    let mut reason = "there are no events in it".to_owned();
    let is_one = each.len() == 1;
    for meaning in each {
        match meaning {
            Ok(Meaning::Said(said)) => found.extend(said),
            Ok(Meaning::Ignored { reason: why }) => reason = why,
            Ok(validation @ Meaning::Validation { .. }) if is_one => return Ok(validation),
            Ok(Meaning::Validation { .. }) => {}
            Err(rejection) if is_one => return Err(rejection),
            Err(rejection) => found.push(Err(rejection)),
        }
    }
    Ok(if found.is_empty() { Meaning::Ignored { reason } } else { Meaning::Said(found) })
}

/// What nobody knows: a title, if there is something like one, and the members that are no lists or
/// objects themselves.
fn listed(value: &Value) -> Notification {
    let titles = ["title", "subject", "summary", "name", "event", "type"];
    let title = titles.into_iter().find(|name| text(&value[*name]).is_some());
    let members = value.as_object().into_iter().flatten();
    let fields = members.filter(|(name, _)| Some(name.as_str()) != title && *name != "url");
    let title = title.and_then(|name| text(&value[name]));
    Notification {
        title: title.map_or_else(|| UNTITLED.to_owned(), Cow::into_owned),
        fields: fields.filter_map(|(name, value)| Some(field(name, &scalar(value)?))).collect(),
        url: value["url"].as_str().and_then(fit::link),
        ..Notification::default()
    }
}

fn field(name: &str, value: &str) -> Field {
    Field { name: name.to_owned(), value: value.to_owned() }
}

/// A text that is not empty, or a number.
fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        _ => None,
    }
}

/// A text that is not empty, a number, or a truth value.
fn scalar(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::Bool(truth) => Some(Cow::Owned(truth.to_string())),
        value => text(value),
    }
}

/// The first of these places that has a text.
fn at<'a>(value: &'a Value, places: &[&str]) -> Option<Cow<'a, str>> {
    places.iter().find_map(|place| text(value.pointer(place)?))
}
