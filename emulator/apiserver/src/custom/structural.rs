//! Whether the schema of a definition is one that the real server takes: structural, within its
//! bounds, and with rules that can be compiled.

use serde_json::{Value, json};

use super::path::Path;
use super::rules::Rule;
use super::schema::{DEPTH, Schema, compile};
use super::{prune, validate};
use crate::failure::FieldError;
use crate::object;

const KINDS: &[&str] = &["array", "boolean", "integer", "number", "object", "string"];

/// Where a schema stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Field,
    Item,
}

/// Checks the schema of a version.
pub(crate) fn check(schema: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    if depth(schema, 0) > DEPTH {
        let what = format!("the schema is nested deeper than {DEPTH} levels");
        errors.push(FieldError::invalid(path.to_string(), &json!(""), &what));
        return;
    }
    let before = errors.len();
    structure(schema, Level::Root, path, errors);
    if errors.len() == before {
        defaults(schema, path, errors);
    }
    let mut found = Found { errors: Vec::new(), rules: Vec::new() };
    let place = Place { root: true, defaults: None, meta: false, uncorrelated: None };
    standard(schema, path, &place, &mut found);
    let sound = found.errors.is_empty() && errors.len() == before;
    errors.extend(found.errors);
    if sound {
        errors.extend(found.rules);
    }
}

fn depth(schema: &Value, level: usize) -> usize {
    if level > DEPTH {
        return level;
    }
    let below = |one: &Value| depth(one, level + 1);
    let single = ["items", "additionalProperties", "not"].iter().filter_map(|key| schema.get(*key));
    let lists = ["allOf", "anyOf", "oneOf"].iter().flat_map(|key| object::list(schema, &[key]));
    let properties = schema["properties"].as_object().into_iter().flat_map(|map| map.values());
    single.chain(lists).chain(properties).map(below).max().unwrap_or(level)
}

fn flag(schema: &Value, key: &str) -> bool {
    schema[key].as_bool().unwrap_or_default()
}

fn text<'a>(schema: &'a Value, key: &str) -> &'a str {
    object::text(schema, &[key])
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema["properties"].as_object().into_iter().flatten()
}

const ANYTHING: &str = "x-kubernetes-preserve-unknown-fields";
const EMBEDDED: &str = "x-kubernetes-embedded-resource";
const INT_OR_STRING: &str = "x-kubernetes-int-or-string";

fn push(errors: &mut Vec<FieldError>, error: FieldError) {
    errors.push(error);
}

/// The rules of structural schemas.
fn structure(schema: &Value, level: Level, path: &Path, errors: &mut Vec<FieldError>) {
    let kind = text(schema, "type");
    if kind == "array" && !schema["items"].is_object() {
        let field = path.field("items").to_string();
        push(errors, FieldError::required(field, "must be specified"));
    }
    if schema["items"].is_object() {
        structure(&schema["items"], Level::Item, &path.field("items"), errors);
    }
    let parent = path.field("properties");
    for (name, below) in properties(schema) {
        structure(below, Level::Field, &parent.key(name), errors);
    }
    let additional = &schema["additionalProperties"];
    if !additional.is_null() {
        let place = path.field("additionalProperties");
        if level == Level::Root {
            push(errors, FieldError::forbidden(place.to_string(), "must not be used at the root"));
        }
        if additional.is_object() {
            structure(additional, Level::Field, &place, errors);
        }
    }
    extensions(schema, path, errors);
    compositions(schema, path, errors);
    kinds(schema, level, path, errors);
    envelope(schema, level, path, errors);
}

fn extensions(schema: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    if !flag(schema, INT_OR_STRING) {
        return;
    }
    let what = "must be false if x-kubernetes-int-or-string is true";
    for key in [ANYTHING, EMBEDDED] {
        if flag(schema, key) {
            push(errors, FieldError::invalid(path.field(key).to_string(), &json!(true), what));
        }
    }
    if !text(schema, "type").is_empty() {
        let what = "must be empty if x-kubernetes-int-or-string is true";
        let field = path.field("type").to_string();
        push(errors, FieldError::invalid(field, &schema["type"], what));
    }
}

/// What stands in `allOf` and the like only checks values; it declares nothing.
fn compositions(schema: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let either = json!([{"type": "integer"}, {"type": "string"}]);
    let int_or_string = flag(schema, INT_OR_STRING);
    for key in ["allOf", "anyOf", "oneOf"] {
        if key == "anyOf" && int_or_string && schema[key] == either {
            continue;
        }
        let parent = path.field(key);
        for (index, below) in object::list(schema, &[key]).iter().enumerate() {
            if key == "allOf" && index == 0 && int_or_string && below["anyOf"] == either {
                continue;
            }
            nested(schema, below, path, &parent.index(index), errors);
        }
    }
    if schema["not"].is_object() {
        nested(schema, &schema["not"], path, &path.field("not"), errors);
    }
}

fn nested(
    outer: &Value,
    schema: &Value,
    outer_path: &Path,
    path: &Path,
    errors: &mut Vec<FieldError>,
) {
    for key in ["type", "title", "description"] {
        if !text(schema, key).is_empty() {
            let field = path.field(key).to_string();
            push(errors, FieldError::forbidden(field, "must be empty to be structural"));
        }
    }
    for key in ["additionalProperties", "default"] {
        if !schema[key].is_null() {
            let field = path.field(key).to_string();
            push(errors, FieldError::forbidden(field, "must be undefined to be structural"));
        }
    }
    for key in ["nullable", ANYTHING, EMBEDDED, INT_OR_STRING] {
        if flag(schema, key) {
            let field = path.field(key).to_string();
            push(errors, FieldError::forbidden(field, "must be false to be structural"));
        }
    }
    let parent = path.field("properties");
    let outer_parent = outer_path.field("properties");
    for (name, below) in properties(schema) {
        let place = parent.key(name);
        let declared = outer["properties"].get(name).or_else(|| {
            outer.get("additionalProperties").filter(|additional| additional.is_object())
        });
        match declared {
            Some(declared) => nested(declared, below, &outer_parent.key(name), &place, errors),
            None => push(
                errors,
                FieldError::required(
                    outer_parent.key(name).to_string(),
                    &format!("because it is defined in {place}"),
                ),
            ),
        }
    }
    if schema["items"].is_object() {
        let place = path.field("items");
        if outer["items"].is_object() {
            nested(&outer["items"], &schema["items"], &outer_path.field("items"), &place, errors);
        } else {
            let field = outer_path.field("items").to_string();
            let what = format!("because it is defined in {place}");
            push(errors, FieldError::required(field, &what));
        }
    }
    for key in ["allOf", "anyOf", "oneOf"] {
        let parent = path.field(key);
        for (index, below) in object::list(schema, &[key]).iter().enumerate() {
            nested(outer, below, outer_path, &parent.index(index), errors);
        }
    }
    if schema["not"].is_object() {
        nested(outer, &schema["not"], outer_path, &path.field("not"), errors);
    }
}

fn kinds(schema: &Value, level: Level, path: &Path, errors: &mut Vec<FieldError>) {
    let kind = text(schema, "type");
    let field = path.field("type").to_string();
    if flag(schema, EMBEDDED) && kind != "object" {
        let what = "must be object if x-kubernetes-embedded-resource is true";
        push(
            errors,
            match kind {
                "" => FieldError::required(field.clone(), what),
                kind => FieldError::invalid(field.clone(), &json!(kind), what),
            },
        );
    } else if kind.is_empty() && !flag(schema, INT_OR_STRING) && !flag(schema, ANYTHING) {
        let what = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        push(errors, FieldError::required(field.clone(), what));
    }
    if flag(schema, EMBEDDED) && !schema["additionalProperties"].is_null() {
        let what = "must not be used if x-kubernetes-embedded-resource is set";
        let field = path.field("additionalProperties").to_string();
        push(errors, FieldError::forbidden(field, what));
    }
    if level == Level::Root && !kind.is_empty() && kind != "object" {
        push(errors, FieldError::invalid(field, &json!(kind), "must be object at the root"));
    }
}

/// Of `kind`, `apiVersion` and `metadata` a schema may say only so much.
fn envelope(schema: &Value, level: Level, path: &Path, errors: &mut Vec<FieldError>) {
    if level != Level::Root && !flag(schema, EMBEDDED) {
        return;
    }
    let parent = path.field("properties");
    for (name, wanted) in [("kind", "string"), ("apiVersion", "string"), ("metadata", "object")] {
        if let Some(below) = schema["properties"].get(name)
            && below["type"] != wanted
        {
            let field = parent.key(name).field("type").to_string();
            let what = format!("must be {wanted}");
            push(errors, FieldError::invalid(field, &json!(text(below, "type")), &what));
        }
    }
    if level == Level::Root
        && let Some(Value::Object(metadata)) = schema["properties"].get("metadata")
    {
        let named = metadata.get("properties").and_then(Value::as_object);
        let only_names = named.is_none_or(|named| {
            named.keys().all(|name| matches!(name.as_str(), "name" | "generateName"))
        });
        let known = |key: &String| matches!(key.as_str(), "type" | "properties" | "description");
        if !only_names || !metadata.keys().all(known) {
            let what = "must not specify anything other than name and generateName, but metadata is implicitly specified";
            let field = parent.key("metadata").to_string();
            push(errors, FieldError::invalid(field, &Value::Object(metadata.clone()), what));
        }
    }
    if flag(schema, EMBEDDED) && !flag(schema, ANYTHING) && properties(schema).next().is_none() {
        let what = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
        push(errors, FieldError::required(parent.to_string(), what));
    }
}

/// Defaults must fit their own schema, and have nothing that would be pruned.
fn defaults(schema: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    if let Some(default) = schema.get("default") {
        let place = path.field("default");
        let read = Schema::read(schema);
        let mut pruned = default.clone();
        if !prune::prune(&read, &mut pruned).is_empty() {
            let what = "must not have unknown fields";
            push(errors, FieldError::invalid(place.to_string(), default, what));
        } else {
            let mut filled = default.clone();
            prune::default(&read, &mut filled);
            for error in validate::check(&read, &filled, None) {
                let field = match error.field.as_str() {
                    "" => place.to_string(),
                    "<nil>" => error.field.clone(),
                    below => format!("{place}.{below}"),
                };
                push(errors, FieldError { field, ..error });
            }
        }
    }
    let parent = path.field("properties");
    for (name, below) in properties(schema) {
        defaults(below, &parent.key(name), errors);
    }
    for key in ["items", "additionalProperties"] {
        if schema[key].is_object() {
            defaults(&schema[key], &path.field(key), errors);
        }
    }
}

/// What is found: about the schema, and about its rules, which count only where it is sound.
struct Found {
    errors: Vec<FieldError>,
    rules: Vec<FieldError>,
}

/// What the schemas around a schema mean for it.
#[derive(Clone)]
struct Place {
    root: bool,
    /// Why it may have no defaults.
    defaults: Option<String>,
    /// Whether it belongs to the metadata of a resource.
    meta: bool,
    /// The first schema around it whose values cannot be told from each other over time.
    uncorrelated: Option<String>,
}

/// The rules of the schema language as the real server has it.
fn standard(schema: &Value, path: &Path, place: &Place, found: &mut Found) {
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
        push(errors, FieldError::unsupported(field("type"), &json!(kind), KINDS));
    }
    if schema.get("default").is_some()
        && let Some(why) = &place.defaults
    {
        push(errors, FieldError::forbidden(field("default"), &format!("must not be set {why}")));
    }
    for key in ["id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"]
    {
        if schema.get(key).is_some() {
            push(errors, FieldError::forbidden(field(key), &format!("{key} is not supported")));
        }
    }
    if kind == "null" {
        let what = "type cannot be set to null, use nullable as an alternative";
        push(errors, FieldError::forbidden(field("type"), what));
    }
    if schema["items"].is_array() {
        let what = "items must be a schema object and not an array";
        push(errors, FieldError::forbidden(field("items"), what));
    }
    if place.meta && flag(schema, EMBEDDED) {
        let what = "must not be used inside of resource meta";
        push(errors, FieldError::forbidden(field(EMBEDDED), what));
    }
    if flag(schema, "uniqueItems") {
        let what =
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        push(errors, FieldError::forbidden(field("uniqueItems"), what));
    }
    if schema[ANYTHING] == false {
        let what = "must be true or undefined";
        push(errors, FieldError::invalid(field(ANYTHING), &json!(false), what));
    }
    if let Some(pattern) = schema["pattern"].as_str()
        && let Err(error) = compile(pattern)
    {
        let error = error.to_string();
        let what = format!(
            "must be a valid regular expression, but isn't: {}",
            error.lines().last().unwrap_or_default()
        );
        push(errors, FieldError::invalid(field("pattern"), &json!(pattern), &what));
    }
}

/// The rules of the types of lists and maps.
fn lists(schema: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let kind = text(schema, "type");
    let field = |key: &str| path.field(key).to_string();
    let needs = |errors: &mut Vec<FieldError>, wanted: &str, key: &str| {
        let what = format!("must be {wanted} if {key} is specified");
        push(
            errors,
            match kind {
                "" => FieldError::required(field("type"), &what),
                kind => FieldError::invalid(field("type"), &json!(kind), &what),
            },
        );
    };
    const MAP: &str = "x-kubernetes-map-type";
    const LIST: &str = "x-kubernetes-list-type";
    const KEYS: &str = "x-kubernetes-list-map-keys";
    if let Some(map) = schema.get(MAP) {
        if kind != "object" {
            needs(errors, "object", MAP);
        }
        if map != "atomic" && map != "granular" {
            push(errors, FieldError::unsupported(field(MAP), map, &["atomic", "granular"]));
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
                push(errors, FieldError::invalid(field, &items[LIST], what));
            }
            if items["type"] == "object" && items[MAP] != "atomic" {
                let field = place.field(MAP).to_string();
                push(errors, FieldError::invalid(field, &items[LIST], what));
            }
        }
        if !matches!(list, "atomic" | "set" | "map") {
            let allowed = &["atomic", "set", "map"];
            push(errors, FieldError::unsupported(field(LIST), &json!(list), allowed));
        }
    }
    let keys = object::list(schema, &[KEYS]);
    let what = "must be map if x-kubernetes-list-map-keys is non-empty";
    if !keys.is_empty() && list.is_empty() {
        push(errors, FieldError::required(field(LIST), what));
    } else if !keys.is_empty() && list != "map" {
        push(errors, FieldError::invalid(field(LIST), &json!(list), what));
    }
    if list == "map" {
        keyed(schema, keys, path, errors);
    }
    if matches!(list, "map" | "set") && flag(items, "nullable") {
        let field = path.field("items").field("nullable").to_string();
        let what = format!("cannot be nullable when x-kubernetes-list-type is {list}");
        push(errors, FieldError::forbidden(field, &what));
    }
}

fn keyed(schema: &Value, keys: &[Value], path: &Path, errors: &mut Vec<FieldError>) {
    let field = path.field("x-kubernetes-list-map-keys").to_string();
    if keys.is_empty() {
        let what = "must not be empty if x-kubernetes-list-type is map";
        push(errors, FieldError::required(&*field, what));
    }
    let items = &schema["items"];
    let place = path.field("items");
    if items.is_null() {
        let what = "must have a schema if x-kubernetes-list-type is map";
        push(errors, FieldError::required(place.to_string(), what));
        return;
    }
    if items["type"] != "object" {
        let what = "must be object if parent array's x-kubernetes-list-type is map";
        let field = place.field("type").to_string();
        push(errors, FieldError::invalid(field, &json!(text(items, "type")), what));
        return;
    }
    let parent = place.field("properties");
    for (index, key) in keys.iter().enumerate() {
        let name = key.as_str().unwrap_or_default();
        let Some(property) = items["properties"].get(name) else {
            let what = "entries must all be names of item properties";
            push(errors, FieldError::invalid(&*field, &json!(keys), what));
            continue;
        };
        let here = parent.key(name);
        if matches!(text(property, "type"), "array" | "object") {
            let what = "must be a scalar type if parent array's x-kubernetes-list-type is map";
            let field = here.field("type").to_string();
            push(errors, FieldError::invalid(field, &items["type"], what));
        }
        if keys[..index].contains(key) {
            let what = "must not contain duplicate entries";
            push(errors, FieldError::invalid(&*field, &json!(keys), what));
        }
        if !object::list(items, &["required"]).contains(key) && property.get("default").is_none() {
            let what = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            push(errors, FieldError::required(here.field("default").to_string(), what));
        }
        if flag(property, "nullable") {
            let what = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            push(errors, FieldError::forbidden(here.field("nullable").to_string(), what));
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
