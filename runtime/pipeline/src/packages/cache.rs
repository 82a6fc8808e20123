//! The folder in which packages are kept, each by its digest: what is there is whole.

use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::PackageError;
use super::registry::{Published, Registry};
use super::unpack::{self, Room};

/// Makes the folder, which is nobody else's.
pub(super) fn prepare(folder: &Path) -> Result<(), PackageError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| failed(folder, &error))
}

/// The folder of a package, which is fetched if it is not there.
pub(super) async fn fetch(
    registry: &Registry,
    folder: &Path,
    published: &Published,
    room: &Room,
) -> Result<PathBuf, PackageError> {
    let kept = folder.join(published.integrity.to_string());
    if kept.is_dir() {
        return canonical(&kept);
    }
    let content = registry.package(published).await?;
    let (package, place, room) = (published.to_string(), folder.to_owned(), room.clone());
    let unpack = move || unpack(&package, &content, &place, &kept, &room);
    let unpacked = tokio::task::spawn_blocking(unpack);
    match unpacked.await {
        Ok(done) => done,
        Err(error) => Err(PackageError::of(published, format!("it was not unpacked: {error}"))),
    }
}

/// Unpacks beside the place, and puts it there when it is whole.
fn unpack(
    package: &str,
    content: &[u8],
    folder: &Path,
    kept: &Path,
    room: &Room,
) -> Result<PathBuf, PackageError> {
    let new = tempfile::Builder::new().prefix("new-").tempdir_in(folder);
    let new = new.map_err(|error| failed(folder, &error))?;
    unpack::unpack(content, new.path(), room)
        .map_err(|reason| PackageError::of(package, reason))?;
    match std::fs::rename(new.path(), kept) {
        Ok(()) => {
            // It is not there any more to be removed.
            let _moved = new.keep();
        }
        // Another build was faster; it has unpacked the same.
        Err(error)
            if matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) => {}
        Err(error) => return Err(failed(folder, &error)),
    }
    canonical(kept)
}

fn canonical(folder: &Path) -> Result<PathBuf, PackageError> {
    folder.canonicalize().map_err(|error| failed(folder, &error))
}

fn failed(folder: &Path, error: &std::io::Error) -> PackageError {
    PackageError::Folder { folder: folder.to_owned(), reason: error.to_string() }
}
