//! What the program counts: for Prometheus, and on AWS Lambda a line for each invocation.
//!
//! No label has a value that a sender chooses, so that there are never more series than functions,
//! outcomes, verbs, resources and codes.

use std::io::Write as _;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};

mod process;

/// What `/metrics` is served as.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// In seconds; GitHub gives up after ten.
const BUCKETS: [f64; 13] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

/// Whether each delivery is a line on standard output.
static EMBEDDED: AtomicBool = AtomicBool::new(false);

struct Metrics {
    registry: Registry,
    deliveries: Family<Delivery, Counter>,
    durations: Family<Function, Histogram, fn() -> Histogram>,
    signatures: Family<Function, Counter>,
    builds: Told,
    jobs: Told,
    requests: Family<Request, Counter>,
    request_durations: Family<Verb, Histogram, fn() -> Histogram>,
    asked: Told,
    retries: Told,
}

/// A counter, and how much of it the lines have told.
#[derive(Default)]
struct Told {
    counter: Counter,
    told: AtomicU64,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Delivery {
    function: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Function {
    function: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Request {
    verb: &'static str,
    resource: &'static str,
    code: u32,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Verb {
    verb: &'static str,
}

/// From now on each delivery is a line on standard output, too, as CloudWatch takes it.
pub(super) fn embed() {
    EMBEDDED.store(true, Ordering::Relaxed);
}

/// A request was answered by a function, or by none; `unproved` says that its proof was missing or
/// wrong.
pub fn delivered(function: &'static str, outcome: &'static str, unproved: bool, took: Duration) {
    let metrics = &*METRICS;
    metrics.deliveries.get_or_create(&Delivery { function, outcome }).inc();
    metrics.durations.get_or_create(&Function { function }).observe(took.as_secs_f64());
    if unproved {
        metrics.signatures.get_or_create(&Function { function }).inc();
    }
    if EMBEDDED.load(Ordering::Relaxed) {
        let line = metrics.embedded(function, outcome, unproved, took, SystemTime::now());
        // At once, so that the lines of threads stay whole.
        let _nobody_reads = std::io::stdout().write_all(format!("{line}\n").as_bytes());
    }
}

/// A build was made that there was not.
pub fn built() {
    METRICS.builds.counter.inc();
}

/// The pod of a job was made.
pub(crate) fn job_created() {
    METRICS.jobs.counter.inc();
}

/// The API server was asked for something, in words like `create Pod x`, and answered with this code,
/// or not at all.
pub(crate) fn requested(action: &str, code: Option<u16>, took: Duration) {
    let metrics = &*METRICS;
    let (verb, resource) = labels(action);
    let code = code.map_or(0, u32::from);
    metrics.requests.get_or_create(&Request { verb, resource, code }).inc();
    metrics.request_durations.get_or_create(&Verb { verb }).observe(took.as_secs_f64());
    metrics.asked.counter.inc();
}

/// It was asked again.
pub(crate) fn retried() {
    METRICS.retries.counter.inc();
}

/// The page for Prometheus.
pub fn page() -> String {
    let mut page = String::new();
    let _texts_take_all = encode_registry(&mut page, &METRICS.registry);
    process::encode(&mut page);
    let _texts_take_all = encode_eof(&mut page);
    page
}

/// What was asked for, in Kubernetes' words; there are no more of them than are written here.
fn labels(action: &str) -> (&'static str, &'static str) {
    let mut words = action.split(' ');
    let verb = match words.next() {
        Some("create") => "create",
        Some("get" | "read") => "get",
        Some("list") => "list",
        Some("delete") => "delete",
        Some("patch") => "patch",
        Some("replace") => "update",
        _ => "other",
    };
    let resource = match words.next() {
        Some("Secret" | "project" | "builds" | "build") => "secrets",
        Some("Pod") => "pods",
        Some("the") if action.contains(" log of ") => "pods/log",
        Some("the") if action.contains(" jobs ") => "secrets",
        Some("ConfigMap") => "configmaps",
        Some("PersistentVolumeClaim") => "persistentvolumeclaims",
        Some("ServiceAccount") => "serviceaccounts",
        Some("namespace" | "a") => "namespaces",
        _ => "other",
    };
    (verb, resource)
}

impl Metrics {
    fn new() -> Metrics {
        let histogram: fn() -> Histogram = || Histogram::new(BUCKETS);
        let mut metrics = Metrics {
            registry: Registry::with_prefix("brigantine"),
            deliveries: Family::default(),
            durations: Family::new_with_constructor(histogram),
            signatures: Family::default(),
            builds: Told::default(),
            jobs: Told::default(),
            requests: Family::default(),
            request_durations: Family::new_with_constructor(histogram),
            asked: Told::default(),
            retries: Told::default(),
        };
        let registry = &mut metrics.registry;
        registry.register(
            "deliveries",
            "Requests that functions have answered: made, duplicate, ignored, refused or failed",
            metrics.deliveries.clone(),
        );
        registry.register(
            "delivery_duration_seconds",
            "How long they took",
            metrics.durations.clone(),
        );
        registry.register(
            "signature_failures",
            "Requests whose proof was missing or wrong",
            metrics.signatures.clone(),
        );
        registry.register("builds", "Builds that were made", metrics.builds.counter.clone());
        registry.register(
            "jobs_created",
            "Pods of jobs that were made",
            metrics.jobs.counter.clone(),
        );
        registry.register(
            "kubernetes_requests",
            "Requests to the API server, by the code that it answered, or 0",
            metrics.requests.clone(),
        );
        registry.register(
            "kubernetes_request_duration_seconds",
            "How long the API server took",
            metrics.request_durations.clone(),
        );
        registry.register(
            "kubernetes_retries",
            "Requests to the API server that were made again",
            metrics.retries.counter.clone(),
        );
        metrics
    }

    /// The metrics of an invocation: what was counted since the last line.
    ///
    /// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
    fn embedded(
        &self,
        function: &str,
        outcome: &str,
        unproved: bool,
        took: Duration,
        now: SystemTime,
    ) -> Value {
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let deliveries = "brigantine_deliveries_total";
        let duration = "brigantine_delivery_duration_seconds";
        let counts = [
            ("brigantine_signature_failures_total", u64::from(unproved)),
            ("brigantine_builds_total", self.builds.since()),
            ("brigantine_jobs_created_total", self.jobs.since()),
            ("brigantine_kubernetes_requests_total", self.asked.since()),
            ("brigantine_kubernetes_retries_total", self.retries.since()),
        ];
        let mut line = json!({"function": function, "outcome": outcome});
        line[deliveries] = json!(1);
        line[duration] = json!(took.as_secs_f64());
        let mut metrics = Vec::new();
        for (name, count) in counts {
            metrics.push(json!({"Name": name, "Unit": "Count"}));
            line[name] = json!(count);
        }
        // Each metric is billed for each set of values that its dimensions have; and what is counted
        // of the process is not the doing of the request that tells it.
        line["_aws"] = json!({
            "Timestamp": u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            "CloudWatchMetrics": [
                {
                    "Namespace": "Brigantine",
                    "Dimensions": [["function", "outcome"]],
                    "Metrics": [
                        {"Name": deliveries, "Unit": "Count"},
                        {"Name": duration, "Unit": "Seconds"},
                    ],
                },
                {"Namespace": "Brigantine", "Dimensions": [[]], "Metrics": metrics},
            ],
        });
        line
    }
}

impl Told {
    /// How much it has grown since this was asked the last time.
    fn since(&self) -> u64 {
        let now = self.counter.get();
        now.saturating_sub(self.told.swap(now, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests;
