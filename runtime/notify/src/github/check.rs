//! Check runs, which only GitHub Apps write.
//!
//! - `POST /repos/{owner}/{repo}/check-runs`, then `PATCH …/{id}` for each change
//! - Limits: 65535 bytes of summary and of text, 50 annotations in a request, 3 actions
//! - The button `Run again` comes back as `check_run:requested_action`, which the GitHub receiver
//!   takes for the build in `external_id`
//!
//! <https://docs.github.com/rest/checks/runs>

use serde_json::{Value, json};

use super::annotations::annotations;
use super::markdown::{LIMIT, beginning, code, fenced};
use super::part::{Part, Phase, parts, span};
use crate::BuildReport;
use crate::text::short;

/// How long a name may be.
const NAME: usize = 255;

/// How long a title may be.
const TITLE: usize = 255;

/// How much of its script's own log is in the check of a build.
const SHARE: usize = 20_000;

/// A check run, as it is written.
pub(crate) struct Check {
    /// Its members, without annotations.
    pub(crate) body: Value,
    /// What it says of lines of files.
    pub(crate) annotations: Vec<Value>,
}

/// The check run of a build or a job.
pub(crate) fn check(
    part: &Part<'_>,
    report: &BuildReport,
    told: Option<(&str, &str)>,
    url: Option<&str>,
) -> Check {
    let nothing_ran = part.job.is_none() && !part.has_jobs;
    let conclusion = match part.phase {
        Phase::Waiting | Phase::Running => None,
        Phase::Succeeded if nothing_ran => Some("neutral"),
        Phase::Succeeded => Some("success"),
        Phase::Failed => Some("failure"),
        Phase::Cancelled => Some("cancelled"),
        Phase::TimedOut => Some("timed_out"),
    };
    let status = match part.phase {
        Phase::Waiting => "queued",
        Phase::Running => "in_progress",
        _ => "completed",
    };
    let (title, message) = told.unwrap_or_default();
    let title = match short(title, TITLE) {
        title if !title.is_empty() => title,
        _ if conclusion == Some("neutral") => "Succeeded, and ran no job".to_owned(),
        _ => part.says(TITLE),
    };
    let mut output = json!({"title": title, "summary": summary(part, report, message)});
    if let Some(text) = text(part, report) {
        output["text"] = text.into();
    }
    let mut body = json!({
        "name": short(&part.name, NAME),
        "head_sha": report.commit,
        "external_id": part.id,
        "status": status,
        "output": output,
    });
    if let Some(url) = url {
        body["details_url"] = url.into();
    }
    if let Some(started) = part.started {
        body["started_at"] = seconds(started).into();
    }
    if let Some(conclusion) = conclusion {
        body["conclusion"] = conclusion.into();
        if let Some(finished) = part.finished.or(report.finished) {
            body["completed_at"] = seconds(finished).into();
        }
        if part.has_button {
            body["actions"] = json!([{
                "label": "Run again",
                "identifier": "rerun",
                "description": "Runs the whole build again",
            }]);
        }
    }
    let log = part.job.filter(|_| part.phase.has_failed()).map(|job| job.log.as_str());
    Check { body, annotations: log.map(annotations).unwrap_or_default() }
}

/// GitHub takes no fractions of seconds that are longer than it likes.
fn seconds(moment: jiff::Timestamp) -> String {
    moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// What is to be seen at once: how it stands and why, and the jobs.
fn summary(part: &Part<'_>, report: &BuildReport, message: &str) -> String {
    let mut summary = format!("**{}**", part.stands());
    if let Some(reason) = part.reason.filter(|reason| !reason.trim().is_empty()) {
        summary += &format!(": {}", code(beginning(reason, 2000)));
    }
    for said in [message, report.summary.as_deref().unwrap_or_default()] {
        if part.job.is_none() && !said.trim().is_empty() {
            summary += &format!("\n\n{}", fenced(beginning(said, 8000), 8000));
        }
    }
    let about = [
        ("build", report.build.as_str()),
        ("event", &report.event),
        ("ref", &report.reference),
        ("pod", part.job.map_or("", |job| &job.pod)),
    ];
    let about = about.iter().filter(|(_, value)| !value.is_empty());
    let about: Vec<String> =
        about.map(|(name, value)| format!("{name} {}", code(&short(value, 200)))).collect();
    summary += &format!("\n\n{}\n", about.join(", "));
    if part.job.is_some() || report.jobs.is_empty() {
        return summary;
    }
    summary += "\n| Job | State | Took |\n| --- | --- | --- |\n";
    let jobs = parts(report, None);
    for (index, job) in jobs.iter().skip(1).enumerate() {
        let name = code(&short(job.job.map_or("", |job| &job.name), 200));
        let reason = job.reason.map(|reason| short(reason, 200)).filter(|all| !all.is_empty());
        let reason = reason.map(|reason| format!(": {}", code(&reason))).unwrap_or_default();
        let took = span(job.started, job.finished).unwrap_or_default();
        let row = format!("| {name} | {}{reason} | {took} |\n", job.phase.word());
        if summary.len() + row.len() + 100 > LIMIT {
            return summary + &more(report.jobs.len() - index);
        }
        summary += &row;
    }
    match report.jobs.len() - (jobs.len() - 1) {
        0 => summary,
        left => summary + &more(left),
    }
}

fn more(jobs: usize) -> String {
    format!("\nAnd {jobs} more.\n")
}

/// What is to be seen on a second look: the ends of logs, of what failed first.
fn text(part: &Part<'_>, report: &BuildReport) -> Option<String> {
    let heading = |name: &str, log: &str, limit: usize| {
        let heading = format!("### {name}\n\n");
        let log = fenced(log, limit.saturating_sub(heading.len() + 2));
        format!("{heading}{log}\n\n")
    };
    if let Some(job) = part.job {
        return (!job.log.trim().is_empty()).then(|| fenced(&job.log, LIMIT));
    }
    let failed: Vec<_> = report.jobs.iter().filter(|job| !job.log.trim().is_empty()).collect();
    let script = report.log.trim();
    if failed.is_empty() && script.is_empty() {
        return None;
    }
    let mut text = String::new();
    // The script's own log has its place, and the jobs share what is left.
    let room = LIMIT - if script.is_empty() { 0 } else { SHARE };
    let share = (room / failed.len().max(1)).max(1000);
    for job in failed {
        let section = heading(&code(&short(&job.name, 200)), &job.log, share);
        if text.len() + section.len() > room {
            break;
        }
        text += &section;
    }
    if !script.is_empty() {
        text += &heading("The script", script, LIMIT - text.len());
    }
    text.truncate(text.trim_end().len());
    Some(text)
}
