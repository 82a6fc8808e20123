//! A delivery of every source, for the tests that all of them must pass and for the fuzzer.
//!
//! A new source is one more row of [`ALL`]: a function that makes its delivery, how it is proved,
//! and what comes of it.

use axum::body::{Body, Bytes};
use axum::http::Request;
use runtime::signature;
use serde_json::json;

/// The project that every sample is about.
pub(crate) const PROJECT: &str = "ocean/brig";

/// The secret of every project here.
pub(crate) const SECRET: &str = "aye aye";

/// A secret of no project.
pub(crate) const WRONG: &str = "no-such-secret";

/// The keys of a project that all sources prove themselves to with this secret.
pub(crate) fn keys(secret: &str) -> serde_json::Value {
    json!({
        "sharedSecret": secret,
        "genericGatewaySecret": secret,
        "secrets": json!({"eventGridToken": secret}).to_string(),
        "kubernetes.eventFilters": r#"[{"action": "accept"}]"#,
    })
}

/// One kind of delivery of one sender.
pub(crate) struct Source {
    /// Names it in what tests print.
    pub(crate) name: &'static str,
    /// The first event name that its builds fire.
    pub(crate) fires: &'static str,
    /// How many builds a delivery makes.
    pub(crate) builds: usize,
    /// A delivery; another number makes it another event.
    pub(crate) sample: fn(u32) -> Sample,
    /// A delivery that is proved, and of which nothing is built.
    pub(crate) ignored: Option<fn() -> Sample>,
    /// The status when nothing proves it.
    pub(crate) unproved: u16,
    /// Whether the answer has our own form, with `build` and `reason`, and not one of the sender's.
    pub(crate) in_our_form: bool,
}

/// A request, but for its proof.
#[derive(Clone)]
pub(crate) struct Sample {
    /// Where it goes. `{token}` in it stands for the token.
    pub(crate) uri: String,
    /// Its headers, but for those that prove it.
    pub(crate) headers: Headers,
    /// Its body.
    pub(crate) body: Bytes,
    /// How it is proved.
    pub(crate) proof: Proof,
}

/// Names and values.
type Headers = Vec<(&'static str, String)>;

/// How a sender proves a delivery.
#[derive(Clone, Copy)]
pub(crate) enum Proof {
    /// By headers that are made of the secret and the body.
    Headers(fn(secret: &str, body: &[u8]) -> Headers),
    /// By the token in the URI.
    Uri,
}

/// Every kind of delivery that we know.
pub(crate) const ALL: &[Source] = &[
    Source {
        name: "github push",
        fires: "push",
        builds: 1,
        sample: |number| github("push", github_push(number)),
        ignored: Some(|| github("ping", github_push(1))),
        unproved: 403,
        in_our_form: true,
    },
    Source {
        name: "github pull_request",
        fires: "pull_request",
        builds: 1,
        sample: |number| github("pull_request", github_pull_request(number)),
        ignored: Some(|| github("ping", github_pull_request(1))),
        unproved: 403,
        in_our_form: true,
    },
    Source {
        name: "cloudevents structured",
        fires: "com.example.tide",
        builds: 1,
        sample: |number| cloudevents("application/cloudevents+json", cloudevent(number)),
        ignored: None,
        unproved: 401,
        in_our_form: true,
    },
    Source {
        name: "cloudevents batch",
        fires: "com.example.tide",
        builds: 2,
        sample: |number| {
            let events = json!([cloudevent(2 * number), cloudevent(2 * number + 1)]);
            cloudevents("application/cloudevents-batch+json", events)
        },
        ignored: Some(|| cloudevents("application/cloudevents-batch+json", json!([]))),
        unproved: 401,
        in_our_form: true,
    },
    Source {
        name: "eventgrid",
        fires: "Microsoft.ContainerRegistry.ImagePushed",
        builds: 1,
        sample: |number| eventgrid(number, "Microsoft.ContainerRegistry.ImagePushed"),
        ignored: Some(|| eventgrid(1, "Microsoft.EventGrid.SubscriptionDeletedEvent")),
        unproved: 403,
        in_our_form: true,
    },
    Source {
        name: "generic simpleevent",
        fires: "simpleevent",
        builds: 1,
        sample: |number| {
            let body = json!({"ref": "refs/heads/main", "number": number}).to_string();
            let uri = "/simpleevents/v1/ocean%2Fbrig";
            sample(uri, &[], body.into(), Proof::Headers(standard_webhook))
        },
        ignored: None,
        unproved: 401,
        in_our_form: true,
    },
    Source {
        name: "generic cloudevent",
        fires: "cloudevent",
        builds: 1,
        sample: |number| {
            let mut event = cloudevent(number);
            event["specversion"] = json!("0.2");
            let proof = Proof::Headers(hub_signature);
            sample("/cloudevents/v02/ocean%2Fbrig", &[], event.to_string().into(), proof)
        },
        ignored: None,
        unproved: 401,
        in_our_form: true,
    },
    Source {
        name: "kubernetes event",
        fires: "Pod:Killing",
        builds: 1,
        sample: |number| kubernetes(kubernetes_event(number, "web-1")),
        ignored: Some(|| kubernetes(kubernetes_event(1, "brigade-worker-x"))),
        unproved: 401,
        in_our_form: true,
    },
    Source {
        name: "registry acr",
        fires: "image_push",
        builds: 1,
        sample: |number| registry(acr(number, "push")),
        ignored: Some(|| registry(acr(1, "quarantine"))),
        unproved: 401,
        in_our_form: true,
    },
    Source {
        name: "registry dockerhub",
        fires: "image_push",
        builds: 1,
        sample: |number| {
            registry(json!({
                "push_data": {"pushed_at": 1_772_359_200 + number, "pusher": "ada", "tag": "1.0"},
                "repository": {"repo_name": "ocean/app", "name": "app", "namespace": "ocean"},
            }))
        },
        ignored: None,
        unproved: 401,
        in_our_form: true,
    },
];

impl Sample {
    /// The request as whoever knows this secret sends it; without one, nothing proves it.
    pub(crate) fn request(&self, secret: Option<&str>) -> Request<Body> {
        let uri = self.uri.replace("{token}", &encoded(secret.unwrap_or_default()));
        let mut request = Request::post(uri);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        if let (Proof::Headers(headers), Some(secret)) = (self.proof, secret) {
            for (name, value) in headers(secret, &self.body) {
                request = request.header(name, value);
            }
        }
        request.body(Body::from(self.body.clone())).expect("a sample is a request")
    }

    /// With this body, for which its proof is made anew.
    pub(crate) fn with_body(&self, body: impl Into<Bytes>) -> Sample {
        Sample { body: body.into(), ..self.clone() }
    }

    /// The request as the project's sender sends it.
    pub(crate) fn proved(&self) -> Request<Body> {
        self.request(Some(SECRET))
    }
}

/// A text as a part of a URI.
pub(crate) fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn sample(uri: &str, headers: &[(&'static str, &str)], body: Bytes, proof: Proof) -> Sample {
    let mut all = vec![("content-type", "application/json".to_owned())];
    all.extend(headers.iter().map(|(name, value)| (*name, (*value).to_owned())));
    Sample { uri: uri.to_owned(), headers: all, body, proof }
}

fn github(event: &str, body: serde_json::Value) -> Sample {
    let proof = Proof::Headers(hub_signature);
    sample("/events/github", &[("x-github-event", event)], body.to_string().into(), proof)
}

fn hub_signature(secret: &str, body: &[u8]) -> Headers {
    vec![("x-hub-signature-256", signature::sign_github(secret, body))]
}

fn github_push(number: u32) -> serde_json::Value {
    json!({
        "ref": "refs/heads/main",
        "after": format!("{number:040x}"),
        "head_commit": {"id": format!("{number:040x}")},
        "repository": {"full_name": PROJECT, "pushed_at": 1_772_359_200},
    })
}

fn github_pull_request(number: u32) -> serde_json::Value {
    let repository = json!({"full_name": PROJECT, "id": 1, "fork": false});
    json!({
        "action": "opened",
        "number": number,
        "pull_request": {
            "number": number,
            "author_association": "OWNER",
            "updated_at": "2026-03-01T10:00:00Z",
            "head": {"sha": format!("{number:040x}"), "ref": "feature", "repo": repository},
            "base": {"sha": "0".repeat(40), "ref": "main", "repo": repository},
        },
        "repository": repository,
    })
}

fn registry(body: serde_json::Value) -> Sample {
    let uri = "/events/webhook/ocean/brig?commit=main&token={token}";
    sample(uri, &[], body.to_string().into(), Proof::Uri)
}

fn acr(number: u32, action: &str) -> serde_json::Value {
    json!({
        "id": format!("delivery-{number}"),
        "timestamp": "2026-03-01T10:00:00Z",
        "action": action,
        "target": {
            "digest": format!("sha256:{number:064x}"), "repository": "team/app", "tag": "1.0",
        },
        "request": {"host": "ocean.azurecr.io"},
    })
}

fn cloudevents(media: &str, body: serde_json::Value) -> Sample {
    let uri = "/cloudevents/v1/ocean/brig?access_token={token}";
    let sample = sample(uri, &[], body.to_string().into(), Proof::Uri);
    Sample { headers: vec![("content-type", media.to_owned())], ..sample }
}

fn cloudevent(number: u32) -> serde_json::Value {
    json!({
        "specversion": "1.0",
        "id": format!("tide-{number}"),
        "source": "/harbour/gauge",
        "type": "com.example.tide",
        "time": "2026-03-01T10:00:00Z",
        "subject": "high",
        "data": {"ref": "refs/heads/main", "level": 3.1},
    })
}

fn eventgrid(number: u32, kind: &str) -> Sample {
    let body = json!([{
        "id": format!("delivery-{number}"),
        "topic": "/subscriptions/s/resourceGroups/g/registries/ocean",
        "subject": "team/app:1.0",
        "eventType": kind,
        "eventTime": "2026-03-01T10:00:00.1234567Z",
        "data": acr(number, "push"),
        "dataVersion": "2.0",
        "metadataVersion": "1",
    }]);
    let uri = "/eventgrid/ocean%2Fbrig?token={token}";
    sample(uri, &[("aeg-event-type", "Notification")], body.to_string().into(), Proof::Uri)
}

fn kubernetes(body: serde_json::Value) -> Sample {
    let uri = "/events/kubernetes/ocean/brig?token={token}";
    sample(uri, &[], body.to_string().into(), Proof::Uri)
}

fn kubernetes_event(number: u32, pod: &str) -> serde_json::Value {
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "web-1.17706", "namespace": "shop", "uid": format!("event-{number}")},
        "involvedObject": {"kind": "Pod", "namespace": "shop", "name": pod},
        "reason": "Killing",
        "message": "Stopping container web",
        "lastTimestamp": "2026-03-01T10:00:00Z",
        "count": 1,
    })
}

/// The headers of Standard Webhooks, with a name that follows from the body.
fn standard_webhook(secret: &str, body: &[u8]) -> Headers {
    let number =
        body.iter().fold(7_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(*byte)));
    let id = format!("msg_{number}");
    let seconds = jiff::Timestamp::now().as_second().to_string();
    let stamp = signature::Stamp { id: &id, seconds: &seconds };
    let value = signature::scheme::STANDARD_WEBHOOKS.sign(secret, stamp, body);
    let value = value.unwrap_or_default();
    vec![("webhook-signature", value), ("webhook-id", id), ("webhook-timestamp", seconds)]
}
