//! The role `sweep`: what Brigade's vacuum did, and what nothing resident is there to do.
//!
//! It starts builds that nobody has started, goes on with builds whose worker has vanished, notes
//! how builds ended that nobody followed, tells who is to be told of them, and deletes old ones. All
//! of it may be done again: two sweeps at once, or one that dies, do no harm.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use runtime::build::{BuildId, Head, annotation};
use runtime::cluster::{Cancelled, Cluster, ClusterError};
use runtime::line::{self, GRACE};
use runtime::project::Project;
use runtime::settings::{Settings, SweepSettings};
use runtime::sweep_pod;
use runtime::units;
use serde::Serialize;

use decide::{Action, Pods, decide, is_foreign};

mod decide;
mod tell;

#[cfg(test)]
mod tests;

/// How long a function has to start its build.
const YOUNG: Duration = Duration::from_secs(60);

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Delete builds that are older than this, like 720h or 30m; 0 is no limit
    /// [default: the variable VACUUM_AGE, else no limit]
    #[arg(long, short, value_name = "DURATION", value_parser = age)]
    age: Option<Duration>,
    /// Keep only so many builds of a namespace, the newest; 0 or -1 is no limit
    /// [default: the variable VACUUM_MAX_BUILDS, else no limit]
    #[arg(long, short, value_name = "NUMBER", allow_negative_numbers = true)]
    #[arg(value_parser = clap::value_parser!(i64).range(-1..))]
    max_builds: Option<i64>,
    /// Whether builds that run or wait are kept however old they are
    /// [default: the variable VACUUM_SKIP_RUNNING_BUILDS, else true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    skip_running: Option<bool>,
    /// The namespace of the projects [default: the variable BRIGADE_NAMESPACE, else default]
    #[arg(long, short)]
    namespace: Option<String>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// How what was done is written
    #[arg(long, short, value_enum, default_value = "text")]
    output: Format,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    Json,
    Text,
}

/// What is kept, and what is done.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    age: Option<Duration>,
    most: Option<usize>,
    skip_running: bool,
    dry_run: bool,
    young: Duration,
    grace: Duration,
}

/// What was done.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    dry_run: bool,
    namespaces: BTreeSet<String>,
    /// How many builds run.
    running: usize,
    /// How many wait for others of their project.
    waiting: usize,
    /// How many cannot be started because their project does not exist or cannot be loaded.
    orphans: usize,
    done: Vec<Done>,
    failed: Vec<Failed>,
}

#[derive(Debug, Serialize)]
struct Done {
    what: &'static str,
    build: String,
    why: String,
}

#[derive(Debug, Serialize)]
struct Failed {
    what: String,
    error: String,
}

/// Sweeps the namespaces of all projects; 1 if something could not be done.
pub(crate) async fn run(
    cluster: &Cluster,
    arguments: &Arguments,
    environment: &SweepSettings,
    settings: &Settings,
    mut out: impl Write,
) -> Result<ExitCode> {
    let most = arguments.max_builds.or(environment.max_builds).unwrap_or(0);
    let age = arguments.age.or(environment.age).filter(|age| !age.is_zero());
    let rules = Rules {
        age,
        most: usize::try_from(most).ok().filter(|most| *most > 0),
        skip_running: arguments.skip_running.unwrap_or(environment.skip_running),
        dry_run: arguments.dry_run,
        young: YOUNG,
        grace: GRACE,
    };
    let report = sweep(cluster, &rules, settings).await.context("nothing was swept")?;
    match arguments.output {
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?,
        Format::Text => report.write(&mut out)?,
    }
    Ok(if report.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The namespace that is asked for on the command line.
pub(crate) fn namespace<'a>(arguments: &'a Arguments, settings: &'a Settings) -> &'a str {
    arguments.namespace.as_deref().unwrap_or(&settings.namespace)
}

fn age(text: &str) -> Result<Duration, &'static str> {
    units::duration(text).ok_or("it must be a span of time, like 720h or 1h30m")
}

/// Sweeps; only what is true of the whole cluster is an error, the rest is reported.
pub(crate) async fn sweep(
    cluster: &Cluster,
    rules: &Rules,
    settings: &Settings,
) -> Result<Report, ClusterError> {
    let mut report = Report { dry_run: rules.dry_run, ..Report::default() };
    report.namespaces.insert(cluster.namespace().to_owned());
    let mut projects = HashMap::new();
    let mut damaged = HashSet::new();
    for (id, project) in cluster.projects().await? {
        match project {
            Ok(project) => {
                report.namespaces.insert(project.namespace.clone());
                projects.insert(id, project);
            }
            Err(error) => {
                report.fail(format!("load project {id}"), &error);
                damaged.insert(id);
            }
        }
    }
    let namespaces = report.namespaces.clone();
    let (projects, damaged, told) = (&projects, &damaged, &mut report);
    let mut swept = Sweep { cluster, rules, settings, projects, damaged, report: told };
    let mut all = Vec::new();
    for namespace in &namespaces {
        match swept.namespace(namespace).await {
            Ok(found) => all.push(found),
            Err(error) => swept.report.fail(format!("sweep namespace {namespace}"), &error),
        }
    }
    // Whoever is told may take their time: what waits was started. What is deleted was told.
    swept.tell(&namespaces, &all).await;
    for Found { heads, kept, .. } in &all {
        swept.delete(heads, kept).await;
    }
    swept.sweepers().await;
    Ok(report)
}

/// The builds of a namespace.
struct Found {
    heads: Vec<Head>,
    /// Those that run or wait.
    kept: HashSet<BuildId>,
    /// Those that have ended, and have no worker.
    ended: HashSet<BuildId>,
}

struct Sweep<'a> {
    cluster: &'a Cluster,
    rules: &'a Rules,
    settings: &'a Settings,
    projects: &'a HashMap<String, Project>,
    /// The projects that cannot be loaded: what they want of their builds is not known.
    damaged: &'a HashSet<String>,
    report: &'a mut Report,
}

impl<'a> Sweep<'a> {
    async fn namespace(&mut self, namespace: &str) -> Result<Found, ClusterError> {
        // In this order: a pod that is not seen had no build that is.
        let heads = self.cluster.heads(namespace).await?;
        let mut pods = pods(self.cluster.build_pods(namespace).await?);
        let (mut kept, mut ended) = (HashSet::new(), HashSet::new());
        for head in &heads {
            let pods = pods.remove(&head.id.to_string()).unwrap_or_default();
            let project = self.project(head);
            let action = match decide(head, &pods, project, Timestamp::now(), self.rules.young) {
                action @ (Action::Cancel | Action::Ended) => action,
                _ if self.damaged.contains(&head.project) => Action::Runs,
                action => action,
            };
            if pods.any_active() {
                kept.insert(head.id);
            }
            match &action {
                Action::Ended | Action::Orphan | Action::End { .. } => {}
                _ => drop(kept.insert(head.id)),
            }
            if matches!(&action, Action::Ended | Action::End { .. } | Action::Cancel)
                && !pods.worker_is_active()
            {
                ended.insert(head.id);
            }
            match self.act(head, &pods, action).await {
                Ok(()) => {}
                Err(error) => {
                    kept.insert(head.id);
                    self.report.fail(format!("look after {}", head.name()), &error);
                }
            }
        }
        self.lines(namespace).await;
        Ok(Found { heads, kept, ended })
    }

    /// The project of a build, if it has its builds there: a label alone proves nothing.
    fn project(&self, head: &Head) -> Option<&'a Project> {
        let project = self.projects.get(&head.project)?;
        project.has_builds_in(&head.namespace).then_some(project)
    }

    /// Does what a build needs.
    async fn act(
        &mut self,
        head: &Head,
        pods: &Pods,
        action: Action<'_>,
    ) -> Result<(), ClusterError> {
        let (cluster, dry) = (self.cluster, self.rules.dry_run);
        match action {
            Action::Ended => {}
            Action::Orphan => self.report.orphans += 1,
            Action::Runs => self.report.running += 1,
            Action::Waits => self.report.waiting += 1,
            Action::Start(project) => {
                if !dry {
                    let reason = "nobody had started it";
                    line::start(cluster, project, self.settings, head, reason).await?;
                }
                self.report.done("started", head, "nobody had started it");
            }
            Action::Revive { project, times } => {
                if !dry {
                    let times = BTreeMap::from([(annotation::REVIVED.into(), times.to_string())]);
                    cluster.note(&head.namespace, head.id, &times).await?;
                    if let Some(worker) = &pods.worker {
                        cluster.delete_this_pod(worker).await?;
                    }
                    line::make_worker(cluster, project, self.settings, head).await?;
                }
                self.report.done("revived", head, "its worker had vanished");
            }
            Action::Cancel => {
                // A worker that is gone, or that is not ours, hears nothing.
                let project = self.project(head);
                let foreign = pods.worker.is_some() && project.is_some_and(is_foreign);
                let deaf = foreign || pods.worker.is_none() && head.worker_is_a_pod();
                let ended = match dry {
                    true => true,
                    false if deaf => {
                        cluster.delete_pod(&head.namespace, &head.name()).await?;
                        cluster.end_cancelled(head).await?;
                        true
                    }
                    false => cluster.end_if_left(head).await? == Cancelled::Ended,
                };
                if ended {
                    self.report.done("cancelled", head, &head.cancelled().unwrap_or_default());
                } else {
                    self.report.running += 1;
                }
            }
            Action::End { phase, reason, finished } => {
                if !dry {
                    let counts = cluster.end_jobs(&head.namespace, head.id).await?;
                    let finished = finished.unwrap_or_else(Timestamp::now).to_string();
                    let mut notes = BTreeMap::from([
                        (annotation::PHASE.to_owned(), phase.name().to_owned()),
                        (annotation::FINISHED.to_owned(), finished),
                        (annotation::JOBS.to_owned(), counts.to_string()),
                    ]);
                    if !head.annotations.contains_key(annotation::STARTED) {
                        notes.insert(annotation::STARTED.to_owned(), head.created.to_string());
                    }
                    if !reason.is_empty() {
                        notes.insert(annotation::REASON.to_owned(), reason.clone());
                    }
                    cluster.note(&head.namespace, head.id, &notes).await?;
                }
                let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
                self.report.done("ended", head, &format!("{}{why}", phase.name()));
            }
        }
        Ok(())
    }

    /// Starts the builds whose turn it is.
    async fn lines(&mut self, namespace: &str) {
        let here = |project: &&Project| project.namespace == namespace && project.limits.line_up();
        for project in self.projects.values().filter(here).filter(|_| !self.rules.dry_run) {
            match line::next(self.cluster, project, self.settings, self.rules.grace).await {
                Ok(started) => {
                    for id in started {
                        self.report.waiting = self.report.waiting.saturating_sub(1);
                        let build = format!("brigade-worker-{id}");
                        let why = "its turn had come".to_owned();
                        self.report.done.push(Done { what: "started", build, why });
                    }
                }
                Err(error) => {
                    self.report.fail(format!("start what waits in {}", project.name), &error);
                }
            }
        }
    }

    /// Deletes the pods of earlier sweeps that a timer asked for.
    async fn sweepers(&mut self) {
        let now = Timestamp::now();
        let pods = match self.cluster.sweepers().await {
            Ok(pods) => pods,
            Err(error) => return self.report.fail("list earlier sweeps".to_owned(), &error),
        };
        for pod in pods.iter().filter(|_| !self.rules.dry_run) {
            if !sweep_pod::is_over(pod, now) {
                continue;
            }
            if let Err(error) = self.cluster.delete_this_pod(pod).await {
                self.report.fail(format!("delete {}", pod.name_any()), &error);
            }
        }
    }

    /// Deletes old builds; `kept` are those that run or wait.
    async fn delete(&mut self, heads: &[Head], kept: &HashSet<BuildId>) {
        let now = Timestamp::now();
        for (newer, head) in heads.iter().rev().enumerate().rev() {
            let age = Duration::try_from(now.duration_since(head.created)).unwrap_or_default();
            let old = self.rules.age.is_some_and(|most| age > most);
            let more = self.rules.most.is_some_and(|most| newer >= most);
            if !(old || more) || (self.rules.skip_running && kept.contains(&head.id)) {
                continue;
            }
            let why = if old { "it is too old" } else { "there are enough newer ones" };
            let deleted = match self.rules.dry_run {
                true => Ok(()),
                false => self.cluster.delete_build(head).await,
            };
            match deleted {
                Ok(()) => self.report.done("deleted", head, why),
                Err(error) => self.report.fail(format!("delete {}", head.name()), &error),
            }
        }
    }
}

impl Report {
    fn done(&mut self, what: &'static str, head: &Head, why: &str) {
        self.done.push(Done { what, build: head.name(), why: why.to_owned() });
    }

    fn fail(&mut self, what: String, error: &dyn std::error::Error) {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text += &format!(": {cause}");
            source = cause.source();
        }
        self.failed.push(Failed { what, error: text });
    }

    fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        for Done { what, build, why } in &self.done {
            let would = if self.dry_run { "would be " } else { "" };
            writeln!(out, "{build} {would}{what}: {why}")?;
        }
        for Failed { what, error } in &self.failed {
            writeln!(out, "cannot {what}: {error}")?;
        }
        let count = |what: &str| self.done.iter().filter(|done| done.what == what).count();
        let all = ["started", "revived", "ended", "cancelled", "told", "deleted"];
        let all = all.map(|what| format!("{} {what}", count(what))).join(", ");
        let Report { running, waiting, orphans, failed, .. } = self;
        let failed = failed.len();
        writeln!(out, "builds: {running} run, {waiting} wait, {orphans} without a project")?;
        writeln!(out, "done: {all}, {failed} failed")
    }
}

/// The pods of each build, by its id.
fn pods(all: Vec<Pod>) -> HashMap<String, Pods> {
    let mut pods: HashMap<String, Pods> = HashMap::new();
    for pod in all {
        let labels = pod.metadata.labels.clone().unwrap_or_default();
        let Some(build) = labels.get("build") else { continue };
        let entry = pods.entry(build.clone()).or_default();
        match labels.get("component").map(String::as_str) {
            Some("build") => entry.worker = Some(pod),
            _ => entry.jobs.push(pod),
        }
    }
    pods
}
