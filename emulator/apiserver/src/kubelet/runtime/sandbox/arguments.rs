//! The bubblewrap arguments of one container.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::super::ContainerRun;
use super::root::{Node, Source};
use crate::kubelet::SandboxOptions;

/// What of the host's /etc programs need, where it exists; the rest is not visible.
const ETC: &[&str] = &[
    "alternatives",
    "ca-certificates",
    "crypto-policies",
    "gai.conf",
    "host.conf",
    "inputrc",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "locale.alias",
    "localtime",
    "login.defs",
    "magic",
    "mime.types",
    "nsswitch.conf",
    "os-release",
    "perl",
    "pki",
    "protocols",
    "services",
    "shells",
    "ssl",
    "timezone",
    "xattr.conf",
];

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The container's first program and its arguments.
pub(super) fn command(run: &ContainerRun, overlay: Option<&Path>) -> Vec<String> {
    let mut words = run.command.clone();
    if words.is_empty() && overlay.is_some_and(|overlay| overlay.join("entrypoint").is_file()) {
        words.push("/entrypoint".to_owned());
    }
    words.extend(run.arguments.iter().cloned());
    if words.is_empty() {
        words.push("/bin/sh".to_owned());
    }
    if run.terminal {
        words.splice(..0, ["/usr/bin/setsid", "--ctty", "--"].map(str::to_owned));
    }
    words
}

/// All options, without the command. `etc` holds the files that `write_etc` made.
pub(super) fn options(
    run: &ContainerRun,
    options: &SandboxOptions,
    overlay: Option<&Path>,
    etc: &Path,
    is_root: bool,
) -> io::Result<Vec<OsString>> {
    let mut words: Vec<OsString> = isolation(run, options, is_root);
    let mut root = root(run, options, overlay, etc)?;
    let folder = run.working_folder.as_deref().unwrap_or("/");
    if folder != "/" && !root.is_folder(Path::new(folder)) {
        // As with images: one that is missing is made.
        root.put(Path::new(folder), Source::Folder).map_err(|error| {
            io::Error::new(error.kind(), format!("the working directory {folder:?}: {error}"))
        })?;
    }
    let size = options.memory_folder.map(|bytes| bytes.to_string());
    if let Some(size) = &size {
        words.extend(["--size", size, "--tmpfs", "/"].map(OsString::from));
    }
    for word in root.arguments() {
        // Options of the next one come before it, in any order.
        if let Some(size) = size.as_ref().filter(|_| word == "--tmpfs") {
            words.extend(["--size", size].map(OsString::from));
        }
        words.push(word);
    }
    if run.read_only_root {
        words.extend(["--remount-ro", "/"].map(OsString::from));
    }
    words.extend(["--chdir", folder, "--clearenv"].map(OsString::from));
    for (name, value) in environment(run, options) {
        words.extend(["--setenv".to_owned(), name, value].map(OsString::from));
    }
    Ok(words)
}

fn isolation(run: &ContainerRun, options: &SandboxOptions, is_root: bool) -> Vec<OsString> {
    let mut words: Vec<String> = [
        "--unshare-pid",
        "--unshare-ipc",
        "--unshare-uts",
        "--unshare-cgroup-try",
        "--die-with-parent",
        "--cap-drop",
        "ALL",
        "--hostname",
        &run.hostname,
    ]
    .map(str::to_owned)
    .into();
    if !run.terminal {
        // With a terminal the container's first program begins a session, to control it.
        words.push("--new-session".to_owned());
    }
    let (user, group) = (run.user.unwrap_or(0), run.group.unwrap_or(0));
    if !is_root || user != 0 || group != 0 {
        words.extend(["--unshare-user", "--uid"].map(str::to_owned));
        words.extend([user.to_string(), "--gid".to_owned(), group.to_string()]);
    }
    if !options.network {
        words.push("--unshare-net".to_owned());
    }
    words.into_iter().map(OsString::from).collect()
}

fn root(
    run: &ContainerRun,
    options: &SandboxOptions,
    overlay: Option<&Path>,
    etc: &Path,
) -> io::Result<Node> {
    let mut root = Node::new();
    for name in ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"] {
        put_host(&mut root, &Path::new("/").join(name))?;
    }
    for name in ETC {
        put_host(&mut root, &Path::new("/etc").join(name))?;
    }
    for entry in fs::read_dir("/etc")? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("java-") {
            put_host(&mut root, &entry.path())?;
        }
    }
    for name in ["passwd", "group", "hosts", "hostname", "resolv.conf"] {
        root.put(&Path::new("/etc").join(name), Source::Host(etc.join(name)))?;
    }
    root.put(Path::new("/etc/mtab"), Source::Symlink("/proc/mounts".into()))?;
    root.put(Path::new("/proc"), Source::Proc)?;
    root.put(Path::new("/dev"), Source::Dev)?;
    for (folder, source) in [
        ("/tmp", Source::Scratch),
        ("/var/tmp", Source::Scratch),
        ("/root", Source::Tmpfs),
        ("/run", Source::Tmpfs),
    ] {
        let source = if run.read_only_root { Source::Folder } else { source };
        root.put(Path::new(folder), source)?;
    }
    root.put(Path::new("/var/run"), Source::Symlink("/run".into()))?;
    for (source, path) in &options.binds {
        root.put(path, Source::Host(source.clone()))?;
    }
    if let Some(overlay) = overlay {
        root.lay_over(overlay)?;
    }
    let mut mounts: Vec<_> = run.mounts.iter().collect();
    mounts.sort_by(|one, other| one.path.cmp(&other.path));
    for mount in mounts {
        let source = Source::Volume { path: mount.source.clone(), read_only: mount.read_only };
        root.put(Path::new(&mount.path), source)?;
    }
    Ok(root)
}

/// Binds something of the host where it is, if it is there; a link stays a link.
fn put_host(root: &mut Node, path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => root.put(path, Source::Symlink(fs::read_link(path)?)),
        Ok(_) => root.put(path, Source::Host(path.to_owned())),
        Err(_) => Ok(()),
    }
}

/// Defaults, then what the options add, then what the pod sets.
pub(super) fn environment(
    run: &ContainerRun,
    options: &SandboxOptions,
) -> BTreeMap<String, String> {
    let mut environment = BTreeMap::from([
        ("HOME".to_owned(), "/root".to_owned()),
        ("HOSTNAME".to_owned(), run.hostname.clone()),
        ("PATH".to_owned(), PATH.to_owned()),
    ]);
    environment.extend(options.environment.clone());
    environment.extend(run.environment.clone());
    environment
}

/// Writes the files of /etc that are a container's own, and returns their folder.
pub(super) fn write_etc(run: &ContainerRun) -> io::Result<PathBuf> {
    let etc = run.folder.join("etc");
    fs::create_dir_all(&etc)?;
    let (user, group) = (run.user.unwrap_or(0), run.group.unwrap_or(0));
    let mut passwd = "root:x:0:0:root:/root:/bin/sh\n".to_owned();
    let mut groups = "root:x:0:\n".to_owned();
    if user != 0 {
        passwd.push_str(&format!("user:x:{user}:{group}::/root:/bin/sh\n"));
    }
    if group != 0 {
        groups.push_str(&format!("user:x:{group}:\n"));
    }
    passwd.push_str("nobody:x:65534:65534:nobody:/:/bin/false\n");
    groups.push_str("nogroup:x:65534:\n");
    let mut hosts = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n".to_owned();
    hosts.push_str(&format!("127.0.0.1\t{}\n", run.hostname));
    for (address, names) in &run.host_aliases {
        hosts.push_str(&format!("{address}\t{}\n", names.join("\t")));
    }
    let resolver = fs::read("/etc/resolv.conf").unwrap_or_default();
    fs::write(etc.join("passwd"), passwd)?;
    fs::write(etc.join("group"), groups)?;
    fs::write(etc.join("hosts"), hosts)?;
    fs::write(etc.join("hostname"), format!("{}\n", run.hostname))?;
    fs::write(etc.join("resolv.conf"), resolver)?;
    Ok(etc)
}
