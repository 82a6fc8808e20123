//! The folder that is cloned to: a clone of ours that did not come to its end is made anew.

use std::fs;
use std::io;
use std::path::Path;

use super::CloneError;

/// The file that tells a clone of ours, among git's own.
pub(super) const MARK: &str = "brigantine-clone";

/// Makes the folder. If it holds a clone of ours, nothing of that is left, so that an init container
/// that was killed at any moment may run again.
pub(super) fn prepare(folder: &Path) -> Result<(), CloneError> {
    let name = || folder.display().to_string();
    let at = |source| CloneError::Folder { folder: name(), source };
    fs::create_dir_all(folder).map_err(at)?;
    let git = folder.join(".git");
    if git.symlink_metadata().is_ok() {
        let begun = git.is_dir() && fs::read_dir(&git).map_err(at)?.next().is_none();
        if !begun && !git.join(MARK).is_file() {
            return Err(CloneError::Foreign(name()));
        }
        empty(folder, ".git").map_err(at)?;
        empty(&git, MARK).map_err(at)?;
    } else {
        fs::create_dir(&git).map_err(at)?;
    }
    // Before git writes anything, or what it wrote would be another's.
    fs::write(git.join(MARK), "").map_err(at)
}

/// Removes everything from a folder but one entry.
fn empty(folder: &Path, kept: &str) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name() == kept {
            continue;
        }
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(path)?;
        } else {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}
