//! What the books say after a few writes.

use serde_json::{Value, json};

use super::{Writer, apply, update};
use crate::resources::Catalogue;

fn writer(manager: &str) -> Writer<'_> {
    Writer { manager: manager.into(), subresource: "" }
}

fn config(data: &Value) -> Value {
    json!({"metadata": {"name": "a"}, "data": data})
}

fn fields(object: &Value, manager: &str) -> Value {
    object["metadata"]["managedFields"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|entry| entry["manager"] == manager)
        .map_or(Value::Null, |entry| entry["fieldsV1"].clone())
}

#[test]
fn a_write_owns_what_it_changes() {
    let resource = Catalogue::built_in().storage("configmaps");
    let mut first = config(&json!({"a": "1", "b": "1"}));
    update(&resource, None, &mut first, &writer("one"));
    assert_eq!(fields(&first, "one"), json!({"f:data": {".": {}, "f:a": {}, "f:b": {}}}));
    let mut second = first.clone();
    second["data"]["a"] = json!("2");
    update(&resource, Some(&first), &mut second, &writer("two"));
    assert_eq!(fields(&second, "one"), json!({"f:data": {".": {}, "f:b": {}}}));
    assert_eq!(fields(&second, "two"), json!({"f:data": {"f:a": {}}}));
}

#[test]
fn an_apply_drops_what_it_no_longer_names() {
    let resource = Catalogue::built_in().storage("configmaps");
    let first =
        apply(&resource, None, &config(&json!({"a": "1", "b": "1"})), &writer("one"), false)
            .unwrap();
    let second =
        apply(&resource, Some(&first), &config(&json!({"b": "1"})), &writer("one"), false).unwrap();
    assert_eq!(second["data"], json!({"b": "1"}));
}

#[test]
fn an_apply_over_the_field_of_another_is_a_conflict_unless_forced() {
    let resource = Catalogue::built_in().storage("configmaps");
    let first = apply(&resource, None, &config(&json!({"a": "1"})), &writer("one"), false).unwrap();
    let other = config(&json!({"a": "2"}));
    let conflicts = apply(&resource, Some(&first), &other, &writer("two"), false).unwrap_err();
    assert_eq!(conflicts[0].path, ".data.a");
    assert_eq!(conflicts[0].manager, "one");
    let forced = apply(&resource, Some(&first), &other, &writer("two"), true).unwrap();
    assert_eq!(forced["data"], json!({"a": "2"}));
    assert_eq!(fields(&forced, "two"), json!({"f:data": {"f:a": {}}}));
}
