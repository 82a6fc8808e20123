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
    // The hook of a group tells of repositories that nobody builds, and must not be refused for it.
    let told = world.send(gitlab(&unknown, &[])).await;
    assert_eq!((told.code, &told.body["message"]), (200, &json!("Ignored")));
    assert!(world.is_untouched().await);
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

/// A delivery of Gitea, signed in this header.
fn gitea(body: &Value, header: &str, secret: &str) -> Request<Body> {
    let scheme = scheme::ALL.into_iter().find(|scheme| scheme.header == header).unwrap();
    let signed = scheme.sign(secret, Stamp::default(), body.to_string().as_bytes()).unwrap();
    json_to("/events/gitea", body, &[(header, &signed)])
}

#[tokio::test]
async fn gitea_forgejo_and_gogs_are_proved_by_their_signatures() {
    let world = World::without_scripts().await;
    let body: Value = serde_json::from_str(&push()).unwrap();
    let headers =
        ["x-gitea-signature", "x-forgejo-signature", "x-gogs-signature", "x-hub-signature-256"];
    let first = world.send(gitea(&body, headers[0], SECRET)).await;
    assert_eq!((first.code, &first.body["events"]), (200, &json!(["push"])), "{first:?}");
    let missing = world.send(json_to("/events/gitea", &body, &[])).await;
    assert_eq!(missing.code, 403);
    for header in headers {
        assert_eq!(
            world.send(gitea(&body, header, SECRET)).await.body["build"],
            first.body["build"]
        );
        let forged = world.send(gitea(&body, header, "aye")).await;
        assert_eq!((forged.code, &forged.body), (403, &missing.body), "{header}");
    }
    // Forgejo sends Gitea's header, too, and a right one does not make good a wrong one.
    let mut both = gitea(&body, "x-gitea-signature", SECRET);
    both.headers_mut().insert("x-forgejo-signature", "00".repeat(32).parse().unwrap());
    assert_eq!(world.send(both).await.code, 403);
    assert_eq!(world.builds().await.len(), 1);
}

#[tokio::test]
async fn giteas_forms_are_signed_by_their_json() {
    let world = World::without_scripts().await;
    let body = push();
    let signed = scheme::GITEA.sign(SECRET, Stamp::default(), body.as_bytes()).unwrap();
    let form = format!(
        "payload={}",
        percent_encoding::utf8_percent_encode(&body, percent_encoding::NON_ALPHANUMERIC)
    );
    let request = post("/events/gitea")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("x-gitea-signature", signed)
        .body(form.into())
        .unwrap();
    let told = world.send(request).await;
    assert_eq!(told.code, 200, "{told:?}");
    let build = &world.app.cluster.builds("default").await.unwrap()[0];
    assert_eq!(build.event.payload, body);
}

fn bitbucket(key: &str, body: &Value, secret: &str) -> Request<Body> {
    let signed =
        scheme::BITBUCKET.sign(secret, Stamp::default(), body.to_string().as_bytes()).unwrap();
    let headers = [("x-event-key", key), ("x-hub-signature", signed.as_str())];
    json_to("/events/bitbucket", body, &headers)
}

fn bitbucket_push() -> Value {
    let change = |name: &str, digit: &str| json!({"new": {"type": "branch", "name": name, "target": {"hash": digit.repeat(40)}}});
    json!({
        "push": {"changes": [change("main", "1"), change("topic", "2")]},
        "repository": {"full_name": "ocean/brig"},
    })
}

#[tokio::test]
async fn every_branch_that_is_pushed_to_bitbucket_is_one_build() {
    let world = World::without_scripts().await;
    let told = world.send(bitbucket("repo:push", &bitbucket_push(), SECRET)).await;
    assert_eq!(told.code, 200, "{told:?}");
    let builds = told.body["builds"].as_array().unwrap();
    assert_eq!(builds.len(), 2);
    let again = world.send(bitbucket("repo:push", &bitbucket_push(), SECRET)).await;
    for (first, second) in builds.iter().zip(again.body["builds"].as_array().unwrap()) {
        assert_eq!((&second["build"], &second["duplicate"]), (&first["build"], &json!(true)));
    }
    // Only what the project takes is built, and of one event the answer is as ever.
    let keys = json!({"sharedSecret": SECRET, "filters.branches": "topic"});
    world.project("ocean/brig", keys).await;
    let told = world.send(bitbucket("repo:push", &bitbucket_push(), SECRET)).await;
    assert_eq!(told.body["build"], builds[1]["build"], "{told:?}");
}

#[tokio::test]
async fn one_branch_with_an_odd_name_keeps_no_other_from_being_built() {
    let world = World::without_scripts().await;
    let mut body = bitbucket_push();
    body["push"]["changes"][0]["new"]["name"] = json!("-x");
    let told = world.send(bitbucket("repo:push", &body, SECRET)).await;
    assert_eq!(told.code, 200, "{told:?}");
    assert!(told.body["builds"][0]["build"].is_string(), "{told:?}");
    assert_eq!(told.body["builds"][1]["status"], "Malformed body");
    assert_eq!(world.builds().await.len(), 1);
    body["push"]["changes"].as_array_mut().unwrap().truncate(1);
    assert_eq!(world.send(bitbucket("repo:push", &body, SECRET)).await.code, 400);
}

#[tokio::test]
async fn a_header_that_is_not_signed_makes_no_second_build_of_a_bitbucket_body() {
    let world = World::without_scripts().await;
    let side = json!({"branch": {"name": "main"}, "commit": {"hash": "1".repeat(12)},
                      "repository": {"full_name": "ocean/brig"}});
    let body = json!({
        "pullrequest": {"id": 1, "source": side, "destination": side},
        "repository": {"full_name": "ocean/brig"},
    });
    let first = world.send(bitbucket("pullrequest:created", &body, SECRET)).await;
    assert_eq!(first.body["events"], json!(["pullrequest:created"]), "{first:?}");
    let replayed = world.send(bitbucket("pullrequest:updated", &body, SECRET)).await;
    assert_eq!(replayed.body["build"], first.body["build"]);
    assert_eq!(world.builds().await.len(), 1);
}

#[tokio::test]
async fn a_hook_uuid_proves_bitbucket_only_where_the_operator_allows_it() {
    let by_uuid = |uuid: &str| {
        let headers = [("x-event-key", "repo:push"), ("x-hook-uuid", uuid)];
        json_to("/events/bitbucket", &bitbucket_push(), &headers)
    };
    let world = World::without_scripts().await;
    let refused = world.send(by_uuid(SECRET)).await;
    assert_eq!(refused.code, 403);
    assert!(world.is_untouched().await);

    let inline = Inline::Never;
    let settings = Settings { bitbucket_allow_hook_uuid: true, inline, ..calm() };
    let world = World::with(settings).await;
    assert_eq!(world.send(by_uuid(SECRET)).await.code, 200);
    assert_eq!(world.send(by_uuid("aye")).await.body, refused.body);
    // A wrong signature is not made good by it.
    let mut both = bitbucket("repo:push", &bitbucket_push(), "aye");
    both.headers_mut().insert("x-hook-uuid", SECRET.parse().unwrap());
    assert_eq!(world.send(both).await.code, 403);
    // GitHub's old signature has the same header, and another hash.
    let sha1 = signature::sign_github_sha1(SECRET, bitbucket_push().to_string().as_bytes());
    let mut other = by_uuid(SECRET);
    other.headers_mut().insert("x-hub-signature", sha1.parse().unwrap());
    assert_eq!(world.send(other).await.code, 403);
}

#[tokio::test]
async fn bitbuckets_test_is_answered() {
    let world = World::without_scripts().await;
    let headers = [("x-event-key", "diagnostics:ping")];
    let told = world.send(json_to("/events/bitbucket", &json!({"test": true}), &headers)).await;
    assert_eq!((told.code, &told.body["status"]), (200, &json!("pong")));
}

#[tokio::test]
async fn azure_devops_is_proved_by_its_token_wherever_it_is() {
    let world = World::without_scripts().await;
    let secrets = json!({"vstsToken": "ahoy"}).to_string();
    world.project("ocean/brig", json!({"sharedSecret": SECRET, "secrets": secrets})).await;
    let body = json!({
        "eventType": "git.push", "createdDate": "2026-03-01T10:00:00Z",
        "resource": {"refUpdates": [{"name": "refs/heads/main", "newObjectId": "1".repeat(40)}]},
    });
    let id = runtime::project::id_of("ocean/brig");
    let basic = "Basic OmFob3k="; // `:ahoy`
    let first = world.send(json_to(&format!("/vsts/{id}/ahoy"), &body, &[])).await;
    assert_eq!((first.code, &first.body["events"]), (200, &json!(["git.push"])), "{first:?}");
    let build = &world.app.cluster.builds("default").await.unwrap()[0];
    assert_eq!(build.event.provider, "vsts");
    for (uri, headers) in [
        ("/vsts/ocean%2Fbrig/ahoy".to_owned(), &[][..]),
        ("/vsts/ocean/brig/ahoy".to_owned(), &[]),
        ("/events/azuredevops/ocean/brig?token=ahoy".to_owned(), &[]),
        ("/events/azuredevops/ocean/brig".to_owned(), &[("authorization", basic)]),
        (format!("/events/azuredevops/{id}"), &[("authorization", "Bearer ahoy")]),
        ("/events/azuredevops/ocean%2Fbrig".to_owned(), &[("x-registry-token", "ahoy")]),
    ] {
        let told = world.send(json_to(&uri, &body, headers)).await;
        assert_eq!(told.body["build"], first.body["build"], "{uri}: {told:?}");
    }
    // The project's other secrets do not count where it has the token.
    let missing = world.send(json_to("/events/azuredevops/ocean/brig", &body, &[])).await;
    assert_eq!((missing.code, &missing.body["status"]), (403, &json!("Forbidden")));
    for uri in [
        "/vsts/ocean%2Fbrig/aye%20aye",
        "/vsts/ocean%2Fbrig/ahoyy",
        "/vsts/ocean/brig/ahoy?token=ahoy",
        "/events/azuredevops/ocean/brig?token=",
    ] {
        let told = world.send(json_to(uri, &body, &[])).await;
        assert_eq!((told.code, &told.body), (403, &missing.body), "{uri}");
    }
    let told = world.send(json_to("/vsts/ocean%2Fnowhere/ahoy", &body, &[])).await;
    assert_eq!((told.code, &told.body["status"]), (404, &json!("Resource Not Found")));
    assert_eq!(world.builds().await.len(), 1);
}

const FORM: &str = "application/x-www-form-urlencoded";
const COMMAND: &str = "token=x&team_id=T1&command=%2Fdeploy&text=now&trigger_id=1.2.3";

/// A delivery of Slack's, signed at this moment.
pub(super) fn slack(media: &str, body: &str, secret: &str) -> Request<Body> {
    slack_at(media, body, secret, Timestamp::now().as_second())
}

fn slack_at(media: &str, body: &str, secret: &str, seconds: i64) -> Request<Body> {
    let seconds = seconds.to_string();
    let stamp = Stamp { id: "", seconds: &seconds };
    let signed = scheme::SLACK.sign(secret, stamp, body.as_bytes()).unwrap();
    post("/slack/ocean/brig")
        .header("content-type", media)
        .header("x-slack-request-timestamp", seconds)
        .header("x-slack-signature", signed)
        .body(body.to_owned().into())
        .unwrap()
}

async fn with_slack(keys: Value) -> World {
    let world = World::without_scripts().await;
    world.project("ocean/brig", keys).await;
    world
}

#[tokio::test]
async fn a_slash_command_makes_one_build_and_its_giver_is_told() {
    let world = with_slack(json!({"slack.signingSecret": SECRET})).await;
    let told = world.send(slack(FORM, COMMAND, SECRET)).await;
    let (id, _) = &world.builds().await[0];
    let expected = format!("Build {id} of ocean/brig was started.");
    assert_eq!(told.code, 200);
    assert_eq!(told.body, json!({"response_type": "ephemeral", "text": expected}));
    let build = &world.app.cluster.builds("default").await.unwrap()[0];
    assert_eq!(build.fires(), ["slash_command", "slash_command:deploy"]);
    let payload: Value = serde_json::from_slice(&build.event.payload).unwrap();
    assert_eq!((&payload["text"], &payload["token"]), (&json!("now"), &Value::Null));
    let again = world.send(slack(FORM, COMMAND, SECRET)).await;
    let text = again.body["text"].as_str().unwrap();
    assert_eq!(text, format!("This was started before, as build {id} of ocean/brig."));
    assert_eq!(world.builds().await.len(), 1);
}

#[tokio::test]
async fn the_events_that_the_operator_takes_of_git_hosts_silence_no_command() {
    let settings = Settings { events: vec!["push".to_owned()], inline: Inline::Never, ..calm() };
    let world = World::with(settings).await;
    world.project("ocean/brig", json!({"slack.signingSecret": SECRET})).await;
    world.send(slack(FORM, COMMAND, SECRET)).await;
    assert_eq!(world.builds().await.len(), 1);
}

#[tokio::test]
async fn slack_is_refused_unless_it_signed_this_just_now() {
    let world = with_slack(json!({"slack.signingSecret": SECRET, "sharedSecret": "other"})).await;
    let now = Timestamp::now().as_second();
    let challenge = json!({"type": "url_verification", "challenge": "abc"}).to_string();
    let mut unsigned = slack(FORM, COMMAND, SECRET);
    unsigned.headers_mut().remove("x-slack-signature");
    let missing = world.send(unsigned).await;
    assert_eq!(missing.code, 401, "{missing:?}");
    for (media, body, secret, seconds) in [
        (FORM, COMMAND, "other", now),
        (FORM, COMMAND, SECRET, now - 1000),
        (FORM, COMMAND, SECRET, now + 1000),
        (FORM, "ssl_check=1&token=x", "aye", now),
        ("application/json", challenge.as_str(), "aye", now),
        ("application/json", challenge.as_str(), SECRET, 1_531_420_618),
    ] {
        let told = world.send(slack_at(media, body, secret, seconds)).await;
        assert_eq!((told.code, &told.body), (401, &missing.body), "{body}");
    }
    assert!(world.is_untouched().await);
    let told = world.send(slack("application/json", &challenge, SECRET)).await;
    assert_eq!((told.code, &told.body), (200, &json!({"challenge": "abc"})));
    let told = world.send(slack(FORM, "ssl_check=1&token=x", SECRET)).await;
    assert_eq!((told.code, &told.body), (200, &json!("")));
    assert!(world.is_untouched().await);
}

#[tokio::test]
async fn a_project_without_a_signing_secret_takes_nothing_of_slack() {
    let world = with_slack(json!({"sharedSecret": SECRET, "slack.signingSecret": " "})).await;
    for secret in [SECRET, " "] {
        let told = world.send(slack(FORM, COMMAND, secret)).await;
        assert_eq!(told.code, 401);
        assert!(told.body["reason"].as_str().unwrap().contains("slack.signingSecret"));
    }
    assert!(world.is_untouched().await);
}

#[tokio::test]
async fn slacks_retries_are_duplicates() {
    let world = with_slack(json!({"slack.signingSecret": SECRET})).await;
    let body = json!({
        "type": "event_callback", "team_id": "T1", "event_id": "Ev1", "event_time": 1_772_359_200,
        "event": {"type": "app_mention", "text": "hi"},
    })
    .to_string();
    let first = world.send(slack("application/json", &body, SECRET)).await;
    assert_eq!(first.body["events"], json!(["app_mention"]), "{first:?}");
    let mut retry = slack_at("application/json", &body, SECRET, Timestamp::now().as_second() + 1);
    retry.headers_mut().insert("x-slack-retry-num", "1".parse().unwrap());
    let again = world.send(retry).await;
    assert_eq!(
        (&again.body["build"], &again.body["duplicate"]),
        (&first.body["build"], &json!(true))
    );
}

#[tokio::test]
async fn an_interaction_is_answered_by_nothing_and_a_suggestion_by_none() {
    let world = with_slack(json!({"slack.signingSecret": SECRET})).await;
    let form =
        |payload: Value| serde_urlencoded::to_string([("payload", payload.to_string())]).unwrap();
    let submitted = form(json!({"type": "view_submission", "view": {"callback_id": "deploy"}}));
    let told = world.send(slack(FORM, &submitted, SECRET)).await;
    assert_eq!((told.code, &told.body), (200, &json!("")));
    let build = &world.app.cluster.builds("default").await.unwrap()[0];
    assert_eq!(build.fires(), ["view_submission", "view_submission:deploy"]);
    let suggestion = form(json!({"type": "block_suggestion", "value": "x"}));
    let told = world.send(slack(FORM, &suggestion, SECRET)).await;
    assert_eq!((told.code, &told.body), (200, &json!({"options": []})));
    assert_eq!(world.builds().await.len(), 1);
}
