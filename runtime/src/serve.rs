//! Serves a router on the host that the program finds itself on.
//!
//! The router is the same everywhere; a host is a way for requests to reach it.

use std::io;
use std::net::SocketAddr;

use axum::Router;
use tokio::net::TcpListener;

use crate::settings::Settings;

pub use plain::http;

mod plain;

/// Where requests come from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Host {
    /// Plain HTTP/1.1 on an address: a container, Knative, a laptop.
    Http(SocketAddr),
}

impl Host {
    /// The host that the settings tell of.
    pub fn detect(settings: &Settings) -> Host {
        Host::Http(settings.listen)
    }
}

/// Serves until `shutdown` ends, then until the requests that have begun are answered.
pub async fn serve(
    router: Router,
    host: Host,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    match host {
        Host::Http(address) => {
            let listener = TcpListener::bind(address).await?;
            tracing::info!(server.address = %listener.local_addr()?, "serving plain HTTP");
            http(router, listener, shutdown).await;
            Ok(())
        }
    }
}

/// Ends when the program is asked to: SIGTERM, or an interrupt from the keyboard.
pub async fn interrupted() {
    let interrupt = tokio::signal::ctrl_c();
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_unsupported) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = interrupt => {}
        () = terminated => {}
    }
}
