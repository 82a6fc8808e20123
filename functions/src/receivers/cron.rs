//! Receives the calls of schedulers, each of which is an event of its schedule's.
//!
//! - Route: `POST /events/cron/{project}` with the project's id, or its name without a slash or with
//!   `%2F`, `POST /events/cron/{org}/{repository}`
//! - Proof: a token: `Authorization: Bearer <token>`, `Basic` with the token as its password or
//!   `Authorization: <token>`, `X-Registry-Token: <token>`, or `?token=<token>`. It is the project's
//!   `genericGatewaySecret`, or its `sharedSecret` if there is no such one
//! - Events: `cron` from the provider `cron`, and `cron:<schedule>` after it; `?event=` gives another
//!   name. The schedule is `?schedule=`, else Cloud Scheduler's job, EventBridge's rule or `schedule`
//!   in the body. The revision is `?ref=` and `?commit=`, else `ref` and `commit` in the body, else
//!   the repository's default branch. The body, whatever it is, is the payload. So there is
//!   everything that Brigade's chart `brigade-cron` had, but for a script of its own: a schedule
//!   runs the project's
//! - Identity: the event's name, the schedule, the revision and the time that it was scheduled for,
//!   so that a call that is made again makes nothing. The time is `?time=`, `X-CloudScheduler-ScheduleTime`,
//!   `ce-time`, or `time`, `scheduledTime` or `scheduled_time` in the body; without any, an
//!   `Idempotency-Key`; without that, every call is an event of its own
//! - Limits: 1 MiB
//!
//! <https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/>,
//! <https://cloud.google.com/scheduler/docs/reference/rest/v1/projects.locations.jobs>,
//! <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-api-destinations.html>,
//! <https://learn.microsoft.com/azure/connectors/connectors-native-http>

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::routing::post;
use runtime::signature;

use self::translation::{Asked, translate};
use crate::address::Address;
use crate::answer::Answer;
use crate::app::App;
use crate::body;
use crate::builds;
use crate::filter::{self, Seen};
use crate::proof;
use crate::rejection::Rejection;

mod translation;

#[cfg(test)]
mod tests;

/// The largest body that is read.
const LIMIT: usize = 1024 * 1024;

/// This function's routes.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/events/cron/{project}", post(receive))
        .route("/events/cron/{org}/{repository}", post(receive))
}

async fn receive(
    State(app): State<App>,
    Path(address): Path<Address>,
    request: Request,
) -> Result<Answer, Rejection> {
    let deadline = app.deadline();
    let takes = "each of `token`, `schedule`, `event`, `time`, `ref` and `commit` once";
    let asked: Asked = proof::query(request.uri(), takes)?;
    let (parts, body) = body::read(request, LIMIT, deadline).await?;

    // Prove.
    let (project, in_path) = address.parts();
    let project = app.project(&project, deadline).await?;
    let tokens = in_path.as_deref().into_iter().chain(asked.token.as_deref());
    let token = proof::bare_token(&parts.headers, tokens);
    let proved =
        token.and_then(|token| signature::verify_token(&proof::tokens(&project), token.as_deref()));
    proved.map_err(|error| {
        proof::refusal(
            error,
            "set the project's genericGatewaySecret",
            "the project's genericGatewaySecret must come in Authorization, as X-Registry-Token or \
             as ?token=",
        )
    })?;

    // Translate.
    let name = proof::name(&parts.headers, &["idempotency-key"])?;
    let event = translate(&asked, &parts.headers, name, body)?;
    let seen = Seen::of(&event.revision.reference);
    let event = match filter::take(&project, &["*".to_owned()], event, &seen) {
        Ok(event) => event,
        Err(reason) => return Ok(Answer::ignored(reason, Some(&project))),
    };

    // Act.
    let made = builds::make(&app, deadline, &project, event).await?;
    Ok(Answer::Made { status: "Success", made: Box::new(made) })
}
