//! Compression of large answers, as the real server compresses: gzip, quick rather than small.

use std::io::Write;

use axum::body::{Body, HttpBody};
use axum::response::Response;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, header};
use http_body_util::BodyExt;

/// Smaller answers are not worth it.
const THRESHOLD: u64 = 128 * 1024;

/// Whether a client takes gzip.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    accepted.is_some_and(|list| list.split(',').any(|one| one.trim() == "gzip"))
}

/// Compresses an answer that is large; streams stay as they are.
pub(super) async fn compress(response: Response) -> Response {
    let large = response.body().size_hint().exact().is_some_and(|size| size > THRESHOLD);
    if !large || response.headers().contains_key(header::CONTENT_ENCODING) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // A body of a known size is in memory and cannot fail.
    let bytes = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    // Megabytes take a while, and other requests are to be answered meanwhile.
    let whole = bytes.clone();
    match tokio::task::spawn_blocking(move || gzip(&whole)).await {
        Ok(Ok(small)) => {
            let headers = &mut parts.headers;
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
            headers.remove(header::CONTENT_LENGTH);
            Response::from_parts(parts, Body::from(small))
        }
        _ => Response::from_parts(parts, Body::from(bytes)),
    }
}

fn gzip(bytes: &[u8]) -> std::io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 8), Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish().map(Bytes::from)
}
