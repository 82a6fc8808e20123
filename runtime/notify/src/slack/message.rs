//! A notification as a message of Slack's: within its limits, and shown as it was written.
//!
//! <https://docs.slack.dev/reference/block-kit/blocks>,
//! <https://docs.slack.dev/legacy/legacy-messaging/legacy-secondary-message-attachments>

use serde_json::{Value, json};

use super::markup::{code, plain, unformatted};
use crate::{Field, Notification, Tone, Variables};

/// The longest header.
const HEADER: usize = 150;

/// The longest text of a section.
const SECTION: usize = 3000;

/// How many fields are shown.
const FIELDS: usize = 10;

/// The longest name and the longest value of a field; both are 2000 at most.
const FIELD: (usize, usize) = (100, 1000);

/// How many logs are shown, and how much of all of them: some thousand characters are what Slack
/// advises for a message.
const LOGS: (usize, usize) = (3, 2800);

/// The longest address, as it is written: what it stands in has 2000 characters.
const LINK: usize = 1900;

/// What stands for the message where only a line is shown.
const FALLBACK: usize = 500;

/// What is said of a notification that says nothing, since Slack takes no message without a text.
const NOTHING: &str = "a notification that says nothing";

/// The body of a message. Where it goes is not in it, but for the channel of a webhook.
pub(super) fn message(variables: &Variables, notification: &Notification) -> Value {
    let (said, is_titled) = (notification.body(), notification.is_titled());
    let title = if is_titled { notification.headline() } else { String::new() };
    let fallback = match (title.is_empty(), said.is_empty()) {
        (true, true) => NOTHING.to_owned(),
        (true, false) => said.clone(),
        (false, true) => title.clone(),
        (false, false) => format!("{title}\n{said}"),
    };
    let fallback = plain(&fallback, FALLBACK);
    let (above, beside) = if is_titled {
        (json!({"type": "header", "text": text(&title, HEADER)}), said)
    } else {
        let said = if said.is_empty() { NOTHING } else { &said };
        (json!({"type": "section", "text": text(said, SECTION)}), String::new())
    };
    // Without blocks, the fallback is what is shown.
    let mut body = json!({
        "text": fallback,
        "blocks": [above],
        "attachments": [{
            "color": color(variables, notification),
            "fallback": fallback,
            "blocks": blocks(notification, &beside),
        }],
        "mrkdwn": false,
        "unfurl_links": false,
        "unfurl_media": false,
    });
    speaker(variables, &mut body);
    body
}

/// What is answered in a build's thread when it ends: how, in a line.
pub(super) fn reply(notification: &Notification, channel: &str, thread: &str) -> Value {
    let line = notification.headline();
    let line = if line.is_empty() { NOTHING } else { &line };
    // A bare text would have its addresses made links of: a block of plain text has none.
    json!({
        "channel": channel,
        "thread_ts": thread,
        "text": plain(line, FALLBACK),
        "blocks": [{"type": "section", "text": text(line, FALLBACK)}],
        "parse": "none",
        "mrkdwn": false,
        "unfurl_links": false,
        "unfurl_media": false,
    })
}

/// Who speaks, and where.
pub(super) fn speaker(variables: &Variables, body: &mut Value) {
    if let Some(name) = variables.get("SLACK_USERNAME") {
        body["username"] = name.trim().into();
    }
    if let Some(channel) = variables.get("SLACK_CHANNEL") {
        body["channel"] = channel.trim().into();
    }
    match variables.get("SLACK_ICON").map(str::trim) {
        Some(icon) if icon.contains("://") => body["icon_url"] = icon.into(),
        Some(icon) => body["icon_emoji"] = format!(":{}:", icon.trim_matches(':')).into(),
        None => {}
    }
}

/// The colour of its bar: its own, that of how it is meant, or the one that is set for what is meant
/// no way.
fn color<'a>(variables: &'a Variables, notification: &'a Notification) -> &'a str {
    let own = notification.color.as_deref().map(str::trim).filter(|color| is_color(color));
    let set = variables.get("SLACK_COLOR").map(str::trim).filter(|color| is_color(color));
    match (own, notification.tone) {
        (Some(own), _) => own,
        (None, Tone::Neutral) => set.unwrap_or(Tone::Neutral.color()),
        (None, tone) => tone.color(),
    }
}

fn is_color(color: &str) -> bool {
    let hex = color.strip_prefix('#').unwrap_or_default();
    let is_hex = matches!(hex.len(), 3 | 6) && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex || ["good", "warning", "danger"].contains(&color)
}

/// What is beside the bar: what is said there, and all that belongs to it.
fn blocks(notification: &Notification, said: &str) -> Vec<Value> {
    let mut blocks = Vec::new();
    if !said.is_empty() {
        blocks.push(json!({"type": "section", "text": text(said, SECTION)}));
    }
    let values = notification.values();
    let shown: Vec<Value> = values.iter().filter_map(field).take(FIELDS).collect();
    let more = values.len() - shown.len().min(values.len());
    if !shown.is_empty() {
        blocks.push(json!({"type": "section", "fields": shown}));
    }
    let logs = notification.logs();
    let (most, all) = LOGS;
    let room = all / logs.len().clamp(1, most);
    for (name, log) in logs.iter().take(most) {
        let name = if name.is_empty() { "the script" } else { name };
        let heading = format!("The end of the log of {}\n", unformatted(name, 100));
        let code = code(log, room - heading.chars().count());
        blocks.push(markup_section(&(heading + &code)));
    }
    let mut rest = Vec::new();
    if values.len() > FIELDS && more > 0 {
        rest.push(format!("{more} more values"));
    }
    if logs.len() > most {
        rest.push(format!("{} more logs", logs.len() - most));
    }
    // What would end a link is encoded in one.
    let link = notification.link().map(|link| link.replace('|', "%7C").replace('&', "&amp;"));
    if let Some(link) = link.filter(|link| link.len() <= LINK) {
        rest.push(format!("<{link}|Open>"));
    }
    // A bar is beside something, or not there.
    if rest.is_empty() && blocks.is_empty() {
        rest.push("Brigantine".to_owned());
    }
    if !rest.is_empty() {
        let text = json!({"type": "mrkdwn", "text": rest.join(" · ")});
        blocks.push(json!({"type": "context", "elements": [text]}));
    }
    blocks
}

/// A text that is not formatted. Slack takes none that is empty.
fn text(text: &str, most: usize) -> Value {
    json!({"type": "plain_text", "text": plain(text, most), "emoji": false})
}

fn markup_section(text: &str) -> Value {
    json!({"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": true}})
}

/// A field, if it says anything.
fn field(field: &Field) -> Option<Value> {
    let name = unformatted(&field.name, FIELD.0);
    let value = unformatted(&field.value, FIELD.1);
    let text = match (name.trim().is_empty(), value.trim().is_empty()) {
        (true, true) => return None,
        (true, false) => value,
        (false, true) => format!("*{name}*"),
        (false, false) => format!("*{name}*\n{value}"),
    };
    Some(json!({"type": "mrkdwn", "text": text, "verbatim": true}))
}
