//! The hosts that the program is tried on.

use std::path::Path;
use std::process::Stdio;

use axum::body::Body;
use axum::http::Request;
use hosts::azure::{self, Azure, Mode};
use hosts::lambda::{self, Front, Lambda};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::world::{PATIENCE, Told, World, send};

/// The program.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_functions");

/// A host, by what a sender sees of it.
#[derive(Clone, Debug)]
pub(crate) enum Host {
    Plain { two: bool },
    Knative,
    Lambda(Front),
    Azure(Mode),
}

/// A host on which the program runs.
pub(crate) enum Running {
    Process { _child: Child, url: String, two: bool },
    Lambda(Lambda),
    Azure(Azure),
}

impl Host {
    /// Starts the program there.
    pub(crate) async fn start(&self, world: &World) -> Running {
        let environment = world.environment();
        match self {
            Host::Plain { two } => process(&environment, &[("HOST", "127.0.0.1")], *two).await,
            Host::Knative => {
                let knative = [
                    ("K_SERVICE", "functions"),
                    ("K_REVISION", "functions-00001"),
                    ("K_CONFIGURATION", "functions"),
                ];
                process(&environment, &knative, false).await
            }
            Host::Lambda(front) => Running::Lambda(on_lambda(front.clone(), environment).await),
            Host::Azure(mode) => {
                let app = Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/azure/app");
                let mut options = azure::Options::of(PROGRAM, app);
                options.environment = environment;
                options.mode = Some(*mode);
                options.init_timeout = PATIENCE;
                options.timeout = PATIENCE;
                Running::Azure(Azure::start(options).await.unwrap())
            }
        }
    }
}

impl Running {
    /// Sends a request through the host.
    pub(crate) async fn send(&self, request: Request<Body>) -> Told {
        match self {
            Running::Process { url, two, .. } => send(url, request, *two).await,
            Running::Lambda(lambda) => send(&lambda.url(), request, false).await,
            Running::Azure(azure) => send(&azure.url(), request, false).await,
        }
    }
}

/// A function with these variables, which has time.
pub(crate) async fn on_lambda(front: Front, environment: Vec<(String, String)>) -> Lambda {
    let mut options = lambda::Options::of(PROGRAM, front);
    options.environment = environment;
    options.init_timeout = PATIENCE;
    options.timeout = PATIENCE;
    options.patience = Some(PATIENCE);
    Lambda::start(options).await.unwrap()
}

/// A process that serves plain HTTP on a port that it says.
async fn process(environment: &[(String, String)], more: &[(&str, &str)], two: bool) -> Running {
    let mut child = Command::new(PROGRAM)
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .envs(more.iter().copied())
        .env("PORT", "0")
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let address = async {
        loop {
            let line = lines.next_line().await.unwrap().expect("the program has ended");
            let line: Value = serde_json::from_str(&line).unwrap_or_default();
            if let Some(address) = line["server.address"].as_str() {
                return address.replace("0.0.0.0", "127.0.0.1");
            }
        }
    };
    let address = tokio::time::timeout(PATIENCE, address).await.unwrap();
    // What it says is read to the end, or it could not go on saying it.
    tokio::spawn(async move { while let Ok(Some(_line)) = lines.next_line().await {} });
    Running::Process { _child: child, url: format!("http://{address}"), two }
}
