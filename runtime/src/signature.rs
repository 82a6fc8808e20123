//! Proves that a delivery comes from who knows the secret, and signs one so that it can be replayed.
//!
//! Every function here fails closed: no secret, a blank secret, no signature, two signatures or a
//! malformed one are failures, never a pass. Comparisons take the same time wherever they differ,
//! and every secret is tried, so that time does not tell which one was nearly right.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderValue, header};
use secrecy::{ExposeSecret, SecretString};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use thiserror::Error;

#[cfg(test)]
mod tests;

/// The header of GitHub's signature.
pub const GITHUB_SHA256: &str = "x-hub-signature-256";
/// The header of GitHub's old signature, which is sent beside the other one.
pub const GITHUB_SHA1: &str = "x-hub-signature";

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
    /// What it carries was not made with any of the secrets.
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
        let lines = value.expose_secret().lines();
        Secrets(lines.filter(|secret| !is_blank(secret)).collect())
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
    if secrets.is_empty() {
        return Err(SignatureError::NoSecret);
    }
    match legacy {
        Legacy::Accept if !headers.contains_key(GITHUB_SHA256) => {
            let value = single(headers, GITHUB_SHA1)?;
            verify_hmac::<Hmac<Sha1>>(secrets, "sha1=", value, body)
        }
        _ => {
            let value = single(headers, GITHUB_SHA256)?;
            verify_hmac::<Hmac<Sha256>>(secrets, "sha256=", value, body)
        }
    }
}

/// Proves a delivery by a token that it carries: from a header, the path or the query.
pub fn verify_token(secrets: &Secrets<'_>, token: Option<&str>) -> Result<(), SignatureError> {
    if secrets.is_empty() {
        return Err(SignatureError::NoSecret);
    }
    let token = token.filter(|token| !token.is_empty()).ok_or(SignatureError::Missing)?;
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
    format!("sha256={}", hex::encode(digest::<Hmac<Sha256>>(secret, body)))
}

/// The value of `X-Hub-Signature` that GitHub sends for a body.
pub fn sign_github_sha1(secret: &str, body: &[u8]) -> String {
    format!("sha1={}", hex::encode(digest::<Hmac<Sha1>>(secret, body)))
}

fn verify_hmac<M: Mac + KeyInit>(
    secrets: &Secrets<'_>,
    prefix: &str,
    value: &HeaderValue,
    body: &[u8],
) -> Result<(), SignatureError> {
    let value = value.as_bytes();
    if value.is_empty() {
        return Err(SignatureError::Missing);
    }
    let digits = value.strip_prefix(prefix.as_bytes()).ok_or(SignatureError::Malformed)?;
    if digits.len() != 2 * M::output_size() {
        return Err(SignatureError::Malformed);
    }
    let given = hex::decode(digits).map_err(|_| SignatureError::Malformed)?;
    one_of(secrets.0.iter().map(|secret| digest::<M>(secret, body).ct_eq(&given)))
}

fn digest<M: Mac + KeyInit>(secret: &str, body: &[u8]) -> Vec<u8> {
    let mac = <M as KeyInit>::new_from_slice(secret.as_bytes()).expect("HMAC takes any key");
    mac.chain_update(body).finalize().into_bytes().to_vec()
}

fn one_of(fits: impl Iterator<Item = Choice>) -> Result<(), SignatureError> {
    let found = fits.fold(Choice::from(0), |found, fits| found | fits);
    if found.into() { Ok(()) } else { Err(SignatureError::Forged) }
}

/// HMAC pads a key with zeros, so a secret of zeros is the empty secret.
fn is_blank(secret: &str) -> bool {
    secret.chars().all(|c| c.is_whitespace() || c == '\0')
}
