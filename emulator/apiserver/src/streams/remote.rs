//! How a command has ended, in the words that clients are told.

use serde_json::{Value, json};

/// The `Status` for an exit, as version 4 of the protocols and later ones say it.
pub(crate) fn status(exit: &Result<i32, String>) -> Value {
    match exit {
        Ok(0) => json!({"metadata": {}, "status": "Success"}),
        Ok(code) => json!({
            "metadata": {},
            "status": "Failure",
            "message": failure(*code),
            "reason": "NonZeroExitCode",
            "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
        }),
        Err(message) => json!({
            "metadata": {},
            "status": "Failure",
            "message": format!("Internal error occurred: {message}"),
            "reason": "InternalError",
            "details": {"causes": [{"message": message}]},
            "code": 500,
        }),
    }
}

/// The text for an exit, as earlier versions say it; nothing for success.
pub(crate) fn text(exit: &Result<i32, String>) -> String {
    match exit {
        Ok(0) => String::new(),
        Ok(code) => failure(*code),
        Err(message) => format!("Internal error occurred: {message}"),
    }
}

fn failure(code: i32) -> String {
    format!("command terminated with non-zero exit code: command terminated with exit code {code}")
}
