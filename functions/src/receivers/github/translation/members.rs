//! The members of GitHub's bodies that matter here.

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::package::Package;
use crate::lenient::{moment, object, text};

/// The members of all bodies that matter here; none of them is in every body.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Body {
    pub(super) action: Option<String>,
    pub(super) after: Option<String>,
    pub(super) branches: Option<Vec<Branch>>,
    #[serde(deserialize_with = "object")]
    pub(super) check_run: Option<CheckRun>,
    #[serde(deserialize_with = "object")]
    pub(super) check_suite: Option<CheckSuite>,
    pub(super) comment: Option<Subject>,
    pub(super) commit: Option<Commit>,
    /// What a status is of.
    #[serde(deserialize_with = "text")]
    pub(super) context: Option<String>,
    #[serde(deserialize_with = "moment")]
    pub(super) created_at: Option<Timestamp>,
    pub(super) deleted: bool,
    pub(super) deployment: Option<Subject>,
    pub(super) deployment_callback_url: Option<IgnoredAny>,
    pub(super) deployment_status: Option<Subject>,
    pub(super) discussion: Option<IgnoredAny>,
    pub(super) head_commit: Option<Commit>,
    #[serde(deserialize_with = "object")]
    pub(super) installation: Option<Numbered>,
    pub(super) issue: Option<Subject>,
    pub(super) master_branch: Option<IgnoredAny>,
    #[serde(deserialize_with = "object")]
    pub(super) merge_group: Option<Head>,
    pub(super) number: Option<u64>,
    #[serde(deserialize_with = "object")]
    pub(super) package: Option<Package>,
    pub(super) pull_request: Option<Subject>,
    #[serde(rename = "ref")]
    pub(super) reference: Option<String>,
    pub(super) ref_type: Option<String>,
    #[serde(deserialize_with = "object")]
    pub(super) registry_package: Option<Package>,
    pub(super) release: Option<Subject>,
    pub(super) repository: Option<Repository>,
    #[serde(deserialize_with = "object")]
    pub(super) requested_action: Option<RequestedAction>,
    pub(super) review: Option<Subject>,
    pub(super) sha: Option<String>,
    pub(super) state: Option<IgnoredAny>,
    pub(super) thread: Option<IgnoredAny>,
    #[serde(deserialize_with = "moment")]
    pub(super) updated_at: Option<Timestamp>,
    pub(super) workflow_job: Option<IgnoredAny>,
    #[serde(deserialize_with = "object")]
    pub(super) workflow_run: Option<Head>,
}

/// What the event is about: a pull request, an issue, a comment, a review, a release, ...
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Subject {
    pub(super) author_association: Option<String>,
    pub(super) base: Option<Branch>,
    /// What is said in a comment or a review.
    #[serde(deserialize_with = "text")]
    pub(super) body: Option<String>,
    pub(super) commit_id: Option<String>,
    #[serde(deserialize_with = "moment")]
    pub(super) created_at: Option<Timestamp>,
    #[serde(deserialize_with = "object")]
    pub(super) creator: Option<Account>,
    pub(super) head: Option<Branch>,
    pub(super) number: Option<u64>,
    /// Only in what an App did, or a workflow.
    pub(super) performed_via_github_app: Option<IgnoredAny>,
    #[serde(deserialize_with = "moment")]
    pub(super) published_at: Option<Timestamp>,
    /// Only in an issue that is a pull request.
    pub(super) pull_request: Option<IgnoredAny>,
    #[serde(rename = "ref")]
    pub(super) reference: Option<String>,
    pub(super) sha: Option<String>,
    #[serde(deserialize_with = "moment")]
    pub(super) submitted_at: Option<Timestamp>,
    pub(super) tag_name: Option<String>,
    pub(super) title: Option<String>,
    #[serde(deserialize_with = "moment")]
    pub(super) updated_at: Option<Timestamp>,
}

/// A person, or an App that acts as one.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Account {
    #[serde(rename = "type", deserialize_with = "text")]
    pub(super) kind: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Branch {
    /// Only where a status names branches.
    pub(super) name: Option<String>,
    #[serde(rename = "ref")]
    pub(super) reference: Option<String>,
    pub(super) repo: Option<Repository>,
    pub(super) sha: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Commit {
    pub(super) id: Option<String>,
    pub(super) sha: Option<String>,
    #[serde(deserialize_with = "moment")]
    pub(super) timestamp: Option<Timestamp>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Repository {
    pub(super) default_branch: Option<String>,
    pub(super) full_name: Option<String>,
    pub(super) id: Option<u64>,
    #[serde(deserialize_with = "moment")]
    pub(super) pushed_at: Option<Timestamp>,
    #[serde(deserialize_with = "moment")]
    pub(super) updated_at: Option<Timestamp>,
}

/// A check suite, of which only an App's own is known to be of no fork.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct CheckSuite {
    #[serde(deserialize_with = "object")]
    pub(super) app: Option<Numbered>,
    pub(super) head_branch: Option<String>,
    pub(super) head_sha: Option<String>,
    pub(super) pull_requests: Option<Vec<Subject>>,
    #[serde(deserialize_with = "moment")]
    pub(super) updated_at: Option<Timestamp>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct CheckRun {
    #[serde(deserialize_with = "object")]
    pub(super) app: Option<Numbered>,
    #[serde(deserialize_with = "object")]
    pub(super) check_suite: Option<CheckSuite>,
    #[serde(deserialize_with = "moment")]
    pub(super) completed_at: Option<Timestamp>,
    /// What the App calls it.
    #[serde(deserialize_with = "text")]
    pub(super) external_id: Option<String>,
    #[serde(deserialize_with = "moment")]
    pub(super) started_at: Option<Timestamp>,
}

/// The button of a check run that somebody pressed.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct RequestedAction {
    #[serde(deserialize_with = "text")]
    pub(super) identifier: Option<String>,
}

/// Where a workflow ran, or what a merge queue merges.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Head {
    pub(super) head_branch: Option<String>,
    pub(super) head_ref: Option<String>,
    pub(super) head_repository: Option<Repository>,
    pub(super) head_sha: Option<String>,
    #[serde(deserialize_with = "moment")]
    pub(super) updated_at: Option<Timestamp>,
}

/// An App or an installation of one.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Numbered {
    #[serde(deserialize_with = "text")]
    id: Option<String>,
}

impl Numbered {
    pub(super) fn id(&self) -> Option<u64> {
        self.id.as_ref().and_then(|id| id.parse().ok())
    }
}

impl CheckRun {
    /// The App that it is of, if it says so itself or by its suite.
    pub(super) fn app(&self) -> Option<u64> {
        let suite = self.check_suite.as_ref().and_then(|suite| suite.app.as_ref());
        self.app.as_ref().and_then(Numbered::id).or(suite.and_then(Numbered::id))
    }
}

impl Body {
    /// The check suite that the event is about, or whose run it is about.
    pub(super) fn suite(&self) -> Option<&CheckSuite> {
        let runs = self.check_run.as_ref().and_then(|run| run.check_suite.as_ref());
        self.check_suite.as_ref().or(runs)
    }

    /// The branch that is there whatever the event is about, as a reference.
    pub(super) fn default_branch(&self) -> String {
        let branch = self.repository.as_ref().and_then(|all| all.default_branch.as_deref());
        format!("refs/heads/{}", branch.filter(|name| !name.is_empty()).unwrap_or("master"))
    }
}

impl Subject {
    pub(super) fn time(&self) -> Option<Timestamp> {
        self.updated_at.or(self.submitted_at).or(self.published_at).or(self.created_at)
    }
}
