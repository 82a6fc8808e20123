//! Tests of sweeping, against a cluster in memory whose pods the tests end.

use apiserver::{Options, Server};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret, ServiceAccount};
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use runtime::build::{Build, Phase};
use runtime::cluster::Creation;
use runtime::event::Event;
use runtime::project::values;
use serde_json::{Value, json};

use super::*;
use crate::tests::sink::{Death, Sink};

const NOW: Rules = Rules {
    age: None,
    most: None,
    skip_running: true,
    dry_run: false,
    young: Duration::ZERO,
    grace: Duration::ZERO,
};

struct World {
    server: Server,
    cluster: Cluster,
    project: Project,
}

impl World {
    async fn new(limits: &str) -> World {
        let server = Server::new(Options::default()).unwrap();
        let cluster = Cluster::new(server.client(), "default");
        cluster.create_service_account("default", "brigade-worker").await.unwrap();
        let yaml = format!("project: acme/app\nsharedSecret: s\nlimits: {limits}");
        let (project, _) = values::read(&yaml, "default").unwrap();
        cluster.put_project(&project).await.unwrap();
        World { server, cluster, project }
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.server.client(), "default")
    }

    async fn create(&self) -> Build {
        let event = Event::new("test", "push", "{}");
        let build = Build::new(&self.project, event, Timestamp::now());
        match self.cluster.create_build(&build).await.unwrap() {
            Creation::Made(build) | Creation::Exists(build) => build,
        }
    }

    /// A build that was started, with these notes.
    async fn started(&self, notes: &[(&str, &str)]) -> Build {
        let build = self.create().await;
        let told = json!({"worker": build.name()}).to_string();
        let mut all = BTreeMap::from([(annotation::EXPLANATION.to_owned(), told)]);
        all.extend(notes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        self.cluster.accept(&build, &all).await.unwrap();
        build
    }

    /// A pod of a build, which stands so.
    async fn pod(&self, build: &Build, component: &str, status: Value) {
        let job = component == "job";
        let name = if job { format!("only-{}", build.id) } else { build.name() };
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {
                "name": name,
                "labels": {
                    "build": build.id.to_string(), "component": component, "heritage": "brigade",
                    "project": build.project, "jobname": "only",
                },
            },
            "spec": {"containers": [{"name": "brigaderun", "image": "i"}]},
        }))
        .unwrap();
        self.api::<Pod>().create(&PostParams::default(), &pod).await.unwrap();
        let patch = Patch::Merge(json!({ "status": status }));
        self.api::<Pod>().patch_status(&name, &PatchParams::default(), &patch).await.unwrap();
    }

    async fn sweep(&self, rules: &Rules) -> Report {
        let mut settings = Settings::default();
        settings.notify.allowed_hosts = vec!["127.0.0.1".to_owned()];
        let report = sweep(&self.cluster, rules, &settings).await.unwrap();
        assert!(report.failed.is_empty(), "{report:?}");
        report
    }

    async fn phase(&self, build: &Build) -> Option<Phase> {
        self.cluster.head("default", build.id).await.unwrap().unwrap().phase()
    }

    async fn names<K>(&self) -> Vec<String>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned,
    {
        let all = self.api::<K>().list(&ListParams::default()).await.unwrap().items;
        all.into_iter().filter_map(|each| each.meta().name.clone()).collect()
    }
}

fn what(report: &Report) -> Vec<(&'static str, String)> {
    report.done.iter().map(|done| (done.what, done.build.clone())).collect()
}

fn ended(exit_code: i32) -> Value {
    json!({
        "phase": if exit_code == 0 { "Succeeded" } else { "Failed" },
        "containerStatuses": [{
            "name": "brigaderun", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {
                "exitCode": exit_code,
                "startedAt": "2026-03-01T10:00:00Z", "finishedAt": "2026-03-01T10:00:05Z",
            }},
        }],
    })
}

#[tokio::test]
async fn a_build_that_nobody_started_is_started_after_a_grace() {
    let world = World::new("{}").await;
    let build = world.create().await;
    let report = world.sweep(&Rules { young: YOUNG, ..NOW }).await;
    assert_eq!((report.done.len(), report.running), (0, 1));
    let report = world.sweep(&NOW).await;
    assert_eq!(what(&report), [("started", build.name())]);
    assert_eq!(world.names::<Pod>().await, [build.name()]);
    assert_eq!(world.sweep(&NOW).await.done.len(), 0);
}

#[tokio::test]
async fn a_build_of_no_project_is_counted_and_left_alone() {
    let world = World::new("{}").await;
    let build = Build { project: "brigade-gone".to_owned(), ..world.create().await };
    world
        .cluster
        .delete_build(&world.cluster.head("default", build.id).await.unwrap().unwrap())
        .await
        .unwrap();
    world.cluster.create_build(&build).await.unwrap();
    assert_eq!(world.sweep(&NOW).await.orphans, 1);
    assert!(world.names::<Pod>().await.is_empty());
}

#[tokio::test]
async fn a_build_in_a_namespace_that_is_not_its_projects_is_no_build_of_it() {
    let world = World::new("{}").await;
    let namespace = json!({"metadata": {"name": "other"}});
    let namespace = serde_json::from_value(namespace).unwrap();
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(world.server.client());
    namespaces.create(&PostParams::default(), &namespace).await.unwrap();
    let yaml = "project: acme/other\nsharedSecret: s\nnamespace: other";
    world.cluster.put_project(&values::read(yaml, "default").unwrap().0).await.unwrap();
    let mut foreign = world.project.clone();
    foreign.namespace = "other".to_owned();
    let build = Build::new(&foreign, Event::new("test", "push", "{}"), Timestamp::now());
    world.cluster.create_build(&build).await.unwrap();
    let report = world.sweep(&NOW).await;
    assert_eq!((report.orphans, report.done.len()), (1, 0));
    let pods: Api<Pod> = Api::namespaced(world.server.client(), "other");
    assert_eq!(pods.list(&ListParams::default()).await.unwrap().items.len(), 0);
}

#[tokio::test]
async fn waiting_builds_are_started_as_many_as_may_run() {
    let world = World::new("{maxBuilds: 2}").await;
    for _ in 0..3 {
        world.create().await;
    }
    let report = world.sweep(&NOW).await;
    assert_eq!((what(&report).len(), report.waiting), (2, 1));
    assert_eq!(world.names::<Pod>().await.len(), 2);
}

#[tokio::test]
async fn a_worker_that_vanished_is_made_again_three_times() {
    let world = World::new("{}").await;
    let build = world.started(&[]).await;
    let evicted = json!({"phase": "Failed", "reason": "Evicted"});
    for _ in 0..3 {
        let report = world.sweep(&NOW).await;
        assert_eq!(what(&report), [("revived", build.name())]);
        assert_eq!(world.sweep(&NOW).await.running, 1, "it lives now");
        let patch = Patch::Merge(json!({ "status": evicted }));
        let pods = world.api::<Pod>();
        pods.patch_status(&build.name(), &PatchParams::default(), &patch).await.unwrap();
    }
    let report = world.sweep(&NOW).await;
    assert_eq!(what(&report), [("ended", build.name())]);
    assert_eq!(world.phase(&build).await, Some(Phase::Failed));
}

#[tokio::test]
async fn a_worker_that_could_not_clone_fails_its_build() {
    let world = World::new("{}").await;
    let build = world.started(&[]).await;
    let failed = json!({
        "phase": "Failed",
        "initContainerStatuses": [{
            "name": "vcs-sidecar", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": 1}},
        }],
    });
    world.pod(&build, "build", failed).await;
    let report = world.sweep(&NOW).await;
    assert_eq!(report.done[0].why, "Failed: the container vcs-sidecar of its worker's pod failed");
    assert_eq!(world.phase(&build).await, Some(Phase::Failed));
}

#[tokio::test]
async fn a_detached_build_ends_when_its_pods_have() {
    let cases =
        [(0, false, Phase::Succeeded), (3, false, Phase::Failed), (3, true, Phase::Succeeded)];
    for (code, fallible, phase) in cases {
        let world = World::new("{}").await;
        let build = world.started(&[(annotation::DETACHED, "true")]).await;
        world.pod(&build, "job", json!({"phase": "Running"})).await;
        assert_eq!(world.sweep(&NOW).await.running, 1);
        let patch = Patch::Merge(json!({ "status": ended(code) }));
        let name = format!("only-{}", build.id);
        let pods = world.api::<Pod>();
        if fallible {
            let noted =
                json!({ "metadata": { "annotations": { runtime::job::FALLIBLE: "true" } } });
            pods.patch(&name, &PatchParams::default(), &Patch::Merge(noted)).await.unwrap();
        }
        pods.patch_status(&name, &PatchParams::default(), &patch).await.unwrap();
        let report = world.sweep(&NOW).await;
        assert_eq!(what(&report), [("ended", build.name())]);
        let head = world.cluster.head("default", build.id).await.unwrap().unwrap();
        assert_eq!(head.phase(), Some(phase));
        assert_eq!(head.annotations[annotation::FINISHED], "2026-03-01T10:00:05Z");
        let jobs =
            if code == 0 { "1 run, 1 succeeded, 0 failed" } else { "1 run, 0 succeeded, 1 failed" };
        assert_eq!(head.annotations[annotation::JOBS], jobs);
    }
}

#[tokio::test]
async fn a_detached_build_fails_when_a_pod_of_it_cannot_start_in_its_time() {
    for (limit, over) in [(3600, false), (0, true)] {
        let world = World::new("{}").await;
        let build = world.started(&[(annotation::DETACHED, "true")]).await;
        let unschedulable = json!({"phase": "Pending", "conditions": [{
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
            "message": "0/3 nodes are available",
        }]});
        world.pod(&build, "job", unschedulable).await;
        let name = format!("only-{}", build.id);
        let mut pods = Pods::default();
        let mut pod = world.api::<Pod>().get(&name).await.unwrap();
        pod.spec.as_mut().unwrap().active_deadline_seconds = Some(limit);
        pods.jobs.push(pod);
        let head = world.cluster.head("default", build.id).await.unwrap().unwrap();
        let soon = Timestamp::now() + Duration::from_secs(60);
        match decide(&head, &pods, Some(&world.project), soon, YOUNG) {
            Action::Runs => assert!(!over),
            Action::End { phase: Phase::Failed, reason, .. } => {
                assert!(over);
                let says =
                    format!("Pod {name} cannot start: Unschedulable: 0/3 nodes are available");
                assert_eq!(reason, says);
            }
            action => panic!("{action:?}"),
        }
    }
}

#[tokio::test]
async fn a_cancelled_build_that_nobody_follows_is_ended() {
    let world = World::new("{}").await;
    let notes = [(annotation::DETACHED, "true"), (annotation::CANCEL, "enough")];
    let detached = world.started(&notes).await;
    world.pod(&detached, "job", json!({"phase": "Running"})).await;
    let vanished = world.started(&[(annotation::CANCEL, "")]).await;
    let report = world.sweep(&NOW).await;
    assert_eq!(report.done.len(), 2, "{report:?}");
    for build in [&detached, &vanished] {
        assert_eq!(world.phase(build).await, Some(Phase::Cancelled));
    }
    assert!(world.names::<Pod>().await.is_empty());
}

#[tokio::test]
async fn old_builds_are_deleted_with_all_that_is_theirs_and_nothing_else() {
    let world = World::new("{}").await;
    let old = world.started(&[(annotation::PHASE, "Succeeded")]).await;
    world.pod(&old, "job", ended(0)).await;
    let id = old.id.to_string();
    let object = |name: &str, kind: &str, labels: Value| json!({"metadata": {"name": name, "labels": labels}, "type": kind});
    for secret in [
        object(
            "only",
            "brigade.sh/job",
            json!({"build": id, "component": "job", "heritage": "brigade"}),
        ),
        object(
            "stranger",
            "Opaque",
            json!({"build": id, "component": "job", "heritage": "brigade"}),
        ),
        object("neighbour", "brigade.sh/job", json!({"component": "job", "heritage": "brigade"})),
    ] {
        let secret: Secret = serde_json::from_value(secret).unwrap();
        world.api::<Secret>().create(&PostParams::default(), &secret).await.unwrap();
    }
    for (name, component) in [("storage", "buildStorage"), ("cache", "jobCache")] {
        let claim: PersistentVolumeClaim = serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {
                "build": id, "component": component, "heritage": "brigade",
            }},
            "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Mi"}}},
        }))
        .unwrap();
        let claims = world.api::<PersistentVolumeClaim>();
        claims.create(&PostParams::default(), &claim).await.unwrap();
    }
    let newer = world.started(&[(annotation::PHASE, "Failed")]).await;
    let rules = Rules { most: Some(1), ..NOW };
    let dry = world.sweep(&Rules { dry_run: true, ..rules.clone() }).await;
    assert_eq!(what(&dry), [("deleted", old.name())]);
    assert_eq!(world.cluster.heads("default").await.unwrap().len(), 2);
    assert_eq!(what(&world.sweep(&rules).await), [("deleted", old.name())]);
    let mut secrets = world.names::<Secret>().await;
    secrets.sort();
    assert_eq!(
        secrets,
        [world.project.id.clone(), newer.name(), "neighbour".into(), "stranger".into()]
    );
    assert!(world.names::<Pod>().await.is_empty());
    assert_eq!(world.names::<PersistentVolumeClaim>().await, ["cache"]);
    assert!(!world.names::<ServiceAccount>().await.is_empty());
}

#[tokio::test]
async fn a_running_build_is_kept_unless_said_otherwise_also_brigades_own() {
    let world = World::new("{}").await;
    // As Brigade's controller leaves it: accepted, with nothing of ours.
    let brigades = world.create().await;
    let label = Patch::Merge(json!({"metadata": {"labels": {"status": "accepted"}}}));
    let secrets = world.api::<Secret>();
    secrets.patch(&brigades.name(), &PatchParams::default(), &label).await.unwrap();
    world.pod(&brigades, "build", json!({"phase": "Running"})).await;
    let ours = world.started(&[]).await;
    world.pod(&ours, "build", json!({"phase": "Running"})).await;
    let all = Rules { age: Some(Duration::from_nanos(1)), ..NOW };
    let report = world.sweep(&all).await;
    assert_eq!((report.done.len(), report.running), (0, 2), "{report:?}");
    // Its worker has ended, which is all that Brigade tells.
    let patch = Patch::Merge(json!({"status": {"phase": "Succeeded"}}));
    let pods = world.api::<Pod>();
    pods.patch_status(&brigades.name(), &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(what(&world.sweep(&all).await), [("deleted", brigades.name())]);
    let report = world.sweep(&Rules { skip_running: false, ..all }).await;
    assert_eq!(what(&report), [("deleted", ours.name())]);
    assert!(world.names::<Pod>().await.is_empty());
}

#[tokio::test]
async fn what_is_reported_is_text_or_json() {
    let world = World::new("{}").await;
    let build = world.create().await;
    let mut text = Vec::new();
    let report = world.sweep(&Rules { dry_run: true, ..NOW }).await;
    report.write(&mut text).unwrap();
    assert_eq!(
        String::from_utf8(text).unwrap(),
        format!(
            "{} would be started: nobody had started it\n\
             builds: 0 run, 0 wait, 0 without a project\n\
             done: 1 started, 0 revived, 0 ended, 0 cancelled, 0 told, 0 deleted, 0 failed\n",
            build.name()
        )
    );
    assert_eq!(json!(report)["done"][0]["build"], build.name());
    assert!(world.names::<Pod>().await.is_empty());
}

#[test]
fn brigades_variables_and_the_options_say_what_is_kept() {
    let read = |pairs: &[(&str, &str)]| {
        let pairs: HashMap<String, String> =
            pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        SweepSettings::read(|name| pairs.get(name).cloned())
    };
    let settings = read(&[]).unwrap();
    assert!(settings.age.is_none() && settings.max_builds.is_none() && settings.skip_running);
    let settings = read(&[
        ("VACUUM_AGE", "720h"),
        ("VACUUM_MAX_BUILDS", "-1"),
        ("VACUUM_SKIP_RUNNING_BUILDS", "false"),
    ])
    .unwrap();
    assert_eq!(settings.age, Some(Duration::from_secs(720 * 3600)));
    assert_eq!((settings.max_builds, settings.skip_running), (Some(-1), false));
    for (name, value) in [("VACUUM_AGE", "30 days"), ("VACUUM_MAX_BUILDS", "all")] {
        assert!(read(&[(name, value)]).unwrap_err().to_string().contains(name));
    }
}

#[tokio::test]
async fn builds_of_a_project_that_cannot_be_loaded_are_left_as_they_are() {
    let world = World::new("{}").await;
    let (vanished, new) = (world.started(&[]).await, world.create().await);
    let wrong = Patch::Merge(json!({"metadata": {"annotations": {
        "brigantine.dev/max-builds": "some",
    }}}));
    let secrets = world.api::<Secret>();
    secrets.patch(&world.project.id, &PatchParams::default(), &wrong).await.unwrap();
    let report = sweep(&world.cluster, &NOW, &Settings::default()).await.unwrap();
    assert_eq!((report.done.len(), report.running, report.orphans), (0, 2, 0), "{report:?}");
    assert!(report.failed[0].error.contains("brigantine.dev/max-builds is \"some\""), "{report:?}");
    for build in [vanished, new] {
        assert_eq!(world.phase(&build).await, None);
    }
    assert!(world.names::<Pod>().await.is_empty());
}

#[tokio::test]
async fn two_sweeps_at_once_do_everything_once() {
    let world = World::new("{maxBuilds: 3}").await;
    for _ in 0..6 {
        world.create().await;
    }
    let (one, two) = tokio::join!(world.sweep(&NOW), world.sweep(&NOW));
    assert!(one.done.len() + two.done.len() >= 3, "{one:?} {two:?}");
    assert_eq!(world.names::<Pod>().await.len(), 3);
    assert_eq!(world.cluster.slots(&world.project).await.unwrap().len(), 3);
}

/// A Secret of the type of builds, as another program makes it.
fn foreign(name: &str, labels: Value) -> Secret {
    serde_json::from_value(json!({
        "metadata": {"name": name, "labels": labels},
        "type": "brigade.sh/build",
        "stringData": {"event_type": "my_event\n", "event_provider": "simple-event", "script": ";"},
    }))
    .unwrap()
}

#[tokio::test]
async fn a_build_that_another_program_made_is_started_and_can_be_cancelled() {
    let world = World::new("{}").await;
    let id = "0c5b6f1e-3f0a-4bd6-9e0f-6a3b1d2c4e5f";
    let name = format!("simple-event-{id}");
    // Brigade's controller looked at neither `heritage` nor `component`.
    let secret = foreign(&name, json!({"build": id, "project": world.project.id}));
    let secret = world.api::<Secret>().create(&PostParams::default(), &secret).await.unwrap();
    world.sweep(&NOW).await;
    let pod = world.api::<Pod>().get(&name).await.unwrap();
    assert_eq!(pod.metadata.labels.as_ref().unwrap()["build"], id);
    let owner = &pod.metadata.owner_references.as_ref().unwrap()[0];
    assert_eq!(
        (owner.name.as_str(), Some(&owner.uid)),
        (name.as_str(), secret.metadata.uid.as_ref())
    );
    let kept = world.api::<Secret>().get(&name).await.unwrap();
    let labels = kept.metadata.labels.unwrap();
    assert_eq!((labels["status"].as_str(), labels["component"].as_str()), ("accepted", "build"));

    let id = BuildId::parse(id).unwrap();
    assert_eq!(world.cluster.build("default", id).await.unwrap().unwrap().event.kind, "my_event");
    world.cluster.cancel("default", id, "no more").await.unwrap();
    let head = world.cluster.head("default", id).await.unwrap().unwrap();
    assert_eq!(head.cancelled().as_deref(), Some("the build was cancelled: no more"));
    world.cluster.delete_build(&head).await.unwrap();
    assert!(world.cluster.build("default", id).await.unwrap().is_none());
    assert!(world.api::<Pod>().get_opt(&name).await.unwrap().is_none());
}

#[tokio::test]
async fn what_cannot_be_a_build_is_told_so_once() {
    let world = World::new("{}").await;
    let project = &world.project.id;
    for (name, labels, said) in [
        ("upper", json!({"build": "A-1", "project": project}), "is not a build id"),
        ("nameless", json!({"project": project}), "has no label \"build\""),
        ("homeless", json!({"build": "x"}), "has no label \"project\""),
        ("first", json!({"build": "twice", "project": project}), ""),
        ("second", json!({"build": "twice", "project": project}), "the same label \"build\""),
    ] {
        let secret = foreign(name, labels);
        world.api::<Secret>().create(&PostParams::default(), &secret).await.unwrap();
        world.sweep(&NOW).await;
        world.sweep(&NOW).await;
        let secret = world.api::<Secret>().get(name).await.unwrap();
        let notes = secret.metadata.annotations.unwrap_or_default();
        let reason = notes.get(annotation::REASON).cloned().unwrap_or_default();
        assert_eq!(notes.contains_key(annotation::PHASE), !said.is_empty(), "{name}: {notes:?}");
        assert!(reason.contains(said), "{name}: {reason}");
    }
    assert_eq!(world.api::<Pod>().list(&ListParams::default()).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn who_has_not_been_told_how_a_build_ended_is_told_once() {
    let sink = Sink::new().await;
    let world = World::new(&format!("{{}}\n{}", sink.values(""))).await;
    // One that a function ended and that no worker told of, one that was told of, one that concerns
    // nobody, an old one, and two that end now.
    let ended = [(annotation::PHASE, "Failed"), (annotation::REASON, "red")];
    let finished = Timestamp::now().to_string();
    let long_ago = "2026-01-01T00:00:00Z".to_owned();
    let untold = world.started(&[ended[0], ended[1], (annotation::FINISHED, &finished)]).await;
    for (noted, finished) in [
        (r#"{"webhook": {"told": "failed"}}"#, &finished),
        (r#"{"webhook": {"lost": "failed"}}"#, &finished),
        ("nobody", &finished),
        ("{}", &long_ago),
    ] {
        let notes = [ended[0], (annotation::FINISHED, finished), (annotation::NOTIFIED, noted)];
        world.started(&notes).await;
    }
    let vanished = world.started(&[(annotation::REVIVED, "3")]).await;
    let cancelled = world.create().await;
    let cancel = [(annotation::CANCEL.to_owned(), "enough".to_owned())];
    world.cluster.note("default", cancelled.id, &cancel.into()).await.unwrap();
    let report = world.sweep(&NOW).await;
    let mut told: Vec<(String, String)> = sink.taken();
    told.sort();
    let mut expected = [(untold, "failed"), (vanished, "failed"), (cancelled, "cancelled")]
        .map(|(build, moment)| (build.id.to_string(), format!("build.{moment}")));
    expected.sort();
    assert_eq!(told, expected, "{report:?}");
    world.sweep(&NOW).await;
    assert_eq!(sink.types().len(), 3);
}

#[tokio::test]
async fn a_build_whose_worker_may_still_tell_of_it_is_left_to_that() {
    let sink = Sink::new().await;
    let world = World::new(&format!("{{}}\n{}", sink.values(""))).await;
    let finished = Timestamp::now().to_string();
    let notes = [(annotation::PHASE, "Failed"), (annotation::FINISHED, finished.as_str())];
    let build = world.started(&notes).await;
    world.pod(&build, "build", json!({"phase": "Running"})).await;
    world.sweep(&NOW).await;
    let young = Rules { young: Duration::from_secs(3600), ..NOW };
    world.started(&notes).await;
    world.sweep(&young).await;
    assert_eq!(sink.types(), Vec::<String>::new());
}

#[tokio::test]
async fn what_waits_is_started_before_anybody_is_told() {
    let sink = Sink::new().await;
    let world = World::new(&format!("{{maxBuilds: 1}}\n{}", sink.values(""))).await;
    let (first, second) = (world.create().await, world.create().await);
    world.sweep(&NOW).await;
    assert_eq!(world.names::<Pod>().await, [first.name()]);
    let finished = Timestamp::now().to_string();
    let notes = [(annotation::PHASE, "Failed"), (annotation::FINISHED, finished.as_str())];
    let notes = notes.map(|(name, note)| (name.to_owned(), note.to_owned()));
    world.cluster.note("default", first.id, &notes.into()).await.unwrap();
    world.cluster.delete_pod("default", &first.name()).await.unwrap();
    // Who is told does not answer.
    let silence = Death::new(0, false);
    sink.die(Some(silence.clone()));
    tokio::select! {
        biased;
        () = silence.came() => {}
        report = world.sweep(&NOW) => panic!("{report:?}"),
    }
    assert_eq!(world.names::<Pod>().await, [second.name()]);
}

#[tokio::test]
async fn pods_of_earlier_sweeps_are_deleted_when_they_have_ended() {
    let world = World::new("{}").await;
    let settings = Settings::default();
    world.cluster.create_service_account("default", "brigantine-sweeper").await.unwrap();
    let mut names = Vec::new();
    for (minute, phase) in [(1, "Succeeded"), (2, "Failed"), (3, "Running"), (4, "Pending")] {
        let time = format!("2026-05-04T07:0{minute}:00Z").parse().unwrap();
        let pod = runtime::sweep_pod::pod(&settings, "default", time);
        assert!(world.cluster.create_sweeper(&pod).await.unwrap());
        assert!(!world.cluster.create_sweeper(&pod).await.unwrap(), "there is one for each time");
        let patch = Patch::Merge(json!({"status": {"phase": phase}}));
        let (pods, name) = (world.api::<Pod>(), pod.name_any());
        pods.patch_status(&name, &PatchParams::default(), &patch).await.unwrap();
        names.push(name);
    }
    let left = async || {
        let pods = world.api::<Pod>().list(&ListParams::default()).await.unwrap();
        pods.items.iter().map(ResourceExt::name_any).collect::<Vec<_>>()
    };
    world.sweep(&Rules { dry_run: true, ..NOW }).await;
    assert_eq!(left().await, names);
    world.sweep(&NOW).await;
    assert_eq!(left().await, names[2..]);
}
