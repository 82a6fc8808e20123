//! Makes the client of a cluster: the one that the kubeconfig names, or the one that this pod is in.

use kube::config::InferConfigError;
use kube::{Client, Config};

use super::Cluster;

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Neither a kubeconfig nor a pod's own files say where a cluster is.
    #[error("there is no cluster to speak to")]
    Unknown(#[source] Box<InferConfigError>),
    /// They do, and what they say is of no use.
    #[error("the cluster cannot be spoken to")]
    Unusable(#[source] Box<kube::Error>),
}

impl Cluster {
    /// The cluster that the environment names, and whose projects are in `namespace`. Nothing is
    /// asked of it yet.
    pub async fn connect(namespace: &str) -> Result<Cluster, ConnectError> {
        let config = Config::infer().await.map_err(|error| ConnectError::Unknown(error.into()))?;
        Ok(Cluster::new(client(config)?, namespace))
    }
}

/// The client of this configuration.
pub fn client(mut config: Config) -> Result<Client, ConnectError> {
    // Installed once for the process; a second time changes nothing.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    // Nobody is to be believed without TLS, and the host's list of those who are takes 10 ms to read.
    if config.cluster_url.scheme_str() == Some("http") {
        config.root_cert.get_or_insert_default();
    }
    Client::try_from(config).map_err(|error| ConnectError::Unusable(error.into()))
}

#[tokio::test]
async fn a_cluster_without_tls_needs_no_certificates() {
    let config = Config::new("http://127.0.0.1:1".parse().unwrap());
    assert!(client(config).is_ok());
}
