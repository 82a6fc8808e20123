//! Amazon's registry, which sends nothing itself: EventBridge tells of it, by the function on Lambda
//! or by an API destination.
//!
//! <https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-eventbridge.html>

use jiff::Timestamp;
use runtime::event::Image;
use serde::Deserialize;
use serde_json::Value;

use super::translation::{Key, Said, Told, read as part, some};
use crate::lenient::{line, moment, object, text};

/// What EventBridge tells by this body, if it tells of Amazon's registry.
pub(super) fn read(body: &Value) -> Option<Told> {
    let event: Event = part(body)?;
    if event.source.as_deref() != Some("aws.ecr") {
        return None;
    }
    let kind = some(&event.detail_type).unwrap_or_default();
    let detail = event.detail.unwrap_or_default();
    let said = |text: &Option<String>| some(text).unwrap_or_default();
    let (action, result) = (said(&detail.action), said(&detail.result));
    let kind = match (kind.as_str(), action.as_str(), result.as_str()) {
        ("ECR Image Action", "PUSH", "SUCCESS") => "image_push",
        ("ECR Image Action", "DELETE", "SUCCESS") => "image_delete",
        (kind, action, result) => {
            let all = [kind, action, result].map(|text| line(text, 50)).join(" ");
            let reason = format!("`{all}` is not an `ECR Image Action` that succeeded");
            return Some(Told::Ignored(reason));
        }
    };
    let host = some(&event.account).zip(some(&event.region)).map(|(account, region)| {
        let end = if region.starts_with("cn-") { ".cn" } else { "" };
        format!("{account}.dkr.ecr.{region}.amazonaws.com{end}")
    });
    let image = some(&detail.repository).map(|repository| Image {
        registry: host.unwrap_or_default(),
        repository,
        tag: some(&detail.tag),
        digest: some(&detail.digest),
    });
    let key = some(&event.id).map_or(Key::Body, Key::Element);
    Some(Told::Said(vec![Said { provider: "ecr", kind, image, time: event.time, key }]))
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Event {
    #[serde(deserialize_with = "text")]
    id: Option<String>,
    #[serde(deserialize_with = "text")]
    detail_type: Option<String>,
    #[serde(deserialize_with = "text")]
    source: Option<String>,
    #[serde(deserialize_with = "text")]
    account: Option<String>,
    #[serde(deserialize_with = "text")]
    region: Option<String>,
    #[serde(deserialize_with = "moment")]
    time: Option<Timestamp>,
    #[serde(deserialize_with = "object")]
    detail: Option<Detail>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Detail {
    #[serde(rename = "result", deserialize_with = "text")]
    result: Option<String>,
    #[serde(rename = "repository-name", deserialize_with = "text")]
    repository: Option<String>,
    #[serde(rename = "image-digest", deserialize_with = "text")]
    digest: Option<String>,
    #[serde(rename = "action-type", deserialize_with = "text")]
    action: Option<String>,
    #[serde(rename = "image-tag", deserialize_with = "text")]
    tag: Option<String>,
}
