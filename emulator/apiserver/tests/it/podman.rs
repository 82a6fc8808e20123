//! The docker runtime against Podman's service; skipped, with the reason, where there is none.

mod engine;
mod registry;

use std::time::Duration;

use apiserver::kubelet::{Docker, DockerOptions, Runtime};
use kube::api::Patch;
use serde_json::json;

use self::engine::{IMAGE, Podman};
use self::registry::Registry;
use crate::pods::{Cluster, ending, shell, status};

/// A cluster whose pods run in an engine of their own.
struct Bench {
    cluster: Cluster,
    podman: Podman,
}

async fn bench() -> Option<Bench> {
    bench_with(None).await
}

async fn bench_with(registry: Option<&Registry>) -> Option<Bench> {
    let podman = match Podman::start(registry.map(Registry::address)).await {
        Ok(podman) => podman,
        Err(reason) => {
            println!("skipped: {reason}");
            return None;
        }
    };
    let docker = Docker::connect(DockerOptions {
        host: Some(podman.socket.clone()),
        network: Some("none".to_owned()),
        cluster: "test".to_owned(),
        processes: Some(256),
        ..DockerOptions::default()
    });
    let runtime = Runtime::Docker(docker.await.unwrap());
    Some(Bench { cluster: Cluster::new(podman.folder(), runtime), podman })
}

impl Bench {
    async fn end(mut self) {
        self.cluster.stop().await;
        assert_eq!(self.podman.containers(), "", "nothing is left behind");
    }
}

#[tokio::test]
async fn a_pod_runs_in_containers_as_its_spec_says() {
    let Some(bench) = bench().await else { return };
    let cluster = &bench.cluster;
    let data = json!({ "metadata": { "name": "settings" }, "data": { "greeting": "hello" } });
    cluster.create("configmaps", data).await;
    let script = "cat /settings/greeting; echo; cat /shared/note; id -u; id -g; pwd; hostname; \
                  echo $WHO $0 $1; echo problem >&2; echo x > /file || echo read-only; \
                  echo x > /settings/file || echo settings are read-only; \
                  echo done > /dev/termination-log; exit 3";
    cluster
        .run(
            "pod",
            json!({
                "initContainers": [{
                    "name": "first",
                    "image": IMAGE,
                    "args": ["-c", "echo prepared > /made/note"],
                    "volumeMounts": [{ "name": "work", "mountPath": "/made", "subPath": "inner" }],
                }],
                "containers": [{
                    "name": "main",
                    "image": IMAGE,
                    "command": ["/bin/sh", "-c", script],
                    "args": ["zero", "$(WHO)"],
                    "env": [{ "name": "WHO", "value": "you" }],
                    "workingDir": "/tmp",
                    "securityContext": {
                        "runAsUser": 1234,
                        "runAsGroup": 5678,
                        "readOnlyRootFilesystem": true,
                        "capabilities": { "drop": ["ALL"] },
                        "allowPrivilegeEscalation": false,
                    },
                    "volumeMounts": [
                        { "name": "settings", "mountPath": "/settings" },
                        { "name": "work", "mountPath": "/shared", "subPath": "inner", "readOnly": true },
                    ],
                }],
                "volumes": [
                    { "name": "settings", "configMap": { "name": "settings" } },
                    { "name": "work", "emptyDir": {} },
                ],
            }),
        )
        .await;
    let pod = cluster.until_phase("pod", "Failed").await;
    let log = cluster.log("pod", "main").await;
    let (said, problems): (Vec<_>, Vec<_>) =
        log.lines().partition(|line| !line.contains("problem") && !line.contains("can't create"));
    assert_eq!(
        said,
        [
            "hello",
            "prepared",
            "1234",
            "5678",
            "/tmp",
            "pod",
            "you zero you",
            "read-only",
            "settings are read-only"
        ],
        "{log}"
    );
    assert_eq!(problems.len(), 3, "{log}");
    assert_eq!(ending(&pod), (3, "Error".to_owned()));
    let status = status(&pod);
    assert!(status.container_id.unwrap().starts_with("docker://"));
    assert!(status.image_id.starts_with("docker-pullable://localhost/busybox@sha256:"));
    let terminated = status.state.unwrap().terminated.unwrap();
    assert_eq!(terminated.message.as_deref(), Some("done\n"));
    for (reason, message) in [
        (
            "Pulled",
            "Container image \"localhost/busybox:1\" already present on machine and can be accessed by the pod",
        ),
        ("Created", "Container created"),
        ("Started", "Container started"),
    ] {
        assert_eq!(cluster.event("pod", reason, message).await, message);
    }
    bench.end().await;
}

#[tokio::test]
async fn containers_of_a_pod_share_their_network_and_keep_their_processes_apart() {
    let Some(bench) = bench().await else { return };
    // Now and then a connection ends before what was said has arrived.
    let serve = "for each in 1 2 3 4; do echo from the other | timeout 2 nc -l -p 8080; done; true";
    let mut server = shell(IMAGE, serve);
    server["name"] = json!("server");
    let script =
        "until nc 127.0.0.1 8080 2>/dev/null | grep .; do :; done; ls -d /proc/[0-9]* | wc -l";
    bench.cluster.run("pod", json!({ "containers": [shell(IMAGE, script), server] })).await;
    bench.cluster.until_phase("pod", "Succeeded").await;
    let log = bench.cluster.log("pod", "main").await;
    let mut lines = log.lines();
    assert_eq!(lines.next(), Some("from the other"), "{log}");
    let processes: u32 = lines.next().unwrap().trim().parse().unwrap();
    assert!(processes <= 4, "{log}");
    bench.end().await;
}

#[tokio::test]
async fn limits_of_memory_and_processes_hold() {
    let Some(bench) = bench().await else { return };
    if !bench.podman.has_limits() {
        return println!("skipped: this engine has no limits of memory and processes");
    }
    let mut hungry = shell(IMAGE, "tail /dev/zero");
    hungry["resources"] = json!({ "limits": { "memory": "24Mi" } });
    bench.cluster.run("hungry", json!({ "containers": [hungry] })).await;
    let script = "for n in $(seq 1000); do sleep 100 & done; wait";
    bench.cluster.run("many", json!({ "containers": [shell(IMAGE, script)] })).await;
    let pod = bench.cluster.until_phase("hungry", "Failed").await;
    let reason = if bench.podman.tells_of_memory() { "OOMKilled" } else { "Error" };
    assert_eq!(ending(&pod), (137, reason.to_owned()));
    bench.cluster.until_phase("many", "Failed").await;
    let log = bench.cluster.log("many", "main").await;
    assert!(log.contains("can't fork"), "{log}");
    bench.end().await;
}

#[tokio::test]
async fn an_image_that_cannot_be_had_is_the_pod_s_error() {
    let Some(bench) = bench().await else { return };
    let cluster = &bench.cluster;
    for (name, image, policy) in [
        ("absent", "127.0.0.1:1/none:1", "IfNotPresent"),
        ("never", "localhost/none:1", "Never"),
        ("invalid", "localhost/NONE:1", "IfNotPresent"),
    ] {
        let mut main = shell(image, "true");
        main["imagePullPolicy"] = json!(policy);
        cluster.run(name, json!({ "containers": [main] })).await;
    }
    let message = cluster.until_waiting("absent", "ErrImagePull").await;
    assert!(message.contains("connection refused"), "{message}");
    let message = cluster.until_waiting("absent", "ImagePullBackOff").await;
    let beginning = "Back-off pulling image \"127.0.0.1:1/none:1\": ErrImagePull: ";
    assert!(message.starts_with(beginning), "{message}");
    for (reason, message) in [
        ("Pulling", "Pulling image \"127.0.0.1:1/none:1\""),
        ("Failed", "Error: ErrImagePull"),
        ("Failed", "Error: ImagePullBackOff"),
        ("BackOff", "Back-off pulling image \"127.0.0.1:1/none:1\""),
    ] {
        assert_eq!(cluster.event("absent", reason, message).await, message);
    }
    cluster.event("absent", "Failed", "Failed to pull image \"127.0.0.1:1/none:1\": ").await;
    let message = cluster.until_waiting("never", "ErrImageNeverPull").await;
    let expected = "Container image \"localhost/none:1\" is not present with pull policy of Never";
    assert_eq!(message, expected);
    assert_eq!(cluster.event("never", "ErrImageNeverPull", "").await, expected);
    let message = cluster.until_waiting("invalid", "InvalidImageName").await;
    assert!(message.ends_with("invalid reference format"), "{message}");
    cluster.delete("absent", 0).await;
    cluster.until_gone("absent").await;
    bench.end().await;
}

#[tokio::test]
async fn a_private_image_is_pulled_with_the_pod_s_secret() {
    let registry = Registry::start("me", "pass>~?word").await;
    let Some(bench) = bench_with(Some(&registry)).await else { return };
    let cluster = &bench.cluster;
    let address = registry.address();
    let image = format!("{address}/team/tool:1");
    let mut auths = json!({ "auths": {} });
    for (name, password) in [("wrong", "wrong-password"), ("right", "pass>~?word")] {
        auths["auths"][address] = json!({ "username": "me", "password": password });
        let secret = json!({
            "metadata": { "name": name },
            "type": "kubernetes.io/dockerconfigjson",
            "stringData": { ".dockerconfigjson": auths.to_string() },
        });
        cluster.create("secrets", secret).await;
        let mut spec = json!({ "containers": [shell(&image, "echo pulled")] });
        spec["imagePullSecrets"] = json!([{ "name": name }, { "name": "nonesuch" }]);
        cluster.run(name, spec).await;
        if name == "wrong" {
            // Before the other pod pulls what this one may not have.
            let message = cluster.until_waiting(name, "ErrImagePull").await;
            assert!(message.contains("unauthorized"), "{message}");
            assert!(!message.contains(password), "{message}");
            cluster.delete(name, 0).await;
            cluster.until_gone(name).await;
        }
    }
    cluster.until_phase("right", "Succeeded").await;
    assert_eq!(cluster.log("right", "main").await, "pulled\n");
    let message = cluster.event("right", "Pulled", "Successfully pulled image").await;
    assert!(message.contains("including waiting). Image size: "), "{message}");
    cluster.event("right", "FailedToRetrieveImagePullSecret", "(nonesuch)").await;
    let events = cluster.events("wrong").await;
    assert!(!format!("{events:?}").contains("wrong-password"), "{events:?}");
    bench.end().await;
}

#[tokio::test]
async fn a_container_may_clean_up_and_is_killed_if_it_does_not_end() {
    let Some(bench) = bench().await else { return };
    let cluster = &bench.cluster;
    let patience = Duration::from_secs(30);
    let obeys = "trap 'echo caught; exit 7' TERM; echo ready; while :; do sleep 0.1; done";
    let ignores = "trap '' TERM; echo ready; while :; do sleep 0.1; done";
    let mut spec = json!({ "containers": [shell(IMAGE, obeys)] });
    spec["terminationGracePeriodSeconds"] = json!(30);
    cluster.run("late", spec).await;
    cluster.run("stubborn", json!({ "containers": [shell(IMAGE, ignores)] })).await;
    tokio::time::timeout(patience, cluster.hear("late", "ready")).await.expect("it starts");
    let deadline = json!({ "spec": { "activeDeadlineSeconds": 1 } });
    cluster.pods().patch("late", &Default::default(), &Patch::Merge(deadline)).await.unwrap();
    let pod = cluster.until_phase("late", "Failed").await;
    assert_eq!(ending(&pod), (7, "Error".to_owned()));
    assert_eq!(cluster.log("late", "main").await, "ready\ncaught\n");
    cluster.until_phase("stubborn", "Running").await;
    cluster.delete("stubborn", 1).await;
    cluster.until_gone("stubborn").await;
    cluster.event("stubborn", "Killing", "Stopping container main").await;
    bench.end().await;
}

#[tokio::test]
async fn what_a_killed_kubelet_left_is_removed_and_reported() {
    let Some(mut bench) = bench().await else { return };
    bench.cluster.run("lost", json!({ "containers": [shell(IMAGE, "sleep 1000")] })).await;
    bench.cluster.until_phase("lost", "Running").await;
    bench.cluster.kill();
    assert_ne!(bench.podman.containers(), "", "they are still there");
    bench.cluster.start();
    let pod = bench.cluster.until_phase("lost", "Failed").await;
    assert_eq!(ending(&pod), (137, "ContainerStatusUnknown".to_owned()));
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_output_of_short_containers_is_lost() {
    const PODS: usize = 12;
    let Some(bench) = bench().await else { return };
    let script = "seq 1 2000; printf end";
    for number in 0..PODS {
        let name = format!("pod-{number}");
        bench.cluster.run(&name, json!({ "containers": [shell(IMAGE, script)] })).await;
    }
    let expected: String = (1..=2000).map(|line| format!("{line}\n")).collect();
    for number in 0..PODS {
        let name = format!("pod-{number}");
        bench.cluster.until_phase(&name, "Succeeded").await;
        let log = bench.cluster.log(&name, "main").await;
        assert_eq!(log, format!("{expected}end"), "{name}");
    }
    bench.end().await;
}

#[tokio::test]
async fn an_engine_that_is_not_there_is_named() {
    let options = DockerOptions {
        host: Some("unix:///nonexistent/docker.sock".to_owned()),
        ..DockerOptions::default()
    };
    let connected = tokio::time::timeout(Duration::from_secs(60), Docker::connect(options)).await;
    let reason = connected.expect("soon").unwrap_err();
    assert!(reason.contains("/nonexistent/docker.sock"), "{reason}");
}
