//! Image references: with the tag that is meant, and which local folder stands in for an image.

use std::path::{Path, PathBuf};

/// The repository of an image without registry host, tag and digest.
///
/// `docker:stable-dind` is `docker`, `ghcr.io/org/tool@sha256:…` is `org/tool`. `None` for a text
/// that is no reference.
pub(crate) fn repository(image: &str) -> Option<String> {
    let name = image.split_once('@').map_or(image, |(name, _digest)| name);
    let name = match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => name,
    };
    let (host, path) = match name.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (host, path),
        _ => ("docker.io", name),
    };
    let path = match host {
        "docker.io" | "index.docker.io" => path.strip_prefix("library/").unwrap_or(path),
        _ => path,
    };
    let is_component = |component: &str| {
        let mut bytes = component.bytes();
        bytes.next().is_some_and(|first| first.is_ascii_alphanumeric())
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    path.split('/').all(is_component).then(|| path.to_owned())
}

/// A reference with its tag or digest: `alpine` means `alpine:latest`.
pub(crate) fn qualified(image: &str) -> Option<String> {
    repository(image)?;
    let (name, digest) = match image.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (image, None),
    };
    let is_word = |text: &str, more: &[u8]| {
        !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
    };
    if let Some(digest) = digest {
        return is_word(digest, b":+._-").then(|| image.to_owned());
    }
    let (name, tag) = match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (name, None),
    };
    // Hosts may have capitals, repositories may not.
    let path = name.split_once('/').map_or(name, |(_, path)| path);
    if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    match tag {
        Some(tag) => is_word(tag, b"._-").then(|| image.to_owned()),
        None => Some(format!("{image}:latest")),
    }
}

/// The first folder `<overlay>/<repository>` that exists.
pub(crate) fn overlay(overlays: &[PathBuf], image: &str) -> Option<PathBuf> {
    let repository = repository(image)?;
    overlays.iter().map(|overlay| overlay.join(Path::new(&repository))).find(|path| path.is_dir())
}

#[test]
fn registry_host_tag_and_digest_are_not_part_of_the_repository() {
    for (image, expected) in [
        ("docker:stable-dind", Some("docker")),
        ("technosophos/slack-notify:latest", Some("technosophos/slack-notify")),
        ("docker.io/library/alpine:3", Some("alpine")),
        ("localhost:5000/a/b", Some("a/b")),
        ("ghcr.io/org/tool@sha256:0123", Some("org/tool")),
        ("registry.example:443/tool:1.2@sha256:0123", Some("tool")),
        ("alpine", Some("alpine")),
        ("../../etc", None),
        ("a/../b", None),
        ("", None),
        ("/etc", None),
    ] {
        assert_eq!(repository(image).as_deref(), expected, "{image}");
    }
}

#[test]
fn a_reference_without_a_tag_means_the_latest() {
    for (image, expected) in [
        ("alpine", Some("alpine:latest")),
        ("alpine:3", Some("alpine:3")),
        ("localhost:5000/a/b", Some("localhost:5000/a/b:latest")),
        ("tool@sha256:0123", Some("tool@sha256:0123")),
        ("Tool:1", None),
        ("tool:", None),
        ("tool:a b", None),
        ("", None),
    ] {
        assert_eq!(qualified(image).as_deref(), expected, "{image}");
    }
}

#[test]
fn the_first_overlay_that_has_the_image_wins() {
    let folder = tempfile::tempdir().unwrap();
    let overlays = [folder.path().join("mine"), folder.path().join("shipped")];
    assert_eq!(overlay(&overlays, "docker:dind"), None);
    for path in &overlays {
        std::fs::create_dir_all(path.join("docker")).unwrap();
        std::fs::create_dir_all(path.join("technosophos/slack-notify")).unwrap();
    }
    assert_eq!(overlay(&overlays, "docker:dind"), Some(overlays[0].join("docker")));
    assert_eq!(
        overlay(&overlays, "technosophos/slack-notify:latest"),
        Some(overlays[0].join("technosophos/slack-notify"))
    );
}
