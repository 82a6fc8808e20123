//! Quay's notifications: they do not say what has happened, but a push alone has `updated_tags`.

use runtime::event::Image;
use serde::Deserialize;
use serde_json::Value;

use super::translation::{Key, MOST, Said, Told, is_image, locate, read as part, some};
use crate::lenient::{list, text};

/// What Quay tells by this body, if it is Quay's.
pub(super) fn read(body: &Value) -> Option<Told> {
    let delivery: Delivery = part(body)?;
    let Some(tags) = &delivery.updated_tags else {
        let is_quay = delivery.homepage.is_some() && delivery.namespace.is_some();
        return is_quay.then(|| Told::Ignored(unbuilt(body)));
    };
    let (host, path) = locate(delivery.docker_url.as_deref().unwrap_or_default());
    let home = || locate(delivery.homepage.as_deref().unwrap_or_default()).0;
    let parts = some(&delivery.namespace).zip(some(&delivery.name));
    let parts = parts.map(|(namespace, name)| format!("{namespace}/{name}"));
    let registry = host.or_else(home).unwrap_or_default();
    let repository = some(&delivery.repository).or(path).or(parts);
    let said = |tag: Option<String>| Said {
        provider: "quay",
        kind: "image_push",
        // Looked at here, because a long name would be there for each of the tags.
        image: repository
            .clone()
            .map(|repository| Image { registry: registry.clone(), repository, tag, digest: None })
            .filter(is_image),
        time: None,
        // It says neither when nor what: two pushes of a tag have the same body.
        key: Key::None,
    };
    let mut found: Vec<&str> = Vec::new();
    for tag in tags.iter().filter_map(Value::as_str).filter(|tag| !tag.is_empty()) {
        if found.len() <= MOST && !found.contains(&tag) {
            found.push(tag);
        }
    }
    if found.is_empty() {
        return Some(Told::Said(vec![said(None)]));
    }
    Some(Told::Said(found.into_iter().map(|tag| said(Some(tag.to_owned()))).collect()))
}

/// Why a notification is none of a push, by the members that it has.
fn unbuilt(body: &Value) -> String {
    let has = |member: &str| !body[member].is_null();
    let what = if has("build_id") {
        "a build"
    } else if has("vulnerability") {
        "a vulnerability"
    } else if has("expiring_in") {
        "an image that expires"
    } else if has("threshold_percent") {
        "a quota"
    } else {
        "a mirror, or of something else"
    };
    format!("Quay's notification is of {what}; one of a push has `updated_tags`")
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Delivery {
    #[serde(deserialize_with = "text")]
    docker_url: Option<String>,
    #[serde(deserialize_with = "text")]
    homepage: Option<String>,
    #[serde(deserialize_with = "text")]
    name: Option<String>,
    #[serde(deserialize_with = "text")]
    namespace: Option<String>,
    #[serde(deserialize_with = "text")]
    repository: Option<String>,
    #[serde(deserialize_with = "list")]
    updated_tags: Option<Vec<Value>>,
}
