//! Custom resources: their definitions, their schemas, their versions, their end.

use std::time::Duration;

use apiserver::{Options, Server};
use futures::{StreamExt, TryStreamExt};
use http::Request;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, WatchEvent, WatchParams};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::kubectl::{Session, minor};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const BOXES: &str = "/apis/example.com/v1/namespaces/default/boxes";

fn server() -> (Server, Client) {
    let server = Server::new(Options::default()).expect("a server in memory starts");
    let client = server.client();
    (server, client)
}

/// A definition of boxes with these properties of the spec.
fn boxes(spec: &Value) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "boxes.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "boxes", "kind": "Box", "shortNames": ["bx"]},
            "versions": [version("v1", true, spec)],
        },
    })
}

fn version(name: &str, storage: bool, spec: &Value) -> Value {
    json!({
        "name": name,
        "served": true,
        "storage": storage,
        "subresources": {
            "status": {},
            "scale": {"specReplicasPath": ".spec.count", "statusReplicasPath": ".status.count"},
        },
        "selectableFields": [{"jsonPath": ".spec.color"}],
        "additionalPrinterColumns": [
            {"name": "Color", "type": "string", "jsonPath": ".spec.color"},
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        ],
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {
            "spec": {"type": "object", "properties": spec},
            "status": {"type": "object", "properties": {"count": {"type": "integer"}}},
        }}},
    })
}

fn plain() -> Value {
    json!({
        "color": {"type": "string", "default": "red"},
        "count": {"type": "integer", "maximum": 10},
        "parts": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string"}, "size": {"type": "integer"}},
            },
        },
    })
}

fn a_box(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Box", "metadata": {"name": name}, "spec": spec})
}

/// Sends a request; gives the code and the body.
async fn send(client: &Client, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
    send_as(client, method, path, body, "application/json").await
}

async fn send_as(
    client: &Client,
    method: &str,
    path: &str,
    body: Option<&Value>,
    media: &str,
) -> (u16, Value) {
    let bytes = body.map(Value::to_string).unwrap_or_default().into_bytes();
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", media)
        .body(kube::client::Body::from(bytes))
        .expect("a request can be made");
    let response = client.send(request).await.expect("an answer comes");
    let code = response.status().as_u16();
    let bytes = response.into_body().collect_bytes().await.expect("the answer is whole");
    (code, serde_json::from_slice(&bytes).unwrap_or_default())
}

async fn made(client: &Client, path: &str, body: &Value) -> Value {
    let (code, answer) = send(client, "POST", path, Some(body)).await;
    assert_eq!(code, 201, "{answer}");
    answer
}

async fn gone(client: &Client, path: &str) {
    let end = Instant::now() + Duration::from_secs(30);
    while send(client, "GET", path, None).await.0 != 404 {
        assert!(Instant::now() < end, "{path} stays");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_definition_is_served_when_it_has_been_made() {
    let (_server, client) = server();
    made(&client, DEFINITIONS, &boxes(&plain())).await;
    let written = made(&client, BOXES, &a_box("a", json!({"count": 1, "extra": 1}))).await;
    assert_eq!(written["spec"], json!({"color": "red", "count": 1}), "pruned and defaulted");
    assert_eq!(written["metadata"]["generation"], 1);
    let (_, list) = send(&client, "GET", BOXES, None).await;
    assert_eq!(list["kind"], "BoxList");
    assert_eq!(list["items"][0]["kind"], "Box");
    let (_, groups) = send(&client, "GET", "/apis", None).await;
    assert_eq!(groups["groups"].as_array().unwrap().last().unwrap()["name"], "example.com");
    let (_, resources) = send(&client, "GET", "/apis/example.com/v1", None).await;
    assert_eq!(resources["resources"][0]["shortNames"], json!(["bx"]));
    assert_eq!(resources["resources"][1]["name"], "boxes/status");
}

#[tokio::test]
async fn values_that_do_not_fit_are_refused() {
    let (_server, client) = server();
    made(&client, DEFINITIONS, &boxes(&plain())).await;
    let (code, answer) =
        send(&client, "POST", BOXES, Some(&a_box("a", json!({"count": 11})))).await;
    assert_eq!(code, 422);
    assert_eq!(
        answer["message"],
        "Box.example.com \"a\" is invalid: spec.count: Invalid value: 11: spec.count in body should be less than or equal to 10"
    );
    let twice = json!({"parts": [{"name": "x"}, {"name": "x"}]});
    let (code, _) = send(&client, "POST", BOXES, Some(&a_box("a", twice))).await;
    assert_eq!(code, 422);
    let (code, answer) = send_as(
        &client,
        "PATCH",
        &format!("{BOXES}/a"),
        Some(&json!({})),
        "application/strategic-merge-patch+json",
    )
    .await;
    assert_eq!(code, 415, "{answer}");
    assert!(answer["message"].as_str().unwrap().contains("application/merge-patch+json"));
}

#[tokio::test]
async fn status_and_scale_have_paths_of_their_own() {
    let (_server, client) = server();
    made(&client, DEFINITIONS, &boxes(&plain())).await;
    let mut one = a_box("a", json!({"count": 2}));
    one["status"] = json!({"count": 9});
    let written = made(&client, BOXES, &one).await;
    assert!(written.get("status").is_none(), "a create sets no status");
    let path = format!("{BOXES}/a/status");
    let patch = json!({"status": {"count": 1}, "spec": {"count": 5}});
    let (_, patched) =
        send_as(&client, "PATCH", &path, Some(&patch), "application/merge-patch+json").await;
    assert_eq!((&patched["status"]["count"], &patched["spec"]["count"]), (&json!(1), &json!(2)));
    assert_eq!(patched["metadata"]["generation"], 1);
    let path = format!("{BOXES}/a/scale");
    let (_, scale) = send(&client, "GET", &path, None).await;
    assert_eq!((&scale["spec"]["replicas"], &scale["status"]["replicas"]), (&json!(2), &json!(1)));
    let patch = json!({"spec": {"replicas": 4}});
    send_as(&client, "PATCH", &path, Some(&patch), "application/merge-patch+json").await;
    let (_, after) = send(&client, "GET", &format!("{BOXES}/a"), None).await;
    assert_eq!(after["spec"]["count"], 4);
    assert_eq!(after["metadata"]["generation"], 2);
}

#[tokio::test]
async fn lists_with_keys_merge_by_them() {
    let (_server, client) = server();
    made(&client, DEFINITIONS, &boxes(&plain())).await;
    let path = |manager: &str| format!("{BOXES}/a?fieldManager={manager}");
    for (manager, part) in [("one", "x"), ("two", "y")] {
        let applied = a_box("a", json!({"parts": [{"name": part, "size": 1}]}));
        let media = "application/apply-patch+yaml";
        let (code, answer) = send_as(&client, "PATCH", &path(manager), Some(&applied), media).await;
        assert!(code < 300, "{answer}");
    }
    let (_, after) = send(&client, "GET", &format!("{BOXES}/a"), None).await;
    let names: Vec<&Value> =
        after["spec"]["parts"].as_array().unwrap().iter().map(|part| &part["name"]).collect();
    assert_eq!(names, ["x", "y"]);
}

#[tokio::test]
async fn a_list_is_narrowed_by_the_fields_of_the_definition() {
    let (_server, client) = server();
    made(&client, DEFINITIONS, &boxes(&plain())).await;
    made(&client, BOXES, &a_box("a", json!({}))).await;
    made(&client, BOXES, &a_box("b", json!({"color": "blue"}))).await;
    let path = format!("{BOXES}?fieldSelector=spec.color%3Dblue");
    let (_, list) = send(&client, "GET", &path, None).await;
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    let path = format!("{BOXES}?fieldSelector=spec.count%3D1");
    let (code, answer) = send(&client, "GET", &path, None).await;
    assert_eq!((code, &answer["message"]), (400, &json!("field label not supported: spec.count")));
}

#[tokio::test]
async fn each_version_shows_what_its_schema_knows() {
    let (_server, client) = server();
    let mut definition = boxes(&json!({"color": {"type": "string"}}));
    let second = version(
        "v2",
        false,
        &json!({
            "color": {"type": "string"},
            "shape": {"type": "string", "default": "square"},
        }),
    );
    definition["spec"]["versions"].as_array_mut().unwrap().push(second);
    made(&client, DEFINITIONS, &definition).await;
    made(&client, BOXES, &a_box("a", json!({"color": "red"}))).await;
    let newer = BOXES.replace("v1", "v2");
    let (_, seen) = send(&client, "GET", &format!("{newer}/a"), None).await;
    assert_eq!(seen["apiVersion"], "example.com/v2");
    assert_eq!(seen["spec"], json!({"color": "red", "shape": "square"}));
    let (_, seen) = send(&client, "GET", &format!("{BOXES}/a"), None).await;
    assert_eq!(seen["spec"], json!({"color": "red"}));
}

#[tokio::test]
async fn a_deleted_definition_takes_its_objects_and_ends_their_watches() {
    let (_server, client) = server();
    made(&client, DEFINITIONS, &boxes(&plain())).await;
    let one = made(&client, BOXES, &a_box("a", json!({}))).await;
    let kind = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("example.com", "v1", "Box"),
        "boxes",
    );
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), "default", &kind);
    let version = one["metadata"]["resourceVersion"].as_str().unwrap();
    let watch = api.watch(&WatchParams::default(), version).await.unwrap();
    let mut watch = Box::pin(watch);
    let path = format!("{DEFINITIONS}/boxes.example.com");
    let (code, marked) = send(&client, "DELETE", &path, None).await;
    assert_eq!(code, 200);
    assert_eq!(marked["metadata"]["finalizers"][0], "customresourcecleanup.apiextensions.k8s.io");
    let last = timeout(Duration::from_secs(30), async {
        let mut last = None;
        while let Some(event) = watch.try_next().await.unwrap() {
            last = Some(event);
        }
        last
    });
    let last = last.await.expect("the watch ends");
    assert!(matches!(last, Some(WatchEvent::Deleted(_))), "{last:?}");
    drop(watch.next());
    gone(&client, &path).await;
    assert_eq!(send(&client, "GET", BOXES, None).await.0, 404);
}

#[tokio::test]
async fn objects_go_with_their_owner_and_with_their_namespace() {
    let (_server, client) = server();
    made(&client, DEFINITIONS, &boxes(&plain())).await;
    let owner = made(&client, BOXES, &a_box("owner", json!({}))).await;
    let mut owned = a_box("owned", json!({}));
    owned["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "example.com/v1",
        "kind": "Box",
        "name": "owner",
        "uid": owner["metadata"]["uid"],
    }]);
    made(&client, BOXES, &owned).await;
    send(&client, "DELETE", &format!("{BOXES}/owner"), None).await;
    gone(&client, &format!("{BOXES}/owned")).await;
    let namespace = json!({"metadata": {"name": "other"}});
    made(&client, "/api/v1/namespaces", &namespace).await;
    let there = BOXES.replace("default", "other");
    made(&client, &there, &a_box("a", json!({}))).await;
    send(&client, "DELETE", "/api/v1/namespaces/other", None).await;
    gone(&client, "/api/v1/namespaces/other").await;
    let (_, list) = send(&client, "GET", "/apis/example.com/v1/boxes", None).await;
    assert_eq!(list["items"].as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn a_name_that_is_taken_is_accepted_when_it_is_free() {
    let (_server, client) = server();
    made(&client, DEFINITIONS, &boxes(&plain())).await;
    let mut other = boxes(&plain());
    other["metadata"]["name"] = json!("crates.example.com");
    other["spec"]["names"]["plural"] = json!("crates");
    made(&client, DEFINITIONS, &other).await;
    let path = format!("{DEFINITIONS}/crates.example.com");
    let (_, seen) = send(&client, "GET", &path, None).await;
    let accepted = |seen: &Value| {
        let conditions = seen["status"]["conditions"].as_array().unwrap().clone();
        conditions.into_iter().find(|one| one["type"] == "NamesAccepted").unwrap()
    };
    assert_eq!(accepted(&seen)["status"], "False");
    assert_eq!(send(&client, "GET", "/apis/example.com/v1/crates", None).await.0, 404);
    send(&client, "DELETE", &format!("{DEFINITIONS}/boxes.example.com"), None).await;
    let end = Instant::now() + Duration::from_secs(30);
    while send(&client, "GET", "/apis/example.com/v1/crates", None).await.0 != 200 {
        assert!(Instant::now() < end, "the name stays taken");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn definitions_are_served_again_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let options = || Options { state: Some(folder.path().to_owned()), ..Options::default() };
    {
        let server = Server::new(options()).unwrap();
        let client = server.client();
        made(&client, DEFINITIONS, &boxes(&plain())).await;
        made(&client, BOXES, &a_box("a", json!({"color": "blue"}))).await;
    }
    let server = super::state::restarted(&folder).await;
    let (code, seen) = send(&server.client(), "GET", &format!("{BOXES}/a"), None).await;
    assert_eq!((code, &seen["spec"]["color"]), (200, &json!("blue")));
}

#[tokio::test]
async fn hostile_schemas_are_refused() {
    let (_server, client) = server();
    let mut deep = json!({"type": "string"});
    for _ in 0..90 {
        deep = json!({"type": "object", "properties": {"a": deep}});
    }
    let huge = "(a{1000}){1000}";
    let loops = json!([{"rule": "self.all("}]);
    for (what, wanted, schema) in [
        ("deep", 400, deep),
        ("huge", 422, json!({"type": "string", "pattern": huge})),
        ("rule", 422, json!({"type": "object", "x-kubernetes-validations": loops})),
        ("open", 422, json!({"type": "object", "oneOf": [{"type": "object"}]})),
    ] {
        let (code, answer) =
            send(&client, "POST", DEFINITIONS, Some(&boxes(&json!({"x": schema})))).await;
        assert_eq!(code, wanted, "{what}: {answer}");
    }
}

/// Runs kubectl; gives whether it succeeded and what it printed.
async fn kubectl(session: &Session, arguments: &str) -> (bool, String) {
    let mut command = session.folder.command("kubectl");
    let running = command.args(arguments.split(' ')).output();
    let output = timeout(Duration::from_secs(120), running).await.expect("kubectl ends");
    let output = output.expect("kubectl runs");
    let printed = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&printed).into_owned())
}

async fn ran(session: &Session, arguments: &str) -> String {
    let (good, printed) = kubectl(session, arguments).await;
    assert!(good, "kubectl {arguments}: {printed}");
    printed
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_works_with_custom_resources() {
    if minor().await.is_none() {
        println!("skipped: there is no kubectl on PATH");
        return;
    }
    let session = Session::start(false).await;
    let folder = tempfile::tempdir().expect("a folder can be made");
    let write = |name: &str, value: &Value| {
        let file = folder.path().join(name);
        std::fs::write(&file, value.to_string()).expect("a file can be written");
        file.display().to_string()
    };
    let definition = write("definition.json", &boxes(&plain()));
    let file = write("box.json", &a_box("a", json!({"count": 3})));
    ran(&session, &format!("apply -f {definition}")).await;
    let wait = "wait --for=condition=established crd/boxes.example.com --timeout=60s";
    ran(&session, wait).await;
    ran(&session, &format!("apply -f {file}")).await;
    write("box.json", &a_box("a", json!({"count": 4, "color": "blue"})));
    assert!(ran(&session, &format!("apply -f {file}")).await.contains("configured"));
    let table = ran(&session, "get bx").await;
    assert!(table.contains("COLOR") && table.contains("blue"), "{table}");
    ran(&session, "wait --for=jsonpath={.spec.count}=4 box/a --timeout=60s").await;
    let explained = ran(&session, "explain box.spec").await;
    assert!(explained.contains("color") && explained.contains("<string>"), "{explained}");
    let listed = ran(&session, "api-resources --api-group=example.com").await;
    assert!(listed.contains("boxes"), "{listed}");
    ran(&session, "scale box a --replicas=5").await;
    assert_eq!(ran(&session, "get box a -o jsonpath={.spec.count}").await, "5");
    ran(&session, &format!("apply --server-side --force-conflicts -f {file}")).await;
    let refused = "patch box a --type=merge -p {\"spec\":{\"count\":99}}";
    let (good, printed) = kubectl(&session, refused).await;
    assert!(!good && printed.contains("less than or equal to 10"), "{printed}");
    ran(&session, "delete crd boxes.example.com --timeout=60s").await;
    assert!(!kubectl(&session, "get boxes").await.0);
}
