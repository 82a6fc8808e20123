//! Who gets in over the network, and what they may do.

mod tls;

use std::time::Duration;

use apiserver::{Options, Server};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server on a port.
pub(crate) struct Served {
    pub(crate) server: Server,
    pub(crate) address: std::net::SocketAddr,
    pub(crate) kubeconfig: String,
    stop: CancellationToken,
}

impl Served {
    pub(crate) async fn start(options: Options) -> Served {
        let server = Server::new(options).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let kubeconfig = server.kubeconfig("test", &format!("https://{address}"));
        let stop = CancellationToken::new();
        let (serving, stopped) = (server.clone(), stop.clone());
        tokio::spawn(async move { serving.serve(listener, stopped.cancelled_owned()).await });
        Served { server, address, kubeconfig, stop }
    }

    /// A client with a kubeconfig of this server, after a change to it.
    pub(crate) async fn client(&self, change: impl FnOnce(&mut Value)) -> kube::Client {
        let mut kubeconfig: Value = serde_json::from_str(&self.kubeconfig).unwrap();
        change(&mut kubeconfig);
        let kubeconfig: Kubeconfig = serde_json::from_value(kubeconfig).unwrap();
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
        kube::Client::try_from(config).unwrap()
    }

    /// A client that shows a token, and no certificate.
    pub(crate) async fn bearer(&self, token: &str) -> kube::Client {
        let user = serde_json::json!({"token": token});
        self.client(|kubeconfig| kubeconfig["users"][0]["user"] = user).await
    }

    /// A client that shows nothing.
    pub(crate) async fn stranger(&self) -> kube::Client {
        self.client(|kubeconfig| kubeconfig["users"][0]["user"] = serde_json::json!({})).await
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The code of an answer.
pub(crate) fn code<T: std::fmt::Debug>(answer: Result<T, kube::Error>) -> u16 {
    match answer {
        Err(kube::Error::Api(status)) => status.code,
        Ok(_) => 200,
        Err(other) => panic!("it is answered: {other:?}"),
    }
}
