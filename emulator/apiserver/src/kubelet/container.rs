//! The life of one container: made, run, run again as its restart policy says, stopped.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use kube::ResourceExt;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout, timeout_at};

use super::Node;
use super::environment::{self, expand};
use super::events::Kind;
use super::objects::{ConfigError, Objects, Reference, changes};
use super::runtime::{ContainerRun, Mount, Running, Signal};
use super::status::{Change, Termination};
use super::volumes::{self, Prepared};

/// After a run of this length a crash counts as the first one.
const FORGIVEN_AFTER: Duration = Duration::from_secs(600);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(300);
/// How long an error waits that no watched object can mend, as when the API server is away.
const RETRY: Duration = Duration::from_secs(10);
const LONGEST_MESSAGE: u64 = 4096;

/// When to stop: SIGTERM now, SIGKILL at this time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop {
    pub(super) kill_at: Instant,
}

/// Which container of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    Init(usize),
    Main(usize),
}

/// What a container's task tells its pod.
#[derive(Debug)]
pub(super) enum Report {
    Changed(Slot, Change),
    /// It will not run (again).
    Ended(Slot),
}

/// Whether a container is run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Restart {
    Never,
    OnFailure,
    Always,
}

impl Restart {
    pub(super) fn of(spec: &PodSpec, container: &Container, is_init: bool) -> Restart {
        let policy = container.restart_policy.as_deref().or(spec.restart_policy.as_deref());
        match policy {
            Some("Never") => Restart::Never,
            Some("OnFailure") => Restart::OnFailure,
            // An ordinary init container has done its work when it ends well.
            _ if is_init && container.restart_policy.is_none() => Restart::OnFailure,
            _ => Restart::Always,
        }
    }

    pub(super) fn after(self, code: i32) -> bool {
        match self {
            Restart::Never => false,
            Restart::OnFailure => code != 0,
            Restart::Always => true,
        }
    }
}

/// One container to be run.
pub(super) struct Job {
    pub(super) node: Arc<Node>,
    pub(super) pod: Arc<Pod>,
    pub(super) container: Container,
    pub(super) slot: Slot,
    pub(super) restart: Restart,
    pub(super) restart_count: i32,
    pub(super) volumes: Arc<BTreeMap<String, Prepared>>,
    /// The pod's own folder.
    pub(super) folder: PathBuf,
    pub(super) stop: watch::Receiver<Option<Stop>>,
    pub(super) reports: mpsc::UnboundedSender<Report>,
}

/// The container is to stop, or its pod has been dropped.
struct Stopped;

impl Job {
    pub(super) async fn run(mut self) {
        // Stopped is an end like any other; whoever stops it knows.
        let _ = self.run_until_done().await;
        let _ = self.reports.send(Report::Ended(self.slot));
    }

    async fn run_until_done(&mut self) -> Result<(), Stopped> {
        let mut crashes = 0;
        loop {
            let run = self.configure().await?;
            let begun = Instant::now();
            let code = self.run_once(run).await;
            if self.is_stopped() || !self.restart.after(code) {
                return Ok(());
            }
            crashes = if begun.elapsed() > FORGIVEN_AFTER { 0 } else { crashes + 1 };
            if crashes > 1 {
                self.back_off(crashes - 2).await?;
            }
            self.restart_count += 1;
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.borrow().is_some() || self.stop.has_changed().is_err()
    }

    fn report(&self, change: Change) {
        // The pod's task may have ended before.
        let _ = self.reports.send(Report::Changed(self.slot, change));
    }

    fn event(&self, kind: Kind, reason: &'static str, message: impl Into<String>) {
        let list = match self.slot {
            Slot::Init(_) => "initContainers",
            Slot::Main(_) => "containers",
        };
        let field = format!("spec.{list}{{{}}}", self.container.name);
        self.node.events.record(&self.pod, Some(&field), kind, reason, message);
    }

    /// Looks everything up, as often as it takes.
    async fn configure(&mut self) -> Result<ContainerRun, Stopped> {
        let mut watched: Option<(Reference, futures::stream::BoxStream<'static, ()>)> = None;
        let mut last = None;
        loop {
            if self.is_stopped() {
                return Err(Stopped);
            }
            let error = match self.resolve().await {
                Ok(run) => return Ok(run),
                Err(error) => error,
            };
            if last.as_ref() != Some(&error) {
                self.event(Kind::Warning, "Failed", format!("Error: {error}"));
                self.report(Change::Waiting {
                    reason: "CreateContainerConfigError",
                    message: Some(error.message.clone()),
                });
            }
            let mut stop = self.stop.clone();
            tokio::select! {
                () = await_change(&self.node, &self.pod, error.awaits.as_ref(), &mut watched) => {}
                _ = stop.wait_for(Option::is_some) => return Err(Stopped),
            }
            last = Some(error);
        }
    }

    async fn resolve(&self) -> Result<ContainerRun, ConfigError> {
        let namespace = self.pod.namespace().unwrap_or_default();
        let references = environment::references(&self.container);
        let objects = Objects::fetch(&self.node.client, &namespace, references).await?;
        let place = self.node.place();
        let variables = environment::variables(&self.pod, &self.container, &objects, place)?;
        let mut mounts = volumes::mounts(&self.container, &self.volumes, &variables)?;
        let folder = self.folder.join("containers").join(&self.container.name);
        let failed = |error: io::Error| {
            ConfigError::lasting(format!("no folder for the container: {error}"))
        };
        volumes::create_folder(&folder, 0o700).map_err(failed)?;
        let message = folder.join("termination-log");
        fs::write(&message, "").map_err(failed)?;
        let path = self.container.termination_message_path.as_deref();
        let path = path.filter(|path| !path.is_empty()).unwrap_or("/dev/termination-log");
        mounts.push(Mount { source: message, path: path.to_owned(), read_only: false });
        let spec = self.pod.spec.as_ref();
        let pod_context = spec.and_then(|spec| spec.security_context.as_ref());
        let context = self.container.security_context.as_ref();
        let not_root = context.and_then(|context| context.run_as_non_root);
        let not_root = not_root.or(pod_context.and_then(|context| context.run_as_non_root));
        let user = context.and_then(|context| context.run_as_user);
        let user = user.or(pod_context.and_then(|context| context.run_as_user));
        let group = context.and_then(|context| context.run_as_group);
        let group = group.or(pod_context.and_then(|context| context.run_as_group));
        let id = |id: i64| u32::try_from(id).ok();
        let user = match (user.and_then(id), not_root) {
            (Some(0), Some(true)) => {
                return Err(ConfigError::lasting(
                    "container's runAsUser breaks non-root policy (runAsUser is 0, runAsNonRoot is set)",
                ));
            }
            // No image says which user to take.
            (None, Some(true)) => Some(1000),
            (user, _) => user,
        };
        let words = |words: &Option<Vec<String>>| {
            words.iter().flatten().map(|word| expand(word, &variables)).collect()
        };
        let aliases = spec.and_then(|spec| spec.host_aliases.as_ref()).into_iter().flatten();
        Ok(ContainerRun {
            pod: self.pod.name_any(),
            image: self.container.image.clone().unwrap_or_default(),
            command: words(&self.container.command),
            arguments: words(&self.container.args),
            working_folder: self.container.working_dir.clone().filter(|folder| !folder.is_empty()),
            mounts,
            hostname: hostname(&self.pod),
            host_aliases: aliases
                .filter_map(|alias| {
                    Some((alias.ip.parse().ok()?, alias.hostnames.clone().unwrap_or_default()))
                })
                .collect(),
            user,
            group: group.and_then(id),
            read_only_root: context
                .and_then(|context| context.read_only_root_filesystem)
                .unwrap_or(false),
            folder,
            environment: variables,
        })
    }

    /// Runs the container once; the exit code.
    async fn run_once(&mut self, run: ContainerRun) -> i32 {
        let id = format!("{}://{}", self.node.runtime.name(), uuid::Uuid::new_v4().simple());
        let folder = run.folder.clone();
        let mut ended = Termination {
            id: id.clone(),
            restart_count: self.restart_count,
            code: 128,
            reason: "StartError",
            message: None,
            started: None,
        };
        self.event(Kind::Normal, "Pulled", self.node.runtime.pulled(&run.image));
        let privileged = self.container.security_context.as_ref();
        let privileged = privileged.and_then(|context| context.privileged).unwrap_or(false);
        if privileged && !self.node.runtime.honours_privileged() {
            let message =
                "the container asks to be privileged, which this node cannot give: it runs without";
            self.event(Kind::Warning, "PrivilegedIgnored", message);
        }
        let uid = self.pod.uid().unwrap_or_default();
        let count = u64::try_from(self.restart_count).unwrap_or(0);
        let log = self.node.logs.writer(&uid, &self.container.name, count);
        let started = match log {
            Ok(log) => self.node.start(run, log).await,
            Err(error) => Err(format!("no log can be written: {error}")),
        };
        match started {
            Ok(running) => {
                self.event(
                    Kind::Normal,
                    "Created",
                    format!("Created container: {}", self.container.name),
                );
                self.event(
                    Kind::Normal,
                    "Started",
                    format!("Started container {}", self.container.name),
                );
                ended.started = Some(Timestamp::now());
                self.report(Change::Running { id, restart_count: self.restart_count });
                ended.code = self.supervise(running).await;
                ended.reason = if ended.code == 0 { "Completed" } else { "Error" };
                ended.message = self.message(&folder, ended.code);
            }
            Err(message) => {
                self.event(Kind::Warning, "Failed", format!("Error: {message}"));
                ended.message = Some(message);
            }
        }
        let code = ended.code;
        self.report(Change::Terminated(Box::new(ended)));
        code
    }

    /// Waits for the end, and brings it about when told to.
    async fn supervise(&mut self, mut running: Running) -> i32 {
        let mut stop = self.stop.clone();
        let mut told: Option<Stop> = None;
        loop {
            let kill_at = told.map(|stop| stop.kill_at);
            tokio::select! {
                code = &mut running.exit => return code.unwrap_or(137),
                changed = async {
                    match kill_at {
                        Some(at) => timeout_at(at, stop.changed()).await.ok(),
                        None => Some(stop.changed().await),
                    }
                } => {
                    let orders = match changed {
                        Some(Ok(())) => *stop.borrow_and_update(),
                        // The pod's task is gone, or the grace period is over.
                        Some(Err(_)) | None => Some(Stop { kill_at: Instant::now() }),
                    };
                    let Some(orders) = orders else { continue };
                    if orders.kill_at <= Instant::now() {
                        // Where nobody receives it, the container has just ended.
                        let _ = running.signals.send(Signal::Kill);
                        return running.exit.await.unwrap_or(137);
                    }
                    if told.is_none() {
                        let message = format!("Stopping container {}", self.container.name);
                        self.event(Kind::Normal, "Killing", message);
                        let _ = running.signals.send(Signal::Terminate);
                    }
                    told = Some(orders);
                }
            }
        }
    }

    /// What the container left in its termination message file, or said last.
    fn message(&self, folder: &Path, code: i32) -> Option<String> {
        let mut message = Vec::new();
        let file = fs::File::open(folder.join("termination-log")).ok()?;
        file.take(LONGEST_MESSAGE).read_to_end(&mut message).ok()?;
        let falls_back =
            self.container.termination_message_policy.as_deref() == Some("FallbackToLogsOnError");
        if message.is_empty() && falls_back && code != 0 {
            let uid = self.pod.uid().unwrap_or_default();
            message = self.node.logs.end(&uid, &self.container.name, 2048).ok()?;
        }
        (!message.is_empty()).then(|| String::from_utf8_lossy(&message).into_owned())
    }

    async fn back_off(&mut self, doublings: u32) -> Result<(), Stopped> {
        let delay = self.node.back_off.saturating_mul(2_u32.saturating_pow(doublings));
        let delay = delay.min(LONGEST_BACK_OFF);
        let (name, uid) = (self.pod.name_any(), self.pod.uid().unwrap_or_default());
        let namespace = self.pod.namespace().unwrap_or_default();
        let container = &self.container.name;
        let seconds = humantime(delay);
        self.event(
            Kind::Warning,
            "BackOff",
            format!(
                "Back-off restarting failed container {container} in pod {name}_{namespace}({uid})"
            ),
        );
        self.report(Change::Waiting {
            reason: "CrashLoopBackOff",
            message: Some(format!(
                "back-off {seconds} restarting failed container={container} pod={name}_{namespace}({uid})"
            )),
        });
        match timeout(delay, self.stop.wait_for(Option::is_some)).await {
            Err(_) => Ok(()),
            Ok(_) => Err(Stopped),
        }
    }
}

/// Waits for an object to change; the first call returns when the watch has begun.
pub(super) async fn await_change(
    node: &Node,
    pod: &Pod,
    awaits: Option<&Reference>,
    watched: &mut Option<(Reference, futures::stream::BoxStream<'static, ()>)>,
) {
    let namespace = pod.namespace().unwrap_or_default();
    match (awaits, watched) {
        (Some(reference), Some((same, stream))) if same == reference => {
            stream.next().await;
        }
        (Some(reference), watched) => {
            let stream = changes(&node.client, &namespace, reference);
            let (_, stream) = watched.insert((reference.clone(), stream));
            stream.next().await;
        }
        (None, _) => {
            // Nothing tells when it may work again.
            let _ = timeout(RETRY, std::future::pending::<()>()).await;
        }
    }
}

fn hostname(pod: &Pod) -> String {
    let set = pod.spec.as_ref().and_then(|spec| spec.hostname.clone());
    let mut name = set.unwrap_or_else(|| pod.name_any());
    name.truncate(63);
    name.trim_end_matches(['-', '.']).to_owned()
}

/// A duration as Go prints it, for whole seconds.
fn humantime(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 60, seconds % 60) {
        (0, _) if seconds == 0 => format!("{}ms", duration.as_millis()),
        (0, seconds) => format!("{seconds}s"),
        (minutes, seconds) => format!("{minutes}m{seconds}s"),
    }
}
