//! What schedulers send.

use serde_json::json;

use super::{BEARER, COMMON, Source, sample};

pub(super) const SOURCES: &[Source] = &[
    Source {
        name: "cron cloud scheduler",
        fires: "cron",
        sample: |number| {
            let time = format!("2026-03-01T{:02}:{:02}:00Z", number / 60 % 24, number % 60);
            let headers = [
                ("x-cloudscheduler-jobname", "nightly"),
                ("x-cloudscheduler-scheduletime", &*time),
            ];
            sample("/events/cron/ocean/brig?ref=refs/heads/main", &headers, "all of it", BEARER)
        },
        is_json: false,
        ..COMMON
    },
    Source {
        name: "cron eventbridge",
        fires: "cron",
        sample: |number| {
            let body = json!({
                "detail-type": "Scheduled Event",
                "time": 1_772_359_200 + number,
                "resources": ["arn:aws:events:eu-west-1:123456789012:rule/nightly"],
            });
            sample("/events/cron/ocean/brig", &[], body, BEARER)
        },
        is_json: false,
        ..COMMON
    },
];
