//! The only place that speaks to Kubernetes; what it calls is what the roles must allow.
//!
//! Every call is tried again while the API server is busy or away (429, 5xx, no answer), until the
//! cluster's deadline. All of them may be: names follow from the build, so that what a lost answer
//! had already created is met as 409 and taken as done.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{AsyncBufRead, Stream, StreamExt};
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{
    ConfigMap, Namespace, PersistentVolumeClaim, Pod, Secret, ServiceAccount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DeleteParams, ListParams, LogParams, Patch, PatchParams, PostParams};
use kube::core::{NamespaceResourceScope, Status};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watcher};
use kube::{Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::Instant;

use crate::build::{self, ACCEPTED, Build, BuildError, BuildId, Head};
use crate::journal::Record;
use crate::project::{self, Project, ProjectError};
use crate::telemetry::metrics;

use connect::Connection;

pub use check::{Allowed, Found, Problem, Report, Weight};
pub use collections::Collection;
pub use connect::{ConnectError, client};
pub use control::{Cancelled, JobCounts, Slot};

mod check;
mod collections;
mod connect;
mod control;
mod jobs;
mod pods;
pub mod rights;

#[cfg(test)]
mod tests;

/// How long a call is tried when the caller sets no deadline.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long one try may take before it counts as lost.
const TRY: Duration = Duration::from_secs(10);

/// How long one try may take where there is a deadline, so that it is not all of the time: a
/// connection may have died unnoticed while the host of a function had frozen it.
const HASTY_TRY: Duration = Duration::from_secs(3);

/// The first pause between two tries; it doubles up to [`PAUSE_LIMIT`].
const PAUSE: Duration = Duration::from_millis(100);

/// The longest pause between two tries.
const PAUSE_LIMIT: Duration = Duration::from_secs(4);

/// A cluster, and the namespace where its projects are.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    namespace: String,
    deadline: Option<Instant>,
    /// What the client goes through, if it was made here.
    connection: Option<Arc<Connection>>,
}

/// What became of a build that was to be created.
#[derive(Debug)]
pub enum Creation {
    /// It is in the cluster now.
    Made(Build),
    /// It was there before.
    Exists(Build),
}

/// What became of a job that was to be created.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum JobCreation {
    /// Its pod was made now.
    Made,
    /// Its pod was there, made by the same build.
    Adopted,
    /// It has ended, or another pod stands for it: no pod was made.
    Known(Box<Record>),
}

/// What a watch of a build's pods tells.
#[derive(Clone, Debug)]
pub enum PodChange {
    /// The pod is new or has changed.
    Applied(Box<Pod>),
    /// The pod of this name is no more.
    Gone(String),
    /// Every pod that exists has been told.
    Synced,
}

/// Why a call to the cluster failed.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// It did not answer in time, or said that it was busy. Trying later may help.
    #[error("the cluster does not answer")]
    Away(#[source] Box<kube::Error>),
    /// It did not answer in time.
    #[error("the cluster did not answer in time")]
    Late,
    /// There is no connection to it, or it does not know who asks.
    #[error(transparent)]
    Unconnected(Arc<ConnectError>),
    /// It refused, and will refuse again.
    #[error("the cluster refused to {action}: {}", .status.message)]
    Refused {
        /// What was asked.
        action: String,
        /// What it answered.
        status: Box<Status>,
    },
    /// What it answered could not be understood.
    #[error("the cluster's answer could not be read")]
    Answer(#[source] Box<kube::Error>),
    /// An object of this name exists and belongs to something else.
    #[error("{kind} {name} exists already and belongs to another project, build or job")]
    Conflict {
        /// The kind of object.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// The project's Secret is damaged.
    #[error("the project cannot be loaded: {0}")]
    Project(#[from] ProjectError),
    /// The build cannot be written or read.
    #[error(transparent)]
    Build(#[from] BuildError),
}

impl Cluster {
    /// A cluster whose projects are in `namespace`.
    pub fn new(client: Client, namespace: &str) -> Cluster {
        Cluster { client, namespace: namespace.to_owned(), deadline: None, connection: None }
    }

    /// The same cluster, whose calls are not tried beyond this moment.
    pub fn with_deadline(&self, deadline: Instant) -> Cluster {
        Cluster { deadline: Some(deadline), ..self.clone() }
    }

    /// Where the projects are.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The project of this name or id, if there is one.
    pub async fn project(&self, name_or_id: &str) -> Result<Option<Project>, ClusterError> {
        let id = project::id_of(name_or_id);
        match self.get::<Secret>(&self.namespace, &id).await? {
            // A Secret of another type is none of our business, and nobody's who asks for it.
            Some(secret) if secret.type_.as_deref() == Some(project::SECRET_TYPE) => {
                Ok(Some(Project::from_secret(&secret)?))
            }
            Some(_) | None => Ok(None),
        }
    }

    /// Creates a project, or replaces it.
    pub async fn put_project(&self, project: &Project) -> Result<(), ClusterError> {
        let secret = project.secret();
        if self.create(&project.home, &secret).await?.is_some() {
            return Ok(());
        }
        let api = self.api::<Secret>(&project.home);
        self.call(&format!("replace project {}", project.id), || async {
            api.replace(&project.id, &PostParams::default(), &secret).await
        })
        .await
        .map(drop)
    }

    /// Creates a namespace, if it does not exist.
    pub async fn create_namespace(&self, name: &str) -> Result<(), ClusterError> {
        let api = Api::<Namespace>::all(self.client.clone());
        if self.call("get a namespace", || api.get_opt(name)).await?.is_some() {
            return Ok(());
        }
        let mut namespace = Namespace::default();
        namespace.metadata.name = Some(name.to_owned());
        let action = format!("create namespace {name}");
        let created = self
            .call(&action, || async { api.create(&PostParams::default(), &namespace).await })
            .await;
        created.map(drop).or_else(|error| if error.is_conflict() { Ok(()) } else { Err(error) })
    }

    /// Creates a service account, if it does not exist.
    pub async fn create_service_account(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<(), ClusterError> {
        let mut account = ServiceAccount::default();
        account.metadata.name = Some(name.to_owned());
        self.create(namespace, &account).await.map(drop)
    }

    /// Creates a build's Secret. The API server sees to it that there is only one.
    pub async fn create_build(&self, build: &Build) -> Result<Creation, ClusterError> {
        loop {
            if let Some(secret) = self.create(&build.namespace, &build.secret()?).await? {
                let created = secret.metadata.creation_timestamp.map(|time| time.0);
                let uid = secret.metadata.uid;
                return Ok(Creation::Made(Build { uid, created, ..build.clone() }));
            }
            // Deleted between the two calls: it can be created after all.
            if let Some(exists) = self.build(&build.namespace, build.id).await? {
                return Ok(Creation::Exists(exists));
            }
        }
    }

    /// The build of this id, if it exists.
    pub async fn build(&self, namespace: &str, id: BuildId) -> Result<Option<Build>, ClusterError> {
        let mut secret = self.get::<Secret>(namespace, &build::name_of(id)).await?;
        if secret.is_none()
            && let Some(name) = self.chosen_name(namespace, id).await?
        {
            secret = self.get::<Secret>(namespace, &name).await?;
        }
        Ok(secret.map(|secret| Build::from_secret(&secret)).transpose()?)
    }

    /// The builds of a namespace, oldest first; what only looks like a build is passed over.
    pub async fn builds(&self, namespace: &str) -> Result<Vec<Build>, ClusterError> {
        let api = self.api::<Secret>(namespace);
        let builds = ListParams::default().fields(&format!("type={}", build::SECRET_TYPE));
        let list = self.call("list builds", || api.list(&builds)).await?;
        let mut secrets = list.items;
        secrets.sort_by_key(|secret| {
            (secret.metadata.creation_timestamp.clone().map(|at| at.0), secret.name_any())
        });
        Ok(secrets.iter().filter_map(|secret| Build::from_secret(secret).ok()).collect())
    }

    /// Marks a build as started, and notes how. It waits no more. Says how it is then: it may have
    /// been cancelled meanwhile.
    pub async fn accept(
        &self,
        build: &Build,
        annotations: &BTreeMap<String, String>,
    ) -> Result<Head, ClusterError> {
        let (label, value) = ACCEPTED;
        let labels = json!({label: value, "component": "build", "heritage": "brigade"});
        let mut metadata = json!({"labels": labels, "annotations": annotations});
        metadata["annotations"][build::annotation::WAITING] = serde_json::Value::Null;
        if control::says_ended(annotations) {
            metadata["labels"][build::ENDED.0] = json!(build::ENDED.1);
        }
        self.merge_build(&build.namespace, build.id, &json!({ "metadata": metadata })).await
    }

    /// Notes something on a build, if that is in the cluster.
    pub async fn annotate(
        &self,
        build: &Build,
        annotations: &BTreeMap<String, String>,
    ) -> Result<(), ClusterError> {
        if build.uid.is_none() {
            return Ok(());
        }
        self.note(&build.namespace, build.id, annotations).await
    }

    /// Keeps a script with a build, as if it had come with the event, and notes where it is from.
    /// Whether there is room for it.
    pub async fn keep_script(
        &self,
        build: &Build,
        script: &str,
        origin: &str,
    ) -> Result<bool, ClusterError> {
        let changes = json!({
            "data": {"script": ByteString(script.as_bytes().to_vec())},
            "metadata": {"annotations": {build::annotation::SCRIPT: origin}},
        });
        match self.merge_build(&build.namespace, build.id, &changes).await {
            Ok(_) => Ok(true),
            Err(ClusterError::Refused { status, .. }) if matches!(status.code, 413 | 422) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Creates a worker's pod, if it does not exist.
    pub async fn create_worker(&self, pod: &Pod) -> Result<(), ClusterError> {
        let namespace = pod.namespace().unwrap_or_else(|| self.namespace.clone());
        self.create(&namespace, pod).await.map(drop)
    }

    /// Creates a pod that sweeps, if it does not exist; whether it did not.
    pub async fn create_sweeper(&self, pod: &Pod) -> Result<bool, ClusterError> {
        let namespace = pod.namespace().unwrap_or_else(|| self.namespace.clone());
        Ok(self.create(&namespace, pod).await?.is_some())
    }

    /// Creates a claim for storage, if it does not exist.
    pub async fn create_claim(&self, claim: &PersistentVolumeClaim) -> Result<(), ClusterError> {
        let namespace = claim.namespace().unwrap_or_else(|| self.namespace.clone());
        if self.create(&namespace, claim).await?.is_none() {
            let project = claim.labels().get("project").map(String::as_str);
            self.check_claim(&namespace, &claim.name_any(), project.unwrap_or_default()).await?;
        }
        Ok(())
    }

    /// Refuses a claim that is another project's cache or storage.
    async fn check_claim(
        &self,
        namespace: &str,
        name: &str,
        project: &str,
    ) -> Result<(), ClusterError> {
        let claim = self.get::<PersistentVolumeClaim>(namespace, name).await?;
        let other = claim.is_some_and(|claim| {
            let labels = claim.labels();
            let ours = labels.get("component");
            ours.is_some_and(|component| component == "jobCache" || component == "buildStorage")
                && labels.get("project").is_some_and(|owner| owner != project)
        });
        let name = name.to_owned();
        if other { Err(ClusterError::Conflict { kind: "the claim", name }) } else { Ok(()) }
    }

    /// Deletes a claim for storage, if it exists.
    pub async fn delete_claim(&self, namespace: &str, name: &str) -> Result<(), ClusterError> {
        self.delete::<PersistentVolumeClaim>(namespace, name).await
    }

    /// Deletes a pod, if it exists.
    pub async fn delete_pod(&self, namespace: &str, name: &str) -> Result<(), ClusterError> {
        self.delete::<Pod>(namespace, name).await
    }

    /// The pod of this name, if it exists.
    pub async fn pod(&self, namespace: &str, name: &str) -> Result<Option<Pod>, ClusterError> {
        self.get(namespace, name).await
    }

    /// Watches all pods of a build, with one watch that is opened again for as long as it is polled.
    pub fn watch_pods(&self, build: &Build) -> impl Stream<Item = PodChange> + Send + use<> {
        self.watch(&build.namespace, &format!("build={}", build.id))
    }

    /// Watches the pods of all jobs of a namespace.
    pub fn watch_jobs(&self, namespace: &str) -> impl Stream<Item = PodChange> + Send + use<> {
        self.watch(namespace, "component=job,heritage=brigade")
    }

    pub(crate) fn watch(
        &self,
        namespace: &str,
        selector: &str,
    ) -> impl Stream<Item = PodChange> + Send + use<> {
        pods::changes(self.api::<Pod>(namespace), selector)
    }

    /// Watches the builds of a namespace; what only looks like one is passed over.
    pub fn watch_builds(&self, namespace: &str) -> impl Stream<Item = Build> + Send + use<> {
        let builds = format!("type={}", build::SECRET_TYPE);
        let config = watcher::Config::default().fields(&builds);
        let changes = watcher(self.api::<Secret>(namespace), config).default_backoff();
        let (cluster, namespace) = (self.clone(), namespace.to_owned());
        changes.filter_map(move |change| {
            let (cluster, namespace) = (cluster.clone(), namespace.clone());
            async move {
                match change {
                    Ok(watcher::Event::InitApply(secret) | watcher::Event::Apply(secret)) => {
                        match Build::from_secret(&secret) {
                            Ok(build) => return Some(build),
                            Err(error) => {
                                cluster.refuse(&namespace, &secret.metadata, &error).await;
                            }
                        }
                    }
                    Ok(_) => {}
                    Err(error) => tracing::debug!(%error, "the watch of builds is opened again"),
                }
                None
            }
        })
    }

    /// Reads the log of a container, as it is written if `follow`.
    pub async fn pod_log(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        follow: bool,
    ) -> Result<impl AsyncBufRead + Send + use<>, ClusterError> {
        let container = Some(container.to_owned());
        self.log(namespace, pod, LogParams { container, follow, ..LogParams::default() }).await
    }

    /// Reads the log of a container as it is written, each line with its time, from the second
    /// of `since` on.
    pub async fn follow_log(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        since: Option<Timestamp>,
    ) -> Result<impl AsyncBufRead + Send + use<>, ClusterError> {
        let wanted = LogParams {
            container: Some(container.to_owned()),
            follow: true,
            since_time: since,
            timestamps: true,
            ..LogParams::default()
        };
        self.log(namespace, pod, wanted).await
    }

    async fn log(
        &self,
        namespace: &str,
        pod: &str,
        wanted: LogParams,
    ) -> Result<impl AsyncBufRead + Send + use<>, ClusterError> {
        let api = self.api::<Pod>(namespace);
        self.call(&format!("read the log of {pod}"), || api.log_stream(pod, &wanted)).await
    }

    /// A key of a ConfigMap, if both exist.
    pub async fn config_map(
        &self,
        namespace: &str,
        name: &str,
        key: &str,
    ) -> Result<Option<String>, ClusterError> {
        let map = self.get::<ConfigMap>(namespace, name).await?;
        Ok(map.and_then(|map| map.data).and_then(|mut data| data.remove(key)))
    }

    /// `None` when an object of this name exists.
    async fn create<K>(&self, namespace: &str, object: &K) -> Result<Option<K>, ClusterError>
    where
        K: Object,
    {
        let api = self.api::<K>(namespace);
        let action = format!("create {} {}", K::kind(&()), object.name_any());
        let created =
            self.call(&action, || async { api.create(&PostParams::default(), object).await }).await;
        match created {
            Ok(created) => Ok(Some(created)),
            Err(error) if error.is_conflict() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn get<K: Object>(&self, namespace: &str, name: &str) -> Result<Option<K>, ClusterError> {
        let api = self.api::<K>(namespace);
        self.call(&format!("get {} {name}", K::kind(&())), || api.get_opt(name)).await
    }

    async fn delete<K: Object>(&self, namespace: &str, name: &str) -> Result<(), ClusterError> {
        let api = self.api::<K>(namespace);
        let action = format!("delete {} {name}", K::kind(&()));
        let deleted =
            self.call(&action, || async { api.delete(name, &DeleteParams::default()).await }).await;
        deleted.map(drop).or_else(|error| if error.is_not_found() { Ok(()) } else { Err(error) })
    }

    /// Changes a Secret; the answer is only its metadata.
    async fn merge(
        &self,
        namespace: &str,
        name: &str,
        changes: &serde_json::Value,
    ) -> Result<ObjectMeta, ClusterError> {
        let api = self.api::<Secret>(namespace);
        let patch = Patch::Merge(changes);
        let call = async || api.patch_metadata(name, &PatchParams::default(), &patch).await;
        Ok(self.call(&format!("patch Secret {name}"), call).await?.metadata)
    }

    fn api<K: Object>(&self, namespace: &str) -> Api<K> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Calls until there is an answer that another try would not change.
    async fn call<T, F>(&self, action: &str, mut call: impl FnMut() -> F) -> Result<T, ClusterError>
    where
        F: Future<Output = kube::Result<T>>,
    {
        let longest = if self.deadline.is_some() { HASTY_TRY } else { TRY };
        let deadline = self.deadline.unwrap_or_else(|| Instant::now() + PATIENCE);
        let mut pause = PAUSE;
        loop {
            let begun = Instant::now();
            let answered = tokio::time::timeout_at(deadline.min(begun + longest), call()).await;
            let code = match &answered {
                Ok(Ok(_)) => Some(200),
                Ok(Err(kube::Error::Api(status))) => Some(status.code),
                Ok(Err(_)) | Err(_) => None,
            };
            metrics::requested(action, code, begun.elapsed());
            let (error, wait) = match answered {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(kube::Error::Api(status))) if !is_passing(&status) => {
                    return Err(ClusterError::Refused { action: action.to_owned(), status });
                }
                Ok(Err(error)) if let Some(unconnected) = unconnected(&error) => {
                    let is_passing = unconnected.is_passing();
                    let error = ClusterError::Unconnected(unconnected);
                    if !is_passing {
                        return Err(error);
                    }
                    (error, pause)
                }
                Ok(Err(error)) if is_passing_error(&error) => {
                    let wait = asked_to_wait(&error).unwrap_or(pause);
                    (ClusterError::Away(Box::new(error)), wait)
                }
                Ok(Err(error)) => return Err(ClusterError::Answer(Box::new(error))),
                Err(_elapsed) => (ClusterError::Late, pause),
            };
            let again = Instant::now() + wait;
            if again >= deadline {
                return Err(error);
            }
            tokio::time::sleep_until(again).await;
            metrics::retried();
            pause = (pause * 2).min(PAUSE_LIMIT);
        }
    }
}

impl ClusterError {
    /// Whether the same call may succeed later.
    pub fn is_passing(&self) -> bool {
        matches!(self, ClusterError::Away(_) | ClusterError::Late | ClusterError::Unconnected(_))
    }

    fn is_conflict(&self) -> bool {
        matches!(self, ClusterError::Refused { status, .. } if status.is_already_exists())
    }

    /// Whether what was asked about does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, ClusterError::Refused { status, .. } if status.is_not_found())
    }
}

/// The kinds of objects that are handled here: those of a namespace.
trait Object:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + std::fmt::Debug
    + DeserializeOwned
    + Serialize
{
}

impl Object for ConfigMap {}
impl Object for PersistentVolumeClaim {}
impl Object for Pod {}
impl Object for Secret {}
impl Object for ServiceAccount {}

fn is_passing(status: &Status) -> bool {
    // Others have changed the object at the same time, more often than the server tries again.
    let conflict = status.code == 409 && status.reason == "Conflict";
    status.code == 429 || status.code >= 500 || conflict
}

fn is_passing_error(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => is_passing(status),
        kube::Error::HyperError(_) | kube::Error::Service(_) | kube::Error::ReadEvents(_) => true,
        _ => false,
    }
}

/// Why there is no connection, if that is what the error says.
fn unconnected(error: &kube::Error) -> Option<Arc<ConnectError>> {
    let kube::Error::Service(error) = error else { return None };
    error.downcast_ref::<Arc<ConnectError>>().cloned()
}

fn asked_to_wait(error: &kube::Error) -> Option<Duration> {
    let kube::Error::Api(status) = error else { return None };
    let seconds = status.details.as_ref()?.retry_after_seconds;
    (seconds > 0).then(|| Duration::from_secs(u64::from(seconds)))
}
