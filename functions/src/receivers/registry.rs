//! Receives the webhooks of image registries.
//!
//! - Route: `POST /events/webhook/{project}` with the project's id, or its name without a slash,
//!   `POST /events/webhook/{org}/{repository}`, `POST /events/webhook/{org}/{repository}/{commit}`;
//!   the query `?commit=` wins over the path
//! - Proof: registries cannot sign, so a token: `Authorization: Bearer <token>`, `Basic` with the
//!   token as its password or `Authorization: <token>`, which is all that Harbor can send;
//!   `X-Registry-Token: <token>`, or `?token=<token>`. It is the project's `genericGatewaySecret`,
//!   or its `sharedSecret` if there is no such one. With `REGISTRY_ALLOW_UNSIGNED` it may be left
//!   out, but not be wrong; then the commit can only be a branch or a tag, since ids and pull
//!   requests name what strangers have written, too; and whoever knows the address can name any
//!   image, so the project should list those that it takes in `filters.images`
//! - Events: `image_push`, `image_delete`, `chart_push`, `chart_delete`; who sends which is below.
//!   The event has the `image`; its payload is the body as it was sent. Tags, artifacts and
//!   notifications of which one delivery has several are a build each, at most 256
//! - Identity: the body, what it is in it, and the commit; fresh if the body says neither its id
//!   nor its time, because such a body does not differ from push to push
//! - Limits: 1 MiB; the payloads of one delivery's builds together 32 MiB. Harbor waits 3 seconds
//!   where others wait 10, so its deliveries have 3/10 of `REQUEST_BUDGET`
//!
//! | provider | is told by | events | identity |
//! |---|---|---|---|
//! | `acr` | `action` and `target` | all four; `ping` is answered, `quarantine` ignored | the body |
//! | `dockerhub` | `push_data` and `repository` | `image_push` | repository, tag and `pushed_at` |
//! | `harbor` | `type` and `event_data`, or a CloudEvent `harbor.*` | all four, for each of the `resources`; `harbor.scan.completed`, `harbor.quota.exceeded` and the others by Harbor's CloudEvents names where the project's `filters.events` has the name | `source` and `id`, else the body; and the index |
//! | `quay` | `updated_tags` | `image_push` for each tag; other notifications are ignored | none: every push is a build of its own, as Quay tells nothing by which a repetition is known |
//! | `distribution` | `events` | `image_push`, `image_delete` for each that is about a manifest; blobs and pulls are ignored | the event |
//! | `ecr` | EventBridge: `source` is `aws.ecr` | `image_push`, `image_delete` of `ECR Image Action`; others are ignored | the event's `id` |
//! | `gitea` | `action` and `package` with a `type` | all four, of containers and Helm charts | the body |
//! | `registry` | any other JSON object, since Brigade looked at no body | `image_push`, without an image | the body if it has a `timestamp` |
//!
//! GitLab's registry sends the notifications of `distribution`, if its administrator has set that
//! up; GitLab's own webhooks tell nothing of images. GitHub's come to the function `github`.
//!
//! <https://learn.microsoft.com/azure/container-registry/container-registry-webhook-reference>,
//! <https://docs.docker.com/docker-hub/repos/manage/webhooks/>,
//! <https://goharbor.io/docs/main/working-with-projects/project-configuration/configure-webhooks/>,
//! <https://docs.quay.io/guides/notifications.html>,
//! <https://distribution.github.io/distribution/about/notifications/>,
//! <https://docs.gitea.com/usage/webhooks>,
//! <https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-eventbridge.html>

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use pipeline::script::Repository;
use runtime::event::Event;
use runtime::project::Project;
use runtime::signature;
use serde::Deserialize;

use self::translation::{Meaning, translate};
use crate::answer::Answer;
use crate::app::App;
use crate::body;
use crate::builds;
use crate::filter::{self, Seen};
use crate::proof;
use crate::rejection::Rejection;

mod azure;
mod distribution;
mod docker_hub;
mod ecr;
mod gitea;
pub(crate) mod harbor;
mod quay;
pub(crate) mod translation;

#[cfg(test)]
mod tests;

/// The largest body that is read; registries send a few kilobytes.
const LIMIT: usize = 1024 * 1024;

/// How many seconds Harbor waits for an answer.
pub(crate) const HARBOR: u32 = 3;

/// This function's routes.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/events/webhook/{project}", post(by_project))
        .route("/events/webhook/{org}/{repository}", post(by_repository))
        .route("/events/webhook/{org}/{repository}/{commit}", post(by_commit))
}

#[derive(Default, Deserialize)]
struct Asked {
    commit: Option<String>,
    token: Option<String>,
}

/// What a delivery is proved by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Proof {
    Token,
    /// Nothing: the operator allows that.
    Nothing,
}

async fn by_project(
    State(app): State<App>,
    Path(project): Path<String>,
    request: Request,
) -> Result<Answer, Rejection> {
    receive(app, project, String::new(), request).await
}

async fn by_repository(
    State(app): State<App>,
    Path((org, repository)): Path<(String, String)>,
    request: Request,
) -> Result<Answer, Rejection> {
    receive(app, format!("{org}/{repository}"), String::new(), request).await
}

async fn by_commit(
    State(app): State<App>,
    Path((org, repository, commit)): Path<(String, String, String)>,
    request: Request,
) -> Result<Answer, Rejection> {
    receive(app, format!("{org}/{repository}"), commit, request).await
}

async fn receive(
    app: App,
    project: String,
    commit: String,
    request: Request,
) -> Result<Answer, Rejection> {
    let (deadline, soon) = (app.deadline(), app.deadline_within(HARBOR));
    let asked: Asked = proof::query(request.uri(), "one `commit` and one `token`")?;
    let (parts, body) = body::read(request, LIMIT, deadline).await?;
    let deadline = if harbor::could_send(&body) { soon } else { deadline };
    let media = body::media_type(&parts.headers);
    let other_type = Rejection::Unsupported { reason: "the Content-Type must be application/json" };
    if media.as_deref().is_some_and(|media| !is_json(media)) {
        return Err(other_type);
    }

    // Prove.
    let project = app.project(&project, deadline).await?;
    let proof = prove(&app, &project, &parts.headers, asked.token.as_deref())?;
    // A page in somebody's browser can post to any address, but not with this type.
    if proof == Proof::Nothing && media.is_none() {
        return Err(other_type);
    }

    // Translate.
    let commit = asked.commit.filter(|commit| !commit.is_empty()).unwrap_or(commit);
    // What begins with a hyphen would be an option of git.
    if commit.chars().any(char::is_control) || commit.starts_with('-') {
        return Err(Rejection::malformed("the commit must be a branch, a tag or a commit id"));
    }
    // Where no commit is ever fetched, it is only a name.
    let local = matches!(*app.repository, Repository::Ignore | Repository::Folders(_));
    if proof == Proof::Nothing && !local && !is_of_the_repository(&commit) {
        return Err(Rejection::Unproved {
            code: StatusCode::UNAUTHORIZED,
            status: "secret is missing",
            reason: "without a token the commit must be a branch or a tag; write \
                     refs/heads/<name> or refs/tags/<name> for one that looks like a commit id",
        });
    }
    let (events, reason) = match translate(body, &commit)? {
        Meaning::Events(events) => take(&project, events),
        Meaning::Rare(event) if filter::asks_for(&project, &[], &event.kind, None) => {
            take(&project, vec![*event])
        }
        Meaning::Rare(event) => {
            let reason = format!(
                "`{0}` is built only where the project's filters.events has `{0}`",
                event.kind
            );
            (Vec::new(), reason)
        }
        Meaning::Ping => {
            let reason = "nothing is built for a ping";
            return Ok(Answer::passed("status", "pong", reason, Some(&project)));
        }
        Meaning::Ignored { reason } => (Vec::new(), reason),
    };
    if events.is_empty() {
        return Ok(Answer::ignored(reason, Some(&project)));
    }
    // As in Brigade: for registries the project's script goes before the repository's, except where
    // somebody works on that.
    let own =
        !project.default_script.is_empty() && !matches!(*app.repository, Repository::Folders(_));
    let script = own.then(|| project.default_script.clone());
    let events = events.into_iter().map(|event| Ok(Event { script: script.clone(), ..event }));

    // Act.
    builds::answer(&app, deadline, &project, "Success", events.collect()).await
}

/// The events that the project takes, and why the last one is not taken that is not.
fn take(project: &Project, events: Vec<Event>) -> (Vec<Event>, String) {
    let mut reason = String::new();
    let all = ["*".to_owned()];
    let take = |event| match filter::take(project, &all, event, &Seen::default()) {
        Ok(event) => Some(event),
        Err(why) => {
            reason = why;
            None
        }
    };
    (events.into_iter().filter_map(take).collect(), reason)
}

fn prove(
    app: &App,
    project: &Project,
    headers: &HeaderMap,
    asked: Option<&str>,
) -> Result<Proof, Rejection> {
    let token = proof::bare_token(headers, asked);
    if token == Ok(None) && app.settings.registry_allow_unsigned {
        return Ok(Proof::Nothing);
    }
    let secrets = proof::tokens(project);
    let proved = token.and_then(|token| signature::verify_token(&secrets, token.as_deref()));
    proved.map(|()| Proof::Token).map_err(|error| {
        proof::refusal(
            error,
            "set the project's genericGatewaySecret, or allow deliveries without a token with \
             REGISTRY_ALLOW_UNSIGNED",
            "the project's genericGatewaySecret must come in Authorization, as X-Registry-Token or \
             as ?token=",
        )
    })
}

/// Whether a commit is one that only those can make who may write to the repository: a branch or a
/// tag. A host serves the commits of forks by their ids and by the references of pull requests.
fn is_of_the_repository(commit: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '+');
    if commit.starts_with('+') || commit.contains("..") || !commit.chars().all(fits) {
        return false;
    }
    if commit.starts_with("refs/heads/") || commit.starts_with("refs/tags/") {
        return true;
    }
    let is_id = commit.len() >= 4 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    let elsewhere = ["refs/", "pull/", "pull-requests/", "merge-requests/", "remotes/"];
    !is_id && !elsewhere.iter().any(|start| commit.starts_with(start))
}

fn is_json(media: &str) -> bool {
    media == "application/json" || (media.starts_with("application/") && media.ends_with("+json"))
}
