//! The settings: the only place that reads the environment, once, when a program starts.
//!
//! A setting that is not understood stops the program with an error that names its variable.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use crate::project::ScriptLimits;

pub use clone::CloneSettings;
pub use cluster::{AksSettings, AwsSettings, ClusterSettings, GoogleSettings};
pub use host::{AzureSettings, HostSettings, LambdaSettings, PlainSettings};
pub use notify::{NoticeSettings, NotifySettings};
pub use sweep::SweepSettings;
pub use telemetry::{MetricsAt, OtlpSettings, Sampler, TelemetrySettings};
pub use worker::WorkerSettings;

mod clone;
mod cluster;
pub mod help;
mod host;
mod notify;
mod sweep;
mod table;
mod telemetry;
mod worker;

#[cfg(test)]
mod tests;

/// The longest span of time that a setting may be.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What the environment says.
///
/// What is said of a setting is said here, in the comment of its field, which is its names, what it is
/// and its default; the lines with `#` are the groups, and the programs that they are for.
/// `SETTINGS.md`, `--help` and the manual pages are made from it (`tests/table.rs`).
#[derive(Clone, Debug)]
pub struct Settings {
    // # Serving (functions)
    /// `FUNCTIONS`: which functions are served, a list of their names. Default: all.
    pub functions: Vec<String>,
    /// Where requests come from.
    pub host: HostSettings,
    /// `REQUEST_BUDGET`: how long a request may take before it is answered with what is certain by
    /// then, in seconds. Default: 8, since GitHub gives up after 10.
    pub request_budget: Duration,
    /// `SLACK_BUDGET`: how long a request of Slack's may take, in seconds. Default: 2.5, since Slack
    /// gives up after 3.
    pub slack_budget: Duration,

    // # The cluster (functions, run, sweep)
    /// `NAMESPACE`, Brigade's `BRIGADE_NAMESPACE`: where the projects are. Default: `default`.
    pub namespace: String,
    /// Which cluster is spoken to, and as whom.
    pub cluster: ClusterSettings,

    // # Who is believed (functions)
    /// `DEFAULT_SHARED_SECRET`: signs the webhooks of projects that have no secret. Default: none.
    pub default_shared_secret: SecretString,
    /// `REGISTRY_ALLOW_UNSIGNED`: takes the webhooks of registries without a token, as Brigade's
    /// own URLs need. Anybody who can reach the function can then start builds of branches and
    /// tags, with a payload of their own. Default: false.
    pub registry_allow_unsigned: bool,
    /// `GITHUB_ALLOW_SHA1`: takes a signature by SHA-1 where the sender sends no better one, as
    /// old GitHub Enterprise servers do. Default: false.
    pub github_allow_sha1: bool,
    /// `BITBUCKET_ALLOW_HOOK_UUID`: takes a Bitbucket delivery without a signature whose
    /// `X-Hook-UUID` is the project's secret, as Brigade did. Default: false.
    pub bitbucket_allow_hook_uuid: bool,

    // # What is built (functions)
    /// `EVENTS`, Brigade's `BRIGADE_EVENTS`: which events of GitHub, GitLab, Gitea and Bitbucket become
    /// builds in projects that do not say so themselves, a list of `*`, `<event>` and
    /// `<event>:<action>`. Default: `*`.
    pub events: Vec<String>,
    /// `ALLOWED_AUTHORS`, Brigade's `BRIGADE_AUTHORS`: whose pull requests from forks are built, a
    /// list of GitHub's author associations. Default: `COLLABORATOR,OWNER,MEMBER`.
    pub allowed_authors: Vec<String>,
    /// `COMMENT_COMMAND`: what the comment or the review of a trusted author must begin with to run a
    /// pull request from GitHub that would not be built without it, such as `/brig`. Default: none,
    /// since in Brigade any does.
    pub comment_command: Option<String>,
    /// `CHECK_SUITE_ON_PR`: asks GitHub for a check suite of the App when a pull request is opened
    /// or its commits change, which only pushes have by themselves. Default: true.
    pub check_suite_on_pr: bool,
    /// `GITHUB_TWO_BUILDS`: makes two builds of an event with an action, `<event>` and
    /// `<event>:<action>`, as Brigade does, instead of one that fires both names. Default: false.
    pub github_two_builds: bool,

    // # The GitHub App (functions, run, notify, sweep)
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
    /// `GITHUB_HOSTS`: the servers beside api.github.com and this machine that are sent what proves
    /// the App of `APP_ID`, a list of names without ports: those of the App's own GitHub. Whatever
    /// other server a project names could ask GitHub for tokens with it. Default: none.
    pub github_hosts: Vec<String>,

    // # Scripts (functions, run)
    /// `INLINE`: `never` sends every build through a worker pod. Default: `auto`.
    pub inline: Inline,
    /// `SCRIPT_FETCH_BUDGET`: how long the repository's script is waited for, in seconds; then a
    /// worker clones it. Default: 3; 0 never fetches it.
    pub script_fetch_budget: Duration,
    /// `SCRIPT_LIMITS`: the most that projects may let their scripts have, a list with `memory`,
    /// `time`, `output`, `jobs` and `timers`. Default:
    /// `memory=256Mi,time=1m,output=16Mi,jobs=5000,timers=10000`.
    pub script_limits: ScriptLimits,
    /// `NPM_REGISTRY`: where workers fetch the packages of scripts, the URL of a registry that
    /// speaks npm's protocol. Default: `https://registry.npmjs.org`.
    pub npm_registry: String,
    /// `PACKAGE_CACHE`: the folder where workers keep packages, which nobody else writes to.
    /// Default: `/tmp/brigantine/packages`.
    pub package_cache: PathBuf,

    // # The pods that are made (functions, run, sweep)
    /// `WORKER_IMAGE`, Brigade's `BRIGADE_WORKER_IMAGE`: the image of worker pods.
    /// Default: `ghcr.io/brigantine/worker:latest`.
    pub worker_image: String,
    /// `WORKER_PULL_POLICY`, Brigade's `BRIGADE_WORKER_PULL_POLICY`: when that image is pulled.
    /// Default: `IfNotPresent`.
    pub worker_pull_policy: String,
    /// `WORKER_SERVICE_ACCOUNT`, Brigade's `BRIGADE_WORKER_SERVICE_ACCOUNT`: the service account of
    /// worker pods. Default: `brigade-worker`.
    pub worker_service_account: String,
    /// `JOB_SERVICE_ACCOUNT`, Brigade's `BRIGADE_JOB_SERVICE_ACCOUNT`: the service account of jobs
    /// in projects that name none. Default: `brigade-worker`.
    pub job_service_account: String,
    /// `DEFAULT_BUILD_STORAGE_CLASS`, also with Brigade's prefix `BRIGADE_`: the storage class of
    /// shared storage in projects that name none. Default: the cluster's.
    pub build_storage_class: String,
    /// `DEFAULT_CACHE_STORAGE_CLASS`, also with Brigade's prefix `BRIGADE_`: the storage class of
    /// caches in projects that name none. Default: the cluster's.
    pub cache_storage_class: String,
    /// What the pods delete that sweep because a timer asks for it.
    pub sweep: SweepSettings,

    // # Telling others (functions, run, notify, sweep)
    /// How notifiers are told.
    pub notify: NotifySettings,

    // # What it says of itself (functions, run, clone, notify, sweep)
    /// `LOG`: what is logged, by level or by target: `debug`, `info,functions=debug`.
    /// Default: `info`.
    pub log: String,
    /// `LOG_FORMAT`: `json` or `text`. Default: `json`.
    pub log_format: LogFormat,
    /// What the program says of itself, beside its log.
    pub telemetry: TelemetrySettings,
}

/// What a variable must be that every worker's pod has.
const MISSING: &str = "set, as it is in a worker's pod";

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
            sweep: SweepSettings::read(get)?,
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

/// The variables of this process that the functions have settings in, for functions in a process of
/// their own.
pub fn of_functions() -> Vec<(String, String)> {
    let settings = help::Program::Functions.groups().flat_map(|group| group.settings);
    let names = settings.flat_map(|setting| setting.names);
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    names.filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?))).collect()
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
