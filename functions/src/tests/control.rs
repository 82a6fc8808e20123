//! Projects that limit how many builds and jobs run at once, and builds that are cancelled.

use runtime::build::{BuildId, Phase, annotation};
use runtime::cluster::Cancelled;
use runtime::line;

use super::*;

/// A script that waits for its job.
const WAITS: &str = r#"
    const { events, Job } = require("brigadier");
    events.on("push", () => new Job("only", "alpine:3", ["true"]).run());
"#;

/// A world whose project has these annotations.
async fn world(script: &str, limits: &[(&str, &str)]) -> World {
    let world = World::new().await;
    put(&world, script, limits).await;
    world
}

async fn put(world: &World, script: &str, limits: &[(&str, &str)]) {
    let limits = limits.iter().map(|(name, value)| (format!("brigantine.dev/{name}"), *value));
    let mut annotations: std::collections::BTreeMap<String, &str> = limits.collect();
    annotations.insert("projectName".to_owned(), "ocean/brig");
    let secret: Secret = serde_json::from_value(json!({
        "metadata": {
            "name": runtime::project::id_of("ocean/brig"),
            "namespace": "default",
            "annotations": annotations,
        },
        "type": "brigade.sh/project",
        "stringData": {"sharedSecret": SECRET, "defaultScript": script},
    }))
    .unwrap();
    world.app.cluster.put_project(&Project::from_secret(&secret).unwrap()).await.unwrap();
}

/// A push to a branch; the number makes it another event than others.
fn push_to(branch: &str, number: u32) -> String {
    json!({
        "ref": format!("refs/heads/{branch}"),
        "after": format!("{number:040}"),
        "head_commit": {"id": format!("{number:040}")},
        "repository": {"full_name": "ocean/brig", "pushed_at": 1_772_359_200 + number},
    })
    .to_string()
}

async fn arrive(world: &World, branch: &str, number: u32) -> Told {
    let told = world.send(delivery("push", push_to(branch, number))).await;
    assert_eq!(told.code, 200, "{told:?}");
    told
}

async fn phase(world: &World, told: &Told) -> Option<Phase> {
    let id = BuildId::parse(told.body["build"].as_str().unwrap()).unwrap();
    world.app.cluster.build("default", id).await.unwrap().unwrap().phase()
}

async fn end(world: &World, told: &Told) {
    let id = BuildId::parse(told.body["build"].as_str().unwrap()).unwrap();
    let phase = (annotation::PHASE.to_owned(), Phase::Succeeded.name().to_owned());
    world.app.cluster.note("default", id, &[phase].into()).await.unwrap();
    let project = world.app.cluster.project("ocean/brig").await.unwrap().unwrap();
    let settings = &world.app.settings;
    line::leave(&world.app.cluster, &project, settings, "default", id).await.unwrap();
}

#[tokio::test]
async fn a_build_beyond_the_limit_waits_and_the_sender_is_told_for_what() {
    let world = world(WAITS, &[("max-builds", "1")]).await;
    let first = arrive(&world, "main", 1).await;
    assert_eq!(
        first.body["worker"],
        format!("brigade-worker-{}", first.body["build"].as_str().unwrap())
    );
    assert_eq!(first.body["jobs"].as_array().unwrap().len(), 1);
    let second = arrive(&world, "main", 2).await;
    let third = arrive(&world, "main", 3).await;
    for (told, before) in [(&second, 0), (&third, 1)] {
        assert_eq!(told.body["phase"], "Waiting");
        assert_eq!(told.body["reason"], format!("waiting: 1 build runs, {before} wait before it"));
        assert_eq!(told.body["worker"], Value::Null);
        assert_eq!(phase(&world, told).await, Some(Phase::Waiting));
    }
    let again = arrive(&world, "main", 2).await;
    assert_eq!((&again.body["duplicate"], &again.body["phase"]), (&json!(true), &json!("Waiting")));
    assert_eq!(world.pods().await.len(), 2);
    end(&world, &first).await;
    let worker = format!("brigade-worker-{}", second.body["build"].as_str().unwrap());
    assert!(world.pods().await.contains(&worker));
    assert_eq!(world.pods().await.len(), 3);
    let again = arrive(&world, "main", 2).await;
    assert_eq!((&again.body["duplicate"], &again.body["worker"]), (&json!(true), &json!(worker)));
}

#[tokio::test]
async fn a_build_that_ends_in_the_function_gives_its_slot_back_at_once() {
    let world = world("console.log('nothing to do')", &[("max-builds", "1")]).await;
    for number in 1..4 {
        let told = arrive(&world, "main", number).await;
        assert_eq!(told.body["phase"], "Succeeded", "{told:?}");
    }
    for build in world.app.cluster.builds("default").await.unwrap() {
        assert!(build.accepted && !build.annotations.contains_key(annotation::WAITING));
        for note in [annotation::STARTED, annotation::FINISHED, annotation::JOBS] {
            assert!(build.annotations.contains_key(note), "{note}: {:?}", build.annotations);
        }
    }
    let project = world.app.cluster.project("ocean/brig").await.unwrap().unwrap();
    assert!(world.app.cluster.slots(&project).await.unwrap().is_empty());
    assert!(world.app.cluster.open_builds(&project).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_newer_push_supersedes_an_older_one_of_the_same_branch() {
    let detached = "const { events, Job } = require('brigadier');
        events.on('push', () => { new Job('only', 'alpine:3', ['true']).run(); });";
    let world = world(detached, &[("supersede", "true")]).await;
    let older = arrive(&world, "main", 1).await;
    let other = arrive(&world, "feature", 2).await;
    let newer = arrive(&world, "main", 3).await;
    assert_eq!(phase(&world, &older).await, Some(Phase::Cancelled));
    assert_eq!((phase(&world, &other).await, phase(&world, &newer).await), (None, None));
    let pods = world.pods().await;
    let pod = |told: &Told| format!("only-{}", told.body["build"].as_str().unwrap());
    assert!(!pods.contains(&pod(&older)), "{pods:?}");
    assert!(pods.contains(&pod(&newer)) && pods.contains(&pod(&other)), "{pods:?}");
}

#[tokio::test]
async fn a_function_makes_no_more_jobs_than_may_run_at_once() {
    let three = "const { events, Job } = require('brigadier');
        events.on('push', () => { for (const n of [1, 2, 3]) new Job(`j${n}`, 'alpine').run(); });";
    let world = world(three, &[("max-jobs", "2")]).await;
    let told = arrive(&world, "main", 1).await;
    assert_eq!(told.body["jobs"].as_array().unwrap().len(), 2, "{told:?}");
    assert_eq!(told.body["detached"], false);
    assert_eq!(told.body["reason"], "at most so many jobs of a build run at once in this project");
}

#[tokio::test]
async fn a_wrong_limit_stops_the_project_and_not_its_neighbour() {
    let world = world(WAITS, &[]).await;
    let cluster = &world.app.cluster;
    let secrets = Api::<Secret>::namespaced(world.server.client(), "default");
    let patch = json!({"metadata": {"annotations": {"brigantine.dev/max-builds": "two"}}});
    let id = runtime::project::id_of("ocean/brig");
    let patch = kube::api::Patch::Merge(patch);
    secrets.patch(&id, &Default::default(), &patch).await.unwrap();
    let told = world.send(delivery("push", push_to("main", 1))).await;
    assert_eq!((told.code, &told.body["status"]), (500, &json!("project cannot be loaded")));
    let error = cluster.project("ocean/brig").await.unwrap_err().to_string();
    assert!(error.contains("brigantine.dev/max-builds is \"two\""), "{error}");
    assert!(world.is_untouched().await);
}

#[tokio::test]
async fn a_build_that_is_cancelled_while_its_function_starts_it_leaves_no_pod() {
    // Cancelled after its Secret was made, before the label says that it was started.
    let detached = "const { events, Job } = require('brigadier');
        events.on('push', () => { new Job('only', 'alpine:3', ['true']).run(); });";
    let world = world(detached, &[]).await;
    world.fail(4, 403, When::Before);
    let told = world.send(delivery("push", push_to("main", 1))).await;
    world.server.faults().clear();
    assert_eq!(told.code, 500, "{told:?}");
    let build = world.app.cluster.builds("default").await.unwrap().remove(0);
    assert!(!build.accepted);
    assert_eq!(world.pods().await.len(), 1);
    // As if the cancellation came just before the last call of that function.
    let cancelled = world.app.cluster.cancel("default", build.id, "late").await.unwrap();
    assert_eq!(cancelled, Cancelled::Ended);
    assert_eq!(world.pods().await.len(), 0);
    let again = arrive(&world, "main", 1).await;
    assert_eq!(
        (&again.body["phase"], &again.body["duplicate"]),
        (&json!("Cancelled"), &json!(true))
    );
    assert_eq!(world.pods().await.len(), 0);
}

#[tokio::test]
async fn a_crash_between_any_two_calls_of_a_limited_project_is_repaired_by_a_redelivery() {
    for when in [When::Before, When::After] {
        let mut calls = 0;
        loop {
            let world = World::without_scripts().await;
            put(&world, WAITS, &[("max-builds", "1"), ("supersede", "true")]).await;
            world.fail(calls, 403, when);
            let told = world.send(delivery("push", push_to("main", 1))).await;
            world.server.faults().clear();
            let moment = format!("{when:?} call {calls}");
            let again = arrive(&world, "main", 1).await;
            let builds = world.builds().await;
            let [(id, true)] = &builds[..] else { panic!("{moment}: {builds:?}") };
            assert_eq!(again.body["build"], *id, "{moment}");
            assert!(world.pods().await.contains(&format!("brigade-worker-{id}")), "{moment}");
            assert_eq!(world.pods().await.len(), 1, "{moment}");
            let project = world.app.cluster.project("ocean/brig").await.unwrap().unwrap();
            let slots = world.app.cluster.slots(&project).await.unwrap();
            assert_eq!(slots.len(), 1, "{moment}");
            if told.code == 200 {
                break;
            }
            calls += 1;
        }
        assert!(calls > 8, "{when:?} {calls}");
    }
}

#[tokio::test]
async fn a_build_that_was_cancelled_before_it_was_started_leaves_nothing_when_it_is_started() {
    let detached = "const { events, Job } = require('brigadier');
        events.on('push', () => { new Job('only', 'alpine:3', ['true']).run(); });";
    let world = world(detached, &[]).await;
    world.fail(2, 403, When::Before);
    world.send(delivery("push", push_to("main", 1))).await;
    world.server.faults().clear();
    let build = world.app.cluster.builds("default").await.unwrap().remove(0);
    let cancel = [(annotation::CANCEL.to_owned(), "now".to_owned())];
    world.app.cluster.note("default", build.id, &cancel.into()).await.unwrap();
    let told = arrive(&world, "main", 1).await;
    assert_eq!(
        (&told.body["phase"], &told.body["reason"]),
        (&json!("Cancelled"), &json!("the build was cancelled: now"))
    );
    assert_eq!(world.pods().await, [""; 0]);
    assert_eq!(phase(&world, &told).await, Some(Phase::Cancelled));
}
