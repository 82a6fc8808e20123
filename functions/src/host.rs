//! What the receivers of git hosts have in common: who proves a delivery, and what is done with the
//! events that it was translated into.

use axum::http::StatusCode;
use ring::digest::{self, Digest};
use runtime::event::{Event, Identity};
use runtime::project::Project;
use runtime::signature::{Secrets, SignatureError};
use serde::Deserialize;
use tokio::time::Instant;

use crate::answer::Answer;
use crate::app::App;
use crate::builds;
use crate::filter::{self, Seen};
use crate::lenient::{Moment, Text, line};
use crate::rejection::Rejection;
use crate::revision::is_name;

pub(crate) mod writer;

/// The largest body that is read.
pub(crate) const LIMIT: usize = 25 * 1024 * 1024;

/// How many events of a delivery become builds. A push of more branches at once is not somebody's
/// work.
pub(crate) const MOST: usize = 200;

/// What a delivery amounts to.
#[derive(Debug)]
pub(crate) enum Meaning {
    /// Events, and what each is about.
    Events(Vec<(Event, Seen)>),
    /// An event that is built only where somebody asks for it by its name.
    Rare(Box<Event>),
    /// A rule passed it over; Brigade's word for that, and the rule with the value that it saw.
    Skipped { status: &'static str, reason: String },
    /// Nobody could care.
    Ignored { reason: String },
}

/// A commit of a push, as GitLab and Gitea tell of it.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Commit {
    added: Option<Vec<String>>,
    pub(crate) id: Text,
    modified: Option<Vec<String>>,
    removed: Option<Vec<String>>,
    pub(crate) timestamp: Moment,
}

impl Commit {
    /// The files that it changes.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &String> {
        [&self.added, &self.modified, &self.removed].into_iter().flatten().flatten()
    }
}

impl Meaning {
    /// One event.
    pub(crate) fn event(event: Event, seen: Seen) -> Meaning {
        Meaning::Events(vec![(event, seen)])
    }

    /// A branch or a tag that was deleted: there is nothing to be built.
    pub(crate) fn deleted(reference: &str) -> Meaning {
        Meaning::Skipped {
            status: "build skipped on branch deletion",
            reason: format!("`{}` was deleted", line(reference, 100)),
        }
    }

    /// A pull request from a fork. A build of it would run the fork's script with the project's
    /// secrets, and these hosts do not say how far its author is trusted.
    pub(crate) fn fork(host: &str) -> Meaning {
        Meaning::Skipped {
            status: "build skipped",
            reason: format!(
                "it comes from a fork, and {host} does not say whether its author is trusted; a \
                 project with allowForks builds it"
            ),
        }
    }
}

/// The secrets that a host may sign with for this project.
pub(crate) fn secrets<'a>(app: &'a App, project: &'a Project) -> Secrets<'a> {
    Secrets::of(&project.shared_secret).or(&app.settings.default_shared_secret)
}

/// What a host is told whose delivery is not proved: the same for a proof that is missing and one
/// that is wrong. It is never a 5xx, since hosts give up on addresses that answer so.
pub(crate) fn refusal(error: SignatureError, wrong: &'static str) -> Rejection {
    let (status, reason) = match error {
        SignatureError::NoSecret => (
            "No secret is configured for this repo.",
            "set the project's sharedSecret to the webhook's secret",
        ),
        SignatureError::Missing | SignatureError::Malformed | SignatureError::Forged => {
            ("malformed signature", wrong)
        }
    };
    Rejection::Unproved { code: StatusCode::FORBIDDEN, status, reason }
}

/// What is said to a delivery that names no project, and so cannot be proved. Nothing of it is
/// repeated or kept.
pub(crate) fn without_project() -> Answer {
    Answer::ignored("the event is about no project", None)
}

/// Makes builds of what the project takes of a git host's delivery.
pub(crate) async fn act(
    app: &App,
    deadline: Instant,
    project: &Project,
    meaning: Meaning,
) -> Result<Answer, Rejection> {
    act_on(app, deadline, project, &app.settings.events, meaning).await
}

/// Makes builds of what the project takes of a delivery. `listed` are the names of events that are
/// taken in projects that list none.
pub(crate) async fn act_on(
    app: &App,
    deadline: Instant,
    project: &Project,
    listed: &[String],
    meaning: Meaning,
) -> Result<Answer, Rejection> {
    let candidates = match meaning {
        Meaning::Events(candidates) => candidates,
        Meaning::Rare(event) => {
            if !filter::asks_for(project, listed, &event.kind, event.action.as_deref()) {
                let kind = line(&event.kind, 50);
                let reason =
                    format!("`{kind}` events are built only where filters.events names them");
                return Ok(Answer::ignored(reason, Some(project)));
            }
            vec![(*event, Seen::default())]
        }
        Meaning::Skipped { status, reason } => {
            return Ok(Answer::passed("status", status, reason, Some(project)));
        }
        Meaning::Ignored { reason } => return Ok(Answer::ignored(reason, Some(project))),
    };
    let mut events = Vec::new();
    let mut refused = None;
    // Hosts do not deliver again what was refused: what is wrong with one event keeps no other.
    let mut rejections = Vec::new();
    if candidates.len() > MOST {
        let reason = format!("the delivery is more than {MOST} events: the first were taken");
        rejections.push(Rejection::TooLarge { reason });
    }
    for (event, seen) in candidates.into_iter().take(MOST) {
        if !is_name(&event.revision.commit) || !is_name(&event.revision.reference) {
            rejections.push(Rejection::malformed("what it says of the revision names none"));
            continue;
        }
        match filter::take(project, listed, event, &seen) {
            Ok(event) => events.push(Ok(event)),
            Err(reason) => refused = Some(reason),
        }
    }
    if events.is_empty() {
        if !rejections.is_empty() {
            return Err(rejections.remove(0));
        }
        let reason = refused.unwrap_or_else(|| "there is no change in it".to_owned());
        return Ok(Answer::ignored(reason, Some(project)));
    }
    events.extend(rejections.into_iter().map(Err));
    builds::answer(app, deadline, project, "Complete", events).await
}

/// What tells one push of a delivery from another: the digest of the body, the full reference and the
/// commit. The body itself would be held once for each of them.
pub(crate) fn push_identity(body: &Digest, reference: &str, commit: &str) -> Identity {
    let parts = [body.as_ref(), reference.as_bytes(), b"\0", commit.as_bytes()];
    Identity::Content(parts.concat().into())
}

/// The digest of a body.
pub(crate) fn digest(body: &[u8]) -> Digest {
    digest::digest(&digest::SHA256, body)
}

/// Whether an object id is the one of nothing, which stands for what was created or deleted.
pub(crate) fn is_nothing(commit: &str) -> bool {
    !commit.is_empty() && commit.bytes().all(|byte| byte == b'0')
}

/// Whether this can be a part of an event's name.
pub(crate) fn is_word(word: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    !word.is_empty() && word.len() <= 64 && word.chars().all(fits)
}

/// The full reference of a branch; what is one already stays.
pub(crate) fn branch(name: &str) -> String {
    if name.starts_with("refs/") { name.to_owned() } else { format!("refs/heads/{name}") }
}

/// The reference of the default branch, as far as the host names it.
pub(crate) fn default_branch(name: Option<&str>) -> String {
    branch(name.unwrap_or("master"))
}

/// The short and the long title of an event about a branch or a tag, as Brigade words them.
pub(crate) fn reference_titles(reference: &str) -> (String, String) {
    let title = match (reference.strip_prefix("refs/heads/"), reference.strip_prefix("refs/tags/"))
    {
        (Some(branch), _) => format!("branch: {branch}"),
        (None, Some(tag)) => format!("tag: {tag}"),
        (None, None) => return (String::new(), String::new()),
    };
    (line(&title, 50), line(&title, 100))
}

/// The short and the long title of an event about a pull request or an issue, as Brigade words them.
pub(crate) fn numbered_titles(number: Option<&str>, title: Option<&str>) -> (String, String) {
    let Some(number) = number else { return (String::new(), String::new()) };
    let long = format!("PR #{number}: {}", title.unwrap_or_default());
    (line(&format!("PR #{number}"), 50), line(&long, 100))
}

#[test]
fn the_id_of_nothing_has_only_zeros() {
    assert!(is_nothing(&"0".repeat(40)) && is_nothing(&"0".repeat(64)));
    assert!(!is_nothing("") && !is_nothing("0000000000000000000000000000000000000001"));
}

#[test]
fn titles_have_an_end() {
    assert_eq!(reference_titles("refs/heads/main").0, "branch: main");
    assert_eq!(reference_titles("refs/tags/v1").1, "tag: v1");
    assert_eq!(reference_titles("refs/pull/1/head"), (String::new(), String::new()));
    let (short, long) = numbered_titles(Some("7"), Some(&"x\n".repeat(500)));
    assert_eq!((short.as_str(), long.chars().count()), ("PR #7", 100));
}
