//! The folders of persistent volume claims: shared between pods, kept as long as the claim is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::TryStreamExt;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};

use super::folders::{self, is_plain};

/// All claims of a node.
#[derive(Debug)]
pub(super) struct Claims {
    root: PathBuf,
    uses: Mutex<Uses>,
}

#[derive(Debug, Default)]
struct Uses {
    /// The pods (by uid) that use a folder.
    pods: BTreeMap<PathBuf, BTreeSet<String>>,
    /// Folders whose claim is gone, to be removed with their last use.
    doomed: BTreeSet<PathBuf>,
}

impl Claims {
    pub(super) fn new(root: PathBuf) -> Claims {
        Claims { root, uses: Mutex::default() }
    }

    /// The folder of a claim; a claim made anew under the same name gets another.
    pub(super) fn folder(&self, namespace: &str, name: &str, uid: &str) -> Option<PathBuf> {
        let folder = format!("{name}-{uid}");
        (is_plain(namespace) && is_plain(&folder)).then(|| self.root.join(namespace).join(folder))
    }

    /// A pod begins to use a claim.
    pub(super) fn take(&self, folder: &Path, pod: &str) {
        self.uses().pods.entry(folder.to_owned()).or_default().insert(pod.to_owned());
    }

    /// A pod has ended.
    pub(super) fn release(&self, pod: &str) {
        let mut uses = self.uses();
        for pods in uses.pods.values_mut() {
            pods.remove(pod);
        }
        uses.pods.retain(|_, pods| !pods.is_empty());
        let Uses { pods, doomed } = &mut *uses;
        doomed.retain(|folder| pods.contains_key(folder) || !remove(folder));
    }

    fn doom(&self, folder: PathBuf) {
        let mut uses = self.uses();
        if uses.pods.contains_key(&folder) || !remove(&folder) {
            uses.doomed.insert(folder);
        }
    }

    fn uses(&self) -> MutexGuard<'_, Uses> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes the folders of claims that are deleted, also of those deleted meanwhile.
    pub(super) async fn watch(&self, client: Client) {
        let api = Api::<PersistentVolumeClaim>::all(client);
        let mut events = Box::pin(watcher(api, watcher::Config::default()).default_backoff());
        let mut listed = BTreeSet::new();
        loop {
            match events.try_next().await {
                Ok(Some(Event::Init)) => listed.clear(),
                Ok(Some(Event::InitApply(claim))) => listed.extend(self.folder_of(&claim)),
                Ok(Some(Event::InitDone)) => {
                    for folder in self.on_disk().unwrap_or_default() {
                        if !listed.contains(&folder) {
                            self.doom(folder);
                        }
                    }
                }
                Ok(Some(Event::Delete(claim))) => {
                    if let Some(folder) = self.folder_of(&claim) {
                        self.doom(folder);
                    }
                }
                Ok(Some(Event::Apply(_))) => {}
                Ok(None) => return,
                Err(error) => tracing::debug!(%error, "the watch of claims is interrupted"),
            }
        }
    }

    fn folder_of(&self, claim: &PersistentVolumeClaim) -> Option<PathBuf> {
        self.folder(&claim.namespace()?, &claim.name_any(), &claim.uid()?)
    }

    fn on_disk(&self) -> io::Result<Vec<PathBuf>> {
        let mut folders = Vec::new();
        for namespace in fs::read_dir(&self.root)? {
            for claim in fs::read_dir(namespace?.path())? {
                folders.push(claim?.path());
            }
        }
        Ok(folders)
    }
}

/// Removes a folder; `false` if that has to be tried again.
fn remove(folder: &Path) -> bool {
    let result = folders::remove(folder);
    if let Err(error) = &result {
        tracing::warn!(%error, folder = %folder.display(), "a claim's folder is left behind");
    }
    result.is_ok()
}
