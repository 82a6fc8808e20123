//! Texts to bytes and back, digests, and random bytes.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};

pub(super) fn encode(text: &str, encoding: &str) -> Vec<u8> {
    match encoding {
        "hex" => {
            // As Node does: up to the first two characters that are no byte.
            let digits = text.as_bytes().chunks_exact(2);
            digits.map_while(|pair| hex::decode(pair).ok()).flatten().collect()
        }
        "base64" | "base64url" => from_base64(text),
        _ => text.as_bytes().to_vec(),
    }
}

pub(super) fn decode(content: &[u8], encoding: &str) -> String {
    match encoding {
        "hex" => hex::encode(content),
        "base64" => base64::engine::general_purpose::STANDARD.encode(content),
        "base64url" => URL_SAFE_NO_PAD.encode(content),
        _ => String::from_utf8_lossy(content).into_owned(),
    }
}

/// The bytes that a text of characters below 256 stands for.
pub(super) fn from_binary(text: &str) -> Vec<u8> {
    text.chars().map(|letter| letter as u8).collect()
}

/// Takes both alphabets and passes over what is in neither, as Node does.
fn from_base64(text: &str) -> Vec<u8> {
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let text: String = text
        .chars()
        .take_while(|letter| *letter != '=')
        .filter(|letter| letter.is_ascii_alphanumeric() || "+/-_".contains(*letter))
        .map(|letter| match letter {
            '-' => '+',
            '_' => '/',
            other => other,
        })
        .collect();
    // One letter alone stands for no byte.
    let whole = if text.len() % 4 == 1 { &text[..text.len() - 1] } else { &text };
    GeneralPurpose::new(&STANDARD, config).decode(whole).unwrap_or_default()
}

/// The digest of some bytes, with a key or without; `None` where there is no such function.
pub(super) fn digest(name: &str, content: &[u8], key: Option<&[u8]>) -> Option<Vec<u8>> {
    Some(match (name, key) {
        ("sha1", None) => Sha1::digest(content).to_vec(),
        ("sha256", None) => Sha256::digest(content).to_vec(),
        ("sha384", None) => Sha384::digest(content).to_vec(),
        ("sha512", None) => Sha512::digest(content).to_vec(),
        ("sha1", Some(key)) => keyed::<Hmac<Sha1>>(content, key),
        ("sha256", Some(key)) => keyed::<Hmac<Sha256>>(content, key),
        ("sha384", Some(key)) => keyed::<Hmac<Sha384>>(content, key),
        ("sha512", Some(key)) => keyed::<Hmac<Sha512>>(content, key),
        _ => return None,
    })
}

fn keyed<M: Mac + KeyInit>(content: &[u8], key: &[u8]) -> Vec<u8> {
    let mut code = <M as KeyInit>::new_from_slice(key).expect("a key may have any length");
    code.update(content);
    code.finalize().into_bytes().to_vec()
}
