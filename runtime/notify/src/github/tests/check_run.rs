//! The contract of Brigade's image.

use expect_test::expect;
use wiremock::matchers::header;

use super::*;
use crate::check_run::{self, CheckRunError};

fn payload() -> Value {
    json!({
        "type": "check_suite",
        "token": "ghs_0123456789abcdef",
        "tokenExpires": "2026-03-01T11:00:00Z",
        "commit": COMMIT,
        "branch": "main",
        "body": {"repository": {"full_name": "ocean/brig", "name": "brig"}},
    })
}

fn set(pairs: &[(&str, &str)]) -> Variables {
    Variables::of(check_run::NAMES, |name| {
        pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    })
}

/// The check run that these variables make.
async fn made(pairs: &[(&str, &str)]) -> Value {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/repos/ocean/brig/check-runs"))
        .and(header("authorization", "Bearer ghs_0123456789abcdef"))
        .respond_with(
            ResponseTemplate::new(201).set_body_json(json!({"id": 1, "html_url": "https://x/1"})),
        )
        .expect(1)
        .mount(&server)
        .await;
    let (url, payload) = (server.uri(), payload().to_string());
    let usual = [("CHECK_PAYLOAD", payload.as_str()), ("GITHUB_BASE_URL", url.as_str())];
    let told = check_run::tell(&set(&[pairs, &usual].concat()), &outbox()).await.unwrap();
    assert!(told.said.starts_with("told GitHub of the check run "), "{}", told.said);
    assert!(told.said.ends_with(" https://x/1"), "{}", told.said);
    let mut body = written(&server).await.remove(0).1;
    for name in ["started_at", "completed_at"] {
        if body[name].as_str().is_some_and(|moment| moment > "2026-03-02") {
            body[name] = json!("now");
        }
    }
    body
}

#[tokio::test]
async fn a_check_run_is_what_its_variables_say() {
    expect![[r#"
        {
          "head_sha": "6666666666666666666666666666666666666666",
          "name": "Brigade",
          "output": {
            "summary": "",
            "title": "Running Check"
          },
          "started_at": "now",
          "status": "in_progress"
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&made(&[]).await).unwrap());
    let all = made(&[
        ("CHECK_NAME", "Lint"),
        ("CHECK_TITLE", "It ran"),
        ("CHECK_SUMMARY", "All of **it**"),
        ("CHECK_TEXT", "```\nlog\n```"),
        ("CHECK_CONCLUSION", "success"),
        ("CHECK_STARTED_AT", "2026-03-01T10:00:00Z"),
        ("CHECK_DETAILS_URL", "https://brig.example/1"),
        ("CHECK_EXTERNAL_ID", "mine"),
        (
            "CHECK_ACTIONS",
            r#"[{"label": "Fix", "identifier": "fix", "description": "Fixes it", "x": 1}]"#,
        ),
        ("GITHUB_UPLOAD_URL", "https://x/"),
    ]);
    expect![[r#"
        {
          "actions": [
            {
              "description": "Fixes it",
              "identifier": "fix",
              "label": "Fix"
            }
          ],
          "completed_at": "now",
          "conclusion": "success",
          "details_url": "https://brig.example/1",
          "external_id": "mine",
          "head_sha": "6666666666666666666666666666666666666666",
          "name": "Lint",
          "output": {
            "summary": "All of **it**",
            "text": "```\nlog\n```",
            "title": "It ran"
          },
          "started_at": "2026-03-01T10:00:00Z",
          "status": "completed"
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&all.await).unwrap());
    let long = "ä".repeat(LIMIT);
    let cut = made(&[("CHECK_SUMMARY", &long), ("CHECK_TEXT", &format!("{long}end"))]).await;
    assert_eq!(cut["output"]["summary"].as_str().unwrap().len(), LIMIT - 1);
    let text = cut["output"]["text"].as_str().unwrap();
    assert!(text.len() <= LIMIT && text.ends_with("äend"));
}

#[tokio::test]
async fn what_is_wrong_has_the_exit_code_of_brigades_image() {
    let with = |name: &str, value: Value| {
        let mut payload = payload();
        payload[name] = value;
        payload.to_string()
    };
    let good = payload().to_string();
    let none = ("CHECK_PAYLOAD", good.as_str());
    let of = |payload: &str, pair: (&str, &str)| {
        set(&[("CHECK_PAYLOAD", payload), ("GITHUB_BASE_URL", "http://127.0.0.1:1"), pair])
    };
    let fourth =
        format!("[{}]", [r#"{"label":"a","identifier":"b","description":"c"}"#; 4].join(","));
    for (variables, code, said) in [
        (set(&[]), 1, "the variable CHECK_PAYLOAD is not set"),
        (of("{\"token\": ghs_", none), 1, "the variable CHECK_PAYLOAD is not the JSON"),
        (of(&with("type", json!("push")), none), 2, "the payload is of no check_run, check_suite"),
        (of(&with("body", json!({})), none), 2, "the payload names no repository"),
        (of(&with("commit", json!("main")), none), 2, "the payload names no commit"),
        (of(&with("token", json!("")), none), 2, "the payload has no token"),
        (of(&good, ("CHECK_CONCLUSION", "fine")), 1, "the variable CHECK_CONCLUSION is none of"),
        (of(&good, ("CHECK_STARTED_AT", "now")), 1, "the variable CHECK_STARTED_AT is no moment"),
        (of(&good, ("CHECK_DETAILS_URL", "x")), 1, "the variable CHECK_DETAILS_URL is no address"),
        (of(&good, ("CHECK_ACTIONS", "{}")), 1, "the variable CHECK_ACTIONS is no JSON list"),
        (of(&good, ("CHECK_ACTIONS", "[{}]")), 1, "the variable CHECK_ACTIONS is no JSON list"),
        (of(&good, ("CHECK_ACTIONS", &fourth)), 1, "the variable CHECK_ACTIONS is no JSON list"),
        (
            set(&[none, ("GITHUB_BASE_URL", "nowhere")]),
            3,
            "the variable GITHUB_BASE_URL is not the URL of an API",
        ),
        (set(&[none, ("GITHUB_BASE_URL", "http://10.0.0.1")]), 3, "GitHub may not be told"),
    ] {
        let error = check_run::tell(&variables, &outbox()).await.unwrap_err();
        assert!(error.to_string().starts_with(said), "{error}");
        assert_eq!(error.code(), code, "{error}");
    }
    let server = MockServer::start().await;
    let refusal = ResponseTemplate::new(422).set_body_json(json!({"message": "Invalid request."}));
    Mock::given(method("POST")).respond_with(refusal).mount(&server).await;
    let url = server.uri();
    let error = check_run::tell(&set(&[none, ("GITHUB_BASE_URL", &url)]), &outbox()).await;
    let error: CheckRunError = error.unwrap_err();
    assert_eq!((error.code(), error.to_string().contains("422 Invalid request.")), (1, true));
}
