//! Tells Microsoft Teams.
//!
//! By a webhook of a Workflow or of one of the older connectors: `TEAMS_WEBHOOK`, its URL, which is a
//! secret and is used as it is. A message is an Adaptive Card of 20 KB at most, since Teams takes no
//! more than 28, and some of its ways less: logs are cut first, then what else is long.
//!
//! Workflows answer 202, or 200 where their author made them answer. Connectors answer 200 whatever
//! they think of it, and `1` if it went well: an empty 200 of theirs is no yes.
//!
//! <https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook>,
//! <https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using>

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use reqwest::Url;

use crate::outbox::{Answer, Message};
use crate::{Notification, Outbox, TellError, Told, Variables};

mod card;
mod markup;

#[cfg(test)]
mod tests;

/// The variables that it reads.
pub(crate) const NAMES: &[&str] = &["TEAMS_WEBHOOK"];

/// Tells somebody something in Teams.
pub(crate) async fn tell(
    variables: &Variables,
    notification: &Notification,
    outbox: &Outbox,
) -> Result<Told, TellError> {
    let url = variables.required("TEAMS_WEBHOOK")?;
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    let body = card::message(notification).into_bytes();
    let message = Message { sink: "Teams", method: Method::POST, url, headers, body };
    let says_yes = is_connector(url);
    let answer = outbox.send(message, |answer| is_passing(answer, says_yes)).await?;
    if outbox.is_dry() || is_taken(&answer, says_yes) {
        Ok(Told { handle: None, said: format!("told Teams of {}", notification.brief()) })
    } else {
        Err(answer.refused(&way_out(&answer)))
    }
}

/// Whether an address is that of an older connector, whose yes has words. Workflows have too many
/// hosts to be known by theirs.
fn is_connector(url: &str) -> bool {
    let url = Url::parse(url.trim()).ok();
    url.as_ref().and_then(Url::host_str).is_some_and(|host| {
        let host = host.trim_end_matches('.');
        host.ends_with(".office.com") || host.ends_with(".office365.com")
    })
}

fn is_taken(answer: &Answer, says_yes: bool) -> bool {
    let body = answer.body.trim_ascii();
    match answer.status {
        StatusCode::ACCEPTED => true,
        StatusCode::OK => body == b"1" || (body.is_empty() && !says_yes),
        _ => false,
    }
}

/// Whether a connector says in a yes that Teams was too busy.
fn is_passing(answer: &Answer, says_yes: bool) -> bool {
    answer.status == StatusCode::OK
        && !is_taken(answer, says_yes)
        && matches!(inner(answer), Some(408 | 429 | 500 | 502 | 503 | 504))
}

/// What to do about a no.
fn way_out(answer: &Answer) -> String {
    let status = inner(answer).unwrap_or(answer.status.as_u16());
    let way_out = match status {
        400 => {
            "a Workflow must begin with `When a Teams webhook request is received`, and post the \
             card that it is given"
        }
        401 | 403 => {
            "the webhook's address is not whole, or no longer signed: copy it from the Workflow again, \
             with everything after the question mark"
        }
        404 | 410 => {
            "the Workflow or the connector was deleted or is turned off, as connectors are: make a \
             Workflow, and set TEAMS_WEBHOOK to its address"
        }
        413 => "the message is too long for Teams, which is a fault of this program",
        200 => "Teams says 1, so that this is somebody else, or a no: look at the address",
        _ => return String::new(),
    };
    format!("; {way_out}")
}

/// The status that is in the words of a connector: `... returned HTTP error 429 ...`.
fn inner(answer: &Answer) -> Option<u16> {
    if answer.status != StatusCode::OK {
        return None;
    }
    let words = String::from_utf8_lossy(&answer.body);
    let (_, status) = words.split_once("HTTP error ")?;
    status.get(..3)?.parse().ok()
}
