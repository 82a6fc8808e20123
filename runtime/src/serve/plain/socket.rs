//! A Unix socket: bound where nobody serves, and gone when the server is.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

/// A socket that was bound, which is removed with this, unless it is another's by then.
pub(super) struct Bound {
    path: PathBuf,
    file: (u64, u64),
}

/// Binds a socket. What a server that is gone has left there is replaced; a server that lives, and a
/// file that is no socket, are left alone.
pub(super) fn bind(path: &Path, mode: u32) -> io::Result<(UnixListener, Bound)> {
    let named = |error: io::Error| {
        io::Error::new(error.kind(), format!("the socket {}: {error}", path.display()))
    };
    is_free(path).map_err(named)?;
    // It comes to its name only when nobody can speak to it who may not.
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}", std::process::id()));
    let draft = PathBuf::from(draft);
    let _of_one_with_this_number = fs::remove_file(&draft);
    let bound = || {
        let listener = UnixListener::bind(&draft)?;
        fs::set_permissions(&draft, Permissions::from_mode(mode))?;
        let file = number(&draft)?;
        fs::rename(&draft, path)?;
        Ok((listener, Bound { path: path.to_owned(), file }))
    };
    bound().map_err(|error| {
        let _half_made = fs::remove_file(&draft);
        named(error)
    })
}

/// Whether nobody serves at this path.
fn is_free(path: &Path) -> io::Result<()> {
    let file = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    if !file.file_type().is_socket() {
        return Err(io::Error::new(ErrorKind::AlreadyExists, "there is a file that is no socket"));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(error),
        Ok(_served) => Err(io::Error::new(ErrorKind::AddrInUse, "another program serves it")),
    }
}

fn number(path: &Path) -> io::Result<(u64, u64)> {
    let file = fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino()))
}

impl Drop for Bound {
    fn drop(&mut self) {
        if number(&self.path).is_ok_and(|file| file == self.file) {
            let _gone = fs::remove_file(&self.path);
        }
    }
}
