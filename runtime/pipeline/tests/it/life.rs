//! The whole life of builds.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use pipeline::{JobResult, Outcome, PipelineError};
use runtime::build::Phase;
use serde_json::json;

use crate::world::{PROJECT, World, container, event};

const HEAD: &str = "const { events, Job, Group, fire } = require('brigadier');
    const job = (name) => new Job(name, 'alpine', ['true']);\n";

/// Runs a script whose pods all end well but those that are named `bad`.
async fn run(body: &str) -> (World, Outcome) {
    let world = World::new();
    let context = world.build(PROJECT, event("push"), &format!("{HEAD}{body}")).await;
    let codes = [("bad", 3)].into();
    let outcome = world.run(&context, world.end_all_but(&codes)).await;
    (world, outcome)
}

#[tokio::test]
async fn a_job_gives_its_log_to_the_script() {
    let (world, outcome) = run("events.on('push', async () => {
        const result = await job('one').run();
        console.log(result.data === result.toString(), `${result}`, result);
    })")
    .await;
    assert_eq!(outcome.exit_code, 0);
    assert_eq!(world.said(), ["true log of one", " K8sResult { data: 'log of one\\n' }"]);
}

/// The id of the only build.
async fn build_id(world: &World) -> String {
    world.job_pod("one").await.metadata.labels.unwrap().remove("build").unwrap()
}

#[tokio::test]
async fn one_watch_follows_all_jobs_and_nothing_is_asked_twice() {
    let (world, _) = run("events.on('push', async () => {
        await job('one').run();
        await job('two').run();
        job('three').run();
    })")
    .await;
    let mut calls = world.calls();
    let count = |wanted: &str| calls.iter().filter(|call| *call == wanted).count();
    assert_eq!(count("watch GET pods"), 1);
    assert_eq!(count("GET pods"), 1);
    assert_eq!(count("GET log"), 2);
    assert_eq!((count("POST secrets"), count("POST pods")), (3, 3));
    // What follows from the end of a job is done after that end is noted.
    let one = format!("PATCH one-{}", build_id(&world).await);
    let noted = calls.iter().position(|call| *call == one);
    let created = calls.iter().enumerate().filter(|(_, call)| *call == "POST secrets");
    assert!(noted < created.map(|(at, _)| at).nth(1), "{calls:?}");
    // The start and the end of the build, and each job: that it was made, and how it ended.
    calls.retain(|call| call.starts_with("PATCH"));
    assert!(calls.len() <= 2 + 3 * 2, "{calls:?}");
}

#[tokio::test]
async fn a_failed_job_that_nobody_catches_fails_the_build_and_is_told_to_error_handlers() {
    let (world, outcome) = run("events.on('push', () => { job('bad').run(); job('good').run(); });
        events.on('after', () => console.log('after'));
        events.on('error', (e) => {
            console.log(e.type, e.provider, e.cause.trigger, e.cause.event.type);
            console.log(e.cause.reason.message);
        });")
    .await;
    assert_eq!((outcome.phase, outcome.exit_code), (Phase::Failed, 1));
    let pod = &outcome.jobs[0].pod;
    assert_eq!(
        world.said(),
        [
            format!("Error: Pod {pod} failed to run to completion"),
            "error brigade unhandledRejection push".to_owned(),
            format!("job bad({pod}): Error: Pod {pod} failed to run to completion"),
        ]
    );
    assert_eq!(outcome.reason.unwrap(), format!("job bad: Pod {pod} failed to run to completion"));
    // The other one is waited for all the same.
    assert_eq!(outcome.jobs[1].result, JobResult::Succeeded);
}

#[tokio::test]
async fn a_failed_job_that_is_caught_fails_nothing() {
    let (world, outcome) = run("events.on('push', async () => {
            try { await job('bad').run(); } catch (error) {
                console.log(error instanceof Error, error.exitCode, error.job);
            }
        });
        events.on('error', () => console.log('error'));
        events.on('after', () => console.log('after'));")
    .await;
    assert_eq!(outcome.exit_code, 0);
    assert_eq!(world.said()[1..], ["true 3 bad", "after"]);
}

#[tokio::test]
async fn a_build_fails_for_what_nobody_caught() {
    let (_world, outcome) = run("events.on('push', async () => {
            try { await job('bad').run(); } catch {}
            throw new Error('there is no target');
        });")
    .await;
    let reason = outcome.reason.unwrap();
    assert!(reason.starts_with("Error: there is no target\n    at brigade.js:"), "{reason}");
}

#[tokio::test]
async fn an_error_handler_runs_once_and_its_jobs_run() {
    let (world, outcome) = run(
        "events.on('push', () => {
            Promise.reject(new Error('one'));
            Promise.reject(new Error('two'));
            throw new Error('three');
        });
        events.on('error', (e) => { console.log(e.cause.reason.message); job('cleanup').run(); });",
    )
    .await;
    assert_eq!(outcome.exit_code, 1);
    assert_eq!(world.said(), ["three"]);
    assert_eq!(world.jobs().await, ["cleanup"]);
    assert_eq!(outcome.jobs[0].result, JobResult::Succeeded);
}

#[tokio::test]
async fn an_after_handler_runs_jobs_of_its_own_event() {
    let (world, outcome) = run("events.on('push', () => { job('one').run(); });
        events.on('after', () => { job('two').run(); });")
    .await;
    assert_eq!(outcome.exit_code, 0);
    let pod = world.job_pod("two").await;
    let sidecar = &pod.spec.unwrap().init_containers.unwrap()[0];
    let kind = sidecar.env.iter().flatten().find(|env| env.name == "BRIGADE_EVENT_TYPE").unwrap();
    assert_eq!(kind.value.as_deref(), Some("after"));
}

#[tokio::test]
async fn without_a_handler_nothing_happens_and_that_is_well() {
    let (world, outcome) = run("events.on('other', () => { job('one').run(); });
        events.on('after', () => console.log('after'));")
    .await;
    assert_eq!((outcome.phase, outcome.exit_code), (Phase::Succeeded, 0));
    assert_eq!(
        world.printed()[1..],
        ["prestart: no dependencies file found", "[brigade:app] no-after: fired"]
    );
    assert_eq!(world.jobs().await, [""; 0]);
}

#[tokio::test]
async fn the_same_name_twice_is_refused() {
    let (world, outcome) = run("events.on('push', async () => {
        await job('one').run();
        await job('one').run().catch((error) => console.log(error.message));
    })")
    .await;
    assert_eq!(outcome.exit_code, 0);
    let said = world.said().pop().unwrap();
    assert!(
        said.contains("already exists: a job named one was already run in this build"),
        "{said}"
    );
    assert_eq!(world.jobs().await, ["one"]);
}

#[tokio::test]
async fn un_awaited_jobs_are_waited_for() {
    let (_, outcome) =
        run("events.on('push', () => { job('one').run(); job('two').run(); })").await;
    assert!(outcome.jobs.iter().all(|job| job.result == JobResult::Succeeded), "{outcome:?}");
}

#[tokio::test]
async fn a_result_may_be_looked_at_later() {
    let (world, outcome) = run("events.on('push', async () => {
        const running = job('one').run();
        await job('two').run();
        console.log(`${await running}`);
    })")
    .await;
    assert_eq!(outcome.exit_code, 0);
    assert_eq!(world.said(), ["log of one", ""]);
}

#[tokio::test]
async fn groups_run_all_or_each_and_stop_where_they_should() {
    let (world, outcome) = run("events.on('push', async () => {
        const names = (results) => results.map(String).join('').replaceAll('\\n', ';');
        console.log(names(await Group.runAll([job('a'), job('b')])));
        const group = new Group([job('c')]);
        group.add(job('d'), job('e'));
        console.log(group.length(), names(await group.runEach()));
        await Group.runEach([job('f'), job('bad'), job('g')]).catch((error) => console.log(error.job));
        await Group.runAll([]).then((results) => console.log(results));
    })")
    .await;
    assert_eq!(outcome.exit_code, 0);
    let said = world.said();
    assert_eq!(said[0], "log of a;log of b;");
    assert_eq!(said[1], "3 log of c;log of d;log of e;");
    assert_eq!(said[3..], ["bad", "[]"]);
    assert_eq!(world.jobs().await.len(), 7);
}

#[tokio::test]
async fn a_pod_that_is_deleted_fails_its_job() {
    let world = World::new();
    let script = format!("{HEAD}events.on('push', () => job('one').run())");
    let context = world.build(PROJECT, event("push"), &script).await;
    let outcome = world
        .run(&context, async {
            world.wait_for(&["one"]).await;
            world.report("one", json!({ "phase": "Running" })).await;
            world.delete("one").await;
        })
        .await;
    let JobResult::Failed(message) = &outcome.jobs[0].result else { panic!("{outcome:?}") };
    assert!(message.ends_with("was deleted before it ran to completion"), "{message}");
}

#[tokio::test]
async fn a_pod_that_cannot_start_fails_its_job_with_the_kubelets_words() {
    let world = World::new();
    let script = format!("{HEAD}events.on('push', () => job('one').run())");
    let mut context = world.build(PROJECT, event("push"), &script).await;
    context.options.patience.start = Duration::from_millis(50);
    let outcome = world
        .run(&context, async {
            world.wait_for(&["one"]).await;
            let waiting = json!({ "waiting": { "reason": "ImagePullBackOff", "message": "Back-off pulling image \"alpine\"" } });
            world.report("one", json!({ "phase": "Pending", "containerStatuses": [container(waiting)] })).await;
        })
        .await;
    let JobResult::Failed(message) = &outcome.jobs[0].result else { panic!("{outcome:?}") };
    let pod = &outcome.jobs[0].pod;
    assert_eq!(
        *message,
        format!("Pod {pod} cannot start: ImagePullBackOff: Back-off pulling image \"alpine\"")
    );
    assert!(world.calls().contains(&format!("DELETE {pod}")));
}

#[tokio::test]
async fn a_job_that_takes_too_long_is_ended() {
    let world = World::new();
    let script = format!(
        "{HEAD}events.on('push', async () => {{
            const one = job('one');
            one.timeout = 100;
            await one.run().catch((error) => console.log(error.message));
            console.log(await one.logs());
        }})"
    );
    let context = world.build(PROJECT, event("push"), &script).await;
    let outcome = world.run(&context, async {}).await;
    let pod = &outcome.jobs[0].pod;
    assert_eq!(
        world.said(),
        [
            "Error: time limit (100 ms) exceeded".to_owned(),
            format!("job one({pod}): Error: time limit (100 ms) exceeded"),
            format!(
                "pod {pod} still unscheduled or pending when job was canceled; no logs to return."
            ),
        ]
    );
    assert!(world.calls().contains(&format!("DELETE {pod}")));
}

#[tokio::test]
async fn a_refused_pod_fails_its_job_with_the_clusters_words() {
    let world = World::new();
    let script = format!("{HEAD}events.on('push', () => job('one').run())");
    let context = world.build(PROJECT, event("push"), &script).await;
    world.server.faults().lay(apiserver::Fault::next("POST", "/pods", 403));
    let outcome = world.run(&context, async {}).await;
    let JobResult::Failed(message) = &outcome.jobs[0].result else { panic!("{outcome:?}") };
    assert!(message.contains("refused to create Pod one-"), "{message}");
}

#[tokio::test]
async fn logs_are_read_whether_the_job_did_well_or_not() {
    let (world, _) = run("events.on('push', async () => {
        const [good, bad] = [job('good'), job('bad')];
        await good.run();
        await bad.run().catch(() => {});
        console.log((await good.logs()) + (await bad.logs()));
        await job('never').logs().catch((error) => console.log(error.message));
        console.log(good.podName.startsWith('good-'), job('x').podName === '');
    })")
    .await;
    let said = world.said();
    assert_eq!(
        said[1..],
        [
            "log of good",
            "log of bad",
            "",
            "job never was not run yet, so it has no logs",
            "true true"
        ]
    );
}

#[tokio::test]
async fn a_log_is_read_so_often_as_can_be_noted() {
    let script = "const { events, Job } = require('brigadier');
        events.on('push', async () => {
            const one = new Job('one', 'alpine');
            await one.run();
            let read = 0;
            try {
                for (;;) { await one.logs(); read += 1; }
            } catch (error) {
                console.log(read, error.message ?? error);
            }
        });";
    let world = World::new();
    let context = world.build(PROJECT, event("push"), script).await;
    let outcome = world.run(&context, world.end_all()).await;
    assert_eq!(outcome.phase, Phase::Succeeded, "{:#?}", world.printed());
    let said = world.said();
    let says = "256 the log of job one was read 256 times, and is not read again: ";
    assert!(said[0].contains(says), "{said:?}");
    let notes = world.secret("one").await.metadata.annotations.unwrap();
    let logs = notes.keys().filter(|name| name.starts_with("brigantine.dev/log-"));
    assert_eq!(logs.count(), 256);
}

#[tokio::test]
async fn logs_are_shown_where_a_job_wants_that() {
    let (world, outcome) = run("events.on('push', () => {
        const one = job('one');
        one.streamLogs = true;
        one.run();
    })")
    .await;
    let line = format!("[brigade:k8s] default/{} logs log of one", outcome.jobs[0].pod);
    assert!(world.printed().contains(&line), "{:?}", world.printed());
}

#[tokio::test]
async fn only_the_end_of_a_long_log_reaches_the_script() {
    let world = World::new();
    let script = format!(
        "{HEAD}events.on('push', async () => {{ console.log((await job('one').run()).data.length) }})"
    );
    let mut context = world.build(PROJECT, event("push"), &script).await;
    context.options.limits.log = 1000;
    let kubelet = async {
        world.wait_for(&["one"]).await;
        let pod = world.job_pod("one").await.metadata.name.unwrap();
        world.logs.lock().unwrap().insert(pod, "x".repeat(100_000));
        world.end("one", 0).await;
    };
    world.run(&context, kubelet).await;
    assert_eq!(world.said(), ["1000"]);
}

#[tokio::test]
async fn storage_is_made_for_those_who_ask_and_deleted_at_the_end() {
    let world = World::new();
    let script = format!(
        "{HEAD}events.on('push', async () => {{
            const one = job('one');
            one.storage.enabled = true;
            const two = job('two');
            two.cache.enabled = true;
            two.storage.enabled = false;
            await Group.runAll([one, two]);
        }})"
    );
    let context = world.build(PROJECT, event("push"), &script).await;
    let name = context.build.name();
    let kubelet = async {
        world.wait_for(&["one", "two"]).await;
        let claims = world.claims().await;
        assert_eq!(claims, [name.as_str(), "github-com-org-app-two"]);
        world.end("one", 0).await;
        world.end("two", 0).await;
    };
    world.run(&context, kubelet).await;
    assert_eq!(world.claims().await, ["github-com-org-app-two"]);
}

#[tokio::test]
async fn how_a_build_ended_is_noted_on_it() {
    let (world, outcome) =
        run("events.on('push', () => { job('bad').run(); job('good').run(); })").await;
    let api: Api<Secret> = Api::default_namespaced(world.server.client());
    let builds =
        api.list(&kube::api::ListParams::default().labels("component=build")).await.unwrap();
    let noted = builds.items[0].metadata.annotations.clone().unwrap();
    assert_eq!(noted["brigantine.dev/phase"], "Failed");
    assert_eq!(noted["brigantine.dev/jobs"], "2 run, 1 succeeded, 1 failed");
    assert_eq!(noted["brigantine.dev/reason"], outcome.reason.unwrap());
    assert!(noted["brigantine.dev/finished-at"] >= noted["brigantine.dev/started-at"]);
}

#[tokio::test]
async fn everything_a_build_makes_is_owned_by_it() {
    let (world, _) = run("events.on('push', () => { job('one').run(); })").await;
    let pod = world.job_pod("one").await;
    let secret = world.secret("one").await;
    for owners in [pod.metadata.owner_references, secret.metadata.owner_references] {
        let owners = owners.unwrap();
        assert_eq!((owners.len(), owners[0].kind.as_str()), (1, "Secret"));
        assert!(owners[0].name.starts_with("brigade-worker-"));
    }
}

#[tokio::test]
async fn an_interrupted_build_is_left_as_it_is() {
    let world = World::new();
    let script = format!("{HEAD}events.on('push', () => job('one').run())");
    let context = world.build(PROJECT, event("push"), &script).await;
    let shutdown = world.wait_for(&["one"]);
    let ended = pipeline::run(&context, world.output(), shutdown).await;
    assert!(matches!(ended, Err(PipelineError::Interrupted)), "{ended:?}");
    let outcome = world.run(&context, world.end_all()).await;
    assert_eq!(outcome.exit_code, 0);
    assert_eq!(world.jobs().await, ["one"]);
}

#[tokio::test]
async fn jobs_that_ended_meanwhile_end_in_the_order_in_which_they_had() {
    let world = World::new();
    let script = format!(
        "{HEAD}events.on('push', async () => {{
            const all = ['a', 'b', 'c'].map((name) => job(name).run().then(() => console.log(name)));
            await Promise.all(all);
        }})"
    );
    let context = world.build(PROJECT, event("push"), &script).await;
    world.start(&context).await;
    for name in ["c", "a", "b"] {
        world.end(name, 0).await;
    }
    world.run(&context, async {}).await;
    assert_eq!(world.said(), ["c", "a", "b"]);
}

#[tokio::test]
async fn a_dropped_watch_loses_nothing() {
    let world = World::new();
    let script = format!(
        "{HEAD}events.on('push', async () => {{ for (const n of ['a', 'b', 'c']) await job(n).run(); }})"
    );
    let context = world.build(PROJECT, event("push"), &script).await;
    let kubelet = async {
        for name in ["a", "b", "c"] {
            world.wait_for(&[name]).await;
            world.server.faults().drop_watches();
            world.end(name, 0).await;
        }
    };
    let outcome = world.run(&context, kubelet).await;
    assert_eq!(outcome.exit_code, 0);
    assert_eq!(world.jobs().await, ["a", "b", "c"]);
}

#[tokio::test]
async fn exit_leaves_everything_and_takes_its_code() {
    let (world, outcome) = run("events.on('push', async () => {
            await job('one').run();
            console.log('bye');
            process.exit(7);
            console.log('never');
        });
        events.on('after', () => console.log('after'));")
    .await;
    assert_eq!((outcome.phase, outcome.exit_code), (Phase::Failed, 7));
    assert_eq!(world.said(), ["bye"]);
}

#[tokio::test]
async fn timers_ring_in_order() {
    let (world, outcome) = run("events.on('push', () => {
            let count = 0;
            setTimeout(() => console.log('third'), 30);
            setTimeout(() => console.log('second'), 10);
            setImmediate(() => console.log('first'));
            const cancelled = setTimeout(() => console.log('never'), 5);
            clearTimeout(cancelled);
            const interval = setInterval(() => { count += 1; if (count === 3) { clearInterval(interval); console.log('interval'); } }, 20);
        });
        events.on('after', () => console.log('after'));")
    .await;
    assert_eq!(outcome.exit_code, 0);
    assert_eq!(world.said(), ["first", "second", "third", "interval", "after"]);
}

#[tokio::test]
async fn secrets_are_never_printed() {
    let (world, outcome) = run("events.on('push', async (e, project) => {
        console.log(project.secrets);
        console.log(Buffer.from(project.secrets.DOCKER_PASS).toString('base64'));
        process.stdout.write(project.secrets.DOCKER_PASS.slice(0, 5));
        process.stdout.write(project.secrets.DOCKER_PASS.slice(5) + '\\n');
        throw new Error(project.secrets.DOCKER_PASS);
    })")
    .await;
    let all = world.printed().join("\n") + &outcome.reason.unwrap() + &outcome.log;
    assert!(!all.contains("correct-horse"), "{all}");
    assert!(!all.contains("Y29ycmVjdC1ob3JzZQ"), "{all}");
    assert!(all.contains("{ DOCKER_PASS: '***', DOCKER_USER: '***' }"), "{all}");
}

#[tokio::test]
async fn the_worker_logs_no_less_than_its_level() {
    let world = World::new();
    let mut event = event("push");
    event.log_level = runtime::event::LogLevel::None;
    let context = world.build(PROJECT, event, "console.log('still here')").await;
    world.run(&context, async {}).await;
    assert_eq!(world.said(), ["still here"]);
}

#[tokio::test]
async fn what_has_ended_is_not_run_again() {
    let world = World::new();
    let script = format!("{HEAD}events.on('push', () => {{ job('bad').run(); }})");
    let mut context = world.build(PROJECT, event("push"), &script).await;
    let ended = world.run(&context, world.end_all_but(&[("bad", 1)].into())).await;
    world.delete("bad").await;
    context.build =
        context.cluster.build(&context.build.namespace, context.build.id).await.unwrap().unwrap();
    let again = world.run(&context, async {}).await;
    assert_eq!((again.phase, again.exit_code, again.reason), (ended.phase, 1, ended.reason));
    assert_eq!(world.jobs().await, [""; 0]);
}

#[tokio::test]
async fn many_jobs_are_one_watch_and_bounded_reading() {
    let (world, outcome) = run("events.on('push', async () => {
        const all = await Group.runAll(Array.from({ length: 60 }, (_, n) => job('j' + n)));
        console.log(all.length, new Set(all.map(String)).size);
    })")
    .await;
    assert_eq!(outcome.exit_code, 0);
    assert_eq!(world.said(), ["60 60"]);
    let calls = world.calls();
    let count = |wanted: &str| calls.iter().filter(|call| *call == wanted).count();
    assert_eq!((count("watch GET pods"), count("GET log"), count("POST pods")), (1, 60, 60));
}

#[tokio::test]
async fn builds_move_between_threads() {
    fn sent<T: Send>(future: T) -> T {
        future
    }
    let world = World::new();
    let context = world.build(PROJECT, event("push"), "console.log('hi')").await;
    sent(pipeline::start(&context, world.output())).await.unwrap();
    sent(pipeline::run(&context, world.output(), std::future::pending())).await.unwrap();
    assert_eq!(world.said(), ["hi", "hi"]);
}

#[tokio::test]
async fn an_init_container_that_fails_is_named() {
    let world = World::new();
    let script = format!("{HEAD}events.on('push', () => job('one').run())");
    let context = world.build(PROJECT, event("push"), &script).await;
    let kubelet = async {
        world.wait_for(&["one"]).await;
        let mut clone = container(json!({ "terminated": { "exitCode": 128, "reason": "Error" } }));
        clone["name"] = json!("vcs-sidecar");
        world.report("one", json!({ "phase": "Failed", "initContainerStatuses": [clone] })).await;
    };
    let outcome = world.run(&context, kubelet).await;
    let JobResult::Failed(message) = &outcome.jobs[0].result else { panic!("{outcome:?}") };
    assert!(
        message.ends_with(
            "failed to run to completion: its init container vcs-sidecar failed with exit code 128"
        ),
        "{message}"
    );
}

#[tokio::test]
async fn a_worker_without_the_repository_fails_what_reads_it() {
    let (world, outcome) =
        run("events.on('push', () => { require('fs').readFileSync('conf.json'); });
        events.on('error', () => { job('tidy').run(); });")
        .await;
    assert_eq!(outcome.exit_code, 1);
    assert_eq!(outcome.phase, Phase::Failed);
    assert_eq!(world.jobs().await, ["tidy"]);
}
