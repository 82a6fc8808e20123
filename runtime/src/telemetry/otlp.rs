//! Tells spans and log records to a collector by OTLP over HTTP, as protobuf.
//!
//! Nothing is made of it before the first span ends, and nothing is done for it before somebody asks
//! for [`flush`] or, on hosts that live on, before a few seconds have passed. What cannot be told is
//! kept within bounds, tried again after a while, and complained of once a minute.
//!
//! <https://opentelemetry.io/docs/specs/otlp/#otlphttp>

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use http::header::CONTENT_TYPE;
use reqwest::Client;
use reqwest::redirect::Policy;
use secrecy::ExposeSecret;
use tokio::time::Instant;

use super::protobuf::Message;
use super::span::{Value, attribute};
use crate::settings::{OtlpSettings, Sampler};
use crate::trace::TraceContext;

#[cfg(test)]
mod tests;

/// How many spans, and how many records, are kept that were not told yet.
const MOST: usize = 2048;

/// How long a collector is left alone that could not be told.
const PAUSE: Duration = Duration::from_secs(60);

/// The one of this process.
static EXPORTER: OnceLock<Exporter> = OnceLock::new();

struct Exporter {
    settings: OtlpSettings,
    /// Whether the host may stop the process whenever no request is answered.
    freezes: bool,
    /// Spans, and log records.
    queues: [Mutex<Vec<Message>>; 2],
    /// How many there was no room for, since that was said.
    dropped: AtomicUsize,
    client: OnceLock<Option<Client>>,
    /// Until when nobody is asked, because that failed.
    paused: Mutex<Option<Instant>>,
    is_scheduled: AtomicBool,
    telling: tokio::sync::Mutex<()>,
}

/// What goes where: the index of its queue.
const SPANS: usize = 0;
const RECORDS: usize = 1;

/// From now on the collector of the settings is told. The first call counts.
pub(super) fn begin(settings: &OtlpSettings, freezes: bool) {
    let _first_counts = EXPORTER.set(Exporter::new(settings.clone(), freezes));
}

/// Whether a collector is told of spans.
pub(super) fn tells_spans() -> bool {
    EXPORTER.get().is_some_and(|exporter| exporter.settings.traces.is_some())
}

/// Whether a collector is told what is logged.
pub(super) fn tells_records() -> bool {
    EXPORTER.get().is_some_and(|exporter| exporter.settings.logs.is_some())
}

/// Whether traces that others have begun go on here.
pub(super) fn propagates() -> bool {
    EXPORTER.get().is_none_or(|exporter| exporter.settings.propagates)
}

/// Whether the spans of a trace are told.
pub(super) fn samples(trace: u128, parent: Option<TraceContext>) -> bool {
    let Some(exporter) = EXPORTER.get().filter(|_| tells_spans()) else { return false };
    exporter.settings.sampler.samples(trace, parent)
}

/// A span has ended.
pub(super) fn span(span: Message) {
    if let Some(exporter) = EXPORTER.get() {
        exporter.push(SPANS, span);
    }
}

/// Something was logged.
pub(super) fn record(record: Message) {
    if let Some(exporter) = EXPORTER.get() {
        exporter.push(RECORDS, record);
    }
}

/// Tells what has ended by now, within this time.
pub async fn flush(budget: Duration) {
    if let Some(exporter) = EXPORTER.get() {
        exporter.flush(budget).await;
    }
}

/// The same where the host may stop the process once a request is answered; elsewhere it is done
/// later, beside other requests.
pub async fn flush_before_answer(budget: Duration) {
    if let Some(exporter) = EXPORTER.get().filter(|exporter| exporter.freezes) {
        exporter.flush(budget).await;
    }
}

impl Sampler {
    fn samples(&self, trace: u128, parent: Option<TraceContext>) -> bool {
        // As the SDKs do: the lower half of the id below a share of all that there are.
        let within = |share: f64| (trace as u64 >> 1) < (share * (1u64 << 63) as f64) as u64;
        match *self {
            Sampler::Always => true,
            Sampler::Never => false,
            Sampler::Share(share) => within(share),
            Sampler::Parent(share) => match parent {
                Some(parent) => parent.sampled,
                None => within(share),
            },
        }
    }
}

impl Exporter {
    fn new(settings: OtlpSettings, freezes: bool) -> Exporter {
        Exporter {
            settings,
            freezes,
            queues: Default::default(),
            dropped: AtomicUsize::new(0),
            client: OnceLock::new(),
            paused: Mutex::default(),
            is_scheduled: AtomicBool::new(false),
            telling: tokio::sync::Mutex::default(),
        }
    }

    fn push(&'static self, which: usize, message: Message) {
        {
            let mut queue = self.queue(which);
            if queue.len() >= MOST {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                return;
            }
            queue.push(message);
        }
        if self.freezes || self.is_scheduled.swap(true, Ordering::Relaxed) {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            self.is_scheduled.store(false, Ordering::Relaxed);
            return;
        };
        runtime.spawn(async move {
            #[expect(clippy::disallowed_methods, reason = "what else ends by then goes with it")]
            tokio::time::sleep(self.settings.delay).await;
            self.is_scheduled.store(false, Ordering::Relaxed);
            self.flush(self.settings.timeout).await;
        });
    }

    fn queue(&self, which: usize) -> std::sync::MutexGuard<'_, Vec<Message>> {
        self.queues[which].lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn flush(&self, budget: Duration) {
        let until = Instant::now() + budget.min(self.settings.timeout);
        if self.queue(SPANS).is_empty() && self.queue(RECORDS).is_empty() {
            return;
        }
        let Ok(_alone) = tokio::time::timeout_at(until, self.telling.lock()).await else { return };
        let addresses = [&self.settings.traces, &self.settings.logs];
        for (which, address) in addresses.into_iter().enumerate() {
            let Some(address) = address else { continue };
            if self.is_paused() {
                return;
            }
            let batch = std::mem::take(&mut *self.queue(which));
            if batch.is_empty() {
                continue;
            }
            let body = self.body(&batch);
            // Dropped in the middle, a batch is lost: it is not told twice.
            let told = tokio::time::timeout_at(until, self.post(address, body)).await;
            let (words, helps) = match told {
                Ok(Ok(())) => continue,
                Ok(Err(failure)) => failure,
                Err(_elapsed) => ("it did not answer in time".to_owned(), true),
            };
            let pause = Instant::now() + PAUSE;
            *self.paused.lock().unwrap_or_else(PoisonError::into_inner) = Some(pause);
            let dropped = self.dropped.swap(0, Ordering::Relaxed);
            let what = if which == SPANS { "spans" } else { "records" };
            tracing::warn!(
                target: TARGET,
                count = batch.len(),
                dropped,
                error = words,
                "the collector was not told of {what}"
            );
            if helps {
                let mut queue = self.queue(which);
                let newer = std::mem::replace(&mut *queue, batch);
                let room = MOST.saturating_sub(queue.len());
                self.dropped.fetch_add(newer.len().saturating_sub(room), Ordering::Relaxed);
                queue.extend(newer.into_iter().take(room));
            }
        }
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            tracing::warn!(target: TARGET, dropped, "there was no room for all that ended");
        }
    }

    fn is_paused(&self) -> bool {
        let paused = self.paused.lock().unwrap_or_else(PoisonError::into_inner);
        paused.is_some_and(|until| Instant::now() < until)
    }

    /// Why not, and whether trying again may help. Neither the address nor what was sent is said.
    async fn post(&self, address: &str, body: Vec<u8>) -> Result<(), (String, bool)> {
        let client = self.client.get_or_init(|| {
            let _installed = rustls::crypto::ring::default_provider().install_default();
            Client::builder().redirect(Policy::none()).build().ok()
        });
        let client = client.as_ref().ok_or(("there is no client for it".to_owned(), false))?;
        let mut request =
            client.post(address).header(CONTENT_TYPE, "application/x-protobuf").body(body);
        for (name, value) in &self.settings.headers {
            request = request.header(name, value.expose_secret());
        }
        let answer = request.send().await.map_err(|error| {
            let words =
                if error.is_connect() { "it cannot be reached" } else { "it does not answer" };
            (words.to_owned(), true)
        })?;
        match answer.status().as_u16() {
            200..=299 => Ok(()),
            status => {
                let helps = matches!(status, 429 | 502 | 503 | 504);
                Err((format!("it answered {status}"), helps))
            }
        }
    }

    /// An `ExportTraceServiceRequest`, or an `ExportLogsServiceRequest`: their fields are numbered
    /// alike.
    fn body(&self, batch: &[Message]) -> Vec<u8> {
        let mut resource = Message::default();
        for (name, value) in &self.settings.resource {
            resource.message(1, &attribute(name, &Value::Text(value.clone())));
        }
        let mut scope = Message::default();
        scope.text(1, "brigantine");
        scope.text(2, crate::version());
        let mut scoped = Message::default();
        scoped.message(1, &scope);
        for message in batch {
            scoped.message(2, message);
        }
        let mut all = Message::default();
        all.message(1, &resource);
        all.message(2, &scoped);
        let mut request = Message::default();
        request.message(1, &all);
        request.into_bytes()
    }
}

/// What is logged here is not told to the collector in turn.
pub(super) const TARGET: &str = "runtime::telemetry::otlp";
