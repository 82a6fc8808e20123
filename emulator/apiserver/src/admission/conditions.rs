//! Match conditions: expressions (CEL) that say whether a webhook is to be called.

use cel::{Context, Program};
use serde_json::Value;

use super::hooks::Hook;

/// One condition, compiled once.
#[derive(Debug)]
pub(super) struct Condition {
    program: Result<Program, String>,
}

impl Condition {
    pub(super) fn new(condition: &Value) -> Self {
        let expression = condition["expression"].as_str().unwrap_or_default();
        Condition { program: compile(expression) }
    }
}

/// # Errors
/// Why it is no expression.
pub(crate) fn compile(expression: &str) -> Result<Program, String> {
    Program::compile(expression).map_err(|error| error.to_string())
}

/// Whether all conditions of a webhook hold for a request. One that does not hold counts more than
/// one that cannot be evaluated.
///
/// # Errors
/// What cannot be evaluated.
pub(super) fn hold(hook: &Hook, request: &Value) -> Result<bool, String> {
    let mut context = Context::default();
    for (name, value) in
        [("request", request), ("object", &request["object"]), ("oldObject", &request["oldObject"])]
    {
        let value = cel::to_value(value).map_err(|error| error.to_string())?;
        context.add_variable_from_value(name, value);
    }
    let mut faults = Vec::new();
    for condition in &hook.conditions {
        match &condition.program {
            Err(fault) => faults.push(fault.clone()),
            Ok(program) => match program.execute(&context) {
                Ok(cel::Value::Bool(true)) => {}
                Ok(cel::Value::Bool(false)) => return Ok(false),
                Ok(_) => faults.push("the condition gives no bool".to_owned()),
                Err(fault) => faults.push(fault.to_string()),
            },
        }
    }
    match faults.as_slice() {
        [] => Ok(true),
        [one] => Err(one.clone()),
        many => Err(format!("[{}]", many.join(", "))),
    }
}
