//! Writes the log of one run of a container.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

use jiff::Timestamp;
use tokio::sync::watch;

use super::{Container, Logs, Output, Progress, SEGMENTS, record, segment_path};

/// The log of one run of a container; closed when dropped.
#[derive(Debug)]
pub struct LogWriter {
    logs: Logs,
    container: Container,
    folder: PathBuf,
    run: u64,
    file: File,
    progress: watch::Sender<Progress>,
    /// What each output has written of a line that has not ended.
    pending: [Vec<u8>; 2],
}

impl LogWriter {
    pub(super) fn open(
        logs: Logs,
        container: Container,
        folder: PathBuf,
        run: u64,
        progress: watch::Sender<Progress>,
    ) -> io::Result<LogWriter> {
        let file = create(&folder, run, 0)?;
        Ok(LogWriter { logs, container, folder, run, file, progress, pending: Default::default() })
    }

    /// Stores what a container wrote; a line is stored when its newline has come, or in parts.
    ///
    /// The file system is called in place: such a write goes to the page cache.
    pub fn write(&mut self, output: Output, mut bytes: &[u8]) -> io::Result<()> {
        let time = record::time(Timestamp::now());
        let mut records = Vec::with_capacity(bytes.len() + 64);
        let pending = &mut self.pending[output as usize];
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            pending.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end + 1..];
            let mut parts = pending.chunks(record::MAX_TEXT).peekable();
            if parts.peek().is_none() {
                record::write(&mut records, &time, output, true, b"");
            }
            while let Some(part) = parts.next() {
                record::write(&mut records, &time, output, parts.peek().is_none(), part);
            }
            pending.clear();
        }
        pending.extend_from_slice(bytes);
        let whole = pending.len() - pending.len() % record::MAX_TEXT;
        for part in pending[..whole].chunks(record::MAX_TEXT) {
            record::write(&mut records, &time, output, false, part);
        }
        pending.drain(..whole);
        self.append(&records)
    }

    fn append(&mut self, records: &[u8]) -> io::Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        let mut progress = *self.progress.borrow();
        if progress.length > 0 && progress.length + records.len() as u64 > self.logs.segment_bytes {
            self.file = create(&self.folder, self.run, progress.last + 1)?;
            progress.last += 1;
            progress.length = 0;
            if progress.last - progress.first >= SEGMENTS {
                fs::remove_file(segment_path(&self.folder, self.run, progress.first))?;
                progress.first += 1;
            }
        }
        self.file.write_all(records)?;
        progress.length += records.len() as u64;
        self.progress.send_replace(progress);
        Ok(())
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        let time = record::time(Timestamp::now());
        let mut records = Vec::new();
        for output in [Output::Stdout, Output::Stderr] {
            let pending = std::mem::take(&mut self.pending[output as usize]);
            if !pending.is_empty() {
                record::write(&mut records, &time, output, false, &pending);
            }
        }
        if let Err(error) = self.append(&records) {
            tracing::warn!(%error, "the end of a container's log is lost");
        }
        let mut live = self.logs.live();
        if live.get(&self.container).is_some_and(|entry| entry.run == self.run) {
            live.remove(&self.container);
        }
        self.progress.send_modify(|progress| progress.closed = true);
    }
}

fn create(folder: &std::path::Path, run: u64, segment: u64) -> io::Result<File> {
    File::create(segment_path(folder, run, segment))
}
