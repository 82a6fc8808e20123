//! Runs containers with bubblewrap, on the host's own tools.
//!
//! A container gets: the host's programs and libraries read-only, a root, /tmp, /run and home of
//! its own in memory, a minimal /dev, a read-only /proc, its volumes; namespaces of its own for
//! processes, IPC, host name, mounts and cgroups, and for users where the kubelet is not root; no
//! capabilities. Its first program is process 2, under a reaper, and when it ends everything in
//! the process namespace is killed. Both outputs share one pipe, so their order is kept.
//!
//! **Not isolated**: the network is the host's unless switched off (so also its abstract sockets
//! and whatever listens on loopback), and with it off each container has a loopback of its own; the
//! kernel's whole system call surface; memory and processors, where no control group can be made
//! ([`limits`]) or the pod sets no limit; disk use of volumes between two looks at it. Where the kubelet is root, user 0 of a container is user 0 of the host without
//! capabilities: it may read what root owns below /usr, but nothing is mounted through which it
//! could write outside its volumes. There is one pod address, the host's.

mod arguments;
pub(crate) mod limits;
pub(crate) mod process;
mod root;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::sync::{Semaphore, mpsc, oneshot};

use self::limits::{Controller, Group, Groups};
use self::process::Spawner;
use super::{ContainerRun, Image, Resources, Running, StartError, image};
use crate::kubelet::stream::{Console, Entrance, Inside, Taps};
use crate::kubelet::{SandboxOptions, quantity};
use crate::logs::LogWriter;

/// Runs containers with bubblewrap.
#[derive(Clone, Debug)]
pub struct Sandbox {
    options: Arc<SandboxOptions>,
    spawner: Spawner,
    /// Containers that are being started at one time; more would only wait for each other.
    starts: Arc<Semaphore>,
    groups: Arc<Groups>,
}

impl Sandbox {
    /// A sandbox; [`Sandbox::probe`] tells beforehand whether it can work.
    ///
    /// It raises the process's limit of open files to what is allowed, as a container has four.
    pub fn new(options: SandboxOptions) -> Sandbox {
        raise_file_limit();
        let starts = Arc::new(Semaphore::new(2 * quantity::processors()));
        Sandbox {
            options: Arc::new(options),
            spawner: Spawner::start(),
            starts,
            groups: Arc::new(Groups::new()),
        }
    }

    /// Whether something can be limited on this host.
    pub(crate) fn limits(&self, controller: Controller) -> bool {
        self.groups.has(controller)
    }

    /// Removes what the containers of a pod shared.
    pub(crate) fn end_pod(&self, uid: &str) {
        self.groups.end_pod(uid);
    }

    /// Runs `true` in a sandbox; the error is the reason why that is not possible.
    pub async fn probe(options: &SandboxOptions) -> Result<(), String> {
        let folder =
            tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
        let run = ContainerRun {
            id: String::new(),
            pod: "probe".to_owned(),
            pod_uid: String::new(),
            namespace: String::new(),
            container: "probe".to_owned(),
            restart_count: 0,
            serves: false,
            image: String::new(),
            found: Image::default(),
            command: vec!["/bin/true".to_owned()],
            arguments: Vec::new(),
            environment: Default::default(),
            working_folder: None,
            mounts: Vec::new(),
            hostname: "probe".to_owned(),
            host_aliases: Vec::new(),
            user: None,
            group: None,
            supplemental_groups: Vec::new(),
            read_only_root: false,
            privileged: false,
            may_gain_privileges: false,
            added_capabilities: Vec::new(),
            dropped_capabilities: Vec::new(),
            resources: Resources::default(),
            shares_processes: false,
            terminal: false,
            input: false,
            input_once: false,
            folder: folder.path().to_owned(),
        };
        let sandbox = Sandbox::new(options.clone());
        let said = async {
            let mut process = sandbox.spawn(&run, Group::default(), &Console::Nothing)?;
            process.output().await.map_err(StartError::Runtime)
        };
        match tokio::time::timeout(Duration::from_secs(10), said).await {
            Ok(Ok((0, _))) => Ok(()),
            Ok(Ok((code, said))) if said.is_empty() => Err(format!("bwrap ended with {code}")),
            Ok(Ok((_, said))) => Err(said),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("bwrap does not end".to_owned()),
        }
    }

    /// The folder that stands in for an image.
    pub(crate) fn overlay(&self, image: &str) -> Option<PathBuf> {
        image::overlay(&self.options.overlays, image)
    }

    pub(crate) async fn start(
        &self,
        run: ContainerRun,
        log: LogWriter,
    ) -> Result<Running, StartError> {
        let _start = self.starts.acquire().await.map_err(io::Error::other)?;
        let name = format!("{}-{}", run.container, run.restart_count);
        let processes = self.options.processes;
        let group = self.groups.enter(&run.pod_uid, &name, &run.resources, processes);
        let group = group.map_err(|error| {
            StartError::Refused(format!("the container's limits cannot be set: {error}"))
        })?;
        let console = Console::open(&run)?;
        let folders = group.folders.clone();
        let process = self.spawn(&run, group, &console)?;
        let (signals, receiver) = mpsc::unbounded_channel();
        let (sender, exit) = oneshot::channel();
        let taps = Taps::default();
        let reaper = process.supervise(log, taps.clone(), receiver, sender).await?;
        let environment = arguments::environment(&run, &self.options);
        let inside = Inside::new(reaper, environment, &run, folders, taps, console);
        Ok(Running { id: run.id, signals, exit, entrance: Entrance::Sandbox(Arc::new(inside)) })
    }

    fn spawn(
        &self,
        run: &ContainerRun,
        group: Group,
        console: &Console,
    ) -> Result<process::Process, StartError> {
        let overlay = self.overlay(&run.image);
        let refused = |error: io::Error| StartError::Refused(error.to_string());
        let etc = arguments::write_etc(run)?;
        let is_root = rustix::process::geteuid().is_root();
        let options = arguments::options(run, &self.options, overlay.as_deref(), &etc, is_root);
        let command = arguments::command(run, overlay.as_deref());
        Ok(self.spawner.spawn(
            Path::new(&self.options.program),
            options.map_err(refused)?,
            command,
            group,
            console,
        )?)
    }
}

fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}
