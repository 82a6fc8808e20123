//! The node: what it is to the API, and what all its pods share.

use std::path::PathBuf;
use std::time::Duration;
use std::{fs, io};

use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::{
    Node as NodeObject, NodeAddress, NodeCondition, NodeStatus, NodeSystemInfo, Pod, ServiceAccount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, OwnerReference};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio_util::task::TaskTracker;

use super::claims::Claims;
use super::environment::Place;
use super::events::{Events, seconds};
use super::folders;
use super::quantity;
use super::runtime::{ContainerRun, Running, Runtime, StartError};
use crate::logs::{LogWriter, Logs};
use crate::streams::Streams;

/// The pods that a node takes.
const PODS: &str = "10000";
/// How long the lease of a node lasts that is not heard of again.
const LEASE_SECONDS: i32 = 40;

/// What the pods of a node share.
pub(super) struct Node {
    pub(super) client: Client,
    pub(super) name: String,
    pub(super) address: String,
    pub(super) root: PathBuf,
    pub(super) claims: Claims,
    pub(super) logs: Logs,
    pub(super) streams: Streams,
    pub(super) runtime: Runtime,
    pub(super) allow_host_paths: bool,
    pub(super) back_off: Duration,
    pub(super) events: Events,
    /// The tasks of all containers.
    pub(super) containers: TaskTracker,
}

impl Node {
    pub(super) fn place(&self) -> Place<'_> {
        Place { node: &self.name, address: &self.address }
    }

    /// The folder of the pods' own folders.
    pub(super) fn pods(&self) -> PathBuf {
        self.root.join("pods")
    }

    /// Starts a container; the error is what its status says.
    pub(super) async fn start(&self, run: ContainerRun, log: LogWriter) -> Result<Running, String> {
        self.runtime.start(run, log).await.map_err(|error| match &error {
            StartError::Refused(message) => message.clone(),
            StartError::Runtime(source) => format!("{error}: {source}"),
        })
    }

    /// A service account token for a pod, where the API gives tokens.
    pub(super) async fn token(
        &self,
        pod: &Pod,
        audience: Option<String>,
        expiration_seconds: Option<i64>,
    ) -> Option<String> {
        let account =
            pod.spec.as_ref()?.service_account_name.clone().unwrap_or("default".to_owned());
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: audience.map(|audience| vec![audience]),
                expiration_seconds,
                bound_object_ref: Some(BoundObjectReference {
                    api_version: Some("v1".to_owned()),
                    kind: Some("Pod".to_owned()),
                    name: Some(pod.name_any()),
                    uid: pod.uid(),
                }),
            }),
            ..TokenRequest::default()
        };
        let namespace = pod.namespace().unwrap_or_default();
        let api = Api::<ServiceAccount>::namespaced(self.client.clone(), &namespace);
        match api.create_token_request(&account, &PostParams::default(), &request).await {
            Ok(answer) => answer.status.and_then(|status| status.token),
            Err(error) => {
                tracing::debug!(%error, pod.name = pod.name_any(), "a pod gets no token");
                None
            }
        }
    }

    /// Creates the node's object, or takes over the one that is there, and reports it ready.
    pub(super) async fn register(&self) -> Result<(), kube::Error> {
        let api = Api::<NodeObject>::all(self.client.clone());
        let node = self.object();
        match api.create(&PostParams::default(), &node).await {
            Ok(_) => {}
            Err(kube::Error::Api(answer)) if answer.code == 409 => {
                let patch = json!({ "metadata": { "labels": node.labels() } });
                api.patch(&self.name, &PatchParams::default(), &Patch::Merge(patch)).await?;
            }
            Err(error) => return Err(error),
        }
        self.report().await
    }

    /// Renews the lease by which a cluster knows that its node lives.
    pub(super) async fn renew(&self) -> Result<(), kube::Error> {
        let api = Api::<Lease>::namespaced(self.client.clone(), "kube-node-lease");
        let patch = json!({ "spec": { "renewTime": MicroTime(Timestamp::now()) } });
        match api.patch(&self.name, &PatchParams::default(), &Patch::Merge(patch)).await {
            Err(kube::Error::Api(answer)) if answer.code == 404 => {}
            result => return result.map(drop),
        }
        let node = Api::<NodeObject>::all(self.client.clone()).get(&self.name).await?;
        let mut lease = Lease::default();
        lease.metadata.name = Some(self.name.clone());
        lease.metadata.owner_references = Some(vec![OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Node".to_owned(),
            name: self.name.clone(),
            uid: node.uid().unwrap_or_default(),
            ..OwnerReference::default()
        }]);
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(self.name.clone()),
            lease_duration_seconds: Some(LEASE_SECONDS),
            renew_time: Some(MicroTime(Timestamp::now())),
            ..LeaseSpec::default()
        });
        api.create(&PostParams::default(), &lease).await.map(drop)
    }

    /// Writes the node's status.
    pub(super) async fn report(&self) -> Result<(), kube::Error> {
        let api = Api::<NodeObject>::all(self.client.clone());
        let mut status = self.object().status.unwrap_or_default();
        let before = api.get(&self.name).await?.status.unwrap_or_default();
        for condition in status.conditions.iter_mut().flatten() {
            let same =
                before.conditions.iter().flatten().find(|other| other.type_ == condition.type_);
            if let Some(same) = same.filter(|same| same.status == condition.status) {
                condition.last_transition_time = same.last_transition_time.clone();
            }
        }
        let patch = json!({ "status": status });
        api.patch_status(&self.name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    fn object(&self) -> NodeObject {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let mut node = NodeObject::default();
        node.metadata.name = Some(self.name.clone());
        for (label, value) in [
            ("kubernetes.io/os", "linux"),
            ("kubernetes.io/arch", architecture),
            ("kubernetes.io/hostname", self.name.as_str()),
            ("beta.kubernetes.io/os", "linux"),
            ("beta.kubernetes.io/arch", architecture),
        ] {
            node.labels_mut().insert(label.to_owned(), value.to_owned());
        }
        let capacity = [
            ("cpu", quantity::processors().to_string()),
            ("memory", format!("{}Ki", quantity::memory() / 1024)),
            ("pods", PODS.to_owned()),
            ("ephemeral-storage", "100Gi".to_owned()),
        ];
        let capacity = capacity.map(|(name, value)| (name.to_owned(), Quantity(value)));
        let capacity = std::collections::BTreeMap::from(capacity);
        node.status = Some(NodeStatus {
            addresses: Some(
                [("InternalIP", &self.address), ("Hostname", &self.name)]
                    .map(|(kind, address)| NodeAddress {
                        type_: kind.to_owned(),
                        address: address.clone(),
                    })
                    .into(),
            ),
            allocatable: Some(capacity.clone()),
            capacity: Some(capacity),
            conditions: Some(conditions()),
            node_info: Some(self.info(architecture)),
            ..NodeStatus::default()
        });
        node
    }

    fn info(&self, architecture: &str) -> NodeSystemInfo {
        let line = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let release = line("/etc/os-release");
        let image = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
        NodeSystemInfo {
            architecture: architecture.to_owned(),
            boot_id: line("/proc/sys/kernel/random/boot_id"),
            container_runtime_version: format!(
                "{}://{}",
                self.runtime.name(),
                self.runtime.version()
            ),
            kernel_version: line("/proc/sys/kernel/osrelease"),
            kubelet_version: "v1.36.0".to_owned(),
            operating_system: "linux".to_owned(),
            os_image: image.unwrap_or("Linux").trim_matches('"').to_owned(),
            ..NodeSystemInfo::default()
        }
    }

    /// Removes the folders of pods that are no longer on this node.
    pub(super) fn remove_strangers(&self, is_known: impl Fn(&str) -> bool) {
        let result = remove_strangers(&self.pods(), &is_known);
        if let Err(error) = result.and_then(|()| self.logs.retain(&is_known)) {
            tracing::warn!(%error, "files of pods that are gone are left behind");
        }
    }
}

fn remove_strangers(folder: &std::path::Path, is_known: &impl Fn(&str) -> bool) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if !entry.file_name().to_str().is_some_and(is_known) {
            folders::remove(&entry.path())?;
        }
    }
    Ok(())
}

fn conditions() -> Vec<NodeCondition> {
    let now = seconds(Timestamp::now());
    let condition = |kind: &str, status: &str, reason: &str, message: &str| NodeCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_heartbeat_time: Some(now.clone()),
        last_transition_time: Some(now.clone()),
    };
    vec![
        condition(
            "MemoryPressure",
            "False",
            "KubeletHasSufficientMemory",
            "kubelet has sufficient memory available",
        ),
        condition(
            "DiskPressure",
            "False",
            "KubeletHasNoDiskPressure",
            "kubelet has no disk pressure",
        ),
        condition(
            "PIDPressure",
            "False",
            "KubeletHasSufficientPID",
            "kubelet has sufficient PID available",
        ),
        condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    ]
}
