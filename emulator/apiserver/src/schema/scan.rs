//! Reads JSON text in order, for what a parsed value no longer shows: fields given twice, the order
//! of unknown fields, and where a text stops being JSON, in the words of the real server.

use super::{Kind, Types};

/// How deep values may nest.
const DEPTH: usize = 512;

/// Walks a text.
///
/// # Errors
/// The first syntax error.
pub(crate) fn scan(types: &Types, root: Option<&Kind>, text: &[u8]) -> Result<Vec<String>, String> {
    let mut scanner = Scanner { types, text, at: 0, findings: Vec::new() };
    scanner.space();
    scanner.value(root, "", 0)?;
    scanner.space();
    match scanner.text.get(scanner.at) {
        None => Ok(scanner.findings),
        Some(byte) => Err(invalid(*byte, "after top-level value")),
    }
}

/// The first syntax error of a text, if it has one.
pub(crate) fn syntax_error(types: &Types, text: &[u8]) -> Option<String> {
    scan(types, None, text).err()
}

struct Scanner<'a> {
    types: &'a Types,
    text: &'a [u8],
    at: usize,
    findings: Vec<String>,
}

const END: &str = "unexpected end of JSON input";

fn invalid(byte: u8, place: &str) -> String {
    let shown = match byte {
        b'\'' => "'\\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        0x20..=0x7e => format!("'{}'", char::from(byte)),
        b'\n' => "'\\n'".to_owned(),
        b'\t' => "'\\t'".to_owned(),
        b'\r' => "'\\r'".to_owned(),
        0x80.. => format!("'\\u{byte:04x}'"),
        _ => format!("'\\x{byte:02x}'"),
    };
    format!("invalid character {shown} {place}")
}

impl Scanner<'_> {
    fn peek(&self) -> Result<u8, String> {
        self.text.get(self.at).copied().ok_or_else(|| END.to_owned())
    }

    fn space(&mut self) {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn value(&mut self, kind: Option<&Kind>, path: &str, depth: usize) -> Result<(), String> {
        if depth > DEPTH {
            return Err("exceeded max depth".to_owned());
        }
        match self.peek()? {
            b'{' => self.object(kind, path, depth),
            b'[' => self.array(kind, path, depth),
            b'"' => self.string().map(drop),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            b'-' | b'0'..=b'9' => self.number(),
            other => Err(invalid(other, "looking for beginning of value")),
        }
    }

    fn literal(&mut self, word: &str) -> Result<(), String> {
        for expected in word.bytes() {
            let found = self.peek()?;
            if found != expected {
                let place = format!("in literal {word} (expecting {:?})", char::from(expected));
                return Err(invalid(found, &place));
            }
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), String> {
        if self.peek()? == b'-' {
            self.at += 1;
        }
        if !self.peek()?.is_ascii_digit() {
            return Err(invalid(self.peek()?, "in numeric literal"));
        }
        while self
            .text
            .get(self.at)
            .is_some_and(|byte| byte.is_ascii_digit() || b".eE+-".contains(byte))
        {
            self.at += 1;
        }
        Ok(())
    }

    fn string(&mut self) -> Result<String, String> {
        self.at += 1;
        let start = self.at;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => {
                    self.at += 1;
                    let escape = self.peek()?;
                    if !b"\"\\/bfnrtu".contains(&escape) {
                        return Err(invalid(escape, "in string escape code"));
                    }
                }
                byte @ 0..0x20 => return Err(invalid(byte, "in string literal")),
                _ => {}
            }
            self.at += 1;
        }
        let text = String::from_utf8_lossy(&self.text[start..self.at]).into_owned();
        self.at += 1;
        Ok(text)
    }

    fn object(&mut self, kind: Option<&Kind>, path: &str, depth: usize) -> Result<(), String> {
        self.at += 1;
        let mut seen: Vec<String> = Vec::new();
        self.space();
        if self.peek()? == b'}' {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.space();
            let byte = self.peek()?;
            if byte != b'"' {
                return Err(invalid(byte, "looking for beginning of object key string"));
            }
            let name = self.string()?;
            self.space();
            if self.peek()? != b':' {
                return Err(invalid(self.peek()?, "after object key"));
            }
            self.at += 1;
            self.space();
            let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let types = self.types;
            let inner = match kind {
                Some(Kind::Struct(index)) => {
                    let field = types.get(*index).fields.get(name.as_str());
                    let envelope = path.is_empty() && (name == "kind" || name == "apiVersion");
                    if field.is_none() && !envelope {
                        self.findings.push(format!("unknown field {below:?}"));
                    } else if seen.contains(&name) {
                        self.findings.push(format!("duplicate field {below:?}"));
                    }
                    field.map(|field| &field.kind)
                }
                Some(Kind::Map(item)) => {
                    if seen.contains(&name) {
                        self.findings.push(format!("duplicate field {below:?}"));
                    }
                    Some(&**item)
                }
                Some(Kind::Deduced) => {
                    if seen.contains(&name) {
                        self.findings.push(format!("duplicate field {below:?}"));
                    }
                    Some(&Kind::Deduced)
                }
                _ => None,
            };
            seen.push(name);
            self.value(inner, &below, depth + 1)?;
            self.space();
            match self.peek()? {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Ok(());
                }
                other => return Err(invalid(other, "after object key:value pair")),
            }
        }
    }

    fn array(&mut self, kind: Option<&Kind>, path: &str, depth: usize) -> Result<(), String> {
        self.at += 1;
        self.space();
        if self.peek()? == b']' {
            self.at += 1;
            return Ok(());
        }
        let item = match kind {
            Some(Kind::List(item)) => Some(&**item),
            Some(Kind::Deduced) => Some(&Kind::Deduced),
            _ => None,
        };
        for index in 0.. {
            self.space();
            self.value(item, &format!("{path}[{index}]"), depth + 1)?;
            self.space();
            match self.peek()? {
                b',' => self.at += 1,
                b']' => {
                    self.at += 1;
                    break;
                }
                other => return Err(invalid(other, "after array element")),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::proptest;

    use super::*;
    use crate::schema::TYPES;

    fn findings(text: &str) -> Result<Vec<String>, String> {
        scan(&TYPES, TYPES.find("core.v1.ConfigMap").map(Kind::Struct).as_ref(), text.as_bytes())
    }

    #[test]
    fn unknown_and_duplicate_fields_are_found_in_order() {
        let text = r#"{"kind": "ConfigMap", "z": 1, "metadata": {"b": 1, "name": "x"}, "data": {"k": "1", "k": "2"}, "kind": "ConfigMap"}"#;
        let expected = [
            "unknown field \"z\"",
            "unknown field \"metadata.b\"",
            "duplicate field \"data.k\"",
            "duplicate field \"kind\"",
        ];
        assert_eq!(findings(text).unwrap(), expected);
    }

    #[test]
    fn syntax_errors_are_worded_as_the_real_server_words_them() {
        for (text, error) in [
            ("this", "invalid character 'h' in literal true (expecting 'r')"),
            ("{\"a\": 1", "unexpected end of JSON input"),
            ("", "unexpected end of JSON input"),
            ("a: b", "invalid character 'a' looking for beginning of value"),
            ("{} x", "invalid character 'x' after top-level value"),
        ] {
            assert_eq!(findings(text).unwrap_err(), error, "{text}");
        }
    }

    proptest! {
        #[test]
        fn it_accepts_what_a_parser_accepts(text in "[\\[\\]{}:,\"a-f0-9 .\\-tn]{0,40}") {
            let parses = serde_json::from_str::<serde_json::Value>(&text).is_ok();
            if parses {
                assert!(findings(&text).is_ok(), "{text}");
            }
        }

        #[test]
        fn it_never_panics(bytes: Vec<u8>) {
            let _ = scan(&TYPES, TYPES.find("core.v1.Pod").map(Kind::Struct).as_ref(), &bytes);
        }
    }
}
