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
    // The clients' own words are for those who ask for them.
    let mut filter = Targets::new().with_targets([
        ("hyper_util", LevelFilter::WARN),
        ("kube_client", LevelFilter::WARN),
        ("kube_runtime", LevelFilter::ERROR),
        ("tower", LevelFilter::WARN),
    ]);
    let asked: Targets = log.parse()?;
    if let Some(level) = asked.default_level() {
        filter = filter.with_default(level);
    }
    filter = filter.with_targets(asked);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match format {
        LogFormat::Json => {
            fmt::layer().json().flatten_event(true).with_writer(writer).with_filter(filter).boxed()
        }
        LogFormat::Text => fmt::layer()
            .with_ansi(colours)
            .with_target(false)
            .with_writer(writer)
            .with_filter(filter)
            .boxed(),
    };
    let _first_counts = tracing_subscriber::registry().with(lines).try_init();
    Ok(())
}
