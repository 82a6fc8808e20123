//! Tests of projects, as Secrets and as values files.

use expect_test::expect;
use secrecy::ExposeSecret;

use super::*;

#[test]
fn a_project_is_named_by_the_digest_of_its_name() {
    for (name, id) in [
        ("deis/empty-testbed", "brigade-830c16d4aaf6f5490937ad719afd8490a5bcbef064d397411043ac"),
        ("e2eproject", "brigade-5b55ed522537b663e178f751959d234fd650d626f33f70557b2e82"),
        (
            "technosophos/-whale-eyes-",
            "brigade-407900363c01e6153bc1a91792055b898e20a29f1387b72a0b6f00",
        ),
        ("brigade-already-an-id", "brigade-already-an-id"),
        ("brigade-x/../y", "brigade-fdacf1996123f893c8e0a7b52b82347d95b110fabfea2ec1cfa28f"),
    ] {
        assert_eq!(id_of(name), id);
    }
    assert_eq!(
        short_sha("I Break For Sea Beasts\n"),
        "c635ce8f0388d039ac9a01d60cfb362dbca8e0722000b614bee75e"
    );
}

#[test]
fn a_project_survives_its_secret() {
    let yaml = "project: acme/app\nsshKey: \"a\\nb\"\nnamespace: builds\nsecrets: {A: 1}\n\
                allowForks: true\nslack: {signingSecret: ahoy}\n\
                vcsSidecarResources: {limits: {cpu: 100m}}\nbrigadeConfigPath: ci/brigade.json\n";
    let (project, _) = values::read(yaml, "home").unwrap();
    let secret = project.secret();
    assert_eq!(secret.data.as_ref().unwrap()["sshKey"].0, b"a$b");
    let again = Project::from_secret(&secret).unwrap();
    assert_eq!(again.secret(), secret);
    assert_eq!(again.ssh_key.expose_secret(), "a\nb");
    assert_eq!((again.home.as_str(), again.namespace.as_str()), ("home", "builds"));
    assert_eq!(again.sidecar_resources.limits_cpu, "100m");
    assert_eq!(again.config_path, "ci/brigade.json");
    assert_eq!(again.slack_signing_secret.expose_secret(), "ahoy");
    assert!(again.allow_forks);
}

#[test]
fn what_a_secret_leaves_out_has_brigades_defaults() {
    let project = Project::from_secret(&secret(&[])).unwrap();
    assert!(project.allow_privileged_jobs);
    assert!(!project.allow_host_mounts && !project.allow_secret_key_ref);
    assert!(!project.allow_forks && project.slack_signing_secret.expose_secret().is_empty());
    assert!(!project.init_git_submodules);
    assert_eq!(project.build_storage_size, "50Mi");
    assert_eq!(project.namespace, "default");
    assert!(project.shared_secret.expose_secret().is_empty());
}

#[test]
fn a_broken_secret_is_no_project() {
    for (key, value, error) in [
        ("secrets", "[]", "the project's `secrets` are not a JSON object"),
        ("secrets", "{\"a\":", "the project's `secrets` are not a JSON object"),
        (
            "kubernetes.allowSecretKeyRef",
            "maybe",
            "error parsing 'kubernetes.allowSecretKeyRef': it must be true or false",
        ),
    ] {
        assert_eq!(Project::from_secret(&secret(&[(key, value)])).unwrap_err().to_string(), error);
    }
    let other = Secret { type_: Some("Opaque".into()), ..secret(&[]) };
    assert!(matches!(Project::from_secret(&other), Err(ProjectError::OtherType { .. })));
}

#[test]
fn a_projects_credentials_are_not_printed() {
    let project = Project::from_secret(&secret(&[("sharedSecret", "s3cr3t")])).unwrap();
    assert!(!format!("{:?}", project.shared_secret).contains("s3cr3t"));
}

#[test]
fn values_are_taken_as_helm_takes_them() {
    let yaml = r#"
project: "acme/app"
repository: github.com/acme/app
cloneURL: https://github.com/acme/app.git
sharedSecret: "It's a secret"
namespace: default
secrets: {
  DOCKER_USER: "alice",
  DOCKER_PASS: 'p: {q}',
  nested: { deep: [1, true] },
  SLACK_WEBHOOK: https://hooks.example.com/services/T/B/X
}
allowPrivilegedJobs: "false"
worker: {tag: v1, registry: }
imagePullSecrets: [one, two]
"#;
    let (project, warnings) = values::read(yaml, "brigade").unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(project.id, id_of("acme/app"));
    assert_eq!(
        Value::Object(project.secrets).to_string(),
        r#"{"DOCKER_PASS":"p: {q}","DOCKER_USER":"alice","SLACK_WEBHOOK":"https://hooks.example.com/services/T/B/X","nested":{"deep":[1,true]}}"#
    );
    assert!(!project.allow_privileged_jobs);
    assert_eq!(project.worker.tag, "v1");
    assert_eq!(project.image_pull_secrets, ["one", "two"]);
    assert_eq!(project.vcs_sidecar, values::DEFAULT_SIDECAR);
}

#[test]
fn no_sidecar_is_spelt_none() {
    let (project, _) = values::read("project: a/b\nvcsSidecar: NONE\n", "default").unwrap();
    assert_eq!(project.vcs_sidecar, "");
}

#[test]
fn an_unknown_key_is_warned_about() {
    let yaml = "project: a/b\nsharedSecret: x\ndefaultscript: x\ngithub: {tokn: y}\n";
    let (_, warnings) = values::read(yaml, "default").unwrap();
    expect![[r#"
        [
            "the key defaultscript is unknown and has no effect",
            "the key github.tokn is unknown and has no effect",
        ]
    "#]]
    .assert_debug_eq(&warnings);
}

#[test]
fn broken_values_are_explained_without_their_text() {
    for (yaml, error) in [
        ("", "the values are not a mapping of keys to values"),
        ("- a", "the values are not a mapping of keys to values"),
        ("repository: x", "the values name no project: add `project: org/repository`"),
        ("project: a\nsecrets: [1]", "the key secrets must be a mapping"),
        ("project: a\nallowHostMounts: perhaps", "the key allowHostMounts must be true or false"),
        ("project: a\nworker: {tag: [1]}", "the key worker.tag must be a text"),
    ] {
        assert_eq!(values::read(yaml, "default").unwrap_err().to_string(), error);
    }
    let yaml = "project: a\nsecrets: {\n\tPASSWORD: hunter2\n}\n";
    let error = values::read(yaml, "default").unwrap_err().to_string();
    assert!(error.starts_with("the values are not YAML: line 3"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

fn secret(keys: &[(&str, &str)]) -> Secret {
    Secret {
        type_: Some(SECRET_TYPE.into()),
        metadata: ObjectMeta { name: Some("brigade-x".into()), ..ObjectMeta::default() },
        string_data: Some(keys.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect()),
        ..Secret::default()
    }
}

#[test]
fn a_project_that_is_printed_shows_no_secret() {
    let yaml = "project: acme/app\nsharedSecret: hush\nsecrets: {TOKEN: hush}\n";
    let (project, _) = values::read(yaml, "default").unwrap();
    let printed = format!("{project:?}");
    assert!(printed.contains("acme/app") && !printed.contains("hush"), "{printed}");
}

#[test]
fn limits_are_read_from_values_and_kept_as_annotations() {
    let yaml = "project: acme/app\nsharedSecret: s\nlimits: {maxBuilds: 2, maxJobs: \"3\", \
                supersede: true, scriptMemory: 128Mi, scriptTime: 1m30s, scriptOutput: 1Mi, \
                scriptJobs: 10, scriptTimers: 5}\n";
    let (project, warnings) = values::read(yaml, "default").unwrap();
    assert_eq!(warnings, [""; 0]);
    let limits = Limits {
        builds: Some(2),
        jobs: Some(3),
        supersede: true,
        script: ScriptLimits {
            memory: Some(128 << 20),
            time: Some(std::time::Duration::from_secs(90)),
            output: Some(1 << 20),
            jobs: Some(10),
            timers: Some(5),
        },
    };
    assert_eq!(project.limits, limits);
    let secret = project.secret();
    assert_eq!(secret.metadata.annotations.as_ref().unwrap()["brigantine.dev/max-builds"], "2");
    assert_eq!(Project::from_secret(&secret).unwrap().limits, limits);
    assert_eq!(limits.script.to_string().parse::<ScriptLimits>().unwrap(), limits.script);
    let (plain, _) = values::read("project: acme/app\nsharedSecret: s", "default").unwrap();
    assert_eq!(plain.secret().metadata.annotations.unwrap().len(), 1);
}

#[test]
fn a_limit_that_is_not_understood_is_named_and_no_project_is_read() {
    for (name, value, expected) in [
        ("max-builds", "0", "a whole number from 1 to 100000"),
        ("max-builds", "", "a whole number from 1 to 100000"),
        ("max-jobs", "many", "a whole number from 1 to 100000"),
        ("supersede", "yes", "true or false"),
        ("script-memory", "64MB", "a size like 128Mi, from 8Mi"),
        ("script-memory", "1Ki", "a size like 128Mi, from 8Mi"),
        ("script-time", "10", "a span of time like 30s, more than none"),
        ("script-output", "-1", "a size like 8Mi"),
        ("script-jobs", "1.5", "a whole number from 1 to 100000"),
        ("script-timers", "-3", "a whole number from 1 to 100000"),
    ] {
        let mut secret = secret(&[]);
        let name = format!("brigantine.dev/{name}");
        secret.metadata.annotations = Some([(name.clone(), value.to_owned())].into());
        let error = Project::from_secret(&secret).unwrap_err().to_string();
        assert_eq!(error, format!("the limit {name} is {value:?}, and must be {expected}"));
    }
    let error = values::read("project: a\nlimits: {maxBuilds: -1}", "default").unwrap_err();
    assert!(error.to_string().starts_with("the limit limits.maxBuilds is \"-1\""), "{error}");
    let (_, warnings) = values::read("project: a\nlimits: {maxBuild: 1}", "default").unwrap();
    assert!(warnings[0].contains("limits.maxBuild is unknown"), "{warnings:?}");
}

#[test]
fn filters_survive_the_secret_and_may_be_lists_or_texts() {
    let yaml = "project: acme/app\nsharedSecret: s\nfilters:\n  events: [push, 'pull_request:opened']\n  \
                branches: main, release/{1,2}.x\n  paths: ['src/**', '!**/*.md']\n";
    let (project, warnings) = values::read(yaml, "home").unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    let secret = project.secret();
    let again = Project::from_secret(&secret).unwrap();
    assert_eq!(again.secret(), secret);
    assert_eq!(secret.data.unwrap()["filters.branches"].0, b"main,release/{1,2}.x");
    assert_eq!(again.filters.events, ["push", "pull_request:opened"]);
    assert!(again.filters.branches.take("release/2.x") && !again.filters.branches.take("dev"));
    assert!(again.filters.tags.is_empty() && again.filters.tags.take("v1"));
    assert!(again.filters.paths.take("src/a.rs") && !again.filters.paths.take("src/a.md"));

    let error = Project::from_secret(&self::secret(&[("filters.tags", "[")])).unwrap_err();
    assert!(error.to_string().starts_with("the filter filters.tags has the pattern"), "{error}");
    let error = values::read("project: a\nfilters: {paths: '{'}", "default").unwrap_err();
    assert!(error.to_string().starts_with("the filter filters.paths has the pattern"), "{error}");
}
