//! How senders sign: a table of what differs between them, and the two functions that read it.
//!
//! A signature is an HMAC over the body, or over the body and what the sender puts before it, in a
//! header of the sender's own. Where a moment is signed too, a signature counts for
//! [`WINDOW`] seconds before and after it, so that a delivery that was overheard cannot be replayed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use jiff::Timestamp;
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq;

use super::{Secrets, SignatureError, one_of, single};

#[cfg(test)]
mod tests;

/// How one sender signs, in words that a project can choose for a sender of its own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Scheme<'a> {
    /// The header of the signature, in lower case.
    pub header: &'a str,
    /// What stands before the digest: `sha256=`.
    pub prefix: &'a str,
    /// The hash of the HMAC.
    pub algorithm: Algorithm,
    /// How the digest is written.
    pub encoding: Encoding,
    /// What the HMAC is made over.
    pub signed: Signed<'a>,
}

/// The hash of an HMAC.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "the names are the hashes' own")]
pub enum Algorithm {
    Sha1,
    Sha256,
    Sha512,
}

/// How a digest is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Encoding {
    /// Hexadecimal digits of either case.
    Hex,
    /// Base64 with its padding.
    Base64,
}

/// What an HMAC is made over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Signed<'a> {
    /// The body.
    Body,
    /// The body and, after it, this address, at which the sender was told to deliver.
    BodyAndAddress(&'a str),
    /// `v0:`, the seconds in `X-Slack-Request-Timestamp`, `:`, the body.
    Slack,
    /// `webhook-id`, `.`, the seconds in `webhook-timestamp`, `.`, the body. The header holds
    /// several signatures with spaces between, of which one must fit.
    StandardWebhooks,
}

/// What is signed beside the body, where a sender signs more.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Stamp<'a> {
    /// The name of the delivery.
    pub id: &'a str,
    /// The moment, in seconds since 1970, as it is written.
    pub seconds: &'a str,
}

/// How long before and after its moment a signature counts, in seconds.
pub const WINDOW: i64 = 5 * 60;

/// How a secret begins that is a key in base64, as Standard Webhooks has it.
pub(super) const SIGNING_SECRET: &str = "whsec_";

/// How many signatures a delivery may carry where it may carry several.
const MOST: usize = 16;

/// GitHub, and most of those who sign as it does.
pub const GITHUB: Scheme<'static> = body("x-hub-signature-256", "sha256=", Algorithm::Sha256);

/// GitHub's old signature.
pub const GITHUB_SHA1: Scheme<'static> = body("x-hub-signature", "sha1=", Algorithm::Sha1);

/// Bitbucket, whose header is that of GitHub's old signature.
pub const BITBUCKET: Scheme<'static> = body("x-hub-signature", "sha256=", Algorithm::Sha256);

/// Gitea.
pub const GITEA: Scheme<'static> = body("x-gitea-signature", "", Algorithm::Sha256);

/// Forgejo, which sends Gitea's header, too.
pub const FORGEJO: Scheme<'static> = body("x-forgejo-signature", "", Algorithm::Sha256);

/// Gogs.
pub const GOGS: Scheme<'static> = body("x-gogs-signature", "", Algorithm::Sha256);

/// Slack.
pub const SLACK: Scheme<'static> =
    Scheme { signed: Signed::Slack, ..body("x-slack-signature", "v0=", Algorithm::Sha256) };

/// Standard Webhooks; GitLab's signing tokens, too.
pub const STANDARD_WEBHOOKS: Scheme<'static> = Scheme {
    header: "webhook-signature",
    prefix: "v1,",
    algorithm: Algorithm::Sha256,
    encoding: Encoding::Base64,
    signed: Signed::StandardWebhooks,
};

/// All of them. The two of `x-hub-signature` tell themselves apart by their prefixes only.
pub const ALL: [Scheme<'static>; 8] =
    [GITHUB, GITHUB_SHA1, BITBUCKET, GITEA, FORGEJO, GOGS, SLACK, STANDARD_WEBHOOKS];

/// Trello, whose webhook was made for this address.
pub const fn trello(address: &str) -> Scheme<'_> {
    Scheme {
        header: "x-trello-webhook",
        prefix: "",
        algorithm: Algorithm::Sha1,
        encoding: Encoding::Base64,
        signed: Signed::BodyAndAddress(address),
    }
}

const fn body(header: &'static str, prefix: &'static str, algorithm: Algorithm) -> Scheme<'static> {
    Scheme { header, prefix, algorithm, encoding: Encoding::Hex, signed: Signed::Body }
}

impl Scheme<'_> {
    /// Proves a delivery by the signature that it carries.
    ///
    /// `now` is the moment at which it arrived; only schemes that sign a moment look at it.
    pub fn verify(
        &self,
        secrets: &Secrets<'_>,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Result<(), SignatureError> {
        let keys: Vec<Vec<u8>> = secrets.0.iter().filter_map(|secret| self.key(secret)).collect();
        if keys.is_empty() {
            return Err(SignatureError::NoSecret);
        }
        let given = self.digests(single(headers, self.header)?.as_bytes())?;
        let stamp = self.stamp(headers)?;
        // Every key is tried with every digest, even after one has fitted.
        let fits = keys.iter().flat_map(|key| {
            let digest = self.digest(key, stamp, body);
            given.iter().map(move |given| digest.ct_eq(given))
        });
        one_of(fits)?;
        if self.signs_a_moment() { is_now(stamp.seconds, now) } else { Ok(()) }
    }

    /// The value of the header that the sender sends for a body; none if the secret is no key.
    pub fn sign(&self, secret: &str, stamp: Stamp<'_>, body: &[u8]) -> Option<String> {
        Some(self.value(&self.key(secret)?, stamp, body))
    }

    /// The names of the headers with the delivery's name and its moment, where those are signed.
    pub fn stamp_headers(&self) -> (Option<&'static str>, Option<&'static str>) {
        match self.signed {
            Signed::Body | Signed::BodyAndAddress(_) => (None, None),
            Signed::Slack => (None, Some("x-slack-request-timestamp")),
            Signed::StandardWebhooks => (Some("webhook-id"), Some("webhook-timestamp")),
        }
    }

    pub(super) fn value(&self, key: &[u8], stamp: Stamp<'_>, body: &[u8]) -> String {
        let digest = self.digest(key, stamp, body);
        let written = match self.encoding {
            Encoding::Hex => hex::encode(digest),
            Encoding::Base64 => STANDARD.encode(digest),
        };
        format!("{}{written}", self.prefix)
    }

    fn signs_a_moment(&self) -> bool {
        self.stamp_headers().1.is_some()
    }

    /// The key that a secret stands for. One of zeros is the empty key, which proves nothing.
    fn key(&self, secret: &str) -> Option<Vec<u8>> {
        let key = match (self.signed, secret.strip_prefix(SIGNING_SECRET)) {
            (Signed::StandardWebhooks, Some(encoded)) => STANDARD.decode(encoded).ok()?,
            _ => secret.as_bytes().to_vec(),
        };
        key.iter().any(|byte| *byte != 0).then_some(key)
    }

    /// The digests in the header's value.
    fn digests(&self, value: &[u8]) -> Result<Vec<Vec<u8>>, SignatureError> {
        if value.is_empty() {
            return Err(SignatureError::Missing);
        }
        if self.signed != Signed::StandardWebhooks {
            return Ok(vec![self.read(value).ok_or(SignatureError::Malformed)?]);
        }
        // Signatures of other versions may stand beside ours.
        let given = value.split(|byte| *byte == b' ').take(MOST);
        let digests: Vec<Vec<u8>> = given.filter_map(|value| self.read(value)).collect();
        if digests.is_empty() { Err(SignatureError::Malformed) } else { Ok(digests) }
    }

    fn read(&self, value: &[u8]) -> Option<Vec<u8>> {
        let written = value.strip_prefix(self.prefix.as_bytes())?;
        let digest = match self.encoding {
            Encoding::Hex => hex::decode(written).ok()?,
            Encoding::Base64 => STANDARD.decode(written).ok()?,
        };
        (digest.len() == self.algorithm.length()).then_some(digest)
    }

    /// What the headers say beside the signature.
    fn stamp<'h>(&self, headers: &'h HeaderMap) -> Result<Stamp<'h>, SignatureError> {
        let text = |name: Option<&str>| {
            let Some(name) = name else { return Ok("") };
            let value = single(headers, name)?;
            let value = value.to_str().map_err(|_bytes| SignatureError::Malformed)?;
            if value.is_empty() { Err(SignatureError::Missing) } else { Ok(value) }
        };
        let (id, seconds) = self.stamp_headers();
        Ok(Stamp { id: text(id)?, seconds: text(seconds)? })
    }

    fn digest(&self, key: &[u8], stamp: Stamp<'_>, body: &[u8]) -> Vec<u8> {
        let (id, seconds) = (stamp.id.as_bytes(), stamp.seconds.as_bytes());
        let signed: &[&[u8]] = match self.signed {
            Signed::Body => &[body],
            Signed::BodyAndAddress(address) => &[body, address.as_bytes()],
            Signed::Slack => &[b"v0:", seconds, b":", body],
            Signed::StandardWebhooks => &[id, b".", seconds, b".", body],
        };
        match self.algorithm {
            Algorithm::Sha1 => hmac::<Hmac<Sha1>>(key, signed),
            Algorithm::Sha256 => hmac::<Hmac<Sha256>>(key, signed),
            Algorithm::Sha512 => hmac::<Hmac<Sha512>>(key, signed),
        }
    }
}

impl Algorithm {
    /// How long its digests are, in bytes.
    pub fn length(self) -> usize {
        match self {
            Algorithm::Sha1 => 20,
            Algorithm::Sha256 => 32,
            Algorithm::Sha512 => 64,
        }
    }
}

fn hmac<M: Mac + KeyInit>(key: &[u8], signed: &[&[u8]]) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes any key");
    for part in signed {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

/// Whether a moment, which was proved, is near enough.
fn is_now(seconds: &str, now: Timestamp) -> Result<(), SignatureError> {
    if !seconds.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(SignatureError::Malformed);
    }
    let seconds: i64 = seconds.parse().map_err(|_endless| SignatureError::Malformed)?;
    let near = now.as_second().abs_diff(seconds) <= WINDOW.unsigned_abs();
    if near { Ok(()) } else { Err(SignatureError::Forged) }
}
