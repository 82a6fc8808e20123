//! A cluster in memory whose calls are counted and whose pods the test lets end.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use apiserver::Server;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use futures::TryStreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Secret};
use kube::api::{Api, ListParams, Patch, PatchParams, WatchEvent, WatchParams};
use pipeline::script::{Script, ScriptOrigin};
use pipeline::{Context, Limits, Options, Outcome, Output, PipelineError, Start};
use runtime::build::Build;
use runtime::cluster::{Cluster, Creation};
use runtime::event::Event;
use runtime::project::{Project, values};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tower::ServiceExt;

const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const PROJECT: &str = "
project: org/app
repository: github.com/org/app
cloneURL: https://github.com/org/app.git
sharedSecret: not-so-secret
vcsSidecar: git-sidecar:1
secrets:
  DOCKER_USER: captain
  DOCKER_PASS: correct-horse
";

pub(crate) struct World {
    pub(crate) server: Server,
    /// The calls that went through the pipeline's client: `POST pods`.
    pub(crate) calls: Arc<Mutex<Vec<String>>>,
    /// The logs of the jobs; a job without one has said its own name.
    pub(crate) logs: Arc<Mutex<HashMap<String, String>>>,
    /// Jobs whose logs are gone.
    pub(crate) logless: Arc<Mutex<BTreeSet<String>>>,
    lines: Mutex<Arc<Mutex<Vec<String>>>>,
    /// The calls, by their number, that are answered with an error of this code; and whether they
    /// are carried out.
    pub(crate) faults: Arc<Mutex<HashMap<usize, (u16, bool)>>>,
    hang: Arc<Mutex<Option<Hang>>>,
    hanging: Arc<Notify>,
}

/// After how many more calls every further one hangs, and whether that one is carried out.
#[derive(Clone, Copy)]
pub(crate) struct Hang {
    pub(crate) after: usize,
    pub(crate) carried_out: bool,
}

/// The usual limits, but for the time, which no script is to run out of.
fn usual() -> Limits {
    Limits { running: PATIENCE, ..Limits::default() }
}

impl World {
    pub(crate) fn new() -> World {
        World {
            server: Server::new(apiserver::Options::default()).unwrap(),
            calls: Arc::default(),
            logs: Arc::default(),
            logless: Arc::default(),
            lines: Mutex::default(),
            faults: Arc::default(),
            hang: Arc::default(),
            hanging: Arc::default(),
        }
    }

    /// A client that counts its calls.
    fn client(&self) -> kube::Client {
        let router = self.server.router();
        let (calls, logs) = (Arc::clone(&self.calls), Arc::clone(&self.logs));
        let (hang, hanging) = (Arc::clone(&self.hang), Arc::clone(&self.hanging));
        let (faults, logless) = (Arc::clone(&self.faults), Arc::clone(&self.logless));
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let request = request.map(Body::new);
            let (router, logs, logless) = (router.clone(), Arc::clone(&logs), Arc::clone(&logless));
            let path = request.uri().path().to_owned();
            let part = path.rsplit('/').next().unwrap_or_default().to_owned();
            let query = request.uri().query().unwrap_or_default();
            let watches = if query.contains("watch=true") { "watch " } else { "" };
            let number = calls.lock().unwrap().len();
            calls.lock().unwrap().push(format!("{watches}{} {part}", request.method()));
            let mut fault = faults.lock().unwrap().remove(&number);
            if let Some((code, carried_out)) = &mut fault
                && *code == 409
            {
                // Only what was to be made can exist already, and only if it was made.
                (*code, *carried_out) =
                    if request.method() == "POST" { (409, true) } else { (500, true) };
            }
            let fate = hang.lock().unwrap().as_mut().map(|hang| {
                let now = hang.after == 0;
                hang.after = hang.after.saturating_sub(1);
                (now, hang.carried_out)
            });
            let hanging = Arc::clone(&hanging);
            async move {
                if let Some((true, false)) = fate {
                    hanging.notify_one();
                    std::future::pending::<()>().await;
                }
                if let Some((code, false)) = fault {
                    return Ok(failure(code));
                }
                let response = answer(router, &logs, &logless, request).await;
                if let Some((true, true)) = fate {
                    hanging.notify_one();
                    std::future::pending::<()>().await;
                }
                Ok::<_, std::convert::Infallible>(match fault {
                    Some((code, _)) => failure(code),
                    None => response,
                })
            }
        });
        kube::Client::new(service, "default")
    }

    pub(crate) fn cluster(&self) -> Cluster {
        Cluster::new(self.client(), "default")
    }

    pub(crate) fn output(&self) -> Output {
        let lines = Arc::clone(&*self.lines.lock().unwrap());
        Arc::new(move |line| lines.lock().unwrap().push(line.text))
    }

    /// Forgets what was printed; what lives of builds that were dropped still print is not heard.
    pub(crate) fn forget(&self) {
        *self.lines.lock().unwrap() = Arc::default();
    }

    pub(crate) fn printed(&self) -> Vec<String> {
        let lines = self.lines.lock().unwrap();
        let printed = lines.lock().unwrap();
        printed.clone()
    }

    /// What the script itself printed.
    pub(crate) fn said(&self) -> Vec<String> {
        let others = ["[brigade", "    at ", "prestart: "];
        let own = |line: &String| !others.iter().any(|start| line.starts_with(start));
        self.printed().into_iter().filter(own).collect()
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }

    /// A build of this script, which is in the cluster.
    pub(crate) async fn build(&self, values: &str, event: Event, script: &str) -> Context {
        let (project, warnings) = values::read(values, "default").unwrap();
        assert_eq!(warnings, [""; 0]);
        self.build_of(project, event, script).await
    }

    pub(crate) async fn build_of(&self, project: Project, event: Event, script: &str) -> Context {
        let build = Build::new(&project, event, Timestamp::now());
        let cluster = Cluster::new(self.server.client(), "default");
        let (Creation::Made(build) | Creation::Exists(build)) =
            cluster.create_build(&build).await.unwrap();
        Context {
            cluster: self.cluster(),
            project,
            build,
            script: Script {
                text: script.to_owned(),
                name: "brigade.js".to_owned(),
                origin: ScriptOrigin::Event,
                ..Script::default()
            },
            options: Options { limits: usual(), ..Options::default() },
        }
    }

    pub(crate) async fn start(&self, context: &Context) -> Start {
        let start = pipeline::start(context, self.output());
        tokio::time::timeout(PATIENCE, start).await.unwrap().unwrap()
    }

    /// The build as its worker finds it, after a start.
    pub(crate) async fn accepted(&self, context: &Context, start: &Start) -> Context {
        context.cluster.accept(&context.build, &start.annotations()).await.unwrap();
        let build = context.cluster.build("default", context.build.id).await.unwrap().unwrap();
        Context { build, ..context.clone() }
    }

    /// Runs a build, while its pods end by the hands of `kubelet`.
    pub(crate) async fn run(
        &self,
        context: &Context,
        kubelet: impl Future<Output = ()>,
    ) -> Outcome {
        // On the heap: it is large where nothing is optimized, and so are the frames that poll it.
        let run = Box::pin(pipeline::run(context, self.output(), std::future::pending()));
        let kubelet = async {
            kubelet.await;
            std::future::pending::<()>().await;
        };
        let run = async {
            tokio::select! {
                outcome = run => outcome,
                () = kubelet => unreachable!("it waits for ever"),
            }
        };
        match tokio::time::timeout(PATIENCE, run).await {
            Ok(outcome) => outcome.unwrap(),
            Err(_) => panic!("the build does not end; it printed {:#?}", self.printed()),
        }
    }

    /// Runs a build until a call hangs; `None` then.
    pub(crate) async fn run_until(
        &self,
        context: &Context,
        hang: Hang,
    ) -> Option<Result<Outcome, PipelineError>> {
        self.until(pipeline::run(context, self.output(), std::future::pending()), hang).await
    }

    /// Lets something happen until a call hangs; `None` then.
    pub(crate) async fn until<T>(&self, action: impl Future<Output = T>, hang: Hang) -> Option<T> {
        *self.hang.lock().unwrap() = Some(hang);
        let ended = tokio::select! {
            biased;
            () = self.hanging.notified() => None,
            outcome = tokio::time::timeout(PATIENCE, action) => Some(outcome.unwrap()),
        };
        *self.hang.lock().unwrap() = None;
        ended
    }

    pub(crate) fn pods_api(&self) -> Api<Pod> {
        Api::default_namespaced(self.server.client())
    }

    /// The pods of jobs, in the order of their creation.
    pub(crate) async fn pods(&self) -> Vec<Pod> {
        let mut pods = self
            .pods_api()
            .list(&ListParams::default().labels("component=job"))
            .await
            .unwrap()
            .items;
        pods.sort_by_key(|pod| {
            pod.metadata.resource_version.as_ref().and_then(|at| at.parse::<u64>().ok())
        });
        pods
    }

    /// The names of the jobs that have pods.
    pub(crate) async fn jobs(&self) -> Vec<String> {
        self.pods().await.iter().map(job_of).collect()
    }

    pub(crate) async fn job_pod(&self, job: &str) -> Pod {
        let pods = self.pods().await;
        pods.into_iter().find(|pod| job_of(pod) == job).unwrap_or_else(|| panic!("no pod of {job}"))
    }

    pub(crate) async fn claims(&self) -> Vec<String> {
        let api: Api<PersistentVolumeClaim> = Api::default_namespaced(self.server.client());
        let claims = api.list(&ListParams::default()).await.unwrap().items;
        claims.into_iter().filter_map(|claim| claim.metadata.name).collect()
    }

    /// The Secret of a job.
    pub(crate) async fn secret(&self, job: &str) -> Secret {
        let api: Api<Secret> = Api::default_namespaced(self.server.client());
        let secrets =
            api.list(&ListParams::default().labels(&format!("jobname={job}"))).await.unwrap().items;
        secrets.into_iter().next().unwrap_or_else(|| panic!("no Secret of {job}"))
    }

    pub(crate) async fn key(&self, job: &str, key: &str) -> Option<String> {
        let data = self.secret(job).await.data.unwrap_or_default();
        data.get(key).map(|value| String::from_utf8(value.0.clone()).unwrap())
    }

    /// Waits until these jobs have pods that have not ended.
    pub(crate) async fn wait_for(&self, jobs: &[&str]) {
        let api = self.pods_api();
        let seen = async {
            let mut missing: Vec<&str> = jobs.to_vec();
            let watch = WatchParams::default().labels("component=job");
            let mut changes = Box::pin(api.watch(&watch, "0").await.unwrap());
            while !missing.is_empty() {
                match changes.try_next().await.unwrap() {
                    Some(WatchEvent::Added(pod) | WatchEvent::Modified(pod)) => {
                        missing.retain(|name| *name != job_of(&pod));
                    }
                    Some(_) => {}
                    None => panic!("the watch ended"),
                }
            }
        };
        if tokio::time::timeout(PATIENCE, seen).await.is_err() {
            panic!("no pods of {jobs:?}, only of {:?}; {:#?}", self.jobs().await, self.printed());
        }
    }

    /// Waits for a pod that is not one of these, and adds it to them.
    pub(crate) async fn wait_for_another(&self, seen: &mut BTreeSet<String>) -> String {
        let watch = WatchParams::default().labels("component=job");
        let mut changes = Box::pin(self.pods_api().watch(&watch, "0").await.unwrap());
        let another = async {
            while let Some(change) = changes.try_next().await.unwrap() {
                let (WatchEvent::Added(pod) | WatchEvent::Modified(pod)) = change else { continue };
                let name = pod.metadata.name.unwrap();
                if seen.insert(name.clone()) {
                    return name;
                }
            }
            panic!("the watch ended")
        };
        match tokio::time::timeout(PATIENCE, another).await {
            Ok(name) => name,
            Err(_) => panic!("there is no other pod than {seen:?}; {:#?}", self.printed()),
        }
    }

    /// Waits until this annotation is on the Secret of a job.
    pub(crate) async fn secret_with(&self, job: &str, annotation: &str) {
        self.annotated(&format!("component=job,jobname={job}"), annotation).await;
    }

    /// Waits until this annotation is on a build.
    pub(crate) async fn build_with(&self, context: &Context, annotation: &str) {
        self.annotated(&format!("component=build,build={}", context.build.id), annotation).await;
    }

    async fn annotated(&self, selector: &str, annotation: &str) {
        let api: Api<Secret> = Api::default_namespaced(self.server.client());
        let watch = WatchParams::default().labels(selector);
        let mut changes = Box::pin(api.watch(&watch, "0").await.unwrap());
        let seen = async {
            while let Some(change) = changes.try_next().await.unwrap() {
                let (WatchEvent::Added(secret) | WatchEvent::Modified(secret)) = change else {
                    continue;
                };
                let noted = secret.metadata.annotations.unwrap_or_default();
                if noted.contains_key(annotation) {
                    return;
                }
            }
        };
        if tokio::time::timeout(PATIENCE, seen).await.is_err() {
            panic!("{annotation} is not on {selector}; {:#?}", self.printed());
        }
    }

    /// Lets the pod of a job end.
    pub(crate) async fn end(&self, job: &str, exit_code: i32) {
        let (phase, reason) =
            if exit_code == 0 { ("Succeeded", "Completed") } else { ("Failed", "Error") };
        let now = Timestamp::now().to_string();
        let state = json!({ "terminated": {
            "exitCode": exit_code, "reason": reason, "startedAt": now, "finishedAt": now,
        }});
        self.report(job, json!({ "phase": phase, "containerStatuses": [container(state)] })).await;
    }

    pub(crate) async fn report(&self, job: &str, status: Value) {
        let name = self.job_pod(job).await.metadata.name.unwrap();
        self.report_pod(&name, status).await;
    }

    pub(crate) async fn report_pod(&self, name: &str, status: Value) {
        let patch = Patch::Merge(json!({ "status": status }));
        self.pods_api().patch_status(name, &PatchParams::default(), &patch).await.unwrap();
    }

    pub(crate) async fn delete(&self, job: &str) {
        let name = self.job_pod(job).await.metadata.name.unwrap();
        let at_once = kube::api::DeleteParams::default().grace_period(0);
        self.pods_api().delete(&name, &at_once).await.unwrap();
    }

    /// Ends every pod well, as soon as it is there.
    pub(crate) async fn end_all(&self) {
        self.end_all_but(&HashMap::new()).await;
    }

    /// Ends every pod as soon as it is there, with 0 unless said otherwise.
    pub(crate) async fn end_all_but(&self, codes: &HashMap<&str, i32>) {
        let watch = WatchParams::default().labels("component=job");
        let mut changes = Box::pin(self.pods_api().watch(&watch, "0").await.unwrap());
        while let Some(change) = changes.try_next().await.unwrap() {
            if let WatchEvent::Added(pod) = change {
                let ended = pod.status.as_ref().and_then(|status| status.phase.as_deref());
                if !matches!(ended, Some("Succeeded" | "Failed")) {
                    let job = job_of(&pod);
                    self.end(&job, codes.get(job.as_str()).copied().unwrap_or(0)).await;
                }
            }
        }
    }
}

/// What the cluster answers; logs are the test's.
pub(crate) async fn answer(
    router: Router,
    logs: &Mutex<HashMap<String, String>>,
    logless: &Mutex<BTreeSet<String>>,
    request: Request<Body>,
) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let Some(path) = path.strip_suffix("/log") else {
        return router.oneshot(request).await.unwrap();
    };
    let pod = path.rsplit('/').next().unwrap_or_default();
    if logless.lock().unwrap().contains(name_of(pod)) {
        return failure(404);
    }
    let own = logs.lock().unwrap().get(pod).cloned();
    let text = own.unwrap_or_else(|| format!("log of {}\n", name_of(pod)));
    Response::builder().status(StatusCode::OK).body(Body::from(text)).unwrap()
}

pub(crate) fn failure(code: u16) -> Response<Body> {
    let reason = match code {
        404 => "NotFound",
        409 => "AlreadyExists",
        _ => "InternalError",
    };
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "a fault of the test", "reason": reason, "code": code,
    });
    let answer = Response::builder().status(code).header("content-type", "application/json");
    answer.body(Body::from(status.to_string())).unwrap()
}

pub(crate) fn container(state: Value) -> Value {
    json!({
        "name": "brigaderun", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
        "state": state,
    })
}

pub(crate) fn event(kind: &str) -> Event {
    let mut event = Event::new("test", kind, "{\"n\":1}");
    event.revision.commit = "c0ffee".to_owned();
    event.revision.reference = "refs/heads/main".to_owned();
    event
}

fn job_of(pod: &Pod) -> String {
    pod.metadata.labels.as_ref().unwrap()["jobname"].clone()
}

fn name_of(pod: &str) -> &str {
    pod.rsplit_once('-').map_or(pod, |(name, _)| name)
}
