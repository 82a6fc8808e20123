//! What registries' deliveries mean, in bodies of our own, in the documented forms.

use axum::body::Bytes;
use expect_test::{Expect, expect};
use proptest::prelude::*;
use runtime::event::{Event, Identity};
use serde_json::{Value, json};

use super::*;

fn meaning(body: &Value) -> Result<Meaning, Rejection> {
    translate(Bytes::from(body.to_string()), "main")
}

fn event(body: &Value) -> Event {
    match meaning(body) {
        Ok(Meaning::Event(event)) => *event,
        other => panic!("no event: {other:?}"),
    }
}

fn check(body: Value, expected: Expect) {
    let event = event(&body);
    assert_eq!(event.payload, body.to_string());
    let time = event.time.map(|time| time.to_string()).unwrap_or_default();
    let image = event.image.map(|image| serde_json::to_string(&image).unwrap());
    expected.assert_eq(&format!(
        "{} {}\n{}\n{} | {}\n{time}",
        event.provider,
        event.kind,
        image.unwrap_or_default(),
        event.short_title,
        event.long_title,
    ));
}

fn acr(action: &str) -> Value {
    json!({
        "id": "0a7e4cf6-26c9-44ad-9f4f-f2c1b8ee6f4f",
        "timestamp": "2026-03-01T10:00:00.123456789Z",
        "action": action,
        "target": {
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "size": 524,
            "digest": "sha256:8a2f",
            "length": 524,
            "repository": "team/app",
            "tag": "1.0",
        },
        "request": {"id": "x", "host": "ocean.azurecr.io", "method": "PUT", "useragent": "docker"},
    })
}

fn docker_hub() -> Value {
    json!({
        "callback_url": "http://169.254.169.254/latest/",
        "push_data": {"pushed_at": 1.7723592e9, "pusher": "sailor", "tag": "1.0"},
        "repository": {
            "comment_count": "0",
            "name": "app",
            "namespace": "team",
            "repo_name": "team/app",
        },
    })
}

#[test]
fn azures_pushes_and_deletions_are_of_images() {
    check(
        acr("push"),
        expect![[r#"
            acr image_push
            {"registry":"ocean.azurecr.io","repository":"team/app","tag":"1.0","digest":"sha256:8a2f"}
            team/app:1.0 | ocean.azurecr.io/team/app:1.0
            2026-03-01T10:00:00.123456789Z"#]],
    );
    let mut deletion = acr("delete");
    deletion["target"]["tag"] = Value::Null;
    check(
        deletion,
        expect![[r#"
            acr image_delete
            {"registry":"ocean.azurecr.io","repository":"team/app","digest":"sha256:8a2f"}
            team/app | ocean.azurecr.io/team/app@sha256:8a2f
            2026-03-01T10:00:00.123456789Z"#]],
    );
}

#[test]
fn an_empty_tag_is_none() {
    let mut push = acr("push");
    push["target"]["tag"] = json!("");
    assert_eq!(event(&push).image.unwrap().tag, None);
}

#[test]
fn azures_charts_come_without_a_registry() {
    let mut push = acr("chart_push");
    push.as_object_mut().unwrap().remove("request");
    let event = event(&push);
    assert_eq!(event.kind, "chart_push");
    assert_eq!(event.image.unwrap().registry, "");
}

#[test]
fn a_push_that_names_no_repository_has_no_image() {
    let mut push = acr("push");
    push["target"].as_object_mut().unwrap().remove("repository");
    assert_eq!(event(&push).image, None);
}

#[test]
fn docker_hubs_numbers_come_as_they_like() {
    check(
        docker_hub(),
        expect![[r#"
            dockerhub image_push
            {"registry":"docker.io","repository":"team/app","tag":"1.0"}
            team/app:1.0 | docker.io/team/app:1.0
            2026-03-01T10:00:00Z"#]],
    );
    let mut old = docker_hub();
    old["repository"].as_object_mut().unwrap().remove("repo_name");
    old["push_data"].as_object_mut().unwrap().remove("tag");
    check(
        old,
        expect![[r#"
            dockerhub image_push
            {"registry":"docker.io","repository":"team/app"}
            team/app | docker.io/team/app
            2026-03-01T10:00:00Z"#]],
    );
}

#[test]
fn any_other_object_is_an_image_push() {
    for body in [
        json!({}),
        json!({"repository": "team/app", "docker_url": "quay.io/team/app", "updated_tags": []}),
        json!({"events": [{"action": "push"}]}),
        json!({"action": "push", "target": "team/app"}),
        json!({"action": "published", "package": {}, "repository": {}}),
    ] {
        let event = event(&body);
        assert_eq!((event.provider.as_str(), event.kind.as_str()), ("registry", "image_push"));
        assert_eq!(event.identity, Identity::Fresh);
    }
}

#[test]
fn pings_and_quarantines_are_no_events() {
    let ping = json!({"id": "x", "timestamp": "2026-03-01T10:00:00Z", "action": "ping"});
    assert!(matches!(meaning(&ping), Ok(Meaning::Ping)));
    let Ok(Meaning::Ignored { reason }) = meaning(&acr("quarantine")) else { panic!("event") };
    assert_eq!(reason, "the image is in quarantine; its push is built once it has passed");
    let Ok(Meaning::Ignored { reason }) = meaning(&acr("a\nb")) else { panic!("event") };
    assert_eq!(reason, "the action `ab` is not built");
}

#[test]
fn what_is_no_object_is_malformed() {
    for body in ["", "[]", "[{}]", "\"push\"", "1", "null", "{", "{\"action\": \"push\", \"t\": }"]
    {
        let meaning = translate(Bytes::from(body), "main");
        assert!(matches!(meaning, Err(Rejection::Malformed { .. })), "{body}");
    }
    let bytes = Bytes::from_static(b"{\"action\": \"\xff\"}");
    assert!(matches!(translate(bytes, "main"), Err(Rejection::Malformed { .. })));
}

#[test]
fn the_commit_is_a_reference_and_a_commit_only_if_it_is_an_id() {
    let id = "0123456789abcdef0123456789abcdef01234567";
    for (commit, found) in [("main", ""), ("", ""), ("0123", ""), (id, id)] {
        let Ok(Meaning::Event(event)) = translate(acr("push").to_string().into(), commit) else {
            panic!("no event")
        };
        assert_eq!(event.revision.reference, commit);
        assert_eq!(event.revision.commit, found);
    }
}

#[test]
fn a_body_sent_for_two_commits_is_two_events() {
    let identity = |commit: &str| match translate(acr("push").to_string().into(), commit) {
        Ok(Meaning::Event(event)) => event.identity,
        other => panic!("no event: {other:?}"),
    };
    assert_eq!(identity("main"), identity("main"));
    assert_ne!(identity("main"), identity("next"));
}

#[test]
fn bodies_that_do_not_differ_from_push_to_push_are_all_new() {
    let mut hub = docker_hub();
    assert_ne!(event(&hub).identity, Identity::Fresh);
    hub["push_data"].as_object_mut().unwrap().remove("pushed_at");
    assert_eq!(event(&hub).identity, Identity::Fresh);
    let mut azure = acr("push");
    azure.as_object_mut().unwrap().remove("timestamp");
    assert_ne!(event(&azure).identity, Identity::Fresh);
    azure.as_object_mut().unwrap().remove("id");
    assert_eq!(event(&azure).identity, Identity::Fresh);
}

proptest! {
    #[test]
    fn no_bytes_make_the_parsers_panic(bytes: Vec<u8>, commit: String) {
        let _any = translate(bytes.into(), &commit);
    }

    #[test]
    fn no_members_make_the_parsers_panic(
        member in "(id|timestamp|target|push_data|repository|request|action)",
        json in r#"(null|true|-?[0-9]{1,20}|1e400|"[a-z]{0,5}"|\{\}|\[\]|\{"tag":[0-9]\})"#,
    ) {
        for body in [acr("push"), docker_hub()] {
            let text = body.to_string();
            let value = body.get(&member).map(Value::to_string).unwrap_or("never".to_owned());
            let _any = translate(text.replace(&value, &json).into(), "main");
        }
    }
}
