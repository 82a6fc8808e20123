//! Pods that really run; skipped, with the reason, where bubblewrap does not work.

use std::time::Instant;

use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret};
use serde_json::json;

use super::{Cluster, conditions, container, ending, state};
use crate::logs::LogOptions;

#[tokio::test]
async fn a_job_pod_with_hook_and_source_runs_as_in_a_cluster() {
    let Some(cluster) = Cluster::sandboxed().await else { return };
    let script = "#!/bin/sh\n\nset -e\n\ncat /src/README\necho $GREETING from $(pwd)";
    cluster
        .create::<Secret>(json!({
            "metadata": { "name": "job" },
            "stringData": { "main.sh": script, "GREETING": "hello" },
        }))
        .await;
    let begun = Instant::now();
    cluster
        .run(
            "job",
            json!({
                "initContainers": [{
                    "name": "vcs-sidecar",
                    "image": "git:1",
                    "command": ["/bin/sh", "-c", "echo cloned $WORKSPACE > /src/README"],
                    "env": [{ "name": "WORKSPACE", "value": "/src" }],
                    "volumeMounts": [{ "name": "vcs-sidecar", "mountPath": "/src" }],
                }],
                "containers": [{
                    "name": "main",
                    "image": "alpine:3",
                    "command": ["/bin/sh", "/hook/main.sh"],
                    "env": [{
                        "name": "GREETING",
                        "valueFrom": { "secretKeyRef": { "name": "job", "key": "GREETING" } },
                    }],
                    "volumeMounts": [
                        { "name": "job", "mountPath": "/hook" },
                        { "name": "vcs-sidecar", "mountPath": "/src" },
                    ],
                }],
                "volumes": [
                    { "name": "job", "secret": { "secretName": "job" } },
                    { "name": "vcs-sidecar", "emptyDir": {} },
                ],
            }),
        )
        .await;
    let pod = cluster.until_phase("job", "Succeeded").await;
    println!("pod with an init container, created to succeeded: {:?}", begun.elapsed());
    assert_eq!(cluster.log("job").await, "cloned /src\nhello from /\n");
    assert_eq!(ending(&pod), (0, "Completed".to_owned(), String::new()));
    let status = pod.status.unwrap();
    let init = &status.init_container_statuses.unwrap()[0];
    assert!(init.ready && init.state.as_ref().unwrap().terminated.as_ref().unwrap().exit_code == 0);
    assert!(status.start_time.is_some() && status.pod_ip.is_some() && status.host_ip.is_some());
    assert_eq!(status.qos_class.as_deref(), Some("BestEffort"));
    cluster.event("job", "Pulled", "host tools stand in for image \"alpine:3\"").await;
    for reason in ["Created", "Started"] {
        cluster.event("job", reason, "Container").await;
    }
    assert!(cluster.pod_folders().is_empty(), "no file of a Secret outlives its pod");
}

#[tokio::test]
async fn a_pod_reaches_running_soon() {
    let Some(cluster) = Cluster::sandboxed().await else { return };
    let mut times = Vec::new();
    for number in 0..7 {
        let name = format!("pod-{number}");
        let begun = Instant::now();
        cluster.script(&name, "exec sleep 600").await;
        let pod = cluster.until_phase(&name, "Running").await;
        times.push(begun.elapsed());
        assert_eq!(conditions(&pod)["Ready"], "True");
        cluster.delete(&name, 0).await;
    }
    times.sort();
    println!("pod created to Running: median {:?}, worst {:?}", times[3], times[6]);
}

#[tokio::test]
async fn an_exit_code_fails_the_pod() {
    let Some(cluster) = Cluster::sandboxed().await else { return };
    cluster.script("pod", "echo last words > /dev/termination-log; exit 3").await;
    let pod = cluster.until_phase("pod", "Failed").await;
    assert_eq!(ending(&pod), (3, "Error".to_owned(), "last words\n".to_owned()));
    assert_eq!(conditions(&pod)["Ready"], "False");
}

#[tokio::test]
async fn an_unknown_command_fails_the_pod_with_its_reason() {
    let Some(cluster) = Cluster::sandboxed().await else { return };
    cluster
        .run(
            "pod",
            json!({ "containers": [{ "name": "main", "image": "x", "command": ["nonesuch"] }] }),
        )
        .await;
    let pod = cluster.until_phase("pod", "Failed").await;
    let (code, reason, message) = ending(&pod);
    assert_eq!((code, reason.as_str()), (128, "StartError"));
    assert!(message.contains("exec: nonesuch: No such file or directory"), "{message}");
    cluster.event("pod", "Failed", "nonesuch").await;
}

#[tokio::test]
async fn a_deadline_ends_the_pod() {
    let Some(cluster) = Cluster::sandboxed().await else { return };
    cluster
        .run("pod", json!({ "activeDeadlineSeconds": 1, "containers": [container("sleep 600")] }))
        .await;
    let pod = cluster.until_phase("pod", "Failed").await;
    assert_eq!(ending(&pod).0, 143);
    let status = pod.status.unwrap();
    assert_eq!(status.reason.as_deref(), Some("DeadlineExceeded"));
    let message = "Pod was active on the node longer than the specified deadline";
    assert_eq!(status.message.as_deref(), Some(message));
}

#[tokio::test]
async fn a_deleted_pod_may_clean_up() {
    let Some(cluster) = Cluster::sandboxed().await else { return };
    cluster
        .create::<PersistentVolumeClaim>(json!({
            "metadata": { "name": "claim" },
            "spec": { "accessModes": ["ReadWriteMany"], "resources": { "requests": { "storage": "1Gi" } } },
        }))
        .await;
    let script =
        "trap 'echo cleaned > /cache/note; exit 0' TERM; echo ready; while :; do sleep 0.05; done";
    let mut main = container(script);
    main["volumeMounts"] = json!([{ "name": "cache", "mountPath": "/cache" }]);
    let volumes = json!([{ "name": "cache", "persistentVolumeClaim": { "claimName": "claim" } }]);
    cluster.run("pod", json!({ "containers": [main], "volumes": volumes })).await;
    cluster.hear("pod", "ready").await;
    cluster.delete("pod", 30).await;
    let begun = Instant::now();
    cluster.until_gone("pod").await;
    assert!(begun.elapsed().as_secs() < 30, "the grace period is not waited for in vain");
    cluster.event("pod", "Killing", "Stopping container main").await;
    let mut main = container("cat /cache/note");
    main["volumeMounts"] = json!([{ "name": "cache", "mountPath": "/cache", "readOnly": true }]);
    cluster.run("reader", json!({ "containers": [main], "volumes": volumes })).await;
    cluster.until_phase("reader", "Succeeded").await;
    assert_eq!(cluster.log("reader").await, "cleaned\n", "the claim is kept and shared");
    let folders = cluster.folder.path().join("node/claims/default");
    assert_eq!(std::fs::read_dir(&folders).unwrap().count(), 1);
    let claims = kube::Api::<PersistentVolumeClaim>::namespaced(cluster.client.clone(), "default");
    claims.delete("claim", &Default::default()).await.unwrap();
    let mut ticks = tokio::time::interval(std::time::Duration::from_millis(5));
    let gone = async {
        // The kubelet hears of it through its watch.
        while std::fs::read_dir(&folders).unwrap().count() > 0 {
            ticks.tick().await;
        }
    };
    tokio::time::timeout(super::PATIENCE, gone).await.expect("its folder goes with the claim");
}

#[tokio::test]
async fn a_pod_that_ignores_sigterm_is_killed_after_its_grace() {
    let Some(cluster) = Cluster::sandboxed().await else { return };
    cluster.script("pod", "trap '' TERM; echo ready; while :; do sleep 1; done").await;
    cluster.hear("pod", "ready").await;
    let begun = Instant::now();
    cluster.delete("pod", 1).await;
    cluster.until_gone("pod").await;
    assert!(begun.elapsed().as_secs_f32() > 0.9);
}

#[tokio::test]
async fn a_second_deletion_can_shorten_the_grace() {
    let Some(cluster) = Cluster::sandboxed().await else { return };
    cluster.script("pod", "trap '' TERM; echo ready; while :; do sleep 1; done").await;
    cluster.hear("pod", "ready").await;
    cluster.delete("pod", 3600).await;
    cluster.delete("pod", 1).await;
    cluster.until_gone("pod").await;
}

#[tokio::test]
async fn a_forced_deletion_kills_at_once() {
    let Some(cluster) = Cluster::sandboxed().await else { return };
    let mark = format!("{}.25", std::process::id() + 1000);
    cluster.script("pod", &format!("trap '' TERM; echo ready; sleep {mark}; sleep {mark}")).await;
    cluster.hear("pod", "ready").await;
    cluster.delete("pod", 0).await;
    cluster.until_gone("pod").await;
    let runs = || {
        let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let mut commands =
            processes.filter_map(|it| std::fs::read_to_string(it.path().join("cmdline")).ok());
        commands.any(|command| command.split('\0').any(|word| word == mark))
    };
    let mut ticks = tokio::time::interval(std::time::Duration::from_millis(5));
    let gone = async {
        // The object goes before its processes do, and nothing announces their end.
        while runs() || !cluster.pod_folders().is_empty() {
            ticks.tick().await;
        }
    };
    tokio::time::timeout(super::PATIENCE, gone).await.expect("nothing is left");
}

#[tokio::test]
async fn a_missing_secret_is_waited_for() {
    let Some(cluster) = Cluster::sandboxed().await else { return };
    let mut main = container("echo $TOKEN $SETTING");
    main["env"] = json!([
        { "name": "TOKEN", "valueFrom": { "secretKeyRef": { "name": "access", "key": "token" } } },
        { "name": "SETTING", "valueFrom": { "configMapKeyRef": { "name": "absent", "key": "x", "optional": true } } },
    ]);
    cluster.run("pod", json!({ "containers": [main] })).await;
    let message = |pod| state(&pod).unwrap().waiting.clone().unwrap().message.unwrap();
    let pod = cluster.until_waiting("pod", "CreateContainerConfigError").await;
    assert_eq!(message(pod), "secret \"access\" not found");
    cluster
        .create::<Secret>(json!({ "metadata": { "name": "access" }, "stringData": { "x": "y" } }))
        .await;
    let key = "couldn't find key token in Secret default/access";
    let wanted = |pod: &k8s_openapi::api::core::v1::Pod| {
        let waiting = state(pod).and_then(|state| state.waiting.clone());
        waiting.is_some_and(|waiting| waiting.message.as_deref() == Some(key))
    };
    cluster.until("pod", key, wanted).await;
    let api = kube::Api::<Secret>::namespaced(cluster.client.clone(), "default");
    let patch = json!({ "stringData": { "token": "opened" } });
    api.patch("access", &Default::default(), &kube::api::Patch::Merge(patch)).await.unwrap();
    cluster.until_phase("pod", "Succeeded").await;
    assert_eq!(cluster.log("pod").await, "opened\n");
    cluster.event("pod", "Failed", "Error: secret \"access\" not found").await;
}

#[tokio::test]
async fn a_missing_volume_source_is_waited_for() {
    let Some(cluster) = Cluster::sandboxed().await else { return };
    let mut main = container("cat /settings/a /settings/deep/b; ls -l /settings/a | cut -c1-10");
    main["volumeMounts"] = json!([{ "name": "settings", "mountPath": "/settings" }]);
    let items = json!([{ "key": "a", "path": "a", "mode": 256 }, { "key": "b", "path": "deep/b" }]);
    let volume = json!({ "name": "settings", "configMap": { "name": "settings", "items": items } });
    cluster.run("pod", json!({ "containers": [main], "volumes": [volume] })).await;
    cluster
        .event(
            "pod",
            "FailedMount",
            "MountVolume.SetUp failed for volume \"settings\" : configmap \"settings\" not found",
        )
        .await;
    cluster
        .create::<ConfigMap>(
            json!({ "metadata": { "name": "settings" }, "data": { "a": "A\n", "b": "B\n" } }),
        )
        .await;
    cluster.until_phase("pod", "Succeeded").await;
    assert_eq!(cluster.log("pod").await, "A\nB\n-r--------\n");
}

#[tokio::test]
async fn host_folders_are_refused() {
    let Some(cluster) = Cluster::sandboxed().await else { return };
    let volume = json!({ "name": "docker-socket", "hostPath": { "path": "/var/run/docker.sock" } });
    cluster.run("pod", json!({ "containers": [container("true")], "volumes": [volume] })).await;
    let pod = cluster.until_waiting("pod", "CreateContainerConfigError").await;
    let message = state(&pod).unwrap().waiting.clone().unwrap().message.unwrap();
    assert!(
        message.contains("does not allow hostPath volumes (/var/run/docker.sock)"),
        "{message}"
    );
    cluster.delete("pod", 30).await;
    cluster.until_gone("pod").await;
}

#[tokio::test]
async fn a_failing_container_is_run_again_and_its_logs_are_kept() {
    let Some(cluster) = Cluster::sandboxed().await else { return };
    let mut main = container(
        "echo run $(cat /state/count 2>/dev/null); echo x >> /state/count; [ $(wc -l < /state/count) = 3 ]",
    );
    main["volumeMounts"] = json!([{ "name": "state", "mountPath": "/state" }]);
    let volumes = json!([{ "name": "state", "emptyDir": {} }]);
    cluster
        .run(
            "pod",
            json!({ "restartPolicy": "OnFailure", "containers": [main], "volumes": volumes }),
        )
        .await;
    let pod = cluster.until_phase("pod", "Succeeded").await;
    let status = &pod.status.unwrap().container_statuses.unwrap()[0];
    assert_eq!(status.restart_count, 2);
    let last = status.last_state.clone().unwrap().terminated.unwrap();
    assert_eq!(last.exit_code, 1);
    assert_eq!(cluster.log("pod").await, "run x x\n");
    let previous = LogOptions { previous: true, ..LogOptions::default() };
    assert_eq!(cluster.log_with("pod", "main", previous).await, "run x\n");
    cluster.event("pod", "BackOff", "Back-off restarting failed container main").await;
}

#[tokio::test]
async fn a_failing_init_container_fails_the_pod() {
    let Some(cluster) = Cluster::sandboxed().await else { return };
    let init = json!([{ "name": "init", "image": "x", "command": ["/bin/sh", "-c", "exit 5"] }]);
    cluster.run("pod", json!({ "initContainers": init, "containers": [container("true")] })).await;
    let pod = cluster.until_phase("pod", "Failed").await;
    let waiting = state(&pod).unwrap().waiting.clone().unwrap();
    assert_eq!(waiting.reason.as_deref(), Some("PodInitializing"));
    assert_eq!(conditions(&pod)["Initialized"], "False");
}

#[tokio::test]
async fn a_sidecar_runs_beside_the_others_and_ends_with_them() {
    let Some(cluster) = Cluster::sandboxed().await else { return };
    let sidecar = "trap 'echo bye >> /shared/said; exit 0' TERM; echo up > /shared/said; while :; do sleep 0.05; done";
    let mount = json!([{ "name": "shared", "mountPath": "/shared" }]);
    let mut main = container("until [ -e /shared/said ]; do sleep 0.05; done; cat /shared/said");
    main["volumeMounts"] = mount.clone();
    let init = json!([{
        "name": "sidecar", "image": "x", "restartPolicy": "Always",
        "command": ["/bin/sh", "-c", sidecar], "volumeMounts": mount,
    }]);
    let volumes = json!([{ "name": "shared", "emptyDir": {} }]);
    cluster
        .run("pod", json!({ "initContainers": init, "containers": [main], "volumes": volumes }))
        .await;
    let pod = cluster.until_phase("pod", "Succeeded").await;
    assert_eq!(cluster.log("pod").await, "up\n");
    let sidecar = &pod.status.unwrap().init_container_statuses.unwrap()[0];
    let ended = sidecar.state.clone().unwrap().terminated.unwrap();
    assert_eq!(ended.exit_code, 0, "it was asked to end, and did");
}

#[tokio::test]
async fn links_in_a_volume_do_not_lead_out_of_it() {
    let Some(cluster) = Cluster::sandboxed().await else { return };
    let outside = cluster.folder.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    cluster
        .create::<PersistentVolumeClaim>(json!({
            "metadata": { "name": "claim" },
            "spec": { "accessModes": ["ReadWriteMany"], "resources": { "requests": { "storage": "1Gi" } } },
        }))
        .await;
    let volumes = json!([{ "name": "data", "persistentVolumeClaim": { "claimName": "claim" } }]);
    let mut main = container(&format!("ln -s {} /data/link", outside.display()));
    main["volumeMounts"] = json!([{ "name": "data", "mountPath": "/data" }]);
    cluster.run("maker", json!({ "containers": [main], "volumes": volumes })).await;
    cluster.until_phase("maker", "Succeeded").await;
    let mounts = [
        json!([{ "name": "data", "mountPath": "/data", "subPath": "link" }]),
        json!([{ "name": "data", "mountPath": "/data" }, { "name": "data", "mountPath": "/data/link/in", "subPath": "x" }]),
        json!([{ "name": "data", "mountPath": "/data", "subPath": "../.." }]),
    ];
    for (number, mount) in mounts.into_iter().enumerate() {
        let mut main = container("echo escaped > /data/here");
        main["volumeMounts"] = mount;
        let name = format!("pod-{number}");
        let pod = json!({
            "metadata": { "name": name },
            "spec": { "nodeName": "node", "restartPolicy": "Never", "containers": [main], "volumes": volumes },
        });
        let api = cluster.pods();
        // The API may refuse it before the kubelet does.
        if api.create(&Default::default(), &serde_json::from_value(pod).unwrap()).await.is_ok() {
            cluster.until_waiting(&name, "CreateContainerConfigError").await;
        }
    }
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
}

#[tokio::test]
async fn a_restarted_kubelet_says_what_was_lost() {
    let Some(mut cluster) = Cluster::sandboxed().await else { return };
    cluster.script("lost", "echo ready; exec sleep 600").await;
    let again = "echo ready; [ -e /state/was ] && exit 0; touch /state/was; exec sleep 600";
    let mut main = container(again);
    main["volumeMounts"] = json!([{ "name": "state", "mountPath": "/state" }]);
    let volumes = json!([{ "name": "state", "emptyDir": {} }]);
    cluster
        .run(
            "again",
            json!({ "restartPolicy": "OnFailure", "containers": [main], "volumes": volumes }),
        )
        .await;
    cluster.hear("lost", "ready").await;
    cluster.hear("again", "ready").await;
    cluster.stop().await;
    cluster.start();
    let pod = cluster.until_phase("lost", "Failed").await;
    let (code, reason, message) = ending(&pod);
    assert_eq!((code, reason.as_str()), (137, "ContainerStatusUnknown"));
    assert!(message.contains("the node was restarted"), "{message}");
    assert_eq!(cluster.log("lost").await, "ready\n", "logs survive");
    let pod = cluster.until_phase("again", "Succeeded").await;
    assert_eq!(pod.status.unwrap().container_statuses.unwrap()[0].restart_count, 1);
}

#[tokio::test]
async fn a_privileged_container_runs_without_and_it_is_said() {
    let Some(cluster) = Cluster::sandboxed().await else { return };
    let mut main = container("grep CapEff /proc/self/status");
    main["securityContext"] = json!({ "privileged": true });
    cluster.run("pod", json!({ "containers": [main] })).await;
    cluster.until_phase("pod", "Succeeded").await;
    assert_eq!(cluster.log("pod").await, "CapEff:\t0000000000000000\n");
    cluster.event("pod", "PrivilegedIgnored", "runs without").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_pods_at_once() {
    const PODS: usize = 100;
    let Some(cluster) = Cluster::sandboxed().await else { return };
    let begun = Instant::now();
    for number in 0..PODS {
        cluster.script(&format!("pod-{number}"), "echo done").await;
    }
    for number in 0..PODS {
        let name = format!("pod-{number}");
        cluster.until_phase(&name, "Succeeded").await;
        assert_eq!(cluster.log(&name).await, "done\n");
    }
    println!("{PODS} pods, created to succeeded: {:?}", begun.elapsed());
}
