//! What runs containers: the sandbox, or a simulation.
//!
//! A runtime starts one container from a [`ContainerRun`] and hands back a [`Running`]; a task of
//! the runtime watches over it, takes signals and reports the exit.

pub(super) mod image;
pub(super) mod sandbox;
pub(super) mod simulate;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use tokio::sync::{mpsc, oneshot};

use self::sandbox::Sandbox;
use self::simulate::Simulate;
use super::stream::Entrance;
use super::{SandboxOptions, SimulateOptions};
use crate::logs::LogWriter;

/// What runs the containers of a node.
#[derive(Clone, Debug)]
pub enum Runtime {
    /// Bubblewrap, with the host's tools.
    Sandbox(Sandbox),
    /// Nothing runs; outcomes are scripted.
    Simulate(Simulate),
}

/// One run of a container, with everything looked up.
#[derive(Clone, Debug)]
pub(crate) struct ContainerRun {
    pub(crate) pod: String,
    pub(crate) image: String,
    pub(crate) command: Vec<String>,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) working_folder: Option<String>,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) hostname: String,
    pub(crate) host_aliases: Vec<(IpAddr, Vec<String>)>,
    pub(crate) user: Option<u32>,
    pub(crate) group: Option<u32>,
    pub(crate) read_only_root: bool,
    /// A folder of this container for the runtime's own files.
    pub(crate) folder: PathBuf,
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
    pub(crate) signals: mpsc::UnboundedSender<Signal>,
    pub(crate) exit: oneshot::Receiver<i32>,
    pub(crate) entrance: Entrance,
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
            Runtime::Sandbox(_) => "sandbox",
            Runtime::Simulate(_) => "simulate",
        }
    }

    /// What there is in place of an image, for the event that a real kubelet writes after a pull.
    pub(crate) fn pulled(&self, image: &str) -> String {
        match self {
            Runtime::Sandbox(sandbox) if sandbox.overlay(image).is_some() => {
                format!("a local stand-in and host tools stand in for image \"{image}\"")
            }
            Runtime::Sandbox(_) => format!("host tools stand in for image \"{image}\""),
            Runtime::Simulate(_) => format!("simulated: nothing is pulled for image \"{image}\""),
        }
    }

    /// Whether a privileged container is one.
    pub(crate) fn honours_privileged(&self) -> bool {
        false
    }

    /// Whether containers see their volumes, and so their service account's token.
    pub(crate) fn mounts_volumes(&self) -> bool {
        matches!(self, Runtime::Sandbox(_))
    }

    pub(crate) async fn start(
        &self,
        run: ContainerRun,
        log: LogWriter,
    ) -> Result<Running, StartError> {
        match self {
            Runtime::Sandbox(sandbox) => sandbox.start(run, log).await,
            Runtime::Simulate(simulate) => Ok(simulate.start(run, log)),
        }
    }
}
