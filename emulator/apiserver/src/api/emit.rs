//! Values as YAML, quoted and folded as the real server does it.

use serde_json::Value;

/// The text of a value.
pub(crate) fn emit(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => block(value, 0, &mut text),
        Value::Array(list) if !list.is_empty() => block(value, 0, &mut text),
        plain => {
            scalar(plain, 0, &mut text);
            text.push('\n');
        }
    }
    text
}

/// The lines of a list or map that is not empty.
fn block(value: &Value, depth: usize, text: &mut String) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            for (index, key) in keys.into_iter().enumerate() {
                // The first line of a list's item stands behind its dash.
                if index > 0 || !text.ends_with("- ") {
                    indent(depth, text);
                }
                string(key, depth, true, text);
                text.push(':');
                member(&map[key], depth, text);
            }
        }
        Value::Array(list) => {
            for item in list {
                if !text.ends_with("- ") {
                    indent(depth, text);
                }
                text.push_str("- ");
                if is_block(item) {
                    block(item, depth + 2, text);
                } else {
                    scalar(item, depth + 2, text);
                    text.push('\n');
                }
            }
        }
        _ => {}
    }
}

fn member(value: &Value, depth: usize, text: &mut String) {
    if is_block(value) {
        text.push('\n');
        // Lists stand under their key, not to the right of it.
        block(value, if value.is_array() { depth } else { depth + 2 }, text);
    } else {
        text.push(' ');
        scalar(value, depth + 2, text);
        text.push('\n');
    }
}

fn is_block(value: &Value) -> bool {
    match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => false,
    }
}

fn indent(depth: usize, text: &mut String) {
    text.extend(std::iter::repeat_n(' ', depth));
}

fn scalar(value: &Value, depth: usize, text: &mut String) {
    match value {
        Value::Object(_) => text.push_str("{}"),
        Value::Array(_) => text.push_str("[]"),
        Value::String(string_value) => string(string_value, depth, false, text),
        plain => text.push_str(&plain.to_string()),
    }
}

fn string(value: &str, depth: usize, key: bool, text: &mut String) {
    let printable = value.chars().all(|letter| !letter.is_control() || letter == '\n');
    if value.contains('\n') && printable && !key && !value.ends_with(' ') {
        return literal(value, depth, text);
    }
    if !printable || value.contains('\n') || means_else(value) {
        text.push_str(&Value::from(value).to_string());
    } else if is_plain(value) {
        text.push_str(value);
    } else {
        text.push('\'');
        text.push_str(&value.replace('\'', "''"));
        text.push('\'');
    }
}

/// Several lines as they are.
fn literal(value: &str, depth: usize, text: &mut String) {
    text.push('|');
    if value.starts_with([' ', '\n']) {
        text.push('2');
    }
    let body = value.trim_end_matches('\n');
    match value.len() - body.len() {
        0 => text.push('-'),
        1 if !body.is_empty() => {}
        _ => text.push('+'),
    }
    let lines = value.strip_suffix('\n').unwrap_or(value);
    for line in lines.split('\n') {
        text.push('\n');
        if !line.is_empty() {
            indent(depth, text);
            text.push_str(line);
        }
    }
}

/// Whether a text would be read as something else than a text.
fn means_else(value: &str) -> bool {
    const WORDS: &[&str] = &[
        "", "~", "null", "true", "false", "yes", "no", "on", "off", "y", "n", ".nan", ".inf",
        "-.inf", "+.inf", "<<", "=",
    ];
    let lower = value.to_lowercase();
    if WORDS.contains(&lower.as_str()) {
        return true;
    }
    let digits = value.trim_start_matches(['-', '+']);
    if !digits.starts_with(|letter: char| letter.is_ascii_digit() || letter == '.') {
        return false;
    }
    let plain = digits.replace('_', "");
    let radix = |prefix: &str, allowed: fn(char) -> bool| {
        plain.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty() && rest.chars().all(allowed))
    };
    let number = !plain.contains(['i', 'n', 'I', 'N']) && plain.parse::<f64>().is_ok();
    let sexagesimal = plain.contains(':')
        && plain.split(':').all(|part| {
            !part.is_empty() && part.chars().all(|one| one.is_ascii_digit() || one == '.')
        });
    number
        || sexagesimal
        || radix("0x", |one| one.is_ascii_hexdigit())
        || radix("0o", |one| ('0'..'8').contains(&one))
        || radix("0b", |one| matches!(one, '0' | '1'))
        || is_date(value)
}

/// Whether a text begins with a date and goes on, if at all, with a time.
fn is_date(value: &str) -> bool {
    let bytes = value.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let date = [0, 1, 2, 3].into_iter().all(digit)
        && bytes.get(4) == Some(&b'-')
        && value.parse::<jiff::Timestamp>().is_ok();
    date || value.parse::<jiff::civil::Date>().is_ok() && bytes.len() == 10
}

/// Whether a text needs no quotes.
fn is_plain(value: &str) -> bool {
    let mut letters = value.chars();
    let Some(first) = letters.next() else { return false };
    let second = letters.next();
    let starts = match first {
        '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%'
        | '@' | '`' | ' ' => false,
        '-' | '?' | ':' => second.is_some_and(|letter| letter != ' '),
        _ => true,
    };
    starts
        && !value.ends_with([' ', ':'])
        && !value.contains(": ")
        && !value.contains(" #")
        && !value.starts_with("---")
        && !value.starts_with("...")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_are_quoted_where_they_mean_something_else() {
        let value = json!({
            "f:data": {".": {}, "k:{\"name\":\"c\"}": []},
            "list": [{"a": "x", "b": [1, "1"]}, "yes", ["in"]],
            "time": "2026-11-22T09:47:04Z",
            "uid": "1e645654-0000-4000-8000-000000000000",
            "script": "#!/bin/sh\necho hi\n",
            "open": "a: b",
            "empty": "",
            "none": null,
            "star": "*",
        });
        let expected = "empty: \"\"\nf:data:\n  .: {}\n  k:{\"name\":\"c\"}: []\nlist:\n- a: x\n  b:\n  - 1\n  - \"1\"\n- \"yes\"\n- - in\nnone: null\nopen: 'a: b'\nscript: |\n  #!/bin/sh\n  echo hi\nstar: '*'\ntime: \"2026-11-22T09:47:04Z\"\nuid: 1e645654-0000-4000-8000-000000000000\n";
        assert_eq!(emit(&value), expected);
    }
}
