//! Tells Slack.
//!
//! - By an incoming webhook: `SLACK_WEBHOOK`, its URL, which is a secret.
//! - As a bot: `SLACK_BOT_TOKEN`, with the scope `chat:write` (`chat:write.customize` for a name and
//!   an icon of one's own, `chat:write.public` for channels that it is not in), and `SLACK_CHANNEL`.
//!   A bot's message of a build is changed as the build goes on, and how it ends is answered in its
//!   thread. It is taken where both are set.
//! - Both: `SLACK_USERNAME`, `SLACK_ICON` (a URL, or an emoji's name), and `SLACK_COLOR` for messages
//!   that have none of their own. Webhooks of Slack apps ignore names, icons and channels.
//!
//! A message is a title, and below it an attachment with a coloured bar. Nothing that strangers wrote
//! is formatted, is a link, or calls anybody.
//!
//! <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>,
//! <https://docs.slack.dev/reference/methods/chat.postMessage>

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Value, json};

use crate::outbox::Message;
use crate::{Notification, Outbox, TellError, Told, Tone, Variables};

mod classic;
mod markup;
mod message;
mod said;

#[cfg(test)]
mod tests;

pub use classic::{CLASSIC_NAMES, tell_as_written};

/// The variables that it reads.
pub(crate) const NAMES: &[&str] = &[
    "SLACK_WEBHOOK",
    "SLACK_BOT_TOKEN",
    "SLACK_CHANNEL",
    "SLACK_USERNAME",
    "SLACK_ICON",
    "SLACK_COLOR",
];

/// Slack's API.
const API: &str = "https://slack.com/api/";

/// Tells somebody something in Slack.
pub(crate) async fn tell(
    variables: &Variables,
    notification: &Notification,
    before: Option<&Value>,
    outbox: &Outbox,
) -> Result<Told, TellError> {
    let body = message::message(variables, notification);
    let title = notification.brief();
    match (variables.get("SLACK_BOT_TOKEN"), variables.get("SLACK_CHANNEL")) {
        (Some(token), Some(channel)) => {
            let bot = Bot { token: token.trim(), outbox };
            bot.tell(channel.trim(), body, notification, before, &title).await
        }
        (Some(_), None) if variables.get("SLACK_WEBHOOK").is_none() => {
            let problem = "is not set: a bot must be told where to write".to_owned();
            Err(TellError::Variable { name: "SLACK_CHANNEL", problem })
        }
        _ => {
            let hook = variables.required("SLACK_WEBHOOK")?;
            let answer = outbox.send(request(hook, &body, None)?, |_answer| false).await?;
            if !outbox.is_dry() && !said::is_taken(&answer) {
                return Err(said::refusal(&answer));
            }
            Ok(Told { handle: None, said: format!("told Slack of {title}") })
        }
    }
}

/// Who writes as an app, and may change what it wrote.
struct Bot<'a> {
    token: &'a str,
    outbox: &'a Outbox,
}

impl Bot<'_> {
    /// Writes a message, or changes the one that was written before of the same build, and answers
    /// in its thread when that ends.
    async fn tell(
        &self,
        channel: &str,
        mut body: Value,
        notification: &Notification,
        before: Option<&Value>,
        title: &str,
    ) -> Result<Told, TellError> {
        let known = |key: &str| before.and_then(|before| before[key].as_str());
        if let (Some(home), Some(moment)) = (known("channel"), known("ts")) {
            body["channel"] = home.into();
            body["ts"] = moment.into();
            match self.call("chat.update", &body).await {
                Ok(_) => {
                    if notification.tone != Tone::Running {
                        let reply = message::reply(notification, home, moment);
                        self.call("chat.postMessage", &reply).await?;
                    }
                    let handle = Some(json!({"channel": home, "ts": moment}));
                    let said = format!("told Slack's {channel} of {title}, in its message");
                    return Ok(Told { handle, said });
                }
                // It was deleted, or is too old to be changed.
                Err(Refusal::Gone) => {
                    body.as_object_mut().map(|body| body.remove("ts"));
                }
                Err(Refusal::For(error)) => return Err(error),
            }
        }
        body["channel"] = channel.into();
        let answer = self.call("chat.postMessage", &body).await?;
        // The name of a channel is none to change a message in; its id is.
        let place = |key: &str| answer[key].as_str().filter(|place| place.len() <= 100);
        let handle = match (place("channel"), place("ts")) {
            (Some(channel), Some(moment)) => Some(json!({"channel": channel, "ts": moment})),
            _ => None,
        };
        Ok(Told { handle, said: format!("told Slack's {channel} of {title}") })
    }

    /// Calls a method of the API, whose answer says itself whether it is a yes.
    async fn call(&self, method: &str, body: &Value) -> Result<Value, Refusal> {
        let url = format!("{API}{method}");
        let message = request(&url, body, Some(self.token))?;
        let answer = self.outbox.send(message, said::is_passing).await?;
        if self.outbox.is_dry() {
            return Ok(Value::Null);
        }
        let read: Option<Value> = serde_json::from_slice(&answer.body).ok();
        match read.filter(|read| read["ok"].is_boolean()) {
            Some(read) if read["ok"] == true => Ok(read),
            Some(read) if said::is_gone(&read) => Err(Refusal::Gone),
            _ => Err(Refusal::For(said::refusal(&answer))),
        }
    }
}

/// Why a call was not heard.
enum Refusal {
    /// There is no such message, or it can no more be changed.
    Gone,
    /// For another reason.
    For(TellError),
}

impl From<TellError> for Refusal {
    fn from(error: TellError) -> Refusal {
        Refusal::For(error)
    }
}

impl From<Refusal> for TellError {
    fn from(refusal: Refusal) -> TellError {
        match refusal {
            Refusal::For(error) => error,
            Refusal::Gone => TellError::Refused {
                sink: "Slack".to_owned(),
                words: "the message is gone".to_owned(),
                way_out: String::new(),
            },
        }
    }
}

fn request<'a>(url: &'a str, body: &Value, token: Option<&str>) -> Result<Message<'a>, TellError> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    if let Some(token) = token {
        let value = HeaderValue::from_str(&format!("Bearer {token}"));
        let mut value = value.map_err(|_quoting| TellError::Variable {
            name: "SLACK_BOT_TOKEN",
            problem: "has characters that no token has".to_owned(),
        })?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    let body = body.to_string().into_bytes();
    Ok(Message { sink: "Slack", method: Method::POST, url, headers, body })
}
