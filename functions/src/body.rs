//! Reads the body of a request: all of it, exactly as it was sent, and never more than allowed.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use base64::Engine;
use futures::StreamExt;
use percent_encoding::percent_decode;
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::rejection::Rejection;

/// How much all bodies that are arriving, or wait to be proved, may take, in bytes. Until then anybody
/// can send as many at once as they like.
static ROOM: Room = Room {
    beginnings: Semaphore::const_new(32 * 1024 * 1024),
    rest: Semaphore::const_new(256 * 1024 * 1024),
    beginning: 256 * 1024,
};

/// The room that bodies share. Their beginnings have one of their own, so that those who send large
/// bodies keep out nobody whose bodies are small.
struct Room {
    beginnings: Semaphore,
    rest: Semaphore,
    /// How much of a body is its beginning, in bytes.
    beginning: usize,
}

/// What a body takes of the room. The head of its request holds it.
#[derive(Clone)]
struct Held<'a> {
    _permits: Arc<[SemaphorePermit<'a>; 2]>,
}

/// Reads the body of a request, up to `limit` bytes and until the deadline.
///
/// The body takes room until the head that is returned with it is dropped: a receiver does so when
/// the sender is proved, and what is refused has done so with its end.
///
/// What is signed is what was sent, so a body that is encoded is refused: decoding it would be
/// the sender's way to make a little into a lot.
pub(crate) async fn read(
    request: Request,
    limit: usize,
    deadline: Instant,
) -> Result<(Parts, Bytes), Rejection> {
    let (mut parts, body) = request.into_parts();
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
    match tokio::time::timeout_at(deadline, collect(body, limit, &ROOM)).await {
        Ok(Ok(Some((bytes, held)))) => {
            parts.extensions.insert(held);
            Ok((parts, bytes))
        }
        Ok(Ok(None)) => Err(too_large()),
        Ok(Err(rejection)) => Err(rejection),
        Err(_elapsed) => Err(Rejection::Slow),
    }
}

/// All of a body, unless it is larger than `limit`, and what it takes of the room that all share.
async fn collect(
    body: Body,
    limit: usize,
    room: &Room,
) -> Result<Option<(Bytes, Held<'_>)>, Rejection> {
    let mut pieces = body.into_data_stream();
    let mut whole = Vec::new();
    let (mut begun, mut taken) = (take(&room.beginnings, 0)?, take(&room.rest, 0)?);
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_broken_off| Rejection::malformed("the body ended early"))?;
        if piece.len() > limit - whole.len() {
            return Ok(None);
        }
        let beginning = piece.len().min(room.beginning.saturating_sub(whole.len()));
        begun.merge(take(&room.beginnings, beginning)?);
        taken.merge(take(&room.rest, piece.len() - beginning)?);
        whole.extend_from_slice(&piece);
    }
    Ok(Some((whole.into(), Held { _permits: Arc::new([begun, taken]) })))
}

fn take(room: &Semaphore, bytes: usize) -> Result<SemaphorePermit<'_>, Rejection> {
    let bytes = u32::try_from(bytes).map_err(|_endless| Rejection::Busy)?;
    room.try_acquire_many(bytes).map_err(|_full| Rejection::Busy)
}

/// The media type of the body, in lower case and without its parameters; several are none.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (value, None) = (values.next()?, values.next()) else { return Some(String::new()) };
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    Some(essence.trim().to_ascii_lowercase())
}

/// What stands for bytes in an identity, however many they are: their SHA-256, in letters.
pub(crate) fn digest(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    base64::engine::general_purpose::STANDARD.encode(digest)
}

/// Reads a JSON object; where it is wrong is said, what is there is not.
pub(crate) fn json_object<T: DeserializeOwned>(json: &[u8]) -> Result<T, Rejection> {
    // An array would be read as an object whose members have no names.
    if json.trim_ascii_start().first() != Some(&b'{') {
        return Err(Rejection::malformed("the body is not a JSON object"));
    }
    self::json(json)
}

/// Reads JSON of any kind; where it is wrong is said, what is there is not.
pub(crate) fn json<T: DeserializeOwned>(json: &[u8]) -> Result<T, Rejection> {
    if std::str::from_utf8(json).is_err() {
        return Err(Rejection::malformed("the body is not UTF-8 text"));
    }
    serde_json::from_slice(json).map_err(|error| {
        let what =
            if error.is_data() { "a member has another type" } else { "it is not valid JSON" };
        let place = format!("line {}, column {}", error.line(), error.column());
        Rejection::malformed(format!("in the body, {what} ({place})"))
    })
}

/// The text without the mark that some editors put before UTF-8, and scripts choke on.
pub(crate) fn without_mark(json: Bytes) -> Bytes {
    if json.starts_with(b"\xef\xbb\xbf") { json.slice(3..) } else { json }
}

/// What a form holds as `payload`.
pub(crate) fn form_payload(form: &[u8]) -> Result<Bytes, Rejection> {
    let mut payloads = form
        .split(|byte| *byte == b'&')
        .filter_map(|field| field.strip_prefix(b"payload=".as_slice()));
    match (payloads.next(), payloads.next()) {
        (Some(payload), None) => {
            let spaced: Vec<u8> =
                payload.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
            Ok(percent_decode(&spaced).collect::<Vec<u8>>().into())
        }
        _ => Err(Rejection::malformed("the form must have one field `payload`")),
    }
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[tokio::test]
async fn bodies_share_a_room_until_they_are_proved() {
    let room = Room { beginnings: Semaphore::new(6), rest: Semaphore::new(8), beginning: 2 };
    let whole = async |bytes: &'static [u8]| collect(Body::from(bytes), 8, &room).await;
    let left = || (room.beginnings.available_permits(), room.rest.available_permits());
    let (bytes, held) = whole(b"12345678").await.unwrap().unwrap();
    assert_eq!((bytes, left()), (Bytes::from_static(b"12345678"), (4, 2)));
    drop(held);
    assert!(whole(b"123456789").await.unwrap().is_none());
    assert_eq!(left(), (6, 8));
    // Somebody's body has begun to arrive, and goes on arriving.
    let (more, pieces) = futures::channel::mpsc::unbounded::<Result<Bytes, std::io::Error>>();
    more.unbounded_send(Ok(Bytes::from_static(b"1"))).unwrap();
    more.unbounded_send(Ok(Bytes::from_static(b"234567"))).unwrap();
    {
        let mut arriving = Box::pin(collect(Body::from_stream(pieces), 8, &room));
        assert!(futures::poll!(&mut arriving).is_pending());
        assert_eq!(left(), (4, 3));
        assert!(matches!(whole(b"123456").await, Err(Rejection::Busy)));
        assert_eq!(whole(b"12345").await.unwrap().unwrap().0, "12345");
        // However many large ones arrive, a small one does.
        room.rest.try_acquire_many(3).unwrap().forget();
        assert!(matches!(whole(b"123").await, Err(Rejection::Busy)));
        assert_eq!(whole(b"12").await.unwrap().unwrap().0, "12");
    }
    assert_eq!(left(), (6, 5));
}
