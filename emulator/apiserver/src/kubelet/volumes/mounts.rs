//! The mounts of one container: which folder of a volume goes where.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use k8s_openapi::api::core::v1::Container;

use super::super::environment::expand;
use super::super::folders;
use super::super::objects::ConfigError;
use super::super::runtime::Mount;
use super::{Prepared, relative};

/// The mounts of one container.
pub(in super::super) fn mounts(
    container: &Container,
    volumes: &BTreeMap<String, Prepared>,
    variables: &BTreeMap<String, String>,
) -> Result<Vec<Mount>, ConfigError> {
    let mut mounts = Vec::new();
    for mount in container.volume_mounts.iter().flatten() {
        let Some(volume) = volumes.get(&mount.name) else {
            return Err(ConfigError::lasting(format!("no volume is named \"{}\"", mount.name)));
        };
        let sub_path = match (&mount.sub_path, &mount.sub_path_expr) {
            (Some(path), _) => Some(path.clone()),
            (None, Some(expression)) => Some(expand(expression, variables)),
            (None, None) => None,
        };
        let source = match sub_path.filter(|path| !path.is_empty()) {
            None => volume.path.clone(),
            Some(path) => inside(&volume.path, &path, !volume.read_only).map_err(|error| {
                ConfigError::lasting(format!(
                    "failed to prepare subPath for volumeMount \"{}\": {error}",
                    mount.name
                ))
            })?,
        };
        mounts.push(Mount {
            source,
            path: mount.mount_path.clone(),
            read_only: volume.read_only || mount.read_only.unwrap_or(false),
        });
    }
    mounts.sort_by(|one, other| one.path.cmp(&other.path));
    make_mount_points(&mounts)?;
    Ok(mounts)
}

/// Makes the places of mounts that lie inside other mounts.
///
/// A container may have left links in its volume: following one would create the mount point, or
/// mount, somewhere else on the host.
fn make_mount_points(mounts: &[Mount]) -> Result<(), ConfigError> {
    for mount in mounts {
        let around = mounts.iter().filter(|other| other.path != mount.path);
        let around = around.filter_map(|other| {
            Some((other, Path::new(&mount.path).strip_prefix(&other.path).ok()?))
        });
        let Some((other, inner)) = around.max_by_key(|(other, _)| other.path.len()) else {
            continue;
        };
        if !mount.source.is_dir() || !other.source.is_dir() {
            continue;
        }
        inside(&other.source, &inner.to_string_lossy(), !other.read_only).map_err(|error| {
            ConfigError::lasting(format!("no place to mount {}: {error}", mount.path))
        })?;
    }
    Ok(())
}

/// A path below a folder that containers write to: made if absent, never through a link.
fn inside(folder: &Path, path: &str, create: bool) -> io::Result<PathBuf> {
    let mut current = folder.to_owned();
    for name in relative(path)?.components() {
        current.push(name);
        match fs::symlink_metadata(&current) {
            Ok(found) if found.is_symlink() => {
                return Err(io::Error::other(format!("{path} leads through a symbolic link")));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound && create => {
                folders::create(&current, 0o755)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(current)
}
