//! What a GitLab delivery means: an event, or why it is none.

use bytes::Bytes;
use jiff::Timestamp;
use runtime::event::{Event, Identity, Revision};
use serde::Deserialize;
use serde_json::Value;

use crate::body::json_object;
use crate::filter::Seen;
use crate::host::{self, Commit, Meaning};
use crate::lenient::{Moment, Text, line, object};
use crate::rejection::Rejection;

/// The name of the body's project, in whichever of its places; everything else is passed over.
pub(super) fn project(json: &[u8]) -> Result<Option<String>, Rejection> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Body {
        #[serde(deserialize_with = "object")]
        project: Option<Place>,
        path_with_namespace: Text,
        project_path_with_namespace: Text,
        project_name: Text,
        #[serde(deserialize_with = "object")]
        repository: Option<Place>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Place {
        path_with_namespace: Text,
        homepage: Text,
    }
    let body: Body = json_object(json)?;
    let named = body.project.and_then(|project| project.path_with_namespace.owned());
    // A job of old names its project only for people, and by its address.
    let address = body.repository.and_then(|repository| {
        let homepage = repository.homepage.owned()?;
        let path = homepage.split_once("://")?.1.split_once('/')?.1.trim_matches('/').to_owned();
        Some(path).filter(|path| !path.is_empty())
    });
    let shown = || body.project_name.get().filter(|name| name.contains('/')).map(str::to_owned);
    Ok(named
        .or_else(|| body.path_with_namespace.owned())
        .or_else(|| body.project_path_with_namespace.owned())
        .or(address)
        .or_else(shown))
}

/// Translates a delivery that is proved. `forks` is whether the project builds those of forks.
pub(super) fn translate(
    json: Bytes,
    identity: Identity,
    forks: bool,
) -> Result<Meaning, Rejection> {
    let body: Body = json_object(&json)?;
    let Some(name) = body.object_kind.get().or(body.event_name.get()) else {
        return Err(Rejection::malformed("neither object_kind nor event_name says what it is"));
    };
    if !host::is_word(name) {
        return Err(Rejection::malformed("its object_kind is no word"));
    }
    let attributes = body.object_attributes.as_ref();
    let kind = kind(name);
    let action = match name {
        "pipeline" => attributes.and_then(|attributes| attributes.status.get()),
        "build" => body.build_status.get(),
        "deployment" => body.status.get(),
        "release" => body.action.get(),
        _ => attributes.and_then(|attributes| attributes.action.get()),
    };
    let event = |revision: Revision, titles: (String, String)| Event {
        action: action.filter(|action| host::is_word(action)).map(str::to_owned),
        revision,
        short_title: titles.0,
        long_title: titles.1,
        time: time(name, &body),
        identity,
        ..Event::new("gitlab", kind.unwrap_or(name), json)
    };
    if kind.is_none() {
        let revision = Revision { reference: body.default_branch(), ..Revision::default() };
        return Ok(Meaning::Rare(Box::new(event(revision, Default::default()))));
    }
    if let ("push" | "tag_push", Some(reference)) = (name, body.reference.get())
        && body.after.get().is_some_and(host::is_nothing)
    {
        return Ok(Meaning::deleted(reference));
    }
    if !forks && body.may_be_a_forks(name) {
        return Ok(Meaning::fork("GitLab"));
    }
    let revision = revision(name, &body, forks)
        .ok_or_else(|| Rejection::malformed(format!("the `{name}` says no revision")))?;
    let seen = seen(name, &body, &revision);
    let titles = titles(name, &body, &revision);
    Ok(Meaning::event(event(revision, titles), seen))
}

/// The event of an `object_kind`, by Brigade's names; none for those that it did not know.
fn kind(name: &str) -> Option<&'static str> {
    Some(match name {
        "push" => "push",
        "tag_push" => "tag",
        "issue" => "issue",
        "note" => "comment",
        "merge_request" => "mergerequest",
        "wiki_page" => "wikipage",
        "pipeline" => "pipeline",
        "build" => "build",
        "deployment" => "deployment",
        "release" => "release",
        _ => return None,
    })
}

fn revision(name: &str, body: &Body, forks: bool) -> Option<Revision> {
    let at = |commit: Option<&str>, reference: String| Revision {
        commit: commit.unwrap_or_default().to_owned(),
        reference,
    };
    Some(match name {
        "push" | "tag_push" => {
            // The commit that a tag points at, not the tag's own object.
            let commit = body.checkout_sha.get().or(body.after.get());
            at(Some(commit?), body.reference.owned()?)
        }
        "merge_request" => body.object_attributes.as_ref()?.head()?,
        "note" => match &body.merge_request {
            Some(request) if forks || !request.is_fork() => request.head()?,
            _ => at(None, body.default_branch()),
        },
        "pipeline" => {
            let pipeline = body.object_attributes.as_ref()?;
            let request = body.merge_request.as_ref().and_then(MergeRequest::reference);
            let reference =
                request.or_else(|| reference(pipeline.reference.get(), pipeline.tag.as_ref()));
            at(Some(pipeline.sha.get()?), reference.unwrap_or_default())
        }
        "build" => {
            let reference = reference(body.reference.get(), body.tag.as_ref());
            at(Some(body.sha.get()?), reference.unwrap_or_default())
        }
        "deployment" => {
            let commit = body.commit_url.get().and_then(|url| url.rsplit('/').next());
            let commit = commit.filter(|id| matches!(id.len(), 40 | 64));
            let reference = body.reference.get().filter(|name| !name.starts_with('-'));
            at(commit, reference.map_or_else(|| body.default_branch(), str::to_owned))
        }
        "release" => {
            let tag = body.tag.as_ref()?.as_str().filter(|tag| !tag.is_empty())?;
            let commit = body.commit.as_ref().and_then(|commit| commit.id.get());
            at(commit, format!("refs/tags/{tag}"))
        }
        _ => at(None, body.default_branch()),
    })
}

/// The full reference of a branch or a tag.
fn reference(name: Option<&str>, tag: Option<&Value>) -> Option<String> {
    match tag {
        Some(Value::Bool(true)) => Some(format!("refs/tags/{}", name?)),
        _ => Some(host::branch(name?)),
    }
}

/// What the project's filters look at.
fn seen(name: &str, body: &Body, revision: &Revision) -> Seen {
    let target = match name {
        "merge_request" => body.object_attributes.as_ref(),
        "note" | "pipeline" => body.merge_request.as_ref(),
        _ => None,
    };
    if let Some(target) = target.and_then(|request| request.target_branch.owned()) {
        return Seen { branches: vec![target], ..Seen::default() };
    }
    match name {
        // The body lists twenty commits at most.
        "push" | "tag_push" => {
            let commits = body.commits.as_deref().unwrap_or_default();
            let all = body.total_commits_count.get() == Some(commits.len().to_string().as_str());
            let paths = commits.iter().flat_map(Commit::paths);
            let paths = all.then(|| paths.cloned().collect());
            Seen { paths, ..Seen::of(&revision.reference) }
        }
        "pipeline" | "build" | "release" => Seen::of(&revision.reference),
        _ => Seen::default(),
    }
}

fn titles(name: &str, body: &Body, revision: &Revision) -> (String, String) {
    let subject = match name {
        "merge_request" | "issue" => body.object_attributes.as_ref(),
        "note" | "pipeline" => body.merge_request.as_ref().or(body.issue.as_ref()),
        _ => None,
    };
    match subject {
        Some(subject) => host::numbered_titles(subject.iid.get(), subject.title.get()),
        None if name == "release" => {
            let title = line(&format!("release: {}", body.name.get().unwrap_or_default()), 100);
            (line(&title, 50), title)
        }
        None if matches!(name, "push" | "tag_push" | "pipeline" | "build") => {
            host::reference_titles(&revision.reference)
        }
        None => Default::default(),
    }
}

/// When it happened. The answer must be the same for every delivery of one event.
fn time(name: &str, body: &Body) -> Option<Timestamp> {
    let attributes = || body.object_attributes.as_ref();
    let [first, second, third] = match name {
        "push" | "tag_push" => {
            let pushed = body.checkout_sha.get().or(body.after.get());
            let mut commits = body.commits.iter().flatten();
            let commit = commits.find(|commit| commit.id.get() == pushed);
            return commit.and_then(|commit| commit.timestamp.0);
        }
        "pipeline" => {
            let pipeline = attributes()?;
            [pipeline.finished_at, pipeline.created_at, Moment(None)]
        }
        "build" => [body.build_finished_at, body.build_started_at, body.build_created_at],
        "deployment" => [body.status_changed_at, Moment(None), Moment(None)],
        "release" => [body.released_at, body.created_at, Moment(None)],
        _ => match attributes() {
            Some(attributes) => [attributes.updated_at, attributes.created_at, Moment(None)],
            None => [body.updated_at, body.created_at, Moment(None)],
        },
    };
    first.0.or(second.0).or(third.0)
}

/// The members of all bodies that matter here; none of them is in every body.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    action: Text,
    after: Text,
    build_created_at: Moment,
    build_finished_at: Moment,
    build_started_at: Moment,
    build_status: Text,
    checkout_sha: Text,
    #[serde(deserialize_with = "object")]
    commit: Option<Commit>,
    commit_url: Text,
    commits: Option<Vec<Commit>>,
    created_at: Moment,
    event_name: Text,
    #[serde(deserialize_with = "object")]
    issue: Option<MergeRequest>,
    #[serde(deserialize_with = "object")]
    merge_request: Option<MergeRequest>,
    name: Text,
    #[serde(deserialize_with = "object")]
    object_attributes: Option<MergeRequest>,
    object_kind: Text,
    #[serde(deserialize_with = "object")]
    project: Option<Project>,
    #[serde(rename = "ref")]
    reference: Text,
    released_at: Moment,
    sha: Text,
    status: Text,
    status_changed_at: Moment,
    /// Whether it is one, or its name.
    tag: Option<Value>,
    total_commits_count: Text,
    updated_at: Moment,
}

/// A merge request, or what an event is about instead: an issue, a comment, a pipeline, a page.
#[derive(Default, Deserialize)]
#[serde(default)]
struct MergeRequest {
    action: Text,
    created_at: Moment,
    finished_at: Moment,
    iid: Text,
    #[serde(deserialize_with = "object")]
    last_commit: Option<Commit>,
    #[serde(rename = "ref")]
    reference: Text,
    sha: Text,
    source_project_id: Text,
    status: Text,
    tag: Option<Value>,
    target_branch: Text,
    target_project_id: Text,
    title: Text,
    updated_at: Moment,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Project {
    default_branch: Text,
}

impl Body {
    fn default_branch(&self) -> String {
        host::default_branch(self.project.as_ref().and_then(|project| project.default_branch.get()))
    }

    /// Whether a build of it would be one of commits that a stranger may have written.
    fn may_be_a_forks(&self, name: &str) -> bool {
        match name {
            "merge_request" => self.object_attributes.as_ref().is_some_and(MergeRequest::is_fork),
            "pipeline" => self.merge_request.as_ref().is_some_and(MergeRequest::is_fork),
            // These do not say from where their merge request is.
            "build" | "deployment" => {
                self.reference.get().is_some_and(|name| name.starts_with("refs/merge-requests/"))
            }
            _ => false,
        }
    }
}

impl MergeRequest {
    /// Whether its commits come from elsewhere. A fork that was deleted is one still.
    fn is_fork(&self) -> bool {
        let source = self.source_project_id.get();
        source.is_none() || source != self.target_project_id.get()
    }

    fn reference(&self) -> Option<String> {
        Some(format!("refs/merge-requests/{}/head", self.iid.get()?))
    }

    fn head(&self) -> Option<Revision> {
        let commit = self.last_commit.as_ref().and_then(|commit| commit.id.owned());
        Some(Revision { commit: commit.unwrap_or_default(), reference: self.reference()? })
    }
}
