//! What programs send that know nothing of Brigantine.

use runtime::signature;
use serde_json::json;

use super::{BEARER, COMMON, Headers, Proof, Source, sample};

pub(super) const SOURCES: &[Source] = &[
    Source {
        name: "generic simpleevent",
        fires: "simpleevent",
        sample: |number| {
            let key = format!("nightly-{number}");
            let body = json!({"ref": "refs/heads/main", "say": "hello"});
            let uri = "/simpleevents/v1/ocean%2Fbrig/{token}";
            sample(uri, &[("idempotency-key", &key)], body, Proof::Uri)
        },
        unknown: 400,
        ..COMMON
    },
    Source {
        name: "generic simpleevent signed",
        fires: "simpleevent",
        sample: |number| {
            let proof = Proof::Headers(|secret, body| {
                vec![("x-hub-signature-256", signature::sign_github(secret, body))]
            });
            let body = json!({"ref": "refs/heads/main", "number": number});
            sample("/simpleevents/v1/ocean%2Fbrig", &[], body, proof)
        },
        unknown: 400,
        ..COMMON
    },
    Source {
        name: "generic standard webhook",
        fires: "simpleevent",
        sample: |number| {
            let body = json!({"ref": "refs/heads/main", "number": number});
            sample("/simpleevents/v1/ocean%2Fbrig", &[], body, Proof::Headers(standard_webhook))
        },
        unknown: 400,
        ..COMMON
    },
    Source {
        name: "generic cloudevent",
        fires: "cloudevent",
        sample: |number| {
            let body = json!({
                "specversion": "0.2",
                "type": "com.ocean.tide",
                "source": "/harbour/gauge",
                "id": format!("tide-{number}"),
                "time": "2026-03-01T10:00:00Z",
                "data": {"ref": "refs/heads/main", "level": 3.1},
            });
            sample("/cloudevents/v02/ocean%2Fbrig", &[], body, BEARER)
        },
        unknown: 400,
        ..COMMON
    },
];

/// The headers of Standard Webhooks, with a name that follows from the body.
pub(super) fn standard_webhook(secret: &str, body: &[u8]) -> Headers {
    let step = |sum: u32, byte: &u8| sum.wrapping_mul(31).wrapping_add(u32::from(*byte));
    let id = format!("msg_{}", body.iter().fold(7, step));
    let seconds = jiff::Timestamp::now().as_second().to_string();
    let stamp = signature::Stamp { id: &id, seconds: &seconds };
    let value = signature::scheme::STANDARD_WEBHOOKS.sign(secret, stamp, body);
    let value = value.unwrap_or_default();
    vec![("webhook-signature", value), ("webhook-id", id), ("webhook-timestamp", seconds)]
}
