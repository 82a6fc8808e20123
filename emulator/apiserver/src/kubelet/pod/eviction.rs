//! Ends a pod that takes more of the disk than it may: its `emptyDir` volumes, and all that its
//! containers leave on the disk, logs included.
//!
//! As with a real kubelet this is looked at from time to time, so a pod can take more for a moment.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use k8s_openapi::api::core::v1::{Container, Volume};
use kube::ResourceExt;
use tokio::time::Instant;

use super::super::events::Kind;
use super::super::quantity;
use super::super::status::Failure;
use super::{PodTask, after};

/// The pause between two looks.
pub(super) const PERIOD: Duration = Duration::from_secs(2);
/// The seconds that containers of such a pod are given.
const GRACE: i64 = 1;

/// Something that may not take more than so many bytes.
struct Limit {
    folders: Vec<PathBuf>,
    bytes: u64,
    /// What is said if it takes more.
    message: String,
}

impl PodTask {
    /// Whether there is something to look at.
    pub(super) fn has_disk_limits(&self) -> bool {
        !self.disk_limits().is_empty()
    }

    /// Ends the pod if it takes too much.
    pub(super) async fn look_at_disk(&mut self) {
        self.next_look = None;
        if self.failure.is_some() || self.stopping.is_some() {
            return;
        }
        let limits = self.disk_limits();
        let exceeded = tokio::task::spawn_blocking(move || {
            limits.into_iter().find(|limit| {
                let used: u64 = limit.folders.iter().map(|folder| size(folder)).sum();
                used > limit.bytes
            })
        });
        match exceeded.await {
            Ok(Some(limit)) => {
                self.node.events.record(&self.pod, None, Kind::Warning, "Evicted", &limit.message);
                self.failure = Some(Failure { reason: "Evicted", message: limit.message });
                self.stop_all(after(GRACE));
            }
            Ok(None) => self.next_look = Some(Instant::now() + PERIOD),
            Err(error) => tracing::error!(%error, "the disk use of a pod is not known"),
        }
    }

    fn disk_limits(&self) -> Vec<Limit> {
        let volumes = self.folder.join("volumes");
        let is_empty_dir = |volume: &&Volume| volume.empty_dir.is_some();
        let empty_dirs: Vec<_> = self.spec.volumes.iter().flatten().filter(is_empty_dir).collect();
        let mut limits = Vec::new();
        for volume in &empty_dirs {
            let limit = volume.empty_dir.as_ref().and_then(|source| source.size_limit.clone());
            let Some(limit) = limit else { continue };
            limits.extend(bytes(&limit.0).map(|bytes| Limit {
                folders: vec![volumes.join(&volume.name)],
                bytes,
                message: format!(
                    "Usage of EmptyDir volume \"{}\" exceeds the limit \"{}\". ",
                    volume.name, limit.0
                ),
            }));
        }
        let uid = self.pod.uid().unwrap_or_default();
        let of_container = |container: &Container| {
            let own = self.folder.join("containers").join(&container.name);
            [Some(own), self.node.logs.folder(&uid, &container.name)].into_iter().flatten()
        };
        let (mut total, mut limited, mut folders) = (0, true, Vec::new());
        for container in &self.spec.containers {
            folders.extend(of_container(container));
            let resources = container.resources.as_ref();
            let limit = resources.and_then(|resources| resources.limits.as_ref());
            let limit = limit.and_then(|limits| limits.get("ephemeral-storage"));
            let Some((limit, allowed)) = limit.and_then(|limit| Some((limit, bytes(&limit.0)?)))
            else {
                limited = false;
                continue;
            };
            total += allowed;
            limits.push(Limit {
                folders: of_container(container).collect(),
                bytes: allowed,
                message: format!(
                    "Container {} exceeded its local ephemeral storage limit \"{}\". ",
                    container.name, limit.0
                ),
            });
        }
        if limited && total > 0 {
            folders.extend(empty_dirs.iter().map(|volume| volumes.join(&volume.name)));
            limits.push(Limit {
                folders,
                bytes: total,
                message: format!(
                    "Pod ephemeral local storage usage exceeds the total limit of containers {}. ",
                    quantity::shown(total)
                ),
            });
        }
        limits
    }
}

fn bytes(limit: &str) -> Option<u64> {
    quantity::parse(limit).filter(|bytes| *bytes >= 0.0).map(|bytes| bytes as u64)
}

/// What a folder takes of the disk; what cannot be read counts nothing.
fn size(folder: &Path) -> u64 {
    let mut total = 0;
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::debug!(%error, folder = %folder.display(), "a folder is not counted");
                }
                continue;
            }
        };
        for entry in entries.flatten() {
            let Ok(found) = entry.metadata() else { continue };
            total += found.blocks() * 512;
            if found.is_dir() {
                open.push(entry.path());
            }
        }
    }
    total
}
