//! Starts the program, reads what it says, and ends it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// How long a program may take for a whole test, before it is killed and the test fails.
const PATIENCE: Duration = Duration::from_secs(120);

/// The demo's project, as it is in the source tree.
pub(crate) fn demo_project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("demo")
}

/// The program, with none of the settings of the one who runs the tests.
pub(crate) fn emulator() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_emulator"));
    for variable in ["BRIGADE_NAMESPACE", "INLINE", "LOG", "LOG_FORMAT", "NAMESPACE"] {
        command.env_remove(variable);
    }
    command
}

/// Runs the program to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    let mut command = emulator();
    let child = command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = child.spawn().unwrap();
    let _in_time = kill_late(child.id());
    child.wait_with_output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Why bubblewrap cannot be used here, if it cannot.
pub(crate) fn no_sandbox() -> Option<String> {
    let tried = Command::new("bwrap").args(["--ro-bind", "/", "/", "true"]).output();
    match tried {
        Err(error) => Some(format!("bwrap: {error}")),
        Ok(output) if !output.status.success() => Some(text(&output.stderr)),
        Ok(_) => None,
    }
}

/// Whether a program is there.
pub(crate) fn has(program: &str) -> bool {
    Command::new(program).arg("--help").output().is_ok()
}

/// An `emulator up` that serves.
pub(crate) struct Up {
    child: Child,
    out: BufReader<ChildStdout>,
    /// Dropped with this, which tells the one that would kill the program.
    _in_time: mpsc::Sender<()>,
    /// What the line with `ready` says.
    pub(crate) ready: BTreeMap<String, String>,
    /// What it said before.
    pub(crate) said: String,
}

impl Up {
    pub(crate) fn start(arguments: &[&str]) -> Up {
        Up::start_in(Path::new(env!("CARGO_MANIFEST_DIR")), arguments)
    }

    /// Starts it in this folder.
    pub(crate) fn start_in(folder: &Path, arguments: &[&str]) -> Up {
        let mut child = emulator()
            .current_dir(folder)
            .args(["--log", "warn", "up", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let in_time = kill_late(child.id());
        let mut said = String::new();
        let ready = loop {
            let mut line = String::new();
            assert!(out.read_line(&mut line).unwrap() > 0, "it ended before it was ready:\n{said}");
            said += &line;
            if let Some((_, rest)) = line.split_once(" ready ") {
                let pairs = rest.split_whitespace().filter_map(|word| word.split_once('='));
                break pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
            }
        };
        Up { child, out, _in_time: in_time, ready, said }
    }

    /// Reads what it says until a line holds this.
    pub(crate) fn wait_for(&mut self, words: &str) -> String {
        loop {
            let mut line = String::new();
            let read = self.out.read_line(&mut line).unwrap();
            assert!(read > 0, "it ended before it said {words:?}:\n{}", self.said);
            self.said += &line;
            if line.contains(words) {
                return line;
            }
        }
    }

    /// Runs kubectl against its cluster.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Output {
        let kubeconfig = &self.ready["kubeconfig"];
        Command::new("kubectl").args(["--kubeconfig", kubeconfig]).args(arguments).output().unwrap()
    }

    /// Interrupts it; what it says until it has ended.
    pub(crate) fn stop(mut self) -> String {
        self.interrupt();
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        assert!(self.child.wait().unwrap().success(), "{}{rest}", self.said);
        rest
    }

    fn interrupt(&self) {
        signal(self.child.id(), Signal::INT);
    }
}

/// Kills a program that takes too long, unless the sender is dropped before.
fn kill_late(id: u32) -> mpsc::Sender<()> {
    let (in_time, late) = mpsc::channel();
    thread::spawn(move || {
        if late.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
            signal(id, Signal::KILL);
        }
    });
    in_time
}

fn signal(id: u32, signal: Signal) {
    let id = i32::try_from(id).ok().and_then(Pid::from_raw).unwrap();
    let _ended_already = kill_process(id, signal);
}

impl Drop for Up {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _ended_already = self.child.kill();
            let _no_status = self.child.wait();
        }
    }
}
