//! Every answer says what came of the delivery, and so does one line in the log; and neither tells
//! a secret.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use runtime::build::{BuildId, annotation};

use super::*;

/// What a delivery comes to.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Outcome {
    Made,
    Duplicate,
    Ignored,
    Unproved,
    Forged,
    Malformed,
    TooLarge,
    Encoded,
    Unserved,
    UnknownProject,
    NoSecret,
    Damaged,
    Refused,
    Away,
}

use Outcome::{
    Away, Damaged, Duplicate, Encoded, Forged, Ignored, Made, Malformed, NoSecret, Refused,
    TooLarge, UnknownProject, Unproved, Unserved,
};

const OUTCOMES: [Outcome; 14] = [
    Made,
    Duplicate,
    Ignored,
    Unproved,
    Forged,
    Malformed,
    TooLarge,
    Encoded,
    Unserved,
    UnknownProject,
    NoSecret,
    Damaged,
    Refused,
    Away,
];

impl Outcome {
    /// The word in the log.
    fn word(self) -> &'static str {
        match self {
            Made => "made",
            Duplicate => "duplicate",
            Ignored => "ignored",
            Damaged | Refused | Away => "failed",
            _ => "refused",
        }
    }

    /// Whether this is an answer's code.
    fn fits(self, source: &Source, code: u16) -> bool {
        match self {
            Made | Duplicate | Ignored => (200..300).contains(&code),
            Unproved | Forged => code == source.unproved,
            Malformed => code == 400,
            TooLarge => code == 413,
            Encoded => code == 415,
            Unserved => code == 405,
            UnknownProject => code == source.unknown,
            // Brigade's gateways disagree on it.
            NoSecret => matches!(code, 400 | 401 | 403 | 404 | 500),
            Damaged | Refused => code == 500,
            Away => code == 503,
        }
    }

    /// A request that comes to this, and the world that it is sent to; none if the source knows no
    /// such one.
    async fn cause(self, source: &Source) -> Option<(World, Request<Body>)> {
        let world = World::of(source).await;
        let sample = (source.sample)(1);
        let request = match self {
            Made | Refused | Away => sample.proved(),
            Duplicate if !source.is_known_again => return None,
            Duplicate => {
                world.send(sample.proved()).await;
                sample.proved()
            }
            Ignored => source.ignored?().proved(),
            Unproved => sample.request(None),
            Forged => sample.request(Some(WRONG)),
            Malformed if !source.is_json => return None,
            Malformed => Sample { body: Bytes::from_static(b"{\"a\": "), ..sample }.proved(),
            TooLarge => {
                let mut request = sample.proved();
                request.headers_mut().insert("content-length", "99999999".parse().unwrap());
                request
            }
            Encoded => {
                let mut request = sample.proved();
                request.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
                request
            }
            Unserved => {
                let mut request = sample.proved();
                *request.method_mut() = axum::http::Method::DELETE;
                request
            }
            UnknownProject => {
                let id = runtime::project::id_of(PROJECT);
                world.secrets().delete(&id, &Default::default()).await.unwrap();
                sample.proved()
            }
            NoSecret => {
                world.project(PROJECT, json!({})).await;
                sample.proved()
            }
            Damaged => {
                let patch = json!({"stringData": {"secrets": "{\"PASSWORD\": hunter2"}});
                let patch = kube::api::Patch::Merge(&patch);
                let id = runtime::project::id_of(PROJECT);
                world.secrets().patch(&id, &Default::default(), &patch).await.unwrap();
                sample.proved()
            }
        };
        match self {
            Refused => world.fail(1, 403, When::Before),
            Away => world.fail(0, 503, When::Before),
            _ => {}
        }
        Some((world, request))
    }
}

/// How a text could be spelt where it must not be.
fn spelt(text: &str) -> Vec<String> {
    let mut spelt = vec![
        text.to_owned(),
        STANDARD.encode(text),
        hex(text.as_bytes()),
        sources::encoded(text),
        text.replace(' ', "+"),
        text.replace(' ', "%20"),
    ];
    // Within other base64, a text is spelt in one of three ways; its ends depend on what is beside.
    for before in 0..3 {
        let padded = [" ".repeat(before).as_bytes(), text.as_bytes()].concat();
        let encoded = STANDARD_NO_PAD.encode(&padded);
        spelt.push(encoded[(before * 8).div_ceil(6)..encoded.len() - 2].to_owned());
    }
    spelt
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Everything that must not be told of a request: the secrets of the world, and what proves this
/// request or would prove it.
fn secrets(sample: &Sample, sent: &Request<Body>) -> Vec<String> {
    let mut secrets: Vec<String> =
        [SECRET, WRONG, "hunter2"].iter().flat_map(|secret| spelt(secret)).collect();
    if let sources::Proof::Headers(headers) = sample.proof {
        for secret in [SECRET, WRONG] {
            for (name, value) in headers(secret, &sample.body) {
                // A digest follows its scheme; what is no digest, such as a time, is no secret.
                let digest = value.rsplit(['=', ',', ' ']).find(|part| part.len() > 20);
                if name != "content-type"
                    && let Some(digest) = digest
                {
                    secrets.push(digest.to_owned());
                    if let Ok(bytes) = STANDARD.decode(digest) {
                        secrets.extend([hex(&bytes), URL_SAFE_NO_PAD.encode(&bytes)]);
                    }
                }
            }
        }
    }
    let authorization = sent.headers().get("authorization");
    secrets.extend(authorization.map(|value| value.to_str().unwrap().to_owned()));
    secrets.extend(sent.uri().query().map(str::to_owned));
    secrets.retain(|secret| secret.len() >= 4);
    secrets
}

#[tokio::test]
async fn every_outcome_of_every_source_is_explained_once_and_tells_no_secret() {
    let mut counts = BTreeMap::<Outcome, usize>::new();
    for (number, source) in sources::all().enumerate() {
        for outcome in OUTCOMES {
            let Some((world, mut request)) = outcome.cause(source).await else { continue };
            let name = format!("{number}-{outcome:?}");
            let secrets = secrets(&(source.sample)(1), &request);
            logged::listen(&mut request, &name);
            if outcome == Away {
                tokio::time::pause();
            }
            let told = world.send(request).await;
            if outcome == Away {
                tokio::time::resume();
            }
            world.server.faults().clear();
            let place = format!("{} {outcome:?}", source.name);
            assert!(outcome.fits(source, told.code), "{place}: {told:?}");
            let lines = logged::lines(&name);
            check_answer(source, outcome, &told, &place);
            check_line(source, outcome, &told, &lines, &place);
            if matches!(outcome, Made | Duplicate) {
                check_builds(&world, source, &told, &place).await;
            } else {
                assert!(world.is_untouched().await, "{place}");
            }
            let headers = format!("{:?}", told.headers);
            for text in lines.iter().map(String::as_str).chain([&*told.body.to_string(), &headers])
            {
                for secret in &secrets {
                    assert!(!text.contains(secret.as_str()), "{place}: {secret} is in {text}");
                }
            }
            *counts.entry(outcome).or_default() += 1;
        }
    }
    println!("outcomes that were explained: {counts:?}");
    assert!(OUTCOMES.iter().all(|outcome| counts.contains_key(outcome)), "{counts:?}");
}

/// The sender is told why, in our form or in its own.
fn check_answer(source: &Source, outcome: Outcome, told: &Told, place: &str) {
    if source.in_our_form {
        let explained = |body: &Value| body["reason"].as_str().is_some_and(|why| !why.is_empty());
        let all = match &told.body["builds"] {
            Value::Array(builds) if told.code == 200 => builds.iter().all(explained),
            _ => explained(&told.body),
        };
        assert!(all, "{place}: {told:?}");
        let word = told.body["status"].as_str().or(told.body["message"].as_str());
        assert!(word.is_some(), "{place}: {told:?}");
        assert_eq!(told.headers["content-type"], "application/json", "{place}");
    }
    if outcome == Away {
        assert!(told.headers.contains_key("retry-after"), "{place}");
    }
}

/// There is one line for the delivery, with what one looks for.
fn check_line(source: &Source, outcome: Outcome, told: &Told, lines: &[String], place: &str) {
    let lines = logged::told(lines);
    let [line] = &lines[..] else { panic!("{place}: {lines:?}") };
    let is_ignored = outcome == UnknownProject && source.unknown == 200;
    let word = if is_ignored { Ignored.word() } else { outcome.word() };
    assert_eq!(line["outcome"], word, "{place}: {line}");
    assert_eq!(line["http.status"], told.code, "{place}: {line}");
    assert!(line["duration.ms"].is_u64(), "{place}: {line}");
    assert!(line["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{place}: {line}");
    let route = line["span"]["http.route"].as_str().unwrap();
    assert!(route.starts_with('/') && !route.contains("ocean"), "{place}: {line}");
    assert!(line["span"]["http.method"].is_string(), "{place}: {line}");
    if matches!(outcome, Made | Duplicate) {
        assert_eq!(line["project.name"], PROJECT, "{place}: {line}");
        assert_eq!(line["event.kind"], source.fires, "{place}: {line}");
        assert_eq!(line["build.id"].as_str().map(str::len), Some(26), "{place}: {line}");
    }
}

/// What the sender is told is kept with the builds, for whoever looks later.
async fn check_builds(world: &World, source: &Source, told: &Told, place: &str) {
    let builds = world.builds().await;
    assert_eq!(builds.len(), source.builds, "{place}");
    for (id, _accepted) in builds {
        let build = world.app.cluster.build("default", BuildId::parse(&id).unwrap()).await;
        let build = build.unwrap().unwrap();
        let kept: Value =
            serde_json::from_str(&build.annotations[annotation::EXPLANATION]).unwrap();
        assert_eq!(kept["build"], id, "{place}");
        for member in ["project", "events", "jobs", "reason"] {
            assert!(!kept[member].is_null(), "{place}: {kept}");
        }
        if source.in_our_form && source.builds == 1 {
            for member in ["build", "project", "events", "handlers", "jobs", "detached", "worker"] {
                assert_eq!(kept[member], told.body[member], "{place}: {member}");
            }
        }
    }
}
