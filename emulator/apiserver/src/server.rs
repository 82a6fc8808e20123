//! The server: its options, and the ways to reach it.

use std::convert::Infallible;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use axum::body::Body;
use axum::{Extension, Router};
use http::Request;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::ServiceExt;

use crate::admission::Admission;
use crate::api::{self, Ending};
use crate::controllers;
use crate::faults::Faults;
use crate::logs::Logs;
use crate::resources::Catalogue;
use crate::store::Store;
use crate::verbs;

/// How a server is to behave.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the objects are kept across restarts; nothing keeps them in memory only.
    pub state: Option<PathBuf>,
    /// How many changes of each resource a watch can be resumed from.
    pub history: usize,
    /// Whether a claim for a volume is bound at once to a volume made for it.
    pub bind_volumes: bool,
    /// Whether pods are given to nodes.
    pub schedule: bool,
    /// Where the logs of containers are read from; a kubelet writes them.
    pub logs: Option<Logs>,
    /// Faults for tests; by default there are none.
    pub faults: Faults,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            state: None,
            history: 10_000,
            bind_volumes: true,
            schedule: true,
            logs: None,
            faults: Faults::default(),
        }
    }
}

/// Why a server could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state directory cannot be used.
    #[error("the state directory {path} cannot be used")]
    State {
        /// The directory.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
}

/// A Kubernetes API server in memory. Clones are the same server; it ends with the last of them.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
    _stop: Arc<DropGuard>,
}

/// What requests and controllers share.
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) admission: Admission,
    catalogue: RwLock<Arc<Catalogue>>,
    pub(crate) faults: Faults,
    pub(crate) logs: Option<Logs>,
    pub(crate) bind_volumes: bool,
    pub(crate) schedule: bool,
    /// Ends the controllers and the open watches.
    pub(crate) stop: CancellationToken,
}

impl Shared {
    /// The resources as they are now.
    pub(crate) fn catalogue(&self) -> Arc<Catalogue> {
        Arc::clone(&self.catalogue.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Server {
    /// Starts a server; its controllers run on the Tokio runtime of the caller.
    ///
    /// # Errors
    /// When the state directory cannot be used.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub fn new(options: Options) -> Result<Self, StartError> {
        let stop = CancellationToken::new();
        let store = match &options.state {
            None => Store::new(options.history),
            Some(path) => Store::open(path, options.history)
                .map_err(|source| StartError::State { path: path.clone(), source })?,
        };
        let admission = Admission::new(&store);
        let shared = Arc::new(Shared {
            store,
            admission,
            catalogue: RwLock::new(Arc::new(Catalogue::built_in())),
            faults: options.faults,
            logs: options.logs,
            bind_volumes: options.bind_volumes,
            schedule: options.schedule,
            stop: stop.clone(),
        });
        controllers::start(&shared);
        verbs::bootstrap(&shared);
        Ok(Server { shared, _stop: Arc::new(stop.drop_guard()) })
    }

    /// The API as a service: `kube::Client::new` takes it, see [`Server::client`].
    pub fn router(&self) -> Router {
        let server = self.clone();
        Router::new().fallback_service(tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(api::answer(&server.shared, request).await) }
        }))
    }

    /// A client in this process, without a socket. It must be made inside a Tokio runtime.
    pub fn client(&self) -> kube::Client {
        let service = self
            .router()
            .map_request(|request: Request<kube::client::Body>| request.map(Body::new));
        kube::Client::new(service, "default")
    }

    /// Serves plain HTTP until `shutdown` is ready; open watches are ended then.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let ended = CancellationToken::new();
        let router = self.router().layer(Extension(Ending(ended.clone())));
        let shutdown = async move {
            shutdown.await;
            ended.cancel();
        };
        axum::serve(listener, router).with_graceful_shutdown(shutdown).await
    }

    /// A kubeconfig for this server at a URL, for instance `http://127.0.0.1:6443`.
    pub fn kubeconfig(&self, url: &str) -> String {
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "embedded", "cluster": {"server": url}}],
            "contexts": [{
                "name": "embedded",
                "context": {"cluster": "embedded", "user": "embedded", "namespace": "default"},
            }],
            "current-context": "embedded",
            "users": [{"name": "embedded", "user": {}}],
        });
        format!("{config:#}\n")
    }

    /// The faults of this server, to lay more.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Forgets the history, so that watches from earlier versions are answered with 410.
    pub fn compact(&self) {
        self.shared.store.compact();
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Server").finish_non_exhaustive()
    }
}
