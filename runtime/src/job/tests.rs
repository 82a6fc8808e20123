//! What Brigade 1.x's own worker tests say of its jobs, and what is different here on purpose.

use expect_test::expect;
use k8s_openapi::api::core::v1::{PodSpec, SecurityContext};
use serde_json::json;

use super::*;
use crate::event::Event;

mod sidecars;

fn project() -> Project {
    let secret = Secret {
        type_: Some(crate::project::SECRET_TYPE.to_owned()),
        metadata: ObjectMeta {
            name: Some(crate::project::id_of("org/app")),
            namespace: Some("brigade".to_owned()),
            annotations: Some([("projectName".to_owned(), "org/app".to_owned())].into()),
            ..ObjectMeta::default()
        },
        string_data: Some(
            [
                ("repository", "github.com/org/app"),
                ("cloneURL", "https://github.com/org/app.git"),
                ("vcsSidecar", "brigadecore/git-sidecar:latest"),
            ]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        ),
        ..Secret::default()
    };
    Project::from_secret(&secret).unwrap()
}

fn build(project: &Project) -> Build {
    let mut event = Event::new("github", "push", "{}");
    event.revision.commit = "c0ffee".to_owned();
    event.revision.reference = "refs/heads/main".to_owned();
    let mut build = Build::new(project, event, Timestamp::UNIX_EPOCH);
    build.id = crate::build::BuildId::parse("01kag00000000000000000000a").unwrap();
    build.uid = Some("5f5f".to_owned());
    build
}

fn from_js(value: serde_json::Value) -> Job {
    let mut whole = json!({ "name": "one", "image": "alpine:3" });
    whole.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
    serde_json::from_value(whole).unwrap()
}

fn made(job: &Job, project: &Project) -> PodSpec {
    pod(job, project, &build(project), &Policy::default()).unwrap().spec.unwrap()
}

fn refused(job: &Job, project: &Project) -> String {
    pod(job, project, &build(project), &Policy::default()).unwrap_err().to_string()
}

fn keys(secret: &Secret) -> Vec<&str> {
    secret.data.as_ref().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn a_job_becomes_a_secret() {
    let project = project();
    let job = from_js(json!({ "tasks": ["echo 'foo'"], "env": [["A", "1"], ["B", null]] }));
    let secret = secret(&job, &project, &build(&project), Timestamp::UNIX_EPOCH);
    expect![[r#"
        {
          "apiVersion": "v1",
          "kind": "Secret",
          "data": {
            "A": "MQ==",
            "main.sh": "IyEvYmluL3NoCgpzZXQgLWUKCmVjaG8gJ2Zvbyc="
          },
          "metadata": {
            "labels": {
              "build": "01kag00000000000000000000a",
              "component": "job",
              "expires": "2592000000",
              "heritage": "brigade",
              "jobname": "one",
              "project": "brigade-e3a12384ea7e3d36cf71968a3761ce45b5dedb5a0f3308250caab4",
              "worker": "brigade-worker-01kag00000000000000000000a"
            },
            "name": "one-01kag00000000000000000000a",
            "namespace": "brigade",
            "ownerReferences": [
              {
                "apiVersion": "v1",
                "kind": "Secret",
                "name": "brigade-worker-01kag00000000000000000000a",
                "uid": "5f5f"
              }
            ]
          },
          "type": "brigade.sh/job"
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&secret).unwrap());
}

#[test]
fn a_job_becomes_a_pod() {
    let mut project = project();
    project.ssh_key = "key".into();
    project.github_token = "token".into();
    let job = from_js(json!({
        "tasks": ["echo 'foo'"],
        "env": [["A", "1"], ["B", null], ["C", { "configMapKeyRef": { "name": "m", "key": "k" } }]],
        "privileged": true,
        "cache": { "enabled": true },
        "storage": { "enabled": true },
        "resourceLimits": { "cpu": "1" },
        "timeout": 1500,
    }));
    let pod = pod(&job, &project, &build(&project), &Policy::default()).unwrap();
    expect![[r#"
        {
          "apiVersion": "v1",
          "kind": "Pod",
          "metadata": {
            "labels": {
              "build": "01kag00000000000000000000a",
              "component": "job",
              "heritage": "brigade",
              "jobname": "one",
              "project": "brigade-e3a12384ea7e3d36cf71968a3761ce45b5dedb5a0f3308250caab4",
              "worker": "brigade-worker-01kag00000000000000000000a"
            },
            "name": "one-01kag00000000000000000000a",
            "namespace": "brigade",
            "ownerReferences": [
              {
                "apiVersion": "v1",
                "kind": "Secret",
                "name": "brigade-worker-01kag00000000000000000000a",
                "uid": "5f5f"
              }
            ]
          },
          "spec": {
            "activeDeadlineSeconds": 2,
            "automountServiceAccountToken": false,
            "containers": [
              {
                "command": [
                  "/bin/sh",
                  "/hook/main.sh"
                ],
                "env": [
                  {
                    "name": "A",
                    "valueFrom": {
                      "secretKeyRef": {
                        "key": "A",
                        "name": "one-01kag00000000000000000000a"
                      }
                    }
                  },
                  {
                    "name": "B",
                    "value": ""
                  },
                  {
                    "name": "C",
                    "valueFrom": {
                      "configMapKeyRef": {
                        "key": "k",
                        "name": "m"
                      }
                    }
                  }
                ],
                "image": "alpine:3",
                "imagePullPolicy": "IfNotPresent",
                "name": "brigaderun",
                "resources": {
                  "limits": {
                    "cpu": "1"
                  }
                },
                "securityContext": {
                  "privileged": true
                },
                "volumeMounts": [
                  {
                    "mountPath": "/hook",
                    "name": "one-01kag00000000000000000000a"
                  },
                  {
                    "mountPath": "/src",
                    "name": "vcs-sidecar"
                  },
                  {
                    "mountPath": "/mnt/brigade/cache",
                    "name": "github-com-org-app-one"
                  },
                  {
                    "mountPath": "/mnt/brigade/share",
                    "name": "build-storage"
                  }
                ]
              }
            ],
            "initContainers": [
              {
                "env": [
                  {
                    "name": "CI",
                    "value": "true"
                  },
                  {
                    "name": "BRIGADE_BUILD_ID",
                    "value": "01kag00000000000000000000a"
                  },
                  {
                    "name": "BRIGADE_COMMIT_ID",
                    "value": "c0ffee"
                  },
                  {
                    "name": "BRIGADE_COMMIT_REF",
                    "value": "refs/heads/main"
                  },
                  {
                    "name": "BRIGADE_EVENT_PROVIDER",
                    "value": "github"
                  },
                  {
                    "name": "BRIGADE_EVENT_TYPE",
                    "value": "push"
                  },
                  {
                    "name": "BRIGADE_PROJECT_ID",
                    "value": "brigade-e3a12384ea7e3d36cf71968a3761ce45b5dedb5a0f3308250caab4"
                  },
                  {
                    "name": "BRIGADE_REMOTE_URL",
                    "value": "https://github.com/org/app.git"
                  },
                  {
                    "name": "BRIGADE_WORKSPACE",
                    "value": "/src"
                  },
                  {
                    "name": "BRIGADE_PROJECT_NAMESPACE",
                    "value": "brigade"
                  },
                  {
                    "name": "BRIGADE_SUBMODULES",
                    "value": "false"
                  },
                  {
                    "name": "BRIGADE_LOG_LEVEL",
                    "value": "LOG"
                  },
                  {
                    "name": "BRIGADE_REPO_KEY",
                    "valueFrom": {
                      "secretKeyRef": {
                        "key": "sshKey",
                        "name": "brigade-e3a12384ea7e3d36cf71968a3761ce45b5dedb5a0f3308250caab4"
                      }
                    }
                  },
                  {
                    "name": "BRIGADE_REPO_SSH_CERT",
                    "valueFrom": {
                      "secretKeyRef": {
                        "key": "sshCert",
                        "name": "brigade-e3a12384ea7e3d36cf71968a3761ce45b5dedb5a0f3308250caab4",
                        "optional": true
                      }
                    }
                  },
                  {
                    "name": "BRIGADE_REPO_AUTH_TOKEN",
                    "valueFrom": {
                      "secretKeyRef": {
                        "key": "github.token",
                        "name": "brigade-e3a12384ea7e3d36cf71968a3761ce45b5dedb5a0f3308250caab4"
                      }
                    }
                  }
                ],
                "image": "brigadecore/git-sidecar:latest",
                "imagePullPolicy": "IfNotPresent",
                "name": "vcs-sidecar",
                "resources": {},
                "volumeMounts": [
                  {
                    "mountPath": "/src",
                    "name": "vcs-sidecar"
                  }
                ]
              }
            ],
            "restartPolicy": "Never",
            "volumes": [
              {
                "name": "one-01kag00000000000000000000a",
                "secret": {
                  "secretName": "one-01kag00000000000000000000a"
                }
              },
              {
                "emptyDir": {},
                "name": "vcs-sidecar"
              },
              {
                "name": "github-com-org-app-one",
                "persistentVolumeClaim": {
                  "claimName": "github-com-org-app-one"
                }
              },
              {
                "name": "build-storage",
                "persistentVolumeClaim": {
                  "claimName": "brigade-worker-01kag00000000000000000000a"
                }
              }
            ]
          }
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&pod).unwrap());
}

#[test]
fn the_script_begins_as_its_shell_needs() {
    for (shell, expected) in [
        ("/bin/sh", "#!/bin/sh\n\nset -e\n\necho 'foo'\necho 'bar'"),
        ("", "#!/bin/sh\n\nset -e\n\necho 'foo'\necho 'bar'"),
        ("/bin/bash", "#!/bin/bash\n\nset -eo pipefail\n\necho 'foo'\necho 'bar'"),
        ("/bin/dash", "#!/bin/dash\n\necho 'foo'\necho 'bar'"),
    ] {
        let job = from_js(json!({ "shell": shell, "tasks": ["echo 'foo'", "echo 'bar'"] }));
        assert_eq!(script(&job), expected);
    }
}

#[test]
fn without_tasks_the_image_runs_as_it_wants() {
    let project = project();
    let job = from_js(json!({ "args": ["--help"] }));
    let container = made(&job, &project).containers.remove(0);
    assert_eq!(container.command, None);
    assert_eq!(container.args, Some(vec!["--help".to_owned()]));
    assert_eq!(keys(&secret(&job, &project, &build(&project), Timestamp::UNIX_EPOCH)), [""; 0]);
}

#[test]
fn the_environment_keeps_its_order_and_its_secrets() {
    let mut project = project();
    let reference = json!({ "secretKeyRef": { "name": "other", "key": "k" } });
    let job = from_js(json!({ "env": [["Z", "1"], ["Y", reference], ["X", ""]] }));
    let names = |project: &Project| -> Vec<String> {
        made(&job, project).containers[0].env.iter().flatten().map(|env| env.name.clone()).collect()
    };
    assert_eq!(names(&project), ["Z", "X"]);
    let build = build(&project);
    let warnings = job.check(&project, &build, &Policy::default()).unwrap();
    assert_eq!(
        warnings,
        ["Using secretKeyRef is not allowed in this project, not setting environment variable Y"]
    );
    project.allow_secret_key_ref = true;
    assert_eq!(names(&project), ["Z", "Y", "X"]);
    let data = secret(&job, &project, &build, Timestamp::UNIX_EPOCH);
    assert_eq!(keys(&data), ["X", "Z"]);
}

#[test]
fn the_source_comes_only_where_there_is_one() {
    let count = |change: fn(&mut Job, &mut Project)| {
        let (mut job, mut project) = (from_js(json!({})), project());
        change(&mut job, &mut project);
        let spec = made(&job, &project);
        (spec.init_containers.map_or(0, |all| all.len()), spec.volumes.unwrap().len())
    };
    assert_eq!(count(|_, _| ()), (1, 2));
    assert_eq!(count(|job, _| job.use_source = false), (0, 1));
    assert_eq!(count(|_, project| project.clone_url.clear()), (0, 1));
    assert_eq!(count(|_, project| project.vcs_sidecar.clear()), (0, 1));
}

#[test]
fn a_pod_elsewhere_gets_copies_of_the_credentials_and_hides_them_from_the_job() {
    let mut project = project();
    project.namespace = "builds".to_owned();
    project.ssh_key = "key".into();
    let job = from_js(json!({ "tasks": ["true"], "env": [["A", "1"]] }));
    let build = build(&project);
    let secret = secret(&job, &project, &build, Timestamp::UNIX_EPOCH);
    assert_eq!(keys(&secret), ["A", "main.sh", "vcs-sidecar.sshKey"]);
    let spec = made(&job, &project);
    let items = spec.volumes.unwrap()[0].secret.clone().unwrap().items.unwrap();
    let shown: Vec<&str> = items.iter().map(|item| item.key.as_str()).collect();
    assert_eq!(shown, ["main.sh", "A"]);
    let env = spec.init_containers.unwrap()[0].env.clone().unwrap();
    let key = env.iter().find(|env| env.name == "BRIGADE_REPO_KEY").unwrap();
    let reference = key.value_from.as_ref().unwrap().secret_key_ref.as_ref().unwrap();
    assert_eq!(
        (reference.name.as_str(), reference.key.as_str()),
        (job.pod_name(&build).as_str(), "vcs-sidecar.sshKey")
    );
}

#[test]
fn host_files_need_the_projects_leave() {
    let mut project = project();
    let socket = from_js(json!({ "docker": { "enabled": true } }));
    assert_eq!(made(&socket, &project).volumes.unwrap().len(), 2);
    let mount = from_js(json!({
        "volumes": [{ "name": "v", "hostPath": { "path": "/etc" } }],
        "volumeMounts": [{ "name": "v", "mountPath": "/host" }],
    }));
    assert_eq!(
        refused(&mount, &project),
        "allowHostMounts is false in this project, not mounting /etc"
    );
    project.allow_host_mounts = true;
    assert_eq!(made(&socket, &project).volumes.unwrap().len(), 3);
    assert_eq!(made(&mount, &project).volumes.unwrap()[2].name, "v");
}

#[test]
fn privilege_needs_the_projects_leave() {
    let mut project = project();
    let job = from_js(json!({ "privileged": true }));
    let privileged = |project: &Project| {
        let spec = made(&job, project);
        let context: SecurityContext = spec.containers[0].security_context.clone().unwrap();
        (context.privileged, spec.security_context.is_some())
    };
    assert_eq!(privileged(&project), (Some(true), false));
    project.allow_privileged_jobs = false;
    assert_eq!(privileged(&project), (None, true));
}

#[test]
fn what_a_job_may_not_have_is_refused_with_a_sentence() {
    let project = project();
    for (job, expected) in [
        (
            json!({ "volumeMounts": [{ "name": "v", "mountPath": "/m" }] }),
            "volume v referenced in volume mount is not defined",
        ),
        (
            json!({ "volumes": [{ "name": "v", "secret": { "secretName": "brigade-other" } }] }),
            "kubernetes.allowSecretKeyRef is false in this project, not mounting the Secret of volume v",
        ),
        (
            json!({ "volumes": [{ "name": "v", "projected": { "sources": [{ "secret": { "name": "x" } }] } }] }),
            "kubernetes.allowSecretKeyRef is false in this project, not mounting the Secret of volume v",
        ),
        (
            json!({ "volumes": [{ "name": "v", "persistentVolumeClaim": { "claimName": "brigade-worker-x" } }] }),
            "the claim brigade-worker-x belongs to another build, not mounting it",
        ),
        (
            json!({ "serviceAccount": "admin" }),
            "job one may not use the service account admin: it is neither the project's own nor one that this installation lets jobs ask for",
        ),
        (
            json!({ "resourceLimits": { "cpu": "lots" } }),
            "\"lots\" is no processor limit of job one: write it as Kubernetes does, like 500m or 64Mi",
        ),
        (
            json!({ "env": [["main.sh", "rm -rf /"]] }),
            "\"main.sh\" of job one cannot be the name of an environment variable: use letters, digits, '_', '-' and '.', and not main.sh",
        ),
        (
            json!({ "name": "Upper" }),
            "job name must be lowercase letters, numbers, and '-', and must not start or end with '-', having max length 36",
        ),
    ] {
        assert_eq!(refused(&from_js(job), &project), expected);
    }
}

#[test]
fn names_are_as_brigade_takes_them() {
    let longest = "a".repeat(36);
    let too_long = "a".repeat(37);
    for (name, good) in [
        ("a", true),
        ("0", true),
        ("a-b.c", true),
        (longest.as_str(), true),
        (too_long.as_str(), false),
        ("", false),
        ("A", false),
        ("-a", false),
        ("a-", false),
        ("a_b", false),
        ("a/b", false),
    ] {
        let project = project();
        let (job, build) = (Job::new(name, "i"), build(&project));
        assert_eq!(job.check(&project, &build, &Policy::default()).is_ok(), good, "{name}");
        assert!(!good || job.pod_name(&build).len() <= 63);
    }
}

#[test]
fn a_name_with_dots_gets_a_volume_without() {
    let volumes = made(&from_js(json!({ "name": "a.b" })), &project()).volumes.unwrap();
    assert_eq!(volumes[0].name, "a-b-01kag00000000000000000000a");
    assert_eq!(
        volumes[0].secret.as_ref().unwrap().secret_name.as_deref(),
        Some("a.b-01kag00000000000000000000a")
    );
}

#[test]
fn the_service_account_is_the_jobs_then_the_projects_then_the_installations() {
    let mut project = project();
    let build = build(&project);
    let mut job = from_js(json!({}));
    let mut policy = Policy::default();
    let account = |job: &Job, project: &Project, policy: &Policy| {
        let spec = pod(job, project, &build, policy).unwrap().spec.unwrap();
        (spec.service_account_name, spec.automount_service_account_token)
    };
    assert_eq!(account(&job, &project, &policy), (None, Some(false)));
    policy.service_account = "jobs".to_owned();
    assert_eq!(account(&job, &project, &policy), (Some("jobs".to_owned()), None));
    project.service_account = "project".to_owned();
    assert_eq!(account(&job, &project, &policy), (Some("project".to_owned()), None));
    policy.service_accounts = vec!["deploy-*".to_owned()];
    job.service_account = Some("deploy-web".to_owned());
    assert_eq!(account(&job, &project, &policy), (Some("deploy-web".to_owned()), None));
}

#[test]
fn where_a_job_runs_and_what_pulls_its_image() {
    let mut project = project();
    project.image_pull_secrets = vec!["a".to_owned(), "b".to_owned()];
    let spec = made(
        &from_js(json!({
            "imagePullSecrets": ["b", "c"],
            "imageForcePull": true,
            "host": { "os": "windows", "name": "node-1", "nodeSelector": { "disk": "ssd" } },
            "timeout": 0,
        })),
        &project,
    );
    let pulls: Vec<String> =
        spec.image_pull_secrets.unwrap().into_iter().map(|each| each.name).collect();
    assert_eq!(pulls, ["b", "c", "a"]);
    assert_eq!(spec.containers[0].image_pull_policy.as_deref(), Some("Always"));
    assert_eq!(spec.init_containers.unwrap()[0].image_pull_policy.as_deref(), Some("Always"));
    assert_eq!(spec.node_name.as_deref(), Some("node-1"));
    let labels = spec.node_selector.unwrap();
    assert_eq!(labels["kubernetes.io/os"], "windows");
    assert_eq!(labels["disk"], "ssd");
    assert_eq!(spec.active_deadline_seconds, Some(60));
}

#[test]
fn claims_take_the_projects_class_before_the_installations() {
    let mut project = project();
    let build = build(&project);
    let mut policy = Policy::default();
    let mut job = from_js(json!({ "cache": { "enabled": true, "size": "1Gi" } }));
    let classes = |project: &Project, policy: &Policy| {
        [cache_claim(&job, project, &build, policy), storage_claim(project, &build, policy)]
            .map(|claim| claim.spec.unwrap().storage_class_name)
    };
    assert_eq!(classes(&project, &policy), [None, None]);
    policy.cache_storage_class = "c".to_owned();
    policy.build_storage_class = "b".to_owned();
    assert_eq!(classes(&project, &policy), [Some("c".to_owned()), Some("b".to_owned())]);
    project.cache_storage_class = "pc".to_owned();
    project.build_storage_class = "pb".to_owned();
    assert_eq!(classes(&project, &policy), [Some("pc".to_owned()), Some("pb".to_owned())]);

    let cache = cache_claim(&job, &project, &build, &policy);
    assert_eq!(cache.metadata.name.as_deref(), Some("github-com-org-app-one"));
    assert_eq!(cache.metadata.owner_references, None);
    let storage = storage_claim(&project, &build, &policy);
    assert_eq!(storage.metadata.name.as_deref(), Some("brigade-worker-01kag00000000000000000000a"));
    assert!(storage.metadata.owner_references.is_some());

    project.repository = format!("github.com/{}/app", "long-".repeat(12));
    let long = |job: &Job| cache_claim(job, &project, &build, &policy).metadata.name.unwrap();
    let first = long(&job);
    assert!(first.len() <= 63, "{first}");
    job.name = "two".to_owned();
    assert_ne!(first, long(&job));
}

#[test]
fn a_job_of_another_event_clones_what_that_event_says() {
    let project = project();
    let job = from_js(json!({ "occasion": {
        "type": "after", "provider": "brigade", "cloneURL": "https://elsewhere/x.git",
        "revision": { "commit": "1", "ref": "2" },
    }}));
    let env = made(&job, &project).init_containers.unwrap()[0].env.clone().unwrap();
    let value =
        |name: &str| env.iter().find(|env| env.name == name).unwrap().value.clone().unwrap();
    assert_eq!(value("BRIGADE_EVENT_TYPE"), "after");
    assert_eq!(value("BRIGADE_REMOTE_URL"), "https://elsewhere/x.git");
    assert_eq!((value("BRIGADE_COMMIT_ID"), value("BRIGADE_COMMIT_REF")), ("1".into(), "2".into()));
}

#[test]
fn a_time_limit_is_whole_seconds_and_no_more_than_kubernetes_takes() {
    for (timeout, seconds) in
        [(0, 60), (1, 1), (1000, 1), (1001, 2), (900_000, 900), (u64::MAX, 2_147_483_647)]
    {
        let spec = made(&from_js(json!({ "timeout": timeout })), &project());
        assert_eq!(spec.active_deadline_seconds, Some(seconds));
    }
}
