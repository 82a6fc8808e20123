//! The history of stateful sets and daemon sets: a revision object for each template they had.

use std::sync::Arc;

use serde_json::{Value, json};

use super::controller;
use super::deployments::template_hash;
use super::work::{Owner, Work};
use crate::failure::Failure;
use crate::object;
use crate::store::{Key, Object};
use crate::verbs::create;
use crate::verbs::delete::{Options, remove};
use crate::verbs::update::{self, Change as Write};

pub(super) const REVISIONS: &str = "controllerrevisions.apps";
/// The label that says of which revision a pod is.
pub(super) const HASH: &str = "controller-revision-hash";

/// The revisions of an object, oldest first, the present one last.
pub(super) struct History {
    revisions: Vec<Arc<Object>>,
}

impl History {
    /// Finds the revision of the present template, or makes it.
    pub(super) fn of(work: &Work, owner: &Owner) -> Result<Self, Failure> {
        let mut revisions = work.revisions.of(object::uid(owner.value));
        revisions.sort_by_key(|one| one.value["revision"].as_i64());
        let data = data(owner.value);
        let last = revisions.last().and_then(|one| one.value["revision"].as_i64());
        let next = last.unwrap_or_default() + 1;
        match revisions.iter().position(|one| one.value["data"] == data) {
            Some(at) if at + 1 == revisions.len() => {}
            Some(at) => {
                // A template that comes back is the newest again.
                let again = revisions.remove(at);
                let key = Key::of(&again.value);
                let resource = work.shared.catalogue().storage(REVISIONS);
                let written =
                    update::modify(&work.shared, &resource, &key, &controller(""), false, |old| {
                        let mut new = old.clone();
                        new["revision"] = json!(next);
                        Ok(Write::Update(new))
                    })?;
                revisions.push(written);
            }
            None => revisions.push(make(work, owner, data, next)?),
        }
        Ok(History { revisions })
    }

    /// The hash of the present revision, as pods carry it; for a stateful set it is the whole name.
    pub(super) fn present(&self) -> &Value {
        self.revisions.last().map(|one| &one.value).unwrap_or(&Value::Null)
    }

    /// The template of a revision by its name.
    pub(super) fn template(&self, name: &str) -> Option<&Value> {
        let found = self.revisions.iter().find(|one| object::name(&one.value) == name)?;
        Some(&found.value["data"]["spec"]["template"])
    }

    /// Deletes the oldest revisions that no pod is of and that the history has no room for.
    pub(super) fn trim(
        &self,
        work: &Work,
        owner: &Value,
        used: &dyn Fn(&str) -> bool,
    ) -> Result<(), Failure> {
        let limit = owner["spec"]["revisionHistoryLimit"].as_u64().unwrap_or(10) as usize;
        let past = &self.revisions[..self.revisions.len().saturating_sub(1)];
        let free: Vec<&Arc<Object>> =
            past.iter().filter(|one| !used(object::name(&one.value))).collect();
        let resource = work.shared.catalogue().storage(REVISIONS);
        for one in free.iter().take(free.len().saturating_sub(limit)) {
            match remove(&work.shared, &resource, &Key::of(&one.value), &Options::default()) {
                Err(failure) if failure.code != 404 => return Err(failure),
                _ => {}
            }
        }
        Ok(())
    }
}

/// What a revision keeps: a patch that brings the template back.
fn data(owner: &Value) -> Value {
    let mut template = owner["spec"]["template"].clone();
    object::map_mut(&mut template).insert("$patch".into(), json!("replace"));
    json!({"spec": {"template": template}})
}

fn make(work: &Work, owner: &Owner, data: Value, revision: i64) -> Result<Arc<Object>, Failure> {
    let resource = work.shared.catalogue().storage(REVISIONS);
    let namespace = object::namespace(owner.value);
    let mut collisions = 0;
    loop {
        let hash = template_hash(&data, &json!(collisions));
        let mut labels = owner.value["spec"]["template"]["metadata"]["labels"].clone();
        let label = if owner.kind == "DaemonSet" { HASH } else { "controller.kubernetes.io/hash" };
        object::map_mut(&mut labels).insert(label.into(), json!(hash));
        let value = json!({
            "metadata": {
                "name": format!("{}-{hash}", object::name(owner.value)),
                "namespace": namespace,
                "labels": labels,
                "ownerReferences": [owner.reference()],
            },
            "data": data,
            "revision": revision,
        });
        let made = create::add_unasked(&work.shared, &resource, namespace, value, &controller(""));
        match made {
            // Another object has the name.
            Err(failure) if failure.reason == "AlreadyExists" && collisions < 10 => collisions += 1,
            made => return made,
        }
    }
}
