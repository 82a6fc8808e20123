//! Proofs that are none.

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
