//! The envelopes that the host posts, and those that it wants back.
//!
//! `{"Data": {"req": {"Url", "Method", "Query", "Headers", "Params", "Identities", "Body"}},
//! "Metadata": {}}` is answered by `{"Outputs": {"res": {"statusCode", "headers", "body"}}, "Logs": [],
//! "ReturnValue": null}`, always with 200: the host makes a 500 of everything else.
//!
//! The body is text that the host has decoded. Where that has changed a byte of it, no signature over
//! it holds, and the log says how the host is told to leave it as it is. Senders are told what they are
//! told everywhere: how the host is set is not theirs to know.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::layout::{Function, Kind, Layout, member};
use super::{Handler, Invocation, has_lost_its_body, pass, trigger};

/// The largest envelope, in bytes: a body of 25 MiB has quotes that are escaped.
const LIMIT: usize = 64 * 1024 * 1024;

/// The largest answer that is put into one, in bytes.
const ANSWER: usize = 32 * 1024 * 1024;

/// How long an envelope may take to arrive. It comes from this machine.
const ARRIVAL: Duration = Duration::from_secs(30);

/// How much all that are arriving may take, in bytes.
static ROOM: Semaphore = Semaphore::const_new(256 * 1024 * 1024);

/// How the host is told to leave bodies as they are.
const SWITCH: &str = "bodies come through Azure's host as text, which no signature need hold for: \
                      set customHandler.enableProxyingHttpRequest in host.json";

/// What is posted.
#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "Data")]
    data: BTreeMap<String, Value>,
    #[serde(default, rename = "Metadata")]
    metadata: Value,
}

/// What a request was that is in an envelope, or why it is none.
type Read<T> = Result<T, &'static str>;

/// Answers what was posted to a function.
pub(super) async fn answer(handler: &Handler, function: Function, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let (bytes, _held) = match tokio::time::timeout(ARRIVAL, collect(body)).await {
        Ok(Ok(read)) => read,
        Ok(Err(refusal)) => return refused(&function, refusal.0, refusal.1),
        Err(_elapsed) => {
            return refused(&function, StatusCode::REQUEST_TIMEOUT, "the body did not arrive");
        }
    };
    let envelope: Envelope = match serde_json::from_slice(&bytes) {
        Ok(envelope) => envelope,
        // No file says that there is such a function, so perhaps it is a request like any other.
        Err(_not_one) if function.trigger.is_none() => {
            let request = Request::from_parts(parts, Body::from(bytes));
            return pass(handler.router.clone(), request).await;
        }
        Err(_not_one) => {
            let reason = "the host must post an envelope here: an object with Data and Metadata";
            return refused(&function, StatusCode::BAD_REQUEST, reason);
        }
    };
    drop(bytes);
    let invocation = parts.extensions.get::<Invocation>().cloned();
    let Envelope { data, metadata } = envelope;
    let trace = trace(&parts.headers, &metadata);
    let http = data.values().find(|value| is_request(value));
    match (function.trigger, http) {
        (Some(Kind::Http) | None, Some(described)) => {
            let mut request = match described_request(&handler.layout, described) {
                Ok(request) => request,
                Err(reason) => return refused(&function, StatusCode::BAD_REQUEST, reason),
            };
            request.headers_mut().extend(trace);
            if let Some(invocation) = invocation {
                request.extensions_mut().insert(invocation);
            }
            let response = match has_lost_its_body(&request) {
                true => super::lost(request.uri()),
                false => pass(handler.router.clone(), request).await,
            };
            wrapped(&function, response).await
        }
        (Some(Kind::Http), None) => {
            let reason = "the envelope's Data has no request with Url and Method";
            refused(&function, StatusCode::BAD_REQUEST, reason)
        }
        _ => {
            let said = (&data, &metadata);
            trigger::answer(handler, &function, said, trace, invocation).await
        }
    }
}

/// All of an envelope, and the room that it takes.
async fn collect(
    body: Body,
) -> Result<(Bytes, SemaphorePermit<'static>), (StatusCode, &'static str)> {
    let full = |_full| (StatusCode::SERVICE_UNAVAILABLE, "too much is arriving at once");
    let mut held = ROOM.try_acquire_many(0).map_err(full)?;
    let (mut pieces, mut whole) = (body.into_data_stream(), Vec::new());
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_early| (StatusCode::BAD_REQUEST, "the body ended early"))?;
        if piece.len() > LIMIT - whole.len() {
            return Err((StatusCode::PAYLOAD_TOO_LARGE, "the envelope is too large"));
        }
        let length = u32::try_from(piece.len()).unwrap_or(u32::MAX);
        held.merge(ROOM.try_acquire_many(length).map_err(full)?);
        whole.extend_from_slice(&piece);
    }
    Ok((whole.into(), held))
}

fn is_request(value: &Value) -> bool {
    member(value, "Url").is_string() && member(value, "Method").is_string()
}

/// The request that an envelope describes.
fn described_request(layout: &Layout, described: &Value) -> Read<Request> {
    let method = member(described, "Method").as_str().unwrap_or_default();
    let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes())
        .map_err(|_unknown| "the envelope's Method is none")?;
    let url = member(described, "Url").as_str().unwrap_or_default();
    let url: Uri = url.parse().map_err(|_malformed| "the envelope's Url is none")?;
    let uri = with_query(&url, member(described, "Query"))?;
    let uri = layout.without_prefix(&uri).unwrap_or(uri);
    let headers = headers(member(described, "Headers"))?;
    let body = body(member(described, "Body"), &headers)?;
    let mut request = Request::new(Body::from(body.clone()));
    (*request.method_mut(), *request.uri_mut()) = (method, uri);
    *request.headers_mut() = headers;
    if !body.is_empty() {
        request.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    Ok(request)
}

/// The path and the query of an address. The query is that of the address, or else what `query` has:
/// an object, or the text of one.
fn with_query(url: &Uri, query: &Value) -> Read<Uri> {
    const WRONG: &str = "the envelope's Query is none";
    let path = match url.path() {
        "" => "/",
        path => path,
    };
    let pairs = match query {
        _ if url.query().is_some() => Map::new(),
        Value::Object(pairs) => pairs.clone(),
        Value::String(text) if !text.trim().is_empty() => {
            serde_json::from_str(text).map_err(|_other| WRONG)?
        }
        Value::Null | Value::String(_) => Map::new(),
        _ => return Err(WRONG),
    };
    let mut text = path.to_owned();
    if let Some(query) = url.query() {
        text += "?";
        text += query;
    }
    for (number, (name, value)) in pairs.iter().enumerate() {
        let value = value.as_str().ok_or(WRONG)?;
        text += if number == 0 { "?" } else { "&" };
        encode(&mut text, name);
        text += "=";
        encode(&mut text, value);
    }
    text.parse().map_err(|_malformed| WRONG)
}

fn encode(text: &mut String, part: &str) {
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(byte.into());
        } else {
            let _never_fails = write!(text, "%{byte:02X}");
        }
    }
}

/// The headers: of each name a list, or one value.
fn headers(described: &Value) -> Read<HeaderMap> {
    const WRONG: &str = "the envelope's Headers cannot be headers";
    let mut headers = HeaderMap::new();
    for (name, values) in described.as_object().into_iter().flatten() {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_wrong| WRONG)?;
        // What is about the connection that the host had.
        if [header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING].contains(&name) {
            continue;
        }
        let values = match values {
            Value::Array(values) => values.as_slice(),
            value => std::slice::from_ref(value),
        };
        for value in values {
            let value = value.as_str().ok_or(WRONG)?;
            let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_wrong| WRONG)?;
            headers.try_append(&name, value).map_err(|_too_many| WRONG)?;
        }
    }
    Ok(headers)
}

/// The body: text, or JSON where the host has parsed it, or base64 where the host takes it for bytes.
fn body(described: &Value, headers: &HeaderMap) -> Read<Bytes> {
    Ok(match described {
        Value::Null => Bytes::new(),
        Value::String(text) if is_bytes(headers) => STANDARD
            .decode(text)
            .map_err(|_other| "the envelope's Body is not base64, as its Content-Type needs")?
            .into(),
        Value::String(text) => text.clone().into(),
        parsed => parsed.to_string().into(),
    })
}

/// Whether the host takes bodies of this type for bytes, not for text.
fn is_bytes(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let kind = kind.to_ascii_lowercase();
    kind == "application/octet-stream" || kind.starts_with("multipart/")
}

/// The trace that the host's own request belongs to, or what it says of one.
fn trace(headers: &HeaderMap, metadata: &Value) -> HeaderMap {
    let mut trace = HeaderMap::new();
    for name in ["traceparent", "tracestate"] {
        let said = || {
            let value = [member(metadata, name), member(member(metadata, "TraceContext"), name)];
            HeaderValue::from_str(value.into_iter().find_map(Value::as_str)?).ok()
        };
        if let Some(value) = headers.get(name).cloned().or_else(said) {
            trace.insert(name, value);
        }
    }
    trace
}

/// The envelope of an answer.
async fn wrapped(function: &Function, response: Response) -> Response {
    let (parts, body) = response.into_parts();
    let Ok(bytes) = axum::body::to_bytes(body, ANSWER).await else {
        let reason = "the answer is too large for an envelope";
        return refused(function, StatusCode::INTERNAL_SERVER_ERROR, reason);
    };
    let mut logs = Vec::new();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    if matches!(parts.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        tracing::warn!(function = function.name, "{SWITCH}");
        logs.push(SWITCH);
    }
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in &parts.headers {
        if *name == header::CONTENT_LENGTH {
            continue;
        }
        let value = String::from_utf8_lossy(value.as_bytes());
        let joined = headers.entry(name.to_string()).or_default();
        if !joined.is_empty() {
            *joined += ", ";
        }
        *joined += &value;
    }
    let output = json!({"statusCode": parts.status.as_u16(), "headers": headers, "body": text});
    enveloped(function, output, &logs)
}

/// An answer of this module's own.
fn refused(function: &Function, code: StatusCode, reason: &'static str) -> Response {
    tracing::warn!(
        function = function.name,
        http.status = code.as_u16(),
        reason,
        "an envelope was refused"
    );
    let body = json!({"status": code.canonical_reason(), "reason": reason}).to_string();
    let headers = json!({"content-type": "application/json"});
    let output = json!({"statusCode": code.as_u16(), "headers": headers, "body": body});
    enveloped(function, output, &[reason])
}

fn enveloped(function: &Function, output: Value, logs: &[&str]) -> Response {
    let (outputs, returned) = match function.output.as_str() {
        "$return" => (json!({}), output),
        name => (json!({name: output}), Value::Null),
    };
    Json(json!({"Outputs": outputs, "Logs": logs, "ReturnValue": returned})).into_response()
}
