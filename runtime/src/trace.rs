//! Which trace something belongs to, from the delivery to the jobs, in the words of W3C's header.
//!
//! A build keeps the header `traceparent` of the request that made it, as an annotation; so do its
//! pods. It says *sampled* if the spans of the trace are told to somebody, and then jobs are given
//! it in the variable `TRACEPARENT`, too.
//!
//! <https://www.w3.org/TR/trace-context/#traceparent-header>

use std::fmt;

use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};

use crate::build::{Build, annotation};

/// A place in a trace: the span that others are below.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TraceContext {
    /// The trace.
    pub trace: u128,
    /// The span.
    pub span: u64,
    /// Whether its spans are told to somebody.
    pub sampled: bool,
}

tokio::task_local! {
    static CURRENT: TraceContext;
}

/// Does something in a place of a trace, if there is one.
pub async fn within<F: Future>(place: Option<TraceContext>, act: F) -> F::Output {
    match place {
        Some(place) => CURRENT.scope(place, act).await,
        None => act.await,
    }
}

/// The place that this task is in.
pub fn current() -> Option<TraceContext> {
    CURRENT.try_with(|place| *place).ok()
}

impl TraceContext {
    /// A trace that begins here.
    pub fn begin() -> TraceContext {
        TraceContext { trace: random().max(1), span: random_span(), sampled: false }
    }

    /// A new span in the same trace.
    pub fn below(self) -> TraceContext {
        TraceContext { span: random_span(), ..self }
    }

    /// The header, if it is one that the specification knows. Versions to come may say more.
    pub fn parse(header: &str) -> Option<TraceContext> {
        let header = header.trim_matches([' ', '\t']);
        let mut parts = header.splitn(5, '-');
        let mut part = |length: usize| {
            let digits = parts.next().filter(|part| part.len() == length)?;
            let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            digits.bytes().all(is_hex).then_some(digits)
        };
        let version = part(2).filter(|version| *version != "ff")?;
        let trace = u128::from_str_radix(part(32)?, 16).ok().filter(|trace| *trace != 0)?;
        let span = u64::from_str_radix(part(16)?, 16).ok().filter(|span| *span != 0)?;
        let flags = u8::from_str_radix(part(2)?, 16).ok()?;
        if version == "00" && parts.next().is_some() {
            return None;
        }
        Some(TraceContext { trace, span, sampled: flags & 1 == 1 })
    }

    /// Where a build is in its trace.
    pub fn of_build(build: &Build) -> Option<TraceContext> {
        TraceContext::parse(build.annotations.get(annotation::TRACEPARENT)?)
    }

    /// Where the pod of a job of that build is. The id follows from the pod's name: whoever makes
    /// the pod gives it to the job, and whoever sees it end tells of it, maybe another process.
    pub fn of_pod(build: &Build, pod: &str) -> Option<TraceContext> {
        let place = TraceContext::of_build(build)?;
        let digest = Sha256::digest(format!("{:032x}/{}/{pod}", place.trace, build.id));
        let span = digest.iter().take(8).fold(0, |span: u64, byte| span << 8 | u64::from(*byte));
        Some(TraceContext { span: span.max(1), ..place })
    }

    /// The id of the trace, as it is written.
    pub fn trace_id(self) -> String {
        format!("{:032x}", self.trace)
    }

    /// The id of the span, as it is written.
    pub fn span_id(self) -> String {
        format!("{:016x}", self.span)
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TraceContext { trace, span, sampled } = self;
        write!(formatter, "00-{trace:032x}-{span:016x}-{:02x}", u8::from(*sampled))
    }
}

fn random_span() -> u64 {
    let low: u128 = random() & u128::from(u64::MAX);
    u64::try_from(low).unwrap_or_default().max(1)
}

fn random() -> u128 {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).expect("the system has randomness");
    u128::from_be_bytes(bytes)
}

#[test]
fn a_header_is_read_as_the_specification_has_it() {
    let header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let place = TraceContext::parse(header).unwrap();
    assert_eq!(place.to_string(), header);
    assert_eq!(place.below().trace, place.trace);
    assert_ne!(place.below().span, place.span);
    let later = "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-is-to-come";
    assert_eq!(TraceContext::parse(later), Some(place));
    for wrong in [
        "",
        "00",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-+1",
    ] {
        assert_eq!(TraceContext::parse(wrong), None, "{wrong}");
    }
    let begun = TraceContext::begin();
    assert_eq!(TraceContext::parse(&begun.to_string()), Some(begun));
}
