//! GitHub's events of packages: those of containers are pushes to GHCR.

use jiff::Timestamp;
use runtime::event::{Event, Identity, Image, Revision};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::members::Body;
use super::{Delivery, Need, Translated};
use crate::filter::Seen;
use crate::lenient::{line, moment, object, text};

/// Where containers are, if the body does not say so itself.
const GHCR: &str = "ghcr.io";

/// The longest reference of an image, in bytes: it becomes an annotation.
const LONGEST: usize = 1024;

/// What happened to a container that makes it a new one to pull.
const PUSHED: [&str; 4] = ["create", "created", "published", "updated"];

/// What the body of a package's event says.
pub(super) enum Said {
    /// An image can be pulled, and what tells this push from another, in both events that GitHub
    /// sends of it.
    Push { image: Image, identity: Option<Identity> },
    /// A container, and nothing to pull.
    Nothing { reason: String },
    /// A package that is no container.
    Other { reason: String },
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Package {
    #[serde(deserialize_with = "text")]
    ecosystem: Option<String>,
    #[serde(deserialize_with = "text")]
    name: Option<String>,
    #[serde(deserialize_with = "text")]
    namespace: Option<String>,
    #[serde(deserialize_with = "object")]
    owner: Option<Owner>,
    #[serde(deserialize_with = "text")]
    package_type: Option<String>,
    #[serde(deserialize_with = "object")]
    package_version: Option<Version>,
    #[serde(deserialize_with = "moment")]
    updated_at: Option<Timestamp>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Owner {
    #[serde(deserialize_with = "text")]
    login: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Version {
    #[serde(deserialize_with = "object")]
    container_metadata: Option<Metadata>,
    #[serde(deserialize_with = "text")]
    id: Option<String>,
    #[serde(deserialize_with = "text")]
    name: Option<String>,
    #[serde(deserialize_with = "text")]
    package_url: Option<String>,
    #[serde(deserialize_with = "text")]
    version: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    manifest: Option<IgnoredAny>,
    #[serde(deserialize_with = "object")]
    tag: Option<Tag>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Tag {
    #[serde(deserialize_with = "text")]
    digest: Option<String>,
    #[serde(deserialize_with = "text")]
    name: Option<String>,
}

/// Reads the package of a body that has one.
pub(super) fn said(body: &Body) -> Option<Said> {
    let package = body.package.as_ref().or(body.registry_package.as_ref())?;
    let none = Version::default();
    let version = package.package_version.as_ref().unwrap_or(&none);
    if !is_container(package, version) {
        let kind = some(&package.package_type).or(some(&package.ecosystem)).unwrap_or_default();
        return Some(Said::Other {
            reason: format!("the package is no container image, its type is `{}`", line(kind, 50)),
        });
    }
    let action = body.action.as_deref().unwrap_or_default();
    if !PUSHED.contains(&action) {
        let reason = format!("the action `{}` of a container is not built", line(action, 50));
        return Some(Said::Nothing { reason });
    }
    let image = image(package, version).filter(|image| image.reference().len() <= LONGEST);
    let Some(image) = image else {
        let reason = "the package is a container and has no name to pull it by".to_owned();
        return Some(Said::Nothing { reason });
    };
    // `package` and `registry_package` tell of one push in two bodies. A tag that comes back to a
    // version is another push than the one that brought it there; some bodies say the year 1.
    let updated = package.updated_at.filter(|time| *time > Timestamp::UNIX_EPOCH);
    let identity = some(&version.id).map(|id| {
        let tag = image.tag.as_deref().unwrap_or_default();
        let updated = updated.map(|time| format!(" {time}")).unwrap_or_default();
        Identity::Content(format!("{id} {tag} {action}{updated}").into())
    });
    Some(Said::Push { image, identity })
}

/// The push of an image, at the branch that is there whatever was pushed.
pub(super) fn push(
    body: &Body,
    delivery: Delivery<'_>,
    image: Image,
    identity: Option<Identity>,
) -> Translated {
    let short = match &image.tag {
        Some(tag) => format!("{}:{tag}", image.repository),
        None => image.repository.clone(),
    };
    let event = Event {
        revision: Revision { commit: String::new(), reference: body.default_branch() },
        short_title: line(&short, 50),
        long_title: line(&image.reference(), 200),
        identity: identity.unwrap_or(Identity::Content(delivery.signed)),
        image: Some(image),
        ..Event::new("ghcr", "image_push", delivery.json)
    };
    Translated { event, seen: Seen::default(), need: Need::Nothing, installation: None }
}

/// Whether it is an image. Some bodies name a type of package that their container has not.
fn is_container(package: &Package, version: &Version) -> bool {
    let named = some(&package.package_type).or(some(&package.ecosystem));
    let names =
        |kind: &str| ["container", "docker"].iter().any(|name| kind.eq_ignore_ascii_case(name));
    version.container_metadata.is_some() || named.is_some_and(names)
}

fn image(package: &Package, version: &Version) -> Option<Image> {
    let none = Metadata::default();
    let metadata = version.container_metadata.as_ref().unwrap_or(&none);
    let (tag, tagged) = match &metadata.tag {
        Some(tag) => (some(&tag.name), some(&tag.digest)),
        None => (None, None),
    };
    let digests = [some(&version.version), some(&version.name), tagged];
    let digest = digests.into_iter().flatten().find(|text| is_digest(text));
    // An image without a tag has an address that ends with the colon before it.
    let url = some(&version.package_url).unwrap_or_default();
    let url = url.trim_start_matches("https://").trim_end_matches(['/', ':']);
    let (registry, repository, named) = match url.split_once('/') {
        Some((registry, path)) => {
            let path = path.split('@').next().unwrap_or_default();
            let (path, tag) = path.rsplit_once(':').map_or((path, None), |(p, tag)| (p, Some(tag)));
            (registry.to_owned(), path.to_owned(), tag)
        }
        None => {
            let owner = package.owner.as_ref().and_then(|owner| some(&owner.login));
            let namespace = some(&package.namespace).filter(|name| !name.contains('/'));
            let name = some(&package.name)?;
            (GHCR.to_owned(), format!("{}/{name}", namespace.or(owner)?), None)
        }
    };
    let version = some(&version.name).filter(|name| digest.is_none() && !is_digest(name));
    Some(Image {
        // What is pulled has a name in small letters; what owns it may not.
        registry: registry.to_ascii_lowercase(),
        repository: repository.to_ascii_lowercase(),
        tag: tag.or(named).or(version).map(str::to_owned),
        digest: digest.map(str::to_owned),
    })
}

fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn some(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}
