//! Tells programs: posts CloudEvents 1.0, signed as Standard Webhooks has it.
//!
//! - `WEBHOOK_URL`: where the event goes
//! - `WEBHOOK_MODE`: `structured` (the event is the body) or `binary` (its data is the body, and
//!   `ce-` headers say the rest). Default: `structured`, which an event is sent in all the same
//!   whose attributes are too long for headers.
//! - `WEBHOOK_SECRET`: signs it, as `whsec_` and base64 or as a text; several, with spaces between,
//!   sign it each, while one takes the place of the other. Default: it is not signed.
//! - `WEBHOOK_TOKEN`: a bearer token. Default: none.
//!
//! What was not made of an event is one of type `dev.brigantine.notification`. The event's id is the
//! `webhook-id`, by which who receives it again knows it. Any 2xx means that it was taken.
//!
//! <https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/http-protocol-binding.md>,
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Method};
use jiff::Timestamp;
use runtime::signature::Stamp;
use runtime::signature::scheme::STANDARD_WEBHOOKS;
use runtime::trace;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::outbox::Message;
use crate::{Notification, Outbox, TellError, Told, Variables};

#[cfg(test)]
mod tests;

/// The variables that it reads.
pub(crate) const NAMES: &[&str] =
    &["WEBHOOK_URL", "WEBHOOK_SECRET", "WEBHOOK_TOKEN", "WEBHOOK_MODE"];

/// Who is told, in words.
const SINK: &str = "the webhook";

/// How long the headers of an event may be together: many servers take 8 KiB of all of them.
const HEADERS: usize = 4096;

/// How long an id may be that is sent as it is.
const ID: usize = 200;

/// How many secrets sign an event.
const SECRETS: usize = 8;

/// Posts the event of a notification.
pub(crate) async fn tell(
    variables: &Variables,
    notification: &Notification,
    outbox: &Outbox,
) -> Result<Told, TellError> {
    let url = variables.required("WEBHOOK_URL")?;
    let is_binary = match variables.get("WEBHOOK_MODE").map(str::trim) {
        None | Some("structured") => false,
        Some("binary") => true,
        Some(_) => return Err(wrong("WEBHOOK_MODE", "is neither structured nor binary")),
    };
    if variables.is_empty("WEBHOOK_SECRET") {
        return Err(wrong("WEBHOOK_SECRET", "is there and empty, so nothing would be signed"));
    }
    let mut event = event(notification)?;
    // CloudEvents' extension for tracing: https://github.com/cloudevents/spec/blob/main/cloudevents/extensions/distributed-tracing.md
    if let Some(place) = trace::current() {
        event.entry("traceparent").or_insert_with(|| place.to_string().into());
    }
    let written = if is_binary { binary(&event) } else { None };
    let (mut headers, body) = written.unwrap_or_else(|| structured(&event));
    sign(variables, &event, Timestamp::now(), &mut headers, &body)?;
    if let Some(token) = variables.get("WEBHOOK_TOKEN") {
        let token = HeaderValue::from_str(&format!("Bearer {}", token.trim()));
        let mut token = token
            .map_err(|_no_header| wrong("WEBHOOK_TOKEN", "has characters that no token has"))?;
        token.set_sensitive(true);
        headers.insert(AUTHORIZATION, token);
    }
    let message = Message { sink: SINK, method: Method::POST, url, headers, body };
    let signed = message.body.clone();
    // Whoever takes it looks at when it was signed: each attempt is.
    let stamp = |headers: &mut HeaderMap| {
        let _signed_before = sign(variables, &event, Timestamp::now(), headers, &signed);
    };
    let answer = outbox.send_stamped(message, stamp, |_answer| false).await?;
    if answer.status.is_success() {
        let said =
            format!("told the webhook of the event {}", crate::text::line(text(&event, "id"), 100));
        return Ok(Told { handle: None, said });
    }
    Err(answer.refused(match answer.status.as_u16() {
        401 | 403 => {
            "; see whether WEBHOOK_SECRET and WEBHOOK_TOKEN are those that it knows, and its clock is right"
        }
        404 => "; see whether WEBHOOK_URL is right",
        410 => "; it is gone for good: remove this notifier",
        413 => "; it takes no events of this length",
        415 => "; it may take WEBHOOK_MODE=binary, or structured",
        _ => "",
    }))
}

/// The CloudEvent of a notification: the one that it was made of, or one that is made of it.
fn event(notification: &Notification) -> Result<Map<String, Value>, TellError> {
    let unfit = |problem: &str| TellError::Unfit {
        sink: SINK.to_owned(),
        problem: format!("its event {problem}"),
    };
    match &notification.event {
        None => Ok(made(notification)),
        Some(Value::Object(event)) => {
            for name in ["id", "source", "type", "specversion"] {
                if text(event, name).is_empty() {
                    return Err(unfit(&format!("has no {name}, which every CloudEvent has")));
                }
            }
            Ok(event.clone())
        }
        Some(_) => Err(unfit("is no JSON object")),
    }
}

fn made(notification: &Notification) -> Map<String, Value> {
    let data = match &notification.build {
        Some(build) => serde_json::to_value(build),
        None => serde_json::to_value(Notification { event: None, ..notification.clone() }),
    };
    let data = data.unwrap_or_default();
    let kind = match &notification.build {
        Some(build) => format!("dev.brigantine.build.{}", build.moment.name()),
        None => "dev.brigantine.notification".to_owned(),
    };
    let source = notification.build.as_ref().map(|build| format!("/{}", build.project));
    let id = match notification.id.as_str() {
        "" => digest(&data.to_string()),
        id => id.to_owned(),
    };
    let mut event = Map::new();
    event.insert("specversion".to_owned(), "1.0".into());
    event.insert("id".to_owned(), id.into());
    event.insert("source".to_owned(), source.unwrap_or_else(|| "/brigantine".to_owned()).into());
    event.insert("type".to_owned(), kind.into());
    if let Some(build) = &notification.build {
        event.insert("subject".to_owned(), json!(build.build));
    }
    if let Some(time) = notification.time {
        event.insert("time".to_owned(), json!(time));
    }
    event.insert("datacontenttype".to_owned(), "application/json".into());
    event.insert("data".to_owned(), data);
    event
}

/// The event as one JSON text.
fn structured(event: &Map<String, Value>) -> (HeaderMap, Vec<u8>) {
    let kind = HeaderValue::from_static("application/cloudevents+json; charset=utf-8");
    let body = serde_json::to_vec(event).unwrap_or_default();
    (HeaderMap::from_iter([(CONTENT_TYPE, kind)]), body)
}

/// The event as headers and its data, if the headers are not too long.
fn binary(event: &Map<String, Value>) -> Option<(HeaderMap, Vec<u8>)> {
    let mut headers = HeaderMap::new();
    let mut length = 0;
    for (name, value) in event {
        if matches!(name.as_str(), "data" | "data_base64" | "datacontenttype") {
            continue;
        }
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            // Absent, as the specification has it.
            Value::Null => continue,
            Value::Array(_) | Value::Object(_) => return None,
        };
        // Too long for a header, and for the loop that would encode it.
        if length + name.len() + value.len() > HEADERS {
            return None;
        }
        let value = encoded(&value);
        length += name.len() + value.len();
        let is_name = !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        let name = HeaderName::from_bytes(format!("ce-{name}").as_bytes()).ok();
        let name = name.filter(|_| is_name && length <= HEADERS)?;
        headers.insert(name, HeaderValue::from_str(&value).ok()?);
    }
    let kind = event.get("datacontenttype").and_then(Value::as_str);
    let is_json = kind.is_none_or(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        kind.ends_with("/json") || kind.ends_with("+json")
    });
    let body = match (event.get("data"), event.get("data_base64").and_then(Value::as_str)) {
        (_, Some(encoded)) => STANDARD.decode(encoded).ok()?,
        (None | Some(Value::Null), None) => Vec::new(),
        (Some(Value::String(text)), None) if !is_json => text.clone().into_bytes(),
        (Some(data), None) => serde_json::to_vec(data).ok()?,
    };
    let kind = HeaderValue::from_str(kind.unwrap_or("application/json")).ok()?;
    headers.insert(CONTENT_TYPE, kind);
    Some((headers, body))
}

/// A value of an attribute as a header holds it: what is not printed, blanks, quotation marks and
/// percent signs are written as their bytes.
fn encoded(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'"' | b'%' => {}
            0x21..=0x7e => {
                encoded.push(char::from(byte));
                continue;
            }
            _ => {}
        }
        let _infallible = write!(encoded, "%{byte:02X}");
    }
    encoded
}

/// Names the delivery, and signs it with each of the secrets.
fn sign(
    variables: &Variables,
    event: &Map<String, Value>,
    now: Timestamp,
    headers: &mut HeaderMap,
    body: &[u8],
) -> Result<(), TellError> {
    let id = encoded(text(event, "id"));
    let id = if id.len() > ID { digest(&id) } else { id };
    let seconds = now.as_second().to_string();
    let stamp = Stamp { id: &id, seconds: &seconds };
    let secrets = variables.get("WEBHOOK_SECRET").unwrap_or_default().split_whitespace();
    let mut signatures = Vec::new();
    for secret in secrets.take(SECRETS) {
        let signature = STANDARD_WEBHOOKS.sign(secret, stamp, body);
        let none = || wrong("WEBHOOK_SECRET", "has base64 after whsec_ that cannot be read");
        signatures.push(signature.ok_or_else(none)?);
    }
    let mut insert = |name: &'static str, value: &str| {
        // None of them has a character that a header cannot hold.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    insert("webhook-id", &id);
    insert("webhook-timestamp", &seconds);
    if !signatures.is_empty() {
        insert("webhook-signature", &signatures.join(" "));
    }
    Ok(())
}

fn text<'a>(event: &'a Map<String, Value>, name: &str) -> &'a str {
    event.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn digest(text: &str) -> String {
    Sha256::digest(text)[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn wrong(name: &'static str, problem: &str) -> TellError {
    TellError::Variable { name, problem: problem.to_owned() }
}
