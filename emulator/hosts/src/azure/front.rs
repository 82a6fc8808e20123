//! What clients speak to: it finds the function, and has the program answer.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Uri, header};
use axum::response::IntoResponse;
use percent_encoding::percent_decode_str;
use tokio::net::TcpListener;

use super::app::Function;
use super::{Failure, Host, Mode, VERSION, envelope};

/// The largest body, in bytes.
const BODY: usize = 100 * 1024 * 1024;

/// What is about a connection, not about a request.
const OF_CONNECTION: [HeaderName; 6] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Serves clients.
pub(super) async fn serve(host: Arc<Host>, listener: TcpListener) {
    let router = Router::new().fallback(answer).with_state(host);
    let _never_ends = axum::serve(listener, router).await;
}

async fn answer(State(host): State<Arc<Host>>, request: Request) -> Response<Body> {
    let path = request.uri().path();
    if path == "/" && *request.method() == Method::GET {
        return (StatusCode::OK, "Your Functions app is up and running").into_response();
    }
    let Some((function, parameters)) = host.app.function(request.method().as_str(), path) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if !function.is_anonymous && !has_key(&host, &request) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let is_large = length(request.headers()).is_some_and(|length| length > BODY as u64);
    if is_large {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    }
    let id = uuid::Uuid::new_v4().to_string();
    let answered = async {
        match (host.app.mode, function.is_http_only) {
            (Mode::Proxying, true) => proxied(&host, request, &id).await,
            (Mode::Forwarding, true) => forwarded(&host, request, &id).await,
            _ => envelope::answer(&host, function, request, parameters).await,
        }
    };
    match tokio::time::timeout(host.timeout, answered).await {
        Ok(Ok(response)) => response,
        Ok(Err(failure)) => failed(&host, function, &failure),
        Err(_elapsed) => StatusCode::GATEWAY_TIMEOUT.into_response(),
    }
}

/// A request as it is, but for the names of the invocation and the host.
async fn proxied(host: &Host, mut request: Request, id: &str) -> Result<Response<Body>, Failure> {
    let headers = request.headers_mut();
    // The body's own length or its pieces tell how it is sent on.
    headers.remove(header::TRANSFER_ENCODING);
    for name in OF_CONNECTION {
        headers.remove(name);
    }
    for (name, value) in names(id) {
        headers.insert(name, value);
    }
    *request.version_mut() = axum::http::Version::HTTP_11;
    host.program.send(request).await.map(without_connection).map_err(Failure)
}

/// A request that is made anew from what is known of it.
async fn forwarded(host: &Host, request: Request, id: &str) -> Result<Response<Body>, Failure> {
    let (parts, body) = request.into_parts();
    let has_length = length(&parts.headers).is_some_and(|length| length > 0);
    let mut forwarded = Request::new(if has_length { body } else { Body::empty() });
    *forwarded.method_mut() = parts.method;
    let mut uri = parts.uri.path().to_owned();
    for (number, (name, value)) in query(&parts.uri).iter().enumerate() {
        uri += if number == 0 { "?" } else { "&" };
        encode(&mut uri, name);
        uri += "=";
        encode(&mut uri, value);
    }
    *forwarded.uri_mut() =
        uri.parse().map_err(|_malformed| Failure("the address is none".to_owned()))?;
    let headers = forwarded.headers_mut();
    *headers = parts.headers;
    for name in OF_CONNECTION {
        headers.remove(name);
    }
    if !has_length {
        headers.remove(header::CONTENT_LENGTH);
    }
    for (name, value) in names(id) {
        headers.append(name, value);
    }
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    let agent = format!("{} Azure-Functions-Host/{VERSION}", agent.unwrap_or_default());
    if let Ok(agent) = HeaderValue::try_from(agent.trim_start()) {
        headers.insert(header::USER_AGENT, agent);
    }
    host.program.send(forwarded).await.map(without_connection).map_err(Failure)
}

/// The headers that the host adds.
pub(super) fn names(id: &str) -> Vec<(HeaderName, HeaderValue)> {
    let header = |name, value: &str| Some((HeaderName::from_static(name), value.parse().ok()?));
    let names = [
        header("x-azure-functions-hostversion", VERSION),
        header("x-azure-functions-invocationid", id),
    ];
    names.into_iter().flatten().collect()
}

/// The query, decoded; the values of one name are joined by commas.
pub(super) fn query(uri: &Uri) -> BTreeMap<String, String> {
    let mut query = BTreeMap::<String, String>::new();
    let decoded =
        |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    for pair in pairs {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decoded(name), decoded(value));
        let joined = match query.get(&name) {
            Some(before) => format!("{before},{value}"),
            None => value,
        };
        query.insert(name, joined);
    }
    query
}

pub(super) fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
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

fn has_key(host: &Host, request: &Request) -> bool {
    let header = request.headers().get("x-functions-key");
    let header = header.is_some_and(|key| key.as_bytes() == host.key.as_bytes());
    header || query(request.uri()).get("code").is_some_and(|code| *code == host.key)
}

fn without_connection(mut response: Response<Body>) -> Response<Body> {
    for name in OF_CONNECTION {
        response.headers_mut().remove(name);
    }
    response
}

fn failed(host: &Host, function: &Function, failure: &Failure) -> Response<Body> {
    host.program.say(&format!("Executed 'Functions.{}' (Failed): {failure}", function.name));
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}
