//! The settings: the only place that reads the environment, once, when a program starts.
//!
//! A setting that is not understood stops the program with an error that names its variable.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use crate::event::{Event, LogLevel, Revision};
use crate::project::ScriptLimits;

pub use cluster::ClusterSettings;
pub use host::{AzureSettings, HostSettings, LambdaSettings, PlainSettings};
pub use notify::{NoticeSettings, NotifySettings};
pub use telemetry::TelemetrySettings;

mod cluster;
mod host;
mod notify;
mod telemetry;

/// The longest span of time that a setting may be.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What the environment says.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `ALLOWED_AUTHORS`, Brigade's `BRIGADE_AUTHORS`: whose pull requests from forks are built, a
    /// list of GitHub's author associations. Default: `COLLABORATOR,OWNER,MEMBER`.
    pub allowed_authors: Vec<String>,
    /// `APP_ID`: the GitHub App whose checks are built and that asks GitHub for tokens and check
    /// suites. Default: none.
    pub app_id: Option<u64>,
    /// `APP_KEY`, or the file `APP_KEY_FILE`: the App's private key, in PEM; needed with `APP_ID`.
    /// Default: the file `/etc/brigade-github-app/key.pem`.
    pub app_key: SecretString,
    /// What is wrong with `APP_ID` or `APP_KEY`, where that stops nobody. Default: nothing.
    pub app_problem: Option<String>,
    /// `APP_SECRET`: the Secret whose keys `APP_ID` and `APP_KEY` are those of the App, in the
    /// namespaces of the builds. The workers of projects with a notifier of the kind `github` have
    /// them and write check runs with them; it is the key of every repository that the App is
    /// installed in. Jobs, clones, and workers whose image or command is a project's do not.
    /// Default: none, so that projects have their own credentials.
    pub app_secret: Option<String>,
    /// `BITBUCKET_ALLOW_HOOK_UUID`: takes a Bitbucket delivery without a signature whose
    /// `X-Hook-UUID` is the project's secret, as Brigade did. Default: false.
    pub bitbucket_allow_hook_uuid: bool,
    /// `DEFAULT_BUILD_STORAGE_CLASS`, also with Brigade's prefix `BRIGADE_`: the storage class of
    /// shared storage in projects that name none. Default: the cluster's.
    pub build_storage_class: String,
    /// `DEFAULT_CACHE_STORAGE_CLASS`, also with Brigade's prefix `BRIGADE_`: the storage class of
    /// caches in projects that name none. Default: the cluster's.
    pub cache_storage_class: String,
    /// `CHECK_SUITE_ON_PR`: asks GitHub for a check suite of the App when a pull request is opened
    /// or its commits change, which only pushes have by themselves. Default: true.
    pub check_suite_on_pr: bool,
    /// Which cluster is spoken to, and as whom.
    pub cluster: ClusterSettings,
    /// `COMMENT_COMMAND`: what the comment or the review of a trusted author must begin with to run a
    /// pull request from GitHub that would not be built without it, such as `/brig`. Default: none,
    /// since in Brigade any does.
    pub comment_command: Option<String>,
    /// `DEFAULT_SHARED_SECRET`: signs the webhooks of projects that have no secret. Default: none.
    pub default_shared_secret: SecretString,
    /// `EVENTS`, Brigade's `BRIGADE_EVENTS`: which events of GitHub, GitLab, Gitea and Bitbucket become
    /// builds in projects that do not say so themselves, a list of `*`, `<event>` and
    /// `<event>:<action>`. Default: `*`.
    pub events: Vec<String>,
    /// `FUNCTIONS`: which functions are served, a list of their names. Default: all.
    pub functions: Vec<String>,
    /// `GITHUB_ALLOW_SHA1`: takes a signature by SHA-1 where the sender sends no better one, as
    /// old GitHub Enterprise servers do. Default: false.
    pub github_allow_sha1: bool,
    /// `GITHUB_HOSTS`: the servers beside api.github.com and this machine that are sent what proves
    /// the App of `APP_ID`, a list of names without ports: those of the App's own GitHub. Whatever
    /// other server a project names could ask GitHub for tokens with it. Default: none.
    pub github_hosts: Vec<String>,
    /// `GITHUB_TWO_BUILDS`: makes two builds of an event with an action, `<event>` and
    /// `<event>:<action>`, as Brigade does, instead of one that fires both names. Default: false.
    pub github_two_builds: bool,
    /// Where requests come from.
    pub host: HostSettings,
    /// `INLINE`: `never` sends every build through a worker pod. Default: `auto`.
    pub inline: Inline,
    /// `JOB_SERVICE_ACCOUNT`, Brigade's `BRIGADE_JOB_SERVICE_ACCOUNT`: the service account of jobs
    /// in projects that name none. Default: `brigade-worker`.
    pub job_service_account: String,
    /// `LOG`: what is logged, by level or by target: `debug`, `info,functions=debug`.
    /// Default: `info`.
    pub log: String,
    /// `LOG_FORMAT`: `json` or `text`. Default: `json`.
    pub log_format: LogFormat,
    /// `NAMESPACE`, Brigade's `BRIGADE_NAMESPACE`: where the projects are. Default: `default`.
    pub namespace: String,
    /// How notifiers are told.
    pub notify: NotifySettings,
    /// `NPM_REGISTRY`: where workers fetch the packages of scripts, the URL of a registry that
    /// speaks npm's protocol. Default: `https://registry.npmjs.org`.
    pub npm_registry: String,
    /// `PACKAGE_CACHE`: the folder where workers keep packages, which nobody else writes to.
    /// Default: `/tmp/brigantine/packages`.
    pub package_cache: PathBuf,
    /// `REGISTRY_ALLOW_UNSIGNED`: takes the webhooks of registries without a token, as Brigade's
    /// own URLs need. Anybody who can reach the function can then start builds of branches and
    /// tags, with a payload of their own. Default: false.
    pub registry_allow_unsigned: bool,
    /// `REQUEST_BUDGET`: how long a request may take before it is answered with what is certain by
    /// then, in seconds. Default: 8, since GitHub gives up after 10.
    pub request_budget: Duration,
    /// `SCRIPT_FETCH_BUDGET`: how long the repository's script is waited for, in seconds; then a
    /// worker clones it. Default: 3; 0 never fetches it.
    pub script_fetch_budget: Duration,
    /// `SCRIPT_LIMITS`: the most that projects may let their scripts have, a list with `memory`,
    /// `time`, `output`, `jobs` and `timers`. Default:
    /// `memory=256Mi,time=1m,output=16Mi,jobs=5000,timers=10000`.
    pub script_limits: ScriptLimits,
    /// `SLACK_BUDGET`: how long a request of Slack's may take, in seconds. Default: 2.5, since Slack
    /// gives up after 3.
    pub slack_budget: Duration,
    /// What the program says of itself, beside its log.
    pub telemetry: TelemetrySettings,
    /// `WORKER_IMAGE`, Brigade's `BRIGADE_WORKER_IMAGE`: the image of worker pods.
    /// Default: `ghcr.io/brigantine/worker:latest`.
    pub worker_image: String,
    /// `WORKER_PULL_POLICY`, Brigade's `BRIGADE_WORKER_PULL_POLICY`: when that image is pulled.
    /// Default: `IfNotPresent`.
    pub worker_pull_policy: String,
    /// `WORKER_SERVICE_ACCOUNT`, Brigade's `BRIGADE_WORKER_SERVICE_ACCOUNT`: the service account of
    /// worker pods. Default: `brigade-worker`.
    pub worker_service_account: String,
}

/// What a worker's pod tells the worker, in Brigade's own variables and folders.
#[derive(Clone, Debug)]
pub struct WorkerSettings {
    /// `BRIGADE_BUILD_ID`: the build's id. Required.
    pub build: String,
    /// `BRIGADE_PROJECT_NAMESPACE`: where the build is. Required.
    pub namespace: String,
    /// `BRIGADE_PROJECT_ID`: the project's id. Required.
    pub project: String,
    /// `NAMESPACE`, also with Brigade's prefix `BRIGADE_`: where the project is. Default: where
    /// the build is, as Brigade has it.
    pub home: String,
    /// Whether the build is in a Secret if it was not deleted, as it is where Brigantine made the
    /// pod: `BRIGADE_NAMESPACE` is set there, and by nobody else.
    pub stored: bool,
    /// `BRIGADE_LOG_LEVEL`: the level of the worker's own lines. Default: the build's.
    pub log_level: Option<LogLevel>,
    /// `BRIGADE_EVENT_TYPE`, `BRIGADE_EVENT_PROVIDER`, `BRIGADE_COMMIT_ID`, `BRIGADE_COMMIT_REF` and
    /// `BRIGADE_REMOTE_URL`: the event, for a build that is not in the cluster.
    pub event: Event,
    /// `BRIGADE_CONFIG`: the file that names what the script depends on, before any other.
    /// Default: none.
    pub config: Option<PathBuf>,
    /// `BRIGADE_SCRIPT`: the file of the script, before any other but the event's own. Default: none.
    pub script: Option<PathBuf>,
    /// `BRIGADE_SERVICE_ACCOUNT`: the service account of jobs that name none. Default: that of
    /// `JOB_SERVICE_ACCOUNT`.
    pub service_account: String,
    /// `BRIGADE_SERVICE_ACCOUNT_REGEX`: what that must match somewhere. Default: anything.
    pub service_account_regex: Option<String>,
    /// `BRIGADE_WORKSPACE`: where the repository was cloned to, if it was. Default: `/vcs`.
    pub workspace: PathBuf,
    /// Where the build's Secret is mounted: `/etc/brigade`.
    pub build_folder: PathBuf,
    /// Where the project's Secret is mounted: `/etc/brigade-project`.
    pub project_folder: PathBuf,
}

impl WorkerSettings {
    /// Reads the environment of this process.
    pub fn from_environment() -> Result<WorkerSettings, SettingsError> {
        #[expect(clippy::disallowed_methods, reason = "this is the place")]
        WorkerSettings::read(|name| std::env::var(name).ok())
    }

    /// Reads variables. An empty one is one that is not set.
    pub fn read(
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<WorkerSettings, SettingsError> {
        let get = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let text = |name: &str| get(name).unwrap_or_default();
        let required = |name| get(name).ok_or(wrong(name, MISSING));
        // In Brigade's order, so that the same one is named.
        let project = required("BRIGADE_PROJECT_ID")?;
        let namespace = required("BRIGADE_PROJECT_NAMESPACE")?;
        let kind = get("BRIGADE_EVENT_TYPE").unwrap_or_else(|| "ping".to_owned());
        let provider = get("BRIGADE_EVENT_PROVIDER").unwrap_or_else(|| "unknown".to_owned());
        let event = Event {
            revision: Revision {
                commit: text("BRIGADE_COMMIT_ID"),
                reference: text("BRIGADE_COMMIT_REF"),
            },
            clone_url: get("BRIGADE_REMOTE_URL"),
            ..Event::new(&provider, &kind, "")
        };
        Ok(WorkerSettings {
            build: required("BRIGADE_BUILD_ID")?,
            home: get("NAMESPACE")
                .or_else(|| get("BRIGADE_NAMESPACE"))
                .unwrap_or_else(|| namespace.clone()),
            stored: get("BRIGADE_NAMESPACE").is_some(),
            namespace,
            project,
            // Brigade takes a level that it does not know as none at all, and says nothing then.
            log_level: get("BRIGADE_LOG_LEVEL").and_then(|name| LogLevel::parse(name.trim())),
            event,
            config: get("BRIGADE_CONFIG").map(Into::into),
            script: get("BRIGADE_SCRIPT").map(Into::into),
            service_account: match get("BRIGADE_SERVICE_ACCOUNT") {
                Some(account) => account,
                None => Settings::read(&variable)?.job_service_account,
            },
            service_account_regex: get("BRIGADE_SERVICE_ACCOUNT_REGEX"),
            workspace: get("BRIGADE_WORKSPACE").unwrap_or_else(|| "/vcs".to_owned()).into(),
            build_folder: "/etc/brigade".into(),
            project_folder: "/etc/brigade-project".into(),
        })
    }
}

/// What the environment says of sweeping, in the variables of Brigade's vacuum.
#[derive(Clone, Debug)]
pub struct SweepSettings {
    /// `VACUUM_AGE`: builds that are older are deleted. Default: no limit.
    pub age: Option<Duration>,
    /// `VACUUM_MAX_BUILDS`: so many builds of a namespace are kept. Default: no limit, as 0 and -1.
    pub max_builds: Option<i64>,
    /// `VACUUM_SKIP_RUNNING_BUILDS`: whether running builds are kept. Default: true.
    pub skip_running: bool,
}

impl SweepSettings {
    /// Reads the environment of this process.
    pub fn from_environment() -> Result<SweepSettings, SettingsError> {
        #[expect(clippy::disallowed_methods, reason = "this is the place")]
        SweepSettings::read(|name| std::env::var(name).ok())
    }

    /// Reads variables. An empty one is one that is not set.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<SweepSettings, SettingsError> {
        let get = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let age = |text: String| {
            crate::units::duration(&text).ok_or(wrong("VACUUM_AGE", "a span of time like 720h"))
        };
        let count = |text: String| {
            let count = text.trim().parse().ok().filter(|count| *count >= -1);
            count.ok_or(wrong("VACUUM_MAX_BUILDS", "a whole number; 0 and -1 are no limit"))
        };
        let skip = "VACUUM_SKIP_RUNNING_BUILDS";
        Ok(SweepSettings {
            age: get("VACUUM_AGE").map(age).transpose()?,
            max_builds: get("VACUUM_MAX_BUILDS").map(count).transpose()?,
            skip_running: truth(skip, get(skip).or_else(|| Some("true".to_owned())))?,
        })
    }
}

/// What an init container that clones is told, in the variables of Brigade's git-sidecar.
#[derive(Clone, Debug)]
pub struct CloneSettings {
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
    /// What git needs to be found and to reach the network: `PATH`, the proxies' and the
    /// certificates' variables, as they are here.
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

/// What a variable must be that every worker's pod has.
const MISSING: &str = "set, as it is in a worker's pod";

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

/// Whether scripts are started in the function.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Inline {
    /// Whenever the function has the script.
    Auto,
    /// Never: every build goes through a worker pod.
    Never,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogFormat {
    /// A JSON object a line.
    Json,
    /// For people.
    Text,
}

/// A variable that is not understood.
#[derive(Debug, thiserror::Error)]
#[error("the variable {variable} must be {expected}")]
pub struct SettingsError {
    variable: &'static str,
    expected: &'static str,
}

impl SettingsError {
    /// The variable that is required and not set, if that is what is wrong.
    pub fn missing(&self) -> Option<&'static str> {
        (self.expected == MISSING).then_some(self.variable)
    }
}

impl Settings {
    /// Reads the environment of this process.
    pub fn from_environment() -> Result<Settings, SettingsError> {
        #[expect(clippy::disallowed_methods, reason = "this is the place")]
        Settings::read(|name| std::env::var(name).ok())
    }

    /// Reads the environment of a worker.
    pub fn of_worker() -> Result<Settings, SettingsError> {
        #[expect(clippy::disallowed_methods, reason = "this is the place")]
        Settings::read_for_worker(|name| std::env::var(name).ok())
    }

    /// Reads variables of a worker, which needs the GitHub App for nothing but to tell GitHub: where
    /// it is none that can be used, that is said to whom it tells, and fails no build.
    pub fn read_for_worker(
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Settings, SettingsError> {
        match Settings::read(&variable) {
            Err(error) if matches!(error.variable, "APP_ID" | "APP_KEY") => {
                let without = |name: &str| variable(name).filter(|_| name != "APP_ID");
                let settings = Settings::read(without)?;
                Ok(Settings { app_problem: Some(error.to_string()), ..settings })
            }
            read => read,
        }
    }

    /// Reads variables. An empty one is one that is not set.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Settings, SettingsError> {
        let get = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let either = |names: [&str; 2], default: &str| {
            names.into_iter().find_map(get).unwrap_or_else(|| default.to_owned())
        };
        let list = |text: &str| -> Vec<String> {
            text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(Into::into).collect()
        };
        let app_id = match get("APP_ID").as_deref().map(str::trim) {
            None | Some("0") => None,
            Some(id) => Some(
                id.parse().map_err(|_unparsed| wrong("APP_ID", "the number of a GitHub App"))?,
            ),
        };
        Ok(Settings {
            app_key: app_key(app_id.is_some(), get("APP_KEY"), get("APP_KEY_FILE"))?,
            app_id,
            app_problem: None,
            app_secret: get("APP_SECRET").map(secret_name).transpose()?,
            allowed_authors: list(
                &either(["ALLOWED_AUTHORS", "BRIGADE_AUTHORS"], "COLLABORATOR,OWNER,MEMBER")
                    .to_ascii_uppercase(),
            ),
            bitbucket_allow_hook_uuid: truth(
                "BITBUCKET_ALLOW_HOOK_UUID",
                get("BITBUCKET_ALLOW_HOOK_UUID"),
            )?,
            build_storage_class: either(
                ["DEFAULT_BUILD_STORAGE_CLASS", "BRIGADE_DEFAULT_BUILD_STORAGE_CLASS"],
                "",
            ),
            cache_storage_class: either(
                ["DEFAULT_CACHE_STORAGE_CLASS", "BRIGADE_DEFAULT_CACHE_STORAGE_CLASS"],
                "",
            ),
            check_suite_on_pr: truth(
                "CHECK_SUITE_ON_PR",
                get("CHECK_SUITE_ON_PR").or_else(|| Some("true".to_owned())),
            )?,
            cluster: ClusterSettings::read(get)?,
            comment_command: get("COMMENT_COMMAND").map(|command| command.trim().to_owned()),
            default_shared_secret: get("DEFAULT_SHARED_SECRET").unwrap_or_default().into(),
            events: list(&either(["EVENTS", "BRIGADE_EVENTS"], "*")),
            functions: list(&get("FUNCTIONS").unwrap_or_default()),
            github_allow_sha1: truth("GITHUB_ALLOW_SHA1", get("GITHUB_ALLOW_SHA1"))?,
            github_hosts: list(&get("GITHUB_HOSTS").unwrap_or_default().to_ascii_lowercase()),
            github_two_builds: truth("GITHUB_TWO_BUILDS", get("GITHUB_TWO_BUILDS"))?,
            host: HostSettings::read(&variable)?,
            inline: match get("INLINE").as_deref() {
                None | Some("auto") => Inline::Auto,
                Some("never") => Inline::Never,
                Some(_) => return Err(wrong("INLINE", "auto or never")),
            },
            job_service_account: either(
                ["JOB_SERVICE_ACCOUNT", "BRIGADE_JOB_SERVICE_ACCOUNT"],
                "brigade-worker",
            ),
            log: get("LOG").unwrap_or_else(|| "info".to_owned()),
            log_format: match get("LOG_FORMAT").as_deref() {
                None | Some("json") => LogFormat::Json,
                Some("text") => LogFormat::Text,
                Some(_) => return Err(wrong("LOG_FORMAT", "json or text")),
            },
            namespace: either(["NAMESPACE", "BRIGADE_NAMESPACE"], "default"),
            npm_registry: get("NPM_REGISTRY")
                .unwrap_or_else(|| "https://registry.npmjs.org".to_owned()),
            package_cache: get("PACKAGE_CACHE")
                .unwrap_or_else(|| "/tmp/brigantine/packages".to_owned())
                .into(),
            registry_allow_unsigned: truth(
                "REGISTRY_ALLOW_UNSIGNED",
                get("REGISTRY_ALLOW_UNSIGNED"),
            )?,
            request_budget: seconds("REQUEST_BUDGET", get("REQUEST_BUDGET"), 8.0)?,
            script_fetch_budget: seconds("SCRIPT_FETCH_BUDGET", get("SCRIPT_FETCH_BUDGET"), 3.0)?,
            script_limits: get("SCRIPT_LIMITS").unwrap_or_default().parse().map_err(|_unread| {
                wrong("SCRIPT_LIMITS", "a list like memory=256Mi,time=1m,output=16Mi,jobs=500")
            })?,
            notify: NotifySettings::read(get)?,
            slack_budget: seconds("SLACK_BUDGET", get("SLACK_BUDGET"), 2.5)?,
            telemetry: TelemetrySettings::read(get)?,
            worker_image: either(
                ["WORKER_IMAGE", "BRIGADE_WORKER_IMAGE"],
                "ghcr.io/brigantine/worker:latest",
            ),
            worker_pull_policy: either(
                ["WORKER_PULL_POLICY", "BRIGADE_WORKER_PULL_POLICY"],
                "IfNotPresent",
            ),
            worker_service_account: either(
                ["WORKER_SERVICE_ACCOUNT", "BRIGADE_WORKER_SERVICE_ACCOUNT"],
                "brigade-worker",
            ),
        })
    }
}

impl Default for Settings {
    /// The settings of an empty environment.
    fn default() -> Settings {
        Settings::read(|_name| None).expect("every default is valid")
    }
}

/// The name of a Secret.
fn secret_name(name: String) -> Result<String, SettingsError> {
    let name = name.trim();
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    let is_name = name.len() <= 253
        && name.chars().all(fits)
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.ends_with(|c: char| c.is_ascii_alphanumeric());
    is_name.then(|| name.to_owned()).ok_or(wrong("APP_SECRET", "the name of a Secret"))
}

/// The key of a GitHub App: as it is, with its line ends written `\n`, or in a file.
fn app_key(
    is_needed: bool,
    text: Option<String>,
    file: Option<String>,
) -> Result<SecretString, SettingsError> {
    const FILE: &str = "/etc/brigade-github-app/key.pem";
    if !is_needed {
        return Ok(SecretString::default());
    }
    let key = match (text, file) {
        (Some(text), _) => text.replace("\\n", "\n"),
        (None, file) => {
            let path = file.unwrap_or_else(|| FILE.to_owned());
            std::fs::read_to_string(path).map_err(|_unread| {
                wrong(
                    "APP_KEY",
                    "set with APP_ID, or APP_KEY_FILE must name a file that can be read",
                )
            })?
        }
    };
    if !key.contains("PRIVATE KEY-----") {
        return Err(wrong("APP_KEY", "a private key in PEM, as GitHub gives it out for an App"));
    }
    Ok(key.into())
}

fn truth(variable: &'static str, value: Option<String>) -> Result<bool, SettingsError> {
    match value.unwrap_or_default().to_ascii_lowercase().as_str() {
        "" | "false" | "0" | "no" => Ok(false),
        "true" | "1" | "yes" => Ok(true),
        _ => Err(wrong(variable, "true or false")),
    }
}

fn seconds(
    variable: &'static str,
    value: Option<String>,
    default: f64,
) -> Result<Duration, SettingsError> {
    let Some(value) = value else { return Ok(Duration::from_secs_f64(default)) };
    let seconds = value.parse().ok().and_then(|value| Duration::try_from_secs_f64(value).ok());
    // A moment that is too far away cannot be told.
    let seconds = seconds.filter(|seconds| *seconds <= DAY);
    seconds.ok_or_else(|| wrong(variable, "a number of seconds, a day's at most"))
}

fn wrong(variable: &'static str, expected: &'static str) -> SettingsError {
    SettingsError { variable, expected }
}

#[cfg(test)]
fn read(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    Settings::read(|wanted| {
        let found = variables.iter().find(|(name, _)| *name == wanted);
        found.map(|(_, value)| (*value).to_owned())
    })
}

#[test]
fn brigades_own_variables_are_read() {
    let settings = read(&[
        ("BRIGADE_NAMESPACE", "brigade"),
        ("BRIGADE_AUTHORS", "owner, contributor"),
        ("BRIGADE_WORKER_IMAGE", "w:1"),
    ])
    .unwrap();
    assert_eq!(settings.namespace, "brigade");
    assert_eq!(settings.allowed_authors, ["OWNER", "CONTRIBUTOR"]);
    assert_eq!(settings.worker_image, "w:1");
}

#[test]
fn a_setting_that_is_not_understood_is_named() {
    for (name, value, error) in [
        ("PORT", "http", "the variable PORT must be a port number from 0 to 65535"),
        ("PORT", "70000", "the variable PORT must be a port number from 0 to 65535"),
        ("INLINE", "sometimes", "the variable INLINE must be auto or never"),
        (
            "REGISTRY_ALLOW_UNSIGNED",
            "maybe",
            "the variable REGISTRY_ALLOW_UNSIGNED must be true or false",
        ),
        (
            "REQUEST_BUDGET",
            "-1",
            "the variable REQUEST_BUDGET must be a number of seconds, a day's at most",
        ),
        (
            "SCRIPT_FETCH_BUDGET",
            "1e18",
            "the variable SCRIPT_FETCH_BUDGET must be a number of seconds, a day's at most",
        ),
    ] {
        assert_eq!(read(&[(name, value)]).unwrap_err().to_string(), error);
    }
}

#[test]
fn an_app_has_a_key_as_a_text_or_in_a_file() {
    let key = "-----BEGIN RSA PRIVATE KEY-----\\nMII\\n-----END RSA PRIVATE KEY-----";
    let settings = read(&[("APP_ID", "7"), ("APP_KEY", key), ("CHECK_SUITE_ON_PR", "")]).unwrap();
    let text = secrecy::ExposeSecret::expose_secret(&settings.app_key);
    assert_eq!(text.lines().count(), 3);
    assert_eq!((settings.app_id, settings.check_suite_on_pr), (Some(7), true));
    let settings = read(&[("APP_ID", "0"), ("CHECK_SUITE_ON_PR", "false")]).unwrap();
    assert_eq!((settings.app_id, settings.check_suite_on_pr), (None, false));
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    for (app, problem) in [
        (&[("APP_ID", "ours"), ("APP_KEY", key)][..], "APP_ID must be the number of a GitHub App"),
        (&[("APP_ID", "7"), ("APP_KEY", "s3cret")], "APP_KEY must be a private key in PEM, as"),
    ] {
        let variable = |name: &str| {
            let found = app.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        assert!(Settings::read(variable).is_err());
        let settings = Settings::read_for_worker(variable).unwrap();
        assert_eq!(settings.app_id, None);
        let said = settings.app_problem.unwrap();
        assert!(said.starts_with(&format!("the variable {problem}")), "{said}");
    }
    let settings = read(&[("APP_SECRET", " our-app.v1 ")]).unwrap();
    assert_eq!(settings.app_secret.as_deref(), Some("our-app.v1"));
    for name in ["Our", "a/b", "-a", "a_b", &"a".repeat(254)] {
        let error = read(&[("APP_SECRET", name)]).unwrap_err().to_string();
        assert_eq!(error, "the variable APP_SECRET must be the name of a Secret");
    }
    for (name, value, error) in [
        ("APP_ID", "x", "the variable APP_ID must be the number of a GitHub App"),
        ("APP_KEY", "x", "the variable APP_KEY must be a private key in PEM"),
        ("APP_KEY_FILE", file, "the variable APP_KEY must be a private key in PEM"),
        ("APP_KEY_FILE", "/none/such", "the variable APP_KEY must be set with APP_ID"),
    ] {
        let error_there =
            read(&[("APP_ID", if name == "APP_ID" { value } else { "7" }), (name, value)]);
        let error_there = error_there.unwrap_err().to_string();
        assert!(error_there.starts_with(error), "{error_there}");
    }
}

#[test]
fn a_worker_says_which_variable_is_missing() {
    let error = WorkerSettings::read(|_name| None).unwrap_err();
    assert_eq!(error.missing(), Some("BRIGADE_PROJECT_ID"));
    let error = error.to_string();
    assert_eq!(error, "the variable BRIGADE_PROJECT_ID must be set, as it is in a worker's pod");
}

#[test]
fn a_worker_is_told_as_brigades_controller_tells_it() {
    let read = |variables: &[(&str, &str)]| {
        let found = |wanted: &str| variables.iter().find(|(name, _)| *name == wanted);
        WorkerSettings::read(|wanted| found(wanted).map(|(_, value)| (*value).to_owned())).unwrap()
    };
    let required = [
        ("BRIGADE_BUILD_ID", "01hf"),
        ("BRIGADE_PROJECT_ID", "brigade-1"),
        ("BRIGADE_PROJECT_NAMESPACE", "ci"),
    ];
    // Brigade's worker is not told where the projects are: they are where the builds are.
    let worker = read(&required);
    assert_eq!((worker.home.as_str(), worker.service_account.as_str()), ("ci", "brigade-worker"));
    assert!(!worker.stored);
    assert_eq!((worker.event.kind.as_str(), worker.event.provider.as_str()), ("ping", "unknown"));
    for (level, expected) in
        [("", None), ("warn", Some(LogLevel::Warn)), ("NONE", Some(LogLevel::None)), ("loud", None)]
    {
        let variables = [&required[..], &[("BRIGADE_LOG_LEVEL", level)]].concat();
        assert_eq!(read(&variables).log_level, expected, "{level}");
    }
    let variables = [&required[..], &[("BRIGADE_NAMESPACE", "projects")]].concat();
    let worker = read(&variables);
    assert_eq!((worker.home.as_str(), worker.stored), ("projects", true));
}

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

#[test]
fn an_empty_environment_is_closed() {
    let settings = Settings::default();
    assert!(!settings.registry_allow_unsigned && !settings.github_allow_sha1);
    assert!(settings.github_hosts.is_empty());
    assert_eq!(settings.host.plain.listen.port(), 8080);
}
