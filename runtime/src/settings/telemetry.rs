//! What the program says of itself.

use std::net::SocketAddr;
use std::time::Duration;

use secrecy::SecretString;

use super::{SettingsError, truth, wrong};
use crate::trace::TraceContext;

/// What the environment says of traces and metrics.
#[derive(Clone, Debug)]
pub struct TelemetrySettings {
    /// `METRICS`: where `/metrics` is served for Prometheus: `off`; an address of its own, such as
    /// `0.0.0.0:9090`, that only those can reach who may read it; or `on`, beside the functions, to
    /// whoever can reach those. On hosts without a port of ours, as AWS Lambda, it is nowhere.
    /// Default: `off`, since functions are mostly open to the internet.
    pub metrics: MetricsAt,
    /// `METRICS_EMF`: whether each invocation on AWS Lambda writes its metrics to the log, as
    /// CloudWatch takes them (embedded metric format), which bills each as a metric of its own. Default:
    /// false.
    pub emf: bool,
    /// `TRACEPARENT`: where the program is in a trace, as its pod is told; what it sends is a part of
    /// that. Default: nowhere.
    pub place: Option<TraceContext>,
    /// `OTEL_SDK_DISABLED`, `OTEL_TRACES_EXPORTER`, `OTEL_LOGS_EXPORTER` and
    /// `OTEL_EXPORTER_OTLP_PROTOCOL`: OpenTelemetry's own variables: `true` tells the collector
    /// nothing, `none` no spans or no logs, and the protocol is `http/protobuf`.
    /// Default: `false`, `otlp`, `otlp` and `http/protobuf`; nothing is told while no endpoint is set.
    pub otlp: Option<OtlpSettings>,
    /// What of OpenTelemetry's variables was not understood, which stops nobody. Default: nothing.
    pub problems: Vec<String>,
}

/// Where `/metrics` is served.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MetricsAt {
    /// Nowhere.
    Off,
    /// Beside the functions.
    Here,
    /// At an address of its own.
    Address(SocketAddr),
}

/// What OpenTelemetry's own variables say:
/// <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>.
#[derive(Clone, Debug)]
pub struct OtlpSettings {
    /// `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, or `/v1/traces` below `OTEL_EXPORTER_OTLP_ENDPOINT`:
    /// where spans are told to by OTLP over HTTP, such as `http://collector:4318`; worker pods are
    /// told of it, too, so it may have neither a password nor a query. What is wrong in this and in
    /// the others of OpenTelemetry's is warned of, and does without. Default: nowhere.
    pub traces: Option<String>,
    /// `OTEL_EXPORTER_OTLP_LOGS_ENDPOINT`: where what is logged is told to as well; else `/v1/logs`
    /// below `OTEL_EXPORTER_OTLP_ENDPOINT`. Default: nowhere.
    pub logs: Option<String>,
    /// `OTEL_EXPORTER_OTLP_HEADERS`: headers that every request to the collector has, a list of
    /// `name=value` with values as in an address. They are secret: worker pods are not given them.
    /// Default: none.
    pub headers: Vec<(http::HeaderName, SecretString)>,
    /// `OTEL_EXPORTER_OTLP_TIMEOUT`: how long a request to the collector may take, in milliseconds;
    /// where the host stops the program after each answer, half a second at most. Default: 10000.
    pub timeout: Duration,
    /// `OTEL_BSP_SCHEDULE_DELAY`: how long spans and records are gathered before they are told, in
    /// milliseconds. Default: 5000.
    pub delay: Duration,
    /// `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`: what the program is called by the collector,
    /// and what else it is, a list of `name=value`. Default: `brigantine`.
    pub resource: Vec<(String, String)>,
    /// `OTEL_TRACES_SAMPLER`, `OTEL_TRACES_SAMPLER_ARG`: which traces are told: `always_on`,
    /// `always_off`, `traceidratio` of a share from 0 to 1, or what the sender says, with
    /// `parentbased_` before one of those for senders that say nothing, and for requests that prove
    /// nothing. Fronts that say that they do not sample, as Google Cloud Run's for most requests and
    /// others' that trace for themselves, need `always_on`. Default: `parentbased_always_on`.
    pub sampler: Sampler,
    /// `OTEL_PROPAGATORS`: `tracecontext` goes on with the traces of senders, `none` begins each anew;
    /// others are not known here. Default: `tracecontext`.
    pub propagates: bool,
}

/// Which traces are told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sampler {
    /// All.
    Always,
    /// None.
    Never,
    /// A share of them.
    Share(f64),
    /// What the sender says, and a share of those that are begun here.
    Parent(f64),
}

const TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const LOGS: &str = "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT";
const BOTH: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";

impl TelemetrySettings {
    /// Reads variables; an empty one was taken for one that is not set.
    pub(super) fn read(
        get: impl Fn(&str) -> Option<String>,
    ) -> Result<TelemetrySettings, SettingsError> {
        let metrics = match get("METRICS").as_deref().map(str::trim) {
            None | Some("off" | "false") => MetricsAt::Off,
            Some("on" | "true") => MetricsAt::Here,
            Some(address) => MetricsAt::Address(address.parse().map_err(|_unparsed| {
                wrong("METRICS", "off, on, or an address such as 0.0.0.0:9090")
            })?),
        };
        let mut problems = Vec::new();
        Ok(TelemetrySettings {
            metrics,
            emf: truth("METRICS_EMF", get("METRICS_EMF"))?,
            // Whoever set it wrongly has not set it, as the specification has it.
            place: get("TRACEPARENT").and_then(|header| TraceContext::parse(&header)),
            otlp: OtlpSettings::read(&get, &mut problems),
            problems,
        })
    }

    /// The variables that have a worker tell the same collector, without what is secret.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let Some(otlp) = &self.otlp else { return Vec::new() };
        let attributes: Vec<String> = otlp
            .resource
            .iter()
            .filter(|(name, _)| !name.starts_with("service.") && !name.starts_with("telemetry."))
            .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
            .collect();
        let all = [
            (TRACES, otlp.traces.clone()),
            (LOGS, otlp.logs.clone()),
            ("OTEL_RESOURCE_ATTRIBUTES", Some(attributes.join(","))),
        ];
        let all = all.into_iter().filter_map(|(name, value)| Some((name, value?)));
        all.filter(|(_, value)| !value.is_empty()).collect()
    }
}

impl OtlpSettings {
    /// What cannot be used is a problem, and is done without, as the specification has it.
    fn read(
        get: &impl Fn(&str) -> Option<String>,
        problems: &mut Vec<String>,
    ) -> Option<OtlpSettings> {
        let address = |exporter, own, path: &str| {
            let exporters = get(exporter).unwrap_or_else(|| "otlp".to_owned());
            let both = get(BOTH).map(|base| format!("{}{path}", base.trim().trim_end_matches('/')));
            let (name, address) = match (get(own), both) {
                (Some(address), _) => (own, address.trim().to_owned()),
                (None, Some(address)) => (BOTH, address),
                (None, None) => return Ok(None),
            };
            let exports = |wanted| exporters.split(',').any(|name| name.trim() == wanted);
            match (exports("otlp"), exports("none")) {
                (true, _) => {}
                (false, true) => return Ok(None),
                (false, false) => return Err(wrong(exporter, "otlp or none")),
            }
            if !is_address(&address) {
                let expected = "an address that begins with http:// or https://, \
                                without a password and without a query";
                return Err(wrong(name, expected));
            }
            Ok(Some(address))
        };
        let traces = address("OTEL_TRACES_EXPORTER", TRACES, "/v1/traces");
        let logs = address("OTEL_LOGS_EXPORTER", LOGS, "/v1/logs");
        let disabled = truth("OTEL_SDK_DISABLED", get("OTEL_SDK_DISABLED"));
        let protocol = "OTEL_EXPORTER_OTLP_PROTOCOL";
        let spoken = match get(protocol).as_deref().map(str::trim) {
            None | Some("http/protobuf") => Ok(()),
            Some(_) => Err(wrong(
                protocol,
                "http/protobuf: collectors take it at port 4318; grpc and http/json are not spoken",
            )),
        };
        let headers = headers(&get(HEADERS).unwrap_or_default())
            .ok_or(wrong(HEADERS, "a list of name=value, with values as in an address"));
        let milliseconds = |name, default: u64| match get(name) {
            None => Ok(Duration::from_millis(default)),
            Some(text) => match text.trim().parse() {
                Ok(number @ 1..=3_600_000) => Ok(Duration::from_millis(number)),
                _ => Err(wrong(name, "a number of milliseconds, an hour's at most")),
            },
        };
        let timeout = milliseconds("OTEL_EXPORTER_OTLP_TIMEOUT", 10_000);
        let delay = milliseconds("OTEL_BSP_SCHEDULE_DELAY", 5000);
        let attributes = pairs(&get("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default())
            .ok_or(wrong("OTEL_RESOURCE_ATTRIBUTES", "a list of name=value"));
        let service = get("OTEL_SERVICE_NAME");
        let share = share(get("OTEL_TRACES_SAMPLER_ARG"));
        let named = get("OTEL_TRACES_SAMPLER");
        let propagates = get("OTEL_PROPAGATORS")
            .is_none_or(|names| names.split(',').any(|name| name.trim() == "tracecontext"));

        if heeded(disabled, problems).unwrap_or_default() {
            return None;
        }
        let traces = heeded(traces, problems).flatten();
        let logs = heeded(logs, problems).flatten();
        if traces.is_none() && logs.is_none() {
            // Nobody is told, whatever else is said of how.
            return None;
        }
        let spoken = heeded(spoken, problems);
        let headers = heeded(headers, problems);
        let share = heeded(share, problems).unwrap_or(1.0);
        let sampler = heeded(sampler(named, share), problems).unwrap_or(Sampler::Parent(1.0));
        let settings = OtlpSettings {
            traces,
            logs,
            headers: headers?,
            timeout: heeded(timeout, problems).unwrap_or(Duration::from_secs(10)),
            delay: heeded(delay, problems).unwrap_or(Duration::from_secs(5)),
            resource: resource(service, heeded(attributes, problems).unwrap_or_default()),
            sampler,
            propagates,
        };
        spoken.map(|()| settings)
    }
}

/// What was read; what is wrong with it is a problem.
fn heeded<T>(read: Result<T, SettingsError>, problems: &mut Vec<String>) -> Option<T> {
    read.map_err(|error| problems.push(error.to_string())).ok()
}

fn is_address(text: &str) -> bool {
    let address = text.parse::<http::Uri>().ok();
    let authority = address.as_ref().and_then(|address| address.authority());
    (text.starts_with("http://") || text.starts_with("https://"))
        && authority.is_some_and(|place| !place.as_str().contains('@'))
        && address.is_some_and(|address| address.query().is_none())
}

/// What a list of pairs, or Kubernetes in a variable, would take for more than a character.
const SPECIAL: percent_encoding::AsciiSet = percent_encoding::CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'$')
    .add(b'%')
    .add(b',')
    .add(b';')
    .add(b'=')
    .add(b'\\');

fn encoded(text: &str) -> percent_encoding::PercentEncode<'_> {
    percent_encoding::utf8_percent_encode(text, &SPECIAL)
}

/// The pairs of a list as the specification has it: that of the header `baggage`.
fn pairs(list: &str) -> Option<Vec<(String, String)>> {
    let pairs = list.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let decoded = |text: &str| {
            let text = percent_encoding::percent_decode_str(text.trim()).decode_utf8().ok()?;
            Some(text.into_owned())
        };
        Some((decoded(name)?, decoded(value)?))
    });
    pairs.collect()
}

fn headers(list: &str) -> Option<Vec<(http::HeaderName, SecretString)>> {
    let headers = pairs(list)?.into_iter().map(|(name, value)| {
        http::HeaderValue::from_str(&value).ok()?;
        Some((name.parse().ok()?, value.into()))
    });
    headers.collect()
}

fn resource(name: Option<String>, mut all: Vec<(String, String)>) -> Vec<(String, String)> {
    if let Some(name) = name {
        all.retain(|(known, _)| known != "service.name");
        all.push(("service.name".to_owned(), name.trim().to_owned()));
    }
    for (name, value) in [
        ("service.name", "brigantine"),
        ("service.version", crate::version()),
        ("telemetry.sdk.language", "rust"),
        ("telemetry.sdk.name", "brigantine"),
        ("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
    ] {
        if !all.iter().any(|(known, _)| known == name) {
            all.push((name.to_owned(), value.to_owned()));
        }
    }
    all
}

fn share(text: Option<String>) -> Result<f64, SettingsError> {
    let Some(text) = text else { return Ok(1.0) };
    let share = text.trim().parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or(wrong("OTEL_TRACES_SAMPLER_ARG", "a share from 0 to 1"))
}

fn sampler(name: Option<String>, share: f64) -> Result<Sampler, SettingsError> {
    Ok(match name.as_deref().map(str::trim) {
        None | Some("parentbased_always_on") => Sampler::Parent(1.0),
        Some("parentbased_always_off") => Sampler::Parent(0.0),
        Some("parentbased_traceidratio") => Sampler::Parent(share),
        Some("always_on") => Sampler::Always,
        Some("always_off") => Sampler::Never,
        Some("traceidratio") => Sampler::Share(share),
        Some(_) => {
            return Err(wrong(
                "OTEL_TRACES_SAMPLER",
                "always_on, always_off, traceidratio, or one of them with parentbased_ before it",
            ));
        }
    })
}

#[cfg(test)]
fn read(given: &[(&str, &str)]) -> Result<TelemetrySettings, SettingsError> {
    TelemetrySettings::read(|wanted| {
        let found = given.iter().find(|(name, _)| *name == wanted);
        found.map(|(_, value)| (*value).to_owned())
    })
}

#[test]
fn a_worker_is_told_of_the_collector_and_of_no_secret() {
    let settings = read(&[
        (BOTH, "http://collector:4318/"),
        (HEADERS, "api-key=hunter2%3D,x-tenant=a"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test,service.name=x"),
        ("OTEL_SERVICE_NAME", "ours"),
    ])
    .unwrap();
    let otlp = settings.otlp.as_ref().unwrap();
    assert_eq!(otlp.traces.as_deref(), Some("http://collector:4318/v1/traces"));
    let (name, value) = &otlp.headers[0];
    assert_eq!(
        (name.as_str(), secrecy::ExposeSecret::expose_secret(value)),
        ("api-key", "hunter2=")
    );
    assert!(otlp.resource.contains(&("service.name".to_owned(), "ours".to_owned())));
    assert!(!format!("{settings:?}{:?}", settings.variables()).contains("hunter2"));
    let again: Vec<_> = settings.variables();
    let again: Vec<(&str, &str)> =
        again.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let worker = read(&again).unwrap();
    assert_eq!(worker.otlp.as_ref().unwrap().traces, otlp.traces);
    assert_eq!(worker.otlp.unwrap().logs, otlp.logs);
}

#[test]
fn nothing_is_told_where_nobody_is_named_or_all_is_off() {
    let there = (BOTH, "http://127.0.0.1:4318");
    assert!(read(&[]).unwrap().otlp.is_none());
    assert!(read(&[there, ("OTEL_SDK_DISABLED", "true")]).unwrap().otlp.is_none());
    let none = [there, ("OTEL_TRACES_EXPORTER", "none"), ("OTEL_LOGS_EXPORTER", "none")];
    assert!(read(&none).unwrap().otlp.is_none());
    for name in ["METRICS", "METRICS_EMF"] {
        let error = read(&[there, (name, "hunter2")]).unwrap_err().to_string();
        assert!(error.starts_with(&format!("the variable {name} must be ")), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn what_is_wrong_in_a_variable_of_opentelemetry_stops_nobody_and_is_said() {
    let there = (BOTH, "http://127.0.0.1:4318");
    for (name, value, tells_spans) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", false),
        ("OTEL_EXPORTER_OTLP_HEADERS", "hunter2", false),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "hunter2", true),
        ("OTEL_BSP_SCHEDULE_DELAY", "hunter2", true),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://brig:hunter2@127.0.0.1/", false),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1/?token=hunter2", false),
        ("OTEL_TRACES_SAMPLER", "xray", true),
        ("OTEL_TRACES_SAMPLER_ARG", "hunter2", true),
        ("OTEL_RESOURCE_ATTRIBUTES", "hunter2", true),
        ("OTEL_TRACES_EXPORTER", "console", false),
        ("OTEL_SDK_DISABLED", "hunter2", true),
    ] {
        let settings = read(&[there, (name, value)]).unwrap();
        let [problem] = &settings.problems[..] else { panic!("{:?}", settings.problems) };
        assert!(problem.starts_with(&format!("the variable {name} must be ")), "{problem}");
        assert!(!problem.contains("hunter2"), "{problem}");
        let tells = settings.otlp.is_some_and(|otlp| otlp.traces.is_some());
        assert_eq!(tells, tells_spans, "{name}");
    }
    // Where nobody is told, how they would be is nobody's problem.
    let unused = [("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), ("OTEL_TRACES_EXPORTER", "console")];
    assert!(read(&unused).unwrap().problems.is_empty());
    let several = read(&[there, ("OTEL_TRACES_EXPORTER", "console, otlp")]).unwrap();
    assert!(several.problems.is_empty() && several.otlp.unwrap().traces.is_some());
}

#[test]
fn a_worker_is_told_of_attributes_as_they_are() {
    let given = "team=a%2Cb%3Dc,share=100%25,odd%3Dname=$(X) %C3%A9";
    let settings =
        read(&[(BOTH, "http://collector"), ("OTEL_RESOURCE_ATTRIBUTES", given)]).unwrap();
    let variables = settings.variables();
    let again: Vec<(&str, &str)> =
        variables.iter().map(|(name, text)| (*name, text.as_str())).collect();
    assert!(!variables.iter().any(|(_, text)| text.contains('$')), "{variables:?}");
    let worker = read(&again).unwrap();
    assert_eq!(worker.problems, Vec::<String>::new());
    let resource = settings.otlp.unwrap().resource;
    assert!(resource.contains(&("team".to_owned(), "a,b=c".to_owned())), "{resource:?}");
    assert_eq!(worker.otlp.unwrap().resource, resource);
}
