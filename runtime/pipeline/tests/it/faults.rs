//! A cluster that fails in every way, in any combination: five hundred seeds of it.
//!
//! Time is paused: what is waited for costs nothing. `BRIGANTINE_SEEDS=5000` tries more.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Request, Response};
use futures::StreamExt;
use pipeline::{Context, Outcome, PipelineError};
use runtime::build::Phase;
use runtime::cluster::Cluster;
use serde_json::json;
use tokio::sync::Notify;

use crate::world::{PROJECT, World, answer, event, failure};

const SEEDS: u64 = 500;

const SCRIPT: &str = "
const { events, Job, Group } = require('brigadier');
const job = (name) => new Job(name, 'alpine', [`echo ${name}`]);
events.on('push', async () => {
  const first = await job('first').run();
  const pause = new Promise((resolve) => setTimeout(resolve, 1));
  const both = await Group.runAll([job('left'), job(`right-${Date.now()}`)]);
  await pause;
  const last = job('last');
  await last.run();
  console.log([first, ...both, await last.logs()].map((log) => `${log}`.trim().slice(0, 11)).join(';'));
});
events.on('after', () => { job('tidy').run(); });
";

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Answered with an error of this code, carried out or not.
    Code { code: u16, carried_out: bool },
    /// Busy, for so many seconds.
    Busy,
    /// The connection ends, before or after it was carried out.
    Reset { carried_out: bool },
    /// The answer ends in the middle.
    Torn,
    /// There is no answer for ten seconds.
    Silence,
    /// Both: it was carried out, and nobody is told.
    Lost,
    /// A list as it was before.
    Stale,
    /// A watch is told that it is too old.
    Old,
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn fault(&mut self) -> Fault {
        let carried_out = self.below(2) == 0;
        match self.below(8) {
            0 => {
                let code = [409, 500, 502, 503, 504][usize::try_from(self.below(5)).unwrap()];
                Fault::Code { code, carried_out }
            }
            1 => Fault::Busy,
            2 => Fault::Reset { carried_out },
            3 => Fault::Torn,
            4 => Fault::Silence,
            5 => Fault::Lost,
            6 => Fault::Stale,
            _ => Fault::Old,
        }
    }
}

/// What the layer between the client and the server keeps.
struct Layer {
    random: Random,
    /// How many more requests may be spoilt.
    left: u64,
    /// One request in so many is.
    one_in: u64,
    /// The first list of pods.
    list: Option<Bytes>,
    /// After so many requests the worker dies.
    death: Option<u64>,
}

/// A cluster behind a layer of faults, and what is notified when the worker is to die.
fn faulty(world: &World, seed: u64, left: u64, deadly: bool) -> (Cluster, Arc<Notify>) {
    let mut random = Random(seed);
    let one_in = 2 + random.below(6);
    let death = deadly.then(|| random.below(40));
    let layer = Arc::new(Mutex::new(Layer { random, left, one_in, list: None, death }));
    let death = Arc::new(Notify::new());
    let (router, logs, logless) =
        (world.server.router(), Arc::clone(&world.logs), Arc::clone(&world.logless));
    let dies = Arc::clone(&death);
    let service = tower::service_fn(move |request: Request<kube::client::Body>| {
        let request = request.map(Body::new);
        let (router, logs, logless) = (router.clone(), Arc::clone(&logs), Arc::clone(&logless));
        let (layer, dies) = (Arc::clone(&layer), Arc::clone(&dies));
        async move {
            let fault = {
                let mut layer = layer.lock().unwrap();
                if let Some(death) = &mut layer.death {
                    *death = death.saturating_sub(1);
                    if *death == 0 {
                        dies.notify_one();
                    }
                }
                let one_in = layer.one_in;
                let spoilt = layer.left > 0 && layer.random.below(one_in) == 0;
                layer.left -= u64::from(spoilt);
                spoilt.then(|| layer.random.fault())
            };
            let path = request.uri().path().to_owned();
            let query = request.uri().query().unwrap_or_default().to_owned();
            let method = request.method().clone();
            let watches = query.contains("watch=true");
            let lists = method == "GET" && path.ends_with("/pods") && !watches;
            let ask = async { answer(router, &logs, &logless, request).await };
            let response = match fault {
                None => ask.await,
                Some(Fault::Busy) => busy(),
                // Only what was to be made can exist, and only if it was made.
                Some(Fault::Code { code: 409, .. }) if method == "POST" => {
                    ask.await;
                    failure(409)
                }
                Some(Fault::Code { code: 409, .. }) if method == "PATCH" => conflict(),
                Some(Fault::Code { code: 409, .. }) => failure(500),
                Some(Fault::Code { code, carried_out }) => {
                    if carried_out {
                        ask.await;
                    }
                    failure(code)
                }
                Some(Fault::Reset { carried_out }) => {
                    if carried_out {
                        ask.await;
                    }
                    return Err(io::Error::from(io::ErrorKind::ConnectionReset));
                }
                Some(Fault::Silence) => {
                    silence().await;
                    ask.await
                }
                Some(Fault::Lost) => {
                    ask.await;
                    silence().await;
                    std::future::pending().await
                }
                Some(Fault::Torn) => torn(ask.await),
                Some(Fault::Stale) if lists => match layer.lock().unwrap().list.clone() {
                    Some(list) => json_of(list),
                    None => failure(500),
                },
                Some(Fault::Old) if watches => old(),
                Some(Fault::Stale | Fault::Old) => ask.await,
            };
            if lists && fault.is_none() && layer.lock().unwrap().list.is_none() {
                let list = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
                layer.lock().unwrap().list = Some(list.clone());
                return Ok(json_of(list));
            }
            Ok(response)
        }
    });
    (Cluster::new(kube::Client::new(service, "default"), "default"), death)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the silence of the cluster is ten seconds of paused time"
)]
async fn silence() {
    tokio::time::sleep(Duration::from_secs(10)).await;
}

fn json_of(body: Bytes) -> Response<Body> {
    Response::builder().header("content-type", "application/json").body(Body::from(body)).unwrap()
}

fn busy() -> Response<Body> {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 429,
        "reason": "TooManyRequests", "message": "wait", "details": { "retryAfterSeconds": 2 },
    });
    let answer = Response::builder().status(429).header("content-type", "application/json");
    answer.header("retry-after", "2").body(Body::from(status.to_string())).unwrap()
}

fn conflict() -> Response<Body> {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 409,
        "reason": "Conflict", "message": "the object has been modified",
    });
    let answer = Response::builder().status(409).header("content-type", "application/json");
    answer.body(Body::from(status.to_string())).unwrap()
}

/// What a watch is told whose version is too old: in its stream.
fn old() -> Response<Body> {
    let status = json!({ "type": "ERROR", "object": {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 410,
        "reason": "Expired", "message": "too old resource version",
    }});
    json_of(format!("{status}\n").into())
}

/// The first part of an answer, and then an end that is none.
fn torn(response: Response<Body>) -> Response<Body> {
    let (parts, body) = response.into_parts();
    let first = body.into_data_stream().take(1).map(|part| {
        let part = part.unwrap_or_default();
        Ok::<_, io::Error>(part.slice(..part.len() / 2))
    });
    let end = futures::stream::iter([Err(io::Error::from(io::ErrorKind::ConnectionReset))]);
    Response::from_parts(parts, Body::from_stream(first.chain(end)))
}

async fn run(world: &World, context: &Context) -> Result<Outcome, PipelineError> {
    pipeline::run(context, world.output(), std::future::pending()).await
}

/// Ends every pod well; a watch is ended by the server after a time.
async fn kubelet(world: &World) -> Infallible {
    loop {
        world.end_all().await;
    }
}

async fn survive(seed: u64) {
    let world = World::new();
    let mut context = world.build(PROJECT, event("push"), SCRIPT).await;
    let mut random = Random(seed ^ 0xb716);
    let deadly = random.below(2) == 0;
    let (cluster, death) = faulty(&world, seed, 4 + random.below(12), deadly);
    let (sure, build) = (context.cluster.clone(), context.build.clone());
    context.cluster = cluster;
    let kubelet = kubelet(&world);
    let whole = async {
        if deadly {
            tokio::select! {
                biased;
                () = death.notified() => {}
                outcome = run(&world, &context) => return outcome,
            }
            world.forget();
            context.build = sure.build("default", build.id).await.unwrap().unwrap();
        }
        run(&world, &context).await
    };
    let outcome = tokio::select! {
        outcome = whole => outcome,
        never = kubelet => match never {},
    };
    let outcome = outcome.unwrap_or_else(|error| panic!("{seed}: {error:?}"));
    assert_eq!(outcome.phase, Phase::Succeeded, "{seed}: {:#?}", world.printed());
    let mut jobs = world.jobs().await;
    jobs.sort();
    assert_eq!(jobs.len(), 5, "{seed}: {jobs:?}");
    // A death after the last thing that was to do leaves nothing to print.
    let said = world.said();
    if !(deadly && said.is_empty()) {
        let expected = "log of firs;log of left;log of righ;log of last";
        assert_eq!(said, [expected], "{seed}: {:#?}", world.printed());
    }
}

/// A quarter of the seeds: the tests of one binary run side by side.
async fn survive_quarter(quarter: u64) {
    for seed in (quarter..seeds()).step_by(4) {
        survive(seed).await;
    }
}

#[tokio::test(start_paused = true)]
async fn faults_change_no_result_in_the_first_quarter_of_the_seeds() {
    survive_quarter(0).await;
}

#[tokio::test(start_paused = true)]
async fn faults_change_no_result_in_the_second_quarter_of_the_seeds() {
    survive_quarter(1).await;
}

#[tokio::test(start_paused = true)]
async fn faults_change_no_result_in_the_third_quarter_of_the_seeds() {
    survive_quarter(2).await;
}

#[tokio::test(start_paused = true)]
async fn faults_change_no_result_in_the_last_quarter_of_the_seeds() {
    survive_quarter(3).await;
}

#[expect(clippy::disallowed_methods, reason = "who runs the tests says how many seeds there are")]
fn seeds() -> u64 {
    std::env::var("BRIGANTINE_SEEDS").map_or(SEEDS, |number| number.parse().unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_stays_away_is_a_clean_end() {
    let world = World::new();
    let mut context = world.build(PROJECT, event("push"), SCRIPT).await;
    let away = tower::service_fn(|_request: Request<kube::client::Body>| async {
        Ok::<_, Infallible>(failure(503))
    });
    context.cluster = Cluster::new(kube::Client::new(away, "default"), "default");
    let error = run(&world, &context).await.unwrap_err();
    assert!(matches!(error, PipelineError::Cluster(_)), "{error:?}");
    // With the cluster back, the build goes on.
    context.cluster = world.cluster();
    let outcome = tokio::select! {
        outcome = run(&world, &context) => outcome.unwrap(),
        never = kubelet(&world) => match never {},
    };
    assert_eq!(outcome.phase, Phase::Succeeded);
}
