//! Serves a router on the host that the program finds itself on.
//!
//! The router is the same everywhere; a host is a way for requests to reach it.

use std::io;

use axum::Router;

use crate::settings::{AzureSettings, PlainSettings, Settings};

pub use plain::http;

mod azure;
mod plain;

/// Where requests come from.
#[derive(Clone, Debug)]
pub enum Host {
    /// Azure Functions, whose host speaks to its custom handler on this machine.
    Azure(AzureSettings),
    /// HTTP on an address or a socket: a container, Knative, a laptop.
    Plain(PlainSettings),
}

/// The host's own name of the request, for the log. Nothing proves it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Invocation(pub String);

impl Host {
    /// The host that the settings tell of.
    pub fn detect(settings: &Settings) -> Host {
        match &settings.host.azure {
            Some(azure) => Host::Azure(azure.clone()),
            None => Host::Plain(settings.host.plain.clone()),
        }
    }
}

/// Serves until `shutdown` ends, then until the requests that have begun are answered.
pub async fn serve(
    router: Router,
    host: Host,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    match host {
        Host::Azure(settings) => azure::serve(router, &settings, shutdown).await,
        Host::Plain(settings) => plain::serve(router, &settings, shutdown).await,
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
