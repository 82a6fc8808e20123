//! The objects in memory: one global version, a bounded history per resource, cheap fan-out.
//!
//! An object is immutable and shared (`Arc`), its JSON is made once.
//! Every write takes the lock once, gets the next version, and adds one change to the history;
//! watchers are told only that there is something new and read the history themselves,
//! so that a slow watcher costs nothing and is told 410 when the history no longer reaches back.

mod entry;
mod journal;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

pub(crate) use self::entry::{Key, Object};
use self::journal::Journal;
use crate::object;

/// One write.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) revision: u64,
    pub(crate) key: Key,
    /// What was there before.
    pub(crate) old: Option<Arc<Object>>,
    /// What is there now; of a deletion the last state, at the version of the deletion.
    pub(crate) new: Arc<Object>,
    pub(crate) deleted: bool,
    /// The change as watches send it, made once for all of them.
    pub(crate) frame: OnceLock<Bytes>,
}

impl Change {
    /// What a watch of everything calls it.
    pub(crate) fn kind(&self) -> &'static str {
        match (&self.old, self.deleted) {
            (_, true) => "DELETED",
            (None, false) => "ADDED",
            (Some(_), false) => "MODIFIED",
        }
    }
}

/// Why a create was refused.
#[derive(Debug)]
pub(crate) enum CreateError {
    Exists(Arc<Object>),
    NoNamespace,
    Terminating,
    Unwritable,
}

/// Why a change was refused.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// The object is not at the version that the writer saw.
    Stale,
    /// The disk did not take it.
    Unwritable,
}

/// The history does not reach back so far; the first version that it knows is the field.
#[derive(Debug)]
pub(crate) struct Expired(pub(crate) u64);

/// Where the namespaces are kept.
pub(crate) const NAMESPACES: &str = "namespaces";

pub(crate) struct Store {
    state: Mutex<State>,
    history: usize,
}

struct State {
    revision: u64,
    collections: HashMap<String, Collection>,
    journal: Option<Journal>,
    followers: Vec<mpsc::UnboundedSender<(Arc<str>, Arc<Change>)>>,
}

struct Collection {
    name: Arc<str>,
    objects: BTreeMap<Key, Arc<Object>>,
    history: VecDeque<Arc<Change>>,
    /// Changes up to this version are no longer known.
    floor: u64,
    news: watch::Sender<u64>,
}

impl Collection {
    fn new(name: &str, floor: u64) -> Self {
        Collection {
            name: name.into(),
            objects: BTreeMap::new(),
            history: VecDeque::new(),
            floor,
            news: watch::Sender::new(floor),
        }
    }

    fn select(&self, namespace: Option<&str>) -> Vec<Arc<Object>> {
        match namespace {
            None => self.objects.values().cloned().collect(),
            Some(namespace) => self
                .objects
                .range(Key::new(namespace, "")..)
                .take_while(|(key, _)| key.namespace == namespace)
                .map(|(_, object)| Arc::clone(object))
                .collect(),
        }
    }

    fn remember(&mut self, change: Arc<Change>, limit: usize) {
        let revision = change.revision;
        self.history.push_back(change);
        while self.history.len() > limit {
            if let Some(oldest) = self.history.pop_front() {
                self.floor = oldest.revision;
            }
        }
        self.news.send_replace(revision);
    }
}

impl Store {
    /// A store that remembers `history` changes of each resource.
    pub(crate) fn new(history: usize) -> Self {
        let state = State {
            revision: 1,
            collections: HashMap::new(),
            journal: None,
            followers: Vec::new(),
        };
        Store { state: Mutex::new(state), history }
    }

    /// A store that is kept in a folder, with what was kept there.
    pub(crate) fn open(folder: &Path, history: usize) -> io::Result<Self> {
        let (journal, records) = Journal::open(folder)?;
        let store = Store::new(history);
        let mut state = store.lock();
        for record in records {
            state.revision = state.revision.max(record.revision);
            if record.resource.is_empty() {
                continue;
            }
            let collection = state.collection(&record.resource);
            match record.value {
                Some(value) => {
                    let object = Object::new(value, record.revision);
                    collection.objects.insert(record.key, Arc::new(object));
                }
                None => {
                    collection.objects.remove(&record.key);
                }
            }
        }
        let revision = state.revision;
        for collection in state.collections.values_mut() {
            collection.floor = revision;
        }
        state.journal = Some(journal);
        drop(state);
        Ok(store)
    }

    /// The version of the last write.
    pub(crate) fn revision(&self) -> u64 {
        self.lock().revision
    }

    pub(crate) fn get(&self, resource: &str, key: &Key) -> Option<Arc<Object>> {
        self.lock().collections.get(resource)?.objects.get(key).cloned()
    }

    /// The objects of a resource (of one namespace) in order, and the version of the answer.
    pub(crate) fn list(&self, resource: &str, namespace: Option<&str>) -> (u64, Vec<Arc<Object>>) {
        let state = self.lock();
        let objects =
            state.collections.get(resource).map(|all| all.select(namespace)).unwrap_or_default();
        (state.revision, objects)
    }

    /// The objects as they were at a version.
    pub(crate) fn list_at(
        &self,
        resource: &str,
        namespace: Option<&str>,
        revision: u64,
    ) -> Result<Vec<Arc<Object>>, Expired> {
        let state = self.lock();
        let Some(collection) = state.collections.get(resource) else { return Ok(Vec::new()) };
        if revision < collection.floor {
            return Err(Expired(collection.floor));
        }
        if collection.history.back().is_none_or(|last| last.revision <= revision) {
            return Ok(collection.select(namespace));
        }
        let mut objects: BTreeMap<Key, Arc<Object>> = collection.objects.clone();
        for change in collection.history.iter().rev().take_while(|one| one.revision > revision) {
            match &change.old {
                Some(old) => objects.insert(change.key.clone(), Arc::clone(old)),
                None => objects.remove(&change.key),
            };
        }
        objects.retain(|key, _| namespace.is_none_or(|namespace| key.namespace == namespace));
        Ok(objects.into_values().collect())
    }

    /// Adds an object. With `in_namespace` its namespace must exist and not be ending.
    pub(crate) fn create(
        &self,
        resource: &str,
        key: Key,
        mut value: Value,
        in_namespace: bool,
    ) -> Result<Arc<Object>, CreateError> {
        let mut state = self.lock();
        if in_namespace {
            let namespace = state
                .collections
                .get(NAMESPACES)
                .and_then(|all| all.objects.get(&Key::new("", key.namespace.clone())));
            match namespace {
                None => return Err(CreateError::NoNamespace),
                Some(namespace) if object::is_deleting(&namespace.value) => {
                    return Err(CreateError::Terminating);
                }
                Some(_) => {}
            }
        }
        let (revision, collection) = state.next(resource);
        if let Some(existing) = collection.objects.get(&key) {
            return Err(CreateError::Exists(Arc::clone(existing)));
        }
        stamp(&mut value, revision);
        let new = Arc::new(Object::new(value, revision));
        if !state.keep(resource, &key, &new, false) {
            return Err(CreateError::Unwritable);
        }
        state.collection(resource).objects.insert(key.clone(), Arc::clone(&new));
        let change = Change {
            revision,
            key,
            old: None,
            new: Arc::clone(&new),
            deleted: false,
            frame: OnceLock::new(),
        };
        state.commit(resource, change, self.history);
        Ok(new)
    }

    /// Replaces the object that the writer saw at `revision`.
    pub(crate) fn replace(
        &self,
        resource: &str,
        key: &Key,
        revision: u64,
        value: Value,
    ) -> Result<Arc<Object>, WriteError> {
        self.write(resource, key, revision, value, false)
    }

    /// Removes the object that the writer saw at `revision`; `value` is its last state.
    pub(crate) fn remove(
        &self,
        resource: &str,
        key: &Key,
        revision: u64,
        value: Value,
    ) -> Result<Arc<Object>, WriteError> {
        self.write(resource, key, revision, value, true)
    }

    fn write(
        &self,
        resource: &str,
        key: &Key,
        seen: u64,
        mut value: Value,
        deleted: bool,
    ) -> Result<Arc<Object>, WriteError> {
        let mut state = self.lock();
        let (revision, collection) = state.next(resource);
        let old = match collection.objects.get(key) {
            Some(old) if old.revision == seen => Arc::clone(old),
            _ => return Err(WriteError::Stale),
        };
        stamp(&mut value, revision);
        let new = Arc::new(Object::new(value, revision));
        if !state.keep(resource, key, &new, deleted) {
            return Err(WriteError::Unwritable);
        }
        let collection = state.collection(resource);
        if deleted {
            collection.objects.remove(key);
        } else {
            collection.objects.insert(key.clone(), Arc::clone(&new));
        }
        let change = Change {
            revision,
            key: key.clone(),
            old: Some(old),
            new: Arc::clone(&new),
            deleted,
            frame: OnceLock::new(),
        };
        state.commit(resource, change, self.history);
        Ok(new)
    }

    /// The changes after a version, oldest first, and the version up to which they reach.
    pub(crate) fn changes(
        &self,
        resource: &str,
        since: u64,
    ) -> Result<(u64, Vec<Arc<Change>>), Expired> {
        let state = self.lock();
        let Some(collection) = state.collections.get(resource) else {
            return Ok((state.revision, Vec::new()));
        };
        if since < collection.floor {
            return Err(Expired(collection.floor));
        }
        let first = collection.history.partition_point(|change| change.revision <= since);
        Ok((state.revision, collection.history.range(first..).cloned().collect()))
    }

    /// Tells of every change of a resource, from now on.
    pub(crate) fn subscribe(&self, resource: &str) -> watch::Receiver<u64> {
        self.lock().collection(resource).news.subscribe()
    }

    /// Every change of every resource from now on, in order, each with where it is kept.
    pub(crate) fn follow(&self) -> mpsc::UnboundedReceiver<(Arc<str>, Arc<Change>)> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.lock().followers.push(sender);
        receiver
    }

    /// Forgets the history up to now.
    pub(crate) fn compact(&self) {
        let mut state = self.lock();
        let revision = state.revision;
        for collection in state.collections.values_mut() {
            collection.history.clear();
            collection.floor = revision;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while the lock is held leaves whole objects behind: every write is one insert.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Makes a change known: to watches, to followers, and as the version of the store.
    fn commit(&mut self, resource: &str, change: Change, history: usize) {
        self.revision = change.revision;
        let change = Arc::new(change);
        let collection = self.collection(resource);
        let name = Arc::clone(&collection.name);
        collection.remember(Arc::clone(&change), history);
        if self.journal.as_ref().is_some_and(Journal::is_large) {
            self.rewrite();
        }
        self.followers
            .retain(|follower| follower.send((Arc::clone(&name), Arc::clone(&change))).is_ok());
    }

    /// Writes a change to the journal, if there is one; whether it is safe.
    fn keep(&mut self, resource: &str, key: &Key, new: &Object, deleted: bool) -> bool {
        let Some(journal) = &mut self.journal else { return true };
        let body = (!deleted).then(|| new.body().as_ref());
        match journal.append(new.revision, resource, key, body) {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(%error, "a change could not be written to the journal");
                false
            }
        }
    }

    fn rewrite(&mut self) {
        let State { revision, collections, journal, .. } = self;
        let Some(journal) = journal else { return };
        let objects = collections.iter().flat_map(|(resource, collection)| {
            collection.objects.iter().map(|(key, object)| (resource.as_str(), key, object))
        });
        if let Err(error) = journal.rewrite(*revision, objects) {
            tracing::error!(%error, "the journal could not be written anew");
        }
    }

    fn collection(&mut self, resource: &str) -> &mut Collection {
        if !self.collections.contains_key(resource) {
            self.collections.insert(resource.to_owned(), Collection::new(resource, 1));
        }
        self.collections.get_mut(resource).expect("the line above put it there")
    }

    fn next(&mut self, resource: &str) -> (u64, &mut Collection) {
        (self.revision + 1, self.collection(resource))
    }
}

fn stamp(value: &mut Value, revision: u64) {
    object::metadata_mut(value).insert("resourceVersion".into(), revision.to_string().into());
}
