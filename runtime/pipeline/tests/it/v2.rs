//! Builds of scripts that speak Brigade 2's API.

use std::collections::HashMap;

use pipeline::{JobResult, StartEnd};
use runtime::build::{Phase, annotation};
use runtime::cluster::Cluster;

use crate::world::{PROJECT, World, event};

const HEAD: &str = "const { events, Job, Container } = require('@brigadecore/brigadier');
    const on = (handler) => { events.on('brigade.sh/test', 'push', handler); events.process(); };\n";

async fn started(body: &str) -> (World, pipeline::Start) {
    let world = World::new();
    let context = world.build(PROJECT, event("push"), &format!("{HEAD}{body}")).await;
    let start = world.start(&context).await;
    (world, start)
}

#[tokio::test]
async fn what_must_be_followed_is_told_from_what_need_not() {
    for (body, expected) in [
        ("on((e) => { new Job('a', 'i', e).run(); })", "detached"),
        ("on((e) => new Job('a', 'i', e).run())", "detached"),
        ("on((e) => Job.concurrent(new Job('a', 'i', e), new Job('b', 'i', e)).run())", "detached"),
        ("on((e) => Job.sequence(new Job('a', 'i', e)).run())", "detached"),
        ("on(async (e) => { new Job('a', 'i', e).run(); return 'begun'; })", "detached"),
        ("on(async (e) => { await new Job('a', 'i', e).run(); })", "the script awaits job a"),
        ("on(async (e) => new Job('a', 'i', e).run())", "the script awaits job a"),
        (
            "on((e) => Job.sequence(new Job('a', 'i', e), new Job('b', 'i', e)).run())",
            "the script awaits job a",
        ),
        (
            "on((e) => { const a = new Job('a', 'i', e); a.primaryContainer.workspaceMountPath = '/w'; a.run(); })",
            "job a uses storage that is deleted at the end",
        ),
        ("on((e) => 'done')", "ended with 0"),
        ("on((e) => { throw new Error('no') })", "ended with 1"),
        ("on(async (e) => { await null; throw new Error('no') })", "ended with 1"),
        ("events.process()", "ended with 0"),
        ("on((e) => { new Job('A', 'i', e).run() })", "ended with 1"),
        ("on((e) => { process.exit(3) })", "ended with 3"),
    ] {
        let (_world, start) = started(body).await;
        let end = match start.end {
            StartEnd::Detached => "detached".to_owned(),
            StartEnd::Ended(outcome) => format!("ended with {}", outcome.exit_code),
            StartEnd::Awaits { reason } => reason,
        };
        assert_eq!(end, expected, "{body}");
    }
}

#[tokio::test]
async fn both_apis_hear_an_event_before_any_job_ends() {
    for top in ["on((e) => { new Job('two', 'i', e).run(); });", "new Job('two', 'i').run();"] {
        let (_world, start) =
            started(&format!("{top} events.on('push', () => {{ new Job('one', 'i').run(); }});"))
                .await;
        assert!(matches!(start.end, StartEnd::Detached), "{:?}", start.end);
        let names: Vec<&str> = start.jobs.iter().map(|job| job.name.as_str()).collect();
        assert_eq!(names, ["two", "one"], "{top}");
    }
}

#[tokio::test]
async fn the_answer_names_what_was_fired_and_handled() {
    let (_world, start) = started("on(() => 'all is well, says correct-horse')").await;
    assert_eq!(start.fired, ["push", "brigade.sh/test:push"]);
    assert_eq!(start.handlers, ["brigade.sh/test:push"]);
    assert_eq!(start.summary.as_deref(), Some("all is well, says ***"));
    assert_eq!(
        start.summary_annotation(),
        Some((annotation::SUMMARY.to_owned(), "all is well, says ***".to_owned()))
    );
}

#[tokio::test]
async fn a_build_keeps_its_summary() {
    let world = World::new();
    let script = format!(
        "{HEAD}on(async (e) => {{ await new Job('one', 'i', e).run(); return 'x'.repeat(5000); }})"
    );
    let context = world.build(PROJECT, event("push"), &script).await;
    let outcome = world.run(&context, world.end_all()).await;
    assert_eq!((outcome.phase, outcome.exit_code), (Phase::Succeeded, 0));
    let cluster = Cluster::new(world.server.client(), "default");
    let build = cluster.build(&context.build.namespace, context.build.id).await.unwrap().unwrap();
    assert_eq!(build.annotations[annotation::SUMMARY], "x".repeat(4096));
    // Nobody reads a log that no script is given.
    assert!(!world.calls().iter().any(|call| call.ends_with(" log")), "{:?}", world.calls());
}

#[tokio::test]
async fn jobs_run_in_the_order_of_their_groups_and_logs_can_be_read() {
    let world = World::new();
    let script = format!(
        "{HEAD}on(async (e) => {{
            const job = (name) => new Job(name, 'i', e);
            const last = job('last');
            await Job.sequence(job('first'), Job.concurrent(job('left'), job('right')), last).run();
            console.log(await last.logs());
        }})"
    );
    let context = world.build(PROJECT, event("push"), &script).await;
    let outcome = world.run(&context, world.end_all()).await;
    assert_eq!(outcome.phase, Phase::Succeeded, "{:?}", world.printed());
    let jobs = world.jobs().await;
    assert_eq!(jobs.len(), 4);
    let at = |name: &str| outcome.jobs.iter().position(|job| job.name == name).unwrap();
    assert!(at("first") < at("left") && at("right") < at("last"));
    assert_eq!(world.said(), ["log of last", ""]);
}

#[tokio::test]
async fn a_fallible_job_fails_alone() {
    for (fallible, phase) in [(true, Phase::Succeeded), (false, Phase::Failed)] {
        let world = World::new();
        let script = format!(
            "{HEAD}on(async (e) => {{
                const job = new Job('one', 'i', e); job.fallible = {fallible};
                await job.run();
                await new Job('two', 'i', e).run();
            }})"
        );
        let context = world.build(PROJECT, event("push"), &script).await;
        let outcome = world.run(&context, world.end_all_but(&HashMap::from([("one", 3)]))).await;
        assert_eq!(outcome.phase, phase, "{:?}", world.printed());
        assert!(matches!(outcome.jobs[0].result, JobResult::Failed(_)));
        assert_eq!(outcome.jobs.len(), if fallible { 2 } else { 1 });
        if !fallible {
            let said = world.printed().join("\n");
            assert!(said.contains("Error: Job \"one\" failed: Pod one-"), "{said}");
        }
    }
}

#[tokio::test]
async fn the_primary_container_decides_while_sidecars_run() {
    let world = World::new();
    let script = format!(
        "{HEAD}on(async (e) => {{
            const job = new Job('one', 'alpine', e);
            job.primaryContainer.environment.URL = 'http://localhost';
            job.sidecarContainers.db = new Container('postgres');
            job.sidecarContainers.db.environment.PASSWORD = 'correct-horse';
            await job.run();
            return 'tested';
        }})"
    );
    let context = world.build(PROJECT, event("push"), &script).await;
    let kubelet = async {
        world.wait_for(&["one"]).await;
        let running = |name: &str, state: serde_json::Value| {
            serde_json::json!([{ "name": name, "image": "i", "imageID": "", "ready": true,
                "restartCount": 0, "state": state }])
        };
        let status = serde_json::json!({
            "phase": "Running",
            "initContainerStatuses": running("db", serde_json::json!({ "running": {} })),
            "containerStatuses": running("brigaderun", serde_json::json!({ "terminated": { "exitCode": 0 } })),
        });
        world.report("one", status).await;
        std::future::pending::<()>().await;
    };
    let outcome = world.run(&context, kubelet).await;
    assert_eq!(outcome.summary.as_deref(), Some("tested"));
    assert_eq!(world.key("one", "URL").await.as_deref(), Some("http://localhost"));
    assert_eq!(world.key("one", "db.PASSWORD").await.as_deref(), Some("correct-horse"));
}

#[tokio::test]
async fn a_summary_that_comes_early_is_kept_to_the_end() {
    let world = World::new();
    let script = format!(
        "{HEAD}on(async (e) => {{ new Job('one', 'i', e).run().then(() => console.log('late')); return 'early'; }})"
    );
    let context = world.build(PROJECT, event("push"), &script).await;
    let outcome = world.run(&context, world.end_all()).await;
    assert_eq!(world.said(), ["late"]);
    assert_eq!(outcome.summary.as_deref(), Some("early"));
}
