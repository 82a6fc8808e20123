//! Tests of a worker, against a cluster in memory whose pods are simulated.

use std::fs;
use std::future::pending;
use std::io;

use apiserver::kubelet::{self, Kubelet, Runtime, Simulate, SimulateOptions, SimulateRule};
use apiserver::logs::Logs;
use apiserver::streams::Streams;
use apiserver::{Options as ServerOptions, Server};
use jiff::Timestamp;
use runtime::build::{Build, Phase};
use runtime::cluster::Creation;
use runtime::event::{Event, LogLevel};
use runtime::project::{Project, values};
use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::*;

mod notified;

const TWO_JOBS: &str = "
    const { events, Job } = require('brigadier');
    events.on('exec', async () => {
      await new Job('first', 'alpine', ['true']).run();
      await new Job('second', 'alpine', ['true']).run();
      console.log('both are done');
    });";

#[tokio::test]
async fn a_build_is_run_to_its_end() {
    let world = World::new(&[]).await;
    let (code, printed) = world.run(TWO_JOBS, None).await;
    assert_eq!(code.unwrap(), ExitCode::SUCCESS);
    assert!(printed.contains("both are done"), "{printed}");
    let build = world.build().await;
    assert_eq!(build.phase(), Some(Phase::Succeeded));
}

#[tokio::test]
async fn a_failed_job_fails_the_worker() {
    let rule =
        SimulateRule { pod: Some("second-*".to_owned()), exit_code: 3, ..SimulateRule::default() };
    let world = World::new(&[rule]).await;
    let (code, printed) = world.run(TWO_JOBS, None).await;
    assert_eq!(code.unwrap(), ExitCode::from(1), "{printed}");
    assert_eq!(world.build().await.phase(), Some(Phase::Failed));
}

#[tokio::test]
async fn a_build_that_has_ended_is_not_run_again_and_ends_as_before() {
    for (script, ended) in [(TWO_JOBS, ExitCode::SUCCESS), ("throw 1", ExitCode::from(1))] {
        let world = World::new(&[]).await;
        world.run(script, None).await.0.unwrap();
        let (code, printed) = world.again().await;
        assert_eq!((code.unwrap(), printed.as_str()), (ended, ""));
    }
}

#[tokio::test]
async fn the_script_is_read_from_the_clone() {
    let world = World::new(&[]).await;
    let (code, printed) = world.run("", Some("console.log('cloned')")).await;
    assert_eq!(code.unwrap(), ExitCode::SUCCESS);
    assert!(printed.contains("cloned"), "{printed}");
}

#[tokio::test]
async fn a_build_that_does_not_exist_is_named() {
    let world = World::new(&[]).await;
    let (code, _) = world.again().await;
    assert!(code.unwrap_err().to_string().starts_with("there is no build 0"));
}

#[tokio::test]
async fn a_service_account_that_the_installation_does_not_allow_ends_the_worker() {
    for (pattern, allowed) in [("^deploy", false), ("worker", true), ("^brigade-(a|worker)$", true)]
    {
        let world = World::new(&[]).await;
        world.worker.lock().unwrap().service_account_regex = Some(pattern.to_owned());
        let (code, printed) = world.run("console.log('ran')", None).await;
        assert_eq!(code.unwrap() == ExitCode::SUCCESS, allowed, "{printed}");
        assert_eq!(printed.contains("ran"), allowed);
        let says =
            format!("[brigade] Service Account brigade-worker does not match regex {pattern}\n");
        assert_eq!(printed == says, !allowed, "{printed}");
    }
    let world = World::new(&[]).await;
    world.worker.lock().unwrap().service_account_regex = Some("(".to_owned());
    let error = world.run("", None).await.0.unwrap_err().to_string();
    assert_eq!(error, "BRIGADE_SERVICE_ACCOUNT_REGEX is no regular expression");
}

#[tokio::test]
async fn a_build_and_a_project_that_are_only_mounted_are_run() {
    let world = World::new(&[]).await;
    let script = "
        const { events, Job } = require('brigadier');
        events.on('push', async (e, p) => {
          console.log(e.type, e.provider, e.revision.commit, e.payload, e.workerID, p.name);
          await new Job('first', 'alpine', ['true']).run();
        });";
    let mounted = world.folder.path();
    let write = |folder: &str, files: &[(&str, &str)]| {
        fs::create_dir_all(mounted.join(folder)).unwrap();
        for (name, text) in files {
            fs::write(mounted.join(folder).join(name), text).unwrap();
        }
    };
    write("brigade", &[("script", script), ("payload", "{}"), ("event_provider", "github")]);
    write("brigade-project", &[("repository", "github.com/acme/other"), ("sharedSecret", "s")]);
    let id = "01hf0000000000000000000000";
    {
        let mut worker = world.worker.lock().unwrap();
        worker.build = id.to_owned();
        worker.project = "brigade-of-another-name".to_owned();
        worker.event.kind = "push".to_owned();
        worker.event.revision.commit = "c0ffee".to_owned();
    }
    let (code, printed) = world.again().await;
    assert_eq!(code.unwrap(), ExitCode::SUCCESS, "{printed}");
    let said = format!("push github c0ffee {{}} brigade-worker-{id} github.com/acme/other");
    assert!(printed.contains(&said), "{printed}");
    let pod = world.cluster.pod("default", &format!("first-{id}")).await.unwrap().unwrap();
    assert_eq!(pod.metadata.owner_references, None);
    // In a pod that was made for a build in a Secret, that was deleted, with all that is its own.
    world.worker.lock().unwrap().stored = true;
    let (code, printed) = world.again().await;
    let error = format!("build {id} was deleted from default");
    assert_eq!((code.unwrap_err().to_string(), printed), (error, String::new()));
}

#[tokio::test]
async fn the_script_of_a_variable_comes_after_the_events_own() {
    let world = World::new(&[]).await;
    let path = world.folder.path().join("elsewhere.js");
    fs::write(&path, "console.log('elsewhere')").unwrap();
    world.worker.lock().unwrap().script = Some(path);
    let (_, printed) = world.run("", Some("console.log('cloned')")).await;
    assert!(printed.contains("elsewhere") && !printed.contains("cloned"), "{printed}");
    let (_, printed) = world.run("console.log('event')", None).await;
    assert!(printed.contains("event") && !printed.contains("elsewhere"), "{printed}");
    let inside = world.folder.path().join("vcs/ci.js");
    fs::write(&inside, "console.log('inside')").unwrap();
    world.worker.lock().unwrap().script = Some(inside);
    let (_, printed) = world.run("", Some("console.log('cloned')")).await;
    assert!(printed.contains("inside") && !printed.contains("cloned"), "{printed}");
}

#[tokio::test]
async fn the_log_level_of_the_variable_counts() {
    for (level, says) in [
        (None, true),
        (Some(LogLevel::All), true),
        (Some(LogLevel::Warn), false),
        (Some(LogLevel::None), false),
    ] {
        let world = World::new(&[]).await;
        world.worker.lock().unwrap().log_level = level;
        let (code, printed) = world.run("console.log('ran')", None).await;
        assert_eq!(code.unwrap(), ExitCode::SUCCESS);
        assert!(printed.contains("ran"));
        assert_eq!(printed.contains("[brigade:app] no-after: fired"), says, "{printed}");
    }
}

struct World {
    server: Server,
    settings: Settings,
    cluster: Cluster,
    project: Project,
    folder: TempDir,
    worker: Mutex<WorkerSettings>,
    _running: DropGuard,
}

/// Collects what is printed.
#[derive(Clone, Default)]
struct Printed(Arc<Mutex<Vec<u8>>>);

impl Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl World {
    async fn new(rules: &[SimulateRule]) -> World {
        World::with(rules, "", Settings::default()).await
    }

    /// With more in the project's values file.
    async fn with(rules: &[SimulateRule], values: &str, settings: Settings) -> World {
        let folder = tempfile::tempdir().unwrap();
        let logs = Logs::new(folder.path().join("logs"));
        let options = ServerOptions { logs: Some(logs.clone()), ..ServerOptions::default() };
        let server = Server::new(options).unwrap();
        let running = CancellationToken::new();
        let options = kubelet::Options {
            node_name: "node".to_owned(),
            root: folder.path().join("pods"),
            logs,
            streams: Streams::default(),
            runtime: Runtime::Simulate(Simulate::new(SimulateOptions { rules: rules.to_vec() })),
            allow_host_paths: false,
            back_off: kubelet::BACK_OFF,
        };
        tokio::spawn(Kubelet::new(server.client(), options).run(running.clone()));
        let cluster = Cluster::new(server.client(), "default");
        cluster.create_service_account("default", "brigade-worker").await.unwrap();
        let yaml = format!(
            "project: acme/app\nsharedSecret: s\ncloneURL: https://example.com/app.git\n{values}"
        );
        let (project, _) = values::read(&yaml, "default").unwrap();
        cluster.put_project(&project).await.unwrap();
        let worker = WorkerSettings {
            build: "00000000000000000000000000".to_owned(),
            namespace: "default".to_owned(),
            project: project.id.clone(),
            home: "default".to_owned(),
            stored: false,
            log_level: None,
            event: Event::new("unknown", "ping", ""),
            config: None,
            script: None,
            service_account: "brigade-worker".to_owned(),
            service_account_regex: None,
            workspace: folder.path().join("vcs"),
            build_folder: folder.path().join("brigade"),
            project_folder: folder.path().join("brigade-project"),
        };
        let (worker, running) = (Mutex::new(worker), running.drop_guard());
        World { server, settings, cluster, project, folder, worker, _running: running }
    }

    /// Makes a build and runs it: with the event's own script, or with one that was cloned.
    async fn run(&self, script: &str, cloned: Option<&str>) -> (Result<ExitCode>, String) {
        if let Some(cloned) = cloned {
            fs::create_dir_all(self.folder.path().join("vcs")).unwrap();
            fs::write(self.folder.path().join("vcs/brigade.js"), cloned).unwrap();
        }
        let script = Some(script.to_owned()).filter(|script| !script.is_empty());
        let event = Event { script, ..Event::new("brigade-cli", "exec", "") };
        let build = Build::new(&self.project, event, Timestamp::now());
        let Creation::Made(build) = self.cluster.create_build(&build).await.unwrap() else {
            panic!("the build exists")
        };
        self.worker.lock().unwrap().build = build.id.to_string();
        self.again().await
    }

    async fn again(&self) -> (Result<ExitCode>, String) {
        let printed = Printed::default();
        let worker = self.worker.lock().unwrap().clone();
        let code = run(&self.cluster, &worker, &self.settings, printed.clone(), pending()).await;
        let printed = String::from_utf8(printed.0.lock().unwrap().clone()).unwrap();
        (code, printed)
    }

    async fn build(&self) -> Build {
        let id = BuildId::parse(&self.worker.lock().unwrap().build).unwrap();
        self.cluster.build("default", id).await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn a_handler_that_reads_what_is_not_there_fails_its_build() {
    let world = World::new(&[]).await;
    let script = "
        const { events, Job } = require('brigadier');
        const fs = require('fs');
        events.on('exec', () => { JSON.parse(fs.readFileSync('conf.json')); });
        events.on('error', () => { new Job('tidy', 'alpine', ['true']).run(); });";
    let (code, printed) = world.run(script, None).await;
    assert_eq!(code.unwrap(), ExitCode::from(1), "{printed}");
    let build = world.build().await;
    assert_eq!(build.phase(), Some(Phase::Failed));
    assert!(printed.contains("[brigade:k8s] Creating pod tidy-"), "{printed}");
}

#[tokio::test]
async fn a_cancelled_build_needs_no_script_to_end() {
    let world = World::new(&[]).await;
    let build = Build::new(&world.project, Event::new("brigade-cli", "exec", ""), Timestamp::now());
    let Creation::Made(build) = world.cluster.create_build(&build).await.unwrap() else {
        panic!("the build exists")
    };
    world.worker.lock().unwrap().build = build.id.to_string();
    let cancel = [("brigantine.dev/cancel".to_owned(), "no".to_owned())];
    world.cluster.note("default", build.id, &cancel.into()).await.unwrap();
    let (code, _) = world.again().await;
    assert_eq!(code.unwrap(), ExitCode::from(1));
    assert_eq!(world.build().await.phase(), Some(Phase::Cancelled));
}

#[tokio::test]
async fn a_worker_that_has_ended_its_build_starts_the_one_that_waits_for_it() {
    let mut world = World::new(&[]).await;
    world.project.limits.builds = Some(1);
    world.cluster.put_project(&world.project).await.unwrap();
    // Both wait; the first is started, as a function or the sweeper does.
    for script in ["console.log('first')", TWO_JOBS] {
        let event =
            Event { script: Some(script.to_owned()), ..Event::new("brigade-cli", "exec", "") };
        let build = Build::new(&world.project, event, Timestamp::now());
        world.cluster.create_build(&build).await.unwrap();
    }
    let settings = Settings::default();
    let started = line::next(&world.cluster, &world.project, &settings, line::GRACE);
    let [first] = started.await.unwrap()[..] else { panic!("one may run") };
    world.worker.lock().unwrap().build = first.to_string();
    world.again().await.0.unwrap();
    assert!(world.build().await.phase().is_some_and(Phase::is_terminal));
    let slots = world.cluster.slots(&world.project).await.unwrap();
    let [slot] = &slots[..] else { panic!("{slots:?}") };
    let second = slot.build.unwrap();
    assert_ne!(second, first);
    let name = format!("brigade-worker-{second}");
    assert!(world.cluster.pod("default", &name).await.unwrap().is_some());
    assert!(world.cluster.build("default", second).await.unwrap().unwrap().accepted);
}
