//! Which webhooks want to know of a write.

use std::sync::Arc;

use serde_json::{Value, json};

use super::hooks::{Hook, Rule};
use super::{Gate, Operation, Step};
use crate::events;
use crate::failure::Failure;
use crate::resources::Resource;
use crate::selectors::Labels;
use crate::store::{Key, NAMESPACES};

/// In which form a webhook is shown a write.
#[derive(Debug)]
pub(super) struct Invocation {
    /// The resource that its rule names: that of the request, or one with the same objects.
    pub(super) resource: Arc<Resource>,
}

/// Whether a webhook is to be called, and in which form.
///
/// # Errors
/// When the namespace whose labels count is not there.
pub(super) fn find(
    gate: &Gate<'_>,
    hook: &Hook,
    step: &Step<'_>,
    kept: Option<&Resource>,
    object: Option<&Value>,
) -> Result<Option<Invocation>, Failure> {
    let namespace = namespace_matches(gate, hook, step, object);
    if matches!(namespace, Ok(false)) || !object_matches(hook, step, object) {
        return Ok(None);
    }
    let subresource = &gate.target.subresource;
    let asked = &gate.target.resource;
    let wanted = |resource: &Resource| {
        hook.rules.iter().any(|rule| rule_matches(rule, resource, subresource, step))
    };
    let found = if wanted(asked) {
        Some(Arc::clone(asked))
    } else if hook.equivalent && kept.is_some() {
        equivalents(gate, asked).find(|resource| wanted(resource))
    } else {
        None
    };
    match found {
        None => Ok(None),
        Some(resource) => namespace.map(|_| Some(Invocation { resource })),
    }
}

/// Other ways to the same objects.
fn equivalents(gate: &Gate<'_>, asked: &Arc<Resource>) -> impl Iterator<Item = Arc<Resource>> {
    let asked = Arc::clone(asked);
    let catalogue = gate.shared.catalogue();
    let all: Vec<Arc<Resource>> = catalogue.resources.to_vec();
    all.into_iter().filter(move |one| {
        one.storage == asked.storage
            && one.stored
            && one.kind == asked.kind
            && (&one.group, &one.version) != (&asked.group, &asked.version)
            // The two groups of events are one kind, but never shown as each other.
            && (one.group == asked.group || events::is_new(one) || events::is_new(&asked))
    })
}

fn rule_matches(rule: &Rule, resource: &Resource, subresource: &str, step: &Step<'_>) -> bool {
    let has = |list: &[String], wanted: &str| list.iter().any(|one| one == "*" || one == wanted);
    let is_namespace = resource.is("", "Namespace");
    let scoped = match rule.scope.as_str() {
        "Namespaced" => !is_namespace && !step.namespace.is_empty(),
        "Cluster" => is_namespace || step.namespace.is_empty(),
        _ => true,
    };
    scoped
        && has(&rule.operations, step.operation.text())
        && has(&rule.groups, &resource.group)
        && has(&rule.versions, &resource.version)
        && rule.resources.iter().any(|one| {
            let (name, part) = one.split_once('/').unwrap_or((one, ""));
            (name == "*" || name == resource.plural) && (part == "*" || part == subresource)
        })
}

fn object_matches(hook: &Hook, step: &Step<'_>, object: Option<&Value>) -> bool {
    hook.objects.is_empty()
        || [object, step.old].into_iter().flatten().any(|one| hook.objects.matches(one))
}

/// Whether the labels of the namespace fit; an object of the cluster always does, a namespace is
/// judged by its own labels.
fn namespace_matches(
    gate: &Gate<'_>,
    hook: &Hook,
    step: &Step<'_>,
    object: Option<&Value>,
) -> Result<bool, Failure> {
    let selector: &Labels = &hook.namespaces;
    if selector.is_empty() {
        return Ok(true);
    }
    let is_namespace = gate.target.resource.is("", "Namespace");
    if !is_namespace && step.namespace.is_empty() {
        return Ok(true);
    }
    let writes = matches!(step.operation, Operation::Create | Operation::Update);
    if is_namespace && writes && gate.target.subresource.is_empty() {
        return Ok(object.is_some_and(|object| selector.matches(object)));
    }
    let name = if is_namespace { &step.name } else { &step.namespace };
    match gate.shared.store.get(NAMESPACES, &Key::new("", &**name)) {
        Some(namespace) => Ok(selector.matches(&namespace.value)),
        None => {
            let mut failure =
                Failure::new(404, "NotFound", format!("namespaces {name:?} not found"));
            failure.details = Some(json!({"name": name, "kind": "namespaces"}));
            Err(failure)
        }
    }
}
