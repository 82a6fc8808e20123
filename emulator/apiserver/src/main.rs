//! Starts the API server alone: `cargo run -p apiserver`.

use std::path::PathBuf;

use anyhow::Context;
use apiserver::kubelet::{
    self, Docker, DockerOptions, Kubelet, Runtime, Sandbox, SandboxOptions, Simulate,
    SimulateOptions,
};
use apiserver::logs::Logs;
use apiserver::streams::Streams;
use apiserver::{Options, Server, private};
use clap::Parser;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// A Kubernetes API in memory. It writes a kubeconfig, says where, and serves until interrupted.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:0")]
    listen: String,
    /// Where to write the kubeconfig of the admin [default: in the state directory, or in a
    /// temporary folder that ends with the server].
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Where to keep objects and credentials; without it they end with the server.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Keep nothing, which is so without --state, too.
    #[arg(long, conflicts_with = "state")]
    ephemeral: bool,
    /// Let roles and bindings decide who may do what; otherwise whoever proves who they are may do
    /// everything.
    #[arg(long)]
    rbac: bool,
    /// Serve plain HTTP; whoever reaches the port is the admin.
    #[arg(long)]
    http: bool,
    /// Add a node, and what runs its pods.
    #[arg(long, value_enum, default_value_t = Pods::None)]
    pods: Pods,
    /// The socket of the Docker engine or of Podman's service [default: the usual ones].
    #[arg(long, value_name = "unix:///PATH")]
    docker_host: Option<String>,
    /// The network of pods in the engine: one of its own, `host` or `none` [default: its choice].
    #[arg(long, value_name = "NAME")]
    docker_network: Option<String>,
    /// Give sandboxed pods no network but a loopback of their own.
    #[arg(long)]
    no_network: bool,
}

/// What runs pods.
#[derive(Clone, Copy, Debug, PartialEq, clap::ValueEnum)]
enum Pods {
    /// A Docker engine, or Podman's service.
    Docker,
    /// Bubblewrap: this host's tools, read-only, in namespaces of their own.
    Sandbox,
    /// Nothing: pods end well at once, and their logs say so.
    Simulate,
    /// There is no node.
    None,
}

impl Arguments {
    /// What runs the pods; `url` is where they find the API.
    async fn runtime(&self, url: &str, cluster: String) -> anyhow::Result<Option<Runtime>> {
        let address = url.rsplit_once('/').and_then(|(_, address)| address.rsplit_once(':'));
        let (host, port) = address.unwrap_or_default();
        let environment = [("KUBERNETES_SERVICE_HOST", host), ("KUBERNETES_SERVICE_PORT", port)]
            .map(|(name, value)| (name.to_owned(), value.trim_matches(['[', ']']).to_owned()));
        Ok(Some(match self.pods {
            Pods::None => return Ok(None),
            Pods::Simulate => Runtime::Simulate(Simulate::new(SimulateOptions::default())),
            Pods::Sandbox => {
                let options = SandboxOptions {
                    environment: environment.into(),
                    network: !self.no_network,
                    ..SandboxOptions::default()
                };
                let probed = Sandbox::probe(&options).await.map_err(anyhow::Error::msg);
                probed.context("pods cannot run in the sandbox here")?;
                Runtime::Sandbox(Sandbox::new(options))
            }
            Pods::Docker => {
                let options = DockerOptions {
                    host: self.docker_host.clone(),
                    network: self.docker_network.clone(),
                    host_names: vec!["host.docker.internal".to_owned()],
                    environment: environment.into(),
                    cluster,
                    ..DockerOptions::default()
                };
                let docker = Docker::connect(options).await.map_err(anyhow::Error::msg);
                Runtime::Docker(docker.context("no engine can be reached")?)
            }
        }))
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().init();
    let arguments = Arguments::parse();
    let Arguments { listen, kubeconfig, state, http, rbac, .. } = &arguments;
    // Without a state, what the node has on disk ends with the server, too.
    let folder = tempfile::tempdir().context("no temporary folder can be made")?;
    let kept = state.as_deref().unwrap_or(folder.path());
    let logs = Logs::new(kept.join("logs"));
    let streams = Streams::default();
    let kubeconfig = kubeconfig.clone().unwrap_or_else(|| kept.join("kubeconfig"));
    let host = listen.rsplit_once(':').map_or(listen.as_str(), |(host, _)| host);
    let server = Server::new(Options {
        state: state.clone(),
        logs: Some(logs.clone()),
        rbac: *rbac,
        names: vec![host.trim_matches(['[', ']']).to_owned()],
        streams: streams.clone(),
        ..Options::default()
    })?;
    let listener =
        TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    let url = format!("{}://{}", if *http { "http" } else { "https" }, listener.local_addr()?);
    private::write(&kubeconfig, &server.kubeconfig("apiserver", &url))
        .with_context(|| format!("cannot write {}", kubeconfig.display()))?;
    let shutdown = CancellationToken::new();
    // Pods are given paths below it, which must hold wherever they are read.
    let cluster = std::fs::canonicalize(kept).context("the state has no folder")?;
    let runtime = arguments.runtime(&url, cluster.display().to_string()).await?;
    let node = runtime.map(|runtime| {
        let options = kubelet::Options {
            node_name: "node".to_owned(),
            root: cluster.join("pods"),
            logs,
            streams,
            runtime,
            allow_host_paths: false,
            back_off: kubelet::BACK_OFF,
        };
        tokio::spawn(Kubelet::new(server.client(), options).run(shutdown.clone()))
    });
    tracing::info!(url, "ready: kubectl --kubeconfig {} get namespaces", kubeconfig.display());
    let interrupted = async {
        // Without a signal handler the server runs until it is killed.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    if *http {
        server.serve_plain(listener, interrupted).await?;
    } else {
        server.serve(listener, interrupted).await?;
    }
    shutdown.cancel();
    if let Some(node) = node {
        node.await?;
    }
    Ok(())
}
