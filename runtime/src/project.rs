//! A project: whose events become builds, and under which rules.
//!
//! It is a Secret of type `brigade.sh/project`, in Brigade 1.x's format, so that Helm, `kubectl`
//! and Brigade's own tools make and read it too. [`values`] reads it from a values file.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

pub use filters::{FilterError, Filters, Patterns};
pub use hooks::{HookError, Hooks};
pub use kubernetes::{EventFilter, EventFilterError, EventFilters};
pub use limits::{LimitError, Limits, ScriptLimits};
pub use notifiers::{Moment, Notifier, NotifierError, NotifierKind, Notifiers};

mod filters;
pub mod hooks;
mod kubernetes;
mod limits;
mod notifiers;
pub mod values;

#[cfg(test)]
mod tests;

/// The type of a project's Secret.
pub const SECRET_TYPE: &str = "brigade.sh/project";

/// The annotation of a project's Secret that holds the project's name.
pub const NAME_ANNOTATION: &str = "projectName";

/// A project, as its Secret describes it. An empty string is a key that is absent or empty.
#[derive(Clone)]
pub struct Project {
    /// `brigade-` and 54 hexadecimal characters, from the name. The name of its Secret.
    pub id: String,
    /// The name: `org/repository`.
    pub name: String,
    /// The namespace of its Secret.
    pub home: String,
    /// The namespace of its builds, jobs and claims: the key `namespace`, else its home.
    pub namespace: String,
    /// Where people find the repository: `github.com/org/repository`.
    pub repository: String,
    /// Where to clone from. Without one, jobs get no source.
    pub clone_url: String,
    /// The key that webhooks are signed with. An empty one proves nothing.
    pub shared_secret: SecretString,
    /// The token of senders that cannot sign.
    pub generic_gateway_secret: SecretString,
    /// The signing secret of its Slack app: the key `slack.signingSecret`, which Brigade has not.
    pub slack_signing_secret: SecretString,
    /// Clones over HTTPS and calls GitHub.
    pub github_token: SecretString,
    /// The API of a GitHub Enterprise server.
    pub github_base_url: String,
    /// The upload API of a GitHub Enterprise server.
    pub github_upload_url: String,
    /// The script of events whose repository has none.
    pub default_script: String,
    /// The ConfigMap whose `brigade.js` is used when there is no other script.
    pub default_script_name: String,
    /// The `brigade.json` of events whose repository has none.
    pub default_config: String,
    /// The ConfigMap whose `brigade.json` is used when there is no other.
    pub default_config_name: String,
    /// What scripts read as `project.secrets`.
    pub secrets: Map<String, Value>,
    /// Clones over SSH. In PEM, with its own line ends.
    pub ssh_key: SecretString,
    /// A certificate for the key.
    pub ssh_cert: SecretString,
    /// The image that clones the repository before a job. Empty: jobs get no source.
    pub vcs_sidecar: String,
    /// What that image may use.
    pub sidecar_resources: SidecarResources,
    /// Whether submodules are cloned too.
    pub init_git_submodules: bool,
    /// The Secrets that pull images.
    pub image_pull_secrets: Vec<String>,
    /// The size of the storage that the jobs of a build share. Default: `50Mi`.
    pub build_storage_size: String,
    /// The storage class of that storage.
    pub build_storage_class: String,
    /// The storage class of job caches.
    pub cache_storage_class: String,
    /// Whether a job may be privileged. Default: true, as in Brigade.
    pub allow_privileged_jobs: bool,
    /// Whether a job may mount the host's files. Default: false.
    pub allow_host_mounts: bool,
    /// Whether pull requests from forks are built whose host does not say how far their authors are
    /// trusted. Default: false. Brigade has no such key.
    pub allow_forks: bool,
    /// Whether a job's environment may name other Secrets. Default: false.
    pub allow_secret_key_ref: bool,
    /// The service account of jobs that name none.
    pub service_account: String,
    /// The worker's image.
    pub worker: WorkerImage,
    /// The worker's command, if not the image's own.
    pub worker_command: Vec<String>,
    /// Where the script is in the repository. Default: `brigade.js`.
    pub script_path: String,
    /// Where the configuration is in the repository. Default: `brigade.json`.
    pub config_path: String,
    /// Which Kubernetes events it takes.
    pub event_filters: EventFilters,
    /// Which events it takes.
    pub filters: Filters,
    /// How it understands senders of its own.
    pub hooks: Hooks,
    /// How much of it runs at once, and what its scripts may use.
    pub limits: Limits,
    /// Who is told of its builds.
    pub notifiers: Notifiers,
}

/// The resources of the image that clones.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[expect(missing_docs, reason = "the names are Kubernetes' own")]
pub struct SidecarResources {
    pub limits_cpu: String,
    pub limits_memory: String,
    pub requests_cpu: String,
    pub requests_memory: String,
}

/// What a project says about the worker's image; empty members are the installation's.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[expect(missing_docs, reason = "the names are those of an image reference")]
pub struct WorkerImage {
    pub registry: String,
    pub name: String,
    pub tag: String,
    pub pull_policy: String,
}

/// Why a Secret is no project.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// The Secret has no name, or it is none that a project can have.
    #[error("the Secret has no name")]
    Unnamed,
    /// The Secret is something else.
    #[error("the Secret {name} is of type {found:?}, a project's is {SECRET_TYPE:?}")]
    OtherType {
        /// The Secret.
        name: String,
        /// Its type.
        found: String,
    },
    /// The key `secrets` is not a JSON object.
    #[error("the project's `secrets` are not a JSON object")]
    Secrets,
    /// A key that must be true or false is neither.
    #[error("error parsing 'kubernetes.allowSecretKeyRef': it must be true or false")]
    AllowSecretKeyRef,
    /// A key holds bytes that are no text.
    #[error("the project's key {0:?} is not UTF-8 text")]
    NotText(String),
    /// A rule for a sender of its own is not understood.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// A filter of Kubernetes events is not understood.
    #[error(transparent)]
    EventFilter(#[from] EventFilterError),
    /// A filter is not understood.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// A limit is not understood.
    #[error(transparent)]
    Limit(#[from] LimitError),
}

/// The id of the project of this name; what already looks like an id is one.
///
/// An id is the name of a Secret, so what has a slash is none, as in the organisation `brigade-x`.
pub fn id_of(name: &str) -> String {
    if name.starts_with("brigade-") && !name.contains('/') {
        name.to_owned()
    } else {
        format!("brigade-{}", short_sha(name))
    }
}

fn short_sha(text: &str) -> String {
    let mut digest = hex::encode(Sha256::digest(text.as_bytes()));
    digest.truncate(54);
    digest
}

/// Says which project it is, and none of its secrets.
impl fmt::Debug for Project {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Project");
        shown.field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

impl Project {
    /// Whether its builds may be in a namespace: its own, and its Secret's, where Brigade has them.
    pub fn has_builds_in(&self, namespace: &str) -> bool {
        self.namespace == namespace || self.home == namespace
    }

    /// Reads a project from its Secret.
    pub fn from_secret(secret: &Secret) -> Result<Project, ProjectError> {
        let id = secret.metadata.name.clone().ok_or(ProjectError::Unnamed)?;
        let found = secret.type_.clone().unwrap_or_default();
        if found != SECRET_TYPE {
            return Err(ProjectError::OtherType { name: id, found });
        }
        let keys = texts(secret)?;
        let key = |name: &str| keys.get(name).cloned().unwrap_or_default();
        let sealed = |name: &str| SecretString::from(key(name));
        let home = secret.metadata.namespace.clone().unwrap_or_else(|| "default".to_owned());
        let annotations = secret.metadata.annotations.clone().unwrap_or_default();
        let name = annotations.get(NAME_ANNOTATION);
        let secrets = script_secrets(&key("secrets"))?;
        Ok(Project {
            event_filters: EventFilters::read(key(kubernetes::KEY))?,
            filters: Filters::read(key, str::to_owned)?,
            hooks: Hooks::parse(&key("hooks"), &secrets)?,
            limits: Limits::of(&annotations)?,
            notifiers: Notifiers::parse(&key("notifiers"), &secrets),
            name: name.cloned().unwrap_or_else(|| id.clone()),
            namespace: or(key("namespace"), &home),
            repository: key("repository"),
            clone_url: key("cloneURL"),
            shared_secret: sealed("sharedSecret"),
            generic_gateway_secret: sealed("genericGatewaySecret"),
            slack_signing_secret: sealed("slack.signingSecret"),
            github_token: sealed("github.token"),
            github_base_url: key("github.baseURL"),
            github_upload_url: key("github.uploadURL"),
            default_script: key("defaultScript"),
            default_script_name: key("defaultScriptName"),
            default_config: key("defaultConfig"),
            default_config_name: key("defaultConfigName"),
            secrets,
            ssh_key: key("sshKey").replace('$', "\n").into(),
            ssh_cert: key("sshCert").replace('$', "\n").into(),
            vcs_sidecar: key("vcsSidecar"),
            sidecar_resources: SidecarResources {
                limits_cpu: key("vcsSidecarResources.limits.cpu"),
                limits_memory: key("vcsSidecarResources.limits.memory"),
                requests_cpu: key("vcsSidecarResources.requests.cpu"),
                requests_memory: key("vcsSidecarResources.requests.memory"),
            },
            init_git_submodules: is_true(&key("initGitSubmodules"), false),
            image_pull_secrets: list(&key("imagePullSecrets")),
            build_storage_size: or(key("buildStorageSize"), "50Mi"),
            build_storage_class: key("kubernetes.buildStorageClass"),
            cache_storage_class: key("kubernetes.cacheStorageClass"),
            allow_privileged_jobs: is_true(&key("allowPrivilegedJobs"), true),
            allow_host_mounts: is_true(&key("allowHostMounts"), false),
            allow_forks: is_true(&key("allowForks"), false),
            allow_secret_key_ref: parse_bool(&key("kubernetes.allowSecretKeyRef"))?,
            service_account: key("serviceAccount"),
            worker: WorkerImage {
                registry: key("worker.registry"),
                name: key("worker.name"),
                tag: key("worker.tag"),
                pull_policy: key("worker.pullPolicy"),
            },
            worker_command: words(&key("workerCommand")),
            script_path: key("brigadejsPath"),
            config_path: key("brigadeConfigPath"),
            id,
            home,
        })
    }

    /// Writes the project as its Secret; keys without a value are left out.
    pub fn secret(&self) -> Secret {
        let text = |value: bool| value.to_string();
        let escaped = |value: &SecretString| value.expose_secret().replace('\n', "$");
        let keys = [
            ("sharedSecret", self.shared_secret.expose_secret().to_owned()),
            ("genericGatewaySecret", self.generic_gateway_secret.expose_secret().to_owned()),
            ("slack.signingSecret", self.slack_signing_secret.expose_secret().to_owned()),
            ("github.token", self.github_token.expose_secret().to_owned()),
            ("github.baseURL", self.github_base_url.clone()),
            ("github.uploadURL", self.github_upload_url.clone()),
            ("vcsSidecar", self.vcs_sidecar.clone()),
            ("vcsSidecarResources.limits.cpu", self.sidecar_resources.limits_cpu.clone()),
            ("vcsSidecarResources.limits.memory", self.sidecar_resources.limits_memory.clone()),
            ("vcsSidecarResources.requests.cpu", self.sidecar_resources.requests_cpu.clone()),
            ("vcsSidecarResources.requests.memory", self.sidecar_resources.requests_memory.clone()),
            ("namespace", self.namespace.clone()),
            ("serviceAccount", self.service_account.clone()),
            ("buildStorageSize", self.build_storage_size.clone()),
            ("defaultScript", self.default_script.clone()),
            ("defaultScriptName", self.default_script_name.clone()),
            ("defaultConfig", self.default_config.clone()),
            ("defaultConfigName", self.default_config_name.clone()),
            ("repository", self.repository.clone()),
            ("sshKey", escaped(&self.ssh_key)),
            ("sshCert", escaped(&self.ssh_cert)),
            ("cloneURL", self.clone_url.clone()),
            ("secrets", Value::Object(self.secrets.clone()).to_string()),
            ("hooks", self.hooks.json().to_owned()),
            ("notifiers", self.notifiers.json().to_owned()),
            ("worker.registry", self.worker.registry.clone()),
            ("worker.name", self.worker.name.clone()),
            ("worker.tag", self.worker.tag.clone()),
            ("worker.pullPolicy", self.worker.pull_policy.clone()),
            ("initGitSubmodules", text(self.init_git_submodules)),
            ("imagePullSecrets", self.image_pull_secrets.join(",")),
            ("allowPrivilegedJobs", text(self.allow_privileged_jobs)),
            ("allowHostMounts", text(self.allow_host_mounts)),
            ("allowForks", if self.allow_forks { text(true) } else { String::new() }),
            ("workerCommand", self.worker_command.join(" ")),
            ("brigadejsPath", self.script_path.clone()),
            ("brigadeConfigPath", self.config_path.clone()),
            ("kubernetes.cacheStorageClass", self.cache_storage_class.clone()),
            ("kubernetes.buildStorageClass", self.build_storage_class.clone()),
            ("kubernetes.allowSecretKeyRef", text(self.allow_secret_key_ref)),
            (kubernetes::KEY, self.event_filters.text().to_owned()),
        ];
        let labels = [("app", "brigade"), ("heritage", "brigade"), ("component", "project")];
        let mut annotations = self.limits.annotations();
        annotations.insert(NAME_ANNOTATION.to_owned(), self.name.clone());
        Secret {
            type_: Some(SECRET_TYPE.to_owned()),
            metadata: ObjectMeta {
                name: Some(self.id.clone()),
                namespace: Some(self.home.clone()),
                labels: Some(labels.map(|(key, value)| (key.into(), value.into())).into()),
                annotations: Some(annotations),
                ..ObjectMeta::default()
            },
            data: Some(
                keys.into_iter()
                    .chain(self.filters.keys())
                    .filter(|(_, value)| !value.is_empty())
                    .map(|(key, value)| (key.to_owned(), ByteString(value.into_bytes())))
                    .collect(),
            ),
            ..Secret::default()
        }
    }

    /// The path of the script in the repository.
    pub fn script_file(&self) -> &str {
        if self.script_path.is_empty() { "brigade.js" } else { &self.script_path }
    }
}

/// The Secret's keys as text; `stringData` is what a client has not sent yet.
fn texts(secret: &Secret) -> Result<BTreeMap<String, String>, ProjectError> {
    let mut keys = BTreeMap::new();
    for (key, value) in secret.data.iter().flatten() {
        let text = String::from_utf8(value.0.clone())
            .map_err(|_not_text| ProjectError::NotText(key.clone()))?;
        keys.insert(key.clone(), text);
    }
    keys.extend(secret.string_data.clone().unwrap_or_default());
    Ok(keys)
}

fn script_secrets(json: &str) -> Result<Map<String, Value>, ProjectError> {
    if json.trim().is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_str(json) {
        Ok(Value::Object(secrets)) => Ok(secrets),
        Ok(Value::Null) => Ok(Map::new()),
        // The parser's own words could quote a secret.
        Ok(_) | Err(_) => Err(ProjectError::Secrets),
    }
}

fn or(value: String, default: &str) -> String {
    if value.is_empty() { default.to_owned() } else { value }
}

fn is_true(value: &str, default: bool) -> bool {
    if value.is_empty() { default } else { value.eq_ignore_ascii_case("true") }
}

/// Reads a boolean as Go's `strconv.ParseBool` does, since other tools wrote it for that.
fn parse_bool(value: &str) -> Result<bool, ProjectError> {
    match value {
        "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        _ => Err(ProjectError::AllowSecretKeyRef),
    }
}

fn words(value: &str) -> Vec<String> {
    value.split_whitespace().map(str::to_owned).collect()
}

fn list(value: &str) -> Vec<String> {
    value.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}
