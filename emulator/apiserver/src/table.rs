//! Tables, as `kubectl get` shows them: the columns of each kind, and a row per object.

pub(crate) mod age;
mod cells;
mod network;
mod pods;
mod workloads;

use serde_json::{Value, json};

use crate::custom;
use crate::object;
use crate::resources::Resource;

/// A column: name, type, format, and 1 where only `-o wide` shows it.
type Column = (&'static str, &'static str, &'static str, u8);

const NAME: Column = ("Name", "string", "name", 0);
const AGE: Column = ("Age", "string", "", 0);

const fn text(name: &'static str) -> Column {
    (name, "string", "", 0)
}

const fn wide(name: &'static str) -> Column {
    (name, "string", "", 1)
}

/// The columns of a kind.
fn columns(resource: &Resource) -> Vec<Column> {
    const INTEGER: &str = "integer";
    if resource.custom.is_some() {
        return vec![NAME];
    }
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Pod") => vec![
            NAME,
            text("Ready"),
            text("Status"),
            text("Restarts"),
            AGE,
            wide("IP"),
            wide("Node"),
            wide("Nominated Node"),
            wide("Readiness Gates"),
        ],
        ("", "Secret") => vec![NAME, text("Type"), text("Data"), AGE],
        ("", "ConfigMap") => vec![NAME, text("Data"), AGE],
        ("", "Namespace") => vec![NAME, text("Status"), AGE],
        ("", "ServiceAccount") => vec![NAME, AGE],
        ("", "Node") => vec![
            NAME,
            text("Status"),
            text("Roles"),
            AGE,
            text("Version"),
            wide("Internal-IP"),
            wide("External-IP"),
            wide("OS-Image"),
            wide("Kernel-Version"),
            wide("Container-Runtime"),
        ],
        ("", "PersistentVolumeClaim") => vec![
            NAME,
            text("Status"),
            text("Volume"),
            text("Capacity"),
            text("Access Modes"),
            text("StorageClass"),
            text("VolumeAttributesClass"),
            AGE,
            wide("VolumeMode"),
        ],
        ("", "PersistentVolume") => vec![
            NAME,
            text("Capacity"),
            text("Access Modes"),
            text("Reclaim Policy"),
            text("Status"),
            text("Claim"),
            text("StorageClass"),
            text("VolumeAttributesClass"),
            text("Reason"),
            AGE,
            wide("VolumeMode"),
        ],
        (_, "Event") => vec![
            text("Last Seen"),
            text("Type"),
            text("Reason"),
            text("Object"),
            wide("Subobject"),
            wide("Source"),
            text("Message"),
            wide("First Seen"),
            wide("Count"),
            ("Name", "string", "name", 1),
        ],
        ("", "Service") => vec![
            NAME,
            text("Type"),
            text("Cluster-IP"),
            text("External-IP"),
            text("Port(s)"),
            AGE,
            wide("Selector"),
        ],
        ("", "Endpoints") => vec![NAME, text("Endpoints"), AGE],
        ("batch", "Job") => vec![
            NAME,
            text("Status"),
            text("Completions"),
            text("Duration"),
            AGE,
            wide("Containers"),
            wide("Images"),
            wide("Selector"),
        ],
        ("batch", "CronJob") => vec![
            NAME,
            text("Schedule"),
            text("Timezone"),
            ("Suspend", "boolean", "", 0),
            ("Active", INTEGER, "", 0),
            text("Last Schedule"),
            AGE,
            wide("Containers"),
            wide("Images"),
            wide("Selector"),
        ],
        ("apps", "Deployment") => vec![
            NAME,
            text("Ready"),
            text("Up-to-date"),
            text("Available"),
            AGE,
            wide("Containers"),
            wide("Images"),
            wide("Selector"),
        ],
        ("apps", "StatefulSet") => {
            vec![NAME, text("Ready"), AGE, wide("Containers"), wide("Images")]
        }
        ("apps", "DaemonSet") => vec![
            NAME,
            ("Desired", INTEGER, "", 0),
            ("Current", INTEGER, "", 0),
            ("Ready", INTEGER, "", 0),
            ("Up-to-date", INTEGER, "", 0),
            ("Available", INTEGER, "", 0),
            text("Node Selector"),
            AGE,
            wide("Containers"),
            wide("Images"),
            wide("Selector"),
        ],
        ("apps", "ControllerRevision") => vec![NAME, text("Controller"), text("Revision"), AGE],
        ("", "PodTemplate") => vec![NAME, text("Containers"), text("Images"), text("Pod Labels")],
        ("autoscaling", "HorizontalPodAutoscaler") => vec![
            NAME,
            text("Reference"),
            text("Targets"),
            text("MinPods"),
            text("MaxPods"),
            text("Replicas"),
            AGE,
        ],
        ("policy", "PodDisruptionBudget") => vec![
            NAME,
            text("Min Available"),
            text("Max Unavailable"),
            ("Allowed Disruptions", INTEGER, "", 0),
            AGE,
        ],
        ("", "ResourceQuota") => vec![NAME, text("Request"), text("Limit"), AGE],
        ("", "LimitRange") => vec![NAME, ("Created At", "date", "", 0)],
        ("scheduling.k8s.io", "PriorityClass") => vec![
            NAME,
            ("Value", INTEGER, "", 0),
            ("Global-Default", "boolean", "", 0),
            AGE,
            text("PreemptionPolicy"),
        ],
        ("discovery.k8s.io", "EndpointSlice") => {
            vec![NAME, text("AddressType"), text("Ports"), text("Endpoints"), AGE]
        }
        ("networking.k8s.io", "Ingress") => {
            vec![NAME, text("Class"), text("Hosts"), text("Address"), text("Ports"), AGE]
        }
        ("networking.k8s.io", "IngressClass") => {
            vec![NAME, text("Controller"), text("Parameters"), AGE]
        }
        ("networking.k8s.io", "NetworkPolicy") => vec![NAME, text("Pod-Selector"), AGE],
        ("apps", "ReplicaSet") | ("", "ReplicationController") => vec![
            NAME,
            ("Desired", INTEGER, "", 0),
            ("Current", INTEGER, "", 0),
            ("Ready", INTEGER, "", 0),
            AGE,
            wide("Containers"),
            wide("Images"),
            wide("Selector"),
        ],
        ("coordination.k8s.io", _) => vec![NAME, text("Holder"), AGE],
        ("rbac.authorization.k8s.io", "Role" | "ClusterRole") => {
            vec![NAME, ("Created At", "date", "", 0)]
        }
        ("rbac.authorization.k8s.io", _) => {
            vec![NAME, text("Role"), AGE, wide("Users"), wide("Groups"), wide("ServiceAccounts")]
        }
        ("storage.k8s.io", "StorageClass") => vec![
            NAME,
            text("Provisioner"),
            text("ReclaimPolicy"),
            text("VolumeBindingMode"),
            ("AllowVolumeExpansion", "boolean", "", 0),
            AGE,
        ],
        ("apiextensions.k8s.io", _) => vec![NAME, ("Created At", "date", "", 0)],
        ("admissionregistration.k8s.io", _) => vec![NAME, ("Webhooks", INTEGER, "", 0), AGE],
        _ => vec![NAME, AGE],
    }
}

/// The definitions of the columns.
pub(crate) fn definitions(resource: &Resource) -> Value {
    let own = match &resource.custom {
        Some(custom) => custom::columns(custom).collect(),
        None => Vec::new(),
    };
    columns(resource)
        .into_iter()
        .map(|(name, kind, format, priority)| {
            json!({
                "name": name,
                "type": kind,
                "format": format,
                "description": format!("{name} of the {}.", resource.singular),
                "priority": priority,
            })
        })
        .chain(own)
        .collect()
}

/// What a row says beside its cells: that a pod has ended.
pub(crate) fn conditions(resource: &Resource, value: &Value) -> Option<Value> {
    if !resource.is_pod() {
        return None;
    }
    let (reason, message) = match object::text(value, &["status", "phase"]) {
        "Succeeded" => ("Succeeded", "The pod has completed successfully."),
        "Failed" => ("Failed", "The pod failed."),
        _ => return None,
    };
    Some(json!([{"type": "Completed", "status": "True", "reason": reason, "message": message}]))
}

/// The cells of a row.
pub(crate) fn cells(resource: &Resource, value: &Value) -> Value {
    let name = json!(object::name(value));
    if let Some(custom) = &resource.custom {
        return std::iter::once(name).chain(custom::cells(custom, value)).collect();
    }
    let age = json!(age::since(object::meta(value, "creationTimestamp")));
    let cells = match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Pod") => pods::cells(value, age),
        ("", "Secret") => {
            let count = cells::count(&value["data"]);
            vec![name, value["type"].clone(), json!(count), age]
        }
        ("", "ConfigMap") => {
            let count = cells::count(&value["data"]) + cells::count(&value["binaryData"]);
            vec![name, json!(count), age]
        }
        ("", "Namespace") => vec![name, value["status"]["phase"].clone(), age],
        ("", "Node") => cells::node(value, age),
        ("", "PersistentVolumeClaim") => cells::claim(value, age),
        ("", "PersistentVolume") => cells::volume(value, age),
        (_, "Event") => cells::event(value),
        ("", "Service") => network::service(value, age),
        ("", "Endpoints") => vec![name, json!(network::endpoints(value)), age],
        ("discovery.k8s.io", "EndpointSlice") => network::slice(value, age),
        ("networking.k8s.io", "Ingress") => network::ingress(value, age),
        ("networking.k8s.io", "IngressClass") => network::ingress_class(value, age),
        ("networking.k8s.io", "NetworkPolicy") => {
            vec![name, json!(cells::selector(&value["spec"]["podSelector"])), age]
        }
        ("batch", "Job") => workloads::job(value, age),
        ("batch", "CronJob") => workloads::cron_job(value, age),
        ("apps", "Deployment") => workloads::deployment(value, age),
        ("apps", "StatefulSet") => workloads::stateful_set(value, age),
        ("apps", "DaemonSet") => workloads::daemon_set(value, age),
        ("apps", "ReplicaSet") | ("", "ReplicationController") => workloads::replicas(value, age),
        ("apps", "ControllerRevision") => workloads::revision(value, age),
        ("", "PodTemplate") => workloads::pod_template(value),
        ("autoscaling", "HorizontalPodAutoscaler") => workloads::autoscaler(value, age),
        ("policy", "PodDisruptionBudget") => workloads::disruption_budget(value, age),
        ("", "ResourceQuota") => cells::quota(value, age),
        ("", "LimitRange") => vec![name, json!(object::meta(value, "creationTimestamp"))],
        ("scheduling.k8s.io", "PriorityClass") => {
            let global = json!(value["globalDefault"] == true);
            vec![name, value["value"].clone(), global, age, value["preemptionPolicy"].clone()]
        }
        ("coordination.k8s.io", _) => {
            vec![name, json!(object::text(value, &["spec", "holderIdentity"])), age]
        }
        ("rbac.authorization.k8s.io", "Role" | "ClusterRole") => {
            vec![name, json!(object::meta(value, "creationTimestamp"))]
        }
        ("rbac.authorization.k8s.io", _) => cells::binding(value, age),
        ("storage.k8s.io", "StorageClass") => cells::storage_class(value, age),
        ("apiextensions.k8s.io", _) => {
            vec![name, json!(object::meta(value, "creationTimestamp"))]
        }
        ("admissionregistration.k8s.io", _) => {
            vec![name, json!(object::list(value, &["webhooks"]).len()), age]
        }
        _ => vec![name, age],
    };
    Value::Array(cells)
}
