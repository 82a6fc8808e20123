//! Label selectors inside objects.

use serde_json::{Value, json};

use crate::failure::FieldError;
use crate::names;
use crate::object;

pub(crate) fn check(selector: &Value, field: &str, errors: &mut Vec<FieldError>) {
    names::check_labels(&format!("{field}.matchLabels"), &selector["matchLabels"], errors);
    for (index, one) in object::list(selector, &["matchExpressions"]).iter().enumerate() {
        let field = format!("{field}.matchExpressions[{index}]");
        let values = object::list(one, &["values"]);
        match object::text(one, &["operator"]) {
            "In" | "NotIn" if values.is_empty() => errors.push(FieldError::required(
                format!("{field}.values"),
                "must be specified when `operator` is 'In' or 'NotIn'",
            )),
            "Exists" | "DoesNotExist" if !values.is_empty() => errors.push(FieldError::forbidden(
                format!("{field}.values"),
                "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            )),
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => errors.push(FieldError::invalid(
                format!("{field}.operator"),
                &json!(other),
                "not a valid selector operator",
            )),
        }
        let key = object::text(one, &["key"]);
        for fault in names::label_key_faults(key) {
            errors.push(FieldError::invalid(format!("{field}.key"), &json!(key), &fault));
        }
        for (at, value) in values.iter().enumerate() {
            for fault in names::label_value_faults(value.as_str().unwrap_or_default()) {
                errors.push(FieldError::invalid(format!("{field}.values[{at}]"), value, &fault));
            }
        }
    }
}
