//! From an answer to what the front of a Lambda function makes one of.

use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::body::to_bytes;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::event::Front;

/// How large an answer may be, as JSON, in bytes.
const LIMIT: usize = 6 * 1024 * 1024;

/// The same behind a load balancer.
const LOAD_BALANCER_LIMIT: usize = 1024 * 1024;

/// What the front makes itself.
const HOP_BY_HOP: [HeaderName; 3] =
    [header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING];

/// An answer, all of it.
pub(super) struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// An answer as the fronts read it; each has its own form for headers.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    status_code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<BTreeMap<&'a str, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    multi_value_headers: Option<BTreeMap<&'a str, Vec<Cow<'a, str>>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cookies: Option<Vec<Cow<'a, str>>>,
    body: Cow<'a, str>,
    is_base64_encoded: bool,
}

impl Answer {
    /// That of the router, if the front can pass it on.
    pub(super) async fn of(front: Front, response: Response) -> Answer {
        let (parts, body) = response.into_parts();
        match to_bytes(body, limit(front)).await {
            Ok(body) => Answer { status: parts.status, headers: parts.headers, body },
            Err(_too_large) => too_large(),
        }
    }

    /// That to a request which is none.
    pub(super) fn refusal(status: StatusCode, reason: &str) -> Answer {
        let body = serde_json::json!({"status": "Malformed request", "reason": reason});
        explained(status, &body)
    }

    /// The JSON that the front reads.
    pub(super) fn write(&self, front: Front) -> Result<Box<RawValue>, serde_json::Error> {
        let written = self.written(front)?;
        if written.get().len() > limit(front) {
            return too_large().written(front);
        }
        Ok(written)
    }

    fn written(&self, front: Front) -> Result<Box<RawValue>, serde_json::Error> {
        let headers = || {
            let names = self.headers.keys().filter(|name| !HOP_BY_HOP.contains(name));
            names.map(|name| (name, self.headers.get_all(name).iter().map(text)))
        };
        let lists = || headers().map(|(name, values)| (name.as_str(), values.collect())).collect();
        let joined = |without: Option<HeaderName>| {
            let kept = headers().filter(|(name, _)| Some(*name) != without.as_ref());
            let join = |values: Vec<Cow<'_, str>>| values.join(", ");
            kept.map(|(name, values)| (name.as_str(), join(values.collect()))).collect()
        };
        let is_text = !self.headers.contains_key(header::CONTENT_ENCODING);
        let plain = std::str::from_utf8(&self.body).ok().filter(|_| is_text);
        let mut written = Written {
            status_code: self.status.as_u16(),
            status_description: None,
            headers: None,
            multi_value_headers: None,
            cookies: None,
            body: match plain {
                Some(text) => text.into(),
                None => STANDARD.encode(&self.body).into(),
            },
            is_base64_encoded: plain.is_none(),
        };
        match front {
            Front::LoadBalancer { lists: has_lists } => {
                let words = self.status.canonical_reason().unwrap_or("Unknown");
                written.status_description = Some(format!("{} {words}", self.status.as_u16()));
                match has_lists {
                    true => written.multi_value_headers = Some(lists()),
                    false => written.headers = Some(joined(None)),
                }
            }
            Front::Rest | Front::WebSocket => written.multi_value_headers = Some(lists()),
            Front::Http => {
                let cookies = self.headers.get_all(header::SET_COOKIE).iter().map(text);
                written.headers = Some(joined(Some(header::SET_COOKIE)));
                written.cookies = Some(cookies.collect()).filter(|all: &Vec<_>| !all.is_empty());
            }
        }
        to_raw_value(&written)
    }
}

/// The answer to a request that is not answered in time.
pub(super) fn late() -> Response {
    let body = serde_json::json!({
        "status": "unavailable",
        "reason": "the request took longer than the function has: deliver again",
    });
    let headers = [(header::RETRY_AFTER, "5"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (StatusCode::SERVICE_UNAVAILABLE, headers, axum::Json(body)).into_response()
}

fn too_large() -> Answer {
    let body = serde_json::json!({
        "status": "internal error",
        "reason": "the answer is larger than what stands in front of the function passes on",
    });
    explained(StatusCode::INTERNAL_SERVER_ERROR, &body)
}

fn explained(status: StatusCode, body: &serde_json::Value) -> Answer {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    Answer { status, headers: headers.into_iter().collect(), body: body.to_string().into() }
}

fn limit(front: Front) -> usize {
    match front {
        Front::LoadBalancer { .. } => LOAD_BALANCER_LIMIT,
        _ => LIMIT,
    }
}

fn text(value: &HeaderValue) -> Cow<'_, str> {
    String::from_utf8_lossy(value.as_bytes())
}
