//! From what a function says to the answer that its front gives a client.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::Front;

/// The largest answer that a load balancer passes on, in bytes.
const LOAD_BALANCER_LIMIT: usize = 1024 * 1024;

/// The answer, unless the front would not read it.
pub(super) fn answer(front: &Front, said: &[u8]) -> Option<Response<Body>> {
    let said: Value = serde_json::from_slice(said).ok()?;
    if matches!(front, Front::HttpApi { .. } | Front::FunctionUrl)
        && said.get("statusCode").is_none()
    {
        // Whatever it is, it is the body.
        let body = match said {
            Value::String(text) => text,
            other => other.to_string(),
        };
        return Response::builder()
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body))
            .ok();
    }
    let status = said.get("statusCode")?;
    let status = status.as_u64().or_else(|| status.as_str()?.parse().ok())?;
    let status = StatusCode::from_u16(u16::try_from(status).ok()?).ok()?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;

    let is_encoded = said.get("isBase64Encoded").and_then(Value::as_bool);
    let (single, lists) = (said.get("headers"), said.get("multiValueHeaders"));
    let chosen: Vec<&Value> = match front {
        Front::LoadBalancer { lists: has_lists } => {
            is_encoded?;
            describes(&said, status)?;
            vec![if *has_lists { lists? } else { single? }]
        }
        Front::RestApi { .. } => [single, lists].into_iter().flatten().collect(),
        Front::HttpApi { .. } | Front::FunctionUrl => single.into_iter().collect(),
    };
    for headers in chosen.into_iter().filter(|headers| !headers.is_null()) {
        for (name, values) in headers.as_object()? {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            response.headers_mut().remove(&name);
            let values = match values {
                Value::Array(values) => values.as_slice(),
                value => std::slice::from_ref(value),
            };
            for value in values {
                response.headers_mut().append(&name, text(value)?);
            }
        }
    }
    for cookie in said.get("cookies").and_then(Value::as_array).into_iter().flatten() {
        response.headers_mut().append(header::SET_COOKIE, text(cookie)?);
    }
    let body = match said.get("body") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(body)) if is_encoded == Some(true) => STANDARD.decode(body).ok()?,
        Some(Value::String(body)) => body.clone().into_bytes(),
        Some(_other) => return None,
    };
    if matches!(front, Front::LoadBalancer { .. }) && body.len() > LOAD_BALANCER_LIMIT {
        return None;
    }
    *response.body_mut() = Body::from(body);
    Some(response)
}

/// Whether the status has the words that it is given, if it is given any.
fn describes(said: &Value, status: StatusCode) -> Option<()> {
    match said.get("statusDescription") {
        None | Some(Value::Null) => Some(()),
        Some(words) => words.as_str()?.starts_with(&format!("{} ", status.as_u16())).then_some(()),
    }
}

fn text(value: &Value) -> Option<HeaderValue> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        _other => return None,
    };
    HeaderValue::try_from(text).ok()
}
