//! What needs no cluster: environment, volumes, phases.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, PodSpec};
use serde_json::{Value, json};

use crate::kubelet::claims::Claims;
use crate::kubelet::environment::{self, Place, expand};
use crate::kubelet::objects::{Objects, Reference};
use crate::kubelet::status;
use crate::kubelet::volumes::{self, Places};

const PLACE: Place<'static> = Place { node: "node", address: "127.0.0.1" };

fn objects() -> Objects {
    let data = |entries: &[(&str, &str)]| {
        let entries =
            entries.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec()));
        Some(entries.collect::<BTreeMap<_, _>>())
    };
    Objects {
        namespace: "ns".to_owned(),
        found: BTreeMap::from([
            (Reference::Secret("access".to_owned()), data(&[("user", "me"), ("key", "k")])),
            (Reference::ConfigMap("settings".to_owned()), data(&[("color", "blue")])),
            (Reference::Secret("absent".to_owned()), None),
            (Reference::Claim("claim".to_owned()), data(&[("uid", "1-2")])),
        ]),
    }
}

fn pod(spec: Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {
            "name": "pod", "namespace": "ns", "uid": "u",
            "labels": { "a": "1", "b": "two \"words\"" },
        },
        "spec": spec,
    }))
    .unwrap()
}

fn variables(container: Value) -> Result<BTreeMap<String, String>, String> {
    let container: Container = serde_json::from_value(container).unwrap();
    let pod = pod(json!({ "serviceAccountName": "robot", "containers": [container] }));
    environment::variables(&pod, &container, &objects(), PLACE).map_err(|error| error.message)
}

#[test]
fn names_in_parentheses_are_replaced_where_they_are_known() {
    let known = BTreeMap::from([("A".to_owned(), "1".to_owned()), ("E".to_owned(), String::new())]);
    for (input, expected) in [
        ("$(A)", "1"),
        ("x$(A)y$(E)z", "x1yz"),
        ("$(B)", "$(B)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$A ${A} $", "$A ${A} $"),
        ("$(A", "$(A"),
        ("$()", "$()"),
        ("ü$(A)ü", "ü1ü"),
    ] {
        assert_eq!(expand(input, &known), expected, "{input}");
    }
}

#[test]
fn variables_come_from_everywhere_and_see_earlier_ones() {
    let found = variables(json!({
        "name": "main",
        "envFrom": [
            { "prefix": "S_", "secretRef": { "name": "access" } },
            { "configMapRef": { "name": "settings" } },
            { "secretRef": { "name": "absent", "optional": true } },
        ],
        "env": [
            { "name": "USER", "valueFrom": { "secretKeyRef": { "name": "access", "key": "user" } } },
            { "name": "URL", "value": "https://$(USER)@$(color)/$(LATER)" },
            { "name": "LATER", "value": "x" },
            { "name": "color", "value": "red" },
            { "name": "NAME", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } },
            { "name": "LABEL", "valueFrom": { "fieldRef": { "fieldPath": "metadata.labels['a']" } } },
            { "name": "ACCOUNT", "valueFrom": { "fieldRef": { "fieldPath": "spec.serviceAccountName" } } },
            { "name": "NODE", "valueFrom": { "fieldRef": { "fieldPath": "spec.nodeName" } } },
            { "name": "LIMIT", "valueFrom": { "resourceFieldRef": { "resource": "limits.memory", "divisor": "1Mi" } } },
            { "name": "NONE", "valueFrom": { "secretKeyRef": { "name": "access", "key": "none", "optional": true } } },
        ],
        "resources": { "limits": { "memory": "1Gi" } },
    }))
    .unwrap();
    let found: Vec<_> = found.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(
        found,
        [
            "ACCOUNT=robot",
            "LABEL=1",
            "LATER=x",
            "LIMIT=1024",
            "NAME=pod",
            "NODE=node",
            "S_key=k",
            "S_user=me",
            "URL=https://me@blue/$(LATER)",
            "USER=me",
            "color=red",
        ]
    );
}

#[test]
fn what_is_missing_is_named_in_the_words_of_a_kubelet() {
    let with = |source: Value| {
        variables(json!({ "name": "main", "env": [{ "name": "X", "valueFrom": source }] }))
            .unwrap_err()
    };
    for (source, expected) in [
        (
            json!({ "secretKeyRef": { "name": "absent", "key": "k" } }),
            "secret \"absent\" not found",
        ),
        (
            json!({ "secretKeyRef": { "name": "access", "key": "k" } }),
            "couldn't find key k in Secret ns/access",
        ),
        (
            json!({ "configMapKeyRef": { "name": "settings", "key": "k" } }),
            "couldn't find key k in ConfigMap ns/settings",
        ),
        (
            json!({ "configMapKeyRef": { "name": "other", "key": "k" } }),
            "configmap \"other\" not found",
        ),
    ] {
        assert_eq!(with(source), expected);
    }
}

#[test]
fn volumes_are_folders_with_the_files_and_modes_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let pod = pod(json!({
        "containers": [],
        "volumes": [
            { "name": "hook", "secret": { "secretName": "access", "defaultMode": 256 } },
            { "name": "some", "secret": { "secretName": "access", "items": [{ "key": "user", "path": "deep/er/name" }] } },
            { "name": "maybe", "secret": { "secretName": "absent", "optional": true } },
            { "name": "empty", "emptyDir": {} },
            { "name": "kept", "persistentVolumeClaim": { "claimName": "claim" } },
            { "name": "about", "downwardAPI": { "items": [{ "path": "labels", "fieldRef": { "fieldPath": "metadata.labels" } }] } },
            { "name": "all", "projected": { "sources": [
                { "secret": { "name": "access", "items": [{ "key": "key", "path": "key" }] } },
                { "configMap": { "name": "settings" } },
                { "serviceAccountToken": { "path": "token" } },
            ] } },
        ],
    }));
    let places = Places {
        pod: &folder.path().join("pod"),
        claims: &Claims::new(folder.path().join("claims")),
        allow_host_paths: false,
        place: PLACE,
    };
    for _ in 0..2 {
        // A second time as after a restart, over files that are there.
        volumes::prepare(&pod, &objects(), places, &[Some("secret token".to_owned())]).unwrap();
    }
    let volume = |path: &str| folder.path().join("pod/volumes").join(path);
    let text = |path: &str| fs::read_to_string(volume(path)).unwrap();
    assert_eq!((text("hook/user"), text("some/deep/er/name")), ("me".to_owned(), "me".to_owned()));
    assert_eq!(fs::metadata(volume("hook/user")).unwrap().permissions().mode() & 0o777, 0o400);
    assert_eq!(
        fs::metadata(volume("some/deep/er/name")).unwrap().permissions().mode() & 0o777,
        0o644
    );
    assert_eq!(fs::read_dir(volume("maybe")).unwrap().count(), 0);
    assert_eq!(text("about/labels"), "a=\"1\"\nb=\"two \\\"words\\\"\"");
    assert_eq!((text("all/key"), text("all/color"), text("all/token")).2, "secret token");
    assert!(folder.path().join("claims/ns/claim-1-2").is_dir());
    for inner in ["pod/volumes", "claims", "claims/ns"] {
        assert_eq!(
            fs::metadata(folder.path().join(inner)).unwrap().permissions().mode() & 0o777,
            0o700
        );
    }
}

#[test]
fn volumes_that_cannot_be_made_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let failure = |volume: Value, allow_host_paths| {
        let pod = pod(json!({ "containers": [], "volumes": [volume] }));
        let claims = Claims::new(folder.path().join("claims"));
        let places = Places { pod: folder.path(), claims: &claims, allow_host_paths, place: PLACE };
        volumes::prepare(&pod, &objects(), places, &[]).map(drop).map_err(|error| error.message)
    };
    let nfs = json!({ "name": "v", "nfs": { "server": "s", "path": "/" } });
    assert!(failure(nfs, true).unwrap_err().contains("volume \"v\" is of a kind"));
    let path = |path: &str| json!({ "name": "v", "secret": { "secretName": "access", "items": [{ "key": "user", "path": path }] } });
    for escape in ["../x", "/etc/x", "a/../../x"] {
        assert!(failure(path(escape), false).unwrap_err().contains("without '..'"), "{escape}");
    }
    let key = json!({ "name": "v", "secret": { "secretName": "access", "items": [{ "key": "no", "path": "x" }] } });
    let expected =
        "MountVolume.SetUp failed for volume \"v\" : references non-existent secret key: no";
    assert_eq!(failure(key, false).unwrap_err(), expected);
    let host = |kind: &str| json!({ "name": "v", "hostPath": { "path": "/etc", "type": kind } });
    assert!(failure(host("Directory"), false).unwrap_err().contains("does not allow hostPath"));
    assert_eq!(failure(host("Directory"), true), Ok(()));
    assert!(failure(host("Socket"), true).unwrap_err().contains("type check failed"));
}

#[test]
fn the_phase_follows_from_the_containers() {
    let statuses = |states: &[&str]| -> Vec<ContainerStatus> {
        let status = |state: &&str| {
            let state = match *state {
                "waiting" => json!({ "state": { "waiting": {} } }),
                "running" => json!({ "state": { "running": {} } }),
                "back-off" => {
                    json!({ "state": { "waiting": {} }, "lastState": { "terminated": { "exitCode": 1 } } })
                }
                code => {
                    json!({ "state": { "terminated": { "exitCode": code.parse::<i32>().unwrap() } } })
                }
            };
            let mut status = json!({ "name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0 });
            status.as_object_mut().unwrap().extend(state.as_object().unwrap().clone());
            serde_json::from_value(status).unwrap()
        };
        states.iter().map(status).collect()
    };
    for (policy, init, main, over, expected) in [
        ("Never", &[][..], &["waiting"][..], false, "Pending"),
        ("Never", &[], &["running", "waiting"], false, "Pending"),
        ("Never", &[], &["running", "0"], false, "Running"),
        ("Never", &[], &["0", "0"], false, "Succeeded"),
        ("Never", &[], &["0", "1"], false, "Failed"),
        ("OnFailure", &[], &["0", "1"], false, "Running"),
        ("OnFailure", &[], &["0", "0"], false, "Succeeded"),
        ("Always", &[], &["0"], false, "Running"),
        ("Always", &[], &["back-off"], false, "Running"),
        ("Always", &[], &["143"], true, "Failed"),
        ("Always", &[], &["0"], true, "Succeeded"),
        ("Never", &["running"], &["waiting"], false, "Pending"),
        ("Never", &["1"], &["waiting"], false, "Failed"),
        ("OnFailure", &["1"], &["waiting"], false, "Pending"),
        ("Never", &["0"], &["waiting"], true, "Failed"),
        ("Never", &["0"], &["running"], false, "Running"),
    ] {
        let container = json!({ "name": "c" });
        let spec: PodSpec = serde_json::from_value(json!({
            "restartPolicy": policy,
            "initContainers": vec![container.clone(); init.len()],
            "containers": vec![container; main.len()],
        }))
        .unwrap();
        let phase = status::phase(&spec, &statuses(init), &statuses(main), over);
        assert_eq!(phase, expected, "{policy} {init:?} {main:?} over {over}");
    }
}
