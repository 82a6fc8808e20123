//! Why a delivery was not taken: the only place where errors become status codes.
//!
//! The body is JSON: Brigade's own text as `status`, and beside it the `reason`, which says what
//! would be taken. What happened inside goes to the log, never to the sender.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use runtime::build::BuildError;
use runtime::cluster::ClusterError;
use serde_json::{Value, json};

use crate::delivery::Record;

/// When a sender may try again, in seconds, after 503.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// Why a delivery was not taken.
#[derive(Debug)]
pub(crate) enum Rejection {
    /// 400: the body is not what the sender's contract says.
    Malformed { status: &'static str, reason: String },
    /// 401, 403 or 500: nothing proves that the sender is who they claim to be.
    Unproved { code: StatusCode, status: &'static str, reason: &'static str },
    /// 403, 500 or 503: the host that sent it does not give what the event needs.
    Host { code: StatusCode, status: &'static str, reason: String },
    /// 404: there is no such project.
    UnknownProject,
    /// 404: there is nothing at this address.
    NotFound,
    /// 405: there is, but not for this method.
    MethodNotAllowed,
    /// 408: the body did not arrive in time.
    Slow,
    /// 413: the body is larger than a sender's may be, or than a build's.
    TooLarge { reason: String },
    /// 415: the body is in a form that is not read here.
    Unsupported { reason: &'static str },
    /// 422: the project does not say what it would have to for this.
    Unset { reason: String },
    /// 503: the cluster is away or slow, so nothing is certain. Trying again is safe.
    Away { build: Option<String>, error: Option<ClusterError> },
    /// 503: more is arriving at once than there is memory for. Trying again is safe.
    Busy,
    /// 500: a defect of this program, which the log tells of.
    Broken,
    /// 500: the cluster refused, or holds something that cannot be read.
    Refused { error: ClusterError },
}

impl Rejection {
    /// A body that cannot be read, in Brigade's words.
    pub(crate) fn malformed(reason: impl Into<String>) -> Rejection {
        Rejection::Malformed { status: "Malformed body", reason: reason.into() }
    }

    /// The status code.
    pub(crate) fn code(&self) -> StatusCode {
        match self {
            Rejection::Malformed { .. } => StatusCode::BAD_REQUEST,
            Rejection::Unproved { code, .. } | Rejection::Host { code, .. } => *code,
            Rejection::UnknownProject | Rejection::NotFound => StatusCode::NOT_FOUND,
            Rejection::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Rejection::Slow => StatusCode::REQUEST_TIMEOUT,
            Rejection::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Rejection::Unsupported { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Rejection::Unset { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Rejection::Away { .. } | Rejection::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Rejection::Broken | Rejection::Refused { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The `status` and the `reason` that the sender reads.
    pub(crate) fn words(&self) -> (&'static str, &str) {
        match self {
            Rejection::Malformed { status, reason } => (status, reason),
            Rejection::Unproved { status, reason, .. } => (status, reason),
            Rejection::Host { status, reason, .. } => (status, reason),
            Rejection::UnknownProject => {
                ("project not found", "no project has this name; names are case-sensitive")
            }
            Rejection::NotFound => ("not found", "nothing is served at this address"),
            Rejection::MethodNotAllowed => {
                ("method not allowed", "this address is served for another method")
            }
            Rejection::Slow => ("timeout", "the body did not arrive in time"),
            Rejection::TooLarge { reason } => ("too large", reason),
            Rejection::Unsupported { reason } => ("unsupported media type", reason),
            Rejection::Unset { reason } => ("not configured", reason),
            Rejection::Away { build: None, .. } => (
                "unavailable",
                "the cluster does not answer, so that nothing is certain: deliver again",
            ),
            Rejection::Away { build: Some(_), .. } => (
                "unavailable",
                "the build is kept, but it is not certain that it was started: deliver again",
            ),
            Rejection::Busy => ("unavailable", "too much is arriving at once: deliver again"),
            Rejection::Broken => ("internal error", "this is a defect; the log says where"),
            Rejection::Refused { error: ClusterError::Project(_) } => {
                ("project cannot be loaded", "the project's Secret is damaged; the log says how")
            }
            Rejection::Refused { .. } => {
                ("internal error", "the cluster refused; the log of the function says what")
            }
        }
    }

    /// The build that there is all the same.
    fn build(&self) -> Option<&String> {
        match self {
            Rejection::Away { build, .. } => build.as_ref(),
            _ => None,
        }
    }

    /// What the log is told, and the sender is not.
    pub(crate) fn error(&self) -> Option<String> {
        match self {
            Rejection::Away { error, .. } => error.as_ref().map(|error| chain(error)),
            Rejection::Host { reason, .. } => Some(reason.clone()),
            Rejection::Broken => Some("a panic, told of above".to_owned()),
            Rejection::Refused { error } => Some(chain(error)),
            _ => None,
        }
    }

    /// What the sender reads.
    pub(crate) fn body(&self) -> Value {
        let (status, reason) = self.words();
        let mut body = json!({"status": status, "reason": reason});
        if let Some(build) = self.build() {
            body["build"] = json!(build);
        }
        body
    }

    /// The response with this body: its code, and when to try again.
    pub(crate) fn response(&self, body: Value) -> Response {
        let mut response = (self.code(), Json(body)).into_response();
        if self.code() == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}

impl From<ClusterError> for Rejection {
    fn from(error: ClusterError) -> Rejection {
        match error {
            ClusterError::Build(error @ BuildError::TooLarge { .. }) => {
                Rejection::TooLarge { reason: error.to_string() }
            }
            error if error.is_passing() => Rejection::Away { build: None, error: Some(error) },
            error => Rejection::Refused { error },
        }
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        let record = Record {
            outcome: "refused",
            build: self.build().cloned(),
            reason: self.words().1.to_owned(),
            error: self.error(),
            unproved: matches!(self, Rejection::Unproved { .. }),
            ..Record::default()
        };
        let mut response = self.response(self.body());
        response.extensions_mut().insert(record);
        response
    }
}

/// An error and what caused it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
