//! The faults of a job's policies on failed pods and on success.

use serde_json::{Value, json};

use crate::failure::FieldError;
use crate::object;

const RULES: usize = 20;
const EXIT_CODES: usize = 255;
const ACTIONS: &[&str] = &["Count", "FailIndex", "FailJob", "Ignore"];

pub(super) fn check(spec: &Value, field: &str, errors: &mut Vec<FieldError>) {
    if spec["podFailurePolicy"].is_object() {
        let field = format!("{field}.podFailurePolicy.rules");
        let rules = object::list(&spec["podFailurePolicy"], &["rules"]);
        too_many(&field, rules.len(), RULES, errors);
        for (index, rule) in rules.iter().enumerate() {
            check_rule(spec, rule, &format!("{field}[{index}]"), errors);
        }
    }
    if spec["successPolicy"].is_object() {
        if spec["completionMode"] == "Indexed" {
            check_success(spec, &format!("{field}.successPolicy.rules"), errors);
        } else {
            errors.push(FieldError::invalid(
                format!("{field}.successPolicy"),
                &spec["successPolicy"],
                "requires indexed completion mode",
            ));
        }
    }
}

fn too_many(field: &str, count: usize, limit: usize, errors: &mut Vec<FieldError>) {
    if count > limit {
        errors.push(FieldError {
            reason: "FieldValueTooMany",
            field: field.to_owned(),
            message: format!("Too many: {count}: must have at most {limit} items"),
        });
    }
}

fn check_rule(spec: &Value, rule: &Value, field: &str, errors: &mut Vec<FieldError>) {
    let action = object::text(rule, &["action"]);
    let place = format!("{field}.action");
    if action.is_empty() {
        let detail = format!("valid values: {ACTIONS:?}").replace("\", \"", "\" \"");
        errors.push(FieldError::required(place, &detail));
    } else if action == "FailIndex" && spec["backoffLimitPerIndex"].is_null() {
        errors.push(FieldError::invalid(
            place,
            &json!(action),
            "requires the backoffLimitPerIndex to be set",
        ));
    } else if !ACTIONS.contains(&action) {
        errors.push(FieldError::unsupported(place, &json!(action), ACTIONS));
    }
    let (codes, conditions) = (&rule["onExitCodes"], object::list(rule, &["onPodConditions"]));
    if codes.is_object() {
        check_codes(spec, codes, &format!("{field}.onExitCodes"), errors);
    }
    too_many(&format!("{field}.onPodConditions"), conditions.len(), RULES, errors);
    for (index, pattern) in conditions.iter().enumerate() {
        let field = format!("{field}.onPodConditions[{index}]");
        if object::text(pattern, &["type"]).is_empty() {
            let fault = "name part must be non-empty";
            errors.push(FieldError::invalid(format!("{field}.type"), &json!(""), fault));
        }
        let status = object::text(pattern, &["status"]);
        if !matches!(status, "True" | "False" | "Unknown") {
            errors.push(FieldError::unsupported(
                format!("{field}.status"),
                &json!(status),
                &["False", "True", "Unknown"],
            ));
        }
    }
    match (codes.is_object(), conditions.is_empty()) {
        (true, false) => errors.push(FieldError::invalid(
            field,
            rule,
            "specifying both OnExitCodes and OnPodConditions is not supported",
        )),
        (false, true) => errors.push(FieldError::invalid(
            field,
            rule,
            "specifying one of OnExitCodes and OnPodConditions is required",
        )),
        _ => {}
    }
}

fn check_codes(spec: &Value, codes: &Value, field: &str, errors: &mut Vec<FieldError>) {
    if let Some(name) = codes["containerName"].as_str() {
        let pod = &spec["template"]["spec"];
        let known = ["containers", "initContainers"]
            .iter()
            .flat_map(|list| object::list(pod, &[list]))
            .any(|container| container["name"] == name);
        if !known {
            errors.push(FieldError::invalid(
                format!("{field}.containerName"),
                &json!(name),
                "must be one of the container or initContainer names in the pod template",
            ));
        }
    }
    let operator = object::text(codes, &["operator"]);
    if !matches!(operator, "In" | "NotIn") {
        errors.push(FieldError::unsupported(
            format!("{field}.operator"),
            &json!(operator),
            &["In", "NotIn"],
        ));
    }
    let values: Vec<i64> =
        object::list(codes, &["values"]).iter().filter_map(Value::as_i64).collect();
    let place = format!("{field}.values");
    if values.is_empty() {
        errors.push(FieldError::invalid(&*place, &json!([]), "at least one value is required"));
    }
    too_many(&place, values.len(), EXIT_CODES, errors);
    for (index, value) in values.iter().enumerate() {
        if *value == 0 && operator == "In" {
            errors.push(FieldError::invalid(
                format!("{place}[{index}]"),
                &json!(0),
                "must not be 0 for the In operator",
            ));
        }
        if values[..index].contains(value) {
            errors.push(FieldError::duplicate(format!("{place}[{index}]"), &json!(value)));
        }
    }
    if !values.is_sorted() {
        errors.push(FieldError::invalid(place, &json!(values), "must be ordered"));
    }
}

fn check_success(spec: &Value, field: &str, errors: &mut Vec<FieldError>) {
    let rules = object::list(&spec["successPolicy"], &["rules"]);
    if rules.is_empty() {
        errors.push(FieldError::required(
            field,
            "at least one rules must be specified when the successPolicy is specified",
        ));
    }
    too_many(field, rules.len(), RULES, errors);
    let completions = spec["completions"].as_i64().unwrap_or_default();
    for (index, rule) in rules.iter().enumerate() {
        let field = format!("{field}[{index}]");
        let count = rule["succeededCount"].as_i64();
        if count.is_none() && !rule["succeededIndexes"].is_string() {
            errors.push(FieldError::required(
                &*field,
                "at least one of succeededCount or succeededIndexes must be specified",
            ));
        }
        if let Some(count) = count.filter(|count| *count < 0) {
            errors.push(FieldError::invalid(
                format!("{field}.succeededCount"),
                &json!(count),
                "must be greater than or equal to 0",
            ));
        } else if let Some(count) = count.filter(|count| *count > completions) {
            errors.push(FieldError::invalid(
                format!("{field}.succeededCount"),
                &json!(count),
                &format!("must be less than or equal to {completions} (the number of specified completions)"),
            ));
        }
    }
}
