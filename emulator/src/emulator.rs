//! The whole product in one process: every function, a cluster, and what stands in for the rest.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use apiserver::kubelet::{
    self, Docker, DockerOptions, Kubelet, Runtime, Sandbox, SandboxOptions, Simulate,
    SimulateOptions,
};
use apiserver::logs::Logs;
use apiserver::streams::Streams;
use apiserver::{Server, private};
use functions::{App, Function, Tasks, Workers};
use kube::config::{KubeConfigOptions, Kubeconfig};
use pipeline::script::Repository;
use reqwest::Url;
use runtime::cluster::Cluster;
use runtime::settings::{NotifySettings, Settings};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::backstage::{self, Backstage, News};
use crate::folder::Folder;
use crate::host::{self, Hosted};
use crate::sinks::email;
use crate::stand_ins;
use crate::sweeper;

/// How long the parts may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// What an emulator is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// The projects' folders.
    pub folders: Vec<PathBuf>,
    /// Where the functions listen.
    pub listen: SocketAddr,
    /// Where the embedded cluster listens.
    pub api_listen: SocketAddr,
    /// The cluster.
    pub cluster: Target,
    /// Where the functions run as a process of their own; otherwise they are in this one.
    pub host: Option<host::Kind>,
    /// What runs the pods of the embedded cluster.
    pub pods: Pods,
    /// Whether roles and bindings decide who may do what in the embedded cluster.
    pub rbac: bool,
    /// Where the state is kept; without a folder, nothing is kept.
    pub state: Option<PathBuf>,
    /// Where the kubeconfig of the embedded cluster is written; by default in the state's folder.
    pub kubeconfig: Option<PathBuf>,
    /// The namespace of the projects.
    pub namespace: String,
    /// More folders of stand-ins, which come before the shipped ones.
    pub stand_ins: Vec<PathBuf>,
    /// Whether notifiers tell whom their settings name. Otherwise the emulator's own sinks are told
    /// in their place, and nothing leaves the machine.
    pub tell_outside: bool,
    /// The settings of the functions.
    pub settings: Settings,
}

/// A cluster.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Target {
    /// In this process.
    Embedded,
    /// That of a context of the user's kubeconfig.
    Context(String),
}

/// What runs pods.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub enum Pods {
    /// The sandbox where it works, a simulation elsewhere
    Auto,
    /// A Docker engine, or Podman's service: real images, and no stand-ins
    Docker,
    /// Bubblewrap: the host's tools, read-only, in namespaces of their own
    Sandbox,
    /// Nothing: every pod says so, and succeeds
    Simulate,
}

/// An emulator that runs.
pub struct Emulator {
    /// Where the functions are.
    pub functions: Url,
    /// Where the cluster's API is, if it is the embedded one.
    pub api: Option<Url>,
    /// The kubeconfig of the embedded cluster.
    pub kubeconfig: Option<PathBuf>,
    /// What runs the pods: `sandbox`, `simulate` or the context of another cluster.
    pub pods: String,
    /// Why it is that and nothing better, if something was missing.
    pub missing: Option<String>,
    /// The projects.
    pub folders: Vec<Folder>,
    /// The cluster, as the functions see it.
    pub cluster: Cluster,
    /// What happens in the registry and in Slack.
    pub news: broadcast::Sender<News>,
    /// Who is told what notifiers tell, in the place of their sinks: over HTTP, and by SMTP.
    pub relays: Option<(String, String)>,
    tasks: Tasks,
    shutdown: CancellationToken,
    kubelet: Option<JoinHandle<()>>,
    servers: Vec<JoinHandle<()>>,
    hosted: Option<Hosted>,
    // Removed when the emulator is dropped.
    _scratch: Option<TempDir>,
}

impl Emulator {
    /// Starts everything; it serves when this returns.
    pub async fn start(options: Options) -> Result<Emulator> {
        let folders: Vec<Folder> = options
            .folders
            .iter()
            .map(|path| Folder::read(path, &options.namespace))
            .collect::<Result<_>>()?;
        check_names(&folders)?;
        let (state, scratch) = match &options.state {
            Some(folder) => {
                private_folder(folder)?;
                // Pods are given paths below it, which must hold wherever they are read.
                (fs::canonicalize(folder)?, None)
            }
            None => {
                let scratch = tempfile::Builder::new().prefix("brigantine-").tempdir()?;
                (scratch.path().to_owned(), Some(scratch))
            }
        };
        let listener = match options.host {
            None => Some(bind(options.listen, "--listen").await?),
            Some(_) if options.cluster == Target::Embedded => None,
            Some(_) => bail!("--host is for the embedded cluster only: leave out --cluster"),
        };
        let behind = bind(SocketAddr::from(([127, 0, 0, 1], 0)), "the backstage").await?;
        let behind_url = url(behind.local_addr()?)?;
        let mail = bind(SocketAddr::from(([127, 0, 0, 1], 0)), "the mail server").await?;
        let mut settings = options.settings.clone();
        let relays = (behind_url.join("tell")?.to_string(), mail.local_addr()?.to_string());
        let relays = (!options.tell_outside).then_some(relays);
        if let Some((relay, smtp)) = relays.clone() {
            settings.notify.relay = Some(relay);
            settings.notify.smtp_relay = Some(smtp);
        }

        let shutdown = CancellationToken::new();
        let mut servers = Vec::new();
        let (mut api, mut kubeconfig, mut kubelet, mut missing) = (None, None, None, None);
        let (client, pods) = match &options.cluster {
            Target::Context(context) => (outside(context).await?, context.clone()),
            Target::Embedded => {
                let logs = Logs::new(state.join("logs"));
                let streams = Streams::default();
                let kept = options.state.as_ref().map(|folder| folder.join("cluster"));
                let server = Server::new(apiserver::Options {
                    state: kept,
                    logs: Some(logs.clone()),
                    streams: streams.clone(),
                    rbac: options.rbac,
                    ..apiserver::Options::default()
                })
                .context("the embedded cluster does not start")?;
                let listener = bind(options.api_listen, "--api-listen").await?;
                let api_address = listener.local_addr()?;
                let address = Url::parse(&format!("https://{api_address}"))?;
                let file = options.kubeconfig.clone().unwrap_or_else(|| state.join("kubeconfig"));
                // The name is no word that --cluster knows.
                private::write(&file, &server.kubeconfig("brigantine", address.as_str()))
                    .with_context(|| format!("writing {}", file.display()))?;
                (api, kubeconfig) = (Some(address), Some(file));
                let (serving, ended) = (server.clone(), shutdown.clone());
                servers.push(tokio::spawn(async move {
                    let served = serving.serve(listener, ended.cancelled_owned()).await;
                    if let Err(error) = served {
                        tracing::error!(%error, "the embedded cluster's API ended");
                    }
                }));
                let (runtime, why) =
                    runtime(&options, &folders, &state, &behind_url, api_address, &settings.notify)
                        .await?;
                missing = why;
                let name = runtime.name().to_owned();
                let node = Kubelet::new(
                    server.client(),
                    kubelet::Options {
                        node_name: "emulator".to_owned(),
                        root: state.join("pods"),
                        logs,
                        streams,
                        runtime,
                        allow_host_paths: false,
                        back_off: kubelet::BACK_OFF,
                    },
                );
                kubelet = Some(tokio::spawn(node.run(shutdown.clone())));
                (server.client(), name)
            }
        };

        let cluster = Cluster::new(client, &options.namespace);
        prepare(&cluster, &options, &folders).await?;
        let (news, _) = broadcast::channel(256);
        let tasks = Tasks::default();
        let hosted = match (options.host, &kubeconfig) {
            (Some(kind), Some(kubeconfig)) => {
                let (listen, namespace, news) = (options.listen, &options.namespace, news.clone());
                let (settings, state) = (&settings, &state);
                let place = host::Place { listen, kubeconfig, namespace, state, settings, news };
                Some(host::start(kind, place).await.context("the functions do not start")?)
            }
            _ => None,
        };
        // What this process does for builds, it does as the functions would.
        let app = match hosted {
            Some(_) => App {
                cluster: cluster.clone(),
                settings: Arc::new(settings),
                repository: Arc::new(Repository::Clone),
                workers: Workers::Pods,
            },
            None => App {
                cluster: cluster.clone(),
                settings: Arc::new(settings),
                repository: Arc::new(Repository::Folders(
                    folders
                        .iter()
                        .map(|folder| (folder.project.id.clone(), folder.path.clone()))
                        .collect(),
                )),
                workers: Workers::Here(tasks.clone()),
            },
        };
        let (functions, hosted) = match (hosted, &listener) {
            (Some((url, hosted)), _) => (url, Some(hosted)),
            (None, Some(listener)) => (url(listener.local_addr()?)?, None),
            (None, None) => bail!("the functions have no place"),
        };
        // In a cluster elsewhere, builds may be those of functions that run there.
        let own = options.cluster == Target::Embedded;
        for namespace in namespaces(&folders).into_iter().filter(|_| own) {
            let (app, ended) = (app.clone(), shutdown.clone());
            servers.push(tokio::spawn(async move {
                tokio::select! {
                    () = sweeper::start_builds(app.clone(), namespace) => {}
                    () = ended.cancelled() => {}
                }
            }));
        }
        let projects: Arc<[_]> = folders.iter().map(|folder| folder.project.clone()).collect();
        if own {
            let (app, projects, ended) = (app.clone(), projects.clone(), shutdown.clone());
            servers.push(tokio::spawn(async move {
                tokio::select! {
                    () = sweeper::tell_what_is_left(app, projects) => {}
                    () = ended.cancelled() => {}
                }
            }));
        }
        let backstage = backstage::routes(Backstage {
            functions: functions.clone(),
            cluster: cluster.clone(),
            projects,
            news: news.clone(),
        });
        servers.push(tokio::spawn(email::serve(mail, news.clone(), shutdown.clone())));
        let own = listener.map(|listener| (functions::router(app, Function::ALL), listener));
        for (router, listener) in own.into_iter().chain([(backstage, behind)]) {
            let ended = shutdown.clone().cancelled_owned();
            servers.push(tokio::spawn(runtime::serve::http(router, listener, ended)));
        }
        Ok(Emulator {
            functions,
            api,
            kubeconfig,
            pods,
            missing,
            folders,
            cluster,
            news,
            relays,
            tasks,
            shutdown,
            kubelet,
            servers,
            hosted,
            _scratch: scratch,
        })
    }

    /// The namespaces where builds run.
    pub fn namespaces(&self) -> BTreeSet<String> {
        namespaces(&self.folders)
    }

    /// Ends everything: builds are left as they are, pods are killed.
    pub async fn stop(mut self) {
        self.tasks.stop().await;
        if let Some(hosted) = self.hosted.take() {
            hosted.stop().await;
        }
        self.shutdown.cancel();
        let parts = self.kubelet.take().into_iter().chain(std::mem::take(&mut self.servers));
        let ended = futures::future::join_all(parts);
        if tokio::time::timeout(PATIENCE, ended).await.is_err() {
            tracing::warn!("a part of the emulator did not end in time");
        }
    }
}

fn namespaces(folders: &[Folder]) -> BTreeSet<String> {
    folders.iter().map(|folder| folder.project.namespace.clone()).collect()
}

/// What runs the pods, and what was missing for better.
async fn runtime(
    options: &Options,
    folders: &[Folder],
    state: &Path,
    behind: &Url,
    api: SocketAddr,
    notify: &NotifySettings,
) -> Result<(Runtime, Option<String>)> {
    let near = [
        (stand_ins::URL_VARIABLE, behind.as_str().trim_end_matches('/').to_owned()),
        ("KUBERNETES_SERVICE_HOST", api.ip().to_string()),
        ("KUBERNETES_SERVICE_PORT", api.port().to_string()),
    ];
    // What a script's own job tells somebody by the worker's program goes the same way.
    let near = near.into_iter().chain(notify.variables());
    let sandbox = SandboxOptions {
        overlays: overlays(options, folders, state)?,
        environment: near.map(|(name, value)| (name.to_owned(), value)).collect(),
        binds: vec![(std::env::current_exe()?, stand_ins::PROGRAM.into())],
        ..SandboxOptions::default()
    };
    let simulated = || Runtime::Simulate(Simulate::new(SimulateOptions::default()));
    if options.pods == Pods::Docker {
        let docker = Docker::connect(DockerOptions {
            // What the emulator serves, pods find where it listens.
            network: Some("host".to_owned()),
            environment: sandbox.environment,
            processes: Some(4096),
            cluster: state.display().to_string(),
            ..DockerOptions::default()
        });
        let docker = docker.await.map_err(anyhow::Error::msg);
        return Ok((Runtime::Docker(docker.context("no engine can be reached")?), None));
    }
    if options.pods == Pods::Simulate {
        return Ok((simulated(), None));
    }
    match Sandbox::probe(&sandbox).await {
        Ok(()) => Ok((Runtime::Sandbox(Sandbox::new(sandbox)), None)),
        Err(reason) if options.pods == Pods::Auto => Ok((simulated(), Some(reason))),
        Err(reason) => bail!("pods cannot run in the sandbox here: {reason}"),
    }
}

/// The folders of stand-ins, with the projects' sources where the one for git finds them.
fn overlays(options: &Options, folders: &[Folder], state: &Path) -> Result<Vec<PathBuf>> {
    let shipped = state.join("stand-ins");
    if shipped.exists() {
        fs::remove_dir_all(&shipped).context("removing the stand-ins of an earlier run")?;
    }
    stand_ins::write(&shipped, &options.settings.worker_image)?;
    for folder in folders {
        let sources = shipped.join(stand_ins::SIDECAR).join("sources");
        folder.copy_source(&sources.join(&folder.project.id))?;
    }
    let mut overlays = options.stand_ins.clone();
    overlays.push(shipped);
    Ok(overlays)
}

/// Puts into the cluster what the projects and their jobs count on.
async fn prepare(cluster: &Cluster, options: &Options, folders: &[Folder]) -> Result<()> {
    let account = &options.settings.job_service_account;
    cluster.create_namespace(&options.namespace).await?;
    cluster.create_service_account(&options.namespace, account).await?;
    for Folder { project, .. } in folders {
        cluster.create_namespace(&project.namespace).await?;
        let own = &project.service_account;
        for account in [account, own].into_iter().filter(|account| !account.is_empty()) {
            cluster.create_service_account(&project.namespace, account).await?;
        }
    }
    for folder in folders {
        cluster
            .put_project(&folder.project)
            .await
            .with_context(|| format!("putting {} into the cluster", folder.path.display()))?;
    }
    Ok(())
}

/// A client of a cluster elsewhere.
async fn outside(context: &str) -> Result<kube::Client> {
    // The error's own words name its cause already.
    let kubeconfig = Kubeconfig::read()
        .map_err(|error| anyhow::anyhow!("--cluster {context} needs a kubeconfig: {error}"))?;
    let known: Vec<String> =
        kubeconfig.contexts.iter().map(|context| context.name.clone()).collect();
    // kind names its contexts after itself.
    let kind = format!("kind-{context}");
    let names = [context, "kind-kind", kind.as_str()];
    let names = if context == "kind" { &names[..2] } else { &names[..1] };
    let Some(name) = names.iter().find(|name| known.iter().any(|known| known == *name)) else {
        bail!("there is no context {context:?}; the kubeconfig has {}", known.join(", "));
    };
    let chosen = KubeConfigOptions { context: Some((*name).to_owned()), ..Default::default() };
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &chosen).await?;
    Ok(runtime::cluster::client(config)?)
}

fn check_names(folders: &[Folder]) -> Result<()> {
    let mut seen = BTreeSet::new();
    for folder in folders {
        if !seen.insert(&folder.project.id) {
            bail!(
                "{} is the project {}, as another of the folders is",
                folder.path.display(),
                folder.project.name
            );
        }
    }
    Ok(())
}

async fn bind(address: SocketAddr, option: &str) -> Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("{option} {address}: is another emulator running?"))
}

fn url(address: SocketAddr) -> Result<Url> {
    Ok(Url::parse(&format!("http://{address}"))?)
}

fn private_folder(folder: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("creating {}", folder.display()))
}
