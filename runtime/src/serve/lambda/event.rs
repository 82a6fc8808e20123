//! From what stands in front of Lambda to a request: the same one that the client sent.
//!
//! | front | path | query | headers |
//! |---|---|---|---|
//! | function URL | as it was sent | as it was sent | in small letters, those of one name with commas between them, cookies apart |
//! | HTTP API, format 2.0 | decoded, with the stage before it unless that is `$default` | as it was sent | likewise |
//! | REST API, HTTP API with format 1.0 | without the stage; of the latter decoded, with it | decoded | all of a name in `multiValueHeaders` |
//! | load balancer | as it was sent | as it was sent, in maps | in `headers`, or in `multiValueHeaders` if the target group has them |
//!
//! What was decoded is encoded again where it must be. So `%2F` is a slash behind an HTTP API, and
//! what comes after `%3F` is cut off by it; nothing can be done about that here.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>,
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html>,
//! <https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html>,
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html>

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// How many headers a request may have, as on every host.
const MAX_HEADERS: usize = 100;

/// What stands for itself in a part of a query.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What a load balancer calls itself when it asks whether the function is well.
const HEALTH_CHECKER: &str = "ELB-HealthChecker/";

/// What stands in front of the function.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Front {
    /// An application load balancer, which has one value for each header, or lists of them.
    LoadBalancer { lists: bool },
    /// A REST API, or an HTTP API with events of format 1.0.
    Rest,
    /// An HTTP API, or a function URL.
    Http,
    /// A WebSocket API, which nothing is served to.
    WebSocket,
}

/// What the front says of itself.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Context {
    elb: Option<IgnoredAny>,
    http: Option<Http>,
    stage: Option<String>,
    path: Option<String>,
    connection_id: Option<String>,
    event_type: Option<String>,
    pub(super) request_id: Option<String>,
}

#[derive(Deserialize)]
struct Http {
    method: String,
}

type Texts = BTreeMap<String, Option<String>>;
type Lists = BTreeMap<String, Option<Vec<String>>>;

/// A request as all of the fronts write it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    http_method: Option<String>,
    path: Option<String>,
    raw_path: Option<String>,
    raw_query_string: Option<String>,
    query_string_parameters: Option<Texts>,
    multi_value_query_string_parameters: Option<Lists>,
    headers: Option<Texts>,
    multi_value_headers: Option<Lists>,
    cookies: Option<Vec<String>>,
    resource: Option<String>,
    route_key: Option<String>,
    path_parameters: Option<Texts>,
    #[serde(borrow)]
    body: Option<Cow<'a, str>>,
    is_base64_encoded: Option<bool>,
    request_context: Context,
}

/// Why an event is no request.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) reason: &'static str,
}

impl Front {
    /// The front that an event with this context is from; `http` says whether it names a method, and
    /// `lists` whether its headers are in lists.
    pub(super) fn of(context: &Context, http: bool, lists: bool) -> Option<Front> {
        match context {
            Context { elb: Some(_), .. } => Some(Front::LoadBalancer { lists }),
            Context { http: Some(_), .. } => Some(Front::Http),
            Context { connection_id: Some(_), event_type: Some(_), .. } => Some(Front::WebSocket),
            _ if http => Some(Front::Rest),
            _ => None,
        }
    }
}

/// The request that an event tells of.
pub(super) fn request(front: Front, json: &str) -> Result<Request<Bytes>, Refused> {
    if front == Front::WebSocket {
        return Err(refused("WebSockets are not served here: send requests by HTTP"));
    }
    let event: Event<'_> = serde_json::from_str(json)
        .map_err(|_unread| refused("the event of the API or the load balancer cannot be read"))?;
    let method = match (&event.request_context.http, &event.http_method) {
        (Some(http), _) if front == Front::Http => &http.method,
        (_, Some(method)) => method,
        _ => return Err(refused("the request has no method")),
    };
    let method = Method::from_bytes(method.as_bytes())
        .map_err(|_unread| refused("the request's method cannot be read"))?;
    let headers = headers(&event)?;
    let uri = uri(front, &event, &headers)?;
    let body = body(event.body, event.is_base64_encoded)?;
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok(request)
}

/// What X-Ray calls a trace, in the words of the header `traceparent`, if X-Ray keeps it: Lambda names
/// one for every invocation, and unless the function's tracing is active nobody would ever see it.
///
/// <https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader>
pub(super) fn traceparent(header: &str) -> Option<HeaderValue> {
    let part = |name: &str| {
        let mut parts = header.split(';').filter_map(|part| part.trim().split_once('='));
        parts.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    let is_hex = |text: &str, length| {
        text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let (version, rest) = part("Root")?.split_once('-')?;
    let (time, unique) = rest.split_once('-')?;
    let parent = part("Parent")?;
    if version != "1" || !is_hex(time, 8) || !is_hex(unique, 24) || !is_hex(parent, 16) {
        return None;
    }
    if part("Sampled") != Some("1") {
        return None;
    }
    let text = format!("00-{time}{unique}-{parent}-01").to_ascii_lowercase();
    HeaderValue::try_from(text).ok()
}

fn refused(reason: &'static str) -> Refused {
    Refused { status: StatusCode::BAD_REQUEST, reason }
}

fn headers(event: &Event<'_>) -> Result<HeaderMap, Refused> {
    // Where there are lists, the single values are the last ones of them.
    let lists = event.multi_value_headers.iter().flatten();
    let lists = lists.flat_map(|(name, values)| {
        values.iter().flatten().map(move |value| (name.as_str(), value.as_str()))
    });
    let single = event.headers.iter().flatten();
    let single = single.filter(|_| event.multi_value_headers.is_none());
    let single = single.filter_map(|(name, value)| Some((name.as_str(), value.as_deref()?)));
    let mut headers = HeaderMap::new();
    for (name, value) in lists.chain(single) {
        let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value.as_bytes()))
        else {
            return Err(refused("a header of the request cannot be read"));
        };
        if headers.len() == MAX_HEADERS {
            return Err(Refused {
                status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                reason: "the request has more than 100 headers",
            });
        }
        headers.append(name, value);
    }
    if let Some(cookies) = event.cookies.as_deref().filter(|cookies| !cookies.is_empty()) {
        let cookies = HeaderValue::try_from(cookies.join("; "));
        let cookies = cookies.map_err(|_unread| refused("the request's cookies cannot be read"))?;
        headers.insert(header::COOKIE, cookies);
    }
    Ok(headers)
}

fn body(body: Option<Cow<'_, str>>, is_encoded: Option<bool>) -> Result<Bytes, Refused> {
    let body = body.unwrap_or_default();
    if is_encoded == Some(true) {
        let decoded = STANDARD.decode(body.as_bytes());
        return decoded
            .map(Bytes::from)
            .map_err(|_unread| refused("the request's body is said to be base64, and is not"));
    }
    Ok(body.into_owned().into())
}

fn uri(front: Front, event: &Event<'_>, headers: &HeaderMap) -> Result<Uri, Refused> {
    let path = match front {
        Front::Http => event.raw_path.as_deref(),
        _ => event.path.as_deref(),
    };
    let path = path.filter(|path| !path.is_empty()).unwrap_or("/");
    if !path.starts_with('/') {
        return Err(refused("the request's path does not begin with a slash"));
    }
    let path = match front {
        Front::LoadBalancer { .. } => asked_for(path, headers),
        _ => without_base(without_stage(event, path), event),
    };
    let query = match front {
        Front::Http => event.raw_query_string.clone().unwrap_or_default(),
        _ => query(front, event),
    };
    let mut text = String::new();
    escape(path, "", &mut text);
    if !query.is_empty() {
        text.push('?');
        escape(&query, "?", &mut text);
    }
    PathAndQuery::try_from(text).map(Uri::from).map_err(|_too_long| Refused {
        status: StatusCode::URI_TOO_LONG,
        reason: "the request's address is too long",
    })
}

/// The path that a load balancer asks for: unless another is set, the root of the function is where
/// it asks whether the function is well.
fn asked_for<'a>(path: &'a str, headers: &HeaderMap) -> &'a str {
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    let asks = agent.is_some_and(|agent| agent.starts_with(HEALTH_CHECKER));
    if asks && path == "/" { "/healthz" } else { path }
}

/// The path without the stage of the API, which is before it at the API's own name.
fn without_stage<'a>(event: &Event<'_>, path: &'a str) -> &'a str {
    let context = &event.request_context;
    let Some(stage) = context.stage.as_deref().filter(|stage| *stage != "$default") else {
        return path;
    };
    // Of a REST API the stage is in the context's path alone.
    let is_in_context_alone = context.http.is_none() && context.path.as_deref() != Some(path);
    if is_in_context_alone {
        return path;
    }
    match path.strip_prefix('/').and_then(|rest| rest.strip_prefix(stage)) {
        Some("") => "/",
        Some(rest) if rest.starts_with('/') => rest,
        _ => path,
    }
}

/// The path without that of the mapping of a domain's own name, which is known where the API's route
/// says what comes after it: `/{proxy+}`.
fn without_base<'a>(path: &'a str, event: &Event<'_>) -> &'a str {
    let route = match (&event.resource, &event.route_key) {
        (Some(resource), _) => resource.as_str(),
        (None, Some(key)) => key.split_once(' ').map_or("", |(_method, route)| route),
        (None, None) => "",
    };
    let Some(parameters) = event.path_parameters.as_ref().filter(|_| route.contains('{')) else {
        return path;
    };
    let mut wanted = String::new();
    for part in route.split('/').skip(1) {
        let name = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
        let value = match name {
            None => part,
            Some(name) => {
                let name = name.strip_suffix('+').unwrap_or(name);
                parameters.get(name).and_then(Option::as_deref).unwrap_or_default()
            }
        };
        wanted.push('/');
        wanted.push_str(value.trim_start_matches('/'));
    }
    // Both may be encoded, or neither, or one of them.
    let decoded = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
    let wanted = decoded(&wanted);
    let mut starts = path.match_indices('/').map(|(start, _)| start);
    let start = starts.find(|start| decoded(&path[*start..]) == wanted);
    start.map_or(path, |start| &path[start..])
}

/// The query of those who have it in maps: a load balancer as it was sent, an API decoded.
fn query(front: Front, event: &Event<'_>) -> String {
    let lists = event.multi_value_query_string_parameters.iter().flatten();
    let lists = lists.flat_map(|(name, values)| {
        values.iter().flatten().map(move |value| (name.as_str(), value.as_str()))
    });
    let single = event.query_string_parameters.iter().flatten();
    let single = single.filter(|_| event.multi_value_query_string_parameters.is_none());
    let single = single.map(|(name, value)| (name.as_str(), value.as_deref().unwrap_or_default()));
    let mut query = String::new();
    for (name, value) in lists.chain(single) {
        if !query.is_empty() {
            query.push('&');
        }
        let _always = match front {
            Front::LoadBalancer { .. } => write!(query, "{name}={value}"),
            _ => write!(
                query,
                "{}={}",
                utf8_percent_encode(name, QUERY),
                utf8_percent_encode(value, QUERY)
            ),
        };
    }
    query
}

/// Encodes what cannot be in an address as it is; what is encoded stays so.
fn escape(text: &str, more: &str, out: &mut String) {
    let bytes = text.as_bytes();
    for (place, byte) in bytes.iter().enumerate() {
        let is_hex = |place: usize| bytes.get(place).is_some_and(u8::is_ascii_hexdigit);
        let stays = match byte {
            b'%' => is_hex(place + 1) && is_hex(place + 2),
            byte => {
                byte.is_ascii_alphanumeric()
                    || b"-._~!$&'()*+,;=:@/".contains(byte)
                    || more.as_bytes().contains(byte)
            }
        };
        if stays {
            out.push(char::from(*byte));
        } else {
            let _always = write!(out, "%{byte:02X}");
        }
    }
}
