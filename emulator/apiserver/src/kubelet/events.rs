//! Events about pods and nodes, written in the background as a real kubelet does.

use std::collections::HashMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::json;
use tokio::sync::mpsc;

/// Distinct events remembered for counting repetitions.
const REMEMBERED: usize = 4096;

/// Where events are handed in.
#[derive(Clone, Debug)]
pub(super) struct Events {
    sender: mpsc::UnboundedSender<Note>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Normal,
    Warning,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Note {
    namespace: String,
    name: String,
    uid: String,
    field: Option<String>,
    kind: Kind,
    reason: &'static str,
    message: String,
}

impl Events {
    /// Starts to write; ends when every handle is gone.
    pub(super) fn start(client: Client, node: String) -> Events {
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(write(client, node, receiver));
        Events { sender }
    }

    /// Records an event about a pod, or about one of its containers, whose field is given.
    pub(super) fn record(
        &self,
        pod: &Pod,
        field: Option<&str>,
        kind: Kind,
        reason: &'static str,
        message: impl Into<String>,
    ) {
        let note = Note {
            namespace: pod.namespace().unwrap_or_default(),
            name: pod.name_any(),
            uid: pod.uid().unwrap_or_default(),
            field: field.map(str::to_owned),
            kind,
            reason,
            message: message.into(),
        };
        // The writer ends with the kubelet; what is said then has no reader.
        let _ = self.sender.send(note);
    }
}

async fn write(client: Client, node: String, mut receiver: mpsc::UnboundedReceiver<Note>) {
    let mut written: HashMap<Note, (String, i32)> = HashMap::new();
    let mut number = 0;
    while let Some(note) = receiver.recv().await {
        let api = Api::<Event>::namespaced(client.clone(), &note.namespace);
        let now = Timestamp::now();
        if let Some((name, count)) = written.get_mut(&note) {
            *count += 1;
            let patch = json!({ "count": *count, "lastTimestamp": seconds(now) });
            match api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await {
                Ok(_) => continue,
                Err(error) => tracing::debug!(%error, "an event is written anew"),
            }
        }
        number = now.as_nanosecond().max(number + 1);
        let event = event(&note, &node, now, number);
        let name = event.name_any();
        match api.create(&PostParams::default(), &event).await {
            Ok(_) => {
                if written.len() >= REMEMBERED {
                    written.clear();
                }
                written.insert(note, (name, 1));
            }
            // As when the namespace is being deleted.
            Err(error) => {
                tracing::debug!(%error, event.reason = note.reason, "an event is not written")
            }
        }
    }
}

/// `number` ends the name: events of one second are shown in the order of their names.
fn event(note: &Note, node: &str, now: Timestamp, number: i128) -> Event {
    let mut event = Event {
        count: Some(1),
        first_timestamp: Some(seconds(now)),
        last_timestamp: Some(seconds(now)),
        involved_object: ObjectReference {
            api_version: Some(Pod::api_version(&()).into_owned()),
            kind: Some(Pod::kind(&()).into_owned()),
            namespace: Some(note.namespace.clone()),
            name: Some(note.name.clone()),
            uid: Some(note.uid.clone()),
            field_path: note.field.clone(),
            ..ObjectReference::default()
        },
        message: Some(note.message.clone()),
        reason: Some(note.reason.to_owned()),
        type_: Some(match note.kind {
            Kind::Normal => "Normal".to_owned(),
            Kind::Warning => "Warning".to_owned(),
        }),
        source: Some(EventSource {
            component: Some("kubelet".to_owned()),
            host: Some(node.to_owned()),
        }),
        reporting_component: Some("kubelet".to_owned()),
        reporting_instance: Some(node.to_owned()),
        ..Event::default()
    };
    // A pod's name may be as long as an event's.
    let stem: String = note.name.chars().take(220).collect();
    event.metadata.name = Some(format!("{}.{number:016x}", stem.trim_end_matches(['.', '-'])));
    event.metadata.namespace = Some(note.namespace.clone());
    event
}

/// A time as Kubernetes has it: without fractions of a second.
pub(super) fn seconds(time: Timestamp) -> Time {
    Time(Timestamp::from_second(time.as_second()).unwrap_or(time))
}
