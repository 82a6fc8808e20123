//! What programs are sent, in both modes, and what their answers mean.

use expect_test::{Expect, expect};
use runtime::signature::Secrets;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::*;
use crate::OutboxOptions;

fn outbox() -> Outbox {
    let allowed_hosts = vec!["127.0.0.1".to_owned()];
    Outbox::new(OutboxOptions { allowed_hosts, ..OutboxOptions::default() })
}

fn variables(pairs: &[(&str, &str)]) -> Variables {
    Variables::of(NAMES, |name| {
        pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    })
}

fn notification() -> Notification {
    Notification {
        id: "n1".to_owned(),
        title: "A title".to_owned(),
        time: "2026-03-01T10:00:00Z".parse().ok(),
        ..Notification::default()
    }
}

fn of(event: Value) -> Notification {
    Notification { event: Some(event), ..notification() }
}

fn event() -> Value {
    json!({
        "specversion": "1.0",
        "id": "e1",
        "source": "/ocean/brig",
        "type": "dev.brigantine.build.failed",
        "subject": "Zürich \"a\"\r\nX-Evil: 100% 😀",
        "time": "2026-03-01T10:00:00Z",
        "count": 3,
        "final": true,
        "nothing": null,
        "datacontenttype": "application/json",
        "data": {"phase": "Failed"},
    })
}

/// What arrived at a server that takes everything.
async fn sent(settings: &[(&str, &str)], notification: &Notification) -> Request {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(ResponseTemplate::new(202)).mount(&server).await;
    let url = format!("{}/hook", server.uri());
    let settings = [settings, &[("WEBHOOK_URL", url.as_str())]].concat();
    tell(&variables(&settings), notification, &outbox()).await.unwrap();
    server.received_requests().await.unwrap().remove(0)
}

async fn check(settings: &[(&str, &str)], notification: &Notification, expected: Expect) {
    let request = sent(settings, notification).await;
    let mut lines: Vec<String> = Vec::new();
    for (name, value) in &request.headers {
        let name = name.as_str();
        let value = if name == "webhook-timestamp" { "now" } else { value.to_str().unwrap() };
        if !matches!(name, "host" | "accept" | "content-length") {
            lines.push(format!("{name}: {value}"));
        }
    }
    lines.sort();
    lines.push(String::from_utf8(request.body).unwrap());
    expected.assert_eq(&lines.join("\n"));
}

#[tokio::test]
async fn an_event_is_sent_as_it_is() {
    check(&[], &of(event()), expect![[r#"
        content-type: application/cloudevents+json; charset=utf-8
        user-agent: brigantine
        webhook-id: e1
        webhook-timestamp: now
        {"count":3,"data":{"phase":"Failed"},"datacontenttype":"application/json","final":true,"id":"e1","nothing":null,"source":"/ocean/brig","specversion":"1.0","subject":"Zürich \"a\"\r\nX-Evil: 100% 😀","time":"2026-03-01T10:00:00Z","type":"dev.brigantine.build.failed"}"#]]).await;
}

#[tokio::test]
async fn an_event_may_be_sent_as_headers() {
    let settings = [("WEBHOOK_MODE", "binary"), ("WEBHOOK_TOKEN", "s3cret")];
    check(
        &settings,
        &of(event()),
        expect![[r#"
        authorization: Bearer s3cret
        ce-count: 3
        ce-final: true
        ce-id: e1
        ce-source: /ocean/brig
        ce-specversion: 1.0
        ce-subject: Z%C3%BCrich%20%22a%22%0D%0AX-Evil:%20100%25%20%F0%9F%98%80
        ce-time: 2026-03-01T10:00:00Z
        ce-type: dev.brigantine.build.failed
        content-type: application/json
        user-agent: brigantine
        webhook-id: e1
        webhook-timestamp: now
        {"phase":"Failed"}"#]],
    )
    .await;
}

#[tokio::test]
async fn each_attempt_is_signed_anew_and_an_empty_secret_signs_nothing() {
    let stamped = std::sync::atomic::AtomicUsize::new(0);
    let server = MockServer::start().await;
    let away = ResponseTemplate::new(503).insert_header("retry-after", "0");
    let once = Mock::given(method("POST")).respond_with(away).up_to_n_times(1);
    once.with_priority(1).mount(&server).await;
    Mock::given(method("POST")).respond_with(ResponseTemplate::new(202)).mount(&server).await;
    let url = server.uri();
    let message = Message {
        sink: SINK,
        method: Method::POST,
        url: &url,
        headers: HeaderMap::new(),
        body: Vec::new(),
    };
    let stamp = |headers: &mut HeaderMap| {
        let number = stamped.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        headers.insert("webhook-timestamp", HeaderValue::from(number));
    };
    outbox().send_stamped(message, stamp, |_answer| false).await.unwrap();
    let requests = server.received_requests().await.unwrap();
    let stamps: Vec<_> = requests.iter().map(|each| &each.headers["webhook-timestamp"]).collect();
    assert_eq!(stamps, ["0", "1"]);
    let set = variables(&[("WEBHOOK_URL", &url), ("WEBHOOK_SECRET", " ")]);
    let error = tell(&set, &notification(), &outbox()).await.unwrap_err();
    let said = "the variable WEBHOOK_SECRET is there and empty, so nothing would be signed";
    assert_eq!(error.to_string(), said);
    assert_eq!(server.received_requests().await.unwrap().len(), 2);
}

#[tokio::test]
async fn what_was_no_event_becomes_one() {
    check(&[], &notification(), expect![[r#"
        content-type: application/cloudevents+json; charset=utf-8
        user-agent: brigantine
        webhook-id: n1
        webhook-timestamp: now
        {"data":{"build":null,"color":null,"event":null,"fields":[],"id":"n1","message":"","time":"2026-03-01T10:00:00Z","title":"A title","tone":"neutral","url":null},"datacontenttype":"application/json","id":"n1","source":"/brigantine","specversion":"1.0","time":"2026-03-01T10:00:00Z","type":"dev.brigantine.notification"}"#]]).await;
}

#[tokio::test]
async fn data_that_is_no_json_is_sent_as_it_is() {
    let mut text = event();
    text["datacontenttype"] = json!("text/plain");
    text["data"] = json!("hello");
    let request = sent(&[("WEBHOOK_MODE", "binary")], &of(text.clone())).await;
    assert_eq!(request.body, b"hello");
    assert_eq!(request.headers["content-type"], "text/plain");
    text["data"] = Value::Null;
    text["data_base64"] = json!("AAEC");
    let request = sent(&[("WEBHOOK_MODE", "binary")], &of(text)).await;
    assert_eq!(request.body, [0, 1, 2]);
}

#[tokio::test]
async fn what_does_not_fit_into_headers_is_sent_in_the_body() {
    for (name, value) in [
        ("subject", json!("x".repeat(1_000_000))),
        ("subject", json!("€".repeat(1000))),
        ("Bad-Name", json!("x")),
        ("object", json!({})),
        ("datacontenttype", json!("text/\nplain")),
    ] {
        let mut event = event();
        event[name] = value;
        let request = sent(&[("WEBHOOK_MODE", "binary")], &of(event.clone())).await;
        let kind = "application/cloudevents+json; charset=utf-8";
        assert_eq!(request.headers["content-type"], kind, "{name}");
        assert_eq!(serde_json::from_slice::<Value>(&request.body).unwrap(), event);
    }
}

#[tokio::test]
async fn each_secret_signs() {
    let first = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let secrets = format!("{first} a-text");
    for id in ["e1", "a b\r\nc", &"x".repeat(10_000)] {
        let mut event = event();
        event["id"] = json!(id);
        let request = sent(&[("WEBHOOK_SECRET", &secrets)], &of(event)).await;
        for secret in [first, "a-text"] {
            let secret = secret.to_owned().into();
            let proved = STANDARD_WEBHOOKS.verify(
                &Secrets::of(&secret),
                &request.headers,
                &request.body,
                Timestamp::now(),
            );
            assert_eq!(proved, Ok(()), "{id:?}");
        }
        let other = "whsec_AAAA9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned().into();
        let forged = STANDARD_WEBHOOKS.verify(
            &Secrets::of(&other),
            &request.headers,
            &request.body,
            Timestamp::now(),
        );
        assert!(forged.is_err());
    }
}

#[test]
fn the_signature_is_that_of_the_specification() {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let variables = variables(&[("WEBHOOK_SECRET", secret)]);
    let mut event = Map::new();
    event.insert("id".to_owned(), "msg_p5jXN8AQM9LWM0D4loKWxJek".into());
    let (mut headers, now) = (HeaderMap::new(), Timestamp::from_second(1_614_265_330).unwrap());
    sign(&variables, &event, now, &mut headers, br#"{"test": 2432232314}"#).unwrap();
    assert_eq!(headers["webhook-signature"], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

#[tokio::test]
async fn what_is_answered_is_taken_or_named() {
    for (code, way_out) in [
        (301, "it leads elsewhere"),
        (400, "400"),
        (401, "see whether WEBHOOK_SECRET and WEBHOOK_TOKEN are those that it knows"),
        (403, "see whether WEBHOOK_SECRET"),
        (404, "see whether WEBHOOK_URL is right"),
        (410, "it is gone for good: remove this notifier"),
        (413, "it takes no events of this length"),
        (415, "it may take WEBHOOK_MODE=binary"),
        (501, "501"),
    ] {
        let server = MockServer::start().await;
        let said = ResponseTemplate::new(code).set_body_string("no: Bearer s3cret-token-0123");
        Mock::given(method("POST")).respond_with(said).expect(1).mount(&server).await;
        let url = format!("{}/hook/path-that-is-secret", server.uri());
        let set = [("WEBHOOK_URL", url.as_str()), ("WEBHOOK_TOKEN", "s3cret-token-0123")];
        let error = tell(&variables(&set), &notification(), &outbox()).await.unwrap_err();
        let (said, is_refused) = (error.to_string(), matches!(error, TellError::Refused { .. }));
        assert!(is_refused && said.contains(way_out), "{code}: {said}");
        assert!(!said.contains("s3cret") && !said.contains("path-that"), "{said}");
    }
}

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    for code in [408, 425, 429, 500, 503] {
        let server = MockServer::start().await;
        let busy = ResponseTemplate::new(code).insert_header("retry-after", "0");
        let once = Mock::given(method("POST")).respond_with(busy).up_to_n_times(1);
        once.with_priority(1).mount(&server).await;
        Mock::given(method("POST")).respond_with(ResponseTemplate::new(204)).mount(&server).await;
        let url = server.uri();
        let told = tell(&variables(&[("WEBHOOK_URL", &url)]), &notification(), &outbox()).await;
        assert_eq!(told.unwrap().said, "told the webhook of the event n1");
        let requests = server.received_requests().await.unwrap();
        assert_eq!(requests.len(), 2);
        // The same delivery both times.
        assert_eq!(requests[0].headers["webhook-id"], requests[1].headers["webhook-id"]);
        assert_eq!(requests[0].body, requests[1].body);
    }
}

#[tokio::test]
async fn what_is_not_understood_is_named_and_nothing_is_sent() {
    let url = ("WEBHOOK_URL", "http://127.0.0.1:1/");
    for (settings, said) in [
        (vec![], "the variable WEBHOOK_URL is not set"),
        (
            vec![url, ("WEBHOOK_MODE", "batch")],
            "the variable WEBHOOK_MODE is neither structured nor binary",
        ),
        (
            vec![url, ("WEBHOOK_SECRET", "whsec_%%%")],
            "the variable WEBHOOK_SECRET has base64 after whsec_ that cannot be read",
        ),
        (
            vec![url, ("WEBHOOK_TOKEN", "a\nb")],
            "the variable WEBHOOK_TOKEN has characters that no token has",
        ),
    ] {
        let error = tell(&variables(&settings), &notification(), &outbox()).await.unwrap_err();
        assert_eq!(error.to_string(), said);
    }
    for (event, said) in [
        (json!([]), "the webhook cannot be told that: its event is no JSON object"),
        (
            json!({"id": "1"}),
            "the webhook cannot be told that: its event has no source, which every CloudEvent has",
        ),
    ] {
        let error = tell(&variables(&[url]), &of(event), &outbox()).await.unwrap_err();
        assert_eq!(error.to_string(), said);
    }
}
