//! What stands in for Slack, Teams, GitHub, mail servers and everybody else who is told something.
//!
//! Notifiers are told to send through a relay, and the relay is this: `/<scheme>/<host>/<path>`. So
//! nothing leaves the machine, whatever address a project names. Each sink checks what the real one
//! checks, answers in its words, also that there was too much at once, and shows what arrived.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use runtime::project::Project;
use serde_json::Value;
use tokio::sync::broadcast;
use tokio::time::Instant;

use crate::backstage::News;

pub mod email;

mod github;
mod slack;
mod teams;
mod webhook;

/// The largest message that is read.
const LIMIT: usize = 4 * 1024 * 1024;

/// How much of a message is shown.
const SHOWN: usize = 2000;

/// Something that arrived at a sink.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Arrival {
    /// The sink: `slack`, `teams`, `github`, `webhook` or `email`.
    pub sink: &'static str,
    /// What it shows, or what it was told and why it refused that.
    pub text: String,
    /// The colour of its bar: `#rrggbb`.
    pub color: Option<String>,
    /// Whether the sink took it.
    pub taken: bool,
}

/// The sinks.
#[derive(Clone)]
pub struct Sinks {
    /// Whose secrets sign what webhooks are told.
    projects: Arc<[Project]>,
    news: broadcast::Sender<News>,
    github: Arc<Mutex<github::Repositories>>,
    slack: Arc<Mutex<slack::Channels>>,
    rates: Arc<Mutex<HashMap<String, (f64, Instant)>>>,
}

/// One request, as it would have come to the sink.
struct Told<'a> {
    method: &'a Method,
    host: &'a str,
    path: &'a str,
    headers: &'a HeaderMap,
    body: &'a [u8],
}

impl Sinks {
    /// The sinks; what arrives is told to whoever listens.
    pub fn new(projects: Arc<[Project]>, news: broadcast::Sender<News>) -> Sinks {
        Sinks {
            projects,
            news,
            github: Arc::default(),
            slack: Arc::default(),
            rates: Arc::default(),
        }
    }

    /// Their routes, as a relay has them.
    pub fn routes(self) -> Router {
        Router::new()
            .route("/{scheme}/{host}", any(tell))
            .route("/{scheme}/{host}/{*path}", any(tell))
            .layer(DefaultBodyLimit::max(LIMIT))
            .with_state(self)
    }

    /// Shows what arrived.
    fn show(&self, arrival: Arrival) {
        let text = arrival.text.chars().take(SHOWN).collect::<String>();
        let text = text.split(['\r', '\n']).filter(|line| !line.trim().is_empty());
        let text = text.collect::<Vec<_>>().join(" ");
        let _nobody_listens = self.news.send(News::Arrived(Arrival { text, ..arrival }));
    }

    /// Whether somebody is told more than the sink takes: the seconds to wait, then.
    fn too_much(&self, whom: &str, at_once: f64, per_second: f64) -> Option<u64> {
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        if rates.len() > 1000 {
            rates.clear();
        }
        let now = Instant::now();
        let (left, seen) = rates.entry(whom.to_owned()).or_insert((at_once, now));
        *left = (*left + now.duration_since(*seen).as_secs_f64() * per_second).min(at_once);
        *seen = now;
        if *left >= 1.0 {
            *left -= 1.0;
            return None;
        }
        Some((((1.0 - *left) / per_second).ceil() as u64).max(1))
    }
}

async fn tell(
    State(sinks): State<Sinks>,
    Path(address): Path<HashMap<String, String>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let host = address.get("host").map(String::as_str).unwrap_or_default();
    // As it was sent: what is decoded in it is not what a real sink would see.
    let path = uri.path().splitn(4, '/').nth(3).unwrap_or_default();
    let told = Told { method: &method, host, path, headers: &headers, body: &body };
    let name = host.split(':').next().unwrap_or_default();
    let is_below = |domain: &str| {
        name == domain || name.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
    };
    if is_below("slack.com") {
        slack::tell(&sinks, &told)
    } else if ["office.com", "logic.azure.com", "powerplatform.com"].into_iter().any(is_below) {
        teams::tell(&sinks, &told)
    } else if name == "api.github.com" || path.starts_with("api/v3/") {
        github::tell(&sinks, &told)
    } else {
        webhook::tell(&sinks, &told)
    }
}

/// Too much at once, as most of them say it.
fn slow_down(seconds: u64, words: &str) -> Response {
    let after = [("retry-after", seconds.to_string())];
    (StatusCode::TOO_MANY_REQUESTS, after, words.to_owned()).into_response()
}

/// The text at a place, or an empty one.
fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// How long a text is, in letters.
fn length(value: &Value) -> usize {
    value.as_str().map_or(0, |text| text.chars().count())
}

#[cfg(test)]
mod tests;
