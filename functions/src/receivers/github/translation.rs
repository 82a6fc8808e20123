//! What a GitHub delivery means: an event, or why it is none.

use bytes::Bytes;
use jiff::Timestamp;
use runtime::event::{Event, Identity, Revision};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::body::json_object;
use crate::filter::Seen;
use crate::lenient::{line, moment};
use crate::rejection::Rejection;

/// What pull requests may have done to be built, as in Brigade.
const PULL_REQUEST_ACTIONS: [&str; 6] =
    ["closed", "labeled", "opened", "reopened", "synchronize", "unlabeled"];

/// The events that become builds.
const EVENTS: [&str; 11] = [
    "commit_comment",
    "create",
    "deployment",
    "deployment_status",
    "issue_comment",
    "pull_request",
    "pull_request_review",
    "pull_request_review_comment",
    "push",
    "release",
    "status",
];

/// What a delivery amounts to.
#[derive(Debug)]
pub(super) enum Meaning {
    /// An event, and what the project's filters look at.
    Event(Box<Event>, Seen),
    /// A rule passed it over; Brigade's word for that, and the rule with the value it saw.
    Skipped { status: &'static str, reason: String },
    /// Nobody could care.
    Ignored { reason: String },
}

/// A delivery as it came, its body decoded.
pub(super) struct Delivery<'a> {
    /// The value of `X-GitHub-Event`. It is not signed, so the body must bear it out.
    pub(super) name: &'a str,
    /// The JSON text of the body.
    pub(super) json: Bytes,
    /// The body as it was signed.
    pub(super) signed: Bytes,
}

/// Whether an event of this name can become a build.
pub(super) fn is_known(name: &str) -> bool {
    EVENTS.contains(&name)
}

/// Translates a delivery of an event that [`is_known`].
///
/// `authors` are the author associations whose pull requests from forks are built.
pub(super) fn translate(delivery: Delivery<'_>, authors: &[String]) -> Result<Meaning, Rejection> {
    let name = delivery.name;
    let body: Body = json_object(&delivery.json)?;
    match shape(&body) {
        Some(shape) if shape == name => {}
        Some(shape) => {
            return Ok(Meaning::Ignored {
                reason: format!(
                    "the header X-GitHub-Event says `{}`, the body is that of a `{shape}` event",
                    line(name, 50)
                ),
            });
        }
        None => {
            return Err(Rejection::malformed(format!("the body is not that of a `{name}` event")));
        }
    }
    if let Some(skipped) = skip(name, &body, authors) {
        return Ok(skipped);
    }
    let action = body.action.clone().filter(|action| is_action(action));
    let revision = revision(name, &body, authors)
        .ok_or_else(|| Rejection::malformed(format!("the `{name}` says no revision")))?;
    let (short_title, long_title) = titles(&body);
    let seen = seen(name, &body);
    let event = Event {
        action,
        revision,
        short_title,
        long_title,
        time: time(name, &body),
        identity: Identity::Content(delivery.signed),
        ..Event::new("github", name, delivery.json)
    };
    Ok(Meaning::Event(Box::new(event), seen))
}

/// The event that has bodies of this form; no two have the same.
fn shape(body: &Body) -> Option<&'static str> {
    if body.pull_request.is_some() {
        return match (&body.review, &body.comment) {
            (Some(_), _) => Some("pull_request_review"),
            (None, Some(_)) => Some("pull_request_review_comment"),
            (None, None) if body.thread.is_some() => Some("pull_request_review_thread"),
            (None, None) => Some("pull_request"),
        };
    }
    if body.comment.is_some() {
        return match (&body.issue, &body.discussion) {
            (Some(_), _) => Some("issue_comment"),
            (None, Some(_)) => Some("discussion_comment"),
            (None, None) => Some("commit_comment"),
        };
    }
    if body.deployment_status.is_some() {
        return Some("deployment_status");
    }
    if body.deployment.is_some() {
        return match (&body.deployment_callback_url, &body.workflow_job) {
            (Some(_), _) => Some("deployment_protection_rule"),
            (None, Some(_)) => Some("workflow_job"),
            (None, None) => Some("deployment"),
        };
    }
    if body.release.is_some() {
        return Some("release");
    }
    if body.ref_type.is_some() {
        return Some(if body.master_branch.is_some() { "create" } else { "delete" });
    }
    if body.reference.is_some() && body.after.is_some() {
        return Some("push");
    }
    (body.sha.is_some() && body.state.is_some()).then_some("status")
}

/// Brigade's rules about deliveries that are understood and still not built.
fn skip(name: &str, body: &Body, authors: &[String]) -> Option<Meaning> {
    if name == "push" && body.deleted {
        let reference = body.reference.as_deref().unwrap_or_default();
        return Some(Meaning::Skipped {
            status: "build skipped on branch deletion",
            reason: format!("`{}` was deleted", line(reference, 100)),
        });
    }
    let action = body.action.as_deref().unwrap_or_default();
    if name == "pull_request" && !PULL_REQUEST_ACTIONS.contains(&action) {
        return Some(Meaning::Skipped {
            status: "build skipped",
            reason: format!(
                "the action is `{}`; these are built: {}",
                line(action, 50),
                PULL_REQUEST_ACTIONS.join(", ")
            ),
        });
    }
    let pull = body.pull_request.as_ref()?;
    // A build of a fork runs the fork's script with the project's secrets. Somebody trusted must
    // stand behind it: who opened the pull request, or who reviewed or commented on it.
    let voices = [
        pull.author_association.as_deref(),
        body.review.as_ref().and_then(|review| review.author_association.as_deref()),
        body.comment.as_ref().and_then(|comment| comment.author_association.as_deref()),
    ];
    if is_fork(pull) && !voices.iter().flatten().any(|voice| trusts(authors, voice)) {
        let voices: Vec<String> = voices.iter().flatten().map(|voice| line(voice, 50)).collect();
        return Some(Meaning::Skipped {
            status: "build skipped",
            reason: format!(
                "the pull request comes from a fork; its author association is `{}`, these are \
                 built: {}",
                voices.join("`, `"),
                authors.join(", ")
            ),
        });
    }
    None
}

fn trusts(authors: &[String], association: &str) -> bool {
    authors.iter().any(|author| author.eq_ignore_ascii_case(association))
}

/// Whether the pull request's commits come from elsewhere. A fork that was deleted is one still.
fn is_fork(pull: &Subject) -> bool {
    let id = |branch: &Branch| branch.repo.as_ref().map(|repo| (repo.id, repo.full_name.clone()));
    match (pull.head.as_ref().and_then(id), pull.base.as_ref().and_then(id)) {
        (Some((Some(head), _)), Some((Some(base), _))) => head != base,
        (Some((_, Some(head))), Some((_, Some(base)))) => head != base,
        _ => true,
    }
}

fn revision(name: &str, body: &Body, authors: &[String]) -> Option<Revision> {
    let at = |commit: Option<&String>, reference: Option<String>| Revision {
        commit: commit.cloned().unwrap_or_default(),
        reference: reference.unwrap_or_default(),
    };
    Some(match name {
        "push" => {
            // The commit that a tag points at, not the tag's own object.
            let head = body.head_commit.as_ref().and_then(|commit| commit.id.as_ref());
            at(head.or(body.after.as_ref()), body.reference.clone())
        }
        "create" => at(None, Some(body.reference.clone()?)),
        "release" => at(None, Some(body.release.as_ref()?.tag_name.clone()?)),
        "status" => {
            let commit = body.commit.as_ref().and_then(|commit| commit.sha.as_ref());
            at(Some(commit.or(body.sha.as_ref())?), None)
        }
        "commit_comment" => at(Some(body.comment.as_ref()?.commit_id.as_ref()?), None),
        "deployment" | "deployment_status" => {
            let deployment = body.deployment.as_ref()?;
            let reference = deployment.reference.clone();
            (deployment.sha.is_some() || reference.is_some()).then_some(())?;
            at(deployment.sha.as_ref(), reference)
        }
        "issue_comment" => at(None, Some(comment_reference(body, authors)?)),
        _ => {
            let pull = body.pull_request.as_ref()?;
            let head = pull.head.as_ref().and_then(|head| head.sha.as_ref());
            at(head, Some(pull_reference(pull.number.or(body.number)?)))
        }
    })
}

/// The pull request that a trusted person commented on; every other comment is about the default
/// branch. So a stranger's comment never runs a pull request.
fn comment_reference(body: &Body, authors: &[String]) -> Option<String> {
    let issue = body.issue.as_ref()?;
    let voice = body.comment.as_ref()?.author_association.as_deref();
    let counts = matches!(body.action.as_deref(), Some("created" | "edited"));
    if issue.pull_request.is_some() && counts && voice.is_some_and(|voice| trusts(authors, voice)) {
        return issue.number.map(pull_reference);
    }
    let branch = body.repository.as_ref().and_then(|repository| repository.default_branch.as_ref());
    Some(format!("refs/heads/{}", branch.map_or("master", String::as_str)))
}

fn pull_reference(number: u64) -> String {
    format!("refs/pull/{number}/head")
}

/// What the filters look at: the branch or the tag that was pushed, made or released, the branch
/// that a pull request is to be merged into, the branches with a status' commit.
fn seen(name: &str, body: &Body) -> Seen {
    let reference = body.reference.as_deref().unwrap_or_default();
    let branch = |name: &Option<String>| Seen {
        branches: name.iter().cloned().collect(),
        ..Seen::default()
    };
    match name {
        "push" => Seen::of(reference),
        "create" if body.ref_type.as_deref() == Some("tag") => {
            Seen { tag: body.reference.clone(), ..Seen::default() }
        }
        "create" => branch(&body.reference),
        "release" => {
            let tag = body.release.as_ref().and_then(|release| release.tag_name.clone());
            Seen { tag, ..Seen::default() }
        }
        "status" => {
            let names = body.branches.iter().flatten().filter_map(|branch| branch.name.clone());
            Seen { branches: names.collect(), ..Seen::default() }
        }
        _ => {
            let pull = body.pull_request.as_ref();
            branch(&pull.and_then(|pull| pull.base.as_ref()?.reference.clone()))
        }
    }
}

/// The files that a push changed, unless its body may leave some out: it names so many commits at
/// most, and so many files of one; and none of a branch that is made of what was there.
pub(super) fn changed_files(json: &[u8]) -> Option<Vec<String>> {
    #[derive(Deserialize)]
    struct Push {
        commits: Vec<Changes>,
        head_commit: Changes,
    }
    #[derive(Deserialize)]
    struct Changes {
        id: String,
        #[serde(default)]
        added: Vec<String>,
        #[serde(default)]
        modified: Vec<String>,
        #[serde(default)]
        removed: Vec<String>,
    }
    let push: Push = serde_json::from_slice(json).ok()?;
    // Servers of some age name 20 commits at most, newer ones 2048.
    let is_whole = push.commits.len() != 20 && push.commits.len() < 2048;
    if !is_whole || !push.commits.iter().any(|commit| commit.id == push.head_commit.id) {
        return None;
    }
    let files = push.commits.into_iter().map(|commit| {
        let files = [commit.added, commit.modified, commit.removed].concat();
        Some(files).filter(|files| files.len() < 300)
    });
    Some(files.collect::<Option<Vec<_>>>()?.concat())
}

/// The short and the long title, as Brigade words them.
fn titles(body: &Body) -> (String, String) {
    let pull = body.pull_request.as_ref().map(|pull| (pull.number.or(body.number), &pull.title));
    let issue = body.issue.as_ref().map(|issue| (issue.number, &issue.title));
    if let Some((Some(number), title)) = pull.or(issue) {
        let title = title.as_deref().unwrap_or_default();
        return (format!("PR #{number}"), line(&format!("PR #{number}: {title}"), 100));
    }
    let reference = body.reference.as_deref().unwrap_or_default();
    let title = match reference.strip_prefix("refs/heads/") {
        Some(branch) => format!("branch: {branch}"),
        None => match reference.strip_prefix("refs/tags/") {
            Some(tag) => format!("tag: {tag}"),
            None => return (String::new(), String::new()),
        },
    };
    (line(&title, 50), line(&title, 100))
}

/// When it happened. The answer must be the same for every delivery of one body.
fn time(name: &str, body: &Body) -> Option<Timestamp> {
    let subject = match name {
        "push" | "create" => {
            let pushed = body.repository.as_ref().and_then(|repository| repository.pushed_at);
            return pushed.or(body.head_commit.as_ref().and_then(|commit| commit.timestamp));
        }
        "status" => return body.updated_at.or(body.created_at),
        "deployment" => &body.deployment,
        "deployment_status" => &body.deployment_status,
        "pull_request" => &body.pull_request,
        "pull_request_review" => &body.review,
        "release" => &body.release,
        _ => &body.comment,
    };
    subject.as_ref().and_then(Subject::time)
}

/// Actions are words; one that is not would make no handler's name.
fn is_action(action: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    !action.is_empty() && action.len() <= 64 && action.chars().all(fits)
}

/// The members of all bodies that matter here; none of them is in every body.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    action: Option<String>,
    after: Option<String>,
    branches: Option<Vec<Branch>>,
    comment: Option<Subject>,
    commit: Option<Commit>,
    #[serde(deserialize_with = "moment")]
    created_at: Option<Timestamp>,
    deleted: bool,
    deployment: Option<Subject>,
    deployment_callback_url: Option<IgnoredAny>,
    deployment_status: Option<Subject>,
    discussion: Option<IgnoredAny>,
    head_commit: Option<Commit>,
    issue: Option<Subject>,
    master_branch: Option<IgnoredAny>,
    number: Option<u64>,
    pull_request: Option<Subject>,
    #[serde(rename = "ref")]
    reference: Option<String>,
    ref_type: Option<String>,
    release: Option<Subject>,
    repository: Option<Repository>,
    review: Option<Subject>,
    sha: Option<String>,
    state: Option<IgnoredAny>,
    thread: Option<IgnoredAny>,
    #[serde(deserialize_with = "moment")]
    updated_at: Option<Timestamp>,
    workflow_job: Option<IgnoredAny>,
}

/// What the event is about: a pull request, an issue, a comment, a review, a release, ...
#[derive(Default, Deserialize)]
#[serde(default)]
struct Subject {
    author_association: Option<String>,
    base: Option<Branch>,
    commit_id: Option<String>,
    #[serde(deserialize_with = "moment")]
    created_at: Option<Timestamp>,
    head: Option<Branch>,
    number: Option<u64>,
    #[serde(deserialize_with = "moment")]
    published_at: Option<Timestamp>,
    /// Only in an issue that is a pull request.
    pull_request: Option<IgnoredAny>,
    #[serde(rename = "ref")]
    reference: Option<String>,
    sha: Option<String>,
    #[serde(deserialize_with = "moment")]
    submitted_at: Option<Timestamp>,
    tag_name: Option<String>,
    title: Option<String>,
    #[serde(deserialize_with = "moment")]
    updated_at: Option<Timestamp>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Branch {
    /// Only where a status names branches.
    name: Option<String>,
    #[serde(rename = "ref")]
    reference: Option<String>,
    repo: Option<Repository>,
    sha: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Commit {
    id: Option<String>,
    sha: Option<String>,
    #[serde(deserialize_with = "moment")]
    timestamp: Option<Timestamp>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Repository {
    default_branch: Option<String>,
    full_name: Option<String>,
    id: Option<u64>,
    #[serde(deserialize_with = "moment")]
    pushed_at: Option<Timestamp>,
}

impl Subject {
    fn time(&self) -> Option<Timestamp> {
        self.updated_at.or(self.submitted_at).or(self.published_at).or(self.created_at)
    }
}
