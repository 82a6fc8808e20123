//! Keeps the objects on disk: a log of writes with checksums, made anew when it has grown.
//!
//! A log rather than an embedded database: the objects are in memory anyway, in the shape that
//! answers need, so the disk is only ever read from front to back, once. A write is one append, a
//! restart one pass, and what a crash can do is cut the last record, which its checksum tells.
//!
//! - A record is its length, the CRC-32 of its JSON, and the JSON of one write
//! - A write is acknowledged after the operating system has it: it survives the death of the
//!   process; a power cut may cost the last moments
//! - When the log is several times larger than what lives, it is written anew beside the old one
//!   and put in its place at once
//! - A lock on a file of the folder keeps a second server out

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Key, Object};

/// The log is not made anew below this size.
const SMALLEST: u64 = 4 * 1024 * 1024;
/// How many times larger than the objects the log may become.
const GROWTH: u64 = 4;

/// An open log.
#[derive(Debug)]
pub(crate) struct Journal {
    folder: PathBuf,
    file: File,
    length: u64,
    /// The size at which the log is made anew.
    limit: u64,
    /// Whether part of a record stands at the end, so that none can follow.
    torn: bool,
    /// Held while the server lives.
    _lock: File,
}

/// One write, read back.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) revision: u64,
    pub(crate) resource: String,
    pub(crate) key: Key,
    /// Nothing for a deletion.
    pub(crate) value: Option<Value>,
}

impl Journal {
    /// Opens the log in a folder, and gives what it holds.
    pub(crate) fn open(folder: &Path) -> io::Result<(Journal, Vec<Record>)> {
        fs::create_dir_all(folder)?;
        let lock = private(OpenOptions::new().write(true).create(true).truncate(false))
            .open(folder.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::new(
                    ErrorKind::ResourceBusy,
                    "another server uses it; give this one a folder of its own",
                ));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let path = folder.join("journal");
        let mut bytes = Vec::new();
        let mut options = OpenOptions::new();
        let mut file = private(options.read(true).append(true).create(true)).open(&path)?;
        file.read_to_end(&mut bytes)?;
        let (records, good) = parse(&bytes)?;
        if good < bytes.len() {
            tracing::warn!(
                path = %path.display(),
                bytes = bytes.len() - good,
                "the end of the journal is damaged and is left out"
            );
            file.set_len(good as u64)?;
        }
        let length = good as u64;
        let journal = Journal {
            folder: folder.to_owned(),
            file,
            length,
            limit: (length * GROWTH).max(SMALLEST),
            torn: false,
            _lock: lock,
        };
        Ok((journal, records))
    }

    /// Appends a write.
    pub(crate) fn append(
        &mut self,
        revision: u64,
        resource: &str,
        key: &Key,
        body: Option<&[u8]>,
    ) -> io::Result<()> {
        if self.torn {
            return Err(io::Error::other("an earlier write is torn; restart the server"));
        }
        let record = encode(revision, resource, key, body);
        if let Err(error) = self.file.write_all(&record) {
            // What was written of it must not stand before the next record.
            self.torn = self.file.set_len(self.length).is_err();
            return Err(error);
        }
        self.length += record.len() as u64;
        Ok(())
    }

    /// Whether it is time to write the log anew.
    pub(crate) fn is_large(&self) -> bool {
        self.length > self.limit
    }

    /// Writes the log anew from what lives.
    pub(crate) fn rewrite<'a>(
        &mut self,
        revision: u64,
        objects: impl Iterator<Item = (&'a str, &'a Key, &'a Arc<Object>)>,
    ) -> io::Result<()> {
        // Even when this fails the next attempt waits until the log has grown again.
        self.limit = self.length * 2;
        let path = self.folder.join("journal.new");
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        let file = private(options.append(true).create_new(true)).open(&path)?;
        let mut writer = BufWriter::new(file);
        let mut length = 0;
        for (resource, key, object) in objects {
            let body = super::entry::encode(&object.value);
            let record = encode(object.revision, resource, key, Some(&body));
            writer.write_all(&record)?;
            length += record.len() as u64;
        }
        // The version of the store may be that of a deletion.
        let last = encode(revision, "", &Key::new("", ""), None);
        writer.write_all(&last)?;
        length += last.len() as u64;
        let file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        fs::rename(&path, self.folder.join("journal"))?;
        self.file = file;
        self.length = length;
        self.limit = (length * GROWTH).max(SMALLEST);
        Ok(())
    }
}

/// Secrets are inside: nobody else may read it.
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600)
    }
    #[cfg(not(unix))]
    options
}

fn encode(revision: u64, resource: &str, key: &Key, body: Option<&[u8]>) -> Vec<u8> {
    let head = json!([revision, resource, key.namespace, key.name]).to_string();
    let body = body.unwrap_or(b"null");
    // The list of the head is left open for the body.
    let length = head.len() + body.len() + 1;
    let mut bytes = Vec::with_capacity(length + 8);
    bytes.extend([0; 8]);
    bytes.extend(&head.as_bytes()[..head.len() - 1]);
    bytes.push(b',');
    bytes.extend(body);
    bytes.push(b']');
    let sum = checksum(&bytes[8..]);
    bytes[..4].copy_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    bytes[4..8].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// The records that are whole, and how many bytes they take.
///
/// # Errors
/// For a record that is whole and cannot be read: it was acknowledged, so nothing is cut off.
fn parse(bytes: &[u8]) -> io::Result<(Vec<Record>, usize)> {
    let mut records = Vec::new();
    let mut good = 0;
    while let Some((text, length)) = next(&bytes[good..]) {
        records.push(record(text).map_err(|error| {
            io::Error::new(
                ErrorKind::InvalidData,
                format!("the record at byte {good} of the journal cannot be read: {error}"),
            )
        })?);
        good += length;
    }
    Ok((records, good))
}

/// The text of the next record if it is whole, and how many bytes it takes.
fn next(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let text = rest.get(..length)?;
    (checksum(text) == u32::from_le_bytes(*sum)).then_some((text, 8 + length))
}

fn record(text: &[u8]) -> serde_json::Result<Record> {
    let (revision, resource, namespace, name, value): (u64, String, String, String, Value) =
        serde_json::from_slice(text)?;
    let value = Some(value).filter(|value| !value.is_null());
    Ok(Record { revision, resource, key: Key { namespace, name }, value })
}

/// CRC-32 as Ethernet and zip have it.
fn checksum(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = table();
    !bytes
        .iter()
        .fold(u32::MAX, |sum, byte| TABLE[((sum ^ u32::from(*byte)) & 0xff) as usize] ^ (sum >> 8))
}

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { 0xedb8_8320 ^ (value >> 1) } else { value >> 1 };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::new("default", name)
    }

    #[test]
    fn the_checksum_is_the_known_one() {
        assert_eq!(checksum(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn a_record_that_was_cut_off_is_left_out_and_the_next_one_follows_the_last_whole_one() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, _) = Journal::open(folder.path()).unwrap();
        journal.append(2, "pods", &key("a"), Some(br#"{"x":1}"#)).unwrap();
        journal.append(3, "pods", &key("b"), Some(br#"{"x":2}"#)).unwrap();
        let whole = journal.length;
        drop(journal);
        let file = OpenOptions::new().write(true).open(folder.path().join("journal")).unwrap();
        file.set_len(whole - 3).unwrap();
        let (mut journal, records) = Journal::open(folder.path()).unwrap();
        assert_eq!(records.len(), 1);
        journal.append(3, "pods", &key("c"), None).unwrap();
        drop(journal);
        let (_, records) = Journal::open(folder.path()).unwrap();
        assert_eq!(records[1].key, key("c"));
        assert!(records[1].value.is_none());
    }

    #[test]
    fn a_flipped_bit_is_noticed() {
        let bytes = encode(2, "pods", &key("a"), Some(br#"{"x":1}"#));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(parse(&damaged).unwrap().0.is_empty(), "byte {at}");
        }
    }

    #[test]
    fn a_folder_belongs_to_one_server_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = Journal::open(folder.path()).unwrap();
        assert!(Journal::open(folder.path()).is_err());
        drop(first);
        assert!(Journal::open(folder.path()).is_ok());
    }
}
