//! The versions of a definition: their names, schemas, parts and columns.
//!
//! What is the same in all versions is named as if it stood beside them, as the real server does:
//! `spec.validation` rather than `spec.versions[0].schema`.

use serde_json::{Value, json};

use crate::custom::label_faults;
use crate::custom::path::{Path, steps};
use crate::custom::structural;
use crate::failure::FieldError;
use crate::object;

const COLUMN_KINDS: &[&str] = &["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: &[&str] =
    &["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];

/// Checks what stands in the versions.
pub(crate) fn check(spec: &Value, errors: &mut Vec<FieldError>) {
    let versions = object::list(spec, &["versions"]);
    for (index, version) in versions.iter().enumerate() {
        if version["schema"]["openAPIV3Schema"].is_null() {
            let field = format!("spec.versions[{index}].schema.openAPIV3Schema");
            errors.push(FieldError::required(field, ""));
        }
    }
    for (index, version) in versions.iter().enumerate() {
        let field = format!("spec.versions[{index}]");
        let name = object::text(version, &["name"]);
        let faults = label_faults(name);
        if !faults.is_empty() {
            let error =
                FieldError::invalid(format!("{field}.name"), &json!(name), &faults.join(","));
            errors.push(error);
        }
        check_deprecation(&field, version, errors);
        if !same(versions, "schema") {
            check_schema(&format!("{field}.schema"), version, errors);
        }
        if !same(versions, "subresources") {
            check_parts(&format!("{field}.subresources"), version, errors);
        }
        if !same(versions, "additionalPrinterColumns") {
            check_columns(&format!("{field}.additionalPrinterColumns"), version, errors);
        }
        if !same(versions, "selectableFields") {
            check_selectable(&format!("{field}.selectableFields"), version, errors);
        }
    }
    let mut names: Vec<&str> = versions.iter().map(|one| object::text(one, &["name"])).collect();
    names.sort_unstable();
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        let what = "must contain unique version names";
        errors.push(FieldError::invalid_text("spec.versions", &shown(versions), what));
    }
    if versions.iter().filter(|one| one["storage"] == true).count() != 1 {
        let what = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid_text("spec.versions", &shown(versions), what));
    }
    if let Some(first) = versions.first() {
        let name = object::text(first, &["name"]);
        let faults = label_faults(name);
        if !name.is_empty() && !faults.is_empty() {
            errors.push(FieldError::invalid("spec.version", &json!(name), &faults.join(",")));
        }
    }
}

/// Checks what is the same in all versions.
pub(crate) fn check_hoisted(spec: &Value, errors: &mut Vec<FieldError>) {
    let versions = object::list(spec, &["versions"]);
    let Some(first) = versions.first() else { return };
    if same(versions, "schema") {
        check_schema("spec.validation", first, errors);
    }
    if same(versions, "subresources") {
        check_parts("spec.subresources", first, errors);
    }
    if same(versions, "additionalPrinterColumns") {
        check_columns("spec.additionalPrinterColumns", first, errors);
    }
    if same(versions, "selectableFields") {
        check_selectable("spec.selectableFields", first, errors);
    }
}

/// Whether all versions have the same, and something.
fn same(versions: &[Value], key: &str) -> bool {
    let Some(first) = versions.first() else { return false };
    !first[key].is_null() && versions.iter().all(|one| one[key] == first[key])
}

/// The versions as the real server prints them: what is the same in all is not in them.
fn shown(versions: &[Value]) -> String {
    let part = |version: &Value, key: &str| match version.get(key) {
        Some(value) if !same(versions, key) => value.to_string(),
        _ => "null".to_owned(),
    };
    let all: Vec<String> = versions
        .iter()
        .map(|version| {
            format!(
                "{{\"Name\":{},\"Served\":{},\"Storage\":{},\"Deprecated\":{},\"DeprecationWarning\":{},\"Schema\":{},\"Subresources\":{},\"AdditionalPrinterColumns\":{},\"SelectableFields\":{}}}",
                version["name"],
                version["served"] == true,
                version["storage"] == true,
                version["deprecated"] == true,
                version["deprecationWarning"],
                part(version, "schema"),
                part(version, "subresources"),
                part(version, "additionalPrinterColumns"),
                part(version, "selectableFields"),
            )
        })
        .collect();
    format!("[{}]", all.join(","))
}

fn check_deprecation(field: &str, version: &Value, errors: &mut Vec<FieldError>) {
    let Some(warning) = version["deprecationWarning"].as_str() else { return };
    let field = format!("{field}.deprecationWarning");
    let mut faults = Vec::new();
    if version["deprecated"] != true {
        faults.push("can only be set for deprecated versions".to_owned());
    } else {
        if warning.len() > 256 {
            faults.push("must be <= 256 characters long".to_owned());
        }
        if warning.is_empty() {
            faults.push("must not be an empty string".to_owned());
        }
        if let Some(index) = warning.find(char::is_control) {
            faults.push(format!(
                "must only contain printable UTF-8 characters; non-printable character found at index {index}"
            ));
        }
    }
    for fault in faults {
        errors.push(FieldError::invalid(&*field, &json!(warning), &fault));
    }
}

fn check_schema(field: &str, version: &Value, errors: &mut Vec<FieldError>) {
    let schema = &version["schema"]["openAPIV3Schema"];
    if schema.is_null() {
        return;
    }
    if schema["nullable"] == true {
        let field = format!("{field}.openAPIV3Schema.nullable");
        errors.push(FieldError::forbidden(field, "nullable cannot be true at the root"));
    }
    let outer = Path::Root;
    let parent = outer.field(field);
    structural::check(schema, &parent.field("openAPIV3Schema"), errors);
}

fn check_parts(field: &str, version: &Value, errors: &mut Vec<FieldError>) {
    let scale = &version["subresources"]["scale"];
    if !scale.is_object() {
        return;
    }
    for (key, place) in [("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")] {
        let path = object::text(scale, &[key]);
        let field = format!("{field}.scale.{key}");
        if path.is_empty() {
            errors.push(FieldError::required(field, ""));
        } else if !path.starts_with('.') {
            let what = "must be a simple json path starting with .";
            errors.push(FieldError::invalid(field, &json!(path), what));
        } else if !path.starts_with(place) {
            let what = format!("should be a json path under {}", place.trim_end_matches('.'));
            errors.push(FieldError::invalid(field, &json!(path), &what));
        }
    }
    let path = object::text(scale, &["labelSelectorPath"]);
    if !path.is_empty() {
        let field = format!("{field}.scale.labelSelectorPath");
        if !path.starts_with('.') {
            let what = "must be a simple json path starting with .";
            errors.push(FieldError::invalid(field, &json!(path), what));
        } else if !path.starts_with(".spec.") && !path.starts_with(".status.") {
            let what = "should be a json path under either .spec or .status";
            errors.push(FieldError::invalid(field, &json!(path), what));
        }
    }
}

fn check_columns(field: &str, version: &Value, errors: &mut Vec<FieldError>) {
    for (index, column) in object::list(version, &["additionalPrinterColumns"]).iter().enumerate() {
        let text = |key: &str| object::text(column, &[key]);
        let place = |key: &str| format!("{field}[{index}].{key}");
        if text("name").is_empty() {
            errors.push(FieldError::required(place("name"), ""));
        }
        let kinds = format!("must be one of {}", COLUMN_KINDS.join(","));
        if text("type").is_empty() {
            errors.push(FieldError::required(place("type"), &kinds));
        } else if !COLUMN_KINDS.contains(&text("type")) {
            errors.push(FieldError::invalid(place("type"), &column["type"], &kinds));
        }
        if !text("format").is_empty() && !COLUMN_FORMATS.contains(&text("format")) {
            let what = format!("must be one of {}", COLUMN_FORMATS.join(","));
            errors.push(FieldError::invalid(place("format"), &column["format"], &what));
        }
        if text("jsonPath").is_empty() {
            errors.push(FieldError::required(place("JSONPath"), ""));
        } else if !text("jsonPath").starts_with('.') {
            let what = "must be a simple json path starting with .";
            errors.push(FieldError::invalid(place("JSONPath"), &column["jsonPath"], what));
        }
    }
}

fn check_selectable(field: &str, version: &Value, errors: &mut Vec<FieldError>) {
    const MOST: usize = 8;
    let fields = object::list(version, &["selectableFields"]);
    let mut seen: Vec<Vec<String>> = Vec::new();
    for (index, one) in fields.iter().enumerate() {
        let path = object::text(one, &["jsonPath"]);
        let place = format!("{field}[{index}]");
        if path.is_empty() {
            errors.push(FieldError::required(format!("{place}.jsonPath"), ""));
            continue;
        }
        let steps = steps(path);
        let schema =
            steps.iter().try_fold(&version["schema"]["openAPIV3Schema"], |schema, step| {
                schema["properties"].get(step)
            });
        let metadata = steps.first().is_some_and(|first| first == "metadata");
        match schema {
            _ if metadata => {
                let what = "must not point to fields in metadata";
                errors.push(FieldError::invalid(&*place, &json!(path), what));
            }
            None => {
                let what = "is an invalid path: does not refer to a valid field";
                errors.push(FieldError::invalid(format!("{place}.jsonPath"), &json!(path), what));
                continue;
            }
            Some(schema)
                if !matches!(schema["type"].as_str(), Some("string" | "boolean" | "integer")) =>
            {
                let what = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.";
                errors.push(FieldError::invalid(&*place, &json!(path), what));
            }
            Some(_) => {}
        }
        if seen.contains(&steps) {
            errors.push(FieldError::duplicate(place, &json!(path)));
        } else {
            seen.push(steps);
        }
    }
    if seen.len() > MOST {
        errors.push(FieldError {
            reason: "FieldValueTooMany",
            field: field.to_owned(),
            message: format!("Too many: {}: must have at most {MOST} items", seen.len()),
        });
    }
}
