//! What programs with kube-rs do: controllers, stores, locks, events. kube-rs is unmodified.

mod controller;
mod lease;
mod machinery;
mod streams;

use std::future::Future;
use std::time::Duration;

use apiserver::{Options, Server};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ObjectMeta;

/// A server in this process.
fn server() -> Server {
    Server::new(Options::default()).expect("a server in memory starts")
}

/// Waits for what must come soon.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(Duration::from_secs(60), future).await;
    waited.unwrap_or_else(|_| panic!("not in time: {what}"))
}

fn map(name: &str, data: &[(&str, &str)]) -> ConfigMap {
    let data = data.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    ConfigMap {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        data: Some(data),
        ..ConfigMap::default()
    }
}
