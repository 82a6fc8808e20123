//! The schemas of custom resources in the documents.

use serde_json::{Map, Value, json};

use super::{Version, full_name, kind};
use crate::custom::Custom;
use crate::resources::Resource;

/// What the second version of the format cannot say.
const NOT_IN_TWO: &[&str] = &["allOf", "anyOf", "default", "not", "nullable", "oneOf"];

/// The schema of a custom resource.
pub(crate) fn schema(resource: &Resource, custom: &Custom, version: Version) -> Value {
    let mut schema = custom.written.clone();
    if !schema.is_object() {
        schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    }
    if version == Version::Two {
        reduce(&mut schema);
    }
    if let Value::Object(map) = &mut schema {
        map.insert("type".to_owned(), json!("object"));
        map.insert("x-kubernetes-group-version-kind".to_owned(), json!([kind(resource)]));
        let properties = map.entry("properties").or_insert_with(|| json!({}));
        if let Value::Object(properties) = properties {
            envelope(properties, version);
        }
    }
    schema
}

fn envelope(properties: &mut Map<String, Value>, version: Version) {
    let text = |description: &str| json!({"type": "string", "description": description});
    properties.insert("apiVersion".to_owned(), text("The version of the schema of this object."));
    properties.insert("kind".to_owned(), text("The kind of this object."));
    let mut metadata = version.reference(&full_name("meta.v1.ObjectMeta"));
    if version == Version::Three {
        metadata["description"] = json!("The metadata of this object.");
    }
    properties.insert("metadata".to_owned(), metadata);
}

/// Takes out what the second version of the format does not have.
fn reduce(schema: &mut Value) {
    let Value::Object(map) = schema else { return };
    map.retain(|key, _| !NOT_IN_TWO.contains(&key.as_str()));
    if map.get("x-kubernetes-preserve-unknown-fields") == Some(&json!(true)) {
        for key in ["items", "properties", "type"] {
            map.remove(key);
        }
        return;
    }
    for key in ["items", "additionalProperties"] {
        if let Some(below) = map.get_mut(key) {
            reduce(below);
        }
    }
    if let Some(Value::Object(properties)) = map.get_mut("properties") {
        properties.values_mut().for_each(reduce);
    }
}
