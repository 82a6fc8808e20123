//! What is posted to be told to somebody.

use super::sample::Choice::{Commit, Image, Message, Ref, Tag};
use super::sample::{Draft, Sample, Values};

/// The event of all of them; only their own script hears it.
const FIRES: Option<&str> = Some("notify");

pub(super) const SAMPLES: &[Sample] = &[
    Sample {
        source: "notify-slack",
        event: "image",
        fires: FIRES,
        about: "Slack is told of an image that is pushed to Azure Container Registry",
        takes: &[Image, Tag],
        recording: include_str!("../../../tests/payloads/notify-slack/image.http"),
        fill: |draft, values| {
            let (host, repository, tag) = values.image("acme.azurecr.io");
            draft.put("/target/repository", repository);
            draft.put("/target/tag", tag);
            draft.put("/target/digest", values.digest());
            draft.put("/request/host", host);
            draft.put("/timestamp", values.now.to_string());
        },
    },
    Sample {
        source: "notify-slack",
        event: "message",
        fires: FIRES,
        about: "Slack is told a message",
        takes: &[Message],
        recording: include_str!("../../../tests/payloads/notify-slack/message.http"),
        fill: message,
    },
    Sample {
        source: "notify-slack",
        event: "incoming-webhook",
        fires: FIRES,
        about: "Slack is told what was posted to its own webhook before",
        takes: &[Message],
        recording: include_str!("../../../tests/payloads/notify-slack/incoming-webhook.http"),
        fill: |draft, values| draft.put_chosen("/text", values.message.clone()),
    },
    Sample {
        source: "notify-slack",
        event: "alerts",
        fires: FIRES,
        about: "Slack is told of two alerts, as Alertmanager and Grafana tell them",
        takes: &[Message],
        recording: include_str!("../../../tests/payloads/notify-slack/alerts.http"),
        fill: |draft, values| {
            draft.put("/alerts/0/startsAt", values.now.to_string());
            draft.put("/alerts/1/endsAt", values.now.to_string());
            draft.put_chosen("/alerts/0/annotations/summary", values.message.clone());
        },
    },
    Sample {
        source: "notify-slack",
        event: "build-failed",
        fires: FIRES,
        about: "Slack is told of a build that failed somewhere",
        takes: &[Ref, Commit, Message],
        recording: include_str!("../../../tests/payloads/notify-slack/build-failed.http"),
        fill: build,
    },
    Sample {
        source: "notify-teams",
        event: "message",
        fires: FIRES,
        about: "Teams is told a message",
        takes: &[Message],
        recording: include_str!("../../../tests/payloads/notify-teams/message.http"),
        fill: message,
    },
    Sample {
        source: "notify-github",
        event: "build-failed",
        fires: FIRES,
        about: "GitHub is told of a build that failed somewhere",
        takes: &[Ref, Commit, Message],
        recording: include_str!("../../../tests/payloads/notify-github/build-failed.http"),
        fill: build,
    },
    Sample {
        source: "notify-webhook",
        event: "event",
        fires: FIRES,
        about: "a program is given a CloudEvent, signed",
        takes: &[],
        recording: include_str!("../../../tests/payloads/notify-webhook/event.http"),
        fill: |draft, values| draft.put("/time", values.now.to_string()),
    },
    Sample {
        source: "notify-email",
        event: "anything",
        fires: FIRES,
        about: "JSON of which nothing is known is sent by email",
        takes: &[],
        recording: include_str!("../../../tests/payloads/notify-email/anything.http"),
        fill: |_draft, _values| {},
    },
];

fn message(draft: &mut Draft, values: &Values) {
    draft.put_chosen("/message", values.message.clone());
}

fn build(draft: &mut Draft, values: &Values) {
    draft.put("/time", values.now.to_string());
    draft.put("/data/finished", values.now.to_string());
    draft.put("/data/ref", values.full_reference());
    draft.put_chosen("/data/title", values.message.clone());
}
