//! The host against a handler that says what it was asked.

use std::path::Path;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc::UnboundedReceiver;

use super::*;

/// What plays the handler: this test's own program, which is started again.
const HANDLER: &str = "azure::tests::the_handler";

struct Played {
    azure: Azure,
    lines: UnboundedReceiver<String>,
    _folder: TempDir,
}

fn write(folder: &Path, path: &str, json: Value) {
    let file = folder.join(path);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, json.to_string()).unwrap();
}

fn app(folder: &Path) {
    let http = |route: &str, level: &str, methods: Value| {
        json!({"bindings": [
            {"type": "httpTrigger", "direction": "in", "name": "req", "route": route,
             "authLevel": level, "methods": methods},
            {"type": "http", "direction": "out", "name": "res"},
        ]})
    };
    let trigger = |kind: &str, name: &str| json!({"bindings": [{"type": kind, "direction": "in", "name": name}]});
    write(folder, "host.json", json!({"customHandler": {"enableProxyingHttpRequest": true}}));
    write(folder, "all/function.json", http("{*path}", "anonymous", json!(["get", "post"])));
    write(folder, "keyed/function.json", http("keyed/{id}", "function", json!(["post"])));
    write(folder, "broken/function.json", http("broken", "anonymous", json!(["post"])));
    write(folder, "sweep/function.json", trigger("timerTrigger", "timer"));
    write(folder, "acr/function.json", trigger("eventGridTrigger", "event"));
}

async fn played(mode: Mode) -> Played {
    let folder = TempDir::new().unwrap();
    app(folder.path());
    let (log, lines) = mpsc::unbounded_channel();
    let mut options = Options::of(std::env::current_exe().unwrap(), folder.path());
    options.arguments = ["--exact", HANDLER, "--ignored", "--nocapture"].map(Into::into).to_vec();
    options.mode = Some(mode);
    options.init_timeout = Duration::from_secs(60);
    options.log = Some(log);
    Played { azure: Azure::start(options).await.unwrap(), lines, _folder: folder }
}

impl Played {
    /// A client's request: the code, and what the handler was asked.
    async fn ask(&self, request: Request<Body>) -> (u16, Value) {
        let stream = tokio::net::TcpStream::connect(self.azure.address()).await.unwrap();
        let stream = hyper_util::rt::TokioIo::new(stream);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let response = sender.send_request(request).await.unwrap();
        let code = response.status().as_u16();
        let body = to_bytes(Body::new(response.into_body()), usize::MAX).await.unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        (code, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }
}

fn post(path: &str, kind: &str, body: impl Into<Body>) -> Request<Body> {
    let request = Request::post(path).header("host", "brig.example").header("content-type", kind);
    request.header("user-agent", "Sender/1").body(body.into()).unwrap()
}

/// A body whose length is not told beforehand.
fn in_pieces(text: &'static str) -> Body {
    Body::from_stream(futures::stream::iter([Ok::<_, std::io::Error>(text)]))
}

#[tokio::test]
#[ignore = "a part of the others, which start it as a program"]
async fn the_handler() {
    #[expect(clippy::disallowed_methods, reason = "the host says so in the environment")]
    let port = std::env::var("FUNCTIONS_CUSTOMHANDLER_PORT");
    let Some(port) = port.ok().and_then(|port| port.parse::<u16>().ok()) else { return };
    async fn answer(request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let header = |name: &str| {
            let values = parts.headers.get_all(name).into_iter();
            values.map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let asked = json!({
            "uri": parts.uri.to_string(),
            "method": parts.method.as_str(),
            "agent": header("user-agent"),
            "length": header("content-length"),
            "invocations": header("x-azure-functions-invocationid").len(),
            "body": String::from_utf8_lossy(&body),
        });
        match parts.uri.path() {
            "/broken" => StatusCode::BAD_REQUEST.into_response(),
            "/all" | "/keyed" | "/sweep" | "/acr" => axum::Json(json!({
                "Outputs": {"res": {"statusCode": "201", "headers": {"x-made": "yes"},
                                    "body": asked.to_string()}},
                "Logs": [format!("asked {}", String::from_utf8_lossy(&body))],
                "ReturnValue": null,
            }))
            .into_response(),
            _ => axum::Json(asked).into_response(),
        }
    }
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    axum::serve(listener, Router::new().fallback(answer)).await.unwrap();
}

#[tokio::test]
async fn a_proxied_request_is_as_it_was_sent() {
    let played = played(Mode::Proxying).await;
    assert_eq!(played.azure.url(), format!("http://{}/api", played.azure.address()));
    let (code, asked) = played.ask(post("/api/a%2Fb?c=d&c=e", "text/plain", "body")).await;
    assert_eq!((code, &asked["uri"]), (200, &json!("/api/a%2Fb?c=d&c=e")));
    assert_eq!((&asked["body"], &asked["agent"]), (&json!("body"), &json!(["Sender/1"])));
    assert_eq!(asked["invocations"], 1);
    let (_, asked) = played.ask(post("/API/x", "text/plain", in_pieces("pieces"))).await;
    assert_eq!((&asked["body"], &asked["uri"]), (&json!("pieces"), &json!("/API/x")));
    // There is nothing elsewhere, by another method, or without the key.
    for (request, code) in [
        (post("/x", "text/plain", ""), 404),
        (post("/sweep", "application/json", "{}"), 404),
        (Request::delete("/api/x").body(Body::empty()).unwrap(), 404),
        (post("/api/keyed/7", "text/plain", ""), 401),
        (post("/api/keyed/7?code=wrong", "text/plain", ""), 401),
        (post("/api/keyed/7?code=key", "text/plain", ""), 200),
        (Request::get("/").body(Body::empty()).unwrap(), 200),
    ] {
        let path = request.uri().clone();
        assert_eq!(played.ask(request).await.0, code, "{path}");
    }
}

#[tokio::test]
async fn a_forwarded_request_is_made_anew() {
    let played = played(Mode::Forwarding).await;
    let mut request = post("/api/a%2Fb?c=d&c=e%20f", "text/plain", "body");
    request.headers_mut().insert("x-azure-functions-invocationid", "forged".parse().unwrap());
    let (code, asked) = played.ask(request).await;
    assert_eq!((code, &asked["uri"]), (200, &json!("/api/a%2Fb?c=d%2Ce%20f")));
    assert_eq!((&asked["body"], &asked["invocations"]), (&json!("body"), &json!(2)));
    assert_eq!(asked["agent"], json!([format!("Sender/1 Azure-Functions-Host/{VERSION}")]));
    let (_, asked) = played.ask(post("/api/x", "text/plain", in_pieces("pieces"))).await;
    assert_eq!((&asked["body"], &asked["length"]), (&json!(""), &json!([])));
}

#[tokio::test]
async fn an_envelope_has_the_request_as_the_host_reads_it() {
    let played = played(Mode::Enveloping).await;
    let envelope = async |request: Request<Body>| {
        let (code, asked) = played.ask(request).await;
        assert_eq!((code, &asked["uri"]), (201, &json!("/all")), "{asked}");
        let envelope: Value = serde_json::from_str(asked["body"].as_str().unwrap()).unwrap();
        envelope
    };
    let text = envelope(post("/api/a/b?c=d&c=e", "application/json", "\u{feff}{\"ä\": 1}")).await;
    let request = &text["Data"]["req"];
    assert_eq!(request["Url"], "http://brig.example/api/a/b?c=d&c=e");
    assert_eq!((&request["Method"], &request["Query"]), (&json!("POST"), &json!({"c": "d,e"})));
    assert_eq!(request["Headers"]["content-type"], json!(["application/json"]));
    assert_eq!(request["Params"], json!({"path": "a/b"}));
    // The mark of the order of bytes is gone.
    assert_eq!(request["Body"], "{\"ä\": 1}");
    assert_eq!(text["Metadata"]["sys"]["MethodName"], "all");
    let bytes = envelope(post("/api/a", "application/octet-stream", "bytes")).await;
    assert_eq!(bytes["Data"]["req"]["Body"], "Ynl0ZXM=");
    let lost = envelope(post("/api/a", "text/plain", in_pieces("pieces"))).await;
    assert_eq!(lost["Data"]["req"].get("Body"), None);
    let wrong = envelope(post("/api/a", "text/plain", &b"\xff"[..])).await;
    assert_eq!(wrong["Data"]["req"]["Body"], "\u{fffd}");
    // Whatever is no success is one thing.
    assert_eq!(played.ask(post("/api/broken", "text/plain", "x")).await.0, 500);
}

#[tokio::test]
async fn timers_and_messages_are_posted_to_their_functions() {
    let mut played = played(Mode::Proxying).await;
    played.azure.timer("sweep", true).await.unwrap();
    played.azure.message("acr", "{\"id\": 1}").await.unwrap();
    let mut asked = Vec::new();
    let listen = async {
        while asked.len() < 2 {
            let line = played.lines.recv().await.unwrap();
            if let Some(envelope) = line.strip_prefix("asked ") {
                asked.push(serde_json::from_str::<Value>(envelope).unwrap());
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), listen).await.unwrap();
    assert_eq!(asked[0]["Data"]["timer"]["IsPastDue"], true);
    assert_eq!(asked[1]["Data"]["event"], "\"{\\\"id\\\": 1}\"");
    for failed in [
        played.azure.timer("acr", false).await,
        played.azure.timer("none", false).await,
        played.azure.message("sweep", "x").await,
    ] {
        assert!(failed.unwrap_err().to_string().contains("no function"));
    }
    let process = played.azure.process().unwrap();
    assert!(Path::new(&format!("/proc/{process}")).exists());
    played.azure.stop().await;
    assert!(!Path::new(&format!("/proc/{process}")).exists());
}

#[tokio::test]
async fn an_app_that_cannot_be_is_told_of() {
    let folder = TempDir::new().unwrap();
    let start = async |program: &str| {
        let options = Options::of(program, folder.path());
        Azure::start(options).await.unwrap_err().to_string()
    };
    assert!(start("/bin/true").await.contains("host.json cannot be read"));
    write(folder.path(), "host.json", json!({}));
    assert_eq!(start("/bin/true").await, "host.json has no customHandler");
    write(folder.path(), "host.json", json!({"customHandler": {}}));
    let ended = start("/bin/true").await;
    assert!(ended.starts_with("the program ended before it answered: exit status"), "{ended}");
    let missing = start("/none/such").await;
    assert!(missing.starts_with("the program cannot be started: "), "{missing}");
    write(folder.path(), "all/function.json", json!({"bindings": []}));
    assert_eq!(start("/bin/true").await, "all/function.json has no trigger");
}
