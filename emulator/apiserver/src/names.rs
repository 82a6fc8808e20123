//! The rules for names, labels and annotations, with the words of the real server.

use serde_json::{Value, json};

use crate::failure::FieldError;

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = r"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const OLD_LABEL: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const CONFIG_KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

/// How the names of a kind are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    Label,
    Subdomain,
    OldLabel,
    /// Anything that fits into a path.
    Segment,
}

fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    !bytes.is_empty()
        && inner(&bytes[0])
        && inner(&bytes[bytes.len() - 1])
        && bytes.iter().all(|byte| inner(byte) || *byte == b'-')
}

fn is_qualified(text: &str) -> bool {
    let bytes = text.as_bytes();
    !bytes.is_empty()
        && bytes[0].is_ascii_alphanumeric()
        && bytes[bytes.len() - 1].is_ascii_alphanumeric()
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

fn too_long(limit: usize, unit: &str) -> String {
    format!("must be no more than {limit} {unit}")
}

/// What is wrong with a name; nothing when it is right.
pub(crate) fn name_faults(rule: Rule, name: &str) -> Vec<String> {
    let mut faults = Vec::new();
    match rule {
        Rule::Label => {
            if name.len() > 63 {
                faults.push(too_long(63, "characters"));
            }
            if name.contains('.') {
                faults.push("must not contain dots".to_owned());
            } else if !is_label(name) {
                faults.push(LABEL.to_owned());
            }
        }
        Rule::OldLabel => {
            if name.len() > 63 {
                faults.push(too_long(63, "bytes"));
            }
            if !is_label(name) || name.as_bytes()[0].is_ascii_digit() {
                faults.push(OLD_LABEL.to_owned());
            }
        }
        Rule::Subdomain => {
            if name.len() > 253 {
                faults.push(too_long(253, "characters"));
            }
            if !name.split('.').all(is_label) {
                faults.push(SUBDOMAIN.to_owned());
            }
        }
        Rule::Segment => {
            if name == "." || name == ".." {
                faults.push(format!("may not be '{name}'"));
            }
            for illegal in ["/", "%"] {
                if name.contains(illegal) {
                    faults.push(format!("may not contain '{illegal}'"));
                }
            }
        }
    }
    faults
}

/// What is wrong with the key of a label or annotation.
pub(crate) fn label_key_faults(key: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let name = match key.split_once('/') {
        None => key,
        Some((prefix, name)) => {
            if name.contains('/') {
                return vec![
                    "a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')".to_owned(),
                ];
            }
            if prefix.is_empty() {
                faults.push("prefix part must be non-empty".to_owned());
            } else {
                let prefix = name_faults(Rule::Subdomain, prefix);
                faults.extend(prefix.into_iter().map(|fault| format!("prefix part {fault}")));
            }
            name
        }
    };
    if name.is_empty() {
        faults.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        faults.push(format!("name part {}", too_long(63, "bytes")));
    }
    if !is_qualified(name) {
        faults.push(QUALIFIED.to_owned());
    }
    faults
}

/// What is wrong with the value of a label.
pub(crate) fn label_value_faults(value: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if value.len() > 63 {
        faults.push(too_long(63, "bytes"));
    }
    if !value.is_empty() && !is_qualified(value) {
        faults.push(VALUE.to_owned());
    }
    faults
}

/// What is wrong with a key of a ConfigMap or Secret.
pub(crate) fn config_key_faults(key: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if key.len() > 253 {
        faults.push(too_long(253, "characters"));
    }
    if key.is_empty()
        || !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    {
        faults.push(CONFIG_KEY.to_owned());
    } else if key == "." {
        faults.push("must not be '.'".to_owned());
    } else if key == ".." {
        faults.push("must not be '..'".to_owned());
    } else if key.starts_with("..") {
        faults.push("must not start with '..'".to_owned());
    }
    faults
}

/// The faults of a name as errors of a field.
pub(crate) fn check_name(rule: Rule, field: &str, name: &str, errors: &mut Vec<FieldError>) {
    for fault in name_faults(rule, name) {
        errors.push(FieldError::invalid(field, &json!(name), &fault));
    }
}

/// The faults of a map of labels.
pub(crate) fn check_labels(field: &str, labels: &Value, errors: &mut Vec<FieldError>) {
    for (key, value) in labels.as_object().into_iter().flatten() {
        for fault in label_key_faults(key) {
            let fault = fault.replace("a qualified name must", "a valid label key must");
            errors.push(FieldError::invalid(field, &json!(key), &fault));
        }
        for fault in label_value_faults(value.as_str().unwrap_or_default()) {
            errors.push(FieldError::invalid(field, value, &fault));
        }
    }
}

/// The faults of a map of annotations.
pub(crate) fn check_annotations(field: &str, annotations: &Value, errors: &mut Vec<FieldError>) {
    const LIMIT: usize = 256 * 1024;
    let mut total = 0;
    for (key, value) in annotations.as_object().into_iter().flatten() {
        for fault in label_key_faults(&key.to_lowercase()) {
            errors.push(FieldError::invalid(field, &json!(key), &fault));
        }
        total += key.len() + value.as_str().map_or(0, str::len);
    }
    if total > LIMIT {
        errors.push(FieldError::too_long(field, LIMIT));
    }
}
