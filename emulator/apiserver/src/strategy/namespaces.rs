//! Namespaces: the label with their name, and the finalizer that holds them until they are empty.

use serde_json::{Value, json};

use crate::object;

pub(crate) fn defaults(namespace: &mut Value) {
    let name = object::name(namespace).to_owned();
    if !name.is_empty() {
        let labels = object::child_mut(object::metadata_mut(namespace), "labels");
        super::default(labels, "kubernetes.io/metadata.name", json!(name));
    }
}

pub(crate) fn prepare(namespace: &mut Value) {
    namespace["status"] = json!({"phase": "Active"});
    let spec = object::child_mut(object::map_mut(namespace), "spec");
    let mut finalizers = match spec.remove("finalizers") {
        Some(Value::Array(list)) => list,
        _ => Vec::new(),
    };
    if !finalizers.iter().any(|one| one == "kubernetes") {
        finalizers.push(json!("kubernetes"));
    }
    spec.insert("finalizers".into(), Value::Array(finalizers));
}
