//! The example projects, run for real: their pods in the sandbox.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use emulator::emulator::{Emulator, Options, Pods, Target};
use futures::{AsyncReadExt, StreamExt};
use jiff::Timestamp;
use runtime::build::{Build, Phase, annotation};
use runtime::cluster::{Creation, PodChange};
use runtime::event::{Event, Revision};
use runtime::job;
use runtime::project::Project;
use runtime::settings::Settings;

/// How long a build may take.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn every_example_runs_in_the_sandbox() {
    let mut options = options();
    options.pods = Pods::Sandbox;
    let emulator = match Emulator::start(options).await {
        Ok(emulator) => emulator,
        Err(error) if error.to_string().contains("cannot run in the sandbox") => {
            println!("skipped: {error:#}");
            return;
        }
        Err(error) => panic!("{error:#}"),
    };
    let all = emulator.folders.iter().map(|folder| run(&emulator, &folder.project));
    let logs: BTreeMap<String, String> =
        futures::future::join_all(all).await.into_iter().flatten().collect();
    emulator.stop().await;
    for (job, log) in [
        ("06-tasks lines", "one\ntwo\n"),
        ("09-source reader", "the source is here\n"),
        ("14-environment greeter", "Good day, stranger\n"),
        ("15-shared-storage reader", "a letter\n"),
        ("17-results told", "the dice say 4\n"),
        ("advanced-04-subclass greeting", "hello world\n"),
        ("advanced-05-subclass-tasks prepared", "preparing\nbuilding\ndone\n"),
        ("v2-sidecar guest", "welcome\n"),
    ] {
        let read = logs.get(&format!("examples/{job}")).map(String::as_str);
        assert_eq!(read, Some(log), "{job}: {logs:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_nobody_has_started_is_started_and_followed() {
    let mut options = options();
    options.pods = Pods::Simulate;
    options.folders.retain(|folder| folder.ends_with("08-serial"));
    let emulator = Emulator::start(options).await.unwrap();
    let logs = run(&emulator, &emulator.folders[0].project).await;
    emulator.stop().await;
    let jobs: Vec<&str> = logs.keys().map(String::as_str).collect();
    assert_eq!(jobs, ["examples/08-serial first", "examples/08-serial second"]);
}

/// Runs a project's script for the event `exec`, to its end; the logs of its jobs.
async fn run(emulator: &Emulator, project: &Project) -> BTreeMap<String, String> {
    let revision = Revision { commit: String::new(), reference: "refs/heads/main".to_owned() };
    let event = Event { revision, ..Event::new("brigade-cli", "exec", "") };
    let build = Build::new(project, event, Timestamp::now());
    let Creation::Made(build) = emulator.cluster.create_build(&build).await.unwrap() else {
        panic!("the build exists")
    };
    let ended = tokio::time::timeout(PATIENCE, ended(emulator, &build)).await;
    let pods = ended.unwrap_or_else(|_| panic!("{} did not end", project.name));
    let mut logs = BTreeMap::new();
    for (pod, phase) in pods {
        let (name, _) = pod.rsplit_once('-').unwrap();
        let log = emulator.cluster.pod_log(&build.namespace, &pod, job::CONTAINER, false).await;
        let mut text = String::new();
        std::pin::pin!(log.unwrap()).read_to_string(&mut text).await.unwrap();
        // The one example whose job is meant to fail catches that.
        let meant = project.name.ends_with("03-catch");
        assert!(phase == "Succeeded" || meant, "{} {name}: {phase}: {text}", project.name);
        logs.insert(format!("{} {name}", project.name), text);
    }
    logs
}

/// Waits until a build and its pods have ended; the phases of the pods.
async fn ended(emulator: &Emulator, build: &Build) -> BTreeMap<String, String> {
    let mut builds = Box::pin(emulator.cluster.watch_builds(&build.namespace));
    loop {
        let Some(seen) = builds.next().await else { panic!("the watch has ended") };
        if seen.id != build.id {
            continue;
        }
        let log = seen.annotations.get(annotation::LOG);
        match seen.phase() {
            Some(Phase::Succeeded) => break,
            Some(phase) if phase.is_terminal() => panic!("{}: {log:?}", phase.name()),
            _ if seen.annotations.contains_key(annotation::DETACHED) => break,
            _ => {}
        }
    }
    let mut pods = Box::pin(emulator.cluster.watch_pods(build));
    let mut phases: BTreeMap<String, String> = BTreeMap::new();
    let mut synced = false;
    while !synced || phases.values().any(|phase| phase == "Pending" || phase == "Running") {
        match pods.next().await {
            Some(PodChange::Applied(pod)) => {
                let phase = pod.status.and_then(|status| status.phase).unwrap_or_default();
                phases.insert(pod.metadata.name.unwrap(), phase);
            }
            Some(PodChange::Gone(name)) => panic!("{name} was deleted"),
            Some(PodChange::Synced) => synced = true,
            None => panic!("the watch has ended"),
        }
    }
    phases
}

fn options() -> Options {
    let projects = Path::new(env!("CARGO_MANIFEST_DIR")).join("projects");
    let mut folders: Vec<PathBuf> =
        fs::read_dir(projects).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    Options {
        folders,
        listen: ([127, 0, 0, 1], 0).into(),
        api_listen: ([127, 0, 0, 1], 0).into(),
        cluster: Target::Embedded,
        host: None,
        pods: Pods::Auto,
        rbac: false,
        state: None,
        kubeconfig: None,
        namespace: "default".to_owned(),
        stand_ins: Vec::new(),
        tell_outside: false,
        settings: Settings::default(),
    }
}
