//! Writes one check run, as Brigade's image `brigade-github-check-run` did, so that a script's
//! notifications keep working.
//!
//! - `CHECK_PAYLOAD`: the event's payload, of a check suite, a check run or a comment: it has the
//!   token, the commit and the repository. Required.
//! - `CHECK_NAME` (`Brigade`), `CHECK_TITLE` (`Running Check`), `CHECK_SUMMARY`, `CHECK_TEXT`: what
//!   it says. Of a summary that is too long the beginning is kept, of a text the end.
//! - `CHECK_CONCLUSION`: `success`, `failure`, `neutral`, `cancelled`, `timed_out`, `skipped` or
//!   `action_required`; without one it goes on.
//! - `CHECK_STARTED_AT` (now), `CHECK_DETAILS_URL`, `CHECK_EXTERNAL_ID`
//! - `CHECK_ACTIONS`: up to three buttons, `[{"label", "identifier", "description"}]`
//! - `GITHUB_BASE_URL`: the API of a GitHub Enterprise server; `GITHUB_UPLOAD_URL` is taken, and not
//!   needed
//!
//! It exits with 1 if a variable is not understood or GitHub refuses, with 2 if the payload says too
//! little, and with 3 if GitHub cannot be asked.
//!
//! <https://docs.github.com/rest/checks/runs#create-a-check-run>

use http::Method;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Client, SINK};
use super::markdown::{LIMIT, beginning};
use super::{is_commit, is_repository, is_web};
use crate::text::line;
use crate::{Outbox, TellError, Told, Variables};

/// The variables that it reads.
pub const NAMES: &[&str] = &[
    "CHECK_PAYLOAD",
    "CHECK_NAME",
    "CHECK_TITLE",
    "CHECK_SUMMARY",
    "CHECK_TEXT",
    "CHECK_CONCLUSION",
    "CHECK_STARTED_AT",
    "CHECK_DETAILS_URL",
    "CHECK_EXTERNAL_ID",
    "CHECK_ACTIONS",
    "GITHUB_BASE_URL",
    "GITHUB_UPLOAD_URL",
];

/// What a check run may come to.
const CONCLUSIONS: [&str; 7] =
    ["success", "failure", "neutral", "cancelled", "timed_out", "skipped", "action_required"];

/// How many letters an action's label, identifier and description may have.
const ACTION: [(&str, usize); 3] = [("label", 20), ("identifier", 20), ("description", 40)];

/// Why no check run was written.
#[derive(Debug, thiserror::Error)]
pub enum CheckRunError {
    /// A variable is missing or wrong, or GitHub refused.
    #[error(transparent)]
    Told(#[from] TellError),
    /// The payload says too little.
    #[error("the payload {0}")]
    Payload(&'static str),
}

impl CheckRunError {
    /// The exit code of Brigade's image.
    pub fn code(&self) -> u8 {
        match self {
            CheckRunError::Payload(_) => 2,
            CheckRunError::Told(TellError::Forbidden { .. } | TellError::Away { .. }) => 3,
            CheckRunError::Told(TellError::Variable { name: "GITHUB_BASE_URL", .. }) => 3,
            CheckRunError::Told(_) => 1,
        }
    }
}

/// The payload, as the GitHub receiver wraps it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Payload {
    #[serde(rename = "type")]
    kind: String,
    token: String,
    commit: String,
    body: Body,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    repository: Repository,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Repository {
    full_name: String,
}

/// Writes the check run that the variables describe.
pub async fn tell(variables: &Variables, outbox: &Outbox) -> Result<Told, CheckRunError> {
    let payload = variables.required("CHECK_PAYLOAD")?;
    // What the parser says could repeat the token.
    let payload: Payload = serde_json::from_str(payload)
        .map_err(|_quoting| wrong("CHECK_PAYLOAD", "is not the JSON of an event's payload"))?;
    let body = body(variables, &payload, Timestamp::now())?;
    let repository = &payload.body.repository.full_name;
    if !matches!(payload.kind.as_str(), "check_run" | "check_suite" | "issue_comment") {
        return Err(CheckRunError::Payload(
            "is of no check_run, check_suite or issue_comment event",
        ));
    }
    if !is_repository(repository) {
        return Err(CheckRunError::Payload("names no repository"));
    }
    if !is_commit(&payload.commit) {
        return Err(CheckRunError::Payload("names no commit"));
    }
    if payload.token.is_empty() {
        return Err(CheckRunError::Payload(
            "has no token: the functions must know the GitHub App (APP_ID, APP_KEY)",
        ));
    }
    let client = Client::new(variables, payload.token.as_str().into(), outbox)?;
    let path = format!("repos/{repository}/check-runs");
    let answer = client.call(Method::POST, &path, Some(&body)).await?;
    let url = answer["html_url"].as_str().unwrap_or_default();
    let name = line(body["name"].as_str().unwrap_or_default(), 100);
    let said =
        format!("told {SINK} of the check run {name} {}", line(url, 300)).trim_end().to_owned();
    Ok(Told { handle: None, said })
}

fn body(variables: &Variables, payload: &Payload, now: Timestamp) -> Result<Value, TellError> {
    let text = |name: &str| variables.get(name).unwrap_or_default();
    let or = |name: &str, default: &str| match line(text(name), 255) {
        text if text.is_empty() => default.to_owned(),
        text => text,
    };
    let started = match text("CHECK_STARTED_AT").trim() {
        "" => now,
        moment => moment.parse().map_err(|_unparsed| {
            wrong("CHECK_STARTED_AT", "is no moment, such as 2026-03-01T10:00:00Z")
        })?,
    };
    let written = |moment: Timestamp| moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let mut output = json!({
        "title": or("CHECK_TITLE", "Running Check"),
        // GitHub wants one.
        "summary": beginning(text("CHECK_SUMMARY"), LIMIT),
    });
    let end = text("CHECK_TEXT");
    if !end.is_empty() {
        output["text"] = end[end.ceil_char_boundary(end.len().saturating_sub(LIMIT))..].into();
    }
    let mut body = json!({
        "name": or("CHECK_NAME", "Brigade"),
        "head_sha": payload.commit,
        "started_at": written(started),
        "status": "in_progress",
        "output": output,
    });
    match text("CHECK_CONCLUSION").trim() {
        "" => {}
        conclusion if CONCLUSIONS.contains(&conclusion) => {
            body["status"] = "completed".into();
            body["conclusion"] = conclusion.into();
            body["completed_at"] = written(now).into();
        }
        _ => {
            return Err(wrong(
                "CHECK_CONCLUSION",
                "is none of success, failure, neutral, cancelled, timed_out, skipped and \
                 action_required",
            ));
        }
    }
    match text("CHECK_DETAILS_URL").trim() {
        "" => {}
        url if is_web(url) => body["details_url"] = url.into(),
        _ => return Err(wrong("CHECK_DETAILS_URL", "is no address that begins with https://")),
    }
    if variables.get("CHECK_EXTERNAL_ID").is_some() {
        body["external_id"] = beginning(text("CHECK_EXTERNAL_ID"), 1000).into();
    }
    match text("CHECK_ACTIONS").trim() {
        "" => {}
        list => body["actions"] = actions(list)?,
    }
    Ok(body)
}

/// The buttons, if GitHub takes them.
fn actions(list: &str) -> Result<Value, TellError> {
    const WRONG: &str = "is no JSON list of {\"label\", \"identifier\", \"description\"}, three at most, with up to \
         20, 20 and 40 letters";
    let error = || wrong("CHECK_ACTIONS", WRONG);
    let list: Vec<Value> = serde_json::from_str(list).map_err(|_quoting| error())?;
    let fits = |action: &Value| {
        ACTION.iter().all(|(name, most)| {
            let text = action[*name].as_str().unwrap_or_default();
            !text.is_empty() && text.chars().count() <= *most
        })
    };
    if list.len() > 3 || !list.iter().all(fits) {
        return Err(error());
    }
    let known = |action: &Value| {
        let pairs = ACTION.iter().map(|(name, _)| ((*name).to_owned(), action[*name].clone()));
        Value::Object(pairs.collect())
    };
    Ok(list.iter().map(known).collect())
}

fn wrong(name: &'static str, problem: &str) -> TellError {
    TellError::Variable { name, problem: problem.to_owned() }
}
