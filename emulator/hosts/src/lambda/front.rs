//! What stands in front of a function: it makes an event of a client's request, and an answer for the
//! client of what the function says.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::serve::ListenerExt;
use serde_json::json;
use tokio::net::TcpListener;

use super::{Failure, Pool};

mod answer;
mod event;

/// How much of a body is read at all, in bytes.
const READ: usize = 64 * 1024 * 1024;

/// What stands in front of a function.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Front {
    /// An application load balancer, whose target group has lists of values for headers or has not.
    LoadBalancer {
        /// Whether it has.
        lists: bool,
    },
    /// A REST API of API Gateway, with a proxy integration at `/` and `/{proxy+}`.
    RestApi {
        /// The stage, which is the first part of every path.
        stage: String,
        /// Whether every body is binary, and so base64 (`binaryMediaTypes: ["*/*"]`).
        binary: bool,
    },
    /// An HTTP API of API Gateway, with the route `$default` and events of format 2.0.
    HttpApi {
        /// The stage, which is the first part of every path unless it is `$default`.
        stage: String,
    },
    /// A function URL.
    FunctionUrl,
}

impl Front {
    /// What the path of every request begins with.
    pub(super) fn base(&self) -> String {
        match self {
            Front::RestApi { stage, .. } => format!("/{stage}"),
            Front::HttpApi { stage } if stage != "$default" => format!("/{stage}"),
            _ => String::new(),
        }
    }

    /// The largest body of a request, in bytes.
    fn largest(&self) -> usize {
        match self {
            Front::LoadBalancer { .. } => 1024 * 1024,
            Front::RestApi { .. } | Front::HttpApi { .. } => 10 * 1024 * 1024,
            Front::FunctionUrl => super::PAYLOAD,
        }
    }

    /// How large all headers together may be, in bytes.
    fn largest_head(&self) -> usize {
        match self {
            Front::RestApi { .. } | Front::HttpApi { .. } => 10 * 1024,
            Front::LoadBalancer { .. } | Front::FunctionUrl => 64 * 1024,
        }
    }

    /// How long it waits for the function.
    fn patience(&self) -> Duration {
        Duration::from_secs(match self {
            Front::RestApi { .. } => 29,
            Front::HttpApi { .. } => 30,
            // They wait as long as a function may take.
            Front::LoadBalancer { .. } | Front::FunctionUrl => 900,
        })
    }

    /// What a client is told when there is no answer that could be passed on.
    fn broken(&self) -> Response {
        let (status, message) = match self {
            Front::LoadBalancer { .. } => return StatusCode::BAD_GATEWAY.into_response(),
            Front::RestApi { .. } => (StatusCode::BAD_GATEWAY, "Internal server error"),
            Front::HttpApi { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"),
            Front::FunctionUrl => {
                return (StatusCode::BAD_GATEWAY, "Internal Server Error").into_response();
            }
        };
        told(status, message)
    }

    /// What a client is told when the function does not answer in time.
    fn impatient(&self) -> Response {
        match self {
            Front::HttpApi { .. } => told(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"),
            Front::RestApi { .. } => {
                told(StatusCode::GATEWAY_TIMEOUT, "Endpoint request timed out")
            }
            _ => StatusCode::GATEWAY_TIMEOUT.into_response(),
        }
    }
}

/// Serves clients.
pub(super) async fn serve(pool: Arc<Pool>, listener: TcpListener) {
    let listener = listener.tap_io(|stream| {
        let _slower_without = stream.set_nodelay(true);
    });
    let router = Router::new().fallback(answer).with_state(pool);
    let _ends_with_the_function = axum::serve(listener, router).await;
}

async fn answer(State(pool): State<Arc<Pool>>, request: Request) -> Response {
    let (front, patience) = (pool.options.front.clone(), pool.options.patience);
    let (parts, body) = request.into_parts();
    if head(&parts.headers) > front.largest_head() {
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return told(status, "Request Header Fields Too Large");
    }
    // It is read to its end, so that the client hears why it is refused.
    let body = match to_bytes(body, READ).await {
        Ok(body) if body.len() <= front.largest() => body,
        _too_large => return too_large(),
    };
    let Some(event) = event::event(&front, &parts, &body) else {
        return match front {
            Front::RestApi { .. } => told(StatusCode::FORBIDDEN, "Missing Authentication Token"),
            _ => told(StatusCode::NOT_FOUND, "Not Found"),
        };
    };
    let invoked = pool.invoke(event.to_string().into());
    let patience = patience.unwrap_or(front.patience());
    match tokio::time::timeout(patience, invoked).await {
        Ok(Ok(answer)) => answer::answer(&front, &answer).unwrap_or_else(|| {
            tracing::warn!("the function's answer is not of the form that its front reads");
            front.broken()
        }),
        Ok(Err(failure)) => {
            tracing::warn!(error = %failure, "the function has failed");
            failed(&front, &failure)
        }
        Err(_elapsed) => front.impatient(),
    }
}

fn failed(front: &Front, failure: &Failure) -> Response {
    match (failure.kind.as_str(), front) {
        ("RequestTooLargeException", _) => too_large(),
        ("TooManyRequestsException", Front::FunctionUrl | Front::RestApi { .. }) => {
            told(StatusCode::TOO_MANY_REQUESTS, "Rate Exceeded.")
        }
        ("TooManyRequestsException", _) => {
            told(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable")
        }
        _ => front.broken(),
    }
}

/// How large the headers of a request are.
fn head(headers: &HeaderMap) -> usize {
    // With `: ` and the end of the line.
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

fn too_large() -> Response {
    told(StatusCode::PAYLOAD_TOO_LARGE, "Request Too Long")
}

fn told(status: StatusCode, message: &str) -> Response {
    (
        status,
        [("content-type", "application/json")],
        Body::from(json!({"message": message}).to_string()),
    )
        .into_response()
}
