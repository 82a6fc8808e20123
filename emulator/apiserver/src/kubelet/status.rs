//! The status of a pod, computed from those of its containers. Pure.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated,
    ContainerStateWaiting, ContainerStatus, HostIP, Pod, PodCondition, PodIP, PodSpec, PodStatus,
    ResourceRequirements, VolumeMountStatus,
};

use super::events::seconds;

/// What has happened to a container.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    Waiting { reason: &'static str, message: Option<String> },
    Running { id: String, image_id: String, restart_count: i32 },
    Terminated(Box<Termination>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Termination {
    pub(super) id: String,
    pub(super) restart_count: i32,
    pub(super) code: i32,
    pub(super) reason: &'static str,
    pub(super) message: Option<String>,
    pub(super) started: Option<Timestamp>,
}

/// Why a pod as a whole has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) reason: &'static str,
    pub(super) message: String,
}

/// The status of a container that has not been started.
pub(super) fn initial(container: &Container, reason: &str) -> ContainerStatus {
    ContainerStatus {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        started: Some(false),
        state: Some(ContainerState {
            waiting: Some(ContainerStateWaiting { reason: Some(reason.to_owned()), message: None }),
            ..ContainerState::default()
        }),
        ..ContainerStatus::default()
    }
}

/// What a kubelet says of a container once it runs: what it was given.
pub(super) fn grant(status: &mut ContainerStatus, container: &Container) {
    let resources = container.resources.clone();
    status.allocated_resources = resources.as_ref().and_then(|given| given.requests.clone());
    status.resources = resources.or_else(|| Some(ResourceRequirements::default()));
    let mounts = container.volume_mounts.iter().flatten();
    let mounts: Vec<_> = mounts
        .map(|mount| {
            let read_only = mount.read_only.unwrap_or(false);
            VolumeMountStatus {
                name: mount.name.clone(),
                mount_path: mount.mount_path.clone(),
                read_only: read_only.then_some(true),
                recursive_read_only: read_only.then(|| "Disabled".to_owned()),
                ..VolumeMountStatus::default()
            }
        })
        .collect();
    status.volume_mounts = (!mounts.is_empty()).then_some(mounts);
}

/// Brings a container's status up to date.
pub(super) fn apply(status: &mut ContainerStatus, change: Change, is_init: bool) {
    let now = Timestamp::now();
    let before = status.state.take();
    if before.as_ref().is_some_and(|state| state.terminated.is_some()) {
        status.last_state = before;
    }
    let mut state = ContainerState::default();
    let mut running = false;
    status.ready = false;
    match change {
        Change::Waiting { reason, message } => {
            state.waiting =
                Some(ContainerStateWaiting { reason: Some(reason.to_owned()), message });
        }
        Change::Running { id, image_id, restart_count } => {
            running = true;
            status.ready = true;
            status.container_id = Some(id);
            status.image_id = image_id;
            status.restart_count = restart_count;
            state.running = Some(ContainerStateRunning { started_at: Some(seconds(now)) });
        }
        Change::Terminated(ended) => {
            status.ready = is_init && ended.code == 0;
            status.container_id = Some(ended.id.clone()).filter(|id| !id.is_empty());
            status.restart_count = ended.restart_count;
            state.terminated = Some(ContainerStateTerminated {
                container_id: Some(ended.id).filter(|id| !id.is_empty()),
                exit_code: ended.code,
                finished_at: Some(seconds(now)),
                message: ended.message,
                reason: Some(ended.reason.to_owned()),
                started_at: Some(seconds(ended.started.unwrap_or(Timestamp::UNIX_EPOCH))),
                ..ContainerStateTerminated::default()
            });
        }
    }
    status.started = Some(running);
    status.state = Some(state);
}

/// Whether an init container runs beside the others instead of before them.
pub(super) fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// The exit code of a container that has ended and is not about to be started again.
fn exit_code(status: &ContainerStatus) -> Option<i32> {
    status.state.as_ref()?.terminated.as_ref().map(|terminated| terminated.exit_code)
}

fn is_running(status: &ContainerStatus) -> bool {
    status.state.as_ref().is_some_and(|state| state.running.is_some())
}

fn has_run(status: &ContainerStatus) -> bool {
    status.last_state.as_ref().is_some_and(|state| state.terminated.is_some())
}

/// The phase that follows from the containers, as a real kubelet derives it.
///
/// `over` says that nothing will be started any more, whatever the restart policy is.
pub(super) fn phase(
    spec: &PodSpec,
    init: &[ContainerStatus],
    main: &[ContainerStatus],
    over: bool,
) -> &'static str {
    let policy = spec.restart_policy.as_deref().unwrap_or("Always");
    for (container, status) in spec.init_containers.iter().flatten().zip(init) {
        let done = match is_sidecar(container) {
            true => is_running(status) || exit_code(status).is_some() || has_run(status),
            false => exit_code(status) == Some(0),
        };
        if !done {
            let failed = exit_code(status).is_some_and(|code| code != 0);
            return if over || failed && policy == "Never" { "Failed" } else { "Pending" };
        }
    }
    if main.iter().all(|status| exit_code(status).is_some()) {
        // Sidecars are stopped after the others, and the pod has not ended before they have.
        if init.iter().any(is_running) {
            return "Running";
        }
        let succeeded = main.iter().all(|status| exit_code(status) == Some(0));
        return match (succeeded, policy) {
            (true, "Never" | "OnFailure") => "Succeeded",
            (false, "Never") => "Failed",
            (true, _) if over => "Succeeded",
            (false, _) if over => "Failed",
            _ => "Running",
        };
    }
    if over {
        return "Failed";
    }
    let waits = |status: &ContainerStatus| {
        !is_running(status) && exit_code(status).is_none() && !has_run(status)
    };
    if main.iter().any(waits) { "Pending" } else { "Running" }
}

/// Everything that a pod's status consists of.
pub(super) struct Parts<'a> {
    pub(super) pod: &'a Pod,
    pub(super) spec: &'a PodSpec,
    pub(super) init: &'a [ContainerStatus],
    pub(super) main: &'a [ContainerStatus],
    pub(super) failure: Option<&'a Failure>,
    pub(super) over: bool,
    pub(super) volumes_ready: bool,
    pub(super) started: Timestamp,
    /// The node's address.
    pub(super) host: &'a str,
    pub(super) address: Option<&'a str>,
}

/// The whole status; `before` gives the times of conditions that have not changed.
pub(super) fn pod_status(parts: &Parts<'_>, before: &PodStatus) -> PodStatus {
    let phase = match (parts.failure, parts.over) {
        (Some(_), true) => "Failed",
        _ => phase(parts.spec, parts.init, parts.main, parts.over),
    };
    let failure = parts.failure.filter(|_| phase == "Failed");
    let some = |statuses: &[ContainerStatus]| (!statuses.is_empty()).then(|| statuses.to_vec());
    PodStatus {
        phase: Some(phase.to_owned()),
        conditions: Some(conditions(parts, phase, before)),
        container_statuses: some(parts.main),
        init_container_statuses: some(parts.init),
        start_time: Some(seconds(parts.started)),
        host_ip: Some(parts.host.to_owned()),
        host_ips: Some(vec![HostIP { ip: parts.host.to_owned() }]),
        pod_ip: parts.address.map(str::to_owned),
        pod_ips: parts.address.map(|address| vec![PodIP { ip: address.to_owned() }]),
        qos_class: before.qos_class.clone().or_else(|| Some(qos_class(parts.spec).to_owned())),
        observed_generation: parts.pod.metadata.generation,
        reason: failure.map(|failure| failure.reason.to_owned()),
        message: failure.map(|failure| failure.message.clone()),
        ..PodStatus::default()
    }
}

fn conditions(parts: &Parts<'_>, phase: &str, before: &PodStatus) -> Vec<PodCondition> {
    let names = |statuses: &[ContainerStatus], wanted: &dyn Fn(&ContainerStatus) -> bool| {
        let names: Vec<_> = statuses
            .iter()
            .filter(|status| wanted(status))
            .map(|status| status.name.as_str())
            .collect();
        names.join(" ")
    };
    let incomplete: Vec<_> = parts
        .spec
        .init_containers
        .iter()
        .flatten()
        .zip(parts.init)
        .filter(|(container, status)| match is_sidecar(container) {
            true => status.started != Some(true),
            false => exit_code(status) != Some(0),
        })
        .map(|(_, status)| status.clone())
        .collect();
    let done = phase == "Succeeded" || phase == "Failed";
    let initialized = match incomplete.is_empty() || phase == "Succeeded" {
        true if phase == "Succeeded" => ("True", Some("PodCompleted"), None),
        true => ("True", None, None),
        false => {
            let message =
                format!("containers with incomplete status: [{}]", names(&incomplete, &|_| true));
            ("False", Some("ContainersNotInitialized"), Some(message))
        }
    };
    let unready = names(parts.main, &|status| !status.ready);
    let ready = match phase {
        "Succeeded" => ("False", Some("PodCompleted"), None),
        "Failed" => ("False", Some("PodFailed"), None),
        _ if unready.is_empty() => ("True", None, None),
        _ => {
            let message = format!("containers with unready status: [{unready}]");
            ("False", Some("ContainersNotReady"), Some(message))
        }
    };
    let prepared = if parts.volumes_ready && !done { "True" } else { "False" };
    let mut conditions = vec![
        condition("PodReadyToStartContainers", (prepared, None, None)),
        condition("Initialized", initialized),
        condition("Ready", ready.clone()),
        condition("ContainersReady", ready),
    ];
    let known: Vec<_> = conditions.iter().map(|condition| condition.type_.clone()).collect();
    let others = before.conditions.iter().flatten().filter(|other| !known.contains(&other.type_));
    conditions.extend(others.cloned());
    if !conditions.iter().any(|condition| condition.type_ == "PodScheduled") {
        conditions.push(condition("PodScheduled", ("True", None, None)));
    }
    for condition in &mut conditions {
        let same = before.conditions.iter().flatten().find(|other| other.type_ == condition.type_);
        condition.observed_generation = parts.pod.metadata.generation;
        condition.last_transition_time = match same {
            Some(same) if same.status == condition.status => same.last_transition_time.clone(),
            _ => Some(seconds(Timestamp::now())),
        };
    }
    conditions
}

fn condition(kind: &str, state: (&str, Option<&str>, Option<String>)) -> PodCondition {
    let (status, reason, message) = state;
    PodCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: reason.map(str::to_owned),
        message,
        ..PodCondition::default()
    }
}

fn qos_class(spec: &PodSpec) -> &'static str {
    let all = || spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let of = |container: &Container, limits: bool, name: &str| {
        let resources = container.resources.as_ref()?;
        let entries = if limits { resources.limits.as_ref() } else { resources.requests.as_ref() };
        entries?.get(name).map(|quantity| quantity.0.clone())
    };
    let names = ["cpu", "memory"];
    let asks = |container| {
        names.iter().any(|name| of(container, true, name).or(of(container, false, name)).is_some())
    };
    let guaranteed = |container| {
        names.iter().all(|name| {
            let limit = of(container, true, name);
            limit.is_some()
                && of(container, false, name).is_none_or(|request| Some(request) == limit)
        })
    };
    if all().all(guaranteed) {
        "Guaranteed"
    } else if all().any(asks) {
        "Burstable"
    } else {
        "BestEffort"
    }
}
