//! The player against a function of a few lines: this test's own program, which a test of it is.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::*;

/// The test that plays the function.
const FUNCTION: &str = "lambda::tests::the_function";

/// What tells that it is to be played.
const PLAYED: &str = "HOSTS_FUNCTION";

/// Asks the Runtime API, by hand: the answer's headers and its body.
fn ask(method: &str, path: &str, body: &str) -> (String, String) {
    #[expect(clippy::disallowed_methods, reason = "this is a program of its own")]
    let address = std::env::var("AWS_LAMBDA_RUNTIME_API").unwrap();
    let mut stream = TcpStream::connect(&address).unwrap();
    let request = format!(
        "{method} /2018-06-01/runtime/{path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

/// Not a test unless it is started as the function: it does what events ask for.
#[test]
fn the_function() {
    #[expect(clippy::disallowed_methods, reason = "this is a program of its own")]
    let Ok(played) = std::env::var(PLAYED) else { return };
    if played == "cannot begin" {
        let said = r#"{"errorType":"Test.Begin","errorMessage":"no settings"}"#;
        ask("POST", "init/error", said);
        std::process::exit(1);
    }
    let mut count = 0;
    loop {
        let (head, event) = ask("GET", "invocation/next", "");
        count += 1;
        let id = head.lines().find_map(|line| line.strip_prefix("lambda-runtime-aws-request-id: "));
        let id = id.unwrap().to_owned();
        assert!(head.contains("lambda-runtime-deadline-ms: "), "{head}");
        let event: Value = serde_json::from_str(&event).unwrap();
        match event["do"].as_str() {
            Some("fail") => {
                let said = r#"{"errorType":"Test.Fail","errorMessage":"as asked"}"#;
                ask("POST", &format!("invocation/{id}/error"), said);
            }
            Some("exit") => std::process::exit(7),
            Some("hang") => std::thread::park(),
            Some("too much") => {
                let said = format!("\"{}\"", "x".repeat(PAYLOAD));
                let (head, _) = ask("POST", &format!("invocation/{id}/response"), &said);
                assert!(head.starts_with("HTTP/1.1 413"), "{head}");
            }
            _ => {
                let (head, _) = ask("POST", "invocation/no-such-id/response", "{}");
                assert!(head.starts_with("HTTP/1.1 400"), "{head}");
                let said = serde_json::json!({
                    "statusCode": 200,
                    "statusDescription": "200 OK",
                    "headers": {"content-type": "application/json"},
                    "isBase64Encoded": false,
                    "body": serde_json::json!({"count": count, "event": event}).to_string(),
                });
                ask("POST", &format!("invocation/{id}/response"), &said.to_string());
            }
        }
    }
}

async fn function(played: &str, change: impl FnOnce(&mut Options)) -> Lambda {
    let mut options = Options::of(std::env::current_exe().unwrap(), Front::FunctionUrl);
    options.arguments = ["--exact", FUNCTION, "--nocapture"].map(OsString::from).into();
    options.environment = vec![(PLAYED.to_owned(), played.to_owned())];
    options.timeout = Duration::from_secs(120);
    options.init_timeout = Duration::from_secs(120);
    change(&mut options);
    Lambda::start(options).await.unwrap()
}

fn asks(what: &str) -> Value {
    serde_json::json!({"do": what})
}

fn count(answer: &Value) -> Value {
    serde_json::from_str::<Value>(answer["body"].as_str().unwrap()).unwrap()["count"].clone()
}

#[tokio::test]
async fn one_process_has_one_invocation_after_another_and_is_stopped_between_them() {
    let lambda = function("serves", |_| {}).await;
    for number in 1..4 {
        assert_eq!(count(&lambda.invoke(&asks("answer")).await.unwrap()), number);
        let [id] = lambda.idle()[..] else { panic!("{:?}", lambda.idle()) };
        // It is stopped at once, but the kernel may say so a moment later.
        let stat = format!("/proc/{id}/stat");
        if std::path::Path::new(&stat).exists() {
            let stopped = async {
                while !std::fs::read_to_string(&stat).unwrap().contains(") T ") {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(Duration::from_secs(60), stopped).await.unwrap();
        }
    }
    assert_eq!(lambda.started(), 1);
    lambda.stop().await;
}

#[tokio::test]
async fn failures_are_told_as_lambda_tells_them_and_processes_that_live_go_on() {
    let lambda = function("serves", |_| {}).await;
    let failure = lambda.invoke(&asks("fail")).await.unwrap_err();
    assert_eq!(failure, Failure::new("Test.Fail", "as asked"));
    let failure = lambda.invoke(&asks("too much")).await.unwrap_err();
    assert_eq!(failure.kind, "Function.ResponseSizeTooLarge");
    assert_eq!(count(&lambda.invoke(&asks("answer")).await.unwrap()), 3);
    assert_eq!(lambda.started(), 1);
    let failure = lambda.invoke(&asks("exit")).await.unwrap_err();
    assert_eq!(failure.kind, "Runtime.ExitError");
    assert!(failure.message.contains("exit status: 7"), "{failure}");
    assert_eq!(count(&lambda.invoke(&asks("answer")).await.unwrap()), 1);
    assert_eq!(lambda.started(), 2);
    let large = serde_json::json!("x".repeat(PAYLOAD));
    let failure = lambda.invoke(&large).await.unwrap_err();
    assert_eq!(failure.kind, "RequestTooLargeException");
}

#[tokio::test]
async fn a_process_that_takes_too_long_is_killed() {
    let lambda = function("serves", |options| options.timeout = Duration::from_secs(2)).await;
    let failure = lambda.invoke(&asks("hang")).await.unwrap_err();
    assert_eq!(failure.kind, "Sandbox.Timedout");
    assert!(failure.message.ends_with("Task timed out after 2.00 seconds"), "{failure}");
    assert!(lambda.idle().is_empty(), "{:?}", lambda.idle());
}

#[tokio::test]
async fn a_process_that_cannot_begin_says_why() {
    let lambda = function("cannot begin", |_| {}).await;
    let failure = lambda.invoke(&asks("answer")).await.unwrap_err();
    assert_eq!(failure, Failure::new("Test.Begin", "no settings"));
    let lambda = function("", |options| options.arguments = vec!["--no-such-option".into()]).await;
    let failure = lambda.invoke(&asks("answer")).await.unwrap_err();
    assert_eq!(failure.kind, "Runtime.ExitError");
}

#[tokio::test]
async fn who_comes_when_all_are_busy_is_told_to_come_later() {
    let lambda = Arc::new(function("serves", |options| options.concurrency = 1).await);
    let first = Arc::clone(&lambda);
    let hangs = tokio::spawn(async move { first.invoke(&asks("hang")).await });
    let refused = async {
        loop {
            match lambda.invoke(&serde_json::json!("x".repeat(PAYLOAD))).await {
                Err(failure) if failure.kind == "RequestTooLargeException" => {}
                other => return other,
            }
            if lambda.started() > 0 {
                return lambda.invoke(&asks("answer")).await;
            }
            tokio::task::yield_now().await;
        }
    };
    let failure = tokio::time::timeout(Duration::from_secs(60), refused).await.unwrap();
    assert_eq!(failure.unwrap_err().kind, "TooManyRequestsException");
    hangs.abort();
}
