//! What the sinks answer, as the real ones would.

use axum::body::Body;
use axum::http::Request;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::*;

const SLACK: &str = "/https/hooks.slack.com/services/T1/B1/x";
const TEAMS: &str = "/https/prod-1.westeurope.logic.azure.com/workflows/x?sig=y";
const COMMIT: &str = "0123456789012345678901234567890123456789";

fn sinks() -> (Router, broadcast::Receiver<News>) {
    let (news, heard) = broadcast::channel(64);
    (Sinks::new(Arc::from([]), news).routes(), heard)
}

async fn send(sinks: &Router, request: Request<Body>) -> (u16, String) {
    let answer = sinks.clone().oneshot(request).await.unwrap();
    let status = answer.status().as_u16();
    let body = axum::body::to_bytes(answer.into_body(), LIMIT).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn request(method: &str, path: &str, body: &Value) -> Request<Body> {
    let request = Request::builder().method(method).uri(path).header("user-agent", "test");
    let request = request.header("authorization", "Bearer xoxb-test");
    let request = request.header("content-type", "application/json");
    request.body(Body::from(body.to_string())).unwrap()
}

fn shown(heard: &mut broadcast::Receiver<News>) -> Arrival {
    match heard.try_recv().unwrap() {
        News::Arrived(arrival) => arrival,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn slack_says_what_is_wrong_with_a_message_as_slack_does() {
    let section = |text: &str| json!({"type": "section", "text": {"type": "mrkdwn", "text": text}});
    for (body, code, word) in [
        (json!({"text": "hello"}), 200, "ok"),
        (json!({"attachments": [{"color": "danger", "blocks": [section("x")]}]}), 200, "ok"),
        (json!({}), 400, "no_text"),
        (json!({"text": ""}), 400, "no_text"),
        (json!({"text": 1}), 400, "invalid_payload"),
        (json!([1]), 400, "invalid_payload"),
        (json!({"blocks": vec![section("x"); 51]}), 400, "invalid_blocks"),
        (json!({"blocks": [section(&"x".repeat(3001))]}), 400, "invalid_blocks"),
        (json!({"blocks": [section("")]}), 400, "invalid_blocks"),
        (json!({"blocks": [{"type": "nothing"}]}), 400, "invalid_blocks"),
        (
            json!({"blocks": [{"type": "header", "text": {"type": "plain_text", "text": "x".repeat(151)}}]}),
            400,
            "invalid_blocks",
        ),
        (json!({"attachments": vec![json!({}); 101]}), 400, "too_many_attachments"),
    ] {
        let (sinks, _heard) = sinks();
        let answer = send(&sinks, request("POST", SLACK, &body)).await;
        assert_eq!(answer, (code, word.to_owned()), "{body}");
    }
    let (sinks, _heard) = sinks();
    let elsewhere = request("POST", "/https/hooks.slack.com/services/T1", &json!({"text": "x"}));
    assert_eq!(send(&sinks, elsewhere).await, (404, "no_service".to_owned()));
}

#[tokio::test]
async fn slack_takes_no_more_than_it_takes() {
    let (sinks, _heard) = sinks();
    let mut limited = 0;
    for _ in 0..20 {
        let told = request("POST", SLACK, &json!({"text": "again"}));
        let answer = sinks.clone().oneshot(told).await.unwrap();
        if answer.status() == 429 {
            assert!(answer.headers().contains_key("retry-after"));
            limited += 1;
        }
    }
    assert!((1..=15).contains(&limited), "{limited}");
}

#[tokio::test]
async fn a_bot_changes_what_it_wrote_and_nothing_else() {
    let (sinks, mut heard) = sinks();
    let api = "/https/slack.com/api/";
    let post = json!({"channel": "#builds", "text": "running"});
    let (_, answer) = send(&sinks, request("POST", &format!("{api}chat.postMessage"), &post)).await;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["ok"], true, "{answer}");
    assert_eq!(shown(&mut heard).text, "#builds running");
    let change = json!({"channel": answer["channel"], "ts": answer["ts"], "text": "done"});
    let (_, changed) = send(&sinks, request("POST", &format!("{api}chat.update"), &change)).await;
    assert!(changed.contains(r#""ok":true"#), "{changed}");
    let other = json!({"channel": "CX", "ts": "1.1", "text": "done"});
    let (code, refused) = send(&sinks, request("POST", &format!("{api}chat.update"), &other)).await;
    assert_eq!((code, refused.contains("message_not_found")), (200, true), "{refused}");
}

#[tokio::test]
async fn teams_takes_cards_that_are_not_too_large() {
    let card = |text: &str| {
        json!({"type": "message", "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "content": {"type": "AdaptiveCard", "version": "1.4", "body": [
                {"type": "TextBlock", "text": text},
                {"type": "FactSet", "facts": [{"title": "Commit", "value": "0123456"}]},
            ]},
        }]})
    };
    let (sinks, mut heard) = sinks();
    assert_eq!(send(&sinks, request("POST", TEAMS, &card("Failed"))).await.0, 202);
    assert_eq!(shown(&mut heard).text, "Failed · Commit 0123456");
    assert_eq!(send(&sinks, request("POST", TEAMS, &card(&"x".repeat(30_000)))).await.0, 413);
    assert_eq!(send(&sinks, request("POST", TEAMS, &json!({"text": "x"}))).await.0, 400);
    // The old ones say so with 200.
    let connector = "/https/acme.webhook.office.com/webhookb2/x";
    assert_eq!(send(&sinks, request("POST", connector, &card("x"))).await, (200, "1".to_owned()));
    let (code, words) = send(&sinks, request("POST", connector, &json!({"text": "x"}))).await;
    assert!(code == 200 && words.starts_with("Bad payload"), "{words}");
}

#[tokio::test]
async fn github_says_what_is_wrong_with_a_status_and_a_check() {
    let (sinks, mut heard) = sinks();
    let status = format!("/https/api.github.com/repos/acme/app/statuses/{COMMIT}");
    let checks = "/https/api.github.com/repos/acme/app/check-runs";
    let output = |text: String| json!({"title": "t", "summary": "s", "text": text});
    for (path, body, code) in [
        (status.as_str(), json!({"state": "failure", "description": "no"}), 201),
        (&status, json!({"state": "bad"}), 422),
        (&status, json!({"state": "success", "description": "x".repeat(141)}), 422),
        (&status, json!({"state": "success", "target_url": "file:///x"}), 422),
        ("/https/api.github.com/repos/acme/app/statuses/abc", json!({"state": "success"}), 422),
        (checks, json!({"name": "n", "head_sha": COMMIT}), 201),
        (checks, json!({"head_sha": COMMIT}), 422),
        (checks, json!({"name": "n", "head_sha": COMMIT, "status": "completed"}), 422),
        (
            checks,
            json!({"name": "n", "head_sha": COMMIT, "output": output("x".repeat(65_536))}),
            422,
        ),
        (
            checks,
            json!({"name": "n", "head_sha": COMMIT, "output": output("x".repeat(65_535))}),
            201,
        ),
        ("/https/api.github.com/user", json!({}), 404),
    ] {
        let (answered, words) = send(&sinks, request("POST", path, &body)).await;
        assert_eq!(answered, code, "{path} {body} {words}");
    }
    assert_eq!(shown(&mut heard).color.as_deref(), Some("#cf222e"));
    let nobody = Request::post(checks).body(Body::empty()).unwrap();
    assert_eq!(send(&sinks, nobody).await.0, 403, "no user agent");
}

#[tokio::test]
async fn a_check_that_was_made_is_found_and_changed() {
    let (sinks, _heard) = sinks();
    let checks = "/https/api.github.com/repos/acme/app/check-runs";
    let begun = json!({"name": "brigantine/push", "head_sha": COMMIT, "external_id": "01x"});
    let (_, made) = send(&sinks, request("POST", checks, &begun)).await;
    let made: Value = serde_json::from_str(&made).unwrap();
    let list = format!("/https/api.github.com/repos/acme/app/commits/{COMMIT}/check-runs");
    let (_, found) = send(&sinks, request("GET", &list, &Value::Null)).await;
    let found: Value = serde_json::from_str(&found).unwrap();
    assert_eq!(found["check_runs"][0]["external_id"], "01x");
    let id = made["id"].as_u64().unwrap();
    let ended = json!({"conclusion": "failure", "output": {"title": "t", "summary": "s"}});
    let (code, ended) = send(&sinks, request("PATCH", &format!("{checks}/{id}"), &ended)).await;
    assert!(code == 200 && ended.contains(r#""status":"completed""#), "{ended}");
    let other = "/https/api.github.com/repos/acme/other/check-runs";
    let elsewhere = request("PATCH", &format!("{other}/{id}"), &json!({"name": "x"}));
    assert_eq!(send(&sinks, elsewhere).await.0, 404);
}

#[tokio::test]
async fn a_webhook_looks_at_the_attributes_and_the_signature() {
    let (sinks, mut heard) = sinks();
    let told = |headers: &[(&str, &str)], body: Value| {
        let mut request = Request::post("/https/example.com/hook");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Body::from(body.to_string())).unwrap()
    };
    let event = json!({"specversion": "1.0", "id": "1", "source": "/x", "type": "t"});
    let structured = [("content-type", "application/cloudevents+json; charset=utf-8")];
    assert_eq!(send(&sinks, told(&structured, event)).await.0, 204);
    assert_eq!(shown(&mut heard).text, "example.com hears t 1");
    let without_id = json!({"specversion": "1.0", "source": "/x", "type": "t"});
    assert_eq!(send(&sinks, told(&structured, without_id)).await.0, 400);
    let forged = [("webhook-signature", "v1,abc"), ("webhook-id", "1"), ("webhook-timestamp", "1")];
    assert_eq!(send(&sinks, told(&forged, json!({}))).await.0, 401);
    assert_eq!(send(&sinks, told(&[], json!({}))).await.0, 200);
}

#[tokio::test]
async fn a_letter_is_taken_and_shown() {
    let (news, mut heard) = broadcast::channel(8);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let served = tokio::spawn(email::serve(listener, news, shutdown.clone()));
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let letter = "EHLO x\r\nRCPT TO:<a@b>\r\nMAIL FROM:<ci@acme.example>\r\nRCPT TO:<nobody>\r\n\
                  RCPT TO:<ada@acme.example>\r\nDATA\r\nSubject: a build\r\n failed\r\n\r\n..\r\n.\r\nQUIT\r\n";
    stream.write_all(letter.as_bytes()).await.unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).await.unwrap();
    let codes: Vec<&str> =
        answers.lines().filter(|line| line.as_bytes()[3] == b' ').map(|line| &line[..3]).collect();
    assert_eq!(codes, ["220", "250", "503", "250", "553", "250", "354", "250", "221"], "{answers}");
    let arrival = shown(&mut heard);
    assert_eq!(arrival.text, "ci@acme.example writes to ada@acme.example: a build failed");
    shutdown.cancel();
    served.await.unwrap();
}
