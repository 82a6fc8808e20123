//! From a request to an answer: finding what the path means, and calling the verb.

mod body;
mod compress;
mod emit;
mod query;
mod target;
mod view;

use std::sync::Arc;

use axum::body::Body;
use axum::body::HttpBody;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::upgrade::OnUpgrade;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

pub(crate) use body::{Validation, decode, go_kind, parse, typed_raw, unrecognized, yaml};
pub(crate) use query::Query;
pub(crate) use target::{Path, Target, unescape};
pub(crate) use view::View;

use crate::access::User;
use crate::discovery;
use crate::failure::Failure;
use crate::faults::{Fault, When};
use crate::server::Shared;
use crate::verbs;

/// No request may be larger.
const BODY_LIMIT: usize = 3 * 1024 * 1024;

/// The media type of protobuf bodies.
pub(crate) const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// Marks the requests of a listener, to end them with it.
#[derive(Debug, Clone)]
pub(crate) struct Ending(pub(crate) CancellationToken);

/// One request, read.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Who asks.
    pub(crate) user: Arc<User>,
    /// The connection itself, for a client that wants another protocol on it.
    pub(crate) upgrade: Option<OnUpgrade>,
    /// Ends long answers: cancelled when the listener that the request came from shuts down.
    pub(crate) ended: CancellationToken,
}

impl Call {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The field manager: what the client says, else the first part of its user agent.
    pub(crate) fn manager(&self) -> String {
        if let Some(manager) = self.query.get("fieldManager").filter(|name| !name.is_empty()) {
            return manager.to_owned();
        }
        let agent = self.header("user-agent").split('/').next().unwrap_or_default();
        if agent.is_empty() { "unknown".to_owned() } else { agent.to_owned() }
    }
}

/// Answers a request; every failure is a `Status`.
pub(crate) async fn answer(shared: &Arc<Shared>, request: Request<Body>) -> Response {
    let fault = shared.faults.take(request.method(), request.uri().path());
    match fault {
        Some(fault) if fault.when == When::Before => failed(&fault).into_response(),
        Some(fault) => {
            drop(carry_out(shared, request).await);
            failed(&fault).into_response()
        }
        None => carry_out(shared, request).await,
    }
}

async fn carry_out(shared: &Arc<Shared>, mut request: Request<Body>) -> Response {
    let head = request.method() == Method::HEAD;
    if head && !is_object(shared, request.uri().path()) {
        *request.method_mut() = Method::GET;
    }
    let response = respond(shared, request).await;
    if head { response.map(|_| Body::empty()) } else { response }
}

/// Whether a path is below the API's objects, where HEAD is not allowed but for custom resources.
fn is_object(shared: &Shared, path: &str) -> bool {
    let Some(rest) = path.strip_prefix("/apis/") else { return path.starts_with("/api/v1/") };
    let group = rest.split('/').next().unwrap_or_default();
    rest.matches('/').count() > 1 && !shared.catalogue().is_custom(group)
}

async fn respond(shared: &Arc<Shared>, request: Request<Body>) -> Response {
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let yaml = accept.is_some_and(|accept| accept.trim_start().starts_with("application/yaml"));
    let gzip = compress::is_wanted(request.headers());
    let response = respond_json(shared, request).await;
    let response = if yaml { as_yaml(response).await } else { response };
    if gzip { compress::compress(response).await } else { response }
}

/// Puts a JSON answer into YAML; anything else, a watch for instance, stays as it is.
async fn as_yaml(response: Response) -> Response {
    let json = HeaderValue::from_static("application/json");
    let whole = response.body().size_hint().exact().is_some();
    if response.headers().get(header::CONTENT_TYPE) != Some(&json) || !whole {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let bytes = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => Bytes::new(),
    };
    let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let media = HeaderValue::from_static("application/yaml");
    parts.headers.insert(header::CONTENT_TYPE, media);
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(emit::emit(&value)))
}

async fn respond_json(shared: &Arc<Shared>, request: Request<Body>) -> Response {
    match read(shared, request).await {
        Ok((path, call)) => match dispatch(shared, &path, &call).await {
            Ok(response) => response,
            Err(failure) => failure.into_response(),
        },
        Err(failure) => refused(failure),
    }
}

/// The answer to a request that was not even read.
fn refused(failure: Failure) -> Response {
    let forbidden = failure.code == 403;
    let mut response = failure.into_response();
    if forbidden {
        let value = HeaderValue::from_static("nosniff");
        response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, value);
    }
    response
}

async fn read(shared: &Shared, request: Request<Body>) -> Result<(String, Call), Failure> {
    let (mut parts, body) = request.into_parts();
    let user = shared.access.admit(&shared.store, &parts)?;
    let body = match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            return Err(Failure::new(
                413,
                "RequestEntityTooLarge",
                format!("Request entity too large: limit is {BODY_LIMIT}"),
            ));
        }
        Err(_) => return Err(Failure::bad_request("the body of the request could not be read")),
    };
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let path = parts.uri.path().to_owned();
    let ended = parts.extensions.get::<Ending>().map(|ending| ending.0.clone());
    let call = Call {
        method: parts.method,
        query,
        headers: parts.headers,
        body,
        user,
        upgrade: parts.extensions.remove::<OnUpgrade>(),
        ended: ended.unwrap_or_default(),
    };
    Ok((path, call))
}

async fn dispatch(shared: &Arc<Shared>, path: &str, call: &Call) -> Result<Response, Failure> {
    match target::parse(&shared.catalogue(), path) {
        Path::Object(target) => {
            let response = verbs::run(shared, &target, call).await;
            match target.resource.custom.as_ref().and_then(|custom| custom.warning.clone()) {
                Some(warning) => {
                    let response = response.unwrap_or_else(IntoResponse::into_response);
                    Ok(warn(response, &[warning]))
                }
                None => response,
            }
        }
        Path::Unknown => Err(Failure::no_resource()),
        Path::Other => match discovery::answer(&shared.catalogue(), path, call) {
            Some(answer) => answer,
            None => Ok(shared.access.document(path, call).unwrap_or_else(no_page)),
        },
    }
}

/// A path that is none of the API's.
pub(crate) fn no_page() -> Response {
    let mut response = typed(404, "text/plain; charset=utf-8", "404 page not found\n");
    let value = HeaderValue::from_static("nosniff");
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, value);
    response
}

/// A JSON answer.
pub(crate) fn json(code: u16, body: impl Into<Bytes>) -> Response {
    typed(code, "application/json", body)
}

/// An answer of a media type.
pub(crate) fn typed(code: u16, media: &'static str, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Body::from(body.into()));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

/// Adds `Warning` headers to an answer.
pub(crate) fn warn(mut response: Response, warnings: &[String]) -> Response {
    for warning in warnings {
        let text = warning.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{text}\"")) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
    response
}

/// An object of no resource (reviews, statuses) as an answer.
pub(crate) fn plain(code: u16, object: &Value) -> Response {
    json(code, object.to_string())
}

fn failed(fault: &Fault) -> Failure {
    match fault.code {
        409 => Failure::new(
            409,
            "Conflict",
            "Operation cannot be fulfilled: the object has been modified; please apply your changes to the latest version and try again",
        ),
        429 => Failure::new(429, "TooManyRequests", "too many requests, please try again later")
            .retry_after(1),
        500 => Failure::new(500, "InternalError", "an error on the server was laid here"),
        503 => Failure::new(
            503,
            "ServiceUnavailable",
            "the server is currently unable to handle the request",
        ),
        504 => Failure::new(
            504,
            "Timeout",
            "Timeout: request did not complete within the allotted time",
        ),
        code => Failure::new(code, "", "an error was laid here"),
    }
}
