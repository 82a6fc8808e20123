//! The lines of the log: a JSON object each, with what is said of the spans around it; and the same as
//! a record for the collector, if one is told.
//!
//! `time`, `level` and `message` come first; the fields of the event and of its spans follow, under
//! their own dotted names. What is nearer counts where a name is said twice.

use std::fmt;
use std::io::Write as _;
use std::time::SystemTime;

use jiff::Timestamp;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::otlp;
use super::protobuf::Message;
use super::span::{Value as Attribute, attribute, nanoseconds};

/// The fields that name a span of a trace.
const TRACE: &str = "trace_id";
const SPAN: &str = "span_id";

/// Writes lines, if there is somewhere to write them, and records.
pub(super) struct Lines<W> {
    pub(super) writer: Option<W>,
}

/// The fields of a span.
struct Fields(Map<String, Value>);

impl<S, W> Layer<S> for Lines<W>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'writer> MakeWriter<'writer> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields(Map::new());
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields(Map::new());
        event.record(&mut fields);
        let Fields(mut fields) = fields;
        let message = match fields.remove("message") {
            Some(Value::String(message)) => message,
            Some(other) => other.to_string(),
            None => String::new(),
        };
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(Fields(of_span)) = span.extensions().get() {
                for (name, value) in of_span {
                    if !fields.contains_key(name) {
                        fields.insert(name.clone(), value.clone());
                    }
                }
            }
        }
        let metadata = event.metadata();
        let now = SystemTime::now();
        if let Some(writer) = &self.writer {
            let line = line(now, *metadata.level(), metadata.target(), &message, &fields);
            // At once, so that the lines of threads stay whole.
            let _nobody_reads = writer.make_writer_for(metadata).write_all(&line);
        }
        if otlp::tells_records() && metadata.target() != otlp::TARGET {
            otlp::record(record(now, *metadata.level(), metadata.target(), &message, fields));
        }
    }
}

fn line(
    now: SystemTime,
    level: Level,
    target: &str,
    message: &str,
    fields: &Map<String, Value>,
) -> Vec<u8> {
    let time = Timestamp::try_from(now).unwrap_or_default();
    let mut line = format!(r#"{{"time":"{time:.6}","level":"{level}","message":"#).into_bytes();
    append(&mut line, message);
    line.extend(br#","target":"#);
    append(&mut line, target);
    for (name, value) in fields {
        if !matches!(name.as_str(), "time" | "level" | "target") {
            line.push(b',');
            append(&mut line, name);
            line.push(b':');
            append(&mut line, value);
        }
    }
    line.extend(b"}\n");
    line
}

fn append(line: &mut Vec<u8>, value: &(impl serde::Serialize + ?Sized)) {
    serde_json::to_writer(line, value).expect("texts and numbers are JSON");
}

/// A `LogRecord`.
fn record(
    now: SystemTime,
    level: Level,
    target: &str,
    message: &str,
    fields: Map<String, Value>,
) -> Message {
    let severity = match level {
        Level::TRACE => 1,
        Level::DEBUG => 5,
        Level::INFO => 9,
        Level::WARN => 13,
        Level::ERROR => 17,
    };
    let id = |name: &str| hex::decode(fields.get(name)?.as_str()?).ok();
    let ids = (id(TRACE), id(SPAN));
    let mut body = Message::default();
    body.text_even_empty(1, message);
    let mut record = Message::default();
    record.fixed64(1, nanoseconds(now));
    record.number(2, severity);
    record.text(3, level.as_str());
    record.message(5, &body);
    record.message(6, &attribute("code.namespace", &target.into()));
    for (name, value) in fields {
        let value = match value {
            Value::String(text) => Attribute::Text(text),
            Value::Number(number) if let Some(number) = number.as_i64() => {
                Attribute::Number(number)
            }
            other => Attribute::Text(other.to_string()),
        };
        if name != TRACE && name != SPAN {
            record.message(6, &attribute(&name, &value));
        }
    }
    if let (Some(trace), Some(span)) = ids {
        record.bytes(9, &trace);
        record.bytes(10, &span);
    }
    record.fixed64(11, nanoseconds(now));
    record
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}
