//! What a registry's delivery means: an event, or why it is none.

use bytes::Bytes;
use jiff::Timestamp;
use runtime::event::{Event, Identity, Image, Revision};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::body::json_object;
use crate::lenient::{line, moment, object, text};
use crate::rejection::Rejection;

/// Where the images of Docker Hub are pulled from.
const DOCKER_HUB: &str = "docker.io";

/// The longest reference of an image, in bytes: one with a tag has far fewer.
const IMAGE_LIMIT: usize = 1024;

/// What a delivery amounts to.
#[derive(Debug)]
pub(super) enum Meaning {
    Event(Box<Event>),
    Ping,
    Ignored { reason: String },
}

/// What a body says, once it is known whose it is.
struct Said {
    provider: &'static str,
    kind: &'static str,
    image: Option<Image>,
    time: Option<Timestamp>,
    /// Whether two events of this kind have different bodies.
    distinct: bool,
}

/// Translates a body, whoever sent it, and the commit that the address names.
pub(super) fn translate(bytes: Bytes, commit: &str) -> Result<Meaning, Rejection> {
    let body: Body = json_object(&bytes)?;
    let said = match (body.action.as_deref(), &body.target, &body.push_data, &body.repository) {
        (Some("ping"), None, None, None) => return Ok(Meaning::Ping),
        (Some(action), Some(target), _, _) => {
            let kind = match action {
                "push" => "image_push",
                "delete" => "image_delete",
                "chart_push" => "chart_push",
                "chart_delete" => "chart_delete",
                other => return Ok(Meaning::Ignored { reason: unbuilt(other) }),
            };
            Said {
                provider: "acr",
                kind,
                image: acr_image(target, body.request.as_ref()),
                time: body.timestamp,
                distinct: body.id.is_some() || body.timestamp.is_some(),
            }
        }
        (_, _, Some(push), Some(repository)) => Said {
            provider: "dockerhub",
            kind: "image_push",
            image: docker_hub_image(repository, push),
            time: push.pushed_at,
            distinct: push.pushed_at.is_some(),
        },
        _ => Said {
            provider: "registry",
            kind: "image_push",
            image: None,
            time: body.timestamp,
            distinct: body.timestamp.is_some(),
        },
    };
    let (short_title, long_title) = titles(said.image.as_ref());
    Ok(Meaning::Event(Box::new(Event {
        revision: revision(commit),
        short_title,
        long_title,
        time: said.time,
        identity: if said.distinct { identity(&bytes, commit) } else { Identity::Fresh },
        // It becomes an annotation, and no image has a longer name.
        image: said.image.filter(|image| image.reference().len() <= IMAGE_LIMIT),
        ..Event::new(said.provider, said.kind, bytes)
    })))
}

fn unbuilt(action: &str) -> String {
    match action {
        "quarantine" => {
            "the image is in quarantine; its push is built once it has passed".to_owned()
        }
        _ => format!("the action `{}` is not built", line(action, 50)),
    }
}

fn acr_image(target: &Target, request: Option<&Sender>) -> Option<Image> {
    Some(Image {
        // Charts come without the registry's name.
        registry: request.and_then(|request| request.host.clone()).unwrap_or_default(),
        repository: some(&target.repository)?,
        tag: some(&target.tag),
        digest: some(&target.digest),
    })
}

fn docker_hub_image(repository: &Repository, push: &Push) -> Option<Image> {
    let parts = some(&repository.namespace).zip(some(&repository.name));
    let parts = parts.map(|(namespace, name)| format!("{namespace}/{name}"));
    Some(Image {
        registry: DOCKER_HUB.to_owned(),
        repository: some(&repository.repo_name).or(parts)?,
        tag: some(&push.tag),
        digest: None,
    })
}

/// The image without its registry, and with it.
fn titles(image: Option<&Image>) -> (String, String) {
    let Some(image) = image else { return Default::default() };
    let short = match &image.tag {
        Some(tag) => format!("{}:{tag}", image.repository),
        None => image.repository.clone(),
    };
    (line(&short, 50), line(&image.reference(), 200))
}

/// The commit as a reference, as in Brigade; and as a commit if it is the id of one.
fn revision(commit: &str) -> Revision {
    let is_id =
        matches!(commit.len(), 40 | 64) && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    Revision {
        commit: if is_id { commit.to_owned() } else { String::new() },
        reference: commit.to_owned(),
    }
}

/// The same body may be sent to several addresses, for a build each.
fn identity(body: &Bytes, commit: &str) -> Identity {
    let mut content = format!("{} {commit}\n", commit.len()).into_bytes();
    content.extend_from_slice(body);
    Identity::Content(content.into())
}

fn some(text: &Option<String>) -> Option<String> {
    text.clone().filter(|text| !text.is_empty())
}

/// The members of all bodies that matter here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    #[serde(deserialize_with = "text")]
    action: Option<String>,
    id: Option<IgnoredAny>,
    #[serde(deserialize_with = "object")]
    push_data: Option<Push>,
    #[serde(deserialize_with = "object")]
    repository: Option<Repository>,
    #[serde(deserialize_with = "object")]
    request: Option<Sender>,
    #[serde(deserialize_with = "object")]
    target: Option<Target>,
    #[serde(deserialize_with = "moment")]
    timestamp: Option<Timestamp>,
}

/// What Docker Hub says of a push.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Push {
    #[serde(deserialize_with = "moment")]
    pushed_at: Option<Timestamp>,
    #[serde(deserialize_with = "text")]
    tag: Option<String>,
}

/// What Docker Hub says of a repository.
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

/// What Azure says of the registry.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Sender {
    #[serde(deserialize_with = "text")]
    host: Option<String>,
}

/// What Azure says of an image or a chart.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Target {
    #[serde(deserialize_with = "text")]
    digest: Option<String>,
    #[serde(deserialize_with = "text")]
    repository: Option<String>,
    #[serde(deserialize_with = "text")]
    tag: Option<String>,
}
