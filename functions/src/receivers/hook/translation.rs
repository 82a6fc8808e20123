//! What a delivery means by a project's rule: events, or why there are none.

use axum::http::HeaderMap;
use bytes::Bytes;
use runtime::event::{Event, Identity, Revision};
use runtime::project::hooks::{Hook, Place, Text, written};
use serde_json::Value;

use crate::body::{self, digest};
use crate::lenient::{line, moment};
use crate::rejection::Rejection;
use crate::revision;

/// How many events one delivery may make.
pub(super) const MOST: usize = 256;

/// How many bytes the payloads of one delivery may have together: those of elements repeat what is
/// around them.
const PAYLOADS: usize = 16 * 1024 * 1024;

/// The longest name of an event or of an action, in bytes.
const NAME: usize = 200;

/// What one event is read from.
struct Said<'a> {
    headers: &'a HeaderMap,
    body: &'a Value,
    element: &'a Value,
}

/// The events of a delivery, and why the last one is none that is none. `name` is what the sender
/// has named the delivery.
pub(super) fn translate(
    hook: &Hook,
    headers: &HeaderMap,
    name: Option<&str>,
    bytes: &Bytes,
) -> Result<(Vec<Event>, String), Rejection> {
    let body: Value = body::json(bytes)?;
    if !body.is_object() && !body.is_array() {
        return Err(Rejection::malformed("the body is neither a JSON object nor a list"));
    }
    let whole = digest(bytes);
    let Some(each) = &hook.each else {
        let said = Said { headers, body: &body, element: &body };
        return Ok(match event(hook, &said, name, &whole, 0, bytes.clone()) {
            Ok(event) => (vec![event], String::new()),
            Err(reason) => (Vec::new(), reason),
        });
    };
    let Some(elements) = body.pointer(each).and_then(Value::as_array) else {
        return Ok((Vec::new(), format!("there is no list at `{}`", line(each, 100))));
    };
    if elements.is_empty() {
        return Ok((Vec::new(), format!("the list at `{}` is empty", line(each, 100))));
    }
    let mut rest = body.clone();
    replace(&mut rest, each, Vec::new());
    let around = rest.to_string().len();
    if elements.len() > MOST || around * elements.len() + bytes.len() > PAYLOADS {
        let reason = format!(
            "a delivery may have {MOST} events at most, whose payloads have {PAYLOADS} bytes at most"
        );
        return Err(Rejection::TooLarge { reason });
    }
    let (mut events, mut reason) = (Vec::<Event>::new(), String::new());
    for (index, element) in elements.iter().enumerate() {
        replace(&mut rest, each, vec![element.clone()]);
        let said = Said { headers, body: &body, element };
        match event(hook, &said, name, &whole, index, rest.to_string().into()) {
            Ok(event) => {
                let same = |other: &Event| {
                    (&other.kind, &other.identity) == (&event.kind, &event.identity)
                };
                if !events.iter().any(same) {
                    events.push(event);
                }
            }
            Err(why) => reason = why,
        }
    }
    Ok((events, reason))
}

fn replace(body: &mut Value, list: &str, elements: Vec<Value>) {
    if let Some(place) = body.pointer_mut(list) {
        *place = Value::Array(elements);
    }
}

/// One event; `whole` is the digest of the body.
fn event(
    hook: &Hook,
    said: &Said<'_>,
    name: Option<&str>,
    whole: &str,
    index: usize,
    payload: Bytes,
) -> Result<Event, String> {
    for condition in &hook.when {
        let value = said.value(&condition.place);
        let found = value.clone().unwrap_or_default();
        if !condition.one_of.contains(&found) {
            if is_secret(&condition.place) {
                let place = line(&condition.place.to_string(), 100);
                return Err(format!("`{place}` is not what it must be"));
            }
            let is = match value {
                Some(value) => format!("`{}`", line(&value, 100)),
                None => "not there".to_owned(),
            };
            return Err(format!(
                "`{}` is {is}, and must be `{}`",
                line(&condition.place.to_string(), 100),
                line(&condition.one_of.join("` or `"), 200),
            ));
        }
    }
    let text = |text: &Option<Text>| text.as_ref().and_then(|text| text.at(|at| said.text(at)));
    let kind = hook.event.at(|place| said.text(place));
    let kind = kind.ok_or_else(|| {
        let places: Vec<String> = hook.event.places.iter().map(Place::to_string).collect();
        format!("there is no event's name at `{}`", line(&places.join("` or `"), 200))
    })?;
    let action = text(&hook.action).filter(|action| !action.is_empty());
    for name in [Some(&kind), action.as_ref()].into_iter().flatten() {
        if !is_name(name) {
            return Err(format!("`{}` cannot be the name of an event", line(name, 100)));
        }
    }
    let revision = Revision {
        commit: text(&hook.commit).unwrap_or_default(),
        reference: text(&hook.reference).unwrap_or_default(),
    };
    for name in [&revision.commit, &revision.reference] {
        if !revision::is_name(name) {
            return Err(format!("`{}` cannot be a commit or a reference", line(name, 100)));
        }
    }
    let fired = action.as_ref().map_or(kind.clone(), |action| format!("{kind}:{action}"));
    let title = text(&hook.title).filter(|title| !title.is_empty()).unwrap_or(fired);
    let time = text(&hook.time).and_then(|time| moment(Value::String(time)).ok().flatten());
    Ok(Event {
        action,
        revision,
        short_title: line(&title, 50),
        long_title: line(&title, 200),
        time,
        identity: Identity::Content(identity(hook, said, name, whole, index).into()),
        ..Event::new(&hook.name, &kind, payload)
    })
}

/// What tells an event from others; each of the ways begins with another letter.
fn identity(hook: &Hook, said: &Said<'_>, name: Option<&str>, whole: &str, index: usize) -> String {
    let values: Vec<Value> = hook
        .identity
        .iter()
        .map(|place| match place {
            Place::Header(_) => said.text(place).map(Value::String),
            place => said.at(place).cloned(),
        })
        .map(Option::unwrap_or_default)
        .collect();
    // With one place that has nothing, events that differ could look the same.
    let tells = |value: &Value| !value.is_null() && value.as_str() != Some("");
    if !values.is_empty() && values.iter().all(tells) {
        return format!("places {}", digest(Value::Array(values).to_string().as_bytes()));
    }
    match name {
        Some(name) => format!("name {index} {name}"),
        None => format!("body {index} {whole}"),
    }
}

impl Said<'_> {
    /// What is at a place; a header is none of it.
    fn at(&self, place: &Place) -> Option<&Value> {
        match place {
            Place::Element(pointer) => self.element.pointer(pointer),
            Place::Body(pointer) => self.body.pointer(pointer),
            Place::Header(_) => None,
        }
    }

    /// What is at a place, as it is compared.
    fn value(&self, place: &Place) -> Option<String> {
        match place {
            Place::Header(name) => {
                let mut values = self.headers.get_all(name).iter();
                let (Some(value), None) = (values.next(), values.next()) else { return None };
                value.to_str().ok().map(str::to_owned)
            }
            place => self.at(place).map(written),
        }
    }

    /// The text at a place, if there is one.
    fn text(&self, place: &Place) -> Option<String> {
        self.value(place).filter(|text| !text.is_empty())
    }
}

/// Whether what is at a place is, by its name, not for answers and logs.
fn is_secret(place: &Place) -> bool {
    let place = place.to_string().to_ascii_lowercase();
    let words = ["apikey", "api-key", "api_key", "authorization", "credential", "passw", "secret"];
    words.into_iter().chain(["signature", "token"]).any(|word| place.contains(word))
}

fn is_name(name: &str) -> bool {
    let fits = |c: char| !c.is_whitespace() && !c.is_control();
    !name.is_empty() && name.len() <= NAME && name.chars().all(fits)
}
