//! A cluster in memory that programs reach over TCP, and a client of theirs.

use std::net::SocketAddr;
use std::time::Duration;

use apiserver::{Options, Server};
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request};
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams};
use runtime::cluster::Cluster;
use runtime::project::{Project, id_of};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};

use crate::sources::{self, PROJECT, SECRET, Source};

/// Long for any machine, and short for whoever waits for a test that hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A cluster, and the folder with the kubeconfig that programs find it by.
pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) cluster: Cluster,
    folder: TempDir,
}

/// What a sender is told.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl World {
    /// With the accounts that pods run as, and no project.
    pub(crate) async fn new() -> World {
        let server = Server::new(Options::default()).unwrap();
        let cluster = Cluster::new(server.client(), "default");
        for account in ["brigade-worker", "brigantine-sweeper"] {
            cluster.create_service_account("default", account).await.unwrap();
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = server.clone();
        tokio::spawn(async move { serving.serve_plain(listener, std::future::pending()).await });
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("kubeconfig"), server.kubeconfig("test", &url)).unwrap();
        World { server, cluster, folder }
    }

    /// The variables of a program that is to find the cluster.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let kubeconfig = self.folder.path().join("kubeconfig").display().to_string();
        [
            ("KUBECONFIG", kubeconfig.as_str()),
            ("SCRIPT_FETCH_BUDGET", "0"),
            ("REQUEST_BUDGET", "60"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    /// Has the project that this source's deliveries are about, with a script of one job.
    pub(crate) async fn project(&self, source: &Source) {
        let script = format!(
            "const {{ events, Job }} = require('brigadier');
             events.on('{}', () => {{ new Job('only', 'alpine:3', ['true']).run(); }});",
            source.fires
        );
        let mut keys = sources::secrets(SECRET);
        keys["defaultScript"] = json!(script);
        let secret: Secret = serde_json::from_value(json!({
            "metadata": {
                "name": id_of(PROJECT),
                "namespace": "default",
                "annotations": {"projectName": PROJECT},
            },
            "type": "brigade.sh/project",
            "stringData": keys,
        }))
        .unwrap();
        self.cluster.put_project(&Project::from_secret(&secret).unwrap()).await.unwrap();
    }

    /// Has it no more.
    pub(crate) async fn without_project(&self) {
        let secrets: Api<Secret> = Api::namespaced(self.server.client(), "default");
        let _there_may_be_none = secrets.delete(&id_of(PROJECT), &DeleteParams::default()).await;
    }
}

impl Told {
    /// The body as JSON, if it is.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// Sends a request to an address, with what comes before its path, by HTTP/1.1 or HTTP/2.
pub(crate) async fn send(url: &str, request: Request<Body>, two: bool) -> Told {
    let sent = async {
        let (authority, base) = url
            .trim_start_matches("http://")
            .split_once('/')
            .unwrap_or((url.trim_start_matches("http://"), ""));
        let address: SocketAddr = authority.parse().unwrap();
        let (mut parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().unwrap().as_str();
        let base = if base.is_empty() { String::new() } else { format!("/{base}") };
        let path = format!("{base}{path}");
        // Its length is told, as every sender does.
        let body = body.collect().await.unwrap().to_bytes();
        parts.headers.insert("user-agent", "sender/1.0".parse().unwrap());
        let stream = TcpStream::connect(address).await.unwrap();
        let body = Body::from(body);
        let response = if two {
            parts.uri = format!("http://{address}{path}").parse().unwrap();
            let io = TokioIo::new(stream);
            let executor = TokioExecutor::new();
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(executor, io).await.unwrap();
            tokio::spawn(connection);
            sender.send_request(Request::from_parts(parts, body)).await.unwrap()
        } else {
            parts.uri = path.parse().unwrap();
            parts.headers.insert("host", authority.parse().unwrap());
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            sender.send_request(Request::from_parts(parts, body)).await.unwrap()
        };
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Told { status: parts.status.as_u16(), headers: parts.headers, body }
    };
    tokio::time::timeout(PATIENCE, sent).await.unwrap()
}
