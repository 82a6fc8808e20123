//! Answers whoever reads an answer as the next event, as brokers and channels of Knative do.
//!
//! They say so by `Prefer: reply`, and take any success with a body that is no CloudEvent for a
//! failure: they would deliver again what is long made. So a success has no body there; a refusal
//! has its own, since its status is all that they look at.
//!
//! <https://github.com/knative/specs/blob/main/specs/eventing/data-plane.md>

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;

/// Answers a request, without a body where that would be read as an event.
pub(crate) async fn none(request: Request, next: Next) -> Response {
    let read = is_read(request.headers());
    let response = next.run(request).await;
    if !read || !response.status().is_success() {
        return response;
    }
    let (mut parts, _body) = response.into_parts();
    for name in [header::CONTENT_LENGTH, header::CONTENT_TYPE] {
        parts.headers.remove(name);
    }
    Response::from_parts(parts, Body::empty())
}

/// Whether the sender reads the answer as an event.
fn is_read(headers: &HeaderMap) -> bool {
    let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let mut names = values.flat_map(|value| value.split(',')).map(|preference| {
        let name = preference.split([';', '=']).next().unwrap_or_default();
        name.trim()
    });
    names.any(|name| name.eq_ignore_ascii_case("reply"))
}
