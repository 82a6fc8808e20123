//! What Slack sends.

use jiff::Timestamp;
use runtime::signature::{Stamp, scheme};
use serde_json::{Value, json};

use super::{COMMON, Proof, Sample, Source, sample};

pub(super) const SOURCES: &[Source] = &[
    Source {
        name: "slack command",
        fires: "slash_command",
        sample: |number| {
            form(&format!("team_id=T1&command=%2Fdeploy&text=now&trigger_id={number}"))
        },
        ignored: Some(|| form("ssl_check=1")),
        is_json: false,
        in_our_form: false,
        ..COMMON
    },
    Source {
        name: "slack event",
        fires: "app_mention",
        sample: |number| delivery(&callback(number, &json!({"type": "app_mention"}))),
        ignored: Some(|| delivery(&callback(1, &json!({"type": "message", "app_id": "A1"})))),
        ..COMMON
    },
];

const URI: &str = "/slack/ocean/brig";

/// By a signature of this moment.
const SIGNED: Proof = Proof::Headers(|secret, body| {
    let seconds = Timestamp::now().as_second().to_string();
    let signed = scheme::SLACK.sign(secret, Stamp { id: "", seconds: &seconds }, body);
    vec![(scheme::SLACK.header, signed.unwrap_or_default()), ("x-slack-request-timestamp", seconds)]
});

fn form(fields: &str) -> Sample {
    sample(URI, &[("content-type", "application/x-www-form-urlencoded")], fields, SIGNED)
}

fn delivery(body: &Value) -> Sample {
    sample(URI, &[], body, SIGNED)
}

fn callback(number: u32, event: &Value) -> Value {
    json!({
        "type": "event_callback", "team_id": "T1", "api_app_id": "A1",
        "event_id": format!("Ev{number}"), "event_time": 1_772_359_200, "event": event,
    })
}
