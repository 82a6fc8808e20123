//! The server: its options, and the ways to reach it.

mod listen;

use std::collections::HashSet;
use std::convert::Infallible;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use axum::Router;
use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Request;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::ServiceExt;

use self::listen::Security;
use crate::access::{Access, Caller, Certifier};
use crate::admission::Admission;
use crate::api;
use crate::controllers;
use crate::custom;
use crate::faults::Faults;
use crate::logs::Logs;
use crate::resources::Catalogue;
use crate::store::Store;
use crate::streams::Streams;
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
    /// The ways into running containers; a kubelet offers them.
    pub streams: Streams,
    /// Faults for tests; by default there are none.
    pub faults: Faults,
    /// Whether roles and bindings decide who may do what; otherwise whoever proves who they are may
    /// do everything. Strangers are refused either way, but for versions and health.
    pub rbac: bool,
    /// More names and addresses under which clients reach the server, for its certificate.
    pub names: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            state: None,
            history: 10_000,
            bind_volumes: true,
            schedule: true,
            logs: None,
            streams: Streams::default(),
            faults: Faults::default(),
            rbac: false,
            names: Vec::new(),
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
    /// The keys and certificates cannot be read or made.
    #[error("there are no credentials")]
    Credentials(#[source] std::io::Error),
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
    /// Definitions of custom resources are looked at one at a time.
    pub(crate) definitions: Mutex<()>,
    pub(crate) faults: Faults,
    pub(crate) logs: Option<Logs>,
    pub(crate) streams: Streams,
    pub(crate) bind_volumes: bool,
    pub(crate) schedule: bool,
    pub(crate) access: Access,
    /// Names for the serving certificate.
    names: Vec<String>,
    /// Ends the controllers and the open watches.
    pub(crate) stop: CancellationToken,
}

impl Shared {
    /// The resources as they are now.
    pub(crate) fn catalogue(&self) -> Arc<Catalogue> {
        Arc::clone(&self.catalogue.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts other resources in their place; watches of those that are gone or changed end.
    pub(crate) fn set_catalogue(&self, catalogue: Catalogue) {
        let mut present = self.catalogue.write().unwrap_or_else(PoisonError::into_inner);
        let kept: HashSet<u64> = catalogue.customs().map(|custom| custom.id).collect();
        let old = std::mem::replace(&mut *present, Arc::new(catalogue));
        drop(present);
        for custom in old.customs().filter(|custom| !kept.contains(&custom.id)) {
            custom.ended.cancel();
        }
    }
}

impl Server {
    /// Starts a server; its controllers run on the Tokio runtime of the caller.
    ///
    /// # Errors
    /// When the state directory or the credentials in it cannot be used.
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
        let access = Access::open(options.state.as_deref(), &store, options.rbac)
            .map_err(StartError::Credentials)?;
        let admission = Admission::new(&store);
        let shared = Arc::new(Shared {
            store,
            access,
            admission,
            names: options.names,
            catalogue: RwLock::new(Arc::new(Catalogue::built_in())),
            definitions: Mutex::new(()),
            faults: options.faults,
            logs: options.logs,
            streams: options.streams,
            bind_volumes: options.bind_volumes,
            schedule: options.schedule,
            stop: stop.clone(),
        });
        custom::load(&shared);
        controllers::start(&shared);
        verbs::bootstrap(&shared);
        Ok(Server { shared, _stop: Arc::new(stop.drop_guard()) })
    }

    /// The API as a service: `kube::Client::new` takes it, see [`Server::client`].
    /// Whoever asks is the admin, unless a request says otherwise.
    pub fn router(&self) -> Router {
        self.router_of(Caller::Admin)
    }

    /// The API as strangers find it on the network: only what a request proves counts.
    pub fn router_for_strangers(&self) -> Router {
        self.router_of(Caller::Stranger)
    }

    fn router_of(&self, caller: Caller) -> Router {
        let server = self.clone();
        Router::new().fallback_service(tower::service_fn(move |mut request: Request<Body>| {
            let (server, caller) = (server.clone(), caller.clone());
            async move {
                request.extensions_mut().insert(caller);
                Ok::<_, Infallible>(api::answer(&server.shared, request).await)
            }
        }))
    }

    /// A client in this process, without a socket. It must be made inside a Tokio runtime.
    pub fn client(&self) -> kube::Client {
        let service = self
            .router()
            .map_request(|request: Request<kube::client::Body>| request.map(Body::new));
        kube::Client::new(service, "default")
    }

    /// Serves over TLS until `shutdown` is ready; open watches are ended then.
    /// Clients find what they need in [`Server::kubeconfig`].
    ///
    /// # Errors
    /// When there is no certificate for the address of the listener.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let address = listener.local_addr()?.ip();
        let (acceptor, certifier) =
            Certifier::new(&self.shared.access.certificates, address, &self.shared.names)?;
        listen::serve(self, listener, Security::Tls(acceptor, certifier), shutdown).await
    }

    /// Serves plain HTTP until `shutdown` is ready. Whoever reaches the listener is the admin,
    /// unless a request says otherwise: it is for tests, and for networks of one machine.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve_plain(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        listen::serve(self, listener, Security::Plain, shutdown).await
    }

    /// A kubeconfig for this server at a URL, for instance `https://127.0.0.1:6443`; its cluster,
    /// user and context have the given name. It lets in: [`private::write`] writes it so that
    /// nobody else reads it.
    ///
    /// [`private::write`]: crate::private::write
    pub fn kubeconfig(&self, name: &str, url: &str) -> String {
        let certificates = &self.shared.access.certificates;
        let mut cluster = json!({"server": url});
        let mut user = json!({});
        // Over plain HTTP there is nothing to verify, and clients send no credentials.
        if url.starts_with("https:") {
            cluster["certificate-authority-data"] = json!(STANDARD.encode(&certificates.authority));
            user["client-certificate-data"] = json!(STANDARD.encode(&certificates.admin));
            user["client-key-data"] = json!(STANDARD.encode(&certificates.admin_key));
        }
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": cluster}],
            "contexts": [{
                "name": name,
                "context": {"cluster": name, "user": name, "namespace": "default"},
            }],
            "current-context": name,
            "users": [{"name": name, "user": user}],
        });
        format!("{config:#}\n")
    }

    /// A bearer token of the admin, for clients that show no certificates.
    pub fn admin_token(&self) -> &str {
        &self.shared.access.certificates.admin_token
    }

    /// The certificate of the authority that signed the server's, as PEM.
    pub fn authority(&self) -> &str {
        &self.shared.access.certificates.authority
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
