//! What deliveries mean by rules of ours.

use axum::http::HeaderMap;
use bytes::Bytes;
use proptest::prelude::*;
use runtime::event::{Event, Identity};
use runtime::project::hooks::Hook;
use runtime::project::values;
use serde_json::{Value, json};

use super::translation::{MOST, translate};
use crate::rejection::Rejection;

/// The rule of this name in a project with these rules.
fn rule(yaml: &str, name: &str) -> Hook {
    let yaml = format!("project: a/b\nsharedSecret: s\nhooks: {yaml}\n");
    values::read(&yaml, "default").unwrap().0.hooks.find(name).unwrap()
}

fn heard(hook: &Hook, body: &Value) -> Result<(Vec<Event>, String), Rejection> {
    translate(hook, &HeaderMap::new(), None, &Bytes::from(body.to_string()))
}

/// What a rule makes of a body, in a line for each event, or why it makes nothing of it.
fn summary(yaml: &str, body: &Value) -> String {
    let (events, reason) = heard(&rule(&format!("[{yaml}]"), "x"), body).unwrap();
    if events.is_empty() {
        return reason;
    }
    let line = |event: &Event| {
        let action = event.action.as_deref().unwrap_or_default();
        let revision = &event.revision;
        let at = event.time.map(|time| time.to_string()).unwrap_or_default();
        format!(
            "{} {}:{action} {}@{} {} {at}",
            event.provider, event.kind, revision.reference, revision.commit, event.short_title
        )
    };
    events.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_documented_rule_does_what_is_said_of_it() {
    let readme = include_str!("../../../README.md");
    let example = readme.split("```").find(|block| block.starts_with("yaml\nhooks:")).unwrap();
    let yaml = format!(
        "project: a/b\nsharedSecret: s\nsecrets: {{SHOP_SECRET: x}}\n{}",
        example.strip_prefix("yaml\n").unwrap()
    );
    let (project, warnings) = values::read(&yaml, "default").unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    let body = json!({"id": 7, "status": "paid", "test": false, "country": "FR", "subject": "Tea"});
    let (events, _) = heard(&project.hooks.find("shop").unwrap(), &body).unwrap();
    assert_eq!((&*events[0].kind, events[0].action.as_deref()), ("order", Some("paid")));
    assert_eq!(
        (&*events[0].short_title, &*events[0].revision.reference),
        ("Tea", "refs/heads/main")
    );
}

fn alerts() -> Value {
    let alert = |name: &str, status: &str| {
        json!({
            "status": status,
            "labels": {"alertname": name, "severity": "page"},
            "annotations": {"summary": "It burns."},
            "startsAt": "2026-03-01T10:00:00.123Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "fingerprint": "1a30ba71cca2921f",
        })
    };
    json!({
        "receiver": "brig", "status": "firing", "version": "4", "truncatedAlerts": 0,
        "groupKey": "{}:{alertname=\"Fire\"}",
        "alerts": [alert("Fire", "firing"), alert("Flood", "resolved")],
        "groupLabels": {}, "commonLabels": {"severity": "page"}, "externalURL": "http://x",
    })
}

#[test]
fn every_alert_is_an_event_with_a_payload_that_has_it_alone() {
    let hook = rule("[]", "alertmanager");
    let (events, _) = heard(&hook, &alerts()).unwrap();
    let names: Vec<_> =
        events.iter().map(|event| (&*event.kind, event.action.as_deref())).collect();
    assert_eq!(names, [("alert", Some("firing")), ("alert", Some("resolved"))]);
    assert_eq!(events[0].provider, "alertmanager");
    assert_eq!(events[1].short_title, "Flood");
    assert_eq!(events[0].time.unwrap().to_string(), "2026-03-01T10:00:00.123Z");
    let payload: Value = serde_json::from_slice(&events[1].payload).unwrap();
    let mut expected = alerts();
    expected["alerts"].as_array_mut().unwrap().remove(0);
    assert_eq!(payload, expected);
}

#[test]
fn an_alert_is_told_often_and_is_one_event_until_it_changes() {
    let hook = rule("[]", "alertmanager");
    let identity = |change: &dyn Fn(&mut Value)| {
        let mut body = alerts();
        change(&mut body);
        heard(&hook, &body).unwrap().0.swap_remove(0).identity
    };
    let first = identity(&|_| {});
    assert_ne!(first, Identity::Fresh);
    // Another alert has joined the group, and it is told again.
    assert_eq!(identity(&|body| body["truncatedAlerts"] = json!(1)), first);
    assert_eq!(identity(&|body| drop(body["alerts"].as_array_mut().unwrap().pop())), first);
    assert_eq!(identity(&|body| body["alerts"][0]["endsAt"] = json!("2026-03-02")), first);
    for (pointer, value) in [
        ("/alerts/0/status", json!("resolved")),
        ("/alerts/0/startsAt", json!("2026-03-01T11:00:00Z")),
        ("/alerts/0/labels/severity", json!("mail")),
        ("/groupKey", json!("other")),
    ] {
        let other = identity(&|body| *body.pointer_mut(pointer).unwrap() = value.clone());
        assert_ne!(other, first, "{pointer}");
    }
}

#[test]
fn texts_are_found_where_the_rule_says() {
    let body = json!({"type": "order", "n": 7, "ok": true, "none": null, "empty": "", "a/b": {"~": [1, "two"]}});
    for (event, expected) in [
        ("deploy", "x deploy: @ deploy "),
        ("/type", "x order: @ order "),
        ("/n", "x 7: @ 7 "),
        ("/ok", "x true: @ true "),
        ("/a~1b/~0/1", "x two: @ two "),
        ("body:/type", "x order: @ order "),
        ("{from: [/none, /empty, /gone, /type]}", "x order: @ order "),
        ("{from: /gone, default: push}", "x push: @ push "),
        ("/gone", "there is no event's name at `/gone`"),
        ("header:x-type", "there is no event's name at `header:x-type`"),
        ("{from: [/none, /empty]}", "there is no event's name at `/none` or `/empty`"),
        ("a b", "`a b` cannot be the name of an event"),
        ("/a~1b", "x {\"~\":[1,\"two\"]}: @ {\"~\":[1,\"two\"]} "),
    ] {
        assert_eq!(
            summary(
                &format!("{{name: x, event: {event:?}}}").replace("\"{", "{").replace("}\"", "}"),
                &body
            ),
            expected,
            "{event}"
        );
    }
    let yaml = "{name: x, event: ci, action: /status, title: /subject, time: /at,
                 revision: {ref: {from: /branch, default: refs/heads/main}, commit: /sha}}";
    let body =
        json!({"status": "passed", "subject": "All\nwell", "at": 1772359200, "sha": "c0ffee"});
    assert_eq!(
        summary(yaml, &body),
        "x ci:passed refs/heads/main@c0ffee Allwell 2026-03-01T10:00:00Z"
    );
    let option = json!({"branch": "--upload-pack=x"});
    assert_eq!(summary(yaml, &option), "`--upload-pack=x` cannot be a commit or a reference");
}

#[test]
fn nothing_is_made_where_a_condition_does_not_hold() {
    let yaml = "{name: x, event: e, when: {/status: [failed, errored], /test: false, /gone: null}}";
    let body = |status: &str, test: bool| json!({"status": status, "test": test});
    assert_eq!(summary(yaml, &body("failed", false)), "x e: @ e ");
    assert_eq!(summary(yaml, &body("errored", false)), "x e: @ e ");
    assert_eq!(
        summary(yaml, &body("passed", false)),
        "`/status` is `passed`, and must be `failed` or `errored`"
    );
    assert_eq!(summary(yaml, &body("failed", true)), "`/test` is `true`, and must be `false`");
    assert_eq!(
        summary(yaml, &json!({"test": false})),
        "`/status` is not there, and must be `failed` or `errored`"
    );
    assert_eq!(
        summary(yaml, &body("", false)),
        "`/status` is ``, and must be `failed` or `errored`"
    );
    // Where somebody takes a condition for a proof, neither value is told.
    let yaml = "{name: x, event: e, when: {/verificationToken: s3cret}}";
    assert_eq!(summary(yaml, &json!({"verificationToken": "s3cret"})), "x e: @ e ");
    for seen in [json!({"verificationToken": "s3cre"}), json!({})] {
        assert_eq!(summary(yaml, &seen), "`/verificationToken` is not what it must be");
    }
    let each = "{name: x, event: /type, each: /all, when: {/ok: true}}";
    let body =
        json!({"all": [{"type": "a", "ok": true}, {"type": "b"}, {"type": "c", "ok": true}]});
    assert_eq!(summary(each, &body), "x a: @ a \nx c: @ c ");
}

#[test]
fn elements_come_from_a_list_that_is_there() {
    let yaml = "{name: x, event: e, each: /all}";
    assert_eq!(summary(yaml, &json!({})), "there is no list at `/all`");
    assert_eq!(summary(yaml, &json!({"all": {}})), "there is no list at `/all`");
    assert_eq!(summary(yaml, &json!({"all": []})), "the list at `/all` is empty");
    let top = "{name: x, event: /e, each: ''}";
    assert_eq!(summary(top, &json!([{"e": "a"}, {"e": "b"}])), "x a: @ a \nx b: @ b ");
    let hook = rule("[{name: x, event: e, each: /all}]", "x");
    let many = |count: usize| json!({"all": vec![7; count]});
    assert_eq!(heard(&hook, &many(MOST)).unwrap().0.len(), MOST);
    assert!(matches!(heard(&hook, &many(MOST + 1)), Err(Rejection::TooLarge { .. })));
    let wide = json!({"all": vec![7; 100], "around": "x".repeat(200_000)});
    assert!(matches!(heard(&hook, &wide), Err(Rejection::TooLarge { .. })));
}

#[test]
fn the_same_is_known_by_all_that_the_rule_names_else_by_its_name_else_by_the_body() {
    let identity = |rule: &Hook, name: Option<&str>, body: Value| {
        let bytes = Bytes::from(body.to_string());
        translate(rule, &HeaderMap::new(), name, &bytes).unwrap().0.swap_remove(0).identity
    };
    let named = rule("[{name: x, event: e, identity: [/id, /status]}]", "x");
    let body = |id: Value, more: u8| json!({"id": id, "status": "a", "more": more});
    assert_eq!(
        identity(&named, None, body(json!(1), 1)),
        identity(&named, Some("k"), body(json!(1), 2))
    );
    assert_ne!(
        identity(&named, None, body(json!(1), 1)),
        identity(&named, None, body(json!("1"), 1))
    );
    // Where nothing that it names is there, two bodies are two events.
    let without = |more: u8| identity(&named, None, json!({"more": more}));
    assert_ne!(without(1), without(2));
    // Nor are they one where a part of it is not.
    for id in [Value::Null, json!("")] {
        assert_ne!(
            identity(&named, None, body(id.clone(), 1)),
            identity(&named, None, body(id, 2))
        );
    }
    let plain = rule("[{name: x, event: e}]", "x");
    assert_ne!(
        identity(&plain, None, body(json!(1), 1)),
        identity(&plain, None, body(json!(1), 2))
    );
    assert_eq!(
        identity(&plain, None, body(json!(1), 1)),
        identity(&plain, None, body(json!(1), 1))
    );
    assert_eq!(
        identity(&plain, Some("k"), body(json!(1), 1)),
        identity(&plain, Some("k"), body(json!(2), 2))
    );
    let each = rule("[{name: x, event: e, each: /all}]", "x");
    let bytes = Bytes::from(json!({"all": [1, 1]}).to_string());
    for name in [None, Some("k")] {
        let (events, _) = translate(&each, &HeaderMap::new(), name, &bytes).unwrap();
        assert_ne!(events[0].identity, events[1].identity, "{name:?}");
    }
    // Two elements that the rule calls the same are one event.
    let each = rule("[{name: x, event: e, each: /all, identity: /id}]", "x");
    let same = json!({"all": [{"id": 1}, {"id": 1, "more": 2}, {"id": 2}]});
    assert_eq!(heard(&each, &same).unwrap().0.len(), 2);
}

#[test]
fn a_long_body_is_not_a_part_of_every_elements_identity() {
    let body = json!({"all": vec![json!({}); MOST], "around": "x".repeat(50_000)});
    for identity in ["[]", "body:/around", "[body:/around, body:/all]"] {
        let each = format!("[{{name: x, event: e, each: /all, identity: {identity}}}]");
        let (events, _) = heard(&rule(&each, "x"), &body).unwrap();
        assert!(!events.is_empty());
        for event in events {
            assert!(matches!(event.identity, Identity::Content(content) if content.len() < 100));
        }
    }
}

#[test]
fn what_is_no_object_and_no_list_is_malformed() {
    let hook = rule("[]", "alertmanager");
    for body in ["", "7", "null", "\"x\"", "{", "[1,", "{\"a\": 1e999999}", "\u{feff}{}"] {
        let heard = translate(&hook, &HeaderMap::new(), None, &Bytes::from(body));
        assert!(matches!(heard, Err(Rejection::Malformed { .. })), "{body:?}");
    }
    let deep = "[".repeat(100_000);
    let heard = translate(&hook, &HeaderMap::new(), None, &Bytes::from(deep));
    assert!(matches!(heard, Err(Rejection::Malformed { .. })));
}

proptest! {
    #[test]
    fn no_bytes_make_a_rule_panic(bytes: Vec<u8>) {
        let _any = translate(&rule("[]", "alertmanager"), &HeaderMap::new(), None, &bytes.into());
    }

    #[test]
    fn no_members_make_a_rule_panic(
        place in "(/alerts|/alerts/0|/alerts/0/(status|labels|startsAt|labels/alertname)|/groupKey)",
        json in r#"(null|true|-?[0-9]{1,18}|"[ -~]{0,300}"|\{\}|\[\]|\[\[\]\]|\{"a":[0-9]\})"#,
    ) {
        let value: Value = serde_json::from_str(&json).unwrap_or_default();
        let mut body = alerts();
        *body.pointer_mut(&place).unwrap() = value;
        let _any = heard(&rule("[]", "alertmanager"), &body);
    }
}
