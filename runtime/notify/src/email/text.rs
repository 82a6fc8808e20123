//! What a letter says: plain text, and the same in HTML.

use std::fmt::Write;

use crate::text::{clean, cut, short, tail};
use crate::{Notification, Tone};

/// How long a message may be, in characters.
const MESSAGE: usize = 20_000;

/// How many fields are written, and how long they may be.
const FIELDS: (usize, usize) = (50, 1000);

/// How many logs are written, and how much of each.
const LOGS: (usize, usize) = (5, 4000);

/// The longest address that is written.
const URL: usize = 2000;

/// What is said, without control characters and not too long.
pub(super) struct Said {
    pub(super) title: String,
    message: String,
    fields: Vec<(String, String)>,
    /// Names, and the ends of logs.
    logs: Vec<(String, String)>,
    url: Option<String>,
    color: String,
}

pub(super) fn said(notification: &Notification) -> Said {
    let report = notification.build.as_deref();
    // What is not said is said of the build.
    let message = match report {
        Some(report) if notification.message.trim().is_empty() => report.words(),
        _ => &notification.message,
    };
    let message = &message[..message.floor_char_boundary(16 * MESSAGE)];
    let title = match (short(&notification.title, 200), report) {
        (title, Some(report)) if title.is_empty() => short(&report.headline(), 200),
        (title, None) if title.is_empty() => "Brigantine".to_owned(),
        (title, _) => title,
    };
    let of_build = report.filter(|_| notification.fields.is_empty()).map(|report| report.values());
    let fields = notification.fields.iter().chain(of_build.iter().flatten()).take(FIELDS.0);
    let jobs = report.iter().flat_map(|report| &report.jobs);
    let logs = jobs.map(|job| (job.name.as_str(), job.log.as_str()));
    let script = report
        .filter(|_| notification.tone == Tone::Bad)
        .map(|report| ("The script", report.log.as_str()));
    let logs = logs.chain(script).filter(|(_, log)| !log.trim().is_empty());
    let url = notification.url.as_ref().or(report.and_then(|report| report.url.as_ref()));
    let is_web = |url: &&String| {
        url.len() <= URL && (url.starts_with("https://") || url.starts_with("http://"))
    };
    Said {
        title,
        message: cut(clean(message, true).trim(), MESSAGE),
        fields: fields
            .map(|field| (short(&field.name, 100), short(&field.value, FIELDS.1)))
            .collect(),
        logs: logs.take(LOGS.0).map(|(name, log)| (short(name, 200), end(log))).collect(),
        url: url.filter(is_web).map(|url| short(url, URL)),
        color: color(notification),
    }
}

impl Said {
    pub(super) fn plain(&self) -> String {
        let mut parts = vec![self.title.clone()];
        if !self.message.is_empty() {
            parts.push(self.message.clone());
        }
        if !self.fields.is_empty() {
            let fields = self.fields.iter().map(|(name, value)| format!("{name}: {value}"));
            parts.push(fields.collect::<Vec<_>>().join("\n"));
        }
        for (name, log) in &self.logs {
            let log: Vec<String> = log.lines().map(|line| format!("    {line}")).collect();
            parts.push(format!("{name}:\n\n{}", log.join("\n")));
        }
        parts.extend(self.url.clone());
        parts.join("\n\n") + "\n"
    }

    pub(super) fn html(&self) -> String {
        let mut html = format!(
            "<!DOCTYPE html>\n<html><body style=\"font-family: sans-serif\">\n\
             <div style=\"border-left: 4px solid {}; padding-left: 12px\">\n<h3>{}</h3>\n",
            self.color,
            escaped(&self.title)
        );
        let mut add = |text: std::fmt::Arguments<'_>| {
            let _infallible = html.write_fmt(text);
        };
        if !self.message.is_empty() {
            let message = escaped(&self.message);
            add(format_args!("<p style=\"white-space: pre-wrap\">{message}</p>\n"));
        }
        if !self.fields.is_empty() {
            add(format_args!("<table>\n"));
            for (name, value) in &self.fields {
                let (name, value) = (escaped(name), escaped(value));
                add(format_args!("<tr><th align=\"left\">{name}</th><td>{value}</td></tr>\n"));
            }
            add(format_args!("</table>\n"));
        }
        for (name, log) in &self.logs {
            add(format_args!("<h4>{}</h4>\n<pre>{}</pre>\n", escaped(name), escaped(log)));
        }
        if let Some(url) = &self.url {
            let url = escaped(url);
            add(format_args!("<p><a href=\"{url}\">{url}</a></p>\n"));
        }
        html + "</div>\n</body></html>\n"
    }
}

/// The colour of the bar: only such as are written in digits.
fn color(notification: &Notification) -> String {
    let is_color = |color: &&String| {
        let digits = color.strip_prefix('#').unwrap_or_default();
        matches!(digits.len(), 3 | 6) && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let own = notification.color.as_ref().filter(is_color);
    own.map_or(notification.tone.color(), |color| color).to_owned()
}

/// The end of a log.
fn end(log: &str) -> String {
    let from = log.ceil_char_boundary(log.len().saturating_sub(16 * LOGS.1));
    tail(clean(&log[from..], true).trim(), LOGS.1)
}

/// Text in HTML.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[test]
fn what_is_not_said_is_said_of_the_build() {
    let bare = crate::sample::failed();
    let text = said(&bare).plain();
    for words in ["acme/app: push of main has failed", "exit code 2", "Event: push", "Ref: main"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(text.contains("https://ci.example/builds/"), "{text}");
    let field = crate::Field { name: "Crew".to_owned(), value: "Ada".to_owned() };
    let own = Notification {
        title: "Ahoy".to_owned(),
        message: "all hands".to_owned(),
        fields: vec![field],
        ..bare
    };
    let text = said(&own).plain();
    assert!(text.starts_with("Ahoy\n\nall hands\n\nCrew: Ada\n"), "{text}");
    assert!(!text.contains("Event: push"), "{text}");
}
