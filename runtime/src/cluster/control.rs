//! What is done to builds from beside them: they are cancelled, wait for slots, and are deleted.

use std::collections::BTreeMap;

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DeleteParams, ListParams, Preconditions};
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watcher};
use kube::{Resource, ResourceExt};
use serde_json::json;

use super::{Cluster, ClusterError, Object};
use crate::build::{self, ABOUT, Build, BuildError, BuildId, ENDED, Head, Phase, annotation};
use crate::outcome::{self, Standing};
use crate::project::{self, Project, ProjectError};
use crate::sweep_pod;

/// The type of a slot's Secret.
const SLOT_TYPE: &str = "brigantine.dev/slot";

/// The annotation that says who took a slot, so that a lost answer is not taken for a refusal.
const TAKER: &str = "brigantine.dev/taken-by";

/// How long a cancelled job's processes may go on after they were told to end, in seconds.
const GRACE: u32 = 5;

/// How many objects are listed at once.
const PAGE: u32 = 500;

/// One of the places that a project's builds run in.
#[derive(Clone, Debug)]
pub struct Slot {
    /// From 0.
    pub number: usize,
    /// The build that holds it.
    pub build: Option<BuildId>,
    /// Who took it for that build.
    pub taker: String,
    /// When.
    pub taken: Timestamp,
    metadata: ObjectMeta,
}

/// What became of a build that was to be cancelled.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cancelled {
    /// Its worker was told, and ends it.
    Asked,
    /// Nobody followed it, and it was ended.
    Ended,
    /// It had ended before.
    Before(Phase),
    /// There is no such build.
    Missing,
}

/// How many pods of a build's jobs there are, and how they ended.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct JobCounts {
    /// All.
    pub run: usize,
    /// Those that did their work.
    pub succeeded: usize,
    /// Those that did not.
    pub failed: usize,
}

impl std::fmt::Display for JobCounts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let JobCounts { run, succeeded, failed } = self;
        write!(formatter, "{run} run, {succeeded} succeeded, {failed} failed")
    }
}

impl JobCounts {
    /// Counts a pod.
    pub fn add(&mut self, standing: &Standing) {
        self.run += 1;
        match standing {
            Standing::Succeeded(_) => self.succeeded += 1,
            Standing::Failed(_) => self.failed += 1,
            Standing::Pending | Standing::Stuck(_) | Standing::Running => {}
        }
    }
}

impl Cluster {
    /// The projects whose Secrets are here; one that cannot be loaded is named with its error.
    pub async fn projects(
        &self,
    ) -> Result<Vec<(String, Result<Project, ProjectError>)>, ClusterError> {
        let api = self.api::<Secret>(&self.namespace);
        let projects = format!("type={}", project::SECRET_TYPE);
        let wanted = ListParams::default().fields(&projects);
        let list = self.call("list projects", || api.list(&wanted)).await?;
        let secrets = list.items.into_iter();
        let own = secrets.filter(|each| each.type_.as_deref() == Some(project::SECRET_TYPE));
        Ok(own.map(|each| (each.name_any(), Project::from_secret(&each))).collect())
    }

    /// A build without its payload, if it exists.
    pub async fn head(&self, namespace: &str, id: BuildId) -> Result<Option<Head>, ClusterError> {
        let api = self.api::<Secret>(namespace);
        let get = async |name: String| {
            self.call(&format!("get build {id}"), || api.get_metadata_opt(&name)).await
        };
        let mut found = get(build::name_of(id)).await?;
        if found.is_none()
            && let Some(name) = self.chosen_name(namespace, id).await?
        {
            found = get(name).await?;
        }
        Ok(found.map(|found| Head::of(&found.metadata)).transpose()?)
    }

    /// The name of a build's Secret that another program made, and named as it liked. Of several
    /// with one id, the oldest is the build.
    pub(super) async fn chosen_name(
        &self,
        namespace: &str,
        id: BuildId,
    ) -> Result<Option<String>, ClusterError> {
        match self.list_heads(namespace, &format!("build={id}")).await {
            Ok((heads, _)) => Ok(heads.first().map(Head::name)),
            // Who may only get builds by their names has made them, or was made for them.
            Err(ClusterError::Refused { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All builds of a namespace, oldest first; what cannot be one is refused.
    pub async fn heads(&self, namespace: &str) -> Result<Vec<Head>, ClusterError> {
        let (heads, others) = self.list_heads(namespace, "").await?;
        for (metadata, error) in &others {
            self.refuse(namespace, metadata, error).await;
        }
        let mut heads_by_id: BTreeMap<BuildId, Head> = BTreeMap::new();
        for head in heads {
            match heads_by_id.get(&head.id) {
                // The name that we would have chosen is looked for first.
                Some(other) if head.called.is_some() || other.called.is_none() => {
                    self.refuse_second(&head, &other.name()).await;
                }
                Some(other) => {
                    self.refuse_second(other, &head.name()).await;
                    heads_by_id.insert(head.id, head);
                }
                None => drop(heads_by_id.insert(head.id, head)),
            }
        }
        let mut heads: Vec<Head> = heads_by_id.into_values().collect();
        heads.sort_by_key(Head::place);
        Ok(heads)
    }

    /// Says on a Secret of the type of builds why it is none.
    pub(super) async fn refuse(&self, namespace: &str, metadata: &ObjectMeta, error: &BuildError) {
        let said = metadata.annotations.as_ref();
        if said.is_some_and(|said| said.contains_key(annotation::PHASE)) {
            return;
        }
        let name = metadata.name.as_deref().unwrap_or_default();
        tracing::warn!(secret.name = name, %error, "this is no build");
        let notes = json!({
            annotation::PHASE: Phase::Failed.name(),
            annotation::REASON: error.to_string(),
            annotation::FINISHED: Timestamp::now().to_string(),
        });
        let changes = json!({"metadata": {"labels": {ENDED.0: ENDED.1}, "annotations": notes}});
        if let Err(error) = self.merge(namespace, name, &changes).await {
            tracing::warn!(secret.name = name, %error, "nobody could note that this is no build");
        }
    }

    async fn refuse_second(&self, head: &Head, other: &str) {
        let metadata = ObjectMeta {
            name: Some(head.name()),
            annotations: Some(head.annotations.clone()),
            ..ObjectMeta::default()
        };
        self.refuse(&head.namespace, &metadata, &BuildError::Taken(other.to_owned())).await;
    }

    /// The builds of a project whose end is not noted, oldest first.
    pub async fn open_builds(&self, project: &Project) -> Result<Vec<Head>, ClusterError> {
        let labels = format!("project={},!{}", project.id, ENDED.0);
        let mut heads = self.list_heads(&project.namespace, &labels).await?.0;
        heads.retain(|head| !head.has_ended());
        Ok(heads)
    }

    /// How the last build of the same project, event and reference ended that ended before this one,
    /// by itself and not because somebody cancelled it; only builds that somebody is told of count.
    pub async fn phase_before(
        &self,
        build: &Build,
        finished: Timestamp,
    ) -> Result<Option<Phase>, ClusterError> {
        let (ended, value) = ENDED;
        let (project, about) = (&build.project, build.about());
        let labels = format!("project={project},{ABOUT}={about},{ended}={value}");
        let time = |head: &Head| head.annotations.get(annotation::FINISHED)?.parse().ok();
        let end = |head: Head| {
            let counts = |phase: &Phase| phase.is_terminal() && *phase != Phase::Cancelled;
            let other = head.id != build.id && !head.is_told_to_nobody();
            let end: Timestamp = time(&head).filter(|end| other && *end < finished)?;
            Some((end, head.phase().filter(counts)?))
        };
        let builds = format!("type={}", build::SECRET_TYPE);
        let wanted = ListParams::default().labels(&labels).fields(&builds);
        // There may be thousands, each with the end of its log.
        let mut last = None;
        let take = |metadata: ObjectMeta| {
            let other = Head::of(&metadata).ok().and_then(end);
            last = [last, other].into_iter().flatten().max_by_key(|(end, _)| *end);
        };
        self.each_metadata::<Secret>(&build.namespace, wanted, take).await?;
        Ok(last.map(|(_, phase)| phase))
    }

    /// The builds with these labels, oldest first, and what has their type and is none.
    async fn list_heads(
        &self,
        namespace: &str,
        labels: &str,
    ) -> Result<(Vec<Head>, Vec<(ObjectMeta, BuildError)>), ClusterError> {
        let builds = format!("type={}", build::SECRET_TYPE);
        let wanted = ListParams::default().labels(labels).fields(&builds);
        let (mut heads, mut others) = (Vec::new(), Vec::new());
        for metadata in self.list_metadata::<Secret>(namespace, wanted).await? {
            match Head::of(&metadata) {
                Ok(head) => heads.push(head),
                Err(error) => others.push((metadata, error)),
            }
        }
        heads.sort_by_key(Head::place);
        Ok((heads, others))
    }

    /// All pods of builds and of jobs in a namespace.
    pub async fn build_pods(&self, namespace: &str) -> Result<Vec<Pod>, ClusterError> {
        self.list(namespace, "heritage=brigade,component in (build, job)").await
    }

    /// The pods that sweep, or have, in the namespace of the projects.
    pub async fn sweepers(&self) -> Result<Vec<Pod>, ClusterError> {
        self.list(&self.namespace, sweep_pod::SELECTOR).await
    }

    /// Waits until a build is cancelled, and says why, by a watch of its metadata alone.
    ///
    /// What a build's Secret said before counts too, and so does that it is deleted.
    pub fn cancellation(&self, build: &Build) -> impl Future<Output = String> + Send + use<> {
        let name = format!("metadata.name={}", build.name());
        let config = watcher::Config::default().fields(&name);
        let secrets = Api::<PartialObjectMeta<Secret>>::namespaced;
        let changes = watcher(secrets(self.client.clone(), &build.namespace), config);
        let mut changes = Box::pin(changes.default_backoff());
        async move {
            let mut exists = false;
            while let Some(change) = changes.next().await {
                let metadata = match change {
                    Ok(watcher::Event::Init) => {
                        exists = false;
                        continue;
                    }
                    Ok(watcher::Event::InitApply(found) | watcher::Event::Apply(found)) => {
                        found.metadata
                    }
                    Ok(watcher::Event::InitDone) if exists => continue,
                    Ok(watcher::Event::InitDone | watcher::Event::Delete(_)) => {
                        return "the build was deleted".to_owned();
                    }
                    Err(error) => {
                        tracing::debug!(%error, "the watch of the build is opened again");
                        continue;
                    }
                };
                exists = true;
                let head = Head::of(&metadata).ok();
                if let Some(reason) = head.and_then(|head| head.cancelled()) {
                    return reason;
                }
            }
            std::future::pending().await
        }
    }

    /// Cancels a build: whoever follows it is told, and what nobody follows is ended here.
    ///
    /// A slot that this frees is given to the next build by [`crate::line::next`].
    pub async fn cancel(
        &self,
        namespace: &str,
        id: BuildId,
        reason: &str,
    ) -> Result<Cancelled, ClusterError> {
        let Some(head) = self.head(namespace, id).await? else { return Ok(Cancelled::Missing) };
        if let Some(phase) = head.phase().filter(|phase| phase.is_terminal()) {
            return Ok(Cancelled::Before(phase));
        }
        if head.cancelled().is_some() {
            return self.end_if_left(&head).await;
        }
        let reason: String = reason.chars().take(build::REASON).collect();
        let changes = json!({"metadata": {"annotations": {annotation::CANCEL: reason}}});
        match self.merge_build(namespace, id, &changes).await {
            Ok(head) => self.end_if_left(&head).await,
            Err(error) if error.is_not_found() => Ok(Cancelled::Missing),
            Err(error) => Err(error),
        }
    }

    /// Ends a cancelled build that nobody follows. It was cancelled before anybody looks, so that a
    /// worker that begins meanwhile sees it.
    pub async fn end_if_left(&self, head: &Head) -> Result<Cancelled, ClusterError> {
        if let Some(phase) = head.phase().filter(|phase| phase.is_terminal()) {
            return Ok(Cancelled::Before(phase));
        }
        let pod = self.pod(&head.namespace, &head.name()).await?;
        let phase = pod.map(|pod| pod.status.and_then(|status| status.phase).unwrap_or_default());
        match phase.as_deref() {
            // Its worker may be a task of a process that lives on.
            None if head.accepted && !head.is_detached() => return Ok(Cancelled::Asked),
            // Brigade's own worker hears nothing.
            Some("Running") if head.is_ours() => return Ok(Cancelled::Asked),
            None | Some("Succeeded" | "Failed") => {}
            Some(_) => self.delete_pod(&head.namespace, &head.name()).await?,
        }
        self.end_cancelled(head).await?;
        Ok(Cancelled::Ended)
    }

    /// Ends a cancelled build whatever follows it: its pods, its storage, and its slot.
    pub async fn end_cancelled(&self, head: &Head) -> Result<(), ClusterError> {
        let (namespace, id) = (&head.namespace, head.id);
        let counts = self.end_jobs(namespace, id).await?;
        self.delete_claim(namespace, &head.name()).await?;
        let now = Timestamp::now().to_string();
        let reason = head.cancelled().unwrap_or_else(|| "the build was cancelled".to_owned());
        let mut notes = BTreeMap::from([
            (annotation::PHASE.to_owned(), Phase::Cancelled.name().to_owned()),
            (annotation::REASON.to_owned(), reason),
            (annotation::JOBS.to_owned(), counts.to_string()),
            (annotation::FINISHED.to_owned(), now.clone()),
        ]);
        if !head.annotations.contains_key(annotation::STARTED) {
            notes.insert(annotation::STARTED.to_owned(), now);
        }
        self.note(namespace, id, &notes).await?;
        self.free_slots(namespace, id).await
    }

    /// Deletes the pods of a build's jobs that have not ended; counts all that there are.
    pub async fn end_jobs(&self, namespace: &str, id: BuildId) -> Result<JobCounts, ClusterError> {
        let jobs = format!("build={id},component=job,heritage=brigade");
        let mut counts = JobCounts::default();
        for pod in self.list::<Pod>(namespace, &jobs).await? {
            let standing = outcome::of(&pod);
            counts.add(&standing);
            if !matches!(standing, Standing::Succeeded(_) | Standing::Failed(_)) {
                let soon = DeleteParams::default().grace_period(GRACE);
                self.delete_exactly::<Pod>(namespace, pod.meta(), soon).await?;
            }
        }
        Ok(counts)
    }

    /// The slots of a project that are taken, by their numbers.
    pub async fn slots(&self, project: &Project) -> Result<Vec<Slot>, ClusterError> {
        let wanted =
            ListParams::default().labels(&format!("component=slot,project={}", project.id));
        let found = self.list_metadata::<Secret>(&project.namespace, wanted).await?;
        let prefix = slot_name(project, "");
        let mut slots: Vec<Slot> = found
            .into_iter()
            .filter_map(|metadata| {
                let number = metadata.name.as_ref()?.strip_prefix(&prefix)?.parse().ok()?;
                let build = metadata.labels.as_ref().and_then(|labels| labels.get("build"));
                let taker = metadata.annotations.as_ref().and_then(|all| all.get(TAKER)).cloned();
                Some(Slot {
                    number,
                    build: build.and_then(|id| BuildId::parse(id).ok()),
                    taker: taker.unwrap_or_default(),
                    taken: metadata.creation_timestamp.as_ref().map(|at| at.0).unwrap_or_default(),
                    metadata,
                })
            })
            .collect();
        slots.sort_by_key(|slot| slot.number);
        Ok(slots)
    }

    /// Takes a slot for a build; whether it was free. The slot goes when the build goes.
    pub async fn take_slot(
        &self,
        project: &Project,
        number: usize,
        head: &Head,
        taker: &str,
    ) -> Result<bool, ClusterError> {
        let id = head.id.to_string();
        let labels = [
            ("build", id.as_str()),
            ("component", "slot"),
            ("heritage", "brigade"),
            ("project", project.id.as_str()),
        ];
        let slot = Secret {
            type_: Some(SLOT_TYPE.to_owned()),
            metadata: ObjectMeta {
                name: Some(slot_name(project, &number.to_string())),
                namespace: Some(project.namespace.clone()),
                labels: Some(labels.map(|(key, value)| (key.into(), value.into())).into()),
                annotations: Some([(TAKER.to_owned(), taker.to_owned())].into()),
                owner_references: head.owner().map(|owner| vec![owner]),
                ..ObjectMeta::default()
            },
            ..Secret::default()
        };
        Ok(self.create(&project.namespace, &slot).await?.is_some())
    }

    /// Frees a slot, unless it was freed and taken by another since.
    pub async fn free_slot(&self, slot: &Slot) -> Result<(), ClusterError> {
        let namespace = slot.metadata.namespace.clone().unwrap_or_default();
        self.delete_exactly::<Secret>(&namespace, &slot.metadata, DeleteParams::default()).await
    }

    /// Frees what a build holds.
    pub async fn free_slots(&self, namespace: &str, id: BuildId) -> Result<(), ClusterError> {
        let held = ListParams::default().labels(&format!("component=slot,build={id}"));
        for metadata in self.list_metadata::<Secret>(namespace, held).await? {
            self.delete_exactly::<Secret>(namespace, &metadata, DeleteParams::default()).await?;
        }
        Ok(())
    }

    /// Deletes a build with all that it owns, whoever made it: its pods, the Secrets of its jobs,
    /// its storage, and itself at last, so that what a death interrupts can be done again.
    pub async fn delete_build(&self, head: &Head) -> Result<(), ClusterError> {
        let (namespace, id) = (&head.namespace, head.id);
        let own = format!("build={id},heritage=brigade");
        let wanted = ListParams::default().labels(&format!("{own},component in (build, job)"));
        for metadata in self.list_metadata::<Pod>(namespace, wanted).await? {
            self.delete_exactly::<Pod>(namespace, &metadata, DeleteParams::default()).await?;
        }
        let jobs = ListParams::default()
            .labels(&format!("{own},component=job"))
            .fields(&format!("type={}", crate::job::SECRET_TYPE));
        for metadata in self.list_metadata::<Secret>(namespace, jobs).await? {
            self.delete_exactly::<Secret>(namespace, &metadata, DeleteParams::default()).await?;
        }
        let storage = ListParams::default().labels(&format!("{own},component=buildStorage"));
        for metadata in self.list_metadata::<PersistentVolumeClaim>(namespace, storage).await? {
            let at_once = DeleteParams::default();
            self.delete_exactly::<PersistentVolumeClaim>(namespace, &metadata, at_once).await?;
        }
        self.free_slots(namespace, id).await?;
        let metadata =
            ObjectMeta { name: Some(head.name()), uid: head.uid.clone(), ..ObjectMeta::default() };
        self.delete_exactly::<Secret>(namespace, &metadata, DeleteParams::default()).await
    }

    /// Deletes a pod that was seen, and no other of its name.
    pub async fn delete_this_pod(&self, pod: &Pod) -> Result<(), ClusterError> {
        let namespace = pod.namespace().unwrap_or_else(|| self.namespace.clone());
        let at_once = DeleteParams::default().grace_period(0);
        self.delete_exactly::<Pod>(&namespace, pod.meta(), at_once).await
    }

    /// Notes something on a build; what says that it has ended labels it so, too.
    pub async fn note(
        &self,
        namespace: &str,
        id: BuildId,
        annotations: &BTreeMap<String, String>,
    ) -> Result<(), ClusterError> {
        let mut metadata = json!({ "annotations": annotations });
        if says_ended(annotations) {
            metadata["labels"] = json!({ENDED.0: ENDED.1});
        }
        self.merge_build(namespace, id, &json!({ "metadata": metadata })).await.map(drop)
    }

    /// Changes a build's Secret, and says how it is then.
    pub(super) async fn merge_build(
        &self,
        namespace: &str,
        id: BuildId,
        changes: &serde_json::Value,
    ) -> Result<Head, ClusterError> {
        let metadata = match self.merge(namespace, &build::name_of(id), changes).await {
            Err(error) if error.is_not_found() => {
                let name = self.chosen_name(namespace, id).await?.ok_or(error)?;
                self.merge(namespace, &name, changes).await?
            }
            merged => merged?,
        };
        Ok(Head::of(&metadata)?)
    }

    async fn list<K: Object>(&self, namespace: &str, labels: &str) -> Result<Vec<K>, ClusterError> {
        let api = self.api::<K>(namespace);
        let mut all = Vec::new();
        let mut wanted = ListParams::default().labels(labels).limit(PAGE);
        let action = format!("list objects of kind {}", K::kind(&()));
        loop {
            let page = self.call(&action, || api.list(&wanted)).await?;
            all.extend(page.items);
            match page.metadata.continue_.filter(|more| !more.is_empty()) {
                Some(more) => wanted = wanted.continue_token(&more),
                None => return Ok(all),
            }
        }
    }

    pub(super) async fn list_metadata<K: Object>(
        &self,
        namespace: &str,
        wanted: ListParams,
    ) -> Result<Vec<ObjectMeta>, ClusterError> {
        let mut all = Vec::new();
        self.each_metadata::<K>(namespace, wanted, |metadata| all.push(metadata)).await?;
        Ok(all)
    }

    /// What there is of these objects, page by page, none of which is kept.
    async fn each_metadata<K: Object>(
        &self,
        namespace: &str,
        wanted: ListParams,
        mut take: impl FnMut(ObjectMeta),
    ) -> Result<(), ClusterError> {
        let api = self.api::<K>(namespace);
        let mut wanted = wanted.limit(PAGE);
        let action = format!("list objects of kind {}", K::kind(&()));
        loop {
            let page = self.call(&action, || api.list_metadata(&wanted)).await?;
            page.items.into_iter().for_each(|each| take(each.metadata));
            match page.metadata.continue_.filter(|more| !more.is_empty()) {
                Some(more) => wanted = wanted.continue_token(&more),
                None => return Ok(()),
            }
        }
    }

    /// Deletes an object that was seen, if it still exists; another of its name is left alone.
    async fn delete_exactly<K: Object>(
        &self,
        namespace: &str,
        metadata: &ObjectMeta,
        how: DeleteParams,
    ) -> Result<(), ClusterError> {
        let api = self.api::<K>(namespace);
        let name = metadata.name.clone().unwrap_or_default();
        let this = Preconditions { uid: metadata.uid.clone(), resource_version: None };
        let how = how.preconditions(this);
        let action = format!("delete {} {name}", K::kind(&()));
        let deleted = self.call(&action, || async { api.delete(&name, &how).await }).await;
        deleted.map(drop).or_else(|error| match &error {
            ClusterError::Refused { status, .. } if matches!(status.code, 404 | 409) => Ok(()),
            _ => Err(error),
        })
    }
}

/// Whether these annotations say that a build has ended.
pub(super) fn says_ended(annotations: &BTreeMap<String, String>) -> bool {
    let phase = annotations.get(annotation::PHASE).and_then(|name| Phase::parse(name));
    phase.is_some_and(Phase::is_terminal)
}

fn slot_name(project: &Project, number: &str) -> String {
    format!("{}-slot-{number}", project.id)
}
