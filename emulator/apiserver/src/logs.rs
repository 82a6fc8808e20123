//! Container logs on disk, in the format of the container runtime interface.
//!
//! - One folder per container, `<root>/<pod uid>/<container>`; one run of the container is the
//!   files `<restart count>.<segment>.log`; a line is `2016-10-06T00:17:09.669794202Z stdout F text`
//! - Bounded: a run keeps its last [`MAX_BYTES`]; older segments are deleted, and a reader who
//!   misses them is told so in the text
//! - Two runs are kept, the newest and the one before it
//! - Reading streams; `follow` waits for the writer and ends when the writer is closed

mod reader;
mod record;
mod writer;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::{fs, io};

use bytes::Bytes;
use futures::Stream;
use jiff::Timestamp;
use tokio::sync::watch;

use self::reader::Reader;
pub use self::writer::LogWriter;

/// What one run of a container may keep on disk, about: whole segments are dropped.
pub const MAX_BYTES: u64 = 256 * 1024 * 1024;
const SEGMENTS: u64 = 8;

/// The logs of every container of a node.
#[derive(Clone, Debug)]
pub struct Logs {
    root: Arc<Path>,
    segment_bytes: u64,
    live: Arc<Mutex<HashMap<Container, Live>>>,
    /// Containers whose newest run has ended and that are about to run again.
    awaited: Arc<Mutex<HashSet<Container>>>,
}

/// Which part of a log is wanted, as the query parameters of `pods/log` say it.
#[derive(Clone, Debug, Default)]
pub struct LogOptions {
    /// Keep the stream open until the container has ended.
    pub follow: bool,
    /// Read the run before the newest one.
    pub previous: bool,
    /// Only lines written at this time or later.
    pub since: Option<Timestamp>,
    /// Only so many lines from the end.
    pub tail_lines: Option<u64>,
    /// End after so many bytes, be it inside a line.
    pub limit_bytes: Option<u64>,
    /// Begin each line with its time.
    pub timestamps: bool,
}

/// Where a line was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The container has not written a log (yet), or no such run is kept.
    #[error("no log of container {0}")]
    NotFound(String),
    /// The log's folder cannot be read.
    #[error("the log cannot be read")]
    Unreadable(#[source] io::Error),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Container {
    pod_uid: String,
    name: String,
}

/// A run that is being written.
#[derive(Clone, Debug)]
struct Live {
    run: u64,
    progress: watch::Receiver<Progress>,
}

/// How far a run has been written: `length` is that of the segment `last`.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    first: u64,
    last: u64,
    length: u64,
    closed: bool,
}

impl Logs {
    /// Logs below `root`, which is created when the first container writes.
    pub fn new(root: PathBuf) -> Logs {
        Logs::with_segment_bytes(root, MAX_BYTES / SEGMENTS)
    }

    fn with_segment_bytes(root: PathBuf, segment_bytes: u64) -> Logs {
        Logs { root: root.into(), segment_bytes, live: Arc::default(), awaited: Arc::default() }
    }

    /// Opens the log of one run of a container; runs are numbered by the restart count.
    pub fn writer(
        &self,
        pod_uid: &str,
        container: &str,
        restart_count: u64,
    ) -> io::Result<LogWriter> {
        let folder = self.folder(pod_uid, container).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "a pod uid or container name is not a name")
        })?;
        fs::create_dir_all(&folder)?;
        for (run, segment) in segments(&folder)? {
            if run + 1 < restart_count || run >= restart_count {
                fs::remove_file(segment_path(&folder, run, segment))?;
            }
        }
        let (sender, progress) = watch::channel(Progress::default());
        let key = Container { pod_uid: pod_uid.to_owned(), name: container.to_owned() };
        let live = Live { run: restart_count, progress };
        let writer = LogWriter::open(self.clone(), key.clone(), folder, restart_count, sender)?;
        self.awaited().remove(&key);
        self.live().insert(key, live);
        Ok(writer)
    }

    /// Reads the newest run of a container, or the one before it.
    pub fn read(
        &self,
        pod_uid: &str,
        container: &str,
        options: &LogOptions,
    ) -> Result<impl Stream<Item = io::Result<Bytes>> + Send + 'static + use<>, LogError> {
        let missing = || LogError::NotFound(container.to_owned());
        let folder = self.folder(pod_uid, container).ok_or_else(missing)?;
        let key = Container { pod_uid: pod_uid.to_owned(), name: container.to_owned() };
        let live = self.live().get(&key).cloned();
        let on_disk = match segments(&folder) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing()),
            Err(error) => return Err(LogError::Unreadable(error)),
        };
        let newest = on_disk.iter().map(|(run, _)| *run).max().ok_or_else(missing)?;
        let run = match options.previous && !self.awaited().contains(&key) {
            false => newest,
            true => on_disk
                .iter()
                .map(|(run, _)| *run)
                .filter(|run| *run < newest)
                .max()
                .ok_or_else(missing)?,
        };
        let progress = match live {
            Some(live) if live.run == run => live.progress,
            _ => finished(&folder, run, &on_disk).map_err(LogError::Unreadable)?,
        };
        Ok(Reader::new(folder, run, progress, options).into_stream())
    }

    /// Says that a container will run again, so that its newest run is already the previous one.
    pub fn await_restart(&self, pod_uid: &str, container: &str) {
        let key = Container { pod_uid: pod_uid.to_owned(), name: container.to_owned() };
        self.awaited().insert(key);
    }

    /// Deletes all logs of a pod; who follows them sees the end.
    pub fn remove(&self, pod_uid: &str) -> io::Result<()> {
        self.live().retain(|container, _| container.pod_uid != pod_uid);
        self.awaited().retain(|container| container.pod_uid != pod_uid);
        if !is_name(pod_uid) {
            return Ok(());
        }
        match fs::remove_dir_all(self.root.join(pod_uid)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Deletes the logs of all pods but these.
    pub fn retain(&self, is_known: impl Fn(&str) -> bool) -> io::Result<()> {
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            match entry?.file_name().to_str() {
                Some(uid) if !is_known(uid) => self.remove(uid)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// The last bytes of a container's newest log that has ended.
    pub(crate) fn end(&self, pod_uid: &str, container: &str, bytes: usize) -> io::Result<Vec<u8>> {
        let Some(folder) = self.folder(pod_uid, container) else { return Ok(Vec::new()) };
        let Some((run, segment)) = segments(&folder)?.into_iter().max() else {
            return Ok(Vec::new());
        };
        let mut file = fs::File::open(segment_path(&folder, run, segment))?;
        let length = file.metadata()?.len();
        // Lines have headers, so more is read than is wanted.
        file.seek(io::SeekFrom::Start(length.saturating_sub(4 * bytes as u64)))?;
        let mut records = Vec::new();
        file.read_to_end(&mut records)?;
        let mut text = Vec::new();
        for record in records.split(|byte| *byte == b'\n').filter_map(record::parse) {
            text.extend_from_slice(record.text);
            text.extend(record.full.then_some(b'\n'));
        }
        text.drain(..text.len().saturating_sub(bytes));
        Ok(text)
    }

    /// Where the logs of a container are.
    pub(crate) fn folder(&self, pod_uid: &str, container: &str) -> Option<PathBuf> {
        (is_name(pod_uid) && is_name(container)).then(|| self.root.join(pod_uid).join(container))
    }

    fn awaited(&self) -> std::sync::MutexGuard<'_, HashSet<Container>> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn live(&self) -> std::sync::MutexGuard<'_, HashMap<Container, Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a text can be one component of a path; the API server allows less.
fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('.') && !text.contains(['/', '\0'])
}

fn segment_path(folder: &Path, run: u64, segment: u64) -> PathBuf {
    folder.join(format!("{run}.{segment}.log"))
}

/// The (run, segment) numbers of a container's files.
fn segments(folder: &Path) -> io::Result<Vec<(u64, u64)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let Some(numbers) = name.to_str().and_then(|name| name.strip_suffix(".log")) else {
            continue;
        };
        if let Some((run, segment)) = numbers.split_once('.')
            && let (Ok(run), Ok(segment)) = (run.parse(), segment.parse())
        {
            found.push((run, segment));
        }
    }
    Ok(found)
}

/// The progress of a run that nobody writes any more.
fn finished(
    folder: &Path,
    run: u64,
    on_disk: &[(u64, u64)],
) -> io::Result<watch::Receiver<Progress>> {
    let of_run =
        || on_disk.iter().filter(|(number, _)| *number == run).map(|(_, segment)| *segment);
    let (first, last) = (of_run().min().unwrap_or(0), of_run().max().unwrap_or(0));
    let length = fs::metadata(segment_path(folder, run, last))?.len();
    Ok(watch::channel(Progress { first, last, length, closed: true }).1)
}
