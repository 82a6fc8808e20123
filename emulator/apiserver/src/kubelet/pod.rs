//! The life of one pod on this node, from its volumes to its deletion.
//!
//! One task per pod owns the pod's status. Containers are tasks that report to it; the API's
//! changes of the pod arrive as [`Orders`].

mod eviction;
mod member;
mod report;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodSpec, PodStatus};
use kube::ResourceExt;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};

use self::member::{Member, known};
use super::Node;
use super::container::configure::{host_aliases, hostname};
use super::container::{Job, Report, Slot, Stop};
use super::events::Kind;
use super::folders;
use super::objects::{ConfigError, Objects, Watched, await_change};
use super::runtime::PodRun;
use super::status::{self, Change, Failure};
use super::volumes::{self, Places, Prepared};

/// How long to wait before a status that could not be written is written again.
const RETRY: Duration = Duration::from_millis(500);

/// How long to wait before the pod's first container is made again.
const BEGIN_RETRY: Duration = Duration::from_secs(2);

/// How long the first status may wait for the first container.
const SOON: Duration = Duration::from_millis(20);

/// What the API wants of a pod.
#[derive(Clone, Debug)]
pub(super) struct Orders {
    pub(super) pod: Arc<Pod>,
    /// The object is gone: everything is killed and nothing is reported.
    pub(super) gone: bool,
}

pub(super) struct PodTask {
    node: Arc<Node>,
    pod: Arc<Pod>,
    spec: PodSpec,
    folder: PathBuf,
    init: Vec<Member>,
    main: Vec<Member>,
    volumes: Option<Arc<BTreeMap<String, Prepared>>>,
    /// The pod's address, once it has begun.
    address: Option<String>,
    started: Timestamp,
    before: PodStatus,
    failure: Option<Failure>,
    /// When to see next how much of the disk the pod takes; never, if there is no limit.
    next_look: Option<Instant>,
    stopping: Option<Stop>,
    reports: mpsc::UnboundedSender<Report>,
    received: mpsc::UnboundedReceiver<Report>,
    orders: watch::Receiver<Orders>,
}

impl PodTask {
    pub(super) fn new(node: Arc<Node>, orders: watch::Receiver<Orders>) -> PodTask {
        let pod = orders.borrow().pod.clone();
        let spec = pod.spec.clone().unwrap_or_default();
        let before = pod.status.clone().unwrap_or_default();
        let (reports, received) = mpsc::unbounded_channel();
        let started = before.start_time.as_ref().map_or_else(Timestamp::now, |time| time.0);
        let waiting = waiting_reason(&spec);
        let init = spec.init_containers.iter().flatten();
        let init = init
            .map(|container| {
                let known = known(before.init_container_statuses.as_ref(), container);
                Member::new(&spec, container, true, known, "PodInitializing")
            })
            .collect();
        let main = spec.containers.iter();
        let main = main
            .map(|container| {
                let known = known(before.container_statuses.as_ref(), container);
                Member::new(&spec, container, false, known, waiting)
            })
            .collect();
        let folder = node.pods().join(pod.uid().unwrap_or_default());
        PodTask {
            node,
            spec,
            folder,
            init,
            main,
            volumes: None,
            address: None,
            started,
            before,
            failure: None,
            next_look: None,
            stopping: None,
            reports,
            received,
            orders,
            pod,
        }
    }

    /// Runs the pod to its end, and stays until its object is gone, which may be its own doing.
    pub(super) async fn run(mut self) {
        if !matches!(self.before.phase.as_deref(), Some("Succeeded" | "Failed")) {
            self.run_to_end().await;
        }
        self.clean().await;
        loop {
            let orders = self.orders.borrow_and_update().clone();
            let metadata = &orders.pod.metadata;
            // With finalizers the object stays after it has been let go.
            let released = metadata.deletion_grace_period_seconds == Some(0);
            if orders.gone {
                return;
            }
            if metadata.deletion_timestamp.is_some() && !released {
                self.delete().await;
            }
            if self.orders.changed().await.is_err() {
                return;
            }
        }
    }

    async fn run_to_end(&mut self) {
        self.obey();
        if self.stopping.is_none() {
            self.prepare().await;
            self.obey();
        }
        if self.stopping.is_none() {
            self.begin().await;
            self.obey();
        }
        self.advance();
        self.next_look = self.has_disk_limits().then(|| Instant::now() + eviction::PERIOD);
        // Most containers run by then, which saves a first status that says only that they do not.
        let _ = timeout(SOON, self.next(true)).await;
        loop {
            self.advance();
            let written = self.publish().await;
            if self.is_over() && written {
                break;
            }
            self.next(written).await;
        }
        self.stop_all(Stop { kill_at: Instant::now() });
        while self.members().any(|member| member.stop.is_some() && !member.ended) {
            self.next(true).await;
        }
    }

    fn members(&self) -> impl Iterator<Item = &Member> {
        self.init.iter().chain(&self.main)
    }

    fn member(&mut self, slot: Slot) -> &mut Member {
        match slot {
            Slot::Init(index) => &mut self.init[index],
            Slot::Main(index) => &mut self.main[index],
        }
    }

    /// Nothing runs and nothing will.
    fn is_over(&self) -> bool {
        if self.orders.borrow().gone {
            return true;
        }
        let idle = self.members().all(|member| member.ended || member.stop.is_none());
        let started = self.main.iter().all(|member| member.ended);
        idle && (started || self.stopping.is_some())
    }

    /// Takes over what the API says now.
    fn obey(&mut self) {
        let orders = self.orders.borrow_and_update().clone();
        self.pod = orders.pod;
        // The deadline is the one thing of a pod that may be changed while it runs.
        self.spec.active_deadline_seconds =
            self.pod.spec.as_ref().and_then(|spec| spec.active_deadline_seconds);
        if orders.gone {
            self.stop_all(Stop { kill_at: Instant::now() });
        } else if self.pod.metadata.deletion_timestamp.is_some() {
            let grace = self.pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
            self.stop_all(after(grace));
        }
    }

    /// Stops everything; a second order can only make it sooner.
    fn stop_all(&mut self, stop: Stop) {
        let stop = match self.stopping {
            Some(earlier) if earlier.kill_at <= stop.kill_at => earlier,
            _ => stop,
        };
        self.stopping = Some(stop);
        let mains_ended = self.main.iter().all(|member| member.ended || member.stop.is_none());
        for member in &self.main {
            member.stop(stop);
        }
        for member in &self.init {
            if mains_ended
                || !status::is_sidecar(&member.container)
                || stop.kill_at <= Instant::now()
            {
                member.stop(stop);
            }
        }
    }

    /// Makes the volumes, as often as it takes.
    async fn prepare(&mut self) {
        let mut watched = Watched::default();
        let mut last: Option<ConfigError> = None;
        loop {
            let error = match self.make_volumes().await {
                Ok(volumes) => {
                    self.volumes = Some(Arc::new(volumes));
                    if last.is_some() {
                        self.set_waiting(waiting_reason(&self.spec), None);
                    }
                    return;
                }
                Err(error) => error,
            };
            if last.as_ref() != Some(&error) {
                let message = error.message.clone();
                self.node.events.record(&self.pod, None, Kind::Warning, "FailedMount", message);
                // A real kubelet has only the event; here the status says it too.
                let reason = match error.awaits {
                    Some(_) => "ContainerCreating",
                    None => "CreateContainerConfigError",
                };
                self.set_waiting(reason, Some(&error.message));
                self.publish().await;
            }
            let client = self.node.client.clone();
            let namespace = self.pod.namespace().unwrap_or_default();
            let deadline = self.deadline();
            tokio::select! {
                () = await_change(&client, &namespace, &error, &mut watched) => {}
                Ok(()) = self.orders.changed() => self.obey(),
                () = at(deadline) => self.exceed_deadline(),
            }
            if self.stopping.is_some() {
                return;
            }
            last = Some(error);
        }
    }

    /// Makes what the containers share, as often as it takes.
    async fn begin(&mut self) {
        let run = self.pod_run();
        let mut last = None;
        loop {
            let node = self.node.clone();
            let error = match node.runtime.begin_pod(&run).await {
                Ok(address) => {
                    self.address = Some(address.unwrap_or_else(|| self.node.address.clone()));
                    return;
                }
                Err(error) => error,
            };
            if last.as_ref() != Some(&error) {
                let message = format!("Failed to create pod sandbox: {error}");
                let events = &self.node.events;
                events.record(&self.pod, None, Kind::Warning, "FailedCreatePodSandBox", message);
                self.publish().await;
            }
            let deadline = self.deadline();
            tokio::select! {
                () = at(Some(Instant::now() + BEGIN_RETRY)) => {}
                Ok(()) = self.orders.changed() => self.obey(),
                () = at(deadline) => self.exceed_deadline(),
            }
            if self.stopping.is_some() {
                return;
            }
            last = Some(error);
        }
    }

    fn pod_run(&self) -> PodRun {
        let dns = self.spec.dns_config.clone().unwrap_or_default();
        PodRun {
            uid: self.pod.uid().unwrap_or_default(),
            name: self.pod.name_any(),
            namespace: self.pod.namespace().unwrap_or_default(),
            hostname: hostname(&self.pod),
            host_aliases: host_aliases(&self.pod),
            host_network: self.spec.host_network.unwrap_or(false),
            name_servers: dns.nameservers.unwrap_or_default(),
            searches: dns.searches.unwrap_or_default(),
        }
    }

    fn set_waiting(&mut self, reason: &'static str, message: Option<&str>) {
        for member in self.main.iter_mut().filter(|member| !member.ended) {
            let change = Change::Waiting { reason, message: message.map(str::to_owned) };
            status::apply(&mut member.status, change, false);
        }
    }

    async fn make_volumes(&self) -> Result<BTreeMap<String, Prepared>, ConfigError> {
        let namespace = self.pod.namespace().unwrap_or_default();
        let references = volumes::references(&self.pod);
        let objects = Objects::fetch(&self.node.client, &namespace, references).await?;
        let mut tokens = Vec::new();
        for (audience, expiration) in volumes::tokens(&self.pod) {
            tokens.push(match self.node.runtime.mounts_volumes() {
                true => self.node.token(&self.pod, audience, expiration).await,
                false => None,
            });
        }
        let failed = |error| ConfigError::lasting(format!("no folder for the pod: {error}"));
        folders::create(&self.folder, 0o700).map_err(failed)?;
        let places = Places {
            pod: &self.folder,
            claims: &self.node.claims,
            allow_host_paths: self.node.allow_host_paths,
            place: self.node.place(),
        };
        volumes::prepare(&self.pod, &objects, places, &tokens)
    }

    /// Starts what may be started now, and stops sidecars that are left alone.
    fn advance(&mut self) {
        let mains_ended = self.main.iter().all(|member| member.ended);
        if mains_ended {
            let stop = self.stopping.unwrap_or_else(|| self.grace());
            for member in &self.init {
                member.stop(stop);
            }
            return;
        }
        if let Some(stop) = self.stopping {
            self.stop_all(stop);
            return;
        }
        for index in 0..self.init.len() {
            let member = &self.init[index];
            let done = match status::is_sidecar(&member.container) {
                true => member.status.started == Some(true) || member.ended,
                false => member.ended && member.has_succeeded(),
            };
            if done {
                continue;
            }
            if member.ended {
                // It has failed for good, and the pod with it.
                self.stop_all(self.grace());
            } else if member.stop.is_none() {
                self.start(Slot::Init(index));
            }
            return;
        }
        for index in 0..self.main.len() {
            if self.main[index].stop.is_none() && !self.main[index].ended {
                self.start(Slot::Main(index));
            }
        }
    }

    fn grace(&self) -> Stop {
        after(self.spec.termination_grace_period_seconds.unwrap_or(30))
    }

    fn start(&mut self, slot: Slot) {
        let Some(volumes) = self.volumes.clone() else { return };
        let Some(address) = self.address.clone() else { return };
        let (sender, stop) = watch::channel(None);
        let (node, pod) = (self.node.clone(), self.pod.clone());
        let (folder, reports) = (self.folder.clone(), self.reports.clone());
        let member = self.member(slot);
        member.stop = Some(sender);
        let before = member.has_run();
        let job = Job {
            node,
            pod,
            container: member.container.clone(),
            slot,
            restart: member.restart,
            restart_count: member.status.restart_count + i32::from(before),
            volumes,
            folder,
            address,
            stop,
            reports,
        };
        self.node.containers.spawn(job.run());
    }

    /// Waits for something to happen.
    async fn next(&mut self, written: bool) {
        let deadline = self.deadline();
        let retry = (!written).then(|| Instant::now() + RETRY);
        tokio::select! {
            Some(report) = self.received.recv() => {
                self.take(report);
                while let Ok(report) = self.received.try_recv() {
                    self.take(report);
                }
            }
            // When nobody gives orders any more the kubelet ends, and this task with it.
            Ok(()) = self.orders.changed() => self.obey(),
            () = at(deadline) => self.exceed_deadline(),
            () = at(retry) => {}
            () = at(self.next_look) => self.look_at_disk().await,
        }
    }

    fn take(&mut self, report: Report) {
        match report {
            Report::Changed(slot, change) => {
                let is_init = matches!(slot, Slot::Init(_));
                let runs = matches!(change, Change::Running { .. });
                let member = self.member(slot);
                status::apply(&mut member.status, change, is_init);
                if runs {
                    status::grant(&mut member.status, &member.container);
                }
            }
            Report::Ended(slot) => self.member(slot).ended = true,
        }
    }

    fn deadline(&self) -> Option<Instant> {
        if self.failure.is_some() || self.stopping.is_some() {
            return None;
        }
        let allowed = bounded(self.spec.active_deadline_seconds?);
        let spent = Timestamp::now().duration_since(self.started).unsigned_abs();
        Some(Instant::now() + allowed.saturating_sub(spent))
    }

    fn exceed_deadline(&mut self) {
        let message = "Pod was active on the node longer than the specified deadline";
        self.node.events.record(&self.pod, None, Kind::Normal, "DeadlineExceeded", message);
        self.failure = Some(Failure { reason: "DeadlineExceeded", message: message.to_owned() });
        self.stop_all(self.grace());
    }
}

/// What the containers wait for that cannot be started yet.
fn waiting_reason(spec: &PodSpec) -> &'static str {
    match spec.init_containers.as_ref().is_some_and(|init| !init.is_empty()) {
        true => "PodInitializing",
        false => "ContainerCreating",
    }
}

/// A time span from the API, which no clock has to fear.
fn bounded(seconds: i64) -> Duration {
    const YEARS: u64 = 100 * 365 * 24 * 3600;
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0).min(YEARS))
}

fn after(seconds: i64) -> Stop {
    Stop { kill_at: Instant::now() + bounded(seconds) }
}

/// Returns at a time, or never.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => {
            let _ = tokio::time::timeout_at(time, std::future::pending::<()>()).await;
        }
        None => std::future::pending().await,
    }
}
