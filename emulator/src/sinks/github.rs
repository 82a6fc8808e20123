//! GitHub's API, as far as notifiers write to it: statuses of commits, and check runs.
//!
//! <https://docs.github.com/rest/commits/statuses>, <https://docs.github.com/rest/checks/runs>,
//! <https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api>

use std::collections::BTreeMap;
use std::sync::PoisonError;

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Arrival, Sinks, Told, length, text};

/// So much content may be made at once; after that 80 a minute.
const AT_ONCE: f64 = 80.0;

/// The most letters of a text in a check run.
const LONGEST: usize = 65535;

/// How many check runs can still be changed.
const KEPT: usize = 10_000;

/// What there is in the repositories.
#[derive(Default)]
pub(super) struct Repositories {
    checks: BTreeMap<u64, Value>,
    /// How many statuses there are of a commit and a context.
    statuses: BTreeMap<(String, String), u32>,
    last: u64,
    /// Where the App is installed; its installations have their places as ids, from 1 on.
    organizations: Vec<String>,
}

impl Repositories {
    /// The installation of the App, which is installed wherever somebody looks for it.
    fn installation(&mut self, organization: &str) -> usize {
        let known = self.organizations.iter().position(|known| known == organization);
        let place = known.unwrap_or_else(|| {
            if self.organizations.len() >= KEPT {
                self.organizations.clear();
            }
            self.organizations.push(organization.to_owned());
            self.organizations.len() - 1
        });
        place + 1
    }
}

/// Why a request is refused.
struct Refusal {
    code: StatusCode,
    words: String,
    /// After how many seconds it may be tried again.
    seconds: Option<u64>,
}

pub(super) fn tell(sinks: &Sinks, told: &Told<'_>) -> Response {
    match answer(sinks, told) {
        Ok((code, answer)) => (code, Json(answer)).into_response(),
        Err(Refusal { code, words, seconds }) => {
            let text = format!("refuses {} /{}: {words}", told.method, told.path);
            sinks.show(Arrival { sink: "github", text, ..Arrival::default() });
            let answer = json!({
                "message": words, "documentation_url": "https://docs.github.com/rest",
                "status": code.as_str(),
            });
            let mut response = (code, Json(answer)).into_response();
            if let Some(seconds) = seconds {
                response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            }
            response
        }
    }
}

fn answer(sinks: &Sinks, told: &Told<'_>) -> Result<(StatusCode, Value), Refusal> {
    let refuse = |code: StatusCode, words: &str| Err(Refusal::new(code, words));
    if told.headers.get(header::USER_AGENT).is_none() {
        return refuse(StatusCode::FORBIDDEN, "Request forbidden by administrative rules.");
    }
    if told.headers.get(header::AUTHORIZATION).is_none() {
        return refuse(StatusCode::UNAUTHORIZED, "Requires authentication");
    }
    let path = told.path.strip_prefix("api/v3/").unwrap_or(told.path);
    let parts: Vec<&str> = path.split('/').collect();
    let body: Value = match told.body {
        [] => Value::Null,
        body => match serde_json::from_slice(body) {
            Ok(body) => body,
            Err(_) => return refuse(StatusCode::BAD_REQUEST, "Problems parsing JSON"),
        },
    };
    match (told.method.as_str(), &parts[..]) {
        ("POST", ["repos", org, name, "statuses", sha]) => {
            status(sinks, &format!("{org}/{name}"), sha, &body)
        }
        ("POST", ["repos", org, name, "check-runs"]) => {
            check(sinks, &format!("{org}/{name}"), None, &body)
        }
        ("PATCH", ["repos", org, name, "check-runs", id]) => match id.parse() {
            Ok(id) => check(sinks, &format!("{org}/{name}"), Some(id), &body),
            Err(_) => refuse(StatusCode::NOT_FOUND, "Not Found"),
        },
        ("GET", ["repos", org, name, "commits", sha, "check-runs"]) => {
            let repositories = sinks.github.lock().unwrap_or_else(PoisonError::into_inner);
            let repository = format!("{org}/{name}");
            let found = repositories.checks.values().filter(|check| {
                text(check, "/head_sha") == *sha && text(check, "/repository") == repository
            });
            let found: Vec<&Value> = found.collect();
            Ok((StatusCode::OK, json!({"total_count": found.len(), "check_runs": found})))
        }
        ("GET", ["repos", org, _, "installation"]) => {
            let mut repositories = sinks.github.lock().unwrap_or_else(PoisonError::into_inner);
            let id = repositories.installation(org);
            Ok((StatusCode::OK, json!({"id": id, "account": {"login": org}})))
        }
        ("POST", ["app", "installations", id, "access_tokens"]) => {
            let repositories = sinks.github.lock().unwrap_or_else(PoisonError::into_inner);
            let id = id.parse::<usize>().ok().and_then(|id| id.checked_sub(1));
            let org = id.and_then(|id| repositories.organizations.get(id).cloned());
            drop(repositories);
            let Some(org) = org else { return refuse(StatusCode::NOT_FOUND, "Not Found") };
            let asked = body["repositories"].as_array().cloned().unwrap_or_default();
            let named = |name: &Value| {
                let full = format!("{org}/{}", name.as_str().unwrap_or_default());
                json!({"name": name, "full_name": full})
            };
            let repositories: Vec<Value> = asked.iter().map(named).collect();
            let token = json!({
                "token": "ghs_emulator", "expires_at": "2099-01-01T00:00:00Z",
                "permissions": {"checks": "write", "statuses": "write"},
                "repositories": repositories,
            });
            Ok((StatusCode::CREATED, token))
        }
        _ => refuse(StatusCode::NOT_FOUND, "Not Found"),
    }
}

fn limited(sinks: &Sinks, repository: &str) -> Result<(), Refusal> {
    match sinks.too_much(&format!("github {repository}"), AT_ONCE, AT_ONCE / 60.0) {
        None => Ok(()),
        seconds => {
            let words = "You have exceeded a secondary rate limit.";
            Err(Refusal { seconds, ..Refusal::new(StatusCode::FORBIDDEN, words) })
        }
    }
}

impl Refusal {
    fn new(code: StatusCode, words: &str) -> Refusal {
        Refusal { code, words: words.to_owned(), seconds: None }
    }
}

fn invalid(words: &str) -> Refusal {
    Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, &format!("Validation Failed: {words}"))
}

fn is_commit(sha: &str) -> bool {
    sha.len() == 40 && sha.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_web(url: &str) -> bool {
    url.is_empty() || url.starts_with("https://") || url.starts_with("http://")
}

fn status(
    sinks: &Sinks,
    repository: &str,
    sha: &str,
    body: &Value,
) -> Result<(StatusCode, Value), Refusal> {
    let (state, description) = (text(body, "/state"), text(body, "/description"));
    if !is_commit(sha) {
        return Err(invalid(&format!("No commit found for SHA: {sha}")));
    }
    if !["error", "failure", "pending", "success"].contains(&state) {
        return Err(invalid("state is not included in the list"));
    }
    if description.chars().count() > 140 {
        return Err(invalid("description is too long (maximum is 140 characters)"));
    }
    if !is_web(text(body, "/target_url")) {
        return Err(invalid("target_url must use http(s) scheme"));
    }
    let context = match text(body, "/context") {
        "" => "default",
        context => context,
    };
    limited(sinks, repository)?;
    let mut repositories = sinks.github.lock().unwrap_or_else(PoisonError::into_inner);
    let of = (sha.to_owned(), context.to_ascii_lowercase());
    let written = repositories.statuses.entry(of).or_default();
    *written += 1;
    if *written > 1000 {
        return Err(invalid("This SHA and context has reached the maximum number of statuses."));
    }
    repositories.last += 1;
    let id = repositories.last;
    drop(repositories);
    let color = match state {
        "success" => Some("#1a7f37"),
        "pending" => None,
        _ => Some("#cf222e"),
    };
    let text = format!("{repository}@{} {context}: {state}, {description}", &sha[..7]);
    let color = color.map(str::to_owned);
    sinks.show(Arrival { sink: "github", text, color, taken: true });
    let now = Timestamp::now().to_string();
    let answer = json!({
        "id": id, "state": state, "description": description, "context": context,
        "target_url": body["target_url"], "created_at": now, "updated_at": now,
    });
    Ok((StatusCode::CREATED, answer))
}

fn check(
    sinks: &Sinks,
    repository: &str,
    id: Option<u64>,
    body: &Value,
) -> Result<(StatusCode, Value), Refusal> {
    valid(body, id.is_none())?;
    limited(sinks, repository)?;
    let mut repositories = sinks.github.lock().unwrap_or_else(PoisonError::into_inner);
    let (code, mut check) = match id {
        Some(id) => match repositories.checks.get(&id) {
            Some(check) if text(check, "/repository") == repository => {
                (StatusCode::OK, check.clone())
            }
            _ => return Err(Refusal::new(StatusCode::NOT_FOUND, "Not Found")),
        },
        None => {
            repositories.last += 1;
            let begun = json!({
                "id": repositories.last, "repository": repository, "status": "queued",
                "app": {"id": 1, "slug": "emulator"},
            });
            (StatusCode::CREATED, begun)
        }
    };
    for (key, value) in body.as_object().into_iter().flatten() {
        check[key] = value.clone();
    }
    if body.get("conclusion").is_some() {
        check["status"] = json!("completed");
    }
    if repositories.checks.len() >= KEPT {
        repositories.checks.pop_first();
    }
    let number = check["id"].as_u64().unwrap_or_default();
    repositories.checks.insert(number, check.clone());
    drop(repositories);
    let stands = match text(&check, "/conclusion") {
        "" => text(&check, "/status"),
        conclusion => conclusion,
    };
    let color = match stands {
        "success" => Some("#1a7f37"),
        "failure" | "timed_out" => Some("#cf222e"),
        _ => None,
    };
    let sha: String = text(&check, "/head_sha").chars().take(7).collect();
    let log = text(body, "/output/text");
    let log = if log.is_empty() { "" } else { ", with a log" };
    let notes = match body.pointer("/output/annotations").and_then(Value::as_array) {
        Some(notes) if !notes.is_empty() => format!(", with {} annotations", notes.len()),
        _ => String::new(),
    };
    let said = format!(
        "{repository}@{sha} check {}: {stands}, {}{log}{notes}",
        text(&check, "/name"),
        text(&check, "/output/title"),
    );
    sinks.show(Arrival {
        sink: "github",
        text: said,
        color: color.map(str::to_owned),
        taken: true,
    });
    Ok((code, check))
}

/// What GitHub says of a check run that breaks its limits.
fn valid(body: &Value, is_new: bool) -> Result<(), Refusal> {
    if is_new && text(body, "/name").is_empty() {
        return Err(invalid("\"name\" wasn't supplied."));
    }
    if is_new && !is_commit(text(body, "/head_sha")) {
        return Err(invalid("No commit found for SHA"));
    }
    let one_of = |key: &str, words: &[&str]| {
        body.get(key).is_none_or(|value| value.as_str().is_some_and(|word| words.contains(&word)))
    };
    if !one_of("status", &["queued", "in_progress", "completed"]) {
        return Err(invalid("status is not a member of its list"));
    }
    let conclusions =
        ["action_required", "cancelled", "failure", "neutral", "success", "skipped", "timed_out"];
    if !one_of("conclusion", &conclusions) {
        return Err(invalid("conclusion is not a member of its list"));
    }
    if text(body, "/status") == "completed" && body.get("conclusion").is_none() {
        return Err(invalid("a conclusion is required where the status is completed"));
    }
    if !is_web(text(body, "/details_url")) {
        return Err(invalid("details_url must use http(s) scheme"));
    }
    for key in ["started_at", "completed_at"] {
        if let Some(time) = body.get(key)
            && time.as_str().is_none_or(|time| time.parse::<Timestamp>().is_err())
        {
            return Err(invalid(&format!("{key} is not a date")));
        }
    }
    if let Some(output) = body.get("output") {
        if text(output, "/title").is_empty() || output.get("summary").is_none() {
            return Err(invalid("output needs a title and a summary"));
        }
        for key in ["summary", "text"] {
            let supplied = length(&output[key]);
            if supplied > LONGEST {
                let words =
                    format!("Only {LONGEST} characters are allowed; {supplied} were supplied.");
                return Err(invalid(&words));
            }
        }
        let annotations = output["annotations"].as_array().map_or(&[][..], Vec::as_slice);
        if annotations.len() > 50 {
            return Err(invalid("at most 50 annotations are allowed in a request"));
        }
        for annotation in annotations {
            let placed = !text(annotation, "/path").is_empty()
                && annotation["start_line"].is_u64()
                && annotation["end_line"].is_u64();
            let level = ["notice", "warning", "failure"];
            let words = level.contains(&text(annotation, "/annotation_level"))
                && (1..=64 * 1024).contains(&text(annotation, "/message").len())
                && length(&annotation["title"]) <= 255;
            let columns = annotation.get("start_column").is_none()
                || annotation["start_line"] == annotation["end_line"];
            if !placed || !words || !columns {
                return Err(invalid("an annotation is not one"));
            }
        }
    }
    let actions = body["actions"].as_array().map_or(&[][..], Vec::as_slice);
    let fits = |action: &Value, key: &str, most: usize| (1..=most).contains(&length(&action[key]));
    if actions.len() > 3
        || !actions.iter().all(|action| {
            fits(action, "label", 20)
                && fits(action, "description", 40)
                && fits(action, "identifier", 20)
        })
    {
        return Err(invalid("at most 3 actions, with label, description and identifier"));
    }
    Ok(())
}
