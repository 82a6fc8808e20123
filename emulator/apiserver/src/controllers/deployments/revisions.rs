//! The revisions of a deployment: which replica set is of which template, and the annotations that
//! remember it.

use serde_json::{Map, Value, json};

use crate::object;

pub(super) const HASH: &str = "pod-template-hash";
pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
pub(super) const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
pub(super) const MOST: &str = "deployment.kubernetes.io/max-replicas";

/// What a replica set does not take over from its deployment.
const SKIPPED: &[&str] = &[
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    HISTORY,
    DESIRED,
    MOST,
    "deprecated.deployment.rollback.to",
];

/// How many characters of past revisions a replica set remembers.
const REMEMBERED: usize = 2000;

/// The revision in an object's annotation.
pub(super) fn revision(object: &Value) -> i64 {
    let text = object["metadata"]["annotations"][REVISION].as_str();
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// A number in an annotation.
pub(super) fn noted(object: &Value, annotation: &str) -> Option<i64> {
    object["metadata"]["annotations"][annotation].as_str()?.parse().ok()
}

/// Whether a replica set has the template of its deployment.
pub(super) fn same_template(deployment: &Value, set: &Value) -> bool {
    let mut template = set["spec"]["template"].clone();
    let metadata = object::metadata_mut(&mut template);
    if let Some(Value::Object(labels)) = metadata.get_mut("labels") {
        labels.remove(HASH);
        if labels.is_empty() {
            metadata.remove("labels");
        }
    }
    let mut wanted = deployment["spec"]["template"].clone();
    let metadata = object::metadata_mut(&mut wanted);
    if let Some(Value::Object(labels)) = metadata.get_mut("labels") {
        labels.remove(HASH);
        if labels.is_empty() {
            metadata.remove("labels");
        }
    }
    template == wanted
}

/// A short name for a template: the same for the same one, another one after a collision.
pub(crate) fn hash(template: &Value, collisions: &Value) -> String {
    // FNV-1a; what matters is only that it does not change from one version of this server to
    // the next.
    let mut hash = 0x811c_9dc5_u32;
    let mut text = canonical(template).to_string();
    text.push_str(&collisions.as_i64().map(|count| count.to_string()).unwrap_or_default());
    for byte in text.bytes() {
        hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    hash.to_string()
        .bytes()
        .map(|byte| char::from(LETTERS[usize::from(byte) % LETTERS.len()]))
        .collect()
}

/// A value with the keys of its maps in order.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(&String, &Value)> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            let sorted: Map<String, Value> =
                entries.into_iter().map(|(key, value)| (key.clone(), canonical(value))).collect();
            Value::Object(sorted)
        }
        Value::Array(items) => items.iter().map(canonical).collect(),
        other => other.clone(),
    }
}

/// Brings the annotations of a replica set up to date with its deployment.
pub(super) fn annotate(set: &mut Value, deployment: &Value, new_revision: i64) {
    let old = revision(set);
    let metadata = object::metadata_mut(set);
    let known = metadata.contains_key("annotations");
    let annotations = object::child_mut(metadata, "annotations");
    for (key, value) in deployment["metadata"]["annotations"].as_object().into_iter().flatten() {
        if !SKIPPED.contains(&key.as_str()) {
            annotations.insert(key.clone(), value.clone());
        }
    }
    if old < new_revision {
        annotations.insert(REVISION.into(), json!(new_revision.to_string()));
        if old > 0 {
            let history = annotations.get(HISTORY).and_then(Value::as_str).unwrap_or_default();
            let mut history =
                if history.is_empty() { old.to_string() } else { format!("{history},{old}") };
            while history.len() > REMEMBERED
                && let Some((_, rest)) = history.split_once(',')
            {
                history = rest.to_owned();
            }
            annotations.insert(HISTORY.into(), json!(history));
        }
    }
    if annotations.is_empty() && !known {
        metadata.remove("annotations");
    }
}

/// Notes for which size of the deployment a replica set was sized.
pub(super) fn note_size(set: &mut Value, replicas: i64, most: i64) {
    let annotations = object::child_mut(object::metadata_mut(set), "annotations");
    annotations.insert(DESIRED.into(), json!(replicas.to_string()));
    annotations.insert(MOST.into(), json!(most.to_string()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_depends_on_the_content_and_not_on_its_order() {
        let one = json!({"spec": {"a": 1, "b": [2]}});
        let other = json!({"spec": {"b": [2], "a": 1}});
        assert_eq!(hash(&one, &Value::Null), hash(&other, &Value::Null));
        assert_ne!(hash(&one, &Value::Null), hash(&one, &json!(1)));
        assert_ne!(
            hash(&one, &Value::Null),
            hash(&json!({"spec": {"a": 2, "b": [2]}}), &json!(null))
        );
    }

    #[test]
    fn a_template_that_comes_back_remembers_its_former_revisions() {
        let deployment = json!({"metadata": {"annotations": {
            "kubernetes.io/change-cause": "again",
            REVISION: "3",
        }}});
        let mut set = json!({"metadata": {"annotations": {REVISION: "1"}}});
        annotate(&mut set, &deployment, 4);
        let annotations = &set["metadata"]["annotations"];
        assert_eq!(annotations[REVISION], "4");
        assert_eq!(annotations[HISTORY], "1");
        assert_eq!(annotations["kubernetes.io/change-cause"], "again");
        annotate(&mut set, &deployment, 6);
        assert_eq!(set["metadata"]["annotations"][HISTORY], "1,4");
    }
}
