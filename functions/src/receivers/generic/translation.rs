//! What the bodies of Brigade's generic gateway mean.

use bytes::Bytes;
use runtime::event::{Event, Revision};
use serde_json::{Map, Value};

use crate::cloudevent;
use crate::lenient::line;
use crate::rejection::Rejection;
use crate::revision;

/// Who all these events are from.
const PROVIDER: &str = "GenericWebhook";

/// Translates a simple event: nothing, or an object whose members `ref` and `commit` are texts.
pub(super) fn simple_event(body: Bytes) -> Result<Event, Rejection> {
    let members = match body.is_empty() {
        true => Map::new(),
        false => members(&body)?,
    };
    let named = |name: &str| {
        let text = text(&members, name)?;
        if revision::is_name(text) { Ok(text.to_owned()) } else { Err(not_a_revision(name)) }
    };
    let said = Revision { commit: named("commit")?, reference: named("ref")? };
    Ok(Event { revision: or_master(said), ..Event::new(PROVIDER, "simpleevent", body) })
}

/// Translates a CloudEvent 0.2 in structured mode.
pub(super) fn legacy_cloudevent(body: Bytes) -> Result<Event, Rejection> {
    let members = members(&body)?;
    let (id, source) = (text(&members, "id")?, text(&members, "source")?);
    let (kind, version) = (text(&members, "type")?, text(&members, "specversion")?);
    if [id, source, kind, version].iter().any(|text| text.is_empty()) {
        return Err(Rejection::Malformed {
            status: "CloudEvent should have non empty type, specversion, source, id",
            reason: "one of these is missing or empty".to_owned(),
        });
    }
    if version != "0.2" {
        let found = line(version, 20);
        return Err(Rejection::Malformed {
            status: "Brigade supports only '0.2' as CloudEvent specversion",
            reason: format!("`specversion` is {found}; /cloudevents/v1 takes 1.0"),
        });
    }
    let data = member(&members, "data").map(Value::to_string).unwrap_or_default();
    let time = member(&members, "time").and_then(Value::as_str).and_then(|at| at.parse().ok());
    Ok(Event {
        revision: or_master(revision::of_json(&data)),
        short_title: line(kind, 50),
        long_title: line(&format!("{kind}: {source}"), 200),
        time,
        identity: cloudevent::identity(source, id),
        ..Event::new(PROVIDER, "cloudevent", body)
    })
}

/// The members of an object; Brigade took `null` for one without any.
fn members(body: &Bytes) -> Result<Map<String, Value>, Rejection> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(Value::Null) => Ok(Map::new()),
        Ok(_) => Err(invalid("the body is not a JSON object")),
        Err(error) => {
            let (line, column) = (error.line(), error.column());
            Err(invalid(format!("the body is not valid JSON (line {line}, column {column})")))
        }
    }
}

/// A member by its name, in whatever case, as Brigade read it.
fn member<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let any_case = || members.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
    members.get(name).or_else(|| any_case().map(|(_, value)| value))
}

/// A member that is a text, or is missing.
fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Result<&'a str, Rejection> {
    match member(members, name) {
        None | Some(Value::Null) => Ok(""),
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(invalid(format!("`{name}` must be a text"))),
    }
}

fn or_master(said: Revision) -> Revision {
    if said == Revision::default() { revision::master() } else { said }
}

fn not_a_revision(name: &str) -> Rejection {
    Rejection::malformed(format!("`{name}` must name a branch, a tag or a commit"))
}

fn invalid(reason: impl Into<String>) -> Rejection {
    Rejection::Malformed { status: "Malformed POST data - Invalid JSON", reason: reason.into() }
}
