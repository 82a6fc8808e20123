//! Who is told of a build, by the worker that runs it.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::http::StatusCode;
use runtime::build::annotation;
use serde_json::{Value, json};

use super::*;
use crate::tests::sink::{Death, Sink};

const ONE_JOB: &str = "
    const { events, Job } = require('brigadier');
    events.on('exec', async () => {
      await new Job('only', 'alpine', ['true']).run();
    });";

/// Settings that allow a sink on this machine, and waste no time on one that is away.
fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.notify.allowed_hosts = vec!["127.0.0.1".to_owned()];
    settings
}

fn fails(pod: &str) -> SimulateRule {
    SimulateRule {
        pod: Some(pod.to_owned()),
        image: Some("alpine".to_owned()),
        exit_code: 3,
        log: vec!["compiling".to_owned(), "the test is red: hunter-two-22".to_owned()],
        ..SimulateRule::default()
    }
}

async fn noted(world: &World) -> Value {
    let build = world.build().await;
    let noted = build.annotations.get(annotation::NOTIFIED).cloned().unwrap_or_default();
    serde_json::from_str(&noted).unwrap_or(Value::String(noted))
}

#[tokio::test]
async fn a_build_is_told_of_when_it_starts_and_when_it_ends() {
    let sink = Sink::new().await;
    let world = World::with(&[], &sink.values(""), settings()).await;
    let (code, printed) = world.run(TWO_JOBS, None).await;
    assert_eq!(code.unwrap(), ExitCode::SUCCESS, "{printed}");
    assert_eq!(sink.types(), ["build.started", "build.succeeded"], "{printed}");
    let event = sink.last();
    let id = world.build().await.id;
    assert_eq!(event["id"], format!("{id}.succeeded"));
    assert_eq!(event["source"], "/projects/acme/app");
    assert_eq!(event["cdeventstype"], "dev.cdevents.pipelinerun.finished.0.2.0");
    let data = &event["data"];
    assert_eq!((&data["phase"], &data["event"]), (&json!("Succeeded"), &json!("exec")));
    let jobs: Vec<_> = data["jobs"].as_array().unwrap().iter().map(|job| &job["phase"]).collect();
    assert_eq!(jobs, ["Succeeded", "Succeeded"]);
    assert_eq!(noted(&world).await, json!({"webhook": {"told": "succeeded"}}));
    assert!(
        printed.contains("[brigade:notify] webhook: told that the build has succeeded"),
        "{printed}"
    );
    // Another worker of the same build has nothing left to tell.
    world.again().await.0.unwrap();
    assert_eq!(sink.types().len(), 2);
}

#[tokio::test]
async fn a_failed_job_is_told_of_with_the_end_of_its_log_and_without_secrets() {
    let sink = Sink::new().await;
    let secrets = "\nsecrets: {PASSWORD: hunter-two-22}";
    let world = World::with(&[fails("only-*")], &(sink.values("") + secrets), settings()).await;
    let (code, printed) = world.run(ONE_JOB, None).await;
    assert_eq!(code.unwrap(), ExitCode::from(1), "{printed}");
    assert_eq!(sink.types(), ["build.started", "build.failed"]);
    let data = &sink.last()["data"];
    let log = data["jobs"][0]["log"].as_str().unwrap();
    assert!(log.ends_with("compiling\nthe test is red: ***\n"), "{log}");
    let reason = data["reason"].as_str().unwrap();
    assert!(reason == "job only: exit code 3", "{reason}");
}

#[tokio::test]
async fn what_is_told_after_a_death_has_the_jobs_and_their_logs_too() {
    let sink = Sink::new().await;
    let secrets = "\nsecrets: {PASSWORD: hunter-two-22}";
    let world = World::with(&[fails("only-*")], &(sink.values("") + secrets), settings()).await;
    world.run(ONE_JOB, None).await.0.unwrap();
    let first = sink.last();
    // As if it had died before it noted what it had told.
    let notes = [(annotation::NOTIFIED.to_owned(), r#"{"webhook":{"told":"started"}}"#.to_owned())];
    world.cluster.note("default", world.build().await.id, &notes.into()).await.unwrap();
    world.again().await.0.unwrap();
    let second = sink.last();
    assert_eq!(sink.types(), ["build.started", "build.failed", "build.failed"]);
    assert_eq!(first["id"], second["id"]);
    for member in ["name", "pod", "phase", "reason", "finished", "log"] {
        let of = |event: &Value| event["data"]["jobs"][0][member].clone();
        assert_eq!(of(&first), of(&second), "{member}");
    }
}

#[tokio::test]
async fn jobs_are_told_of_to_those_who_ask() {
    let sink = Sink::new().await;
    let world = World::with(&[], &sink.values(", on: [failed], jobs: true"), settings()).await;
    world.run(TWO_JOBS, None).await.0.unwrap();
    let types = sink.types();
    assert_eq!(types, ["job.started", "job.succeeded", "job.started", "job.succeeded"]);
    assert_eq!(sink.last()["cdeventstype"], "dev.cdevents.taskrun.finished.0.2.0");
    assert_eq!(sink.last()["data"]["name"], "second");
}

#[tokio::test]
async fn who_does_not_care_is_told_nothing() {
    for keys in [
        ", events: [push]",
        ", events: ['exec:*x']",
        ", refs: [main]",
        ", on: [failed, cancelled]",
        ", on: []",
    ] {
        let sink = Sink::new().await;
        let values = sink.values(keys);
        if keys.contains("*x") {
            assert!(values::read(&format!("project: a/b\n{values}"), "default").is_err());
            continue;
        }
        let world = World::with(&[], &values, settings()).await;
        world.run(ONE_JOB, None).await.0.unwrap();
        assert_eq!(sink.types(), Vec::<String>::new(), "{keys}");
    }
}

#[tokio::test]
async fn a_build_that_no_handler_hears_is_told_of_to_nobody() {
    let sink = Sink::new().await;
    let world = World::with(&[], &sink.values(""), settings()).await;
    world.run("console.log('top')", None).await.0.unwrap();
    assert_eq!(sink.types(), Vec::<String>::new());
    assert_eq!(noted(&world).await, "nobody");
    // But one whose script is broken is.
    world.run("throw new Error('top')", None).await.0.unwrap();
    assert_eq!(sink.types(), ["build.failed"]);
}

#[tokio::test]
async fn what_succeeds_after_it_failed_has_recovered_once() {
    let sink = Sink::new().await;
    let world = World::with(&[], &sink.values(""), settings()).await;
    let fails = "require('brigadier').events.on('exec', () => { throw 1 })";
    for script in [ONE_JOB, fails, ONE_JOB, ONE_JOB] {
        world.run(script, None).await.0.unwrap();
    }
    let ends = ["succeeded", "failed", "recovered", "succeeded"];
    let told = ends.map(|end| ["build.started".to_owned(), format!("build.{end}")]).concat();
    assert_eq!(sink.types(), told);
}

#[tokio::test]
async fn who_refuses_changes_nothing_of_the_build_and_is_visible_on_it() {
    let sink = Sink::new().await;
    sink.refuse(Some(StatusCode::FORBIDDEN));
    let world = World::with(&[], &sink.values(""), settings()).await;
    let (code, printed) = world.run(ONE_JOB, None).await;
    assert_eq!(code.unwrap(), ExitCode::SUCCESS, "{printed}");
    assert!(
        printed.contains("[brigade:notify] webhook: not told that the build has succeeded: "),
        "{printed}"
    );
    let noted = noted(&world).await;
    assert_eq!(noted["webhook"]["lost"], "succeeded");
    assert!(noted["webhook"]["error"].as_str().unwrap().contains("403"), "{noted}");
    // It said no, and is not asked again.
    sink.refuse(None);
    world.again().await.0.unwrap();
    assert_eq!(sink.types(), Vec::<String>::new());
}

#[tokio::test]
async fn who_is_away_is_given_up_when_the_time_for_that_is_over() {
    let sink = Sink::new().await;
    sink.refuse(Some(StatusCode::SERVICE_UNAVAILABLE));
    let mut settings = settings();
    settings.notify.budget = Duration::from_millis(50);
    let world = World::with(&[], &sink.values(""), settings).await;
    let (code, printed) = world.run(ONE_JOB, None).await;
    assert_eq!(code.unwrap(), ExitCode::SUCCESS, "{printed}");
    assert_eq!(noted(&world).await["webhook"]["lost"], "succeeded", "{printed}");
    assert_eq!(world.build().await.phase(), Some(Phase::Succeeded));
}

#[tokio::test]
async fn a_cancelled_build_is_told_of() {
    let sink = Sink::new().await;
    let world = World::with(&[], &sink.values(""), settings()).await;
    let build = Build::new(&world.project, Event::new("brigade-cli", "exec", ""), Timestamp::now());
    world.cluster.create_build(&build).await.unwrap();
    world.worker.lock().unwrap().build = build.id.to_string();
    let cancel = [(annotation::CANCEL.to_owned(), "no".to_owned())];
    world.cluster.note("default", build.id, &cancel.into()).await.unwrap();
    world.again().await.0.unwrap();
    assert_eq!(sink.types(), ["build.cancelled"]);
    assert_eq!(sink.last()["data"]["reason"], "the build was cancelled: no");
}

/// The worker dies before or after every call, of the cluster and of the sink, and another goes on.
#[tokio::test]
async fn whenever_a_worker_dies_what_it_has_not_told_is_told() {
    for carried_out in [false, true] {
        for after in 0.. {
            let sink = Sink::new().await;
            let world = World::with(&[], &sink.values(""), settings()).await;
            let event =
                Event { script: Some(ONE_JOB.to_owned()), ..Event::new("brigade-cli", "exec", "") };
            let build = Build::new(&world.project, event, Timestamp::now());
            world.cluster.create_build(&build).await.unwrap();
            world.worker.lock().unwrap().build = build.id.to_string();
            let lived = {
                let death = Death::new(after, carried_out);
                sink.die(Some(death.clone()));
                let mortal = Cluster::new(death.client(&world.server), "default");
                let worker = world.worker.lock().unwrap().clone();
                let life = run(&mortal, &worker, &world.settings, io::sink(), pending());
                tokio::select! {
                    biased;
                    () = death.came() => false,
                    code = life => code.is_ok(),
                }
            };
            sink.die(None);
            let before = noted(&world).await;
            world.again().await.0.unwrap();
            let (types, moment) = (sink.types(), format!("after {after}, {carried_out}"));
            let after_all = noted(&world).await;
            assert_eq!(after_all["webhook"]["told"], "succeeded", "{moment}: {types:?}");
            let different: BTreeSet<&String> = types.iter().collect();
            assert!(types.iter().any(|kind| kind == "build.succeeded"), "{moment}: {types:?}");
            // What was told and could not be noted is told again, and nothing else is.
            assert!(types.len() <= different.len() + 1, "{moment}: {types:?}");
            let count = |kind: &str| types.iter().filter(|each| *each == kind).count();
            if let Some(told) = before["webhook"]["told"].as_str() {
                assert_eq!(count(&format!("build.{told}")), 1, "{moment}: {types:?}");
            }
            if lived {
                assert_eq!(types, ["build.started", "build.succeeded"], "{moment}");
                assert!(after > 10, "{moment}");
                break;
            }
        }
    }
}
