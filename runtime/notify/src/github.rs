//! Tells GitHub: statuses of commits, and check runs.

use serde_json::Value;

use crate::{Notification, Outbox, TellError, Told, Variables};

/// The variables that it reads.
pub(crate) const NAMES: &[&str] = &["GITHUB_TOKEN", "GITHUB_BASE_URL"];

pub(crate) async fn tell(
    _variables: &Variables,
    _notification: &Notification,
    _before: Option<&Value>,
    _outbox: &Outbox,
) -> Result<Told, TellError> {
    std::future::ready(()).await;
    let problem = "nothing is sent there yet".to_owned();
    Err(TellError::Forbidden { sink: "GitHub".to_owned(), problem })
}
