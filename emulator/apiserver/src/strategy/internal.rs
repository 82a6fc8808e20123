//! What may not be changed in a specification, as the real server shows it: the difference of two
//! dumps of its own types, whose fields have other names and another order than in the API.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::{Value, json};

use super::diff;

struct Field {
    name: &'static str,
    key: &'static str,
    kind: &'static str,
}

static TYPES: LazyLock<HashMap<&'static str, Vec<Field>>> = LazyLock::new(|| {
    let mut types: HashMap<&'static str, Vec<Field>> = HashMap::new();
    let mut current = "";
    for line in include_str!("internal.txt").lines().filter(|line| !line.starts_with('#')) {
        let Some(field) = line.strip_prefix(' ') else {
            current = line;
            continue;
        };
        let mut words = field.split(' ');
        let mut word = || words.next().unwrap_or_default();
        let field = Field { name: word(), key: word(), kind: word() };
        types.entry(current).or_default().push(field);
    }
    types
});

/// The difference of two values of a type.
pub(crate) fn difference(kind: &'static str, old: &Value, new: &Value) -> String {
    diff::unified(&lines(kind, old), &lines(kind, new))
}

/// A value as indented JSON, line by line.
fn lines(kind: &'static str, value: &Value) -> Vec<String> {
    let mut dump = Dump { lines: Vec::new(), open: String::new() };
    dump.value(kind, value, &Value::Null, 0);
    dump.end_line("");
    dump.lines
}

struct Dump {
    lines: Vec<String>,
    open: String,
}

impl Dump {
    fn end_line(&mut self, more: &str) {
        self.open.push_str(more);
        self.lines.push(std::mem::take(&mut self.open));
    }

    fn indent(&mut self, depth: usize) {
        self.open.extend(std::iter::repeat_n(' ', depth));
    }

    fn value(&mut self, kind: &'static str, value: &Value, above: &Value, depth: usize) {
        if let Some(kind) = kind.strip_prefix('?') {
            match value {
                Value::Null => self.open.push_str("null"),
                value => self.value(kind, value, above, depth),
            }
            return;
        }
        if let Some(kind) = kind.strip_prefix("[]") {
            match value.as_array() {
                None => self.open.push_str("null"),
                Some(items) => {
                    let items: Vec<(String, &'static str, &Value)> =
                        items.iter().map(|item| (String::new(), kind, item)).collect();
                    self.several('[', &items, value, depth);
                }
            }
            return;
        }
        match kind {
            "str" => self.open.push_str(&json!(value.as_str().unwrap_or_default()).to_string()),
            "int" => self.open.push_str(&value.as_i64().unwrap_or_default().to_string()),
            "bool" => self.open.push_str(&value.as_bool().unwrap_or_default().to_string()),
            "quantity" => self.open.push_str(&json!(value.as_str().unwrap_or("0")).to_string()),
            "map" | "quantities" => match value.as_object() {
                None => self.open.push_str("null"),
                Some(map) => {
                    let mut keys: Vec<&String> = map.keys().collect();
                    keys.sort();
                    let members: Vec<(String, &'static str, &Value)> = keys
                        .into_iter()
                        .map(|key| (format!("{}: ", json!(key)), "any", &map[key]))
                        .collect();
                    self.several('{', &members, value, depth);
                }
            },
            "any" => self.any(value, depth),
            name => {
                let mut members = Vec::new();
                fields(name, value, above, &mut members);
                self.several('{', &members, value, depth);
            }
        }
    }

    fn any(&mut self, value: &Value, depth: usize) {
        match value {
            Value::Object(map) => {
                let members: Vec<(String, &'static str, &Value)> = map
                    .iter()
                    .map(|(key, value)| (format!("{}: ", json!(key)), "any", value))
                    .collect();
                self.several('{', &members, value, depth);
            }
            Value::Array(items) => {
                let items: Vec<(String, &'static str, &Value)> =
                    items.iter().map(|item| (String::new(), "any", item)).collect();
                self.several('[', &items, value, depth);
            }
            plain => self.open.push_str(&plain.to_string()),
        }
    }

    fn several(
        &mut self,
        open: char,
        members: &[(String, &'static str, &Value)],
        above: &Value,
        depth: usize,
    ) {
        let close = if open == '[' { ']' } else { '}' };
        self.open.push(open);
        if members.is_empty() {
            self.open.push(close);
            return;
        }
        self.end_line("");
        for (index, (label, kind, value)) in members.iter().enumerate() {
            self.indent(depth + 1);
            self.open.push_str(label);
            self.value(kind, value, above, depth + 1);
            self.end_line(if index + 1 < members.len() { "," } else { "" });
        }
        self.indent(depth);
        self.open.push(close);
    }
}

/// The fields of a type with their values.
fn fields<'a>(
    name: &'static str,
    value: &'a Value,
    above: &'a Value,
    members: &mut Vec<(String, &'static str, &'a Value)>,
) {
    for field in TYPES.get(name).into_iter().flatten() {
        if let Some(inner) = field.kind.strip_prefix('+') {
            fields(inner, value, above, members);
        } else if let Some(kind) = field.kind.strip_prefix('^') {
            members.push((format!("{:?}: ", field.name), kind, &above[field.key]));
        } else {
            members.push((format!("{:?}: ", field.name), field.kind, &value[field.key]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_the_table_is_known() {
        const PLAIN: &[&str] = &["str", "int", "bool", "map", "quantity", "quantities", "any"];
        for field in TYPES.values().flatten() {
            let kind = field.kind.trim_start_matches(['?', '^', '+', '[', ']']);
            assert!(PLAIN.contains(&kind) || TYPES.contains_key(kind), "{kind}");
        }
    }

    #[test]
    fn the_difference_names_what_changed_with_what_is_around_it() {
        let old = json!({"resources": {"requests": {"storage": "50Mi"}}, "accessModes": ["a"]});
        let new = json!({"resources": {"requests": {"storage": "10Mi"}}, "accessModes": ["a"]});
        let expected = "@@ -6,7 +6,7 @@\n  \"Resources\": {\n   \"Limits\": null,\n   \"Requests\": {\n-   \"storage\": \"50Mi\"\n+   \"storage\": \"10Mi\"\n   }\n  },\n  \"VolumeName\": \"\",\n";
        assert_eq!(difference("PersistentVolumeClaimSpec", &old, &new), expected);
    }
}
