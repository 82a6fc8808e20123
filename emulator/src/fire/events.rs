//! What programs and clouds send.

use super::sample::Choice::{Action, Commit, Image, Message, Ref, Tag, Type};
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
    Sample {
        source: "eventgrid",
        event: "image-pushed",
        fires: Some("Microsoft.ContainerRegistry.ImagePushed"),
        about: "Azure's registry tells Event Grid of a push",
        takes: &[Image, Tag],
        recording: include_str!("../../../tests/payloads/eventgrid/image-pushed.http"),
        fill: |draft, values| {
            let (host, repository, tag) = values.image("acme.azurecr.io");
            draft.put("/0/subject", format!("{repository}:{tag}"));
            draft.put("/0/eventTime", values.now.to_string());
            draft.put("/0/data/timestamp", values.now.to_string());
            draft.put("/0/data/request/host", host);
            draft.put("/0/data/target/repository", repository);
            draft.put("/0/data/target/tag", tag);
            draft.put("/0/data/target/digest", values.digest());
        },
    },
    Sample {
        source: "eventgrid",
        event: "blob-created",
        fires: Some("Microsoft.Storage.BlobCreated"),
        about: "a file is put into storage, in the schema of CloudEvents",
        takes: &[],
        recording: include_str!("../../../tests/payloads/eventgrid/blob-created-cloudevent.http"),
        fill: |draft, values| draft.put("/time", values.now.to_string()),
    },
    Sample {
        source: "kubernetes",
        event: "event",
        fires: Some("Pod:BackOff"),
        about: "an exporter posts an Event of the cluster; --action is its reason",
        takes: &[Action, Message],
        recording: include_str!("../../../tests/payloads/kubernetes/event.http"),
        fill: |draft, values| {
            draft.put("/lastTimestamp", values.now.to_string());
            draft.put_chosen("/reason", values.action.clone());
            draft.put_chosen("/message", values.message.clone());
        },
    },
    Sample {
        source: "kubernetes",
        event: "review",
        fires: Some("Pod:Killing"),
        about: "the API server asks before it stores an Event; --action is its reason",
        takes: &[Action, Message],
        recording: include_str!("../../../tests/payloads/kubernetes/review.http"),
        fill: |draft, values| {
            draft.put("/request/object/lastTimestamp", values.now.to_string());
            draft.put_chosen("/request/object/reason", values.action.clone());
            draft.put_chosen("/request/object/message", values.message.clone());
        },
    },
    Sample {
        source: "slack",
        event: "app_mention",
        fires: Some("app_mention"),
        about: "somebody mentions the app",
        takes: &[Message],
        recording: include_str!("../../../tests/payloads/slack/app_mention.http"),
        fill: |draft, values| {
            draft.put("/event_id", format!("Ev{}", values.id));
            draft.put("/event_time", values.now.as_second());
            draft.put("/event/ts", format!("{}.000100", values.now.as_second()));
            draft.put_chosen("/event/text", values.message.clone());
        },
    },
    Sample {
        source: "slack",
        event: "command",
        fires: Some("slash_command"),
        about: "somebody gives the command /deploy, with --message as its text",
        takes: &[Message],
        recording: include_str!("../../../tests/payloads/slack/command.http"),
        fill: |draft, values| {
            draft.put_field("trigger_id", &values.id);
            if let Some(message) = &values.message {
                draft.put_field("text", message);
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
