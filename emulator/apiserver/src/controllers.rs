//! What a cluster does by itself: collecting garbage, ending namespaces, giving pods to nodes,
//! binding volumes, running workloads. One task, driven by the changes of the store and by timers;
//! nothing is polled.
//!
//! Changes go into the books and say what is to be looked at. A look happens only when all changes
//! are in the books, those of the look before included, so that nothing is done twice.

mod budgets;
mod cron;
mod daemonsets;
mod deployments;
mod endpoints;
mod garbage;
mod history;
mod jobs;
mod namespaces;
mod outbox;
mod queue;
mod replicasets;
mod roles;
mod scheduler;
mod statefulsets;
mod tokens;
mod volumes;
mod work;

pub(crate) use cron::Schedule;
pub(crate) use namespaces::furnish;
pub(crate) use scheduler::assign;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::mpsc;

use self::queue::Item;
use self::work::Work;
use crate::custom;
use crate::failure::Failure;
use crate::managed::Writer;
use crate::object;
use crate::server::Shared;
use crate::store::{Change as Written, Key, Object};
use crate::verbs::create;
use crate::verbs::update::{self, Change};

/// Starts the controllers; they end with the server.
pub(crate) fn start(shared: &Arc<Shared>) {
    let mut changes = shared.store.follow();
    let (done, mut filled) = mpsc::unbounded_channel();
    let mut controllers = Controllers::new(shared, done);
    let stop = shared.stop.clone();
    tokio::spawn(async move {
        controllers.resume();
        loop {
            while let Ok((storage, change)) = changes.try_recv() {
                controllers.note(&storage, &change);
            }
            controllers.work.queue.ripen(controllers.work.now());
            while let Ok((item, made)) = filled.try_recv() {
                controllers.filled(item, made);
            }
            if let Some(item) = controllers.work.queue.pop() {
                controllers.look(item);
                // Requests have their turn between two looks.
                tokio::task::yield_now().await;
                if stop.is_cancelled() {
                    return;
                }
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                Some((item, made)) = filled.recv() => controllers.filled(item, made),
                change = changes.recv() => match change {
                    Some((storage, change)) => controllers.note(&storage, &change),
                    None => return,
                },
                () = controllers.work.clock.reach(controllers.work.queue.due()) => {}
            }
        }
    });
}

struct Controllers {
    shared: Arc<Shared>,
    garbage: garbage::Garbage,
    work: Work,
    /// Where orders are answered.
    done: mpsc::UnboundedSender<(Item, Vec<outbox::Made>)>,
}

impl Controllers {
    fn new(shared: &Arc<Shared>, done: mpsc::UnboundedSender<(Item, Vec<outbox::Made>)>) -> Self {
        Controllers {
            done,
            shared: Arc::clone(shared),
            garbage: garbage::Garbage::default(),
            work: Work::new(shared),
        }
    }

    /// Goes on where the last server stopped.
    fn resume(&mut self) {
        let shared = &self.shared;
        for resource in shared.catalogue().stored() {
            for object in shared.store.list(&resource.storage, None).1 {
                self.garbage.seen(&resource.storage, &object.value);
                self.work.seen(&resource.storage, &object);
            }
        }
        self.garbage.sweep(shared);
        custom::resume(shared);
        scheduler::all(shared);
        namespaces::resume(&mut self.work);
        jobs::resume(&mut self.work);
        cron::resume(&mut self.work);
        replicasets::resume(&mut self.work);
        deployments::resume(&mut self.work);
        statefulsets::resume(&mut self.work);
        daemonsets::resume(&mut self.work);
        endpoints::resume(&mut self.work);
        budgets::resume(&mut self.work);
    }

    /// Takes a change into the books. A fault stops nothing else.
    fn note(&mut self, storage: &str, change: &Written) {
        let noted = catch_unwind(AssertUnwindSafe(|| self.changed(storage, change)));
        if noted.is_err() {
            let name = object::name(&change.new.value);
            tracing::error!(storage, name, "a controller has a fault: it missed a change");
        }
    }

    fn changed(&mut self, storage: &str, change: &Written) {
        let shared = &self.shared;
        custom::changed(shared, storage, change);
        self.garbage.changed(shared, storage, change);
        namespaces::changed(&mut self.work, storage, change);
        scheduler::changed(shared, storage, change);
        volumes::changed(shared, storage, change);
        roles::changed(shared, storage, change);
        tokens::changed(shared, storage, change);
        self.work.note(storage, change);
        jobs::changed(&mut self.work, storage, change);
        cron::changed(&mut self.work, storage, change);
        replicasets::changed(&mut self.work, storage, change);
        deployments::changed(&mut self.work, storage, change);
        statefulsets::changed(&mut self.work, storage, change);
        daemonsets::changed(&mut self.work, storage, change);
        endpoints::changed(&mut self.work, storage, change);
        budgets::changed(&mut self.work, storage, change);
    }

    /// Looks at one thing. What fails is looked at again later, and stops nothing else.
    fn look(&mut self, item: Item) {
        let work = &mut self.work;
        if work.busy.contains(&item) {
            // It is looked at when its orders are filled.
            return;
        }
        let looked = catch_unwind(AssertUnwindSafe(|| match &item {
            Item::Budget(key) => budgets::sync(work, key),
            Item::CronJob(key) => cron::sync(work, key),
            Item::DaemonSet(key) => daemonsets::sync(work, key),
            Item::Deployment(key) => deployments::sync(work, key),
            Item::Job(key) => jobs::sync(work, key),
            Item::Namespace(name) => {
                namespaces::end(&work.shared, name);
                Ok(())
            }
            Item::ReplicaSet(key) => replicasets::sync(work, key),
            Item::Service(key) => endpoints::sync(work, key),
            Item::StatefulSet(key) => statefulsets::sync(work, key),
            Item::Uncounted(key) => jobs::sync_uncounted(work, key),
        }));
        let ordered = self.order(&item);
        let failure = match looked {
            Ok(Ok(())) if ordered => return,
            Ok(Ok(())) => return self.work.queue.succeeded(&item),
            Ok(Err(failure)) => failure,
            Err(_) => Failure::internal("a controller has a fault"),
        };
        tracing::debug!(?item, reason = failure.message, "a controller tries again later");
        self.work.queue.failed(item, self.work.now());
    }

    /// Has the orders of a look filled; whether there were any.
    fn order(&mut self, item: &Item) -> bool {
        let orders = std::mem::take(&mut self.work.outbox);
        if orders.is_empty() {
            return false;
        }
        self.work.busy.insert(item.clone());
        let (shared, done, item) = (Arc::clone(&self.shared), self.done.clone(), item.clone());
        tokio::spawn(async move {
            let made = outbox::fill(&shared, orders).await;
            // Nobody waits for it when the server has ended.
            let _ = done.send((item, made));
        });
        true
    }

    /// Goes on with what waited for its orders.
    fn filled(&mut self, item: Item, made: Vec<outbox::Made>) {
        self.work.busy.remove(&item);
        let mut done = Ok(());
        for (order, result) in made {
            let told = self.work.tell_made(&order.owner(), order.message.clone(), result);
            done = done.and(told);
        }
        if done.is_err() {
            return self.work.queue.failed(item, self.work.now());
        }
        self.work.queue.succeeded(&item);
        self.work.queue.add(item);
    }
}

/// Changes an object as a controller; one that is gone is left alone.
fn edit(
    shared: &Shared,
    storage: &str,
    key: &Key,
    writer: &Writer,
    mut edit: impl FnMut(&mut Value),
) -> Option<Arc<Object>> {
    let resource = shared.catalogue().find_storage(storage)?;
    let result = update::modify(shared, &resource, key, writer, false, |old| {
        let mut new = old.clone();
        edit(&mut new);
        Ok(Change::Update(new))
    });
    report(storage, &key.name, result)
}

fn report<T>(storage: &str, name: &str, result: Result<T, Failure>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(failure) => {
            if failure.code != 404 {
                tracing::warn!(
                    resource = storage,
                    object = name,
                    reason = failure.message,
                    "a controller could not change an object"
                );
            }
            None
        }
    }
}

fn controller(subresource: &str) -> Writer<'_> {
    Writer { manager: "kube-controller-manager".into(), subresource }
}

/// Sets a condition in a status; the time moves only when the status does.
pub(crate) fn set_condition(status: &mut Value, condition: &Value) {
    let list = object::map_mut(status).entry("conditions").or_insert_with(|| json!([]));
    let Value::Array(list) = list else { return };
    let mut new = condition.clone();
    match list.iter_mut().find(|one| one["type"] == condition["type"]) {
        Some(old) => {
            new["lastTransitionTime"] = if old["status"] == new["status"] {
                old["lastTransitionTime"].clone()
            } else {
                json!(object::now())
            };
            *old = new;
        }
        None => {
            new["lastTransitionTime"] = json!(object::now());
            list.push(new);
        }
    }
}

/// Writes an Event about an object.
fn event(shared: &Shared, about: (&str, &str), object: &Value, said: Said) {
    let (api_version, kind) = about;
    let name = object::name(object);
    let namespace = object::namespace(object);
    let namespace = if namespace.is_empty() { "default" } else { namespace };
    let now = jiff::Timestamp::now();
    let event = json!({
        "metadata": {
            "name": format!("{name}.{:x}", now.as_nanosecond()),
            "namespace": namespace,
        },
        "involvedObject": {
            "kind": kind,
            "namespace": namespace,
            "name": name,
            "uid": object::uid(object),
            "apiVersion": api_version,
            "resourceVersion": object::meta(object, "resourceVersion"),
        },
        "reason": said.reason,
        "message": said.message,
        "source": {"component": said.component},
        "firstTimestamp": object::seconds(now),
        "lastTimestamp": object::seconds(now),
        "count": 1,
        "type": said.kind,
        "eventTime": null,
        "reportingComponent": said.component,
        "reportingInstance": "",
    });
    create::internal(shared, "events", event);
}

/// What an Event says.
struct Said<'a> {
    kind: &'a str,
    reason: &'a str,
    message: &'a str,
    component: &'a str,
}
