//! Scripts that see the same again, whatever a second life of their build finds.

use std::collections::BTreeSet;

use jiff::Timestamp;
use pipeline::{JobResult, Outcome};
use runtime::build::Phase;
use serde_json::json;

use crate::world::{Hang, PROJECT, World, container, event};

const HEAD: &str = "const { events, Job, Group } = require('brigadier');
    const job = (name) => new Job(name, 'alpine', ['true']);\n";

async fn world(body: &str) -> (World, pipeline::Context) {
    let world = World::new();
    let context = world.build(PROJECT, event("push"), &format!("{HEAD}{body}")).await;
    (world, context)
}

/// The next life of the build, as a worker that is started again begins it.
async fn again(world: &World, context: &pipeline::Context) -> pipeline::Context {
    world.forget();
    let build = context.cluster.build("default", context.build.id).await.unwrap().unwrap();
    pipeline::Context { build, ..context.clone() }
}

/// Lives until something holds, and dies.
async fn live(world: &World, context: &pipeline::Context, until: impl Future<Output = ()>) {
    let ended = pipeline::run(context, world.output(), until).await;
    assert!(matches!(ended, Err(pipeline::PipelineError::Interrupted)), "{ended:?}");
}

/// Waits until something is noted on a job.
async fn noted(world: &World, job: &str, annotation: &str) {
    world.secret_with(job, annotation).await;
}

#[tokio::test]
async fn what_is_named_by_clock_and_chance_is_named_the_same() {
    let names = "events.on('push', async () => {
        const crypto = require('crypto');
        await job(`t-${Date.now()}`).run();
        await job(`u-${crypto.randomUUID().slice(0, 8)}-${new Date().getTime()}`).run();
        await new Promise((resolve) => setTimeout(resolve, 3));
        await job(`v-${crypto.randomBytes(4).toString('hex')}-${Date.now()}`).run();
        await job(`w-${Math.random().toString(36).slice(2)}-${Math.floor(performance.now())}`).run();
    })";
    for after in 0.. {
        let (world, context) = world(names).await;
        let hang = Hang { after, carried_out: true };
        let kubelet = world.end_all();
        let outcome = async {
            let lived = world.run_until(&context, hang).await;
            let died = lived.is_none();
            let context = again(&world, &context).await;
            (died, world.run(&context, async {}).await)
        };
        let (died, outcome) = tokio::select! {
            outcome = outcome => outcome,
            () = kubelet => unreachable!("it watches for ever"),
        };
        assert_eq!(outcome.phase, Phase::Succeeded, "{:#?}", world.printed());
        let jobs = world.jobs().await;
        assert_eq!(jobs.len(), 4, "{after}: {jobs:?}");
        if !died {
            break;
        }
    }
}

/// The clock of a script that races its job against a timer says what it saw.
#[tokio::test]
async fn jobs_and_timers_are_told_in_the_order_in_which_they_were() {
    let body = "const seen = [];
        const then = (name) => (result) => { seen.push(`${name}@${Date.now()}`); };
        events.on('push', async () => {
            const timers = [2, 40, 90].map((ms) => new Promise((r) => setTimeout(r, ms)).then(then(`t${ms}`)));
            const jobs = ['a', 'b', 'c'].map((name) => job(name).run().then(then(name)));
            await Promise.all([...timers, ...jobs]);
            await job('last').run();
            console.log(seen.join(' '));
            await job('end').run();
            console.log(seen.join(' '));
        })";
    let (world, context) = world(body).await;
    let first = async {
        world.wait_for(&["a", "b", "c"]).await;
        for name in ["b", "c", "a"] {
            world.end(name, 0).await;
            noted(&world, name, "brigantine.dev/end").await;
        }
        world.wait_for(&["last"]).await;
        world.end("last", 0).await;
        world.wait_for(&["end"]).await;
    };
    live(&world, &context, first).await;
    let said = world.said();
    // Nothing of it is left but what was noted.
    for name in ["a", "b", "c", "last"] {
        world.delete(name).await;
    }
    let context = again(&world, &context).await;
    let kubelet = async { world.end("end", 0).await };
    let outcome = world.run(&context, kubelet).await;
    assert_eq!(outcome.phase, Phase::Succeeded, "{:#?}", world.printed());
    assert_eq!(world.said(), [said[0].clone(), said[0].clone()]);
    assert_eq!(world.jobs().await, ["end"]);
}

/// A job that the cluster refuses races a timer that the start does not wait for.
#[tokio::test]
async fn what_a_start_told_first_the_worker_tells_first() {
    let body = "events.on('push', async () => {
        const timer = new Promise((resolve) => setTimeout(resolve, 100, 'timer'));
        const first = await Promise.race([job('refused').run().catch(() => 'job'), timer]);
        await job(`${first}-won`).run();
    })";
    let (world, mut context) = world(body).await;
    let created = Some(Timestamp::now() - std::time::Duration::from_secs(10));
    context.build.created = created;
    world.server.faults().lay(apiserver::Fault::next("POST", "/pods", 403));
    let start = world.start(&context).await;
    assert_eq!(start.jobs[0].name, "job-won");
    let mut context = world.accepted(&context, &start).await;
    context.build.created = created;
    let outcome = world.run(&context, world.end_all()).await;
    assert_eq!(outcome.phase, Phase::Succeeded, "{:#?}", world.printed());
    assert_eq!(world.jobs().await, ["job-won"]);
}

#[tokio::test]
async fn a_result_is_there_when_its_pod_is_gone() {
    let body = "events.on('push', async () => {
        const one = job('one');
        const result = await one.run();
        const log = await one.logs();
        await job('two').run().catch(() => {});
        console.log(`${result}`.trim(), log.trim(), result.exitCode, result.endTime >= result.startTime, result.podName === one.podName);
    })";
    let (world, context) = world(body).await;
    let first = async {
        world.wait_for(&["one"]).await;
        world.end("one", 0).await;
        world.wait_for(&["two"]).await;
    };
    live(&world, &context, first).await;
    world.delete("one").await;
    let context = again(&world, &context).await;
    let outcome = world.run(&context, async { world.end("two", 1).await }).await;
    assert_eq!(outcome.phase, Phase::Succeeded, "{:#?}", world.printed());
    assert_eq!(world.said().last().unwrap(), "log of one log of one 0 true true");
    assert_eq!(world.jobs().await, ["two"]);
}

#[tokio::test]
async fn a_long_log_is_read_again_or_its_end_is_what_was_kept() {
    let body = "events.on('push', async () => {
        const { data } = await job('one').run();
        await job('two').run();
        console.log(data.length, data.slice(-4));
    })";
    for gone in [false, true] {
        let (world, context) = world(body).await;
        let first = async {
            world.wait_for(&["one"]).await;
            let pod = world.job_pod("one").await.metadata.name.unwrap();
            world.logs.lock().unwrap().insert(pod, format!("{}end\n", "x".repeat(50_000)));
            world.end("one", 0).await;
            world.wait_for(&["two"]).await;
        };
        live(&world, &context, first).await;
        if gone {
            let pod = world.job_pod("one").await.metadata.name.unwrap();
            world.logs.lock().unwrap().insert(pod, String::new());
            world.delete("one").await;
            world.logless.lock().unwrap().insert("one".to_owned());
        }
        let context = again(&world, &context).await;
        world.run(&context, async { world.end("two", 0).await }).await;
        let expected = if gone { "16384 end" } else { "50004 end" };
        assert_eq!(world.said()[0], expected, "{gone}");
    }
}

#[tokio::test]
async fn a_failure_is_told_again_when_its_pod_is_gone() {
    let body = "events.on('push', async () => {
        await job('bad').run().catch((error) => console.log(error.exitCode, error.reason, error.message.slice(0, 7)));
        await job('two').run();
    })";
    let (world, context) = world(body).await;
    let first = async {
        world.wait_for(&["bad"]).await;
        world.end("bad", 7).await;
        world.wait_for(&["two"]).await;
    };
    live(&world, &context, first).await;
    let said = world.said();
    world.delete("bad").await;
    let context = again(&world, &context).await;
    let outcome = world.run(&context, async { world.end("two", 0).await }).await;
    assert_eq!(outcome.phase, Phase::Succeeded);
    assert_eq!(world.said(), said);
    assert_eq!(world.jobs().await, ["two"]);
}

#[tokio::test]
async fn a_pod_that_was_deleted_while_nobody_looked_is_not_made_again() {
    let body = "events.on('push', async () => { await job('one').run(); })";
    let (world, context) = world(body).await;
    let first = async {
        world.wait_for(&["one"]).await;
        world.build_with(&context, "brigantine.dev/made").await;
    };
    live(&world, &context, first).await;
    world.delete("one").await;
    let context = again(&world, &context).await;
    let outcome = world.run(&context, async {}).await;
    let JobResult::Failed(message) = &outcome.jobs[0].result else { panic!("{outcome:?}") };
    assert!(message.ends_with("was deleted before it ran to completion"), "{message}");
    assert_eq!(world.jobs().await, [""; 0]);
}

#[tokio::test]
async fn a_job_that_did_well_without_being_asked_counts_when_its_pod_is_gone() {
    let body = "events.on('push', async () => { job('one').run(); await job('two').run(); })";
    let (world, context) = world(body).await;
    let first = async {
        world.wait_for(&["one", "two"]).await;
        world.end("one", 0).await;
        noted(&world, "one", "brigantine.dev/end").await;
    };
    live(&world, &context, first).await;
    world.delete("one").await;
    let context = again(&world, &context).await;
    let outcome = world.run(&context, async { world.end("two", 0).await }).await;
    assert_eq!(outcome.phase, Phase::Succeeded, "{:#?}", world.printed());
    assert!(outcome.jobs.iter().all(|job| job.result == JobResult::Succeeded), "{outcome:?}");
}

async fn retried(retries: u32, statuses: Vec<serde_json::Value>) -> (World, Outcome) {
    let (world, mut context) = world(&format!(
        "events.on('push', async () => {{
            const one = job('one');
            one.retries = {retries};
            const result = await one.run();
            console.log(result.podName);
        }})"
    ))
    .await;
    context.options.patience.start = std::time::Duration::from_millis(1);
    let kubelet = async {
        let mut seen = BTreeSet::new();
        for status in statuses {
            let pod = world.wait_for_another(&mut seen).await;
            world.report_pod(&pod, status).await;
        }
    };
    let outcome = world.run(&context, kubelet).await;
    (world, outcome)
}

#[tokio::test]
async fn what_the_cluster_lost_is_run_again_as_often_as_the_job_says() {
    let waits = json!({ "phase": "Pending", "containerStatuses": [container(json!({ "waiting": { "reason": "ErrImagePull", "message": "no" } }))] });
    let evicted = json!({ "phase": "Failed", "reason": "Evicted", "message": "low on memory",
        "containerStatuses": [container(json!({ "terminated": { "exitCode": 137 } }))] });
    let refused = json!({ "phase": "Failed", "reason": "OutOfcpu", "message": "no room" });
    let well = json!({ "phase": "Succeeded", "containerStatuses": [container(json!({ "terminated": { "exitCode": 0 } }))] });
    let bad = json!({ "phase": "Failed", "containerStatuses": [container(json!({ "terminated": { "exitCode": 1 } }))] });
    for (retries, statuses, pods, phase) in [
        (1, vec![waits.clone(), well.clone()], 2, Phase::Succeeded),
        (1, vec![waits.clone(), waits.clone()], 2, Phase::Failed),
        (0, vec![waits.clone()], 1, Phase::Failed),
        // What a node took counts for nothing, where the job was not begun or may be begun again.
        (
            1,
            vec![evicted.clone(), evicted.clone(), waits.clone(), well.clone()],
            4,
            Phase::Succeeded,
        ),
        (0, vec![refused.clone(), well.clone()], 2, Phase::Succeeded),
        (0, vec![evicted.clone()], 1, Phase::Failed),
        // A job's own failure is its own.
        (5, vec![bad.clone()], 1, Phase::Failed),
    ] {
        let (world, outcome) = retried(retries, statuses.clone()).await;
        assert_eq!(outcome.phase, phase, "{statuses:?} {:#?}", world.printed());
        assert_eq!(outcome.jobs.len(), 1);
        let created = world.calls().iter().filter(|call| *call == "POST pods").count();
        assert_eq!(created, pods, "{statuses:?}");
        let suffix = format!("-r{}", pods - 1);
        assert_eq!(outcome.jobs[0].pod.ends_with(&suffix), pods > 1, "{outcome:?}");
    }
}

#[tokio::test]
async fn a_second_life_follows_the_pod_that_stands_for_a_job() {
    let (world, mut context) = world(
        "events.on('push', async () => { const one = job('one'); one.retries = 1; console.log(`${await one.run()}`.trim()); })",
    )
    .await;
    context.options.patience.start = std::time::Duration::from_millis(1);
    let mut seen = BTreeSet::new();
    let first = async {
        let pod = world.wait_for_another(&mut seen).await;
        let waits = container(json!({ "waiting": { "reason": "ErrImagePull", "message": "no" } }));
        let status = json!({ "phase": "Pending", "containerStatuses": [waits] });
        world.report_pod(&pod, status).await;
        world.wait_for_another(&mut seen).await;
        noted(&world, "one", "brigantine.dev/attempt").await;
    };
    live(&world, &context, first).await;
    let context = again(&world, &context).await;
    let pod = seen.iter().find(|name| name.ends_with("-r1")).unwrap().clone();
    let kubelet = async {
        let end = container(json!({ "terminated": { "exitCode": 0 } }));
        let status = json!({ "phase": "Succeeded", "containerStatuses": [end] });
        world.report_pod(&pod, status).await;
    };
    let outcome = world.run(&context, kubelet).await;
    assert_eq!((outcome.phase, &outcome.jobs[0].pod), (Phase::Succeeded, &pod));
    let posts = world.calls().iter().filter(|call| *call == "POST pods").count();
    assert_eq!(posts, 2, "{:?}", world.calls());
}

#[tokio::test]
async fn a_script_that_computes_for_too_long_times_out() {
    let (world, mut context) = world("events.on('push', () => { for (;;); })").await;
    context.options.limits.running = std::time::Duration::from_millis(20);
    let outcome = world.run(&context, async {}).await;
    assert_eq!((outcome.phase, outcome.exit_code), (Phase::TimedOut, 1));
    assert!(outcome.reason.unwrap().contains("computed for more than 20ms"));
}

#[tokio::test]
async fn a_pod_that_is_lost_with_its_node_fails_its_job_after_a_while() {
    let (world, mut context) = world("events.on('push', () => job('one').run())").await;
    context.options.patience.node = std::time::Duration::from_millis(1);
    let kubelet = async {
        world.wait_for(&["one"]).await;
        let running = container(json!({ "running": {} }));
        let lost =
            json!({ "phase": "Unknown", "reason": "NodeLost", "containerStatuses": [running] });
        world.report("one", lost).await;
    };
    let outcome = world.run(&context, kubelet).await;
    let JobResult::Failed(message) = &outcome.jobs[0].result else { panic!("{outcome:?}") };
    assert!(message.contains("was lost: NodeLost: its node does not answer"), "{message}");
    assert!(world.calls().contains(&format!("DELETE {}", outcome.jobs[0].pod)));
}

#[tokio::test]
async fn a_start_that_is_repeated_after_a_worker_lived_makes_nothing_again() {
    let body = "events.on('push', async () => { await job('one').run(); await job('two').run(); })";
    let (world, context) = world(body).await;
    let first = async {
        world.wait_for(&["one"]).await;
        world.end("one", 0).await;
        world.wait_for(&["two"]).await;
    };
    live(&world, &context, first).await;
    world.delete("one").await;
    let start = world.start(&context).await;
    assert!(matches!(start.end, pipeline::StartEnd::Awaits { .. }), "{:?}", start.end);
    assert_eq!(world.jobs().await, ["two"]);
}
