//! What a delivery of Azure DevOps means: events, or why it is none.

use bytes::Bytes;
use jiff::Timestamp;
use runtime::event::{Event, Identity, Revision};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::body::json_object;
use crate::filter::Seen;
use crate::host::{self, Meaning};
use crate::lenient::{Moment, Text, object};
use crate::rejection::Rejection;
use crate::revision;

/// Translates a delivery that is proved. `forks` is whether the project builds those of forks.
pub(super) fn translate(json: Bytes, forks: bool) -> Result<Meaning, Rejection> {
    let body: Body = json_object(&json)?;
    let Some(kind) = body.kind.get().filter(|kind| host::is_word(kind)) else {
        return Err(Rejection::malformed("its eventType is no word"));
    };
    let resource = body.resource.unwrap_or_default();
    let time = body.created.0;
    if let Some(updates) = &resource.updates {
        return Ok(push(kind, updates, &json, time));
    }
    let event = |revision: Revision| Event {
        revision,
        time,
        identity: Identity::Content(json.clone()),
        ..Event::new("vsts", kind, json.clone())
    };
    // A comment has its pull request beside it; every other event about one is one.
    let nested = resource.pull_request.as_deref();
    let Some(pull) = nested.or_else(|| resource.number.get().map(|_number| &resource)) else {
        return Ok(Meaning::event(event(revision::master()), Seen::default()));
    };
    if pull.fork.is_some() && !forks {
        return Ok(Meaning::fork("Azure DevOps"));
    }
    let revision =
        pull.revision().ok_or_else(|| Rejection::malformed("the pull request says no revision"))?;
    let target = pull.target.get().map(|name| name.strip_prefix("refs/heads/").unwrap_or(name));
    let branches = target.map(str::to_owned).into_iter().collect();
    let (short_title, long_title) = host::numbered_titles(pull.number.get(), pull.title.get());
    let event = Event { short_title, long_title, ..event(revision) };
    Ok(Meaning::event(event, Seen { branches, ..Seen::default() }))
}

fn push(kind: &str, updates: &[Update], json: &Bytes, time: Option<Timestamp>) -> Meaning {
    let mut events = Vec::new();
    let mut gone = None;
    let digest = host::digest(json);
    for update in updates {
        if events.len() > host::MOST {
            break;
        }
        let name = update.name.get().unwrap_or_default();
        let Some(commit) = update.to.get().filter(|commit| !host::is_nothing(commit)) else {
            gone = Some(name);
            continue;
        };
        let (short_title, long_title) = host::reference_titles(name);
        let event = Event {
            revision: Revision { commit: commit.to_owned(), reference: name.to_owned() },
            short_title,
            long_title,
            time,
            identity: host::push_identity(&digest, name, commit),
            ..Event::new("vsts", kind, json.clone())
        };
        events.push((event, Seen::of(name)));
    }
    match gone {
        Some(reference) if events.is_empty() => Meaning::deleted(reference),
        _ => Meaning::Events(events),
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    #[serde(rename = "createdDate")]
    created: Moment,
    #[serde(rename = "eventType")]
    kind: Text,
    #[serde(deserialize_with = "object")]
    resource: Option<Resource>,
}

/// What the event is about: a push, a pull request, or something that has one.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Resource {
    #[serde(rename = "forkSource")]
    fork: Option<IgnoredAny>,
    #[serde(rename = "lastMergeCommit", deserialize_with = "object")]
    merge: Option<Commit>,
    #[serde(rename = "pullRequestId")]
    number: Text,
    #[serde(rename = "pullRequest")]
    pull_request: Option<Box<Resource>>,
    #[serde(rename = "sourceRefName")]
    source: Text,
    #[serde(rename = "lastMergeSourceCommit", deserialize_with = "object")]
    source_commit: Option<Commit>,
    status: Text,
    #[serde(rename = "targetRefName")]
    target: Text,
    title: Text,
    #[serde(rename = "refUpdates")]
    updates: Option<Vec<Update>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Commit {
    #[serde(rename = "commitId")]
    id: Text,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Update {
    name: Text,
    #[serde(rename = "newObjectId")]
    to: Text,
}

impl Resource {
    /// The revision of a pull request.
    fn revision(&self) -> Option<Revision> {
        let at = |commit: Option<&Commit>, reference: String| Revision {
            commit: commit.and_then(|commit| commit.id.owned()).unwrap_or_default(),
            reference,
        };
        // Its branch may be gone once it was completed.
        if self.status.get() == Some("completed") && self.merge.is_some() {
            return Some(at(self.merge.as_ref(), self.target.owned()?));
        }
        let reference = match &self.fork {
            Some(_) => format!("refs/pull/{}/merge", self.number.get()?),
            None => self.source.owned()?,
        };
        Some(at(self.source_commit.as_ref(), reference))
    }
}
