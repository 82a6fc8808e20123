//! A program of one's own, which takes CloudEvents and any other JSON, and looks at signatures.
//!
//! <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md>,
//! <https://www.standardwebhooks.com>

use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use runtime::signature::Secrets;
use runtime::signature::scheme::STANDARD_WEBHOOKS;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::{Arrival, Sinks, Told, text};

/// The secret of a project that signs what its webhooks are told.
const SECRET: &str = "WEBHOOK_SECRET";

pub(super) fn tell(sinks: &Sinks, told: &Told<'_>) -> Response {
    let refuse = |code: StatusCode, words: &str| {
        let text = format!("{} refuses a message: {words}", told.host);
        sinks.show(Arrival { sink: "webhook", text, ..Arrival::default() });
        (code, words.to_owned()).into_response()
    };
    if told.method != Method::POST {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "a webhook is told by POST");
    }
    let signed = told.headers.contains_key(STANDARD_WEBHOOKS.header);
    if signed && !is_of_a_project(sinks, told) {
        return refuse(StatusCode::UNAUTHORIZED, "no project's WEBHOOK_SECRET has signed it");
    }
    let kind = told.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.unwrap_or_default();
    let body: Value = serde_json::from_slice(told.body).unwrap_or_default();
    let event = if kind.starts_with("application/cloudevents+json") {
        body
    } else if told.headers.contains_key("ce-specversion") {
        let attribute = |name: &str| {
            let value = told.headers.get(format!("ce-{name}"));
            value.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        json!({
            "specversion": attribute("specversion"), "id": attribute("id"),
            "source": attribute("source"), "type": attribute("type"),
            "subject": attribute("subject"), "data": body,
        })
    } else {
        let how = if signed { ", signed" } else { "" };
        let text = format!("{} hears {} bytes of {kind}{how}", told.host, told.body.len());
        sinks.show(Arrival { sink: "webhook", text, color: None, taken: true });
        return (StatusCode::OK, "ok").into_response();
    };
    if text(&event, "/specversion") != "1.0" {
        return refuse(StatusCode::BAD_REQUEST, "the specversion is not 1.0");
    }
    if let Some(missing) = ["id", "source", "type"]
        .into_iter()
        .find(|name| text(&event, &format!("/{name}")).is_empty())
    {
        return refuse(StatusCode::BAD_REQUEST, &format!("the attribute {missing} is missing"));
    }
    let text = format!(
        "{} hears {} {}{}",
        told.host,
        text(&event, "/type"),
        text(&event, "/id"),
        if signed { ", signed" } else { "" },
    );
    sinks.show(Arrival { sink: "webhook", text, color: None, taken: true });
    StatusCode::NO_CONTENT.into_response()
}

fn is_of_a_project(sinks: &Sinks, told: &Told<'_>) -> bool {
    sinks.projects.iter().any(|project| {
        let secret = project.secrets.get(SECRET).and_then(Value::as_str).unwrap_or_default();
        let secret = SecretString::from(secret.to_owned());
        let secrets = Secrets::of(&secret);
        let now = Timestamp::now();
        STANDARD_WEBHOOKS.verify(&secrets, told.headers, told.body, now).is_ok()
    })
}
