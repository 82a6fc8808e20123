//! Service accounts: nothing is refused beyond what metadata and types forbid.

use serde_json::Value;

use crate::failure::FieldError;

pub(crate) fn check(_account: &Value, _errors: &mut Vec<FieldError>) {}
