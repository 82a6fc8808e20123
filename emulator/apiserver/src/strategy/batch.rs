//! Jobs and cron jobs.

use serde_json::{Value, json};

use super::podspec;
use crate::failure::FieldError;
use crate::object;

pub(crate) fn job_defaults(job: &mut Value) {
    let spec = object::child_mut(object::map_mut(job), "spec");
    job_spec(spec);
    let labels = spec["template"]["metadata"]["labels"].clone();
    if labels.as_object().is_some_and(|labels| !labels.is_empty()) {
        super::default(object::metadata_mut(job), "labels", labels);
    }
}

fn job_spec(spec: &mut serde_json::Map<String, Value>) {
    if !spec.contains_key("completions") && !spec.contains_key("parallelism") {
        spec.insert("completions".into(), json!(1));
        spec.insert("parallelism".into(), json!(1));
    }
    for (key, value) in [
        ("parallelism", json!(1)),
        ("backoffLimit", json!(6)),
        ("completionMode", json!("NonIndexed")),
        ("suspend", json!(false)),
        ("manualSelector", json!(false)),
        ("podReplacementPolicy", json!("TerminatingOrFailed")),
    ] {
        super::default(spec, key, value);
    }
    let template = object::child_mut(spec, "template");
    podspec::defaults(object::child_mut(template, "spec"));
}

/// The selector and labels that tie a job to its pods.
pub(crate) fn prepare_job(job: &mut Value) {
    job["status"] = json!({});
    if job["spec"]["manualSelector"] == true {
        return;
    }
    let uid = object::uid(job).to_owned();
    let name = object::name(job).to_owned();
    let spec = object::child_mut(object::map_mut(job), "spec");
    super::default(
        spec,
        "selector",
        json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}),
    );
    let template = object::child_mut(spec, "template");
    let labels = object::child_mut(object::child_mut(template, "metadata"), "labels");
    for (key, value) in [
        ("batch.kubernetes.io/controller-uid", &uid),
        ("batch.kubernetes.io/job-name", &name),
        ("controller-uid", &uid),
        ("job-name", &name),
    ] {
        labels.insert(key.into(), json!(value));
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
    let spec = object::child_mut(template, "spec");
    let template = object::child_mut(spec, "template");
    podspec::defaults(object::child_mut(template, "spec"));
}

pub(crate) fn check_job(job: &Value, errors: &mut Vec<FieldError>) {
    check_job_spec(&job["spec"], "spec", errors);
}

fn check_job_spec(spec: &Value, field: &str, errors: &mut Vec<FieldError>) {
    for key in ["parallelism", "completions", "activeDeadlineSeconds", "backoffLimit"] {
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
    let template = &spec["template"]["spec"];
    podspec::check(template, &format!("{field}.template.spec"), errors);
    let policy = object::text(template, &["restartPolicy"]);
    if policy == "Always" {
        errors.push(FieldError {
            reason: "FieldValueRequired",
            field: format!("{field}.template.spec.restartPolicy"),
            message: "Required value: valid values: \"OnFailure\", \"Never\"".to_owned(),
        });
    }
}

pub(crate) fn check_job_update(old: &Value, new: &Value, errors: &mut Vec<FieldError>) {
    for key in ["selector", "completions", "template", "completionMode", "managedBy"] {
        let suspended = key == "template" && old["spec"]["suspend"] == true;
        if old["spec"][key] != new["spec"][key] && !suspended {
            errors.push(FieldError::invalid(
                format!("spec.{key}"),
                &new["spec"][key],
                "field is immutable",
            ));
        }
    }
}

pub(crate) fn check_cron(cron: &Value, errors: &mut Vec<FieldError>) {
    let spec = &cron["spec"];
    let schedule = object::text(spec, &["schedule"]);
    check_schedule(schedule, errors);
    if let Some(zone) = spec["timeZone"].as_str()
        && jiff::tz::TimeZone::get(zone).is_err()
    {
        let detail = format!("unknown time zone {zone}");
        errors.push(FieldError::invalid("spec.timeZone", &json!(zone), &detail));
    }
    let policy = object::text(spec, &["concurrencyPolicy"]);
    if !matches!(policy, "Allow" | "Forbid" | "Replace") {
        errors.push(FieldError::unsupported(
            "spec.concurrencyPolicy",
            &json!(policy),
            &["Allow", "Forbid", "Replace"],
        ));
    }
    check_job_spec(&spec["jobTemplate"]["spec"], "spec.jobTemplate.spec", errors);
}

fn check_schedule(schedule: &str, errors: &mut Vec<FieldError>) {
    const FIELD: &str = "spec.schedule";
    let fields: Vec<&str> = schedule.split_whitespace().collect();
    if schedule.is_empty() {
        errors.push(FieldError::required(FIELD, ""));
    } else if schedule.contains("TZ") {
        errors.push(FieldError::invalid(
            FIELD,
            &json!(schedule),
            "cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
        ));
    } else if !schedule.starts_with('@') && fields.len() != 5 {
        let detail =
            format!("expected exactly 5 fields, found {}: [{}]", fields.len(), fields.join(" "));
        errors.push(FieldError::invalid(FIELD, &json!(schedule), &detail));
    }
}
