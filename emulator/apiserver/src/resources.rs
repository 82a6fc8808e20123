//! The table of resources: what the API has, under which names, and what can be done with it.
//!
//! A kind with behaviour of its own (defaults, validation, columns) is matched by group and kind
//! where that behaviour lives; everything else is only a line here.

mod table;

use std::collections::HashMap;
use std::sync::Arc;

pub(crate) use self::table::is_built_in;
use self::table::{ORDER, table};
use crate::custom::Custom;
use crate::schema::{TYPES, Types};

/// One resource of one version of a group.
#[derive(Debug)]
pub(crate) struct Resource {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
    pub(crate) plural: String,
    pub(crate) singular: String,
    pub(crate) short: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) namespaced: bool,
    /// Whether it is stored and has all verbs; else it is only asked (reviews).
    pub(crate) stored: bool,
    pub(crate) subresources: Vec<Subresource>,
    /// Where its objects are kept; two versions of one kind share it.
    pub(crate) storage: String,
    /// The name of its type in the schema.
    pub(crate) schema: String,
    /// What its definition says, of a custom resource.
    pub(crate) custom: Option<Arc<Custom>>,
}

/// A part of an object with a path of its own.
#[derive(Debug, Clone)]
pub(crate) struct Subresource {
    pub(crate) name: &'static str,
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) verbs: &'static [&'static str],
}

impl Resource {
    /// `plural` for the core group, else `plural.group`: how messages name it.
    pub(crate) fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.plural.clone()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    /// `v1` or `group/v1`.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    pub(crate) fn is(&self, group: &str, kind: &str) -> bool {
        self.group == group && self.kind == kind
    }

    pub(crate) fn has_status(&self) -> bool {
        self.subresource("status").is_some()
    }

    pub(crate) fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|one| one.name == name)
    }

    /// The table of types that has its type, and where.
    pub(crate) fn types(&self) -> Option<(&Types, usize)> {
        match &self.custom {
            Some(custom) => Some((&custom.types, custom.root)),
            None => Some((&TYPES, TYPES.find(&self.schema)?)),
        }
    }

    /// The kind of its lists.
    pub(crate) fn list_kind(&self) -> String {
        match &self.custom {
            Some(custom) => custom.list_kind.clone(),
            None => format!("{}List", self.kind),
        }
    }

    /// What a client may do with it.
    pub(crate) fn verbs(&self) -> &'static [&'static str] {
        if let Some(custom) = &self.custom {
            return if custom.terminating {
                &["delete", "deletecollection", "get", "list", "watch"]
            } else {
                &["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"]
            };
        }
        match (self.stored, self.kind.as_str()) {
            (true, "ComponentStatus") => &["get", "list"],
            (false, _) => &["create"],
            (true, "Namespace") => &["create", "delete", "get", "list", "patch", "update", "watch"],
            (true, _) => {
                &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
            }
        }
    }

    /// Whether deletion waits for the dependents or orphans them when nobody says which.
    pub(crate) fn is_pod(&self) -> bool {
        self.is("", "Pod")
    }
}

/// All resources.
#[derive(Debug)]
pub(crate) struct Catalogue {
    pub(crate) resources: Vec<Arc<Resource>>,
    by_path: HashMap<(String, String, String), Arc<Resource>>,
    /// The resources of each definition, by its name, with what tells whether it has changed.
    definitions: HashMap<String, (String, Vec<Arc<Resource>>)>,
}

impl Catalogue {
    /// The resources that are built in.
    pub(crate) fn built_in() -> Self {
        Catalogue::with_definitions(HashMap::new())
    }

    /// The resources that are built in and those of definitions.
    pub(crate) fn with_definitions(
        definitions: HashMap<String, (String, Vec<Arc<Resource>>)>,
    ) -> Self {
        let mut customs: Vec<Arc<Resource>> =
            definitions.values().flat_map(|(_, resources)| resources).cloned().collect();
        customs.sort_by(|a, b| {
            (&a.group, rank(&b.version), &b.version, &a.plural).cmp(&(
                &b.group,
                rank(&a.version),
                &a.version,
                &b.plural,
            ))
        });
        let resources: Vec<Arc<Resource>> =
            table().into_iter().map(Arc::new).chain(customs).collect();
        let by_path = resources
            .iter()
            .map(|one| {
                let path = (one.group.clone(), one.version.clone(), one.plural.clone());
                (path, Arc::clone(one))
            })
            .collect();
        Catalogue { resources, by_path, definitions }
    }

    /// The resources of a definition, if it has not changed.
    pub(crate) fn definition(&self, name: &str, stamp: &str) -> Option<Vec<Arc<Resource>>> {
        let (known, resources) = self.definitions.get(name)?;
        (known == stamp).then(|| resources.clone())
    }

    /// Whether a group has nothing but custom resources.
    pub(crate) fn is_custom(&self, group: &str) -> bool {
        let mut all = self.resources.iter().filter(|one| one.group == group).peekable();
        all.peek().is_some() && all.all(|one| one.custom.is_some())
    }

    /// How many definitions are served.
    pub(crate) fn definitions(&self) -> usize {
        self.definitions.len()
    }

    /// The custom resources.
    pub(crate) fn customs(&self) -> impl Iterator<Item = &Arc<Custom>> {
        self.resources.iter().filter_map(|one| one.custom.as_ref())
    }

    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Resource>> {
        let path = (group.to_owned(), version.to_owned(), plural.to_owned());
        self.by_path.get(&path).cloned()
    }

    pub(crate) fn kind(&self, api_version: &str, kind: &str) -> Option<Arc<Resource>> {
        self.resources
            .iter()
            .find(|one| one.kind == kind && one.stored && one.api_version() == api_version)
            .cloned()
    }

    /// A built-in resource by storage name, for the server's own controllers.
    pub(crate) fn storage(&self, storage: &str) -> Arc<Resource> {
        self.find_storage(storage).expect("controllers ask for resources of the table")
    }

    /// A resource by storage name; custom ones come and go.
    pub(crate) fn find_storage(&self, storage: &str) -> Option<Arc<Resource>> {
        let mut found = self.resources.iter().filter(|one| one.storage == storage && one.stored);
        let first = found.next()?;
        // Of several versions the kept one speaks for all.
        let kept = |one: &&Arc<Resource>| {
            one.custom.as_ref().is_some_and(|custom| custom.storage_version == one.version)
        };
        Some(Arc::clone(if first.custom.is_none() || kept(&first) {
            first
        } else {
            found.find(kept).unwrap_or(first)
        }))
    }

    /// One resource per storage place: what namespaces and the garbage collector must look at.
    pub(crate) fn stored(&self) -> Vec<Arc<Resource>> {
        let mut seen = std::collections::HashSet::new();
        self.resources
            .iter()
            .filter(|one| one.stored && seen.insert(one.storage.clone()))
            .cloned()
            .collect()
    }

    /// The versions of every group but the core one, in the order of the real server.
    pub(crate) fn groups(&self) -> Vec<(String, Vec<String>)> {
        let mut groups: Vec<(String, Vec<String>)> = Vec::new();
        for one in self.resources.iter().filter(|one| !one.group.is_empty()) {
            match groups.iter_mut().find(|(group, _)| *group == one.group) {
                Some((_, versions)) => {
                    if !versions.contains(&one.version) {
                        versions.push(one.version.clone());
                    }
                }
                None => groups.push((one.group.clone(), vec![one.version.clone()])),
            }
        }
        let place = |group: &str| ORDER.iter().position(|one| *one == group).unwrap_or(ORDER.len());
        groups.sort_by_key(|(group, _)| place(group));
        groups
    }
}

/// How old a version is by its name: `v2` before `v1` before `v1beta1` before `v1alpha1`.
fn rank(version: &str) -> (u8, u64, u64) {
    let number = |text: &str| text.parse::<u64>().ok();
    let Some(rest) = version.strip_prefix('v') else { return (0, 0, 0) };
    for (word, rank) in [("beta", 2), ("alpha", 1)] {
        if let Some((major, minor)) = rest.split_once(word)
            && let (Some(major), Some(minor)) = (number(major), number(minor))
        {
            return (rank, major, minor);
        }
    }
    number(rest).map_or((0, 0, 0), |major| (3, major, 0))
}
