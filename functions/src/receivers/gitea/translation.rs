//! What a delivery of Gitea means: an event, or why it is none.

use bytes::Bytes;
use jiff::Timestamp;
use runtime::event::{Event, Identity, Revision};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::body::json_object;
use crate::filter::Seen;
use crate::host::{self, Commit, Meaning};
use crate::lenient::{Moment, Text, line, object};
use crate::rejection::Rejection;

/// The name of the body's repository; everything else is passed over.
pub(super) fn project(json: &[u8]) -> Result<Option<String>, Rejection> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Body {
        #[serde(deserialize_with = "object")]
        repository: Option<Repository>,
    }
    let body: Body = json_object(json)?;
    Ok(body.repository.and_then(|repository| repository.full_name.owned()))
}

/// Translates a delivery that is proved. `forks` is whether the project builds those of forks.
pub(super) fn translate(json: Bytes, forks: bool) -> Result<Meaning, Rejection> {
    let body: Body = json_object(&json)?;
    let Some((name, is_rare)) = shape(&body) else {
        return Err(Rejection::malformed("the body is that of no event"));
    };
    let review = body.review.as_ref().and_then(|review| review.kind.get());
    let action = match name {
        // `pull_request_review_approved`; the action is only `reviewed`.
        "pull_request_review" => review.and_then(|kind| kind.rsplit('_').next()),
        _ => body.action.get(),
    };
    let event = |revision: Revision, titles: (String, String)| Event {
        action: action.filter(|action| host::is_word(action)).map(str::to_owned),
        revision,
        short_title: titles.0,
        long_title: titles.1,
        time: time(name, &body),
        identity: Identity::Content(json.clone()),
        ..Event::new("gitea", name, json.clone())
    };
    if is_rare {
        let revision = Revision { reference: body.default_branch(), ..Revision::default() };
        return Ok(Meaning::Rare(Box::new(event(revision, Default::default()))));
    }
    if let ("push", Some(reference)) = (name, body.reference.get())
        && body.after.get().is_some_and(host::is_nothing)
    {
        return Ok(Meaning::deleted(reference));
    }
    let pull = body.pull_request.as_ref();
    let is_fork = pull.is_some_and(PullRequest::is_fork);
    if is_fork && !forks && name != "issue_comment" {
        return Ok(Meaning::fork("Gitea"));
    }
    let revision = revision(name, &body, forks)
        .ok_or_else(|| Rejection::malformed(format!("the `{name}` says no revision")))?;
    let seen = seen(name, &body, &revision);
    let titles = titles(name, &body, &revision);
    Ok(Meaning::event(event(revision, titles), seen))
}

/// The event that has bodies of this form, and whether it must be asked for.
fn shape(body: &Body) -> Option<(&'static str, bool)> {
    if body.workflow_job.is_some() {
        return Some(("workflow_job", true));
    }
    if body.workflow_run.is_some() {
        return Some(("workflow_run", true));
    }
    if body.package.is_some() {
        return Some(("package", true));
    }
    if body.comment.is_some() {
        return Some(("issue_comment", false));
    }
    if body.review.is_some() {
        return Some(("pull_request_review", false));
    }
    if body.pull_request.is_some() {
        return Some(("pull_request", false));
    }
    if body.issue.is_some() {
        return Some(("issues", false));
    }
    if body.release.is_some() {
        return Some(("release", false));
    }
    if body.ref_type.get().is_some() {
        // Only what was created is at a commit.
        return Some(if body.sha.get().is_some() { ("create", false) } else { ("delete", true) });
    }
    if body.reference.get().is_some() && body.after.get().is_some() {
        return Some(("push", false));
    }
    if body.page.get().is_some() {
        return Some(("wiki", true));
    }
    if body.forkee.is_some() {
        return Some(("fork", true));
    }
    if body.sha.get().is_some() && body.state.get().is_some() {
        return Some(("status", true));
    }
    body.action.get().map(|_action| ("repository", true))
}

fn revision(name: &str, body: &Body, forks: bool) -> Option<Revision> {
    let pull = || body.pull_request.as_ref();
    let at = |commit: Option<&str>, reference: String| Revision {
        commit: commit.unwrap_or_default().to_owned(),
        reference,
    };
    Some(match name {
        "push" => {
            // The commit that a tag points at, not the tag's own object.
            let head = body.head_commit.as_ref().and_then(|commit| commit.id.get());
            at(Some(head.or(body.after.get())?), body.reference.owned()?)
        }
        "create" => {
            let name = body.reference.get()?;
            let is_tag = body.ref_type.get() == Some("tag") && !name.starts_with("refs/");
            let reference = if is_tag { format!("refs/tags/{name}") } else { host::branch(name) };
            at(body.sha.get(), reference)
        }
        "release" => at(None, format!("refs/tags/{}", body.release.as_ref()?.tag_name.get()?)),
        "pull_request" | "pull_request_review" => pull()?.revision(body)?,
        // A stranger's comment must not run a stranger's pull request.
        "issue_comment" => match pull() {
            Some(pull) if forks || !pull.is_fork() => pull.revision(body)?,
            _ => at(None, body.default_branch()),
        },
        _ => at(None, body.default_branch()),
    })
}

/// What the project's filters look at.
fn seen(name: &str, body: &Body, revision: &Revision) -> Seen {
    let target = body.pull_request.as_ref().and_then(|pull| pull.base.as_ref());
    if let Some(branch) = target.and_then(|base| base.reference.owned()) {
        return Seen { branches: vec![branch], ..Seen::default() };
    }
    match name {
        "push" => {
            // The body lists as many commits as the server allows.
            let commits = body.commits.as_deref().unwrap_or_default();
            let all = body.total_commits.get() == Some(commits.len().to_string().as_str());
            let paths = commits.iter().flat_map(Commit::paths);
            let paths = all.then(|| paths.cloned().collect());
            Seen { paths, ..Seen::of(&revision.reference) }
        }
        "create" | "release" => Seen::of(&revision.reference),
        _ => Seen::default(),
    }
}

fn titles(name: &str, body: &Body, revision: &Revision) -> (String, String) {
    let subject = body.pull_request.as_ref().or(body.issue.as_ref());
    match subject {
        Some(subject) => {
            let number = subject.number.get().or(body.number.get());
            host::numbered_titles(number, subject.title.get())
        }
        None if name == "release" => {
            let name = body.release.as_ref().and_then(|release| release.name.get());
            let title = line(&format!("release: {}", name.unwrap_or_default()), 100);
            (line(&title, 50), title)
        }
        None => host::reference_titles(&revision.reference),
    }
}

/// When it happened. The answer must be the same for every delivery of one body.
fn time(name: &str, body: &Body) -> Option<Timestamp> {
    let pushed = || {
        let commit = body.head_commit.as_ref().and_then(|commit| commit.timestamp.0);
        commit.or(body.repository.as_ref().and_then(|repository| repository.updated_at.0))
    };
    let subject = match name {
        "push" | "create" => return pushed(),
        "release" => {
            let release = body.release.as_ref()?;
            return release.published_at.0.or(release.created_at.0);
        }
        "issue_comment" => {
            let comment = body.comment.as_ref()?;
            return comment.updated_at.0.or(comment.created_at.0);
        }
        _ => body.pull_request.as_ref().or(body.issue.as_ref()),
    };
    match subject {
        Some(subject) => subject.updated_at.0.or(subject.created_at.0),
        None => pushed(),
    }
}

/// The members of all bodies that matter here; none of them is in every body.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    action: Text,
    after: Text,
    #[serde(deserialize_with = "object")]
    comment: Option<Comment>,
    commits: Option<Vec<Commit>>,
    forkee: Option<IgnoredAny>,
    #[serde(deserialize_with = "object")]
    head_commit: Option<Commit>,
    #[serde(deserialize_with = "object")]
    issue: Option<PullRequest>,
    number: Text,
    package: Option<IgnoredAny>,
    page: Text,
    #[serde(deserialize_with = "object")]
    pull_request: Option<PullRequest>,
    #[serde(rename = "ref")]
    reference: Text,
    ref_type: Text,
    #[serde(deserialize_with = "object")]
    release: Option<Release>,
    #[serde(deserialize_with = "object")]
    repository: Option<Repository>,
    #[serde(deserialize_with = "object")]
    review: Option<Review>,
    sha: Text,
    state: Text,
    total_commits: Text,
    workflow_job: Option<IgnoredAny>,
    workflow_run: Option<IgnoredAny>,
}

/// A pull request, or an issue.
#[derive(Default, Deserialize)]
#[serde(default)]
struct PullRequest {
    #[serde(deserialize_with = "object")]
    base: Option<Branch>,
    created_at: Moment,
    #[serde(deserialize_with = "object")]
    head: Option<Branch>,
    number: Text,
    title: Text,
    updated_at: Moment,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Branch {
    label: Option<Text>,
    #[serde(rename = "ref")]
    reference: Text,
    #[serde(deserialize_with = "object")]
    repo: Option<Repository>,
    repo_id: Text,
    sha: Text,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Comment {
    created_at: Moment,
    updated_at: Moment,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Release {
    created_at: Moment,
    name: Text,
    published_at: Moment,
    tag_name: Text,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Repository {
    default_branch: Text,
    full_name: Text,
    id: Text,
    updated_at: Moment,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Review {
    #[serde(rename = "type")]
    kind: Text,
}

impl Body {
    fn default_branch(&self) -> String {
        let repository = self.repository.as_ref();
        host::default_branch(repository.and_then(|repository| repository.default_branch.get()))
    }
}

impl PullRequest {
    /// Whether its commits come from elsewhere. A fork that was deleted is one still, and so is what
    /// was pushed to `refs/for/`, which whoever may read can do: it is in this repository, but in no
    /// branch of it.
    fn is_fork(&self) -> bool {
        let is_in_no_branch = self.head.as_ref().is_some_and(|head| {
            let has_no_label = head.label.as_ref().is_some_and(|label| label.get().is_none());
            has_no_label || head.reference.get().is_some_and(|name| name.starts_with("refs/pull/"))
        });
        let id = |branch: &Option<Branch>| {
            let branch = branch.as_ref()?;
            let repository = branch.repo.as_ref().and_then(|repository| repository.id.owned());
            repository.or_else(|| branch.repo_id.owned())
        };
        let head = id(&self.head);
        is_in_no_branch || head.is_none() || head != id(&self.base)
    }

    fn revision(&self, body: &Body) -> Option<Revision> {
        let number = self.number.get().or(body.number.get())?;
        let commit = self.head.as_ref().and_then(|head| head.sha.owned());
        Some(Revision {
            commit: commit.unwrap_or_default(),
            reference: format!("refs/pull/{number}/head"),
        })
    }
}
