//! A sandbox that runs: commands beside its first program, and that program itself.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::process::Child;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::console::Console;
use super::enter;
use super::taps::Taps;
use super::terminal::{Terminal, watched};
use crate::kubelet::runtime::ContainerRun;
use crate::kubelet::runtime::sandbox::process;
use crate::streams::{Input, Output, Served, Wanted};

/// Once a command has ended, what it left behind may hold its output; it is read until nothing has
/// come for so long.
const LULL: Duration = Duration::from_millis(250);

/// How long a command may take to end when its client is gone.
const GRACE: Duration = Duration::from_secs(2);

const CHUNK: usize = 32 * 1024;

/// What is needed to enter a sandbox.
#[derive(Debug)]
pub(crate) struct Inside {
    /// The sandbox's process 1.
    pub(super) reaper: Pid,
    /// The same process, whatever becomes of its number; nothing where it has ended already.
    pub(super) handle: Option<OwnedFd>,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) folder: String,
    /// The control groups that hold its limits.
    pub(super) groups: Vec<PathBuf>,
    /// Whether its user has the number 0 inside.
    pub(super) is_root: bool,
    taps: Taps,
    console: Console,
}

impl Inside {
    /// A sandbox whose first process is `reaper`, a child of bubblewrap that has not been waited for.
    pub(crate) fn new(
        reaper: Pid,
        environment: BTreeMap<String, String>,
        run: &ContainerRun,
        groups: Vec<PathBuf>,
        taps: Taps,
        console: Console,
    ) -> Inside {
        let folder = run.working_folder.clone().unwrap_or_else(|| "/".to_owned());
        let handle = pidfd_open(reaper, PidfdFlags::empty()).ok();
        let is_root = run.user.unwrap_or(0) == 0;
        Inside { reaper, handle, environment, folder, groups, is_root, taps, console }
    }
}

type Writer = Box<dyn AsyncWrite + Send + Unpin>;
pub(crate) type Reader = Box<dyn AsyncRead + Send + Unpin>;

/// Runs a command in the sandbox to its end.
pub(super) async fn exec(
    inside: Arc<Inside>,
    command: Vec<String>,
    wanted: Wanted,
    served: Served,
) {
    let Served { input, output } = served;
    let exit = match begin(&inside, command, wanted).await {
        Ok(process) => process.run(input, output.clone()).await,
        Err(error) => Err(format!("error executing command in container: {error}")),
    };
    // Whoever has gone wants no answer.
    let _ = output.send(Output::Exit(exit)).await;
}

async fn begin(inside: &Arc<Inside>, command: Vec<String>, wanted: Wanted) -> io::Result<Process> {
    let terminal = match wanted.tty {
        true => Some(Terminal::open(inside.reaper)?),
        false => None,
    };
    let mut child = enter::start(inside.clone(), command, wanted, terminal.as_ref()).await?;
    let (stdin, stdout) = match &terminal {
        Some(terminal) => {
            (Some(Box::new(terminal.clone()) as Writer), Some(Box::new(terminal.clone()) as Reader))
        }
        None => (
            child.stdin.take().map(|stdin| Box::new(stdin) as Writer),
            child.stdout.take().map(|stdout| Box::new(stdout) as Reader),
        ),
    };
    let stderr = child.stderr.take().map(|stderr| Box::new(stderr) as Reader);
    Ok(Process { child, terminal, stdin, stdout, stderr })
}

/// A command that runs.
struct Process {
    child: Child,
    terminal: Option<Terminal>,
    stdin: Option<Writer>,
    stdout: Option<Reader>,
    stderr: Option<Reader>,
}

impl Process {
    async fn run(
        self,
        input: mpsc::Receiver<Input>,
        output: mpsc::Sender<Output>,
    ) -> Result<i32, String> {
        let Process { mut child, terminal, stdin, stdout, stderr } = self;
        let moves = Moves::default();
        let stdout = pump(stdout, &output, Output::Stdout, &moves);
        let stderr = pump(stderr, &output, Output::Stderr, &moves);
        let ended = async {
            let mut outputs = std::pin::pin!(async { tokio::join!(stdout, stderr) });
            let mut open = true;
            let status = loop {
                tokio::select! {
                    status = child.wait() => break status,
                    _ = &mut outputs, if open => open = false,
                }
            };
            while open {
                let before = moves.count();
                open = timeout(LULL, &mut outputs).await.is_err() && !moves.none_since(before);
            }
            status
        };
        let status = tokio::select! {
            status = ended => Some(status),
            () = feed(input, stdin, terminal) => None,
            () = output.closed() => None,
        };
        match status {
            Some(Ok(status)) => Ok(code(status)),
            Some(Err(error)) => Err(format!("the command cannot be waited for: {error}")),
            None => {
                end(child).await;
                Err("the client is gone".to_owned())
            }
        }
    }
}

/// How much has been moved, to see when nothing comes any more.
#[derive(Default)]
struct Moves {
    count: AtomicU64,
    /// Pieces that wait for a slow client.
    held: AtomicUsize,
}

impl Moves {
    fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    fn none_since(&self, before: u64) -> bool {
        self.held.load(Ordering::Relaxed) == 0 && self.count() == before
    }
}

async fn pump(
    reader: Option<Reader>,
    output: &mpsc::Sender<Output>,
    wrap: fn(Bytes) -> Output,
    moves: &Moves,
) {
    let Some(mut reader) = reader else { return };
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(CHUNK);
        match reader.read_buf(&mut buffer).await {
            Ok(count) if count > 0 => {}
            _ => return,
        }
        moves.count.fetch_add(1, Ordering::Relaxed);
        moves.held.fetch_add(1, Ordering::Relaxed);
        if output.send(wrap(buffer.split().freeze())).await.is_err() {
            return;
        }
        moves.held.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Gives the client's input to the command; returns when the client is gone.
async fn feed(
    mut input: mpsc::Receiver<Input>,
    mut stdin: Option<Writer>,
    terminal: Option<Terminal>,
) {
    while let Some(item) = input.recv().await {
        match item {
            Input::Data(data) => {
                if let Some(writer) = &mut stdin
                    && writer.write_all(&data).await.is_err()
                {
                    // The command reads no more; what comes is thrown away.
                    stdin = None;
                }
            }
            Input::End => stdin = None,
            Input::Resize(size) => {
                if let Some(terminal) = &terminal {
                    terminal.resize(size);
                }
            }
        }
    }
}

/// The exit code; for a signal as shells count it.
fn code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(137)
}

/// Ends a command and what it has started.
async fn end(mut child: Child) {
    let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let Some(id) = id else { return };
    // The command may be the child of the program that entered, with a session of its own.
    let mut groups = vec![id];
    groups.extend(process::children(id).into_iter().filter_map(Pid::from_raw));
    let signal = |signal: Signal| {
        for group in &groups {
            // Whatever has ended already needs no signal.
            let _ = kill_process_group(*group, signal).or_else(|_| kill_process(*group, signal));
        }
    };
    signal(Signal::TERM);
    // Until it is waited for, its number belongs to nobody else.
    if let Ok(handle) = pidfd_open(id, PidfdFlags::NONBLOCK)
        && let Ok(handle) = watched(handle)
    {
        let _ = timeout(GRACE, handle.readable()).await;
    }
    signal(Signal::KILL);
    if let Err(error) = child.wait().await {
        tracing::warn!(%error, "a command cannot be waited for");
    }
}

/// Connects a client to the sandbox's first program, until that ends.
pub(super) async fn attach(inside: Arc<Inside>, wanted: Wanted, served: Served) {
    let Served { input, output } = served;
    let mut tapped = inside.taps.open();
    let copy = async {
        while let Some(bytes) = tapped.next().await {
            if wanted.stdout && output.send(Output::Stdout(bytes)).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = copy => {}
        () = inside.console.feed(input) => return,
    }
    let exit = match tapped.is_overrun() {
        true => Err("the client read too slowly and was let go".to_owned()),
        false => Ok(0),
    };
    // Whoever has gone wants no answer.
    let _ = output.send(Output::Exit(exit)).await;
}
