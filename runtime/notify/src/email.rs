//! Sends email.

use serde_json::Value;

use crate::{Notification, Outbox, TellError, Told, Variables};

/// The variables that it reads.
pub(crate) const NAMES: &[&str] = &["SMTP_URL", "EMAIL_FROM", "EMAIL_TO"];

pub(crate) async fn tell(
    _variables: &Variables,
    _notification: &Notification,
    _before: Option<&Value>,
    _outbox: &Outbox,
) -> Result<Told, TellError> {
    std::future::ready(()).await;
    let problem = "nothing is sent there yet".to_owned();
    Err(TellError::Forbidden { sink: "the mail server".to_owned(), problem })
}
