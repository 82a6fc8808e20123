//! The schema of a custom resource, read once from its definition into a form that is quick to use.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use regex::{Regex, RegexBuilder};
use serde_json::Value;

use super::rules::Rule;
use crate::object;

/// How deep a schema may nest; what lies deeper takes anything.
pub(crate) const DEPTH: usize = 64;

/// A schema of a value.
#[derive(Debug, Default)]
pub(crate) struct Schema {
    /// The type, or the empty string.
    pub(crate) kind: String,
    pub(crate) properties: BTreeMap<String, Schema>,
    /// The schema of what the properties do not name.
    pub(crate) additional: Option<Box<Schema>>,
    /// Whether anything may be beside the properties (`additionalProperties: true`).
    pub(crate) open: bool,
    pub(crate) items: Option<Box<Schema>>,
    pub(crate) default: Option<Value>,
    pub(crate) nullable: bool,
    pub(crate) preserve: bool,
    pub(crate) embedded: bool,
    pub(crate) int_or_string: bool,
    pub(crate) list_type: String,
    pub(crate) list_keys: Vec<String>,
    pub(crate) atomic_map: bool,
    pub(crate) required: Vec<String>,
    pub(crate) allowed: Vec<Value>,
    pub(crate) pattern: Option<Pattern>,
    pub(crate) format: String,
    pub(crate) limits: Limits,
    pub(crate) all_of: Vec<Schema>,
    pub(crate) any_of: Vec<Schema>,
    pub(crate) one_of: Vec<Schema>,
    pub(crate) not: Option<Box<Schema>>,
    pub(crate) rules: Vec<Rule>,
    /// Whether there are rules here or below.
    pub(crate) ruled: bool,
}

/// The bounds of a value.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    pub(crate) minimum: Option<f64>,
    pub(crate) maximum: Option<f64>,
    pub(crate) above_minimum: bool,
    pub(crate) below_maximum: bool,
    pub(crate) multiple_of: Option<f64>,
    pub(crate) min_length: Option<usize>,
    pub(crate) max_length: Option<usize>,
    pub(crate) min_items: Option<usize>,
    pub(crate) max_items: Option<usize>,
    pub(crate) min_properties: Option<usize>,
    pub(crate) max_properties: Option<usize>,
}

/// A regular expression, compiled when it is first needed.
#[derive(Debug)]
pub(crate) struct Pattern {
    pub(crate) text: String,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    fn new(text: &str) -> Self {
        Pattern { text: text.to_owned(), compiled: OnceLock::new() }
    }

    /// Whether it matches; one that cannot be compiled matches nothing.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let compiled = self.compiled.get_or_init(|| compile(&self.text).ok());
        compiled.as_ref().is_some_and(|pattern| pattern.is_match(text))
    }
}

/// Compiles a regular expression within bounds; it matches in linear time.
pub(crate) fn compile(text: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text).size_limit(4 << 20).nest_limit(200).build()
}

impl Schema {
    /// Reads the schema of a definition, as it is stored.
    pub(crate) fn read(value: &Value) -> Schema {
        read(value, 0)
    }

    /// Whether there is no fixed set of fields.
    pub(crate) fn is_free(&self) -> bool {
        self.preserve || self.open
    }
}

fn read(value: &Value, depth: usize) -> Schema {
    if depth > DEPTH {
        return Schema { preserve: true, ..Schema::default() };
    }
    let flag = |key: &str| value[key].as_bool().unwrap_or_default();
    let text = |key: &str| object::text(value, &[key]).to_owned();
    let below = |value: &Value| read(value, depth + 1);
    let all = |key: &str| object::list(value, &[key]).iter().map(below).collect::<Vec<Schema>>();
    let one =
        |key: &str| value.get(key).filter(|one| one.is_object()).map(|one| Box::new(below(one)));
    let properties: BTreeMap<String, Schema> = value["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, schema)| (name.clone(), below(schema)))
        .collect();
    let additional = one("additionalProperties");
    let items = one("items");
    let rules: Vec<Rule> =
        object::list(value, &["x-kubernetes-validations"]).iter().map(Rule::read).collect();
    let ruled = !rules.is_empty()
        || properties.values().any(|one| one.ruled)
        || additional.as_ref().is_some_and(|one| one.ruled)
        || items.as_ref().is_some_and(|one| one.ruled);
    Schema {
        kind: text("type"),
        open: value["additionalProperties"] == true,
        default: value.get("default").cloned(),
        nullable: flag("nullable"),
        preserve: flag("x-kubernetes-preserve-unknown-fields"),
        embedded: flag("x-kubernetes-embedded-resource"),
        int_or_string: flag("x-kubernetes-int-or-string"),
        list_type: text("x-kubernetes-list-type"),
        list_keys: words(&value["x-kubernetes-list-map-keys"]),
        atomic_map: value["x-kubernetes-map-type"] == "atomic",
        required: words(&value["required"]),
        allowed: object::list(value, &["enum"]).to_vec(),
        pattern: value["pattern"].as_str().filter(|text| !text.is_empty()).map(Pattern::new),
        format: text("format"),
        limits: limits(value),
        all_of: all("allOf"),
        any_of: all("anyOf"),
        one_of: all("oneOf"),
        not: one("not"),
        properties,
        additional,
        items,
        rules,
        ruled,
    }
}

fn limits(value: &Value) -> Limits {
    let count = |key: &str| value[key].as_u64().and_then(|count| usize::try_from(count).ok());
    let flag = |key: &str| value[key].as_bool().unwrap_or_default();
    Limits {
        minimum: value["minimum"].as_f64(),
        maximum: value["maximum"].as_f64(),
        above_minimum: flag("exclusiveMinimum"),
        below_maximum: flag("exclusiveMaximum"),
        multiple_of: value["multipleOf"].as_f64(),
        min_length: count("minLength"),
        max_length: count("maxLength"),
        min_items: count("minItems"),
        max_items: count("maxItems"),
        min_properties: count("minProperties"),
        max_properties: count("maxProperties"),
    }
}

fn words(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
