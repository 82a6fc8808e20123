//! Tells GitHub how builds and their jobs stand: statuses of commits, and check runs.
//!
//! - A GitHub App writes check runs, with a table of the jobs, the ends of logs, annotations and a
//!   button that runs the build again: by `GITHUB_APP_TOKEN`, a token of its installation, or by
//!   `APP_ID` and `APP_KEY`, or as the operator's App (`APP_SECRET`). It needs the permission to
//!   write checks.
//! - Any other token, `GITHUB_TOKEN`, writes statuses. It needs the permission to write commit
//!   statuses.
//! - One is named `brigantine/<event>`, or `GITHUB_CONTEXT`, and is the build's; one of each job
//!   has `/<job>` after that. The event is without its action where that is `opened`, `reopened`,
//!   `synchronize`, `requested` or `rerequested`, so that a rule for a branch can name the check.
//! - Each is written when something in it has changed, one after the other, as GitHub asks.
//! - `GITHUB_BASE_URL` is the API of a GitHub Enterprise server.
//! - A build of an event that GitHub sends when somebody writes one (`status`, `check_run`,
//!   `check_suite:completed`) is not told: that would be such an event again.
//!
//! <https://docs.github.com/rest/checks/runs>, <https://docs.github.com/rest/commits/statuses>

use http::Method;
use reqwest::Url;
use runtime::github::is_commit;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use self::annotations::AT_ONCE;
use self::check::check;
use self::client::{Client, SINK, Teller, teller, unread};
use self::part::{Part, add_lost, parts};
use self::status::status;
use crate::{BuildReport, Notification, Outbox, TellError, Told, Variables};

pub mod check_run;

mod annotations;
mod check;
mod client;
mod markdown;
mod part;
mod status;

#[cfg(test)]
mod tests;

/// The variables that it reads.
pub(crate) const NAMES: &[&str] =
    &["GITHUB_TOKEN", "GITHUB_APP_TOKEN", "APP_ID", "APP_KEY", "GITHUB_BASE_URL", "GITHUB_CONTEXT"];

/// The hosts of repositories that are not GitHub, whose events name commits that it does not have.
const OTHERS: [&str; 7] =
    ["azuredevops", "bitbucket", "forgejo", "gitea", "gitlab", "gogs", "vsts"];

/// The longest address of a build.
const URL: usize = 2048;

/// Tells GitHub of a build.
pub(crate) async fn tell(
    variables: &Variables,
    notification: &Notification,
    before: Option<&Value>,
    outbox: &Outbox,
) -> Result<Told, TellError> {
    let report = notification.build.as_deref().ok_or_else(|| TellError::Unfit {
        sink: SINK.to_owned(),
        problem: "it is of no build: send a CloudEvent dev.brigantine.build.<moment>, or `build` \
                  with its id, project, repository, commit, event, provider, moment and phase"
            .to_owned(),
    })?;
    let nothing =
        |why: &str| Told { handle: before.cloned(), said: format!("told GitHub nothing: {why}") };
    let repository = match subject(report) {
        Ok(repository) => repository,
        Err(why) => return Ok(nothing(why)),
    };
    if !is_commit(&report.commit) {
        return Err(TellError::Unfit {
            sink: SINK.to_owned(),
            problem: "it is of no commit: `commit` must be the whole id of one".to_owned(),
        });
    }
    let url = report.url.as_deref().or(notification.url.as_deref()).filter(|url| is_web(url));
    let mut parts = parts(report, variables.get("GITHUB_CONTEXT"));
    let known = |kind: &str| -> Map<String, Value> {
        before.and_then(|before| before[kind].as_object().cloned()).unwrap_or_default()
    };
    let told = (!notification.title.is_empty() || !notification.message.is_empty())
        .then_some((notification.title.as_str(), notification.message.as_str()));
    // What has not changed needs no token.
    let (checks, statuses) = (known("checks"), known("statuses"));
    let all = checks.iter().chain(&statuses);
    add_lost(&mut parts, report, all.map(|(name, known)| (&**name, known["ended"] == true)));
    let has_button = client::has_button(variables, outbox);
    parts.iter_mut().for_each(|part| part.has_button = has_button);
    let is_told = |part: &Part<'_>| {
        let told = told.filter(|_| part.job.is_none());
        is_same(&statuses, &part.name, &status(part, url))
            || is_same(&checks, &part.name, &check(part, report, told, url).body)
    };
    if parts.iter().all(is_told) {
        return Ok(nothing("all of it is there"));
    }
    // The project's name is its operator's word for where it may write.
    let is_own = repository.eq_ignore_ascii_case(plain(&report.project));
    let writing = match teller(variables, (&repository, is_own), outbox).await? {
        Teller::App(client) => Writing { client, repository, kind: "checks", known: checks },
        Teller::Other(client) => Writing { client, repository, kind: "statuses", known: statuses },
    };
    writing.write(report, &parts, told, url).await
}

/// What is written, where, and what was.
struct Writing<'a> {
    client: Client<'a>,
    repository: String,
    kind: &'static str,
    /// What was last written, by names.
    known: Map<String, Value>,
}

impl Writing<'_> {
    /// Writes what has changed. What GitHub refuses of one does not keep it from the others.
    async fn write(
        mut self,
        report: &BuildReport,
        parts: &[Part<'_>],
        told: Option<(&str, &str)>,
        url: Option<&str>,
    ) -> Result<Told, TellError> {
        let (mut failed, mut count) = (None, 0);
        for part in parts {
            let told = told.filter(|_| part.job.is_none());
            let written = match self.kind {
                "checks" => self.check(part, report, told, url).await,
                _ => self.status(part, report, url).await,
            };
            match written {
                Ok(is_new) => count += usize::from(is_new),
                Err(error @ TellError::Refused { .. }) => failed = failed.or(Some(error)),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        let what = match (self.kind, count) {
            ("checks", 1) => "check",
            ("statuses", 1) => "status",
            (kind, _) => kind,
        };
        let (repository, commit) = (&self.repository, &report.commit);
        let said = format!("told GitHub of {repository} at {commit}: {count} {what}");
        let has_written = !self.known.is_empty();
        let handle = json!({self.kind: self.known});
        match failed {
            None => Ok(Told { handle: Some(handle), said }),
            // What is there is not written again.
            Some(error) if has_written => Err(TellError::Partly { handle, error: Box::new(error) }),
            Some(error) => Err(error),
        }
    }

    async fn status(
        &mut self,
        part: &Part<'_>,
        report: &BuildReport,
        url: Option<&str>,
    ) -> Result<bool, TellError> {
        let status = status(part, url);
        if is_same(&self.known, &part.name, &status) {
            return Ok(false);
        }
        let path = format!("repos/{}/statuses/{}", self.repository, report.commit);
        self.client.call(Method::POST, &path, Some(&status)).await?;
        self.note(part, json!({"told": told_as(&status)}));
        Ok(true)
    }

    async fn check(
        &mut self,
        part: &Part<'_>,
        report: &BuildReport,
        told: Option<(&str, &str)>,
        url: Option<&str>,
    ) -> Result<bool, TellError> {
        let check = check(part, report, told, url);
        if is_same(&self.known, &part.name, &check.body) {
            return Ok(false);
        }
        let known = self.known.get(&part.name).and_then(|known| known["id"].as_u64());
        let found = match known {
            Some(id) => Some(id),
            None if self.client.is_dry() => None,
            None => self.find(part, report).await?,
        };
        let checks = format!("repos/{}/check-runs", self.repository);
        let (method, path) = match found {
            Some(id) => (Method::PATCH, format!("{checks}/{id}")),
            None => (Method::POST, checks.clone()),
        };
        let mut answer = self.client.call(method, &path, Some(&check.body)).await?;
        let id = found.or_else(|| answer["id"].as_u64());
        let Some(id) = id else {
            // Nobody answers where nothing is sent.
            return if self.client.is_dry() { Ok(true) } else { Err(unread("the check run")) };
        };
        // Those of each request are added to those that are there.
        let there = answer["output"]["annotations_count"].as_u64().unwrap_or(0);
        let there = usize::try_from(there).unwrap_or(usize::MAX).min(check.annotations.len());
        for batch in check.annotations[there..].chunks(AT_ONCE) {
            let mut output = check.body["output"].clone();
            output["annotations"] = batch.into();
            let path = format!("{checks}/{id}");
            let more = json!({"output": output});
            answer = self.client.call(Method::PATCH, &path, Some(&more)).await?;
        }
        drop(answer);
        self.note(part, json!({"id": id, "told": told_as(&check.body)}));
        Ok(true)
    }

    fn note(&mut self, part: &Part<'_>, mut told: Value) {
        if part.phase.has_ended() {
            told["ended"] = true.into();
        }
        self.known.insert(part.name.clone(), told);
    }

    /// The check run that another life of this worker has made.
    async fn find(&self, part: &Part<'_>, report: &BuildReport) -> Result<Option<u64>, TellError> {
        let mut path = format!("repos/{}/commits/{}/check-runs", self.repository, report.commit);
        let query = [("check_name", part.name.as_str()), ("filter", "all"), ("per_page", "5")];
        let query = Url::parse_with_params("https://x/", query).ok();
        if let Some(query) = query.as_ref().and_then(Url::query) {
            path = format!("{path}?{query}");
        }
        let found = self.client.call(Method::GET, &path, None).await?;
        let mut checks = found["check_runs"].as_array().into_iter().flatten();
        let own =
            checks.find(|check| check["external_id"] == part.id && check["name"] == part.name);
        Ok(own.and_then(|own| own["id"].as_u64()))
    }
}

/// The repository on GitHub that a build is of, or why GitHub is not told of it.
fn subject(report: &BuildReport) -> Result<String, &'static str> {
    let name = plain(&report.repository);
    if !is_repository(name) || OTHERS.contains(&report.provider.as_str()) {
        return Err("its repository is not on GitHub");
    }
    match report.event.as_str() {
        "status" => Err("it is about a status itself"),
        "check_run" | "check_run:created" | "check_run:completed" => {
            Err("it is about a check run itself")
        }
        // What GitHub says once all of our check runs have ended.
        "check_suite" | "check_suite:completed" => Err("it is about check runs themselves"),
        _ => Ok(name.to_owned()),
    }
}

/// A repository without the name of github.com.
fn plain(repository: &str) -> &str {
    repository.strip_prefix("github.com/").unwrap_or(repository)
}

/// Whether a text is `owner/name`, which becomes a part of addresses.
fn is_repository(text: &str) -> bool {
    let fits = |part: &str| {
        let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        (1..=100).contains(&part.len()) && part != "." && part != ".." && part.chars().all(known)
    };
    text.split_once('/').is_some_and(|(owner, name)| fits(owner) && fits(name))
}

/// Whether an address is one that GitHub takes.
fn is_web(url: &str) -> bool {
    url.len() <= URL
        && Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
        && !url.contains(char::is_control)
}

/// Whether this is what was last written.
fn is_same(known: &Map<String, Value>, name: &str, body: &Value) -> bool {
    known.get(name).is_some_and(|known| known["told"] == told_as(body))
}

/// What stands for something that was written.
fn told_as(body: &Value) -> String {
    let digest = digest(&[&body.to_string()]);
    digest[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn digest(parts: &[&str]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}
