//! What senders send that a rule understands.

use serde_json::{Value, json};

use super::{BEARER, COMMON, Sample, Source, sample};

pub(super) const SOURCES: &[Source] = &[Source {
    name: "hook alertmanager",
    fires: "alert",
    builds: 2,
    sample: |number| alertmanager(json!([alert(number, "Fire"), alert(number, "Flood")])),
    ignored: Some(|| alertmanager(json!([]))),
    ..COMMON
}];

fn alertmanager(alerts: Value) -> Sample {
    let body = json!({"version": "4", "groupKey": "g", "status": "firing", "alerts": alerts});
    sample("/events/hook/ocean/brig/alertmanager", &[], body, BEARER)
}

fn alert(number: u32, name: &str) -> Value {
    json!({
        "status": "firing",
        "labels": {"alertname": name, "number": number},
        "startsAt": "2026-03-01T10:00:00Z",
    })
}
