//! Reads the body of a request: all of it, exactly as it was sent, and never more than allowed.

use axum::body::{self, Bytes};
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::rejection::Rejection;

/// Reads the body of a request, up to `limit` bytes and until the deadline.
///
/// What is signed is what was sent, so a body that is encoded is refused: decoding it would be
/// the sender's way to make a little into a lot.
pub(crate) async fn read(
    request: Request,
    limit: usize,
    deadline: Instant,
) -> Result<(Parts, Bytes), Rejection> {
    let (parts, body) = request.into_parts();
    if parts.headers.contains_key(header::CONTENT_ENCODING) {
        return Err(Rejection::Unsupported {
            reason: "the body must be sent as it is, without a Content-Encoding",
        });
    }
    let too_large =
        || Rejection::TooLarge { reason: format!("a body may have {limit} bytes at most") };
    if length(&parts.headers).is_some_and(|length| length > limit as u64) {
        return Err(too_large());
    }
    // The length may be absent, so what arrives is counted, too.
    match tokio::time::timeout_at(deadline, body::to_bytes(body, limit)).await {
        Ok(Ok(bytes)) => Ok((parts, bytes)),
        Ok(Err(error)) if is_length_limit(&error) => Err(too_large()),
        Ok(Err(_broken_off)) => Err(Rejection::malformed("the body ended early")),
        Err(_elapsed) => Err(Rejection::Slow),
    }
}

/// The media type of the body, in lower case and without its parameters; several are none.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (value, None) = (values.next()?, values.next()) else { return Some(String::new()) };
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    Some(essence.trim().to_ascii_lowercase())
}

/// Reads a JSON object; where it is wrong is said, what is there is not.
pub(crate) fn json_object<T: DeserializeOwned>(json: &[u8]) -> Result<T, Rejection> {
    if std::str::from_utf8(json).is_err() {
        return Err(Rejection::malformed("the body is not UTF-8 text"));
    }
    // An array would be read as an object whose members have no names.
    if json.trim_ascii_start().first() != Some(&b'{') {
        return Err(Rejection::malformed("the body is not a JSON object"));
    }
    serde_json::from_slice(json).map_err(|error| {
        let what =
            if error.is_data() { "a member has another type" } else { "it is not valid JSON" };
        let place = format!("line {}, column {}", error.line(), error.column());
        Rejection::malformed(format!("in the body, {what} ({place})"))
    })
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn is_length_limit(error: &axum::Error) -> bool {
    let source = std::error::Error::source(error);
    source.is_some_and(|source| source.is::<http_body_util::LengthLimitError>())
}
