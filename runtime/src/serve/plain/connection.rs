//! One connection, from its first byte to its end.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};
use tower::ServiceExt;

use super::tls::{self, Tls};
use super::{HEAD_TIMEOUT, IDLE, MAX_HEAD, MAX_HEADERS, Stage};

/// How a client begins that speaks HTTP/2 without having asked for it.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How many requests a connection of HTTP/2 may have at once.
const MAX_STREAMS: u32 = 100;

/// How many streams a client may take back that were not looked at yet, before it is sent away.
const MAX_RESETS: usize = 20;

/// After how long a client of HTTP/2 is asked whether it is still there.
const PING: Duration = Duration::from_secs(20);

/// What can be read and written.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// What serves connections.
pub(super) struct Server {
    router: Router,
    head: Duration,
    http1: Builder<TokioExecutor>,
    http2: Builder<TokioExecutor>,
}

/// A stream, of which something was read already.
struct Begun {
    read: Vec<u8>,
    from: usize,
    stream: Box<dyn Stream>,
}

/// A connection of HTTP/1, on which a head that has begun must come to its end in time. hyper's own
/// timer does not tell such a one from a connection that waits for its next request.
struct Timed {
    stream: Box<dyn Stream>,
    activity: Arc<Activity>,
    head: Duration,
    /// How many requests came before the head that has begun, if one has.
    begun: Option<usize>,
    /// Until when that one is waited for.
    until: Pin<Box<Sleep>>,
}

/// The requests of a connection.
struct Activity(Mutex<Requests>);

#[derive(Clone, Copy)]
struct Requests {
    open: usize,
    /// How many there were.
    all: usize,
    /// When the last one began or ended.
    since: Instant,
}

/// A request that is open.
struct Open(Arc<Activity>);

impl Server {
    pub(super) fn new(router: Router, head: Duration) -> Server {
        let mut http1 = Builder::new(TokioExecutor::new()).http1_only();
        http1
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE)
            .max_headers(MAX_HEADERS)
            .max_buf_size(MAX_HEAD);
        let mut http2 = Builder::new(TokioExecutor::new()).http2_only();
        http2
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEAD as u32)
            .max_pending_accept_reset_streams(MAX_RESETS)
            .max_local_error_reset_streams(MAX_RESETS)
            .keep_alive_interval(PING)
            .keep_alive_timeout(HEAD_TIMEOUT);
        Server { router, head, http1, http2 }
    }
}

/// Serves a connection until it is closed, or the requests are answered that had begun when the
/// server was to end.
pub(super) async fn serve(
    server: Arc<Server>,
    stream: Box<dyn Stream>,
    tls: Option<Arc<Tls>>,
    mut stage: watch::Receiver<Stage>,
) {
    let begun = tokio::select! {
        begun = tokio::time::timeout(server.head, begin(stream, tls)) => begun,
        // Nobody has asked for anything.
        () = closing(&mut stage) => return,
    };
    let (stream, is_http2) = match begun {
        Ok(Ok(begun)) => begun,
        Ok(Err(error)) => return tracing::debug!(%error, "a connection could not begin"),
        Err(_elapsed) => return,
    };
    let activity = Arc::new(Activity::new());
    let stream: Box<dyn Stream> = match is_http2 {
        true => stream,
        false => Box::new(Timed::new(stream, &activity, server.head)),
    };
    let (router, ready, counted) = (server.router.clone(), stage.clone(), Arc::clone(&activity));
    let service = tower::service_fn(move |request: Request<Incoming>| {
        let open = counted.open();
        let is_draining = *ready.borrow() != Stage::Open && request.uri().path() == "/readyz";
        let router = router.clone();
        async move {
            let response = if is_draining {
                (StatusCode::SERVICE_UNAVAILABLE, "draining").into_response()
            } else {
                let answered = router.oneshot(request.map(Body::new)).await;
                answered.unwrap_or_else(|never| match never {})
            };
            drop(open);
            Ok::<Response, Infallible>(response)
        }
    });
    let builder = if is_http2 { &server.http2 } else { &server.http1 };
    let connection =
        builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut connection = std::pin::pin!(connection);
    let mut is_ending = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended early");
                }
                return;
            }
            () = closing(&mut stage), if !is_ending => {}
            () = activity.rested(), if !is_ending => {}
        }
        connection.as_mut().graceful_shutdown();
        is_ending = true;
    }
}

/// Ends when the server is to end.
async fn closing(stage: &mut watch::Receiver<Stage>) {
    // Nobody is left to say so where the server is gone.
    let _closing_or_gone = stage.wait_for(|stage| *stage == Stage::Closing).await;
}

/// Waits for what a client says first, and whether that is HTTP/2.
async fn begin(
    mut stream: Box<dyn Stream>,
    tls: Option<Arc<Tls>>,
) -> io::Result<(Box<dyn Stream>, bool)> {
    if let Some(tls) = tls {
        return tls::shake_hands(stream, &tls).await;
    }
    let mut read = vec![0; PREFACE.len()];
    let mut length = 0;
    while length < read.len() && read[..length] == PREFACE[..length] {
        match stream.read(&mut read[length..]).await? {
            0 => break,
            more => length += more,
        }
    }
    read.truncate(length);
    let is_http2 = read == PREFACE;
    Ok((Box::new(Begun { read, from: 0, stream }), is_http2))
}

impl Activity {
    fn new() -> Activity {
        Activity(Mutex::new(Requests { open: 0, all: 0, since: Instant::now() }))
    }

    fn now(&self) -> MutexGuard<'_, Requests> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(self: &Arc<Activity>) -> Open {
        let mut now = self.now();
        let Requests { open, all, .. } = *now;
        *now = Requests { open: open + 1, all: all + 1, since: Instant::now() };
        Open(Arc::clone(self))
    }

    /// Waits until there has been no request for so long as a connection may be idle.
    async fn rested(&self) {
        loop {
            let Requests { open, since, .. } = *self.now();
            let now = Instant::now();
            let since = if open > 0 { now } else { since };
            if now - since >= IDLE {
                return;
            }
            tokio::time::sleep_until(since + IDLE).await;
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut now = self.0.now();
        let Requests { open, all, .. } = *now;
        *now = Requests { open: open - 1, all, since: Instant::now() };
    }
}

impl Timed {
    /// The first head is waited for from now on.
    fn new(stream: Box<dyn Stream>, activity: &Arc<Activity>, head: Duration) -> Timed {
        let until = Box::pin(tokio::time::sleep_until(Instant::now() + head));
        Timed { stream, activity: Arc::clone(activity), head, begun: Some(0), until }
    }
}

impl AsyncRead for Timed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        let Requests { open, all, .. } = *this.activity.now();
        // What comes while a request is open is its body.
        if open > 0 {
            return read;
        }
        let has_begun = this.begun == Some(all);
        if read.is_pending() && has_begun && this.until.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if !has_begun && buffer.filled().len() > before {
            this.begun = Some(all);
            this.until.as_mut().reset(Instant::now() + this.head);
        }
        read
    }
}

impl AsyncRead for Begun {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let rest = &this.read[this.from..];
        if rest.is_empty() {
            return Pin::new(&mut this.stream).poll_read(context, buffer);
        }
        let length = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..length]);
        this.from += length;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Begun {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl AsyncWrite for Timed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
