//! A program that serves HTTP: a process, and the requests that it is sent.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, header};
use hyper_util::rt::TokioIo;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How often it is asked whether the program answers.
const POLL: Duration = Duration::from_millis(25);

/// A program that serves HTTP. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) address: SocketAddr,
    child: Mutex<Option<Child>>,
    log: Option<mpsc::UnboundedSender<String>>,
}

/// A port of this machine that nobody listens on.
pub(crate) async fn unused_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?.local_addr()?.port())
}

impl Process {
    /// Starts it, and waits until it answers `GET /` at this address, whatever it says.
    pub(crate) async fn start(
        command: &mut Command,
        address: SocketAddr,
        limit: Duration,
        log: Option<&mpsc::UnboundedSender<String>>,
    ) -> Result<Process, String> {
        let piped = || if log.is_some() { Stdio::piped() } else { Stdio::inherit() };
        let command = command.stdin(Stdio::null()).stdout(piped()).stderr(piped());
        let child = command.kill_on_drop(true).spawn();
        let mut child = child.map_err(|error| format!("the program cannot be started: {error}"))?;
        if let Some(log) = log {
            pass_on(child.stdout.take(), log);
            pass_on(child.stderr.take(), log);
        }
        let process = Process { address, child: Mutex::new(Some(child)), log: log.cloned() };
        process.ready(limit).await?;
        Ok(process)
    }

    async fn ready(&self, limit: Duration) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            let ping = Request::get("/").body(Body::empty()).unwrap_or_default();
            if self.send(ping).await.is_ok() {
                return Ok(());
            }
            if let Some(status) = self.ended() {
                return Err(format!("the program ended before it answered: {status}"));
            }
            if begun.elapsed() >= limit {
                return Err("the program does not answer GET / in time".to_owned());
            }
            tokio::time::sleep_until(Instant::now() + POLL).await;
        }
    }

    /// Sends a request on a connection of its own.
    pub(crate) async fn send(&self, mut request: Request<Body>) -> Result<Response<Body>, String> {
        let failed =
            |error: &dyn std::error::Error| format!("the program cannot be spoken to: {error}");
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
    pub(crate) fn say(&self, line: &str) {
        if let Some(log) = &self.log {
            let _nobody_listens = log.send(line.to_owned());
        }
    }

    pub(crate) fn process(&self) -> Option<u32> {
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        child.as_ref().and_then(Child::id)
    }

    pub(crate) async fn kill(&self) {
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut child) = child {
            let _ended_already = child.kill().await;
        }
    }

    /// Asks it to end, and waits so long until it has; then it is ended.
    pub(crate) async fn stop(&self, patience: Duration) {
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut child) = child else { return };
        let id = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(id) = id {
            let _ended_already = kill_process(id, Signal::TERM);
        }
        if tokio::time::timeout(patience, child.wait()).await.is_err() {
            let _ended_already = child.kill().await;
        }
    }

    fn ended(&self) -> Option<ExitStatus> {
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
