//! The cells of what runs pods, and of what watches over their number.

use serde_json::{Value, json};

use super::age;
use super::cells::{NONE, labels, name, number, or, selector};
use crate::object;

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
        json!(selector(&spec["selector"])),
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
        json!(selector(&job["selector"])),
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
        json!(selector(&spec["selector"])),
    ]
}

pub(crate) fn replicas(set: &Value, age: Value) -> Vec<Value> {
    let (spec, status) = (&set["spec"], &set["status"]);
    // The selector of a replication controller is a plain map.
    let plain = spec["selector"].get("matchLabels").or(spec["selector"].get("matchExpressions"));
    let chosen = match plain {
        None => labels(&spec["selector"]),
        Some(_) => selector(&spec["selector"]),
    };
    let [containers, images] = template(spec);
    vec![
        name(set),
        json!(number(&spec["replicas"])),
        json!(number(&status["replicas"])),
        json!(number(&status["readyReplicas"])),
        age,
        containers,
        images,
        json!(chosen),
    ]
}

pub(crate) fn stateful_set(set: &Value, age: Value) -> Vec<Value> {
    let (spec, status) = (&set["spec"], &set["status"]);
    let ready = format!("{}/{}", number(&status["readyReplicas"]), number(&spec["replicas"]));
    let [containers, images] = template(spec);
    vec![name(set), json!(ready), age, containers, images]
}

pub(crate) fn daemon_set(set: &Value, age: Value) -> Vec<Value> {
    let (spec, status) = (&set["spec"], &set["status"]);
    let [containers, images] = template(spec);
    let count = |field: &str| json!(number(&status[field]));
    vec![
        name(set),
        count("desiredNumberScheduled"),
        count("currentNumberScheduled"),
        count("numberReady"),
        count("updatedNumberScheduled"),
        count("numberAvailable"),
        json!(labels(&spec["template"]["spec"]["nodeSelector"])),
        age,
        containers,
        images,
        json!(selector(&spec["selector"])),
    ]
}

pub(crate) fn revision(revision: &Value, age: Value) -> Vec<Value> {
    let owners = object::list(revision, &["metadata", "ownerReferences"]);
    let owner = owners.iter().find(|one| one["controller"] == true);
    let controller = owner.map(|owner| {
        let kind = object::text(owner, &["kind"]).to_lowercase();
        let name = object::text(owner, &["name"]);
        match object::text(owner, &["apiVersion"]).split_once('/') {
            Some((group, _)) => format!("{kind}.{group}/{name}"),
            None => format!("{kind}/{name}"),
        }
    });
    let controller = controller.unwrap_or_else(|| NONE.to_owned());
    vec![name(revision), json!(controller), json!(number(&revision["revision"])), age]
}

pub(crate) fn pod_template(template: &Value) -> Vec<Value> {
    let [containers, images] = self::template(template);
    let labels = labels(&template["template"]["metadata"]["labels"]);
    vec![name(template), containers, images, json!(labels)]
}

pub(crate) fn autoscaler(autoscaler: &Value, age: Value) -> Vec<Value> {
    let (spec, status) = (&autoscaler["spec"], &autoscaler["status"]);
    let target = &spec["scaleTargetRef"];
    let targets = match spec["targetCPUUtilizationPercentage"].as_i64() {
        None => NONE.to_owned(),
        Some(wanted) => match status["currentCPUUtilizationPercentage"].as_i64() {
            None => format!("cpu: <unknown>/{wanted}%"),
            Some(current) => format!("cpu: {current}%/{wanted}%"),
        },
    };
    let least =
        spec["minReplicas"].as_i64().map_or("<unset>".to_owned(), |least| least.to_string());
    vec![
        name(autoscaler),
        json!(format!("{}/{}", object::text(target, &["kind"]), object::text(target, &["name"]))),
        json!(targets),
        json!(least),
        json!(number(&spec["maxReplicas"])),
        json!(number(&status["currentReplicas"])),
        age,
    ]
}

pub(crate) fn disruption_budget(budget: &Value, age: Value) -> Vec<Value> {
    let spec = &budget["spec"];
    let amount = |field: &str| match &spec[field] {
        Value::String(text) => json!(text),
        Value::Number(number) => json!(number.to_string()),
        _ => json!("N/A"),
    };
    let allowed = number(&budget["status"]["disruptionsAllowed"]);
    vec![name(budget), amount("minAvailable"), amount("maxUnavailable"), json!(allowed), age]
}
