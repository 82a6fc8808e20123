//! How a build stands, put together of what is heard of it.

use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use pipeline::{JobEnd, JobResult, Outcome};
use reqwest::Url;
use runtime::build::{Build, Phase, annotation};
use runtime::project::{Moment, Project};
use serde_json::json;

use super::ReportOptions;
use crate::{BuildReport, JobReport, text};

/// What is written otherwise in an address.
const ODD: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// How much of the logs of jobs is kept, in bytes: the first that failed keep theirs.
const LOGS: usize = 256 << 10;

/// What is kept of the reason of a job, in bytes.
const REASON: usize = 2048;

/// A text as a part of an address.
pub(super) fn in_address(text: &str) -> String {
    utf8_percent_encode(text, ODD).to_string()
}

/// A build that has begun.
pub(super) fn begin(project: &Project, build: &Build, options: &ReportOptions) -> BuildReport {
    let event = &build.event;
    let started = build.annotations.get(annotation::STARTED).and_then(|text| text.parse().ok());
    let places =
        json!({"project": in_address(&project.name), "build": in_address(&build.id.to_string())});
    BuildReport {
        build: build.id.to_string(),
        project: project.name.clone(),
        repository: repository(project, &event.provider).to_owned(),
        event: match &event.action {
            Some(action) => format!("{}:{action}", event.kind),
            None => event.kind.clone(),
        },
        provider: event.provider.clone(),
        commit: event.revision.commit.clone(),
        reference: event.revision.reference.clone(),
        title: event.short_title.clone(),
        moment: Moment::Started,
        phase: Phase::Running.name().to_owned(),
        reason: None,
        summary: None,
        url: options.build_url.as_ref().map(|template| template.render(&places)),
        started: Some(started.unwrap_or_else(Timestamp::now)),
        finished: None,
        jobs: Vec::new(),
        log: String::new(),
    }
}

/// A job has a pod.
pub(super) fn made(
    story: &mut BuildReport,
    name: String,
    pod: String,
    now: Timestamp,
) -> JobReport {
    let job = job(story, &name);
    if !has_ended(job) {
        job.pod = pod;
        job.phase = Phase::Running.name().to_owned();
        job.started = job.started.or(Some(now));
    }
    job.clone()
}

/// A job has ended.
pub(super) fn ended(
    story: &mut BuildReport,
    end: &JobEnd,
    (started, finished): (Option<Timestamp>, Option<Timestamp>),
    exit_code: Option<i32>,
    log: String,
) -> JobReport {
    let others = story.jobs.iter().filter(|job| job.name != end.name);
    let has_room =
        log.is_empty() || others.map(|job| job.log.len()).sum::<usize>() + log.len() <= LOGS;
    let log = if has_room { log } else { String::new() };
    let job = job(story, &end.name);
    finish(job, end);
    if let Some(code) = exit_code
        && job.reason.as_ref() == Some(&not_completed(&job.pod))
    {
        job.reason = Some(format!("exit code {code}"));
    }
    job.started = started.or(job.started);
    job.finished = finished.or(job.finished);
    job.log = log;
    job.clone()
}

/// The build has ended.
pub(super) fn end(story: &mut BuildReport, outcome: &Outcome) {
    story.reason.clone_from(&outcome.reason);
    for end in &outcome.jobs {
        let job = job(story, &end.name);
        let known = job.reason.take().filter(|_| has_ended(job));
        finish(job, end);
        // What is known of it beside its pod's words says more.
        job.reason = job.reason.take().map(|reason| known.unwrap_or(reason));
    }
    for job in &story.jobs {
        if let (Some(all), Some(own)) = (&mut story.reason, &job.reason)
            && own.starts_with("exit code ")
        {
            *all = all.replace(&not_completed(&job.pod), own);
        }
    }
    for job in story.jobs.iter_mut().filter(|job| !has_ended(job)) {
        job.phase = Phase::Cancelled.name().to_owned();
    }
    story.moment = moment(outcome.phase);
    story.phase = outcome.phase.name().to_owned();
    story.summary.clone_from(&outcome.summary);
    story.started = Some(outcome.started);
    story.finished = Some(outcome.finished);
    // The worker's own lines say nothing of what the script did.
    let lines = outcome.log.lines();
    let own = lines.filter(|line| !line.starts_with("[brigade]") && !line.starts_with("[brigade:"));
    story.log = own.flat_map(|line| [line, "\n"]).collect();
}

/// What has happened to a build that is in this phase.
pub(super) fn moment(phase: Phase) -> Moment {
    match phase {
        Phase::Waiting | Phase::Running => Moment::Started,
        Phase::Succeeded => Moment::Succeeded,
        Phase::Failed | Phase::TimedOut => Moment::Failed,
        Phase::Cancelled => Moment::Cancelled,
    }
}

fn job<'a>(story: &'a mut BuildReport, name: &str) -> &'a mut JobReport {
    let at = story.jobs.iter().position(|job| job.name == name).unwrap_or_else(|| {
        story.jobs.push(JobReport { name: name.to_owned(), ..JobReport::default() });
        story.jobs.len() - 1
    });
    &mut story.jobs[at]
}

fn finish(job: &mut JobReport, end: &JobEnd) {
    job.pod.clone_from(&end.pod);
    let (phase, reason) = match &end.result {
        JobResult::Succeeded => (Phase::Succeeded, None),
        JobResult::Failed(reason) => (Phase::Failed, Some(text::cut_bytes(reason, REASON))),
        JobResult::Left => (Phase::Cancelled, None),
    };
    job.phase = phase.name().to_owned();
    job.reason = reason;
}

/// What Brigade's scripts are told of a job that failed by itself, whatever it said.
fn not_completed(pod: &str) -> String {
    format!("Pod {pod} failed to run to completion")
}

fn has_ended(job: &JobReport) -> bool {
    Phase::parse(&job.phase).is_some_and(Phase::is_terminal)
}

/// The repository that a build is of: `org/name` on the project's GitHub, with its host on another.
pub fn repository<'a>(project: &'a Project, provider: &str) -> &'a str {
    // What GitHub sends is for the project that is named like the repository.
    if provider == "github" && project.name.contains('/') {
        return &project.name;
    }
    let full = &project.repository;
    let base = Url::parse(&project.github_base_url).ok();
    let own = base.as_ref().and_then(Url::host_str).unwrap_or("github.com");
    match full.split_once('/') {
        Some((host, path)) if host == own => path,
        _ => full,
    }
}

#[test]
fn a_repository_on_github_is_named_without_its_host() {
    for (full, base, provider, name) in [
        ("github.com/acme/demo", "", "registry", "acme/demo"),
        ("git.example:8443/group/demo", "", "gitlab", "git.example:8443/group/demo"),
        ("gitlab.com/acme/demo", "", "cron", "gitlab.com/acme/demo"),
        ("github.com/acme/demo", "https://ghe.example/api/v3", "cron", "github.com/acme/demo"),
        ("ghe.example/acme/demo", "https://ghe.example/api/v3", "cron", "acme/demo"),
        ("acme/demo", "", "cron", "acme/demo"),
        ("", "", "cron", ""),
        ("", "", "github", "ocean/brig"),
    ] {
        let yaml = format!(
            "project: ocean/brig\nrepository: {full:?}\nsharedSecret: s\ngithub: {{baseURL: {base:?}}}\n"
        );
        let (project, _) = runtime::project::values::read(&yaml, "default").unwrap();
        assert_eq!(repository(&project, provider), name, "{full} {base} {provider}");
    }
}
