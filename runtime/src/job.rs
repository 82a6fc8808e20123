//! A job: what `new Job()` of a script amounts to, and the objects that it becomes.
//!
//! A job is a Secret (its script and its environment) and a Pod of the same name, in Brigade 1.x's
//! format. All of a script's wishes are checked here, before anything is sent to the cluster.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{
    EnvVarSource, PersistentVolumeClaim, PersistentVolumeClaimSpec, Pod, Secret, Volume,
    VolumeMount, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use secrecy::ExposeSecret;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::build::Build;
use crate::project::Project;

pub use pod::pod;

mod check;
mod pod;

#[cfg(test)]
mod tests;

/// The type of a job's Secret.
pub const SECRET_TYPE: &str = "brigade.sh/job";

/// The container of a job's pod that runs the job.
pub const CONTAINER: &str = "brigaderun";

/// The annotation of the pod of a job whose failure is none of its build's.
pub const FALLIBLE: &str = "brigantine.dev/fallible";

/// The longest name of a job, so that its pod's name fits 63 characters.
pub const MAX_NAME: usize = 36;

/// A job, as the script's `Job` describes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Job {
    /// Lowercase letters, digits, `-` and `.`; at most 36 characters.
    pub name: String,
    /// The image of its container.
    pub image: String,
    /// Whether the images are pulled even if the node has them.
    pub image_force_pull: bool,
    /// The Secrets that pull its images, beside the project's.
    pub image_pull_secrets: Vec<String>,
    /// The lines of its script. Without any, the image's own entry point runs.
    pub tasks: Vec<String>,
    /// What its container runs instead of tasks, as jobs of Brigade 2's API say it; empty is the
    /// image's own entry point. Such a job has no script, and its containers see nothing of `/hook`.
    pub command: Option<Vec<String>>,
    /// The arguments of its container.
    pub args: Vec<String>,
    /// Where its container starts, if not where the image says.
    pub working_directory: Option<String>,
    /// What runs the script.
    pub shell: String,
    /// Its environment, in the script's order.
    pub env: Vec<(String, Variable)>,
    /// Where the source is mounted. Empty: only sidecars see it.
    pub mount_path: String,
    /// How long it may take, in milliseconds; 0 is a minute.
    pub timeout: u64,
    /// How often another pod is made for it when the cluster loses one.
    pub retries: u32,
    /// Whether it gets the source.
    pub use_source: bool,
    /// Whether it asks to be privileged.
    pub privileged: bool,
    /// The service account that it asks for.
    pub service_account: Option<String>,
    /// What it is promised.
    pub resource_requests: Resources,
    /// What it may use.
    pub resource_limits: Resources,
    /// Where it wants to run.
    pub host: Host,
    /// What it keeps from one build to the next.
    pub cache: Cache,
    /// Whether it sees the storage that the build's jobs share.
    pub storage: Storage,
    /// Whether it asks for the host's Docker socket.
    pub docker: Docker,
    /// Volumes of its pod, as Kubernetes describes them.
    pub volumes: Vec<Volume>,
    /// Where its container mounts them.
    pub volume_mounts: Vec<VolumeMount>,
    /// Annotations of its pod.
    pub annotations: BTreeMap<String, String>,
    /// Whether the worker's log shows its log.
    pub stream_logs: bool,
    /// Whether it may fail without failing its build.
    pub fallible: bool,
    /// The containers beside its own.
    pub sidecars: Vec<Sidecar>,
    /// The event that the script ran it for, if not the build's own.
    pub occasion: Option<Occasion>,
}

/// The value of an environment variable.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Variable {
    /// Nothing: the variable is there, and empty.
    Empty,
    /// A text. It is kept in the job's Secret.
    Text(String),
    /// A reference, as Kubernetes describes it.
    From(Box<EnvVarSource>),
}

/// An amount of processor and memory; what is absent is not limited.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the names are Kubernetes' own")]
pub struct Resources {
    pub cpu: Option<String>,
    pub memory: Option<String>,
}

/// Where a job wants to run.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Host {
    /// The operating system of the node: `linux`.
    pub os: Option<String>,
    /// The node itself.
    pub name: Option<String>,
    /// Labels of the node.
    pub node_selector: BTreeMap<String, String>,
}

/// What a job keeps from one build to the next.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Cache {
    /// Whether it keeps anything.
    pub enabled: bool,
    /// How much.
    pub size: String,
    /// Where it sees it.
    pub path: String,
}

/// The storage that the jobs of a build share.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Storage {
    /// Whether the job sees it.
    pub enabled: bool,
    /// Where. Empty: only its sidecars do.
    pub path: String,
}

/// The host's Docker socket.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Docker {
    /// Whether the job wants it.
    pub enabled: bool,
}

/// A container that runs beside a job's own, from before that one starts until it has ended.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Sidecar {
    /// Lowercase letters, digits and `-`; at most 63 characters.
    pub name: String,
    /// Its image.
    pub image: String,
    /// Whether the image is pulled even if the node has it.
    pub image_force_pull: bool,
    /// What it runs. Empty: the image's own entry point.
    pub command: Vec<String>,
    /// The arguments of that.
    pub args: Vec<String>,
    /// Where it starts, if not where the image says.
    pub working_directory: Option<String>,
    /// Its environment, which is kept in the job's Secret.
    pub env: Vec<(String, String)>,
    /// Where it sees the storage that the build's jobs share, if it does.
    pub workspace_mount_path: Option<String>,
    /// Where it sees the source, if it does.
    pub source_mount_path: Option<String>,
    /// Whether it asks to be privileged.
    pub privileged: bool,
}

/// What an event says about the source.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Occasion {
    /// The event's type: `after` for a job that an `after` handler runs.
    #[serde(rename = "type")]
    pub kind: String,
    /// The event's provider.
    pub provider: String,
    /// Where to clone from, if not from the project's own URL.
    #[serde(rename = "cloneURL")]
    pub clone_url: Option<String>,
    /// What to check out.
    pub revision: crate::event::Revision,
}

/// What an installation says about all jobs.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// The service account of jobs whose project names none. Empty: jobs get no token.
    pub service_account: String,
    /// The service accounts that jobs may ask for; `*` at the end of one stands for any rest.
    pub service_accounts: Vec<String>,
    /// The storage class of caches whose project names none.
    pub cache_storage_class: String,
    /// The storage class of shared storage whose project names none.
    pub build_storage_class: String,
}

/// Why a job cannot run.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum JobError {
    /// The name is none.
    #[error(
        "job name must be lowercase letters, numbers, and '-', and must not start or end with '-', having max length 36"
    )]
    Name,
    /// The environment has a name that Kubernetes takes for no variable, or that is taken.
    #[error(
        "{name:?} of job {job} cannot be the name of an environment variable: use letters, digits, '_', '-' and '.', and not main.sh"
    )]
    Variable {
        /// The job.
        job: String,
        /// The variable.
        name: String,
    },
    /// The name of a sidecar is none, or is taken.
    #[error(
        "{name:?} of job {job} cannot be the name of a sidecar container: use at most 63 lowercase letters, digits and '-', each name once, and neither brigaderun nor vcs-sidecar"
    )]
    Sidecar {
        /// The job.
        job: String,
        /// The sidecar.
        name: String,
    },
    /// A volume is a part of the host.
    #[error("allowHostMounts is false in this project, not mounting {0}")]
    HostMount(String),
    /// A mount is of a volume that is not there.
    #[error("volume {0} referenced in volume mount is not defined")]
    UnknownVolume(String),
    /// A volume shows a Secret.
    #[error(
        "kubernetes.allowSecretKeyRef is false in this project, not mounting the Secret of volume {0}"
    )]
    SecretVolume(String),
    /// A volume is another build's storage.
    #[error("the claim {0} belongs to another build, not mounting it")]
    OtherBuild(String),
    /// The service account is not the job's to choose.
    #[error(
        "job {job} may not use the service account {account}: it is neither the project's own nor one that this installation lets jobs ask for"
    )]
    ServiceAccount {
        /// The job.
        job: String,
        /// The service account.
        account: String,
    },
    /// A quantity is no quantity.
    #[error("{value:?} is no {what} of job {job}: write it as Kubernetes does, like 500m or 64Mi")]
    Quantity {
        /// The job.
        job: String,
        /// What it is the quantity of.
        what: &'static str,
        /// The value.
        value: String,
    },
}

impl Default for Job {
    fn default() -> Job {
        Job {
            name: String::new(),
            image: String::new(),
            image_force_pull: false,
            image_pull_secrets: Vec::new(),
            tasks: Vec::new(),
            command: None,
            args: Vec::new(),
            working_directory: None,
            shell: "/bin/sh".to_owned(),
            env: Vec::new(),
            mount_path: "/src".to_owned(),
            timeout: 900_000,
            retries: 0,
            use_source: true,
            privileged: false,
            service_account: None,
            resource_requests: Resources::default(),
            resource_limits: Resources::default(),
            host: Host::default(),
            cache: Cache::default(),
            storage: Storage::default(),
            docker: Docker::default(),
            volumes: Vec::new(),
            volume_mounts: Vec::new(),
            annotations: BTreeMap::new(),
            stream_logs: false,
            fallible: false,
            sidecars: Vec::new(),
            occasion: None,
        }
    }
}

impl Default for Cache {
    fn default() -> Cache {
        Cache { enabled: false, size: "5Mi".to_owned(), path: "/mnt/brigade/cache".to_owned() }
    }
}

impl Default for Storage {
    fn default() -> Storage {
        Storage { enabled: false, path: "/mnt/brigade/share".to_owned() }
    }
}

impl Job {
    /// A job with nothing but its name and image.
    pub fn new(name: &str, image: &str) -> Job {
        Job { name: name.to_owned(), image: image.to_owned(), ..Job::default() }
    }

    /// The name of its Secret and of its pod.
    pub fn pod_name(&self, build: &Build) -> String {
        format!("{}-{}", self.name, build.id)
    }

    /// How long it may take, in milliseconds.
    pub fn time_limit(&self) -> u64 {
        if self.timeout == 0 { 60_000 } else { self.timeout }
    }

    /// Whether its promise comes to nothing, not to its log: as Brigade 2's API has it.
    pub fn is_silent(&self) -> bool {
        self.command.is_some()
    }

    /// Refuses what the project does not allow; answers with what is ignored, and why.
    pub fn check(
        &self,
        project: &Project,
        build: &Build,
        policy: &Policy,
    ) -> Result<Vec<String>, JobError> {
        check::job(self, project, build, policy)
    }

    fn shell(&self) -> &str {
        if self.shell.is_empty() { "/bin/sh" } else { &self.shell }
    }

    fn source(&self, project: &Project) -> bool {
        self.use_source && !project.clone_url.is_empty() && !project.vcs_sidecar.is_empty()
    }
}

impl Sidecar {
    /// The key of the job's Secret that keeps a variable of its environment.
    fn key(&self, variable: &str) -> String {
        format!("{}.{variable}", self.name)
    }
}

/// Whether the failure of a job, whose pod this is, is none of its build's.
pub fn is_fallible(pod: &Pod) -> bool {
    pod.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(FALLIBLE))
}

/// The job's script, as the job's shell runs it.
pub fn script(job: &Job) -> String {
    let shell = job.shell();
    let fails_early = match shell {
        "/bin/sh" => "set -e\n\n",
        "/bin/bash" => "set -eo pipefail\n\n",
        _ => "",
    };
    format!("#!{shell}\n\n{fails_early}{}", job.tasks.join("\n"))
}

/// The Secret of a job.
pub fn secret(job: &Job, project: &Project, build: &Build, now: Timestamp) -> Secret {
    const MONTH: i64 = 30 * 24 * 60 * 60 * 1000;
    let mut data: BTreeMap<String, ByteString> = BTreeMap::new();
    for (name, value) in &job.env {
        if let Variable::Text(text) = value {
            data.insert(name.clone(), ByteString(text.clone().into_bytes()));
        }
    }
    for sidecar in &job.sidecars {
        for (name, text) in &sidecar.env {
            data.insert(sidecar.key(name), ByteString(text.clone().into_bytes()));
        }
    }
    if !job.tasks.is_empty() {
        data.insert("main.sh".to_owned(), ByteString(script(job).into_bytes()));
    }
    if job.source(project) && project.home != project.namespace {
        for (key, value) in pod::credentials(project) {
            data.insert(pod::copied(key), ByteString(value.expose_secret().as_bytes().to_vec()));
        }
    }
    let mut labels = labels(job, build);
    labels.insert("expires".to_owned(), (now.as_millisecond() + MONTH).to_string());
    Secret {
        type_: Some(SECRET_TYPE.to_owned()),
        metadata: ObjectMeta {
            name: Some(job.pod_name(build)),
            namespace: Some(build.namespace.clone()),
            labels: Some(labels),
            owner_references: build.owner().map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        data: Some(data),
        ..Secret::default()
    }
}

/// The claim of a job's cache. It outlives the build: nothing owns it.
pub fn cache_claim(
    job: &Job,
    project: &Project,
    build: &Build,
    policy: &Policy,
) -> PersistentVolumeClaim {
    let labels = [
        ("heritage", "brigade"),
        ("component", "jobCache"),
        ("job", job.name.as_str()),
        ("project", project.id.as_str()),
    ];
    claim(
        ObjectMeta {
            name: Some(cache_name(job, project)),
            namespace: Some(build.namespace.clone()),
            labels: Some(labels.map(|(key, value)| (key.into(), value.into())).into()),
            ..ObjectMeta::default()
        },
        &job.cache.size,
        &[&project.cache_storage_class, &policy.cache_storage_class],
    )
}

/// The claim of the storage that the build's jobs share.
pub fn storage_claim(project: &Project, build: &Build, policy: &Policy) -> PersistentVolumeClaim {
    let id = build.id.to_string();
    let labels = [
        ("heritage", "brigade"),
        ("component", "buildStorage"),
        ("project", project.id.as_str()),
        ("worker", &build.name()),
        ("build", &id),
    ];
    claim(
        ObjectMeta {
            name: Some(build.name()),
            namespace: Some(build.namespace.clone()),
            labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
            owner_references: build.owner().map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        &project.build_storage_size,
        &[&project.build_storage_class, &policy.build_storage_class],
    )
}

fn claim(metadata: ObjectMeta, size: &str, classes: &[&str]) -> PersistentVolumeClaim {
    PersistentVolumeClaim {
        metadata,
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteMany".to_owned()]),
            resources: Some(VolumeResourceRequirements {
                requests: Some([("storage".to_owned(), Quantity(size.to_owned()))].into()),
                ..VolumeResourceRequirements::default()
            }),
            storage_class_name: classes
                .iter()
                .find(|class| !class.is_empty())
                .map(|class| (*class).to_owned()),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    }
}

/// The name of a job's cache, and of the volume that shows it.
fn cache_name(job: &Job, project: &Project) -> String {
    let shown = if project.repository.is_empty() { &project.name } else { &project.repository };
    let name: String = format!("{shown}-{}", job.name)
        .to_ascii_lowercase()
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' })
        .collect();
    let name = name.trim_matches('-');
    // A volume's name has at most 63 characters; 1.x made longer ones, which no cluster takes.
    if name.len() <= 63 {
        return name.to_owned();
    }
    let digest = hex::encode(Sha256::digest(name.as_bytes()));
    format!("{}-{}", name[..52].trim_end_matches('-'), &digest[..10])
}

fn labels(job: &Job, build: &Build) -> BTreeMap<String, String> {
    [
        ("heritage", "brigade".to_owned()),
        ("component", "job".to_owned()),
        ("jobname", job.name.clone()),
        ("project", build.project.clone()),
        ("worker", build.name()),
        ("build", build.id.to_string()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}
