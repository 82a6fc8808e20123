//! Builds that mean harm, beside one that does not.

use std::time::Duration;

use pipeline::Limits;
use runtime::build::Phase;

use serde_json::json;

use crate::world::{PROJECT, World, container, event};

const HEAD: &str = "const { events, Job, Group } = require('brigadier');\n";

/// Scripts that end badly, and what is said of each.
const BAD: [(&str, &str); 14] = [
    ("events.on('push', () => { for (;;); })", TIME),
    ("events.on('push', async () => { for (;;) await null; })", TIME),
    ("events.on('push', () => { (function f() { queueMicrotask(f) })() })", TIME),
    ("events.on('push', () => { /^(a+)+$/.test('a'.repeat(40) + '!') })", TIME),
    ("const f = () => setImmediate(f); events.on('push', f)", TIME),
    ("const a = []; for (;;) a.push(new Array(1000).fill(1))", MEMORY),
    ("const f = []; for (let i = 0; ; i++) f.push(() => i)", MEMORY),
    ("let s = 'x'; for (;;) s += s + 'y'", "string too long"),
    ("(function f() { f() })()", "Maximum call stack size exceeded"),
    (
        "for (let i = 0; i < 1e6; i++) setTimeout(() => {}, 1e6)",
        "RangeError: a build may have 1000 timers pending at once; limits.scriptTimers of the project raises that, up to SCRIPT_LIMITS of the installation",
    ),
    (
        "for (let i = 0; ; i++) new Job('j' + i, 'i').run()",
        "RangeError: a build may run 1000 jobs, and job j1000 would be one more; limits.scriptJobs of the project raises that, up to SCRIPT_LIMITS of the installation",
    ),
    (
        "const j = new Job('a', 'i'); j.tasks = ['x'.repeat(2e6)]; j.run()",
        "RangeError: a job may take 1048576 bytes",
    ),
    ("throw new Error('x'.repeat(1e6))", " more bytes"),
    ("new Job('a', 'i', { worker: null }).run(); throw null", "null, which a script"),
];

const TIME: &str = "the script computed for more than 1s; limits.scriptTime of the project raises that, up to SCRIPT_LIMITS of the installation";

const MEMORY: &str = "\nthe script may use 16 MiB of memory; limits.scriptMemory of the project raises that, up to SCRIPT_LIMITS of the installation";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_build_is_ended_and_explained_and_no_other_is_touched() {
    let good = async {
        let world = World::new();
        let script = format!(
            "{HEAD}events.on('push', async () => {{
                for (let i = 0; i < 10; i++) {{
                    await Group.runAll([new Job('a' + i, 'i'), new Job('b' + i, 'i')]);
                    console.log('step', i);
                }}
            }})"
        );
        let context = world.build(PROJECT, event("push"), &script).await;
        let outcome = world.run(&context, world.end_all()).await;
        assert_eq!((outcome.phase, outcome.jobs.len()), (Phase::Succeeded, 20));
        let steps: Vec<String> = (0..10).map(|number| format!("step {number}")).collect();
        assert_eq!(world.said(), steps);
    };
    let bad = async {
        for (body, expected) in BAD {
            let world = World::new();
            let script = format!("{HEAD}{body}");
            let mut context = world.build(PROJECT, event("push"), &script).await;
            // Only who computes for ever is to run out of time.
            let running = Duration::from_secs(if expected == TIME { 1 } else { 60 });
            context.options.limits = Limits { memory: 16 << 20, running, ..Limits::default() };
            let outcome = world.run(&context, world.end_all()).await;
            let reason = outcome.reason.unwrap_or_default();
            let phase = if reason == TIME { Phase::TimedOut } else { Phase::Failed };
            assert_eq!(outcome.phase, phase, "{body}: {reason}");
            assert!(reason.contains(expected), "{body}: {}", &reason[..reason.len().min(300)]);
            let printed: usize = world.printed().iter().map(String::len).sum();
            assert!(printed < 100_000, "{body} printed {printed}");
        }
    };
    // Each on the heap: together they take more of the stack than a test has.
    tokio::join!(Box::pin(good), Box::pin(bad));
}

#[tokio::test]
async fn what_a_build_prints_is_bounded_and_that_is_said() {
    let world = World::new();
    let script = format!(
        "{HEAD}for (let i = 0; i < 100; i++) console.log('x'.repeat(1e6)); events.on('push', () => {{}})"
    );
    let context = world.build(PROJECT, event("push"), &script).await;
    let outcome = world.run(&context, world.end_all()).await;
    assert_eq!(outcome.phase, Phase::Succeeded);
    let printed: usize = world.printed().iter().map(String::len).sum();
    assert!(printed < 5 << 20, "{printed}");
    let said = "the rest is not shown; limits.scriptOutput of the project raises that, up to SCRIPT_LIMITS of the installation";
    assert!(world.printed().iter().any(|line| line.ends_with(said)));
}

#[tokio::test]
async fn secrets_are_hidden_wherever_they_come_out() {
    let world = World::new();
    let script = format!(
        "{HEAD}events.on('push', async (e, project) => {{
            const secret = project.secrets.DOCKER_PASS;
            console.log(encodeURIComponent('/' + secret), Buffer.from('captain:' + secret).toString('base64'));
            console.log(Buffer.from(secret).toString('hex'), JSON.stringify({{ secret }}), [secret]);
            const shown = new Job('shown', 'i'); shown.streamLogs = true;
            await shown.run();
            await new Job('bad', 'i').run();
        }});
        events.on('x correct-horse', () => {{}});"
    );
    let context = world.build(PROJECT, event("push"), &script).await;
    let log =
        format!("the password is correct-horse\n{}correct-horse\n", "x".repeat((16 << 10) - 5));
    let pod = format!("shown-{}", context.build.id);
    world.logs.lock().unwrap().insert(pod, log);
    let start = world.start(&context).await;
    assert_eq!(start.handlers, ["push", "x ***"]);
    let kubelet = async {
        world.wait_for(&["shown"]).await;
        world.end("shown", 0).await;
        world.wait_for(&["bad"]).await;
        let state = json!({ "terminated": { "exitCode": 1, "reason": "correct-horse", "message": "correct-horse is wrong" } });
        let status = json!({ "phase": "Failed", "containerStatuses": [container(state)] });
        world.report("bad", status).await;
    };
    let outcome = world.run(&context, kubelet).await;
    let all =
        format!("{:#?} {:#?} {:#?} {start:#?}", world.printed(), outcome, outcome.annotations());
    assert!(all.contains("the password is ***"), "{all}");
    for part in
        ["correct-horse", "Y29ycmVjdC1ob3J", "Y29ycmVjdC1ob3", "636f7272656374", "correct%2Dhorse"]
    {
        assert!(!all.contains(part), "{part}: {all}");
    }
}
