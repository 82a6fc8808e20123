//! Hides a project's secrets in what is printed.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use runtime::project::Project;
use secrecy::ExposeSecret;
use serde_json::Value;

/// Shorter values would hide half of every log.
const SHORTEST: usize = 6;

/// What is shown in the place of a secret.
const SHOWN: &str = "***";

/// The values that must not be printed, the longest first.
#[derive(Clone, Default)]
pub(crate) struct Mask {
    values: Vec<String>,
}

impl Mask {
    /// Hides everything that a project keeps secret.
    pub(crate) fn of(project: &Project) -> Mask {
        let mut values = Vec::new();
        for value in project.secrets.values() {
            collect(value, &mut values);
        }
        for secret in [
            &project.shared_secret,
            &project.generic_gateway_secret,
            &project.github_token,
            &project.ssh_key,
            &project.ssh_cert,
        ] {
            add(secret.expose_secret(), &mut values);
        }
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        values.dedup();
        Mask { values }
    }

    pub(crate) fn apply<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut masked = Cow::Borrowed(text);
        for value in &self.values {
            if masked.contains(value.as_str()) {
                masked = Cow::Owned(masked.replace(value.as_str(), SHOWN));
            }
        }
        masked
    }
}

fn collect(value: &Value, values: &mut Vec<String>) {
    match value {
        Value::String(text) => add(text, values),
        Value::Array(items) => items.iter().for_each(|item| collect(item, values)),
        Value::Object(members) => members.values().for_each(|member| collect(member, values)),
        Value::Number(number) => add(&number.to_string(), values),
        Value::Null | Value::Bool(_) => {}
    }
}

fn add(secret: &str, values: &mut Vec<String>) {
    let whole = secret.trim();
    if whole.len() < SHORTEST {
        return;
    }
    values.push(whole.to_owned());
    values.push(STANDARD_NO_PAD.encode(secret));
    values.push(STANDARD_NO_PAD.encode(whole));
    // As `JSON.stringify` and `util.inspect` show it.
    let quoted = Value::from(whole).to_string();
    let quoted = &quoted[1..quoted.len() - 1];
    if quoted != whole {
        values.push(quoted.to_owned());
    }
    // A log shows a text of several lines line by line, and a key's first line is no secret.
    for line in whole.lines().map(str::trim).filter(|line| line.len() >= 16) {
        if !line.starts_with("-----") {
            values.push(line.to_owned());
        }
    }
}

#[test]
fn secrets_are_hidden_plain_and_encoded() {
    let mut values = Vec::new();
    collect(
        &serde_json::json!({ "a": "hunter22", "b": ["a long\nsecret of two lines"], "c": "short" }),
        &mut values,
    );
    let mask = Mask { values };
    for (text, expected) in [
        ("the password is hunter22!", "the password is ***!"),
        ("aHVudGVyMjI=", "***="),
        ("{\"b\":\"a long\\nsecret of two lines\"}", "{\"b\":\"***\"}"),
        ("second line: secret of two lines", "second line: ***"),
        ("short", "short"),
    ] {
        assert_eq!(mask.apply(text), expected);
    }
}
