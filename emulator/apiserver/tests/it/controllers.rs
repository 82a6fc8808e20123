//! What the cluster does by itself.

use std::time::Duration;

use apiserver::{Options, Server};
use k8s_openapi::api::core::v1::{
    ConfigMap, Event, Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, ServiceAccount,
};
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::conditions::is_deleted;
use kube::runtime::wait::{Condition, await_condition};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn cluster() -> (Server, Client) {
    let server = Server::new(Options::default()).expect("a server in memory starts");
    let client = server.client();
    (server, client)
}

fn object<K: DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).expect("the object is valid")
}

/// Waits for a condition of an object, but not for long.
async fn wait<K>(api: &Api<K>, name: &str, condition: impl Condition<K>) -> Option<K>
where
    K: kube::Resource + Clone + std::fmt::Debug + Send + DeserializeOwned + 'static,
{
    let waiting = await_condition(api.clone(), name, condition);
    let done = tokio::time::timeout(Duration::from_secs(60), waiting).await;
    done.expect("it happens in time").expect("the watch works")
}

async fn config_map(api: &Api<ConfigMap>, name: &str, metadata: Value) -> ConfigMap {
    let mut metadata = metadata;
    metadata["name"] = json!(name);
    let map = object(json!({"metadata": metadata}));
    api.create(&PostParams::default(), &map).await.expect("it can be created")
}

fn owned_by(owner: &ConfigMap, block: bool) -> Value {
    json!({"ownerReferences": [{
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": owner.metadata.name,
        "uid": owner.metadata.uid,
        "blockOwnerDeletion": block,
    }]})
}

fn uid(map: &ConfigMap) -> String {
    map.metadata.uid.clone().expect("the server gives a uid")
}

#[tokio::test]
async fn what_an_object_owned_goes_after_it() {
    let (_server, client) = cluster();
    let api: Api<ConfigMap> = Api::default_namespaced(client);
    let owner = config_map(&api, "owner", json!({})).await;
    let child = config_map(&api, "child", owned_by(&owner, false)).await;
    let grandchild = config_map(&api, "grandchild", owned_by(&child, false)).await;
    api.delete("owner", &DeleteParams::background()).await.unwrap();
    wait(&api, "child", is_deleted(&uid(&child))).await;
    wait(&api, "grandchild", is_deleted(&uid(&grandchild))).await;
}

#[tokio::test]
async fn an_object_whose_owner_never_was_goes_at_once() {
    let (_server, client) = cluster();
    let api: Api<ConfigMap> = Api::default_namespaced(client);
    let owner = config_map(&api, "owner", json!({})).await;
    let references = owned_by(&owner, false);
    api.delete("owner", &DeleteParams::default()).await.unwrap();
    let late = config_map(&api, "late", references).await;
    wait(&api, "late", is_deleted(&uid(&late))).await;
}

#[tokio::test]
async fn a_foreground_deletion_waits_for_the_dependents() {
    let (_server, client) = cluster();
    let api: Api<ConfigMap> = Api::default_namespaced(client);
    let owner = config_map(&api, "owner", json!({})).await;
    let mut held = owned_by(&owner, true);
    held["finalizers"] = json!(["example.com/hold"]);
    let child = config_map(&api, "child", held).await;
    api.delete("owner", &DeleteParams::foreground()).await.unwrap();
    let marked =
        |map: Option<&ConfigMap>| map.is_some_and(|map| map.metadata.deletion_timestamp.is_some());
    wait(&api, "child", marked).await;
    assert!(api.get_opt("owner").await.unwrap().is_some(), "it waits for the child");
    let release = json!({"metadata": {"finalizers": null}});
    api.patch("child", &PatchParams::default(), &Patch::Merge(&release)).await.unwrap();
    wait(&api, "child", is_deleted(&uid(&child))).await;
    wait(&api, "owner", is_deleted(&uid(&owner))).await;
}

#[tokio::test]
async fn a_foreground_deletion_of_several_levels_goes_from_the_leaves_up() {
    let (_server, client) = cluster();
    let api: Api<ConfigMap> = Api::default_namespaced(client);
    let owner = config_map(&api, "owner", json!({})).await;
    let child = config_map(&api, "child", owned_by(&owner, true)).await;
    let mut held = owned_by(&child, true);
    held["finalizers"] = json!(["example.com/hold"]);
    let grandchild = config_map(&api, "grandchild", held).await;
    api.delete("owner", &DeleteParams::foreground()).await.unwrap();
    let marked =
        |map: Option<&ConfigMap>| map.is_some_and(|map| map.metadata.deletion_timestamp.is_some());
    wait(&api, "grandchild", marked).await;
    let waits = api.get("child").await.unwrap().metadata;
    assert_eq!(waits.finalizers.as_deref(), Some(&["foregroundDeletion".to_owned()][..]));
    assert!(api.get_opt("owner").await.unwrap().is_some());
    let release = json!({"metadata": {"finalizers": null}});
    api.patch("grandchild", &PatchParams::default(), &Patch::Merge(&release)).await.unwrap();
    for (name, map) in [("grandchild", &grandchild), ("child", &child), ("owner", &owner)] {
        wait(&api, name, is_deleted(&uid(map))).await;
    }
}

#[tokio::test]
async fn what_has_another_owner_outlives_a_foreground_deletion() {
    let (_server, client) = cluster();
    let api: Api<ConfigMap> = Api::default_namespaced(client);
    let owner = config_map(&api, "owner", json!({})).await;
    let other = config_map(&api, "other", json!({})).await;
    let mut both = owned_by(&owner, true);
    let second = owned_by(&other, true)["ownerReferences"][0].clone();
    both["ownerReferences"].as_array_mut().unwrap().push(second);
    config_map(&api, "shared", both).await;
    api.delete("owner", &DeleteParams::foreground()).await.unwrap();
    wait(&api, "owner", is_deleted(&uid(&owner))).await;
    let shared = api.get("shared").await.unwrap().metadata;
    assert_eq!(shared.owner_references.unwrap()[0].name, "other");
    assert!(shared.deletion_timestamp.is_none());
}

#[tokio::test]
async fn what_does_not_block_does_not_keep_its_owner() {
    let (_server, client) = cluster();
    let api: Api<ConfigMap> = Api::default_namespaced(client);
    let owner = config_map(&api, "owner", json!({})).await;
    let mut held = owned_by(&owner, false);
    held["finalizers"] = json!(["example.com/hold"]);
    config_map(&api, "child", held).await;
    api.delete("owner", &DeleteParams::foreground()).await.unwrap();
    wait(&api, "owner", is_deleted(&uid(&owner))).await;
    let marked =
        |map: Option<&ConfigMap>| map.is_some_and(|map| map.metadata.deletion_timestamp.is_some());
    wait(&api, "child", marked).await;
}

#[tokio::test]
async fn an_owner_in_another_namespace_counts_for_nothing() {
    let (_server, client) = cluster();
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let blue = object(json!({"metadata": {"name": "blue"}}));
    namespaces.create(&PostParams::default(), &blue).await.unwrap();
    let api: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let owner = config_map(&api, "owner", json!({})).await;
    let there: Api<ConfigMap> = Api::namespaced(client.clone(), "blue");
    let child = config_map(&there, "child", owned_by(&owner, false)).await;
    wait(&there, "child", is_deleted(&uid(&child))).await;
    let events: Api<Event> = Api::namespaced(client.clone(), "blue");
    let told = ListParams::default().fields("reason=OwnerRefInvalidNamespace");
    assert_eq!(events.list(&told).await.unwrap().items.len(), 1);
    // Of what is in no namespace nobody can tell, so it stays.
    let mut node: Node = object(json!({"metadata": {"name": "one"}}));
    node.metadata.owner_references = object(owned_by(&owner, false)["ownerReferences"].clone());
    let nodes: Api<Node> = Api::all(client);
    nodes.create(&PostParams::default(), &node).await.unwrap();
    api.delete("owner", &DeleteParams::default()).await.unwrap();
    let last = config_map(&api, "last", owned_by(&owner, false)).await;
    wait(&api, "last", is_deleted(&uid(&last))).await;
    assert!(nodes.get_opt("one").await.unwrap().is_some());
}

#[tokio::test]
async fn a_claim_takes_the_smallest_volume_that_fits_and_keeps_it() {
    let (_server, client) = cluster();
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    for (name, size, class) in [
        ("large", "9Gi", "manual"),
        ("fitting", "2Gi", "manual"),
        ("small", "10Mi", "manual"),
        ("other", "1Gi", "fast"),
    ] {
        let volume = object(json!({
            "metadata": {"name": name},
            "spec": {
                "capacity": {"storage": size},
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": class,
                "hostPath": {"path": "/data"},
            },
        }));
        volumes.create(&PostParams::default(), &volume).await.unwrap();
    }
    let claims: Api<PersistentVolumeClaim> = Api::default_namespaced(client);
    let claim = object(json!({
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "manual",
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }));
    let made = claims.create(&PostParams::default(), &claim).await.unwrap();
    let bound = |claim: Option<&PersistentVolumeClaim>| {
        claim
            .and_then(|claim| claim.status.as_ref())
            .is_some_and(|status| status.phase.as_deref() == Some("Bound"))
    };
    let claim = wait(&claims, "data", bound).await.unwrap();
    assert_eq!(claim.spec.unwrap().volume_name.as_deref(), Some("fitting"));
    volumes.delete("fitting", &DeleteParams::default()).await.unwrap();
    let volume = volumes.get("fitting").await.unwrap();
    assert_eq!(volume.metadata.finalizers.unwrap(), ["kubernetes.io/pv-protection"]);
    claims.delete("data", &DeleteParams::default()).await.unwrap();
    wait(&claims, "data", is_deleted(&made.metadata.uid.unwrap())).await;
    wait(&volumes, "fitting", is_deleted(&volume.metadata.uid.unwrap())).await;
}

#[tokio::test]
async fn an_orphaned_object_stays_and_forgets_its_owner() {
    let (_server, client) = cluster();
    let api: Api<ConfigMap> = Api::default_namespaced(client);
    let owner = config_map(&api, "owner", json!({})).await;
    config_map(&api, "child", owned_by(&owner, false)).await;
    api.delete("owner", &DeleteParams::orphan()).await.unwrap();
    wait(&api, "owner", is_deleted(&uid(&owner))).await;
    let child = api.get("child").await.unwrap();
    assert!(child.metadata.owner_references.is_none());
}

#[tokio::test]
async fn a_namespace_ends_with_all_that_is_in_it() {
    let (_server, client) = cluster();
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let blue = object(json!({"metadata": {"name": "blue"}}));
    let made: Namespace = namespaces.create(&PostParams::default(), &blue).await.unwrap();
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), "blue");
    let accounts: Api<ServiceAccount> = Api::namespaced(client, "blue");
    assert!(accounts.get_opt("default").await.unwrap().is_some());
    let held = config_map(&api, "held", json!({"finalizers": ["example.com/hold"]})).await;
    namespaces.delete("blue", &DeleteParams::default()).await.unwrap();
    let late: ConfigMap = object(json!({"metadata": {"name": "late"}}));
    let refused = api.create(&PostParams::default(), &late).await.unwrap_err();
    assert!(matches!(refused, kube::Error::Api(status) if status.code == 403));
    let marked =
        |map: Option<&ConfigMap>| map.is_some_and(|map| map.metadata.deletion_timestamp.is_some());
    wait(&api, "held", marked).await;
    let release = json!({"metadata": {"finalizers": null}});
    api.patch("held", &PatchParams::default(), &Patch::Merge(&release)).await.unwrap();
    wait(&api, "held", is_deleted(&uid(&held))).await;
    let uid = made.metadata.uid.unwrap();
    wait(&namespaces, "blue", is_deleted(&uid)).await;
    let again = namespaces.create(&PostParams::default(), &blue).await;
    assert!(again.is_ok(), "the name is free again");
}

async fn pod(api: &Api<Pod>, name: &str, spec: Value) -> Pod {
    let mut spec = spec;
    spec["containers"] = json!([{"name": "main", "image": "busybox:1"}]);
    let pod = object(json!({"metadata": {"name": name}, "spec": spec}));
    api.create(&PostParams::default(), &pod).await.expect("it can be created")
}

async fn node(client: &Client, name: &str) {
    let api: Api<Node> = Api::all(client.clone());
    let node = object(json!({
        "metadata": {"name": name, "labels": {"disk": "fast"}},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }));
    api.create(&PostParams::default(), &node).await.expect("it can be created");
}

fn scheduled(pod: Option<&Pod>) -> bool {
    pod.and_then(|pod| pod.spec.as_ref()).is_some_and(|spec| spec.node_name.is_some())
}

#[tokio::test]
async fn pods_wait_for_a_node_that_fits() {
    let (_server, client) = cluster();
    let api: Api<Pod> = Api::default_namespaced(client.clone());
    pod(&api, "early", json!({})).await;
    pod(&api, "picky", json!({"nodeSelector": {"disk": "slow"}})).await;
    node(&client, "one").await;
    let early = wait(&api, "early", scheduled).await.unwrap();
    assert_eq!(early.spec.unwrap().node_name.as_deref(), Some("one"));
    let refused = |pod: Option<&Pod>| {
        pod.and_then(|pod| pod.status.as_ref()?.conditions.as_ref())
            .is_some_and(|all| all.iter().any(|one| one.reason.as_deref() == Some("Unschedulable")))
    };
    wait(&api, "picky", refused).await;
    let events: Api<Event> = Api::default_namespaced(client);
    let told = ListParams::default().fields("reason=FailedScheduling,involvedObject.name=picky");
    let mut found = 0;
    for _ in 0..100 {
        found = events.list(&told).await.unwrap().items.len();
        if found > 0 {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(found, 1);
}

/// Why no node takes a pod, once that was said.
async fn unscheduled(api: &Api<Pod>, name: &str) -> String {
    fn why(pod: Option<&Pod>) -> Option<String> {
        let conditions = pod?.status.as_ref()?.conditions.as_ref()?;
        let refused = |reason: &Option<String>| reason.as_deref() == Some("Unschedulable");
        conditions.iter().find(|one| refused(&one.reason))?.message.clone()
    }
    let pod = wait(api, name, |pod: Option<&Pod>| why(pod).is_some()).await;
    why(pod.as_ref()).expect("it was just told")
}

#[tokio::test]
async fn pods_wait_until_a_node_has_what_they_ask_for() {
    let (_server, client) = cluster();
    let api: Api<Pod> = Api::default_namespaced(client.clone());
    node(&client, "one").await;
    let has = json!({"status": {"allocatable": {"cpu": "2", "memory": "1Gi", "pods": "10"}}});
    let nodes: Api<Node> = Api::all(client);
    nodes.patch_status("one", &PatchParams::default(), &Patch::Merge(&has)).await.unwrap();
    let make = async |name: &str, requests: Value| {
        let containers =
            json!([{"name": "main", "image": "busybox:1", "resources": {"requests": requests}}]);
        let pod = json!({"metadata": {"name": name}, "spec": {"containers": containers}});
        api.create(&PostParams::default(), &object(pod)).await.unwrap();
    };
    make("large", json!({"cpu": "1500m", "memory": "100Mi"})).await;
    wait(&api, "large", scheduled).await;
    make("half", json!({"cpu": "500m"})).await;
    wait(&api, "half", scheduled).await;
    make("more", json!({"cpu": "10m"})).await;
    assert_eq!(unscheduled(&api, "more").await, "0/1 nodes are available: 1 Insufficient cpu.");
    make("wide", json!({"memory": "1Gi"})).await;
    assert_eq!(unscheduled(&api, "wide").await, "0/1 nodes are available: 1 Insufficient memory.");
    make("modest", json!({})).await;
    wait(&api, "modest", scheduled).await;
    api.delete("large", &DeleteParams::default().grace_period(0)).await.unwrap();
    wait(&api, "more", scheduled).await;
    wait(&api, "wide", scheduled).await;
}

#[tokio::test]
async fn a_pod_waits_for_its_claim() {
    let (_server, client) = cluster();
    let api: Api<Pod> = Api::default_namespaced(client.clone());
    node(&client, "one").await;
    let volume = json!({"name": "data", "persistentVolumeClaim": {"claimName": "data"}});
    pod(&api, "main", json!({"volumes": [volume]})).await;
    let expected = "0/1 nodes are available: persistentvolumeclaim \"data\" not found.";
    assert_eq!(unscheduled(&api, "main").await, expected);
    let claim = json!({
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    });
    let claims: Api<PersistentVolumeClaim> = Api::default_namespaced(client);
    claims.create(&PostParams::default(), &object(claim)).await.unwrap();
    wait(&api, "main", scheduled).await;
}

#[tokio::test]
async fn a_pod_with_a_node_goes_when_its_kubelet_says_so() {
    let (_server, client) = cluster();
    let api: Api<Pod> = Api::default_namespaced(client.clone());
    node(&client, "one").await;
    pod(&api, "main", json!({})).await;
    wait(&api, "main", scheduled).await;
    api.delete("main", &DeleteParams::default()).await.unwrap();
    let marked = api.get("main").await.unwrap();
    assert_eq!(marked.metadata.deletion_grace_period_seconds, Some(30));
    api.delete("main", &DeleteParams::default().grace_period(0)).await.unwrap();
    assert!(api.get_opt("main").await.unwrap().is_none());
}

#[tokio::test]
async fn a_claim_is_bound_and_kept_while_a_pod_uses_it() {
    let (_server, client) = cluster();
    let claims: Api<PersistentVolumeClaim> = Api::default_namespaced(client.clone());
    let claim = object(json!({
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "50Mi"}}},
    }));
    let made = claims.create(&PostParams::default(), &claim).await.unwrap();
    let bound = |claim: Option<&PersistentVolumeClaim>| {
        claim
            .and_then(|claim| claim.status.as_ref())
            .is_some_and(|status| status.phase.as_deref() == Some("Bound"))
    };
    wait(&claims, "data", bound).await;
    let pods: Api<Pod> = Api::default_namespaced(client);
    let volumes = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]);
    pod(&pods, "user", json!({"volumes": volumes})).await;
    claims.delete("data", &DeleteParams::default()).await.unwrap();
    assert!(claims.get_opt("data").await.unwrap().is_some(), "a pod uses it");
    pods.delete("user", &DeleteParams::default()).await.unwrap();
    wait(&claims, "data", is_deleted(&made.metadata.uid.unwrap())).await;
}
