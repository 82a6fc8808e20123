//! What registries send, whichever of them it is: `receivers::registry` reads it. All that one
//! delivery is about is told together.

use notify::{Notification, Tone};
use runtime::event::Image;
use serde_json::Value;

use super::{Key, Said, at, field};
use crate::body::digest;
use crate::notifiers::fit;
use crate::receivers::registry::translation::{
    Key as Told, Said as Pushed, Told as Delivery, is_image, told,
};

/// How many images a message names.
const NAMED: usize = 10;

/// What a registry tells by this body, if it is one's; or why nobody is to be told.
pub(super) fn read(value: &Value, json: &[u8]) -> Option<Result<Said, String>> {
    Some(match told(value)? {
        Delivery::Said(said) => Ok(said_of(&said, value, json)),
        Delivery::Rare(said) => Ok(said_of(&[*said], value, json)),
        Delivery::Ping => Err("nobody is told of a ping".to_owned()),
        Delivery::Ignored(reason) => Err(reason),
    })
}

fn said_of(pushed: &[Pushed], value: &Value, json: &[u8]) -> Said {
    let images: Vec<&Image> = pushed
        .iter()
        .filter_map(|said| said.image.as_ref())
        .filter(|image| is_image(image))
        .collect();
    let kind = pushed.first().map(|said| said.kind).unwrap_or_default();
    let (title, tone) = title(kind);
    let mut fields = Vec::new();
    let one = |of: fn(&Image) -> &str| {
        let mut all = images.iter().map(|image| of(image)).filter(|text| !text.is_empty());
        let first = all.next()?;
        all.all(|other| other == first).then(|| first.to_owned())
    };
    for (name, value) in [
        ("Registry", one(|image| &image.registry)),
        ("Digest", one(|image| image.digest.as_deref().unwrap_or_default())),
        (if kind.ends_with("_push") { "Pushed by" } else { "By" }, who(value)),
    ] {
        fields.extend(value.map(|value| field(name, &value)));
    }
    Said {
        notification: Notification {
            title: title.to_owned(),
            message: message(pushed),
            tone,
            fields,
            url: page(value),
            time: pushed.iter().find_map(|said| said.time),
            ..Notification::default()
        },
        key: key(pushed, json),
        image: match images[..] {
            [image] => Some(image.clone()),
            _ => None,
        },
        ..Said::default()
    }
}

fn title(kind: &str) -> (&str, Tone) {
    match kind {
        "image_push" => ("New Build", Tone::Good),
        "chart_push" => ("New Chart", Tone::Good),
        "image_delete" => ("Image Deleted", Tone::Neutral),
        "chart_delete" => ("Chart Deleted", Tone::Neutral),
        "harbor.artifact.pulled" => ("Image Pulled", Tone::Neutral),
        "harbor.scan.completed" => ("Scan Completed", Tone::Good),
        "harbor.scan.failed" => ("Scan Failed", Tone::Bad),
        "harbor.scan.stopped" => ("Scan Stopped", Tone::Warning),
        "harbor.quota.exceeded" => ("Quota Exceeded", Tone::Bad),
        "harbor.quota.warned" => ("Quota Nearly Exceeded", Tone::Warning),
        "harbor.replication.status.changed" => ("Replication", Tone::Neutral),
        "harbor.tag_retention.finished" => ("Tag Retention Finished", Tone::Neutral),
        other => (other, Tone::Neutral),
    }
}

/// A line for each thing that was done.
fn message(pushed: &[Pushed]) -> String {
    let mut kinds: Vec<&str> = pushed.iter().map(|said| said.kind).collect();
    kinds.dedup();
    let line = |kind: &&str| {
        let own = pushed.iter().filter(|said| said.kind == *kind);
        let named: Vec<String> = own
            .filter_map(|said| said.image.as_ref().filter(|image| is_image(image)))
            .map(short)
            .collect();
        let images = list(&named);
        match (*kind, images.as_str()) {
            ("image_push", "") => "New Build available!".to_owned(),
            ("image_push", images) => format!("New Build {images} available!"),
            ("chart_push", "") => "New Chart available!".to_owned(),
            ("chart_push", images) => format!("New Chart {images} available!"),
            ("image_delete", images) => format!("{} deleted", or(images, "An image was")),
            ("chart_delete", images) => format!("{} deleted", or(images, "A chart was")),
            (_, images) => images.to_owned(),
        }
    };
    kinds.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn or(images: &str, none: &str) -> String {
    if images.is_empty() { none.to_owned() } else { format!("{images} was") }
}

/// The image without its registry.
fn short(image: &Image) -> String {
    Image { registry: String::new(), ..image.clone() }.reference()
}

fn list(named: &[String]) -> String {
    let mut text = named.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    if named.len() > NAMED {
        text += &format!(" and {} more", named.len() - NAMED);
    }
    text
}

/// Who did it, as far as the registry says so.
fn who(value: &Value) -> Option<String> {
    let places = [
        "/push_data/pusher",
        "/operator",
        "/actor/name",
        "/events/0/actor/name",
        "/sender/login",
        "/data/operator",
    ];
    at(value, &places).map(|name| name.into_owned())
}

/// The page of it, as far as the registry says so.
fn page(value: &Value) -> Option<String> {
    let places = ["/repository/repo_url", "/homepage", "/package/html_url"];
    at(value, &places).and_then(|url| fit::link(&url))
}

/// As each of them would be a build: if one of them is not known again, the whole is not.
fn key(pushed: &[Pushed], json: &[u8]) -> Key {
    let mut parts = Vec::new();
    for said in pushed {
        match &said.key {
            Told::Body => parts.push(digest(json)),
            Told::Element(element) => parts.push(digest(element.as_bytes())),
            Told::None => return Key::None,
        }
    }
    // They may be put together otherwise when they are sent again.
    parts.sort();
    parts.dedup();
    Key::Content(format!("registry {}", digest(parts.join("\n").as_bytes())))
}
