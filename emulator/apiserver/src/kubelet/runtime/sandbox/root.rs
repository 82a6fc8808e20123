//! Composes the file system of a sandbox: a tree of what is mounted where, as bubblewrap arguments.
//!
//! The root is an empty memory file system; folders of the host are bound whole. Where something
//! has to be put into a folder of the host that has no place for it, that folder is taken apart:
//! it becomes a folder in memory with the host's entries bound one by one, or, where they are many
//! (each bind takes longer than the one before), with links to the host's folder below `/.host`.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};
use std::{fs, io};

/// What is mounted at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A folder of the sandbox's own root.
    Folder,
    /// A folder or file of the host, read-only.
    Host(PathBuf),
    /// A volume.
    Volume {
        path: PathBuf,
        read_only: bool,
    },
    Symlink(PathBuf),
    /// A link to a file or folder of the host, which is bound below `/.host`.
    HostLink(PathBuf),
    Tmpfs,
    /// A folder in memory where every user may create files.
    Scratch,
    Proc,
    Dev,
}

#[derive(Debug)]
pub(super) struct Node {
    source: Source,
    children: BTreeMap<OsString, Node>,
}

/// Up to so many entries of a folder are bound one by one.
const MAX_BINDS: usize = 64;

const LINKED: &str = "/.host";

/// Symbolic links followed on the way to one path.
const MAX_LINKS: usize = 16;

impl Node {
    pub(super) fn new() -> Node {
        Node::of(Source::Folder)
    }

    fn of(source: Source) -> Node {
        Node { source, children: BTreeMap::new() }
    }

    /// Puts something at an absolute path of the sandbox, over what is there.
    pub(super) fn put(&mut self, path: &Path, source: Source) -> io::Result<()> {
        self.put_following(normal(path)?, source, MAX_LINKS)
    }

    fn put_following(
        &mut self,
        path: Vec<OsString>,
        source: Source,
        links: usize,
    ) -> io::Result<()> {
        let Some((name, folders)) = path.split_last() else {
            return Err(invalid("nothing can be mounted over the root"));
        };
        let mut node = &mut *self;
        for (depth, folder) in folders.iter().enumerate() {
            node.make_room(folder, false)?;
            let child = node.children.entry(folder.clone()).or_insert_with(Node::new);
            if let Source::HostLink(host) = &child.source {
                child.source = Source::Host(host.clone());
            }
            if let Source::Symlink(target) = &child.source {
                if links == 0 {
                    return Err(invalid("too many symbolic links"));
                }
                let mut resolved: PathBuf =
                    Path::new("/").join(folders[..depth].iter().collect::<PathBuf>());
                resolved.push(target);
                let mut resolved = resolve(&resolved);
                resolved.extend(path[depth + 1..].iter().cloned());
                return self.put_following(resolved, source, links - 1);
            }
            node = child;
        }
        node.make_room(name, matches!(source, Source::Symlink(_)))?;
        node.children.insert(name.clone(), Node::of(source));
        Ok(())
    }

    /// Makes sure that a child can be mounted or descended into.
    fn make_room(&mut self, name: &OsStr, replaces: bool) -> io::Result<()> {
        if self.children.contains_key(name) {
            return Ok(());
        }
        let Source::Host(host) = &self.source else { return Ok(()) };
        let child = host.join(name);
        match fs::symlink_metadata(&child) {
            Ok(found) if !replaces && found.is_symlink() => {
                self.children
                    .insert(name.to_owned(), Node::of(Source::Symlink(fs::read_link(&child)?)));
            }
            Ok(found) if !replaces && (found.is_dir() || found.is_file()) => {
                self.children.insert(name.to_owned(), Node::of(Source::Host(child)));
            }
            _ => self.take_apart(name)?,
        }
        Ok(())
    }

    fn take_apart(&mut self, except: &OsStr) -> io::Result<()> {
        let Source::Host(host) = std::mem::replace(&mut self.source, Source::Tmpfs) else {
            return Ok(());
        };
        let entries = fs::read_dir(&host)?.collect::<io::Result<Vec<_>>>()?;
        for entry in &entries {
            let name = entry.file_name();
            if name == except || self.children.contains_key(&name) {
                continue;
            }
            let source = match entry.file_type()?.is_symlink() {
                true => Source::Symlink(fs::read_link(entry.path())?),
                false if entries.len() > MAX_BINDS => Source::HostLink(entry.path()),
                false => Source::Host(entry.path()),
            };
            self.children.insert(name, Node::of(source));
        }
        Ok(())
    }

    /// Lays a folder's contents over the root, read-only.
    pub(super) fn lay_over(&mut self, overlay: &Path) -> io::Result<()> {
        self.lay(overlay, Path::new("/"))
    }

    fn lay(&mut self, folder: &Path, at: &Path) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            // `bin/*` means commands: /usr/local/bin comes before the host's in every usual PATH.
            let to = match at == Path::new("/") && entry.file_name() == "bin" {
                true => PathBuf::from("/usr/local/bin"),
                false => at.join(entry.file_name()),
            };
            let kind = entry.file_type()?;
            if kind.is_symlink() {
                self.put(&to, Source::Symlink(fs::read_link(entry.path())?))?;
            } else if kind.is_dir() && self.is_folder(&to) {
                self.lay(&entry.path(), &to)?;
            } else {
                self.put(&to, Source::Host(entry.path()))?;
            }
        }
        Ok(())
    }

    /// Whether there is a folder at a path, looking through links.
    pub(super) fn is_folder(&self, path: &Path) -> bool {
        let Ok(mut path) = normal(path) else { return false };
        for _ in 0..MAX_LINKS {
            let mut node = self;
            let mut link = None;
            for (depth, name) in path.iter().enumerate() {
                if let Some(child) = node.children.get(name) {
                    if let Source::Symlink(target) = &child.source {
                        link = Some((depth, target.clone()));
                        break;
                    }
                    node = child;
                } else if let Source::Host(host) | Source::HostLink(host) = &node.source {
                    return host.join(path[depth..].iter().collect::<PathBuf>()).is_dir();
                } else {
                    return false;
                }
            }
            let Some((depth, target)) = link else {
                return match &node.source {
                    Source::Host(host) | Source::HostLink(host) => host.is_dir(),
                    _ => true,
                };
            };
            let mut resolved = Path::new("/").join(path[..depth].iter().collect::<PathBuf>());
            resolved.push(target);
            let rest = path.split_off(depth + 1);
            path = resolve(&resolved);
            path.extend(rest);
        }
        false
    }

    /// The arguments that build this tree, parents first.
    pub(super) fn arguments(&self) -> Vec<OsString> {
        let mut arguments = Vec::new();
        let mut linked = BTreeSet::new();
        self.collect_linked(&mut linked);
        for host in linked {
            let at = Path::new(LINKED).join(host.strip_prefix("/").unwrap_or(&host));
            arguments.extend(["--ro-bind".into(), host.into(), at.into()]);
        }
        self.append_children(Path::new("/"), &mut arguments);
        arguments
    }

    /// The folders of the host that links lead to.
    fn collect_linked(&self, linked: &mut BTreeSet<PathBuf>) {
        if let Source::HostLink(path) = &self.source {
            // Programs look for their libraries beside the folder that they are in.
            let folder = match path.starts_with("/usr") {
                true => Some(Path::new("/usr")),
                false => path.parent(),
            };
            linked.extend(folder.map(Path::to_owned));
        }
        for child in self.children.values() {
            child.collect_linked(linked);
        }
    }

    fn append_own(&self, path: &Path, arguments: &mut Vec<OsString>) {
        let mut push =
            |words: &[&OsStr]| arguments.extend(words.iter().map(|&word| word.to_owned()));
        let at = path.as_os_str();
        match &self.source {
            Source::Folder => push(&["--dir".as_ref(), at]),
            Source::Host(host) => push(&["--ro-bind".as_ref(), host.as_os_str(), at]),
            Source::Volume { path, read_only: true } => {
                push(&["--ro-bind".as_ref(), path.as_os_str(), at]);
            }
            Source::Volume { path, read_only: false } => {
                push(&["--bind".as_ref(), path.as_os_str(), at]);
            }
            Source::Symlink(target) => push(&["--symlink".as_ref(), target.as_os_str(), at]),
            Source::HostLink(host) => {
                let target = Path::new(LINKED).join(host.strip_prefix("/").unwrap_or(host));
                push(&["--symlink".as_ref(), target.as_os_str(), at]);
            }
            Source::Tmpfs => push(&["--tmpfs".as_ref(), at]),
            Source::Scratch => {
                push(&["--perms".as_ref(), "1777".as_ref(), "--tmpfs".as_ref(), at]);
            }
            // Root may write to much of /proc without any capability.
            Source::Proc => push(&["--proc".as_ref(), at, "--remount-ro".as_ref(), at]),
            Source::Dev => push(&["--dev".as_ref(), at]),
        }
    }

    fn append_children(&self, path: &Path, arguments: &mut Vec<OsString>) {
        for (name, child) in &self.children {
            let path = path.join(name);
            match (&self.source, &child.source) {
                // What a folder of the host contains has come with it.
                (Source::Host(_), Source::Symlink(_)) => {}
                (Source::Host(host), Source::Host(same)) if *same == host.join(name) => {
                    child.append_children(&path, arguments);
                }
                _ => {
                    child.append_own(&path, arguments);
                    child.append_children(&path, arguments);
                }
            }
        }
    }
}

/// The components of an absolute path without `..`.
fn normal(path: &Path) -> io::Result<Vec<OsString>> {
    if !path.is_absolute() {
        return Err(invalid("a mount path must be absolute"));
    }
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name.to_owned()),
            Component::ParentDir => return Err(invalid("a mount path must not contain '..'")),
            _ => {}
        }
    }
    Ok(names)
}

/// The components of a link's target, `..` taken literally.
fn resolve(path: &Path) -> Vec<OsString> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name.to_owned()),
            Component::ParentDir => {
                names.pop();
            }
            _ => {}
        }
    }
    names
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message.to_owned())
}
