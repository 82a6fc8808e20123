//! Microsoft Teams: Workflows, and the older connectors.
//!
//! <https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook>,
//! <https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using>

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::{Arrival, Sinks, Told, slow_down, text};

/// The largest message.
const LIMIT: usize = 28 * 1024;

/// So many messages a second.
const RATE: f64 = 4.0;

pub(super) fn tell(sinks: &Sinks, told: &Told<'_>) -> Response {
    let is_connector = told.host.contains("office.com");
    let refuse = |code: StatusCode, words: String| {
        let text = format!("refuses a message: {words}");
        sinks.show(Arrival { sink: "teams", text, ..Arrival::default() });
        // Connectors say that all is well, and then that it is not.
        let code = if is_connector && code != StatusCode::PAYLOAD_TOO_LARGE {
            StatusCode::OK
        } else {
            code
        };
        (code, words).into_response()
    };
    if told.body.len() > LIMIT {
        let words = "Microsoft Teams endpoint returned HTTP error 413: the message is too large";
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, words.to_owned());
    }
    let body: Value = serde_json::from_slice(told.body).unwrap_or_default();
    let said = match card(&body) {
        Ok(said) => said,
        Err(words) => return refuse(StatusCode::BAD_REQUEST, words.to_owned()),
    };
    if let Some(seconds) = sinks.too_much(told.path, RATE, RATE) {
        if is_connector {
            let words = "Webhook message delivery failed with error: Microsoft Teams endpoint \
                         returned HTTP error 429 with ContextId emulator";
            return (StatusCode::OK, words).into_response();
        }
        return slow_down(seconds, "too many requests");
    }
    sinks.show(Arrival { sink: "teams", text: said, color: None, taken: true });
    if is_connector {
        (StatusCode::OK, "1").into_response()
    } else {
        StatusCode::ACCEPTED.into_response()
    }
}

/// What a card says, if it is one.
fn card(body: &Value) -> Result<String, &'static str> {
    if text(body, "/type") != "message" {
        return Err("Bad payload received by generic incoming webhook: the type is not message");
    }
    let card = body.pointer("/attachments/0").ok_or("Summary or Text is required.")?;
    if text(card, "/contentType") != "application/vnd.microsoft.card.adaptive" {
        return Err("Bad payload received by generic incoming webhook: no Adaptive Card");
    }
    let card = &card["content"];
    let is_card = text(card, "/type") == "AdaptiveCard" && !text(card, "/version").is_empty();
    let elements = card["body"].as_array().filter(|_| is_card);
    let elements = elements.ok_or("Invalid Adaptive Card: type, version and body are required")?;
    let mut said = Vec::new();
    elements.iter().for_each(|element| collect(element, &mut said));
    said.retain(|part| !part.trim().is_empty());
    Ok(said.join(" · "))
}

/// The texts of an element and of those in it.
fn collect(element: &Value, said: &mut Vec<String>) {
    match element {
        Value::Array(all) => all.iter().for_each(|one| collect(one, said)),
        Value::Object(members) => {
            if let (Some(title), Some(value)) =
                (element["title"].as_str(), element["value"].as_str())
            {
                said.push(format!("{title} {value}"));
            } else if let Some(text) = element["text"].as_str() {
                said.push(text.to_owned());
            }
            for key in ["items", "facts", "columns", "body", "inlines", "rows", "cells"] {
                members.get(key).into_iter().for_each(|inner| collect(inner, said));
            }
        }
        _ => {}
    }
}
