//! Starts the API server alone: `cargo run -p apiserver`.

use std::path::PathBuf;

use anyhow::Context;
use apiserver::kubelet::{self, Kubelet, Runtime, Simulate, SimulateOptions};
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
    /// Add a node whose pods are simulated: they end well at once, and their logs say so.
    #[arg(long)]
    simulate: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().init();
    let Arguments { listen, kubeconfig, state, ephemeral: _, rbac, http, simulate } =
        Arguments::parse();
    // What the node needs on disk ends with the server.
    let folder = tempfile::tempdir().context("no temporary folder can be made")?;
    let logs = Logs::new(folder.path().join("logs"));
    let streams = Streams::default();
    let kubeconfig =
        kubeconfig.unwrap_or_else(|| state.as_deref().unwrap_or(folder.path()).join("kubeconfig"));
    let host = listen.rsplit_once(':').map_or(listen.as_str(), |(host, _)| host);
    let server = Server::new(Options {
        state,
        logs: Some(logs.clone()),
        rbac,
        names: vec![host.trim_matches(['[', ']']).to_owned()],
        streams: streams.clone(),
        ..Options::default()
    })?;
    let listener =
        TcpListener::bind(&listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    let url = format!("{}://{}", if http { "http" } else { "https" }, listener.local_addr()?);
    private::write(&kubeconfig, &server.kubeconfig("apiserver", &url))
        .with_context(|| format!("cannot write {}", kubeconfig.display()))?;
    let shutdown = CancellationToken::new();
    let node = simulate.then(|| {
        let options = kubelet::Options {
            node_name: "simulated".to_owned(),
            root: folder.path().join("pods"),
            logs,
            streams,
            runtime: Runtime::Simulate(Simulate::new(SimulateOptions::default())),
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
    if http {
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
