//! Has builds swept when the host's own timer asks for it.
//!
//! - Route: any method at `/triggers/sweep` ([`serve::SWEEP`]), from the host alone: whoever asks over
//!   HTTP is told that there is nothing there
//! - Proof: [`Trigger::Schedule`] among the request's extensions, which no client can add
//! - What it makes: one pod for each time of the timer, which runs `worker sweep`, and none while an
//!   earlier one has not ended; those that have are deleted
//!
//! <https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-targets-templated.html>,
//! <https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer>

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Json, Router};
use jiff::Timestamp;
use jiff::{TimestampRound, Unit};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use runtime::cluster::{Cluster, ClusterError};
use runtime::serve::{self, Trigger};
use runtime::sweep_pod;
use serde_json::json;

use crate::app::App;
use crate::delivery::Record;
use crate::rejection::{Rejection, chain};

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
    let cluster = app.cluster.with_deadline(deadline);
    let name = pod.name_any();
    let (over, others) = earlier(&cluster, &name).await?;
    let (outcome, reason, name) = match others.first() {
        Some(other) => ("ignored", "an earlier pod has not ended", other.name_any()),
        None if cluster.create_sweeper(&pod).await? => ("made", "the pod sweeps", name),
        None => ("duplicate", "the timer called before, and has its pod", name),
    };
    // The next time does what this one cannot.
    for pod in &over {
        if let Err(error) = cluster.delete_this_pod(pod).await {
            tracing::warn!(
                pod = pod.name_any(),
                error = chain(&error),
                "a pod that has swept stays"
            );
            break;
        }
    }
    let record = Record { outcome, reason: reason.to_owned(), ..Record::default() };
    let duplicate = outcome == "duplicate";
    let told = json!({"status": "Success", "pod": name, "duplicate": duplicate, "reason": reason});
    let mut response = Json(told).into_response();
    response.extensions_mut().insert(record);
    Ok(response)
}

/// The pods of other times: those that sweep no more, and those that do or are going to. Who may make
/// such pods need not be one who may list them.
async fn earlier(cluster: &Cluster, name: &str) -> Result<(Vec<Pod>, Vec<Pod>), ClusterError> {
    let all = match cluster.sweepers().await {
        Ok(all) => all,
        Err(error) if error.is_passing() => return Err(error),
        Err(error) => {
            tracing::warn!(error = chain(&error), "earlier sweeps cannot be listed");
            return Ok((Vec::new(), Vec::new()));
        }
    };
    let now = Timestamp::now();
    let others = all.into_iter().filter(|pod| pod.name_any() != name);
    Ok(others.partition(|pod| sweep_pod::is_over(pod, now)))
}
