//! What a cluster says of whoever asks: who they are, what they may do, and what they would need.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, PostParams};
use serde::Serialize;
use tokio::time::Instant;

use super::rights::{Part, Place};
use super::{Cluster, ClusterError};
use crate::settings::Settings;

#[cfg(test)]
mod tests;

/// How long a cluster may take to say anything at all.
const FIRST: Duration = Duration::from_secs(6);

/// How long everything may take.
const ALL: Duration = Duration::from_secs(30);

/// How many questions are asked at once.
const AT_ONCE: usize = 8;

/// Which difference of clocks is told, and which one breaks signatures, in seconds.
const SKEW: (i64, i64) = (10, 120);

/// What is known of a cluster, and of whoever asks.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// What says where the cluster is: a variable, or that it is this one.
    pub way: String,
    /// The address of its API server.
    pub server: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// Whom it takes whoever asks for.
    pub user: Option<String>,
    /// Of which groups.
    pub groups: Vec<String>,
    /// Where the projects are.
    pub namespace: String,
    /// By how many seconds the clock here is ahead of the cluster's.
    pub clock_skew: Option<i64>,
    /// The image of workers.
    pub worker_image: String,
    /// The projects that there are; none that cannot be seen.
    pub projects: Vec<Found>,
    /// What may be done and what may not.
    pub rights: Vec<Allowed>,
    /// What is wrong, and what mends it.
    pub problems: Vec<Problem>,
}

/// A project.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    /// Its name, or its id where it cannot be loaded.
    pub name: String,
    /// Where its builds are.
    pub namespace: String,
    /// Why it cannot be loaded.
    pub broken: Option<String>,
}

/// What may be done with objects of a kind, or not.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Allowed {
    /// Where.
    pub namespace: String,
    /// The objects: `pods`, `pods/log`.
    pub resource: &'static str,
    /// What may be done.
    pub allowed: Vec<&'static str>,
    /// What may not be done, and is needed.
    pub missing: Vec<&'static str>,
}

/// Something that is wrong.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// How much so.
    pub weight: Weight,
    /// What it is.
    pub what: String,
    /// What mends it: a command, or a sentence.
    pub mend: String,
}

/// How much something is wrong.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Weight {
    /// It may be meant so.
    Remark,
    /// Something will not work.
    Missing,
    /// Nothing will: there is no cluster.
    NoCluster,
}

impl Report {
    /// The worst that is wrong, if anything is.
    pub fn worst(&self) -> Option<Weight> {
        self.problems.iter().map(|problem| problem.weight).max()
    }

    fn note(&mut self, weight: Weight, what: impl Into<String>, mend: impl Into<String>) {
        self.problems.push(Problem { weight, what: what.into(), mend: mend.into() });
    }
}

impl Cluster {
    /// Asks the cluster what a program may do there that asks as we do, and looks at what it needs.
    pub async fn check(&self, part: Part, settings: &Settings) -> Report {
        let mut report = Report {
            way: self.connection.as_ref().map_or_else(String::new, |connection| connection.name()),
            namespace: self.namespace.clone(),
            worker_image: settings.worker_image.clone(),
            ..Report::default()
        };
        let hasty = self.with_deadline(Instant::now() + FIRST);
        let version = hasty.call("get its version", || self.client.apiserver_version()).await;
        if let Some(connection) = &self.connection {
            report.server = connection.server().await;
        }
        match version {
            Ok(version) => report.version = Some(version.git_version),
            Err(error) => {
                report.note(Weight::NoCluster, chain(&error), MEND_CLUSTER);
                return report;
            }
        }
        let cluster = self.with_deadline(Instant::now() + ALL);
        match cluster.whoami().await {
            Ok(Some((user, groups))) => (report.user, report.groups) = (Some(user), groups),
            Ok(None) => {}
            Err(error @ ClusterError::Unconnected(_)) => {
                report.note(Weight::NoCluster, chain(&error), MEND_CLUSTER);
                return report;
            }
            Err(error) => report.note(
                Weight::Remark,
                format!("the cluster does not say who asks: {}", chain(&error)),
                "bind the ClusterRole system:basic-user to system:authenticated, as clusters do by \
                 themselves",
            ),
        }
        cluster.check_clock(&mut report);
        cluster.check_projects(&mut report).await;
        cluster.check_rights(part, &mut report).await;
        cluster.check_accounts(settings, &mut report).await;
        report
    }

    fn check_clock(&self, report: &mut Report) {
        report.clock_skew = self.connection.as_ref().and_then(|connection| connection.skew());
        let Some(skew) = report.clock_skew.filter(|skew| skew.abs() > SKEW.0) else { return };
        let weight = if skew.abs() > SKEW.1 { Weight::Missing } else { Weight::Remark };
        let side = if skew > 0 { "ahead of" } else { "behind" };
        let what = format!("the clock here is {} seconds {side} the cluster's", skew.abs());
        report.note(weight, what, "set the clock: tokens and signatures depend on it");
    }

    /// Whom the cluster takes us for; none where it is too old to say.
    async fn whoami(&self) -> Result<Option<(String, Vec<String>)>, ClusterError> {
        let api = Api::<SelfSubjectReview>::all(self.client.clone());
        let review = SelfSubjectReview::default();
        let parameters = PostParams::default();
        let asked =
            self.call("say who asks", || async { api.create(&parameters, &review).await }).await;
        match asked {
            Ok(review) => {
                let user = review.status.and_then(|status| status.user_info).unwrap_or_default();
                let groups = user.groups.unwrap_or_default();
                Ok(Some((user.username.unwrap_or_default(), groups)))
            }
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn check_projects(&self, report: &mut Report) {
        let found = match self.projects().await {
            Ok(found) => found,
            // Whoever may only get projects by their names need not see all of them.
            Err(ClusterError::Refused { .. }) => return,
            Err(error) => {
                report.note(Weight::Missing, chain(&error), "try again");
                return;
            }
        };
        let namespace = self.namespace.clone();
        if found.is_empty() {
            let what = format!("there is no project in the namespace {namespace}");
            report.note(Weight::Remark, what, MEND_PROJECTS);
        }
        for (id, project) in found {
            match project {
                Ok(project) => report.projects.push(Found {
                    name: project.name,
                    namespace: project.namespace,
                    broken: None,
                }),
                Err(error) => {
                    let what = format!("the project {id} cannot be loaded: {error}");
                    let mend = format!("kubectl -n {namespace} edit secret {id}");
                    report.note(Weight::Missing, what, mend);
                    report.projects.push(Found {
                        name: id,
                        namespace: namespace.clone(),
                        broken: Some(error.to_string()),
                    });
                }
            }
        }
    }

    async fn check_rights(&self, part: Part, report: &mut Report) {
        let mut wanted: BTreeMap<(String, &'static str), BTreeSet<&'static str>> = BTreeMap::new();
        let mut spaces: BTreeSet<String> =
            report.projects.iter().map(|project| project.namespace.clone()).collect();
        spaces.insert(self.namespace.clone());
        for right in part.rights() {
            let places: Vec<String> = match right.place {
                Place::Projects => vec![self.namespace.clone()],
                Place::Builds => spaces.iter().cloned().collect(),
            };
            for namespace in places {
                wanted.entry((namespace, right.resource)).or_default().extend(right.verbs);
            }
        }
        let mut answers = Vec::new();
        for ((namespace, resource), verbs) in wanted {
            for verb in verbs {
                answers.push(self.clone().answer(namespace.clone(), resource, verb));
            }
        }
        let answers: Vec<_> = futures::stream::iter(answers).buffered(AT_ONCE).collect().await;
        let mut unknown = None;
        for (namespace, resource, verb, may) in answers {
            let is_of = |each: &Allowed| each.namespace == namespace && each.resource == resource;
            let place = report.rights.iter().position(is_of).unwrap_or(report.rights.len());
            if place == report.rights.len() {
                let (allowed, missing) = (Vec::new(), Vec::new());
                report.rights.push(Allowed { namespace, resource, allowed, missing });
            }
            match may {
                Ok(true) => report.rights[place].allowed.push(verb),
                Ok(false) => report.rights[place].missing.push(verb),
                Err(error) => drop(unknown.get_or_insert(error)),
            }
        }
        if let Some(error) = unknown {
            let what = format!("the cluster does not say what may be done: {}", chain(&error));
            report.note(Weight::Missing, what, "try again");
        }
        let subject = subject(report.user.as_deref().unwrap_or_default());
        let lacking = report.rights.iter().filter(|right| !right.missing.is_empty());
        let problems = lacking.map(|right| lack(part, right, &subject)).collect::<Vec<_>>();
        report.problems.extend(problems);
    }

    /// A question, and what the cluster says to it.
    async fn answer(
        self,
        namespace: String,
        resource: &'static str,
        verb: &'static str,
    ) -> (String, &'static str, &'static str, Result<bool, ClusterError>) {
        let may = self.may(&namespace, resource, verb).await;
        (namespace, resource, verb, may)
    }

    async fn may(&self, namespace: &str, resource: &str, verb: &str) -> Result<bool, ClusterError> {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(ResourceAttributes {
                    namespace: Some(namespace.to_owned()),
                    verb: Some(verb.to_owned()),
                    resource: Some(resource.to_owned()),
                    subresource: Some(subresource.to_owned()),
                    ..ResourceAttributes::default()
                }),
                ..SelfSubjectAccessReviewSpec::default()
            },
            ..SelfSubjectAccessReview::default()
        };
        let api = Api::<SelfSubjectAccessReview>::all(self.client.clone());
        let parameters = PostParams::default();
        let asked =
            self.call("say what may be done", || async { api.create(&parameters, &review).await });
        Ok(asked.await?.status.is_some_and(|status| status.allowed))
    }

    /// Whether the service accounts are there that pods are made with, as far as that may be seen: a
    /// program does not need to see them, and one with its own rights alone may not.
    async fn check_accounts(&self, settings: &Settings, report: &mut Report) {
        let mut spaces: BTreeSet<String> =
            report.projects.iter().map(|project| project.namespace.clone()).collect();
        if spaces.is_empty() {
            spaces.insert(self.namespace.clone());
        }
        let names =
            BTreeSet::from([&settings.worker_service_account, &settings.job_service_account]);
        let of_builds = |space| names.iter().map(move |name| (space, *name, Weight::Missing));
        let mut wanted: Vec<_> = spaces.iter().flat_map(of_builds).collect();
        let sweeper = &settings.host.sweeper_service_account;
        // Where a CronJob sweeps, nobody needs it.
        wanted.push((&self.namespace, sweeper, Weight::Remark));
        let mut unseen = Vec::new();
        for (namespace, name, weight) in wanted {
            let mend = format!("kubectl -n {namespace} create serviceaccount {name}");
            match self.get::<ServiceAccount>(namespace, name).await {
                Ok(None) => {
                    let lost = match weight {
                        Weight::Remark => "a timer of Lambda or Azure cannot sweep",
                        _ => "pods cannot be made there",
                    };
                    let what = format!(
                        "the service account {name} is not in the namespace {namespace}, so that \
                         {lost}"
                    );
                    report.note(weight, what, mend);
                }
                Err(ClusterError::Refused { .. }) => unseen.push(format!("{namespace}/{name}")),
                Ok(Some(_)) | Err(_) => {}
            }
        }
        if !unseen.is_empty() {
            let what = format!(
                "it is not known whether the service accounts {} are there: who asks may not get \
                 them, and does not need to",
                unseen.join(", ")
            );
            report.note(Weight::Remark, what, "look as an administrator: kubectl get sa -A");
        }
    }
}

const MEND_CLUSTER: &str =
    "functions --help names the settings, and the README the ways to a cluster";
const MEND_PROJECTS: &str = "NAMESPACE names where the projects are; helm install <name> \
     infra/charts/brigantine-project makes one";

fn lack(part: Part, right: &Allowed, subject: &str) -> Problem {
    let Allowed { namespace, resource, missing, .. } = right;
    let verbs = missing.join(",");
    let role = format!("brigantine-{}-{}", part.name(), resource.replace('/', "-"));
    Problem {
        weight: Weight::Missing,
        what: format!("in the namespace {namespace}, {resource} must be allowed: {verbs}"),
        mend: format!(
            "kubectl -n {namespace} create role {role} --verb={verbs} --resource={resource} && \
             kubectl -n {namespace} create rolebinding {role} --role={role} {subject}"
        ),
    }
}

/// The option of `kubectl` that names a user.
fn subject(user: &str) -> String {
    match user.strip_prefix("system:serviceaccount:") {
        Some(account) => format!("--serviceaccount={account}"),
        None if user.is_empty() => "--user=<who asks>".to_owned(),
        None => format!("--user='{}'", user.replace('\'', "'\\''")),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    super::connect::chain(error)
}
