//! Claims for volumes: bound to a volume that is there or to one made for them, kept while a pod
//! uses them; volumes are kept while a claim has them.

use std::sync::Arc;

use serde_json::{Value, json};

use super::work::is_finished;
use super::{controller, edit, report};
use crate::object;
use crate::schema::quantity::Quantity;
use crate::server::Shared;
use crate::store::{Change, Key, Object};
use crate::verbs::create;
use crate::verbs::delete::{Options, remove};

const CLAIMS: &str = "persistentvolumeclaims";
const VOLUMES: &str = "persistentvolumes";
const CLASSES: &str = "storageclasses.storage.k8s.io";
const CLAIM_PROTECTION: &str = "kubernetes.io/pvc-protection";
const VOLUME_PROTECTION: &str = "kubernetes.io/pv-protection";
const BOUND: &str = "pv.kubernetes.io/bind-completed";
const BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";

pub(crate) fn changed(shared: &Shared, storage: &str, change: &Change) {
    let value = &change.new.value;
    match storage {
        CLAIMS if change.deleted => release(shared, value),
        CLAIMS if object::is_deleting(value) => unprotect(shared, value),
        CLAIMS => bind(shared, value),
        VOLUMES if change.deleted => {}
        VOLUMES if object::is_deleting(value) => let_go(shared, value),
        VOLUMES if change.old.is_none() => bind_waiting(shared),
        "pods" => {
            let ended = change.deleted || is_finished(value);
            for claim in claims(value) {
                let key = Key::new(object::namespace(value), claim);
                let Some(claim) = shared.store.get(CLAIMS, &key) else { continue };
                if object::is_deleting(&claim.value) {
                    if ended {
                        unprotect(shared, &claim.value);
                    }
                } else if !ended && !is_bound(&claim.value) {
                    bind(shared, &claim.value);
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

fn is_bound(claim: &Value) -> bool {
    object::text(claim, &["status", "phase"]) == "Bound"
}

/// A new volume may be what a claim waits for.
fn bind_waiting(shared: &Shared) {
    for claim in shared.store.list(CLAIMS, None).1 {
        if !is_bound(&claim.value) && !object::is_deleting(&claim.value) {
            bind(shared, &claim.value);
        }
    }
}

fn bind(shared: &Shared, claim: &Value) {
    if !shared.bind_volumes || is_bound(claim) {
        return;
    }
    let wanted = object::text(claim, &["spec", "volumeName"]);
    let named = |name: &str| shared.store.get(VOLUMES, &Key::new("", name));
    let volume = if wanted.is_empty() {
        match best(shared, claim) {
            Some(volume) => volume,
            None if waits(shared, claim) => return,
            None => {
                let name = format!("pvc-{}", object::uid(claim));
                create::internal(shared, VOLUMES, volume_for(claim, &name));
                let Some(volume) = named(&name) else { return };
                volume
            }
        }
    } else {
        match named(wanted) {
            Some(volume) if is_free_for(&volume.value, claim) => volume,
            _ => return,
        }
    };
    tie(shared, claim, &volume);
}

/// Ties a claim and a volume to each other.
fn tie(shared: &Shared, claim: &Value, volume: &Object) {
    let key = Key::of(claim);
    let place = Key::of(&volume.value);
    let name = object::name(&volume.value);
    let reserved = !volume.value["spec"]["claimRef"].is_null();
    edit(shared, VOLUMES, &place, &controller(""), |volume| {
        volume["spec"]["claimRef"] = reference(claim);
        if !reserved {
            note(volume, BY_CONTROLLER);
        }
    });
    edit(shared, VOLUMES, &place, &controller("status"), |volume| {
        volume["status"]["phase"] = json!("Bound");
    });
    let chosen = object::text(claim, &["spec", "volumeName"]).is_empty();
    edit(shared, CLAIMS, &key, &controller(""), |claim| {
        claim["spec"]["volumeName"] = json!(name);
        note(claim, BOUND);
        if chosen {
            note(claim, BY_CONTROLLER);
        }
    });
    let capacity = &volume.value["spec"]["capacity"];
    let modes = &volume.value["spec"]["accessModes"];
    edit(shared, CLAIMS, &key, &controller("status"), |claim| {
        claim["status"] = json!({"phase": "Bound", "accessModes": modes, "capacity": capacity});
    });
}

fn note(value: &mut Value, annotation: &str) {
    object::child_mut(object::metadata_mut(value), "annotations")
        .insert(annotation.into(), json!("yes"));
}

fn reference(claim: &Value) -> Value {
    json!({
        "kind": "PersistentVolumeClaim",
        "apiVersion": "v1",
        "namespace": object::namespace(claim),
        "name": object::name(claim),
        "uid": object::uid(claim),
        "resourceVersion": object::meta(claim, "resourceVersion"),
    })
}

/// Whether no volume is to be made for a claim now: never without a class, and for some classes
/// only when a pod has come.
fn waits(shared: &Shared, claim: &Value) -> bool {
    if claim["spec"]["storageClassName"] == "" {
        return true;
    }
    let class = object::text(claim, &["spec", "storageClassName"]);
    let Some(class) = shared.store.get(CLASSES, &Key::new("", class)) else { return false };
    if class.value["provisioner"] == "kubernetes.io/no-provisioner" {
        return true;
    }
    if class.value["volumeBindingMode"] != "WaitForFirstConsumer" {
        return false;
    }
    let pods = shared.store.list("pods", Some(object::namespace(claim))).1;
    let name = object::name(claim);
    !pods.iter().any(|pod| claims(&pod.value).any(|one| one == name))
}

/// Whether a volume is reserved for nobody else.
fn is_free_for(volume: &Value, claim: &Value) -> bool {
    let owner = &volume["spec"]["claimRef"];
    let own = owner["name"] == object::name(claim)
        && owner["namespace"] == object::namespace(claim)
        && (owner["uid"].is_null() || owner["uid"] == object::uid(claim));
    (owner.is_null() || own) && !object::is_deleting(volume)
}

/// The smallest volume that is free and has what a claim asks for.
fn best(shared: &Shared, claim: &Value) -> Option<Arc<Object>> {
    let mut found: Option<(Arc<Object>, Quantity)> = None;
    for volume in shared.store.list(VOLUMES, None).1 {
        let Some(size) = fits(&volume.value, claim) else { continue };
        if found.as_ref().is_none_or(|(_, least)| size < *least) {
            found = Some((volume, size));
        }
    }
    found.map(|(volume, _)| volume)
}

/// The size of a volume, if it has what a claim asks for.
fn fits(volume: &Value, claim: &Value) -> Option<Quantity> {
    let (has, wants) = (&volume["spec"], &claim["spec"]);
    let size = |value: &Value| value["storage"].as_str().and_then(Quantity::parse);
    let offered = size(&has["capacity"])?;
    let modes = object::list(has, &["accessModes"]);
    let mode = |spec: &Value| spec["volumeMode"].as_str().unwrap_or("Filesystem").to_owned();
    let class = |spec: &Value| object::text(spec, &["storageClassName"]).to_owned();
    let labels = crate::selectors::Labels::of(&wants["selector"]);
    let fits = object::text(volume, &["status", "phase"]) == "Available"
        && is_free_for(volume, claim)
        && class(has) == class(wants)
        && mode(has) == mode(wants)
        && object::list(wants, &["accessModes"]).iter().all(|mode| modes.contains(mode))
        && labels.is_none_or(|labels| labels.matches(volume))
        && size(&wants["resources"]["requests"]).is_none_or(|wanted| wanted <= offered);
    fits.then_some(offered)
}

fn volume_for(claim: &Value, name: &str) -> Value {
    let mut spec = json!({
        "capacity": claim["spec"]["resources"]["requests"],
        "accessModes": claim["spec"]["accessModes"],
        "persistentVolumeReclaimPolicy": "Delete",
        "volumeMode": claim["spec"]["volumeMode"],
        "claimRef": reference(claim),
        "hostPath": {"path": format!("/var/lib/volumes/{name}")},
    });
    if let Some(class) = claim["spec"]["storageClassName"].as_str() {
        spec["storageClassName"] = json!(class);
    }
    json!({"metadata": {"name": name}, "spec": spec})
}

/// A volume that was made for a claim goes with it; another one is kept as it is.
fn release(shared: &Shared, claim: &Value) {
    let key = Key::new("", object::text(claim, &["spec", "volumeName"]));
    let Some(volume) = shared.store.get(VOLUMES, &key) else { return };
    if volume.value["spec"]["claimRef"]["uid"] != object::uid(claim) {
        return;
    }
    edit(shared, VOLUMES, &key, &controller("status"), |volume| {
        volume["status"]["phase"] = json!("Released");
    });
    if object::text(&volume.value, &["spec", "persistentVolumeReclaimPolicy"]) == "Delete" {
        let resource = shared.catalogue().storage(VOLUMES);
        report(VOLUMES, &key.name, remove(shared, &resource, &key, &Options::default()));
    }
}

/// Lets go of a claim that is to be deleted, unless a pod still uses it.
fn unprotect(shared: &Shared, claim: &Value) {
    let name = object::name(claim);
    let used = shared
        .store
        .list("pods", Some(object::namespace(claim)))
        .1
        .iter()
        .any(|pod| !is_finished(&pod.value) && claims(&pod.value).any(|one| one == name));
    if !used {
        drop_finalizer(shared, CLAIMS, &Key::of(claim), CLAIM_PROTECTION);
    }
}

/// Lets go of a volume that is to be deleted, unless a claim has it.
fn let_go(shared: &Shared, volume: &Value) {
    if object::text(volume, &["status", "phase"]) != "Bound" {
        drop_finalizer(shared, VOLUMES, &Key::of(volume), VOLUME_PROTECTION);
    }
}

fn drop_finalizer(shared: &Shared, storage: &str, key: &Key, finalizer: &str) {
    edit(shared, storage, key, &controller(""), |value| {
        let metadata = object::metadata_mut(value);
        if let Some(Value::Array(list)) = metadata.get_mut("finalizers") {
            list.retain(|one| one != finalizer);
            if list.is_empty() {
                metadata.remove("finalizers");
            }
        }
    });
}
