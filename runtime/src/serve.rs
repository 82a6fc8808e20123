//! Serves a router on the host that the program finds itself on.
//!
//! The router is the same everywhere; a host is a way for requests to reach it.

use std::io;

use axum::Router;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::settings::{AzureSettings, HostSettings, LambdaSettings, PlainSettings, Settings};

pub use plain::http;

mod azure;
mod lambda;
mod plain;

/// Where requests come from.
#[derive(Clone, Debug)]
pub enum Host {
    /// Azure Functions, whose host speaks to its custom handler on this machine.
    Azure(AzureSettings),
    /// AWS Lambda.
    Lambda(LambdaSettings),
    /// HTTP on an address or a socket: a container, Knative, a laptop.
    Plain(PlainSettings),
}

/// What a request has among its extensions that did not come over HTTP but from the host itself.
///
/// No client can add it, so it is a proof: what only the host may ask for is answered only with it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Trigger {
    /// A timer of the host.
    Schedule {
        /// The time that it was set for, if it says so.
        time: Option<Timestamp>,
    },
    /// A message of a queue, a topic or a bus; what it says proves itself as a request does.
    Message {
        /// What it has of a name, the same whenever it is delivered.
        id: String,
    },
}

/// The host's own name of the request, for the log. Nothing proves it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Invocation(pub String);

/// The name that what stands in front of the host has for the request, for the log, too.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FrontRequest(pub String);

/// What a request has among its extensions if the host gives it up at some time.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(pub Instant);

/// The path that the host's timers ask to sweep at, with a [`Trigger::Schedule`].
pub const SWEEP: &str = "/triggers/sweep";

impl Host {
    /// The host that the settings tell of.
    pub fn detect(settings: &Settings) -> Host {
        match &settings.host {
            HostSettings { lambda: Some(lambda), .. } => Host::Lambda(lambda.clone()),
            HostSettings { azure: Some(azure), .. } => Host::Azure(azure.clone()),
            HostSettings { plain, .. } => Host::Plain(plain.clone()),
        }
    }
}

/// Tells the host, where it asks for that, why the program cannot begin.
pub async fn failed(error: &str) {
    if let Some(address) = LambdaSettings::address() {
        lambda::failed(&address, error).await;
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
        Host::Lambda(settings) => lambda::serve(router, &settings, shutdown).await,
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
