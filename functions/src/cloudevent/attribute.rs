//! The attributes of a CloudEvent, and what must be true of them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use runtime::event::Revision;
use serde_json::Value;
use serde_json::value::RawValue;

use super::wrong;
use crate::lenient::line;
use crate::rejection::Rejection;
use crate::revision;

/// The longest type of an event, in bytes.
const TYPE_LIMIT: usize = 1024;

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Attribute {
    Text(String),
    /// A truth or a number, which only an extension can be.
    Other(Value),
}

/// What all events have, or may have.
pub(super) struct Core {
    pub(super) id: String,
    pub(super) source: String,
    pub(super) kind: String,
    pub(super) subject: Option<String>,
    pub(super) time: Option<Timestamp>,
    pub(super) data_is_json: bool,
    /// What the extensions `ref` and `commit` say.
    pub(super) revision: Revision,
}

impl Attribute {
    /// Reads the value of an attribute; one that is null is not set.
    pub(super) fn of_json(name: &str, json: &RawValue) -> Result<Option<Attribute>, Rejection> {
        check_name(name)?;
        let shown = line(name, 50);
        let value: Value = match json.get().as_bytes() {
            [b'{' | b'[', ..] => Value::Array(Vec::new()),
            _ => serde_json::from_str(json.get())
                .map_err(|_surrogate| wrong(format!("`{shown}` is not valid JSON")))?,
        };
        match value {
            Value::Null => Ok(None),
            Value::String(text) => Attribute::text(name, text).map(Some),
            Value::Bool(_) => Ok(Some(Attribute::Other(value))),
            Value::Number(number) if number.as_i64().is_some_and(|n| i32::try_from(n).is_ok()) => {
                Ok(Some(Attribute::Other(Value::Number(number))))
            }
            _ => Err(wrong(format!(
                "`{shown}` must be a text, true, false, or a whole number of 32 bits"
            ))),
        }
    }

    /// An attribute that is a text, which may be of any characters but those that control.
    pub(super) fn text(name: &str, text: String) -> Result<Attribute, Rejection> {
        check_name(name)?;
        if text.chars().any(char::is_control) {
            return Err(wrong(format!("`{}` has control characters", line(name, 50))));
        }
        Ok(Attribute::Text(text))
    }

    /// The attribute in JSON.
    pub(super) fn json(&self) -> Value {
        match self {
            Attribute::Text(text) => Value::String(text.clone()),
            Attribute::Other(value) => value.clone(),
        }
    }
}

impl Core {
    /// Reads what all events have.
    pub(super) fn of(attributes: &BTreeMap<String, Attribute>) -> Result<Core, Rejection> {
        let optional = |name: &str| match attributes.get(name) {
            None => Ok(None),
            Some(Attribute::Text(text)) if !text.is_empty() => Ok(Some(text.as_str())),
            Some(_) => Err(wrong(format!("`{name}` must be a text that is not empty"))),
        };
        let required = |name: &str| {
            optional(name)?.ok_or_else(|| wrong(format!("an event has the attribute `{name}`")))
        };
        match optional("specversion")? {
            Some("1.0") => {}
            other => return Err(version(other)),
        }
        let (id, source, kind) = (required("id")?, required("source")?, required("type")?);
        if source.contains(char::is_whitespace) {
            return Err(wrong("`source` must be a reference to a URI"));
        }
        if kind.len() > TYPE_LIMIT {
            return Err(wrong(format!("`type` may have {TYPE_LIMIT} bytes at most")));
        }
        if optional("dataschema")?.is_some_and(|schema| !is_absolute_uri(schema)) {
            return Err(wrong("`dataschema` must be an absolute URI"));
        }
        let media = optional("datacontenttype")?;
        if media.is_some_and(|media| !is_media_type(media)) {
            return Err(wrong("`datacontenttype` must be a media type, like application/json"));
        }
        let not_a_time = || wrong("`time` must be a moment like 2018-04-05T17:31:00Z");
        let time = optional("time")?.map(|time| moment(time).ok_or_else(not_a_time)).transpose()?;
        let name = |name: &str| match attributes.get(name) {
            Some(Attribute::Text(text)) if revision::is_name(text) => text.clone(),
            _ => String::new(),
        };
        Ok(Core {
            id: id.to_owned(),
            source: source.to_owned(),
            kind: kind.to_owned(),
            subject: optional("subject")?.map(str::to_owned),
            // What happened before 1970 is not a time that a build can have.
            time: time.filter(|time| *time >= Timestamp::UNIX_EPOCH),
            data_is_json: media.is_none_or(is_json),
            revision: Revision { commit: name("commit"), reference: name("ref") },
        })
    }
}

/// Whether a media type is JSON's.
pub(super) fn is_json(media: &str) -> bool {
    let essence = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(essence.as_str(), "application/json" | "text/json") || essence.ends_with("+json")
}

/// Whether a text is a media type by RFC 2046: two tokens, and parameters after them.
pub(super) fn is_media_type(text: &str) -> bool {
    let essence = text.split(';').next().unwrap_or_default().trim();
    let is_token = |part: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        !part.is_empty() && part.chars().all(fits)
    };
    essence.split_once('/').is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype))
}

/// Names are lower-case letters and digits. Java's library writes camelCase, which hurts nobody.
fn check_name(name: &str) -> Result<(), Rejection> {
    let first = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    if first && name.chars().all(|c| c.is_ascii_alphanumeric()) {
        return Ok(());
    }
    let shown = line(name, 50);
    Err(wrong(format!("the name `{shown}` must be lower-case letters and digits")))
}

/// Refuses an event of another version.
pub(super) fn version(found: Option<&str>) -> Rejection {
    wrong(match found {
        Some("0.2") => "`specversion` is 0.2, which only /cloudevents/v02 takes".to_owned(),
        Some(other) => format!("`specversion` is {}, and must be 1.0", line(other, 20)),
        None => "an event has the attribute `specversion`, in lower case, and it is 1.0".to_owned(),
    })
}

fn is_absolute_uri(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    text.split_once(':').is_some_and(|(scheme, rest)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(fits)
            && !rest.is_empty()
            && !rest.contains(char::is_whitespace)
    })
}

/// A moment by RFC 3339 and nothing else: with seconds, and an offset of hours and minutes.
fn moment(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let form = b"dddd-dd-ddTdd:dd:dd";
    let fits = |(byte, form): (&u8, &u8)| match form {
        b'd' => byte.is_ascii_digit(),
        b'T' => matches!(byte, b'T' | b't'),
        other => byte == other,
    };
    if bytes.len() <= form.len() || !bytes.iter().zip(form).all(fits) {
        return None;
    }
    let rest = &text[form.len()..];
    let digits = rest
        .strip_prefix('.')
        .map_or(0, |fraction| fraction.bytes().take_while(u8::is_ascii_digit).count() + 1);
    if digits == 1 {
        return None;
    }
    let (fraction, offset) = rest.split_at(digits);
    let is_offset = match offset.as_bytes() {
        [b'Z' | b'z'] => true,
        [b'+' | b'-', hours @ .., b':', m1, m2] => {
            let two = |digits: &[u8]| match digits {
                [a @ b'0'..=b'9', b @ b'0'..=b'9'] => Some((a - b'0') * 10 + (b - b'0')),
                _ => None,
            };
            two(hours).is_some_and(|hours| hours < 24)
                && two(&[*m1, *m2]).is_some_and(|minutes| minutes < 60)
        }
        _ => false,
    };
    if !is_offset {
        return None;
    }
    // Nanoseconds are as exact as anything is here.
    let fraction = &fraction[..fraction.len().min(10)];
    format!("{}{fraction}{offset}", &text[..form.len()]).parse().ok()
}

#[test]
fn only_whole_moments_are_moments() {
    for text in [
        "2018-04-05T17:31:00Z",
        "2018-04-05t17:31:00z",
        "2018-04-26T14:48:09+02:00",
        "2018-04-05T17:31:00.123456789-08:30",
        "2018-04-05T17:31:00.1234567890123Z",
    ] {
        assert!(moment(text).is_some(), "{text}");
    }
    for text in [
        "",
        "lunchtime",
        "2018-04-05T17:31Z",
        "2018-04-05T17:31:00",
        "2018-04-05T17:31:00.Z",
        "2018-04-05T17:31:00X",
        "2018-04-05T17:31:00+25:00",
        "2018-04-05T17:31:00+xx:00",
        "2018-04-05T17:31:00+05",
        "2018-04-05T17:31:00+0500",
        "2018-04-05 17:31:00Z",
        "2018-13-05T17:31:00Z",
        "2018-04-05T17:31:00+02:00[Europe/Berlin]",
        "2018-04-05T17:31:00é",
        "2018-04-05T17:31:0é+02:00",
    ] {
        assert_eq!(moment(text), None, "{text}");
    }
}
