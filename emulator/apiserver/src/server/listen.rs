//! Accepts connections, over TLS or plain, and serves them until the listener is to end.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{HeaderMap, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::Server;
use crate::access::{Caller, Certifier};
use crate::api::{self, Ending};

/// How long a client may take for the handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long to wait when the system has no more connections to give.
const PAUSE: Duration = Duration::from_millis(100);

/// Who is at the other end, as far as the connection tells.
#[derive(Clone)]
pub(super) enum Security {
    /// Whoever reaches the listener is the admin.
    Plain,
    /// TLS; a certificate says who it is.
    Tls(TlsAcceptor, Arc<Certifier>),
}

/// Serves until `shutdown` is ready; open watches are ended then, other answers are finished.
pub(super) async fn serve(
    server: &Server,
    listener: TcpListener,
    security: Security,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let ended = CancellationToken::new();
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => accepted,
        };
        // Those that have ended are forgotten.
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => {
                let (server, security, ended) = (server.clone(), security.clone(), ended.clone());
                connections.spawn(async move { connected(server, stream, security, ended).await });
            }
            Err(error) if of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                let pause = Instant::now() + PAUSE;
                tokio::select! {
                    () = &mut shutdown => break,
                    () = sleep_until(pause) => {}
                }
            }
        }
    }
    drop(listener);
    ended.cancel();
    while connections.join_next().await.is_some() {}
    Ok(())
}

fn of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn connected(
    server: Server,
    stream: TcpStream,
    security: Security,
    ended: CancellationToken,
) {
    // Small answers are to leave at once; where that cannot be set they leave a little later.
    let _ = stream.set_nodelay(true);
    let (acceptor, certifier) = match security {
        Security::Plain => return talk(server, stream, Caller::Admin, ended).await,
        Security::Tls(acceptor, certifier) => (acceptor, certifier),
    };
    let stream = tokio::select! {
        () = ended.cancelled() => return,
        done = timeout(HANDSHAKE, handshake(&acceptor, stream)) => match done {
            Ok(Ok(stream)) => stream,
            // Nothing that a client sends is worth more than a line for those who look.
            Ok(Err(error)) => return tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => return tracing::debug!("a TLS handshake took too long"),
        },
    };
    let caller = certifier.caller(stream.get_ref().1.peer_certificates());
    talk(server, stream, caller, ended).await;
}

/// Makes a connection secure; one that speaks HTTP is told, as the real server tells it.
async fn handshake(
    acceptor: &TlsAcceptor,
    mut stream: TcpStream,
) -> io::Result<TlsStream<TcpStream>> {
    const PLAIN: &[u8] =
        b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
    let mut first = [0];
    stream.peek(&mut first).await?;
    if first[0].is_ascii_uppercase() {
        stream.write_all(PLAIN).await?;
        stream.shutdown().await?;
        // A connection that is closed before all was read loses the answer.
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
        return Err(io::Error::other("the client speaks plain HTTP"));
    }
    acceptor.accept(stream).await
}

async fn talk(
    server: Server,
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    caller: Caller,
    ended: CancellationToken,
) {
    exchange(server, TokioIo::new(stream), caller, ended).await;
}

async fn exchange(
    server: Server,
    stream: impl Read + Write + Unpin + Send + 'static,
    caller: Caller,
    ended: CancellationToken,
) {
    // A plain connection needs no credentials, so that any page of a browser could use it.
    let is_open = matches!(caller, Caller::Admin);
    let ending = Ending(ended.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        let (server, caller, ending) = (server.clone(), caller.clone(), ending.clone());
        async move {
            if is_open && is_from_a_page(request.headers(), &server.shared.names) {
                return Ok(no_pages());
            }
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(caller);
            request.extensions_mut().insert(ending);
            Ok::<_, Infallible>(api::answer(&server.shared, request).await)
        }
    });
    let connection = http1::Builder::new().serve_connection(stream, service).with_upgrades();
    let mut connection = pin!(connection);
    let mut ending = false;
    loop {
        tokio::select! {
            done = &mut connection => {
                if let Err(error) = done {
                    tracing::debug!(%error, "a connection broke");
                }
                return;
            }
            () = ended.cancelled(), if !ending => {
                ending = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// Whether a browser sends a request for a page of somebody else: it tells where the page is from,
/// or believes that this server has another name.
fn is_from_a_page(headers: &HeaderMap, names: &[String]) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let name = name.trim_matches(['[', ']']);
    let is_here = name.is_empty()
        || name == "localhost"
        || name.parse::<IpAddr>().is_ok()
        || names.iter().any(|one| one == name);
    headers.contains_key(header::ORIGIN) || !is_here
}

fn no_pages() -> Response<Body> {
    let mut response = Response::new(Body::from("pages of browsers are not served here\n"));
    *response.status_mut() = StatusCode::FORBIDDEN;
    response
}
