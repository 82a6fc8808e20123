//! The stand-ins that the emulator ships: small command sets in the place of images.
//!
//! Pods run without images here: the sandbox lends them the host's tools. Where a script counts on
//! what only its image has, a folder of the image's name is laid over those. It holds the image's
//! commands in `bin/`, other files at their own paths, and its `entrypoint`. Users add folders of
//! their own with `--stand-ins`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

pub mod docker;

/// The names that the worker's program has, which is the emulator's, too.
pub const ROLES: [&str; 2] = ["slack-notify", "worker"];

/// The variable that tells a stand-in where the emulator's registry is.
pub const URL_VARIABLE: &str = "EMULATOR_URL";

/// Where a pod finds the emulator's own program.
pub const PROGRAM: &str = "/stand-in/emulator";

/// The image whose stand-in copies a project's folder.
pub const SIDECAR: &str = "brigadecore/git-sidecar";

/// The files, by their paths below the folder of stand-ins.
const FILES: &[(&str, &str)] = &[
    (
        "brigadecore/git-sidecar/entrypoint",
        include_str!("../standins/brigadecore/git-sidecar/entrypoint"),
    ),
    ("docker/bin/docker", include_str!("../standins/docker/bin/docker")),
    ("docker/bin/dockerd", include_str!("../standins/docker/bin/dockerd")),
    (
        "docker/bin/dockerd-entrypoint.sh",
        include_str!("../standins/docker/bin/dockerd-entrypoint.sh"),
    ),
    ("docker/entrypoint", include_str!("../standins/docker/entrypoint")),
    (
        "technosophos/slack-notify/entrypoint",
        include_str!("../standins/technosophos/slack-notify/entrypoint"),
    ),
    (
        "technosophos/slack-notify/slack-notify",
        include_str!("../standins/technosophos/slack-notify/slack-notify"),
    ),
];

/// The stand-in for the image of workers, which may have any name.
const WORKER: &str = include_str!("../standins/worker/entrypoint");

/// Writes the stand-ins to a folder; `worker` is the image of workers.
pub fn write(folder: &Path, worker: &str) -> Result<()> {
    let worker = format!("{}/entrypoint", repository(worker));
    let files = FILES.iter().copied().chain([(worker.as_str(), WORKER)]);
    for (path, text) in files {
        let file = folder.join(path);
        let write = || {
            fs::create_dir_all(file.parent().unwrap_or(folder))?;
            fs::write(&file, text)?;
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755))
        };
        write().with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(())
}

/// An image's name without its registry, its tag and its digest.
fn repository(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or_default();
    let image = match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => image,
    };
    match image.split_once('/') {
        Some((host, name)) if host.contains(['.', ':']) || host == "localhost" => name,
        _ => image,
    }
}

#[test]
fn the_stand_in_for_workers_is_where_their_image_is() {
    for (image, repository) in [
        ("ghcr.io/brigantine/worker:latest", "brigantine/worker"),
        ("localhost:5000/worker@sha256:0", "worker"),
        ("worker", "worker"),
        ("brigadecore/brigade-worker:v1.5.0", "brigadecore/brigade-worker"),
    ] {
        assert_eq!(self::repository(image), repository, "{image}");
    }
}

#[test]
fn every_stand_in_is_shipped() {
    fn list(folder: &Path, root: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                list(&path, root, found);
            } else {
                found.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("standins");
    let mut found = Vec::new();
    list(&root, &root, &mut found);
    found.sort();
    let shipped = FILES.iter().map(|(path, _)| *path).chain(["worker/entrypoint"]);
    assert_eq!(found, shipped.collect::<Vec<_>>());
}

#[test]
fn every_stand_in_says_that_it_is_one() {
    for (path, text) in FILES {
        assert!(text.to_lowercase().contains("stand-in"), "{path}");
    }
}
