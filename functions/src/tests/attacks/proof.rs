//! Proofs that are none.

use runtime::signature::{Stamp, scheme};

use super::*;

/// All that a source is told of these requests, of which none may be taken.
async fn refused_alike(source: &Source, requests: impl IntoIterator<Item = Request<Body>>) {
    let world = World::of(source).await;
    let mut first = None;
    for request in requests {
        let shown = format!("{} {:?}", source.name, request.headers());
        let told = refused(&world, request, source.unproved).await;
        let first = first.get_or_insert_with(|| told.clone());
        assert_eq!(told, *first, "{shown}");
    }
}

#[tokio::test]
async fn missing_and_wrong_proofs_are_refused_alike() {
    for source in sources::all() {
        let sample = (source.sample)(1);
        let mut requests = vec![sample.request(None), sample.request(Some(WRONG))];
        let near = [&SECRET[1..], &SECRET[..SECRET.len() - 1], &format!("{SECRET}x"), "AYE AYE"];
        requests.extend(near.map(|secret| sample.request(Some(secret))));
        if let sources::Proof::Headers(headers) = sample.proof {
            for (name, value) in headers(SECRET, &sample.body) {
                for wrong in [
                    String::new(),
                    "=".to_owned(),
                    "sha256=".to_owned(),
                    value[..value.len() - 1].to_owned(),
                    format!("{value}0"),
                    format!("x{value}"),
                    format!("{value},{value}"),
                    value.replace('=', "-"),
                    value
                        .chars()
                        .map(|c| if c.is_ascii_alphanumeric() { '0' } else { c })
                        .collect(),
                    "é".repeat(40),
                ] {
                    if wrong == value {
                        continue;
                    }
                    let mut request = sample.proved();
                    let wrong = axum::http::HeaderValue::from_bytes(wrong.as_bytes()).unwrap();
                    request.headers_mut().insert(name, wrong);
                    requests.push(request);
                }
                // Twice, each of them right.
                let mut request = sample.proved();
                request.headers_mut().append(name, value.parse().unwrap());
                requests.push(request);
            }
        }
        refused_alike(source, requests).await;
    }
}

#[tokio::test]
async fn a_proof_is_of_the_bytes_as_they_came() {
    for source in sources::all() {
        let sample = (source.sample)(1);
        let sources::Proof::Headers(headers) = sample.proof else { continue };
        if headers(SECRET, b"one") == headers(SECRET, b"other") {
            continue; // a token: what it proves is the sender
        }
        let text = String::from_utf8(sample.body.to_vec()).unwrap();
        let again: Value = serde_json::from_str(&text).unwrap_or_default();
        let others = [
            format!("{text} "),
            format!("{text}\n"),
            format!("\u{feff}{text}"),
            text.replace(':', ": "),
            text.replacen("ocean", "\\u006fcean", 1),
            serde_json::to_string_pretty(&again).unwrap(),
        ];
        let requests = others.into_iter().filter(|other| *other != text).map(|other| {
            let mut request = sample.proved();
            *request.body_mut() = other.into();
            request
        });
        refused_alike(source, requests).await;
    }
}

#[tokio::test]
async fn a_project_without_a_secret_is_closed() {
    for source in sources::all() {
        let world = World::of(source).await;
        let sample = (source.sample)(1);
        for secret in ["", " ", "\n", "\r\n \t\n"] {
            world.project(PROJECT, sources::secrets(secret)).await;
            for given in [Some(""), Some(" "), Some("null"), Some("undefined"), None] {
                let told = world.send(sample.request(given)).await;
                let closed = (400..=500).contains(&told.code);
                assert!(closed, "{} {secret:?} {given:?}: {told:?}", source.name);
            }
        }
        assert!(world.is_untouched().await, "{}", source.name);
    }
}

#[tokio::test]
async fn a_secret_of_another_project_proves_nothing() {
    for source in sources::all() {
        let world = World::of(source).await;
        world.project("ocean/other", sources::secrets(WRONG)).await;
        let told = refused(&world, (source.sample)(1).request(Some(WRONG)), source.unproved).await;
        assert!(!told.to_string().contains("other"), "{}: {told}", source.name);
    }
}

#[tokio::test]
async fn both_secrets_prove_while_one_is_rotated_and_only_the_new_one_afterwards() {
    for source in sources::all() {
        for (secrets, old, new) in [("old\nnew", true, true), ("new", false, true)] {
            let world = World::of(source).await;
            world.project(PROJECT, sources::secrets(secrets)).await;
            for (secret, proves) in [("old", old), ("new", new), ("old\nnew", false)] {
                if secret.contains('\n') && !matches!((source.sample)(1).proof, sources::Proof::Uri)
                {
                    continue; // no header holds it
                }
                let told = world.send((source.sample)(1).request(Some(secret))).await;
                let is_proved = (200..300).contains(&told.code);
                assert_eq!(is_proved, proves, "{} {secret:?}: {told:?}", source.name);
            }
        }
    }
}

/// Headers that nobody signs, by which senders name deliveries.
const UNSIGNED: [&str; 8] = [
    "x-github-delivery",
    "x-request-id",
    "x-request-uuid",
    "x-hook-uuid",
    "x-gitlab-event-uuid",
    "x-gitea-delivery",
    "x-slack-retry-num",
    "traceparent",
];

#[tokio::test]
async fn an_id_that_nobody_signed_makes_no_other_event() {
    for source in sources::repeated() {
        let world = World::of(source).await;
        for number in 0..3 {
            let mut request = (source.sample)(1).proved();
            for name in UNSIGNED {
                let value = format!("{number}{number}").parse().unwrap();
                request.headers_mut().insert(name, value);
            }
            let told = world.send(request).await;
            assert!((200..300).contains(&told.code), "{}: {told:?}", source.name);
        }
        world.has_once(source.builds, source.name).await;
    }
}

#[tokio::test]
async fn a_body_that_one_host_signed_is_worth_nothing_at_the_address_of_another() {
    let world = World::without_scripts().await;
    let hooks = json!([{
        "name": "plain", "event": "push",
        "proof": {"type": "hmac-sha256", "header": "X-Hub-Signature-256", "prefix": "sha256="},
    }]);
    let keys = json!({"sharedSecret": SECRET, "hooks": hooks.to_string()});
    world.project("ocean/brig", keys).await;
    // Push and issue at once, to be of a form that each of them takes.
    let body = |more: Value| {
        let mut body = json!({
            "ref": "refs/heads/main",
            "after": "1".repeat(40),
            "head_commit": {"id": "1".repeat(40), "timestamp": "2026-03-01T10:00:00Z"},
            "repository": {"id": 1, "full_name": "ocean/brig", "default_branch": "main"},
        });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let sender = |more: &str| json!({"id": 7, "login": "a", more: "User"});
    let change = json!({"type": "branch", "name": "main", "target": {"hash": "1".repeat(40)}});
    let bodies = [
        ("/events/github", body(json!({"sender": sender("type")}))),
        ("/events/gitea", body(json!({"sender": sender("username")}))),
        (
            "/events/bitbucket",
            body(json!({"actor": {"type": "user"}, "push": {"changes": [{"new": change}]}})),
        ),
    ];
    let addresses = bodies.clone().map(|(address, _)| address);
    for (own, body) in bodies {
        let body = body.to_string();
        let digest = scheme::GITHUB.sign(SECRET, Stamp::default(), body.as_bytes()).unwrap();
        let send = |address: &str| {
            let request = post(address)
                .header("content-type", "application/json")
                .header("x-github-event", "push")
                .header("x-event-key", "repo:push")
                .header("x-hub-signature-256", &digest)
                .header("x-hub-signature", &digest);
            world.send(request.body(body.clone().into()).unwrap())
        };
        let before = world.builds().await.len();
        for other in addresses.iter().filter(|address| **address != own) {
            let told = send(other).await;
            assert_eq!(told.code, 400, "{own} at {other}: {told:?}");
            assert!(told.body["reason"].as_str().unwrap().ends_with(own), "{told:?}");
        }
        assert_eq!(send("/events/hook/ocean/brig/plain").await.code, 400, "{own}");
        assert_eq!(world.builds().await.len(), before);
        let told = send(own).await;
        assert_eq!(told.code, 200, "{own}: {told:?}");
        assert_eq!(world.builds().await.len(), before + 1, "{own}: {told:?}");
    }
}
