//! Stands in for `technosophos/slack-notify`: posts the message that its environment describes.
//!
//! It posts to the emulator's Slack, whatever host `SLACK_WEBHOOK` names, so that nothing leaves
//! the machine.

use std::io::Write;

use anyhow::{Context, Result, bail};
use reqwest::Url;
use serde_json::json;

/// Posts the message; `variable` reads the environment.
pub async fn run(variable: impl Fn(&str) -> Option<String>, out: &mut impl Write) -> Result<()> {
    let get = |name: &str| variable(name).filter(|value| !value.is_empty());
    let webhook = get("SLACK_WEBHOOK").context("the variable SLACK_WEBHOOK is not set")?;
    let webhook = Url::parse(&webhook).ok().context("the variable SLACK_WEBHOOK is no URL")?;
    let message = get("SLACK_MESSAGE").context("the variable SLACK_MESSAGE is not set")?;
    let emulator = get(super::URL_VARIABLE).context("no emulator is near")?;
    let body = json!({
        "username": get("SLACK_USERNAME"),
        "icon_url": get("SLACK_ICON"),
        "channel": get("SLACK_CHANNEL"),
        "attachments": [{
            "fallback": message,
            "color": get("SLACK_COLOR"),
            "fields": [{ "title": get("SLACK_TITLE").unwrap_or("Message".into()), "value": message }],
        }],
    });
    let host = webhook.host_str().unwrap_or("no host");
    writeln!(out, "stand-in for slack-notify: the emulator's Slack is told, not {host}")?;
    let url = format!("{emulator}/tell/https/{host}{}", webhook.path());
    let answer = crate::replay::client()?.post(url).json(&body).send().await;
    let answer = answer.map_err(reqwest::Error::without_url).context("no answer from Slack")?;
    let status = answer.status();
    let text = answer.text().await.context("reading Slack's answer")?;
    if !status.is_success() {
        bail!("Slack refused the message: {} {text}", status.as_u16());
    }
    writeln!(out, "stand-in for slack-notify: Slack said {text}")?;
    Ok(())
}
