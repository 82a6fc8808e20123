//! What a project says about how many jobs run at once, and about what its script may use.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::TryStreamExt;
use kube::api::{WatchEvent, WatchParams};
use pipeline::{Limits, StartEnd};
use runtime::build::Phase;
use runtime::project::ScriptLimits;

use crate::world::{PROJECT, World, event};

const SEVEN: &str = "
const { events, Job, Group } = require('brigadier');
events.on('push', async () => {
    await Group.runAll([1, 2, 3, 4, 5, 6].map((n) => new Job(`job-${n}`, 'alpine', ['true'])));
    new Job('job-7', 'alpine', ['true']).run();
});";

#[tokio::test]
async fn no_more_jobs_of_a_build_run_at_once_than_its_project_allows_and_all_run() {
    let world = World::new();
    let project = format!("{PROJECT}limits: {{maxJobs: 2}}");
    let context = world.build(&project, event("push"), SEVEN).await;
    let started = world.start(&context).await;
    assert_eq!((started.jobs.len(), started.made), (2, 2));
    assert!(matches!(started.end, StartEnd::Awaits { .. }), "{started:?}");
    let context = world.accepted(&context, &started).await;
    let most = std::cell::Cell::new(0);
    let outcome = world.run(&context, async {
        let mut changes = Box::pin(
            world
                .pods_api()
                .watch(&WatchParams::default().labels("component=job"), "0")
                .await
                .unwrap(),
        );
        let mut open = BTreeSet::new();
        while let Some(change) = changes.try_next().await.unwrap() {
            let WatchEvent::Added(pod) = change else { continue };
            open.insert(pod.metadata.labels.unwrap()["jobname"].clone());
            most.set(most.get().max(open.len()));
            // The second ends when it has come, and so do the first and, at last, the seventh.
            if open.len() == 2 || open.contains("job-7") {
                for job in std::mem::take(&mut open) {
                    world.end(&job, 0).await;
                }
            }
        }
    });
    let outcome = outcome.await;
    assert_eq!((outcome.phase, outcome.jobs.len()), (Phase::Succeeded, 7));
    assert_eq!(most.get(), 2);
}

#[tokio::test]
async fn a_script_is_held_to_what_its_project_allows() {
    for (limits, script, reason) in [
        ("scriptTime: 50ms", "for (;;);", "for more than 50ms"),
        ("scriptJobs: 1", SEVEN, "a build may run 1 jobs"),
        ("scriptTimers: 1", "setTimeout(() => 1, 1); setTimeout(() => 1, 1)", "1 timers"),
        (
            "scriptMemory: 8Mi",
            "const all = []; for (;;) all.push(new Array(9999).fill(1))",
            "memory",
        ),
    ] {
        let world = World::new();
        let project = format!("{PROJECT}limits: {{{limits}}}");
        let mut context = world.build(&project, event("push"), script).await;
        let mut set = Limits::of(&context.project, &ScriptLimits::default());
        if context.project.limits.script.time.is_none() {
            // Only who is to run out of time does.
            set.running = Duration::from_secs(60);
        }
        context.options.limits = set;
        let outcome = world.run(&context, world.end_all()).await;
        assert_ne!(outcome.phase, Phase::Succeeded, "{limits}");
        let told = outcome.reason.clone().unwrap_or_default() + &world.printed().join("\n");
        assert!(told.contains(reason), "{limits}: {told}");
    }
}
