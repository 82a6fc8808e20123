//! The life of one container: made, run, run again as its restart policy says, stopped.

pub(super) mod configure;
mod image;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use kube::ResourceExt;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout, timeout_at};

use super::Node;
use super::events::Kind;
use super::runtime::{ContainerRun, Exit, Running, Signal};
use super::status::{Change, Termination};
use super::volumes::Prepared;

/// After a run of this length a crash counts as the first one.
const FORGIVEN_AFTER: Duration = Duration::from_secs(600);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(300);
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
    /// The pod's address.
    pub(super) address: String,
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
            let image = self.obtain_image().await?;
            let run = self.configure(image).await?;
            let begun = Instant::now();
            let code = self.run_once(run).await;
            if self.is_stopped() || !self.restart.after(code) {
                return Ok(());
            }
            crashes = if begun.elapsed() > FORGIVEN_AFTER { 0 } else { crashes + 1 };
            self.node.logs.await_restart(&self.pod.uid().unwrap_or_default(), &self.container.name);
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

    /// Runs the container once; the exit code.
    async fn run_once(&mut self, run: ContainerRun) -> i32 {
        let folder = run.folder.clone();
        let image_id = run.found.id.clone();
        let mut ended = Termination {
            id: String::new(),
            restart_count: self.restart_count,
            code: 128,
            reason: "StartError",
            message: None,
            started: None,
        };
        let privileged = self.container.security_context.as_ref();
        let privileged = privileged.and_then(|context| context.privileged).unwrap_or(false);
        if privileged && !self.node.runtime.honours_privileged() {
            let message =
                "the container asks to be privileged, which this node cannot give: it runs without";
            self.event(Kind::Warning, "PrivilegedIgnored", message);
        }
        let unlimited = self.node.runtime.unlimited(&run.resources);
        if !unlimited.is_empty() {
            let message = format!(
                "this node cannot limit {}: it may not make control groups",
                unlimited.join(" and ")
            );
            self.event(Kind::Warning, "LimitsIgnored", message);
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
                self.event(Kind::Normal, "Created", "Container created");
                self.event(Kind::Normal, "Started", "Container started");
                ended.started = Some(Timestamp::now());
                let entrance = running.entrance.clone();
                let offered = self.node.streams.offer(&uid, &self.container.name, entrance);
                ended.id.clone_from(&running.id);
                let id = running.id.clone();
                let restart_count = self.restart_count;
                self.report(Change::Running { id, image_id, restart_count });
                let exit = self.supervise(running).await;
                drop(offered);
                ended.code = exit.code;
                ended.reason = match exit {
                    Exit { out_of_memory: true, .. } => "OOMKilled",
                    Exit { code: 0, .. } => "Completed",
                    Exit { .. } => "Error",
                };
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
    async fn supervise(&mut self, mut running: Running) -> Exit {
        let mut stop = self.stop.clone();
        let mut told: Option<Stop> = None;
        loop {
            let kill_at = told.map(|stop| stop.kill_at);
            tokio::select! {
                exit = &mut running.exit => return exit.unwrap_or(Exit::KILLED),
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
                        return running.exit.await.unwrap_or(Exit::KILLED);
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
        let seconds = image::go_duration(delay);
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
