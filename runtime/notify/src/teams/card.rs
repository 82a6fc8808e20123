//! A notification as an Adaptive Card, as large as Teams takes it.
//!
//! <https://adaptivecards.io/explorer/>

use serde_json::{Value, json};

use super::markup::{line, plain};
use crate::{Notification, Tone, text};

/// The largest message, in bytes.
const LARGEST: usize = 20 * 1024;

/// How much is shown of everything.
struct Room {
    /// The lines of all logs together, and the longest of them in bytes.
    log: (usize, usize),
    /// The message, in bytes.
    message: usize,
    /// The fields, and the longest of their values in bytes.
    fields: (usize, usize),
}

/// The longest title, and the longest name of a field, in characters.
const SHORT: (usize, usize) = (256, 60);

/// How many logs are shown.
const LOGS: usize = 3;

/// What is tried, until it is small enough: logs go first, then what else is long.
const ROOMS: [Room; 6] = [
    Room { log: (60, 300), message: 4000, fields: (20, 400) },
    Room { log: (20, 200), message: 4000, fields: (20, 400) },
    Room { log: (0, 0), message: 4000, fields: (20, 400) },
    Room { log: (0, 0), message: 2000, fields: (10, 200) },
    Room { log: (0, 0), message: 800, fields: (5, 100) },
    Room { log: (0, 0), message: 200, fields: (0, 0) },
];

/// The body of a message, in JSON.
pub(super) fn message(notification: &Notification) -> String {
    let mut written = String::new();
    for room in &ROOMS {
        written = json!({
            "type": "message",
            "attachments": [{
                "contentType": "application/vnd.microsoft.card.adaptive",
                "contentUrl": null,
                "content": card(notification, room),
            }],
        })
        .to_string();
        if written.len() <= LARGEST {
            break;
        }
    }
    written
}

fn card(notification: &Notification, room: &Room) -> Value {
    let color = match notification.tone {
        Tone::Neutral => "Default",
        Tone::Running => "Accent",
        Tone::Good => "Good",
        Tone::Warning => "Warning",
        Tone::Bad => "Attention",
    };
    let style = color.to_lowercase();
    let said = plain(&text::cut_bytes(&notification.body(), room.message));
    let mut body = Vec::new();
    if notification.is_titled() {
        let title = line(&text::cut(&notification.headline(), SHORT.0));
        let heading = json!({
            "type": "TextBlock", "text": title, "weight": "Bolder", "size": "Medium",
            "color": color, "wrap": true,
        });
        // The bar of its colour.
        body.push(json!({"type": "Container", "style": style, "bleed": true, "items": [heading]}));
        if !said.is_empty() {
            body.push(json!({"type": "TextBlock", "text": said, "wrap": true}));
        }
    } else {
        let said = if said.is_empty() { "A notification that says nothing" } else { &said };
        let said = json!({"type": "TextBlock", "text": said, "wrap": true});
        body.push(json!({"type": "Container", "style": style, "bleed": true, "items": [said]}));
    }
    let values = notification.values();
    let facts: Vec<Value> = values
        .iter()
        .take(room.fields.0)
        .map(|field| {
            let name = line(&text::cut(&field.name, SHORT.1));
            let value = plain(&text::cut_bytes(&field.value, room.fields.1));
            json!({"title": name, "value": value})
        })
        .collect();
    let mut more = Vec::new();
    if values.len() > facts.len() {
        more.push(format!("{} more values", values.len() - facts.len()));
    }
    if !facts.is_empty() {
        body.push(json!({"type": "FactSet", "facts": facts}));
    }
    let logs = notification.logs();
    let shown = if room.log.0 == 0 { 0 } else { logs.len().min(LOGS) };
    for (name, log) in &logs[..shown] {
        body.extend(tail(name, log, room.log.0 / shown, room.log.1));
    }
    if logs.len() > shown {
        more.push(format!("{} more logs", logs.len() - shown));
    }
    if !more.is_empty() {
        let text = more.join(", ");
        body.push(json!({"type": "TextBlock", "text": text, "isSubtle": true, "wrap": true}));
    }
    let mut card = json!({
        "type": "AdaptiveCard",
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": body,
    });
    if let Some(url) = notification.link() {
        card["actions"] = json!([{"type": "Action.OpenUrl", "title": "Open", "url": url}]);
    }
    card
}

/// The last lines of a log: a card has no other way to keep lines apart.
fn tail(name: &str, log: &str, most: usize, longest: usize) -> [Value; 2] {
    let name = if name.is_empty() { "the script" } else { name };
    let heading = format!("The end of the log of {}", line(&text::line(name, SHORT.1)));
    let heading = json!({"type": "TextBlock", "text": heading, "isSubtle": true, "wrap": true});
    let lines: Vec<&str> = log.lines().collect();
    let last = &lines[lines.len().saturating_sub(most)..];
    let items: Vec<Value> = last
        .iter()
        .map(|one| {
            // A block that says nothing has no height.
            let one = if one.trim().is_empty() { "\u{a0}" } else { one };
            json!({
                "type": "TextBlock", "text": line(&text::cut_bytes(one, longest)),
                "fontType": "Monospace", "size": "Small", "spacing": "None", "wrap": true,
            })
        })
        .collect();
    [heading, json!({"type": "Container", "style": "emphasis", "items": items})]
}
