//! What a registry's delivery means: events, or why there are none.
//!
//! Registries do not say who they are, so a body is told by the members that only one sender has.

use bytes::Bytes;
use jiff::Timestamp;
use runtime::event::{Event, Identity, Image, Revision};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{azure, distribution, docker_hub, ecr, gitea, harbor, quay};
use crate::body::{digest, json_object};
use crate::lenient::{line, moment};
use crate::rejection::Rejection;

/// The longest reference of an image, in bytes: one with a tag has far fewer.
const IMAGE_LIMIT: usize = 1024;

/// How many builds one delivery may make.
pub(crate) const MOST: usize = 256;

/// How many bytes the payloads of one delivery may have together: each of its builds has the whole
/// body.
const PAYLOADS: usize = 32 * 1024 * 1024;

/// What a delivery amounts to.
#[derive(Debug)]
pub(super) enum Meaning {
    /// Events, at least one.
    Events(Vec<Event>),
    /// An event that is built only where the project's filter names it.
    Rare(Box<Event>),
    Ping,
    Ignored {
        reason: String,
    },
}

/// What a sender tells by a body of its own.
pub(crate) enum Told {
    Said(Vec<Said>),
    Rare(Box<Said>),
    Ping,
    Ignored(String),
}

/// One thing that a body says.
pub(crate) struct Said {
    pub(crate) provider: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) image: Option<Image>,
    pub(crate) time: Option<Timestamp>,
    pub(crate) key: Key,
}

/// What tells it from everything else that the sender says.
pub(crate) enum Key {
    /// The body, and which of its elements it is.
    Body,
    /// Something in the body, because a body may differ when it is sent again.
    Element(String),
    /// Nothing: two pushes have the same body.
    None,
}

/// Translates a body, whoever sent it, and the commit that the address names.
pub(super) fn translate(bytes: Bytes, commit: &str) -> Result<Meaning, Rejection> {
    let body: Value = json_object(&bytes)?;
    let whole = digest(&bytes);
    let told = told(&body).unwrap_or_else(|| Told::Said(vec![unknown(&body)]));
    Ok(match told {
        Told::Said(said) if said.len() > MOST => {
            let reason = format!("a delivery may have {MOST} events at most");
            return Err(Rejection::TooLarge { reason });
        }
        Told::Said(said) => {
            let mut events: Vec<Event> = Vec::new();
            for (index, said) in said.into_iter().enumerate() {
                let event = event(said, index, &bytes, &whole, commit);
                let same = |other: &Event| {
                    event.identity != Identity::Fresh
                        && (&other.kind, &other.identity) == (&event.kind, &event.identity)
                };
                if !events.iter().any(same) {
                    events.push(event);
                }
            }
            if events.len() * bytes.len() > PAYLOADS {
                let reason = format!(
                    "the payloads of a delivery's builds may have {PAYLOADS} bytes together"
                );
                return Err(Rejection::TooLarge { reason });
            }
            Meaning::Events(events)
        }
        Told::Rare(said) => Meaning::Rare(Box::new(event(*said, 0, &bytes, &whole, commit))),
        Told::Ping => Meaning::Ping,
        Told::Ignored(reason) => Meaning::Ignored { reason },
    })
}

/// What a registry tells by this body, if it is one's that is known.
pub(crate) fn told(body: &Value) -> Option<Told> {
    distribution::read(body)
        .or_else(|| harbor::read(body))
        .or_else(|| quay::read(body))
        .or_else(|| ecr::read(body))
        .or_else(|| gitea::read(body))
        .or_else(|| azure::read(body))
        .or_else(|| docker_hub::read(body))
}

/// A part of a body as one sender has it, if it can be read so at all.
pub(super) fn read<T: DeserializeOwned>(value: &Value) -> Option<T> {
    T::deserialize(value).ok()
}

pub(super) fn some(text: &Option<String>) -> Option<String> {
    text.clone().filter(|text| !text.is_empty())
}

/// The registry's host and the repository in a reference, which may have a scheme before, and a tag
/// or a digest after them. A host is told from a part of the repository as Docker tells it.
pub(super) fn locate(reference: &str) -> (Option<String>, Option<String>) {
    let url = reference.strip_prefix("https://").or(reference.strip_prefix("http://"));
    let reference = url.unwrap_or(reference);
    let name = reference.split('@').next().unwrap_or_default().trim_end_matches('/');
    let name = match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') && name.contains('/') => name,
        _ => name,
    };
    let is_host = |part: &str| url.is_some() || part.contains(['.', ':']) || part == "localhost";
    let (host, repository) = match name.split_once('/') {
        Some((host, repository)) if is_host(host) => (host, repository),
        _ => ("", name),
    };
    let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    (given(host), given(repository))
}

/// As in Brigade, whatever else a registry sends is a push.
fn unknown(body: &Value) -> Said {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Body {
        #[serde(deserialize_with = "moment")]
        timestamp: Option<Timestamp>,
    }
    let time = read::<Body>(body).and_then(|body| body.timestamp);
    let key = if time.is_some() { Key::Body } else { Key::None };
    Said { provider: "registry", kind: "image_push", image: None, time, key }
}

/// One event; `whole` is the digest of the body.
fn event(said: Said, index: usize, body: &Bytes, whole: &str, commit: &str) -> Event {
    // It becomes an annotation, and scripts put it into commands.
    let image = said.image.filter(is_image);
    let (short_title, long_title) = titles(image.as_ref());
    Event {
        revision: revision(commit),
        short_title,
        long_title,
        time: said.time,
        identity: match said.key {
            Key::Body => identity(whole, index, commit),
            Key::Element(element) => identity(&element, 0, commit),
            Key::None => Identity::Fresh,
        },
        image,
        ..Event::new(said.provider, said.kind, body.clone())
    }
}

/// Whether an image could have this name. Whoever can push can choose it.
pub(crate) fn is_image(image: &Image) -> bool {
    let fits = |text: &str| {
        text.chars().all(|c| {
            c.is_ascii_alphanumeric()
                || matches!(c, '.' | '_' | '-' | '+' | '/' | ':' | '=' | '[' | ']')
        })
    };
    let parts = [Some(&image.registry), Some(&image.repository)];
    let parts = parts.into_iter().chain([image.tag.as_ref(), image.digest.as_ref()]).flatten();
    let mut length = 0;
    let all = parts.inspect(|part| length += part.len()).all(|part| fits(part));
    all && !image.repository.is_empty() && length <= IMAGE_LIMIT
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
fn identity(content: &str, index: usize, commit: &str) -> Identity {
    let index = if index > 0 { format!(" {index}") } else { String::new() };
    Identity::Content(format!("{} {commit}{index}\n{content}", commit.len()).into())
}
