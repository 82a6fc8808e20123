//! What the metadata of a build's Secret says: enough to look after builds without their payloads.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::{ACCEPTED, BuildError, BuildId, Phase, annotation};

/// A build without what happened.
#[derive(Clone, Debug)]
pub struct Head {
    /// Names the build.
    pub id: BuildId,
    /// The name of its Secret, where another program chose one.
    pub called: Option<String>,
    /// The id of its project.
    pub project: String,
    /// Where its objects live.
    pub namespace: String,
    /// The uid of its Secret.
    pub uid: Option<String>,
    /// When its Secret was made.
    pub created: Timestamp,
    /// Whether it was started.
    pub accepted: bool,
    /// The annotations of its Secret.
    pub annotations: BTreeMap<String, String>,
}

impl Head {
    /// Reads the metadata of a Secret that is a build's by its type.
    pub fn of(metadata: &ObjectMeta) -> Result<Head, BuildError> {
        let labels = metadata.labels.clone().unwrap_or_default();
        let label = |name: &'static str| {
            let value = labels.get(name).filter(|value| !value.is_empty());
            value.cloned().ok_or(BuildError::Label(name))
        };
        let id = BuildId::parse(&label("build")?)?;
        Ok(Head {
            id,
            called: super::called(id, metadata),
            project: label("project")?,
            namespace: metadata.namespace.clone().unwrap_or_else(|| "default".to_owned()),
            uid: metadata.uid.clone(),
            created: metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |at| at.0),
            accepted: labels.get(ACCEPTED.0).is_some_and(|status| status == ACCEPTED.1),
            annotations: metadata.annotations.clone().unwrap_or_default(),
        })
    }

    /// The name of its Secret and of its worker pod.
    pub fn name(&self) -> String {
        self.called.clone().unwrap_or_else(|| super::name_of(self.id))
    }

    /// How it stands, if anybody followed it.
    pub fn phase(&self) -> Option<Phase> {
        super::phase(&self.annotations, self.accepted)
    }

    /// Whether its end is noted.
    pub fn has_ended(&self) -> bool {
        self.phase().is_some_and(Phase::is_terminal)
    }

    /// Whether no worker follows it.
    pub fn is_detached(&self) -> bool {
        self.annotations.contains_key(annotation::DETACHED)
    }

    /// Whether what was said of its start names its pod as the worker, and not a process that stays.
    pub fn worker_is_a_pod(&self) -> bool {
        let told = self.annotations.get(annotation::EXPLANATION);
        let told: Option<serde_json::Value> = told.and_then(|json| serde_json::from_str(json).ok());
        told.is_none_or(|told| told["worker"].as_str().is_none_or(|worker| worker == self.name()))
    }

    /// Whether Brigantine made or started it, and not Brigade.
    pub fn is_ours(&self) -> bool {
        let ours = |key: &&String| key.starts_with("brigantine.dev/");
        // Anybody may ask that a build of Brigade's be ended.
        self.annotations.keys().filter(ours).any(|key| key != annotation::CANCEL)
    }

    /// Whether it is noted that nobody is to be told of it.
    pub fn is_told_to_nobody(&self) -> bool {
        self.annotations.get(annotation::NOTIFIED).is_some_and(|noted| noted == annotation::NOBODY)
    }

    /// Why it is to be ended, as a sentence, if it was cancelled.
    pub fn cancelled(&self) -> Option<String> {
        super::cancelled(&self.annotations)
    }

    /// Its place among others: by when it came; within a second, which is as exact as Kubernetes
    /// is, by when the event happened.
    pub fn place(&self) -> (Timestamp, BuildId) {
        (self.created, self.id)
    }

    /// What is owned by it goes when it goes.
    pub fn owner(&self) -> Option<OwnerReference> {
        super::owner(self.name(), self.uid.clone())
    }
}
