//! What a notifier's pod runs, as the program that it is.

use std::process::Output;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::any;
use serde_json::Value;
use tokio::process::Command;

/// A sink of this machine that answers so, and what it got.
async fn sink(status: StatusCode, answer: &'static str) -> (String, Arc<Mutex<Vec<Value>>>) {
    let got = Arc::new(Mutex::new(Vec::new()));
    let keeping = got.clone();
    let handle = move |body: String| async move {
        keeping.lock().unwrap().push(serde_json::from_str(&body).unwrap());
        (status, [("retry-after", "3600")], answer)
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/services/T/B/secret", listener.local_addr().unwrap());
    let router = Router::new().fallback(any(handle));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, got)
}

/// Runs the program by this name, with nothing else in its environment.
async fn play(name: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_worker"));
    program.arg0(name).args(arguments).env_clear().envs(variables.iter().copied());
    program.env("NOTIFY_ALLOWED_HOSTS", "127.0.0.1").output().await.unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn the_program_slack_notify_takes_the_place_of_the_one_of_that_name() {
    let (url, got) = sink(StatusCode::OK, "ok").await;
    let variables = [("SLACK_WEBHOOK", url.as_str()), ("SLACK_MESSAGE", "New Build v1 available!")];
    let output = play("/slack-notify", &[], &variables).await;
    assert_eq!((text(&output.stdout), text(&output.stderr)), ("200 OK\n", ""));
    assert_eq!(output.status.code(), Some(0));
    let field = "/attachments/0/fields/0/value";
    let got = got.lock().unwrap().clone();
    assert_eq!(got[0].pointer(field).unwrap(), "New Build v1 available!");
    let output = play("slack-notify", &[], &[]).await;
    assert_eq!((text(&output.stderr), output.status.code()), ("URL is required\n", Some(1)));
}

#[tokio::test]
async fn a_notifiers_pod_ends_as_its_message_did() {
    for (status, answer, code, said) in [
        (StatusCode::OK, "ok", 0, "told Slack of Tide\n"),
        (StatusCode::NOT_FOUND, "no_service", 1, "refused the message: 404 no_service; "),
        (StatusCode::SERVICE_UNAVAILABLE, "later", 75, "503 later; it asks for 3600 s"),
    ] {
        let (url, got) = sink(status, answer).await;
        let notification = r##"{"title": "Tide", "color": "#123456"}"##;
        let variables = [("SLACK_WEBHOOK", url.as_str()), ("NOTIFICATION", notification)];
        let output = play("worker", &["notify", "slack"], &variables).await;
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{out}{err}");
        assert!(if code == 0 { out == said } else { err.contains(said) }, "{out}{err}");
        assert!(!err.contains("secret") && !out.contains("secret"), "{out}{err}");
        assert_eq!(got.lock().unwrap()[0].pointer("/attachments/0/color").unwrap(), "#123456");
    }
}
