//! What only GitHub's deliveries can be attacked by.

use super::*;

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
async fn a_ping_with_a_repository_is_no_way_around_the_proof() {
    let world = World::new().await;
    let body = json!({"zen": "Calm.", "repository": {"full_name": "ocean/brig"}}).to_string();
    let mut request = delivery("ping", body);
    request.headers_mut().remove("x-hub-signature-256");
    refused(&world, request, 403).await;
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
async fn a_signature_of_another_algorithm_is_refused() {
    let world = World::with(Settings { github_allow_sha1: true, ..calm() }).await;
    let sha1 = signature::sign_github_sha1(SECRET, push().as_bytes());
    let sha256 = signature::sign_github(SECRET, push().as_bytes());
    for (name, value) in [
        ("x-hub-signature-256", sha1.clone()),
        ("x-hub-signature-256", sha1.replace("sha1=", "sha256=")),
        ("x-hub-signature-256", sha256.replace("sha256=", "sha1=")),
        ("x-hub-signature", sha256.clone()),
        ("x-hub-signature", sha256.replace("sha256=", "sha1=")),
        ("x-hub-signature", sha1.replace("sha1=", "sha256=")),
    ] {
        let mut request = delivery("push", push());
        request.headers_mut().remove("x-hub-signature-256");
        request.headers_mut().insert(name, value.parse().unwrap());
        refused(&world, request, 403).await;
    }
}
