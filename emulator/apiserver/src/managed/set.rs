//! A set of field paths, as `fieldsV1` writes it.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// A set of paths. A node is a member itself, or only on the way to members.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Set {
    pub(crate) member: bool,
    /// By path element: `f:name`, `k:{"name":"main"}`, `v:"value"`, `i:0`.
    pub(crate) children: BTreeMap<String, Set>,
}

impl Set {
    pub(crate) fn leaf() -> Self {
        Set { member: true, children: BTreeMap::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.member && self.children.is_empty()
    }

    /// Reads `fieldsV1`.
    pub(crate) fn read(value: &Value) -> Set {
        let mut set = Set::node(value);
        set.member = false;
        set
    }

    fn node(value: &Value) -> Set {
        let Value::Object(map) = value else { return Set::leaf() };
        if map.is_empty() {
            return Set::leaf();
        }
        Set {
            member: map.contains_key("."),
            children: map
                .iter()
                .filter(|(key, _)| *key != ".")
                .map(|(key, child)| (key.clone(), Set::node(child)))
                .collect(),
        }
    }

    /// Writes `fieldsV1`.
    pub(crate) fn write(&self) -> Value {
        let mut map = Map::new();
        if self.member && !self.children.is_empty() {
            map.insert(".".into(), Value::Object(Map::new()));
        }
        for (key, child) in &self.children {
            map.insert(key.clone(), child.write());
        }
        Value::Object(map)
    }

    pub(crate) fn union(&self, other: &Set) -> Set {
        let mut all = self.clone();
        all.add(other);
        all
    }

    pub(crate) fn add(&mut self, other: &Set) {
        self.member |= other.member;
        for (key, child) in &other.children {
            match self.children.get_mut(key) {
                Some(mine) => mine.add(child),
                None => {
                    self.children.insert(key.clone(), child.clone());
                }
            }
        }
    }

    /// Without the members of the other.
    pub(crate) fn difference(&self, other: &Set) -> Set {
        let mut rest = self.clone();
        rest.subtract(other);
        rest
    }

    /// Takes the members of the other away.
    pub(crate) fn subtract(&mut self, other: &Set) {
        if other.member {
            self.member = false;
        }
        for (key, child) in &other.children {
            if let Some(mine) = self.children.get_mut(key) {
                mine.subtract(child);
                if mine.is_empty() {
                    self.children.remove(key);
                }
            }
        }
    }

    /// The members of both.
    pub(crate) fn intersection(&self, other: &Set) -> Set {
        let mut both = Set { member: self.member && other.member, children: BTreeMap::new() };
        for (key, child) in &self.children {
            if let Some(theirs) = other.children.get(key) {
                let common = child.intersection(theirs);
                if !common.is_empty() {
                    both.children.insert(key.clone(), common);
                }
            }
        }
        both
    }

    /// Drops nodes that lead to no member.
    pub(crate) fn prune(&mut self) {
        self.children.retain(|_, child| {
            child.prune();
            !child.is_empty()
        });
    }

    /// The paths of the members, as messages write them: `.data.color`.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect("", &mut paths);
        paths
    }

    fn collect(&self, path: &str, paths: &mut Vec<String>) {
        if self.member {
            paths.push(path.to_owned());
        }
        for (key, child) in &self.children {
            let step = match key.split_once(':') {
                Some(("f", name)) => format!(".{name}"),
                Some(("k", keys)) => match serde_json::from_str::<Map<String, Value>>(keys) {
                    Ok(keys) => {
                        let pairs: Vec<String> =
                            keys.iter().map(|(name, value)| format!("{name}={value}")).collect();
                        format!("[{}]", pairs.join(","))
                    }
                    Err(_) => format!("[{keys}]"),
                },
                Some(("v", value)) => format!("[={value}]"),
                Some(("i", index)) => format!("[{index}]"),
                _ => format!(".{key}"),
            };
            child.collect(&format!("{path}{step}"), paths);
        }
    }
}
