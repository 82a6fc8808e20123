//! What is posted to be told to somebody.

use serde_json::{Value, json};

use super::{BEARER, COMMON, Proof, Source, sample};

const URI: &str = "/notify/slack/ocean/brig";

/// What all of them have in common.
const NOTIFY: Source = Source { fires: "notify", job: "slack-notify", ..COMMON };

pub(super) const SOURCES: &[Source] = &[
    Source {
        name: "notify message",
        sample: |number| {
            let key = format!("watch-{number}");
            let fields = json!([{"title": "Wind", "value": "7 Bft"}]);
            let body = json!({
                "message": "All hands", "title": "Watch", "color": "danger", "fields": fields,
                "url": "https://ocean.example/watch",
            });
            sample(URI, &[("idempotency-key", &key)], body, BEARER)
        },
        ..NOTIFY
    },
    Source {
        name: "notify message signed",
        sample: |number| {
            let body = json!({"message": format!("Watch {number}")});
            sample(URI, &[], body, Proof::Headers(super::generic::standard_webhook))
        },
        ..NOTIFY
    },
    Source {
        name: "notify message as to Slack",
        sample: |number| {
            let attachment = json!({
                "title": "Watch", "text": "<https://ocean.example|all> hands", "color": "good",
                "fields": [{"title": "Number", "value": number}],
            });
            let body = json!({"text": "Ahoy", "attachments": [attachment]}).to_string();
            let form = format!("payload={}", super::encoded(&body));
            let media = ("content-type", "application/x-www-form-urlencoded");
            sample(&format!("{URI}/{{token}}"), &[media], form, Proof::Uri)
        },
        is_known_again: false,
        ..NOTIFY
    },
    Source {
        name: "notify anything",
        sample: |number| {
            let key = format!("tide-{number}");
            let body = json!({"subject": "Tide", "level": 3.1, "rising": true, "at": {"x": 1}});
            sample(
                &format!("{URI}?token={{token}}"),
                &[("idempotency-key", &key)],
                body,
                Proof::Uri,
            )
        },
        ..NOTIFY
    },
    Source {
        name: "notify registry acr",
        sample: |number| {
            sample(
                &format!("{URI}/{{token}}"),
                &[],
                super::registry::acr(number, "push"),
                Proof::Uri,
            )
        },
        ignored: Some(|| {
            let ping = json!({"id": "1", "timestamp": "2026-03-01T10:00:00Z", "action": "ping"});
            sample(URI, &[], ping, BEARER)
        }),
        ..NOTIFY
    },
    Source {
        name: "notify registry distribution",
        sample: |number| sample(URI, &[], super::registry::distribution(number, "push"), BEARER),
        ignored: Some(|| sample(URI, &[], super::registry::distribution(1, "pull"), BEARER)),
        ..NOTIFY
    },
    Source {
        name: "notify alerts",
        sample: |number| {
            let alert = |status: &str| {
                json!({
                    "status": status,
                    "labels": {"alertname": "Leak", "severity": "page", "deck": number},
                    "annotations": {"summary": "There is water below."},
                    "startsAt": "2026-03-01T10:00:00Z",
                    "endsAt": "0001-01-01T00:00:00Z",
                })
            };
            let body = json!({
                "receiver": "brigantine",
                "status": "firing",
                "alerts": [alert("firing"), alert("resolved")],
                "groupLabels": {"alertname": "Leak"},
                "commonLabels": {"alertname": "Leak", "severity": "page"},
                "commonAnnotations": {},
                "externalURL": "https://alerts.ocean.example",
                "groupKey": "{}:{alertname=\"Leak\"}",
            });
            sample(URI, &[], body, BEARER)
        },
        // Alertmanager repeats itself, and means it.
        is_known_again: false,
        ..NOTIFY
    },
    Source {
        name: "notify cloudevent",
        sample: |number| {
            let structured = ("content-type", "application/cloudevents+json");
            sample(URI, &[structured], event(&format!("{number}")), BEARER)
        },
        ..NOTIFY
    },
    Source {
        name: "notify cloudevent binary",
        sample: |number| {
            let headers = [
                ("content-type", "text/plain"),
                ("ce-specversion", "1.0"),
                ("ce-type", "com.ocean.tide"),
                ("ce-source", "/harbour/gauge"),
                ("ce-id", &*format!("{number}")),
            ];
            sample(URI, &headers, "0.4 m", BEARER)
        },
        is_json: false,
        ..NOTIFY
    },
    Source {
        name: "notify cloudevents batch",
        builds: 2,
        sample: |number| {
            let batch = ("content-type", "application/cloudevents-batch+json");
            let events = json!([event(&format!("{number}-1")), event(&format!("{number}-2"))]);
            sample(URI, &[batch], events, BEARER)
        },
        ..NOTIFY
    },
    Source {
        name: "notify build",
        sample: |number| {
            let structured = ("content-type", "application/cloudevents+json");
            let mut event = event(&format!("{number}"));
            event["type"] = json!("dev.brigantine.build.failed");
            event["data"] = json!({
                "build": "01kjmge4005ewm4st3vhf1kp7g",
                "project": "ocean/brig",
                "repository": "ocean/brig",
                "event": "push",
                "provider": "github",
                "commit": "2222222222222222222222222222222222222222",
                "ref": "refs/heads/main",
                "moment": "failed",
                "phase": "Failed",
                "reason": "job test failed",
                "url": "https://builds.ocean.example/1",
                "jobs": [{"name": "test", "phase": "Failed", "log": "1 of 2 failed"}],
            });
            sample(URI, &[structured], event, BEARER)
        },
        ..NOTIFY
    },
    Source {
        name: "notify eventgrid",
        sample: |number| {
            let event = json!({
                "id": format!("event-{number}"),
                "topic": "/subscriptions/1/resourceGroups/x/providers/Microsoft.ContainerRegistry/registries/ocean",
                "subject": "app:v1",
                "eventType": "Microsoft.ContainerRegistry.ImagePushed",
                "eventTime": "2026-03-01T10:00:00Z",
                "dataVersion": "1.0",
                "metadataVersion": "1",
                "data": super::registry::acr(number, "push"),
            });
            sample(&format!("{URI}/{{token}}"), &[], json!([event]), Proof::Uri)
        },
        ..NOTIFY
    },
];

fn event(id: &str) -> Value {
    json!({
        "specversion": "1.0",
        "type": "com.ocean.tide",
        "source": "/harbour/gauge",
        "id": id,
        "time": "2026-03-01T10:00:00Z",
        "subject": "high",
        "data": {"level": 3.1, "message": "The tide is high."},
    })
}
