//! What rules accept, and how they say that they do not.

use serde_json::{Value, json};

use super::check;
use crate::custom::schema::Schema;

fn messages(schema: &Value, value: &Value, old: Option<&Value>) -> Vec<String> {
    check(&Schema::read(schema), value, old)
        .into_iter()
        .map(|error| format!("{}: {}", error.field, error.message))
        .collect()
}

fn schema(rule: &Value) -> Value {
    json!({"type": "object", "properties": {"spec": {
        "type": "object",
        "x-kubernetes-validations": [rule],
        "properties": {
            "size": {"type": "integer"},
            "min": {"type": "integer"},
            "share": {"type": "number"},
            "names": {"type": "array", "items": {"type": "string"}},
            "a-b": {"type": "string"},
        },
    }}})
}

#[test]
fn a_broken_rule_says_its_message_at_its_place() {
    let rule =
        json!({"rule": "!has(self.min) || self.min <= self.size", "message": "min is too large"});
    let value = json!({"spec": {"size": 3, "min": 9}});
    assert_eq!(messages(&schema(&rule), &value, None), ["spec: Invalid value: min is too large"]);
    let value = json!({"spec": {"size": 3, "min": 1}});
    assert!(messages(&schema(&rule), &value, None).is_empty());
}

#[test]
fn a_rule_can_make_its_message_and_name_a_field() {
    let rule = json!({
        "rule": "self.size < 10",
        "messageExpression": "'size is ' + string(self.size)",
        "fieldPath": ".size",
        "reason": "FieldValueForbidden",
    });
    let value = json!({"spec": {"size": 30}});
    assert_eq!(messages(&schema(&rule), &value, None), ["spec.size: Forbidden: size is 30"]);
}

#[test]
fn a_rule_about_the_past_runs_only_where_there_is_one() {
    let rule = json!({"rule": "self.size >= oldSelf.size", "message": "it only grows"});
    let (small, large) = (json!({"spec": {"size": 1}}), json!({"spec": {"size": 2}}));
    assert!(messages(&schema(&rule), &small, None).is_empty());
    assert!(messages(&schema(&rule), &large, Some(&small)).is_empty());
    assert_eq!(
        messages(&schema(&rule), &small, Some(&large)),
        ["spec: Invalid value: it only grows"]
    );
}

#[test]
fn a_rule_with_an_optional_past_runs_on_creation() {
    let rule = json!({
        "rule": "oldSelf.hasValue() || self.size == 1",
        "optionalOldSelf": true,
        "message": "it starts at 1",
    });
    let value = json!({"spec": {"size": 2}});
    assert_eq!(messages(&schema(&rule), &value, None), ["spec: Invalid value: it starts at 1"]);
    let before = json!({"spec": {"size": 1}});
    assert!(messages(&schema(&rule), &value, Some(&before)).is_empty());
}

#[test]
fn numbers_texts_and_lists_have_their_functions() {
    for rule in [
        "self.share == 0.5 && self.share < 1.0",
        "self.names.all(name, name.matches('^[a-z]+$'))",
        "self.names.isSorted() && size(self.names) == 2",
        "self.names.map(name, name.size()).sum() == 2",
        "self.a__dash__b.startsWith('x') && self.a__dash__b.lowerAscii() == 'xy'",
        "'a1b2'.findAll('[0-9]').size() == 2",
        "duration('90s') > duration('1m') && duration('1h') == duration('60m')",
        "timestamp('2026-01-01T00:00:00Z') + duration('1h') < timestamp('2026-01-01T02:00:00Z')",
        "quantity('1Gi').isGreaterThan(quantity('1000Mi')) && isQuantity('1k')",
        "isIP('10.0.0.1') && isCIDR('10.0.0.0/8') && !isURL('nowhere')",
    ] {
        let value = json!({"spec": {"share": 0.5, "names": ["a", "b"], "a-b": "xY"}});
        let rule = json!({"rule": rule});
        assert!(
            messages(&schema(&rule), &value, None).is_empty(),
            "{rule}: {:?}",
            messages(&schema(&rule), &value, None)
        );
    }
}

#[test]
fn loops_within_loops_over_large_lists_are_refused_before_they_run() {
    let rule = json!({
        "rule": "self.names.all(a, self.names.all(b, self.names.all(c, a + b + c != 'x')))",
    });
    let names: Vec<String> = (0..2000).map(|number| number.to_string()).collect();
    let value = json!({"spec": {"names": names}});
    let began = std::time::Instant::now();
    let messages = messages(&schema(&rule), &value, None);
    assert!(messages[0].contains("running out of cost budget"), "{messages:?}");
    assert!(began.elapsed().as_secs() < 60);
}

#[test]
fn a_rule_with_an_unknown_function_holds_nobody_up() {
    let rule = json!({"rule": "self.size.frobnicate() == 1"});
    assert!(messages(&schema(&rule), &json!({"spec": {"size": 1}}), None).is_empty());
}

#[test]
fn a_missing_field_is_named() {
    let rule = json!({"rule": "self.min > 0"});
    let messages = messages(&schema(&rule), &json!({"spec": {}}), None);
    assert_eq!(messages, ["spec: Invalid value: no such key: min evaluating rule: self.min > 0"]);
}
