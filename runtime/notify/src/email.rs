//! Sends email.
//!
//! - `SMTP_URL`: the server, `smtps://user:password@mail.example.com` (encrypted from the beginning,
//!   port 465) or `smtp+starttls://…` (port 587); what is special in a user or a password is written
//!   as `%40`. `smtp://…` is the same as `smtp+starttls://`, but to a host of
//!   `NOTIFY_ALLOWED_HOSTS`, which is spoken to as it can (port 25). Nobody else is given a password
//!   that is not encrypted. A path is the name that the server is greeted with.
//! - `SMTP_USERNAME`, `SMTP_PASSWORD`: instead of those in the address
//! - `EMAIL_FROM`: an address, `Builds <builds@example.com>`
//! - `EMAIL_TO`, `EMAIL_CC`: up to 50 addresses, with commas between
//!
//! A message has a text and the same in HTML. What is told of a build is a thread. A message that is
//! sent again has the same `Message-ID`. A server that says 4yz is asked again, until the budget is
//! spent; what it says with 5yz is the error.
//!
//! <https://www.rfc-editor.org/rfc/rfc5321>, <https://www.rfc-editor.org/rfc/rfc3834>

use serde_json::Value;

use crate::{Notification, Outbox, TellError, Told, Variables};

#[cfg(feature = "email")]
mod letter;
#[cfg(feature = "email")]
mod server;
#[cfg(feature = "email")]
mod text;

#[cfg(feature = "email")]
#[cfg(test)]
mod tests;

/// The variables that it reads.
pub(crate) const NAMES: &[&str] =
    &["SMTP_URL", "EMAIL_FROM", "EMAIL_TO", "EMAIL_CC", "SMTP_USERNAME", "SMTP_PASSWORD"];

/// Who is told, in words.
const SINK: &str = "the mail server";

/// Sends an email.
#[cfg(feature = "email")]
pub(crate) async fn tell(
    variables: &Variables,
    notification: &Notification,
    before: Option<&Value>,
    outbox: &Outbox,
) -> Result<Told, TellError> {
    let server = server::Server::of(variables, outbox)?;
    let letter = letter::letter(variables, notification, before)?;
    let handle = Some(letter.handle.clone());
    if letter.is_sent {
        return Ok(Told { handle, said: format!("told nobody by email: {} is there", letter.id) });
    }
    if outbox.is_dry() {
        outbox.withhold(format!("SMTP {}\n{}", server.shown(), letter.shown()));
    } else {
        server.send(&letter, outbox).await?;
    }
    let count = letter.message.envelope().to().len();
    let (server, title) = (server.shown(), notification.brief());
    let said = format!("told {count} by email through {server} of {title}: {}", letter.id);
    Ok(Told { handle, said })
}

/// Says that this program cannot.
#[cfg(not(feature = "email"))]
pub(crate) async fn tell(
    _variables: &Variables,
    _notification: &Notification,
    _before: Option<&Value>,
    _outbox: &Outbox,
) -> Result<Told, TellError> {
    std::future::ready(()).await;
    let problem = "this program was built without the feature email".to_owned();
    Err(TellError::Unfit { sink: SINK.to_owned(), problem })
}

#[cfg(feature = "email")]
fn wrong(name: &'static str, problem: &str) -> TellError {
    TellError::Variable { name, problem: problem.to_owned() }
}
