//! Receives GitLab's webhooks: of projects, of groups, and system hooks.
//!
//! - Route: `POST /events/gitlab`; the project is the one named like the body's
//!   `project.path_with_namespace`
//! - Proof: with the project's `sharedSecret`, else `DEFAULT_SHARED_SECRET`. A secret that begins
//!   with `whsec_` is a signing token: where GitLab signs (`webhook-signature`), only a signature that
//!   fits and is less than five minutes old counts. Any other is the secret token, `X-Gitlab-Token`
//! - Events: named as in Brigade, with what happened behind a colon:
//!
//!   | GitLab's `object_kind` | event | behind the colon |
//!   |---|---|---|
//!   | `push` | `push` | |
//!   | `tag_push` | `tag` | |
//!   | `merge_request` | `mergerequest` | the action: `open`, `update`, `merge`, ... |
//!   | `note`, also confidential | `comment` | the action: `create`, `update` |
//!   | `issue`, also confidential | `issue` | the action: `open`, `close`, ... |
//!   | `wiki_page` | `wikipage` | the action: `create`, ... |
//!   | `pipeline` | `pipeline` | the status: `success`, `failed`, ... |
//!   | `build` | `build` | the status: `created`, `running`, `success`, ... |
//!   | `deployment` | `deployment` | the status |
//!   | `release` | `release` | the action: `create`, ... |
//!
//!   Any other, such as `feature_flag` or a system hook's `project_create`, is itself an event, built
//!   only where `filters.events` names it. The header `X-Gitlab-Event` is not looked at
//! - Revision: the head of the merge request, as `refs/merge-requests/<number>/head` (Brigade: the
//!   default branch); what was pushed, released, or run by the pipeline; else the default branch. A
//!   comment on a commit is at the default branch, too: the commit may be a stranger's
//! - Identity: `webhook-id` where that is signed, else `Idempotency-Key`, which is as good as the token
//!   beside it; the same push may happen twice, and its body does not say when. From GitLab before
//!   17.4 the body
//! - Payload: the body (Brigade: a text that no script could read)
//! - Limits: 25 MiB. A repository that has no project is ignored. Deleted branches and tags are skipped. So is what comes from a fork, since GitLab
//!   does not say how far its author is trusted, unless the project has `allowForks`
//!
//! <https://docs.gitlab.com/user/project/integrations/webhook_events/>

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::routing::post;
use jiff::Timestamp;
use runtime::event::Identity;
use runtime::project::Project;
use runtime::signature;

use self::translation::translate;
use crate::answer::Answer;
use crate::app::App;
use crate::body;
use crate::host;
use crate::rejection::Rejection;

mod translation;

#[cfg(test)]
mod tests;

/// This function's routes.
pub(crate) fn routes() -> Router<App> {
    Router::new().route("/events/gitlab", post(receive))
}

async fn receive(State(app): State<App>, request: Request) -> Result<Answer, Rejection> {
    let deadline = app.deadline();
    let (parts, signed) = body::read(request, host::LIMIT, deadline).await?;
    if body::media_type(&parts.headers).as_deref() != Some("application/json") {
        return Err(Rejection::Unsupported { reason: "the Content-Type must be application/json" });
    }

    // Prove. Only what leads to the secret is read before that.
    let json = body::without_mark(signed.clone());
    let Some(project) = translation::project(&json)? else { return Ok(host::without_project()) };
    let project = match app.project(&project, deadline).await {
        // The hook of a group tells of all its repositories, and GitLab gives up a hook that is
        // refused forty times.
        Err(Rejection::UnknownProject) => {
            return Ok(Answer::ignored("no project has this name; names are case-sensitive", None));
        }
        found => found?,
    };
    prove(&app, &project, &parts.headers, &signed)?;

    // Translate.
    let identity = identity(&parts.headers, &signed);
    drop(parts);
    let meaning = translate(json, identity, project.allow_forks)?;

    // Act.
    host::act(&app, deadline, &project, meaning).await
}

fn prove(app: &App, project: &Project, headers: &HeaderMap, body: &[u8]) -> Result<(), Rejection> {
    let secrets = host::secrets(app, project);
    signature::verify_gitlab(&secrets, headers, body, Timestamp::now()).map_err(|error| {
        let wrong = "X-Gitlab-Token must be the project's sharedSecret, or webhook-signature the \
                     signature of the body with its signing token, of the last five minutes";
        host::refusal(error, wrong)
    })
}

/// What GitLab calls the same delivery however often it makes it.
fn identity(headers: &HeaderMap, body: &Bytes) -> Identity {
    let named = ["webhook-id", "idempotency-key"].into_iter().find_map(|name| {
        let value = signature::single(headers, name).ok()?.as_bytes();
        (1..=256).contains(&value.len()).then(|| Bytes::copy_from_slice(value))
    });
    Identity::Content(named.unwrap_or_else(|| body.clone()))
}
