//! Tells a program of one's own: a CloudEvent, signed as Standard Webhooks have it.

use crate::{Notification, Outbox, TellError, Told, Variables};

/// The variables that it reads.
pub(crate) const NAMES: &[&str] = &["WEBHOOK_URL", "WEBHOOK_SECRET", "WEBHOOK_TOKEN"];

pub(crate) async fn tell(
    _variables: &Variables,
    _notification: &Notification,
    _outbox: &Outbox,
) -> Result<Told, TellError> {
    std::future::ready(()).await;
    let problem = "nothing is sent there yet".to_owned();
    Err(TellError::Forbidden { sink: "the webhook".to_owned(), problem })
}
