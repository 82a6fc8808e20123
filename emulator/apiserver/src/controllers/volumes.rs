//! Claims for volumes: bound at once to a volume made for them, kept while a pod uses them.

use serde_json::{Value, json};

use super::{controller, edit, report};
use crate::object;
use crate::server::Shared;
use crate::store::{Change, Key};
use crate::verbs::create;
use crate::verbs::delete::{Options, remove};

const CLAIMS: &str = "persistentvolumeclaims";
const VOLUMES: &str = "persistentvolumes";
const PROTECTION: &str = "kubernetes.io/pvc-protection";

pub(crate) fn changed(shared: &Shared, storage: &str, change: &Change) {
    let value = &change.new.value;
    match storage {
        CLAIMS if change.deleted => release(shared, value),
        CLAIMS if object::is_deleting(value) => unprotect(shared, value),
        CLAIMS => bind(shared, value),
        "pods" => {
            for claim in claims(value) {
                let key = Key::new(object::namespace(value), claim);
                if let Some(claim) = shared.store.get(CLAIMS, &key)
                    && object::is_deleting(&claim.value)
                {
                    unprotect(shared, &claim.value);
                }
            }
        }
        _ => {}
    }
}

/// The claims that a pod uses.
fn claims(pod: &Value) -> impl Iterator<Item = &str> {
    object::list(pod, &["spec", "volumes"])
        .iter()
        .filter_map(|volume| volume["persistentVolumeClaim"]["claimName"].as_str())
}

fn bind(shared: &Shared, claim: &Value) {
    let bound = object::text(claim, &["status", "phase"]) == "Bound";
    if !shared.bind_volumes || bound {
        return;
    }
    let key = Key::of(claim);
    let wanted = object::text(claim, &["spec", "volumeName"]);
    let volume =
        if wanted.is_empty() { format!("pvc-{}", object::uid(claim)) } else { wanted.to_owned() };
    if shared.store.get(VOLUMES, &Key::new("", &*volume)).is_none() {
        if !wanted.is_empty() {
            return;
        }
        create::internal(shared, VOLUMES, volume_for(claim, &volume));
    }
    let capacity = claim["spec"]["resources"]["requests"].clone();
    let modes = claim["spec"]["accessModes"].clone();
    edit(shared, CLAIMS, &key, &controller(""), |claim| {
        claim["spec"]["volumeName"] = json!(volume);
    });
    edit(shared, CLAIMS, &key, &controller("status"), |claim| {
        claim["status"] = json!({"phase": "Bound", "accessModes": modes, "capacity": capacity});
    });
    edit(shared, VOLUMES, &Key::new("", &*volume), &controller("status"), |volume| {
        volume["status"]["phase"] = json!("Bound");
    });
}

fn volume_for(claim: &Value, name: &str) -> Value {
    let mut spec = json!({
        "capacity": claim["spec"]["resources"]["requests"],
        "accessModes": claim["spec"]["accessModes"],
        "persistentVolumeReclaimPolicy": "Delete",
        "volumeMode": claim["spec"]["volumeMode"],
        "claimRef": {
            "kind": "PersistentVolumeClaim",
            "apiVersion": "v1",
            "namespace": object::namespace(claim),
            "name": object::name(claim),
            "uid": object::uid(claim),
        },
        "hostPath": {"path": format!("/var/lib/volumes/{name}")},
    });
    if let Some(class) = claim["spec"]["storageClassName"].as_str() {
        spec["storageClassName"] = json!(class);
    }
    json!({"metadata": {"name": name}, "spec": spec})
}

/// A volume that was made for a claim goes with it.
fn release(shared: &Shared, claim: &Value) {
    let key = Key::new("", object::text(claim, &["spec", "volumeName"]));
    let Some(volume) = shared.store.get(VOLUMES, &key) else { return };
    if object::text(&volume.value, &["spec", "persistentVolumeReclaimPolicy"]) == "Delete" {
        let resource = shared.catalogue().storage(VOLUMES);
        report(VOLUMES, &key.name, remove(shared, &resource, &key, &Options::default()));
    } else {
        edit(shared, VOLUMES, &key, &controller("status"), |volume| {
            volume["status"]["phase"] = json!("Released");
        });
    }
}

/// Lets go of a claim that is to be deleted, unless a pod still uses it.
fn unprotect(shared: &Shared, claim: &Value) {
    let name = object::name(claim);
    let used = shared.store.list("pods", Some(object::namespace(claim))).1.iter().any(|pod| {
        let phase = object::text(&pod.value, &["status", "phase"]);
        !matches!(phase, "Succeeded" | "Failed") && claims(&pod.value).any(|one| one == name)
    });
    if used {
        return;
    }
    edit(shared, CLAIMS, &Key::of(claim), &controller(""), |claim| {
        let metadata = object::metadata_mut(claim);
        if let Some(Value::Array(list)) = metadata.get_mut("finalizers") {
            list.retain(|one| one != PROTECTION);
            if list.is_empty() {
                metadata.remove("finalizers");
            }
        }
    });
}
