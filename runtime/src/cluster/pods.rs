//! The watch of pods.
//!
//! It is opened again whatever ends it, and also when nothing is heard of it for some time: a
//! connection may have died without a word, and then nothing would ever be heard again.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};

use super::PodChange;

/// How long a list may take.
const LIST: Duration = Duration::from_secs(30);

/// How long nothing may happen before everything is listed again.
const QUIET: Duration = Duration::from_secs(120);

struct Watch {
    pods: Api<Pod>,
    config: watcher::Config,
    changes: BoxStream<'static, watcher::Result<Event<Pod>>>,
    synced: bool,
    known: BTreeSet<String>,
    listed: BTreeSet<String>,
    told: VecDeque<PodChange>,
}

/// The changes of the pods that a selector selects.
pub(super) fn changes(
    pods: Api<Pod>,
    selector: &str,
) -> impl Stream<Item = PodChange> + Send + use<> {
    let config = watcher::Config::default().labels(selector);
    futures::stream::unfold(Watch::new(pods, config), async |mut watch| {
        let change = watch.next().await;
        Some((change, watch))
    })
}

fn open(
    pods: &Api<Pod>,
    config: &watcher::Config,
) -> BoxStream<'static, watcher::Result<Event<Pod>>> {
    watcher(pods.clone(), config.clone()).default_backoff().boxed()
}

impl Watch {
    fn new(pods: Api<Pod>, config: watcher::Config) -> Watch {
        Watch {
            changes: open(&pods, &config),
            pods,
            config,
            synced: false,
            known: BTreeSet::new(),
            listed: BTreeSet::new(),
            told: VecDeque::new(),
        }
    }

    async fn next(&mut self) -> PodChange {
        loop {
            if let Some(change) = self.told.pop_front() {
                return change;
            }
            let limit = if self.synced { QUIET } else { LIST };
            match tokio::time::timeout(limit, self.changes.next()).await {
                Ok(Some(Ok(event))) => self.take(event),
                Ok(Some(Err(error))) => {
                    tracing::debug!(%error, "the watch of pods is opened again");
                }
                Ok(None) | Err(_) => {
                    self.changes = open(&self.pods, &self.config);
                    self.synced = false;
                }
            }
        }
    }

    fn take(&mut self, event: Event<Pod>) {
        match event {
            Event::Init => {
                self.listed.clear();
                self.synced = false;
            }
            Event::InitApply(pod) => {
                self.listed.insert(pod.name_any());
                // It is told now, and may be gone when an interrupted list is made again.
                self.known.insert(pod.name_any());
                self.told.push_back(PodChange::Applied(Box::new(pod)));
            }
            Event::InitDone => {
                let gone = self.known.difference(&self.listed).cloned().map(PodChange::Gone);
                self.told.extend(gone.chain([PodChange::Synced]));
                self.known = std::mem::take(&mut self.listed);
                self.synced = true;
            }
            Event::Apply(pod) => {
                self.known.insert(pod.name_any());
                self.told.push_back(PodChange::Applied(Box::new(pod)));
            }
            Event::Delete(pod) => {
                self.known.remove(&pod.name_any());
                self.told.push_back(PodChange::Gone(pod.name_any()));
            }
        }
    }
}

#[tokio::test]
async fn a_pod_of_a_list_that_was_interrupted_is_told_to_be_gone() {
    let server = apiserver::Server::new(apiserver::Options::default()).unwrap();
    let mut watch =
        Watch::new(Api::default_namespaced(server.client()), watcher::Config::default());
    let pod = |name: &str| {
        let mut pod = Pod::default();
        pod.metadata.name = Some(name.to_owned());
        pod
    };
    for event in [
        Event::Init,
        Event::InitApply(pod("early")),
        Event::Init,
        Event::InitApply(pod("late")),
        Event::InitDone,
        Event::Init,
        Event::InitDone,
    ] {
        watch.take(event);
    }
    let mut told = Vec::new();
    for change in watch.told {
        told.push(match change {
            PodChange::Applied(pod) => pod.name_any(),
            PodChange::Gone(name) => format!("{name} is gone"),
            PodChange::Synced => "synced".to_owned(),
        });
    }
    let expected = ["early", "late", "early is gone", "synced", "late is gone", "synced"];
    assert_eq!(told, expected);
}
