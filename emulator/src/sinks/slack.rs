//! Slack: incoming webhooks, and the two methods of its API that a bot writes messages with.
//!
//! <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>,
//! <https://docs.slack.dev/reference/block-kit/blocks>,
//! <https://docs.slack.dev/reference/methods/chat.postMessage>

use std::collections::BTreeMap;
use std::sync::PoisonError;

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::{Arrival, Sinks, Told, length, slow_down, text};

/// So many messages a hook may send at once; after that one a second.
const AT_ONCE: f64 = 5.0;

/// How many messages can still be changed.
const KEPT: usize = 10_000;

/// What bots have written: where, by the moment that names it.
#[derive(Default)]
pub(super) struct Channels {
    messages: BTreeMap<String, String>,
    last: u64,
}

pub(super) fn tell(sinks: &Sinks, told: &Told<'_>) -> Response {
    match told.path.strip_prefix("api/") {
        Some(method) => call(sinks, told, method),
        None => hook(sinks, told),
    }
}

fn hook(sinks: &Sinks, told: &Told<'_>) -> Response {
    let refuse = |code: StatusCode, word: &'static str| {
        let text = format!("refuses a message: {word}");
        sinks.show(Arrival { sink: "slack", text, ..Arrival::default() });
        (code, word).into_response()
    };
    let parts: Vec<&str> = told.path.split('/').collect();
    let is_hook = matches!(parts[..], ["services", team, hook, token]
        if !team.is_empty() && !hook.is_empty() && !token.is_empty());
    if !is_hook {
        return refuse(StatusCode::NOT_FOUND, "no_service");
    }
    let Some(body) = read(told) else {
        return refuse(StatusCode::BAD_REQUEST, "invalid_payload");
    };
    if let Err(word) = check(&body) {
        return refuse(StatusCode::BAD_REQUEST, word);
    }
    if let Some(seconds) = sinks.too_much(told.path, AT_ONCE, 1.0) {
        return slow_down(seconds, "rate_limited");
    }
    show(sinks, &body, "");
    (StatusCode::OK, "ok").into_response()
}

/// A method of the API, whose answers are 200 whatever they say.
fn call(sinks: &Sinks, told: &Told<'_>, method: &str) -> Response {
    let refuse = |word: &str| {
        let text = format!("refuses {method}: {word}");
        sinks.show(Arrival { sink: "slack", text, ..Arrival::default() });
        Json(json!({"ok": false, "error": word})).into_response()
    };
    let token = told.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if !token.is_some_and(|token| token.starts_with("Bearer xox")) {
        return refuse(if token.is_some() { "invalid_auth" } else { "not_authed" });
    }
    let Some(body) = read(told) else { return refuse("invalid_json") };
    let channel = text(&body, "/channel");
    if channel.is_empty() {
        return refuse("channel_not_found");
    }
    if let Err(word) = check(&body) {
        return refuse(word);
    }
    if let Some(seconds) = sinks.too_much(&format!("{method} {channel}"), AT_ONCE, 1.0) {
        let mut answer = slow_down(seconds, "");
        *answer.body_mut() = json!({"ok": false, "error": "ratelimited"}).to_string().into();
        return answer;
    }
    let named = if channel.starts_with('#') {
        let letters: String = channel.chars().filter(char::is_ascii_alphanumeric).collect();
        format!("C{}", letters.to_ascii_uppercase())
    } else {
        channel.to_owned()
    };
    let mut channels = sinks.slack.lock().unwrap_or_else(PoisonError::into_inner);
    let (moment, how) = match method {
        "chat.postMessage" => {
            let thread = text(&body, "/thread_ts");
            let known = thread.is_empty() || channels.messages.contains_key(thread);
            channels.last += 1;
            let moment =
                format!("{}.{:06}", 1_700_000_000 + channels.last, channels.last % 1_000_000);
            if channels.messages.len() >= KEPT {
                channels.messages.pop_first();
            }
            channels.messages.insert(moment.clone(), named.clone());
            // Slack begins a new message where a thread is gone.
            (moment, if known && !thread.is_empty() { "in a thread: " } else { "" })
        }
        "chat.update" => {
            let moment = text(&body, "/ts").to_owned();
            if channels.messages.get(&moment) != Some(&named) {
                drop(channels);
                return refuse("message_not_found");
            }
            (moment, "changed: ")
        }
        _ => {
            drop(channels);
            return refuse("unknown_method");
        }
    };
    drop(channels);
    show(sinks, &body, &format!("{channel} {how}"));
    Json(json!({"ok": true, "channel": named, "ts": moment, "message": body})).into_response()
}

/// The message: JSON, or a form with it.
fn read(told: &Told<'_>) -> Option<Value> {
    let kind = told.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let body = if kind.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded")) {
        let form =
            reqwest::Url::parse(&format!("form:?{}", str::from_utf8(told.body).ok()?)).ok()?;
        let (_, payload) = form.query_pairs().find(|(name, _)| name == "payload")?;
        serde_json::from_str(&payload).ok()?
    } else {
        serde_json::from_slice(told.body).ok()?
    };
    matches!(body, Value::Object(_)).then_some(body)
}

/// What Slack would say of a message.
fn check(body: &Value) -> Result<(), &'static str> {
    let list = |value: Option<&Value>, most: usize, word: &'static str| match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) if items.len() <= most => Ok(items.clone()),
        Some(_) => Err(word),
    };
    let blocks = list(body.get("blocks"), 50, "invalid_blocks")?;
    blocks.iter().try_for_each(block)?;
    let attachments = list(body.get("attachments"), 100, "too_many_attachments")?;
    for attachment in &attachments {
        list(attachment.get("blocks"), 50, "invalid_attachments")?.iter().try_for_each(block)?;
    }
    match body.get("text") {
        None | Some(Value::Null) if blocks.is_empty() && attachments.is_empty() => Err("no_text"),
        Some(Value::String(text))
            if text.is_empty() && blocks.is_empty() && attachments.is_empty() =>
        {
            Err("no_text")
        }
        None | Some(Value::Null | Value::String(_)) => Ok(()),
        Some(_) => Err("invalid_payload"),
    }
}

/// Whether a block is one, within the limits of Block Kit.
fn block(block: &Value) -> Result<(), &'static str> {
    let written = |value: Option<&Value>, kinds: &[&str], most: usize| {
        value.is_some_and(|value| {
            kinds.contains(&text(value, "/type")) && (1..=most).contains(&length(&value["text"]))
        })
    };
    let either = &["mrkdwn", "plain_text"][..];
    let items = |key: &str| block.get(key).and_then(Value::as_array);
    let fits = length(&block["block_id"]) <= 255
        && match text(block, "/type") {
            "header" => written(block.get("text"), &["plain_text"], 150),
            "section" => {
                let said = block.get("text").is_none() || written(block.get("text"), either, 3000);
                let fields = items("fields").is_none_or(|fields| {
                    (1..=10).contains(&fields.len())
                        && fields.iter().all(|field| written(Some(field), either, 2000))
                });
                said && fields && (block.get("text").is_some() || block.get("fields").is_some())
            }
            "context" => items("elements").is_some_and(|elements| {
                (1..=10).contains(&elements.len())
                    && elements.iter().all(|one| {
                        text(one, "/type") == "image" || written(Some(one), either, 2000)
                    })
            }),
            "actions" => items("elements").is_some_and(|elements| {
                (1..=25).contains(&elements.len())
                    && elements.iter().all(|one| {
                        text(one, "/type") != "button"
                            || (written(one.get("text"), &["plain_text"], 75)
                                && length(&one["value"]) <= 2000
                                && length(&one["url"]) <= 3000
                                && length(&one["action_id"]) <= 255)
                    })
            }),
            "image" => length(&block["image_url"]) <= 3000 && length(&block["alt_text"]) > 0,
            "rich_text" | "divider" | "markdown" => true,
            _ => false,
        };
    if fits { Ok(()) } else { Err("invalid_blocks") }
}

/// Shows a message: who says what, in the colour of its bar.
fn show(sinks: &Sinks, body: &Value, before: &str) {
    let mut said = blocks(body);
    let mut color = None;
    let attachments = body.get("attachments").and_then(Value::as_array);
    for attachment in attachments.into_iter().flatten() {
        color = color.or_else(|| shade(text(attachment, "/color")));
        for key in ["/pretext", "/title", "/text"] {
            said.push(text(attachment, key).to_owned());
        }
        for field in attachment.get("fields").and_then(Value::as_array).into_iter().flatten() {
            said.push(format!("{}: {}", text(field, "/title"), text(field, "/value")));
        }
        said.extend(blocks(attachment));
    }
    said.retain(|part| !part.trim().is_empty());
    // What stands for all of it where only one line is shown.
    if said.is_empty() {
        said.push(text(body, "/text").to_owned());
    }
    let speaker = match text(body, "/username") {
        "" => String::new(),
        name => format!("{name} says  "),
    };
    let text = format!("{before}{speaker}{}", said.join(" · "));
    sinks.show(Arrival { sink: "slack", text: readable(&text), color, taken: true });
}

/// The texts of the blocks.
fn blocks(of: &Value) -> Vec<String> {
    let mut said = Vec::new();
    for block in of.get("blocks").and_then(Value::as_array).into_iter().flatten() {
        said.push(text(block, "/text/text").to_owned());
        for key in ["fields", "elements"] {
            for one in block.get(key).and_then(Value::as_array).into_iter().flatten() {
                let words =
                    one.get("text").map(|text| text.as_str().unwrap_or(self::text(text, "/text")));
                said.push(words.unwrap_or_default().to_owned());
            }
        }
    }
    said
}

/// What people would read.
fn readable(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

/// The colour that a word of Slack's means.
fn shade(color: &str) -> Option<String> {
    match color {
        "" => None,
        "good" => Some("#2eb886".to_owned()),
        "warning" => Some("#daa038".to_owned()),
        "danger" => Some("#a30200".to_owned()),
        other => Some(other.to_owned()),
    }
}
