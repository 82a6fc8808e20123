//! Webhook configurations: what a configuration must say, and how.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::selectors;
use crate::admission;
use crate::failure::FieldError;
use crate::names::{self, Rule};
use crate::object;
use crate::resources::Resource;

const REVIEWS: &[&str] = &["v1", "v1beta1"];

pub(crate) fn check(resource: &Resource, value: &Value, errors: &mut Vec<FieldError>) {
    if !resource.kind.ends_with("WebhookConfiguration") {
        return;
    }
    let mut seen = HashSet::new();
    for (index, webhook) in object::list(value, &["webhooks"]).iter().enumerate() {
        let field = format!("webhooks[{index}]");
        check_webhook(webhook, &field, errors);
        check_reviews(webhook, &format!("{field}.admissionReviewVersions"), errors);
        let name = object::text(webhook, &["name"]);
        if !name.is_empty() && !seen.insert(name) {
            errors.push(FieldError::duplicate(format!("{field}.name"), &json!(name)));
        }
    }
}

fn check_webhook(webhook: &Value, field: &str, errors: &mut Vec<FieldError>) {
    check_domain(&format!("{field}.name"), object::text(webhook, &["name"]), errors);
    for (index, rule) in object::list(webhook, &["rules"]).iter().enumerate() {
        check_rule(rule, &format!("{field}.rules[{index}]"), errors);
    }
    one_of(webhook, field, "failurePolicy", &["Fail", "Ignore"], errors);
    one_of(webhook, field, "matchPolicy", &["Equivalent", "Exact"], errors);
    if webhook["sideEffects"].is_string() {
        one_of(webhook, field, "sideEffects", &["None", "NoneOnDryRun"], errors);
    } else {
        errors.push(FieldError::required(
            format!("{field}.sideEffects"),
            "must specify one of None, NoneOnDryRun",
        ));
    }
    if let Some(seconds) = webhook["timeoutSeconds"].as_i64()
        && !(1..=30).contains(&seconds)
    {
        errors.push(FieldError::invalid(
            format!("{field}.timeoutSeconds"),
            &json!(seconds),
            "the timeout value must be between 1 and 30 seconds",
        ));
    }
    for selector in ["namespaceSelector", "objectSelector"] {
        selectors::check(&webhook[selector], &format!("{field}.{selector}"), errors);
    }
    one_of(webhook, field, "reinvocationPolicy", &["IfNeeded", "Never"], errors);
    check_client(&webhook["clientConfig"], &format!("{field}.clientConfig"), errors);
    check_conditions(webhook, &format!("{field}.matchConditions"), errors);
}

fn one_of(value: &Value, field: &str, key: &str, allowed: &[&str], errors: &mut Vec<FieldError>) {
    if let Some(text) = value[key].as_str()
        && !allowed.contains(&text)
    {
        errors.push(FieldError::unsupported(format!("{field}.{key}"), &json!(text), allowed));
    }
}

/// A name of at least three segments.
fn check_domain(field: &str, name: &str, errors: &mut Vec<FieldError>) {
    if name.is_empty() {
        errors.push(FieldError::required(field, ""));
        return;
    }
    let faults = names::name_faults(Rule::Subdomain, name);
    if !faults.is_empty() {
        errors.push(FieldError::invalid(field, &json!(name), &faults.join(",")));
    } else if name.split('.').count() < 3 {
        let why = "should be a domain with at least three segments separated by dots";
        errors.push(FieldError::invalid(field, &json!(name), why));
    }
}

fn check_rule(rule: &Value, field: &str, errors: &mut Vec<FieldError>) {
    const OPERATIONS: &[&str] = &["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
    let alone = |key: &str, what: &str, errors: &mut Vec<FieldError>| {
        let list = object::list(rule, &[key]);
        if list.is_empty() {
            errors.push(FieldError::required(format!("{field}.{key}"), ""));
        } else if list.len() > 1 && list.iter().any(|one| one == "*") {
            let why = format!("if '*' is present, must not specify other {what}");
            errors.push(FieldError::invalid(format!("{field}.{key}"), &json!(list), &why));
        }
    };
    alone("operations", "operations", errors);
    for (index, operation) in object::list(rule, &["operations"]).iter().enumerate() {
        if !OPERATIONS.iter().any(|one| operation == one) {
            let field = format!("{field}.operations[{index}]");
            errors.push(FieldError::unsupported(field, operation, OPERATIONS));
        }
    }
    alone("apiGroups", "API groups", errors);
    alone("apiVersions", "API versions", errors);
    for (index, version) in object::list(rule, &["apiVersions"]).iter().enumerate() {
        if version == "" {
            errors.push(FieldError::required(format!("{field}.apiVersions[{index}]"), ""));
        }
    }
    check_resources(rule, &format!("{field}.resources"), errors);
    one_of(rule, field, "scope", &["*", "Cluster", "Namespaced"], errors);
}

fn check_resources(rule: &Value, field: &str, errors: &mut Vec<FieldError>) {
    let list = object::list(rule, &["resources"]);
    if list.is_empty() {
        errors.push(FieldError::required(field, ""));
    }
    let (mut all_parts, mut all_resources) = (HashSet::new(), HashSet::new());
    let mut plain = false;
    for (index, one) in list.iter().enumerate() {
        let one = one.as_str().unwrap_or_default();
        if one.is_empty() {
            errors.push(FieldError::required(format!("{field}[{index}]"), ""));
            continue;
        }
        let Some((resource, part)) = one.split_once('/') else {
            plain = one != "*";
            continue;
        };
        for (taken, present) in [
            (all_parts.contains(resource), format!("{resource}/*")),
            (all_resources.contains(part), format!("*/{part}")),
        ] {
            if taken {
                let why = format!("if '{present}' is present, must not specify {one}");
                errors.push(FieldError::invalid(format!("{field}[{index}]"), &json!(one), &why));
            }
        }
        if part == "*" {
            all_parts.insert(resource);
        }
        if resource == "*" {
            all_resources.insert(part);
        }
    }
    if list.len() > 1 && list.iter().any(|one| one == "*/*") {
        let why = "if '*/*' is present, must not specify other resources";
        errors.push(FieldError::invalid(field, &json!(list), why));
    }
    if plain && list.iter().any(|one| one == "*") {
        let why = "if '*' is present, must not specify other resources without subresources";
        errors.push(FieldError::invalid(field, &json!(list), why));
    }
}

fn check_client(client: &Value, field: &str, errors: &mut Vec<FieldError>) {
    match (client["url"].as_str(), client["service"].is_object()) {
        (Some(url), false) => check_url(url, &format!("{field}.url"), errors),
        (None, true) => check_service(&client["service"], &format!("{field}.service"), errors),
        _ => {
            let why = "exactly one of url or service is required";
            errors.push(FieldError::required(field, why));
        }
    }
}

fn check_url(url: &str, field: &str, errors: &mut Vec<FieldError>) {
    const FORM: &str = "; desired format: https://host[/path]";
    let mut refuse = |value: &str, why: &str, form: &str| {
        errors.push(FieldError::invalid(field, &json!(value), &format!("{why}{form}")));
    };
    let (rest, fragment) = url.split_once('#').unwrap_or((url, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (scheme, rest) = match rest.split_once(':') {
        Some((scheme, rest)) if scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            (scheme, rest)
        }
        _ => ("", rest),
    };
    let authority = rest.strip_prefix("//").unwrap_or_default();
    let authority = authority.split('/').next().unwrap_or_default();
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    if scheme != "https" {
        refuse(scheme, "'https' is the only allowed URL scheme", FORM);
    }
    if host.is_empty() {
        refuse(host, "host must be provided", FORM);
    }
    if !user.is_empty() {
        refuse(user, "user information is not permitted in the URL", "");
    }
    if !fragment.is_empty() {
        refuse(fragment, "fragments are not permitted in the URL", "");
    }
    if !query.is_empty() {
        refuse(query, "query parameters are not permitted in the URL", "");
    }
}

fn check_service(service: &Value, field: &str, errors: &mut Vec<FieldError>) {
    for key in ["name", "namespace"] {
        if object::text(service, &[key]).is_empty() {
            let why = format!("service {key} is required");
            errors.push(FieldError::required(format!("{field}.{key}"), &why));
        }
    }
    if let Some(port) = service["port"].as_i64()
        && !(1..=65535).contains(&port)
    {
        let why = "port is not valid: must be between 1 and 65535, inclusive";
        errors.push(FieldError::invalid(format!("{field}.port"), &json!(port), why));
    }
    let path = object::text(service, &["path"]);
    let field = format!("{field}.path");
    let mut refuse = |why: &str| errors.push(FieldError::invalid(field.clone(), &json!(path), why));
    match path {
        "" | "/" => return,
        "//" => return refuse("segment[0] may not be empty"),
        _ => {}
    }
    if !path.starts_with('/') {
        refuse("must start with a '/'");
    }
    let mut letters = path.chars();
    letters.next();
    let steps = letters.as_str();
    for (index, step) in steps.strip_suffix('/').unwrap_or(steps).split('/').enumerate() {
        if step.is_empty() {
            refuse(&format!("segment[{index}] may not be empty"));
            continue;
        }
        for fault in names::name_faults(Rule::Subdomain, step) {
            refuse(&format!("segment[{index}]: {fault}"));
        }
    }
}

fn check_conditions(webhook: &Value, field: &str, errors: &mut Vec<FieldError>) {
    let conditions = object::list(webhook, &["matchConditions"]);
    if conditions.len() > 64 {
        errors.push(FieldError {
            reason: "FieldValueTooMany",
            field: field.to_owned(),
            message: format!("Too many: {}: must have at most 64 items", conditions.len()),
        });
    }
    let mut seen = HashSet::new();
    for (index, condition) in conditions.iter().enumerate() {
        let expression = object::text(condition, &["expression"]).trim();
        let place = format!("{field}[{index}].expression");
        if expression.is_empty() {
            errors.push(FieldError::required(place, ""));
        } else if let Err(why) = admission::compile(expression) {
            let why = format!("compilation failed: {why}");
            errors.push(FieldError::invalid(place, &json!(expression), &why));
        }
        let name = object::text(condition, &["name"]);
        let place = format!("{field}[{index}].name");
        if name.is_empty() {
            errors.push(FieldError::required(place, ""));
            continue;
        }
        for fault in names::label_key_faults(name) {
            errors.push(FieldError::invalid(place.clone(), &json!(name), &fault));
        }
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(place, &json!(name)));
        }
    }
}

fn check_reviews(webhook: &Value, field: &str, errors: &mut Vec<FieldError>) {
    let versions = object::list(webhook, &["admissionReviewVersions"]);
    if versions.is_empty() {
        errors.push(FieldError::required(field, "must specify one of v1, v1beta1"));
        return;
    }
    let mut seen = HashSet::new();
    for (index, version) in versions.iter().enumerate() {
        let text = version.as_str().unwrap_or_default();
        let place = format!("{field}[{index}]");
        if !seen.insert(text) {
            errors.push(FieldError::invalid(place, version, "duplicate version"));
            continue;
        }
        names::check_name(Rule::OldLabel, &place, text, errors);
    }
    if !versions.iter().any(|version| REVIEWS.iter().any(|one| version == one)) {
        let why = "must include at least one of v1, v1beta1";
        errors.push(FieldError::invalid(field, &json!(versions), why));
    }
}
