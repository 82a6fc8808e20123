//! What every message leaves through: attempts, budgets, and where messages may not go.
//!
//! - A message goes to `https` addresses of public hosts only, whatever names resolve to, and to
//!   nobody else that it is led to; `allowed_hosts` are exceptions.
//! - Network errors, no answer in time, and the statuses 408, 425, 429, 500, 502, 503 and 504 are
//!   tried again, after what `Retry-After` (or GitHub's `x-ratelimit-reset`) says, or else after ever
//!   longer, until the budget is spent. Everything else that is answered is the sink's to judge.
//! - No error, and nothing that is said of a message, has its path, its query or its credentials.
//! - Proxies of the environment are not used: what they resolve, nobody could check. `relay` is there
//!   for those who must send through a gateway.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use http::header::{CONTENT_TYPE, LOCATION, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use reqwest::{Body, Client, Request, Response};
use runtime::telemetry::{Kind, Span};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use url::{Position, Url};

use crate::TellError;

mod client;
mod guard;
#[cfg(feature = "email")]
mod mail;
mod wait;
mod whom;

#[cfg(test)]
mod tests;

use guard::{Names, Target};
use whom::Whom;

pub use whom::redacted;

#[cfg(feature = "email")]
pub(crate) use mail::Unreached;

/// How much of an answer is read: GitHub's list of the check runs of a name has their logs in it.
const LONGEST_ANSWER: usize = 1024 * 1024;

/// How often an attempt is led to another path of the same host.
const MOST_REDIRECTS: u32 = 3;

/// How many attempts there are at the same time; others wait for them.
const AT_ONCE: usize = 64;

/// How messages are sent.
#[derive(Clone)]
pub struct OutboxOptions {
    /// How long it is tried to deliver one message. Default: 5 minutes.
    pub budget: Duration,
    /// The longest answer to one attempt that is waited for. Default: 10 s.
    pub patience: Duration,
    /// Hosts with private addresses, or without encryption, that messages may go to all the same,
    /// as names or addresses, with a port or without. Default: none.
    pub allowed_hosts: Vec<String>,
    /// Who is given all messages instead of their sinks, at `/<scheme>/<host>[:<port>]/<path>`: a
    /// gateway, or what shows them. Default: nobody.
    pub relay: Option<Url>,
    /// The same for email, as `host:port` of a server that speaks SMTP.
    pub smtp_relay: Option<String>,
    /// Whether nothing is sent, and what would be is kept to be said. Default: false.
    pub dry_run: bool,
    /// The GitHub App that tells GitHub for projects that have no credentials of their own.
    /// Default: none.
    pub app: Option<runtime::github::App>,
    /// Why that is none, if it is none that can be used. Default: nothing.
    pub app_problem: Option<String>,
}

/// Sends messages. Cloning it is cheap; all clones share connections and limits.
#[derive(Clone, Debug)]
pub struct Outbox {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    options: OutboxOptions,
    names: Names,
    /// To public hosts, and to the relay and the hosts that are allowed.
    clients: [OnceLock<Option<Client>>; 2],
    attempts: Semaphore,
    withheld: Mutex<Vec<String>>,
}

/// One message over HTTP.
#[derive(Clone)]
pub struct Message<'a> {
    /// Who is told, in words that may be logged: `Slack`.
    pub sink: &'a str,
    /// The method.
    pub method: Method,
    /// The address. It may be a secret, and is never shown but for its host.
    pub url: &'a str,
    /// The headers, `Content-Type` among them.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

/// What a sink answered: any status but those that another attempt may change.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The beginning of the body.
    pub body: Vec<u8>,
    /// How often it was asked.
    pub attempts: u32,
    /// Who answered.
    whom: Arc<Whom>,
}

/// A relay may be given credentials.
impl fmt::Debug for OutboxOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("OutboxOptions")
            .field("budget", &self.budget)
            .field("patience", &self.patience)
            .field("allowed_hosts", &self.allowed_hosts)
            .field("relay", &self.relay.as_ref().map(|relay| redacted(relay.as_str())))
            .field("smtp_relay", &self.smtp_relay)
            .field("dry_run", &self.dry_run)
            .field("app", &self.app)
            .finish()
    }
}

/// The address, the headers and the body may hold secrets.
impl fmt::Debug for Message<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Message { sink, method, url, .. } = self;
        write!(formatter, "Message({sink}: {method} {})", redacted(url))
    }
}

impl Default for OutboxOptions {
    fn default() -> OutboxOptions {
        OutboxOptions {
            budget: Duration::from_secs(300),
            patience: Duration::from_secs(10),
            allowed_hosts: Vec::new(),
            relay: None,
            smtp_relay: None,
            dry_run: false,
            app: None,
            app_problem: None,
        }
    }
}

impl Outbox {
    /// An outbox.
    pub fn new(options: OutboxOptions) -> Outbox {
        Outbox::with_names(options, Names::System)
    }

    fn with_names(options: OutboxOptions, names: Names) -> Outbox {
        let clients = [OnceLock::new(), OnceLock::new()];
        let attempts = Semaphore::new(AT_ONCE);
        let withheld = Mutex::default();
        Outbox { shared: Arc::new(Shared { options, names, clients, attempts, withheld }) }
    }

    /// How it sends.
    pub fn options(&self) -> &OutboxOptions {
        &self.shared.options
    }

    /// Whether nothing is sent.
    pub fn is_dry(&self) -> bool {
        self.shared.options.dry_run
    }

    /// What a dry run has not sent, in words that may be shown; each is told once.
    pub fn withheld(&self) -> Vec<String> {
        let mut withheld = self.shared.withheld.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut withheld)
    }

    /// Keeps what a dry run does not send.
    pub(crate) fn withhold(&self, text: String) {
        let mut withheld = self.shared.withheld.lock().unwrap_or_else(PoisonError::into_inner);
        withheld.push(text);
    }

    /// Sends a message, again and again where that may help, and tells what was answered at last.
    ///
    /// `passing` says which other answers another attempt may change, beside 408, 425, 429, 500, 502,
    /// 503 and 504. In a dry run the answer is 200 with an empty body, at once.
    pub async fn send(
        &self,
        message: Message<'_>,
        passing: impl Fn(&Answer) -> bool,
    ) -> Result<Answer, TellError> {
        self.send_stamped(message, |_headers| {}, passing).await
    }

    /// The same, with headers that each attempt has of its own.
    pub async fn send_stamped(
        &self,
        message: Message<'_>,
        stamp: impl Fn(&mut HeaderMap) + Sync,
        passing: impl Fn(&Answer) -> bool,
    ) -> Result<Answer, TellError> {
        let options = self.options();
        let Message { sink, method, url, mut headers, body } = message;
        let target = guard::target(url, &options.allowed_hosts).map_err(|problem| {
            TellError::Forbidden { sink: sink.to_owned(), problem: problem.to_string() }
        })?;
        let whom = Arc::new(Whom::of(sink, &target.url, &headers));
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static("brigantine"));
        if options.dry_run {
            self.withhold(preview(&method, &target.url, &headers, &body));
            let (status, headers) = (StatusCode::OK, HeaderMap::new());
            return Ok(Answer { status, headers, body: Vec::new(), attempts: 0, whom });
        }
        let mut request = Request::new(method, self.way(&target));
        *request.headers_mut() = headers;
        *request.body_mut() = Some(Body::from(body));
        let until = Instant::now() + options.budget;
        let mut span = Span::here(request.method().as_str(), Kind::Client);
        if let Some(span) = &mut span {
            // Neither path nor query: they are secrets.
            span.set("http.request.method", request.method().as_str());
            span.set("server.address", target.url.host_str().unwrap_or_default());
            span.set("brigantine.notifier", sink);
        }
        let mut attempts = 0;
        loop {
            attempts += 1;
            let (words, asked) = match self.attempt((&request, &stamp), &target, &whom, until).await
            {
                Ok(answer) => {
                    let answer = Answer { attempts, ..answer };
                    if !wait::is_passing(answer.status) && !passing(&answer) {
                        if let Some(mut span) = span {
                            let status = i64::from(answer.status.as_u16());
                            span.set("http.response.status_code", status);
                            span.set("http.request.resend_count", i64::from(attempts) - 1);
                            if !answer.status.is_success() {
                                span.fail("");
                            }
                        }
                        return Ok(answer);
                    }
                    (answer.words(), wait::asked(&answer))
                }
                Err(Missed::Passing(words)) => (words, None),
                Err(Missed::For(error)) => {
                    if let Some(mut span) = span {
                        span.fail("it must not be sent there");
                    }
                    return Err(error);
                }
            };
            let left = until.saturating_duration_since(Instant::now());
            let wait = wait::before_next(attempts, asked);
            if wait >= left {
                let words = match asked {
                    Some(asked) if asked >= left => {
                        let (asked, left) = (asked.as_secs_f64(), left.as_secs_f64());
                        format!("{words}; it asks for {asked:.0} s, and {left:.0} s were left")
                    }
                    _ => words,
                };
                if let Some(mut span) = span {
                    span.fail(words.clone());
                }
                return Err(TellError::Away { sink: whom.name.clone(), attempts, words });
            }
            let seconds = wait.as_secs_f64();
            tracing::info!(
                sink.name = whom.name,
                sink.said = words,
                attempts,
                seconds,
                "a message is sent again after a while"
            );
            #[expect(clippy::disallowed_methods, reason = "this is the wait between two attempts")]
            tokio::time::sleep(wait).await;
        }
    }

    /// One attempt, wherever on its host it leads.
    async fn attempt(
        &self,
        (request, stamp): (&Request, &(dyn Fn(&mut HeaderMap) + Sync)),
        target: &Target,
        whom: &Arc<Whom>,
        until: Instant,
    ) -> Result<Answer, Missed> {
        let passing = |words: &str| Missed::Passing(words.to_owned());
        let mut url = target.url.clone();
        let mut next = request.url().clone();
        let mut led = 0;
        let permit = tokio::time::timeout_at(until, self.shared.attempts.acquire()).await;
        let _permit = permit.map_err(|_elapsed| passing("too many others are told"))?;
        loop {
            let mut request = request.try_clone().ok_or_else(|| passing("it cannot be sent"))?;
            *request.url_mut() = next;
            stamp(request.headers_mut());
            // However little is left, an attempt that is begun may end.
            let left = until.saturating_duration_since(Instant::now()).max(Duration::from_secs(1));
            let patience = self.options().patience.min(left);
            let ask = self.ask(request, target.is_open, whom);
            let answered = timeout(patience, ask).await.map_err(|_elapsed| {
                Missed::Passing(format!("no answer in {:.0} s", patience.as_secs_f64().ceil()))
            })?;
            let answer = answered?;
            if !answer.status.is_redirection() || answer.status == StatusCode::NOT_MODIFIED {
                return Ok(answer);
            }
            led += 1;
            match redirect(&answer, &url) {
                Some(to) if led <= MOST_REDIRECTS => url = to,
                _ => {
                    let problem = "; it leads elsewhere: give the address that it leads to";
                    return Err(Missed::For(answer.refused(problem)));
                }
            }
            next = self.way(&Target { url: url.clone(), is_open: target.is_open });
        }
    }

    /// One request, and the beginning of its answer.
    async fn ask(
        &self,
        request: Request,
        is_open: bool,
        whom: &Arc<Whom>,
    ) -> Result<Answer, Missed> {
        let is_open = is_open || self.options().relay.is_some();
        let client = self.shared.clients[usize::from(is_open)].get_or_init(|| {
            let names = if is_open { None } else { Some(self.shared.names.clone()) };
            client::client(names)
        });
        let missing = || Missed::Passing("there is no client for it".to_owned());
        let client = client.as_ref().ok_or_else(missing)?;
        let failed = |error: reqwest::Error| match client::failure(&error) {
            client::Failure::Forbidden(problem) => {
                Missed::For(TellError::Forbidden { sink: whom.name.clone(), problem })
            }
            client::Failure::Passing(words) => Missed::Passing(whom.hide(&words)),
        };
        let mut response = client.execute(request).await.map_err(failed)?;
        let body = beginning(&mut response).await.map_err(failed)?;
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        Ok(Answer { status, headers, body, attempts: 0, whom: whom.clone() })
    }

    /// Where a message is sent: to its sink, or to the relay.
    fn way(&self, target: &Target) -> Url {
        let url = &target.url;
        let Some(relay) = &self.options().relay else { return url.clone() };
        let base = relay.as_str().split(['?', '#']).next().unwrap_or_default();
        let rest = &url[Position::BeforeHost..Position::AfterQuery];
        let way = format!("{}/{}/{rest}", base.trim_end_matches('/'), url.scheme());
        Url::parse(&way).unwrap_or_else(|_none| relay.clone())
    }
}

impl Answer {
    /// What was answered, in a line: the status, and what the body says if it is a text.
    pub fn words(&self) -> String {
        let mut words = self.status.as_u16().to_string();
        let said = self.whom.hide(&String::from_utf8_lossy(&self.body));
        let said = crate::text::line(&said, 300);
        if said.is_empty() {
            words += self
                .status
                .canonical_reason()
                .map(|name| format!(" {name}"))
                .as_deref()
                .unwrap_or_default();
        } else {
            let _infallible = write!(words, " {said}");
        }
        words
    }

    /// That it is a no. `way_out` is what to do about it, after `; `, or nothing.
    pub fn refused(&self, way_out: &str) -> TellError {
        self.refused_as(&self.words(), way_out)
    }

    /// That it is a no, in words of its own.
    pub fn refused_as(&self, words: &str, way_out: &str) -> TellError {
        let (sink, words) = (self.whom.name.clone(), self.whom.hide(words));
        TellError::Refused { sink, words, way_out: way_out.to_owned() }
    }
}

/// Why an attempt has no answer.
enum Missed {
    /// Another may have one.
    Passing(String),
    /// None will.
    For(TellError),
}

/// Where an answer leads to, if the same may be asked there.
fn redirect(answer: &Answer, from: &Url) -> Option<Url> {
    let same_method = matches!(answer.status.as_u16(), 301 | 307 | 308);
    let location = answer.headers.get(LOCATION)?.to_str().ok()?;
    let to = from.join(location).ok()?;
    let same_host = to.origin() == from.origin() && to.username().is_empty();
    (same_method && same_host && to.password().is_none()).then_some(to)
}

async fn beginning(response: &mut Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let fits = chunk.len().min(LONGEST_ANSWER - body.len());
        body.extend_from_slice(&chunk[..fits]);
        if body.len() == LONGEST_ANSWER {
            break;
        }
    }
    Ok(body)
}

/// What would be sent, without what nobody may see.
fn preview(method: &Method, url: &Url, headers: &HeaderMap, body: &[u8]) -> String {
    let mut text = format!("{method} {}\n", redacted(url.as_str()));
    for (name, value) in headers {
        let value = if whom::is_shown(name) { value.to_str().unwrap_or("***") } else { "***" };
        let _infallible = writeln!(text, "{name}: {value}");
    }
    text.push('\n');
    let is_json = headers
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.to_str().is_ok_and(|kind| kind.contains("json")));
    let pretty = is_json.then(|| serde_json::from_slice::<serde_json::Value>(body).ok()).flatten();
    match pretty.map(|value| serde_json::to_string_pretty(&value)) {
        Some(Ok(pretty)) => text += &pretty,
        _ => text += &String::from_utf8_lossy(body),
    }
    text
}
