//! A message as somebody writes it: `{message, title, color, fields, url}`, or as it is posted to an
//! incoming webhook of Slack's, so that whoever does that today changes only the address.
//!
//! What is written there in Slack's markup is told as it reads: a link as its text with the address
//! behind it, a mention as its name, which calls nobody.
//!
//! <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>,
//! <https://docs.slack.dev/legacy/legacy-messaging/legacy-secondary-message-attachments>

use notify::{Field, Notification, Tone};
use serde_json::Value;

use super::{scalar, text};
use crate::notifiers::fit;

/// The most parts of a message in Slack's form that are read; it has 100 attachments and 50 blocks
/// at most.
const PARTS: usize = 100;

/// What a message says, if it is one.
pub(super) fn read(value: &Value) -> Option<Notification> {
    let is_ours = text(&value["message"]).is_some();
    let is_slacks = text(&value["text"]).is_some()
        || value["attachments"].is_array()
        || value["blocks"].is_array();
    if is_ours {
        return Some(ours(value));
    }
    is_slacks.then(|| slacks(value))
}

fn ours(value: &Value) -> Notification {
    let given = |name: &str| text(&value[name]).unwrap_or_default().into_owned();
    let (tone, color) = color(&value["color"]);
    Notification {
        title: given("title"),
        message: given("message"),
        tone,
        color,
        fields: fields(&value["fields"], str::to_owned),
        url: value["url"].as_str().and_then(fit::link),
        ..Notification::default()
    }
}

/// `text`, `attachments` and `blocks` together; Slack shows them so, too.
fn slacks(value: &Value) -> Notification {
    let mut notification = Notification::default();
    let mut lines: Vec<String> = Vec::new();
    blocks(value, &mut notification, &mut lines);
    // Where there are blocks, the text is for lists only.
    if lines.is_empty() {
        lines.extend(text(&value["text"]).map(|text| plain(&text)));
    }
    for attachment in value["attachments"].as_array().into_iter().flatten().take(PARTS) {
        attached(attachment, &mut notification, &mut lines);
    }
    notification.message = lines.join("\n");
    notification
}

fn attached(attachment: &Value, notification: &mut Notification, lines: &mut Vec<String>) {
    let given = |name: &str| text(&attachment[name]).map(|text| plain(&text));
    let before = lines.len();
    match given("title") {
        Some(title) if notification.title.is_empty() => notification.title = title,
        title => lines.extend(title),
    }
    lines.extend(["pretext", "text"].into_iter().filter_map(given));
    let (tone, color) = color(&attachment["color"]);
    if notification.color.is_none() && notification.tone == Tone::Neutral {
        (notification.tone, notification.color) = (tone, color);
    }
    notification.fields.extend(fields(&attachment["fields"], plain));
    let link = attachment["title_link"].as_str().and_then(fit::link);
    notification.url = notification.url.take().or(link);
    blocks(attachment, notification, lines);
    if lines.len() == before {
        lines.extend(given("fallback"));
    }
}

fn blocks(value: &Value, notification: &mut Notification, lines: &mut Vec<String>) {
    for block in value["blocks"].as_array().into_iter().flatten().take(PARTS) {
        let own = text(&block["text"]["text"]).map(|text| plain(&text));
        match (block["type"].as_str(), own) {
            (Some("header"), Some(own)) if notification.title.is_empty() => {
                notification.title = own
            }
            (_, own) => lines.extend(own),
        }
        for list in ["fields", "elements"] {
            let parts = block[list].as_array().into_iter().flatten().take(PARTS);
            lines.extend(parts.filter_map(|part| Some(plain(&text(&part["text"])?))));
        }
    }
}

/// Named values: a list of `{title or name, value}`, or an object.
fn fields(value: &Value, read: impl Fn(&str) -> String) -> Vec<Field> {
    let shown = |value: &Value| match value {
        Value::Null => None,
        Value::Array(_) | Value::Object(_) => Some(value.to_string()),
        value => scalar(value).map(|text| read(&text)),
    };
    match value {
        Value::Object(members) => {
            let fields = members.iter();
            let field = |(name, value): (&String, &Value)| {
                Some(Field { name: name.clone(), value: shown(value)? })
            };
            fields.filter_map(field).collect()
        }
        Value::Array(items) => {
            let field = |item: &Value| {
                let name = text(&item["title"]).or_else(|| text(&item["name"]));
                let name = name.map(|name| read(&name)).unwrap_or_default();
                Some(Field { name, value: shown(&item["value"])? })
            };
            items.iter().filter_map(field).collect()
        }
        _ => Vec::new(),
    }
}

/// What a colour means, and the colour itself if it is one. Slack's words are meanings.
fn color(value: &Value) -> (Tone, Option<String>) {
    match value.as_str().unwrap_or_default().trim() {
        "" => (Tone::Neutral, None),
        "good" => (Tone::Good, None),
        "warning" => (Tone::Warning, None),
        "danger" => (Tone::Bad, None),
        // As in an attachment of Slack's, which may have the digits alone.
        digits if digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            (Tone::Neutral, Some(format!("#{digits}")))
        }
        other => (Tone::Neutral, Some(other.to_owned())),
    }
}

/// Slack's markup as plain text.
pub(super) fn plain(markup: &str) -> String {
    let mut read = String::with_capacity(markup.len());
    let mut rest = markup;
    while let Some((before, after)) = rest.split_once('<') {
        read.push_str(before);
        let Some((inner, behind)) =
            after.split_once('>').filter(|(inner, _)| !inner.contains(['<', '\n']))
        else {
            read.push('<');
            rest = after;
            continue;
        };
        let (target, label) = inner.split_once('|').unwrap_or((inner, ""));
        match target.chars().next() {
            // A person, a channel, a group or everybody: named, not called.
            Some(sign @ ('@' | '#' | '!')) => {
                let name = if label.is_empty() { &target[1..] } else { label };
                let sign = if sign == '#' { '#' } else { '@' };
                read.push(sign);
                read.push_str(name.trim_start_matches(['@', '#', '!']));
            }
            _ if label.is_empty() || label == target => read.push_str(target),
            _ => read.push_str(&format!("{label} ({target})")),
        }
        rest = behind;
    }
    read.push_str(rest);
    read.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}
