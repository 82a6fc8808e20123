//! What a build prints: the script's own lines and the worker's, masked and bounded.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use runtime::event::LogLevel;

use crate::mask::Mask;

/// What the end of the printed text is kept to.
const TAIL: usize = 16 * 1024;

/// What an error, or another line of the worker itself, is cut at.
const LONGEST: usize = 32 * 1024;

/// Where a line belongs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stream {
    Out,
    Err,
}

/// One line of a build's log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Line {
    pub stream: Stream,
    pub level: LogLevel,
    pub text: String,
}

/// Takes the lines of a build as they are printed.
pub type Output = Arc<dyn Fn(Line) + Send + Sync>;

/// The printer of one build.
#[derive(Clone)]
pub(crate) struct Printer {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    output: Output,
    mask: Mask,
    /// The least level of the worker's own lines.
    least: LogLevel,
    /// How many bytes may still be printed.
    left: usize,
    limit: usize,
    /// Whether that has been said to be too little.
    full: bool,
    /// What was written without the end of its line, by stream.
    unfinished: [String; 2],
    tail: VecDeque<String>,
    tail_bytes: usize,
}

impl Printer {
    pub(crate) fn new(output: Output, mask: Mask, least: LogLevel, limit: usize) -> Printer {
        let inner = Inner {
            output,
            mask,
            least,
            left: limit,
            limit,
            full: false,
            unfinished: Default::default(),
            tail: VecDeque::new(),
            tail_bytes: 0,
        };
        Printer { inner: Arc::new(Mutex::new(inner)) }
    }

    /// Prints what a script printed with `console`.
    pub(crate) fn console(&self, level: &str, text: &str) {
        let (stream, level) = match level {
            "warn" => (Stream::Err, LogLevel::Warn),
            "error" => (Stream::Err, LogLevel::Error),
            "info" => (Stream::Out, LogLevel::Info),
            _ => (Stream::Out, LogLevel::Log),
        };
        self.inner().print(stream, level, text);
    }

    /// Takes what a script wrote to a stream of its process; a line is printed when it is whole.
    pub(crate) fn write(&self, stream: Stream, text: &str) {
        let mut inner = self.inner();
        let at = usize::from(stream == Stream::Err);
        let mut whole = std::mem::take(&mut inner.unfinished[at]);
        whole.push_str(text);
        let rest = match whole.rfind('\n') {
            Some(end) => {
                let rest = whole.split_off(end + 1);
                whole.pop();
                inner.print(stream, LogLevel::Log, &whole);
                rest
            }
            None => whole,
        };
        // A line without an end must not become larger than all that may be printed.
        if rest.len() > inner.left {
            inner.print(stream, LogLevel::Log, &rest);
        } else {
            inner.unfinished[at] = rest;
        }
    }

    /// Prints a line of the worker itself: `[brigade:app] ...`.
    pub(crate) fn worker(&self, level: LogLevel, part: &str, text: &str) {
        let mut inner = self.inner();
        if inner.least == LogLevel::None || level < inner.least {
            return;
        }
        let stream = if level >= LogLevel::Warn { Stream::Err } else { Stream::Out };
        let prefix = if part.is_empty() { "[brigade]" } else { &format!("[brigade:{part}]") };
        let text = cut(inner.mask.apply(text).into_owned());
        inner.print(stream, level, &format!("{prefix} {text}"));
    }

    /// Prints what was written without an end of line.
    pub(crate) fn finish(&self) {
        let mut inner = self.inner();
        for (at, stream) in [(0, Stream::Out), (1, Stream::Err)] {
            let rest = std::mem::take(&mut inner.unfinished[at]);
            if !rest.is_empty() {
                inner.print(stream, LogLevel::Log, &rest);
            }
        }
    }

    /// The end of what was printed.
    pub(crate) fn tail(&self) -> String {
        let inner = self.inner();
        inner.tail.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    }

    pub(crate) fn mask(&self) -> Mask {
        self.inner().mask.clone()
    }

    /// Masks the project's secrets in a text that is not printed, and cuts it.
    pub(crate) fn masked(&self, text: &str) -> String {
        cut(self.inner().mask.apply(text).into_owned())
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A text that no error needs to be longer than; it was masked before.
fn cut(mut text: String) -> String {
    if text.len() > LONGEST {
        let kept = text.floor_char_boundary(LONGEST);
        let rest = text.len() - kept;
        text.truncate(kept);
        text += &format!("... and {rest} more bytes");
    }
    text
}

impl Inner {
    fn print(&mut self, stream: Stream, level: LogLevel, text: &str) {
        if self.full {
            return;
        }
        // Masked before it is cut, or the cut would show a part of a secret.
        let masked = self.mask.apply(text);
        for line in masked.split('\n') {
            if line.len() >= self.left {
                self.full = true;
                self.left = 0;
                let limit = self.limit;
                let text = format!(
                    "[brigade] the build has printed {limit} bytes; the rest is not shown; limits.scriptOutput of the project raises that, up to SCRIPT_LIMITS of the installation"
                );
                self.emit(Stream::Err, LogLevel::Warn, text);
                return;
            }
            self.left -= line.len() + 1;
            self.emit(stream, level, line.to_owned());
        }
    }

    fn emit(&mut self, stream: Stream, level: LogLevel, text: String) {
        self.tail_bytes += text.len() + 1;
        self.tail.push_back(text.clone());
        while self.tail_bytes > TAIL
            && let Some(oldest) = self.tail.pop_front()
        {
            self.tail_bytes -= oldest.len() + 1;
        }
        (self.output)(Line { stream, level, text });
    }
}
