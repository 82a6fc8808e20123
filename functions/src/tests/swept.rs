//! Timers of the host, which alone can have builds swept.

use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use runtime::serve::{SWEEP, Trigger};

use super::*;

impl World {
    async fn sweeper(&self) {
        let cluster = &self.app.cluster;
        cluster.create_service_account("default", "brigantine-sweeper").await.unwrap();
    }

    async fn swept(&self, method: &str, trigger: Option<Trigger>) -> (u16, Value) {
        let mut request = Request::builder().method(method).uri(SWEEP).body(Body::empty()).unwrap();
        if let Some(trigger) = trigger {
            request.extensions_mut().insert(trigger);
        }
        let response = self.router.clone().oneshot(request).await.unwrap();
        let code = response.status().as_u16();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (code, serde_json::from_slice(&body).unwrap())
    }
}

#[tokio::test]
async fn a_timer_has_one_pod_sweep_for_each_of_its_times() {
    let world = World::new().await;
    world.sweeper().await;
    let at = |time: &str| Some(Trigger::Schedule { time: Some(time.parse().unwrap()) });
    let first = "2026-05-04T07:30:00Z";
    let (code, told) = world.swept("POST", at(first)).await;
    assert_eq!((code, &told["duplicate"]), (200, &json!(false)), "{told}");
    assert_eq!(told["pod"], "brigantine-sweep-20260504-073000");
    let (code, told) = world.swept("POST", at(first)).await;
    assert_eq!((code, &told["duplicate"]), (200, &json!(true)), "{told}");
    let pods: Api<Pod> = Api::namespaced(world.server.client(), "default");
    let pods = pods.list(&ListParams::default().labels("component=sweep")).await.unwrap();
    assert_eq!(pods.items.len(), 1);
    let spec = pods.items[0].spec.as_ref().unwrap();
    assert_eq!(spec.containers[0].args, Some(vec!["sweep".to_owned()]));
    assert_eq!(spec.service_account_name.as_deref(), Some("brigantine-sweeper"));
}

#[tokio::test]
async fn a_timer_has_no_pod_while_an_earlier_one_has_not_ended_and_those_that_have_are_deleted() {
    let world = World::new().await;
    world.sweeper().await;
    let pods: Api<Pod> = Api::namespaced(world.server.client(), "default");
    let at = |minute: u32| {
        let time = format!("2026-05-04T07:{minute:02}:00Z").parse().unwrap();
        Some(Trigger::Schedule { time: Some(time) })
    };
    let name = |minute: u32| format!("brigantine-sweep-20260504-07{minute:02}00");
    let has = async |name: &str, phase: &str| {
        let phase = Patch::Merge(json!({"status": {"phase": phase}}));
        pods.patch_status(name, &PatchParams::default(), &phase).await.unwrap();
    };
    world.swept("POST", at(30)).await;
    for phase in ["Pending", "Running"] {
        has(&name(30), phase).await;
        let (code, told) = world.swept("POST", at(35)).await;
        assert_eq!((code, &told["pod"]), (200, &json!(name(30))), "{told}");
        assert_eq!(world.pods().await, [name(30)], "{phase}");
    }
    has(&name(30), "Failed").await;
    let (_, told) = world.swept("POST", at(30)).await;
    assert_eq!(told["duplicate"], json!(true), "its time has been: {told}");
    for minute in [35, 40] {
        let (code, told) = world.swept("POST", at(minute)).await;
        assert_eq!((code, &told["pod"]), (200, &json!(name(minute))), "{told}");
        assert_eq!(world.pods().await, [name(minute)]);
        has(&name(minute), "Succeeded").await;
    }
}

#[tokio::test]
async fn a_timer_that_may_make_pods_and_not_list_them_has_its_pod() {
    let world = World::new().await;
    world.sweeper().await;
    world.fail_once(0, 403, When::Before);
    let (code, told) = world.swept("POST", Some(Trigger::Schedule { time: None })).await;
    assert_eq!((code, &told["duplicate"]), (200, &json!(false)), "{told}");
    // Who cannot be reached now has the timer call again.
    world.fail(0, 503, When::Before);
    let (code, _) = world.swept("POST", Some(Trigger::Schedule { time: None })).await;
    assert_eq!(code, 503);
}

#[tokio::test]
async fn a_timer_that_does_not_say_its_time_has_the_minute() {
    let world = World::new().await;
    world.sweeper().await;
    let before = Timestamp::now();
    let (code, told) = world.swept("POST", Some(Trigger::Schedule { time: None })).await;
    assert_eq!(code, 200, "{told}");
    let name = told["pod"].as_str().unwrap();
    let minutes = [before, Timestamp::now()].map(|time| time.strftime("%Y%m%d-%H%M00").to_string());
    assert!(minutes.iter().any(|minute| name == format!("brigantine-sweep-{minute}")), "{name}");
}

#[tokio::test]
async fn nobody_else_can_have_builds_swept() {
    let world = World::new().await;
    let message = Some(Trigger::Message { id: "m1".to_owned() });
    for (method, trigger) in [("POST", None), ("GET", None), ("PUT", None), ("POST", message)] {
        let (code, told) = world.swept(method, trigger).await;
        assert_eq!((code, &told["status"]), (404, &json!("not found")), "{method}");
    }
}
