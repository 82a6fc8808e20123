//! The Secrets, ConfigMaps and claims that a pod refers to: fetched, and waited for.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret};
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

/// How long to wait when the API server is away.
const SHORT_RETRY: Duration = Duration::from_secs(1);
/// How long to wait with an error that no watched object can mend.
const LONG_RETRY: Duration = Duration::from_secs(10);

/// An object that a pod needs, in the pod's namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reference {
    Secret(String),
    ConfigMap(String),
    Claim(String),
}

/// Why a container cannot be made, in the words of a real kubelet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(super) struct ConfigError {
    pub(super) message: String,
    /// What has to change for the next attempt to succeed.
    pub(super) awaits: Option<Reference>,
    /// The API did not answer as it should, which may pass soon.
    pub(super) is_transient: bool,
}

/// The data of an object, by key; of a claim, its uid.
pub(super) type Data = BTreeMap<String, Vec<u8>>;

/// What has been fetched; `None` for what does not exist.
#[derive(Debug, Default)]
pub(super) struct Objects {
    pub(super) namespace: String,
    pub(super) found: BTreeMap<Reference, Option<Data>>,
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reference::Secret(name) => write!(formatter, "secret \"{name}\""),
            Reference::ConfigMap(name) => write!(formatter, "configmap \"{name}\""),
            Reference::Claim(name) => write!(formatter, "persistentvolumeclaim \"{name}\""),
        }
    }
}

impl ConfigError {
    /// An error that no object's change can mend.
    pub(super) fn lasting(message: impl Into<String>) -> ConfigError {
        ConfigError { message: message.into(), awaits: None, is_transient: false }
    }
}

impl Objects {
    pub(super) async fn fetch(
        client: &Client,
        namespace: &str,
        references: impl IntoIterator<Item = Reference>,
    ) -> Result<Objects, ConfigError> {
        let mut objects = Objects { namespace: namespace.to_owned(), found: BTreeMap::new() };
        for reference in references {
            if objects.found.contains_key(&reference) {
                continue;
            }
            let data = fetch(client, namespace, &reference).await.map_err(|error| {
                tracing::warn!(%error, object = %reference, "an object of a pod cannot be read");
                let message = format!("failed to get {reference}: {error}");
                ConfigError { is_transient: true, ..ConfigError::lasting(message) }
            })?;
            objects.found.insert(reference, data);
        }
        Ok(objects)
    }

    /// The data of an object; `Ok(None)` for an optional one that does not exist.
    pub(super) fn data(
        &self,
        reference: &Reference,
        optional: bool,
    ) -> Result<Option<&Data>, ConfigError> {
        match self.found.get(reference).and_then(Option::as_ref) {
            Some(data) => Ok(Some(data)),
            None if optional => Ok(None),
            None => Err(ConfigError {
                message: format!("{reference} not found"),
                awaits: Some(reference.clone()),
                is_transient: false,
            }),
        }
    }

    /// One value of an object, by key.
    pub(super) fn value(
        &self,
        reference: &Reference,
        key: &str,
        optional: bool,
    ) -> Result<Option<&[u8]>, ConfigError> {
        let Some(data) = self.data(reference, optional)? else { return Ok(None) };
        match data.get(key) {
            Some(value) => Ok(Some(value)),
            None if optional => Ok(None),
            None => {
                let (kind, name) = match reference {
                    Reference::Secret(name) => ("Secret", name),
                    Reference::ConfigMap(name) => ("ConfigMap", name),
                    Reference::Claim(name) => ("PersistentVolumeClaim", name),
                };
                Err(ConfigError {
                    message: format!("couldn't find key {key} in {kind} {}/{name}", self.namespace),
                    awaits: Some(reference.clone()),
                    is_transient: false,
                })
            }
        }
    }
}

async fn fetch(
    client: &Client,
    namespace: &str,
    reference: &Reference,
) -> Result<Option<Data>, kube::Error> {
    let client = client.clone();
    Ok(match reference {
        Reference::Secret(name) => {
            let secret = Api::<Secret>::namespaced(client, namespace).get_opt(name).await?;
            secret.map(|secret| {
                let data = secret.data.unwrap_or_default();
                data.into_iter().map(|(key, value)| (key, value.0)).collect()
            })
        }
        Reference::ConfigMap(name) => {
            let map = Api::<ConfigMap>::namespaced(client, namespace).get_opt(name).await?;
            map.map(|map| {
                let text = map.data.unwrap_or_default();
                let binary = map.binary_data.unwrap_or_default();
                let text = text.into_iter().map(|(key, value)| (key, value.into_bytes()));
                text.chain(binary.into_iter().map(|(key, value)| (key, value.0))).collect()
            })
        }
        Reference::Claim(name) => {
            let api = Api::<PersistentVolumeClaim>::namespaced(client, namespace);
            let claim = api.get_opt(name).await?;
            claim.map(|claim| {
                BTreeMap::from([("uid".to_owned(), claim.uid().unwrap_or_default().into_bytes())])
            })
        }
    })
}

/// The object that is being waited for.
pub(super) type Watched = Option<(Reference, BoxStream<'static, ()>)>;

/// Waits for an object to change; the first call returns when its watch has begun.
pub(super) async fn await_change(
    client: &Client,
    namespace: &str,
    error: &ConfigError,
    watched: &mut Watched,
) {
    match (&error.awaits, watched) {
        (Some(reference), Some((same, stream))) if same == reference => {
            stream.next().await;
        }
        (Some(reference), watched) => {
            let (_, stream) =
                watched.insert((reference.clone(), changes(client, namespace, reference)));
            stream.next().await;
        }
        (None, _) => {
            // Nothing tells when it may work again.
            let pause = if error.is_transient { SHORT_RETRY } else { LONG_RETRY };
            let _ = timeout(pause, std::future::pending::<()>()).await;
        }
    }
}

/// A stream with an item for the beginning of the watch, and one for each change after it.
fn changes(client: &Client, namespace: &str, reference: &Reference) -> BoxStream<'static, ()> {
    let client = client.clone();
    match reference {
        Reference::Secret(name) => watch(Api::<Secret>::namespaced(client, namespace), name),
        Reference::ConfigMap(name) => watch(Api::<ConfigMap>::namespaced(client, namespace), name),
        Reference::Claim(name) => {
            watch(Api::<PersistentVolumeClaim>::namespaced(client, namespace), name)
        }
    }
}

fn watch<K>(api: Api<K>, name: &str) -> BoxStream<'static, ()>
where
    K: Resource + Clone + DeserializeOwned + fmt::Debug + Send + 'static,
{
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    watcher(api, config)
        .default_backoff()
        .filter_map(|event| {
            let change = match event {
                Ok(Event::InitDone | Event::Apply(_) | Event::Delete(_)) => Some(()),
                Ok(Event::Init | Event::InitApply(_)) => None,
                Err(error) => {
                    tracing::debug!(%error, "a watch of a pod's object is interrupted");
                    None
                }
            };
            std::future::ready(change)
        })
        .boxed()
}
