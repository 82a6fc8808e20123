//! Tests of what is sent to a cluster, and of what becomes of its faults.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use apiserver::{Fault, Options, Server, When};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tower::ServiceExt;

use super::*;
use crate::event::{Event, Identity};
use crate::project::values;

#[tokio::test]
async fn a_project_is_found_by_its_name_and_by_its_id() {
    let (_server, cluster) = cluster();
    cluster.put_project(&project()).await.unwrap();
    cluster.put_project(&project()).await.unwrap();
    for name in ["acme/app", &project().id] {
        assert_eq!(cluster.project(name).await.unwrap().unwrap().name, "acme/app");
    }
    assert!(cluster.project("acme/other").await.unwrap().is_none());
}

#[tokio::test]
async fn a_secret_that_is_no_project_is_not_found() {
    let (_server, cluster) = cluster();
    let secret = Secret { type_: Some("Opaque".into()), ..project().secret() };
    cluster.create("default", &secret).await.unwrap();
    assert!(cluster.project("acme/app").await.unwrap().is_none());
}

#[tokio::test]
async fn a_build_is_made_once() {
    let (_server, cluster) = cluster();
    let build = build();
    let Creation::Made(made) = cluster.create_build(&build).await.unwrap() else { panic!() };
    assert!(made.owner().is_some());
    cluster.accept(&made, &[("a".to_owned(), "b".to_owned())].into()).await.unwrap();
    let Creation::Exists(exists) = cluster.create_build(&build).await.unwrap() else { panic!() };
    assert_eq!((exists.id, exists.uid.clone(), exists.accepted), (made.id, made.uid, true));
    assert_eq!(exists.annotations["a"], "b");
    assert_eq!(cluster.builds("default").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_busy_cluster_is_asked_again() {
    let (server, cluster) = cluster();
    for code in [500, 429, 503] {
        server.faults().lay(Fault::next("POST", "/secrets", code));
    }
    tokio::time::pause();
    assert!(matches!(cluster.create_build(&build()).await.unwrap(), Creation::Made(_)));
}

#[tokio::test]
async fn a_build_whose_answer_was_lost_is_found_again() {
    let (server, cluster) = cluster();
    server.faults().lay(Fault { when: When::After, ..Fault::next("POST", "/secrets", 504) });
    tokio::time::pause();
    let Creation::Exists(build) = cluster.create_build(&build()).await.unwrap() else { panic!() };
    assert!(build.uid.is_some() && !build.accepted);
}

#[tokio::test]
async fn a_cluster_is_not_asked_beyond_the_deadline() {
    let (server, cluster) = cluster();
    server.faults().lay(Fault { times: u32::MAX, ..Fault::next("", "", 503) });
    tokio::time::pause();
    let start = Instant::now();
    let cluster = cluster.with_deadline(start + Duration::from_secs(3));
    let error = cluster.create_build(&build()).await.unwrap_err();
    assert!(error.is_passing(), "{error}");
    assert!(start.elapsed() <= Duration::from_secs(3));
}

#[tokio::test]
async fn a_refusal_is_not_repeated() {
    let (server, cluster) = cluster();
    server.faults().lay(Fault::next("POST", "/secrets", 403));
    let error = cluster.create_build(&build()).await.unwrap_err();
    assert!(!error.is_passing());
    assert!(error.to_string().starts_with("the cluster refused to create Secret brigade-worker-"));
}

#[tokio::test]
async fn a_job_is_made_once_and_then_adopted() {
    let (server, cluster) = cluster();
    let (secret, pod) = job("one", "b1");
    assert_eq!(cluster.create_job(&secret, &pod).await.unwrap(), JobCreation::Made);
    assert_eq!(cluster.create_job(&secret, &pod).await.unwrap(), JobCreation::Adopted);

    // Its Secret was made, and then its maker died.
    let (secret, pod) = job("two", "b1");
    server.faults().lay(Fault::next("POST", "/pods", 403));
    cluster.create_job(&secret, &pod).await.unwrap_err();
    assert_eq!(cluster.create_job(&secret, &pod).await.unwrap(), JobCreation::Made);
}

#[tokio::test]
async fn what_belongs_to_another_build_is_not_adopted() {
    let (_server, cluster) = cluster();
    let (secret, pod) = job("one", "b1");
    cluster.create_job(&secret, &pod).await.unwrap();
    let (other_secret, other_pod) = job("one", "b2");
    for (secret, pod) in [(&other_secret, &pod), (&secret, &other_pod)] {
        let error = cluster.create_job(secret, pod).await.unwrap_err();
        assert!(matches!(error, ClusterError::Conflict { .. }), "{error}");
    }
}

#[tokio::test]
async fn no_job_has_a_cache_of_another_project() {
    let (_server, cluster) = cluster();
    let cache = |project: &str| {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": "cache", "labels": {"component": "jobCache", "project": project}},
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "resources": {"requests": {"storage": "1Mi"}},
            },
        }))
        .unwrap()
    };
    cluster.create_claim(&cache("theirs")).await.unwrap();
    cluster.create_claim(&cache("theirs")).await.unwrap();
    let error = cluster.create_claim(&cache("ours")).await.unwrap_err();
    let expected = "the claim cache exists already and belongs to another project, build or job";
    assert_eq!(error.to_string(), expected);
    let (secret, mut pod) = job("one", "b1");
    let volume = serde_json::json!({"name": "v", "persistentVolumeClaim": {"claimName": "cache"}});
    let volume = serde_json::from_value(volume).unwrap();
    pod.spec.get_or_insert_default().volumes = Some(vec![volume]);
    let error = cluster.create_job(&secret, &pod).await.unwrap_err();
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn what_is_gone_need_not_be_deleted() {
    let (_server, cluster) = cluster();
    cluster.delete_pod("default", "nothing").await.unwrap();
    cluster.delete_claim("default", "nothing").await.unwrap();
}

#[tokio::test]
async fn a_pod_that_went_while_nobody_watched_is_told() {
    let (server, cluster) = cluster();
    let build = build();
    for name in ["one", "two"] {
        let (secret, pod) = job(name, &build.id.to_string());
        cluster.create_job(&secret, &pod).await.unwrap();
    }
    let mut changes = Box::pin(cluster.watch_pods(&build));
    let mut told = Vec::new();
    while told.len() < 3 {
        told.push(name(&next(&mut changes).await));
    }
    told.sort();
    assert_eq!(told, ["one", "synced", "two"]);

    cluster.delete_pod("default", "one").await.unwrap();
    loop {
        match next(&mut changes).await {
            PodChange::Gone(name) => {
                assert_eq!(name, "one");
                break;
            }
            PodChange::Applied(_) | PodChange::Synced => {}
        }
    }

    server.faults().drop_watches();
    server.compact();
    cluster.delete_pod("default", "two").await.unwrap();
    loop {
        if let PodChange::Gone(name) = next(&mut changes).await {
            assert_eq!(name, "two");
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_lost_does_not_take_all_the_time() {
    let server = Server::new(Options::default()).unwrap();
    let first = Arc::new(AtomicBool::new(true));
    let cluster = through(&server, move |_request| {
        let lost = first.swap(false, Ordering::Relaxed);
        async move {
            if lost {
                std::future::pending().await
            }
        }
    });
    let cluster = cluster.with_deadline(Instant::now() + Duration::from_secs(8));
    assert!(matches!(cluster.create_build(&build()).await.unwrap(), Creation::Made(_)));
}

#[tokio::test]
async fn a_pod_that_goes_while_it_is_adopted_is_made() {
    let (server, direct) = cluster();
    let (secret, pod) = job("one", "b1");
    direct.create_job(&secret, &pod).await.unwrap();
    let deleting = direct.clone();
    let cluster = through(&server, move |request| {
        let looked_at = request == "GET /api/v1/namespaces/default/pods/one";
        let direct = deleting.clone();
        async move {
            if looked_at {
                direct.delete_pod("default", "one").await.unwrap()
            }
        }
    });
    assert_eq!(cluster.create_job(&secret, &pod).await.unwrap(), JobCreation::Made);
    assert!(direct.pod("default", "one").await.unwrap().is_some());
}

/// A cluster, each request to which waits for something else: it is told method and path.
fn through<F>(server: &Server, before: impl Fn(String) -> F + Send + 'static) -> Cluster
where
    F: Future<Output = ()> + Send + 'static,
{
    let router = server.router();
    let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let before = before(format!("{} {}", request.method(), request.uri().path()));
        let router = router.clone();
        async move {
            before.await;
            router.oneshot(request.map(axum::body::Body::new)).await
        }
    });
    Cluster::new(Client::new(service, "default"), "default")
}

fn cluster() -> (Server, Cluster) {
    let server = Server::new(Options::default()).unwrap();
    let cluster = Cluster::new(server.client(), "default");
    (server, cluster)
}

fn project() -> Project {
    values::read("project: acme/app\nsharedSecret: s", "default").unwrap().0
}

fn build() -> Build {
    let event = Event {
        identity: Identity::Content("body".into()),
        ..Event::new("github", "push", "body")
    };
    Build::new(&project(), event, Timestamp::UNIX_EPOCH)
}

fn job(name: &str, build: &str) -> (Secret, Pod) {
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some("default".to_owned()),
        labels: Some(
            [("build", build), ("jobname", name)].map(|(k, v)| (k.into(), v.into())).into(),
        ),
        ..ObjectMeta::default()
    };
    let pod = json!({"spec": {"containers": [{"name": "c", "image": "i"}]}});
    let pod: Pod = serde_json::from_value(pod).unwrap();
    (Secret { metadata: metadata.clone(), ..Secret::default() }, Pod { metadata, ..pod })
}

async fn next(changes: &mut (impl Stream<Item = PodChange> + Unpin)) -> PodChange {
    tokio::time::timeout(Duration::from_secs(60), changes.next()).await.unwrap().unwrap()
}

fn name(change: &PodChange) -> String {
    match change {
        PodChange::Applied(pod) => pod.name_any(),
        PodChange::Gone(name) => name.clone(),
        PodChange::Synced => "synced".to_owned(),
    }
}

#[tokio::test]
async fn a_watch_of_a_cluster_that_is_away_is_opened_again_after_a_pause() {
    let (server, cluster) = cluster();
    server.faults().lay(Fault { times: 8, ..Fault::next("GET", "/pods", 503) });
    tokio::time::pause();
    let start = Instant::now();
    let mut changes = Box::pin(cluster.watch_pods(&build()));
    assert!(matches!(changes.next().await, Some(PodChange::Synced)));
    assert!(start.elapsed() > Duration::from_secs(3), "{:?}", start.elapsed());
}
