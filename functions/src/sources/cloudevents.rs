//! What senders of CloudEvents 1.0 send.

use serde_json::{Value, json};

use super::{BEARER, COMMON, Source, sample};

const URI: &str = "/cloudevents/v1/ocean/brig";

pub(super) const SOURCES: &[Source] = &[
    Source {
        name: "cloudevents structured",
        fires: "com.ocean.tide",
        sample: |number| {
            let structured = ("content-type", "application/cloudevents+json; charset=utf-8");
            sample(URI, &[structured], event(&format!("{number}")), BEARER)
        },
        ..COMMON
    },
    Source {
        name: "cloudevents binary",
        fires: "com.ocean.tide",
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
        ..COMMON
    },
    Source {
        name: "cloudevents batch",
        fires: "com.ocean.tide",
        builds: 2,
        sample: |number| {
            let batch = ("content-type", "application/cloudevents-batch+json");
            let events = json!([event(&format!("{number}-1")), event(&format!("{number}-2"))]);
            sample(URI, &[batch], events, BEARER)
        },
        ..COMMON
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
        "data": {"ref": "refs/heads/main", "level": 3.1},
    })
}
