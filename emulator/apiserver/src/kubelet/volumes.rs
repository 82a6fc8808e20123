//! The volumes of a pod as folders of the host, and the mounts of its containers.
//!
//! A pod's volumes are below its folder, which only the kubelet's user may enter, and go with the
//! pod. Claims are folders beside, shared between pods, and are kept. Files of Secrets and
//! ConfigMaps are written once: a later change of the object does not reach a running pod.

mod mounts;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::{fs, io};

use k8s_openapi::api::core::v1::{
    Container, DownwardAPIVolumeFile, HostPathVolumeSource, KeyToPath, Pod, Volume,
};

use kube::ResourceExt;

pub(super) use self::mounts::mounts;
use super::claims::Claims;
use super::environment::{self, Place};
use super::folders;
use super::objects::{ConfigError, Objects, Reference};

/// A volume that is ready to be mounted.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    path: PathBuf,
    read_only: bool,
}

/// Where volumes are made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places<'a> {
    /// The pod's own folder.
    pub(super) pod: &'a Path,
    pub(super) claims: &'a Claims,
    pub(super) allow_host_paths: bool,
    pub(super) place: Place<'a>,
}

const DEFAULT_MODE: i32 = 0o644;

/// The objects that a pod's volumes refer to.
pub(super) fn references(pod: &Pod) -> BTreeSet<Reference> {
    let mut references = BTreeSet::new();
    for volume in volumes(pod) {
        if let Some(secret) = &volume.secret {
            references.extend(secret.secret_name.clone().map(Reference::Secret));
        }
        if let Some(map) = &volume.config_map {
            references.insert(Reference::ConfigMap(map.name.clone()));
        }
        if let Some(claim) = &volume.persistent_volume_claim {
            references.insert(Reference::Claim(claim.claim_name.clone()));
        }
        for source in
            volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten())
        {
            references
                .extend(source.secret.iter().map(|secret| Reference::Secret(secret.name.clone())));
            references
                .extend(source.config_map.iter().map(|map| Reference::ConfigMap(map.name.clone())));
        }
    }
    references
}

fn volumes(pod: &Pod) -> impl Iterator<Item = &Volume> {
    pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten())
}

/// Whether a volume holds a service account token, and for which audience and file.
pub(super) fn tokens(pod: &Pod) -> Vec<(Option<String>, Option<i64>)> {
    volumes(pod)
        .flat_map(|volume| volume.projected.iter())
        .flat_map(|projected| projected.sources.iter().flatten())
        .filter_map(|source| source.service_account_token.as_ref())
        .map(|token| (token.audience.clone(), token.expiration_seconds))
        .collect()
}

/// Makes all volumes of a pod; `tokens` are those asked for, in order, where they could be had.
pub(super) fn prepare(
    pod: &Pod,
    objects: &Objects,
    places: Places<'_>,
    tokens: &[Option<String>],
) -> Result<BTreeMap<String, Prepared>, ConfigError> {
    let mut prepared = BTreeMap::new();
    let mut tokens = tokens.iter();
    for volume in volumes(pod) {
        if !folders::is_plain(&volume.name) {
            return Err(ConfigError::lasting(format!(
                "volume name {:?} is not a name",
                volume.name
            )));
        }
        let entry = prepare_one(pod, volume, objects, places, &mut tokens).map_err(|error| {
            let message = match error.awaits {
                Some(_) => format!(
                    "MountVolume.SetUp failed for volume \"{}\" : {}",
                    volume.name, error.message
                ),
                None => error.message,
            };
            ConfigError { message, ..error }
        })?;
        prepared.insert(volume.name.clone(), entry);
    }
    Ok(prepared)
}

fn prepare_one<'a>(
    pod: &Pod,
    volume: &Volume,
    objects: &Objects,
    places: Places<'_>,
    tokens: &mut impl Iterator<Item = &'a Option<String>>,
) -> Result<Prepared, ConfigError> {
    let path = places.pod.join("volumes").join(&volume.name);
    let failed = |error: io::Error| {
        ConfigError::lasting(format!(
            "MountVolume.SetUp failed for volume \"{}\" : {error}",
            volume.name
        ))
    };
    if volume.empty_dir.is_some() {
        folders::create(&path, 0o777).map_err(failed)?;
        return Ok(Prepared { path, read_only: false });
    }
    if let Some(claim) = &volume.persistent_volume_claim {
        let reference = Reference::Claim(claim.claim_name.clone());
        let uid = objects.value(&reference, "uid", false)?.unwrap_or_default();
        let uid = String::from_utf8_lossy(uid);
        let path = places.claims.folder(&objects.namespace, &claim.claim_name, &uid);
        let path = path
            .ok_or_else(|| ConfigError::lasting(format!("{reference} has no name for a folder")))?;
        places.claims.take(&path, &pod.uid().unwrap_or_default());
        folders::create(&path, 0o777).map_err(failed)?;
        return Ok(Prepared { path, read_only: claim.read_only.unwrap_or(false) });
    }
    if let Some(host_path) = &volume.host_path {
        if !places.allow_host_paths {
            return Err(ConfigError::lasting(format!(
                "volume \"{}\": this node does not allow hostPath volumes ({})",
                volume.name, host_path.path
            )));
        }
        check_host_path(host_path).map_err(ConfigError::lasting)?;
        return Ok(Prepared { path: host_path.path.clone().into(), read_only: false });
    }
    let mut files = Vec::new();
    let mut add = |reference,
                   items: &Option<Vec<KeyToPath>>,
                   mode: Option<i32>,
                   optional: Option<bool>| {
        add_keys(&mut files, objects, &reference, items.as_deref(), mode, optional.unwrap_or(false))
    };
    if let Some(secret) = &volume.secret {
        let reference = Reference::Secret(secret.secret_name.clone().unwrap_or_default());
        add(reference, &secret.items, secret.default_mode, secret.optional)?;
    } else if let Some(map) = &volume.config_map {
        let reference = Reference::ConfigMap(map.name.clone());
        add(reference, &map.items, map.default_mode, map.optional)?;
    } else if let Some(downward) = &volume.downward_api {
        add_fields(
            &mut files,
            pod,
            downward.items.as_deref(),
            downward.default_mode,
            places.place,
        )?;
    } else if let Some(projected) = &volume.projected {
        let mode = projected.default_mode;
        for source in projected.sources.iter().flatten() {
            if let Some(secret) = &source.secret {
                let reference = Reference::Secret(secret.name.clone());
                let optional = secret.optional.unwrap_or(false);
                add_keys(&mut files, objects, &reference, secret.items.as_deref(), mode, optional)?;
            } else if let Some(map) = &source.config_map {
                let reference = Reference::ConfigMap(map.name.clone());
                let optional = map.optional.unwrap_or(false);
                add_keys(&mut files, objects, &reference, map.items.as_deref(), mode, optional)?;
            } else if let Some(downward) = &source.downward_api {
                add_fields(&mut files, pod, downward.items.as_deref(), mode, places.place)?;
            } else if let Some(token) = &source.service_account_token {
                if let Some(Some(text)) = tokens.next() {
                    files.push(File {
                        path: token.path.clone(),
                        mode: mode.unwrap_or(DEFAULT_MODE),
                        content: text.clone().into_bytes(),
                    });
                }
            } else {
                return Err(unsupported(volume));
            }
        }
    } else {
        return Err(unsupported(volume));
    }
    write_files(&path, &files).map_err(failed)?;
    Ok(Prepared { path, read_only: true })
}

fn unsupported(volume: &Volume) -> ConfigError {
    ConfigError::lasting(format!(
        "volume \"{}\" is of a kind that this node does not have",
        volume.name
    ))
}

struct File {
    path: String,
    mode: i32,
    content: Vec<u8>,
}

fn add_keys(
    files: &mut Vec<File>,
    objects: &Objects,
    reference: &Reference,
    items: Option<&[KeyToPath]>,
    mode: Option<i32>,
    optional: bool,
) -> Result<(), ConfigError> {
    let Some(data) = objects.data(reference, optional)? else { return Ok(()) };
    let mode = mode.unwrap_or(DEFAULT_MODE);
    let Some(items) = items else {
        files.extend(data.iter().map(|(key, value)| File {
            path: key.clone(),
            mode,
            content: value.clone(),
        }));
        return Ok(());
    };
    for item in items {
        match data.get(&item.key) {
            Some(value) => files.push(File {
                path: item.path.clone(),
                mode: item.mode.unwrap_or(mode),
                content: value.clone(),
            }),
            None if optional => {}
            None => {
                let kind =
                    if matches!(reference, Reference::Secret(_)) { "secret" } else { "config" };
                return Err(ConfigError {
                    message: format!("references non-existent {kind} key: {}", item.key),
                    awaits: Some(reference.clone()),
                    is_transient: false,
                });
            }
        }
    }
    Ok(())
}

fn add_fields(
    files: &mut Vec<File>,
    pod: &Pod,
    items: Option<&[DownwardAPIVolumeFile]>,
    mode: Option<i32>,
    place: Place<'_>,
) -> Result<(), ConfigError> {
    for item in items.into_iter().flatten() {
        let content = if let Some(selector) = &item.field_ref {
            environment::field(pod, selector, place)?
        } else if let Some(selector) = &item.resource_field_ref {
            let container = pod.spec.iter().flat_map(|spec| &spec.containers).next();
            environment::resource(pod, container.unwrap_or(&Container::default()), selector)?
        } else {
            String::new()
        };
        files.push(File {
            path: item.path.clone(),
            mode: item.mode.or(mode).unwrap_or(DEFAULT_MODE),
            content: content.into_bytes(),
        });
    }
    Ok(())
}

fn write_files(folder: &Path, files: &[File]) -> io::Result<()> {
    folders::create(folder, 0o755)?;
    for file in files {
        let relative = relative(&file.path)?;
        let path = folder.join(&relative);
        if let Some(parent) = relative.parent() {
            folders::create(&folder.join(parent), 0o755)?;
        }
        // A restarted kubelet finds its own file, perhaps without the right to write to it.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::write(&path, &file.content)?,
        }
        fs::set_permissions(&path, fs::Permissions::from_mode((file.mode & 0o777) as u32))?;
    }
    Ok(())
}

fn check_host_path(source: &HostPathVolumeSource) -> Result<(), String> {
    let path = Path::new(&source.path);
    let kind = source.type_.as_deref().unwrap_or_default();
    let created = match kind {
        "DirectoryOrCreate" => fs::create_dir_all(path),
        "FileOrCreate" => fs::OpenOptions::new().create(true).append(true).open(path).map(drop),
        _ => Ok(()),
    };
    created.map_err(|error| format!("hostPath {} cannot be created: {error}", source.path))?;
    let found = fs::metadata(path).map_err(|error| format!("hostPath {}: {error}", source.path))?;
    let fits = match kind {
        "" => true,
        "Directory" | "DirectoryOrCreate" => found.is_dir(),
        "File" | "FileOrCreate" => found.is_file(),
        "Socket" => found.file_type().is_socket(),
        "CharDevice" => found.file_type().is_char_device(),
        "BlockDevice" => found.file_type().is_block_device(),
        _ => false,
    };
    if fits {
        Ok(())
    } else {
        Err(format!("hostPath type check failed: {} is not a {kind}", source.path))
    }
}

/// A path that stays where it begins.
fn relative(path: &str) -> io::Result<PathBuf> {
    let path = Path::new(path);
    let is_normal = |component| matches!(component, Component::Normal(_) | Component::CurDir);
    if path.components().all(is_normal) {
        Ok(path.components().filter(|part| matches!(part, Component::Normal(_))).collect())
    } else {
        Err(io::Error::other(format!("{} must be relative and without '..'", path.display())))
    }
}
