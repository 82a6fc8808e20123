//! Whose calls mean what.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};
use expect_test::{Expect, expect};
use proptest::prelude::*;
use runtime::event::{Event, Identity};
use serde_json::json;

use super::translation::{Asked, translate};
use crate::proof;
use crate::rejection::Rejection;

fn call(query: &str, headers: &[(&str, &str)], body: &str) -> Result<Event, Rejection> {
    let uri: Uri = format!("/events/cron/a?{query}").parse().unwrap();
    let asked: Asked = proof::query(&uri, "").unwrap();
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        map.append(name, HeaderValue::from_str(value).unwrap());
    }
    let name = proof::name(&map, &["idempotency-key"])?;
    translate(&asked, &map, name, body.to_owned().into())
}

fn check(query: &str, headers: &[(&str, &str)], body: &str, expected: Expect) {
    let event = call(query, headers, body).unwrap();
    assert_eq!((event.provider.as_str(), &*event.payload), ("cron", body.as_bytes()));
    let identity = match &event.identity {
        Identity::Content(content) => String::from_utf8_lossy(content).into_owned(),
        Identity::Fresh => "fresh".to_owned(),
    };
    expected.assert_eq(&format!(
        "{} {} | {}@{} | {} | {identity}",
        event.kind,
        event.action.unwrap_or_default(),
        event.revision.reference,
        event.revision.commit,
        event.long_title,
    ));
}

#[test]
fn what_every_scheduler_says_is_understood() {
    check("", &[], "", expect!["cron  | @ | cron | fresh"]);
    check(
        "schedule=nightly&event=build&ref=refs/heads/main&commit=c0ffee&time=2026-05-04T02:00:00Z",
        &[],
        "what it is given",
        expect![[
            r#"build nightly | refs/heads/main@c0ffee | nightly at 2026-05-04T02:00:00Z | [["build","nightly","refs/heads/main","c0ffee"],"time",1777860000000]"#
        ]],
    );
    // Cloud Scheduler.
    check(
        "",
        &[
            ("X-CloudScheduler-JobName", "projects/p/locations/l/jobs/nightly"),
            ("X-CloudScheduler-ScheduleTime", "2026-05-03T19:00:00-07:00"),
            ("content-type", "application/octet-stream"),
        ],
        "",
        expect![[
            r#"cron nightly | @ | nightly at 2026-05-04T02:00:00Z | [["cron","nightly","",""],"time",1777860000000]"#
        ]],
    );
    // EventBridge, to an API destination.
    let rule = "arn:aws:events:eu-west-1:123456789012:rule/nightly";
    let body = json!({"id": "x", "detail-type": "Scheduled Event", "time": "2026-05-04T02:00:00Z",
                      "resources": [rule], "detail": {}});
    check(
        "",
        &[],
        &body.to_string(),
        expect![[
            r#"cron nightly | @ | nightly at 2026-05-04T02:00:00Z | [["cron","nightly","",""],"time",1777860000000]"#
        ]],
    );
    // A Logic App.
    check(
        "schedule=hourly",
        &[],
        r#"{"scheduledTime": "2026-05-04T02:00:00.0000000Z", "ref": "refs/heads/main"}"#,
        expect![[
            r#"cron hourly | refs/heads/main@ | hourly at 2026-05-04T02:00:00Z | [["cron","hourly","refs/heads/main",""],"time",1777860000000]"#
        ]],
    );
    // A CloudEvent.
    check(
        "",
        &[("ce-time", "2026-05-04T02:00:00Z")],
        r#"{"schedule": "daily"}"#,
        expect![[
            r#"cron daily | @ | daily at 2026-05-04T02:00:00Z | [["cron","daily","",""],"time",1777860000000]"#
        ]],
    );
    // A script, by seconds.
    check(
        "schedule=hourly&time=1777860000",
        &[("idempotency-key", "x")],
        "",
        expect![[
            r#"cron hourly | @ | hourly at 2026-05-04T02:00:00Z | [["cron","hourly","",""],"time",1777860000000]"#
        ]],
    );
    check(
        "schedule=hourly",
        &[("idempotency-key", "x")],
        "",
        expect![[
            r#"cron hourly | @ | hourly | [["cron","hourly","",""],"name","idempotency-key x"]"#
        ]],
    );
}

#[test]
fn the_address_goes_before_the_headers_and_those_before_the_body() {
    let event = call(
        "time=2026-01-01T00:00:00Z&schedule=a",
        &[
            ("x-cloudscheduler-scheduletime", "2026-01-02T00:00:00Z"),
            ("x-cloudscheduler-jobname", "b"),
        ],
        r#"{"time": "2026-01-03T00:00:00Z", "schedule": "c", "ref": "d", "commit": "e"}"#,
    );
    let event = event.unwrap();
    assert_eq!(event.time.unwrap().to_string(), "2026-01-01T00:00:00Z");
    assert_eq!(event.action.as_deref(), Some("a"));
    assert_eq!(event.revision.reference, "d");
    // A ref of the address is at no commit of the body.
    let event = call("ref=x", &[], r#"{"ref": "d", "commit": "e"}"#).unwrap();
    assert_eq!((&*event.revision.reference, &*event.revision.commit), ("x", ""));
}

#[test]
fn what_is_asked_for_tells_calls_of_one_time_apart() {
    let at = "schedule=nightly&event=deploy:eu&ref=main&time=2026-05-04T02:00:00Z";
    let identity = |query: &str| call(query, &[], "").unwrap().identity;
    assert_eq!(identity(at), identity(at));
    for (from, to) in [
        ("deploy:eu", "deploy:us"),
        ("ref=main", "ref=release"),
        ("ref=main", "commit=main"),
        ("schedule=nightly", "schedule=hourly"),
        ("02:00", "03:00"),
    ] {
        assert_ne!(identity(at), identity(&at.replace(from, to)), "{to}");
    }
}

#[test]
fn what_cannot_be_is_refused() {
    for query in [
        "time=soon",
        "time=0",
        "event=a%20b",
        "schedule=a%0Ab",
        "ref=--upload-pack%3Dx",
        "commit=-x",
    ] {
        assert!(matches!(call(query, &[], ""), Err(Rejection::Malformed { .. })), "{query}");
    }
    let long = format!("schedule={}", "x".repeat(201));
    assert!(call(&long, &[], "").is_err());
    // What is not for us to read is only the payload.
    for body in ["{", "[]", "\u{0}", r#"{"time": "soon", "resources": {"0": []}}"#] {
        assert_eq!(call("", &[], body).unwrap().identity, Identity::Fresh, "{body}");
    }
}

proptest! {
    #[test]
    fn no_body_makes_a_call_panic(bytes: Vec<u8>) {
        let _any = translate(&Asked::default(), &HeaderMap::new(), None, bytes.into());
    }

    #[test]
    fn no_json_makes_a_call_panic(
        member in "(time|scheduledTime|schedule|resources|ref|commit)",
        json in r#"(null|true|-?[0-9]{1,25}|1e400|"[ -~]{0,300}"|\{\}|\[\]|\[7\]|\["a/b"\])"#,
    ) {
        let body = format!("{{\"{member}\": {json}}}");
        let _any = translate(&Asked::default(), &HeaderMap::new(), None, body.into());
    }
}
