//! AWS Lambda: requests that come as JSON from what stands in front of it, one at a time.
//!
//! `lambda_http` brings the loop that fetches invocations and posts what became of them. The way from
//! an event to a request is our own, in [`event`], since that crate's own
//!
//! - has the path with the stage before it, unless the environment says otherwise;
//! - ends with a panic where the path, the `Host` or the base64 of a body is not what it should be;
//! - keeps only the last of several headers of one name of a REST API;
//! - resolves `..` in paths, which no other host does.
//!
//! What else Lambda is invoked with, timers and messages, becomes requests in [`messages`].
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Body;
use http::Request;
use lambda_http::lambda_runtime::tower::layer::layer_fn;
use lambda_http::lambda_runtime::{Context, Diagnostic, LambdaEvent, Runtime, Service};
use lambda_http::service_fn;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tower::ServiceExt;
use tracing::Instrument;

use super::{Deadline, FrontRequest, Invocation};
use crate::settings::LambdaSettings;
use answer::Answer;
use event::Front;

mod answer;
mod event;
mod failure;
mod messages;
#[cfg(test)]
mod tests;

pub(super) use failure::failed;

/// How long before Lambda ends the program a request is to be answered, if there is so much time.
const MARGIN: Duration = Duration::from_millis(500);

/// How much of that is left for a router that keeps no deadline.
const LAST: Duration = Duration::from_millis(100);

/// The shapes that are understood, for whoever invokes the function with another.
const SHAPES: &str = "this function takes requests of a function URL, an API Gateway (REST or HTTP, \
    not WebSocket) or a load balancer, events of EventBridge, messages of SQS and SNS, and \
    {\"sweep\": true}; this event is none of them";

/// Serves invocations until `shutdown` ends, and then until the one that has begun is answered.
pub(super) async fn serve(
    router: Router,
    settings: &LambdaSettings,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let settings = Arc::new(settings.clone());
    let handler = service_fn(move |event: LambdaEvent<Box<RawValue>>| {
        let (router, settings) = (router.clone(), Arc::clone(&settings));
        async move { invoked(router, &settings, &event.payload, &event.context).await }
    });
    // Held while an invocation has begun and what became of it was not yet posted.
    let busy = Arc::new(Mutex::new(()));
    let begun = Arc::clone(&busy);
    let layer = layer_fn(move |mut inner| {
        let busy = Arc::clone(&begun);
        service_fn(move |invocation| {
            let busy = Arc::clone(&busy);
            let posted = call(&mut inner, invocation);
            async move {
                let _busy = busy.lock().await;
                posted.await
            }
        })
    });
    let ended = async {
        shutdown.await;
        drop(busy.lock().await);
    };
    tracing::info!("serving AWS Lambda");
    tokio::select! {
        ended = Runtime::new(handler).layer(layer).run() => ended.map_err(io::Error::other),
        () = ended => Ok(()),
    }
}

/// What names the invocation's type, which a closure cannot.
fn call<S>(service: &mut S, invocation: lambda_http::lambda_runtime::LambdaInvocation) -> S::Future
where
    S: Service<lambda_http::lambda_runtime::LambdaInvocation>,
{
    service.call(invocation)
}

/// What every event is looked at for first.
#[derive(Deserialize)]
struct Shape {
    #[serde(rename = "requestContext")]
    request_context: Option<event::Context>,
    #[serde(rename = "httpMethod")]
    http_method: Option<serde::de::IgnoredAny>,
    #[serde(rename = "multiValueHeaders")]
    multi_value_headers: Option<serde::de::IgnoredAny>,
}

/// Answers one invocation. An error is a failure of the function, which Lambda tells of and whoever
/// does not wait for an answer invokes again.
async fn invoked(
    router: Router,
    settings: &LambdaSettings,
    event: &RawValue,
    context: &Context,
) -> Result<Box<RawValue>, Diagnostic> {
    let deadline = deadline(context.deadline(), SystemTime::now());
    let shape: Option<Shape> = serde_json::from_str(event.get()).ok();
    let front = shape.as_ref().and_then(|shape| {
        let (http, multi) = (shape.http_method.is_some(), shape.multi_value_headers.is_some());
        Front::of(shape.request_context.as_ref()?, http, multi)
    });
    let Some(front) = front else {
        return messages::deliver(router, settings, event, context, deadline).await;
    };
    let front_id = shape.and_then(|shape| shape.request_context?.request_id);
    let span = tracing::info_span!(
        "invocation",
        faas.invocation_id = context.request_id,
        front.request_id = front_id.as_deref(),
    );
    let answer = async {
        match event::request(front, event.get()) {
            Ok(request) => {
                let mut request = request.map(Body::from);
                if let Some(id) = front_id {
                    request.extensions_mut().insert(FrontRequest(id));
                }
                let answer = answered(router, request, context, deadline).await;
                Answer::of(front, answer).await
            }
            Err(refused) => {
                tracing::warn!(
                    http.status = refused.status.as_u16(),
                    reason = refused.reason,
                    "a request was refused"
                );
                Answer::refusal(refused.status, refused.reason)
            }
        }
    };
    let answer = answer.instrument(span).await;
    answer.write(front).map_err(|error| failed_with("Brigantine.Answer", &error.to_string()))
}

/// The router's answer to a request, or one in its place if it takes too long.
async fn answered(
    router: Router,
    mut request: Request<Body>,
    context: &Context,
    deadline: Deadline,
) -> axum::response::Response {
    request.extensions_mut().insert(deadline);
    request.extensions_mut().insert(Invocation(context.request_id.clone()));
    if let Some(parent) = context.xray_trace_id.as_deref().and_then(event::traceparent)
        && !request.headers().contains_key("traceparent")
    {
        request.headers_mut().insert("traceparent", parent);
    }
    let late = deadline.0 + (MARGIN - LAST);
    match tokio::time::timeout_at(late, router.oneshot(request)).await {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        Err(_elapsed) => {
            tracing::error!(
                "a request was not answered before Lambda would have ended the program"
            );
            answer::late()
        }
    }
}

/// When a request must be answered that Lambda gives up at `end`.
fn deadline(end: SystemTime, now: SystemTime) -> Deadline {
    let left = end.duration_since(now).unwrap_or_default();
    Deadline(Instant::now() + left.saturating_sub(MARGIN).max(left / 2))
}

/// A failure of the function, by a name and what Lambda shows of it.
fn failed_with(kind: &str, message: &str) -> Diagnostic {
    Diagnostic { error_type: kind.to_owned(), error_message: message.to_owned() }
}
