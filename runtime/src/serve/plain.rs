//! Plain HTTP: a container, Knative, Cloud Run, a laptop.
//!
//! - HTTP/1.1, and HTTP/2 where the client begins with its preface (h2c) or TLS has agreed on it
//! - `HOST` and `PORT`, or `UNIX_SOCKET`, or the socket that systemd hands over
//! - HTTPS with `TLS_CERT` and `TLS_KEY`
//! - asked to end, it answers `/readyz` by 503 for `DRAIN_DELAY`, then takes no more, and ends when
//!   everything is answered, or after nine seconds, since Cloud Run ends what takes ten
//!
//! <https://cloud.google.com/run/docs/container-contract>,
//! <https://github.com/knative/specs/blob/main/specs/serving/runtime-contract.md>

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::settings::PlainSettings;

use self::connection::{Server, Stream};
use self::tls::Tls;

mod connection;
mod socket;
mod systemd;
mod tls;

#[cfg(test)]
mod tests;

/// How long a client may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may be kept without a request. Proxies keep theirs for 60 to 90 seconds (load
/// balancers and nginx, those written in Go), and a request on one that is being closed is lost: so
/// they are to be the ones who close it.
pub(super) const IDLE: Duration = Duration::from_secs(180);

/// How many headers a request may have.
const MAX_HEADERS: usize = 100;

/// How large the head of a request may be, in bytes.
const MAX_HEAD: usize = 64 * 1024;

/// How long requests that have begun may take once the program is to end.
const DRAIN: Duration = Duration::from_secs(9);

/// How long to wait when the system has no more connections to give.
const PAUSE: Duration = Duration::from_millis(100);

/// What is waited for, and for how long.
pub(super) struct Limits {
    /// How long a client may take to say anything, and then to send the head of a request.
    pub(super) head: Duration,
    /// For how long requests are still taken once the program is to end.
    pub(super) drain_delay: Duration,
    pub(super) tls: Option<Arc<Tls>>,
}

/// Where connections come from.
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// What becomes of the server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// It serves.
    Open,
    /// It serves, and says that it is not ready.
    Draining,
    /// It answers what has begun.
    Closing,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { head: HEAD_TIMEOUT, drain_delay: Duration::ZERO, tls: None }
    }
}

/// Serves plain HTTP on a listener.
pub async fn http(
    router: Router,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) {
    run(router, Listener::Tcp(listener), Limits::default(), shutdown).await;
}

/// Serves as the settings say.
pub(super) async fn serve(
    router: Router,
    settings: &PlainSettings,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let tls = match (&settings.tls_cert, &settings.tls_key) {
        (Some(certificate), Some(key)) => Some(Arc::new(Tls::load(certificate, key)?)),
        _ => None,
    };
    let scheme = if tls.is_some() { "https" } else { "http" };
    let handed = if settings.listen_fds > 0 { systemd::listener()? } else { None };
    let (listener, _bound) = if let Some(listener) = handed {
        tracing::info!(server.scheme = scheme, "serving the socket that systemd has handed over");
        (listener, None)
    } else if let Some(path) = &settings.unix_socket {
        let (listener, bound) = socket::bind(path, settings.unix_socket_mode)?;
        tracing::info!(server.scheme = scheme, server.address = %path.display(), "serving a socket");
        (Listener::Unix(listener), Some(bound))
    } else {
        let listener = TcpListener::bind(settings.listen).await?;
        let address = listener.local_addr()?;
        tracing::info!(server.scheme = scheme, server.address = %address, "serving plain HTTP");
        (Listener::Tcp(listener), None)
    };
    let limits = Limits { drain_delay: settings.drain_delay, tls, ..Limits::default() };
    let socket = settings.notify_socket.clone();
    systemd::tell(socket.as_deref(), "READY=1");
    let shutdown = async move {
        shutdown.await;
        systemd::tell(socket.as_deref(), "STOPPING=1");
    };
    run(router, listener, limits, shutdown).await;
    Ok(())
}

/// Serves until `shutdown` ends, then until the requests that have begun are answered.
pub(super) async fn run(
    router: Router,
    listener: Listener,
    limits: Limits,
    shutdown: impl Future<Output = ()> + Send,
) {
    let (stage, _) = watch::channel(Stage::Open);
    let server = Arc::new(Server::new(router, limits.head));
    let mut until = std::pin::pin!(shutdown);
    accept(&listener, &server, &limits, &stage, until.as_mut()).await;
    if !limits.drain_delay.is_zero() {
        stage.send_replace(Stage::Draining);
        tracing::info!(
            seconds = limits.drain_delay.as_secs_f64(),
            "asked to end; not ready any more"
        );
        let until = tokio::time::sleep_until(Instant::now() + limits.drain_delay);
        accept(&listener, &server, &limits, &stage, until).await;
    }
    drop(listener);
    stage.send_replace(Stage::Closing);
    if tokio::time::timeout(DRAIN, stage.closed()).await.is_err() {
        tracing::warn!("requests that were not answered in time are dropped");
    }
}

async fn accept(
    listener: &Listener,
    server: &Arc<Server>,
    limits: &Limits,
    stage: &watch::Sender<Stage>,
    until: impl Future<Output = ()>,
) {
    let mut until = std::pin::pin!(until);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut until => return,
        };
        match accepted {
            Ok(stream) => {
                let (server, tls) = (Arc::clone(server), limits.tls.clone());
                tokio::spawn(connection::serve(server, stream, tls, stage.subscribe()));
            }
            Err(error) if is_of_one_connection(&error) => {}
            // Out of file descriptors, most likely: some will be closed.
            Err(_full) => tokio::select! {
                () = tokio::time::sleep_until(Instant::now() + PAUSE) => {}
                () = &mut until => return,
            },
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

impl Listener {
    async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, _peer) = listener.accept().await?;
                let _slow_start_is_no_loss = stream.set_nodelay(true);
                Ok(Box::new(stream))
            }
            Listener::Unix(listener) => Ok(Box::new(listener.accept().await?.0)),
        }
    }
}
