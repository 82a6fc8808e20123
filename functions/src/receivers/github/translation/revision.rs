//! The revision that an event is about, and whether somebody trusted stands behind it.
//!
//! A build runs the script of its revision with the project's secrets, and GitHub serves the commits
//! of forks as if they were the repository's. So a commit counts only where it cannot be a
//! stranger's, or where somebody trusted has named it; everything else is about a branch.

use runtime::event::Revision;

use super::members::{Body, Branch, CheckSuite, Head, Subject};
use crate::lenient::line;

/// The revision of an event, or nothing where the body lacks it. `commits` says whether a commit
/// counts that may be a fork's, because checks are those of the operator's own App, or because the
/// project allows forks of which nobody says how far their authors are trusted.
pub(super) fn revision(
    name: &str,
    body: &Body,
    authors: &[String],
    commits: bool,
) -> Option<Revision> {
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
            let commit = commit.or(body.sha.as_ref())?;
            match &body.branches {
                Some(branches) if branches.is_empty() && !commits => {
                    at(None, Some(body.default_branch()))
                }
                _ => at(Some(commit), None),
            }
        }
        "commit_comment" => {
            let comment = body.comment.as_ref()?;
            let commit = comment.commit_id.as_ref()?;
            // Servers that say nothing of authors are older than this danger.
            match comment.author_association.as_deref() {
                Some(voice) if !trusts(authors, voice) => at(None, Some(body.default_branch())),
                _ => at(Some(commit), None),
            }
        }
        "deployment" | "deployment_status" => {
            let deployment = body.deployment.as_ref()?;
            let reference = deployment.reference.clone();
            (deployment.sha.is_some() || reference.is_some()).then_some(())?;
            if commits || is_deployed_by_somebody(deployment, body) {
                return Some(at(deployment.sha.as_ref(), reference));
            }
            at(None, Some(body.default_branch()))
        }
        "check_suite" | "check_run" => {
            let suite = body.suite()?;
            if commits || is_of_the_repository(suite, body) {
                return Some(at(Some(suite.head_sha.as_ref()?), suite.head_branch.clone()));
            }
            let branch = suite.head_branch.as_ref().filter(|branch| !branch.is_empty())?;
            at(None, Some(format!("refs/heads/{branch}")))
        }
        "issue_comment" => match commented_pull(body, authors) {
            Some(number) => at(None, Some(pull_reference(number))),
            None => at(None, Some(body.default_branch())),
        },
        _ => match &body.pull_request {
            Some(pull) => {
                let head = pull.head.as_ref().and_then(|head| head.sha.as_ref());
                at(head, Some(pull_reference(pull.number.or(body.number)?)))
            }
            None => elsewhere(body, commits),
        },
    })
}

/// The revision of an event that is built only because somebody asks for it.
fn elsewhere(body: &Body, commits: bool) -> Revision {
    if let Some(group) = &body.merge_group {
        return at(group.head_sha.as_ref(), group.head_ref.clone());
    }
    if let Some(run) = &body.workflow_run
        && (commits || ran_at_home(run, body))
    {
        let branch = run.head_branch.as_ref().map(|branch| format!("refs/heads/{branch}"));
        return at(run.head_sha.as_ref(), branch);
    }
    let reference = body.reference.as_deref().filter(|reference| {
        // What is deleted is named without its kind.
        reference.starts_with("refs/heads/") || reference.starts_with("refs/tags/")
    });
    at(None, Some(reference.map_or_else(|| body.default_branch(), str::to_owned)))
}

fn at(commit: Option<&String>, reference: Option<String>) -> Revision {
    Revision {
        commit: commit.cloned().unwrap_or_default(),
        reference: reference.unwrap_or_default(),
    }
}

fn pull_reference(number: u64) -> String {
    format!("refs/pull/{number}/head")
}

/// Whether a workflow ran at a commit of the repository, not at one of a fork.
fn ran_at_home(run: &Head, body: &Body) -> bool {
    let own = body.repository.as_ref().and_then(|repository| repository.id);
    own.is_some() && run.head_repository.as_ref().and_then(|all| all.id) == own
}

/// Whether a deployment's commit is one that a person has named, who may write to the repository,
/// or that a workflow of its own had. Apps and workflows deploy strangers' pull requests, too.
fn is_deployed_by_somebody(deployment: &Subject, body: &Body) -> bool {
    if let Some(run) = &body.workflow_run {
        return run.head_sha == deployment.sha && ran_at_home(run, body);
    }
    let kind = deployment.creator.as_ref().and_then(|creator| creator.kind.as_deref());
    let reference = deployment.reference.as_deref().unwrap_or_default();
    let reference = reference.strip_prefix("refs/").unwrap_or(reference);
    deployment.performed_via_github_app.is_none()
        && kind.is_none_or(|kind| kind == "User")
        && !reference.starts_with("pull/")
}

/// Whether a check suite names a pull request within the repository that has its commit.
fn is_of_the_repository(suite: &CheckSuite, body: &Body) -> bool {
    let own = body.repository.as_ref().and_then(|repository| repository.id);
    let mut heads = suite.pull_requests.iter().flatten().filter_map(|pull| pull.head.as_ref());
    own.is_some()
        && heads.any(|head| {
            head.sha == suite.head_sha && head.repo.as_ref().and_then(|repo| repo.id) == own
        })
}

/// The pull request that a trusted person commented on; every other comment is about the default
/// branch. So a stranger's comment never runs a pull request.
pub(super) fn commented_pull(body: &Body, authors: &[String]) -> Option<u64> {
    let issue = body.issue.as_ref()?;
    let voice = body.comment.as_ref()?.author_association.as_deref()?;
    let counts = matches!(body.action.as_deref(), Some("created" | "edited"));
    let counts = counts && issue.pull_request.is_some() && trusts(authors, voice);
    issue.number.filter(|_| counts)
}

/// Why a pull request from a fork is not built: nobody trusted stands behind it, neither who opened
/// it nor who reviewed it or commented on it.
pub(super) fn stranger(body: &Body, authors: &[String]) -> Option<String> {
    let pull = body.pull_request.as_ref()?;
    let voices = [
        pull.author_association.as_deref(),
        body.review.as_ref().and_then(|review| review.author_association.as_deref()),
        body.comment.as_ref().and_then(|comment| comment.author_association.as_deref()),
    ];
    if !is_fork(pull) || voices.iter().flatten().any(|voice| trusts(authors, voice)) {
        return None;
    }
    let voices: Vec<String> = voices.iter().flatten().map(|voice| line(voice, 50)).collect();
    Some(format!(
        "the pull request comes from a fork; its author association is `{}`, these are built: {}",
        voices.join("`, `"),
        authors.join(", ")
    ))
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
