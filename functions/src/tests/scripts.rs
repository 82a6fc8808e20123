//! Scripts that start in the function: what becomes of their jobs, and who goes on with them.

use runtime::build::Phase;

use super::*;

/// The story's first half: a push makes a dind pod, which nobody waits for.
const DIND: &str = r#"
    const { events, Job } = require("brigadier");
    events.on("push", (e, project) => {
        const dind = new Job("dind", "docker:stable-dind");
        dind.privileged = true;
        dind.env = { USER: project.secrets.DOCKER_USER || "nobody" };
        dind.tasks = ["dockerd-entrypoint.sh &", "docker build ."];
        dind.run();
    });
"#;

/// A script that waits for its job.
const WAITS: &str = r#"
    const { events, Job } = require("brigadier");
    events.on("push", async () => {
        await new Job("first", "alpine:3", ["true"]).run();
        await new Job("second", "alpine:3", ["true"]).run();
    });
"#;

async fn world(script: &str, settings: Settings) -> World {
    let world = World::with(settings).await;
    let keys = json!({"sharedSecret": SECRET, "defaultScript": script});
    world.project("ocean/brig", keys).await;
    world
}

#[tokio::test]
async fn a_proved_push_makes_the_build_and_its_dind_pod_and_no_worker() {
    let world = world(DIND, calm()).await;
    let told = world.send(delivery("push", push())).await;
    assert_eq!(told.code, 200, "{told:?}");
    let builds = world.builds().await;
    let [(id, true)] = &builds[..] else { panic!("{builds:?}") };
    assert_eq!(world.pods().await, [format!("dind-{id}")]);
    assert_eq!(
        told.body,
        json!({
            "status": "Complete",
            "build": id,
            "project": "ocean/brig",
            "events": ["push"],
            "handlers": ["push"],
            "jobs": [format!("dind-{id}")],
            "detached": true,
            "worker": null,
            "duplicate": false,
            "reason": "the script awaits none of its jobs",
        })
    );
    let build = &world.app.cluster.builds("default").await.unwrap()[0];
    assert_eq!(build.annotations["brigantine.dev/detached"], "true");
    assert_eq!(build.annotations["brigantine.dev/script"], "defaultScript");
    let explanation: Value =
        serde_json::from_str(&build.annotations["brigantine.dev/explanation"]).unwrap();
    assert_eq!(explanation["jobs"], told.body["jobs"]);
}

#[tokio::test]
async fn what_a_handler_of_brigade_2_returns_is_noted_on_a_build_without_a_worker() {
    let script = |jobs: &str| {
        format!(
            "const {{ events, Job }} = require('@brigadecore/brigadier');
             events.on('brigade.sh/github', '*', async (event) => {{ {jobs}; return `of ${{event.qualifiers.repo}}`; }});
             events.process();"
        )
    };
    for (jobs, detached) in [("new Job('dind', 'docker:dind', event).run()", true), ("", false)] {
        let world = world(&script(jobs), calm()).await;
        let told = world.send(delivery("push", push())).await;
        assert_eq!(told.body["detached"], detached, "{told:?}");
        assert_eq!(told.body["handlers"], json!(["brigade.sh/github:*"]));
        let build = &world.app.cluster.builds("default").await.unwrap()[0];
        assert_eq!(build.annotations["brigantine.dev/summary"], "of ocean/brig");
    }
    let script = "const { events } = require('@brigadecore/brigadier');
        events.on('brigade.sh/cli', '*', () => {}); events.process();";
    let told = world(script, calm()).await.send(delivery("push", push())).await;
    assert_eq!(
        told.body["reason"],
        "the script has no handler for `push`, `brigade.sh/github:push`"
    );
    let script = "const { events } = require('@brigadecore/brigadier');
        events.on('brigade.sh/github', 'push', () => {});";
    let told = world(script, Settings::default()).await.send(delivery("push", push())).await;
    let reason = told.body["reason"].as_str().unwrap();
    assert!(reason.ends_with("does not call events.process()"), "{reason}");
}

#[tokio::test]
async fn a_push_sent_again_says_duplicate_and_names_what_was_made() {
    let world = world(DIND, calm()).await;
    let first = world.send(delivery("push", push())).await;
    let second = world.send(delivery("push", push())).await;
    assert_eq!(second.body["duplicate"], true);
    for member in ["build", "jobs", "handlers", "detached"] {
        assert_eq!(second.body[member], first.body[member], "{member}");
    }
    assert_eq!(world.pods().await.len(), 1);
}

#[tokio::test]
async fn many_identical_pushes_at_once_make_one_pod() {
    let world = world(DIND, calm()).await;
    let sent = (0..20).map(|_| world.send(delivery("push", push())));
    let told = futures::future::join_all(sent).await;
    assert!(told.iter().all(|told| told.code == 200), "{told:?}");
    assert_eq!(world.builds().await.len(), 1);
    assert_eq!(world.pods().await.len(), 1);
}

#[tokio::test]
async fn a_script_that_waits_is_given_to_a_worker() {
    let world = world(WAITS, calm()).await;
    let told = world.send(delivery("push", push())).await;
    let id = told.body["build"].as_str().unwrap();
    assert_eq!(told.body["reason"], "the script awaits job first");
    assert_eq!(told.body["detached"], false);
    assert_eq!(told.body["worker"], format!("brigade-worker-{id}"));
    assert_eq!(world.pods().await, [format!("brigade-worker-{id}"), format!("first-{id}")]);
}

#[tokio::test]
async fn a_build_whose_script_fails_is_kept_and_says_why() {
    for (script, why) in [
        ("this is no JavaScript", "SyntaxError"),
        ("throw new Error('no wind')", "no wind"),
        ("require('brigadier').events.on('push', () => { throw new Error('no wind') })", "no wind"),
    ] {
        let world = world(script, calm()).await;
        let told = world.send(delivery("push", push())).await;
        assert_eq!(told.code, 200, "{told:?}");
        assert_eq!(told.body["phase"], "Failed", "{told:?}");
        assert!(told.body["log"].to_string().contains(why), "{told:?}");
        let build = &world.app.cluster.builds("default").await.unwrap()[0];
        assert_eq!(build.phase(), Some(Phase::Failed));
        assert!(build.accepted);
        assert!(world.pods().await.is_empty());
    }
}

#[tokio::test]
async fn an_event_that_nobody_handles_says_so() {
    let script = "require('brigadier').events.on('release', () => {})";
    let world = world(script, calm()).await;
    let told = world.send(delivery("push", push())).await;
    assert_eq!(told.body["handlers"], json!(["release"]));
    assert_eq!(told.body["phase"], "Succeeded");
    assert_eq!(told.body["reason"], "the script has no handler for `push`");
    let bare = World::new().await;
    let told = bare.send(delivery("push", push())).await;
    let reason = "neither the repository nor the project has a script";
    assert_eq!(told.body["reason"], reason);
}

#[tokio::test]
async fn a_script_that_never_ends_does_not_hold_the_sender() {
    let settings = Settings { request_budget: Duration::from_secs(2), ..calm() };
    let world = world("for (;;) {}", settings).await;
    // By itself the script would end a minute later.
    let mut project = world.app.cluster.project("ocean/brig").await.unwrap().unwrap();
    project.limits.script.time = Some(Duration::from_secs(60));
    world.app.cluster.put_project(&project).await.unwrap();
    let begun = std::time::Instant::now();
    // What is left of the request's time does not pass while others keep the machine busy.
    tokio::time::pause();
    let told = world.send(delivery("push", push())).await;
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    assert_eq!(told.code, 200, "{told:?}");
    let reason = "the script has more to compute than there is time for here";
    assert_eq!(told.body["reason"], reason, "{told:?}");
    assert!(told.body["worker"].is_string(), "{told:?}");
}

#[tokio::test]
async fn a_cluster_that_fails_while_the_script_starts_leaves_the_build_to_a_worker() {
    // How often the pod of the job cannot be created: for a while, and for as long as the script
    // may take, six of eight seconds, in which a seventh try has no place.
    for (seconds, times, name) in [(60, 4, "dind"), (8, 6, "brigade-worker")] {
        let request_budget = Duration::from_secs(seconds);
        let world = world(DIND, Settings { request_budget, ..calm() }).await;
        let fault = Fault::next("POST", "/pods", 503);
        world.server.faults().lay(Fault { times, ..fault });
        let told = world.send(delivery("push", push())).await;
        world.server.faults().clear();
        assert_eq!(told.code, 200, "{told:?}");
        let id = told.body["build"].as_str().unwrap();
        assert_eq!(world.pods().await, [format!("{name}-{id}")], "{told:?}");
    }
}

#[tokio::test]
async fn a_crash_between_any_two_calls_runs_every_job_once() {
    for script in [DIND, WAITS] {
        for when in [When::Before, When::After] {
            let mut calls = 0;
            loop {
                let world = world(script, calm()).await;
                world.fail(calls, 403, when);
                let told = world.send(delivery("push", push())).await;
                world.server.faults().clear();
                let again = world.send(delivery("push", push())).await;
                assert_eq!(again.code, 200, "{when:?} call {calls}: {again:?}");
                let builds = world.builds().await;
                assert!(matches!(&builds[..], [(_, true)]), "{when:?} call {calls}: {builds:?}");
                let pods = world.pods().await;
                let jobs = pods.iter().filter(|pod| !pod.starts_with("brigade-worker")).count();
                assert!(jobs <= 1, "{when:?} call {calls}: {pods:?}");
                if told.code == 200 {
                    break;
                }
                calls += 1;
            }
            assert!(calls >= 3, "{when:?}: {calls}");
        }
    }
}

#[tokio::test]
async fn the_process_that_answers_can_go_on_with_the_build() {
    let mut world = world(WAITS, calm()).await;
    let tasks = Tasks::default();
    world.app.workers = Workers::Here(tasks.clone());
    world.router = router(world.app.clone(), Function::ALL);
    let told = world.send(delivery("push", push())).await;
    assert_eq!(told.body["worker"], "this process", "{told:?}");
    assert_eq!(tasks.len(), 1);
    // The same again: nobody else begins to go on with it.
    world.send(delivery("push", push())).await;
    assert_eq!(tasks.len(), 1);

    let id = told.body["build"].as_str().unwrap();
    for job in ["first", "second"] {
        world.succeed(&format!("{job}-{id}")).await;
    }
    tokio::time::timeout(Duration::from_secs(60), tasks.idle()).await.unwrap();
    let build = &world.app.cluster.builds("default").await.unwrap()[0];
    assert_eq!(build.phase(), Some(Phase::Succeeded));
    assert!(tasks.is_empty());
}

#[tokio::test]
async fn a_build_as_brigades_documentation_makes_one_is_run_to_its_end() {
    let mut world = world(WAITS, calm()).await;
    let tasks = Tasks::default();
    world.app.workers = Workers::Here(tasks.clone());
    let id = "0c5b6f1e-3f0a-4bd6-9e0f-6a3b1d2c4e5f";
    let name = format!("simple-event-{id}");
    let secret: Secret = serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {
            "heritage": "brigade", "component": "build", "build": id,
            "project": runtime::project::id_of("ocean/brig"),
        }},
        "type": "brigade.sh/build",
        "stringData": {"event_provider": "simple-event\n", "event_type": "push\n", "build_id": id},
    }))
    .unwrap();
    let secrets = Api::<Secret>::namespaced(world.server.client(), "default");
    secrets.create(&PostParams::default(), &secret).await.unwrap();
    let build = || async { world.app.cluster.builds("default").await.unwrap().remove(0) };
    for _ in 0..2 {
        crate::resume(&world.app, &build().await).await;
        assert_eq!(tasks.len(), 1);
    }
    for job in ["first", "second"] {
        world.succeed(&format!("{job}-{id}")).await;
    }
    tokio::time::timeout(Duration::from_secs(60), tasks.idle()).await.unwrap();
    let build = build().await;
    assert_eq!((build.name(), build.phase()), (name, Some(Phase::Succeeded)));
    let owners = world.pods().await;
    assert_eq!(owners, [format!("first-{id}"), format!("second-{id}")]);
}

#[tokio::test]
async fn a_process_that_stops_leaves_its_builds_as_they_are() {
    let mut world = world(WAITS, calm()).await;
    let tasks = Tasks::default();
    world.app.workers = Workers::Here(tasks.clone());
    world.router = router(world.app.clone(), Function::ALL);
    world.send(delivery("push", push())).await;
    tokio::time::timeout(Duration::from_secs(60), tasks.stop()).await.unwrap();
    let build = &world.app.cluster.builds("default").await.unwrap()[0];
    assert!(build.phase().is_none_or(|phase| !phase.is_terminal()));
}

#[tokio::test]
async fn a_build_that_has_ended_is_not_started_again() {
    let world = world(DIND, calm()).await;
    // The function dies before it can mark the build, whose worker ends it.
    world.fail(2, 403, When::Before);
    world.send(delivery("push", push())).await;
    world.server.faults().clear();
    let build = &world.app.cluster.builds("default").await.unwrap()[0];
    assert!(!build.accepted);
    let ended = [("brigantine.dev/phase".to_owned(), "Succeeded".to_owned())].into();
    world.app.cluster.annotate(build, &ended).await.unwrap();
    let told = world.send(delivery("push", push())).await;
    assert_eq!((told.code, &told.body["duplicate"]), (200, &json!(true)), "{told:?}");
    assert_eq!(told.body["phase"], "Succeeded");
    assert!(world.pods().await.is_empty());
}

#[tokio::test]
async fn a_script_with_more_handlers_than_can_be_noted_is_started() {
    let script = "
        const { events, Job } = require('brigadier');
        for (let i = 0; i < 40; i++) events.on('x'.repeat(10000) + i, () => {});
        events.on('push', () => { new Job('one', 'alpine').run() });";
    let world = world(script, calm()).await;
    let told = world.send(delivery("push", push())).await;
    assert_eq!(told.code, 200, "{told:?}");
    let again = world.send(delivery("push", push())).await;
    assert_eq!(again.body["jobs"], told.body["jobs"]);
    assert!(matches!(&world.builds().await[..], [(_, true)]));
}

impl World {
    /// Waits until there is a pod of this name, and lets it succeed.
    pub(super) async fn succeed(&self, name: &str) {
        let pods = Api::<Pod>::namespaced(self.server.client(), "default");
        let there =
            kube::runtime::wait::await_condition(pods.clone(), name, |pod: Option<&Pod>| {
                pod.is_some()
            });
        tokio::time::timeout(Duration::from_secs(60), there).await.unwrap().unwrap();
        let status = json!({"status": {"phase": "Succeeded"}});
        let patch = kube::api::Patch::Merge(&status);
        pods.patch_status(name, &Default::default(), &patch).await.unwrap();
    }
}

#[tokio::test]
async fn a_script_that_reads_its_repository_is_given_to_a_worker_with_a_clone() {
    let world = World::new().await;
    let script = "const lib = require('./lib'); require('brigadier').events.on('push', lib.push);";
    let keys = json!({
        "sharedSecret": SECRET,
        "defaultScript": script,
        "cloneURL": "https://example.com/ocean/brig.git",
        "vcsSidecar": "git-sidecar:1",
    });
    world.project("ocean/brig", keys).await;
    let told = world.send(delivery("push", push())).await;
    assert_eq!(told.body["reason"], "the script reads files of the repository", "{told:?}");
    let worker = told.body["worker"].as_str().unwrap();
    let pod = world.app.cluster.pod("default", worker).await.unwrap().unwrap();
    assert_eq!(pod.spec.unwrap().init_containers.unwrap()[0].name, "vcs-sidecar");
}
