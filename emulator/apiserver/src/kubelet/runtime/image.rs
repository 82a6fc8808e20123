//! Image references: which local folder stands in for an image.

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
