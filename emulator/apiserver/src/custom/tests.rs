//! What pruning and defaulting do to any value.

use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::{collection, proptest};
use serde_json::{Map, Value, json};

use super::prune::{default, prune};
use super::schema::Schema;

fn schema() -> Schema {
    Schema::read(&json!({
        "type": "object",
        "properties": {
            "a": {"type": "string", "default": "x"},
            "b": {
                "type": "object",
                "default": {},
                "properties": {"a": {"type": "integer", "default": 3}, "c": {"type": "string"}},
            },
            "c": {"type": "array", "items": {
                "type": "object",
                "properties": {"a": {"type": "boolean", "default": true}, "b": {"type": "integer"}},
            }},
            "d": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "e": {"type": "object", "additionalProperties": {
                "type": "object",
                "properties": {"a": {"type": "string"}},
            }},
            "f": {"type": "string", "nullable": true},
        },
    }))
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-z]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            collection::btree_map("[a-g]", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect::<Map<String, Value>>())),
        ]
    })
}

/// Whether everything that the schema declares in `before` is in `after`, but for nulls.
fn keeps(schema: &Schema, before: &Value, after: &Value) -> bool {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => before.iter().all(|(name, one)| {
            let below = schema.properties.get(name).or(schema.additional.as_deref());
            match (below, after.get(name)) {
                (None, _) if !schema.is_free() => true,
                (None, found) => found == Some(one),
                (Some(below), _) if one.is_null() && !below.nullable => true,
                (Some(below), Some(found)) => keeps(below, one, found),
                (Some(_), None) => false,
            }
        }),
        (Value::Array(before), Value::Array(after)) => {
            let other = Schema { preserve: schema.preserve, ..Schema::default() };
            let below = schema.items.as_deref().unwrap_or(&other);
            before.len() == after.len()
                && before.iter().zip(after).all(|(one, other)| keeps(below, one, other))
        }
        (before, after) => before == after,
    }
}

proptest! {
    #[test]
    fn pruning_twice_takes_nothing_more(mut value in value()) {
        let schema = schema();
        prune(&schema, &mut value);
        let once = value.clone();
        assert!(prune(&schema, &mut value).is_empty());
        assert_eq!(value, once);
    }

    #[test]
    fn defaulting_twice_changes_nothing_more(mut value in value()) {
        let schema = schema();
        prune(&schema, &mut value);
        default(&schema, &mut value);
        let once = value.clone();
        default(&schema, &mut value);
        assert_eq!(value, once);
        assert!(prune(&schema, &mut value).is_empty(), "defaults are pruned");
    }

    #[test]
    fn no_declared_field_is_lost(value in value()) {
        let schema = schema();
        let mut done = value.clone();
        prune(&schema, &mut done);
        default(&schema, &mut done);
        assert!(keeps(&schema, &value, &done), "{value} became {done}");
    }
}

#[test]
fn defaults_fill_what_is_absent_at_every_depth() {
    let mut value = json!({"c": [{"b": 1}], "a": null, "z": 1});
    assert_eq!(prune(&schema(), &mut value), ["z"]);
    default(&schema(), &mut value);
    assert_eq!(value, json!({"a": "x", "b": {"a": 3}, "c": [{"a": true, "b": 1}]}));
}

#[test]
fn a_schema_that_never_ends_is_read_to_a_depth() {
    let mut schema = json!({"type": "string"});
    for _ in 0..100 {
        schema = json!({"type": "object", "properties": {"a": schema}});
    }
    let schema = Schema::read(&schema);
    let mut value = json!({"b": 1});
    for _ in 0..100 {
        value = json!({"a": value});
    }
    prune(&schema, &mut value);
    default(&schema, &mut value);
}
