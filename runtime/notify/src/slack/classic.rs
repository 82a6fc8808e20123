//! The environment of technosophos/slack-notify, whose message is as that program made it: one
//! attachment with one field, in Slack's own language.
//!
//! `SLACK_WEBHOOK` and `SLACK_MESSAGE` are required; `SLACK_TITLE`, `SLACK_COLOR`, `SLACK_CHANNEL`,
//! `SLACK_USERNAME`, `SLACK_ICON` (a URL) and `SLACK_MARKDOWN` are as they were there. Scripts write
//! links and mentions in it and mean them, so that nothing of it is neutralised.
//!
//! <https://github.com/technosophos/slack-notify>

use serde_json::json;

use super::{message, request, said};
use crate::{Outbox, TellError, Told, Variables, text};

/// The variables that it reads.
pub const CLASSIC_NAMES: &[&str] = &[
    "SLACK_WEBHOOK",
    "SLACK_MESSAGE",
    "SLACK_TITLE",
    "SLACK_COLOR",
    "SLACK_CHANNEL",
    "SLACK_USERNAME",
    "SLACK_ICON",
    "SLACK_MARKDOWN",
];

/// The longest message that Slack takes.
const LONGEST: usize = 40_000;

/// Tells Slack what its variables say, as they say it.
pub async fn tell_as_written(variables: &Variables, outbox: &Outbox) -> Result<Told, TellError> {
    let hook = variables.required("SLACK_WEBHOOK")?;
    let said = text::cut(variables.required("SLACK_MESSAGE")?, LONGEST);
    let title = variables.get("SLACK_TITLE").unwrap_or_default();
    let field = json!({"title": title, "value": said, "short": false});
    let mut attachment = json!({"fallback": said, "fields": [field]});
    if let Some(color) = variables.get("SLACK_COLOR") {
        attachment["color"] = color.trim().into();
    }
    let mut body = json!({"unfurl_links": false, "attachments": [attachment]});
    if variables.get("SLACK_MARKDOWN").is_some() {
        body["mrkdwn"] = true.into();
    }
    message::speaker(variables, &mut body);
    let answer = outbox.send(request(hook, &body, None)?, |_answer| false).await?;
    // That program asked for no more than a status.
    if !answer.status.is_success() {
        return Err(said::refusal(&answer));
    }
    let title = if title.is_empty() { &said } else { title };
    Ok(Told { handle: None, said: format!("told Slack of {}", text::line(title, 80)) })
}
