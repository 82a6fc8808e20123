//! Namespaces: what is in each from the start, and how they end.

use serde_json::{Value, json};

use super::queue::Item;
use super::work::Work;
use super::{controller, edit, report, set_condition};
use crate::object;
use crate::server::Shared;
use crate::store::{Change, Key, NAMESPACES};
use crate::verbs::create;
use crate::verbs::delete::{Options, Policy, remove};

/// Goes on with the namespaces that were ending when the server stopped.
pub(super) fn resume(work: &mut Work) {
    for namespace in work.shared.store.list(NAMESPACES, None).1 {
        if object::is_deleting(&namespace.value) {
            work.queue.add(Item::Namespace(object::name(&namespace.value).to_owned()));
        }
    }
}

/// Makes what every namespace has.
pub(crate) fn furnish(shared: &Shared, namespace: &str) {
    create::internal(
        shared,
        "serviceaccounts",
        json!({"metadata": {"name": "default", "namespace": namespace}}),
    );
    create::internal(
        shared,
        "configmaps",
        json!({
            "metadata": {
                "name": "kube-root-ca.crt",
                "namespace": namespace,
                "annotations": {
                    "kubernetes.io/description": "The certificate with which clients verify this API server.",
                },
            },
            "data": {"ca.crt": shared.access.certificates.authority},
        }),
    );
}

pub(super) fn changed(work: &mut Work, storage: &str, change: &Change) {
    if storage == NAMESPACES {
        if !change.deleted && object::is_deleting(&change.new.value) {
            work.queue.add(Item::Namespace(change.key.name.clone()));
        }
        return;
    }
    if !change.deleted || change.key.namespace.is_empty() {
        return;
    }
    let key = Key::new("", &*change.key.namespace);
    let Some(namespace) = work.shared.store.get(NAMESPACES, &key) else { return };
    if object::is_deleting(&namespace.value) {
        work.queue.add(Item::Namespace(change.key.namespace.clone()));
    } else if matches!(
        (storage, change.key.name.as_str()),
        ("serviceaccounts", "default") | ("configmaps", "kube-root-ca.crt")
    ) {
        furnish(&work.shared, &change.key.namespace);
    }
}

/// Deletes what is left in a namespace; when nothing is, the namespace goes.
pub(super) fn end(shared: &Shared, namespace: &str) {
    let mut left: Vec<(String, usize)> = Vec::new();
    let mut held: Vec<(String, usize)> = Vec::new();
    for resource in shared.catalogue().stored().iter().filter(|one| one.namespaced) {
        for object in shared.store.list(&resource.storage, Some(namespace)).1 {
            if !object::is_deleting(&object.value) {
                let options = Options { policy: Some(Policy::Background), ..Options::default() };
                let key = Key::of(&object.value);
                report(&resource.storage, &key.name, remove(shared, resource, &key, &options));
            }
        }
        let rest = shared.store.list(&resource.storage, Some(namespace)).1;
        if !rest.is_empty() {
            left.push((
                format!("{}. has {} resource instances", resource.qualified(), rest.len()),
                rest.len(),
            ));
        }
        for object in rest {
            for finalizer in object::finalizers(&object.value) {
                match held.iter_mut().find(|(one, _)| one == finalizer) {
                    Some((_, count)) => *count += 1,
                    None => held.push((finalizer.to_owned(), 1)),
                }
            }
        }
    }
    let key = Key::new("", namespace);
    if left.is_empty() {
        edit(shared, NAMESPACES, &key, &controller("finalize"), |value| {
            object::map_mut(&mut value["spec"]).remove("finalizers");
        });
        return;
    }
    edit(shared, NAMESPACES, &key, &controller("status"), |value| {
        let status = &mut value["status"];
        for condition in conditions(&left, &held) {
            set_condition(status, &condition);
        }
    });
}

fn conditions(left: &[(String, usize)], held: &[(String, usize)]) -> Vec<Value> {
    let done = |kind: &str, reason: &str, message: &str| json!({"type": kind, "status": "False", "reason": reason, "message": message});
    let mut conditions = vec![
        done(
            "NamespaceDeletionDiscoveryFailure",
            "ResourcesDiscovered",
            "All resources successfully discovered",
        ),
        done(
            "NamespaceDeletionGroupVersionParsingFailure",
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        done(
            "NamespaceDeletionContentFailure",
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
        ),
    ];
    let mut texts: Vec<&str> = left.iter().map(|(text, _)| text.as_str()).collect();
    texts.sort_unstable();
    conditions.push(json!({
        "type": "NamespaceContentRemaining",
        "status": "True",
        "reason": "SomeResourcesRemain",
        "message": format!("Some resources are remaining: {}", texts.join(", ")),
    }));
    if held.is_empty() {
        conditions.push(done(
            "NamespaceFinalizersRemaining",
            "ContentHasNoFinalizers",
            "All content-preserving finalizers finished",
        ));
    } else {
        let mut texts: Vec<String> = held
            .iter()
            .map(|(finalizer, count)| format!("{finalizer} in {count} resource instances"))
            .collect();
        texts.sort();
        conditions.push(json!({
            "type": "NamespaceFinalizersRemaining",
            "status": "True",
            "reason": "SomeFinalizersRemain",
            "message": format!(
                "Some content in the namespace has finalizers remaining: {}",
                texts.join(", ")
            ),
        }));
    }
    conditions
}
