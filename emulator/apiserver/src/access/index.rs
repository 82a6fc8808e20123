//! Roles and bindings, arranged so that a decision looks only at what concerns the user.
//!
//! The index follows the store: before a decision it takes over the changes since the last one,
//! so that a binding counts with the next request.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use serde_json::Value;
use tokio::sync::watch;

use super::User;
use super::rules::Rule;
use super::tokens::account_user;
use crate::object;
use crate::store::{Key, Store};

/// Where roles and bindings are kept.
const STORAGES: [&str; 4] = [
    "clusterroles.rbac.authorization.k8s.io",
    "clusterrolebindings.rbac.authorization.k8s.io",
    "roles.rbac.authorization.k8s.io",
    "rolebindings.rbac.authorization.k8s.io",
];

/// The index, and what tells that it is old.
pub(crate) struct Index {
    news: [watch::Receiver<u64>; 4],
    state: RwLock<State>,
}

/// Roles and bindings up to a version. Those of the cluster are in the namespace "".
#[derive(Default)]
pub(crate) struct State {
    seen: Option<u64>,
    roles: HashMap<Key, Arc<Vec<Rule>>>,
    bindings: HashMap<Key, Arc<Binding>>,
    /// The names of the bindings of a namespace, by what their subjects are.
    users: HashMap<String, HashMap<String, BTreeSet<String>>>,
    groups: HashMap<String, HashMap<String, BTreeSet<String>>>,
}

/// Who is given which role.
#[derive(Debug)]
pub(crate) struct Binding {
    pub(crate) key: Key,
    pub(crate) role: Reference,
    subjects: Vec<Subject>,
}

/// A role by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) kind: String,
    pub(crate) name: String,
}

impl Reference {
    pub(crate) fn of(binding: &Value) -> Self {
        Reference {
            kind: object::text(binding, &["roleRef", "kind"]).to_owned(),
            name: object::text(binding, &["roleRef", "name"]).to_owned(),
        }
    }

    /// Where the role lies that a binding of a namespace means.
    fn key(&self, namespace: &str) -> Key {
        Key::new(if self.kind == "Role" { namespace } else { "" }, self.name.as_str())
    }

    /// How the real server says that there is no such role.
    pub(crate) fn missing(&self) -> String {
        let kind = self.kind.to_lowercase();
        format!("{kind}.rbac.authorization.k8s.io {:?} not found", self.name)
    }
}

#[derive(Debug)]
struct Subject {
    kind: String,
    name: String,
    /// Of a service account.
    namespace: String,
    /// The user that a service account is.
    user: String,
}

impl Binding {
    fn read(key: &Key, value: &Value) -> Self {
        let subjects = object::list(value, &["subjects"]).iter().map(|subject| {
            let name = object::text(subject, &["name"]);
            let kind = object::text(subject, &["kind"]);
            let mut namespace = object::text(subject, &["namespace"]);
            if namespace.is_empty() {
                namespace = &key.namespace;
            }
            let user = match kind {
                "User" => name.to_owned(),
                "ServiceAccount" if !namespace.is_empty() => account_user(namespace, name),
                _ => String::new(),
            };
            Subject {
                kind: kind.to_owned(),
                name: name.to_owned(),
                namespace: namespace.to_owned(),
                user,
            }
        });
        Binding { key: key.clone(), role: Reference::of(value), subjects: subjects.collect() }
    }

    /// Says why the binding is the user's, as the real server does.
    pub(crate) fn explain(&self, user: &User) -> String {
        let subject = self.subjects.iter().find(|subject| match subject.kind.as_str() {
            "Group" => user.groups.contains(&subject.name),
            _ => !subject.user.is_empty() && subject.user == user.name,
        });
        let subject = subject.map_or(String::new(), |subject| match subject.kind.as_str() {
            "ServiceAccount" => {
                format!("ServiceAccount {:?}", format!("{}/{}", subject.name, subject.namespace))
            }
            kind => format!("{kind} {:?}", subject.name),
        });
        let (kind, name) = if self.key.namespace.is_empty() {
            ("ClusterRoleBinding", self.key.name.clone())
        } else {
            ("RoleBinding", format!("{}/{}", self.key.name, self.key.namespace))
        };
        let role = &self.role;
        format!("RBAC: allowed by {kind} {name:?} of {} {:?} to {subject}", role.kind, role.name)
    }
}

impl Index {
    pub(crate) fn new(store: &Store) -> Self {
        Index { news: STORAGES.map(|storage| store.subscribe(storage)), state: RwLock::default() }
    }

    /// The index as of now.
    pub(crate) fn get(&self, store: &Store) -> RwLockReadGuard<'_, State> {
        let newest = self.news.iter().map(|news| *news.borrow()).max().unwrap_or_default();
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        if state.seen.is_some_and(|seen| newest <= seen) {
            return state;
        }
        drop(state);
        self.state.write().unwrap_or_else(PoisonError::into_inner).follow(store);
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes over what changed.
    fn follow(&mut self, store: &Store) {
        let Some(seen) = self.seen else { return self.rebuild(store) };
        let mut changes = Vec::new();
        let mut reached = u64::MAX;
        for storage in STORAGES {
            match store.changes(storage, seen) {
                Ok((revision, new)) => {
                    // Each storage is asked at a time of its own: only the earliest counts.
                    reached = reached.min(revision);
                    changes.push((storage, new));
                }
                Err(_) => return self.rebuild(store),
            }
        }
        for (storage, new) in changes {
            for change in new {
                let value = (!change.deleted).then_some(&change.new.value);
                self.put(storage, &change.key, value);
            }
        }
        self.seen = Some(reached);
    }

    fn rebuild(&mut self, store: &Store) {
        *self = State::default();
        let mut reached = u64::MAX;
        for storage in STORAGES {
            let (revision, objects) = store.list(storage, None);
            reached = reached.min(revision);
            for object in objects {
                self.put(storage, &Key::of(&object.value), Some(&object.value));
            }
        }
        self.seen = Some(reached);
    }

    /// Makes an object known, or its end.
    fn put(&mut self, storage: &str, key: &Key, value: Option<&Value>) {
        if storage.contains("bindings.") {
            if let Some(old) = self.bindings.remove(key) {
                self.enlist(&old, false);
            }
            if let Some(value) = value {
                let new = Arc::new(Binding::read(key, value));
                self.enlist(&new, true);
                self.bindings.insert(key.clone(), new);
            }
            return;
        }
        match value {
            Some(value) => {
                self.roles.insert(key.clone(), Arc::new(Rule::of(value)));
            }
            None => {
                self.roles.remove(key);
            }
        }
    }

    fn enlist(&mut self, binding: &Binding, enlisted: bool) {
        for subject in &binding.subjects {
            let (all, name) = match subject.kind.as_str() {
                "Group" => (&mut self.groups, &subject.name),
                _ if subject.user.is_empty() => continue,
                _ => (&mut self.users, &subject.user),
            };
            let names = all.entry(binding.key.namespace.clone()).or_default();
            let names = names.entry(name.clone()).or_default();
            if enlisted {
                names.insert(binding.key.name.clone());
            } else {
                names.remove(&binding.key.name);
            }
        }
    }

    /// The bindings of a user in a namespace, those of the cluster first, each once and in order,
    /// with the rules of its role if there is such a role.
    pub(crate) fn bindings<'a>(
        &'a self,
        user: &'a User,
        namespace: &'a str,
    ) -> impl Iterator<Item = (&'a Binding, Option<&'a [Rule]>)> {
        let spaces = if namespace.is_empty() { &[""][..] } else { &["", "own"][..] };
        spaces.iter().flat_map(move |space| {
            let space = if space.is_empty() { "" } else { namespace };
            let of_user = self.users.get(space).and_then(|users| users.get(&user.name));
            let groups = self.groups.get(space);
            let of_groups =
                user.groups.iter().filter_map(move |group| groups.and_then(|all| all.get(group)));
            let names: HashSet<&String> = of_user.into_iter().chain(of_groups).flatten().collect();
            let mut names: Vec<&String> = names.into_iter().collect();
            names.sort_unstable();
            names.into_iter().filter_map(move |name| {
                let binding = self.bindings.get(&Key::new(space, name.as_str()))?;
                Some((binding.as_ref(), self.role(&binding.role, space)))
            })
        })
    }

    /// The rules of a role.
    pub(crate) fn role(&self, reference: &Reference, namespace: &str) -> Option<&[Rule]> {
        self.roles.get(&reference.key(namespace)).map(|rules| rules.as_slice())
    }
}
