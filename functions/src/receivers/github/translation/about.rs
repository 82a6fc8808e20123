//! What GitHub's bodies are about: for the project's filters (branches, tags, changed files), for
//! people (titles), and when it happened.

use jiff::Timestamp;
use serde::Deserialize;

use super::members::{Body, Subject};
use crate::filter::Seen;
use crate::lenient::line;

/// What the filters look at: the branch or the tag that was pushed, made or released, the branch
/// that a pull request is to be merged into, the branches with a status' commit.
pub(super) fn seen(name: &str, body: &Body) -> Seen {
    let reference = body.reference.as_deref().unwrap_or_default();
    let tag = |tag: Option<String>| Seen { tag, ..Seen::default() };
    let on = |names: &mut dyn Iterator<Item = String>| Seen {
        branches: names.collect(),
        ..Seen::default()
    };
    match name {
        "create" | "delete" => match body.ref_type.as_deref() {
            Some("tag") => tag(body.reference.clone()),
            _ => on(&mut body.reference.iter().cloned()),
        },
        "release" => tag(body.release.as_ref().and_then(|release| release.tag_name.clone())),
        "status" => on(&mut body.branches.iter().flatten().filter_map(|all| all.name.clone())),
        "check_run" | "check_suite" => {
            let suite = body.suite();
            let pulls = suite.iter().flat_map(|suite| suite.pull_requests.iter().flatten());
            let seen = on(&mut pulls.filter_map(base));
            if !seen.branches.is_empty() {
                return seen;
            }
            // A suite that is made for a pull request is of no branch.
            let branch = suite.and_then(|suite| suite.head_branch.clone());
            on(&mut branch.filter(|name| !name.starts_with("refs/pull/")).into_iter())
        }
        _ => match &body.pull_request {
            Some(pull) => on(&mut base(pull).into_iter()),
            None => Seen::of(reference),
        },
    }
}

/// The branch that a pull request is to be merged into.
fn base(pull: &Subject) -> Option<String> {
    pull.base.as_ref()?.reference.clone()
}

/// The files that a push changed, unless its body may leave some out: it names so many commits at
/// most, and so many files of one; and none of a branch that is made of what was there.
pub(in super::super) fn changed_files(json: &[u8]) -> Option<Vec<String>> {
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
pub(super) fn titles(body: &Body) -> (String, String) {
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
pub(super) fn time(name: &str, body: &Body) -> Option<Timestamp> {
    let subject = match name {
        "push" | "create" => {
            let pushed = body.repository.as_ref().and_then(|repository| repository.pushed_at);
            return pushed.or(body.head_commit.as_ref().and_then(|commit| commit.timestamp));
        }
        "status" => return body.updated_at.or(body.created_at),
        "check_suite" => return body.check_suite.as_ref().and_then(|suite| suite.updated_at),
        "check_run" => {
            let run = body.check_run.as_ref();
            return run.and_then(|run| run.completed_at.or(run.started_at));
        }
        "deployment" => &body.deployment,
        "deployment_status" => &body.deployment_status,
        "pull_request" => &body.pull_request,
        "pull_request_review" => &body.review,
        "release" => &body.release,
        "package" | "registry_package" => return other_time(body),
        _ if super::is_known(name) => &body.comment,
        _ => return other_time(body),
    };
    subject.as_ref().and_then(Subject::time)
}

/// When something else happened, as near as its body comes to saying so.
fn other_time(body: &Body) -> Option<Timestamp> {
    let subjects = [&body.comment, &body.review, &body.pull_request, &body.issue];
    let subject = subjects.into_iter().flatten().find_map(Subject::time);
    let run = body.workflow_run.as_ref().and_then(|run| run.updated_at);
    let repository = body.repository.as_ref();
    let repository = repository.and_then(|all| all.updated_at.max(all.pushed_at));
    subject.or(run).or(body.updated_at).or(body.created_at).or(repository)
}
