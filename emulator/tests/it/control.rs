//! Limits and cancelling, where workers are tasks of the emulator.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use emulator::emulator::{Emulator, Options, Pods, Target};
use futures::StreamExt;
use runtime::build::{Build, BuildId, Phase, annotation};
use runtime::settings::Settings;
use runtime::signature;
use serde_json::{Value, json};

/// A ceiling for what takes a moment.
const PATIENCE: Duration = Duration::from_secs(60);

const SCRIPT: &str = "
const { events, Job } = require('brigadier');
events.on('push', () => new Promise((resolve) => setTimeout(resolve, 3600000)));
events.on('error', () => { new Job('tidy', 'alpine', ['true']).run(); });
";

struct World {
    emulator: Emulator,
    _folder: tempfile::TempDir,
}

impl World {
    async fn new(limits: &str) -> World {
        World::with(limits, SCRIPT).await
    }

    async fn with(limits: &str, script: &str) -> World {
        let folder = tempfile::tempdir().unwrap();
        let values = format!("project: acme/app\nsharedSecret: s\nlimits: {limits}");
        fs::write(folder.path().join("project.yaml"), values).unwrap();
        fs::write(folder.path().join("brigade.js"), script).unwrap();
        let anywhere = "127.0.0.1:0".parse().unwrap();
        let emulator = Emulator::start(Options {
            folders: vec![folder.path().to_owned()],
            listen: anywhere,
            api_listen: anywhere,
            cluster: Target::Embedded,
            host: None,
            pods: Pods::Simulate,
            rbac: false,
            state: None,
            kubeconfig: None,
            namespace: "default".to_owned(),
            stand_ins: Vec::new(),
            tell_outside: false,
            settings: Settings { request_budget: PATIENCE, ..Settings::default() },
        });
        World { emulator: emulator.await.unwrap(), _folder: folder }
    }

    /// Delivers a push; the number makes it another one.
    async fn push(&self, number: u32) -> Value {
        let body = json!({
            "ref": "refs/heads/main",
            "after": format!("{number:040}"),
            "head_commit": {"id": format!("{number:040}")},
            "repository": {"full_name": "acme/app", "pushed_at": 1_777_879_801 + number},
        })
        .to_string();
        let address = self.emulator.functions.join("events/github").unwrap();
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let answer = reqwest::Client::new()
            .post(address)
            .header("content-type", "application/json")
            .header("x-github-event", "push")
            .header("x-hub-signature-256", signature::sign_github("s", body.as_bytes()))
            .body(body)
            .send()
            .await
            .unwrap();
        answer.json().await.unwrap()
    }

    /// Waits until a build is in a phase.
    async fn until(&self, id: BuildId, phase: Phase) -> Build {
        let mut builds = Box::pin(self.emulator.cluster.watch_builds("default"));
        let come = async {
            while let Some(build) = builds.next().await {
                if build.id == id && build.phase() == Some(phase) {
                    return build;
                }
            }
            panic!("the watch ended")
        };
        let come = tokio::time::timeout(PATIENCE, come).await;
        come.unwrap_or_else(|_| panic!("build {id} does not come to {}", phase.name()))
    }

    /// As `kubectl annotate secret` does.
    async fn cancel(&self, id: BuildId) {
        let note = [(annotation::CANCEL.to_owned(), "not needed".to_owned())];
        self.emulator.cluster.note("default", id, &note.into()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_pushes_at_once_two_run_at_a_time_and_all_do() {
    let script = "
        const { events, Job } = require('brigadier');
        events.on('push', () => new Job('only', 'alpine', ['true']).run());";
    let world = World::with("{maxBuilds: 2}", script).await;
    let mut builds = Box::pin(world.emulator.cluster.watch_builds("default"));
    let watched = async {
        let (mut running, mut ended) = (BTreeSet::new(), BTreeSet::new());
        let mut most = 0;
        while ended.len() < 50 {
            let build = builds.next().await.unwrap();
            match build.phase() {
                Some(phase) if phase.is_terminal() => {
                    assert_eq!(phase, Phase::Succeeded);
                    running.remove(&build.id);
                    ended.insert(build.id);
                }
                _ if build.accepted => drop(running.insert(build.id)),
                _ => {}
            }
            most = most.max(running.len());
        }
        most
    };
    let pushes = futures::future::join_all((0..50).map(|number| world.push(number)));
    let both = async { tokio::join!(pushes, watched) };
    let (told, most) = tokio::time::timeout(2 * PATIENCE, both).await.unwrap();
    assert_eq!(most, 2);
    let waited = told.iter().filter(|told| told["phase"] == "Waiting").count();
    assert!(waited > 0, "{told:?}");
    world.emulator.stop().await;
}

fn id(told: &Value) -> BuildId {
    BuildId::parse(told["build"].as_str().unwrap_or_else(|| panic!("{told}"))).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_wait_for_each_other_and_an_annotation_ends_them() {
    let world = World::new("{maxBuilds: 1}").await;
    let first = id(&world.push(1).await);
    let [second, third] = [world.push(2).await, world.push(3).await];
    assert_eq!((&second["phase"], &third["phase"]), (&json!("Waiting"), &json!("Waiting")));
    world.until(first, Phase::Running).await;
    // One that waits, and that nobody follows.
    world.cancel(id(&second)).await;
    world.until(id(&second), Phase::Cancelled).await;
    world.cancel(first).await;
    let ended = world.until(first, Phase::Cancelled).await;
    assert_eq!(ended.annotations[annotation::REASON], "the build was cancelled: not needed");
    assert_eq!(ended.annotations[annotation::JOBS], "1 run, 1 succeeded, 0 failed");
    world.until(id(&third), Phase::Running).await;
    world.emulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_build_of_a_branch_ends_the_older_one_that_runs() {
    for limits in ["{supersede: true}", "{supersede: true, maxBuilds: 1}"] {
        supersedes(limits).await;
    }
}

async fn supersedes(limits: &str) {
    let world = World::new(limits).await;
    let older = id(&world.push(1).await);
    world.until(older, Phase::Running).await;
    let newer = id(&world.push(2).await);
    let ended = world.until(older, Phase::Cancelled).await;
    let reason = format!("the build was cancelled: superseded by {newer}");
    assert_eq!(ended.annotations[annotation::REASON], reason);
    world.until(newer, Phase::Running).await;
    world.emulator.stop().await;
}
