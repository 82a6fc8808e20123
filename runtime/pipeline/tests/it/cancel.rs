//! Builds that are cancelled: before they begin, while they run, and while they end.

use std::time::Duration;

use jiff::Timestamp;
use pipeline::{Context, Outcome, PipelineError};
use runtime::build::{Build, Phase};
use runtime::cluster::{Cancelled, Cluster};

use crate::world::{Hang, PROJECT, World, event};

const HEAD: &str = "const { events, Job, Group } = require('brigadier');
    const job = (name) => new Job(name, 'alpine', ['true']);\n";

/// Cancels a build, as a person or a newer build does.
async fn cancel(world: &World, context: &Context, reason: &str) -> Cancelled {
    let cluster = Cluster::new(world.server.client(), "default");
    cluster.cancel("default", context.build.id, reason).await.unwrap()
}

async fn phase(world: &World, context: &Context) -> Option<Phase> {
    let cluster = Cluster::new(world.server.client(), "default");
    cluster.build("default", context.build.id).await.unwrap().unwrap().phase()
}

/// Runs a build that is accepted, so that a worker is supposed to live.
async fn run(
    world: &World,
    context: &Context,
    meanwhile: impl Future<Output = ()>,
) -> Result<Outcome, PipelineError> {
    context.cluster.accept(&context.build, &[].into()).await.unwrap();
    let run = pipeline::run(context, world.output(), std::future::pending());
    let both = async { tokio::join!(run, meanwhile).0 };
    let ended = tokio::time::timeout(Duration::from_secs(60), both).await;
    ended.unwrap_or_else(|_| panic!("the build does not end; it printed {:#?}", world.printed()))
}

#[tokio::test(start_paused = true)]
async fn a_build_that_is_in_no_secret_is_not_taken_for_a_deleted_one() {
    let script = format!(
        "{HEAD}events.on('push', async () => {{
            await new Promise((resolve) => setTimeout(resolve, 20_000));
            console.log('later');
        }});"
    );
    let world = World::new();
    let mut context = world.build(PROJECT, event("push"), &script).await;
    context.build = Build::new(&context.project, event("pull"), Timestamp::now());
    context.build.event = event("push");
    let outcome = world.run(&context, async {}).await;
    assert_eq!((outcome.phase, outcome.reason), (Phase::Succeeded, None), "{:#?}", world.printed());
    assert_eq!(world.said(), ["later"]);
}

#[tokio::test]
async fn a_cancelled_build_ends_its_pods_and_promises_and_tells_its_error_handlers() {
    let script = format!(
        "{HEAD}
        events.on('push', async () => {{
            job('beside').run();
            try {{
                await job('long').run();
            }} catch (error) {{
                console.log('caught', error.message, error.reason);
                await job('more').run().catch((error) => console.log(error.message));
                setTimeout(() => console.log('a timer rang'), 1);
            }}
        }});
        events.on('error', async (e) => {{
            console.log(e.type, e.cause.trigger, e.cause.event.type, e.cause.reason.message);
            await job('tidy').run();
            await new Promise((resolve) => setTimeout(resolve, 1));
            await job('tidier').run();
            console.log('tidied');
        }});
        events.on('after', () => console.log('after'));"
    );
    let world = World::new();
    let context = world.build(PROJECT, event("push"), &script).await;
    let id = context.build.id;
    let outcome = run(&world, &context, async {
        world.wait_for(&["long", "beside"]).await;
        assert_eq!(cancel(&world, &context, "not needed").await, Cancelled::Asked);
        for name in ["tidy", "tidier"] {
            world.wait_for(&[name]).await;
            world.end(name, 0).await;
        }
    });
    let outcome = outcome.await.unwrap();
    assert_eq!((outcome.phase, outcome.exit_code), (Phase::Cancelled, 1));
    assert_eq!(outcome.reason.as_deref(), Some("the build was cancelled: not needed"));
    let mut said = world.said();
    said.retain(|line| !line.starts_with("Error: "));
    assert_eq!(
        said,
        [
            "error cancelled push the build was cancelled: not needed".to_owned(),
            format!(
                "caught job long(long-{id}): Error: the build was cancelled: not needed Cancelled"
            ),
            format!(
                "job more(more-{id}): Error: it is not run, because the build was cancelled: not needed"
            ),
            "tidied".to_owned(),
        ]
    );
    assert_eq!(world.jobs().await, ["tidy", "tidier"]);
    assert_eq!(phase(&world, &context).await, Some(Phase::Cancelled));
    assert_eq!(cancel(&world, &context, "again").await, Cancelled::Before(Phase::Cancelled));
}

#[tokio::test]
async fn error_handlers_of_a_cancelled_build_do_not_go_on_for_ever() {
    let script = format!(
        "{HEAD}
        events.on('push', () => Group.runAll([job('one'), job('two')]));
        events.on('error', async () => {{ for (let n = 0; ; n++) await job(`tidy-${{n}}`).run(); }});"
    );
    let world = World::new();
    let mut context = world.build(PROJECT, event("push"), &script).await;
    context.options.patience.cancelled = Duration::from_millis(500);
    let outcome = run(&world, &context, async {
        world.wait_for(&["one", "two"]).await;
        cancel(&world, &context, "").await;
    });
    let outcome = outcome.await.unwrap();
    assert_eq!(outcome.phase, Phase::Cancelled);
    assert_eq!(outcome.reason.as_deref(), Some("the build was cancelled"));
    assert_eq!(world.jobs().await, [""; 0]);
}

#[tokio::test]
async fn a_worker_that_finds_its_build_cancelled_ends_what_was_made_and_runs_nothing() {
    let script = format!(
        "{HEAD} console.log('evaluated');
        events.on('push', async () => {{
            const first = job('first');
            first.storage.enabled = true;
            await first.run();
        }});"
    );
    let world = World::new();
    let mut context = world.build(PROJECT, event("push"), &script).await;
    world.start(&context).await;
    world.forget();
    assert_eq!((world.jobs().await.len(), world.claims().await.len()), (1, 1));
    context.cluster.accept(&context.build, &[].into()).await.unwrap();
    assert_eq!(cancel(&world, &context, "true").await, Cancelled::Asked);
    context.build = context.cluster.build("default", context.build.id).await.unwrap().unwrap();
    let outcome = run(&world, &context, async {}).await.unwrap();
    assert_eq!((outcome.phase, outcome.exit_code), (Phase::Cancelled, 1));
    assert_eq!(world.said(), [""; 0]);
    assert_eq!((world.jobs().await.len(), world.claims().await.len()), (0, 0));
    assert_eq!(phase(&world, &context).await, Some(Phase::Cancelled));
}

#[tokio::test]
async fn deleting_a_build_ends_its_worker() {
    let script = format!("{HEAD} events.on('push', () => job('long').run());");
    let world = World::new();
    let context = world.build(PROJECT, event("push"), &script).await;
    let outcome = run(&world, &context, async {
        world.wait_for(&["long"]).await;
        let cluster = Cluster::new(world.server.client(), "default");
        let head = cluster.head("default", context.build.id).await.unwrap().unwrap();
        cluster.delete_build(&head).await.unwrap();
    });
    let outcome = outcome.await.unwrap();
    assert!(
        matches!(outcome.phase, Phase::Cancelled | Phase::Failed),
        "{outcome:?}: {:#?}",
        world.printed()
    );
    assert_eq!(world.jobs().await, [""; 0]);
}

#[tokio::test]
async fn a_detached_build_is_ended_by_who_cancels_it() {
    let script = format!("{HEAD} events.on('push', () => {{ job('a').run(); job('b').run(); }});");
    let world = World::new();
    let context = world.build(PROJECT, event("push"), &script).await;
    world.start(&context).await;
    world.end("a", 0).await;
    let detached = [("brigantine.dev/detached".to_owned(), "true".to_owned())];
    context.cluster.accept(&context.build, &detached.into()).await.unwrap();
    assert_eq!(cancel(&world, &context, "too late").await, Cancelled::Ended);
    assert_eq!(world.jobs().await, ["a"]);
    let build = context.cluster.build("default", context.build.id).await.unwrap().unwrap();
    assert_eq!(build.phase(), Some(Phase::Cancelled));
    assert_eq!(build.annotations["brigantine.dev/jobs"], "2 run, 1 succeeded, 0 failed");
    assert_eq!(build.annotations["brigantine.dev/reason"], "the build was cancelled: too late");
}

#[tokio::test]
async fn a_worker_that_dies_while_its_build_is_cancelled_is_survived() {
    const SCRIPT: &str = "const { events, Job, Group } = require('brigadier');
        const job = (name) => new Job(name, 'alpine', ['true']);
        events.on('push', () => Group.runAll([job('one'), job('two'), job('three')]));
        events.on('error', () => { job('tidy').run(); });";
    let die = async |after: usize, carried_out: bool| {
        let world = World::new();
        let mut context = world.build(PROJECT, event("push"), SCRIPT).await;
        context.options.patience.cancelled = Duration::from_secs(1);
        context.cluster.accept(&context.build, &[].into()).await.unwrap();
        let before = Cluster::new(world.server.client(), "default");
        let meanwhile = async {
            world.wait_for(&["one", "two", "three"]).await;
            before.cancel("default", context.build.id, "").await.unwrap();
            std::future::pending::<()>().await;
        };
        let lived = {
            let hang = Hang { after, carried_out };
            tokio::select! {
                ended = world.run_until(&context, hang) => ended.is_some(),
                () = meanwhile => unreachable!("it waits for ever"),
            }
        };
        // Where it died before anybody could cancel it.
        before.cancel("default", context.build.id, "").await.unwrap();
        context.build = before.build("default", context.build.id).await.unwrap().unwrap();
        let outcome = run(&world, &context, async {}).await.unwrap();
        assert_eq!(outcome.phase, Phase::Cancelled, "{after} {carried_out}");
        assert_eq!(phase(&world, &context).await, Some(Phase::Cancelled), "{after}");
        assert_eq!(world.jobs().await, [""; 0], "{after} {carried_out}");
        lived
    };
    // Many at once, until one needed fewer calls than that.
    let mut deaths = 0;
    for first in (0..).step_by(14) {
        let fates = (first..first + 14).flat_map(|after| [(after, false), (after, true)]);
        let all = futures::future::join_all(fates.map(|(after, done)| die(after, done))).await;
        deaths += all.iter().filter(|lived| !**lived).count();
        if all.ends_with(&[true, true]) {
            break;
        }
    }
    assert!(deaths > 20, "{deaths}");
}
