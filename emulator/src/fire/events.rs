//! What programs and clouds send.

use super::sample::Choice::{Commit, Message, Ref, Type};
use super::sample::{Draft, Sample, Values};

pub(super) const SAMPLES: &[Sample] = &[
    Sample {
        source: "generic",
        event: "simpleevent",
        fires: Some("simpleevent"),
        about: "a program says that something happened",
        takes: &[Ref, Commit, Message],
        recording: include_str!("../../../tests/payloads/generic/simpleevent.http"),
        fill: |draft, values| {
            draft.set("idempotency-key", &values.id);
            draft.put("/ref", values.full_reference());
            draft.put("/commit", values.commit.clone());
            draft.put_chosen("/say", values.message.clone());
        },
    },
    Sample {
        source: "generic",
        event: "cloudevent",
        fires: Some("cloudevent"),
        about: "a CloudEvent of the version that Brigade took",
        takes: &[Ref, Commit, Type],
        recording: include_str!("../../../tests/payloads/generic/cloudevent-0.2.http"),
        fill: |draft, values| {
            cloudevent(draft, values);
            draft.put("/time", values.now.to_string());
        },
    },
    Sample {
        source: "cloudevents",
        event: "structured",
        fires: Some("com.acme.tide"),
        about: "a CloudEvent that is all in the body",
        takes: &[Ref, Commit, Type],
        recording: include_str!("../../../tests/payloads/cloudevents/structured.http"),
        fill: |draft, values| {
            cloudevent(draft, values);
            draft.put("/time", values.now.to_string());
        },
    },
    Sample {
        source: "cloudevents",
        event: "binary",
        fires: Some("com.acme.tide"),
        about: "a CloudEvent whose attributes are headers",
        takes: &[Type],
        recording: include_str!("../../../tests/payloads/cloudevents/binary.http"),
        fill: |draft, values| {
            draft.set("ce-id", &values.id);
            if let Some(kind) = &values.kind {
                draft.set("ce-type", kind);
            }
        },
    },
    Sample {
        source: "cloudevents",
        event: "batch",
        fires: Some("com.acme.tide"),
        about: "two CloudEvents at once",
        takes: &[Type],
        recording: include_str!("../../../tests/payloads/cloudevents/batch.http"),
        fill: |draft, values| {
            for number in 0..2 {
                draft.put(&format!("/{number}/id"), format!("{}-{number}", values.id));
                draft.put_chosen(&format!("/{number}/type"), values.kind.clone());
            }
        },
    },
    Sample {
        source: "cron",
        event: "schedule",
        fires: Some("cron"),
        about: "a scheduler calls",
        takes: &[Ref],
        recording: include_str!("../../../tests/payloads/cron/cloud-scheduler.http"),
        fill: |draft, values| {
            draft.set("x-cloudscheduler-scheduletime", &values.now.to_string());
            draft.redirect("ref=refs/heads/main", &format!("ref={}", values.full_reference()));
        },
    },
    Sample {
        source: "hook",
        event: "alertmanager",
        fires: Some("alert"),
        about: "Alertmanager tells of two alerts",
        takes: &[Message],
        recording: include_str!("../../../tests/payloads/hook/alertmanager.http"),
        fill: |draft, values| {
            for number in 0..2 {
                draft.put(&format!("/alerts/{number}/startsAt"), values.now.to_string());
                draft.put_chosen(
                    &format!("/alerts/{number}/annotations/summary"),
                    values.message.clone(),
                );
            }
        },
    },
];

fn cloudevent(draft: &mut Draft, values: &Values) {
    draft.put("/id", values.id.clone());
    draft.put_chosen("/type", values.kind.clone());
    draft.put("/data/ref", values.full_reference());
    draft.put("/data/commit", values.commit.clone());
}
