//! What a worker's pod tells the worker.

use std::path::PathBuf;

use super::{MISSING, Settings, SettingsError, wrong};
use crate::event::{Event, LogLevel, Revision};

/// What a worker's pod tells the worker, in Brigade's own variables and folders.
#[derive(Clone, Debug)]
pub struct WorkerSettings {
    // # The build (run)
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
    /// `BRIGADE_REMOTE_URL`: the event, for a build that is not in the cluster. Default: `ping` of
    /// the provider `unknown`.
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
