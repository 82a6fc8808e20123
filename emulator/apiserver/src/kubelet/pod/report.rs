//! What a pod's task tells the API: the status, and that the pod may go.

use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, ResourceExt};
use serde_json::json;
use tokio::time::timeout;

use super::super::folders;
use super::super::status::{self, Parts};
use super::member::Member;
use super::{PodTask, RETRY};

impl PodTask {
    /// Writes the status if it has changed; `false` if that has to be tried again.
    pub(super) async fn publish(&mut self) -> bool {
        if self.orders.borrow().gone {
            return true;
        }
        let statuses = |members: &[Member]| -> Vec<_> {
            members.iter().map(|member| member.status.clone()).collect()
        };
        let (init, main) = (statuses(&self.init), statuses(&self.main));
        let parts = Parts {
            pod: &self.pod,
            spec: &self.spec,
            init: &init,
            main: &main,
            failure: self.failure.as_ref(),
            over: self.is_over()
                && self.members().all(|member| member.ended || member.stop.is_none()),
            volumes_ready: self.volumes.is_some() && self.address.is_some(),
            started: self.started,
            host: &self.node.address,
            address: self.address.as_deref(),
        };
        let status = status::pod_status(&parts, &self.before);
        if status == self.before {
            return true;
        }
        let patch = json!({ "metadata": { "uid": self.pod.uid() }, "status": status });
        let (api, name) = (self.api(), self.pod.name_any());
        match api.patch_status(&name, &PatchParams::default(), &Patch::Merge(patch)).await {
            Ok(_) => {
                self.before = status;
                true
            }
            // The watch will tell that the pod is gone.
            Err(kube::Error::Api(answer)) if answer.code == 404 => {
                tracing::debug!(pod.name = self.pod.name_any(), "the pod of a status is gone");
                self.before = status;
                true
            }
            Err(error) => {
                tracing::warn!(%error, pod.name = self.pod.name_any(), "a pod's status is not written");
                false
            }
        }
    }

    fn api(&self) -> Api<Pod> {
        Api::namespaced(self.node.client.clone(), &self.pod.namespace().unwrap_or_default())
    }

    /// Removes what the pod had on this host, but not its logs.
    pub(super) async fn clean(&self) {
        let uid = self.pod.uid().unwrap_or_default();
        self.node.runtime.end_pod(&uid).await;
        self.node.claims.release(&uid);
        if let Err(error) = folders::remove(&self.folder) {
            tracing::warn!(%error, pod.name = self.pod.name_any(), "a pod's folder is left behind");
        }
    }

    pub(super) async fn delete(&mut self) {
        let preconditions = Preconditions { uid: self.pod.uid(), resource_version: None };
        let parameters = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(preconditions),
            ..DeleteParams::default()
        };
        loop {
            match self.api().delete(&self.pod.name_any(), &parameters).await {
                Ok(_) => return,
                Err(kube::Error::Api(answer)) if answer.code == 404 => return,
                Err(error) => {
                    tracing::warn!(%error, pod.name = self.pod.name_any(), "a pod is not deleted");
                }
            }
            // A pod of the same name and another uid would be answered for ever with a conflict.
            let ended = timeout(RETRY, self.orders.wait_for(|orders| orders.gone)).await;
            if ended.is_ok() {
                return;
            }
        }
    }
}
