//! A controller that owns objects, with a finalizer.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Api, DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::finalizer::{self, finalizer};
use kube::runtime::wait::{await_condition, conditions};
use kube::runtime::watcher;
use kube::{Client, Resource, ResourceExt};

use super::{map, server, soon};

const FINALIZER: &str = "example.com/copies";

/// Keeps a Secret with the data of each ConfigMap that is labelled.
async fn reconcile(object: Arc<ConfigMap>, client: Arc<Client>) -> Result<Action, Failed> {
    let namespace = object.namespace().unwrap_or_default();
    let maps: Api<ConfigMap> = Api::namespaced((*client).clone(), &namespace);
    let done = finalizer(&maps, FINALIZER, object, |event| async {
        match event {
            finalizer::Event::Apply(object) => copy(&client, &object).await,
            finalizer::Event::Cleanup(object) => leave_word(&client, &object).await,
        }
    });
    done.await.map_err(|error| Failed(error.to_string()))
}

async fn copy(client: &Client, object: &ConfigMap) -> Result<Action, kube::Error> {
    let namespace = object.namespace().unwrap_or_default();
    let owner: OwnerReference = object.controller_owner_ref(&()).expect("it has a uid");
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(object.name_any()),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        string_data: object.data.clone(),
        ..Secret::default()
    };
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    let apply = PatchParams::apply("copier").force();
    secrets.patch(&object.name_any(), &apply, &Patch::Apply(&secret)).await?;
    Ok(Action::await_change())
}

async fn leave_word(client: &Client, object: &ConfigMap) -> Result<Action, kube::Error> {
    let namespace = object.namespace().unwrap_or_default();
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
    let word = map(&format!("{}-is-gone", object.name_any()), &[]);
    maps.create(&PostParams::default(), &word).await?;
    Ok(Action::await_change())
}

#[derive(Debug)]
struct Failed(String);

impl std::fmt::Display for Failed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Failed {}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_makes_repairs_and_ends_what_it_owns() {
    let server = server();
    let client = server.client();
    let labelled = watcher::Config::default().labels("copy=yes");
    let maps: Api<ConfigMap> = Api::all(client.clone());
    let controller = Controller::new(maps, labelled)
        .owns(Api::<Secret>::all(client.clone()), watcher::Config::default())
        .run(
            reconcile,
            |_, _, _| Action::requeue(Duration::from_millis(50)),
            Arc::new(client.clone()),
        )
        .for_each(|_| std::future::ready(()));
    let running = tokio::spawn(controller);

    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let secrets: Api<Secret> = Api::default_namespaced(client.clone());
    let mut object = map("one", &[("color", "red")]);
    object.metadata.labels = Some([("copy".to_owned(), "yes".to_owned())].into());
    maps.create(&PostParams::default(), &object).await.unwrap();
    let is = |color: &'static str| {
        move |secret: Option<&Secret>| {
            let data = secret.and_then(|secret| secret.data.as_ref());
            data.and_then(|data| data.get("color")).is_some_and(|value| value.0 == color.as_bytes())
        }
    };
    let made = soon("the copy", await_condition(secrets.clone(), "one", is("red"))).await;
    let made = made.unwrap().unwrap();
    let kept = maps.get("one").await.unwrap();
    assert_eq!(kept.finalizers(), [FINALIZER]);

    let change = Patch::Merge(serde_json::json!({"data": {"color": "blue"}}));
    maps.patch("one", &PatchParams::default(), &change).await.unwrap();
    soon("the changed copy", await_condition(secrets.clone(), "one", is("blue"))).await.unwrap();

    // A copy that somebody deletes is made again.
    let uid = made.uid().unwrap();
    secrets.delete("one", &DeleteParams::default()).await.unwrap();
    let gone = conditions::is_deleted(&uid);
    soon("the end of the copy", await_condition(secrets.clone(), "one", gone)).await.unwrap();
    soon("another copy", await_condition(secrets.clone(), "one", is("blue"))).await.unwrap();

    // The finalizer holds the owner until the controller has left word; then the copy follows.
    let uid = kept.uid().unwrap();
    maps.delete("one", &DeleteParams::default()).await.unwrap();
    let gone = conditions::is_deleted(&uid);
    soon("the end of the owner", await_condition(maps.clone(), "one", gone)).await.unwrap();
    maps.get("one-is-gone").await.unwrap();
    let absent = |secret: Option<&Secret>| secret.is_none();
    soon("the end of what it owned", await_condition(secrets, "one", absent)).await.unwrap();
    running.abort();
}
