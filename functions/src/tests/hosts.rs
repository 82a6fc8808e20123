//! The deliveries of git hosts other than GitHub, from the request to the cluster.

use jiff::Timestamp;
use runtime::signature::{Stamp, scheme};

use super::*;

const SIGNING: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A delivery of this body, with these headers.
fn json_to(uri: &str, body: &Value, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = post(uri).header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.to_string().into()).unwrap()
}

fn gitlab_push() -> Value {
    json!({
        "object_kind": "push",
        "ref": "refs/heads/main",
        "after": "2222222222222222222222222222222222222222",
        "checkout_sha": "2222222222222222222222222222222222222222",
        "project": {"path_with_namespace": "ocean/brig", "default_branch": "main"},
    })
}

fn gitlab(body: &Value, headers: &[(&str, &str)]) -> Request<Body> {
    let mut all = vec![("x-gitlab-token", SECRET)];
    all.extend(headers);
    json_to("/events/gitlab", body, &all)
}

/// A delivery of GitLab's, signed at this moment.
fn gitlab_signed(body: &Value, secret: &str, id: &str, seconds: i64) -> Request<Body> {
    let seconds = seconds.to_string();
    let stamp = Stamp { id, seconds: &seconds };
    let signed =
        scheme::STANDARD_WEBHOOKS.sign(secret, stamp, body.to_string().as_bytes()).unwrap();
    let headers =
        [("webhook-id", id), ("webhook-timestamp", &seconds), ("webhook-signature", &signed)];
    json_to("/events/gitlab", body, &headers)
}

#[tokio::test]
async fn a_gitlab_push_makes_one_build_however_often_it_comes() {
    let world = World::without_scripts().await;
    let first = world.send(gitlab(&gitlab_push(), &[])).await;
    assert_eq!((first.code, &first.body["events"]), (200, &json!(["push"])), "{first:?}");
    let build = &world.app.cluster.builds("default").await.unwrap()[0];
    assert_eq!(build.event.payload, gitlab_push().to_string());
    assert_eq!(build.event.provider, "gitlab");
    // The header of the event is not proved by anything, and not looked at.
    let again = world.send(gitlab(&gitlab_push(), &[("x-gitlab-event", "Tag Push Hook")])).await;
    assert_eq!(again.body["build"], first.body["build"]);
    assert_eq!(again.body["duplicate"], true);
}

#[tokio::test]
async fn the_same_push_made_twice_is_two_deliveries_of_gitlab() {
    let world = World::without_scripts().await;
    let first = world.send(gitlab(&gitlab_push(), &[("idempotency-key", "a")])).await;
    let again = world.send(gitlab(&gitlab_push(), &[("idempotency-key", "a")])).await;
    let other = world.send(gitlab(&gitlab_push(), &[("idempotency-key", "b")])).await;
    assert_eq!(
        (&again.body["build"], &again.body["duplicate"]),
        (&first.body["build"], &json!(true))
    );
    assert_ne!(other.body["build"], first.body["build"]);
    assert_eq!(world.builds().await.len(), 2);
}

#[tokio::test]
async fn gitlab_is_refused_in_the_same_words_whatever_is_wrong() {
    let world = World::without_scripts().await;
    let missing = world.send(json_to("/events/gitlab", &gitlab_push(), &[])).await;
    assert_eq!(missing.code, 403);
    for token in ["aye", "", "aye aye aye", "AYE AYE"] {
        let wrong = json_to("/events/gitlab", &gitlab_push(), &[("x-gitlab-token", token)]);
        let told = world.send(wrong).await;
        assert_eq!((told.code, &told.body), (403, &missing.body), "{token:?}");
    }
    let twice = gitlab(&gitlab_push(), &[("x-gitlab-token", SECRET)]);
    assert_eq!(world.send(twice).await.body, missing.body);
    assert!(world.is_untouched().await);
}

#[tokio::test]
async fn a_project_without_a_secret_is_no_servers_fault() {
    let world = World::without_scripts().await;
    world.project("ocean/open", json!({"sharedSecret": " "})).await;
    let mut body = gitlab_push();
    body["project"]["path_with_namespace"] = json!("ocean/open");
    for headers in [&[("x-gitlab-token", " ")][..], &[]] {
        let told = world.send(json_to("/events/gitlab", &body, headers)).await;
        assert_eq!(told.code, 403, "{told:?}");
        assert_eq!(told.body["status"], "No secret is configured for this repo.");
    }
    assert!(world.is_untouched().await);
}

#[tokio::test]
async fn a_signing_token_proves_gitlab_for_five_minutes() {
    let world = World::without_scripts().await;
    let secrets = json!({"sharedSecret": format!("{SECRET}\n{SIGNING}")});
    world.project("ocean/brig", secrets).await;
    let now = Timestamp::now().as_second();
    let body = gitlab_push();
    let told = world.send(gitlab_signed(&body, SIGNING, "msg_1", now)).await;
    assert_eq!(told.code, 200, "{told:?}");
    // It is sent again with a new moment, and is the same delivery.
    let again = world.send(gitlab_signed(&body, SIGNING, "msg_1", now + 1)).await;
    assert_eq!(
        (&again.body["build"], &again.body["duplicate"]),
        (&told.body["build"], &json!(true))
    );
    for (secret, seconds) in [(SIGNING, now - 1000), (SIGNING, now + 1000), (SECRET, now)] {
        let mut forged = gitlab_signed(&body, secret, "msg_2", seconds);
        assert_eq!(world.send(gitlab_signed(&body, secret, "msg_2", seconds)).await.code, 403);
        // Not even the right token makes good a wrong signature.
        forged.headers_mut().insert("x-gitlab-token", SECRET.parse().unwrap());
        assert_eq!(world.send(forged).await.code, 403);
    }
    assert_eq!(world.builds().await.len(), 1);
}

#[tokio::test]
async fn a_gitlab_event_of_no_project_is_ignored_and_kept_nowhere() {
    let world = World::without_scripts().await;
    let body = json!({"event_name": "user_create", "name": "Ada"});
    let told = world.send(json_to("/events/gitlab", &body, &[])).await;
    assert_eq!((told.code, &told.body["message"]), (200, &json!("Ignored")));
    assert!(!told.body.to_string().contains("Ada"));
    let unknown = json!({"object_kind": "push", "project": {"path_with_namespace": "ocean/none"}});
    assert_eq!(world.send(gitlab(&unknown, &[])).await.code, 404);
}

#[tokio::test]
async fn what_gitlab_tells_of_is_filtered_by_the_project() {
    let world = World::without_scripts().await;
    let keys = json!({"sharedSecret": SECRET, "filters.branches": "main", "filters.events": "push,feature_flag"});
    world.project("ocean/brig", keys).await;
    let mut body = gitlab_push();
    assert!(world.send(gitlab(&body, &[])).await.body["build"].is_string());
    body["ref"] = json!("refs/heads/wip");
    let told = world.send(gitlab(&body, &[])).await;
    assert_eq!(told.body["reason"], "the branch is `wip`; the project's filter takes `main`");
    body["object_kind"] = json!("feature_flag");
    let told = world.send(gitlab(&body, &[])).await;
    assert_eq!(told.body["events"], json!(["feature_flag"]), "{told:?}");
    body["object_kind"] = json!("emoji");
    let told = world.send(gitlab(&body, &[])).await;
    assert_eq!(
        told.body["reason"],
        "`emoji` events are built only where filters.events names them"
    );
}
