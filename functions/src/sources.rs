//! A delivery of every source, for the tests that all of them must pass and for the fuzzer.
//!
//! The tests in `tests/it` have the same deliveries by the path of this file, which is why the files of
//! its modules are named here.
//!
//! A new kind of delivery is one more row of its sender's table: a function that makes it, how it is
//! proved, and what comes of it.

use axum::body::{Body, Bytes};
use axum::http::Request;

#[path = "sources/azuredevops.rs"]
mod azuredevops;
#[path = "sources/bitbucket.rs"]
mod bitbucket;
#[path = "sources/cloudevents.rs"]
mod cloudevents;
#[path = "sources/cron.rs"]
mod cron;
#[path = "sources/eventgrid.rs"]
mod eventgrid;
#[path = "sources/generic.rs"]
mod generic;
#[path = "sources/gitea.rs"]
mod gitea;
#[path = "sources/github.rs"]
mod github;
#[path = "sources/gitlab.rs"]
mod gitlab;
#[path = "sources/hook.rs"]
mod hook;
#[path = "sources/kubernetes.rs"]
mod kubernetes;
#[path = "sources/notify.rs"]
mod notify;
#[path = "sources/registry.rs"]
mod registry;
#[path = "sources/slack.rs"]
mod slack;

/// The project that every sample is about.
pub(crate) const PROJECT: &str = "ocean/brig";

/// The secret of every project here.
pub(crate) const SECRET: &str = "aye aye";

/// A secret of no project.
pub(crate) const WRONG: &str = "no-such-secret";

/// Where the project's messages go.
const SLACK: &str = "https://hooks.slack.example/services/T0/B0/hunter2";

/// One kind of delivery of one sender.
pub(crate) struct Source {
    /// Names it in what tests print.
    pub(crate) name: &'static str,
    /// The first event name that its builds fire.
    pub(crate) fires: &'static str,
    /// How many builds a delivery makes.
    pub(crate) builds: usize,
    /// The job of each of its builds, where the project's script runs one that is called `only`.
    pub(crate) job: &'static str,
    /// A delivery; another number makes it another event.
    pub(crate) sample: fn(u32) -> Sample,
    /// A delivery that is proved, and of which nothing is built.
    pub(crate) ignored: Option<fn() -> Sample>,
    /// The status when nothing proves it.
    pub(crate) unproved: u16,
    /// The status when there is no such project.
    pub(crate) unknown: u16,
    /// Whether the body must be JSON.
    pub(crate) is_json: bool,
    /// Whether the answer has our own form, with `build` and `reason`, and not one of the sender's.
    pub(crate) in_our_form: bool,
    /// Whether a delivery that is made again is known to be the same.
    pub(crate) is_known_again: bool,
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

/// Every kind of delivery that we know, sender by sender.
pub(crate) const ALL: [&[Source]; 14] = [
    github::SOURCES,
    azuredevops::SOURCES,
    bitbucket::SOURCES,
    cloudevents::SOURCES,
    cron::SOURCES,
    eventgrid::SOURCES,
    generic::SOURCES,
    gitea::SOURCES,
    gitlab::SOURCES,
    hook::SOURCES,
    kubernetes::SOURCES,
    notify::SOURCES,
    registry::SOURCES,
    slack::SOURCES,
];

/// What most of them have in common.
const COMMON: Source = Source {
    name: "",
    fires: "",
    builds: 1,
    job: "only",
    sample: |_number| Sample {
        uri: String::new(),
        headers: Vec::new(),
        body: Bytes::new(),
        proof: Proof::Uri,
    },
    ignored: None,
    unproved: 401,
    unknown: 404,
    is_json: true,
    in_our_form: true,
    is_known_again: true,
};

/// All sources.
pub(crate) fn all() -> impl Iterator<Item = &'static Source> {
    ALL.into_iter().flatten()
}

/// Those whose deliveries are known again when they are made again.
pub(crate) fn repeated() -> impl Iterator<Item = &'static Source> {
    all().filter(|source| source.is_known_again)
}

/// One of these for each number of builds: what comes after the translation differs in nothing else.
#[cfg(test)]
pub(crate) fn shapes() -> impl Iterator<Item = &'static Source> {
    let mut seen = std::collections::BTreeSet::new();
    repeated().filter(move |source| seen.insert(source.builds))
}

/// The keys of a project whose every secret is this one, and that takes whatever there is.
pub(crate) fn secrets(secret: &str) -> serde_json::Value {
    serde_json::json!({
        "sharedSecret": secret,
        "genericGatewaySecret": secret,
        "kubernetes.eventFilters": r#"[{"action": "accept"}]"#,
        "secrets": serde_json::json!({"eventGridToken": secret, "SLACK_WEBHOOK": SLACK}).to_string(),
        "slack.signingSecret": secret,
    })
}

impl Sample {
    /// The request as whoever knows this secret sends it; without one, nothing proves it.
    pub(crate) fn request(&self, secret: Option<&str>) -> Request<Body> {
        let uri = match secret {
            Some(secret) => self.uri.replace("{token}", &encoded(secret)),
            None => self.uri.replace("/{token}", "").replace("{token}", ""),
        };
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

/// A delivery of JSON, unless its headers say another type.
fn sample(
    uri: &str,
    headers: &[(&'static str, &str)],
    body: impl ToString,
    proof: Proof,
) -> Sample {
    let mut all = Vec::new();
    if headers.iter().all(|(name, _value)| *name != "content-type") {
        all.push(("content-type", "application/json".to_owned()));
    }
    all.extend(headers.iter().map(|(name, value)| (*name, (*value).to_owned())));
    Sample { uri: uri.to_owned(), headers: all, body: body.to_string().into(), proof }
}

/// A token as most senders send it.
const BEARER: Proof =
    Proof::Headers(|secret, _body| vec![("authorization", format!("Bearer {secret}"))]);
