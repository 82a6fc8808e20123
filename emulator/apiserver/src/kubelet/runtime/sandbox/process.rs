//! One bubblewrap process: started, watched over, signalled.
//!
//! Bubblewrap gets its options (with the values of Secrets) through its standard input, not on a
//! command line that every user of the host could read, and not through its own environment,
//! where a pod's `LD_PRELOAD` would act outside the sandbox. A shell enters the control groups and
//! moves the file descriptors:
//! 3 are the options, 4 the status; output and errors of the container share one pipe.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc as blocking;
use std::time::Duration;
use std::{fs, thread};

use rustix::process::{Pid, PidfdFlags, kill_process, pidfd_open, pidfd_send_signal};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use super::super::{Exit, Signal, StartError};
use super::limits::Group;
use crate::kubelet::stream::{Console, Reader, Taps};
use crate::logs::{LogWriter, Output};

const LAUNCH: &str = r#"while [ "$1" != -- ]; do echo $$ > "$1/cgroup.procs" || exit 1; shift; done
program=$2 input=$3 terminal=$4; shift 4; umask 022
[ "$terminal" ] && exec "$program" --args 3 --json-status-fd 4 -- "$@" 3<&0 4>&2 0<>"$input" 1>&0 2>&0
exec "$program" --args 3 --json-status-fd 4 -- "$@" 3<&0 0<"$input" 4>&2 2>&1"#;

/// A thread that starts the processes.
///
/// Bubblewrap ends when the thread that started it ends, and those of the asynchronous runtime
/// come and go. With this thread, so with the sandbox, all its containers end.
#[derive(Clone, Debug)]
pub(super) struct Spawner {
    requests: blocking::Sender<Request>,
}

struct Request {
    command: Command,
    handle: Handle,
    answer: blocking::SyncSender<io::Result<Child>>,
}

impl Spawner {
    pub(super) fn start() -> Spawner {
        let (requests, receiver) = blocking::channel::<Request>();
        thread::spawn(move || {
            for mut request in receiver {
                let _runtime = request.handle.enter();
                // Who no longer waits has dropped the receiver; the child is killed with the answer.
                let _ = request.answer.send(request.command.spawn());
            }
        });
        Spawner { requests }
    }

    /// Starts bubblewrap; blocks for the fork.
    pub(super) fn spawn(
        &self,
        program: &Path,
        options: Vec<OsString>,
        words: Vec<String>,
        group: Group,
        console: &Console,
    ) -> io::Result<Process> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", LAUNCH, "sh"]).args(&group.folders).arg("--");
        let terminal = console.terminal();
        command.arg(program).arg(console.path());
        command.arg(if terminal.is_some() { "terminal" } else { "" }).args(words);
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin:/run/current-system/sw/bin");
        command.current_dir("/").kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (answer, receiver) = blocking::sync_channel(1);
        let gone = |_| io::Error::other("the sandbox has been stopped");
        let request = Request { command, handle: Handle::current(), answer };
        self.requests
            .send(request)
            .map_err(|_| io::Error::other("the sandbox has been stopped"))?;
        let mut child = receiver.recv().map_err(gone)??;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let mut input = Vec::new();
        for word in &options {
            if word.as_bytes().contains(&0) {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "a value contains a zero byte",
                ));
            }
            input.extend_from_slice(word.as_bytes());
            input.push(0);
        }
        Ok(Process {
            output: match terminal {
                Some(terminal) => Box::new(terminal.clone()),
                None => Box::new(stdout.ok_or_else(|| io::Error::other("no pipe"))?),
            },
            status: BufReader::new(stderr.ok_or_else(|| io::Error::other("no pipe"))?).lines(),
            child,
            input,
            group,
        })
    }
}

/// A bubblewrap that is being started.
pub(super) struct Process {
    child: Child,
    input: Vec<u8>,
    group: Group,
    output: Reader,
    status: Lines<BufReader<ChildStderr>>,
}

/// What bubblewrap tells, a document a line.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Status {
    child_pid: Option<i32>,
    exit_code: Option<i32>,
}

impl Process {
    /// Runs to the end and returns the exit code and what was said.
    pub(super) async fn output(&mut self) -> io::Result<(i32, String)> {
        self.send_options().await?;
        let mut said = Vec::new();
        let mut trouble = String::new();
        (&mut self.output).take(64 * 1024).read_to_end(&mut said).await?;
        while let Some(line) = self.status.next_line().await? {
            if !line.starts_with('{') {
                trouble.push_str(&line);
            }
        }
        let code = self.child.wait().await?.code().unwrap_or(-1);
        let said = format!("{}{trouble}", String::from_utf8_lossy(&said));
        Ok((code, said.trim().to_owned()))
    }

    async fn send_options(&mut self) -> io::Result<()> {
        if let Some(mut stdin) = self.child.stdin.take() {
            match stdin.write_all(&self.input).await {
                // The process has ended before it read all; its own words are the better error.
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Returns when the container's program runs, or cannot; a task goes on to the exit.
    pub(super) async fn supervise(
        mut self,
        log: LogWriter,
        taps: Taps,
        signals: mpsc::UnboundedReceiver<Signal>,
        exit: oneshot::Sender<Exit>,
    ) -> Result<Pid, StartError> {
        self.send_options().await?;
        let mut reaper = None;
        while let Some(line) = self.status.next_line().await? {
            if let Ok(Status { child_pid: Some(pid), .. }) = serde_json::from_str(&line) {
                reaper = Pid::from_raw(pid);
                break;
            }
        }
        let Some(reaper) = reaper else {
            let (code, said) = self.output().await?;
            let said = if said.is_empty() { format!("bwrap ended with {code}") } else { said };
            return Err(StartError::Refused(said));
        };
        let Process { child, status, mut output, group, .. } = self;
        let mut running = Supervised {
            child,
            status,
            reaper,
            handle: pidfd_open(reaper, PidfdFlags::empty()).ok(),
            group,
            log,
            taps,
            last: Vec::new(),
            code: None,
            is_log_lost: false,
        };
        match running.until_executed(&mut output).await? {
            Some(Ended { code: Some(code) }) => {
                // It was quick: it has run and ended.
                running.taps.close();
                drop(running.log);
                let out_of_memory = code == 137 && running.group.was_out_of_memory();
                running.group.remove().await;
                let _ = exit.send(Exit { code, out_of_memory });
            }
            Some(Ended { code: None }) => {
                return Err(StartError::Refused(running.complaint()));
            }
            None => {
                tokio::spawn(running.run(output, signals, exit));
            }
        }
        Ok(reaper)
    }
}

struct Supervised {
    child: Child,
    status: Lines<BufReader<ChildStderr>>,
    reaper: Pid,
    /// The reaper again, whose number may be another's once it has ended.
    handle: Option<OwnedFd>,
    group: Group,
    log: LogWriter,
    taps: Taps,
    /// The end of what was said, for the reason if the program was never executed.
    last: Vec<u8>,
    code: Option<i32>,
    /// A full disk is told once, not for every line.
    is_log_lost: bool,
}

/// The exit code, if the container's program was executed at all.
struct Ended {
    code: Option<i32>,
}

impl Supervised {
    /// Waits until the program has replaced bubblewrap's own code in its process.
    ///
    /// Nothing announces this moment, so it is looked for: once a millisecond, for the few that it
    /// takes. After 2000 looks the container counts as started.
    async fn until_executed(&mut self, output: &mut Reader) -> io::Result<Option<Ended>> {
        let mut ticks = tokio::time::interval(Duration::from_millis(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut buffer = vec![0; 64 * 1024];
        let mut open = true;
        for _ in 0..2000 {
            tokio::select! {
                count = output.read(&mut buffer), if open => match count? {
                    0 => open = false,
                    count => self.store(&buffer[..count]),
                },
                ended = self.end(), if !open => return ended.map(Some),
                _ = ticks.tick() => {
                    let reaper = self.reaper;
                    if main_process(reaper).is_some_and(|main| is_executed(main, reaper)) {
                        return Ok(None);
                    }
                }
            }
        }
        Ok(None)
    }

    async fn run(
        mut self,
        mut output: Reader,
        mut signals: mpsc::UnboundedReceiver<Signal>,
        exit: oneshot::Sender<Exit>,
    ) {
        let mut buffer = vec![0; 64 * 1024];
        // A process that is not found at one instant may be found at the next.
        let mut again = tokio::time::interval(Duration::from_millis(20));
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut terminates = false;
        loop {
            tokio::select! {
                _ = again.tick(), if terminates => terminates = !self.terminate(),
                count = output.read(&mut buffer) => match count {
                    Ok(count) if count > 0 => self.store(&buffer[..count]),
                    _ => break,
                },
                signal = signals.recv() => match signal {
                    Some(Signal::Terminate) => terminates = true,
                    Some(Signal::Kill) | None => {
                        self.kill();
                        signals.close();
                        self.drain(&mut output, &mut buffer).await;
                        break;
                    }
                },
                // A program may close its outputs and go on, or leave others behind that hold them.
                status = self.child.wait() => {
                    if let Err(error) = status {
                        tracing::warn!(%error, "a container cannot be waited for");
                    }
                    // It may have been ended from outside, and its container not with it.
                    self.kill();
                    self.drain(&mut output, &mut buffer).await;
                    break;
                }
            }
        }
        self.taps.close();
        // Without output there are still signals to take.
        let mut killed = false;
        let ended = loop {
            tokio::select! {
                ended = self.end() => break ended,
                _ = again.tick(), if terminates => terminates = !self.terminate(),
                signal = signals.recv(), if !killed => match signal {
                    Some(Signal::Terminate) => terminates = true,
                    Some(Signal::Kill) | None => {
                        self.kill();
                        killed = true;
                    }
                },
            }
        };
        self.kill();
        let code = match ended {
            Ok(Ended { code }) => code.unwrap_or(137),
            Err(error) => {
                tracing::warn!(%error, "a container's exit code is not known");
                137
            }
        };
        drop(self.log);
        // Of one process among many the container may know nothing.
        let out_of_memory = code == 137 && self.group.was_out_of_memory();
        self.group.remove().await;
        // Nobody waits for the exit of a container whose pod is gone.
        let _ = exit.send(Exit { code, out_of_memory });
    }

    async fn drain(&mut self, output: &mut Reader, buffer: &mut [u8]) {
        while let Ok(count) = output.read(buffer).await
            && count > 0
        {
            self.store(&buffer[..count]);
        }
    }

    /// The status to its end, then bubblewrap's own exit; can be called again when cancelled.
    async fn end(&mut self) -> io::Result<Ended> {
        while let Some(line) = self.status.next_line().await? {
            if let Ok(Status { exit_code: Some(code), .. }) = serde_json::from_str(&line) {
                self.code = Some(code);
            }
        }
        self.child.wait().await?;
        Ok(Ended { code: self.code })
    }

    fn store(&mut self, bytes: &[u8]) {
        self.last.extend_from_slice(&bytes[bytes.len().saturating_sub(1024)..]);
        self.last.drain(..self.last.len().saturating_sub(1024));
        self.taps.send(bytes);
        if let Err(error) = self.log.write(Output::Stdout, bytes)
            && !self.is_log_lost
        {
            self.is_log_lost = true;
            tracing::warn!(%error, "a container's log cannot be written");
        }
    }

    fn complaint(&self) -> String {
        let said = String::from_utf8_lossy(&self.last);
        let line = said.trim().rsplit('\n').next().unwrap_or_default();
        match line.strip_prefix("bwrap: execvp ") {
            Some(failure) => format!("unable to start container process: exec: {failure}"),
            None => format!("unable to create the container: {line}"),
        }
    }

    /// Ends everything in the container.
    ///
    /// Its processes end with the reaper, which is the first of their namespace. The reaper ends with
    /// bubblewrap's first process, but only from a moment on that comes after the program's start.
    fn kill(&mut self) {
        // Both fail only where the process has ended already.
        if let Some(handle) = &self.handle {
            let _ = pidfd_send_signal(handle, rustix::process::Signal::KILL);
        }
        let _ = self.child.start_kill();
    }

    /// Asks the container's program to end; says whether it was there to be asked.
    fn terminate(&self) -> bool {
        let Some(process) = main_process(self.reaper) else { return false };
        match kill_process(process, rustix::process::Signal::TERM) {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!(%error, "a container's program could not be asked to end");
                false
            }
        }
    }
}

/// The container's first program: the reaper's oldest child, by the numbers of its own namespace.
fn main_process(reaper: Pid) -> Option<Pid> {
    let numbered = children(reaper).into_iter().filter_map(|child| {
        let status = fs::read_to_string(format!("/proc/{child}/status")).ok()?;
        let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
        Some((numbers.split_whitespace().last()?.parse::<u32>().ok()?, child))
    });
    Pid::from_raw(numbered.min()?.1)
}

pub(crate) fn children(parent: Pid) -> Vec<i32> {
    let parent = parent.as_raw_nonzero();
    if let Ok(children) = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")) {
        return children.split_whitespace().filter_map(|child| child.parse().ok()).collect();
    }
    // Some kernels are built without that list.
    let processes = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let is_child = |process: &i32| {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        // The name, in parentheses, may contain anything.
        let fields = stat.rsplit_once(')').map(|(_, fields)| fields).unwrap_or_default();
        fields.split_whitespace().nth(1) == Some(parent.to_string().as_str())
    };
    processes.filter_map(|it| it.file_name().to_str()?.parse().ok()).filter(is_child).collect()
}

/// Whether a process runs another program than the reaper, which is bubblewrap's own.
fn is_executed(process: Pid, reaper: Pid) -> bool {
    let program = |pid: Pid| fs::read_link(format!("/proc/{}/exe", pid.as_raw_nonzero()));
    match (program(process), program(reaper)) {
        (Ok(program), Ok(own)) => program != own,
        _ => false,
    }
}
