//! The rules of the schema language: what may be said, how lists and maps are declared, and whether
//! the rules in it can be compiled.

use serde_json::{Value, json};

use super::{ANYTHING, EMBEDDED, flag, properties, text};
use crate::custom::path::Path;
use crate::custom::rules::Rule;
use crate::custom::schema::compile;
use crate::failure::FieldError;
use crate::object;

const KINDS: &[&str] = &["array", "boolean", "integer", "number", "object", "string"];

/// What is found: about the schema, and about its rules, which count only where it is sound.
pub(super) struct Found {
    pub(super) errors: Vec<FieldError>,
    pub(super) rules: Vec<FieldError>,
}

/// What the schemas around a schema mean for it.
#[derive(Clone)]
pub(super) struct Place {
    root: bool,
    /// Why it may have no defaults.
    defaults: Option<String>,
    /// Whether it belongs to the metadata of a resource.
    meta: bool,
    /// The first schema around it whose values cannot be told from each other over time.
    uncorrelated: Option<String>,
}

impl Place {
    /// Of a schema that has nothing around it.
    pub(super) fn root() -> Self {
        Place { root: true, defaults: None, meta: false, uncorrelated: None }
    }
}

/// The rules of the schema language as the real server has it.
pub(super) fn standard(schema: &Value, path: &Path, place: &Place, found: &mut Found) {
    let errors = &mut found.errors;
    own(schema, path, place, errors);
    let inner = Place { root: false, ..place.clone() };
    let additional = &schema["additionalProperties"];
    if !additional.is_null() {
        let below = path.field("additionalProperties");
        if properties(schema).next().is_some() && additional != true {
            let what = "additionalProperties and properties are mutual exclusive";
            found.errors.push(FieldError::forbidden(below.to_string(), what));
        }
        if additional.is_object() {
            let mut inner = inner.clone();
            if place.meta {
                inner.defaults =
                    Some("inside additionalProperties applying to object metadata".to_owned());
            }
            standard(additional, &below, &inner, found);
        }
    }
    let parent = path.field("properties");
    let resource = place.root || flag(schema, EMBEDDED);
    for (name, below) in properties(schema) {
        let mut inner = inner.clone();
        if schema["x-kubernetes-map-type"] == "atomic" {
            inner.uncorrelated.get_or_insert_with(|| path.to_string());
        }
        if resource && matches!(name.as_str(), "metadata" | "kind" | "apiVersion") {
            inner.meta = true;
            if place.root {
                inner.defaults = Some(format!("in top-level {name}"));
            }
        }
        standard(below, &parent.key(name), &inner, found);
    }
    for key in ["not", "items"] {
        if schema[key].is_object() {
            let mut inner = inner.clone();
            if key == "items" && schema["x-kubernetes-list-type"] != "map" {
                inner.uncorrelated.get_or_insert_with(|| path.to_string());
            }
            standard(&schema[key], &path.field(key), &inner, found);
        }
    }
    for key in ["allOf", "oneOf", "anyOf"] {
        let parent = path.field(key);
        for (index, below) in object::list(schema, &[key]).iter().enumerate() {
            standard(below, &parent.index(index), &inner, found);
        }
    }
    lists(schema, path, &mut found.errors);
    rules(schema, path, place, found);
}

fn own(schema: &Value, path: &Path, place: &Place, errors: &mut Vec<FieldError>) {
    let kind = text(schema, "type");
    let field = |key: &str| path.field(key).to_string();
    if !kind.is_empty() && !KINDS.contains(&kind) {
        errors.push(FieldError::unsupported(field("type"), &json!(kind), KINDS));
    }
    if schema.get("default").is_some()
        && let Some(why) = &place.defaults
    {
        errors.push(FieldError::forbidden(field("default"), &format!("must not be set {why}")));
    }
    for key in ["id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"]
    {
        if schema.get(key).is_some() {
            errors.push(FieldError::forbidden(field(key), &format!("{key} is not supported")));
        }
    }
    if kind == "null" {
        let what = "type cannot be set to null, use nullable as an alternative";
        errors.push(FieldError::forbidden(field("type"), what));
    }
    if schema["items"].is_array() {
        let what = "items must be a schema object and not an array";
        errors.push(FieldError::forbidden(field("items"), what));
    }
    if place.meta && flag(schema, EMBEDDED) {
        let what = "must not be used inside of resource meta";
        errors.push(FieldError::forbidden(field(EMBEDDED), what));
    }
    if flag(schema, "uniqueItems") {
        let what =
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        errors.push(FieldError::forbidden(field("uniqueItems"), what));
    }
    if schema[ANYTHING] == false {
        let what = "must be true or undefined";
        errors.push(FieldError::invalid(field(ANYTHING), &json!(false), what));
    }
    if let Some(pattern) = schema["pattern"].as_str()
        && let Err(error) = compile(pattern)
    {
        let error = error.to_string();
        let what = format!(
            "must be a valid regular expression, but isn't: {}",
            error.lines().last().unwrap_or_default()
        );
        errors.push(FieldError::invalid(field("pattern"), &json!(pattern), &what));
    }
}

/// The rules of the types of lists and maps.
fn lists(schema: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let kind = text(schema, "type");
    let field = |key: &str| path.field(key).to_string();
    let needs = |errors: &mut Vec<FieldError>, wanted: &str, key: &str| {
        let what = format!("must be {wanted} if {key} is specified");
        errors.push(match kind {
            "" => FieldError::required(field("type"), &what),
            kind => FieldError::invalid(field("type"), &json!(kind), &what),
        });
    };
    const MAP: &str = "x-kubernetes-map-type";
    const LIST: &str = "x-kubernetes-list-type";
    const KEYS: &str = "x-kubernetes-list-map-keys";
    if let Some(map) = schema.get(MAP) {
        if kind != "object" {
            needs(errors, "object", MAP);
        }
        if map != "atomic" && map != "granular" {
            errors.push(FieldError::unsupported(field(MAP), map, &["atomic", "granular"]));
        }
    }
    let list = text(schema, LIST);
    let items = &schema["items"];
    if schema.get(LIST).is_some() {
        if kind != "array" {
            needs(errors, "array", LIST);
        } else if list == "set" {
            let what = "must be atomic as item of a list with x-kubernetes-list-type=set";
            let place = path.field("items");
            if items["type"] == "array" && !matches!(text(items, LIST), "" | "atomic") {
                let field = place.field(LIST).to_string();
                errors.push(FieldError::invalid(field, &items[LIST], what));
            }
            if items["type"] == "object" && items[MAP] != "atomic" {
                let field = place.field(MAP).to_string();
                errors.push(FieldError::invalid(field, &items[LIST], what));
            }
        }
        if !matches!(list, "atomic" | "set" | "map") {
            let allowed = &["atomic", "set", "map"];
            errors.push(FieldError::unsupported(field(LIST), &json!(list), allowed));
        }
    }
    let keys = object::list(schema, &[KEYS]);
    let what = "must be map if x-kubernetes-list-map-keys is non-empty";
    if !keys.is_empty() && list.is_empty() {
        errors.push(FieldError::required(field(LIST), what));
    } else if !keys.is_empty() && list != "map" {
        errors.push(FieldError::invalid(field(LIST), &json!(list), what));
    }
    if list == "map" {
        keyed(schema, keys, path, errors);
    }
    if matches!(list, "map" | "set") && flag(items, "nullable") {
        let field = path.field("items").field("nullable").to_string();
        let what = format!("cannot be nullable when x-kubernetes-list-type is {list}");
        errors.push(FieldError::forbidden(field, &what));
    }
}

fn keyed(schema: &Value, keys: &[Value], path: &Path, errors: &mut Vec<FieldError>) {
    let field = path.field("x-kubernetes-list-map-keys").to_string();
    if keys.is_empty() {
        let what = "must not be empty if x-kubernetes-list-type is map";
        errors.push(FieldError::required(&*field, what));
    }
    let items = &schema["items"];
    let place = path.field("items");
    if items.is_null() {
        let what = "must have a schema if x-kubernetes-list-type is map";
        errors.push(FieldError::required(place.to_string(), what));
        return;
    }
    if items["type"] != "object" {
        let what = "must be object if parent array's x-kubernetes-list-type is map";
        let field = place.field("type").to_string();
        errors.push(FieldError::invalid(field, &json!(text(items, "type")), what));
        return;
    }
    let parent = place.field("properties");
    for (index, key) in keys.iter().enumerate() {
        let name = key.as_str().unwrap_or_default();
        let Some(property) = items["properties"].get(name) else {
            let what = "entries must all be names of item properties";
            errors.push(FieldError::invalid(&*field, &json!(keys), what));
            continue;
        };
        let here = parent.key(name);
        if matches!(text(property, "type"), "array" | "object") {
            let what = "must be a scalar type if parent array's x-kubernetes-list-type is map";
            let field = here.field("type").to_string();
            errors.push(FieldError::invalid(field, &items["type"], what));
        }
        if keys[..index].contains(key) {
            let what = "must not contain duplicate entries";
            errors.push(FieldError::invalid(&*field, &json!(keys), what));
        }
        if !object::list(items, &["required"]).contains(key) && property.get("default").is_none() {
            let what = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.push(FieldError::required(here.field("default").to_string(), what));
        }
        if flag(property, "nullable") {
            let what = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.push(FieldError::forbidden(here.field("nullable").to_string(), what));
        }
    }
}

fn rules(schema: &Value, path: &Path, place: &Place, found: &mut Found) {
    let parent = path.field("x-kubernetes-validations");
    for (index, written) in object::list(schema, &["x-kubernetes-validations"]).iter().enumerate() {
        let here = parent.index(index);
        let field = |key: &str| here.field(key).to_string();
        let (rule, message) = (text(written, "rule").trim(), text(written, "message").trim());
        let broken = |text: &str| text.contains(['\n', '\r']);
        let fault = if rule.is_empty() {
            Some(FieldError::required(field("rule"), "rule is not specified"))
        } else if !text(written, "message").is_empty() && message.is_empty() {
            let what = "message must be non-empty if specified";
            Some(FieldError::invalid(field("message"), &written["message"], what))
        } else if broken(message) {
            let what = "message must not contain line breaks";
            Some(FieldError::invalid(field("message"), &written["message"], what))
        } else if broken(rule) && message.is_empty() {
            let what = "message must be specified if rule contains line breaks";
            Some(FieldError::required(field("message"), what))
        } else {
            None
        };
        if let Some(fault) = fault {
            found.errors.push(fault);
            continue;
        }
        let rule = Rule::read(written);
        if let Some(fault) = rule.fault() {
            let shown = shown(written);
            found.rules.push(FieldError::invalid_text(field("rule"), &shown, fault));
        } else if rule.is_transition()
            && let Some(around) = &place.uncorrelated
        {
            let what = format!(
                "oldSelf cannot be used on the uncorrelatable portion of the schema within {around}"
            );
            found.rules.push(FieldError::invalid(field("rule"), &written["rule"], &what));
        }
    }
}

/// A rule as the real server prints it.
fn shown(rule: &Value) -> String {
    let text = |key: &str| json!(text(rule, key));
    format!(
        "{{\"Rule\":{},\"Message\":{},\"MessageExpression\":{},\"Reason\":{},\"FieldPath\":{},\"OptionalOldSelf\":{}}}",
        text("rule"),
        text("message"),
        text("messageExpression"),
        rule["reason"],
        text("fieldPath"),
        rule["optionalOldSelf"]
    )
}
