//! What notifiers are told of a build and of its jobs.

use jiff::Timestamp;
use runtime::project::{Moment, Notifier, NotifierKind, Project};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::story::in_address;
use crate::{BuildReport, JobReport, Notification, Tone, Variables, names};

/// How much of an event are the logs and the reasons of jobs, in bytes.
const LOGS: usize = 64 << 10;

/// The settings of a notifier: its own, else the project's secrets of these names, and for GitHub
/// what the project says of its repository.
pub(super) fn variables(project: &Project, notifier: &Notifier) -> Variables {
    Variables::of(names(notifier.kind), |name| {
        if let Some(setting) = notifier.settings.get(name) {
            return Some(setting.expose_secret().to_owned());
        }
        let secret = project.secrets.get(name).and_then(|value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(truth) => Some(truth.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        });
        secret.or_else(|| match (notifier.kind, name) {
            (NotifierKind::Github, "GITHUB_TOKEN") => {
                Some(project.github_token.expose_secret().to_owned())
            }
            (NotifierKind::Github, "GITHUB_BASE_URL") => Some(project.github_base_url.clone()),
            _ => None,
        })
    })
}

/// What is told of a build.
pub(super) fn of_build(notifier: &Notifier, story: &BuildReport) -> Notification {
    let data = data(story);
    let title = notifier.title.as_ref().map(|template| template.render(&data));
    let message = notifier.message.as_ref().map(|template| template.render(&data));
    let time = story.finished.or(story.started);
    let id = format!("{}.{}", story.build, story.moment.name());
    // GitHub shows builds in words of its own, beside the commit.
    let is_short = notifier.kind == NotifierKind::Github;
    let title = title.filter(|text| !text.trim().is_empty());
    let default = |words: fn(&BuildReport) -> String| {
        if is_short { String::new() } else { words(story) }
    };
    Notification {
        title: title.unwrap_or_else(|| default(BuildReport::headline)),
        message: message.unwrap_or_else(|| default(|story| story.words().to_owned())),
        tone: tone(story.moment),
        color: None,
        fields: story.values(),
        url: story.url.clone(),
        build: Some(Box::new(story.clone())),
        event: Some(event(&id, "build", story.moment.name(), story, &story.build, time, data)),
        time,
        id,
    }
}

/// What is told of a build to programs, and to templates. The worst builds have the most to say, and
/// who takes no events of that length would not be told of exactly those.
fn data(story: &BuildReport) -> Value {
    let mut data = serde_json::to_value(story).unwrap_or_default();
    let mut left = LOGS;
    for job in data["jobs"].as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        for key in ["log", "reason"] {
            let length = job.get(key).and_then(Value::as_str).map_or(0, str::len);
            match left.checked_sub(length) {
                Some(rest) => left = rest,
                None => drop(job.remove(key)),
            }
        }
    }
    data
}

/// What has happened, in a line for the log.
pub(super) fn that(moment: Moment) -> &'static str {
    match moment {
        Moment::Started => "the build has started",
        Moment::Succeeded => "the build has succeeded",
        Moment::Failed => "the build has failed",
        Moment::Recovered => "the build succeeds again",
        Moment::Cancelled => "the build was cancelled",
    }
}

/// What is told of a job.
pub(super) fn of_job(story: &BuildReport, job: &JobReport) -> Notification {
    let (moment, tone) = match job.phase.as_str() {
        "Succeeded" => ("succeeded", Tone::Good),
        "Failed" => ("failed", Tone::Bad),
        _ => ("started", Tone::Running),
    };
    let time = job.finished.or(job.started);
    let id = format!("{}.{}.{moment}", story.build, job.pod);
    let mut data = serde_json::to_value(job).unwrap_or_default();
    for (name, value) in [
        ("build", &story.build),
        ("project", &story.project),
        ("event", &story.event),
        ("commit", &story.commit),
        ("ref", &story.reference),
    ] {
        data[name] = json!(value);
    }
    Notification {
        title: format!("{}: job {} has {moment}", story.project, job.name),
        message: job.reason.clone().unwrap_or_default(),
        tone,
        url: story.url.clone(),
        event: Some(event(&id, "job", moment, story, &job.pod, time, data)),
        time,
        id,
        ..Notification::default()
    }
}

/// The CloudEvent, structured, with the name that CDEvents has for its type beside.
fn event(
    id: &str,
    what: &str,
    moment: &str,
    story: &BuildReport,
    subject: &str,
    time: Option<Timestamp>,
    data: Value,
) -> Value {
    let run = if what == "build" { "pipelinerun" } else { "taskrun" };
    let standing = if moment == "started" { "started" } else { "finished" };
    let mut event = json!({
        "specversion": "1.0",
        "id": id,
        "source": format!("/projects/{}", in_address(&story.project)),
        "type": format!("dev.brigantine.{what}.{moment}"),
        "subject": subject,
        "datacontenttype": "application/json",
        "cdeventstype": format!("dev.cdevents.{run}.{standing}.0.2.0"),
        "data": data,
    });
    if let Some(time) = time {
        event["time"] = json!(time);
    }
    event
}

fn tone(moment: Moment) -> Tone {
    match moment {
        Moment::Started => Tone::Running,
        Moment::Succeeded | Moment::Recovered => Tone::Good,
        Moment::Failed => Tone::Bad,
        Moment::Cancelled => Tone::Warning,
    }
}
