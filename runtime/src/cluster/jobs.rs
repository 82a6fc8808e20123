//! The objects of jobs: their Secrets, with what is noted there, and their pods.

use std::collections::{BTreeMap, HashMap};

use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::json;

use super::{Cluster, ClusterError, JobCreation, Object};
use crate::build::Build;
use crate::journal::Record;
use crate::telemetry::metrics;

impl Cluster {
    /// Creates a job's Secret and Pod; those that the same build has made for this job are adopted.
    pub async fn create_job(
        &self,
        secret: &Secret,
        pod: &Pod,
    ) -> Result<JobCreation, ClusterError> {
        let namespace = pod.namespace().unwrap_or_else(|| self.namespace.clone());
        let project = pod.labels().get("project").map(String::as_str).unwrap_or_default();
        let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
        for claim in volumes.filter_map(|volume| volume.persistent_volume_claim.as_ref()) {
            self.check_claim(&namespace, &claim.claim_name, project).await?;
        }
        if let Some(exists) = self.create_or_adopt(&namespace, "the Secret", secret).await? {
            let record = Record::read(exists.annotations());
            if record.end.is_some() || record.attempt.number > 0 {
                return Ok(JobCreation::Known(Box::new(record)));
            }
        }
        match self.create_or_adopt(&namespace, "the pod", pod).await? {
            Some(_) => Ok(JobCreation::Adopted),
            None => {
                metrics::job_created();
                Ok(JobCreation::Made)
            }
        }
    }

    /// Creates another pod for a job whose Secret exists; one that the same build has made for it
    /// is adopted.
    pub async fn create_pod(&self, pod: &Pod) -> Result<(), ClusterError> {
        let namespace = pod.namespace().unwrap_or_else(|| self.namespace.clone());
        self.create_or_adopt(&namespace, "the pod", pod).await.map(drop)
    }

    /// What is noted of the jobs of a build, by their names.
    pub async fn job_records(
        &self,
        build: &Build,
    ) -> Result<HashMap<String, Record>, ClusterError> {
        let api = self.api::<Secret>(&build.namespace);
        let jobs = ListParams::default().labels(&format!("component=job,build={}", build.id));
        let list = self.call("list the jobs of a build", || api.list_metadata(&jobs)).await?;
        let records = list.items.iter().filter_map(|secret| {
            let name = secret.labels().get("jobname")?.clone();
            Some((name, Record::read(secret.annotations())))
        });
        Ok(records.collect())
    }

    /// Notes something on the Secret of a job; whether there is one.
    pub async fn note_job(
        &self,
        namespace: &str,
        secret: &str,
        annotations: &BTreeMap<String, String>,
    ) -> Result<bool, ClusterError> {
        let changes = json!({"metadata": {"annotations": annotations}});
        match self.merge(namespace, secret, &changes).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Creates an object, unless the same build has made it for the same job: it is the answer.
    async fn create_or_adopt<K: Object>(
        &self,
        namespace: &str,
        kind: &'static str,
        object: &K,
    ) -> Result<Option<K>, ClusterError> {
        let name = object.name_any();
        loop {
            if self.create(namespace, object).await?.is_some() {
                return Ok(None);
            }
            let same = |exists: &K, label| exists.labels().get(label) == object.labels().get(label);
            match self.get::<K>(namespace, &name).await? {
                Some(exists) if same(&exists, "build") && same(&exists, "jobname") => {
                    return Ok(Some(exists));
                }
                Some(_) => return Err(ClusterError::Conflict { kind, name }),
                // Deleted between the two calls: it can be created after all.
                None => {}
            }
        }
    }
}
