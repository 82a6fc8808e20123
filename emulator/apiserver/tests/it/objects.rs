//! Objects through the in-process client.

use std::collections::BTreeMap;

use apiserver::{Fault, Options, Server};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{
    Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams, WatchEvent,
    WatchParams,
};
use serde_json::json;

fn config_map(name: &str, color: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.into()),
            labels: Some(BTreeMap::from([("color".into(), color.into())])),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([("color".into(), color.into())])),
        ..ConfigMap::default()
    }
}

fn config_maps() -> (Server, Api<ConfigMap>) {
    let server = Server::new(Options::default()).expect("a server in memory starts");
    let api = Api::default_namespaced(server.client());
    (server, api)
}

fn code(error: kube::Error) -> u16 {
    match error {
        kube::Error::Api(status) => status.code,
        other => panic!("not an answer: {other}"),
    }
}

#[tokio::test]
async fn an_object_is_created_read_changed_and_deleted() {
    let (_server, api) = config_maps();
    let made = api.create(&PostParams::default(), &config_map("a", "red")).await.unwrap();
    assert!(made.metadata.uid.is_some());
    let again = api.create(&PostParams::default(), &config_map("a", "red")).await;
    assert_eq!(code(again.unwrap_err()), 409);
    let patch = json!({"data": {"color": "blue"}});
    let patched = api.patch("a", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    assert_eq!(patched.data.unwrap()["color"], "blue");
    let stale = api.replace("a", &PostParams::default(), &made).await;
    assert_eq!(code(stale.unwrap_err()), 409);
    api.delete("a", &DeleteParams::default()).await.unwrap();
    assert!(api.get_opt("a").await.unwrap().is_none());
}

#[tokio::test]
async fn a_write_that_changes_nothing_keeps_the_version() {
    let (_server, api) = config_maps();
    let made = api.create(&PostParams::default(), &config_map("a", "red")).await.unwrap();
    let patch = json!({"data": {"color": "red"}});
    let patched = api.patch("a", &PatchParams::default(), &Patch::Strategic(&patch)).await.unwrap();
    assert_eq!(made.metadata.resource_version, patched.metadata.resource_version);
}

#[tokio::test]
async fn a_list_is_narrowed_by_labels_and_fields_and_comes_in_pages() {
    let (_server, api) = config_maps();
    for (name, color) in [("a", "red"), ("b", "blue"), ("c", "red")] {
        api.create(&PostParams::default(), &config_map(name, color)).await.unwrap();
    }
    let names = |list: kube::api::ObjectList<ConfigMap>| -> Vec<String> {
        list.items.into_iter().filter_map(|one| one.metadata.name).collect()
    };
    let red = ListParams::default().labels("color in (red, green)");
    assert_eq!(names(api.list(&red).await.unwrap()), ["a", "c"]);
    let one = ListParams::default().fields("metadata.name=b");
    assert_eq!(names(api.list(&one).await.unwrap()), ["b"]);
    let colored = ListParams::default().labels("color").limit(2);
    let first = api.list(&colored).await.unwrap();
    let token = first.metadata.continue_.clone().unwrap();
    assert_eq!(names(first), ["a", "b"]);
    api.delete("c", &DeleteParams::default()).await.unwrap();
    let second = api.list(&colored.continue_token(&token)).await.unwrap();
    assert_eq!(names(second), ["c"], "a page shows the list as it was when it began");
}

#[tokio::test]
async fn a_watch_tells_what_changed_since_a_version() {
    let (_server, api) = config_maps();
    let start = api.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    api.create(&PostParams::default(), &config_map("a", "red")).await.unwrap();
    let watch = api.watch(&WatchParams::default().labels("color=red"), &start).await.unwrap();
    let mut watch = watch.boxed();
    let first = watch.try_next().await.unwrap().unwrap();
    assert!(matches!(first, WatchEvent::Added(_)));
    let patch = json!({"metadata": {"labels": {"color": "blue"}}});
    api.patch("a", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    let second = watch.try_next().await.unwrap().unwrap();
    assert!(matches!(second, WatchEvent::Deleted(_)), "it left the selection");
}

#[tokio::test]
async fn a_watch_from_forgotten_history_is_answered_410() {
    let (server, api) = config_maps();
    let start = api.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    api.create(&PostParams::default(), &config_map("a", "red")).await.unwrap();
    server.compact();
    let mut watch = api.watch(&WatchParams::default(), &start).await.unwrap().boxed();
    match watch.try_next().await.unwrap().unwrap() {
        WatchEvent::Error(status) => assert_eq!(status.code, 410),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn string_data_of_a_secret_becomes_data_and_types_select() {
    let (server, _) = config_maps();
    let api: Api<Secret> = Api::default_namespaced(server.client());
    let secret = serde_json::from_value(json!({
        "metadata": {"name": "s"}, "type": "example.com/build", "stringData": {"a": "b"},
    }))
    .unwrap();
    let made = api.create(&PostParams::default(), &secret).await.unwrap();
    assert_eq!(made.data.unwrap()["a"].0, b"b");
    let list = api.list(&ListParams::default().fields("type=example.com/build")).await.unwrap();
    assert_eq!(list.items.len(), 1);
    let unknown = api.list(&ListParams::default().fields("data=1")).await;
    assert_eq!(code(unknown.unwrap_err()), 400);
}

#[tokio::test]
async fn a_laid_fault_answers_once_before_or_after_the_write() {
    let (server, api) = config_maps();
    server.faults().lay(Fault::next("POST", "/configmaps", 500));
    let refused = api.create(&PostParams::default(), &config_map("a", "red")).await;
    assert_eq!(code(refused.unwrap_err()), 500);
    assert!(api.get_opt("a").await.unwrap().is_none());
    let after = Fault { when: apiserver::When::After, ..Fault::next("POST", "/configmaps", 504) };
    server.faults().lay(after);
    let lost = api.create(&PostParams::default(), &config_map("a", "red")).await;
    assert_eq!(code(lost.unwrap_err()), 504);
    assert!(api.get_opt("a").await.unwrap().is_some(), "the write was carried out");
}

#[tokio::test]
async fn an_apply_creates_then_merges_and_reports_conflicts() {
    let (_server, api) = config_maps();
    let one = PatchParams::apply("one");
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"x": "1"}});
    api.patch("a", &one, &Patch::Apply(&object)).await.unwrap();
    let other = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"x": "2"}});
    let refused = api.patch("a", &PatchParams::apply("two"), &Patch::Apply(&other)).await;
    assert_eq!(code(refused.unwrap_err()), 409);
    let forced =
        api.patch("a", &PatchParams::apply("two").force(), &Patch::Apply(&other)).await.unwrap();
    assert_eq!(forced.data.unwrap()["x"], "2");
}

#[tokio::test]
async fn an_event_is_the_same_object_in_both_groups() {
    use k8s_openapi::api::{core, events};
    let (server, _) = config_maps();
    let new: Api<events::v1::Event> = Api::default_namespaced(server.client());
    let event = serde_json::from_value(json!({
        "metadata": {"name": "e"},
        "regarding": {"kind": "Pod", "name": "p", "namespace": "default"},
        "note": "hello", "reason": "Said", "type": "Normal", "action": "Say",
        "reportingController": "example.com/test", "reportingInstance": "here",
        "eventTime": "2026-01-02T03:04:05.000006Z",
    }))
    .unwrap();
    new.create(&PostParams::default(), &event).await.unwrap();
    let old: Api<core::v1::Event> = Api::default_namespaced(server.client());
    let list = old.list(&ListParams::default().fields("involvedObject.name=p")).await.unwrap();
    assert_eq!(list.items[0].message.as_deref(), Some("hello"));
    let patch = json!({"note": "bye"});
    new.patch("e", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    assert_eq!(old.get("e").await.unwrap().message.as_deref(), Some("bye"));
    let list = new.list(&ListParams::default().fields("regarding.name=p")).await.unwrap();
    assert_eq!(list.items[0].note.as_deref(), Some("bye"));
}
