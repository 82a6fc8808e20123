//! What a notifier's pod says, and what it ends with.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::any;
use clap::Parser;
use runtime::settings::{NoticeSettings, Settings};
use serde_json::{Value, json};

use super::{Arguments, Notified, run};

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    arguments: Arguments,
}

fn arguments(given: &[&str]) -> Arguments {
    Program::parse_from([&["notify"], given].concat()).arguments
}

/// Tells with these arguments and these variables.
async fn told(given: &[&str], variables: &[(&str, &str)]) -> Notified {
    let get = |name: &str| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    let arguments = arguments(given);
    let environment = NoticeSettings::read(&arguments.names(), get);
    let settings = Settings::read(get).unwrap();
    run(&arguments, &environment, &settings, std::future::pending()).await
}

/// A sink of this machine that answers so, and what it got.
async fn sink(status: u16, answer: &'static str) -> (String, Arc<Mutex<Vec<Value>>>) {
    let got = Arc::new(Mutex::new(Vec::new()));
    let keeping = got.clone();
    let handle = move |body: String| async move {
        keeping.lock().unwrap().push(serde_json::from_str(&body).unwrap());
        // Nobody waits for so long.
        (StatusCode::from_u16(status).unwrap(), [("retry-after", "3600")], answer)
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/services/T/B/secret", listener.local_addr().unwrap());
    let router = Router::new().fallback(any(handle));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, got)
}

const HERE: (&str, &str) = ("NOTIFY_ALLOWED_HOSTS", "127.0.0.1");

#[tokio::test]
async fn a_notification_is_told() {
    let (url, got) = sink(200, "ok").await;
    let json = json!({"title": "Tide", "message": "High", "tone": "good",
        "fields": [{"name": "Place", "value": "Kiel"}]});
    let json = json.to_string();
    let notified =
        told(&["slack"], &[("SLACK_WEBHOOK", &url), HERE, ("NOTIFICATION", &json)]).await;
    assert_eq!((notified.said, notified.wrong), (vec!["told Slack of Tide".to_owned()], None));
    let got = got.lock().unwrap();
    assert_eq!(got.len(), 1);
    assert_eq!(got[0]["attachments"][0]["color"], "#1a7f37");
    assert!(got[0].to_string().contains("Kiel"));
}

#[tokio::test]
async fn options_say_what_is_told() {
    let (url, got) = sink(200, "ok").await;
    let given = [
        "slack",
        "--title=Tide",
        "--message=High",
        "--color=#123456",
        "--url=https://a.example/",
        "--field",
        "Place=Kiel=Schilksee",
        "-f",
        "Wind=W",
    ];
    let variables = [("SLACK_WEBHOOK", url.as_str()), HERE, ("NOTIFICATION", "{}")];
    let notified = told(&given, &variables).await;
    assert_eq!(notified.wrong, None);
    let got = got.lock().unwrap()[0].to_string();
    for part in ["Tide", "High", "#123456", "<https://a.example/|Open>", "*Place*\\nKiel=Schilksee"]
    {
        assert!(got.contains(part), "{part}: {got}");
    }
    assert!(Program::try_parse_from(["notify", "slack", "--field", "x"]).is_err());
    assert!(Program::try_parse_from(["notify", "slack", "--tone", "sad"]).is_err());
}

#[tokio::test]
async fn the_environment_of_slack_notify_is_understood() {
    let (url, got) = sink(200, "ok").await;
    let variables = [
        ("SLACK_WEBHOOK", url.as_str()),
        HERE,
        ("SLACK_MESSAGE", "New Build <https://a.example|app> available!"),
        ("SLACK_TITLE", "New Build"),
        ("SLACK_COLOR", "#0000ff"),
        ("SLACK_MARKDOWN", ""),
    ];
    let notified = told(&["slack"], &variables).await;
    assert_eq!(notified.said, ["told Slack of New Build"]);
    // As the program of that name.
    let notified = told(&["slack", "--as-slack-notify"], &variables).await;
    assert_eq!((notified.said, notified.wrong), (vec!["200 OK".to_owned()], None));
    let got = got.lock().unwrap();
    assert_eq!(got[0], got[1]);
    let message = "New Build <https://a.example|app> available!";
    let field = json!({"title": "New Build", "value": message, "short": false});
    let attachment = json!({"fallback": message, "color": "#0000ff", "fields": [field]});
    let body = json!({"attachments": [attachment], "mrkdwn": true, "unfurl_links": false});
    assert_eq!(got[0], body);
}

#[tokio::test]
async fn slack_notify_ends_as_it_did() {
    let (url, _got) = sink(404, "no_service").await;
    let hook = ("SLACK_WEBHOOK", url.as_str());
    for (variables, code, words) in [
        (&[][..], 1, "URL is required"),
        (&[hook][..], 1, "Message is required"),
        (&[hook, ("SLACK_MESSAGE", "x"), HERE][..], 2, "Error sending message: Slack at 127.0.0.1"),
    ] {
        let notified = told(&["slack", "--as-slack-notify"], variables).await;
        let (said, ended) = notified.wrong.unwrap();
        assert_eq!(ended, code, "{said}");
        assert!(said.starts_with(words) && !said.contains("secret"), "{said}");
    }
}

#[tokio::test]
async fn the_exit_code_says_whether_it_passes() {
    let (gone, _got) = sink(404, "no_service").await;
    let (busy, _got) = sink(503, "later").await;
    let message = ("NOTIFICATION", "{\"message\": \"x\"}");
    for (url, code, words) in [
        (&gone, 1, "refused the message: 404 no_service; the webhook was deleted"),
        (&busy, 75, "did not take the message in 1 attempts: 503 later"),
        (&"http://127.0.0.2/x".to_owned(), 1, "its address must begin with https://"),
    ] {
        let variables = [("SLACK_WEBHOOK", url.as_str()), HERE, message];
        let (said, ended) = told(&["slack"], &variables).await.wrong.unwrap();
        assert_eq!(ended, code, "{said}");
        assert!(said.contains(words) && !said.contains("secret"), "{said}");
    }
    // Whoever ends it may begin it again.
    let arguments = arguments(&["slack", "-m", "x"]);
    let hook =
        NoticeSettings::read(&["SLACK_WEBHOOK"], |_name| Some("https://a.example".to_owned()));
    let settings = Settings::default();
    let notified = run(&arguments, &hook, &settings, std::future::ready(())).await;
    assert_eq!(notified.wrong.map(|(_, code)| code), Some(75));
}

#[tokio::test]
async fn what_is_missing_is_named_for_every_kind() {
    let message = ("NOTIFICATION", "{\"message\": \"x\"}");
    for (given, variables, words) in [
        (
            "slack",
            &[message][..],
            "the variable SLACK_WEBHOOK is not set, nor is SLACK_BOT_TOKEN in its place",
        ),
        (
            "email",
            &[message, ("EMAIL_FROM", "a@b.example")][..],
            "the variable SMTP_URL is not set; EMAIL_TO is not set either, and needed, too",
        ),
        (
            "webhook",
            &[message, ("WEBHOOK_URL", "https://a:b@c.example/")][..],
            "the webhook may not be told: its address has a user or a password in it, which none of \
             a notifier may have (see the variable WEBHOOK_URL)",
        ),
        ("teams", &[message][..], "the variable TEAMS_WEBHOOK is not set"),
        ("webhook", &[message][..], "the variable WEBHOOK_URL is not set"),
        ("slack", &[][..], "the variable NOTIFICATION is not set: set it, or say what is told by"),
        ("teams", &[("SLACK_MESSAGE", "x")][..], "the variable NOTIFICATION is not set"),
        ("slack", &[("NOTIFICATION", "{")][..], "the variable NOTIFICATION is no notification in"),
        ("slack", &[("NOTIFICATION", "[]")][..], "the variable NOTIFICATION is no notification in"),
        (
            "slack",
            &[("NOTIFICATION", "{\"tone\": \"\\u0007sad\"}")][..],
            "the variable NOTIFICATION is no notification in JSON: unknown variant `sad`",
        ),
    ] {
        let (said, ended) = told(&[given], variables).await.wrong.unwrap();
        assert_eq!(ended, 1, "{said}");
        assert!(said.starts_with(words), "{given}: {said}");
    }
}

#[tokio::test]
async fn what_says_nothing_is_told_to_nobody() {
    let (url, got) = sink(200, "ok").await;
    let hook = [("SLACK_WEBHOOK", url.as_str()), HERE];
    for (given, json) in [
        (&["slack", "--message", ""][..], ""),
        (&["slack", "--title", " ", "--field", " = "][..], ""),
        (&["slack"][..], "{\"titel\": \"x\"}"),
        (&["slack"][..], "{}"),
    ] {
        let variables = [&hook[..], &[("NOTIFICATION", json)]].concat();
        let (said, ended) = told(given, &variables).await.wrong.unwrap();
        let words =
            "slack cannot be told that: it says nothing: give it a title, a message or fields";
        assert!(ended == 1 && said.starts_with(words), "{given:?}: {ended} {said}");
    }
    let (said, _) = told(&["github", "--title", "x"], &[]).await.wrong.unwrap();
    let words = "github cannot be told that: options say nothing of a build: set NOTIFICATION";
    assert!(said.starts_with(words), "{said}");
    assert_eq!(got.lock().unwrap().len(), 0);
    // What has no more than values says something.
    let variables = [&hook[..], &[("NOTIFICATION", "")]].concat();
    let notified = told(&["slack", "--field", "a=b", "--color", "good"], &variables).await;
    assert_eq!(notified.said, ["told Slack of a message without a title"]);
    for color in ["nonsense", "#12345", "123456", "#12345g", ""] {
        let given = ["notify", "slack", "--message=x", "--color", color];
        assert!(Program::try_parse_from(given).is_err(), "{color}");
    }
}

#[tokio::test]
async fn a_dry_run_prints_what_would_be_sent() {
    let hook = ("SLACK_WEBHOOK", "https://hooks.slack.com/services/T/B/secret");
    let by_variable = [hook, ("NOTIFY_DRY_RUN", "true")];
    for (given, variables) in [
        (&["slack", "-m", "High water", "--dry-run"][..], &[hook][..]),
        (&["slack", "-m", "High water"][..], &by_variable[..]),
    ] {
        let notified = told(given, variables).await;
        let (mut out, mut err) = (Vec::new(), Vec::new());
        assert_eq!(notified.wrong, None);
        let _code = super::say(notified, &mut out, &mut err);
        let out = String::from_utf8(out).unwrap();
        assert!(out.starts_with("POST https://hooks.slack.com/***\n"), "{out}");
        assert!(out.contains("High water") && !out.contains("secret") && err.is_empty(), "{out}");
    }
    // Where nothing would be, it says why.
    let build = json!({"build": "b", "project": "a", "repository": "ocean/brig", "event": "push",
        "provider": "gitlab", "moment": "failed", "phase": "Failed"});
    let json = json!({"build": build}).to_string();
    let notified = told(&["github", "--dry-run"], &[("NOTIFICATION", &json)]).await;
    assert_eq!(notified.said, ["told GitHub nothing: its repository is not on GitHub"]);
}

#[tokio::test]
async fn the_environment_of_brigades_check_run_is_understood() {
    let (url, got) = sink(201, "{\"id\": 1}").await;
    let payload = json!({
        "type": "check_suite", "token": "ghs_secret", "commit": "6".repeat(40),
        "body": {"repository": {"full_name": "ocean/brig"}},
    });
    let payload = payload.to_string();
    let variables = [
        ("CHECK_PAYLOAD", payload.as_str()),
        ("CHECK_NAME", "Lint"),
        ("CHECK_CONCLUSION", "neutral"),
        ("GITHUB_BASE_URL", url.as_str()),
        HERE,
    ];
    for given in [&["github"][..], &["github", "--as-check-run"]] {
        let notified = told(given, &variables).await;
        assert_eq!((notified.said.len(), notified.wrong), (1, None));
    }
    let got = got.lock().unwrap().clone();
    assert_eq!((&got[0]["name"], &got[1]["conclusion"]), (&json!("Lint"), &json!("neutral")));
    // Its exit codes: variables, the payload, and no way there.
    let elsewhere = [("CHECK_PAYLOAD", payload.as_str()), ("GITHUB_BASE_URL", "http://127.0.0.2")];
    for (variables, code) in
        [(&[][..], 1), (&[("CHECK_PAYLOAD", "{}")][..], 2), (&elsewhere[..], 3)]
    {
        let notified = told(&["github", "--as-check-run"], variables).await;
        let (said, ended) = notified.wrong.unwrap();
        assert_eq!(ended, code, "{said}");
        assert!(!said.contains("ghs_secret"), "{said}");
    }
}
