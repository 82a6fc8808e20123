//! One record of a log file: `<time, 30 bytes> <stdout|stderr> <F|P> <text>\n`.
//!
//! The header has a fixed width, so a record's time and tag are found without parsing. `F` ends a
//! line, `P` is a part of one.

use jiff::Timestamp;

use super::Output;

/// The longest text of one record; longer lines become several.
pub(super) const MAX_TEXT: usize = 16 * 1024;
/// The longest record, newline included.
pub(super) const MAX_RECORD: usize = HEADER + MAX_TEXT + 1;

const HEADER: usize = 40;
const TIME: usize = 30;
const TAG: usize = 38;

/// A record without its newline.
pub(super) struct Record<'a> {
    pub(super) time: &'a [u8],
    pub(super) full: bool,
    pub(super) text: &'a [u8],
}

/// The time as records carry it; such texts sort as the times do.
pub(super) fn time(timestamp: Timestamp) -> String {
    format!("{timestamp:.9}")
}

pub(super) fn write(out: &mut Vec<u8>, time: &str, output: Output, full: bool, text: &[u8]) {
    out.extend_from_slice(time.as_bytes());
    out.extend_from_slice(match output {
        Output::Stdout => b" stdout ",
        Output::Stderr => b" stderr ",
    });
    out.extend_from_slice(if full { b"F " } else { b"P " });
    out.extend_from_slice(text);
    out.push(b'\n');
}

/// Parses a record; `None` for what a crash has torn.
pub(super) fn parse(line: &[u8]) -> Option<Record<'_>> {
    if line.len() < HEADER || line[TIME] != b' ' || line[TAG + 1] != b' ' {
        return None;
    }
    let full = match line[TAG] {
        b'F' => true,
        b'P' => false,
        _ => return None,
    };
    Some(Record { time: &line[..TIME], full, text: &line[HEADER..] })
}
