//! Each way of attacking a receiver that we know, tried.

use axum::body::Body;
use axum::middleware::from_fn;
use axum::response::Response;
use axum::routing::get;
use proptest::prelude::*;

use super::*;

/// Sends what must be refused, and checks that it made nothing.
async fn refused(world: &World, request: Request<Body>, code: u16) -> Value {
    let told = world.send(request).await;
    assert_eq!(told.code, code, "{told:?}");
    assert!(world.is_untouched().await, "{told:?}");
    told.body
}

#[tokio::test]
async fn one_byte_changed_is_refused() {
    let world = World::new().await;
    let mut request = delivery("push", push());
    *request.body_mut() = push().replace("2222", "2223").into();
    let body = refused(&world, request, 403).await;
    assert_eq!(body["status"], "malformed signature");
}

#[tokio::test]
async fn missing_and_wrong_signatures_are_refused_alike() {
    let world = World::new().await;
    let right = signature::sign_github(SECRET, push().as_bytes());
    let mut bodies = Vec::new();
    for signatures in [
        vec![],
        vec![""],
        vec!["sha256="],
        vec![right.trim_start_matches("sha256=")],
        vec![&right, &right],
        vec!["sha256=0000000000000000000000000000000000000000000000000000000000000000"],
    ] {
        let mut request = delivery("push", push());
        request.headers_mut().remove("x-hub-signature-256");
        for signature in signatures {
            request.headers_mut().append("x-hub-signature-256", signature.parse().unwrap());
        }
        bodies.push(refused(&world, request, 403).await);
    }
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
}

#[tokio::test]
async fn a_sha1_signature_alone_proves_nothing_unless_the_operator_says_so() {
    let sha1 = |world: World| async move {
        let mut request = delivery("push", push());
        let headers = request.headers_mut();
        headers.remove("x-hub-signature-256");
        let signature = signature::sign_github_sha1(SECRET, push().as_bytes());
        headers.insert("x-hub-signature", signature.parse().unwrap());
        world.send(request).await.code
    };
    assert_eq!(sha1(World::new().await).await, 403);
    let settings = Settings { github_allow_sha1: true, ..calm() };
    assert_eq!(sha1(World::with(settings).await).await, 200);
}

#[tokio::test]
async fn a_form_signed_over_its_json_is_refused() {
    let world = World::new().await;
    let mut request = delivery("push", push());
    let form = serde_urlencoded::to_string([("payload", push())]).unwrap();
    *request.body_mut() = form.into();
    let headers = request.headers_mut();
    headers.insert("content-type", "application/x-www-form-urlencoded".parse().unwrap());
    refused(&world, request, 403).await;
}

#[tokio::test]
async fn a_project_without_a_secret_is_closed() {
    let world = World::new().await;
    for secret in ["", " ", "\n"] {
        world.project("ocean/bare", json!({"sharedSecret": secret})).await;
        let body = push().replace("ocean/brig", "ocean/bare");
        let mut request = delivery("push", body.clone());
        let forged = signature::sign_github(secret, body.as_bytes());
        request.headers_mut().insert("x-hub-signature-256", forged.parse().unwrap());
        let told = refused(&world, request, 500).await;
        assert_eq!(told["status"], "No secret is configured for this repo.");
    }
}

#[tokio::test]
async fn a_ping_with_a_repository_is_no_way_around_the_proof() {
    let world = World::new().await;
    let body = json!({"zen": "Calm.", "repository": {"full_name": "ocean/brig"}}).to_string();
    let mut request = delivery("ping", body);
    request.headers_mut().remove("x-hub-signature-256");
    refused(&world, request, 403).await;
}

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
async fn a_signed_body_replayed_as_another_event_makes_nothing() {
    let world = World::new().await;
    for event in ["create", "deployment", "pull_request", "release", "status", "watch"] {
        let told = world.send(delivery(event, push())).await;
        assert_eq!((told.code, &told.body["message"]), (200, &json!("Ignored")), "{event}");
    }
    assert!(world.is_untouched().await);
}

#[tokio::test]
async fn two_event_names_are_none() {
    let world = World::new().await;
    let mut request = delivery("push", push());
    request.headers_mut().append("x-github-event", "ping".parse().unwrap());
    refused(&world, request, 400).await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_by_its_length_and_by_its_bytes() {
    let world = World::new().await;
    for (uri, limit) in [
        ("/events/github", 25 * 1024 * 1024),
        ("/events/webhook/ocean/brig?token=aye+aye", 1024 * 1024),
    ] {
        let head = || {
            post(uri).header("content-type", "application/json").header("x-github-event", "push")
        };
        let claimed = head().header("content-length", limit + 1).body(Body::empty()).unwrap();
        let told = refused(&world, claimed, 413).await;
        assert_eq!(told["reason"], format!("a body may have {limit} bytes at most"));
        // Chunked, so without a length; it never ends.
        let chunk = Ok::<_, std::convert::Infallible>(Bytes::from(vec![b' '; 1024 * 1024]));
        let endless = Body::from_stream(futures::stream::repeat(chunk));
        refused(&world, head().body(endless).unwrap(), 413).await;
    }
}

#[tokio::test]
async fn a_body_that_does_not_arrive_does_not_hold_a_request() {
    let world = World::new().await;
    tokio::time::pause();
    let never = futures::stream::pending::<Result<Bytes, std::convert::Infallible>>();
    let mut request = delivery("push", push());
    *request.body_mut() = Body::from_stream(never);
    refused(&world, request, 408).await;
}

#[tokio::test]
async fn an_encoded_body_is_refused() {
    let world = World::new().await;
    for encoding in ["gzip", "deflate", "br", "identity"] {
        let mut request = delivery("push", push());
        request.headers_mut().insert("content-encoding", encoding.parse().unwrap());
        refused(&world, request, 415).await;
    }
}

#[tokio::test]
async fn a_body_of_another_type_is_refused() {
    let world = World::new().await;
    for media in ["text/plain", "application/xml", "multipart/form-data", "json", ""] {
        let mut request = delivery("push", push());
        request.headers_mut().insert("content-type", media.parse().unwrap());
        refused(&world, request, 415).await;
    }
    let mut request = delivery("push", push());
    request.headers_mut().append("content-type", "application/json".parse().unwrap());
    refused(&world, request, 415).await;
    let mut request = delivery("push", push());
    request.headers_mut().remove("content-type");
    refused(&world, request, 415).await;
    // A web page can make browsers send forms and texts anywhere, and JSON not.
    let form = post("/events/webhook/ocean/brig?token=aye+aye")
        .header("content-type", "text/plain")
        .body(image_push().into())
        .unwrap();
    refused(&world, form, 415).await;
}

#[tokio::test]
async fn hostile_json_is_refused_or_passed_over() {
    let world = World::without_scripts().await;
    let deep = |n: usize| format!("{}1{}", "[".repeat(n), "]".repeat(n));
    let within = |member: &str, value: &str| {
        format!("{{\"{member}\":{value},{}", push().strip_prefix('{').unwrap())
    };
    for (body, code) in [
        (within("x", &deep(100_000)), 200),
        (within("head", "1e999999"), 200),
        (within("number", "1e999999"), 400),
        (within("number", "-1"), 400),
        (within("action", "\"\\u0000\""), 200),
        (within("action", "\"\\ud800\""), 400),
        (within("pull_request", &deep(200)), 400),
        (within("ref", "\"twice\""), 400),
        (within("repository", "{}"), 400),
        (within("commits", &format!("[{}1]", "1,".repeat(1_000_000))), 200),
        (format!("{} ", push()), 200),
        (format!("{}x", push()), 400),
        (deep(100_000), 400),
        ("{".repeat(100_000), 400),
        ("[]".to_owned(), 400),
        ("null".to_owned(), 400),
        ("\"push\"".to_owned(), 400),
        (String::new(), 400),
    ] {
        let told = world.send(delivery("push", body.clone())).await;
        assert_eq!(told.code, code, "{}: {told:?}", &body[..body.len().min(80)]);
    }
    let mut bytes = push().into_bytes();
    let at = push().find("main").unwrap();
    bytes[at] = 0xff;
    assert_eq!(world.send(delivery("push", bytes)).await.code, 400);
}

#[tokio::test]
async fn a_name_cannot_leave_the_projects() {
    let world = World::new().await;
    for name in [
        "brigade-x/../../../../version",
        "../ocean/brig",
        "ocean/../brig",
        "ocean//brig",
        "/ocean/brig",
        "ocean/brig/",
        "ocean/brig?x=y",
        "ocean/brig\u{0}",
        "brigade-worker-01",
        "brigade-%2e%2e",
        "",
        &"x".repeat(10_000),
    ] {
        let body = json!({"ref": "x", "after": "y", "repository": {"full_name": name}});
        refused(&world, delivery("push", body.to_string()), 404).await;
    }
    for uri in [
        "/events/webhook/brigade-..%2f..%2fpods",
        "/events/webhook/..%2f..",
        "/events/webhook/%2e%2e/x",
    ] {
        let request = post(uri).header("content-type", "application/json");
        refused(&world, request.body(image_push().into()).unwrap(), 404).await;
    }
}

#[tokio::test]
async fn unknown_addresses_and_methods_are_refused_in_json() {
    let world = World::new().await;
    for (method, uri, code) in [
        ("GET", "/", 404),
        ("POST", "/events", 404),
        ("POST", "/events/gitlab", 404),
        ("POST", "/events/github/1", 404),
        ("GET", "/events/github", 405),
        ("DELETE", "/events/webhook/x", 405),
        ("POST", "/healthz", 405),
    ] {
        let request = Request::builder().method(method).uri(uri).body(Body::empty()).unwrap();
        let told = refused(&world, request, code).await;
        assert!(told["status"].is_string(), "{method} {uri}");
    }
    for uri in ["/healthz", "/livez", "/readyz"] {
        let told = world.send(Request::get(uri).body(Body::empty()).unwrap()).await;
        assert_eq!((told.code, told.body), (200, json!("OK")));
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_request_makes_the_router_fail(
        method in "(GET|POST|PUT|OPTIONS|HEAD)",
        uri in "/(events/(github|webhook)|livez|simpleevents)?(/[a-z.%]{0,4}){0,4}(\\?[a-z=&%+]{0,12})?",
        event in "[ -~]{0,12}",
        media in "(application/json|application/x-www-form-urlencoded|text/plain)",
        body: Vec<u8>,
        signed: bool,
    ) {
        let Ok(uri) = uri.parse::<axum::http::Uri>() else { return Ok(()) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let world = World::without_scripts().await;
            let signature = signature::sign_github(SECRET, &body);
            let mut request = Request::builder()
                .method(method.as_str())
                .uri(uri)
                .header("content-type", media)
                .header("x-github-event", event);
            if signed {
                request = request.header("x-hub-signature-256", signature);
            }
            let told = world.send(request.body(body.into()).unwrap()).await;
            assert!(told.code < 500, "{told:?}");
            assert!(world.is_untouched().await);
        });
    }
}
