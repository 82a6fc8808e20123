//! One container of a pod: made, watched over, removed.

use std::sync::Arc;
use std::time::Duration;

use bollard::container::{AttachContainerResults, LogOutput};
use bollard::errors::Error;
use bollard::models::{ContainerCreateBody, HostConfig, Mount, MountType};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, KillContainerOptionsBuilder,
};
use futures::StreamExt;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::super::{ContainerRun, Exit, Running, Signal};
use super::{Docker, no_log};
use crate::kubelet::stream::{DockerInside, Entrance};
use crate::logs::{LogWriter, Output};

/// How long the engine may be away before it is asked again.
const RETRY: Duration = Duration::from_secs(1);
/// How long output may still come after the end: what another process holds open has no end.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// The processors' time is counted in periods of this many microseconds.
const PERIOD: f64 = 100_000.0;

pub(super) async fn start(
    docker: &Docker,
    run: ContainerRun,
    log: LogWriter,
) -> Result<Running, Error> {
    let name = format!(
        "k8s_{}_{}_{}_{}_{}",
        run.container, run.pod, run.namespace, run.pod_uid, run.restart_count
    );
    let signal = run.found.stop_signal.clone().unwrap_or_else(|| "SIGTERM".to_owned());
    docker.remove(&name).await?;
    let options = CreateContainerOptionsBuilder::default().name(&name).build();
    let pod = run.pod_uid.clone();
    let body = body(docker, run);
    let id = docker.engine.create_container(Some(options), body).await?.id;
    let attached = match attach_and_start(docker, &id).await {
        Ok(attached) => attached,
        Err(error) => {
            docker.remove(&id).await?;
            return Err(error);
        }
    };
    let (signals, received) = mpsc::unbounded_channel();
    let (sender, exit) = oneshot::channel();
    let supervised = Supervised { docker: docker.clone(), id: id.clone(), signal };
    tokio::spawn(supervised.run(attached, log, received, sender));
    let first = docker.pods().get(&pod).cloned().unwrap_or_else(|| id.clone());
    let inside = DockerInside { engine: docker.engine.clone(), id: id.clone(), first };
    let entrance = Entrance::Docker(Arc::new(inside));
    Ok(Running { id: format!("docker://{id}"), signals, exit, entrance })
}

/// Attached before it starts, so that nothing is missed.
async fn attach_and_start(docker: &Docker, id: &str) -> Result<AttachContainerResults, Error> {
    let options =
        AttachContainerOptionsBuilder::default().stdout(true).stderr(true).stream(true).build();
    let attached = docker.engine.attach_container(id, Some(options)).await?;
    docker.engine.start_container(id, None).await?;
    Ok(attached)
}

fn body(docker: &Docker, run: ContainerRun) -> ContainerCreateBody {
    let first = docker.pods().get(&run.pod_uid).cloned().unwrap_or_default();
    let shared = format!("container:{first}");
    let mut variables = docker.options.environment.clone();
    variables.extend(run.environment);
    let some = |list: Vec<String>| (!list.is_empty()).then_some(list);
    let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let mounts = run.mounts.into_iter().map(|mount| Mount {
        target: Some(mount.path),
        source: Some(mount.source.to_string_lossy().into_owned()),
        typ: Some(MountType::BIND),
        read_only: Some(mount.read_only),
        ..Mount::default()
    });
    let groups = run.supplemental_groups.iter().map(u32::to_string).collect();
    ContainerCreateBody {
        labels: Some(docker.labels(&run.pod, &run.namespace, &run.pod_uid, &run.container)),
        image: Some(run.image),
        // As the pod says: `command` replaces the image's entry point and drops its command.
        cmd: match run.command.is_empty() {
            true => some(run.arguments),
            false => Some(run.arguments),
        },
        entrypoint: some(run.command),
        env: Some(variables.into_iter().map(|(name, value)| format!("{name}={value}")).collect()),
        working_dir: run.working_folder,
        user: match (run.user, run.group) {
            (Some(user), Some(group)) => Some(format!("{user}:{group}")),
            (Some(user), None) => Some(user.to_string()),
            (None, Some(group)) => {
                let user = run.found.user.split(':').next().unwrap_or_default();
                Some(format!("{}:{group}", if user.is_empty() { "0" } else { user }))
            }
            (None, None) => None,
        },
        tty: Some(run.terminal),
        open_stdin: Some(run.input),
        host_config: Some(HostConfig {
            network_mode: Some(shared.clone()),
            ipc_mode: Some(shared.clone()),
            pid_mode: run.shares_processes.then_some(shared),
            mounts: Some(mounts.collect()),
            privileged: Some(run.privileged),
            readonly_rootfs: Some(run.read_only_root),
            cap_add: some(run.added_capabilities),
            cap_drop: some(run.dropped_capabilities),
            group_add: some(groups),
            security_opt: (!run.may_gain_privileges && !run.privileged)
                .then(|| vec!["no-new-privileges".to_owned()]),
            memory: run.resources.memory.map(bytes),
            // No swap, as on most nodes.
            memory_swap: run.resources.memory.map(bytes),
            cpu_period: run.resources.processors.map(|_| PERIOD as i64),
            cpu_quota: run.resources.processors.map(|count| (count * PERIOD).max(1000.0) as i64),
            cpu_shares: run
                .resources
                .requested_processors
                .map(|count| ((count * 1024.0) as i64).max(2)),
            pids_limit: docker.options.processes.map(bytes),
            log_config: Some(no_log()),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

struct Supervised {
    docker: Docker,
    id: String,
    /// What asks the container to end.
    signal: String,
}

impl Supervised {
    async fn run(
        self,
        mut attached: AttachContainerResults,
        mut log: LogWriter,
        mut signals: mpsc::UnboundedReceiver<Signal>,
        exit: oneshot::Sender<Exit>,
    ) {
        let ended = self.ended();
        tokio::pin!(ended);
        let (mut open, mut listening, mut is_log_lost) = (true, true, false);
        let mut store = |output: LogOutput| {
            let (stream, message) = match output {
                LogOutput::StdErr { message } => (Output::Stderr, message),
                LogOutput::StdOut { message } | LogOutput::Console { message } => {
                    (Output::Stdout, message)
                }
                LogOutput::StdIn { .. } => return,
            };
            if let Err(error) = log.write(stream, &message)
                && !is_log_lost
            {
                is_log_lost = true;
                tracing::warn!(%error, "a container's log cannot be written");
            }
        };
        let end = loop {
            tokio::select! {
                output = attached.output.next(), if open => match output {
                    Some(Ok(output)) => store(output),
                    Some(Err(error)) => {
                        tracing::debug!(%error, "the output of a container is interrupted");
                        open = false;
                    }
                    None => open = false,
                },
                signal = signals.recv(), if listening => match signal {
                    Some(Signal::Terminate) => self.kill(&self.signal).await,
                    Some(Signal::Kill) | None => {
                        self.kill("SIGKILL").await;
                        listening = false;
                    }
                },
                end = &mut ended => break end,
            }
        };
        let rest = async {
            while let Some(Ok(output)) = attached.output.next().await {
                store(output);
            }
        };
        if open && timeout(LAST_WORDS, rest).await.is_err() {
            tracing::debug!("a container's output goes on after its end");
        }
        drop(log);
        if let Err(error) = self.docker.remove(&self.id).await {
            tracing::warn!(%error, container.id = self.id, "a container is left behind");
        }
        // Nobody waits for the exit of a container whose pod is gone.
        let _ = exit.send(end);
    }

    async fn kill(&self, signal: &str) {
        let options = KillContainerOptionsBuilder::default().signal(signal).build();
        if let Err(error) = self.docker.engine.kill_container(&self.id, Some(options)).await {
            tracing::debug!(%error, "a container has ended before it was told to");
        }
    }

    /// Waits for the end; the engine may be away meanwhile.
    async fn ended(&self) -> Exit {
        loop {
            // Both a code and a failure can come out of it; what holds is read afterwards.
            let _ = self.docker.engine.wait_container(&self.id, None).next().await;
            match self.docker.engine.inspect_container(&self.id, None).await {
                Ok(found) => {
                    let state = found.state.unwrap_or_default();
                    if state.running != Some(true) && state.paused != Some(true) {
                        let code = state.exit_code.and_then(|code| i32::try_from(code).ok());
                        return Exit {
                            code: code.unwrap_or(Exit::KILLED.code),
                            out_of_memory: state.oom_killed.unwrap_or(false),
                        };
                    }
                }
                // Somebody has removed it.
                Err(Error::DockerResponseServerError { status_code: 404, .. }) => {
                    return Exit::KILLED;
                }
                Err(error) => tracing::debug!(%error, "a container cannot be waited for"),
            }
            let _ = timeout(RETRY, std::future::pending::<()>()).await;
        }
    }
}
