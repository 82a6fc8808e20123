//! Whatever is sent, something is answered.

use apiserver::{Options, Server};
use axum::body::Body;
use http::Request;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::{collection, proptest};
use serde_json::{Value, json};
use tower::ServiceExt;

/// Names that lead deep into the types.
const KEYS: &[&str] = &[
    "metadata",
    "name",
    "namespace",
    "labels",
    "annotations",
    "finalizers",
    "ownerReferences",
    "uid",
    "managedFields",
    "fieldsV1",
    "spec",
    "status",
    "phase",
    "containers",
    "initContainers",
    "volumes",
    "secret",
    "configMap",
    "projected",
    "sources",
    "items",
    "env",
    "valueFrom",
    "fieldRef",
    "image",
    "ports",
    "containerPort",
    "resources",
    "limits",
    "requests",
    "cpu",
    "data",
    "stringData",
    "type",
    "rules",
    "subjects",
    "roleRef",
    "template",
    "jobTemplate",
    "schedule",
    "timeZone",
    "tolerations",
    "taints",
    "conditions",
    "$patch",
    "$retainKeys",
    "$setElementOrder/containers",
    "op",
    "path",
    "value",
    "from",
    "accessModes",
    "volumeMounts",
    "securityContext",
    "livenessProbe",
];

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f32>().prop_map(|number| json!(f64::from(number))),
        prop_oneof![
            Just("a"),
            Just(""),
            Just("main"),
            Just("1Gi"),
            Just("-5"),
            Just("/metadata/name"),
            Just("replace"),
            Just("delete"),
            Just("2026-01-02T03:04:05Z"),
            Just("ä\u{0}"),
        ]
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 48, 6, |inner| {
        prop_oneof![
            collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            collection::vec((proptest::sample::select(KEYS), inner), 0..6).prop_map(|fields| {
                fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
            }),
        ]
    })
}

const BASE: &str = "/api/v1/namespaces/default";

fn requests(body: &Value) -> Vec<(&'static str, String, &'static str)> {
    let mut requests = Vec::new();
    for kind in ["pods", "secrets", "configmaps", "persistentvolumeclaims", "events", "services"] {
        requests.push(("POST", format!("{BASE}/{kind}"), "application/json"));
    }
    for path in [
        "/api/v1/nodes",
        "/apis/batch/v1/namespaces/default/jobs",
        "/apis/batch/v1/namespaces/default/cronjobs",
        "/apis/apps/v1/namespaces/default/deployments",
        "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings",
        "/apis/events.k8s.io/v1/namespaces/default/events",
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
    ] {
        requests.push(("POST", path.to_owned(), "application/json"));
    }
    for media in [
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
        "application/apply-patch+yaml",
    ] {
        for path in ["pods/main", "pods/main/status", "configmaps/kube-root-ca.crt"] {
            requests.push(("PATCH", format!("{BASE}/{path}?fieldManager=m&force=true"), media));
        }
    }
    let json_patch = "application/json-patch+json";
    requests.push(("PATCH", format!("{BASE}/pods/main"), json_patch));
    requests.push(("PUT", format!("{BASE}/pods/main"), "application/json"));
    requests.push(("PUT", "/api/v1/namespaces/default/finalize".to_owned(), "application/json"));
    requests.push(("POST", format!("{BASE}/pods/main/binding"), "application/json"));
    requests.push(("POST", format!("{BASE}/pods/main/eviction"), "application/json"));
    if body.is_object() {
        requests.push(("DELETE", format!("{BASE}/configmaps"), "application/json"));
    }
    requests
}

async fn send(server: &Server, method: &str, path: &str, media: &str, body: Vec<u8>) -> u16 {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", media)
        .body(Body::from(body))
        .expect("the request is valid");
    let response = server.router().oneshot(request).await.expect("the router answers everything");
    response.status().as_u16()
}

#[test]
fn any_json_is_answered() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _inside = runtime.enter();
    proptest!(|(body in value(), wrapped in any::<bool>())| {
        let body = if wrapped { json!([body]) } else { body };
        runtime.block_on(async {
            let server = Server::new(Options::default()).expect("a server in memory starts");
            let pod = json!({
                "metadata": {"name": "main"},
                "spec": {"containers": [{"name": "main", "image": "busybox"}]},
            });
            let made = send(
                &server, "POST", &format!("{BASE}/pods"), "application/json", pod.to_string().into(),
            )
            .await;
            assert_eq!(made, 201);
            for (method, path, media) in requests(&body) {
                let code = send(&server, method, &path, media, body.to_string().into()).await;
                assert!((200..=500).contains(&code), "{method} {path}: {code}");
            }
        });
    });
}

#[test]
fn any_bytes_are_answered() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _inside = runtime.enter();
    let server = Server::new(Options::default()).unwrap();
    proptest!(|(bytes: Vec<u8>, prefix in any::<bool>())| {
        let body = if prefix { [b"k8s\0".to_vec(), bytes].concat() } else { bytes };
        runtime.block_on(async {
            for media in ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"] {
                let path = format!("{BASE}/secrets");
                let code = send(&server, "POST", &path, media, body.clone()).await;
                assert!((400..=422).contains(&code) || code == 201, "{media}: {code}");
            }
        });
    });
}

#[tokio::test]
async fn numbers_at_the_edge_are_answered() {
    let server = Server::new(Options::default()).unwrap();
    for path in [
        "pods?watch=true&timeoutSeconds=9223372036854775807",
        "pods?watch=true&timeoutSeconds=-9223372036854775808&resourceVersion=0",
        "pods?limit=9223372036854775807&resourceVersion=18446744073709551615",
        "pods?continue=////&limit=-1",
        "pods/main/log?sinceSeconds=-9223372036854775808&tailLines=9223372036854775807",
        "pods/%ff%00%2e%2e%2f",
        "pods?labelSelector=a%20in%20(((&fieldSelector=%5C",
    ] {
        let code = send(&server, "GET", &format!("{BASE}/{path}"), "", Vec::new()).await;
        assert!(code < 500 || code == 504, "{path}: {code}");
    }
    let large = vec![b' '; 4 * 1024 * 1024];
    let code = send(&server, "POST", &format!("{BASE}/pods"), "application/json", large).await;
    assert_eq!(code, 413);
}

const JSON: &str = "application/json";
const JSON_PATCH: &str = "application/json-patch+json";

async fn with_a_map() -> Server {
    let server = Server::new(Options::default()).expect("a server in memory starts");
    let map = json!({"metadata": {"name": "map"}, "data": {"a": "b"}});
    let path = format!("{BASE}/configmaps");
    assert_eq!(send(&server, "POST", &path, JSON, map.to_string().into()).await, 201);
    server
}

#[tokio::test]
async fn the_old_paths_of_watches_change_nothing() {
    let server = with_a_map().await;
    let map = json!({"metadata": {"name": "map"}, "data": {"a": "c"}}).to_string();
    let one = "/api/v1/watch/namespaces/default/configmaps/map";
    let all = "/api/v1/watch/namespaces/default/configmaps";
    for (method, path) in [("PUT", one), ("DELETE", one), ("POST", all), ("DELETE", all)] {
        let code = send(&server, method, path, JSON, map.clone().into()).await;
        assert_eq!(code, 405, "{method} {path}");
    }
    let code = send(&server, "PATCH", one, "application/merge-patch+json", map.into()).await;
    assert_eq!(code, 405);
    let path = format!("{BASE}/configmaps/map");
    assert_eq!(send(&server, "GET", &path, "", Vec::new()).await, 200);
}

#[tokio::test]
async fn no_definition_takes_the_place_of_a_built_in_kind() {
    let server = Server::new(Options::default()).unwrap();
    let definition = json!({
        "metadata": {
            "name": "clusterrolebindings.rbac.authorization.k8s.io",
            "annotations": {"api-approved.kubernetes.io": "unapproved, for once"},
        },
        "spec": {
            "group": "rbac.authorization.k8s.io",
            "scope": "Cluster",
            "names": {"plural": "clusterrolebindings", "singular": "other", "kind": "Other"},
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object"}},
            }],
        },
    });
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    assert_eq!(send(&server, "POST", path, JSON, definition.to_string().into()).await, 422);
}

#[tokio::test]
async fn patches_do_not_grow_without_end() {
    let server = with_a_map().await;
    let path = format!("{BASE}/configmaps/map");
    let mut doubling = vec![json!({"op": "add", "path": "/x", "value": ["a"]})];
    doubling.extend(vec![json!({"op": "copy", "from": "/x", "path": "/x/-"}); 60]);
    let mut nesting = vec![json!({"op": "add", "path": "/x", "value": {}})];
    nesting.extend(vec![json!({"op": "copy", "from": "/x", "path": "/x/a"}); 5000]);
    for patch in [json!(doubling), json!(nesting)] {
        let code = send(&server, "PATCH", &path, JSON_PATCH, patch.to_string().into()).await;
        assert_eq!(code, 422);
    }
}
