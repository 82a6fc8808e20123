//! The process dies, or the cluster fails, at every possible moment; then the event is delivered
//! again. Nothing is lost, and nothing is made twice.

use std::pin::pin;
use std::task::Poll;

use runtime::build::{BuildId, Phase, annotation};
use runtime::line;

use super::*;

/// More calls than any delivery makes: a loop that comes so far never ends.
const ENDLESS: u32 = 1000;

/// A script whose worker has something to wait for.
const AWAITS: &str = "
    const { events, Job } = require('brigadier');
    events.on('push', async () => {
        await new Job('only', 'alpine:3', ['true']).run();
        await new Job('next', 'alpine:3', ['true']).run();
    });";

fn is_success(told: &Told) -> bool {
    (200..300).contains(&told.code)
}

/// Delivers again, and checks that there is one build of each event, started, with its one job.
async fn repair(world: &World, source: &Source, moment: &str) {
    let moment = format!("{}: {moment}", source.name);
    let told = world.send((source.sample)(1).proved()).await;
    assert!(is_success(&told), "{moment}: {told:?}");
    world.has_once(source.builds, &moment).await;
}

#[tokio::test]
async fn a_crash_between_any_two_calls_is_repaired_by_a_redelivery() {
    for source in sources::repeated() {
        for when in [When::Before, When::After] {
            let mut calls = 0;
            loop {
                let world = World::of(source).await;
                world.crash(calls, when);
                let told = world.send((source.sample)(1).proved()).await;
                world.server.faults().clear();
                repair(&world, source, &format!("{when:?} call {calls}, told {told:?}")).await;
                if is_success(&told) {
                    break;
                }
                if source.in_our_form {
                    assert_eq!(told.code, 500, "{}: {told:?}", source.name);
                    assert_eq!(told.body["status"], "internal error", "{}", source.name);
                }
                calls += 1;
                assert!(calls < ENDLESS, "{}", source.name);
            }
            // The project, the build, its job's Secret and pod, the label.
            assert!(calls >= 5, "{} {when:?}: {calls}", source.name);
        }
    }
}

#[tokio::test]
async fn one_call_that_is_refused_loses_nothing_and_makes_nothing_twice() {
    for source in sources::shapes() {
        for when in [When::Before, When::After] {
            for call in 0..8 {
                let world = World::of(source).await;
                world.fail_once(call, 403, when);
                let told = world.send((source.sample)(1).proved()).await;
                world.server.faults().clear();
                let moment = format!("{} {when:?} call {call}", source.name);
                let again = world.send((source.sample)(1).proved()).await;
                assert!(is_success(&again), "{moment}: {told:?}, {again:?}");
                let builds = world.builds().await;
                assert_eq!(builds.len(), source.builds, "{moment}");
                let pods = world.pods().await;
                for (id, accepted) in builds {
                    assert!(accepted, "{moment}");
                    let own = pods.iter().filter(|pod| pod.ends_with(&id)).count();
                    let job = pods.contains(&format!("{}-{id}", source.job));
                    let worker = pods.contains(&format!("brigade-worker-{id}"));
                    assert_eq!(own, usize::from(job) + usize::from(worker), "{moment}: {pods:?}");
                    // Where the function could not make the job, it has left that to a worker; where
                    // the cluster does not allow the job, that is how the build has ended.
                    let id = BuildId::parse(&id).unwrap();
                    let build = world.app.cluster.build("default", id).await.unwrap().unwrap();
                    let failed = build.phase() == Some(Phase::Failed);
                    assert!(job || worker || failed, "{moment}: {pods:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_request_dropped_at_any_moment_is_repaired_by_a_redelivery() {
    for source in sources::repeated() {
        let mut moments = 0;
        loop {
            let world = World::of(source).await;
            let answered = {
                let mut sending = pin!(world.send((source.sample)(1).proved()));
                let mut left = moments;
                std::future::poll_fn(|context| match sending.as_mut().poll(context) {
                    Poll::Ready(told) => Poll::Ready(Some(told)),
                    Poll::Pending if left == 0 => Poll::Ready(None),
                    Poll::Pending => {
                        left -= 1;
                        Poll::Pending
                    }
                })
                .await
            };
            repair(&world, source, &format!("after {moments} waits")).await;
            if answered.is_some() {
                break;
            }
            moments += 1;
            assert!(moments < ENDLESS, "{}", source.name);
        }
        assert!(moments > 3, "{}: {moments}", source.name);
    }
}

#[tokio::test]
async fn a_cluster_that_loses_an_answer_loses_no_build() {
    for source in sources::shapes() {
        for call in 0..6 {
            let world = World::of(source).await;
            world.fail_once(call, 504, When::After);
            // The lost call is made again, inside the same request.
            repair(&world, source, &format!("answer {call} lost")).await;
        }
    }
}

#[tokio::test]
async fn a_build_that_is_kept_but_not_started_says_so() {
    let world = World::without_scripts().await;
    world.fail(2, 503, When::Before);
    // The cluster is asked until the time of the request is over.
    tokio::time::pause();
    let told = world.send(delivery("push", push())).await;
    tokio::time::resume();
    world.server.faults().clear();
    assert_eq!(told.code, 503, "{told:?}");
    assert!(told.headers.contains_key("retry-after"));
    let builds = world.builds().await;
    let [(id, false)] = &builds[..] else { panic!("{builds:?}") };
    assert_eq!(told.body["build"], *id);
    let told = world.send(delivery("push", push())).await;
    assert_eq!((told.code, told.builds()), (200, vec![id.clone()]), "{told:?}");
    assert_eq!(world.pods().await, [format!("brigade-worker-{id}")]);
}

#[tokio::test]
async fn a_cluster_that_is_away_is_told_to_every_sender_as_something_that_passes() {
    for source in sources::repeated() {
        let world = World::of(source).await;
        world.fail(0, 503, When::Before);
        tokio::time::pause();
        let told = world.send((source.sample)(1).proved()).await;
        tokio::time::resume();
        world.server.faults().clear();
        assert_eq!(told.code, 503, "{}: {told:?}", source.name);
        assert!(told.headers.contains_key("retry-after"), "{}: {told:?}", source.name);
        assert!(world.is_untouched().await, "{}", source.name);
        repair(&world, source, "away").await;
    }
}

#[tokio::test]
async fn a_crash_between_any_two_calls_of_a_build_that_awaits_makes_its_job_and_its_worker_once() {
    for when in [When::Before, When::After] {
        let mut calls = 0;
        loop {
            let source = first_source();
            let world = World::new().await;
            let keys = json!({"sharedSecret": SECRET, "defaultScript": AWAITS});
            world.project(PROJECT, keys).await;
            world.crash(calls, when);
            let told = world.send((source.sample)(1).proved()).await;
            world.server.faults().clear();
            let moment = format!("{when:?} call {calls}: {told:?}");
            let again = world.send((source.sample)(1).proved()).await;
            assert!(is_success(&again), "{moment}: {again:?}");
            let builds = world.builds().await;
            let [(id, true)] = &builds[..] else { panic!("{moment}: {builds:?}") };
            let mut pods = world.pods().await;
            pods.sort();
            let expected = ["brigade-worker", "only"].map(|pod| format!("{pod}-{id}"));
            assert_eq!(pods, expected, "{moment}");
            if is_success(&told) {
                break;
            }
            calls += 1;
            assert!(calls < ENDLESS);
        }
        assert!(calls >= 5, "{when:?}: {calls}");
    }
}

#[tokio::test]
async fn builds_that_wait_for_each_other_run_once_each_after_any_crash() {
    for source in sources::shapes() {
        for when in [When::Before, When::After] {
            let mut calls = 0;
            loop {
                let world = World::limited().await;
                world.crash(calls, when);
                let told = world.send((source.sample)(1).proved()).await;
                world.server.faults().clear();
                let moment = format!("{} {when:?} call {calls}", source.name);
                let again = world.send((source.sample)(1).proved()).await;
                assert!(is_success(&again), "{moment}: {told:?}, {again:?}");
                end_one_after_the_other(&world, source, &moment).await;
                if is_success(&told) {
                    break;
                }
                calls += 1;
                assert!(calls < ENDLESS, "{moment}");
            }
            assert!(calls >= 5, "{} {when:?}: {calls}", source.name);
        }
    }
}

/// Ends the build that runs until none does, and checks that every one ran, and none beside it.
async fn end_one_after_the_other(world: &World, source: &Source, moment: &str) {
    let cluster = &world.app.cluster;
    let project = cluster.project(PROJECT).await.unwrap().unwrap();
    let mut ended = std::collections::BTreeSet::new();
    while let Some(slot) = cluster.slots(&project).await.unwrap().pop() {
        assert!(cluster.slots(&project).await.unwrap().len() <= 1, "{moment}");
        let id = slot.build.unwrap();
        let phase = (annotation::PHASE.to_owned(), Phase::Succeeded.name().to_owned());
        cluster.note("default", id, &[phase].into()).await.unwrap();
        assert!(ended.insert(id), "{moment}: {id} ran twice");
        line::leave(cluster, &project, &world.app.settings, "default", id).await.unwrap();
    }
    assert_eq!(ended.len(), source.builds, "{moment}");
    assert_eq!(world.builds().await.len(), source.builds, "{moment}");
}
