//! The router with a cluster in memory: what senders are told, and what is made.

use std::sync::Arc;
use std::time::Duration;

use apiserver::{Fault, Options, Server, When};
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, Request};
use k8s_openapi::api::core::v1::{Pod, Secret, ServiceAccount};
use kube::Api;
use kube::api::{ListParams, PostParams};
use pipeline::script::Repository;
use runtime::cluster::Cluster;
use runtime::project::Project;
use runtime::settings::{Inline, Settings};
use runtime::signature;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::{App, Function, Tasks, Workers, router};

mod attacks;
mod cloudevents;
mod control;
mod crashes;
mod eventgrid;
mod generic;
mod github;
mod kubernetes;
mod recorded;
mod registry;
mod scripts;

/// The secret of every project here.
const SECRET: &str = "aye aye";

/// A cluster in memory, and the functions before it.
struct World {
    server: Server,
    app: App,
    router: Router,
}

/// What a sender is told.
#[derive(Debug)]
struct Told {
    code: u16,
    headers: HeaderMap,
    body: Value,
}

impl World {
    /// With the project `ocean/brig`.
    async fn new() -> World {
        World::with(calm()).await
    }

    /// Where every build is given to a worker pod.
    async fn without_scripts() -> World {
        World::with(Settings { inline: Inline::Never, ..calm() }).await
    }

    async fn with(settings: Settings) -> World {
        let server = Server::new(Options::default()).unwrap();
        let app = App {
            cluster: Cluster::new(server.client(), "default"),
            repository: Arc::new(Repository::Ignore),
            settings: Arc::new(settings),
            workers: Workers::Pods,
        };
        let world = World { server, router: router(app.clone(), Function::ALL), app };
        world.service_account("default").await;
        world.project("ocean/brig", json!({"sharedSecret": SECRET})).await;
        world
    }

    /// Creates the account that workers and jobs run as.
    async fn service_account(&self, namespace: &str) {
        let accounts = Api::<ServiceAccount>::namespaced(self.server.client(), namespace);
        let mut account = ServiceAccount::default();
        account.metadata.name = Some("brigade-worker".to_owned());
        accounts.create(&PostParams::default(), &account).await.unwrap();
    }

    /// Creates a project with these keys.
    async fn project(&self, name: &str, keys: Value) {
        let secret: Secret = serde_json::from_value(json!({
            "metadata": {
                "name": runtime::project::id_of(name),
                "namespace": "default",
                "annotations": {"projectName": name},
            },
            "type": "brigade.sh/project",
            "stringData": keys,
        }))
        .unwrap();
        self.app.cluster.put_project(&Project::from_secret(&secret).unwrap()).await.unwrap();
    }

    async fn send(&self, request: Request<Body>) -> Told {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let body = serde_json::from_slice(&body)
            .unwrap_or_else(|_text| json!(String::from_utf8_lossy(&body)));
        Told { code: parts.status.as_u16(), headers: parts.headers, body }
    }

    /// The ids of all builds, and whether each was accepted.
    async fn builds(&self) -> Vec<(String, bool)> {
        let builds = self.app.cluster.builds("default").await.unwrap();
        builds.into_iter().map(|build| (build.id.to_string(), build.accepted)).collect()
    }

    /// The names of all pods.
    async fn pods(&self) -> Vec<String> {
        let pods = Api::<Pod>::namespaced(self.server.client(), "default");
        let pods = pods.list(&ListParams::default()).await.unwrap();
        pods.items.into_iter().filter_map(|pod| pod.metadata.name).collect()
    }

    async fn is_untouched(&self) -> bool {
        self.builds().await.is_empty() && self.pods().await.is_empty()
    }

    /// From the call after `skip` others on, the cluster fails every call with this code.
    fn fail(&self, skip: u32, code: u16, when: When) {
        let (method, path) = (String::new(), String::new());
        let fault = Fault { method, path, skip, times: u32::MAX, code, when };
        self.server.faults().lay(fault);
    }
}

/// A GitHub delivery of these bytes, signed.
fn delivery(event: &str, body: impl Into<Bytes>) -> Request<Body> {
    let body = body.into();
    let signature = signature::sign_github(SECRET, &body);
    post("/events/github")
        .header("content-type", "application/json")
        .header("x-github-event", event)
        .header("x-hub-signature-256", signature)
        .body(body.into())
        .unwrap()
}

fn post(uri: &str) -> axum::http::request::Builder {
    Request::post(uri)
}

/// A push to `ocean/brig`.
fn push() -> String {
    json!({
        "ref": "refs/heads/main",
        "after": "2222222222222222222222222222222222222222",
        "head_commit": {"id": "2222222222222222222222222222222222222222"},
        "repository": {"full_name": "ocean/brig", "pushed_at": 1772359200},
    })
    .to_string()
}

/// A push to Azure's registry.
fn image_push() -> String {
    json!({
        "id": "0a7e4cf6",
        "timestamp": "2026-03-01T10:00:00Z",
        "action": "push",
        "target": {"digest": "sha256:8a2f", "repository": "team/app", "tag": "1.0"},
        "request": {"host": "ocean.azurecr.io"},
    })
    .to_string()
}

/// Settings whose requests have more time than any takes.
fn calm() -> Settings {
    Settings { request_budget: Duration::from_secs(60), ..Settings::default() }
}
