//! The custom handler: a process, and the requests that it is sent.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Failure, Options};

/// How often it is asked whether the program answers.
const POLL: Duration = Duration::from_millis(25);

/// The custom handler.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) address: SocketAddr,
    child: Mutex<Option<Child>>,
    log: Option<mpsc::UnboundedSender<String>>,
}

impl Program {
    /// Starts it, and waits until it answers `GET /`, whatever it says.
    pub(super) async fn start(options: &Options) -> Result<Program, Failure> {
        let failed = |error: io::Error| {
            Failure(format!("{} cannot be started: {error}", options.program.display()))
        };
        let port = {
            let unused = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed)?;
            unused.local_addr().map_err(failed)?.port()
        };
        let id = uuid::Uuid::new_v4().to_string();
        let port_text = port.to_string();
        let folder = std::path::absolute(&options.folder).map_err(failed)?;
        let piped = || if options.log.is_some() { Stdio::piped() } else { Stdio::inherit() };
        let mut child = Command::new(&options.program)
            .args(&options.arguments)
            .env_clear()
            .env("FUNCTIONS_WORKER_RUNTIME", "custom")
            .envs(options.environment.iter().map(|(name, value)| (name, value)))
            .env("FUNCTIONS_HTTPWORKER_PORT", &port_text)
            .env("FUNCTIONS_HTTPWORKER_ID", &id)
            .env("FUNCTIONS_CUSTOMHANDLER_PORT", &port_text)
            .env("FUNCTIONS_CUSTOMHANDLER_WORKER_ID", &id)
            .env("FUNCTIONS_APP_ROOT_PATH", &folder)
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(piped())
            .stderr(piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        if let Some(log) = &options.log {
            pass_on(child.stdout.take(), log);
            pass_on(child.stderr.take(), log);
        }
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let program = Program { address, child: Mutex::new(Some(child)), log: options.log.clone() };
        program.ready(options.init_timeout).await?;
        Ok(program)
    }

    async fn ready(&self, limit: Duration) -> Result<(), Failure> {
        let begun = Instant::now();
        loop {
            let ping = Request::get("/").body(Body::empty()).unwrap_or_default();
            if self.send(ping).await.is_ok() {
                return Ok(());
            }
            if let Some(status) = self.ended() {
                return Err(Failure(format!("the program ended before it answered: {status}")));
            }
            if begun.elapsed() >= limit {
                return Err(Failure("the program does not answer GET / in time".to_owned()));
            }
            tokio::time::sleep_until(Instant::now() + POLL).await;
        }
    }

    /// Sends a request on a connection of its own.
    pub(super) async fn send(&self, mut request: Request<Body>) -> Result<Response<Body>, Failure> {
        let failed = |error: &dyn std::error::Error| {
            Failure(format!("the program cannot be spoken to: {error}"))
        };
        if !request.headers().contains_key(header::HOST)
            && let Ok(host) = HeaderValue::try_from(self.address.to_string())
        {
            request.headers_mut().insert(header::HOST, host);
        }
        let stream = TcpStream::connect(self.address).await.map_err(|error| failed(&error))?;
        let _slow_start_is_no_loss = stream.set_nodelay(true);
        let connected = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = connected.map_err(|error| failed(&error))?;
        tokio::spawn(connection);
        let response = sender.send_request(request).await.map_err(|error| failed(&error))?;
        Ok(response.map(Body::new))
    }

    /// Writes a line to the log, as the host writes those that an answer brings.
    pub(super) fn say(&self, line: &str) {
        if let Some(log) = &self.log {
            let _nobody_listens = log.send(line.to_owned());
        }
    }

    pub(super) fn process(&self) -> Option<u32> {
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        child.as_ref().and_then(Child::id)
    }

    pub(super) async fn kill(&self) {
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut child) = child {
            let _ended_already = child.kill().await;
        }
    }

    fn ended(&self) -> Option<std::process::ExitStatus> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        child.as_mut()?.try_wait().ok().flatten()
    }
}

/// Passes the lines of a stream on to the log.
fn pass_on(
    stream: Option<impl AsyncRead + Send + Unpin + 'static>,
    log: &mpsc::UnboundedSender<String>,
) {
    let (Some(stream), log) = (stream, log.clone()) else { return };
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if log.send(line).is_err() {
                return;
            }
        }
    });
}
