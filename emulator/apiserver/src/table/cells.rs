//! The cells of the kinds whose rows say more than name and age.

use serde_json::{Value, json};

use super::age;
use crate::object;

pub(crate) const NONE: &str = "<none>";

pub(crate) fn name(value: &Value) -> Value {
    json!(object::name(value))
}

/// The number of entries of a map.
pub(crate) fn count(map: &Value) -> usize {
    map.as_object().map_or(0, serde_json::Map::len)
}

pub(crate) fn or(text: &str, otherwise: &str) -> String {
    if text.is_empty() { otherwise.to_owned() } else { text.to_owned() }
}

pub(crate) fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or_default()
}

pub(crate) fn node(node: &Value, age: Value) -> Vec<Value> {
    let status = &node["status"];
    let ready = object::list(status, &["conditions"]).iter().find(|one| one["type"] == "Ready");
    let mut state = match ready.map(|one| &one["status"]) {
        Some(ready) if ready == "True" => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if node["spec"]["unschedulable"] == true {
        state.push_str(",SchedulingDisabled");
    }
    const ROLE: &str = "node-role.kubernetes.io/";
    let labels = node["metadata"]["labels"].as_object();
    let roles: Vec<&str> =
        labels.into_iter().flatten().filter_map(|(key, _)| key.strip_prefix(ROLE)).collect();
    let address = |kind: &str| {
        let found = object::list(status, &["addresses"]).iter().find(|one| one["type"] == kind);
        json!(found.map_or(NONE, |one| object::text(one, &["address"])))
    };
    let info = |key: &str| json!(or(object::text(status, &["nodeInfo", key]), "<unknown>"));
    vec![
        name(node),
        json!(state),
        json!(or(&roles.join(","), NONE)),
        age,
        json!(object::text(status, &["nodeInfo", "kubeletVersion"])),
        address("InternalIP"),
        address("ExternalIP"),
        info("osImage"),
        info("kernelVersion"),
        info("containerRuntimeVersion"),
    ]
}

fn modes(value: &Value) -> String {
    let short = |mode: &Value| match mode.as_str() {
        Some("ReadWriteOnce") => "RWO",
        Some("ReadOnlyMany") => "ROX",
        Some("ReadWriteMany") => "RWX",
        Some("ReadWriteOncePod") => "RWOP",
        _ => "",
    };
    let list: Vec<&str> = value.as_array().into_iter().flatten().map(short).collect();
    list.join(",")
}

pub(crate) fn claim(claim: &Value, age: Value) -> Vec<Value> {
    let spec = &claim["spec"];
    let status = &claim["status"];
    let state =
        if object::is_deleting(claim) { "Terminating" } else { object::text(status, &["phase"]) };
    let volume = object::text(spec, &["volumeName"]);
    let (capacity, access) = if volume.is_empty() {
        (String::new(), String::new())
    } else {
        (object::text(status, &["capacity", "storage"]).to_owned(), modes(&status["accessModes"]))
    };
    vec![
        name(claim),
        json!(state),
        json!(volume),
        json!(capacity),
        json!(access),
        json!(object::text(spec, &["storageClassName"])),
        json!(or(object::text(spec, &["volumeAttributesClassName"]), "<unset>")),
        age,
        json!(or(object::text(spec, &["volumeMode"]), "<unset>")),
    ]
}

pub(crate) fn volume(volume: &Value, age: Value) -> Vec<Value> {
    let spec = &volume["spec"];
    let claim = &spec["claimRef"];
    let state = if object::is_deleting(volume) {
        "Terminating"
    } else {
        object::text(volume, &["status", "phase"])
    };
    let claimed = if claim.is_object() {
        format!("{}/{}", object::text(claim, &["namespace"]), object::text(claim, &["name"]))
    } else {
        String::new()
    };
    vec![
        name(volume),
        json!(object::text(spec, &["capacity", "storage"])),
        json!(modes(&spec["accessModes"])),
        json!(object::text(spec, &["persistentVolumeReclaimPolicy"])),
        json!(state),
        json!(claimed),
        json!(object::text(spec, &["storageClassName"])),
        json!(or(object::text(spec, &["volumeAttributesClassName"]), "<unset>")),
        json!(object::text(volume, &["status", "reason"])),
        age,
        json!(or(object::text(spec, &["volumeMode"]), "<unset>")),
    ]
}

pub(crate) fn event(event: &Value) -> Vec<Value> {
    let about = &event["involvedObject"];
    let time = |key: &str| {
        let own = object::text(event, &[key]);
        let own = if own.is_empty() { object::text(event, &["eventTime"]) } else { own };
        age::since(own)
    };
    let component = object::text(event, &["source", "component"]);
    let component = or(component, object::text(event, &["reportingComponent"]));
    let host = object::text(event, &["source", "host"]);
    let host = or(host, object::text(event, &["reportingInstance"]));
    let source = if host.is_empty() { component } else { format!("{component}, {host}") };
    let count = event["series"]["count"].as_i64().or(event["count"].as_i64()).unwrap_or(1);
    vec![
        json!(time("lastTimestamp")),
        event["type"].clone(),
        event["reason"].clone(),
        json!(format!(
            "{}/{}",
            object::text(about, &["kind"]).to_lowercase(),
            object::text(about, &["name"])
        )),
        json!(object::text(about, &["fieldPath"])),
        json!(source),
        json!(object::text(event, &["message"]).trim()),
        json!(time("firstTimestamp")),
        json!(count),
        name(event),
    ]
}

/// Labels as `a=b,c=d`.
pub(crate) fn labels(map: &Value) -> String {
    let pairs: Vec<String> = map
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    or(&pairs.join(","), NONE)
}

/// A label selector in one line: `a=b,c in (d,e),!f`.
pub(crate) fn selector(selector: &Value) -> String {
    let mut parts: Vec<(&str, String)> = Vec::new();
    for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
        parts.push((key, format!("{key}={}", value.as_str().unwrap_or_default())));
    }
    for one in object::list(selector, &["matchExpressions"]) {
        let key = object::text(one, &["key"]);
        let mut values: Vec<&str> =
            object::list(one, &["values"]).iter().filter_map(Value::as_str).collect();
        values.sort_unstable();
        let values = values.join(",");
        let part = match object::text(one, &["operator"]) {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_owned(),
        };
        parts.push((key, part));
    }
    parts.sort();
    let parts: Vec<String> = parts.into_iter().map(|(_, part)| part).collect();
    or(&parts.join(","), NONE)
}

pub(crate) fn quota(quota: &Value, age: Value) -> Vec<Value> {
    let status = &quota["status"];
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    for (resource, hard) in status["hard"].as_object().into_iter().flatten() {
        let used = status["used"][resource].as_str().unwrap_or("0");
        let shown = format!("{resource}: {used}/{}", hard.as_str().unwrap_or_default());
        let column = if resource.starts_with("limits") { &mut limits } else { &mut requests };
        column.push(shown);
    }
    vec![name(quota), json!(requests.join(", ")), json!(limits.join(", ")), age]
}

pub(crate) fn binding(binding: &Value, age: Value) -> Vec<Value> {
    let role = &binding["roleRef"];
    let of = |kind: &str| {
        let names: Vec<String> = object::list(binding, &["subjects"])
            .iter()
            .filter(|one| one["kind"] == kind)
            .map(|one| {
                let name = object::text(one, &["name"]);
                match object::text(one, &["namespace"]) {
                    "" => name.to_owned(),
                    namespace => format!("{namespace}/{name}"),
                }
            })
            .collect();
        json!(names.join(", "))
    };
    vec![
        name(binding),
        json!(format!("{}/{}", object::text(role, &["kind"]), object::text(role, &["name"]))),
        age,
        of("User"),
        of("Group"),
        of("ServiceAccount"),
    ]
}

pub(crate) fn storage_class(class: &Value, age: Value) -> Vec<Value> {
    const DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";
    let mut shown = object::name(class).to_owned();
    if class["metadata"]["annotations"][DEFAULT] == "true" {
        shown.push_str(" (default)");
    }
    vec![
        json!(shown),
        class["provisioner"].clone(),
        class["reclaimPolicy"].clone(),
        class["volumeBindingMode"].clone(),
        json!(class["allowVolumeExpansion"] == true),
        age,
    ]
}
