//! Hides a project's secrets in what is printed.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use runtime::project::Project;
use secrecy::ExposeSecret;
use serde_json::Value;

/// Shorter values would hide half of every log.
const SHORTEST: usize = 6;

/// Shorter lines of a text of several lines are likely to be no secret: `apiVersion: v1`.
const LINE: usize = 16;

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
        Mask::from(values)
    }

    fn from(mut values: Vec<String>) -> Mask {
        values.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        values.dedup();
        Mask { values }
    }

    /// How long the longest value is.
    pub(crate) fn longest(&self) -> usize {
        self.values.first().map_or(0, String::len)
    }

    /// Where to cut a text that is printed in parts, so that no value is cut: at `at` or before it,
    /// or behind the value that it begins with.
    pub(crate) fn cut(&self, text: &[u8], at: usize) -> usize {
        let mut at = at.min(text.len());
        while let Some(start) = self.values.iter().find_map(|value| {
            let first = (at + 1).saturating_sub(value.len());
            (first..at).find(|start| {
                text[*start..].starts_with(value.as_bytes()) && start + value.len() > at
            })
        }) {
            at = start;
        }
        if at > 0 {
            return at;
        }
        let whole = self.values.iter().filter(|value| text.starts_with(value.as_bytes()));
        whole.map(String::len).max().unwrap_or(text.len())
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
    // As `JSON.stringify` and `util.inspect` show it.
    let quoted = Value::from(whole).to_string();
    values.push(quoted[1..quoted.len() - 1].to_owned());
    values.push(hex::encode(whole));
    in_url(whole, values);
    for secret in [secret, whole] {
        in_base64(secret.as_bytes(), values);
    }
    // A log shows a text of several lines line by line, and a key's first line is no secret.
    for line in whole.lines().map(str::trim).filter(|line| line.len() >= LINE) {
        if !line.starts_with("-----") {
            values.push(line.to_owned());
        }
    }
}

/// As `encodeURIComponent` and forms write it.
fn in_url(text: &str, values: &mut Vec<String>) {
    let encode = |plain: &str, space: &str, upper: bool| -> String {
        let byte = |byte: u8| match byte {
            b' ' => space.to_owned(),
            _ if byte.is_ascii_alphanumeric() || plain.as_bytes().contains(&byte) => {
                char::from(byte).to_string()
            }
            _ if upper => format!("%{byte:02X}"),
            _ => format!("%{byte:02x}"),
        };
        text.bytes().map(byte).collect()
    };
    values.push(encode("-_.!~*'()", "%20", true));
    values.push(encode("-_.~", "%20", true));
    values.push(encode("-_.~", "%20", false));
    values.push(encode("-_.*", "+", true));
}

/// Alone, and as a part of something longer, which it begins at any of three places in: what is
/// encoded with a byte of its neighbours is left out.
fn in_base64(secret: &[u8], values: &mut Vec<String>) {
    let mut found = vec![STANDARD_NO_PAD.encode(secret)];
    for (before, skipped) in [(0, 0), (1, 2), (2, 3)] {
        let bytes = [&[0; 2][..before], secret].concat();
        let whole = bytes.len() * 8 / 6;
        let encoded = STANDARD_NO_PAD.encode(bytes);
        found.push(encoded[skipped..whole].to_owned());
    }
    // In lines of 76 and of 64 letters, as `base64` and `openssl` print it.
    for width in [57, 48] {
        for line in
            secret.chunks(width).filter(|line| secret.len() > width && line.len() >= SHORTEST)
        {
            let encoded = STANDARD_NO_PAD.encode(line);
            found.push(encoded[..line.len() * 8 / 6].to_owned());
        }
    }
    for text in found.into_iter().filter(|text| text.len() >= SHORTEST) {
        values.push(text.replace('+', "-").replace('/', "_"));
        values.push(text);
    }
}

#[cfg(test)]
fn mask(secrets: &Value) -> Mask {
    let mut values = Vec::new();
    collect(secrets, &mut values);
    Mask::from(values)
}

#[test]
fn secrets_are_hidden_plain_and_encoded() {
    let mask = mask(&serde_json::json!({
        "a": "hunter22",
        "b": ["a long\nsecret of two lines"],
        "c": "short",
        "d": "p@ss w/rd+~!",
        "e": 12_345_678,
        "f": true,
    }));
    for (text, expected) in [
        ("the password is hunter22!", "the password is ***!"),
        ("hunter22hunter22", "******"),
        ("{\"b\":\"a long\\nsecret of two lines\"}", "{\"b\":\"***\"}"),
        ("second line: secret of two lines", "second line: ***"),
        ("short", "short"),
        ("12345678 true", "*** true"),
        ("68756e7465723232", "***"),
        // encodeURIComponent, curl --data-urlencode, lower-case digits, and forms
        ("p%40ss%20w%2Frd%2B~!", "***"),
        ("p%40ss%20w%2Frd%2B~%21", "***"),
        ("p%40ss%20w%2frd%2b~%21", "***"),
        ("p%40ss+w%2Frd%2B%7E%21", "***"),
        // base64 of it, of it with an end of line, and of `user:`, `admin:` and `me:` before it
        ("aHVudGVyMjI=", "***="),
        ("aHVudGVyMjIK", "***K"),
        ("dXNlcjpodW50ZXIyMg==", "dXNlcjp***g=="),
        ("YWRtaW46aHVudGVyMjI=", "YWRtaW46***="),
        ("bWU6aHVudGVyMjI=", "bWU6***="),
    ] {
        let masked = mask.apply(text);
        assert!(!masked.contains("hunter22"), "{text}");
        assert_eq!(masked, expected, "{text}");
    }
}

#[test]
fn base64_is_hidden_wherever_the_secret_begins() {
    let mask = mask(&serde_json::json!(["correct-horse"]));
    for before in ["", "a", "ab", "abc", "user:", "token "] {
        for after in ["", "\n", "xy", "xyz "] {
            let text = STANDARD_NO_PAD.encode(format!("{before}correct-horse{after}"));
            let masked = mask.apply(&text);
            let kept = masked.len() - SHOWN.len();
            // What is left are the neighbours, and at most a letter at each side.
            assert!(
                masked.contains(SHOWN) && kept <= (before.len() + after.len()) * 4 / 3 + 4,
                "{text}: {masked}"
            );
        }
    }
}

#[test]
fn base64_is_hidden_in_lines() {
    let secret = "0123456789 abcdefghijklmnopqrstuvwxyz".repeat(5);
    let mask = mask(&serde_json::json!([secret]));
    for width in [76, 64] {
        for end in ["", "\n"] {
            let encoded = STANDARD_NO_PAD.encode(format!("{secret}{end}"));
            let lines: Vec<_> =
                encoded.as_bytes().chunks(width).map(String::from_utf8_lossy).collect();
            let masked = mask.apply(&lines.join("\n")).into_owned();
            let kept: usize = masked.lines().map(|line| line.replace(SHOWN, "").len()).sum();
            assert!(kept <= 4, "{masked}");
        }
    }
}

#[test]
fn no_secret_is_cut() {
    let mask = mask(&serde_json::json!(["hunter22", "horse-battery"]));
    assert!(mask.longest() >= 26);
    for (text, at, expected) in [
        ("0123456789", 4, 4),
        ("0123hunter22", 4, 4),
        ("0123hunter22", 5, 4),
        ("0123hunter22", 11, 4),
        ("0123hunter22 ", 12, 12),
        ("hunter22 ", 3, 8),
        ("hunter22horse-battery", 12, 8),
        ("ab", 5, 2),
    ] {
        assert_eq!(mask.cut(text.as_bytes(), at), expected, "{text} at {at}");
    }
}
