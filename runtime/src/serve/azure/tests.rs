//! The custom handler against what the host sends.

use axum::body::{Body, Bytes, to_bytes};
use axum::routing::{get, post};
use secrecy::SecretString;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::serve::{SWEEP, Trigger};

/// A function app: its folder, and a handler of it whose routes say what they were asked.
struct App {
    _folder: Option<TempDir>,
    handler: Router,
}

/// What was answered: the code, and the body as JSON or as text.
#[derive(Debug, PartialEq)]
struct Answered(u16, Value);

fn settings() -> AzureSettings {
    AzureSettings {
        forwards: false,
        host_prefix: None,
        port: 0,
        prefix: None,
        root: None,
        triggers: vec![("acr".to_owned(), SecretString::from("/events/acr/t0ken"))],
    }
}

/// The routes: they repeat what they were asked.
fn routes() -> Router {
    let repeat = async |request: Request| {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let header = |name: &str| {
            let values = parts.headers.get_all(name).into_iter();
            values.map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>().join("; ")
        };
        let invocation = parts.extensions.get::<Invocation>().map(|id| id.0.clone());
        Json(json!({
            "uri": parts.uri.to_string(),
            "method": parts.method.to_string(),
            "body": String::from_utf8_lossy(&body),
            "type": header("content-type"),
            "agent": header("user-agent"),
            "length": header("content-length"),
            "traceparent": header("traceparent"),
            "invocation": invocation,
            "key": header("idempotency-key"),
            "trigger": parts.extensions.get::<Trigger>().map(|trigger| format!("{trigger:?}")),
        }))
    };
    let swept = async |request: Request| match request.extensions().get::<Trigger>() {
        Some(Trigger::Schedule { time: Some(time) }) if time.as_second() == 1_789_000_200 => {
            StatusCode::OK
        }
        Some(Trigger::Schedule { .. }) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::NOT_FOUND,
    };
    let refused = async |_body: Bytes| {
        (StatusCode::UNAUTHORIZED, Json(json!({"status": "no", "reason": "not proved"})))
    };
    let unread = async || (StatusCode::BAD_REQUEST, "no event");
    Router::new()
        .route("/livez", get(async || "OK"))
        .route("/events/{source}", post(repeat))
        .route("/events/{source}/{token}", post(repeat))
        .route("/refused", post(refused))
        .route("/unread", post(unread))
        .route(SWEEP, post(swept))
}

/// An app with these files.
fn app(host: Value, functions: &[(&str, Value)]) -> App {
    app_with(settings(), host, functions)
}

fn app_with(settings: AzureSettings, host: Value, functions: &[(&str, Value)]) -> App {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("host.json"), host.to_string()).unwrap();
    for (name, function) in functions {
        std::fs::create_dir(folder.path().join(name)).unwrap();
        std::fs::write(folder.path().join(name).join("function.json"), function.to_string())
            .unwrap();
    }
    let settings = AzureSettings { root: Some(folder.path().to_owned()), ..settings };
    App { handler: handler(routes(), &settings), _folder: Some(folder) }
}

/// An app of which there are no files.
fn bare(settings: AzureSettings) -> App {
    App { handler: handler(routes(), &settings), _folder: None }
}

fn http_function() -> Value {
    json!({"bindings": [
        {"type": "httpTrigger", "direction": "in", "name": "req", "route": "{*path}"},
        {"type": "http", "direction": "out", "name": "res"},
    ]})
}

fn forwarding(prefix: Option<&str>) -> Value {
    let mut host = json!({"version": "2.0", "customHandler": {"enableProxyingHttpRequest": true}});
    if let Some(prefix) = prefix {
        host["extensions"] = json!({"http": {"routePrefix": prefix}});
    }
    host
}

fn enveloping(prefix: &str) -> Value {
    json!({"customHandler": {}, "extensions": {"http": {"routePrefix": prefix}}})
}

impl App {
    async fn send(&self, request: Request) -> Answered {
        let response = self.handler.clone().oneshot(request).await.unwrap();
        let code = response.status().as_u16();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        Answered(code, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    async fn post(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answered {
        let mut request = Request::builder().method("POST").uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    /// What a request in an envelope is answered: the output, with its body as JSON.
    async fn ask(&self, function: &str, described: Value) -> Value {
        let envelope = json!({"Data": {"req": described}, "Metadata": {}});
        let Answered(code, answer) =
            self.post(&format!("/{function}"), &[], envelope.to_string()).await;
        assert_eq!((code, &answer["ReturnValue"]), (200, &Value::Null), "{answer}");
        let mut output = answer["Outputs"]["res"].clone();
        if let Ok(body) = serde_json::from_str(output["body"].as_str().unwrap()) {
            output["body"] = body;
        }
        output["logs"] = answer["Logs"].clone();
        output
    }
}

#[tokio::test]
async fn a_forwarded_request_has_the_routes_of_every_host() {
    for (prefix, path, seen) in [
        (None, "/api/events/x?a=%20b", "/events/x?a=%20b"),
        (None, "/API/events/x", "/events/x"),
        (None, "/events/x", "/events/x"),
        (Some("a/b"), "/a/b/events/x?q", "/events/x?q"),
        (Some(""), "/events/x", "/events/x"),
        (None, "/api/events/x%2Fy", "/events/x%2Fy"),
    ] {
        let app = app(forwarding(prefix), &[("http", http_function())]);
        let headers = [
            ("content-type", "text/plain"),
            ("user-agent", "GitHub-Hookshot/1 Azure-Functions-Host/4.1"),
            ("x-azure-functions-invocationid", "forged"),
            ("x-azure-functions-invocationid", "83a33220-a921"),
        ];
        let Answered(code, said) = app.post(path, &headers, "whole").await;
        assert_eq!((code, &said["uri"]), (200, &json!(seen)), "{path}");
        assert_eq!((&said["body"], &said["type"]), (&json!("whole"), &json!("text/plain")));
        assert_eq!(said["invocation"], "83a33220-a921");
    }
    let app = app(forwarding(None), &[]);
    let request = |path: &str| Request::builder().uri(path).body(Body::empty()).unwrap();
    assert_eq!(app.send(request("/")).await, Answered(200, "OK".into()));
    assert_eq!(app.send(request("/api/livez")).await, Answered(200, "OK".into()));
    for path in ["/api", "/api/", "/apis/livez", "/api/api/livez", "/api//livez"] {
        assert_eq!(app.send(request(path)).await.0, 404, "{path}");
    }
}

#[tokio::test]
async fn a_signed_request_without_its_body_is_told_why() {
    let app = app(forwarding(None), &[]);
    for name in ["x-hub-signature-256", "webhook-signature", "x-slack-signature"] {
        let Answered(code, said) = app.post("/api/events/x", &[(name, "x")], Body::empty()).await;
        assert_eq!((code, &said["status"]), (411, &json!("length required")), "{name}");
        assert!(said["reason"].as_str().unwrap().contains("enableProxyingHttpRequest"), "{said}");
    }
    // One that is proved otherwise may have none.
    let Answered(code, _) =
        app.post("/api/events/x", &[("authorization", "x")], Body::empty()).await;
    assert_eq!(code, 200);
}

#[tokio::test]
async fn an_envelope_is_the_request_that_it_describes() {
    let app = app(enveloping("api"), &[("http", http_function())]);
    let output = app
        .ask(
            "http",
            json!({
                "Url": "https://brig.azurewebsites.net/api/events/x?a=%20b&a=c",
                "Method": "POST",
                "Query": {"a": " b,c"},
                "Headers": {
                    "Content-Type": ["application/json; charset=utf-8"],
                    "User-Agent": ["GitHub-Hookshot/1"],
                    "Content-Length": ["9999"],
                },
                "Params": {"path": "events/x"},
                "Identities": [{"AuthenticationType": null}],
                "Body": "{\"ref\": \"ä\"}",
            }),
        )
        .await;
    assert_eq!(
        (&output["statusCode"], &output["headers"]["content-type"]),
        (&json!(200), &json!("application/json"))
    );
    let said = &output["body"];
    assert_eq!(said["uri"], "/events/x?a=%20b&a=c");
    assert_eq!(said["body"], "{\"ref\": \"ä\"}");
    assert_eq!((&said["length"], &said["agent"]), (&json!("13"), &json!("GitHub-Hookshot/1")));
    assert_eq!(output["headers"].get("content-length"), None);
}

#[tokio::test]
async fn every_form_of_an_envelope_is_read() {
    let app = app(enveloping(""), &[("http", http_function())]);
    let url = "http://localhost:7071/events/x";
    for (described, uri, body) in [
        (json!({"Url": url, "Method": "post", "Query": "{}"}), "/events/x", ""),
        (
            json!({"Url": url, "Method": "POST", "Query": "{\"a b\": \"c&d\", \"e\": \"f\"}", "Body": "t"}),
            "/events/x?a%20b=c%26d&e=f",
            "t",
        ),
        (
            json!({"Url": url, "Method": "POST", "Query": {"a": "b"}, "Body": {"parsed": true}}),
            "/events/x?a=b",
            "{\"parsed\":true}",
        ),
        (
            json!({"Url": url, "Method": "POST", "Headers": {"content-type": "application/octet-stream"},
                   "Body": "Ynl0ZXM="}),
            "/events/x",
            "bytes",
        ),
        (
            json!({"Url": url, "Method": "POST", "Headers": {"Content-Type": ["multipart/form-data; boundary=x"]},
                   "Body": "LS14"}),
            "/events/x",
            "--x",
        ),
    ] {
        let output = app.ask("http", described.clone()).await;
        assert_eq!(output["body"]["uri"], uri, "{described} {output}");
        assert_eq!(output["body"]["body"], body, "{described}");
    }
}

#[tokio::test]
async fn what_is_no_envelope_is_refused_in_one() {
    let app = app(enveloping("api"), &[("http", http_function())]);
    let url = "http://x/api/events/x";
    for described in [
        json!({}),
        json!({"Url": "http://[", "Method": "POST"}),
        json!({"Url": url, "Method": "PO ST"}),
        json!({"Url": url, "Method": "POST", "Headers": {"a\nb": ["x"]}}),
        json!({"Url": url, "Method": "POST", "Headers": {"a": ["x\r\ny: z"]}}),
        json!({"Url": url, "Method": "POST", "Headers": {"a": [7]}}),
        json!({"Url": url, "Method": "POST", "Query": [1]}),
        json!({"Url": url, "Method": "POST", "Query": "not JSON"}),
        json!({"Url": url, "Method": "POST", "Body": "no base64",
               "Headers": {"Content-Type": ["application/octet-stream"]}}),
    ] {
        let output = app.ask("http", described.clone()).await;
        assert_eq!(output["statusCode"], 400, "{described} {output}");
    }
    for body in ["", "[]", "{}", "{\"Data\": 1}", "{\"Data\": {}"] {
        let Answered(code, said) = app.post("/http", &[], body).await;
        assert_eq!((code, &said["Outputs"]["res"]["statusCode"]), (200, &json!(400)), "{body}");
    }
    // Nothing names such a function, so it is a request like any other.
    assert_eq!(app.post("/other", &[], "{\"Data\": {}}").await.0, 404);
}

#[tokio::test]
async fn what_an_envelope_does_not_prove_has_the_log_say_which_switch_to_set() {
    let app = app(enveloping("api"), &[("http", http_function())]);
    let described = json!({"Url": "http://x/api/refused", "Method": "POST", "Body": "x"});
    let output = app.ask("http", described).await;
    assert_eq!(
        (&output["statusCode"], &output["body"]["reason"]),
        (&json!(401), &json!("not proved"))
    );
    let said = output["logs"][0].as_str().unwrap();
    assert!(said.contains("customHandler.enableProxyingHttpRequest"), "{said}");
    assert!(!output["body"].to_string().contains("host"), "{output}");
    let lost = json!({"Url": "http://x/api/events/x", "Method": "POST",
                      "Headers": {"X-Hub-Signature-256": ["sha256=0"]}});
    assert_eq!(app.ask("http", lost).await["statusCode"], 411);
}

#[tokio::test]
async fn a_trace_goes_on_in_an_envelope() {
    let app = app(enveloping("api"), &[("http", http_function())]);
    let inner = "00-11111111111111111111111111111111-1111111111111111-01";
    let outer = "00-11111111111111111111111111111111-2222222222222222-01";
    let envelope = |metadata: Value| {
        json!({
            "Data": {"req": {"Url": "http://x/api/events/x", "Method": "POST",
                             "Headers": {"traceparent": [inner]}}},
            "Metadata": metadata,
        })
        .to_string()
    };
    for (headers, metadata, expected) in [
        (&[("traceparent", outer)][..], json!({}), outer),
        (&[], json!({"traceparent": outer}), outer),
        (&[], json!({"TraceContext": {"TraceParent": outer}}), outer),
        (&[], json!({}), inner),
    ] {
        let Answered(_, said) = app.post("/http", headers, envelope(metadata)).await;
        let body: Value =
            serde_json::from_str(said["Outputs"]["res"]["body"].as_str().unwrap()).unwrap();
        assert_eq!(body["traceparent"], expected);
    }
}

#[tokio::test]
async fn without_files_what_looks_like_an_envelope_is_one() {
    let app = bare(settings());
    let described = json!({"Url": "http://x/api/events/x", "Method": "POST", "Body": "b"});
    assert_eq!(app.ask("github", described).await["body"]["body"], "b");
    assert_eq!(app.post("/github", &[], "no envelope").await.0, 404);
}

fn timer_function() -> Value {
    json!({"bindings": [{"type": "timerTrigger", "direction": "in", "name": "timer",
                         "schedule": "0 */10 * * * *"}]})
}

fn queue_function() -> Value {
    json!({"bindings": [{"type": "eventGridTrigger", "direction": "in", "name": "event"}]})
}

/// What a timer brings whose time was this.
fn timer(next: &str) -> String {
    json!({
        "Data": {"timer": {
            "Schedule": {"AdjustForDST": true},
            "ScheduleStatus": {"Last": "0001-01-01T00:00:00", "Next": next},
            "IsPastDue": false,
        }},
        "Metadata": {"sys": {"MethodName": "sweep", "UtcNow": "2026-09-10T00:30:01.5Z"}},
    })
    .to_string()
}

#[tokio::test]
async fn a_timer_sweeps_at_its_time() {
    let app = app(forwarding(None), &[("sweep", timer_function())]);
    for next in ["2026-09-10T00:30:00Z", "2026-09-10T02:30:00+02:00", "2026-09-10T00:30:00"] {
        let Answered(code, said) = app.post("/sweep", &[], timer(next)).await;
        let log = &said["Logs"][0];
        assert_eq!((code, log), (200, &json!("sweep was answered with 200")), "{next}");
        assert_eq!((&said["Outputs"], &said["ReturnValue"]), (&json!({}), &Value::Null));
    }
    // What fails is to be tried again, so the host must hear of it.
    assert_eq!(app.post("/sweep", &[], timer("2026-09-10T00:40:00Z")).await.0, 500);
}

#[tokio::test]
async fn no_client_can_do_what_a_timer_does() {
    let functions = [("http", http_function()), ("sweep", timer_function())];
    let body = || timer("2026-09-10T00:30:00Z");
    // Below the prefix there is nothing of the kind, whatever is posted.
    let sealed = app(forwarding(None), &functions);
    for path in ["/api/sweep", "/API/sweep", "/api//sweep", "/%73weep", "/sweep/", "//sweep"] {
        assert_eq!(sealed.post(path, &[], body()).await.0, 404, "{path}");
    }
    assert_eq!(sealed.post(&format!("/api{SWEEP}"), &[], body()).await.0, 404);
    assert_eq!(sealed.post(SWEEP, &[], body()).await.0, 404);
    let inside = json!({"Url": format!("http://x/api{SWEEP}"), "Method": "POST"});
    assert_eq!(sealed.ask("http", inside).await["statusCode"], 404);
    // A request in the envelope of a timer is none of the timer's.
    let described = json!({"Data": {"timer": {"Url": "http://x/api/events/x", "Method": "POST"}}});
    assert_eq!(sealed.post("/http", &[], body()).await.1["Outputs"]["res"]["statusCode"], 400);
    assert_ne!(
        sealed.post("/sweep", &[], described.to_string()).await.1["Outputs"]["res"]["statusCode"],
        200
    );
    // Without a prefix a client's own request has the path of a function.
    for host in [forwarding(Some("")), forwarding(Some("/"))] {
        let open = app(host, &functions);
        let Answered(code, said) = open.post("/sweep", &[], body()).await;
        assert_eq!(code, 404);
        assert!(said["reason"].as_str().unwrap().contains("extensions.http.routePrefix"), "{said}");
    }
    let by_variable = AzureSettings { host_prefix: Some(String::new()), ..settings() };
    let open = app_with(by_variable, forwarding(None), &functions);
    assert_eq!(open.post("/sweep", &[], body()).await.0, 404);
    let by_variable = AzureSettings { forwards: true, ..settings() };
    let open = app_with(by_variable, enveloping(""), &functions);
    assert_eq!(open.post("/sweep", &[], body()).await.0, 404);
    // No client's request arrives as it was sent where all are put into envelopes.
    assert_eq!(app(enveloping(""), &functions).post("/sweep", &[], body()).await.0, 200);
    // A host.json that cannot be read may say anything.
    let folder = TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("sweep")).unwrap();
    let file = folder.path().join("sweep/function.json");
    std::fs::write(file, timer_function().to_string()).unwrap();
    let unread = AzureSettings { root: Some(folder.path().to_owned()), ..settings() };
    assert_eq!(bare(unread).post("/sweep", &[], body()).await.0, 404);
}

#[tokio::test]
async fn without_files_nobody_knows_what_keeps_clients_out_and_triggers_are_refused() {
    for prefix in [None, Some(String::new()), Some("api".to_owned())] {
        let app = bare(AzureSettings { prefix, ..settings() });
        let Answered(code, said) = app.post("/sweep", &[], timer("2026-09-10T00:30:00Z")).await;
        assert_eq!(code, 404);
        assert!(said["reason"].as_str().unwrap().contains("FUNCTIONS_APP_ROOT_PATH"), "{said}");
        let message = json!({"Data": {"event": "{}"}, "Metadata": {"Id": "m1"}}).to_string();
        assert_eq!(app.post("/acr", &[], message).await.0, 404);
    }
}

#[tokio::test]
async fn a_message_is_posted_where_its_function_says() {
    let functions = [("acr", queue_function()), ("other", queue_function())];
    let app = app(forwarding(None), &functions);
    let event = r#"{"id": "e1", "eventType": "x"}"#;
    let once = Value::from(event);
    let twice = Value::from(once.to_string());
    let parsed: Value = serde_json::from_str(event).unwrap();
    for (value, body) in [(once, event), (twice, event), (parsed, r#"{"eventType":"x","id":"e1"}"#)]
    {
        let metadata = json!({"MessageId": "m1"});
        let envelope = json!({"Data": {"event": value}, "Metadata": metadata}).to_string();
        let Answered(code, said) = app.post("/acr", &[], envelope).await;
        assert_eq!((code, &said["Logs"][0]), (200, &json!("acr was answered with 200")), "{body}");
    }
    let envelope = json!({"Data": {"event": event}, "Metadata": {}}).to_string();
    let Answered(code, said) = app.post("/other", &[], envelope).await;
    assert_eq!(code, 404);
    assert!(said["reason"].as_str().unwrap().starts_with("AZURE_TRIGGERS"), "{said}");
}

#[tokio::test]
async fn a_message_that_nobody_can_mend_is_done_with_and_others_are_tried_again() {
    for (path, expected) in [("/unread", 200), ("/refused", 500)] {
        let triggers = vec![("acr".to_owned(), SecretString::from(path))];
        let settings = AzureSettings { triggers, ..settings() };
        let app = app_with(settings, forwarding(None), &[("acr", queue_function())]);
        let event = json!({"Data": {"event": "{}"}}).to_string();
        let Answered(code, said) = app.post("/acr", &[], event).await;
        assert_eq!(code, expected, "{said}");
        if code == 200 {
            assert_eq!(said["Logs"][0], "acr was answered with 400");
        }
    }
}

#[test]
fn a_message_is_what_the_host_was_given() {
    let layout = Layout::read(&AzureSettings { root: None, ..settings() });
    let function = layout.function("/acr").unwrap();
    let data = |value: Value| [("event".to_owned(), value)].into();
    for (value, id, kind) in [
        (json!({"specversion": "1.0"}), "m1", "application/cloudevents+json"),
        (json!("\"{\\\"id\\\": 1}\""), "m1", "application/json"),
    ] {
        let metadata = json!({"Id": "m1"});
        let request = trigger::message(&layout, &function, &data(value), &metadata, None).unwrap();
        assert_eq!(request.uri(), "/events/acr/t0ken");
        assert_eq!(request.headers()["idempotency-key"], id);
        assert_eq!(request.headers()["content-type"], kind);
        let expected = Trigger::Message { id: id.to_owned() };
        assert_eq!(request.extensions().get::<Trigger>(), Some(&expected));
    }
    // One without a name is known by what it says, however often it is tried.
    let data = data(json!({"id": 1}));
    let tried = Invocation("83a33220-a921".to_owned());
    let request = trigger::message(&layout, &function, &data, &Value::Null, Some(&tried)).unwrap();
    assert_eq!(request.headers().get("idempotency-key"), None);
    assert_eq!(request.headers()["x-request-id"], "83a33220-a921");
}
