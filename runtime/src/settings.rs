//! The settings: the only place that reads the environment, once, when a program starts.
//!
//! A setting that is not understood stops the program with an error that names its variable.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

/// The longest span of time that a setting may be.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What the environment says.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `ALLOWED_AUTHORS`, Brigade's `BRIGADE_AUTHORS`: whose pull requests from forks are built, a
    /// list of GitHub's author associations. Default: `COLLABORATOR,OWNER,MEMBER`.
    pub allowed_authors: Vec<String>,
    /// `DEFAULT_BUILD_STORAGE_CLASS`, also with Brigade's prefix `BRIGADE_`: the storage class of
    /// shared storage in projects that name none. Default: the cluster's.
    pub build_storage_class: String,
    /// `DEFAULT_CACHE_STORAGE_CLASS`, also with Brigade's prefix `BRIGADE_`: the storage class of
    /// caches in projects that name none. Default: the cluster's.
    pub cache_storage_class: String,
    /// `DEFAULT_SHARED_SECRET`: signs the webhooks of projects that have no secret. Default: none.
    pub default_shared_secret: SecretString,
    /// `FUNCTIONS`: which functions are served, a list of their names. Default: all.
    pub functions: Vec<String>,
    /// `GITHUB_ALLOW_SHA1`: takes a signature by SHA-1 where the sender sends no better one, as
    /// old GitHub Enterprise servers do. Default: false.
    pub github_allow_sha1: bool,
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
    /// `HOST` and `PORT`: where plain HTTP is served. Default: `0.0.0.0` and 8080.
    pub listen: SocketAddr,
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

/// What a worker's pod tells the worker, in Brigade's own variables.
#[derive(Clone, Debug)]
pub struct WorkerSettings {
    /// `BRIGADE_BUILD_ID`: the build's id. Required.
    pub build: String,
    /// `BRIGADE_PROJECT_NAMESPACE`: where the build is. Required.
    pub namespace: String,
    /// `BRIGADE_PROJECT_ID`: the project's id. Required.
    pub project: String,
    /// `BRIGADE_SERVICE_ACCOUNT`: the service account of jobs that name none. Default: that of
    /// `JOB_SERVICE_ACCOUNT`.
    pub service_account: String,
    /// `BRIGADE_WORKSPACE`: where the repository was cloned to, if it was. Default: `/vcs`.
    pub workspace: PathBuf,
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
        let required = |name| get(name).ok_or(wrong(name, "set, as it is in a worker's pod"));
        Ok(WorkerSettings {
            build: required("BRIGADE_BUILD_ID")?,
            namespace: required("BRIGADE_PROJECT_NAMESPACE")?,
            project: required("BRIGADE_PROJECT_ID")?,
            service_account: match get("BRIGADE_SERVICE_ACCOUNT") {
                Some(account) => account,
                None => Settings::read(&variable)?.job_service_account,
            },
            workspace: get("BRIGADE_WORKSPACE").unwrap_or_else(|| "/vcs".to_owned()).into(),
        })
    }
}

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

impl Settings {
    /// Reads the environment of this process.
    pub fn from_environment() -> Result<Settings, SettingsError> {
        #[expect(clippy::disallowed_methods, reason = "this is the place")]
        Settings::read(|name| std::env::var(name).ok())
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
        Ok(Settings {
            allowed_authors: list(
                &either(["ALLOWED_AUTHORS", "BRIGADE_AUTHORS"], "COLLABORATOR,OWNER,MEMBER")
                    .to_ascii_uppercase(),
            ),
            build_storage_class: either(
                ["DEFAULT_BUILD_STORAGE_CLASS", "BRIGADE_DEFAULT_BUILD_STORAGE_CLASS"],
                "",
            ),
            cache_storage_class: either(
                ["DEFAULT_CACHE_STORAGE_CLASS", "BRIGADE_DEFAULT_CACHE_STORAGE_CLASS"],
                "",
            ),
            default_shared_secret: get("DEFAULT_SHARED_SECRET").unwrap_or_default().into(),
            functions: list(&get("FUNCTIONS").unwrap_or_default()),
            github_allow_sha1: truth("GITHUB_ALLOW_SHA1", get("GITHUB_ALLOW_SHA1"))?,
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
            listen: SocketAddr::new(
                match get("HOST") {
                    None => Ipv4Addr::UNSPECIFIED.into(),
                    Some(host) => host.parse::<IpAddr>().map_err(|_unparsed| {
                        wrong("HOST", "an IP address of this machine, such as 127.0.0.1")
                    })?,
                },
                match get("PORT") {
                    None => 8080,
                    Some(port) => port
                        .parse()
                        .map_err(|_unparsed| wrong("PORT", "a port number from 0 to 65535"))?,
                },
            ),
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
fn a_worker_says_which_variable_is_missing() {
    let error = WorkerSettings::read(|_name| None).unwrap_err().to_string();
    assert_eq!(error, "the variable BRIGADE_BUILD_ID must be set, as it is in a worker's pod");
}

#[test]
fn an_empty_environment_is_closed() {
    let settings = Settings::default();
    assert!(!settings.registry_allow_unsigned && !settings.github_allow_sha1);
    assert_eq!(settings.listen.port(), 8080);
}
