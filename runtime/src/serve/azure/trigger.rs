//! What the host asks for by itself: because a time has come, or because there is a message.
//!
//! A timer sweeps. A message is posted where `AZURE_TRIGGERS` says, with what proves it there. What is
//! certain to be refused again is logged and done with; for everything else the invocation fails, so
//! that the host tries again as the trigger has it.
//!
//! <https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer>,
//! <https://learn.microsoft.com/azure/azure-functions/functions-bindings-error-pages>

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::layout::{Function, Kind, Layout, member};
use super::{Handler, Invocation, pass};
use crate::serve::{SWEEP, Trigger};

/// Answers the host that asks for something by itself.
pub(super) async fn answer(
    handler: &Handler,
    function: &Function,
    (data, metadata): (&BTreeMap<String, Value>, &Value),
    trace: HeaderMap,
    invocation: Option<Invocation>,
) -> Response {
    if !handler.layout.sealed {
        return refused(
            function,
            "a client could have sent this, too: set extensions.http.routePrefix in host.json to \
             something, such as api, and FUNCTIONS_APP_ROOT_PATH to its folder, if the host does not",
        );
    }
    let is_timer = match function.trigger {
        Some(kind) => kind == Kind::Timer,
        None => data.values().any(is_timer),
    };
    let request = if is_timer {
        swept(data, metadata)
    } else {
        match message(&handler.layout, function, data, metadata, invocation.as_ref()) {
            Ok(request) => request,
            Err(reason) => return refused(function, reason),
        }
    };
    let mut request = request;
    request.headers_mut().extend(trace);
    if let Some(invocation) = invocation {
        request.extensions_mut().insert(invocation);
    }
    let response = pass(handler.router.clone(), request).await;
    let status = response.status();
    let log = format!("{} was answered with {}", function.name, status.as_u16());
    // Nobody can mend these; a token or a project may come to be right.
    let for_good = [
        StatusCode::BAD_REQUEST,
        StatusCode::PAYLOAD_TOO_LARGE,
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        StatusCode::UNPROCESSABLE_ENTITY,
    ];
    let is_done = !is_timer && for_good.contains(&status);
    if status.is_success() || is_done {
        if is_done {
            tracing::warn!(
                function = function.name,
                http.status = status.as_u16(),
                "a message was refused, and is not delivered again"
            );
        }
        return Json(json!({"Outputs": {}, "Logs": [log], "ReturnValue": null})).into_response();
    }
    tracing::error!(
        function = function.name,
        http.status = status.as_u16(),
        "what the host asked for failed"
    );
    // The host looks at nothing else.
    (StatusCode::INTERNAL_SERVER_ERROR, log).into_response()
}

/// Whether this is what a timer brings.
fn is_timer(value: &Value) -> bool {
    member(value, "IsPastDue").is_boolean() || !member(value, "Schedule").is_null()
}

/// The request to sweep.
fn swept(data: &BTreeMap<String, Value>, metadata: &Value) -> Request {
    let status = data.values().map(|timer| member(timer, "ScheduleStatus"));
    // The next time, as it was known before this one came.
    let next = status.filter_map(|status| moment(member(status, "Next"))).next();
    let time = next.or_else(|| moment(member(member(metadata, "sys"), "UtcNow")));
    let mut request = Request::new(Body::empty());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_static(SWEEP);
    request.extensions_mut().insert(Trigger::Schedule { time });
    request
}

/// A moment, in UTC where it does not say; the first of all is none.
fn moment(value: &Value) -> Option<Timestamp> {
    let text = value.as_str()?;
    let local = || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok();
    let moment = text.parse().ok().or_else(|| local().map(|zoned| zoned.timestamp()))?;
    (moment > Timestamp::UNIX_EPOCH).then_some(moment)
}

/// The request that a message is.
pub(super) fn message(
    layout: &Layout,
    function: &Function,
    data: &BTreeMap<String, Value>,
    metadata: &Value,
    invocation: Option<&Invocation>,
) -> Result<Request, &'static str> {
    let mut known = layout.triggers.iter();
    let path = known.find(|(name, _)| name.eq_ignore_ascii_case(&function.name));
    let (_, path) = path.ok_or("AZURE_TRIGGERS does not say where its messages are posted")?;
    let value = data.values().next().ok_or("the envelope's Data is empty")?;
    let body = text(value);
    let names = ["MessageId", "Id"].map(|name| member(metadata, name).as_str());
    let named = names.into_iter().flatten().find(|id| !id.is_empty());
    let id = named.or(invocation.map(|Invocation(id)| id.as_str())).unwrap_or_default().to_owned();
    let mut request = Request::new(Body::from(body.clone()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() =
        path.expose_secret().parse().map_err(|_malformed| "its path in AZURE_TRIGGERS is none")?;
    let kind = match serde_json::from_str::<Value>(&body) {
        Ok(json) if !member(&json, "specversion").is_null() => "application/cloudevents+json",
        _ => "application/json",
    };
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    // An invocation's id is another one when it is tried again, so it says nothing of the message.
    for (name, id) in [("idempotency-key", named.unwrap_or_default()), ("x-request-id", &id)] {
        if let Ok(value) = HeaderValue::try_from(id)
            && !id.is_empty()
        {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    request.extensions_mut().insert(Trigger::Message { id });
    Ok(request)
}

/// What a message says. The host writes a text as JSON, in which it is a text again.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => match serde_json::from_str(text) {
            Ok(Value::String(inner)) => inner,
            _ => text.clone(),
        },
        value => value.to_string(),
    }
}

/// What the host is told where nothing is done.
fn refused(function: &Function, reason: &'static str) -> Response {
    tracing::error!(function = function.name, reason, "a trigger was refused");
    let body = json!({"status": "not found", "reason": reason});
    (StatusCode::NOT_FOUND, Json(body)).into_response()
}
