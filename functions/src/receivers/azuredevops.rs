//! Receives the service hooks of Azure DevOps, which was VSTS.
//!
//! - Route: `POST /vsts/{project}/{token}` as in Brigade, `POST /vsts/{org}/{repository}/{token}`, and
//!   with the token elsewhere `POST /events/azuredevops/{project}` and
//!   `POST /events/azuredevops/{org}/{repository}`; `{project}` is a project's id, or its name without
//!   a slash or with one that is written `%2F`
//! - Proof: the project's secret `vstsToken`, else its `genericGatewaySecret`, else its `sharedSecret`:
//!   in the path, as the password of `Authorization: Basic`, after `Bearer`, in `X-Registry-Token` or
//!   as `?token=`. Brigade let everybody in where there was no `vstsToken`
//! - Events: the body's `eventType`, whatever it is: `git.push`, `git.pullrequest.created`,
//!   `build.complete`, ... from the provider `vsts`
//! - Revision (Brigade: always `master`): for each branch or tag of a push, a build of its own; the
//!   source of the pull request, as its branch, or as `refs/pull/<number>/merge` from a fork; where it
//!   was completed, the merge on the target; else `master`
//! - Identity: the body, which names its notification, and for a push the branch or the tag
//! - Limits: 25 MiB, the first 200 branches and tags of a push. A fork is known by `forkSource` alone. Deleted ones are skipped, and pull requests from
//!   forks, unless the project has `allowForks`
//!
//! The answer says what was made, where Brigade's gateway repeated the event.
//!
//! <https://learn.microsoft.com/azure/devops/service-hooks/events>

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use runtime::project::Project;
use runtime::signature::Secrets;
use serde::Deserialize;
use tokio::time::Instant;

use self::translation::translate;
use crate::address::Address;
use crate::answer::Answer;
use crate::app::App;
use crate::body;
use crate::host;
use crate::proof;
use crate::rejection::Rejection;

mod translation;

#[cfg(test)]
mod tests;

/// The member of a project's `secrets` that is the token, as in Brigade.
const TOKEN: &str = "vstsToken";

/// This function's routes.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/vsts/{project}", post(receive))
        .route("/vsts/{project}/{token}", post(receive))
        .route("/vsts/{org}/{repository}/{token}", post(receive))
        .route("/events/azuredevops/{project}", post(receive))
        .route("/events/azuredevops/{org}/{repository}", post(receive))
}

#[derive(Default, Deserialize)]
struct Asked {
    token: Option<String>,
}

async fn receive(
    State(app): State<App>,
    Path(address): Path<Address>,
    request: Request,
) -> Result<Answer, Rejection> {
    let deadline = app.deadline();
    let asked: Asked = proof::query(request.uri(), "one `token`")?;
    let (parts, body) = body::read(request, host::LIMIT, deadline).await?;
    if body::media_type(&parts.headers).as_deref() != Some("application/json") {
        return Err(Rejection::Unsupported { reason: "the Content-Type must be application/json" });
    }

    // Prove.
    let project = prove(&app, address, asked, &parts.headers, deadline).await?;
    drop(parts);

    // Translate.
    let meaning = translate(body::without_mark(body), project.allow_forks)?;

    // Act.
    host::act_on(&app, deadline, &project, &["*".to_owned()], meaning).await
}

/// The project whose token the request has.
async fn prove(
    app: &App,
    address: Address,
    asked: Asked,
    headers: &HeaderMap,
    deadline: Instant,
) -> Result<Project, Rejection> {
    let refusal = |_unproved| Rejection::Unproved {
        code: StatusCode::FORBIDDEN,
        status: "Forbidden",
        reason: "the project's secret vstsToken must come in the path, in Authorization, in \
                 X-Registry-Token or as ?token=",
    };
    let asked = (address, asked.token);
    let project = proof::prove(app, asked, headers, deadline, secrets, refusal).await;
    project.map_err(proof::of_azure)
}

fn secrets(project: &Project) -> Secrets<'_> {
    let own = proof::secret(project, TOKEN);
    own.or(&project.generic_gateway_secret).or(&project.shared_secret)
}
