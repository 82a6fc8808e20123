//! Pods: defaults, what admission adds, and what may change.

use serde_json::{Map, Value, json};

use super::{default, internal, podspec};
use crate::failure::{Failure, FieldError};
use crate::object;
use crate::resources::Resource;
use crate::schema::quantity::Quantity;
use crate::server::Shared;
use crate::store::Key;

const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

pub(crate) fn defaults(pod: &mut Value) {
    let spec = object::child_mut(object::map_mut(pod), "spec");
    podspec::defaults(spec);
    default(spec, "enableServiceLinks", json!(true));
}

/// The status of a new pod.
pub(crate) fn prepare(pod: &mut Value) {
    pod["status"] = json!({"phase": "Pending", "qosClass": quality(&pod["spec"])});
}

/// The service account and its token, tolerations, priority.
pub(crate) fn admit(shared: &Shared, resource: &Resource, pod: &mut Value) -> Result<(), Failure> {
    let namespace = object::namespace(pod).to_owned();
    let name = crate::admission::named(pod);
    priority(shared, resource, &name, &mut pod["spec"])?;
    let spec = object::child_mut(object::map_mut(pod), "spec");
    default(spec, "serviceAccountName", json!("default"));
    let account = spec["serviceAccountName"].as_str().unwrap_or_default().to_owned();
    spec.insert("serviceAccount".into(), json!(account));
    let Some(found) = shared.store.get("serviceaccounts", &Key::new(&*namespace, &*account)) else {
        let why = format!(
            "error looking up service account {namespace}/{account}: serviceaccount {account:?} not found"
        );
        return Err(Failure::forbidden(resource, &name, &why));
    };
    let found = &found.value;
    let mount = match spec.get("automountServiceAccountToken") {
        Some(Value::Bool(mount)) => *mount,
        _ => found["automountServiceAccountToken"].as_bool().unwrap_or(true),
    };
    if mount {
        add_token(spec);
    }
    if !object::list(found, &["imagePullSecrets"]).is_empty()
        && spec.get("imagePullSecrets").is_none()
    {
        spec.insert("imagePullSecrets".into(), found["imagePullSecrets"].clone());
    }
    add_tolerations(spec);
    Ok(())
}

fn priority(
    shared: &Shared,
    resource: &Resource,
    name: &str,
    spec: &mut Value,
) -> Result<(), Failure> {
    let class = object::text(spec, &["priorityClassName"]).to_owned();
    let computed = match class.as_str() {
        "" => 0,
        "system-cluster-critical" => 2_000_000_000,
        "system-node-critical" => 2_000_001_000,
        class => {
            let storage = "priorityclasses.scheduling.k8s.io";
            match shared.store.get(storage, &Key::new("", class)) {
                Some(class) => class.value["value"].as_i64().unwrap_or_default(),
                None => {
                    let why = format!("no PriorityClass with name {class} was found");
                    return Err(Failure::forbidden(resource, name, &why));
                }
            }
        }
    };
    if let Some(given) = spec["priority"].as_i64().filter(|given| *given != computed) {
        let why = format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller computed {computed} from the given PriorityClass name"
        );
        return Err(Failure::forbidden(resource, name, &why));
    }
    spec["priority"] = json!(computed);
    default(object::map_mut(spec), "preemptionPolicy", json!("PreemptLowerPriority"));
    Ok(())
}

fn add_token(spec: &mut Map<String, Value>) {
    const PREFIX: &str = "kube-api-access-";
    let existing = spec.get("volumes").and_then(Value::as_array).into_iter().flatten();
    let existing = existing
        .filter_map(|volume| volume["name"].as_str())
        .find(|name| name.starts_with(PREFIX))
        .map(str::to_owned);
    let made = existing.is_none();
    let volume = existing.unwrap_or_else(|| format!("{PREFIX}{}", object::suffix()));
    let mut used = false;
    for list in ["initContainers", "containers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let mounted = object::list(container, &["volumeMounts"])
                .iter()
                .any(|mount| mount["mountPath"] == TOKEN_PATH);
            if mounted {
                continue;
            }
            used = true;
            let mounts = object::map_mut(container).entry("volumeMounts").or_insert(json!([]));
            if let Value::Array(mounts) = mounts {
                mounts.push(json!({"name": volume, "readOnly": true, "mountPath": TOKEN_PATH}));
            }
        }
    }
    if !used || !made {
        return;
    }
    let volumes = spec.entry("volumes").or_insert(json!([]));
    if let Value::Array(volumes) = volumes {
        volumes.push(json!({
            "name": volume,
            "projected": {
                "sources": [
                    {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                    {"configMap": {
                        "name": "kube-root-ca.crt",
                        "items": [{"key": "ca.crt", "path": "ca.crt"}],
                    }},
                    {"downwardAPI": {"items": [{
                        "path": "namespace",
                        "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
                    }]}},
                ],
                "defaultMode": 0o644,
            },
        }));
    }
}

fn add_tolerations(spec: &mut Map<String, Value>) {
    let list = spec.entry("tolerations").or_insert(json!([]));
    let Value::Array(list) = list else { return };
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let covered = list.iter().any(|one| {
            let named = object::text(one, &["key"]);
            (named == key || named.is_empty())
                && matches!(object::text(one, &["effect"]), "" | "NoExecute")
        });
        if !covered {
            list.push(json!({
                "key": key,
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": 300,
            }));
        }
    }
}

/// The class of service: all limits equal the requests, some resources are named, or none.
fn quality(spec: &Value) -> &'static str {
    let mut guaranteed = true;
    let mut named = false;
    let both = ["initContainers", "containers"];
    for container in both.iter().flat_map(|list| object::list(spec, &[list])) {
        let resources = &container["resources"];
        let amount = |kind: &str, name: &str| {
            resources[kind][name].as_str().and_then(Quantity::parse).filter(|one| !one.is_zero())
        };
        for name in ["cpu", "memory"] {
            let (limit, request) = (amount("limits", name), amount("requests", name));
            named |= limit.is_some() || request.is_some();
            let equal = match (limit, request) {
                (Some(limit), Some(request)) => {
                    limit.partial_cmp(&request).is_some_and(|order| order.is_eq())
                }
                _ => false,
            };
            guaranteed &= equal;
        }
    }
    match (named, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

pub(crate) fn check(pod: &Value, errors: &mut Vec<FieldError>) {
    podspec::check(&pod["spec"], "spec", errors);
}

/// Only images, deadlines, tolerations, gates and a negative grace may change.
pub(crate) fn check_update(old: &Value, new: &Value, errors: &mut Vec<FieldError>) {
    let (old, new) = (&old["spec"], &new["spec"]);
    for list in ["containers", "initContainers"] {
        if object::list(old, &[list]).len() != object::list(new, &[list]).len() {
            let field = format!("spec.{list}");
            let why = "pod updates may not add or remove containers";
            errors.push(FieldError::forbidden(field, why));
            return;
        }
    }
    let before = old["activeDeadlineSeconds"].as_i64();
    let after = new["activeDeadlineSeconds"].as_i64();
    let mut refuse = |value: &Value, why: &str| {
        errors.push(FieldError::invalid("spec.activeDeadlineSeconds", value, why));
    };
    match (before, after) {
        (_, Some(after)) if !(0..=i64::from(i32::MAX)).contains(&after) => {
            return refuse(&json!(after), "must be between 0 and 2147483647, inclusive");
        }
        (Some(before), Some(after)) if after > before => {
            return refuse(&json!(after), "must be less than or equal to previous value");
        }
        (Some(_), None) => {
            refuse(&Value::Null, "must not update from a positive integer to nil value");
        }
        _ => {}
    }
    if !only_added(old, new) {
        let why = "existing toleration can not be modified except its tolerationSeconds";
        errors.push(FieldError::forbidden("spec.tolerations", why));
    }
    let gates = |spec| object::list(spec, &["schedulingGates"]);
    for (index, gate) in gates(new).iter().enumerate() {
        if !gates(old).contains(gate) {
            let field = format!("spec.schedulingGates[{index}]");
            let why = "only deletion is allowed, but found new scheduling gate '";
            let why = format!("{why}{}'", object::text(gate, &["name"]));
            errors.push(FieldError::forbidden(field, &why));
        }
    }
    let frozen = frozen(old, new);
    if *old != frozen {
        let change = internal::difference("PodSpec", old, &frozen);
        let why = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
        errors.push(FieldError::forbidden("spec", &format!("{why}\n{change}")));
    }
}

fn only_added(old: &Value, new: &Value) -> bool {
    let plain = |value: &Value| {
        let mut value = value.clone();
        object::map_mut(&mut value).remove("tolerationSeconds");
        value
    };
    let tolerations = |spec| object::list(spec, &["tolerations"]);
    tolerations(old)
        .iter()
        .all(|one| tolerations(new).iter().any(|other| plain(one) == plain(other)))
}

/// The new specification with what may change as it was.
fn frozen(old: &Value, new: &Value) -> Value {
    let mut frozen = new.clone();
    let put = |target: &mut Value, key: &str, source: &Value| {
        let map = object::map_mut(target);
        match &source[key] {
            Value::Null => map.remove(key),
            value => map.insert(key.to_owned(), value.clone()),
        };
    };
    for list in ["containers", "initContainers"] {
        let containers = frozen.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        for (container, before) in containers.zip(object::list(old, &[list])) {
            put(container, "image", before);
        }
    }
    for key in ["activeDeadlineSeconds", "tolerations", "schedulingGates"] {
        put(&mut frozen, key, old);
    }
    let grace = |spec: &Value| spec["terminationGracePeriodSeconds"].as_i64().unwrap_or_default();
    if grace(old) < 0 && grace(new) == 1 {
        put(&mut frozen, "terminationGracePeriodSeconds", old);
    }
    // The old name of the service account follows the new one.
    put(&mut frozen, "serviceAccount", old);
    frozen
}
