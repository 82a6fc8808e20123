//! The kubelet: an ordinary client of a Kubernetes API that runs the pods of one node.
//!
//! It registers its node, watches the pods bound to it and runs each as a task; it reports by
//! PATCH of `pods/status` and by events, as a real kubelet does. What runs the containers is a
//! [`Runtime`].
//!
//! Not there: probes (a container that runs is ready), life cycle hooks, ephemeral containers,
//! user ids of volumes (`fsGroup`), updates of mounted Secrets and ConfigMaps in a running pod,
//! tokens anew before they expire.

mod claims;
mod container;
mod environment;
mod events;
mod folders;
mod node;
mod objects;
mod pod;
pub(crate) mod quantity;
mod runtime;
mod status;
pub(crate) mod stream;
#[cfg(test)]
mod tests;
mod volumes;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::claims::Claims;
use self::events::Events;
use self::node::Node;
use self::pod::{Orders, PodTask};
pub use self::runtime::Runtime;
pub use self::runtime::docker::Docker;
pub use self::runtime::sandbox::Sandbox;
pub use self::runtime::simulate::Simulate;
use crate::logs::Logs;
use crate::streams::Streams;

/// The address that nodes and their pods report: all share the host's network.
const ADDRESS: &str = "127.0.0.1";
const HEARTBEAT: Duration = Duration::from_secs(300);
const RENEWAL: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_secs(1);
/// How long the end of the containers is waited for after they have been killed.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// What a kubelet is.
#[derive(Clone, Debug)]
pub struct Options {
    /// The name of its node.
    pub node_name: String,
    /// The folder of pods' volumes and of claims; only this user may enter it.
    pub root: PathBuf,
    /// Where containers' logs go; shared with the API server that serves them.
    pub logs: Logs,
    /// Where the ways into containers are offered; shared with the API server that uses them.
    pub streams: Streams,
    /// What runs the containers.
    pub runtime: Runtime,
    /// Whether pods may mount folders of the host.
    pub allow_host_paths: bool,
    /// The pause after a container's second crash; it doubles with each further one.
    pub back_off: Duration,
}

/// The pause of a real kubelet after a container's second crash.
pub const BACK_OFF: Duration = Duration::from_secs(10);

/// How the engine is reached and what it is asked for.
#[derive(Clone, Debug, Default)]
pub struct DockerOptions {
    /// The engine's socket, `unix:///run/podman/podman.sock`; the usual ones if absent.
    pub host: Option<String>,
    /// The network of pods: one of the engine, `host` or `none`; the engine's own choice if absent.
    pub network: Option<String>,
    /// Names under which pods find this host, unless they share its network.
    pub host_names: Vec<String>,
    /// Environment of every container, unless its pod sets the same name.
    pub environment: BTreeMap<String, String>,
    /// Processes that a container may have; no limit if absent.
    pub processes: Option<u64>,
    /// What tells this cluster's containers from those of others: the same after a restart.
    pub cluster: String,
}

/// How the sandbox composes containers.
#[derive(Clone, Debug)]
pub struct SandboxOptions {
    /// The bubblewrap program, by path or by name.
    pub program: PathBuf,
    /// Folders searched for `<folder>/<image repository>`, which is laid over the root read-only.
    pub overlays: Vec<PathBuf>,
    /// Environment of every container, unless its pod sets the same name.
    pub environment: BTreeMap<String, String>,
    /// More files and folders of the host (first) at paths of every container, read-only.
    pub binds: Vec<(PathBuf, PathBuf)>,
    /// Whether containers share the host's network; they have none otherwise.
    pub network: bool,
    /// Processes that a pod may have; no limit if absent.
    pub processes: Option<u64>,
    /// Bytes that each folder in memory of a container may hold; half of the memory if absent.
    pub memory_folder: Option<u64>,
}

impl Default for SandboxOptions {
    fn default() -> SandboxOptions {
        SandboxOptions {
            program: "bwrap".into(),
            overlays: Vec::new(),
            environment: BTreeMap::new(),
            binds: Vec::new(),
            network: true,
            processes: Some(1024),
            memory_folder: Some(1 << 30),
        }
    }
}

/// How simulated containers end.
#[derive(Clone, Debug, Default)]
pub struct SimulateOptions {
    /// The first rule that matches decides; without one a container ends well at once.
    pub rules: Vec<SimulateRule>,
}

/// The outcome of the simulated containers of some pods.
#[derive(Clone, Debug, Default)]
pub struct SimulateRule {
    /// The image, with `*` and `?`; all images if absent.
    pub image: Option<String>,
    /// The pod's name, with `*` and `?`; all pods if absent.
    pub pod: Option<String>,
    /// The exit code.
    pub exit_code: i32,
    /// Lines of the log, after the one that says that it is simulated.
    pub log: Vec<String>,
    /// How long the container runs.
    pub duration: Duration,
    /// Whether it runs until it is killed.
    pub never_ends: bool,
}

/// Runs the pods of one node.
pub struct Kubelet {
    client: Client,
    options: Options,
}

impl Kubelet {
    /// A kubelet that has done nothing yet.
    pub fn new(client: Client, options: Options) -> Kubelet {
        Kubelet { client, options }
    }

    /// Runs until `shutdown`; then every container is killed, and the API is told nothing.
    ///
    /// The next kubelet of this name finds the pods as they were left and reports what was lost.
    pub async fn run(self, shutdown: CancellationToken) {
        let Options { node_name, root, logs, streams, runtime, allow_host_paths, back_off } =
            self.options;
        let node = Arc::new(Node {
            containers: TaskTracker::new(),
            events: Events::start(self.client.clone(), node_name.clone()),
            client: self.client,
            name: node_name,
            address: ADDRESS.to_owned(),
            claims: Claims::new(root.join("claims")),
            root,
            logs,
            streams,
            runtime,
            allow_host_paths,
            back_off,
        });
        while let Err(error) = node.runtime.begin().await {
            tracing::warn!(error, node.name, "containers of an earlier run are not removed");
            if timeout(RETRY, shutdown.cancelled()).await.is_ok() {
                return;
            }
        }
        let mut pods = Pods { node: node.clone(), workers: HashMap::new(), tasks: JoinSet::new() };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = heartbeat(&node) => {}
            () = pods.watch() => {}
            () = node.claims.watch(node.client.clone()) => {}
        }
        pods.tasks.shutdown().await;
        node.containers.close();
        if timeout(LAST_WORDS, node.containers.wait()).await.is_err() {
            tracing::warn!(node.name, "containers have not ended with their kubelet");
        }
        node.runtime.end().await;
    }
}

/// Registers the node, then says from time to time that it is there; anew if it was deleted.
async fn heartbeat(node: &Node) {
    let mut registered = false;
    let mut reported = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    loop {
        ticks.tick().await;
        let result = match registered {
            true if reported.elapsed() < HEARTBEAT => node.renew().await,
            true => node.report().await,
            false => match node.register().await {
                Ok(()) => node.renew().await,
                failed => failed,
            },
        };
        if result.is_ok() && (!registered || reported.elapsed() >= HEARTBEAT) {
            reported = Instant::now();
        }
        let succeeded = result.is_ok();
        if let Err(error) = result {
            tracing::warn!(%error, node.name, "the node's status is not written");
        }
        if succeeded != registered {
            registered = succeeded;
            let period = if registered { RENEWAL } else { Duration::from_secs(1) };
            ticks = tokio::time::interval_at(Instant::now() + period, period);
        }
    }
}

/// The pods of this node.
struct Pods {
    node: Arc<Node>,
    /// How to reach the task of each pod, by uid.
    workers: HashMap<String, watch::Sender<Orders>>,
    tasks: JoinSet<()>,
}

impl Pods {
    async fn watch(&mut self) {
        let api = Api::<Pod>::all(self.node.client.clone());
        let config =
            watcher::Config::default().fields(&format!("spec.nodeName={}", self.node.name));
        let mut events = Box::pin(watcher(api, config).default_backoff());
        let mut listed = Vec::new();
        loop {
            match events.try_next().await {
                Ok(Some(watcher::Event::Init)) => listed.clear(),
                Ok(Some(watcher::Event::InitApply(pod))) => {
                    listed.extend(pod.uid());
                    self.apply(pod);
                }
                Ok(Some(watcher::Event::InitDone)) => self.relist(&listed),
                Ok(Some(watcher::Event::Apply(pod))) => self.apply(pod),
                Ok(Some(watcher::Event::Delete(pod))) => self.remove(pod),
                Ok(None) => return,
                Err(error) => tracing::warn!(%error, "the watch of pods is interrupted"),
            }
            while let Some(ended) = self.tasks.try_join_next() {
                if let Err(error) = ended {
                    tracing::error!(%error, "the task of a pod has failed");
                }
            }
        }
    }

    fn apply(&mut self, pod: Pod) {
        let Some(uid) = pod.uid().filter(|uid| folders::is_plain(uid)) else { return };
        let finished = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        let finished = matches!(finished, Some("Succeeded" | "Failed"));
        let deleted = pod.metadata.deletion_timestamp.is_some();
        let orders = Orders { pod: Arc::new(pod), gone: false };
        if let Some(worker) = self.workers.get(&uid) {
            worker.send_replace(orders);
        } else if !finished || deleted {
            let (sender, receiver) = watch::channel(orders);
            self.tasks.spawn(PodTask::new(self.node.clone(), receiver).run());
            self.workers.insert(uid, sender);
        }
    }

    /// The pod's object is gone.
    fn remove(&mut self, pod: Pod) {
        let Some(uid) = pod.uid() else { return };
        if let Some(worker) = self.workers.remove(&uid) {
            worker.send_modify(|orders| orders.gone = true);
        }
        if let Err(error) = self.node.logs.remove(&uid) {
            tracing::warn!(%error, pod.name = pod.name_any(), "a pod's logs are left behind");
        }
    }

    /// A list has been read: what is not in it is gone.
    fn relist(&mut self, listed: &[String]) {
        self.workers.retain(|uid, worker| {
            let is_listed = listed.contains(uid);
            if !is_listed {
                worker.send_modify(|orders| orders.gone = true);
            }
            is_listed
        });
        self.node.remove_strangers(|uid| listed.iter().any(|known| known == uid));
    }
}
