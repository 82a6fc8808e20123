//! The cells of the kinds whose rows say more than name and age.

use serde_json::{Value, json};

use super::age;
use crate::object;

const NONE: &str = "<none>";

fn name(value: &Value) -> Value {
    json!(object::name(value))
}

/// The number of entries of a map.
pub(crate) fn count(map: &Value) -> usize {
    map.as_object().map_or(0, serde_json::Map::len)
}

fn or(text: &str, otherwise: &str) -> String {
    if text.is_empty() { otherwise.to_owned() } else { text.to_owned() }
}

fn number(value: &Value) -> i64 {
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

pub(crate) fn service(service: &Value, age: Value) -> Vec<Value> {
    let spec = &service["spec"];
    let ports: Vec<String> = object::list(spec, &["ports"])
        .iter()
        .map(|port| {
            let protocol = object::text(port, &["protocol"]);
            match port["nodePort"].as_i64() {
                Some(node) if node > 0 => format!("{}:{node}/{protocol}", number(&port["port"])),
                _ => format!("{}/{protocol}", number(&port["port"])),
            }
        })
        .collect();
    vec![
        name(service),
        json!(object::text(spec, &["type"])),
        json!(or(object::text(spec, &["clusterIP"]), NONE)),
        json!(or(object::text(spec, &["externalName"]), NONE)),
        json!(or(&ports.join(","), NONE)),
        age,
        json!(labels(&spec["selector"])),
    ]
}

/// Labels as `a=b,c=d`.
fn labels(map: &Value) -> String {
    let pairs: Vec<String> = map
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    or(&pairs.join(","), NONE)
}

fn template(spec: &Value) -> [Value; 2] {
    let containers = object::list(spec, &["template", "spec", "containers"]);
    let all = |key: &str| {
        let texts: Vec<&str> = containers.iter().map(|one| object::text(one, &[key])).collect();
        json!(texts.join(","))
    };
    [all("name"), all("image")]
}

pub(crate) fn job(job: &Value, age: Value) -> Vec<Value> {
    let (spec, status) = (&job["spec"], &job["status"]);
    let done = number(&status["succeeded"]);
    let completions = match (spec["completions"].as_i64(), number(&spec["parallelism"])) {
        (Some(wanted), _) => format!("{done}/{wanted}"),
        (None, parallel) if parallel > 1 => format!("{done}/1 of {parallel}"),
        (None, _) => format!("{done}/1"),
    };
    let start = object::text(status, &["startTime"]);
    let end = object::text(status, &["completionTime"]);
    let duration = if start.is_empty() {
        String::new()
    } else if end.is_empty() {
        age::since(start)
    } else {
        age::between(start, end).unwrap_or_default()
    };
    let has = |kind: &str| {
        object::list(status, &["conditions"])
            .iter()
            .any(|one| one["type"] == kind && one["status"] == "True")
    };
    let state = if has("Complete") {
        "Complete"
    } else if has("Failed") {
        "Failed"
    } else if object::is_deleting(job) {
        "Terminating"
    } else if has("Suspended") {
        "Suspended"
    } else if has("FailureTarget") {
        "FailureTarget"
    } else if has("SuccessCriteriaMet") {
        "SuccessCriteriaMet"
    } else {
        "Running"
    };
    let [containers, images] = template(spec);
    vec![
        name(job),
        json!(state),
        json!(completions),
        json!(duration),
        age,
        containers,
        images,
        json!(labels(&spec["selector"]["matchLabels"])),
    ]
}

pub(crate) fn cron_job(cron: &Value, age: Value) -> Vec<Value> {
    let (spec, status) = (&cron["spec"], &cron["status"]);
    let last = object::text(status, &["lastScheduleTime"]);
    let last = if last.is_empty() { NONE.to_owned() } else { age::since(last) };
    let suspended = if spec["suspend"] == true { "True" } else { "False" };
    let job = &spec["jobTemplate"]["spec"];
    let [containers, images] = template(job);
    vec![
        name(cron),
        json!(object::text(spec, &["schedule"])),
        json!(or(object::text(spec, &["timeZone"]), NONE)),
        json!(suspended),
        json!(object::list(status, &["active"]).len()),
        json!(last),
        age,
        containers,
        images,
        json!(labels(&job["selector"]["matchLabels"])),
    ]
}

pub(crate) fn deployment(deployment: &Value, age: Value) -> Vec<Value> {
    let (spec, status) = (&deployment["spec"], &deployment["status"]);
    let [containers, images] = template(spec);
    vec![
        name(deployment),
        json!(format!("{}/{}", number(&status["readyReplicas"]), number(&spec["replicas"]))),
        json!(number(&status["updatedReplicas"])),
        json!(number(&status["availableReplicas"])),
        age,
        containers,
        images,
        json!(labels(&spec["selector"]["matchLabels"])),
    ]
}

pub(crate) fn replicas(set: &Value, age: Value) -> Vec<Value> {
    let (spec, status) = (&set["spec"], &set["status"]);
    let [containers, images] = template(spec);
    vec![
        name(set),
        json!(number(&spec["replicas"])),
        json!(number(&status["replicas"])),
        json!(number(&status["readyReplicas"])),
        age,
        containers,
        images,
        json!(labels(&spec["selector"]["matchLabels"])),
    ]
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
