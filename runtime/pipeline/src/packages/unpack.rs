//! Unpacks a package: files, and nothing else, below a folder, and nowhere else.

use std::io::{Read, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;
use serde_json::Value;
use tar::{Archive, EntryType};

/// How much a package may be when it is unpacked, in bytes and in files.
const LARGEST: u64 = 64 << 20;
const MOST: usize = 10_000;

/// How long a path may be.
const LONGEST: usize = 512;

/// How many bytes all packages of a build may still be, when they are unpacked.
#[derive(Clone)]
pub(super) struct Room {
    left: Arc<AtomicU64>,
    all: u64,
}

impl Room {
    pub(super) fn new(all: u64) -> Room {
        Room { left: Arc::new(AtomicU64::new(all)), all }
    }

    fn take(&self, size: u64) -> Result<(), String> {
        let take = |left: u64| left.checked_sub(size);
        let taken = self.left.try_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.map(drop).map_err(|_left| {
            format!("with it, the packages of the build have more than {} bytes", self.all)
        })
    }
}

/// Unpacks the content into an empty folder. An error says what is wrong with the package.
pub(super) fn unpack(content: &[u8], folder: &Path, room: &Room) -> Result<(), String> {
    let broken = |error: std::io::Error| format!("its archive cannot be read: {error}");
    let too_large = || format!("it has more than {LARGEST} bytes or {MOST} files");
    let mut archive = Archive::new(MultiGzDecoder::new(content).take(LARGEST));
    let mut files = 0;
    let mut unpacked = 0_u64;
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let path = entry.path_bytes().into_owned();
        let name = String::from_utf8_lossy(&path).into_owned();
        match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous => {}
            EntryType::Directory | EntryType::XGlobalHeader => continue,
            _ => return Err(format!("{name:?} in it is no file, but a link or a device")),
        }
        let path = inside(&name).ok_or_else(|| format!("{name:?} in it leads out of it"))?;
        files += 1;
        unpacked = unpacked.saturating_add(entry.size());
        if files > MOST || unpacked > LARGEST {
            return Err(too_large());
        }
        room.take(entry.size())?;
        let path = folder.join(path);
        let kept = |error: std::io::Error| format!("{name:?} in it cannot be written: {error}");
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(kept)?;
        }
        // What comes twice counts as it came last.
        let mut file = std::fs::File::create(&path).map_err(kept)?;
        let size = entry.size();
        let copied = std::io::copy(&mut entry.by_ref().take(size), &mut file).map_err(broken)?;
        if copied != size {
            return Err("its archive ends too early".to_owned());
        }
        file.flush().map_err(kept)?;
        if path.extension().is_some_and(|extension| extension == "node") {
            return Err(native(&format!("{name:?} in it is no JavaScript")));
        }
    }
    check(folder)
}

/// Where a file goes: below the folder that all files of a package are in.
fn inside(name: &str) -> Option<PathBuf> {
    if name.len() > LONGEST || name.contains(['\0', '\\']) {
        return None;
    }
    let mut components = Path::new(name).components().peekable();
    while components.next_if(|first| *first == Component::CurDir).is_some() {}
    let Some(Component::Normal(_top)) = components.next() else { return None };
    let mut path = PathBuf::new();
    for component in components {
        match component {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    (path.components().count() > 0).then_some(path)
}

/// Refuses a package that is more than its JavaScript.
fn check(folder: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(folder.join("package.json"))
        .map_err(|_missing| "it has no package.json that can be read".to_owned())?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let manifest: Value = serde_json::from_str(text)
        .map_err(|error| format!("its package.json is no JSON: {error}"))?;
    if folder.join("binding.gyp").exists() || manifest["gypfile"] == true {
        return Err(native("it has parts in C or C++ that would have to be compiled"));
    }
    for script in ["preinstall", "install", "postinstall"] {
        if let Some(command) = manifest["scripts"][script].as_str() {
            let command: String = command.chars().take(100).collect();
            return Err(native(&format!("it wants to run `{command}` when it is installed")));
        }
    }
    Ok(())
}

fn native(what: &str) -> String {
    format!(
        "{what}, which a worker does not do: use a package that is only JavaScript, or run what needs this one in a job"
    )
}
