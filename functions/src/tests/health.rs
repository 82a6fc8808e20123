//! What is told of the cluster at `/healthz/cluster`, and to whom.

use super::*;

fn request(authorization: Option<&str>) -> Request<Body> {
    let mut request = Request::get("/healthz/cluster");
    if let Some(value) = authorization {
        request = request.header("authorization", value);
    }
    request.body(Body::empty()).unwrap()
}

#[tokio::test]
async fn nobody_is_told_of_the_cluster_unless_the_operator_has_a_token_for_it() {
    let world = World::new().await;
    let told = world.send(request(None)).await;
    assert_eq!((told.code, &told.body["status"]), (404, &json!("not found")));
    let told = world.send(request(Some("Bearer "))).await;
    assert_eq!((told.code, &told.body["status"]), (404, &json!("not found")));
}

#[tokio::test]
async fn who_bears_the_token_is_told_of_the_cluster_and_others_the_same_words() {
    let mut settings = calm();
    settings.cluster.check_token = "watch".into();
    let world = World::with(settings).await;
    let missing = world.send(request(None)).await;
    for wrong in ["Bearer wrong", "Bearer ", "watch", "Bearer watch2"] {
        let told = world.send(request(Some(wrong))).await;
        assert_eq!((told.code, &told.body), (401, &missing.body), "{wrong}");
    }
    let told = world.send(request(Some("Bearer watch"))).await;
    assert_eq!(told.headers["cache-control"], "no-store");
    assert_eq!(told.body["namespace"], "default");
    assert_eq!(told.body["user"], "kubernetes-admin");
    assert_eq!(told.body["projects"][0]["name"], PROJECT);
    let problems = told.body["problems"].as_array().unwrap();
    let complete = problems.iter().all(|problem| problem["weight"] == "remark");
    assert_eq!(told.code, if complete { 200 } else { 503 }, "{:?}", told.body);
    world.fail(0, 503, When::Before);
    tokio::time::pause();
    let told = world.send(request(Some("Bearer watch"))).await;
    assert_eq!((told.code, &told.body["problems"][0]["weight"]), (503, &json!("noCluster")));
}

#[tokio::test]
async fn a_delivery_that_meets_no_cluster_is_to_come_again_and_is_told_nothing_of_it() {
    let read = |name: &str| (name == "KUBECONFIG").then(|| "/none/such".to_owned());
    let settings = Settings::read(read).unwrap();
    let app = App {
        cluster: Cluster::connect(&settings.cluster, "default").unwrap(),
        repository: Arc::new(Repository::Ignore),
        settings: Arc::new(settings),
        workers: Workers::Pods,
    };
    let told = told(router(app, Function::ALL), (first_source().sample)(1).proved()).await;
    assert_eq!((told.code, &told.headers["retry-after"]), (503, &"5".parse().unwrap()));
    assert!(!told.body.to_string().contains("/none"), "{:?}", told.body);
}
