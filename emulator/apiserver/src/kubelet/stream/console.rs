//! What a container's first program reads from, for the clients that are attached to it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;
use tokio::sync::{Mutex, mpsc};

use super::terminal::Terminal;
use crate::kubelet::runtime::ContainerRun;
use crate::streams::Input;

/// The input of a container's first program.
#[derive(Debug)]
pub(crate) enum Console {
    /// There is none.
    Nothing,
    Pipe {
        path: PathBuf,
        /// Until it has been ended.
        sender: Mutex<Option<pipe::Sender>>,
        /// It ends with the first client.
        once: bool,
    },
    /// Input and output are one terminal.
    Terminal { path: PathBuf, terminal: Terminal },
}

impl Console {
    /// What a container asks for.
    pub(crate) fn open(run: &ContainerRun) -> io::Result<Console> {
        if run.terminal {
            let (terminal, path) = Terminal::create()?;
            return Ok(Console::Terminal { path, terminal });
        }
        if !run.input {
            return Ok(Console::Nothing);
        }
        let path = run.folder.join("input");
        // That of the run before.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        // Opened for both, as there is nobody yet at the other end.
        let sender = pipe::OpenOptions::new().read_write(true).open_sender(&path)?;
        Ok(Console::Pipe { path, sender: Mutex::new(Some(sender)), once: run.input_once })
    }

    /// The file that the container's input is.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Console::Nothing => Path::new("/dev/null"),
            Console::Pipe { path, .. } | Console::Terminal { path, .. } => path,
        }
    }

    pub(crate) fn terminal(&self) -> Option<&Terminal> {
        match self {
            Console::Terminal { terminal, .. } => Some(terminal),
            Console::Nothing | Console::Pipe { .. } => None,
        }
    }

    /// Gives a client's input to the program; returns when the client is gone.
    pub(super) async fn feed(&self, mut input: mpsc::Receiver<Input>) {
        let mut has_fed = false;
        while let Some(item) = input.recv().await {
            match (item, self) {
                (Input::Data(data), Console::Pipe { sender, .. }) => {
                    has_fed = true;
                    let mut sender = sender.lock().await;
                    if let Some(pipe) = sender.as_mut()
                        && pipe.write_all(&data).await.is_err()
                    {
                        *sender = None;
                    }
                }
                (Input::Data(data), Console::Terminal { terminal, .. }) => {
                    // A program that has ended reads nothing any more.
                    let _ = terminal.clone().write_all(&data).await;
                }
                (Input::Resize(size), Console::Terminal { terminal, .. }) => terminal.resize(size),
                (Input::End, Console::Pipe { sender, once: true, .. }) => {
                    *sender.lock().await = None;
                }
                _ => {}
            }
        }
        if let Console::Pipe { sender, once: true, .. } = self
            && has_fed
        {
            *sender.lock().await = None;
        }
    }
}
