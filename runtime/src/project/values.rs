//! Reads a project from a values file of Brigade's chart `brigade-project`, as Helm would take it.
//!
//! Every key of that chart is read, with its default where the chart has one that makes sense
//! outside it; an unknown key is a warning, since a misspelt one would be lost without a word.

use secrecy::ExposeSecret;
use serde_json::{Map, Value};

use super::limits::NAMES;
use super::{
    EventFilters, Filters, Hooks, Limits, NotifierError, Notifiers, Project, ProjectError,
    SidecarResources, WorkerImage,
};

/// The chart's own image for cloning.
pub const DEFAULT_SIDECAR: &str = "brigadecore/git-sidecar:v1.5.0";

const KEYS: &[&str] = &[
    "allowForks",
    "allowHostMounts",
    "allowPrivilegedJobs",
    "brigadeConfigPath",
    "brigadejsPath",
    "buildStorageSize",
    "cloneURL",
    "defaultConfig",
    "defaultConfigName",
    "defaultScript",
    "defaultScriptName",
    "filters",
    "genericGatewaySecret",
    "github",
    "hooks",
    "imagePullSecrets",
    "initGitSubmodules",
    "kubernetes",
    "limits",
    "namespace",
    "notifiers",
    "project",
    "repository",
    "secrets",
    "serviceAccount",
    "sharedSecret",
    "slack",
    "sshCert",
    "sshKey",
    "vcsSidecar",
    "vcsSidecarResources",
    "worker",
    "workerCommand",
];

/// Why a values file is no project.
#[derive(Debug, thiserror::Error)]
pub enum ValuesError {
    /// It is not YAML.
    #[error("the values are not YAML: line {line}, column {column}: {problem}")]
    Yaml {
        /// The line, from 1.
        line: u64,
        /// The column, from 1.
        column: u64,
        /// What the parser found, without the text around it, which may be a secret.
        problem: String,
    },
    /// The file holds a list or a single value.
    #[error("the values are not a mapping of keys to values")]
    NotMapping,
    /// There is no name.
    #[error("the values name no project: add `project: org/repository`")]
    Unnamed,
    /// A key holds something of another type.
    #[error("the key {key} must be {expected}")]
    Type {
        /// The key, with dots.
        key: String,
        /// What it must be.
        expected: &'static str,
    },
    /// A notifier is not understood.
    #[error(transparent)]
    Notifier(#[from] NotifierError),
    /// What it says is no project.
    #[error(transparent)]
    Project(#[from] ProjectError),
}

/// Reads a values file; `home` is the namespace that the project's Secret will be in.
///
/// The second member is a list of warnings, each a sentence about a key.
pub fn read(yaml: &str, home: &str) -> Result<(Project, Vec<String>), ValuesError> {
    // Duplicate keys and octal numbers as Helm takes them.
    let options = serde_saphyr::options! {
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins,
        legacy_octal_numbers: true,
    };
    let values: Value =
        serde_saphyr::from_str_with_options(yaml, options).map_err(|error| yaml_error(&error))?;
    let Value::Object(values) = values else { return Err(ValuesError::NotMapping) };
    let values = Section { map: values, path: String::new() };

    let name = values.text("project")?;
    if name.is_empty() {
        return Err(ValuesError::Unnamed);
    }
    let mut warnings = Vec::new();
    values.warn_of_unknown(KEYS, &mut warnings);
    let github = values.section("github")?;
    github.warn_of_unknown(&["baseURL", "token", "uploadURL"], &mut warnings);
    let kubernetes = values.section("kubernetes")?;
    let classes = ["allowSecretKeyRef", "buildStorageClass", "cacheStorageClass", "eventFilters"];
    kubernetes.warn_of_unknown(&classes, &mut warnings);
    let slack = values.section("slack")?;
    slack.warn_of_unknown(&["signingSecret"], &mut warnings);
    let worker = values.section("worker")?;
    worker.warn_of_unknown(&["name", "pullPolicy", "registry", "tag"], &mut warnings);
    let sidecar = values.section("vcsSidecarResources")?;
    sidecar.warn_of_unknown(&["limits", "requests"], &mut warnings);
    let (limits, requests) = (sidecar.section("limits")?, sidecar.section("requests")?);

    let secrets = values.secrets()?;
    let project = Project {
        id: super::id_of(&name),
        namespace: super::or(values.text("namespace")?, home),
        home: home.to_owned(),
        repository: values.text("repository")?,
        clone_url: values.text("cloneURL")?,
        shared_secret: values.text("sharedSecret")?.into(),
        generic_gateway_secret: values.text("genericGatewaySecret")?.into(),
        slack_signing_secret: slack.text("signingSecret")?.into(),
        github_token: github.text("token")?.into(),
        github_base_url: github.text("baseURL")?,
        github_upload_url: github.text("uploadURL")?,
        default_script: values.text("defaultScript")?,
        default_script_name: values.text("defaultScriptName")?,
        default_config: values.text("defaultConfig")?,
        default_config_name: values.text("defaultConfigName")?,
        hooks: values.hooks(&secrets)?,
        notifiers: values.notifiers(&secrets)?,
        secrets,
        ssh_key: values.text("sshKey")?.into(),
        ssh_cert: values.text("sshCert")?.into(),
        vcs_sidecar: match values.text("vcsSidecar")?.as_str() {
            "" => DEFAULT_SIDECAR.to_owned(),
            "NONE" => String::new(),
            image => image.to_owned(),
        },
        sidecar_resources: SidecarResources {
            limits_cpu: limits.text("cpu")?,
            limits_memory: limits.text("memory")?,
            requests_cpu: requests.text("cpu")?,
            requests_memory: requests.text("memory")?,
        },
        init_git_submodules: values.truth("initGitSubmodules", false)?,
        image_pull_secrets: values.names("imagePullSecrets")?,
        build_storage_size: super::or(values.text("buildStorageSize")?, "50Mi"),
        build_storage_class: kubernetes.text("buildStorageClass")?,
        cache_storage_class: kubernetes.text("cacheStorageClass")?,
        allow_privileged_jobs: values.truth("allowPrivilegedJobs", true)?,
        allow_host_mounts: values.truth("allowHostMounts", false)?,
        allow_forks: values.truth("allowForks", false)?,
        allow_secret_key_ref: kubernetes.truth("allowSecretKeyRef", false)?,
        service_account: values.text("serviceAccount")?,
        worker: WorkerImage {
            registry: worker.text("registry")?,
            name: worker.text("name")?,
            tag: worker.text("tag")?,
            pull_policy: worker.text("pullPolicy")?,
        },
        worker_command: super::words(&values.text("workerCommand")?),
        event_filters: EventFilters::read(kubernetes.json("eventFilters"))
            .map_err(ProjectError::EventFilter)?,
        filters: values.filters(&mut warnings)?,
        limits: values.limits(&mut warnings)?,
        script_path: values.text("brigadejsPath")?,
        config_path: values.text("brigadeConfigPath")?,
        name,
    };
    if project.shared_secret.expose_secret().is_empty() {
        warnings.push("sharedSecret is empty: every signed webhook will be refused".to_owned());
    }
    Ok((project, warnings))
}

/// A mapping in the values, with its own path for what is said of it.
struct Section {
    map: Map<String, Value>,
    path: String,
}

impl Section {
    /// A text; numbers and truth values are taken as they are written, as a template would.
    fn text(&self, key: &str) -> Result<String, ValuesError> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(Value::Bool(value)) => Ok(value.to_string()),
            Some(Value::Number(value)) => Ok(value.to_string()),
            Some(_) => Err(self.wrong(key, "a text")),
        }
    }

    fn truth(&self, key: &str, default: bool) -> Result<bool, ValuesError> {
        match self.text(key)?.to_ascii_lowercase().as_str() {
            "" => Ok(default),
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(self.wrong(key, "true or false")),
        }
    }

    fn section(&self, key: &str) -> Result<Section, ValuesError> {
        let map = match self.map.get(key) {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(map)) => map.clone(),
            Some(_) => return Err(self.wrong(key, "a mapping")),
        };
        Ok(Section { map, path: format!("{}{key}.", self.path) })
    }

    /// Names: a list of them, or a text with commas between.
    fn names(&self, key: &str) -> Result<Vec<String>, ValuesError> {
        let Some(Value::Array(items)) = self.map.get(key) else {
            return Ok(super::list(&self.text(key)?));
        };
        let name = |item: &Value| item.as_str().map(str::to_owned);
        items.iter().map(|item| name(item).ok_or(self.wrong(key, "a list of names"))).collect()
    }

    /// A value that may be of any form, as JSON, or a text that is that already.
    fn json(&self, key: &str) -> String {
        match self.map.get(key) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(json)) => json.clone(),
            Some(value) => value.to_string(),
        }
    }

    /// The script's secrets: a mapping, or a text that is one in JSON.
    fn secrets(&self) -> Result<Map<String, Value>, ValuesError> {
        match self.map.get("secrets") {
            Some(Value::String(json)) => Ok(super::script_secrets(json)?),
            _ => Ok(self.section("secrets")?.map),
        }
    }

    /// The rules for senders of its own: a list, or a text that is one in JSON.
    fn hooks(&self, secrets: &Map<String, Value>) -> Result<Hooks, ValuesError> {
        let hooks = match self.map.get("hooks") {
            None => Ok(Hooks::default()),
            Some(Value::String(json)) => Hooks::parse(json, secrets),
            Some(value) => Hooks::read(value, secrets),
        };
        Ok(hooks.map_err(ProjectError::Hook)?)
    }

    /// Who is told of its builds: a list, or a text that is one in JSON.
    fn notifiers(&self, secrets: &Map<String, Value>) -> Result<Notifiers, ValuesError> {
        let notifiers = match self.map.get("notifiers") {
            None => Ok(Notifiers::default()),
            Some(Value::String(json)) => Notifiers::parse(json, secrets).complete(),
            Some(value) => Notifiers::read(value, secrets),
        };
        Ok(notifiers?)
    }

    /// Which events the project takes; the chart has no key for that.
    fn filters(&self, warnings: &mut Vec<String>) -> Result<Filters, ValuesError> {
        let section = self.section("filters")?;
        let names = super::filters::NAMES;
        section.warn_of_unknown(&names.map(|(_, key)| key), warnings);
        let mut lists = Map::new();
        for (name, key) in names {
            lists.insert(name.to_owned(), section.items(key)?.into());
        }
        let filters = Filters::read(
            |name| lists.get(name).and_then(Value::as_str).unwrap_or_default().to_owned(),
            str::to_owned,
        );
        Ok(filters.map_err(ProjectError::Filter)?)
    }

    /// A list, or a text that is one already, as a text.
    fn items(&self, key: &str) -> Result<String, ValuesError> {
        match self.map.get(key) {
            Some(Value::Array(_)) => Ok(self.names(key)?.join(",")),
            _ => self.text(key),
        }
    }

    /// What the chart has no key for.
    fn limits(&self, warnings: &mut Vec<String>) -> Result<Limits, ValuesError> {
        let section = self.section("limits")?;
        let keys = NAMES.map(|(_, key)| key);
        section.warn_of_unknown(&keys, warnings);
        let mut texts = Map::new();
        for (name, key) in NAMES {
            let text = section.text(key)?;
            if !text.is_empty() {
                texts.insert(name.to_owned(), text.into());
            }
        }
        let key_of =
            |name: &str| NAMES.iter().find(|(known, _)| *known == name).map(|(_, key)| key);
        let limits = Limits::read(
            |name| texts.get(name).and_then(Value::as_str).map(str::to_owned),
            |name| format!("limits.{}", key_of(name).unwrap_or(&name)),
        );
        Ok(limits.map_err(ProjectError::Limit)?)
    }

    fn warn_of_unknown(&self, known: &[&str], warnings: &mut Vec<String>) {
        for key in self.map.keys().filter(|key| !known.contains(&key.as_str())) {
            warnings.push(format!("the key {}{key} is unknown and has no effect", self.path));
        }
    }

    fn wrong(&self, key: &str, expected: &'static str) -> ValuesError {
        ValuesError::Type { key: format!("{}{key}", self.path), expected }
    }
}

fn yaml_error(error: &serde_saphyr::Error) -> ValuesError {
    let (line, column) = error.location().map_or((0, 0), |place| (place.line(), place.column()));
    // The parser's message shows the lines around; they may hold secrets.
    let problem = error.without_snippet().to_string();
    let problem = problem.lines().next().unwrap_or("a syntax error").to_owned();
    ValuesError::Yaml { line, column, problem }
}
