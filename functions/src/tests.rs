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

use crate::host::Meaning;
use crate::rejection::Rejection;
use crate::sources::{self, PROJECT, SECRET, Sample, Source, WRONG};
use crate::{App, Function, Tasks, Workers, router};

mod attacks;
mod cloudevents;
mod control;
mod crashes;
mod cron;
mod eventgrid;
mod explained;
mod generic;
mod github;
mod health;
mod hook;
mod hosts;
mod kubernetes;
mod logged;
mod notified;
mod notify;
mod once;
mod recorded;
mod registry;
mod scripts;
mod serving;
mod swept;
mod traced;

/// A cluster in memory, and the functions before it.
struct World {
    server: Server,
    app: App,
    router: Router,
    /// The job of each build.
    job: &'static str,
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
        let world = World { server, router: router(app.clone(), Function::ALL), app, job: "only" };
        world.service_account("default").await;
        world.project(PROJECT, json!({"sharedSecret": SECRET})).await;
        world
    }

    /// Where every delivery of the source starts a script that makes one job, `only`, and ends.
    async fn of(source: &Source) -> World {
        let world = World { job: source.job, ..World::new().await };
        let script = format!(
            "const {{ events, Job }} = require('brigadier');
             events.on('{}', () => {{ new Job('only', 'alpine:3', ['true']).run(); }});",
            source.fires
        );
        let mut keys = sources::secrets(SECRET);
        keys["defaultScript"] = json!(script);
        world.project(PROJECT, keys).await;
        world
    }

    /// Where one build of the source's project runs at a time, in a worker.
    async fn limited() -> World {
        let world = World::with(Settings { inline: Inline::Never, ..calm() }).await;
        let secret: Secret = serde_json::from_value(json!({
            "metadata": {
                "name": runtime::project::id_of(PROJECT),
                "namespace": "default",
                "annotations": {"projectName": PROJECT, "brigantine.dev/max-builds": "1"},
            },
            "type": "brigade.sh/project",
            "stringData": sources::secrets(SECRET),
        }))
        .unwrap();
        world.app.cluster.put_project(&Project::from_secret(&secret).unwrap()).await.unwrap();
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
        told(self.router.clone(), request).await
    }

    /// The ids of all builds, and whether each was accepted.
    async fn builds(&self) -> Vec<(String, bool)> {
        let builds = self.app.cluster.builds("default").await.unwrap();
        builds.into_iter().map(|build| (build.id.to_string(), build.accepted)).collect()
    }

    /// Checks that there are so many builds, that each was started, and that each has its one job.
    async fn has_once(&self, builds: usize, moment: &str) {
        let found = self.builds().await;
        assert_eq!(found.len(), builds, "{moment}: {found:?}");
        let mut expected = Vec::new();
        for (id, accepted) in found {
            assert!(accepted, "{moment}: {id} was not started");
            expected.push(format!("{}-{id}", self.job));
        }
        let mut pods = self.pods().await;
        expected.sort();
        pods.sort();
        assert_eq!(pods, expected, "{moment}");
    }

    /// The names of all pods.
    async fn pods(&self) -> Vec<String> {
        let pods = Api::<Pod>::namespaced(self.server.client(), "default");
        let pods = pods.list(&ListParams::default()).await.unwrap();
        pods.items.into_iter().filter_map(|pod| pod.metadata.name).collect()
    }

    /// The Secrets of the namespace.
    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.server.client(), "default")
    }

    async fn is_untouched(&self) -> bool {
        self.builds().await.is_empty() && self.pods().await.is_empty()
    }

    /// From the call after `skip` others on, the cluster fails every call with this code.
    fn fail(&self, skip: u32, code: u16, when: When) {
        self.fail_times(skip, u32::MAX, code, when);
    }

    /// The cluster fails the call after `skip` others with this code, and none after that.
    fn fail_once(&self, skip: u32, code: u16, when: When) {
        self.fail_times(skip, 1, code, when);
    }

    /// The process dies before or after the call that follows `skip` others: no call is carried out
    /// from then on.
    fn crash(&self, skip: u32, when: When) {
        if when == When::After {
            self.fail_once(skip, 403, when);
            self.fail(0, 403, When::Before);
        } else {
            self.fail(skip, 403, when);
        }
    }

    fn fail_times(&self, skip: u32, times: u32, code: u16, when: When) {
        let (method, path) = (String::new(), String::new());
        self.server.faults().lay(Fault { method, path, skip, times, code, when });
    }
}

impl Told {
    /// The ids of the builds that the answer names.
    fn builds(&self) -> Vec<String> {
        fn find(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(members) => {
                    for (name, value) in members {
                        match value {
                            Value::String(id) if name == "build" => found.push(id.clone()),
                            value => find(value, found),
                        }
                    }
                }
                Value::Array(values) => values.iter().for_each(|value| find(value, found)),
                _ => {}
            }
        }
        let mut found = Vec::new();
        find(&self.body, &mut found);
        found.sort();
        found
    }
}

/// A push to GitHub, where one kind of delivery is as good as another.
fn first_source() -> &'static Source {
    sources::all().next().unwrap()
}

/// What is told to the sender of a request.
async fn told(router: Router, request: Request<Body>) -> Told {
    let response = router.oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let body =
        serde_json::from_slice(&body).unwrap_or_else(|_text| json!(String::from_utf8_lossy(&body)));
    Told { code: parts.status.as_u16(), headers: parts.headers, body }
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

/// What a git host's delivery means, a line for each thing that a script, a list or a filter sees.
pub(crate) fn shown(meaning: Result<Meaning, Rejection>) -> String {
    let candidates = match meaning {
        Ok(Meaning::Events(candidates)) => candidates,
        Ok(Meaning::Rare(event)) => return format!("rare: {}", event.kind),
        Ok(Meaning::Skipped { status, reason }) => return format!("skipped: {status}: {reason}"),
        Ok(Meaning::Ignored { reason }) => return format!("ignored: {reason}"),
        Err(Rejection::Malformed { reason, .. }) => return format!("malformed: {reason}"),
        Err(other) => return format!("{other:?}"),
    };
    let mut texts = Vec::new();
    for (event, seen) in candidates {
        let mut text = event.kind;
        for (name, value) in [
            ("action", event.action.unwrap_or_default()),
            ("commit", event.revision.commit),
            ("ref", event.revision.reference),
            ("short", event.short_title),
            ("long", event.long_title),
            ("time", event.time.map(|time| time.to_string()).unwrap_or_default()),
            ("branches", seen.branches.join(" ")),
            ("tag", seen.tag.unwrap_or_default()),
            ("paths", seen.paths.unwrap_or_default().join(" ")),
        ] {
            if !value.is_empty() {
                text += &format!("\n{name} {value}");
            }
        }
        texts.push(text);
    }
    texts.join("\n\n")
}

/// Settings whose requests have more time than any takes.
fn calm() -> Settings {
    let budget = Duration::from_secs(60);
    Settings { request_budget: budget, slack_budget: budget, ..Settings::default() }
}
