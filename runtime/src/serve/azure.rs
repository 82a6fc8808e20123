//! Azure Functions: its host speaks to this program as its custom handler, on a port of this machine.
//!
//! - Requests of clients arrive as they were sent, below the route prefix (`/api`), where `host.json`
//!   has `enableProxyingHttpRequest` or `enableForwardingHttpRequest`; the prefix is taken away, so
//!   that the routes are those of every host
//! - Otherwise, and of every trigger but HTTP's, the host posts an *envelope* to `/<function>`, with
//!   the request or the message inside, and wants the answer in one, too
//! - `GET /` asks whether this program serves
//!
//! A client can write an envelope, too. In one with a request it could say nothing that it could not
//! say without; what only a trigger may do is done where a client's own request cannot have that path:
//! it has the prefix before it, or never arrives as it was sent. Where neither is so, or nothing can
//! be known of it, triggers are refused.
//!
//! <https://learn.microsoft.com/azure/azure-functions/functions-custom-handlers>

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::body::HttpBody;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::net::TcpListener;
use tower::ServiceExt;

use super::Invocation;
use super::plain::{self, Limits, Listener};
use crate::settings::AzureSettings;

use self::layout::Layout;

mod envelope;
mod layout;
mod trigger;

#[cfg(test)]
mod tests;

/// The host's name of an invocation.
const INVOCATION: HeaderName = HeaderName::from_static("x-azure-functions-invocationid");

/// What answers the host.
#[derive(Clone)]
struct Handler {
    router: Router,
    layout: Arc<Layout>,
}

/// Serves on the port that the host speaks to.
pub(super) async fn serve(
    router: Router,
    settings: &AzureSettings,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, settings.port));
    let listener = TcpListener::bind(address).await?;
    let handler = handler(router, settings);
    tracing::info!(server.address = %listener.local_addr()?, "serving Azure Functions");
    // The host opens connections that it uses later.
    let limits = Limits { head: plain::IDLE, ..Limits::default() };
    plain::run(handler, Listener::Tcp(listener), limits, shutdown).await;
    Ok(())
}

/// A router that takes what the host sends.
fn handler(router: Router, settings: &AzureSettings) -> Router {
    let layout = Arc::new(Layout::read(settings));
    Router::new().fallback(answer).with_state(Handler { router, layout })
}

async fn answer(State(handler): State<Handler>, mut request: Request) -> Response {
    if request.uri().path() == "/" && matches!(*request.method(), Method::GET | Method::HEAD) {
        return (StatusCode::OK, "OK").into_response();
    }
    if let Some(invocation) = invocation(request.headers()) {
        request.extensions_mut().insert(invocation);
    }
    let layout = &handler.layout;
    if let Some(uri) = layout.without_prefix(request.uri()) {
        *request.uri_mut() = uri;
    } else if request.method() == Method::POST
        && let Some(function) = layout.function(request.uri().path())
    {
        return envelope::answer(&handler, function, request).await;
    }
    if has_lost_its_body(&request) {
        return lost(request.uri());
    }
    pass(handler.router, request).await
}

async fn pass(router: Router, request: Request) -> Response {
    router.oneshot(request).await.unwrap_or_else(|never| match never {})
}

/// The host's name of an invocation. A client may have sent one, too, which comes first.
fn invocation(headers: &HeaderMap) -> Option<Invocation> {
    let id = headers.get_all(INVOCATION).iter().next_back()?.to_str().ok()?;
    let id = id.rsplit(',').next().unwrap_or_default().trim();
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let is_id = (1..=64).contains(&id.len()) && id.chars().all(fits);
    is_id.then(|| Invocation(id.to_owned()))
}

/// Whether the body of a request was signed and is not there: the host forwards none whose length is
/// not told beforehand.
fn has_lost_its_body(request: &Request) -> bool {
    let is_signed = request.headers().keys().any(|name| name.as_str().contains("signature"));
    is_signed
        && matches!(*request.method(), Method::POST | Method::PUT)
        && request.body().size_hint().exact() == Some(0)
}

fn lost(uri: &Uri) -> Response {
    // The path may have a token.
    let path = uri.path().split('/').take(3).collect::<Vec<_>>().join("/");
    tracing::warn!(
        url.path = path,
        "a signed request has no body: the host of Azure Functions forwards none that is sent in \
         pieces, unless host.json has enableProxyingHttpRequest"
    );
    let reason = "the body did not come through: it must be sent with a Content-Length, or the \
                  operator must set enableProxyingHttpRequest in host.json";
    let body = json!({"status": "length required", "reason": reason});
    (StatusCode::LENGTH_REQUIRED, Json(body)).into_response()
}
