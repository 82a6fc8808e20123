//! Finds the file that a `require` or an `import` names, as Node does.
//!
//! More than Node finds: an `import` may leave out what a file's name ends with, and `./x.js` may
//! be a `./x.ts`, as TypeScript has it.

use std::path::Path;

use super::files::{FileError, Files, below};
use manifest::Manifest;

mod manifest;

/// How something is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Asked {
    Require,
    Import,
}

/// What a file's name may end with where that is left out.
const ENDINGS: [&str; 7] = [".js", ".ts", ".json", ".mjs", ".cjs", ".mts", ".cts"];

/// The path below the repository of a module that a file asks for.
pub(super) fn resolve(
    files: &Files,
    base: &str,
    name: &str,
    asked: Asked,
) -> Result<String, FileError> {
    let from = Path::new(base).parent().unwrap_or(Path::new(""));
    let missing = || {
        let message = format!("Cannot find module '{name}' (from {base})");
        FileError::new("MODULE_NOT_FOUND", message)
    };
    if let Some(path) = name.strip_prefix("file://") {
        let path = files.relative(path).ok_or_else(missing)?;
        return file_or_folder(files, &path).ok_or_else(missing);
    }
    if is_path(name) {
        let path = if name.starts_with('/') {
            files.relative(name)
        } else {
            below(&from.join(name)).map(|path| path.to_string_lossy().into_owned())
        };
        let path = path.ok_or_else(missing)?;
        // `./x/` is a folder.
        let found = if name.ends_with('/') || name == "." || name == ".." || name.ends_with("/..") {
            folder(files, &path)
        } else {
            file_or_folder(files, &path)
        };
        return found.ok_or_else(missing);
    }
    if name.starts_with('#') {
        let (own, manifest) = nearest(files, from).ok_or_else(missing)?;
        let target = manifest.import(name, asked).ok_or_else(missing)?;
        return match target.strip_prefix("./") {
            Some(path) => file_or_folder(files, &join(&own, path)).ok_or_else(missing),
            None => package(files, &own, &target, asked).unwrap_or_else(|| Err(missing())),
        };
    }
    let folder = from.to_string_lossy();
    package(files, &folder, name, asked).unwrap_or_else(|| Err(missing()))
}

/// Whether a name is a path, and not that of a package.
pub(super) fn is_path(name: &str) -> bool {
    name.starts_with("./")
        || name.starts_with("../")
        || name.starts_with('/')
        || name.starts_with("file://")
        || matches!(name, "." | "..")
}

/// The name of the package in the name of a module: `@a/b` of `@a/b/c`.
pub(super) fn package_name(name: &str) -> &str {
    let parts = if name.starts_with('@') { 2 } else { 1 };
    let end = name.match_indices('/').nth(parts - 1).map_or(name.len(), |(at, _)| at);
    &name[..end]
}

/// Looks for a package in the `node_modules` of a folder, and of those above it.
fn package(
    files: &Files,
    from: &str,
    name: &str,
    asked: Asked,
) -> Option<Result<String, FileError>> {
    let own = package_name(name);
    if own.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return None;
    }
    let rest = name[own.len()..].trim_start_matches('/');
    let mut folder = Path::new(from);
    loop {
        if folder.file_name().is_none_or(|last| last != "node_modules") {
            let at = join(&folder.to_string_lossy(), &format!("node_modules/{own}"));
            if files.kind(&at) == "directory" {
                return Some(inside(files, &at, own, rest, asked));
            }
            // A package that is a single file.
            let alone = rest.is_empty().then(|| file(files, &at)).flatten();
            if let Some(found) = alone {
                return Some(Ok(found));
            }
        }
        folder = folder.parent()?;
    }
}

/// Finds a file of a package.
fn inside(
    files: &Files,
    at: &str,
    name: &str,
    rest: &str,
    asked: Asked,
) -> Result<String, FileError> {
    let manifest = Manifest::of(files, at);
    let missing = |what: String| FileError::new("MODULE_NOT_FOUND", what);
    if let Some(exports) = &manifest.exports {
        let asks = if rest.is_empty() { ".".to_owned() } else { format!("./{rest}") };
        let target = exports.find(&asks, asked).ok_or_else(|| {
            let message = format!("Package '{name}' does not export '{asks}' (in {at})");
            FileError::new("ERR_PACKAGE_PATH_NOT_EXPORTED", message)
        })?;
        let path = target.strip_prefix("./").and_then(|path| below(Path::new(path)));
        let path = path.map(|path| join(at, &path.to_string_lossy()));
        let found = path.as_deref().and_then(|path| file_or_folder(files, path));
        return found.ok_or_else(|| {
            missing(format!("Cannot find module '{name}': its {target} is not there (in {at})"))
        });
    }
    let found = match rest {
        "" => folder(files, at),
        rest => below(Path::new(rest))
            .and_then(|rest| file_or_folder(files, &join(at, &rest.to_string_lossy()))),
    };
    let whole = if rest.is_empty() { name.to_owned() } else { format!("{name}/{rest}") };
    found.ok_or_else(|| missing(format!("Cannot find module '{whole}' (in {at})")))
}

fn file_or_folder(files: &Files, path: &str) -> Option<String> {
    file(files, path).or_else(|| folder(files, path))
}

/// A file by its name, or by its name without what it ends with.
fn file(files: &Files, path: &str) -> Option<String> {
    if let Some(found) = files.canonical(path) {
        return Some(found);
    }
    let longer = ENDINGS.iter().map(|ending| format!("{path}{ending}"));
    // What TypeScript calls by the name of what it becomes.
    let typed = [(".js", ".ts"), (".mjs", ".mts"), (".cjs", ".cts")].into_iter();
    let other = typed.filter_map(|(javascript, typescript)| {
        path.strip_suffix(javascript).map(|plain| format!("{plain}{typescript}"))
    });
    longer.chain(other).find_map(|candidate| files.canonical(&candidate))
}

/// What a folder is as a module: what its `package.json` names, or its `index`.
fn folder(files: &Files, path: &str) -> Option<String> {
    if files.kind(if path.is_empty() { "." } else { path }) != "directory" {
        return None;
    }
    let manifest = Manifest::of(files, path);
    let index = join(path, "index");
    let named = [manifest.main, manifest.module].into_iter().flatten().find_map(|main| {
        let main = below(Path::new(&main))?;
        let main = join(path, &main.to_string_lossy());
        file(files, &main).or_else(|| file(files, &join(&main, "index")))
    });
    named.or_else(|| file(files, &index))
}

/// The nearest `package.json` of a folder, and the folder that it is in.
fn nearest(files: &Files, from: &Path) -> Option<(String, Manifest)> {
    from.ancestors().find_map(|folder| {
        let folder = folder.to_string_lossy();
        let there = files.kind(&join(&folder, "package.json")) == "file";
        there.then(|| (folder.clone().into_owned(), Manifest::of(files, &folder)))
    })
}

fn join(folder: &str, path: &str) -> String {
    if folder.is_empty() { path.to_owned() } else { format!("{folder}/{path}") }
}
