//! What the program says of itself: its log.

use std::io::Stderr;
use std::panic::PanicHookInfo;

use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt};

use crate::settings::{LogFormat, TelemetrySettings};

pub use otlp::{flush, flush_before_answer};
pub use span::{Kind, Span};

mod lines;
pub mod metrics;
mod otlp;
mod protobuf;
mod span;

use lines::Lines;

/// A host, as far as it matters to what a program says of itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Life {
    /// The process lives on between requests.
    Long,
    /// The host may stop it once a request is answered.
    Frozen,
    /// The same on AWS Lambda, which takes metrics from the log.
    Lambda,
}

/// Begins to tell the collector of the settings, if there is one, and to write metrics where the host
/// takes them so. To be called before [`init`].
pub fn begin(settings: &TelemetrySettings, life: Life) {
    if let Some(otlp) = &settings.otlp {
        otlp::begin(otlp, life != Life::Long);
    }
    if settings.emf && life == Life::Lambda {
        metrics::embed();
    }
}

/// Warns of the settings that were not understood. To be called after [`init`].
pub fn complain(settings: &TelemetrySettings) {
    for problem in &settings.problems {
        tracing::warn!(error = problem, "a setting of telemetry is done without");
    }
}

/// Starts the log. `log` is a level, or levels by target: `info,functions=debug`.
///
/// Called twice, the first call counts.
pub fn init<W>(log: &str, format: LogFormat, colours: bool, writer: W) -> Result<(), ParseError>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let lines = lines(log, format, colours, writer)?;
    let started = tracing_subscriber::registry().with(lines).try_init();
    if started.is_ok() && format == LogFormat::Json {
        std::panic::set_hook(Box::new(panicked));
    }
    Ok(())
}

/// A panic is a line like any other.
fn panicked(panic: &PanicHookInfo<'_>) {
    let said = panic.payload_as_str().unwrap_or("it does not say why");
    let said: String = said.chars().take(1000).collect();
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(panic.message = said, panic.location = place, "a defect: the program panicked");
}

fn lines<W>(
    log: &str,
    format: LogFormat,
    colours: bool,
    writer: W,
) -> Result<Box<dyn Layer<Registry> + Send + Sync>, ParseError>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    // The clients' own words are for those who ask for them. That of Kubernetes calls every attempt
    // that fails an error; what comes of all attempts together is said where it is known.
    let mut filter = Targets::new().with_targets([
        ("hyper_util", LevelFilter::WARN),
        ("kube_client", LevelFilter::OFF),
        ("kube_runtime", LevelFilter::ERROR),
        // It traces events as they are, with what proves them.
        ("lambda_runtime", LevelFilter::WARN),
        ("tower", LevelFilter::WARN),
    ]);
    let asked: Targets = log.parse()?;
    if let Some(level) = asked.default_level() {
        filter = filter.with_default(level);
    }
    filter = filter.with_targets(asked);
    Ok(match format {
        LogFormat::Json => Lines { writer: Some(writer) }.with_filter(filter).boxed(),
        LogFormat::Text => {
            let text = fmt::layer().with_ansi(colours).with_target(false).with_writer(writer);
            let records: Lines<fn() -> Stderr> = Lines { writer: None };
            let records = otlp::tells_records().then_some(records);
            text.and_then(records).with_filter(filter).boxed()
        }
    })
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is written while `act` logs.
    fn written(log: &str, act: impl FnOnce()) -> String {
        let written = Written::default();
        let writer = written.clone();
        let lines = lines(log, LogFormat::Json, false, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), act);
        String::from_utf8(written.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_line_of_json_is_flat_and_says_its_span_once() {
        let line = written("info", || {
            let span = tracing::info_span!("delivery", request.id = "r1");
            span.in_scope(|| tracing::info!(build.id = "b1", "made"));
        });
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&line["message"], &line["build.id"]), (&"made".into(), &"b1".into()));
        assert_eq!((&line["request.id"], &line["level"]), (&"r1".into(), &"INFO".into()));
        assert!(line["time"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{line}");
    }

    #[test]
    fn what_is_nearer_counts_and_every_line_is_json() {
        let line = written("info", || {
            let span = tracing::info_span!("outer", place = "outer", quote = "a\"\n");
            let _outer = span.enter();
            tracing::info!(
                place = "inner",
                count = 3,
                share = f64::NAN,
                time = "never",
                "said\u{1}"
            );
        });
        assert_eq!(line.lines().count(), 1);
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&line["place"], &line["quote"]), (&"inner".into(), &"a\"\n".into()));
        assert_eq!((&line["count"], &line["share"]), (&3.into(), &serde_json::Value::Null));
        assert_eq!(line["message"], "said\u{1}");
        assert_ne!(line["time"], "never");
    }

    #[test]
    fn the_client_of_kubernetes_is_heard_only_by_those_who_ask() {
        let fails = || tracing::error!(target: "kube_client::client::builder", "failed");
        assert_eq!(written("debug", fails), "");
        assert!(written("info,kube_client=debug", fails).contains("failed"));
    }
}
