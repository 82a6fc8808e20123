//! Starts the API server alone: `cargo run -p apiserver`.

use std::path::PathBuf;

use anyhow::Context;
use apiserver::{Options, Server};
use clap::Parser;
use tokio::net::TcpListener;

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
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().init();
    let arguments = Arguments::parse();
    let server = Server::new(Options { state: arguments.state, ..Options::default() })?;
    let listener = TcpListener::bind(&arguments.listen)
        .await
        .with_context(|| format!("cannot listen on {}", arguments.listen))?;
    let url = format!("http://{}", listener.local_addr()?);
    if let Some(file) = arguments.kubeconfig {
        std::fs::write(&file, server.kubeconfig(&url))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    tracing::info!(url, "ready");
    let shutdown = async {
        // Without a signal handler the server runs until it is killed.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    server.serve(listener, shutdown).await?;
    Ok(())
}
