//! Serves what the program counts, to whoever the operator lets read it.
//!
//! - Route: `GET /metrics`
//! - Proof: none; `METRICS` says where it is served, which is nowhere by default

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use runtime::telemetry::metrics;

pub(crate) fn routes() -> Router {
    Router::new().route("/metrics", get(page))
}

async fn page() -> impl IntoResponse {
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::page())
}
