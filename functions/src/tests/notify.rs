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

#[tokio::test]
async fn a_notifiers_own_settings_go_before_the_projects_secrets() {
    let odd = "it's </script> ${x} \u{2028} \"\\";
    let secrets =
        json!({"SLACK_WEBHOOK": WEBHOOK, "RELEASES": "https://b.example/hunter2", "SLACK_ICON": 7});
    let notifiers = json!([
        {"kind": "teams", "settings": {"TEAMS_WEBHOOK": {"secret": "RELEASES"}}},
        {"kind": "slack", "settings": {"SLACK_USERNAME": odd, "NOTIFICATION": "x", "OTHER": "y"}},
        {"kind": "slack", "name": "releases", "settings": {"SLACK_WEBHOOK": {"secret": "RELEASES"}}},
    ]);
    for (uri, hook, user) in [
        ("/notify/slack/ocean/brig", WEBHOOK, Some(odd)),
        ("/notify/slack/ocean/brig?notifier=slack", WEBHOOK, Some(odd)),
        ("/notify/slack/ocean/brig?notifier=releases", "https://b.example/hunter2", None),
    ] {
        let world = world(secrets.clone(), notifiers.clone()).await;
        let told = world.send(request(uri, message())).await;
        assert_eq!(told.code, 200, "{uri}: {told:?}");
        let pods = world.pods().await;
        let variables = world.variables(&pods[0]).await;
        let variable = |name: &str| variables.get(name).map(String::as_str);
        assert_eq!(variable("SLACK_WEBHOOK"), Some(hook), "{uri}");
        assert_eq!(variable("SLACK_USERNAME"), user, "{uri}");
        assert_eq!(variable("SLACK_ICON"), Some("7"), "{uri}");
        assert_eq!(variable("OTHER"), None, "{uri}");
        assert_eq!(world.told().await["message"], "Ahoy", "{uri}");
        let build = &world.app.cluster.builds("default").await.unwrap()[0];
        let script = build.event.script.clone().unwrap();
        assert!(!script.contains("hunter2") && !script.contains(WEBHOOK), "{script}");
    }
}

#[tokio::test]
async fn a_project_that_lacks_a_setting_is_told_which() {
    let world =
        world(json!({"SMTP_URL": "smtps://mail.example", "SLACK_WEBHOOK": " "}), json!([])).await;
    let bare = json!({
        "genericGatewaySecret": SECRET, "github.token": "x",
        "notifiers": r#"[{"kind": "github", "on": []}]"#,
    });
    world.project("ocean/bare", bare).await;
    let mut told = String::new();
    for (kind, project) in [
        ("slack", "ocean/brig"),
        ("teams", "ocean/brig"),
        ("webhook", "ocean/brig"),
        ("email", "ocean/brig"),
        ("github", "ocean/brig"),
        ("github", "ocean/bare"),
        ("slack", "ocean/brig?notifier=releases"),
    ] {
        let body = match kind {
            "github" => report(),
            _ => message(),
        };
        let answer = world.send(request(&format!("/notify/{kind}/{project}"), body)).await;
        assert_eq!(answer.code, 422, "{kind}: {answer:?}");
        assert_eq!(answer.body["status"], "not configured");
        told += &format!("{kind}: {}\n", answer.body["reason"].as_str().unwrap());
    }
    assert!(world.is_untouched().await);
    expect_test::expect![[r#"
        slack: to tell slack anything, the project needs SLACK_WEBHOOK or SLACK_BOT_TOKEN in its secrets
        teams: to tell teams anything, the project needs TEAMS_WEBHOOK in its secrets
        webhook: to tell webhook anything, the project needs WEBHOOK_URL in its secrets
        email: to tell email anything, the project needs EMAIL_FROM and EMAIL_TO in its secrets
        github: GitHub is told what is posted here only if the project has a notifier of the kind github: add {kind: github, on: []} to its notifiers; with another `on` it is told of the project's own builds, too
        github: to tell github anything, the project needs GITHUB_TOKEN or GITHUB_APP_TOKEN or APP_ID (or its github.token) in its secrets, or in the settings of its notifier github
        slack: the project has no notifier `releases` of the kind slack; it has: none
    "#]].assert_eq(&told);
}

/// What a build reports.
fn report() -> Value {
    json!({
        "build": "01kjmge4005ewm4st3vhf1kp7g", "project": "ocean/brig", "event": "push",
        "repository": "ocean/brig", "provider": "github", "moment": "failed", "phase": "Failed",
    })
}

#[tokio::test]
async fn github_is_told_with_what_the_project_clones_with() {
    let world = world(json!({}), json!([{"kind": "github", "on": []}])).await;
    let told = world.send(request("/notify/github/ocean/brig", report())).await;
    assert_eq!(told.code, 200, "{told:?}");
    let pods = world.pods().await;
    assert!(pods[0].starts_with("github-notify-"), "{pods:?}");
    let variables = world.variables(&pods[0]).await;
    assert_eq!(variables["GITHUB_TOKEN"], "only-for-tests");
    assert_eq!(variables["GITHUB_BASE_URL"], "https://github.ocean.example/api/v3");
}

#[tokio::test]
async fn github_is_told_of_the_projects_own_repository_alone() {
    let world = world(json!({}), json!([{"kind": "github", "on": []}])).await;
    let send = async |repository: &str, provider: &str, kind: Option<&str>| {
        let mut data = report();
        data["repository"] = json!(repository);
        data["provider"] = json!(provider);
        let event = json!({
            "specversion": "1.0", "id": "1", "source": "/projects/ocean/brig", "type": kind,
            "data": if kind == Some("dev.brigantine.notification") { json!({"build": data}) } else { data.clone() },
        });
        let body = if kind.is_some() { event } else { data };
        world.send(request("/notify/github/ocean/brig", body)).await
    };
    for repository in [
        "ocean/other",
        "",
        "github.com/ocean/other",
        "ocean/brig/../other",
        "evil.example/ocean/brig",
    ] {
        for provider in ["github", "gitlab", "cron"] {
            for kind in
                [None, Some("dev.brigantine.build.failed"), Some("dev.brigantine.notification")]
            {
                let told = send(repository, provider, kind).await;
                assert_eq!(told.code, 422, "{repository} {provider} {kind:?}: {told:?}");
                let reason = told.body["reason"].as_str().unwrap();
                assert!(reason.contains("`ocean/brig`") && reason.contains("own"), "{reason}");
            }
        }
    }
    assert!(world.is_untouched().await);
    for repository in ["ocean/brig", "github.com/ocean/brig", "Ocean/Brig"] {
        for provider in ["github", "cron"] {
            let told = send(repository, provider, None).await;
            assert_eq!(told.code, 200, "{repository} {provider}: {told:?}");
        }
    }
}

#[tokio::test]
async fn a_program_is_given_no_report_that_could_be_a_workers() {
    let world = world(json!({"WEBHOOK_URL": WEBHOOK}), json!([])).await;
    let send = async |kind: &str, source: &str, project: &str| {
        let mut data = report();
        data["project"] = json!(project);
        let event = json!({
            "specversion": "1.0", "id": "1", "source": source, "type": kind, "data": data,
        });
        world.send(request("/notify/webhook/ocean/brig", event)).await
    };
    for kind in ["dev.brigantine.build.succeeded", "dev.brigantine.job.failed"] {
        for (source, project) in [
            ("/projects/ocean/brig", "other/brig"),
            ("/projects/ocean%2Fbrig", "other/brig"),
            ("/ocean/brig", "other/brig"),
            ("/projects/other/brig", "ocean/brig"),
        ] {
            let told = send(kind, source, project).await;
            assert_eq!(told.code, 400, "{kind} {source} {project}: {told:?}");
        }
    }
    assert!(world.is_untouched().await);
    let reports =
        send("dev.brigantine.build.succeeded", "/projects/other/brig", "other/brig").await;
    assert_eq!(reports.code, 200, "{reports:?}");
    let others = send("com.ocean.tide", "/projects/ocean/brig", "ocean/brig").await;
    assert_eq!(others.code, 200, "{others:?}");
}

#[tokio::test]
async fn no_build_holds_a_setting_that_is_written_out() {
    let key = "-----BEGIN RSA PRIVATE KEY-----\nhunter2\n-----END RSA PRIVATE KEY-----\n";
    let notifiers = json!([
        {"kind": "slack", "settings": {"SLACK_WEBHOOK": "https://hooks.slack.example/hunter2"}},
        {"kind": "teams", "name": "t", "settings": {"TEAMS_WEBHOOK": "https://x.example/hunter2"}},
        {"kind": "webhook", "settings": {"WEBHOOK_URL": "https://x.example/?hunter2", "WEBHOOK_SECRET": "hunter2"}},
        {"kind": "email", "settings": {
            "SMTP_URL": "smtps://brig:hunter2@mail.example", "SMTP_PASSWORD": "hunter2",
            "EMAIL_FROM": "a@b.example", "EMAIL_TO": "c@d.example",
        }},
        {"kind": "github", "on": [], "settings": {"APP_ID": 7, "APP_KEY": key}},
    ]);
    let world = world(json!({}), notifiers.clone()).await;
    for notifier in notifiers.as_array().unwrap() {
        let kind = notifier["kind"].as_str().unwrap();
        let body = if kind == "github" { report() } else { message() };
        let told = world.send(request(&format!("/notify/{kind}/ocean/brig"), body)).await;
        assert_eq!(told.code, 200, "{kind}: {told:?}");
        let pod = told.body["jobs"][0].as_str().unwrap();
        let variables = world.variables(pod).await;
        for (name, value) in notifier["settings"].as_object().unwrap() {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            assert_eq!(variables.get(name), Some(&text), "{kind}");
        }
        let id = told.body["build"].as_str().unwrap();
        let secret = world.secrets().get(&format!("brigade-worker-{id}")).await.unwrap();
        let data = secret.data.as_ref().unwrap().values();
        for text in data.map(|value| String::from_utf8_lossy(&value.0).into_owned()) {
            assert!(!text.contains("hunter2"), "{kind}: {text}");
        }
        assert!(!format!("{:?}", secret.metadata).contains("hunter2"), "{kind}");
        assert!(!told.body.to_string().contains("hunter2"), "{kind}");
    }
}

#[tokio::test]
async fn a_pod_is_told_how_the_operator_has_messages_sent() {
    let mut settings = calm();
    settings.worker_image = "registry.example/\"worker\":1".to_owned();
    settings.worker_pull_policy = "Always".to_owned();
    settings.notify.relay = Some("http://127.0.0.1:7745/x".to_owned());
    settings.notify.allowed_hosts = vec!["sink.example".to_owned()];
    settings.notify.budget = Duration::from_secs(60);
    let world = World::with(settings).await;
    world.project(PROJECT, sources::secrets(SECRET)).await;
    assert_eq!(world.send(request("/notify/slack/ocean/brig", message())).await.code, 200);
    let pod = world.pods().await.remove(0);
    let container = world.container(&pod).await;
    assert_eq!(container.image.unwrap(), "registry.example/\"worker\":1");
    assert_eq!(container.image_pull_policy.unwrap(), "Always");
    let variables = world.variables(&pod).await;
    assert_eq!(variables["NOTIFY_RELAY"], "http://127.0.0.1:7745/x");
    assert_eq!(variables["NOTIFY_ALLOWED_HOSTS"], "sink.example");
    let pods = Api::<Pod>::namespaced(world.server.client(), "default");
    let spec = pods.get(&pod).await.unwrap().spec.unwrap();
    assert_eq!(spec.active_deadline_seconds, Some(360));
}

#[tokio::test]
async fn a_token_is_taken_wherever_a_sender_can_put_it() {
    let world = with_slack().await;
    let id = runtime::project::id_of(PROJECT);
    let token = sources::encoded(SECRET);
    let plain = |uri: &str| {
        post(uri)
            .header("content-type", "application/json")
            .header("idempotency-key", "1")
            .body(message().to_string().into())
            .unwrap()
    };
    let with = |name: &'static str, value: &str| {
        let mut request = plain("/notify/slack/ocean/brig");
        request.headers_mut().insert(name, value.parse().unwrap());
        request
    };
    for request in [
        plain(&format!("/notify/slack/ocean/brig/{token}")),
        plain(&format!("/notify/slack/{id}/{token}")),
        plain(&format!("/notify/slack/ocean%2Fbrig/{token}")),
        plain(&format!("/notify/slack/ocean%2Fbrig?token={token}")),
        plain(&format!("/notify/slack/{id}?access_token={token}")),
        with("authorization", &format!("Bearer {SECRET}")),
        with("authorization", "Basic YW55Ym9keTpheWUgYXll"),
        with("x-registry-token", SECRET),
    ] {
        let shown = format!("{} {:?}", request.uri(), request.headers());
        let told = world.send(request).await;
        assert_eq!(told.code, 200, "{shown}: {told:?}");
    }
    assert_eq!(world.builds().await.len(), 1, "the same message, however it is proved");
    for request in [
        plain("/notify/slack/ocean/brig"),
        plain("/notify/slack/ocean/brig/no"),
        plain(&format!("/notify/slack/ocean/brig/{token}?token={token}")),
        plain(&format!("/notify/slack/ocean/brig?token={token}&access_token={token}")),
    ] {
        let told = world.send(request).await;
        assert_eq!((told.code, &told.body["status"]), (401, &json!("secret is wrong")), "{told:?}");
    }
}

#[tokio::test]
async fn a_signature_is_of_the_generic_secret_and_of_the_whole() {
    let signed = |body: &str, structured: bool| {
        let stamp =
            signature::Stamp { id: "1", seconds: &jiff::Timestamp::now().as_second().to_string() };
        let signature =
            signature::scheme::STANDARD_WEBHOOKS.sign(SECRET, stamp, body.as_bytes()).unwrap();
        let mut request = post("/notify/slack/ocean/brig")
            .header("content-type", "application/json")
            .header("webhook-id", stamp.id)
            .header("webhook-timestamp", stamp.seconds)
            .header("webhook-signature", signature)
            // Nobody has signed this one.
            .header("idempotency-key", ulid::Ulid::generate().to_string());
        if !structured {
            for name in ["ce-specversion", "ce-id", "ce-type", "ce-source"] {
                request = request.header(name, "1.0");
            }
        }
        request.body(body.to_owned().into()).unwrap()
    };
    let message = message().to_string();
    let world = with_slack().await;
    assert_eq!(world.send(signed(&message, true)).await.code, 200);
    let again = world.send(signed(&message, true)).await;
    assert_eq!(again.body["duplicate"], true, "{again:?}");
    let told = world.send(signed("0.4", false)).await;
    assert_eq!(told.code, 400, "{told:?}");
    let mut other = signed(&message, true);
    *other.body_mut() = json!({"message": "other"}).to_string().into();
    assert_eq!(world.send(other).await.code, 401);
    // GitLab signs in the same way with the project's other secret.
    let keys =
        json!({"sharedSecret": SECRET, "secrets": json!({"SLACK_WEBHOOK": WEBHOOK}).to_string()});
    world.project(PROJECT, keys).await;
    assert_eq!(world.send(signed(&message, true)).await.code, 401);
}

#[tokio::test]
async fn the_same_may_be_told_in_several_places_and_once_in_each() {
    let notifiers = json!([{"kind": "slack"}, {"kind": "slack", "name": "releases"}]);
    let secrets = json!({"SLACK_WEBHOOK": WEBHOOK, "TEAMS_WEBHOOK": WEBHOOK});
    let world = world(secrets, notifiers).await;
    let uris = [
        "/notify/slack/ocean/brig",
        "/notify/teams/ocean/brig",
        "/notify/slack/ocean/brig?notifier=releases",
    ];
    for _ in 0..3 {
        for uri in uris {
            assert_eq!(world.send(request(uri, image_push())).await.code, 200);
        }
    }
    assert_eq!(world.builds().await.len(), uris.len());
    let mut jobs: Vec<String> = world.pods().await;
    jobs.sort();
    assert!(
        jobs[0].starts_with("slack-notify-") && jobs[2].starts_with("teams-notify-"),
        "{jobs:?}"
    );
}

#[tokio::test]
async fn a_message_without_a_name_is_meant_whenever_it_is_posted() {
    let world = with_slack().await;
    for _ in 0..3 {
        assert_eq!(world.send(request("/notify/slack/ocean/brig", message())).await.code, 200);
    }
    assert_eq!(world.builds().await.len(), 3);
}

#[tokio::test]
async fn an_alert_that_comes_again_soon_is_told_once() {
    let world = with_slack().await;
    let alert = |status: &str| {
        json!({
            "status": status, "groupLabels": {},
            "alerts": [{"status": status, "labels": {"alertname": "Leak"}, "startsAt": "2026-03-01T10:00:00Z"}],
        })
    };
    let firing = || request("/notify/slack/ocean/brig", alert("firing"));
    let first = world.send(firing()).await;
    assert_eq!(first.code, 200, "{first:?}");
    let again = world.send(firing()).await;
    assert_eq!((&again.body["duplicate"], again.builds()), (&json!(true), first.builds()));
    let over = world.send(request("/notify/slack/ocean/brig", alert("resolved"))).await;
    assert_eq!(over.body["duplicate"], false, "{over:?}");
    // Who names it says which it is.
    let mut named = firing();
    named.headers_mut().insert("idempotency-key", "1".parse().unwrap());
    assert_eq!(world.send(named).await.body["duplicate"], false);
    assert_eq!(world.builds().await.len(), 3);
}

#[tokio::test]
async fn what_cannot_be_told_is_refused_and_the_rest_is_told() {
    let world = with_slack().await;
    for (media, body, code) in [
        ("text/plain", "Ahoy", 415),
        ("application/xml", "<a/>", 415),
        ("application/cloudevents+avro", "{}", 415),
        ("application/json", "\"Ahoy\"", 400),
        ("application/json", "{}", 400),
        ("application/x-www-form-urlencoded", "text=Ahoy", 400),
        ("application/cloudevents+json", "{\"id\": \"1\"}", 400),
        ("application/cloudevents-batch+json", "[{\"id\": \"1\"}]", 400),
    ] {
        let mut request = request("/notify/slack/ocean/brig", body);
        request.headers_mut().insert("content-type", media.parse().unwrap());
        let told = world.send(request).await;
        assert_eq!(told.code, code, "{media} {body}: {told:?}");
    }
    let many: Vec<Value> = (0..257)
        .map(|id| json!({"specversion": "1.0", "id": id.to_string(), "source": "/s", "type": "t"}))
        .collect();
    let told = world.send(request("/notify/slack/ocean/brig", json!(many))).await;
    assert_eq!(told.code, 413, "{told:?}");
    assert!(world.is_untouched().await);
    let told = world.send(request("/notify/slack/ocean/brig", json!([many[0], {"id": 1}]))).await;
    assert_eq!(told.code, 200, "{told:?}");
    assert_eq!(told.body["builds"][1]["status"], "Malformed body");
    assert_eq!(world.builds().await.len(), 1);
}

#[tokio::test]
async fn senders_of_events_may_ask_first() {
    let world = with_slack().await;
    let asked = |token: &str| {
        let uri = format!("/notify/slack/ocean/brig?token={}", sources::encoded(token));
        Request::options(uri)
            .header("webhook-request-origin", "ocean.example")
            .body(Body::empty())
            .unwrap()
    };
    let told = world.send(asked(SECRET)).await;
    assert_eq!(
        (told.code, &told.headers["webhook-allowed-origin"]),
        (200, &"ocean.example".parse().unwrap())
    );
    assert_eq!(world.send(asked(WRONG)).await.code, 401);
    let validation = json!([{
        "id": "1", "topic": "/t", "subject": "", "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
        "eventTime": "2026-03-01T10:00:00Z", "dataVersion": "2", "data": {"validationCode": "512d38b6"},
    }]);
    let told = world.send(request("/notify/slack/ocean/brig", validation)).await;
    assert_eq!((told.code, told.body), (200, json!({"validationResponse": "512d38b6"})));
    assert!(world.is_untouched().await);
}

#[tokio::test]
async fn what_is_told_fits_a_variable_however_large_it_was() {
    let world = with_slack().await;
    let body = json!({"message": "\"\\".repeat(200_000), "title": "t", "fields": {"a": "x".repeat(100_000)}});
    assert_eq!(world.send(request("/notify/slack/ocean/brig", body)).await.code, 200);
    let pods = world.pods().await;
    let variable = &world.variables(&pods[0]).await["NOTIFICATION"];
    assert!((1024..=64 * 1024).contains(&variable.len()), "{}", variable.len());
    assert_eq!(world.told().await["title"], "t");
}

#[tokio::test]
async fn where_scripts_are_started_by_workers_so_are_these() {
    let world = World::without_scripts().await;
    world.project(PROJECT, sources::secrets(SECRET)).await;
    let told = world.send(request("/notify/slack/ocean/brig", message())).await;
    assert_eq!(
        told.body["worker"],
        json!(format!("brigade-worker-{}", told.builds()[0])),
        "{told:?}"
    );
}

#[tokio::test]
async fn each_kind_is_a_function_of_its_own() {
    let world = with_slack().await;
    let slack = Function::parse("notify-slack").unwrap();
    let router = router(world.app.clone(), &[slack]);
    let told = told(router.clone(), request("/notify/slack/ocean/brig", message())).await;
    assert_eq!(told.code, 200, "{told:?}");
    for uri in ["/notify/teams/ocean/brig", "/notify/pager/ocean/brig", "/notify/slack"] {
        let told = super::told(router.clone(), request(uri, message())).await;
        assert_eq!(told.code, 404, "{uri}: {told:?}");
    }
}

#[tokio::test]
async fn what_is_told_here_is_told_to_nobody_in_turn() {
    let all = json!(["started", "succeeded", "failed", "recovered", "cancelled"]);
    let notifiers = json!([{"kind": "slack", "on": all}]);
    let world = world(json!({"SLACK_WEBHOOK": WEBHOOK}), notifiers).await;
    let told = world.send(request("/notify/slack/ocean/brig", message())).await;
    assert_eq!((&told.body["detached"], &told.body["worker"]), (&json!(true), &Value::Null));
    assert_eq!(world.pods().await.len(), 1);
}

#[tokio::test]
async fn a_message_waits_for_no_build() {
    let world = World::limited().await;
    for body in [push(), push().replace("refs/heads/main", "refs/heads/other")] {
        assert_eq!(world.send(delivery("push", body)).await.code, 200);
    }
    let told = world.send(request("/notify/slack/ocean/brig", message())).await;
    assert_eq!((told.code, &told.body["phase"]), (200, &Value::Null), "{told:?}");
    assert!(told.body["worker"].is_string(), "{told:?}");
}
