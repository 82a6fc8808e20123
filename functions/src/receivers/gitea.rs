//! Receives the webhooks of Gitea, Forgejo and Gogs.
//!
//! - Route: `POST /events/gitea`; the project is the one named like the body's
//!   `repository.full_name`
//! - Proof: `X-Forgejo-Signature`, `X-Gitea-Signature`, `X-Gogs-Signature` or `X-Hub-Signature-256`,
//!   the first of them that there is, with the project's `sharedSecret`, else `DEFAULT_SHARED_SECRET`.
//!   What is signed is the JSON text, in a form, too. The member `secret` that Gogs and old Gitea send
//!   counts for nothing
//! - Events: named as GitHub names them: `push`, `create`, `pull_request`, `pull_request_review`,
//!   `issue_comment`, `issues`, `release`, each also as `<event>:<action>`; a review's action is
//!   `approved`, `rejected` or `comment`. Any other (`delete`, `fork`, `package`, `repository`,
//!   `status`, `wiki`, `workflow_job`, `workflow_run`) is built only where `filters.events` names it.
//!   The body decides which one it is, because `X-Gitea-Event` is not signed
//! - Revision: what was pushed, created or released; the head of the pull request, as
//!   `refs/pull/<number>/head`; else the default branch
//! - Identity: the JSON text, which is the payload, too
//! - Limits: 25 MiB. Deleted branches are skipped. So is a pull request from a fork, or one that was
//!   pushed to `refs/for/`, which takes no more than the right to read, since Gitea does
//!   not say how far its author is trusted, unless the project has `allowForks`
//!
//! <https://docs.gitea.com/usage/webhooks>, <https://forgejo.org/docs/latest/user/webhooks/>

use axum::Router;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::routing::post;
use jiff::Timestamp;
use runtime::project::Project;
use runtime::signature::scheme;

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
    Router::new().route("/events/gitea", post(receive))
}

async fn receive(State(app): State<App>, request: Request) -> Result<Answer, Rejection> {
    let deadline = app.deadline();
    let (parts, body) = body::read(request, host::LIMIT, deadline).await?;
    let signed = match body::media_type(&parts.headers).as_deref() {
        Some("application/json") => body,
        Some("application/x-www-form-urlencoded") => body::form_payload(&body)?,
        _ => {
            return Err(Rejection::Unsupported {
                reason: "the Content-Type must be application/json or \
                         application/x-www-form-urlencoded",
            });
        }
    };

    // Prove. Only what leads to the secret is read before that.
    let json = body::without_mark(signed.clone());
    let Some(project) = translation::project(&json)? else { return Ok(host::without_project()) };
    let project = app.project(&project, deadline).await?;
    prove(&app, &project, &parts.headers, &signed)?;
    writer::must_be(Some(Host::Gitea), &json)?;
    drop(parts);

    // Translate.
    let meaning = translate(json, project.allow_forks)?;

    // Act.
    host::act(&app, deadline, &project, meaning).await
}

fn prove(
    app: &App,
    project: &Project,
    headers: &HeaderMap,
    signed: &[u8],
) -> Result<(), Rejection> {
    let schemes = [scheme::FORGEJO, scheme::GITEA, scheme::GOGS, scheme::GITHUB];
    let sent = schemes.into_iter().find(|scheme| headers.contains_key(scheme.header));
    let scheme = sent.unwrap_or(scheme::GITEA);
    // None of them signs a moment, so none is needed.
    let now = Timestamp::UNIX_EPOCH;
    scheme.verify(&host::secrets(app, project), headers, signed, now).map_err(|error| {
        let wrong = "X-Gitea-Signature must be the signature of the body with the project's secret";
        host::refusal(error, wrong)
    })
}
