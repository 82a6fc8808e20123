//! What is left of a build after its start in a function.

use pipeline::{Created, StartEnd};
use runtime::build::Phase;

use crate::world::{PROJECT, World, event};

async fn start(script: &str) -> (World, pipeline::Start) {
    let world = World::new();
    let context = world.build(PROJECT, event("push"), script).await;
    let start = world.start(&context).await;
    (world, start)
}

async fn end(body: &str) -> String {
    let head = if body.starts_with("import") {
        "import { events, Job, Group } from 'brigadier'"
    } else {
        "const { events, Job, Group } = require('brigadier')"
    };
    let script =
        format!("{head}; const job = (name) => new Job(name, 'alpine', ['true']);\n{body}");
    let (_world, start) = start(&script).await;
    match start.end {
        StartEnd::Detached => "detached".to_owned(),
        StartEnd::Ended(outcome) => format!("ended with {}", outcome.exit_code),
        StartEnd::Awaits { reason } => reason,
    }
}

#[tokio::test]
async fn a_job_that_nobody_awaits_needs_no_worker() {
    let (world, start) = start(
        "const { events, Job } = require('brigadier');
         events.on('push', (e, project) => { new Job('one', 'alpine:3', ['echo one']).run(); });",
    )
    .await;
    assert!(matches!(start.end, StartEnd::Detached), "{:?}", start.end);
    assert_eq!(start.handlers, ["push"]);
    assert_eq!(start.fired, ["push"]);
    let [Created { name, pod, adopted: false }] = &start.jobs[..] else {
        panic!("{:?}", start.jobs)
    };
    assert_eq!(name, "one");
    assert!(pod.starts_with("one-"));
    assert_eq!(world.key("one", "main.sh").await.unwrap(), "#!/bin/sh\n\nset -e\n\necho one");
    // A Secret and a pod, and nothing else.
    assert_eq!(world.calls(), ["POST secrets", "POST pods"]);
}

#[tokio::test]
async fn a_second_start_adopts_what_the_first_made() {
    let world = World::new();
    let script = "const { events, Job } = require('brigadier');
        events.on('push', () => { new Job('one', 'alpine').run(); new Job('two', 'alpine').run(); });";
    let context = world.build(PROJECT, event("push"), script).await;
    world.start(&context).await;
    let again = world.start(&context).await;
    assert!(again.jobs.iter().all(|job| job.adopted), "{:?}", again.jobs);
    assert_eq!(world.jobs().await.len(), 2);
}

/// One job is run at the top; then a handler wants a file that only a worker has.
#[tokio::test]
async fn a_job_that_a_start_did_not_come_to_make_is_made_by_the_worker() {
    let world = World::new();
    let script = "const { events, Job } = require('brigadier');
        new Job('top', 'alpine').run();
        events.on('push', () => { new Job(require('./lib').name, 'alpine').run(); });";
    let mut context = world.build(PROJECT, event("push"), script).await;
    let start = world.start(&context).await;
    let StartEnd::Awaits { reason } = &start.end else { panic!("{:?}", start.end) };
    assert_eq!(reason, "the script reads files of the repository");
    assert_eq!((start.made, world.jobs().await.len()), (0, 0));
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("lib.js"), "exports.name = 'handler';").unwrap();
    context.script.workspace = Some(folder.path().to_owned());
    let context = world.accepted(&context, &start).await;
    let outcome = world.run(&context, world.end_all()).await;
    assert_eq!(outcome.phase, Phase::Succeeded, "{:#?}", world.printed());
    assert_eq!(world.jobs().await, ["top", "handler"]);
}

#[tokio::test]
async fn what_must_be_followed_is_told_from_what_need_not() {
    for (body, expected) in [
        ("events.on('push', () => { job('a').run(); })", "detached"),
        ("events.on('push', async () => { job('a').run(); job('b').run(); })", "detached"),
        ("events.on('push', () => { Group.runAll([job('a'), job('b')]); })", "detached"),
        ("events.on('push', () => { new Group([job('a'), job('b')]).runAll(); })", "detached"),
        ("events.on('push', () => { Group.runEach([job('a')]); })", "detached"),
        ("events.on('push', () => { setTimeout(() => job('a').run(), 0); })", "detached"),
        ("events.on('push', () => { setImmediate(() => job('a').run()); })", "detached"),
        (
            "events.on('push', () => { Promise.resolve().then(() => { job('a').run(); }); })",
            "detached",
        ),
        (
            "class Mine extends Job {}; events.on('push', () => { new Mine('a', 'b').run(); })",
            "detached",
        ),
        ("events.on('push', async () => { await job('a').run(); })", "the script awaits job a"),
        ("events.on('push', () => { job('a').run().then(() => {}); })", "the script awaits job a"),
        ("events.on('push', () => { job('a').run().catch(() => {}); })", "the script awaits job a"),
        (
            "events.on('push', () => { job('a').run().finally(() => {}); })",
            "the script awaits job a",
        ),
        ("events.on('push', () => { Promise.all([job('a').run()]); })", "the script awaits job a"),
        ("events.on('push', () => { Promise.race([job('a').run()]); })", "the script awaits job a"),
        (
            "events.on('push', () => { Promise.allSettled([job('a').run()]); })",
            "the script awaits job a",
        ),
        (
            "const f = async () => job('a').run(); events.on('push', () => { f(); })",
            "the script awaits job a",
        ),
        (
            "events.on('push', async () => { for await (const x of [job('a').run()]); })",
            "the script awaits job a",
        ),
        (
            "events.on('push', () => { Group.runAll([job('b'), job('a')]).then(() => {}); })",
            "the script awaits job b",
        ),
        (
            "events.on('push', () => { Group.runEach([job('a'), job('b')]); })",
            "the script awaits job a",
        ),
        (
            "events.on('push', () => { job('a').run(); setTimeout(() => {}, 60000); })",
            "a timer of the script is pending",
        ),
        (
            "events.on('push', () => { setInterval(() => {}, 60000); })",
            "a timer of the script is pending",
        ),
        (
            "events.on('push', () => { const a = job('a'); a.run(); a.logs(); })",
            "the script reads the log of a job",
        ),
        (
            "events.on('push', () => { const a = job('a'); a.storage.enabled = true; a.run(); })",
            "job a uses storage that is deleted at the end",
        ),
        (
            "events.on('push', () => { const a = job('a'); a.streamLogs = true; a.run(); })",
            "the log of job a is to be shown",
        ),
        (
            "events.on('push', () => { job('a').run(); }); events.on('after', () => {})",
            "an after handler",
        ),
        (
            "events.on('push', () => { job('a').run(); }); events.on('error', () => {})",
            "an error handler",
        ),
        ("events.on('push', () => { setTimeout(() => {}, 60000).unref(); })", "ended with 0"),
        ("events.on('push', () => {})", "ended with 0"),
        ("events.on('push', () => { throw new Error('no') })", "ended with 1"),
        ("events.on('push', async () => { throw new Error('no') })", "ended with 1"),
        ("events.on('push', () => { process.exitCode = 4 })", "ended with 4"),
        ("events.on('push', () => { process.exit(3) })", "ended with 3"),
        ("events.on('push', () => { job('a').run(); process.exit(0) })", "ended with 0"),
        ("events.on('other', () => { job('a').run(); })", "ended with 0"),
        ("throw new Error('top')", "ended with 1"),
        ("job('a').run(); throw new Error('top')", "ended with 1"),
        ("let a = ;", "ended with 1"),
        ("import 'path'; job('a').run(); throw new Error('top')", "ended with 1"),
        ("import 'path'; await job('a').run();", "the script awaits job a"),
        ("import 'path'; await null; events.on('push', () => { job('a').run() })", "detached"),
        ("import 'path'; await new Promise(() => {});", "ended with 1"),
        ("require('./lib')", "the script reads files of the repository"),
        ("require('fs').readFileSync('package.json')", "the script reads files of the repository"),
    ] {
        assert_eq!(end(body).await, expected, "{body}");
    }
}

#[tokio::test]
async fn a_script_that_fails_at_its_top_makes_nothing() {
    let (world, start) =
        start("const { Job } = require('brigadier');\nnew Job('a', 'b').run();\n  oops();").await;
    let StartEnd::Ended(outcome) = start.end else { panic!("{:?}", start.end) };
    assert_eq!(outcome.phase, Phase::Failed);
    assert_eq!(
        outcome.reason.unwrap(),
        "ReferenceError: oops is not defined\n    at brigade.js:3:3"
    );
    assert_eq!(world.calls(), [""; 0]);
    assert_eq!(world.printed()[0], "[brigade:app] ReferenceError: oops is not defined");
}

#[tokio::test]
async fn a_build_without_jobs_ends_in_the_function_after_its_after() {
    let (world, start) = start(
        "const { events } = require('brigadier');
         events.on('push', () => console.log('push'));
         events.on('after', (e) => console.log(e.type, e.provider, e.cause.event.type, e.cause.trigger));",
    )
    .await;
    assert!(matches!(&start.end, StartEnd::Ended(outcome) if outcome.exit_code == 0));
    assert_eq!(world.said(), ["push", "after brigade push success"]);
    assert_eq!(start.log, "push\nafter brigade push success\n");
}

#[tokio::test]
async fn an_action_fires_a_second_name() {
    let world = World::new();
    let mut event = event("pull_request");
    event.action = Some("opened".to_owned());
    let script = "const { events } = require('brigadier');
        events.on('pull_request:opened', (e) => console.log('2', e.type));
        events.on('pull_request', (e) => console.log('1', e.type));
        events.on('pull_request:closed', (e) => console.log('3', e.type));";
    let context = world.build(PROJECT, event, script).await;
    let start = world.start(&context).await;
    assert_eq!(world.said(), ["1 pull_request", "2 pull_request:opened"]);
    assert_eq!(start.fired, ["pull_request", "pull_request:opened"]);
    assert_eq!(start.handlers, ["pull_request:opened", "pull_request", "pull_request:closed"]);
}

#[tokio::test]
async fn a_script_without_end_is_left_to_a_worker() {
    let world = World::new();
    let mut context = world.build(PROJECT, event("push"), "for (;;);").await;
    context.options.limits.running = std::time::Duration::from_millis(50);
    let start = world.start(&context).await;
    let StartEnd::Awaits { reason } = start.end else { panic!("{:?}", start.end) };
    assert_eq!(reason, "the script has more to compute than there is time for here");
}

#[tokio::test]
async fn a_notifier_follows_every_build() {
    let world = World::new();
    let script = "const { events, Job } = require('brigadier');
        events.on('push', () => { new Job('a', 'b').run(); });";
    let mut context = world.build(PROJECT, event("push"), script).await;
    context.options.notifies = true;
    let start = world.start(&context).await;
    assert!(matches!(start.end, StartEnd::Awaits { .. }), "{:?}", start.end);
}

#[tokio::test]
async fn a_cluster_that_is_away_is_an_error_that_may_be_tried_again() {
    let world = World::new();
    let script = "const { events, Job } = require('brigadier');
        events.on('push', () => { new Job('a', 'b').run(); });";
    let mut context = world.build(PROJECT, event("push"), script).await;
    world
        .server
        .faults()
        .lay(apiserver::Fault { times: u32::MAX, ..apiserver::Fault::next("POST", "/pods", 503) });
    let soon = tokio::time::Instant::now() + std::time::Duration::from_millis(300);
    context.cluster = context.cluster.with_deadline(soon);
    let error = pipeline::start(&context, world.output()).await.unwrap_err();
    assert!(
        matches!(&error, pipeline::PipelineError::Cluster(error) if error.is_passing()),
        "{error:?}"
    );
    world.server.faults().clear();
    context.cluster = world.cluster();
    let start = world.start(&context).await;
    assert!(matches!(start.end, StartEnd::Detached));
    assert_eq!(world.jobs().await, ["a"]);
}

#[tokio::test]
async fn typescript_is_started_where_there_is_a_compiler_and_left_to_a_worker_elsewhere() {
    let world = World::new();
    let script = "import { events, Job, type Event } from 'brigadier';
         enum Image { Alpine = 'alpine' }
         events.on('push', (e: Event): void => { new Job('typed', Image.Alpine).run(); });";
    for name in ["brigade.ts", "brigade.js"] {
        let mut context = world.build(PROJECT, event("push"), script).await;
        context.script.name = name.to_owned();
        let start = world.start(&context).await;
        match start.end {
            StartEnd::Detached if cfg!(feature = "typescript") => {
                assert_eq!(start.jobs[0].name, "typed");
            }
            StartEnd::Awaits { reason } if !cfg!(feature = "typescript") => {
                assert_eq!(reason, "TypeScript is compiled in the worker");
            }
            end => panic!("{name}: {end:?}"),
        }
    }
}
