//! Workers that are killed with SIGKILL at random moments, and started again.
//!
//! `BRIGANTINE_KILLS=2000 cargo test -p worker kills` kills more of them.

use std::collections::{BTreeMap, HashMap};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use apiserver::kubelet::{self, Kubelet, Runtime, Simulate, SimulateOptions, SimulateRule};
use apiserver::logs::Logs;
use apiserver::streams::Streams;
use apiserver::{Options, Server};
use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, PostParams, WatchEvent, WatchParams};
use runtime::build::{Build, Phase};
use runtime::cluster::{Cluster, Creation};
use runtime::event::Event;
use runtime::project::{Project, values};
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Twelve jobs in four steps. What they are called hangs on everything that a replay could get
/// wrong: the clock, chance, the order of ends, timers, logs.
const SCRIPT: &str = "
    const { events, Job, Group } = require('brigadier');
    const { randomUUID } = require('crypto');
    const order = [];
    const job = (step, letter, mark) =>
      new Job(`s${step}${letter}-${mark}`.toLowerCase().slice(0, 30), 'alpine', ['true']);
    const all = [];
    async function step(number, mark) {
      const running = ['a', 'b', 'c'].map((letter) => {
        const run = job(number, letter, mark()).run();
        run.then((result) => {
          all.push(result.data.trim());
          order.push(letter);
        });
        return run;
      });
      const timer = new Promise((resolve) => setTimeout(() => resolve('timer'), 5));
      const first = await Promise.race([...running, timer]);
      await Promise.all(running);
      return first === 'timer' ? 'timer' : 'job';
    }
    events.on('exec', async () => {
      const first = await step(1, () => randomUUID().slice(0, 8));
      const second = await step(2, () => `${first}-${Date.now()}`);
      const third = await step(3, () => `${second}-${order.join('')}`);
      await step(4, () => `${third}-${Math.random().toString(36).slice(2, 6)}`);
      console.log('results', all.length, new Set(all).size, order.length);
    });";

const KILLS: usize = 200;

/// How long a build may take with all of its kills; much longer than it does.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_killed_runs_every_job_once() {
    let world = World::new().await;
    let whole = Instant::now();
    let (_, lives) = world.build(&mut Random(1), None).await;
    assert_eq!(lives, 1);
    let longest = whole.elapsed();
    let (mut kills, mut builds) = (0, 0);
    while kills < wanted() {
        // Several builds at once, each killed several times.
        let some = (0..3).map(|number| {
            let (mut random, world) = (Random(kills as u64 * 31 + number + 7), &world);
            async move { world.build(&mut random, Some(longest)).await }
        });
        for (names, lives) in futures::future::join_all(some).await {
            world.check(&names);
            kills += lives - 1;
            builds += 1;
        }
    }
    println!("{kills} kills of the workers of {builds} builds; one unkilled took {longest:?}");
}

#[expect(clippy::disallowed_methods, reason = "who runs the tests says how many kills there are")]
fn wanted() -> usize {
    std::env::var("BRIGANTINE_KILLS").map_or(KILLS, |number| number.parse().unwrap())
}

struct Random(u64);

impl Random {
    /// A number below `limit`, the next of xorshift's.
    fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

struct World {
    cluster: Cluster,
    project: Project,
    folder: TempDir,
    /// The pods of jobs in the order in which they were added, by their builds.
    added: watch::Receiver<HashMap<String, Vec<String>>>,
    pods: Api<Pod>,
    _running: DropGuard,
}

impl World {
    async fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::new(Options::default()).unwrap();
        let running = CancellationToken::new();
        let rules = ["a", "b", "c"].into_iter().zip([7, 1, 12]).map(|(letter, milliseconds)| {
            SimulateRule {
                pod: Some(format!("s?{letter}-*")),
                duration: Duration::from_millis(milliseconds),
                ..SimulateRule::default()
            }
        });
        let options = kubelet::Options {
            node_name: "node".to_owned(),
            root: folder.path().join("pods"),
            logs: Logs::new(folder.path().join("logs")),
            streams: Streams::default(),
            runtime: Runtime::Simulate(Simulate::new(SimulateOptions { rules: rules.collect() })),
            allow_host_paths: false,
            back_off: kubelet::BACK_OFF,
        };
        tokio::spawn(Kubelet::new(server.client(), options).run(running.clone()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::fs::write(folder.path().join("kubeconfig"), server.kubeconfig("test", &url)).unwrap();
        let (serving, ended) = (server.clone(), running.clone());
        tokio::spawn(async move { serving.serve_plain(listener, ended.cancelled_owned()).await });
        let cluster = Cluster::new(server.client(), "default");
        cluster.create_service_account("default", "brigade-worker").await.unwrap();
        let (project, _) = values::read("project: acme/app\nsharedSecret: s", "default").unwrap();
        cluster.put_project(&project).await.unwrap();
        let (seen, added) = watch::channel(HashMap::<String, Vec<String>>::new());
        let pods = Api::<Pod>::default_namespaced(server.client());
        let watched = pods.clone();
        tokio::spawn(async move {
            let jobs = WatchParams::default().labels("component=job");
            let mut changes = watched.watch(&jobs, "0").await.unwrap().boxed();
            while let Some(change) = changes.try_next().await.unwrap() {
                if let WatchEvent::Added(pod) = change {
                    let build = pod.labels()["build"].clone();
                    seen.send_modify(|added| added.entry(build).or_default().push(pod.name_any()));
                }
            }
        });
        World { cluster, project, folder, added, pods, _running: running.drop_guard() }
    }

    /// Runs a build to its end, whose worker is killed time and again if a longest life is given;
    /// answers with the names of its pods as they were added, and with the number of lives.
    async fn build(&self, random: &mut Random, longest: Option<Duration>) -> (Vec<String>, usize) {
        let event = Event { script: Some(SCRIPT.to_owned()), ..Event::new("test", "exec", "") };
        let build = Build::new(&self.project, event, Timestamp::now());
        let Creation::Made(build) = self.cluster.create_build(&build).await.unwrap() else {
            panic!("the build exists")
        };
        let mut lives = 0;
        let output = loop {
            lives += 1;
            // The later a life ends, the more it may have done; the last one is not killed.
            let longest = longest.filter(|_| lives <= 12);
            let life = longest.map(|longest| {
                let most = u64::try_from(longest.as_micros()).unwrap();
                Duration::from_micros(random.below(most) / 2)
            });
            if let Some(output) = self.live(&build, life).await {
                break output;
            }
        };
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{printed}\n{}", String::from_utf8_lossy(&output.stderr));
        // A worker that was killed after the end of its build finds that it has ended.
        if !printed.is_empty() {
            assert!(printed.contains("results 12 1 12"), "{printed}");
        }
        let ended = self.cluster.build("default", build.id).await.unwrap().unwrap();
        assert_eq!(ended.phase(), Some(Phase::Succeeded), "{printed}");
        (self.added(&build.id.to_string()).await, lives)
    }

    /// The pods of the jobs of a build, in the order in which they were added.
    async fn added(&self, build: &str) -> Vec<String> {
        // What is added last is seen last.
        let last = format!("last-{build}");
        let pod = serde_json::from_value(json!({
            "metadata": { "name": last, "labels": { "component": "job", "build": build } },
            "spec": { "containers": [{ "name": "last", "image": "alpine" }] },
        }));
        self.pods.create(&PostParams::default(), &pod.unwrap()).await.unwrap();
        let mut added = self.added.clone();
        let seen = added.wait_for(|added| added.get(build).is_some_and(|all| all.contains(&last)));
        let seen = tokio::time::timeout(PATIENCE, seen).await.expect("what is added is seen");
        let names = seen.unwrap()[build].clone();
        names.into_iter().filter(|name| *name != last).collect()
    }

    /// A worker's life: `None` if it was killed.
    async fn live(&self, build: &Build, life: Option<Duration>) -> Option<Output> {
        let mut worker = Command::new(env!("CARGO_BIN_EXE_worker"))
            .arg("run")
            .env_clear()
            .env("KUBECONFIG", self.folder.path().join("kubeconfig"))
            .env("BRIGADE_BUILD_ID", build.id.to_string())
            .env("BRIGADE_PROJECT_ID", &self.project.id)
            .env("BRIGADE_PROJECT_NAMESPACE", "default")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        if let Some(life) = life
            && tokio::time::timeout(life, worker.wait()).await.is_err()
        {
            worker.kill().await.unwrap();
            return None;
        }
        let ended = tokio::time::timeout(PATIENCE, worker.wait_with_output()).await;
        Some(ended.expect("the build ends").unwrap())
    }

    /// Twelve jobs, each once, each step after the one before.
    fn check(&self, names: &[String]) {
        let mut count: BTreeMap<&str, usize> = BTreeMap::new();
        for name in names {
            *count.entry(&name[..3]).or_default() += 1;
        }
        let steps: Vec<u8> = names.iter().map(|name| name.as_bytes()[1]).collect();
        assert!(count.values().all(|times| *times == 1) && count.len() == 12, "{names:?}");
        assert!(steps.is_sorted(), "{names:?}");
    }
}
