//! What answers and the log must not repeat, and what must not be called.

use std::net::TcpListener;

use axum::middleware::from_fn;
use axum::response::Response;
use axum::routing::get;

use super::*;

#[tokio::test]
async fn an_unproved_answer_repeats_nothing_of_the_request() {
    let world = World::new().await;
    let marker = "<script>marker</script>";
    let body = json!({"zen": marker, "repository": {"full_name": marker}}).to_string();
    for event in ["ping", "push", marker] {
        let told = world.send(delivery(event, body.clone())).await;
        assert!(!told.body.to_string().contains("marker"), "{told:?}");
        assert_eq!(told.headers["content-type"], "application/json");
        assert_eq!(told.headers["x-content-type-options"], "nosniff");
    }
}

#[tokio::test]
async fn what_happened_inside_is_not_told() {
    let world = World::new().await;
    world.fail(1, 403, When::Before);
    let told = world.send(delivery("push", push())).await;
    world.server.faults().clear();
    assert_eq!(told.code, 500);
    let reason = "the cluster refused; the log of the function says what";
    assert_eq!(told.body, json!({"status": "internal error", "reason": reason}));
}

#[tokio::test]
async fn a_request_id_is_kept_only_if_a_log_can_bear_it() {
    let world = World::new().await;
    let id = |sent: &'static [u8]| {
        let value = axum::http::HeaderValue::from_bytes(sent).unwrap();
        let request = Request::get("/livez").header("x-request-id", value);
        let sending = world.send(request.body(Body::empty()).unwrap());
        async { sending.await.headers["x-request-id"].to_str().unwrap().to_owned() }
    };
    assert_eq!(id(b"abc-1.2_3").await, "abc-1.2_3");
    assert_eq!(id(b"a\"b").await.len(), 26);
    assert_eq!(id(b"\xff").await.len(), 26);
    assert_eq!(id(&[b'a'; 129]).await.len(), 26);
    let github = "72d3162e-cc78-11e3-81ab-4c9367dc0958";
    let request = Request::get("/livez").header("x-github-delivery", github);
    let told = world.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(told.headers["x-request-id"], github);
}

#[tokio::test]
async fn a_panic_is_an_answer_and_no_lost_connection() {
    let broken = async || -> Response { panic!("a defect, made on purpose") };
    let router = Router::new().route("/", get(broken)).layer(from_fn(crate::delivery::record));
    let response = router.oneshot(Request::get("/").body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status().as_u16(), 500);
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["status"], "internal error");
}

#[tokio::test]
async fn a_damaged_project_is_not_told_about() {
    let world = World::new().await;
    let secrets = Api::<Secret>::namespaced(world.server.client(), "default");
    let id = runtime::project::id_of("ocean/brig");
    let patch = json!({"stringData": {"secrets": "{\"PASSWORD\": hunter2"}});
    let patch = kube::api::Patch::Merge(&patch);
    secrets.patch(&id, &Default::default(), &patch).await.unwrap();
    let body = refused(&world, delivery("push", push()), 500).await;
    let reason = "the project's Secret is damaged; the log says how";
    assert_eq!(body, json!({"status": "project cannot be loaded", "reason": reason}));
}

/// What must stay within a text: it would end a line of a log or of a header, or colour a terminal.
const EVIL: &str = "x\r\nset-cookie: evil=1\r\n\r\n\u{1b}[31m\u{7}\u{0}\u{85}\u{2028}<script>";

#[tokio::test]
async fn a_text_with_line_ends_ends_no_line_of_a_log_or_of_a_header() {
    for (number, source) in sources::all().enumerate() {
        let world = World::of(source).await;
        let sample = (source.sample)(1);
        let Ok(body) = serde_json::from_slice::<Value>(&sample.body) else { continue };
        for (place, pointer) in super::bodies::pointers(&body).into_iter().enumerate() {
            let mut body = body.clone();
            let value = body.pointer_mut(&pointer).unwrap();
            if !value.is_string() {
                continue;
            }
            *value = json!(EVIL);
            let mut request = sample.with_body(body.to_string()).proved();
            let name = format!("evil-{number}-{place}");
            logged::listen(&mut request, &name);
            let told = world.send(request).await;
            assert!(told.code < 500, "{} {pointer}: {told:?}", source.name);
            assert!(!told.headers.contains_key("set-cookie"), "{}: {told:?}", source.name);
            for line in logged::lines(&name) {
                let line: Value = serde_json::from_str(line.trim_end_matches('\n')).unwrap();
                let told =
                    ["reason", "event.kind", "project.name", "error"].map(|name| &line[name]);
                for text in told.into_iter().filter_map(Value::as_str) {
                    let fits = !text.chars().any(char::is_control);
                    assert!(fits, "{} {pointer}: {text:?}", source.name);
                }
            }
        }
        for build in world.app.cluster.builds("default").await.unwrap() {
            for title in [&build.event.short_title, &build.event.long_title] {
                assert!(!title.chars().any(char::is_control), "{}: {title:?}", source.name);
            }
        }
    }
}

#[tokio::test]
async fn no_address_that_a_sender_names_is_ever_called() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/x", listener.local_addr().unwrap());
    let named = [
        "callback_url",
        "validationUrl",
        "response_url",
        "details_url",
        "repo_url",
        "docker_url",
        "url",
        "clone_url",
        "html_url",
        "git_url",
        "http_url",
        "homepage",
        "resource",
    ];
    for source in sources::all() {
        let world = World::of(source).await;
        let sample = (source.sample)(1);
        let Ok(mut body) = serde_json::from_slice::<Value>(&sample.body) else { continue };
        // Beside whatever is there, at every level.
        for pointer in super::bodies::pointers(&body) {
            if let Some(Value::Object(members)) = body.pointer_mut(&pointer) {
                for name in named {
                    members.entry(name).or_insert(json!(url));
                }
            }
        }
        let mut request = sample.with_body(body.to_string()).proved();
        for header in ["webhook-request-callback", "webhook-request-origin", "origin", "referer"] {
            request.headers_mut().insert(header, url.parse().unwrap());
        }
        let told = world.send(request).await;
        assert!(told.code < 500, "{}: {told:?}", source.name);
    }
    listener.set_nonblocking(true).unwrap();
    let called = listener.accept().map(|(_stream, peer)| peer);
    assert!(called.is_err(), "{called:?}");
}

#[tokio::test]
async fn an_unproved_answer_repeats_nothing_of_any_source() {
    for source in sources::all() {
        let world = World::of(source).await;
        let sample = (source.sample)(1);
        let Ok(body) = serde_json::from_slice::<Value>(&sample.body) else { continue };
        for pointer in super::bodies::pointers(&body) {
            let mut body = body.clone();
            let value = body.pointer_mut(&pointer).unwrap();
            if value.is_string() {
                *value = json!("marker<script>");
                let told =
                    world.send(sample.with_body(body.to_string()).request(Some(WRONG))).await;
                // GitLab would stop telling of a group's projects if one of them were refused.
                let ignored = told.code == 200 && told.body["message"] == "Ignored";
                let refused = (400..500).contains(&told.code);
                assert!(refused || ignored, "{} {pointer}: {told:?}", source.name);
                assert!(!told.body.to_string().contains("marker"), "{}: {told:?}", source.name);
                assert_eq!(told.headers["x-content-type-options"], "nosniff");
            }
        }
        assert!(world.is_untouched().await, "{}", source.name);
    }
}
