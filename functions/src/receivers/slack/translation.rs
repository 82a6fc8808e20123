//! What Slack says: an event, a question about this address, or nothing that anybody could care about.

use bytes::Bytes;
use runtime::event::{Event, Identity};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::body::{form_payload, json_object};
use crate::filter::Seen;
use crate::host::{self, Meaning};
use crate::lenient::{Moment, Text, line, object};
use crate::rejection::Rejection;
use crate::revision;

/// The longest challenge that is given back.
const CHALLENGE: usize = 500;

/// How many fields a form may have.
const FIELDS: usize = 100;

/// The form of a body.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    Json,
    Fields,
}

/// What Slack said.
#[derive(Debug)]
pub(super) enum Said {
    /// Whether this address is an app's, to be answered by the same text.
    Challenge(String),
    /// Whether this address speaks TLS.
    Check,
    /// Something else, and how it is to be answered.
    Something { meaning: Meaning, answer: Answer },
}

/// How Slack is to be answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Answer {
    /// In our own form, which it does not look at.
    Ours,
    /// With a text for whoever gave the command.
    Text,
    /// With an empty body: anything else would be shown, or be an error.
    Nothing,
    /// With no suggestions.
    Options,
}

/// Translates a delivery that is proved.
pub(super) fn translate(form: Form, signed: Bytes) -> Result<Said, Rejection> {
    match form {
        Form::Json => event(signed),
        Form::Fields if signed.starts_with(b"payload=") || contains(&signed, b"&payload=") => {
            interaction(signed)
        }
        Form::Fields => command(signed),
    }
}

/// What the Events API says.
fn event(signed: Bytes) -> Result<Said, Rejection> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Body {
        api_app_id: Text,
        challenge: Text,
        #[serde(deserialize_with = "object")]
        event: Option<Happened>,
        event_id: Text,
        event_time: Moment,
        #[serde(rename = "type")]
        kind: Text,
        team_id: Text,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Happened {
        app_id: Text,
        #[serde(deserialize_with = "object")]
        bot_profile: Option<Spoke>,
        #[serde(deserialize_with = "object")]
        message: Option<Spoke>,
        #[serde(deserialize_with = "object")]
        previous_message: Option<Spoke>,
        #[serde(rename = "type")]
        kind: Text,
        subtype: Text,
    }
    /// What was said before, and was changed or deleted, or an app that spoke.
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Spoke {
        app_id: Text,
        #[serde(deserialize_with = "object")]
        bot_profile: Option<App>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct App {
        app_id: Text,
    }
    #[derive(Deserialize)]
    struct Whole {
        event: Value,
    }
    let body: Body = json_object(&signed)?;
    let kind = body.kind.get().unwrap_or_default();
    if kind == "url_verification" {
        let challenge = body.challenge.get().filter(|text| text.len() <= CHALLENGE);
        let challenge = challenge.ok_or_else(|| Rejection::malformed("it has no challenge"))?;
        return Ok(Said::Challenge(challenge.to_owned()));
    }
    if kind != "event_callback" {
        let reason = format!("Slack's `{}` is no event", line(kind, 50));
        return Ok(something(Meaning::Ignored { reason }, Answer::Ours));
    }
    let happened = body.event.unwrap_or_default();
    let Some(kind) = happened.kind.get().filter(|kind| host::is_word(kind)) else {
        return Err(Rejection::malformed("its event has no type"));
    };
    // Slack tells of a message again where it shows what a link in it leads to.
    let spoke = [&happened.bot_profile, &happened.message, &happened.previous_message];
    let spoke = spoke.into_iter().flatten().flat_map(|spoke| {
        let app = spoke.bot_profile.as_ref().map(|app| &app.app_id);
        [Some(&spoke.app_id), app].into_iter().flatten()
    });
    let mut apps = spoke.chain([&happened.app_id]).filter_map(Text::get);
    if apps.any(|app| body.api_app_id.get() == Some(app)) {
        let reason = "the app itself said this".to_owned();
        return Ok(something(Meaning::Ignored { reason }, Answer::Ours));
    }
    // A retry has the same id, and the same event.
    let identity = match (body.event_id.get(), serde_json::from_slice::<Whole>(&signed)) {
        (Some(id), Ok(Whole { event })) => {
            let team = body.team_id.get().unwrap_or_default();
            Bytes::from(format!("{team}\n{id}\n{event}"))
        }
        _ => signed.clone(),
    };
    let event = Event {
        action: word(&happened.subtype),
        revision: revision::master(),
        time: body.event_time.0,
        identity: Identity::Content(identity),
        ..Event::new("slack", kind, signed.clone())
    };
    Ok(something(Meaning::event(event, Seen::default()), Answer::Ours))
}

/// What somebody did to a message, a shortcut or a dialogue.
fn interaction(signed: Bytes) -> Result<Said, Rejection> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Body {
        action_ts: Moment,
        actions: Option<Vec<Action>>,
        callback_id: Text,
        #[serde(rename = "type")]
        kind: Text,
        #[serde(deserialize_with = "object")]
        view: Option<View>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Action {
        action_id: Text,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct View {
        callback_id: Text,
    }
    let payload = form_payload(&signed)?;
    let body: Body = json_object(&payload)?;
    let Some(kind) = body.kind.get().filter(|kind| host::is_word(kind)) else {
        return Err(Rejection::malformed("its payload has no type"));
    };
    let acted = body.actions.iter().flatten().find_map(|action| word(&action.action_id));
    let view = || body.view.as_ref().and_then(|view| word(&view.callback_id));
    let event = Event {
        action: acted.or_else(|| word(&body.callback_id)).or_else(view),
        revision: revision::master(),
        time: body.action_ts.0,
        identity: Identity::Content(signed),
        ..Event::new("slack", kind, payload.clone())
    };
    if kind.ends_with("_suggestion") {
        return Ok(something(Meaning::Rare(Box::new(event)), Answer::Options));
    }
    Ok(something(Meaning::event(event, Seen::default()), Answer::Nothing))
}

/// What somebody commanded.
fn command(signed: Bytes) -> Result<Said, Rejection> {
    let fields: Vec<(String, String)> = serde_urlencoded::from_bytes(&signed)
        .map_err(|_quoting| Rejection::malformed("the form cannot be read"))?;
    if fields.len() > FIELDS {
        return Err(Rejection::malformed(format!("the form has more than {FIELDS} fields")));
    }
    let mut object = Map::new();
    for (name, value) in fields {
        // Slack's old proof, which is the same for every delivery.
        if name != "token" {
            object.entry(name).or_insert(Value::String(value));
        }
    }
    let Some(command) = object.get("command").and_then(Value::as_str) else {
        if object.contains_key("ssl_check") {
            return Ok(Said::Check);
        }
        return Err(Rejection::malformed("the form has neither `command` nor `payload`"));
    };
    let name = command.trim_start_matches('/');
    let said = object.get("text").and_then(Value::as_str).unwrap_or_default();
    let title = format!("/{name} {said}");
    let event = Event {
        action: Some(name).filter(|name| host::is_word(name)).map(str::to_owned),
        revision: revision::master(),
        short_title: line(title.trim_end(), 50),
        long_title: line(title.trim_end(), 100),
        identity: Identity::Content(signed),
        ..Event::new("slack", "slash_command", Value::Object(object).to_string())
    };
    Ok(something(Meaning::event(event, Seen::default()), Answer::Text))
}

fn something(meaning: Meaning, answer: Answer) -> Said {
    Said::Something { meaning, answer }
}

fn word(text: &Text) -> Option<String> {
    text.get().filter(|text| host::is_word(text)).map(str::to_owned)
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
