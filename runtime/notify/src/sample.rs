//! What tests tell, and whom.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use runtime::project::Moment;
use serde_json::Value;

use crate::{BuildReport, Field, JobReport, Notification, Outbox, OutboxOptions, Tone, Variables};

/// A request that a sink got.
pub(crate) struct Got {
    /// The method and the path.
    pub(crate) line: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Got {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// The address of a sink that answers so.
pub(crate) async fn sink<F, A>(answer: F) -> String
where
    F: Fn(&Got) -> A + Clone + Send + Sync + 'static,
    A: IntoResponse,
{
    let handle = move |request: Request| {
        let answer = answer.clone();
        async move {
            let (parts, body) = request.into_parts();
            let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            let line = format!("{} {}", parts.method, parts.uri);
            answer(&Got { line, headers: parts.headers, body }).into_response()
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(handle)).await });
    format!("http://{address}")
}

/// The address of a sink that keeps what it gets, and answers all of it so.
pub(crate) async fn keeper<A>(answer: A) -> (String, Arc<Mutex<Vec<Got>>>)
where
    A: IntoResponse + Clone + Send + Sync + 'static,
{
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keeping = kept.clone();
    let address = sink(move |got: &Got| {
        let got =
            Got { line: got.line.clone(), headers: got.headers.clone(), body: got.body.clone() };
        keeping.lock().unwrap().push(got);
        answer.clone()
    });
    (address.await, kept)
}

/// An outbox that may tell this machine.
pub(crate) fn outbox(options: OutboxOptions) -> Outbox {
    Outbox::new(OutboxOptions { allowed_hosts: vec!["127.0.0.1".to_owned()], ..options })
}

/// An outbox whose relay is there.
pub(crate) fn relayed(relay: &str) -> Outbox {
    let relay = Some(url::Url::parse(relay).unwrap());
    Outbox::new(OutboxOptions { relay, ..OutboxOptions::default() })
}

pub(crate) fn variables(all: &[(&str, &str)]) -> Variables {
    let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
    Variables::of(&names, |name| {
        all.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    })
}

/// A build of a push that has failed, with two jobs.
pub(crate) fn failed() -> Notification {
    let report = BuildReport {
        build: "01hf7yat00cqzj3v9p0m3ykqzr".to_owned(),
        project: "acme/app".to_owned(),
        repository: "acme/app".to_owned(),
        event: "push".to_owned(),
        provider: "github".to_owned(),
        commit: "2f9c1b7d5e8a4c3f6b0d9e8c7a6b5f4e3d2c1b0a".to_owned(),
        reference: "refs/heads/main".to_owned(),
        title: "Mend <the> mast & *sail*".to_owned(),
        moment: Moment::Failed,
        phase: "Failed".to_owned(),
        reason: Some("the job test failed: exit code 2".to_owned()),
        summary: None,
        url: Some("https://ci.example/builds/01hf7yat00cqzj3v9p0m3ykqzr?a=b&c=d".to_owned()),
        started: Some("2026-01-02T03:04:05Z".parse().unwrap()),
        finished: Some("2026-01-02T03:06:15Z".parse().unwrap()),
        jobs: vec![
            JobReport {
                name: "lint".to_owned(),
                phase: "Succeeded".to_owned(),
                ..JobReport::default()
            },
            JobReport {
                name: "test".to_owned(),
                phase: "Failed".to_owned(),
                reason: Some("exit code 2".to_owned()),
                log: "running 3 tests\n\u{1b}[31massertion failed: <left> == `right`\u{1b}[0m\n"
                    .to_owned(),
                ..JobReport::default()
            },
        ],
        log: "the script's own\n".to_owned(),
    };
    Notification {
        id: "01hf7yat00cqzj3v9p0m3ykqzr.failed".to_owned(),
        tone: Tone::Bad,
        build: Some(Box::new(report)),
        ..Notification::default()
    }
}

/// The same build at another moment.
pub(crate) fn build(moment: Moment, phase: &str, tone: Tone) -> Notification {
    let failed = failed();
    let report = failed.build.clone().unwrap();
    let jobs = vec![report.jobs[0].clone()];
    let finished = report.finished.filter(|_| moment != Moment::Started);
    let phase = phase.to_owned();
    let report = BuildReport { moment, phase, reason: None, jobs, finished, ..*report };
    let id = format!("{}.{}", report.build, moment.name());
    Notification { id, tone, build: Some(Box::new(report)), ..failed }
}

/// Something that is about no build.
pub(crate) fn plain() -> Notification {
    Notification {
        title: "Tide".to_owned(),
        message: "High water at *noon*\nin <the> harbour".to_owned(),
        ..Notification::default()
    }
}

/// An image that was pushed.
pub(crate) fn image() -> Notification {
    let field = |name: &str, value: &str| Field { name: name.to_owned(), value: value.to_owned() };
    Notification {
        title: "New Build".to_owned(),
        message: "New Build acme/app:v1 available!".to_owned(),
        tone: Tone::Good,
        fields: vec![field("Registry", "acme.azurecr.io"), field("Digest", "sha256:0123")],
        ..Notification::default()
    }
}

/// What strangers would like to do.
pub(crate) const EVIL: &str = "<!channel> <@U024BE7LH> @everyone **bold** [x](https://evil.example) \
    <https://evil.example|fine> <at>all</at> <script>alert(1)</script> ``` # h\r\n- \u{202e}evil\u{0}";

/// A notification all of whose texts are as long and as hostile as can be.
pub(crate) fn hostile() -> Notification {
    let long = EVIL.repeat(1_000_000 / EVIL.len());
    let mut notification = failed();
    let report = notification.build.as_mut().unwrap();
    report.reference.clone_from(&long);
    report.project.clone_from(&long);
    report.event.clone_from(&long);
    report.title.clone_from(&long);
    report.reason = Some(long.clone());
    report.summary = Some(long.clone());
    report.url = Some(format!("https://evil.example/{long}"));
    report.commit.clone_from(&long);
    report.jobs = (0..1000)
        .map(|_| JobReport {
            name: format!("\u{202e}\r\n\0{EVIL}"),
            phase: "Failed".to_owned(),
            reason: Some(EVIL.to_owned()),
            log: EVIL.repeat(20),
            ..JobReport::default()
        })
        .collect();
    report.jobs[0].log = long;
    notification
}

/// The same, of no build, with a thousand fields.
pub(crate) fn hostile_plain() -> Notification {
    let long = EVIL.repeat(1_000_000 / EVIL.len());
    let field = Field { name: EVIL.repeat(10), value: EVIL.repeat(10) };
    Notification {
        title: long.clone(),
        message: long.clone(),
        color: Some(long.clone()),
        fields: vec![field; 1000],
        url: Some("https://evil.example/|<!channel>?a=<b>&c|d".to_owned()),
        ..Notification::default()
    }
}
