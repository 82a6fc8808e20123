//! What the program says of itself: its log.

use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt};

use crate::settings::LogFormat;

/// Starts the log. `log` is a level, or levels by target: `info,functions=debug`.
///
/// Called twice, the first call counts.
pub fn init<W>(log: &str, format: LogFormat, colours: bool, writer: W) -> Result<(), ParseError>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let lines = lines(log, format, colours, writer)?;
    let _first_counts = tracing_subscriber::registry().with(lines).try_init();
    Ok(())
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
        LogFormat::Json => fmt::layer()
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .with_writer(writer)
            .with_filter(filter)
            .boxed(),
        LogFormat::Text => fmt::layer()
            .with_ansi(colours)
            .with_target(false)
            .with_writer(writer)
            .with_filter(filter)
            .boxed(),
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
        assert_eq!(line["span"]["request.id"], "r1");
        assert!(line.get("spans").is_none(), "{line}");
    }

    #[test]
    fn the_client_of_kubernetes_is_heard_only_by_those_who_ask() {
        let fails = || tracing::error!(target: "kube_client::client::builder", "failed");
        assert_eq!(written("debug", fails), "");
        assert!(written("info,kube_client=debug", fails).contains("failed"));
    }
}
