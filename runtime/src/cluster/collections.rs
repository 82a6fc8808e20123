//! What is collected for a notifier of a project, in a Secret that whoever tells it changes.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;

use super::{Cluster, ClusterError};
use crate::project::Project;

/// The type of such a Secret.
const SECRET_TYPE: &str = "brigantine.dev/collection";

/// Its key.
const KEY: &str = "collection";

/// The annotation that names the notifier.
const NOTIFIER: &str = "brigantine.dev/notifier";

/// What is collected for a notifier, as it was read.
#[derive(Clone, Debug, Default)]
pub struct Collection {
    /// What it is.
    pub text: String,
    /// The version of its Secret, if there is one.
    version: Option<String>,
}

impl Cluster {
    /// What is collected for a notifier.
    pub async fn collection(
        &self,
        project: &Project,
        notifier: &str,
    ) -> Result<Collection, ClusterError> {
        let found = self.get::<Secret>(&project.namespace, &name(project, notifier)).await?;
        Ok(found.map_or_else(Collection::default, |secret| {
            let text = secret.data.as_ref().and_then(|data| data.get(KEY));
            Collection {
                text: text
                    .map(|text| String::from_utf8_lossy(&text.0).into_owned())
                    .unwrap_or_default(),
                version: secret.resource_version(),
            }
        }))
    }

    /// Changes what is collected for a notifier, unless somebody else has since it was read; whether
    /// nobody had. A lost answer may say that somebody had.
    pub async fn put_collection(
        &self,
        project: &Project,
        notifier: &str,
        before: &Collection,
        text: &str,
    ) -> Result<bool, ClusterError> {
        let name = name(project, notifier);
        let data = BTreeMap::from([(KEY.to_owned(), ByteString(text.as_bytes().to_vec()))]);
        let Some(version) = &before.version else {
            let owners = self.project_as_owner(project).await;
            let labels = [
                ("component", "collection"),
                ("heritage", "brigade"),
                ("project", project.id.as_str()),
            ];
            let secret = Secret {
                type_: Some(SECRET_TYPE.to_owned()),
                metadata: ObjectMeta {
                    name: Some(name),
                    namespace: Some(project.namespace.clone()),
                    labels: Some(labels.map(|(key, value)| (key.into(), value.into())).into()),
                    annotations: Some([(NOTIFIER.to_owned(), notifier.to_owned())].into()),
                    owner_references: owners,
                    ..ObjectMeta::default()
                },
                data: Some(data),
                ..Secret::default()
            };
            return Ok(self.create(&project.namespace, &secret).await?.is_some());
        };
        let changes = json!({"metadata": {"resourceVersion": version}, "data": data});
        let (api, patch) = (self.api::<Secret>(&project.namespace), Patch::Merge(&changes));
        let parameters = PatchParams::default();
        self.call(&format!("patch Secret {name}"), || async {
            match api.patch_metadata(&name, &parameters, &patch).await {
                Ok(_) => Ok(true),
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(false),
                Err(error) => Err(error),
            }
        })
        .await
    }

    /// The project's Secret as what owns others, so that they go with it, if it is in their namespace
    /// and can be read.
    async fn project_as_owner(&self, project: &Project) -> Option<Vec<OwnerReference>> {
        if project.namespace != self.namespace() {
            return None;
        }
        let secret = self.get::<Secret>(&project.namespace, &project.id).await.ok()??;
        Some(vec![OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Secret".to_owned(),
            name: project.id.clone(),
            uid: secret.uid()?,
            ..OwnerReference::default()
        }])
    }

    /// The notifiers for which something is or was collected in a namespace: the ids of their
    /// projects, and their names.
    pub async fn collections(
        &self,
        namespace: &str,
    ) -> Result<Vec<(String, String)>, ClusterError> {
        let wanted = ListParams::default().labels("component=collection,heritage=brigade");
        let found = self.list_metadata::<Secret>(namespace, wanted).await?;
        let found = found.into_iter().filter_map(|metadata| {
            let project = metadata.labels?.remove("project")?;
            Some((project, metadata.annotations?.remove(NOTIFIER)?))
        });
        Ok(found.collect())
    }
}

fn name(project: &Project, notifier: &str) -> String {
    format!("{}-notifier-{notifier}", project.id)
}
