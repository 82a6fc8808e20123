//! What hosts and operators ask of the functions themselves.
//!
//! - Routes: `GET /livez`, `/readyz` and `/healthz`; `GET /healthz/cluster`
//! - Proof: none; for `/healthz/cluster`, which is not served without it, `CHECK_TOKEN` as a bearer

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use runtime::cluster::rights::Part;
use runtime::cluster::{Report, Weight};
use runtime::signature::{self, Secrets};

use crate::app::App;
use crate::rejection::Rejection;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/healthz", get(healthy))
        .route("/healthz/cluster", get(cluster))
        .route("/livez", get(healthy))
        .route("/readyz", get(healthy))
}

/// Ready means able to answer: a delivery that meets no cluster is answered, too, by 503.
async fn healthy() -> (StatusCode, &'static str) {
    (StatusCode::OK, "OK")
}

/// What `functions check` says: 200 if nothing is missing, 503 otherwise.
async fn cluster(State(app): State<App>, headers: HeaderMap) -> Result<Response, Rejection> {
    let secrets = Secrets::of(&app.settings.cluster.check_token);
    if secrets.is_empty() {
        return Err(Rejection::NotFound);
    }
    let token = signature::authorization(&headers);
    let proved = token.and_then(|token| signature::verify_token(&secrets, token.as_deref()));
    proved.map_err(|_wrong| Rejection::Unproved {
        code: StatusCode::UNAUTHORIZED,
        status: "unauthorized",
        reason: "Authorization must be Bearer and the operator's CHECK_TOKEN",
    })?;
    let report: Report = app.cluster.check(Part::Functions, &app.settings).await;
    let code = match report.worst() {
        None | Some(Weight::Remark) => StatusCode::OK,
        Some(Weight::Missing | Weight::NoCluster) => StatusCode::SERVICE_UNAVAILABLE,
    };
    Ok((code, [(header::CACHE_CONTROL, "no-store")], Json(report)).into_response())
}
