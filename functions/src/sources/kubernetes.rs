//! What exporters of a cluster's Events post. What API servers ask is always allowed, so that it has
//! tests of its own.

use serde_json::{Value, json};

use super::{COMMON, Proof, Sample, Source, sample};

pub(super) const SOURCES: &[Source] = &[
    Source {
        name: "kubernetes event",
        fires: "Pod:Killing",
        sample: |number| post(event(&format!("{number}"), "web-1")),
        ignored: Some(|| post(event("1", "brigade-worker-x"))),
        ..COMMON
    },
    Source {
        name: "kubernetes list",
        fires: "Pod:Killing",
        builds: 2,
        sample: |number| {
            let [one, two] = [1, 2].map(|part| event(&format!("{number}-{part}"), "web-1"));
            post(json!({"apiVersion": "v1", "kind": "EventList", "items": [one, two]}))
        },
        ..COMMON
    },
];

fn post(body: Value) -> Sample {
    sample("/events/kubernetes/ocean/brig/{token}", &[], body, Proof::Uri)
}

fn event(id: &str, pod: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "web-1.17706", "namespace": "shop", "uid": format!("event-{id}")},
        "involvedObject": {"kind": "Pod", "namespace": "shop", "name": pod},
        "reason": "Killing",
        "message": "Stopping container web",
        "lastTimestamp": "2026-03-01T10:00:00Z",
        "count": 1,
    })
}
