//! What an init container clones.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use super::{SettingsError, seconds, truth, wrong};

/// What an init container that clones is told, in the variables of Brigade's git-sidecar.
#[derive(Clone, Debug)]
pub struct CloneSettings {
    // # The repository (clone)
    /// `BRIGADE_REMOTE_URL`: the repository. Required.
    pub remote: String,
    /// `BRIGADE_COMMIT_ID`: the commit. Default: the one that the reference names.
    pub commit: String,
    /// `BRIGADE_COMMIT_REF`: the branch, the tag or the reference. Default: the commit's id, or the
    /// repository's own branch.
    pub reference: String,
    /// `BRIGADE_WORKSPACE`: the folder that it is cloned to. Default: `/src`.
    pub workspace: PathBuf,
    /// `BRIGADE_SUBMODULES`: whether its submodules are cloned too. Default: false.
    pub submodules: bool,
    /// `BRIGADE_REPO_KEY`: the SSH key, whose lines may be separated by `$`. Default: none.
    pub key: SecretString,
    /// `BRIGADE_REPO_SSH_CERT`: the certificate of that key, likewise. Default: none.
    pub certificate: SecretString,
    /// `BRIGADE_REPO_AUTH_TOKEN`: the password for HTTPS. Default: none.
    pub token: SecretString,
    /// `CLONE_KNOWN_HOSTS`: the lines of a file `known_hosts`; only hosts in it are spoken to by
    /// SSH. Default: any host, as long as its key stays the same during the clone.
    pub known_hosts: String,
    /// `CLONE_DEPTH`: how many commits of history are fetched; 0 is all, and the tags.
    /// Default: 1.
    pub depth: Option<NonZeroU32>,
    /// `CLONE_TIMEOUT`: how long all of it may take, in seconds. Default: 1800.
    pub time_limit: Duration,
    /// `PATH`, `TMPDIR`, `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`, `ALL_PROXY`, `http_proxy`,
    /// `https_proxy`, `no_proxy`, `all_proxy`, `SSL_CERT_DIR`, `SSL_CERT_FILE`, `GIT_SSL_CAINFO` and
    /// `GIT_SSL_CAPATH`: what git needs to be found and to reach the network; it is given nothing
    /// else of the environment. Default: not set.
    pub environment: Vec<(&'static str, String)>,
}

impl CloneSettings {
    /// Reads the environment of this process.
    pub fn from_environment() -> Result<CloneSettings, SettingsError> {
        #[expect(clippy::disallowed_methods, reason = "this is the place")]
        CloneSettings::read(|name| std::env::var(name).ok())
    }

    /// Reads variables. An empty one is one that is not set.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<CloneSettings, SettingsError> {
        let get = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let text = |name: &str| get(name).unwrap_or_default();
        let trimmed = |name: &str| text(name).trim().to_owned();
        let remote = trimmed("BRIGADE_REMOTE_URL");
        if remote.is_empty() {
            let expected = "set to the repository's URL: the project or the event names none";
            return Err(wrong("BRIGADE_REMOTE_URL", expected));
        }
        let depth = get("CLONE_DEPTH").unwrap_or_else(|| "1".to_owned());
        Ok(CloneSettings {
            remote,
            commit: trimmed("BRIGADE_COMMIT_ID"),
            reference: trimmed("BRIGADE_COMMIT_REF"),
            workspace: get("BRIGADE_WORKSPACE").unwrap_or_else(|| "/src".to_owned()).into(),
            submodules: truth("BRIGADE_SUBMODULES", get("BRIGADE_SUBMODULES"))?,
            key: text("BRIGADE_REPO_KEY").into(),
            certificate: text("BRIGADE_REPO_SSH_CERT").into(),
            token: trimmed("BRIGADE_REPO_AUTH_TOKEN").into(),
            known_hosts: text("CLONE_KNOWN_HOSTS"),
            depth: NonZeroU32::new(
                depth.trim().parse().map_err(|_unparsed| {
                    wrong("CLONE_DEPTH", "a number of commits, or 0 for all")
                })?,
            ),
            time_limit: seconds("CLONE_TIMEOUT", get("CLONE_TIMEOUT"), 1800.0)?,
            environment: PASSED.into_iter().filter_map(|name| Some((name, get(name)?))).collect(),
        })
    }
}

/// What is passed on to git, which is given nothing else of the environment.
const PASSED: [&str; 14] = [
    "ALL_PROXY",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "PATH",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TMPDIR",
    "all_proxy",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

#[test]
fn a_clone_says_which_variable_is_missing_or_wrong() {
    let read = |variables: &[(&str, &str)]| {
        let found = |wanted: &str| variables.iter().find(|(name, _)| *name == wanted);
        CloneSettings::read(|wanted| found(wanted).map(|(_, value)| (*value).to_owned()))
    };
    let error = read(&[]).unwrap_err().to_string();
    assert!(error.starts_with("the variable BRIGADE_REMOTE_URL must be set"), "{error}");
    let url = ("BRIGADE_REMOTE_URL", "https://example.com/app.git");
    let error = read(&[url, ("CLONE_DEPTH", "-1")]).unwrap_err().to_string();
    assert_eq!(error, "the variable CLONE_DEPTH must be a number of commits, or 0 for all");
    let settings = read(&[url, ("CLONE_DEPTH", "0"), ("PATH", "/bin"), ("HOME", "/root")]).unwrap();
    assert_eq!((settings.depth, settings.submodules), (None, false));
    assert_eq!(settings.environment, [("PATH", "/bin".to_owned())]);
    assert_eq!(settings.workspace.to_str(), Some("/src"));
}
