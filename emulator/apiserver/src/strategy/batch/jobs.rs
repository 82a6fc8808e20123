//! The faults of jobs, in the order in which the real server finds them.

use serde_json::{Value, json};

use super::{CONTROLLER_UID, JOB_NAME, OLD_CONTROLLER_UID, OLD_JOB_NAME, not_negative, policies};
use crate::failure::FieldError;
use crate::names::{self, Rule, check_name};
use crate::object;
use crate::selectors::Labels;
use crate::strategy::{internal, podspec};

const INDEXED: &str = "Indexed";
/// The most pods at a time, and the most completions, of a job that counts by index.
const MOST: i64 = 100_000;

pub(crate) fn check_job(job: &Value, errors: &mut Vec<FieldError>) {
    generated(job, errors);
    check_whole_spec(&job["spec"], errors);
}

/// The faults of a changed job; its specification is looked at twice.
pub(crate) fn check_job_update(old: &Value, new: &Value, errors: &mut Vec<FieldError>) {
    check_job(new, errors);
    check_whole_spec(&new["spec"], errors);
    let (before, after) = (&old["spec"], &new["spec"]);
    let mut immutable = |key: &str| {
        if before[key] != after[key] {
            let field = format!("spec.{key}");
            errors.push(FieldError::invalid(field, &after[key], "field is immutable"));
        }
    };
    let in_tandem = after["completionMode"] == INDEXED && after["completions"].is_number();
    if !in_tandem {
        immutable("completions");
    }
    immutable("selector");
    let moved = template(old, before, before) != template(old, before, after);
    if moved {
        errors.push(FieldError::invalid_text(
            "spec.template",
            &internal::template(&after["template"]),
            "field is immutable",
        ));
    }
    let mut immutable = |key: &str| {
        if before[key] != after[key] {
            let field = format!("spec.{key}");
            errors.push(FieldError::invalid(field, &after[key], "field is immutable"));
        }
    };
    immutable("completionMode");
    immutable("podFailurePolicy");
    let unset = |spec: &Value| spec["backoffLimitPerIndex"].is_null();
    if unset(before) != unset(after) {
        immutable("backoffLimitPerIndex");
    }
    immutable("managedBy");
    immutable("successPolicy");
    let changed = before["completions"] != after["completions"];
    if in_tandem && changed && after["completions"] != after["parallelism"] {
        errors.push(FieldError::invalid(
            "spec.completions",
            &after["completions"],
            "can only be modified in tandem with spec.parallelism",
        ));
    }
}

/// The template without what may still change: where the pods run, before the first one does.
fn template(job: &Value, before: &Value, spec: &Value) -> Value {
    let mut template = spec["template"].clone();
    let free = before["suspend"] == true && job["status"]["startTime"].is_null();
    if free {
        let map = object::map_mut(&mut template);
        let metadata = object::child_mut(map, "metadata");
        metadata.remove("labels");
        metadata.remove("annotations");
        let pod = object::child_mut(map, "spec");
        pod.remove("nodeSelector");
        pod.remove("tolerations");
        pod.remove("schedulingGates");
        if let Some(Value::Object(affinity)) = pod.get_mut("affinity") {
            affinity.remove("nodeAffinity");
        }
        if pod.get("affinity") == Some(&json!({})) {
            pod.remove("affinity");
        }
    }
    template
}

/// The faults of the selector and labels that the server makes.
pub(crate) fn generated(job: &Value, errors: &mut Vec<FieldError>) {
    let spec = &job["spec"];
    if spec["manualSelector"] == true || spec["selector"].is_null() {
        return;
    }
    let (uid, name) = (object::uid(job), object::name(job));
    let labels = &spec["template"]["metadata"]["labels"];
    let mut expected = serde_json::Map::new();
    for (key, value) in
        [(OLD_CONTROLLER_UID, uid), (OLD_JOB_NAME, name), (CONTROLLER_UID, uid), (JOB_NAME, name)]
    {
        expected.insert(key.to_owned(), json!(value));
        let field = format!("spec.template.metadata.labels[{key}]");
        let detail = format!("must be '{value}'");
        match labels[key].as_str() {
            None => errors.push(FieldError::required(field, &detail)),
            Some(found) if found != value => {
                errors.push(FieldError::invalid(field, labels, &detail));
            }
            Some(_) => {}
        }
    }
    let expected = json!({"metadata": {"labels": expected}});
    let fits = Labels::of(&spec["selector"]).is_some_and(|one| one.matches(&expected));
    if !fits {
        errors.push(FieldError::invalid(
            "spec.selector",
            &spec["selector"],
            "`selector` not auto-generated",
        ));
    }
}

fn check_whole_spec(spec: &Value, errors: &mut Vec<FieldError>) {
    check_spec(spec, "spec", errors);
    if spec["selector"].is_null() {
        errors.push(FieldError::required("spec.selector", ""));
        return;
    }
    let template = &spec["template"];
    if Labels::of(&spec["selector"]).is_some_and(|one| !one.matches(template)) {
        errors.push(FieldError::invalid(
            "spec.template.metadata.labels",
            &template["metadata"]["labels"],
            "`selector` does not match template `labels`",
        ));
    }
}

/// The faults of the specification of a job, alone or as a template.
pub(super) fn check_spec(spec: &Value, field: &str, errors: &mut Vec<FieldError>) {
    for key in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        not_negative(spec, field, key, errors);
    }
    if spec["maxFailedIndexes"].is_number() && spec["backoffLimitPerIndex"].is_null() {
        errors.push(FieldError::required(
            format!("{field}.backoffLimitPerIndex"),
            "when maxFailedIndexes is specified",
        ));
    }
    if let Some(manager) = spec["managedBy"].as_str() {
        check_manager(manager, field, errors);
    }
    check_mode(spec, field, errors);
    policies::check(spec, field, errors);
    check_replacement(spec, field, errors);
    let template = &spec["template"];
    names::check_labels(
        &format!("{field}.template.labels"),
        &template["metadata"]["labels"],
        errors,
    );
    names::check_annotations(
        &format!("{field}.template.annotations"),
        &template["metadata"]["annotations"],
        errors,
    );
    podspec::check(&template["spec"], &format!("{field}.template.spec"), errors);
    let restart = object::text(template, &["spec", "restartPolicy"]);
    let place = format!("{field}.template.spec.restartPolicy");
    if restart == "Always" {
        errors.push(FieldError::required(&*place, "valid values: \"OnFailure\", \"Never\""));
    } else if !matches!(restart, "OnFailure" | "Never") {
        errors.push(FieldError::unsupported(&*place, &json!(restart), &["OnFailure", "Never"]));
    }
    if spec["podFailurePolicy"].is_object() && restart != "Never" {
        errors.push(FieldError::invalid(
            place,
            &json!(restart),
            "only \"Never\" is supported when podFailurePolicy is specified",
        ));
    }
}

fn check_manager(manager: &str, field: &str, errors: &mut Vec<FieldError>) {
    let field = format!("{field}.managedBy");
    match manager.split_once('/') {
        Some((domain, path)) if !domain.is_empty() && !path.is_empty() => {
            check_name(Rule::Subdomain, &field, domain, errors);
        }
        _ => errors.push(FieldError::invalid(
            &*field,
            &json!(manager),
            "must be a domain-prefixed path (such as \"acme.io/foo\")",
        )),
    }
    if manager.len() > 63 {
        errors.push(FieldError::too_long(field, 63));
    }
}

fn check_mode(spec: &Value, field: &str, errors: &mut Vec<FieldError>) {
    let mode = spec["completionMode"].as_str().unwrap_or("NonIndexed");
    if !matches!(mode, "NonIndexed" | INDEXED) {
        errors.push(FieldError::unsupported(
            format!("{field}.completionMode"),
            &json!(mode),
            &[INDEXED, "NonIndexed"],
        ));
    }
    if mode == INDEXED {
        if spec["completions"].is_null() {
            errors.push(FieldError::required(
                format!("{field}.completions"),
                "when completion mode is Indexed",
            ));
        }
        if let Some(number) = spec["parallelism"].as_i64().filter(|number| *number > MOST) {
            errors.push(FieldError::invalid(
                format!("{field}.parallelism"),
                &json!(number),
                &format!("must be less than or equal to {MOST} when completion mode is Indexed"),
            ));
        }
        return;
    }
    for key in ["backoffLimitPerIndex", "maxFailedIndexes"] {
        if spec[key].is_number() {
            errors.push(FieldError::invalid(
                format!("{field}.{key}"),
                &spec[key],
                "requires indexed completion mode",
            ));
        }
    }
}

fn check_replacement(spec: &Value, field: &str, errors: &mut Vec<FieldError>) {
    let Some(policy) = spec["podReplacementPolicy"].as_str() else { return };
    let allowed: &[&str] = if spec["podFailurePolicy"].is_object() {
        &["Failed"]
    } else {
        &["Failed", "TerminatingOrFailed"]
    };
    if !allowed.contains(&policy) {
        errors.push(FieldError::unsupported(
            format!("{field}.podReplacementPolicy"),
            &json!(policy),
            allowed,
        ));
    }
}
