//! Receives the webhooks of Bitbucket, in the cloud and of Data Center.
//!
//! - Route: `POST /events/bitbucket`; the project is the one named like the body's
//!   `repository.full_name`, or `<key of the project>/<slug>` from Data Center
//! - Proof: `X-Hub-Signature: sha256=...` with the project's `sharedSecret`, else
//!   `DEFAULT_SHARED_SECRET`. With `BITBUCKET_ALLOW_HOOK_UUID`, a delivery without a signature is
//!   proved by an `X-Hook-UUID` that is the secret, as in Brigade
//! - Events of the cloud, named as in Brigade: `push`, `repo:commit_comment_created`,
//!   `repo:commit_status_created`, `repo:commit_status_updated`, `issue:...`, `pullrequest:...`
//! - Events of Data Center: `push` (its `repo:refs_changed`), `repo:comment:added` and the like,
//!   `pr:opened`, `pr:merged`, `pr:comment:added` and the like. Any other of either, such as
//!   `repo:fork`, is built only where `filters.events` names it. A test is answered and not built
//! - `X-Event-Key` is not signed: the body's own `eventKey` wins, and where it has none, the body must
//!   be of the form that the header says
//! - Revision: for each branch or tag of a push, a build of its own (Brigade: only for the first); the
//!   reference is the bare name in the cloud, as in Brigade, and the full one from Data Center. The
//!   head of the pull request, by its branch or as `refs/pull-requests/<number>/from`; where it was
//!   merged in the cloud, the merge. The commit that a status is about; that of a comment
//!   in the cloud only with `allowForks`. Else `master`, as in Brigade
//! - Identity: the body, and for a push the branch or the tag. Where a branch comes to be at a commit
//!   from the same one twice, the cloud may send equal bodies, and the second is a duplicate
//! - Limits: 25 MiB, the first 200 branches and tags of a push. Deleted ones are skipped. So is a pull request
//!   from a fork, since Bitbucket does not say how far its author is trusted, unless the project has
//!   `allowForks`
//!
//! <https://support.atlassian.com/bitbucket-cloud/docs/event-payloads/>,
//! <https://confluence.atlassian.com/bitbucketserver/event-payload-938025882.html>

use axum::Router;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::routing::post;
use jiff::Timestamp;
use runtime::project::Project;
use runtime::signature::{self, scheme};

use self::translation::translate;
use crate::answer::Answer;
use crate::app::App;
use crate::body;
use crate::host;
use crate::host::writer::{self, Host};
use crate::rejection::Rejection;

mod translation;

#[cfg(test)]
mod tests;

/// This function's routes.
pub(crate) fn routes() -> Router<App> {
    Router::new().route("/events/bitbucket", post(receive))
}

async fn receive(State(app): State<App>, request: Request) -> Result<Answer, Rejection> {
    let deadline = app.deadline();
    let (parts, signed) = body::read(request, host::LIMIT, deadline).await?;
    if body::media_type(&parts.headers).as_deref() != Some("application/json") {
        return Err(Rejection::Unsupported { reason: "the Content-Type must be application/json" });
    }
    let key = signature::single(&parts.headers, "x-event-key").ok();
    let key = key.and_then(|key| key.to_str().ok()).unwrap_or_default().to_owned();

    // Prove. Only what leads to the secret is read before that.
    let json = body::without_mark(signed.clone());
    let Some(project) = translation::project(&json)? else {
        if key == "diagnostics:ping" {
            return Ok(Answer::passed("status", "pong", "nothing is built for a ping", None));
        }
        return Ok(host::without_project());
    };
    let project = app.project(&project, deadline).await?;
    prove(&app, &project, &parts.headers, &signed)?;
    writer::must_be(Some(Host::Bitbucket), &json)?;
    drop(parts);

    // Translate.
    let meaning = translate(&key, json, project.allow_forks)?;

    // Act.
    host::act(&app, deadline, &project, meaning).await
}

fn prove(app: &App, project: &Project, headers: &HeaderMap, body: &[u8]) -> Result<(), Rejection> {
    let secrets = host::secrets(app, project);
    let is_signed = headers.contains_key(scheme::BITBUCKET.header);
    let proved = if app.settings.bitbucket_allow_hook_uuid && !is_signed {
        signature::verify_header(&secrets, headers, "x-hook-uuid")
    } else {
        // It signs no moment, so none is needed.
        scheme::BITBUCKET.verify(&secrets, headers, body, Timestamp::UNIX_EPOCH)
    };
    proved.map_err(|error| {
        let wrong = "X-Hub-Signature must be the signature of the body with the project's secret";
        host::refusal(error, wrong)
    })
}
