//! The role `clone`: what Brigade's git-sidecar does, as an init container.
//!
//! The event's commit is checked out, and where the event names only a branch or a tag, what that
//! is now. A branch is checked out as a branch, anything else with a detached head. The repository
//! is hostile, as far as it is possible: nothing of it is run, and its credentials go to its own
//! host alone.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use runtime::settings::CloneSettings;

use git::{Failure, Git, Kind, last_line};
use remote::{Remote, RemoteError};
use revision::{NameError, Wanted, candidates, is_beginning};
use say::Say;

mod git;
mod remote;
mod revision;
mod say;

#[cfg(test)]
mod tests;

/// How long is waited before the network is tried again, as git-sidecar does.
pub(crate) const WAITS: [Duration; 4] = [
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(15),
    Duration::from_secs(20),
];

/// The file that tells a clone of ours, which is made anew when an init container runs again.
const MARK: &str = "brigantine-clone";

/// How much history is fetched to find a commit that the server does not give out by its id.
const DEPTHS: [&str; 3] = ["--depth=50", "--depth=500", "--depth=5000"];

/// Why nothing was cloned, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CloneError {
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("the folder {folder} cannot be cloned to")]
    Folder { folder: String, source: io::Error },
    #[error("there is no temporary folder for git's configuration; TMPDIR names one")]
    Temporary(#[source] io::Error),
    #[error("the folder {0} holds another repository; clone to an empty folder")]
    Foreign(String),
    #[error(
        "{0} needs credentials: give the project a github.token for HTTPS or an sshKey for SSH"
    )]
    NoCredentials(String),
    #[error(
        "{shown} refuses the project's credentials: see whether its github.token or sshKey is \
         valid and may read this repository ({said})"
    )]
    Denied { shown: String, said: String },
    #[error(
        "the host of {shown} has another key than CLONE_KNOWN_HOSTS says, or is not in it ({said})"
    )]
    UnknownHost { shown: String, said: String },
    #[error("there is no repository {0}, or the project's credentials may not see it")]
    NoRepository(String),
    #[error("{shown} has no branch, tag or commit {name}; it may have been deleted since")]
    NoReference { shown: String, name: String },
    #[error(
        "{shown} has no commit {commit} in any branch or tag; it may have been replaced by a \
         forced push"
    )]
    NoCommit { shown: String, commit: String },
    #[error("{shown} has several commits that begin with {beginning}; write more of the id")]
    Several { shown: String, beginning: String },
    #[error("the program git is not there; this image cannot clone")]
    NoGit,
    #[error("{shown} could not be reached: {said}")]
    Network { shown: String, said: String },
    #[error("the submodules of {shown} could not be cloned: {said}")]
    Submodules { shown: String, said: String },
    #[error("{shown} could not be cloned: {said}")]
    Other { shown: String, said: String },
    #[error("{shown} could not be cloned in {limit:?}; CLONE_TIMEOUT allows more")]
    Time { shown: String, limit: Duration },
    #[error("the clone was interrupted")]
    Interrupted,
}

/// Clones what the environment names. The folder is whole afterwards, or there is an error.
pub(crate) async fn clone(
    settings: &CloneSettings,
    out: impl Write + Send + 'static,
    waits: &[Duration],
    shutdown: impl Future<Output = ()>,
) -> Result<(), CloneError> {
    let remote = Remote::parse(&settings.remote)?;
    let wanted = Wanted::of(&settings.commit, &settings.reference)?;
    let folder = settings.workspace.display().to_string();
    prepare(&settings.workspace, &folder)?;
    let git = Git::new(settings, &remote, waits, Say::new(out)).map_err(CloneError::Temporary)?;
    let cloning = Cloning { git, remote, wanted, settings };
    let limit = settings.time_limit;
    tokio::select! {
        biased;
        () = shutdown => Err(CloneError::Interrupted),
        ended = tokio::time::timeout(limit, cloning.all()) => ended.unwrap_or_else(|_elapsed| {
            Err(CloneError::Time { shown: cloning.remote.shown.clone(), limit })
        }),
    }
}

/// Makes the folder, and empties it if it is the folder of a clone of ours that was interrupted.
fn prepare(folder: &Path, name: &str) -> Result<(), CloneError> {
    let at = |source| CloneError::Folder { folder: name.to_owned(), source };
    fs::create_dir_all(folder).map_err(at)?;
    let git = folder.join(".git");
    if git.symlink_metadata().is_err() {
        return Ok(());
    }
    if !git.join(MARK).is_file() {
        return Err(CloneError::Foreign(name.to_owned()));
    }
    let mut entries: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder).map_err(at)? {
        entries.push(entry.map_err(at)?.path());
    }
    // The mark goes last: until then, another try knows the folder.
    entries.retain(|entry| *entry != git);
    for entry in entries {
        let folder = entry.symlink_metadata().map_err(at)?.is_dir();
        if folder { fs::remove_dir_all(&entry) } else { fs::remove_file(&entry) }.map_err(at)?;
    }
    fs::remove_dir_all(&git).map_err(at)
}

struct Cloning<'a> {
    git: Git,
    remote: Remote,
    wanted: Wanted,
    settings: &'a CloneSettings,
}

/// What a name stands for.
struct Reference {
    /// `refs/heads/main`
    full: String,
}

impl Reference {
    fn branch(&self) -> Option<&str> {
        self.full.strip_prefix("refs/heads/")
    }

    /// Where it is kept, as git keeps what it cloned.
    fn refspec(&self) -> String {
        match self.branch() {
            Some(branch) => format!("+refs/heads/{branch}:refs/remotes/origin/{branch}"),
            None => format!("+{0}:{0}", self.full),
        }
    }

    fn kept(&self) -> String {
        match self.branch() {
            Some(branch) => format!("refs/remotes/origin/{branch}"),
            None => self.full.clone(),
        }
    }
}

impl Cloning<'_> {
    async fn all(&self) -> Result<(), CloneError> {
        let Cloning { git, remote, wanted, settings } = self;
        let shown = &remote.shown;
        git.say.line(&format!("cloning {shown} to {}", settings.workspace.display()));
        if let Some(unused) = &wanted.unused {
            git.say.line(unused);
        }
        if remote.ssh && settings.known_hosts.is_empty() {
            git.say.line("no CLONE_KNOWN_HOSTS are given: the host's key is taken as it comes");
        }
        self.run(&["init", "--quiet"]).await?;
        let mark = settings.workspace.join(".git").join(MARK);
        fs::write(mark, "").map_err(|source| CloneError::Folder {
            folder: settings.workspace.display().to_string(),
            source,
        })?;
        self.run(&["remote", "add", "--", "origin", &remote.url]).await?;
        let (reference, commit) = self.fetch().await?;
        self.check_out(reference.as_ref(), &commit).await?;
        if settings.submodules {
            self.submodules().await?;
        }
        let branch = reference.as_ref().map(|reference| reference.full.as_str());
        let of = branch.map(|full| format!(" of {full}")).unwrap_or_default();
        git.say.line(&format!("checked out {commit}{of}"));
        Ok(())
    }

    /// Fetches what is wanted; the reference that it is of, and the commit.
    async fn fetch(&self) -> Result<(Option<Reference>, String), CloneError> {
        let Wanted { commit, beginning, name, .. } = &self.wanted;
        let missing = |name: &str| CloneError::NoReference {
            shown: self.remote.shown.clone(),
            name: name.to_owned(),
        };
        if let Some(commit) = commit {
            let reference = match name {
                Some(name) => self.resolve(name).await?,
                None => None,
            };
            self.fetch_commit(commit, reference.as_ref()).await?;
            return Ok((reference, commit.clone()));
        }
        let named = name.as_deref().unwrap_or("HEAD");
        let reference = self.resolve(named).await?;
        match (reference, beginning) {
            (Some(reference), Some(beginning)) if name.as_ref() != Some(beginning) => {
                let fetched = self.fetch_reference(&reference, &["--no-tags"]).await;
                fetched.map_err(|failure| self.error(failure))?;
                Ok((Some(reference), self.beginning(beginning).await?))
            }
            (Some(reference), _) => {
                let depth = self.depth();
                let depth: Vec<&str> = depth.iter().map(String::as_str).collect();
                let fetched = match self.fetch_reference(&reference, &depth).await {
                    // Not every server can leave history out.
                    Err(failure) if failure.kind == Kind::Refused => {
                        self.fetch_reference(&reference, &[]).await
                    }
                    fetched => fetched,
                };
                fetched.map_err(|failure| match failure.kind {
                    Kind::NoReference => missing(named),
                    _ => self.error(failure),
                })?;
                let commit = self.commit(&reference.kept()).await?;
                Ok((Some(reference), commit))
            }
            (None, _) if is_beginning(named) => {
                self.fetch_everything().await?;
                Ok((None, self.beginning(named).await?))
            }
            (None, _) => Err(missing(named)),
        }
    }

    /// What a name stands for in the repository, if for anything.
    async fn resolve(&self, name: &str) -> Result<Option<Reference>, CloneError> {
        let candidates = candidates(name);
        // A whole name stands for itself; whether it exists is seen when it is fetched.
        if name.starts_with("refs/") {
            return Ok(Some(Reference { full: name.to_owned() }));
        }
        let mut arguments = vec!["ls-remote", "--symref", "--", "origin"];
        arguments.extend(candidates.iter().map(String::as_str));
        let listed = self.reach(&arguments).await?;
        let mut found: Vec<&str> = Vec::new();
        for line in listed.lines() {
            match line.split_once('\t') {
                Some((target, "HEAD")) if name == "HEAD" && target.starts_with("ref: ") => {
                    let full = target["ref: ".len()..].trim().to_owned();
                    return Ok(Some(Reference { full }));
                }
                Some((_, full)) => found.push(full),
                None => {}
            }
        }
        let mut known = candidates.iter().filter(|candidate| found.contains(&candidate.as_str()));
        let Some(first) = known.next() else { return Ok(None) };
        if let Some(other) = known.next() {
            self.git.say.line(&format!("{name} is both {first} and {other}; {first} is taken"));
        }
        Ok(Some(Reference { full: first.clone() }))
    }

    /// How much history is fetched, as arguments of git.
    fn depth(&self) -> Vec<String> {
        match self.settings.depth {
            Some(depth) => vec![format!("--depth={depth}"), "--no-tags".to_owned()],
            None => vec!["--tags".to_owned()],
        }
    }

    /// Fetches a commit by its id, or by the reference that leads to it, or by everything.
    async fn fetch_commit(
        &self,
        commit: &str,
        reference: Option<&Reference>,
    ) -> Result<(), CloneError> {
        let depth = self.depth();
        let mut arguments = vec!["fetch", "--progress", "--force"];
        arguments.extend(depth.iter().map(String::as_str));
        arguments.extend(["--", "origin", commit]);
        match self.git.reach(&arguments).await {
            Ok(_) => {}
            // Old servers hang up where they do not give out what is in no branch.
            Err(failure) if matches!(failure.kind, Kind::Refused | Kind::NoReference) => {
                self.search(commit, reference).await?;
            }
            Err(failure) => return Err(self.error(failure)),
        }
        let Some(reference) = reference else { return Ok(()) };
        match reference.branch() {
            Some(_) => {
                self.run(&["update-ref", &reference.kept(), commit]).await?;
            }
            // So that `git describe` finds a tag; it may be gone, or another by now.
            None => {
                let depth: Vec<&str> = depth.iter().map(String::as_str).collect();
                let kept = self.fetch_reference(reference, &depth).await.is_ok()
                    && self.commit(&reference.kept()).await.is_ok_and(|kept| kept == commit);
                if !kept {
                    let full = &reference.full;
                    self.git.say.line(&format!("{full} is no longer the commit of the event"));
                }
            }
        }
        Ok(())
    }

    /// Looks for a commit in the history of its reference, then in everything.
    async fn search(&self, commit: &str, reference: Option<&Reference>) -> Result<(), CloneError> {
        self.git.say.line("the server gives out no single commit: its history is fetched");
        for depth in DEPTHS {
            let Some(reference) = reference else { break };
            match self.fetch_reference(reference, &[depth, "--no-tags"]).await {
                Ok(()) if self.has(commit).await => return Ok(()),
                Ok(()) => {}
                Err(failure) if matches!(failure.kind, Kind::Refused | Kind::NoReference) => break,
                Err(failure) => return Err(self.error(failure)),
            }
        }
        self.fetch_everything().await?;
        if self.has(commit).await {
            return Ok(());
        }
        Err(CloneError::NoCommit { shown: self.remote.shown.clone(), commit: commit.to_owned() })
    }

    async fn fetch_reference(
        &self,
        reference: &Reference,
        options: &[&str],
    ) -> Result<(), Failure> {
        let refspec = reference.refspec();
        let mut arguments = vec!["fetch", "--progress", "--force"];
        arguments.extend(options);
        arguments.extend(["--", "origin", &refspec]);
        self.git.reach(&arguments).await.map(|_printed| ())
    }

    /// Fetches all branches and tags with all of their history.
    async fn fetch_everything(&self) -> Result<(), CloneError> {
        let mut arguments = vec!["fetch", "--progress", "--force", "--tags"];
        if self.settings.workspace.join(".git/shallow").exists() {
            arguments.push("--unshallow");
        }
        arguments.extend(["--", "origin", "+refs/heads/*:refs/remotes/origin/*"]);
        self.reach(&arguments).await.map(|_printed| ())
    }

    async fn has(&self, commit: &str) -> bool {
        self.git.run(&["cat-file", "-e", &format!("{commit}^{{commit}}")]).await.is_ok()
    }

    /// The id of what a name stands for here.
    async fn commit(&self, name: &str) -> Result<String, CloneError> {
        let commit = self.run(&["rev-parse", "--verify", &format!("{name}^{{commit}}")]).await?;
        Ok(commit.trim().to_owned())
    }

    /// The commit whose id begins so.
    async fn beginning(&self, beginning: &str) -> Result<String, CloneError> {
        let shown = || self.remote.shown.clone();
        let named = format!("{beginning}^{{commit}}");
        match self.git.run(&["rev-parse", "--verify", &named]).await {
            Ok(commit) => Ok(commit.trim().to_owned()),
            Err(failure) if failure.said.contains("ambiguous") => {
                Err(CloneError::Several { shown: shown(), beginning: beginning.to_owned() })
            }
            Err(_) => Err(CloneError::NoReference { shown: shown(), name: beginning.to_owned() }),
        }
    }

    async fn check_out(
        &self,
        reference: Option<&Reference>,
        commit: &str,
    ) -> Result<(), CloneError> {
        let lfs = self.git.use_lfs().await.map_err(CloneError::Temporary)?;
        let mut arguments = vec!["checkout", "--force", "--quiet", "--no-recurse-submodules"];
        match reference.and_then(Reference::branch) {
            Some(branch) if branch != "HEAD" => {
                arguments.extend(["--no-track", "-B", branch, commit]);
            }
            _ => arguments.extend(["--detach", commit]),
        }
        // Files of git-lfs are fetched now, so this too may need the network.
        self.reach(&arguments).await?;
        let uses_lfs = ["grep", "--quiet", "-F", "filter=lfs", "--", ":(glob)**/.gitattributes"];
        if !lfs && self.git.run(&uses_lfs).await.is_ok() {
            self.git.say.line(
                "the repository uses Git LFS, and git-lfs is not in this image: its files are \
                 left as pointers",
            );
        }
        Ok(())
    }

    async fn submodules(&self) -> Result<(), CloneError> {
        let update = ["submodule", "update", "--init", "--recursive", "--force", "--jobs=4"];
        let shallow = [&update[..], &["--depth=1"]].concat();
        let arguments = if self.settings.depth.is_some() { &shallow[..] } else { &update };
        let ended = match self.git.reach(arguments).await {
            Err(failure) if failure.kind == Kind::Refused && self.settings.depth.is_some() => {
                self.git.say.line("the submodules are fetched with their history");
                self.run(&["submodule", "deinit", "--all", "--force", "--quiet"]).await?;
                let modules = self.settings.workspace.join(".git/modules");
                fs::remove_dir_all(modules).map_err(|source| CloneError::Folder {
                    folder: self.settings.workspace.display().to_string(),
                    source,
                })?;
                self.git.reach(&update).await
            }
            ended => ended,
        };
        ended.map(|_printed| ()).map_err(|failure| CloneError::Submodules {
            shown: self.remote.shown.clone(),
            said: causes(&failure.said),
        })
    }

    async fn run(&self, arguments: &[&str]) -> Result<String, CloneError> {
        self.git.run(arguments).await.map_err(|failure| self.error(failure))
    }

    async fn reach(&self, arguments: &[&str]) -> Result<String, CloneError> {
        self.git.reach(arguments).await.map_err(|failure| self.error(failure))
    }

    fn error(&self, Failure { kind, said }: Failure) -> CloneError {
        let shown = self.remote.shown.clone();
        let last = last_line(&said).to_owned();
        match kind {
            Kind::Denied
                if said.contains("terminal prompts disabled") && !self.git.has_password() =>
            {
                CloneError::NoCredentials(shown)
            }
            Kind::Denied => CloneError::Denied { shown, said: last },
            Kind::UnknownHost => CloneError::UnknownHost { shown, said: last },
            Kind::NoRepository => CloneError::NoRepository(shown),
            Kind::NoReference => CloneError::NoReference {
                name: self.wanted.name.clone().unwrap_or_default(),
                shown,
            },
            Kind::NoGit => CloneError::NoGit,
            Kind::Network => CloneError::Network { shown, said: last },
            Kind::Refused | Kind::Other => CloneError::Other { shown, said: causes(&said) },
        }
    }
}

/// The lines that say what is wrong, in one.
fn causes(said: &str) -> String {
    let wrong = |line: &&str| line.starts_with("fatal:") || line.starts_with("error:");
    let lines: Vec<&str> = said.lines().filter(wrong).collect();
    let from = lines.len().saturating_sub(4);
    if lines.is_empty() { last_line(said).to_owned() } else { lines[from..].join("; ") }
}
