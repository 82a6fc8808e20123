//! Jobs of Brigade 2's API: several containers in a pod, the first of which is the job.

use super::*;

fn docker() -> Job {
    from_js(json!({
        "command": ["make"],
        "args": ["test"],
        "workingDirectory": "/work",
        "env": [["A", "1"]],
        "useSource": true,
        "mountPath": "/work",
        "storage": { "enabled": true, "path": "" },
        "timeout": 900000,
        "fallible": true,
        "privileged": true,
        "sidecars": [{
            "name": "docker",
            "image": "docker:dind",
            "imageForcePull": true,
            "env": [["A", "2"]],
            "workspaceMountPath": "/share",
            "sourceMountPath": "/src",
            "privileged": true,
        }],
    }))
}

#[test]
fn sidecars_begin_before_the_job_and_end_with_it() {
    let project = project();
    let spec = made(&docker(), &project);
    let [clone, sidecar] = &spec.init_containers.unwrap()[..] else { panic!() };
    assert_eq!(clone.name, "vcs-sidecar");
    expect![[r#"
        {
          "env": [
            {
              "name": "A",
              "valueFrom": {
                "secretKeyRef": {
                  "key": "docker.A",
                  "name": "one-01kag00000000000000000000a"
                }
              }
            }
          ],
          "image": "docker:dind",
          "imagePullPolicy": "Always",
          "name": "docker",
          "restartPolicy": "Always",
          "securityContext": {
            "privileged": true
          },
          "volumeMounts": [
            {
              "mountPath": "/src",
              "name": "vcs-sidecar"
            },
            {
              "mountPath": "/share",
              "name": "build-storage"
            }
          ]
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(sidecar).unwrap());
    let [own] = &spec.containers[..] else { panic!() };
    expect![[r#"
        {
          "args": [
            "test"
          ],
          "command": [
            "make"
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
            }
          ],
          "image": "alpine:3",
          "imagePullPolicy": "IfNotPresent",
          "name": "brigaderun",
          "resources": {},
          "securityContext": {
            "privileged": true
          },
          "volumeMounts": [
            {
              "mountPath": "/work",
              "name": "vcs-sidecar"
            }
          ],
          "workingDir": "/work"
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(own).unwrap());
    let volumes: Vec<String> =
        spec.volumes.unwrap().into_iter().map(|volume| volume.name).collect();
    assert_eq!(volumes, ["vcs-sidecar", "build-storage"]);
    assert_eq!(spec.active_deadline_seconds, Some(900));
    assert_eq!(spec.security_context, None);
}

#[test]
fn every_environment_is_in_the_jobs_secret() {
    let project = project();
    let secret = secret(&docker(), &project, &build(&project), Timestamp::UNIX_EPOCH);
    assert_eq!(keys(&secret), ["A", "docker.A"]);
}

#[test]
fn a_pod_says_that_its_job_may_fail() {
    let project = project();
    let annotations = |job: &Job| {
        let pod = pod(job, &project, &build(&project), &Policy::default()).unwrap();
        pod.metadata.annotations.unwrap_or_default()
    };
    assert_eq!(annotations(&docker())[FALLIBLE], "true");
    assert!(annotations(&Job::new("one", "alpine:3")).is_empty());
}

#[test]
fn without_a_source_a_command_has_no_volumes() {
    let spec = made(&from_js(json!({ "command": [], "useSource": false })), &project());
    assert_eq!(spec.volumes, Some(Vec::new()));
    assert_eq!(spec.init_containers, None);
    assert_eq!(spec.containers[0].command, None);
    assert_eq!(spec.containers[0].volume_mounts, None);
}

#[test]
fn no_sidecar_is_privileged_where_the_project_forbids_it() {
    let mut project = project();
    project.allow_privileged_jobs = false;
    let spec = made(&docker(), &project);
    let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    for container in containers {
        let privileged = container.security_context.as_ref().and_then(|own| own.privileged);
        assert_eq!(privileged, None, "{}", container.name);
    }
    assert!(spec.security_context.unwrap().seccomp_profile.is_some());
    assert_eq!(
        docker().check(&project, &build(&project), &Policy::default()).unwrap(),
        [
            "allowPrivilegedJobs is false in this project, job one is not privileged",
            "allowPrivilegedJobs is false in this project, sidecar docker of job one is not privileged",
        ]
    );
}

#[test]
fn sidecars_have_names_of_their_own() {
    let named = |name: &str| from_js(json!({ "command": [], "sidecars": [{ "name": name }] }));
    for name in ["db", "a", "0-9", &"x".repeat(63)] {
        named(name).check(&project(), &build(&project()), &Policy::default()).unwrap();
    }
    for name in [
        "",
        "-a",
        "a-",
        "A",
        "a.b",
        "a_b",
        "brigaderun",
        "vcs-sidecar",
        &"x".repeat(64),
        "ä",
        "a\n",
    ] {
        assert!(
            refused(&named(name), &project()).contains("cannot be the name of a sidecar container"),
            "{name}"
        );
    }
    let twice = from_js(json!({ "command": [], "sidecars": [{ "name": "a" }, { "name": "a" }] }));
    assert!(refused(&twice, &project()).contains("each name once"));
}

#[test]
fn no_variable_is_kept_where_another_is() {
    let job = from_js(json!({
        "command": [],
        "env": [["db.PASSWORD", "own"]],
        "sidecars": [{ "name": "db", "env": [["PASSWORD", "the sidecar's"]] }],
    }));
    assert!(refused(&job, &project()).starts_with("\"PASSWORD\" of job one, sidecar db cannot be"));
    for name in ["main.sh", "", "a b", "../x", "1A", &"x".repeat(251)] {
        let job = from_js(json!({
            "command": [], "sidecars": [{ "name": "db", "env": [[name, "x"]] }],
        }));
        assert!(
            refused(&job, &project()).contains("cannot be the name of an environment"),
            "{name}"
        );
    }
}
