//! Watches that are interrupted, and stores that follow them.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, PostParams, WatchEvent, WatchParams};
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{WatchStreamExt, predicates, reflector, watcher};

use super::{map, server, soon};

/// What a store holds, without what every namespace has.
fn names(store: &reflector::Store<ConfigMap>) -> BTreeSet<String> {
    store.state().iter().map(|one| one.name_any()).filter(|name| name.len() < 4).collect()
}

/// A watch is dropped, and its history forgotten, between writes: the store has it all in the end.
async fn survives(config: watcher::Config) {
    let server = server();
    let api: Api<ConfigMap> = Api::default_namespaced(server.client());
    let (store, writer) = reflector::store();
    let stream = watcher(api.clone(), config).default_backoff().reflect(writer);
    let following = tokio::spawn(stream.for_each(|_| std::future::ready(())));
    soon("the first list", store.wait_until_ready()).await.expect("the store lives");
    let mut expected = BTreeSet::new();
    for round in 0..12 {
        match round % 4 {
            1 => server.faults().drop_watches(),
            2 => server.compact(),
            3 => {
                server.faults().drop_watches();
                server.compact();
            }
            _ => {}
        }
        let name = format!("n{round}");
        let made = api.create(&PostParams::default(), &map(&name, &[])).await;
        made.expect("it is new");
        expected.insert(name);
        if round % 3 == 2 {
            let old = format!("n{}", round - 1);
            api.delete(&old, &DeleteParams::default()).await.expect("it is there");
            expected.remove(&old);
        }
    }
    let same = async {
        while names(&store) != expected {
            tokio::task::yield_now().await;
        }
    };
    soon("everything in the store", same).await;
    assert!(store.get(&ObjectRef::new("n0").within("default")).is_some());
    following.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_survives_watches_that_end_and_a_history_that_is_gone() {
    survives(watcher::Config::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_lists_by_watching_survives_as_well() {
    survives(watcher::Config::default().streaming_lists()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_lists_in_pages_survives_as_well() {
    survives(watcher::Config::default().page_size(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_that_overflows_is_a_410_and_the_list_after_it_is_whole() {
    let options = apiserver::Options { history: 50, ..apiserver::Options::default() };
    let server = apiserver::Server::new(options).unwrap();
    let api: Api<ConfigMap> = Api::default_namespaced(server.client());
    let first = api.create(&PostParams::default(), &map("first", &[])).await.unwrap();
    let start = first.resource_version().unwrap();
    for number in 0..60 {
        api.create(&PostParams::default(), &map(&format!("n{number}"), &[])).await.unwrap();
    }
    let watch = api.watch(&WatchParams::default(), &start).await.unwrap();
    let events: Vec<WatchEvent<ConfigMap>> =
        soon("the end of the watch", watch.try_collect()).await.unwrap();
    let [WatchEvent::Error(status)] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((status.code, status.reason.as_str()), (410, "Expired"));

    let list = api.list(&Default::default()).await.unwrap();
    let listed = list.items.iter().filter(|one| one.name_any().starts_with('n')).count();
    assert_eq!(listed, 60);
    let version = list.metadata.resource_version.unwrap();
    api.create(&PostParams::default(), &map("last", &[])).await.unwrap();
    let watch = api.watch(&WatchParams::default(), &version).await.unwrap();
    let mut watch = std::pin::pin!(watch);
    let next = soon("the next event", watch.try_next()).await.unwrap().unwrap();
    assert!(matches!(&next, WatchEvent::Added(one) if one.name_any() == "last"), "{next:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_alone_is_watched() {
    let server = server();
    let api: Api<ConfigMap> = Api::default_namespaced(server.client());
    api.create(&PostParams::default(), &map("one", &[("a", "1")])).await.unwrap();
    let config = watcher::Config::default().fields("metadata.name=one");
    let partial: Api<PartialObjectMeta<ConfigMap>> = Api::default_namespaced(server.client());
    let stream = watcher(partial, config)
        .applied_objects()
        .predicate_filter(predicates::labels, Default::default());
    let mut stream = std::pin::pin!(stream);
    let seen = soon("the metadata", stream.try_next()).await.unwrap().unwrap();
    assert_eq!(seen.name_any(), "one");
    let label = serde_json::json!({"metadata": {"labels": {"seen": "yes"}}});
    let patch = kube::api::Patch::Merge(label);
    let changed = api.patch_metadata("one", &Default::default(), &patch).await.unwrap();
    assert_eq!(changed.labels()["seen"], "yes");
    let seen = soon("the change", stream.try_next()).await.unwrap().unwrap();
    assert_eq!(seen.labels()["seen"], "yes");
}
