//! What Lambda is invoked with that is no request: timers, and the messages of SQS, SNS and
//! EventBridge. Each becomes a request to the same router, with a [`Trigger`] that no client can send.
//!
//! A message is posted as a delivery: its body is the body, its attributes are headers, and the
//! attribute `path`, else `MESSAGE_PATH`, says where. So a webhook that was put into a queue with its
//! headers is proved as it would have been. An event of EventBridge is posted as it is, with its head
//! as the `ce-` headers of a CloudEvent, too. `Idempotency-Key` is the message's id, if it has no
//! other, so that one which is delivered twice is known again.
//!
//! | answer | what becomes of the message |
//! |---|---|
//! | 2xx | it is done |
//! | 400, 413, 415, 422 | it is done, too, since it would never be taken; the log says why |
//! | any other, or no time, or nothing says where it goes | it is delivered again: by `batchItemFailures` of SQS, else because the function fails |
//!
//! What is wrong with the settings, the project or its token can be mended, so that a message is not
//! lost for it: it goes to the queue's or the function's dead letter queue if nobody does.
//!
//! In a queue that keeps an order nothing overtakes what is to be delivered again.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>,
//! <https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html>,
//! <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-events-structure.html>

use aws_lambda_events::eventbridge::EventBridgeEvent;
use aws_lambda_events::sns::{SnsEvent, SnsRecord};
use aws_lambda_events::sqs::{SqsEvent, SqsMessage};
use axum::Router;
use axum::body::{Body, to_bytes};
use http::{HeaderName, HeaderValue, Request, StatusCode, header};
use jiff::Timestamp;
use lambda_http::lambda_runtime::{Context, Diagnostic};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};
use tokio::time::Instant;
use tracing::Instrument;

use super::{Deadline, SHAPES, answered, failed_with};
use crate::serve::{SWEEP, Trigger};
use crate::settings::LambdaSettings;

/// How much of an answer is looked at, in bytes.
const ANSWER: usize = 1024 * 1024;

/// What is wrong with a message itself, and will be.
const FOR_EVER: [StatusCode; 4] = [
    StatusCode::BAD_REQUEST,
    StatusCode::PAYLOAD_TOO_LARGE,
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    StatusCode::UNPROCESSABLE_ENTITY,
];

/// What a header of a CloudEvent cannot have in it as it is.
///
/// <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md#3132-http-header-values>
const CLOUD_EVENT: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// Attributes that cannot be a header of a message's request.
const NOT_HEADERS: [HeaderName; 5] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::HOST,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// What tells the kinds of invocations apart.
#[derive(Deserialize)]
struct Kind {
    #[serde(default)]
    sweep: bool,
    time: Option<Timestamp>,
    #[serde(rename = "Records")]
    records: Option<Vec<Record>>,
    #[serde(rename = "detail-type")]
    detail_type: Option<String>,
    source: Option<String>,
}

#[derive(Deserialize)]
struct Record {
    #[serde(rename = "eventSource", alias = "EventSource")]
    source: String,
}

/// A message, whoever brought it.
struct Message {
    id: String,
    /// Its own `path`.
    path: Option<String>,
    headers: Vec<(String, String)>,
    body: String,
}

/// What becomes of a message.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Outcome {
    Done,
    Again(String),
}

/// Delivers what an invocation brings.
pub(super) async fn deliver(
    router: Router,
    settings: &LambdaSettings,
    event: &RawValue,
    context: &Context,
    deadline: Deadline,
) -> Result<Box<RawValue>, Diagnostic> {
    let unknown = || {
        tracing::error!("an invocation is of no known shape");
        failed_with("Brigantine.UnknownEvent", SHAPES)
    };
    let unread = |error: serde_json::Error| {
        tracing::error!(%error, "an invocation cannot be read");
        failed_with("Brigantine.UnknownEvent", SHAPES)
    };
    let kind: Kind = serde_json::from_str(event.get()).map_err(|_unread| unknown())?;
    let post = Post { router, settings, context, deadline };
    let is_from = |source: &str| {
        let records = kind.records.as_deref().filter(|records| !records.is_empty());
        records.is_some_and(|records| records.iter().all(|record| record.source == source))
    };
    match (kind.source.as_deref(), kind.detail_type.as_deref()) {
        _ if kind.sweep => post.sweep(kind.time).await,
        (Some("aws.events"), Some("Scheduled Event")) => post.sweep(kind.time).await,
        _ if is_from("aws:sqs") => {
            let event: SqsEvent = serde_json::from_str(event.get()).map_err(unread)?;
            post.queue(event.records).await
        }
        _ if is_from("aws:sns") => {
            let event: SnsEvent = serde_json::from_str(event.get()).map_err(unread)?;
            let messages = event.records.into_iter().map(of_topic);
            post.all(messages.collect()).await
        }
        (Some(_), Some(_)) => {
            let read: EventBridgeEvent = serde_json::from_str(event.get()).map_err(unread)?;
            let id = read.id.unwrap_or_else(|| context.request_id.clone());
            let message =
                Message { id, path: None, headers: Vec::new(), body: event.get().to_owned() };
            post.all(vec![message]).await
        }
        _ => Err(unknown()),
    }
}

/// What posting a message needs.
struct Post<'a> {
    router: Router,
    settings: &'a LambdaSettings,
    context: &'a Context,
    deadline: Deadline,
}

impl Post<'_> {
    /// Has a timer sweep.
    async fn sweep(&self, time: Option<Timestamp>) -> Result<Box<RawValue>, Diagnostic> {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = http::Uri::from_static(SWEEP);
        request.extensions_mut().insert(Trigger::Schedule { time });
        let invocation = &self.context.request_id;
        let span = tracing::info_span!("invocation", faas.invocation_id = invocation);
        let answer = answered(self.router.clone(), request, self.context, self.deadline);
        let answer = answer.instrument(span).await;
        let status = answer.status();
        let body = to_bytes(answer.into_body(), ANSWER).await.unwrap_or_default();
        let told = String::from_utf8_lossy(&body);
        if !status.is_success() {
            let message = format!("the sweep was answered with {}: {told}", status.as_u16());
            return Err(failed_with("Brigantine.Sweep", &message));
        }
        match RawValue::from_string(told.clone().into_owned()) {
            Ok(json) => Ok(json),
            Err(_no_json) => written(&told),
        }
    }

    /// Posts the messages of a queue, and says which of them are to be delivered again.
    async fn queue(&self, messages: Vec<SqsMessage>) -> Result<Box<RawValue>, Diagnostic> {
        let keeps_order = |message: &SqsMessage| {
            message.event_source_arn.as_ref().is_some_and(|queue| queue.ends_with(".fifo"))
        };
        let (count, mut failed) = (messages.len(), Vec::new());
        let mut why = String::new();
        for message in messages {
            let id = message.message_id.clone().unwrap_or_default();
            let waits = keeps_order(&message) && !failed.is_empty();
            let outcome = match waits {
                true => Outcome::Again(why.clone()),
                false => self.one(of_queue(message)).await,
            };
            if let Outcome::Again(reason) = outcome {
                failed.push(json!({"itemIdentifier": id}));
                why = reason;
            }
        }
        // Said in this way it is understood with and without ReportBatchItemFailures.
        if failed.len() == count {
            return Err(failed_with("Brigantine.NotDelivered", &why));
        }
        written(&json!({"batchItemFailures": failed}))
    }

    /// Posts messages that are delivered again together.
    async fn all(&self, messages: Vec<Message>) -> Result<Box<RawValue>, Diagnostic> {
        for message in messages {
            if let Outcome::Again(reason) = self.one(message).await {
                return Err(failed_with("Brigantine.NotDelivered", &reason));
            }
        }
        written(&json!({"delivered": true}))
    }

    /// Posts one message.
    async fn one(&self, message: Message) -> Outcome {
        let span = tracing::info_span!(
            "message",
            faas.invocation_id = self.context.request_id,
            messaging.message.id = message.id,
        );
        self.post(message).instrument(span).await
    }

    async fn post(&self, message: Message) -> Outcome {
        if Instant::now() >= self.deadline.0 {
            return Outcome::Again("there was no time left for a message".to_owned());
        }
        let request = match request(message, self.settings) {
            Ok(request) => request,
            Err(reason) => {
                tracing::error!(reason, "a message cannot be posted");
                return Outcome::Again(format!("a message cannot be posted: {reason}"));
            }
        };
        let answer = answered(self.router.clone(), request, self.context, self.deadline).await;
        let status = answer.status();
        if status.is_success() {
            return Outcome::Done;
        }
        let code = status.as_u16();
        if FOR_EVER.contains(&status) {
            tracing::warn!(http.status = code, "a message was refused, and is not delivered again");
            return Outcome::Done;
        }
        tracing::warn!(http.status = code, "a message was not taken, and is delivered again");
        Outcome::Again(format!("a message was answered with {code}"))
    }
}

/// The request that a message is, unless nothing says where it goes.
fn request(message: Message, settings: &LambdaSettings) -> Result<Request<Body>, &'static str> {
    let path = message.path.as_deref();
    let path = path.or(settings.message_path.as_ref().map(ExposeSecret::expose_secret));
    let path = path.ok_or("it has no attribute `path`, and MESSAGE_PATH is not set")?;
    if !path.starts_with('/') {
        return Err("its path does not begin with a slash");
    }
    let head = Head::of(&message.body);
    let mut request = Request::post(path)
        .body(Body::from(message.body))
        .map_err(|_unread| "its path cannot be read")?;
    let headers = request.headers_mut();
    for (name, value) in message.headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        let name = name.map_err(|_unread| "the name of an attribute cannot be that of a header")?;
        let value = HeaderValue::try_from(value);
        let value = value.map_err(|_unread| "an attribute cannot be the value of a header")?;
        if !NOT_HEADERS.contains(&name) {
            headers.insert(name, value);
        }
    }
    let mut otherwise = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::try_from(value)
            && !headers.contains_key(&name)
        {
            headers.insert(name, value);
        }
    };
    otherwise(header::CONTENT_TYPE, "application/json");
    otherwise(HeaderName::from_static("idempotency-key"), &message.id);
    otherwise(HeaderName::from_static("x-request-id"), &message.id);
    for (name, value) in head.map(Head::headers).into_iter().flatten() {
        otherwise(name, &value);
    }
    request.extensions_mut().insert(Trigger::Message { id: message.id });
    Ok(request)
}

/// The head of an event of EventBridge.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Head {
    id: String,
    detail_type: String,
    source: String,
    time: Option<String>,
    #[serde(default)]
    resources: Vec<String>,
}

impl Head {
    fn of(body: &str) -> Option<Head> {
        serde_json::from_str(body).ok()
    }

    /// The same as a CloudEvent has it.
    fn headers(self) -> Vec<(HeaderName, String)> {
        let encoded = |text: &str| utf8_percent_encode(text, CLOUD_EVENT).to_string();
        let subject = self.resources.into_iter().next();
        let all = [
            ("ce-specversion", Some("1.0".to_owned())),
            ("ce-id", Some(encoded(&self.id))),
            ("ce-source", Some(encoded(&self.source))),
            ("ce-type", Some(encoded(&self.detail_type))),
            ("ce-time", self.time.as_deref().map(encoded)),
            ("ce-subject", subject.as_deref().map(encoded)),
        ];
        let said = all.into_iter().filter_map(|(name, value)| Some((name, value?)));
        said.map(|(name, value)| (HeaderName::from_static(name), value)).collect()
    }
}

fn of_queue(message: SqsMessage) -> Message {
    let texts = message.message_attributes.into_iter();
    let texts = texts.filter_map(|(name, attribute)| Some((name, attribute.string_value?)));
    Message {
        id: message.message_id.unwrap_or_default(),
        body: message.body.unwrap_or_default(),
        ..with_attributes(texts)
    }
}

fn of_topic(record: SnsRecord) -> Message {
    let texts = record.sns.message_attributes.into_iter();
    let texts = texts.filter(|(_, attribute)| attribute.data_type.starts_with("String"));
    let texts = texts.map(|(name, attribute)| (name, attribute.value));
    Message { id: record.sns.message_id, body: record.sns.message, ..with_attributes(texts) }
}

fn with_attributes(attributes: impl Iterator<Item = (String, String)>) -> Message {
    let (paths, headers): (Vec<_>, Vec<_>) =
        attributes.partition(|(name, _)| name.eq_ignore_ascii_case("path"));
    let path = paths.into_iter().next().map(|(_, path)| path);
    Message { id: String::new(), path, headers, body: String::new() }
}

fn written(value: &impl serde::Serialize) -> Result<Box<RawValue>, Diagnostic> {
    to_raw_value(value).map_err(|error| failed_with("Brigantine.Answer", &error.to_string()))
}
