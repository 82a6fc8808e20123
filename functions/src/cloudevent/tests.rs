//! CloudEvents of our own: valid, and wrong in one way each.

use axum::http::HeaderMap;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn minimal() -> Value {
    json!({"specversion": "1.0", "id": "1", "type": "mock.test", "source": "/source"})
}

/// The smallest event with these members, of which null takes one away.
fn with(members: Value) -> String {
    let mut event = minimal();
    for (name, value) in members.as_object().unwrap() {
        match value {
            Value::Null => drop(event.as_object_mut().unwrap().remove(name)),
            value => event[name] = value.clone(),
        }
    }
    event.to_string()
}

fn reason(json: &str) -> String {
    match CloudEvent::of_json(json.as_bytes()) {
        Err(Rejection::Malformed { reason, .. }) => reason,
        other => panic!("{json}: {other:?}"),
    }
}

fn headers(of: &[(&'static str, &str)]) -> HeaderMap {
    let own = [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-type", "t"), ("ce-source", "/s")];
    let mut headers = HeaderMap::new();
    for (name, value) in own.iter().chain(of) {
        headers.append(*name, value.parse().unwrap());
    }
    headers
}

/// The event in JSON that headers and a body make.
fn written(of: &[(&'static str, &str)], body: &'static [u8]) -> Value {
    let event = binary::read(&headers(of), &Bytes::from_static(body)).unwrap();
    serde_json::from_slice(&event.json).unwrap()
}

#[test]
fn attributes_that_are_not_as_they_must_be_are_named() {
    for (members, said) in [
        (json!({"id": null}), "an event has the attribute `id`"),
        (json!({"id": ""}), "`id` must be a text that is not empty"),
        (json!({"id": 7}), "`id` must be a text that is not empty"),
        (json!({"id": {}}), "`id` must be a text, true, false, or a whole number of 32 bits"),
        (json!({"type": null}), "an event has the attribute `type`"),
        (json!({"type": "a\r\nb"}), "`type` has control characters"),
        (json!({"type": "x".repeat(1025)}), "`type` may have 1024 bytes at most"),
        (json!({"source": ""}), "`source` must be a text that is not empty"),
        (json!({"source": "a b"}), "`source` must be a reference to a URI"),
        (json!({"subject": ""}), "`subject` must be a text that is not empty"),
        (json!({"time": "soon"}), "`time` must be a moment like 2018-04-05T17:31:00Z"),
        (json!({"time": ""}), "`time` must be a text that is not empty"),
        (json!({"dataschema": "schema"}), "`dataschema` must be an absolute URI"),
        (json!({"dataschema": ""}), "`dataschema` must be a text that is not empty"),
        (
            json!({"datacontenttype": "xyz"}),
            "`datacontenttype` must be a media type, like application/json",
        ),
        (
            json!({"myExt": 1.5}),
            "`myExt` must be a text, true, false, or a whole number of 32 bits",
        ),
        (
            json!({"n": 4247483647u64}),
            "`n` must be a text, true, false, or a whole number of 32 bits",
        ),
        (json!({"Ext": "x"}), "the name `Ext` must be lower-case letters and digits"),
        (json!({"my.ext": "x"}), "the name `my.ext` must be lower-case letters and digits"),
        (json!({"": "x"}), "the name `` must be lower-case letters and digits"),
        (json!({"data": 1, "data_base64": "TQ=="}), "an event has `data` or `data_base64`"),
        (json!({"data_base64": "?"}), "`data_base64` must be a text in base64"),
        (json!({"data_base64": 5}), "`data_base64` must be a text in base64"),
        (json!({"specversion": "0.2"}), "`specversion` is 0.2, which only /cloudevents/v02 takes"),
        (json!({"specversion": "0.9"}), "`specversion` is 0.9, and must be 1.0"),
        (
            json!({"specversion": null, "specVersion": "1.0"}),
            "an event has the attribute `specversion`, in lower case, and it is 1.0",
        ),
        (json!({"cloudEventsVersion": "0.1"}), "`specversion` is 0.1, and must be 1.0"),
    ] {
        assert_eq!(reason(&with(members.clone())), said, "{members}");
    }
    for json in ["", "[]", "7", "{", "null", "\"x\""] {
        assert!(!reason(json).is_empty());
    }
}

#[test]
fn an_event_in_json_stays_as_it_was_sent() {
    let json = " {\"specversion\":\"1.0\", \"id\":\"1\", \"type\":\"t\", \"source\":\"#\", \
                \"subject\":null, \"n\":10, \"b\":true, \"data\":{\"ref\":\"main\", \"n\":1e400}}\n";
    let event = CloudEvent::of_json(json.as_bytes()).unwrap();
    assert_eq!(event.json, json.trim());
    assert_eq!(event.subject, None);
    assert_eq!(event.data.as_deref(), Some(&b"{\"ref\":\"main\", \"n\":1e400}"[..]));
    assert_eq!(event.revision.reference, "main");
}

#[test]
fn the_revision_is_in_the_data_or_in_the_extensions() {
    let revision = |members: Value| {
        let event = CloudEvent::of_json(with(members).as_bytes()).unwrap();
        format!("{}@{}", event.revision.reference, event.revision.commit)
    };
    assert_eq!(revision(json!({"data": {"ref": "a", "commit": "b"}})), "a@b");
    assert_eq!(revision(json!({"data": {"ref": 7}, "ref": "c", "commit": "d"})), "c@d");
    assert_eq!(revision(json!({"data_base64": "eyJyZWYiOiJlIn0="})), "e@");
    assert_eq!(revision(json!({"data": "main", "commit": 5})), "@");
    assert_eq!(revision(json!({"ref": "--output=x"})), "@");
}

#[test]
fn events_of_one_name_and_source_are_one() {
    let identity = |members: Value| {
        CloudEvent::of_json(with(members).as_bytes()).unwrap().event("cloudevents").identity
    };
    assert_eq!(identity(json!({})), identity(json!({"data": 5, "subject": "x"})));
    assert_ne!(identity(json!({})), identity(json!({"id": "2"})));
    assert_ne!(
        identity(json!({"source": "/a", "id": "/b"})),
        identity(json!({"source": "/a/", "id": "b"})),
    );
}

#[test]
fn what_was_in_headers_is_written_in_json() {
    let told = written(
        &[("ce-subject", "Euro%20%E2%82%AC"), ("ce-n", "10"), ("content-type", "application/json")],
        b" {\"a\": 1}\n",
    );
    assert_eq!(told["subject"], "Euro €");
    assert_eq!(told["n"], "10");
    assert_eq!(told["datacontenttype"], "application/json");
    let event = binary::read(&headers(&[]), &Bytes::from_static(b" {\"a\": 1e400}\n")).unwrap();
    assert!(event.json.ends_with(b",\"data\":{\"a\": 1e400}}"), "{:?}", event.json);
}

#[test]
fn a_body_is_data_as_its_type_says() {
    let text = ("content-type", "text/plain; charset=utf-8");
    assert_eq!(written(&[text], "Grüße".as_bytes())["data"], "Grüße");
    assert_eq!(written(&[text], b"\xff")["data_base64"], "/w==");
    assert_eq!(written(&[("content-type", "image/png")], b"\x89P")["data_base64"], "iVA=");
    // What is no JSON must not become some.
    assert_eq!(written(&[("content-type", "application/json")], b"{")["data_base64"], "ew==");
    assert_eq!(written(&[("content-type", "a/b+json")], b"[1]")["data"], json!([1]));
    let nothing = written(&[text], b"");
    assert!(nothing.get("data").is_none() && nothing.get("data_base64").is_none());
}

#[test]
fn headers_that_are_not_as_they_must_be_are_refused() {
    for (name, value) in [
        ("ce-id", "2"),
        ("ce-datacontenttype", "text/plain"),
        ("ce-subject", "%C0%A0"),
        ("ce-subject", "a%0D%0Ab"),
        ("ce-subject", ""),
        ("ce-my-ext", "x"),
        ("ce-time", "soon"),
        ("content-type", "text"),
    ] {
        let read = binary::read(&headers(&[(name, value)]), &Bytes::new());
        assert!(matches!(read, Err(Rejection::Malformed { .. })), "{name}: {value}");
    }
    let none = binary::read(&HeaderMap::new(), &Bytes::new());
    assert!(matches!(none, Err(Rejection::Malformed { .. })));
}

#[test]
fn the_mode_is_told_by_the_type() {
    let mode = |media| Mode::of(Some(media)).ok();
    assert_eq!(mode("application/cloudevents-batch+json"), Some(Mode::Batch));
    assert_eq!(mode("application/cloudevents+json"), Some(Mode::Structured));
    assert_eq!(mode("application/json"), Some(Mode::Binary));
    assert_eq!(Mode::of(None).ok(), Some(Mode::Binary));
    for media in ["application/cloudevents+avro", "application/cloudevents-batch+xml", ""] {
        assert!(matches!(Mode::of(Some(media)), Err(Rejection::Unsupported { .. })), "{media}");
    }
}

#[test]
fn a_batch_has_an_end() {
    assert_eq!(members(b" [1, {\"a\": 2}] ", 2).unwrap(), ["1", "{\"a\": 2}"]);
    assert!(matches!(members(b"[1,2,3]", 2), Err(Rejection::TooLarge { .. })));
    for json in [&b"{}"[..], b"", b"[1", b"[1]x", b"[\xff]"] {
        assert!(matches!(members(json, 9), Err(Rejection::Malformed { .. })));
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_readers_panic(bytes: Vec<u8>, header: Vec<u8>) {
        let _any = CloudEvent::of_json(&bytes);
        let _any = members(&bytes, 5);
        let mut headers = headers(&[]);
        if let Ok(value) = axum::http::HeaderValue::from_bytes(&header) {
            headers.insert("ce-subject", value.clone());
            headers.insert("content-type", value);
        }
        let _any = binary::read(&headers, &bytes.into());
    }

    #[test]
    fn no_members_make_the_reader_panic(
        name in "(id|source|type|specversion|time|subject|data|data_base64|datacontenttype|ref|[a-zé.]{0,9})",
        value in r#"(null|true|-?[0-9]{1,20}|1e400|"[a-z\\u0-9é:+.-]{0,20}"|\{\}|\[\])"#,
    ) {
        let json = format!(r#"{{"specversion":"1.0","id":"1","type":"t","source":"s","{name}":{value}}}"#);
        if let Ok(event) = CloudEvent::of_json(json.as_bytes()) {
            let _any = event.event("cloudevents");
        }
    }
}
