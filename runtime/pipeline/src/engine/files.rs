//! What scripts may read: the repository, and the packages that were fetched for the build. Nothing
//! above them, and nothing through links out of them.

use std::path::{Component, Path, PathBuf};

use rquickjs::{Ctx, Exception};

use crate::packages::{Mount, Packages};

/// The largest file that is read.
const LARGEST: u64 = 8 << 20;

/// Where scripts see the repository, if it is nowhere.
pub(super) const ROOT: &str = "/vcs";

/// The files of a build.
pub(super) struct Files {
    workspace: Option<PathBuf>,
    packages: Packages,
}

/// What scripts are told of a file.
#[derive(Debug, serde::Serialize)]
pub(super) struct Status {
    kind: &'static str,
    size: u64,
    /// Milliseconds since 1970.
    modified: u64,
    mode: u32,
}

/// Why a file is not read; `code` is Node's.
#[derive(Debug)]
pub(super) struct FileError {
    code: &'static str,
    message: String,
}

impl FileError {
    pub(super) fn new(code: &'static str, message: String) -> FileError {
        FileError { code, message }
    }

    /// Throws it as Node throws its own.
    pub(super) fn throw(self, ctx: &Ctx<'_>) -> rquickjs::Error {
        let exception = match Exception::from_message(ctx.clone(), &self.message) {
            Ok(exception) => exception,
            Err(error) => return error,
        };
        match exception.as_object().set("code", self.code) {
            Ok(()) => exception.throw(),
            Err(error) => error,
        }
    }
}

impl Files {
    pub(super) fn new(workspace: Option<PathBuf>, packages: Packages) -> Files {
        let workspace = workspace.and_then(|path| path.canonicalize().ok());
        Files { workspace, packages }
    }

    /// Whether there is a repository.
    pub(super) fn has_repository(&self) -> bool {
        self.workspace.is_some()
    }

    /// The path of the repository, as scripts see it.
    pub(super) fn root(&self) -> String {
        let path = self.workspace.as_deref().map(Path::to_string_lossy);
        path.map_or_else(|| ROOT.to_owned(), |path| path.into_owned())
    }

    /// The path below the repository of one that may begin at the root of the file system.
    pub(super) fn relative(&self, path: &str) -> Option<String> {
        let path = if path.starts_with('/') {
            let rest = path.strip_prefix(&self.root())?;
            if !rest.is_empty() && !rest.starts_with('/') {
                return None;
            }
            rest.trim_start_matches('/')
        } else {
            path
        };
        below(Path::new(path)).map(|path| path.to_string_lossy().into_owned())
    }

    /// Whether a path could only be found in a repository, and there is none.
    pub(super) fn lacks(&self, path: &str) -> bool {
        let mounted = |path: &String| self.mount(Path::new(path)).is_some();
        !self.has_repository() && !self.relative(path).as_ref().is_some_and(mounted)
    }

    /// Reads a file as text.
    pub(super) fn text(&self, path: &str) -> Result<String, FileError> {
        Ok(String::from_utf8_lossy(&self.read(path)?).into_owned())
    }

    pub(super) fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
        let found = self.find(path, "open")?;
        let failed =
            |error: std::io::Error| FileError::new("EIO", format!("{error}, open '{path}'"));
        let metadata = found.metadata().map_err(failed)?;
        if metadata.is_dir() {
            let message = format!("EISDIR: illegal operation on a directory, read '{path}'");
            return Err(FileError::new("EISDIR", message));
        }
        if !metadata.is_file() || metadata.len() > LARGEST {
            let message = format!("'{path}' is no file of at most {LARGEST} bytes");
            return Err(FileError::new("EFBIG", message));
        }
        std::fs::read(&found).map_err(failed)
    }

    /// `file`, `directory`, or nothing where a script sees nothing.
    pub(super) fn kind(&self, path: &str) -> &'static str {
        match self.find(path, "open") {
            Ok(found) if found.is_dir() => "directory",
            Ok(found) if found.is_file() => "file",
            Ok(_) | Err(_) => "",
        }
    }

    pub(super) fn status(&self, path: &str) -> Result<Status, FileError> {
        use std::os::unix::fs::MetadataExt;
        let found = self.find(path, "stat")?;
        let failed =
            |error: std::io::Error| FileError::new("EIO", format!("{error}, stat '{path}'"));
        let metadata = found.metadata().map_err(failed)?;
        let kind = if metadata.is_dir() {
            "directory"
        } else if metadata.is_file() {
            "file"
        } else {
            "other"
        };
        let modified = metadata.mtime().max(0).unsigned_abs() * 1000;
        Ok(Status { kind, size: metadata.len(), modified, mode: metadata.mode() })
    }

    /// The names in a directory, sorted, each with whether it is a directory.
    pub(super) fn list(&self, path: &str) -> Result<Vec<(String, bool)>, FileError> {
        let found = self.find(path, "scandir")?;
        let failed = |error: std::io::Error| {
            FileError::new("ENOTDIR", format!("ENOTDIR: {error}, scandir '{path}'"))
        };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(found).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            names.push((entry.file_name().to_string_lossy().into_owned(), folder));
        }
        names.sort();
        Ok(names)
    }

    /// The name by which a file is known, however one has come to it: links are followed.
    pub(super) fn canonical(&self, path: &str) -> Option<String> {
        let relative = self.relative(path)?;
        let found = self.find(&relative, "open").ok().filter(|found| found.is_file())?;
        if self.mount(Path::new(&relative)).is_some() {
            return Some(relative);
        }
        let name = found.strip_prefix(self.workspace.as_deref()?).ok()?;
        Some(name.to_string_lossy().into_owned())
    }

    /// The package that a path is in, and the rest of the path.
    fn mount<'a>(&self, path: &'a Path) -> Option<(&Mount, &'a Path)> {
        let inside = |mount: &'_ &Mount| path.starts_with(&mount.at);
        let mount =
            self.packages.mounts.iter().filter(inside).max_by_key(|mount| mount.at.len())?;
        path.strip_prefix(&mount.at).ok().map(|rest| (mount, rest))
    }

    fn find(&self, path: &str, action: &str) -> Result<PathBuf, FileError> {
        let Some(relative) = self.relative(path) else {
            let message = format!("EACCES: a script reads only the repository, {action} '{path}'");
            return Err(FileError::new("EACCES", message));
        };
        let (folder, inside) = match (self.mount(Path::new(&relative)), &self.workspace) {
            (Some((mount, rest)), _) => (&mount.folder, rest),
            (None, Some(workspace)) => (workspace, Path::new(&relative)),
            (None, None) => {
                let message =
                    format!("ENOENT: this build has no checked out repository, {action} '{path}'");
                return Err(FileError::new("ENOENT", message));
            }
        };
        let found = folder.join(inside).canonicalize().map_err(|_missing| {
            let message = format!("ENOENT: no such file or directory, {action} '{path}'");
            FileError::new("ENOENT", message)
        })?;
        // A link may lead anywhere.
        if found.starts_with(folder) {
            return Ok(found);
        }
        let message = format!("EACCES: a script reads only the repository, {action} '{path}'");
        Err(FileError::new("EACCES", message))
    }
}

/// The path without `.` and `..`, unless it leads up and out.
pub(super) fn below(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => plain.push(part),
            Component::CurDir => {}
            Component::ParentDir => {
                if !plain.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(plain)
}
