//! Azure Container Registry's own webhooks: an `action` and its `target`.

use jiff::Timestamp;
use runtime::event::Image;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::translation::{Key, Said, Told, read as part, some};
use crate::lenient::{line, moment, object, text};

/// What Azure tells by this body, if it is Azure's.
pub(super) fn read(body: &Value) -> Option<Told> {
    let delivery: Delivery = part(body)?;
    let action = delivery.action?;
    let Some(target) = delivery.target else {
        let is_ping =
            action == "ping" && body["push_data"].is_null() && body["repository"].is_null();
        return is_ping.then_some(Told::Ping);
    };
    let kind = match action.as_str() {
        "push" => "image_push",
        "delete" => "image_delete",
        "chart_push" => "chart_push",
        "chart_delete" => "chart_delete",
        "quarantine" => {
            let reason = "the image is in quarantine; its push is built once it has passed";
            return Some(Told::Ignored(reason.to_owned()));
        }
        other => {
            let reason = format!("the action `{}` is not built", line(other, 50));
            return Some(Told::Ignored(reason));
        }
    };
    // Charts come without the registry's name.
    let registry = delivery.request.and_then(|request| request.host).unwrap_or_default();
    let image = some(&target.repository).map(|repository| Image {
        registry,
        repository,
        tag: some(&target.tag),
        digest: some(&target.digest),
    });
    let distinct = delivery.id.is_some() || delivery.timestamp.is_some();
    let key = if distinct { Key::Body } else { Key::None };
    Some(Told::Said(vec![Said { provider: "acr", kind, image, time: delivery.timestamp, key }]))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Delivery {
    #[serde(deserialize_with = "text")]
    action: Option<String>,
    id: Option<IgnoredAny>,
    #[serde(deserialize_with = "object")]
    request: Option<Sender>,
    #[serde(deserialize_with = "object")]
    target: Option<Target>,
    #[serde(deserialize_with = "moment")]
    timestamp: Option<Timestamp>,
}

/// What a registry says of itself.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Sender {
    #[serde(deserialize_with = "text")]
    pub(super) host: Option<String>,
}

/// What a registry says of an image or a chart.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Target {
    #[serde(deserialize_with = "text")]
    pub(super) digest: Option<String>,
    #[serde(rename = "mediaType", deserialize_with = "text")]
    pub(super) media_type: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) repository: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) tag: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) url: Option<String>,
}
