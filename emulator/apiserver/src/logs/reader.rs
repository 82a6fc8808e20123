//! Reads the log of one run of a container as a stream of text.

use std::io::{self, SeekFrom};
use std::path::PathBuf;

use bytes::Bytes;
use futures::Stream;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::sync::watch;

use super::{LogOptions, Progress, record, segment_path};

const CHUNK: usize = 64 * 1024;

pub(super) struct Reader {
    folder: PathBuf,
    run: u64,
    progress: watch::Receiver<Progress>,
    follow: bool,
    timestamps: bool,
    since: Option<String>,
    remaining: Option<u64>,
    /// How many lines from the end, until the place has been looked up.
    tail_lines: Option<u64>,
    started: bool,
    segment: u64,
    offset: u64,
    file: Option<File>,
    /// The beginning of a record whose end has not been read.
    torn: Vec<u8>,
    inside_line: bool,
}

impl Reader {
    pub(super) fn new(
        folder: PathBuf,
        run: u64,
        progress: watch::Receiver<Progress>,
        options: &LogOptions,
    ) -> Reader {
        // Who does not follow gets what is there now, however fast the writer is.
        let progress = match options.follow {
            true => progress,
            false => watch::channel(Progress { closed: true, ..*progress.borrow() }).1,
        };
        Reader {
            folder,
            run,
            progress,
            follow: options.follow,
            timestamps: options.timestamps,
            since: options.since.map(record::time),
            remaining: options.limit_bytes,
            tail_lines: options.tail_lines,
            started: false,
            segment: 0,
            offset: 0,
            file: None,
            torn: Vec::new(),
            inside_line: false,
        }
    }

    pub(super) fn into_stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        futures::stream::try_unfold(self, |mut reader| async move {
            Ok(reader.next().await?.map(|text| (text, reader)))
        })
    }

    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if self.remaining == Some(0) {
            return Ok(None);
        }
        let mut text = Vec::new();
        if !self.started {
            self.started = true;
            self.find_start(&mut text).await?;
        }
        let mut chunk = vec![0; CHUNK];
        loop {
            if !text.is_empty() {
                return Ok(Some(self.limited(text)));
            }
            let progress = *self.progress.borrow_and_update();
            if self.file.is_none() && !self.open(progress, &mut text).await? {
                return Ok(None);
            }
            let file = self.file.as_mut().expect("opened above");
            let wanted = match self.segment == progress.last {
                true => progress.length.saturating_sub(self.offset).min(CHUNK as u64) as usize,
                false => CHUNK,
            };
            let count = file.read(&mut chunk[..wanted]).await?;
            if count > 0 {
                self.offset += count as u64;
                self.append(&chunk[..count], &mut text);
            } else if self.segment < progress.last {
                (self.segment, self.offset, self.file) = (self.segment + 1, 0, None);
                self.torn.clear();
            } else if progress.closed || !self.follow || self.progress.changed().await.is_err() {
                return Ok(None);
            }
        }
    }

    /// Opens the current segment, or the oldest kept one; `false` when the log has been removed.
    async fn open(&mut self, progress: Progress, text: &mut Vec<u8>) -> io::Result<bool> {
        if self.segment < progress.first {
            (self.segment, self.offset) = (progress.first, 0);
            self.inside_line = false;
            text.extend_from_slice(b"[older lines are gone: the log has reached its size limit]\n");
        }
        let mut file = match File::open(segment_path(&self.folder, self.run, self.segment)).await {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Either the writer has dropped it since, which the next round sees, or all is gone.
                let first = self.progress.borrow().first;
                if self.segment < first {
                    return Box::pin(self.open(Progress { first, ..progress }, text)).await;
                }
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        file.seek(SeekFrom::Start(self.offset)).await?;
        self.file = Some(file);
        Ok(true)
    }

    /// Turns records into the text that was written, as far as it is wanted.
    fn append(&mut self, chunk: &[u8], text: &mut Vec<u8>) {
        let mut torn = std::mem::take(&mut self.torn);
        let mut rest = chunk;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            if torn.is_empty() {
                self.append_record(&rest[..end], text);
            } else {
                torn.extend_from_slice(&rest[..end]);
                self.append_record(&torn, text);
                torn.clear();
            }
            rest = &rest[end + 1..];
        }
        torn.extend_from_slice(rest);
        self.torn = torn;
    }

    fn append_record(&mut self, line: &[u8], text: &mut Vec<u8>) {
        let Some(record) = record::parse(line) else { return };
        if self.since.as_ref().is_some_and(|since| record.time < since.as_bytes()) {
            return;
        }
        if self.timestamps && !self.inside_line {
            text.extend_from_slice(record.time);
            text.push(b' ');
        }
        text.extend_from_slice(record.text);
        if record.full {
            text.push(b'\n');
        }
        self.inside_line = !record.full;
    }

    fn limited(&mut self, mut text: Vec<u8>) -> Bytes {
        if let Some(remaining) = &mut self.remaining {
            text.truncate(usize::try_from(*remaining).unwrap_or(usize::MAX));
            *remaining -= text.len() as u64;
        }
        text.into()
    }

    /// Goes to where the first wanted line begins, reading backwards from the end.
    async fn find_start(&mut self, text: &mut Vec<u8>) -> io::Result<()> {
        let progress = *self.progress.borrow();
        let Some(wanted) = self.tail_lines else { return Ok(()) };
        let mut tail = Tail { wanted, ends: 0, last: true };
        for segment in (progress.first..=progress.last).rev() {
            (self.segment, self.offset, self.file) = (segment, 0, None);
            if !self.open(progress, text).await? {
                return Ok(());
            }
            let file = self.file.as_mut().expect("opened above");
            let length = match segment == progress.last {
                true => progress.length,
                false => file.metadata().await?.len(),
            };
            if let Some(offset) = tail.find(file, length).await? {
                self.offset = file.seek(SeekFrom::Start(offset)).await?;
                return Ok(());
            }
        }
        // Fewer lines than wanted: from the very beginning, which may be gone.
        (self.segment, self.offset, self.file) = (0, 0, None);
        Ok(())
    }
}

/// Counts lines from the end of a log.
struct Tail {
    wanted: u64,
    ends: u64,
    last: bool,
}

impl Tail {
    /// The offset where the wanted lines begin, or `None` if that is before this segment.
    async fn find(&mut self, file: &mut File, length: u64) -> io::Result<Option<u64>> {
        let mut end = length;
        let mut block = vec![0; 4 * record::MAX_RECORD];
        while end > 0 {
            let start = end.saturating_sub(block.len() as u64);
            let block = &mut block[..(end - start) as usize];
            file.seek(SeekFrom::Start(start)).await?;
            file.read_exact(block).await?;
            let first = match start {
                0 => 0,
                _ => block.iter().position(|byte| *byte == b'\n').map_or(block.len(), |at| at + 1),
            };
            let mut record_end = block.len();
            while record_end > first {
                let before = &block[..record_end - 1];
                let record = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                let full = record::parse(&before[record..]).is_none_or(|record| record.full);
                if full || self.last {
                    if self.ends == self.wanted {
                        return Ok(Some(start + record_end as u64));
                    }
                    self.ends += 1;
                }
                self.last = false;
                record_end = record;
            }
            // A block without a whole record can only be a damaged file.
            end = if first < block.len() { start + first as u64 } else { start };
        }
        Ok(None)
    }
}
