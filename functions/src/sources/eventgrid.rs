//! What Azure Event Grid delivers.

use serde_json::{Value, json};

use super::{BEARER, COMMON, Proof, Sample, Source, sample};

const PUSHED: &str = "Microsoft.ContainerRegistry.ImagePushed";

pub(super) const SOURCES: &[Source] = &[
    Source {
        name: "eventgrid",
        fires: PUSHED,
        sample: |number| delivery(json!([event(&format!("{number}"), PUSHED)])),
        ignored: Some(|| {
            delivery(json!([event("1", "Microsoft.EventGrid.SubscriptionDeletedEvent")]))
        }),
        unproved: 403,
        ..COMMON
    },
    Source {
        name: "eventgrid several",
        fires: PUSHED,
        builds: 2,
        sample: |number| {
            let [one, two] = [1, 2].map(|part| event(&format!("{number}-{part}"), PUSHED));
            delivery(json!([one, two]))
        },
        unproved: 403,
        ..COMMON
    },
    Source {
        name: "eventgrid cloudevent",
        fires: "Microsoft.Storage.BlobCreated",
        sample: |number| {
            let body = json!({
                "specversion": "1.0",
                "id": format!("delivery-{number}"),
                "source": "/subscriptions/s/storageAccounts/ocean",
                "subject": "/blobs/app.zip",
                "type": "Microsoft.Storage.BlobCreated",
                "time": "2026-03-01T10:00:00.1234567Z",
                "data": {"url": "https://ocean.blob.core.windows.net/drop/app.zip"},
            });
            let structured = ("content-type", "application/cloudevents+json; charset=utf-8");
            sample("/eventgrid/ocean%2Fbrig", &[structured], body, BEARER)
        },
        unproved: 403,
        ..COMMON
    },
];

fn delivery(events: Value) -> Sample {
    let kind = ("aeg-event-type", "Notification");
    sample("/eventgrid/ocean%2Fbrig/{token}", &[kind], events, Proof::Uri)
}

fn event(id: &str, kind: &str) -> Value {
    json!({
        "id": format!("delivery-{id}"),
        "topic": "/subscriptions/s/resourceGroups/g/registries/ocean",
        "subject": "team/app:1.0",
        "eventType": kind,
        "eventTime": "2026-03-01T10:00:00.1234567Z",
        "data": {
            "action": "push",
            "target": {"digest": "sha256:8a2f", "repository": "team/app", "tag": "1.0"},
            "request": {"host": "ocean.azurecr.io"},
        },
        "dataVersion": "2.0",
        "metadataVersion": "1",
    })
}
