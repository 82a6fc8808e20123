//! Azure Functions with a custom handler.
//!
//! ```no_run
//! # async fn example() -> Result<(), hosts::azure::Failure> {
//! use hosts::azure::{Azure, Mode, Options};
//!
//! let mut options = Options::of("target/debug/functions", "infra/azure");
//! options.mode = Some(Mode::Enveloping);
//! let azure = Azure::start(options).await?;
//! println!("requests go to {}", azure.url());
//! azure.timer("sweep", false).await?;
//! azure.message("registry", r#"{"id": "1"}"#).await?;
//! # Ok(())
//! # }
//! ```
//!
//! The folder is that of a function app: `host.json`, and a folder with a `function.json` for each
//! function. The program is started at once and must answer `GET /`; requests reach it as the mode says:
//! proxied as they are, forwarded (rebuilt, and without a body whose length is not told beforehand), or
//! in envelopes.
//!
//! What differs from Azure: the program is the one that is given, not the one that `host.json` names,
//! and there is no front end before the host, which would answer `OPTIONS` for CORS.
//!
//! <https://learn.microsoft.com/azure/azure-functions/functions-custom-handlers>,
//! <https://github.com/Azure/azure-functions-host>

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use self::app::{App, Kind};
use crate::process::{self, Process};

mod app;
mod envelope;
mod front;

#[cfg(test)]
mod tests;

/// The version that this host says it is.
pub(crate) const VERSION: &str = "4.1041.200.25451";

/// A function app: its folder, the program, and how it is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program.
    pub program: PathBuf,
    /// What it is given beside its own name.
    pub arguments: Vec<OsString>,
    /// The app's settings. The program has these as variables, the host's own, and no others.
    pub environment: Vec<(String, String)>,
    /// The app's folder.
    pub folder: PathBuf,
    /// How requests reach the program, if that is not as `host.json` says.
    pub mode: Option<Mode>,
    /// Where the host listens.
    pub address: SocketAddr,
    /// What proves a client to functions whose `authLevel` is not `anonymous`.
    pub key: String,
    /// How long the program may take until it answers.
    pub init_timeout: Duration,
    /// How long a request may take.
    pub timeout: Duration,
    /// Who is given the lines that the program writes; else they are written where this program's are.
    pub log: Option<mpsc::UnboundedSender<String>>,
}

/// How requests reach the program.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// As they are: `enableProxyingHttpRequest`.
    Proxying,
    /// Rebuilt: `enableForwardingHttpRequest`.
    Forwarding,
    /// In envelopes.
    Enveloping,
}

/// A function app that is served. Its program ends when it is dropped.
#[derive(Debug)]
pub struct Azure {
    host: Arc<Host>,
    address: SocketAddr,
    front: JoinHandle<()>,
}

/// What the front has.
#[derive(Debug)]
struct Host {
    app: App,
    program: Process,
    key: String,
    timeout: Duration,
}

/// Why an app does not start, or an invocation fails.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

impl Options {
    /// A program without arguments and settings, with the usual limits.
    pub fn of(program: impl Into<PathBuf>, folder: impl Into<PathBuf>) -> Options {
        Options {
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            folder: folder.into(),
            mode: None,
            address: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0),
            key: "key".to_owned(),
            init_timeout: Duration::from_secs(30),
            timeout: Duration::from_secs(230),
            log: None,
        }
    }
}

impl Azure {
    /// Starts the program, waits until it answers, and serves.
    pub async fn start(mut options: Options) -> Result<Azure, Failure> {
        if let Some(mode) = options.mode {
            options.environment.extend(mode.settings());
        }
        let app = App::read(&options.folder, &options.environment)?;
        let failed = |error: std::io::Error| Failure(format!("the host cannot listen: {error}"));
        let listener = TcpListener::bind(options.address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let program = program(&options).await.map_err(Failure)?;
        let Options { key, timeout, .. } = options;
        let host = Arc::new(Host { app, program, key, timeout });
        let front = tokio::spawn(front::serve(Arc::clone(&host), listener));
        Ok(Azure { host, address, front })
    }

    /// Where requests go, with the prefix of routes, without a slash at the end.
    pub fn url(&self) -> String {
        match self.host.app.prefix.as_str() {
            "" => format!("http://{}", self.address),
            prefix => format!("http://{}/{prefix}", self.address),
        }
    }

    /// Where the host listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process of the program.
    pub fn process(&self) -> Option<u32> {
        self.host.program.process()
    }

    /// Where the program listens, which no client of a real host can reach.
    pub fn handler(&self) -> SocketAddr {
        self.host.program.address
    }

    /// Invokes a function with a timer, as when its time has come.
    pub async fn timer(&self, function: &str, is_past_due: bool) -> Result<(), Failure> {
        let now = jiff::Timestamp::now();
        let status = json!({"Last": now.to_string(), "Next": now.to_string(), "LastUpdated": now.to_string()});
        let timer = json!({
            "Schedule": {"AdjustForDST": true},
            "ScheduleStatus": status,
            "IsPastDue": is_past_due,
        });
        self.invoke(function, Kind::Timer, timer, json!({})).await
    }

    /// Invokes a function with a message: of a queue, of Event Grid, whatever its trigger is.
    pub async fn message(&self, function: &str, message: &str) -> Result<(), Failure> {
        // The host writes a text as JSON, into JSON.
        let written = Value::String(Value::from(message).to_string());
        self.invoke(
            function,
            Kind::Other,
            written,
            json!({"MessageId": uuid::Uuid::new_v4().to_string()}),
        )
        .await
    }

    async fn invoke(
        &self,
        function: &str,
        kind: Kind,
        value: Value,
        metadata: Value,
    ) -> Result<(), Failure> {
        let found = self.host.app.functions.iter().find(|known| known.name == function);
        let function = found.filter(|found| found.kind == kind).ok_or_else(|| {
            Failure(format!("the app has no function {function} with such a trigger"))
        })?;
        let data = json!({&function.input: value});
        envelope::invoke(&self.host, function, data, metadata).await.map(drop)
    }

    /// Stops serving, and ends the program.
    pub async fn stop(self) {
        self.front.abort();
        self.host.program.kill().await;
    }
}

impl Drop for Azure {
    fn drop(&mut self) {
        self.front.abort();
    }
}

/// Starts the program as the host does.
async fn program(options: &Options) -> Result<Process, String> {
    let failed = |error: std::io::Error| format!("the program cannot be started: {error}");
    let port = process::unused_port().await.map_err(failed)?;
    let (id, number) = (uuid::Uuid::new_v4().to_string(), port.to_string());
    let folder = std::path::absolute(&options.folder).map_err(failed)?;
    let mut command = Command::new(&options.program);
    command
        .args(&options.arguments)
        .env_clear()
        .env("FUNCTIONS_WORKER_RUNTIME", "custom")
        .envs(options.environment.iter().map(|(name, value)| (name, value)))
        .env("FUNCTIONS_HTTPWORKER_PORT", &number)
        .env("FUNCTIONS_HTTPWORKER_ID", &id)
        .env("FUNCTIONS_CUSTOMHANDLER_PORT", &number)
        .env("FUNCTIONS_CUSTOMHANDLER_WORKER_ID", &id)
        .env("FUNCTIONS_APP_ROOT_PATH", &folder)
        .current_dir(&folder);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    Process::start(&mut command, address, options.init_timeout, options.log.as_ref()).await
}

impl Mode {
    /// The settings of an app that say so, in the place of `host.json`.
    fn settings(self) -> [(String, String); 2] {
        let setting = |name: &str, is_on: bool| {
            (format!("AzureFunctionsJobHost__customHandler__{name}"), is_on.to_string())
        };
        [
            setting("enableForwardingHttpRequest", self == Mode::Forwarding),
            setting("enableProxyingHttpRequest", self == Mode::Proxying),
        ]
    }
}
