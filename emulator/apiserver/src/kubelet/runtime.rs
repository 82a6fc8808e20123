//! What runs containers: an engine, the sandbox, or a simulation.
//!
//! A runtime starts one container from a [`ContainerRun`] and hands back a [`Running`]; a task of
//! the runtime watches over it, takes signals and reports the exit. Only an engine has images to
//! pull and something to begin and end for a pod as a whole.

pub(super) mod credentials;
pub(super) mod docker;
pub(super) mod image;
pub(super) mod sandbox;
pub(super) mod simulate;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use tokio::sync::{mpsc, oneshot};

use self::credentials::Credentials;
use self::docker::Docker;
use self::sandbox::Sandbox;
use self::sandbox::limits::Controller;
use self::simulate::Simulate;
use super::stream::Entrance;
use super::{SandboxOptions, SimulateOptions};
use crate::logs::LogWriter;

/// What runs the containers of a node.
#[derive(Clone, Debug)]
pub enum Runtime {
    /// A Docker engine, or Podman's service.
    Docker(Docker),
    /// Bubblewrap, with the host's tools.
    Sandbox(Sandbox),
    /// Nothing runs; outcomes are scripted.
    Simulate(Simulate),
}

/// One run of a container, with everything looked up.
#[derive(Clone, Debug)]
pub(crate) struct ContainerRun {
    /// Of this run, where the runtime has no name of its own for it.
    pub(crate) id: String,
    pub(crate) pod: String,
    pub(crate) pod_uid: String,
    pub(crate) namespace: String,
    pub(crate) container: String,
    pub(crate) restart_count: i32,
    /// Whether it is one that serves: started again whenever it ends.
    pub(crate) serves: bool,
    /// The reference, as the pod has it.
    pub(crate) image: String,
    /// What the engine has under that reference.
    pub(crate) found: Image,
    pub(crate) command: Vec<String>,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) working_folder: Option<String>,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) hostname: String,
    pub(crate) host_aliases: Vec<(IpAddr, Vec<String>)>,
    pub(crate) user: Option<u32>,
    pub(crate) group: Option<u32>,
    pub(crate) supplemental_groups: Vec<u32>,
    pub(crate) read_only_root: bool,
    pub(crate) privileged: bool,
    pub(crate) may_gain_privileges: bool,
    pub(crate) added_capabilities: Vec<String>,
    pub(crate) dropped_capabilities: Vec<String>,
    pub(crate) resources: Resources,
    pub(crate) shares_processes: bool,
    pub(crate) terminal: bool,
    pub(crate) input: bool,
    /// Its input ends with the first client that was attached to it.
    pub(crate) input_once: bool,
    /// A folder of this container for the runtime's own files.
    pub(crate) folder: PathBuf,
}

/// What a container may use.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Resources {
    /// Bytes.
    pub(crate) memory: Option<u64>,
    /// Processors that it may use.
    pub(crate) processors: Option<f64>,
    /// Processors that it asks for.
    pub(crate) requested_processors: Option<f64>,
}

/// What all containers of a pod share.
#[derive(Clone, Debug, Default)]
pub(crate) struct PodRun {
    pub(crate) uid: String,
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) hostname: String,
    pub(crate) host_aliases: Vec<(IpAddr, Vec<String>)>,
    pub(crate) host_network: bool,
    pub(crate) name_servers: Vec<String>,
    pub(crate) searches: Vec<String>,
}

/// An image that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Image {
    /// As a container's status shows it.
    pub(crate) id: String,
    pub(crate) bytes: i64,
    pub(crate) user: String,
    pub(crate) stop_signal: Option<String>,
}

/// A folder or file of the host at a path in the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) source: PathBuf,
    pub(crate) path: String,
    pub(crate) read_only: bool,
}

/// A container that has been started; killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) id: String,
    pub(crate) signals: mpsc::UnboundedSender<Signal>,
    pub(crate) exit: oneshot::Receiver<Exit>,
    pub(crate) entrance: Entrance,
}

/// How a container has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Exit {
    pub(crate) code: i32,
    /// The kernel killed it for the memory that it took.
    pub(crate) out_of_memory: bool,
}

impl Exit {
    pub(crate) fn of(code: i32) -> Exit {
        Exit { code, out_of_memory: false }
    }

    /// Of a container whose end was not seen.
    pub(crate) const KILLED: Exit = Exit { code: 137, out_of_memory: false };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    Terminate,
    Kill,
}

/// Why a container did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// The command cannot be executed, or the root cannot be composed.
    #[error("{0}")]
    Refused(String),
    /// The runtime itself failed.
    #[error("the container cannot be created")]
    Runtime(#[from] std::io::Error),
}

impl Runtime {
    /// The first runtime that works here, and why it is this one.
    pub async fn auto(sandbox: SandboxOptions, simulate: SimulateOptions) -> (Runtime, String) {
        match Sandbox::probe(&sandbox).await {
            Ok(()) => (
                Runtime::Sandbox(Sandbox::new(sandbox)),
                "bubblewrap works on this host".to_owned(),
            ),
            Err(reason) => {
                let reason = format!("pods are simulated, for the sandbox does not work: {reason}");
                (Runtime::Simulate(Simulate::new(simulate)), reason)
            }
        }
    }

    /// The name in the node's and the containers' status.
    pub fn name(&self) -> &'static str {
        match self {
            Runtime::Docker(_) => "docker",
            Runtime::Sandbox(_) => "sandbox",
            Runtime::Simulate(_) => "simulate",
        }
    }

    /// The version in the node's status.
    pub(crate) fn version(&self) -> &str {
        match self {
            Runtime::Docker(docker) => docker.version(),
            Runtime::Sandbox(_) | Runtime::Simulate(_) => env!("CARGO_PKG_VERSION"),
        }
    }

    /// What there is in place of an image, for the event that a real kubelet writes after a pull.
    pub(crate) fn pulled(&self, image: &str) -> String {
        match self {
            Runtime::Sandbox(sandbox) if sandbox.overlay(image).is_some() => {
                format!("a local stand-in and host tools stand in for image \"{image}\"")
            }
            Runtime::Sandbox(_) => format!("host tools stand in for image \"{image}\""),
            Runtime::Docker(_) => format!(
                "Container image \"{image}\" already present on machine and can be accessed by the pod"
            ),
            Runtime::Simulate(_) => format!("simulated: nothing is pulled for image \"{image}\""),
        }
    }

    /// Whether a privileged container is one.
    pub(crate) fn honours_privileged(&self) -> bool {
        matches!(self, Runtime::Docker(_))
    }

    /// The limits that a container asks for and does not get.
    pub(crate) fn unlimited(&self, resources: &Resources) -> Vec<&'static str> {
        let Runtime::Sandbox(sandbox) = self else { return Vec::new() };
        [
            ("memory", resources.memory.is_some(), Controller::Memory),
            ("cpu", resources.processors.is_some(), Controller::Processor),
        ]
        .into_iter()
        .filter(|(_, asked, controller)| *asked && !sandbox.limits(*controller))
        .map(|(name, ..)| name)
        .collect()
    }

    /// Whether containers are made of images, which are pulled; host tools stand in for them
    /// otherwise.
    pub(crate) fn has_images(&self) -> bool {
        matches!(self, Runtime::Docker(_))
    }

    /// The image of a reference, if it is there; the error is in the engine's words.
    pub(crate) async fn image(&self, reference: &str) -> Result<Option<Image>, String> {
        match self {
            Runtime::Docker(docker) => docker.image(reference).await,
            Runtime::Sandbox(_) | Runtime::Simulate(_) => Ok(Some(Image::default())),
        }
    }

    /// Pulls an image, with the first of the credentials that are accepted.
    pub(crate) async fn pull(
        &self,
        reference: &str,
        credentials: &[Credentials],
    ) -> Result<Image, String> {
        match self {
            Runtime::Docker(docker) => docker.pull(reference, credentials).await,
            Runtime::Sandbox(_) | Runtime::Simulate(_) => Ok(Image::default()),
        }
    }

    /// Removes what an earlier kubelet has left; the error is in the engine's words.
    pub(crate) async fn begin(&self) -> Result<(), String> {
        match self {
            Runtime::Docker(docker) => docker.remove_all().await,
            Runtime::Sandbox(_) | Runtime::Simulate(_) => Ok(()),
        }
    }

    /// Makes what the containers of a pod share; the pod's own address, where it has one.
    pub(crate) async fn begin_pod(&self, pod: &PodRun) -> Result<Option<String>, String> {
        match self {
            Runtime::Docker(docker) => docker.begin_pod(pod).await,
            Runtime::Sandbox(_) | Runtime::Simulate(_) => Ok(None),
        }
    }

    /// Removes what the containers of a pod shared.
    pub(crate) async fn end_pod(&self, uid: &str) {
        match self {
            Runtime::Docker(docker) => docker.end_pod(uid).await,
            Runtime::Sandbox(sandbox) => sandbox.end_pod(uid),
            Runtime::Simulate(_) => {}
        }
    }

    /// Removes everything.
    pub(crate) async fn end(&self) {
        if let Runtime::Docker(docker) = self
            && let Err(error) = docker.remove_all().await
        {
            tracing::warn!(error, "containers are left behind");
        }
    }

    /// Whether containers see their volumes, and so their service account's token.
    pub(crate) fn mounts_volumes(&self) -> bool {
        !matches!(self, Runtime::Simulate(_))
    }

    pub(crate) async fn start(
        &self,
        run: ContainerRun,
        log: LogWriter,
    ) -> Result<Running, StartError> {
        match self {
            Runtime::Docker(docker) => docker.start(run, log).await,
            Runtime::Sandbox(sandbox) => sandbox.start(run, log).await,
            Runtime::Simulate(simulate) => Ok(simulate.start(run, log)),
        }
    }
}
