//! Rules of roles: what they allow, and whether some rules cover others.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::Attributes;
use crate::object;

/// One rule of a role.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) verbs: Vec<String>,
    pub(crate) groups: Vec<String>,
    pub(crate) resources: Vec<String>,
    pub(crate) names: Vec<String>,
    pub(crate) paths: Vec<String>,
}

const ALL: &str = "*";

impl Rule {
    /// The rules of a role.
    pub(crate) fn of(role: &Value) -> Vec<Rule> {
        object::list(role, &["rules"]).iter().map(Rule::read).collect()
    }

    fn read(value: &Value) -> Rule {
        let texts = |key: &str| {
            let list = object::list(value, &[key]).iter();
            list.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        Rule {
            verbs: texts("verbs"),
            groups: texts("apiGroups"),
            resources: texts("resources"),
            names: texts("resourceNames"),
            paths: texts("nonResourceURLs"),
        }
    }

    /// What all may do who may do everything.
    pub(crate) fn everything() -> Vec<Rule> {
        let all = || vec![ALL.to_owned()];
        vec![
            Rule { verbs: all(), groups: all(), resources: all(), ..Rule::default() },
            Rule { verbs: all(), paths: all(), ..Rule::default() },
        ]
    }

    /// The rule as reviews show it.
    pub(crate) fn shown(&self) -> Value {
        let mut shown = Map::new();
        for (key, list) in [
            ("verbs", &self.verbs),
            ("apiGroups", &self.groups),
            ("resources", &self.resources),
            ("resourceNames", &self.names),
            ("nonResourceURLs", &self.paths),
        ] {
            if !list.is_empty() {
                shown.insert(key.to_owned(), json!(list));
            }
        }
        Value::Object(shown)
    }

    /// Whether the rule allows this.
    pub(crate) fn allows(&self, wanted: &Attributes) -> bool {
        if !has_or_all(&self.verbs, &wanted.verb) {
            return false;
        }
        match &wanted.path {
            Some(path) => self.paths.iter().any(|one| path_covers(one, path)),
            None => {
                has_or_all(&self.groups, &wanted.group)
                    && self.allows_resource(wanted)
                    && (self.names.is_empty() || self.names.contains(&wanted.name))
            }
        }
    }

    fn allows_resource(&self, wanted: &Attributes) -> bool {
        self.resources.iter().any(|one| {
            if one == ALL {
                return true;
            }
            if wanted.subresource.is_empty() {
                return *one == wanted.resource;
            }
            match one.split_once('/') {
                Some((resource, part)) => {
                    part == wanted.subresource && (resource == ALL || resource == wanted.resource)
                }
                None => false,
            }
        })
    }

    /// Whether the rule allows all that a part allows, which names one of each.
    fn covers(&self, part: &Rule) -> bool {
        let all = |own: &[String], other: &[String]| {
            own.iter().any(|one| one == ALL) || other.iter().all(|one| own.contains(one))
        };
        let resources = self.resources.iter().any(|one| one == ALL)
            || part.resources.iter().all(|wanted| {
                let any = wanted.split_once('/').map(|(_, part)| format!("*/{part}"));
                self.resources.contains(wanted)
                    || any.is_some_and(|any| self.resources.contains(&any))
            });
        let names = if part.names.is_empty() {
            self.names.is_empty()
        } else {
            self.names.is_empty() || part.names.iter().all(|one| self.names.contains(one))
        };
        let paths = part.paths.iter().all(|path| {
            self.paths.iter().any(|one| {
                // A pattern is covered by a shorter one only.
                one == path || one == ALL || (one.ends_with('*') && path_covers(one, path))
            })
        });
        all(&self.verbs, &part.verbs)
            && all(&self.groups, &part.groups)
            && resources
            && names
            && paths
    }

    /// The rule in parts that name one of each.
    fn parts(&self) -> Vec<Rule> {
        let one = |text: &String| vec![text.clone()];
        let mut parts = Vec::new();
        for group in &self.groups {
            for resource in &self.resources {
                for verb in &self.verbs {
                    let part = Rule {
                        verbs: one(verb),
                        groups: one(group),
                        resources: one(resource),
                        ..Rule::default()
                    };
                    if self.names.is_empty() {
                        parts.push(part.clone());
                    }
                    for name in &self.names {
                        parts.push(Rule { names: one(name), ..part.clone() });
                    }
                }
            }
        }
        for path in &self.paths {
            for verb in &self.verbs {
                parts.push(Rule { verbs: one(verb), paths: one(path), ..Rule::default() });
            }
        }
        parts
    }

    /// The rule as the real server prints it.
    fn printed(&self) -> String {
        let mut parts = Vec::new();
        for (name, list) in [
            ("APIGroups", &self.groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.paths),
            ("ResourceNames", &self.names),
            ("Verbs", &self.verbs),
        ] {
            if !list.is_empty() {
                parts.push(format!("{name}:{}", quoted(list)));
            }
        }
        format!("{{{}}}", parts.join(", "))
    }
}

/// A list of texts as the real server prints it.
pub(crate) fn quoted(list: &[String]) -> String {
    let quoted: Vec<String> = list.iter().map(|one| format!("{one:?}")).collect();
    format!("[{}]", quoted.join(" "))
}

fn has_or_all(list: &[String], wanted: &str) -> bool {
    list.iter().any(|one| one == ALL || one == wanted)
}

fn path_covers(rule: &str, path: &str) -> bool {
    match rule.strip_suffix('*') {
        Some(prefix) => path.starts_with(prefix.trim_end_matches('*')),
        None => rule == path,
    }
}

/// What of some rules others do not cover, in the words of the real server: a line for each.
pub(crate) fn missing(held: &[Rule], wanted: &[Rule]) -> Vec<String> {
    let mut simple: BTreeMap<(String, String, Option<String>), Rule> = BTreeMap::new();
    let mut lines = BTreeSet::new();
    for part in wanted.iter().flat_map(Rule::parts) {
        if held.iter().any(|rule| rule.covers(&part)) {
            continue;
        }
        // Verbs on the same thing are told together.
        match (part.groups.first(), part.resources.first()) {
            (Some(group), Some(resource)) => {
                let key = (group.clone(), resource.clone(), part.names.first().cloned());
                match simple.get_mut(&key) {
                    Some(known) => known.verbs.extend(part.verbs),
                    None => {
                        simple.insert(key, part);
                    }
                }
            }
            _ => {
                lines.insert(part.printed());
            }
        }
    }
    lines.extend(simple.values().map(Rule::printed));
    lines.into_iter().collect()
}

/// The rules of several roles, each once.
pub(crate) fn union<'a>(roles: impl Iterator<Item = &'a Value>) -> Vec<Value> {
    let mut rules: Vec<Value> = Vec::new();
    for rule in roles.flat_map(|role| object::list(role, &["rules"])) {
        if !rules.contains(rule) {
            rules.push(rule.clone());
        }
    }
    rules
}
