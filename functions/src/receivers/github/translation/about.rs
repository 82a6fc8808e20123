//! What a project's filters look at in GitHub's bodies: branches, tags, changed files.

use serde::Deserialize;

use super::members::Body;
use crate::filter::Seen;

/// What the filters look at: the branch or the tag that was pushed, made or released, the branch
/// that a pull request is to be merged into, the branches with a status' commit.
pub(super) fn seen(name: &str, body: &Body) -> Seen {
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
