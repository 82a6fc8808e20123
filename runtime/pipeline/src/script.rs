//! Finds the script of a build.
//!
//! The first of these that exists: the event's own, the repository's at the event's commit, the
//! project's `defaultScript`, the `brigade.js` of the ConfigMap that the project names. That is
//! Brigade's order, but for one thing: there, a project with a `brigadejsPath` preferred the
//! repository's script to one that somebody had sent with the event.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{ACCEPT, USER_AGENT};
use runtime::build::{Build, annotation};
use runtime::cluster::{Cluster, ClusterError};
use runtime::project::Project;
use secrecy::ExposeSecret;

#[cfg(test)]
mod tests;

/// The modules that every script has, as `require` and `import` name them; those of Node are known
/// with `node:` too.
pub const BUILT_IN: [&str; 26] = [
    "@brigadecore/brigadier",
    "assert",
    "async_hooks",
    "brigade",
    "brigadier",
    "buffer",
    "console",
    "crypto",
    "events",
    "fs",
    "fs/promises",
    "module",
    "os",
    "path",
    "perf_hooks",
    "process",
    "querystring",
    "string_decoder",
    "timers",
    "timers/promises",
    "tty",
    "url",
    "util",
    "util/types",
    "assert/strict",
    "path/posix",
];

/// How large a script may be, in bytes: it must fit the build's Secret.
const SCRIPT_LIMIT: usize = 512 * 1024;

/// The largest file that is read from a clone.
const CLONED_LIMIT: u64 = 8 << 20;

/// How many scripts are remembered.
const CACHE_LIMIT: usize = 128;

/// A script, and what is known of where it is from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Script {
    /// The source.
    pub text: String,
    /// Its file name, for error messages: `brigade.js`.
    pub name: String,
    /// Where it was found.
    pub origin: ScriptOrigin,
    /// The folder that `./x` is read from, if the repository is at hand.
    pub workspace: Option<PathBuf>,
    /// The file that names what it depends on, and its text, if that was fetched with it.
    pub config: Option<(String, String)>,
}

/// Where a script was found.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum ScriptOrigin {
    Event,
    Repository,
    DefaultScript,
    ConfigMap,
    /// Nowhere: the build fires its event and nobody hears it.
    #[default]
    None,
}

/// What a search for a script came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// The script.
    Script(Script),
    /// It is in the repository, or could be, and only a clone can tell; and why.
    Clone(String),
}

/// How a repository's script is come by.
#[derive(Debug)]
pub enum Repository {
    /// By GitHub's API, as long as that takes no longer than the budget.
    Fetch(Box<Fetcher>),
    /// Only by cloning it, in a worker.
    Clone,
    /// From a folder, where it was cloned to or is worked on, by the project's id.
    Folders(BTreeMap<String, PathBuf>),
    /// Not at all: scripts come with the event or the project.
    Ignore,
}

/// A script's name and its text.
type Named = (String, String);

/// Fetches scripts from GitHub, and remembers those of a commit.
#[derive(Debug)]
pub struct Fetcher {
    http: OnceLock<reqwest::Client>,
    budget: Duration,
    api: String,
    cache: Mutex<HashMap<String, Option<Fetched>>>,
}

/// A script that was fetched, and the file that names what it depends on.
#[derive(Clone, Debug, PartialEq)]
struct Fetched {
    script: Named,
    config: Option<Named>,
}

impl ScriptOrigin {
    /// The origin's name, as it is noted on builds.
    pub fn name(self) -> &'static str {
        match self {
            ScriptOrigin::Event => "event",
            ScriptOrigin::Repository => "repository",
            ScriptOrigin::DefaultScript => "defaultScript",
            ScriptOrigin::ConfigMap => "defaultScriptName",
            ScriptOrigin::None => "none",
        }
    }

    /// Reads what `Script::noted` wrote; what is unknown came with the event.
    fn noted(text: &str) -> (ScriptOrigin, &str) {
        let (origin, name) = text.split_once(':').unwrap_or((text, "brigade.js"));
        let all = [
            ScriptOrigin::Repository,
            ScriptOrigin::DefaultScript,
            ScriptOrigin::ConfigMap,
            ScriptOrigin::None,
        ];
        let origin = all.into_iter().find(|known| known.name() == origin);
        (origin.unwrap_or(ScriptOrigin::Event), name)
    }
}

impl Script {
    /// Where the script is from, as it is noted on builds: with its name, where that says what kind
    /// of script it is.
    pub fn noted(&self) -> String {
        match self.origin {
            ScriptOrigin::Repository if self.name != "brigade.js" => {
                format!("{}:{}", self.origin.name(), self.name)
            }
            origin => origin.name().to_owned(),
        }
    }
}

/// Where the repository's script may be: where the project says, or by these names, of which the
/// first counts.
pub fn names(project: &Project) -> Vec<&str> {
    const NAMES: [&str; 7] = [
        "brigade.js",
        "brigade.ts",
        "brigade.mjs",
        "brigade.cjs",
        "brigade.mts",
        ".brigade/brigade.js",
        ".brigade/brigade.ts",
    ];
    if project.script_path.is_empty() { NAMES.to_vec() } else { vec![&project.script_path] }
}

/// Finds the script of a build.
pub async fn find(
    cluster: &Cluster,
    project: &Project,
    build: &Build,
    repository: &Repository,
) -> Result<Found, ClusterError> {
    let workspace = match repository {
        Repository::Folders(folders) => folders.get(&project.id).cloned(),
        Repository::Fetch(_) | Repository::Clone | Repository::Ignore => None,
    };
    let named = |name: String, text: String, origin| {
        let workspace = workspace.clone();
        Ok(Found::Script(Script { text, name, origin, workspace, config: None }))
    };
    let found = |text: String, origin| named("brigade.js".to_owned(), text, origin);
    if let Some(script) = &build.event.script {
        // A function may have kept it with the build.
        let (origin, name) = build.annotations.get(annotation::SCRIPT).map_or_else(
            || (ScriptOrigin::Event, "brigade.js"),
            |noted| ScriptOrigin::noted(noted),
        );
        return named(name.to_owned(), script.clone(), origin);
    }
    if let Some(folder) = &workspace {
        for name in names(project) {
            let script = match read_file(folder, name) {
                Ok(None) => continue,
                Ok(Some(script)) => script,
                // It is there and cannot be run: no other may run in its place.
                Err(reason) => format!("throw new Error({});", serde_json::json!(reason)),
            };
            return named(name.to_owned(), script, ScriptOrigin::Repository);
        }
    }
    if !project.clone_url.is_empty() && !project.vcs_sidecar.is_empty() {
        match repository {
            Repository::Ignore => {}
            Repository::Clone => {
                return Ok(Found::Clone("scripts are read from a clone".to_owned()));
            }
            Repository::Folders(_) => {}
            Repository::Fetch(fetcher) => match fetcher.fetch(project, build).await {
                Ok(Some(Fetched { script: (name, text), config })) => {
                    let origin = ScriptOrigin::Repository;
                    return Ok(Found::Script(Script { text, name, origin, workspace, config }));
                }
                Ok(None) => {}
                Err(reason) => return Ok(Found::Clone(reason)),
            },
        }
    }
    if !project.default_script.is_empty() {
        return found(project.default_script.clone(), ScriptOrigin::DefaultScript);
    }
    if !project.default_script_name.is_empty() {
        let (namespace, map) = (&project.namespace, &project.default_script_name);
        if let Some(script) = cluster.config_map(namespace, map, "brigade.js").await? {
            return found(script, ScriptOrigin::ConfigMap);
        }
    }
    found(String::new(), ScriptOrigin::None)
}

impl Fetcher {
    /// A fetcher that waits no longer than this for a script.
    pub fn new(budget: Duration) -> Fetcher {
        Fetcher::with_api(budget, "https://api.github.com")
    }

    fn with_api(budget: Duration, api: &str) -> Fetcher {
        Fetcher { http: OnceLock::new(), budget, api: api.to_owned(), cache: Mutex::default() }
    }

    /// The client, made when a script is fetched first: it reads whom the host trusts.
    fn http(&self) -> Result<&reqwest::Client, String> {
        if let Some(http) = self.http.get() {
            return Ok(http);
        }
        // Installed once for the process; a second time changes nothing.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .timeout(self.budget)
            .redirect(reqwest::redirect::Policy::none())
            .build();
        let http = http.map_err(|_unusable| "there is no client for GitHub".to_owned())?;
        Ok(self.http.get_or_init(|| http))
    }

    /// The script, or `None` where the repository has none; an error is a reason to clone it.
    async fn fetch(&self, project: &Project, build: &Build) -> Result<Option<Fetched>, String> {
        let Some((api, repository)) = self.repository(project) else {
            return Err("the repository is not at GitHub".to_owned());
        };
        let revision = &build.event.revision;
        let commit = is_commit(&revision.commit).then_some(revision.commit.as_str());
        let Some(at) = commit.or(Some(revision.reference.as_str()).filter(|at| !at.is_empty()))
        else {
            return Err("the event names no commit".to_owned());
        };
        let names = names(project);
        let config = match project.config_path.as_str() {
            "" => "brigade.json",
            path => path,
        };
        let is_odd = |path: &str| path.split('/').any(|part| matches!(part, "" | "." | ".."));
        if names.iter().any(|name| is_odd(name)) || is_odd(config) {
            return Err("the path of the script or of its configuration is not a plain one".into());
        }
        let key = format!("{api}/{repository}/{} {config}@{at}", names[0]);
        // What a branch points to changes; what a commit holds does not.
        if commit.is_some()
            && let Some(known) = self.cache.lock().unwrap_or_else(PoisonError::into_inner).get(&key)
        {
            return Ok(known.clone());
        }
        let get = |path| self.get(&api, &repository, path, at, project);
        let fetching = async {
            let (script, text) = futures::join!(self.first(&names, get), get(config));
            let Some(script) = script? else { return Ok(None) };
            let config = match text? {
                Some(text) => Some((config.to_owned(), text)),
                // Where a script of Brigade 2 has them.
                None if script.0.starts_with(".brigade/") => {
                    let path = ".brigade/package.json";
                    get(path).await?.map(|text| (path.to_owned(), text))
                }
                None => None,
            };
            Ok(Some(Fetched { script, config }))
        };
        let script = tokio::time::timeout(self.budget, fetching)
            .await
            .unwrap_or_else(|_elapsed| Err("GitHub did not answer in time".to_owned()))?;
        // A private repository answers the same as one without a script.
        if script.is_none() && project.github_token.expose_secret().is_empty() {
            return Err("GitHub answered 404".to_owned());
        }
        if commit.is_some() {
            let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
            if cache.len() >= CACHE_LIMIT {
                cache.clear();
            }
            cache.insert(key, script.clone());
        }
        Ok(script)
    }

    /// The first of some files that there is. Nearly every repository has the first.
    async fn first<'a, F: Future<Output = Result<Option<String>, String>>>(
        &self,
        names: &[&'a str],
        get: impl Fn(&'a str) -> F,
    ) -> Result<Option<Named>, String> {
        let Some((first, others)) = names.split_first() else { return Ok(None) };
        if let Some(text) = get(first).await? {
            return Ok(Some(((*first).to_owned(), text)));
        }
        let found = futures::future::join_all(others.iter().map(|name| get(name))).await;
        for (name, found) in others.iter().zip(found) {
            if let Some(text) = found? {
                return Ok(Some(((*name).to_owned(), text)));
            }
        }
        Ok(None)
    }

    /// The API and the `owner/name` of the project's repository, if GitHub has it.
    fn repository(&self, project: &Project) -> Option<(String, String)> {
        let url = reqwest::Url::parse(&https(&project.clone_url)).ok()?;
        let host = url.host_str()?;
        let enterprise = reqwest::Url::parse(&project.github_base_url).ok();
        let api = match enterprise {
            Some(base) if base.host_str() == Some(host) => {
                project.github_base_url.trim_end_matches('/').to_owned()
            }
            _ if host == "github.com" => self.api.clone(),
            _ => return None,
        };
        let path = url.path().trim_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path);
        let (owner, name) = path.split_once('/')?;
        (!owner.is_empty() && !name.is_empty() && !name.contains('/'))
            .then(|| (api, format!("{owner}/{name}")))
    }

    async fn get(
        &self,
        api: &str,
        repository: &str,
        path: &str,
        at: &str,
        project: &Project,
    ) -> Result<Option<String>, String> {
        let url = format!("{api}/repos/{repository}/contents/{path}");
        let mut url =
            reqwest::Url::parse(&url).map_err(|_unparsed| "its URL is none".to_owned())?;
        url.query_pairs_mut().append_pair("ref", at);
        let mut request = self
            .http()?
            .get(url)
            .header(ACCEPT, "application/vnd.github.raw+json")
            .header("X-GitHub-Api-Version", "2022-11-28")
            .header(USER_AGENT, "brigantine");
        let token = project.github_token.expose_secret();
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        let unreachable = |error: reqwest::Error| {
            let what = if error.is_timeout() { "did not answer in time" } else { "is unreachable" };
            format!("GitHub {what}")
        };
        let mut answer = request.send().await.map_err(unreachable)?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            status => return Err(format!("GitHub answered {}", status.as_u16())),
        }
        let mut script = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
            script.extend_from_slice(&chunk);
            if script.len() > SCRIPT_LIMIT {
                return Err(format!("{path} has more than {SCRIPT_LIMIT} bytes"));
            }
        }
        let script =
            String::from_utf8(script).map_err(|_no_text| format!("{path} is no UTF-8 text"))?;
        Ok(Some(script).filter(|script| !script.trim().is_empty()))
    }
}

/// A text in a clone, if there is one. A path cannot lead out of the clone, nor can a link.
pub(crate) fn read_file(folder: &Path, path: &str) -> Result<Option<String>, String> {
    let inside = || {
        let folder = folder.canonicalize().ok()?;
        let file = folder.join(path).canonicalize().ok()?;
        file.starts_with(&folder).then_some(file)
    };
    let Some(file) = inside().filter(|file| file.is_file()) else { return Ok(None) };
    let failed = |error: std::io::Error| format!("{path} cannot be read: {error}");
    let mut bytes = Vec::new();
    let file = std::fs::File::open(file).map_err(failed)?;
    file.take(CLONED_LIMIT + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > CLONED_LIMIT {
        return Err(format!("{path} has more than {CLONED_LIMIT} bytes"));
    }
    // As Node reads it: what is no UTF-8 is replaced.
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(Some(text).filter(|text| !text.trim().is_empty()))
}

/// A clone URL as one that can be parsed: `git@host:path` becomes `https://host/path`.
fn https(clone_url: &str) -> String {
    match clone_url.strip_prefix("git@").and_then(|rest| rest.split_once(':')) {
        Some((host, path)) => format!("https://{host}/{path}"),
        None => clone_url.to_owned(),
    }
}

fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
