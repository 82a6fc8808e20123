//! The handshake against abuse: a sender asks before it delivers, and is told that it may.
//!
//! Who asks must know the token, as who delivers: consent for anybody would let anybody deliver
//! here in others' names. `WebHook-Request-Callback` is never called.
//!
//! <https://github.com/cloudevents/spec/blob/main/cloudevents/http-webhook.md#4-abuse-protection>

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use runtime::project::Project;
use runtime::signature;

use crate::answer::Answer;
use crate::rejection::Rejection;

/// The header by which a sender says who it is.
const ORIGIN: &str = "webhook-request-origin";

/// Lets a sender that is proved deliver, by these methods.
pub(crate) fn consent(
    headers: &HeaderMap,
    project: &Project,
    methods: &'static str,
) -> Result<Response, Rejection> {
    let origin = signature::single(headers, ORIGIN).ok().filter(|origin| is_origin(origin));
    let origin = origin.ok_or_else(|| {
        Rejection::malformed("the handshake names its sender by one WebHook-Request-Origin, a host")
    })?;
    let reason = "the sender may deliver; nothing is built for a handshake";
    let mut response = Answer::passed("status", "OK", reason, Some(project)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::ALLOW, HeaderValue::from_static(methods));
    headers.insert("webhook-allowed-origin", origin.clone());
    headers.insert("webhook-allowed-rate", HeaderValue::from_static("*"));
    Ok(response)
}

/// Whether it is the name of a host, with a port perhaps: nothing else is repeated.
fn is_origin(origin: &HeaderValue) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b".-:".contains(byte);
    (1..=260).contains(&origin.len()) && origin.as_bytes().iter().all(fits)
}
