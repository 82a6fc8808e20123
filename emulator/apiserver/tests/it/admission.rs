//! Admission webhooks: a real HTTPS server is asked about what clients write.

mod webhook;

use apiserver::{Options, Server};
use axum::body::Body;
use http::{Request, Response};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower::ServiceExt;
use webhook::{Webhook, allow, patch, respond};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const HOOKS: &str = "/apis/admissionregistration.k8s.io/v1";

/// An answer of the server.
struct Answer {
    code: u16,
    warnings: Vec<String>,
    body: Value,
}

impl Answer {
    fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }
}

struct Cluster {
    server: Server,
}

impl Cluster {
    fn start() -> Cluster {
        Cluster { server: Server::new(Options::default()).expect("a server in memory starts") }
    }

    async fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        let media = match method {
            "PATCH" => "application/merge-patch+json",
            "APPLY" => "application/apply-patch+yaml",
            _ => "application/json",
        };
        let method = if method == "APPLY" { "PATCH" } else { method };
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", media)
            .header("user-agent", "test/1.0")
            .body(body)
            .expect("a request is made");
        let response = self.server.router().oneshot(request).await.expect("there is an answer");
        let code = response.status().as_u16();
        let warnings = response.headers().get_all("warning").iter();
        let warnings =
            warnings.map(|one| one.to_str().expect("a warning is text").to_owned()).collect();
        let bytes = response.into_body().collect().await.expect("the body can be read").to_bytes();
        Answer { code, warnings, body: serde_json::from_slice(&bytes).unwrap_or_default() }
    }

    async fn create_map(&self, name: &str) -> Answer {
        self.send("POST", MAPS, &map(name)).await
    }

    /// Registers webhooks, each some fields on top of one for configmaps.
    async fn register(&self, kind: &str, webhooks: &[Value]) {
        let webhooks: Vec<Value> = webhooks
            .iter()
            .enumerate()
            .map(|(index, fields)| {
                let mut webhook = json!({
                    "name": format!("hook{index}.example.com"),
                    "rules": [{
                        "operations": ["*"],
                        "apiGroups": [""],
                        "apiVersions": ["v1"],
                        "resources": ["configmaps"],
                    }],
                    "sideEffects": "None",
                    "admissionReviewVersions": ["v1"],
                });
                for (key, value) in fields.as_object().into_iter().flatten() {
                    webhook[key] = value.clone();
                }
                webhook
            })
            .collect();
        let configuration = json!({"metadata": {"name": "hooks"}, "webhooks": webhooks});
        let made = self.send("POST", &format!("{HOOKS}/{kind}"), &configuration).await;
        assert_eq!(made.code, 201, "{}", made.body);
    }

    async fn validate_by(&self, webhook: &Webhook, mut fields: Value) {
        fields["clientConfig"] = webhook.client_config();
        self.register("validatingwebhookconfigurations", &[fields]).await;
    }

    async fn mutate_by(&self, webhook: &Webhook, mut fields: Value) {
        fields["clientConfig"] = webhook.client_config();
        self.register("mutatingwebhookconfigurations", &[fields]).await;
    }
}

fn map(name: &str) -> Value {
    json!({"metadata": {"name": name}, "data": {"color": "red"}})
}

fn paint(request: &Value) -> Response<Body> {
    patch(request, &json!([{"op": "add", "path": "/data/painted", "value": "yes"}]))
}

fn deny(request: &Value) -> Response<Body> {
    respond(request, json!({"allowed": false, "status": {"message": "not today", "code": 403}}))
}

fn garbage(_: &Value) -> Response<Body> {
    Response::new(Body::from("this is no JSON"))
}

#[tokio::test]
async fn a_webhook_changes_what_is_created_patched_replaced_and_applied() {
    let (cluster, webhook) = (Cluster::start(), Webhook::start(paint).await);
    cluster.mutate_by(&webhook, json!({})).await;
    let made = cluster.create_map("a").await;
    assert_eq!(made.body["data"], json!({"color": "red", "painted": "yes"}));
    let owned = &made.body["metadata"]["managedFields"][0];
    assert_eq!(owned["fieldsV1"]["f:data"], json!({".": {}, "f:color": {}}));

    let path = format!("{MAPS}/a");
    let change = json!({"data": {"color": "blue", "painted": null}});
    let patched = cluster.send("PATCH", &path, &change).await;
    assert_eq!(patched.body["data"], json!({"color": "blue", "painted": "yes"}));
    let replaced = cluster.send("PUT", &path, &map("a")).await;
    assert_eq!(replaced.body["data"], json!({"color": "red", "painted": "yes"}));
    let mut applied = map("b");
    applied["apiVersion"] = json!("v1");
    applied["kind"] = json!("ConfigMap");
    let created = cluster.send("APPLY", &format!("{MAPS}/b?fieldManager=me"), &applied).await;
    assert_eq!((created.code, &created.body["data"]["painted"]), (201, &json!("yes")));
    applied["data"]["color"] = json!("green");
    let again = cluster.send("APPLY", &format!("{MAPS}/b?fieldManager=me"), &applied).await;
    assert_eq!(again.body["data"], json!({"color": "green", "painted": "yes"}));

    let operations: Vec<Value> =
        webhook.asked().iter().map(|request| request["operation"].clone()).collect();
    assert_eq!(operations, ["CREATE", "UPDATE", "UPDATE", "CREATE", "UPDATE"]);
}

#[tokio::test]
async fn a_webhook_is_told_everything_about_a_request() {
    let (cluster, webhook) = (Cluster::start(), Webhook::start(allow).await);
    cluster.validate_by(&webhook, json!({})).await;
    cluster.send("POST", &format!("{MAPS}?fieldManager=me"), &map("a")).await;
    cluster.send("PATCH", &format!("{MAPS}/a"), &json!({"data": {"color": "blue"}})).await;
    cluster.send("DELETE", &format!("{MAPS}/a?gracePeriodSeconds=3"), &Value::Null).await;
    let asked = webhook.asked();
    let [created, updated, deleted] = asked.as_slice() else { panic!("{asked:?}") };
    let kind = json!({"group": "", "version": "v1", "kind": "ConfigMap"});
    let resource = json!({"group": "", "version": "v1", "resource": "configmaps"});
    for request in [created, updated, deleted] {
        assert_eq!((&request["kind"], &request["requestKind"]), (&kind, &kind));
        assert_eq!((&request["resource"], &request["requestResource"]), (&resource, &resource));
        assert_eq!((&request["name"], &request["namespace"]), (&json!("a"), &json!("default")));
        assert_eq!(request["userInfo"]["username"], "kubernetes-admin");
        assert_eq!(request["dryRun"], false);
    }
    assert_eq!(created["object"]["kind"], "ConfigMap");
    assert_eq!(created["object"]["data"]["color"], "red");
    assert!(created["object"]["metadata"]["uid"].is_string());
    assert_eq!(created["oldObject"], Value::Null);
    let options = json!({
        "kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "me",
    });
    assert_eq!(created["options"], options);
    assert_eq!(updated["oldObject"]["data"]["color"], "red");
    assert_eq!(updated["object"]["data"]["color"], "blue");
    assert_eq!(updated["options"]["kind"], "UpdateOptions");
    assert_eq!(deleted["object"], Value::Null);
    assert_eq!(deleted["oldObject"]["data"]["color"], "blue");
    assert_eq!(deleted["options"]["gracePeriodSeconds"], 3);
}

#[tokio::test]
async fn a_denied_write_is_not_made_and_says_why() {
    let (cluster, webhook) = (Cluster::start(), Webhook::start(deny).await);
    cluster.validate_by(&webhook, json!({})).await;
    let denied = cluster.create_map("a").await;
    assert_eq!(denied.code, 403);
    let message = r#"admission webhook "hook0.example.com" denied the request: not today"#;
    assert_eq!(denied.message(), message);
    assert_eq!(denied.body.get("reason"), None);
    assert_eq!(cluster.send("GET", &format!("{MAPS}/a"), &Value::Null).await.code, 404);
}

#[tokio::test]
async fn a_denial_without_words_is_a_400() {
    fn silent(request: &Value) -> Response<Body> {
        respond(request, json!({"allowed": false}))
    }
    let (cluster, webhook) = (Cluster::start(), Webhook::start(silent).await);
    cluster.mutate_by(&webhook, json!({})).await;
    let denied = cluster.create_map("a").await;
    let message = r#"admission webhook "hook0.example.com" denied the request without explanation"#;
    assert_eq!((denied.code, denied.message()), (400, message));
}

#[tokio::test]
async fn deletions_are_asked_about_also_of_a_collection() {
    fn keep(request: &Value) -> Response<Body> {
        match (request["operation"].as_str(), request["name"].as_str()) {
            (Some("DELETE"), Some("b")) => deny(request),
            _ => allow(request),
        }
    }
    let (cluster, webhook) = (Cluster::start(), Webhook::start(keep).await);
    for name in ["a", "b"] {
        cluster.create_map(name).await;
    }
    cluster.validate_by(&webhook, json!({})).await;
    assert_eq!(cluster.send("DELETE", &format!("{MAPS}/b"), &Value::Null).await.code, 403);
    let all = format!("{MAPS}?fieldSelector=metadata.name!=kube-root-ca.crt");
    assert_eq!(cluster.send("DELETE", &all, &Value::Null).await.code, 403);
    assert_eq!(cluster.send("GET", &format!("{MAPS}/a"), &Value::Null).await.code, 404);
    assert_eq!(cluster.send("GET", &format!("{MAPS}/b"), &Value::Null).await.code, 200);
}

#[tokio::test]
async fn nobody_there_fails_or_is_ignored_as_the_policy_says() {
    let cluster = Cluster::start();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut webhook = Webhook::start(allow).await;
    webhook.address = address;
    cluster.validate_by(&webhook, json!({})).await;
    let failed = cluster.create_map("a").await;
    assert_eq!((failed.code, &failed.body["reason"]), (500, &json!("InternalError")));
    let why = format!(
        "Internal error occurred: failed calling webhook \"hook0.example.com\": failed to call webhook: Post \"https://{address}/hook?timeout=10s\": dial tcp {address}: connect: connection refused"
    );
    assert_eq!(failed.message(), why);

    let path = format!("{HOOKS}/validatingwebhookconfigurations/hooks");
    let mut configuration = cluster.send("GET", &path, &Value::Null).await.body;
    configuration["webhooks"][0]["failurePolicy"] = json!("Ignore");
    assert_eq!(cluster.send("PUT", &path, &configuration).await.code, 200);
    assert_eq!(cluster.create_map("a").await.code, 201);
}

#[tokio::test]
async fn a_webhook_that_does_not_answer_in_time_has_failed() {
    let cluster = Cluster::start();
    // It takes the connection and never says a word.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut webhook = Webhook::start(allow).await;
    webhook.address = listener.local_addr().unwrap();
    cluster.validate_by(&webhook, json!({"timeoutSeconds": 1})).await;
    let failed = cluster.create_map("a").await;
    assert_eq!(failed.code, 500);
    assert!(
        failed.message().ends_with("?timeout=1s\": context deadline exceeded"),
        "{}",
        failed.body
    );
}

#[tokio::test]
async fn only_the_certificates_of_the_configuration_are_trusted() {
    let cluster = Cluster::start();
    let mut webhook = Webhook::start(allow).await;
    webhook.bundle = Webhook::start(allow).await.bundle;
    cluster.validate_by(&webhook, json!({})).await;
    let failed = cluster.create_map("a").await;
    let why = "tls: failed to verify certificate: x509: certificate signed by unknown authority";
    assert!(failed.code == 500 && failed.message().ends_with(why), "{}", failed.body);
    assert_eq!(webhook.asked().len(), 0);
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let cluster = Cluster::start();
    let webhook = Webhook::named(&["elsewhere.example.com"], allow).await;
    cluster.validate_by(&webhook, json!({})).await;
    let failed = cluster.create_map("a").await;
    let why = "x509: certificate is not valid for 127.0.0.1";
    assert!(failed.code == 500 && failed.message().ends_with(why), "{}", failed.body);
}

#[tokio::test]
async fn what_makes_no_sense_is_a_failure_and_not_an_answer() {
    fn huge(_: &Value) -> Response<Body> {
        Response::new(Body::from(vec![b' '; 4 * 1024 * 1024]))
    }
    fn elsewhere(_: &Value) -> Response<Body> {
        Response::builder()
            .status(307)
            .header("location", "/x")
            .body(Body::empty())
            .expect("an answer is made")
    }
    fn stranger(request: &Value) -> Response<Body> {
        respond(&json!({"uid": "mine"}), json!({"allowed": request["uid"].is_string()}))
    }
    fn broken(_: &Value) -> Response<Body> {
        Response::builder().status(500).body(Body::from("no")).expect("an answer is made")
    }
    fn bare(_: &Value) -> Response<Body> {
        Response::new(Body::from("{}"))
    }
    fn half(request: &Value) -> Response<Body> {
        respond(request, json!({"allowed": true, "patch": "W10="}))
    }
    fn misfit(request: &Value) -> Response<Body> {
        patch(request, &json!([{"op": "remove", "path": "/not/there"}]))
    }
    fn mistyped(request: &Value) -> Response<Body> {
        patch(request, &json!([{"op": "add", "path": "/data", "value": 7}]))
    }
    type Case = (fn(&Value) -> Response<Body>, &'static str);
    let cases: &[Case] = &[
        (garbage, "json parse error"),
        (huge, "the answer is larger than"),
        (elsewhere, "the server responded with the status code 307"),
        (stranger, "received invalid webhook response: expected response.uid="),
        (broken, "an error on the server (\"no\") has prevented the request from succeeding"),
        (bare, "received invalid webhook response: webhook response was absent"),
        (half, "webhook returned response.patch but not response.patchType"),
        (misfit, "does not fit the object"),
        (mistyped, "Internal error occurred: "),
    ];
    for (answer, why) in cases {
        let (cluster, webhook) = (Cluster::start(), Webhook::start(*answer).await);
        cluster.mutate_by(&webhook, json!({})).await;
        let failed = cluster.create_map("a").await;
        assert!(failed.code == 500 && failed.message().contains(why), "{why}: {}", failed.body);
    }
}

#[tokio::test]
async fn rules_and_selectors_say_what_is_asked_about() {
    let (cluster, webhook) = (Cluster::start(), Webhook::start(deny).await);
    cluster.send("POST", "/api/v1/namespaces", &json!({"metadata": {"name": "quiet"}})).await;
    let webhooks = [
        json!({"objectSelector": {"matchLabels": {"watched": "yes"}}}),
        json!({"namespaceSelector": {
            "matchExpressions": [{
                "key": "kubernetes.io/metadata.name", "operator": "In", "values": ["quiet"],
            }],
        }}),
        json!({"rules": [{
            "operations": ["UPDATE"], "apiGroups": ["*"], "apiVersions": ["*"],
            "resources": ["pods/status"], "scope": "Namespaced",
        }]}),
        json!({"rules": [{
            "operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"],
            "resources": ["*"], "scope": "Cluster",
        }]}),
    ];
    let webhooks: Vec<Value> = webhooks
        .into_iter()
        .map(|mut fields| {
            fields["clientConfig"] = webhook.client_config();
            fields
        })
        .collect();
    cluster.register("validatingwebhookconfigurations", &webhooks).await;
    assert_eq!(cluster.create_map("plain").await.code, 201);
    let mut watched = map("watched");
    watched["metadata"]["labels"] = json!({"watched": "yes"});
    assert_eq!(cluster.send("POST", MAPS, &watched).await.code, 403);
    let quiet = "/api/v1/namespaces/quiet/configmaps";
    assert_eq!(cluster.send("POST", quiet, &map("plain")).await.code, 403);
    let pods = "/api/v1/namespaces/default/pods";
    let pod =
        json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    assert_eq!(cluster.send("POST", pods, &pod).await.code, 201);
    let label = json!({"metadata": {"labels": {"a": "b"}}});
    assert_eq!(cluster.send("PATCH", &format!("{pods}/p"), &label).await.code, 200);
    let status = json!({"status": {"phase": "Running"}});
    assert_eq!(cluster.send("PATCH", &format!("{pods}/p/status"), &status).await.code, 403);
    assert_eq!(webhook.asked().last().unwrap()["subResource"], "status");
    let namespace = json!({"metadata": {"name": "more"}});
    assert_eq!(cluster.send("POST", "/api/v1/namespaces", &namespace).await.code, 403);
}

#[tokio::test]
async fn conditions_are_evaluated_and_their_errors_follow_the_policy() {
    let (cluster, webhook) = (Cluster::start(), Webhook::start(deny).await);
    let red = "object.data.color == 'red' && request.operation == 'CREATE' && oldObject == null";
    cluster
        .validate_by(&webhook, json!({"matchConditions": [{"name": "red", "expression": red}]}))
        .await;
    assert_eq!(cluster.create_map("a").await.code, 403);
    let mut blue = map("b");
    blue["data"]["color"] = json!("blue");
    assert_eq!(cluster.send("POST", MAPS, &blue).await.code, 201);
    let failed = cluster.send("POST", MAPS, &json!({"metadata": {"name": "c"}})).await;
    assert_eq!((failed.code, &failed.body["reason"]), (403, &json!("Forbidden")));
    assert!(failed.message().starts_with("configmaps \"c\" is forbidden: "), "{}", failed.body);
}

#[tokio::test]
async fn a_dry_run_is_said_to_be_one() {
    let (cluster, webhook) = (Cluster::start(), Webhook::start(paint).await);
    cluster.mutate_by(&webhook, json!({"sideEffects": "NoneOnDryRun"})).await;
    let dry = cluster.send("POST", &format!("{MAPS}?dryRun=All"), &map("a")).await;
    assert_eq!((dry.code, &dry.body["data"]["painted"]), (201, &json!("yes")));
    assert_eq!(webhook.asked()[0]["dryRun"], true);
    assert_eq!(webhook.asked()[0]["options"]["dryRun"], json!(["All"]));
    assert_eq!(cluster.send("GET", &format!("{MAPS}/a"), &Value::Null).await.code, 404);
}

#[tokio::test]
async fn a_configuration_that_makes_no_sense_is_refused() {
    let cluster = Cluster::start();
    let configuration = json!({"metadata": {"name": "bad"}, "webhooks": [{
        "name": "short",
        "rules": [{"operations": ["READ"], "apiGroups": [], "apiVersions": ["*", "v1"]}],
        "sideEffects": "Some",
        "timeoutSeconds": 31,
        "clientConfig": {"url": "http://user@/?q"},
        "matchConditions": [{"name": "a", "expression": "1 +"}],
        "admissionReviewVersions": ["v3"],
    }]});
    let path = format!("{HOOKS}/mutatingwebhookconfigurations");
    let refused = cluster.send("POST", &path, &configuration).await;
    assert_eq!(refused.code, 422);
    let causes = refused.body["details"]["causes"].as_array().unwrap();
    let fields: Vec<&str> = causes.iter().filter_map(|one| one["field"].as_str()).collect();
    let expected = [
        "name",
        "rules[0].operations[0]",
        "rules[0].apiGroups",
        "rules[0].apiVersions",
        "rules[0].resources",
        "sideEffects",
        "timeoutSeconds",
        "clientConfig.url",
        "clientConfig.url",
        "clientConfig.url",
        "clientConfig.url",
        "matchConditions[0].expression",
        "admissionReviewVersions",
    ];
    assert_eq!(fields, expected.map(|field| format!("webhooks[0].{field}")));
}

#[tokio::test]
async fn warnings_reach_the_client_also_of_who_denies() {
    fn grumble(request: &Value) -> Response<Body> {
        let allowed = request["name"] != "bad";
        respond(request, json!({"allowed": allowed, "warnings": ["mind \"the\" gap", "twice"]}))
    }
    let (cluster, webhook) = (Cluster::start(), Webhook::start(grumble).await);
    cluster.validate_by(&webhook, json!({})).await;
    let made = cluster.create_map("a").await;
    assert_eq!(made.warnings, [r#"299 - "mind \"the\" gap""#, r#"299 - "twice""#]);
    let denied = cluster.create_map("bad").await;
    assert_eq!((denied.code, denied.warnings.len()), (400, 2));
}

#[tokio::test]
async fn who_wants_to_sees_again_what_others_changed_after() {
    /// Counts, in a label, how often it was asked.
    fn count(request: &Value) -> Response<Body> {
        let seen = request["object"]["data"]["seen"].as_str().unwrap_or_default();
        let value = format!(
            "{seen}{}",
            if request["object"]["data"]["painted"].is_null() { "1" } else { "2" }
        );
        patch(request, &json!([{"op": "add", "path": "/data/seen", "value": value}]))
    }
    let cluster = Cluster::start();
    let (first, second) = (Webhook::start(count).await, Webhook::start(paint).await);
    cluster
        .register(
            "mutatingwebhookconfigurations",
            &[
                json!({"clientConfig": first.client_config(), "reinvocationPolicy": "IfNeeded"}),
                json!({"clientConfig": second.client_config()}),
            ],
        )
        .await;
    let made = cluster.create_map("a").await;
    assert_eq!(made.body["data"]["seen"], "12");
    assert_eq!((first.asked().len(), second.asked().len()), (2, 1));
}

#[tokio::test]
async fn a_container_that_is_injected_gets_defaults_and_the_token() {
    fn inject(request: &Value) -> Response<Body> {
        let sidecar = json!({"name": "sidecar", "image": "proxy"});
        patch(request, &json!([{"op": "add", "path": "/spec/containers/-", "value": sidecar}]))
    }
    let (cluster, webhook) = (Cluster::start(), Webhook::start(inject).await);
    let rules = json!([{
        "operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"],
    }]);
    cluster.mutate_by(&webhook, json!({"rules": rules})).await;
    let pod = json!({
        "metadata": {"generateName": "p-"},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    });
    let made = cluster.send("POST", "/api/v1/namespaces/default/pods", &pod).await;
    assert_eq!(made.code, 201, "{}", made.body);
    let sidecar = &made.body["spec"]["containers"][1];
    assert_eq!(sidecar["terminationMessagePolicy"], "File");
    let volumes = made.body["spec"]["volumes"].as_array().unwrap();
    assert_eq!((volumes.len(), &sidecar["volumeMounts"][0]["name"]), (1, &volumes[0]["name"]));
    let asked = &webhook.asked()[0];
    assert_eq!(
        (asked.get("name"), &asked["object"]["metadata"]["generateName"]),
        (None, &json!("p-"))
    );
}

#[tokio::test]
async fn a_scale_a_binding_and_an_eviction_are_asked_about_as_themselves() {
    let (cluster, webhook) = (Cluster::start(), Webhook::start(allow).await);
    let pods = "/api/v1/namespaces/default/pods";
    let pod =
        json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    cluster.send("POST", pods, &pod).await;
    let sets = "/apis/apps/v1/namespaces/default/replicasets";
    let set = json!({
        "metadata": {"name": "r"},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": pod["spec"]},
        },
    });
    assert_eq!(cluster.send("POST", sets, &set).await.code, 201);
    let rules = json!([{
        "operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"],
    }]);
    cluster.validate_by(&webhook, json!({"rules": rules})).await;
    let scale = json!({"spec": {"replicas": 0}});
    let scaled = cluster.send("PATCH", &format!("{sets}/r/scale"), &scale).await;
    assert_eq!(scaled.code, 200, "{}", scaled.body);
    let eviction = json!({"metadata": {"name": "p"}});
    cluster.send("POST", &format!("{pods}/p/eviction"), &eviction).await;
    let asked = webhook.asked();
    let kinds: Vec<(&Value, &Value)> =
        asked.iter().map(|one| (&one["kind"]["kind"], &one["operation"])).collect();
    let (scale, eviction) = (json!("Scale"), json!("Eviction"));
    assert_eq!(kinds, [(&scale, &json!("UPDATE")), (&eviction, &json!("CREATE"))]);
    assert_eq!(asked[0]["kind"]["group"], "autoscaling");
    assert_eq!(asked[0]["oldObject"]["kind"], "Scale");
}

#[tokio::test]
async fn an_event_is_shown_in_the_form_that_the_rule_names() {
    let (cluster, webhook) = (Cluster::start(), Webhook::start(allow).await);
    let rules = json!([{
        "operations": ["*"], "apiGroups": ["events.k8s.io"], "apiVersions": ["v1"],
        "resources": ["events"],
    }]);
    cluster.validate_by(&webhook, json!({"rules": rules})).await;
    let event = json!({
        "metadata": {"name": "e"},
        "involvedObject": {"namespace": "default"},
        "message": "hello",
    });
    let made = cluster.send("POST", "/api/v1/namespaces/default/events", &event).await;
    assert_eq!(made.code, 201, "{}", made.body);
    let asked = &webhook.asked()[0];
    assert_eq!(asked["object"]["note"], "hello");
    assert_eq!(asked["object"]["apiVersion"], "events.k8s.io/v1");
    assert_eq!(
        (&asked["kind"]["group"], &asked["requestKind"]["group"]),
        (&json!("events.k8s.io"), &json!(""))
    );
}

#[tokio::test]
async fn a_service_leads_to_its_endpoints() {
    let cluster = Cluster::start();
    let webhook = Webhook::named(&["hook.default.svc"], deny).await;
    let client = json!({
        "service": {"namespace": "default", "name": "hook", "path": "/x", "port": 8443},
        "caBundle": webhook.bundle,
    });
    cluster.register("validatingwebhookconfigurations", &[json!({"clientConfig": client})]).await;
    let failed = cluster.create_map("a").await;
    let why = "Post \"https://hook.default.svc:8443/x?timeout=10s\": service \"hook\" not found";
    assert!(failed.message().ends_with(why), "{}", failed.body);

    let namespace = "/api/v1/namespaces/default";
    let service = json!({"metadata": {"name": "hook"}, "spec": {"ports": [{"port": 8443}]}});
    cluster.send("POST", &format!("{namespace}/services"), &service).await;
    let failed = cluster.create_map("a").await;
    let why = "no endpoints available for service \"hook\"";
    assert!(failed.message().ends_with(why), "{}", failed.body);
    let endpoints = json!({
        "metadata": {"name": "hook"},
        "subsets": [{
            "addresses": [{"ip": "127.0.0.1"}],
            "ports": [{"port": webhook.address.port()}],
        }],
    });
    cluster.send("POST", &format!("{namespace}/endpoints"), &endpoints).await;
    assert_eq!(cluster.create_map("a").await.code, 403);
}

#[tokio::test]
async fn a_webhook_cannot_stand_in_the_way_of_its_own_removal() {
    let (cluster, webhook) = (Cluster::start(), Webhook::start(deny).await);
    let rules = json!([{
        "operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"],
    }]);
    cluster.validate_by(&webhook, json!({"rules": rules})).await;
    assert_eq!(cluster.create_map("a").await.code, 403);
    let path = format!("{HOOKS}/validatingwebhookconfigurations/hooks");
    assert_eq!(cluster.send("DELETE", &path, &Value::Null).await.code, 200);
    assert_eq!(cluster.create_map("a").await.code, 201);
}

#[tokio::test]
async fn a_write_that_comes_between_is_seen_by_the_webhook() {
    // While it is asked the first time, the object is changed behind its back.
    let cluster = Cluster::start();
    cluster.create_map("a").await;
    let webhook = Webhook::start(allow).await;
    cluster.validate_by(&webhook, json!({})).await;
    let path = format!("{MAPS}/a");
    let both = ["one", "two"].map(|key| {
        let (cluster, path) = (&cluster, &path);
        async move { cluster.send("PATCH", path, &json!({"data": {key: "here"}})).await }
    });
    for answer in futures::future::join_all(both).await {
        assert_eq!(answer.code, 200);
    }
    let whole = json!({"color": "red", "one": "here", "two": "here"});
    let found = cluster.send("GET", &path, &Value::Null).await;
    assert_eq!(found.body["data"], whole);
    assert!(webhook.asked().iter().any(|request| request["object"]["data"] == whole));
}
