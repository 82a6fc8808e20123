//! The columns of custom resources: those of the definition, or the age.

use serde_json::{Value, json};

use super::Custom;
use super::path::find;
use crate::object;
use crate::table::age;

/// A column of a definition.
#[derive(Debug)]
pub(crate) struct Column {
    name: String,
    kind: String,
    format: String,
    description: String,
    priority: i64,
    path: String,
}

/// The columns of a version of a definition.
pub(crate) fn read(version: &Value) -> Vec<Column> {
    let declared = object::list(version, &["additionalPrinterColumns"]);
    if declared.is_empty() {
        return vec![Column {
            name: "Age".to_owned(),
            kind: "date".to_owned(),
            format: String::new(),
            description: "When the object was created.".to_owned(),
            priority: 0,
            path: ".metadata.creationTimestamp".to_owned(),
        }];
    }
    declared
        .iter()
        .map(|column| {
            let text = |key: &str| object::text(column, &[key]).to_owned();
            let path = text("jsonPath");
            let description = match text("description") {
                empty if empty.is_empty() => {
                    format!("Custom resource definition column (in JSONPath format): {path}")
                }
                description => description,
            };
            Column {
                name: text("name"),
                kind: text("type"),
                format: text("format"),
                priority: column["priority"].as_i64().unwrap_or_default(),
                description,
                path,
            }
        })
        .collect()
}

/// The definitions of the columns after the name.
pub(crate) fn columns(custom: &Custom) -> impl Iterator<Item = Value> {
    custom.columns.iter().map(|column| {
        json!({
            "name": column.name,
            "type": column.kind,
            "format": column.format,
            "description": column.description,
            "priority": column.priority,
        })
    })
}

/// The cells after the name.
pub(crate) fn cells(custom: &Custom, value: &Value) -> impl Iterator<Item = Value> {
    custom.columns.iter().map(|column| cell(column, find(value, &column.path)))
}

fn cell(column: &Column, found: Option<&Value>) -> Value {
    let Some(found) = found.filter(|found| !found.is_null()) else { return Value::Null };
    match (column.kind.as_str(), found) {
        ("integer", Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
            (Some(_), _) => found.clone(),
            #[expect(clippy::cast_possible_truncation, reason = "a table shows whole numbers")]
            (None, Some(float)) => json!(float as i64),
            (None, None) => Value::Null,
        },
        ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => found.clone(),
        ("integer" | "number" | "boolean", _) => Value::Null,
        ("date", Value::String(time)) => json!(age::since(time)),
        ("date", _) => json!("<invalid>"),
        (_, Value::String(_)) => found.clone(),
        (_, other) => json!(other.to_string()),
    }
}
