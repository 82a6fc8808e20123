//! Docker Hub's webhooks: `push_data` and a `repository`. Its `callback_url` is never called.

use jiff::Timestamp;
use runtime::event::Image;
use serde::Deserialize;
use serde_json::Value;

use super::translation::{Key, Said, Told, read as part, some};
use crate::lenient::{moment, object, text};

/// Where the images of Docker Hub are pulled from.
const REGISTRY: &str = "docker.io";

/// What Docker Hub tells by this body, if it is Docker Hub's.
pub(super) fn read(body: &Value) -> Option<Told> {
    let Delivery { push_data: Some(push), repository: Some(repository) } = part(body)? else {
        return None;
    };
    let parts = some(&repository.namespace).zip(some(&repository.name));
    let parts = parts.map(|(namespace, name)| format!("{namespace}/{name}"));
    let name = some(&repository.repo_name).or(parts);
    let tag = some(&push.tag);
    // Counts of stars and the like change between two deliveries of one push.
    let key = match push.pushed_at {
        Some(at) => Key::Element(format!(
            "{}\n{}\n{}",
            name.as_deref().unwrap_or_default(),
            tag.as_deref().unwrap_or_default(),
            at.as_millisecond(),
        )),
        None => Key::None,
    };
    let image = name.map(|repository| Image {
        registry: REGISTRY.to_owned(),
        repository,
        tag,
        digest: None,
    });
    let (provider, kind) = ("dockerhub", "image_push");
    Some(Told::Said(vec![Said { provider, kind, image, time: push.pushed_at, key }]))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Delivery {
    #[serde(deserialize_with = "object")]
    push_data: Option<Push>,
    #[serde(deserialize_with = "object")]
    repository: Option<Repository>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Push {
    #[serde(deserialize_with = "moment")]
    pushed_at: Option<Timestamp>,
    #[serde(deserialize_with = "text")]
    tag: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Repository {
    #[serde(deserialize_with = "text")]
    name: Option<String>,
    #[serde(deserialize_with = "text")]
    namespace: Option<String>,
    #[serde(deserialize_with = "text")]
    repo_name: Option<String>,
}
