//! Folders on the host: made with an exact mode, removed whatever is in them.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

/// Whether a name from the API can be the name of a folder.
pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0'])
}

/// Creates a folder with exactly this mode; missing parents are for the kubelet's user only.
pub(super) fn create(path: &Path, mode: u32) -> io::Result<()> {
    if !path.is_dir() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        fs::set_permissions(path, Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// Removes a folder and all that is in it; it is fine if there is none.
///
/// Containers leave folders that even their owner may not change, such as caches of modules.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let absent = |error: io::Error| match error.kind() {
        ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    };
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            open_up(path)?;
            fs::remove_dir_all(path).or_else(absent)
        }
        result => result.or_else(absent),
    }
}

/// Gives the owner all rights on a folder and those below; links are not followed.
fn open_up(folder: &Path) -> io::Result<()> {
    fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_up(&entry.path())?;
        }
    }
    Ok(())
}

#[test]
fn folders_that_their_owner_may_not_change_are_removed() {
    let outer = tempfile::tempdir().unwrap();
    let kept = outer.path().join("kept");
    let folder = outer.path().join("folder");
    create(&kept, 0o500).unwrap();
    create(&folder.join("a/b"), 0o755).unwrap();
    fs::write(folder.join("a/b/file"), "").unwrap();
    std::os::unix::fs::symlink(&kept, folder.join("a/link")).unwrap();
    fs::set_permissions(folder.join("a/b"), Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(folder.join("a"), Permissions::from_mode(0o555)).unwrap();
    remove(&folder).unwrap();
    remove(&folder).unwrap();
    assert!(!folder.exists());
    assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o500);
}
