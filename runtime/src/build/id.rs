//! What names a build.
//!
//! It is the label `build` of its Secret. Ours are ULIDs; a build that another program or a person
//! made may have any other id that the pods of its jobs can be named after, such as a UUID.

use std::fmt;

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use ulid::Ulid;

use super::BuildError;
use crate::event::{Event, Identity};
use crate::project::Project;

/// The longest label, in bytes.
const LIMIT: usize = 63;

/// The id of a build. They sort as texts, so that ULIDs sort by their time.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct BuildId {
    /// Zeros follow the text.
    text: [u8; LIMIT],
}

impl BuildId {
    /// The id of this event in this project: a ULID whose time is the event's and whose randomness is
    /// its identity's.
    ///
    /// An event with an identity and no time of its own is given the time 0, not the present one:
    /// it must have the same id whenever it is delivered. Of its kind only what is before a colon
    /// counts: some senders say the rest in a header, which they do not sign.
    pub(super) fn of(project: &Project, event: &Event, now: Timestamp) -> BuildId {
        let random = match &event.identity {
            Identity::Fresh => Ulid::generate().random(),
            Identity::Content(content) => {
                let mut digest = Sha256::new();
                let family = event.kind.split(':').next().unwrap_or_default();
                for part in [project.id.as_bytes(), event.provider.as_bytes(), family.as_bytes()] {
                    digest.update((part.len() as u64).to_be_bytes());
                    digest.update(part);
                }
                digest.update(content);
                let digest = digest.finalize();
                digest[..10].iter().fold(0, |bits, byte| bits << 8 | u128::from(*byte))
            }
        };
        let time = match (&event.identity, event.time) {
            (_, Some(time)) => time.as_millisecond(),
            (Identity::Fresh, None) => now.as_millisecond(),
            (Identity::Content(_), None) => 0,
        };
        // A ULID has 48 bits of milliseconds; a sender may claim any time.
        let time = u64::try_from(time).ok().filter(|time| *time < 1 << 48).unwrap_or(0);
        let text = Ulid::from_parts(time, random).to_string().to_ascii_lowercase();
        BuildId::parse(&text).expect("a ULID is letters and digits")
    }

    /// Reads an id, or the name of a build's Secret that was made by us.
    pub fn parse(text: &str) -> Result<BuildId, BuildError> {
        let id = text.strip_prefix("brigade-worker-").unwrap_or(text);
        // It becomes a part of names of pods.
        let is_part = |part: &str| {
            let fits =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            !part.is_empty()
                && !part.starts_with('-')
                && !part.ends_with('-')
                && part.bytes().all(fits)
        };
        if id.len() > LIMIT || !id.split('.').all(is_part) {
            return Err(BuildError::Id(text.to_owned()));
        }
        let mut text = [0; LIMIT];
        text[..id.len()].copy_from_slice(id.as_bytes());
        Ok(BuildId { text })
    }

    /// When the event happened, in milliseconds since 1970, if it said so.
    pub(crate) fn time(self) -> Option<u64> {
        let text = self.as_str();
        let id = Ulid::from_string(text).ok()?;
        // A ULID may be spelt in several ways; only ours tells a time.
        let ours = id.to_string().eq_ignore_ascii_case(text);
        Some(id.timestamp_ms()).filter(|time| ours && *time > 0)
    }

    /// Whether a text could be the id of a build that nobody chose: a ULID or a UUID.
    pub fn is_made(text: &str) -> bool {
        let is_hex = |part: &str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
        let groups: Vec<&str> = text.split('-').collect();
        let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
        let is_ulid = || {
            let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
            Ulid::from_string(text)
                .is_ok_and(|id| lower && id.to_string().eq_ignore_ascii_case(text))
        };
        lengths == [8, 4, 4, 4, 12] && groups.into_iter().all(is_hex) || is_ulid()
    }

    fn as_str(&self) -> &str {
        let length = self.text.iter().position(|byte| *byte == 0).unwrap_or(LIMIT);
        std::str::from_utf8(&self.text[..length]).expect("an id is letters and digits")
    }
}

impl fmt::Display for BuildId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl fmt::Debug for BuildId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "BuildId({self})")
    }
}
