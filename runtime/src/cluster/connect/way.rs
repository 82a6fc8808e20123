//! The ways to a cluster, of which the first that is configured is gone.

use std::path::PathBuf;
use std::sync::Arc;

use secrecy::ExposeSecret;

use super::lazy::Made;
use super::target::Target;
use super::{ConnectError, aks, eks, extension, gke, kubeconfig, pod};
use crate::settings::ClusterSettings;

/// Where a pod finds who it is.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// A way to a cluster.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub(super) kind: Kind,
    pub(super) settings: Arc<ClusterSettings>,
}

/// What kind of way it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// `KUBECONFIG_TEXT`.
    Text,
    /// EKS, by `EKS_CLUSTER`.
    Eks,
    /// AKS, by `AKS_CLUSTER` or `AKS_ENDPOINT`.
    Aks,
    /// GKE, by `GKE_CLUSTER` or `GKE_ENDPOINT`.
    Gke,
    /// `KUBECONFIG`, or the file of the user.
    Files(&'static str, Vec<PathBuf>),
    /// The cluster that this program runs in.
    Pod { host: String, port: u16, account: PathBuf },
}

impl Way {
    /// The first way that is configured.
    pub(super) fn of(settings: &ClusterSettings) -> Result<Way, ConnectError> {
        let (azure, google) = (&settings.azure, &settings.google);
        let own = settings.home.as_ref().map(|home| home.join(".kube/config"));
        let kind = if !settings.kubeconfig_text.expose_secret().is_empty() {
            Kind::Text
        } else if !settings.kubeconfig.is_empty() {
            Kind::Files("KUBECONFIG", settings.kubeconfig.clone())
        } else if settings.aws.cluster.is_some() {
            Kind::Eks
        } else if azure.cluster.is_some() || azure.endpoint.is_some() {
            Kind::Aks
        } else if google.cluster.is_some() || google.endpoint.is_some() {
            Kind::Gke
        } else if let Some(own) = own.filter(|own| own.is_file()) {
            Kind::Files("HOME", vec![own])
        } else if let Some((host, port)) = settings.service.clone() {
            Kind::Pod { host, port, account: SERVICE_ACCOUNT.into() }
        } else {
            return Err(ConnectError::Unconfigured);
        };
        Ok(Way { kind, settings: Arc::new(settings.clone()) })
    }

    /// What is plainly wrong with it, as far as that is known without asking anybody.
    pub(super) fn problem(&self) -> Option<ConnectError> {
        let text = self.settings.kubeconfig_text.expose_secret();
        match &self.kind {
            Kind::Text if !extension::is_reference(text) => {
                kubeconfig::of_text("KUBECONFIG_TEXT", text).err()
            }
            Kind::Files(variable, files) if !files.iter().any(|file| file.exists()) => {
                kubeconfig::of_files(variable, files).err()
            }
            _ => None,
        }
    }

    /// Its name, as it is shown to people.
    pub(super) fn name(&self) -> String {
        match &self.kind {
            Kind::Text => "KUBECONFIG_TEXT".to_owned(),
            Kind::Files(variable, files) => {
                let files: Vec<_> = files.iter().map(|file| file.to_string_lossy()).collect();
                format!("{variable}: {}", files.join(":"))
            }
            Kind::Eks => "EKS_CLUSTER".to_owned(),
            Kind::Aks => "AKS_CLUSTER".to_owned(),
            Kind::Gke => "GKE_CLUSTER".to_owned(),
            Kind::Pod { .. } => "the cluster that this program runs in".to_owned(),
        }
    }

    /// Goes it.
    pub(super) async fn connect(self) -> Result<Made, ConnectError> {
        let settings = &self.settings;
        let mut target: Target = match &self.kind {
            Kind::Text => {
                let text = extension::resolved(settings).await?;
                kubeconfig::target(kubeconfig::of_text("KUBECONFIG_TEXT", &text)?, settings)?
            }
            Kind::Files(variable, files) => {
                kubeconfig::target(kubeconfig::of_files(variable, files)?, settings)?
            }
            Kind::Eks => eks::target(settings).await?,
            Kind::Aks => aks::target(settings).await?,
            Kind::Gke => gke::target(settings).await?,
            Kind::Pod { host, port, account } => pod::target(host, *port, account)?,
        };
        if !matches!(self.kind, Kind::Pod { .. }) {
            target.through_proxy(settings)?;
        }
        target.made().await
    }
}
