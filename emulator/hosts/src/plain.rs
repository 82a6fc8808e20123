//! A container's host: it says where to listen, and asks the program to end.
//!
//! ```no_run
//! # async fn example() -> Result<(), String> {
//! let plain = hosts::plain::Plain::start(hosts::plain::Options::of("target/debug/functions")).await?;
//! println!("requests go to {}", plain.url());
//! # Ok(())
//! # }
//! ```
//!
//! Knative and Cloud Run are such hosts, too, with variables of their own.
//!
//! <https://cloud.google.com/run/docs/container-contract>

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::mpsc;

use crate::process::{self, Process};

/// How long a program may take to end, as on Cloud Run.
const GRACE: Duration = Duration::from_secs(10);

/// A program, and how it is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program.
    pub program: PathBuf,
    /// What it is given beside its own name.
    pub arguments: Vec<OsString>,
    /// Its variables. The program has these, `HOST`, `PORT`, and no others.
    pub environment: Vec<(String, String)>,
    /// Where it listens; port 0 is any that is free.
    pub address: SocketAddr,
    /// How long the program may take until it answers.
    pub init_timeout: Duration,
    /// Who is given the lines that the program writes; else they are written where this program's are.
    pub log: Option<mpsc::UnboundedSender<String>>,
}

/// A program that serves. It ends when this is dropped.
#[derive(Debug)]
pub struct Plain {
    process: Process,
}

impl Options {
    /// A program without arguments and variables.
    pub fn of(program: impl Into<PathBuf>) -> Options {
        Options {
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            address: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0),
            init_timeout: Duration::from_secs(60),
            log: None,
        }
    }
}

impl Plain {
    /// Starts the program, and waits until it answers.
    pub async fn start(options: Options) -> Result<Plain, String> {
        let mut address = options.address;
        if address.port() == 0 {
            let unused = process::unused_port().await;
            address.set_port(unused.map_err(|error| format!("there is no port: {error}"))?);
        } else if let Err(error) = TcpListener::bind(address).await {
            // Else whoever listens there would be taken for the program.
            return Err(format!("{address} cannot be listened at: {error}"));
        }
        let mut command = Command::new(&options.program);
        command
            .args(&options.arguments)
            .env_clear()
            .envs(options.environment.iter().map(|(name, value)| (name, value)))
            .env("HOST", address.ip().to_string())
            .env("PORT", address.port().to_string());
        let (limit, log) = (options.init_timeout, options.log.as_ref());
        Ok(Plain { process: Process::start(&mut command, address, limit, log).await? })
    }

    /// Where requests go, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.process.address)
    }

    /// Where the program listens.
    pub fn address(&self) -> SocketAddr {
        self.process.address
    }

    /// The process of the program.
    pub fn process(&self) -> Option<u32> {
        self.process.process()
    }

    /// Asks the program to end, and waits until it has.
    pub async fn stop(self) {
        self.process.stop(GRACE).await;
    }
}
