//! Decides whether a worker needs a clone of the repository.

use pipeline::script::{Script, ScriptOrigin};
use runtime::build::Build;
use runtime::cluster::{Cluster, ClusterError};
use runtime::project::Project;
use runtime::worker_pod::Clone;

#[cfg(test)]
mod tests;

/// The name that a script has when it came with the build.
const KEPT_NAME: &str = "brigade.js";

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
        Some(script) if script.origin != ScriptOrigin::Repository => Clone::No,
        // By another name it could be another kind of script.
        Some(script) if script.name == KEPT_NAME => {
            let kept = cluster.keep_script(build, &script.text, script.origin.name()).await?;
            if kept { Clone::No } else { Clone::Yes }
        }
        Some(_) | None => Clone::Yes,
    })
}

/// Whether a script may read files: it names one, or the module `fs`, or requires what it does not
/// name. That it may be wrong about comments and texts only costs a clone.
fn reads(script: &str) -> bool {
    let names = ["./", "../", "/vcs", "fs\"", "fs'", "fs`", "fs/", "node:fs"];
    let quoted =
        |name: &&str| ['"', '\'', '`'].iter().any(|q| script.contains(&format!("{q}{name}")));
    names.iter().any(quoted) || requires_unnamed(script)
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
