//! Runs containers with a Docker engine, or with Podman's service, over its Unix socket.
//!
//! - A pod is a container that does nothing and owns the network and IPC namespaces (and that of
//!   processes if they are shared), and the pod's containers in those; the image of the first one
//!   is made here and given to the engine, so nothing has to be pulled for it
//! - Volumes are bound from this host: the engine must see the same files
//! - Output is read from the engine as it comes and goes to this node's logs only
//! - Everything carries a label with the cluster; what an earlier kubelet of the cluster left is
//!   removed when this one begins, and everything when it ends

mod container;
mod images;
mod pause;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig, SystemVersion};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, KillContainerOptionsBuilder, ListContainersOptionsBuilder,
    RemoveContainerOptionsBuilder,
};
use bollard::{BollardRequest, Docker as Engine};
use futures::StreamExt;
use http::HeaderValue;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{ContainerRun, PodRun, Running, StartError};
use crate::kubelet::{DockerOptions, quantity};
use crate::logs::LogWriter;

/// The sockets that are tried where none is given.
const SOCKETS: [&str; 2] = ["unix:///var/run/docker.sock", "unix:///run/podman/podman.sock"];
/// The label that says which cluster a container belongs to.
const CLUSTER: &str = "io.kubernetes.cluster";
const CONTAINER: &str = "io.kubernetes.container.name";
/// A pull of a large image says nothing for long.
const LONGEST_PULL: Duration = Duration::from_secs(3600);
const PULLS: usize = 3;
/// How long a killed container may take to be gone.
const LONGEST_END: Duration = Duration::from_secs(10);
const BUSY: Duration = Duration::from_millis(100);

/// Runs containers with a Docker engine.
#[derive(Clone, Debug)]
pub struct Docker {
    engine: Engine,
    version: Arc<str>,
    /// Podman, which differs in a few things.
    is_podman: bool,
    options: Arc<DockerOptions>,
    /// The first container of each pod, by the pod's uid.
    pods: Arc<Mutex<HashMap<String, String>>>,
    starts: Arc<Semaphore>,
    pulls: Arc<Semaphore>,
}

impl Docker {
    /// Connects to the engine; the error is the reason why that is not possible.
    pub async fn connect(options: DockerOptions) -> Result<Docker, String> {
        let hosts = match &options.host {
            Some(host) => vec![host.as_str()],
            None => SOCKETS.to_vec(),
        };
        let mut reasons = Vec::new();
        for host in hosts {
            match connect(host).await {
                Ok((engine, version)) => {
                    let mut components = version.components.into_iter().flatten();
                    return Ok(Docker {
                        engine,
                        version: version.version.unwrap_or_default().into(),
                        is_podman: components.any(|component| component.name == "Podman Engine"),
                        options: Arc::new(options),
                        pods: Arc::default(),
                        starts: Arc::new(Semaphore::new(4 * quantity::processors())),
                        pulls: Arc::new(Semaphore::new(PULLS)),
                    });
                }
                Err(error) => reasons.push(format!("{host}: {error}")),
            }
        }
        Err(reasons.join("; "))
    }

    /// The engine's version, for the node's status.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Makes the container that owns the pod's namespaces; the pod's address, if it has its own.
    pub(crate) async fn begin_pod(&self, pod: &PodRun) -> Result<Option<String>, String> {
        let _start = self.starts.acquire().await.map_err(|error| error.to_string())?;
        self.make_pod(pod).await.map_err(|error| said(&error))
    }

    async fn make_pod(&self, pod: &PodRun) -> Result<Option<String>, Error> {
        let image = self.pause_image().await?;
        let hosts = pod
            .host_aliases
            .iter()
            .flat_map(|(address, names)| names.iter().map(move |name| format!("{name}:{address}")));
        let mut hosts: Vec<_> = hosts.collect();
        let network = match (pod.host_network, &self.options.network) {
            (true, _) => Some("host".to_owned()),
            (false, network) => network.clone(),
        };
        let is_bridged = !matches!(network.as_deref(), Some("host" | "none"));
        if is_bridged {
            hosts.extend(self.options.host_names.iter().map(|name| format!("{name}:host-gateway")));
        }
        let some = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
        let is_host = network.as_deref() == Some("host");
        let body = ContainerCreateBody {
            image: Some(image),
            entrypoint: Some(vec![pause::PATH.to_owned()]),
            cmd: Some(Vec::new()),
            // The host's network comes with the host's name.
            hostname: (!is_host).then(|| pod.hostname.clone()),
            labels: Some(self.labels(&pod.name, &pod.namespace, &pod.uid, "POD")),
            host_config: Some(HostConfig {
                network_mode: network,
                ipc_mode: Some("shareable".to_owned()),
                extra_hosts: some(&hosts),
                dns: some(&pod.name_servers),
                dns_search: some(&pod.searches),
                log_config: Some(no_log()),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let name = format!("k8s_POD_{}_{}_{}_0", pod.name, pod.namespace, pod.uid);
        // That of an attempt that failed half-way.
        self.remove(&name).await?;
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        let id = self.engine.create_container(Some(options), body).await?.id;
        self.engine.start_container(&id, None).await?;
        let found = self.engine.inspect_container(&id, None).await?;
        self.pods().insert(pod.uid.clone(), id);
        let networks = found.network_settings.and_then(|settings| settings.networks);
        let addresses =
            networks.into_iter().flatten().filter_map(|(_, network)| network.ip_address);
        Ok(addresses.filter(|address| !address.is_empty()).min())
    }

    /// Removes the pod's own container.
    pub(crate) async fn end_pod(&self, uid: &str) {
        let id = self.pods().remove(uid);
        if let Some(id) = id
            && let Err(error) = self.remove(&id).await
        {
            tracing::warn!(%error, pod.uid = uid, "a pod's own container is left behind");
        }
    }

    /// Removes every container of this cluster.
    pub(crate) async fn remove_all(&self) -> Result<(), String> {
        self.pods().clear();
        let mut attempts = 0;
        // A list can fail over a container that goes just then.
        loop {
            match self.remove_listed().await {
                Ok(0) => return Ok(()),
                Err(error) if attempts == 10 => return Err(said(&error)),
                Ok(_) | Err(_) => attempts += 1,
            }
            let _ = timeout(BUSY, std::future::pending::<()>()).await;
        }
    }

    /// Removes the containers that there are; how many.
    async fn remove_listed(&self) -> Result<usize, Error> {
        let filters = HashMap::from([(
            "label".to_owned(),
            vec![format!("{CLUSTER}={}", self.options.cluster)],
        )]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let found = self.engine.list_containers(Some(options)).await?;
        // Those that own namespaces others are in go last.
        let (pods, others): (Vec<_>, Vec<_>) = found.iter().partition(|one| {
            let labels = one.labels.as_ref();
            labels.and_then(|labels| labels.get(CONTAINER)).map(String::as_str) == Some("POD")
        });
        for list in [others, pods] {
            let removals = list.iter().filter_map(|one| Some(self.remove(one.id.as_deref()?)));
            futures::future::try_join_all(removals).await?;
        }
        Ok(found.len())
    }

    /// Starts a container in its pod's namespaces.
    pub(crate) async fn start(
        &self,
        run: ContainerRun,
        log: LogWriter,
    ) -> Result<Running, StartError> {
        let _start = self.starts.acquire().await.map_err(std::io::Error::other)?;
        container::start(self, run, log).await.map_err(|error| StartError::Refused(said(&error)))
    }

    /// Kills and removes a container; it is fine if there is none.
    async fn remove(&self, id: &str) -> Result<(), Error> {
        // Podman asks politely first, and would wait for ten seconds.
        let options = KillContainerOptionsBuilder::default().signal("SIGKILL").build();
        let killed = self.engine.kill_container(id, Some(options)).await;
        if matches!(killed, Err(Error::DockerResponseServerError { status_code: 404, .. })) {
            return Ok(());
        }
        let ended = self.engine.wait_container(id, None);
        // Both a code and a failure can come out of it; the removal tells.
        let _ = timeout(LONGEST_END, Box::pin(ended).next()).await;
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        let mut attempts = 0;
        loop {
            match self.engine.remove_container(id, Some(options.clone())).await {
                Ok(()) | Err(Error::DockerResponseServerError { status_code: 404, .. }) => {
                    return Ok(());
                }
                // It is busy with the end of the container.
                Err(Error::DockerResponseServerError { status_code: 409 | 500, .. })
                    if attempts < 10 => {}
                Err(error) => return Err(error),
            }
            attempts += 1;
            let _ = timeout(BUSY, std::future::pending::<()>()).await;
        }
    }

    fn pods(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn labels(
        &self,
        pod: &str,
        namespace: &str,
        uid: &str,
        container: &str,
    ) -> HashMap<String, String> {
        BTreeMap::from([
            (CLUSTER, self.options.cluster.as_str()),
            ("io.kubernetes.pod.name", pod),
            ("io.kubernetes.pod.namespace", namespace),
            ("io.kubernetes.pod.uid", uid),
            (CONTAINER, container),
        ])
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
    }
}

async fn connect(host: &str) -> Result<(Engine, SystemVersion), String> {
    let engine = Engine::connect_with_host(host).map_err(|error| error.to_string())?;
    let engine = engine.with_request_modifier(with_url_safe_credentials);
    let engine = engine.negotiate_version().await.map_err(|error| said(&error))?;
    let version = engine.version().await.map_err(|error| said(&error))?;
    Ok((engine, version))
}

/// The output is read as it comes; a second copy would only fill the disk.
fn no_log() -> HostConfigLogConfig {
    HostConfigLogConfig { typ: Some("none".to_owned()), config: None }
}

/// The engine's own words.
fn said(error: &Error) -> String {
    match error {
        Error::DockerResponseServerError { message, .. } => message.clone(),
        Error::DockerStreamError { error } => error.clone(),
        other => {
            let mut text = other.to_string();
            let mut source = std::error::Error::source(other);
            while let Some(error) = source {
                text.push_str(&format!(": {error}"));
                source = error.source();
            }
            text
        }
    }
}

/// Engines read credentials in the alphabet that is safe in URLs, which the client does not write.
fn with_url_safe_credentials(mut request: BollardRequest) -> BollardRequest {
    if let Some(value) = request.headers_mut().get_mut("x-registry-auth") {
        let text = String::from_utf8_lossy(value.as_bytes());
        if let Ok(mut safe) = HeaderValue::from_str(&text.replace('+', "-").replace('/', "_")) {
            safe.set_sensitive(true);
            *value = safe;
        }
    }
    request
}
