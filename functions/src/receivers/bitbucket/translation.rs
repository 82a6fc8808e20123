//! What a Bitbucket delivery means: events, or why it is none.

use bytes::Bytes;
use jiff::Timestamp;
use ring::digest::Digest;
use runtime::event::{Event, Identity, Revision};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::body::json_object;
use crate::filter::Seen;
use crate::host::{self, Meaning};
use crate::lenient::{Moment, Text, line, object};
use crate::rejection::Rejection;

/// The name of the body's repository; everything else is passed over.
pub(super) fn project(json: &[u8]) -> Result<Option<String>, Rejection> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Body {
        #[serde(rename = "pullRequest", alias = "pullrequest", deserialize_with = "object")]
        pull_request: Option<Pull>,
        #[serde(deserialize_with = "object")]
        repository: Option<Repository>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Pull {
        #[serde(rename = "toRef", deserialize_with = "object")]
        to: Option<Reference>,
    }
    let body: Body = json_object(json)?;
    let target = body.pull_request.and_then(|pull| pull.to?.repository);
    Ok(target.or(body.repository).and_then(|repository| repository.name()))
}

/// Translates a delivery that is proved. `key` is the value of `X-Event-Key`, which nothing proves;
/// `forks` is whether the project builds those of forks.
pub(super) fn translate(key: &str, json: Bytes, forks: bool) -> Result<Meaning, Rejection> {
    let body: Body = json_object(&json)?;
    let key = body.key.get().unwrap_or(key);
    if key.is_empty() || key.len() > 100 || !key.split(':').all(host::is_word) {
        return Err(Rejection::malformed("one header X-Event-Key must name the event"));
    }
    if !fits(key, &body) {
        return Ok(Meaning::Ignored {
            reason: format!(
                "the header X-Event-Key says `{}`, and the body has another form",
                line(key, 50)
            ),
        });
    }
    if matches!(key, "repo:push" | "repo:refs_changed") {
        return Ok(push(&body, &json));
    }
    let event = |revision: Revision, titles: (String, String)| Event {
        revision,
        short_title: titles.0,
        long_title: titles.1,
        time: body.time(),
        identity: Identity::Content(json.clone()),
        ..Event::new("bitbucket", key, json.clone())
    };
    let master = || Revision { reference: "master".to_owned(), ..Revision::default() };
    let pull = body.pull.as_ref().or(body.pull_request.as_ref());
    let revision = match (key.split(':').next(), pull) {
        (Some("pullrequest" | "pr"), Some(pull)) => {
            if pull.is_fork() && !forks {
                return Ok(Meaning::fork("Bitbucket"));
            }
            pull.revision(key)
                .ok_or_else(|| Rejection::malformed("the pull request says no revision"))?
        }
        (Some("issue"), _) => master(),
        _ => match key {
            // As below.
            "repo:commit_comment_created" if !forks => master(),
            "repo:commit_comment_created" => {
                let commit = body.commit.as_ref().and_then(|commit| commit["hash"].as_str());
                Revision { commit: commit.unwrap_or_default().to_owned(), ..Revision::default() }
            }
            "repo:commit_status_created" | "repo:commit_status_updated" => {
                let status = body.commit_status.as_ref().and_then(CommitStatus::revision);
                status.ok_or_else(|| Rejection::malformed("the status says no commit"))?
            }
            // The commit may be of a pull request from a fork.
            _ if key.starts_with("repo:comment:") => master(),
            _ => return Ok(Meaning::Rare(Box::new(event(master(), Default::default())))),
        },
    };
    let subject = pull.or(body.issue.as_ref());
    let titles =
        subject.map(|subject| host::numbered_titles(subject.id.get(), subject.title.get()));
    let seen =
        Seen { branches: pull.and_then(Pull::target).into_iter().collect(), ..Seen::default() };
    let clone_url = pull.filter(|pull| pull.is_fork()).and_then(Pull::clone_url);
    let event = Event { clone_url, ..event(revision, titles.unwrap_or_default()) };
    Ok(Meaning::event(event, seen))
}

/// Whether the body can be that of an event of this key.
fn fits(key: &str, body: &Body) -> bool {
    match key {
        "repo:push" => body.push.is_some(),
        "repo:refs_changed" => body.changes.is_some() || body.push.is_some(),
        "repo:commit_comment_created" => body.comment.is_some() && body.commit.is_some(),
        "repo:commit_status_created" | "repo:commit_status_updated" => body.commit_status.is_some(),
        _ if key.starts_with("repo:comment:") => body.comment.is_some() && !body.has_subject(),
        _ if key.starts_with("issue:comment") => body.issue.is_some() && body.comment.is_some(),
        _ if key.starts_with("issue:") => body.issue.is_some(),
        _ if key.starts_with("pullrequest:comment") => {
            body.pull.is_some() && body.comment.is_some()
        }
        "pullrequest:approved" | "pullrequest:unapproved" => {
            body.pull.is_some() && body.approval.is_some()
        }
        _ if key.starts_with("pullrequest:") => body.pull.is_some(),
        // The plugin that there was before Data Center had webhooks writes it like the cloud.
        _ if key.starts_with("pr:") => {
            body.pull_request.is_some()
                || body.pull.as_ref().is_some_and(|pull| pull.from.is_some())
        }
        // Nor is a body that is known one of an event that is not.
        _ => !body.has_subject() && body.push.is_none(),
    }
}

/// The pushes of a delivery: of the cloud, of Data Center, and of the plugin that there was before.
fn push(body: &Body, json: &Bytes) -> Meaning {
    let mut events = Vec::new();
    let mut gone = None;
    let cloud = body.push.iter().flat_map(|push| push.changes.iter().flatten());
    let digest = host::digest(json);
    for change in cloud {
        if events.len() > host::MOST {
            break;
        }
        let Some(new) = &change.new else {
            gone = change.old.as_ref().and_then(|old| old.name.owned()).or(gone);
            continue;
        };
        let name = new.name.get().unwrap_or_default();
        let is_tag = matches!(new.kind.get(), Some("tag" | "annotated_tag"));
        let full = if is_tag { format!("refs/tags/{name}") } else { format!("refs/heads/{name}") };
        let target = new.target.as_ref();
        let commit = target.and_then(|target| target.hash.get()).unwrap_or_default();
        let date = target.and_then(|target| target.date.0);
        events.push(pushed(json, &digest, (commit, name, &full), date));
    }
    for change in body.changes.iter().flatten() {
        if events.len() > host::MOST {
            break;
        }
        let full = change.reference.get().unwrap_or_default();
        match change.to.get() {
            Some(commit) if !host::is_nothing(commit) => {
                events.push(pushed(json, &digest, (commit, full, full), body.date.0));
            }
            _ => gone = Some(full.to_owned()),
        }
    }
    match gone {
        Some(reference) if events.is_empty() => Meaning::deleted(&reference),
        _ => Meaning::Events(events),
    }
}

/// The push of one branch or tag: a commit, the reference that scripts see, and the full one.
fn pushed(
    json: &Bytes,
    digest: &Digest,
    (commit, reference, full): (&str, &str, &str),
    time: Option<Timestamp>,
) -> (Event, Seen) {
    let (short_title, long_title) = host::reference_titles(full);
    let event = Event {
        revision: Revision { commit: commit.to_owned(), reference: reference.to_owned() },
        short_title,
        long_title,
        time,
        identity: host::push_identity(digest, full, commit),
        ..Event::new("bitbucket", "push", json.clone())
    };
    (event, Seen::of(full))
}

/// The members of all bodies that matter here; none of them is in every body.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    approval: Option<IgnoredAny>,
    changes: Option<Vec<RefChange>>,
    #[serde(deserialize_with = "object")]
    comment: Option<Dated>,
    /// An object in the cloud, its id in Data Center.
    commit: Option<Value>,
    #[serde(deserialize_with = "object")]
    commit_status: Option<CommitStatus>,
    date: Moment,
    #[serde(deserialize_with = "object")]
    issue: Option<Pull>,
    #[serde(rename = "eventKey")]
    key: Text,
    /// Of the cloud.
    #[serde(rename = "pullrequest", deserialize_with = "object")]
    pull: Option<Pull>,
    /// Of Data Center.
    #[serde(rename = "pullRequest", deserialize_with = "object")]
    pull_request: Option<Pull>,
    #[serde(deserialize_with = "object")]
    push: Option<Push>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Push {
    changes: Option<Vec<Change>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Change {
    new: Option<Tip>,
    old: Option<Tip>,
}

/// A branch or a tag of the cloud, and where it is.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Tip {
    #[serde(rename = "type")]
    kind: Text,
    name: Text,
    #[serde(deserialize_with = "object")]
    target: Option<Commit>,
}

/// A branch or a tag of Data Center, and where it went.
#[derive(Default, Deserialize)]
#[serde(default)]
struct RefChange {
    #[serde(rename = "refId")]
    reference: Text,
    #[serde(rename = "toHash")]
    to: Text,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Commit {
    date: Moment,
    hash: Text,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CommitStatus {
    #[serde(deserialize_with = "object")]
    commit: Option<Commit>,
    #[serde(deserialize_with = "object")]
    links: Option<Links>,
    refname: Text,
    updated_on: Moment,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Dated {
    created_on: Moment,
    updated_on: Moment,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Links {
    #[serde(deserialize_with = "object")]
    commit: Option<Link>,
    #[serde(deserialize_with = "object")]
    html: Option<Link>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Link {
    href: Text,
}

/// A pull request of either, or an issue.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Pull {
    created_on: Moment,
    #[serde(deserialize_with = "object")]
    destination: Option<Side>,
    #[serde(rename = "fromRef", deserialize_with = "object")]
    from: Option<Reference>,
    id: Text,
    #[serde(deserialize_with = "object")]
    merge_commit: Option<Commit>,
    #[serde(deserialize_with = "object")]
    source: Option<Side>,
    title: Text,
    #[serde(rename = "toRef", deserialize_with = "object")]
    to: Option<Reference>,
    updated_on: Moment,
}

/// A side of a pull request in the cloud.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Side {
    #[serde(deserialize_with = "object")]
    branch: Option<Tip>,
    #[serde(deserialize_with = "object")]
    commit: Option<Commit>,
    #[serde(deserialize_with = "object")]
    repository: Option<Repository>,
}

/// A side of a pull request in Data Center.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Reference {
    /// Of the plugin.
    #[serde(deserialize_with = "object")]
    commit: Option<Commit>,
    id: Text,
    #[serde(rename = "latestCommit")]
    latest_commit: Text,
    #[serde(deserialize_with = "object")]
    repository: Option<Repository>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Repository {
    full_name: Text,
    #[serde(rename = "fullName")]
    full_name_of_old: Text,
    id: Text,
    #[serde(deserialize_with = "object")]
    links: Option<Links>,
    #[serde(deserialize_with = "object")]
    project: Option<Key>,
    slug: Text,
    uuid: Text,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Key {
    key: Text,
}

impl Body {
    /// Whether it is about a pull request or an issue.
    fn has_subject(&self) -> bool {
        self.pull.is_some() || self.pull_request.is_some() || self.issue.is_some()
    }

    /// When it happened. The answer must be the same for every delivery of one body.
    fn time(&self) -> Option<Timestamp> {
        let comment = self.comment.as_ref();
        let pull = self.pull.as_ref().or(self.issue.as_ref());
        let status = self.commit_status.as_ref().and_then(|status| status.updated_on.0);
        self.date
            .0
            .or_else(|| comment.and_then(|comment| comment.updated_on.0.or(comment.created_on.0)))
            .or(status)
            .or_else(|| pull.and_then(|pull| pull.updated_on.0.or(pull.created_on.0)))
    }
}

impl CommitStatus {
    fn revision(&self) -> Option<Revision> {
        let address = self.links.as_ref().and_then(|links| links.commit.as_ref());
        let linked = address.and_then(|link| link.href.get()?.rsplit('/').next());
        let commit = self.commit.as_ref().and_then(|commit| commit.hash.get()).or(linked)?;
        let reference = self.refname.get().unwrap_or_default();
        Some(Revision { commit: commit.to_owned(), reference: reference.to_owned() })
    }
}

impl Pull {
    /// Whether its commits come from elsewhere. A fork that was deleted is one still.
    fn is_fork(&self) -> bool {
        let of_cloud = |side: &Option<Side>| side.as_ref()?.repository.as_ref()?.identity();
        let of_server = |side: &Option<Reference>| side.as_ref()?.repository.as_ref()?.identity();
        let source = of_cloud(&self.source).or_else(|| of_server(&self.from));
        source.is_none() || source != of_cloud(&self.destination).or_else(|| of_server(&self.to))
    }

    fn revision(&self, key: &str) -> Option<Revision> {
        let at = |commit: &Text, reference: String| Revision {
            commit: commit.get().unwrap_or_default().to_owned(),
            reference,
        };
        if let Some(from) = &self.from {
            // A pull request that was deleted has no reference any more.
            return Some(match (&self.to, key) {
                (Some(to), "pr:deleted") => at(&to.latest_commit, to.id.owned()?),
                _ => {
                    let reference = format!("refs/pull-requests/{}/from", self.id.get()?);
                    let commit = from.commit.as_ref().map(|commit| &commit.hash);
                    at(commit.unwrap_or(&from.latest_commit), reference)
                }
            });
        }
        // In the cloud the branch may be gone once it was merged.
        if let ("pullrequest:fulfilled", Some(merge), Some(destination)) =
            (key, &self.merge_commit, &self.destination)
        {
            return Some(at(&merge.hash, destination.branch.as_ref()?.name.owned()?));
        }
        let source = self.source.as_ref()?;
        let commit = source.commit.as_ref()?;
        Some(at(&commit.hash, source.branch.as_ref()?.name.owned()?))
    }

    /// The branch that it is to be merged into.
    fn target(&self) -> Option<String> {
        if let Some(to) = &self.to {
            let name = to.id.get()?;
            return Some(name.strip_prefix("refs/heads/").unwrap_or(name).to_owned());
        }
        self.destination.as_ref()?.branch.as_ref()?.name.owned()
    }

    /// Where the commits of a fork are in the cloud: the repository itself has no reference to them.
    fn clone_url(&self) -> Option<String> {
        let links = self.source.as_ref()?.repository.as_ref()?.links.as_ref()?;
        let address = links.html.as_ref()?.href.get()?;
        address.starts_with("https://bitbucket.org/").then(|| format!("{address}.git"))
    }
}

impl Repository {
    fn name(&self) -> Option<String> {
        let named = self.full_name.owned().or_else(|| self.full_name_of_old.owned());
        named.or_else(|| {
            let key = self.project.as_ref()?.key.get()?;
            Some(format!("{key}/{}", self.slug.get()?))
        })
    }

    /// What tells it from every other.
    fn identity(&self) -> Option<String> {
        self.uuid.owned().or_else(|| self.id.owned()).or_else(|| self.name())
    }
}
