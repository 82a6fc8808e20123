//! Starts the API server alone: `cargo run -p apiserver`.

use std::path::PathBuf;

use anyhow::Context;
use apiserver::kubelet::{self, Kubelet, Runtime, Simulate, SimulateOptions};
use apiserver::logs::Logs;
use apiserver::streams::Streams;
use apiserver::{Options, Server};
use clap::Parser;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// A Kubernetes API in memory.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: String,
    /// Where to write a kubeconfig.
    #[arg(long)]
    kubeconfig: Option<PathBuf>,
    /// Where to keep the objects; without it they end with the server.
    #[arg(long)]
    state: Option<PathBuf>,
    /// Add a node whose pods are simulated: they end well at once, and their logs say so.
    #[arg(long)]
    simulate: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().init();
    let Arguments { listen, kubeconfig, state, simulate } = Arguments::parse();
    // What the node needs on disk ends with the server.
    let folder = tempfile::tempdir().context("no temporary folder can be made")?;
    let logs = Logs::new(folder.path().join("logs"));
    let streams = Streams::default();
    let server = Server::new(Options {
        state,
        logs: Some(logs.clone()),
        streams: streams.clone(),
        ..Options::default()
    })?;
    let listener =
        TcpListener::bind(&listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    let url = format!("http://{}", listener.local_addr()?);
    if let Some(file) = kubeconfig {
        std::fs::write(&file, server.kubeconfig(&url))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
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
    tracing::info!(url, "ready");
    let interrupted = async {
        // Without a signal handler the server runs until it is killed.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    server.serve(listener, interrupted).await?;
    shutdown.cancel();
    if let Some(node) = node {
        node.await?;
    }
    Ok(())
}
