//! Whether the schema of a definition is one that the real server takes: structural, within its
//! bounds, and with rules that can be compiled.

mod language;

use serde_json::{Value, json};

use self::language::{Found, Place, standard};
use super::path::Path;
use super::schema::{DEPTH, Schema};
use super::{prune, validate};
use crate::failure::FieldError;
use crate::object;

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
    let place = Place::root();
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

/// The rules of structural schemas.
fn structure(schema: &Value, level: Level, path: &Path, errors: &mut Vec<FieldError>) {
    let kind = text(schema, "type");
    if kind == "array" && !schema["items"].is_object() {
        let field = path.field("items").to_string();
        errors.push(FieldError::required(field, "must be specified"));
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
            errors.push(FieldError::forbidden(place.to_string(), "must not be used at the root"));
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
            errors.push(FieldError::invalid(path.field(key).to_string(), &json!(true), what));
        }
    }
    if !text(schema, "type").is_empty() {
        let what = "must be empty if x-kubernetes-int-or-string is true";
        let field = path.field("type").to_string();
        errors.push(FieldError::invalid(field, &schema["type"], what));
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
            errors.push(FieldError::forbidden(field, "must be empty to be structural"));
        }
    }
    for key in ["additionalProperties", "default"] {
        if !schema[key].is_null() {
            let field = path.field(key).to_string();
            errors.push(FieldError::forbidden(field, "must be undefined to be structural"));
        }
    }
    for key in ["nullable", ANYTHING, EMBEDDED, INT_OR_STRING] {
        if flag(schema, key) {
            let field = path.field(key).to_string();
            errors.push(FieldError::forbidden(field, "must be false to be structural"));
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
            None => errors.push(FieldError::required(
                outer_parent.key(name).to_string(),
                &format!("because it is defined in {place}"),
            )),
        }
    }
    if schema["items"].is_object() {
        let place = path.field("items");
        if outer["items"].is_object() {
            nested(&outer["items"], &schema["items"], &outer_path.field("items"), &place, errors);
        } else {
            let field = outer_path.field("items").to_string();
            let what = format!("because it is defined in {place}");
            errors.push(FieldError::required(field, &what));
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
        errors.push(match kind {
            "" => FieldError::required(field.clone(), what),
            kind => FieldError::invalid(field.clone(), &json!(kind), what),
        });
    } else if kind.is_empty() && !flag(schema, INT_OR_STRING) && !flag(schema, ANYTHING) {
        let what = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        errors.push(FieldError::required(field.clone(), what));
    }
    if flag(schema, EMBEDDED) && !schema["additionalProperties"].is_null() {
        let what = "must not be used if x-kubernetes-embedded-resource is set";
        let field = path.field("additionalProperties").to_string();
        errors.push(FieldError::forbidden(field, what));
    }
    if level == Level::Root && !kind.is_empty() && kind != "object" {
        errors.push(FieldError::invalid(field, &json!(kind), "must be object at the root"));
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
            errors.push(FieldError::invalid(field, &json!(text(below, "type")), &what));
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
            errors.push(FieldError::invalid(field, &Value::Object(metadata.clone()), what));
        }
    }
    if flag(schema, EMBEDDED) && !flag(schema, ANYTHING) && properties(schema).next().is_none() {
        let what = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
        errors.push(FieldError::required(parent.to_string(), what));
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
            errors.push(FieldError::invalid(place.to_string(), default, what));
        } else {
            let mut filled = default.clone();
            prune::default(&read, &mut filled);
            for error in validate::check(&read, &filled, None) {
                let field = match error.field.as_str() {
                    "" => place.to_string(),
                    "<nil>" => error.field.clone(),
                    below => format!("{place}.{below}"),
                };
                errors.push(FieldError { field, ..error });
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
