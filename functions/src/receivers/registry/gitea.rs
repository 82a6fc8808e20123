//! Package events of Gitea and Forgejo, of which those count that are about an image or a chart.

use jiff::Timestamp;
use runtime::event::Image;
use serde::Deserialize;
use serde_json::Value;

use super::translation::{Key, Said, Told, locate, read as part, some};
use crate::lenient::{line, moment, object, text};

/// What Gitea tells by this body, if it is a package event of Gitea's.
pub(super) fn read(body: &Value) -> Option<Told> {
    let Delivery { action: Some(action), package: Some(package), repository, sender } = part(body)?
    else {
        return None;
    };
    let type_ = package.type_?;
    let kind = match (type_.as_str(), action.as_str()) {
        ("container", "created") => "image_push",
        ("container", "deleted") => "image_delete",
        ("helm", "created") => "chart_push",
        ("helm", "deleted") => "chart_delete",
        (type_, action) => {
            let (type_, action) = (line(type_, 50), line(action, 50));
            let reason = format!(
                "the package is a `{type_}` that is `{action}`; containers and charts are built that are `created` or `deleted`"
            );
            return Some(Told::Ignored(reason));
        }
    };
    // Gitea serves its registry where it serves its pages, and its names are in lower case there.
    let page = [Some(package.page), repository, sender].into_iter().flatten();
    let host = page.filter_map(|page| page.html_url).find_map(|url| locate(&url).0);
    let owner = package.owner.and_then(|owner| some(&owner.login).or(some(&owner.username)));
    let name = owner.zip(some(&package.name));
    let version = some(&package.version);
    let (tag, digest) = match version {
        Some(version) if version.contains(':') => (None, Some(version)),
        version => (version, None),
    };
    let image = name.map(|(owner, name)| Image {
        registry: host.unwrap_or_default(),
        repository: format!("{owner}/{name}").to_lowercase(),
        tag,
        digest,
    });
    let key = if package.created_at.is_some() { Key::Body } else { Key::None };
    // The version was made at that time, and is not deleted at it.
    let time = package.created_at.filter(|_| action == "created");
    Some(Told::Said(vec![Said { provider: "gitea", kind, image, time, key }]))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Delivery {
    #[serde(deserialize_with = "text")]
    action: Option<String>,
    #[serde(deserialize_with = "object")]
    package: Option<Package>,
    #[serde(deserialize_with = "object")]
    repository: Option<Page>,
    #[serde(deserialize_with = "object")]
    sender: Option<Page>,
}

/// Whatever has a page of its own.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Page {
    #[serde(deserialize_with = "text")]
    html_url: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Package {
    #[serde(deserialize_with = "moment")]
    created_at: Option<Timestamp>,
    #[serde(deserialize_with = "text")]
    name: Option<String>,
    #[serde(deserialize_with = "object")]
    owner: Option<Owner>,
    #[serde(flatten)]
    page: Page,
    #[serde(rename = "type", deserialize_with = "text")]
    type_: Option<String>,
    #[serde(deserialize_with = "text")]
    version: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Owner {
    #[serde(deserialize_with = "text")]
    login: Option<String>,
    #[serde(deserialize_with = "text")]
    username: Option<String>,
}
