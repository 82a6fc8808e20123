//! The process dies, or the cluster fails, at every possible moment; then the event is delivered
//! again. Nothing is lost, and nothing is made twice.

use std::pin::pin;
use std::task::Poll;

use super::*;

/// Delivers again, and checks that there is one build, started, with its one pod.
async fn repair(world: &World, moment: &str) {
    let told = world.send(delivery("push", push())).await;
    assert_eq!(told.code, 200, "{moment}: {told:?}");
    let builds = world.builds().await;
    let [(id, true)] = &builds[..] else { panic!("{moment}: {builds:?}") };
    assert_eq!(told.body["build"], *id, "{moment}");
    assert_eq!(world.pods().await.len(), 1, "{moment}");
}

#[tokio::test]
async fn a_crash_between_any_two_calls_is_repaired_by_a_redelivery() {
    for when in [When::Before, When::After] {
        let mut calls = 0;
        loop {
            let world = World::without_scripts().await;
            world.fail(calls, 403, when);
            let told = world.send(delivery("push", push())).await;
            world.server.faults().clear();
            let moment = format!("{when:?} call {calls}");
            if told.code == 200 {
                repair(&world, &moment).await;
                break;
            }
            assert_eq!(told.code, 500, "{moment}: {told:?}");
            assert_eq!(told.body["status"], "internal error", "{moment}");
            repair(&world, &moment).await;
            calls += 1;
        }
        // The project, the build, its worker, the label.
        assert_eq!(calls, 4, "{when:?}");
    }
}

#[tokio::test]
async fn a_request_dropped_at_any_moment_is_repaired_by_a_redelivery() {
    let mut moments = 0;
    loop {
        let world = World::without_scripts().await;
        let answered = {
            let mut sending = pin!(world.send(delivery("push", push())));
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
        repair(&world, &format!("after {moments} waits")).await;
        if answered.is_some() {
            break;
        }
        moments += 1;
    }
    assert!(moments > 3, "{moments}");
}

#[tokio::test]
async fn a_cluster_that_loses_an_answer_loses_no_build() {
    for call in 0..4 {
        let world = World::without_scripts().await;
        let (method, path) = (String::new(), String::new());
        let when = When::After;
        let fault = Fault { method, path, skip: call, times: 1, code: 504, when };
        world.server.faults().lay(fault);
        // The lost call is made again, inside the same request.
        repair(&world, &format!("answer {call} lost")).await;
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
    repair(&world, "kept").await;
}
