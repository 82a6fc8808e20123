//! Who follows a build that somebody is told of, and who tells them.

use std::sync::Mutex;

use super::*;
use ::notify::{Outbox, OutboxOptions};
use axum::extract::State;
use axum::routing::any;
use runtime::build::{Phase, annotation};

/// A project whose notifiers are these, and whose script is this.
async fn world(notifiers: &str, script: &str) -> World {
    let world = World::with(calm()).await;
    let keys = json!({"sharedSecret": SECRET, "defaultScript": script, "notifiers": notifiers});
    world.project(PROJECT, keys).await;
    world
}

/// Runs a job that nobody awaits.
const DETACHED: &str = "
    const { events, Job } = require('brigadier');
    events.on('push', () => { new Job('only', 'alpine:3', ['true']).run(); });";

const ENDS: &str = "require('brigadier').events.on('push', () => {});";

const FAILS: &str = "require('brigadier').events.on('push', () => { throw new Error('red'); });";

#[tokio::test]
async fn a_build_has_a_worker_exactly_if_somebody_is_to_be_told() {
    for (notifiers, script, worker) in [
        ("", DETACHED, false),
        ("", FAILS, false),
        (r#"[{"kind": "slack"}]"#, DETACHED, true),
        (r#"[{"kind": "slack"}]"#, ENDS, true),
        (r#"[{"kind": "slack"}]"#, FAILS, true),
        (r#"[{"kind": "slack", "refs": ["ma*", "!main"]}]"#, DETACHED, false),
        (r#"[{"kind": "slack", "refs": ["refs/heads/main"]}]"#, DETACHED, true),
        (r#"[{"kind": "slack", "events": ["pull_request:*"]}]"#, FAILS, false),
        (r#"[{"kind": "slack", "events": ["push:*"]}]"#, FAILS, true),
        (r#"[{"kind": "slack", "on": []}]"#, ENDS, false),
        (r#"[{"kind": "slack"}]"#, "require('brigadier').events.on('other', () => {});", false),
        (r#"[{"kind": "slack"}]"#, "throw new Error('at its top')", true),
    ] {
        let world = world(notifiers, script).await;
        let told = world.send(delivery("push", push())).await;
        assert_eq!(told.code, 200, "{told:?}");
        let pods = world.pods().await;
        let made = pods.iter().any(|pod| pod.starts_with("brigade-worker-"));
        assert_eq!(made, worker, "{notifiers} {script} {told:?}");
        assert_eq!(told.body["worker"].is_string(), worker, "{told:?}");
        let build = &world.app.cluster.builds("default").await.unwrap()[0];
        assert!(build.accepted);
        let has_ended = build.phase().is_some_and(Phase::is_terminal);
        assert_eq!(has_ended, script != DETACHED, "{notifiers} {script}");
    }
}

#[tokio::test]
async fn how_a_build_ended_is_noted_before_there_is_a_worker_that_tells_it() {
    let mut calls = 0;
    loop {
        let world = world(r#"[{"kind": "slack"}]"#, FAILS).await;
        world.crash(calls, When::Before);
        let told = world.send(delivery("push", push())).await;
        world.server.faults().clear();
        let builds = world.app.cluster.builds("default").await.unwrap();
        if world.pods().await.iter().any(|pod| pod.starts_with("brigade-worker-")) {
            assert_eq!(builds[0].phase(), Some(Phase::Failed), "{calls}");
        }
        has_a_teller(&world, &calls.to_string()).await;
        if told.code == 200 {
            break;
        }
        calls += 1;
        assert!(calls < 50);
    }
    assert!(calls > 3, "{calls}");
}

/// Checks that the delivery, made again, leaves one build that has ended and one worker that tells it.
async fn has_a_teller(world: &World, moment: &str) {
    let again = world.send(delivery("push", push())).await;
    assert_eq!(again.code, 200, "{moment}: {again:?}");
    let builds = world.app.cluster.builds("default").await.unwrap();
    let [build] = &builds[..] else { panic!("{moment}: {builds:?}") };
    assert!(build.accepted, "{moment}");
    assert_eq!(build.phase(), Some(Phase::Failed), "{moment}");
    assert_eq!(world.pods().await, [build.name()], "{moment}");
    assert_eq!(again.body["worker"], build.name(), "{moment}");
}

#[tokio::test]
async fn a_worker_that_was_refused_is_made_when_the_delivery_comes_again() {
    for limit in [None, Some(1)] {
        let world = world(r#"[{"kind": "slack"}]"#, FAILS).await;
        let mut project = world.app.cluster.project(PROJECT).await.unwrap().unwrap();
        project.limits.builds = limit;
        world.app.cluster.put_project(&project).await.unwrap();
        world.server.faults().lay(Fault::next("POST", "/pods", 403));
        let told = world.send(delivery("push", push())).await;
        assert_eq!(told.code, 500, "{told:?}");
        assert_eq!(world.pods().await, [""; 0]);
        let slots = async || {
            let secrets = world.secrets().list(&ListParams::default()).await.unwrap();
            secrets.items.len()
        };
        let before = slots().await;
        has_a_teller(&world, &format!("{limit:?}")).await;
        assert_eq!(slots().await, before, "its slot was free before somebody was to tell of it");
    }
}

#[tokio::test]
async fn a_task_of_this_process_tells_too() {
    let taken: Arc<Mutex<Vec<Value>>> = Arc::default();
    let take = async |State(taken): State<Arc<Mutex<Vec<Value>>>>, body: String| {
        taken.lock().unwrap().push(serde_json::from_str(&body).unwrap());
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let sink = Router::new().fallback(any(take)).with_state(taken.clone());
    tokio::spawn(async move { axum::serve(listener, sink).await });
    let notifiers = json!([{"kind": "webhook", "settings": {"WEBHOOK_URL": url}}]).to_string();
    for (script, types) in
        [(DETACHED, &["started", "succeeded"][..]), (FAILS, &["failed"]), (ENDS, &["succeeded"])]
    {
        let mut world = world(&notifiers, script).await;
        let allowed_hosts = vec!["127.0.0.1".to_owned()];
        let outbox = Outbox::new(OutboxOptions { allowed_hosts, ..OutboxOptions::default() });
        let tasks = Tasks::telling(outbox);
        world.app.workers = Workers::Here(tasks.clone());
        world.router = router(world.app.clone(), Function::ALL);
        let told = world.send(delivery("push", push())).await;
        assert_eq!(told.body["worker"], "this process", "{told:?}");
        if script == DETACHED {
            world.succeed(&format!("only-{}", told.body["build"].as_str().unwrap())).await;
        }
        tokio::time::timeout(Duration::from_secs(60), tasks.idle()).await.unwrap();
        let told: Vec<String> = std::mem::take(&mut *taken.lock().unwrap())
            .iter()
            .map(|event| event["type"].as_str().unwrap_or_default().to_owned())
            .collect();
        let types: Vec<String> =
            types.iter().map(|moment| format!("dev.brigantine.build.{moment}")).collect();
        assert_eq!(told, types);
        let build = &world.app.cluster.builds("default").await.unwrap()[0];
        let noted = build.annotations.get(annotation::NOTIFIED).unwrap();
        assert!(noted.contains(types.last().unwrap().rsplit('.').next().unwrap()), "{noted}");
        // Another process that finds it has nothing left to tell, unless nothing was noted.
        crate::resume(&world.app, build).await;
        assert!(tasks.is_empty() && taken.lock().unwrap().is_empty());
        let mut untold = build.clone();
        untold.annotations.insert(annotation::NOTIFIED.to_owned(), "{}".to_owned());
        crate::resume(&world.app, &untold).await;
        tokio::time::timeout(Duration::from_secs(60), tasks.idle()).await.unwrap();
        assert_eq!(std::mem::take(&mut *taken.lock().unwrap()).len(), 1);
    }
}
