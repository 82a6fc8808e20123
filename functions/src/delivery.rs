//! What is done for every request, whatever it is: it gets an id, and one line in the log.
//!
//! The line names the route, never the path or the query, because those may hold tokens.

use std::cell::RefCell;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use runtime::serve::{Deadline, FrontRequest, Invocation};
use runtime::telemetry::{self, Span, metrics};
use runtime::trace::{self, TraceContext};
use tokio::time::Instant;
use tracing::Instrument;
use ulid::Ulid;

use crate::rejection::Rejection;

/// The header that names a request, in both directions.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The header by which GitHub's own page names it.
const GITHUB_DELIVERY: HeaderName = HeaderName::from_static("x-github-delivery");

/// What the log says of a request, besides its route and its status.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    /// `made`, `duplicate`, `ignored`, `refused` or `failed`.
    pub(crate) outcome: &'static str,
    /// The id of the build.
    pub(crate) build: Option<String>,
    /// How many jobs it had at the answer.
    pub(crate) jobs: usize,
    /// What the sender was told.
    pub(crate) reason: String,
    /// What the sender was not told.
    pub(crate) error: Option<String>,
    /// Whether nothing proved who the sender is.
    pub(crate) unproved: bool,
}

/// The name of the function that answered, among the extensions of the response.
#[derive(Clone, Copy)]
pub(crate) struct Answered(pub(crate) &'static str);

/// How long an answer may wait until its spans are told, where the host stops this process after it.
///
/// Tests may be slow.
const TELLING: Duration = Duration::from_millis(if cfg!(test) { 60_000 } else { 500 });

tokio::task_local! {
    /// What the request that this task answers is about.
    static ABOUT: RefCell<About>;
}

#[derive(Default)]
struct About {
    project: String,
    event: String,
    /// When the host gives the request up.
    deadline: Option<Instant>,
}

/// When the host gives up the request that this task answers, if it does.
pub(crate) fn deadline() -> Option<Instant> {
    ABOUT.try_with(|about| about.borrow().deadline).ok().flatten()
}

/// Notes, for the line in the log, which project this request is about.
pub(crate) fn about_project(name: &str) {
    note(|about| name.clone_into(&mut about.project));
}

/// Notes, for the line in the log, which event this request is about.
pub(crate) fn about_event(kind: &str) {
    note(|about| kind.clone_into(&mut about.event));
}

/// Answers a request, and logs what became of it.
pub(crate) async fn record(request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let route = route.as_deref().unwrap_or("none");
    let mut traced = Span::server("", traceparent(request.headers()));
    let place = traced.as_ref().map(Span::place);
    let invocation = request.extensions().get::<Invocation>().map(|Invocation(id)| id.as_str());
    let front = request.extensions().get::<FrontRequest>().map(|FrontRequest(id)| id.as_str());
    let span = tracing::info_span!(
        "delivery",
        faas.invocation_id = invocation,
        front.request_id = front,
        request.id = id.to_str().unwrap_or_default(),
        http.method = %request.method(),
        http.route = route,
        trace_id = place.map(TraceContext::trace_id),
        span_id = place.map(TraceContext::span_id),
    );
    if let Some(traced) = &mut traced {
        let method = method(request.method().as_str());
        traced.rename(format!("{} {route}", method.unwrap_or("HTTP")));
        traced.set("http.request.method", method.unwrap_or("_OTHER"));
        traced.set("http.route", route);
        traced.set("url.scheme", request.uri().scheme_str().unwrap_or("http"));
    }
    let begun = Instant::now();
    let deadline = request.extensions().get::<Deadline>().map(|deadline| deadline.0);
    let answer = async {
        let mut proved = false;
        let answered = AssertUnwindSafe(next.run(request)).catch_unwind().await;
        let mut response = answered.unwrap_or_else(|_panic| Rejection::Broken.into_response());
        let status = response.status().as_u16();
        if let Some(record) = response.extensions_mut().remove::<Record>() {
            ABOUT.with(|about| log(&record, &about.borrow(), status, begun));
            let answered = response.extensions_mut().remove::<Answered>();
            let function = answered.map_or("none", |Answered(name)| name);
            proved = record.build.is_some()
                || matches!(record.outcome, "made" | "duplicate" | "ignored");
            let outcome = if record.error.is_some() { "failed" } else { record.outcome };
            metrics::delivered(function, outcome, record.unproved, begun.elapsed());
            if let Some(traced) = &mut traced {
                ABOUT.with(|about| tell(traced, &record, &about.borrow(), function));
            }
        }
        if let Some(mut traced) = traced {
            traced.set("http.response.status_code", i64::from(status));
            if status >= 500 {
                traced.fail("");
            }
            if !proved {
                traced.doubt();
            }
        }
        // Traced or not, it may have been logged.
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        telemetry::flush_before_answer(left.map_or(TELLING, |left| TELLING.min(left / 2))).await;
        let headers = response.headers_mut();
        headers.insert(REQUEST_ID, id);
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    };
    let about = About { deadline, ..About::default() };
    trace::within(place, ABOUT.scope(RefCell::new(about), answer)).instrument(span).await
}

/// The trace that the sender says the request is a part of; a CloudEvent may say it of itself.
fn traceparent(headers: &HeaderMap) -> Option<&str> {
    ["traceparent", "ce-traceparent"].into_iter().find_map(|name| headers.get(name)?.to_str().ok())
}

/// The method, if it is one that there is, so that there are no more names of spans than routes and
/// methods.
fn method(method: &str) -> Option<&str> {
    let known = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];
    known.contains(&method).then_some(method)
}

/// Says of a span what the log says.
fn tell(traced: &mut Span, record: &Record, about: &About, function: &'static str) {
    traced.set("faas.name", function);
    traced.set("brigantine.outcome", record.outcome);
    if !about.event.is_empty() {
        traced.set("brigantine.event", about.event.as_str());
    }
    if !about.project.is_empty() {
        traced.set("cicd.pipeline.name", about.project.as_str());
    }
    if let Some(build) = &record.build {
        traced.set("cicd.pipeline.run.id", build.as_str());
    }
}

fn note(note: impl FnOnce(&mut About)) {
    let _outside_of_requests = ABOUT.try_with(|about| note(&mut about.borrow_mut()));
}

fn log(record: &Record, about: &About, status: u16, begun: Instant) {
    let build = record.build.as_deref().unwrap_or_default();
    let milliseconds = begun.elapsed().as_millis() as u64;
    if let Some(error) = &record.error {
        tracing::error!(
            outcome = "failed",
            build.id = build,
            project.name = about.project,
            event.kind = about.event,
            http.status = status,
            duration.ms = milliseconds,
            reason = record.reason,
            error,
            "a delivery failed"
        );
        return;
    }
    let message = match record.outcome {
        "made" => "a delivery made a build",
        "duplicate" => "a delivery was made before",
        "ignored" => "a delivery was ignored",
        _ => "a delivery was refused",
    };
    tracing::info!(
        outcome = record.outcome,
        build.id = build,
        project.name = about.project,
        event.kind = about.event,
        jobs = record.jobs,
        http.status = status,
        duration.ms = milliseconds,
        reason = record.reason,
        "{message}"
    );
}

/// The sender's id of the request, if it is one that a log can bear, else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let fits = |id: &&HeaderValue| {
        let bytes = id.as_bytes();
        let word = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        (1..=128).contains(&bytes.len()) && bytes.iter().all(word)
    };
    let given = [REQUEST_ID, GITHUB_DELIVERY];
    match given.iter().find_map(|name| headers.get(name).filter(fits)) {
        Some(id) => id.clone(),
        None => HeaderValue::try_from(Ulid::generate().to_string())
            .expect("a ULID is letters and digits"),
    }
}
