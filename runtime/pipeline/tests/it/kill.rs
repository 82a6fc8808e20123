//! Workers that die: at every call, before it and after it, the next worker goes on.

use crate::world::{Hang, PROJECT, World, event};

const SCRIPT: &str = "
const { events, Job, Group } = require('brigadier');
const job = (name) => new Job(name, 'alpine', [`echo ${name}`]);
events.on('push', async () => {
  const first = await job('first').run();
  const both = await Group.runAll([job('left'), job('right')]);
  const last = await job('last').run();
  console.log([first, ...both, last].join('').replaceAll('\\n', ';'));
});
events.on('after', () => { job('tidy').run(); });
";

#[tokio::test]
async fn a_worker_that_dies_at_any_call_is_survived() {
    for carried_out in [false, true] {
        let mut deaths = 0;
        for after in 0.. {
            let world = World::new();
            let context = world.build(PROJECT, event("push"), SCRIPT).await;
            let kubelet = world.end_all();
            let build = async {
                let ended = world.run_until(&context, Hang { after, carried_out }).await;
                let lived = ended.is_some();
                let outcome = match ended {
                    Some(outcome) => outcome.unwrap(),
                    None => {
                        world.forget();
                        world.run(&context, async {}).await
                    }
                };
                (lived, outcome)
            };
            let (lived, outcome) = tokio::select! {
                ended = build => ended,
                () = kubelet => unreachable!("it watches for ever"),
            };
            assert_eq!(outcome.exit_code, 0, "{after}: {:#?}", world.printed());
            let mut jobs = world.jobs().await;
            jobs.sort();
            assert_eq!(jobs, ["first", "last", "left", "right", "tidy"], "{after}");
            assert_eq!(
                world.said(),
                ["log of first;log of left;log of right;log of last;"],
                "{after} {carried_out}"
            );
            if lived {
                break;
            }
            deaths += 1;
        }
        assert!(deaths > 15, "{deaths}");
    }
}

#[tokio::test]
async fn a_function_and_then_a_worker_that_die_are_survived() {
    let world = World::new();
    let context = world.build(PROJECT, event("push"), SCRIPT).await;
    let kubelet = world.end_all();
    let build = async {
        world.start(&context).await;
        for after in [1, 3, 5, 7] {
            if world.run_until(&context, Hang { after, carried_out: true }).await.is_some() {
                break;
            }
        }
        world.forget();
        world.run(&context, async {}).await
    };
    let outcome = tokio::select! {
        outcome = build => outcome,
        () = kubelet => unreachable!("it watches for ever"),
    };
    assert_eq!(outcome.exit_code, 0);
    assert_eq!(world.jobs().await.len(), 5);
    assert_eq!(world.said(), ["log of first;log of left;log of right;log of last;"]);
}

#[tokio::test]
async fn a_function_that_dies_at_any_call_is_survived() {
    for carried_out in [false, true] {
        for after in 0..4 {
            let world = World::new();
            let script = "const { events, Job } = require('brigadier');
                events.on('push', () => { new Job('a', 'i').run(); new Job('b', 'i').run(); });";
            let context = world.build(PROJECT, event("push"), script).await;
            let hang = Hang { after, carried_out };
            let start = pipeline::start(&context, world.output());
            assert!(world.until(start, hang).await.is_none(), "{after}");
            let start = world.start(&context).await;
            assert!(matches!(start.end, pipeline::StartEnd::Detached), "{after}");
            let mut jobs = world.jobs().await;
            jobs.sort();
            assert_eq!(jobs, ["a", "b"], "{after} {carried_out}");
        }
    }
}

#[tokio::test]
async fn faults_of_the_cluster_are_survived() {
    let mut seed: u64 = 1;
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    for round in 0..25 {
        let world = World::new();
        let context = world.build(PROJECT, event("push"), SCRIPT).await;
        for _ in 0..5 {
            let code = [409, 429, 500, 503, 504][usize::try_from(random(5)).unwrap()];
            let number = usize::try_from(random(20)).unwrap();
            world.faults.lock().unwrap().insert(number, (code, random(2) == 0));
        }
        let outcome = world.run(&context, world.end_all()).await;
        assert_eq!(outcome.exit_code, 0, "{round}: {:#?}", world.printed());
        let mut jobs = world.jobs().await;
        jobs.sort();
        assert_eq!(jobs, ["first", "last", "left", "right", "tidy"], "{round}");
        assert_eq!(world.said(), ["log of first;log of left;log of right;log of last;"], "{round}");
    }
}
