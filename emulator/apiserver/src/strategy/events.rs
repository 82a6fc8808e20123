//! Events.

use serde_json::{Value, json};

use crate::failure::FieldError;
use crate::object;

pub(crate) fn check(event: &Value, errors: &mut Vec<FieldError>) {
    let about = object::text(event, &["involvedObject", "namespace"]);
    let namespace = object::namespace(event);
    if about.is_empty() {
        if namespace != "default" {
            errors.push(FieldError::invalid(
                "involvedObject.namespace",
                &json!(about),
                "does not match event.namespace",
            ));
        }
    } else if about != namespace {
        errors.push(FieldError::invalid(
            "involvedObject.namespace",
            &json!(about),
            "does not match event.namespace",
        ));
    }
}
