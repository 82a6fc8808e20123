//! The envelopes: what the host posts to the program, and what it makes of those that come back.

use std::collections::BTreeMap;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::app::{Function, member};
use super::{Failure, Host, VERSION, front};

/// The largest body or answer that is put into one, in bytes.
const LIMIT: usize = 100 * 1024 * 1024;

/// Answers a request by an envelope.
pub(super) async fn answer(
    host: &Host,
    function: &Function,
    request: Request,
    parameters: Map<String, Value>,
) -> Result<Response<Body>, Failure> {
    let (parts, body) = request.into_parts();
    let broken = |_early| Failure("the body did not arrive".to_owned());
    let bytes = match front::length(&parts.headers).is_some_and(|length| length > 0) {
        true => Some(to_bytes(body, LIMIT).await.map_err(broken)?),
        false => None,
    };
    let mut headers = BTreeMap::<&str, Vec<_>>::new();
    for (name, value) in &parts.headers {
        headers.entry(name.as_str()).or_default().push(String::from_utf8_lossy(value.as_bytes()));
    }
    let place = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let mut described = json!({
        "Url": format!("http://{}{}", place.unwrap_or_default(), parts.uri),
        "Method": parts.method.as_str(),
        "Query": front::query(&parts.uri),
        "Headers": headers,
        "Params": parameters,
        "Identities": [{
            "AuthenticationType": null,
            "IsAuthenticated": false,
            "Actor": null,
            "BootstrapContext": null,
            "Claims": [],
            "Label": null,
            "Name": null,
            "NameClaimType": "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name",
            "RoleClaimType": "http://schemas.microsoft.com/ws/2008/06/identity/claims/role",
        }],
    });
    if let Some(bytes) = bytes {
        described["Body"] = text(&parts.headers, &bytes).into();
    }
    let metadata = json!({"Headers": headers, "Query": front::query(&parts.uri)});
    let answer = invoke(host, function, json!({&function.input: described}), metadata).await?;
    let output = match function.output.as_deref() {
        None => return Ok(status(StatusCode::NO_CONTENT, Body::empty())),
        Some("$return") => member(&answer, "ReturnValue"),
        Some(name) => member(member(&answer, "Outputs"), name),
    };
    response(output)
}

/// Invokes a function: what it answers.
pub(super) async fn invoke(
    host: &Host,
    function: &Function,
    data: Value,
    metadata: Value,
) -> Result<Value, Failure> {
    let mut envelope = json!({"Data": data, "Metadata": metadata});
    envelope["Metadata"]["sys"] = json!({
        "MethodName": function.name,
        "UtcNow": jiff::Timestamp::now().to_string(),
        "RandGuid": uuid::Uuid::new_v4().to_string(),
    });
    // The host does not say how long it is.
    let pieces =
        futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from(envelope.to_string()))]);
    let mut request = Request::post(format!("/{}", function.name))
        .header(header::CONTENT_TYPE, "application/json; charset=utf-8")
        .header(header::USER_AGENT, format!("Azure-Functions-Host/{VERSION}"))
        .body(Body::from_stream(pieces))
        .map_err(|error| Failure(error.to_string()))?;
    request.headers_mut().extend(front::names(&uuid::Uuid::new_v4().to_string()));
    let response = host.program.send(request).await.map_err(Failure)?;
    let code = response.status();
    if !code.is_success() {
        return Err(Failure(format!(
            "Response status code does not indicate success: {}",
            code.as_u16()
        )));
    }
    let body = to_bytes(response.into_body(), LIMIT).await;
    let body = body.map_err(|_early| Failure("the answer did not arrive".to_owned()))?;
    let invalid = |_other| Failure("Invalid HttpResponseMessage: it is no envelope".to_owned());
    let answer: Value = serde_json::from_slice(&body).map_err(invalid)?;
    for line in member(&answer, "Logs").as_array().into_iter().flatten() {
        host.program.say(line.as_str().unwrap_or_default());
    }
    Ok(answer)
}

/// A body as the host writes it: bytes in base64, everything else as text, whatever it is.
fn text(headers: &HeaderMap, body: &[u8]) -> String {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or_default().to_ascii_lowercase();
    if kind.starts_with("application/octet-stream") || kind.contains("multipart/") {
        return STANDARD.encode(body);
    }
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    String::from_utf8_lossy(body).into_owned()
}

/// The answer that an output describes.
fn response(output: &Value) -> Result<Response<Body>, Failure> {
    let invalid = || {
        Failure("Output body should have 'StatusCode', 'Status', 'Body', and 'Headers'".to_owned())
    };
    let code = match (member(output, "statusCode"), member(output, "status")) {
        (Value::Null, Value::Null) => 200,
        (Value::Null, code) | (code, _) => {
            let text = code.as_str().map(str::to_owned).unwrap_or_else(|| code.to_string());
            text.parse().map_err(|_no_number| invalid())?
        }
    };
    let code = StatusCode::from_u16(code).map_err(|_no_code| invalid())?;
    let body = match member(output, "body") {
        Value::Null => Body::empty(),
        Value::String(text) => Body::from(text.clone()),
        value => Body::from(value.to_string()),
    };
    let mut response = status(code, body);
    for (name, value) in member(output, "headers").as_object().into_iter().flatten() {
        let name = HeaderName::try_from(name).map_err(|_no_name| invalid())?;
        let text = value.as_str().map(str::to_owned).unwrap_or_else(|| value.to_string());
        let value = HeaderValue::try_from(text).map_err(|_no_value| invalid())?;
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}

fn status(code: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    response
}
