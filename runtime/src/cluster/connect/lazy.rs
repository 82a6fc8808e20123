//! The connection that is made when it is needed first, and proves on every request who asks.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::{AUTHORIZATION, DATE};
use http::{HeaderMap, Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use tokio::time::Instant;
use tower::BoxError;

use super::ConnectError;
use super::error::classify;
use super::once::{Once, Worth};
use super::token::Tokens;
use super::way::Way;

/// What no clock was compared with.
const UNKNOWN: i64 = i64::MIN;

/// How often what was made is given up, at most: anybody's request may be one that the cluster refuses,
/// and a cloud is not to be asked anew for each.
const SELDOM: Duration = Duration::from_secs(30);

/// A way to a cluster, and the connection once there is one.
pub(in crate::cluster) struct Connection {
    way: Way,
    made: Once<Arc<Made>>,
    skew: AtomicI64,
    /// When something that was made was given up.
    given_up: Mutex<Option<Instant>>,
}

/// A connection.
pub(super) struct Made {
    pub(super) client: Client,
    /// The address of the API server.
    pub(super) server: String,
    /// What proves who asks, where the client does not do so itself.
    pub(super) tokens: Option<Tokens>,
    /// Who asks, as far as is known here, and what to look at where that is refused.
    pub(super) identity: String,
    pub(super) mend: &'static str,
}

impl Connection {
    pub(super) fn new(way: Way) -> Arc<Connection> {
        let (skew, given_up) = (AtomicI64::new(UNKNOWN), Mutex::default());
        Arc::new(Connection { way, made: Once::default(), skew, given_up })
    }

    /// A client of Kubernetes over this connection, which is not made yet.
    pub(super) fn client(self: &Arc<Connection>) -> Client {
        let connection = self.clone();
        let service = tower::service_fn(move |request| {
            let connection = connection.clone();
            async move { connection.answer(request).await }
        });
        Client::new(service, "default")
    }

    /// The name of the way, as it is shown to people.
    pub(in crate::cluster) fn name(&self) -> String {
        self.way.name()
    }

    /// The address of the API server, if that is known.
    pub(in crate::cluster) async fn server(&self) -> Option<String> {
        self.made().await.ok().map(|made| made.server.clone())
    }

    /// The connection, made now if there is none.
    pub(super) async fn made(&self) -> Result<Arc<Made>, Arc<ConnectError>> {
        let way = self.way.clone();
        let make = async move || way.connect().await.map(Arc::new);
        self.made.get(|_made| Worth::Good, make).await
    }

    /// By how many seconds this machine's clock is ahead of the cluster's, if that is known.
    pub(in crate::cluster) fn skew(&self) -> Option<i64> {
        Some(self.skew.load(Ordering::Relaxed)).filter(|skew| *skew != UNKNOWN)
    }

    async fn answer(&self, mut request: Request<Body>) -> Result<Response<Body>, BoxError> {
        let made = self.made().await?;
        let Some(tokens) = &made.tokens else {
            let response = self.send(&made, request).await?;
            let is_anew = response.status() == StatusCode::UNAUTHORIZED && self.gives_up();
            return self.accepted(&made, response, is_anew);
        };
        let again = clone(&request);
        let token = tokens.get().await?;
        request.headers_mut().insert(AUTHORIZATION, token.header());
        let mut response = self.send(&made, request).await?;
        let is_anew = response.status() == StatusCode::UNAUTHORIZED && self.gives_up();
        if is_anew {
            // It may have ended before its time.
            tokens.forget(&token);
            if let Some(mut again) = again {
                again.headers_mut().insert(AUTHORIZATION, tokens.get().await?.header());
                response = self.send(&made, again).await?;
            }
        }
        self.accepted(&made, response, is_anew)
    }

    /// Whether something that was made is given up now, because it seems good for nothing.
    fn gives_up(&self) -> bool {
        let mut last = self.given_up.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let may = last.is_none_or(|last| now - last >= SELDOM);
        if may {
            *last = Some(now);
        }
        may
    }

    async fn send(
        &self,
        made: &Arc<Made>,
        request: Request<Body>,
    ) -> Result<Response<Body>, BoxError> {
        let sent = made.client.send(request).await;
        let response = sent.map_err(|error| match classify(&error, &made.server) {
            Some(known) => {
                // The cluster may have another address by now, or another authority.
                if self.gives_up() {
                    self.made.forget(|other| Arc::ptr_eq(other, made));
                }
                BoxError::from(Arc::new(known))
            }
            None => error.into(),
        })?;
        if let Some(skew) = skew(response.headers()) {
            self.skew.store(skew, Ordering::Relaxed);
        }
        Ok(response)
    }

    /// The response, unless it says that nobody knows who asks; the connection is then made anew, if
    /// that was not tried a moment ago.
    fn accepted(
        &self,
        made: &Arc<Made>,
        response: Response<Body>,
        is_anew: bool,
    ) -> Result<Response<Body>, BoxError> {
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        if is_anew {
            // A file may say something else by now.
            self.made.forget(|other| Arc::ptr_eq(other, made));
        }
        let skew = self.skew().filter(|skew| skew.abs() > 60);
        let error = match (skew, &made.tokens) {
            (Some(seconds), Some(_)) => ConnectError::Clock { who: made.server.clone(), seconds },
            _ => ConnectError::Unauthenticated {
                server: made.server.clone(),
                identity: made.identity.clone(),
                mend: made.mend,
            },
        };
        Err(Arc::new(error).into())
    }
}

/// The same request again, if it can be sent twice.
fn clone(request: &Request<Body>) -> Option<Request<Body>> {
    let mut again = Request::new(request.body().try_clone()?);
    *again.method_mut() = request.method().clone();
    *again.uri_mut() = request.uri().clone();
    *again.headers_mut() = request.headers().clone();
    *again.extensions_mut() = request.extensions().clone();
    Some(again)
}

/// By how many seconds this machine's clock is ahead of the one that wrote these headers.
pub(super) fn skew(headers: &HeaderMap) -> Option<i64> {
    let date = headers.get(DATE)?.to_str().ok()?;
    let date = jiff::fmt::rfc2822::parse(date).ok()?.timestamp();
    Some(jiff::Timestamp::now().as_second() - date.as_second())
}
