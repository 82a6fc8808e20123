//! Proves that a delivery comes from who knows the secret, and signs one so that it can be replayed.
//!
//! [`scheme`] describes every way of signing that we know; a token is proved by [`verify_token`].
//! Every function here fails closed: no secret, a blank secret, no signature, two signatures or a
//! malformed one are failures, never a pass. Comparisons take the same time wherever they differ,
//! and every secret is tried, so that time does not tell which one was nearly right.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, header};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use thiserror::Error;

use self::scheme::SIGNING_SECRET;
pub use self::scheme::{Algorithm, Encoding, Scheme, Signed, Stamp};

pub mod scheme;

#[cfg(test)]
mod tests;

/// The header of GitHub's signature.
pub const GITHUB_SHA256: &str = "x-hub-signature-256";
/// The header of GitHub's old signature, which is sent beside the other one.
pub const GITHUB_SHA1: &str = "x-hub-signature";
/// The header of GitLab's token.
pub const GITLAB_TOKEN: &str = "x-gitlab-token";

/// Why a delivery is not proved.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum SignatureError {
    /// There is nothing to prove it with: nobody configured a secret, or a blank one.
    #[error("no secret is configured")]
    NoSecret,
    /// The delivery carries no signature or token.
    #[error("the signature is missing")]
    Missing,
    /// What it carries has not the form of a signature, or there are several.
    #[error("the signature is malformed")]
    Malformed,
    /// What it carries was not made with any of the secrets, or not now.
    #[error("the signature does not fit")]
    Forged,
}

/// The secrets that a sender may sign with: the current one first, then those being rotated out.
///
/// Blank secrets are dropped, because whoever guesses that a secret is blank can sign with it.
#[derive(Clone, Default)]
pub struct Secrets<'a>(Vec<&'a str>);

/// What becomes of a delivery that has only the SHA-1 signature.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Legacy {
    /// It counts as unsigned.
    #[default]
    Refuse,
    /// It is proved by that signature, for GitHub Enterprise before 2.23.
    Accept,
}

impl<'a> Secrets<'a> {
    /// The secrets in one configured value, a line each.
    pub fn of(value: &'a SecretString) -> Secrets<'a> {
        Secrets::in_text(value.expose_secret())
    }

    /// The secrets in a text, a line each.
    pub fn in_text(text: &'a str) -> Secrets<'a> {
        Secrets(text.lines().filter(|secret| !is_blank(secret)).collect())
    }

    /// These secrets, or those of another value if there are none.
    pub fn or(self, value: &'a SecretString) -> Secrets<'a> {
        if self.is_empty() { Secrets::of(value) } else { self }
    }

    /// Whether nothing can be proved with these secrets.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The secret to sign with.
    pub fn current(&self) -> Option<&'a str> {
        self.0.first().copied()
    }

    /// Those of them that are the keys of Standard Webhooks: `whsec_...`.
    fn signing(&self) -> Secrets<'a> {
        let is_key = |secret: &&str| secret.starts_with(SIGNING_SECRET);
        Secrets(self.0.iter().copied().filter(is_key).collect())
    }
}

/// Proves a GitHub delivery: `X-Hub-Signature-256` over the body as it was received.
///
/// The SHA-1 header counts only where the caller accepts it and the other one is absent: a wrong
/// SHA-256 signature is never made good by a right SHA-1.
pub fn verify_github(
    secrets: &Secrets<'_>,
    headers: &HeaderMap,
    body: &[u8],
    legacy: Legacy,
) -> Result<(), SignatureError> {
    // GitHub signs no moment, so none is needed.
    let now = Timestamp::UNIX_EPOCH;
    match legacy {
        Legacy::Accept if !headers.contains_key(GITHUB_SHA256) => {
            scheme::GITHUB_SHA1.verify(secrets, headers, body, now)
        }
        _ => scheme::GITHUB.verify(secrets, headers, body, now),
    }
}

/// Proves a GitLab delivery: by the signature of its signing token, else by `X-Gitlab-Token`.
///
/// A secret `whsec_...` is a signing token. A signature counts only where there is such a secret,
/// because GitLab sends the other token beside it; there, a wrong signature is never made good by a
/// right token.
pub fn verify_gitlab(
    secrets: &Secrets<'_>,
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> Result<(), SignatureError> {
    let signing = secrets.signing();
    if !signing.is_empty() && headers.contains_key(scheme::STANDARD_WEBHOOKS.header) {
        return scheme::STANDARD_WEBHOOKS.verify(&signing, headers, body, now);
    }
    verify_header(secrets, headers, GITLAB_TOKEN)
}

/// Proves a delivery by a header that is the secret itself.
pub fn verify_header(
    secrets: &Secrets<'_>,
    headers: &HeaderMap,
    name: &str,
) -> Result<(), SignatureError> {
    if secrets.is_empty() {
        return Err(SignatureError::NoSecret);
    }
    verify_bytes(secrets, single(headers, name)?.as_bytes())
}

/// Proves a delivery by a token that it carries: from a header, the path or the query.
pub fn verify_token(secrets: &Secrets<'_>, token: Option<&str>) -> Result<(), SignatureError> {
    if secrets.is_empty() {
        return Err(SignatureError::NoSecret);
    }
    verify_bytes(secrets, token.unwrap_or_default().as_bytes())
}

fn verify_bytes(secrets: &Secrets<'_>, token: &[u8]) -> Result<(), SignatureError> {
    if token.is_empty() {
        return Err(SignatureError::Missing);
    }
    // Both sides are hashed first, so that not even the length of the secret shows.
    let given = Sha256::digest(token);
    let fits = |secret: &&str| Sha256::digest(secret).as_slice().ct_eq(&given);
    one_of(secrets.0.iter().map(fits))
}

/// The token in `Authorization`: what follows `Bearer`, or the password that follows `Basic`.
pub fn authorization(headers: &HeaderMap) -> Result<Option<String>, SignatureError> {
    if !headers.contains_key(header::AUTHORIZATION) {
        return Ok(None);
    }
    let value = single(headers, header::AUTHORIZATION.as_str())?;
    let value = value.to_str().map_err(|_| SignatureError::Malformed)?;
    let (scheme, credentials) = value.split_once(' ').ok_or(SignatureError::Malformed)?;
    let credentials = credentials.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(Some(credentials.to_owned()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(SignatureError::Malformed);
    }
    let decoded = STANDARD.decode(credentials).map_err(|_| SignatureError::Malformed)?;
    let decoded = String::from_utf8(decoded).map_err(|_| SignatureError::Malformed)?;
    let (_user, password) = decoded.split_once(':').ok_or(SignatureError::Malformed)?;
    Ok(Some(password.to_owned()))
}

/// The only value of a header; none is `Missing`, several are `Malformed`.
pub fn single<'h>(headers: &'h HeaderMap, name: &str) -> Result<&'h HeaderValue, SignatureError> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Err(SignatureError::Missing),
        (Some(value), None) => Ok(value),
        (Some(_), Some(_)) => Err(SignatureError::Malformed),
    }
}

/// The value of `X-Hub-Signature-256` that GitHub sends for a body.
pub fn sign_github(secret: &str, body: &[u8]) -> String {
    scheme::GITHUB.value(secret.as_bytes(), Stamp::default(), body)
}

/// The value of `X-Hub-Signature` that GitHub sends for a body.
pub fn sign_github_sha1(secret: &str, body: &[u8]) -> String {
    scheme::GITHUB_SHA1.value(secret.as_bytes(), Stamp::default(), body)
}

fn one_of(fits: impl Iterator<Item = Choice>) -> Result<(), SignatureError> {
    let found = fits.fold(Choice::from(0), |found, fits| found | fits);
    if found.into() { Ok(()) } else { Err(SignatureError::Forged) }
}

/// HMAC pads a key with zeros, so a secret of zeros is the empty secret.
fn is_blank(secret: &str) -> bool {
    secret.chars().all(|c| c.is_whitespace() || c == '\0')
}
