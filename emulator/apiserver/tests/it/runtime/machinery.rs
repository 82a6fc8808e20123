//! Discovery, events, apply, subresources, logs: what controllers lean on.

use futures::{AsyncBufReadExt, TryStreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Node, ObjectReference, Pod};
use kube::api::{
    Api, ApiResource, DynamicObject, GroupVersionKind, LogParams, ObjectMeta, Patch, PatchParams,
    PostParams,
};
use kube::discovery::{Discovery, Scope, verbs};
use kube::runtime::events::{EventType, Recorder, Reporter};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Resource, ResourceExt};
use serde_json::json;

use super::{map, server, soon};
use crate::kubectl::Session;

#[tokio::test(flavor = "multi_thread")]
async fn discovery_finds_kinds_that_the_program_does_not_know() {
    let server = server();
    let client = server.client();
    let discovery = Discovery::new(client.clone()).run().await.unwrap();
    let batch = discovery.get("batch").expect("the group is there");
    let (cron, capabilities) = batch.recommended_kind("CronJob").expect("the kind is there");
    assert_eq!((cron.plural.as_str(), &capabilities.scope), ("cronjobs", &Scope::Namespaced));
    assert!(capabilities.supports_operation(verbs::WATCH));
    let aggregated = Discovery::new(client.clone()).run_aggregated().await.unwrap();
    assert!(aggregated.get("batch").is_some_and(|group| group.recommended_kind("Job").is_some()));
    let kind = GroupVersionKind::gvk("", "v1", "ConfigMap");
    let (resource, _) = kube::discovery::pinned_kind(&client, &kind).await.unwrap();
    let api: Api<DynamicObject> = Api::default_namespaced_with(client, &resource);
    let object = DynamicObject::new("dynamic", &ApiResource::erase::<ConfigMap>(&()));
    let made = api.create(&PostParams::default(), &object).await.unwrap();
    assert_eq!(made.types.unwrap().kind, "ConfigMap");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorder_writes_events_and_counts_repeated_ones() {
    let server = server();
    let client = server.client();
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let about = maps.create(&PostParams::default(), &map("one", &[])).await.unwrap();
    let about: ObjectReference = about.object_ref(&());
    let reporter = Reporter { controller: "tester".into(), instance: Some("one".into()) };
    let recorder = Recorder::new(client.clone(), reporter);
    let event = kube::runtime::events::Event {
        type_: EventType::Normal,
        reason: "Noticed".into(),
        note: Some("it was noticed".into()),
        action: "Noticing".into(),
        secondary: None,
    };
    recorder.publish(&event, &about).await.unwrap();
    recorder.publish(&event, &about).await.unwrap();
    let events: Api<Event> = Api::default_namespaced(client);
    let list = events.list(&Default::default()).await.unwrap();
    let [event] = list.items.as_slice() else { panic!("{} events", list.items.len()) };
    assert_eq!(event.involved_object.name.as_deref(), Some("one"));
    assert_eq!(event.message.as_deref(), Some("it was noticed"));
    assert_eq!(event.reporting_component.as_deref(), Some("tester"));
    assert_eq!(event.series.as_ref().and_then(|series| series.count), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn managers_share_an_object_by_apply_and_are_told_of_conflicts() {
    let server = server();
    let maps: Api<ConfigMap> = Api::default_namespaced(server.client());
    let apply = |name| PatchParams::apply(name);
    maps.patch("one", &apply("a"), &Patch::Apply(map("one", &[("x", "1")]))).await.unwrap();
    maps.patch("one", &apply("b"), &Patch::Apply(map("one", &[("y", "1")]))).await.unwrap();
    let refused = maps.patch("one", &apply("b"), &Patch::Apply(map("one", &[("x", "2")]))).await;
    assert!(matches!(&refused, Err(kube::Error::Api(status)) if status.code == 409), "{refused:?}");
    let forced = Patch::Apply(map("one", &[("x", "2")]));
    let forced = maps.patch("one", &apply("b").force(), &forced).await.unwrap();
    // What a manager leaves out of its next apply is gone, unless somebody else has it.
    assert_eq!(forced.data.unwrap().into_iter().collect::<Vec<_>>(), [("x".into(), "2".into())]);
    let owners = forced.metadata.managed_fields.unwrap();
    assert!(owners.iter().all(|entry| entry.manager.as_deref() == Some("b")), "{owners:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_and_the_scale_have_paths_of_their_own() {
    let server = server();
    let client = server.client();
    let nodes: Api<Node> = Api::all(client.clone());
    let metadata = ObjectMeta { name: Some("n".to_owned()), ..ObjectMeta::default() };
    nodes.create(&PostParams::default(), &Node { metadata, ..Node::default() }).await.unwrap();
    let patch = Patch::Merge(json!({"status": {"phase": "Running"}, "spec": {"podCIDR": "x"}}));
    let node = nodes.patch_status("n", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(node.status.unwrap().phase.as_deref(), Some("Running"));
    assert_eq!(node.spec.unwrap_or_default().pod_cidr, None);
    let status = nodes.get_status("n").await.unwrap();
    assert_eq!(status.name_any(), "n");

    let deployments: Api<Deployment> = Api::default_namespaced(client);
    let deployment: Deployment = serde_json::from_value(json!({
        "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "main", "image": "server:1"}]},
            },
        },
    }))
    .unwrap();
    deployments.create(&PostParams::default(), &deployment).await.unwrap();
    let scale = Patch::Merge(json!({"spec": {"replicas": 3}}));
    let scale = deployments.patch_scale("web", &PatchParams::default(), &scale).await.unwrap();
    assert_eq!(scale.spec.unwrap().replicas, Some(3));
    let scaled = deployments.get("web").await.unwrap();
    assert_eq!(scaled.spec.unwrap().replicas, Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_streamed_while_the_pod_runs() {
    let session = Session::start(true).await;
    let pods: Api<Pod> = Api::default_namespaced(session.server.client());
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "main"},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "counter:1"}]},
    }))
    .unwrap();
    pods.create(&PostParams::default(), &pod).await.unwrap();
    let started = |pod: Option<&Pod>| {
        let status = pod.and_then(|pod| pod.status.as_ref());
        matches!(status.and_then(|status| status.phase.as_deref()), Some("Running" | "Succeeded"))
    };
    soon("the start", await_condition(pods.clone(), "main", started)).await.unwrap();
    let follow = LogParams { follow: true, ..LogParams::default() };
    let lines = pods.log_stream("main", &follow).await.unwrap().lines();
    let lines: Vec<String> = soon("the end of the log", lines.try_collect()).await.unwrap();
    assert_eq!(lines, ["simulated: counter:1", "one", "two", "three"]);
    let uid = pods.get("main").await.unwrap().uid().unwrap();
    pods.delete("main", &Default::default()).await.unwrap();
    let gone = conditions::is_deleted(&uid);
    soon("the end of the pod", await_condition(pods, "main", gone)).await.unwrap();
}
