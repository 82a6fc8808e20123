//! However often and however closely an event is delivered, there is one build of it, and its jobs
//! are made once.

use std::time::Duration;

use super::*;

/// How many deliveries of an event arrive at the same instant.
const AT_ONCE: usize = 16;

/// How often an event is delivered again.
const REDELIVERIES: u32 = 10_000;

/// How many of these are awaited together.
const TOGETHER: u32 = 100;

/// Long for any machine, and short for whoever waits for a test that hangs.
const PATIENCE: Duration = Duration::from_secs(300);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn identical_deliveries_at_the_same_instant_make_one_build_and_all_name_it() {
    for source in sources::repeated() {
        let world = World::of(source).await;
        let start = Arc::new(tokio::sync::Barrier::new(AT_ONCE));
        let sent = (0..AT_ONCE).map(|_| {
            let (router, start) = (world.router.clone(), Arc::clone(&start));
            let request = (source.sample)(1).proved();
            tokio::spawn(async move {
                start.wait().await;
                told(router, request).await
            })
        });
        let told = tokio::time::timeout(PATIENCE, futures::future::join_all(sent)).await.unwrap();
        let told: Vec<Told> = told.into_iter().map(Result::unwrap).collect();
        let mut builds: Vec<String> =
            world.builds().await.into_iter().map(|(id, _accepted)| id).collect();
        builds.sort();
        for told in &told {
            assert!((200..300).contains(&told.code), "{}: {told:?}", source.name);
            if source.in_our_form {
                assert_eq!(told.builds(), builds, "{}: {told:?}", source.name);
            }
        }
        world.has_once(source.builds, source.name).await;
    }
}

#[tokio::test]
async fn ten_thousand_redeliveries_of_one_event_make_one_build() {
    let source = first_source();
    let world = World::of(source).await;
    let sample = (source.sample)(1);
    let first = world.send(sample.proved()).await;
    let again = async || {
        let told = world.send(sample.proved()).await;
        assert_eq!(told.code, 200, "{told:?}");
        assert_eq!(told.builds(), first.builds());
        assert_eq!(told.body["duplicate"], true);
    };
    for _ in 0..REDELIVERIES / TOGETHER {
        futures::future::join_all((0..TOGETHER).map(|_| again())).await;
    }
    world.has_once(source.builds, source.name).await;
}

#[tokio::test]
async fn a_hundred_redeliveries_of_every_source_make_one_build_each() {
    for source in sources::repeated() {
        let world = World::of(source).await;
        let sample = (source.sample)(1);
        for number in 0..TOGETHER {
            let told = world.send(sample.proved()).await;
            assert!((200..300).contains(&told.code), "{} {number}: {told:?}", source.name);
        }
        world.has_once(source.builds, source.name).await;
        // Another event is another build.
        let told = world.send((source.sample)(2).proved()).await;
        assert!((200..300).contains(&told.code), "{}: {told:?}", source.name);
        world.has_once(2 * source.builds, source.name).await;
    }
}

#[tokio::test]
async fn events_in_any_order_make_the_same_builds() {
    for source in sources::repeated() {
        let mut made = Vec::new();
        for order in [[1, 2, 3, 1], [3, 1, 2, 3], [2, 2, 3, 1]] {
            let world = World::of(source).await;
            for number in order {
                let told = world.send((source.sample)(number).proved()).await;
                assert!((200..300).contains(&told.code), "{}: {told:?}", source.name);
            }
            let mut builds = world.builds().await;
            builds.sort();
            made.push(builds);
        }
        assert_eq!(made[0].len(), 3 * source.builds, "{}", source.name);
        assert!(made.iter().all(|builds| *builds == made[0]), "{}: {made:?}", source.name);
    }
}
