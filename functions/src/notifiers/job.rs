//! The script that an event brings along: it runs the one job that tells somebody.
//!
//! No secret is in it. It names those of the project's secrets and of its notifiers' settings that are
//! the job's variables, and the pipeline puts them into the job's own Secret, as it does for any
//! script.

use std::time::Duration;

use notify::{names, required};
use runtime::project::{Notifier, NotifierKind, Project};
use runtime::settings::Settings;
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::{Value, json};

use crate::rejection::Rejection;

/// How long a job may take beside the time for which it is tried to deliver the message: its image
/// must be pulled before.
const PULL: Duration = Duration::from_secs(5 * 60);

/// Where the script has the value of a variable from.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum From {
    /// Here it is.
    Text(String),
    /// It is this one of the project's secrets, or of its notifiers' settings.
    Secret(String),
    /// It is the token that clones the project's repository.
    Token(()),
}

/// The script that tells somebody of this kind; or what the project would have to set for that.
pub(super) fn script(
    settings: &Settings,
    project: &Project,
    kind: NotifierKind,
    notifier: Option<&Notifier>,
) -> Result<String, Rejection> {
    if let Some(Notifier { name, problem: Some(problem), .. }) = notifier {
        return Err(Rejection::Unset {
            reason: format!("the project's notifier {name} {problem}"),
        });
    }
    if kind == NotifierKind::Github && notifier.is_none() {
        let reason = "GitHub is told what is posted here only if the project has a notifier of the \
                      kind github: add {kind: github, on: []} to its notifiers; with another `on` \
                      it is told of the project's own builds, too";
        return Err(Rejection::Unset { reason: reason.to_owned() });
    }
    let found: Vec<(&str, From)> = names(kind)
        .iter()
        .filter_map(|name| Some((*name, from(project, kind, notifier, name)?)))
        .collect();
    let is_set = |name: &&str| found.iter().any(|(other, _)| other == name);
    let missing: Vec<String> = required(kind)
        .iter()
        .filter(|names| !names.iter().any(is_set))
        .map(|names| names.join(" or "))
        .collect();
    if !missing.is_empty() {
        let token = if kind == NotifierKind::Github { " (or its github.token)" } else { "" };
        let own = notifier.map(|own| format!(", or in the settings of its notifier {}", own.name));
        return Err(Rejection::Unset {
            reason: format!(
                "to tell {kind} anything, the project needs {}{token} in its secrets{}",
                missing.join(" and "),
                own.unwrap_or_default(),
            ),
        });
    }
    let own = settings.notify.variables();
    let own = own.into_iter().map(|(name, value)| (name, From::Text(value)));
    let variables: Vec<(&str, From)> = found.into_iter().chain(own).collect();
    // A text of JSON in a text of JSON is the same in JavaScript, whatever is in it.
    let variables = json!(json!(variables).to_string());
    let image = json!(settings.worker_image);
    let time = (settings.notify.budget + PULL).as_millis();
    let pull = settings.worker_pull_policy == "Always";
    Ok(format!(
        "// Tells {kind} what the payload says.
const {{ events, Job }} = require(\"brigadier\");

const from = {{
  text: (text) => text,
  secret: (name, project) => project.secrets[name],
  token: (none, project) => project.repo.token,
}};

events.on(\"notify\", (e, project) => {{
  const job = new Job(\"{kind}-notify\", {image}, [], {pull});
  job.args = [\"notify\", \"{kind}\"];
  job.useSource = false;
  job.timeout = {time};
  job.env.NOTIFICATION = e.payload;
  for (const [name, value] of JSON.parse({variables})) {{
    const [[where, what]] = Object.entries(value);
    job.env[name] = String(from[where](what, project) ?? \"\");
  }}
  job.run();
}});
"
    ))
}

/// Where a variable is from, if it is set anywhere.
fn from(
    project: &Project,
    kind: NotifierKind,
    notifier: Option<&Notifier>,
    name: &str,
) -> Option<From> {
    if let Some(notifier) = notifier {
        if let Some(secret) = notifier.secrets.get(name) {
            return Some(From::Secret(secret.clone()));
        }
        let text = notifier.settings.get(name).map(ExposeSecret::expose_secret);
        if text.is_some_and(|text| !text.trim().is_empty()) {
            return Some(From::Secret(notifier.written(name)));
        }
    }
    let is_given = match project.secrets.get(name) {
        Some(Value::String(text)) => !text.trim().is_empty(),
        Some(Value::Number(_) | Value::Bool(_)) => true,
        _ => false,
    };
    if is_given {
        return Some(From::Secret(name.to_owned()));
    }
    // A script knows the token of a project that has a repository, and of no other.
    let has_repository = !project.repository.is_empty() || !project.clone_url.is_empty();
    match (kind, name) {
        (NotifierKind::Github, "GITHUB_TOKEN")
            if has_repository && !project.github_token.expose_secret().is_empty() =>
        {
            Some(From::Token(()))
        }
        (NotifierKind::Github, "GITHUB_BASE_URL") if !project.github_base_url.is_empty() => {
            Some(From::Text(project.github_base_url.clone()))
        }
        _ => None,
    }
}
