//! Calls to GitHub's API, through the outbox.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use jiff::{Timestamp, ToSpan};
use reqwest::Url;
use runtime::github::{self, ApiError, App, Token, address};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use crate::outbox::{Answer, Message};
use crate::text::line;
use crate::{Outbox, TellError, Variables};

/// Who is told, in words.
pub(crate) const SINK: &str = "GitHub";

/// How many tokens are kept.
const TOKENS: usize = 100;

/// GitHub's API, for whoever the token is of.
pub(crate) struct Client<'a> {
    outbox: &'a Outbox,
    base: Url,
    token: SecretString,
    /// By what the token is kept, if it is.
    kept: Option<[u8; 32]>,
}

/// Who tells GitHub, which decides what may be told.
pub(crate) enum Teller<'a> {
    /// An installation of an App: check runs.
    App(Client<'a>),
    /// Somebody else: statuses.
    Other(Client<'a>),
}

impl<'a> Client<'a> {
    /// The API at `GITHUB_BASE_URL`, for a token.
    pub(crate) fn new(
        variables: &Variables,
        token: SecretString,
        outbox: &'a Outbox,
    ) -> Result<Client<'a>, TellError> {
        let base = base(variables.get("GITHUB_BASE_URL").unwrap_or("https://api.github.com"))?;
        Ok(Client { outbox, base, token, kept: None })
    }

    /// Calls it, and tells what it answered, or how it refused.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, TellError> {
        let answer = self.send(method, path, body).await?;
        // It was withdrawn, whatever was said of its end; the next has another.
        if let Some(kept) = self.kept.filter(|_| answer.status == StatusCode::UNAUTHORIZED) {
            tokens(|tokens| tokens.remove(&kept));
        }
        match answer.status.is_success() {
            true => Ok(serde_json::from_slice(&answer.body).unwrap_or_default()),
            false => Err(refused(&answer)),
        }
    }

    /// Whether nothing is sent.
    pub(crate) fn is_dry(&self) -> bool {
        self.outbox.is_dry()
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, TellError> {
        let url = self.base.join(path).map_err(|_no_url| base_error())?;
        let message = Message {
            sink: SINK,
            method,
            url: url.as_str(),
            headers: self.headers()?,
            body: body.map(|body| body.to_string().into_bytes()).unwrap_or_default(),
        };
        self.outbox.send(message, is_limited).await
    }

    fn headers(&self) -> Result<HeaderMap, TellError> {
        let token = format!("Bearer {}", self.token.expose_secret().trim());
        let token = HeaderValue::from_str(&token);
        let mut token = token.map_err(|_no_header| TellError::Variable {
            name: "GITHUB_TOKEN",
            problem: "has characters that no token has".to_owned(),
        })?;
        token.set_sensitive(true);
        Ok(HeaderMap::from_iter([
            (ACCEPT, HeaderValue::from_static("application/vnd.github+json")),
            (AUTHORIZATION, token),
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (USER_AGENT, HeaderValue::from_static("brigantine")),
            (
                http::HeaderName::from_static("x-github-api-version"),
                HeaderValue::from_static("2022-11-28"),
            ),
        ]))
    }
}

/// Whether the receivers hear of the buttons of a check run: GitHub tells its App, and they know none
/// but the operator's, if they know one.
pub(crate) fn has_button(variables: &Variables, outbox: &Outbox) -> bool {
    let Some(app) = &outbox.options().app else { return true };
    match (variables.get("GITHUB_APP_TOKEN"), variables.get("APP_ID")) {
        (Some(_), _) => false,
        (None, Some(id)) => id.trim().parse() == Ok(app.id),
        (None, None) => true,
    }
}

/// Whose credentials there are for a repository: a token of an App, the App itself, that of the
/// installation if the repository is the project's own, or any other token.
pub(crate) async fn teller<'a>(
    variables: &Variables,
    (repository, is_own): (&str, bool),
    outbox: &'a Outbox,
) -> Result<Teller<'a>, TellError> {
    if let Some(token) = variables.get("GITHUB_APP_TOKEN") {
        return Ok(Teller::App(Client::new(variables, token.into(), outbox)?));
    }
    let url = variables.get("GITHUB_BASE_URL").unwrap_or_default();
    let app = match (own_app(variables)?, &outbox.options().app) {
        (Some(app), _) => Some((base(or(url, "https://api.github.com"))?, app)),
        (None, Some(_)) if !is_own && variables.get("GITHUB_TOKEN").is_some() => None,
        (None, Some(app)) if !is_own => {
            let problem = format!(
                "the operator's App {} writes to the repository that the project is named after, \
                 which is not {repository}: set GITHUB_TOKEN",
                app.id
            );
            return Err(TellError::Forbidden { sink: SINK.to_owned(), problem });
        }
        // What proves it may not go wherever a project says.
        (None, Some(app)) => match address(url, &app.hosts) {
            Ok(base) => Some((base, app.clone())),
            Err(_) if variables.get("GITHUB_TOKEN").is_some() => None,
            Err(error) => {
                let problem = error.to_string();
                return Err(TellError::Forbidden { sink: SINK.to_owned(), problem });
            }
        },
        (None, None) => None,
    };
    let other = variables.get("GITHUB_TOKEN");
    if let Some((base, app)) = app {
        match installation(base, &app, repository, outbox).await {
            Ok(client) => return Ok(Teller::App(client)),
            // It is installed elsewhere.
            Err(TellError::Refused { words, .. }) if other.is_some() => {
                tracing::debug!(reason = words, "the GitHub App gives no token");
            }
            Err(error) => return Err(error),
        }
    }
    match other {
        Some(token) => Ok(Teller::Other(Client::new(variables, token.into(), outbox)?)),
        None => {
            let mut problem =
                "is not set, nor are GITHUB_APP_TOKEN, or APP_ID and APP_KEY".to_owned();
            if let Some(wrong) = &outbox.options().app_problem {
                problem += &format!("; and of the operator's App, {wrong}");
            }
            Err(TellError::Variable { name: "GITHUB_TOKEN", problem })
        }
    }
}

/// The App of a project.
fn own_app(variables: &Variables) -> Result<Option<App>, TellError> {
    let Some(id) = variables.get("APP_ID") else { return Ok(None) };
    let id = id.trim().parse().map_err(|_unparsed| TellError::Variable {
        name: "APP_ID",
        problem: "is not the number of a GitHub App".to_owned(),
    })?;
    // Its line ends may be written so, as in other variables of keys.
    let key = variables.required("APP_KEY")?.replace("\\n", "\n").into();
    Ok(Some(App { id, key, hosts: Vec::new() }))
}

/// The API for the App's installation in a repository.
async fn installation<'a>(
    base: Url,
    app: &App,
    repository: &str,
    outbox: &'a Outbox,
) -> Result<Client<'a>, TellError> {
    // Nobody is asked for a token in order to say what would be sent.
    if outbox.is_dry() {
        return Ok(Client { outbox, base, token: "none".into(), kept: None });
    }
    let now = Timestamp::now();
    let kept = kept_as(&base, app, repository);
    if let Some(token) = tokens(|tokens| tokens.get(&kept).filter(|(_, end)| *end > now).cloned()) {
        return Ok(Client { outbox, base, token: token.0, kept: Some(kept) });
    }
    let statement = github::statement(app.id, &app.key, now).map_err(unproved)?;
    let client = Client { outbox, base, token: statement, kept: None };
    let found = client.call(Method::GET, &github::installation_path(repository), None).await;
    let found = found.map_err(|error| match error {
        TellError::Refused { sink, words, way_out } if words.starts_with("404") => {
            let way_out = format!("; install the App {} in {repository}{way_out}", app.id);
            TellError::Refused { sink, words, way_out }
        }
        error => error,
    })?;
    let number = found["id"].as_u64().ok_or_else(|| unread("the App's installation"))?;
    let mut asked = github::token_request(repository);
    asked["permissions"] = json!({"checks": "write"});
    let answer = client.send(Method::POST, &github::token_path(number), Some(&asked)).await?;
    if !answer.status.is_success() {
        return Err(refused(&answer));
    }
    let Token { token, expires } = Token::read(&answer.body, repository).map_err(unproved)?;
    if let Ok(end) = expires.parse::<Timestamp>() {
        // It must be good for what is told with it.
        let end = end.saturating_sub(10.minutes()).unwrap_or(now);
        tokens(|tokens| {
            if tokens.len() >= TOKENS {
                tokens.clear();
            }
            tokens.insert(kept, (token.clone(), end));
        });
    }
    Ok(Client { token, kept: Some(kept), ..client })
}

type Tokens = HashMap<[u8; 32], (SecretString, Timestamp)>;

/// The tokens that are good for a while yet, by who may have them.
fn tokens<T>(act: impl FnOnce(&mut Tokens) -> T) -> T {
    static TOKENS: LazyLock<Mutex<Tokens>> = LazyLock::new(Mutex::default);
    act(&mut TOKENS.lock().unwrap_or_else(PoisonError::into_inner))
}

/// By what a token is kept: only who has the App's key has it.
fn kept_as(base: &Url, app: &App, repository: &str) -> [u8; 32] {
    let key = app.key.expose_secret();
    super::digest(&[base.as_str(), &app.id.to_string(), key, &repository.to_ascii_lowercase()])
}

/// Whether GitHub refuses for now: it has a limit of calls in an hour, and one of calls at once.
fn is_limited(answer: &Answer) -> bool {
    if answer.status != StatusCode::FORBIDDEN {
        return false;
    }
    let header = |name: &str| answer.headers.get(name).map(HeaderValue::as_bytes);
    let said = words(&answer.body).to_ascii_lowercase();
    header("retry-after").is_some()
        || header("x-ratelimit-remaining") == Some(b"0")
        || said.contains("rate limit")
        || said.contains("abuse detection")
}

/// The API's address.
fn base(text: &str) -> Result<Url, TellError> {
    // What a path is joined to ends with a slash.
    let url = Url::parse(&format!("{}/", text.trim().trim_end_matches('/')));
    let url = url.ok().filter(|url| url.has_host() && url.query().is_none());
    let url = url.filter(|url| url.username().is_empty() && url.password().is_none());
    url.filter(|url| matches!(url.scheme(), "https" | "http")).ok_or_else(base_error)
}

fn base_error() -> TellError {
    let problem = "is not the URL of an API, such as https://github.example.com/api/v3".to_owned();
    TellError::Variable { name: "GITHUB_BASE_URL", problem }
}

/// How GitHub refused, and what to do about it.
fn refused(answer: &Answer) -> TellError {
    let said = words(&answer.body);
    let knows = |text: &str| said.to_ascii_lowercase().contains(text);
    let way_out = match answer.status.as_u16() {
        401 => "; the token has ended, or was withdrawn",
        403 if knows("authenticate via a github app") || knows("must be a github app") => {
            "; only GitHub Apps make check runs: give another token as GITHUB_TOKEN, for statuses"
        }
        403 if knows("not accessible by integration") => {
            "; give the App the permission to write checks"
        }
        403 if knows("not accessible by personal access token") => {
            "; give the token the permission to write commit statuses"
        }
        404 => "; there is no such repository, or the credentials may not write to it",
        422 if knows("maximum number of statuses") => {
            "; a commit takes 1000 statuses of one context and no more: set GITHUB_CONTEXT to another"
        }
        422 if knows("no commit found") => "; the commit is not in the repository",
        _ => "",
    };
    let said =
        if said.is_empty() { answer.words() } else { format!("{} {said}", answer.status.as_u16()) };
    answer.refused_as(&said, way_out)
}

/// What GitHub says, in a line.
fn words(body: &[u8]) -> String {
    let Ok(said) = serde_json::from_slice::<Value>(body) else { return String::new() };
    let mut words = said["message"].as_str().unwrap_or_default().to_owned();
    for error in said["errors"].as_array().into_iter().flatten().take(5) {
        let text = error["message"].as_str().or_else(|| error.as_str());
        let coded = || Some(format!("{} {}", error["field"].as_str()?, error["code"].as_str()?));
        if let Some(text) = text.map(str::to_owned).or_else(coded) {
            words.push_str(if words.is_empty() { "" } else { ": " });
            words.push_str(&text);
        }
    }
    line(&words, 300)
}

/// An answer that does not say what it should.
pub(crate) fn unread(what: &str) -> TellError {
    TellError::Refused {
        sink: SINK.to_owned(),
        words: format!("its answer does not name {what}"),
        way_out: "; see whether GITHUB_BASE_URL is that of an API".to_owned(),
    }
}

fn unproved(error: ApiError) -> TellError {
    match error {
        ApiError::Key => TellError::Variable {
            name: "APP_KEY",
            problem: "is no RSA key that signs, in PEM".to_owned(),
        },
        error => TellError::Refused {
            sink: SINK.to_owned(),
            words: error.to_string(),
            way_out: String::new(),
        },
    }
}

fn or<'a>(value: &'a str, default: &'a str) -> &'a str {
    if value.is_empty() { default } else { value }
}
