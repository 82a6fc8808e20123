//! The worker's pod beside what Brigade's controller made.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};

use super::*;
use crate::event::{Event, LogLevel, Revision};

fn project(keys: Value) -> Project {
    let secret: Secret = serde_json::from_value(json!({
        "metadata": {
            "name": "brigade-1",
            "namespace": "default",
            "annotations": {"projectName": "ocean/brig"},
        },
        "type": "brigade.sh/project",
        "stringData": keys,
    }))
    .unwrap();
    Project::from_secret(&secret).unwrap()
}

fn build(project: &Project) -> Build {
    let event = Event {
        revision: Revision { commit: "c0ffee".into(), reference: "refs/heads/main".into() },
        log_level: LogLevel::Warn,
        ..Event::new("github", "push", "{}")
    };
    let build = Build::new(project, event, Timestamp::now());
    Build { uid: Some("uid-1".into()), ..build }
}

fn made(project: &Project, clone: Clone) -> (Build, Pod) {
    let build = build(project);
    let pod = pod(project, &build, clone, &Settings::default());
    (build, pod)
}

fn cloning() -> Project {
    project(json!({"cloneURL": "https://example.com/brig.git", "vcsSidecar": "git-sidecar:1"}))
}

#[test]
fn the_pod_is_named_labelled_and_owned_by_its_build() {
    let (build, pod) = made(&cloning(), Clone::Yes);
    assert_eq!(pod.metadata.name, Some(build.name()));
    assert_eq!(pod.metadata.namespace.as_deref(), Some("default"));
    assert_eq!(pod.metadata.labels, Some(build.labels()));
    let owner = &pod.metadata.owner_references.unwrap()[0];
    assert_eq!((owner.kind.as_str(), owner.uid.as_str()), ("Secret", "uid-1"));
    let spec = pod.spec.unwrap();
    assert_eq!(spec.restart_policy.as_deref(), Some("Never"));
    assert_eq!(spec.service_account_name.as_deref(), Some("brigade-worker"));
    assert_eq!(spec.node_selector.unwrap()["kubernetes.io/os"], "linux");
}

#[test]
fn runner_and_sidecar_have_brigades_environment() {
    let project = project(json!({
        "cloneURL": "https://example.com/brig.git",
        "vcsSidecar": "git-sidecar:1",
        "initGitSubmodules": "true",
        "brigadejsPath": "ci/brigade.js",
        "brigadeConfigPath": "/absolute/brigade.json",
        "serviceAccount": "jobs",
    }));
    let (build, pod) = made(&project, Clone::Yes);
    let spec = pod.spec.unwrap();
    let runner = spec.containers[0].env.clone().unwrap();
    assert_eq!(spec.init_containers.unwrap()[0].env, Some(runner.clone()));
    let value = |name: &str| {
        let found = runner.iter().find(|variable| variable.name == name);
        found.and_then(|variable| variable.value.clone()).unwrap_or_default()
    };
    for (name, expected) in [
        ("CI", "true"),
        ("BRIGADE_BUILD_ID", build.id.to_string().as_str()),
        ("BRIGADE_BUILD_NAME", &build.name()),
        ("BRIGADE_COMMIT_ID", "c0ffee"),
        ("BRIGADE_COMMIT_REF", "refs/heads/main"),
        ("BRIGADE_EVENT_PROVIDER", "github"),
        ("BRIGADE_EVENT_TYPE", "push"),
        ("BRIGADE_PROJECT_ID", "brigade-1"),
        ("BRIGADE_LOG_LEVEL", "WARN"),
        ("BRIGADE_REMOTE_URL", "https://example.com/brig.git"),
        ("BRIGADE_SUBMODULES", "true"),
        ("BRIGADE_WORKSPACE", "/vcs"),
        ("BRIGADE_PROJECT_NAMESPACE", "default"),
        ("BRIGADE_SERVICE_ACCOUNT", "jobs"),
        ("BRIGADE_SECRET_KEY_REF", "false"),
        ("BRIGADE_DEFAULT_BUILD_STORAGE_CLASS", ""),
        ("BRIGADE_DEFAULT_CACHE_STORAGE_CLASS", ""),
        ("BRIGADE_SCRIPT", "/vcs/ci/brigade.js"),
        ("BRIGADE_CONFIG", ""),
    ] {
        assert_eq!(value(name), expected, "{name}");
    }
    for (name, key) in [
        ("BRIGADE_REPO_KEY", "sshKey"),
        ("BRIGADE_REPO_SSH_CERT", "sshCert"),
        ("BRIGADE_REPO_AUTH_TOKEN", "github.token"),
    ] {
        let variable = runner.iter().find(|variable| variable.name == name).unwrap();
        let from = variable.value_from.clone().unwrap().secret_key_ref.unwrap();
        assert_eq!((from.name.as_str(), from.key.as_str()), ("brigade-1", key));
        assert_eq!(from.optional, Some(true));
    }
}

#[test]
fn only_what_needs_the_repository_clones_it() {
    let clones = |project: &Project, clone| {
        let spec = made(project, clone).1.spec.unwrap();
        let volumes = spec.volumes.unwrap();
        let volume = volumes.iter().any(|volume| volume.name == "vcs-sidecar");
        assert_eq!(volume, spec.init_containers.is_some());
        volume
    };
    assert!(clones(&cloning(), Clone::Yes));
    assert!(!clones(&cloning(), Clone::No));
    assert!(!clones(&project(json!({"cloneURL": "https://example.com/brig.git"})), Clone::Yes));
}

#[test]
fn the_build_the_project_and_the_defaults_are_mounted_read_only() {
    let project = project(json!({"defaultScriptName": "a.script", "defaultConfigName": "config"}));
    let (build, pod) = made(&project, Clone::No);
    let spec = pod.spec.unwrap();
    let mounts = spec.containers[0].volume_mounts.clone().unwrap();
    let paths: Vec<&str> = mounts.iter().map(|mount| mount.mount_path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "/etc/brigade",
            "/etc/brigade-project",
            "/etc/brigade-default-script",
            "/etc/brigade-default-config",
        ]
    );
    assert!(mounts.iter().all(|mount| mount.read_only == Some(true)));
    let volumes = spec.volumes.unwrap();
    let secret = |index: usize| volumes[index].secret.clone().unwrap().secret_name.unwrap();
    assert_eq!((secret(0), secret(1)), (build.name(), "brigade-1".to_owned()));
    assert_eq!(volumes[2].config_map.clone().unwrap().name, "a.script");
}

#[test]
fn a_project_elsewhere_is_no_reason_for_the_pod_to_hang() {
    let project = project(json!({"namespace": "builds"}));
    let (_build, pod) = made(&project, Clone::No);
    assert_eq!(pod.metadata.namespace.as_deref(), Some("builds"));
    let spec = pod.spec.unwrap();
    let volume = &spec.volumes.unwrap()[1];
    assert_eq!(volume.secret.clone().unwrap().optional, Some(true));
    let variables = spec.containers[0].env.clone().unwrap();
    let home = variables.iter().find(|variable| variable.name == "BRIGADE_NAMESPACE").unwrap();
    assert_eq!(home.value.as_deref(), Some("default"));
}

#[test]
fn the_image_is_the_installations_with_what_the_project_says_instead() {
    let resolve = |default: &str, keys: Value| image(default, &project(keys));
    let own = "dist.custom.registry.io:5000/brigade/worker:SHA";
    assert_eq!(resolve(own, json!({})), own);
    assert_eq!(
        resolve(
            own,
            json!({
                "worker.registry": "brigadecore",
                "worker.name": "brigade-worker",
                "worker.tag": "latest",
            })
        ),
        "brigadecore/brigade-worker:latest"
    );
    assert_eq!(
        resolve("brigadecore/brigade-worker:latest", json!({"worker.tag": "X"})),
        "brigadecore/brigade-worker:X"
    );
    assert_eq!(
        resolve(
            "brigadecore/brigade-worker",
            json!({"worker.registry": "dist:5000", "worker.name": "brigade/worker"})
        ),
        "dist:5000/brigade/worker:latest"
    );
    assert_eq!(resolve("dist:5000/worker", json!({})), "dist:5000/worker:latest");
}

#[test]
fn commands_resources_and_pull_secrets_are_the_projects() {
    let project = project(json!({
        "cloneURL": "https://example.com/brig.git",
        "vcsSidecar": "git-sidecar:1",
        "vcsSidecarResources.limits.cpu": "1",
        "vcsSidecarResources.requests.memory": "64Mi",
        "imagePullSecrets": "foo, bar",
        "workerCommand": "yarn -s start",
        "worker.pullPolicy": "Always",
    }));
    let spec = made(&project, Clone::Yes).1.spec.unwrap();
    let runner = &spec.containers[0];
    assert_eq!(runner.command.clone().unwrap(), ["yarn", "-s", "start"]);
    assert_eq!(runner.args, None);
    assert_eq!(runner.image_pull_policy.as_deref(), Some("Always"));
    let sidecar = &spec.init_containers.unwrap()[0];
    assert_eq!(sidecar.image_pull_policy.as_deref(), Some("Always"));
    let resources = sidecar.resources.clone().unwrap();
    assert_eq!(resources.limits.unwrap()["cpu"].0, "1");
    assert_eq!(resources.requests.unwrap()["memory"].0, "64Mi");
    let names: Vec<String> =
        spec.image_pull_secrets.unwrap().into_iter().map(|secret| secret.name).collect();
    assert_eq!(names, ["foo", "bar"]);
}

#[test]
fn a_worker_that_starts_others_knows_how_they_are_made() {
    let mut project = cloning();
    let settings = Settings {
        worker_image: "w:2".to_owned(),
        script_limits: "memory=1Gi".parse().unwrap(),
        ..Settings::default()
    };
    let variables = |project: &Project| {
        let pod = pod(project, &build(project), Clone::No, &settings);
        let all = pod.spec.unwrap().containers[0].env.clone().unwrap();
        let value = |name: &str| all.iter().find(|each| each.name == name)?.value.clone();
        Settings::read(value).unwrap()
    };
    assert_eq!(variables(&project).worker_image, Settings::default().worker_image);
    project.limits.builds = Some(2);
    let read = variables(&project);
    assert_eq!(read.worker_image, "w:2");
    assert_eq!(read.script_limits, settings.script_limits);
}

#[test]
fn only_the_installations_own_worker_of_who_tells_github_has_the_app() {
    let settings = Settings {
        app_secret: Some("our-app".to_owned()),
        github_hosts: vec!["a.example".to_owned(), "b.example".to_owned()],
        ..Settings::default()
    };
    let environment = |keys: Value, settings: &Settings| {
        let mut all = json!({
            "cloneURL": "https://example.com/brig.git",
            "vcsSidecar": "git-sidecar:1",
            "notifiers": r#"[{"kind": "slack"}, {"kind": "github"}]"#,
        });
        all.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        let project = project(all);
        let spec = pod(&project, &build(&project), Clone::Yes, settings).spec.unwrap();
        let sidecar = spec.init_containers.unwrap()[0].env.clone().unwrap();
        let runner = spec.containers[0].env.clone().unwrap();
        assert!(sidecar.iter().all(|variable| !variable.name.starts_with("APP_")));
        runner
            .into_iter()
            .filter(|variable| variable.name.starts_with("APP_") || variable.name == "GITHUB_HOSTS")
            .collect::<Vec<EnvVar>>()
    };
    let given = serde_json::to_value(environment(json!({}), &settings)).unwrap();
    let of = |key: &str| {
        json!({"name": key, "valueFrom": {"secretKeyRef": {
            "name": "our-app", "key": key, "optional": true,
        }}})
    };
    let text = |name: &str, value: &str| json!({"name": name, "value": value});
    let expected = [
        of("APP_ID"),
        of("APP_KEY"),
        text("APP_SECRET", "our-app"),
        text("GITHUB_HOSTS", "a.example,b.example"),
    ];
    assert_eq!(given, json!(expected));
    for keys in [
        json!({"notifiers": r#"[{"kind": "slack"}]"#}),
        json!({"notifiers": ""}),
        json!({"worker.registry": "evil.example"}),
        json!({"worker.name": "evil"}),
        json!({"worker.tag": "evil"}),
        json!({"workerCommand": "sh -c env"}),
    ] {
        assert_eq!(environment(keys.clone(), &settings), [], "{keys}");
    }
    assert_eq!(environment(json!({}), &Settings::default()), []);
}

#[test]
fn the_installations_own_worker_is_nobody_and_a_projects_may_be_root() {
    let root = |keys: Value| {
        let spec = made(&project(keys), Clone::Yes).1.spec.unwrap();
        let context = |container: &Container| container.security_context.clone().unwrap();
        let contexts = spec.containers.iter().chain(spec.init_containers.iter().flatten());
        contexts.map(|container| context(container).run_as_non_root).collect::<Vec<_>>()
    };
    assert_eq!(root(json!({})), [Some(true)]);
    assert_eq!(root(json!({"vcsSidecar": "git-sidecar:1"})), [Some(true), None]);
    for own in [json!({"worker.tag": "v1.4.0"}), json!({"workerCommand": "yarn start"})] {
        assert_eq!(root(own.clone()), [None], "{own}");
    }
}
