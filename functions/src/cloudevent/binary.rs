//! CloudEvents in binary mode: the attributes are headers, and the body is the data.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::attribute::{Attribute, Core, is_json, is_media_type};
use super::{CloudEvent, wrong};
use crate::rejection::Rejection;

/// What the header of an attribute begins with.
const PREFIX: &str = "ce-";

/// Reads an event whose data is this body.
pub(crate) fn read(headers: &HeaderMap, body: &Bytes) -> Result<CloudEvent, Rejection> {
    let mut attributes = BTreeMap::new();
    for name in headers.keys() {
        let Some(attribute) = name.as_str().strip_prefix(PREFIX) else { continue };
        let mut values = headers.get_all(name).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(wrong(format!("the header {name} is there more than once")));
        };
        let text = decode(value)
            .ok_or_else(|| wrong(format!("the header {name} is not a text in UTF-8")))?;
        attributes.insert(attribute.to_owned(), Attribute::text(attribute, text)?);
    }
    if attributes.contains_key("datacontenttype") {
        return Err(wrong("the type of the data is told by Content-Type, not by a header ce-"));
    }
    if attributes.is_empty() {
        return Err(wrong(
            "there are no headers ce-; an event that is all in the body has the Content-Type \
             application/cloudevents+json",
        ));
    }
    let media = headers.get(header::CONTENT_TYPE).map(|media| media.to_str().unwrap_or_default());
    if let Some(media) = media {
        if !is_media_type(media) {
            return Err(wrong("the Content-Type must be a media type, like application/json"));
        }
        attributes.insert("datacontenttype".to_owned(), Attribute::Text(media.to_owned()));
    }
    let core = Core::of(&attributes)?;
    let (data, json) = in_json(&attributes, media, body);
    Ok(CloudEvent::new(core, data, json.into()))
}

/// The value of an attribute's header: a text, perhaps quoted, that is percent-encoded once.
fn decode(value: &HeaderValue) -> Option<String> {
    let text = std::str::from_utf8(value.as_bytes()).ok()?;
    let inner = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let text = inner.map_or_else(|| text.to_owned(), unescape);
    Some(percent_decode_str(&text).decode_utf8().ok()?.into_owned())
}

fn unescape(quoted: &str) -> String {
    let mut text = String::with_capacity(quoted.len());
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        text.extend(if character == '\\' { characters.next() } else { Some(character) });
    }
    text
}

/// The event in JSON, and its data, where that is JSON and so can be in it as it came.
fn in_json(
    attributes: &BTreeMap<String, Attribute>,
    media: Option<&str>,
    body: &Bytes,
) -> (Option<Bytes>, String) {
    let mut members: Map<String, Value> =
        attributes.iter().map(|(name, value)| (name.clone(), value.json())).collect();
    if body.is_empty() {
        return (None, Value::Object(members).to_string());
    }
    let data: Option<&RawValue> =
        media.is_none_or(is_json).then(|| serde_json::from_slice(body).ok()).flatten();
    if let Some(data) = data {
        let mut json = Value::Object(members).to_string();
        // There is a member before it: no event is without a type.
        json.pop();
        json += &format!(",\"data\":{}}}", data.get());
        return (Some(Bytes::copy_from_slice(data.get().as_bytes())), json);
    }
    // A text under the name of JSON would be taken for JSON.
    let is_text = media.is_some_and(|media| !is_json(media));
    match std::str::from_utf8(body).ok().filter(|_| is_text) {
        Some(text) => members.insert("data".to_owned(), text.into()),
        None => members.insert("data_base64".to_owned(), STANDARD.encode(body).into()),
    };
    (None, Value::Object(members).to_string())
}

#[test]
fn a_header_is_unquoted_and_decoded_once() {
    let decoded = |value: &str| decode(&HeaderValue::from_bytes(value.as_bytes()).unwrap());
    for (value, text) in [
        ("plain", "plain"),
        ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
        ("\"a b \\\" c\"", "a b \" c"),
        ("\"%22\"", "\""),
        ("%2541", "%41"),
        ("100%", "100%"),
        ("Euro €", "Euro €"),
        ("\"", "\""),
    ] {
        assert_eq!(decoded(value).as_deref(), Some(text), "{value}");
    }
    assert_eq!(decoded("%C0%A0"), None);
    assert_eq!(decode(&HeaderValue::from_bytes(b"\xff").unwrap()), None);
}
