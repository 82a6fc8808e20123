//! What a GitHub delivery means: an event, or why it is none.

use std::collections::HashMap;

use bytes::Bytes;
use jiff::Timestamp;
use runtime::build::BuildId;
use runtime::event::{Event, Identity};
use runtime::github::is_commit;
use runtime::project::Project;
use runtime::settings::Settings;
use serde::Deserialize;
use serde::de::IgnoredAny;

use self::about::{seen, time, titles};
use self::members::Body;
use self::package::Said;
use self::revision::{commented_pull, revision, stranger};
use crate::body::json_object;
use crate::filter::{self, Seen};
use crate::lenient::{line, text};
use crate::rejection::Rejection;

pub(super) use self::about::changed_files;

mod about;
mod members;
mod own;
mod package;
mod revision;

/// What pull requests may have done to be built, as in Brigade; everything else that they do is
/// built where somebody asks for it.
const PULL_REQUEST_ACTIONS: [&str; 6] =
    ["closed", "labeled", "opened", "reopened", "synchronize", "unlabeled"];

/// What pull requests have done whose commits may be others than before.
const PULL_REQUEST_CHANGES: [&str; 3] = ["opened", "reopened", "synchronize"];

/// The events that become builds, whether or not somebody asks for them.
const EVENTS: [&str; 15] = [
    "check_run",
    "check_suite",
    "commit_comment",
    "create",
    "deployment",
    "deployment_status",
    "issue_comment",
    "package",
    "pull_request",
    "pull_request_review",
    "pull_request_review_comment",
    "push",
    "registry_package",
    "release",
    "status",
];

/// The members that the bodies of other events have, so that none can be taken for another by the
/// header alone, which is not signed.
const MEMBERS: [(&str, &str); 22] = [
    ("branch_protection_rule", "rule"),
    ("code_scanning_alert", "alert"),
    ("delete", "ref_type"),
    ("dependabot_alert", "alert"),
    ("deploy_key", "key"),
    ("discussion", "discussion"),
    ("fork", "forkee"),
    ("gollum", "pages"),
    ("issues", "issue"),
    ("label", "label"),
    ("member", "member"),
    ("merge_group", "merge_group"),
    ("milestone", "milestone"),
    ("page_build", "build"),
    ("repository_advisory", "repository_advisory"),
    ("repository_dispatch", "client_payload"),
    ("repository_ruleset", "repository_ruleset"),
    ("secret_scanning_alert", "alert"),
    ("star", "starred_at"),
    ("team_add", "team"),
    ("workflow_dispatch", "inputs"),
    ("workflow_run", "workflow_run"),
];

/// Why a check is not built that is of no branch.
const NOWHERE: &str =
    "the commit is in no branch of the repository that the body names, as those of forks are";

/// What a delivery amounts to.
#[derive(Debug)]
pub(super) enum Meaning {
    Event(Box<Translated>),
    /// A rule passed it over; Brigade's word for that, and the rule with the value it saw.
    Skipped {
        status: &'static str,
        reason: String,
    },
    /// Nobody could care.
    Ignored {
        reason: String,
    },
}

/// A build that is to be run again.
#[derive(Debug)]
pub(super) struct Again {
    pub(super) build: BuildId,
    pub(super) identity: Identity,
    pub(super) time: Option<Timestamp>,
    pub(super) installation: Option<u64>,
}

/// An event, and what goes with it.
#[derive(Debug)]
pub(super) struct Translated {
    pub(super) event: Event,
    /// What the project's filters look at.
    pub(super) seen: Seen,
    /// What GitHub is asked for before the event is built.
    pub(super) need: Need,
    /// The installation of a GitHub App that the delivery comes from.
    pub(super) installation: Option<u64>,
}

/// What GitHub is asked for before an event is built.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Need {
    Nothing,
    /// A token for the payload, and the head of the pull request that was commented on.
    Token {
        pull: Option<u64>,
    },
    /// A check suite for the head of a pull request.
    CheckSuite {
        head: String,
        reference: String,
    },
}

/// A delivery as it came, its body decoded.
pub(super) struct Delivery<'a> {
    /// The value of `X-GitHub-Event`. It is not signed, so the body must bear it out.
    pub(super) name: &'a str,
    /// The value of `X-GitHub-Delivery`, which GitHub keeps when it delivers again. It is not signed.
    pub(super) id: &'a [u8],
    /// The JSON text of the body.
    pub(super) json: Bytes,
    /// The body as it was signed.
    pub(super) signed: Bytes,
}

/// Whether an event of this name can become a build though nobody asks for it.
pub(super) fn is_known(name: &str) -> bool {
    EVENTS.contains(&name)
}

/// Translates a delivery, by the rules of the operator and of the project.
pub(super) fn translate(
    delivery: Delivery<'_>,
    settings: &Settings,
    project: &Project,
) -> Result<Meaning, Rejection> {
    let name = delivery.name;
    let asked = || -> Result<bool, Rejection> {
        let action = action(&delivery.json)?;
        // What a filter lists with a colon is no name that the header may have.
        Ok(is_word(name) && filter::asks_for(project, &settings.events, name, action.as_deref()))
    };
    if !is_known(name) && !asked()? {
        return Ok(Meaning::Ignored { reason: unasked(name) });
    }
    let body: Body = json_object(&delivery.json)?;
    let shape = shape(&body);
    let is_borne_out = match shape {
        Some(shape) => shape == name,
        None if is_known(name) => {
            return Err(Rejection::malformed(format!("the body is not that of a `{name}` event")));
        }
        None => has_its_member(name, &delivery.json),
    };
    if !is_borne_out {
        let other = shape.map_or("another".to_owned(), |shape| format!("a `{shape}`"));
        let name = line(name, 50);
        let reason =
            format!("the header X-GitHub-Event says `{name}`, the body is that of {other} event");
        return Ok(Meaning::Ignored { reason });
    }
    match package::said(&body) {
        Some(Said::Push { image, identity }) => {
            return Ok(Meaning::Event(Box::new(package::push(&body, delivery, image, identity))));
        }
        Some(Said::Other { .. }) if asked()? => {}
        Some(Said::Nothing { reason } | Said::Other { reason }) => {
            return Ok(Meaning::Ignored { reason });
        }
        None => {}
    }
    let action = body.action.clone().filter(|action| is_word(action));
    let (kind, action) = match action {
        // The event that Brigade makes of pull requests is not made of more than it was made of.
        Some(action)
            if name == "pull_request" && !PULL_REQUEST_ACTIONS.contains(&action.as_str()) =>
        {
            (format!("{name}:{action}"), None)
        }
        action => (name.to_owned(), action),
    };
    let is_asked = || kind != name && filter::asks_for(project, &settings.events, &kind, None);
    if let Some(skipped) = skip(name, &body, settings, is_asked) {
        return Ok(skipped);
    }
    if let Some(reason) = own::written(name, &body, settings, project) {
        return Ok(Meaning::Ignored { reason });
    }
    let is_own_check = body.suite().is_some() && settings.app_id.is_some();
    let revision = revision(name, &body, settings, is_own_check || project.allow_forks);
    let Some(revision) = revision else {
        if body.suite().is_some() {
            let reason = NOWHERE.to_owned();
            return Ok(Meaning::Skipped { status: "build skipped", reason });
        }
        return Err(Rejection::malformed(format!("the `{}` says no revision", line(name, 50))));
    };
    let (short_title, long_title) = titles(&body);
    let seen = seen(name, &body);
    let need = need(name, &body, settings);
    let event = Event {
        action,
        revision,
        short_title,
        long_title,
        time: time(name, &body),
        identity: identity(&delivery, &body),
        ..Event::new("github", &kind, delivery.json)
    };
    let installation = body.installation.as_ref().and_then(members::Numbered::id);
    Ok(Meaning::Event(Box::new(Translated { event, seen, need, installation })))
}

/// The build that a delivery asks to have run again, if it is one of a check run.
pub(super) fn again(
    delivery: &Delivery<'_>,
    settings: &Settings,
) -> Result<Option<Again>, Rejection> {
    if delivery.name != "check_run" {
        return Ok(None);
    }
    let body: Body = json_object(&delivery.json)?;
    let is_ours = shape(&body) == Some("check_run") && foreign(&body, settings).is_none();
    let build = own::again(&body).filter(|_| is_ours);
    Ok(build.map(|build| Again {
        build,
        identity: started(delivery),
        time: time(delivery.name, &body),
        installation: body.installation.as_ref().and_then(members::Numbered::id),
    }))
}

/// What tells an event from another: its body. Of what a person or a program starts, the body may be
/// that of the last time, byte for byte, so GitHub's name of the delivery does as well.
fn identity(delivery: &Delivery<'_>, body: &Body) -> Identity {
    let is_started = match delivery.name {
        "repository_dispatch" | "workflow_dispatch" => true,
        "check_run" => body.action.as_deref() == Some("requested_action"),
        _ => false,
    };
    if is_started { started(delivery) } else { Identity::Content(delivery.signed.clone()) }
}

/// What tells apart what people start, again and again with the same body.
fn started(delivery: &Delivery<'_>) -> Identity {
    if delivery.id.is_empty() {
        return Identity::Content(delivery.signed.clone());
    }
    // No body has this byte.
    Identity::Content([&delivery.signed[..], &[0], delivery.id].concat().into())
}

/// Why an event is ignored that is built only where somebody asks for it.
fn unasked(name: &str) -> String {
    format!(
        "`{}` events are built only where the project's filters.events names them",
        line(name, 50)
    )
}

fn action(json: &[u8]) -> Result<Option<String>, Rejection> {
    #[derive(Deserialize)]
    struct Acted {
        #[serde(default, deserialize_with = "text")]
        action: Option<String>,
    }
    Ok(json_object::<Acted>(json)?.action)
}

/// Whether a body has the member that those of this event have.
fn has_its_member(name: &str, json: &[u8]) -> bool {
    let member = MEMBERS.iter().find(|(event, _)| *event == name);
    let Some((_, member)) = member else { return true };
    serde_json::from_slice::<HashMap<String, IgnoredAny>>(json)
        .is_ok_and(|members| members.contains_key(*member))
}

/// What GitHub is asked for, as Brigade asks for it.
fn need(name: &str, body: &Body, settings: &Settings) -> Need {
    let action = body.action.as_deref().unwrap_or_default();
    match name {
        "check_run" | "check_suite" => Need::Token { pull: None },
        "issue_comment" => match commented_pull(body, settings) {
            Some(number) => Need::Token { pull: Some(number) },
            None => Need::Nothing,
        },
        "pull_request"
            if settings.app_id.is_some()
                && settings.check_suite_on_pr
                && PULL_REQUEST_CHANGES.contains(&action) =>
        {
            let pull = body.pull_request.as_ref();
            // It becomes a part of an address.
            let head = pull.and_then(|pull| pull.head.as_ref()?.sha.clone());
            let head = head.filter(|head| is_commit(head));
            let number = pull.and_then(|pull| pull.number).or(body.number);
            head.zip(number).map_or(Need::Nothing, |(head, number)| Need::CheckSuite {
                head,
                reference: format!("refs/pull/{number}/head"),
            })
        }
        _ => Need::Nothing,
    }
}

/// The event that has bodies of this form; no two have the same.
fn shape(body: &Body) -> Option<&'static str> {
    if body.check_suite.is_some() {
        return Some("check_suite");
    }
    if body.check_run.is_some() {
        return Some("check_run");
    }
    if body.package.is_some() {
        return Some("package");
    }
    if body.registry_package.is_some() {
        return Some("registry_package");
    }
    if body.pull_request.is_some() {
        return match (&body.review, &body.comment) {
            (Some(_), _) => Some("pull_request_review"),
            (None, Some(_)) => Some("pull_request_review_comment"),
            (None, None) if body.thread.is_some() => Some("pull_request_review_thread"),
            (None, None) => Some("pull_request"),
        };
    }
    if body.comment.is_some() {
        return match (&body.issue, &body.discussion) {
            (Some(_), _) => Some("issue_comment"),
            (None, Some(_)) => Some("discussion_comment"),
            (None, None) => Some("commit_comment"),
        };
    }
    if body.deployment_status.is_some() {
        return Some("deployment_status");
    }
    if body.deployment.is_some() {
        return match (&body.deployment_callback_url, &body.workflow_job) {
            (Some(_), _) => Some("deployment_protection_rule"),
            (None, Some(_)) => Some("workflow_job"),
            (None, None) => Some("deployment"),
        };
    }
    if body.release.is_some() {
        return Some("release");
    }
    if body.ref_type.is_some() {
        return Some(if body.master_branch.is_some() { "create" } else { "delete" });
    }
    if body.reference.is_some() && body.after.is_some() {
        return Some("push");
    }
    (body.sha.is_some() && body.state.is_some()).then_some("status")
}

/// Brigade's rules about deliveries that are understood and still not built.
fn skip(
    name: &str,
    body: &Body,
    settings: &Settings,
    is_asked: impl Fn() -> bool,
) -> Option<Meaning> {
    if name == "push" && body.deleted {
        let reference = body.reference.as_deref().unwrap_or_default();
        return Some(Meaning::Skipped {
            status: "build skipped on branch deletion",
            reason: format!("`{}` was deleted", line(reference, 100)),
        });
    }
    let action = body.action.as_deref().unwrap_or_default();
    if name == "pull_request" && !PULL_REQUEST_ACTIONS.contains(&action) && !is_asked() {
        return Some(Meaning::Skipped {
            status: "build skipped",
            reason: format!(
                "the action is `{}`; these are built: {}",
                line(action, 50),
                PULL_REQUEST_ACTIONS.join(", ")
            ),
        });
    }
    if let Some(reason) = foreign(body, settings) {
        return Some(Meaning::Ignored { reason });
    }
    let reason = stranger(body, settings)?;
    Some(Meaning::Skipped { status: "build skipped", reason })
}

/// Why a check is ignored that is of another App than ours.
fn foreign(body: &Body, settings: &Settings) -> Option<String> {
    let own = settings.app_id?;
    let (what, app) = checked(body).filter(|(_, app)| *app != Some(own))?;
    let app = app.map_or("none".to_owned(), |app| app.to_string());
    Some(format!("the {what} is of the GitHub App {app}, APP_ID is {own}"))
}

/// The App that a check is of.
fn checked(body: &Body) -> Option<(&'static str, Option<u64>)> {
    let suite = body.check_suite.as_ref();
    let suite = suite.map(|suite| suite.app.as_ref().and_then(members::Numbered::id));
    let run = body.check_run.as_ref().map(members::CheckRun::app);
    suite.map(|app| ("check suite", app)).or(run.map(|app| ("check run", app)))
}

/// Actions are words, as events are; one that is not would make no handler's name.
fn is_word(action: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    !action.is_empty() && action.len() <= 64 && action.chars().all(fits)
}
