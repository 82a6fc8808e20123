//! Plain HTTP: a container, Knative, a laptop.

use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;

#[cfg(test)]
mod tests;

/// How long a client may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How many headers a request may have.
const MAX_HEADERS: usize = 100;

/// How large the head of a request may be, in bytes.
const MAX_HEAD: usize = 64 * 1024;

/// How long requests that have begun may take once the program is to end.
const DRAIN: Duration = Duration::from_secs(10);

/// Serves plain HTTP/1.1 on a listener.
pub async fn http(
    router: Router,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) {
    let mut server = Builder::new(TokioExecutor::new()).http1_only();
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD);
    let open = GracefulShutdown::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut shutdown => break,
        };
        let Ok((stream, _peer)) = accepted else {
            // Out of file descriptors, most likely: some will be closed.
            #[expect(clippy::disallowed_methods, reason = "there is no event to wait for")]
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let _slow_start_is_no_loss = stream.set_nodelay(true);
        let service = TowerToHyperService::new(router.clone());
        let connection = server.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = open.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN, open.shutdown()).await.is_err() {
        tracing::warn!("requests that were not answered in time are dropped");
    }
}
