//! Errors as the Kubernetes API answers them: a `Status` with code, reason, message and details.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};

use crate::resources::Resource;

/// One failed request.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) code: u16,
    pub(crate) reason: Cow<'static, str>,
    pub(crate) message: String,
    pub(crate) details: Option<Value>,
    /// For a list that can be continued although its snapshot is gone.
    pub(crate) continuation: Option<String>,
}

/// One fault of an object's fields; several make one 422.
#[derive(Debug, Clone)]
pub(crate) struct FieldError {
    pub(crate) reason: &'static str,
    pub(crate) field: String,
    pub(crate) message: String,
}

impl FieldError {
    pub(crate) fn required(field: impl Into<String>, detail: &str) -> Self {
        let message = if detail.is_empty() {
            "Required value".to_owned()
        } else {
            format!("Required value: {detail}")
        };
        FieldError { reason: "FieldValueRequired", field: field.into(), message }
    }

    /// `value` is printed as JSON, as the real server prints it.
    pub(crate) fn invalid(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        let message = format!("Invalid value: {value}: {detail}");
        FieldError { reason: "FieldValueInvalid", field: field.into(), message }
    }

    /// `value` is printed as it is.
    pub(crate) fn invalid_text(field: impl Into<String>, value: &str, detail: &str) -> Self {
        let message = format!("Invalid value: {value}: {detail}");
        FieldError { reason: "FieldValueInvalid", field: field.into(), message }
    }

    pub(crate) fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        let message = format!("Forbidden: {detail}");
        FieldError { reason: "FieldValueForbidden", field: field.into(), message }
    }

    pub(crate) fn duplicate(field: impl Into<String>, value: &Value) -> Self {
        let message = format!("Duplicate value: {value}");
        FieldError { reason: "FieldValueDuplicate", field: field.into(), message }
    }

    pub(crate) fn unknown(field: impl Into<String>, value: &Value) -> Self {
        let message = format!("Not found: {value}");
        FieldError { reason: "FieldValueNotFound", field: field.into(), message }
    }

    pub(crate) fn too_long(field: impl Into<String>, limit: usize) -> Self {
        let message = format!("Too long: may not be more than {limit} bytes");
        FieldError { reason: "FieldValueTooLong", field: field.into(), message }
    }

    pub(crate) fn unsupported(field: impl Into<String>, value: &Value, allowed: &[&str]) -> Self {
        let allowed: Vec<String> = allowed.iter().map(|one| format!("{one:?}")).collect();
        let message =
            format!("Unsupported value: {value}: supported values: {}", allowed.join(", "));
        FieldError { reason: "FieldValueNotSupported", field: field.into(), message }
    }
}

impl Failure {
    pub(crate) fn new(
        code: u16,
        reason: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Failure {
            code,
            reason: reason.into(),
            message: message.into(),
            details: None,
            continuation: None,
        }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Failure::new(400, "BadRequest", message)
    }

    /// A fault of the server's own making; the real one gives no reason with many of its 500s.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Failure::new(500, "", message)
    }

    /// A 500 that is somebody else's fault, and says so.
    pub(crate) fn internal_error(why: &str) -> Self {
        let mut failure =
            Failure::new(500, "InternalError", format!("Internal error occurred: {why}"));
        failure.details = Some(json!({"causes": [{"message": why}]}));
        failure
    }

    pub(crate) fn not_found(resource: &Resource, name: &str) -> Self {
        Failure::new(404, "NotFound", format!("{} {name:?} not found", resource.qualified()))
            .about(resource, name)
    }

    pub(crate) fn already_exists(resource: &Resource, name: &str) -> Self {
        let message = format!("{} {name:?} already exists", resource.qualified());
        Failure::new(409, "AlreadyExists", message).about(resource, name)
    }

    pub(crate) fn conflict(resource: &Resource, name: &str, why: &str) -> Self {
        let message =
            format!("Operation cannot be fulfilled on {} {name:?}: {why}", resource.qualified());
        Failure::new(409, "Conflict", message).about(resource, name)
    }

    pub(crate) fn modified(resource: &Resource, name: &str) -> Self {
        Failure::conflict(
            resource,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    pub(crate) fn forbidden(resource: &Resource, name: &str, why: &str) -> Self {
        let message = format!("{} {name:?} is forbidden: {why}", resource.qualified());
        Failure::new(403, "Forbidden", message).about(resource, name)
    }

    /// A 403 about a resource that need not exist, or about a path where there is none.
    pub(crate) fn forbidden_about(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let qualified =
            if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") };
        let message = match (qualified.as_str(), name) {
            ("", _) => format!("forbidden: {why}"),
            (_, "") => format!("{qualified} is forbidden: {why}"),
            _ => format!("{qualified} {name:?} is forbidden: {why}"),
        };
        let mut failure = Failure::new(403, "Forbidden", message);
        failure.details = Some(details(group, resource, name));
        failure
    }

    /// The proof of who asks is none.
    pub(crate) fn unauthorized() -> Self {
        Failure::new(401, "Unauthorized", "Unauthorized")
    }

    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Failure::new(410, "Expired", message)
    }

    pub(crate) fn method_not_allowed() -> Self {
        Failure::new(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )
        .without_details()
    }

    /// A path that names no resource.
    pub(crate) fn no_resource() -> Self {
        Failure::new(404, "NotFound", "the server could not find the requested resource")
            .without_details()
    }

    /// The disk did not take a change, so it was not made.
    pub(crate) fn unwritable() -> Self {
        Failure::new(500, "InternalError", "the change could not be written to disk")
    }

    /// Some answers of the real server carry details that say nothing.
    pub(crate) fn without_details(mut self) -> Self {
        self.details = Some(Value::Object(Map::new()));
        self
    }

    /// A 422 about an object of a kind.
    pub(crate) fn invalid(resource: &Resource, name: &str, errors: &[FieldError]) -> Self {
        Failure::invalid_kind(&resource.group, &resource.kind, name, errors)
    }

    /// A 422 about an object or about options, by group and kind.
    pub(crate) fn invalid_kind(group: &str, kind: &str, name: &str, errors: &[FieldError]) -> Self {
        let qualified = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
        let mut texts: Vec<String> = Vec::new();
        for error in errors {
            let text = format!("{}: {}", error.field, error.message);
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let list = match texts.as_slice() {
            [one] => one.clone(),
            _ => format!("[{}]", texts.join(", ")),
        };
        let mut details = details(group, kind, name);
        details["causes"] = errors
            .iter()
            .map(|error| {
                json!({"reason": error.reason, "message": error.message, "field": error.field})
            })
            .collect();
        Failure {
            code: 422,
            reason: "Invalid".into(),
            message: format!("{qualified} {name:?} is invalid: {list}"),
            details: Some(details),
            continuation: None,
        }
    }

    /// Says which object the failure is about.
    pub(crate) fn about(mut self, resource: &Resource, name: &str) -> Self {
        self.details = Some(details(&resource.group, &resource.plural, name));
        self
    }

    /// Asks the client to come again after some seconds.
    pub(crate) fn retry_after(mut self, seconds: u32) -> Self {
        let details = self.details.get_or_insert_with(|| Value::Object(Map::new()));
        details["retryAfterSeconds"] = json!(seconds);
        self
    }

    /// The `Status` object.
    pub(crate) fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "code": self.code,
        });
        if !self.reason.is_empty() {
            status["reason"] = json!(self.reason);
        }
        if let Some(details) = &self.details {
            status["details"] = details.clone();
        }
        if let Some(continuation) = &self.continuation {
            status["metadata"]["continue"] = json!(continuation);
        }
        status
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let code = StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private")),
        ];
        let mut response = (code, headers, self.status().to_string()).into_response();
        let wait = self.details.as_ref().and_then(|details| details["retryAfterSeconds"].as_u64());
        if let Some(wait) = wait {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait));
        }
        response
    }
}

fn details(group: &str, kind: &str, name: &str) -> Value {
    let mut details = Map::new();
    if !name.is_empty() {
        details.insert("name".into(), json!(name));
    }
    if !group.is_empty() {
        details.insert("group".into(), json!(group));
    }
    if !kind.is_empty() {
        details.insert("kind".into(), json!(kind));
    }
    Value::Object(details)
}
