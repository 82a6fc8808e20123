//! Calls of schedulers, from the request to the cluster.

use super::*;

fn call(uri: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = post(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::empty()).unwrap()
}

#[tokio::test]
async fn a_schedules_call_fires_its_name_and_once_for_each_time() {
    let world = World::without_scripts().await;
    let at = |hour: &str| {
        let time = format!("2026-05-04T{hour}:00:00Z");
        let headers = [
            ("authorization", SECRET),
            ("x-cloudscheduler-jobname", "nightly"),
            ("x-cloudscheduler-scheduletime", &*time),
        ];
        call("/events/cron/ocean/brig?ref=refs/heads/main", &headers)
    };
    let told = world.send(at("02")).await;
    assert_eq!(told.code, 200, "{told:?}");
    assert_eq!(told.body["events"], json!(["cron", "cron:nightly"]));
    let again = world.send(at("02")).await;
    assert_eq!(
        (&again.body["duplicate"], &again.body["build"]),
        (&json!(true), &told.body["build"])
    );
    assert_eq!(world.send(at("03")).await.body["duplicate"], false);
    let other = call(
        "/events/cron/ocean/brig?schedule=hourly&time=2026-05-04T02:00:00Z&token=aye+aye",
        &[],
    );
    assert_eq!(world.send(other).await.body["duplicate"], false);
    assert_eq!(world.builds().await.len(), 3);
    let build = &world.app.cluster.builds("default").await.unwrap()[0];
    assert_eq!(build.event.provider, "cron");
}

#[tokio::test]
async fn two_calls_for_one_time_at_once_are_one_build() {
    let world = World::without_scripts().await;
    let uri = "/events/cron/ocean/brig?schedule=nightly&time=2026-05-04T02:00:00Z&token=aye+aye";
    let told = futures::future::join_all((0..8).map(|_| world.send(call(uri, &[])))).await;
    assert!(told.iter().all(|told| told.code == 200), "{told:?}");
    assert_eq!((world.builds().await.len(), world.pods().await.len()), (1, 1));
}

#[tokio::test]
async fn two_names_or_two_branches_at_one_time_are_two_builds() {
    let world = World::without_scripts().await;
    for query in
        ["event=deploy:eu", "event=deploy:us", "event=deploy:eu&ref=a", "event=deploy:eu&ref=b"]
    {
        let uri =
            format!("/events/cron/ocean/brig?{query}&time=2026-05-04T02:00:00Z&token=aye+aye");
        assert_eq!(world.send(call(&uri, &[])).await.body["duplicate"], false, "{query}");
        assert_eq!(world.send(call(&uri, &[])).await.body["duplicate"], true, "{query}");
    }
    assert_eq!(world.builds().await.len(), 4);
}

#[tokio::test]
async fn a_call_without_a_time_is_always_new() {
    let world = World::without_scripts().await;
    for _ in 0..2 {
        let id = runtime::project::id_of("ocean/brig");
        let told = world.send(call(&format!("/events/cron/{id}?token=aye+aye"), &[])).await;
        assert_eq!(told.body["duplicate"], false, "{told:?}");
    }
    assert_eq!(world.builds().await.len(), 2);
}

#[tokio::test]
async fn nobody_else_calls() {
    let world = World::without_scripts().await;
    let mut bodies = Vec::new();
    for (uri, headers) in [
        ("/events/cron/ocean/brig", &[][..]),
        ("/events/cron/ocean/brig?token=", &[]),
        ("/events/cron/ocean/brig?token=aye", &[]),
        ("/events/cron/ocean/brig", &[("authorization", "Bearer aye")]),
        ("/events/cron/ocean/brig?token=aye+aye", &[("x-registry-token", SECRET)]),
        ("/events/cron/ocean/brig?token=aye&time=soon&event=a%20b", &[]),
    ] {
        let told = world.send(call(uri, headers)).await;
        assert_eq!(told.code, 401, "{uri}: {told:?}");
        bodies.push(told.body);
    }
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
    assert_eq!(world.send(call("/events/cron/no/such", &[])).await.code, 404);
    assert!(world.is_untouched().await);
}

#[tokio::test]
async fn a_project_takes_the_schedules_that_it_lists() {
    let world = World::without_scripts().await;
    let keys = json!({"sharedSecret": SECRET, "filters.events": "cron:nightly"});
    world.project("ocean/brig", keys).await;
    let send = |schedule: &str| {
        let uri = format!("/events/cron/ocean/brig?token=aye+aye&schedule={schedule}");
        world.send(call(&uri, &[]))
    };
    assert_eq!(send("nightly").await.body["events"], json!(["cron:nightly"]));
    assert_eq!(send("hourly").await.body["message"], "Ignored");
}
