//! What Brigade's controller mounts into a worker, for where the cluster does not tell.
//!
//! The Secrets of the build and of the project are read from the cluster, as the worker must know
//! what they are now. A worker that may not read them, or whose build is in no Secret, reads the
//! files that they are mounted as, and the variables.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use runtime::build::{self, Build, BuildId};
use runtime::project::{self, Project};
use runtime::settings::WorkerSettings;

/// The build, as its files and the variables say. Nothing that it makes is owned by it: it may be
/// in no Secret.
pub(super) fn build(worker: &WorkerSettings, id: BuildId) -> Result<Build> {
    let name = format!("brigade-worker-{id}");
    let nowhere = || {
        let (namespace, folder) = (&worker.namespace, worker.build_folder.display());
        format!("there is no build {id} in {namespace}, nor in {folder}")
    };
    let files = files(&worker.build_folder);
    let mut files = (!files.is_empty()).then_some(files).with_context(nowhere)?;
    let event = &worker.event;
    let variables = [
        ("clone_url", event.clone_url.as_deref().unwrap_or_default()),
        ("commit_id", &event.revision.commit),
        ("commit_ref", &event.revision.reference),
        ("event_provider", &event.provider),
        ("event_type", &event.kind),
    ];
    for (key, value) in variables {
        if !files.contains_key(key) {
            files.insert(key.to_owned(), ByteString(value.as_bytes().to_vec()));
        }
    }
    let labels = [("build", id.to_string()), ("project", worker.project.clone())];
    let labels = labels.map(|(key, value)| (key.to_owned(), value));
    let mut secret = secret(build::SECRET_TYPE, &name, &worker.namespace, files);
    secret.metadata.labels = Some(labels.into());
    Build::from_secret(&secret).context("the mounted build cannot be read")
}

/// The project, as its files say.
pub(super) fn project(worker: &WorkerSettings) -> Result<Project> {
    let files = files(&worker.project_folder);
    let nowhere = || {
        let (project, folder) = (&worker.project, worker.project_folder.display());
        format!("there is no project {project} in {}, nor in {folder}", worker.home)
    };
    let files = (!files.is_empty()).then_some(files).with_context(nowhere)?;
    let secret = secret(project::SECRET_TYPE, &worker.project, &worker.home, files);
    Project::from_secret(&secret).context("the mounted project cannot be read")
}

/// Takes the script that `BRIGADE_SCRIPT` names, if there is one and the event has none of its own.
pub(super) fn script(worker: &WorkerSettings, project: &mut Project, build: &mut Build) {
    let Some(path) = &worker.script else { return };
    if let Ok(inside) = path.strip_prefix(&worker.workspace) {
        project.script_path = inside.display().to_string();
    } else if build.event.script.is_none() {
        let text = fs::read_to_string(path).ok();
        build.event.script = text.filter(|text| !text.trim().is_empty());
    }
}

/// Takes the configuration that `BRIGADE_CONFIG` names, if there is one.
pub(super) fn config(worker: &WorkerSettings, project: &mut Project, build: &mut Build) {
    let Some(path) = &worker.config else { return };
    if let Ok(inside) = path.strip_prefix(&worker.workspace) {
        project.config_path = inside.display().to_string();
    } else if let Ok(text) = fs::read_to_string(path) {
        build.event.config = Some(text).filter(|text| !text.trim().is_empty());
    }
}

fn secret(kind: &str, name: &str, namespace: &str, data: BTreeMap<String, ByteString>) -> Secret {
    Secret {
        type_: Some(kind.to_owned()),
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        data: Some(data),
        ..Secret::default()
    }
}

/// The keys of a Secret that is mounted here, if one is.
fn files(folder: &Path) -> BTreeMap<String, ByteString> {
    let Ok(entries) = fs::read_dir(folder) else { return BTreeMap::new() };
    let key = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        // The kubelet keeps its own folders beside the keys.
        let value = (!name.starts_with("..")).then(|| fs::read(entry.path()).ok())??;
        Some((name, ByteString(value)))
    };
    entries.filter_map(Result::ok).filter_map(key).collect()
}
