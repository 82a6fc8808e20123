//! Which ES module imports which, and how far each has come.
//!
//! The engine itself must not be asked to evaluate a module that it is evaluating, nor one whose
//! imports it could not find: it takes both for impossible. Both are refused here.

use std::collections::HashMap;

#[derive(Default)]
pub(super) struct Graph {
    nodes: Vec<Node>,
    names: HashMap<String, usize>,
}

struct Node {
    name: String,
    imports: Vec<usize>,
    stage: Stage,
    /// Why it cannot be used: something that it imports is not there.
    broken: Option<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// It was found.
    Known,
    /// Its own statements run, or wait.
    Begun,
    Done,
}

impl Graph {
    /// The number of a module.
    pub(super) fn node(&mut self, name: &str) -> usize {
        if let Some(found) = self.names.get(name) {
            return *found;
        }
        let node =
            Node { name: name.to_owned(), imports: Vec::new(), stage: Stage::Known, broken: None };
        self.nodes.push(node);
        self.names.insert(name.to_owned(), self.nodes.len() - 1);
        self.nodes.len() - 1
    }

    /// Notes that a module imports another. What runs already does that by `import()`, which ties
    /// nothing together, as does a script.
    pub(super) fn import(&mut self, base: &str, name: &str) {
        let Some(base) = self.names.get(base).copied() else { return };
        if self.nodes[base].stage == Stage::Known {
            let name = self.node(name);
            self.nodes[base].imports.push(name);
        }
    }

    /// Notes that the statements of a module begin, or have ended.
    pub(super) fn mark(&mut self, node: usize, done: bool) {
        if let Some(node) = self.nodes.get_mut(node) {
            node.stage = if done { Stage::Done } else { Stage::Begun };
        }
    }

    /// Notes that a module and all that it imports have ended, well or not.
    pub(super) fn ended(&mut self, name: &str) {
        if let Some(start) = self.names.get(name).copied() {
            for node in self.closure(start) {
                self.nodes[node].stage = Stage::Done;
            }
        }
    }

    /// Why a module cannot be used, if it cannot.
    pub(super) fn broken(&self, name: &str) -> Option<&str> {
        let node = self.names.get(name)?;
        self.nodes[*node].broken.as_deref()
    }

    /// Notes that a module cannot be used, nor what imports it.
    pub(super) fn fail(&mut self, name: &str, reason: &str) {
        let Some(failed) = self.names.get(name).copied() else { return };
        // What runs has all that it imports; that it asks for something else in vain is its own.
        if self.nodes[failed].stage != Stage::Known {
            return;
        }
        for node in 0..self.nodes.len() {
            if self.nodes[node].stage == Stage::Known && self.reaches(node, &[failed]) {
                self.nodes[node].broken.get_or_insert_with(|| reason.to_owned());
            }
        }
    }

    /// The module, among those that a module imports, that is being evaluated: it may not be
    /// evaluated now.
    pub(super) fn cycle(&self, name: &str) -> Option<&str> {
        let start = *self.names.get(name)?;
        let running: Vec<usize> =
            (0..self.nodes.len()).filter(|node| self.nodes[*node].stage == Stage::Begun).collect();
        let runs =
            |node: &usize| self.nodes[*node].stage != Stage::Done && self.reaches(*node, &running);
        // The module itself comes first, where one that it imports says more.
        let found = self.closure(start).into_iter().filter(runs).take(2).last()?;
        Some(&self.nodes[found].name)
    }

    fn reaches(&self, from: usize, wanted: &[usize]) -> bool {
        !wanted.is_empty() && self.closure(from).iter().any(|node| wanted.contains(node))
    }

    /// A module and all that it imports.
    fn closure(&self, start: usize) -> Vec<usize> {
        let mut seen = vec![false; self.nodes.len()];
        let (mut found, mut next) = (Vec::new(), vec![start]);
        while let Some(node) = next.pop() {
            if !std::mem::replace(&mut seen[node], true) {
                found.push(node);
                next.extend(&self.nodes[node].imports);
            }
        }
        found
    }
}

#[test]
fn what_is_being_evaluated_is_not_evaluated_again() {
    let mut graph = Graph::default();
    let (main, script) = (graph.node("main"), graph.node("script"));
    graph.import("main", "script");
    graph.import("main", "later");
    assert_eq!(graph.cycle("later"), None);
    // The statements of `script` run, on behalf of `main`.
    graph.mark(script, false);
    assert_eq!(graph.cycle("later"), None);
    assert!(graph.cycle("main").is_some());
    graph.import("later", "main");
    assert_eq!(graph.cycle("later"), Some("main"));
    graph.mark(script, true);
    graph.mark(main, false);
    graph.mark(main, true);
    assert_eq!(graph.cycle("later"), None);
}

#[test]
fn what_imports_something_that_is_not_there_is_broken() {
    let mut graph = Graph::default();
    let (running, _) = (graph.node("running"), graph.node("top"));
    graph.import("top", "middle");
    graph.import("middle", "missing");
    graph.mark(running, false);
    graph.import("running", "middle");
    graph.fail("missing", "there is no missing");
    assert_eq!(graph.broken("top"), Some("there is no missing"));
    assert_eq!(graph.broken("middle"), Some("there is no missing"));
    assert_eq!(graph.broken("running"), None);
}
