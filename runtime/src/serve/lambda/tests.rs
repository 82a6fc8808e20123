//! Events of every shape, in the form that AWS documents, and answers in that of every front.

use axum::extract::Request as Received;
use axum::http::header::{CONTENT_ENCODING, SET_COOKIE};
use axum::response::IntoResponse;
use axum::routing::any;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::serve::{FrontRequest, Invocation, SWEEP, Trigger};

/// What the router is asked, as JSON.
async fn echo(request: Received) -> axum::Json<Value> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let mut headers = json!({});
    for name in parts.headers.keys() {
        let values = parts.headers.get_all(name).iter();
        headers[name.as_str()] = values.map(|value| value.to_str().unwrap()).collect();
    }
    axum::Json(json!({
        "method": parts.method.as_str(),
        "uri": parts.uri.to_string(),
        "headers": headers,
        "body": String::from_utf8_lossy(&body),
        "invocation": parts.extensions.get::<Invocation>().map(|it| it.0.clone()),
        "front": parts.extensions.get::<FrontRequest>().map(|it| it.0.clone()),
        "trigger": parts.extensions.get::<Trigger>().map(|it| format!("{it:?}")),
        "deadline": parts.extensions.get::<Deadline>().is_some(),
    }))
}

fn context() -> Context {
    let end = SystemTime::now() + Duration::from_secs(600);
    let end = end.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let mut context = Context::default();
    context.request_id = "8476a536-e9f4-11e8-9739-2dfe598c3fcd".to_owned();
    context.deadline = end.as_millis() as u64;
    context.xray_trace_id =
        Some("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1".into());
    context
}

fn settings(message_path: Option<&str>) -> LambdaSettings {
    LambdaSettings {
        runtime_api: String::new(),
        message_path: message_path.map(|path| path.to_owned().into()),
    }
}

async fn invoke(router: Router, path: Option<&str>, event: &Value) -> Result<Value, Diagnostic> {
    let event = RawValue::from_string(event.to_string()).unwrap();
    let answer = invoked(router, &settings(path), &event, &context()).await?;
    Ok(serde_json::from_str(answer.get()).unwrap())
}

/// What the router is asked by an event of HTTP.
async fn asked(event: &Value) -> Value {
    let answer = invoke(Router::new().fallback(any(echo)), None, event).await.unwrap();
    assert_eq!(answer["statusCode"], 200, "{answer}");
    serde_json::from_str(answer["body"].as_str().unwrap()).unwrap()
}

/// The status and the reason of an event that is no request.
async fn refused(event: &Value) -> (u64, String) {
    let answer = invoke(Router::new().fallback(any(echo)), None, event).await.unwrap();
    let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    (answer["statusCode"].as_u64().unwrap(), body["reason"].as_str().unwrap().to_owned())
}

fn load_balancer() -> Value {
    json!({
        "requestContext": {"elb": {
            "targetGroupArn": "arn:aws:elasticloadbalancing:eu-north-1:123456789012:targetgroup/f/1",
        }},
        "httpMethod": "POST",
        "path": "/events/webhook/org%2Frepo",
        "queryStringParameters": {"token": "a%20b%26c", "x": ""},
        "headers": {"host": "lb.example", "content-type": "application/json", "x-forwarded-port": "443"},
        "body": "{}",
        "isBase64Encoded": false,
    })
}

fn rest() -> Value {
    json!({
        "resource": "/{proxy+}",
        "path": "/events/github",
        "httpMethod": "POST",
        "headers": {"X-GitHub-Event": "push", "X-Twice": "b"},
        "multiValueHeaders": {"X-GitHub-Event": ["push"], "X-Twice": ["a", "b"]},
        "queryStringParameters": {"token": "a b&c"},
        "multiValueQueryStringParameters": {"token": ["1", "a b&c"]},
        "pathParameters": {"proxy": "events/github"},
        "stageVariables": null,
        "requestContext": {
            "accountId": "123456789012", "apiId": "1234567890", "stage": "prod",
            "domainName": "1234567890.execute-api.eu-north-1.amazonaws.com",
            "path": "/prod/events/github", "resourcePath": "/{proxy+}", "httpMethod": "POST",
            "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
        },
        "body": "eyJhIjoxfQ==",
        "isBase64Encoded": true,
    })
}

fn http() -> Value {
    json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/prod/events/webhook/org/repo name",
        "rawQueryString": "token=a%20b&token=c",
        "cookies": ["a=1", "b=2"],
        "headers": {"x-github-event": "push", "x-many": "1,2"},
        "queryStringParameters": {"token": "a b,c"},
        "requestContext": {
            "accountId": "123456789012", "apiId": "api-id", "stage": "prod",
            "domainName": "id.execute-api.eu-north-1.amazonaws.com",
            "http": {
                "method": "POST", "path": "/prod/events/webhook/org/repo name",
                "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "agent",
            },
            "requestId": "JKJaXmPLvHcESHA=", "routeKey": "$default",
            "time": "12/Mar/2026:19:03:58 +0000", "timeEpoch": 1_773_342_238_000_u64,
        },
        "body": "hello",
        "isBase64Encoded": false,
    })
}

#[tokio::test]
async fn a_load_balancer_s_event_is_the_request_that_was_sent() {
    let request = asked(&load_balancer()).await;
    assert_eq!(request["uri"], "/events/webhook/org%2Frepo?token=a%20b%26c&x=");
    assert_eq!((&request["method"], &request["body"]), (&json!("POST"), &json!("{}")));
    assert_eq!(request["headers"]["host"], json!(["lb.example"]));
    assert_eq!(request["deadline"], true);
    assert_eq!(request["invocation"], "8476a536-e9f4-11e8-9739-2dfe598c3fcd");

    let mut lists = load_balancer();
    lists.as_object_mut().unwrap().remove("headers");
    lists.as_object_mut().unwrap().remove("queryStringParameters");
    lists["multiValueHeaders"] = json!({"x-twice": ["a", "b"]});
    lists["multiValueQueryStringParameters"] = json!({"token": ["1", "2%2B"]});
    let request = asked(&lists).await;
    assert_eq!(request["uri"], "/events/webhook/org%2Frepo?token=1&token=2%2B");
    assert_eq!(request["headers"]["x-twice"], json!(["a", "b"]));
}

#[tokio::test]
async fn a_load_balancer_is_told_that_the_function_is_well() {
    let check = |path: &str| {
        json!({
            "requestContext": {"elb": {"targetGroupArn": "arn"}},
            "httpMethod": "GET", "path": path, "queryStringParameters": {},
            "headers": {"user-agent": "ELB-HealthChecker/2.0"},
            "body": "", "isBase64Encoded": false,
        })
    };
    let router = Router::new().route("/healthz", any(async || "OK"));
    for (path, status) in [("/", 200), ("/healthz", 200), ("/other", 404)] {
        let answer = invoke(router.clone(), None, &check(path)).await.unwrap();
        assert_eq!(answer["statusCode"], status, "{path}");
    }
    assert_eq!(asked(&check("/x")).await["uri"], "/x");
}

#[tokio::test]
async fn a_rest_api_s_event_has_every_value_of_a_header_and_no_stage() {
    let request = asked(&rest()).await;
    assert_eq!(request["uri"], "/events/github?token=1&token=a%20b%26c");
    assert_eq!(request["headers"]["x-twice"], json!(["a", "b"]));
    assert_eq!(request["body"], "{\"a\":1}");
    assert_eq!(request["front"], "c6af9ac6-7b61-11e6-9a41-93e8deadbeef");
    let trace = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01";
    assert_eq!(request["headers"]["traceparent"], json!([trace]));
    // A path that begins as the stage is called is not cut.
    let mut event = rest();
    event["path"] = json!("/prod/events/github");
    event["requestContext"]["path"] = json!("/prod/prod/events/github");
    event["pathParameters"]["proxy"] = json!("prod/events/github");
    assert!(asked(&event).await["uri"].as_str().unwrap().starts_with("/prod/events/github"));
    // That of a domain's own mapping is.
    event["path"] = json!("/base/events/webhook/a%2Fb");
    event["requestContext"]["path"] = event["path"].clone();
    event["pathParameters"]["proxy"] = json!("events/webhook/a/b");
    assert!(asked(&event).await["uri"].as_str().unwrap().starts_with("/events/webhook/a%2Fb?"));
    // What a route says itself is not.
    event["resource"] = json!("/events/{proxy+}");
    event["path"] = json!("/base/events/github");
    event["requestContext"]["path"] = event["path"].clone();
    event["pathParameters"]["proxy"] = json!("github");
    assert!(asked(&event).await["uri"].as_str().unwrap().starts_with("/events/github?"));
}

#[tokio::test]
async fn an_http_api_s_event_is_without_its_stage_and_encoded_again() {
    let request = asked(&http()).await;
    assert_eq!(request["uri"], "/events/webhook/org/repo%20name?token=a%20b&token=c");
    assert_eq!(request["headers"]["cookie"], json!(["a=1; b=2"]));
    assert_eq!(request["headers"]["x-many"], json!(["1,2"]));
    let mut event = http();
    for (stage, path, uri) in [
        ("prod", "/production/x", "/production/x"),
        ("prod", "/prod", "/"),
        ("$default", "/prod/x", "/prod/x"),
        ("$default", "/a/../b", "/a/../b"),
        ("$default", "/100%/é?#", "/100%25/%C3%A9%3F%23"),
        ("$default", "", "/"),
    ] {
        event["requestContext"]["stage"] = json!(stage);
        event["rawPath"] = json!(path);
        event["rawQueryString"] = json!("");
        assert_eq!(asked(&event).await["uri"], uri, "{stage} {path}");
    }
}

#[tokio::test]
async fn what_is_no_request_is_refused_and_ends_nothing() {
    let changed = |pointer: &str, value: Value| {
        let mut event = http();
        *event.pointer_mut(pointer).unwrap() = value;
        event
    };
    let many: serde_json::Map<String, Value> =
        (0..200).map(|number| (format!("x-{number}"), json!("1"))).collect();
    for (event, status, words) in [
        (changed("/isBase64Encoded", json!(true)), 400, "base64"),
        (changed("/headers", json!({"bad name": "x"})), 400, "header"),
        (changed("/headers", json!({"x": "a\nb"})), 400, "header"),
        (changed("/headers", json!({"x": 1})), 400, "cannot be read"),
        (changed("/headers", many.into()), 431, "100 headers"),
        (changed("/rawPath", json!("no slash")), 400, "slash"),
        (changed("/rawPath", json!(format!("/{}", "x".repeat(70_000)))), 414, "too long"),
        (changed("/requestContext/http/method", json!("GE T")), 400, "method"),
    ] {
        let (code, reason) = refused(&event).await;
        assert_eq!(code, status, "{reason}");
        assert!(reason.contains(words), "{reason}");
    }
    let socket = json!({
        "requestContext": {
            "routeKey": "$connect", "eventType": "CONNECT", "connectionId": "L0SM9cOFvHcCIhw=",
            "stage": "prod", "requestId": "x", "apiId": "y",
        },
        "isBase64Encoded": false,
    });
    assert!(refused(&socket).await.1.contains("WebSocket"));
}

/// What a front is given of an answer.
async fn given(
    event: &Value,
    headers: &[(&'static str, &'static str)],
    body: &'static [u8],
) -> Value {
    let mut all = HeaderMap::new();
    for (name, value) in headers {
        all.append(*name, value.parse().unwrap());
    }
    let router =
        Router::new().fallback(any(async move || (StatusCode::CREATED, all.clone(), body)));
    invoke(router, None, event).await.unwrap()
}

#[tokio::test]
async fn every_front_is_answered_in_its_own_form() {
    let headers =
        [("x-twice", "a"), ("x-twice", "b"), ("set-cookie", "c=1"), ("set-cookie", "d=2")];
    let answer = given(&load_balancer(), &headers, b"text").await;
    assert_eq!(answer["statusDescription"], "201 Created");
    assert_eq!(answer["headers"]["x-twice"], "a, b");
    assert!(answer.get("multiValueHeaders").is_none(), "{answer}");
    assert_eq!((&answer["body"], &answer["isBase64Encoded"]), (&json!("text"), &json!(false)));

    let mut lists = load_balancer();
    lists["multiValueHeaders"] = json!({});
    let answer = given(&lists, &headers, b"text").await;
    assert_eq!(answer["multiValueHeaders"]["x-twice"], json!(["a", "b"]));
    assert!(answer.get("headers").is_none(), "{answer}");

    let answer = given(&rest(), &headers, b"\xff\x00").await;
    assert_eq!(answer["multiValueHeaders"]["x-twice"], json!(["a", "b"]));
    assert_eq!((&answer["body"], &answer["isBase64Encoded"]), (&json!("/wA="), &json!(true)));

    let answer = given(&http(), &headers, b"text").await;
    assert_eq!((&answer["statusCode"], &answer["cookies"]), (&json!(201), &json!(["c=1", "d=2"])));
    assert_eq!(answer["headers"]["x-twice"], "a, b");
    assert!(answer["headers"].get(SET_COOKIE.as_str()).is_none(), "{answer}");
    assert!(answer["headers"].get("content-length").is_none(), "{answer}");
    let encoded = given(&http(), &[(CONTENT_ENCODING.as_str(), "gzip")], b"text").await;
    assert_eq!(encoded["isBase64Encoded"], true);
}

#[tokio::test]
async fn an_answer_that_the_front_would_not_pass_on_says_so() {
    let large =
        |size: usize| Router::new().fallback(any(async move || "\n".repeat(size).into_response()));
    for (event, size, status) in [
        (load_balancer(), 400_000, 200),
        (load_balancer(), 600_000, 500), // a line's end is two letters in JSON
        (http(), 3_000_000, 200),
        (http(), 4_000_000, 500),
        (http(), 9_000_000, 500),
    ] {
        let answer = invoke(large(size), None, &event).await.unwrap();
        assert_eq!(answer["statusCode"], status, "{size}");
    }
}

#[test]
fn a_request_is_answered_before_lambda_gives_it_up() {
    let now = SystemTime::now();
    let left = |seconds: f64| {
        let begun = Instant::now();
        let Deadline(end) = deadline(now + Duration::from_secs_f64(seconds), now);
        end.saturating_duration_since(begun).as_secs_f64()
    };
    // Some time passes between the two.
    assert!((9.5..9.6).contains(&left(10.0).min(9.55)), "half a second is left");
    assert!(left(0.4) >= 0.2 && deadline(now, now + Duration::from_secs(9)).0 <= Instant::now());
}

#[test]
fn a_trace_that_x_ray_keeps_is_one_of_everybody_else() {
    let read = |header: &str| event::traceparent(header).map(|it| it.to_str().unwrap().to_owned());
    let root = "Root=1-5759e988-bd862e3fe1be46a994272793";
    let expected = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01".to_owned();
    assert_eq!(read(&format!("{root};Parent=53995c3f42cd8ad8;Sampled=1")), Some(expected));
    for header in ["", root, "Root=1-x-y;Parent=53995c3f42cd8ad8", "Root=2-5759e988-x;Parent=é"] {
        assert_eq!(read(&format!("{header};Sampled=1")), None, "{header}");
    }
    // Lambda names a trace, too, where nobody has it traced: that is no reason to trace nothing.
    for unsampled in ["", ";Sampled=0"] {
        assert_eq!(read(&format!("{root};Parent=53995c3f42cd8ad8{unsampled}")), None);
    }
}

#[tokio::test]
async fn messages_have_their_own_path_or_that_of_the_settings() {
    let record = |attributes: Value| {
        json!({"Records": [{
            "messageId": "059f36b4", "body": "{}", "attributes": {}, "eventSource": "aws:sqs",
            "messageAttributes": attributes,
            "eventSourceARN": "arn:aws:sqs:eu-north-1:123456789012:queue",
        }]})
    };
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let noted = std::sync::Arc::clone(&seen);
    let router = Router::new().fallback(any(async move |request: Received| {
        let value = echo(request).await.0;
        noted.lock().unwrap().push(value);
    }));
    let text = |value: &str| json!({"stringValue": value, "dataType": "String"});
    let own = record(json!({"Path": text("/a?b"), "X-GitHub-Event": text("push")}));
    invoke(router.clone(), Some("/set"), &own).await.unwrap();
    invoke(router.clone(), Some("/set"), &record(json!({}))).await.unwrap();
    // There is nowhere to post it until somebody says where.
    let wrong = json!({"no header": text("x"), "path": text("/a")});
    for nowhere in [json!({}), json!({"path": text("a")}), wrong] {
        let failure = invoke(router.clone(), None, &record(nowhere)).await.unwrap_err();
        assert_eq!(failure.error_type, "Brigantine.NotDelivered", "{}", failure.error_message);
    }
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    let [own, set] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!((&own["uri"], &set["uri"]), (&json!("/a?b"), &json!("/set")));
    assert_eq!(own["headers"]["x-github-event"], json!(["push"]));
    assert_eq!(own["headers"]["idempotency-key"], json!(["059f36b4"]));
    assert_eq!(own["headers"]["content-type"], json!(["application/json"]));
    assert!(own["trigger"].as_str().unwrap().contains("Message"), "{own}");
}

#[tokio::test]
async fn what_would_never_be_taken_is_done_and_anything_else_is_delivered_again() {
    let status = |code: u16| {
        let code = StatusCode::from_u16(code).unwrap();
        Router::new().fallback(any(async move || code))
    };
    let queue = |name: &str| {
        let message = |id: u32| {
            json!({
                "messageId": id.to_string(), "body": id.to_string(), "attributes": {},
                "eventSource": "aws:sqs", "messageAttributes": {},
                "eventSourceARN": format!("arn:aws:sqs:eu-north-1:123456789012:{name}"),
            })
        };
        json!({"Records": [message(1), message(2), message(3)]})
    };
    for code in [200, 400, 413, 415, 422] {
        let answer = invoke(status(code), Some("/x"), &queue("q")).await.unwrap();
        assert_eq!(answer, json!({"batchItemFailures": []}), "{code}");
    }
    for code in [401, 403, 404, 405, 408, 425, 429, 500, 503] {
        let failure = invoke(status(code), Some("/x"), &queue("q")).await.unwrap_err();
        assert_eq!(failure.error_type, "Brigantine.NotDelivered", "{code}");
    }
    // The second cannot be taken now.
    let second = Router::new().fallback(any(async |body: String| match body.as_str() {
        "2" => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    }));
    for (name, expected) in [("q", vec!["2"]), ("q.fifo", vec!["2", "3"])] {
        let answer = invoke(second.clone(), Some("/x"), &queue(name)).await.unwrap();
        let failed = answer["batchItemFailures"].as_array().unwrap();
        let failed: Vec<&str> =
            failed.iter().map(|item| item["itemIdentifier"].as_str().unwrap()).collect();
        assert_eq!(failed, expected, "{name}");
    }
}

#[tokio::test]
async fn an_event_of_eventbridge_is_a_cloudevent_too() {
    let event = json!({
        "version": "0", "id": "6a7e8feb", "detail-type": "EC2 Instance \"x\"", "source": "aws.ec2",
        "account": "123456789012", "time": "2026-05-04T07:30:00Z", "region": "eu-north-1",
        "resources": ["arn:aws:ec2:eu-north-1:123456789012:instance/i-1"], "detail": {"a": 1},
    });
    let router = Router::new().fallback(any(async |request: Received| {
        let asked = echo(request).await.0;
        assert_eq!(asked["headers"]["ce-type"], json!(["EC2%20Instance%20%22x%22"]));
        assert_eq!(asked["headers"]["ce-id"], json!(["6a7e8feb"]));
        assert_eq!(asked["headers"]["ce-specversion"], json!(["1.0"]));
        let body: Value = serde_json::from_str(asked["body"].as_str().unwrap()).unwrap();
        assert_eq!(body["detail"]["a"], 1);
    }));
    assert_eq!(invoke(router, Some("/x"), &event).await.unwrap(), json!({"delivered": true}));
}

#[tokio::test]
async fn timers_ask_to_sweep_and_failures_are_theirs() {
    let router = Router::new().route(SWEEP, any(echo));
    let scheduled = json!({
        "version": "0", "id": "1", "detail-type": "Scheduled Event", "source": "aws.events",
        "time": "2026-05-04T07:30:00Z", "resources": [], "detail": {},
    });
    for event in [json!({"sweep": true, "time": "2026-05-04T07:30:00Z"}), scheduled] {
        let asked = invoke(router.clone(), None, &event).await.unwrap();
        let trigger = asked["trigger"].as_str().unwrap();
        assert!(trigger.starts_with("Schedule") && trigger.contains("2026-05-04T07:30"), "{asked}");
    }
    let away = Router::new().route(SWEEP, any(async || StatusCode::SERVICE_UNAVAILABLE));
    let failure = invoke(away, None, &json!({"sweep": true})).await.unwrap_err();
    assert_eq!(failure.error_type, "Brigantine.Sweep");
    for event in [json!({"sweep": false}), json!({"sweep": "yes"}), json!(null), json!({"a": 1})] {
        let failure = invoke(router.clone(), None, &event).await.unwrap_err();
        assert_eq!(
            (failure.error_type.as_str(), failure.error_message.as_str()),
            ("Brigantine.UnknownEvent", SHAPES)
        );
    }
}

#[tokio::test]
async fn lambda_is_told_why_the_program_cannot_begin() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let heard = tokio::spawn(async move {
        let (mut stream, _peer) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        while !heard.ends_with(b"}") {
            let mut piece = [0; 1024];
            let count = stream.read(&mut piece).await.unwrap();
            assert!(count > 0, "{heard:?}");
            heard.extend_from_slice(&piece[..count]);
        }
        stream.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        String::from_utf8(heard).unwrap()
    });
    failed(&address, "the variable PORT must be a port").await;
    let heard = heard.await.unwrap();
    assert!(heard.starts_with("POST /2018-06-01/runtime/init/error HTTP/1.1\r\n"), "{heard}");
    assert!(heard.contains("Lambda-Runtime-Function-Error-Type: Brigantine.InitError"), "{heard}");
    assert!(heard.contains("\"errorMessage\":\"the variable PORT must be a port\""), "{heard}");
}
