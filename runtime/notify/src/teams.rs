//! Tells Microsoft Teams.

use crate::{Notification, Outbox, TellError, Told, Variables};

/// The variables that it reads.
pub(crate) const NAMES: &[&str] = &["TEAMS_WEBHOOK"];

pub(crate) async fn tell(
    _variables: &Variables,
    _notification: &Notification,
    _outbox: &Outbox,
) -> Result<Told, TellError> {
    std::future::ready(()).await;
    let problem = "nothing is sent there yet".to_owned();
    Err(TellError::Forbidden { sink: "Teams".to_owned(), problem })
}
