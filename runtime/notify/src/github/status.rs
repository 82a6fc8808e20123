//! Statuses of commits, which every token may write that may write to the repository.
//!
//! - `POST /repos/{owner}/{repo}/statuses/{sha}`, one for each change
//! - Limits: a description of 140 characters, each of at most 3 bytes; a `target_url` of http or
//!   https; 1000 statuses of one commit and context
//!
//! <https://docs.github.com/rest/commits/statuses>

use serde_json::{Value, json};

use super::part::{Part, Phase};
use crate::text::line;

/// How long a description may be.
const DESCRIPTION: usize = 140;

/// How long a name may be.
const CONTEXT: usize = 255;

/// The status of a build or a job.
pub(crate) fn status(part: &Part<'_>, url: Option<&str>) -> Value {
    let state = match part.phase {
        Phase::Waiting | Phase::Running => "pending",
        Phase::Succeeded => "success",
        Phase::Failed | Phase::TimedOut => "failure",
        Phase::Cancelled => "error",
    };
    let mut status = json!({
        "state": state,
        "context": narrow(&line(&part.name, CONTEXT)),
        "description": narrow(&part.says(DESCRIPTION)),
    });
    if let Some(url) = url {
        status["target_url"] = url.into();
    }
    status
}

/// A text without the characters that GitHub's database of statuses has no place for.
fn narrow(text: &str) -> String {
    text.chars().map(|c| if c.len_utf8() > 3 { '\u{fffd}' } else { c }).collect()
}
