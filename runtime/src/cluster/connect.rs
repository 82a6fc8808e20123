//! Makes the client of a cluster, when it is needed first.
//!
//! A cluster is found by the first of these that is set, see [`ClusterSettings`]: `KUBECONFIG_TEXT`,
//! `KUBECONFIG`, `EKS_...`, `AKS_...`, `GKE_...`, the user's own `~/.kube/config`, and at last what a
//! pod is told of the cluster that it runs in. Nothing is read or asked before the first call, so
//! that a program starts in no time; what fails then is tried again by the next call.

use kube::{Client, Config};

use self::way::Way;
use super::Cluster;
use crate::settings::ClusterSettings;

pub use self::error::ConnectError;
pub(super) use self::error::chain;
pub(super) use self::lazy::Connection;

mod aks;
mod eks;
mod error;
mod extension;
mod gke;
mod kubeconfig;
mod lazy;
mod once;
mod outside;
mod plugin;
mod pod;
mod source;
mod target;
mod token;
mod way;

#[cfg(test)]
mod tests;

impl Cluster {
    /// The cluster that the settings name, and whose projects are in `namespace`. Nothing is asked of
    /// it yet; it is an error only if there is no way to any.
    pub fn connect(settings: &ClusterSettings, namespace: &str) -> Result<Cluster, ConnectError> {
        let way = Way::of(settings)?;
        if let Some(problem) = way.problem() {
            tracing::warn!(
                error = chain(&problem),
                "until this is mended, whatever needs the cluster fails, and deliveries are answered 503"
            );
        }
        let connection = Connection::new(way);
        let cluster = Cluster::new(connection.client(), namespace);
        Ok(Cluster { connection: Some(connection), ..cluster })
    }
}

/// The client of a configuration of which everything is known.
pub fn client(mut config: Config) -> Result<Client, ConnectError> {
    if config.cluster_url.scheme_str() == Some("http") {
        config.root_cert.get_or_insert_default();
    }
    target::client(config).map_err(|error| ConnectError::Client { problem: error::chain(&error) })
}

#[tokio::test]
async fn a_cluster_without_tls_needs_no_certificates() {
    let config = Config::new("http://127.0.0.1:1".parse().unwrap());
    assert!(client(config).is_ok());
}
