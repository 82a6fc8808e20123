//! Who gets in over the network, and what they may do.

mod kubectl;
mod roles;
mod tls;
mod tokens;

use std::time::Duration;

use apiserver::{Options, Server};
use http::Request;
use http_body_util::BodyExt;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server on a port.
pub(crate) struct Served {
    pub(crate) server: Server,
    pub(crate) address: std::net::SocketAddr,
    pub(crate) kubeconfig: String,
    stop: CancellationToken,
}

impl Served {
    pub(crate) async fn start(options: Options) -> Served {
        let server = Server::new(options).expect("a server starts");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let kubeconfig = server.kubeconfig("test", &format!("https://{address}"));
        let stop = CancellationToken::new();
        let (serving, stopped) = (server.clone(), stop.clone());
        tokio::spawn(async move { serving.serve(listener, stopped.cancelled_owned()).await });
        Served { server, address, kubeconfig, stop }
    }

    /// A client with a kubeconfig of this server, after a change to it.
    pub(crate) async fn client(&self, change: impl FnOnce(&mut Value)) -> kube::Client {
        let mut kubeconfig: Value = serde_json::from_str(&self.kubeconfig).expect("it is JSON");
        change(&mut kubeconfig);
        let kubeconfig: Kubeconfig = serde_json::from_value(kubeconfig).expect("it is one");
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await;
        kube::Client::try_from(config.expect("it is whole")).expect("a client is made")
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

/// Sends a request over the network; the code and the body of the answer.
pub(crate) async fn send(client: &kube::Client, request: Request<Vec<u8>>) -> (u16, Value) {
    let request = request.map(kube::client::Body::from);
    let response = client.send(request).await.expect("it is answered");
    let code = response.status().as_u16();
    let body = response.into_body().collect().await.expect("the answer is whole").to_bytes();
    (code, serde_json::from_slice(&body).unwrap_or_default())
}

/// A request without a body.
pub(crate) fn get(path: &str) -> Request<Vec<u8>> {
    Request::get(path).body(Vec::new()).expect("the request is valid")
}

/// A request to create something.
pub(crate) fn post(path: &str, body: &Value) -> Request<Vec<u8>> {
    let request = Request::post(path).header("content-type", "application/json");
    request.body(body.to_string().into_bytes()).expect("the request is valid")
}

/// The code of an answer.
pub(crate) fn code<T: std::fmt::Debug>(answer: Result<T, kube::Error>) -> u16 {
    match answer {
        Err(kube::Error::Api(status)) => status.code,
        Ok(_) => 200,
        Err(other) => panic!("it is answered: {other:?}"),
    }
}
