//! Deliveries by a project's own rules, from the request to the cluster.

use runtime::signature::scheme::{GITHUB, STANDARD_WEBHOOKS};
use runtime::signature::{Scheme, Stamp};

use super::*;

/// A project with rules for a shop, a CI and a bank.
async fn world() -> World {
    let world = World::without_scripts().await;
    let hooks = json!([
        {"name": "shop", "event": "order", "action": "/status", "identity": ["/id", "/status"],
         "proof": {"type": "token", "header": "X-Shop"}, "secret": "SHOP"},
        {"name": "ci", "event": "ci", "action": "/state", "each": "/stages",
         "revision": {"ref": "body:/ref"},
         "proof": {"type": "hmac-sha256", "header": "X-Hub-Signature-256", "prefix": "sha256="},
         "secret": "CI"},
        {"name": "bank", "event": "paid", "proof": "standard-webhooks", "secret": "BANK"},
        {"name": "plain", "event": "said"},
    ]);
    let secrets =
        json!({"SHOP": "sh0p", "CI": "new\nold", "BANK": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"});
    let keys = json!({
        "sharedSecret": SECRET,
        "genericGatewaySecret": "ahoy",
        "hooks": hooks.to_string(),
        "secrets": secrets.to_string(),
    });
    world.project("ocean/brig", keys).await;
    world
}

fn delivery(name: &str, headers: &[(&str, &str)], body: &str) -> Request<Body> {
    let mut request = post(&format!("/events/hook/ocean/brig/{name}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.to_owned().into()).unwrap()
}

#[tokio::test]
async fn alerts_need_no_rule_and_are_a_build_each() {
    let world = World::without_scripts().await;
    let alert = |name: &str| json!({"status": "firing", "labels": {"alertname": name}, "startsAt": "2026-03-01T10:00:00Z"});
    let body = |alerts: &[&str]| {
        let alerts: Vec<Value> = alerts.iter().map(|name| alert(name)).collect();
        json!({"version": "4", "groupKey": "g", "status": "firing", "alerts": alerts}).to_string()
    };
    let bearer = [("authorization", "Bearer aye aye"), ("content-type", "application/json")];
    let send = |alerts: &[&str]| world.send(delivery("alertmanager", &bearer, &body(alerts)));
    let told = send(&["Fire"]).await;
    assert_eq!((told.code, &told.body["events"]), (200, &json!(["alert", "alert:firing"])));
    // It still burns, and now it floods, too.
    let told = send(&["Fire", "Flood"]).await;
    assert_eq!(told.code, 200, "{told:?}");
    assert_eq!(told.body["builds"][0]["duplicate"], true);
    assert_eq!(told.body["builds"][1]["duplicate"], false);
    assert_eq!(world.builds().await.len(), 2);
    assert_eq!(world.send(delivery("alertmanager", &[], &body(&["Fire"]))).await.code, 401);
}

#[tokio::test]
async fn a_header_that_is_a_secret_proves_a_shop() {
    let world = world().await;
    let body = r#"{"id": 7, "status": "paid"}"#;
    let told = world.send(delivery("shop", &[("x-shop", "sh0p")], body)).await;
    assert_eq!(told.body["events"], json!(["order", "order:paid"]), "{told:?}");
    let build = &world.app.cluster.builds("default").await.unwrap()[0];
    assert_eq!((build.event.provider.as_str(), &*build.event.payload), ("shop", body.as_bytes()));
    // The same order in other words.
    let again = delivery("shop", &[("x-shop", "sh0p")], r#"{"status": "paid", "id": 7, "n": 1}"#);
    assert_eq!(world.send(again).await.body["duplicate"], true);
    for headers in [
        &[][..],
        &[("x-shop", "")],
        &[("x-shop", "ahoy")],
        &[("x-shop", "sh0p"), ("x-shop", "sh0p")],
        &[("authorization", "Bearer sh0p")],
        &[("authorization", "Bearer ahoy")],
    ] {
        assert_eq!(world.send(delivery("shop", headers, body)).await.code, 401, "{headers:?}");
    }
    assert_eq!(world.builds().await.len(), 1);
}

#[tokio::test]
async fn a_signature_over_the_body_proves_a_ci_and_both_of_its_secrets_count() {
    let world = world().await;
    let body = r#"{"ref": "refs/heads/main", "stages": [{"state": "ok"}, {"state": "bad"}]}"#;
    let sign = |secret: &str| GITHUB.sign(secret, Stamp::default(), body.as_bytes()).unwrap();
    let send = |signature: String, more: &'static str| {
        let headers = [("x-hub-signature-256", &*signature), ("webhook-id", more)];
        world.send(delivery("ci", &headers, body))
    };
    let told = send(sign("new"), "1").await;
    assert_eq!(told.code, 200, "{told:?}");
    assert_eq!(told.body["builds"][1]["events"], json!(["ci", "ci:bad"]));
    // Nobody has signed the header, so it does not make another event of the same body.
    let again = send(sign("old"), "2").await;
    assert!(again.body["builds"].as_array().unwrap().iter().all(|made| made["duplicate"] == true));
    for forged in
        [sign("ahoy"), sign(SECRET), "sha256=".to_owned(), sign("new").replace("256=", "1=")]
    {
        assert_eq!(send(forged, "3").await.code, 401);
    }
    assert_eq!(world.builds().await.len(), 2);
    let builds = world.app.cluster.builds("default").await.unwrap();
    assert!(builds.iter().all(|build| build.event.revision.reference == "refs/heads/main"));
}

#[tokio::test]
async fn standard_webhooks_are_proved_and_known_by_their_ids() {
    let world = world().await;
    let seconds = jiff::Timestamp::now().as_second();
    let send = |id: &'static str, seconds: i64, body: &'static str| {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let seconds = seconds.to_string();
        let stamp = Stamp { id, seconds: &seconds };
        let scheme: Scheme<'_> = STANDARD_WEBHOOKS;
        let signature = scheme.sign(secret, stamp, body.as_bytes()).unwrap();
        let headers = [
            ("webhook-id", id),
            ("webhook-timestamp", &*seconds),
            ("webhook-signature", &*signature),
        ];
        world.send(delivery("bank", &headers, body))
    };
    assert_eq!(send("msg_1", seconds, r#"{"sum": 1}"#).await.body["events"], json!(["paid"]));
    assert_eq!(send("msg_1", seconds + 1, r#"{"sum": 1}"#).await.body["duplicate"], true);
    assert_eq!(send("msg_2", seconds, r#"{"sum": 1}"#).await.body["duplicate"], false);
    // What was overheard an hour ago.
    assert_eq!(send("msg_3", seconds - 3600, r#"{"sum": 1}"#).await.code, 401);
    assert_eq!(world.builds().await.len(), 2);
}

#[tokio::test]
async fn a_token_proves_what_has_no_other_proof_and_may_name_deliveries() {
    let world = world().await;
    let id = runtime::project::id_of("ocean/brig");
    let send = |key: &str| {
        let request = post(&format!("/events/hook/{id}/plain?token=ahoy"));
        world.send(request.header("idempotency-key", key).body("{}".into()).unwrap())
    };
    assert_eq!(send("1").await.body["duplicate"], false);
    assert_eq!(send("1").await.body["duplicate"], true);
    assert_eq!(send("2").await.body["duplicate"], false);
    assert_eq!(world.send(delivery("plain", &[], "{}")).await.code, 401);
    let told = world.send(delivery("plain", &[("authorization", "Bearer ahoy")], "7")).await;
    assert_eq!(told.code, 400, "{told:?}");
}

#[tokio::test]
async fn there_is_nothing_at_the_address_of_no_rule() {
    let world = world().await;
    let told = world.send(delivery("other", &[("authorization", "Bearer ahoy")], "{}")).await;
    assert_eq!((told.code, &told.body["status"]), (404, &json!("not found")));
    // Who has no token cannot try which rules there are.
    let without = world.send(delivery("other", &[], "{}")).await;
    assert_eq!(without.code, 401);
    for name in ["shop", "ci", "bank", "plain", "alertmanager"] {
        let other = world.send(delivery(name, &[], "{}")).await;
        assert_eq!((other.code, other.body), (401, without.body.clone()), "{name}");
    }
    let nowhere = post("/events/hook/no/such/plain").body("{}".into()).unwrap();
    assert_eq!(world.send(nowhere).await.code, 404);
    assert!(world.is_untouched().await);
}

#[tokio::test]
async fn a_projects_filters_count_for_its_rules_too() {
    let world = world().await;
    let keys = json!({
        "sharedSecret": SECRET,
        "filters.branches": "main",
        "hooks": json!([{"name": "x", "event": "e", "revision": {"ref": "/ref"}}]).to_string(),
    });
    world.project("ocean/brig", keys).await;
    let send = |body: &str| world.send(delivery("x", &[("authorization", SECRET)], body));
    assert_eq!(send(r#"{"ref": "refs/heads/main"}"#).await.body["status"], "Success");
    let told = send(r#"{"ref": "refs/heads/dev"}"#).await;
    assert_eq!(told.body["reason"], "the branch is `dev`; the project's filter takes `main`");
}
