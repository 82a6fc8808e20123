//! Starts a command in the namespaces of a sandbox that runs.
//!
//! Where the sandbox shares the kubelet's users (the kubelet is root and so is the container), a
//! thread goes in and starts the command. It gives up every privilege for what is executed there,
//! but keeps them itself until then: what runs inside may look into a process with equal
//! privileges, and until it is executed the command is a copy of the kubelet.
//!
//! A sandbox with users of its own takes no thread of a larger process in. There `nsenter` goes,
//! and inside `setpriv` gives up what going in has brought. Those privileges are over the
//! sandbox's own namespaces only, so a volume in place of `setpriv` gains nothing but these.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::thread;

use rustix::process::Pid;
use rustix::thread::{
    CapabilitySet, CapabilitySets, ThreadNameSpaceType, UnshareFlags, capabilities,
    clear_ambient_capability_set, move_into_thread_name_spaces,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::inside::Inside;
use super::terminal::Terminal;
use crate::streams::Wanted;

const NSENTER: &[&str] =
    &["/usr/bin/nsenter", "/bin/nsenter", "/run/current-system/sw/bin/nsenter"];

/// The namespaces that `nsenter` joins: the file in `/proc` and the option.
const NAMESPACES: &[(&str, &str)] = &[
    ("cgroup", "--cgroup"),
    ("ipc", "--ipc"),
    ("mnt", "--mount"),
    ("net", "--net"),
    ("pid", "--pid"),
    ("user", "--user"),
    ("uts", "--uts"),
];

/// Starts a command; its streams are pipes, or all the terminal.
pub(super) async fn start(
    inside: Arc<Inside>,
    words: Vec<String>,
    wanted: Wanted,
    terminal: Option<&Terminal>,
) -> io::Result<Child> {
    let words = match terminal {
        // The terminal has to become the controlling one, by a program of the sandbox.
        Some(_) => ["/usr/bin/setsid", "--ctty", "--"].map(str::to_owned).into_iter().chain(words),
        None => [const { String::new() }; 3].into_iter().chain(words),
    };
    let words: Vec<String> = words.filter(|word| !word.is_empty()).collect();
    let streams = streams(wanted, terminal)?;
    let (answer, started) = oneshot::channel();
    let runtime = Handle::current();
    // The thread ends with the namespaces that it has joined.
    thread::Builder::new().name("exec".to_owned()).spawn(move || {
        let _runtime = runtime.enter();
        // Whoever no longer waits drops the child, which kills it.
        let _ = answer.send(spawn(&inside, &words, streams, wanted.tty));
    })?;
    started.await.map_err(|_| io::Error::other("the thread that enters has failed"))?
}

fn streams(wanted: Wanted, terminal: Option<&Terminal>) -> io::Result<[Stdio; 3]> {
    if let Some(terminal) = terminal {
        let peer = terminal.peer()?;
        return Ok([peer.try_clone()?.into(), peer.try_clone()?.into(), peer.into()]);
    }
    let piped = |wanted: bool| if wanted { Stdio::piped() } else { Stdio::null() };
    Ok([piped(wanted.stdin), piped(wanted.stdout), piped(wanted.stderr)])
}

fn spawn(inside: &Inside, words: &[String], streams: [Stdio; 3], tty: bool) -> io::Result<Child> {
    let handle = inside.handle.as_ref().ok_or_else(|| io::Error::other("it has ended"))?;
    set_no_new_privs(true)?;
    let mut command = if differs(inside.reaper, "user") {
        nsenter(inside, words)?
    } else {
        let (program, arguments) = words
            .split_first()
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no command is given"))?;
        go_in(handle.as_fd())?;
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&inside.folder).env_clear();
        command.envs(&inside.environment);
        command
    };
    if tty && !inside.environment.contains_key("TERM") {
        command.env("TERM", "xterm");
    }
    if !tty {
        command.process_group(0);
    }
    let [stdin, stdout, stderr] = streams;
    command.stdin(stdin).stdout(stdout).stderr(stderr).kill_on_drop(true);
    let child = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => not_found(words),
        _ => error,
    })?;
    share_limits(&inside.groups, &child)?;
    Ok(child)
}

/// The words of a real runtime.
fn not_found(words: &[String]) -> io::Error {
    let program = words.first().map(String::as_str).unwrap_or_default();
    let why = match program.contains('/') {
        true => "no such file or directory",
        false => "executable file not found in $PATH",
    };
    io::Error::new(
        io::ErrorKind::NotFound,
        format!("unable to start container process: exec: {program:?}: {why}"),
    )
}

/// Moves this thread into the sandbox; what it executes from then on has no privileges.
fn go_in(process: BorrowedFd<'_>) -> io::Result<()> {
    #[expect(deprecated, reason = "unsafe is the unsharing of files; here it is root and folder")]
    rustix::thread::unshare(UnshareFlags::FS)?;
    let spaces = ThreadNameSpaceType::MOUNT
        | ThreadNameSpaceType::CONTROL_GROUP
        | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME
        | ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION
        | ThreadNameSpaceType::NETWORK
        | ThreadNameSpaceType::PROCESS_ID;
    move_into_thread_name_spaces(process, spaces)?;
    // The kernel knows fewer than there are bits.
    for number in 0..u64::BITS {
        let one = CapabilitySet::from_bits_retain(1 << number);
        if remove_capability_from_bounding_set(one).is_err() {
            break;
        }
    }
    clear_ambient_capability_set()?;
    let own = capabilities(None)?;
    set_capabilities(None, CapabilitySets { inheritable: CapabilitySet::empty(), ..own })?;
    Ok(())
}

/// The program that joins namespaces, for a process.
pub(super) fn joiner(process: Pid) -> io::Result<Command> {
    let program = NSENTER.iter().find(|path| Path::new(path).exists()).ok_or_else(|| {
        io::Error::new(io::ErrorKind::NotFound, "there is no nsenter (of util-linux) on the node")
    })?;
    let mut command = Command::new(program);
    command.args(["--target", &process.as_raw_nonzero().to_string()]);
    command.arg("--preserve-credentials").env_clear().kill_on_drop(true);
    Ok(command)
}

fn nsenter(inside: &Inside, words: &[String]) -> io::Result<Command> {
    let mut command = joiner(inside.reaper)?;
    let joined = NAMESPACES.iter().filter(|(file, _)| differs(inside.reaper, file));
    command.args(joined.map(|(_, option)| *option));
    command.arg(format!("--wdns={}", inside.folder)).arg("--");
    if inside.is_root {
        command.args(["/usr/bin/setpriv", "--bounding-set=-all", "--inh-caps=-all"]);
        command.args(["--ambient-caps=-all", "--"]);
    }
    // These would act on nsenter, outside; so they come on the command line.
    command.arg("/usr/bin/env");
    for (name, value) in &inside.environment {
        match is_for_loader(name) {
            true => command.arg(format!("{name}={value}")),
            false => command.env(name, value),
        };
    }
    command.args(words);
    Ok(command)
}

/// Whether a variable changes what a program loads before it does anything.
fn is_for_loader(name: &str) -> bool {
    name.starts_with("LD_")
        || name.starts_with("MALLOC_")
        || matches!(name, "GLIBC_TUNABLES" | "GCONV_PATH" | "LOCPATH" | "NLSPATH" | "LOCALDOMAIN")
}

/// Whether a process has another namespace of a kind than this one.
pub(super) fn differs(process: Pid, kind: &str) -> bool {
    let of = |process: &str| fs::read_link(format!("/proc/{process}/ns/{kind}")).ok();
    of("self") != of(&process.as_raw_nonzero().to_string())
}

/// Puts a command under the limits of the container, where there are such.
fn share_limits(groups: &[PathBuf], child: &Child) -> io::Result<()> {
    let Some(id) = child.id() else { return Ok(()) };
    groups.iter().try_for_each(|group| fs::write(group.join("cgroup.procs"), id.to_string()))
}
