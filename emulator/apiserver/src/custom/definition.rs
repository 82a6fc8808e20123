//! CustomResourceDefinitions: their defaults and their rules.

mod versions;

use serde_json::{Value, json};

use super::{GROUP, label_faults};
use crate::failure::FieldError;
use crate::names::{self, Rule};
use crate::object;
use crate::resources::{Resource, is_built_in};
use crate::schema::{TYPES, normalize};

/// Keeps a definition until its objects are gone.
pub(crate) const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// The annotation by which a group of the Kubernetes project is approved.
const APPROVED: &str = "api-approved.kubernetes.io";

/// Fills in what the real server fills in.
pub(crate) fn defaults(value: &mut Value) {
    let spec = object::child_mut(object::map_mut(value), "spec");
    let names = object::child_mut(spec, "names");
    let kind = names.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    let absent = |names: &serde_json::Map<String, Value>, key: &str| {
        names.get(key).and_then(Value::as_str).unwrap_or_default().is_empty()
    };
    if !kind.is_empty() {
        if absent(names, "singular") {
            names.insert("singular".into(), json!(kind.to_lowercase()));
        }
        if absent(names, "listKind") {
            names.insert("listKind".into(), json!(format!("{kind}List")));
        }
    }
    let conversion = object::child_mut(spec, "conversion");
    if absent(conversion, "strategy") {
        conversion.insert("strategy".into(), json!("None"));
    }
    if let Some(service) = conversion
        .get_mut("webhook")
        .and_then(|webhook| webhook["clientConfig"].get_mut("service"))
        .filter(|service| service.is_object() && service.get("port").is_none())
    {
        service["port"] = json!(443);
    }
    if let Some(Value::Array(versions)) = spec.get_mut("versions") {
        for version in versions {
            let subresources = version.get("subresources");
            if subresources.is_some_and(|parts| parts == &json!({})) {
                object::map_mut(version).remove("subresources");
            }
            if let Some(schema) =
                version.get_mut("schema").and_then(|one| one.get_mut("openAPIV3Schema"))
            {
                inner(schema, 0);
            }
        }
    }
}

/// Brings the schemas that may also be something else (a list, a flag) into their form.
fn inner(schema: &mut Value, depth: usize) {
    if depth > super::schema::DEPTH {
        return;
    }
    for key in ["items", "additionalProperties"] {
        if let Some(below) = schema.get_mut(key).filter(|below| below.is_object()) {
            let root = TYPES.find("apiextensions.v1.JSONSchemaProps").unwrap_or_default();
            // What is wrong inside is found when the schema is checked.
            let _ = normalize::normalize_part(&TYPES, root, below);
            inner(below, depth + 1);
        }
    }
    for key in ["allOf", "anyOf", "oneOf"] {
        if let Some(Value::Array(list)) = schema.get_mut(key) {
            list.iter_mut().for_each(|one| inner(one, depth + 1));
        }
    }
    if let Some(not) = schema.get_mut("not").filter(|not| not.is_object()) {
        inner(not, depth + 1);
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.values_mut().for_each(|one| inner(one, depth + 1));
    }
}

/// Sets what only the server sets in a new definition.
pub(crate) fn prepare(value: &mut Value) {
    let stored: Vec<Value> = object::list(value, &["spec", "versions"])
        .iter()
        .filter(|version| version["storage"] == true)
        .map(|version| version["name"].clone())
        .collect();
    let stored = if stored.is_empty() { Value::Null } else { json!(stored) };
    value["status"] = json!({
        "conditions": null,
        "acceptedNames": {"plural": "", "kind": ""},
        "storedVersions": stored,
    });
}

/// Notes a new storage version.
pub(crate) fn prepare_update(new: &mut Value) {
    let storage = object::list(new, &["spec", "versions"])
        .iter()
        .find(|version| version["storage"] == true)
        .map(|version| version["name"].clone());
    if let Some(storage) = storage
        && let Some(Value::Array(stored)) = new["status"].get_mut("storedVersions")
        && !stored.contains(&storage)
    {
        stored.push(storage);
    }
}

/// What a DELETE makes of a definition that is not marked yet.
pub(crate) fn marked_for_deletion(resource: &Resource, value: &mut Value) -> bool {
    if !resource.is(GROUP, "CustomResourceDefinition") || object::is_deleting(value) {
        return false;
    }
    let mut finalizers: Vec<String> = object::finalizers(value).map(str::to_owned).collect();
    if !finalizers.iter().any(|one| one == CLEANUP) {
        finalizers.push(CLEANUP.to_owned());
    }
    let metadata = object::metadata_mut(value);
    metadata.insert("finalizers".into(), json!(finalizers));
    metadata.insert("deletionTimestamp".into(), json!(object::now()));
    crate::controllers::set_condition(
        &mut value["status"],
        &json!({
            "type": "Terminating",
            "status": "True",
            "reason": "InstanceDeletionPending",
            "message": "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
        }),
    );
    true
}

/// The faults of a new definition beside those of its metadata.
pub(crate) fn check(value: &Value, errors: &mut Vec<FieldError>) {
    let spec = &value["spec"];
    let name = object::name(value);
    let text = |path: &[&str]| object::text(spec, path).to_owned();
    let wanted = format!("{}.{}", text(&["names", "plural"]), text(&["group"]));
    let generate = object::meta(value, "generateName");
    if !generate.is_empty() {
        let what = "must be spec.names.plural+\".\"+spec.group";
        errors.push(FieldError::invalid("metadata.generateName", &json!(generate), what));
    }
    if !name.is_empty() && name != wanted {
        let error = FieldError::invalid(
            "metadata.name",
            &json!(name),
            "must be spec.names.plural+\".\"+spec.group",
        );
        errors.push(error);
    }
    check_spec(spec, errors);
    check_status(value, errors);
    check_approval(value, errors);
    if spec["preserveUnknownFields"] == true {
        errors.push(FieldError::invalid(
            "spec.preserveUnknownFields",
            &json!(true),
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
        ));
    }
}

/// The faults of a changed definition beside those of its metadata.
pub(crate) fn check_update(old: &Value, new: &Value, errors: &mut Vec<FieldError>) {
    check_spec(&new["spec"], errors);
    let established = object::list(old, &["status", "conditions"])
        .iter()
        .any(|one| one["type"] == "Established" && one["status"] == "True");
    let always: &[&[&str]] = &[&["group"], &["names", "plural"]];
    let then: &[&[&str]] = &[&["scope"], &["names", "kind"]];
    let fixed = then.iter().filter(|_| established).chain(always);
    for path in fixed {
        let (before, after) = (object::at(&old["spec"], path), object::at(&new["spec"], path));
        if before != after {
            let field = format!("spec.{}", path.join("."));
            errors.push(FieldError::invalid(field, after, "field is immutable"));
        }
    }
    check_status(new, errors);
    if old["metadata"]["annotations"] != new["metadata"]["annotations"] {
        check_approval(new, errors);
    }
    if new["spec"]["preserveUnknownFields"] == true && old["spec"]["preserveUnknownFields"] != true
    {
        errors.push(FieldError::invalid(
            "spec.preserveUnknownFields",
            &json!(true),
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
        ));
    }
}

fn check_spec(spec: &Value, errors: &mut Vec<FieldError>) {
    let group = object::text(spec, &["group"]);
    let faults = names::name_faults(Rule::Subdomain, group);
    if group.is_empty() {
        errors.push(FieldError::required("spec.group", ""));
    } else if !faults.is_empty() {
        errors.push(FieldError::invalid("spec.group", &json!(group), &faults.join(",")));
    } else if !group.contains('.') {
        let what = "should be a domain with at least one dot";
        errors.push(FieldError::invalid("spec.group", &json!(group), what));
    }
    choice("spec.scope", object::text(spec, &["scope"]), &["Cluster", "Namespaced"], errors);
    versions::check(spec, errors);
    let names = &spec["names"];
    for key in ["plural", "singular", "kind", "listKind"] {
        if object::text(names, &[key]).is_empty() {
            errors.push(FieldError::required(format!("spec.names.{key}"), ""));
        }
    }
    check_names("spec.names", names, errors);
    versions::check_hoisted(spec, errors);
    check_conversion(spec, errors);
}

fn choice(field: &str, value: &str, allowed: &[&str], errors: &mut Vec<FieldError>) {
    if value.is_empty() {
        errors.push(FieldError::required(field, ""));
    } else if !allowed.contains(&value) {
        errors.push(FieldError::unsupported(field, &json!(value), allowed));
    }
}

fn check_names(field: &str, names: &Value, errors: &mut Vec<FieldError>) {
    for key in ["plural", "singular", "kind", "listKind"] {
        let name = object::text(names, &[key]);
        let faults = label_faults(&name.to_lowercase()).join(",");
        let cased = key.to_lowercase().ends_with("kind");
        let faults = match cased {
            true => format!("may have mixed case, but should otherwise match: {faults}"),
            false => label_faults(name).join(","),
        };
        let wrong = if cased { label_faults(&name.to_lowercase()) } else { label_faults(name) };
        if !name.is_empty() && !wrong.is_empty() {
            errors.push(FieldError::invalid(format!("{field}.{key}"), &json!(name), &faults));
        }
    }
    for (index, short) in object::list(names, &["shortNames"]).iter().enumerate() {
        let faults = label_faults(short.as_str().unwrap_or_default());
        if !faults.is_empty() {
            let field = format!("{field}.shortNames[{index}]");
            errors.push(FieldError::invalid(field, short, &faults.join(",")));
        }
    }
    let (kind, list) = (object::text(names, &["kind"]), object::text(names, &["listKind"]));
    if !kind.is_empty() && kind == list {
        let field = format!("{field}.listKind");
        let what = "kind and listKind may not be the same";
        errors.push(FieldError::invalid(field, &json!(list), what));
    }
    for (index, category) in object::list(names, &["categories"]).iter().enumerate() {
        let faults = label_faults(category.as_str().unwrap_or_default());
        if !faults.is_empty() {
            let field = format!("{field}.categories[{index}]");
            errors.push(FieldError::invalid(field, category, &faults.join(",")));
        }
    }
}

fn check_conversion(spec: &Value, errors: &mut Vec<FieldError>) {
    const FIELD: &str = "spec.conversion";
    let conversion = &spec["conversion"];
    let strategy = object::text(conversion, &["strategy"]);
    choice("spec.conversion.strategy", strategy, &["None", "Webhook"], errors);
    let client = &conversion["webhook"]["clientConfig"];
    let reviews = object::list(conversion, &["webhook", "conversionReviewVersions"]);
    if strategy != "Webhook" {
        if !client.is_null() {
            errors.push(FieldError::forbidden(
                format!("{FIELD}.webhookClientConfig"),
                "should not be set when strategy is not set to Webhook",
            ));
        }
        if !reviews.is_empty() {
            errors.push(FieldError::forbidden(
                format!("{FIELD}.conversionReviewVersions"),
                "should not be set when strategy is not set to Webhook",
            ));
        }
        return;
    }
    if client.is_null() {
        errors.push(FieldError::required(
            format!("{FIELD}.webhookClientConfig"),
            "required when strategy is set to Webhook",
        ));
    } else if client["url"].is_string() == client["service"].is_object() {
        errors.push(FieldError::required(
            format!("{FIELD}.webhookClientConfig"),
            "exactly one of url or service is required",
        ));
    } else if let Some(url) = client["url"].as_str()
        && !url.starts_with("https://")
    {
        errors.push(FieldError::invalid(
            format!("{FIELD}.webhookClientConfig.url"),
            &json!(url.split(':').next().unwrap_or_default()),
            "'https' is the only allowed URL scheme; desired format: https://host[/path]",
        ));
    }
    let field = format!("{FIELD}.conversionReviewVersions");
    if reviews.is_empty() {
        errors.push(FieldError::required(field, ""));
    } else if !reviews.iter().any(|one| one == "v1" || one == "v1beta1") {
        let what = "must include at least one of v1, v1beta1";
        errors.push(FieldError::invalid(field, &json!(reviews), what));
    }
}

fn check_status(value: &Value, errors: &mut Vec<FieldError>) {
    const FIELD: &str = "status.storedVersions";
    check_names("status.acceptedNames", &value["status"]["acceptedNames"], errors);
    let stored = object::list(value, &["status", "storedVersions"]);
    if stored.is_empty() {
        let shown =
            if value["status"]["storedVersions"].is_null() { json!(null) } else { json!([]) };
        errors.push(FieldError::invalid(FIELD, &shown, "must have at least one stored version"));
        return;
    }
    let versions = object::list(value, &["spec", "versions"]);
    for version in versions.iter().filter(|one| one["storage"] == true) {
        if !stored.contains(&version["name"]) {
            let name = object::text(version, &["name"]);
            let what = format!("must have the storage version {name}");
            errors.push(FieldError::invalid(FIELD, &json!(stored), &what));
        }
    }
    for (index, name) in stored.iter().enumerate() {
        if !versions.iter().any(|version| version["name"] == *name) {
            let field = format!("{FIELD}[{index}]");
            let version = name.as_str().unwrap_or_default();
            let what = format!(
                "missing from spec.versions; {version} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in {version} and removes {version} from status.storedVersions"
            );
            errors.push(FieldError::invalid(field, name, &what));
        }
    }
}

/// Groups of the Kubernetes project need an approval.
fn check_approval(value: &Value, errors: &mut Vec<FieldError>) {
    let group = object::text(value, &["spec", "group"]);
    let plural = &value["spec"]["names"]["plural"];
    if is_built_in(group, plural.as_str().unwrap_or_default()) {
        errors.push(FieldError::invalid("spec.names.plural", plural, "is built in"));
    }
    let protected = ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|domain| group == *domain || group.ends_with(&format!(".{domain}")));
    let field = format!("metadata.annotations[{APPROVED}]");
    let approval = object::text(value, &["metadata", "annotations", APPROVED]);
    if !protected || approval.starts_with("https://") || approval.starts_with("unapproved") {
        return;
    }
    if approval.is_empty() {
        errors.push(FieldError::required(
            field,
            "protected groups must have approval annotation \"api-approved.kubernetes.io\", see https://github.com/kubernetes/enhancements/pull/1111",
        ));
    } else {
        errors.push(FieldError::invalid(
            field,
            &json!(approval),
            "protected groups must have approval annotation \"api-approved.kubernetes.io\" with either a URL or a reason starting with \"unapproved\", see https://github.com/kubernetes/enhancements/pull/1111",
        ));
    }
}
