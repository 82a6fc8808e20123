//! What is posted to `/notify/...`, from the request to the pod that tells it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Container;

use super::*;

const WEBHOOK: &str = "https://hooks.slack.example/services/T0/B0/aye";

/// A world whose project has these secrets and this list of notifiers.
async fn world(secrets: Value, notifiers: Value) -> World {
    let world = World::new().await;
    let keys = json!({
        "sharedSecret": SECRET,
        "genericGatewaySecret": SECRET,
        "repository": "github.com/ocean/brig",
        "github.token": "only-for-tests",
        "github.baseURL": "https://github.ocean.example/api/v3",
        "defaultScript": "throw new Error('the project hears this')",
        "defaultConfig": r#"{"dependencies": {"is-odd": "1.0.0"}}"#,
        "secrets": secrets.to_string(),
        "notifiers": notifiers.to_string(),
    });
    world.project(PROJECT, keys).await;
    world
}

async fn with_slack() -> World {
    world(json!({"SLACK_WEBHOOK": WEBHOOK}), json!([])).await
}

/// A request with the token.
fn request(uri: &str, body: impl ToString) -> Request<Body> {
    post(uri)
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {SECRET}"))
        .body(body.to_string().into())
        .unwrap()
}

/// What makes a message.
fn message() -> Value {
    json!({"message": "Ahoy"})
}

impl World {
    /// The container of a pod.
    async fn container(&self, pod: &str) -> Container {
        let pods = Api::<Pod>::namespaced(self.server.client(), "default");
        let mut spec = pods.get(pod).await.unwrap().spec.unwrap();
        assert!(spec.init_containers.is_none());
        spec.containers.remove(0)
    }

    /// What a pod is given as variables, as it sees them.
    async fn variables(&self, pod: &str) -> BTreeMap<String, String> {
        let secret = self.secrets().get(pod).await.unwrap();
        let data = secret.data.unwrap();
        let env = self.container(pod).await.env.unwrap();
        let read = |variable: k8s_openapi::api::core::v1::EnvVar| {
            let from = variable.value_from.unwrap().secret_key_ref.unwrap();
            assert_eq!(from.name, pod);
            let value = String::from_utf8(data[&from.key].0.clone()).unwrap();
            (variable.name, value)
        };
        env.into_iter().map(read).collect()
    }

    /// What is told by the one pod that there is.
    async fn told(&self) -> Value {
        let pods = self.pods().await;
        let [pod] = &pods[..] else { panic!("{pods:?}") };
        serde_json::from_str(&self.variables(pod).await["NOTIFICATION"]).unwrap()
    }
}

#[tokio::test]
async fn a_push_to_a_registry_is_told_by_a_pod_of_its_own() {
    let world = with_slack().await;
    let told = world.send(request("/notify/slack/ocean/brig", image_push())).await;
    assert_eq!(told.code, 200, "{told:?}");
    assert_eq!(told.body["status"], "Success. Notification created");
    assert_eq!(told.body["events"], json!(["notify", "notify:slack"]));
    assert_eq!(told.body["detached"], true, "{told:?}");
    let pod = format!("slack-notify-{}", told.body["build"].as_str().unwrap());
    assert_eq!(told.body["jobs"], json!([pod]));
    assert_eq!(world.pods().await, [pod.as_str()]);
    let container = world.container(&pod).await;
    assert_eq!(container.image, Some(Settings::default().worker_image));
    assert_eq!(container.command, None);
    assert_eq!(container.args.unwrap(), ["notify", "slack"]);
    let variables = world.variables(&pod).await;
    assert_eq!(variables.keys().collect::<Vec<_>>(), ["NOTIFICATION", "SLACK_WEBHOOK"]);
    assert_eq!(variables["SLACK_WEBHOOK"], WEBHOOK);
    let notification: Value = serde_json::from_str(&variables["NOTIFICATION"]).unwrap();
    assert_eq!(notification["title"], "New Build");
    assert_eq!(notification["message"], "New Build team/app:1.0 available!");
    let build = &world.app.cluster.builds("default").await.unwrap()[0];
    let script = build.event.script.clone().unwrap();
    assert!(!script.contains(WEBHOOK) && !build.event.payload.is_empty(), "{script}");
    assert!(!String::from_utf8_lossy(&build.event.payload).contains(WEBHOOK));
}
