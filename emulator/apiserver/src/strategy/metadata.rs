//! The rules for metadata, the same for every kind but for the name.

use serde_json::{Value, json};

use crate::failure::FieldError;
use crate::names::{self, Rule, check_annotations, check_labels};
use crate::object;
use crate::resources::Resource;

fn rule(resource: &Resource) -> Rule {
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Namespace") => Rule::Label,
        ("", "Service") => Rule::OldLabel,
        ("rbac.authorization.k8s.io", _) => Rule::Segment,
        (_, "Event") => Rule::Segment,
        _ => Rule::Subdomain,
    }
}

/// The faults of the metadata of a new object.
pub(crate) fn check(resource: &Resource, value: &Value, errors: &mut Vec<FieldError>) {
    let rule = rule(resource);
    let generate = object::meta(value, "generateName");
    if !generate.is_empty() {
        let probe = generate.trim_end_matches('-');
        let faults = names::name_faults(rule, if probe.is_empty() { generate } else { probe });
        for fault in faults {
            errors.push(FieldError::invalid("metadata.generateName", &json!(generate), &fault));
        }
    }
    if object::name(value).is_empty() {
        let detail = "name or generateName is required";
        errors.push(FieldError::required("metadata.name", detail));
    } else {
        names::check_name(rule, "metadata.name", object::name(value), errors);
    }
    if resource.is("batch", "CronJob") && object::name(value).len() > 52 {
        errors.push(FieldError::invalid(
            "metadata.name",
            &json!(object::name(value)),
            "must be no more than 52 characters",
        ));
    }
    common(resource, value, errors);
}

/// The faults of changed metadata.
pub(crate) fn check_update(
    resource: &Resource,
    old: &Value,
    new: &Value,
    errors: &mut Vec<FieldError>,
) {
    if object::is_deleting(new) {
        let before: Vec<&str> = object::finalizers(old).collect();
        let added: Vec<String> = object::finalizers(new)
            .filter(|one| !before.contains(one))
            .map(|one| format!("{one:?}"))
            .collect();
        if !added.is_empty() {
            let error = FieldError::forbidden(
                "metadata.finalizers",
                &format!(
                    "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                    added.join(", ")
                ),
            );
            errors.push(error);
        }
    }
    common(resource, new, errors);
}

/// The faults of labels, annotations, owners and finalizers.
pub(crate) fn common(resource: &Resource, value: &Value, errors: &mut Vec<FieldError>) {
    let metadata = &value["metadata"];
    check_labels("metadata.labels", &metadata["labels"], errors);
    check_annotations("metadata.annotations", &metadata["annotations"], errors);
    check_owners(&metadata["ownerReferences"], errors);
    if !matches!(resource.group.as_str(), "" | "batch" | "apps") {
        return;
    }
    for (index, finalizer) in object::finalizers(value).enumerate() {
        let field = format!("metadata.finalizers[{index}]");
        let faults = names::label_key_faults(finalizer);
        for fault in &faults {
            errors.push(FieldError::invalid(&*field, &json!(finalizer), fault));
        }
        let standard = matches!(finalizer, "orphan" | "foregroundDeletion" | "kubernetes");
        if faults.is_empty() && !standard && !finalizer.contains('/') {
            errors.push(FieldError::invalid(
                field,
                &json!(finalizer),
                "name is neither a standard finalizer name nor is it fully qualified",
            ));
        }
    }
}

fn check_owners(references: &Value, errors: &mut Vec<FieldError>) {
    const FIELD: &str = "metadata.ownerReferences";
    let mut controller: Option<&Value> = None;
    for one in references.as_array().into_iter().flatten() {
        for (key, detail) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "must not be empty"),
            ("name", "must not be empty"),
            ("uid", "must not be empty"),
        ] {
            if one[key].as_str().unwrap_or_default().is_empty() {
                errors.push(FieldError::invalid(format!("{FIELD}.{key}"), &json!(""), detail));
            }
        }
        if one["controller"] != true {
            continue;
        }
        match controller {
            None => controller = Some(one),
            Some(first) => {
                let named = |one: &Value| {
                    format!("{}/{}", object::text(one, &["kind"]), object::text(one, &["name"]))
                };
                errors.push(FieldError::invalid_text(
                    FIELD,
                    &shown(references),
                    &format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {} and {}",
                        named(first),
                        named(one)
                    ),
                ));
            }
        }
    }
}

/// References as the real server prints them: their fields in the order of the type.
fn shown(references: &Value) -> String {
    const ORDER: &[&str] =
        &["apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion"];
    let all: Vec<String> = references
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| {
            let fields: Vec<String> = ORDER
                .iter()
                .filter_map(|key| Some(format!("{key:?}:{}", one.get(*key)?)))
                .collect();
            format!("{{{}}}", fields.join(","))
        })
        .collect();
    format!("[{}]", all.join(","))
}
