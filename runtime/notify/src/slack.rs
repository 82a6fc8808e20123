//! Tells Slack.

use serde_json::Value;

use crate::{Notification, Outbox, TellError, Told, Variables};

/// The variables that it reads.
pub(crate) const NAMES: &[&str] = &[
    "SLACK_WEBHOOK",
    "SLACK_BOT_TOKEN",
    "SLACK_CHANNEL",
    "SLACK_USERNAME",
    "SLACK_ICON",
    "SLACK_COLOR",
];

pub(crate) async fn tell(
    _variables: &Variables,
    _notification: &Notification,
    _before: Option<&Value>,
    _outbox: &Outbox,
) -> Result<Told, TellError> {
    std::future::ready(()).await;
    let problem = "nothing is sent there yet".to_owned();
    Err(TellError::Forbidden { sink: "Slack".to_owned(), problem })
}
