//! A cluster that the charts are installed in, and the programs that run there with the tokens of
//! the installed service accounts.
//!
//! It is the embedded one, with roles enforced, where every call is noted by who made it; or, with
//! `CLUSTER=<context>`, any real one that the kubeconfig tells of.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use apiserver::kubelet::{self, Kubelet, Runtime, Simulate, SimulateOptions, SimulateRule};
use apiserver::logs::Logs;
use apiserver::streams::Streams;
use apiserver::{Options, Server};
use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{Namespace, Pod, ServiceAccount};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client, Config};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::Child;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// No step takes longer, however busy the machine is.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// A cluster with a namespace of its own.
pub(super) struct World {
    pub(super) admin: Client,
    pub(super) namespace: String,
    /// What other namespaces were made.
    others: Vec<String>,
    pub(super) seen: Seen,
    pub(super) folder: tempfile::TempDir,
    /// The cluster of the kubeconfigs of service accounts.
    cluster: Value,
    /// The kubeconfig of the admin, for helm and kubectl.
    admin_config: Value,
    node: Option<Node>,
    stop: CancellationToken,
}

/// The embedded cluster, before it has a node.
struct Node {
    server: Server,
    logs: Logs,
}

/// A right: what may be done with which resource.
pub(super) type Right = (String, String);

/// What service accounts did, as far as the cluster tells.
#[derive(Clone, Default)]
pub(super) struct Seen {
    tokens: Arc<Mutex<BTreeMap<String, String>>>,
    calls: Arc<Mutex<BTreeMap<String, BTreeSet<Right>>>>,
    refused: Arc<Mutex<Vec<String>>>,
    /// Told when something is refused.
    missed: Arc<Notify>,
    /// Told whenever somebody calls.
    called: Arc<Notify>,
}

impl Seen {
    /// What an account has done.
    pub(super) fn of(&self, account: &str) -> BTreeSet<Right> {
        self.calls.lock().unwrap().get(account).cloned().unwrap_or_default()
    }

    /// What accounts were refused.
    pub(super) fn refused(&self) -> Vec<String> {
        self.refused.lock().unwrap().clone()
    }
}

/// Notes who does what, and what they may not.
async fn note(State(seen): State<Seen>, request: Request, next: Next) -> Response {
    let header = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    let token = header.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    let account = seen.tokens.lock().unwrap().get(token).cloned();
    let right = right(request.method(), request.uri());
    let response = next.run(request).await;
    if let Some(account) = account {
        if response.status() == 403 {
            let (verb, resource) = &right;
            seen.refused.lock().unwrap().push(format!("{account} may not {verb} {resource}"));
            seen.missed.notify_one();
        }
        seen.calls.lock().unwrap().entry(account).or_default().insert(right);
        seen.called.notify_waiters();
    }
    response
}

/// The right that a request needs: its verb and its resource, with what is below that.
fn right(method: &Method, uri: &axum::http::Uri) -> Right {
    let parts: Vec<&str> = uri.path().trim_matches('/').split('/').collect();
    let ["api", "v1", "namespaces", _, resource, rest @ ..] = parts.as_slice() else {
        return (method.as_str().to_lowercase(), uri.path().to_owned());
    };
    let named = !rest.is_empty();
    let query = uri.query().unwrap_or_default();
    let watches = query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1"));
    let verb = match method.as_str() {
        "GET" if named => "get",
        "GET" if watches => "watch",
        "GET" => "list",
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" if named => "delete",
        "DELETE" => "deletecollection",
        other => other,
    };
    let resource = match rest {
        [_, below, ..] => format!("{resource}/{below}"),
        _ => (*resource).to_owned(),
    };
    (verb.to_owned(), resource)
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl World {
    /// The cluster that `CLUSTER` names, else the embedded one, with a new namespace.
    pub(super) async fn start() -> Result<World> {
        // Once for the process; a second time changes nothing.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        #[expect(clippy::disallowed_methods, reason = "it chooses the cluster of the tests")]
        let context = std::env::var("CLUSTER").ok().filter(|name| !name.is_empty());
        let world = match context {
            Some(context) => World::real(&context).await?,
            None => World::embedded().await?,
        };
        let namespaces = Api::<Namespace>::all(world.admin.clone());
        let namespace = json!({"metadata": {"name": world.namespace}});
        namespaces.create(&PostParams::default(), &serde_json::from_value(namespace)?).await?;
        Ok(world)
    }

    /// The embedded cluster: TLS for the admin's tools, and a front that notes what is called.
    async fn embedded() -> Result<World> {
        let folder = tempfile::tempdir()?;
        let logs = Logs::new(folder.path().join("logs"));
        let options = Options { logs: Some(logs.clone()), rbac: true, ..Options::default() };
        let server = Server::new(options)?;
        let stop = CancellationToken::new();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("https://{}", listener.local_addr()?);
        let admin_config = serde_json::from_str(&server.kubeconfig("test", &url))?;
        let (served, stopped) = (server.clone(), stop.clone());
        tokio::spawn(async move { served.serve(listener, stopped.cancelled_owned()).await });
        let seen = Seen::default();
        let front = server.router_for_strangers().layer(from_fn_with_state(seen.clone(), note));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let cluster = json!({"server": format!("http://{}", listener.local_addr()?)});
        let stopped = stop.clone();
        tokio::spawn(async move {
            axum::serve(listener, front).with_graceful_shutdown(stopped.cancelled_owned()).await
        });
        Ok(World {
            admin: server.client(),
            namespace: "ci".to_owned(),
            others: Vec::new(),
            seen,
            folder,
            cluster,
            admin_config,
            node: Some(Node { server, logs }),
            stop,
        })
    }

    async fn real(context: &str) -> Result<World> {
        let options =
            KubeConfigOptions { context: Some(context.to_owned()), ..KubeConfigOptions::default() };
        let config = Kubeconfig::read()?;
        let whole = serde_json::to_value(&config)?;
        let named = |list: &str, name: &str| {
            let all = whole[list].as_array().into_iter().flatten();
            all.clone().find(|each| each["name"] == name).cloned().unwrap_or_default()
        };
        let chosen = named("contexts", context);
        let cluster = named("clusters", chosen["context"]["cluster"].as_str().unwrap_or_default());
        let mut admin_config = whole.clone();
        admin_config["current-context"] = json!(context);
        let config = Config::from_custom_kubeconfig(config, &options).await?;
        Ok(World {
            admin: runtime::cluster::client(config)?,
            namespace: format!("brigantine-test-{}", std::process::id()),
            others: Vec::new(),
            seen: Seen::default(),
            folder: tempfile::tempdir()?,
            cluster: cluster["cluster"].clone(),
            admin_config,
            node: None,
            stop: CancellationToken::new(),
        })
    }

    /// Whether what is called is noted.
    pub(super) fn is_embedded(&self) -> bool {
        self.node.is_some()
    }

    /// Gives the embedded cluster a node, whose pods end at once, but for workers and sleepers.
    pub(super) fn add_node(&self) {
        let Some(Node { server, logs }) = &self.node else { return };
        let endless = |pod: &str| SimulateRule {
            pod: Some(pod.to_owned()),
            never_ends: true,
            ..SimulateRule::default()
        };
        let rules = ["brigade-worker-*", "sleeper-*", "ship-*"].map(endless).into();
        let options = kubelet::Options {
            node_name: "node".to_owned(),
            root: self.folder.path().join("pods"),
            streams: Streams::default(),
            logs: logs.clone(),
            runtime: Runtime::Simulate(Simulate::new(SimulateOptions { rules })),
            allow_host_paths: false,
            back_off: kubelet::BACK_OFF,
        };
        tokio::spawn(Kubelet::new(server.client(), options).run(self.stop.clone()));
    }

    /// Makes one more namespace.
    pub(super) async fn another(&mut self, name: &str) -> Result<String> {
        let name = format!("{}-{name}", self.namespace);
        let namespaces = Api::<Namespace>::all(self.admin.clone());
        let namespace = serde_json::from_value(json!({"metadata": {"name": name}}))?;
        namespaces.create(&PostParams::default(), &namespace).await?;
        self.others.push(name.clone());
        Ok(name)
    }

    /// Applies rendered manifests, as helm does.
    pub(super) async fn apply(&self, objects: &[Value]) -> Result<()> {
        for object in objects {
            let (group, version) = match object["apiVersion"].as_str().unwrap_or_default() {
                whole if whole.contains('/') => whole.split_once('/').unwrap_or_default(),
                version => ("", version),
            };
            let kind = object["kind"].as_str().unwrap_or_default();
            let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
            let namespace = object["metadata"]["namespace"].as_str().unwrap_or(&self.namespace);
            let api = Api::<DynamicObject>::namespaced_with(self.admin.clone(), namespace, &kind);
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            let how = PatchParams::apply("test").force();
            let done = api.patch(name, &how, &Patch::Apply(object)).await;
            done.with_context(|| format!("apply {} {name}", object["kind"]))?;
        }
        Ok(())
    }

    /// The admin's kubeconfig in a file.
    pub(super) fn admin_file(&self) -> Result<PathBuf> {
        let file = self.folder.path().join("admin");
        std::fs::write(&file, self.admin_config.to_string())?;
        Ok(file)
    }

    /// A kubeconfig with a token of a service account: of the namespace, or `<another>/<account>`.
    async fn kubeconfig(&self, account: &str) -> Result<PathBuf> {
        let (namespace, name) = account.split_once('/').unwrap_or((&self.namespace, account));
        let accounts = Api::<ServiceAccount>::namespaced(self.admin.clone(), namespace);
        let request = TokenRequest::default();
        let made = accounts.create_token_request(name, &PostParams::default(), &request).await;
        let status = made.with_context(|| format!("a token of {account}"))?.status;
        let token = status.and_then(|status| status.token).context("there is no token")?;
        self.seen.tokens.lock().unwrap().insert(token.clone(), account.to_owned());
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": self.cluster}],
            "users": [{"name": "test", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {
                "cluster": "test", "user": "test", "namespace": self.namespace,
            }}],
        });
        let file = self.folder.path().join(account.replace('/', "."));
        std::fs::write(&file, config.to_string())?;
        Ok(file)
    }

    /// A program of ours, as a service account, with these variables and no others.
    pub(super) async fn program(
        &self,
        account: &str,
        arguments: &[&str],
        variables: &[(String, String)],
    ) -> Result<tokio::process::Command> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_program"));
        command
            .args(arguments)
            .env_clear()
            .env("KUBECONFIG", self.kubeconfig(account).await?)
            .env("PACKAGE_CACHE", self.folder.path().join("packages"))
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut command = tokio::process::Command::from(command);
        command.kill_on_drop(true);
        Ok(command)
    }

    /// The variables of a container of an object of ours, as a node would set them.
    pub(super) fn variables(container: &Value) -> Vec<(String, String)> {
        let all = container["env"].as_array().into_iter().flatten();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        all.filter_map(|each| Some((text(&each["name"])?, text(&each["value"])?))).collect()
    }

    /// Waits until a condition holds of a pod.
    pub(super) async fn pod_until(
        &self,
        name: &str,
        holds: impl Fn(Option<&Pod>) -> bool,
    ) -> Result<()> {
        let pods = Api::<Pod>::namespaced(self.admin.clone(), &self.namespace);
        let waited = kube::runtime::wait::await_condition(pods, name, holds);
        tokio::time::timeout(PATIENCE, waited)
            .await
            .with_context(|| format!("wait for {name}"))??;
        Ok(())
    }

    /// Waits until an account does something, where that is noted.
    pub(super) async fn called(&self, account: &str, verb: &str, resource: &str) -> Result<()> {
        let wanted = (verb.to_owned(), resource.to_owned());
        let waited = async {
            while self.is_embedded() {
                let mut called = std::pin::pin!(self.seen.called.notified());
                called.as_mut().enable();
                if self.seen.of(account).contains(&wanted) {
                    break;
                }
                called.await;
            }
        };
        tokio::time::timeout(PATIENCE, waited)
            .await
            .with_context(|| format!("{account} does not {verb} {resource}"))
    }

    /// Goes on until something is refused, or has ended.
    pub(super) async fn missed(&self, play: impl Future<Output = Result<()>>) -> Result<()> {
        tokio::select! {
            biased;
            () = self.seen.missed.notified() => Ok(()),
            ended = play => ended,
        }
    }

    /// Ends what was made in a real cluster.
    pub(super) async fn end(self) -> Result<()> {
        if !self.is_embedded() {
            let namespaces = Api::<Namespace>::all(self.admin.clone());
            for name in self.others.iter().chain([&self.namespace]) {
                namespaces.delete(name, &DeleteParams::default()).await?;
            }
        }
        Ok(())
    }
}

/// The program `functions`, serving.
pub(super) struct Functions {
    address: String,
    _process: Child,
}

impl Functions {
    /// Starts the container of a Deployment as its service account.
    pub(super) async fn start(world: &World, deployment: &Value) -> Result<Functions> {
        let pod = &deployment["spec"]["template"]["spec"];
        let account = pod["serviceAccountName"].as_str().context("it has an account")?;
        let mut variables = World::variables(&pod["containers"][0]);
        variables.retain(|(name, _)| name != "PORT");
        for (name, value) in [("HOST", "127.0.0.1"), ("PORT", "0"), ("SCRIPT_FETCH_BUDGET", "0")] {
            variables.push((name.to_owned(), value.to_owned()));
        }
        let mut process = world.program(account, &["functions"], &variables).await?.spawn()?;
        let log = process.stderr.take().context("its log is piped")?;
        let mut lines = BufReader::new(log).lines();
        let mut said = String::new();
        let address = tokio::time::timeout(PATIENCE, async {
            while let Some(line) = lines.next_line().await? {
                if let Some(at) = line.find("127.0.0.1:") {
                    let rest = &line[at..];
                    let end = rest.find(|c: char| c != '.' && c != ':' && !c.is_ascii_digit());
                    return Ok(rest[..end.unwrap_or(rest.len())].to_owned());
                }
                said += &line;
            }
            bail!("it does not serve: {said}")
        });
        let address = address.await.context("it does not say where it serves")??;
        // Whoever logs must be read.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Functions { address, _process: process })
    }

    /// Posts a simple event, and says what was answered: it must be taken.
    pub(super) async fn deliver(&self, project: &str, token: &str, key: &str) -> Result<Value> {
        let url = format!("http://{}/simpleevents/v1/{project}/{token}", self.address);
        let request = reqwest::Client::new()
            .post(url)
            .header("content-type", "application/json")
            .header("idempotency-key", key)
            .body("{}");
        let response = request.send().await?;
        let status = response.status();
        let body: Value = response.json().await?;
        ensure!(status == 200, "{status}: {body}");
        Ok(body)
    }
}

#[test]
fn a_request_needs_the_right_that_its_verb_and_its_resource_are() {
    for (method, uri, verb, resource) in [
        ("GET", "/api/v1/namespaces/ci/pods/one", "get", "pods"),
        ("GET", "/api/v1/namespaces/ci/pods?labelSelector=a", "list", "pods"),
        ("GET", "/api/v1/namespaces/ci/secrets?a=b&watch=true", "watch", "secrets"),
        ("GET", "/api/v1/namespaces/ci/pods/one/log?follow=true", "get", "pods/log"),
        ("DELETE", "/api/v1/namespaces/ci/pods", "deletecollection", "pods"),
        ("GET", "/api/v1/nodes", "get", "/api/v1/nodes"),
    ] {
        let found = right(&method.parse().unwrap(), &uri.parse().unwrap());
        assert_eq!(found, (verb.to_owned(), resource.to_owned()), "{method} {uri}");
    }
}
