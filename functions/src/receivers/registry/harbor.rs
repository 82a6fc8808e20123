//! Harbor's webhooks: its own format, with the names of versions 1 and 2, and CloudEvents.
//!
//! Whatever a project asks for besides pushes and deletions has the name that it has in Harbor's
//! CloudEvents, in whichever format it comes.

use jiff::Timestamp;
use runtime::event::Image;
use serde::Deserialize;
use serde_json::Value;

use super::translation::{Key, MOST, Said, Told, is_image, locate, read as part, some};
use crate::body::digest;
use crate::lenient::{line, list, moment, object, text};

/// What an event of Harbor's is here.
enum Kind {
    /// One build for each of its artifacts.
    Common(&'static str),
    /// A build only where it is asked for, by this name.
    Rare(&'static str),
}

/// What Harbor tells by this body, if it is Harbor's.
pub(super) fn read(body: &Value) -> Option<Told> {
    let delivery: Delivery = part(body)?;
    let name = delivery.kind?;
    let (data, time, key) = match (delivery.event_data, delivery.specversion) {
        (Some(data), None) => (data, delivery.occur_at, None),
        (_, Some(_)) if name.starts_with("harbor.") => {
            let key = some(&delivery.source).zip(some(&delivery.id));
            let key = key
                .map(|(source, id)| digest(format!("{} {source}\n{id}", source.len()).as_bytes()));
            (delivery.data.unwrap_or_default(), delivery.time, key)
        }
        _ => return None,
    };
    let images: Vec<Option<Image>> = match data.resources.as_deref() {
        None | Some([]) => vec![image(&data, &Resource::default())],
        Some(resources) => {
            let read = |value: &Value| image(&data, &part(value).unwrap_or_default());
            // One more than may be built is enough to refuse them all.
            resources.iter().take(MOST + 1).map(read).collect()
        }
    };
    let said = |kind: &'static str, index: usize, image: Option<Image>| {
        let key = match &key {
            Some(key) => Key::Element(format!("{key}\n{index}")),
            None if time.is_some() => Key::Body,
            None => Key::None,
        };
        Said { provider: "harbor", kind, image, time, key }
    };
    Some(match kind(&name) {
        Some(Kind::Common(kind)) => {
            let images = images.into_iter().enumerate();
            Told::Said(images.map(|(index, image)| said(kind, index, image)).collect())
        }
        Some(Kind::Rare(kind)) => {
            Told::Rare(Box::new(said(kind, 0, images.into_iter().next().flatten())))
        }
        None => Told::Ignored(format!("Harbor's event `{}` is not built", line(&name, 50))),
    })
}

/// Whether a body could be Harbor's, as far as that is seen before it is proved and read.
pub(crate) fn could_send(body: &[u8]) -> bool {
    let has = |word: &[u8]| body.windows(word.len()).any(|window| window == word);
    has(b"\"event_data\"") || has(b"\"harbor.")
}

fn kind(name: &str) -> Option<Kind> {
    use Kind::{Common, Rare};
    Some(match name {
        "PUSH_ARTIFACT" | "pushImage" | "harbor.artifact.pushed" => Common("image_push"),
        "DELETE_ARTIFACT" | "deleteImage" | "harbor.artifact.deleted" => Common("image_delete"),
        "UPLOAD_CHART" | "uploadChart" => Common("chart_push"),
        "DELETE_CHART" | "deleteChart" => Common("chart_delete"),
        "PULL_ARTIFACT" | "pullImage" | "harbor.artifact.pulled" => Rare("harbor.artifact.pulled"),
        "SCANNING_COMPLETED" | "scanningCompleted" | "harbor.scan.completed" => {
            Rare("harbor.scan.completed")
        }
        "SCANNING_FAILED" | "scanningFailed" | "harbor.scan.failed" => Rare("harbor.scan.failed"),
        "SCANNING_STOPPED" | "harbor.scan.stopped" => Rare("harbor.scan.stopped"),
        "QUOTA_EXCEED" | "quotaExceed" | "harbor.quota.exceeded" => Rare("harbor.quota.exceeded"),
        "QUOTA_WARNING" | "harbor.quota.warned" => Rare("harbor.quota.warned"),
        "REPLICATION" | "harbor.replication.status.changed" => {
            Rare("harbor.replication.status.changed")
        }
        "TAG_RETENTION" | "harbor.tag_retention.finished" => Rare("harbor.tag_retention.finished"),
        _ => return None,
    })
}

fn image(data: &Data, resource: &Resource) -> Option<Image> {
    let repository = data.repository.as_ref();
    let (host, path) = locate(resource.resource_url.as_deref().unwrap_or_default());
    let full = repository.and_then(|repository| some(&repository.repo_full_name));
    let parts = repository
        .and_then(|repository| some(&repository.namespace).zip(some(&repository.name)))
        .map(|(namespace, name)| format!("{namespace}/{name}"));
    // What is pushed or pulled by its digest has that as its tag.
    let (tag, digest) = match some(&resource.tag) {
        Some(tag) if tag.contains(':') => (None, some(&resource.digest).or(Some(tag))),
        tag => (tag, some(&resource.digest)),
    };
    let image = Image {
        registry: host.unwrap_or_default(),
        repository: full.or(parts).or(path)?,
        tag,
        digest,
    };
    // Looked at here, because a long name would be there for each of the resources.
    Some(image).filter(is_image)
}

/// Both formats: `event_data` is Harbor's own, `specversion` and `data` are CloudEvents'.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Delivery {
    #[serde(rename = "type", deserialize_with = "text")]
    kind: Option<String>,
    #[serde(deserialize_with = "moment")]
    occur_at: Option<Timestamp>,
    #[serde(deserialize_with = "object")]
    event_data: Option<Data>,
    #[serde(deserialize_with = "text")]
    specversion: Option<String>,
    #[serde(deserialize_with = "text")]
    id: Option<String>,
    #[serde(deserialize_with = "text")]
    source: Option<String>,
    #[serde(deserialize_with = "moment")]
    time: Option<Timestamp>,
    #[serde(deserialize_with = "object")]
    data: Option<Data>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Data {
    #[serde(deserialize_with = "object")]
    repository: Option<Repository>,
    #[serde(deserialize_with = "list")]
    resources: Option<Vec<Value>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Repository {
    #[serde(deserialize_with = "text")]
    name: Option<String>,
    #[serde(deserialize_with = "text")]
    namespace: Option<String>,
    #[serde(deserialize_with = "text")]
    repo_full_name: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Resource {
    #[serde(deserialize_with = "text")]
    digest: Option<String>,
    #[serde(deserialize_with = "text")]
    resource_url: Option<String>,
    #[serde(deserialize_with = "text")]
    tag: Option<String>,
}
