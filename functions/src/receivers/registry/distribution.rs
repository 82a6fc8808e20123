//! Notifications of the `distribution` registry, and so of GitLab's and of others that are made of
//! it: `events`, of which those count that are about a manifest.

use jiff::Timestamp;
use runtime::event::Image;
use serde::Deserialize;
use serde_json::Value;

use super::azure::{Sender, Target};
use super::translation::{Key, MOST, Said, Told, read as part, some};
use crate::lenient::{line, list, moment, object, text};

/// What begins the media types of manifests and of lists of them.
const MANIFESTS: [&str; 4] = [
    "application/vnd.docker.distribution.manifest.",
    "application/vnd.oci.artifact.manifest.",
    "application/vnd.oci.image.index.",
    "application/vnd.oci.image.manifest.",
];

/// What a registry tells by this body, if it is a notification.
pub(super) fn read(body: &Value) -> Option<Told> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Delivery {
        #[serde(deserialize_with = "list")]
        events: Option<Vec<Value>>,
    }
    let events = part::<Delivery>(body)?.events?;
    let is_event = |event: &Value| event["action"].is_string() && event["target"].is_object();
    if events.iter().any(|event| !is_event(event)) {
        return None;
    }
    let said: Vec<Said> = events.iter().filter_map(said).take(MOST + 1).collect();
    if !said.is_empty() {
        return Some(Told::Said(said));
    }
    let first = events.first().map(|event| {
        let of = event["target"]["mediaType"].as_str().unwrap_or("no type");
        let action = event["action"].as_str().unwrap_or_default();
        format!(": the first is a `{}` of `{}`", line(action, 50), line(of, 100))
    });
    let reason = "none of its events is a push or a deletion of a manifest";
    Some(Told::Ignored(format!("{reason}{}", first.unwrap_or_default())))
}

fn said(value: &Value) -> Option<Said> {
    let event: Event = part(value)?;
    let target = event.target?;
    let kind = match event.action.as_deref()? {
        // Only blobs are mounted; should that change, it is a push.
        "push" | "mount" if is_manifest(&target) => "image_push",
        // A deletion has neither a media type nor an address. One of a whole repository has no
        // digest either, and one of a tag only that.
        "delete" if target.media_type.is_none() || is_manifest(&target) => "image_delete",
        _ => return None,
    };
    let registry = event.request.and_then(|request| request.host).unwrap_or_default();
    // A batch may be put together otherwise when it is sent again.
    let distinct = some(&event.id).is_some() || event.timestamp.is_some();
    Some(Said {
        provider: "distribution",
        kind,
        image: some(&target.repository).map(|repository| Image {
            registry,
            repository,
            tag: some(&target.tag),
            digest: some(&target.digest),
        }),
        time: event.timestamp,
        key: if distinct { Key::Element(value.to_string()) } else { Key::None },
    })
}

fn is_manifest(target: &Target) -> bool {
    let media = target.media_type.as_deref().unwrap_or_default();
    match target.url.as_deref() {
        _ if MANIFESTS.iter().any(|start| media.starts_with(start)) => true,
        // Old registries have one type for everything.
        Some(url) => {
            matches!(media, "" | "application/octet-stream" | "application/json")
                && url.contains("/manifests/")
        }
        None => false,
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event {
    #[serde(deserialize_with = "text")]
    action: Option<String>,
    #[serde(deserialize_with = "text")]
    id: Option<String>,
    #[serde(deserialize_with = "object")]
    request: Option<Sender>,
    #[serde(deserialize_with = "object")]
    target: Option<Target>,
    #[serde(deserialize_with = "moment")]
    timestamp: Option<Timestamp>,
}
