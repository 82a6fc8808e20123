//! Decides whether a worker needs a clone of the repository.

use pipeline::script::{BUILT_IN, Script, ScriptOrigin};
use runtime::build::Build;
use runtime::cluster::{Cluster, ClusterError};
use runtime::project::Project;
use runtime::worker_pod::Clone;

#[cfg(test)]
mod tests;

/// Whether the worker of a build needs a clone: for its script, or for what that reads.
///
/// A script that was fetched from the repository and reads nothing else of it is kept in the
/// build's Secret, before there is a worker that could look for it.
pub(super) async fn clones(
    cluster: &Cluster,
    project: &Project,
    build: &Build,
    script: Option<&Script>,
) -> Result<Clone, ClusterError> {
    // What another program than ours reads, nobody knows.
    let own_worker = !project.worker.name.is_empty() || !project.worker_command.is_empty();
    Ok(match script {
        _ if project.clone_url.is_empty() || project.vcs_sidecar.is_empty() => Clone::No,
        Some(script) if own_worker || reads(&script.text) => Clone::Yes,
        // What it depends on may be in the repository, too.
        Some(Script { config: Some(_), .. }) => Clone::Yes,
        Some(script) if script.origin != ScriptOrigin::Repository => Clone::No,
        Some(script) => {
            let kept = cluster.keep_script(build, &script.text, &script.noted()).await?;
            if kept { Clone::No } else { Clone::Yes }
        }
        None => Clone::Yes,
    })
}

/// Whether a script may read files: it names one, or the module `fs`, or a package, or requires what
/// it does not name. That it may be wrong about comments and texts only costs a clone.
fn reads(script: &str) -> bool {
    let names = ["./", "../", "/vcs", "fs\"", "fs'", "fs`", "fs/", "node:fs"];
    let quoted =
        |name: &&str| ['"', '\'', '`'].iter().any(|q| script.contains(&format!("{q}{name}")));
    names.iter().any(quoted) || names_package(script) || requires_unnamed(script)
}

/// Whether a package is required or imported: what is not built in may be in the repository, as
/// may be what says which of them there are.
fn names_package(script: &str) -> bool {
    let words =
        ["require(", "import(", "import ", "import\"", "import'", "from ", "from\"", "from'"];
    words.iter().any(|word| {
        script.match_indices(word).any(|(at, _)| {
            let rest = script[at + word.len()..].trim_start();
            // The mark may be the last letter of the word.
            let rest =
                if word.ends_with(['"', '\'']) { &script[at + word.len() - 1..] } else { rest };
            let Some(mark) = rest.chars().next().filter(|mark| ['"', '\''].contains(mark)) else {
                return false;
            };
            let name = rest[1..].split(mark).next().unwrap_or_default();
            let name = name.strip_prefix("node:").unwrap_or(name);
            !BUILT_IN.contains(&name)
        })
    })
}

/// Whether `require` or `import()` is used in another way than on a text.
fn requires_unnamed(script: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$';
    ["require", "import"].iter().any(|word| {
        script.match_indices(word).any(|(at, _)| {
            let rest = &script[at + word.len()..];
            if script[..at].ends_with(is_word) || rest.starts_with(is_word) {
                return false;
            }
            match rest.trim_start().strip_prefix('(') {
                Some(argument) => !argument.trim_start().starts_with(['"', '\'']),
                // A statement, whose module is a text.
                None => *word == "require",
            }
        })
    })
}
