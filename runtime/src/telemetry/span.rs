//! Spans: what took how long, as OpenTelemetry has it. They are told when they end.

use std::time::SystemTime;

use jiff::Timestamp;

use super::otlp;
use super::protobuf::Message;
use crate::trace::{self, TraceContext};

/// What a span is to those on the other side of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Nobody is there.
    Internal = 1,
    /// A request is answered.
    Server = 2,
    /// A request is made.
    Client = 3,
    /// Something is begun that others end.
    Producer = 4,
}

/// Something that takes time. It is told when it is dropped, if its trace is told.
#[derive(Debug)]
pub struct Span {
    place: TraceContext,
    parent: Option<u64>,
    name: String,
    kind: Kind,
    start: u64,
    end: Option<u64>,
    attributes: Vec<(&'static str, Value)>,
    links: Vec<TraceContext>,
    failure: Option<String>,
}

/// The value of an attribute.
#[derive(Clone, Debug)]
pub enum Value {
    /// A text.
    Text(String),
    /// A whole number.
    Number(i64),
}

impl Span {
    /// The span of a request that came with this header, or with none; whether it is told is the
    /// sampler's to say. None where there is no trace: neither the sender's nor one of ours.
    pub fn server(name: &str, header: Option<&str>) -> Option<Span> {
        let parent = header.and_then(TraceContext::parse).filter(|_| otlp::propagates());
        if parent.is_none() && !otlp::tells_spans() {
            return None;
        }
        let mut place = parent.map_or_else(TraceContext::begin, TraceContext::below);
        place.sampled = otlp::samples(place.trace, parent);
        (parent.is_some() || place.sampled).then(|| Span::of(name, Kind::Server, place, parent))
    }

    /// The request proved nothing: what its sender says does not have it told, however it chose the
    /// ids; it is told as often as those that come without a trace.
    pub fn doubt(&mut self) {
        self.place.sampled &=
            self.parent.is_none() || otlp::samples(u128::from(self.place.span), None);
    }

    /// A span below the place that this task is in, if there is one.
    pub fn here(name: &str, kind: Kind) -> Option<Span> {
        trace::current().map(|parent| Span::below(name, kind, parent))
    }

    /// A span below another.
    pub fn below(name: &str, kind: Kind, parent: TraceContext) -> Span {
        Span::of(name, kind, parent.below(), Some(parent))
    }

    /// A span that begins a trace, if somebody is told of it.
    pub fn root(name: &str, kind: Kind) -> Option<Span> {
        let mut place = Some(TraceContext::begin()).filter(|_| otlp::tells_spans())?;
        place.sampled = otlp::samples(place.trace, None);
        place.sampled.then(|| Span::of(name, kind, place, None))
    }

    /// A span whose id is known to others.
    pub fn of(name: &str, kind: Kind, place: TraceContext, parent: Option<TraceContext>) -> Span {
        Span {
            place,
            parent: parent.map(|parent| parent.span),
            name: name.to_owned(),
            kind,
            start: nanoseconds(SystemTime::now()),
            end: None,
            attributes: Vec::new(),
            links: Vec::new(),
            failure: None,
        }
    }

    /// Where it is in its trace.
    pub fn place(&self) -> TraceContext {
        self.place
    }

    /// What it is called, once that is known.
    pub fn rename(&mut self, name: String) {
        self.name = name;
    }

    /// Says something of it, if somebody will hear of it.
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        if self.place.sampled {
            self.attributes.push((name, value.into()));
        }
    }

    /// Says which other span it has to do with.
    pub fn link(&mut self, place: TraceContext) {
        self.links.push(place);
    }

    /// Says that it failed.
    pub fn fail(&mut self, why: impl Into<String>) {
        self.failure = Some(why.into());
    }

    /// When it was, where that is not now.
    pub fn was(&mut self, start: Timestamp, end: Timestamp) {
        self.start = nanoseconds(start.into());
        self.end = Some(nanoseconds(end.into()).max(self.start));
    }

    pub(super) fn encode(&self, end: u64) -> Message {
        let mut span = Message::default();
        span.bytes(1, &self.place.trace.to_be_bytes());
        span.bytes(2, &self.place.span.to_be_bytes());
        if let Some(parent) = self.parent {
            span.bytes(4, &parent.to_be_bytes());
        }
        span.text(5, &self.name);
        span.number(6, self.kind as u64);
        span.fixed64(7, self.start);
        span.fixed64(8, end);
        for (name, value) in &self.attributes {
            span.message(9, &attribute(name, value));
        }
        for place in &self.links {
            let mut link = Message::default();
            link.bytes(1, &place.trace.to_be_bytes());
            link.bytes(2, &place.span.to_be_bytes());
            span.message(13, &link);
        }
        if let Some(failure) = &self.failure {
            let mut status = Message::default();
            status.text(2, failure);
            status.number(3, 2);
            span.message(15, &status);
        }
        span
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if self.place.sampled && otlp::tells_spans() {
            let end = self.end.unwrap_or_else(|| nanoseconds(SystemTime::now()));
            otlp::span(self.encode(end));
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Number(number)
    }
}

/// A `KeyValue`.
pub(super) fn attribute(name: &str, value: &Value) -> Message {
    let mut any = Message::default();
    match value {
        Value::Text(text) => any.text_even_empty(1, text),
        Value::Number(number) => any.number_even_zero(3, number.cast_unsigned()),
    }
    let mut pair = Message::default();
    pair.text(1, name);
    pair.message(2, &any);
    pair
}

/// Since 1970.
pub(super) fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
