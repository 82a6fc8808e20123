//! Requests to addresses that nobody should have.

use proptest::prelude::*;

use super::*;

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
        ("POST", "/events/trello", 404),
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
