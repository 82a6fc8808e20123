//! Cuts what is told to what fits a variable of a pod, and with that the Secret of its job.

use notify::Notification;
use serde_json::Value;
use url::Url;

/// The longest notification, in bytes of JSON.
pub(super) const LIMIT: usize = 64 * 1024;

/// The longest CloudEvent that a program is given as it is, in bytes of JSON.
pub(super) const EVENT: usize = 32 * 1024;

/// The most fields and jobs.
const MOST: usize = 50;

/// The notification as JSON, cut until it fits.
pub(super) fn json(notification: &mut Notification) -> String {
    let mut share = 1;
    loop {
        cut_to(notification, share);
        let json = serde_json::to_string(notification).expect("a notification is texts and lists");
        if json.len() <= LIMIT || share > LIMIT {
            return json;
        }
        share *= 2;
    }
}

/// Cuts the logs of a build or a job of ours until the event fits; whether it does.
pub(super) fn event(event: &mut Value) -> bool {
    let is_report = event["type"].as_str().is_some_and(|kind| kind.starts_with("dev.brigantine."));
    let mut most = EVENT;
    while event.to_string().len() > EVENT {
        let data = event.get_mut("data").and_then(Value::as_object_mut);
        let Some(data) = data.filter(|_| is_report && most > 0) else { return false };
        most /= 2;
        let (mut own, mut jobs) = (None, None);
        for (name, value) in data {
            match (name.as_str(), value) {
                ("log", Value::String(log)) => own = Some(log),
                ("jobs", Value::Array(all)) => jobs = Some(all),
                _ => {}
            }
        }
        let logs = jobs.into_iter().flatten().filter_map(|job| match job.get_mut("log") {
            Some(Value::String(log)) => Some(log),
            _ => None,
        });
        for log in own.into_iter().chain(logs) {
            keep_end(log, most);
        }
    }
    true
}

/// Cuts everything that a stranger may have written to a share of what it may have at most.
fn cut_to(notification: &mut Notification, share: usize) {
    let Notification { title, message, color, fields, url, build, .. } = notification;
    cut(title, 500 / share);
    *title = title.replace(['\n', '\t'], " ");
    cut(message, 16 * 1024 / share);
    *color = color.take().filter(|color| is_color(color));
    fields.truncate(MOST / share);
    for field in fields {
        cut(&mut field.name, 100 / share);
        cut(&mut field.value, 1000 / share);
    }
    *url = url.take().and_then(|url| link(&url));
    let Some(build) = build else { return };
    for text in [
        &mut build.build,
        &mut build.project,
        &mut build.repository,
        &mut build.event,
        &mut build.provider,
        &mut build.commit,
        &mut build.reference,
        &mut build.phase,
    ] {
        cut(text, 300 / share);
    }
    cut(&mut build.title, 500 / share);
    for text in [&mut build.reason, &mut build.summary].into_iter().flatten() {
        cut(text, 2000 / share);
    }
    build.url = build.url.take().and_then(|url| link(&url));
    keep_end(&mut build.log, 8 * 1024 / share);
    build.jobs.truncate(MOST / share);
    for job in &mut build.jobs {
        for text in [&mut job.name, &mut job.pod, &mut job.phase] {
            cut(text, 100 / share);
        }
        if let Some(reason) = &mut job.reason {
            cut(reason, 500 / share);
        }
        keep_end(&mut job.log, 8 * 1024 / share);
    }
}

/// Cuts a text to so many bytes, at the end of a character; it keeps no control characters but the
/// ends of lines and tabs.
pub(super) fn cut(text: &mut String, most: usize) {
    text.retain(is_kept);
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most.saturating_sub('…'.len_utf8())));
        text.push('…');
    }
}

/// The same of a log, whose end counts.
fn keep_end(text: &mut String, most: usize) {
    text.retain(is_kept);
    if text.len() > most {
        let from = text.len() - most.saturating_sub('…'.len_utf8());
        text.replace_range(..text.ceil_char_boundary(from), "…");
    }
}

fn is_kept(c: char) -> bool {
    !c.is_control() || matches!(c, '\n' | '\t')
}

/// An address that people may follow: of a page, and without a password.
pub(super) fn link(url: &str) -> Option<String> {
    let parsed = Url::parse(url.trim()).ok()?;
    let is_page = matches!(parsed.scheme(), "http" | "https") && parsed.has_host();
    let is_plain = parsed.username().is_empty() && parsed.password().is_none();
    let url = String::from(parsed);
    (is_page && is_plain && url.len() <= 2000).then_some(url)
}

/// Whether a text may be a colour: `#rrggbb`, or a word.
fn is_color(color: &str) -> bool {
    let digits = color.strip_prefix('#').unwrap_or(color);
    (3..=20).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
