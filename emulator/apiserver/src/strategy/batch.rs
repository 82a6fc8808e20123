//! Jobs and cron jobs: what is filled in, and what ties a job to its pods.

mod jobs;
mod policies;

pub(crate) use jobs::{check_job, check_job_update, generated};

use serde_json::{Map, Value, json};

use super::podspec;
use crate::controllers::Schedule;
use crate::failure::FieldError;
use crate::object;

const CONTROLLER_UID: &str = "batch.kubernetes.io/controller-uid";
const JOB_NAME: &str = "batch.kubernetes.io/job-name";
const OLD_CONTROLLER_UID: &str = "controller-uid";
const OLD_JOB_NAME: &str = "job-name";

pub(crate) fn job_defaults(job: &mut Value) {
    let spec = object::child_mut(object::map_mut(job), "spec");
    job_spec(spec);
    let labels = spec["template"]["metadata"]["labels"].clone();
    if labels.as_object().is_some_and(|labels| !labels.is_empty()) {
        super::default(object::metadata_mut(job), "labels", labels);
    }
}

fn job_spec(spec: &mut Map<String, Value>) {
    if !spec.contains_key("completions") && !spec.contains_key("parallelism") {
        spec.insert("completions".into(), json!(1));
        spec.insert("parallelism".into(), json!(1));
    }
    let per_index = spec.get("backoffLimitPerIndex").is_some_and(Value::is_number);
    let by_policy = spec.get("podFailurePolicy").is_some_and(Value::is_object);
    for (key, value) in [
        ("parallelism", json!(1)),
        ("backoffLimit", if per_index { json!(i32::MAX) } else { json!(6) }),
        ("completionMode", json!("NonIndexed")),
        ("suspend", json!(false)),
        ("manualSelector", json!(false)),
        ("podReplacementPolicy", json!(if by_policy { "Failed" } else { "TerminatingOrFailed" })),
    ] {
        super::default(spec, key, value);
    }
    template_defaults(spec);
}

/// What is filled in in the template of a job and in its policies.
fn template_defaults(spec: &mut Map<String, Value>) {
    let rules = spec.get_mut("podFailurePolicy").and_then(|policy| policy.get_mut("rules"));
    for rule in rules.and_then(Value::as_array_mut).into_iter().flatten() {
        let patterns = rule.get_mut("onPodConditions").and_then(Value::as_array_mut);
        for pattern in patterns.into_iter().flatten() {
            super::default(object::map_mut(pattern), "status", json!("True"));
        }
    }
    let template = object::child_mut(spec, "template");
    podspec::defaults(object::child_mut(template, "spec"));
}

/// The selector and labels that tie a job to its pods. What a client has set stays, and is refused
/// where it does not fit.
pub(crate) fn prepare_job(job: &mut Value) {
    job["status"] = json!({});
    if job["spec"]["manualSelector"] == true {
        return;
    }
    let uid = object::uid(job).to_owned();
    let name = object::name(job).to_owned();
    let spec = object::child_mut(object::map_mut(job), "spec");
    let selector = object::child_mut(object::child_mut(spec, "selector"), "matchLabels");
    super::default(selector, CONTROLLER_UID, json!(uid));
    let template = object::child_mut(spec, "template");
    let labels = object::child_mut(object::child_mut(template, "metadata"), "labels");
    for (key, value) in [
        (CONTROLLER_UID, &uid),
        (JOB_NAME, &name),
        (OLD_CONTROLLER_UID, &uid),
        (OLD_JOB_NAME, &name),
    ] {
        super::default(labels, key, json!(value));
    }
    let labels = labels.clone();
    super::default(object::metadata_mut(job), "labels", Value::Object(labels));
}

pub(crate) fn cron_defaults(cron: &mut Value) {
    let spec = object::child_mut(object::map_mut(cron), "spec");
    for (key, value) in [
        ("concurrencyPolicy", json!("Allow")),
        ("suspend", json!(false)),
        ("successfulJobsHistoryLimit", json!(3)),
        ("failedJobsHistoryLimit", json!(1)),
    ] {
        super::default(spec, key, value);
    }
    let template = object::child_mut(spec, "jobTemplate");
    template_defaults(object::child_mut(template, "spec"));
}

pub(crate) fn check_cron(cron: &Value, errors: &mut Vec<FieldError>) {
    let spec = &cron["spec"];
    check_schedule(object::text(spec, &["schedule"]), errors);
    not_negative(spec, "spec", "startingDeadlineSeconds", errors);
    if let Some(zone) = spec["timeZone"].as_str() {
        check_zone(zone, errors);
    }
    let policy = object::text(spec, &["concurrencyPolicy"]);
    podspec::one_of("spec.concurrencyPolicy", policy, &["Allow", "Forbid", "Replace"], errors);
    let template = &spec["jobTemplate"]["spec"];
    let field = "spec.jobTemplate.spec";
    jobs::check_spec(template, field, errors);
    if !template["selector"].is_null() {
        let detail = "`selector` will be auto-generated";
        errors.push(FieldError::invalid(
            format!("{field}.selector"),
            &template["selector"],
            detail,
        ));
    }
    if template["manualSelector"] == true {
        errors.push(FieldError::unsupported(
            format!("{field}.manualSelector"),
            &json!(true),
            &["nil", "false"],
        ));
    }
    not_negative(spec, "spec", "successfulJobsHistoryLimit", errors);
    not_negative(spec, "spec", "failedJobsHistoryLimit", errors);
}

fn check_schedule(schedule: &str, errors: &mut Vec<FieldError>) {
    const FIELD: &str = "spec.schedule";
    if schedule.is_empty() {
        errors.push(FieldError::required(FIELD, ""));
        return;
    }
    if let Err(detail) = Schedule::parse(schedule) {
        errors.push(FieldError::invalid(FIELD, &json!(schedule), &detail));
    }
    if schedule.contains("TZ") {
        errors.push(FieldError::invalid(
            FIELD,
            &json!(schedule),
            "cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
        ));
    }
}

fn check_zone(zone: &str, errors: &mut Vec<FieldError>) {
    let detail = if zone.is_empty() {
        "timeZone must be nil or non-empty string".to_owned()
    } else if zone.eq_ignore_ascii_case("local") {
        "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
            .to_owned()
    } else if jiff::tz::TimeZone::get(zone).is_err() {
        format!("unknown time zone {zone}")
    } else {
        return;
    };
    errors.push(FieldError::invalid("spec.timeZone", &json!(zone), &detail));
}

/// The fault of a number below zero.
fn not_negative(spec: &Value, field: &str, key: &str, errors: &mut Vec<FieldError>) {
    if let Some(number) = spec[key].as_i64()
        && number < 0
    {
        errors.push(FieldError::invalid(
            format!("{field}.{key}"),
            &json!(number),
            "must be greater than or equal to 0",
        ));
    }
}
