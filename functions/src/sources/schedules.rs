//! What schedulers send, and senders for which a project has a rule.

use serde_json::json;

use super::{BEARER, COMMON, Source, sample};

pub(super) const SOURCES: &[Source] = &[
    Source {
        name: "cron",
        fires: "cron",
        sample: |number| {
            let time = format!("2026-03-{:02}T02:00:00Z", 1 + number % 28);
            let body = json!({"schedule": "nightly", "time": time});
            sample("/events/cron/ocean/brig", &[], body, BEARER)
        },
        is_json: false,
        ..COMMON
    },
    Source {
        name: "hook alertmanager",
        fires: "alert",
        builds: 2,
        sample: |number| {
            let alert = |name: &str| {
                json!({
                    "status": "firing",
                    "labels": {"alertname": name},
                    "startsAt": format!("2026-03-{:02}T10:00:00Z", 1 + number % 28),
                    "fingerprint": format!("{name}-{number}"),
                })
            };
            let body = json!({
                "version": "4",
                "groupKey": "g",
                "status": "firing",
                "alerts": [alert("Fire"), alert("Flood")],
            });
            sample("/events/hook/ocean/brig/alertmanager", &[], body, BEARER)
        },
        ..COMMON
    },
];
