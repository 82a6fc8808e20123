//! The repository, as scripts may read it: nothing above it, and nothing through links out of it.

use std::path::{Component, Path, PathBuf};

use rquickjs::{Ctx, Exception};

/// The largest file that is read.
const LARGEST: u64 = 8 << 20;

/// Why a file is not read; `code` is Node's.
#[derive(Debug)]
pub(super) struct FileError {
    code: &'static str,
    message: String,
}

impl FileError {
    fn new(code: &'static str, message: String) -> FileError {
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

/// The path below the repository of a module that a file requires.
pub(super) fn resolve(
    workspace: Option<&Path>,
    base: &str,
    name: &str,
) -> Result<String, FileError> {
    let from = Path::new(base).parent().unwrap_or(Path::new(""));
    let missing =
        || FileError::new("MODULE_NOT_FOUND", format!("Cannot find module '{name}' (from {base})"));
    let path = below(&from.join(name)).ok_or_else(missing)?;
    let plain = path.to_string_lossy().into_owned();
    let candidates = [
        plain.clone(),
        format!("{plain}.js"),
        format!("{plain}.json"),
        format!("{plain}.mjs"),
        path.join("index.js").to_string_lossy().into_owned(),
    ];
    candidates
        .into_iter()
        .find(|candidate| kind(workspace, candidate) == "file")
        .ok_or_else(missing)
}

/// Reads a file as text.
pub(super) fn text(workspace: Option<&Path>, path: &str) -> Result<String, FileError> {
    Ok(String::from_utf8_lossy(&read(workspace, path)?).into_owned())
}

pub(super) fn read(workspace: Option<&Path>, path: &str) -> Result<Vec<u8>, FileError> {
    let found = find(workspace, path)?;
    let failed = |error: std::io::Error| FileError::new("EIO", format!("{error}, open '{path}'"));
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
pub(super) fn kind(workspace: Option<&Path>, path: &str) -> &'static str {
    match find(workspace, path) {
        Ok(found) if found.is_dir() => "directory",
        Ok(found) if found.is_file() => "file",
        Ok(_) | Err(_) => "",
    }
}

/// The names in a directory, sorted, as JSON.
pub(super) fn list(workspace: Option<&Path>, path: &str) -> Result<String, FileError> {
    let found = find(workspace, path)?;
    let failed =
        |error: std::io::Error| FileError::new("ENOTDIR", format!("{error}, scandir '{path}'"));
    let mut names = Vec::new();
    for entry in std::fs::read_dir(found).map_err(failed)? {
        names.push(entry.map_err(failed)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(serde_json::Value::from(names).to_string())
}

fn find(workspace: Option<&Path>, path: &str) -> Result<PathBuf, FileError> {
    let Some(workspace) = workspace else {
        let message = format!("ENOENT: this build has no checked out repository, open '{path}'");
        return Err(FileError::new("ENOENT", message));
    };
    let outside = || {
        let message = format!("EACCES: a script reads only the repository, open '{path}'");
        FileError::new("EACCES", message)
    };
    let given = Path::new(path);
    let relative = if given.is_absolute() {
        given.strip_prefix(workspace).map_err(|_elsewhere| outside())?
    } else {
        given
    };
    let inside = below(relative).ok_or_else(outside)?;
    let found = workspace.join(inside).canonicalize().map_err(|_missing| {
        let message = format!("ENOENT: no such file or directory, open '{path}'");
        FileError::new("ENOENT", message)
    })?;
    // A link may lead anywhere.
    if found.starts_with(workspace) { Ok(found) } else { Err(outside()) }
}

/// The path without `.` and `..`, unless it leads up and out.
fn below(path: &Path) -> Option<PathBuf> {
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
