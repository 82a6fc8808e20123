//! Tests of the ways to a cluster: with the embedded API server behind TLS, and with stand-ins for
//! those who give credentials.

use std::path::Path;

use apiserver::{Options, Server};
use tokio::net::TcpListener;

use super::*;
use crate::cluster::ClusterError;
use crate::settings::Settings;

mod aks;
mod eks;
mod failures;
mod gke;
mod kubeconfig;
mod plugins;
mod renewal;

/// The settings of these variables.
fn settings(variables: &[(&str, &str)]) -> ClusterSettings {
    let read = Settings::read(|wanted| {
        let found = variables.iter().find(|(name, _)| *name == wanted);
        found.map(|(_, value)| (*value).to_owned())
    });
    read.unwrap().cluster
}

/// A cluster by these variables.
fn connect(variables: &[(&str, &str)]) -> Cluster {
    Cluster::connect(&settings(variables), "default").unwrap()
}

/// An API server behind TLS, its address, and a kubeconfig for it.
async fn api() -> (Server, String, String) {
    let server = Server::new(Options::default()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let kubeconfig = server.kubeconfig("embedded", &url);
    let serving = server.clone();
    tokio::spawn(async move {
        let _ended = serving.serve(listener, std::future::pending()).await;
    });
    (server, url, kubeconfig)
}

/// What a first call says: nothing, or why there is no connection.
async fn first_call(cluster: &Cluster) -> Result<(), String> {
    match cluster.project("acme/app").await {
        Ok(project) => {
            assert!(project.is_none());
            Ok(())
        }
        Err(ClusterError::Unconnected(error)) => Err(error.to_string()),
        Err(other) => panic!("{other:?}"),
    }
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}
