//! Has builds swept when the host's own timer asks for it.
//!
//! - Route: any method at `/triggers/sweep` ([`serve::SWEEP`]), from the host alone: whoever asks over
//!   HTTP is told that there is nothing there
//! - Proof: [`Trigger::Schedule`] among the request's extensions, which no client can add
//! - What it makes: one pod for each time of the timer, which runs `worker sweep`
//!
//! <https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-targets-templated.html>,
//! <https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer>

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Json, Router};
use jiff::Timestamp;
use jiff::{TimestampRound, Unit};
use kube::ResourceExt;
use runtime::serve::{self, Trigger};
use runtime::sweep_pod;
use serde_json::json;

use crate::app::App;
use crate::delivery::Record;
use crate::rejection::Rejection;

/// This function's routes.
pub(crate) fn routes() -> Router<App> {
    Router::new().route(serve::SWEEP, any(sweep))
}

async fn sweep(State(app): State<App>, request: Request) -> Result<Response, Rejection> {
    let Some(Trigger::Schedule { time }) = request.extensions().get() else {
        return Err(Rejection::NotFound);
    };
    let deadline = app.deadline();
    // A timer that does not say its time calls in the same minute if it calls again.
    let minute = || {
        let now = Timestamp::now();
        let round = TimestampRound::new().smallest(Unit::Minute).mode(jiff::RoundMode::Floor);
        now.round(round).unwrap_or(now)
    };
    let time = time.unwrap_or_else(minute);
    let pod = sweep_pod::pod(&app.settings, app.cluster.namespace(), time);
    let made = app.cluster.with_deadline(deadline).create_sweeper(&pod).await?;
    let (outcome, reason) = match made {
        true => ("made", "the pod sweeps"),
        false => ("duplicate", "the timer called before, and has its pod"),
    };
    let record = Record { outcome, reason: reason.to_owned(), ..Record::default() };
    let told = json!({"status": "Success", "pod": pod.name_any(), "duplicate": !made});
    let mut response = Json(told).into_response();
    response.extensions_mut().insert(record);
    Ok(response)
}
