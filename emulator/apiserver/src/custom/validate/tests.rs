//! Values against schemas, and the words for what does not fit.

use serde_json::{Value, json};

use super::{check, duplicates, embedded, formats};
use crate::custom::schema::Schema;

fn messages(schema: Value, value: Value) -> Vec<String> {
    let schema = json!({"type": "object", "properties": {"a": schema}});
    let (schema, value) = (Schema::read(&schema), json!({"a": value}));
    let mut errors = check(&schema, &value, None);
    errors.extend(duplicates(&schema, &value));
    errors.into_iter().map(|error| format!("{}: {}", error.field, error.message)).collect()
}

#[test]
fn types_are_checked() {
    let of = |kind: &str, value: Value| messages(json!({"type": kind}), value);
    assert_eq!(
        of("integer", json!("x")),
        ["a: Invalid value: \"string\": a in body must be of type integer: \"string\""]
    );
    assert_eq!(
        of("string", json!(null)),
        ["a: Invalid value: \"null\": a in body must be of type string: \"null\""]
    );
    assert!(of("number", json!(3)).is_empty());
    assert!(of("integer", json!(3.0)).is_empty());
    assert_eq!(of("integer", json!(3.5)).len(), 1);
    assert!(messages(json!({"x-kubernetes-int-or-string": true}), json!("50%")).is_empty());
    assert_eq!(
        messages(json!({"x-kubernetes-int-or-string": true}), json!(true)),
        ["a: Invalid value: \"boolean\": a in body must be of type integer,string: \"boolean\""]
    );
    assert!(messages(json!({"type": "string", "nullable": true}), json!(null)).is_empty());
}

#[test]
fn bounds_are_checked() {
    let number = json!({"type": "number", "minimum": 1, "maximum": 2, "exclusiveMaximum": true});
    assert_eq!(
        messages(number.clone(), json!(0)),
        ["a: Invalid value: 0: a in body should be greater than or equal to 1"]
    );
    assert_eq!(
        messages(number, json!(2)),
        ["a: Invalid value: 2: a in body should be less than 2"]
    );
    let text = json!({"type": "string", "minLength": 2, "maxLength": 3, "pattern": "^x"});
    assert_eq!(
        messages(text.clone(), json!("y")),
        [
            "a: Invalid value: \"y\": a in body should be at least 2 chars long",
            "a: Invalid value: \"y\": a in body should match '^x'",
        ]
    );
    assert_eq!(messages(text, json!("xäää")), ["a: Too long: may not be more than 3 bytes"]);
    let list = json!({"type": "array", "items": {"type": "string"}, "minItems": 1});
    assert_eq!(
        messages(list, json!([])),
        ["a: Invalid value: 0: a in body should have at least 1 items"]
    );
}

#[test]
fn exactly_one_of_several_schemas_must_fit() {
    let schema = json!({"type": "object", "oneOf": [{"required": ["x"]}, {"required": ["y"]}]});
    assert_eq!(
        messages(schema.clone(), json!({})),
        [
            "<nil>: Invalid value: \"\": \"a\" must validate one and only one schema (oneOf). Found none valid",
            "a.x: Required value",
        ]
    );
    assert_eq!(
        messages(schema.clone(), json!({"x": 1, "y": 1})),
        [
            "<nil>: Invalid value: \"\": \"a\" must validate one and only one schema (oneOf). Found 2 valid alternatives",
        ]
    );
    assert!(messages(schema, json!({"x": 1})).is_empty());
}

#[test]
fn sets_and_keyed_lists_have_no_duplicates() {
    let set =
        json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}});
    assert_eq!(messages(set, json!(["x", "y", "x", "x"])), ["a[2]: Duplicate value: \"x\""]);
    let keyed = json!({
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name", "port"],
        "items": {"type": "object", "properties": {"port": {"default": 80}}},
    });
    assert_eq!(
        messages(keyed, json!([{"name": "x", "port": 80}, {"name": "x"}])),
        ["a[1]: Duplicate value: {\"name\":\"x\",\"port\":80}"]
    );
}

#[test]
fn embedded_resources_say_what_they_are() {
    let schema = Schema::read(&json!({"type": "object", "properties": {"a": {
        "type": "object",
        "x-kubernetes-embedded-resource": true,
        "x-kubernetes-preserve-unknown-fields": true,
    }}}));
    let faults = embedded(&schema, &json!({"a": {"kind": "Pod"}}));
    assert_eq!(faults.len(), 1);
    assert_eq!(faults[0].field, "a.apiVersion");
}

#[test]
fn what_did_not_change_is_not_refused() {
    let schema = Schema::read(&json!({
        "type": "object",
        "properties": {"a": {"type": "integer", "maximum": 1}, "b": {"type": "integer"}},
    }));
    let (old, new) = (json!({"a": 5, "b": 1}), json!({"a": 5, "b": 2}));
    assert!(check(&schema, &new, Some(&old)).is_empty());
    assert_eq!(check(&schema, &json!({"a": 6, "b": 1}), Some(&old)).len(), 1);
}

#[test]
fn formats_are_those_of_the_api() {
    for (format, good, bad) in [
        ("date-time", "2026-01-02T03:04:05Z", "yesterday"),
        ("date", "2026-01-02", "2026-1-2"),
        ("ipv4", "10.0.0.1", "10.0.0"),
        ("cidr", "10.0.0.0/8", "10.0.0.0/33"),
        ("uuid", "11111111-2222-3333-4444-555555555555", "x"),
        ("email", "a@example.com", "a"),
        ("byte", "YQ==", "?"),
        ("duration", "1h30m", "soon"),
        ("hostname", "example.com", "a b"),
    ] {
        assert!(formats::fits(format, good), "{format} {good}");
        assert!(!formats::fits(format, bad), "{format} {bad}");
    }
    assert!(formats::fits("unknown", "anything"));
}
