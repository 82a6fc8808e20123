//! AWS Lambda: its Runtime API, and what stands in front of it.
//!
//! ```no_run
//! # async fn example() -> Result<(), hosts::lambda::Failure> {
//! use hosts::lambda::{Front, Lambda, Options};
//!
//! let lambda = Lambda::start(Options::of("target/debug/functions", Front::FunctionUrl)).await?;
//! println!("requests go to {}", lambda.url());
//! let swept = lambda.invoke(&serde_json::json!({"sweep": true})).await?;
//! # Ok(())
//! # }
//! ```
//!
//! The program runs in *environments*, a process each, of which every one has one invocation at a
//! time: a new one is started when none is free, up to a limit. Between invocations a process is
//! stopped (SIGSTOP), as Lambda freezes it, so that what it would do in the background is not done.
//! A process that takes too long is killed.
//!
//! What differs from Lambda: an answer is passed on when the program has asked for the next
//! invocation, so that a client that sends one request after another always meets the same process.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>,
//! <https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html>

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

pub use front::Front;

use environment::Environment;

mod environment;
mod front;
#[cfg(test)]
mod tests;

/// The largest event, and the largest answer, in bytes.
pub(crate) const PAYLOAD: usize = 6 * 1024 * 1024;

/// A function: the program, and how Lambda has it run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program.
    pub program: PathBuf,
    /// What it is given beside its own name.
    pub arguments: Vec<OsString>,
    /// The function's own variables. The program has these, Lambda's, and no others.
    pub environment: Vec<(String, String)>,
    /// What stands in front of it.
    pub front: Front,
    /// Where that listens.
    pub address: SocketAddr,
    /// How long an invocation may take.
    pub timeout: Duration,
    /// How long a process may take until it asks for its first invocation.
    pub init_timeout: Duration,
    /// How long the front waits for an answer, if not as long as such a front does: 29 seconds of a
    /// REST API, 30 of an HTTP API.
    pub patience: Option<Duration>,
    /// How many environments there may be at once; whoever comes then is told to come later.
    pub concurrency: usize,
    /// The function's memory in megabytes, which is only told.
    pub memory: u32,
    /// Who is given the lines that the program writes; else they are written where this program's are.
    pub log: Option<mpsc::UnboundedSender<String>>,
}

impl Options {
    /// A program without arguments and variables, with Lambda's usual limits.
    pub fn of(program: impl Into<PathBuf>, front: Front) -> Options {
        Options {
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            front,
            address: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0),
            timeout: Duration::from_secs(15),
            init_timeout: Duration::from_secs(10),
            patience: None,
            concurrency: 10,
            memory: 128,
            log: None,
        }
    }
}

/// A function that is served. Its processes end when it is dropped.
pub struct Lambda {
    pool: Arc<Pool>,
    address: SocketAddr,
    front: JoinHandle<()>,
}

/// Why an invocation has no answer, as Lambda tells it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct Failure {
    /// `Sandbox.Timedout`, `Runtime.ExitError`, or what the program calls it.
    pub kind: String,
    /// What is wrong.
    pub message: String,
}

/// The environments of a function.
struct Pool {
    options: Options,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Environment>>,
    started: AtomicUsize,
}

impl Lambda {
    /// Listens for requests; processes are started when there are some.
    pub async fn start(options: Options) -> Result<Lambda, Failure> {
        let listening = tokio::net::TcpListener::bind(options.address).await;
        let listening = listening.and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (address, listener) = listening
            .map_err(|error| Failure::new("Front", format!("it cannot listen: {error}")))?;
        let pool = Arc::new(Pool {
            permits: Arc::new(Semaphore::new(options.concurrency)),
            idle: Mutex::default(),
            started: AtomicUsize::new(0),
            options,
        });
        let front = tokio::spawn(front::serve(Arc::clone(&pool), listener));
        Ok(Lambda { pool, address, front })
    }

    /// Where requests go, with the stage if the front has one, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}{}", self.address, self.pool.options.front.base())
    }

    /// Where the front listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Invokes the function with an event, and gives its answer, or why there is none.
    pub async fn invoke(&self, event: &Value) -> Result<Value, Failure> {
        let answer = Arc::clone(&self.pool).invoke(event.to_string().into()).await?;
        serde_json::from_slice(&answer)
            .map_err(|_unread| Failure::new("Runtime.InvalidResponse", "the answer is no JSON"))
    }

    /// How many processes were started.
    pub fn started(&self) -> usize {
        self.pool.started.load(Ordering::SeqCst)
    }

    /// The ids of the processes that wait for an invocation.
    pub fn idle(&self) -> Vec<u32> {
        let mut idle = self.pool.idle();
        let alive = idle.iter_mut().filter_map(|it| it.id().filter(|_| it.is_alive()));
        alive.collect()
    }

    /// Stops serving and kills the processes, as Lambda does with those that it no longer needs.
    pub async fn stop(self) {
        self.front.abort();
        // Those that have an invocation are awaited.
        let _all = self.pool.permits.acquire_many(self.pool.options.concurrency as u32).await;
        self.pool.idle().clear();
    }
}

impl Drop for Lambda {
    fn drop(&mut self) {
        self.front.abort();
        self.pool.idle().clear();
    }
}

impl Pool {
    fn idle(&self) -> MutexGuard<'_, Vec<Environment>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has an environment answer an event.
    ///
    /// It goes on when nobody waits for the answer any more, as on Lambda.
    async fn invoke(self: Arc<Self>, event: Bytes) -> Result<Bytes, Failure> {
        if event.len() > PAYLOAD {
            return Err(Failure::too_large("RequestTooLargeException", event.len()));
        }
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            return Err(Failure::new("TooManyRequestsException", "Rate Exceeded."));
        };
        let invoked = tokio::spawn(async move {
            let mut environment = self.environment().await?;
            let answer = environment.invoke(event, self.options.timeout).await;
            if environment.is_alive() {
                self.idle().push(environment);
            }
            drop(permit);
            answer
        });
        invoked.await.unwrap_or_else(|error| Err(Failure::new("Service", error.to_string())))
    }

    /// One that is free, else a new one.
    async fn environment(&self) -> Result<Environment, Failure> {
        while let Some(mut environment) = { self.idle().pop() } {
            if environment.is_alive() {
                return Ok(environment);
            }
        }
        self.started.fetch_add(1, Ordering::SeqCst);
        Environment::start(&self.options).await
    }
}

impl Failure {
    fn new(kind: impl Into<String>, message: impl Into<String>) -> Failure {
        Failure { kind: kind.into(), message: message.into() }
    }

    fn too_large(kind: &str, bytes: usize) -> Failure {
        Failure::new(kind, format!("{bytes} bytes are more than {PAYLOAD}, which is the most"))
    }

    /// As whoever invoked the function directly reads it.
    fn json(&self) -> Value {
        serde_json::json!({"errorMessage": self.message, "errorType": self.kind})
    }
}
